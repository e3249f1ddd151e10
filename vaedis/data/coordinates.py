"""A data set without its pixels: vectors whose squared distances are the perceived distances."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from vaedis import _check, losses
from vaedis.data.base import FactorData, as_floats
from vaedis.data.xysquares import XYSquares
from vaedis.factors import Index
from vaedis.losses import Loss, properties

_MAX_BYTES = 2**31
# eigenvalues of a Gram matrix are exact to about 1e-16 of the largest; smaller ones are rounding
_RELATIVE_ZERO = 1e-12


class _Tables(NamedTuple):
    """Coordinates of each group of factors, (n, D), and the affine map from their sum to images.

    `single` has the same numbers in float32; `to_images` is (D, C·H·W).
    """

    groups: list[Tensor]
    single: list[Tensor]
    to_images: Tensor
    mean_image: Tensor

    def to(self, device: torch.device) -> _Tables:
        """Return the same numbers on another device; computed there, they would differ."""
        groups = [table.to(device) for table in self.groups]
        single = [table.to(device) for table in self.single]
        return _Tables(groups, single, self.to_images.to(device), self.mean_image.to(device))


class _Group(NamedTuple):
    """Coordinates of one group of factors, (n, d), and their affine map to images."""

    coordinates: Tensor
    to_images: Tensor
    mean_image: Tensor


class Coordinates(FactorData):
    """Coordinates of a data set's observations under a loss, in place of its images.

    With ``c`` the observations of this data set, ``((c_i - c_j)**2).mean()`` equals the loss
    between the (normalized) images i and j, and everything else is dropped: neighbouring pixels,
    edges, colours. A network that is trained on coordinates with MSE minimises the same perceived
    distance as one that is trained on images with `distance`, at the same normalised beta; a beta
    for *sums* differs, as there are fewer coordinates than pixels.

    Parameters
    ----------
    source : str or FactorData
        The data set, or its name.
    distance : str or losses.Loss
        The loss whose distances are kept: "mse", "box-blur" or another quadratic form.
    rotation : int, optional
        Seed of a random rotation of the coordinates, which keeps all distances.
    distance_options : mapping, optional
        Options of `distance`.
    **source_options
        Options of the data set, if `source` is a name.

    Attributes
    ----------
    source : FactorData
    shape : (1, 1, D)
        So that observations have the shape (B, D, 1, 1).

    Raises
    ------
    ValueError
        If the loss is no quadratic form, all images are equal under it, or there are too many
        observations to compare all pairs.

    Notes
    -----
    The coordinates are the eigenvectors of the Gram matrix of the observations' embeddings
    (`losses.Loss.embed`), after their mean is subtracted, times the square roots of its
    eigenvalues. Where channels depend on different factors and the loss is a mean over channels,
    each group of factors has its own: 63 for the 64 positions of a square, instead of a Gram matrix
    of 262,144 rows.

    Examples
    --------
    >>> data = Coordinates("xysquares", num_squares=1)
    >>> data
    Coordinates(64 images of 1×1×63; x_R 8, y_R 8; generated; on cpu)
    >>> a, b = data.observations([0, 9])
    >>> image_a, image_b = data.source.observations([0, 9])
    >>> torch.allclose(((a - b) ** 2).mean(), ((image_a - image_b) ** 2).mean())
    True
    """

    # another data set than XYSquares that has options is given as an object
    OPTIONS = ("source", "distance", "rotation", "distance_options", *XYSquares.OPTIONS)
    origin = "generated"

    def __init__(
        self,
        source: str | FactorData = "xysquares",
        distance: str | Loss = "mse",
        rotation: int | None = None,
        *,
        distance_options: Mapping[str, Any] | None = None,
        **source_options: Any,
    ):
        from vaedis.data import as_data, load

        if isinstance(source, str):
            source = load(source, **source_options)
        elif source_options:
            options = f"options ({', '.join(source_options)})"
            raise ValueError(f"{options} go with a data set's name, not with a data set.")
        source = cast(FactorData, as_data(source))
        self.distance = losses.get(distance, **(distance_options or {}))
        source.require_full_grid("coordinates")
        properties.need_form(self.distance, source, False, "coordinates")
        self.rotation = None if rotation is None else _check.count("rotation", rotation, 0)
        self.source = source
        self.factors = source.factors
        self.device = source.device
        self.name = f"{source.name}, coordinates"
        self.origin = source.origin
        self._groups = factor_groups(source, self.distance)
        self._tables: dict[bool, _Tables] = {}
        size = len(self._table(True).to_images)
        if not size:
            raise ValueError(
                f"no two images differ under the loss {self.distance.name!r}, so those of "
                f"{source.name!r} have no coordinates; give data that varies."
            )
        self.shape = (1, 1, size)
        self.pixel_range = source.pixel_range
        self.mean, self.std = (0.0,) * size, (1.0,) * size

    def _table(self, normalize: bool) -> _Tables:
        if normalize not in self._tables:
            parts = [_group(self.source, g, self.distance, normalize) for g in self._groups]
            sizes = [part.coordinates.shape[1] for part in parts]
            # the loss is a mean over D coordinates, and squared distances are a sum
            root = math.sqrt(sum(sizes))
            rotation = _rotation(sum(sizes), self.rotation).to(self.device) * root
            turns = rotation.split(sizes)
            groups = [part.coordinates @ turn for part, turn in zip(parts, turns, strict=True)]
            to_images = [
                turn.T @ part.to_images / root**2 for part, turn in zip(parts, turns, strict=True)
            ]
            # in each group's images all other factors are 0, so their sum has image 0 too often
            image_0 = as_floats(self.source.images([0]), torch.float64)
            image_0 = image_0.permute(0, 3, 1, 2).flatten()
            mean_image = torch.stack([part.mean_image for part in parts]).sum(0)
            self._tables[normalize] = _Tables(
                groups,
                [table.float() for table in groups],
                torch.stack(to_images).sum(0),
                mean_image - (len(parts) - 1) * image_0,
            )
        return self._tables[normalize]

    def coordinates(self, index: Index, *, normalize: bool = True) -> Tensor:
        """Return coordinates in double precision, shape (B, D).

        Without `normalize` their distances are those of images in [0, 1].
        """
        index = self.check_index(index).to(self.device)
        table = self._table(_check.flag("normalize", normalize))
        return self._sum(table.groups, index)

    def _sum(self, tables: Sequence[Tensor], index: Tensor) -> Tensor:
        parts = []
        for group, table in zip(self._groups, tables, strict=True):
            row = torch.zeros_like(index)
            for f in group:
                size = self.factors.sizes[f]
                row = row * size + (index // self.factors.strides[f]) % size
            parts.append(table[row])
        return functools.reduce(torch.add, parts)

    def _observations(self, index: Tensor, normalize: bool, channels_last: bool = False) -> Tensor:
        return self._sum(self._table(normalize).single, index)[:, :, None, None]

    def _images(self, index: Tensor) -> Tensor:
        advice = "observations(index), or source.images(index) for the images they stand for"
        raise TypeError(f"Coordinates have no pixels: use {advice}.")

    def normalize(self, x: Tensor) -> Tensor:
        """Return coordinates as they are: they are those of normalized images already."""
        return x

    def denormalize(self, x: Tensor) -> Tensor:
        """Return images of coordinates, (B, D, 1, 1), by the linear map from one to the other.

        The images, (B, C, H, W), lie within [0, 1] for observations, and anywhere for other points.
        """
        tables = self._table(True)
        height, width, channels = self.source.shape
        flat = x.flatten(1).double() @ tables.to_images + tables.mean_image
        return flat.unflatten(1, (channels, height, width)).to(x.dtype)

    def _move(self) -> None:
        self.source = self.source.to(self.device)
        self._tables = {key: tables.to(self.device) for key, tables in self._tables.items()}


def factor_groups(source: FactorData, loss: Loss) -> list[tuple[int, ...]]:
    """Return the smallest groups of factors whose distances add up to the whole distance."""
    if source.channel_factors is None or not properties.is_channelwise(loss, source, False):
        return [tuple(range(len(source.factors)))]
    groups: list[set[int]] = []
    for channel in source.channel_factors:
        joined = set(channel).union(*(group for group in groups if group & set(channel)))
        groups = [group for group in groups if not group & joined]
        groups += [joined] if joined else []
    return [tuple(sorted(group)) for group in groups]


@torch.no_grad()
def _group(source: FactorData, factors: tuple[int, ...], loss: Loss, normalize: bool) -> _Group:
    """Return the coordinates of all combinations of some factors."""
    _refuse_too_many(source, factors)
    space = source.factors
    # the combinations in C-order, with all other factors at 0
    bases = space.traversal_bases(factors[0], vary=factors, device=source.device)
    index = space.traversal(factors[0], bases).T.flatten()
    x = as_floats(source.images(index), torch.float64).permute(0, 3, 1, 2)
    embedded = loss.embed(source.normalize(x) if normalize else x)
    # the mean of equal vectors may round to another one
    varies = (embedded != embedded[:1]).any()
    embedded = embedded - embedded.mean(0)
    values, vectors = torch.linalg.eigh(embedded @ embedded.T)
    nonzero = (values > _RELATIVE_ZERO * values.amax()) & varies
    roots = values[nonzero].sqrt()
    images = x.flatten(1)
    mean = images.mean(0)
    to_images = (vectors[:, nonzero] / roots).T @ (images - mean)
    return _Group(vectors[:, nonzero] * roots, to_images, mean)


def _refuse_too_many(source: FactorData, factors: tuple[int, ...]) -> None:
    n = math.prod(source.factors.sizes[f] for f in factors)
    # float64: images, their embedding (twice as long for a sum of two terms), and the Gram matrix
    n_bytes = 8 * n * (4 * math.prod(source.shape) + 2 * n)
    if n_bytes > _MAX_BYTES:
        names = ", ".join(source.factors.names[f] for f in factors)
        limit = f"{n_bytes / 2**30:,.1f} GiB of at most {_MAX_BYTES / 2**30:.0f}"
        raise ValueError(
            f"Coordinates compare all combinations of {names} with each other: {n:,} of them "
            f"would take {limit}; use fewer observations, such as a Relabelled subset."
        )


def _rotation(size: int, seed: int | None) -> Tensor:
    """Return a random rotation or reflection, uniform over all: (size, size), float64."""
    if seed is None:
        return torch.eye(size, dtype=torch.float64)
    digest = hashlib.sha256(f"{seed}/rotation".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    q, r = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    return q * r.diagonal().sign()
