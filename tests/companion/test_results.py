"""The store: rows survive, whatever happens."""

import codecs
import io
import itertools
import multiprocessing
import os
import re
import shutil
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vaedis import _files
from vaedis.spec import RunSpec
from vaedis_companion import cli, grids, project, published, store as results
from vaedis_companion.analysis import courses
from vaedis_companion.store import rows as store_rows
from vaedis_companion.store.merging import Merged

SCORES = {"mig": 0.5, "dci": 0.5}


def _row(seed=0, **more):
    more = {"protocol": "full", **more}
    return results.make_row(
        RunSpec(seed=seed), "fig9", "laptop", scores={"mig": (1 + seed) / 16, "dci": 0.5}, **more
    )


@pytest.fixture
def own_grid(monkeypatch):
    """Figure 9 with the runs that these tests merge."""
    specs = [RunSpec(seed=seed) for seed in range(10)]
    monkeypatch.setitem(grids.GRIDS, "fig9", lambda profile: specs)


def test_rows_and_arrays_come_back(tmp_path):
    store = results.Store(tmp_path / "new")
    row = _row(seconds=1.5, device="cpu", threads=2, protocol="full", images_per_second=100.0)
    store.add(row, {"a": np.arange(3)})
    (back,) = store.rows("fig9", "laptop")
    assert {k: v for k, v in back.items() if v not in (None, "")} == row
    assert results.spec_of(back) == RunSpec()
    assert store.arrays(back)["a"].tolist() == [0, 1, 2]


def test_long_runs_stand_beside_the_best_ones_and_never_become_them(tmp_path):
    store = results.Store(tmp_path)
    assert store.long("fig11") is None
    for profile in ("laptop", "long"):
        for spec in grids.grid("fig11", profile):
            if spec.seed == 0:
                store.add(results.make_row(spec, "fig11", profile, scores=SCORES))
    assert store.best("fig11").profile == "laptop"
    assert (store.long("fig11").profile, len(store.long("fig11").rows)) == ("long", 4)
    *most, last = [spec for spec in grids.grid("fig11", "paper") if spec.seed == 0]
    for spec in most:
        store.add(results.make_row(spec, "fig11", "paper", scores=SCORES))
    assert store.best("fig11").profile == "laptop"
    assert store.long("fig11").profile == "long and paper"
    assert sorted({row["batch"] for row in store.long("fig11").rows}) == [64, 256]
    store.add(results.make_row(last, "fig11", "paper", scores=SCORES))
    assert store.best("fig11").profile == "paper"
    assert store.long("fig11").profile == "long"


def test_failed_runs_alone_are_no_long_runs(tmp_path):
    store = results.Store(tmp_path)
    store.add(results.make_row(grids.grid("fig11", "long")[0], "fig11", "long", status="failed: x"))
    assert store.long("fig11") is None


def test_an_experiment_takes_equal_runs_of_another_one_of_its_profile(tmp_path):
    store = results.Store(tmp_path)
    shared = [
        s
        for s in grids.grid("fig6", "laptop")
        if s.key in {t.key for t in grids.grid("fig9", "laptop")}
    ]
    assert {s.data for s in shared} == {"xysquares"}
    assert len(shared) == 4
    for spec in (shared[0], grids.grid("fig9", "laptop")[0]):
        store.add(results.make_row(spec, "fig9", "laptop", scores=SCORES), {"a": np.ones(2)})
    assert store.keys("fig6", "laptop") == {shared[0].key}
    (row,) = store.best("fig6").rows
    assert (row["experiment"], row["mig"]) == ("fig9", 0.5)
    assert store.arrays(row)["a"].tolist() == [1, 1]
    assert len(store.best("fig9").rows) == 2
    # its own row comes before that of another
    store.add(results.make_row(shared[0], "fig6", "laptop", scores={"mig": 0.25, "dci": 0.5}))
    assert [r["mig"] for r in store.best("fig6").rows] == [0.25]


@pytest.mark.parametrize("order", [("fig6", "fig9"), ("fig9", "fig6")])
def test_a_run_that_failed_in_one_experiment_and_ended_in_another_has_ended(tmp_path, order):
    store = results.Store(tmp_path)
    keys = {spec.key for spec in grids.grid("fig9", "laptop")}
    shared = next(spec for spec in grids.grid("fig6", "laptop") if spec.key in keys)
    failed, ended = order
    store.add(results.make_row(shared, failed, "laptop", status="failed: x"))
    assert store.keys(failed, "laptop", failed=False) == set()
    store.add(results.make_row(shared, ended, "laptop", scores=SCORES))
    for experiment in order:
        assert store.keys(experiment, "laptop", failed=False) == {shared.key}
        (row,) = store.answering(experiment, "laptop")
        assert row["mig"] == 0.5


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_every_column_comes_back_as_it_went_in(tmp_path, ending):
    spec = RunSpec(
        data="shapes3d",
        data_options={"grid_spacing": 1, "rgb": False, "name": 'a "quoted", text\nof two lines'},
        framework="ada-gvae",
        beta=1e-07,
        loss="box-blur",
        loss_options={"radius": 3, "weight": None},
        lr=0.1 + 0.2,
        average="published",
        model="mlp",
        model_options={"hidden": [3, 4]},
        normalize=False,
        seed=12,
    )
    scores = {name: 0.1 * i / 3 for i, name in enumerate(store_rows.SCORE_COLUMNS)}
    scores["mig"] = np.float32(0.3)
    facts = {"device": "a GPU, the first", "precision": "tf32", "origin": "rendered"}
    facts |= {"protocol": "full", "threads": 2, "seconds": 0.25, "images_per_second": 1e5 / 3}
    row = results.make_row(spec, "fig6", "paper", scores=scores, **facts)
    assert set(row) == set(results.COLUMNS)
    store = results.Store(tmp_path)
    store.add(row)
    path = tmp_path / "fig6-paper.csv"
    before = path.read_bytes()
    # as a spreadsheet saves it
    path.write_bytes(codecs.BOM_UTF8 + before.replace(b"\n", ending))
    (back,) = store.rows("fig6", "paper")
    assert back == {**row, "mig": float(np.float32(0.3))}
    columns = ("beta", "steps", "normalize", "threads", "mig")
    assert [type(back[c]) for c in columns] == [float, int, bool, int, float]
    assert results.spec_of(back) == spec
    assert results.spec_of(back).key == back["key"]
    store.add(back)
    assert path.read_bytes() == before


