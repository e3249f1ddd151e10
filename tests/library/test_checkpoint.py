"""Checkpoints: a run that was killed, stopped or damaged ends with the bits of one that was not."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import torch

import vaedis as vd
from vaedis.spec import RunSpec
from vaedis.training import Run, checkpoint, forget
from vaedis_companion.grids import Profile
from vaedis_companion.sweep import evaluations, runs as scoring

SPEC = RunSpec(
    data_options={"image_size": 16, "square_size": 4, "grid_size": 4, "num_squares": 1},
    framework="ada-gvae",
    model="mlp",
    model_options={"hidden": [32]},
    latents=2,
    steps=40,
    batch=6,  # 16 images: an epoch is 6, 6 and 4
)


def fit(spec=SPEC, **options):
    return vd.fit(spec, device="cpu", **options)


def stop_after(steps):
    """A deadline that comes when so many steps are taken."""
    calls = iter(range(10**6))
    return lambda: next(calls) >= steps


def assert_same_bits(run, expected):
    for (name, a), b in zip(
        run.model.state_dict().items(), expected.model.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
    for term, values in expected.history.items():
        assert np.array_equal(run.history[term], values), term


def interrupted(folder, step, spec=SPEC, **options):
    with pytest.raises(vd.TrainingStopped) as caught:
        fit(spec, checkpoint=folder, deadline=stop_after(step), **options)
    return caught.value


def fit_and_steps(specs, folder, **options):
    """Train with a folder of checkpoints; return the result and the steps that were taken."""
    steps = []
    options = {"callback": lambda step, _: steps.append(step), "every": 1, **options}
    return fit(specs, checkpoint=folder, **options), steps


@pytest.mark.parametrize("framework", ["beta-vae", "ada-gvae"])
@pytest.mark.parametrize("step", [0, 1, 2, 3, 39])
def test_a_run_that_was_stopped_ends_with_the_bits_of_one_that_was_not(tmp_path, framework, step):
    spec = SPEC.replace(framework=framework)
    stopped = interrupted(tmp_path, step, spec)
    assert (stopped.step, stopped.spec) == (step, spec)
    assert stopped.checkpoint.is_file()
    assert f"Stopped at step {step} of 40" in str(stopped)
    run = fit(spec, checkpoint=tmp_path)
    assert_same_bits(run, fit(spec))
    assert len(run.history["loss"]) == 40


POPULATION = [
    SPEC,
    SPEC.replace(seed=1, lr=1e-2),
    SPEC.replace(average="published", beta=0.5),
    # fails before the first look, and stays out
    SPEC.replace(lr=1e30),
]


@pytest.mark.filterwarnings("ignore:Run 4 of 4 failed")
@pytest.mark.parametrize("step", [0, 1, 3, 39])
def test_a_population_that_was_stopped_ends_with_the_bits_of_one_that_was_not(tmp_path, step):
    with pytest.raises(
        vd.TrainingStopped,
        match=rf"Stopped at step {step} of 40, .*\.safetensors\. The first of 4 runs: ",
    ) as caught:
        fit(POPULATION, checkpoint=tmp_path, deadline=stop_after(step))
    assert (caught.value.step, caught.value.spec) == (step, SPEC)
    assert caught.value.checkpoint.is_file()
    steps = set()
    runs = fit(
        POPULATION,
        checkpoint=tmp_path,
        callback=lambda s, run: steps.add((s, run.spec.seed)),
        every=1,
    )
    assert min(steps) == (step + 1, 0)
    *whole, failed = fit(POPULATION)
    for run, expected in zip(runs, whole, strict=False):
        assert_same_bits(run, expected)
        assert run.failure is None
    assert runs[-1].failure.step == failed.failure.step == len(runs[-1].history["loss"])


def test_checkpoints_of_a_population_are_nobody_elses_and_are_forgotten_together(tmp_path):
    specs = POPULATION[:2]
    fit(specs, checkpoint=tmp_path, checkpoint_every=10)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert [name[16:] for name in names] == ["-000000030.safetensors", "-000000040.safetensors"]
    for other in (SPEC, [SPEC], specs[::-1]):
        _, steps = fit_and_steps(other, tmp_path)
        assert steps[0] == 1
        forget(other, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    forget(specs, tmp_path)
    assert not list(tmp_path.iterdir())


KILLED = {"run": SPEC, "population": POPULATION[:3]}
CHILD = """
import sys, torch, vaedis as vd
from test_checkpoint import KILLED
torch.set_num_threads(int(sys.argv[2]))

