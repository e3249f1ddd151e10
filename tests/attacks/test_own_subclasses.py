"""Classes derived from data sets and losses of the package: what they replace is what counts."""

import importlib
import sys
import types

import numpy as np
import pytest
import torch

import vaedis as vd
from vaedis import distances, losses
from vaedis.data import Coordinates, DSprites, LabelledImages, Relabelled, Shapes3D, Stored
from vaedis.data.xyobject import XYObject
from vaedis.losses.fingerprint import fingerprint

OPTIONS = {"image_size": 16, "square_size": 4, "grid_size": 3, "num_squares": 3}
ONE = {"image_size": 8, "square_size": 2, "grid_size": 3, "num_squares": 1}
SPEC = vd.RunSpec(
    data_options=ONE, model="mlp", model_options={"hidden": [4]}, latents=2, steps=1, batch=4
)


class Inverted:
    """Replaces the images of any data set that comes behind it."""

    def _images(self, index):
        return 255 - super()._images(index)


class Mixed(vd.data.XYSquares):
    """Squares whose channels no longer depend on different factors."""

    def _images(self, index):
        x = super()._images(index)
        return x.amax(-1, keepdim=True).expand_as(x)


def inverted(cls, *args, **options):
    return type("Mine", (Inverted, cls), {})(*args, **options)


def few(data):
    return data.observations([0, 3], normalize=False), data.images([0, 3])


@pytest.mark.parametrize("cls", [vd.data.XYSquares, XYObject, DSprites, Shapes3D])
@pytest.mark.parametrize("channels_last", [False, True])
def test_observations_are_those_of_the_images_that_a_subclass_makes(cls, channels_last):
    options = OPTIONS if cls is vd.data.XYSquares else {}
    plain, mine = cls(**options), inverted(cls, **options)
    wanted = 1 - plain.observations([0, 3], normalize=False, channels_last=channels_last)
    found = mine.observations([0, 3], normalize=False, channels_last=channels_last)
    torch.testing.assert_close(found, wanted)
    # and the class itself keeps its own constants
    assert {"mean", "_moments"} & vars(cls).keys()


def test_a_subclass_is_normalized_by_its_own_mean_and_std():
    plain, mine = vd.data.XYSquares(**OPTIONS), inverted(vd.data.XYSquares, **OPTIONS)
    assert mine.mean == pytest.approx([1 - mean for mean in plain.mean])
    assert mine.std == pytest.approx(plain.std)
    declared = type("Mine", (type(mine),), {"mean": (0.25,), "std": (0.5,)})(**OPTIONS)
    torch.testing.assert_close(
        declared.observations([0]), (declared.observations([0], normalize=False) - 0.25) / 0.5
    )


class Random(vd.data.XYSquares):
    def _images(self, index):
        x = super()._images(index)
        return (x * torch.rand(x.shape)).byte()


class InOneBuffer(vd.data.XYSquares):
    """Makes all images in the same memory."""

    def _images(self, index):
        if not hasattr(self, "buffer"):
            self.buffer = torch.empty(100, *self.shape, dtype=torch.uint8)
        self.buffer[: len(index)] = super()._images(index)
        return self.buffer[: len(index)]


class ByTheOthers(vd.data.XYSquares):
    """Scales each batch by what is in it."""

    dtype = torch.float32

    def _images(self, index):
        x = super()._images(index).float() * (1 + index.float())[:, None, None, None]
        return x / x.max()


class ByPlace(vd.data.XYSquares):
    """Adds noise of one seed, which follows from the place in a batch."""

    def _images(self, index):
        x = super()._images(index)
        noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(0))
        return x // 2 + (100 * noise).byte()


class NowAndThen(vd.data.XYSquares):
    """Erases every other image by chance, and never the first."""

    def _images(self, index):
        x = super()._images(index).clone()
        x[(torch.rand(len(index)) < 0.5) & (index > 0)] = 0
        return x


@pytest.mark.parametrize("cls", [Random, InOneBuffer, ByTheOthers, ByPlace, NowAndThen])
def test_images_that_do_not_follow_from_their_index_are_refused(cls):
    says = f"{cls.__name__}._images changes its images when it is asked for the same ones again"
    for use in (
        lambda data: distances.factor_distances(data, "mse"),
        lambda data: vd.fit(SPEC, data=data, device="cpu"),
        lambda data: data.images([0, 5, 3]),
    ):
        with pytest.raises(ValueError, match=says):
            use(cls(**ONE))