def test_the_committed_tables_are_written_as_they_are_read():
    store = results.Store()
    for experiment, profile in store.tables():
        before = (store.root / f"{experiment}-{profile}.csv").read_text().splitlines()
        rows = store.rows(experiment, profile)
        header = store_rows.table_of(rows).decode().splitlines()[0]
        assert f"{header},".startswith(f"{before[0]},")  # later columns are added at the end
        assert [row["key"] for row in rows] == [line.split(",")[0] for line in before[1:]]


def test_a_replaced_row_leaves_no_arrays_behind(tmp_path):
    store = results.Store(tmp_path)
    store.add(_row(0), {"a": np.zeros(3)})
    store.add(_row(0), {"a": np.ones(2)})
    assert store.arrays(_row(0))["a"].tolist() == [1, 1]
    store.add(_row(0, status="failed: loss not finite"))
    assert store.arrays(_row(0)) == {}
    assert store.arrays(_row(5)) == {}


def _bomb(path, method):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + bytes(2 * 1024**2))


def _cut(path):
    path.write_bytes(path.read_bytes()[:-30])


def _flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _longer_than_it_is(path):
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        member, {"shape": (10**9,), "fortran_order": False, "descr": "<f8"}
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", member.getvalue() + bytes(64))


DAMAGE = {
    "cut": (_cut, "File is not a zip file"),
    "flipped": (_flip, "fig9-laptop"),
    "empty": (lambda path: path.write_bytes(b""), "File is not a zip file"),
    "deflated bomb": (
        lambda path: _bomb(path, zipfile.ZIP_DEFLATED),
        "its arrays take more than 1 MB",
    ),
    "longer than it is": (_longer_than_it_is, "shorter or longer than its header says"),
    "a pickle": (
        lambda path: np.savez(path, a=np.array([{}], object)),
        "it holds Python objects, which are not loaded",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_arrays_are_named_and_count_as_missing_and_are_not_merged(
    tmp_path, monkeypatch, own_grid, kind
):
    monkeypatch.setattr(_files, "_LARGEST_NPZ", 1024**2)
    damage, says = DAMAGE[kind]
    store = results.Store(tmp_path / "a")
    store.add(_row(0), {"a": np.random.default_rng(0).random(64)})
    path = store.root / "fig9-laptop" / f"{_row(0)['key']}.npz"
    damage(path)
    with pytest.warns(results.DamagedFile, match=re.escape(str(path))) as caught:
        assert store.arrays(_row(0)) == {}
    assert says in str(caught[0].message)
    assert str(caught[0].message).endswith(
        "fig9-laptop.csv and run: vaedis sweep fig9 --profile laptop"
    )
    with pytest.raises(ValueError, match=re.escape(f"because {path} cannot be read")):
        results.Store(tmp_path / "b").merge(store.root)
    assert not (tmp_path / "b").exists()


def test_no_flipped_bit_of_arrays_is_more_than_a_warning(tmp_path):
    store = results.Store(tmp_path)
    store.add(_row(0), {"a": np.random.default_rng(0).random(9), "b": np.arange(4)})
    path = tmp_path / "fig9-laptop" / f"{_row(0)['key']}.npz"
    whole, before = path.read_bytes(), store.arrays(_row(0))
    for at in range(0, 8 * len(whole), 37):
        content = bytearray(whole)
        content[at // 8] ^= 1 << at % 8
        path.write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", results.DamagedFile)
            after = store.arrays(_row(0))
        # names and dates have no checksum that is read
        for name in after.keys() & before.keys():
            np.testing.assert_array_equal(after[name], before[name])


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
    assert sorted(r["seed"] for r in results.Store(tmp_path).rows("fig9", "laptop")) == list(
        range(12)
    )


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda line: line.replace("57600", "many"), "invalid literal"),
        (lambda line: line.replace("57600", "57_600"), "steps must be a number, not '57_600'"),
        (lambda line: line.replace(",0.5,", ", 0.5,"), "dci must be a number, not ' 0.5'"),
        (lambda line: line.replace(",0.5,", ",0_1.5_0,"), "dci must be a number, not '0_1.5_0'"),
        (lambda line: line.replace(",0.5,", ",٠.١,"), "dci must be a number"),
        (lambda line: line.replace(",0.5,", ",7.5,"), "dci must lie from 0 to 1, not 7.5"),
        (lambda line: line.replace(",0.5,", ",-3,"), "dci must lie from 0 to 1, not -3"),
        (lambda line: line.replace(",0.5,", ",inf,"), "dci .*must be a finite number, not inf"),
        (lambda line: line.replace(",0.5,", ",nan,"), "dci .*must be a finite number, not nan"),
        (lambda line: line.replace(",0.5,", ",,"), "dci .*must be a finite number, not None"),
        (lambda line: line.replace("finished", "Finished"), "not 'Finished'"),
        (lambda line: line.replace("finished", " finished"), "not ' finished'"),
        (lambda line: line.replace("57600", "\x1b[2J"), r"\\x1b\[2J"),
        (lambda line: line.replace("57600", "-1"), "steps must be a whole number"),
        (lambda line: line.replace("57600", "5.76e4"), "invalid literal"),
        (lambda line: line.replace("57600", "57601"), "is not the one that its line describes"),
        (lambda line: line.replace(",0.001,", ",0.01,", 1), "is not the one that its line"),
        (lambda line: line.replace("True", "yes"), "yes"),
        (lambda line: line.replace("{}", "{", 1), "Expecting property name"),
        (lambda line: line.replace("{}", "[]", 1), "data_options are no options"),
        (lambda line: line.replace("{}", "[" * 5000 + "]" * 5000, 1), "recursion"),
        (lambda line: line + ",1", "it has 4[0-9] fields, not 45"),
        (lambda line: line.rsplit(",", 1)[0], "it has 4[0-9] fields, not 45"),
        (lambda line: "", "it has 0 fields"),
        (lambda line: "," + line.split(",", 1)[1], "16 hexadecimal digits, not ''"),
        (lambda line: line.replace("finished", ""), "no status"),
        (lambda line: line.replace("finished", "\udcff"), "utf-8"),
        (lambda line: line.replace(",0.001,", ",nan,"), "beta"),
        (lambda line: line.replace("conv", "a tree"), "a tree"),
        (lambda line: "<<<<<<< HEAD", "it has 1 fields"),
    ],
)
def test_a_damaged_line_is_named_and_its_table_counts_as_missing_and_is_not_replaced(
    tmp_path, damage, says
):
    store, path = results.Store(tmp_path), tmp_path / "fig9-laptop.csv"
    for seed in range(3):
        store.add(_row(seed))
    lines = path.read_text().splitlines()
    lines[2] = damage(lines[2])
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="surrogateescape")
    damaged = path.read_bytes()
    with pytest.warns(results.DamagedFile, match=r"line \d is no row of results") as caught:
        assert store.best("fig9") is None
    assert re.search(says, str(caught[0].message))
    assert "\x1b" not in str(caught[0].message)
    for refuse in (lambda: store.add(_row(7)), lambda: store.check_writable("fig9", "laptop")):
        with pytest.raises(ValueError, match=r"line \d is no row of results"):
            refuse()
    assert path.read_bytes() == damaged


