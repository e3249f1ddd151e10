"""Read rows of a reader's own images, as bytes or as floats."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

CHANNELS = range(1, 5)
# floats that leave [0, 1] by no more than this do so by rounding
ROUNDING = 1e-5
# sums of fourth powers of squared differences of larger floats would leave double precision
_LARGEST = 1e30
# of the range of the images: a coarser step of float32 would change what is measured
_COARSEST = 1e-3


class Pixels:
    """Rows of images: bytes of 0 to 255, or float32 as they are.

    Parameters
    ----------
    images : array, tensor or list of shape (n, H, W), (n, H, W, C) or (n, C, H, W)
        Rows of an array on disk are read as they are needed.

    Attributes
    ----------
    source : array
    shape : (int, int, int)
        Height, width and channels.
    floats : bool
    range : (float, float)
        Of the floats that `survey` read; 0 and 1 for bytes, which stand for shares of 255.
    expression : str
        What advice calls the images, such that they can be calculated with.

    Raises
    ------
    ValueError
        If these are no images.
    """

    range: tuple[float, float] = (0.0, 1.0)

    def __init__(self, images: Any):
        self.source = _rows_of(images)
        self.expression = "numpy.array(images)" if isinstance(images, list | tuple) else "images"
        self._to_floats = (
            "images.float()"
            if isinstance(images, Tensor)
            else f"{self.expression}.astype('float32')"
        )
        self.shape, self._channels_first = _layout(
            tuple(self.source.shape), isinstance(images, Tensor)
        )
        self.floats = _is_float(self.source.dtype)
        if not self.floats and self.source.dtype.kind not in "biu":
            raise ValueError(
                f"images must hold bytes, truth values or floats, not {self.source.dtype}; give an array of numbers."
            )
        self._is_bits = False
        self._rounded = False

    def __len__(self) -> int:
        return len(self.source)

    def survey(self, rows: np.ndarray) -> None:
        """Read rows, in order and once each, to learn what the numbers stand for.

        Bytes of 0 and 1 only are truth values, as in the files of dSprites: as grey levels they
        would be black and all but black.
        """
        if self.source.dtype.kind == "b":
            return
        low, high = np.inf, -np.inf
        for part in np.array_split(rows, -(-len(rows) // 64)):
            block = np.asarray(self.source[part])
            if self.floats:
                _need_finite(block, part)
            low = min(low, block.min())
            high = max(high, block.max())
            if self.source.dtype == np.uint8 and high > 1:
                return
        if not self.floats:
            self._need_bytes(low, high)
            self._is_bits = high == 1
            return
        self._need_float32(float(low), float(high))
        self.range = (float(np.float32(low)), float(np.float32(high)))
        self._rounded = self.range[1] > 0.5 and self._near_unit(*self.range)
        if self._rounded:
            self.range = (max(self.range[0], 0.0), min(self.range[1], 1.0))

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return images: uint8 or float32 of shape (B, H, W, C).

        Parameters
        ----------
        rows : ndarray of int, shape (B,)
            In any order, and repeated at will.
        """
        # in order and once each, as files are read fastest, and HDF5 reads at all
        distinct, positions = np.unique(rows, return_inverse=True)
        block = np.asarray(self.source[distinct])
        if self.floats:
            block = self._as_float32(block, distinct)
        elif block.dtype.kind == "b":
            block = block.astype(np.uint8) * np.uint8(255)
        else:
            block = self._as_bytes(block)
        if self._channels_first:
            block = np.moveaxis(block, 1, -1)
        return block.reshape(-1, *self.shape)[positions]

    def rescaling(self, low: float, high: float) -> str:
        """Return how to map images of `low` to `high` to [0, 1], as Python."""
        shifted = (
            self.expression
            if low == 0
            else f"({self.expression} {'-' if low > 0 else '+'} {abs(low):.9g})"
        )
        return f"{shifted} / {high - low:.9g}"

    def _as_float32(self, block: np.ndarray, rows: np.ndarray) -> np.ndarray:
        _need_finite(block, rows)
        low = float(block.min(initial=0))
        high = float(block.max(initial=0))
        if max(-low, high) > _LARGEST:
            self._need_float32(low, high)
        with np.errstate(under="ignore"):
            single = block.astype(np.float32)
        if self._rounded and self._near_unit(low, high):
            single = single.clip(0, 1)
        return single

    def _as_bytes(self, block: np.ndarray) -> np.ndarray:
        if block.dtype != np.uint8 and len(block):
            self._need_bytes(block.min(), block.max())
            block = block.astype(np.uint8)
        if not self._is_bits:
            return block
        if block.max(initial=0) > 1:
            raise ValueError(
                "images hold bytes of 0 and 1 in most rows and others in some; use 0 to 255 in all of them, or bool."
            )
        return block * np.uint8(255)

    @staticmethod
    def _near_unit(low: float, high: float) -> bool:
        return low >= -ROUNDING and high <= 1 + ROUNDING

    def _need_bytes(self, low: Any, high: Any) -> None:
        if low < 0 or high > 255:
            raise ValueError(
                f"images hold whole numbers of {low} to {high}, but bytes run from 0 to 255; give {self._to_floats}, "
                "which are measured as they are."
            )

    def _need_float32(self, low: float, high: float) -> None:
        """Raise a ValueError if images are too large, or if float32, as which they are kept, is too
        coarse for wider floats.
        """
        if max(-low, high) > _LARGEST:
            raise ValueError(
                f"images run from {low:.9g} to {high:.9g}, which is too large to be squared; rescale them with {self.rescaling(low, high)}."
            )
        if self.source.dtype.itemsize <= 4 or low == high:
            return
        if np.spacing(np.float32(max(-low, high))) <= _COARSEST * (high - low):
            return
        raise ValueError(
            f"images run from {low:.9g} to {high:.9g}, which float32, as which they are kept, cannot tell apart; "
            f"rescale them with {self.rescaling(low, high)}."
        )