def test_rounding_of_images_is_not_a_change():
    class Rounded(vd.data.XYSquares):
        def _images(self, index):
            return super()._images(index) // 2 + torch.randint(0, 2, (len(index), 1, 1, 1)).byte()

    assert Rounded(**ONE).images([0, 1, 2]).shape == (3, 8, 8, 3)


@pytest.mark.parametrize("make", [lambda: vd.data.XYSquares(**OPTIONS), XYObject])
def test_constants_that_are_set_later_count(make):
    data = make()
    data.observations([0])
    data.mean, data.std = (0.5,) * 3, (0.25,) * 3
    expected = (data.observations([0], normalize=False) - 0.5) / 0.25
    for channels_last in (False, True):
        torch.testing.assert_close(data.observations([0], channels_last=channels_last), expected)


def test_constants_may_be_tensors_and_arrays():
    class Measured(vd.data.XYSquares):
        mean, std = torch.tensor([0.5, 0.5, 0.5]), np.full(3, 0.25)

    data = Measured(**OPTIONS)
    expected = (data.observations([0, 3], normalize=False) - 0.5) / 0.25
    for channels_last in (False, True):
        found = data.observations([0, 3], channels_last=channels_last)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", ["images", "observations"])
def test_images_are_changed_in_one_place_only(name):
    with pytest.raises(TypeError, match=f"must change its images in _images.* not in {name}"):
        type("Mine", (vd.data.XYSquares,), {name: lambda self, index, **options: None})


def test_a_class_that_says_the_least_has_the_name_of_its_class():
    class Bars(vd.FactorData):
        shape = (8, 8, 1)
        factors = vd.FactorSpace(("height",), (8,))

        def _images(self, index):
            row = torch.arange(8)[:, None, None]
            return ((row < index[:, None, None, None]) * 255).byte().expand(-1, 8, 8, 1)

    assert repr(Bars()) == "Bars(8 images of 8×8×1; height 8; generated; on cpu)"
    run = vd.fit(SPEC.replace(data_options={}), data=Bars(), device="cpu")
    assert run.spec.data == "given: Bars"


def test_constants_that_differ_by_channel_are_not_taken_for_one():
    class Declared(vd.data.XYSquares):
        mean, std = (0.1, 0.2, 0.3), (1.0, 2.0, 4.0)

    data = Declared(**OPTIONS)
    for channels_last in (False, True):
        found = data.observations([0], channels_last=channels_last)
        torch.testing.assert_close(found, data.normalize(data.observations([0], normalize=False)))


def test_distances_of_a_subclass_are_those_of_the_same_images_in_a_table():
    mine = Mixed(**OPTIONS)
    table = LabelledImages(mine.images(range(len(mine))).numpy(), sizes=mine.factors.sizes)
    for loss in ("mse", "box-blur"):
        found = distances.factor_distances(mine, loss, factors=["x_R"])["x_R"]
        right = distances.factor_distances(table, loss, factors=["factor_0"])["factor_0"]
        assert found.exact
        assert found.mean == pytest.approx(right.mean, rel=1e-12)
    assert distances.random_pairs(mine).mean == pytest.approx(distances.random_pairs(table).mean)
    small = Mixed(**{**OPTIONS, "num_squares": 2, "grid_size": 2})
    a, b = torch.arange(16), torch.arange(16).flip(0)
    points = Coordinates(small).coordinates(range(16))
    torch.testing.assert_close(
        (points[a] - points[b]).square().mean(1),
        distances.perceived(small, a, b, normalize=True),
    )


def test_channel_factors_that_do_not_hold_are_refused():
    class Declared(Mixed):
        channel_factors = ((0, 1), (2, 3), (4, 5))

    with pytest.raises(ValueError, match="channel 0 changes with other factors than they say"):
        distances.factor_distances(Declared(**OPTIONS))
    right = type("Same", (vd.data.XYSquares,), {})(**OPTIONS)
    assert distances.factor_distances(right)["x_R"].traversals == 3