@pytest.mark.parametrize("ending", ["", "\n\n", "\r\n\r\n"])
def test_empty_lines_at_the_end_of_a_table_say_nothing(tmp_path, ending):
    store, path = results.Store(tmp_path), tmp_path / "fig9-laptop.csv"
    store.add(_row(0))
    rows = store.rows("fig9", "laptop")
    path.write_bytes(path.read_bytes().removesuffix(b"\n") + ending.encode())
    assert store.rows("fig9", "laptop") == rows
    store.add(_row(1))
    assert len(store.rows("fig9", "laptop")) == 2


@pytest.mark.parametrize("header", ["", "kEy,", "dci,"])
def test_a_damaged_header_gives_no_score_another_name(tmp_path, header):
    store, path = results.Store(tmp_path), tmp_path / "fig9-laptop.csv"
    store.add(_row(0))
    path.write_text(path.read_text().replace("key,", header, 1))
    with pytest.warns(results.DamagedFile, match="line 1 .*the names of the columns"):
        assert store.rows("fig9", "laptop") == []


@pytest.mark.parametrize("kind", ["folder", "pipe", "dangling link", "too large"])
def test_what_is_no_table_is_named_and_counts_as_missing_and_is_not_replaced(tmp_path, kind):
    store, path = results.Store(tmp_path), tmp_path / "fig9-laptop.csv"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "dangling link":
        path.symlink_to(tmp_path / "gone")
    else:
        with path.open("wb") as file:
            file.truncate(1 << 30)
    with pytest.warns(results.DamagedFile, match=f"{path.name} cannot be read .* count as missing"):
        assert store.best("fig9") is None
    for refuse in (lambda: store.add(_row(0)), lambda: store.check_writable("fig9", "laptop")):
        with pytest.raises(OSError, match=f"{path.name} cannot be read"):
            refuse()


def test_what_cannot_be_stored_is_refused_before_a_run(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"Results cannot be stored in .*; name another folder\."):
        results.Store(tmp_path / "file").check_writable("fig9", "laptop")


def test_merging_takes_what_is_new_or_mended_and_nothing_else(tmp_path, own_grid):
    here, there = results.Store(tmp_path / "here"), results.Store(tmp_path / "there")
    here.add(_row(0), {"a": np.zeros(1)})
    here.add(_row(1, status="failed: loss not finite"))
    here.add(_row(2))
    there.add(_row(0, device="another"), {"a": np.zeros(1), "b": np.ones(1)})
    there.add(_row(1), {"a": np.ones(1)})
    there.add(_row(2, status="failed: loss not finite"))
    there.add(results.make_row(RunSpec(seed=3), "fig-x", "a_profile", scores=SCORES))
    assert here.merge(there.root) == Merged(taken=2, known=2, added=0)
    assert [r["status"] for r in here.rows("fig9", "laptop")] == ["finished"] * 3
    assert here.arrays(_row(0))["a"].tolist() == [0]
    assert here.arrays(_row(1))["a"].tolist() == [1]
    assert here.tables() == [("fig-x", "a_profile"), ("fig9", "laptop")]
    assert here.merge(there.root) == Merged(taken=0, known=4, added=0)
    with pytest.raises(ValueError, match="holds no table of results"):
        here.merge(tmp_path / "nothing")


