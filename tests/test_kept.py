"""What is kept of whole data sets: read back as it was measured, taken for no other images, and
sampled only where nothing is kept.
"""

import dataclasses
import shutil

import numpy as np
import pytest
import torch

import vaedis as vd
from vaedis import _files, distances
from vaedis.data import DSprites, Shapes3D, XYSquares, shapes3d
from vaedis.data.originals.catalog import BENCHMARKS
from vaedis_companion import importances, measured, store

KEPT = ("dsprites-rendered", "shapes3d-rendered", "cars3d-stand-in", "smallnorb-stand-in")


@pytest.fixture
def uneven():
    """Overlapping squares, seen as two factors of which one has no order."""
    places = torch.arange(64)
    return vd.Relabelled(
        XYSquares(grid_spacing=3, num_squares=1), {"row": places // 8, "place": places * 3 % 8}
    )


def test_what_is_read_back_is_what_was_measured(uneven):
    found = measured.distances(uneven, pairs=3_000)
    again = measured._unpack(uneven.factors.names, uneven.factors.sizes, measured._pack(found))
    assert (again.pairs, again.how, again.random_how) == (3_000, "exact", found.random_how)
    assert again.random.sample.shape == (2_000,)
    np.testing.assert_allclose(
        np.quantile(again.random.sample, [0.1, 0.5, 1]),
        np.quantile(found.random.sample, [0.1, 0.5, 1]),
        rtol=1e-6,
    )
    assert again.random.standard_errors(100) == found.random.standard_errors(100)
    share = np.linspace(0.01, 1, 50)
    for name, one in found.along.items():
        other = again.along[name]
        np.testing.assert_allclose(other.matrix, one.matrix, rtol=1e-7)
        np.testing.assert_allclose(other.square_matrix, one.square_matrix, rtol=1e-3)
        np.testing.assert_array_equal(other.quantile(share), one.quantile(share))
        np.testing.assert_array_equal(other.pairs, one.pairs)
        assert other.standard_errors(40, 900) == one.standard_errors(40, 900)
        # order within traversals is not stored: what is read back says that it is of pooled pairs
        assert other.within is None
        assert "rank correlation of pooled pairs is" in other.verdict()
        assert other.verdict() == dataclasses.replace(one, within=None).verdict()
        assert "mean rank correlation within traversals is" in one.verdict()
        for self_pairs in (False, True):
            before, after = (
                one.agreement(self_pairs=self_pairs),
                other.agreement(self_pairs=self_pairs),
            )
            assert after.rank == pytest.approx(before.rank, abs=1e-12)
            assert after.linear == pytest.approx(before.linear, abs=1e-4)
    rows = [importances.importances("uneven", each.along, each.random) for each in (found, again)]
    assert rows[0] == rows[1]


def test_distances_that_are_all_equal_are_kept_as_such():
    data = XYSquares(image_size=16, square_size=4, grid_size=4)
    again = measured._unpack(
        data.factors.names, data.factors.sizes, measured._pack(measured.distances(data))
    )
    assert again.along["x_R"].adversarial
    assert again.random_how == "exact"


@pytest.mark.parametrize("file", KEPT)
def test_both_files_of_a_data_set_say_the_same_and_are_small(file):
    name, _, origin = file.partition("-")
    plain, path = measured.facts(name, origin), measured.kept_at(name, origin).with_suffix(".npz")
    factors = BENCHMARKS[name].factors
    found = measured._unpack(
        tuple(factors), tuple(factors.values()), measured._arrays(name, origin)
    )
    assert path.stat().st_size < 300 * 1024
    assert found.how == "exact"
    assert all(np.isfinite([one.matrix, one.square_matrix]).all() for one in found.along.values())
    assert plain["scales"]["constants"] == "exact"
    assert plain["scales"]["random"] == found.random_how
    for row in importances.importances(name, found.along, found.random):
        assert [row.mean, row.sd, row.mean_error, row.sd_error] == pytest.approx(
            plain["rows"][row.factor], rel=1e-9
        ), row.factor
    for factor, matrix in plain["matrices"].items():
        np.testing.assert_allclose(found.along[factor].matrix, matrix, rtol=1e-6)


def test_kept_distances_are_taken_without_reading_an_image(monkeypatch):
    monkeypatch.setattr(DSprites, "_images", lambda *_: pytest.fail("an image was read"))
    found = measured.distances(vd.load("dsprites"), traversals=2, pairs=10)
    assert (found.how, found.along["scale"].traversals) == ("exact", 3 * 40 * 32 * 32)
    assert found.random_how == "mean exact, sd of 100,000 random pairs"
    assert measured.constants(vd.load("dsprites"))[2] == "exact"


@pytest.fixture
def damaged(monkeypatch, tmp_path):
    """A copy of what is kept of dSprites, whose files may be spoilt."""
    origin = measured.kept_at("dsprites", "rendered")
    for suffix in (".json", ".npz"):
        shutil.copy(origin.with_suffix(suffix), tmp_path)
    monkeypatch.setattr(
        measured, "kept_at", lambda name, origin: tmp_path / f"{name}-{origin}.json"
    )
    return tmp_path / "dsprites-rendered.json"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"rows"', '"rovs"'),
        lambda text: text.replace('"scales"', '"skales"'),
        lambda text: text.replace('"constants"', '"konstants"'),
        lambda text: text.replace('"std": [', '"std": ["a", '),
        lambda text: text.replace('"made_by"', '"made_bi"'),
        lambda text: "[" * 100_000,
        lambda text: "null",
        lambda text: "",
    ],
)
def test_facts_that_are_damaged_are_named_and_count_as_missing(damaged, change):
    damaged.write_text(change(damaged.read_text()))
    with pytest.warns(
        store.DamagedFile,
        match=r"dsprites-rendered.json cannot be read .* python -m vaedis_companion.claims --force dsprites",
    ):
        assert measured.facts("dsprites", "rendered") is None


