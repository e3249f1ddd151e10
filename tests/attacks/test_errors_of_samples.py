"""Standard errors of samples: right for few, unknown for one, and none of what is exact."""

import math

import numpy as np
import pytest

import vaedis as vd
from vaedis import distances


def noise(n=59, **options):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (n, 4, 4), dtype=np.uint8)
    return vd.LabelledImages(images, [(k % 4, k // 4) for k in range(n)], **options)


def along(data, traversals, sampling="spread", loss="mse"):
    options = {"traversals": traversals, "sampling": sampling, "factors": data.factors.names[:1]}
    return next(iter(distances.factor_distances(data, loss, **options).values()))


@pytest.mark.parametrize("sampling", ["spread", "independent"])
@pytest.mark.parametrize("n", [59, 60])
def test_one_traversal_tells_no_error(n, sampling):
    data = noise(n)
    assert data.grid == (n == 60)
    assert np.isnan(along(data, 1, sampling).standard_errors()).all()
    assert np.isnan(along(data, 1, sampling, "bce").standard_errors()).all()
    report = vd.diagnose(data, traversals=1, exact=False, radii=[])
    assert "±" not in report.text()
    assert "nan" not in report.text()
    assert math.isnan(report.losses[0].factors[0].importance_error)


def test_the_error_of_few_traversals_has_one_less_than_their_number():
    data = noise(60)
    found = along(data, 3, "independent")
    means = []
    seen = distances.accumulator.Accumulator.add

    def add(self, values, *rest, **more):
        off = ~np.eye(values.shape[1], dtype=bool)
        means.extend(values.numpy()[:, off].mean(1))
        seen(self, values, *rest, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distances.accumulator.Accumulator, "add", add)
        again = along(data, 3, "independent")
    assert again.mean == found.mean == pytest.approx(np.mean(means))
    assert found.standard_errors()[0] == pytest.approx(np.std(means, ddof=1) / math.sqrt(3))
    exact = distances.factor_distances(data)["factor_0"]
    assert exact.standard_errors() == (0, 0)
    assert exact.standard_errors(1)[0] > 0


def test_one_pair_of_images_that_share_all_factors_tells_no_error():
    images = np.random.default_rng(0).integers(0, 255, (4, 3, 3), dtype=np.uint8)
    numbers = images.astype(float) / 255
    for loss in ("mse", "bce"):
        one = along(vd.LabelledImages(images, [0, 0, 1, 2]), None, loss=loss)
        assert math.isnan(one.same_error)
        both = along(vd.LabelledImages(images, [0, 0, 0, 1]), None, loss=loss)
        assert both.same_error > 0
    apart = [((numbers[i] - numbers[j]) ** 2).mean() for i, j in ((0, 1), (0, 2), (1, 2))]
    same = along(vd.LabelledImages(images, [0, 0, 0, 1]), None)
    assert same.same == pytest.approx(np.mean(apart))
    assert same.same_error == pytest.approx(np.std(apart, ddof=1) / math.sqrt(3))
