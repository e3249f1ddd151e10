"""InfoMEC, MCC, R², the β-VAE score and IRS: closed forms, and plain versions of their formulas."""

from __future__ import annotations

import functools
import itertools
import math
import warnings

import numpy as np
import pytest
import torch
from metric_codes import draw_factors, mixed_codes, summary
from scipy import integrate, optimize, special, stats
from sklearn.linear_model import LogisticRegression

from vaedis import FactorSpace, metrics

SIZES = (4, 3, 5)
NEW = (metrics.infomec, metrics.irs, metrics.mcc, metrics.r2, metrics.factor_vae, metrics.beta_vae)
BATCHES = {"n_train": 600, "n_eval": 300}
OPTIONS = {metrics.factor_vae: BATCHES, metrics.beta_vae: BATCHES}


def generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def compute(score, codes, factors, **options):
    return score(codes, factors, **OPTIONS.get(score, {}), **options)


# InfoMEC


def ross(latent, labels, k=10):
    """Ross's estimate of mutual information in nats, from all distances."""
    distance = np.abs(latent[:, None] - latent)
    terms = []
    for i, label in enumerate(labels):
        radius = np.sort(distance[i, labels == label])[k]
        inside = np.count_nonzero(distance[i] < np.nextafter(radius, 0)) - 1
        terms.append(special.digamma((labels == label).sum()) + special.digamma(inside + 1))
    return special.digamma(len(labels)) + special.digamma(k) - np.mean(terms)


def test_information_is_rosss():
    codes, factors = mixed_codes(300, (4, 3), 3, 0.2, 0.5)
    result = metrics.infomec(codes, factors)
    for j, i in itertools.product(range(3), range(2)):
        share = np.bincount(factors[:, i]) / 300
        right = max(ross(codes[:, j], factors[:, i]), 0) / -(share * np.log(share)).sum()
        assert result.information[j, i] == pytest.approx(right, abs=1e-6)


def test_modularity_and_compactness_follow_from_the_information():
    codes, factors = mixed_codes(300, SIZES, 5, 0.3, 0.3)
    codes[:, 4] *= 0.01  # its range is too small to count
    result = metrics.infomec(codes, factors)
    assert result.active == (0, 1, 2, 3)
    kept = result.information[:4]
    share = np.mean([max(row) / sum(row) for row in kept])
    assert result.modularity == pytest.approx((share - 1 / 3) / (1 - 1 / 3))
    share = np.mean([max(row) / sum(row) for row in kept.T])
    assert result.compactness == pytest.approx((share - 1 / 4) / (1 - 1 / 4))
    assert np.isnan(result.per_latent[4])
    assert not np.isnan(result.per_latent[:4]).any()


def test_a_factor_in_two_latents_is_not_compact():
    factors = draw_factors(2000, (4, 4), generator(0))
    result = metrics.infomec(factors[:, [0, 0, 1]] * 1.0, factors)
    assert result.modularity == pytest.approx(1, abs=0.02)
    # One half of the largest share among three latents, and all of it.
    assert result.compactness == pytest.approx(((1 / 2 - 1 / 3) / (2 / 3) + 1) / 2, abs=0.02)
    np.testing.assert_allclose(result.information, [[1, 0], [1, 0], [0, 1]], atol=0.02)


def test_explicitness_is_the_information_that_a_line_has():
    """Two normal clouds, one for each value: their logistic regression is exact."""
    labels = np.arange(6000) % 2
    codes = (2 * labels - 1) + generator(1).standard_normal(6000)
    density = lambda z: stats.norm.pdf(z, 1)  # noqa: E731
    loss, _ = integrate.quad(lambda z: density(z) * np.logaddexp(0, -2 * z), -12, 12)
    found = metrics.infomec(codes[:, None], labels[:, None])
    assert found.explicitness == pytest.approx(1 - loss / math.log(2), abs=0.02)


