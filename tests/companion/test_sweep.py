"""Sweeps: what is missing, what is stored, and a run from specification to figures' arrays."""

import dataclasses
import os

import numpy as np
import pytest
import torch

from vaedis import metrics, spec as experiments
from vaedis.spec import RunSpec
from vaedis.training import TrainingStopped, fit, step as _step
from vaedis_companion import cli, grids, store as results, sweep
from vaedis_companion.grids import PROFILES, Profile
from vaedis_companion.profiles import command_options
from vaedis_companion.sweep import evaluations, runner, runs

LAPTOP = PROFILES["laptop"]
# a grid of 4 runs of 2 steps on 4,096 small images: two squares, so that every score has factors to
# find
TOY = Profile("smoke", 2, 2, 8, 1, (1, 8), 2, "fast", "tests")


def toy_grid(scale):
    options = {"image_size": 16, "square_size": 4, "grid_size": 4, "num_squares": 2}
    small = {
        "model": "mlp",
        "model_options": {"hidden": [16]},
        "latents": 3,
        "steps": scale.steps,
        "batch": scale.batch,
    }
    return [RunSpec(data_options=options, framework=f, **small) for f in experiments.FRAMEWORKS]


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setitem(grids.GRIDS, "fig9", toy_grid)
    monkeypatch.setitem(grids.PROFILES, "smoke", TOY)


def row_of(spec, experiment, scale, **more):
    scores = {} if "status" in more else {"mig": 0.25, "dci": 0.5}
    return results.make_row(
        spec, experiment, scale.name, scores=scores, seconds=1.0, images_per_second=2.0, **more
    )


@pytest.fixture
def ran(monkeypatch):
    """The keys that were run, with training replaced by made-up scores; a seed of 1 fails."""
    keys = []

    def run_one(spec, experiment, scale, **options):
        keys.append(spec.key)
        if spec.seed == 1:
            return row_of(
                spec,
                experiment,
                scale,
                status="failed: loss not finite at step 3, last finite loss 1.0",
            ), {}
        return row_of(spec, experiment, scale), {"z/x_R": np.eye(8)}

    monkeypatch.setattr(runs, "run_one", run_one)
    return keys


def test_what_is_missing_is_the_grid_without_what_is_stored_failed_runs_included(tmp_path):
    store = results.Store(tmp_path)
    grid = grids.grid("fig9", "laptop")
    assert sweep.missing("fig9", LAPTOP, store) == grid
    store.add(row_of(grid[3], "fig9", LAPTOP))
    store.add(
        row_of(
            grid[5],
            "fig9",
            LAPTOP,
            status="failed: loss not finite at step 3, last finite loss 1.0",
        )
    )
    assert sweep.missing("fig9", LAPTOP, store) == [
        s for i, s in enumerate(grid) if i not in (3, 5)
    ]
    # another profile and another experiment are other runs
    assert len(sweep.missing("fig9", PROFILES["paper"], store)) == 80
    assert len(sweep.missing("fig11", LAPTOP, store)) == len(grids.grid("fig11", "laptop"))


def run_laptop(store, **options):
    return sweep.Sweep("fig9", LAPTOP, store, device="cpu", **options).run()


def test_each_run_is_stored_as_it_ends_in_the_grids_order_and_none_twice(tmp_path, ran):
    store = results.Store(tmp_path)
    keys = [s.key for s in grids.grid("fig9", "laptop")]
    third = len(keys) // 3 + 1
    assert run_laptop(store, shard=(1, 3), quiet=True) == third
    assert ran == keys[::3]
    assert store.keys("fig9", "laptop") == set(keys[::3])
    assert run_laptop(store, quiet=True) == len(keys) - third
    assert sorted(ran) == sorted(keys)
    assert run_laptop(store, quiet=True) == 0
    assert len(ran) == len(keys)


