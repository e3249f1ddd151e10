"""The stand-ins: drawn once, in the originals' formats, with the structure that the paper reads off
the originals.
"""

import itertools
import threading
import time

import numpy as np
import pytest
import torch

from vaedis.data.originals.readers import NORB_TRAINING, READERS, SIZES, resize
from vaedis.data.standins import scenes

pytest.importorskip("scipy.io")


@pytest.fixture(scope="module")
def car():
    return scenes.car_images(0)


@pytest.fixture(scope="module")
def truck():
    """From the lowest and the highest elevation."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "NORB_ELEVATIONS", (30, 70))
        return scenes.toy_images(3, 4)


def distances(images: np.ndarray) -> np.ndarray:
    """Mean squared distances between images, shape (n, ...)."""
    flat = images.reshape(len(images), -1) / 255
    return ((flat[:, None] - flat) ** 2).mean(-1)


def test_a_car_stands_free_on_white(car):
    assert car.shape == (128, 128, 3, 24, 4)
    assert car.dtype == np.uint8
    border = np.concatenate([car[0], car[-1], car[:, 0], car[:, -1]])
    assert (border == 255).all()
    covered = (car < 255).any(2).mean((0, 1))
    assert covered.min() > 0.05
    assert covered.max() < 0.4


def test_a_car_is_its_own_mirror_image(car):
    for azimuth in range(1, 12):
        np.testing.assert_array_equal(car[..., 24 - azimuth, :], car[:, ::-1, :, azimuth])
    # whereas its front is not its rear
    assert (car[..., 0, 0] != car[..., 12, 0]).any()


def test_azimuth_has_a_second_minimum_half_a_turn_away(car):
    apart = distances(car[..., 1].transpose(3, 0, 1, 2))
    by_gap = [apart[np.arange(24), (np.arange(24) + gap) % 24].mean() for gap in range(24)]
    assert all(by_gap[12] < by_gap[gap] for gap in range(1, 12))
    assert np.argmax(by_gap) in (*range(4, 9), *range(16, 21))


def test_elevation_is_ordered(car):
    apart = distances(car.transpose(4, 3, 0, 1, 2))
    for i in range(4):
        assert (np.diff(apart[i, i:]) > 0).all()
        assert (np.diff(apart[i, i::-1]) > 0).all()


def test_a_car_depends_on_its_number_and_seed_alone(car):
    np.testing.assert_array_equal(
        scenes.car(np.random.default_rng([0, 0]))[1], scenes.car(np.random.default_rng([0, 0]))[1]
    )
    np.testing.assert_array_equal(scenes.car_images(0), car)


def test_183_cars_differ_in_shape_and_colour():
    cars = [scenes.car(np.random.default_rng([0, number])) for number in range(183)]
    assert len({tuple(solids[1].pose.flatten().tolist()) for solids, _ in cars}) == 183
    assert len({tuple(colours[0].tolist()) for _, colours in cars}) == 183


def test_a_toy_under_six_lightings(truck):
    assert truck.shape == (2, 18, 6, 96, 96)
    apart = distances(truck.transpose(2, 0, 1, 3, 4))
    others = np.delete(np.arange(6), 2)
    assert apart[2, others].min() > apart[np.ix_(others, others)].max()


@pytest.mark.parametrize("category", range(5))
def test_what_is_mirrored_is_what_would_be_drawn(category):
    """Toys are their own mirror images, and a mirrored one takes the light of the other lamp."""
    solids = scenes.toy(scenes.CATEGORIES[category], np.random.default_rng(0))
    coverage, lit = scenes._toy_view(solids, 40, 60)
    other_coverage, other_lit = scenes._toy_view(solids, 40, -60)
    # up to rounding where a ray grazes an edge
    assert (coverage.flip(-1) - other_coverage).abs().gt(0.01).float().mean() < 1e-3
    assert (lit.flip(0, -1) - other_lit).abs().gt(0.01).float().mean() < 1e-3
    # and the lamp on the left lights the left
    left, right = (lamp[coverage[0] > 0.99].sum() for lamp in lit)
    columns = np.arange(96)[None]
    assert float((lit[0].numpy() * columns).sum() / left) < float(
        (lit[1].numpy() * columns).sum() / right
    )


def test_rotation_has_a_second_minimum_half_a_turn_away(truck):
    apart = distances(truck[1, :, 0])
    by_gap = [apart[np.arange(18), (np.arange(18) + gap) % 18].mean() for gap in range(18)]
    assert all(by_gap[9] < by_gap[gap] for gap in range(2, 8))


def test_every_toy_fits_into_the_picture():
    for category, instance in itertools.product(range(5), NORB_TRAINING):
        solids = scenes.toy(
            scenes.CATEGORIES[category], np.random.default_rng([0, 1000 + 10 * category + instance])
        )
        for elevation, azimuth in itertools.product((70,), (0, 80, 180)):
            toy = scenes._toy_view(solids, elevation, azimuth)[0][0]
            border = max(float(edge.max()) for edge in (toy[0], toy[-1], toy[:, 0], toy[:, -1]))
            assert border == 0, (category, instance, elevation, azimuth)


def test_written_cars_are_read_back_in_order(tmp_path, monkeypatch):
    drawn = []

    def car_images(number, seed):
        drawn.append(number)
        return np.full((128, 128, 3, 24, 4), number + 10 * seed, np.uint8)

    monkeypatch.setitem(SIZES, "cars3d", (4, 24, 3))
    monkeypatch.setattr(scenes, "car_images", car_images)
    told = []
    [path] = scenes.write(
        "cars3d", tmp_path / "new", progress=lambda done, total: told.append((done, total))
    )
    images = np.concatenate(list(READERS["cars3d"](path, sizes=(4, 24, 3))))
    assert images[:6, 0, 0, 0].tolist() == [0, 1, 2, 0, 1, 2]
    assert told == [(1, 3), (2, 3), (3, 3)]
    # they are there: nothing is drawn again
    assert scenes.write("cars3d", tmp_path / "new") == (path,)
    assert drawn == [0, 1, 2]
    [other] = scenes.write("cars3d", tmp_path / "new", seed=1)
    assert other != path
    assert drawn == [0, 1, 2] * 2


def test_written_toys_are_read_back_in_order(tmp_path, monkeypatch):
    sizes = (2, 2, 2, 3, 2)
    rng = np.random.default_rng(0)
    toys = {
        which: rng.integers(0, 256, (2, 3, 2, 96, 96), np.uint8)
        for which in itertools.product(range(2), (4, 6))
    }
    monkeypatch.setitem(SIZES, "smallnorb", sizes)
    monkeypatch.setattr(
        scenes, "toy_images", lambda category, instance, seed: toys[category, instance]
    )
    paths = scenes.write("smallnorb", tmp_path)
    assert [path.name.split("-")[-1] for path in paths] == [
        "dat.mat.gz",
        "cat.mat.gz",
        "info.mat.gz",
    ]
    images = np.concatenate(list(READERS["smallnorb"](*paths, sizes=sizes)))
    expected = np.concatenate([toys[which].reshape(-1, 96, 96, 1) for which in sorted(toys)])
    np.testing.assert_array_equal(images, resize(expected))


def test_the_second_camera_sees_a_shifted_scene():
    image = np.arange(96 * 96, dtype=np.uint8).reshape(96, 96)
    first, second = scenes._pair(image)
    np.testing.assert_array_equal(first, image)
    np.testing.assert_array_equal(second[:, :92], image[:, 4:])
    assert (second[:, 92:] == image[:, -1:]).all()


def test_an_unknown_stand_in():
    with pytest.raises(ValueError, match="choose one of: cars3d, smallnorb"):
        scenes.write("dsprites", ".")


def test_objects_are_drawn_side_by_side_in_order_and_only_a_few_ahead():
    started = []

    def draw(first, second):
        started.append(first)
        time.sleep(0.001 * (5 - first % 5))
        return np.array([first, second])

    threads = torch.get_num_threads()
    drawn = scenes._side_by_side(draw, [(k, -k) for k in range(40)])
    assert [next(drawn).tolist() for _ in range(3)] == [[0, 0], [1, -1], [2, -2]]
    assert len(started) <= 3 + 2 * threads + 1
    assert [one.tolist() for one in drawn] == [[k, -k] for k in range(3, 40)]


def test_an_object_that_cannot_be_drawn_ends_the_others():
    def draw(number):
        if number == 1:
            raise OSError("no")
        return np.array(number)

    before = threading.active_count()
    drawn = scenes._side_by_side(draw, [(k,) for k in range(1000)])
    assert next(drawn) == 0
    with pytest.raises(OSError, match="no"):
        next(drawn)
    assert threading.active_count() == before