def test_explicitness_is_the_best_linear_classifiers():
    codes, factors = mixed_codes(200, (3,), 2, 0.3, 1.0)
    labels = factors[:, 0]

    def loss(weights):
        scores = codes @ weights[:6].reshape(2, 3) + weights[6:]
        return np.mean(special.logsumexp(scores, axis=1) - scores[np.arange(200), labels])

    least = optimize.minimize(loss, np.zeros(9)).fun
    share = np.bincount(labels) / 200
    right = 1 + least / (share * np.log(share)).sum()
    assert metrics.infomec(codes, factors).explicitness == pytest.approx(right, abs=1e-4)
    # whatever line the latents are mixed along
    for share in (1, 1e-2, 1e-4):
        mixed = np.stack([codes[:, 0], codes[:, 0] + share * codes[:, 1]], axis=1)
        assert metrics.infomec(mixed, factors).explicitness == pytest.approx(right, abs=1e-6)


# MCC


def test_mcc_is_the_best_of_all_matches():
    codes, factors = mixed_codes(100, SIZES, 4, 0.8, 0.5)
    for method in ("pearson", "spearman"):
        correlate = {"pearson": stats.pearsonr, "spearman": stats.spearmanr}[method]
        table = np.array([[abs(correlate(z, f)[0]) for f in factors.T] for z in codes.T])
        best = max(
            itertools.permutations(range(4), 3), key=lambda p: table[list(p), range(3)].sum()
        )
        result = metrics.mcc(codes, factors, method=method)
        np.testing.assert_allclose(result.correlation, table, atol=1e-12)
        assert result.match.tolist() == list(best)
        assert float(result) == pytest.approx(table[list(best), range(3)].mean())


def test_mcc_of_fewer_latents_than_factors_counts_the_others_as_0():
    factors = draw_factors(500, SIZES, generator(0))
    result = metrics.mcc(-2.0 * factors[:, [2]], factors)
    assert result.match.tolist() == [-1, -1, 0]
    assert float(result) == pytest.approx(1 / 3)


def test_ranks_do_not_mind_a_bent_latent():
    factors = generator(0).random((200, 2))
    bent = np.exp(8 * factors[:, ::-1])
    assert float(metrics.mcc(bent, factors, method="spearman")) == pytest.approx(1)
    assert float(metrics.mcc(bent, factors)) < 0.9
    with pytest.raises(ValueError, match="Unknown method 'kendall'"):
        metrics.mcc(bent, factors, method="kendall")


# R²


def test_r2_is_least_squares_on_samples_that_were_held_out():
    codes, factors = mixed_codes(400, SIZES, 4, 0.5, 1.0)
    train, test = slice(300), slice(300, 400)
    result = metrics.r2(codes[train], factors[train], test=(codes[test], factors[test]))
    plain = np.column_stack([codes, np.ones(400)])
    weights = np.linalg.lstsq(plain[train], factors[train], rcond=None)[0]
    error = ((factors[test] - plain[test] @ weights) ** 2).sum(axis=0)
    spread = ((factors[test] - factors[test].mean(axis=0)) ** 2).sum(axis=0)
    np.testing.assert_allclose(result.per_factor, 1 - error / spread, atol=1e-10)
    assert (result.n_train, result.n_test) == (300, 100)


def test_a_line_cannot_read_a_square_but_trees_can():
    codes = generator(0).uniform(-1, 1, (900, 2))
    result = metrics.r2(codes, codes**2)
    assert float(result) < 0.05
    assert result.nonlinear > 0.95
    # Any invertible linear map is as good as another.
    assert float(metrics.r2(codes @ [[1, 2], [3, -1]], codes)) == pytest.approx(1)


def test_r2_draws_by_its_seed_alone(monkeypatch):
    from sklearn.ensemble._hist_gradient_boosting import gradient_boosting

    codes = generator(0).random((300, 1))
    # It draws from more rows than that, 200,000 by default.
    binner = functools.partial(gradient_boosting._BinMapper, subsample=60)
    monkeypatch.setattr(gradient_boosting, "_BinMapper", binner)
    state = np.random.get_state()  # noqa: NPY002
    test = codes[:50], codes[:50] ** 2
    first, again, other = (metrics.r2(codes, codes**2, test=test, seed=s) for s in (5, 5, 2**64))
    assert first.nonlinear == again.nonlinear != other.nonlinear
    np.testing.assert_equal(np.random.get_state(), state)  # noqa: NPY002


