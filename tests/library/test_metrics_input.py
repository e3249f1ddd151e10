"""What scores of codes and factors take, and the one sentence for what they do not."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from metric_codes import draw_factors, mixed_codes, summary

from vaedis import metrics

REAL = ("mcc", "r2")
BATCHES = ("factor_vae", "beta_vae")
OF_ARRAYS = [
    name
    for name in metrics.SCORES
    if name not in ("flatness", "factored_components", "rank_correlations")
]


def compute(name, codes, factors, **options):
    few = {"n_train": 300, "n_eval": 150} if name in BATCHES else {}
    return metrics.SCORES[name](codes, factors, **few, **options)


ONE = np.ones((3, 1), int)
BAD = {
    "lengths differ": (np.ones((5, 2)), np.ones((4, 2), int), "codes has 5 rows and factors has 4"),
    "NaN": (np.array([[1, 2], [3, np.nan], [5, 6]]), ONE, r"codes\[1, 1\] is nan, but every"),
    "infinite": (np.array([[1, 2], [3, 4], [-np.inf, 6]]), ONE, r"codes\[2, 0\] is -inf"),
    "too large": (np.ones((3, 1)) * 1e39, ONE, r"codes\[0, 0\] is 1e\+39, .* at most 3\.4e\+38"),
    "words": (np.ones((2, 2)), np.array([["a"], ["b"]]), "numbers are expected: pass the index of"),
    "complex": (np.ones((2, 2), complex), ONE[:2], "codes has dtype complex128, but real numbers"),
    "flat codes": (np.ones(3), ONE, r"codes has shape \(3,\), not \(samples, latents\)"),
    "flat factors": (np.ones((3, 1)), np.ones(3, int), r"factors has shape \(3,\), not \(samples"),
    "nothing": (np.ones((0, 2)), np.ones((0, 2), int), r"codes has shape \(0, 2\)"),
    "one value": (np.ones((9, 2)), np.ones((9, 2), int), "every factor has one single value"),
    "masked": (np.ma.masked_array(np.ones((3, 1)), ONE > 0), ONE, "some values are masked"),
    "transposed": (np.ones((8, 40)), np.ones((8, 40), int), "8 rows .*40 columns .*transpose"),
}
BAD_INTEGERS = {
    "fractions": (
        np.ones((3, 2)),
        [[1.0], [0.5], [2.0]],
        r"factors\[1, 0\] is 0.5, but .*integers",
    ),
    "beyond": (np.ones((3, 1)), [[1.0], [1e30], [2.0]], r"factors\[1, 0\] is 1e\+30"),
    "infinite": (np.ones((3, 1)), [[1.0], [np.inf], [2.0]], r"factors\[1, 0\] is inf"),
    "too few": (
        np.ones((6, 2)),
        np.arange(6)[:, None],
        r"(\d) distinct values for \1 samples, but",
    ),
}


@pytest.mark.parametrize("name", OF_ARRAYS)
def test_bad_arrays_are_refused_in_one_sentence(name):
    cases = {**BAD, **({} if name in REAL else BAD_INTEGERS)}
    for codes, factors, message in cases.values():
        with pytest.raises((TypeError, ValueError), match=message) as caught:
            compute(name, codes, np.asarray(factors))
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="seed must be a whole number of at least 0, not -1"):
        compute(name, np.ones((3, 2)), ONE, seed=-1)


@pytest.mark.parametrize("name", OF_ARRAYS)
def test_large_seeds_are_seeds_or_refused_in_one_sentence(name):
    codes, factors = mixed_codes(300, (4, 3), 4, 0.1, 0.1)
    for seed in (np.int32(1), 2**32, 2**64):
        if seed == 2**64 and name in BATCHES:
            with pytest.raises(ValueError, match=f"^seed must be less than .*, not {seed}.$"):
                compute(name, codes, factors, seed=seed)
            continue
        first = summary(compute(name, codes, factors, seed=seed))
        assert summary(compute(name, codes, factors, seed=seed)) == first


@pytest.mark.parametrize("name", OF_ARRAYS)
def test_a_factor_with_one_value_is_left_out_and_said_so(name):
    codes, factors = mixed_codes(300, (4, 3), 4, 0.1, 0.1)
    wider = np.insert(factors, 1, 6, axis=1)
    with pytest.warns(UserWarning, match=r"factors \[1\] have one single value"):
        result = compute(name, codes, wider)
    assert (result.columns, result.constant) == ((0, 2), (1,))
    assert float(result) == float(compute(name, codes, factors))


@pytest.mark.parametrize("name", OF_ARRAYS)
def test_same_seed_same_bits_whatever_holds_the_numbers(name):
    codes, factors = mixed_codes(200, (4, 3), 4, 0.5, 0.5)
    first = summary(compute(name, codes, factors, seed=3))
    assert summary(compute(name, torch.from_numpy(codes), factors.tolist(), seed=3)) == first


@pytest.mark.parametrize("name", REAL)
def test_continuous_factors_are_taken_where_they_have_a_meaning(name):
    factors = np.random.default_rng(0).random((200, 2))
    assert float(compute(name, factors @ [[1.0, 0.1], [0.1, 1.0]], factors)) > 0.98


def test_labels_of_other_types():
    pandas = pytest.importorskip("pandas")
    codes, factors = mixed_codes(200, (3, 2), 3, 0.1, 0.1)
    right = summary(metrics.mig(codes, factors))
    frame = pandas.DataFrame({"a": factors[:, 0], "b": factors[:, 1] > 0})
    assert frame.to_numpy().dtype == object
    for labels in (factors + 0.0, 7 * factors - 2**62, frame, frame.astype(float)):
        assert summary(metrics.mig(pandas.DataFrame(codes), labels)) == right
    frame["a"] = frame["a"].map({0: "red", 1: "green", 2: "blue"})
    with pytest.raises(TypeError, match=r"pass the index of each value, as np\.unique"):
        metrics.mig(codes, frame)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small = codes.astype(np.float16)
        assert summary(metrics.mig(small, factors)) == summary(
            metrics.mig(small.astype(float), factors)
        )
    small[1, 1] = np.inf
    with pytest.raises(ValueError, match=r"codes\[1, 1\] is inf"):
        metrics.mig(small, factors)
    half = torch.from_numpy(codes).bfloat16()
    assert summary(metrics.mig(half, factors)) == summary(metrics.mig(half.float(), factors))


BEYOND = r"{}\[\d+, 0\] is -?\d+, but whole numbers beyond 2\*\*{} are not told apart: subtract the"


@pytest.mark.parametrize("offset", [2**53, -(2**60), 2**63])
@pytest.mark.parametrize("name", OF_ARRAYS)
def test_whole_numbers_that_float64_merges_are_refused_or_told_apart(name, offset):
    codes, factors = mixed_codes(300, (4, 3), 4, 0.1, 0.1)
    labels = factors.astype(np.uint64) + np.uint64(offset) if offset == 2**63 else factors + offset
    whole = labels[:, :1].repeat(4, axis=1)
    with pytest.raises(ValueError, match=BEYOND.format("codes", 53)) as caught:
        compute(name, whole, factors)
    assert str(caught.value).count(". ") == 0
    if name in REAL or offset == 2**63:
        with pytest.raises(ValueError, match=BEYOND.format("factors", 53 if name in REAL else 63)):
            compute(name, codes, labels)
    else:
        assert summary(compute(name, codes, labels)) == summary(compute(name, codes, factors))


@pytest.mark.parametrize("offset", [2**52, -(2**52), 2.0**52])
@pytest.mark.parametrize("name", [*REAL, "irs", "infomec"])
def test_numbers_far_from_zero_that_float64_tells_apart_score_as_near_ones(name, offset):
    codes, factors = mixed_codes(300, (4, 3), 4, 0.1, 0.1)
    codes = (codes * 100).astype(int)
    right = float(compute(name, codes, factors))
    assert float(compute(name, codes + offset, factors + offset)) == pytest.approx(right, abs=1e-9)


@pytest.mark.parametrize("score", [metrics.dci, metrics.sap, metrics.explicitness, metrics.r2])
def test_test_samples_that_are_no_pair_or_do_not_fit_are_refused(score):
    codes, factors = mixed_codes(60, (2, 2), 3, 0.1, 0.1)
    for test in (np.zeros((9, 3)), (codes,), 0.3):
        with pytest.raises(ValueError, match=r"test must be a pair \(codes, factors\)"):
            score(codes, factors, test=test)
    for options, says in (
        ({"n_test": 60}, "n_test is 60 of 60"),
        ({"n_test": 10, "test": (codes, factors)}, "leave one of them out"),
        ({"test": (np.ones((60, 4)), factors)}, "4 latents and the training samples 3"),
        ({"test": (codes, factors[:, :1])}, "1 factors and the training samples 2"),
    ):
        with pytest.raises(ValueError, match=says):
            score(codes, factors, **options)


def test_the_noise_floor_is_one_also_for_codes_that_the_caller_shuffled():
    """The same permutation twice would put codes and factors together again."""
    factors = draw_factors(400, (4, 3), np.random.default_rng(5))
    codes = factors + 0.0
    assert float(metrics.mig(codes, factors)) > 0.9
    for draw in (np.random.default_rng, lambda seed: np.random.Generator(np.random.PCG64(seed))):
        shuffled = codes[draw(0).permutation(400)]
        for score in (metrics.mig, metrics.mig_quantile):
            result = score(shuffled, factors, seed=0)
            assert float(result) < 0.1
            assert result.noise_floor < 0.1


def test_dci_uses_the_threads_of_torch_and_they_do_not_matter(monkeypatch):
    from vaedis.metrics import _boosting

    codes, factors = mixed_codes(200, (4, 3, 5), 4, 0.2, 0.2)
    hired = []

    class Pool(_boosting.ThreadPoolExecutor):
        def __init__(self, threads):
            hired.append(threads)
            super().__init__(threads)

    monkeypatch.setattr(_boosting, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(_boosting, "usable_cpus", lambda: 4)
    results = []
    for threads in (1, 3, 7):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        results.append(summary(metrics.dci(codes, factors)))
    assert hired == [1, 3, 4]
    assert results[1:] == results[:1] * 2


@pytest.mark.parametrize("n_values", [1000, 1001, 1500])
@pytest.mark.parametrize("name", ["mig", "mig_quantile", "modularity"])
def test_factors_of_many_values_are_counted_like_others(name, n_values):
    generator = np.random.default_rng(0)
    factors = generator.permuted(np.tile(np.arange(n_values), (2, 2)), axis=1).T
    codes = factors // -(-n_values // 10) * 1.0
    got = compute(name, codes, factors)
    share = np.bincount(codes[:, 0].astype(int)) / len(codes)
    nats = -(share * np.log(share)).sum()
    assert got.mutual_information.diagonal() == pytest.approx([nats, nats])


@pytest.mark.parametrize("unit", [1e-158, 1e-170, 1e-300])
def test_tiny_codes_and_factors_score_as_ordinary_ones(unit):
    generator = np.random.default_rng(0)
    factors = generator.integers(0, 5, (600, 2))
    codes = factors @ [[1.0, 0.2], [0.1, 1.0]] + generator.normal(size=(600, 2)) / 5
    for name in ("mcc", "r2"):
        expected = float(compute(name, codes, factors))
        assert float(compute(name, codes * unit, factors)) == pytest.approx(expected, abs=1e-9)
        assert float(compute(name, codes, factors * unit)) == pytest.approx(expected, abs=1e-9)
