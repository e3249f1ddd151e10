"""Read factor labels in the forms that people have: names, ordered values, and codes of images."""

from __future__ import annotations

import datetime
import decimal
import math
import numbers
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from vaedis import _check
from vaedis._support.text import plain
from vaedis.data.own.pixels import array_of_tensor

# what becomes of a missing value where it is turned into text
_MISSING_WORDS = ("", "nan", "NaN", "None", "<NA>", "NaT")
# what tables write for a missing value among numbers, in any capitals
_MISSING_AMONG_NUMBERS = {
    *("", "-", "--", "–", "—", "?", ".", "*", "na", "n/a", "n.a.", "<na>", "#na", "#n/a"),
    *("#n/a n/a", "nan", "-nan", "nat", "null", "none", "nil", "missing", "unknown"),
    *("1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan", "#null!", "#num!", "#div/0!", "#value!", "#ref!"),
}
# values that lie so many of the closest floats apart differ by rounding
_ULPS = 4
_HUGE = 1e300
_DATES = (datetime.date, datetime.timedelta, np.datetime64, np.timedelta64)


class Factor(NamedTuple):
    """A factor: its values in order, (f,), and the position of each image's value, (n,).

    `alphabetical` says that the order is that of the alphabet, for want of another, and `note` that
    two values may be one.
    """

    name: str
    values: np.ndarray
    codes: np.ndarray
    alphabetical: bool
    note: str = ""


def factors_of(
    labels: Any,
    n: int,
    names: Sequence[str] | None = None,
    order: Mapping[str, Sequence[Any]] | None = None,
) -> list[Factor]:
    """Return the factors of n images; see `LabelledImages` for the arguments."""
    own_names, columns = _columns(labels)
    if not columns:
        raise ValueError("labels hold no factor; give at least one value for each image.")
    names = _names(names if names is not None else own_names, len(columns))
    if not isinstance(order, Mapping | None):
        raise ValueError("order must be a mapping of factors' names to all values in their order.")
    order = dict(order or {})
    for name in order:
        _check.one_of("factor in order", name, names)
    factors = []
    for k, (name, column) in enumerate(zip(names, columns, strict=True)):
        if getattr(getattr(column, "dtype", None), "ordered", False):
            # a pandas Categorical that has an order of its own
            order.setdefault(name, list(column.dtype.categories))
            column = np.asarray(column, object)
        array = _array(column)
        if array.shape != (n,):
            given_rows = len(array) if array.ndim == 1 else f"an array of shape {array.shape}"
            raise ValueError(
                f"There must be one row of labels for each of the {n} images, not {given_rows}."
            )
        label = f"column {k} ({plain(name, 60)})"
        factors.append(_factor(name, array, order.get(name), label))
    return factors


def codes_of_sizes(sizes: Sequence[int], n: int) -> np.ndarray:
    """Return the labels of n images of all combinations, the last factor fastest, (n, f)."""
    sizes = [_check.count("each of sizes", size) for size in np.atleast_1d(sizes).tolist()]
    if math.prod(sizes) != n:
        product = f"{'×'.join(map(str, sizes))} is {math.prod(sizes):,}"
        raise ValueError(f"sizes must multiply to the number of images, {n:,}, but {product}.")
    return np.stack(np.unravel_index(np.arange(n), sizes), 1)


def _names(names: Sequence[str] | None, n_columns: int) -> list[str]:
    if names is None:
        return [f"factor_{k}" for k in range(n_columns)]
    names = [*_check.names_of_factors(map(_plain_value, _check.listed(names)))]
    if len(names) != n_columns:
        mismatch = f"{n_columns} factors, not {len(names)}: {', '.join(names[:20])}"
        raise ValueError(f"There must be a name for each of the {mismatch}.")
    return names


