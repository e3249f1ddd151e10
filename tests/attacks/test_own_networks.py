"""Networks, optimizers and functions of one's own that keep or change what nobody expects: the same
bits, or one sentence.
"""

import os
import re
import subprocess
import sys
from collections import deque
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import vaedis as vd
from vaedis.losses.fingerprint import fingerprint
from vaedis.training import inspect, objectives

SPEC = vd.RunSpec(
    data_options={"image_size": 8, "square_size": 2, "grid_size": 3, "num_squares": 1},
    model="mlp",
    model_options={"hidden": [8]},
    latents=2,
    steps=6,
    batch=9,
)
ROOT = Path(__file__).resolve().parents[2]


class Net(nn.Module):
    """A small network that changes its images by `before`, and its latents by `within`."""

    before = within = staticmethod(lambda x: x)

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.e, self.d = nn.Linear(192, 4), nn.Linear(2, 192)
        self.norm = nn.BatchNorm1d(192)
        for weight in self.parameters():
            weight.data = 0.1 * torch.randn(weight.shape, generator=generator)

    def encode(self, x):
        return tuple(self.e(self.norm(self.before(x).flatten(1))).chunk(2, -1))

    def decode(self, z):
        return self.d(self.within(z)).view(-1, 3, 8, 8)


class Writes(Net):
    def before(self, x):
        return x.mul_(0.5)


class DropsOut(Net):
    def before(self, x):
        return nn.functional.dropout(x, 0.5, self.training, inplace=True)


class WritesLatents(Net):
    def within(self, z):
        return z.mul_(2)


class Counts(Net):
    calls = 0

    def before(self, x):
        self.calls += self.training
        return x * (1 + self.calls)


class Remembers(Net):
    """What it keeps follows from its input alone."""

    def before(self, x):
        self.shape, self.last, self.layers = x.shape, x.mean(), [self.e, self.d]
        return x


class Views(Net):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def before(self, x):
        return self.conv(x).view(len(x), -1)


class Extra(Net):
    def get_extra_state(self):
        return {"a": 1}

    def set_extra_state(self, state):
        pass


def fit(spec=SPEC, **options):
    return vd.fit(spec, device="cpu", **options)


def stop_after(steps):
    calls = iter(range(10**6))
    return lambda: next(calls) >= steps


def assert_goes_on(folder, **own):
    """Stop and resume; the run ends with the bits of one that was not stopped."""
    with pytest.raises(vd.TrainingStopped):
        fit(checkpoint=folder, deadline=stop_after(3), **own)
    steps = []
    own.setdefault("every", 1)
    callback = own.pop("callback", lambda *_: None)
    whole = fit(callback=callback, **own)
    resumed = fit(
        checkpoint=folder,
        callback=lambda step, run: (steps.append(step), callback(step, run)),
        **own,
    )
    assert steps == [4, 5, 6]
    assert np.array_equal(resumed.history["loss"], whole.history["loss"])
    states = resumed.model.state_dict(), whole.model.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("network", [Writes, DropsOut])
def test_a_network_that_writes_into_its_images_is_refused(network):
    with pytest.raises(ValueError, match=r"model.encode must not write into its images"):
        fit(model=network())


def test_latents_that_a_network_writes_into_are_a_copy():
    run = fit(model=WritesLatents())
    z = torch.ones(2, 2)
    first = run.decode(z)
    assert torch.equal(z, torch.ones(2, 2))
    assert torch.equal(run.decode(z), first)


class Decay(torch.optim.SGD):
    def step(self, closure=None):
        super().step(closure)
        for group in self.param_groups:
            group["lr"] /= 1.5
            group["taken"] = group.get("taken", 0) + 1
            group["sum"] = group.get("sum", torch.zeros(())) + group["taken"]


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda parameters: Decay(parameters, lr=0.1),
        lambda parameters: torch.optim.Adam(parameters, lr=torch.tensor(0.01), betas=(0.8, 0.9)),
    ],
    ids=["class", "tensor"],
)
def test_the_numbers_of_an_optimizer_are_in_a_checkpoint(tmp_path, optimizer):
    assert_goes_on(tmp_path, optimizer=optimizer)