def wait(step, _):
    if step == 12:
        sys.stdin.read()  # until this process is killed, or the one that waits for it is

vd.fit(KILLED[sys.argv[3]], device="cpu", checkpoint=sys.argv[1], checkpoint_every=3, callback=wait, every=1)
"""


@pytest.mark.parametrize("kind", KILLED)
def test_a_process_that_is_killed_loses_nothing(tmp_path, kind):
    path = os.pathsep.join(
        [os.path.dirname(__file__), *filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")])]
    )
    words = [sys.executable, "-c", CHILD, str(tmp_path), str(torch.get_num_threads()), kind]
    child = subprocess.Popen(
        words, env={**os.environ, "PYTHONPATH": path}, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while len(list(tmp_path.glob("*.safetensors"))) < 2 and child.poll() is None:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    errors = child.communicate()[1].decode()
    assert child.returncode == -signal.SIGKILL, errors
    done, steps = fit_and_steps(KILLED[kind], tmp_path)
    assert 3 < steps[0] < 40
    assert steps[-1] == 40
    expected = fit(KILLED[kind])
    for run, other in [(done, expected)] if kind == "run" else zip(done, expected, strict=True):
        assert_same_bits(run, other)


def newest(folder):
    return max(folder.glob("*.safetensors"))


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def empty(path):
    path.write_bytes(b"")


def flip(path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def swap(path):
    other = SPEC.replace(beta=0.5)
    fit(other, checkpoint=path.parent / "other")
    path.write_bytes(newest(path.parent / "other").read_bytes())


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (truncate, "it is truncated, or no safetensors file"),
        (empty, "it is truncated, or no safetensors file"),
        (flip, "its content is damaged"),
        (swap, "its key is '[0-9a-f]{16}', and this run's '[0-9a-f]{16}'"),
    ],
)
def test_a_bad_checkpoint_is_named_and_the_one_before_it_used(tmp_path, spoil, says):
    interrupted(tmp_path, 25, checkpoint_every=10)
    bad = newest(tmp_path)
    assert bad.name == f"{SPEC.key}-000000025.safetensors"
    spoil(bad)
    with pytest.warns(
        UserWarning,
        match=f"Checkpoint {bad.name} is not used: {says}; the one before it, or the beginning, is",
    ):
        run, steps = fit_and_steps(SPEC, tmp_path, checkpoint_every=100)
    assert steps[0] == 21
    assert_same_bits(run, fit())


def header_changed(path, change):
    """Rewrite a safetensors file's header, and leave its numbers."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])


def weight_of(header):
    return next(
        name
        for name, about in header.items()
        if name.startswith("model.") and len(about.get("shape", ())) == 2
    )


def set_about(name, value):
    return lambda header: header["__metadata__"].__setitem__(name, value)


def without(name):
    return lambda header: header["__metadata__"].pop(name)


def set_weight(name, value):
    return lambda header: header[weight_of(header)].__setitem__(name, value)


def transpose(header):
    header[weight_of(header)]["shape"].reverse()


def rename(header):
    header["model.other"] = header.pop(weight_of(header))


HEADERS = [
    *(set_about("step", step) for step in ("24", "27", "35", "65", "x", "", "²")),
    *(set_about("made_with", text) for text in ("[]", "x")),
    set_about("layout", "9"),
    *(without(name) for name in ("step", "sum", "key", "format", "layout", "made_with", "specs")),
    transpose,
    set_weight("dtype", "I32"),
    rename,
]


@pytest.mark.parametrize("change", HEADERS)
def test_a_checkpoint_whose_header_was_changed_is_named_and_the_one_before_it_used(
    tmp_path, change
):
    interrupted(tmp_path, 25, checkpoint_every=10)
    header_changed(newest(tmp_path), change)
    with pytest.warns(
        UserWarning,
        match=r"-000000025\.safetensors is not used: .*; the one before it, or the beginning, is",
    ):
        run = fit(checkpoint=tmp_path, checkpoint_every=100)
    assert_same_bits(run, fit())


