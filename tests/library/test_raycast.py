"""The ray caster: what a surface covers, how it is lit, and where its shadow falls, against closed
forms.
"""

import importlib.util
import math
import sys
from pathlib import Path

import pytest
import torch

from vaedis.data.standins import raycast, solids

# the tool that draws 3D Shapes adds a spotlight, which throws shadows
TOOL = importlib.util.spec_from_file_location(
    "draw_shapes3d_lights", Path(__file__).parents[2] / "tools" / "draw_shapes3d.py"
)
tool = importlib.util.module_from_spec(TOOL)
sys.modules[TOOL.name] = tool
TOOL.loader.exec_module(tool)

# looks along +y from (0, -10, 0), with a pixel at the origin 1/8 wide
CAMERA = raycast.Camera(
    torch.tensor([0.0, -10.0, 0.0]), torch.zeros(3), 80.0, height=32, width=32, centre=(16, 16)
)
BEHIND = raycast.Light(torch.tensor([0.0, -1.0, 0.0]))
DOWN = torch.tensor([0.0, 0.0, -1.0])


def cast(*solids, lights=(), surfaces=1, ambient=0.2, samples=4, **options):
    settings = {"surfaces": surfaces, "ambient": ambient, "samples": samples}
    return raycast.cast(solids, CAMERA, lights, **settings, **options)


def lamp_at(*position, aim=DOWN, focus=0.0, **options):
    return tool.Spotlight(torch.tensor(position), aim=aim, focus=focus, **options)


def test_a_box_covers_the_pixels_of_its_front_and_shares_of_those_on_its_edge():
    # the front, at a distance of 9, is 2 * 80 / 9 = 17.8 pixels wide
    covered = cast(solids.box(0, torch.eye(4)), samples=8).coverage[0, 0]
    half = 80 / 9
    edge = half - int(half)
    assert covered[8:24, 8:24].min() == 1
    assert covered[16, 7].item() == pytest.approx(edge, abs=1 / 16)
    assert covered[7, 7].item() == pytest.approx(edge**2, abs=1 / 16)
    assert covered.sum().item() == pytest.approx((2 * half) ** 2, rel=0.01)


@pytest.mark.parametrize(
    ("solid", "area"),
    [
        # a ball's outline is the circle where rays touch it
        (solids.ellipsoid(0, torch.eye(4)), math.pi * 80**2 / (10**2 - 1)),
        (solids.ellipsoid(0, solids.place([0, 0, 0], [1.5, 0.01, 0.5])), math.pi * 1.5 * 0.5 * 64),
        (solids.cylinder(0, solids.place([0, 0, 0], [1, 1, 0.5])), None),
        (solids.frustum(0, solids.place([0, 0, 0], [1, 1e-3, 1]), (0.0, 0.0)), 2 * 64),
    ],
    ids=["ball", "flat ellipsoid", "cylinder", "triangle"],
)
def test_outlines_have_the_area_that_geometry_says(solid, area):
    covered = cast(solid, samples=8).coverage[0, 0]
    if area is None:
        # as wide as the circle of the ball; its rims bulge downwards and upwards, between the
        # heights of axis and front
        wide = covered[16].sum().item()
        assert wide == pytest.approx(2 * 80 / math.sqrt(99), abs=0.1)
        assert 80 / 10 < covered[:, 16].sum().item() < 80 / 9 + 1 / 8
    else:
        assert covered.sum().item() == pytest.approx(area, rel=0.01)


def test_a_face_is_as_bright_as_the_cosine_of_its_angle_to_the_light():
    for turn in (0.0, 0.3, 0.6):
        maps = cast(
            solids.box(0, solids.place([0, 0, 0], [5, 0.1, 5], yaw=turn)),
            lights=[BEHIND],
            ambient=0.0,
        )
        assert maps.tones[0, 0, 1, 16, 16].item() == pytest.approx(math.cos(turn), abs=1e-4)


def test_brightness_stops_at_1_for_each_tone_apart():
    maps = cast(
        solids.box(0, torch.eye(4)), lights=[BEHIND], ambient=0.25, tones=(0.0, 0.4, 0.8, 1.0)
    )
    assert maps.tones[0, 0, :, 16, 16].tolist() == pytest.approx([0, 0.5, 1, 1])


def test_a_nearer_solid_hides_a_farther_one_and_only_where_it_is():
    far, near = (
        solids.box(0, solids.place([0, 4, 0], [1, 1, 1])),
        solids.box(1, solids.place([0, -4, 0], [0.2, 0.2, 0.2])),
    )
    first, second = cast(far, near, surfaces=2), cast(near, far, surfaces=2)
    assert torch.equal(first.coverage, second.coverage)
    assert first.coverage[0, :, 16, 16].tolist() == [0, 1]
    assert first.coverage[0, :, 16, 11].tolist() == [1, 0]