class Shrinking(torch.optim.SGD):
    """Is no other one after torch has wrapped its step."""

    @torch.no_grad()
    def step(self, closure=None):
        super().step(closure)
        for group in self.param_groups:
            for weight in group["params"]:
                weight.mul_(0.9)


class Plain(torch.optim.SGD):
    """Inherits its step."""


@pytest.mark.parametrize("cls", [Shrinking, Plain])
def test_an_optimizer_is_the_same_before_and_after_torch_wraps_its_step(cls):
    before = fingerprint(cls)
    for parent in (cls, *cls.__bases__):
        parent([torch.zeros(1, requires_grad=True)], lr=0.1)
        assert fingerprint(cls) == before


class KeepsATensor(torch.optim.SGD):
    def __init__(self, parameters):
        super().__init__(parameters, lr=0.1)
        self.total = torch.zeros(())

    def step(self, closure=None):
        self.total = self.total / 2 + 1
        super().step(closure)


class KeepsAQueue(KeepsATensor):
    total = property(lambda self: 0, lambda self, value: None)

    def __init__(self, parameters):
        super().__init__(parameters)
        self.queue = deque(maxlen=3)

    def step(self, closure=None):
        self.queue.append(len(self.queue))
        super().step(closure)


class Counting(torch.optim.Optimizer):
    def __init__(self, parameters):
        super().__init__(parameters, {"lr": 0.1})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                state["step"] = state.get("step", 0) + 1
                weight.add_(weight.grad, alpha=-group["lr"] / state["step"])


class Deep(Counting):
    @torch.no_grad()
    def step(self, closure=None):
        for weight in self.param_groups[0]["params"]:
            self.state[weight].setdefault("step", []).append(weight.grad.clone())
            weight.sub_(sum(self.state[weight]["step"]), alpha=0.1)


class OfItsOwnForm(torch.optim.SGD):
    def state_dict(self):
        return {"fast": super().state_dict()}


@pytest.mark.parametrize("make", [Shrinking, lambda p: Shrinking(p, lr=0.05)])
def test_an_optimizer_goes_on(make, tmp_path):
    assert_goes_on(tmp_path, optimizer=make)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (KeepsATensor, "the optimizer's total changes as it trains"),
        (KeepsAQueue, "the optimizer's queue changes as it trains"),
        (
            Deep,
            r"the optimizer's state has step, a list, and a checkpoint takes tensors and numbers",
        ),
        (OfItsOwnForm, "it ended with an error, KeyError"),
    ],
)
def test_an_optimizer_that_a_checkpoint_cannot_hold_is_refused_at_once(make, says, tmp_path):
    assert fit(optimizer=make).steps_taken == 6
    with pytest.raises(ValueError, match=says):
        fit(optimizer=make, checkpoint=tmp_path, checkpoint_every=5)
    assert not list(tmp_path.iterdir())


def test_numbers_in_the_state_of_an_optimizer_go_on(tmp_path):
    fit(SPEC.replace(steps=4), optimizer=Counting, checkpoint=tmp_path)
    resumed = fit(optimizer=Counting, checkpoint=tmp_path)
    expected = fit(optimizer=Counting)
    assert resumed.history["loss"].tolist() == expected.history["loss"].tolist()


def numbered(numbers):
    return lambda step: next(numbers)


@pytest.mark.parametrize("name", ["beta", "lr"])
def test_a_schedule_that_does_not_follow_from_the_step_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} must follow from the step alone, but at step 0"):
        fit(**{name: numbered(iter(range(9)))})


def test_of_a_schedule_for_long_some_steps_are_asked_for_before_training():
    steps = []
    with pytest.raises(vd.TrainingStopped):
        vd.fit(
            SPEC.replace(steps=10**7),
            beta=lambda step: float(bool(steps.append(step))),
            deadline=lambda: True,
            device="cpu",
        )
    assert len(steps) < 100_100
    assert steps[-2:] == [10**7 - 1, 0]


def test_a_network_that_counts_has_no_checkpoints_and_one_that_remembers_has(tmp_path):
    assert fit(model=Counts()).steps_taken == 6
    with pytest.raises(ValueError, match=r"model.calls changes with each call in training"):
        fit(model=Counts(), checkpoint=tmp_path)
    assert_goes_on(tmp_path, model=Remembers())


