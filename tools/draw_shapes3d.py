"""Draw the table that the rendered 3D Shapes are made of, by ray casting, and write it into the
package.

    python tools/draw_shapes3d.py

It takes a minute. Rounding differs from processor to processor, so that a few pixels may come out
one level darker or brighter; the committed table is the one that all stored results were made with.
"""

from __future__ import annotations

import lzma
import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from vaedis.data.shapes3d import SHAPES, SIZE, SURFACES, TONES
from vaedis.data.standins import raycast, solids

ASSET = Path(__file__).resolve().parents[1] / "vaedis" / "data" / "assets" / "shapes3d.xz"
SCALES = torch.linspace(0.75, 1.25, 8)
YAWS = torch.linspace(-30, 30, 15) * (math.pi / 180)

# All lengths are in units of half the room's width. They and the lights were fitted to 25 original
# images by least squares over all pixels. Those images come from a grid whose lines cross their
# first and last columns and their 63rd row: they begin at the originals' second row, and the
# horizon, row 31.17 of theirs, is 32.17 here. Table A1 bears that out: it puts the wall before the
# floor.
_DISTANCE, _FOCAL, _HORIZON = 0.7357, 69.70, 32.172
_WALL_TOP, _FLOOR = 0.3601, -0.2131
# objects are lowered by as much as their outlines in the originals lie below the floor that meets
# the walls
_SINK = 0.0071
# at scale 1: half the cube's side, the ball's radius, the cylinder's radius and half height, and
# those of the capsule's middle
_HALF_SIDE, _BALL, _CYLINDER, _CAPSULE = 0.1036, 0.1246, (0.1107, 0.1108), (0.0939, 0.0965)
# a light that moves with the camera and throws no shadow, and a spotlight overhead whose highlight
# is all over the sides it reaches
_AMBIENT, _HEADLIGHT = 0.341, 0.6025
_LAMP_AT, _LAMP_DIFFUSE, _LAMP_SPECULAR = (-0.454, 0.188, 2.050), 0.984, 0.151
_LAMP_AIM, _LAMP_FOCUS = (0.012, -0.020, -1.0), 11.43
# the surface of the object; only it throws shadows and shows highlights
_OBJECT = 2
# rooms are cast so many at a time, which bounds the memory
_ROOMS = 30

_SKY, _SKY_FIRST_ROW = (153, 226, 249), (144, 213, 235)


@dataclass(frozen=True)
class Spotlight(raycast.Light):
    """A light at `position` whose brightness falls with a power of the cosine to its aim."""

    aim: Tensor = field(kw_only=True)
    focus: float = field(kw_only=True)

    def reach(
        self, scene: raycast.Scene, number: Tensor, point: Tensor
    ) -> tuple[Tensor, Tensor | float]:
        to_light = scene.expand(self.position)[number][..., None] - point
        ray = solids.unit(to_light)
        power = visible(scene, number, point, to_light).to(ray.dtype)
        cosine = (-ray * solids.unit(scene.expand(self.aim)[number])[..., None]).sum(1)
        return ray, power * cosine.clamp(min=0) ** self.focus

    def highlight(self, shine: Tensor, solid: Tensor) -> Tensor:
        # objects follow floor and walls
        return super().highlight(shine, solid) * (solid > 3)


def visible(scene: raycast.Scene, number: Tensor, point: Tensor, to_light: Tensor) -> Tensor:
    """Tell from which points the way to a light is free of objects."""
    is_free = torch.ones_like(point[:, 0], dtype=torch.bool)
    for solid, matrix, offset in scene.solids:
        if solid.surface == _OBJECT:
            near, far, _ = solids.span(solid.kind, matrix[number], offset[number], point, to_light)
            # a solid does not shade the side of it that faces the light, whatever rounding says
            is_free &= ~((near < far) & (far > 1e-3) & (near > -1e-3) & (near < 1))
    return is_free


def draw_table() -> Tensor:
    """Return every geometry, uint8 of shape (21 * 480, H * W); `vaedis.data.shapes3d` reads it."""
    rows = torch.zeros(
        len(SCALES),
        len(SHAPES),
        len(YAWS),
        SURFACES * len(TONES) + 3,
        SIZE * SIZE,
        dtype=torch.uint8,
    )
    sky = torch.tensor(_SKY)[:, None].repeat(1, SIZE * SIZE)
    sky[:, :SIZE] = torch.tensor(_SKY_FIRST_ROW)[:, None]
    for k, shape in enumerate(SHAPES):
        maps = geometry(shape, SCALES.repeat_interleave(len(YAWS)), YAWS.repeat(len(SCALES)))
        # rounded by shares that add up to a half, so that no sum exceeds 255
        levels = 255 * maps.tones + 0.5 * maps.coverage[:, :, None]
        uncovered = (1 - maps.coverage.sum(1)).clamp(min=0).flatten(1)[:, None]
        levels = torch.cat([levels.flatten(1, 2).flatten(2), uncovered * sky + 0.5 * uncovered], 1)
        rows[:, k] = (
            levels.floor().clamp(0, 255).to(torch.uint8).unflatten(0, (len(SCALES), len(YAWS)))
        )
    return rows.flatten(0, 2).transpose(0, 1).flatten(0, 1)


