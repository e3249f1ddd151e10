"""What every score returns: the headline number and the numbers behind it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from vaedis._support.brief import brief, fields_repr, matrix_table, table

# of a printed table, in columns
_WIDTH = 92
_NO_BREAK = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True, eq=False, repr=False)
class Score:
    """A score and its details.

    ``float(result)`` is the headline number. Arrays are read-only.

    Attributes
    ----------
    score : float
    columns : tuple of int
        Factor columns behind the score; arrays with a factor axis follow this order.
    constant : tuple of int
        Factor columns with a single value in the samples, which no score can use.

    Examples
    --------
    >>> import vaedis as vd
    >>> result = vd.metrics.mig([[0.0], [1.0], [0.0], [1.0]], [[0], [1], [0], [1]])
    >>> float(result), result.columns, result.constant
    (1.0, (0,), ())
    """

    score: float
    columns: tuple[int, ...]
    constant: tuple[int, ...]

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        # before a dataclass writes one that shows whole arrays
        cls.__repr__ = Score.__repr__  # type: ignore[method-assign]

    def __repr__(self) -> str:
        return fields_repr(self)

    def _repr_html_(self) -> str:
        values = {field.name.replace("_", " "): getattr(self, field.name) for field in fields(self)}
        matrices = [
            matrix_table(name, value)
            for name, value in values.items()
            if isinstance(value, np.ndarray) and value.ndim == 2
        ]
        rows = {name: brief(value) for name, value in values.items()}
        return table(type(self).__name__, rows, "".join(matrices))

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            for array in value.values() if isinstance(value, dict) else [value]:
                if isinstance(array, np.ndarray):
                    array.setflags(write=False)

    def __float__(self) -> float:
        return float(self.score)


class Scores(dict[str, Score]):
    """Scores by name, printed as a table; see `score`.

    Attributes
    ----------
    missing : dict of str to str
        Scores that could not be computed, and the sentence that says why.
    shuffled : tuple of Scores
        Scores of the same codes in random order, which hold no information on the factors. The
        table shows their mean in parentheses.

    Examples
    --------
    >>> import numpy as np, vaedis as vd
    >>> factors = np.array([(a, b) for a in range(2) for b in range(2)] * 5)[:-1]
    >>> scores = vd.metrics.score(factors * 1.0, factors, metrics=["mcc", "factor_vae"])
    >>> list(scores), list(scores.missing)
    (['mcc'], ['factor_vae'])
    """

    def __init__(
        self,
        scores: dict[str, Score],
        missing: dict[str, str],
        shuffled: Sequence[dict[str, Score]] = (),
    ):
        super().__init__(scores)
        self.missing = missing
        self.shuffled = tuple(shuffled)

    def __missing__(self, name: str) -> Score:
        """Raise the sentence that says why a score is missing."""
        if name in self.missing:
            raise ValueError(self.missing[name])
        raise KeyError(name)

    def __repr__(self) -> str:
        width = max(map(len, [*self, *self.missing]), default=0)
        chance_width = len("(shuffled)") if self.shuffled else 0
        lines = []
        if self.shuffled and self:
            lines.append(f"{'':{width}s}   score  (shuffled)")
        for name, score in self.items():
            chance = self._chance(name)
            headline = f"({chance['score']:.3f})" if "score" in chance else ""
            prefix = f"{name:{width}s}  {float(score):6.3f}  {headline:>{chance_width}s}"
            lines += _wrapped(prefix, _parts_text(score, chance))
        for name, sentence in self.missing.items():
            lines += _wrapped(f"{name:{width}s}       -  ", sentence)
        return "\n".join(lines)

    def _chance(self, name: str) -> dict[str, float]:
        """Return the mean of each number of a score over shuffled codes, by its name."""
        scores = [scores[name] for scores in self.shuffled if name in scores]
        names = _numbers(scores[0]) if scores else {}
        return {key: float(np.mean([_numbers(score)[key] for score in scores])) for key in names}


def _numbers(score: Score) -> dict[str, float]:
    """Return the numbers of a score by name, the headline first."""
    values = {field.name: getattr(score, field.name) for field in fields(score)}
    return {key: value for key, value in values.items() if isinstance(value, float)}


def _parts_text(score: Score, chance: dict[str, float]) -> str:
    """Return the numbers beside the headline as text, each with that of shuffled codes."""
    parts = []
    for key, value in _numbers(score).items():
        if key == "score":
            continue
        shuffled = f" ({chance[key]:.2f})" if key in chance else ""
        # a number stays on the line of its name
        parts.append(f"{key} {value:.2f}{shuffled}".replace(" ", _NO_BREAK))
    return ", ".join(parts)


def _wrapped(prefix: str, words: str) -> list[str]:
    """Return a prefix and words in lines that a page shows, the words one below the other."""
    prefix = prefix if prefix.endswith(" ") else f"{prefix}  "
    indent = " " * len(prefix)
    lines = textwrap.wrap(words, _WIDTH, initial_indent=prefix, subsequent_indent=indent)
    return [line.replace(_NO_BREAK, " ") for line in lines] or [prefix.rstrip()]
