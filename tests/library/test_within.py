"""Order is ranked within each traversal, all images of a combination count, and memory is bounded."""

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

import vaedis as vd
from vaedis import distances, losses
from vaedis.data import LabelledImages
from vaedis.distances.agreement import rank_within
from vaedis.distances.reading import MOST_VALUES


class Product(losses.Loss):
    """A loss of no special kind, not symmetric."""

    name = "product"

    def distance(self, a, b):
        return ((a - b).abs() * (1 + b)).mean((-3, -2, -1))


def contrast_table(contrasts):
    """The first `pos` columns of 16 have the contrast: distances along pos are contrast² |i - j| /
    16.
    """
    labels = np.array([(pos, contrast) for pos in range(1, 9) for contrast in contrasts])
    images = np.zeros((len(labels), 16, 16))
    for image, (pos, contrast) in zip(images, labels, strict=True):
        image[:, : int(pos)] = contrast
    return LabelledImages(images, labels, ["pos", "contrast"])


def test_ranks_are_those_of_scipy_with_ties_and_without_some_pairs():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 6, (40, 15)).astype(float)
    truth = rng.integers(0, 4, (40, 15))
    known = rng.random((40, 15)) < 0.6
    every, flat = rank_within(torch.tensor(values), [torch.tensor(truth[0])])[0]
    some, _ = rank_within(torch.tensor(values), [torch.tensor(truth)], torch.tensor(known))[0]
    assert not flat.any()
    for row in range(40):
        assert float(every[row]) == pytest.approx(spearmanr(values[row], truth[0])[0], abs=1e-12)
        expected = spearmanr(values[row][known[row]], truth[row][known[row]])[0]
        assert float(some[row]) == pytest.approx(expected, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize(
    "contrasts", [[1.0], [1.0, 0.5], [1.0, 0.5, 0.25], [1.0, 0.5, 0.25, 0.125]]
)
def test_a_factor_in_order_within_each_traversal_is_ordered_whatever_the_contrast(contrasts):
    table = contrast_table(contrasts)
    along = distances.factor_distances(table, factors=["pos"])["pos"]
    assert (along.within.traversals, along.within.flat) == (len(contrasts), 0)
    assert (along.within.mean, along.within.sd) == pytest.approx((1, 0), abs=1e-9)
    # pairs of all traversals pooled, whose distances tie where contrast² |i - j| is one number:
    # floats are exact
    steps = np.subtract(*np.triu_indices(8, 1)[::-1])
    pooled = spearmanr(
        np.tile(steps, len(contrasts)), np.outer(np.square(contrasts), steps).ravel()
    )[0]
    assert along.agreement().rank == pytest.approx(pooled, abs=1e-9)
    factor = vd.diagnose(table, radii=()).losses[0].factors[0]
    assert (factor.verdict, factor.rank) == ("ordered", along.agreement().rank)


@pytest.mark.parametrize("loss", ["mse", "mae", "bce", "box-blur", Product()], ids=str)
def test_the_mean_over_traversals_is_that_of_a_plain_loop_with_gaps_and_flat_ones(loss):
    rng = np.random.default_rng(1)
    levels = np.cumsum(rng.random((7, 5)), 1) * 0.15
    levels[2] = 0.4
    labels = np.array(list(itertools.product(range(7), range(5))))
    rows = rng.permutation(35)[:28]
    images = (levels[..., None, None] * (1 + np.arange(6).reshape(2, 3)) / 6).reshape(35, 2, 3)
    table = LabelledImages(
        np.rint(images * 255).astype(np.uint8)[rows], labels[rows], ["other", "size"]
    )
    found = distances.factor_distances(table, loss, factors=["size"])["size"]
    x = table.images(torch.arange(28)).movedim(-1, 1).double() / 255
    metric, line, circle, flat = losses.get(loss), [], [], 0
    for other in range(7):
        group = [k for k in range(28) if labels[rows[k], 0] == other]
        pairs = [(a, b) for a in group for b in group if a != b]
        seen = np.array([float(metric.distance(x[a], x[b])) for a, b in pairs])
        gaps = np.array([abs(labels[rows[a], 1] - labels[rows[b], 1]) for a, b in pairs])
        if len(set(gaps)) < 2:
            continue
        if np.ptp(seen) <= 1e-9 * np.abs(seen).max(initial=0):
            flat += 1
            continue
        rounded = np.round(seen / seen.max(), 9)
        line.append(spearmanr(rounded, gaps)[0])
        if len(set(np.minimum(gaps, 5 - gaps))) > 1:
            circle.append(spearmanr(rounded, np.minimum(gaps, 5 - gaps))[0])
    assert flat == 1
    assert (found.within.traversals, found.within.flat) == (len(line), flat)
    assert (found.within.mean, found.within.sd) == pytest.approx(
        (np.mean(line), np.std(line)), abs=1e-9
    )
    assert found.within_circle.mean == pytest.approx(np.mean(circle), abs=1e-9)


@pytest.mark.parametrize("sampling", ["spread", "independent"])
def test_positions_of_dsprites_are_ordered_within_traversals_and_learned_first(sampling):
    data = vd.load("dsprites", origin="rendered")
    found = distances.factor_distances(
        data, factors=["position_x"], traversals=256, sampling=sampling
    )["position_x"]
    assert found.within.mean == pytest.approx(0.94, abs=0.015)
    assert found.agreement().rank == pytest.approx(0.72, abs=0.015)
    assert found.within.traversals == 256


def noisy(counts, seed=0):
    """Images of a size and a shade with noise, some number of them of each combination."""
    rng = np.random.default_rng(seed)
    labels = np.array(
        [
            cell
            for cell, n in zip(itertools.product(range(4), range(2)), counts, strict=True)
            for _ in range(n)
        ]
    )
    images = (
        labels[:, :1, None] * 40
        + labels[:, 1:, None] * 20
        + rng.integers(0, 60, (len(labels), 3, 3))
    )
    return images.astype(np.uint8), labels


def pairs_along(images, labels, factor):
    x = images.reshape(len(images), -1) / 255
    a, b = np.triu_indices(len(images), 1)
    others = np.delete(labels, factor, 1)
    alone = (others[a] == others[b]).all(1) & (labels[a, factor] != labels[b, factor])
    return ((x[a] - x[b]) ** 2).mean(1)[alone], alone, a, b


@pytest.mark.parametrize("loss", ["mse", "bce"])
def test_all_images_of_a_combination_count_in_whatever_order(loss):
    images, labels = noisy([3, 1, 4, 2, 5, 0, 2, 6])
    every, alone, a, b = pairs_along(images, labels, 0)
    if loss == "bce":
        x = torch.tensor(images).double()[:, None] / 255
        ab, ba = (losses.BCE().distance(x[i], x[j]).numpy() for i, j in ((a, b), (b, a)))
        every = np.concatenate([ab[alone], ba[alone]])
    found = []
    for seed in range(3):
        rows = np.random.default_rng(seed).permutation(len(images))
        one = distances.factor_distances(
            LabelledImages(images[rows], labels[rows], ["size", "shade"]), loss, factors=["size"]
        )["size"]
        assert one.exact
        assert (one.mean, one.sd) == pytest.approx((every.mean(), every.std()), rel=1e-9)
        assert one.pairs[np.triu_indices(4, 1)].sum() == alone.sum()
        found.append(one.within.mean)
    assert found == pytest.approx([found[0]] * 3, abs=1e-12)
    first = LabelledImages(images, labels, ["size", "shade"]).traversals("size")
    assert first[0].tolist() == [labels.tolist().index([size, 0]) for size in range(4)]


def test_a_large_group_is_sampled_with_its_standard_error():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 2_000)
    images = np.clip(
        labels[:, None, None] * 40 + rng.integers(0, 80, (2_000, 3, 3)), 0, 255
    ).astype(np.uint8)
    table, x = LabelledImages(images, labels, ["size"]), images.reshape(2_000, -1) / 255

    def over_pairs(x):
        return len(x) * (x**2).sum() - (x.sum(0) ** 2).sum(), len(x) * (len(x) - 1) / 2

    (total, pairs), same = over_pairs(x), [over_pairs(x[labels == value]) for value in range(5)]
    every = (total - sum(one[0] for one in same)) / (pairs - sum(one[1] for one in same)) / 9
    for traversals, least in ((None, 0.0), (6, 0.4)):
        drawn = [
            distances.factor_distances(table, traversals=traversals, seed=seed)["size"]
            for seed in range(12)
        ]
        assert not any(one.exact for one in drawn)
        errors = np.array([one.standard_errors()[0] for one in drawn])
        off = np.array([one.mean for one in drawn]) - every
        # if each image is in one of the blocks the error is smaller than the blocks alone say
        assert least < np.sqrt((off**2).mean()) / errors.mean() < 1.8
        assert (errors > 0).all()
        assert (errors < 0.1 * every).all()


