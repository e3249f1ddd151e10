"""What all data sets share: factors, images by index, and the paper's normalisation."""

from __future__ import annotations

import copy
import functools
import numbers
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from vaedis import _check
from vaedis._support.brief import screenful
from vaedis.data import constants
from vaedis.data.device import resolve_device
from vaedis.factors import FactorSpace, Index, check_index, flat, sample_index


def as_floats(images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return images as a loss compares them: bytes as shares of 255, floats as they are."""
    return images.to(dtype) if images.is_floating_point() else images.to(dtype) / 255


def need_data_set(data: object) -> None:
    """Raise a ValueError unless an object is a data set of vaedis or of a subclass."""
    if not isinstance(data, FactorData):
        raise ValueError(
            f"a {type(data).__name__} is no data set: give (images, labels) or a subclass of "
            "vaedis.FactorData; only `metrics.evaluate` takes any object with factors and images."
        )


def laid_out(x: Tensor, channels_last: bool) -> Tensor:
    """Return a batch whose numbers lie pixel by pixel in memory, or channel by channel."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return x.contiguous(memory_format=layout)


class FactorData:
    """A data set with one image for each combination of ground-truth factors.

    A subclass sets the attributes and implements ``_images(index)``, which makes images of a tensor
    of valid indices, shape (B,); it may implement ``_observations`` and ``_move`` as well. Where it
    replaces ``_images`` of a class of this package, what that class knows of its own images (faster
    ``_observations``, `mean`, `std`, `channel_factors`) is not taken over.

    Attributes
    ----------
    name : str
        By default that of the class.
    factors : FactorSpace
    shape : (int, int, int)
        Height, width and channels of an image.
    mean, std : tuple of float
        Of each channel, in [0, 1] or the unit of floats: the mean over the data set, and the mean
        over images of each image's unbiased std over its pixels (Table A2; the authors'
        ``disent/dataset/util/stats.py``). Measured, on 4,096 images if there are more, where a
        class does not declare them.
    origin : {"generated", "original", "rendered", "stand-in"}
        Where the images come from.
    channel_factors : tuple of tuple of int, or None
        For each channel, the positions of the only factors that it depends on, if the channels
        depend on different factors.
    grid : bool
        Whether each combination of factor values belongs to one image, whose index follows from
        them. Only `LabelledImages` can be False.
    dtype : torch.dtype
        Data type of images: uint8, or float32 for images of floats.
    pixel_range : (float, float)
        Range of the pixels that a loss compares; `for_display` shows its ends as black and white.
    device : torch.device
    made_by : str or None
        Python that makes the data set, if it was made by `load` or `read_images`.

    Examples
    --------
    >>> class Bars(FactorData):
    ...     name, origin, shape, mean, std = "bars", "generated", (8, 8, 1), (0.5,), (0.5,)
    ...     factors = FactorSpace(("height",), (8,))
    ...
    ...     def _images(self, index):
    ...         row = torch.arange(8)[:, None, None]
    ...         return ((row < index[:, None, None, None]) * 255).byte().expand(-1, 8, 8, 1)
    >>> data = Bars()
    >>> data
    Bars(8 images of 8×8×1; height 8; generated; on cpu)
    >>> data.images([0, 3]).shape, data[3].shape, len(data[2:5])
    (torch.Size([2, 8, 8, 1]), torch.Size([8, 8, 1]), 3)
    >>> data.observations([0, 3]).unique()
    tensor([-1.,  1.])
    """

    OPTIONS: ClassVar[tuple[str, ...]] = ()

    name: str
    factors: FactorSpace
    shape: tuple[int, int, int]
    origin: str = "generated"
    channel_factors: tuple[tuple[int, ...], ...] | None = None
    grid: bool = True
    dtype: torch.dtype = torch.uint8
    pixel_range: tuple[float, float] = (0.0, 1.0)
    device: torch.device = torch.device("cpu")
    made_by: str | None = None
    # whether a class of the package learns all that it says of its images from `_images`
    _reads_images: ClassVar[bool] = True
    # whether images that are made again are known to be the same
    _are_same: bool = False

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        constants.complete(cls, FactorData)

    def __len__(self) -> int:
        """How many images there are."""
        return self.factors.size

    def __getitem__(self, index: Any) -> Tensor:
        """Return one image, or those of a slice, a list or a tensor; see `images`."""
        if index is None or index is ... or isinstance(index, str):
            kinds = "a whole number, or a slice, list or tensor of them"
            raise TypeError(f"an index must be {kinds}, not {index!r}.")
        if isinstance(index, numbers.Integral) and not -len(self) <= int(index) < len(self):
            known = f"there are {len(self)} observations, numbered from 0"
            raise IndexError(f"index {index} is out of range; {known}.")
        if isinstance(index, slice | numbers.Integral):
            index = range(len(self))[index]
        return self.images(index)

    def __repr__(self) -> str:
        sizes = zip(self.factors.names, self.factors.sizes, strict=True)
        factors = ", ".join(f"{name} {size}" for name, size in sizes)
        images = f"{len(self):,} images of {'×'.join(map(str, self.shape))}"
        text = f"{type(self).__name__}({images}; {factors}; {self.origin}; on {self.device})"
        return screenful(text)

    def images(self, index: Index) -> Tensor:
        """Return images.

        Parameters
        ----------
        index : Tensor of int, array, list, range, slice or int; shape (B,) or ()

        Returns
        -------
        Tensor of `dtype`, shape (B, H, W, C) or (H, W, C), on `device`
            Pixel values of 0 to 255, or floats as they are.

        Raises
        ------
        ValueError
            If an index is out of range, they are not one list, or a subclass makes other images
            when it is asked again.
        TypeError
            If a subclass makes images of another shape or type than it declares.
        """
        index = self.check_index(index)
        images = self._checked_images(flat(index).to(self.device))
        return images if index.ndim else images[0]

    def observations(
        self, index: Index, *, normalize: bool = True, channels_last: bool = False
    ) -> Tensor:
        """Return images as a network takes them.

        Parameters
        ----------
        index : Tensor of int, array, list, range, slice or int; shape (B,) or ()
        normalize : bool
            Subtract each channel's mean and divide by its std. Otherwise values lie in [0, 1], and
            floats are as they are.
        channels_last : bool
            Lay the numbers out pixel by pixel in memory; the shape is the same.

        Returns
        -------
        Tensor of float32, shape (B, C, H, W) or (C, H, W), on `device`
        """
        index = self.check_index(index)
        normalize = _check.flag("normalize", normalize)
        channels_last = _check.flag("channels_last", channels_last)
        x = self._observations(flat(index).to(self.device), normalize, channels_last)
        return x if index.ndim else x[0]

    def check_index(self, index: Index) -> Tensor:
        """Return `index` as an int64 tensor; raise a ValueError if there is no such image."""
        return check_index(index, len(self))

    def to_factors(self, index: Index) -> Tensor:
        """Return factor values of images as codes from 0: int64 of shape (..., F)."""
        return self.factors.to_factors(index)

    def draw(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw indices of images, (n,), with replacement, on the generator's device."""
        return sample_index(len(self), n, generator)

    def traversals(
        self, factor: str | int, n: int | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return the indices of traversals, which vary one factor and keep the others.

        They are int64, (T, f): all traversals, or `n` of them, drawn with replacement by
        `generator` on its device.
        """
        if n is None:
            bases = self.factors.traversal_bases(factor, device=self.device)
        else:
            bases = self.factors.sample_index(n, generator=generator)
        return self.factors.traversal(factor, bases)

    def exact_bases(self, factor: str | int, *, channelwise: bool = True) -> Tensor:
        """Return bases of traversals whose average equals that over all traversals of a factor.

        They are int64, (number of traversals,). `channelwise` says that what is averaged is a mean
        over channels, and 0 for a channel that stays as it is; then factors that no channel shares
        with `factor` stay at 0. Raises a ValueError without a full grid.
        """
        self.require_full_grid("every traversal of a factor")
        f = self.factors.position(factor)
        vary = None
        if _check.flag("channelwise", channelwise) and self.channel_factors is not None:
            vary = [other for group in self.channel_factors if f in group for other in group]
        return self.factors.traversal_bases(f, vary=vary, device=self.device)

    def require_full_grid(self, purpose: str) -> None:
        """Raise a ValueError that names what needs every combination of factors."""
        if not self.grid:
            images = f"whose {len(self):,} images do not hold each of the {self.factors.size:,}"
            raise ValueError(
                f"{purpose} cannot be had of {self.name!r}, {images} combinations of factor values "
                "exactly once; use a part of them that does."
            )

    def need_change(self) -> None:
        """Raise a ValueError if no factor has two values."""
        if max(self.factors.sizes) < 2:
            problem = f"no factor of {self.name!r} has more than one value"
            raise ValueError(f"{problem}, so there is nothing to compare; give data that varies.")

    def need_unit_range(self, loss: str) -> None:
        """Raise a ValueError if a loss needs pixels in [0, 1] and some lie outside.

        Of images of floats about a thousand are looked at.
        """
        if not self.dtype.is_floating_point:
            return
        for index in range(0, len(self), max(1, len(self) // 1_000)):
            image = self[index]
            if float(image.min()) < 0 or float(image.max()) > 1:
                problem = f"image {index} of {self.name!r} has others; rescale them"
                raise ValueError(f"the loss {loss!r} needs pixels in [0, 1]: {problem}.")

    def normalize(self, x: Tensor) -> Tensor:
        """Map images in [0, 1] or of floats, (..., C, H, W), to those that networks train on."""
        mean, std = self._constants(x)
        return (x - mean) / std

    def denormalize(self, x: Tensor) -> Tensor:
        """Map normalized images, (..., C, H, W), back; values outside [0, 1] stay as they are."""
        mean, std = self._constants(x)
        return x * std + mean

    def for_display(self, images: Tensor) -> Tensor:
        """Return images as bytes; floats with `pixel_range` spread over 0 … 255."""
        if not images.is_floating_point():
            return images
        low, high = self.pixel_range
        shares = (images - low) / (high - low or 1.0)
        return (shares.clamp(0, 1) * 255).round().to(torch.uint8)

    def to(self, device: str | torch.device) -> Self:
        """Return this data set on another device; "auto" as in `resolve_device`."""
        moved = copy.copy(self)
        moved.device = resolve_device(device)
        moved._move()
        return moved

    def _images(self, index: Tensor) -> Tensor:
        problem = f"{type(self).__name__} does not say how to make its images"
        raise TypeError(f"{problem}: implement _images(index).")

    @functools.cached_property
    def mean(self) -> tuple[float, ...]:
        """Of each channel, over all images or a sample of 4,096."""
        return self._moments[0]

    @functools.cached_property
    def std(self) -> tuple[float, ...]:
        """Of each channel: the mean over the same images of each one's unbiased std, or 1."""
        return self._moments[1]

    @functools.cached_property
    def _moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        parts = self._sample().to(self.device).split(256)
        images = torch.cat([self._checked_images(part).flatten(1, 2) for part in parts])
        return constants.moments(images)

    def _sample(self) -> Tensor:
        """Return the images that stand for all of them where not all are read."""
        if len(self) <= constants.N_SAMPLE:
            return torch.arange(len(self))
        return self.draw(constants.N_SAMPLE, generator=torch.Generator().manual_seed(0))

    def _checked_images(self, index: Tensor) -> Tensor:
        """Make images, and raise an error if they are not what the data set declares."""
        images = self._images(index)
        constants.need_declared(self, images, len(index))
        if len(index) and not self._are_same:
            constants.need_same_again(self, images, index)
            self._are_same = True
        return images

    def _observations(self, index: Tensor, normalize: bool, channels_last: bool = False) -> Tensor:
        """Make observations of valid indices on `device`, without a check of the indices."""
        x = as_floats(self._checked_images(index).permute(0, 3, 1, 2))
        return laid_out(self.normalize(x) if normalize else x, channels_last)

    def _constants(self, x: Tensor) -> tuple[Tensor, Tensor]:
        constants.need_constants(self)
        return constants.column(self.mean, x), constants.column(self.std, x)

    def _move(self) -> None:
        """Move what the data set keeps in memory to `self.device`; nothing, by default."""
