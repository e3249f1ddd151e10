"""Whatever call to the disk fails, what is stored is the old state or the new one, and the next try
mends the rest.
"""

import json
import shutil
import warnings

import numpy as np
import pytest
import torch
import toy_data
from failing import fail_each

from vaedis.data import DataError, XYSquares, prepare
from vaedis.spec import RunSpec
from vaedis.training import checkpoint
from vaedis_companion import grids, project, store as results
from vaedis_companion.book import executions


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "disk"


def _fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()


def _row(seed, **more):
    return results.make_row(
        RunSpec(seed=seed),
        "fig9",
        "laptop",
        scores={"mig": 0.5, "dci": 0.5},
        protocol="full",
        **more,
    )


@pytest.fixture(autouse=True)
def _one_commit(monkeypatch):
    monkeypatch.setattr(project, "commit", lambda *_, **__: "made up")


def _half_written(folder):
    return [path for path in folder.rglob("*") if path.name.endswith((".tmp", ".part"))]


def test_the_store_holds_the_old_row_or_the_new_one(folder):
    store = results.Store(folder)

    def start():
        _fresh(folder)
        store.add(_row(0), {"a": np.zeros(3)})
        store.add(_row(1, status="failed: loss not finite"))

    def check(done):
        rows = {row["seed"]: row["status"] for row in store.rows("fig9", "laptop")}
        assert rows in (
            {0: "finished", 1: "finished"},
            *([] if done else [{0: "finished", 1: "failed: loss not finite"}]),
        )
        assert store.arrays(_row(0))["a"].tolist() == [0, 0, 0]
        if rows[1] == "finished":
            assert store.arrays(_row(1))["a"].tolist() == [1, 1, 1]
        assert not _half_written(folder)

    calls = fail_each(folder, start, lambda: store.add(_row(1), {"a": np.ones(3)}), check)
    assert {"open", "write", "fsync", "replace"} <= set(calls)


def test_runs_that_are_stored_at_once_are_all_there_or_none(folder):
    store = results.Store(folder)
    runs = [(_row(seed), {"a": np.full(2, seed)}) for seed in range(3)]

    def check(done):
        rows = store.rows("fig9", "laptop")
        assert len(rows) in ((3,) if done else (0, 3))
        assert all(store.arrays(row)["a"].tolist() == [row["seed"]] * 2 for row in rows)

    assert "mkdir" in fail_each(folder, lambda: _fresh(folder), lambda: store.add_all(runs), check)


def test_a_merge_that_fails_on_its_way_goes_on_where_it_was(folder, tmp_path, monkeypatch):
    specs = [RunSpec(seed=seed) for seed in range(3)]
    monkeypatch.setitem(grids.GRIDS, "fig9", lambda profile: specs)
    store, other = results.Store(folder), results.Store(tmp_path / "other")
    for seed in (1, 2):
        other.add(_row(seed), {"a": np.full(2, seed)})

    def start():
        _fresh(folder)
        store.add(_row(0), {"a": np.full(2, 0)})

    def check(done):
        rows = store.rows("fig9", "laptop")
        assert {0} <= {row["seed"] for row in rows} <= {0, 1, 2}
        assert len(rows) == 3 or not done
        assert all(store.arrays(row)["a"].tolist() == [row["seed"]] * 2 for row in rows)

    fail_each(folder, start, lambda: store.merge(other.root), check)


def test_a_checkpoint_is_the_old_one_or_the_new_one(folder):
    pytest.importorskip("safetensors")
    data = XYSquares(image_size=16, square_size=4, grid_size=2, num_squares=1)
    spec = RunSpec(steps=9)

    def checkpoints():
        return checkpoint.Checkpoints(folder, spec, data, "float32")

    def save(step):
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", RuntimeWarning
            )  # that it could not be written; training goes on
            checkpoints().save(step, {"weight": torch.full((3,), float(step))})

    def expected(step):
        return {"weight": torch.zeros(3)}

    def start():
        _fresh(folder)
        save(1)

    def check(done):
        step, state = checkpoints().load(expected)
        assert step in ((2,) if done else (1, 2))
        assert state["weight"].tolist() == [float(step)] * 3

    assert {"open", "write", "fsync", "replace"} <= set(
        fail_each(folder, start, lambda: save(2), check)
    )


def test_a_data_set_is_prepared_or_not_at_all(folder, tmp_path, monkeypatch):
    source = tmp_path / "source"
    source.mkdir()
    (source / toy_data.FILE).write_bytes(toy_data.CONTENT)
    toy_data.install(monkeypatch, folder, "http://127.0.0.1:9/nobody/toy.bin")

    def check(done):
        facts = prepare.stored_facts("toy", "original")
        assert facts is not None or not done
        if facts is not None:
            np.testing.assert_array_equal(
                np.load(prepare.stored_path("toy", "original")), toy_data.IMAGES
            )
        if done:
            assert not _half_written(folder)

    calls = fail_each(
        folder,
        lambda: _fresh(folder),
        lambda: prepare.prepare("toy", source=source),
        check,
        errors=(OSError, DataError),
    )
    assert {"open", "write", "fsync", "replace", "mkdir"} <= set(calls)


def test_the_books_record_of_runs_is_the_old_one_or_the_new_one(folder):
    first, second = (
        executions.make_facts(key, "smoke", {}, 1.0, executions.machine()) for key in ("old", "new")
    )
    old, new = {"intro": first}, {"intro": second, "08_conclusion": second}

    def start():
        _fresh(folder)
        executions.write_facts(folder, old)

    def check(done):
        assert executions.read_facts(folder) in ((new,) if done else (old, new))
        json.loads((folder / "runs.json").read_text())

    fail_each(folder, start, lambda: executions.write_facts(folder, new), check)


def test_the_harness_notices_what_is_written_in_place(folder):
    """It must be able to fail."""
    path = folder / "notes.txt"

    def start():
        _fresh(folder)
        path.write_text("old")

    def check(done):
        assert path.read_text() in (("new",) if done else ("old", "new"))

    with pytest.raises(AssertionError):
        fail_each(folder, start, lambda: path.write_text("new"), check)
