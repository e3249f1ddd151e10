"""A user's own images with factor labels, whether or not they hold every combination of factors."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedis import _check
from vaedis._support.brief import fields_repr
from vaedis._support.text import plain
from vaedis.data.base import FactorData, laid_out
from vaedis.data.constants import N_SAMPLE, range_of
from vaedis.data.own.labels import codes_of_sizes, factors_of
from vaedis.data.own.pixels import Pixels, need_unit_range
from vaedis.factors import FactorSpace, Index


@dataclass(frozen=True)
class Groups:
    """Images in groups that differ in one factor only; a group has two values at least.

    The tensors are int64, (n,), sorted by group and then by value.
    """

    __repr__ = fields_repr

    index: Tensor
    values: Tensor  # of the factor
    group: Tensor  # the number of each image's group
    complete: bool  # whether these are all groups that there are

    def __len__(self) -> int:
        """How many groups there are."""
        return int(self.group[-1]) + 1 if len(self.group) else 0


class LabelledImages(FactorData):
    """Images with labels.

    Parameters
    ----------
    images : array of shape (n, H, W), (n, H, W, C) or (n, C, H, W)
        An array, a tensor, or a list of images, of 1 to 4 channels. Whole numbers from 0 to 255;
        booleans (bytes that are only 0 and 1 count as booleans too); or finite floats of any range,
        which are kept as float32 and not rescaled. Rows are read as they are needed, so a
        memory-mapped array or an HDF5 dataset may be larger than memory. If the second and the last
        axis could both be the channels, a tensor has them second, and everything else has them
        last.
    labels : array, tensor, list, DataFrame, Series, structured array, or mapping, optional
        Each image's factor values, of shape (n,) or (n, f): numbers, text or dates, none missing.
        Values are sorted; numbers that are stored as text, by their number, and equal ones, such as
        1 and 1.0, are one value; those of an ordered pandas Categorical keep the order of its
        categories. A warning and `notes` name values that differ by rounding alone, as 0.1 + 0.2
        and 0.3 do.
    names : sequence of str, optional
        Names of the factors; by default those of the labels, or ``factor_0`` and so on.
    sizes : sequence of int, optional
        In place of labels: how many values each factor has, if the images hold all combinations in
        order, the last factor fastest, as the images of MPI3D do.
    order : mapping of str to sequence, optional
        For factors whose order is not the sorted one, such as small, medium, large: all values in
        their order.
    name : str
    resize : int, optional
        Resize square images to this number of pixels a side, not more than they have. A new pixel
        is the mean of a box of old pixels, channel by channel (Pillow's ``Resampling.BOX``; bytes
        are rounded).

    Attributes
    ----------
    grid : bool
        Whether each combination of values belongs to exactly one image. If not, an index is a row
        of `images`, `traversals` finds the images that differ in one factor only, and what needs
        every combination, as training with pairs does, is refused.
    pixel_range : (float, float)
        The smallest and the largest number in float images, over all of them or a sample of 4,096;
        (0, 1) for bytes.
    codes : ndarray of int64, shape (n, F)
        The factor values of each row of `images`, from 0.
    constant : tuple of str
        Factors with one value, which are left out.
    alphabetical : tuple of str
        Factors of text that are sorted alphabetically, because no other order is known.
    values : dict of str to ndarray
        The values of each factor in their order.

    Raises
    ------
    ValueError
        If images or labels are not of the described form, or do not fit each other.

    Examples
    --------
    >>> images = np.arange(4, dtype=np.uint8)[:, None, None] * np.full((2, 2), 60, np.uint8)
    >>> labels = {"side": ["left", "left", "right", "right"], "size": [0.5, 1, 0.5, 1]}
    >>> data = LabelledImages(images, labels)
    >>> data
    LabelledImages(4 images of 2×2×1; side 2, size 2; original; on cpu)
    >>> data.to_factors(2), data[2].unique()
    (tensor([1, 0]), tensor([120], dtype=torch.uint8))
    >>> LabelledImages(images[:3], images[:3, 0, 0]).traversals("factor_0")
    tensor([[0, 1, 2]])
    """

    origin = "original"
    notes_of_file: tuple[str, ...] = ()
    _reads_images = True

    def __init__(
        self,
        images: Any,
        labels: Any = None,
        names: Sequence[str] | None = None,
        *,
        sizes: Sequence[int] | None = None,
        order: Mapping[str, Sequence[Any]] | None = None,
        name: str = "table",
        resize: int | None = None,
    ):
        if (labels is None) == (sizes is None):
            choices = "the sizes of factors whose combinations the images hold in order"
            raise ValueError(f"Give either labels, or {choices}.")
        self.name = name
        self._pixels = Pixels(images)
        self.shape = self._pixels.shape
        n = len(self._pixels.source)
        labels = codes_of_sizes(sizes, n) if sizes is not None else labels
        factors = factors_of(labels, n, names, order)
        self.constant = tuple(factor.name for factor in factors if len(factor.values) < 2)
        factors = [factor for factor in factors if len(factor.values) > 1]
        if not factors:
            raise ValueError("Every factor has one value only; give labels that vary.")
        self.values = {factor.name: factor.values for factor in factors}
        self._close = tuple(factor.note for factor in factors if factor.note)
        for note in self._close:
            warnings.warn(note, stacklevel=2)
        self.alphabetical = tuple(factor.name for factor in factors if factor.alphabetical)
        sizes = [len(factor.values) for factor in factors]
        self.factors = FactorSpace([factor.name for factor in factors], sizes)
        # columns lie together, as they are read one by one
        self.codes = np.stack([factor.codes for factor in factors]).astype(np.int64).T
        self._row = np.arange(n)
        # a product of many sizes may not fit 64 bits, but then this is no grid either
        self.grid = self.factors.size == n
        if self.grid:
            index = self.codes @ np.array(self.factors.strides)
            self.grid = len(np.unique(index)) == n
            self._row = np.argsort(index) if self.grid else self._row
        self._pixels.survey(np.unique(self._row[self._sample().numpy()]))
        self._resized_from = self.shape[:2]
        if resize is not None:
            self._pixels.resize(resize)
            self.shape = self._pixels.shape
        self.dtype = torch.float32 if self._pixels.floats else torch.uint8
        self.pixel_range = self._pixels.range

    def __len__(self) -> int:
        """How many images there are."""
        return len(self._row)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that say how images and labels were read, where there was a choice."""
        notes = [*self.notes_of_file]
        if self.shape[:2] != self._resized_from:
            notes.append(
                f"Images of {'×'.join(map(str, self._resized_from))} pixels were resized, each new "
                "pixel the mean of a box of old ones."
            )
        if self._pixels.floats:
            low, high = self.pixel_range
            sample = f" in {N_SAMPLE:,} of the images" if len(self) > N_SAMPLE else ""
            pixels = f"Pixels are floats of {low:.4g} to {high:.4g}{sample}"
            notes.append(f"{pixels}, measured as they are.")
        notes += self._close
        if self.alphabetical:
            names = ", ".join(plain(name, 60) for name in self.alphabetical)
            notes.append(
                f"The values of {names} are words in the order of the alphabet, so that ranks mean "
                "nothing unless this is their order; give theirs as "
                "LabelledImages(order={...}) or as an ordered Categorical."
            )
        return tuple(notes)

    def to_factors(self, index: Index) -> Tensor:
        """Return factor values of images as codes from 0: int64 of shape (..., F)."""
        index = self.check_index(index)
        return torch.from_numpy(self.codes[self._row[index.cpu().numpy()]]).to(index.device)

    def traversals(
        self, factor: str | int, n: int | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return the indices of traversals, (T, f); see `FactorData.traversals`.

        Without a full grid these are groups of images that differ in one factor only, at most n of
        them, and -1 where a group has no image of a value. Of several images the first is taken.
        """
        if self.grid:
            return super().traversals(factor, n, generator=generator)
        groups = self.groups(factor)
        size = self.factors.sizes[self.factors.position(factor)]
        table = np.full((len(groups), size), -1, np.int64)
        # from last to first, so that the first image of a value stays
        rows = (groups.group.flip(0).numpy(), groups.values.flip(0).numpy())
        table[rows] = groups.index.flip(0).numpy()
        device = generator.device if generator is not None else "cpu"
        chosen = torch.arange(len(table), device=device)
        if n is not None:
            n = _check.draws("n", n, 0)
            chosen = torch.randperm(len(table), generator=generator, device=device)[:n]
        return torch.from_numpy(table).to(device)[chosen]

    def groups(self, factor: str | int, most: int | None = None, *, seed: int = 0) -> Groups:
        """Return all images that differ from another one in one factor only, by groups.

        With `most`, return at most this number of groups, drawn at random with `seed`.
        """
        f = self.factors.position(factor)
        most = None if most is None else _check.count("most", most, 0)
        seed = _check.seed(seed)
        size = self.factors.sizes[f]
        # the number of each combination of the others; one by one, no number leaves 64 bits
        group = np.zeros(len(self), np.int64)
        for k in range(len(self.factors)):
            if k != f:
                combination = group * self.factors.sizes[k] + self.codes[:, k]
                group = np.unique(combination, return_inverse=True)[1]
        cell = group * size + self.codes[:, f]
        # groups with two values at least
        usable = np.flatnonzero(np.bincount(np.unique(cell) // size) > 1)
        complete = most is None or len(usable) <= most
        if not complete:
            usable = np.sort(np.random.default_rng(seed).choice(usable, most, replace=False))
        order = np.argsort(cell, kind="stable")
        rows = order[np.isin(group[order], usable)]
        # of a grid, an index is not a row but follows from the factors
        index = self.codes[rows] @ np.array(self.factors.strides) if self.grid else rows
        return Groups(
            index=torch.from_numpy(index),
            values=torch.from_numpy(self.codes[rows, f]),
            group=torch.from_numpy(np.searchsorted(usable, group[rows])),
            complete=complete,
        )

    def sample_index(self, n: int, *, seed: int = 0) -> Tensor:
        """Draw indices of images, (n,), with replacement."""
        rng = np.random.default_rng(_check.seed(seed))
        return torch.from_numpy(rng.integers(len(self), size=_check.draws("n", n, 0)))

    def need_unit_range(self, loss: str) -> None:
        """Raise a ValueError if pixels leave [0, 1]: see `FactorData.need_unit_range`."""
        low, high = (0.0, 1.0) if self.dtype == torch.uint8 else self._range_of_all
        need_unit_range(self.name, loss, low, high)

    def _images(self, index: Tensor) -> Tensor:
        return torch.from_numpy(self._pixels.read(self._row[index.cpu().numpy()])).to(self.device)

    def _observations(self, index: Tensor, normalize: bool, channels_last: bool = False) -> Tensor:
        if self.dtype == torch.uint8 or not normalize:
            return super()._observations(index, normalize, channels_last)
        # in double precision, since the std of small floats may be too small for a single one
        x = self.normalize(self._images(index).permute(0, 3, 1, 2).double())
        return laid_out(x.float(), channels_last)

    def _sample(self) -> Tensor:
        """Return the images that stand for all of them where not all are read."""
        return self.sample_index(N_SAMPLE) if len(self) > N_SAMPLE else torch.arange(len(self))

    @functools.cached_property
    def _range_of_all(self) -> tuple[float, float]:
        return range_of(self)