def test_runs_before_one_that_crashes_are_kept(tmp_path, monkeypatch, ran):
    store, real = results.Store(tmp_path), runs.run_one

    def crash(spec, *args, **options):
        if len(ran) == 2:
            raise KeyboardInterrupt
        return real(spec, *args, **options)

    monkeypatch.setattr(runs, "run_one", crash)
    with pytest.raises(KeyboardInterrupt):
        run_laptop(store, quiet=True)
    assert store.keys("fig9", "laptop") == {s.key for s in grids.grid("fig9", "laptop")[:2]}


def test_a_plan_looks_at_each_table_that_it_writes_before_it_trains(tmp_path, ran):
    (tmp_path / "fig11-laptop.csv").write_text("cut")
    plan = sweep.Sweep("plan", LAPTOP, results.Store(tmp_path), device="cpu", quiet=True)
    with (
        pytest.warns(results.DamagedFile, match=r"fig11-laptop\.csv line 1"),
        pytest.raises(ValueError, match=r"fig11-laptop\.csv line 1 is no row of results"),
    ):
        plan.run()
    assert ran == []


def test_a_line_for_each_run_says_what_it_gave(tmp_path, ran, capsys):
    run_laptop(results.Store(tmp_path))
    lines = capsys.readouterr().err.splitlines()
    total = len(grids.grid("fig9", "laptop"))
    assert len(lines) == total
    assert lines[0] == (
        f"fig9 1/{total} ada-gvae xysquares grid_spacing=1 mse beta 0.001 z 9 batch 64 seed 0: "
        "MIG 0.250 DCI 0.500, 1 s, 2 images/s"
    )
    failed = [
        line.endswith("seed 1: failed: loss not finite at step 3, last finite loss 1.0")
        for line in lines
    ]
    assert failed == [spec.seed == 1 for spec in grids.grid("fig9", "laptop")]
    run_laptop(results.Store(tmp_path / "quiet"), quiet=True)
    assert capsys.readouterr().err == ""


def test_completing_runs_what_is_missing_and_returns_it_with_the_failures_apart(tmp_path, ran):
    found = sweep.ensure_runs("fig9", "laptop", store=results.Store(tmp_path))
    grid = grids.grid("fig9", "laptop")
    assert found.profile == "laptop"
    assert {r["seed"] for r in found.rows} == {s.seed for s in grid} - {1}
    assert {r["seed"] for r in found.failed} == {1}
    assert len(found.rows) + len(found.failed) == len(grid)
    sweep.ensure_runs("fig9", "laptop", store=results.Store(tmp_path))
    assert len(ran) == len(grid)


def test_smoke_runs_are_made_every_time_and_kept_nowhere(tmp_path, ran):
    store = results.Store(tmp_path / "none")
    for times in (1, 2):
        found = sweep.ensure_runs("fig9", "smoke", store=store)
        assert found.profile == "smoke"
        assert len(ran) == times * len(grids.grid("fig9", "smoke"))
    assert not (tmp_path / "none").exists()


def test_how_much_is_stored_is_told_for_each_profile(tmp_path):
    store = results.Store(tmp_path)
    for spec in grids.grid("fig9", "laptop")[:3]:
        store.add(row_of(spec, "fig9", LAPTOP))
    # a stored run that no grid asks for does not count
    store.add(row_of(RunSpec(seed=77), "fig9", LAPTOP))
    total = len(grids.grid("fig9", "laptop"))
    assert sweep.describe_missing("fig9", store=store) == {
        "smoke": (0, 4),
        "laptop": (3, total),
        "settings": (0, 4),
        "long": (0, 48),
        "paper": (0, 80),
    }


