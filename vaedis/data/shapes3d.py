"""3D Shapes, rendered: an object in a room, ray-cast from a geometry that was fitted to original images. Nothing is downloaded.

The 480,000 images are 480 geometries (8 scales, 4 shapes, 15 orientations) in 1,000 colourings (floor, wall and object hue, 10 each). The
geometries are cast once, in seconds; an image is then the sum of one row of a table for each of floor, wall, object and sky.
"""

from __future__ import annotations

import colorsys
import functools
import math

import torch
from torch import Tensor

from vaedis.data import _raycast as rc
from vaedis.data.base import FactorData
from vaedis.factors import FactorSpace

SHAPES = ("cube", "cylinder", "sphere", "capsule")
_SIZE = 64
_SCALES = torch.linspace(0.75, 1.25, 8)
_YAWS = torch.linspace(-30, 30, 15) * (math.pi / 180)
_GEOMETRIES = len(_SCALES) * len(SHAPES) * len(_YAWS)

# All lengths are in units of half the room's width. They and the lights were fitted by least squares to 25 original images: see `Shapes3D`.
_DISTANCE, _FOCAL, _HORIZON = 0.7357, 69.70, 32.172
_WALL_TOP, _FLOOR = 0.3601, -0.2131
# objects are lowered by as much as their outlines in the originals lie below the floor that meets the walls
_SINK = 0.0071
_HALF_SIDE, _BALL, _CYLINDER, _CAPSULE = 0.1036, 0.1246, (0.1107, 0.1108), (0.0939, 0.0965)
_AMBIENT, _HEADLIGHT = 0.341, 0.6025
_LAMP = rc.Light(
    torch.tensor([-0.454, 0.188, 2.050]), diffuse=0.984, specular=0.151, shininess=0.0, aim=torch.tensor([0.012, -0.020, -1.0]), focus=11.43
)

_SKY, _SKY_FIRST_ROW = (153, 226, 249), (144, 213, 235)
# every channel of the 10 hues is a multiple of a fifth: so few tones, cast exactly, do for all colours
_TONES = tuple(k / 5 for k in range(6))
_TONE_OF_HUE = torch.tensor([[round(5 * c) for c in colorsys.hsv_to_rgb(k / 10, 1, 1)] for k in range(10)])
_SURFACES = 3


