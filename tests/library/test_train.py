"""fit: which images it sees, which bits it gives, how it stops, and what a run can tell."""

import copy
import ctypes
import math
import os
import pickle
import platform
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import vaedis as vd
from vaedis import losses
from vaedis._support import arithmetic
from vaedis.data import FactorData, XYSquares
from vaedis.factors import FactorSpace
from vaedis.spec import RunSpec
from vaedis.training import batches as _draws, model, objectives, step as _step
from vaedis_companion import store

TINY = RunSpec(
    data_options={"image_size": 16, "square_size": 4, "grid_size": 4, "num_squares": 1},
    model="mlp",
    model_options={"hidden": [32]},
    latents=2,
    steps=8,
    batch=8,
)


def fit(spec=TINY, **options):
    return vd.fit(spec, device="cpu", **options)


def weights(run):
    return torch.cat([p.detach().flatten() for p in run.model.parameters()])


class Recorder(FactorData):
    """A data set of one's own: 10 images of 4×4 pixels in grey; it notes which are asked for and
    how.
    """

    name, origin = "my own", "generated"
    factors, shape = FactorSpace(("bright", "side"), (5, 2)), (4, 4, 1)
    mean, std = (0.5,), (0.25,)

    def __init__(self):
        self.seen, self.normalized = [], set()

    def _images(self, index):
        bright, side = self.factors.to_factors(index).unbind(-1)
        left = torch.arange(4, device=index.device)[None, None, :] < 2
        x = torch.where(left == (side == 0)[:, None, None], 50 * bright[:, None, None] + 5, 0)
        return x.expand(-1, 4, -1)[..., None].to(torch.uint8)

    def _observations(self, index, normalize, channels_last=False):
        self.seen.append(index.clone())
        self.normalized.add(normalize)
        return super()._observations(index, normalize, channels_last)


def batches(spec, steps, **options):
    data = Recorder()
    fit(spec.replace(steps=steps), data=data, **options)
    return data.seen


@pytest.mark.parametrize("framework", ["beta-vae", "ada-gvae"])
def test_the_same_specification_gives_the_same_bits_and_another_seed_others(framework):
    spec = TINY.replace(framework=framework)
    torch.manual_seed(1)
    one = fit(spec)
    torch.manual_seed(2)
    two, other = fit(spec), fit(spec.replace(seed=1))
    assert torch.equal(weights(one), weights(two))
    for term in ("loss", "recon", "kl"):
        assert np.array_equal(one.history[term], two.history[term])
        assert not np.array_equal(one.history[term], other.history[term])


def test_training_leaves_global_generators_alone():
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    fit(TINY.replace(framework="ada-gvae"))
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


