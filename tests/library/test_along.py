"""Exact expectations over whole data sets against plain loops over every pair, and samples against
what is predicted of them.
"""

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats

import vaedis as vd
from vaedis import distances, losses
from vaedis.data import FactorData, LabelledImages, XYSquares
from vaedis.distances import reading
from vaedis.distances.accumulator import Accumulator
from vaedis.distances.factor_distances import spread_sets
from vaedis.factors import FactorSpace


class Smooth(FactorData):
    """Two pixels whose brightness grows with the middle factor, by more the larger the others are."""

    name, origin = "smooth", "generated"
    factors, shape = FactorSpace(("a", "b", "c"), (16, 5, 16)), (1, 2, 1)

    def _images(self, index):
        a, b, c = self.factors.to_factors(index).T
        return (
            torch.stack([3 * b * (1 + a), 2 * b * (8 + c)], -1)
            .to(torch.uint8)
            .view(-1, *self.shape)
        )


class Noise(FactorData):
    """Random images: `levels` different byte values, or black and white only."""

    name, origin = "noise", "generated"

    def __init__(self, sizes=(3, 1, 2, 4), shape=(5, 7, 3), black_and_white=False, seed=0):
        self.factors = FactorSpace(tuple("abcdefgh"[: len(sizes)]), sizes)
        self.shape, self.mean, self.std = (
            shape,
            (0.5, 0.4, 0.3)[: shape[-1]],
            (0.2, 0.3, 0.45)[: shape[-1]],
        )
        x = np.random.default_rng(seed).integers(0, 256, (self.factors.size, *shape))
        # neighbours of the last factor look alike, so that there is something to correlate with
        x = (x + 3 * np.roll(x, 1, 0)) // 4
        self.x = torch.from_numpy(np.where(x > 128, 255, 0) if black_and_white else x).to(
            torch.uint8
        )
        self.reads = Counter()

    def _images(self, index):
        self.reads.update(index.tolist())
        return self.x[index]


def loop(data, factor, loss, normalize=False):
    """All distances along a factor, one by one: shape (traversals, f, f)."""
    space = data.factors
    x = data.x.movedim(-1, 1).double() / 255
    x = data.normalize(x) if normalize else x
    index = space.traversal(factor, space.traversal_bases(factor))
    size = index.shape[1]
    return np.array(
        [[[float(loss.distance(x[i], x[j])) for j in line] for i in line] for line in index]
    ).reshape(-1, size, size)


LOSSES = [losses.MSE(), losses.MAE(), losses.BCE(), losses.BoxBlur(radius=2)]