@pytest.mark.parametrize("specs", [SPEC, POPULATION[:2]])
def test_other_threads_or_another_torch_are_told_and_stay_told(tmp_path, monkeypatch, specs):
    with pytest.raises(vd.TrainingStopped):
        fit(specs, checkpoint=tmp_path, deadline=stop_after(7))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    says = r"-000000007\.safetensors was made with torch .*, \d+ threads, and the run goes on from it with torch .*, 77 threads: it ends"
    with pytest.warns(UserWarning, match=says), pytest.raises(vd.TrainingStopped):
        fit(specs, checkpoint=tmp_path, deadline=stop_after(7))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = fit(specs, checkpoint=tmp_path)
    for run in [done] if specs is SPEC else done:
        assert [made.rpartition(", ")[2] for made in run.made_with][-1] == "77 threads"
        assert len(run.made_with) == 2
        row = scoring.resume_note(run)
        assert row == {"torch": f"{torch.__version__} (begun with {run.made_with[0]})"}
    assert scoring.resume_note(fit()) == {}


def test_what_killed_writers_left_is_removed_when_the_run_goes_on(tmp_path):
    interrupted(tmp_path, 5)
    left = tmp_path / f".{SPEC.key}-000000010.safetensors.abc.tmp"
    other = tmp_path / f".{SPEC.replace(seed=9).key}-000000010.safetensors.abc.tmp"
    for path in (left, other):
        path.touch()
    fit(checkpoint=tmp_path)
    assert not left.exists()
    assert other.exists()


@pytest.mark.parametrize(
    "name", ["model.safetensors", "{key}-x.safetensors", "{key}-²5.safetensors"]
)
def test_a_stray_file_stops_nothing(tmp_path, name):
    interrupted(tmp_path, 5)
    stray = tmp_path / name.format(key=SPEC.key)
    stray.write_bytes(b"no safetensors")
    assert_same_bits(fit(checkpoint=tmp_path), fit())
    assert stray.exists()


@pytest.mark.parametrize(
    "changes",
    [{}, {"warmup": 7}, {"warmup": 4, "beta_schedule": "cyclic"}, {"loss": vd.losses.MAE()}],
)
def test_a_finished_run_goes_on_with_more_steps(tmp_path, changes):
    spec = SPEC.replace(**changes)
    fit(spec.replace(steps=13), checkpoint=tmp_path)
    run, steps = fit_and_steps(spec, tmp_path)
    assert steps == list(range(14, 41))
    assert_same_bits(run, fit(spec))
    assert run.steps_taken == 40
    # a run that differs in more begins anew
    assert fit_and_steps(SPEC.replace(seed=3, steps=20), tmp_path)[1][0] == 1
    # and each has checkpoints of its own
    forget(spec, tmp_path)
    assert fit_and_steps(spec.replace(steps=14), tmp_path)[1] == [14]


def test_a_population_goes_on_with_more_steps(tmp_path):
    longer = [spec.replace(steps=30, lr=1e-3) for spec in POPULATION[:2]]
    fit([spec.replace(steps=11) for spec in longer], checkpoint=tmp_path)
    runs, steps = fit_and_steps(longer, tmp_path)
    assert steps[0] == 12
    for run, expected in zip(runs, fit(longer), strict=True):
        assert_same_bits(run, expected)


def test_a_run_that_cannot_go_on_says_that_it_begins_anew(tmp_path):
    spec = SPEC.replace(lr_schedule="cosine")
    fit(spec.replace(steps=10), checkpoint=tmp_path)
    with pytest.warns(
        UserWarning, match="begins at step 0, since its learning rate depends on the"
    ):
        run = fit(spec, checkpoint=tmp_path)
    assert_same_bits(run, fit(spec))
    # nor does it go on from later steps
    fit(SPEC.replace(steps=50), checkpoint=tmp_path / "later")
    assert_same_bits(fit(checkpoint=tmp_path / "later"), fit())


