"""Ground-truth distances: between the factors that observations were made from."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vaedis import _check

SHAPES = ("line", "circle")


def ground_truth(a: Tensor, b: Tensor) -> Tensor:
    """Return the ground-truth distance of observations: the L1 distance of their factor values.

    Parameters
    ----------
    a, b : Tensor of int, shape (..., F)

    Returns
    -------
    Tensor of int64, shape (...)
    """
    a, b = torch.as_tensor(a).long(), torch.as_tensor(b).long()
    return (a - b).abs().sum(-1)


def ground_truth_matrix(size: int, shape: str = "line") -> np.ndarray:
    """Return the ground-truth distances along a factor.

    Parameters
    ----------
    size : int
        How many values the factor has.
    shape : {"line", "circle"}
        |i - j|, as everywhere in the paper, or the shorter way round a circle of `size` steps, for hues and angles that come back to
        where they began.

    Returns
    -------
    ndarray of float64, shape (size, size)
    """
    step = np.arange(_check.count("size", size))
    line = np.abs(step[:, None] - step).astype(float)
    return (
        line if _check.one_of("shape", shape, SHAPES) == "line" else np.minimum(line, size - line)
    )
