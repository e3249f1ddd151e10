"""The stand-ins: drawn in the originals' order, with the structure that the paper reads off them."""

import dataclasses
import itertools
import threading

import numpy as np
import pytest

from vaedis.data.originals.catalog import BENCHMARKS
from vaedis.data.originals.readers import resize
from vaedis.data.standins import objects, scenes

pytest.importorskip("PIL")


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


def test_a_car_depends_on_its_number_alone(car):
    np.testing.assert_array_equal(
        objects.car(np.random.default_rng([0, 0]))[1], objects.car(np.random.default_rng([0, 0]))[1]
    )
    np.testing.assert_array_equal(scenes.car_images(0), car)


def test_183_cars_differ_in_shape_and_colour():
    cars = [objects.car(np.random.default_rng([0, number])) for number in range(183)]
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
    solids = objects.toy(category, np.random.default_rng(0))
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
    for category, instance in itertools.product(range(5), scenes.INSTANCES):
        solids = objects.toy(category, np.random.default_rng([0, 1000 + 10 * category + instance]))
        for elevation, azimuth in itertools.product((70,), (0, 80, 180)):
            toy = scenes._toy_view(solids, elevation, azimuth)[0][0]
            border = max(float(edge.max()) for edge in (toy[0], toy[-1], toy[:, 0], toy[:, -1]))
            assert border == 0, (category, instance, elevation, azimuth)


def with_sizes(monkeypatch, name, *sizes):
    """Make a benchmark smaller."""
    factors = dict(zip(BENCHMARKS[name].factors, sizes, strict=True))
    monkeypatch.setitem(BENCHMARKS, name, dataclasses.replace(BENCHMARKS[name], factors=factors))


def test_cars_are_in_the_order_of_the_factors(monkeypatch):
    def car_images(number):
        images = np.full((128, 128, 3, 24, 4), number, np.uint8)
        images[:, :, 1] = np.arange(24)[:, None]
        images[:, :, 2] = np.arange(4)
        return images

    with_sizes(monkeypatch, "cars3d", 4, 24, 3)
    monkeypatch.setattr(scenes, "car_images", car_images)
    steps = []
    images = scenes.draw("cars3d", steps.append)
    assert images.shape == (288, 64, 64, 3)
    expected = [(c, a, e) for e, a, c in itertools.product(range(4), range(24), range(3))]
    np.testing.assert_array_equal(images[:, 5, 7], expected)
    assert steps == [1, 1, 1]


def test_toys_are_in_the_order_of_the_factors(monkeypatch):
    rng = np.random.default_rng(0)
    toys = {
        toy: rng.integers(0, 256, (2, 3, 2, 96, 96), np.uint8)
        for toy in itertools.product(range(2), (4, 6))
    }
    with_sizes(monkeypatch, "smallnorb", 2, 2, 2, 3, 2)
    monkeypatch.setattr(scenes, "toy_images", lambda *toy: toys[toy])
    expected = np.concatenate([toys[toy].reshape(-1, 96, 96, 1) for toy in sorted(toys)])
    np.testing.assert_array_equal(scenes.draw("smallnorb"), resize(expected))


def test_an_object_that_cannot_be_drawn_ends_the_others(monkeypatch):
    drawn = []

    def car_images(number):
        if number == 1:
            raise OSError("no")
        drawn.append(number)
        return np.zeros((128, 128, 3, 24, 4), np.uint8)

    monkeypatch.setattr(scenes, "car_images", car_images)
    before = threading.active_count()
    with pytest.raises(OSError, match="no"):
        scenes.draw("cars3d")
    assert len(drawn) < 100
    assert threading.active_count() == before
