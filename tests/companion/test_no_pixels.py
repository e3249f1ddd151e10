"""The no-pixel study: its grid is the figures' grid, its populations can train at once, and every
run ends up in the store.
"""

import dataclasses
import types

import numpy as np
import pytest

from vaedis.spec import RunSpec
from vaedis.training import population as _population
from vaedis_companion import cli, grids, store as results
from vaedis_companion.grids import COORDINATES
from vaedis_companion.store import Store
from vaedis_companion.sweep import Sweep, runner, runs
from vaedis_companion.sweep.missing import populations

RUN = RunSpec(
    data="coordinates",
    data_options={"num_squares": 1},
    model="mlp",
    model_options={"hidden": [8]},
    latents=2,
    steps=4,
    batch=8,
    warmup=2,
)
TOY = dataclasses.replace(
    COORDINATES, name="toy", steps=3, batch=8, repeats=1, spacings=(1, 8), protocol="fast"
)


@pytest.mark.parametrize("experiment", ["fig9", "fig11"])
def test_the_grid_is_that_of_the_figure_with_coordinates_in_place_of_images(experiment):
    ours, figure = grids.grid(experiment, COORDINATES), grids.GRIDS[experiment](COORDINATES)
    assert len(ours) == len(figure) == len({s.key for s in ours})
    for spec, image in zip(ours, figure, strict=True):
        assert (spec.data, spec.model, spec.loss) == ("coordinates", "mlp", "mse")
        assert spec.data_options["grid_spacing"] == image.data_options["grid_spacing"]
        assert spec.data_options["distance"] == image.loss
        assert spec.data_options["rotation"] == spec.seed
        for name in ("framework", "beta", "latents", "seed", "average", "pairs", "lr"):
            assert getattr(spec, name) == getattr(image, name)


def test_populations_are_of_one_seed_and_shape_and_leave_nothing_out():
    specs = [s for e in grids.COORDINATE_GRIDS for s in grids.grid(e, COORDINATES)]
    found = populations(specs)
    assert sorted(s.key for p in found for s in p) == sorted(s.key for s in specs)
    for population in found:
        assert len(population) <= 8
        assert len({(s.seed, s.framework, s.latents) for s in population}) == 1
    assert found[0][0] == specs[0]


def run(experiment, store, **options):
    return Sweep(experiment, TOY, store, device="cpu", quiet=True, **options).run()


def test_runs_are_stored_scored_and_not_made_twice(tmp_path):
    store = Store(tmp_path)
    assert run("rotation", store) == 1
    rows = store.rows("rotation", "toy")
    assert {row["key"] for row in rows} == {s.key for s in grids.grid("rotation", TOY)}
    for row in rows:
        assert row["status"] == "finished"
        assert 0 <= row["mig"] <= 1
        # the beta of sums is over the pixels that the coordinates stand for, so that it is that of
        # the run with images
        assert row["beta_sum"] == pytest.approx(row["beta"] * 64 * 64 * 3 / row["latents"])
        assert results.spec_of(row).key == row["key"]
        arrays = store.arrays(row)
        assert arrays["cycles"].shape == (9, 9, 64, 64, 3)
        # at spacing 1 distances along a factor are a straight line, and they are among what is kept
        np.testing.assert_allclose(np.diff(arrays["x/x_R"][0]), arrays["x/x_R"][0, 1], rtol=1e-3)
    # checkpoints are gone once all runs are stored
    assert not list((tmp_path / "checkpoints").iterdir())
    assert run("rotation", store) == 0
    assert store.rows("rotation", COORDINATES.name) == []  # of another profile


@pytest.fixture
def steps(monkeypatch):
    """How often a population took a step."""
    taken, real = [], _population._Objective.__call__
    monkeypatch.setattr(
        _population._Objective, "__call__", lambda *args: taken.append(1) or real(*args)
    )
    specs = [RUN.replace(seed=0, beta=beta) for beta in (0.1, 0.2, 0.3)]
    monkeypatch.setattr(grids, "without_pixels", lambda spec, rotate: spec)
    monkeypatch.setitem(grids.COORDINATE_GRIDS, "fig9", lambda profile: specs)
    return taken


def _without_date(rows):
    free = ("seconds", "images_per_second", "date", "commit")
    return [{name: value for name, value in row.items() if name not in free} for row in rows]


@pytest.mark.parametrize("before", [True, False])
def test_a_population_that_is_killed_while_it_is_stored_is_not_trained_again(
    tmp_path, monkeypatch, steps, before
):
    alone, store = Store(tmp_path / "alone"), Store(tmp_path / "store")
    assert run("fig9", alone) == 3
    assert len(steps) == RUN.steps

    def killed(*args):
        if not before:
            Store.add_all(*args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store, "add_all", lambda runs: killed(store, runs))
        with pytest.raises(KeyboardInterrupt):
            run("fig9", store)
    assert list((store.root / "checkpoints").iterdir())
    steps.clear()
    assert run("fig9", store) == (3 if before else 0)
    assert steps == []
    assert not list((store.root / "checkpoints").iterdir())
    assert _without_date(store.rows("fig9", "toy")) == _without_date(alone.rows("fig9", "toy"))
    for row in store.rows("fig9", "toy"):
        for name, array in store.arrays(row).items():
            np.testing.assert_array_equal(array, alone.arrays(row)[name])


