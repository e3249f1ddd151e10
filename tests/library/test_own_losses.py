"""Losses that are plain functions, and features of networks: right wherever a loss is taken, or
refused in one sentence.
"""

import functools
import sys

import numpy as np
import pytest
import torch

import vaedis as vd
from vaedis import cli, losses
from vaedis.diagnosis.bounds import largest_beta
from vaedis.distances.kernels import Kernel, Vectors, kernel_for

DATA = vd.load("xysquares", image_size=16, square_size=4, grid_size=4, num_squares=1)
SPEC = vd.RunSpec(
    data_options={"image_size": 16, "square_size": 4, "grid_size": 4, "num_squares": 1},
    model="mlp",
    model_options={"hidden": [16]},
    latents=2,
    steps=3,
    batch=8,
)
X = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def squares(a, b):
    assert a.shape == b.shape
    assert a.ndim == 4
    return (a - b).square().mean((1, 2, 3))


def network(seed=0, *layers):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, 2), *layers)


def test_a_function_measures_distances_as_the_loss_that_it_computes():
    along = vd.distances.factor_distances(DATA, squares)
    right = vd.distances.factor_distances(DATA, "mse")
    for name in DATA.factors.names:
        np.testing.assert_allclose(along[name].matrix, right[name].matrix, rtol=1e-12, atol=1e-15)
    index = torch.arange(16)
    torch.testing.assert_close(
        vd.distances.perceived(DATA, index, index.flip(0), loss=squares),
        vd.distances.perceived(DATA, index, index.flip(0)),
    )


def test_a_function_is_ranked_and_diagnosed_by_its_name():
    ranked = vd.distances.rank_losses(DATA, ["mse", squares], pairs=50)
    assert {one.name for one in ranked} == {"mse", "squares"}
    assert ranked[0].linear == pytest.approx(ranked[1].linear, abs=1e-12)
    assert ranked[0].random.rank == pytest.approx(ranked[1].random.rank, abs=1e-12)
    assert vd.distances.rank_losses(DATA, squares)[0].name == "squares"
    assert vd.distances.rank_losses(DATA, losses.MSE())[0].name == "mse"
    pixels, own = vd.diagnose(DATA, losses=["mse", squares], radii=()).losses
    assert (pixels.loss, own.loss) == ("MSE", "squares")
    assert [f.verdict for f in own.factors] == [f.verdict for f in pixels.factors]
    (alone,) = vd.diagnose(DATA, squares, radii=()).losses
    assert str(alone) == str(own)


def test_a_function_gets_batches_whatever_the_shapes_that_are_compared():
    loss, right = losses.get(squares), losses.MSE()
    for a, b in ((X, X.flip(0)), (X[0], X[1]), (X[:, None], X), (X[:1], X), (X[None], X[None])):
        torch.testing.assert_close(loss.distance(a, b), right.distance(a, b))
        torch.testing.assert_close(loss(a, b), right(a, b))


def test_training_under_a_function_is_training_under_what_it_computes():
    run = vd.fit(SPEC.replace(loss=losses.get(squares)), device="cpu")
    np.testing.assert_allclose(
        run.history["recon"], vd.fit(SPEC, device="cpu").history["recon"], rtol=1e-5
    )


def test_features_are_compared_by_their_mean_square():
    phi = network(0, torch.nn.ReLU()).double()
    loss = losses.features(phi)
    with torch.no_grad():
        right = (phi(X) - phi(X.flip(0))).square().mean((1, 2, 3))
        torch.testing.assert_close(loss.distance(X, X.flip(0)), right)
        torch.testing.assert_close(loss.distance(X[:, None], X)[:, 0], loss.distance(X, X[:1]))
    assert loss.name == "features of Sequential"
    # of a function as well, and of features without further dimensions
    assert losses.features(lambda x: x.mean((1, 2, 3))).embed(X).shape == (4, 1)


