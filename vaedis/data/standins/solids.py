"""Convex solids under affine maps, and where rays enter and leave them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

FAR = 1e9


@dataclass(frozen=True)
class Solid:
    """A convex solid in each of B scenes."""

    surface: int  # the map that it is drawn into
    pose: Tensor  # (4, 4) or (B, 4, 4), the affine map from the unit solid of its kind
    # "ellipsoid", a ball of radius 1; "cylinder", of radius 1 around z from -1 to 1; "polyhedron"
    kind: str
    # (n, 4), rows (normal, offset): a polyhedron's points x have normal · x <= offset
    planes: Tensor | None = None


def place(
    centre: Sequence[float] | Tensor,
    half_sizes: Sequence[float] | Tensor | float = 1.0,
    yaw: float | Tensor = 0.0,
    pitch: float | Tensor = 0.0,
) -> Tensor:
    """Return the pose, (4, 4) or (B, 4, 4), that scales a unit solid, turns it, and moves it.

    In radians, `pitch` turns y towards z; then `yaw` turns counter-clockwise, seen from above.
    """
    parts = (centre, half_sizes, yaw, pitch)
    centre, half_sizes, yaw, pitch = (torch.as_tensor(v, dtype=torch.float32) for v in parts)
    batch = torch.broadcast_shapes(centre.shape[:-1], half_sizes.shape[:-1], yaw.shape, pitch.shape)
    cos_yaw = yaw.cos().expand(batch)
    sin_yaw = yaw.sin().expand(batch)
    cos_pitch = pitch.cos().expand(batch)
    sin_pitch = pitch.sin().expand(batch)
    rows = [
        torch.stack([cos_yaw, -sin_yaw * cos_pitch, sin_yaw * sin_pitch], -1),
        torch.stack([sin_yaw, cos_yaw * cos_pitch, -cos_yaw * sin_pitch], -1),
        torch.stack([torch.zeros_like(cos_yaw), sin_pitch, cos_pitch], -1),
    ]
    pose = torch.zeros(*batch, 4, 4)
    pose[..., :3, :3] = torch.stack(rows, -2) * half_sizes.expand(*batch, 3)[..., None, :]
    pose[..., :3, 3] = centre.expand(*batch, 3)
    pose[..., 3, 3] = 1
    return pose


def ellipsoid(surface: int, pose: Tensor) -> Solid:
    """Return the ball of radius 1, posed."""
    return Solid(surface, pose, "ellipsoid")


def cylinder(surface: int, pose: Tensor) -> Solid:
    """Return the cylinder of radius 1 around z from z = -1 to 1, posed."""
    return Solid(surface, pose, "cylinder")


def polyhedron(surface: int, pose: Tensor, planes: Sequence[Sequence[float]]) -> Solid:
    """Return the points with normal · x <= offset for each row (normal, offset), posed."""
    return Solid(surface, pose, "polyhedron", torch.tensor(planes, dtype=torch.float32))


def box(surface: int, pose: Tensor) -> Solid:
    """Return the cube from -1 to 1 along each axis, posed."""
    planes = [
        [sign * float(axis == k) for k in range(3)] + [1.0] for axis in range(3) for sign in (-1, 1)
    ]
    return polyhedron(surface, pose, planes)


def frustum(surface: int, pose: Tensor, top: tuple[float, float]) -> Solid:
    """Return a box with half sizes 1 at its bottom and `top` at its top, posed."""
    planes = [[0.0, 0.0, -1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]
    for axis, half in enumerate(top):
        for sign in (-1.0, 1.0):
            normal = [sign * float(axis == 0), sign * float(axis == 1)]
            # x + slope * z <= (1 + half) / 2 is 1 at z = -1 and `half` at z = 1
            planes.append([*normal, (1 - half) / 2, (1 + half) / 2])
    return polyhedron(surface, pose, planes)


def unit(vectors: Tensor, dim: int = 1) -> Tensor:
    """Return vectors of length 1; several times as fast as `torch.nn.functional.normalize`."""
    return vectors * vectors.square().sum(dim, keepdim=True).clamp(min=1e-30).rsqrt()


def span(
    kind: str, matrix: Tensor, offset: Tensor, origin: Tensor, direction: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return where rays, (G, 3, S), enter and leave a solid, (G, S), and the normal at the entry.

    A ray that misses leaves before it enters. Normals are not of length 1.
    """
    # a polyhedron's `matrix` and `offset` are its planes; others lead to the unit solid
    if kind == "polyhedron":
        near, far, face = _span_planes(matrix, offset, origin, direction)
        return near, far, matrix.transpose(1, 2).gather(2, face[:, None].expand(-1, 3, -1))
    # into the space of the unit solid
    start = matrix @ origin + offset[..., None]
    ray = matrix @ direction
    dimensions = 2 if kind == "cylinder" else 3
    near, far = _span_round(start[:, :dimensions], ray[:, :dimensions])
    if kind == "ellipsoid":
        local = start + near[:, None] * ray
    else:
        near, far, on_cap = _cut_caps(near, far, start[:, 2], ray[:, 2])
        local = start + near[:, None] * ray
        zero = torch.zeros_like(near)
        side = torch.cat([local[:, :2], zero[:, None]], 1)
        cap = torch.stack([zero, zero, -_nonzero(ray[:, 2]).sign()], 1)
        local = torch.where(on_cap[:, None], cap, side)
    # normals go with the transposed inverse of the pose, which `matrix` is the inverse of
    return near, far, matrix.transpose(1, 2) @ local


def _nonzero(values: Tensor) -> Tensor:
    return torch.where(values == 0, 1e-12, values)


def _span_planes(
    matrix: Tensor, offset: Tensor, origin: Tensor, direction: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return where rays enter and leave all half-spaces, and the plane by which they enter."""
    speed = _nonzero(matrix @ direction)
    crossing = (offset[..., None] - matrix @ origin) / speed
    near, face = torch.where(speed < 0, crossing, -FAR).max(1)
    far = torch.where(speed > 0, crossing, FAR).amin(1)
    return near, far, face


def _span_round(start: Tensor, ray: Tensor) -> tuple[Tensor, Tensor]:
    """Return where rays enter and leave the unit circle or ball."""
    a = ray.square().sum(1).clamp(min=1e-12)
    # by way of the point nearest to the centre, since b² - 4ac loses flat solids to rounding
    nearest = -(start * ray).sum(1) / a
    inside = 1 - (start + nearest[:, None] * ray).square().sum(1)
    half = (inside.clamp(min=0) / a).sqrt()
    near = torch.where(inside > 0, nearest - half, FAR)
    far = torch.where(inside > 0, nearest + half, -FAR)
    return near, far


def _cut_caps(
    near: Tensor, far: Tensor, start: Tensor, ray: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Cut rays at z = -1 and 1; return where they enter and leave, and whether by a cap."""
    rise = _nonzero(ray)
    bottom = (-1 - start) / rise
    top = (1 - start) / rise
    enter = torch.minimum(bottom, top)
    leave = torch.maximum(bottom, top)
    return torch.maximum(near, enter), torch.minimum(far, leave), enter > near
