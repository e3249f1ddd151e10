"""Training with things of one's own goes on from a checkpoint as it would have, or is refused."""

import argparse
import re
import sys
import types
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

import vaedis as vd
from vaedis.losses.fingerprint import fingerprint

SPEC = vd.RunSpec(
    data_options={"image_size": 8, "square_size": 2, "grid_size": 3, "num_squares": 1},
    model="mlp",
    model_options={"hidden": [8]},
    latents=2,
    steps=12,
    batch=9,
)


def trained(steps=12, **own):
    return vd.fit(SPEC.replace(steps=steps), device="cpu", progress=False, **own)


def same(one, other):
    pairs = zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True)
    return all(torch.equal(*pair) for pair in pairs)


class Moments(torch.optim.Optimizer):
    """Momentum that is kept in another type than the weights."""

    def __init__(self, weights, dtype):
        super().__init__(weights, {"lr": 1e-2})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure=None):
        for weight in self.param_groups[0]["params"]:
            state = self.state[weight]
            if not state:
                state["mean"] = torch.zeros_like(weight, dtype=self.dtype)
                state["count"] = 0
                state["mask"] = weight.abs() > 0.01
            state["count"] += 1
            state["mean"].lerp_(weight.grad.to(self.dtype), 0.1)
            weight.sub_(0.1 / state["count"] * state["mean"].to(weight.dtype))
            weight[~state["mask"]] = 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_the_state_of_an_optimizer_keeps_its_types_and_numbers(tmp_path, dtype):
    def optimizer(weights):
        return Moments(weights, dtype)

    trained(5, optimizer=optimizer, checkpoint=tmp_path)
    resumed = trained(optimizer=optimizer, checkpoint=tmp_path)
    assert same(resumed, trained(optimizer=optimizer))


class HoldsItsWeights(torch.optim.SGD):
    def __init__(self, weights):
        super().__init__(weights, lr=0.1, momentum=0.9)
        self.weights = list(weights)


def test_an_optimizer_that_holds_its_weights_goes_on(tmp_path):
    trained(5, optimizer=HoldsItsWeights, checkpoint=tmp_path)
    resumed = trained(optimizer=HoldsItsWeights, checkpoint=tmp_path)
    assert same(resumed, trained(optimizer=HoldsItsWeights))


class Noisy(torch.optim.SGD):
    def step(self, closure=None):
        super().step(closure)
        with torch.no_grad():
            for weight in self.param_groups[0]["params"]:
                weight.add_(torch.randn_like(weight), alpha=1e-3)


class FromAGenerator(torch.optim.SGD):
    def __init__(self, weights):
        super().__init__(weights, lr=0.1)
        self.rates = (0.1 / k for k in range(1, 99))

    def step(self, closure=None):
        self.param_groups[0]["lr"] = next(self.rates)
        super().step(closure)


class WithANamedState(torch.optim.SGD):
    def step(self, closure=None):
        self.state.setdefault("k", torch.zeros(())).add_(1)
        super().step(closure)


class Unfreezing(torch.optim.SGD):
    def __init__(self, weights, later):
        super().__init__(weights, lr=0.1)
        self.later = later

    def step(self, closure=None):
        super().step(closure)
        if len(self.param_groups) == 1:
            self.add_param_group({"params": self.later})


SCHEDULERS = []


def with_a_scheduler(weights):
    sgd = torch.optim.SGD(weights, lr=0.1)
    # for a callback that moves it on
    SCHEDULERS.append(lr_scheduler.StepLR(sgd, 1_000))
    return sgd


def with_a_hook_of_its_step(weights):
    sgd = torch.optim.SGD(weights, lr=0.1)
    sgd.register_step_post_hook(lambda *_: None)
    return sgd


def with_another(weights):
    sgd = torch.optim.SGD(weights[:2], lr=0.1)
    sgd.another = torch.optim.Adam(weights[2:])
    return sgd


@pytest.mark.parametrize(
    ("optimizer", "says"),
    [
        (lambda weights: Noisy(weights, lr=0.1), "your optimizer must not change anything"),
        (FromAGenerator, "the optimizer's rates is a generator, and a checkpoint does not hold"),
        (lambda weights: WithANamedState(weights, lr=0.1), "something that belongs to no weight"),
        (lambda weights: Unfreezing(weights[:2], weights[2:]), "got more groups of weights"),
        (with_a_scheduler, "has a scheduler or hooks, .* give lr= as a function of the step"),
        (
            with_a_hook_of_its_step,
            "has a scheduler or hooks, .* give lr= as a function of the step",
        ),
        (with_another, "the optimizer's another is a Adam, and a checkpoint does not hold it"),
    ],
)
def test_an_optimizer_that_no_checkpoint_can_hold_is_refused_before_training(
    tmp_path, optimizer, says
):
    with pytest.raises(ValueError, match=says):
        trained(optimizer=optimizer, checkpoint=tmp_path)
    assert not list(tmp_path.iterdir())
    assert trained(optimizer=optimizer).steps_taken == 12