def test_each_image_goes_through_a_network_once():
    n_images = []
    phi = network(0, torch.nn.ReLU())

    def counted(x):
        n_images.append(len(x))
        return phi(x)

    kernel = kernel_for(DATA, losses.features(counted))
    assert type(kernel) is Vectors
    n_images.clear()
    kernel.distances(DATA.images(torch.arange(8))[None])
    assert n_images == [8]


def test_the_network_of_a_loss_is_a_copy_that_no_training_changes():
    mine = network(0, torch.nn.BatchNorm2d(4), torch.nn.ReLU())
    loss = losses.features(mine)
    before = loss.fingerprint()
    run = vd.fit(SPEC.replace(loss=loss), device="cpu")
    assert np.isfinite(run.history["recon"]).all()
    assert loss.fingerprint() == before
    # gradients reach the images and not the network, and the caller's network is as it was
    a = X.float().requires_grad_()
    loss.distance(a, X.flip(0).float()).sum().backward()
    assert a.grad.abs().sum() > 0
    assert all(p.grad is None and not p.requires_grad for p in loss.network.parameters())
    assert not loss.network.training
    assert mine.training
    assert all(p.requires_grad for p in mine.parameters())
    with torch.no_grad():
        mine[0].weight.zero_()
    assert loss.fingerprint() == before


def test_only_linear_features_are_a_quadratic_form():
    bound = largest_beta(DATA, 2, loss=losses.features(lambda x: 3 * x.diff(dim=-1)))
    plain = largest_beta(DATA, 2, loss=losses.features(lambda x: x.diff(dim=-1)))
    assert bound == pytest.approx(9 * plain, rel=1e-6)
    with pytest.raises(ValueError, match=r"need a loss that is a quadratic form.*features of Seq"):
        largest_beta(DATA, 2, loss=losses.features(network(0, torch.nn.ReLU())))


def holding(value):
    def held(a, b):
        return squares(a, b) * value

    return held


@functools.cache
def weight(n):
    return torch.ones(n) * 2


def cached(a, b):
    return squares(a, b) * weight(1)


class Layer(torch.nn.Module):
    def forward(self, x):
        return x.diff(dim=-1)


class OtherLayer(torch.nn.Module):
    def forward(self, x):
        return x.diff(dim=-2)


OtherLayer.__qualname__ = OtherLayer.__name__ = "Layer"


def scaled(a, b, by):
    return by * squares(a, b)


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        (holding(2), holding(3 - 1), holding(3)),
        (holding(torch.ones(1)), holding(torch.ones(1)), holding(torch.zeros(1))),
        (holding(network(0)), holding(network(0)), holding(network(1))),
        (lambda a, b: squares(a, b), lambda a, b: squares(a, b), lambda a, b: 2 * squares(a, b)),
        (*[functools.partial(scaled, by=by) for by in (1, 1.0, 2)],),
        (torch.nn.L1Loss(), torch.nn.L1Loss(), torch.nn.L1Loss(reduction="none")),
        (cached, cached, squares),
    ],
)
def test_functions_are_told_apart_by_their_code_and_all_that_they_hold(one, same, other):
    one, same, other = map(losses.get, (one, same, other))
    assert one.fingerprint() == same.fingerprint() != other.fingerprint()
    assert one == same
    assert one != other
    keys = [SPEC.replace(loss=loss).key for loss in (one, same, other)]
    assert keys[0] == keys[1] != keys[2]


def test_features_are_told_apart_by_the_weights_and_the_code_of_their_layers():
    assert losses.features(network(0)) == losses.features(network(0))
    assert losses.features(network(0)) != losses.features(network(1))
    within = [losses.features(torch.nn.Sequential(kind())) for kind in (Layer, Layer, OtherLayer)]
    assert within[0] == within[1] != within[2]
    assert losses.features(lambda x: x) != losses.features(lambda x: 2 * x)


def test_a_function_whose_values_cannot_be_told_equals_only_itself():
    loss = losses.get(holding(iter([1])))
    assert loss == loss
    assert loss != losses.get(holding(iter([1])))
    with pytest.raises(ValueError, match="value in held is a list_iterator, so it cannot be told"):
        loss.fingerprint()
    assert SPEC.replace(loss=loss).key != SPEC.replace(loss=losses.get(holding(1))).key