def test_merging_adds_arrays_that_a_run_lacks_here(tmp_path, own_grid):
    here, there = results.Store(tmp_path / "here"), results.Store(tmp_path / "there")
    for seed in range(3):
        there.add(_row(seed), {"a": np.full(2, seed)})
    shutil.copytree(there.root, here.root)
    here.add(_row(2, device="another"))
    path = here.root / "fig9-laptop" / f"{_row(0)['key']}.npz"
    path.unlink()
    (here.root / "fig9-laptop" / f"{_row(1)['key']}.npz").write_bytes(b"damaged")
    # what is not the same run keeps what it has: nothing
    assert here.merge(there.root) == Merged(taken=0, known=3, added=2)
    assert [here.arrays(_row(seed)).get("a", [-1])[0] for seed in range(3)] == [0, 1, -1]
    assert here.merge(there.root) == Merged(taken=0, known=3, added=0)


def test_merging_says_which_known_runs_have_other_results(tmp_path, own_grid, capsys):
    here, there = results.Store(tmp_path / "here"), results.Store(tmp_path / "there")
    for seed in range(4):
        here.add(_row(seed), {"a": np.array([seed, np.nan])})
    shutil.copytree(here.root, there.root)
    here.add(_row(4, status="failed: loss not finite"))
    there.add(_row(4, status="failed: kl not finite"))
    command = ["results", "--out", str(here.root), "merge", str(there.root)]
    assert cli.main(command) == 0
    assert capsys.readouterr().out == "0 runs taken in, 5 known already\n"
    there.add(_row(2) | {"mig": 0.75}, {"a": np.array([2, np.nan])})
    there.add(_row(3), {"a": np.array([7, np.nan])})
    names = sorted(f"fig9-laptop {_row(seed)['key']}" for seed in (2, 3))
    assert sorted(here.merge(there.root).differ) == names
    assert cli.main(command) == 3
    streams = capsys.readouterr()
    assert streams.out == "0 runs taken in, 5 known already\n"
    (line,) = streams.err.splitlines()
    assert "has other results of known runs: 2, first " in line
    assert names[0] in line
    assert here.arrays(_row(3))["a"][0] == 3
    assert {row["mig"] for row in here.rows("fig9", "laptop")} & {0.75} == set()


def test_merging_into_a_file_is_refused_in_one_sentence(tmp_path, own_grid, capsys):
    there = results.Store(tmp_path / "there")
    there.add(_row(0))
    file = tmp_path / "a.csv"
    file.write_text("precious")
    assert cli.main(["results", "--out", str(file), "merge", str(there.root)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("is no folder that may be written into); name another folder.")
    assert file.read_text() == "precious"


def test_merging_refuses_runs_that_an_experiment_does_not_have(tmp_path):
    other = results.Store(tmp_path / "other")
    for spec in grids.grid("fig9", "laptop")[:2]:
        row = results.make_row(spec, "fig9", "laptop", scores=SCORES, protocol="full")
        other.add(row)
    assert results.Store(tmp_path / "mine").merge(other.root).taken == 2
    other.add(_row(0))
    says = f"fig9 has no run {_row(0)['key']} in the laptop profile, perhaps since another version"
    with pytest.raises(ValueError, match=says):
        results.Store(tmp_path / "mine").merge(other.root)
    (spec,) = grids.grid("rotation", grids.COORDINATES)[:1]
    pixels = results.Store(tmp_path / "pixels")
    row = results.make_row(
        spec.replace(seed=99), "rotation", "coordinates", scores=SCORES, protocol="full"
    )
    pixels.add(row)
    with pytest.raises(ValueError, match="rotation has no run"):
        results.Store(tmp_path / "mine").merge(pixels.root)


def _edited(tmp_path, change):
    """Someone else's store of one run with arrays, after a change of its line."""
    other = results.Store(tmp_path / "other")
    other.add(_row(0), {"a": np.zeros(3)})
    table = other.root / "fig9-laptop.csv"
    head, line = table.read_text().splitlines()
    table.write_text(f"{head}\n{change(line)}\n")
    return other


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda line: line.replace(_row(0)["key"], "../../thesis"),
            "The key of a run is 16 hexadecimal digits, not '../../thesis'",
        ),
        (lambda line: line.replace(_row(0)["key"], "/" * 16), "is 16 hexadecimal digits"),
        (
            lambda line: line.replace(_row(0)["key"], _row(0)["key"].upper()),
            "is 16 hexadecimal digits",
        ),
        (
            lambda line: line.replace(_row(0)["key"], "b" * 16),
            "run bbbbbbbbbbbbbbbb is not the one that its line describes",
        ),
        (lambda line: line.replace(",fig9,", ",../written-outside,"), "without parts of a path"),
        (lambda line: line.replace(",laptop,", ",x/../../..,"), "without parts of a path"),
        (lambda line: line.replace("57600", "57601"), "is not the one that its line describes"),
        (lambda line: line.replace("57600", ""), "steps must be a whole number"),
        (lambda line: line.replace("{}", "null", 1), "data_options are no options"),
        (lambda line: f"{line}\n{line}", "line 3 is no row of results"),
    ],
)
def test_merging_a_folder_from_anyone_takes_nothing_if_anything_is_wrong(
    tmp_path, own_grid, change, says
):
    (tmp_path / "home" / "store" / "fig9-laptop").mkdir(parents=True)
    (tmp_path / "home" / "thesis.npz").write_text("precious")
    before = sorted((tmp_path / "home").rglob("*"))
    with pytest.raises(ValueError, match="Nothing was taken in, because ") as caught:
        results.Store(tmp_path / "home" / "store").merge(_edited(tmp_path, change).root)
    assert says in str(caught.value)
    assert sorted((tmp_path / "home").rglob("*")) == before
    assert (tmp_path / "home" / "thesis.npz").read_text() == "precious"