def test_a_loss_that_depends_on_how_often_it_was_called_is_refused_with_checkpoints(tmp_path):
    calls = []

    def loss(a, b):
        calls.append(1)
        return (1 + max(0, len(calls) - 20) / 100) * (a - b).square().mean((1, 2, 3))

    with pytest.raises(ValueError, match="your loss changes as it trains"):
        trained(loss=loss, checkpoint=tmp_path)


@pytest.fixture
def elsewhere(monkeypatch):
    """A file of one's own beside the script."""
    module = types.ModuleType("elsewhere")
    module.factor = 1.0
    exec("def scaled(x): return factor * x", module.__dict__)
    monkeypatch.setitem(sys.modules, "elsewhere", module)
    return module


def test_a_checkpoint_made_with_other_code_in_another_file_is_not_used(tmp_path, elsewhere):
    def loss(a, b):
        import elsewhere

        return elsewhere.scaled((a - b).square().mean((1, 2, 3)))

    trained(5, loss=loss, checkpoint=tmp_path)
    elsewhere.factor = 9.0
    with pytest.warns(
        UserWarning, match="its first losses or weights, .* are not those of this run"
    ):
        run = trained(loss=loss, checkpoint=tmp_path)
    assert same(run, trained(loss=loss))


@pytest.mark.parametrize("what", ["loss", "objective", "lr", "optimizer"])
def test_settings_from_the_command_line_do_not_keep_a_run_from_a_checkpoint(tmp_path, what):
    args = argparse.Namespace(rate=1e-3)

    def objective(model, x, noise, *, loss, beta):
        return vd.training.objectives.beta_vae(model, x, noise, loss=loss, beta=args.rate)

    own = {
        "loss": lambda a, b: args.rate * (a - b).square().mean((1, 2, 3)),
        "objective": objective,
        "lr": lambda step: args.rate,
        "optimizer": lambda weights: torch.optim.AdamW(weights, lr=args.rate),
    }
    given = {what: own[what]}
    trained(5, checkpoint=tmp_path, **given)
    steps = []
    resumed = trained(
        checkpoint=tmp_path, callback=lambda step, run: steps.append(step), every=1, **given
    )
    assert steps[0] == 6
    assert same(resumed, trained(**given))


def test_a_rate_that_is_kept_from_step_to_step_is_refused():
    class Halving:
        rate = 0.01

        def __call__(self, step):
            if step and step % 4 == 0:
                self.rate /= 2
            return self.rate

    with pytest.raises(ValueError, match="lr must follow from the step alone"):
        trained(lr=Halving())


def test_a_saved_loss_is_told_by_the_distances_that_it_gives(tmp_path, elsewhere):
    def loss(a, b):
        import elsewhere

        return elsewhere.scaled((a - b).square().mean((1, 2, 3)))

    trained(loss=loss).save(tmp_path)
    assert vd.load_run(tmp_path, loss=loss, device="cpu").steps_taken == 12
    elsewhere.factor = 9.0
    with pytest.raises(ValueError, match="was trained with another loss"):
        vd.load_run(tmp_path, loss=loss, device="cpu")


def test_a_loss_that_fills_a_cache_loads_its_run_with_a_warning(tmp_path):
    class Cached(vd.losses.Loss):
        def __init__(self):
            self.weight = None

        def distance(self, a, b):
            if self.weight is None:
                self.weight = torch.ones(())
            return self.weight * (a - b).square().mean((-1, -2, -3))

    trained(loss=Cached()).save(tmp_path)
    with pytest.warns(UserWarning, match="gives the distances that it gave"):
        assert vd.load_run(tmp_path, loss=Cached(), device="cpu").steps_taken == 12


