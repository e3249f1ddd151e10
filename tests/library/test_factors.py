"""Factor spaces: index arithmetic, and the distributions of what is drawn.

Draws are checked by chi-square statistics of fixed seeds: with the right distribution a statistic
stays below the stated quantile of .999.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from scipy import stats

from vaedis.data import Coordinates
from vaedis.factors import FactorSpace

XYSQUARES = FactorSpace(("x_R", "y_R", "x_G", "y_G", "x_B", "y_B"), (8,) * 6)
# more combinations than 64 bits can number
HUGE = FactorSpace(tuple("abcdef"), (60_000,) * 6)
spaces = st.lists(st.integers(1, 6), min_size=1, max_size=5).map(
    lambda sizes: FactorSpace([f"f{i}" for i in range(len(sizes))], sizes)
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def assert_distributed(values, probabilities: dict):
    """The values have these probabilities, by a chi-square test at .999; no other value occurs."""
    found, counts = np.unique(np.asarray(values), return_counts=True)
    assert set(found.tolist()) <= set(probabilities)
    counts = dict(zip(found.tolist(), counts.tolist(), strict=True))
    n = len(values)
    assert min(probabilities.values()) * n >= 5, "too few draws for the test"
    statistic = sum((counts.get(v, 0) - n * p) ** 2 / (n * p) for v, p in probabilities.items())
    assert statistic < stats.chi2.ppf(0.999, len(probabilities) - 1)


def uniform(n: int, start: int = 0) -> dict:
    return {start + i: 1 / n for i in range(n)}


@given(spaces)
def test_observations_are_numbered_in_c_order(space):
    combinations = list(itertools.product(*map(range, space.sizes)))
    assert space.size == len(combinations)
    assert space.to_factors(torch.arange(space.size)).tolist() == [list(c) for c in combinations]
    assert space.to_index(torch.tensor(combinations)).tolist() == list(range(space.size))


def test_the_first_factor_is_the_slowest_and_the_last_the_fastest():
    assert XYSQUARES.size == 262_144
    assert XYSQUARES.strides == (8**5, 8**4, 8**3, 8**2, 8, 1)
    assert XYSQUARES.to_index(torch.tensor([0, 0, 0, 0, 0, 1])) == 1
    assert XYSQUARES.to_index(torch.tensor([1, 0, 0, 0, 0, 0])) == 32_768


@given(spaces, st.data())
def test_a_traversal_varies_one_factor_and_keeps_the_others(space, data):
    f = data.draw(st.integers(0, len(space) - 1))
    base = data.draw(st.integers(0, space.size - 1))
    found = space.to_factors(space.traversal(space.names[f], base))
    expected = space.to_factors(torch.tensor(base)).repeat(space.sizes[f], 1)
    expected[:, f] = torch.arange(space.sizes[f])
    assert torch.equal(found, expected)


@given(spaces, st.data())
def test_the_traversals_of_a_factor_hold_every_observation_once(space, data):
    f = data.draw(st.integers(0, len(space) - 1))
    every = space.traversal(f, space.traversal_bases(f)).flatten()
    assert sorted(every.tolist()) == list(range(space.size))


def test_bases_that_are_spread_come_with_every_value_of_every_other_factor_equally_often():
    space = FactorSpace(("a", "b", "c"), (4, 7, 16))
    generator = torch.Generator().manual_seed(1)
    first, second = (space.spread_bases("b", 32, generator=generator) for _ in range(2))
    assert first.dtype == torch.int64
    for bases in (first, second):
        a, b, c = space.to_factors(bases).T
        assert torch.bincount(a).tolist() == [8] * 4
        assert torch.bincount(c).tolist() == [2] * 16
        assert not b.any()
    # another draw is another one, and fixed by the generator alone
    assert not torch.equal(first, second)
    torch.manual_seed(3)
    assert torch.equal(
        first, space.spread_bases("b", 32, generator=torch.Generator().manual_seed(1))
    )


def test_a_base_that_is_spread_is_any_traversal_with_the_same_chance():
    space = FactorSpace(("a", "b", "c"), (3, 5, 2))
    generator = torch.Generator().manual_seed(0)
    drawn = torch.cat([space.spread_bases("b", 4, generator=generator) for _ in range(1_500)])
    counts = torch.bincount(drawn, minlength=30)[space.traversal_bases("b")]
    assert counts.sum() == 6_000
    # points of one set avoid each other, so that counts vary by less than those of independent
    # draws
    assert (counts - 1_000).abs().max() < 4 * math.sqrt(1_000 * 5 / 6)


def test_a_lone_factor_has_one_traversal_and_any_number_of_them_can_be_drawn():
    assert FactorSpace(("a",), (4,)).spread_bases("a", 3).tolist() == [0, 0, 0]
    space = FactorSpace(("a", "b"), (4, 3))
    assert space.spread_bases("a", 0).tolist() == []
    assert len(space.spread_bases("a", 3)) == 3


def test_observations_are_drawn_uniformly_and_with_replacement():
    space = FactorSpace(["a", "b"], (3, 4))
    assert_distributed(space.sample_index(6_000, generator=seeded(1)).numpy(), uniform(12))
    factors = space.sample(6_000, generator=seeded(1))
    assert factors.shape == (6_000, 2)
    assert torch.equal(space.to_index(factors), space.sample_index(6_000, generator=seeded(1)))


def test_a_generator_fixes_every_draw_and_global_state_stays_out_of_it():
    first = XYSQUARES.sample_index(50, generator=seeded(3))
    before = torch.get_rng_state()
    for draw in (
        lambda g: XYSQUARES.sample(50, generator=g),
        lambda g: XYSQUARES.sample_pairs(first, generator=g),
        lambda g: XYSQUARES.sample_pairs(first, rule="paper-text", generator=g),
        lambda g: torch.stack(XYSQUARES.sample_traversal_pairs("y_G", 50, generator=g)),
    ):
        assert torch.equal(draw(seeded(3)), draw(seeded(3)))
        assert not torch.equal(draw(seeded(3)), draw(seeded(4)))
    assert torch.equal(torch.get_rng_state(), before)


def pairs(space, rule, n=60_000, seed=0):
    """Factor values of both images of pairs."""
    first = space.sample_index(n, generator=seeded(seed))
    second = space.sample_pairs(first, rule=rule, generator=seeded(seed + 1))
    return space.to_factors(first), space.to_factors(second)


def published_k(F: int) -> dict[int, float]:
    """P(k) of the authors' sampler: k' uniform in 1 … F-1, then k = 1 or k' with probability one
    half each.
    """
    return {k: 0.5 * (k == 1) + 0.5 / (F - 1) for k in range(1, F)}


@pytest.mark.parametrize(("F", "size"), [(3, 8), (5, 8), (6, 8), (6, 2), (2, 3)])
def test_published_pairs_differ_in_as_many_factors_as_redrawing_k_of_them_gives(F, size):
    space = FactorSpace([f"f{i}" for i in range(F)], [size] * F)
    first, second = pairs(space, "paper-code")
    # k factors are drawn anew over all their values, so each of them differs with probability 1 -
    # 1/size
    expected = {
        j: sum(p * stats.binom.pmf(j, k, 1 - 1 / size) for k, p in published_k(F).items())
        for j in range(F)
    }  # never all F
    assert_distributed((first != second).sum(-1).numpy(), expected)


def test_of_published_pairs_of_xysquares_77_in_a_thousand_are_identical():
    first, second = pairs(XYSQUARES, "paper-code", n=200_000)
    share = (first == second).all(-1).double().mean().item()
    # standard error .0006
    assert share == pytest.approx(0.0768, abs=0.002)


def test_published_redraws_are_uniform_over_all_values_and_over_factors():
    first, second = pairs(FactorSpace(["a", "b", "c"], (3, 4, 5)), "paper-code")
    for f, size in enumerate((3, 4, 5)):
        # factor f is redrawn with probability E[k] / 3 = (.75 * 1 + .25 * 2) / 3
        redrawn = 1.25 / 3
        step = (second[:, f] - first[:, f]) % size
        chances = {0: 1 - redrawn + redrawn / size, **{d: redrawn / size for d in range(1, size)}}
        assert_distributed(step.numpy(), chances)


def test_pairs_as_the_papers_text_has_them_always_differ_with_k_uniform():
    first, second = pairs(XYSQUARES, "paper-text")
    assert_distributed((first != second).sum(-1).numpy(), uniform(6, start=1))


def test_pairs_as_the_papers_text_has_them_change_to_any_other_value():
    first, second = pairs(FactorSpace(["a", "b", "c"], (3, 4, 5)), "paper-text")
    for f, size in enumerate((3, 4, 5)):
        step = (second[:, f] - first[:, f]) % size
        # each factor is chosen with probability E[k] / F = 2/3
        assert_distributed(
            step.numpy(), {0: 1 / 3, **{d: 2 / 3 / (size - 1) for d in range(1, size)}}
        )


@pytest.mark.parametrize("rule", ["paper-code", "paper-text"])
def test_a_factor_of_one_value_keeps_it_and_a_lone_factor_can_be_paired(rule):
    first, second = pairs(FactorSpace(["a", "b"], (1, 3)), rule, n=500)
    assert (second[:, 0] == 0).all()
    first, second = pairs(FactorSpace(["a"], (3,)), rule, n=3_000)
    same = 1 / 3 if rule == "paper-code" else 0
    assert (first == second).double().mean().item() == pytest.approx(same, abs=0.03 if same else 0)


def test_traversal_pairs_differ_in_their_factor_alone_and_are_uniform():
    space = FactorSpace(["a", "b", "c"], (2, 3, 4))
    a, b = space.sample_traversal_pairs("c", 12_000, generator=seeded())
    fa, fb = space.to_factors(a), space.to_factors(b)
    assert torch.equal(fa[:, :2], fb[:, :2])
    ordered = {4 * i + j: 1 / 12 for i in range(4) for j in range(4) if i != j}
    assert_distributed((4 * fa[:, 2] + fb[:, 2]).numpy(), ordered)
    assert_distributed((a // 4).numpy(), uniform(6))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda s: s.to_index(torch.tensor([[0, 3]])), "factor 'b' is 3; it runs from 0 to 2"),
        (lambda s: s.to_index(torch.tensor([[-1, 0]])), "factor 'a' is -1; it runs from 0 to 1"),
        (lambda s: s.to_index(torch.tensor([[0, 0, 0]])), r"must have 2 columns \(a, b\)"),
        (lambda s: s.to_index(torch.tensor(1)), r"must have 2 columns \(a, b\)"),
        (
            lambda s: s.to_index(torch.tensor([[0.5, 1.0]])),
            "factors must be of an integer type, not torch.float32",
        ),
        (
            lambda s: s.to_factors(torch.tensor([6])),
            "index 6 is out of range; there are 6 observations",
        ),
        (lambda s: s.to_factors(torch.tensor([-1])), "index -1 is out of range"),
        (lambda s: s.to_factors(torch.tensor([1.0])), "an index must be of an integer type"),
        (lambda s: s.traversal("b", 6), "index 6 is out of range"),
        (lambda s: s.traversal("c", 0), "Unknown factor 'c'; choose one of: a, b"),
        (lambda s: s.traversal(2, 0), "Factor 2 is out of range; there are 2: a, b"),
        (lambda s: s.position(-1), "Factor -1 is out of range"),
        (lambda s: s.position(0.5), "Factor 0.5 is out of range"),
        (lambda s: s.sample(-1), "n must be a whole number of at least 0, not -1"),
        (lambda s: s.sample_pairs(torch.tensor([6])), "index 6 is out of range"),
        (
            lambda s: s.sample_pairs(torch.tensor([0]), rule="other"),
            "choose one of: paper-code, paper-text",
        ),
        (lambda s: FactorSpace(["a"], (1,)).sample_traversal_pairs("a", 1), "has one value only"),
        (lambda s: FactorSpace("ab", (3, 4)), r"must be a list of names, such as \['ab'\]"),
        (lambda s: HUGE.to_index(torch.ones(1, 6, dtype=torch.int64)), "too many to number"),
        (lambda s: HUGE.to_factors([1]), "combinations of factors are too many to number"),
        (lambda s: HUGE.sample(2), "combinations of factors are too many to number"),
        (lambda s: HUGE.traversal_bases("a", vary=["b"]), "too many to number"),
        (lambda s: FactorSpace(["a", "b"], (1,)), "the same length of at least 1, not 2 and 1"),
        (lambda s: FactorSpace([], ()), "the same length of at least 1, not 0 and 0"),
        (lambda s: FactorSpace(["a", "a"], (1, 2)), "must differ from each other"),
        (lambda s: FactorSpace(["", "a"], (1, 2)), "each factor needs a name"),
        (lambda s: FactorSpace([" ", "a"], (1, 2)), "each factor needs a name"),
        (
            lambda s: FactorSpace(["a", "b"], (1, 0)),
            "the size of factor 'b' must be a whole number of at least 1, not 0",
        ),
    ],
)
def test_what_is_out_of_range_or_unknown_is_one_clear_sentence(call, says):
    with pytest.raises(ValueError, match=says) as error:
        call(FactorSpace(["a", "b"], (2, 3)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
def test_any_integer_type_serves_as_an_index(dtype):
    index = torch.tensor([0, 100], dtype=dtype)
    assert XYSQUARES.to_factors(index).tolist() == [[0] * 6, [0, 0, 0, 1, 4, 4]]
    assert XYSQUARES.to_index(torch.tensor([[1, 0, 0, 0, 0, 0]], dtype=dtype)).tolist() == [32_768]


def test_factors_to_run_over_may_be_named_as_well_as_numbered():
    space = FactorSpace(("r", "c", "d"), (2, 3, 4))
    for named, numbered in ((["c"], [1]), (["d", "c"], [1, 2]), ("d", [2]), (["r", 2, "d"], [2])):
        assert torch.equal(
            space.traversal_bases("r", vary=named), space.traversal_bases("r", vary=numbered)
        )
    assert space.traversal_bases("r", vary=["c"]).tolist() == [0, 4, 8]
    for wrong, says in (
        (["x"], "Unknown factor 'x'; choose one of: r, c, d"),
        ([3], "Factor 3 is out of range"),
    ):
        with pytest.raises(ValueError, match=says):
            space.traversal_bases("r", vary=wrong)


def test_an_index_of_several_axes_is_refused_in_one_sentence(tiny, listed):
    index = torch.zeros((2, 2), dtype=torch.int64)
    says = r"an index must be one list, not of shape \(2, 2\); give index\.flatten\(\)\."
    coordinates = Coordinates(tiny)
    calls = [call for data in (tiny, *listed) for call in (data.images, data.observations)]
    for call in (*calls, coordinates.observations, tiny.factors.sample_pairs):
        with pytest.raises(ValueError, match=says):
            call(index)
    assert tiny.images(torch.zeros(0, dtype=torch.int64)).shape == (0, 16, 16, 3)


def test_an_index_is_a_tensor_a_list_a_range_or_one_integer(tiny, listed):
    for data in (tiny, *listed):
        images = data.images(torch.tensor([3, 4, 5]))
        for index in ([3, 4, 5], range(3, 6), np.arange(3, 6)):
            assert torch.equal(data.images(index), images)
            assert torch.equal(data[index], images)
        assert torch.equal(data[3:6], images)
        for one in (data.images(3), data.images(torch.tensor(3)), data[3], data[3 - len(data)]):
            assert torch.equal(one, images[0])
        assert torch.equal(data.observations(3), data.observations([3])[0])
        assert torch.equal(data.to_factors(3), data.to_factors([3])[0])
        assert len(list(data)) == len(data)
        with pytest.raises(IndexError):
            data[len(data)]


def test_traversals_are_all_or_drawn(tiny):
    space = tiny.factors
    every = tiny.traversals("x_R")
    assert torch.equal(every, space.traversal("x_R", space.traversal_bases("x_R")))
    drawn = tiny.traversals("x_R", 5, generator=seeded(1))
    assert torch.equal(drawn, space.traversal("x_R", space.sample_index(5, generator=seeded(1))))


def test_one_factor_to_vary_needs_no_list():
    space = FactorSpace(["a", "b", "c"], (2, 3, 4))
    for factor in ("b", 1):
        assert space.traversal_bases("a", vary=factor).tolist() == [0, 4, 8]
