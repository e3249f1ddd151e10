"""Sweeps that are stopped, killed or spread over processes lose nothing and repeat nothing."""

import contextlib
import errno
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import pytest
import torch

import vaedis as vd
from vaedis import spec as experiments
from vaedis.spec import RunSpec
from vaedis.training.step import objective
from vaedis_companion import cli, grids, store as results, sweep
from vaedis_companion.grids import Profile
from vaedis_companion.sweep import cluster as _cluster, runner, runs

# several processes start, which takes long on busy cores
pytestmark = pytest.mark.timeout(900)

# long enough to be caught in the middle
SCALE = Profile("smoke", 240, 240, 8, 1, (1, 8), 2, "fast", "tests")
OPTIONS = {"image_size": 16, "square_size": 4, "grid_size": 4, "num_squares": 2}
ROOT = Path(__file__).parents[2]


def grid(scale):
    small = {
        "model": "mlp",
        "model_options": {"hidden": [16]},
        "latents": 3,
        "steps": scale.steps,
        "batch": scale.batch,
    }
    return [
        RunSpec(data_options=OPTIONS, framework=f, seed=s, **small)
        for s in range(2)
        for f in experiments.FRAMEWORKS
    ]


@pytest.fixture
def specs(monkeypatch):
    monkeypatch.setitem(grids.GRIDS, "fig9", grid)
    monkeypatch.setitem(grids.PROFILES, "smoke", SCALE)
    return grid(SCALE)


def command(out, *more):
    return ["sweep", "fig9", "--profile", "smoke", "--out", str(out), *more]


@pytest.fixture
def ticking(monkeypatch):
    """A clock on which each look at it takes a hundredth of a second, however fast the machine, and
    no time of day at all.
    """
    ticks = itertools.count()
    monkeypatch.setattr(
        runner,
        "time",
        types.SimpleNamespace(monotonic=lambda: next(ticks) / 100, perf_counter=lambda: 0.0),
    )


def scores(store):
    return {
        row["key"]: (row["mig"], row["dci"], row["final_loss"])
        for row in store.rows("fig9", "smoke")
    }


def wait_for(found, seconds=600):
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def test_a_worker_that_is_killed_in_mid_run_costs_no_run_and_changes_no_score(tmp_path, specs):
    distributed = pytest.importorskip("distributed")
    alone = results.Store(tmp_path / "alone")
    sweep.Sweep("fig9", SCALE, alone, device="cpu", quiet=True).run()
    store = results.Store(tmp_path / "cluster")
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            protocol="tcp://",
            dashboard_address=None,
            memory_limit=0,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        pids = client.run(os.getpid)

        def kill_one():
            wait_for(lambda: len(list((store.root / "checkpoints").glob("*/*"))) >= 2)
            os.kill(next(iter(pids.values())), signal.SIGKILL)

        killer = threading.Thread(target=kill_one)
        killer.start()
        assert (
            sweep.Sweep(
                "fig9", SCALE, store, device="cpu", scheduler=cluster.scheduler_address, quiet=True
            ).run()
            == 4
        )
        killer.join()
        assert set(client.run(os.getpid).values()) != set(pids.values())
    assert scores(store) == scores(alone)
    assert not list((store.root / "checkpoints").iterdir())


def test_a_scheduler_that_does_not_answer_is_one_sentence(tmp_path, specs, monkeypatch, capsys):
    pytest.importorskip("distributed")
    dask = pytest.importorskip("dask")
    monkeypatch.setitem(dask.config.config["distributed"]["comm"]["timeouts"], "connect", "1s")
    words = command(tmp_path, "--scheduler", "tcp://127.0.0.1:9")
    assert cli.main(words) == 1
    warning, error = capsys.readouterr().err.splitlines()
    assert warning.startswith(
        "vaedis: whoever reaches tcp://127.0.0.1:9 can have code run by its workers"
    )
    assert "tcp://127.0.0.1:9" in error


