"""Read rows of a user's images, as bytes or as floats."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedis import _check
from vaedis.data.own.arrays import scratch

_CHANNELS = range(1, 5)
# sums of fourth powers of squared differences of larger floats would leave double precision
_LARGEST = 1e30
# of the range of the images: a coarser step of float32 would change what is measured
_COARSEST = 1e-3
# how many images are read at once
_BLOCK = 64


class Pixels:
    """Rows of images, as bytes of 0 to 255 or as float32; see `LabelledImages` for what is read.

    `source` may be on disk; `shape` is (H, W, C); `range` is that of the floats in `survey`.
    """

    range: tuple[float, float] = (0.0, 1.0)

    def __init__(self, images: Any):
        self.source = _as_array(images)
        is_tensor = isinstance(images, Tensor)
        self.shape, self._channels_first = _layout(tuple(self.source.shape), is_tensor)
        dtype = self.source.dtype
        if dtype.kind not in "biuf":
            expected = "bytes, truth values or floats"
            raise ValueError(f"images must hold {expected}, not {dtype}; give an array of numbers.")
        self.floats = dtype.kind == "f"
        self._is_bits = dtype.kind == "b"

    def survey(self, rows: np.ndarray) -> None:
        """Read sorted rows, to learn what the numbers stand for."""
        if self._is_bits:
            return
        low, high = np.inf, -np.inf
        for part in np.array_split(rows, -(-len(rows) // _BLOCK)):
            block = np.asarray(self.source[part])
            if self.floats:
                _check_finite(block, part)
            low = min(low, block.min())
            high = max(high, block.max())
            if self.source.dtype == np.uint8 and high > 1:
                return
        if self.floats:
            self._check_resolution(float(low), float(high))
            self.range = (float(np.float32(low)), float(np.float32(high)))
        else:
            _check_bytes(low, high)
            # as in the files of dSprites: as grey levels, 0 and 1 would be black and all but black
            self._is_bits = high == 1

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return images in any order: uint8 or float32 of shape (B, H, W, C)."""
        # sorted and once each, as HDF5 wants them and as files are read fastest
        distinct, positions = np.unique(rows, return_inverse=True)
        block = np.asarray(self.source[distinct])
        block = self._as_float32(block, distinct) if self.floats else self._as_bytes(block)
        if self._channels_first:
            block = np.moveaxis(block, 1, -1)
        return block.reshape(-1, *self.shape)[positions]

    def resize(self, size: int) -> None:
        """Replace the images by means over boxes of pixels, a copy that is made in one pass."""
        image_module = _check.package("PIL.Image", "resize images", "data")
        height, width, channels = self.shape
        if height != width or _check.count("resize", size) > height:
            problem = f"of at most their size, but {size} was asked for and they have"
            raise ValueError(f"resize makes square images {problem} {height}×{width} pixels.")
        n = len(self.source)
        dtype = np.dtype(np.float32 if self.floats else np.uint8)
        copy = scratch((n, size, size, channels), dtype)
        for start in range(0, n, _BLOCK):
            # in floats: of bytes, Pillow would round the rows and then the columns
            block = self.read(np.arange(start, min(start + _BLOCK, n))).astype(np.float32)
            for image, small in zip(block, copy[start:], strict=False):
                for k in range(channels):
                    channel = image_module.fromarray(np.ascontiguousarray(image[..., k]))
                    box = image_module.Resampling.BOX
                    means = np.asarray(channel.resize((size, size), box))
                    small[..., k] = means if self.floats else np.rint(means)
        self.source = copy
        if self.floats:
            self.range = (float(copy.min()), float(copy.max()))
        self.shape = (size, size, channels)
        self._channels_first = False
        self._is_bits = False

    def _as_float32(self, block: np.ndarray, rows: np.ndarray) -> np.ndarray:
        _check_finite(block, rows)
        if float(np.abs(block).max(initial=0)) > _LARGEST:
            self._check_resolution(float(block.min()), float(block.max()))
        with np.errstate(under="ignore"):
            return block.astype(np.float32)

    def _as_bytes(self, block: np.ndarray) -> np.ndarray:
        if block.dtype.kind != "b":
            _check_bytes(block.min(initial=0), block.max(initial=0))
        block = block.astype(np.uint8, copy=False)
        if not self._is_bits:
            return block
        if block.max(initial=0) > 1:
            problem = "images hold bytes of 0 and 1 in most rows and others in some"
            raise ValueError(f"{problem}; use 0 to 255 in all of them, or bool.")
        return block * np.uint8(255)

    def _check_resolution(self, low: float, high: float) -> None:
        """Refuse floats that are too large, or too close to each other for float32."""
        largest = max(-low, high)
        is_wide = self.source.dtype.itemsize > 4 and low < high
        if largest > _LARGEST or (
            is_wide and np.spacing(np.float32(largest)) > _COARSEST * (high - low)
        ):
            problem = f"images run from {low:.9g} to {high:.9g}, which float32 cannot hold"
            raise ValueError(f"{problem}; rescale them with {rescaling(low, high)}.")


