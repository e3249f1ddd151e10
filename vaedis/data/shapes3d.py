"""3D Shapes, rendered: an object in a room, from a geometry that was fitted to original images.

The 480,000 images are 480 geometries (8 scales, 4 shapes, 15 orientations) in 1,000 colourings
(floor, wall and object hue, 10 each). An image is the sum of one row of a table for each of floor,
wall, object and sky. The table is a file of the package, so nothing is downloaded;
``tools/draw_shapes3d.py`` made it by ray casting.
"""

from __future__ import annotations

import colorsys
import functools
import lzma
from importlib import resources

import numpy as np
import torch
from torch import Tensor

from vaedis.data.base import FactorData
from vaedis.data.originals.catalog import BENCHMARKS
from vaedis.factors import FactorSpace

_ORIGINAL = BENCHMARKS["shapes3d"]
SHAPES = ("cube", "cylinder", "sphere", "capsule")
SCALES, YAWS = 8, 15
"""How many sizes of the object and directions of the camera there are."""
SIZE = 64
GEOMETRIES = SCALES * len(SHAPES) * YAWS
# the channels of all 10 hues are multiples of a fifth: six tones, in which overexposed pixels are
# exact, do for all colours
TONES = tuple(k / 5 for k in range(6))
_TONE_OF_HUE = torch.tensor(
    [[round(5 * c) for c in colorsys.hsv_to_rgb(k / 10, 1, 1)] for k in range(10)]
)
SURFACES = 3


class Shapes3D(FactorData):
    """3D Shapes, rendered; 2.6 % of a channel's range off the originals.

    That is the root mean square over the pixels of the 25 originals that the geometry was fitted
    to. The faint tiles on floor and walls are left out, curved objects have no facets, and outlines
    and shadows are off by fractions of a pixel. `mean` and `std` are the originals', as published;
    those of the images rendered differ by less than 0.001.

    Notes
    -----
    The originals' order is kept as far as it is known: factors, shapes (cube, cylinder, sphere,
    capsule) and hues (0, 0.1, ... 0.9). That the first orientation looks from the left is a guess:
    Figure 3 fits it slightly better than the other way round.

    References
    ----------
    Burgess and Kim (2018), *3D Shapes Dataset*, https://github.com/google-deepmind/3d-shapes.
    Michlo, Klein and James (2023), Figure 3 and Tables A1 and A2.

    Examples
    --------
    >>> data = Shapes3D()
    >>> data.factors.sizes
    (10, 10, 10, 8, 4, 15)
    >>> data[0][-1, 0]  # the floor, of hue 0
    tensor([255,   0,   0], dtype=torch.uint8)
    """

    name = "shapes3d"
    origin = "rendered"
    factors = FactorSpace(tuple(_ORIGINAL.factors), _ORIGINAL.sizes)
    shape = _ORIGINAL.shape
    mean = _ORIGINAL.mean
    std = _ORIGINAL.std

    def _images(self, index: Tensor) -> Tensor:
        table, tone_of_hue = _table(self.device)
        geometry = (index % GEOMETRIES)[:, None]
        colouring = index // GEOMETRIES
        sky = SURFACES * len(TONES) + torch.arange(3, device=self.device)
        x = table.index_select(0, (sky * GEOMETRIES + geometry).flatten())
        for surface, step in enumerate((100, 10, 1)):
            tone = surface * len(TONES) + tone_of_hue[colouring // step % 10]
            x += table.index_select(0, (tone * GEOMETRIES + geometry).flatten())
        return x.view(len(index), 3, SIZE, SIZE).movedim(1, -1)


@functools.cache
def _table(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return every geometry, uint8 of shape (21 * 480, H * W), and each hue's tones, (10, 3)."""
    # block 6 s + k has surface s in tone k, and the last three the sky in red, green and blue
    packed = resources.files("vaedis.data").joinpath("assets/shapes3d.xz").read_bytes()
    rows = np.frombuffer(bytearray(lzma.decompress(packed)), np.uint8).reshape(-1, SIZE * SIZE)
    return torch.from_numpy(rows).to(device), _TONE_OF_HUE.to(device)
