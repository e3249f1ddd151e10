"""Cast rays into scenes of a few convex solids, and draw maps to be coloured afterwards.

Every pixel is sampled once; those that disagree with a neighbour (an outline, an edge, a shadow's
border) are sampled again, finely. Maps say for each surface how much of a pixel it covers and how
brightly, so that thousands of colourings cost one cast. Coordinates are right-handed with z up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vaedis.data.standins.solids import FAR, Solid, span, unit

# how many rays to follow at once: what bounds the memory, about 200 bytes each
_RAYS = 2**17


@dataclass(frozen=True)
class Camera:
    """A pinhole camera at `position` that looks at `target`, both (3,) or (B, 3).

    `focal` is in pixels; `target` appears at the row and column `centre`, by default the middle.
    """

    position: Tensor
    target: Tensor
    focal: float
    height: int = 64
    width: int = 64
    centre: tuple[float, float] | None = None


@dataclass(frozen=True)
class Light:
    """A light at `position`, (3,) or (B, 3), or from that direction if it is `far`."""

    position: Tensor
    far: bool = False
    diffuse: float = 1.0  # brightness of a surface that faces it
    specular: float = 0.0  # brightness of highlights
    aim: Tensor | None = None  # the direction of a spotlight
    focus: float = 1.0  # exponent of a spotlight's cosine to its aim
    shininess: float = 20.0  # exponent of highlights
    shadow: bool = True  # whether solids keep it off


@dataclass(frozen=True)
class Maps:
    """Of each pixel, the share that a surface covers, and how bright the surface is in K tones."""

    coverage: Tensor  # (B, surfaces, H, W)
    # (B, surfaces, K, H, W): means over a pixel of ``min(shade * tone + highlight, 1)``, which is 0
    # where the pixel shows another surface
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
    """Cast a batch of scenes on the device of the camera.

    `ambient` is the brightness without light; a pixel at an edge gets `samples`² rays.
    """
    scene = _Scene(solids, camera, lights, ambient)
    height = camera.height
    width = camera.width
    tone = torch.tensor(tones, device=scene.device)
    coverage = torch.zeros(scene.batch, surfaces, height, width, device=scene.device)
    toned = torch.zeros(scene.batch, surfaces, len(tone), height, width, device=scene.device)
    centres = scene.pixels(torch.arange(height * width, device=scene.device), 1)[None, ..., 0]
    scenes_at_once = max(1, _RAYS // (height * width))
    for part in torch.arange(scene.batch, device=scene.device).split(scenes_at_once):
        hits = [values[..., None] for values in scene.follow(part, centres)]
        covered, painted = _average(hits, surfaces, scene.surface, tone)
        coverage[part] = covered.unflatten(-1, (height, width))
        toned[part] = painted.unflatten(-1, (height, width))
        row, pixel = _disagree(hits, height, width).nonzero(as_tuple=True)
        rays = scene.pixels(pixel, samples)
        for k in torch.arange(len(row), device=scene.device).split(_RAYS // samples**2):
            in_scene = part[row[k]]
            fine = scene.follow(in_scene, rays[:, k].transpose(0, 1))
            hits_k = [values[:, None] for values in fine]
            covered, painted = _average(hits_k, surfaces, scene.surface, tone)
            y = pixel[k] // width
            x = pixel[k] % width
            coverage[in_scene, :, y, x] = covered[..., 0]
            toned[in_scene, :, :, y, x] = painted[..., 0]
    return Maps(coverage, toned)


def paint(maps: Maps, colours: Tensor, background: Tensor) -> Tensor:
    """Return images, (B, C, H, W), of maps that were cast with the tones 0 and 1.

    `colours` are ([B,] surfaces, C). Exact where no surface is brighter than 1.
    """
    dark, light = maps.tones.unbind(2)
    # (C,), (C, H, W) or (B, C, H, W)
    background = background[:, None, None] if background.ndim == 1 else background
    colours = colours.expand(len(dark), -1, -1)
    painted = torch.einsum("bshw,bsc->bchw", light - dark, colours) + dark.sum(1, keepdim=True)
    return (painted + (1 - maps.coverage.sum(1, keepdim=True)) * background).clamp(0, 1)


class _Scene:
    """A batch of scenes, prepared for following rays."""

    def __init__(
        self, solids: Sequence[Solid], camera: Camera, lights: Sequence[Light], ambient: float
    ):
        eye = camera.position.float()
        target = camera.target.float()
        self.device = eye.device
        self.ambient = ambient
        self.camera = camera
        vectors = [eye, target, *(light.position for light in lights)]
        vectors += [light.aim for light in lights if light.aim is not None]
        batches = [solid.pose.shape[:-2] for solid in solids] + [v.shape[:-1] for v in vectors]
        self.batch = torch.broadcast_shapes(*batches, (1,))[0]
        self.eye = eye.expand(self.batch, 3)
        ahead = unit(target.to(self.device) - self.eye, -1)
        level = torch.stack([ahead[:, 1], -ahead[:, 0], torch.zeros_like(ahead[:, 0])], -1)
        right = unit(level, -1)
        # columns: what one pixel to the right, ahead and up are in the scene
        self.frame = torch.stack([right, ahead, torch.linalg.cross(right, ahead)], -1)
        self.solids = [(solid, *self._inverse(solid)) for solid in solids]
        # the last entry is that of no solid, which has the index -1
        self.surface = torch.tensor([s.surface for s in solids] + [-1], device=self.device)
        self.gloss = torch.tensor([s.gloss for s in solids] + [0.0], device=self.device)
        self.lights = []
        for light in lights:
            aim = None if light.aim is None else self._expand(light.aim)
            self.lights.append((light, self._expand(light.position), aim))

    def _expand(self, vectors: Tensor) -> Tensor:
        return vectors.float().to(self.device).expand(self.batch, 3)

    def _inverse(self, solid: Solid) -> tuple[Tensor, Tensor]:
        """Return matrix and offset as `span` takes them."""
        pose = solid.pose.float().to(self.device).expand(self.batch, 4, 4)
        inverse = torch.linalg.inv(pose)[:, :3]
        if solid.planes is None:
            return inverse[:, :, :3], inverse[:, :, 3]
        planes = solid.planes.to(self.device)
        # in the scene's coordinates, so that a ray need not be transformed
        normal = planes[:, :3] @ inverse[:, :, :3]
        return normal, planes[:, 3] - inverse[:, :, 3] @ planes[:, :3].T

    def pixels(self, index: Tensor, samples: int) -> Tensor:
        """Return the directions of samples² rays through each pixel: (3, pixels, samples²)."""
        row, column = self.camera.centre or (self.camera.height / 2, self.camera.width / 2)
        y = (index // self.camera.width)[:, None]
        x = (index % self.camera.width)[:, None]
        step = (torch.arange(samples, device=self.device) + 0.5) / samples
        up = (row - y - step).repeat_interleave(samples, 1) / self.camera.focal
        right = (x + step - column).repeat(1, samples) / self.camera.focal
        return torch.stack([right, torch.ones_like(right), up])

    def follow(self, scene: Tensor, rays: Tensor) -> list[Tensor]:
        """Follow rays, (G or 1, 3, S), into the scenes `scene`, (G,).

        Return which solid each ray meets or -1, how bright it is there, and its highlight: (G, S).
        """
        direction = self.frame[scene] @ rays
        depth, solid, normal = self._meet(scene, self.eye[scene], direction)
        point = self.eye[scene][..., None] + depth.clamp(max=FAR)[:, None] * direction
        shade = torch.full_like(depth, self.ambient)
        highlight = torch.zeros_like(depth)
        for light, position, aim in self.lights:
            to_light = position[scene][..., None].expand_as(point)
            if not light.far:
                to_light = position[scene][..., None] - point
            ray = unit(to_light)
            facing = (ray * normal).sum(1).clamp(min=0)
            power = torch.ones_like(facing)
            if light.shadow:
                power = self._visible(light, scene, point, to_light).to(power.dtype)
            if aim is not None:
                power *= (-ray * unit(aim[scene])[..., None]).sum(1).clamp(min=0) ** light.focus
            shade += light.diffuse * facing * power
            if light.specular:
                halfway = (unit(ray - unit(direction)) * normal).sum(1).clamp(min=0)
                strength = light.specular * halfway**light.shininess * (facing > 0)
                highlight += strength * power * self.gloss[solid]
        return [solid, shade, highlight]

    def _meet(self, scene: Tensor, eye: Tensor, direction: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return how far along each ray its first solid is, which one, and its unit normal."""
        depth = torch.full_like(direction[:, 0], FAR * 10)
        index = torch.full_like(depth, -1, dtype=torch.long)
        normal = torch.zeros_like(direction)
        for k, (solid, matrix, offset) in enumerate(self.solids):
            near, far, facing = span(
                solid.kind, matrix[scene], offset[scene], eye[..., None], direction, normals=True
            )
            closer = (near < far) & (near > 0) & (near < depth)
            depth = torch.where(closer, near, depth)
            index = torch.where(closer, k, index)
            normal = torch.where(closer[:, None], facing, normal)
        return depth, index, unit(normal)

    def _visible(self, light: Light, scene: Tensor, point: Tensor, to_light: Tensor) -> Tensor:
        """Tell from which points a light is visible."""
        visible = torch.ones_like(point[:, 0], dtype=torch.bool)
        for solid, matrix, offset in self.solids:
            if not solid.shadow:
                continue
            near, far, _ = span(
                solid.kind, matrix[scene], offset[scene], point, to_light, normals=False
            )
            # a solid does not shade the side of it that faces the light, whatever rounding says
            blocked = (near < far) & (far > 1e-3) & (near > -1e-3)
            if not light.far:
                blocked &= near < 1
            visible &= ~blocked
        return visible


def _average(
    hits: list[Tensor], surfaces: int, surface: Tensor, tone: Tensor
) -> tuple[Tensor, Tensor]:
    """Average (G, P, S) over samples: coverage (G, surfaces, P), tones (G, surfaces, K, P)."""
    solid, shade, highlight = hits
    visible = surface[solid][:, None] == torch.arange(surfaces, device=solid.device)[:, None, None]
    toned = []
    for k in tone:
        brightness = (shade * k + highlight).clamp(max=1)
        toned.append(torch.where(visible, brightness[:, None], 0.0).mean(-1))
    return visible.float().mean(-1), torch.stack(toned, 2)


def _disagree(hits: list[Tensor], height: int, width: int) -> Tensor:
    """Tell which pixels, (G, H * W), show or touch more than one solid, face or light."""
    solid, shade, highlight = hits
    # two sides of a box are one solid but are lit differently
    key = (10 * solid + shade + highlight)[..., 0].unflatten(1, (height, width))
    highest = F.max_pool2d(key, 3, 1, 1).flatten(1)
    lowest = -F.max_pool2d(-key, 3, 1, 1).flatten(1)
    return highest - lowest > 0.15
