"""A faster way gives the number of the slow one, or is refused."""

import numpy as np
import pytest
import torch

import vaedis as vd
from vaedis import distances


class Grey(vd.FactorData):
    """Two channels of one grey each, which depend on one factor each."""

    origin, shape = "generated", (4, 4, 2)
    factors = vd.FactorSpace(("a", "b"), (3, 5))
    channel_factors = ((0,), (1,))

    def _images(self, index):
        codes = self.factors.to_factors(index)
        level = torch.stack([codes[:, 0] * 60 + 40, codes[:, 1] * 50 + 5], -1)
        return level[:, None, None, :].expand(-1, 4, 4, -1).to(torch.uint8).contiguous()


class Whole(Grey):
    channel_factors = None


def poisson(a, b):
    return (a - b * (a + 0.1).log() + 3).mean((1, 2, 3))


def squares(a, b):
    return (a - b).square().mean((1, 2, 3))


@pytest.mark.parametrize("loss", ["bce", poisson, squares, "mse"])
def test_channels_are_left_out_only_where_they_add_nothing(loss):
    found, right = (distances.factor_distances(data, loss) for data in (Grey(), Whole()))
    for name, one in right.items():
        np.testing.assert_allclose(found[name].matrix, one.matrix, rtol=1e-9, atol=1e-12)
        assert found[name].mean == pytest.approx(one.mean)
        assert found[name].sd == pytest.approx(one.sd, abs=1e-9)
    # where they add nothing the shortcut stays
    is_short = loss in ("mse", squares)
    assert found["a"].traversals == (1 if is_short else 5)
    pairs, all_pairs = (distances.random_pairs(data, loss) for data in (Grey(), Whole()))
    assert pairs.mean == pytest.approx(all_pairs.mean)
    assert pairs.sd == pytest.approx(all_pairs.sd)
    reports = [vd.diagnose(data, loss, radii=[]).losses[0] for data in (Grey(), Whole())]
    for one, other in zip(*(report.factors for report in reports), strict=True):
        assert one.importance == pytest.approx(other.importance)
        assert one.share == pytest.approx(other.share)


class Clipped(vd.losses.MSE):
    """Inherits `quadratic` and `embed`, which do not hold between images that are far apart."""

    def distance(self, a, b):
        return super().distance(a, b).clamp(max=0.05)


def few_far_images(n=2_000):
    rng = np.random.default_rng(0)
    level = rng.random(n) * 0.1
    level[rng.choice(np.arange(4, n), 100, replace=False)] = 3.0
    images = (level[:, None, None] * np.ones((4, 4))).astype(np.float32)
    return vd.LabelledImages(images, np.stack([np.arange(n) % 50, np.arange(n) // 50], 1))


def test_vectors_that_are_not_those_of_a_loss_give_no_mean_of_random_pairs():
    says = "its distance is 0.05 and that of their embed, squared, .*: declare quadratic = False"
    with pytest.raises(ValueError, match=says):
        distances.random_pairs(few_far_images(), Clipped(), pairs=2_000)
    with pytest.raises(ValueError, match=says):
        vd.diagnose(few_far_images(), Clipped(), radii=[], pairs=2_000)
    honest = distances.random_pairs(few_far_images(), "mse", pairs=2_000)
    level = few_far_images().images(range(2_000))[:, 0, 0, 0].double()
    assert honest.mean == pytest.approx(2 * float(level.var(correction=0)))


class Robust(vd.losses.MSE):
    """Says that it is no quadratic form, and inherits the vectors of one."""

    quadratic = False

    def distance(self, a, b):
        return (a - b).abs().mean((-3, -2, -1))


@pytest.mark.parametrize("loss", [Robust(), "mae"])
@pytest.mark.parametrize("bound", [vd.diagnosis.largest_beta, vd.diagnosis.rate_distortion_beta])
def test_a_loss_that_is_no_quadratic_form_gets_no_bound(tiny, bound, loss):
    with pytest.raises(ValueError, match="bounds on beta need a loss that is a quadratic form"):
        bound(tiny, 9, loss=loss)
    assert bound(tiny, 9, loss="mse") > 0


@pytest.mark.parametrize("c", [1.0, 1e3, 1e5, 1e6])
def test_a_constant_in_a_loss_changes_no_correlation(c):
    data = vd.load("xysquares", grid_spacing=1, num_squares=1, image_size=16, square_size=8)

    def shifted(a, b):
        return squares(a, b) + c

    right = distances.factor_distances(data)["x_R"]
    found = distances.factor_distances(data, shifted)["x_R"]
    assert found.sd == pytest.approx(right.sd, rel=1e-6)
    for self_pairs in (False, True):
        one, other = (x.agreement(self_pairs=self_pairs) for x in (found, right))
        assert one.linear == pytest.approx(other.linear, rel=1e-5)
        # many distances that differ lie in one bin: known, or not said
        assert one.rank is None or one.rank == pytest.approx(other.rank, abs=1e-3)
    assert (found.agreement().rank is None) == (c > 1)
    assert found.within.mean == pytest.approx(right.within.mean, abs=1e-9)


def test_random_pairs_and_constants_are_worked_on_in_parts(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (12, 4, 4, 3), dtype=np.uint8)
    whole = vd.LabelledImages(images, sizes=(4, 3))
    expected = distances.random_pairs(whole, "box-blur")
    monkeypatch.setattr("vaedis.distances.reading.MEMORY", 1)
    monkeypatch.setattr("vaedis.data.constants._NUMBERS", 100)
    parts = vd.LabelledImages(images, sizes=(4, 3))
    sizes = []
    compared = distances.kernels.Gram.distances

    def noted(kernel, x):
        sizes.append(x.shape[:2].numel())
        return compared(kernel, x)

    monkeypatch.setattr(distances.kernels.Gram, "distances", noted)
    found = distances.random_pairs(parts, "box-blur")
    assert max(sizes) == 2
    assert (found.mean, found.sd) == pytest.approx((expected.mean, expected.sd), rel=1e-12)
    assert parts.mean == pytest.approx(whole.mean, rel=1e-12)
    assert parts.std == pytest.approx(whole.std, rel=1e-12)


def mean_of_channels(a, b):
    """A loss of one's own that compares vectors."""
    return (a.mean(1) - b.mean(1)).square().mean((1, 2))


@pytest.mark.parametrize("loss", ["mse", vd.losses.BoxBlur(radius=2), mean_of_channels])
@pytest.mark.parametrize("far", [1e3, 1e6, 1e9])
def test_images_that_lie_close_are_told_apart_far_from_the_first(loss, far):
    rng = np.random.default_rng(0)
    images = rng.random((40, 6, 6, 3))
    images[20:] += far
    data = vd.LabelledImages(images, np.arange(40))
    found = distances.traversal_matrices(data, loss)["factor_0"]
    i, j = np.triu_indices(40, 1)
    wanted = distances.perceived(data, i, j, loss=loss).numpy()
    # at 1e9 an image itself has seven digits after the point
    np.testing.assert_allclose(found[i, j], wanted, rtol=1e-7)
    assert not np.diagonal(found).any()