def test_workers_without_dask_are_one_sentence(tmp_path, specs, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert cli.main(command(tmp_path, "--workers", "2")) == 1
    assert capsys.readouterr().err == (
        "vaedis: To run workers, install dask: pip install 'vaedis[sweep]'.\n"
    )


def test_a_budget_stops_in_mid_run_and_the_same_command_goes_on(tmp_path, specs, capsys, ticking):
    words = command(tmp_path, "--device", "cpu")
    assert cli.main([*words, "--budget", "1s"]) == 0
    assert "left; the same command goes on" in capsys.readouterr().err
    assert list((tmp_path / "checkpoints").glob("*/*"))
    assert cli.main(words) == 0
    store, alone = results.Store(tmp_path), results.Store(tmp_path / "alone")
    sweep.Sweep("fig9", SCALE, alone, device="cpu", quiet=True).run()
    assert scores(store) == scores(alone)


def test_a_run_that_cannot_be_stored_is_one_sentence_and_not_trained_again(
    tmp_path, specs, capsys, monkeypatch
):
    words = command(tmp_path, "--device", "cpu")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(results.Store, "add_all", full)
        assert cli.main(words) == 1
    err = capsys.readouterr().err
    assert err.startswith(
        f"vaedis: A run ended and could not be stored in {tmp_path} ([Errno 28] No space left on device); make room"
    )
    assert err.count("\n") == 1
    taken = []
    monkeypatch.setattr(
        "vaedis.training.step.objective",
        lambda spec, *a: taken.append(spec.key) or objective(spec, *a),
    )
    assert cli.main(words) == 0
    assert set(taken) == {spec.key for spec in specs[1:]}
    assert len(scores(results.Store(tmp_path))) == 4


def test_without_safetensors_a_sweep_runs_and_what_is_stopped_starts_anew(
    tmp_path, specs, capsys, monkeypatch, ticking
):
    monkeypatch.setattr("vaedis.training.checkpoint.available", lambda: False)
    words = command(tmp_path, "--device", "cpu")
    assert cli.main([*words, "--budget", "1s"]) == 0
    assert capsys.readouterr().err.splitlines()[-1].endswith("left; the same command goes on.")
    assert cli.main(words) == 0
    assert len(scores(results.Store(tmp_path))) == 4
    assert not list((tmp_path / "checkpoints").iterdir())


def start(tmp_path, *words, **options):
    """Start a sweep as a process of its own, in a session of its own, with runs that do not end by
    themselves.
    """
    code = f"""
import dataclasses, sys
sys.path.insert(0, {str(ROOT / "tests")!r})
import test_cluster as t
from vaedis_companion import cli, grids, profiles
from vaedis_companion.sweep import runs
import torch
runs._CHECKPOINT_EVERY = 60
if __name__ == "__main__":
    torch.set_num_threads(1)
    endless = dataclasses.replace(t.SCALE, steps=1_000_000)
    grids.GRIDS["fig9"], profiles.PROFILES["smoke"] = t.grid, endless
    grids.without_pixels = lambda spec, rotate: spec
    grids.COORDINATE_GRIDS["fig9"] = lambda _: [spec.replace(framework="beta-vae") for spec in t.grid(endless)[::2]]
    sys.exit(cli.main(["sweep", "fig9", "--out", {str(tmp_path / "out")!r}, "--device", "cpu", *{words}]))
"""
    script = tmp_path / "sweep.py"
    script.write_text(code)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    return subprocess.Popen(
        [sys.executable, str(script)], cwd=ROOT, env=environment, text=True, **options
    )


def ended(process, seconds=600):
    """Wait for a process, and end its whole group before a test fails by it."""
    try:
        return process.communicate(timeout=seconds)[1]
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def running(group):
    """The processes of a group that have not ended; who inherits those that have may never ask for
    them.
    """
    states = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group = path.read_text().rpartition(")")[2].split()[:3]
            states[path.parent.name] = state if int(its_group) == group else "Z"
    return [name for name, state in states.items() if state != "Z"]


def begun(tmp_path, runs):
    return lambda: (
        len({path.parent for path in (tmp_path / "out" / "checkpoints").glob("*/*.safetensors")})
        >= runs
    )


@pytest.mark.parametrize(
    ("words", "number", "n_left", "whole_group"),
    [
        (["--profile", "smoke"], signal.SIGINT, 4, False),
        (["--profile", "smoke"], signal.SIGHUP, 4, False),
        (["--no-pixels"], signal.SIGTERM, 2, False),
        (["--profile", "smoke", "--workers", "2"], signal.SIGTERM, 4, True),
    ],
)
def test_a_signal_stops_a_sweep_with_a_checkpoint_and_one_line(
    tmp_path, words, number, n_left, whole_group
):
    if whole_group:
        pytest.importorskip("distributed")
        pytest.importorskip("cryptography")
    process = start(tmp_path, *words, stderr=subprocess.PIPE, start_new_session=True)
    checkpoints = tmp_path / "out" / "checkpoints"
    wait_for(begun(tmp_path, 2) if whole_group else lambda: any(checkpoints.rglob("*.safetensors")))
    os.killpg(process.pid, number) if whole_group else process.send_signal(number)
    how = "interrupted" if number == signal.SIGINT else f"stopped by {number.name}"
    assert ended(process).splitlines() == [
        f"fig9: {how}; 0 runs stored, {n_left} left; the same command goes on."
    ]
    assert process.returncode == 128 + number
    assert list(checkpoints.rglob("*.safetensors"))
    # of those that wait for a worker there is none
    assert not whole_group or len(list(checkpoints.iterdir())) == 2
    wait_for(lambda: not running(process.pid))


@pytest.mark.skipif(not hasattr(os, "login_tty"), reason="no terminals here")
def test_ctrl_c_in_a_terminal_stops_a_sweep_with_workers_whenever_it_comes(tmp_path):
    pytest.importorskip("distributed")
    pytest.importorskip("cryptography")
    ours, theirs = os.openpty()
    process = start(
        tmp_path, "--profile", "smoke", "--workers", "2", preexec_fn=lambda: os.login_tty(theirs)
    )
    os.close(theirs)
    # workers are still starting
    wait_for((tmp_path / "out" / "checkpoints").exists)
    os.write(ours, b"\x03")
    said = b""
    with contextlib.suppress(OSError):  # of a terminal that nobody has open any more
        while part := os.read(ours, 4096):
            said += part
    ended(process)
    os.close(ours)
    assert process.returncode == 130
    assert b"Traceback" not in said
    assert said.strip().endswith(b"left; the same command goes on.")
    assert said.count(b"interrupted") == 1


def test_a_local_cluster_lets_nobody_in_without_its_certificate():
    distributed = pytest.importorskip("distributed")
    pytest.importorskip("cryptography")
    with _cluster.connect(1, None) as client:
        address = client.cluster.scheduler_address
        assert address.startswith("tls://127.0.0.1:")
        for stranger in (address, address.replace("tls", "tcp")):
            security = distributed.Security.temporary() if stranger == address else None
            with pytest.raises(OSError, match=r".+"):
                distributed.Client(stranger, security=security, timeout=2)
        assert client.submit(abs, -1).result() == 1


def test_without_certificates_no_cluster_listens(monkeypatch, tmp_path, specs, capsys):
    pytest.importorskip("distributed")
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert cli.main(command(tmp_path, "--device", "cpu", "--workers", "1")) == 1
    assert "cryptography" in capsys.readouterr().err


def test_a_budget_ends_workers_by_the_clock_of_the_process_that_waits_for_them(
    tmp_path, specs, monkeypatch
):
    asked = []
    ticks = itertools.count()
    monkeypatch.setattr(
        runner,
        "time",
        types.SimpleNamespace(monotonic=lambda: float(next(ticks)), perf_counter=time.perf_counter),
    )
    monkeypatch.setattr(_cluster, "connect", lambda *_: contextlib.nullcontext())
    monkeypatch.setattr(
        _cluster,
        "run",
        lambda client, todo, job, threads, stop: iter(
            asked.extend(stop() for _ in range(4)) or [(todo[0], None, 0.0)]
        ),
    )
    run = sweep.Sweep(
        "fig9", SCALE, results.Store(tmp_path), device="cpu", workers=1, seconds=2.5, quiet=True
    )
    assert run.run() == 0
    assert asked == [False, False, True, True]


def test_a_budget_leaves_workers_the_time_in_which_the_longest_run_so_far_was_scored(
    tmp_path, specs, monkeypatch
):
    asked = []

    def outcomes(client, todo, job, threads, stop):
        asked.append(stop())
        # training took 1 s of the 91
        row = results.make_row(
            todo[0],
            "fig9",
            "smoke",
            scores={"mig": 0.5, "dci": 0.5},
            images_per_second=runner.n_images(todo[0]),
        )
        yield todo[0], (row, {}), 91.0
        asked.append(stop())

    monkeypatch.setattr(
        runner, "time", types.SimpleNamespace(monotonic=lambda: 0.0, perf_counter=lambda: 0.0)
    )
    monkeypatch.setattr(_cluster, "connect", lambda *_: contextlib.nullcontext())
    monkeypatch.setattr(_cluster, "run", outcomes)
    for budget, over in [(90.0, True), (90.5, False)]:
        store = results.Store(tmp_path / str(budget))
        run = sweep.Sweep("fig9", SCALE, store, device="cpu", workers=1, seconds=budget, quiet=True)
        assert run.run() == 1
        assert asked == [False, over]
        asked.clear()


def test_checkpoints_of_runs_that_are_stored_are_swept_up_and_strange_files_do_not_matter(
    tmp_path, specs
):
    store = results.Store(tmp_path)
    store.add(results.make_row(specs[0], "fig9", "smoke", scores={"mig": 0.5, "dci": 0.5}))
    left = store.root / "checkpoints" / specs[0].key
    stray = store.root / "checkpoints" / "x" / "model.safetensors"
    for path in (left / f"{specs[0].key}-000000100.safetensors", stray):
        path.parent.mkdir(parents=True)
        path.touch()
    assert sweep.Sweep("fig9", SCALE, store, device="cpu", quiet=True).run() == 3
    assert sorted((store.root / "checkpoints").iterdir()) == [stray.parent]


@pytest.mark.parametrize("allowed", [1, 2, 9])
def test_workers_are_as_many_as_runs_at_most_and_share_the_processors(
    tmp_path, specs, monkeypatch, allowed
):
    asked = []
    monkeypatch.setattr(runner, "usable_cpus", lambda: allowed)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    monkeypatch.setattr(
        _cluster, "connect", lambda n, _: asked.append(n) or contextlib.nullcontext()
    )
    monkeypatch.setattr(
        _cluster, "run", lambda client, todo, job, n, stop: iter(asked.append(n) or ())
    )
    store = results.Store(tmp_path)
    sweep.Sweep("fig9", SCALE, store, device="cpu", workers=100_000, quiet=True).run()
    assert asked == [4, max(1, allowed // 4)]
    for spec in specs:
        store.add(results.make_row(spec, "fig9", "smoke", scores={"mig": 0.5, "dci": 0.5}))
    assert sweep.Sweep("fig9", SCALE, store, device="cpu", workers=2, quiet=True).run() == 0
    assert len(asked) == 2


def test_a_folder_of_its_own_makes_no_run_of_the_store_again(tmp_path, specs, monkeypatch):
    monkeypatch.setenv("VAEDIS_RESULTS", str(tmp_path / "store"))
    done = specs[0]
    results.Store().add(results.make_row(done, "fig9", "smoke", scores={"mig": 0.5, "dci": 0.5}))
    apart = sweep.Sweep("fig9", SCALE, results.Store(tmp_path / "out"), also=results.Store())
    assert apart.todo() == specs[1:]


def test_shards_share_all_runs_and_none_twice(tmp_path, specs):
    store = results.Store(tmp_path)
    shares = [sweep.missing("fig9", SCALE, store, shard=(i, 3)) for i in (1, 2, 3)]
    assert sorted(s.key for share in shares for s in share) == sorted(s.key for s in specs)
    with pytest.raises(ValueError, match="from 1 to n, as in 2/8, not 4/3"):
        sweep.missing("fig9", SCALE, store, shard=(4, 3))


def test_an_empty_grid_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(grids.GRIDS, "fig9", lambda scale: [])
    with pytest.raises(ValueError, match="The grid of fig9 is empty"):
        sweep.missing("fig9", SCALE, results.Store(tmp_path))


def test_failed_runs_are_run_again_only_if_asked_for(tmp_path, specs):
    store = results.Store(tmp_path)
    store.add(results.make_row(specs[0], "fig9", "smoke", status="failed: loss not finite"))
    assert sweep.missing("fig9", SCALE, store) == specs[1:]
    assert sweep.missing("fig9", SCALE, store, retry_failed=True) == specs
    store.add(results.make_row(specs[0], "fig9", "smoke", scores={"mig": 0.5, "dci": 0.5}))
    assert sweep.missing("fig9", SCALE, store, retry_failed=True) == specs[1:]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--budget", "soon"], "A budget is a time above 0 like 90s, 25m or 2h, not 'soon'"),
        (["--budget", "0s"], "above 0"),
        (["--budget", ""], "A budget is a time above 0 like 90s, 25m or 2h, not ''"),
        (["--scheduler", " "], "The address of the scheduler is empty; name one, or leave it out"),
        (
            ["--workers", "2", "--scheduler", "tcp://127.0.0.1:9"],
            "--workers starts processes here, and --scheduler has its own; give one of them",
        ),
        (["--shard", "3/2"], "A shard is i/n with i from 1 to n"),
        (["--workers", "-1"], "--workers must be a whole number of at least 0"),
        (["--profile", "huge"], "Unknown profile 'huge'"),
        (
            ["--profile", "smoke", "--precision", "tf32", "--device", "cpu"],
            "precision='tf32' needs an NVIDIA GPU",
        ),
    ],
)
def test_bad_requests_are_one_sentence(tmp_path, capsys, words, says):
    assert cli.main(["sweep", "fig9", "--out", str(tmp_path), *words]) == 2
    assert says in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_a_worker_lacks_is_raised_and_what_a_run_did_is_a_row(specs):
    class Future:
        def __init__(self, problem):
            self.exception = lambda: problem

    job = runs.Job("fig9", SCALE, "cuda", "auto", None)
    with pytest.raises(vd.data.NoDevice):
        _cluster._outcome(Future(vd.data.NoDevice("no GPU")), specs[0], job)
    # a full disk is no failure of the run: a row would keep it from being run again
    with pytest.raises(OSError, match="No space left"):
        _cluster._outcome(Future(OSError(errno.ENOSPC, "No space left on device")), specs[0], job)
    (row, _), _ = _cluster._outcome(Future(MemoryError("too large\nby far")), specs[0], job)
    assert row["status"] == "failed: MemoryError: too large"


def test_two_clusters_on_one_machine_do_not_meet_at_a_port():
    # warnings are errors here, and one about a port that is taken would be one
    pytest.importorskip("distributed")
    pytest.importorskip("cryptography")
    with _cluster.connect(1, None) as first, _cluster.connect(1, None) as second:
        ports = [client.scheduler_info()["services"] for client in (first, second)]
    assert ports[0] != ports[1]


def test_a_sweep_with_a_failed_run_says_so_by_its_exit_code(tmp_path, specs, monkeypatch):
    def run_one(spec, experiment, scale, **_):
        return results.make_row(spec, experiment, scale.name, status="failed: loss not finite"), {}

    monkeypatch.setattr(runs, "run_one", run_one)
    assert cli.main(command(tmp_path)) == 1


def test_settings_are_told_apart_by_all_but_the_seed():
    def settings(specs):
        scores = {"mig": 0.5, "dci": 0.5}
        return runs.settings_of([results.make_row(s, "own", "mine", scores=scores) for s in specs])

    unturned, *_ = grids.grid("rotation", grids.COORDINATES)
    turned = [
        spec
        for spec in grids.grid("fig9", grids.COORDINATES)
        if spec.data_options["grid_spacing"] == 1
    ]
    found = settings([unturned, unturned.replace(batch=8), *turned])
    assert sorted(len(rows) for rows in found.values()) == [1, 1, 5, 5]
    assert sum(name.endswith("batch 8") for name in found) == 1
    found = settings([unturned, unturned.replace(steps=3), unturned.replace(steps=3, lr=0.5)])
    assert [name.partition(f"batch {unturned.batch} ")[2] for name in found] == [
        "lr=0.001 steps=3",
        "lr=0.001 steps=4000",
        "lr=0.5 steps=3",
    ]


def test_two_sweeps_on_one_scheduler_run_their_own_tasks(specs, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    asked = []
    client = types.SimpleNamespace(
        submit=lambda *args, key, **options: asked.append(key) or key, cancel=lambda futures: None
    )
    monkeypatch.setattr(
        "distributed.as_completed", lambda futures: types.SimpleNamespace(is_empty=lambda: True)
    )
    job = runs.Job("fig9", SCALE, "cpu", "auto", tmp_path)
    for _ in range(2):
        assert list(_cluster.run(client, specs, job, None, lambda: False)) == []
    assert len(set(asked)) == 2 * len(specs)
    dask_utils = pytest.importorskip("dask.utils")
    assert {dask_utils.key_split(key) for key in asked} == {"fig9"}


@pytest.mark.parametrize("profile", ["garbage", ""])
def test_results_of_a_profile_that_does_not_exist_are_refused(tmp_path, capsys, profile):
    assert cli.main(["results", "--out", str(tmp_path), "--profile", profile]) == 2
    assert f"Unknown profile {profile!r}" in capsys.readouterr().err


def test_results_tell_what_is_stored_and_missing_and_merge(tmp_path, specs, capsys):
    store, other = results.Store(tmp_path / "a"), results.Store(tmp_path / "b")
    for k, spec in enumerate(specs):
        other.add(
            results.make_row(
                spec, "fig9", "smoke", scores={"mig": 0.125 * k, "dci": 0.5}, protocol="fast"
            )
        )
    assert cli.main(["results", "--out", str(store.root), "merge", str(other.root)]) == 0
    assert capsys.readouterr().out == "4 runs taken in, 0 known already\n"
    assert cli.main(["results", "--out", str(store.root), "--experiment", "fig9"]) == 0
    out = capsys.readouterr().out
    assert "fig9, smoke profile: 4 finished, 0 failed" in out
    assert "MIG 0.125 (0.000 to 0.250)" in out
    assert "smoke 4 of 4 stored" in out
    assert cli.main(["results", "--experiment", "fig1"]) == 2
    assert "Unknown experiment 'fig1'" in capsys.readouterr().err
