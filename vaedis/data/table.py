"""A reader's own data: images with factor labels, whether or not they hold every combination of factors."""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedis import _check
from vaedis.data.base import FactorData
from vaedis.factors import FactorSpace, integers

_SAMPLED_FOR_CONSTANTS = 4096
# of a channel's mean std: below it is rounding, as one pixel in 4,096 images of a million pixels that is one step brighter has 1e-9
_NO_SPREAD = 1e-12


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


class Table(FactorData):
    """Images with labels.

    Parameters
    ----------
    images : array of shape (n, H, W) or (n, H, W, C)
        Bytes of 0 to 255, floats in [0, 1], which are read to the nearest of 256 levels, or truth values, as which bytes of 0 and 1 only
        count too; 1 to 4 channels. Rows are read as they are needed, so that a memory-mapped array or an HDF5 dataset may be larger than
        memory.
    labels : array of shape (n,) or (n, f)
        Each image's factor values: whole numbers, floats or text, none of them missing. Values are taken in sorted order; numbers that
        are stored as text, by their number.
    names : sequence of str, optional
        Of the factors; by default ``factor_0`` and so on.
    name : str

    Attributes
    ----------
    grid : bool
        Whether each combination of values belongs to exactly one image. Then this is a data set like any other. If not, an index is a row
        of `images`, `traversals` finds the images that differ in one factor only, and what needs an image of every combination, as
        training with pairs does, is refused.
    constant : tuple of str
        Factors with one value, which are left out.
    values : dict of str to ndarray
        What the values of each factor were called.

    Raises
    ------
    ValueError
        If images and labels do not fit each other, or either is not what it should be.
    """

    origin = "original"

    def __init__(self, images: Any, labels: Any, names: Sequence[str] | None = None, *, name: str = "table"):
        self.name, self._source = name, images
        self.shape = _image_shape(images)
        columns = _columns(labels, len(images))
        names = tuple(_check.listed(names)) if names is not None else tuple(f"factor_{k}" for k in range(len(columns)))
        if len(names) != len(columns):
            raise ValueError(f"There must be a name for each of the {len(columns)} factors, not {len(names)}: {', '.join(names)}.")
        found = [_coded(column) for column in columns]
        kept = [k for k, (values, _) in enumerate(found) if len(values) > 1]
        self.constant = tuple(names[k] for k in range(len(names)) if k not in kept)
        if not kept:
            raise ValueError("Every factor has one value only, so there is nothing to tell apart; give labels that vary.")
        self.values = {names[k]: found[k][0] for k in kept}
        self.factors = FactorSpace([names[k] for k in kept], [len(found[k][0]) for k in kept])
        self.codes = np.stack([found[k][1] for k in kept], 1).astype(np.int64)
        # a product of many sizes may not fit 64 bits, but then it is no grid either
        self.grid = self.factors.size == len(images)
        self._row = np.arange(len(images))
        if self.grid:
            flat = self.codes @ np.array(self.factors.strides)
            self.grid = len(np.unique(flat)) == len(images)
            self._row = np.argsort(flat) if self.grid else self._row
        self._bits = np.dtype(images.dtype) == np.uint8 and self._holds_bits()

    def __len__(self) -> int:
        """How many images there are."""
        return len(self._source)

    def _holds_bits(self) -> bool:
        """Whether bytes are 0 and 1 only, as in the files of dSprites: read as grey levels they would be black and all but black."""
        most = 0
        for rows in self._sampled().split(64):
            most = max(most, int(np.asarray(self._source[self._row[rows.numpy()]]).max()))
            if most > 1:
                return False
        return most == 1

    def check_index(self, index: Tensor) -> Tensor:
        """Return `index` as an int64 tensor: see `FactorData.check_index`. If this is no grid, an index is a row."""
        if self.grid:
            return super().check_index(index)
        index = integers("an index", index)
        if index.numel() and (int(index.min()) < 0 or int(index.max()) >= len(self)):
            raise ValueError(f"Rows run from 0 to {len(self) - 1}, not {int(index.min())} to {int(index.max())}.")
        return index

    def _images(self, index: Tensor) -> Tensor:
        wanted = self._row[index.cpu().numpy()]
        # in order and once each, as files are read fastest, and HDF5 reads at all
        rows, place = np.unique(wanted, return_inverse=True)
        found = np.asarray(self._source[rows])
        if found.dtype.kind == "f":
            found = _to_bytes(found, rows)
        elif found.dtype.kind == "b":
            found = found.astype(np.uint8) * 255
        elif self._bits:
            if found.max() > 1:
                raise ValueError("images hold bytes of 0 and 1 in most rows and others in some; use 0 to 255 in all of them, or bool.")
            found = found * np.uint8(255)
        found = found.reshape(-1, *self.shape)
        return torch.from_numpy(found[place]).to(self.device)

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
            The index of the image with each value, or -1 where the group has none. Where it has several,
            the first; `groups` has them all.
        """
        groups = self.groups(factor, most, seed=seed)
        table = np.full((len(groups), self.factors.sizes[self.factors.position(factor)]), -1, np.int64)
        index, values, group = (part.numpy() for part in (groups.index, groups.values, groups.group))
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
        # one number for each combination of the others, kept small as columns are added
        group = np.zeros(len(self), np.int64)
        for other in (k for k in range(len(self.factors)) if k != f):
            group = np.unique(group * self.factors.sizes[other] + self.codes[:, other], return_inverse=True)[1]
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

    def sample_index(self, n: int, *, seed: int = 0) -> Tensor:
        """Draw images at random, with replacement: Tensor of int64, shape (n,)."""
        return torch.from_numpy(np.random.default_rng(seed).integers(len(self), size=n))

    def _index(self, rows: np.ndarray) -> np.ndarray:
        return self.codes[rows] @ np.array(self.factors.strides) if self.grid else rows

    def _sampled(self) -> Tensor:
        """The images that stand for all of them where not all are looked at."""
        return self.sample_index(_SAMPLED_FOR_CONSTANTS) if len(self) > _SAMPLED_FOR_CONSTANTS else torch.arange(len(self))

    @functools.cached_property
    def _moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        x = torch.cat([self._images(part).double().flatten(1, 2) / 255 for part in self._sampled().split(256)])
        # a channel that is one colour in every image has no spread, and an image of one pixel none that is known; 1 leaves them as they are
        spread = x.std(1).mean(0) if x.shape[1] > 1 else torch.zeros(x.shape[2])
        return tuple(x.mean((0, 1)).tolist()), tuple(s if s > _NO_SPREAD else 1.0 for s in spread.tolist())

    @property
    def mean(self) -> tuple[float, ...]:  # type: ignore[override]
        """Of each channel, over all images or a sample of 4,096."""
        return self._moments[0]

    @property
    def std(self) -> tuple[float, ...]:  # type: ignore[override]
        """Of each channel: the mean over the same images of each one's unbiased std; 1 for a channel that is one colour in each image."""
        return self._moments[1]