def test_losses_that_differ_only_far_apart_or_are_not_finite_are_told(tmp_path):
    def clipped(limit):
        def loss(a, b):
            return (a - b).clamp(-limit, limit).square().mean((1, 2, 3))

        return loss

    trained(loss=clipped(1.5)).save(tmp_path / "clipped")
    with pytest.raises(ValueError, match="was trained with another loss"):
        vd.load_run(tmp_path / "clipped", loss=clipped(3.0), device="cpu")

    def nowhere(a, b):
        # infinite for the fixed images, of which two have no pixel near 0
        return (a - b).square().mean((1, 2, 3)) / (a.abs().amin((1, 2, 3)) < 1)

    trained(loss=nowhere).save(tmp_path / "nowhere")
    assert vd.load_run(tmp_path / "nowhere", loss=nowhere, device="cpu").steps_taken == 12


class Dense(nn.Module):
    """A layer that holds all layers before it."""

    def __init__(self, earlier):
        super().__init__()
        self.earlier = list(earlier)
        self.linear = nn.Linear(2, 2)


@pytest.mark.timeout(60)
def test_a_layer_that_is_held_many_times_counts_once():
    layers = []
    for _ in range(24):
        layers.append(Dense(layers))
    network = nn.Sequential(*layers)
    before = fingerprint(network)
    with torch.no_grad():
        layers[3].linear.bias.add_(1)
    assert fingerprint(network) != before


def test_attributes_and_named_arguments_of_a_function_are_part_of_its_fingerprint():
    def weighted(a, b):
        return weighted.weight * (a - b).square().mean((1, 2, 3))

    weighted.weight = 1.0
    before = fingerprint(weighted)
    weighted.weight = 2.0
    assert fingerprint(weighted) != before

    texts = [
        f"def ratio(*, {names}): return first / second"
        for names in ("first, second", "second, first")
    ]
    ratios = []
    for text in texts:
        scope = {"__name__": "__main__"}
        exec(text, scope)
        ratios.append(scope["ratio"])
    assert len(set(map(fingerprint, ratios))) == 2


def test_a_filter_in_the_fourier_domain_has_a_fingerprint():
    filters = [torch.fft.fft2(torch.full((2, 2), float(k))).conj() for k in (1, 2)]
    assert fingerprint(filters[0]) != fingerprint(filters[1])
    assert re.fullmatch("[0-9a-f]{16}", fingerprint(filters[0]))
    assert np.allclose(filters[0].resolve_conj().numpy().real[0, 0], 4)


def stopped_then_whole(folder, before, after=None, n_first=5, steps=12):
    """Return the run that goes on from a shorter one, the step it went on from, and the same run
    without a stop.
    """
    trained(n_first, checkpoint=folder, **before())
    after = after or before
    taken = []
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        resumed = trained(
            steps,
            checkpoint=folder,
            callback=lambda step, run: taken.append(step),
            every=1,
            **after(),
        )
    return resumed, taken[0] - 1, trained(steps, **after())


def images(std=1.0, seed=0):
    pixels = torch.rand(9, 8, 8, 3, generator=torch.Generator().manual_seed(seed))
    data = vd.LabelledImages((255 * pixels).byte(), list(range(9)))
    data.std = (std,) * 3
    return data


class Network(nn.Module):
    """A small network, with whatever a test adds to it."""

    def __init__(self, add=lambda network: None, momentum=0.1):
        super().__init__()
        torch.manual_seed(0)
        self.to_code = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
        self.norm = nn.BatchNorm1d(2, momentum=momentum)
        self.to_image = nn.Linear(2, 192)
        add(self)

    def encode(self, x):
        mean, logvar = self.to_code(x).chunk(2, 1)
        return self.norm(mean), logvar

    def decode(self, z):
        return self.to_image(z).view(-1, 3, 8, 8)


CHANGED = [
    (lambda args: {"data": images(args.rate)}, 0.3, 1.0),
    (lambda args: {"lr": lambda step: 1e-3 if step < args.rate else 1e-4}, 4, 100),
    (lambda args: {"lr": lambda step: args.rate}, 1e-4, 1.1e-4),
    (lambda args: {"beta": lambda step: min(1, step / args.rate)}, 1_000, 500),
    (
        lambda args: {
            "optimizer": lambda weights: torch.optim.AdamW(weights, weight_decay=args.rate)
        },
        0.01,
        0.1,
    ),
    (
        lambda args: {"model": Network(lambda network: setattr(network, "args", args), args.rate)},
        0.1,
        0.5,
    ),
]


@pytest.mark.parametrize(("own", "one", "other"), CHANGED)
def test_a_checkpoint_of_a_run_with_other_settings_is_not_used(tmp_path, own, one, other):
    def with_(value):
        return lambda: own(argparse.Namespace(rate=value))

    resumed, first, whole = stopped_then_whole(tmp_path / "same", with_(one))
    assert first == 5
    assert same(resumed, whole)
    resumed, first, whole = stopped_then_whole(tmp_path / "other", with_(one), with_(other))
    assert first == 0
    assert same(resumed, whole)


