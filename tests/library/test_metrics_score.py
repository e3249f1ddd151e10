"""`score`: every score of arrays in one call, chosen ones, own ones, and those that are missing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from metric_codes import mixed_codes, summary

from vaedis import metrics


def grid_codes(repeats: int = 20) -> tuple[np.ndarray, np.ndarray]:
    factors = np.array([(a, b) for a in range(4) for b in range(3)] * repeats)
    return factors + np.random.default_rng(0).normal(0, 0.1, factors.shape), factors


def test_every_score_is_that_of_its_own_function():
    codes, factors = grid_codes()
    scores = metrics.score(codes, factors, seed=2)
    assert list(scores) == list(metrics.SCORES)
    assert scores.missing == {}
    for name, result in scores.items():
        assert getattr(metrics, name) is metrics.SCORES[name]
        assert summary(result) == summary(metrics.SCORES[name](codes, factors, seed=2))
        assert 0.3 < float(result) <= 1


def test_what_cannot_be_computed_says_why_and_has_no_number():
    codes, factors = grid_codes(2)
    rest = (factors != [3, 2]).any(axis=1)
    scores = metrics.score(codes[rest, :1], factors[rest], metrics=["mcc", "sap", "flatness"])
    assert list(scores) == ["mcc"]
    assert scores.missing == {
        "sap": "codes has one latent, but sap compares two: pass at least two latents.",
        "flatness": "the rows hold 11 of 12 combinations of factor values, but this score follows "
        "whole traversals: pass a row for each combination.",
    }
    with pytest.raises(ValueError, match="codes has one latent"):
        scores["sap"]
    with pytest.raises(KeyError):
        scores["mig"]
    assert "sap" not in scores


def test_continuous_factors_leave_the_scores_of_real_numbers():
    factors = np.random.default_rng(0).random((100, 2))
    scores = metrics.score(factors @ [[1, 1], [1, -1]], factors)
    assert set(scores) == {"mcc", "r2"}
    assert float(scores["r2"]) == pytest.approx(1)
    assert all("must be integers" in sentence for sentence in scores.missing.values())


def test_nothing_left_is_an_error():
    codes, factors = grid_codes()
    with pytest.raises(ValueError, match="codes has one latent, but sap compares two"):
        metrics.score(codes[:, :1], factors, metrics="sap")
    with pytest.raises(ValueError, match="every factor has one single value"):
        metrics.score(codes, 0 * factors)
    with pytest.raises(ValueError, match=r"codes\[2, 1\] is nan"):
        metrics.score(np.where(np.arange(480).reshape(240, 2) == 5, np.nan, codes), factors)
    with pytest.raises(
        TypeError, match="factors has dtype <U1, but real numbers are expected: pass"
    ):
        metrics.score(codes, factors.astype("U1"))
    with pytest.raises(ValueError, match="seed must be a whole number"):
        metrics.score(codes, factors, metrics=["mig"], seed=0.5)


def test_own_scores_stand_beside_the_others():
    codes, factors = mixed_codes(200, (4, 3), 3, 0.1, 0.1)
    received = []

    def spread(z, f):
        received.append((z, f))
        return z.std()

    def details(z, f):
        return metrics.Score(0.5, (0, 1), ())

    for given in (codes, torch.from_numpy(codes)):
        scores = metrics.score(
            given, factors.tolist(), metrics=["mcc", spread, details, metrics.irs]
        )
        assert list(scores) == ["mcc", "spread", "details", "irs"]
        assert float(scores["spread"]) == pytest.approx(codes.std())
        assert summary(scores["irs"]) == summary(metrics.irs(codes, factors))
    z, f = received[-2]
    np.testing.assert_array_equal(z, codes)
    np.testing.assert_array_equal(f, factors)
    assert f.dtype == np.int64
    shuffled, f = received[-1]
    np.testing.assert_array_equal(f, factors)
    assert (shuffled != codes).any()
    np.testing.assert_array_equal(np.sort(shuffled, axis=0), np.sort(codes, axis=0))
    assert float(metrics.score(codes, factors, metrics=spread)["spread"]) == codes.std()
    metrics.score(codes, factors / 10, metrics=spread)
    assert received[-1][1].dtype == np.float64


def test_an_own_score_gets_the_numbers_that_were_given_also_large_ones():
    codes, factors = mixed_codes(200, (4, 3), 3, 0.1, 0.1)
    received = []

    def mine(z, f):
        received.append(f)
        return 0.0

    for given in (factors + 2**60, 60 * factors + 1_700_000_000_000_000_000, factors * 1e20):
        scores = metrics.score(codes, given, metrics=[mine, "mcc"])
        np.testing.assert_array_equal(received[-1], given)
        assert received[-1].dtype == given.dtype
        if given.dtype == np.int64:
            assert "whole numbers beyond 2**53 are not told apart" in scores.missing["mcc"]
        else:
            assert float(scores["mcc"]) == pytest.approx(float(metrics.mcc(codes, factors)))
    with pytest.raises(
        ValueError, match=r"^factors\[0, 0\] is .* beyond 2\*\*63 are not told apart"
    ):
        metrics.score(codes, factors.astype(np.uint64) + np.uint64(2**63), metrics=[mine])


def test_an_own_score_that_writes_into_its_arrays_changes_no_others():
    codes, factors = grid_codes()
    before = codes.copy()

    def forgetful(z, f):
        z[:] = f[:] = 0
        return 1.0

    scores = metrics.score(codes, factors, metrics=[forgetful, "mig"])
    np.testing.assert_array_equal(codes, before)
    assert float(scores["mig"]) == float(metrics.mig(before, factors))


@pytest.mark.parametrize("value", ["high", None, np.zeros(3), [0.5], 1j])
def test_an_own_score_that_is_no_number_is_named(value):
    codes, factors = grid_codes()

    def mine(z, f):
        return value

    with pytest.raises(TypeError, match=r"^mine must return a number or a Score, not a \w+\.$"):
        metrics.score(codes, factors, metrics=[mine])


def test_an_own_error_is_not_hidden_and_a_name_is_not_taken_twice():
    codes, factors = grid_codes()

    def mine(z, f):
        raise ValueError("of mine")

    with pytest.raises(ValueError, match="of mine"):
        metrics.score(codes, factors, metrics=["mcc", mine])
    first, second = (lambda z, f: 0), (lambda z, f: 1)
    with pytest.raises(ValueError, match="two scores are called '<lambda>': give yours another"):
        metrics.score(codes, factors, metrics=[first, second])

    def mig(z, f):
        return 0.0

    with pytest.raises(ValueError, match="two scores are called 'mig'"):
        metrics.score(codes, factors, metrics=[mig])
    with pytest.raises(ValueError, match="Unknown metric 'mog'"):
        metrics.score(codes, factors, metrics=["mog"])
    with pytest.raises(ValueError, match="Unknown metric 3"):
        metrics.score(codes, factors, metrics=[3])
    for none in (None, 3):
        with pytest.raises(TypeError, match=f"names of scores and functions .*, not {none}"):
            metrics.score(codes, factors, metrics=none)


def test_the_table_and_each_score_fit_a_screen():
    codes, factors = grid_codes()
    table = repr(metrics.score(codes[:-240:-1], factors[:-240:-1])).splitlines()
    assert len(table) <= 25
    assert max(map(len, table)) <= 100
    assert [line.split()[0] for line in table if line[0] != " "] == list(metrics.SCORES)
    for name, compute in metrics.SCORES.items():
        text = repr(compute(codes, factors))
        assert text.startswith(type(compute(codes, factors)).__name__ + "(score=")
        assert len(text.splitlines()) <= 24, name
        assert max(map(len, text.splitlines())) <= 100, name
    assert repr(metrics.Scores({}, {})) == ""


def test_each_score_stands_beside_that_of_the_same_codes_in_random_order():
    # noise of few samples, of which a classifier of eight latents tells many apart
    random = np.random.default_rng(3)
    codes = random.normal(size=(24, 8))
    factors = random.integers(0, 3, (24, 2))
    names = ["infomec", "mcc", "mig", "irs"]
    with pytest.warns(UserWarning, match="infomec's explicitness is 0.3 or more for codes witho"):
        scores = metrics.score(codes, factors, metrics=names, seed=1, shuffles=6)
    assert len(scores.shuffled) == 6
    explicitness = [shuffled["infomec"].explicitness for shuffled in scores.shuffled]
    assert min(explicitness) > 0.2
    assert min(explicitness) - 0.1 < scores["infomec"].explicitness < max(explicitness) + 0.1
    for name in names:
        chances = [float(shuffled[name]) for shuffled in scores.shuffled]
        assert min(chances) - 0.1 < float(scores[name]) < max(chances) + 0.1
        assert len(set(chances)) == 6
        line = next(line for line in repr(scores).splitlines() if line.startswith(f"{name} "))
        assert f"{float(scores[name]):.3f}     ({np.mean(chances):.3f})" in line
    assert f"explicitness {scores['infomec'].explicitness:.2f} ({np.mean(explicitness):.2f})" in (
        " ".join(repr(scores).split())
    )
    with pytest.warns(UserWarning, match="codes without information"):
        again = metrics.score(codes, factors, metrics=names, seed=1, shuffles=6)
    with pytest.warns(UserWarning, match="codes without information"):
        other = metrics.score(codes, factors, metrics=names, seed=2, shuffles=6)
    assert repr(again) == repr(scores) != repr(other)


def test_codes_that_hold_the_factors_are_far_above_their_random_order():
    codes, factors = grid_codes()
    scores = metrics.score(codes, factors, metrics=["mig", "infomec", "mcc", "r2"])
    (shuffled,) = scores.shuffled
    for name in scores:
        assert float(scores[name]) - float(shuffled[name]) > 0.4
    assert shuffled["infomec"].explicitness < 0.1


def test_without_shuffles_there_are_no_parentheses():
    codes, factors = grid_codes()
    scores = metrics.score(codes, factors, metrics=["mig", "mcc"], shuffles=0)
    assert scores.shuffled == ()
    assert "(" not in repr(scores)
    assert "shuffled" not in repr(scores)
    with pytest.raises(ValueError, match="shuffles must be a whole number"):
        metrics.score(codes, factors, metrics=["mig"], shuffles=-1)


def test_samples_too_few_for_any_number_are_refused():
    random = np.random.default_rng(0)
    codes = random.normal(size=(17, 8))
    factors = random.integers(0, 2, (17, 2))
    with pytest.raises(ValueError, match="infomec needs at least 18 samples"):
        metrics.infomec(codes, factors)
    with pytest.warns(UserWarning, match="codes has 17 samples of 7 latents, which is so few"):
        metrics.infomec(codes[:, :7], factors)
    with pytest.raises(ValueError, match="codes has 9 samples of 8 latents, but mcc needs at leas"):
        metrics.mcc(codes[:9], factors[:9] / 3)
    metrics.mcc(codes[:10], factors[:10] / 3)


def test_a_value_with_one_sample_does_not_make_a_latent_robust():
    # the deviation within a value of one sample is 0, whatever the latent is
    random = np.random.default_rng(0)
    codes = random.normal(size=(60, 2))
    factors = np.stack([np.arange(60) % 3, np.arange(60) % 2], axis=1)
    rare = factors.copy()
    rare[:20, 0] = np.arange(20) + 3
    common = metrics.irs(codes, factors).robustness[:, 0]
    assert np.abs(metrics.irs(codes, rare).robustness[:, 0] - common).max() < 0.1


def test_a_test_set_smaller_than_a_factor_has_values_is_refused():
    codes, factors = grid_codes()
    for score in (metrics.sap, metrics.dci, metrics.explicitness):
        with pytest.raises(
            ValueError, match=r"\[:, 0\] has 4 distinct values, but there are 3 sam"
        ):
            score(codes, factors, n_test=3)
        with pytest.raises(ValueError, match="1 samples to test on: test on at least 4"):
            score(codes, factors, test=(codes[:1], factors[:1]))
        score(codes, factors, n_test=40)


@pytest.mark.parametrize("n_values", [2, 5, 20])
def test_information_of_equal_codes_holds_for_few_samples_of_a_value(n_values):
    # twenty samples of each value of the first factor, whose codes are equal
    random = np.random.default_rng(n_values)
    n = 20 * n_values
    first, second = (random.permutation(np.arange(n) % k) for k in (n_values, 2))
    factors = np.stack([first, second], axis=1)
    result = metrics.infomec(factors * 1.0, factors)
    np.testing.assert_allclose(result.information, np.eye(2), atol=0.12)
    bits = random.integers(0, 2, factors.shape) * 1.0
    apart = bits + random.normal(0, 1e-4, bits.shape)
    information = metrics.infomec(bits, factors).information
    np.testing.assert_allclose(information, metrics.infomec(apart, factors).information, atol=0.12)


def test_information_is_relative_to_values_that_occur_twice():
    labels = np.r_[np.arange(30) + 2, np.arange(70) % 2][:, None]
    assert metrics.infomec(labels * 1.0, labels).information[0, 0] == pytest.approx(1, abs=0.05)


def test_modularity_stands_beside_that_of_noise():
    random = np.random.default_rng(0)
    factors = np.stack([random.integers(0, 2, 2000), random.integers(0, 50, 2000)], axis=1)
    noise = metrics.modularity(random.normal(size=(2000, 6)), factors)
    assert noise.score > 0.9
    assert noise.noise_floor == pytest.approx(noise.score, abs=0.02)
    held = metrics.modularity(factors.sum(axis=1, keepdims=True) * 1.0, factors)
    assert np.isnan(metrics.modularity(factors * 1.0, factors, floor_repeats=0).noise_floor)
    assert held.noise_floor > 0.9


@pytest.mark.parametrize("score", [metrics.factor_vae, metrics.flatness, metrics.rank_correlations])
def test_codes_whose_squares_are_lost_are_refused(score):
    codes, factors = grid_codes()
    with pytest.raises(ValueError, match=r"^codes\[:, 0\] varies by \d+e-163 only, whose squares"):
        score(codes * 1e-163, factors)
