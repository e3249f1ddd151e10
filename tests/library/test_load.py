"""`vd.load` takes the original where it is on disk, and otherwise what the reader was told of; what
the command says is what is there.
"""

import sys
import types

import numpy as np
import pytest
import torch
import toy_data

import vaedis as vd
from vaedis.data import DATA_SETS, DataError, StandInWarning, Stored, prepare, standins
from vaedis.data.originals import catalog, readers
from vaedis_companion import cli
from vaedis_companion.book import executions

STAND_IN = 255 - toy_data.IMAGES


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """The toy as a data set that has an original and a stand-in, and none of them on disk."""
    toy_data.install(monkeypatch, tmp_path / "cache", "http://127.0.0.1:9/toy.bin")
    monkeypatch.setitem(DATA_SETS, "toy", {"original": Stored, "stand-in": Stored})
    monkeypatch.setitem(prepare.STORED_ORIGINS, "toy", ("original", "stand-in"))
    monkeypatch.setattr(prepare, "_warned", set())
    monkeypatch.setattr(prepare, "_failures", {})

    drawing = types.SimpleNamespace(VERSION=1, draw=lambda name, advance: STAND_IN)
    monkeypatch.setitem(sys.modules, "vaedis.data.standins.scenes", drawing)
    monkeypatch.setattr(standins, "scenes", drawing, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def source(tmp_path):
    """A folder with the original."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / toy_data.FILE).write_bytes(toy_data.CONTENT)
    return tmp_path / "source"


def origin_of(data) -> str:
    """The origin that the data set states, after a look at whether it is true."""
    images = {"original": toy_data.IMAGES, "stand-in": STAND_IN}[data.origin]
    np.testing.assert_array_equal(data.images(torch.arange(len(data))).numpy(), images)
    return data.origin


def test_offline_the_stand_in_is_used_and_said_so_once(cache):
    with pytest.warns(
        StandInWarning,
        match=r"^The original toy .*VAEDIS_OFFLINE is set.*stand-in.*: vaedis data prepare toy\.$",
    ) as told:
        data = vd.load("toy")
    assert told[0].filename == __file__
    assert origin_of(data) == "stand-in"
    assert origin_of(vd.load("toy")) == "stand-in"
    assert {path.name for path in (cache / "toy").iterdir()} - {".lock"} == {
        "stand-in.npy",
        "stand-in.json",
    }


def test_online_the_original_is_fetched(cache, monkeypatch):
    with toy_data.serving(monkeypatch) as server:
        monkeypatch.setitem(catalog.BENCHMARKS, "toy", toy_data.benchmark(server.url("good")))
        assert origin_of(vd.load("toy")) == "original"
        monkeypatch.setenv("VAEDIS_OFFLINE", "1")
        assert origin_of(vd.load("toy")) == "original"
        assert server.count("good") == 1


def test_online_but_out_of_reach_a_server_is_asked_once(cache, monkeypatch):
    with toy_data.serving(monkeypatch) as server:
        monkeypatch.setitem(catalog.BENCHMARKS, "toy", toy_data.benchmark(server.url("broken")))
        with pytest.warns(StandInWarning, match="500: Internal Server Error"):
            assert origin_of(vd.load("toy")) == "stand-in"
        assert origin_of(vd.load("toy")) == "stand-in"
        assert server.count("broken") == 1


def test_the_stand_in_is_never_preferred(cache, monkeypatch, source):
    vd.load("toy", origin="stand-in")
    prepare.prepare("toy", source=source)
    assert origin_of(vd.load("toy")) == "original"
    assert origin_of(vd.load("toy", origin="stand-in")) == "stand-in"


def test_files_that_are_there_are_converted_offline(cache, source):
    (cache / "toy" / "files").mkdir(parents=True)
    (source / toy_data.FILE).rename(cache / "toy" / "files" / toy_data.FILE)
    assert origin_of(vd.load("toy")) == "original"


def test_insisting_on_the_original_is_one_sentence(cache):
    with pytest.raises(
        DataError,
        match=r"^toy\.bin cannot be had: VAEDIS_OFFLINE forbids to ask for it; try again, or .*\.$",
    ):
        vd.load("toy", origin="original")


def test_a_page_is_run_again_once_an_original_is_there(cache, source):
    assert executions.originals() == {}
    vd.load("toy", origin="stand-in")
    assert executions.originals() == {}
    prepare.prepare("toy", source=source)
    assert executions.originals() == {"toy": toy_data.SHA256}


def test_a_stand_in_is_drawn_anew_when_its_drawing_has_changed(cache, monkeypatch):
    vd.load("toy", origin="stand-in")
    before = prepare.stored_path("toy", "stand-in").stat().st_ino
    monkeypatch.setattr(standins.scenes, "VERSION", 2)
    assert prepare.stored_facts("toy", "stand-in") is None
    assert origin_of(vd.load("toy", origin="stand-in")) == "stand-in"
    assert prepare.stored_facts("toy", "stand-in")["drawing"] == 2
    assert prepare.stored_path("toy", "stand-in").stat().st_ino != before


def test_insisting_on_the_stand_in_warns_of_nothing(cache):
    assert origin_of(vd.load("toy", origin="stand-in")) == "stand-in"


def test_a_data_set_that_can_be_rendered_is(monkeypatch):
    data = vd.load("dsprites")
    assert data.origin == "rendered"
    assert len(data) == 737_280
    with pytest.raises(DataError, match="VAEDIS_OFFLINE forbids"):
        vd.load("dsprites", origin="original")


def test_a_generated_data_set_has_one_origin():
    assert (
        vd.load("xysquares").origin
        == vd.load("xysquares", origin="generated").origin
        == "generated"
    )
    with pytest.raises(
        ValueError,
        match=r"Unknown origin of data set 'xysquares' 'original'; choose one of: auto, generated\.",
    ):
        vd.load("xysquares", origin="original")


def test_options_are_those_of_the_origins(cache):
    vd.load("toy", origin="stand-in")
    with pytest.raises(
        ValueError, match=r"Unknown option 'grid' of data set 'toy'; it takes none\."
    ):
        vd.load("toy", origin="stand-in", grid=3)


def test_a_run_can_ask_for_an_origin(cache):
    spec = vd.RunSpec(
        data="toy", data_options={"origin": "stand-in"}, model="mlp", latents=2, steps=1, batch=4
    )
    assert vd.fit(spec, device="cpu").data.origin == "stand-in"


# the command


def test_status_before_and_after(cache, source, capsys):
    assert cli.main(["data", "status"]) == 0
    before = capsys.readouterr().out.splitlines()
    assert before[0] == f"cache: {cache}; offline, since VAEDIS_OFFLINE is set"
    lines = [line.split() for line in before[2:]]
    assert [line[:2] for line in lines] == [
        [name, origin] for name, origins in DATA_SETS.items() for origin in origins
    ]
    assert ["toy", "original", "no", "-", "-"] in lines
    assert ["xysquares", "generated", "not", "needed", "-", "-"] in lines
    vd.load("toy", origin="stand-in")
    prepare.prepare("toy", source=source)
    assert cli.main(["data", "status", "--verify"]) == 0
    after = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["toy", "original", "verified", "262", "kB", toy_data.SHA256] in after
    assert next(line for line in after if line[:2] == ["toy", "stand-in"])[2] == "verified"


def test_status_finds_damage(cache, source, capsys):
    prepare.prepare("toy", source=source)
    path = prepare.stored_path("toy", "original")
    with path.open("r+b") as file:
        file.seek(-1, 2)
        file.write(bytes([255 - toy_data.CONTENT[-1]]))
    assert cli.main(["data", "status"]) == 0
    assert cli.main(["data", "status", "--verify"]) == 1
    assert capsys.readouterr().err == "Damaged images; run: vaedis data prepare toy --force.\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["--origin", "standin"],
            "Unknown origin to prepare 'standin'; choose one of: original, stand-in",
        ),
        (
            ["toy", "--origin", "stand-in", "--from", "there"],
            "--from names where originals are, and stand-in images are made here",
        ),
    ],
)
def test_a_request_to_prepare_that_makes_no_sense_is_refused(cache, capsys, words, says):
    assert cli.main(["data", "prepare", *words]) == 2
    assert says in capsys.readouterr().err


def test_prepare_says_first_what_it_will_do(cache, source, capsys):
    assert cli.main(["data", "prepare", "toy", "--from", str(source)]) == 0
    plan, done = capsys.readouterr().out.splitlines()
    path = cache / "toy" / "original.npy"
    assert plan == f"toy: will fetch toy.bin (262 kB) and convert to 262 kB in {path}"
    assert done == f"toy: original ready, 262 kB, sha256 {toy_data.SHA256}"
    assert cli.main(["data", "prepare", "toy"]) == 0
    assert capsys.readouterr().out == "toy: original is on disk already\n"


def test_status_tells_of_facts_that_are_damaged(cache, source, capsys):
    prepare.prepare("toy", source=source)
    facts = cache / "toy" / "original.json"
    facts.write_text(facts.read_text().replace("sha256", "sha"))
    assert cli.main(["data", "status"]) == 1
    said = capsys.readouterr()
    assert ["toy", "original", "damaged", "-", "-"] in [
        line.split() for line in said.out.splitlines()
    ]
    assert said.err == "Damaged images; run: vaedis data prepare toy --force.\n"
    assert cli.main(["data", "prepare", "toy", "--force"]) == 0
    assert cli.main(["data", "status", "--verify"]) == 0


def test_prepare_goes_on_after_one_failed(cache, source, monkeypatch, capsys):
    monkeypatch.setitem(
        catalog.BENCHMARKS, "other", toy_data.benchmark("http://127.0.0.1:9/other.bin")
    )
    monkeypatch.setitem(prepare.STORED_ORIGINS, "other", ("original",))

    def refuse(paths, sizes):
        raise ValueError(f"{paths[0]} is damaged.")

    monkeypatch.setitem(readers.READERS, "other", refuse)
    assert cli.main(["data", "prepare", "other", "toy", "--from", str(source)]) == 1
    told = capsys.readouterr()
    assert told.err.startswith("vaedis: other cannot be converted")
    assert told.err.count("\n") == 1
    assert "toy: original ready" in told.out


def test_prepare_offline_is_one_line(cache, capsys):
    assert cli.main(["data", "prepare", "toy"]) == 1
    error = capsys.readouterr().err
    assert "VAEDIS_OFFLINE forbids" in error
    assert error.count("\n") == 1


def test_prepare_the_stand_in(cache, capsys):
    assert cli.main(["data", "prepare", "toy", "--origin", "stand-in"]) == 0
    plan, done = capsys.readouterr().out.splitlines()
    assert plan.startswith("toy: will draw the stand-in")
    assert done.startswith("toy: stand-in ready")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["mnist"],
            "Unknown data set with files 'mnist'; choose one of: dsprites, shapes3d, cars3d, smallnorb, toy.",
        ),
        (
            ["dsprites", "--origin", "stand-in"],
            "Unknown origin of data set 'dsprites' to prepare 'stand-in'; choose one of: original.",
        ),
        (
            ["toy", "--from", "ftp://x"],
            "The source of data must be a folder, or a file://, http:// or https:// URL with a host and without user name, '?' and '#'.",
        ),
    ],
)
def test_what_makes_no_sense_is_one_line(cache, capsys, arguments, message):
    assert cli.main(["data", "prepare", *arguments]) == 2
    assert capsys.readouterr().err == f"vaedis: {message}\n"


def test_prepare_takes_all_that_have_the_origin(monkeypatch):
    asked = []
    monkeypatch.setattr(
        prepare,
        "prepare",
        lambda name, origin, **_: asked.append((name, origin)) or {"bytes": 1, "sha256": "-"},
    )
    cli.main(["data", "prepare", "--origin", "stand-in"])
    assert asked == [("cars3d", "stand-in"), ("smallnorb", "stand-in")]
