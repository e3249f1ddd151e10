"""XYSquares: squares on a grid, the paper's adversarial data set (section 5.1). Rendered from the
index; nothing is stored.

Each of up to three squares has an own colour channel and two factors, its column and its row. With
squares as far apart as they are wide no two positions overlap, so that all distances along a factor
are equal and carry no order; closer squares overlap, and order comes back.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections import Counter

import torch
from torch import Tensor

from vaedis import _check
from vaedis.data.base import FactorData, check_square_grid
from vaedis.factors import FactorSpace

_COLOURS = ("R", "G", "B")


class XYSquares(FactorData):
    """Squares on a grid.

    Parameters
    ----------
    grid_spacing : int, optional
        Pixels between neighbouring positions, the paper's variable of section 5.4; by default
        `square_size`, so that nothing overlaps.
    square_size : int
        Side of a square, in pixels.
    image_size : int
        Side of the image, in pixels.
    grid_size : int or None
        Positions along each axis. 8 as in the paper, at every spacing; None for as many as fit,
        which is a different and far larger data set for small spacings. More than fit are cut to
        those that do, with a warning.
    num_squares : int
        1 to 3.
    rgb : bool
        Each square in a channel of its own; otherwise all in one channel, where squares that
        overlap form a union.

    References
    ----------
    Michlo, Klein and James (2023), section 5.1. The authors'
    ``disent/dataset/data/_groundtruth__xysquares.py``.
    """

    OPTIONS = ("grid_spacing", "square_size", "image_size", "grid_size", "num_squares", "rgb")
    name = "xysquares"
    origin = "generated"

    def __init__(
        self,
        grid_spacing: int | None = None,
        square_size: int = 8,
        image_size: int = 64,
        grid_size: int | None = 8,
        num_squares: int = 3,
        rgb: bool = True,
    ):
        spacing = square_size if grid_spacing is None else grid_spacing
        image_size, square_size, spacing = check_square_grid(image_size, square_size, spacing)
        num_squares = _check.count("num_squares", num_squares)
        if num_squares > 3:
            raise ValueError(f"num_squares must be 1, 2 or 3, not {num_squares}.")
        fit = (image_size - square_size) // spacing + 1
        positions = fit if grid_size is None else _check.count("grid_size", grid_size)
        if positions > fit:
            warnings.warn(
                f"Only {fit} of the {positions} positions asked for fit along each axis; the grid is {fit}×{fit}.",
                stacklevel=2,
            )
            positions = fit
        offset = (image_size - (square_size + (positions - 1) * spacing)) // 2
        self.first_pixel = tuple(offset + spacing * i for i in range(positions))
        self.positions, self.square_size, self.grid_spacing = positions, square_size, spacing
        self.num_squares, self.rgb = num_squares, rgb

        squares = _COLOURS[:num_squares]
        self.factors = FactorSpace(
            [f"{axis}_{c}" for c in squares for axis in "xy"], [positions] * (2 * num_squares)
        )
        self.shape = (image_size, image_size, 3 if rgb else 1)
        if rgb:
            # a channel without a square depends on no factor
            self.channel_factors = tuple(
                (2 * c, 2 * c + 1) if c < num_squares else () for c in range(3)
            )
        self.mean, self.std = self._normalisation()
        self._tables: dict[tuple[str, bool], Tensor] = {}

    def _normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The exact constants: the mean of all pixels, and the mean over images of the unbiased std
        over an image's pixels.
        """
        pixels = self.shape[0] * self.shape[1]
        if self.rgb:
            areas = [Counter({self.square_size**2: 1})] * self.num_squares + [Counter({0: 1})] * (
                3 - self.num_squares
            )
        else:
            areas = [_union_areas(self.first_pixel, self.square_size, self.num_squares)]
        means, stds = [], []
        for counts in areas:
            total = sum(counts.values())
            means.append(math.fsum(n * a / pixels for a, n in counts.items()) / total)
            spread = (
                math.fsum(
                    n * math.sqrt(a / pixels * (1 - a / pixels) * pixels / (pixels - 1))
                    for a, n in counts.items()
                )
                / total
            )
            # an empty channel has no spread; 1 leaves it as it is
            stds.append(spread or 1.0)
        return tuple(means), tuple(stds)

    def _table(self, kind: str, normalize: bool = False) -> Tensor:
        """Every picture of a lone square, made once for each device: as uint8 or float32, shape
        (positions², H, W), or as its pixels.
        """
        key = (kind, normalize)
        if key not in self._tables:
            edge = torch.tensor(self.first_pixel, device=self.device)[:, None]
            pixel = torch.arange(self.shape[0], device=self.device)
            line = (pixel >= edge) & (pixel < edge + self.square_size)
            # x, the column, is the slower factor
            square = (line[None, :, :, None] & line[:, None, None, :]).flatten(0, 1)
            if kind == "uint8":
                table = square.to(torch.uint8) * 255
            elif kind == "pixels":
                # where a square's pixels lie in an image whose three channels alternate
                table = square.flatten(1).nonzero()[:, 1].view(len(square), -1) * 3
            else:
                low, high = self._levels(normalize)
                table = torch.where(square, high, low).float()
            self._tables[key] = table
        return self._tables[key]

    def _squares(self, index: Tensor) -> Tensor:
        """For each image and square, the position of the square in the tables, shape (B, squares)."""
        P2 = self.positions**2
        steps = [P2**k for k in reversed(range(self.num_squares))]
        return torch.stack([(index // step) % P2 for step in steps], -1)

    def _images(self, index: Tensor) -> Tensor:
        squares = self._squares(index)
        if not self.rgb:
            return self._table("uint8")[squares].amax(1)[..., None]
        x = torch.zeros(len(index), *self.shape, dtype=torch.uint8, device=self.device)
        x.view(-1).index_fill_(0, self._lit(squares), 255)
        return x

    def _observations(self, index: Tensor, normalize: bool, channels_last: bool = False) -> Tensor:
        if not self.rgb or self.num_squares < 3:
            return super()._observations(index, normalize, channels_last)
        squares, (height, width, _) = self._squares(index), self.shape
        if not channels_last:
            # all channels share one normalisation, so an image is three rows of one table of
            # finished pictures
            return (
                self._table("float32", normalize)
                .index_select(0, squares.flatten())
                .view(len(index), 3, height, width)
            )
        # here the channels alternate, so few numbers lie side by side: fill in the background, then
        # the few pixels of the squares
        low, high = self._levels(normalize)
        x = torch.full((len(index), height, width, 3), low, dtype=torch.float32, device=self.device)
        x.view(-1).index_fill_(0, self._lit(squares), high)
        return x.permute(0, 3, 1, 2)

    def _lit(self, squares: Tensor) -> Tensor:
        """Where the squares' pixels lie in a batch of images whose three channels alternate: int64,
        one number each.
        """
        image, channel = (torch.arange(n, device=self.device) for n in squares.shape)
        start = (image[:, None] * math.prod(self.shape) + channel)[..., None]
        return (self._table("pixels")[squares] + start).flatten()

    def _levels(self, normalize: bool) -> tuple[float, float]:
        """What background and squares become on the way to the network."""
        return (
            ((0 - self.mean[0]) / self.std[0], (1 - self.mean[0]) / self.std[0])
            if normalize
            else (0.0, 1.0)
        )

    def _move(self) -> None:
        self._tables = {}


def _union_areas(first_pixel: tuple[int, ...], side: int, num_squares: int) -> Counter:
    """How many images have which number of pixels in the union of their squares: {pixels: images}."""
    groups = [
        g for k in range(1, num_squares + 1) for g in itertools.combinations(range(num_squares), k)
    ]

    def overlaps(edges: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(
            max(0, side - (max(edges[i] for i in g) - min(edges[i] for i in g))) for g in groups
        )

    # along one axis, how often each tuple of common lengths occurs; areas are products of two axes,
    # added up by inclusion and exclusion
    axis = Counter(overlaps(edges) for edges in itertools.product(first_pixel, repeat=num_squares))
    areas: Counter = Counter()
    for (a, n), (b, m) in itertools.product(axis.items(), repeat=2):
        areas[sum((-1) ** (len(g) + 1) * p * q for g, p, q in zip(groups, a, b, strict=True))] += (
            n * m
        )
    return areas
