"""Verdicts must follow from the numbers: stores and data sets are made up here so that each verdict
has to come out.
"""

import csv
import re
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vaedis.data.originals.catalog import BENCHMARKS
from vaedis.distances import RandomPairs
from vaedis_companion import claims, grids, project, published, store as results
from vaedis_companion.analysis import importances, measured
from vaedis_companion.analysis.importances import Importance
from vaedis_companion.claims import base, benchmarks, beyond, stored as runs

TOP = Path(__file__).resolve().parents[2]
STEP = np.abs(np.arange(8)[:, None] - np.arange(8)).astype(float)
CONSTANT = np.ones((8, 8)) - np.eye(8)
DISTANCES = ("Figure 3", "Figure A1", "Table A1", "Table A2")


class MadeUp(results.Store):
    """A store in memory, with the measured distances of the project."""

    def __init__(self):
        super().__init__()
        self.made, self.kept = {}, {}

    def add(self, row, arrays=None):
        self.made.setdefault((row["experiment"], row["profile"]), []).append(row)
        self.kept[row["key"]] = arrays or {}

    def rows(self, experiment, profile):
        return list(self.made.get((experiment, profile), []))

    def tables(self):
        return sorted(self.made)

    def arrays(self, row):
        return self.kept[row["key"]]


def _store(
    experiment, score_of, arrays_of=lambda spec: {}, *, grid=None, scale="laptop", store=None
):
    """A store in which every run of a grid has the score and the arrays that functions of its
    specification give.
    """
    store = store or MadeUp()
    for spec in grid or grids.grid(experiment, scale):
        value = score_of(spec)
        origin = spec.data_options.get("origin", "generated")
        row = results.make_row(
            spec,
            experiment,
            scale,
            scores={"mig": value, "dci": value, "final_kl": value},
            origin=origin,
        )
        store.add(row, arrays_of(spec))
    return store