def test_images_that_a_table_or_a_relabelled_set_is_derived_for():
    images = np.arange(12, dtype=np.uint8).repeat(16).reshape(12, 4, 4)
    table = inverted(LabelledImages, images, sizes=[12])
    assert table.mean == pytest.approx([1 - images.mean() / 255])
    seen, raw = few(table)
    torch.testing.assert_close(seen, raw.permute(0, 3, 1, 2) / 255)
    turned = inverted(Relabelled, LabelledImages(images, sizes=[12]), {"back": range(12)[::-1]})
    seen, raw = few(turned)
    torch.testing.assert_close(seen, raw.permute(0, 3, 1, 2) / 255)
    assert turned.mean == pytest.approx(table.mean)
    assert float(turned.observations(range(12)).mean()) == pytest.approx(
        float(table.observations(range(12)).mean()), abs=1e-6
    )
    assert type("Mine", (Inverted, Stored), {}).mean is vd.FactorData.__dict__["mean"]


class Plain(vd.FactorData):
    """A data set that declares no normalisation."""

    name, origin, shape = "plain", "generated", (4, 4, 3)
    factors = vd.FactorSpace(["a", "b"], (3, 4))

    def _images(self, index):
        return (torch.arange(48).view(4, 4, 3) * (index[:, None, None, None] + 1) % 251).byte()


def test_a_class_that_declares_no_normalisation_is_measured():
    data = Plain()
    table = LabelledImages(data.images(range(12)).numpy(), sizes=[3, 4])
    assert (data.mean, data.std) == (table.mean, table.std)
    # what one's own class declares is for its subclasses too
    brighter = type("Mine", (Plain,), {"mean": (0.5,), "std": (0.25,)})
    assert inverted(brighter).mean == (0.5,)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("std", (0.5, 0.25)),
        ("std", (0.5, 0.0, 0.5)),
        ("std", (0.5, -1.0, 0.5)),
        ("std", 0.5),
        ("mean", (0.5, float("nan"), 0.5)),
        ("mean", (0.5,) * 4),
        ("mean", "abc"),
    ],
)
def test_a_normalisation_that_is_none_is_one_sentence(name, value):
    data = Plain()
    setattr(data, name, value)
    says = f"^{name} of 'plain' must hold one finite number.* for each channel, 3 in all, not"
    for use in (
        lambda: data.observations([0]),
        lambda: distances.factor_distances(data, normalize=True),
        lambda: vd.fit(SPEC.replace(data="xysquares", data_options={}), data=data, device="cpu"),
    ):
        with pytest.raises(ValueError, match=says):
            use()
    assert distances.factor_distances(data)["a"].exact


def test_one_constant_for_all_channels_is_right():
    data = Plain()
    data.mean, data.std = (0.5,), (0.25,)
    one = distances.factor_distances(data, normalize=True)["a"].mean
    data.std = (0.25,) * 3
    assert distances.factor_distances(data, normalize=True)["a"].mean == pytest.approx(one)


def test_coordinates_that_are_relabelled_are_decoded_as_coordinates():
    source = Coordinates(vd.data.XYSquares(**ONE))
    data = Relabelled(source, {"position": range(9)})
    points = data.observations([0, 5])
    for name in ("normalize", "denormalize"):
        assert torch.equal(getattr(data, name)(points), getattr(source, name)(points))
    assert data.denormalize(points).shape == (2, 3, 8, 8)
    floats = LabelledImages(np.linspace(0, 9, 12, dtype=np.float32).reshape(3, 2, 2), sizes=[3])
    turned = Relabelled(floats, {"a": [2, 1, 0]})
    assert torch.equal(turned.for_display(floats[0]), floats.for_display(floats[0]))


def test_a_run_on_a_relabelled_set_is_loaded_with_the_display_of_its_source(tmp_path):
    code = torch.zeros(1, 2)
    squares = Relabelled(vd.data.XYSquares(**ONE), {"position": range(9)})
    run = vd.fit(SPEC, data=squares, device="cpu")
    run.save(tmp_path / "squares")
    loaded = vd.load_run(tmp_path / "squares", device="cpu")
    assert torch.equal(loaded.decode_images(code), run.decode_images(code))
    points = Relabelled(Coordinates(vd.data.XYSquares(**ONE)), {"position": range(9)})
    vd.fit(SPEC, data=points, device="cpu").save(tmp_path / "points")
    loaded = vd.load_run(tmp_path / "points", device="cpu")
    with pytest.raises(ValueError, match="are not saved with the run; give the data set"):
        loaded.decode_images(code)


# Losses


def writing(a, b):
    return (a - b.clamp_(0.3, 0.6)).square().mean((1, 2, 3))


