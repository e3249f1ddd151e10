"""Training with things of one's own goes on from a checkpoint as it would have, or is refused."""

import argparse
import re
import sys
import types

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


def test_a_warm_up_before_milestones_goes_on(tmp_path):
    def optimizer(weights):
        sgd = torch.optim.SGD(weights, lr=0.1)
        parts = [
            lr_scheduler.LinearLR(sgd, 0.1, total_iters=8),
            lr_scheduler.MultiStepLR(sgd, [1, 3]),
        ]
        scheduler = lr_scheduler.SequentialLR(sgd, parts, milestones=[8])
        sgd.register_step_post_hook(lambda *_: scheduler.step())
        return sgd

    trained(5, optimizer=optimizer, checkpoint=tmp_path)
    resumed = trained(optimizer=optimizer, checkpoint=tmp_path)
    assert same(resumed, trained(optimizer=optimizer))


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


class WithATotal(torch.optim.SGD):
    def state_dict(self):
        return {**super().state_dict(), "total": 1}


class WithANamedState(torch.optim.SGD):
    def step(self, closure=None):
        self.state.setdefault("k", torch.zeros(())).add_(1)
        super().step(closure)


def unfreezing(weights):
    sgd = torch.optim.SGD(weights[:2], lr=0.1)
    count = []

    def later(*_):
        count.append(1)
        if len(count) == 3:
            sgd.add_param_group({"params": weights[2:]})

    sgd.register_step_post_hook(later)
    return sgd


def with_a_hidden_scheduler(weights):
    sgd = torch.optim.SGD(weights, lr=0.1)
    kit = {"scheduler": lr_scheduler.StepLR(sgd, 1_000)}
    sgd.register_step_post_hook(lambda *_: kit["scheduler"].step())
    return sgd


@pytest.mark.parametrize(
    ("optimizer", "says"),
    [
        (lambda weights: Noisy(weights, lr=0.1), "your optimizer must not change anything"),
        (FromAGenerator, "your optimizer must not change anything"),
        (lambda weights: WithATotal(weights, lr=0.1), "a state_dict of its own form"),
        (lambda weights: WithANamedState(weights, lr=0.1), "'k', which belongs to no weight"),
        (unfreezing, "it ended with an error"),
        (with_a_hidden_scheduler, "has a StepLR where a checkpoint does not look for it"),
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

    with pytest.raises(ValueError, match="your loss must not change anything"):
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
    with pytest.warns(UserWarning, match="its first losses are not those of this run"):
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
