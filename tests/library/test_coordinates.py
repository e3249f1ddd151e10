"""Coordinates: distances that are the perceived ones exactly, rotations that keep them, pictures,
and what is refused.
"""

import pytest
import torch

import vaedis as vd
from vaedis import losses
from vaedis.data import Coordinates, FactorData
from vaedis.factors import FactorSpace

LOSSES = ("mse", "box-blur")


def pairs(space, n=200):
    generator = torch.Generator().manual_seed(0)
    a = space.sample_index(n, generator=generator)
    b = space.sample_index(n, generator=generator)
    return torch.cat([a, a]), torch.cat([b, space.sample_pairs(a, generator=generator)])


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("distance", LOSSES)
@pytest.mark.parametrize("spacing", [1, 3, 8])
def test_the_mean_squared_difference_is_the_perceived_distance(spacing, distance, normalize):
    data = vd.load("coordinates", distance=distance, grid_spacing=spacing, rotation=1)
    i, j = pairs(data.factors)
    expected = vd.distances.perceived(data.source, i, j, loss=distance, normalize=normalize)
    a, b = (data.coordinates(k, normalize=normalize) for k in (i, j))
    assert expected.max() > 0
    torch.testing.assert_close((a - b).square().mean(1), expected, rtol=1e-10, atol=1e-10)


def test_the_loss_that_a_network_is_trained_with_is_that_distance_in_single_precision():
    data = vd.load("coordinates", distance="box-blur", grid_spacing=8, rotation=1)
    i, j = pairs(data.factors)
    expected = vd.distances.perceived(data.source, i, j, loss="box-blur", normalize=True)
    found = losses.get("mse")(data.observations(i), data.observations(j))
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)


def test_a_square_has_63_coordinates_and_more_would_be_redundant():
    for options in (
        {"num_squares": 1},
        {"num_squares": 3},
        {"num_squares": 3, "grid_spacing": 1, "distance": "box-blur"},
    ):
        data = vd.load("coordinates", **options)
        assert data.shape == (1, 1, 63 * options["num_squares"])
        assert data.observations(torch.arange(5)).shape == (5, data.shape[2], 1, 1)


def test_a_rotation_keeps_distances_and_changes_every_axis():
    data = [vd.load("coordinates", rotation=seed) for seed in (None, 0, 0, 1)]
    i, j = pairs(data[0].factors, 50)
    a, b = ([d.coordinates(k) for d in data] for k in (i, j))
    for k in (1, 2, 3):
        torch.testing.assert_close(
            (a[k] - b[k]).square().sum(1), (a[0] - b[0]).square().sum(1), rtol=1e-10, atol=1e-10
        )
    assert torch.equal(a[1], a[2])
    assert not torch.isclose(a[1], a[3]).any(0).all()
    # without a rotation the squares' coordinates lie side by side, so that one square alone changes
    # a third of them; with one, all change
    same = data[0].factors.traversal("x_R", 0)
    assert ((d := data[0].coordinates(same))[0] != d[1]).sum() <= 63
    assert ((d := data[1].coordinates(same))[0] != d[1]).all()


def test_nothing_but_distances_is_left():
    # two data sets with equal distances give equal coordinates: here, the same squares with rows
    # and columns of pixels shuffled
    class Shuffled(vd.data.XYSquares):
        def _images(self, index):
            order = torch.randperm(64, generator=torch.Generator().manual_seed(3))
            return super()._images(index)[:, order][:, :, order]

    i, j = pairs(FactorSpace(["x", "y"], [8, 8]), 40)
    one, two = (
        Coordinates(cls(grid_spacing=3, num_squares=1)) for cls in (vd.data.XYSquares, Shuffled)
    )
    for a in (i, j):
        # up to the sign of each eigenvector, and a turn where eigenvalues are equal; so compare all
        # scalar products
        torch.testing.assert_close(
            *(d.coordinates(a) @ d.coordinates(j).T for d in (one, two)), rtol=1e-9, atol=1e-9
        )


@pytest.mark.parametrize("distance", LOSSES)
def test_pictures_of_coordinates_are_the_images(distance):
    data = vd.load("coordinates", distance=distance, grid_spacing=3, rotation=5)
    i, _ = pairs(data.factors, 20)
    torch.testing.assert_close(
        data.denormalize(data.observations(i)),
        data.source.observations(i, normalize=False),
        rtol=0,
        atol=1e-5,
    )


class Grey(FactorData):
    """A data set of one's own whose channels share all factors."""

    name, origin = "grey", "generated"
    factors, shape, mean, std = (
        FactorSpace(("a", "b"), (4, 3)),
        (5, 5, 2),
        (0.25, 0.5),
        (0.5, 0.125),
    )

    def _images(self, index):
        return (torch.arange(50).view(5, 5, 2) * (index[:, None, None, None] + 1) ** 2 % 251).to(
            torch.uint8
        )


@pytest.mark.parametrize(
    "loss", [losses.MSE(), losses.BoxBlur(radius=1), losses.BoxBlur(radius=2, pixel_weight=0)]
)
def test_any_data_set_of_moderate_size_has_coordinates(loss):
    data = Coordinates(Grey(), loss, rotation=2)
    i = torch.arange(12).repeat(12)
    j = torch.arange(12).repeat_interleave(12)
    expected = vd.distances.perceived(Grey(), i, j, loss=loss, normalize=True)
    torch.testing.assert_close(
        (data.coordinates(i) - data.coordinates(j)).square().mean(1),
        expected,
        rtol=1e-10,
        atol=1e-10,
    )
    assert data.shape[2] <= 11


def test_a_grey_data_set_whose_squares_overlap_is_too_large_and_says_so():
    with pytest.raises(
        ValueError, match=r"262,144 of them would take .* GiB of at most 2; use fewer observations"
    ):
        vd.load("coordinates", rgb=False)


def test_a_network_learns_from_coordinates_and_can_be_looked_at():
    spec = vd.RunSpec(
        data="coordinates",
        data_options={"num_squares": 1, "rotation": 0},
        model="mlp",
        steps=150,
        batch=64,
        latents=4,
    )
    run = vd.fit(spec, device="cpu")
    assert run.history["recon"][-20:].mean() < 0.5 * run.history["recon"][:5].mean()
    assert run.decode_images(torch.zeros(2, 4)).shape == (2, 64, 64, 3)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (
            lambda: vd.load("coordinates", distance="bce"),
            ValueError,
            "a quadratic form, such as 'mse' or 'box-blur', not 'bce'",
        ),
        (lambda: vd.load("coordinates", distance="msee"), ValueError, "Unknown loss 'msee'"),
        (
            lambda: vd.load("coordinates", rotation=-1),
            ValueError,
            "rotation must be a whole number of at least 0, not -1",
        ),
        (
            lambda: vd.load("coordinates", spacing=8),
            ValueError,
            "Unknown option 'spacing' of data set 'coordinates'",
        ),
        (
            lambda: Coordinates(Grey(), grid_spacing=8),
            ValueError,
            "go with a data set's name, not with a data set",
        ),
        (
            lambda: Coordinates(Grey()).images(torch.tensor([0])),
            TypeError,
            "Coordinates have no pixels",
        ),
    ],
)
def test_what_has_no_coordinates_is_refused_in_one_sentence(call, error, says):
    with pytest.raises(error, match=says):
        call()
