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


@dataclass(frozen=True)
class Camera:
    """A pinhole camera at `position` that looks at `target`, both (3,) or (B, 3).

    `focal` is in pixels; `target` appears at the row and column `centre`.
    """

    position: Tensor
    target: Tensor
    focal: float
    height: int
    width: int
    centre: tuple[float, float]


@dataclass(frozen=True)
class Light:
    """A light from afar, from the direction `position`, (3,) or (B, 3); it throws no shadow."""

    position: Tensor
    diffuse: float = 1.0  # brightness of a surface that faces it
    specular: float = 0.0  # brightness of highlights
    shininess: float = 20.0  # exponent of highlights

    def reach(self, scene: Scene, number: Tensor, point: Tensor) -> tuple[Tensor, Tensor | float]:
        """Return the unit vectors from points, (G, 3, S), to the light, and its power there."""
        return unit(scene.expand(self.position)[number][..., None].expand_as(point)), 1.0

    def highlight(self, shine: Tensor, solid: Tensor) -> Tensor:
        """Return the brightness of highlights; `shine` is the cosine to the mirrored light."""
        return self.specular * shine**self.shininess


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
    ambient: float,
    tones: Sequence[float] = (0.0, 1.0),
    samples: int = 3,
) -> Maps:
    """Cast a batch of scenes, all at once.

    `ambient` is the brightness without light; a pixel at an edge gets `samples`² rays.
    """
    scene = Scene(solids, camera, lights, ambient)
    size = (camera.height, camera.width)
    tone = torch.tensor(tones)
    centres = scene.pixels(torch.arange(camera.height * camera.width), 1)[None, ..., 0]
    hits = [values[..., None] for values in scene.follow(torch.arange(scene.batch), centres)]
    coverage, toned = _average(hits, surfaces, scene.surface, tone)
    number, pixel = _disagree(hits, *size).nonzero(as_tuple=True)
    fine = scene.follow(number, scene.pixels(pixel, samples).transpose(0, 1))
    hits = [values[:, None] for values in fine]
    covered, painted = _average(hits, surfaces, scene.surface, tone)
    coverage[number, :, pixel] = covered[..., 0]
    toned[number, :, :, pixel] = painted[..., 0]
    return Maps(coverage.unflatten(-1, size), toned.unflatten(-1, size))


def paint(maps: Maps, colours: Tensor) -> Tensor:
    """Return images on white, (B, C, H, W), of maps that were cast with the tones 0 and 1.

    `colours` are (surfaces, C). Exact where no surface is brighter than 1.
    """
    dark, light = maps.tones.unbind(2)
    painted = torch.einsum("bshw,sc->bchw", light - dark, colours) + dark.sum(1, keepdim=True)
    return (painted + (1 - maps.coverage.sum(1, keepdim=True))).clamp(0, 1)


class Scene:
    """A batch of scenes, prepared for following rays."""

    def __init__(
        self, solids: Sequence[Solid], camera: Camera, lights: Sequence[Light], ambient: float
    ):
        self.ambient = ambient
        self.camera = camera
        self.lights = lights
        vectors = [camera.position, camera.target, *(light.position for light in lights)]
        batches = [solid.pose.shape[:-2] for solid in solids] + [v.shape[:-1] for v in vectors]
        self.batch = torch.broadcast_shapes(*batches, (1,))[0]
        self.eye = self.expand(camera.position)
        ahead = unit(camera.target - self.eye, -1)
        level = torch.stack([ahead[:, 1], -ahead[:, 0], torch.zeros_like(ahead[:, 0])], -1)
        right = unit(level, -1)
        # columns: what one pixel to the right, ahead and up are in the scene
        self.frame = torch.stack([right, ahead, torch.linalg.cross(right, ahead)], -1)
        self.solids = [(solid, *self._inverse(solid)) for solid in solids]
        # the last entry is that of no solid, which has the index -1
        self.surface = torch.tensor([solid.surface for solid in solids] + [-1])

    def expand(self, vectors: Tensor) -> Tensor:
        """Return a vector for each scene, (B, 3)."""
        return vectors.expand(self.batch, 3)

    def _inverse(self, solid: Solid) -> tuple[Tensor, Tensor]:
        """Return matrix and offset as `span` takes them."""
        inverse = torch.linalg.inv(solid.pose.expand(self.batch, 4, 4))[:, :3]
        if solid.planes is None:
            return inverse[:, :, :3], inverse[:, :, 3]
        # in the scene's coordinates, so that a ray need not be transformed
        normal = solid.planes[:, :3] @ inverse[:, :, :3]
        return normal, solid.planes[:, 3] - inverse[:, :, 3] @ solid.planes[:, :3].T

    def pixels(self, index: Tensor, samples: int) -> Tensor:
        """Return the directions of samples² rays through each pixel: (3, pixels, samples²)."""
        row, column = self.camera.centre
        y = (index // self.camera.width)[:, None]
        x = (index % self.camera.width)[:, None]
        step = (torch.arange(samples) + 0.5) / samples
        up = (row - y - step).repeat_interleave(samples, 1) / self.camera.focal
        right = (x + step - column).repeat(1, samples) / self.camera.focal
        return torch.stack([right, torch.ones_like(right), up])

    def follow(self, number: Tensor, rays: Tensor) -> list[Tensor]:
        """Follow rays, (G or 1, 3, S), into the scenes of some numbers, (G,).

        Return which solid each ray meets or -1, how bright it is there, and its highlight: (G, S).
        """
        direction = self.frame[number] @ rays
        depth, solid, normal = self._meet(number, direction)
        point = self.eye[number][..., None] + depth.clamp(max=FAR)[:, None] * direction
        shade = torch.full_like(depth, self.ambient)
        highlight = torch.zeros_like(depth)
        for light in self.lights:
            ray, power = light.reach(self, number, point)
            facing = (ray * normal).sum(1).clamp(min=0)
            shade += light.diffuse * facing * power
            if light.specular:
                shine = (unit(ray - unit(direction)) * normal).sum(1).clamp(min=0)
                highlight += light.highlight(shine, solid) * (facing > 0) * power
        return [solid, shade, highlight]

    def _meet(self, number: Tensor, direction: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return how far along each ray its first solid is, which one, and its unit normal."""
        depth = torch.full_like(direction[:, 0], FAR * 10)
        index = torch.full_like(depth, -1, dtype=torch.long)
        normal = torch.zeros_like(direction)
        origin = self.eye[number][..., None]
        for k, (solid, matrix, offset) in enumerate(self.solids):
            near, far, facing = span(solid.kind, matrix[number], offset[number], origin, direction)
            closer = (near < far) & (near > 0) & (near < depth)
            depth = torch.where(closer, near, depth)
            index = torch.where(closer, k, index)
            normal = torch.where(closer[:, None], facing, normal)
        return depth, index, unit(normal)


def _average(
    hits: list[Tensor], surfaces: int, surface: Tensor, tone: Tensor
) -> tuple[Tensor, Tensor]:
    """Average (G, P, S) over samples: coverage (G, surfaces, P), tones (G, surfaces, K, P)."""
    solid, shade, highlight = hits
    visible = surface[solid][:, None] == torch.arange(surfaces)[:, None, None]
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
