"""What must not change a score of codes and factors, for codes that hypothesis draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings, strategies as st
from metric_codes import mixed_codes, summary

from vaedis import metrics

some_codes = st.tuples(
    st.integers(0, 10**6), st.integers(2, 6), st.floats(0, 1), st.floats(0.01, 1)
)
few = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
SCORES = (metrics.mig, metrics.mig_quantile, metrics.dci, metrics.sap, metrics.modularity)


@few
@given(some_codes)
def test_property_scores_lie_between_0_and_1_and_repeat(drawn):
    seed, latents, mix, noise = drawn
    codes, factors = mixed_codes(150, (3, 4), latents, mix, noise, seed=seed)
    for score in SCORES:
        first, second = score(codes, factors, seed=seed), score(codes, factors, seed=seed)
        assert 0 <= float(first) <= 1
        assert summary(first) == summary(second)
    dci = metrics.dci(codes, factors)
    assert 0 <= dci.completeness <= 1
    assert 0 <= dci.informativeness <= 1


@few
@given(some_codes)
def test_property_permuting_latents_changes_nothing(drawn):
    seed, latents, mix, noise = drawn
    codes, factors = mixed_codes(150, (3, 4), latents, mix, noise, seed=seed)
    order = np.random.Generator(np.random.PCG64(seed)).permutation(latents)
    for score in SCORES:
        assert float(score(codes[:, order], factors)) == pytest.approx(
            float(score(codes, factors)), abs=1e-12
        )
    np.testing.assert_array_equal(
        metrics.dci(codes[:, order], factors).importance,
        metrics.dci(codes, factors).importance[order],
    )


@few
@given(some_codes, st.floats(0.25, 8), st.floats(-3, 3))
def test_property_increasing_affine_maps_change_nothing(drawn, slope, offset):
    seed, latents, mix, noise = drawn
    codes, factors = mixed_codes(150, (3, 4), latents, mix, noise, seed=seed)
    # A code at the very edge of an equal-width bin may cross it by rounding.
    place = 20 * (codes - codes.min(axis=0)) / np.ptp(codes, axis=0)
    assume((np.abs(place - np.round(place))[(place > 0) & (place < 20)] > 1e-9).all())
    for score in (metrics.mig, metrics.mig_quantile, metrics.modularity):
        assert float(score(slope * codes + offset, factors)) == pytest.approx(
            float(score(codes, factors)), abs=1e-12
        )
    # Trees work in float32, in which steps of 1/1024 and powers of two are exact; otherwise
    # rounding may merge neighbours.
    codes = np.round(codes * 1024) / 1024
    slope, offset = 2.0 ** np.round(np.log2(slope)), np.round(offset * 16) / 16
    assert float(metrics.dci(slope * codes + offset, factors)) == float(metrics.dci(codes, factors))


@few
@given(some_codes, st.floats(-10, 10))
def test_property_a_constant_latent_leaves_mig_and_dci(drawn, value):
    seed, latents, mix, noise = drawn
    codes, factors = mixed_codes(150, (3, 4), latents, mix, noise, seed=seed)
    more = np.insert(codes, seed % (latents + 1), value, axis=1)
    for score in (metrics.mig, metrics.mig_quantile, metrics.dci):
        assert float(score(more, factors)) == pytest.approx(float(score(codes, factors)), abs=1e-12)