@pytest.mark.parametrize(
    ("link", "target"),
    [
        *itertools.product(
            ["fig9-laptop.csv", "fig9-laptop", f"fig9-laptop/{_row(0)['key']}.npz"],
            ["file", "nothing"],
        ),
        ("fig9-laptop.csv", "pipe"),
        (f"fig9-laptop/{_row(0)['key']}.npz", "pipe"),
    ],
)
def test_merging_follows_no_link_and_reads_no_pipe(tmp_path, own_grid, link, target):
    other = _edited(tmp_path, lambda line: line)
    path = other.root / link
    path.rename(tmp_path / "elsewhere")
    if target == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(tmp_path / {"file": "elsewhere", "nothing": "nowhere"}[target])
    with pytest.raises(ValueError, match=r"is a link or no plain file, and is not followed"):
        results.Store(tmp_path / "mine").merge(other.root)


@pytest.mark.parametrize(
    "row",
    [{"key": "../x"}, {"key": ""}, {"experiment": "../x"}, {"profile": "a/b"}, {"experiment": ""}],
)
def test_a_row_that_names_a_path_is_neither_written_nor_read(tmp_path, row):
    store = results.Store(tmp_path / "store")
    for act in (store.add, store.arrays):
        with pytest.raises(
            ValueError, match=r"hexadecimal digits, not|without parts of a path, not"
        ):
            act({**_row(0), **row})
    assert not store.root.exists()


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"status": ""}, "no status"),
        ({"status": None}, "no status"),
        ({"status": "\n"}, "no status"),
        ({"status": "Finished"}, "not 'Finished'"),
        ({"status": "failed: " + "x" * 200_000}, "field larger than field limit"),
        ({"threads": 2.0}, "2.0"),
        ({"threads": "two"}, "two"),
        ({"threads": True}, "True"),
        ({"seconds": "long"}, "long"),
        ({"device": "\udcff"}, "surrogates"),
        ({"scores": {"mig": 7.5, "dci": 0.5}}, "mig must lie from 0 to 1"),
        ({"scores": {"mig": 0.5}}, "dci of a finished run must be a finite number, not None"),
    ],
)
def test_a_row_that_could_not_be_read_again_is_not_written(tmp_path, facts, says):
    store = results.Store(tmp_path)
    store.add(_row(0), {"a": np.zeros(1)})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    row = results.make_row(RunSpec(seed=9), "fig9", "laptop", **{"scores": SCORES, **facts})
    with pytest.raises(ValueError, match=f"^Run {row['key']} cannot be stored, .*{says}"):
        store.add_all([(_row(1), None), (row, {"a": np.ones(1)})])
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    store.add(_row(1))
    assert len(store.rows("fig9", "laptop")) == 2


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"final_kl": "-5.0"}, "final_kl must not be below 0"),
        ({"final_recon": "-0.5"}, "final_recon must not be below 0"),
        ({"images_per_second": "0"}, "images_per_second must be above 0"),
        ({"mig": "-0.25"}, "mig must lie from 0 to 1"),
        ({"dci": "nan"}, "dci of a finished run must be a finite number"),
        ({"protocol": "fast"}, "of the protocol 'fast', not of 'full'"),
        ({"origin": "stand-in"}, "are generated, not 'stand-in'"),
    ],
)
def test_rows_that_say_what_cannot_be_are_damaged_and_not_merged(tmp_path, own_grid, changes, says):
    other = results.Store(tmp_path / "other")
    other.add(_row(0))
    table = other.root / "fig9-laptop.csv"
    frame = pd.read_csv(table, dtype=str, keep_default_na=False)
    table.write_text(frame.assign(**changes).to_csv(index=False))
    with pytest.warns(results.DamagedFile, match="fig9-laptop.csv line 2") as caught:
        assert other.rows("fig9", "laptop") == []
    assert says in str(caught[0].message)
    with pytest.raises(ValueError, match=r"Nothing was taken in, because .* line 2 "):
        results.Store(tmp_path / "mine").merge(other.root)


def test_what_rounding_puts_below_0_and_origins_that_fit_are_read(tmp_path):
    store = results.Store(tmp_path)
    spec = grids.without_pixels(RunSpec(data_options={"grid_spacing": 8}))
    for seed, origin in enumerate(("", "generated")):
        scores = SCORES | {"final_kl": -1e-6}
        row = results.make_row(
            spec.replace(seed=seed), "fig9", "coordinates", scores=scores, origin=origin
        )
        store.add(row)
    rendered = RunSpec(data="dsprites", data_options={"origin": "rendered"})
    for origin in ("original", "stand-in"):
        row = results.make_row(rendered, "fig6", "laptop", scores=SCORES, origin=origin)
        with pytest.raises(ValueError, match=f"are rendered, not '{origin}'"):
            store.add(row)
    assert len(store.rows("fig9", "coordinates")) == 2


