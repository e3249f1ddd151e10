"""XYSquares against the closed forms of the data set: layout, factor order, normalisation, distances."""

import numpy as np
import pytest
import torch

import vaedis as vd

LAYOUT = {
    8: (0, 8, 16, 24, 32, 40, 48, 56),
    7: (3, 10, 17, 24, 31, 38, 45, 52),
    6: (7, 13, 19, 25, 31, 37, 43, 49),
    5: (10, 15, 20, 25, 30, 35, 40, 45),
    4: (14, 18, 22, 26, 30, 34, 38, 42),
    3: (17, 20, 23, 26, 29, 32, 35, 38),
    2: (21, 23, 25, 27, 29, 31, 33, 35),
    1: (24, 25, 26, 27, 28, 29, 30, 31),
}


@pytest.mark.parametrize("spacing", LAYOUT)
def test_layout_at_each_spacing(spacing):
    data = vd.load("xysquares", grid_spacing=spacing)
    assert data.first_pixel == LAYOUT[spacing]
    assert len(data) == 8**6


def test_as_many_positions_as_fit_without_a_grid_size():
    fits = [len(vd.load("xysquares", grid_spacing=s, grid_size=None, num_squares=1).first_pixel) for s in range(8, 0, -1)]
    assert fits == [8, 9, 10, 12, 15, 19, 29, 57]


def test_more_positions_than_fit_are_cut_with_a_warning():
    with pytest.warns(UserWarning, match="Only 4 of the 8"):
        assert vd.load("xysquares", square_size=16).positions == 4


def test_one_factor_moves_one_square_in_its_channel_and_along_its_axis():
    data = vd.load("xysquares", grid_spacing=8)
    base = torch.tensor(0)
    assert data.factors.names == ("x_R", "y_R", "x_G", "y_G", "x_B", "y_B")
    for f, name in enumerate(data.factors.names):
        images = data.images(data.factors.traversal(name, base))
        others = [c for c in range(3) if c != f // 2]
        assert (images[..., others] == images[:1][..., others]).all()
        rows, columns = images[5, ..., f // 2].nonzero(as_tuple=True)
        along, across = (columns, rows) if name.startswith("x") else (rows, columns)
        assert (along.min(), along.max()) == (40, 47)
        assert (across.min(), across.max()) == (0, 7)


def test_the_last_factor_is_the_fastest():
    space = vd.load("xysquares").factors
    assert space.to_factors(torch.tensor([1, 8, 8**5])).tolist() == [[0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, 0]]


def test_normalisation_constants():
    colour, grey = vd.load("xysquares"), vd.load("xysquares", rgb=False)
    assert colour.mean == pytest.approx((0.015625,) * 3, abs=1e-12)
    assert colour.std == pytest.approx((0.12403473458920855,) * 3, abs=1e-12)
    assert grey.mean == pytest.approx((0.046146392822265625,), abs=1e-12)
    assert grey.std == pytest.approx((0.2096506119375896,), abs=1e-12)


@pytest.mark.parametrize(
    "options", [{"num_squares": 2, "rgb": False, "grid_spacing": 1}, {"num_squares": 1}, {"num_squares": 2, "grid_size": 3}]
)
def test_constants_equal_those_of_all_images(options):
    data = vd.load("xysquares", image_size=16, square_size=4, **{"grid_size": 4, **options})
    x = data.observations(torch.arange(len(data)), standardise=False).double()
    std = x.flatten(2).std(-1).mean(0)
    assert data.mean == pytest.approx(x.mean((0, 2, 3)).tolist(), abs=1e-12)
    assert data.std == pytest.approx([s or 1.0 for s in std.tolist()], abs=1e-12)


def test_grey_squares_form_a_union():
    data = vd.load("xysquares", rgb=False)
    assert set(data.images(torch.tensor([0])).unique().tolist()) == {0, 255}
    assert int((data.images(torch.tensor([0])) > 0).sum()) == 64


@pytest.mark.parametrize("options", [{}, {"grid_spacing": 3}, {"rgb": False}, {"num_squares": 2}])
@pytest.mark.parametrize("channels_last", [False, True])
def test_observations_are_the_standardised_images(options, channels_last):
    data = vd.load("xysquares", **options)
    index = data.factors.sample_index(50, generator=torch.Generator().manual_seed(0))
    x = data.observations(index, channels_last=channels_last)
    expected = data.standardise(data.images(index).permute(0, 3, 1, 2).double() / 255)
    torch.testing.assert_close(x.double(), expected, rtol=0, atol=1e-5)
    if channels_last:
        assert x.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"grid_spacing": 0}, "grid_spacing must be"),
        ({"num_squares": 4}, "1, 2 or 3"),
        ({"square_size": 65}, "at most image_size"),
        ({"spacing": 1}, "Unknown option 'spacing'.*grid_spacing"),
    ],
)
def test_bad_options_are_one_sentence(options, says):
    with pytest.raises(ValueError, match=says):
        vd.load("xysquares", **options)


