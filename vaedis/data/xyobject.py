"""XYObject: one square that moves, grows and changes colour, under several choices of factors.

A square of 24 colours, six hues in four shades, can be described by one factor or by several, and
no image says which is right (section 7).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from vaedis import _check
from vaedis.data.base import FactorData
from vaedis.factors import FactorSpace

_SIDE = 64
_POSITIONS = 25
# squares move in steps of two pixels, centred in a cell as large as the largest
_STEP = 2
_SQUARES = (7, 9, 11, 13, 15)
_SHADES = (63, 127, 191, 255)
# red, yellow, green, cyan, blue, magenta
_HUES = ((1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 1))
# the hues again as a grid of 3 × 2: one channel alone is on, or it alone is off
_CHANNELS = ((0, 3), (2, 5), (4, 1))
# factors for the colour, and for each of their combinations, in C-order, shade · 6 + hue
_CHOICES: dict[str, tuple[dict[str, int], list[int]]] = {
    "one": ({"color": 24}, list(range(24))),
    "shaded": ({"intensity": 4, "color": 6}, list(range(24))),
    "hsv": ({"hue": 6, "value": 4}, [6 * v + h for h in range(6) for v in range(4)]),
    "channels": (
        {"channel": 3, "inverted": 2, "value": 4},
        [6 * v + h for pair in _CHANNELS for h in pair for v in range(4)],
    ),
}


class XYObject(FactorData):
    """One square on black: 75,000 images of 64×64×3.

    Its column and its row have 25 values each, its size five, of 7 to 15 pixels, and its colour 24:
    red, yellow, green, cyan, blue and magenta, in four shades.

    Parameters
    ----------
    colour : {"one", "shaded", "hsv", "channels"}
        What counts as the factors of the colour. ``"one"``, XYObject: all 24 in one number, the
        hues of the darkest shade first. ``"shaded"``, the authors' XYObjectShaded: intensity, then
        color, the six hues; images have the same indices as with ``"one"``. Two more are our own:
        ``"hsv"``, hue, then value; and ``"channels"``: which channel differs from the other two,
        whether it is on or off (`inverted`), and value.

    Raises
    ------
    ValueError
        If there is no such choice.

    References
    ----------
    The authors' ``disent/dataset/data/_groundtruth__xyobject.py``; normalisation as in their
    configuration.

    Examples
    --------
    >>> data = XYObject("shaded")
    >>> data.factors.names
    ('x', 'y', 'scale', 'intensity', 'color')
    >>> data[0].amax((0, 1))
    tensor([63,  0,  0], dtype=torch.uint8)
    """

    OPTIONS: ClassVar[tuple[str, ...]] = ("colour",)
    name = "xyobject"
    origin = "generated"
    shape = (_SIDE, _SIDE, 3)
    mean = (0.009818761549013288,) * 3
    std = (0.05263236372524585,) * 3

    def __init__(self, colour: str = "one"):
        _check.one_of("choice of colour factors", colour, _CHOICES)
        factors, order = _CHOICES[colour]
        sizes = {"x": _POSITIONS, "y": _POSITIONS, "scale": len(_SQUARES), **factors}
        self.factors = FactorSpace(list(sizes), list(sizes.values()))
        levels = torch.tensor(_SHADES)[:, None, None] * torch.tensor(_HUES)
        # (24, 3), in the order of the factors
        self._colours = levels.flatten(0, 1)[order].to(torch.uint8)
        side = torch.tensor(_SQUARES)[:, None]
        first = (_SQUARES[-1] - side) // 2 + _STEP * torch.arange(_POSITIONS)
        pixel = torch.arange(_SIDE)
        is_inside = (pixel >= first[..., None]) & (pixel < (first + side)[..., None])
        # what a square covers along one axis, for each size and position: (125, 64)
        self._lines = is_inside.flatten(0, 1).to(torch.uint8) * 255

    def _images(self, index: Tensor) -> Tensor:
        n_colours, n_sizes = len(self._colours), len(_SQUARES)
        colour = self._colours[index % n_colours]
        size = index // n_colours % n_sizes
        position = index // (n_colours * n_sizes)
        x = self._lines[size * _POSITIONS + position // _POSITIONS]
        y = self._lines[size * _POSITIONS + position % _POSITIONS]
        square = y[:, :, None] & x[:, None]
        return (square[:, None] & colour[:, :, None, None]).movedim(1, -1)

    def _move(self) -> None:
        self._lines = self._lines.to(self.device)
        self._colours = self._colours.to(self.device)
