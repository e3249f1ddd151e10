"""Training with networks, objectives and losses that behave otherwise in training, fail in a later
step, or hold what is not saved: right, or one sentence.
"""

import functools

import pytest
import torch
from torch import nn

import vaedis as vd
from vaedis.training import objectives

SPEC = vd.RunSpec(
    data_options={"image_size": 8, "square_size": 2, "grid_size": 3, "num_squares": 1},
    model="mlp",
    model_options={"hidden": [8]},
    latents=2,
    steps=6,
    batch=9,
)


class Net(nn.Module):
    """A small network, whose images are changed by `before`."""

    before = staticmethod(lambda x: x)

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.e, self.d = nn.Linear(192, 4), nn.Linear(2, 192)
        for weight in self.parameters():
            weight.data = 0.1 * torch.randn(weight.shape, generator=generator)

    def encode(self, x):
        return tuple(self.e(self.before(x).flatten(1)).chunk(2, -1))

    def decode(self, z):
        return self.d(z).view(-1, 3, 8, 8)


class DropsOut(Net):
    def before(self, x):
        return nn.functional.dropout(x, 0.5, self.training, inplace=True)


def fit(spec=SPEC, **options):
    return vd.fit(spec, device="cpu", **options)


class Odd(Net):
    """Does what `in_training` and `evaluated` make of what it returns."""

    in_training = evaluated = staticmethod(lambda name, part: part)

    def changed(self, name, part):
        return (self.in_training if self.training else self.evaluated)(name, part)

    def encode(self, x):
        return self.changed("encode", super().encode(x))

    def decode(self, z):
        return self.changed("decode", super().decode(z))


def odd(when, name, change):
    network = Odd()
    setattr(network, when, lambda which, part: change(part) if which == name else part)
    return network


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("encode", lambda pair: (*pair, pair[0]), "the same types and shapes in training"),
        ("encode", lambda pair: None, "returned a NoneType"),
        ("encode", lambda pair: (pair[0], 0.0), ", a float in place of"),
        ("encode", lambda pair: (pair[0].double(), pair[1]), "returned torch.float64"),
        ("decode", lambda x: [x], "returned a list"),
        ("decode", lambda x: x.detach().numpy(), "returned a ndarray"),
        ("decode", lambda x: (x * 255).byte(), "returned torch.uint8"),
        ("decode", lambda x: x.to_sparse(), r"torch.float32 torch.sparse_coo of shape"),
        ("decode", lambda x: x.detach(), "with a gradient in training"),
        ("decode", lambda x: x.mean((2, 3), keepdim=True), r"shape \(9, 3, 1, 1\)"),
    ],
)
def test_what_a_network_returns_in_training_only_is_one_sentence(name, change, says):
    with pytest.raises(ValueError, match=rf"^model\.{name} must return .*?{says}"):
        fit(model=odd("in_training", name, change))


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        (
            "encode",
            lambda pair: (pair[0] + torch.randn_like(pair[0]), pair[1]),
            "same for an image",
        ),
        (
            "encode",
            lambda pair: (pair[0] - pair[0].mean(0), pair[1]),
            "same for an image each time",
        ),
        ("decode", lambda x: x - x.mean(0), "let it draw no samples and use no statistics"),
        ("encode", lambda pair: tuple(part.squeeze() for part in pair), r"for one image, but it"),
    ],
)
def test_a_network_that_does_not_take_each_image_by_itself_is_refused(name, change, says):
    with pytest.raises(ValueError, match=rf"^model\.{name} must return .*{says}"):
        fit(model=odd("evaluated", name, change))


class Picks(vd.losses.MSE):
    """Takes what a decoder of several parts returns."""

    def __init__(self, pick):
        object.__setattr__(self, "pick", pick)

    def output(self, prediction):
        return self.pick(prediction)


@pytest.mark.parametrize(
    ("change", "pick"),
    [
        (lambda x: (x, x * 0), lambda parts: parts[0]),
        (lambda x: {"x": x}, lambda parts: parts["x"]),
        (lambda x: torch.stack([x, x]), lambda samples: samples.mean(0)),
    ],
)
def test_a_decoder_may_return_whatever_the_loss_makes_images_of(tmp_path, change, pick):
    network = odd("in_training", "decode", change)
    network.evaluated = network.in_training
    loss = Picks(lambda parts: pick(parts) if not is_image(parts) else parts)
    run = fit(model=network, loss=loss)
    assert run.history["loss"].tolist() == pytest.approx(fit(model=Net()).history["loss"].tolist())
    run.save(tmp_path)
    loaded = vd.load_run(tmp_path, model=network, loss=loss, device="cpu")
    assert torch.equal(loaded.decode(torch.ones(1, 2)), run.decode(torch.ones(1, 2)))