@pytest.mark.parametrize("damage", ["cut", "flipped", "another's"])
def test_distances_that_are_damaged_are_named_and_measured(damaged, damage):
    path = damaged.with_suffix(".npz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    if damage == "another's":
        path.write_bytes(_files.npz({"random": np.zeros(3)}))
    else:
        path.write_bytes(content[:-9] if damage == "cut" else content)
    with pytest.warns(store.DamagedFile, match=r"dsprites-rendered.npz cannot be read"):
        found = measured.distances(vd.load("dsprites"), traversals=2, pairs=10)
    assert found.random_how == "10 random pairs"


def test_images_of_which_nothing_is_kept_are_sampled(monkeypatch, tmp_path):
    monkeypatch.setattr(
        measured, "kept_at", lambda name, origin: tmp_path / f"{name}-{origin}.json"
    )
    found = measured.distances(Shapes3D(), traversals=3, pairs=50)
    assert (found.how, found.random_how) == ("3 random traversals", "50 random pairs")
    assert list(found.along) == list(Shapes3D().factors.names)
    assert measured.constants(Shapes3D())[2] == "20,000 random images"


def test_a_factor_that_few_traversals_stand_for_is_exact():
    found = measured.distances(XYSquares(), traversals=32, pairs=100)
    assert (found.how, found.random_how) == ("exact", "exact")
    np.testing.assert_array_equal(
        found.along["y_G"].matrix, distances.traversal_matrices(XYSquares(), factors=["y_G"])["y_G"]
    )


def test_other_images_of_the_same_name_are_not_taken_for_those_measured(uneven):
    other = vd.Relabelled(
        Shapes3D(), {"hue": torch.arange(10)}, index=torch.arange(0, 480_000, 48_000)
    )
    other.name = "shapes3d"
    assert not measured.is_benchmark(other)
    assert not measured.is_benchmark(uneven)
    assert measured.is_benchmark(Shapes3D())


def test_constants_are_means_over_images(tiny):
    data = vd.Relabelled(tiny, {"place": torch.arange(16)})
    for whole, said in ((True, "exact"), (False, "20,000 random images")):
        mean, std, how = measured.measure_constants(data, whole=whole)
        assert how == said
        assert mean == pytest.approx([16 / 256, 0, 0])
        assert std == pytest.approx([np.sqrt(1 / 16 * 15 / 16 * 256 / 255), 0, 0])


def test_constants_of_3d_shapes_are_those_of_all_its_images():
    # an image's channel is the sum of four rows of the table, so that sums of their products tell
    # its mean and std
    table, tone_of_hue = shapes3d._table(torch.device("cpu"))
    rows = table.view(21, 480, -1).transpose(0, 1).double()
    products, sums = rows @ rows.mT, rows.sum(2)
    mean, std, n = [], [], rows.shape[2]
    for channel in range(3):
        tones = torch.cartesian_prod(*[tone_of_hue[:, channel].long()] * 3)
        used = torch.zeros(1_000, 21, dtype=torch.float64)
        for surface in range(3):
            used[torch.arange(1_000), 6 * surface + tones[:, surface]] = 1
        used[:, 18 + channel] = 1
        first = sums @ used.T
        second = torch.einsum("gij,ci,cj->gc", products, used, used)
        mean.append(float(first.mean()) / n / 255)
        std.append(float(((n * second - first**2) / (n * (n - 1))).sqrt().mean()) / 255)
    plain = measured.facts("shapes3d", "rendered")
    assert plain["mean"] == pytest.approx(mean, rel=1e-12)
    assert plain["std"] == pytest.approx(std, rel=1e-9)