def geometry(shape: str, scale: Tensor, yaw: Tensor, *, samples: int = 4) -> raycast.Maps:
    """Cast rooms with an object, one of `SHAPES`; return maps of floor, walls and object.

    `scale`, the object's size, and `yaw`, from where the camera looks, in radians, are float32,
    (B,). There are `samples` along each side of a pixel, for antialiasing; tones are 0, ..., 1.
    """
    parts = zip(scale.split(_ROOMS), yaw.split(_ROOMS), strict=True)
    maps = [_rooms(shape, *part, samples) for part in parts]
    return raycast.Maps(
        torch.cat([part.coverage for part in maps]), torch.cat([part.tones for part in maps])
    )


def _rooms(shape: str, scale: Tensor, yaw: Tensor, samples: int) -> raycast.Maps:
    here = torch.eye(4)
    floor = solids.polyhedron(0, here, [[0, 0, 1, _FLOOR]])
    inward = ([0, -1, 0], [1, 0, 0], [-1, 0, 0])
    walls = [solids.polyhedron(1, here, [[*n, -1], [0, 0, 1, _WALL_TOP]]) for n in inward]
    behind = torch.stack([yaw.sin(), -yaw.cos(), torch.zeros_like(yaw)], -1)
    camera = raycast.Camera(
        _DISTANCE * behind, torch.zeros(3), _FOCAL, SIZE, SIZE, centre=(_HORIZON, SIZE / 2)
    )
    headlight = raycast.Light(behind, diffuse=_HEADLIGHT)
    lamp = Spotlight(
        torch.tensor(_LAMP_AT),
        diffuse=_LAMP_DIFFUSE,
        specular=_LAMP_SPECULAR,
        shininess=0.0,
        aim=torch.tensor(_LAMP_AIM),
        focus=_LAMP_FOCUS,
    )
    return raycast.cast(
        [floor, *walls, *_object(shape, scale)],
        camera,
        [headlight, lamp],
        surfaces=SURFACES,
        ambient=_AMBIENT,
        tones=TONES,
        samples=samples,
    )


def _above_middle(height: Tensor) -> Tensor:
    """Return points above the middle of the room, (B, 3)."""
    return torch.stack([torch.zeros_like(height), torch.zeros_like(height), height], -1)


def _capsule(centre: Tensor, radius: Tensor, half_length: Tensor) -> list[solids.Solid]:
    """Return an upright cylinder between two balls: radius and half the balls' distance, (B,)."""
    lift = _above_middle(half_length)
    middle = solids.place(centre, torch.stack([radius, radius, half_length], -1))
    ball = radius[..., None].expand(*radius.shape, 3)
    return [
        solids.cylinder(_OBJECT, middle),
        solids.ellipsoid(_OBJECT, solids.place(centre + lift, ball)),
        solids.ellipsoid(_OBJECT, solids.place(centre - lift, ball)),
    ]


def _object(shape: str, scale: Tensor) -> list[solids.Solid]:
    """Return the object on the floor, in the middle of the room, as surface 2."""

    def standing(half_height: Tensor) -> Tensor:
        return _above_middle(_FLOOR - _SINK + half_height)

    if shape == "capsule":
        radius, half_length = (scale * size for size in _CAPSULE)
        return _capsule(standing(radius + half_length), radius, half_length)
    half = {
        "cube": (_HALF_SIDE,) * 3,
        "sphere": (_BALL,) * 3,
        "cylinder": (_CYLINDER[0], _CYLINDER[0], _CYLINDER[1]),
    }[shape]
    make = {"cube": solids.box, "sphere": solids.ellipsoid, "cylinder": solids.cylinder}[shape]
    return [
        make(
            _OBJECT,
            solids.place(standing(scale * half[2]), scale[:, None] * scale.new_tensor(half)),
        )
    ]


def main() -> None:
    ASSET.parent.mkdir(exist_ok=True)
    ASSET.write_bytes(lzma.compress(draw_table().numpy().tobytes(), preset=6))
    print(f"{ASSET}: {ASSET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