@pytest.fixture(scope="module", autouse=True)
def _one_commit():
    """Asking git for every made-up row would take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(project, "commit", lambda: "made up")
        yield


def _claim(**changes):
    fields = {
        "where": "Figure 1",
        "statement": "a < b",
        "published": claims.Value("{n}", {"n": 1}),
        "here": claims.Value("{n}", {"n": 2}),
        "provenance": claims.Provenance("exact"),
        "tolerance": claims.Value("± {limit}", {"limit": 1}),
        "within": True,
        "anchor": "01_introduction#the-argument",
        "why": "because",
    }
    return claims.Claim(**{**fields, **changes})


def _found(store, where, *contains):
    picked = [
        c
        for c in claims.all_claims(store, where=[where])
        if all(text in c.statement for text in contains)
    ]
    assert picked
    return picked


def _verdicts(store, where, *contains):
    return {claim.verdict for claim in _found(store, where, *contains)}


def test_a_number_outside_every_tolerance_is_never_called_reproduced():
    assert _claim(within=False).verdict == "not reproduced"
    assert _claim(within=False, direction=True).verdict == "in direction"
    assert _claim(within=True, direction=False).verdict == "reproduced"
    assert _claim(within=None, direction=True).verdict == "not tested"
    without = claims.Provenance("a stand-in", needs="vaedis data prepare cars3d")
    assert _claim(within=None, provenance=without).verdict == "needs the originals"
    assert _claim(within=False, provenance=without).verdict == "not reproduced"


def test_a_score_at_chance_is_not_within_a_range_that_starts_near_zero():
    assert not runs.in_range(0.006, 0.05, 0.38)
    assert runs.in_range(0.03, 0.05, 0.38)
    assert runs.in_range(0.68, 0.72, 0.91)
    assert not runs.in_range(0.66, 0.72, 0.91)
    assert runs.in_range(0.0, 0.0, 0.04)


def test_without_runs_nothing_about_them_is_tested_and_all_exact_distances_of_xysquares_are():
    found = claims.all_claims(MadeUp())
    judged = {c.where for c in found if c.tested}
    assert judged == {"Section 5.1", "Figure 8", "Section 6.1", "Section 7", *DISTANCES}
    assert {c.verdict for c in found if "XYSquares" in c.statement and c.where in judged} == {
        "reproduced"
    }
    assert all(
        c.here == "–"
        for c in found
        if c.where in ("Figure 6", "Figure 9", "Figure 11", "Section 8", "Appendix A")
    )


def test_distances_of_benchmarks_are_those_of_the_store_that_is_given(tmp_path):
    found = claims.all_claims(results.Store(tmp_path), where=DISTANCES)
    assert {c.verdict for c in found if "XYSquares" in c.statement} == {"reproduced"}
    assert not any(c.tested for c in found if "XYSquares" not in c.statement)


def test_only_the_places_asked_for_are_made():
    store = MadeUp()
    assert {c.where for c in claims.all_claims(store, where=["Figure 8", "Figure 10"])} == {
        "Figure 8",
        "Figure 10",
    }
    with pytest.raises(ValueError, match=r"Unknown place of claims 'Figure 99'"):
        claims.all_claims(store, where=["Figure 99"])


# Figures 6, 9, 11 and what the conclusion draws from them


@pytest.mark.parametrize("place", ["Figure 9", "Averaging"])
def test_one_place_is_a_name_and_not_letters(place):
    alone = claims.all_claims(MadeUp(), where=place)
    assert alone == claims.all_claims(MadeUp(), where=[place])
    assert {claim.where for claim in alone} == {place}


def test_where_no_distances_are_stored_claims_say_how_they_are_made(tmp_path, monkeypatch):
    monkeypatch.setenv("VAEDIS_RESULTS", str(tmp_path))
    made = [c for c in claims.all_claims(where="Table A2") if "XYSquares" not in c.statement]
    assert {c.verdict for c in made} == {"not tested"}
    assert {str(c.provenance) for c in made} == {"no stored distances; vaedis measure makes them"}


@pytest.mark.parametrize("damage", ["gone", "flipped"])
def test_claims_are_made_although_half_of_the_arrays_are_damaged(tmp_path, damage):
    store = results.Store(tmp_path)
    arrays = {
        f"{level}/{f}": STEP for level in ("x", "z", "kl", "reconstruction") for f in ("x_R", "y_R")
    }
    whole = _store("fig11", lambda spec: 0.1, lambda spec: arrays, store=store)
    for path in sorted(tmp_path.rglob("*.npz"))[::2]:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.unlink() if damage == "gone" else path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", results.DamagedFile)
        made = claims.all_claims(whole, where="Figure 10")
    assert [claim.verdict for claim in made] == ["reproduced", "not reproduced"]


def _by_data(**scores):
    return lambda spec: scores.get(spec.data, 0.0)


def _by_loss(blur, mse):
    return lambda spec: (
        blur if "box-blur" in (spec.loss, spec.data_options.get("distance")) else mse
    )


def _by_spacing(scores):
    """Scores by spacing, others at 0; of each seed where they are tuples."""

    def score(spec):
        value = scores.get(spec.data_options["grid_spacing"], 0.0)
        return value[spec.seed] if isinstance(value, tuple) else value

    return score


# inside the ranges of both scores and frameworks, and no better than the paper's on XYSquares
AS_PUBLISHED = _by_data(xysquares=0.02, shapes3d=0.5, dsprites=0.3, cars3d=0.1, smallnorb=0.2)
FALLING = {1: 0.8, 2: 0.7, 3: 0.5, 4: 0.2, 5: 0.05, 6: 0.04, 7: 0.03, 8: 0.02}
# medians of 0.3 to 0.4 at spacing 8
FAR = (0.3, 0.3, 0.4, 0.4, 0.4)


@pytest.mark.parametrize(
    ("experiment", "score_of", "where", "words", "expected"),
    [
        ("fig6", AS_PUBLISHED, "Figure 6", ["3D Shapes, rendered", "VAE: "], "reproduced"),
        ("fig6", AS_PUBLISHED, "Figure 6", ["XYSquares: "], "reproduced"),
        ("fig6", AS_PUBLISHED, "Figure 6", ["3D Shapes, rendered", "above the"], "reproduced"),
        *(
            ("fig6", _by_data(xysquares=0.9, shapes3d=shapes, dsprites=sprites), "Figure 6", *case)
            for shapes, sprites, *case in [
                (1.5, 0.93, ["3D Shapes, rendered", "VAE: "], "in direction"),
                (1.5, 0.93, ["XYSquares: "], "not reproduced"),
                # above, but by less than the tolerance
                (1.5, 0.93, ["dSprites, rendered", "above the best"], "in direction"),
                (0.5, 0.0, ["dSprites, rendered", "Ada-GVAE"], "not reproduced"),
                (0.5, 0.0, ["3D Shapes, rendered", "above the best"], "not reproduced"),
            ]
        ),
        ("fig6", lambda spec: 0.5, "Section 5.3", ["smaller β"], "not tested"),
        ("fig9", _by_spacing(FALLING), "Figure 9", ["Ada-GVAE, spacing 1:", "MIG"], "reproduced"),
        ("fig9", _by_spacing(FALLING), "Figure 9", ["Ada-GVAE, spacing 8", "MIG"], "reproduced"),
        *(
            ("fig9", _by_spacing(dict.fromkeys(range(1, 8), 0.45) | scores), "Figure 9", *case)
            for scores, *case in [
                ({1: 0.46, 8: 0.44}, ["Ada-GVAE, spacing 1:", "MIG"], "in direction"),
                ({1: 0.46, 8: 0.44}, ["Ada-GVAE, spacing 8:", "MIG"], "in direction"),
                ({8: 0.99}, ["Ada-GVAE, spacing 1:", "MIG"], "not reproduced"),
                ({8: 0.99}, ["Ada-GVAE, spacing 8:", "MIG"], "not reproduced"),
            ]
        ),
        ("fig11", _by_loss(0.95, 0.3), "Figure 11", ["MIG"], "in direction"),
        ("fig11", _by_loss(0.0, 0.95), "Figure 11", ["DCI", "MSE"], "not reproduced"),
        # within its range box blur must be better than MSE, too
        ("fig11", lambda spec: 0.014, "Figure 11", ["β-VAE with MSE: MIG"], "reproduced"),
        ("fig11", lambda spec: 0.014, "Figure 11", ["β-VAE with box blur: MIG"], "not reproduced"),
        # the conclusion needs an interval above zero
        *(
            ("fig9", _by_spacing({1: near, 8: FAR}), "Section 8", ["The data decide"], expected)
            for near, expected in [
                (0.5, "reproduced"),
                ((0.9, 0.0, 0.45, 0.0, 0.9), "in direction"),
                (0.3, "not reproduced"),
            ]
        ),
        ("fig9", lambda spec: 0.5, "Section 8", ["The loss decides"], "not tested"),
    ],
)
def test_scores_are_judged_by_range_and_direction(experiment, score_of, where, words, expected):
    assert _verdicts(_store(experiment, score_of), where, *words) == {expected}


@pytest.mark.parametrize(
    ("value", "expected"), [(0.2, "reproduced"), (0.7, "in direction"), (0.01, "not reproduced")]
)
def test_a_middle_spacing_is_judged_by_its_range_and_by_what_is_left_at_the_largest(
    value, expected
):
    store = _store("fig9", lambda spec: 0.02)
    # other cells of the study must not count
    _store("longer", lambda spec: value if spec.latents == 9 else 0.99, store=store)
    assert _verdicts(store, "Figure 9, longer") == {expected}
    assert {str(c.here) for c in _found(store, "Figure 9, longer")} == {f"{value:.3f}"}
    assert {str(c.here) for c in _found(store, "Figure 11, longer", "with")} == {"0.990"}
    # with runs of another profile at the largest spacing there is nothing to compare with
    _store("fig9", lambda spec: 0.02, scale="paper", store=store)
    without = {"in direction": "not reproduced"}.get(expected, expected)
    assert _verdicts(store, "Figure 9, longer") == {without}


def test_a_claim_gives_its_numbers_and_counts_its_runs():
    store = _store("fig6", AS_PUBLISHED)
    above = _found(store, "Figure 6", "3D Shapes, rendered", "above the best")[0]
    assert str(above.here) == "0.500, above 0.020"
    assert above.here.numbers == {"best": 0.5, "xysquares": 0.02}
    provenance = _found(store, "Figure 6", "3D Shapes", "β-VAE")[0].provenance
    assert (provenance.n, provenance.steps) == (2, (2_000,))
    beta = _found(store, "Section 5.3", "smaller β")[0]
    assert str(beta.provenance).startswith("runs of one β only (0.001); needs vaedis sweep")
    _store("fig9", lambda spec: 0.5, store=store)
    spec = grids.grid("fig9", "laptop")[0].replace(seed=99)
    store.add(results.make_row(spec, "fig9", "laptop", status="failed: loss not finite"))
    (near,) = _found(store, "Figure 9", "Ada-GVAE, spacing 1", "MIG")
    assert str(near.provenance) == "laptop: 5 runs of 2,000 steps, 1 failed"


def test_a_stand_in_is_judged_apart_and_never_called_the_data_set():
    store = _store("fig6", AS_PUBLISHED)
    for title in ("Cars3D", "SmallNORB"):
        own = _found(store, "Figure 6", title)
        assert {(c.verdict, c.here, str(c.provenance), c.beyond) for c in own} == {
            ("needs the originals", "–", "runs of a stand-in, not the data set, only", False)
        }
        assert {c.provenance.needs for c in own} == {
            f"vaedis data prepare {title.lower()} && vaedis sweep fig6 --profile paper"
        }
        apart = _found(store, "Figure 6, stand-ins", title)
        assert all(
            c.statement.startswith(f"{title}'s stand-in: the best")
            and c.beyond
            and c.published == "–"
            for c in apart
        )
        assert {c.verdict for c in apart} == {"reproduced"}


def test_runs_on_an_original_are_judged_instead_of_the_stand_in():
    grid = [
        spec.replace(data_options={"origin": "original"})
        for spec in grids.grid("fig6", "laptop")
        if spec.data == "cars3d" and spec.framework == "beta-vae"
    ]
    store = _store("fig6", _by_data(cars3d=0.1), grid=grid)
    assert _verdicts(store, "Figure 6", "Cars3D", "β-VAE") == {"reproduced"}
    with pytest.raises(AssertionError):
        _found(store, "Figure 6, stand-ins")


def test_where_images_came_from_is_read_from_the_specification_or_else_from_the_row():
    row = {"data": "cars3d", "data_options": {}, "origin": "stand-in"}
    assert runs.origin_of(row) == "stand-in"
    assert runs.origin_of({**row, "data_options": {"origin": "auto"}}) == "stand-in"
    assert runs.origin_of({**row, "data_options": {"origin": "original"}}) == "original"
    assert runs.origin_of({**row, "origin": ""}) is None


@pytest.mark.parametrize(
    ("largest", "expected"), [(0.001, "reproduced"), (0.1, "in direction"), (1.0, "not reproduced")]
)
def test_smaller_beta_is_judged_by_where_learning_ends(largest, expected):
    alive = {
        "xysquares": largest,
        "shapes3d": 0.0316,
        "dsprites": 0.316,
        "cars3d": 0.316,
        "smallnorb": 0.316,
    }
    grid = [
        spec
        for spec in grids.grid("fig6", "paper")
        if spec.framework == "beta-vae" and spec.latents == 9
    ]
    store = _store(
        "fig6",
        lambda spec: 0.5 if spec.beta <= alive[spec.data] else 0.001,
        grid=grid,
        scale="paper",
    )
    assert _verdicts(store, "Section 5.3", "smaller β") == {expected}


def _settings(score_of, *, without=lambda spec: False):
    planned = grids.grid("fig6", "settings")
    grid = [spec for spec in planned if spec.framework == "beta-vae" and not without(spec)]
    return _store("fig6", score_of, grid=grid, scale="settings")


@pytest.mark.parametrize(
    ("shapes", "sprites", "squares", "best", "above"),
    [
        (0.9, 0.5, 0.04, ["in direction", "in direction", "reproduced"], {"reproduced"}),
        (0.1, 0.06, 0.05, ["in direction", "in direction", "reproduced"], {"in direction"}),
        (0.06, 0.1, 0.05, ["not reproduced", "not reproduced", "reproduced"], {"in direction"}),
        (0.2, 0.2, 0.9, ["not reproduced"] * 3, {"not reproduced"}),
    ],
)
def test_pools_are_judged_by_their_best_and_by_the_order_of_the_data_sets(
    shapes, sprites, squares, best, above
):
    # the best of a pool counts, whichever setting it is
    score_of = _by_data(shapes3d=shapes, dsprites=sprites, xysquares=squares)
    store = _settings(lambda spec: score_of(spec) if spec.beta == 0.01 else 0.0)
    where = "Figure 6, sixteen settings"
    found = _found(store, where, "β-VAE", "MIG of sixteen settings")
    tops = [c.verdict for c in found if "above" not in c.statement]
    assert tops == best
    assert {c.verdict for c in found if "above" in c.statement} == above
    assert _verdicts(store, where, "Ada-GVAE") == {"not tested"}


@pytest.mark.parametrize(("n_failed", "expected"), [(4, True), (5, False), (15, False)])
def test_the_best_of_a_pool_counts_if_most_of_it_finished(n_failed, expected):
    store = _settings(lambda spec: 0.5)
    rows = store.rows("fig6", "settings")
    of_shapes = [row for row in rows if row["data"] == "shapes3d"]
    for row in of_shapes[:n_failed]:
        row["status"] = "failed: loss not finite"
    for made in _found(store, "Figure 6, sixteen settings", "β-VAE"):
        assert made.tested == expected
        assert ("sixteen settings finished" in str(made.provenance)) != expected


def test_a_pool_that_is_not_complete_is_not_judged():
    store = _settings(lambda spec: 0.5, without=lambda spec: (spec.beta, spec.latents) == (1.0, 25))
    assert _verdicts(store, "Figure 6, sixteen settings") == {"not tested"}
    # one number of latents has all betas, and learns at all of them
    (beta,) = _found(store, "Section 5.3", "smaller β")
    assert (beta.verdict, beta.provenance.n) == ("not reproduced", 24)


def test_smaller_beta_is_judged_by_the_settings_profile_where_the_paper_profile_has_no_runs():
    store = _settings(lambda spec: 0.5 if spec.data != "xysquares" or spec.beta < 0.1 else 0.0)
    (beta,) = _found(store, "Section 5.3", "smaller β")
    assert (beta.verdict, beta.provenance.n) == ("reproduced", 48)
    assert str(beta.here) == "XYSquares up to 0.0316, 3D Shapes up to 1, dSprites up to 1"


def test_smaller_beta_is_judged_by_values_that_were_tried_on_each_data_set():
    # all learn at whatever was tried, and on XYSquares only small values were
    grid = [
        spec
        for spec in grids.grid("fig6", "settings")
        if spec.data != "xysquares" or spec.beta < 0.003
    ]
    store = _store("fig6", lambda spec: 0.5, grid=grid)
    (beta,) = _found(store, "Section 5.3", "smaller β")
    assert beta.verdict == "not reproduced"
    grid = [spec for spec in grid if spec.data != "xysquares" or spec.beta == grid[0].beta]
    store = _store("fig6", lambda spec: 0.5, grid=grid)
    (beta,) = _found(store, "Section 5.3", "smaller β")
    assert beta.verdict == "not tested"


# Distances inside networks


def test_figure_10_is_judged_by_the_order_of_stored_latent_distances():
    matrix = {"box-blur": STEP, "mse": CONSTANT}
    store = _store("fig11", lambda spec: 0.5, lambda spec: {"z/x_R": matrix[spec.loss]})
    assert _verdicts(store, "Figure 10") == {"reproduced"}
    matrix = {"box-blur": CONSTANT, "mse": STEP}
    store = _store("fig11", lambda spec: 0.5, lambda spec: {"z/x_R": matrix[spec.loss]})
    assert _verdicts(store, "Figure 10") == {"not reproduced"}


@pytest.mark.parametrize(
    ("z", "expected"),
    [
        (STEP**2, "reproduced"),
        (np.where(STEP == 7, STEP, CONSTANT), "in direction"),
        (CONSTANT, "not reproduced"),
    ],
)
def test_figure_4_is_judged_by_the_order_at_every_level(z, expected):
    def arrays(spec):
        return {
            f"{level}/one": z if level == "z" else STEP
            for level in ("x", "z", "kl", "reconstruction")
        }

    grid = [spec for spec in grids.grid("fig6", "laptop") if spec.framework == "beta-vae"]
    store = _store("fig6", lambda spec: 0.5, arrays, grid=grid)
    assert _verdicts(store, "Figure 4, other data", "dSprites") == {expected}
    assert _verdicts(store, "Figure 4, other data", "Cars3D's stand-in") == {expected}
    assert _verdicts(store, "Figure 4") == {"needs the originals"}


def test_levels_on_xysquares_are_judged_by_each_settings_own_loss_and_longest_runs():
    def arrays(decoded):
        levels = {"x": STEP, "z": STEP, "kl": STEP, "reconstruction": decoded}
        return {f"{level}/x_R": matrix for level, matrix in levels.items()}

    where = "Figure 4, other data"
    store = _store("fig9", lambda spec: 0.5, lambda spec: arrays(STEP))
    _store("fig11", lambda spec: 0.5, lambda spec: arrays(CONSTANT), store=store)
    assert _verdicts(store, where, "XYSquares, spacing 1") == {"reproduced"}
    assert _verdicts(store, where, "XYSquares, box blur") == {"not reproduced"}
    assert "laptop: 5 runs of 2,000 steps" in {
        str(c.provenance) for c in _found(store, where, "spacing 1: an Ada-GVAE")
    }
    one = _by_framework("ada-gvae", 1)
    _store(
        "fig9", lambda spec: 0.5, lambda spec: arrays(CONSTANT), grid=one, scale="long", store=store
    )
    (judged,) = _found(store, where, "spacing 1: an Ada-GVAE")
    assert (judged.verdict, judged.provenance.profile) == ("not reproduced", "long")
    assert _verdicts(store, where, "spacing 1: a β-VAE") == {"reproduced"}


def _partly(seed, share):
    """Distances of which a share is ordered and the rest is noise."""
    noise = np.random.default_rng(seed).random((8, 8))
    return share * STEP / 7 + (1 - share) * (noise + noise.T) * CONSTANT


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, "reproduced"), (0.5, "in direction"), (1.0, "not reproduced")]
)
def test_order_at_spacing_8_needs_an_interval_near_zero(share, expected):
    def arrays(spec):
        near = spec.data_options["grid_spacing"] == 1
        # constant but for what is asked for: at least half of the factors have no latent distance
        # at all
        return {
            f"z/{f}": STEP
            if near
            else share * _partly(10 * spec.seed + f, share) + (1 - share) * CONSTANT
            for f in range(3)
        }

    store = _store("fig9", lambda spec: 0.5, arrays)
    assert _verdicts(store, "Section 5.3", "latent distances") == {expected}


def test_claims_about_distances_say_how_many_of_the_runs_have_some():
    def arrays(spec):
        levels = ("x", "z", "kl", "reconstruction")
        return {f"{level}/x_R": STEP for level in levels} if spec.seed else {}

    store = _store("fig9", lambda spec: 0.5, arrays)
    _store("fig11", lambda spec: 0.5, arrays, store=store)
    for where, words in (
        ("Section 5.3", "β-VAE: on XYSquares latent distances"),
        ("Figure 10", "box blur"),
        ("Figure 4, other data", "XYSquares, spacing 1: a β-VAE"),
    ):
        (found,) = _found(store, where, words)
        assert str(found.provenance).endswith("steps, 4 of them with stored distances")


def _by_framework(framework, seeds=3):
    """Return a framework's runs in the long grid of Figure 9, of so many seeds."""
    specs = grids.grid("fig9", "long")
    return [s for s in specs if s.framework == framework and s.seed < seeds]


