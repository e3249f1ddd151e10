"""Data sets and losses of one's own at their edges: the right number, or one sentence."""

import types

import numpy as np
import pytest
import torch

import vaedis as vd
from vaedis import distances
from vaedis.losses.fingerprint import fingerprint


def mse(a, b):
    return (a - b).square().mean((1, 2, 3))


class Bars(vd.FactorData):
    """A bar that grows: two images differ in as many rows as their heights."""

    name, origin, shape, mean, std = "bars", "generated", (8, 8, 1), (0.5,), (0.5,)
    factors = vd.FactorSpace(("height",), (8,))
    made = torch.float32

    def _images(self, index):
        rows = torch.arange(8)[:, None, None] < index[:, None, None, None]
        return rows.to(self.made).expand(-1, 8, 8, 1)


class FloatBars(Bars):
    dtype = torch.float32
    scale = 1.0

    def _images(self, index):
        return self.scale * super()._images(index)


def steps_of(factor_a=6, factor_b=4):
    """Grey images of two factors, each of which brightens one half a little."""
    labels = np.array([(a, b) for a in range(factor_a) for b in range(factor_b)])
    images = np.full((len(labels), 8, 8), 0.47)
    for image, (a, b) in zip(images, labels, strict=True):
        image[:4] += 0.01 * a
        image[4:] += 0.012 * b
    return images, labels


@pytest.mark.parametrize("made", [torch.float32, torch.float64, torch.int64, torch.bool])
def test_images_of_another_type_than_declared_are_refused(made):
    data = Bars()
    data.made = made
    with pytest.raises(TypeError, match=r"dtype and shape declare torch.uint8"):
        distances.factor_distances(data)
    with pytest.raises(TypeError, match=r"dtype and shape declare torch.uint8"):
        data.observations([0])


def test_images_of_another_shape_or_of_numpy_are_refused():
    data = FloatBars()
    data.shape = (8, 8, 3)
    with pytest.raises(TypeError, match=r"shape \(1, 8, 8, 1\) for 1 images"):
        data.images([0])
    data._images = lambda index: np.zeros((len(index), 8, 8, 3))
    with pytest.raises(TypeError, match="gives a ndarray"):
        data.images([0])


@pytest.mark.parametrize("loss", ["mse", "mae", mse])
def test_images_of_floats_have_the_distances_of_their_floats(loss):
    measured = distances.factor_distances(FloatBars(), loss)["height"]
    assert measured.mean == pytest.approx(0.375)


def test_floats_outside_the_unit_range_or_not_finite_are_refused():
    data = FloatBars()
    data.scale = 1.5
    with pytest.raises(ValueError, match=r"needs pixels in \[0, 1\]: image 1 of 'bars'"):
        distances.factor_distances(data, "bce")
    data.scale = torch.nan
    with pytest.raises(ValueError, match="has a pixel that is NaN or infinite"):
        distances.factor_distances(data)


def test_a_constant_in_a_loss_changes_no_verdict():
    data = steps_of()
    losses = [mse, lambda a, b: mse(a, b) + 1]
    plain, shifted = vd.diagnose(data, losses, radii=()).losses
    for one, other in zip(plain.factors, shifted.factors, strict=True):
        assert one.verdict == other.verdict == "ordered"
        assert other.share == pytest.approx(one.share, rel=1e-6)
    (entropy,) = vd.diagnose(data, "bce", radii=()).losses
    assert all(factor.verdict != "adversarial" for factor in entropy.factors)
    assert [f.share for f in entropy.factors] == pytest.approx(
        [f.share for f in plain.factors], rel=0.01
    )


@pytest.mark.parametrize("n", [256, 300])
def test_values_of_one_bin_are_not_taken_for_one_value(n):
    images = np.zeros((n, 18, 18), np.uint8)
    images.reshape(n, -1)[np.arange(n), np.arange(n)] = 255
    measured = distances.factor_distances((images, np.arange(n)))["factor_0"]
    assert measured.same is None
    assert measured.exact
    (factor,) = vd.diagnose((images, np.arange(n)), radii=()).losses[0].factors
    assert factor.verdict == "adversarial"


@pytest.mark.parametrize(
    "loss",
    [
        lambda a, b: -torch.nn.functional.cosine_similarity(a.flatten(1), b.flatten(1)),
        lambda a, b: mse(a, b) - 1,
        lambda a, b: (b * ((b + 0.01) / (a + 0.01)).log()).mean((1, 2, 3)),
    ],
)
def test_negative_distances_are_refused(loss):
    with pytest.raises(ValueError, match="a distance is never negative"):
        distances.factor_distances(steps_of(), loss)


def test_an_image_in_no_pair_counts_for_nothing():
    labels = np.array([(9, 9), *((k, 0) for k in range(7))])
    images = np.full((8, 8, 8), 0.25)
    images[0] = 0.5
    for k, image in enumerate(images[1:]):
        image.reshape(-1)[8 * k : 8 * k + 8] = 0.75
    measured = distances.factor_distances((images, labels), "bce", factors=["factor_0"])["factor_0"]
    assert measured.adversarial
    assert measured.largest == pytest.approx(measured.mean)


