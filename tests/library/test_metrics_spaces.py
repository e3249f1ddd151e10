"""Scores of an encoder and a FactorSpace, and `evaluate`."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from metric_codes import summary

from vaedis import FactorSpace, metrics
from vaedis.metrics import _evaluate

SPACE = FactorSpace(("x", "y", "c"), (8, 5, 6))
TURN = np.array([[2, -1, 2], [2, 2, -1], [-1, 2, 2]]) / 3
OF_SPACES = (
    metrics.factor_vae,
    metrics.flatness,
    metrics.factored_components,
    metrics.rank_correlations,
    metrics.beta_vae,
)
FEW = {
    metrics.beta_vae: {"n_train": 400, "n_eval": 100},
    metrics.factor_vae: {"n_train": 200, "n_eval": 100, "n_variance": 200},
    metrics.flatness: {"repeats": 12},
    metrics.factored_components: {"repeats": 12},
    metrics.rank_correlations: {"repeats": 12},
}


def encoder(matrix=None, space=SPACE):
    matrix = np.eye(len(space)) if matrix is None else matrix
    return lambda index: space.to_factors(index).numpy() @ matrix


@pytest.mark.parametrize("score", OF_SPACES)
def test_identity_is_perfect(score):
    assert float(score(encoder(), SPACE, **FEW[score])) == pytest.approx(1, abs=1e-6)
    # Each latent may be stretched and turned round.
    assert float(score(encoder(np.diag([3.0, -0.5, 10.0])), SPACE, **FEW[score])) == pytest.approx(
        1, abs=1e-6
    )


def test_rotation_keeps_lines_and_loses_axes():
    turned = encoder(TURN)
    assert float(metrics.factor_vae(turned, SPACE, **FEW[metrics.factor_vae])) < 0.95
    components = metrics.factored_components(turned, SPACE, repeats=12)
    assert components.linear_ratio == pytest.approx(1)
    # Each factor puts 4/9, 4/9 and 1/9 of its variance into the three latents.
    assert components.axis_ratio == pytest.approx((4 / 9 - 1 / 3) / (2 / 3))
    assert components.axis_alignment == pytest.approx(components.axis_ratio)
    flat = metrics.flatness(turned, SPACE, repeats=12)
    # A straight line of direction (2, 2, 1) / 3 has an L1 length of 5/3.
    assert (flat.score, flat.flatness_l2, flat.flatness_l1) == pytest.approx((3 / 5, 1, 1))


def test_flatness_of_a_circle_ignores_the_closing_step():
    space = FactorSpace(("angle", "other"), (12, 3))

    def circle(index):
        factors = space.to_factors(index).numpy()
        angle = 2 * np.pi * factors[:, 0] / 12
        return np.stack([np.cos(angle), np.sin(angle), factors[:, 1]], axis=1)

    result = metrics.flatness(circle, space, repeats=5)
    assert result.per_factor[1] == pytest.approx(1)
    assert result.flatness_l2 == pytest.approx((2 / (11 * 2 * math.sin(math.pi / 12)) + 1) / 2)


@pytest.mark.parametrize("score", OF_SPACES)
def test_collapsed_codes_have_no_nan(score):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = score(lambda index: np.ones((len(index), 4), np.float32) / 3, SPACE, **FEW[score])
    if score is metrics.rank_correlations:
        assert math.isnan(result.score)  # no correlation is defined
        assert 0 < result.overall["rsame_ground_latent_l2"] < 1
    elif score is metrics.beta_vae:
        assert float(result) == pytest.approx(1 / 3, abs=0.15)  # chance
    else:
        assert float(result) == 0


def test_factor_vae_gives_collapsed_latents_no_vote():
    def half_dead(index):
        return np.concatenate(
            [SPACE.to_factors(index).numpy(), np.full((len(index), 3), 1 / 3)], axis=1
        ).astype(np.float32)

    result = metrics.factor_vae(half_dead, SPACE, **FEW[metrics.factor_vae])
    assert result.active == (0, 1, 2)
    assert result.votes[:, 3:].sum() == 0
    assert float(result) == 1


@pytest.mark.parametrize("score", OF_SPACES)
def test_same_seed_same_bits(score):
    def noisy(index):
        return np.sin(SPACE.to_factors(index).numpy() @ TURN * 3)

    first, second = (
        score(noisy, SPACE, **FEW[score], seed=1),
        score(noisy, SPACE, **FEW[score], seed=1),
    )
    assert summary(first) == summary(second)
    assert 0 <= float(first) <= 1


@pytest.mark.parametrize("score", OF_SPACES)
def test_a_factor_with_one_value_is_left_out_and_said_so(score):
    space = FactorSpace(("x", "one", "y"), (4, 1, 5))
    with pytest.warns(UserWarning, match=r"\[1\] have one single value"):
        result = score(encoder(space=space), space, **FEW[score])
    assert (result.columns, result.constant) == ((0, 2), (1,))
    assert float(result) == pytest.approx(1)
    with pytest.raises(
        ValueError,
        match=r"0 factors of the space have more than one value, but this score needs at least [12]\.",
    ):
        score(encoder(), FactorSpace(("x", "y"), (1, 1)), **FEW[score])


@pytest.mark.parametrize("score", OF_SPACES)
def test_bad_input(score):
    with pytest.raises(ValueError, match=r"codes\[0, 0\] is nan"):
        score(lambda index: np.full((len(index), 2), np.nan), SPACE, **FEW[score])
    for name in FEW[score]:
        with pytest.raises(ValueError, match=f"{name} must be a whole number of at least"):
            score(encoder(), SPACE, **{**FEW[score], name: 0})
    with pytest.raises(ValueError, match="seed must be"):
        score(encoder(), SPACE, **FEW[score], seed=-1)


@pytest.mark.parametrize("score", OF_SPACES)
def test_codes_that_are_not_one_row_for_each_observation_are_refused(score):
    with pytest.raises(
        ValueError,
        match=r"encode returned codes of shape \(3, \d+\) for \d+ observations: return one row for each",
    ):
        score(lambda index: encoder()(index).T, SPACE, **FEW[score])


@pytest.mark.parametrize(
    "score", [metrics.factor_vae, metrics.flatness, metrics.factored_components]
)
@pytest.mark.parametrize("unit", [2.0**-140, 2.0**-24, 2.0**100])
def test_the_unit_of_all_latents_does_not_matter_nor_that_of_each_to_factor_vae(score, unit):
    units = np.diag([unit, 1, 4] if score is metrics.factor_vae else [unit] * 3)

    def single(index):
        return (SPACE.to_factors(index).numpy() @ TURN @ units).astype(np.float32)

    # The smallest of the units leaves float32 some ten bits.
    tolerance = 0.01 if unit < 2.0**-126 else 1e-5
    straight = float(score(encoder(TURN), SPACE, **FEW[score]))
    assert float(score(single, SPACE, **FEW[score])) == pytest.approx(straight, abs=tolerance)


def test_a_constant_distance_has_no_correlation():
    """Codes that see the first factor only are constant along the second."""

    def first_only(index):
        return SPACE.to_factors(index).numpy() * [1, 0, 0]

    result = metrics.rank_correlations(first_only, SPACE, repeats=8)
    assert result.per_factor["rcorr_ground_latent_l2"][0] == pytest.approx(1)
    assert np.isnan(result.per_factor["rcorr_ground_latent_l2"][1:]).all()
    assert result.score == pytest.approx(1)


@settings(max_examples=5, deadline=None, derandomize=True)
@given(st.permutations(range(3)), st.integers(0, 1000))
def test_property_permuting_latents_changes_nothing(order, seed):
    generator = np.random.Generator(np.random.PCG64(seed))
    matrix = generator.standard_normal((3, 3))
    for score in OF_SPACES:
        straight, permuted = (
            float(score(encoder(m), SPACE, **FEW[score], seed=seed))
            for m in (matrix, matrix[:, order])
        )
        assert straight == pytest.approx(permuted, abs=1e-9)


class Data:
    factors = SPACE

    def __init__(self):
        self.seen = 0

    def observations(self, index):
        self.seen += len(index)
        return self.factors.to_factors(index).float()[:, :, None, None]


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(3))
        self.modes = []

    def encode(self, x):
        self.modes.append((self.training, torch.is_grad_enabled()))
        return x.flatten(1) * self.scale, torch.zeros(len(x), 3)


def test_evaluate_runs_every_metric_by_the_published_numbers():
    data, model = Data(), Model().train()
    names = list(_evaluate.PROTOCOLS)
    scores = metrics.evaluate(model, data, metrics=names, protocol="fast")
    assert list(scores) == names
    for name in set(names) - {"sap"}:
        assert float(scores[name]) > 0.98, name
    # Each of the 240 observations once, and a third of them to test on.
    assert scores["mig"].n_samples == 240
    assert (scores["dci"].n_train, scores["dci"].n_test, scores["sap"].n_test) == (160, 80, 80)
    assert model.training
    assert set(model.modes) == {(False, False)}
    assert data.seen == SPACE.size


def test_evaluate_encodes_each_observation_once_and_scores_do_not_depend_on_their_neighbours():
    data = Data()
    both = metrics.evaluate(Model(), data, metrics=["mig", "dci"], protocol="fast")
    assert data.seen <= SPACE.size
    alone = metrics.evaluate(Model(), Data(), metrics=["dci"], protocol="fast")
    assert summary(alone["dci"]) == summary(both["dci"])
    other = metrics.evaluate(Model(), Data(), metrics=["mig"], protocol="fast", seed=1)
    assert summary(other["mig"]) != summary(both["mig"])


def test_evaluate_refuses_a_diverged_model():
    model = Model()
    model.scale.data[1] = torch.nan
    with pytest.raises(ValueError, match=r"codes\[0, 1\] is nan, but every number must be finite"):
        metrics.evaluate(model, Data(), protocol="fast")


def test_without_a_grid_images_are_scored_by_their_own_labels(listed):
    class Places:
        """The row and the column of the one square."""

        def encode(self, x):
            lit = x[:, 0]
            place = torch.stack([lit.sum(2).argmax(1), lit.sum(1).argmax(1)], 1).float()
            return place, torch.zeros_like(place)

    _, table = listed
    scores = metrics.evaluate(Places(), table, metrics=["mig", "dci"], protocol="fast")
    assert float(scores["mig"]) > 0.98
    assert float(metrics.evaluate(Places(), table, metrics="mig", protocol="fast")["mig"]) == float(
        scores["mig"]
    )
    assert float(scores["dci"]) > 0.99


@pytest.mark.parametrize("score", OF_SPACES)
def test_an_encoder_needs_a_space(score):
    labels = SPACE.to_factors(torch.arange(len(SPACE))).numpy()
    with pytest.raises(
        TypeError,
        match=r"space must be the factors of a data set \(data\.factors\), not a ndarray: .* mig and dci",
    ):
        score(encoder(), labels)
    with pytest.raises(
        ValueError, match=r"factors must be an array of shape \(samples, factors\), not"
    ):
        score(labels * 1.0, SPACE)


@pytest.mark.parametrize("unit", [0.1, 0.3, 1 / 3, 1e-5, 1e6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rank_correlations_do_not_depend_on_the_unit_of_the_codes(unit, dtype):
    space = FactorSpace(("a", "b"), (8, 6))

    def encode(index):
        return space.to_factors(index).to(dtype) * unit

    result = metrics.rank_correlations(encode, space, repeats=64)
    whole = metrics.rank_correlations(space.to_factors, space, repeats=64)
    for name in ("rsame_ground_latent_l1", "rsame_ground_latent_l2", "rcorr_ground_latent_l1"):
        assert result.along_factors[name] == whole.along_factors[name] == pytest.approx(1)
        # in float32 a few distances lie where a step ends
        near = 2e-3 if dtype is torch.float32 else 1e-12
        assert result.overall[name] == pytest.approx(whole.overall[name], abs=near)
