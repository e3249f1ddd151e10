"""statistics: intervals that agree with closed forms and independent implementations, and what they
refuse.
"""

import numpy as np
import pytest
from scipy import stats

from vaedis_companion.analysis import intervals

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("statistic", [np.median, np.mean])
def test_the_interval_is_that_of_scipys_percentile_bootstrap(statistic):
    x = RNG.exponential(size=40)
    ours = intervals.interval(x, statistic=statistic)
    theirs = stats.bootstrap(
        (x,), statistic, method="percentile", n_resamples=10_000, rng=1
    ).confidence_interval
    assert ours.value == statistic(x)
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs), abs=0.05 * np.std(x))


def test_an_interval_of_five_medians_is_exact():
    # the median of five draws is at most the smallest value if three or more of them are: 5.8 %,
    # and the 2.5 % quantile is that value
    found = intervals.interval([1, 2, 3, 4, 5])
    assert (found.low, found.value, found.high) == (1, 3, 5)


def test_intervals_cover_the_median_about_as_often_as_they_say():
    samples = RNG.normal(size=(300, 15))
    hits = [(f := intervals.interval(x)).low <= 0 <= f.high for x in samples]
    assert 0.9 <= np.mean(hits) <= 0.99


def test_runs_are_drawn_as_a_whole():
    # factors of one run agree, so 3 runs of 100 factors are worth 3 values and not 300
    x = np.repeat([[0.0], [0.5], [1.0]], 100, 1)
    found = intervals.interval(x, statistic=np.mean)
    alone = intervals.interval(x[:, 0], statistic=np.mean)
    assert (found.low, found.high, found.n) == pytest.approx((alone.low, alone.high, 3))


def test_a_difference_is_centred_and_changes_its_sign_with_the_order():
    a, b = RNG.normal(1, 1, 60), RNG.normal(0, 1, 80)
    there, back = intervals.difference(a, b), intervals.difference(b, a)
    assert there.value == -back.value == np.median(a) - np.median(b)
    assert there.low == pytest.approx(-back.high, abs=0.1)
    assert there.excludes_zero
    assert not intervals.difference(a, a).excludes_zero
    assert there.n == 60


def test_pairs_that_differ_by_a_constant_have_an_interval_of_no_width():
    a = RNG.normal(size=9)
    found = intervals.difference(a + 0.25, a, paired=True)
    assert (found.low, found.value, found.high) == pytest.approx((0.25, 0.25, 0.25))
    assert intervals.difference(a + 0.25, a).low < 0.25


def test_one_value_has_no_interval_and_says_so():
    found = intervals.interval([0.5])
    assert np.isnan(found.low)
    assert not found.excludes_zero
    assert str(found) == "0.50 [no interval]"
    assert (
        str(intervals.interval([0.5, 0.5]))
        == f"{intervals.interval([0.5, 0.5])}"
        == "0.50 [0.50, 0.50]"
    )
    assert f"{intervals.interval([0.5, 0.5]):.3f}" == "0.500 [0.500, 0.500]"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: intervals.interval([]), "values must hold at least one value"),
        (
            lambda: intervals.interval([0.1, np.nan]),
            "values must be finite; leave out runs that failed",
        ),
        (
            lambda: intervals.interval(np.ma.array([1.0, 2.0, 100.0], mask=[0, 0, 1])),
            "values must have no masked entries; leave them out",
        ),
        (
            lambda: intervals.difference([1, 2], [1], paired=True),
            "pairs need as many values on both sides, not 2 and 1",
        ),
    ],
)
def test_what_cannot_be_summarised_is_refused_with_the_reason(call, says):
    with pytest.raises(ValueError, match=says):
        call()