@pytest.mark.parametrize("specs", [SPEC, POPULATION[:2]])
@pytest.mark.parametrize("step", [7, 40])
def test_ctrl_c_leaves_a_checkpoint(tmp_path, specs, step):
    def press(at, _):
        if at == step and not calls:
            calls.append(at)
            signal.raise_signal(signal.SIGINT)

    calls, before = [], signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(specs, checkpoint=tmp_path, checkpoint_every=1_000, callback=press, every=1)
    assert signal.getsignal(signal.SIGINT) is before
    assert newest(tmp_path).stem.endswith(f"-{step:09d}")
    done, steps = fit_and_steps(specs, tmp_path)
    assert steps[:1] == ([step + 1] if step < 40 else [])
    for run, expected in zip(
        [done] if specs is SPEC else done, [fit()] if specs is SPEC else fit(specs), strict=True
    ):
        assert_same_bits(run, expected)


def test_a_second_ctrl_c_acts_at_once_and_without_checkpoints_the_first(tmp_path):
    def press(times):
        def callback(*_):
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
            pytest.fail("Ctrl-C was held back")

        return callback

    for times, folder in ((2, tmp_path), (1, None)):
        with pytest.raises(KeyboardInterrupt):
            fit(checkpoint=folder, callback=press(times), every=5)
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_run_that_dies_in_a_look_looks_again(tmp_path, monkeypatch):
    scale = Profile("laptop", 80, 80, 6, 1, (1,), 2, "full", "t")
    spec = SPEC.replace(steps=80)
    monkeypatch.setattr(scoring, "final_scores", lambda *_: {})
    monkeypatch.setattr(scoring, "summarise", lambda *_: {})
    # scores take long, and what they are does not matter here, but that they follow from the
    # weights
    size = lambda run: float(next(run.model.parameters()).detach().abs().mean())  # noqa: E731
    monkeypatch.setattr(Run, "scores", lambda run, **_: {"mig": size(run), "dci": -size(run)})
    monkeypatch.setattr(
        evaluations.inspect, "factor_learning", lambda run: {"separation": {"x": size(run)}}
    )
    whole, arrays = scoring.run_one(spec, "fig9", scale, device="cpu", precision="float32")
    real = evaluations.Evaluations.__call__

    class Killed(BaseException):
        pass

    def die(self, step, run):
        if step == 40:  # a checkpoint is due as well
            raise Killed
        real(self, step, run)

    monkeypatch.setattr(evaluations.Evaluations, "__call__", die)
    with pytest.raises(Killed):
        scoring.run_one(spec, "fig9", scale, device="cpu", precision="float32", checkpoint=tmp_path)
    monkeypatch.setattr(evaluations.Evaluations, "__call__", real)
    assert newest(tmp_path).stem.endswith("-000000020")
    row, again = scoring.run_one(
        spec, "fig9", scale, device="cpu", precision="float32", checkpoint=tmp_path
    )
    assert (row["mig_max"], row["dci_max"]) == (whole["mig_max"], whole["dci_max"])
    assert again.keys() == arrays.keys()
    for name, values in arrays.items():
        assert np.array_equal(again[name], values), name


def test_two_precisions_share_a_folder_and_lose_nothing(tmp_path):
    spec = SPEC.replace(framework="beta-vae")
    interrupted(tmp_path, 6, spec, checkpoint_every=3)
    with pytest.warns(UserWarning, match="its precision is"):
        stopped = interrupted(tmp_path, 6, spec, checkpoint_every=3, precision="bf16")
    assert stopped.checkpoint.name == f"{spec.key}-cpu-bf16-000000006.safetensors"
    with pytest.warns(UserWarning, match="its precision is"):
        assert_same_bits(fit(spec, checkpoint=tmp_path), fit(spec))
    forget(spec, tmp_path)
    assert not list(tmp_path.iterdir())


def test_data_of_the_same_name_and_shape_are_told_apart_by_their_images(tmp_path):
    spec = SPEC.replace(framework="beta-vae")
    labels = np.array([(a, b) for a in range(4) for b in range(4)])
    images = np.random.default_rng(0).integers(0, 255, (2, 16, 16, 16, 3), dtype=np.uint8)
    one, two = (vd.LabelledImages(part, labels, ["a", "b"]) for part in images)
    fit(spec, data=one, checkpoint=tmp_path)
    with pytest.warns(UserWarning, match="its images is"):
        again = fit(spec, data=two, checkpoint=tmp_path)
    assert_same_bits(again, fit(spec, data=two))


