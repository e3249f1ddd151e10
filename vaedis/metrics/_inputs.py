"""The one check of what is scored: arrays that the formulas can trust come out."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch

from vaedis import _check

# Trees work in float32, and squares of larger numbers soon exceed float64.
_LARGEST = np.finfo(np.float32).max
# Squares of smaller ranges soon lose digits in float64.
_NARROWEST = 1e-100
# With fewer samples of each value, a score of codes that memorise samples looks like a good one.
SAMPLES_PER_VALUE = 2


@dataclass(frozen=True)
class Samples:
    """Codes (n, z) and the factors that vary (n, f): numbers of classes from 0, or real numbers.

    Class -1 of a test sample is one that the samples to train on lack.
    """

    codes: np.ndarray
    factors: np.ndarray
    columns: tuple[int, ...]
    constant: tuple[int, ...]
    test_codes: np.ndarray
    test_factors: np.ndarray


def samples(codes: Any, factors: Any, seed: int, *, allow_real: bool = False) -> Samples:
    """Check codes, factors and seed; there are no test samples."""
    _check.count("seed", seed, 0)
    code_array, factor_array = as_pair(codes, factors, allow_real=allow_real)
    return _samples(code_array, factor_array, code_array[:0], factor_array[:0])


def split_samples(
    codes: Any, factors: Any, test: Any, n_test: int | None, seed: int, *, allow_real: bool = False
) -> Samples:
    """Check codes and factors to train on and to test on: `test` itself, or a random draw."""
    _check.count("seed", seed, 0)
    code_array, factor_array = as_pair(codes, factors, allow_real=allow_real)
    if test is None:
        n = len(code_array)
        n_test = max(n // 3, 1) if n_test is None else _check.count("n_test", n_test)
        if n_test >= n:
            raise ValueError(f"n_test is {n_test} of {n} samples, which leaves none to train on.")
        # Samples may be in the order of a grid; without a shuffle, test values would be unknown.
        order = np.random.Generator(np.random.PCG64(seed)).permutation(n)
        train, rest = np.sort(order[n_test:]), np.sort(order[:n_test])
        return _samples(
            code_array[train], factor_array[train], code_array[rest], factor_array[rest]
        )
    if n_test is not None:
        raise ValueError("test and n_test exclude each other: leave one of them out.")
    if not isinstance(test, tuple | list) or len(test) != 2:
        raise ValueError(f"test must be a pair (codes, factors), not {type(test).__name__}.")
    test_codes, test_factors = as_pair(
        *test, allow_real=allow_real, names=("test codes", "test factors")
    )
    for name, given, array in (
        ("latents", test_codes, code_array),
        ("factors", test_factors, factor_array),
    ):
        if given.shape[1] != array.shape[1]:
            raise ValueError(
                f"the test samples have {given.shape[1]} {name} and the training samples "
                f"{array.shape[1]}: encode both with one model."
            )
    return _samples(code_array, factor_array, test_codes, test_factors)


def _samples(
    codes: np.ndarray, factors: np.ndarray, test_codes: np.ndarray, test_factors: np.ndarray
) -> Samples:
    """Leave out factors of one value; number the values of the others unless they are real."""
    values = [np.unique(column) for column in factors.T]
    columns, constant = varying_columns([len(known) for known in values])
    factors, test_factors = factors[:, columns], test_factors[:, columns]
    if factors.dtype == np.int64:
        for i, column in enumerate(columns):
            known = values[column]
            if len(codes) < SAMPLES_PER_VALUE * len(known):
                raise ValueError(
                    f"factors[:, {column}] has {len(known)} distinct values for {len(codes)} "
                    f"samples, but a score needs at least {SAMPLES_PER_VALUE * len(known)}: draw "
                    "more samples, or group the values into fewer classes."
                )
            if 0 < len(test_codes) < len(known):
                raise ValueError(
                    f"factors[:, {column}] has {len(known)} distinct values, but there are "
                    f"{len(test_codes)} samples to test on: test on at least {len(known)}."
                )
            factors[:, i] = np.searchsorted(known, factors[:, i])
            position = np.minimum(np.searchsorted(known, test_factors[:, i]), len(known) - 1)
            test_factors[:, i] = np.where(known[position] == test_factors[:, i], position, -1)
    return Samples(codes, factors, columns, constant, test_codes, test_factors)


def as_pair(
    codes: Any,
    factors: Any,
    *,
    allow_real: bool = False,
    keep_whole: bool = False,
    names: tuple[str, str] = ("codes", "factors"),
) -> tuple[np.ndarray, np.ndarray]:
    """Return codes as float32 or float64, and factors as int64, or as float64 if `allow_real`.

    With `keep_whole`, factors that are whole numbers are int64 nevertheless.
    """
    code_array = as_codes(codes, names[0])
    factor_array = _matrix(factors, names[1], "factors")
    whole = True
    if factor_array.dtype.kind == "f":
        factor_array = factor_array.astype(np.float64)
        is_whole = (np.abs(factor_array) < 2.0**63) & (factor_array == np.floor(factor_array))
        whole = bool(is_whole.all())
        if not whole and not allow_real:
            row, column = np.argwhere(~is_whole)[0]
            raise ValueError(
                f"{names[1]}[{row}, {column}] is {factor_array[row, column]}, but factors must be "
                "integers: pass the index of each value, or group continuous values into a few "
                "classes."
            )
    as_real = allow_real and not (whole and keep_whole)
    factor_array = _converted(factor_array, np.float64 if as_real else np.int64, names[1])
    n, n_latents = code_array.shape
    if n != len(factor_array):
        raise ValueError(
            f"{names[0]} has {n} rows and {names[1]} has {len(factor_array)}, but row i of both "
            "must describe sample i: cut the longer, or pass its transpose if samples are columns."
        )
    # There may be fewer test samples than latents, but not fewer training samples.
    if n_latents > n and names[0] == "codes":
        raise ValueError(
            f"codes has {n} rows (samples) and {n_latents} columns (latents), but a score needs as "
            "many samples as latents: pass the transpose of both, or more samples."
        )
    return code_array, factor_array


def as_codes(codes: Any, name: str = "codes") -> np.ndarray:
    """Return codes as a finite array (n, z): float32 as it is, anything else as float64."""
    array = _matrix(codes, name, "latents")
    return array if array.dtype == np.float32 else _converted(array, np.float64, name)


def _converted(array: np.ndarray, dtype: type[np.generic], name: str) -> np.ndarray:
    """Return numbers in a type that tells whole ones apart, or raise a ValueError."""
    if array.dtype.kind in "iu":
        bits = 53 if dtype is np.float64 else 63
        largest = min(2**bits, np.iinfo(np.int64).max)
        beyond = (array < -(2**bits)) | (array > largest)
        if beyond.any():
            row, column = np.argwhere(beyond)[0]
            raise ValueError(
                f"{name}[{row}, {column}] is {array[row, column]}, but whole numbers beyond "
                f"2**{bits} are not told apart: subtract the smallest one of that column from all "
                "of it, in training and test samples alike."
            )
    return array.astype(dtype, copy=False)


def need_squares(codes: np.ndarray) -> None:
    """Refuse codes (n, z) of a latent that varies so little that squares of its changes are 0."""
    spans = np.ptp(codes.astype(np.float64), axis=0)
    narrow = np.flatnonzero((spans > 0) & (spans < _NARROWEST))
    if len(narrow):
        raise ValueError(
            f"codes[:, {narrow[0]}] varies by {spans[narrow[0]]:.1g} only, whose squares are lost: "
            "multiply it by a large number."
        )


def encoded(encode: Callable[[Any], Any], index: Any) -> np.ndarray:
    """Return the codes (n, z) that `encode` returns for observation indices (n,), checked."""
    codes = as_codes(encode(index))
    if len(codes) != len(index):
        raise ValueError(
            f"encode returned codes of shape {codes.shape} for {len(index)} observations: "
            "return one row for each of them."
        )
    return codes


def _matrix(values: Any, name: str, columns: str) -> np.ndarray:
    """Return values as a finite array of numbers with two axes, neither of them empty."""
    if np.ma.is_masked(values):
        raise ValueError("some values are masked, but a score needs all of them.")
    try:
        array = _dense(values)
    except Exception as problem:  # of torch, numpy and whatever they call
        line = (str(problem).splitlines() or [type(problem).__name__])[0].rstrip(".")
        raise ValueError(
            f"{name} must be an array of shape (samples, {columns}), which a "
            f"{type(values).__name__} like this does not become: {line}."
        ) from problem
    if array.ndim == 0:
        raise ValueError(
            f"{name} must be an array of shape (samples, {columns}), not a {type(values).__name__}."
        )
    if array.ndim != 2 or 0 in array.shape:
        advice = f"; use {name}[:, None] for a single column" if array.ndim == 1 else ""
        raise ValueError(f"{name} has shape {array.shape}, not (samples, {columns}){advice}.")
    if array.dtype.kind not in "fiub":
        advice = (
            ": pass the index of each value, as np.unique(column, return_inverse=True)[1] gives it"
        )
        raise TypeError(
            f"{name} has dtype {array.dtype}, but real numbers are expected"
            f"{'' if columns == 'latents' else advice}."
        )
    if array.dtype.kind == "f":
        bad = ~(np.abs(array) <= _LARGEST)
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise ValueError(
                f"{name}[{row}, {column}] is {array[row, column]:.4g}, but every number must be "
                f"finite, and at most {_LARGEST:.3g}, where float32 ends: drop that row, or divide "
                "all by a large number."
            )
    return array


def _dense(values: Any) -> np.ndarray:
    """Return numbers as an array of numpy, whatever holds them."""
    if isinstance(values, list | tuple) and any(isinstance(row, torch.Tensor) for row in values):
        values = torch.stack([torch.as_tensor(row) for row in values])
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        if values.is_quantized:
            values = values.dequantize()
        if values.layout != torch.strided:
            values = values.to_dense()
        # numpy has no bfloat16
        values = (values.float() if values.dtype.itemsize < 4 else values).numpy()
    elif hasattr(values, "toarray"):  # a sparse array of scipy
        values = values.toarray()
    array = np.asarray(values)
    # a DataFrame whose columns differ in type
    return np.array(array.tolist()) if array.dtype == object else array


def varying_columns(n_values: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the columns with several values and those with one, and warn of the latter."""
    varying = [column for column, count in enumerate(n_values) if count > 1]
    constant = [column for column, count in enumerate(n_values) if count == 1]
    if not varying:
        raise ValueError("every factor has one single value in these samples: draw more of them.")
    if constant:
        # The stack level names a line near the one that asked for the score.
        warnings.warn(
            f"factors {constant} have one single value and are left out of the score.",
            UserWarning,
            stacklevel=4,
        )
    return tuple(varying), tuple(constant)


