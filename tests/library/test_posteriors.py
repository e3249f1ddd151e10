"""Where small networks with two latents put observations, and how that is compared with perceived
distances.
"""

import numpy as np
import pytest
import torch

import vaedis as vd
import vaedis_companion as vc

SMALL = {"num_squares": 1, "rgb": False, "image_size": 8, "square_size": 2, "grid_size": 3}


@pytest.fixture(scope="module")
def run():
    return vd.fit(
        vd.RunSpec(
            data_options={**SMALL, "grid_spacing": 1}, model="mlp", latents=2, steps=3, batch=9
        )
    )


def test_posterior_map_has_the_arrays_of_figure_1(run):
    found = vd.training.inspect.posterior_map(run, 4)
    assert {name: array.shape for name, array in found.items()} == {
        "mean": (9, 2),
        "std": (9, 2),
        "factors": (9, 2),
        "confusion": (9, 9),
        "image": (8, 8, 1),
        "decoded": (5, 8, 8, 1),
    }
    np.testing.assert_allclose(found["confusion"].sum(1), 1, rtol=1e-6)
    again = vd.training.inspect.posterior_map(run, 4)
    assert all(np.array_equal(found[name], again[name]) for name in found)


def test_confusion_of_posteriors_far_apart_and_of_equal_ones():
    far = vd.training.inspect.confusion(torch.tensor([[-9.0, 0.0], [9.0, 0.0]]), torch.ones(2, 2))
    assert torch.equal(far, torch.eye(2))
    # two that differ in width only: the narrow one's samples near its mean, the wide one's samples
    # far from it
    nested = vd.training.inspect.confusion(
        torch.zeros(2, 1), torch.tensor([[0.01], [10.0]]), samples=2000
    )
    assert nested[0, 0] > 0.99
    assert nested[1, 1] > 0.99


class Placed:
    """A run whose posterior means are given."""

    def __init__(self, data, mean, loss="mse"):
        self.data, self.mean, self.loss, self.normalize = data, mean, vd.losses.get(loss), False

    def observations(self, index):
        return self.data.observations(index, normalize=False)

    def posterior(self, index):
        return self.mean[index], torch.zeros_like(self.mean[index])

    def decode(self, z):
        height, width, channels = self.data.shape
        fits = z.shape[1] == height * width * channels
        return (
            z.unflatten(1, (channels, height, width))
            if fits
            else torch.zeros(len(z), channels, height, width)
        )


def test_latent_agreement_of_means_that_are_the_images_is_perfect():
    data = vd.load("xysquares", **SMALL, grid_spacing=1)
    flat = data.observations(torch.arange(9), normalize=False).flatten(1)
    a, b = torch.triu_indices(9, 9, 1)
    found = vd.training.inspect.latent_agreement(Placed(data, flat), a, b)
    assert found.rank == pytest.approx(1)
    assert not found.adversarial
    for kind in (torch.Tensor.numpy, torch.Tensor.tolist):
        assert vd.training.inspect.latent_agreement(Placed(data, flat), kind(a), kind(b)) == found


def test_latent_agreement_with_constant_distances_is_none():
    data = vd.load("xysquares", **SMALL, grid_spacing=2)
    a, b = torch.triu_indices(9, 9, 1)
    found = vd.training.inspect.latent_agreement(
        Placed(data, torch.randn(9, 2, generator=torch.Generator().manual_seed(0))), a, b
    )
    assert found.linear is None
    assert found.rank is None
    assert found.adversarial


def test_posteriors_of_width_1_are_separated_by_half_their_squared_gap_in_nats():
    data = vd.load("xysquares", **SMALL, grid_spacing=1)
    # latent 0 follows the first factor twofold, latent 1 the second threefold
    factors = data.factors.to_factors(torch.arange(9)).float()
    found = vd.training.inspect.factor_learning(Placed(data, factors * torch.tensor([2.0, 3.0])))[
        "separation"
    ]
    # three values: gaps of 1, 1 and 2
    assert found == pytest.approx({"x_R": 4 * (1 + 1 + 4) / 3 / 2, "y_R": 9 * (1 + 1 + 4) / 3 / 2})


def test_posteriors_of_a_network_that_ignores_its_input_separate_nothing():
    data = vd.load("xysquares", **SMALL, grid_spacing=1)
    found = vd.training.inspect.factor_learning(Placed(data, torch.ones(9, 4)))
    assert found == {
        "separation": {"x_R": 0.0, "y_R": 0.0},
        "reconstructed": {"x_R": 0.0, "y_R": 0.0},
    }


def test_a_decoder_that_halves_images_reconstructs_a_quarter_of_their_squared_distances():
    data = vd.load("xysquares", **SMALL, grid_spacing=1)
    flat = data.observations(torch.arange(9), normalize=False).flatten(1)
    found = vd.training.inspect.factor_learning(Placed(data, flat / 2))
    assert found["reconstructed"] == pytest.approx({"x_R": 0.25, "y_R": 0.25})


def test_the_entropy_of_images_is_no_distance():
    # grey images, of which cross-entropy leaves each its entropy; the second factor changes nothing
    levels = np.repeat([0.2, 0.4, 0.7], 2)
    labels = np.stack([np.repeat(np.arange(3), 2), np.tile(np.arange(2), 3)], 1)
    data = vd.LabelledImages(
        levels[:, None, None] * np.ones((6, 2, 2)), labels, ["light", "nothing"]
    )
    flat = data.observations(torch.arange(6), normalize=False).flatten(1)
    same = torch.full((6, 4), 0.5)
    assert vd.training.inspect.factor_learning(Placed(data, same, "bce"))["reconstructed"] == {
        "light": 0.0,
        "nothing": 0.0,
    }
    assert vd.training.inspect.factor_learning(Placed(data, flat, "bce"))[
        "reconstructed"
    ] == pytest.approx({"light": 1.0, "nothing": 0.0})


def test_the_papers_own_matrices_are_read_in_full():
    found = vc.published.matrices()
    assert found["shapes3d", "wall_hue"].shape == (10, 10)
    assert found["dsprites", "orientation"].shape == (40, 40)
    for matrix in found.values():
        np.testing.assert_array_equal(matrix, matrix.T)
        assert not matrix.diagonal().any()
        assert matrix.min() >= 0
        assert matrix.max() <= 1
