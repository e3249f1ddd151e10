"""Verdicts must follow from the numbers: stores are made up here so that each verdict has to come out."""

import numpy as np
import pytest

from vaedis import claims, experiments, results
from vaedis.experiments import RunSpec, profile


def _store(tmp_path, experiment, score_of):
    """A store in which every run of the laptop grid has the score that a function of its specification gives."""
    store = results.Store(tmp_path)
    for spec in experiments.grid(experiment, "laptop"):
        value = score_of(spec)
        row = results.make_row(spec, experiment, "laptop", scores={"mig": value, "dci": value})
        store.add(row, {"z/x_R": _matrix(spec)})
    return store


def _matrix(spec: RunSpec) -> np.ndarray:
    step = np.arange(8)
    ordered = np.abs(step[:, None] - step).astype(float)
    return ordered if spec.loss == "box-blur" else np.ones((8, 8)) - np.eye(8)


def _found(store, where, **contains):
    picked = [c for c in claims.all_claims(store) if c.where == where and all(t in c.statement for t in contains.values())]
    assert picked
    return picked


def test_distances_of_xysquares_are_reproduced_without_any_run(tmp_path):
    found = claims.all_claims(results.Store(tmp_path))
    by_place = {}
    for claim in found:
        by_place.setdefault(claim.where, set()).add(claim.verdict)
    assert by_place["Section 5.1"] == {"reproduced"}
    assert by_place["Figure 8"] == {"reproduced"}
    assert by_place["Table A2"] == {"reproduced"}
    assert by_place["Table A1"] == {"reproduced", "not tested"}
    assert by_place["Figure 9"] == by_place["Figure 11"] == {"not tested"}


@pytest.mark.parametrize(
    ("score_of", "expected"),
    [
        (lambda spec: {1: 0.8, 2: 0.7, 4: 0.2, 8: 0.02}[spec.data_options["grid_spacing"]], {"reproduced"}),
        (lambda spec: 0.45 - 0.01 * spec.data_options["grid_spacing"], {"in direction"}),
        (lambda spec: 0.99 if spec.data_options["grid_spacing"] == 8 else 0.45, {"not reproduced"}),
    ],
)
def test_figure_9_is_judged_by_range_and_direction(tmp_path, score_of, expected):
    store = _store(tmp_path, "fig9", score_of)
    picked = [c for c in _found(store, "Figure 9", a="ada-gvae", b="MIG") if c.verdict != "not tested"]
    assert len(picked) == len(profile("laptop").spacings)
    spacing_8 = [c for c in picked if "spacing 8" in c.statement or "spacing 1:" in c.statement]
    assert {c.verdict for c in spacing_8} == expected


def test_figure_11_is_in_direction_when_blur_helps_outside_the_published_range(tmp_path):
    store = _store(tmp_path, "fig11", lambda spec: 0.95 if spec.loss == "box-blur" else 0.3)
    verdicts = {c.statement: c.verdict for c in _found(store, "Figure 11", a="MIG")}
    assert set(verdicts.values()) == {"in direction"}


def test_figure_11_is_not_reproduced_when_blur_hurts(tmp_path):
    store = _store(tmp_path, "fig11", lambda spec: 0.0 if spec.loss == "box-blur" else 0.95)
    assert {c.verdict for c in _found(store, "Figure 11", a="DCI", b="mse")} == {"not reproduced"}


def test_box_blur_within_its_range_is_not_reproduced_if_it_is_no_better_than_mse(tmp_path):
    store = _store(tmp_path, "fig11", lambda spec: 0.014)
    verdicts = {c.statement: c.verdict for c in _found(store, "Figure 11", a="beta-vae", b="MIG")}
    assert verdicts == {
        "beta-vae with mse: range of MIG": "reproduced",
        "beta-vae with box-blur: range of MIG": "not reproduced",
    }


def test_figure_10_is_judged_by_the_order_of_stored_latent_distances(tmp_path):
    store = _store(tmp_path, "fig11", lambda spec: 0.5)
    assert {c.verdict for c in _found(store, "Figure 10")} == {"reproduced"}


def test_a_number_outside_every_tolerance_is_never_called_reproduced():
    assert claims.verdict(False) == "not reproduced"
    assert claims.verdict(False, True) == "in direction"
    assert claims.verdict(True, False) == "reproduced"
    assert claims.verdict(None, True) == "not tested"


def test_a_score_at_chance_is_not_within_a_range_that_starts_near_zero():
    assert not claims._in_range(0.006, 0.05, 0.38)
    assert claims._in_range(0.03, 0.05, 0.38)
    assert claims._in_range(0.68, 0.72, 0.91)
    assert not claims._in_range(0.66, 0.72, 0.91)
    assert claims._in_range(0.0, 0.0, 0.04)