def test_each_epoch_has_every_image_once_in_a_new_order_with_the_last_short_batch():
    seen = batches(TINY.replace(batch=4), 9)
    assert [len(b) for b in seen] == [4, 4, 2] * 3
    epochs = [torch.cat(seen[i : i + 3]).tolist() for i in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


@pytest.mark.parametrize("rule", ["paper-code", "paper-text"])
def test_first_images_of_pairs_are_enumerated_and_second_ones_drawn(rule):
    seen = batches(TINY.replace(framework="ada-gvae", batch=5, pairs=rule), 200)
    assert all(len(b) == 10 for b in seen)
    first, second = (torch.cat(part) for part in zip(*(b.chunk(2) for b in seen), strict=True))
    assert torch.equal(first.bincount(), torch.full((10,), 100))
    a, b = Recorder.factors.to_factors(first), Recorder.factors.to_factors(second)
    same = (a == b).all(-1).double().mean().item()
    if rule == "paper-text":
        assert same == 0
    else:
        # F = 2, so k = 1 always: the mean of 1/5 and 1/2; standard error .015
        assert same == pytest.approx(0.35, abs=0.06)
        assert ((a != b).sum(-1) < 2).all()


@pytest.mark.parametrize("framework", ["beta-vae", "ada-gvae"])
def test_the_loss_falls_on_a_tiny_problem(framework):
    run = fit(TINY.replace(framework=framework, steps=300, lr=3e-3))
    x = run.data.observations(torch.arange(16))
    # what putting out the mean image would cost
    without_a_code = (x - x.mean(0)).square().mean().item()
    assert (
        run.history["recon"][-20:].mean() < 0.8 * without_a_code < run.history["recon"][:5].mean()
    )


def test_the_history_has_every_step_and_its_terms_add_up():
    run = fit(TINY.replace(steps=53, beta=0.2))
    assert {name: (len(v), v.dtype) for name, v in run.history.items()} == {
        n: (53, np.dtype("float32")) for n in ("loss", "recon", "kl")
    }
    np.testing.assert_allclose(
        run.history["loss"], run.history["recon"] + 0.2 * run.history["kl"], rtol=1e-6
    )


def test_beta_grows_in_a_straight_line_and_then_stays():
    spec = TINY.replace(beta=0.2, warmup=8)
    assert [spec.beta_at(step) for step in (0, 2, 8, 9, 1000)] == pytest.approx(
        [0, 0.05, 0.2, 0.2, 0.2]
    )
    run = fit(spec.replace(steps=12))
    h = run.history
    beta = (h["loss"].astype(float) - h["recon"]) / h["kl"]
    np.testing.assert_allclose(beta, [0.2 * min(1, step / 8) for step in range(12)], atol=1e-4)


def test_fit_is_adam_with_the_published_settings_on_the_objective():
    spec = TINY.replace(steps=6, beta=0.1)
    run = fit(spec)
    data, network = XYSquares(**spec.data_options), model.build("mlp", (16, 16, 3), 2, hidden=[32])
    draws = _draws.BatchSampler(spec, data)
    first, second = ([torch.zeros_like(p) for p in network.parameters()] for _ in range(2))
    for t in range(1, 7):
        x = data.observations(draws.index())
        terms = objectives.beta_vae(network, x, draws.noise(len(x)), loss=losses.MSE(), beta=0.1)
        gradients = torch.autograd.grad(terms.loss, list(network.parameters()))
        assert terms.loss.item() == pytest.approx(run.history["loss"][t - 1], rel=1e-4)
        with torch.no_grad():
            for p, g, m, v in zip(network.parameters(), gradients, first, second, strict=True):
                m.mul_(0.9).add_(0.1 * g)
                v.mul_(0.999).add_(0.001 * g**2)
                p -= 1e-3 * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
    expected = torch.cat([p.detach().flatten() for p in network.parameters()])
    torch.testing.assert_close(weights(run), expected, rtol=0, atol=1e-5)


def fail_at(monkeypatch, step, value):
    """Make the loss of one step have this value, in step with training."""
    calls = []

    def objective(*args, **options):
        calls.append(1)
        terms = real(*args, **options)
        return terms._replace(loss=terms.loss * 0 + value) if len(calls) == step else terms

    real = objectives.beta_vae
    monkeypatch.setattr(objectives, "beta_vae", objective)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e21])
@pytest.mark.parametrize("step", [2, 50, 51, 53])
def test_a_loss_that_is_not_finite_stops_the_run_and_says_where(monkeypatch, step, value):
    spec = TINY.replace(steps=60)
    healthy = fit(spec).history["loss"]
    fail_at(monkeypatch, step, value)
    with pytest.raises(vd.TrainingFailed) as caught:
        fit(spec)
    failure = caught.value
    assert failure.step == step
    assert failure.spec is spec
    assert failure.last_finite == pytest.approx(healthy[step - 2], rel=1e-6)
    for words in (
        f"at step {step} of 60",
        f"the last finite loss was {failure.last_finite:.6g}",
        " ".join(repr(spec).split()),
    ):
        assert words in str(failure)
    for other in (pickle.loads(pickle.dumps(failure)), copy.deepcopy(failure)):
        assert (str(other), other.spec, other.step) == (str(failure), spec, step)


def test_a_rate_that_is_far_too_high_ends_in_that_error_too():
    with pytest.raises(vd.TrainingFailed, match="lower beta or lr"):
        fit(TINY.replace(lr=1e12, steps=200))


def test_a_list_of_specifications_gives_a_list_of_the_same_runs():
    small = RunSpec(steps=1, batch=2)
    specs = [small, small.replace(framework="ada-gvae"), small.replace(seed=3)]
    runs = fit(specs)
    assert [r.spec for r in runs] == specs
    for run, spec in zip(runs, specs, strict=True):
        assert torch.equal(weights(run), weights(fit(spec)))
    assert fit([]) == []
    assert len(fit(TINY.replace(seed=seed) for seed in range(2))) == 2