def test_a_shadow_ends_where_the_line_over_the_edge_meets_the_floor():
    """The floor of row 24 is 9.4 away, with a low wall along y; a lamp is 4 over it to the left."""
    floor = solids.polyhedron(0, torch.eye(4), [[0, 0, 1, -1]])
    wall = solids.box(2, solids.place([0, 0, -0.5], [0.05, 2, 0.5]))
    lamp = lamp_at(-4.0, 0.0, 3.0)
    row = cast(floor, wall, lights=[lamp], surfaces=3, ambient=0.0).tones[0, 0, 1, 24]
    # from the lamp over the wall's top right edge, at x = 0.05 and z = 0, the line meets the floor,
    # z = -1, at 0.05 + 4.05 / 3
    edge = int(16 + (0.05 + 4.05 / 3) * 8.5)
    assert row[18:edge].max() == 0
    assert row[edge + 1 :].min() > 0.4


def test_a_spotlight_fades_with_the_angle_from_where_it_points():
    wall = solids.box(0, solids.place([0, 1, 0], [5, 1, 5]))
    spot = lamp_at(0.0, -10.0, 0.0, aim=torch.tensor([0.0, 1.0, 0.0]), focus=3.0)
    lit = cast(wall, lights=[spot], ambient=0.0).tones[0, 0, 1]
    # the camera is where the spotlight is: the cosine at a pixel, once for the wall and three times
    # for the spotlight
    for column in (16, 24, 31):
        cosine = 1 / math.sqrt(1 + ((column + 0.5 - 16) / 80) ** 2 + (0.5 / 80) ** 2)
        assert lit[16, column].item() == pytest.approx(cosine**4, abs=2e-3)


def test_a_highlight_is_white_and_lies_where_light_is_mirrored():
    lamp = raycast.Light(torch.tensor([0.0, -1.0, 0.0]), specular=0.5, diffuse=0.0, shininess=5.0)
    shiny = cast(solids.ellipsoid(0, torch.eye(4)), lights=[lamp], ambient=0.0).tones[0, 0]
    assert torch.equal(shiny[0], shiny[1])
    assert shiny[0, 16, 16].item() == pytest.approx(0.5, abs=0.03)
    assert shiny[0, 16, 8] < 0.05


def test_the_tools_highlight_is_on_objects_only():
    room = [solids.box(0, torch.eye(4))] * 4
    lamp = lamp_at(0.0, -10.0, 0.0, specular=0.5, diffuse=0.0, aim=torch.tensor([0.0, 1.0, 0.0]))
    assert cast(*room, lights=[lamp], ambient=0.0).tones.max() == 0
    near = solids.ellipsoid(1, solids.place([0, -3, 0], 1.0))
    tones = cast(*room, near, lights=[lamp], surfaces=2, ambient=0.0).tones[0]
    assert tones[0].max() == 0
    assert tones[1, 0, 16, 16].item() == pytest.approx(0.5, abs=0.03)


def test_scenes_of_a_batch_are_what_each_is_alone():
    centres, turns = (
        torch.tensor([[0.0, 0, 0], [0.3, 1, -0.2], [-0.5, 0, 0.4]]),
        torch.tensor([0.0, 0.5, 1.0]),
    )
    lamp = lamp_at(-2.0, -5.0, 3.0)
    floor = solids.polyhedron(1, torch.eye(4), [[0, 0, 1, -1]])
    together = cast(
        solids.box(0, solids.place(centres, 0.6, turns)), floor, lights=[lamp], surfaces=2
    )
    for k in range(3):
        alone = cast(
            solids.box(0, solids.place(centres[k], 0.6, turns[k])), floor, lights=[lamp], surfaces=2
        )
        torch.testing.assert_close(together.coverage[k], alone.coverage[0])
        torch.testing.assert_close(together.tones[k], alone.tones[0])


def test_sampling_edges_alone_gives_what_sampling_every_pixel_gives(monkeypatch):
    scene = [
        solids.box(0, solids.place([0, 0, 0], 0.6, 0.5)),
        solids.polyhedron(1, torch.eye(4), [[0, 0, 1, -1]]),
    ]
    lamp = lamp_at(-2.0, -5.0, 3.0)
    few = cast(*scene, lights=[lamp], surfaces=2)
    monkeypatch.setattr(
        raycast,
        "_disagree",
        lambda found, height, width: torch.ones(1, height * width, dtype=torch.bool),
    )
    all_ = cast(*scene, lights=[lamp], surfaces=2)
    assert (few.coverage - all_.coverage).abs().max() == 0
    # smooth shading may bend within a pixel
    assert (few.tones - all_.tones).abs().max() < 0.02


def test_painting_gives_surfaces_their_colours_and_leaves_the_background_white():
    maps = cast(solids.box(0, torch.eye(4)), lights=[BEHIND], ambient=0.0)
    image = raycast.paint(maps, torch.tensor([[0.2, 0.4, 0.6]]))
    assert image.shape == (1, 3, 32, 32)
    assert image[0, :, 16, 16].tolist() == pytest.approx([0.2, 0.4, 0.6])
    assert image[0, :, 0, 0].tolist() == pytest.approx([1.0, 1.0, 1.0])
    share = maps.coverage[0, 0, 16, 7].item()
    assert image[0, 0, 16, 7].item() == pytest.approx(share * 0.2 + (1 - share), abs=1e-5)