def is_image(parts):
    return isinstance(parts, torch.Tensor) and parts.ndim == 4


def test_a_last_batch_of_one_image_that_a_network_does_not_take_is_said_at_the_start():
    class Normed(Net):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(4)

        def encode(self, x):
            return tuple(self.norm(self.e(x.flatten(1))).chunk(2, -1))

    n = len(vd.load(SPEC.data, **SPEC.data_options))
    batch = next(b for b in range(2, n) if n % b == 1)
    for one in (batch, 1):
        sentence = (
            rf"^batch={one} of {n} images comes to a batch of one image, which model does not"
        )
        with pytest.raises(ValueError, match=sentence):
            fit(SPEC.replace(batch=one), model=Normed())
    fit(SPEC.replace(batch=batch, framework="ada-gvae"), model=Normed())
    fit(SPEC.replace(batch=n), model=Normed())
    # it does not come to the last one
    fit(SPEC.replace(batch=batch, steps=n // batch), model=Normed())


def spread(model, x, noise, *, loss, beta):
    recon = loss(model.decode(model.encode(x)[0]).mean((2, 3), keepdim=True), x).mean()
    return recon, recon, recon * 0


def lazy(model, x, noise, *, loss, beta):
    """Leaves gradients of its own from the third step on."""
    model.calls = getattr(model, "calls", 0) + 1
    if model.calls > 2:
        model.encode(x)[0].sum().backward()
    return objectives.beta_vae(model, x, noise, loss=loss, beta=beta)


def forgets(model, x, noise, *, loss, beta):
    """Depends on the network in its first steps alone."""
    model.calls = getattr(model, "calls", 0) + 1
    terms = objectives.beta_vae(model, x, noise, loss=loss, beta=beta)
    return terms if model.calls < 3 else terms._replace(loss=torch.ones((), requires_grad=True))


def writes(model, x, noise, *, loss, beta):
    return objectives.beta_vae(model, x.mul_(0), noise, loss=loss, beta=beta)


def complex_kl(model, x, noise, *, loss, beta):
    terms = objectives.beta_vae(model, x, noise, loss=loss, beta=beta)
    return terms._replace(kl=terms.kl + 4j)


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ({"objective": spread}, r"must become images of shape \(3, 8, 8\).* not \(9, 3, 1, 1\)"),
        ({"objective": lazy}, "leave its backward"),
        ({"objective": forgets}, "does not depend on the network"),
        ({"objective": writes}, "objective, and the network that it calls, must not write into"),
        (
            {"objective": objectives.beta_vae, "model": DropsOut()},
            "objective, and the network that it calls, must not write into",
        ),
        ({"objective": complex_kl}, "one real number each, but it returned .*complex64"),
        ({"objective": objectives.ada_gvae}, r"RunSpec\(framework='ada-gvae'\) draws; give that"),
        (
            {"objective": functools.partial(objectives.ada_gvae, average="mean")},
            r"RunSpec\(framework='ada-gvae'\) draws; give that",
        ),
    ],
)
def test_what_an_objective_does_wrong_is_said_at_whatever_step(own, says):
    with pytest.raises((TypeError, ValueError), match=says):
        fit(**own)


def moving(average):
    """A loss that divides by a moving average of itself where there are gradients."""

    def loss(a, b):
        distances = (a - b).square().mean((1, 2, 3))
        if a.requires_grad:
            average.append(0.9 * average[-1] + 0.1 * float(distances.detach().mean()))
        return distances / average[-1]

    return loss


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        (moving([1.0]), "no random numbers, counts and moving averages"),
        (lambda a, b: ((4 * a).round() - (4 * b).round()).square().mean((1, 2, 3)), "no gradient"),
        (
            lambda a, b: (a.detach() - b).square().mean((1, 2, 3)) + 0 * a.mean((1, 2, 3)),
            "gradient",
        ),
    ],
)
def test_a_loss_that_trains_nothing_or_changes_as_it_trains_is_refused(loss, says):
    with pytest.raises(ValueError, match=says):
        fit(loss=loss)


def cross_entropy(a, b):
    """Torch refuses NaN in it."""
    entropy = nn.functional.binary_cross_entropy
    return entropy(a.sigmoid(), b.clamp(0, 1), reduction="none").mean((1, 2, 3))


@pytest.mark.parametrize("own", [{}, {"model": Net()}])
def test_code_that_refuses_nan_does_not_hide_that_training_diverged(own):
    spec = SPEC.replace(lr=1e30)
    with pytest.raises(
        vd.TrainingFailed, match=r"The loss became nan at step \d of .*lower beta or lr"
    ):
        fit(spec, loss=cross_entropy, **own)
    with pytest.warns(RuntimeWarning, match="Run 1 of 2 failed"):
        failed, other = fit([spec, SPEC], loss=cross_entropy)
    assert failed.failure is not None
    assert other.steps_taken == SPEC.steps