def test_claims_of_scores_are_judged_by_long_runs_where_all_that_they_compare_has_some():
    store = _store("fig9", _by_spacing(dict.fromkeys(range(1, 9), 0.5)))
    long = [s for s in _by_framework("ada-gvae", 1) if s.data_options["grid_spacing"] in (1, 4)]
    _store("fig9", _by_spacing({1: 0.8, 4: 0.2}), grid=long, scale="long", store=store)
    # nothing long at spacing 8, with which the direction compares
    judged = {c.provenance.profile for c in _found(store, "Figure 9")}
    assert judged == {"laptop"}
    far = [s for s in _by_framework("ada-gvae", 1) if s.data_options["grid_spacing"] == 8]
    _store("fig9", _by_spacing({8: 0.02}), grid=far, scale="long", store=store)
    by_profile = {
        profile: {c.statement for c in _found(store, "Figure 9") if c.provenance.profile == profile}
        for profile in ("laptop", "long")
    }
    assert by_profile["long"] == {
        f"Ada-GVAE, spacing {spacing}: {score}" for spacing in (1, 4, 8) for score in ("MIG", "DCI")
    }
    assert len(by_profile["laptop"]) == 32 - 6
    (near,) = _found(store, "Figure 9", "Ada-GVAE, spacing 1", "MIG")
    assert (str(near.here), near.verdict) == ("0.800", "reproduced")
    assert str(near.provenance) == "long: 1 run of 57,600 steps"