def test_a_failure_in_a_list_that_is_trained_one_after_the_other_ends_no_other_run():
    # convolutional networks are
    small = RunSpec(steps=3, batch=2)
    specs = [small, small.replace(lr=1e12, steps=60), small.replace(seed=1)]
    with pytest.warns(
        RuntimeWarning,
        match=r"Run 2 of 3 failed: The loss became .* lower beta or lr",
    ) as caught:
        runs = fit(specs)
    assert caught[0].filename == __file__
    assert [run.failure is not None for run in runs] == [False, True, False]
    assert len(runs[1].history["loss"]) == runs[1].failure.step <= 60
    assert runs[1].seconds > 0
    for k in (0, 2):
        assert torch.equal(weights(runs[k]), weights(fit(specs[k])))


def test_a_callback_sees_the_run_so_far_and_changes_nothing():
    seen = []

    def look(step, run):
        assert not run.model.training
        assert run.seconds > 0
        torch.manual_seed(step)
        mean, _ = run.posterior(torch.arange(16))
        seen.append((step, len(run.history["loss"]), mean))

    spec = TINY.replace(steps=11)
    run = fit(spec, callback=look, every=3)
    assert [(step, length) for step, length, _ in seen] == [(3, 3), (6, 6), (9, 9)]
    assert not torch.equal(seen[0][2], seen[1][2])
    assert torch.equal(weights(run), weights(fit(spec)))
    assert not run.model.training


@pytest.mark.parametrize(
    ("changes", "normalized"), [({}, True), ({"normalize": False}, False), ({"loss": "bce"}, False)]
)
def test_images_are_standardised_unless_the_spec_or_the_loss_forbids_it(changes, normalized):
    data = Recorder()
    run = fit(TINY.replace(**changes), data=data)
    assert data.normalized == {normalized}
    assert run.normalize == normalized


def test_bce_trains_on_images_of_0_to_1_and_decodes_probabilities():
    run = fit(TINY.replace(loss="bce", steps=300, lr=3e-3, beta=0.0))
    x = run.data.observations(torch.arange(16), normalize=False)
    mean, _ = run.posterior(torch.arange(16))
    p = run.decode(mean)
    assert p.min() >= 0
    assert p.max() <= 1
    assert run.history["recon"][-20:].mean() < 0.5 * run.history["recon"][0]
    # the history is the cross-entropy that torch computes from the same probabilities, but for the
    # noise
    assert torch.nn.functional.binary_cross_entropy(p, x).item() < run.history["recon"][0]


def test_posteriors_and_pictures_are_those_of_the_network():
    run = fit()
    index = torch.tensor([3, 0, 9])
    with torch.no_grad():
        mean, logvar = run.model.encode(run.data.observations(index))
        decoded = run.model.decode(mean)
    found = run.posterior(index)
    torch.testing.assert_close(found, (mean, logvar))
    torch.testing.assert_close(run.decode(mean), decoded)
    assert not found[0].requires_grad
    pictures = run.decode_images(mean)
    assert pictures.dtype == torch.uint8
    expected = decoded.permute(0, 2, 3, 1).numpy() * np.array(run.data.std) + np.array(
        run.data.mean
    )
    # to half a grey level
    np.testing.assert_allclose(pictures.numpy(), expected.clip(0, 1) * 255, rtol=0, atol=0.501)


def test_images_are_counted_as_they_were_taken_with_the_short_batch_of_each_epoch():
    # 10 images in batches of 4: 4 + 4 + 2, and then 4 + 4 again
    run = fit(TINY.replace(batch=4, steps=5), data=Recorder())
    assert run.images_per_second == pytest.approx(18 / run.seconds)
    run = fit(TINY.replace(batch=1_000, steps=3), data=Recorder())
    assert run.images_per_second == pytest.approx(30 / run.seconds)


