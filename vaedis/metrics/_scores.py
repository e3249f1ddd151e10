"""What a score returns: the headline number, and what it was made from."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

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
    left_out : tuple of int
        Factor columns with one single value in the samples, which no score can use.
    """

    score: float
    columns: tuple[int, ...]
    left_out: tuple[int, ...]

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    def __float__(self) -> float:
        return float(self.score)

    def summary(self) -> dict[str, Any]:
        """Return the fields that are plain numbers or words, ready to be a row of a table."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: value
            for name, value in values.items()
            if isinstance(value, bool | int | float | str)
        }
