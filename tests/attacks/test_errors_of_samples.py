"""Standard errors of samples: right for few, unknown for one, and none of what is exact."""

import itertools
import math

import numpy as np
import pytest

import vaedis as vd
from vaedis import distances
from vaedis.diagnosis.judge import is_chance


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
    assert not any("±" in cell for f in report.losses[0].factors for cell in f.cells())
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


def shuffles(images, labels):
    """How much farther apart different labels are than equal ones, for each order of the labels."""
    d = np.square(images[:, None] - images[None]).mean((2, 3))
    i, j = np.triu_indices(len(images), 1)
    for order in itertools.permutations(labels):
        same = np.array(order)[i] == np.array(order)[j]
        yield d[i, j][~same].mean() - d[i, j][same].mean()


@pytest.mark.parametrize("labels", [[0, 0, 1], [0, 0, 0, 1, 1, 2, 3], [0, 0, 0, 1, 1, 1]])
def test_how_much_farther_values_are_has_the_error_of_all_shuffles(labels):
    images = np.random.default_rng(0).integers(0, 255, (len(labels), 3, 3), dtype=np.uint8)
    images[0] //= 3
    found = along(vd.LabelledImages(images, labels), None)
    every = list(shuffles(images / 255, labels))
    assert found.farther == pytest.approx(every[0])
    assert np.mean(every) == pytest.approx(0, abs=1e-12)
    assert found.farther_error == pytest.approx(np.std(every))
    d = np.square(images[:, None] / 255 - images[None] / 255).mean((2, 3))
    both = [(i, j) for i, j in itertools.combinations(range(len(labels)), 2)]
    assert found.same == pytest.approx(
        np.mean([d[i, j] for i, j in both if labels[i] == labels[j]])
    )


def test_groups_are_shuffled_by_themselves():
    rng = np.random.default_rng(1)
    parts = [(rng.integers(0, 255, (n, 3, 3), dtype=np.uint8), n) for n in (4, 5, 3)]
    labels = [[0, 0, 1, 1], [0, 0, 0, 1, 2], [0, 1, 2]]
    images = np.concatenate([part for part, _ in parts])
    others = np.repeat([0, 1, 2], [n for _, n in parts])
    found = along(vd.LabelledImages(images, np.stack([np.concatenate(labels), others], 1)), None)
    # what a group counts for: of the third, where no value has two images, nothing
    weights = [2 * 4 / 6, 3 * 7 / 10]
    every = [
        list(shuffles(part / 255, own))
        for (part, _), own in zip(parts[:2], labels[:2], strict=True)
    ]
    means = [one[0] for one in every]
    assert found.farther == pytest.approx(np.average(means, weights=weights))
    variance = sum((w * np.std(one)) ** 2 for w, one in zip(weights, every, strict=True))
    assert found.farther_error == pytest.approx(math.sqrt(variance) / sum(weights))


def test_images_of_one_value_each_are_not_compared_with_chance():
    images = np.random.default_rng(0).integers(0, 255, (4, 3, 3), dtype=np.uint8)
    found = along(vd.LabelledImages(images, [0, 1, 2, 3]), None)
    assert found.farther is None
    assert found.farther_error == 0
    # two images of one value, and no other value in their group
    labels = [[0, 0], [0, 0], [0, 1], [1, 1]]
    assert along(vd.LabelledImages(images, labels), None).farther is None


def test_labels_dealt_out_at_random_are_not_called_ordered():
    verdicts = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        images = rng.random((120, 6, 6)).astype(np.float32)
        # as in tables of real files: some values many images, some few
        labels = rng.choice(6, 120, p=[0.5, 0.2, 0.1, 0.1, 0.05, 0.05])
        (factor,) = vd.diagnose((images, labels), radii=()).losses[0].factors
        verdicts.append(factor.verdict)
    assert verdicts.count("ordered") + verdicts.count("partly ordered") <= 1


def test_values_that_matter_are_told_from_chance_by_few_images():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 3)
    images = (np.repeat(np.arange(4), 3)[:, None, None] * 0.2 + rng.random((12, 5, 5)) * 0.1).clip(
        0, 1
    )
    (factor,) = vd.diagnose((images.astype(np.float32), labels), radii=()).losses[0].factors
    assert factor.verdict == "ordered"
    # two images a value, of two values: no shuffle could be rare, and yet they are far apart
    (factor,) = (
        vd.diagnose((images[[0, 1, 9, 10]].astype(np.float32), [0, 0, 1, 1]), radii=())
        .losses[0]
        .factors
    )
    assert factor.verdict == "ordered"