def rescaling(low: float, high: float) -> str:
    """Return how to map images of `low` to `high` to [0, 1], as Python."""
    return f"(images - {low:.9g}) / {high - low:.9g}"


def need_unit_range(name: str, loss: str, low: float, high: float) -> None:
    """Raise a ValueError if a loss needs pixels in [0, 1], and those of a data set leave it."""
    if low < 0 or high > 1:
        problem = f"those of {name!r} run from {low:.9g} to {high:.9g}"
        raise ValueError(
            f"the loss {loss!r} needs pixels in [0, 1], but {problem}; rescale them with "
            f"{rescaling(low, high)}, or choose another loss."
        )


def array_of_tensor(tensor: Tensor) -> np.ndarray:
    """Return a tensor of any device as an array; numpy has no bfloat16."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _as_array(images: Any) -> Any:
    """Return images as an array, or as an object that reads rows of an array on disk."""
    if isinstance(images, Tensor):
        return array_of_tensor(images)
    if hasattr(images, "factors"):
        raise ValueError("images is a data set; use it as it is, or pass its images, data[:].")
    if np.ma.isMaskedArray(images):
        raise ValueError("images must not be masked; use images.filled(0).")
    if not isinstance(images, list | tuple) or not images:
        return images if hasattr(images, "dtype") else np.asarray(images)
    if any(getattr(row, "mode", None) in ("P", "PA") for row in images):
        raise ValueError("images hold places in a palette; use image.convert('RGB') first.")
    rows = [array_of_tensor(row) if isinstance(row, Tensor) else np.asarray(row) for row in images]
    # 1 is black as a byte, and white as a float
    kinds = {f"{row.shape} of {row.dtype}": None for row in rows}
    if len(kinds) > 1:
        raise ValueError(f"images must have one shape and type, not {' and '.join([*kinds][:2])}.")
    return np.stack(rows)


def _layout(shape: tuple[int, ...], is_tensor: bool) -> tuple[tuple[int, int, int], bool]:
    """Return height, width and channels, and whether channels come second, as they do in torch."""
    if shape and shape[0] < 2:
        raise ValueError(f"There must be at least two images to compare, not {shape[0]}.")
    if len(shape) == 3 and 0 not in shape:
        return (shape[1], shape[2], 1), False
    if len(shape) == 4 and 0 not in shape:
        _, second, third, last = shape
        if second in _CHANNELS and (is_tensor or last not in _CHANNELS):
            return (third, last, second), True
        if last in _CHANNELS:
            return (second, third, last), False
    raise ValueError(
        "images must have the shape (n, height, width), (n, height, width, 1 to 4 channels) "
        f"or (n, 1 to 4 channels, height, width), not {shape}."
    )


def _check_bytes(low: Any, high: Any) -> None:
    if low < 0 or high > 255:
        problem = f"images hold whole numbers of {low} to {high}, but bytes run from 0 to 255"
        raise ValueError(f"{problem}; give floats, which are measured as they are.")


def _check_finite(block: np.ndarray, rows: np.ndarray) -> None:
    finite = np.isfinite(block).all(tuple(range(1, block.ndim)))
    if not finite.all():
        image = rows[int(np.argmin(finite))]
        raise ValueError(f"Image {image} has pixels that are NaN or infinite; leave it out.")
