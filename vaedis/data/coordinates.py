"""A data set without its pixels: vectors whose squared distances are the perceived distances, and
nothing else.

If the reconstruction loss is a quadratic form, observations can be replaced by coordinates in a
Euclidean space that keep all perceived distances and drop everything else: neighbouring pixels,
edges, colours. What a network learns from them it has learnt from distances.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from vaedis import _check, losses
from vaedis.data.base import FactorData, as_floats
from vaedis.data.xysquares import XYSquares
from vaedis.losses import Loss, properties

_MOST_BYTES = 2**31
# eigenvalues of a Gram matrix are exact to about 1e-16 of the largest; what lies below this is
# rounding
_RELATIVE_ZERO = 1e-12


class Coordinates(FactorData):
    """Coordinates of a data set's observations under a loss, in place of its images.

    With ``c`` the observations of this data set, the mean squared difference ``((c_i -
    c_j)**2).mean()`` equals the loss between the (normalized) images i and j. So a network that is
    trained on coordinates with plain MSE minimises the same perceived distance as one that is
    trained on images with `distance`, and the same normalised beta, which weighs a mean over
    latents of the KL divergence against the loss, is the same trade-off. Only a beta for *sums*
    differs, as there are fewer coordinates than pixels.

    Parameters
    ----------
    source : str or FactorData
        The data set, or its name.
    distance : str or losses.Loss
        The loss whose distances are kept: "mse", "box-blur" or another quadratic form.
    rotation : int, optional
        Seed of a random rotation of the coordinates. It keeps all distances; what it removes is any
        meaning of single axes.
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
        If the loss is not a quadratic form, or there are too many observations to compare all with
        all.

    Notes
    -----
    The coordinates are the eigenvectors of the Gram matrix of the observations' embeddings
    (`losses.Loss.embed`), after their mean is subtracted, times the square roots of its
    eigenvalues. Where channels depend on different factors (`FactorData.channel_factors`) and the
    loss is a mean over channels, the distance is a sum over groups of factors, so that each group
    has coordinates of its own: 63 for the 64 positions of a square, 189 in all, instead of a Gram
    matrix of 262,144 rows.
    """

    # options of other data sets than XYSquares go to that data set, which is then given as an
    # object
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
        if isinstance(source, str):
            from vaedis.data import load

            source = load(source, **source_options)
        elif source_options:
            raise ValueError(
                f"options ({', '.join(source_options)}) go with a data set's name, not with a data set that is already made."
            )
        else:
            from vaedis.data import as_data

            source = cast(FactorData, as_data(source))
        self.distance = losses.get(distance, **(distance_options or {}))
        source.require_full_grid("coordinates")
        properties.need_form(self.distance, source, False, "coordinates")
        self.rotation = None if rotation is None else _check.count("rotation", rotation, 0)
        self.source, self.factors, self.device = source, source.factors, source.device
        self.name, self.origin = f"{source.name}, coordinates", source.origin
        self._groups = factor_groups(source, self.distance)
        self._made: dict[bool, _Made] = {}
        size = len(self._make(True).back)
        self.shape = (1, 1, size)
        self.pixel_range = source.pixel_range
        self.mean, self.std = (0.0,) * size, (1.0,) * size

    def _make(self, normalize: bool) -> _Made:
        if normalize not in self._made:
            parts = [
                _euclidean(self.source, group, self.distance, normalize) for group in self._groups
            ]
            sizes = [coordinates.shape[1] for coordinates, _, _ in parts]
            scale = math.sqrt(
                sum(sizes)
            )  # the loss is a mean over D coordinates, and squared distances are a sum
            turns = (_rotation(sum(sizes), self.rotation).to(self.device) * scale).split(sizes)
            # each group's pictures show all other factors at 0, and all of them together that
            # picture but once too often
            lone = (
                as_floats(self.source.images(torch.zeros(1, dtype=torch.long)), torch.float64)
                .permute(0, 3, 1, 2)
                .flatten()
            )
            self._made[normalize] = _Made(
                [
                    coordinates @ turn
                    for (coordinates, _, _), turn in zip(parts, turns, strict=True)
                ],
                torch.stack(
                    [
                        turn.T @ way / scale**2
                        for (_, way, _), turn in zip(parts, turns, strict=True)
                    ]
                ).sum(0),
                torch.stack([mean for _, _, mean in parts]).sum(0) - (len(parts) - 1) * lone,
            )
        return self._made[normalize]

    def coordinates(self, index: Tensor, *, normalize: bool = True) -> Tensor:
        """Return coordinates in double precision.

        Parameters
        ----------
        index : Tensor of int, shape (B,)
        normalize : bool
            Whether the distances are those of normalized images, as in all the paper's runs, or of
            images in [0, 1].

        Returns
        -------
        Tensor of float64, shape (B, D)
        """
        return self._sum(self._make(normalize).tables, self.check_index(index).to(self.device))

    def _sum(self, tables: Sequence[Tensor], index: Tensor) -> Tensor:
        parts = []
        for group, table in zip(self._groups, tables, strict=True):
            within = torch.zeros_like(index)
            for f in group:
                within = (
                    within * self.factors.sizes[f]
                    + (index // self.factors.strides[f]) % self.factors.sizes[f]
                )
            parts.append(table[within])
        return functools.reduce(torch.add, parts)

    def _observations(self, index: Tensor, normalize: bool, channels_last: bool = False) -> Tensor:
        return self._sum(self._make(normalize).single, index)[:, :, None, None]

    def _images(self, index: Tensor) -> Tensor:
        raise TypeError(
            "Coordinates have no pixels: use observations(index), or source.images(index) for the images they stand for."
        )

    def normalize(self, x: Tensor) -> Tensor:
        """Return coordinates as they are: those that a network sees are made of normalized images
        already.
        """
        return x

    def denormalize(self, x: Tensor) -> Tensor:
        """Return pictures of coordinates, by the linear map that takes the coordinates of each
        observation to its image.

        No network is trained through this map; it is for looking.

        Parameters
        ----------
        x : Tensor of float, shape (B, D, 1, 1)
            Coordinates of normalized images, or what a network trained on them puts out.

        Returns
        -------
        Tensor of float, shape (B, C, H, W)
            Within [0, 1] for observations, and anywhere for other points.
        """
        made, (height, width, channels) = self._make(True), self.source.shape
        flat = x.flatten(1).double() @ made.back + made.middle
        return flat.unflatten(1, (channels, height, width)).to(x.dtype)

    def _move(self) -> None:
        self.source = self.source.to(self.device)
        self._made = {flag: made.to(self.device) for flag, made in self._made.items()}


class _Made:
    """Coordinates for each group of factors, shape (n, D), and the affine map from their sum to
    images: `back`, (D, C*H*W) and `middle`.
    """

    def __init__(self, tables: list[Tensor], back: Tensor, middle: Tensor):
        self.tables, self.back, self.middle = tables, back, middle
        self.single = [table.float() for table in tables]

    def to(self, device: torch.device) -> _Made:
        return _Made(
            [table.to(device) for table in self.tables],
            self.back.to(device),
            self.middle.to(device),
        )


def factor_groups(source: FactorData, loss: Loss) -> list[tuple[int, ...]]:
    """The smallest groups of factors whose distances add up to the whole distance."""
    every = tuple(range(len(source.factors)))
    if source.channel_factors is None or not properties.is_channelwise(loss, source, False):
        return [every]
    groups: list[set[int]] = []
    for channel in source.channel_factors:
        new = set(channel)
        for group in [g for g in groups if g & new]:
            new |= group
            groups.remove(group)
        groups += [new] if new else []
    return [tuple(sorted(group)) for group in groups]


@torch.no_grad()
def _euclidean(
    source: FactorData, group: tuple[int, ...], loss: Loss, normalize: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Coordinates of a group's combinations, shape (n, d), the way to their images in [0, 1], shape
    (d, C*H*W), and the mean image.
    """
    _refuse_too_many(source, group)
    space = source.factors
    index = torch.zeros(1, dtype=torch.long, device=source.device)
    for f in group:
        steps = torch.arange(space.sizes[f], device=source.device) * space.strides[f]
        index = (index[:, None] + steps).flatten()
    x = as_floats(source.images(index), torch.float64).permute(0, 3, 1, 2)
    embedded = loss.embed(source.normalize(x) if normalize else x)
    embedded = embedded - embedded.mean(0)
    values, vectors = torch.linalg.eigh(embedded @ embedded.T)
    kept = values > _RELATIVE_ZERO * values.amax()
    coordinates = vectors[:, kept] * values[kept].sqrt()
    flat = x.flatten(1)
    mean = flat.mean(0)
    return coordinates, (vectors[:, kept] / values[kept].sqrt()).T @ (flat - mean), mean


def _refuse_too_many(source: FactorData, group: tuple[int, ...]) -> None:
    n = math.prod(source.factors.sizes[f] for f in group)
    height, width, channels = source.shape
    # images, their embedding (twice as long for a sum of two terms), and the Gram matrix, in double
    # precision
    need = 8 * n * (4 * height * width * channels + 2 * n)
    if need > _MOST_BYTES:
        raise ValueError(
            f"Coordinates compare all combinations of {', '.join(source.factors.names[f] for f in group)} with each other: {n:,} of them "
            f"would take {need / 2**30:,.1f} GiB of at most {_MOST_BYTES / 2**30:.0f}; use fewer observations, such as a Relabelled subset."
        )


def _rotation(size: int, seed: int | None) -> Tensor:
    """A random rotation (or reflection), uniform over all of them: shape (size, size), float64."""
    if seed is None:
        return torch.eye(size, dtype=torch.float64)
    digest = hashlib.sha256(f"{seed}/rotation".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    q, r = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    return q * r.diagonal().sign()