class Accumulating(torch.optim.SGD):
    """Steps by the sum of several gradients, which no checkpoint holds."""

    def __init__(self, weights, n):
        super().__init__(weights, lr=0.1)
        self.n = n
        self.count = 0

    def zero_grad(self, set_to_none=True):
        if self.count % self.n == 0:
            super().zero_grad(set_to_none)

    def step(self, closure=None):
        self.count += 1
        if self.count % self.n == 0:
            super().step(closure)


class Growing(vd.losses.Loss):
    def __init__(self):
        self.calls = 0

    def distance(self, a, b):
        self.calls += 1
        return (5 if self.calls > 60 else 1) * (a - b).square().mean((-1, -2, -3))


def in_turns(model, x, noise, *, loss, beta):
    model.turn = getattr(model, "turn", 0) + 1
    return vd.training.objectives.beta_vae(model, x, noise, loss=loss, beta=model.turn % 2)


@pytest.mark.parametrize(
    ("own", "says"),
    [
        (
            lambda: {"model": Network(), "optimizer": lambda weights: Accumulating(weights, 2)},
            "the optimizer's count changes as it trains",
        ),
        (
            lambda: {"model": Network(), "optimizer": lambda weights: Accumulating(weights, 4)},
            "the optimizer's count changes as it trains",
        ),
        (
            lambda: {"model": Network(), "objective": in_turns},
            "your model or objective must not change",
        ),
        (lambda: {"loss": Growing()}, "your loss changes as it trains"),
        (
            lambda: {
                "model": Network(
                    lambda network: network.register_buffer("laplacian", torch.eye(2).to_sparse())
                )
            },
            "model.laplacian is a sparse tensor",
        ),
    ],
)
def test_what_a_step_depends_on_and_no_checkpoint_holds_is_refused(tmp_path, own, says):
    with pytest.raises(ValueError, match=says):
        trained(30, checkpoint=tmp_path, **own())
    assert not list(tmp_path.iterdir())


def test_a_rehearsal_leaves_a_loss_of_ones_own_as_it_was(tmp_path):
    loss = Growing()
    with pytest.raises(ValueError, match="your loss changes"):
        trained(30, checkpoint=tmp_path, loss=loss)
    calls = loss.calls
    fresh = Growing()
    with pytest.raises(ValueError, match="your loss changes"):
        trained(4, checkpoint=tmp_path, loss=fresh)
    # as often as it was tried, however many steps are rehearsed
    assert fresh.calls == calls


def test_a_refusal_leaves_what_an_objective_refers_to_as_it_was(tmp_path):
    critic = nn.Linear(2, 1)
    critic.bias.grad = torch.ones(1)
    optimizer = torch.optim.Adam(critic.parameters(), lr=0.1)
    identity = torch.eye(9).to_sparse()

    def objective(model, x, noise, *, loss, beta):
        mean, logvar = model.encode(x)
        z = torch.sparse.mm(identity, mean + noise * (logvar / 2).exp())
        optimizer.zero_grad(set_to_none=False)
        critic(z.detach()).square().mean().backward()
        optimizer.step()
        recon = loss(model.decode(z), x).mean()
        kl = critic(z).square().mean() + vd.losses.kl_to_prior(mean, logvar).mean()
        return recon + beta * kl, recon, kl

    before = [weight.detach().clone() for weight in critic.parameters()]
    with pytest.raises(ValueError, match="train without checkpoint"):
        trained(objective=objective, checkpoint=tmp_path)
    assert all(map(torch.equal, critic.parameters(), before))
    assert not optimizer.state
    assert (critic.weight.grad, critic.bias.grad) == (None, torch.ones(1))


class Halved(vd.losses.Loss):
    def distance(self, a, b):
        return (a - b).square().mean((-1, -2, -3)) / 2


def test_a_checkpoint_whose_words_on_its_rehearsal_are_damaged_is_not_used(tmp_path):
    trained(6, loss=Halved(), checkpoint=tmp_path)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    assert content.count(b'"{\\"moves') == 1
    path.write_bytes(content.replace(b'"{\\"moves', b'"z\\"moves'))
    with pytest.warns(UserWarning, match="not used"):
        resumed = trained(loss=Halved(), checkpoint=tmp_path)
    assert same(resumed, trained(loss=Halved()))


def with_a_grid(network):
    network.register_buffer("grid", torch.arange(3.0)[:, None].expand(3, 4))