def test_images_a_second_are_those_of_the_steps_that_were_taken():
    seen = []
    fit(
        TINY.replace(steps=6),
        callback=lambda step, run: seen.append((step, run.images_per_second * run.seconds)),
        every=2,
    )
    assert seen == [(2, pytest.approx(16)), (4, pytest.approx(32)), (6, pytest.approx(48))]
    seen.clear()
    specs = [TINY.replace(steps=6), TINY.replace(steps=6, seed=1)]
    vd.fit(
        specs,
        device="cpu",
        callback=lambda step, run: seen.append((step, run.images_per_second * run.seconds)),
        every=3,
    )
    assert seen == [(3, pytest.approx(24))] * 2 + [(6, pytest.approx(48))] * 2


@pytest.mark.parametrize("specs", [TINY, [TINY, TINY.replace(seed=1)]])
def test_a_run_on_data_that_were_given_says_so_and_has_no_key_of_other_data(specs):
    labels = np.array([(a, b) for a in range(4) for b in range(4)])
    images = np.random.default_rng(0).integers(0, 255, (2, 16, 16, 16), dtype=np.uint8)
    one, two = (vd.LabelledImages(part, labels, ["a", "b"]) for part in images)
    coordinates = vd.load("coordinates", num_squares=1)
    keys = {TINY.key}
    for data in (one, two, coordinates):
        runs = fit(specs, data=data)
        run = runs if isinstance(specs, RunSpec) else runs[0]
        assert run.spec.data == f"given: {data.name}"
        assert run.spec.replace(data=TINY.data, data_options=TINY.data_options) == TINY
        keys.add(run.spec.key)
        with pytest.raises(
            ValueError,
            match=f"with its own data given: {data.name} or loss 'mse' cannot be stored, as a row must",
        ):
            store.make_row(run.spec, "fig9", "laptop")
    assert len(keys) == 4
    # the same data have the same key, and the spec that was given is as it was
    again = fit(specs, data=vd.LabelledImages(images[0], labels, ["a", "b"]))
    assert (again if isinstance(specs, RunSpec) else again[0]).spec.key in keys
    assert TINY.data == "xysquares"


@pytest.mark.parametrize(
    "changes", [{}, {"framework": "ada-gvae", "loss": "box-blur"}, "population", "conv"]
)
def test_a_program_whose_default_is_double_trains_the_same_bits(changes):
    if changes == "conv":
        specs = RunSpec(steps=2, batch=4)
    else:
        specs = (
            [TINY, TINY.replace(beta=0.5, warmup=4)]
            if changes == "population"
            else TINY.replace(**changes)
        )
    before = fit(specs, precision="float32")
    torch.set_default_dtype(torch.float64)
    try:
        after = fit(specs, precision="float32")
        pictures = [
            run.decode_images(run.posterior(torch.arange(4))[0])
            for run in (after if isinstance(after, list) else [after])
        ]
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(picture.dtype == torch.uint8 for picture in pictures)
    for one, other in zip(
        *([runs] if isinstance(runs, vd.Run) else runs for runs in (before, after)), strict=True
    ):
        assert weights(other).dtype == torch.float32
        assert torch.equal(weights(one), weights(other))
        assert np.array_equal(one.history["loss"], other.history["loss"])


SURROUNDINGS = {
    "no gradients": torch.no_grad,
    "inference": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "default device": lambda: torch.device("meta"),
}


@pytest.mark.parametrize("surroundings", SURROUNDINGS)
@pytest.mark.parametrize("population", [True, False])
def test_what_surrounds_a_fit_changes_no_bits(surroundings, population):
    specs = [TINY, TINY.replace(beta=0.5)] if population else TINY
    before = fit(specs, precision="float32")
    with SURROUNDINGS[surroundings]():
        after = fit(specs, precision="float32")
    for one, other in zip(
        *([runs] if isinstance(runs, vd.Run) else runs for runs in (before, after)), strict=True
    ):
        assert torch.equal(weights(one), weights(other))
        assert np.array_equal(one.history["loss"], other.history["loss"])


