"""Losses of one's own: what they are told apart by, and what is measured of them before a faster
way is taken.
"""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

import vaedis as vd
from vaedis import losses
from vaedis.diagnosis.bounds import largest_beta, rate_distortion_beta
from vaedis.distances.kernels import Kernel, Vectors, kernel_for
from vaedis.losses import properties
from vaedis.training import inspect

SQUARES = vd.load("xysquares", image_size=16, square_size=8, grid_spacing=1, num_squares=3)
GREY = vd.load("xysquares", image_size=16, square_size=4, grid_size=4, rgb=False, num_squares=1)
SPEC = vd.RunSpec(
    data_options={"image_size": 16, "square_size": 4, "grid_size": 4, "num_squares": 1},
    model="mlp",
    model_options={"hidden": [16]},
    latents=2,
    steps=12,
    batch=8,
)


class Weighted(losses.Loss):
    name = "weighted"

    def __init__(self, weight):
        self.weight = weight

    def distance(self, a, b):
        return (self.weight * (a - b).square()).mean((-1, -2, -3))


class Renamed(Weighted):
    pass


@dataclasses.dataclass(frozen=True)
class Half(losses.MSE):
    """Inherits `quadratic` and `embed` of a loss that it is not."""

    factor: float = 0.5
    name = "half"

    def distance(self, a, b):
        return self.factor * super().distance(a, b)


class Words(losses.MSE):
    """Its code holds a set of words, whose order is another in each process."""

    def distance(self, a, b):
        return super().distance(a, b) * (self.name in {"mse", "squares", "squared", "l2", "norm"})


class Features(losses.Loss):
    """Squared distances of features that are not linear in the image."""

    name, quadratic = "features", True

    def __init__(self, seed=0):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = torch.nn.Sequential(
                torch.nn.Conv2d(1, 4, 3, 2), torch.nn.ReLU(), torch.nn.Flatten()
            )

    def embed(self, x):
        return self.network(x.float())

    def distance(self, a, b):
        return (self.embed(a) - self.embed(b)).square().sum(-1)


class PlainFeatures(Features):
    """As one would write it: the network's weights are float32, and what it is given is left as it
    is.
    """

    def embed(self, x):
        return self.network(x)


class PlainNetwork(Features):
    quadratic = False

    def distance(self, a, b):
        return (self.network(a) - self.network(b)).square().sum(-1)


class Brightest(losses.Loss):
    """Mixes channels, and inherits that it does not."""

    name = "brightest"

    def distance(self, a, b):
        return (a.amax(-3) - b.amax(-3)).square().mean((-1, -2))


class BrightestSquares(Brightest):
    quadratic = True

    def embed(self, x):
        return x.amax(-3).flatten(-2) / 16


class Shifted(losses.Loss):
    """A quadratic form whose vectors are linear but for a constant."""

    name, quadratic = "shifted", True

    def embed(self, x):
        return 3 * x.flatten(-3) / x[0].numel() ** 0.5 + 1

    def distance(self, a, b):
        return (self.embed(a) - self.embed(b)).square().sum(-1)


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        (Weighted(1), Weighted(1.0), Weighted(100.0)),
        (Weighted(torch.ones(3)), Weighted(torch.ones(3)), Weighted(torch.tensor([1.0, 1.0, 2.0]))),
        (Weighted(np.arange(3)), Weighted(np.arange(3)), Weighted(np.arange(3.0))),
        (Features(0), Features(0), Features(1)),
        (Weighted([1, {"a": (2, 3)}]), Weighted([1, {"a": (2, 3)}]), Weighted([1, {"a": (2, 4)}])),
        (Weighted(lambda x: x), Weighted(1).__class__(lambda x: x), Weighted(lambda x: x + 1)),
        (Weighted(1), Weighted(1), Renamed(1)),
        (losses.BoxBlur(3), losses.BoxBlur(3), losses.BoxBlur(4)),
        (Half(), Half(factor=0.5), Half(factor=0.25)),
    ],
)
def test_a_loss_is_told_apart_by_all_that_it_holds(one, same, other):
    assert one.fingerprint() == same.fingerprint() != other.fingerprint()
    keys = [SPEC.replace(loss=loss).key for loss in (one, same, other)]
    assert keys[0] == keys[1] != keys[2]
    assert one != other
    if type(one) is type(same):
        assert one == same
        assert hash(one) == hash(same)


