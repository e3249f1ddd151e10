"""Stand-ins for Cars3D and SmallNORB, for where the originals cannot be had: drawn scenes in the
originals' own file formats.

They have the originals' factors, sizes, order and image type, and the structure that the paper
reads off them: a car or toy looks alike from opposite sides, its type has no order, elevation has
one, and one lighting is unlike the rest. They are not the originals, and no number measured on them
is a reproduction. All shapes are their own mirror images, so that half of the views are mirrored,
not drawn.
"""

from __future__ import annotations

import colorsys
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vaedis import _check
from vaedis.data.originals.readers import NORB_TRAINING, SIZES
from vaedis.data.standins.raycast import (
    Camera,
    Light,
    Maps,
    Solid,
    box,
    cast,
    cylinder,
    ellipsoid,
    frustum,
    paint,
    place,
)
from vaedis.data.standins.writers import write_cars3d, write_smallnorb

VERSION = 1
"""Part of the files' names; another drawing gets another number, so that files of an older one are not taken for it."""
FILES = {
    "cars3d": ("cars3d-stand-in-v{}.tar.gz",),
    "smallnorb": tuple(
        f"smallnorb-stand-in-v{{}}-training-{part}.mat.gz" for part in ("dat", "cat", "info")
    ),
}
CAR_ELEVATIONS = (2, 14, 26, 38)
NORB_ELEVATIONS = tuple(range(30, 75, 5))
CATEGORIES = ("animal", "human", "plane", "truck", "car")
BODY, GLASS, DARK, FRONT, REAR = range(5)
TOY, SHADOW = range(2)
# for each lighting of SmallNORB's: the background, and how bright a toy is by the light around it,
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


def write(
    name: str,
    folder: str | Path,
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Path, ...]:
    """Write the stand-in for a data set, unless it is there.

    Parameters
    ----------
    name : {"cars3d", "smallnorb"}
    folder : path
        Of the files; made if there is none.
    seed : int
        Of the shapes and colours.
    progress : callable, optional
        Called with how many of how many objects have been drawn.

    Returns
    -------
    tuple of Path
        The files, in the order in which `READERS[name]` takes them.
    """
    folder = Path(folder)
    pattern = FILES[_check.one_of("stand-in", name, FILES)]
    paths = tuple(
        folder / (file.format(VERSION) if seed == 0 else f"seed{seed}-{file.format(VERSION)}")
        for file in pattern
    )
    if all(path.exists() for path in paths):
        return paths
    folder.mkdir(parents=True, exist_ok=True)
    report = progress or (lambda done, total: None)
    if name == "cars3d":
        cars = SIZES[name][-1]
        write_cars3d(
            paths[0],
            _counted(
                _side_by_side(car_images, [(number, seed) for number in range(cars)]), cars, report
            ),
        )
    else:
        categories, instances, elevations, rotations, lightings = SIZES[name]
        objects = list(itertools.product(range(categories), NORB_TRAINING[:instances]))
        drawn = _side_by_side(toy_images, [(*which, seed) for which in objects])
        images = np.concatenate(
            [toys.reshape(-1, 96, 96) for toys in _counted(drawn, len(objects), report)]
        )
        poses = list(
            itertools.product(range(elevations), range(0, 2 * rotations, 2), range(lightings))
        )
        grid = np.array([(*which, *pose) for which in objects for pose in poses])
        # shuffled, since the original's rows are in no order either
        order = np.random.default_rng(seed).permutation(len(grid))
        dat, cat, info = paths
        write_smallnorb(dat, cat, info, (_pair(images[row]) for row in order), grid[order])
    return paths


def car_images(number: int, seed: int = 0) -> np.ndarray:
    """Return a car from all sides: ndarray of uint8, shape (128, 128, 3, 24 azimuths, 4 elevations),
    on white.

    Azimuth 0 is the front, and 6 a side.
    """
    solids, colours = car(np.random.default_rng([seed, number]))
    images = np.empty((128, 128, 3, 24, 4), np.uint8)
    for (e, elevation), azimuth in itertools.product(enumerate(CAR_ELEVATIONS), range(13)):
        eye = _direction(elevation, 15 * azimuth)
        lights = [
            Light(
                torch.tensor([0.0, 0.0, 1.0]), far=True, diffuse=0.45, specular=0.25, shadow=False
            ),
            Light(eye, far=True, diffuse=0.45, shadow=False),
        ]
        # what lies at the far end costs time and is not seen
        far = REAR if azimuth < 6 else FRONT if azimuth > 6 else None
        facing = [solid for solid in solids if solid.surface != far]
        maps = _draw(
            facing, eye, lights, side=128, focal=300, distance=13.0, target=0.7, surfaces=5
        )
        view = (
            (paint(maps, colours, torch.ones(3))[0] * 255).round().byte().permute(1, 2, 0).numpy()
        )
        # the other side first: 0 and 12 are their own mirror images
        images[..., -azimuth % 24, e], images[..., azimuth, e] = view[:, ::-1], view
    return images


