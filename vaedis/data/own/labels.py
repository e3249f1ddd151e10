"""Read factor labels in the forms that people have: names, ordered values, and codes of images."""

from __future__ import annotations

import datetime
import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vaedis import _check
from vaedis._support.text import plain
from vaedis.data.own.pixels import array_of_tensor

# what becomes of a missing value where it is turned into text
_MISSING_WORDS = ("", "nan", "NaN", "None", "<NA>", "NaT")
_ORDERED = (str, numbers.Real, datetime.date, datetime.timedelta, np.datetime64, np.timedelta64)


class Factor(NamedTuple):
    """A factor: its values in order, (f,), and the position of each image's value, (n,)."""

    name: str
    values: np.ndarray
    codes: np.ndarray
    alphabetical: bool
    """Whether the order is that of the alphabet, for want of another."""


def factors_of(
    labels: Any,
    n: int,
    names: Sequence[str] | None = None,
    order: Mapping[str, Sequence[Any]] | None = None,
) -> list[Factor]:
    """Return the factors of n images; see `LabelledImages` for the arguments."""
    own_names, columns = _columns(labels, n)
    names = _names(names if names is not None else own_names, len(columns))
    if order is not None and not isinstance(order, Mapping):
        example = f"{{{names[0]!r}: [...]}}"
        raise ValueError(f"order must name factors, as {example}, not be {type(order).__name__}.")
    order = dict(order or {})
    for name in order:
        _check.one_of("factor in order", name, names)
    return [
        _factor(name, column, n, order.get(name), f"column {k} ({plain(name, 60)})")
        for k, (name, column) in enumerate(zip(names, columns, strict=True))
    ]


def codes_of_sizes(sizes: Sequence[int], n: int) -> np.ndarray:
    """Return the labels of n images of all combinations, the last factor fastest, (n, f)."""
    listed = np.atleast_1d(np.asarray(sizes, object)).tolist()
    sizes = [_check.count("each of sizes", size) for size in listed]
    if math.prod(sizes) != n:
        product = f"{'×'.join(map(str, sizes))} is {math.prod(sizes):,}"
        raise ValueError(f"sizes must multiply to the number of images, {n:,}, but {product}.")
    return np.stack(np.unravel_index(np.arange(n), sizes), 1)


def _names(names: Sequence[str] | None, n_columns: int) -> list[str]:
    if names is None:
        return [f"factor_{k}" for k in range(n_columns)]
    listed = _check.listed(names)
    names = [name.decode() if isinstance(name, bytes) else str(name) for name in listed]
    if len(names) != n_columns:
        mismatch = f"{n_columns} factors, not {len(names)}: {', '.join(names)}"
        raise ValueError(f"There must be a name for each of the {mismatch}.")
    if not all(name.strip() for name in names):
        shown = ", ".join(map(_shown, names[:20]))
        raise ValueError(f"Each factor needs a name, but one is empty among: {shown}.")
    return names


def _columns(labels: Any, n: int) -> tuple[list[str] | None, list[Any]]:
    """Return the columns of labels, and their names if they have any."""
    fields = getattr(getattr(labels, "dtype", None), "names", None)
    if isinstance(labels, Mapping):
        return _flattened({str(name): column for name, column in labels.items()}, n)
    if fields:
        return _flattened({name: np.atleast_1d(labels)[name] for name in fields}, n)
    if hasattr(labels, "iloc") and hasattr(labels, "columns"):
        _check_rows(labels.shape, n, "labels.T")
        names = [f"factor_{name}" if isinstance(name, int) else str(name) for name in labels]
        return names, [labels.iloc[:, k] for k in range(len(names))]
    if _categories(labels) is not None or hasattr(labels, "iloc"):
        name = getattr(labels, "name", None)
        return None if name is None else [str(name)], [labels]
    array = _array(labels)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or not array.size:
        expected = "(images,) or (images, factors)"
        raise ValueError(f"labels must have the shape {expected}, not {array.shape}.")
    is_list = isinstance(labels, list | tuple)
    _check_rows(array.shape, n, "list(zip(*labels))" if is_list else "labels.T")
    return None, list(array.T)


def _check_rows(shape: tuple[int, ...], n: int, transposed: str) -> None:
    if shape[0] != n and shape[1] == n:
        raise ValueError(f"labels have the shape {shape} for {n} images; give {transposed}.")
    if shape[0] != n:
        raise ValueError(
            f"There must be one row of labels for each of the {n} images, not {shape[0]}."
        )


