"""What all data sets share: factors, images by index, and the normalisation that the paper trains
with.
"""

from __future__ import annotations

import copy
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from vaedis import _check
from vaedis.factors import FactorSpace, flat

ORIGINS = ("generated", "original", "rendered", "stand-in")
Self = TypeVar("Self", bound="FactorData")


class NoDevice(RuntimeError):
    """A GPU was asked for where there is none."""


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """Return a torch device; "auto" is CUDA if there is a GPU, and the CPU otherwise.

    Raises
    ------
    NoDevice
        If CUDA is asked for and absent.
    ValueError
        If there is no such device, or it is neither a CPU nor an NVIDIA GPU.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(device)
    except RuntimeError:
        raise ValueError(
            f"Unknown device {device!r}; choose 'auto', 'cpu', 'cuda' or 'cuda:N'."
        ) from None
    if found.type not in ("cpu", "cuda"):
        raise ValueError(
            f"Device {str(device)!r} is not supported, since nothing was ever tested on one; choose 'auto', 'cpu' or 'cuda'."
        )
    if found.type == "cuda":
        have = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (found.index or 0) >= have:
            raise NoDevice(
                f"Device {device!r} was asked for, but torch sees {have} CUDA devices; use device='auto' or 'cpu'."
            )
    return found


def as_floats(images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return images as a loss compares them: bytes as shares of 255, floats as they are."""
    return images.to(dtype) if images.is_floating_point() else images.to(dtype) / 255


