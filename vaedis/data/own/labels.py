"""Read a reader's own factor labels: names, values in their order, and a code for each image."""

from __future__ import annotations

import datetime
import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedis import _check
from vaedis._support.text import plain
from vaedis.data.own.pixels import _array_of

# what becomes of a missing value where it is turned into text
_MISSING_WORDS = ("", "nan", "NaN", "None", "<NA>", "NaT")
_KINDS = "labels must be numbers or text (or dates)"


@dataclass(frozen=True)
class Factor:
    """One factor.

    Attributes
    ----------
    name : str
    values : ndarray, shape (f,)
        In their order.
    codes : ndarray of int64, shape (n,)
        For each image, the position of its value.
    alphabetical : bool
        Whether the order is that of the alphabet, which need not be one of the factor.
    """

    name: str
    values: np.ndarray
    codes: np.ndarray
    alphabetical: bool


def factors_of(
    labels: Any,
    n: int,
    names: Sequence[str] | None = None,
    order: Mapping[str, Sequence[Any]] | None = None,
) -> list[Factor]:
    """Return the factors that labels tell.

    Parameters
    ----------
    labels : array, tensor, list, DataFrame, structured array, or mapping of str to column
    n : int
        How many images there are.
    names : sequence of str, optional
        By default those that the labels have, and ``factor_0`` and so on where they have none.
    order : mapping of str to sequence, optional
        The values of factors in their order.

    Raises
    ------
    ValueError
        If a value is missing, or the labels do not fit the images.
    """
    own_names, columns = _columns(labels, n)
    if names is None:
        names = own_names or [f"factor_{k}" for k in range(len(columns))]
    names = [
        name.decode() if isinstance(name, bytes) else str(name) for name in _check.listed(names)
    ]
    if len(names) != len(columns):
        raise ValueError(
            f"There must be a name for each of the {len(columns)} factors, not {len(names)}: {', '.join(names)}."
        )
    if not all(name.strip() for name in names):
        raise ValueError(
            f"Each factor needs a name, but one is empty among: {', '.join(map(_shown, names[:20]))}."
        )
    if order is not None and not isinstance(order, Mapping):
        raise ValueError(
            f"order must name factors, as {{{names[0]!r}: [...]}}, not be {type(order).__name__}."
        )
    order = dict(order or {})
    for name in order:
        _check.one_of("factor in order", name, names)
    labels_of = [f"column {k} ({plain(name, 60)})" for k, name in enumerate(names)]
    return [
        _factor(name, column, n, order.get(name), label)
        for name, column, label in zip(names, columns, labels_of, strict=True)
    ]


def codes_of_sizes(sizes: Sequence[int], n: int) -> np.ndarray:
    """Return the factor values of images that hold each combination once, the last factor fastest:
    int64, shape (n, f).
    """
    sizes = [
        _check.count("each of sizes", size)
        for size in np.atleast_1d(np.asarray(sizes, object)).tolist()
    ]
    if math.prod(sizes) != n:
        product = "×".join(map(str, sizes))
        raise ValueError(
            f"sizes must multiply to the number of images, {n:,}, but {product} is {math.prod(sizes):,}."
        )
    return np.stack(np.unravel_index(np.arange(n), sizes), 1)


def _columns(labels: Any, n: int) -> tuple[list[str] | None, list[Any]]:
    """Return the names of columns, if there are any, and the columns."""
    fields = getattr(getattr(labels, "dtype", None), "names", None)
    if isinstance(labels, Mapping):
        return _flattened({str(name): column for name, column in labels.items()}, n)
    if fields:
        return _flattened({name: np.atleast_1d(labels)[name] for name in fields}, n)
    if hasattr(labels, "iloc") and hasattr(labels, "columns"):
        _need_rows(labels.shape, n, "labels.T")
        names = [
            f"factor_{name}" if isinstance(name, int) else str(name) for name in labels.columns
        ]
        return names, [labels.iloc[:, k] for k in range(len(names))]
    name = getattr(labels, "name", None)
    if _categories(labels) is not None or hasattr(labels, "iloc"):
        return [str(name)] if name is not None else None, [labels]
    array = _array(labels)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or not array.size:
        raise ValueError(
            f"labels must have the shape (images,) or (images, factors), not {array.shape}."
        )
    _need_rows(
        array.shape, n, "list(zip(*labels))" if isinstance(labels, list | tuple) else "labels.T"
    )
    return None, list(array.T)


def _need_rows(shape: tuple[int, ...], n: int, turned: str) -> None:
    if shape[0] != n and shape[1] == n:
        raise ValueError(
            f"labels have the shape {shape} for {n} images; turn them round with {turned}."
        )
    if shape[0] != n:
        raise ValueError(
            f"There must be one row of labels for each of the {n} images, not {shape[0]}."
        )


