"""Read whole numbers, such as indices, in the forms that people have."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
import torch
from torch import Tensor


def integers(what: str, values: Any) -> Tensor:
    """Return values as an int64 tensor; raise a ValueError if they are no integers."""
    if isinstance(values, range):
        return torch.arange(values.start, values.stop, values.step)
    if isinstance(values, Tensor):
        if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
            raise ValueError(f"{what} must be of an integer type, not {values.dtype}.")
        return values.long()
    array = _as_array(what, values)
    if array.dtype.kind in "bfc":
        raise ValueError(f"{what} must be of an integer type, not {array.dtype}.")
    is_whole = array.dtype.kind in "iu" or (
        array.dtype.kind == "O" and all(map(_is_whole, array.flat))
    )
    if not is_whole:
        raise ValueError(f"{what} must be whole numbers, and none missing or text.")
    if array.size and not -(2**63) <= int(array.min()) <= int(array.max()) < 2**63:
        raise ValueError(f"{what} must be whole numbers of at most 64 bits.")
    # a copy in this machine's order of bytes
    return torch.from_numpy(array.astype(np.int64))


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _as_array(what: str, values: Any) -> np.ndarray:
    """Return an array of numbers, also of a Series or of a list of tensors."""
    if np.ma.is_masked(values):
        raise ValueError(f"{what} must not be masked; leave out what is missing.")
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{what} must be whole numbers in rows of one length.") from None
    if not array.size and not hasattr(values, "dtype"):
        return array.astype(np.int64)
    if array.dtype.kind == "O" and not array.ndim:
        raise TypeError(f"{what} must be whole numbers, not a {type(values).__name__}.")
    return array