def test_merging_refuses_a_run_that_does_not_say_how_it_is_scored(tmp_path, own_grid):
    other = results.Store(tmp_path / "other")
    other.add(_row(0, protocol=""))
    with pytest.raises(ValueError, match="does not say by which protocol"):
        results.Store(tmp_path / "mine").merge(other.root)


def test_a_score_that_rounding_puts_above_1_is_one(tmp_path):
    store = results.Store(tmp_path)
    scores = {"mig": -1e-12, "dci": 1 + 1e-9, "final_kl": -3.5e-10}
    store.add(results.make_row(RunSpec(), "fig9", "laptop", scores=scores))
    assert store.rows("fig9", "laptop")[0]["dci"] == 1 + 1e-9


def test_columns_of_a_newer_version_stay_with_their_rows_and_those_of_an_older_one_are_filled(
    tmp_path, own_grid
):
    store, table = results.Store(tmp_path / "a"), tmp_path / "a" / "fig9-laptop.csv"
    for seed in range(3):
        store.add(_row(seed))
    frame = pd.read_csv(table, dtype=str, keep_default_na=False)
    frame = frame.drop(columns=["mig_max", "warmup"])
    frame.insert(9, "flavour", [f"taste {k}" for k in range(3)])
    frame["fid"] = [f"{k}.25" for k in range(3)]
    frame.to_csv(table, index=False)
    before = {row["key"]: row for row in store.rows("fig9", "laptop")}
    assert {(row["mig_max"], row["warmup"]) for row in before.values()} == {(None, 0)}
    store.add(_row(9))
    head = table.read_text().splitlines()[0]
    assert head == ",".join([*frame.columns, "mig_max", "warmup"])
    after = {row["key"]: row for row in store.rows("fig9", "laptop")}
    assert {key: after[key] for key in before} == before
    assert sorted((row["flavour"], row["fid"]) for row in before.values()) == [
        (f"taste {k}", f"{k}.25") for k in range(3)
    ]
    assert after[_row(9)["key"]]["fid"] == ""
    there = results.Store(tmp_path / "b")
    there.merge(store.root)
    assert {row["key"]: row for row in there.rows("fig9", "laptop")} == after


def test_escapes_of_a_table_do_not_reach_the_terminal(tmp_path, capsys):
    store = _edited(tmp_path, lambda line: line.replace("finished", "failed: \x1b[2J"))
    assert cli.main(["results", "--out", str(store.root)]) == 0
    assert "failed: \\x1b[2J" in capsys.readouterr().out


def test_the_lock_follows_no_link_and_empties_no_file(tmp_path):
    thesis = tmp_path / "thesis"
    thesis.write_text("precious")
    store = results.Store(tmp_path / "store")
    store.root.mkdir()
    (store.root / ".lock").symlink_to(thesis)
    with pytest.raises(
        ValueError,
        match=r"\.lock keeps two processes from writing at once and must be a plain file",
    ):
        store.add(_row(0))
    assert thesis.read_text() == "precious"
    (store.root / ".lock").unlink()
    (store.root / ".lock").write_text("precious")
    store.add(_row(0))
    assert (store.root / ".lock").read_text() == "precious"


def test_what_a_killed_process_left_half_written_is_swept_up(tmp_path):
    store = results.Store(tmp_path)
    store.add(_row(0), {"a": np.zeros(1)})
    key = _row(0)["key"]
    half = [tmp_path / ".fig9-laptop.csv.a1b2.tmp", tmp_path / "fig9-laptop" / f".{key}.npz.c3.tmp"]
    other = [
        tmp_path / ".fig11-laptop.csv.a1b2.tmp",
        tmp_path / "mine.tmp",
        tmp_path / "fig9-laptop" / "notes.tmp",
    ]
    for path in (*half, *other):
        path.touch()
    store.add(_row(1))
    assert not any(path.exists() for path in half)
    assert all(path.exists() for path in other)


def test_files_have_the_mode_of_the_file_they_replace_or_the_processs_own(tmp_path):
    path = tmp_path / "a.csv"
    before = os.umask(0o027)
    try:
        _files.write_atomically(path, b"1")
        assert path.stat().st_mode & 0o777 == 0o640
        path.chmod(0o600)
        _files.write_atomically(path, b"2")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes() == b"2"


def test_folders_in_a_store_are_open_to_whom_the_store_is(tmp_path):
    before = os.umask(0o022)
    try:
        tmp_path.chmod(0o777)
        results.Store(tmp_path).add(_row(0), {"a": np.zeros(1)})
        tmp_path.chmod(0o700)
        results.Store(tmp_path).add(
            results.make_row(RunSpec(), "fig11", "laptop", scores={"mig": 0.1, "dci": 0.5}),
            {"a": np.zeros(1)},
        )
    finally:
        os.umask(before)
    assert [
        (tmp_path / name).stat().st_mode & 0o777 for name in ("fig9-laptop", "fig11-laptop")
    ] == [0o777, 0o700]


