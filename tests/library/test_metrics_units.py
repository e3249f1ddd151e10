"""Scores of constant, tiny, huge and shifted latents, and the sentence for what cannot be scored."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest
import torch
from metric_codes import draw_factors, mixed_codes, summary
from sklearn.metrics import mutual_info_score

from vaedis import FactorSpace, metrics
from vaedis.metrics import _boosting, _mig

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


def modularity_of(information: np.ndarray) -> float:
    """Ridgeway and Mozer's formula, with 0 for a latent that informs about nothing."""
    square = information**2
    top = square.max(axis=1)
    rest = (square.sum(axis=1) - top) / np.where(top > 0, top, 1) / (square.shape[1] - 1)
    return float(np.where(top > 0, 1 - rest, 0).mean())


def informations(codes: np.ndarray, factors: np.ndarray) -> np.ndarray:
    binned = [np.digitize(latent, np.histogram(latent, 20)[1][:-1]) for latent in codes.T]
    return np.array(
        [[mutual_info_score(factor, latent) for factor in factors.T] for latent in binned]
    )


@pytest.mark.parametrize("n", [100, 1_000, 3_000, 10_000])
def test_constant_latents_inform_about_nothing_at_all(n):
    factors = draw_factors(n, (3, 6, 40, 32, 32), generator(n))
    dead = np.full((n, 10), 1 / 3, np.float32)
    for score in (metrics.mig, metrics.mig_quantile, metrics.modularity):
        result = score(dead, factors)
        assert (float(result), np.abs(result.mutual_information).max()) == (0, 0)
    half = np.hstack([factors + 0.1 * generator(1).standard_normal(factors.shape), dead])
    right = modularity_of(informations(half, factors))
    assert float(metrics.modularity(half, factors)) == pytest.approx(right, abs=1e-9)
    assert metrics.modularity(half, factors).per_latent[5:].tolist() == [0] * 10


def test_latents_that_are_exactly_independent_count_as_constant_ones():
    # Each value of the latent comes as often with each value of each factor: nothing is known, but
    # for rounding.
    space = FactorSpace(("a", "b", "c"), (7, 11, 3)).to_factors(torch.arange(7 * 11 * 3)).numpy()
    codes = space[:, 2:].astype(float)
    assert float(metrics.modularity(np.hstack([codes, codes]), space[:, :2])) == 0
    assert metrics.mig(codes, space[:, :2]).mutual_information.tolist() == [[0, 0]]


def test_information_is_that_of_scikit_learn():
    for seed in range(30):
        draw = generator(seed)
        n, bins, values = draw.integers(2, 400), draw.integers(1, 21), draw.integers(1, 12)
        latents, labels = draw.integers(0, bins, (3, n)), draw.integers(0, values, n)
        latents[0] = labels[draw.permutation(n)] % bins
        ours = _mig.informations(latents, labels[None])[0]
        np.testing.assert_allclose(
            ours, [mutual_info_score(labels, latent) for latent in latents], atol=1e-12
        )


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
        ValueError, match=r"codes\[\d+, \d\] is -?1e\+39, but float32 ends at 3\.4e\+38: divide"
    ):
        score(
            np.where(codes == np.abs(codes).max(), 1e39, codes)
            if codes.max() > -codes.min()
            else np.where(codes == codes.min(), -1e39, codes),
            factors,
        )


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
    with pytest.warns(UserWarning, match="lie so far from 0"):
        assert float(metrics.sap(codes + 1e5, factors)) == 0


@pytest.mark.parametrize("score", ALL)
def test_transposed_codes_are_refused(score):
    factors = draw_factors(400, (4,) * 8, generator(4))
    codes = factors + 0.2 * generator(5).standard_normal(factors.shape)
    with pytest.raises(
        ValueError, match=r"codes has 8 rows \(samples\) and 400 columns \(latents\).*transpose"
    ):
        score(codes.T, factors.T)
    with pytest.raises(
        ValueError, match=r"codes has 8 rows and factors has 400.*pass its transpose"
    ):
        score(codes.T, factors)
    with pytest.raises(
        ValueError, match=r"codes has 400 rows and factors has 8.*pass its transpose"
    ):
        score(codes, factors.T)