def _flattened(columns: dict[str, Any], n: int) -> tuple[list[str], list[Any]]:
    """Give each number of a column of several numbers, such as a position, its own column."""
    if not columns:
        raise ValueError("labels hold no column; give one for each factor.")
    flat: dict[str, Any] = {}
    for name, column in columns.items():
        array = column if _categories(column) is not None else _array(column)
        if array.ndim != 2 or len(array) != n:
            flat[name] = array
        elif array.shape[1] == 1:
            flat[name] = array[:, 0]
        else:
            flat.update({f"{name}_{k}": part for k, part in enumerate(array.T)})
    return list(flat), list(flat.values())


def _array(labels: Any) -> np.ndarray:
    """Return labels as an array; of lists, each value keeps its own type."""
    if isinstance(labels, Tensor):
        return array_of_tensor(labels)
    if isinstance(labels, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(labels)
        values = np.array(labels, object if mask.any() else None)
        values[mask] = None
        return values
    if not isinstance(labels, list | tuple):
        return np.asarray(labels)
    try:
        if labels and all(isinstance(row, Tensor) for row in labels):
            return array_of_tensor(torch.stack(list(labels)))
        array = np.array(labels, object)
    except (ValueError, RuntimeError):
        array = None
    if array is None or (array.ndim == 1 and any(map(_is_row, array))):
        raise ValueError("labels must have as many values in each row, one row for each image.")
    return array


def _is_row(value: Any) -> bool:
    return isinstance(value, list | tuple) or bool(getattr(value, "ndim", 0))


def _categories(column: Any) -> Any | None:
    """Return a pandas Categorical with its codes; None for anything else."""
    if not hasattr(getattr(column, "dtype", None), "categories"):
        return None
    values = getattr(column, "array", column)
    return values if hasattr(values, "codes") else None


def _factor(name: str, column: Any, n: int, order: Sequence[Any] | None, label: str) -> Factor:
    """Return a factor, which messages call `label`."""
    categorical = _categories(column)
    array = _array(column) if categorical is None else np.asarray(categorical, object)
    if array.shape != (n,):
        expected = f"one value for each of the {n} images"
        raise ValueError(f"{label} of the labels must have {expected}, not {array.shape}.")
    if categorical is not None and order is None and _has_order(categorical):
        positions = np.asarray(categorical.codes)
        _check_rows_are(positions >= 0, array, label, "not be missing")
        used, codes = np.unique(positions, return_inverse=True)
        return Factor(name, np.asarray(categorical.categories)[used], codes, False)
    values, codes = _distinct(_checked(array, label), label)
    alphabetical = False
    if order is not None:
        positions = _positions(values, order, label)
    else:
        positions = np.arange(len(values))
        if values.dtype.kind == "U" or isinstance(values[0], str):
            sizes = _as_numbers(values)
            # of two values either order is the same
            alphabetical = sizes is None and len(values) > 2
            positions = positions if sizes is None else np.argsort(sizes, kind="stable")
    return Factor(name, values[positions], np.argsort(positions)[codes], alphabetical)


def _has_order(categorical: Any) -> bool:
    """Whether categories have an order of their own: pandas sorts those that have none."""
    categories = list(categorical.categories)
    try:
        return categorical.ordered or categories != sorted(categories)
    except TypeError:
        return True


def _positions(values: np.ndarray, order: Sequence[Any], label: str) -> np.ndarray:
    """Return the positions of values in an order, which may hold values that do not occur."""
    listed = np.asarray(order).tolist() if isinstance(order, Tensor | np.ndarray) else list(order)
    if isinstance(order, np.ndarray) and order.dtype.kind in "mM" and values.dtype.kind in "mM":
        # of one unit, without which days and seconds never are equal
        listed = order.astype(values.dtype).tolist()
    listed = [value.decode() if isinstance(value, bytes) else value for value in listed]
    try:
        ranks = {value: k for k, value in enumerate(listed)}
    except TypeError:
        raise ValueError(f"order must list the values of {label}, not lists of them.") from None
    if len(ranks) < len(listed):
        raise ValueError(f"order names a value of {label} twice; name each once.")
    for value in values.tolist():
        if value not in ranks:
            raise ValueError(f"order lacks the value {_shown(value)} of {label}.")
    return np.argsort([ranks[value] for value in values.tolist()])


def _checked(array: np.ndarray, label: str) -> np.ndarray:
    """Return a column whose values are all present, and numbers, text or dates."""
    kind = array.dtype.kind
    if kind in "SOT":
        return _of_objects(array.astype(object), label)
    if kind == "U":
        _check_words(array, label)
    elif kind in "mM":
        _check_rows_are(~np.isnat(array), array, label, "not be missing")
    elif kind == "f":
        _check_rows_are(np.isfinite(array), array, label, "be finite")
    elif kind not in "iub":
        raise ValueError(f"labels must be numbers, text or dates, but {label} holds {array.dtype}.")
    return array


def _distinct(column: np.ndarray, label: str) -> tuple[np.ndarray, np.ndarray]:
    """Return sorted values and the position of each row's value."""
    try:
        return np.unique(column, return_inverse=True)
    except TypeError:
        kinds = ", ".join(dict.fromkeys(type(value).__name__ for value in column))
        problem = "labels must be numbers or text, and each factor's all of one kind"
        raise ValueError(f"{problem}, but {label} holds {kinds}.") from None


def _of_objects(column: np.ndarray, label: str) -> np.ndarray:
    """Return the text, numbers or dates of Python objects, as HDF5 and pandas give text."""
    present = [not _is_missing(value) for value in column]
    _check_rows_are(np.array(present), column, label, "not be missing")
    values = np.empty(len(column), object)
    values[:] = [_plain_value(value, row, label) for row, value in enumerate(column)]
    have_order = np.array([isinstance(value, _ORDERED) for value in values])
    _check_rows_are(have_order, values, label, "be numbers, text or dates")
    if all(isinstance(value, numbers.Real) for value in values):
        return _numbers(values, label)
    if all(isinstance(value, str) for value in values):
        _check_words(values, label)
    return values


def _numbers(values: np.ndarray, label: str) -> np.ndarray:
    are_whole = all(isinstance(value, numbers.Integral) for value in values)
    try:
        numbers_64 = values.astype(np.int64 if are_whole else np.float64)
    except OverflowError:
        largest = _shown(max(values, key=abs))
        raise ValueError(f"labels must fit 64 bits, but one is {largest}, in {label}.") from None
    _check_rows_are(np.isfinite(numbers_64), values, label, "be finite")
    _check_rows_are(numbers_64 == values, values, label, "fit a float of 64 bits")
    return numbers_64


def _plain_value(value: Any, row: int, label: str) -> Any:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise ValueError(f"row {row}, {label} holds bytes that are no UTF-8 text.") from None
    if isinstance(value, np.bool_):
        return bool(value)
    return value.item() if isinstance(value, np.ndarray | Tensor) and value.ndim == 0 else value


def _is_missing(value: Any) -> bool:
    if value is None or value is np.ma.masked or type(value).__name__ in ("NAType", "NaTType"):
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError, ArithmeticError, RuntimeError):
        return False


def _check_words(column: np.ndarray, label: str) -> None:
    """Refuse words that stand for a missing value."""
    words = np.array(_MISSING_WORDS, object if column.dtype == object else None)
    advice = "leave that image out, or give a name such as 'none'"
    _check_rows_are(~np.isin(column, words), column, label, "not be missing", advice)


def _check_rows_are(
    valid: np.ndarray,
    column: np.ndarray,
    label: str,
    rule: str,
    advice: str = "leave that image out, or give a value",
) -> None:
    if not valid.all():
        row = int(np.argmin(valid))
        value = repr(str(column[row])) if isinstance(column[row], str) else str(column[row])
        where = f"row {row}, {label} is {plain(value, 60)}"
        raise ValueError(f"labels must {rule}, but {where}; {advice}.")


def _as_numbers(values: np.ndarray) -> np.ndarray | None:
    """Return the numbers that text stands for, or None if some of it stands for none."""
    # Python reads 1_0 as 10, but names are written so too
    if any("_" in value for value in values.tolist()):
        return None
    try:
        sizes = np.array([float(value) for value in values.tolist()])
    except ValueError:
        return None
    return sizes if np.isfinite(sizes).all() else None


def _shown(value: Any) -> str:
    return plain(repr(value), 60)