@pytest.mark.parametrize("black_and_white", [False, True])
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
@pytest.mark.parametrize("normalize", [False, True])
def test_everything_along_a_factor_is_that_of_all_pairs(loss, normalize, black_and_white):
    if normalize and loss.unit_range:
        pytest.skip("this loss takes images in [0, 1]")
    data = Noise(black_and_white=black_and_white)
    found = distances.factor_distances(data, loss, factors=["d", "a"], normalize=normalize)
    assert list(found) == ["d", "a"]
    for name, result in found.items():
        d = loop(data, name, loss, normalize)
        size = d.shape[-1]
        off = ~np.eye(size, dtype=bool)
        np.testing.assert_allclose(result.matrix, d.mean(0), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(result.square_matrix, (d**2).mean(0), rtol=1e-12, atol=1e-14)
        assert result.traversals == len(d)
        assert (result.pairs == len(d)).all()
        assert (result.mean, result.sd) == pytest.approx(
            (d[:, off].mean(), d[:, off].std()), rel=1e-10
        )
        assert (result.smallest, result.largest) == pytest.approx(
            (d[:, off].min(), d[:, off].max()), rel=1e-12
        )
        assert result.fourth == pytest.approx(
            ((d[:, off] - d[:, off].mean()) ** 4).mean(), rel=1e-9
        )
        neighbours = np.concatenate([d.diagonal(1, 1, 2), d.diagonal(-1, 1, 2)])
        assert result.neighbours == pytest.approx(neighbours.mean(), rel=1e-12)


@pytest.mark.parametrize("shape", distances.SHAPES)
@pytest.mark.parametrize("self_pairs", [False, True])
@pytest.mark.parametrize("loss", [losses.MSE(), losses.BCE()], ids=lambda loss: loss.name)
def test_correlations_are_those_of_all_pairs(shape, self_pairs, loss):
    data = Noise((3, 12))
    found = distances.factor_distances(data, loss, factors=["b"])["b"].agreement(
        shape, self_pairs=self_pairs
    )
    d = loop(data, "b", loss)
    truth = np.broadcast_to(distances.ground_truth_matrix(12, shape), d.shape)
    kept = np.broadcast_to(
        np.ones((12, 12), bool) if self_pairs else ~np.eye(12, dtype=bool), d.shape
    )
    assert found.linear == pytest.approx(stats.pearsonr(truth[kept], d[kept])[0], abs=1e-12)
    # distances less than 1/1600 of the largest apart may tie
    assert found.rank == pytest.approx(stats.spearmanr(truth[kept], d[kept])[0], abs=1e-3)


def test_squared_differences_of_bytes_are_exact_whole_numbers():
    data = Noise((2, 3), (64, 64, 3))
    x = data.x.long().flatten(1)
    whole = (x[3:, None] - x[None, 3:]).square().sum(-1).numpy()
    three = LabelledImages(data.x[3:], np.arange(3), ["b"])
    assert (distances.traversal_matrices(three)["b"] == whole / (255**2 * 12288)).all()


@pytest.mark.parametrize("way", ["high", "medium", "tf32"])
def test_a_shorter_number_format_allowed_for_networks_changes_nothing(way):
    data = Noise((2, 3), (64, 64, 1))
    expected = distances.traversal_matrices(data, factors=["b"])["b"]
    matmuls = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)
    try:
        if way == "tf32":
            for matmul in matmuls:
                matmul.fp32_precision = way
        else:
            torch.set_float32_matmul_precision(way)
        before = [matmul.fp32_precision for matmul in matmuls]
        assert (distances.traversal_matrices(data, factors=["b"])["b"] == expected).all()
        assert [matmul.fp32_precision for matmul in matmuls] == before
    finally:
        torch.set_float32_matmul_precision("highest")


def test_distances_can_be_taken_while_a_network_trains_in_a_shorter_format():
    seen = []
    spec = vd.RunSpec(
        data_options={"num_squares": 1},
        model="mlp",
        model_options={"hidden": []},
        latents=2,
        steps=1,
        batch=4,
    )
    vd.fit(
        spec,
        device="cpu",
        precision="bf16",
        every=1,
        callback=lambda step, run: seen.append(distances.factor_distances(run.data)["x_R"].mean),
    )
    assert seen == [distances.factor_distances(XYSquares(num_squares=1))["x_R"].mean]


def test_blocks_change_no_result_and_each_image_is_read_once(monkeypatch):
    data = Noise((4, 3, 2, 5), (4, 4, 1))
    data.images([0])  # the first images are made again, once
    data.reads.clear()
    whole = distances.factor_distances(data)
    assert set(data.reads.values()) == {1}
    data.reads.clear()
    monkeypatch.setattr(reading, "MEMORY", 5 * 16 * 12)
    parts = distances.factor_distances(data)
    # 15 images fit at a time: those along two factors, and along the others one by one
    assert max(data.reads.values()) <= 4
    for name in "abcd":
        assert (parts[name].counts.sum(1) == whole[name].counts.sum(1)).all()
        np.testing.assert_allclose(parts[name].matrix, whole[name].matrix, rtol=1e-14)
        np.testing.assert_allclose(parts[name].between, whole[name].between, rtol=1e-9, atol=1e-20)


@pytest.mark.parametrize("loss", ["mse", "bce", "mae", "box-blur"])
def test_a_traversal_that_does_not_fit_into_memory_is_compared_part_by_part(loss, monkeypatch):
    data = Noise((4, 3, 2, 5), (4, 4, 1))
    data.images([0])  # the first images are made again, once
    data.reads.clear()
    whole = distances.factor_distances(data, loss)
    monkeypatch.setattr(reading, "MEMORY", 1)
    parts = distances.factor_distances(data, loss)
    for name in "abcd":
        np.testing.assert_allclose(parts[name].matrix, whole[name].matrix, rtol=1e-12)
        assert (parts[name].pairs == whole[name].pairs).all()


