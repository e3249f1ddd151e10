"""Draw stand-ins for Cars3D and SmallNORB, for where the originals cannot be had.

They have the originals' factors and order, and the structure that the paper reads off them: a car
or toy looks alike from opposite sides, its type has no order, elevation has one, and one lighting
is unlike the others. No number measured on them is a reproduction. All shapes are their own mirror
images, so that half of the views are mirrored, not drawn.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedis.data.originals.catalog import BENCHMARKS
from vaedis.data.originals.readers import car_views, resize
from vaedis.data.standins.objects import FRONT, REAR, SHADOW, TOY, car, toy
from vaedis.data.standins.raycast import Camera, Light, Maps, cast, paint
from vaedis.data.standins.solids import Solid

# to be increased when a drawing changes; what an older one has drawn is drawn anew
VERSION = 1
CAR_ELEVATIONS = (2, 14, 26, 38)
NORB_ELEVATIONS = tuple(range(30, 75, 5))
# the instances of each category in SmallNORB's training split
INSTANCES = (4, 6, 7, 8, 9)
# of the camera from the point that it looks at
_DISTANCE = 13.0
# for each lighting of SmallNORB: the background, and how bright a toy is by the light around it,
# and by a lamp on the left and the right
_LIGHTINGS = torch.tensor(
    [
        (0.84, 0.20, 0.35, 0.35),
        (0.78, 0.18, 0.55, 0.05),
        (0.42, 0.10, 0.12, 0.12),
        (0.86, 0.22, 0.05, 0.55),
        (0.74, 0.16, 0.30, 0.15),
        (0.92, 0.26, 0.40, 0.40),
    ]
)


def draw(name: str, advance: Callable[[int], Any] = lambda n_objects: None) -> np.ndarray:
    """Return the images of "cars3d" or "smallnorb" in the order of their factors.

    They are uint8 of shape (n, 64, 64, channels). `advance` is called with 1 for each car or toy.
    """
    benchmark = BENCHMARKS[name]
    objects: list[Any] = list(range(benchmark.sizes[-1]))
    draw_one: Callable[[Any], np.ndarray] = _car_views
    if name == "smallnorb":
        categories, instances = benchmark.sizes[:2]
        objects = list(itertools.product(range(categories), INSTANCES[:instances]))
        draw_one = _toy_views
    views = []
    # an object is so small that threads within it wait for each other more than they work
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for view in pool.map(draw_one, objects):
            views.append(view)
            advance(1)
    # a car is the last factor, and a toy the first
    return np.stack(views, 2 if name == "cars3d" else 0).reshape(benchmark.stored_shape)


def _car_views(number: int) -> np.ndarray:
    return car_views(car_images(number))


def _toy_views(toy: tuple[int, int]) -> np.ndarray:
    return resize(toy_images(*toy).reshape(-1, 96, 96, 1))


def car_images(number: int) -> np.ndarray:
    """Return a car from all sides on white: uint8 of (128, 128, 3, 24 azimuths, 4 elevations).

    Azimuth 0 is the front, and 6 a side.
    """
    solids, colours = car(np.random.default_rng([0, number]))
    images = np.empty((128, 128, 3, 24, 4), np.uint8)
    above = torch.tensor([0.0, 0.0, 1.0])
    for (e, elevation), azimuth in itertools.product(enumerate(CAR_ELEVATIONS), range(13)):
        eye = _direction(elevation, 15 * azimuth)
        lights = [
            Light(above, diffuse=0.45, specular=0.25),
            Light(eye, diffuse=0.45),
        ]
        # lamps at the far end are hidden, and would only cost time
        hidden = None
        if azimuth < 6:
            hidden = REAR
        elif azimuth > 6:
            hidden = FRONT
        visible = [solid for solid in solids if solid.surface != hidden]
        maps = _cast_object(visible, eye, lights, side=128, focal=300, target=0.7, surfaces=5)
        painted = paint(maps, colours)[0]
        view = (painted * 255).round().byte().permute(1, 2, 0).numpy()
        # the mirrored one first: azimuths 0 and 12 are their own mirror images
        images[..., -azimuth % 24, e] = view[:, ::-1]
        images[..., azimuth, e] = view
    return images


def toy_images(category: int, instance: int) -> np.ndarray:
    """Return a toy: uint8 of (9 elevations, 18 rotations, 6 lightings, 96, 96)."""
    rng = np.random.default_rng([0, 1000 + 10 * category + instance])
    solids = toy(category, rng)
    images = np.empty((len(NORB_ELEVATIONS), 18, len(_LIGHTINGS), 96, 96), np.uint8)
    for (e, elevation), rotation in itertools.product(enumerate(NORB_ELEVATIONS), range(10)):
        coverage, lamps = _toy_view(solids, elevation, 20 * rotation)
        # a mirrored toy is lit from the other side
        images[e, -rotation % 18] = _expose(coverage.flip(-1), lamps.flip(0, -1))
        images[e, rotation] = _expose(coverage, lamps)
    return images


def _toy_view(solids: Sequence[Solid], elevation: float, azimuth: float) -> tuple[Tensor, Tensor]:
    """Return coverage, (2 surfaces, H, W), and a toy's brightness by each lamp, (2, H, W).

    The first lamp is on the left, the second on the right.
    """
    lamps = torch.stack([_direction(45, azimuth + side) for side in (60, -60)])
    eye = _direction(elevation, azimuth)
    maps = _cast_object(
        solids, eye, [Light(lamps)], side=96, focal=215, target=0.6, surfaces=2, ambient=0
    )
    return maps.coverage[0], maps.tones[:, TOY, 1]


def _expose(coverage: Tensor, lamps: Tensor) -> np.ndarray:
    """Return what a camera sees under each lighting, uint8 of shape (6, H, W)."""
    background, surroundings, left, right = _LIGHTINGS.T[..., None, None]
    uncovered = 1 - coverage[TOY] - 0.25 * coverage[SHADOW]
    brightness = (
        uncovered * background + coverage[TOY] * surroundings + left * lamps[0] + right * lamps[1]
    )
    return (brightness.clamp(0, 1) * 255).round().byte().numpy()


def _direction(elevation: float, azimuth: float) -> Tensor:
    """Return a unit vector from angles in degrees; azimuth 0 is the front, which is y."""
    e = math.radians(elevation)
    a = math.radians(azimuth)
    return torch.tensor([math.sin(a) * math.cos(e), math.cos(a) * math.cos(e), math.sin(e)])


def _cast_object(
    solids: Sequence[Solid],
    eye: Tensor,
    lights: Sequence[Light],
    *,
    side: int,
    focal: float,
    target: float,
    surfaces: int,
    ambient: float = 0.15,
) -> Maps:
    """Cast only the rectangle of the image that holds the object; the rest is background."""
    aim = torch.tensor([0.0, 0.0, target])
    row, column = _corners_in_image(solids, eye, aim, side, focal)
    top = max(0, int(row.min()) - 1)
    bottom = min(side, int(row.max()) + 2)
    left = max(0, int(column.min()) - 1)
    right = min(side, int(column.max()) + 2)
    camera = Camera(
        aim + _DISTANCE * eye,
        aim,
        focal,
        height=bottom - top,
        width=right - left,
        centre=(side / 2 - top, side / 2 - left),
    )
    maps = cast(solids, camera, lights, surfaces=surfaces, ambient=ambient)
    margins = (left, side - right, top, side - bottom)
    return Maps(
        torch.nn.functional.pad(maps.coverage, margins),
        torch.nn.functional.pad(maps.tones, margins),
    )


def _corners_in_image(
    solids: Sequence[Solid], eye: Tensor, aim: Tensor, side: int, focal: float
) -> tuple[Tensor, Tensor]:
    """Return rows and columns at which the corners of all solids' bounding boxes appear."""
    cube = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=3)))
    corners = torch.cat([cube @ s.pose[:3, :3].T + s.pose[:3, 3] for s in solids]) - aim
    to_the_right = torch.tensor([-eye[1], eye[0], 0.0]) / eye[:2].norm()
    scale = focal / (_DISTANCE - corners @ eye)
    row = side / 2 - scale * (corners @ torch.linalg.cross(eye, to_the_right))
    column = side / 2 + scale * (corners @ to_the_right)
    return row, column