def test_runs_are_filtered_and_are_a_table_of_pandas_with_options_as_columns():
    rows = [
        results.make_row(
            RunSpec(
                seed=seed,
                data_options={"grid_spacing": spacing},
                loss_options={"radius": 3},
                model="mlp",
                model_options={"hidden": [spacing]},
            ),
            "fig9",
            "laptop",
            **(
                {"scores": {"mig": 0.5}, "origin": "generated"} if seed else {"status": "failed: x"}
            ),
        )
        for spacing in (1, 8)
        for seed in range(3)
    ]
    runs = results.RunTable.of("fig9", "laptop", rows)
    assert (len(runs.rows), len(runs.failed)) == (4, 2)
    far = runs.where(lambda row: row["seed"] < 2, grid_spacing=8)
    assert [(row["seed"], row["data_options"]) for row in far.rows] == [(1, {"grid_spacing": 8})]
    assert (far.experiment, far.profile, len(far.failed)) == ("fig9", "laptop", 1)
    frame = runs.frame
    assert frame.groupby("grid_spacing")["seed"].apply(list).to_dict() == {1: [1, 2], 8: [1, 2]}
    assert set(frame["radius"]) == {3}
    assert set(frame["origin"]) == {"generated"}
    assert list(runs.where(grid_spacing=3).frame.columns[:2]) == ["key", "experiment"]
    assert not {"data_options", "loss_options", "model_options"} & set(frame)
    # settings that differ in the model alone are told apart
    assert [tuple(hidden) for hidden in frame["hidden"]] == [(1,), (1,), (8,), (8,)]
    assert [row["seed"] for row in runs.where(hidden=rows[0]["model_options"]["hidden"]).rows] == [
        1,
        2,
    ]


def test_values_are_finite_and_runs_are_described():
    scores = (0.5, None, float("nan"), float("inf"))
    rows = [
        results.make_row(RunSpec(seed=seed), "fig9", "laptop", scores={"mig": score})
        for seed, score in enumerate(scores)
    ]
    runs = results.RunTable.of("fig9", "laptop", rows)
    assert runs.values("mig").tolist() == [0.5]
    assert runs.by_seed("mig") == {0: 0.5}
    assert runs.describe() == "laptop profile: 4 runs of 57,600 steps, batch 256"
    for row, precision in zip(rows, ("bf16", "bf16", "float32", ""), strict=True):
        row["precision"] = precision
    described = results.RunTable.of("fig9", "laptop", rows).describe()
    assert described == "laptop profile: 4 runs of 57,600 steps, batch 256, bfloat16 or float32"
    same = results.RunTable.of("fig9", "laptop", rows[:2])
    assert same.describe() == "laptop profile: 2 runs of 57,600 steps, batch 256"
    assert results.RunTable.of("fig9", "laptop", []).describe() == (
        "no finished runs, laptop profile"
    )
    assert results.RunTable.of("fig9", "", []).describe() == "no finished runs"
    other = results.make_row(RunSpec(beta=0.5), "fig9", "laptop", scores={"mig": 0.25})
    runs = results.RunTable.of("fig9", "laptop", [*rows, other])
    with pytest.raises(ValueError, match="2 runs of fig9 share 1 seeds"):
        runs.by_seed("mig")
    assert runs.by_seed("mig", beta=0.5) == {0: 0.25}


def test_runs_that_are_stored_at_once_are_of_one_table(tmp_path):
    store = results.Store(tmp_path)
    store.add_all([])
    with pytest.raises(ValueError, match="must be of one table"):
        store.add_all([(_row(0), None), ({**_row(1), "profile": "paper"}, None)])


def test_scores_and_facts_that_have_no_column_are_refused():
    with pytest.raises(ValueError, match=r"Unknown option 'fid' of row .*; it takes: mig, dci"):
        results.make_row(RunSpec(), "fig9", "laptop", scores={"fid": 1.0})
    with pytest.raises(
        ValueError, match=r"Unknown option 'gpu' of row .*; it takes: origin, protocol"
    ):
        results.make_row(RunSpec(), "fig9", "laptop", gpu="a")


def test_the_store_lies_where_the_environment_says(tmp_path, monkeypatch):
    assert results.Store().root.name == "results"
    monkeypatch.setenv("VAEDIS_RESULTS", str(tmp_path))
    assert results.Store().root == tmp_path
    assert results.Store().rows("fig9", "laptop") == []
    assert results.Store("elsewhere").root == Path("elsewhere")


def test_a_profile_that_was_only_begun_does_not_hide_a_smaller_one_that_is_complete(tmp_path):
    store = results.Store(tmp_path)
    for spec in grids.grid("fig11", "laptop")[:4]:
        store.add(results.make_row(spec, "fig11", "laptop", scores=SCORES))
    *most, last = [spec for spec in grids.grid("fig11", "paper") if spec.seed == 0]
    for spec in most:
        store.add(results.make_row(spec, "fig11", "paper", scores=SCORES))
    assert store.best("fig11").profile == "laptop"
    # a cell that failed was run
    store.add(results.make_row(last, "fig11", "paper", status="failed: loss not finite"))
    assert store.best("fig11").profile == "paper"


def test_smoke_runs_never_take_the_place_of_others(tmp_path):
    store = results.Store(tmp_path)
    for spec in grids.grid("fig11", "smoke"):
        store.add(results.make_row(spec, "fig11", "smoke", scores=SCORES))
    assert store.best("fig11").profile == "smoke"
    store.add(results.make_row(grids.grid("fig11", "laptop")[0], "fig11", "laptop", scores=SCORES))
    assert store.best("fig11").profile == "laptop"