@pytest.mark.parametrize(("seeds", "expected"), [(2, "laptop"), (3, "long")])
def test_claims_that_rest_on_an_interval_wait_for_three_long_runs(seeds, expected):
    arrays = {"z/x_R": CONSTANT}
    store = _store("fig9", _by_spacing(FALLING), lambda spec: arrays)
    grid = _by_framework("ada-gvae", seeds)
    _store("fig9", _by_spacing(FALLING), lambda spec: arrays, grid=grid, scale="long", store=store)
    for place, words in (
        ("Section 8", "apart raise Ada-GVAE's MIG"),
        ("Section 5.3", "Ada-GVAE: on"),
    ):
        (found,) = _found(store, place, words)
        assert found.provenance.profile == expected


@pytest.mark.parametrize(("seeds", "expected"), [(2, "in direction"), (3, "reproduced")])
def test_no_interval_and_no_rule_on_each_run_is_settled_by_fewer_than_three_runs(seeds, expected):
    falling = _by_spacing({1: 0.8, 2: 0.5, 4: 0.3, 8: 0.05})
    runs = [spec for spec in grids.grid("fig9", "laptop") if spec.seed < seeds]

    def arrays(spec):
        return {"z/x_R": STEP if spec.data_options["grid_spacing"] == 1 else CONSTANT}

    store = _store("fig9", falling, arrays, grid=runs)
    other = [s.replace(average="published") for s in runs if s.framework == "ada-gvae"]
    _store("averaging", lambda s: falling(s) + 0.1, grid=other, store=store)
    long = [s for s in _by_framework("beta-vae", seeds) if s.data_options["grid_spacing"] == 8]
    course = {
        "course_steps": np.array([2_000, 57_600]),
        "course/z/x_R": np.stack([STEP, CONSTANT]),
    }
    other_store = _store("fig9", falling, lambda spec: course, grid=long, scale="long")
    # two runs without order neither settle it nor speak against it
    order = "not tested" if seeds == 2 else expected
    assert _verdicts(store, "Section 5.3", "latent distances") == {order}
    assert _verdicts(store, "Averaging", "Images:") == {expected}
    assert _verdicts(store, "Averaging", "Images, spacing") == {expected}
    assert _verdicts(store, "Section 8", "apart") == {expected}
    found = _found(other_store, "Section 5.3, long runs", "β-VAE")
    assert [c.verdict for c in found] == [expected]
    for place in ("Section 5.3", "Averaging", "Section 8"):
        for claim in _found(store, place):
            assert "interval" not in claim.tolerance or "from at least 3 runs" in claim.tolerance
    assert "from at least 3 runs" in found[0].tolerance


def test_one_run_without_order_and_nothing_to_compare_with_shows_nothing():
    grid = [s for s in grids.grid("fig9", "laptop") if s.seed == 0]
    far = [s for s in grid if s.data_options["grid_spacing"] == 8]
    store = _store("fig9", lambda spec: 0.5, lambda spec: {"z/x_R": CONSTANT}, grid=far)
    assert _verdicts(store, "Section 5.3", "latent distances") == {"not tested"}
    store = _store("fig9", lambda spec: 0.5, lambda spec: {"z/x_R": STEP}, grid=far)
    assert _verdicts(store, "Section 5.3", "latent distances") == {"not reproduced"}