def test_a_run_on_a_table_that_is_no_grid_scores_its_rows():
    labels = np.array([(a, b) for a in range(4) for b in range(4)] * 3)[
        np.random.default_rng(0).permutation(48)
    ]
    images = (np.arange(16).reshape(4, 4) * labels.sum(1)[:, None, None]).astype(np.uint8)
    run = fit(TINY, data=vd.LabelledImages(images, labels, ["a", "b"]))
    # what the network is does not matter here, but that its codes and the labels are of the same
    # rows: let them be the labels
    run.model.encode = lambda x: 2 * (torch.stack([x.mean((1, 2, 3)), 0 * x.mean((1, 2, 3))], 1),)
    scores = run.scores(["mig"], protocol="fast")
    direct = vd.metrics.mig(np.stack([labels.sum(1), np.zeros(48)], 1), labels)
    assert float(direct) > 0.1
    assert float(scores["mig"]) == pytest.approx(float(direct), abs=1e-9)


def test_posteriors_and_decoders_take_lists_and_arrays():
    run = fit()
    mean, _ = run.posterior(torch.arange(3))
    for index in ([0, 1, 2], np.arange(3)):
        assert torch.equal(run.posterior(index)[0], mean)
    assert torch.equal(run.decode(mean.double().numpy()), run.decode(mean))


def test_a_population_is_float32():
    with pytest.raises(
        ValueError, match="A population of perceptrons is trained in float32, not 'bf16'"
    ):
        fit([TINY], precision="bf16")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data": "squares"}, "Unknown data set 'squares'; choose one of: "),
        (
            {"data_options": {"spacing": 1}},
            "Unknown option 'spacing' of data set 'xysquares'; it takes: grid_spacing",
        ),
        (
            {"data_options": {"grid_spacing": 0}},
            "grid_spacing must be a whole number of at least 1",
        ),
        ({"loss": "l2"}, "Unknown loss 'l2'; choose one of: mse, bce, mae, box-blur"),
        ({"loss_options": {"radius": 3}}, "Unknown option 'radius' of loss 'mse'; it takes none"),
        (
            {"model_options": {"width": 3}},
            "Unknown option 'width' of model 'mlp'; it takes: hidden",
        ),
        (
            {"model": "conv", "model_options": {}},
            "takes images of 28, 32, 64, 128 pixels a side, not 16×16",
        ),
    ],
)
def test_names_and_options_that_do_not_exist_are_found_before_the_first_step(
    monkeypatch, changes, says
):
    monkeypatch.setattr(_step, "objective", lambda *a: pytest.fail("a step was taken"))
    with pytest.raises(ValueError, match=says):
        fit(TINY.replace(**changes))


@pytest.mark.parametrize("framework", ["beta-vae", "ada-gvae"])
def test_a_batch_in_parts_gives_the_steps_of_the_whole_batch(monkeypatch, framework):
    spec, sizes = RunSpec(framework=framework, steps=3, batch=21), []
    real = _step.objective

    def spy(spec, network, x, *rest):
        sizes.append(len(x))
        return real(spec, network, x, *rest)

    monkeypatch.setattr(_step, "objective", spy)
    whole = fit(spec, precision="float32")
    monkeypatch.setattr(_step, "_PART", {"float32": 8})
    parts = fit(spec, precision="float32")
    assert sizes == (
        [21] * 3 + [7] * 9 if framework == "beta-vae" else [42] * 3 + [8, 8, 8, 6, 6, 6] * 3
    )
    for term in ("loss", "recon", "kl"):
        np.testing.assert_allclose(parts.history[term], whole.history[term], rtol=1e-4)
    # Adam's first steps are those of gradients' signs, so where a gradient is nearly nothing
    # rounding decides
    assert (weights(parts) - weights(whole)).abs().mean() < 1e-5


def test_parts_in_bfloat16_are_done_side_by_side_and_give_the_same_bits(monkeypatch):
    monkeypatch.setattr(_step, "_PART", {"bf16": 8})
    spec, before = RunSpec(framework="ada-gvae", steps=2, batch=16), torch.get_num_threads()
    real, both = _step.objective, threading.Barrier(2)
    done_by, read_by = set(), set()

    def spy(*given):
        both.wait(60)  # gets no further unless two are under way
        done_by.add((threading.get_ident(), torch.get_num_threads()))
        return real(*given)

    def observe(step, index, real=_step.NetworkStep._observe):
        read_by.add(threading.get_ident())
        return real(step, index)

    try:
        torch.set_num_threads(1)
        alone = fit(spec, precision="bf16")
        torch.set_num_threads(2)
        monkeypatch.setattr(_step, "objective", spy)
        monkeypatch.setattr(_step.NetworkStep, "_observe", observe)
        together = fit(spec, precision="bf16")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert [cores for _, cores in done_by] == [1, 1]
    assert read_by == {threading.get_ident()}
    np.testing.assert_array_equal(together.history["loss"], alone.history["loss"])
    assert torch.equal(weights(together), weights(alone))


