"""What cannot be right is refused in one sentence."""

import decimal

import numpy as np
import pytest
import torch

import vaedis as vd


def bars(kind):
    class Bars(vd.FactorData):
        origin, shape = "generated", (4, 4, 1)
        factors = vd.FactorSpace(("a",), (5,))
        dtype = kind

        def _images(self, index):
            row = torch.arange(4)[None, :, None, None]
            return (row < index[:, None, None, None]).expand(-1, 4, 4, 1).to(kind)

    return Bars()


@pytest.mark.parametrize("kind", [torch.bool, torch.int8, torch.int32, torch.int64])
def test_images_are_bytes_or_floats(kind):
    says = rf"declared as {kind}, and images are bytes .*; let dtype be torch.uint8 or"
    for use in (lambda data: data[0], vd.distances.factor_distances, lambda data: data.mean):
        with pytest.raises(TypeError, match=says):
            use(bars(kind))
    for right in (torch.uint8, torch.float32, torch.float64):
        scale = 255 if right == torch.uint8 else 1
        found = vd.distances.factor_distances(bars(right))["a"]
        assert found.matrix[0, 4] * scale**2 == pytest.approx(1)


@pytest.mark.parametrize("size", [5e-5, 1e-5, 3e-6])
def test_a_loss_with_a_little_noise_is_refused(tiny, size):
    generator = torch.Generator().manual_seed(0)

    def noisy(a, b):
        noise = torch.rand(len(a), generator=generator, dtype=torch.float64)
        return (a - b).square().mean((1, 2, 3)) * (1 + size * noise)

    for dtype in (torch.float32, torch.float64):
        with pytest.raises(ValueError, match="gives other numbers for the same images each time"):
            vd.distances.factor_distances(tiny, lambda a, b, d=dtype: noisy(a, b).to(d))
    with pytest.raises(ValueError, match="gives other numbers for the same images each time"):
        vd.diagnose(tiny, noisy, radii=[])


def test_a_small_network_of_floats_is_repeatable(tiny):
    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten())
    loss = vd.losses.features(layers)
    assert np.isfinite(vd.distances.factor_distances(tiny, loss)["x_R"].matrix).all()


