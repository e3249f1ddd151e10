"""Read rows of a user's images, as bytes or as floats."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedis import _check
from vaedis.data.own.arrays import RELEASED, release, scratch

_CHANNELS = range(1, 5)
# floats that leave [0, 1] by no more than this do so by rounding
_ROUNDING = 1e-5
# sums of fourth powers of squared differences of larger floats would leave double precision
_LARGEST = 1e30
# of the range of the images: a coarser step of float32 would change what is measured
_COARSEST = 1e-3
_NUMPY_FLOATS = (torch.float16, torch.float32, torch.float64)


class Pixels:
    """Rows of images, as bytes of 0 to 255 or as float32; see `LabelledImages` for what is read.

    Attributes
    ----------
    source : array
        Rows of an array on disk are read as they are needed.
    shape : (int, int, int)
        Height, width and channels.
    floats : bool
    range : (float, float)
        Of the floats that `survey` read; 0 and 1 for bytes, which stand for shares of 255.
    """

    range: tuple[float, float] = (0.0, 1.0)

    def __init__(self, images: Any):
        self.source = _as_array(images)
        is_tensor = isinstance(images, Tensor)
        # how error messages call images, so that their advice runs as Python
        self._expression = "images"
        if isinstance(images, list | tuple):
            self._expression = "numpy.array(images)"
        self._to_floats = f"{self._expression}.astype('float32')"
        if is_tensor:
            self._to_floats = "images.float()"
        self.shape, self._channels_first = _layout(tuple(self.source.shape), is_tensor)
        dtype = self.source.dtype
        self.floats = dtype.kind == "f" or dtype.name == "bfloat16"
        if not self.floats and dtype.kind not in "biu":
            expected = "bytes, truth values or floats"
            raise ValueError(f"images must hold {expected}, not {dtype}; give an array of numbers.")
        self._is_bits = dtype.kind == "b"
        self._is_rounded = False

    def __len__(self) -> int:
        return len(self.source)

    def survey(self, rows: np.ndarray) -> None:
        """Read sorted rows, to learn what the numbers stand for.

        Bytes of 0 and 1 only are truth values, as in the files of dSprites: as grey levels they
        would be black and all but black.
        """
        if self._is_bits:
            return
        low, high = np.inf, -np.inf
        for part in np.array_split(rows, -(-len(rows) // 64)):
            block = np.asarray(self.source[part])
            if self.floats:
                _check_finite(block, part)
            low = min(low, block.min())
            high = max(high, block.max())
            if self.source.dtype == np.uint8 and high > 1:
                return
        if not self.floats:
            self._check_bytes(low, high)
            self._is_bits = high == 1
            return
        self._check_float32(float(low), float(high))
        self.range = (float(np.float32(low)), float(np.float32(high)))
        self._is_rounded = self.range[1] > 0.5 and _is_near_unit(*self.range)
        if self._is_rounded:
            self.range = (max(self.range[0], 0.0), min(self.range[1], 1.0))

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
        try:
            from PIL import Image
        except ImportError:
            advice = "install it with: pip install 'vaedis[data]'"
            raise ImportError(f"resize needs pillow; {advice}.") from None
        _check.count("resize", size)
        height, width, channels = self.shape
        if height != width:
            problem = f"resize makes square images of square ones, not of {height}×{width} pixels"
            raise ValueError(f"{problem}; crop or pad the images first.")
        if size > height:
            raise ValueError(
                f"resize makes images smaller only, and {size} is more than the {height}×{width} "
                "pixels that these have; leave it out."
            )
        n = len(self.source)
        dtype = np.dtype(np.float32 if self.floats else np.uint8)
        shape = (n, size, size, channels)
        copy = scratch("the images", math.prod(shape) * dtype.itemsize).view(dtype).reshape(shape)
        step = max(1, RELEASED // (math.prod(self.shape) * dtype.itemsize) // 8)
        for start in range(0, n, step):
            # in floats: of bytes, Pillow would round the rows and then the columns
            block = self.read(np.arange(start, min(start + step, n))).astype(np.float32)
            for image, small in zip(block, copy[start:], strict=False):
                for k in range(channels):
                    channel = Image.fromarray(np.ascontiguousarray(image[..., k]))
                    means = np.asarray(channel.resize((size, size), Image.Resampling.BOX))
                    small[..., k] = means if self.floats else np.rint(means)
            release(copy)
        self.source = copy
        if self.floats:
            self.range = (float(copy.min()), float(copy.max()))
        self.shape = (size, size, channels)
        self._channels_first = False
        self._is_bits = False

    def rescaling(self, low: float, high: float) -> str:
        """Return how to map images of `low` to `high` to [0, 1], as Python."""
        sign = "-" if low > 0 else "+"
        shifted = f"({self._expression} {sign} {abs(low):.9g})" if low else self._expression
        return f"{shifted} / {high - low:.9g}"

    def _as_float32(self, block: np.ndarray, rows: np.ndarray) -> np.ndarray:
        _check_finite(block, rows)
        low = float(block.min(initial=0))
        high = float(block.max(initial=0))
        if max(-low, high) > _LARGEST:
            self._check_float32(low, high)
        with np.errstate(under="ignore"):
            single = block.astype(np.float32)
        if self._is_rounded and _is_near_unit(low, high):
            single = single.clip(0, 1)
        return single

    def _as_bytes(self, block: np.ndarray) -> np.ndarray:
        if block.dtype.kind != "b" and block.dtype != np.uint8 and len(block):
            self._check_bytes(block.min(), block.max())
        block = block.astype(np.uint8, copy=False)
        if not self._is_bits:
            return block
        if block.max(initial=0) > 1:
            problem = "images hold bytes of 0 and 1 in most rows and others in some"
            raise ValueError(f"{problem}; use 0 to 255 in all of them, or bool.")
        return block * np.uint8(255)

    def _check_bytes(self, low: Any, high: Any) -> None:
        if low < 0 or high > 255:
            problem = f"images hold whole numbers of {low} to {high}, but bytes run from 0 to 255"
            raise ValueError(f"{problem}; give {self._to_floats}, which are measured as they are.")

    def _check_float32(self, low: float, high: float) -> None:
        """Refuse floats that are too large, or too close to each other for float32."""
        advice = f"rescale them with {self.rescaling(low, high)}"
        problem = f"images run from {low:.9g} to {high:.9g}, which"
        if max(-low, high) > _LARGEST:
            raise ValueError(f"{problem} is too large to be squared; {advice}.")
        if self.source.dtype.itemsize <= 4 or low == high:
            return
        if np.spacing(np.float32(max(-low, high))) > _COARSEST * (high - low):
            raise ValueError(f"{problem} float32 cannot tell apart; {advice}.")


def array_of_tensor(tensor: Tensor) -> np.ndarray:
    """Return a tensor of any device and layout as an array."""
    tensor = tensor.detach()
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_floating_point() and tensor.dtype not in _NUMPY_FLOATS:
        tensor = tensor.float()
    return tensor.cpu().numpy()


def _as_array(images: Any) -> Any:
    """Return images as an array, or as an object that reads rows of an array on disk."""
    if isinstance(images, Tensor):
        return array_of_tensor(images)
    if isinstance(images, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(images)
        if mask.any():
            image = np.argwhere(mask)[0][0]
            raise ValueError(f"Image {image} has masked pixels; use images.filled(0).")
        return np.asarray(images)
    dtype = getattr(images, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind != "O":
        return images
    is_list = isinstance(images, list | tuple) or isinstance(dtype, np.dtype)
    rows = list(images) if is_list else []
    _check_one_kind(rows)
    try:
        if rows and isinstance(rows[0], Tensor):
            return array_of_tensor(torch.stack(rows))
        if rows and hasattr(rows[0], "__array__"):
            return np.stack([np.asarray(row) for row in rows])
        return np.asarray(rows if is_list else images)
    except (ValueError, RuntimeError, TypeError):
        raise ValueError("images must all have the same shape; resize them first.") from None


def _check_one_kind(rows: list[Any]) -> None:
    """Refuse palettes, and mixed types: 1 is black as a byte, and white as a float."""
    types = {str(row.dtype): None for row in rows if hasattr(row, "dtype")}
    if len(types) > 1:
        raise ValueError(f"images must all have the same type, not {', '.join(types)}.")
    if any(getattr(row, "mode", None) in ("P", "PA") for row in rows):
        raise ValueError("images hold places in a palette; use image.convert('RGB') first.")


def _layout(shape: tuple[int, ...], is_tensor: bool) -> tuple[tuple[int, int, int], bool]:
    """Return height, width and channels, and whether channels come second, as they do in torch."""
    if shape and shape[0] < 2:
        number = "is one image" if shape[0] else "are no images"
        raise ValueError(f"There {number}, so there is nothing to compare; give at least two.")
    if len(shape) == 3 and 0 not in shape:
        return (shape[1], shape[2], 1), False
    if len(shape) == 4 and 0 not in shape:
        if _channels_come_second(shape, is_tensor):
            return (shape[2], shape[3], shape[1]), True
        if shape[3] in _CHANNELS:
            return (shape[1], shape[2], shape[3]), False
    raise ValueError(
        "images must have the shape (n, height, width), (n, height, width, 1 to 4 channels) "
        f"or (n, 1 to 4 channels, height, width), not {shape}."
    )


def _channels_come_second(shape: tuple[int, ...], is_tensor: bool) -> bool:
    _, second, third, last = shape
    if second not in _CHANNELS:
        return False
    if last not in _CHANNELS:
        return second < third or second == 1
    # small images, of which most are square
    if second == third or third == last:
        return second != third
    return is_tensor


def _is_near_unit(low: float, high: float) -> bool:
    return low >= -_ROUNDING and high <= 1 + _ROUNDING


def _check_finite(block: np.ndarray, rows: np.ndarray) -> None:
    finite = np.isfinite(block)
    if not finite.all():
        image, *pixel = np.argwhere(~finite)[0]
        kind = "NaN" if np.isnan(block[(image, *pixel)]) else "infinite"
        raise ValueError(f"Image {rows[image]} has {kind} pixels; leave it out, or fill them in.")
