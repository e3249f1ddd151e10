"""Distances of whole data sets: read back as they were measured, taken for no other images, and
sampled only where no result is stored. Their rows of Table A1 and panels of Figure 3.
"""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import vaedis as vd
from vaedis import _files, distances
from vaedis.data import DSprites, Shapes3D, XYSquares, prepare
from vaedis.data.standins import scenes
from vaedis_companion import cli, published, store
from vaedis_companion.analysis import importances, measured

STORED = ("dsprites-rendered", "shapes3d-rendered", "cars3d-stand-in", "smallnorb-stand-in")


def read_back(result):
    return measured.from_arrays(result.name, result.origin, measured.to_arrays(result))


@pytest.fixture
def uneven():
    """Overlapping squares, seen as two factors of which one has no order."""
    index = torch.arange(64)
    return vd.Relabelled(
        XYSquares(grid_spacing=3, num_squares=1), {"row": index // 8, "place": index * 3 % 8}
    )


def test_what_is_read_back_is_what_was_measured(uneven):
    result = measured.distances(uneven, pairs=3_000)
    again = read_back(result)
    assert (again.pairs, again.method) == (3_000, "exact")
    assert again.random_method == result.random_method
    assert (again.mean, again.std) == (result.mean, result.std)
    assert again.constants_method == result.constants_method
    assert again.random.sample.shape == (2_000,)
    np.testing.assert_allclose(
        np.quantile(again.random.sample, [0.1, 0.5, 1]),
        np.quantile(result.random.sample, [0.1, 0.5, 1]),
        rtol=1e-6,
    )
    assert again.random.standard_errors(100) == result.random.standard_errors(100)
    share = np.linspace(0.01, 1, 50)
    for name, one in result.factors.items():
        other = again.factors[name]
        np.testing.assert_allclose(other.matrix, one.matrix, rtol=1e-7)
        np.testing.assert_allclose(other.square_matrix, one.square_matrix, rtol=1e-6)
        np.testing.assert_array_equal(other.quantile(share), one.quantile(share))
        np.testing.assert_array_equal(other.pairs, one.pairs)
        assert other.standard_errors(40, 900) == one.standard_errors(40, 900)
        # order within traversals is not stored: what is read back says that it is of pooled pairs
        assert other.within is None
        assert "rank correlation of pooled pairs is" in other.verdict()
        assert other.verdict() == dataclasses.replace(one, within=None).verdict()
        assert "mean rank correlation within traversals is" in one.verdict()
        for self_pairs in (False, True):
            before = one.agreement(self_pairs=self_pairs)
            after = other.agreement(self_pairs=self_pairs)
            assert after.rank == pytest.approx(before.rank, abs=1e-12)
            assert after.linear == pytest.approx(before.linear, abs=1e-4)
    assert importances.importances(again) == importances.importances(result)


def test_distances_that_are_all_equal_are_stored_as_such():
    data = XYSquares(image_size=16, square_size=4, grid_size=4)
    again = read_back(measured.distances(data))
    assert again.factors["x_R"].adversarial
    assert again.random_method == "exact"


def test_stored_counts_keep_ranks_and_quantiles_in_fewer_bins(monkeypatch):
    rng = np.random.default_rng(0)
    images = rng.random((192, 8, 8)).cumsum(0).astype(np.float32) / 192
    result = measured.distances(vd.LabelledImages(images, np.arange(192), ["step"]), pairs=100)
    one = result.factors["step"]
    monkeypatch.setattr(measured, "_QUANTILES", 2 * len(one.bins) // 3)
    assert len(one.bins) > 3_000
    other = read_back(result).factors["step"]
    assert len(other.bins) <= len(one.bins) / 2 + 1
    np.testing.assert_array_equal(other.counts.sum(1), one.counts.sum(1))
    for self_pairs in (False, True):
        wanted = one.agreement(self_pairs=self_pairs).rank
        assert other.agreement(self_pairs=self_pairs).rank == pytest.approx(wanted, abs=1e-4)
    shares = np.linspace(0.05, 1, 20)
    np.testing.assert_allclose(other.quantile(shares), one.quantile(shares), rtol=0.02)


@pytest.mark.parametrize("file", STORED)
def test_stored_results_are_exact_and_small(file):
    name, _, origin = file.partition("-")
    result = measured.stored(name, origin)
    assert measured.stored_path(name, origin).stat().st_size < 400 * 1024
    assert (result.method, result.constants_method) == ("exact", "exact")
    for one in result.factors.values():
        assert np.isfinite([one.matrix, one.square_matrix]).all()
        assert (one.matrix == one.matrix.T).all()


@pytest.mark.parametrize("name", ["dsprites", "shapes3d"])
def test_stored_distances_are_those_of_the_images_that_are_rendered_now(name):
    here = measured.benchmark(name)
    assert here.origin == "rendered"
    data = vd.load(name, origin="rendered")
    for factor, one in distances.factor_distances(data, traversals=40).items():
        known = here.factors[factor]
        assert abs(one.mean - known.mean) < 5 * one.standard_errors()[0]
        assert known.exact
        if (name, factor) in published.matrices():
            assert np.corrcoef(one.matrix.flatten(), known.matrix.flatten())[0, 1] > 0.98
    index = data.factors.sample_index(400, generator=torch.Generator().manual_seed(1))
    x = data.images(index).flatten(1, 2).double() / 255
    spread = x.mean(1).std(0) / 20
    assert (abs(x.mean((0, 1)) - torch.tensor(here.mean)) < 5 * spread).all()


def test_stored_distances_are_taken_without_reading_an_image(monkeypatch):
    monkeypatch.setattr(DSprites, "_images", lambda *_: pytest.fail("an image was read"))
    result = measured.distances(vd.load("dsprites"), traversals=2, pairs=10)
    assert (result.method, result.factors["scale"].traversals) == ("exact", 3 * 40 * 32 * 32)
    assert result.random_method == "mean exact, sd of 100,000 random pairs"


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """Stored results are looked for in an empty folder."""
    original = measured.stored_path("dsprites", "rendered")

    def path(name, origin, root=None):
        return tmp_path / "new" / f"{name}-{origin}.npz"

    monkeypatch.setattr(measured, "stored_path", path)
    return original, tmp_path / "new" / original.name


@pytest.mark.parametrize("name", ["shapes3D", "xyobject", "nope"])
def test_distances_of_a_data_set_that_is_not_the_papers_are_refused(name):
    with pytest.raises(ValueError, match=f"Unknown data set '{name}'; choose one of: xysquares"):
        measured.benchmark(name)


@pytest.mark.parametrize("damage", ["cut", "flipped", "another's", "none", "of other factors"])
def test_results_that_are_damaged_are_named_and_measured(elsewhere, damage):
    original, path = elsewhere
    path.parent.mkdir()
    content = bytearray(original.read_bytes())
    content[len(content) // 2] ^= 16
    spoilt = {
        "cut": content[:-9],
        "flipped": content,
        "another's": _files.npz({"random": np.zeros(3)}),
        "none": b"",
        "of other factors": original.with_name("shapes3d-rendered.npz").read_bytes(),
    }
    path.write_bytes(spoilt[damage])
    with pytest.warns(
        store.DamagedFile,
        match=r"dsprites-rendered.npz cannot be read .* vaedis measure --force dsprites",
    ):
        result = measured.distances(vd.load("dsprites"), traversals=2, pairs=10)
    assert result.random_method == "10 random pairs"


def test_images_without_a_stored_result_are_sampled(elsewhere):
    result = measured.distances(Shapes3D(), traversals=3, pairs=50)
    assert (result.method, result.random_method) == ("3 random traversals", "50 random pairs")
    assert list(result.factors) == list(Shapes3D().factors.names)
    assert result.constants_method == "20,000 random images"


def test_nothing_is_fetched_or_drawn_for_a_claim(elsewhere, monkeypatch):
    monkeypatch.setattr(prepare, "prepare", lambda *_, **__: pytest.fail("it was prepared"))
    monkeypatch.setattr(prepare, "stored_facts", lambda *_: None)
    assert measured.benchmark("cars3d") is None
    assert measured.benchmark("smallnorb") is None


def test_distances_of_a_stand_in_that_is_drawn_otherwise_now_do_not_count(monkeypatch):
    monkeypatch.setattr(prepare, "stored_facts", lambda *_: None)
    assert measured.benchmark("smallnorb").origin == "stand-in"
    monkeypatch.setattr(scenes, "VERSION", -1)
    assert measured.benchmark("smallnorb") is None


def test_the_command_measures_what_is_here_once_and_stores_it(
    elsewhere, monkeypatch, tmp_path, small, capsys
):
    places = {"small": {"generated": None, "original": None}}
    sizes = dict(zip(small.factors.names, small.factors.sizes, strict=True))
    monkeypatch.setattr(measured, "BENCHMARKS", {"small": SimpleNamespace(factors=sizes)})
    monkeypatch.setattr(measured, "DATA_SETS", places)
    monkeypatch.setattr(measured, "load", lambda name, origin: small)
    monkeypatch.setattr(measured, "_is_here", lambda name, origin: origin == "generated")
    assert cli.main(["measure"]) == 0
    assert "small, original: no images on this machine" in capsys.readouterr().err
    arrays = _files.load_npz(tmp_path / "new" / "small-generated.npz")
    result = measured.from_arrays("small", "generated", arrays)
    assert result.factors["x_R"].exact
    assert result.factors["x_R"].mean == measured.distances(small).factors["x_R"].mean
    assert result.mean == small.mean
    assert cli.main(["measure", "small"]) == 0
    assert "small, generated: stored already" in capsys.readouterr().err
    assert cli.main(["measure", "--force", "small"]) == 0
    assert " s, small-generated.npz" in capsys.readouterr().err
    assert cli.main(["measure", "large"]) == 2
    assert "Unknown data set 'large'; choose one of: small" in capsys.readouterr().err


def test_a_factor_that_few_traversals_stand_for_is_exact():
    result = measured.distances(XYSquares(), traversals=32, pairs=100)
    assert (result.method, result.random_method) == ("exact", "exact")
    np.testing.assert_array_equal(
        result.factors["y_G"].matrix,
        distances.traversal_matrices(XYSquares(), factors=["y_G"])["y_G"],
    )


def test_other_images_of_the_same_name_are_not_taken_for_those_measured(uneven):
    index = torch.arange(0, 480_000, 48_000)
    other = vd.Relabelled(Shapes3D(), {"hue": torch.arange(10)}, index=index)
    other.name = "shapes3d"
    assert not measured.is_benchmark(other)
    assert not measured.is_benchmark(uneven)
    assert measured.is_benchmark(Shapes3D())


@pytest.mark.parametrize("traversals", [None, 1])
def test_constants_are_means_over_images(tiny, traversals):
    data = vd.Relabelled(tiny, {"place": torch.arange(16)})
    result = measured.distances(data, traversals=traversals, pairs=10)
    assert result.constants_method == ("20,000 random images" if traversals else "exact")
    assert result.mean == pytest.approx([16 / 256, 0, 0])
    assert result.std == pytest.approx([np.sqrt(1 / 16 * 15 / 16 * 256 / 255), 0, 0])


def test_table_a1_compares_within_what_sampling_allows():
    result = measured.distances(XYSquares())
    rows = importances.importances(result)
    assert [row.factor for row in rows] == ["random", "x_R", "y_R", "x_G", "y_G", "x_B", "y_B"]
    assert all(row.agrees for row in rows)
    random = rows[0]
    assert (random.published_mean, random.published_sd) == (0.0308, 0.0022)
    assert random.mean_error == pytest.approx(random.sd / np.sqrt(50_000))
    assert rows[1].mean_error == rows[1].sd_error == 0
    wider = importances.importances(measured.distances(XYSquares(grid_spacing=7)))
    assert not any(row.agrees for row in wider if row.factor != "random")
    unknown = importances.importances(dataclasses.replace(result, name="else"))
    assert all(row.agrees is None for row in unknown)


def test_figure_3_is_correlated_with_its_panels():
    panel = published.matrices()["dsprites", "scale"]
    matrices = {"scale": 7 * panel, "shape": np.ones((3, 3)), "position_x": np.ones((8, 8))}
    correlations = importances.matrix_correlations("dsprites", matrices)
    assert correlations == {"scale": pytest.approx(1), "shape": None}
    sample = distances.traversal_matrices(DSprites(), factors=["scale"], traversals=40)
    assert importances.matrix_correlations("dsprites", sample)["scale"] > 0.99


def test_a_stand_ins_distances_under_another_name_are_not_read(elsewhere):
    original, path = elsewhere
    path.parent.mkdir()
    path = path.with_name("cars3d-original.npz")
    path.write_bytes(original.with_name("cars3d-stand-in.npz").read_bytes())
    with pytest.warns(_files.DamagedFile, match="distances of a stand-in, not of original images"):
        assert measured.stored("cars3d", "original") is None


@pytest.mark.parametrize("kind", ["whole", "damaged", "of an older drawing"])
def test_only_what_is_read_is_stored_already(elsewhere, monkeypatch, kind):
    original, path = elsewhere
    path.parent.mkdir()
    name, origin = ("cars3d", "stand-in") if "drawing" in kind else ("dsprites", "rendered")
    source = original.with_name(f"{name}-{origin}.npz")
    path = path.with_name(source.name)
    path.write_bytes(source.read_bytes() if kind == "whole" else b"junk")
    if "drawing" in kind:
        arrays = dict(np.load(source))
        path.write_bytes(_files.npz(arrays | {"drawing": arrays["drawing"] - 1}))
    result = measured.from_arrays(name, origin, dict(np.load(source)))
    monkeypatch.setattr(measured, "_is_here", lambda *_: True)
    monkeypatch.setattr(measured, "load", lambda *_, **__: None)
    monkeypatch.setattr(measured, "_measure", lambda *_: result)
    said = measured._measure_and_store(name, origin, False)
    assert (said == "stored already") == (kind == "whole")
    assert measured.stored(name, origin).origin == origin


def test_a_store_that_is_a_file_is_told_before_anything_is_measured(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("VAEDIS_RESULTS", str(tmp_path / "file"))
    monkeypatch.setattr(measured, "_measure", lambda *_: pytest.fail("it was measured"))
    with pytest.raises(OSError, match=r"Results cannot be stored in .*; name another folder\."):
        measured.measure_data_sets(["dsprites"])
