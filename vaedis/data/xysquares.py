"""XYSquares: squares on a grid, the paper's adversarial data set (section 5.1).

Each of up to three squares has its own colour channel and two factors, its column and its row. With
squares as far apart as they are wide no two positions overlap, so all distances along a factor are
equal and carry no order; closer squares overlap, and order comes back. Images are made from the
index; nothing is stored.
"""

from __future__ import annotations

import functools
import itertools
import math
import warnings
from collections import Counter

import torch
from torch import Tensor
from torch.nn import functional as F

from vaedis import _check
from vaedis.data.base import FactorData
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
        Positions along each axis: 8 as in the paper, at every spacing; None for as many as fit,
        which is a different and far larger data set for small spacings. If fewer fit, the grid has
        only those, with a warning.
    num_squares : int
        1 to 3.
    rgb : bool
        Each square in a channel of its own; otherwise all in one channel, as a union.

    Raises
    ------
    ValueError
        If a size is no whole number of at least 1, or a square does not fit into the image.

    References
    ----------
    Michlo, Klein and James (2023), section 5.1. The authors'
    ``disent/dataset/data/_groundtruth__xysquares.py``.

    Examples
    --------
    >>> data = XYSquares(grid_spacing=2, num_squares=1)
    >>> data
    XYSquares(64 images of 64×64×3; x_R 8, y_R 8; generated; on cpu)
    >>> int(data[0].count_nonzero())
    64
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
        image_size = _check.count("image_size", image_size)
        square_size = _check.count("square_size", square_size)
        if grid_spacing is None:
            grid_spacing = square_size
        spacing = _check.count("grid_spacing", grid_spacing)
        if square_size > image_size:
            limit = f"at most image_size = {image_size}"
            raise ValueError(f"square_size must be {limit}, not {square_size}.")
        num_squares = _check.count("num_squares", num_squares)
        if num_squares > 3:
            raise ValueError(f"num_squares must be 1, 2 or 3, not {num_squares}.")
        fit = (image_size - square_size) // spacing + 1
        positions = fit if grid_size is None else _check.count("grid_size", grid_size)
        if positions > fit:
            warnings.warn(
                f"Only {fit} of the {positions} positions asked for fit along each axis; "
                f"the grid is {fit}×{fit}.",
                stacklevel=2,
            )
            positions = fit
        margin = (image_size - (square_size + (positions - 1) * spacing)) // 2
        self.first_pixel = tuple(margin + spacing * i for i in range(positions))
        self.positions = positions
        self.square_size = square_size
        self.grid_spacing = spacing
        self.num_squares = num_squares
        self.rgb = _check.flag("rgb", rgb)
        names = [f"{axis}_{colour}" for colour in _COLOURS[:num_squares] for axis in "xy"]
        self.factors = FactorSpace(names, [positions] * len(names))
        self.shape = (image_size, image_size, 3 if self.rgb else 1)
        edge = torch.tensor(self.first_pixel)[:, None]
        pixel = torch.arange(image_size)
        is_inside = (pixel >= edge) & (pixel < edge + square_size)
        # what a square covers along one axis, for each position: (positions, pixels)
        self._lines = is_inside.to(torch.uint8) * 255

    @functools.cached_property
    def channel_factors(  # type: ignore[override]  # a cached property can be written
        self,
    ) -> tuple[tuple[int, ...], ...] | None:
        """See `FactorData`; a channel without a square depends on no factor."""
        if not self.rgb:
            return None
        return tuple((2 * c, 2 * c + 1) if c < self.num_squares else () for c in range(3))

    @functools.cached_property
    def _moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return `mean` and `std` over all images, in closed form."""
        pixels = self.shape[0] * self.shape[1]
        if self.rgb:
            areas = [Counter({self.square_size**2: 1})] * self.num_squares
            areas += [Counter({0: 1})] * (3 - self.num_squares)
        else:
            areas = [_union_areas(self.first_pixel, self.square_size, self.num_squares)]
        means, stds = [], []
        for counts in areas:
            total = sum(counts.values())
            means.append(math.fsum(n * area / pixels for area, n in counts.items()) / total)
            others = max(pixels - 1, 1)  # of a single pixel the spread is 0
            std_sum = math.fsum(
                n * math.sqrt(area / pixels * (1 - area / pixels) * pixels / others)
                for area, n in counts.items()
            )
            # an empty channel has no spread; 1 leaves it as it is
            stds.append(std_sum / total or 1.0)
        return tuple(means), tuple(stds)

    def _images(self, index: Tensor) -> Tensor:
        # of each square, x, the column, is the slower factor
        n = self.positions
        columns = [index // n**k % n for k in reversed(range(2 * self.num_squares))]
        x, y = self._lines[torch.stack(columns, -1)].unflatten(1, (-1, 2)).unbind(2)
        squares = y[..., None] & x[..., None, :]
        if not self.rgb:
            return squares.amax(1)[..., None]
        empty = 3 - self.num_squares
        return F.pad(squares, (0, 0, 0, 0, 0, empty)).movedim(1, -1)

    def _move(self) -> None:
        self._lines = self._lines.to(self.device)


def _union_areas(first_pixel: tuple[int, ...], side: int, num_squares: int) -> Counter[int]:
    """Return how many images have which number of pixels in the union of their squares."""
    groups = [
        group
        for k in range(1, num_squares + 1)
        for group in itertools.combinations(range(num_squares), k)
    ]

    def common_lengths(edges: tuple[int, ...]) -> tuple[int, ...]:
        spans = [[edges[i] for i in group] for group in groups]
        return tuple(max(0, side - (max(span) - min(span))) for span in spans)

    # how often each tuple of common lengths occurs along one axis
    axis = Counter(map(common_lengths, itertools.product(first_pixel, repeat=num_squares)))
    signs = [(-1) ** (len(group) + 1) for group in groups]
    areas: Counter[int] = Counter()
    for (widths, n), (heights, m) in itertools.product(axis.items(), repeat=2):
        # inclusion and exclusion
        parts = zip(signs, widths, heights, strict=True)
        areas[sum(sign * width * height for sign, width, height in parts)] += n * m
    return areas