class Shapes3D(FactorData):
    """3D Shapes, rendered.

    An object stands in a room with a sky; a camera looks at it from -30° to 30°. What differs from the originals: their faint texture of
    tiles on floor and walls, and the facets of their curved objects, are left out; outlines differ by fractions of a pixel.

    Attributes
    ----------
    mean, std
        The originals' published constants, which the paper trains with. The rendered images' own differ by less than 0.01.

    Notes
    -----
    `origin` is "rendered". The room and the lights were fitted to 25 original images, the order of orientations to Figure 3.

    References
    ----------
    Burgess and Kim (2018), *3D Shapes Dataset*, https://github.com/google-deepmind/3d-shapes. Michlo, Klein and James (2023), Table A2.
    """

    name = "shapes3d"
    origin = "rendered"
    shape = (_SIZE, _SIZE, 3)
    mean = (0.502584966788819, 0.5787597566089667, 0.6034499731859578)
    std = (0.2940814043555559, 0.3443979087517214, 0.3661685981524748)

    def __init__(self) -> None:
        self.factors = FactorSpace(
            ["floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation"], [10, 10, 10, len(_SCALES), len(SHAPES), len(_YAWS)]
        )

    def _channels_first(self, index: Tensor) -> Tensor:
        """Images as uint8, shape (B, C, H, W)."""
        table, tone_of_hue = _table(self.device)
        geometry, colours = index % _GEOMETRIES, index // _GEOMETRIES
        x = table[-3:][:, geometry].transpose(0, 1).contiguous()
        table = table.flatten(0, 1)
        for surface, step in enumerate((100, 10, 1)):
            tone = tone_of_hue[colours // step % 10]
            x += table[(surface * len(_TONES) + tone) * _GEOMETRIES + geometry[:, None]]
        return x.unflatten(-1, (_SIZE, _SIZE))

    def _images(self, index: Tensor) -> Tensor:
        return self._channels_first(index).permute(0, 2, 3, 1).contiguous()

    def _observations(self, index: Tensor, standardise: bool, channels_last: bool = False) -> Tensor:
        x = self._channels_first(index).float() / 255
        x = self.standardise(x) if standardise else x
        return x.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


@functools.cache
def _table(device: torch.device) -> tuple[Tensor, Tensor]:
    """Every geometry on a device, uint8 of shape (21, 480, H * W), and the tones of each hue, shape (10, 3).

    Row 6 s + k is surface s in tone k, and the last three rows are the sky in red, green and blue: an image's channel is the sum of four.
    """
    rows = torch.zeros(len(_SCALES), len(SHAPES), len(_YAWS), _SURFACES * len(_TONES) + 3, _SIZE * _SIZE, dtype=torch.uint8, device=device)
    sky = torch.tensor(_SKY, device=device)[:, None].repeat(1, _SIZE * _SIZE)
    sky[:, :_SIZE] = torch.tensor(_SKY_FIRST_ROW, device=device)[:, None]
    for k, shape in enumerate(SHAPES):
        maps = geometry(shape, _SCALES.repeat_interleave(len(_YAWS)), _YAWS.repeat(len(_SCALES)), device=device)
        # rounded by shares that add up to a half, so that no sum exceeds 255
        drawn = 255 * maps.tones + 0.5 * maps.coverage[:, :, None]
        rest = (1 - maps.coverage.sum(1)).clamp(min=0).flatten(1)[:, None]
        drawn = torch.cat([drawn.flatten(1, 2).flatten(2), rest * sky + 0.5 * rest], 1)
        rows[:, k] = drawn.floor().clamp(0, 255).to(torch.uint8).unflatten(0, (len(_SCALES), len(_YAWS)))
    return rows.flatten(0, 2).transpose(0, 1).contiguous(), _TONE_OF_HUE.to(device)


def geometry(shape: str, scale: Tensor, yaw: Tensor, *, samples: int = 4, device: str | torch.device = "cpu") -> rc.Maps:
    """Cast rooms with an object.

    Parameters
    ----------
    shape : {"cube", "cylinder", "sphere", "capsule"}
    scale, yaw : Tensor of float32, shape (B,)
        The object's size, and from where the camera looks, in radians.
    samples : int
        Along each side of a pixel, for antialiasing.
    device : str or torch.device

    Returns
    -------
    _raycast.Maps
        Of floor, walls and object, in tones of 0, 1/5, ..., 1.
    """
    scale, yaw = scale.to(device), yaw.to(device)
    nothing, here = torch.zeros_like(yaw), torch.eye(4)
    floor = rc.polyhedron(0, here, [[0, 0, 1, _FLOOR]], shadow=False, gloss=0.0)
    inward = ([0, -1, 0], [1, 0, 0], [-1, 0, 0])
    walls = [rc.polyhedron(1, here, [[*normal, -1], [0, 0, 1, _WALL_TOP]], shadow=False, gloss=0.0) for normal in inward]
    behind = torch.stack([yaw.sin(), -yaw.cos(), nothing], -1)
    camera = rc.Camera(_DISTANCE * behind, torch.zeros(3, device=device), _FOCAL, _SIZE, _SIZE, centre=(_HORIZON, _SIZE / 2))
    headlight = rc.Light(behind, far=True, diffuse=_HEADLIGHT, shadow=False)
    return rc.cast(
        [floor, *walls, *_object(shape, scale)],
        camera,
        [headlight, _LAMP],
        surfaces=_SURFACES,
        ambient=_AMBIENT,
        tones=_TONES,
        samples=samples,
    )


def _object(shape: str, scale: Tensor) -> list[rc.Solid]:
    """The object on the floor, in the middle of the room."""

    def standing(half_height: Tensor) -> Tensor:
        return torch.stack([torch.zeros_like(scale), torch.zeros_like(scale), _FLOOR - _SINK + half_height], -1)

    if shape == "capsule":
        radius, half_length = (scale * size for size in _CAPSULE)
        return rc.capsule(2, standing(radius + half_length), radius, half_length)
    half = {"cube": (_HALF_SIDE,) * 3, "sphere": (_BALL,) * 3, "cylinder": (_CYLINDER[0], _CYLINDER[0], _CYLINDER[1])}[shape]
    make = {"cube": rc.box, "sphere": rc.ellipsoid, "cylinder": rc.cylinder}[shape]
    return [make(2, rc.place(standing(scale * half[2]), scale[:, None] * scale.new_tensor(half)))]