def _image_shape(images: Any) -> tuple[int, int, int]:
    shape, dtype = tuple(images.shape), np.dtype(images.dtype)
    if len(shape) == 3:
        shape = (*shape, 1)
    if len(shape) != 4 or not 1 <= shape[3] <= 4 or 0 in shape:
        raise ValueError(
            f"images must have the shape (n, height, width) or (n, height, width, 1 to 4 channels), not {tuple(images.shape)}."
        )
    if dtype != np.uint8 and dtype.kind not in "bf":
        raise ValueError(f"images must hold bytes, or floats in [0, 1], not {dtype}.")
    return shape[1:]


def _columns(labels: Any, n: int) -> list[np.ndarray]:
    """The values of each factor: arrays of numbers or text, shape (n,)."""
    labels = np.asarray(labels)
    labels = labels[:, None] if labels.ndim == 1 else labels
    if labels.dtype.kind not in "iufbUSOT":
        raise ValueError(f"labels must be numbers or text, not {labels.dtype}.")
    if labels.ndim != 2 or not labels.size:
        raise ValueError(f"labels must have the shape (images,) or (images, factors), not {labels.shape}.")
    if len(labels) != n:
        raise ValueError(f"There must be one row of labels for each of the {n} images, not {len(labels)}.")
    columns = [_typed(column) if column.dtype.kind in "OT" else column for column in labels.T]
    for k, column in enumerate(columns):
        if column.dtype.kind == "f" and not np.isfinite(column).all():
            row = int(np.argmin(np.isfinite(column)))
            raise ValueError(f"labels must be finite, but row {row}, column {k} is {column[row]}.")
    return columns


def _typed(column: np.ndarray) -> np.ndarray:
    """What Python objects hold, as HDF5 and pandas give text: text, or numbers."""
    values = [value.decode() if isinstance(value, bytes) else bool(value) if isinstance(value, np.bool_) else value for value in column]
    for kinds, dtype in ((str, "U"), (numbers.Integral, "i8"), (numbers.Real, "f8")):
        if all(isinstance(value, kinds) for value in values):
            try:
                return np.array(values, dtype)
            except OverflowError:
                raise ValueError(f"labels must fit 64 bits, but one is {max(map(abs, values))}.") from None  # type: ignore[arg-type]
    wrong = next(value for value in column if not isinstance(value, str | numbers.Real) or type(value) is not type(column[0]))
    raise ValueError(f"labels must be numbers or text, and each factor's all of one kind, but one holds {wrong!r}.")


def _coded(column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values of a factor in their order, and for each image the position of its own."""
    values, codes = np.unique(column, return_inverse=True)
    if values.dtype.kind not in "US":
        return values, codes
    try:
        order = np.argsort(np.array([float(value) for value in values.tolist()]), kind="stable")
    except ValueError:
        return values, codes
    return values[order], np.argsort(order)[codes]


def _to_bytes(found: np.ndarray, rows: np.ndarray) -> np.ndarray:
    low, high = float(found.min(initial=0)), float(found.max(initial=0))
    if math.isnan(low) or math.isnan(high):
        bad = int(rows[np.isnan(found).reshape(len(found), -1).any(1)][0])
        raise ValueError(f"Image {bad} has NaN pixels; images must hold bytes, or floats in [0, 1].")
    if low < 0 or high > 1:
        raise ValueError(f"Float images must lie in [0, 1], not {low:g} to {high:g}; divide them by their largest value first.")
    return np.rint(found * 255).astype(np.uint8)
