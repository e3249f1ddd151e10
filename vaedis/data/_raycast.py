"""A ray caster for scenes of a few convex solids, which draws maps to be coloured afterwards.

Scenes that differ in where their solids, camera and lights are, not in which solids they have, are cast at once. Every pixel is sampled
once; those that disagree with a neighbour (an outline, an edge, a shadow's border) are sampled again, finely. What comes back
says for each surface how much of a pixel it covers and how brightly, so that thousands of colourings cost one cast.

Coordinates are right-handed with z up. A camera looks horizontally or not, but never rolls.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

# how many rays to follow at once: what bounds the memory, about 200 bytes each
_RAYS = 2**17
_FAR = 1e9


@dataclass(frozen=True)
class Solid:
    """A convex solid in each of B scenes.

    Attributes
    ----------
    surface : int
        Which map it is drawn into. Several solids may share one.
    pose : Tensor of float32, shape (4, 4) or (B, 4, 4)
        The affine map that takes the unit solid to where it is. The unit ellipsoid is the ball of radius 1; the unit cylinder has radius 1
        around the z axis and reaches from z = -1 to 1.
    kind : {"ellipsoid", "cylinder", "polyhedron"}
    planes : Tensor of float32, shape (n, 4), optional
        Of a polyhedron: the points x with normal · x <= offset, for each row (normal, offset). It need not be closed: one row is a
        half-space.
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


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Attributes
    ----------
    position, target : Tensor of float32, shape (3,) or (B, 3)
        Where it is, and a point that it looks at.
    focal : float
        Focal length in pixels.
    height, width : int
        Of the image in pixels.
    centre : (float, float), optional
        Row and column, from the image's upper left corner, at which `target` appears; the middle by default.
    """

    position: Tensor
    target: Tensor
    focal: float
    height: int = 64
    width: int = 64
    centre: tuple[float, float] | None = None


@dataclass(frozen=True)
class Light:
    """A light.

    Attributes
    ----------
    position : Tensor of float32, shape (3,) or (B, 3)
        Where it is, or the direction that it comes from if it is far away.
    far : bool
    diffuse, specular : float
        How bright it makes a surface that faces it, and how bright a highlight on it. Highlights are white.
    aim : Tensor of float32, shape (3,) or (B, 3), optional
        The direction that a spotlight points in; by default it shines equally everywhere.
    focus : float
        A spotlight is as bright as the cosine of the angle to `aim` to this power.
    shininess : float
        The exponent of the highlight; 0 for one that is the same wherever light falls.
    shadow : bool
        Whether solids keep its light off.
    radius : float
        Half the width of a light that throws soft shadows.
    points : int
        How many points of it to sample if it has a radius.
    """

    position: Tensor
    far: bool = False
    diffuse: float = 1.0
    specular: float = 0.0
    aim: Tensor | None = None
    focus: float = 1.0
    shininess: float = 20.0
    shadow: bool = True
    radius: float = 0.0
    points: int = 8


@dataclass(frozen=True)
class Maps:
    """What was cast.

    Attributes
    ----------
    coverage : Tensor of float32, shape (B, surfaces, H, W)
        The share of each pixel that a surface covers. What is left of 1 is background.
    tones : Tensor of float32, shape (B, surfaces, K, H, W)
        For each of K tones, the mean over a whole pixel of ``min(shade * tone + highlight, 1)`` where it shows the surface and 0 elsewhere.
    """

    coverage: Tensor
    tones: Tensor


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
    centre, half_sizes = torch.as_tensor(centre, dtype=torch.float32), torch.as_tensor(half_sizes, dtype=torch.float32)
    yaw, pitch = torch.as_tensor(yaw, dtype=torch.float32), torch.as_tensor(pitch, dtype=torch.float32)
    device = next((v.device for v in (centre, half_sizes, yaw, pitch) if v.device.type != "cpu"), centre.device)
    batch = torch.broadcast_shapes(centre.shape[:-1], half_sizes.shape[:-1], yaw.shape, pitch.shape)
    (cy, sy), (cp, sp) = ((v.to(device).expand(batch) for v in (a.cos(), a.sin())) for a in (yaw, pitch))
    zero = torch.zeros_like(cy)
    turn = torch.stack([cy, -sy * cp, sy * sp, sy, cy * cp, -cy * sp, zero, sp, cp], -1).unflatten(-1, (3, 3))
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
    """Return the points with normal · x <= offset for each row (normal_x, normal_y, normal_z, offset) of `planes`, posed."""
    return Solid(surface, pose, "polyhedron", torch.tensor(planes, dtype=torch.float32), **look)


def box(surface: int, pose: Tensor, **look: Any) -> Solid:
    """Return the cube from -1 to 1 along each axis, posed."""
    planes = [[sign * float(axis == k) for k in range(3)] + [1.0] for axis in range(3) for sign in (-1, 1)]
    return polyhedron(surface, pose, planes, **look)


def frustum(surface: int, pose: Tensor, top: tuple[float, float], **look: Any) -> Solid:
    """Return a box whose top (z = 1) has half sizes `top` along x and y while its bottom (z = -1) has 1, posed; 0 is a ridge or a tip."""
    planes = [[0.0, 0.0, -1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]
    for axis, half in enumerate(top):
        for sign in (-1.0, 1.0):
            # x + slope * z <= (1 + half) / 2 is 1 at z = -1 and `half` at z = 1
            planes.append([sign * float(axis == 0), sign * float(axis == 1), (1 - half) / 2, (1 + half) / 2])
    return polyhedron(surface, pose, planes, **look)


def capsule(surface: int, centre: Sequence[float] | Tensor, radius: Tensor, half_length: Tensor, **look: Any) -> list[Solid]:
    """Return an upright cylinder between two balls: radius and half the distance of the balls' centres, float32 of shape (B,)."""
    centre = torch.as_tensor(centre, dtype=torch.float32).to(radius.device).expand(*radius.shape, 3)
    lift = torch.stack([torch.zeros_like(radius), torch.zeros_like(radius), half_length], -1)
    middle = cylinder(surface, place(centre, torch.stack([radius, radius, half_length], -1)), **look)
    return [
        middle,
        *(ellipsoid(surface, place(centre + end, radius[..., None].expand(*radius.shape, 3)), **look) for end in (lift, -lift)),
    ]