def changed_in_one_image():
    images = np.random.default_rng(0).integers(0, 255, (400, 8, 8), dtype=np.uint8)
    labels = np.array([(a, b) for a in range(20) for b in range(20)])
    other = images.copy()
    other[7, 0, 0] ^= 1
    return [vd.LabelledImages(part, labels, name="mine") for part in (images, other)]


def test_one_changed_image_of_400_is_another_data_set(tmp_path):
    spec = SPEC.replace(framework="beta-vae", steps=3)
    one, other = changed_in_one_image()
    fit(spec, data=one, checkpoint=tmp_path / "checkpoints").save(tmp_path / "run")
    with pytest.warns(UserWarning, match="its all_images is"):
        again = fit(spec, data=other, checkpoint=tmp_path / "checkpoints")
    assert_same_bits(again, fit(spec, data=other))
    assert vd.load_run(tmp_path / "run", data=one).steps_taken == 3
    with pytest.raises(ValueError, match="trained on other images or labels than those of 'mine'"):
        vd.load_run(tmp_path / "run", data=other)


def test_the_last_two_are_kept_and_those_of_other_runs_left_alone(tmp_path):
    other = SPEC.replace(seed=1)
    fit(other, checkpoint=tmp_path)
    fit(checkpoint=tmp_path, checkpoint_every=15)
    names = [f"{SPEC.key}-0000000{step}.safetensors" for step in (30, 40)]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [*names, f"{other.key}-000000040.safetensors"]
    )
    (tmp_path / f".{SPEC.key}-000000040.safetensors.x.tmp").touch()
    forget(SPEC, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [f"{other.key}-000000040.safetensors"]


def test_a_finished_run_is_given_back_without_a_step(tmp_path, monkeypatch):
    first = fit(checkpoint=tmp_path)
    monkeypatch.setattr(
        "vaedis.training.step.objective", lambda *a: pytest.fail("a step was taken")
    )
    again = fit(checkpoint=tmp_path)
    assert_same_bits(again, first)
    assert again.seconds == first.seconds


def test_a_full_disk_costs_the_checkpoint_and_not_the_run(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_atomically", full)
    with pytest.warns(
        RuntimeWarning,
        match="checkpoint at step 40 could not be written .*No space left.*; training goes on",
    ):
        run = fit(checkpoint=tmp_path)
    assert_same_bits(run, fit())
    with pytest.warns(RuntimeWarning, match="could not be written"):
        assert interrupted(tmp_path, 3).checkpoint is None


def test_bad_input_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="file"):
        fit(checkpoint=tmp_path / "file")
    with pytest.raises(
        ValueError, match="checkpoint_every must be a whole number of at least 1, not 0"
    ):
        fit(checkpoint=tmp_path, checkpoint_every=0)
    with pytest.raises(
        TypeError, match="deadline must be a function that returns true when to stop, not -1"
    ):
        fit(deadline=-1)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(
        ImportError,
        match=r"To write checkpoints, install safetensors: pip install 'vaedis\[checkpoints\]'\.$",
    ):
        fit(checkpoint=tmp_path)
    assert len(fit().history["loss"]) == 40


def test_the_convolutional_network_is_taken_up_with_its_layout(tmp_path):
    spec = RunSpec(steps=4, batch=8)
    interrupted(tmp_path, 2, spec)
    assert_same_bits(fit(spec, checkpoint=tmp_path), fit(spec))


def test_finished_runs_of_a_sequence_outlast_its_deadline():
    specs = [
        SPEC.replace(
            model="conv",
            model_options={},
            data_options={"num_squares": 1},
            steps=2,
            batch=2,
            seed=s,
        )
        for s in range(3)
    ]
    calls = iter(range(99))
    with pytest.raises(vd.TrainingStopped) as caught:
        fit(specs, deadline=lambda: next(calls) >= 5)
    assert [run.spec for run in caught.value.runs] == specs[:2]
    assert [len(run.history["loss"]) for run in caught.value.runs] == [2, 2]
