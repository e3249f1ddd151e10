"""Check what a data set says of its images, and measure their mean and std."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from vaedis.data.base import FactorData

# of how many images constants are measured where not all are read
N_SAMPLE = 4096
# Moments are taken of so many numbers at a time: of 4,096 colour images of 64 × 64 at once.
_NUMBERS = 2**26
# of a channel's largest value: a smaller mean std is rounding, as one pixel in 4,096 images of a
# million pixels that is one step brighter has 1e-9
_NO_SPREAD = 1e-12
# how many images are made twice before others are
_MADE_AGAIN = 32
# and how often, of a data set that has fewer
_MOST_TIMES = 4
# images that are made again may differ by this share of the largest pixel
_ROUNDING = 0.01
# what a class may know of its own images
_OF_IMAGES = (
    *("_observations", "mean", "std", "_moments", "channel_factors", "normalize"),
    *("denormalize", "for_display", "need_unit_range"),
)


def complete(cls: type[FactorData], base: type[FactorData]) -> None:
    """Drop what a new subclass inherits about images that it replaces, or raise a TypeError."""
    for name in ("images", "observations"):
        if getattr(cls, name) is not getattr(base, name):
            raise TypeError(
                f"{cls.__name__} must change its images in _images(index), which all else reads, "
                f"and not in {name}."
            )
    own_images = not _is_known(cls._images)
    names = _OF_IMAGES if own_images else ()
    # a shortcut normalizes by itself, too
    if not _is_known(cls.normalize):
        names = ("_observations", *names)
    for name in names:
        owner = next(one for one in cls.__mro__ if name in vars(one))
        if _is_known(owner) and not vars(owner).get("_reads_images"):
            setattr(cls, name, vars(base)[name])
    if not hasattr(cls, "name"):
        cls.name = cls.__name__
    cls._are_same = not own_images


def _is_known(thing: Any) -> bool:
    """Tell whether a class or function is one of the package."""
    return str(getattr(thing, "__module__", "")).startswith("vaedis.")


def moments(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and the std of each channel of images, of shape (n, pixels, channels).

    The std is the mean over images of each image's unbiased std over its pixels.
    """
    n_images, n_pixels, n_channels = images.shape
    floats = images.is_floating_point()
    mean, std, largest = torch.zeros(3, n_channels, dtype=torch.float64, device=images.device)
    for part in images.split(max(1, _NUMBERS // (n_pixels * n_channels))):
        x = part.double() if floats else part.double() / 255
        weight = len(part) / n_images
        mean += weight * x.mean((0, 1))
        # the std of one pixel is not known
        std += weight * x.std(1).mean(0) if n_pixels > 1 else 0.0
        largest = torch.maximum(largest, x.abs().amax((0, 1))) if floats else torch.ones_like(mean)
    # a channel without spread stays as it is
    std = torch.where(std > _NO_SPREAD * largest, std, 1.0)
    return tuple(mean.tolist()), tuple(std.tolist())


def range_of(data: FactorData) -> tuple[float, float]:
    """Return the smallest and the largest number in all images of a data set."""
    parts = torch.arange(len(data), device=data.device).split(256)
    ranges = [data._checked_images(part).aminmax() for part in parts]
    return min(float(low) for low, _ in ranges), max(float(high) for _, high in ranges)


def column(values: Any, x: Tensor) -> Tensor:
    """Return one constant for each channel, shape (C, 1, 1), in the type of `x`."""
    return torch.as_tensor(values, dtype=torch.float64).to(x)[:, None, None]


def need_constants(data: FactorData) -> None:
    """Raise a ValueError unless a data set's mean and std are numbers that normalize images."""
    channels = data.shape[-1]
    for name, values in (("mean", data.mean), ("std", data.std)):
        try:
            numbers = [float(value) for value in values]
        except (TypeError, ValueError, RuntimeError):
            numbers = []
        is_right = len(numbers) in (1, channels) and all(map(math.isfinite, numbers))
        if not is_right or (name == "std" and min(numbers) <= 0):
            kind = "finite number above 0" if name == "std" else "finite number"
            raise ValueError(
                f"{name} of {data.name!r} must hold one {kind} for each channel, {channels} in "
                f"all, not {values!r}."
            )


def need_declared(data: FactorData, images: Tensor, n: int) -> None:
    """Raise a TypeError unless `n` images have the declared type and shape, or a ValueError."""
    if data.dtype != torch.uint8 and not data.dtype.is_floating_point:
        raise TypeError(
            f"the images of {data.name!r} are declared as {data.dtype}, and images are bytes of 0 "
            "to 255 or floats; let dtype be torch.uint8 or torch.float32."
        )
    shape = (n, *data.shape)
    if not isinstance(images, Tensor) or (images.dtype, images.shape) != (data.dtype, shape):
        dtype, made = getattr(images, "dtype", None), tuple(getattr(images, "shape", ()))
        raise TypeError(
            f"{type(data).__name__}._images gives a {type(images).__name__} of {dtype} and "
            f"shape {made} for {n} images, where its dtype and shape declare {data.dtype} and "
            f"{shape}; let both agree."
        )
    if images.is_floating_point() and not bool(images.isfinite().all()):
        raise ValueError(f"an image of {data.name!r} has a pixel that is NaN or infinite.")


def need_same_again(data: FactorData, images: Tensor, index: Tensor) -> None:
    """Raise a ValueError if images are others when they are made again, beside others."""
    before = images[:1].clone()
    n_images = min(_MADE_AGAIN, len(data))
    spread = torch.linspace(0, len(data) - 1, n_images, dtype=torch.float64, device=index.device)
    indices = torch.cat([index[:1], spread.round().to(index.dtype)])
    once = data._images(indices).clone()
    largest = once.abs().max() if once.is_floating_point() else 255
    difference = float((once[:1].double() - before.double()).abs().max())
    # few images that change by chance may be alike once
    for _ in range(min(_MOST_TIMES, -(-_MADE_AGAIN // n_images))):
        others = [data._images(part).clone() for part in indices.flip(0).tensor_split([1])]
        again = torch.cat(others).flip(0)
        difference = max(difference, float((again.double() - once.double()).abs().max()))
    # the first has changed where each call fills the same memory
    if not torch.equal(images[:1], before) or difference > _ROUNDING * largest:
        raise ValueError(
            f"{type(data).__name__}._images changes its images when it is asked for the same ones "
            "again; let them follow from their index alone, in a new tensor."
        )