def toy_images(category: int, instance: int, seed: int = 0) -> np.ndarray:
    """Return a toy in all ways: ndarray of uint8, shape (9 elevations, 18 rotations, 6 lightings,
    96, 96).
    """
    solids = toy(
        CATEGORIES[category], np.random.default_rng([seed, 1000 + 10 * category + instance])
    )
    images = np.empty((len(NORB_ELEVATIONS), 18, len(_LIGHTINGS), 96, 96), np.uint8)
    for (e, elevation), rotation in itertools.product(enumerate(NORB_ELEVATIONS), range(10)):
        coverage, lit = _toy_view(solids, elevation, 20 * rotation)
        # a mirrored toy is lit from the other side
        mirrored = _expose(coverage.flip(-1), lit.flip(0, -1))
        images[e, -rotation % 18], images[e, rotation] = mirrored, _expose(coverage, lit)
    return images


def _toy_view(solids: Sequence[Solid], elevation: float, azimuth: float) -> tuple[Tensor, Tensor]:
    """Coverage, shape (2 surfaces, H, W), and how bright the toy is under a lamp on the left and
    one on the right, shape (2, H, W).
    """
    lamps = torch.stack([_direction(45, azimuth + side) for side in (60, -60)])
    light = Light(lamps, far=True, shadow=False)
    maps = _draw(
        solids,
        _direction(elevation, azimuth),
        [light],
        side=96,
        focal=215,
        distance=13.0,
        target=0.6,
        surfaces=2,
        ambient=0,
    )
    return maps.coverage[0], maps.tones[:, TOY, 1]


def _expose(coverage: Tensor, lit: Tensor) -> np.ndarray:
    """What a camera sees under each lighting: uint8, shape (6, H, W), of coverage and of what the
    two lamps light, shape (2, H, W).
    """
    background, around, left, right = _LIGHTINGS.T[..., None, None]
    free = 1 - coverage[TOY] - 0.25 * coverage[SHADOW]
    seen = free * background + coverage[TOY] * around + left * lit[0] + right * lit[1]
    return (seen.clamp(0, 1) * 255).round().byte().numpy()


def _pair(image: np.ndarray) -> np.ndarray:
    """The image, and what a second camera sees a little further to the right: everything 4 pixels
    further to the left.
    """
    return np.stack([image, np.concatenate([image[:, 4:], np.repeat(image[:, -1:], 4, 1)], 1)])


def _side_by_side(
    draw: Callable[..., np.ndarray], objects: Sequence[tuple[int, ...]]
) -> Iterator[np.ndarray]:
    """Draw objects on as many threads as torch uses, and yield them in order, the same bits as one
    after the other.

    A scene is so small that threads within it wait for each other more than they work. Only a few
    objects are drawn ahead, which bounds memory.
    """
    threads = torch.get_num_threads()
    pool, ahead = ThreadPoolExecutor(threads), deque[Future[np.ndarray]]()
    try:
        for which in objects:
            ahead.append(pool.submit(draw, *which))
            if len(ahead) > 2 * threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _counted(
    objects: Iterable[np.ndarray], total: int, report: Callable[[int, int], None]
) -> Iterator[np.ndarray]:
    for done, images in enumerate(objects, 1):
        yield images
        report(done, total)


def _direction(elevation: float, azimuth: float) -> Tensor:
    """Where something is seen from, in degrees: azimuth 0 is the front, which is y."""
    e, a = math.radians(elevation), math.radians(azimuth)
    return torch.tensor([math.sin(a) * math.cos(e), math.cos(a) * math.cos(e), math.sin(e)])


