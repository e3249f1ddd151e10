"""Convex solids under affine maps, and where rays enter and leave them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

FAR = 1e9


@dataclass(frozen=True)
class Solid:
    """A convex solid in each of B scenes.

    Attributes
    ----------
    surface : int
        Which map it is drawn into. Several solids may share one.
    pose : Tensor of float32, shape (4, 4) or (B, 4, 4)
        The affine map that takes the unit solid to where it is. The unit ellipsoid is the ball of
        radius 1; the unit cylinder has radius 1 around the z axis and reaches from z = -1 to 1.
    kind : {"ellipsoid", "cylinder", "polyhedron"}
    planes : Tensor of float32, shape (n, 4), optional
        Of a polyhedron: the points x with normal · x <= offset, for each row (normal, offset). It
        need not be closed: one row is a half-space.
    shadow : bool
        Whether it throws a shadow on others.
    gloss : float
        How much of a light's highlight it shows.
    """

    surface: int
    pose: Tensor
    kind: str
    planes: Tensor | None = None
    shadow: bool = True
    gloss: float = 1.0


def place(
    centre: Sequence[float] | Tensor,
    half_sizes: Sequence[float] | Tensor | float = 1.0,
    yaw: float | Tensor = 0.0,
    pitch: float | Tensor = 0.0,
) -> Tensor:
    """Return the pose that scales a unit solid, turns it, and moves it.

    Parameters
    ----------
    centre : (x, y, z) or Tensor, shape (3,) or (B, 3)
    half_sizes : float, (x, y, z) or Tensor, shape (3,) or (B, 3)
    yaw : float or Tensor, shape (B,)
        Counter-clockwise turn around z, seen from above, in radians.
    pitch : float or Tensor, shape (B,)
        Turn around x before that, which lifts y towards z, in radians.

    Returns
    -------
    Tensor of float32, shape (4, 4) or (B, 4, 4)
    """
    centre, half_sizes = (
        torch.as_tensor(centre, dtype=torch.float32),
        torch.as_tensor(half_sizes, dtype=torch.float32),
    )
    yaw, pitch = (
        torch.as_tensor(yaw, dtype=torch.float32),
        torch.as_tensor(pitch, dtype=torch.float32),
    )
    device = next(
        (v.device for v in (centre, half_sizes, yaw, pitch) if v.device.type != "cpu"),
        centre.device,
    )
    batch = torch.broadcast_shapes(centre.shape[:-1], half_sizes.shape[:-1], yaw.shape, pitch.shape)
    (cy, sy), (cp, sp) = (
        (v.to(device).expand(batch) for v in (a.cos(), a.sin())) for a in (yaw, pitch)
    )
    zero = torch.zeros_like(cy)
    turn = torch.stack([cy, -sy * cp, sy * sp, sy, cy * cp, -cy * sp, zero, sp, cp], -1).unflatten(
        -1, (3, 3)
    )
    pose = torch.zeros(*batch, 4, 4, device=device)
    pose[..., :3, :3] = turn * half_sizes.to(device).expand(*batch, 3)[..., None, :]
    pose[..., :3, 3] = centre.to(device).expand(*batch, 3)
    pose[..., 3, 3] = 1
    return pose


def ellipsoid(surface: int, pose: Tensor, **look: Any) -> Solid:
    """Return the ball of radius 1, posed; `look` as in `Solid`, here and below."""
    return Solid(surface, pose, "ellipsoid", **look)


def cylinder(surface: int, pose: Tensor, **look: Any) -> Solid:
    """Return the cylinder of radius 1 around z that reaches from z = -1 to 1, posed."""
    return Solid(surface, pose, "cylinder", **look)


def polyhedron(surface: int, pose: Tensor, planes: Sequence[Sequence[float]], **look: Any) -> Solid:
    """Return the points with normal · x <= offset for each row (normal_x, normal_y, normal_z,
    offset) of `planes`, posed.
    """
    return Solid(surface, pose, "polyhedron", torch.tensor(planes, dtype=torch.float32), **look)


def box(surface: int, pose: Tensor, **look: Any) -> Solid:
    """Return the cube from -1 to 1 along each axis, posed."""
    planes = [
        [sign * float(axis == k) for k in range(3)] + [1.0] for axis in range(3) for sign in (-1, 1)
    ]
    return polyhedron(surface, pose, planes, **look)


def frustum(surface: int, pose: Tensor, top: tuple[float, float], **look: Any) -> Solid:
    """Return a box whose top (z = 1) has half sizes `top` along x and y while its bottom (z = -1)
    has 1, posed; 0 is a ridge or a tip.
    """
    planes = [[0.0, 0.0, -1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]
    for axis, half in enumerate(top):
        for sign in (-1.0, 1.0):
            # x + slope * z <= (1 + half) / 2 is 1 at z = -1 and `half` at z = 1
            planes.append(
                [sign * float(axis == 0), sign * float(axis == 1), (1 - half) / 2, (1 + half) / 2]
            )
    return polyhedron(surface, pose, planes, **look)


def capsule(
    surface: int, centre: Sequence[float] | Tensor, radius: Tensor, half_length: Tensor, **look: Any
) -> list[Solid]:
    """Return an upright cylinder between two balls: radius and half the distance of the balls'
    centres, float32 of shape (B,).
    """
    centre = torch.as_tensor(centre, dtype=torch.float32).to(radius.device).expand(*radius.shape, 3)
    lift = torch.stack([torch.zeros_like(radius), torch.zeros_like(radius), half_length], -1)
    middle = cylinder(
        surface, place(centre, torch.stack([radius, radius, half_length], -1)), **look
    )
    return [
        middle,
        *(
            ellipsoid(
                surface, place(centre + end, radius[..., None].expand(*radius.shape, 3)), **look
            )
            for end in (lift, -lift)
        ),
    ]


def unit(vectors: Tensor, dim: int = 1) -> Tensor:
    """Vectors of length 1; those of length 0 stay. Several times as fast as
    `torch.nn.functional.normalize` along an inner dimension.
    """
    return vectors * vectors.square().sum(dim, keepdim=True).clamp(min=1e-30).rsqrt()


def span(
    kind: str, matrix: Tensor, offset: Tensor, origin: Tensor, direction: Tensor, *, normals: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Where rays enter and leave a solid, and the (unnormalised) normal where they enter; a ray that
    misses leaves before it enters.

    `matrix` and `offset` take the scene to the unit solid or are the planes of a polyhedron,
    `origin` and `direction` have shape (G, 3, S).
    """
    if kind == "polyhedron":
        along, ahead = matrix @ direction, offset[..., None] - matrix @ origin
        along = torch.where(along == 0, 1e-12, along)
        cross = ahead / along
        near, face = torch.where(along < 0, cross, -FAR).max(1)
        far = torch.where(along > 0, cross, FAR).amin(1)
        facing = (
            matrix.transpose(1, 2).gather(2, face[:, None].expand(-1, 3, -1)) if normals else near
        )
        return near, far, facing
    o, d = matrix @ origin + offset[..., None], matrix @ direction
    flat = slice(0, 2) if kind == "cylinder" else slice(0, 3)
    a = d[:, flat].square().sum(1).clamp(min=1e-12)
    # by way of the point nearest to the axis or the centre, since b² - 4ac loses flat solids to
    # rounding
    nearest = -(o[:, flat] * d[:, flat]).sum(1) / a
    inside = 1 - (o[:, flat] + nearest[:, None] * d[:, flat]).square().sum(1)
    half = (inside.clamp(min=0) / a).sqrt()
    near, far = (
        torch.where(inside > 0, nearest - half, FAR),
        torch.where(inside > 0, nearest + half, -FAR),
    )
    local = None
    if kind == "cylinder":
        rise = torch.where(d[:, 2] == 0, 1e-12, d[:, 2])
        bottom, top = (-1 - o[:, 2]) / rise, (1 - o[:, 2]) / rise
        enter = torch.minimum(bottom, top)
        capped = enter > near
        near, far = torch.maximum(near, enter), torch.minimum(far, torch.maximum(bottom, top))
        if normals:
            side = o + near[:, None] * d
            side = torch.cat([side[:, :2], torch.zeros_like(side[:, :1])], 1)
            cap = torch.stack([torch.zeros_like(rise), torch.zeros_like(rise), -rise.sign()], 1)
            local = torch.where(capped[:, None], cap, side)
    elif normals:
        local = o + near[:, None] * d
    # normals go with the transposed inverse of the pose, which `matrix` is the inverse of
    return near, far, near if local is None else matrix.transpose(1, 2) @ local
