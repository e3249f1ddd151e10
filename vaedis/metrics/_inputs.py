"""Checks shared by every score: what a caller hands in becomes arrays that the formulas can trust."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from vaedis import _check

# Trees work in float32, and squares of larger numbers leave float64 soon.
_LARGEST_CODE = float(np.finfo(np.float32).max)
# Fewer samples of each value say next to nothing about it, and a memory of each sample passes for a
# score.
_SAMPLES_PER_VALUE = 2
_TRAINING = ("codes", "factors")


def as_codes(codes: Any, name: str = "codes") -> np.ndarray:
    """Return codes as a finite float array of shape (n, z); float32 stays float32, all else becomes
    float64.
    """
    array = _to_numpy(codes)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(
            f"{name} has shape {array.shape}, but (samples, latents) is expected: pass a 2-D array."
        )
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"{name} has dtype {array.dtype}, but real numbers are expected: convert it to float32."
        )
    if array.dtype != np.float32:
        array = array.astype(np.float64, copy=False)
    if not np.isfinite(array).all():
        row, column = np.argwhere(~np.isfinite(array))[0]
        raise ValueError(
            f"{name}[{row}, {column}] is {array[row, column]}, but every code must be finite: "
            "drop that row, or look for the run that diverged."
        )
    if array.dtype == np.float64 and np.abs(array).max() > _LARGEST_CODE:
        row, column = np.unravel_index(np.abs(array).argmax(), array.shape)
        raise ValueError(
            f"{name}[{row}, {column}] is {array[row, column]:.3g}, but float32 ends at {_LARGEST_CODE:.3g}: "
            "divide the codes by a large number."
        )
    return array


def encoded(encode: Callable[[Any], Any], index: Any) -> np.ndarray:
    """Return the codes (n, z) that `encode` makes of observation indices (n,), checked as by
    `as_codes`.
    """
    codes = as_codes(encode(index))
    if len(codes) != len(index):
        raise ValueError(
            f"encode returned codes of shape {codes.shape} for {len(index)} observations: return one row for each of them."
        )
    return codes


def as_factors(factors: Any, name: str = "factors") -> np.ndarray:
    """Return factors as an int64 array of shape (n, f)."""
    array = _to_numpy(factors)
    if array.dtype.kind == "O" and array.ndim == 2 and array.size:
        # A DataFrame whose columns differ in type comes as Python objects.
        array = np.stack([_numbers(column) for column in array.T], axis=1)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(
            f"{name} has shape {array.shape}, but (samples, factors) is expected: pass a 2-D array."
        )
    if array.dtype.kind in "iub":
        return array.astype(np.int64, copy=False)
    if array.dtype.kind != "f":
        raise TypeError(
            f"{name} has dtype {array.dtype}, but integers are expected: pass the index of each value, "
            "as np.unique(column, return_inverse=True)[1] gives it."
        )
    # Beyond 2^63 a float is a whole number too, but none that an integer can hold.
    whole = (np.abs(array) < 2.0**63) & (array == np.floor(array))
    if not whole.all():
        row, column = np.argwhere(~whole)[0]
        raise ValueError(
            f"{name}[{row}, {column}] is {array[row, column]}, but factors must be integers: "
            "pass the index of each value instead of the value, or group continuous values into a few classes."
        )
    return array.astype(np.int64)


def _numbers(column: np.ndarray) -> np.ndarray:
    """Return a column of Python objects as numbers if it holds nothing else, and as it is
    otherwise.
    """
    typed = np.array(column.tolist())
    return typed if typed.dtype.kind in "iubf" and typed.ndim == 1 else column


def as_pair(
    codes: Any, factors: Any, names: tuple[str, str] = _TRAINING
) -> tuple[np.ndarray, np.ndarray]:
    """Check codes and factors one by one and against each other."""
    code_array, factor_array = as_codes(codes, names[0]), as_factors(factors, names[1])
    n, n_latents = code_array.shape
    if n != len(factor_array):
        transposed = n_latents == len(factor_array) or n == factor_array.shape[1]
        raise ValueError(
            f"{names[0]} has {n} rows and {names[1]} has {len(factor_array)}, but row i of both must describe sample i: "
            + (
                "one of them has samples as columns, so pass its transpose."
                if transposed
                else "pass arrays of the same length."
            )
        )
    # Test samples may be few; training samples may not.
    if n_latents > n and names == _TRAINING:
        raise ValueError(
            f"{names[0]} has {n} rows (samples) and {n_latents} columns (latents), but a score needs at least as many samples as latents: "
            "pass the transpose of codes and factors if samples are columns, or else more samples."
        )
    return code_array, factor_array


def split_samples(
    codes: Any, factors: Any, test: tuple[Any, Any] | None, n_test: int | None, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return codes and factors to train and to test on, from `test` or by a random draw."""
    code_array, factor_array = as_pair(codes, factors)
    if test is not None:
        if not isinstance(test, tuple | list) or len(test) != 2:
            raise ValueError(
                f"test must be a pair (codes, factors), not {type(test).__name__}: pass both arrays in a tuple."
            )
        if n_test is not None:
            raise ValueError(
                "test and n_test were both given, but one says it all: leave one of them out."
            )
        test_codes, test_factors = as_pair(*test, names=("test codes", "test factors"))
        for name, a, b in (
            ("latents", test_codes, code_array),
            ("factors", test_factors, factor_array),
        ):
            if a.shape[1] != b.shape[1]:
                raise ValueError(
                    f"the test samples have {a.shape[1]} {name} and the training samples {b.shape[1]}: encode both with one model."
                )
        return code_array, factor_array, test_codes, test_factors
    n = len(code_array)
    n_test = max(n // 3, 1) if n_test is None else _check.count("n_test", n_test)
    if n_test >= n:
        raise ValueError(
            f"n_test is {n_test} of {n} samples, which leaves none to train on: lower it or add samples."
        )
    # Samples may come in the order of a grid, so a cut without a shuffle would test on values never
    # trained on.
    order = np.random.Generator(np.random.PCG64(seed)).permutation(n)
    train, held = np.sort(order[n_test:]), np.sort(order[:n_test])
    return code_array[train], factor_array[train], code_array[held], factor_array[held]


def live_factors(factors: np.ndarray) -> tuple[list[int], tuple[int, ...]]:
    """Split factor columns into those that vary and those left out, with a warning that names the
    latter.

    Raises
    ------
    ValueError
        If no factor varies, or a factor has more values than there are pairs of samples.
    """
    n, live, left_out = len(factors), [], []
    for column in range(factors.shape[1]):
        n_values = int(classes(factors[:, column]).max()) + 1
        if n_values == 1:
            left_out.append(column)
            continue
        if n < needed_samples(n_values):
            raise ValueError(
                f"factors[:, {column}] has {n_values} distinct values for {n} samples, but a score needs at least "
                f"{needed_samples(n_values)}: draw more samples, or group the values into fewer classes."
            )
        live.append(column)
    if not live:
        raise ValueError(
            "every factor has one single value in these samples, but a score needs one that varies: draw more samples."
        )
    _warn_left_out(left_out)
    return live, tuple(left_out)


def needed_samples(n_values: int) -> int:
    """Return how many samples a score of a factor with so many values needs."""
    return _SAMPLES_PER_VALUE * n_values


def live_factors_of(space: Any, least: int = 1) -> tuple[list[int], tuple[int, ...]]:
    """Split the factors of a FactorSpace likewise; fewer than `least` that vary are a ValueError."""
    if not hasattr(space, "sizes"):
        raise TypeError(
            f"space must be the factors of a data set (data.factors), not a {type(space).__name__}: this score draws images "
            "of its own choice, so pass a function that encodes them; codes and labels alone are enough for mig and dci."
        )
    live = [column for column, size in enumerate(space.sizes) if size > 1]
    if len(live) < least:
        raise ValueError(
            f"{len(live)} factors of the space have more than one value, but this score needs at least {least}."
        )
    left_out = tuple(column for column, size in enumerate(space.sizes) if size == 1)
    _warn_left_out(left_out)
    return live, left_out


def _warn_left_out(columns: Sequence[int]) -> None:
    """Say which factors no score can use."""
    if columns:
        # Blame the line that asked for the score, or one near it.
        warnings.warn(
            f"factors {list(columns)} have one single value and are left out of the score.",
            UserWarning,
            stacklevel=4,
        )


def varies(codes: np.ndarray) -> np.ndarray:
    """Return whether each latent of (n, z) has two values: (z,) of bool."""
    # Not their difference, which overflows for the largest float32.
    return codes.max(axis=0) != codes.min(axis=0)


def classes(values: np.ndarray) -> np.ndarray:
    """Number the distinct values of an integer array (n,) from 0, in ascending order."""
    # In Python's integers, since the difference of two large ones may overflow.
    if int(values.max()) - int(values.min()) > 4 * len(values):
        return np.unique(values, return_inverse=True)[1]
    offset = values - values.min()
    present = np.bincount(offset) > 0
    return (np.cumsum(present) - 1)[offset]


def require(module: str, purpose: str) -> ModuleType:
    """Import an optional dependency, or say which extra brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = {"sklearn": "scikit-learn"}.get(module.split(".")[0], module.split(".")[0])
        raise ImportError(
            f"{purpose} needs {package}, which is not installed: pip install vaedis[metrics]"
        ) from error


def _to_numpy(values: Any) -> np.ndarray:
    # A torch tensor may sit on another device and may require a gradient; numpy accepts neither.
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if values.is_floating_point() and values.element_size() < 4:
            values = values.float()
        values = values.numpy()
    if np.ma.is_masked(values):
        raise ValueError(
            "some values are masked, but a score needs all of them: drop those samples."
        )
    return np.asarray(values)