def test_the_mean_of_random_pairs_keeps_its_digits_far_from_zero():
    images = np.full((1_100, 1, 2), 1e6, np.float32)
    images[::2] += np.float32(0.0625)
    found = distances.random_pairs((images, np.arange(1_100)))
    assert found.mean == pytest.approx(2 * images.astype(float)[:, 0, 0].var(), rel=1e-9)
    vectors = distances.random_pairs((images, np.arange(1_100)), _Doubled())
    assert vectors.mean == pytest.approx(4 * found.mean, rel=1e-6)


class _Doubled(vd.losses.Loss):
    """Mean squared error of doubled images, declared as a quadratic form of vectors."""

    name, quadratic = "doubled", True

    def __call__(self, reconstruction, target):
        return self.distance(reconstruction, target)

    def distance(self, a, b):
        return 4 * (a - b).square().mean((-3, -2, -1))

    def embed(self, x):
        return 2 * x.flatten(-3) / x[0].numel() ** 0.5 if x.ndim == 4 else 2 * x.flatten(-3)


def test_quantiles_run_from_the_smallest_to_the_largest_distance():
    measured = distances.factor_distances(steps_of())["factor_0"]
    ends = measured.quantile([0, 1])
    assert ends == pytest.approx([measured.smallest, measured.largest], rel=1e-3)
    for share in (-0.1, 1.5, np.nan):
        with pytest.raises(ValueError, match=r"share must lie in \[0, 1\]"):
            measured.quantile(share)


@pytest.mark.parametrize("use", [vd.diagnose, distances.factor_distances])
def test_objects_that_are_no_data_set_are_refused_where_one_is_needed(use):
    images, labels = steps_of()
    with pytest.raises(ValueError, match="a SimpleNamespace is no data set"):
        use(types.SimpleNamespace(images=images, factors=labels))
    with pytest.raises(ValueError, match="a SimpleNamespace is no data set"):
        vd.fit(vd.RunSpec(), data=types.SimpleNamespace(images=images, factors=labels))


def test_a_number_that_a_loss_reads_of_a_module_is_part_of_its_fingerprint():
    settings, module = types.ModuleType("settings"), types.ModuleType("my_losses")
    settings.weight = 1.0
    module.settings = settings
    exec("def f(a, b):\n    return (settings.weight * (a - b)).abs().mean((1, 2, 3))", vars(module))
    before = fingerprint(module.f)
    settings.weight = 2.0
    assert fingerprint(module.f) != before
    settings.weight = 1.0
    assert fingerprint(module.f) == before


def test_a_loss_is_tried_on_more_images_than_the_first_two():
    images, _ = steps_of()
    images[1] = images[0]
    spec = vd.RunSpec(model="mlp", model_options={"hidden": [4]}, latents=2, steps=1, batch=4)

    def alike(a, b):
        return torch.nn.functional.cosine_similarity(a.flatten(1), b.flatten(1))

    with pytest.raises(ValueError, match="measures how alike they are"):
        vd.fit(spec, data=(images, np.arange(len(images))), loss=alike)


def test_distances_of_any_size_have_the_same_correlation():
    matrix = distances.factor_distances(steps_of())["factor_0"].matrix
    one, large, small = (distances.agreement(matrix * scale).linear for scale in (1, 1e200, 1e-200))
    assert one == pytest.approx(large, rel=1e-12)
    assert one == pytest.approx(small, rel=1e-12)


def test_factor_values_and_widths_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match="must be whole numbers"):
        distances.ground_truth([[0.5]], [[1.4]])
    mean = torch.tensor([[0.0], [1.0]])
    with pytest.raises(ValueError, match="std must be above 0"):
        vd.training.inspect.confusion(mean, torch.zeros(2, 1))


def test_bad_options_end_in_one_sentence(tmp_path, monkeypatch, capsys):
    with pytest.raises(ValueError, match="hidden must be a list of widths"):
        vd.fit(vd.RunSpec(model="mlp", model_options={"hidden": 64}, steps=1))
    with pytest.raises(ValueError, match=r"such as radius=\[15\]"):
        distances.family("box-blur", radius=15)
    for options in ({"levels": 600}, {"growth": 1e300}):
        with pytest.raises(ValueError, match="too large a number"):
            vd.losses.get("pyramid", **options)
    with pytest.raises(ValueError, match="at most 10,000 pixels"):
        vd.losses.get("gaussian-blur", sigma=1e10)
    data = steps_of()
    for use in (vd.diagnose, distances.factor_distances, distances.random_pairs):
        with pytest.raises(ValueError, match=r"seed must be less than 2\*\*63"):
            use(data, seed=2**64)
    with pytest.raises(ValueError, match=r"seed must be less than 2\*\*63"):
        vd.RunSpec(seed=2**64)
    with pytest.raises(ValueError, match="columns must be a dict"):
        vd.Relabelled(FloatBars(), [1, 2])
    assert vd.diagnosis.largest_beta(data, 2, index=[0, 1]) > 0
    with pytest.raises(ValueError, match="-1"):
        vd.diagnosis.largest_beta(data, 2, index=[0, -1])


def test_a_module_of_a_loss_that_exits_is_one_sentence(tmp_path, monkeypatch, capsys):
    from vaedis import cli

    (tmp_path / "exits.py").write_text("import sys\nsys.exit(3)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert cli.main(["diagnose", "xysquares", "--loss", "exits:f"]) == 2
    assert "cannot be imported: SystemExit: 3" in capsys.readouterr().err