@pytest.mark.parametrize(
    ("model", "device", "has_it", "chosen"),
    [
        ("conv", "cpu", True, "bf16"),
        ("conv", "cpu", False, "float32"),
        ("mlp", "cpu", True, "float32"),
        ("conv", "cuda", True, "tf32"),
        ("mlp", "cuda", False, "tf32"),
    ],
)
def test_auto_is_what_the_device_is_fast_at(monkeypatch, model, device, has_it, chosen):
    monkeypatch.setattr(_step, "cpu_has_bf16", lambda: has_it)
    assert _step.resolve_precision("auto", torch.device(device), model) == chosen


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have other rules")
def test_memory_that_a_step_gives_back_is_kept_for_the_next():
    # in a process of its own, whose allocator gives back what it can
    script = """
import resource, torch
from vaedis._support.memory import keep_memory
def faults(give_back=[9 << 20] * 5):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        del [torch.zeros(n, dtype=torch.uint8) for n in give_back][:]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
without = faults()
keep_memory()
faults()
print(without, faults())
"""
    eager = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_MMAP_THRESHOLD_": "131072"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=eager
    )
    without, kept = map(int, done.stdout.split())
    assert kept < without / 10, done.stdout


def test_bfloat16_is_near_float32_and_weights_and_losses_stay_float32():
    spec = TINY.replace(steps=100, lr=3e-3, framework="ada-gvae")
    half, single = fit(spec, precision="bf16"), fit(spec)
    assert (half.precision, single.precision) == ("bf16", "float32")
    assert weights(half).dtype == torch.float32
    assert not np.array_equal(half.history["loss"], single.history["loss"])
    assert half.history["recon"][-20:].mean() == pytest.approx(
        single.history["recon"][-20:].mean(), rel=0.05
    )


def settings():
    backends = torch.backends
    return (
        backends.cudnn.conv.fp32_precision,
        backends.cuda.matmul.fp32_precision,
        backends.mkldnn.matmul.fp32_precision,
        backends.cudnn.deterministic,
    )


@pytest.mark.parametrize("order", ["first in, first out", "first in, last out"])
def test_settings_of_overlapping_threads_are_put_back_by_the_last(order):
    before = settings()
    first, second = _step.arithmetic("tf32"), arithmetic.override(matmul="ieee", cpu_matmul="ieee")
    first.__enter__()
    alone = settings()
    second.__enter__()
    assert settings() == ("tf32", "ieee", "ieee", True)
    if order == "first in, first out":
        first.__exit__(None, None, None)
        assert settings()[1:3] == ("ieee", "ieee")
        second.__exit__(None, None, None)
    else:
        second.__exit__(None, None, None)
        assert settings() == alone  # a fit goes on as it was after distances in its callback
        first.__exit__(None, None, None)
    assert settings() == before


def test_fits_in_threads_leave_no_setting_behind():
    before = settings()
    together = threading.Barrier(3)

    def one(seed):
        waited = []

        def callback(step, run):
            if not waited:
                waited.append(together.wait(60))

        return fit(TINY.replace(seed=seed, steps=4 + 4 * seed), callback=callback, every=1)

    with ThreadPoolExecutor(3) as pool:
        runs = list(pool.map(one, range(3)))
    assert settings() == before
    assert all(torch.equal(weights(run), weights(fit(run.spec))) for run in runs)


def test_no_function_of_the_library_changes_the_allocator_of_its_process(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda *_: pytest.fail("the allocator was asked for"))
    fit()
    fit([TINY])


