"""Checks shared by every score: what a caller hands in becomes arrays that the formulas can trust."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np


def as_codes(codes: Any, name: str = "codes") -> np.ndarray:
    """Return codes as a finite float array of shape (n, z); float32 stays float32, all else becomes float64."""
    array = _to_numpy(codes)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{name} has shape {array.shape}, but (samples, latents) is expected: pass a 2-D array.")
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {array.dtype}, but real numbers are expected: convert it to float32.")
    if array.dtype != np.float32:
        array = array.astype(np.float64)
    if not np.isfinite(array).all():
        row, column = np.argwhere(~np.isfinite(array))[0]
        raise ValueError(
            f"{name}[{row}, {column}] is {array[row, column]}, but every code must be finite: "
            "drop that row, or look for the run that diverged."
        )
    return array


def as_factors(factors: Any, name: str = "factors") -> np.ndarray:
    """Return factors as an int64 array of shape (n, f)."""
    array = _to_numpy(factors)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{name} has shape {array.shape}, but (samples, factors) is expected: pass a 2-D array.")
    if array.dtype.kind in "iub":
        return array.astype(np.int64)
    if array.dtype.kind != "f":
        raise TypeError(f"{name} has dtype {array.dtype}, but integers are expected: pass the index of each value.")
    whole = np.isfinite(array) & (array == np.floor(array))
    if not whole.all():
        row, column = np.argwhere(~whole)[0]
        raise ValueError(
            f"{name}[{row}, {column}] is {array[row, column]}, but factors must be integers: "
            "pass the index of each value instead of the value."
        )
    return array.astype(np.int64)


def as_pair(codes: Any, factors: Any, names: tuple[str, str] = ("codes", "factors")) -> tuple[np.ndarray, np.ndarray]:
    """Check codes and factors one by one and against each other."""
    code_array, factor_array = as_codes(codes, names[0]), as_factors(factors, names[1])
    if len(code_array) != len(factor_array):
        raise ValueError(
            f"{names[0]} has {len(code_array)} rows and {names[1]} has {len(factor_array)}, "
            "but row i of both must describe sample i: pass arrays of the same length."
        )
    return code_array, factor_array


def live_factors(factors: np.ndarray, n_train: int | None = None) -> tuple[list[int], tuple[int, ...]]:
    """Split factor columns into those that vary and those left out, with a warning that names the latter.

    Raises
    ------
    ValueError
        If no factor varies, or a factor has as many values as there are samples (to train on).
    """
    n = len(factors) if n_train is None else n_train
    live, left_out = [], []
    for column in range(factors.shape[1]):
        n_values = int(classes(factors[:, column]).max()) + 1
        if n_values == 1:
            left_out.append(column)
            continue
        if n_values >= n:
            raise ValueError(
                f"factors[:, {column}] has {n_values} distinct values for {n} samples, but a score needs more samples "
                "than values: draw more samples, or group the values into fewer classes."
            )
        live.append(column)
    if not live:
        raise ValueError("every factor has one single value in these samples, but a score needs one that varies: draw more samples.")
    warn_left_out(left_out)
    return live, tuple(left_out)


def warn_left_out(columns: Sequence[int]) -> None:
    """Say which factors no score can use."""
    if columns:
        # Blame the line that asked for the score, or one near it.
        warnings.warn(f"factors {list(columns)} have one single value and are left out of the score.", UserWarning, stacklevel=4)


def classes(values: np.ndarray) -> np.ndarray:
    """Number the distinct values of an integer array (n,) from 0, in ascending order."""
    offset = values - values.min()
    if offset.max() > 4 * len(values):
        return np.unique(values, return_inverse=True)[1]
    present = np.bincount(offset) > 0
    return (np.cumsum(present) - 1)[offset]


def require(module: str, purpose: str) -> ModuleType:
    """Import an optional dependency, or say which extra brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = {"sklearn": "scikit-learn"}.get(module.split(".")[0], module.split(".")[0])
        raise ImportError(f"{purpose} needs {package}, which is not installed: pip install vaedis[metrics]") from error


def _to_numpy(values: Any) -> np.ndarray:
    # A torch tensor may sit on another device and may require a gradient; numpy accepts neither.
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if values.is_floating_point() and values.element_size() < 4:
            values = values.float()
        values = values.numpy()
    return np.asarray(values)