class FactorData:
    """A data set that holds one image for each combination of ground-truth factors.

    A subclass sets the attributes and implements `images`; everything else follows.

    Attributes
    ----------
    name : str
    factors : FactorSpace
    shape : (int, int, int)
        Height, width and channels of an image.
    mean, std : tuple of float
        Of each channel, in [0, 1] or the unit of floats: the mean over the data set, and the mean
        over images of each image's unbiased std over its pixels (Table A2; the authors'
        ``disent/dataset/util/stats.py``).
    origin : {"generated", "original", "rendered", "stand-in"}
        Where the images come from.
    channel_factors : tuple of tuple of int, or None
        For each channel, the positions of the only factors that it depends on, if the channels
        depend on different factors: distances that are means over channels are then exact from far
        fewer images.
    grid : bool
        Whether each combination of factor values belongs to exactly one image, whose index follows
        from them. Only a `LabelledImages` may be none.
    dtype : torch.dtype
        Of images: uint8, or float32 for numbers that are measured as they are.
    pixel_range : (float, float)
        Of what a loss compares; what `for_display` shows as black and white.
    device : torch.device
    """

    OPTIONS: ClassVar[tuple[str, ...]] = ()

    name: str
    factors: FactorSpace
    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    origin: str
    channel_factors: tuple[tuple[int, ...], ...] | None = None
    grid: bool = True
    dtype: torch.dtype = torch.uint8
    pixel_range: tuple[float, float] = (0.0, 1.0)
    device: torch.device = torch.device("cpu")

    def __len__(self) -> int:
        """How many observations there are."""
        return self.factors.size

    def __repr__(self) -> str:
        grid = ", ".join(
            f"{n} {s}" for n, s in zip(self.factors.names, self.factors.sizes, strict=True)
        )
        return f"{type(self).__name__}({len(self):,} images of {'×'.join(map(str, self.shape))}; {grid}; {self.origin}; on {self.device})"

    def images(self, index: Tensor) -> Tensor:
        """Return images.

        Parameters
        ----------
        index : Tensor of int, shape (B,)

        Returns
        -------
        Tensor of `dtype`, shape (B, H, W, C), on `device`
            Pixel values of 0 to 255, or floats as they are.

        Raises
        ------
        ValueError
            If an index is out of range, or they are not one list.
        """
        return self._images(flat(self.check_index(index)).to(self.device))

    def check_index(self, index: Tensor) -> Tensor:
        """Return `index` as an int64 tensor; raise a ValueError if there is no such observation."""
        return self.factors.check_index(index)

    def to_factors(self, index: Tensor) -> Tensor:
        """Return the factor values of observations, as codes from 0: Tensor of int64, shape (...,
        F).
        """
        return self.factors.to_factors(index)

    def draw(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw observations uniformly and independently, with replacement: indices of int64, shape
        (n,), on the generator's device.
        """
        device = generator.device if generator is not None else "cpu"
        return torch.randint(
            len(self), (_check.count("n", n, 0),), generator=generator, device=device
        )

    def require_full_grid(self, what: str) -> None:
        """Raise a ValueError that says what cannot be done if this is no grid, where factor values
        do not lead to an image.
        """
        if not self.grid:
            raise ValueError(
                f"{what} cannot be had of {self.name!r}, whose {len(self):,} images do not hold each of the {self.factors.size:,} "
                "combinations of factor values exactly once; use a part of them that does."
            )

    def need_change(self) -> None:
        """Raise a ValueError if no factor has two values, so that there is nothing to compare."""
        if max(self.factors.sizes) < 2:
            raise ValueError(
                f"no factor of {self.name!r} has more than one value, so there is nothing to compare; give data that varies."
            )

    def _images(self, index: Tensor) -> Tensor:
        raise TypeError(
            f"{type(self).__name__} does not say how to make its images: implement _images(index)."
        )

    def observations(
        self, index: Tensor, *, normalize: bool = True, channels_last: bool = False
    ) -> Tensor:
        """Return images as a network takes them.

        Parameters
        ----------
        index : Tensor of int, shape (B,)
        normalize : bool
            Subtract each channel's mean and divide by its std, as in all the paper's runs;
            otherwise values lie in [0, 1], and floats are as they are.
        channels_last : bool
            Lay the numbers out pixel by pixel in memory, which convolutions are faster with. The
            shape is the same.

        Returns
        -------
        Tensor of float32, shape (B, C, H, W), on `device`
        """
        return self._observations(
            flat(self.check_index(index)).to(self.device), normalize, channels_last
        )

    def _observations(self, index: Tensor, normalize: bool, channels_last: bool = False) -> Tensor:
        x = as_floats(self._images(index).permute(0, 3, 1, 2))
        x = self.normalize(x) if normalize else x
        return x.contiguous(
            memory_format=torch.channels_last if channels_last else torch.contiguous_format
        )

    def normalize(self, x: Tensor) -> Tensor:
        """Map images in [0, 1] or of floats, shape (..., C, H, W), to the normalized ones that the
        paper trains on.
        """
        mean, std = self._constants(x)
        return (x - mean) / std

    def denormalize(self, x: Tensor) -> Tensor:
        """Map normalized images, shape (..., C, H, W), back to [0, 1]; values outside are left as
        they are.
        """
        mean, std = self._constants(x)
        return x * std + mean

    def for_display(self, images: Tensor) -> Tensor:
        """Return images to look at: bytes as they are, and floats with `pixel_range` spread over 0 …
        255.

        Parameters
        ----------
        images : Tensor of uint8 or float, any shape

        Returns
        -------
        Tensor of uint8, same shape
        """
        if not images.is_floating_point():
            return images
        low, high = self.pixel_range
        shares = (images - low) / (high - low or 1.0)
        return (shares.clamp(0, 1) * 255).round().to(torch.uint8)

    def need_unit_range(self, loss: str) -> None:
        """Raise a ValueError that names `loss`, which needs pixels in [0, 1], if some lie outside."""

    def _constants(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.new_tensor(self.mean)[:, None, None], x.new_tensor(self.std)[:, None, None]

    def exact_bases(self, factor: str | int, *, channelwise: bool = True) -> Tensor:
        """Return bases of traversals of a factor whose average equals that over all traversals of the
        data set.

        Parameters
        ----------
        factor : str or int
        channelwise : bool
            Whether what is averaged is a mean over channels. Then
            factors that no channel shares with `factor` do not matter, and stay at 0.

        Returns
        -------
        Tensor of int64, shape (number of traversals,)
        """
        self.require_full_grid("every traversal of a factor")
        f = self.factors.position(factor)
        vary = None
        if channelwise and self.channel_factors is not None:
            vary = sorted(
                {other for group in self.channel_factors if f in group for other in group}
            )
        return self.factors.traversal_bases(f, vary=vary, device=self.device)

    def to(self: Self, device: str | torch.device) -> Self:
        """Return this data set on another device; "auto" as in `resolve_device`."""
        moved = copy.copy(self)
        moved.device = resolve_device(device)
        moved._move()
        return moved

    def _move(self) -> None:
        """Move what the data set keeps in memory to `self.device`; nothing, by default."""


def check_square_grid(image_size: int, square_size: int, grid_spacing: int) -> tuple[int, int, int]:
    """Return sizes and spacing as Python's integers; raise a ValueError unless they are whole
    pixels and a square fits into the image.
    """
    image_size, square_size = (
        _check.count("image_size", image_size),
        _check.count("square_size", square_size),
    )
    grid_spacing = _check.count("grid_spacing", grid_spacing)
    if square_size > image_size:
        raise ValueError(
            f"square_size must be at most image_size = {image_size}, not {square_size}."
        )
    return image_size, square_size, grid_spacing
