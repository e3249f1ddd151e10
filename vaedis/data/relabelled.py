"""The same images under other ground-truth factors: what is a factor is a choice (section 7)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vaedis._support.integers import integers
from vaedis.data.base import FactorData
from vaedis.data.constants import range_of
from vaedis.data.own.pixels import need_unit_range
from vaedis.factors import FactorSpace, Index


class Relabelled(FactorData):
    """A data set's images with other factors, given by their values for each image.

    Parameters
    ----------
    data : FactorData
        Where the images come from. Its normalisation is kept.
    columns : mapping of str to sequence of int, shape (n,)
        For each new factor, slowest first, its value for each image, counted from 0. Each
        combination of values must belong to one image.
    index : Tensor of int, list or range, shape (n,), optional
        Which images of `data`, if not all of them in their order.

    Raises
    ------
    ValueError
        If the columns are not of one length with the images, or the images do not fill the grid of
        the new factors.

    Examples
    --------
    One square's 64 positions as one factor of 64 values rather than two of 8:

    >>> from vaedis.data import XYSquares
    >>> Relabelled(XYSquares(num_squares=1), {"position": range(64)})
    Relabelled(64 images of 64×64×3; position 64; generated; on cpu)
    """

    def __init__(self, data: FactorData, columns: Mapping[str, Any], *, index: Index | None = None):
        from vaedis.data import as_data

        data = as_data(data)
        if not isinstance(columns, Mapping):
            raise ValueError("columns must be a dict of names and values, such as {'x': [0, 1]}.")
        index = data.check_index(range(len(data)) if index is None else index).cpu()
        columns = {
            name: integers(f"the values of factor {name!r}", column).cpu()
            for name, column in columns.items()
        }
        for name, column in columns.items():
            if not len(index) or column.shape != index.shape or int(column.min()) < 0:
                expected = f"one value of at least 0 for each of {len(index)} images"
                raise ValueError(f"factor {name!r} needs {expected}, not {tuple(column.shape)}.")
        sizes = [int(column.max()) + 1 for column in columns.values()]
        self.factors = FactorSpace(list(columns), sizes)
        new_index = self.factors.to_index(torch.stack(list(columns.values()), -1))
        if not len(new_index) == len(new_index.unique()) == self.factors.size:
            grid = f"{'×'.join(map(str, sizes))} = {self.factors.size:,} combinations of factors"
            raise ValueError(f"{len(index)} images do not fill a grid of {grid}, each once.")
        self.source = data
        self.device = data.device
        self.name = f"{data.name}, relabelled"
        self.origin = data.origin
        self.shape = data.shape
        self.dtype = data.dtype
        self.pixel_range = data.pixel_range
        self._order = index[new_index.argsort()].to(self.device)

    @functools.cached_property
    def _moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return self.source.mean, self.source.std

    def _images(self, index: Tensor) -> Tensor:
        return self.source._checked_images(self._order[index])

    def _observations(self, index: Tensor, normalize: bool, channels_last: bool = False) -> Tensor:
        return self.source._observations(self._order[index], normalize, channels_last)

    def normalize(self, x: Tensor) -> Tensor:
        """See `FactorData.normalize`; as the source does."""
        return self.source.normalize(x)

    def denormalize(self, x: Tensor) -> Tensor:
        """See `FactorData.denormalize`; as the source does."""
        return self.source.denormalize(x)

    def for_display(self, images: Tensor) -> Tensor:
        """See `FactorData.for_display`; as the source does."""
        return self.source.for_display(images)

    def need_unit_range(self, loss: str) -> None:
        """Raise a ValueError if pixels leave [0, 1]: see `FactorData.need_unit_range`."""
        if len(self._order.unique()) == len(self.source):
            self.source.need_unit_range(loss)
        elif self.dtype.is_floating_point:
            need_unit_range(self.name, loss, *self._range_of_part)

    @functools.cached_property
    def _range_of_part(self) -> tuple[float, float]:
        return range_of(self)

    def _move(self) -> None:
        self.source = self.source.to(self.device)
        self._order = self._order.to(self.device)