def test_r2_says_what_is_too_few():
    random = generator(0)
    with pytest.raises(ValueError, match="r2 has 8 samples to train on, but 9 latents need"):
        metrics.r2(random.random((12, 9)), random.random((12, 2)))
    codes, factors = random.random((60, 2)), random.random((60, 2))
    with pytest.raises(ValueError, match=r"test samples of factors\[:, 1\] have one single value"):
        metrics.r2(codes, factors, test=(codes, np.column_stack([factors[:, 0], np.ones(60)])))


# Scores of batches that share a value


def test_beta_vae_is_the_score_of_a_plain_loop():
    codes, factors = mixed_codes(3000, SIZES, 3, 1.0, 4.0)
    random = np.random.default_rng(1)

    def batches(rows, n):
        fixed, differences = random.integers(3, size=n), []
        for factor in fixed:
            first = random.choice(rows, 64)
            same = [rows[factors[rows, factor] == factors[i, factor]] for i in first]
            second = [random.choice(part) for part in same]
            differences.append(np.abs(codes[first] - codes[second]).mean(axis=0))
        return np.array(differences), fixed

    x, y = batches(np.arange(2000), 200)
    x_test, y_test = batches(np.arange(2000, 3000), 200)
    plain = LogisticRegression(max_iter=1000).fit(x / x.std(0), y).score(x_test / x.std(0), y_test)
    found = metrics.beta_vae(codes, factors, n_train=200, n_eval=1000)
    assert 0.5 < plain < 0.95
    # Three standard errors of an accuracy on 200 batches.
    assert float(found) == pytest.approx(plain, abs=0.1)


@pytest.mark.parametrize("score", [metrics.factor_vae, metrics.beta_vae])
def test_rows_of_a_grid_score_as_its_encoder_does(score):
    space = FactorSpace(("x", "y", "c"), (8, 5, 6))
    factors = space.to_factors(torch.arange(space.size)).numpy()
    codes = factors @ (np.array([[2, -1, 2], [2, 2, -1], [-1, 2, 2]]) / 3)
    of_rows = float(score(codes, factors, n_train=2000, n_eval=1000))
    of_space = float(score(lambda index: codes[index], space, n_train=2000, n_eval=1000))
    assert 0.4 < of_space < 0.95
    assert of_rows == pytest.approx(of_space, abs=0.1)


@pytest.mark.parametrize("score", [metrics.factor_vae, metrics.beta_vae])
def test_codes_that_know_nothing_are_at_chance_however_few(score):
    """Without rows of their own to test on, 200 rows would look like twice as much."""
    found = []
    for seed in range(8):
        factors = draw_factors(200, (4, 4), generator(seed))
        codes = generator(99 + seed).standard_normal((200, 8))
        found.append(float(compute(score, codes, factors, seed=seed)))
    assert np.mean(found) == pytest.approx(1 / 2, abs=0.06)


@pytest.mark.parametrize("score", [metrics.factor_vae, metrics.beta_vae])
def test_too_few_rows_of_a_value_are_named(score):
    factors = draw_factors(60, (12, 2), generator(0))
    with pytest.raises(
        ValueError,
        match=r"factors\[:, 0\] has a value with \d of the rows to (train|test) on, but batches .* "
        "at least 5: pass about 20 rows",
    ):
        compute(score, factors * 1.0, factors)
    with pytest.raises(ValueError, match="one factor varies, but this score compares factors"):
        compute(score, factors * 1.0, factors[:, 1:])


def test_batches_that_leave_a_factor_out_are_refused():
    factors = draw_factors(200, (2,) * 6, generator(0))
    with pytest.raises(ValueError, match="n_train is 2, which fixes some factor in no batch"):
        metrics.beta_vae(factors * 1.0, factors, n_train=2)


def test_scores_of_traversals_find_them_in_rows_in_any_order():
    space = FactorSpace(("x", "y"), (6, 5))
    factors = space.to_factors(torch.arange(30)).numpy()
    codes = generator(0).standard_normal((30, 3))
    order = generator(1).permutation(30)
    for score in (metrics.flatness, metrics.factored_components, metrics.rank_correlations):
        right = summary(score(lambda index: codes[index], space, repeats=20))
        # Values need not count from 0.
        assert summary(score(codes[order], 7 * factors[order] - 3, repeats=20)) == right
        with pytest.raises(ValueError, match="the rows hold 29 of 30 combinations"):
            score(codes[:-1], factors[:-1])