def test_code_that_fails_in_a_later_step_says_in_which():
    calls = []

    def objective(model, x, noise, *, loss, beta):
        calls.append(1)
        if len(calls) == 4:
            raise KeyError("mine")
        return objectives.beta_vae(model, x, noise, loss=loss, beta=beta)

    with pytest.raises(KeyError, match="mine") as caught:
        fit(objective=objective)
    assert caught.value.__notes__ == [f"In step 4 of {SPEC.steps}, of {SPEC.batch} images."]


@pytest.mark.parametrize("stacked", [False, True])
def test_weights_that_are_not_finite_after_the_last_step_are_a_failure(stacked):
    spec = SPEC.replace(lr=1e38, steps=1)
    if not stacked:
        with pytest.raises(vd.TrainingFailed, match="The weights became NaN or infinite in step 1"):
            fit(spec)
        return
    with pytest.warns(RuntimeWarning, match="The weights became NaN or infinite in step 1 of 1"):
        runs = fit([spec, spec.replace(seed=1, lr=1e-3)])
    assert [run.failure is None for run in runs] == [False, True]


class Cached(Net):
    """Keeps what it computed, which torch itself does not copy."""

    def encode(self, x):
        self.mean, logvar = super().encode(x)
        self.parts = [self.mean, {"mean": self.mean * 2}]
        self.parts.append(self.parts)
        return self.mean, logvar


class Scales(Cached):
    """Changes with each call something that is no tensor."""

    scale = 1.0

    def encode(self, x):
        mean, logvar = super().encode(x)
        self.scale *= 0.8 if self.training else 1
        return mean * self.scale, logvar


class Averages(Cached):
    """Changes with each call a buffer that is not in its state."""

    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.ones(()), persistent=False)

    def encode(self, x):
        mean, logvar = super().encode(x)
        if self.training:
            self.scale = self.scale * 0.8
        return mean * self.scale, logvar


def assert_saved(run, folder):
    """Save and load; the loaded run has the same posteriors."""
    run.save(folder)
    loaded = vd.load_run(folder, model=type(run.model)(), device="cpu")
    assert torch.equal(loaded.posterior([0, 5])[0], run.posterior([0, 5])[0])


def test_a_network_that_holds_what_it_computed_is_saved_loaded_and_told_from_others(tmp_path):
    network = Cached()
    network.encode(torch.zeros(9, 3, 8, 8))
    assert_saved(fit(model=network), tmp_path)

    class Other(Cached):
        def encode(self, x):
            mean, logvar = super().encode(x)
            return -3 * mean, logvar

    with pytest.raises(ValueError, match="computes other numbers with them"):
        vd.load_run(tmp_path, model=Other(), device="cpu")


@pytest.mark.parametrize("network", [Scales(), Averages()])
def test_what_changes_in_training_and_is_not_saved_is_named_before_it_is_lost(tmp_path, network):
    run = fit(model=network)
    sentence = r"^model\.scale changes with each call in training, and a saved run does not hold it"
    with pytest.raises(ValueError, match=sentence):
        run.save(tmp_path)
    assert not list(tmp_path.iterdir())


class Counts(Net):
    """Counts its calls, which changes nothing."""

    calls = 0

    def encode(self, x):
        self.calls += 1
        return super().encode(x)


def test_a_network_that_counts_its_calls_is_saved(tmp_path):
    assert_saved(fit(model=Counts()), tmp_path)


class Logarithm(Net):
    """Takes images in [0, 1] alone."""

    factor = 1.0

    def before(self, x):
        return torch.log(x + 1e-3) * self.factor


def test_networks_for_images_in_the_unit_range_are_told_apart_too(tmp_path):
    fit(SPEC.replace(normalize=False), model=Logarithm()).save(tmp_path)
    assert vd.load_run(tmp_path, model=Logarithm(), device="cpu")
    other = Logarithm()
    other.factor = -2.0
    with pytest.raises(ValueError, match="computes other numbers with them"):
        vd.load_run(tmp_path, model=other, device="cpu")


def test_networks_that_differ_in_every_other_latent_are_told_apart(tmp_path):
    class Wide(Net):
        signs = torch.ones(64)

        def __init__(self):
            super().__init__()
            self.e, self.d = nn.Linear(192, 128), nn.Linear(64, 192)

        def encode(self, x):
            mean, logvar = super().encode(x)
            return mean * self.signs, logvar

    fit(SPEC.replace(latents=64), model=Wide()).save(tmp_path)
    other = Wide()
    other.signs = torch.ones(64).index_fill(0, torch.arange(1, 64, 2), -1)
    with pytest.raises(ValueError, match="computes other numbers with them"):
        vd.load_run(tmp_path, model=other, device="cpu")