@pytest.mark.parametrize("name", ["beta", "lr"])
def test_a_schedule_of_something_that_changes_has_no_checkpoints(tmp_path, name):
    outer = {"value": 0.1}
    own = {
        name: lambda step: outer["value"],
        "callback": lambda step, run: outer.update(value=0.2),
        "every": 2,
    }
    assert fit(**own).steps_taken == 6
    outer["value"] = 0.1
    with pytest.raises(ValueError, match=f"{name} holds something that changes as it trains"):
        fit(checkpoint=tmp_path, **own)


def test_frozen_layers_stay_frozen_unless_the_whole_network_is():
    network = Net()
    network.norm.eval()
    before = network.norm.running_mean.clone()
    run = fit(model=network, callback=lambda *_: None, every=2)
    assert torch.equal(run.model.norm.running_mean, before)
    assert not torch.equal(fit(model=Net().eval()).model.norm.running_mean, before)


def test_a_network_that_counts_on_the_usual_order_is_loaded_with_it(tmp_path):
    run = fit(model=Views())
    run.save(tmp_path)
    loaded = vd.load_run(tmp_path, model=Views(), device="cpu")
    assert torch.equal(loaded.posterior([0, 4])[0], run.posterior([0, 4])[0])


def test_a_network_of_the_library_given_in_person_is_asked_for_again(tmp_path):
    network = vd.training.model.build("mlp", (8, 8, 3), 2, hidden=[8])
    fit(model=network).save(tmp_path)
    with pytest.raises(ValueError, match=r"has a network of your own.*load_run\(folder, model="):
        vd.load_run(tmp_path)
    assert vd.load_run(tmp_path, model=network).steps_taken == 6


def test_names_of_factors_that_look_like_numbers_come_back_as_text(tmp_path):
    class Bars(vd.FactorData):
        name, origin, shape, mean, std = "bars", "generated", (8, 8, 1), (0.5,), (0.5,)
        factors = vd.FactorSpace(("1",), (8,))

        def _images(self, index):
            rows = torch.arange(8)[:, None, None] < index[:, None, None, None]
            return (255 * rows.expand(-1, 8, 8, 1)).to(torch.uint8)

    fit(data=Bars()).save(tmp_path)
    assert vd.load_run(tmp_path, data=Bars()).data.factors.names == ("1",)


def backwards(model, x, noise, *, loss, beta):
    terms = objectives.beta_vae(model, x, noise, loss=loss, beta=beta)
    terms.loss.backward(retain_graph=True)
    return terms


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"objective": backwards}, "leave its backward"),
        ({"optimizer": torch.optim.SparseAdam}, "other than LBFGS and SparseAdam"),
        ({"checkpoint": 5}, "checkpoint must be the path of a folder, not 5"),
    ],
)
def test_what_cannot_be_trained_is_one_sentence(options, says):
    with pytest.raises((TypeError, ValueError), match=says):
        fit(**options)


def test_other_arguments_that_make_no_sense_are_one_sentence(tmp_path):
    with pytest.raises(TypeError, match=r"device must be 'auto'.*, not None"):
        vd.fit(SPEC, device=None)
    for nothing in ("", {}):
        with pytest.raises(TypeError, match="fit takes a RunSpec or a sequence of them"):
            fit(nothing)
    run = fit(model=Extra())
    with pytest.raises(ValueError, match="_extra_state of its state is a dict"):
        run.save(tmp_path)
    for use in (run.save, vd.load_run):
        with pytest.raises(TypeError, match="folder must be the path of a folder, not 5"):
            use(5)
    run.seconds = 0.0
    assert np.isnan(run.images_per_second)


def test_steps_that_no_memory_holds_are_taken_until_a_deadline(monkeypatch):
    from vaedis.training import progress

    with pytest.raises(vd.TrainingStopped, match="Stopped at step 2 of"):
        fit(SPEC.replace(steps=10**13), optimizer=torch.optim.SGD, deadline=stop_after(2))
    expected = fit()
    monkeypatch.setattr(progress, "_ROOM", 1)
    assert np.array_equal(fit().history["loss"], expected.history["loss"])


@pytest.mark.filterwarnings("ignore:Run 1 of 1 failed")
def test_a_run_that_failed_is_of_no_use():
    run = fit([SPEC.replace(lr=1e30)])[0]
    for use in (
        lambda: run.posterior([0]),
        lambda: run.decode_images(torch.zeros(1, 2)),
        lambda: inspect.latent_agreement(run, [0], [1]),
        lambda: inspect.factor_learning(run),
    ):
        with pytest.raises(ValueError, match=r"the run failed at step .* of no use"):
            use()