# IRS


def test_irs_of_two_signs_has_a_closed_form():
    factors = np.array(list(itertools.product((0, 1), (0, 1))) * 3)
    signs = 2 * factors - 1
    # The first latent moves by 1 of at most 4 while the first factor is fixed, the second by 2 of 5.
    result = metrics.irs(signs @ [[3, 2], [1, -3]], factors)
    np.testing.assert_allclose(result.robustness, [[3 / 4, 1 / 4], [2 / 5, 3 / 5]])
    np.testing.assert_allclose(result.per_latent, [3 / 4, 3 / 5])
    assert float(result) == pytest.approx((4 * 3 / 4 + 5 * 3 / 5) / 9)


def test_irs_leaves_out_the_outermost_percent():
    codes, factors = mixed_codes(600, (3, 2), 2, 0.2, 0.4)
    largest = np.abs(codes - codes.mean(0)).max(0)
    within = []
    for value in range(3):
        part = codes[factors[:, 0] == value]
        within.append(np.percentile(np.abs(part - part.mean(0)), 99, axis=0))
    found = metrics.irs(codes, factors).robustness[:, 0]
    np.testing.assert_allclose(found, 1 - np.mean(within, axis=0) / largest)


# All of them


@pytest.mark.parametrize("score", NEW)
def test_identity_is_perfect_and_order_sign_and_origin_do_not_matter(score):
    factors = draw_factors(1200, SIZES, generator(0))
    turned = 5.0 - 3.0 * factors[:, [2, 0, 1]]
    # The estimate of no information is not always 0.
    right = pytest.approx(1, abs=0.05 if score is metrics.infomec else 0.02)
    assert float(compute(score, factors * 1.0, factors)) == right
    assert float(compute(score, turned, factors)) == right


@pytest.mark.parametrize("score", NEW)
@pytest.mark.parametrize("unit", [1e-20, 1e-7, 1e7, 1e30])
def test_a_common_unit_does_not_matter(score, unit):
    codes, factors = mixed_codes(300, SIZES, 4, 0.2, 0.2)
    unit = 2.0 ** round(math.log2(unit))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = float(compute(score, (codes * unit).astype(np.float32), factors))
    assert found == pytest.approx(float(compute(score, codes, factors)), abs=0.01)


@pytest.mark.parametrize("score", [s for s in NEW if s not in (metrics.infomec, metrics.irs)])
def test_a_unit_for_each_latent_does_not_matter(score):
    codes, factors = mixed_codes(300, SIZES, 4, 0.2, 0.2)
    found = float(compute(score, codes * [1, 1e4, 1e-4, 1e8], factors))
    assert found == pytest.approx(float(compute(score, codes, factors)), abs=0.01)


@pytest.mark.parametrize("score", NEW)
def test_the_largest_and_the_smallest_float32(score):
    codes, factors = mixed_codes(300, SIZES, 3, 0.1, 0.1)
    codes[:, 2] *= 1e-40
    codes[:, :2] *= 3.3e38 / np.abs(codes[:, :2]).max()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = float(compute(score, codes.astype(np.float32), factors))
    single = codes.astype(np.float32).astype(np.float64)
    assert found == pytest.approx(float(compute(score, single, factors)), abs=0.01)


@pytest.mark.parametrize("score", NEW)
def test_constant_latents_know_nothing(score):
    factors = draw_factors(400, SIZES, generator(0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = float(compute(score, np.full((400, 4), 1 / 3, np.float32), factors))
    chance = {
        metrics.beta_vae: pytest.approx(1 / 3, abs=0.1),
        metrics.r2: pytest.approx(0, abs=0.05),
    }
    assert found == chance.get(score, 0)


@pytest.mark.parametrize("score", NEW)
def test_a_dead_latent_changes_nothing(score):
    codes, factors = mixed_codes(400, SIZES, 3, 0.1, 0.1)
    wider = np.column_stack([codes, np.full(400, 0.7)])
    tolerance = 0.02 if score in OPTIONS else 1e-6
    found = float(compute(score, wider, factors))
    assert found == pytest.approx(float(compute(score, codes, factors)), abs=tolerance)
