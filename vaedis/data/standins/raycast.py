"""A ray caster for scenes of a few convex solids, which draws maps to be coloured afterwards.

Scenes that differ in where their solids, camera and lights are, not in which solids they have, are
cast at once. Every pixel is sampled once; those that disagree with a neighbour (an outline, an
edge, a shadow's border) are sampled again, finely. What comes back says for each surface how much
of a pixel it covers and how brightly, so that thousands of colourings cost one cast.

Coordinates are right-handed with z up. A camera looks horizontally or not, but never rolls.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vaedis.data.standins.solids import (
    FAR,
    Solid,
    box,
    capsule,
    cylinder,
    ellipsoid,
    frustum,
    place,
    polyhedron,
    span,
    unit,
)

__all__ = [
    "Camera",
    "Light",
    "Maps",
    "Solid",
    "box",
    "capsule",
    "cast",
    "cylinder",
    "ellipsoid",
    "frustum",
    "paint",
    "place",
    "polyhedron",
]

# how many rays to follow at once: what bounds the memory, about 200 bytes each
_RAYS = 2**17


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
        Row and column, from the image's upper left corner, at which `target` appears; the middle by
        default.
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
        How bright it makes a surface that faces it, and how bright a highlight on it. Highlights
        are white.
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
        For each of K tones, the mean over a whole pixel of ``min(shade * tone + highlight, 1)``
        where it shows the surface and 0 elsewhere.
    """

    coverage: Tensor
    tones: Tensor


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
        Values of a colour channel. The image of a surface whose red is one of them has that map as
        its red channel; see `paint` for others.
    samples : int
        Along each side of a pixel, where samples are dense.

    Returns
    -------
    Maps
        On the device of the camera. B is the size of whichever of solids, camera and lights has a
        batch, and 1 if none has.
    """
    scene = _Scene(solids, camera, lights, ambient)
    height, width = camera.height, camera.width
    tone = torch.tensor(tones, device=scene.device)
    coverage = torch.zeros(scene.batch, surfaces, height, width, device=scene.device)
    drawn = torch.zeros(scene.batch, surfaces, len(tone), height, width, device=scene.device)
    grid = scene.pixels(torch.arange(height * width, device=scene.device), 1)
    for part in torch.arange(scene.batch, device=scene.device).split(
        max(1, _RAYS // (height * width))
    ):
        found = [v[..., None] for v in scene.follow(part, grid[None, ..., 0])]
        covered, toned = _average(found, surfaces, scene.surface, tone)
        coverage[part], drawn[part] = (
            covered.unflatten(-1, (height, width)),
            toned.unflatten(-1, (height, width)),
        )
        which, where = _disagree(found, height, width).nonzero(as_tuple=True)
        rays = scene.pixels(where, samples)
        for few in torch.arange(len(which), device=scene.device).split(_RAYS // samples**2):
            found = [
                v[:, None] for v in scene.follow(part[which[few]], rays[:, few].transpose(0, 1))
            ]
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

    def __init__(
        self, solids: Sequence[Solid], camera: Camera, lights: Sequence[Light], ambient: float
    ):
        eye, target = camera.position.float(), camera.target.float()
        self.device, self.ambient, self.camera = eye.device, ambient, camera
        vectors = [
            eye,
            target,
            *(v for one in lights for v in (one.position, one.aim) if v is not None),
        ]
        sizes = [s.pose.shape[:-2] for s in solids] + [v.shape[:-1] for v in vectors]
        self.batch = torch.broadcast_shapes(*sizes, (1,))[0]
        self.eye = eye.expand(self.batch, 3)
        ahead = unit(target.to(self.device) - self.eye, -1)
        right = unit(
            torch.stack([ahead[:, 1], -ahead[:, 0], torch.zeros_like(ahead[:, 0])], -1), -1
        )
        # columns: what one pixel to the right, ahead and up are in the scene
        self.frame = torch.stack([right, ahead, torch.linalg.cross(right, ahead)], -1)
        self.solids = [(s, *self._inverse(s)) for s in solids]
        self.surface = torch.tensor([s.surface for s in solids] + [-1], device=self.device)
        self.gloss = torch.tensor([s.gloss for s in solids] + [0.0], device=self.device)
        self.lights = [
            (one, self._vectors(one.position), None if one.aim is None else self._vectors(one.aim))
            for one in lights
        ]

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
        """Directions, in the camera's frame, of a grid of rays through pixels: shape (3, pixels,
        samples²).
        """
        height, width = self.camera.height, self.camera.width
        row, column = self.camera.centre or (height / 2, width / 2)
        step = (torch.arange(samples, device=self.device) + 0.5) / samples
        up = (row - (where // width)[:, None] - step).repeat_interleave(
            samples, 1
        ) / self.camera.focal
        right = ((where % width)[:, None] + step - column).repeat(1, samples) / self.camera.focal
        return torch.stack([right, torch.ones_like(right), up])

    def follow(self, scene: Tensor, rays: Tensor) -> list[Tensor]:
        """Follow rays, shape (G or 1, 3, S), into the scenes `scene`, shape (G,).

        Returns which solid each ray meets, or -1, how bright it is there, and how bright the
        highlight on it: three of shape (G, S).
        """
        direction = self.frame[scene] @ rays
        depth, solid, normal = self._meet(scene, self.eye[scene], direction)
        point = self.eye[scene][..., None] + depth.clamp(max=FAR)[:, None] * direction
        shade, highlight = torch.full_like(depth, self.ambient), torch.zeros_like(depth)
        for light, position, aim in self.lights:
            towards = (
                position[scene][..., None].expand_as(point)
                if light.far
                else position[scene][..., None] - point
            )
            ray = unit(towards)
            facing = (ray * normal).sum(1).clamp(min=0)
            power = (
                self._visible(light, scene, point, towards)
                if light.shadow
                else torch.ones_like(facing)
            )
            if aim is not None:
                power *= (-ray * unit(aim[scene])[..., None]).sum(1).clamp(min=0) ** light.focus
            shade += light.diffuse * facing * power
            if light.specular:
                halfway = (unit(ray - unit(direction)) * normal).sum(1).clamp(min=0)
                highlight += (
                    light.specular
                    * halfway**light.shininess
                    * (facing > 0)
                    * power
                    * self.gloss[solid]
                )
        return [solid, shade, highlight]

    def _meet(self, scene: Tensor, eye: Tensor, direction: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The first solid on each ray, how far along the ray it is met, and its unit normal there."""
        depth = torch.full_like(direction[:, 0], FAR * 10)
        which, normal = torch.full_like(depth, -1, dtype=torch.long), torch.zeros_like(direction)
        for k, (solid, matrix, offset) in enumerate(self.solids):
            near, far, facing = span(
                solid.kind, matrix[scene], offset[scene], eye[..., None], direction, normals=True
            )
            closer = (near < far) & (near > 0) & (near < depth)
            depth, which = torch.where(closer, near, depth), torch.where(closer, k, which)
            normal = torch.where(closer[:, None], facing, normal)
        return depth, which, unit(normal)

    def _visible(self, light: Light, scene: Tensor, point: Tensor, towards: Tensor) -> Tensor:
        """The share of a light that each point sees."""
        throwing = [s for s in self.solids if s[0].shadow]
        seen, points = torch.zeros_like(point[:, 0]), light.points if light.radius else 1
        for k in range(points):
            # a spiral that fills a ball evenly enough
            z, turn = (2 * k + 1) / points - 1, math.pi * (3 - math.sqrt(5)) * k
            flat = math.sqrt(1 - z * z)
            shift = light.radius * towards.new_tensor(
                [flat * math.cos(turn), flat * math.sin(turn), z]
            )
            ray = towards + shift[:, None] if light.radius else towards
            free = torch.ones_like(seen, dtype=torch.bool)
            for solid, matrix, offset in throwing:
                near, far, _ = span(
                    solid.kind, matrix[scene], offset[scene], point, ray, normals=False
                )
                # a solid does not shade the side of it that faces the light, whatever rounding says
                blocked = (near < far) & (far > 1e-3) & (near > -1e-3)
                free &= ~(blocked if light.far else blocked & (near < 1))
            seen += free
        return seen / points


def _average(
    found: list[Tensor], surfaces: int, surface: Tensor, tone: Tensor
) -> tuple[Tensor, Tensor]:
    """Means over the samples, the last dimension, of (G, P, S): shapes (G, surfaces, P) and (G,
    surfaces, K, P).
    """
    solid, shade, highlight = found
    # the entry after the last, of no surface, is where -1 leads
    shown = surface[solid][:, None] == torch.arange(surfaces, device=solid.device)[:, None, None]
    toned = [
        torch.where(shown, (shade * k + highlight).clamp(max=1)[:, None], 0.0).mean(-1)
        for k in tone
    ]
    return shown.float().mean(-1), torch.stack(toned, 2)


def _disagree(found: list[Tensor], height: int, width: int) -> Tensor:
    """Which pixels, shape (G, H * W), show or touch more than one solid, face or light."""
    solid, shade, highlight = found
    # two sides of a box are one solid but are lit differently
    key = (10 * solid + shade + highlight)[..., 0].unflatten(1, (height, width))
    high, low = (F.max_pool2d(v, 3, 1, 1).flatten(1) for v in (key, -key))
    return high + low > 0.15
