"""A reader's own data: images with factor labels, whether or not they hold every combination of
factors.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedis._support.text import plain
from vaedis.data.base import FactorData, as_floats
from vaedis.data.own.labels import codes_of_sizes, factors_of
from vaedis.data.own.pixels import Pixels
from vaedis.factors import FactorSpace, integers

_SAMPLED_FOR_CONSTANTS = 4096
_LARGEST_NUMBER = 2**62
# of a channel's mean std: below it is rounding, as one pixel in 4,096 images of a million pixels
# that is one step brighter has 1e-9
_NO_SPREAD = 1e-12
# of a factor's range: numbers that differ by less do so by rounding, as 0.1 + 0.2 and 0.3 do
_SAME_VALUE = 1e-9


@dataclass(frozen=True)
class Groups:
    """Images in groups that differ in one factor only, or in nothing; a group has two values at least.

    Attributes
    ----------
    index, values, group : Tensor of int64, shape (n,)
        Of each image, its index, the factor's value and the number of its group, from 0; sorted by
        group and then by value.
    complete : bool
        Whether these are all groups that there are.
    """

    index: Tensor
    values: Tensor
    group: Tensor
    complete: bool

    def __len__(self) -> int:
        """How many groups there are."""
        return int(self.group[-1]) + 1 if len(self.group) else 0


class LabelledImages(FactorData):
    """Images with labels.

    Parameters
    ----------
    images : array of shape (n, H, W), (n, H, W, C) or (n, C, H, W)
        Of 1 to 4 channels. An array, a tensor of any device, or a list of images of one shape.
        Bytes of 0 to 255, also as wider whole numbers; truth values, as which bytes of 0 and 1 only
        count too; or floats of any finite range, which are kept as float32 and measured as they
        are. Floats that leave [0, 1] by less than 1e-5 do so by rounding, and are cut off there.
        Rows are read as they are needed, so that a memory-mapped array or an HDF5 dataset may be
        larger than memory. Where channels could be the second axis as well as the last, they are
        the second of a tensor, and the last of everything else.
    labels : array, tensor or list of shape (n,) or (n, f), DataFrame, Series, structured array, or mapping of str to column, optional
        Each image's factor values: numbers, text or dates, none of them missing. Values are taken
        in sorted order; numbers that are stored as text, by their number; those of a pandas
        Categorical, in the order of its categories.
    names : sequence of str, optional
        Of the factors; by default those that the labels have, and ``factor_0`` and so on where they
        have none.
    sizes : sequence of int, optional
        In place of labels: how many values each factor has, if the images hold each combination
        once and the last factor changes fastest, as the images of MPI3D do.
    order : mapping of str to sequence, optional
        For factors whose values have an order that is not the sorted one, such as small, medium,
        large: all values in their order.
    name : str

    Attributes
    ----------
    grid : bool
        Whether each combination of values belongs to exactly one image. Then this is a data set
        like any other. If not, an index is a row of `images`, `traversals` finds the images that
        differ in one factor only, and what needs an image of every combination, as training with
        pairs does, is refused.
    dtype : torch.dtype
        Of images: uint8, or float32.
    pixel_range : (float, float)
        The smallest and the largest number in images of floats, over all of them or a sample of
        4,096; (0, 1) of bytes.
    constant : tuple of str
        Factors with one value, which are left out.
    alphabetical : tuple of str
        Factors of text whose order is that of the alphabet, for want of another.
    values : dict of str to ndarray
        What the values of each factor were called.

    Raises
    ------
    ValueError
        If images and labels do not fit each other, or either is not what it should be.
    """

    origin = "original"

    def __init__(
        self,
        images: Any,
        labels: Any = None,
        names: Sequence[str] | None = None,
        *,
        sizes: Sequence[int] | None = None,
        order: Mapping[str, Sequence[Any]] | None = None,
        name: str = "table",
    ):
        self.name = name
        self._pixels = Pixels(images)
        self._source = self._pixels.source
        self.shape = self._pixels.shape
        if (labels is None) == (sizes is None):
            raise ValueError(
                "Give either labels, or the sizes of factors whose combinations the images hold in order."
            )
        if sizes is not None:
            labels = codes_of_sizes(sizes, len(self))
        factors = factors_of(labels, len(self), names, order)
        self.constant = tuple(factor.name for factor in factors if len(factor.values) < 2)
        factors = [factor for factor in factors if len(factor.values) > 1]
        if not factors:
            raise ValueError(
                "Every factor has one value only, so there is nothing to tell apart; give labels that vary."
            )
        self.values = {factor.name: factor.values for factor in factors}
        self.alphabetical = tuple(factor.name for factor in factors if factor.alphabetical)
        self.factors = FactorSpace(
            [factor.name for factor in factors], [len(factor.values) for factor in factors]
        )
        # columns lie together, as they are read one by one
        self.codes = np.stack([factor.codes for factor in factors]).astype(np.int64).T
        # a product of many sizes may not fit 64 bits, but then it is no grid either
        self.grid = self.factors.size == len(self)
        self._row = np.arange(len(self))
        if self.grid:
            flat = self.codes @ np.array(self.factors.strides)
            self.grid = len(np.unique(flat)) == len(self)
            self._row = np.argsort(flat) if self.grid else self._row
        self._pixels.survey(np.unique(self._row[self._sampled().numpy()]))
        self.dtype = torch.float32 if self._pixels.floats else torch.uint8
        self.pixel_range = self._pixels.range

    def __len__(self) -> int:
        """How many images there are."""
        return len(self._source)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what was made of images and labels, where there was a choice."""
        notes = []
        if self._pixels.floats:
            low, high = self.pixel_range
            of_sample = (
                f" in {_SAMPLED_FOR_CONSTANTS:,} of the images"
                if len(self) > _SAMPLED_FOR_CONSTANTS
                else ""
            )
            notes.append(
                f"Pixels are floats of {low:.4g} to {high:.4g}{of_sample}, measured as they are."
            )
        if self.alphabetical:
            names = ", ".join(plain(name, 60) for name in self.alphabetical)
            notes.append(
                f"The values of {names} are words in the order of the alphabet, so that ranks mean nothing unless this is their order; "
                "give theirs as Table(order={...}) or as an ordered Categorical."
            )
        close = [
            plain(name, 60) for name, values in self.values.items() if _differ_by_rounding(values)
        ]
        if close:
            notes.append(
                f"Some values of {', '.join(close)} differ by rounding only, and count as different; round the labels first."
            )
        return tuple(notes)

    def check_index(self, index: Tensor) -> Tensor:
        """Return `index` as an int64 tensor: see `FactorData.check_index`. If this is no grid, an
        index is a row.
        """
        if self.grid:
            return super().check_index(index)
        index = integers("an index", index)
        if index.numel() and (int(index.min()) < 0 or int(index.max()) >= len(self)):
            raise ValueError(
                f"Rows run from 0 to {len(self) - 1}, not {int(index.min())} to {int(index.max())}."
            )
        return index

    def _images(self, index: Tensor) -> Tensor:
        return torch.from_numpy(self._pixels.read(self._row[index.cpu().numpy()])).to(self.device)

    def _observations(self, index: Tensor, normalize: bool, channels_last: bool = False) -> Tensor:
        if self.dtype == torch.uint8 or not normalize:
            return super()._observations(index, normalize, channels_last)
        # in double precision, since the std of small floats may be too small for a single one
        x = self.normalize(self._images(index).permute(0, 3, 1, 2).double()).float()
        return x.contiguous(
            memory_format=torch.channels_last if channels_last else torch.contiguous_format
        )

    @functools.cached_property
    def _whole_range(self) -> tuple[float, float]:
        """The smallest and the largest number of all images."""
        ranges = [self._images(rows).aminmax() for rows in torch.arange(len(self)).split(256)]
        return min(float(low) for low, _ in ranges), max(float(high) for _, high in ranges)

    def need_unit_range(self, loss: str) -> None:
        """Raise a ValueError if pixels leave [0, 1]: see `FactorData.need_unit_range`."""
        if self.dtype == torch.uint8:
            return
        low, high = self._whole_range
        if low < 0 or high > 1:
            raise ValueError(
                f"the loss {loss!r} needs pixels in [0, 1], but those of {self.name!r} run from {low:.9g} to {high:.9g}; rescale them with "
                f"{self._pixels.rescaling(low, high)}, or choose another loss."
            )

    def to_factors(self, index: Tensor) -> Tensor:
        """Return the factor values of images, as codes from 0: Tensor of int64, shape (n, f)."""
        if self.grid:
            return super().to_factors(index)
        index = self.check_index(index)
        return torch.from_numpy(self.codes[index.cpu().numpy()]).to(index.device)

    def traversals(self, factor: str, most: int | None = None, *, seed: int = 0) -> Tensor:
        """Return groups of images that differ in one factor only.

        Parameters
        ----------
        factor : str
        most : int, optional
            At most so many groups, drawn at random.
        seed : int

        Returns
        -------
        Tensor of int64, shape (T, f)
            The index of the image with each value, or -1 where the group has none. Where it has
            several, the first; `groups` has them all.
        """
        groups = self.groups(factor, most, seed=seed)
        table = np.full(
            (len(groups), self.factors.sizes[self.factors.position(factor)]), -1, np.int64
        )
        index, values, group = (
            part.numpy() for part in (groups.index, groups.values, groups.group)
        )
        first = np.unique(group * table.shape[1] + values, return_index=True)[1]
        table[group[first], values[first]] = index[first]
        return torch.from_numpy(table)

    def groups(self, factor: str, most: int | None = None, *, seed: int = 0) -> Groups:
        """Return all images that differ from another one in one factor only, by groups.

        Parameters
        ----------
        factor : str
        most : int, optional
            At most so many groups, drawn at random.
        seed : int

        Returns
        -------
        Groups
        """
        f = self.factors.position(factor)
        size = self.factors.sizes[f]
        group = self._combinations([k for k in range(len(self.factors)) if k != f])
        cell = group * size + self.codes[:, f]
        usable = np.flatnonzero(np.bincount(np.unique(cell) // size) > 1)
        complete = most is None or len(usable) <= most
        if not complete:
            usable = np.sort(np.random.default_rng(seed).choice(usable, most, replace=False))
        order = np.argsort(cell, kind="stable")
        rows = order[np.isin(group[order], usable)]
        return Groups(
            index=torch.from_numpy(self._index(rows)),
            values=torch.from_numpy(self.codes[rows, f]),
            group=torch.from_numpy(np.searchsorted(usable, group[rows])),
            complete=complete,
        )

    def _combinations(self, factors: Sequence[int]) -> np.ndarray:
        """Return one number for each combination of some factors, from 0 and in their order: int64,
        shape (n,).
        """
        number = np.zeros(len(self), np.int64)
        numbers = 1
        for k in factors:
            if numbers > _LARGEST_NUMBER // self.factors.sizes[k]:
                number = np.unique(number, return_inverse=True)[1]
                numbers = len(self)
            number = number * self.factors.sizes[k] + self.codes[:, k]
            numbers *= self.factors.sizes[k]
        return np.unique(number, return_inverse=True)[1]

    def sample_index(self, n: int, *, seed: int = 0) -> Tensor:
        """Draw images at random, with replacement: Tensor of int64, shape (n,)."""
        return torch.from_numpy(np.random.default_rng(seed).integers(len(self), size=n))

    def _index(self, rows: np.ndarray) -> np.ndarray:
        return self.codes[rows] @ np.array(self.factors.strides) if self.grid else rows

    def _sampled(self) -> Tensor:
        """The images that stand for all of them where not all are looked at."""
        return (
            self.sample_index(_SAMPLED_FOR_CONSTANTS)
            if len(self) > _SAMPLED_FOR_CONSTANTS
            else torch.arange(len(self))
        )

    @functools.cached_property
    def _moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        images = torch.cat(
            [self._images(rows).flatten(1, 2) for rows in self._sampled().split(256)]
        )
        x = as_floats(images, torch.float64)
        largest = x.abs().amax((0, 1)).tolist() if self._pixels.floats else [1.0] * x.shape[2]
        # a channel that is one colour in every image has no spread, and an image of one pixel none
        # that is known; 1 leaves them as they are
        spread = x.std(1).mean(0) if x.shape[1] > 1 else torch.zeros(x.shape[2])
        std = tuple(
            s if s > _NO_SPREAD * most else 1.0
            for s, most in zip(spread.tolist(), largest, strict=True)
        )
        return tuple(x.mean((0, 1)).tolist()), std

    @property
    def mean(self) -> tuple[float, ...]:  # type: ignore[override]
        """Of each channel, over all images or a sample of 4,096."""
        return self._moments[0]

    @property
    def std(self) -> tuple[float, ...]:  # type: ignore[override]
        """Of each channel: the mean over the same images of each one's unbiased std; 1 for a
        channel that is one colour in each image.
        """
        return self._moments[1]


def _differ_by_rounding(values: np.ndarray) -> bool:
    if values.dtype.kind != "f":
        return False
    steps = np.diff(np.sort(values.astype(float)))
    return bool(steps.min() < _SAME_VALUE * steps.sum())