def _flattened(columns: dict[str, Any], n: int) -> tuple[list[str], list[Any]]:
    """Give each number of a column of several numbers, such as a position, a column of its own."""
    if not columns:
        raise ValueError("labels hold no column; give one for each factor.")
    flat: dict[str, Any] = {}
    for name, column in columns.items():
        array = column if _categories(column) is not None else _array(column)
        if array.ndim == 2 and len(array) == n:
            several = array.shape[1] > 1
            flat.update(
                {f"{name}_{k}" if several else name: part for k, part in enumerate(array.T)}
            )
        else:
            flat[name] = array
    return list(flat), list(flat.values())


def _array(labels: Any) -> np.ndarray:
    """Return labels as an array; of lists, each value keeps its own kind."""
    if isinstance(labels, Tensor):
        return _array_of(labels)
    if isinstance(labels, np.ma.MaskedArray):
        masked = np.ma.getmaskarray(labels)
        values = np.array(labels, object if masked.any() else None)
        values[masked] = None
        return values
    if not isinstance(labels, list | tuple):
        return np.asarray(labels)
    try:
        if labels and all(isinstance(row, Tensor) for row in labels):
            return _array_of(torch.stack(list(labels)))
        array = np.array(labels, object)
    except (ValueError, RuntimeError):
        array = None
    if array is None or (
        array.ndim == 1
        and any(isinstance(row, list | tuple) or getattr(row, "ndim", 0) for row in array)
    ):
        raise ValueError(
            "labels must have as many values in each row; give one row for each image."
        )
    return array


def _categories(column: Any) -> Any | None:
    """Return a pandas Categorical with its codes, or None if this is none."""
    if not hasattr(getattr(column, "dtype", None), "categories"):
        return None
    values = getattr(column, "array", column)
    return values if hasattr(values, "codes") else None


def _factor(name: str, column: Any, n: int, order: Sequence[Any] | None, label: str) -> Factor:
    """Return a factor, which messages call `label`."""
    categorical = _categories(column)
    array = np.asarray(categorical, object) if categorical is not None else _array(column)
    if array.shape != (n,):
        raise ValueError(
            f"{label} of the labels must have one value for each of the {n} images, not the shape {array.shape}."
        )
    if categorical is not None and order is None and _has_order(categorical):
        return _categorical_factor(name, categorical, array, label)
    values, codes = np.unique(_checked(array, label), return_inverse=True)
    if order is not None:
        positions = _positions(values, order, label)
        return Factor(name, values[positions], np.argsort(positions)[codes], False)
    if not _is_text(values):
        return Factor(name, values, codes, False)
    sizes = _as_numbers(values)
    if sizes is None:
        # of two values either order is the same
        return Factor(name, values, codes, len(values) > 2)
    positions = np.argsort(sizes, kind="stable")
    return Factor(name, values[positions], np.argsort(positions)[codes], False)


def _has_order(categorical: Any) -> bool:
    """Whether categories have an order of their own: those that merely are sorted, as pandas does
    it by itself, say nothing.
    """
    categories = list(categorical.categories)
    try:
        return categorical.ordered or categories != sorted(categories)
    except TypeError:
        return True


def _categorical_factor(name: str, categorical: Any, array: np.ndarray, label: str) -> Factor:
    positions = np.asarray(categorical.codes)
    _need_present(positions < 0, array, label)
    used, codes = np.unique(positions, return_inverse=True)
    return Factor(name, np.asarray(categorical.categories)[used], codes, False)


def _positions(values: np.ndarray, order: Sequence[Any], label: str) -> np.ndarray:
    """Return the positions of values in the order that is given, which may hold values that do not
    occur.
    """
    listed = np.asarray(order).tolist() if isinstance(order, Tensor | np.ndarray) else list(order)
    if isinstance(order, np.ndarray) and order.dtype.kind in "mM" and values.dtype.kind in "mM":
        # of one unit, without which days and seconds never are equal
        listed = order.astype(values.dtype).tolist()
    try:
        ranks = {
            value.decode() if isinstance(value, bytes) else value: k
            for k, value in enumerate(listed)
        }
    except TypeError:
        raise ValueError(
            f"order must list the values of {label}, each by itself, not lists of them."
        ) from None
    if len(ranks) < len(listed):
        raise ValueError(f"order names a value of {label} twice; name each once.")
    lacking = [value for value in values.tolist() if value not in ranks]
    if lacking:
        raise ValueError(
            f"order lacks the value {_shown(lacking[0])} of {label}; name all of its values."
        )
    return np.argsort([ranks[value] for value in values.tolist()])