def part(n=59):
    images = np.random.default_rng(0).integers(0, 255, (n, 2, 2), dtype=np.uint8)
    return vd.LabelledImages(images, [(k % 4, k // 4) for k in range(n)])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda d: d.traversals(1, -1), "n must be a whole number of at least 0, not -1"),
        (lambda d: d.traversals(1, 1.5), "n must be a whole number of at least 0, not 1.5"),
        (lambda d: d.groups(0, -1), "most must be a whole number of at least 0, not -1"),
        (lambda d: d.sample_index(-1), "n must be a whole number of at least 0, not -1"),
        (
            lambda d: vd.distances.factor_distances(d, normalize="no"),
            "normalize must be True or False, not 'no'",
        ),
        (
            lambda d: vd.diagnosis.largest_beta(d, 2, normalize="no"),
            "normalize must be True or False, not 'no'",
        ),
        (
            lambda _: vd.distances.ground_truth([[1, 2, 3]], [[1]]),
            r"of the same factors, not of shapes \(1, 3\) and \(1, 1\)",
        ),
        (
            lambda _: vd.distances.published_traversals(2, 0),
            "pairs must be a whole number of at least 1, not 0",
        ),
    ],
)
def test_arguments_are_checked_with_and_without_a_grid(call, says):
    for data in (part(59), part(60)):
        with pytest.raises(ValueError, match=says):
            call(data)


@pytest.mark.parametrize("number", [10**12, 10**18, 10**23])
def test_more_draws_than_memory_holds_are_refused(number):
    for data in (part(59), part(60)):
        for name, call in {
            "pairs": lambda d: vd.diagnose(d, pairs=number),
            "traversals": lambda d: vd.diagnose(d, traversals=number, exact=False),
            "n": lambda d: d.draw(number),
        }.items():
            with pytest.raises(ValueError, match=f"{name} must be at most 10,000,000,000, as"):
                call(data)
    space = vd.FactorSpace(["a", "b"], [3, 4])
    for draw in (lambda n: space.sample_index(n), lambda n: space.spread_bases("a", n)):
        with pytest.raises(ValueError, match="n must be at most 10,000,000,000, as memory holds"):
            draw(number)
    with pytest.raises(ValueError, match="pairs must be at most 10,000,000,000"):
        vd.distances.random_pairs(GRID, pairs=number)


def test_images_of_no_index_are_an_empty_tensor():
    floats = vd.LabelledImages(np.random.default_rng(0).random((5, 4, 3)), range(5))
    relabelled = vd.data.Relabelled(floats, {"a": range(5)})
    for data in (floats, relabelled):
        assert data[5:].shape == data.images([]).shape == (0, 4, 3, 1)
        assert data.observations(range(0)).shape == (0, 1, 4, 3)


GRID = vd.load("xysquares", image_size=12, square_size=3, grid_size=3, num_squares=1)
SPEC = vd.RunSpec(data="coordinates", model="mlp", latents=2, steps=1, batch=2)
SWITCHES = {
    "rgb": lambda value: vd.load("xysquares", rgb=value),
    "exact": lambda value: vd.diagnose(GRID, radii=(), exact=value),
    "check": lambda value: vd.diagnose(GRID, radii=(), check=value),
    "exact_mean": lambda value: vd.distances.random_pairs(GRID, exact_mean=value),
    "normalize": lambda value: GRID.observations([0], normalize=value),
    "channels_last": lambda value: GRID.observations([0], channels_last=value),
    "channelwise": lambda value: GRID.exact_bases("x_R", channelwise=value),
    "progress": lambda value: vd.fit(SPEC, progress=value),
    "shared_range": lambda value: vd.plots.distance_matrices(
        {"a": np.eye(3)}, {"a": np.eye(3)}, shared_range=value
    ),
}


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_is_true_or_false(name):
    for value in ("false", "no", 1):
        with pytest.raises(ValueError, match=f"{name} must be True,? .*not {value!r}"):
            SWITCHES[name](value)


def test_self_pairs_are_kept_or_left_out():
    distances = vd.distances.factor_distances(GRID)["x_R"]
    for call in (
        distances.agreement,
        lambda **option: vd.distances.agreement(distances.matrix, **option),
        lambda **option: vd.distances.pair_agreement(GRID, "x_R", **option),
    ):
        with pytest.raises(ValueError, match="self_pairs must be True or False, not 'no'"):
            call(self_pairs="no")


def test_switches_of_numpy_are_taken():
    no = np.bool_(False)
    assert vd.load("xysquares", rgb=no).shape == (64, 64, 1)
    assert GRID.observations([0, 1], normalize=no).max() == 1
    assert vd.RunSpec(normalize=no).key == vd.RunSpec(normalize=False).key
    assert vd.load("xysquares", rgb=False)[0].shape[-1] == 1
    with pytest.raises(ValueError, match="rgb must be True or False, not None"):
        vd.load("xysquares", rgb=None)


def raises_key_error(a, b):
    return {}["a"]


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        *(
            (lambda d, index=index: d[index], TypeError, "an index must be a whole number, or a")
            for index in ("a", None, ...)
        ),
        (lambda d: d[99], IndexError, "index 99 is out of range; there are 59 observations"),
        (lambda d: d[-60], IndexError, "index -60 is out of range"),
        (lambda d: vd.LabelledImages(d, [0]), ValueError, "images is a data set; use it as it is"),
        (
            lambda _: vd.metrics.mig(np.zeros(9), np.zeros((9, 1))),
            ValueError,
            r"codes has shape \(9,\), not .*; use codes\[:, None\] for a single column",
        ),
        (
            lambda _: vd.RunSpec.from_dict({"standardise": True, "normalize": True}),
            ValueError,
            "'standardise' is the earlier name of 'normalize'; give one of them",
        ),
        (lambda _: vd.FactorSpace(["a"], 3), ValueError, "sizes must be a list, .* not 3"),
        (lambda _: vd.FactorSpace(3, [3]), ValueError, "names must be a list, .* not 3"),
        *(
            (call, ValueError, "names of factors must be text, not 1; write '1'")
            for call in (
                lambda _: vd.FactorSpace([1, 0], [3, 3]),
                lambda _: vd.data.Relabelled(GRID, {1: [0, 1, 2] * 3, 0: sorted([0, 1, 2] * 3)}),
                lambda d: vd.LabelledImages(d.images(range(4)), [0, 1, 0, 1], [1]),
                lambda d: vd.LabelledImages(d.images(range(4)), {"0": [0, 1, 2, 3], 1: [0] * 4}),
            )
        ),
        (
            lambda d: vd.distances.factor_distances(d, lambda a, b: (a != b).any(3).any(2).any(1)),
            ValueError,
            "it gives True or False for each pair, where numbers were expected",
        ),
        (
            lambda d: vd.distances.factor_distances(d, raises_key_error),
            ValueError,
            "and 1 channel: KeyError: 'a'",
        ),
        (
            lambda d: vd.distances.agreement(vd.distances.factor_distances(d)["factor_0"]),
            TypeError,
            "a FactorDistances is no matrix: pass its .matrix, or call its .agreement",
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(call, error, says):
    with pytest.raises(error, match=says):
        call(part())


def test_an_array_that_a_file_lacks_is_answered_with_those_that_it_has(tmp_path):
    np.savez(tmp_path / "a.npz", foo=np.zeros((4, 2, 2), np.uint8), side=np.arange(4))
    for options in ({"images": "fo"}, {"images": "foo", "labels": "sid"}):
        says = f"has no array '{list(options.values())[-1]}'; it has: foo, side; name one"
        with pytest.raises(ValueError, match=says):
            vd.data.read_images(tmp_path / "a.npz", **options)
    assert len(vd.data.read_images(tmp_path / "a.npz", images="foo", labels="side")) == 4


def test_decimal_numbers_are_labels():
    images = np.arange(4, dtype=np.uint8)[:, None, None] * np.ones((2, 2), np.uint8)
    labels = [decimal.Decimal(text) for text in ("10", "0.5", "2", "0.5")]
    data = vd.LabelledImages(images, labels)
    assert data.to_factors(range(4)).flatten().tolist() == [2, 0, 1, 0]
    for missing in ("NaN", "Infinity", "sNaN"):
        with pytest.raises(ValueError, match="none missing or infinite"):
            vd.LabelledImages(images, [*labels[:3], decimal.Decimal(missing)])


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda d: d.agreement([[1, 2], [3]]), ValueError, "matrix must hold numbers, in rows of"),
        (
            lambda d: d.agreement(np.eye(3), truth="circle"),
            ValueError,
            r"truth must be a matrix, such as ground_truth_matrix\(3, 'circle'\), not 'circle'",
        ),
        (
            lambda d: d.ground_truth([[1, 2], [3, 4]], [[0, 0]] * 3),
            ValueError,
            r"factor values must be .*, not of shapes \(2, 2\) and \(3, 2\)",
        ),
        (lambda d: d.ground_truth(["a"], ["b"]), ValueError, "factor values must be whole numbers"),
        (
            lambda d: d.factor_distances(GRID)["x_R"].quantile("a"),
            ValueError,
            "share must hold numbers, in rows of one length",
        ),
        (lambda d: d.rank_losses(GRID, 3), ValueError, "candidates must be losses or their names"),
        (lambda d: d.rank_losses(GRID, "mse", factors=[]), ValueError, "at least one factor"),
        (lambda d: d.family(vd.losses.MSE(), radius=[1]), ValueError, "loss must be the name of"),
        (lambda d: vd.read_images(None), TypeError, "path must name a file or a folder, not None"),
    ],
)
def test_odd_arguments_are_one_sentence(call, error, says):
    with pytest.raises(error, match=says):
        call(vd.distances)


def test_a_matrix_may_be_a_tensor_with_a_gradient():
    matrix = torch.rand(3, 3, requires_grad=True)
    agreement = vd.distances.agreement(matrix)
    assert agreement == vd.distances.agreement(matrix.detach().double().numpy())
