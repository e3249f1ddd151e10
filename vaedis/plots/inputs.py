"""What figures take: arrays that can be drawn as they are meant, or one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from vaedis import _check
from vaedis._support.integers import integers


def as_array(values: Any) -> np.ndarray:
    """Return an array, also of a tensor with a gradient or on a GPU, or of a list of such."""
    _need_no_mask(values)
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if values.is_floating_point() and values.element_size() < 4:
            values = values.float()  # numpy has no bfloat16
    elif isinstance(values, list | tuple) and any(hasattr(value, "detach") for value in values):
        values = [as_array(value) for value in values]
    return np.asarray(values)


def _need_no_mask(values: Any) -> None:
    if np.ma.is_masked(values):
        raise ValueError("masked values cannot be drawn; give NaN in their place: .filled(np.nan).")


def as_bytes(columns: Mapping[str, np.ndarray], *, spread: bool = True) -> dict[str, np.ndarray]:
    """Return images as bytes; the range of all floats is spread over 0 … 255, or is 0 … 1."""
    arrays = {name: as_array(images) for name, images in columns.items()}
    kinds = {images.dtype.kind for images in arrays.values()}
    if not kinds <= set("biuf"):
        raise ValueError("images must be arrays of numbers.")
    if len(kinds) > 1 and kinds & set("bf"):
        raise ValueError(
            "images must all be floats, all whole numbers or all boolean, since white is 1 of the "
            "ones and 255 of the others; make them alike."
        )
    if not all(np.isfinite(images).all() for images in arrays.values()):
        raise ValueError("images must have finite pixels, but some are NaN or infinite.")
    low = min(float(images.min()) for images in arrays.values())
    high = max(float(images.max()) for images in arrays.values())
    if "f" not in kinds:
        if low < 0 or high > 255:
            raise ValueError(
                "images of whole numbers must lie in 0 … 255, but theirs run from "
                f"{low:g} to {high:g}."
            )
        # of black and white images 1 is white
        white = 255 if high <= 1 else 1
        return {name: images.astype(np.uint8) * white for name, images in arrays.items()}
    if not spread:
        if low < 0 or high > 1:
            raise ValueError(
                f"images of floats must lie in 0 … 1, but theirs run from {low:g} to {high:g}; "
                "give bytes, or divide by 255."
            )
        low, high = 0.0, 1.0
    factor = 255 / (high - low or 1.0)
    return {
        name: np.rint((images.astype(float) - low) * factor).astype(np.uint8)
        for name, images in arrays.items()
    }


def numbers_of(name: str, values: Any, axes: int = 1) -> np.ndarray:
    """Return floats with one or two axes, NaN for None, or raise a ValueError."""
    _need_no_mask(values)
    try:
        array = as_array(values)
        numbers = array.astype(float) if array.dtype.kind in "biufO" else None
    except (TypeError, ValueError):  # a ragged list, or text among the numbers
        numbers = None
    if numbers is None or numbers.ndim != axes or (axes == 2 and not numbers.size):
        expected = "(n,)" if axes == 1 else "(f, f)"
        got = "other things" if numbers is None else str(numbers.shape)
        raise ValueError(f"{name} must hold numbers of the shape {expected}, not {got}.")
    return numbers


def need_named(name: str, things: Any) -> None:
    """Raise a TypeError or ValueError unless there are things to draw, by their names."""
    need_mapping(name, things)
    need_some(name, things)


def need_mapping(name: str, things: Any) -> None:
    """Raise a TypeError unless things come by their names."""
    if not isinstance(things, Mapping):
        raise TypeError(
            f"{name} must be a dictionary of names and what to draw of each, as in "
            f"{{'x': ...}}, not a {type(things).__name__}."
        )


def need_list(name: str, things: Any) -> None:
    """Raise a TypeError unless things are a list, or an array and the like, in their order."""
    no_lists = (str, bytes, Mapping, set, frozenset)
    if not hasattr(things, "__len__") or isinstance(things, no_lists):
        raise TypeError(f"{name} must be a list, not a {type(things).__name__}.")


def need_some(name: str, things: Any) -> None:
    """Raise a ValueError if there is nothing to draw."""
    if not len(things):
        raise ValueError(f"{name} must hold something to draw, but it is empty.")


def pair_of(title: str, pair: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return codes and factors of a panel, floats of shape (n, 2) each, or raise an error."""
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise TypeError(f"{title!r} must be a pair of arrays, (codes, factors).")
    try:
        points, factors = (as_array(part).astype(float) for part in pair)
    except (TypeError, ValueError):
        raise ValueError(f"codes and factors of {title!r} must be arrays of numbers.") from None
    if points.shape != factors.shape or points.shape[1:] != (2,) or not len(points):
        raise ValueError(
            f"codes and factors of {title!r} must both have the shape (n, 2), not "
            f"{points.shape} and {factors.shape}."
        )
    if not np.isfinite(points).all() or not np.isfinite(factors).all():
        raise ValueError(f"codes and factors of {title!r} must be finite numbers.")
    return points, factors