def test_unknown_data_sets_and_indices_are_named():
    with pytest.raises(ValueError, match=r"Unknown data set 'dsprite'.*xysquares"):
        vd.load("dsprite")
    with pytest.raises(ValueError, match="index 262144 is out of range"):
        vd.load("xysquares").images(torch.tensor([8**6]))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_that_is_absent_is_named():
    with pytest.raises(RuntimeError, match="CUDA devices"):
        vd.load("xysquares", device="cuda")


# ---- distances ----


@pytest.mark.parametrize("spacing", LAYOUT)
def test_distances_along_a_factor(spacing):
    step = np.abs(np.arange(8)[:, None] - np.arange(8))
    expected = 2 * 8 * np.minimum(8, spacing * step) / 12288
    for matrix in vd.distances.traversal_matrices(vd.load("xysquares", grid_spacing=spacing)).values():
        np.testing.assert_allclose(matrix, expected, rtol=0, atol=1e-12)


RANDOM = {8: (0.030762, 0.002238), 5: (0.029911, 0.002702), 2: (0.025688, 0.004462), 1: (0.017143, 0.004196)}


@pytest.mark.parametrize("spacing", RANDOM)
def test_random_pairs_have_the_mean_and_sd_of_the_closed_form(spacing):
    found = vd.distances.pair_distances(vd.load("xysquares", grid_spacing=spacing), n=4_000, seed=0)
    mean, sd = RANDOM[spacing]
    assert found.mean() == pytest.approx(mean, abs=4 * sd / np.sqrt(4_000))
    assert found.std() == pytest.approx(sd, rel=0.15)


CORRELATIONS = {
    1: (1, 1),
    2: (0.94, 0.99),
    3: (0.86, 0.95),
    4: (0.75, 0.85),
    5: (0.72, 0.85),
    6: (0.67, 0.85),
    7: (0.60, 0.85),
    8: (0.52, 0.58),
}


@pytest.mark.parametrize("spacing", CORRELATIONS)
def test_correlations_with_self_pairs_are_those_that_the_authors_logged(spacing):
    matrix = vd.distances.traversal_matrices(vd.load("xysquares", grid_spacing=spacing), factors=["x_R"])["x_R"]
    found = vd.distances.agreement(matrix, self_pairs=True)
    assert (found.linear, found.rank) == pytest.approx(CORRELATIONS[spacing], abs=0.0051)


def test_constant_distances_have_no_correlation_and_are_adversarial():
    found = vd.distances.agreement(vd.distances.traversal_matrices(vd.load("xysquares"), factors=["y_B"])["y_B"])
    assert found.adversarial
    assert found.linear is found.rank is None
    assert found.mean == pytest.approx(128 / 12288, abs=1e-12)


def test_box_blur_distances():
    matrix = vd.distances.traversal_matrices(vd.load("xysquares"), "box-blur", factors=["x_R"])["x_R"]
    assert matrix[0, 1:] == pytest.approx([0.0313, 0.0623, 0.0933, 0.1282, 0.1593, 0.1903, 0.2213], abs=5.1e-5)


@pytest.mark.parametrize("loss", ["mse", "mae", "bce", "box-blur"])
def test_exact_matrices_equal_brute_force(loss):
    data = vd.load("xysquares", image_size=12, square_size=3, grid_spacing=2, grid_size=3, num_squares=2)
    space = data.factors
    for name in space.names:
        bases = space.traversal_bases(name)
        assert len(bases) == space.size // 3
        index = space.traversal(name, bases)
        expected = [[float(vd.distances.perceived(data, index[:, i], index[:, j], loss=loss).mean()) for j in range(3)] for i in range(3)]
        np.testing.assert_allclose(vd.distances.traversal_matrices(data, loss)[name], expected, rtol=1e-10, atol=1e-12)


def test_confusion_is_with_overlapping_posteriors_only():
    mean = torch.tensor([[0.0, 0.0], [0.1, 0.0], [50.0, 0.0]])
    shares = vd.distances.confusion(mean, torch.ones(3, 2), samples=500)
    assert shares.sum(1).tolist() == pytest.approx([1, 1, 1])
    assert shares[2].tolist() == [0, 0, 1]
    assert 0.3 < shares[0, 1] < 0.6
