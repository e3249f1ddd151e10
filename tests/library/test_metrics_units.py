"""Scores of constant, tiny, huge and shifted latents, and the sentence for what cannot be scored."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from metric_codes import draw_factors, mixed_codes

from vaedis import FactorSpace, metrics

ALL = (
    metrics.mig,
    metrics.mig_quantile,
    metrics.dci,
    metrics.sap,
    metrics.modularity,
    metrics.explicitness,
)
# Their definitions know no unit of a latent; SAP's has a penalty on the slope.
WITHOUT_UNIT = (
    metrics.mig,
    metrics.mig_quantile,
    metrics.dci,
    metrics.modularity,
    metrics.explicitness,
)
SIZES = (4, 3, 5)
UNITS = (1e-2, 1e-5, 1e-7, 1e-20, 1e-36, 1e7, 1e30)


def few(score) -> int:
    """How many samples are enough; logistic regressions take long."""
    return 60 if score is metrics.explicitness else 400


def generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def test_latents_that_are_exactly_independent_count_as_constant_ones():
    # Each value of the latent comes as often with each value of each factor: nothing is known, but
    # for rounding.
    space = FactorSpace(("a", "b", "c"), (7, 11, 3)).to_factors(torch.arange(7 * 11 * 3)).numpy()
    codes = space[:, 2:].astype(float)
    assert float(metrics.modularity(np.hstack([codes, codes]), space[:, :2])) == 0
    assert metrics.mig(codes, space[:, :2]).mutual_information.tolist() == [[0, 0]]


@pytest.mark.parametrize("score", ALL)
@pytest.mark.parametrize("value", [0.0, 1 / 3, -1e6, 1e-42, 3e38])
def test_all_latents_constant(score, value):
    codes, factors = np.full((300, 4), value, np.float32), draw_factors(300, SIZES, generator(0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = score(codes, factors)
    # 0.5 is what explicitness has by chance.
    assert float(result) == (0.5 if score is metrics.explicitness else 0)
    if score is metrics.dci:
        assert (result.completeness, result.importance.sum()) == (0, 0)
        # With one factor there is nothing to mix, but nothing to praise either.
        alone = score(codes, factors[:, :1])
        assert (float(alone), alone.completeness) == (0, 0)
        assert score(codes[:, :1], factors).completeness == 0


@pytest.mark.parametrize("score", WITHOUT_UNIT)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_unit_of_a_latent_does_not_matter(score, dtype):
    codes, factors = mixed_codes(few(score), SIZES, 4, 0.2, 0.2)
    codes = codes.astype(np.float32)
    right = float(score(codes, factors))
    tolerance = {metrics.dci: 0.005, metrics.explicitness: 0.005}.get(score, 1e-9)
    for unit in UNITS[2:3] if score is metrics.explicitness else UNITS:
        # A power of two, so that no code is rounded; and each latent in a unit of its own.
        power = 2.0 ** np.round(np.log2(unit))
        for units in (power, np.array([power, 1, 1 / power, 1])):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                found = float(score((codes * units).astype(dtype), factors))
            assert found == pytest.approx(right, abs=tolerance), unit


@pytest.mark.parametrize("score", WITHOUT_UNIT)
def test_the_origin_of_a_latent_does_not_matter(score):
    codes, factors = mixed_codes(few(score), SIZES, 4, 0.2, 0.2)
    codes = np.round(codes * 1024) / 1024 * 0.9990234375
    tolerance = 0.005 if score in (metrics.dci, metrics.explicitness) else 1e-9
    assert float(
        score(codes + np.array([2.0**20, -(2.0**30), 0, 2.0**20]), factors)
    ) == pytest.approx(float(score(codes, factors)), abs=tolerance)


@pytest.mark.parametrize("score", ALL)
def test_denormal_float32(score):
    codes, factors = mixed_codes(few(score), SIZES, 3, 0.1, 0.1)
    tiny = codes.astype(np.float32)
    tiny[:, 2] = 1e-40 * codes[:, 2]
    assert float(score(tiny, factors)) == pytest.approx(
        float(score(tiny.astype(np.float64), factors)), abs=1e-6
    )


@pytest.mark.parametrize("score", ALL)
def test_the_largest_float32(score):
    codes, factors = mixed_codes(few(score), SIZES, 3, 0.1, 0.1)
    huge = (codes / np.abs(codes).max() * 3.4e38).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = float(score(huge, factors))
    assert result == pytest.approx(float(score(huge.astype(np.float64), factors)), abs=0.005)
    with pytest.raises(
        ValueError,
        match=r"codes\[0, 1\] is 1e\+39, but every number must be finite, and at most 3\.4e",
    ):
        score(np.where(np.arange(3) == 1, 1e39, codes), factors)


def test_a_latent_of_few_steps_of_float32_is_binned():
    factors = draw_factors(400, (5, 2), generator(2))
    codes = np.stack([1e6 + factors[:, 0] / 16, factors[:, 1]], axis=1).astype(np.float32)
    assert len(np.unique(codes[:, 0])) == 5
    assert float(metrics.mig(codes, factors)) > 0.98


def test_trees_see_the_order_of_values_closer_than_theirs():
    codes, factors = mixed_codes(60, (2, 2), 3, 0.1, 0.1)
    plain = metrics.dci(codes, factors)
    tiny = metrics.dci(codes * 1e-7, factors)
    assert plain.disentanglement > 0.3
    assert tiny.disentanglement == pytest.approx(plain.disentanglement, abs=1e-6)
    assert tiny.informativeness == pytest.approx(plain.informativeness, abs=0.05)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_error_is_no_order(dtype):
    factors = draw_factors(300, (3, 3), generator(3))
    # The second latent is a constant, but for its last bit, and that tells the factor.
    step = np.finfo(dtype).eps
    codes = np.stack([factors[:, 0], 1 + step * (factors[:, 1] > 0)], axis=1).astype(dtype)
    assert len(np.unique(codes[:, 1])) == 2
    assert metrics.dci(codes, factors).importance[1, 1] == 0
    # A hundred steps are no error any more, although trees would take them for one value.
    codes[:, 1] = 1 + 100 * step * factors[:, 1]
    assert metrics.dci(codes / 1000, factors).importance[1, 1] > 0.99


def test_sap_keeps_its_penalty_and_says_where_it_hides_everything():
    codes, factors = mixed_codes(500, (3, 3), 4, 0.1, 0.1)
    for unit in (1e-3, 1e-7):
        with pytest.warns(
            UserWarning,
            match="latents, of standard deviations up to .*, vary so little or lie so far",
        ):
            assert float(metrics.sap(codes * unit, factors)) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert float(metrics.sap(codes, factors)) > 0.6
        metrics.sap(codes * [1, 1, 1, 1e-7], factors)
        metrics.sap(codes + 10, factors)
        # once the penalty is nothing, no larger unit changes anything
        at_rest = metrics.sap(codes * 1e5, factors).accuracy
        for unit in (1e8, 1e12, 1e30):
            assert np.array_equal(metrics.sap(codes * unit, factors).accuracy, at_rest)
    with pytest.warns(UserWarning, match="lie so far from 0"):
        assert float(metrics.sap(codes + 1e5, factors)) == 0