def _checked(array: np.ndarray, label: str) -> np.ndarray:
    """Return a column of which every value is present, and all are of one kind."""
    if array.dtype.kind in "SOT":
        return _typed(array.astype(object), label)
    if array.dtype.kind == "U":
        _need_words(array, label)
    elif array.dtype.kind in "mM":
        _need_present(np.isnat(array), array, label)
    elif array.dtype.kind == "f":
        _need_finite(array, label)
    elif array.dtype.kind not in "iub":
        raise ValueError(f"{_KINDS}, but {label} holds {array.dtype}.")
    return array


def _typed(column: np.ndarray, label: str) -> np.ndarray:
    """Return what Python objects hold, as HDF5 and pandas give text: text, numbers or dates."""
    _need_present(np.array([_is_missing(value) for value in column], bool), column, label)
    values = [_plain_value(value, row, label) for row, value in enumerate(column)]
    kinds = [_kind(value) for value in values]
    for row, kind in enumerate(kinds):
        if not kind:
            raise ValueError(f"{_KINDS}, but row {row}, {label} is {_shown(values[row])}.")
        if kind != kinds[0]:
            raise ValueError(
                f"labels must be numbers or text, and each factor's all of one kind, but one holds {_shown(values[row])}, a {kind}, in "
                f"row {row}, {label}, and row 0 holds {_shown(values[0])}, a {kinds[0]}."
            )
    objects = np.empty(len(values), object)
    objects[:] = values
    if kinds[0] == "number":
        return _numbers(objects, label)
    if kinds[0] == "word":
        _need_words(objects, label)
    return objects


def _numbers(values: np.ndarray, label: str) -> np.ndarray:
    if all(isinstance(value, numbers.Integral) for value in values):
        try:
            return values.astype(np.int64)
        except OverflowError:
            largest = max(map(abs, values))
            raise ValueError(
                f"labels must fit 64 bits, but one is {_shown(largest)}, in {label}."
            ) from None
    try:
        floats = values.astype(np.float64)
    except OverflowError:
        raise ValueError(f"labels must fit 64 bits, but one in {label} is too large.") from None
    _need_finite(floats, label)
    if (floats != values).any():
        row = int(np.argmax(floats != values))
        raise ValueError(
            f"labels must fit a float of 64 bits, but row {row}, {label}, {_shown(values[row])}, does not."
        )
    return floats


def _need_finite(column: np.ndarray, label: str) -> None:
    finite = np.isfinite(column)
    if not finite.all():
        row = int(np.argmin(finite))
        raise ValueError(
            f"labels must be finite, but row {row}, {label} is {column[row]}; leave that image out, or give a value."
        )


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "word"
    if isinstance(value, numbers.Real):
        return "number"
    # a moment is a date too, but the two have no common order
    if isinstance(value, datetime.datetime | np.datetime64):
        return "moment" if getattr(value, "tzinfo", None) is None else "moment of a time zone"
    if isinstance(value, datetime.date):
        return "date"
    return "duration" if isinstance(value, datetime.timedelta | np.timedelta64) else ""


def _plain_value(value: Any, row: int, label: str) -> Any:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise ValueError(
                f"row {row}, {label} holds bytes that are no UTF-8 text; decode them first."
            ) from None
    if isinstance(value, np.bool_):
        return bool(value)
    return value.item() if isinstance(value, np.ndarray | Tensor) and value.ndim == 0 else value


def _is_missing(value: Any) -> bool:
    if value is None or value is np.ma.masked or type(value).__name__ in ("NAType", "NaTType"):
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError, RuntimeError):
        return False


def _need_present(missing: np.ndarray, column: np.ndarray, label: str) -> None:
    if missing.any():
        row = int(np.argmax(missing))
        raise ValueError(
            f"labels must not be missing, but row {row}, {label} is {column[row]}; leave that image out, or give a value."
        )


def _need_words(column: np.ndarray, label: str) -> None:
    """Raise a ValueError if a word stands for a missing value."""
    missing = np.isin(
        column, np.array(_MISSING_WORDS, column.dtype if column.dtype == object else None)
    )
    if missing.any():
        row = int(np.argmax(missing))
        value = str(column[row])
        raise ValueError(
            f"labels must not be missing, but row {row}, {label} is {value!r}; leave that image out, or give a name such as 'none'."
        )


def _is_text(values: np.ndarray) -> bool:
    return values.dtype.kind == "U" or (values.dtype == object and isinstance(values[0], str))


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