def test_a_run_goes_from_its_specification_to_scores_and_arrays_and_back_from_the_store(
    tmp_path, toy
):
    store = results.Store(tmp_path)
    spec = toy_grid(TOY)[1]
    row, arrays = runs.run_one(spec, "fig9", TOY, device="cpu")
    store.add(row, arrays)
    (back,) = store.rows("fig9", "smoke")
    assert results.spec_of(back) == spec
    assert back["status"] == "finished"
    for score in ("mig", "dci", "dci_completeness", "dci_informativeness"):
        assert 0 <= back[score] <= 1
    assert back["beta_sum"] == pytest.approx(0.001 * 16 * 16 * 3 / 3)
    assert back["final_loss"] == pytest.approx(
        back["final_recon"] + 0.001 * back["final_kl"], rel=1e-6
    )
    assert (back["protocol"], back["device"], back["threads"]) == (
        "fast",
        "cpu",
        torch.get_num_threads(),
    )
    assert back["seconds"] > 0
    assert back["images_per_second"] > 0
    found = store.arrays(back)
    levels = {
        f"{level}/{f}": (4, 4)
        for level in ("factors", "x", "z", "kl", "reconstruction")
        for f in ("x_R", "y_R", "x_G", "y_G")
    }
    assert {name: a.shape for name, a in found.items()} == {
        "cycles": (3, 9, 16, 16, 3),
        "spread": (3,),
        **dict.fromkeys(("steps", "loss", "recon", "kl"), (2,)),
        **levels,
    }
    assert found["cycles"].dtype == np.uint8
    assert found["steps"].tolist() == [1, 2]
    assert back["precision"] == _step.resolve_precision("auto", torch.device("cpu"), spec.model)
    again, _ = runs.run_one(spec, "fig9", TOY, device="cpu")
    assert [again[s] for s in ("mig", "dci", "final_loss")] == [
        row[s] for s in ("mig", "dci", "final_loss")
    ]


def test_seconds_of_a_row_are_those_of_all_its_training_and_not_of_this_process_alone(toy):
    run = fit(toy_grid(TOY)[0], device="cpu")
    row, _ = runs.row_of(dataclasses.replace(run, seconds=1_000.0), "fig9", TOY)
    assert 1_000 < row["seconds"] < 1_100


def test_a_run_is_made_and_stored_in_the_precision_that_is_asked_for(toy, monkeypatch):
    asked, real = [], runs.fit
    monkeypatch.setattr(
        runs,
        "fit",
        lambda *args, precision, **options: (
            asked.append(precision) or real(*args, precision=precision, **options)
        ),
    )
    row, _ = runs.run_one(toy_grid(TOY)[0], "fig9", TOY, device="cpu", precision="bf16")
    assert (asked, row["precision"]) == (["bf16"], "bf16")
    with pytest.raises(ValueError, match="precision='tf32' needs an NVIDIA GPU"):
        runs.run_one(toy_grid(TOY)[0], "fig9", TOY, device="cpu", precision="tf32")


def stopped_and_resumed(spec, scale, folder):
    """Return the arrays of a run that was stopped after step 60 and went on."""
    noted = folder / "looks.json"

    def stop():
        return noted.exists() and '"60"' in noted.read_text()

    with pytest.raises(TrainingStopped):
        runs.run_one(spec, "fig9", scale, device="cpu", checkpoint=folder, stop=stop)
    return runs.run_one(spec, "fig9", scale, device="cpu", checkpoint=folder)[1]


def test_a_run_that_lost_its_looks_stores_none_of_them(tmp_path, toy):
    scale = Profile("laptop", 160, 160, 8, 1, (1,), 2, "full", "tests")
    noted = tmp_path / "looks.json"
    with pytest.raises(TrainingStopped):
        runs.run_one(
            toy_grid(scale)[0],
            "fig9",
            scale,
            device="cpu",
            checkpoint=tmp_path,
            stop=lambda: noted.exists() and '"60"' in noted.read_text(),
        )
    noted.write_text("damaged")
    with pytest.warns(
        RuntimeWarning, match=r"looks\.json .* of 22 looks at the network 10 are known"
    ):
        row, arrays = runs.run_one(
            toy_grid(scale)[0], "fig9", scale, device="cpu", checkpoint=tmp_path
        )
    assert "mig_max" not in row
    assert "learnt_steps" not in arrays
    assert row["status"] == "finished"


