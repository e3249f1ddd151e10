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
