"""Distances over whole data sets against definitions written out here, closed forms, and what the
authors logged.
"""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

import vaedis as vd
from vaedis import distances, losses
from vaedis.data import XYSquares
from vaedis.training import inspect

# mean over different positions, mean and sd of random pairs, for each spacing
ALONG_AND_RANDOM = {
    8: (0.010417, 0.030762, 0.002238),
    7: (0.010091, 0.030525, 0.002279),
    6: (0.009766, 0.030241, 0.002433),
    5: (0.009440, 0.029911, 0.002702),
    4: (0.009115, 0.029533, 0.003087),
    3: (0.008231, 0.028274, 0.003621),
    2: (0.006882, 0.025688, 0.004462),
    1: (0.003906, 0.017143, 0.004196),
}
C8 = 128 / 12288


def all_pairs_of_one_square(spacing: int) -> np.ndarray:
    """The distance of every ordered pair of places of one square, as a share of an image with three
    channels.
    """
    data = XYSquares(grid_spacing=spacing, num_squares=1)
    a, b = torch.tensor(list(itertools.product(range(64), repeat=2))).T
    return distances.perceived(data, a, b).numpy()


@pytest.mark.parametrize("spacing", ALONG_AND_RANDOM)
def test_means_and_sds_are_the_closed_forms_at_every_spacing(spacing):
    along, mean, sd = ALONG_AND_RANDOM[spacing]
    matrix = distances.traversal_matrices(XYSquares(grid_spacing=spacing), factors=["y_G"])["y_G"]
    assert distances.agreement(matrix).mean == pytest.approx(along, abs=6e-7)
    # three squares are independent, so one square's distances give the mean and variance of random
    # pairs exactly
    one = all_pairs_of_one_square(spacing)
    assert 3 * one.mean() == pytest.approx(mean, abs=6e-7)
    assert np.sqrt(3) * one.std() == pytest.approx(sd, abs=6e-7)


@pytest.mark.parametrize("spacing", [8, 1])
def test_a_sample_of_random_pairs_has_their_mean_and_sd(spacing):
    _, mean, sd = ALONG_AND_RANDOM[spacing]
    found = distances.pair_distances(XYSquares(grid_spacing=spacing), n=3_000, seed=4)
    assert found.mean() == pytest.approx(mean, abs=4 * sd / np.sqrt(3_000))
    assert found.std() == pytest.approx(sd, rel=0.2)


@pytest.mark.parametrize("spacing", ALONG_AND_RANDOM)
def test_squares_differ_in_the_pixels_that_they_do_not_share(spacing):
    step = np.abs(np.arange(8)[:, None] - np.arange(8))
    expected = 2 * 8 * np.minimum(8, spacing * step) / 12288
    found = distances.traversal_matrices(XYSquares(grid_spacing=spacing))
    assert list(found) == ["x_R", "y_R", "x_G", "y_G", "x_B", "y_B"]
    for matrix in found.values():
        np.testing.assert_allclose(matrix, expected, rtol=0, atol=1e-12)


# spacing: (linear, rank) as the authors logged them, self-pairs included
CORRELATIONS = {
    1: (1.00, 1.00),
    2: (0.94, 0.99),
    3: (0.86, 0.95),
    4: (0.75, 0.85),
    5: (0.72, 0.85),
    6: (0.67, 0.85),
    7: (0.60, 0.85),
    8: (0.52, 0.58),
}


@pytest.mark.parametrize("spacing", CORRELATIONS)
def test_correlations_along_a_factor_are_those_that_the_authors_logged(spacing):
    matrix = distances.traversal_matrices(XYSquares(grid_spacing=spacing), factors=["x_R"])["x_R"]
    found = distances.agreement(matrix, self_pairs=True)
    assert (found.linear, found.rank) == pytest.approx(CORRELATIONS[spacing], abs=0.0051)


def test_box_blur_distances_grow_along_a_factor_as_published():
    matrix = distances.traversal_matrices(XYSquares(), "box-blur", factors=["x_R"])["x_R"]
    assert matrix[0] == pytest.approx(
        [0, 0.0313, 0.0623, 0.0933, 0.1282, 0.1593, 0.1903, 0.2213], abs=5.1e-5
    )