def test_a_long_run_keeps_its_course_also_when_it_is_stopped(tmp_path, toy, monkeypatch):
    monkeypatch.setattr(
        metrics,
        "evaluate",
        lambda *args, protocol, **options: {
            "mig": {"full": 0.25, "fast": 0.75}[protocol],
            "dci": Score(0.5),
        },
    )
    monkeypatch.setattr(evaluations, "_LONG", 100)
    monkeypatch.setattr(evaluations, "_COURSE_STEPS", (50, 160, 1_000))
    scale = Profile("laptop", 160, 160, 8, 1, (1,), 2, "full", "tests")
    spec = toy_grid(scale)[0]
    row, arrays = runs.run_one(spec, "fig9", scale, device="cpu")
    assert (row["mig_max"], row["dci_max"], row["origin"]) == (0.75, 0.5, "generated")
    assert arrays["learnt_steps"].tolist() == [2 * k for k in evaluations._LEARNING_STEPS]
    factors = ("x_R", "y_R", "x_G", "y_G")
    for group in ("separation", "reconstructed", "course/z"):
        names = {name for name in arrays if name.startswith(f"{group}/")}
        assert names == {f"{group}/{factor}" for factor in factors}
    assert arrays["course_steps"].tolist() == [50, 160]
    assert arrays["course/mig"].tolist() == [0.25, 0.25]
    store = results.Store(tmp_path / "store")
    store.add(row, arrays)
    assert store.arrays(row).keys() == arrays.keys()
    # the last entry of the course is the end of the run, the first is not
    np.testing.assert_array_equal(arrays["course/z/x_R"][1], arrays["z/x_R"])
    assert not np.array_equal(arrays["course/z/x_R"][0], arrays["z/x_R"])

    again = stopped_and_resumed(spec, scale, tmp_path)
    assert set(again) == set(arrays)
    for name in arrays:
        np.testing.assert_array_equal(again[name], arrays[name])


class Score(float):
    completeness = informativeness = 0.5


def test_a_run_whose_loss_is_not_finite_is_a_row_that_says_so(tmp_path):
    spec = toy_grid(TOY)[0].replace(lr=1e12, steps=200)
    row, arrays = runs.run_one(spec, "fig9", TOY, device="cpu")
    assert row["status"].startswith("failed: loss not finite at step ")
    assert "last finite loss" in row["status"]
    assert "mig" not in row
    assert arrays == {}
    store = results.Store(tmp_path)
    store.add(row, arrays)
    (back,) = store.rows("fig9", "smoke")
    assert back["status"] == row["status"]
    assert back["mig"] is None
    assert results.spec_of(back) == spec


def test_cycles_move_one_latent_from_its_smallest_to_its_largest_mean():
    run = fit(toy_grid(TOY)[0], device="cpu")
    index = run.data.factors.sample_index(64, generator=torch.Generator().manual_seed(7777))
    mean, _ = run.posterior(index)
    found = runs.summarise(run, "fast")["cycles"]
    for latent in range(3):
        for frame, end in ((0, mean.amin(0)), (8, mean.amax(0))):
            z = mean[:1].clone()
            z[0, latent] = end[latent]
            np.testing.assert_array_equal(found[latent, frame], run.decode_images(z)[0].numpy())


