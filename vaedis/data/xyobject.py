"""XYObject: one square that moves, grows and changes colour; the same images under several choices of
factors for the colour (section 7).

A square of 24 colours, six hues in four shades, can be described by one factor or by several, and
no image says which is right.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

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
# red, yellow, green, cyan, blue, magenta: which channels are lit
_HUES = ((1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 1))
# the hues again as a grid of 3 × 2: where one channel alone is lit, and where it alone is dark
_CHANNELS = ((0, 3), (2, 5), (4, 1))


class _Choice(NamedTuple):
    """Factors for the colour, and for each of their combinations, in C-order, the palette's colour:
    shade · 6 + hue.
    """

    factors: dict[str, int]
    colours: list[int]


_CHOICES = {
    "one": _Choice({"color": 24}, list(range(24))),
    "shaded": _Choice({"intensity": 4, "color": 6}, list(range(24))),
    "hsv": _Choice({"hue": 6, "value": 4}, [6 * v + h for h in range(6) for v in range(4)]),
    "channels": _Choice(
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
        hues of the darkest shade first. ``"shaded"``, XYObjectShaded: intensity, then color, the
        six hues; images have the same indices as with ``"one"``. Two more are of our own:
        ``"hsv"``, hue, then value; and ``"channels"``: which channel differs from the other two,
        whether it is lit or dark (`inverted`), and value.

    References
    ----------
    The authors' ``disent/dataset/data/_groundtruth__xyobject.py``; normalisation as in their
    configuration.
    """

    OPTIONS: ClassVar[tuple[str, ...]] = ("colour",)
    name = "xyobject"
    origin = "generated"
    shape = (_SIDE, _SIDE, 3)
    mean = (0.009818761549013288,) * 3
    std = (0.05263236372524585,) * 3

    def __init__(self, colour: str = "one"):
        choice = _CHOICES[_check.one_of("choice of colour factors", colour, _CHOICES)]
        sizes = {"x": _POSITIONS, "y": _POSITIONS, "scale": len(_SQUARES), **choice.factors}
        self.factors = FactorSpace(list(sizes), list(sizes.values()))
        self._colours = choice.colours
        self._tables: dict[tuple[bool | None, bool], Tensor] = {}

    def _palette(self) -> Tensor:
        """The colours in the order of the factors: uint8, shape (24, 3)."""
        levels = torch.tensor(_SHADES)[:, None, None] * torch.tensor(_HUES)
        return levels.flatten(0, 1)[self._colours].to(self.device, torch.uint8)

    def _lines(self) -> Tensor:
        """For each size and position, the pixels that the square covers along one axis: bool, shape
        (125, 64).
        """
        first = torch.tensor(
            [(_SQUARES[-1] - side) // 2 + _STEP * i for side in _SQUARES for i in range(_POSITIONS)]
        )[:, None]
        side = torch.tensor(_SQUARES).repeat_interleave(_POSITIONS)[:, None]
        pixel = torch.arange(_SIDE)
        return ((pixel >= first) & (pixel < first + side)).to(self.device)

    def _table(self, normalize: bool | None, alternate: bool) -> Tensor:
        """Every row of pixels that an image may have, made once for each device.

        Rows are numbered by size, position and colour, where colour 0 is a row without the square.
        Channels alternate within a row, shape (125 · 25, 192), or follow each other, shape (125 ·
        25 · 3, 64). They are uint8, or float32 if `normalize` is not None.
        """
        key = (normalize, alternate)
        if key not in self._tables:
            colours = torch.cat(
                [torch.zeros(1, 3, dtype=torch.uint8, device=self.device), self._palette()]
            )
            # size and position, colour, channel, pixel
            rows = self._lines()[:, None, None] * colours[None, :, :, None]
            if normalize is not None:
                rows = rows.float() / 255
                rows = self.normalize(rows[..., None])[..., 0] if normalize else rows
            self._tables[key] = (
                rows.transpose(2, 3).flatten(2).flatten(0, 1) if alternate else rows.flatten(0, 2)
            )
        return self._tables[key]

    def _rows(self, index: Tensor) -> Tensor:
        """For each row of each image, its number in a table of rows whose channels alternate:
        int64, shape (B, 64).
        """
        colours, sizes = len(self._colours), len(_SQUARES)
        colour, size = index % colours, index // colours % sizes
        place = index // (colours * sizes)
        lit = self._lines().index_select(0, size * _POSITIONS + place % _POSITIONS)
        row = (size * _POSITIONS + place // _POSITIONS) * (colours + 1)
        return row[:, None] + lit * (colour[:, None] + 1)

    def _images(self, index: Tensor) -> Tensor:
        return (
            self._table(None, True)
            .index_select(0, self._rows(index).flatten())
            .view(-1, *self.shape)
        )

    def _observations(self, index: Tensor, normalize: bool, channels_last: bool = False) -> Tensor:
        rows = self._rows(index)
        if channels_last:
            return (
                self._table(normalize, True)
                .index_select(0, rows.flatten())
                .view(-1, *self.shape)
                .permute(0, 3, 1, 2)
            )
        rows = rows[:, None] * 3 + torch.arange(3, device=self.device)[:, None]
        return (
            self._table(normalize, False).index_select(0, rows.flatten()).view(-1, 3, _SIDE, _SIDE)
        )

    def _move(self) -> None:
        self._tables = {}


class XYObjectShaded(XYObject):
    """XYObject whose colour is two factors, intensity and color: ``XYObject("shaded")`` under the
    authors' name.
    """

    OPTIONS = ()
    name = "xyobject-shaded"

    def __init__(self) -> None:
        super().__init__("shaded")