def test_what_cannot_be_told_apart_has_no_fingerprint_and_equals_only_itself():
    one, other = Weighted(iter([1])), Weighted(iter([1]))
    assert one == one
    assert one != other
    with pytest.raises(
        ValueError,
        match=r"Weighted\.weight is a list_iterator, so it cannot be told whether two such losses are the",
    ):
        one.fingerprint()
    assert SPEC.replace(loss=one).key != SPEC.replace(loss=Weighted(1)).key
    with pytest.raises(ValueError, match="a key cannot follow from <object object"):
        vd.RunSpec(data_options={"source": object()}).key  # noqa: B018


def test_a_fingerprint_is_the_same_in_every_process():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_measured as t; "
        "print(t.Features(3).fingerprint(), t.Words().fingerprint(), t.Nested().fingerprint())"
    )
    # another order of words in sets than in this process
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    done = subprocess.run(
        [sys.executable, "-c", code, os.path.dirname(__file__)],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    ours = [loss.fingerprint() for loss in (Features(3), Words(), Nested())]
    assert done.stdout.split() == " ".join(ours).split()


class Slots(losses.Loss):
    __slots__ = ("weight",)

    def distance(self, a, b):
        return self.weight * (a - b).square().mean((-1, -2, -3))


def test_state_in_slots_is_refused_not_overlooked():
    with pytest.raises(ValueError, match="it cannot be told whether two such losses are the same"):
        Slots().fingerprint()


def test_losses_of_one_class_share_no_population_and_no_checkpoint(tmp_path):
    one, hundred = SPEC.replace(loss=Weighted(1.0)), SPEC.replace(loss=Weighted(100.0))
    first = [run.history["recon"][0] for run in vd.fit([one, hundred], device="cpu")]
    assert first[1] == pytest.approx(100 * first[0], rel=1e-5)
    vd.fit(one, device="cpu", checkpoint=tmp_path)
    resumed = vd.fit(hundred, device="cpu", checkpoint=tmp_path)
    assert np.array_equal(resumed.history["recon"], vd.fit(hundred, device="cpu").history["recon"])


def pair_by_pair(data, loss, factor):
    """The mean over all traversals of the loss itself, on float64 images."""
    index = data.factors.traversal(factor, data.factors.traversal_bases(factor))
    size, step = index.shape[1], max(1, len(index) // 512)
    images = data.images(index[::step].flatten()).permute(0, 3, 1, 2).double() / 255
    x = images.unflatten(0, (-1, size))
    with torch.no_grad():
        return np.array(
            [
                [float(loss.distance(x[:, i], x[:, j]).double().mean()) for j in range(size)]
                for i in range(size)
            ]
        )


@pytest.mark.parametrize(
    ("loss", "kernel"),
    [(Features(), Vectors), (Half(), Kernel), (Shifted(), Vectors), (Weighted(2.0), Kernel)],
)
def test_the_fast_way_is_taken_only_where_it_is_right(loss, kernel):
    assert type(kernel_for(GREY, loss)) is kernel
    matrix = vd.distances.traversal_matrices(GREY, loss, factors=["x_R"])["x_R"]
    np.testing.assert_allclose(matrix, pair_by_pair(GREY, loss, "x_R"), rtol=1e-5, atol=1e-8)
    # the mean over all pairs, in closed form or not
    every = torch.arange(len(GREY))
    a, b = (part.flatten() for part in torch.meshgrid(every, every, indexing="ij"))
    right = float(vd.distances.perceived(GREY, a, b, loss=loss).mean())
    assert vd.distances.random_pairs(GREY, loss, pairs=100).mean == pytest.approx(right, rel=1e-5)


@pytest.mark.parametrize(("loss", "kernel"), [(PlainFeatures(), Vectors), (PlainNetwork(), Kernel)])
def test_networks_with_weights_in_float32_need_no_cast(loss, kernel):
    assert type(kernel_for(GREY, loss)) is kernel
    matrix = vd.distances.traversal_matrices(GREY, loss, factors=["x_R"])["x_R"]
    np.testing.assert_allclose(matrix, pair_by_pair(GREY, Features(), "x_R"), rtol=1e-5, atol=1e-8)


def test_distances_inside_a_run_take_such_a_network_too():
    run = vd.fit(dataclasses.replace(SPEC, loss=PlainNetwork(), steps=2), data=GREY, device="cpu")
    levels = inspect.level_matrices(run, "x_R", traversals=16)
    right = inspect.level_matrices(dataclasses.replace(run, loss=Features()), "x_R", traversals=16)
    np.testing.assert_allclose(levels["x"], right["x"], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("loss", [Brightest(), BrightestSquares()])
def test_a_loss_that_mixes_channels_is_averaged_over_all_traversals(loss):
    data = vd.load(
        "xysquares", image_size=16, square_size=8, grid_spacing=2, num_squares=3, grid_size=3
    )
    assert not properties.is_channelwise(loss, data, False)
    found = vd.distances.factor_distances(data, loss, factors=["x_R"])["x_R"]
    assert found.traversals == len(data) // 3
    np.testing.assert_allclose(found.matrix, pair_by_pair(data, loss, "x_R"), rtol=1e-6)
    v = BrightestSquares().embed(
        data.images(torch.arange(len(data))).permute(0, 3, 1, 2).double() / 255
    )
    right = 2 * float(v.square().sum(1).mean() - v.mean(0).square().sum())
    assert vd.distances.random_pairs(data, loss, pairs=100).mean == pytest.approx(right, rel=1e-6)


def test_a_loss_of_channels_keeps_its_fast_way():
    assert properties.is_channelwise(Weighted(2.0), SQUARES, False)
    assert properties.is_channelwise(
        Weighted(torch.tensor([1.0, 2.0, 3.0])[:, None, None]), SQUARES, True
    )
    few = vd.distances.factor_distances(SQUARES, Weighted(2.0), factors=["x_R"])["x_R"]
    np.testing.assert_allclose(
        few.matrix,
        2 * vd.distances.factor_distances(SQUARES, "mse", factors=["x_R"])["x_R"].matrix,
        rtol=1e-6,
    )
    assert few.traversals < 100


@pytest.mark.parametrize("loss", [Features(), Half()])
def test_what_needs_a_quadratic_form_refuses_a_loss_that_only_says_so(loss):
    with pytest.raises(
        ValueError,
        match=f"coordinates need a loss that is a quadratic form, .* not '{loss.name}': one with quadratic = True",
    ):
        vd.load("coordinates", source=GREY, distance=loss)
    for bound in (largest_beta, rate_distortion_beta):
        with pytest.raises(ValueError, match="bounds on beta need a loss that is a quadratic form"):
            bound(GREY, 2, loss=loss)


def test_the_losses_of_the_package_are_believed_and_cost_nothing():
    class Silent(type(GREY)):
        def _observations(self, *_):
            pytest.fail("an image was made to measure a loss")

    data = Silent(image_size=16, square_size=4, grid_size=4, rgb=False, num_squares=1)
    for name in losses.LOSSES:
        kernel_for(data, name).channelwise  # noqa: B018


class Wrong(losses.MSE):
    """Does what `way` says with the mean squared difference of each pair."""

    def __init__(self, way):
        object.__setattr__(self, "way", way)
        object.__setattr__(self, "calls", [])

    def distance(self, a, b):
        self.calls.append(1)
        return self.way(super().distance(a, b), self)


def test_batch_norm_in_training_mode_is_refused():
    layer = torch.nn.BatchNorm2d(3).double()
    loss = Wrong(lambda d, _: d)
    object.__setattr__(
        loss, "distance", lambda a, b: (layer(a) - layer(b)).square().mean((-1, -2, -3))
    )
    data = vd.LabelledImages(
        np.random.default_rng(0).integers(0, 256, (12, 4, 4, 3)).astype(np.uint8),
        np.arange(12) // 3,
    )
    with pytest.raises(ValueError, match="with networks in evaluation mode"):
        kernel_for(data, loss)
    layer.eval()
    assert type(kernel_for(data, loss)) is Kernel


def test_a_claim_that_fails_only_between_some_images_is_refused_where_it_fails():
    rng = np.random.default_rng(0)
    labels = np.stack([np.arange(400) // 20, np.arange(400) % 20], 1)
    images = rng.integers(100, 110, (400, 4, 4)).astype(np.uint8)
    images[211] = 255  # one image of 400, that no sample of a few holds
    data = vd.LabelledImages(images, labels)
    loss = Wrong(lambda d, _: torch.where(d > 0.1, 2 * d, d))
    assert type(kernel_for(data, loss)) is Vectors
    with pytest.raises(
        ValueError,
        match=r"is declared with quadratic = True, but between two images .* declare quadratic = False",
    ):
        vd.distances.factor_distances(data, loss)
    object.__setattr__(loss, "quadratic", False)
    vd.distances.factor_distances(data, loss)


WEIGHT = 1.0


class Nested(losses.Loss):
    name = "nested"

    def distance(self, a, b):
        parts = [
            (lambda x: WEIGHT * x.square())(a[..., c, :, :] - b[..., c, :, :])
            for c in range(a.shape[-3])
        ]
        return torch.stack(parts).mean((0, -1, -2))


def test_what_inner_functions_use_counts(monkeypatch):
    before = Nested().fingerprint()
    monkeypatch.setitem(globals(), "WEIGHT", 2.0)
    assert Nested().fingerprint() != before