def _columns(labels: Any) -> tuple[list[str] | None, list[Any]]:
    """Return the columns of labels, and their names if they have any."""
    fields = getattr(getattr(labels, "dtype", None), "names", None)
    if isinstance(labels, Mapping):
        return list(labels), list(labels.values())
    if fields:
        return list(fields), [np.atleast_1d(labels)[field] for field in fields]
    if hasattr(labels, "iloc") and hasattr(labels, "columns"):
        names = [_name_of_column(name) for name in labels]
        return names, [labels.iloc[:, k] for k in range(len(names))]
    array = _array(labels)
    if array.ndim == 1:
        name = getattr(labels, "name", None)
        return None if name is None else [_name_of_column(name)], [labels]
    if array.ndim != 2:
        expected = "(images,) or (images, factors)"
        raise ValueError(f"labels must have the shape {expected}, not {array.shape}.")
    return None, list(array.T)


def _name_of_column(name: Any) -> str:
    """Return the name of a column of pandas, whose numbers count the columns."""
    return f"factor_{name}" if isinstance(name, numbers.Integral) else str(name)


def _array(labels: Any) -> np.ndarray:
    """Return labels as an array; of lists, each value keeps its own type."""
    if isinstance(labels, Tensor):
        return array_of_tensor(labels)
    if np.ma.isMaskedArray(labels):
        return np.array(labels.tolist(), object)  # None where it is masked
    if not isinstance(labels, list | tuple):
        return np.asarray(labels)
    rows = [row.tolist() if hasattr(row, "tolist") else row for row in labels]
    lengths = {len(row) if isinstance(row, list | tuple) else None for row in rows}
    if len(lengths) > 1:
        raise ValueError("labels must have as many values in each row, one row for each image.")
    return np.array(rows, object)


def _factor(name: str, column: np.ndarray, order: Sequence[Any] | None, label: str) -> Factor:
    """Return a factor, which messages call `label`."""
    if order is not None:
        return _factor_in_order(name, column, order, label)
    column = _checked(column, label)
    try:
        values, codes = np.unique(column, return_inverse=True)
    except TypeError:
        kinds = ", ".join(dict.fromkeys(type(value).__name__ for value in column))
        problem = "labels must be numbers or text, and each factor's all of one kind"
        raise ValueError(f"{problem}, but {label} holds {kinds}.") from None
    if not isinstance(values[0], str):
        return Factor(name, values, codes, False, _note_on_rounding(values, len(codes), label))
    texts = values.tolist()
    sizes = as_numbers(texts)
    if sizes is None:
        _need_no_gap(texts, codes, label)
        # of two values either order is the same
        return Factor(name, values, codes, len(values) > 2)
    _checked(sizes[codes], label)
    by_size, ranks = np.unique(sizes, return_inverse=True)
    # 1, 1.0 and 01 are one value, which keeps its shortest text
    shortest: dict[Any, str] = {}
    for text, size in sorted(zip(texts, sizes, strict=True), key=lambda pair: len(pair[0])):
        shortest.setdefault(size, text)
    values = np.array([shortest[size] for size in by_size], object)
    return Factor(name, values, ranks[codes], False, _note_on_rounding(by_size, len(codes), label))


def _note_on_rounding(values: np.ndarray, n: int, label: str) -> str:
    """Return a sentence if values, in ascending order, differ by rounding alone; "" if not."""
    listed = values.tolist()
    if values.dtype.kind not in "fO" or not all(isinstance(v, numbers.Real) for v in listed):
        return ""
    exact = np.array([isinstance(value, numbers.Integral) for value in listed])
    # whole numbers may be too large for a float
    double = np.array([float(value) if abs(value) < _HUGE else math.nan for value in listed])
    with np.errstate(over="ignore"):
        single = double.astype(np.float32).astype(float)
    # as 0.1 + 0.2 and 0.3
    gap = _ULPS * np.spacing(np.abs(double[1:]))
    if values.dtype == np.float32 and 2 * len(values) <= n:
        # of numbers that do not come again, two may well lie next to each other
        gap = _ULPS * np.spacing(np.abs(values[1:])).astype(float)
    is_close = np.diff(double) <= gap
    # as 0.1 in single and in double precision
    is_close |= (single[:-1] == double[1:]) | (double[:-1] == single[1:])
    is_zero = double == 0
    is_close &= ~(exact[:-1] & exact[1:]) & ~(is_zero[:-1] | is_zero[1:])
    if not is_close.any():
        return ""
    k = int(is_close.argmax())
    pair = f"{double[k].item()!r} and {double[k + 1].item()!r}"
    others = f" ({is_close.sum()} such pairs)" if is_close.sum() > 1 else ""
    return (
        f"In {label}, {pair} differ by rounding alone{others}, and count as two values; round the "
        "labels if they are one."
    )