def test_images_that_are_as_far_apart_within_a_value_as_between_are_not_called_ordered():
    noise = np.random.default_rng(0).integers(0, 256, (80, 6, 6)).astype(np.uint8)
    for n, values in ((80, 2), (80, 4), (20, 2), (12, 2)):
        report = vd.diagnose(
            LabelledImages(noise[:n], np.arange(n) % values, ["nothing"]), radii=()
        ).losses[0]
        assert report.factors[0].verdict == "unordered"
        assert "follow no factor" in report.verdict
    light = np.repeat([0, 200], 40)[:, None, None] + noise // 8
    assert (
        vd.diagnose(
            LabelledImages(light.astype(np.uint8), np.repeat([0, 1], 40), ["light"]), radii=()
        )
        .losses[0]
        .factors[0]
        .verdict
        == "ordered"
    )


@pytest.mark.parametrize("more", [False, True])
def test_very_many_values_are_grouped_into_bins_and_compared_in_blocks(more):
    values = np.random.default_rng(0).permutation(3_000)
    images = (values[:, None, None, None] / 3_000 > np.arange(64).reshape(1, 8, 8, 1) / 64).astype(
        np.uint8
    ) * 255
    labels = np.c_[values, values % 2] if more else values
    found = vd.diagnose(LabelledImages(images, labels), radii=())
    factor = found.losses[0].factors[0]
    assert (factor.distinct, factor.values, factor.matrix.shape) == (
        3_000,
        MOST_VALUES,
        (MOST_VALUES, MOST_VALUES),
    )
    # the distance is the difference of the values, to a 64th; its mean over all pairs is a third
    assert factor.verdict == "ordered"
    assert factor.importance == pytest.approx(1 / 3, abs=max(4 * factor.importance_error, 0.01))
    assert "3,000 in 256 bins" in found.text()
    if more:
        assert found.losses[0].unpaired == ("factor_1",)
    sampled = (
        vd.diagnose(LabelledImages(images, labels), traversals=5, exact=False, radii=())
        .losses[0]
        .factors[0]
    )
    assert sampled.traversals in (4, 5)


