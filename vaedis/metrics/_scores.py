"""What every score returns: the headline number and the numbers behind it."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from vaedis._support.brief import brief, fields_repr, matrix_table, table


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

    def _extra_text(self) -> str:
        """Return the numbers beside the headline as one line of text."""
        values = {field.name: getattr(self, field.name) for field in fields(self)[1:]}
        return ", ".join(f"{k} {v:.2f}" for k, v in values.items() if isinstance(v, float))


class Scores(dict[str, Score]):
    """Scores by name, printed as a table; see `score`.

    Attributes
    ----------
    missing : dict of str to str
        Scores that could not be computed, and the sentence that says why.

    Examples
    --------
    >>> import numpy as np, vaedis as vd
    >>> factors = np.array([(a, b) for a in range(2) for b in range(2)] * 5)[:-1]
    >>> scores = vd.metrics.score(factors * 1.0, factors, metrics=["mcc", "factor_vae"])
    >>> list(scores), list(scores.missing)
    (['mcc'], ['factor_vae'])
    """

    def __init__(self, scores: dict[str, Score], missing: dict[str, str]):
        super().__init__(scores)
        self.missing = missing

    def __missing__(self, name: str) -> Score:
        """Raise the sentence that says why a score is missing."""
        if name in self.missing:
            raise ValueError(self.missing[name])
        raise KeyError(name)

    def __repr__(self) -> str:
        width = max(map(len, [*self, *self.missing]), default=0)
        rows = [(name, f"{float(score):6.3f}", score._extra_text()) for name, score in self.items()]
        rows += [(name, "     -", sentence) for name, sentence in self.missing.items()]
        lines = []
        for name, value, words in rows:
            prefix = f"{name:{width}s}  {value}  "
            indent = " " * len(prefix)
            lines += textwrap.wrap(words, 100, initial_indent=prefix, subsequent_indent=indent) or [
                prefix.rstrip()
            ]
        return "\n".join(lines)