@pytest.mark.parametrize(
    ("end", "expected"),
    [(CONSTANT, "reproduced"), (CONSTANT + STEP / 7, "not reproduced"), (None, "in direction")],
)
def test_order_at_length_is_that_of_the_end_beside_that_after_2000_steps(end, expected):
    if end is None:
        # a little order: less than at first, more than none
        end = np.where(STEP == 7, 2 * STEP, CONSTANT)
    early = CONSTANT + STEP / 7
    arrays = {
        "course_steps": np.array([1_000, 2_000, 57_600]),
        "course/z/x_R": np.stack([CONSTANT, early, end]),
        "course/z/y_R": np.stack([CONSTANT, early, end]),
    }
    grid = [s for s in _by_framework("beta-vae", 3) if s.data_options["grid_spacing"] == 8]
    store = _store("fig9", lambda spec: 0.0, lambda spec: arrays, grid=grid, scale="long")
    (found,) = _found(store, "Section 5.3, long runs", "β-VAE")
    assert found.verdict == expected
    assert found.here.numbers["early"] == pytest.approx(1.0)
    assert _verdicts(store, "Section 5.3, long runs", "Ada-GVAE") == {"not tested"}


@pytest.mark.parametrize(
    ("steps", "early"),
    # not recorded after 2,000 steps, as where a damaged file was lost, nor at the end; no order yet
    [([4_000, 57_600], STEP), ([2_000, 32_000], STEP), ([2_000, 57_600], CONSTANT)],
)
def test_long_runs_that_did_not_record_an_order_at_first_show_nothing(steps, early):
    arrays = {"course_steps": np.array(steps), "course/z/x_R": np.stack([early, CONSTANT])}
    grid = [s for s in _by_framework("beta-vae", 1) if s.data_options["grid_spacing"] == 8]
    store = _store("fig9", lambda spec: 0.0, lambda spec: arrays, grid=grid, scale="long")
    (found,) = _found(store, "Section 5.3, long runs", "β-VAE")
    assert (found.verdict, found.here) == ("not tested", "–")
    assert str(found.provenance) == "no run recorded an order after 2,000 steps"


def test_a_complete_long_profile_of_one_seed_does_not_judge_intervals():
    store = _store("fig11", _by_loss(0.9, 0.1))
    grid = [s for s in grids.grid("fig11", "long") if s.seed == 0]
    _store("fig11", _by_loss(0.9, 0.1), grid=grid, scale="long", store=store)
    found = _found(store, "Section 8", "The loss decides")
    assert {c.provenance.profile for c in found} == {"laptop"}
    assert {c.provenance.profile for c in _found(store, "Figure 11")} == {"long"}


def test_a_few_runs_of_the_paper_profile_do_not_hide_long_ones():
    store = _store("fig9", _by_spacing(FALLING))
    _store("fig9", _by_spacing(FALLING), grid=_by_framework("ada-gvae"), scale="long", store=store)
    one = [s for s in grids.grid("fig9", "paper") if s.framework == "ada-gvae"][:1]
    _store("fig9", _by_spacing(FALLING), grid=one, scale="paper", store=store)
    found = _found(store, "Figure 9", "Ada-GVAE")
    assert {c.provenance.profile for c in found} == {"long"}


# The order of learning


def _learnt(onset, weight):
    """Arrays of a run in which factors are learnt at the steps given, and set apart by their
    weights.
    """
    steps = np.array([10, 20, 30, 40], np.int32)
    kept = {"learnt_steps": steps}
    for name in onset:
        kept[f"reconstructed/{name}"] = np.where(steps >= onset[name], 0.9, 0.1).astype(np.float32)
        kept[f"x/{name}"] = weight[name] * STEP
    return kept