def test_traversals_may_have_gaps_where_data_is_no_grid():
    data = Noise((8,))
    index = torch.tensor([[0, 1, -1], [2, -1, 3], [4, 5, 6]])
    labels = np.append((index >= 0).nonzero().numpy(), [[3, 0]], 0)
    table = LabelledImages(data.x, labels, ["other", "size"])
    found = distances.factor_distances(table, "bce", factors=["size"])["size"]
    x = data.x.movedim(-1, 1).double() / 255
    seen = np.full((3, 3, 3), np.nan)
    for t, i, j in itertools.product(range(3), range(3), range(3)):
        if index[t, i] >= 0 and index[t, j] >= 0:
            seen[t, i, j] = losses.BCE().distance(x[index[t, i]], x[index[t, j]])
    np.testing.assert_allclose(found.matrix, np.nanmean(seen, 0), rtol=1e-12)
    assert (found.pairs == np.isfinite(seen).sum(0)).all()
    off = seen[:, ~np.eye(3, dtype=bool)]
    assert (found.mean, found.sd) == pytest.approx((np.nanmean(off), np.nanstd(off)), rel=1e-12)


def test_without_a_grid_distances_are_those_of_images_that_differ_in_one_factor(listed):
    data, table = listed
    whole, found, some = (
        distances.factor_distances(data),
        distances.factor_distances(table),
        distances.factor_distances(table, traversals=3, seed=1),
    )
    for name in data.factors.names:
        np.testing.assert_allclose(found[name].matrix, whole[name].matrix, rtol=1e-12)
        assert (found[name].exact, some[name].exact) == (True, False)
        assert (found[name].traversals, some[name].traversals) == (8, 3)
    assert distances.factor_distances(table, traversals=9)["x_R"].exact
    for loss in distances.rank_losses(table, ["mse", "box-blur"]):
        assert loss.rank > 0.9
    assert list(distances.factor_distances(table, factors="x_R")) == ["x_R"]
    shadow = LabelledImages(
        np.zeros((6, 2, 2)), np.stack([np.arange(6), np.arange(6) // 2], 1), ["angle", "shadow"]
    )
    with pytest.raises(ValueError, match="no two observations differ in factor 'shadow' alone"):
        distances.factor_distances(shadow)
    many = np.stack([np.arange(300)] * 2, 1)
    with pytest.raises(ValueError, match="no two observations differ in factor 'angle' alone"):
        distances.factor_distances(LabelledImages(np.zeros((300, 2, 2)), many, ["angle", "shadow"]))


def test_without_a_grid_random_pairs_are_pairs_of_images(listed, monkeypatch):
    data, table = listed
    for _ in range(2):
        found, wanted = distances.random_pairs(table), distances.random_pairs(data)
        assert found.mean == pytest.approx(wanted.mean, rel=1e-12)
        assert found.sd == pytest.approx(wanted.sd, rel=0.02)
        # of more images, only a sample
        monkeypatch.setattr("vaedis.distances.pairs._ALL_PAIRS", 10)
    found, wanted = distances.pair_agreement(table), distances.pair_agreement(data)
    assert (found.rank, found.mean) == pytest.approx((wanted.rank, wanted.mean), abs=0.01)


def test_a_histogram_counts_distances_of_any_size():
    total = Accumulator(2, True, torch.device("cpu"))
    sizes = [0.0, 1e-60, 3.0, 40.0, 1e60]
    for size in sizes:
        total.add(torch.tensor([[[0.0, size], [size, 0.0]]], dtype=torch.float64))
    found = total.result("x", True)
    assert found.counts[0].tolist() == [10, 0, 0, 0, 0]
    assert found.counts[1].tolist() == [2] * 5
    assert found.bins == pytest.approx(sizes, rel=1e-12, abs=0)
    assert not found.differ.any()
    assert found.quantile([0, 0.3, 0.5, 0.8, 1]) == pytest.approx(sizes, rel=1e-12, abs=0)


@pytest.mark.parametrize("strength", [1, 60, 3_600, 1e9, 1e-9, 1e30])
def test_a_pooled_rank_holds_whatever_the_range_of_distances(strength):
    rng = np.random.default_rng(0)
    codes = rng.random((20, 30, 4)).cumsum(1)
    codes[0] *= strength**0.5
    d = np.square(codes[:, :, None] - codes[:, None]).sum(-1)
    total = Accumulator(30, True, torch.device("cpu"))
    # in parts of other ranges than the whole
    for part in torch.tensor(d).split(7):
        total.add(part)
    found = total.result("x", True)
    off = np.broadcast_to(~np.eye(30, dtype=bool), d.shape)
    truth = np.broadcast_to(distances.ground_truth_matrix(30), d.shape)
    wanted = stats.spearmanr(truth[off], d[off])[0]
    assert found.agreement().rank == pytest.approx(wanted, abs=1e-4)
    shares = [0, 0.1, 0.5, 0.99, 1]
    np.testing.assert_allclose(
        found.quantile(shares),
        np.quantile(d[off], shares, method="inverted_cdf"),
        rtol=1e-3,
    )


@pytest.mark.parametrize("levels", [(0.1, 0.3), (0.1, 0.999), (1.999, 7.0)])
def test_equal_distances_are_equal_however_many(levels):
    step = torch.arange(200)
    apart = (step[:, None] - step).abs()
    low, high = (torch.tensor(level, dtype=torch.float64) for level in levels)
    d = torch.where(apart == 0, 0 * low, torch.where(apart < 4, low, high))
    total = Accumulator(200, True, torch.device("cpu"))
    for _ in range(4):
        total.add(d.expand(13, 200, 200))
    found = total.result("x", True)
    assert not found.differ.any()
    assert found.bins == pytest.approx([0, *levels], rel=1e-9)
    assert found.agreement().rank == pytest.approx(found.within.mean)
    total.add(d[None] * (1 + 1e-5 * torch.rand(200, 200, dtype=torch.float64)))
    assert total.result("x", True).differ.tolist() == [False, True, True]


@pytest.mark.parametrize("level", [0.25, 0.5, 3.0, 1.5])
def test_rounding_parts_no_equal_distances(level):
    step = torch.arange(30)
    apart = (step[:, None] - step).abs()
    d = torch.where(apart < 20, level * (apart > 0), 2 * level).double()
    rounded = d * (1 + 1e-15 * torch.randn(50, 30, 30, dtype=torch.float64))
    total = Accumulator(30, True, torch.device("cpu"))
    total.add((rounded + rounded.transpose(1, 2)) / 2)
    found = total.result("x", True)
    assert len(found.bins) == 3
    assert not found.differ.any()
    assert found.agreement().rank == pytest.approx(found.within.mean)


@pytest.mark.parametrize("size", [1e-85, 1e85, 1e160])
def test_distances_whose_powers_are_no_numbers_are_refused(size):
    total = Accumulator(2, True, torch.device("cpu"))
    total.add(torch.tensor([[[0.0, size], [size, 0.0]]], dtype=torch.float64))
    with pytest.raises(ValueError, match=r"along factor 'x' reach .* multiply the loss"):
        total.result("x", True)


def test_a_pooled_rank_is_none_where_distances_that_differ_share_bins():
    step = torch.arange(8.0, dtype=torch.float64)
    apart = (step[:, None] - step).abs()
    # by so little of their size that they share a bin, or do not
    for little, is_known in ((1e-5, False), (1e-2, True), (1.0, True)):
        total = Accumulator(8, False, torch.device("cpu"))
        total.add((1 + little * apart)[None])
        found = total.result("x", True)
        assert (found.agreement().rank is not None) == is_known
        assert not is_known or found.agreement().rank == pytest.approx(1)
        assert found.within.mean == pytest.approx(1)


def test_only_a_factor_with_equal_distances_is_adversarial():
    found = distances.factor_distances(XYSquares(), factors=["x_G"])["x_G"]
    assert found.adversarial
    assert found.sd == 0
    assert found.agreement().rank is found.agreement("circle").linear is None
    assert found.agreement(self_pairs=True).linear == pytest.approx(0.52, abs=0.005)
    assert not distances.factor_distances(XYSquares(grid_spacing=7), factors=["x_G"])[
        "x_G"
    ].adversarial


@pytest.mark.parametrize(
    "loss",
    [losses.MSE(), losses.BoxBlur(radius=2), losses.MAE(), losses.BCE()],
    ids=lambda loss: loss.name,
)
@pytest.mark.parametrize("shape", [(5, 7, 3), (64, 64, 1)])
def test_random_pairs_of_few_observations_are_all_pairs(loss, shape):
    data = Noise((3, 2), shape)
    x = data.x.movedim(-1, 1).double() / 255
    d = loss.distance(x[:, None], x).numpy()
    found = distances.random_pairs(data, loss, pairs=1_000)
    assert (found.mean, found.sd, found.mean_error, found.sd_error) == pytest.approx(
        (d.mean(), d.std(), 0, 0), rel=1e-12
    )
    assert found.fourth == pytest.approx(((d - d.mean()) ** 4).mean(), rel=1e-9)
    assert np.isin(found.sample.round(12), d.round(12)).all()


@pytest.mark.parametrize("loss", ["mse", "box-blur"])
@pytest.mark.parametrize(("normalize", "black_and_white"), [(False, True), (True, False)])
def test_the_mean_over_random_pairs_has_a_closed_form(
    loss, normalize, black_and_white, monkeypatch
):
    data = Noise((3, 2, 2), black_and_white=black_and_white)
    expected = distances.random_pairs(data, loss, normalize=normalize)
    monkeypatch.setattr("vaedis.distances.pairs._ALL_PAIRS", 0)
    found = distances.random_pairs(data, loss, normalize=normalize, pairs=2_000)
    assert found.mean == pytest.approx(expected.mean, rel=1e-12)
    assert found.mean_error == 0
    assert abs(found.sd - expected.sd) < 4 * found.sd_error
    sampled = distances.random_pairs(data, loss, normalize=normalize, pairs=2_000, exact_mean=False)
    assert abs(sampled.mean - expected.mean) < 4 * sampled.mean_error


def test_random_pairs_of_squares_add_up_channel_by_channel():
    data = XYSquares(image_size=10, square_size=4, grid_spacing=3, grid_size=None, num_squares=2)
    found = distances.random_pairs(data, "box-blur")
    a, b = torch.cartesian_prod(torch.arange(81), torch.arange(81)).T
    every = distances.perceived(data, a, b, loss="box-blur").numpy()
    assert (found.mean, found.sd) == pytest.approx((every.mean(), every.std()), rel=1e-12)
    assert found.fourth == pytest.approx(((every - every.mean()) ** 4).mean(), rel=1e-9)
    assert found.sample.mean() == pytest.approx(every.mean(), abs=4 * every.std() / np.sqrt(50_000))


def test_a_sample_has_the_standard_error_that_is_predicted():
    data = Noise((40, 9), (3, 3, 1), seed=2)
    exact = distances.factor_distances(data, factors=["b"])["b"]
    assert exact.standard_errors() == (0, 0)
    drawn = [
        distances.factor_distances(
            data, factors=["b"], traversals=20, sampling="independent", seed=seed
        )["b"]
        for seed in range(150)
    ]
    for k, name in enumerate(("mean", "sd")):
        values = np.array([getattr(d, name) for d in drawn])
        # the spread of 150 values is known to 6 %
        assert values.std() == pytest.approx(exact.standard_errors(20)[k], rel=0.24)
        assert values.mean() == pytest.approx(
            getattr(exact, name), abs=4 * values.std() / np.sqrt(150) + 0.02 * exact.sd
        )
        # and a sample estimates its own
        assert np.median([d.standard_errors()[k] for d in drawn]) == pytest.approx(
            values.std(), rel=0.3
        )


def test_a_sample_that_is_spread_is_unbiased_knows_its_error_and_has_a_smaller_one():
    data = Smooth()
    exact = distances.factor_distances(data, factors=["b"])["b"]
    drawn = [
        distances.factor_distances(data, factors=["b"], traversals=64, seed=seed)["b"]
        for seed in range(400)
    ]
    for k, name in enumerate(("mean", "sd")):
        values = np.array([getattr(d, name) for d in drawn])
        assert values.mean() == pytest.approx(getattr(exact, name), abs=4 * values.std() / 20)
        # the variance of 400 values is known to 7 %, and the mean of what each says of its own to 3
        # %
        assert np.mean([d.standard_errors()[k] ** 2 for d in drawn]) == pytest.approx(
            values.var(), rel=0.3
        )
        assert values.std() < 0.5 * exact.standard_errors(64)[k]
    # what a sample implies for samples of another kind is that of independent traversals still
    assert drawn[0].standard_errors(256) == pytest.approx(exact.standard_errors(256), rel=0.3)
    assert np.isnan(
        distances.factor_distances(data, factors=["b"], traversals=1)["b"].standard_errors()[0]
    )


def test_sets_are_spread_each_by_itself_and_all_but_equally_large():
    space = Smooth.factors
    bases, which = spread_sets(space, "b", 35, torch.Generator().manual_seed(0))
    assert torch.bincount(which).tolist() == [9, 9, 9, 8]
    # eight points of a net lie in eight different eighths
    assert len((space.to_factors(bases[which == 3])[:, 0] // 2).unique()) == 8


def test_few_traversals_that_are_spread_are_as_many_as_were_asked_for():
    for n in (1, 3, 8, 21):
        found = distances.factor_distances(Noise((4, 5, 3)), traversals=n, factors=["a", "b"])
        assert {name: one.traversals for name, one in found.items()} == {"a": n, "b": n}
        assert found["b"].pairs.max() == n


@pytest.mark.parametrize("sampling", ["spread", "independent"])
def test_a_sample_is_fixed_by_its_seed(sampling):
    first, again, other = (
        distances.factor_distances(
            Smooth(), factors=["b"], traversals=20, sampling=sampling, seed=seed
        )["b"].matrix
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def as_for_table_a1(data, factor, n, seed):
    """Distances of pairs as the authors drew them: int(f * sqrt(f) / 2) of each traversal."""
    generator = torch.Generator().manual_seed(seed)
    bases = data.factors.sample_index(n, generator=generator)
    lines = data.factors.traversal(factor, bases)
    size = lines.shape[1]
    shape = (2, n, int(size * size**0.5 / 2))
    i, j = torch.randint(size, shape, generator=generator)
    a, b = lines.gather(1, i)[i != j], lines.gather(1, j)[i != j]
    return distances.perceived(data, a[:n], b[:n]).numpy()


def test_pairs_drawn_as_for_table_a1_have_the_standard_error_that_is_predicted():
    data = Noise((40, 9), (3, 3, 1), seed=2)
    exact = distances.factor_distances(data, factors=["b"])["b"]
    drawn = [as_for_table_a1(data, "b", 240, seed) for seed in range(150)]
    predicted = exact.standard_errors(distances.published_traversals(9, 240), 240)
    assert np.std([d.mean() for d in drawn]) == pytest.approx(predicted[0], rel=0.24)
    assert np.std([d.std() for d in drawn]) == pytest.approx(predicted[1], rel=0.24)


def test_pairs_drawn_from_all_traversals_have_the_standard_error_that_is_predicted():
    data = Noise((40, 9), (3, 3, 1), seed=2)
    exact = distances.factor_distances(data, factors=["b"])["b"]
    rng = np.random.default_rng(0)
    first, second = rng.integers(9, size=(2, 60_000))
    a, b = first[first != second], second[first != second]
    other = rng.integers(40, size=len(a))
    index = (torch.from_numpy(other * 9 + value) for value in (a, b))
    drawn = distances.perceived(data, *index).numpy()[:50_000].reshape(500, 100)
    predicted = exact.standard_errors(pairs=100)
    assert drawn.mean(1).std() == pytest.approx(predicted[0], rel=0.15)
    assert drawn.std(1).std() == pytest.approx(predicted[1], rel=0.15)


def test_cars_types_rest_on_about_41_traversals():
    # 1,237 pairs of each of 183 values with replacement, one in 183 of an image with itself
    assert distances.published_traversals(183) == 41
    assert distances.published_traversals(32) == 573


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda d: distances.factor_distances(d, factors=["b"]),
            "factor 'b' has one value only, so there are no distances along it; leave it out",
        ),
        (
            lambda d: distances.random_pairs(d, pairs=1),
            "pairs must be a whole number of at least 2, not 1",
        ),
        (
            lambda d: distances.random_pairs(d, "bce", normalize=True),
            r"'bce' compares images in \[0, 1\]",
        ),
    ],
)
def test_bad_input_is_one_clear_sentence(call, says):
    with pytest.raises(ValueError, match=says):
        call(Noise())