def similarity(a, b):
    return 1 / (1 + squares(a, b))


CALLS = []


def counting(a, b):
    CALLS.append(1)
    return squares(a, b) * len(CALLS)


WRONG = {
    "a scalar": (lambda a, b: squares(a, b).mean(), r"for \d of them it gives \(\) numbers"),
    "an image": (
        lambda a, b: (a - b).abs(),
        r"for (\d) of them it gives \(\1, 3, 16, 16\) numbers",
    ),
    "numpy": (lambda a, b: squares(a, b).numpy(), "it gives a ndarray, where a tensor"),
    "nothing": (lambda a, b: None, "it gives a NoneType, where a tensor was expected"),
    "one argument": (lambda a: a.mean(), "takes 1 positional argument but 2 were given"),
    "elsewhere": (lambda a, b: squares(a, b).to("meta"), "on meta, where real numbers on cpu"),
    "complex": (lambda a, b: squares(a, b) * 1j, "it gives torch.complex.*, where real numbers"),
    "nan": (lambda a, b: squares(a, b) * float("nan"), "gives nan between two images"),
    "infinite": (lambda a, b: squares(a, b) / 0, "gives (nan|inf) between two images"),
    "fails": (lambda a, b: a.no_such, "object has no attribute 'no_such'"),
    "random": (lambda a, b: squares(a, b) + torch.rand(len(a)), "other numbers .* each time"),
    "counting": (counting, "other numbers for the same images each time"),
    "mixes": (lambda a, b: squares(a, b) / squares(a, b).sum(), "beside other images in the batch"),
    "similarity": (similarity, "measures how alike they are"),
    "sign": (lambda a, b: -squares(a, b), "measures how alike they are"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_function_that_is_no_loss_is_refused_by_name_in_one_sentence(name):
    function, says = WRONG[name]
    says = f"^the loss '{function.__name__}' .*{says}"
    with pytest.raises(ValueError, match=says) as refusal:
        vd.distances.factor_distances(DATA, function)
    assert "\n" not in str(refusal.value)
    for spec in (
        SPEC.replace(loss=losses.get(function)),
        [SPEC.replace(loss=losses.get(function))],
    ):
        with pytest.raises(ValueError, match=says):
            vd.fit(spec, device="cpu")


def test_training_refuses_a_loss_without_gradient_that_distances_may_have():
    def differing(a, b):
        return (a != b).double().mean((1, 2, 3))

    assert type(kernel_for(DATA, differing)) is Kernel
    with pytest.raises(ValueError, match=r"^the loss 'differing' has no gradient, so no network"):
        vd.fit(SPEC.replace(loss=losses.get(differing)), device="cpu")


def test_what_comes_back_is_checked_without_data_too():
    with pytest.raises(ValueError, match=r"for 4 of them it gives \(1,\) numbers, where one each"):
        losses.get(lambda a, b: squares(a, b).mean()[None]).distance(X, X)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (torch.nn.ReLU, "not of the class ReLU"),
        ("resnet", "not of 'resnet'"),
        (None, "not of None"),
    ],
)
def test_features_need_something_to_call(given, says):
    with pytest.raises(TypeError, match=f"^features are those of a module or function.* {says}"):
        losses.features(given)