def varying_factors_of(space: Any, least: int = 1) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Do as `varying_columns` for a FactorSpace, of which at least `least` factors must vary."""
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
    return varying_columns(space.sizes)


def varies(codes: np.ndarray) -> np.ndarray:
    """Return whether each latent of (n, z) has more than one value: (z,) of bool."""
    # Not by their difference, which overflows for the largest float32.
    return codes.max(axis=0) != codes.min(axis=0)


def near_zero(codes: np.ndarray, *more_codes: np.ndarray) -> list[np.ndarray]:
    """Return sets of codes, relative to the first row where a sum would lose their differences.

    No float32 that varies is as far from 0 as that, and all others stay as they are.
    """
    far = np.abs(codes[0]) > 2.0**40 * np.ptp(codes.astype(np.float64), axis=0)
    far &= varies(codes)
    if not far.any():
        return [codes, *more_codes]
    return [array - np.where(far, codes[0], 0.0) for array in (codes, *more_codes)]


def unit_variance(codes: np.ndarray, *more_codes: np.ndarray) -> list[np.ndarray]:
    """Return sets of codes in float64, normalized by the mean and the deviation of the first."""
    near = near_zero(codes, *more_codes)
    # The square of a range below 1e-154 loses digits; a power of two keeps the numbers exact.
    spans = np.ptp(near[0].astype(np.float64), axis=0)
    tiny = (spans > 0) & (spans < _NARROWEST)
    if tiny.any():
        exponents = np.where(tiny, -np.frexp(spans)[1], 0)
        near = [np.ldexp(array.astype(np.float64), exponents) for array in near]
    codes = near[0]
    center = codes.mean(axis=0, dtype=np.float64)
    unit = codes.std(axis=0, dtype=np.float64)
    unit = np.where(varies(codes), unit, 1.0)
    return [(array - center) / unit for array in near]


def require(module: str, score: str) -> ModuleType:
    """Import a module that a score needs, or say what installs it."""
    return _check.package(module, f"compute {score}", "metrics")