def test_standardising_divides_squared_distances_by_the_variance():
    data = XYSquares()
    found = distances.traversal_matrices(data, factors=["x_B"], normalize=True)["x_B"]
    assert data.std[0] ** 2 == pytest.approx(0.0153846, abs=5e-8)
    assert found[0, 1:] == pytest.approx([0.67708] * 7, abs=5e-6)
    assert distances.perceived(
        data, torch.tensor([0]), torch.tensor([1]), normalize=True
    ).item() == pytest.approx(found[0, 1], rel=1e-12)


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_ground_truth_takes_lists_and_arrays_as_well(kind):
    assert distances.ground_truth(kind([[3, 1], [0, 2]]), kind([[1, 4], [0, 2]])).tolist() == [5, 0]
    # bytes are no modular numbers
    assert distances.ground_truth(
        np.array([[1]], np.uint8), np.array([[3]], np.uint8)
    ).tolist() == [2]


def test_numbers_of_pairs_may_be_small_integers_of_numpy(small):
    assert len(distances.pair_distances(small, "x_R", n=np.uint8(250))) == 250
    assert distances.published_traversals(np.uint8(183)) == 41


def definition(loss, a: np.ndarray, b: np.ndarray) -> float:
    """The loss of image a as a reconstruction of image b, both (H, W, C) in [0, 1], from its
    definition.
    """
    if loss.name == "mse":
        return ((a - b) ** 2).mean()
    if loss.name == "mae":
        return np.abs(a - b).mean()
    if loss.name == "bce":
        log = lambda p: np.maximum(np.log(np.maximum(p, 1e-300)), -100)  # noqa: E731
        return -(b * log(a) + (1 - b) * log(1 - a)).mean()
    r, (height, width, _) = loss.radius, a.shape
    padded = np.pad(a - b, ((r, r), (r, r), (0, 0)))
    blurred = np.stack(
        [
            [padded[i : i + 2 * r + 1, j : j + 2 * r + 1].mean((0, 1)) for j in range(width)]
            for i in range(height)
        ],
    )
    return loss.pixel_weight * ((a - b) ** 2).mean() + loss.weight * (blurred**2).mean()


