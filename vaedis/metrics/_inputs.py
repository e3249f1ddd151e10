"""Checks shared by every score: they return arrays that the formulas can trust."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from vaedis import _check

# Trees work in float32, and squares of larger numbers soon exceed float64.
_LARGEST_CODE = float(np.finfo(np.float32).max)
# scikit-learn's trees take two values this close for one (sklearn/tree/_partitioner.pyx).
SAME_VALUE = np.float32(1e-7)
# With fewer samples of each value, a score of codes that memorise samples looks like a good one.
_SAMPLES_PER_VALUE = 2
_TRAINING = ("codes", "factors")


def as_codes(codes: Any, name: str = "codes") -> np.ndarray:
    """Return codes as a finite array (n, z): float32 as it is, anything else as float64."""
    array = _to_matrix(codes, name, "latents")
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {array.dtype}, but real numbers are expected.")
    return _finite(array, name, "code", ", or look for the run that diverged")


def _finite(array: np.ndarray, name: str, noun: str, advice: str = "") -> np.ndarray:
    """Return an array of numbers as float32 or float64, checked to be finite in float32."""
    if array.dtype != np.float32:
        array = array.astype(np.float64, copy=False)
    if not np.isfinite(array).all():
        row, column = np.argwhere(~np.isfinite(array))[0]
        raise ValueError(
            f"{name}[{row}, {column}] is {array[row, column]}, but every {noun} must be finite: "
            f"drop that row{advice}."
        )
    if array.dtype == np.float64 and np.abs(array).max() > _LARGEST_CODE:
        row, column = np.unravel_index(np.abs(array).argmax(), array.shape)
        raise ValueError(
            f"{name}[{row}, {column}] is {array[row, column]:.3g}, but float32 ends at "
            f"{_LARGEST_CODE:.3g}: divide the {noun}s by a large number."
        )
    return array


def encoded(encode: Callable[[Any], Any], index: Any) -> np.ndarray:
    """Return the codes (n, z) that `encode` returns for observation indices (n,), checked."""
    codes = as_codes(encode(index))
    if len(codes) != len(index):
        raise ValueError(
            f"encode returned codes of shape {codes.shape} for {len(index)} observations: "
            "return one row for each of them."
        )
    return codes


def as_factors(factors: Any, name: str = "factors", *, real: bool = False) -> np.ndarray:
    """Return factors as an int64 array of shape (n, f), or as real numbers."""
    array = _to_matrix(factors, name, "factors")
    if array.dtype.kind == "O":
        # A DataFrame whose columns differ in type comes as Python objects.
        array = np.stack([_numbers(column) for column in array.T], axis=1)
    if array.dtype.kind not in "iubf":
        raise TypeError(
            f"{name} has dtype {array.dtype}, but {'numbers' if real else 'integers'} are "
            "expected: pass the index of each value, as np.unique(column, return_inverse=True)[1] "
            "gives it."
        )
    if real:
        return _finite(array, name, "factor").astype(np.float64)
    if array.dtype.kind != "f":
        return array.astype(np.int64, copy=False)
    # A float above 2^63 is a whole number too, but no int64 can hold it.
    is_integer = (np.abs(array) < 2.0**63) & (array == np.floor(array))
    if not is_integer.all():
        row, column = np.argwhere(~is_integer)[0]
        raise ValueError(
            f"{name}[{row}, {column}] is {array[row, column]}, but factors must be integers: pass "
            "the index of each value, or group continuous values into a few classes."
        )
    return array.astype(np.int64)


def _to_matrix(values: Any, name: str, columns: str) -> np.ndarray:
    """Return values as an array of two axes, neither of them empty."""
    if hasattr(values, "detach"):
        # A tensor may be on another device, require a gradient, or be of a type numpy lacks.
        values = values.detach().cpu()
        if values.is_floating_point() and values.element_size() < 4:
            values = values.float()
        values = values.numpy()
    if np.ma.is_masked(values):
        raise ValueError("some values are masked, but a score needs all of them.")
    array = np.asarray(values)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{name} has shape {array.shape}, not (samples, {columns}).")
    return array


def _numbers(column: np.ndarray) -> np.ndarray:
    """Return a column of Python objects as numbers if all are numbers, else unchanged."""
    typed = np.array(column.tolist())
    return typed if typed.dtype.kind in "iubf" and typed.ndim == 1 else column


def as_pair(
    codes: Any, factors: Any, names: tuple[str, str] = _TRAINING, *, real: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Check codes and factors, each alone and against each other; `real` factors are floats."""
    code_array = as_codes(codes, names[0])
    factor_array = as_factors(factors, names[1], real=real)
    n, n_latents = code_array.shape
    if n != len(factor_array):
        is_transposed = n_latents == len(factor_array) or n == factor_array.shape[1]
        advice = "pass its transpose if samples are columns" if is_transposed else "cut the longer"
        raise ValueError(
            f"{names[0]} has {n} rows and {names[1]} has {len(factor_array)}, but row i of both "
            f"must describe sample i: {advice}."
        )
    # There may be fewer test samples than latents, but not fewer training samples.
    if n_latents > n and names == _TRAINING:
        raise ValueError(
            f"{names[0]} has {n} rows (samples) and {n_latents} columns (latents), but a score "
            "needs as many samples as latents: pass the transpose of both, or more samples."
        )
    return code_array, factor_array