def finite_range(matrices: Iterable[Any]) -> tuple[float, float]:
    """Return the smallest and the largest of all entries, without those that are missing."""
    entries = [as_array(matrix).astype(float).ravel() for matrix in matrices]
    finite = np.concatenate([x[np.isfinite(x)] for x in entries])
    return (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)


def drawn_channels(channels: Any, n: int) -> list[int]:
    """Return which of n channels to draw, one in grey or three in colour, or raise a ValueError."""
    if channels is None:
        if n in (1, 3):
            return list(range(n))
        example = "(0, 1, 2)" if n > 3 else "[0]"
        raise ValueError(
            f"images of {n} channels have no colours of their own; say which one or three to draw, "
            f"as in channels={example}."
        )
    chosen = integers("channels", channels).flatten().tolist()
    if len(chosen) not in (1, 3) or not set(chosen) <= set(range(n)):
        choices = f"one or three of the {n} channels, numbered from 0"
        raise ValueError(f"channels must name {choices}, not {channels!r}.")
    return chosen


def columns_of(data: Mapping[str, Any], channels: Any = None) -> tuple[dict[str, np.ndarray], int]:
    """Return columns of images as bytes and how many frames each has, or raise a ValueError."""
    need_some("data", data)
    columns = {name: as_array(images) for name, images in data.items()}
    shapes = {images.shape for images in columns.values()}
    if len({shape[:1] for shape in shapes}) > 1 or not all(map(_is_images, shapes)):
        raise ValueError(
            "each column must have the shape (frames, H, W, C), with as many frames as the others "
            f"and up to 4 channels, not {' and '.join(map(str, sorted(shapes)))}."
        )
    columns = {
        name: images[..., drawn_channels(channels, images.shape[-1])]
        for name, images in columns.items()
    }
    return as_bytes(columns), len(next(iter(columns.values())))


def _is_images(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 and min(shape) > 0 and shape[-1] <= 4


def rows_of(images: Any, channels: Any = None) -> np.ndarray:
    """Return rows of images as bytes, or raise a ValueError."""
    images = as_array(images)
    if images.ndim != 5 or not len(images) or not _is_images(images.shape[1:]):
        raise ValueError(
            "images must have the shape (rows, frames, H, W, C), with up to 4 channels, not "
            f"{images.shape}."
        )
    images = images[..., drawn_channels(channels, images.shape[-1])]
    return as_bytes({"": images}, spread=False)[""]


def need_keys(name: str, things: Mapping[str, Any], keys: Iterable[str]) -> None:
    """Raise a ValueError if a key is missing."""
    missing = [key for key in keys if key not in things]
    if missing:
        raise ValueError(f"{name} must have the keys that are drawn with it, but lacks {missing}.")


def keyed(name: str, things: Any, keys: Iterable[str]) -> Mapping[str, Any]:
    """Return what is given for some of the keys, or nothing for None; raise an error otherwise."""
    if things is None:
        return {}
    if not isinstance(things, Mapping):
        raise TypeError(f"{name} must be a dictionary by name, not {things!r}.")
    for key in things:
        _check.one_of(f"key of {name}", key, keys)
    return things


def need_as_many(name: str, values: Any, n: int, of: str) -> None:
    """Raise a ValueError unless there are as many values as they are drawn for, or None."""
    if values is not None:
        need_list(name, values)
    if values is not None and len(values) != n:
        raise ValueError(f"{name} must hold one value for each of {n} {of}, not {len(values)}.")