@pytest.mark.parametrize("score", ALL)
def test_labels_that_hardly_repeat_are_refused_with_the_number_that_is_needed(score):
    labels = generator(6).permutation(np.arange(300) // 1.25).astype(int)
    assert len(np.unique(labels)) == 240
    factors = np.stack([labels, labels % 3], axis=1)
    with pytest.raises(
        ValueError,
        match=r"factors\[:, 0\] has \d+ distinct values for \d+ samples, but a score needs at least \d+: draw",
    ):
        score(factors + 0.0, factors)


def test_labels_of_other_types():
    pandas = pytest.importorskip("pandas")
    codes, factors = mixed_codes(200, (3, 2), 3, 0.1, 0.1)
    right = summary(metrics.mig(codes, factors))
    frame = pandas.DataFrame({"a": factors[:, 0], "b": factors[:, 1] > 0})
    assert frame.to_numpy().dtype == object
    for labels in (
        factors + 0.0,
        torch.from_numpy(factors),
        factors.tolist(),
        frame,
        frame.astype(float),
    ):
        assert summary(metrics.mig(pandas.DataFrame(codes), labels)) == right
    flags = factors[:, 1:] > 0
    assert summary(metrics.mig(codes, flags)) == summary(metrics.mig(codes, factors[:, 1:]))
    frame["a"] = frame["a"].map({0: "red", 1: "green", 2: "blue"})
    with pytest.raises(
        TypeError, match=r"integers are expected: pass the index of each value, as np\.unique"
    ):
        metrics.mig(codes, frame)


@pytest.mark.parametrize("limit", ["OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "torch", "processors"])
def test_dci_keeps_to_the_threads_that_the_process_may_use(limit, monkeypatch):
    monkeypatch.setattr(_boosting, "usable_cpus", lambda: 2 if limit == "processors" else 16)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2 if limit == "torch" else 16)
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        monkeypatch.setenv(
            name,
            "2,4" if name == limit and name == "OMP_NUM_THREADS" else "2" if name == limit else "",
        )
    hired = []

    class Pool(_boosting.ThreadPoolExecutor):
        def __init__(self, threads):
            hired.append(threads)
            super().__init__(threads)

    monkeypatch.setattr(_boosting, "ThreadPoolExecutor", Pool)
    codes, factors = mixed_codes(60, (4, 4), 2, 0.1, 0.1)
    limited = metrics.dci(codes, factors)
    assert hired == [2]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert summary(metrics.dci(codes, factors)) == summary(limited)
    assert hired == [2, 1]


def test_no_limit_is_no_limit(monkeypatch):
    monkeypatch.setattr(_boosting, "usable_cpus", lambda: 6)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    for value in ("", "dynamic", "0", "64"):
        monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", value)
        monkeypatch.delitem(os.environ, "NUMBA_NUM_THREADS", raising=False)
        assert _boosting._n_threads() == 6


@pytest.mark.parametrize("score", ALL)
def test_masked_codes_are_refused(score):
    codes, factors = mixed_codes(50, (2, 2), 3, 0.1, 0.1)
    with pytest.raises(ValueError, match="some values are masked, but a score needs all of them"):
        score(np.ma.masked_array(codes, codes > 1), factors)


@pytest.mark.parametrize("score", [metrics.dci, metrics.sap, metrics.explicitness])
@pytest.mark.parametrize("test", [np.zeros((9, 3)), (np.zeros((9, 3)),), 0.3])
def test_what_is_no_pair_of_test_samples_is_refused(score, test):
    codes, factors = mixed_codes(50, (2, 2), 3, 0.1, 0.1)
    with pytest.raises(ValueError, match=r"test must be a pair \(codes, factors\)"):
        score(codes, factors, test=test)