def _rows_of(images: Any) -> Any:
    """Return images as an array that numpy understands, or that reads its rows when asked for them."""
    if isinstance(images, Tensor):
        return _array_of(images)
    if isinstance(images, np.ma.MaskedArray):
        if np.ma.getmaskarray(images).any():
            row = int(np.argwhere(np.ma.getmaskarray(images))[0][0])
            raise ValueError(
                f"Image {row} has masked pixels; leave such images out, or fill them with images.filled(0)."
            )
        return np.asarray(images)
    dtype = getattr(images, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind != "O":
        return images
    rows = (
        list(images) if isinstance(images, list | tuple) or isinstance(dtype, np.dtype) else images
    )
    if isinstance(rows, list):
        _need_one_kind(rows)
    try:
        if isinstance(rows, list) and rows and isinstance(rows[0], Tensor):
            return _array_of(torch.stack(rows))
        if isinstance(rows, list) and rows and hasattr(rows[0], "__array__"):
            return np.stack([np.asarray(row) for row in rows])
        return np.asarray(rows)
    except (ValueError, RuntimeError, TypeError):
        raise ValueError(
            "images must all have the same shape; crop or resize them first."
        ) from None


def _need_one_kind(rows: list[Any]) -> None:
    """Raise a ValueError if images of a list are of several types, of which a byte of 1 and a float
    of 1 are not alike, or palettes.
    """
    kinds = {str(row.dtype): None for row in rows if hasattr(row, "dtype")}
    if len(kinds) > 1:
        raise ValueError(
            f"images must all have the same type, not {', '.join(kinds)}; convert them first."
        )
    if any(getattr(row, "mode", None) in ("P", "PA") for row in rows):
        raise ValueError(
            "images hold places in a palette, not colours; convert each of them first, with image.convert('RGB')."
        )


def _array_of(tensor: Tensor) -> np.ndarray:
    """Return a tensor of any device as an array."""
    tensor = tensor.detach()
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_floating_point() and tensor.dtype not in (
        torch.float16,
        torch.float32,
        torch.float64,
    ):
        tensor = tensor.float()  # of bfloat16, which numpy lacks
    return tensor.cpu().numpy()


def _is_float(dtype: np.dtype) -> bool:
    return dtype.kind == "f" or dtype.name == "bfloat16"


def _layout(shape: tuple[int, ...], is_tensor: bool) -> tuple[tuple[int, int, int], bool]:
    """Return height, width and channels, and whether channels come second, as they do in torch."""
    if shape and shape[0] < 2:
        raise ValueError(
            f"There {'is one image' if shape[0] else 'are no images'}, so there is nothing to compare; give at least two."
        )
    if len(shape) == 3 and 0 not in shape:
        return (shape[1], shape[2], 1), False
    if len(shape) == 4 and 0 not in shape:
        if _channels_come_second(shape, is_tensor):
            return (shape[2], shape[3], shape[1]), True
        if shape[3] in CHANNELS:
            return (shape[1], shape[2], shape[3]), False
    raise ValueError(
        "images must have the shape (n, height, width), (n, height, width, 1 to 4 channels) or (n, 1 to 4 channels, height, width), "
        f"not {shape}."
    )


def _channels_come_second(shape: tuple[int, ...], is_tensor: bool) -> bool:
    _, second, third, last = shape
    if second not in CHANNELS:
        return False
    if last not in CHANNELS:
        return second < third or second == 1
    # small images, of which most are square
    if second == third or third == last:
        return second != third
    return is_tensor


def _need_finite(block: np.ndarray, rows: np.ndarray) -> None:
    finite = np.isfinite(block)
    if not finite.all():
        image, *pixel = np.argwhere(~finite)[0]
        kind = "NaN" if np.isnan(block[(image, *pixel)]) else "infinite"
        raise ValueError(
            f"Image {rows[image]} has {kind} pixels; leave such images out, or fill the pixels in."
        )