def with_views(network):
    kernel = torch.ones(3, 3)
    network.register_buffer("kernel", kernel)
    network.register_buffer("weight", kernel.view(1, 1, 3, 3))


def with_nan(network):
    network.register_buffer("last", torch.full((2,), float("nan")))


def with_a_hook(network):
    network.to_code.register_forward_hook(lambda module, inputs, output: output * 1.5)


def with_weight_norm(network):
    nn.utils.parametrizations.weight_norm(network.to_image)


@pytest.mark.parametrize("add", [with_a_grid, with_views, with_nan, with_a_hook, with_weight_norm])
def test_usual_networks_go_on_from_a_checkpoint(tmp_path, add):
    # each time with hooks that have other numbers
    resumed, first, whole = stopped_then_whole(tmp_path, lambda: {"model": Network(add)})
    assert first == 5
    pairs = zip(resumed.model.parameters(), whole.model.parameters(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


class ByItsNorm(torch.optim.Optimizer):
    """Steps of a length that follows from the norm of a mean of gradients, as LAMB's do."""

    def __init__(self, weights):
        super().__init__(weights, {"lr": 1e-2})

    @torch.no_grad()
    def step(self, closure=None):
        for weight in self.param_groups[0]["params"]:
            mean = self.state[weight].setdefault("mean", torch.zeros_like(weight))
            mean.lerp_(weight.grad, 0.1)
            weight.sub_(mean / (mean.sum() + mean.norm() + 1e-6), alpha=1e-2)


def test_the_state_of_an_optimizer_keeps_its_order_in_memory(tmp_path):
    options = {"image_size": 28, "square_size": 4, "grid_size": 3, "num_squares": 1}
    spec = vd.RunSpec(data_options=options, latents=2, steps=4, batch=9)

    def fit(steps, **checkpoint):
        spec_of_length = spec.replace(steps=steps)
        return vd.fit(spec_of_length, device="cpu", precision="float32", **own, **checkpoint)

    own = {"optimizer": ByItsNorm, "progress": False}
    fit(3, checkpoint=tmp_path)
    assert same(fit(4, checkpoint=tmp_path), fit(4))


def test_a_member_that_fails_at_once_keeps_no_population_from_going_on(tmp_path):
    def loss(a, b):
        return (a - b).square().mean((1, 2, 3))

    specs = [SPEC, SPEC.replace(seed=1, lr=1e6)]
    halted = iter([False] * 6)
    with pytest.raises(vd.TrainingStopped):
        vd.fit(
            specs,
            loss=loss,
            device="cpu",
            checkpoint=tmp_path,
            deadline=lambda: next(halted, True),
        )
    with pytest.warns(RuntimeWarning, match="Run 2 of 2 failed"):
        runs = vd.fit(specs, loss=loss, device="cpu", checkpoint=tmp_path)
    assert [run.failure is None for run in runs] == [True, False]
    with pytest.warns(RuntimeWarning, match="Run 2 of 2 failed"):
        whole = vd.fit(specs, loss=loss, device="cpu")
    assert same(runs[0], whole[0])


def test_runs_on_other_data_leave_each_others_checkpoints_alone(tmp_path):
    def go_on(seed, steps):
        taken = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trained(
                steps,
                data=images(seed=seed),
                checkpoint=tmp_path,
                callback=lambda step, run: taken.append(step),
                every=1,
            )
        return taken[0]

    assert go_on(1, 5) == 1
    assert go_on(0, 8) == 1
    assert go_on(0, 12) == 9
    assert go_on(1, 12) == 6


def test_data_of_ones_own_are_no_data_set_by_name(tmp_path):
    class Other(type(vd.load("xysquares", **SPEC.data_options))):
        def _images(self, index):
            one = super()._images(index).clone()
            one[index == 5] = 255 - one[index == 5]
            return one

    mine = Other(**SPEC.data_options)
    mine.mean, mine.std = (0.5,) * 3, (0.5,) * 3
    taken = []
    trained(5, checkpoint=tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        resumed = trained(
            data=mine,
            checkpoint=tmp_path,
            callback=lambda step, run: taken.append(step),
            every=1,
        )
    assert taken[0] == 1
    assert same(resumed, trained(data=mine))


def test_a_function_that_refers_to_the_network_itself_is_refused():
    def add(network):
        network.scale = nn.Parameter(torch.ones(1))
        network.to_code.register_forward_hook(lambda module, x, y: y * network.scale)

    with pytest.raises(ValueError, match="a function that refers to the network itself"):
        trained(model=Network(add))
