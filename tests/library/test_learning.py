"""The order of learning must follow from the curves: each is made up here so that its answer is
known.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

import vaedis as vd
from vaedis.data import FactorData
from vaedis.diagnosis.bounds import largest_beta, rate_distortion_beta
from vaedis.factors import FactorSpace
from vaedis_companion.analysis.onsets import (
    Learning,
    count_without_learning,
    where_learning_ends,
)

STEPS = np.array([10, 20, 40])
CURVES = {"fast": [2.0, 5.0, 6.0], "slow": [0.0, 0.5, 1.5], "never": [0.0, 0.1, 0.2]}


def made(curves=CURVES, measure="separation"):
    return Learning.of(
        {
            "learnt_steps": STEPS,
            **{f"{measure}/{n}": np.array(v) for n, v in curves.items()},
            "loss": np.ones(2),
        }
    )


def test_onsets_are_interpolated_between_looks_and_infinite_for_what_is_never_learnt():
    assert made().onsets("separation") == {"fast": 5.0, "slow": 30.0, "never": np.inf}
    assert made().onsets("separation", 0.5) == pytest.approx(
        {"fast": 2.5, "slow": 20.0, "never": np.inf}
    )
    assert made({"lost": [3.0, 0.0, 0.0]}).onsets("separation")["lost"] == pytest.approx(10 / 3)
    # half of the distance, unless another share is asked for
    assert made({"a": [0.4, 0.6, 0.9]}, "reconstructed").onsets() == pytest.approx({"a": 15.0})


@pytest.mark.parametrize(
    ("importance", "expected"),
    [
        ({"fast": 3, "slow": 2, "never": 1}, 1.0),
        ({"fast": 1, "slow": 2, "never": 3}, -1.0),
        ({"fast": 2, "slow": 3, "never": 1}, 0.5),
        ({"fast": 1, "slow": 1, "never": 1}, None),
    ],
)
def test_order_is_the_rank_correlation_of_importance_with_earliness(importance, expected):
    assert made().order(importance, "separation") == (
        None if expected is None else pytest.approx(expected)
    )


def test_factors_never_learnt_tie_for_the_last_place_whatever_the_steps():
    curves = {"a": [0.0, 0.0, 1.0], "b": [0.0, 0.0, 0.0], "c": [0.0, 0.9, 0.9]}
    # ranks 3, 2, 1 against 3, 1.5, 1.5
    assert made(curves).order({"a": 3, "b": 2, "c": 1}, "separation") == pytest.approx(
        np.sqrt(3) / 2
    )
    nothing = {"a": [0.0, 0.0, 0.0], "b": [0.0, 0.0, 0.0]}
    assert made(nothing).order({"a": 2, "b": 1}, "separation") is None


@pytest.mark.parametrize(
    ("a", "b", "expected"), [(0.0, 0.0, None), (9.0, 0.0, -1.0), (1.0, 2.0, 1.0)]
)
def test_the_final_order_needs_no_threshold(a, b, expected):
    learning = made({"a": [5.0, 5.0, a], "b": [0.0, 9.0, b]}, "reconstructed")
    assert learning.final_order({"a": 1, "b": 2}) == (
        None if expected is None else pytest.approx(expected)
    )


def test_runs_that_recorded_nothing_have_no_learning_and_what_does_not_fit_is_refused():
    assert Learning.of({"loss": np.ones(3)}) is None
    with pytest.raises(
        ValueError,
        match=r"importance names the factors \['a'\], but the run has \['fast', 'never', 'slow'\]",
    ):
        made().order({"a": 1.0}, "separation")
    with pytest.raises(ValueError, match="at must be above 0, not 0"):
        made().onsets("separation", 0)
    with pytest.raises(
        ValueError, match="Unknown measure 'kl'; choose one of: separation, reconstructed"
    ):
        made().onsets("kl")


@pytest.mark.parametrize(
    ("steps", "curve", "says"),
    [
        ([10, 20, 40], [0.0, np.nan, 2.0], "one number for each of 3 steps, without NaN"),
        ([10, 20, 40], [0.0, 2.0], "separation of 'a' must be one number for each of 3 steps"),
        ([40, 10, 20], [0.0, 0.5, 2.0], "steps must be increasing numbers"),
        ([10, 10, 20], [0.0, 0.5, 2.0], "steps must be increasing numbers"),
    ],
)
def test_curves_that_give_no_onsets_are_refused(steps, curve, says):
    with pytest.raises(ValueError, match=says):
        Learning(np.array(steps), {"a": np.array(curve)}, {})


def test_runs_that_learnt_nothing_are_counted_in_words():
    # one whose KL was not stored shows nothing
    runs = [{"final_kl": 0.0}, {"final_kl": 0.5}, {"final_kl": None}]
    assert count_without_learning(runs) == "1 of 2 runs learnt nothing"


def test_learning_ends_for_each_seed_between_the_last_beta_that_learns_and_the_next():
    kl = {
        0: {0.1: 2.0, 0.3: 0.011, 1.0: 0.009},
        1: {0.1: 0.0, 0.3: 0.0},
        2: {0.3: 1.0, 0.1: 1.0},
        3: {0.1: 1.0},
        4: {0.1: None, 0.3: 1.0},
    }
    rows = [
        {"seed": seed, "beta": beta, "final_kl": value}
        for seed, tried in reversed(kl.items())
        for beta, value in tried.items()
    ]
    assert where_learning_ends(rows) == [(0.3, 1.0), (0.0, 0.1), (0.3, np.inf)]
    assert where_learning_ends([]) == []
    assert where_learning_ends(rows + rows) == where_learning_ends(rows)
    with pytest.raises(ValueError, match=r"seed 0 and the beta 0\.3, and only one learned"):
        where_learning_ends([*rows, {"seed": 0, "beta": 0.3, "final_kl": 0.0}])


# The largest beta

SMALL = {"image_size": 16, "square_size": 4, "grid_size": 4}


@pytest.mark.parametrize("squares", [1, 2])
def test_equidistant_observations_share_their_variance_equally(squares):
    # n points, each at the squared distance d from every other, have the variance d / 2n in every
    # direction that they span
    data = vd.load("xysquares", num_squares=squares, **SMALL)
    d = vd.distances.perceived(data, [0], [1], loss="mse", normalize=True).item()
    assert largest_beta(data, 9) == pytest.approx(2 * 9 * d / (2 * 16), rel=1e-5)
    assert largest_beta(data, 25) == pytest.approx(2 * 25 * d / (2 * 16), rel=1e-5)
    # few coordinates of many observations, in place of many pixels of few
    assert largest_beta(vd.load("coordinates", num_squares=squares, **SMALL), 9) == pytest.approx(
        largest_beta(data, 9), rel=1e-5
    )


def test_the_largest_beta_follows_from_perceived_distances_alone():
    data = vd.load(
        "xysquares", num_squares=1, grid_spacing=1, image_size=16, square_size=4, grid_size=8
    )
    for loss in ("mse", "box-blur"):
        n = len(data)
        i, j = np.divmod(np.arange(n * n), n)
        distances = (
            vd.distances.perceived(data, i, j, loss=loss, normalize=True)
            .double()
            .numpy()
            .reshape(n, n)
        )
        centre = np.eye(n) - 1 / n
        expected = 2 * 9 * np.linalg.eigvalsh(-0.5 * centre @ distances @ centre / n)[-1]
        assert largest_beta(data, 9, loss=loss) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("loss", ["mse", "box-blur"])
def test_a_group_of_factors_at_a_time_gives_the_bound_of_all_images(loss):
    data = vd.load("xysquares", num_squares=2, **{**SMALL, "grid_spacing": 2})
    all_of_it = largest_beta(data, 9, loss=loss, index=torch.arange(len(data)))
    # each square has 16 positions, so these samples leave none out
    assert largest_beta(data, 9, loss=loss, samples=16) == pytest.approx(all_of_it, rel=1e-5)
    assert largest_beta(data, 9, loss=loss, samples=4) != pytest.approx(all_of_it, rel=1e-2)
    # of one colour, squares hide each other: nothing adds up
    grey = vd.load("xysquares", num_squares=2, rgb=False, **{**SMALL, "grid_spacing": 2})
    all_of_it = largest_beta(grey, 9, loss=loss, index=torch.arange(len(grey)))
    assert largest_beta(grey, 9, loss=loss) == pytest.approx(all_of_it, rel=1e-9)


def test_the_bound_and_the_report_on_xysquares_are_exact():
    exact = largest_beta(vd.load("coordinates"), 9)
    assert largest_beta(vd.load("xysquares"), 9) == pytest.approx(exact, rel=1e-5)
    report = vd.diagnose("xysquares", pairs=100, traversals=1, radii=()).losses[0]
    assert report.largest_beta * 9 / report.latents == pytest.approx(exact, rel=1e-5)


def test_linear_networks_learn_up_to_the_largest_beta_and_below_it_what_theory_says():
    options = {"num_squares": 1, **SMALL}
    bound = largest_beta(vd.load("coordinates", **options), 4)
    spec = vd.RunSpec(
        data="coordinates",
        data_options=options,
        framework="beta-vae",
        model="mlp",
        model_options={"hidden": []},
        latents=4,
        lr=0.003,
        batch=64,
        steps=3_000,
    )
    shares = (0.5, 0.7, 2.0)
    kl = [
        run.history["kl"][-100:].mean()
        for run in vd.fit([spec.replace(beta=share * bound) for share in shares], device="cpu")
    ]
    # each of the four latents has a direction of its own, all of one variance
    assert kl[:2] == pytest.approx(-0.5 * np.log(shares[:2]), rel=0.1)
    assert kl[2] < 0.005


@pytest.mark.parametrize("bound", [largest_beta, rate_distortion_beta])
def test_what_is_no_quadratic_form_or_no_number_of_latents_has_no_bound(bound):
    data = vd.load("xysquares", num_squares=1, **SMALL)
    with pytest.raises(ValueError, match=r"a quadratic form, such as .* not 'mae'"):
        bound(data, 9, loss="mae")
    with pytest.raises(ValueError, match="latents must be a whole number of at least 1, not 0"):
        bound(data, 0)
    with pytest.raises(ValueError, match="samples must be a whole number of at least 2, not 1"):
        bound(data, 9, samples=1)


@pytest.mark.parametrize("bound", [largest_beta, rate_distortion_beta])
def test_without_a_grid_a_bound_is_that_of_the_images_there_are(listed, bound):
    data, table = listed
    assert bound(table, 9, normalize=False) == pytest.approx(
        bound(data, 9, normalize=False), rel=1e-5
    )
    # of a sample, which may be of any rows
    assert bound(table, 9, normalize=False, samples=100) == pytest.approx(
        bound(data, 9, normalize=False), rel=0.3
    )


# The beta above which no code pays


class Points(FactorData):
    """Images of few pixels, as rows of an array of bytes."""

    name, origin = "points", "generated"

    def __init__(self, x):
        self.x = torch.as_tensor(x, dtype=torch.uint8)
        self.factors, self.shape = FactorSpace(("i",), (len(x),)), (1, x.shape[1], 1)

    def _images(self, index):
        return self.x[index].view(-1, *self.shape)


@pytest.mark.parametrize("squares", [1, 2])
@pytest.mark.parametrize("source", ["xysquares", "coordinates"])
def test_of_equidistant_observations_the_limit_is_that_of_telling_one_from_the_rest(
    squares, source
):
    # the variance proxy of a number that is 1 with probability p and 0 otherwise, for each of n
    # points of a simplex
    n, p = 16, 1 / 16
    data = vd.load(source, num_squares=squares, **SMALL)
    d = vd.distances.perceived(
        vd.load("xysquares", num_squares=squares, **SMALL), [0], [1], loss="mse", normalize=True
    ).item()
    proxy = (1 - 2 * p) / (2 * np.log((1 - p) / p)) * (d / 2) / (1 - p)
    assert rate_distortion_beta(data, 9) == pytest.approx(2 * 9 * proxy, rel=1e-5)
    assert rate_distortion_beta(data, 9) > 1.5 * largest_beta(data, 9)
    # the best of all codes that name a point with some chance of error: saved loss over nats
    right = np.linspace(1 / n + 1e-6, 1 - 1e-9, 100_001)
    wrong = (1 - right) / (n - 1)
    nats = np.log(n) + right * np.log(right) + (1 - right) * np.log(wrong)
    saved = (d / 2) * (right**2 + (n - 1) * wrong**2 - 1 / n)
    assert 9 * (saved / nats).max() == pytest.approx(2 * 9 * proxy, rel=1e-5)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_no_random_code_gains_anything_at_the_limit(seed):
    draw = np.random.default_rng(seed)
    data = Points(draw.integers(0, 256, (draw.integers(3, 12), 4)))
    limit = rate_distortion_beta(data, 1, normalize=False)
    assert limit >= largest_beta(data, 1, normalize=False) * (1 - 1e-9)
    x = data.x.numpy() / 255
    for size in (2, 5):
        code = draw.dirichlet(np.full(size, draw.choice([0.1, 1.0])), len(x)).clip(1e-12)
        joint = code / len(x) / code.sum(1, keepdims=True)
        share = joint.sum(0)
        means = joint.T @ x / share[:, None]
        saved = np.sum(share * ((means - x.mean(0)) ** 2).mean(1))
        nats = np.sum(joint * np.log(joint / share / joint.sum(1, keepdims=True)))
        assert saved <= limit * nats * (1 + 1e-6) + 1e-12


def test_the_limit_of_points_on_a_line_in_equal_steps_is_their_variance():
    # uniform numbers are strictly sub-Gaussian: no code pays that a first step would not
    data = Points(np.arange(0, 240, 16)[:, None])
    assert rate_distortion_beta(data, 3, normalize=False) == pytest.approx(
        largest_beta(data, 3, normalize=False), rel=1e-6
    )


def test_images_that_are_all_alike_have_no_code_that_pays():
    data = Points(np.full((4, 2), 7))
    assert (
        rate_distortion_beta(data, 9, normalize=False)
        == largest_beta(data, 9, normalize=False)
        == 0
    )


def test_a_sample_makes_the_limit_too_high_and_is_fixed_by_its_seed():
    data = vd.load("xysquares", num_squares=1, **SMALL)
    exact = rate_distortion_beta(data, 9)
    drawn = rate_distortion_beta(data, 9, samples=8, seed=1)
    assert drawn > exact
    assert drawn == rate_distortion_beta(data, 9, samples=8, seed=1)