def _draw(
    solids: Sequence[Solid],
    eye: Tensor,
    lights: Sequence[Light],
    *,
    side: int,
    focal: float,
    distance: float,
    target: float,
    surfaces: int,
    ambient: float = 0.15,
) -> Maps:
    """Cast only the part of the image that holds something: most of it is background."""
    aim = torch.tensor([0.0, 0.0, target])
    right = torch.tensor([-eye[1], eye[0], 0.0]) / eye[:2].norm()
    cube = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=3)))
    corners = torch.cat([cube @ s.pose[:3, :3].T + s.pose[:3, 3] for s in solids]) - aim
    scale = focal / (distance - corners @ eye)
    column, row = (
        side / 2 + scale * (corners @ right),
        side / 2 - scale * (corners @ torch.linalg.cross(eye, right)),
    )
    (left, top), (end, bottom) = (
        (max(0, int(v.min()) - 1) for v in (column, row)),
        (min(side, int(v.max()) + 2) for v in (column, row)),
    )
    camera = Camera(
        aim + distance * eye,
        aim,
        focal,
        bottom - top,
        end - left,
        (side / 2 - top, side / 2 - left),
    )
    found = cast(solids, camera, lights, surfaces=surfaces, ambient=ambient, samples=3)
    around = (left, side - end, top, side - bottom)
    return Maps(
        torch.nn.functional.pad(found.coverage, around),
        torch.nn.functional.pad(found.tones, around),
    )


def _axle(y: float, radius: float, half_width: float, surface: int = DARK) -> Solid:
    """Two wheels and what is between them, which nobody sees."""
    return cylinder(
        surface,
        place((0, y, radius), (radius, radius, half_width), yaw=math.pi / 2, pitch=math.pi / 2),
    )


# how long a car's cabin is, how far it lies back, how high it is, and how long its roof is: shares
# of the car
_BODIES = {
    "saloon": (0.55, -0.08, 1.0, 0.55),
    "hatchback": (0.68, -0.2, 1.05, 0.62),
    "estate": (0.72, -0.26, 1.0, 0.8),
    "coupé": (0.52, -0.12, 0.8, 0.4),
    "van": (0.84, -0.14, 1.5, 0.88),
    "pick-up": (0.34, 0.1, 1.15, 0.7),
    "off-roader": (0.7, -0.24, 1.3, 0.88),
}


def car(rng: np.random.Generator) -> tuple[list[Solid], Tensor]:
    """Return a car of random shape and colour: its solids, and the colours of their surfaces,
    float32 of shape (5, 3).
    """
    cabin, back, tall, roof = _BODIES[str(rng.choice(list(_BODIES)))]
    length, width, wheel = rng.uniform(1.75, 2.35), rng.uniform(0.78, 0.95), rng.uniform(0.3, 0.42)
    low, belt, high = 0.75 * wheel, wheel + rng.uniform(0.42, 0.58), tall * rng.uniform(0.42, 0.55)
    cabin, roof, base = (
        cabin * rng.uniform(0.92, 1.05) * length,
        roof * rng.uniform(0.9, 1.05),
        rng.uniform(0.55, 0.68) * length,
    )
    nose = rng.uniform(0.0, 0.25)
    middle = back * length

    def end(z: float) -> float:
        """Where the body ends at a height: it narrows upwards."""
        return length * (1 - 0.3 * nose * (z - low) / (belt - low))

    lamp, brake = low + 0.6 * (belt - low), low + 0.68 * (belt - low)
    solids = [
        frustum(
            BODY,
            place((0, 0, (low + belt) / 2), (width, length, (belt - low) / 2)),
            (0.94, 1 - 0.3 * nose),
        ),
        frustum(
            GLASS, place((0, middle, belt + high / 2), (0.9 * width, cabin, high / 2)), (0.82, roof)
        ),
        box(BODY, place((0, middle, belt + high), (0.76 * width, roof * cabin, 0.04))),
        _axle(base, wheel, 1.02 * width),
        _axle(-base, wheel, 1.02 * width),
        box(FRONT, place((0, end(lamp), lamp), (0.8 * width, 0.03, 0.09))),
        box(REAR, place((0, -end(brake), brake), (0.85 * width, 0.03, 0.07))),
    ]
    # one in three is white, silver or black, as on the road
    saturation, value = (
        (0.04, rng.choice([0.2, 0.6, 0.9]))
        if rng.random() < 1 / 3
        else rng.uniform((0.55, 0.45), (0.95, 0.95))
    )
    body = colorsys.hsv_to_rgb(rng.random(), saturation, value)
    return solids, torch.tensor(
        [body, (0.22, 0.27, 0.33), (0.1, 0.1, 0.11), (0.95, 0.92, 0.75), (0.6, 0.08, 0.08)],
        dtype=torch.float32,
    )