def test_all_groups_are_exact_also_when_just_as_many_are_asked_for(listed):
    _, table = listed
    groups = distances.factor_distances(table)["x_R"].traversals
    assert [
        distances.factor_distances(table, traversals=n)["x_R"].exact
        for n in (groups - 1, groups, groups + 1)
    ] == [False, True, True]


def test_a_factor_that_is_named_twice_counts_once(listed):
    for data in listed:
        for traversals in (None, 5):
            once, twice = (
                distances.factor_distances(data, factors=["x_R"] * n, traversals=traversals)["x_R"]
                for n in (1, 2)
            )
            assert (once.traversals, once.mean) == (twice.traversals, twice.mean)
            assert (once.counts == twice.counts).all()


def test_pairs_that_are_missing_are_left_out_of_a_matrix():
    rng = np.random.default_rng(0)
    matrix = rng.random((6, 6)) + np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
    gaps = np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
    matrix[0, 5] = matrix[3, 1] = np.nan
    known = np.isfinite(matrix) & (gaps > 0)
    found = distances.agreement(matrix)
    assert not found.adversarial
    assert found.rank == pytest.approx(spearmanr(matrix[known], gaps[known])[0])
    assert (found.mean, found.linear) == pytest.approx(
        (matrix[known].mean(), np.corrcoef(matrix[known], gaps[known])[0, 1])
    )
    few = distances.agreement(np.array([[0, 1, np.nan], [1, 0, 3], [np.nan, 3, 0]]))
    assert (few.mean, few.rank, few.adversarial) == (2.0, None, False)
    truth = np.where(gaps == 5, np.nan, gaps)
    assert np.isfinite(distances.agreement(gaps.astype(float), truth=truth).mean)
    with pytest.raises(ValueError, match="no pair of different observations has a known distance"):
        distances.agreement(np.full((3, 3), np.nan))
    with pytest.raises(
        ValueError, match="distances must be finite, or NaN where a pair is missing"
    ):
        distances.agreement(np.array([[0, np.inf], [1, 0]]))


def test_equal_distances_tie_wherever_they_lie_between_round_numbers():
    # odd / 2048 of the largest distance ends in the middle of its tenth digit
    steps = np.abs(np.subtract.outer(np.arange(8), np.arange(8)))
    exact = np.where(steps == 7, 2048.0, 2002.0) * (steps > 0)
    rounded = exact / 2048 * (1 + 1e-15 * np.random.default_rng(0).standard_normal((8, 8)))
    expected = spearmanr(steps[steps > 0], exact[steps > 0]).statistic
    for matrix in (exact, rounded, rounded * 1e-12):
        assert distances.agreement(matrix).rank == pytest.approx(expected)
        ranks, flat = rank_within(
            torch.as_tensor(matrix[np.triu_indices(8, 1)])[None],
            [torch.as_tensor(steps[np.triu_indices(8, 1)])],
        )[0]
        assert float(ranks) == pytest.approx(expected)
        assert not flat


def test_masked_distances_are_refused():
    matrix = np.ma.masked_equal(np.abs(np.subtract.outer(np.arange(4.0), np.arange(4))), 3)
    with pytest.raises(ValueError, match="must be NaN, not masked"):
        distances.agreement(matrix)
    assert distances.agreement(matrix.filled(np.nan)).rank == pytest.approx(1)


def test_the_sentence_on_a_factor_is_about_what_was_measured():
    labels = [(side, contrast) for side in range(3) for contrast in range(4)]
    images = np.zeros((12, 4, 4))
    for image, (side, contrast) in zip(images, labels, strict=True):
        image[:, side] = (contrast + 1) / 4
    along = distances.factor_distances((images, labels, ["side", "contrast"]))
    start = "side is adversarial: all distances along it are equal within each traversal"
    assert along["side"].verdict().startswith(start)
    two = distances.factor_distances((images[:8], labels[:8], ["side", "contrast"]))["side"]
    assert two.verdict() == "side has two values, which need no order."
    gaps = [(0, 0), (1, 0), (1, 1), (2, 1), (0, 2), (2, 2)]
    squares = np.array([[[value]] for value, _ in gaps], float)
    measured = distances.factor_distances((squares, gaps, ["v", "g"]))["v"]
    assert measured.verdict().startswith("no order along v was measured: no three of its values")