@pytest.mark.parametrize(
    ("onset", "expected"),
    [
        ({"a": 10, "b": 20, "c": 30, "d": 99}, "reproduced"),
        # d, never learnt, is the least important, but the rest is the wrong way round
        ({"a": 30, "b": 20, "c": 10, "d": 99}, "in direction"),
        ({"a": 40, "b": 30, "c": 20, "d": 10}, "not reproduced"),
        # all between two looks, or never: nobody knows
        ({"a": 20, "b": 20, "c": 20, "d": 20}, "not tested"),
        ({"a": 99, "b": 99, "c": 99, "d": 99}, "not tested"),
        # not watched
        ({}, "not tested"),
    ],
)
def test_learning_order_is_judged_by_onsets(onset, expected):
    weight = {"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}
    store = _store("fig6", lambda spec: 0.5, lambda spec: _learnt(onset, weight))
    assert _verdicts(store, "Appendix A", "dSprites, rendered") == {expected}
    assert _verdicts(store, "Appendix A, stand-ins", "SmallNORB's stand-in") == {expected}
    assert _verdicts(store, "Appendix A", "SmallNORB:") == {"needs the originals"}


def _coordinates(experiment, score_of, store=None):
    grid = [spec for spec in grids.grid(experiment, grids.COORDINATES) if spec.seed < 3]
    return _store(experiment, score_of, grid=grid, scale="coordinates", store=store)


def test_networks_without_pixels_are_judged_in_the_same_way_and_apart():
    store = _coordinates("fig9", _by_spacing({1: 0.46, 8: 0.44}))
    _coordinates("fig11", _by_loss(0.95, 0.3), store=store)
    found = _found(store, "Figure 9, no pixels", "Ada-GVAE, spacing 1", "MIG")
    found += _found(store, "Figure 11, no pixels", "MIG")
    assert {(c.verdict, c.beyond) for c in found} == {("in direction", True)}
    assert str(found[0].provenance) == "coordinates: 3 runs of 4,000 steps"
    assert _verdicts(store, "Figure 9") == _verdicts(store, "Figure 11") == {"not tested"}


@pytest.mark.parametrize(
    ("near", "far", "smaller", "bounds"),
    [
        # the bounds of linear theory are .851 and .095
        (0.316, 0.0316, "reproduced", ["reproduced", "reproduced"]),
        (0.316, (0.0316, 0.316), "in direction", ["reproduced", "not reproduced"]),
        (0.1, 0.1, "not reproduced", ["not reproduced", "in direction"]),
        # learning ends above all betas that were tried, and below
        (1.0, 0.0, "reproduced", ["not tested", "not reproduced"]),
    ],
)
def test_where_learning_ends_without_pixels_is_judged_in_every_run(near, far, smaller, bounds):
    def kl(spec):
        end = near if spec.data_options["grid_spacing"] == 1 else far
        return 0.5 if spec.beta <= (end[spec.seed] if isinstance(end, tuple) else end) else 0.001

    store = _coordinates("beta", kl)
    assert [c.verdict for c in _found(store, "Section 5.3, no pixels", "smaller β")] == [
        smaller
    ] * 2
    found = _found(store, "Section 5.3, no pixels", "predict")
    assert [c.verdict for c in found] == bounds * 2
    assert all(c.beyond for c in found)
    assert _verdicts(MadeUp(), "Section 5.3, no pixels", "smaller β") == {"not tested"}


def test_where_learning_ends_after_a_warm_up_is_judged_against_the_same_bounds():
    def kl(spec):
        end = 0.316 if spec.data_options["grid_spacing"] == 1 else 0.00316
        return 0.5 if spec.beta <= end else 0.001

    assert _verdicts(MadeUp(), "Section 5.3, warm-up") == {"not tested"}
    verdicts = ["reproduced", "not reproduced"]
    store = _coordinates("warmup", kl)
    found = _found(store, "Section 5.3, warm-up", "No pixels")
    assert [c.verdict for c in found] == verdicts * 2
    assert _verdicts(store, "Section 5.3, warm-up", "Images") == {"not tested"}
    _store("warmup", kl, store=store)
    assert [c.verdict for c in _found(store, "Section 5.3, warm-up", "Images")] == verdicts


def test_limits_are_judged_by_the_bound_of_codes_where_beta_grows_and_by_that_of_first_steps_where_it_does_not():
    # the bounds at spacings 2, 4, 6 are .79, .33, .19 for first steps, and .86, .73, .72 for codes
    def kl(spec):
        far = {2: 0.562, 4: 0.316, 6: 0.178}[spec.data_options["grid_spacing"]]
        return 0.5 if spec.beta <= (0.562 if spec.warmup else far) else 0.001

    where = "Section 5.3, limit"
    assert _verdicts(MadeUp(), where) == {"not tested"}
    store = _coordinates("limits", kl)
    assert _verdicts(store, where, "predict", "No pixels") == {"reproduced"}
    assert _verdicts(store, where, "predict", "Images") == {"not tested"}
    (none,) = _found(store, where, "No pixels", "no network")
    assert (none.verdict, str(none.here)) == ("reproduced", "0 of 12 learnt")
    _store("limits", lambda spec: 0.5, store=store)
    assert [c.verdict for c in _found(store, where, "Images")] == ["not tested", "not reproduced"]
    early = _coordinates("limits", lambda spec: 0.5 if spec.beta <= 0.178 else 0.001)
    found = {c.statement: c.verdict for c in _found(early, where, "predict", "No pixels")}
    assert set(found.values()) == {"in direction", "not reproduced", "reproduced"}
    assert (
        found[
            "No pixels, constant β, spacing 6: learning ends at the first bound, which perceived distances predict."
        ]
        == "reproduced"
    )


def test_without_a_beta_that_learns_nothing_shows_where_learning_ends():
    # below the bound of .194 at spacing 6, and by less than the factor of 2
    none = _coordinates("limits", lambda spec: 0.001)
    where = "Section 5.3, limit"
    (claim,) = _found(none, where, "constant β, spacing 6")
    assert (claim.verdict, str(claim.provenance)) == ("not tested", "no β that learns was tried")
    # but far below the bound at spacing 4
    assert _verdicts(none, where, "constant β, spacing 4") == {"not reproduced"}
    # one seed alone that learns at no beta shows no end either
    some = _coordinates("limits", lambda spec: 0.5 if spec.seed and spec.beta < 0.2 else 0.001)
    assert _verdicts(some, where, "constant β, spacing 6") == {"not tested"}
    assert _verdicts(some, where, "constant β, spacing 2") == {"not reproduced"}


def test_a_run_whose_kl_was_not_stored_does_not_count_as_one_that_learnt_nothing():
    store = _coordinates("limits", lambda spec: 0.001)
    for rows in store.made.values():
        for row in rows:
            row["final_kl"] = None
    assert _verdicts(store, "Section 5.3, limit") == {"not tested"}
    store = _settings(lambda spec: 0.5)
    for row in store.rows("fig6", "settings"):
        if row["data"] == "xysquares":
            row["final_kl"] = None
    assert _verdicts(store, "Section 5.3", "smaller β") == {"not tested"}


def test_a_smaller_beta_is_shown_by_those_that_were_tried_at_both_spacings():
    grid = [spec for spec in grids.grid("beta", "laptop") if spec.seed == 0]

    def tried(largest_far, largest_near=1.0):
        limit = {8: largest_far, 1: largest_near}
        return [s for s in grid if s.beta <= limit[s.data_options["grid_spacing"]]]

    # all learn, and at spacing 8 only small values were tried
    store = _store("beta", lambda spec: 0.5, grid=tried(0.001))
    (claim,) = _found(store, "Section 5.3, bound", "smaller β")
    assert (claim.verdict, claim.here) == ("not tested", "–")
    assert "no β was tried at which learning has ended" in str(claim.provenance)

    def kl(spec):
        return 0.5 if spec.data_options["grid_spacing"] == 1 or spec.beta <= 0.001 else 0.0

    store = _store("beta", kl, grid=tried(0.1))
    (claim,) = _found(store, "Section 5.3, bound", "smaller β")
    assert claim.verdict == "reproduced"
    assert str(claim.here) == "largest β at which it learns: 0.001 at spacing 8, 1 at spacing 1"
    # what fails at spacing 8 was not tried at spacing 1
    store = _store("beta", kl, grid=tried(1.0, 0.001))
    assert _verdicts(store, "Section 5.3, bound", "smaller β") == {"not tested"}


def test_claims_of_images_and_without_pixels_have_other_words():
    where = ["Section 5.3, bound", "Section 5.3, no pixels"]
    found = [claim.statement for claim in claims.all_claims(MadeUp(), where=where)]
    assert len(set(found)) == len(found)


def test_a_seed_of_one_beta_says_nothing_of_where_learning_ends():
    grid = [spec for spec in grids.grid("beta", "laptop") if spec.seed == 0 or spec.beta == 0.001]
    store = _store(
        "beta",
        lambda spec: (
            0.5
            if spec.beta <= (0.316 if spec.data_options["grid_spacing"] == 1 else 0.00316)
            else 0.0
        ),
        grid=grid,
    )
    (claim,) = _found(store, "Section 5.3, bound", "smaller β")
    assert claim.verdict == "reproduced"
    assert (
        str(claim.here) == "largest β at which it learns: 0.00316 at spacing 8, 0.316 at spacing 1"
    )
    open_end = _store("beta", lambda spec: 0.5, grid=[spec for spec in grid if spec.beta <= 0.0316])
    assert _verdicts(open_end, "Section 5.3, bound", "predict") == {"not tested"}
    assert "no larger β was tried" in str(
        _found(open_end, "Section 5.3, bound", "spacing 1")[0].here
    )
    alone = _store("beta", lambda spec: 0.5, grid=[spec for spec in grid if spec.beta == 0.001])
    assert _verdicts(alone, "Section 5.3, bound") == {"not tested"}


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({1: 0.9, 8: 0.1}, "reproduced"),
        ({1: (0.0, 0.4, 0.4), 8: 0.2}, "in direction"),
        ({1: 0.1, 8: 0.9}, "not reproduced"),
    ],
)
def test_the_average_matters_if_scores_no_longer_fall(other, expected):
    store = _coordinates("fig9", _by_spacing({1: 0.8, 8: 0.1}))
    assert _verdicts(store, "Averaging") == {"not tested"}
    _coordinates("averaging", _by_spacing(other), store=store)
    claim = _found(store, "Averaging", "No pixels", "MIG")[0]
    assert claim.verdict == expected
    if expected == "reproduced":
        assert "second image's minus both, at spacing 1: +0.10 [+0.10, +0.10]" in str(claim.here)
        assert str(claim.provenance) == (
            "coordinates: 12 runs of 4,000 steps; mean of both: 3 at spacing 1, 3 at 8; "
            "second image's mean: 3 and 3"
        )