def split_samples(
    codes: Any,
    factors: Any,
    test: tuple[Any, Any] | None = None,
    n_test: int | None = None,
    seed: int = 0,
    *,
    real: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return codes and factors to train on and to test on: `test` itself, or a random draw."""
    _check.count("seed", seed, 0)
    code_array, factor_array = as_pair(codes, factors, real=real)
    if test is not None:
        if n_test is not None:
            raise ValueError("test and n_test exclude each other: leave one of them out.")
        return code_array, factor_array, *_test_pair(test, code_array, factor_array, real)
    n = len(code_array)
    n_test = max(n // 3, 1) if n_test is None else _check.count("n_test", n_test)
    if n_test >= n:
        raise ValueError(f"n_test is {n_test} of {n} samples, which leaves none to train on.")
    # Samples may be in the order of a grid; without a shuffle, test values would be unknown.
    order = np.random.Generator(np.random.PCG64(seed)).permutation(n)
    train_rows = np.sort(order[n_test:])
    test_rows = np.sort(order[:n_test])
    train = code_array[train_rows], factor_array[train_rows]
    return *train, code_array[test_rows], factor_array[test_rows]


def _test_pair(
    test: Any, codes: np.ndarray, factors: np.ndarray, real: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Check the test samples against the training samples."""
    if not isinstance(test, tuple | list) or len(test) != 2:
        raise ValueError(f"test must be a pair (codes, factors), not {type(test).__name__}.")
    test_codes, test_factors = as_pair(test[0], test[1], ("test codes", "test factors"), real=real)
    pairs = {"latents": (test_codes, codes), "factors": (test_factors, factors)}
    for name, (test_array, array) in pairs.items():
        if test_array.shape[1] != array.shape[1]:
            raise ValueError(
                f"the test samples have {test_array.shape[1]} {name} and the training samples "
                f"{array.shape[1]}: encode both with one model."
            )
    return test_codes, test_factors


def varying_factors(factors: np.ndarray) -> tuple[list[int], tuple[int, ...]]:
    """Return the factor columns that vary and those that do not, with a warning about the latter.

    Raises a ValueError if no factor varies, or one of integers has too many values for the samples.
    """
    n = len(factors)
    if factors.dtype.kind == "f":
        return _split_columns(1 + varies(factors))
    n_values = [int(classes(column).max()) + 1 for column in factors.T]
    for column, count in enumerate(n_values):
        if count > 1 and n < needed_samples(count):
            raise ValueError(
                f"factors[:, {column}] has {count} distinct values for {n} samples, but a score "
                f"needs at least {needed_samples(count)}: draw more samples, or group the values "
                "into fewer classes."
            )
    return _split_columns(n_values)


def varying_factors_of(space: Any, least: int = 1) -> tuple[list[int], tuple[int, ...]]:
    """Do the same for a FactorSpace; fewer than `least` varying factors raise a ValueError."""
    if not hasattr(space, "sizes"):
        raise TypeError(
            "space must be the factors of a data set (data.factors), not a "
            f"{type(space).__name__}: this score chooses the images it encodes; "
            "mig and dci need codes and labels only."
        )
    n_varying = sum(size > 1 for size in space.sizes)
    if n_varying < least:
        raise ValueError(
            f"{n_varying} factors of the space have more than one value, but this score needs at "
            f"least {least}."
        )
    return _split_columns(space.sizes)


def _split_columns(n_values: Any) -> tuple[list[int], tuple[int, ...]]:
    """Return the columns with several values and those with one, and warn of the latter."""
    varying = [column for column, count in enumerate(n_values) if count > 1]
    constant = [column for column, count in enumerate(n_values) if count == 1]
    if not varying:
        raise ValueError("every factor has one single value in these samples: draw more of them.")
    if constant:
        # The stack level names the line that asked for the score, or one near it.
        warnings.warn(
            f"factors {constant} have one single value and are left out of the score.",
            UserWarning,
            stacklevel=4,
        )
    return varying, tuple(constant)


def needed_samples(n_values: int) -> int:
    """Return how many samples a score of a factor with `n_values` values needs."""
    return _SAMPLES_PER_VALUE * n_values


def varies(codes: np.ndarray) -> np.ndarray:
    """Return whether each latent of (n, z) has more than one value: (z,) of bool."""
    # Not by their difference, which overflows for the largest float32.
    return codes.max(axis=0) != codes.min(axis=0)


def unit_variance(codes: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """Return sets of codes in float64, normalized by the mean and the deviation of the first."""
    center = codes.mean(axis=0, dtype=np.float64)
    unit = codes.std(axis=0, dtype=np.float64)
    # The square of a range below 1e-160 is 0, the range itself is not.
    unit = np.where(unit > 0, unit, np.ptp(codes.astype(np.float64), axis=0))
    unit = np.where(varies(codes), unit, 1.0)
    return [(array - center) / unit for array in (codes, *others)]


def classes(values: np.ndarray) -> np.ndarray:
    """Return each value of an integer array (n,) as its number among the distinct ones, from 0."""
    # In Python's integers, since the difference of two large ones may overflow.
    if int(values.max()) - int(values.min()) > 4 * len(values):
        return np.unique(values, return_inverse=True)[1]
    # Without sorting, which would take a fifth of MIG's time.
    offset = values - values.min()
    present = np.bincount(offset) > 0
    return (np.cumsum(present) - 1)[offset]


def require(module: str, purpose: str) -> ModuleType:
    """Import an optional dependency, or say which extra installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = {"sklearn": "scikit-learn"}.get(module.split(".")[0], module.split(".")[0])
        raise ImportError(
            f"{purpose} needs {package}, which is not installed: pip install vaedis[metrics]"
        ) from error