def _factor_in_order(name: str, column: np.ndarray, order: Sequence[Any], label: str) -> Factor:
    """Return a factor whose values have a given order; those that do not occur are left out."""
    order = _array(order).tolist()
    positions = _positions(column.tolist(), order, label)
    used, codes = np.unique(positions, return_inverse=True)
    values = np.empty(len(used), object)
    values[:] = [order[k] for k in used]
    return Factor(name, values, codes, False)


def _need_no_gap(texts: list[str], codes: np.ndarray, label: str) -> None:
    """Refuse text that is numbers all but for words that tables write for a missing one."""
    is_word = [text.strip().casefold() in _MISSING_AMONG_NUMBERS for text in texts]
    others = [text for text, is_one in zip(texts, is_word, strict=True) if not is_one]
    if others and len(others) < len(texts) and as_numbers(others) is not None:
        row = int(np.argmax(np.array(is_word)[codes]))
        raise _not_valid(row, texts[codes[row]], label)


def _positions(column: list[Any], order: Any, label: str) -> list[int]:
    """Return the position of each value in an order, which may hold values that do not occur."""
    is_list = isinstance(order, list)
    if not is_list or not all(isinstance(_plain_value(value), Hashable) for value in order):
        raise ValueError(f"order must list the values of {label}.")
    ranks = {_plain_value(value): k for k, value in enumerate(order)}
    if len(ranks) < len(order):
        raise ValueError(f"order names a value of {label} twice; name each once.")
    positions = []
    for row, value in enumerate(map(_plain_value, column)):
        if not isinstance(value, Hashable) or value not in ranks:
            where = f"row {row}, {label} is {plain(repr(value), 60)}"
            raise ValueError(f"{where}; order must have all values, and none may be missing.")
        positions.append(ranks[value])
    return positions


def _checked(column: np.ndarray, label: str) -> np.ndarray:
    """Return a column whose values are all present: finite numbers, text or dates."""
    if column.dtype.kind in "iub":
        return column
    if column.dtype.kind == "f":
        is_valid = np.isfinite(column)
    elif column.dtype.kind in "mM":
        is_valid = ~np.isnat(column)
    else:
        values = [_plain_value(value) for value in column.tolist()]
        is_valid = np.array([_is_valid(value) for value in values])
        column = np.empty(len(values), object)
        column[:] = values
    if not is_valid.all():
        row = int(np.argmin(is_valid))
        raise _not_valid(row, column[row], label)
    return column


def _not_valid(row: int, value: Any, label: str) -> ValueError:
    """Return the error for a value that is missing or infinite."""
    shown = repr(value) if isinstance(value, str) else str(value)
    rule = "labels must be numbers, text or dates, and none missing or infinite"
    where = f"row {row}, {label} is {plain(shown, 60)}"
    return ValueError(f"{rule}, but {where}; leave that image out, or give a value.")


def _plain_value(value: Any) -> Any:
    """Return text for bytes, as HDF5 has it, and Python's numbers."""
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return value.item() if isinstance(value, np.generic) else value


def _is_valid(value: Any) -> bool:
    if isinstance(value, str):
        return value not in _MISSING_WORDS
    if isinstance(value, decimal.Decimal):
        return value.is_finite()
    if isinstance(value, numbers.Real):
        return bool(value - value == 0)
    return isinstance(value, _DATES) and bool(value == value)


def as_numbers(values: list[str]) -> np.ndarray | None:
    """Return the numbers that text stands for, or None if some of it stands for none."""
    # Python reads 1_0 as 10, but names are written so too
    if any("_" in value for value in values):
        return None
    try:
        return np.array([_number(value) for value in values], object)
    except ValueError:
        return None


def _number(text: str) -> float:
    """Return a number of any length, since float rounds integers beyond 2**53."""
    try:
        return int(text)
    except ValueError:
        return float(text)