def test_other_steps_and_seeds_are_a_profile_of_its_own_that_no_figure_takes(tmp_path, toy, ran):
    own = LAPTOP.resized(steps=7, seeds=2)
    assert (own.name, own.steps, own.long_steps, own.repeats) == ("laptop_steps7_seeds2", 7, 7, 2)
    store = results.Store(tmp_path)
    assert sweep.Sweep("fig9", own, store, device="cpu").run() == 2
    assert store.tables() == [("fig9", "laptop_steps7_seeds2")]
    assert {row["steps"] for row in store.rows("fig9", own.name)} == {7}
    # neither as runs of the profile that it began as, nor as the best there are
    assert len(sweep.missing("fig9", LAPTOP, store)) == 2
    assert store.best("fig9") is None
    assert command_options(own.name) == "--profile laptop --steps 7 --seeds 2"


def test_a_dry_run_tells_runs_steps_and_hours(tmp_path, toy, monkeypatch, capsys):
    seconds = {"beta-vae": 1.0, "ada-gvae": 2.0}
    monkeypatch.setattr(runner, "seconds_a_step", lambda specs, *_: seconds[specs[0].framework])
    monkeypatch.setattr(os, "getloadavg", lambda: (0.2, 9.0, 9.0), raising=False)
    command = ["sweep", "fig9", "--profile", "laptop", "--steps", "7200", "--out", str(tmp_path)]
    assert cli.main([*command, "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert err == (
        "2 runs, 14,400 steps: 6 hours of training in one process on this machine as busy as it is "
        "now (beta-vae mlp mse batch 64 1,000.0 ms a step; ada-gvae mlp mse batch 64 2,000.0 ms a "
        "step), and scoring on top.\n"
    )
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(os, "getloadavg", lambda: (1.5, 0.0, 0.0), raising=False)
    assert cli.main([*command, "--dry-run"]) == 0
    said = capsys.readouterr().err
    assert "scoring on top. The load of this machine is 1.5, and it has " in said


@pytest.mark.parametrize("inside", ["", "within"])
def test_a_dry_run_refuses_the_folder_that_the_run_would_refuse(tmp_path, toy, capsys, inside):
    file = tmp_path / "file"
    file.touch()
    for words in (["--dry-run"], []):
        command = ["sweep", "fig9", "--profile", "laptop", "--out", str(file / inside), *words]
        assert cli.main(command) == 1
        assert "vaedis: Results cannot be stored in " in capsys.readouterr().err
    assert cli.main(["sweep", "fig9", "--out", str(tmp_path / "new" / "one"), "--dry-run"]) == 0
    assert not (tmp_path / "new").exists()


def test_scores_are_listed_with_the_smallest_and_the_largest_in_words(capsys):
    specs = [RunSpec(seed=seed) for seed in range(3)]
    rows = [row_of(spec, "fig9", LAPTOP) | {"mig": spec.seed / 8} for spec in specs]
    runs.print_table(results.RunTable("fig9", "laptop", rows, []))
    assert "MIG 0.125 (0.000 to 0.250)  DCI 0.500 (0.500 to 0.500)" in capsys.readouterr().out


def test_a_step_is_timed_of_one_run_and_of_a_population(toy):
    specs = toy_grid(TOY)
    assert runner.seconds_a_step(specs[:1], "cpu", "float32") > 0
    two = [specs[0], specs[0].replace(seed=1)]
    assert runner.seconds_a_step(two, "cpu", "float32") > 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--steps", "0"], "--steps must be a whole number of at least 1, not 0."),
        (["--seeds", "-1"], "--seeds must be a whole number of at least 1, not -1."),
        (["--no-pixels", "--steps", "5"], "--steps does not go with --no-pixels"),
    ],
)
def test_steps_and_seeds_that_are_none_are_refused(capsys, words, says):
    assert cli.main(["sweep", "fig9", "--dry-run", *words]) == 2
    assert says in capsys.readouterr().err


def test_more_seeds_than_anybody_trains_are_refused_at_once():
    assert grids.PROFILES["laptop"].resized(seeds=1_000).repeats == 1_000
    with pytest.raises(ValueError, match=r"--seeds must be at most 1,000, not 1,000,000\."):
        grids.PROFILES["laptop"].resized(seeds=1_000_000)