def cast(
    solids: Sequence[Solid],
    camera: Camera,
    lights: Sequence[Light],
    *,
    surfaces: int,
    ambient: float = 0.2,
    tones: Sequence[float] = (0.0, 1.0),
    samples: int = 4,
) -> Maps:
    """Cast a batch of scenes.

    Parameters
    ----------
    solids : sequence of Solid
    camera : Camera
    lights : sequence of Light
    surfaces : int
        How many surfaces there are.
    ambient : float
        How bright a surface is that no light falls on.
    tones : sequence of float
        Values of a colour channel. The image of a surface whose red is one of them has that map as its red channel; see `paint` for others.
    samples : int
        Along each side of a pixel, where samples are dense.

    Returns
    -------
    Maps
        On the device of the camera. B is the size of whichever of solids, camera and lights has a batch, and 1 if none has.
    """
    scene = _Scene(solids, camera, lights, ambient)
    height, width = camera.height, camera.width
    tone = torch.tensor(tones, device=scene.device)
    coverage = torch.zeros(scene.batch, surfaces, height, width, device=scene.device)
    drawn = torch.zeros(scene.batch, surfaces, len(tone), height, width, device=scene.device)
    grid = scene.pixels(torch.arange(height * width, device=scene.device), 1)
    for part in torch.arange(scene.batch, device=scene.device).split(max(1, _RAYS // (height * width))):
        found = [v[..., None] for v in scene.follow(part, grid[None, ..., 0])]
        covered, toned = _average(found, surfaces, scene.surface, tone)
        coverage[part], drawn[part] = covered.unflatten(-1, (height, width)), toned.unflatten(-1, (height, width))
        which, where = _disagree(found, height, width).nonzero(as_tuple=True)
        rays = scene.pixels(where, samples)
        for few in torch.arange(len(which), device=scene.device).split(_RAYS // samples**2):
            found = [v[:, None] for v in scene.follow(part[which[few]], rays[:, few].transpose(0, 1))]
            covered, toned = _average(found, surfaces, scene.surface, tone)
            at = (part[which[few]], slice(None), where[few] // width, where[few] % width)
            coverage[at] = covered[..., 0]
            drawn[at[0], :, :, at[2], at[3]] = toned[..., 0]
    return Maps(coverage, drawn)


def paint(maps: Maps, colours: Tensor, background: Tensor) -> Tensor:
    """Return images of maps that were cast with the tones 0 and 1.

    Parameters
    ----------
    maps : Maps
    colours : Tensor of float32, shape (surfaces, C) or (B, surfaces, C)
        In [0, 1].
    background : Tensor of float32, shape (C,), (C, H, W) or (B, C, H, W)

    Returns
    -------
    Tensor of float32, shape (B, C, H, W)
        Exact where no surface is brighter than 1.
    """
    dark, light = maps.tones.unbind(2)
    background = background[:, None, None] if background.ndim == 1 else background
    colours = colours.expand(len(dark), -1, -1)
    painted = torch.einsum("bshw,bsc->bchw", light - dark, colours) + dark.sum(1, keepdim=True)
    return (painted + (1 - maps.coverage.sum(1, keepdim=True)) * background).clamp(0, 1)


class _Scene:
    """The batch of scenes, laid out for following rays."""

    def __init__(self, solids: Sequence[Solid], camera: Camera, lights: Sequence[Light], ambient: float):
        eye, target = camera.position.float(), camera.target.float()
        self.device, self.ambient, self.camera = eye.device, ambient, camera
        sizes = [s.pose.shape[:-2] for s in solids]
        sizes += [
            x.shape[:-1] for x in (eye, target, *(one.position for one in lights), *(one.aim for one in lights if one.aim is not None))
        ]
        self.batch = torch.broadcast_shapes(*sizes, (1,))[0]
        self.eye = eye.expand(self.batch, 3)
        ahead = _unit(target.to(self.device) - self.eye, -1)
        right = _unit(torch.stack([ahead[:, 1], -ahead[:, 0], torch.zeros_like(ahead[:, 0])], -1), -1)
        # columns: what one pixel to the right, ahead and up are in the scene
        self.frame = torch.stack([right, ahead, torch.linalg.cross(right, ahead)], -1)
        self.solids = [(s, *self._inverse(s)) for s in solids]
        self.surface = torch.tensor([s.surface for s in solids] + [-1], device=self.device)
        self.gloss = torch.tensor([s.gloss for s in solids] + [0.0], device=self.device)
        self.lights = [(one, self._vectors(one.position), None if one.aim is None else self._vectors(one.aim)) for one in lights]

    def _vectors(self, given: Tensor) -> Tensor:
        return given.float().to(self.device).expand(self.batch, 3)

    def _inverse(self, solid: Solid) -> tuple[Tensor, Tensor]:
        pose = solid.pose.float().to(self.device).expand(self.batch, 4, 4)
        inverse = torch.linalg.inv(pose)[:, :3]
        if solid.kind == "polyhedron":
            assert solid.planes is not None
            planes = solid.planes.to(self.device)
            # in the scene's coordinates, so that a ray need not be transformed
            normal = planes[:, :3] @ inverse[:, :, :3]
            return normal, planes[:, 3] - inverse[:, :, 3] @ planes[:, :3].T
        return inverse[:, :, :3], inverse[:, :, 3]

    def pixels(self, where: Tensor, samples: int) -> Tensor:
        """Directions, in the camera's frame, of a grid of rays through pixels: shape (3, pixels, samples²)."""
        height, width = self.camera.height, self.camera.width
        row, column = self.camera.centre or (height / 2, width / 2)
        step = (torch.arange(samples, device=self.device) + 0.5) / samples
        up = (row - (where // width)[:, None] - step).repeat_interleave(samples, 1) / self.camera.focal
        right = ((where % width)[:, None] + step - column).repeat(1, samples) / self.camera.focal
        return torch.stack([right, torch.ones_like(right), up])

    def follow(self, scene: Tensor, rays: Tensor) -> list[Tensor]:
        """Follow rays, shape (G or 1, 3, S), into the scenes `scene`, shape (G,).

        Returns which solid each ray meets, or -1, how bright it is there, and how bright the highlight on it: three of shape (G, S).
        """
        direction = self.frame[scene] @ rays
        depth, solid, normal = self._meet(scene, self.eye[scene], direction)
        point = self.eye[scene][..., None] + depth.clamp(max=_FAR)[:, None] * direction
        shade, highlight = torch.full_like(depth, self.ambient), torch.zeros_like(depth)
        for light, position, aim in self.lights:
            towards = position[scene][..., None].expand_as(point) if light.far else position[scene][..., None] - point
            unit = _unit(towards)
            facing = (unit * normal).sum(1).clamp(min=0)
            power = self._visible(light, scene, point, towards) if light.shadow else torch.ones_like(facing)
            if aim is not None:
                power *= (-unit * _unit(aim[scene])[..., None]).sum(1).clamp(min=0) ** light.focus
            shade += light.diffuse * facing * power
            if light.specular:
                halfway = (_unit(unit - _unit(direction)) * normal).sum(1).clamp(min=0)
                highlight += light.specular * halfway**light.shininess * (facing > 0) * power * self.gloss[solid]
        return [solid, shade, highlight]

    def _meet(self, scene: Tensor, eye: Tensor, direction: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The first solid on each ray, how far along the ray it is met, and its unit normal there."""
        depth = torch.full_like(direction[:, 0], _FAR * 10)
        which, normal = torch.full_like(depth, -1, dtype=torch.long), torch.zeros_like(direction)
        for k, (solid, matrix, offset) in enumerate(self.solids):
            near, far, facing = _span(solid.kind, matrix[scene], offset[scene], eye[..., None], direction, normals=True)
            closer = (near < far) & (near > 0) & (near < depth)
            depth, which = torch.where(closer, near, depth), torch.where(closer, k, which)
            normal = torch.where(closer[:, None], facing, normal)
        return depth, which, _unit(normal)

    def _visible(self, light: Light, scene: Tensor, point: Tensor, towards: Tensor) -> Tensor:
        """The share of a light that each point sees."""
        throwing = [s for s in self.solids if s[0].shadow]
        seen, points = torch.zeros_like(point[:, 0]), light.points if light.radius else 1
        for k in range(points):
            # a spiral that fills a ball evenly enough
            z, turn = (2 * k + 1) / points - 1, math.pi * (3 - math.sqrt(5)) * k
            flat = math.sqrt(1 - z * z)
            shift = light.radius * towards.new_tensor([flat * math.cos(turn), flat * math.sin(turn), z])
            ray = towards + shift[:, None] if light.radius else towards
            free = torch.ones_like(seen, dtype=torch.bool)
            for solid, matrix, offset in throwing:
                near, far, _ = _span(solid.kind, matrix[scene], offset[scene], point, ray, normals=False)
                # a solid does not shade the side of it that faces the light, whatever rounding says
                blocked = (near < far) & (far > 1e-3) & (near > -1e-3)
                free &= ~(blocked if light.far else blocked & (near < 1))
            seen += free
        return seen / points


def _unit(vectors: Tensor, dim: int = 1) -> Tensor:
    """Vectors of length 1; those of length 0 stay. Several times as fast as `torch.nn.functional.normalize` along an inner dimension."""
    return vectors * vectors.square().sum(dim, keepdim=True).clamp(min=1e-30).rsqrt()


def _span(kind: str, matrix: Tensor, offset: Tensor, origin: Tensor, direction: Tensor, *, normals: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Where rays enter and leave a solid, and the (unnormalised) normal where they enter; a ray that misses leaves before it enters.

    `matrix` and `offset` take the scene to the unit solid or are the planes of a polyhedron, `origin` and `direction` have shape (G, 3, S).
    """
    if kind == "polyhedron":
        along, ahead = matrix @ direction, offset[..., None] - matrix @ origin
        along = torch.where(along == 0, 1e-12, along)
        cross = ahead / along
        near, face = torch.where(along < 0, cross, -_FAR).max(1)
        far = torch.where(along > 0, cross, _FAR).amin(1)
        facing = matrix.transpose(1, 2).gather(2, face[:, None].expand(-1, 3, -1)) if normals else near
        return near, far, facing
    o, d = matrix @ origin + offset[..., None], matrix @ direction
    flat = slice(0, 2) if kind == "cylinder" else slice(0, 3)
    a, b, c = d[:, flat].square().sum(1), (o[:, flat] * d[:, flat]).sum(1), o[:, flat].square().sum(1) - 1
    a = a.clamp(min=1e-12)
    root = b * b - a * c
    half = root.clamp(min=0).sqrt()
    near, far = torch.where(root > 0, (-b - half) / a, _FAR), torch.where(root > 0, (half - b) / a, -_FAR)
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


def _average(found: list[Tensor], surfaces: int, surface: Tensor, tone: Tensor) -> tuple[Tensor, Tensor]:
    """Means over the samples, the last dimension, of (G, P, S): shapes (G, surfaces, P) and (G, surfaces, K, P)."""
    solid, shade, highlight = found
    # the entry after the last, of no surface, is where -1 leads
    shown = surface[solid][:, None] == torch.arange(surfaces, device=solid.device)[:, None, None]
    toned = [torch.where(shown, (shade * k + highlight).clamp(max=1)[:, None], 0.0).mean(-1) for k in tone]
    return shown.float().mean(-1), torch.stack(toned, 2)


def _disagree(found: list[Tensor], height: int, width: int) -> Tensor:
    """Which pixels, shape (G, H * W), show or touch more than one solid, face or light."""
    solid, shade, highlight = found
    # two sides of a box are one solid but are lit differently
    key = (10 * solid + shade + highlight)[..., 0].unflatten(1, (height, width))
    high, low = (F.max_pool2d(v, 3, 1, 1).flatten(1) for v in (key, -key))
    return high + low > 0.15
