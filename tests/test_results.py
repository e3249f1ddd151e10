"""The store: rows survive, whatever happens; sweeps run what is missing."""

import multiprocessing
import os

import numpy as np
import pytest

from vaedis import experiments, results, sweep
from vaedis.experiments import RunSpec


def _row(seed=0, **more):
    return results.make_row(RunSpec(seed=seed), "fig9", "laptop", scores={"mig": 0.1 + seed, "dci": 0.5}, **more)


def test_rows_and_arrays_come_back(tmp_path):
    store = results.Store(tmp_path / "new")
    row = _row(seconds=1.5, device="cpu", threads=2, protocol="full", images_per_second=100.0)
    store.add(row, {"a": np.arange(3)})
    (back,) = store.rows("fig9", "laptop")
    assert {k: v for k, v in back.items() if v not in (None, "")} == row
    assert results.spec_of(back) == RunSpec()
    assert store.arrays(back)["a"].tolist() == [0, 1, 2]


def test_a_row_with_the_same_key_is_replaced_and_rows_are_sorted(tmp_path):
    store = results.Store(tmp_path)
    for seed in (3, 1, 2, 3):
        store.add(_row(seed))
    keys = [r["key"] for r in store.rows("fig9", "laptop")]
    assert keys == sorted(keys)
    assert len(keys) == 3


def test_a_crash_in_mid_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    store = results.Store(tmp_path)
    store.add(_row(0))
    before = (tmp_path / "fig9-laptop.csv").read_bytes()
    monkeypatch.setattr(os, "replace", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        store.add(_row(1))
    assert (tmp_path / "fig9-laptop.csv").read_bytes() == before
    assert not list(tmp_path.glob("*.tmp")) + list(tmp_path.glob(".*.tmp"))


def _add(root, seeds):
    for seed in seeds:
        results.Store(root).add(_row(seed))


def test_two_processes_lose_nothing(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_add, args=(tmp_path, range(k, 12, 2))) for k in range(2)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert sorted(r["seed"] for r in results.Store(tmp_path).rows("fig9", "laptop")) == list(range(12))


def test_a_corrupt_row_is_named(tmp_path):
    store = results.Store(tmp_path)
    store.add(_row())
    path = tmp_path / "fig9-laptop.csv"
    path.write_text(path.read_text().replace("57600", "many"))
    with pytest.raises(ValueError, match=r"fig9-laptop.csv line 2 is no row"):
        store.rows("fig9", "laptop")


def test_the_best_profile_with_finished_runs_wins(tmp_path):
    store = results.Store(tmp_path)
    assert store.best("fig9") is None
    store.add(_row(0))
    store.add(_row(1, status="failed: loss not finite"))
    store.add(results.make_row(RunSpec(), "fig9", "paper", status="failed: out of memory"))
    found = store.best("fig9")
    assert (found.profile, len(found.rows), len(found.failed)) == ("laptop", 1, 1)
    assert "1 failed" in found.describe()
    assert found.values("mig", framework="beta-vae").tolist() == pytest.approx([0.1])


def test_published_numbers_are_numbers_and_unknown_tables_are_named():
    assert results.published("fig9_scores")[0]["grid_spacing"] == 1.0
    with pytest.raises(ValueError, match="table of published numbers 'fig1'"):
        results.published("fig1")


def test_a_sweep_runs_what_is_missing_and_stores_each_run(tmp_path, monkeypatch):
    ran = []

    def run_one(spec, experiment, scale, *, device):
        ran.append(spec.key)
        return results.make_row(spec, experiment, scale.name, scores={"mig": 0.0, "dci": 0.0}, seconds=1.0, images_per_second=1.0), {}

    monkeypatch.setattr(sweep, "run_one", run_one)
    store = results.Store(tmp_path)
    assert sweep.run_missing("fig9", "laptop", store=store, most=3, quiet=True) == 3
    everything = [s.key for s in experiments.grid("fig9", "laptop")]
    assert ran == everything[:3]
    assert sweep.run_missing("fig9", "laptop", store=store, quiet=True) == len(everything) - 3
    assert ran == everything
    assert sweep.run_missing("fig9", "laptop", store=store, quiet=True) == 0


def test_a_failed_run_is_a_row(monkeypatch):
    spec = RunSpec(lr=1e12, steps=60, batch=4, model="mlp", model_options={"hidden": (4,)})
    row, arrays = sweep.run_one(spec, "fig9", experiments.PROFILES["smoke"], device="cpu")
    assert row["status"].startswith("failed: loss not finite at step")
    assert arrays == {}