def test_what_is_no_specification_is_refused():
    for wrong in ("fig9", [TINY, "fig9"], {"beta": 1.0}):
        with pytest.raises(TypeError, match="fit takes a RunSpec or a sequence of them"):
            vd.fit(wrong)
    own = vd.LabelledImages(np.zeros((2, 4, 4), np.uint8), [0, 1])
    with pytest.raises(
        TypeError,
        match=r"fit takes a RunSpec .*, not LabelledImages; a data set of your own goes as in fit\(RunSpec",
    ):
        vd.fit(own)
    with pytest.raises(
        ValueError,
        match=r"name of a data set, not a LabelledImages; give your own as in fit\(spec, data=mine\)",
    ):
        vd.RunSpec(data=own)
    with pytest.raises(ValueError, match="every must be a whole number of at least 0, not -1"):
        fit(every=-1)
    with pytest.raises(
        ValueError, match="Unknown device 'tpu0'; choose 'auto', 'cpu', 'cuda' or 'cuda:N'"
    ):
        vd.fit(TINY, device="tpu0")
    with pytest.raises(ValueError, match="Device 'mps' is not supported"):
        vd.fit(TINY, device="mps")
    with pytest.raises(
        ValueError, match="There is a callback, but every is 0; say after how many steps"
    ):
        fit(callback=print)
    with pytest.raises(
        ValueError, match="Unknown precision 'fp8'; choose one of: auto, float32, tf32, bf16"
    ):
        fit(precision="fp8")
    with pytest.raises(ValueError, match="precision='tf32' needs an NVIDIA GPU"):
        fit(precision="tf32")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
class TestOnAGPU:
    def test_a_short_run_has_the_losses_of_the_cpu(self, monkeypatch):
        # draws are made on the device that trains, and differ between devices: give both the same
        def same_on_every_device(spec, purpose, device):
            return torch.Generator().manual_seed(0)

        spec = RunSpec(steps=20, batch=16, framework="ada-gvae")
        monkeypatch.setattr(_draws, "generator", same_on_every_device)
        for name in ("randn", "randperm", "randint", "rand"):
            real = getattr(torch, name)

            def on_cpu(*size, device=None, real=real, **options):
                return real(*size, **options).to(device or "cpu")

            monkeypatch.setattr(torch, name, on_cpu)
        cpu, gpu = (vd.fit(spec, device=d, precision="float32").history for d in ("cpu", "cuda"))
        for term in ("loss", "recon"):
            np.testing.assert_allclose(gpu[term], cpu[term], rtol=0, atol=1e-3)

    @pytest.mark.parametrize("framework", ["beta-vae", "ada-gvae"])
    def test_the_same_specification_gives_the_same_bits(self, framework):
        spec = RunSpec(steps=60, batch=64, framework=framework, loss="box-blur")
        one, two = (vd.fit(spec, device="cuda") for _ in range(2))
        assert np.array_equal(one.history["loss"], two.history["loss"])
        assert torch.equal(weights(one), weights(two))

    @pytest.mark.parametrize("framework", ["beta-vae", "ada-gvae"])
    def test_a_captured_step_gives_the_bits_of_one_launch_at_a_time(self, monkeypatch, framework):
        # 625 images in batches of 64: the last of an epoch is shorter
        spec = RunSpec(
            data_options={"grid_size": 5, "num_squares": 2}, steps=25, batch=64, framework=framework
        )
        captured = vd.fit(spec, device="cuda")
        monkeypatch.setattr(_step, "_WARM_UP", 10**6)
        assert torch.equal(weights(captured), weights(vd.fit(spec, device="cuda")))

    def test_a_run_that_was_stopped_ends_with_the_same_bits(self, tmp_path):
        spec = RunSpec(steps=20, batch=64)
        left = iter([False] * 9 + [True])
        with pytest.raises(vd.TrainingStopped):
            vd.fit(spec, device="cuda", checkpoint=tmp_path, deadline=lambda: next(left))
        assert torch.equal(
            weights(vd.fit(spec, device="cuda", checkpoint=tmp_path)),
            weights(vd.fit(spec, device="cuda")),
        )

    def test_auto_is_cuda_and_runs_stay_there(self):
        run = vd.fit(TINY)
        assert run.data.device.type == "cuda"
        assert next(run.model.parameters()).is_cuda
        assert run.decode_images(run.posterior(torch.arange(16))[0]).is_cuda
        assert isinstance(run.history["loss"], np.ndarray)
