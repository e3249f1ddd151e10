"""The cars and toys of the stand-ins: random solids that are their own mirror images."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from vaedis.data.standins.solids import Solid, box, cylinder, ellipsoid, frustum, place

# the surfaces of a car, and of a toy
BODY, GLASS, DARK, FRONT, REAR = range(5)
TOY, SHADOW = range(2)


def _axle(y: float, radius: float, half_width: float, surface: int = DARK) -> Solid:
    """Return two wheels and what is between them, which is hidden."""
    turn = math.pi / 2
    size = (radius, radius, half_width)
    return cylinder(surface, place((0, y, radius), size, yaw=turn, pitch=turn))


# of a car's cabin: its length and how far it lies back, in shares of the car's length; its height;
# and the length of its roof, in shares of the cabin's
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
    """Return a car of random shape: its solids, and the colours of its surfaces, (5, 3)."""
    cabin, back, height, roof = _BODIES[str(rng.choice(list(_BODIES)))]
    length = rng.uniform(1.75, 2.35)
    width = rng.uniform(0.78, 0.95)
    wheel = rng.uniform(0.3, 0.42)
    low = 0.75 * wheel
    belt = wheel + rng.uniform(0.42, 0.58)
    high = height * rng.uniform(0.42, 0.55)
    cabin = cabin * rng.uniform(0.92, 1.05) * length
    roof = roof * rng.uniform(0.9, 1.05)
    base = rng.uniform(0.55, 0.68) * length
    nose = rng.uniform(0.0, 0.25)
    middle = back * length

    def end(z: float) -> float:
        """Return how far the body reaches at a height: it narrows upwards."""
        return length * (1 - 0.3 * nose * (z - low) / (belt - low))

    lamp = low + 0.6 * (belt - low)
    brake = low + 0.68 * (belt - low)
    lower = place((0, 0, (low + belt) / 2), (width, length, (belt - low) / 2))
    upper = place((0, middle, belt + high / 2), (0.9 * width, cabin, high / 2))
    solids = [
        frustum(BODY, lower, (0.94, 1 - 0.3 * nose)),
        frustum(GLASS, upper, (0.82, roof)),
        box(BODY, place((0, middle, belt + high), (0.76 * width, roof * cabin, 0.04))),
        _axle(base, wheel, 1.02 * width),
        _axle(-base, wheel, 1.02 * width),
        box(FRONT, place((0, end(lamp), lamp), (0.8 * width, 0.03, 0.09))),
        box(REAR, place((0, -end(brake), brake), (0.85 * width, 0.03, 0.07))),
    ]
    # one in three is white, silver or black, as on the road
    if rng.random() < 1 / 3:
        saturation, value = 0.04, rng.choice([0.2, 0.6, 0.9])
    else:
        saturation, value = rng.uniform((0.55, 0.45), (0.95, 0.95))
    body = colorsys.hsv_to_rgb(rng.random(), saturation, value)
    other_colours = [(0.22, 0.27, 0.33), (0.1, 0.1, 0.11), (0.95, 0.92, 0.75), (0.6, 0.08, 0.08)]
    return solids, torch.tensor([body, *other_colours], dtype=torch.float32)


def toy(category: int, rng: np.random.Generator) -> list[Solid]:
    """Return a toy of random shape with the shadow that it stands in."""

    def about(value: float, spread: float = 0.15) -> float:
        return float(value * rng.uniform(1 - spread, 1 + spread))

    if category == 4:
        solids = [replace(solid, surface=TOY) for solid in car(rng)[0][:5]]
        width, length = 0.95, 2.1
    else:
        make, width, length = _TOYS[category]
        solids = make(about)
    return [*solids, cylinder(SHADOW, place((0, 0, 0), (width, length, 0.01)))]


def _mirrored(
    kind: Callable[..., Solid],
    x: float,
    y: float,
    z: float,
    half_sizes: Sequence[float],
    **turn: float,
) -> list[Solid]:
    """Return a solid on the left and its mirror image on the right."""
    return [kind(TOY, place((sign * x, y, z), half_sizes, **turn)) for sign in (-1, 1)]


def _animal(about: Callable[..., float]) -> list[Solid]:
    half_length = about(1.1)
    leg = about(0.5, 0.4)
    half_width = about(0.42, 0.25)
    neck = about(0.55, 0.6)
    back = 2 * leg
    neck_size = (0.2, 0.2 + neck / 2, 0.22)
    head_size = (0.24, about(0.4, 0.3), 0.24)
    tail_size = (0.08, about(0.4, 0.4), 0.08)
    return [
        ellipsoid(TOY, place((0, 0, back + 0.2), (half_width, half_length, half_width))),
        ellipsoid(TOY, place((0, half_length, back + 0.2 + neck / 2), neck_size, pitch=0.9)),
        ellipsoid(TOY, place((0, half_length + 0.4, back + 0.3 + neck), head_size)),
        ellipsoid(TOY, place((0, -half_length - 0.15, back + 0.1), tail_size, pitch=1.0)),
        *_mirrored(cylinder, 0.6 * half_width, 0.6 * half_length, leg, (0.13, 0.15, leg)),
        *_mirrored(cylinder, 0.6 * half_width, -0.6 * half_length, leg, (0.13, 0.15, leg)),
    ]


def _human(about: Callable[..., float]) -> list[Solid]:
    height = about(1.0, 0.1)
    half_width = about(0.42)
    body = ellipsoid(TOY, place((0, 0, 1.35 * height), (half_width, 0.3, 0.55 * height)))
    head = ellipsoid(TOY, place((0, 0.05, 2.15 * height), (0.24, 0.26, 0.3)))
    legs = _mirrored(cylinder, 0.22, about(0.1, 1.0), 0.45 * height, (0.16, 0.2, 0.45 * height))
    forward = about(0.2)
    size = (0.13, about(0.5, 0.4), 0.13)
    pitch = about(-0.4, 1.5)
    arms = _mirrored(ellipsoid, half_width + 0.1, forward, 1.4 * height, size, pitch=pitch)
    return [body, head, *legs, *arms]


def _plane(about: Callable[..., float]) -> list[Solid]:
    half_length = about(1.9)
    span = about(1.9)
    lift = about(0.75)
    tail = 0.1 - half_length
    return [
        ellipsoid(TOY, place((0, 0, lift), (0.32, half_length, about(0.32)))),
        box(TOY, place((0, about(0.25), lift), (span, about(0.35), 0.06))),
        box(TOY, place((0, tail, lift + 0.1), (about(0.75), 0.2, 0.05))),
        frustum(TOY, place((0, tail, lift + 0.4), (0.05, 0.3, about(0.35))), (1.0, 0.5)),
        *_mirrored(ellipsoid, about(0.8), 0.4, lift - 0.12, (0.15, 0.4, 0.15)),
    ]


def _truck(about: Callable[..., float]) -> list[Solid]:
    half_width = about(0.75)
    half_length = about(1.3)
    high = about(0.6)
    cabin_size = (0.95 * half_width, about(0.5), about(0.6))
    return [
        box(TOY, place((0, -0.55, 0.6 + high), (half_width, half_length, high))),
        frustum(TOY, place((0, half_length + 0.1, 0.95), cabin_size), (0.95, 0.7)),
        _axle(half_length, 0.35, half_width, TOY),
        _axle(-0.3 - 0.3 * half_length, 0.35, half_width, TOY),
        _axle(0.2 - half_length, 0.35, half_width, TOY),
    ]


# for each category of SmallNORB but cars, the last: what makes it, and the shadow's half sizes
_TOYS: tuple[tuple[Callable[[Callable[..., float]], list[Solid]], float, float], ...] = (
    (_animal, 0.6, 1.4),
    (_human, 0.7, 0.6),
    (_plane, 1.2, 1.5),
    (_truck, 0.9, 2.1),
)
