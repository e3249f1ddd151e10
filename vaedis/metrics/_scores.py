"""What every score returns: the headline number and the numbers behind it."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True, eq=False)
class Score:
    """A score and its details.

    ``float(result)`` is the headline number. Arrays are read-only.

    Attributes
    ----------
    score : float
        The headline number.
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

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            for array in value.values() if isinstance(value, dict) else [value]:
                if isinstance(array, np.ndarray):
                    array.setflags(write=False)

    def __float__(self) -> float:
        return float(self.score)