@pytest.mark.parametrize("rgb", [True, False])
@pytest.mark.parametrize(
    "loss",
    [
        losses.MSE(),
        losses.MAE(),
        losses.BCE(),
        losses.BoxBlur(radius=2),
        losses.BoxBlur(1, weight=0.5, pixel_weight=3.0),
    ],
)
def test_exact_matrices_are_means_over_every_traversal(loss, rgb):
    data = XYSquares(
        image_size=7, square_size=3, grid_spacing=2, grid_size=3, num_squares=2, rgb=rgb
    )
    images = data.images(torch.arange(81)).numpy() / 255
    found = distances.traversal_matrices(data, loss)
    assert list(found) == ["x_R", "y_R", "x_G", "y_G"]
    for f, name in enumerate(("x_R", "y_R", "x_G")):
        # one traversal for each combination of the other factors
        others = itertools.product(*(range(1 if g == f else 3) for g in range(4)))
        total = np.zeros((3, 3))
        for factors in others:
            index = [
                np.ravel_multi_index((*factors[:f], v, *factors[f + 1 :]), (3,) * 4)
                for v in range(3)
            ]
            total += [[definition(loss, images[i], images[j]) for j in index] for i in index]
        np.testing.assert_allclose(found[name], total / 27, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("loss", ["mse", "box-blur", "mae", "bce"])
def test_leaving_out_other_channels_changes_no_average(small, loss):
    short = distances.traversal_matrices(small, loss)
    small.channel_factors = None
    full = distances.traversal_matrices(small, loss)
    for name in short:
        np.testing.assert_allclose(short[name], full[name], rtol=1e-10, atol=1e-12)


# random pairs with 1/32 of them pairs of an observation with itself, as the authors' batches had:
# (rank, linear) without and with
LOGGED = {"mse": ((0.23, 0.24), (0.365, 0.555)), "box-blur": ((0.93, 0.93), (0.935, 0.945))}


@pytest.mark.parametrize("loss", LOGGED)
def test_correlations_over_random_pairs_are_those_that_the_authors_logged(loss):
    data, n = XYSquares(), 4_000 if loss == "mse" else 1_500
    without, with_self = LOGGED[loss]
    found = distances.pair_agreement(data, None, loss, n=n, seed=5)
    # half a unit of the last digit that was logged, and 4 standard errors: .015 each for .23 and
    # 4,000 pairs, .0035 for .93 and 1,500
    most = 0.065 if loss == "mse" else 0.019
    assert (found.rank, found.linear) == pytest.approx(without, abs=most)
    a = data.factors.sample_index(n, generator=torch.Generator().manual_seed(6))
    b = data.factors.sample_index(n, generator=torch.Generator().manual_seed(7))
    b[: n // 32] = a[: n // 32]
    truth = distances.ground_truth(data.factors.to_factors(a), data.factors.to_factors(b)).numpy()
    seen = distances.perceived(data, a, b, loss=loss).numpy().round(9)
    assert stats.spearmanr(truth, seen)[0] == pytest.approx(with_self[0], abs=most)
    assert stats.pearsonr(truth, seen)[0] == pytest.approx(with_self[1], abs=most)


def test_box_blur_orders_a_factor_that_pixels_do_not():
    data = XYSquares()
    with_self = distances.pair_agreement(data, "x_R", "box-blur", n=2_000, self_pairs=True)
    assert (with_self.rank, with_self.linear) == pytest.approx((0.97, 0.96), abs=0.01)
    without = distances.pair_agreement(data, "x_R", "box-blur", n=2_000)
    assert (without.rank, without.linear) == pytest.approx((0.959, 0.941), abs=0.01)
    assert not without.adversarial
    pixels = distances.pair_agreement(data, "x_R", "mse", n=500)
    assert pixels.adversarial
    assert pixels.rank is pixels.linear is None
    pixels = distances.pair_agreement(data, "x_R", "mse", n=4_000, self_pairs=True)
    assert (pixels.rank, pixels.linear) == pytest.approx((0.58, 0.52), abs=0.03)


def test_ranks_share_ties_as_in_scipy():
    x = np.random.default_rng(0).integers(0, 5, 50).astype(float)
    matrix = x[:36].reshape(6, 6)
    truth = np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
    off = ~np.eye(6, dtype=bool)
    found = distances.agreement(matrix)
    assert found.rank == pytest.approx(stats.spearmanr(truth[off], matrix[off])[0], abs=1e-12)
    assert found.linear == pytest.approx(stats.pearsonr(truth[off], matrix[off])[0], abs=1e-12)
    found = distances.agreement(matrix, self_pairs=True)
    assert found.rank == pytest.approx(stats.spearmanr(truth.ravel(), matrix.ravel())[0], abs=1e-12)


def test_a_matrix_of_zeros_is_adversarial():
    assert distances.agreement(np.zeros((3, 3))) == distances.Agreement(None, None, True, 0.0)


def test_pairs_of_a_factor_are_of_different_observations():
    assert distances.pair_distances(XYSquares(), "x_G", n=300) == pytest.approx(C8, abs=1e-12)


def test_perceived_distances_come_in_the_order_of_the_pairs(small):
    a, b = torch.tensor([0, 5, 80]), torch.tensor([0, 7, 1])
    together = distances.perceived(small, a, b, loss="mae")
    assert together.dtype == torch.float64
    assert together[0] == 0
    for k in range(3):
        assert distances.perceived(small, a[k : k + 1], b[k : k + 1], loss="mae")[0] == together[k]
    assert len(distances.perceived(small, a[:0], b[:0])) == 0


@pytest.fixture(scope="module")
def run():
    spec = vd.RunSpec(
        data_options={"image_size": 8, "square_size": 2, "grid_size": 3, "num_squares": 1},
        model="mlp",
        latents=3,
        steps=5,
        batch=9,
    )
    return vd.fit(spec, device="cpu")


def test_levels_are_the_distances_of_inputs_means_posteriors_and_reconstructions(run):
    found = inspect.level_matrices(run, "y_R", traversals=4)
    assert list(found) == ["factors", "x", "z", "kl", "reconstruction"]
    space = run.data.factors
    bases = space.sample_index(4, generator=torch.Generator().manual_seed(7777))
    expected = {level: np.zeros((3, 3)) for level in found if level != "factors"}
    for base in bases:
        index = space.traversal("y_R", base)
        x, (mean, logvar) = run.data.observations(index).double(), run.posterior(index)
        decoded = run.decode(mean).double()
        q = [
            torch.distributions.Normal(m.double(), (0.5 * v.double()).exp())
            for m, v in zip(mean, logvar, strict=True)
        ]
        kl = torch.distributions.kl_divergence
        for i, j in itertools.product(range(3), repeat=2):
            expected["x"][i, j] += (x[i] - x[j]).square().mean() / 4
            expected["z"][i, j] += (mean[i] - mean[j]).double().norm() / 4
            expected["kl"][i, j] += 0.5 * (kl(q[i], q[j]) + kl(q[j], q[i])).mean() / 4
            expected["reconstruction"][i, j] += (decoded[i] - decoded[j]).square().mean() / 4
    assert found["factors"].tolist() == [[0, 1, 2], [1, 0, 1], [2, 1, 0]]
    for level, matrix in expected.items():
        np.testing.assert_allclose(found[level], matrix, rtol=1e-5, atol=1e-9)


def test_posteriors_are_confused_as_far_as_they_overlap():
    mean = torch.tensor([[0.0, 0.0], [0.1, 0.0], [50.0, 0.0]])
    shares = inspect.confusion(mean, torch.ones(3, 2), samples=4_000)
    assert shares.sum(1).tolist() == pytest.approx([1, 1, 1])
    assert shares[2].tolist() == [0, 0, 1]
    # two Gaussians .1 apart: a sample is beyond the middle with probability Φ(-.05); standard error
    # .008
    assert shares[0, 1].item() == pytest.approx(stats.norm.cdf(-0.05), abs=0.032)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda d: distances.traversal_matrices(d, "bce", normalize=True),
            r"'bce' compares images in \[0, 1\]; use normalize=False",
        ),
        (
            lambda d: distances.traversal_matrices(d, "l2"),
            "Unknown loss 'l2'; choose one of: mse, bce, mae, box-blur",
        ),
        (
            lambda d: distances.traversal_matrices(d, factors=["z"]),
            "Unknown factor 'z'; choose one of: x_R, y_R, x_G, y_G",
        ),
        (
            lambda d: distances.traversal_matrices(d, traversals=0),
            "traversals must be a whole number of at least 1, not 0",
        ),
        (
            lambda d: distances.factor_distances(d, traversals=2, sampling="sobol"),
            "Unknown sampling 'sobol'; choose one of: spread, independent",
        ),
        (
            lambda d: distances.perceived(d, torch.tensor([0]), torch.tensor([0, 1])),
            "two lists of indices of the same length",
        ),
        (
            lambda d: distances.perceived(d, torch.tensor([0]), torch.tensor([81])),
            "index 81 is out of range",
        ),
        (
            lambda d: distances.pair_distances(d, n=0),
            "n must be a whole number of at least 1, not 0",
        ),
        (lambda d: distances.pair_distances(d, "z"), "Unknown factor 'z'"),
        (
            lambda d: distances.pair_agreement(XYSquares(grid_size=1)),
            "no factor of 'xysquares' has more than one value",
        ),
        (
            lambda d: distances.pair_agreement(XYSquares(num_squares=1, grid_size=2), n=2, seed=13),
            "none of 2 random pairs was of two diff",
        ),
        (
            lambda d: distances.pair_agreement(
                (np.arange(30, dtype=np.uint8).reshape(30, 1, 1), np.arange(30) // 29), n=2
            ),
            "none of 2 random pairs differs in a factor; give a larger n",
        ),
        (
            lambda d: distances.factor_distances(d, factors=0),
            "factors must be a list of names, not 0",
        ),
        (
            lambda d: distances.rank_losses(d, "mse", factors=0),
            "factors must be a list of names, not 0",
        ),
        (
            lambda d: vd.diagnosis.largest_beta(d, 2, index=[]),
            "index is empty; give at least one image",
        ),
        (
            lambda d: vd.data.Coordinates((np.ones((4, 2, 2), np.float32), range(4))),
            "no two images differ under the loss 'mse', so those of 'table' have no coordinates",
        ),
        (
            lambda d: distances.ground_truth([float("inf")], [1.0]),
            "factor values must be whole numbers",
        ),
        (
            lambda d: distances.pair_agreement(d, n=1),
            "n must be a whole number of at least 2, not 1",
        ),
        (
            lambda d: distances.agreement(np.zeros((2, 3))),
            r"matrix must be square with at least 2 rows, not of shape \(2, 3\)",
        ),
        (lambda d: distances.ground_truth_matrix(0), "size must be a whole number of at least 1"),
    ],
)
def test_bad_input_is_one_clear_sentence(small, call, says):
    with pytest.raises(ValueError, match=says):
        call(small)


def test_losses_of_one_name_are_told_apart_in_a_ranking(small):
    squares = lambda a, b: (a - b).square().mean((1, 2, 3))  # noqa: E731
    edges = lambda a, b: squares(a.diff(dim=-1), b.diff(dim=-1))  # noqa: E731
    ranked = distances.rank_losses(small, [squares, edges, "mse"])
    assert {one.name: one.loss.name for one in ranked} == {
        "<lambda>": "<lambda>",
        "<lambda> (2)": "<lambda>",
        "mse": "mse",
    }
    named = distances.rank_losses(small, {"squares": squares, "edges": edges})
    assert {one.name for one in named} == {"squares", "edges"}