def test_numbers_that_are_not_finite_are_refused_of_a_run_that_has_ended():
    run, means = fit(), []
    with torch.no_grad():
        next(run.model.parameters()).fill_(torch.nan)
    with pytest.raises(ValueError, match="the posteriors are NaN or infinite"):
        run.posterior([0])
    with pytest.raises(ValueError, match="latents must be finite"):
        run.decode([[0.0, torch.nan]])
    with torch.no_grad():
        run.model.decoder[0].weight.fill_(torch.nan)
    with pytest.raises(ValueError, match="what is decoded is NaN or infinite"):
        run.decode([[0.0, 0.0]])
    # a callback sees them, and ends nothing
    with pytest.raises(vd.TrainingFailed):
        fit(
            SPEC.replace(lr=1e30),
            callback=lambda step, run: means.append(run.posterior([0])[0]),
            every=1,
        )
    assert means


def test_what_is_no_list_of_images_is_one_sentence():
    run = fit()
    for wrong in (None, "a"):
        with pytest.raises(TypeError, match="index must be a tensor, an array or a list"):
            run.posterior(wrong)
        with pytest.raises(TypeError, match="latents must be a tensor, an array or a list"):
            run.decode(wrong)
    with pytest.raises(ValueError, match=r"focus must be the index of one image, not \[4\]"):
        inspect.posterior_map(run, [4])
    with pytest.raises(ValueError, match=r"not \(3,\) and \(2,\)"):
        inspect.latent_agreement(run, [0, 1, 2], [1, 2])
    with pytest.raises(ValueError, match="different images, but a pair has one twice"):
        inspect.latent_agreement(run, [0, 1], [0, 2])


def test_confusion_takes_finite_posteriors_of_one_shape_and_shares_ties():
    mean = torch.tensor([[-9.0], [0.0], [0.0]])
    std = torch.ones(3, 1)
    shares = torch.tensor([[1.0, 0, 0], [0, 0.5, 0.5], [0, 0.5, 0.5]])
    assert torch.equal(inspect.confusion(mean, std), shares)
    assert torch.equal(inspect.confusion(mean.numpy(), std.numpy()), shares)
    for wrong in ((mean * torch.nan, std), (mean, std * torch.inf)):
        with pytest.raises(ValueError, match="must be finite numbers"):
            inspect.confusion(*wrong)
    for wrong in ((mean[:, 0], std[:, 0]), (mean.expand(3, 2), std)):
        with pytest.raises(ValueError, match=r"must both have the shape \(n, z\)"):
            inspect.confusion(*wrong)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_process_that_was_forked_after_a_fit_trains_with_one_thread_or_says_why_not(
    n_threads, tmp_path
):
    code = f"""
import os, signal, sys, torch, vaedis as vd
torch.set_num_threads(2)
spec = vd.RunSpec(**{SPEC.to_dict()!r})
whole = vd.fit(spec, device="cpu").history["loss"]
if os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
signal.alarm(60)
torch.set_num_threads({n_threads})
try:
    alone = vd.fit(spec, device="cpu").history["loss"]
    print("trained", abs(alone - whole).max() < 1e-5, flush=True)
except RuntimeError as error:
    print(error, flush=True)
os._exit(0)
"""
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    said = "trained True" if n_threads == 1 else "this process was forked .* torch.set_num_threads"
    assert re.match(said, result.stdout)


def test_a_file_in_place_of_a_folder_is_one_sentence(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for use in (lambda: fit().save(file), lambda: fit(checkpoint=file), lambda: vd.load_run(file)):
        with pytest.raises(FileExistsError, match=r"must be the path of a folder, but .* file\."):
            use()


def test_figures_take_tensors_with_gradients():
    pytest.importorskip("matplotlib")
    images = torch.rand(3, 8, 8, 3, requires_grad=True)
    drawn = [
        [image.get_array() for ax in vd.plots.traversals({"mine": x}).axes for image in ax.images]
        for x in (images, images.detach().numpy())
    ]
    assert len(drawn[0]) == 3
    assert np.array_equal(*drawn)