@pytest.mark.parametrize(
    ("phi", "says"),
    [
        (
            lambda x: x.mean(),
            r"of 8 images must be a tensor whose first dimension is 8, not .*\(\)",
        ),
        (lambda x: x.flatten(0, 1), r"first dimension is 8, not a tensor of shape \(24, 16, 16\)"),
        (lambda x: [x], "first dimension is 8, not a list"),
        (lambda x: x * len(x), "other numbers for the same two images beside other images"),
        (torch.nn.Conv2d(1, 2, 3), "expected input.* to have 1 channels"),
        (torch.nn.Conv2d(3, 2, 32), "size can't be greater than actual input size"),
    ],
)
def test_features_that_do_not_fit_are_refused_in_one_sentence(phi, says):
    with pytest.raises(ValueError, match=f"^the loss 'features of .*{says}"):
        vd.distances.factor_distances(DATA, losses.features(phi))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    (tmp_path / "my_module.py").write_text(
        "def far(a, b):\n    return (a - b).square().mean((1, 2, 3))\n\nnumber = 3\n"
        "def total(a, b):\n    return (a - b).square().mean()\n"
        "def alone(a):\n    return a\n"
        "def missing(a, b):\n    return {}['x']\n"
    )
    (tmp_path / "my_inner.py").write_text("import no_such_library\n")
    (tmp_path / "my_broken.py").write_text("def (\n")
    np.savez("mine.npz", images=DATA.images(torch.arange(16)).numpy(), labels=np.arange(16) // 4)
    yield tmp_path
    for name in ("my_module", "my_inner", "my_broken"):
        sys.modules.pop(name, None)


def test_the_command_line_takes_a_function_of_a_module(folder, capsys):
    assert cli.main(["diagnose", "mine.npz", "--loss", "mse", "--loss", "my_module:far"]) == 0
    said = capsys.readouterr().out
    assert "\nMSE: random pairs" in said
    assert "\nfar: random pairs" in said


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        ("my_module:fat", "the module of --loss my_module:fat has no 'fat'; did you mean 'far'?"),
        ("my_module:number", "--loss my_module:number: a loss must be a name (mse, "),
        ("my_module:total", "the loss 'total' does not fit images of 16×16 pixels"),
        ("my_module:alone", "the loss 'alone' does not fit images of 16×16 pixels"),
        ("my_module.py:far", "--loss takes a module without .py: my_module:far."),
        ("my_module:", "--loss takes the name of a loss or module:name, not 'my_module:'."),
        (":far", "--loss takes the name of a loss or module:name, not ':far'."),
        ("my_modul:far", "cannot be imported: ModuleNotFoundError: No module named 'my_modul'."),
        (
            "my_inner:far",
            "of --loss my_inner:far cannot be imported: ModuleNotFoundError: No modul",
        ),
        (
            "my_broken:far",
            "module of --loss my_broken:far cannot be imported: SyntaxError: invalid",
        ),
        ("far", "Unknown loss 'far'; choose one of: mse, bce"),
    ],
)
def test_a_loss_that_the_command_line_cannot_have_is_one_sentence(folder, capsys, loss, says):
    assert cli.main(["diagnose", "mine.npz", "--loss", loss]) == 2
    said = capsys.readouterr().err
    assert said.startswith("vaedis: ")
    assert says in said
    assert said.count("\n") == 1


def test_an_error_of_a_users_own_code_is_one_sentence_and_one_of_ours_is_not(
    folder, capsys, monkeypatch
):
    def measure(data, chosen, **options):
        chosen[0].function(1, 2)

    monkeypatch.setattr("vaedis.diagnosis.diagnose.diagnose", measure)
    assert cli.main(["diagnose", "mine.npz", "--loss", "my_module:missing"]) == 1
    said = capsys.readouterr().err
    assert said == "vaedis: the module my_module of --loss raised KeyError: 'x'.\n"
    with pytest.raises(AttributeError, match="no attribute 'function'"):
        cli.main(["diagnose", "mine.npz", "--loss", "mse", "--loss", "my_module:missing"])


def test_only_the_command_line_imports_a_module_by_its_name(folder):
    with pytest.raises(ValueError, match="Unknown loss 'my_module:far'"):
        losses.get("my_module:far")
    with pytest.raises(ValueError, match="Unknown loss 'my_module:far'"):
        vd.fit(SPEC.replace(loss="my_module:far"), device="cpu")
    assert "my_module" not in sys.modules


def test_an_embed_that_gives_no_tensor_is_refused():
    class Listing(losses.MSE):
        def embed(self, x):
            return [float(row.sum()) for row in x]

    with pytest.raises(
        ValueError, match=r"does not fit .*: its embed gives a list, where a tensor"
    ):
        vd.diagnose(DATA, Listing(), traversals=4)