def test_published_numbers_are_the_projects_whatever_store_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv("VAEDIS_RESULTS", str(tmp_path))
    assert published.table("fig9_scores")[0]["grid_spacing"] == 1.0
    with pytest.raises(ValueError, match="table of published numbers 'fig1'"):
        published.table("fig1")
    monkeypatch.setattr(project, "checkout", lambda: None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="The paper's numbers lie in a copy of the project"):
        published.table("fig9_scores")


@pytest.mark.parametrize(
    "change",
    [
        None,
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content.replace(b"lowest", b"lovest"),
        lambda content: content.replace(b"0.72", b"O.72"),
        lambda content: content.replace(b"0.72", b""),
        lambda content: content.replace(b"0.72", b"inf"),
        lambda content: content.replace(b"0.72", b"nan"),
        lambda content: content.replace(b"ada-gvae,mig", b"ada-gvae\xffmig"),
        lambda content: content.replace(b",1,", b",", 1),
    ],
)
def test_published_numbers_that_are_damaged_are_refused(tmp_path, monkeypatch, change):
    folder = tmp_path / "results" / "published"
    shutil.copytree(project.checkout() / "results" / "published", folder)
    monkeypatch.setattr(project, "checkout", lambda: tmp_path)
    path = folder / "fig9_scores.csv"
    if change is None:
        path.unlink()
    else:
        path.write_bytes(change(path.read_bytes()))
    with pytest.raises(
        (ValueError, FileNotFoundError),
        match=r"fig9_scores.csv (cannot be read .*git checkout|does not exist)",
    ):
        published.table("fig9_scores")
    assert len(published.table("fig6_scores")) == 20


def test_outside_a_checkout_no_other_repository_is_named(monkeypatch):
    assert (
        project.commit() != "unknown" or not (Path(results.__file__).parents[2] / ".git").exists()
    )
    monkeypatch.setattr(project, "checkout", lambda: None)
    assert project.commit() == "unknown"


def test_specifications_with_numbers_of_numpy_can_be_stored(tmp_path):
    spec = RunSpec(
        data_options={"grid_spacing": np.int64(2)},
        model_options={"hidden": np.array([8, 8])},
        model="mlp",
    )
    assert (
        spec.key
        == RunSpec(
            data_options={"grid_spacing": 2}, model_options={"hidden": (8, 8)}, model="mlp"
        ).key
    )
    store = results.Store(tmp_path)
    store.add(results.make_row(spec, "fig9", "laptop", scores={"mig": 0.1, "dci": 0.5}))
    (row,) = store.rows("fig9", "laptop")
    assert results.spec_of(row) == spec


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: RunSpec.from_dict({"nope": 1}), "Unknown field of a RunSpec 'nope'; choose one"),
        (lambda: RunSpec.from_dict({"betta": 1}), "did you mean 'beta'"),
        (lambda: RunSpec(beta=10**400), "beta must be a number that a float can hold"),
        (lambda: RunSpec(lr=10**400), "lr must be a number that a float can hold"),
    ],
)
def test_specifications_that_are_none_are_refused_in_one_sentence(make, says):
    with pytest.raises(ValueError, match=says):
        make()


@pytest.mark.parametrize("name", ["course/mig", "course/z/size"])
def test_a_run_that_recorded_other_scores_than_steps_has_no_course(tmp_path, name):
    store = results.Store(tmp_path)
    arrays = {"course_steps": np.arange(3), "course/mig": np.ones(3), "course/dci": np.ones(3)}
    store.add(_row(0), arrays)
    (course,) = courses.courses(store, [store.runs("fig9", "laptop")]).values()
    assert course.curves[0]["mig"].tolist() == [1, 1, 1]
    store.add(_row(0), {**arrays, name: np.ones((2, 4, 4)) if "z" in name else np.ones(2)})
    with pytest.raises(ValueError, match="recorded 3 steps and not as many scores"):
        courses.courses(store, [store.runs("fig9", "laptop")])


def test_a_run_whose_beta_changes_is_in_no_course_of_constant_ones(tmp_path):
    store = results.Store(tmp_path)
    store.add(results.make_row(RunSpec(warmup=7), "fig9", "laptop", scores=SCORES))
    with pytest.raises(ValueError, match=r"the β of run .* changes"):
        courses.courses(store, [store.runs("fig9", "laptop")])


def test_the_same_arrays_are_the_same_bytes_whatever_the_clock_says(tmp_path, monkeypatch):
    arrays = {
        "a": np.arange(6).reshape(2, 3),
        "b": np.array("text"),
        "c": np.zeros((0, 2), np.float32),
    }
    before = _files.npz(arrays)
    monkeypatch.setattr("time.time", lambda: 2e9)
    monkeypatch.setattr("time.localtime", lambda *a: pytest.fail("no clock"))
    assert _files.npz(arrays) == before
    (tmp_path / "a.npz").write_bytes(before)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as back:
        assert back.files == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(back[name], array)
            assert back[name].dtype == array.dtype
    with pytest.raises(ValueError, match="allow_pickle"):
        _files.npz({"a": np.array([{}], object)})


def test_an_empty_file_is_no_empty_table_and_is_not_replaced(tmp_path):
    store, path = results.Store(tmp_path), tmp_path / "fig9-laptop.csv"
    path.touch()
    with pytest.warns(results.DamagedFile, match="the file is empty"):
        assert store.best("fig9") is None
    with pytest.raises(ValueError, match="the file is empty"):
        store.add(_row(0))
    assert path.read_bytes() == b""