def test_checkpoints_of_others_are_left_alone(tmp_path, steps):
    folder = tmp_path / "checkpoints"
    runner.fit([RUN.replace(seed=7), RUN.replace(seed=8)], device="cpu", checkpoint=folder)
    (folder / "mine.safetensors").write_bytes(b"no checkpoint")
    before = sorted(folder.iterdir())
    assert run("fig9", Store(tmp_path)) == 3
    assert sorted(folder.iterdir()) == before


def test_a_population_stops_when_it_is_asked_to_and_goes_on(tmp_path, monkeypatch, steps):
    store = Store(tmp_path)
    sweep = Sweep("fig9", TOY, store, device="cpu", quiet=True)
    is_over = Sweep._is_over

    def ask(self):
        self.asked_to_stop = len(steps) >= 3
        return is_over(self)

    with monkeypatch.context() as patch:
        patch.setattr(Sweep, "_is_over", ask)
        assert sweep.run() == 0
    assert run("fig9", store) == 3
    assert len(steps) == RUN.steps


def test_a_budget_stops_a_population_that_takes_longer(tmp_path, monkeypatch, steps):
    store = Store(tmp_path)
    clock = types.SimpleNamespace(
        monotonic=lambda: float(len(steps)), perf_counter=lambda: float(len(steps))
    )
    with monkeypatch.context() as patch:
        patch.setattr(runner, "time", clock)
        assert run("fig9", store, seconds=2) == 0
    assert 2 <= len(steps) < RUN.steps
    assert list((tmp_path / "checkpoints").glob("*.safetensors"))
    assert run("fig9", store) == 3
    assert len(steps) == RUN.steps


def test_a_run_that_fails_is_a_row_with_the_reason(tmp_path):
    spec = grids.grid("rotation", TOY)[0].replace(lr=1e12, steps=60)
    with pytest.warns(RuntimeWarning, match="Run 1 of 1 failed"):
        (failed,) = runner.fit([spec], device="cpu")
    row, arrays = runs.row_of(failed, "rotation", TOY)
    assert row["status"].startswith("failed: loss not finite at step ")
    assert arrays == {}
    Store(tmp_path).add(row, arrays)
    assert Store(tmp_path).rows("rotation", "toy")[0]["mig"] is None


def test_the_command_runs_what_is_missing_and_says_what_is_left(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(grids, "without_pixels", lambda spec, rotate: spec)
    specs = [RUN.replace(seed=seed) for seed in range(3)]
    monkeypatch.setitem(grids.COORDINATE_GRIDS, "rotation", lambda profile: specs)
    command = ["sweep", "rotation", "--no-pixels", "--device", "cpu", "--out", str(tmp_path)]
    assert cli.main([*command, "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{RUN.replace(seed=seed).key}  beta-vae coordinates num_squares=1 mse beta 0.001 warm-up 2 z 2 batch 8 seed {seed}"
        for seed in range(3)
    ]
    assert cli.main(command) == 0
    assert capsys.readouterr().err.endswith("rotation: 3 runs stored.\n")
    assert len(Store(tmp_path).rows("rotation", "coordinates")) == 3
    assert cli.main(command) == 0
    assert capsys.readouterr().err == "rotation: 0 runs stored.\n"


def test_a_rotation_that_is_the_seeds_own_is_no_setting():
    spec = grids.without_pixels(RunSpec(data_options={"grid_spacing": 1}, seed=3))
    assert spec.data_options["rotation"] == 3
    assert "rotation" not in runs.describe(spec.to_dict())
    other = spec.replace(data_options={**spec.data_options, "rotation": 0})
    assert " rotation=0 " in runs.describe(other.to_dict())


def test_a_folder_of_its_own_makes_no_run_of_the_store_again_without_pixels(tmp_path, capsys):
    assert cli.main(["sweep", "fig9", "--no-pixels", "--out", str(tmp_path), "--dry-run"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["fig6"],
            "Unknown experiment without pixels 'fig6'; choose one of: fig9, fig11, averaging, rotation, beta, warmup, limits, batch; did you mean 'fig9'?",
        ),
        (["fig9", "--workers", "2"], "--workers does not go with --no-pixels"),
        (["fig9", "--scheduler", "tls://x:1"], "--scheduler does not go with --no-pixels"),
        (["fig9", "--profile", "laptop"], "--profile does not go with --no-pixels"),
    ],
)
def test_what_does_not_go_without_pixels_is_refused(tmp_path, capsys, words, says):
    assert cli.main(["sweep", *words, "--no-pixels", "--out", str(tmp_path)]) == 2
    assert says in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