def test_runs_of_other_lengths_say_nothing_about_the_average():
    grid = grids.grid("fig9", "laptop")
    ada = [spec for spec in grid if spec.framework == "ada-gvae" and spec.seed < 3]
    other = [spec.replace(average="published") for spec in ada]
    falling = _by_spacing(FALLING)
    store = _store("fig9", falling, grid=ada)
    _store("averaging", falling, grid=other, scale="smoke", store=store)
    assert _verdicts(store, "Averaging", "Images") == {"not tested"}
    _store("averaging", falling, grid=other, store=store)
    assert _verdicts(store, "Averaging", "Images:") == {"reproduced"}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ((0.1, 0.1, 0.1), "reproduced"),
        ((0.3, 0.1, -0.1), "in direction"),
        ((0.0, 0.0, 0.0), "not reproduced"),
    ],
)
def test_the_published_average_is_above_the_mean_only_by_an_interval_above_zero(more, expected):
    grid = grids.grid("fig9", "laptop")
    ada = [spec for spec in grid if spec.framework == "ada-gvae" and spec.seed < 3]
    near = [
        spec.replace(average="published") for spec in ada if spec.data_options["grid_spacing"] == 2
    ]
    store = _store("fig9", _by_spacing(FALLING), grid=ada)
    _store("averaging", lambda spec: FALLING[2] + more[spec.seed], grid=near, store=store)
    assert _verdicts(store, "Averaging", "Images, spacing 2") == {expected}
    assert _verdicts(store, "Averaging", "Images, spacing 4") == {"not tested"}


@pytest.mark.parametrize(("seeds", "profile"), [(2, "laptop"), (3, "long")])
def test_the_averages_are_compared_by_long_runs_where_three_of_each_are_stored(seeds, profile):
    short = [spec for spec in grids.grid("fig9", "laptop") if spec.framework == "ada-gvae"]
    long = _by_framework("ada-gvae")
    some = [spec for spec in long if spec.seed < seeds]
    store = _store("fig9", _by_spacing(FALLING), grid=short)
    _store("fig9", _by_spacing(FALLING), grid=long, scale="long", store=store)
    for grid, scale, more in ((short, "laptop", -0.1), (some, "long", 0.1)):
        other = [
            spec.replace(average="published")
            for spec in grid
            if spec.data_options["grid_spacing"] == 1
        ]
        _store("averaging", lambda _, m=more: FALLING[1] + m, grid=other, scale=scale, store=store)
    (claim,) = _found(store, "Averaging", "Images, spacing 1")
    assert claim.provenance.profile == profile
    assert claim.verdict == {"laptop": "not reproduced", "long": "reproduced"}[profile]


# Data sets


class MadeUpDistances(measured.Distances):
    """Distances of dSprites as published, but for a share that all means are off."""

    @classmethod
    def make(cls, origin="rendered", off=0.0):
        table = published.table("table_a2_normalisation")
        (line,) = [line for line in table if line["dataset"] == "dsprites"]
        sizes = BENCHMARKS["dsprites"].factors
        printed = importances.printed_rows("dsprites")
        factors = {
            name: SimpleNamespace(
                matrix=published.matrices().get(("dsprites", name), np.zeros((size, size))),
                mean=printed[name][0] * (1 + off),
                sd=printed[name][1],
                exact=True,
                standard_errors=lambda *_: (0.001, 0.001),
            )
            for name, size in sizes.items()
        }
        mean, sd = printed["random"]
        random = RandomPairs(mean * (1 + off), sd, 0.0, 0.0, sd**4, np.array([mean]))
        means = (line["mean"] + off,)
        return cls("dsprites", origin, factors, random, 10, means, (line["std"],), "exact")


def _judged(monkeypatch, here, where, *contains):
    monkeypatch.setattr(
        measured, "benchmark", lambda name, root: here if name == "dsprites" else None
    )
    return _verdicts(MadeUp(), where, "dSprites", *contains)


@pytest.mark.parametrize(
    ("off", "expected"), [(0.0, "reproduced"), (0.2, "in direction"), (0.5, "not reproduced")]
)
def test_rows_of_table_a1_are_judged_by_the_error_of_the_papers_sample(monkeypatch, off, expected):
    assert _judged(monkeypatch, MadeUpDistances.make(off=off), "Table A1", "position y") == {
        expected
    }
    assert _judged(monkeypatch, None, "Table A1") == {"not tested"}


def test_a_stand_in_shows_its_numbers_and_is_not_judged(monkeypatch):
    here = MadeUpDistances.make(origin="stand-in")
    for where in DISTANCES:
        assert _judged(monkeypatch, here, where, "stand-in") == {"needs the originals"}
        shown = [
            c
            for c in claims.all_claims(MadeUp(), where=[where])
            if "dSprites's stand-in" in c.statement
        ]
        assert all(
            c.here != "–" and str(c.provenance) == "a stand-in, not the data set; exact"
            for c in shown
        )


def test_the_order_of_importance_may_swap_only_what_the_sample_cannot_tell_apart(monkeypatch):
    def rows(means, error=0.001):
        return [
            Importance(name, mean, 0.01, printed, 0.01, error, error)
            for name, mean, printed in means
        ]

    assert benchmarks.in_order(rows([("a", 0.051, 0.050), ("b", 0.050, 0.052)]))
    assert not benchmarks.in_order(rows([("a", 0.060, 0.040), ("b", 0.050, 0.060)]))
    assert benchmarks.in_order(rows([("a", 0.060, 0.040), ("b", 0.050, 0.060)], error=0.005))


@pytest.mark.parametrize(("off", "expected"), [(5e-8, "reproduced"), (1e-5, "not reproduced")])
def test_table_a2_is_judged_to_the_digit_that_was_asked_for(monkeypatch, off, expected):
    assert _judged(monkeypatch, MadeUpDistances.make(off=off), "Table A2") == {expected}


def test_figure_3_is_judged_by_correlation_and_else_by_order(monkeypatch):
    here = MadeUpDistances.make()
    assert _judged(monkeypatch, here, "Figure 3") == {"reproduced"}
    panel = here.factors["position_x"].matrix
    here.factors["position_x"].matrix = panel**12
    here.factors["position_y"].matrix = panel[::-1][:, np.random.default_rng(0).permutation(32)]
    assert _judged(monkeypatch, here, "Figure 3", "position x") == {"in direction"}
    assert _judged(monkeypatch, here, "Figure 3", "position y") == {"not reproduced"}


def test_figure_a1_is_a_slope_or_a_step(monkeypatch):
    here = MadeUpDistances.make()
    assert _judged(monkeypatch, here, "Figure A1") == {"reproduced"}
    here.factors["scale"].sd = here.factors["scale"].mean / 25
    assert _judged(monkeypatch, here, "Figure A1") == {"not reproduced"}


# The page


@pytest.fixture(scope="module")
def stored():
    """All claims of the committed store."""
    return claims.all_claims(results.Store(TOP / "results"))


def test_claims_are_those_of_the_committed_table(stored):
    """A change that means to change no number changes none; one that does writes the table anew:
    tools/claims_table.py --write.
    """
    with (TOP / "tests" / "claims.csv").open(encoding="utf-8", newline="") as file:
        committed = list(csv.DictReader(file))
    assert [c.statement for c in stored] == [row["statement"] for row in committed]
    for claim, row in zip(stored, committed, strict=True):
        assert {name: str(getattr(claim, name)) for name in row} == row