def toy(category: str, rng: np.random.Generator) -> list[Solid]:
    """Return a toy of random shape, of one paint, with the shadow that it stands in."""

    def about(value: float, spread: float = 0.15) -> float:
        return float(value * rng.uniform(1 - spread, 1 + spread))

    def both(
        kind: Callable[..., Solid],
        x: float,
        y: float,
        z: float,
        half_sizes: Sequence[float],
        **turn: float,
    ) -> list[Solid]:
        return [kind(TOY, place((sign * x, y, z), half_sizes, **turn)) for sign in (-1, 1)]

    if category == "car":
        solids = [replace(s, surface=TOY) for s in car(rng)[0][:5]]
        reach = (0.95, 2.1)
    elif category == "truck":
        wide, long, high = about(0.75), about(1.3), about(0.6)
        solids = [
            box(TOY, place((0, -0.55, 0.6 + high), (wide, long, high))),
            frustum(
                TOY,
                place((0, long + 0.1, 0.95), (0.95 * wide, about(0.5), about(0.6))),
                (0.95, 0.7),
            ),
            *(_axle(y, 0.35, wide, TOY) for y in (long, -0.3 - 0.3 * long, 0.2 - long)),
        ]
        reach = (0.9, 2.1)
    elif category == "plane":
        long, span, lift = about(1.9), about(1.9), about(0.75)
        solids = [
            ellipsoid(TOY, place((0, 0, lift), (0.32, long, about(0.32)))),
            box(TOY, place((0, about(0.25), lift), (span, about(0.35), 0.06))),
            box(TOY, place((0, 0.1 - long, lift + 0.1), (about(0.75), 0.2, 0.05))),
            frustum(TOY, place((0, 0.1 - long, lift + 0.4), (0.05, 0.3, about(0.35))), (1.0, 0.5)),
            *both(ellipsoid, about(0.8), 0.4, lift - 0.12, (0.15, 0.4, 0.15)),
        ]
        reach = (1.2, 1.5)
    elif category == "human":
        tall, wide = about(1.0, 0.1), about(0.42)
        solids = [
            ellipsoid(TOY, place((0, 0, 1.35 * tall), (wide, 0.3, 0.55 * tall))),
            ellipsoid(TOY, place((0, 0.05, 2.15 * tall), (0.24, 0.26, 0.3))),
            *both(cylinder, 0.22, about(0.1, 1.0), 0.45 * tall, (0.16, 0.2, 0.45 * tall)),
            *both(
                ellipsoid,
                wide + 0.1,
                about(0.2),
                1.4 * tall,
                (0.13, about(0.5, 0.4), 0.13),
                pitch=about(-0.4, 1.5),
            ),
        ]
        reach = (0.7, 0.6)
    else:
        long, leg, wide, neck = about(1.1), about(0.5, 0.4), about(0.42, 0.25), about(0.55, 0.6)
        solids = [
            ellipsoid(TOY, place((0, 0, 2 * leg + 0.2), (wide, long, wide))),
            ellipsoid(
                TOY,
                place((0, long, 2 * leg + 0.2 + neck / 2), (0.2, 0.2 + neck / 2, 0.22), pitch=0.9),
            ),
            ellipsoid(
                TOY, place((0, long + 0.4, 2 * leg + 0.3 + neck), (0.24, about(0.4, 0.3), 0.24))
            ),
            ellipsoid(
                TOY,
                place((0, -long - 0.15, 2 * leg + 0.1), (0.08, about(0.4, 0.4), 0.08), pitch=1.0),
            ),
            *both(cylinder, 0.6 * wide, 0.6 * long, leg, (0.13, 0.15, leg)),
            *both(cylinder, 0.6 * wide, -0.6 * long, leg, (0.13, 0.15, leg)),
        ]
        reach = (0.6, 1.4)
    return [*solids, cylinder(SHADOW, place((0, 0, 0), (*reach, 0.01)))]
