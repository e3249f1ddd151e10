"""What every score returns: the headline number and the numbers behind it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from vaedis._support.brief import brief, fields_repr, matrix_table, table


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

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        # before a dataclass writes one that shows whole arrays
        cls.__repr__ = Score.__repr__  # type: ignore[method-assign]

    def __repr__(self) -> str:
        return fields_repr(self)

    def _repr_html_(self) -> str:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        matrices = [
            matrix_table(name.replace("_", " "), value)
            for name, value in values.items()
            if isinstance(value, np.ndarray) and value.ndim == 2
        ]
        rows = {name.replace("_", " "): brief(value) for name, value in values.items()}
        return table(type(self).__name__, rows, "".join(matrices))

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            for array in value.values() if isinstance(value, dict) else [value]:
                if isinstance(array, np.ndarray):
                    array.setflags(write=False)

    def __float__(self) -> float:
        return float(self.score)