class Heavier(losses.BCE):
    """Measures a hundred times of what trains."""

    def distance(self, a, b):
        return 100 * super().distance(a, b)


class Same(losses.BCE):
    """Trains by logits, and measures the same."""


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        (writing, r"the loss 'writing' changes the images that it is given; compute with copies"),
        (
            losses.features(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.ReLU(inplace=True))),
            "changes the images that it is given",
        ),
        (Heavier(), r"the loss 'Heavier' gives .* where it trains and .* where it measures"),
    ],
)
def test_losses_that_measure_something_else_than_they_train_are_refused(loss, says):
    data = vd.data.XYSquares(**ONE)
    normalize = not losses.get(loss).unit_range
    with pytest.raises(ValueError, match=says):
        distances.factor_distances(data, loss, normalize=normalize)
    with pytest.raises(ValueError, match=says):
        vd.fit(SPEC, loss=loss, device="cpu")


def test_a_loss_that_trains_by_logits_and_measures_the_same_is_one_loss():
    data = vd.data.XYSquares(**ONE)
    found = distances.factor_distances(data, Same())["x_R"].mean
    assert found == pytest.approx(distances.factor_distances(data, "bce")["x_R"].mean)
    assert np.isfinite(vd.fit(SPEC, loss=Same(), device="cpu").history["recon"]).all()


@pytest.mark.parametrize("problem", [KeyError("a"), AttributeError("no such")])
def test_an_embed_that_fails_is_one_sentence(problem):
    class Failing(losses.MSE):
        def embed(self, x):
            raise problem

    kind = type(problem).__name__
    for use in (vd.diagnose, distances.factor_distances, Coordinates):
        with pytest.raises(ValueError, match=rf"^the loss 'Failing' .*its embed fails with {kind}"):
            use(vd.data.XYSquares(**ONE), Failing())


def test_the_name_of_a_loss_is_text():
    loss = Same()
    vars(loss)["name"] = 5
    for use in (vd.diagnose, distances.rank_losses, distances.factor_distances):
        with pytest.raises(TypeError, match="the name of a loss must be text, not 5"):
            use(vd.data.XYSquares(**ONE), loss)


READS = {
    "a module of a package": ("import own.settings", "own.settings.weight"),
    "a class": ("from own import settings", "settings.C.weight"),
    "a class of another package": ("from own.settings import C", "C.weight"),
    "a list": ("from own import settings", "settings.weights[0]"),
    "getattr": ("from own import settings", "getattr(settings, 'weight')"),
    "getattr, twice": ("from own import settings", "getattr(settings, 'C', None).weight"),
    "one of two": ("from own import settings", "s = settings.C if b else a", "s.weight"),
    "a comprehension": ("from own import settings", "s = settings.C", "sum(s.weight for _ in a)"),
    "another list": ("from own import settings", "s = settings.C", "sum([s.weight for _ in a])"),
    "a network": ("from own import settings", "settings.network(a)"),
    "an object": ("from own import settings", "settings.plain.weight"),
    "an object without end": ("from own import settings", "settings.endless.T.T.weight"),
}


class Held:
    def __init__(self, weight):
        self.weight = weight


class Endless(Held):
    """Has no end, and its value cannot be told."""

    __slots__ = ("more",)

    @property
    def T(self):
        return type(self)(self.weight)


@pytest.mark.parametrize("name", READS)
def test_numbers_that_a_function_reads_elsewhere_are_part_of_its_fingerprint(
    name, tmp_path, monkeypatch
):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "settings.py").write_text("class C:\n    weight = 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "modules", sys.modules.copy())
    settings = importlib.import_module("own.settings")
    outside, *inside, value = READS[name]
    module = types.ModuleType("own.my_losses")
    module.__package__ = "own"
    lines = [
        outside,
        "def f(a, b):",
        *(f"    {line}" for line in inside),
        f"    return {value} * a",
    ]
    prints = []
    for weight in (1.0, 2.0, 1.0):
        settings.weight = settings.C.weight = weight
        settings.weights = [weight]
        settings.network = torch.nn.Linear(1, 1, bias=False).requires_grad_(False)
        settings.network.weight.fill_(weight)
        settings.plain = Held(weight)
        settings.endless = Endless(weight)
        exec("\n".join(lines), vars(module))
        prints.append(fingerprint(module.f))
    assert prints[0] == prints[2] != prints[1]