def _slug(heading):
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")


def test_every_claim_names_a_page_and_a_heading_that_exist(stored):
    for anchor in {claim.anchor for claim in stored}:
        page, _, heading = anchor.partition("#")
        text = (TOP / "book" / f"{page}.md").read_text(encoding="utf-8")
        assert heading in {
            _slug(line.lstrip("# ")) for line in re.findall(r"^#+ .*$", text, re.MULTILINE)
        }, anchor


def test_every_claim_says_what_counts_and_why(stored):
    for claim in stored:
        assert claim.tolerance
        assert claim.why
        assert str(claim.provenance)
        assert claim.verdict in claims.VERDICTS
        assert claim.chapter == claim.anchor.split("#")[0]


def test_the_page_shows_every_place_once():
    text = (TOP / "book" / "reproduction.md").read_text(encoding="utf-8")
    shown = [
        place
        for call in re.findall(r"^show\((.*?)\)", text, re.MULTILINE | re.DOTALL)
        for place in re.findall(r'"(.*?)"', call)
    ]
    assert sorted(shown) == sorted(claims.PLACES)


def test_a_table_says_once_what_its_rows_share():
    other = _claim(provenance=claims.Provenance("2 runs"), tolerance="above 0", within=None)
    page = claims.html_table([_claim(), _claim(), other])
    assert page.count("<tr>") == 4
    assert "a &lt; b" in page
    assert page.count('href="01_introduction.html#the-argument"') == 3
    assert page.count("exact") == 1
    assert page.count("2 runs") == 1
    assert page.count("± 1") == 2
    assert page.count("Above 0. Because.") == 1
    assert page.count("<sup>b</sup>") == 1


def test_a_long_table_is_summed_up_in_a_line_that_unfolds():
    many = [*[_claim()] * 8, _claim(within=False)]
    page = claims.html_table(many)
    assert "<summary>9 claims: 8 reproduced, 1 not reproduced</summary>" in page
    assert page.count("<details") == page.count("</details>") == 1
    assert "<details" not in claims.html_table(many[:8])


@pytest.mark.parametrize(
    ("n", "words"), [(1, "1 needs the originals"), (2, "2 need the originals")]
)
def test_several_claims_need_and_one_needs_the_originals(n, words):
    without = claims.Provenance(
        "runs of a stand-in, not the data set, only", needs="vaedis data prepare cars3d"
    )
    page = claims.scoreboard({"one": [_claim(within=None, provenance=without)] * n})
    assert words in page


def test_a_scoreboard_counts_verdicts_and_names_what_was_not_reproduced():
    two_runs = claims.Provenance("", "laptop", 2, (10,))
    page = claims.scoreboard(
        {
            "first": [_claim(), _claim(within=False, direction=True, provenance=two_runs)],
            "second": [
                _claim(statement="c > d.", within=False),
                _claim(statement="ours", published="–", within=False),
            ],
            "third": [_claim(within=None, provenance=claims.Provenance("no runs stored"))],
            "nothing": [],
        }
    )
    assert page.count("<tr>") == 4
    assert "1 reproduced, 1 in direction" in page
    assert "exact (1 claim); laptop: 2 runs of 10 steps (1 claim)" in page
    assert re.findall(r"<li>(.*?)</li>", page) == [
        "c &gt; d. Published: 1. Here: 2 (exact).",
        "ours. Here: 2 (exact).",
    ]
    assert ("<i>In direction</i>" in page, "<i>Need the originals</i>" in page) == (True, False)
    assert "no runs stored" not in page
    assert "nothing yet" in page
    assert "No claims" in claims.scoreboard({"nothing": []})


def test_a_scoreboard_counts_claims_that_runs_of_one_length_judge_together():
    bases = [
        claims.Provenance("; 2 to compare with", "laptop", 3, (10,)),
        claims.Provenance("", "laptop", 2, (10,)),
        claims.Provenance("", "laptop", 2, (20,), failed=1),
    ]
    page = claims.scoreboard({"one": [_claim(provenance=basis) for basis in bases]})
    assert "laptop: 2 to 3 runs of 10 steps (2 claims)" in page
    # what is the same is said in full
    assert "laptop: 2 runs of 20 steps, 1 failed (1 claim)" in page
    page = claims.scoreboard({"one": [_claim(provenance=bases[0])] * 2})
    assert "laptop: 3 runs of 10 steps; 2 to compare with<" in page


def test_names_on_a_page_are_text():
    page = claims.html_table([_claim(statement="<script>", here='"<b>')])
    page += claims.scoreboard({"<i>": [_claim(statement="<u>", within=False)]})
    assert not re.search(r"<(script|b>|i>|u>)", page.replace("<b>Tolerance:</b>", ""))


def test_claims_are_grouped_by_place_in_the_order_asked_for(stored):
    groups = claims.by_place(stored, "Figure 9", "Figure 8")
    assert list(groups) == [
        "Figure 9: scores as squares come closer",
        "Figure 8: distances as squares come closer",
    ]
    assert [{c.where for c in found} for found in groups.values()] == [{"Figure 9"}, {"Figure 8"}]
    assert sum(map(len, groups.values())) == sum(
        c.where in ("Figure 8", "Figure 9") for c in stored
    )
    assert {place for maker in base.MAKERS for place in maker.places} == set(claims.PLACES)


def test_each_step_of_the_argument_has_claims_and_no_claim_serves_two(stored):
    steps = claims.argument(results.Store(TOP / "results"))
    assert all(steps.values())
    assert {c.statement for found in steps.values() for c in found} <= {c.statement for c in stored}
    every = [(c.where, c.statement) for found in steps.values() for c in found]
    assert len(set(every)) == len(every)
    assert {c.statement.split(":")[0] for c in steps["VAEs fail on XYSquares"]} == {"XYSquares"}


@pytest.mark.parametrize(("devices", "paired"), [(("cpu", "cpu"), True), (("cpu", "a GPU"), False)])
def test_equal_seeds_on_different_devices_are_no_pairs(devices, paired):
    scores = ([0.3, 0.6, 0.9], [0.2, 0.5, 0.8])
    pair = [
        results.RunTable(
            "x",
            "laptop",
            [
                {
                    "seed": s,
                    "mig": value,
                    "device": device,
                    "data_options": {},
                    "loss_options": {},
                    "model_options": {},
                }
                for s, value in enumerate(values)
            ],
            [],
        )
        for values, device in zip(scores, devices, strict=True)
    ]
    found = beyond.difference_by_seed(*pair, "mig")
    assert found.value == pytest.approx(0.1)
    # within seeds the difference is the same three times, so that nothing is left to be uncertain
    # of
    assert (found.high - found.low < 1e-9) == paired


def test_smoke_runs_judge_nothing():
    profile = grids.PROFILES["smoke"]
    for experiment, where in (("fig9", "Figure 9"), ("fig11", "Figure 11"), ("fig6", "Figure 6")):
        grid = grids.grid(experiment, profile)
        store = _store(experiment, lambda spec: 0.01, grid=grid, scale="smoke")
        found = claims.all_claims(store, where=[where])
        assert {c.verdict for c in found} <= {"not tested", "needs the originals"}