def grey_squares():
    options = {"image_size": 16, "square_size": 4, "grid_spacing": 1, "grid_size": 8, "rgb": False}
    return vd.load("xysquares", num_squares=2, **options)


@pytest.mark.parametrize("traversals", [2, 4, 16, 64])
def test_factors_that_are_equal_by_symmetry_are_learned_together(traversals):
    data = grey_squares()
    reports = [
        vd.diagnose(data, traversals=traversals, pairs=100, exact=False, radii=[], seed=seed)
        for seed in range(15)
    ]
    orders = [{f.learning_order for f in report.losses[0].factors} for report in reports]
    assert orders == [{1}] * 15
    has_error = [f.importance_error == f.importance_error for f in reports[0].losses[0].factors]
    assert has_error == [traversals == 64] * 4


def test_a_sample_still_tells_factors_of_different_distances_apart():
    images = np.zeros((12, 20, 8, 8), np.uint8)
    for big, small in itertools.product(range(12), range(20)):
        images[big, small, :, 0] = 20 * big
        images[big, small, 0, 1:] = 2 * small
    labels = np.array(list(itertools.product(range(12), range(20))))
    data = vd.LabelledImages(images.reshape(-1, 8, 8), labels, ["big", "small"])
    (report,) = vd.diagnose(data, traversals=64, exact=False, radii=[]).losses
    assert [f.learning_order for f in report.factors] == [1, 2]


@pytest.mark.parametrize(("freedom", "n_compared"), [(3, 1), (7, 1), (7, 15), (20, 6), (300, 15)])
def test_chance_is_that_of_students_t(freedom, n_compared):
    from scipy import stats

    quantile = stats.t.ppf(1 - 1 / 800 / n_compared, freedom)
    assert is_chance(0.999 * quantile, freedom, n_compared)
    assert not is_chance(1.2 * quantile, freedom, n_compared)
    assert is_chance(math.inf, 0, n_compared)


def test_distances_beyond_those_of_images_from_themselves_are_weighted_by_pairs():
    # a value that occurs once, in a grey image, whose cross-entropy with itself is large
    labels = [(size, place) for place in range(40) for size in (0, 1)] + [(2, 0)]
    images = np.zeros((len(labels), 8, 8))
    for image, (size, place) in zip(images, labels, strict=True):
        if size == 2:
            image[0, 0], image[5:] = 1.0, 0.5
        else:
            image[place // 8, place % 8] = 1.0
            image[5:] = 0.05 if size else 0.01
    data = vd.LabelledImages(images, labels, ["size", "place"])
    size = distances.factor_distances(data, "bce", factors=["size"])["size"]
    index = np.arange(len(data))
    matrix = np.array(
        [distances.perceived(data, [i] * len(index), index, loss="bce") for i in index]
    )
    codes = np.array(labels)
    alike = codes[:, None, 1] == codes[None, :, 1]
    pairs = alike & (codes[:, None, 0] != codes[None, :, 0])
    expected = (matrix - matrix.diagonal())[pairs].mean()
    assert size.mean_beyond == pytest.approx(expected, rel=1e-5)
    assert size.mean_beyond > 0


def test_errors_of_random_pairs_are_those_of_other_seeds():
    options = {"image_size": 16, "square_size": 4, "grid_size": 6, "num_squares": 2, "rgb": False}
    data = vd.load("xysquares", grid_spacing=1, **options)
    reports = [
        vd.diagnose(data, radii=(), pairs=100, traversals=4, exact=False, seed=seed).losses[0]
        for seed in range(30)
    ]
    for kind in ("mean", "rank"):
        values = [getattr(report, f"random_{kind}") for report in reports]
        errors = [getattr(report, f"random_{kind}_error") for report in reports]
        assert np.mean(errors) == pytest.approx(np.std(values), rel=0.4)
    report = reports[0]
    assert report.random[0] == f"{report.random_mean:.4g} ± {report.random_mean_error:.1g}"
    assert report.random[1] == f"{report.random_rank:.2f} ± {report.random_rank_error:.1g}"
    assert f"random pairs {report.random[0]} apart, rank correlation {report.random[1]}" in str(
        vd.diagnose(data, radii=(), pairs=100, traversals=4, exact=False)
    )


def test_pairs_that_do_not_vary_have_no_error_of_a_correlation():
    # each image has one pixel of its own, so all are equally far apart
    images = np.zeros((12, 16), np.uint8)
    images[np.arange(12), np.arange(12)] = 255
    report = vd.diagnose((images.reshape(12, 4, 4), np.arange(12)), radii=()).losses[0]
    assert report.random[1] == "none"
    assert report.random_rank_error is None
