"""Specifications and their keys, Table A4's grids, profiles."""

import copy
import dataclasses
import json
import pickle
from collections import Counter

import numpy as np
import pytest

import vaedis as vd
from vaedis import spec as experiments
from vaedis.spec import RunSpec
from vaedis_companion import grids, store as results
from vaedis_companion.grids import PROFILES, profile

BETAS = (1e-4, 3.16e-4, 1e-3, 3.16e-3, 1e-2, 3.16e-2, 0.1, 0.316, 1.0)
# (z, channels): the factor, and beta as a weight of sums for each of BETAS, at 64×64 pixels
BETA_SUM = {
    (9, 3): (1365.3, (0.137, 0.431, 1.37, 4.31, 13.7, 43.1, 137, 431, 1365)),
    (25, 3): (491.5, (0.049, 0.155, 0.492, 1.55, 4.92, 15.5, 49.2, 155, 492)),
    (9, 1): (455.1, (0.046, 0.144, 0.455, 1.44, 4.55, 14.4, 45.5, 144, 455)),
    (25, 1): (163.8, (0.016, 0.052, 0.164, 0.518, 1.64, 5.18, 16.4, 51.8, 164)),
}


@pytest.mark.parametrize(("latents", "channels"), BETA_SUM)
def test_beta_as_a_weight_of_sums_is_that_of_the_normalisation_table(latents, channels):
    factor, expected = BETA_SUM[latents, channels]
    assert RunSpec(beta=1.0, latents=latents).beta_sum((64, 64, channels)) == pytest.approx(
        factor, abs=0.05
    )
    for beta, value in zip(BETAS, expected, strict=True):
        # the table has three digits, or three after the point
        found = RunSpec(beta=beta, latents=latents).beta_sum((64, 64, channels))
        assert found == pytest.approx(value, rel=5e-3, abs=6e-4)


def test_a_key_stays_what_it_was():
    # stored runs are found by these; if one changes on purpose, experiments.MEANING must be raised
    # and the runs made anew
    assert RunSpec().key == "cbf62e4384d74986"
    shown = RunSpec(
        data_options={"grid_spacing": 1}, framework="beta-vae", beta=0.00316, steps=2_000, batch=64
    )
    assert shown.key == "6ac594c682994d2c"


def test_every_stored_run_has_the_key_of_its_specification():
    store = results.Store()
    rows = [row for table in store.tables() for row in store.rows(*table)]
    assert len(rows) > 400
    assert [row["key"] for row in rows if results.spec_of(row).key != row["key"]] == []


@pytest.mark.parametrize(("experiment", "name"), results.Store().tables())
def test_committed_runs_are_those_of_their_grids(experiment, name):
    size = grids.COORDINATES if name == "coordinates" else name
    stored = {row["key"] for row in results.Store().rows(experiment, name)}
    assert stored
    assert stored <= {spec.key for spec in grids.grid(experiment, size)}


CHANGES = {
    "data": "dsprites",
    "data_options": {"grid_spacing": 1},
    "framework": "beta-vae",
    "beta": 0.002,
    "latents": 8,
    "loss": "box-blur",
    "loss_options": {"radius": 3},
    "steps": 10,
    "batch": 64,
    "lr": 1e-4,
    "warmup": 5,
    "average": "published",
    "pairs": "paper-text",
    "model": "mlp",
    "model_options": {"padding": 1},
    "normalize": False,
    "seed": 1,
    "beta_schedule": "cyclic",
    "lr_schedule": "cosine",
    "custom": {"objective": "mine 1a2b"},
}


def test_every_field_has_a_part_in_the_key():
    assert set(CHANGES) == {f.name for f in dataclasses.fields(RunSpec)}
    spec = RunSpec(framework="ada-gvae", warmup=3)
    keys = {spec.key, *(spec.replace(**{name: value}).key for name, value in CHANGES.items())}
    assert len(keys) == len(CHANGES) + 1


@pytest.mark.parametrize(
    ("base", "changes"),
    [
        ({}, {"average": "published"}),
        ({}, {"pairs": "paper-text"}),
        ({"loss": "bce"}, {"normalize": False}),
        ({"beta": 0.0}, {"warmup": 5}),
        ({}, {"data_options": {"distance_options": {"radius": 3.0}}}),
    ],
)
def test_what_cannot_matter_has_no_part_in_the_key(base, changes):
    spec = RunSpec(**base)
    if "data_options" in changes:
        spec = spec.replace(data_options={"distance_options": {"radius": 3}})
    assert spec.replace(**changes).key == spec.key
    # where it does matter, it has one
    other = RunSpec(framework="ada-gvae")
    assert "data_options" in changes or other.replace(**changes).key != other.key


def test_options_cannot_be_changed_behind_the_key():
    given = {"hidden": [3, [4, 5]], "inner": {"a": 1}}
    spec = RunSpec(model="mlp", model_options=given)
    key = spec.key
    given["hidden"][1].append(6)
    given["inner"]["a"] = 2
    spec.to_dict()["model_options"]["hidden"][1].append(6)
    for change in (
        lambda o: o.__setitem__("hidden", [1]),
        lambda o: o.update(hidden=[1]),
        lambda o: o.__ior__({"hidden": [1]}),
        lambda o: o.pop("hidden"),
        lambda o: o.clear(),
        lambda o: o.setdefault("new", 1),
        lambda o: o["inner"].__setitem__("a", 2),
        lambda o: o["inner"].__delitem__("a"),
    ):
        with pytest.raises(
            TypeError, match="the options of a RunSpec cannot be changed; make another by replace"
        ):
            change(spec.model_options)
    assert not hasattr(spec.model_options["hidden"], "append")
    assert (
        spec.key
        == key
        == RunSpec(model="mlp", model_options={"hidden": [3, [4, 5]], "inner": {"a": 1}}).key
    )
    for same in (
        copy.copy(spec),
        copy.deepcopy(spec),
        pickle.loads(pickle.dumps(spec)),
        RunSpec(**json.loads(json.dumps(spec.to_dict()))),
    ):
        assert same == spec
        assert same.key == key
        assert hash(same.model_options) == hash(spec.model_options)
    assert json.loads(json.dumps(spec.model_options)) == {"hidden": [3, [4, 5]], "inner": {"a": 1}}


def test_the_meaning_of_the_code_has_a_part_in_the_key(monkeypatch):
    before = RunSpec().key
    monkeypatch.setattr(experiments, "MEANING", experiments.MEANING + 1)
    assert RunSpec().key != before


def test_a_specification_is_a_value():
    options = {"grid_spacing": 1}
    spec = RunSpec(data_options=options)
    options["grid_spacing"] = 2
    assert spec.data_options == {"grid_spacing": 1}
    assert spec == RunSpec(data_options={"grid_spacing": 1})
    assert len({spec, RunSpec(data_options={"grid_spacing": 1}), RunSpec()}) == 2
    assert spec.replace(seed=4).seed == 4
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.seed = 3
    assert RunSpec(**spec.to_dict()) == spec


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"framework": "vae"}, "Unknown framework 'vae'; choose one of: beta-vae, ada-gvae"),
        ({"average": "both"}, "Unknown average 'both'; choose one of: mean, published"),
        ({"pairs": "random"}, "Unknown pair rule 'random'; choose one of: paper-code, paper-text"),
        ({"model": "resnet"}, "Unknown model 'resnet'; choose one of: conv, mlp"),
        ({"beta": -0.1}, "beta must be a finite number of at least 0, not -0.1"),
        ({"beta": float("nan")}, "beta must be a finite number of at least 0, not nan"),
        ({"beta": "0.1"}, "beta must be a finite number of at least 0, not '0.1'"),
        ({"lr": 0}, "lr must be above 0, not 0"),
        ({"steps": 0}, "steps must be a whole number of at least 1, not 0"),
        (
            {"warmup": 5, "steps": 4},
            "warmup must be at most steps = 4, not 5, or beta never reaches its value",
        ),
        ({"warmup": -1}, "warmup must be a whole number of at least 0, not -1"),
        ({"batch": 0}, "batch must be a whole number of at least 1, not 0"),
        ({"latents": 0}, "latents must be a whole number of at least 1, not 0"),
        ({"latents": 9.0}, "latents must be a whole number of at least 1, not 9.0"),
        ({"steps": True}, "steps must be a whole number of at least 1, not True"),
        ({"seed": -1}, "seed must be a whole number of at least 0, not -1"),
        ({"normalize": 1}, "normalize must be True or False, not 1"),
    ],
)
def test_values_that_do_not_exist_or_fit_are_one_clear_sentence(changes, says):
    with pytest.raises(ValueError, match=says) as error:
        RunSpec(**changes)
    assert "\n" not in str(error.value)


def test_figure_6_has_the_160_runs_of_table_a4():
    grid = grids.grid("fig6", "paper")
    assert len({s.key for s in grid}) == len(grid) == 160
    assert {s.beta for s in grid} == {0.000316, 0.001, 0.00316, 0.01, 0.0316, 0.1, 0.316, 1.0}
    assert Counter(s.latents for s in grid) == {9: 80, 25: 80}
    assert Counter(s.framework for s in grid) == {"beta-vae": 80, "ada-gvae": 80}
    assert Counter(s.data for s in grid) == dict.fromkeys(
        ("xysquares", "smallnorb", "cars3d", "shapes3d", "dsprites"), 32
    )
    assert {(s.steps, s.batch, s.lr, s.loss, s.normalize) for s in grid} == {
        (115_200, 256, 1e-3, "mse", True)
    }


def test_smaller_profiles_run_figure_6_twice_at_one_beta_on_data_that_is_made_here():
    grid = grids.grid("fig6", "laptop")
    assert len({s.key for s in grid}) == len(grid) == 20
    assert {(s.beta, s.latents) for s in grid} == {(0.001, 9)}
    assert Counter((s.data, s.framework) for s in grid) == {
        (d, f): 2 for d in grids._MADE_HERE for f in experiments.FRAMEWORKS
    }


@pytest.mark.parametrize(
    ("name", "others"), [("laptop", {"rendered", "stand-in"}), ("paper", {"original"})]
)
def test_figure_6_says_where_its_images_come_from(name, others):
    grid = grids.grid("fig6", name)
    assert {s.data_options.get("origin") for s in grid if s.data != "xysquares"} == others
    assert {s.data_options["grid_spacing"] for s in grid if s.data == "xysquares"} == {8}
    for s in grid:
        origin = s.data_options.get("origin")
        assert origin is None or origin in vd.data.DATA_SETS[s.data]


def test_the_study_of_beta_has_every_beta_of_table_a4_from_the_middle_outwards():
    grid = grids.grid("beta", "laptop")
    assert len({s.key for s in grid}) == len(grid) == 2 * 2 * 8
    assert [s.beta for s in grid[:6:2]] == [0.0316, 0.01, 0.1]
    assert {s.beta for s in grid} == {s.beta for s in grids.grid("fig6", "paper")}
    assert {(s.framework, s.latents, s.steps) for s in grid} == {("beta-vae", 9, 2_000)}


def test_figure_9_shows_80_runs_with_the_betas_that_the_figure_selects():
    grid = grids.grid("fig9", "paper")
    assert len({s.key for s in grid}) == len(grid) == 80
    assert Counter(s.data_options["grid_spacing"] for s in grid) == dict.fromkeys(range(1, 9), 10)
    assert Counter(s.seed for s in grid) == dict.fromkeys(range(5), 16)
    for s in grid:
        near = s.data_options["grid_spacing"] in (1, 2)
        assert s.beta == (0.00316 if s.framework == "beta-vae" and near else 0.001)
        assert (s.latents, s.steps, s.batch, s.loss, s.average, s.pairs) == (
            9,
            57_600,
            256,
            "mse",
            "mean",
            "paper-code",
        )


def test_figure_11_pools_both_betas_of_both_losses_in_40_runs():
    grid = grids.grid("fig11", "paper")
    assert len({s.key for s in grid}) == len(grid) == 40
    cells = Counter((s.loss, s.beta, s.framework) for s in grid)
    assert cells == {
        (loss, beta, f): 5
        for loss in ("mse", "box-blur")
        for beta in (0.0001, 0.0316)
        for f in experiments.FRAMEWORKS
    }
    assert {(s.latents, s.steps, s.batch, s.data_options["grid_spacing"]) for s in grid} == {
        (25, 57_600, 256, 8)
    }


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("experiment", grids.GRIDS)
def test_every_cell_comes_once_before_any_second_repeat(experiment, name):
    seeds = [s.seed for s in grids.grid(experiment, name)]
    cells = [s.replace(seed=0).key for s in grids.grid(experiment, name)]
    assert seeds == sorted(seeds)
    once = len(set(cells))
    assert len(cells) % once == 0
    for start in range(0, len(cells), once):
        assert cells[start : start + once] == cells[:once]


def test_a_grid_is_that_of_a_profile_given_by_name_or_as_it_is(monkeypatch):
    assert grids.grid("fig9", "laptop") == grids.grid("fig9", PROFILES["laptop"])
    monkeypatch.setenv("VAEDIS_PROFILE", "laptop")
    assert grids.grid("fig9") == grids.grid("fig9", "laptop")
    with pytest.raises(
        ValueError,
        match="Unknown experiment 'fig7'; choose one of: fig6, fig9, fig11, averaging, beta, warmup, limits, longer",
    ):
        grids.grid("fig7")


def test_a_profile_is_the_argument_then_the_environment_then_smoke(monkeypatch):
    assert profile().name == "smoke"
    monkeypatch.setenv("VAEDIS_PROFILE", "laptop")
    assert profile().name == "laptop"
    assert profile("paper").name == "paper"
    monkeypatch.setenv("VAEDIS_PROFILE", "")
    assert profile().name == "smoke"
    for wrong in ("big", "Smoke"):
        with pytest.raises(
            ValueError,
            match=f"Unknown profile '{wrong}'; choose one of: smoke, laptop, settings, long, paper",
        ):
            profile(wrong)
    monkeypatch.setenv("VAEDIS_PROFILE", "big")
    with pytest.raises(ValueError, match="Unknown profile 'big'"):
        profile()


def test_equal_specifications_have_one_key_however_their_numbers_are_given():
    spec = RunSpec(
        beta=1.0,
        steps=8,
        data_options={"grid_spacing": 4},
        loss="box-blur",
        loss_options={"weight": 49.0},
    )
    same = RunSpec(
        beta=1,
        steps=np.int64(8),
        data_options={"grid_spacing": np.int64(4)},
        loss="box-blur",
        loss_options={"weight": 49},
    )
    assert same == spec
    assert same.key == spec.key
    assert (type(same.beta), type(same.steps)) == (float, int)
    assert spec.replace(loss_options={"weight": 49.5}).key != spec.key
    assert (
        spec.replace(model="mlp", model_options={"hidden": [8]}).key
        == spec.replace(model="mlp", model_options={"hidden": (8.0,)}).key
    )


def test_the_plan_has_each_run_of_its_experiments_once_and_in_their_tables():
    scale = PROFILES["long"]
    plan = grids.grid("plan", "long")
    keys = [spec.key for spec in plan]
    assert len(set(keys)) == len(keys)
    near = [
        s for s in grids.grid("averaging", "long") if s.data_options["grid_spacing"] in (1, 2, 4)
    ]
    parts = {name: grids.grid(name, "long") for name in ("fig9", "fig11", "low_beta")} | {
        "averaging": near
    }
    for name, specs in parts.items():
        assert [grids.home("plan", spec, scale) for spec in specs] == [name] * len(specs)
    assert set(keys) == {spec.key for specs in parts.values() for spec in specs}
    assert all(spec.steps == 57_600 and spec.batch == 64 for spec in plan)
    first = [(s.framework, s.data_options["grid_spacing"], s.latents, s.seed) for s in plan[:4]]
    assert first == [("ada-gvae", spacing, 9, 0) for spacing in (1, 4, 8, 2)]
    assert {s.latents for s in plan[4:8]} == {25}
    assert [s.seed for s in plan] == sorted(s.seed for s in plan)
    assert grids.home("fig9", plan[4], scale) == "fig9"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"data_options": {1: 2, "a": 3}}, "the names in data_options must be text, not 1"),
        ({"model_options": {"a": [{2: 1}]}}, "the names in model_options must be text, not 2"),
        ({"data_options": None}, "data_options must be a mapping from names to values, not None"),
        ({"loss_options": [1]}, r"loss_options must be a mapping from names to values, not \[1\]"),
        (
            {"data": 3},
            r"data must be the name of a data set, not a int; give your own as in fit\(spec, data=mine\)",
        ),
        ({"loss": None}, "loss must be the name of a loss or a Loss, not None"),
    ],
)
def test_what_no_key_can_follow_from_is_refused_at_once(options, says):
    with pytest.raises(ValueError, match=f"^{says}"):
        RunSpec(**options)


def test_zero_has_one_key_whatever_its_sign_and_large_numbers_have_one():
    assert RunSpec(beta=-0.0) == RunSpec(beta=0.0)
    assert RunSpec(beta=-0.0).key == RunSpec(beta=0.0).key
    assert RunSpec(data_options={"a": 10**400}).key != RunSpec(data_options={"a": 10**400 + 1}).key


@pytest.mark.parametrize(
    ("experiment", "name"),
    [
        ("fig6", "paper"),
        ("fig6", "settings"),
        ("fig11", "paper"),
        ("fig9", "long"),
        ("plan", "long"),
    ],
)
def test_other_steps_and_seeds_change_nothing_else(experiment, name):
    usual = grids.grid(experiment, name)
    resized = grids.grid(experiment, grids.PROFILES[name].resized(steps=50_000, seeds=2))
    settings = {spec.replace(seed=0, steps=1) for spec in usual}
    assert {spec.replace(seed=0, steps=1) for spec in resized} == settings
    assert {spec.steps for spec in resized} == {50_000}
    assert {spec.seed for spec in resized} == {0, 1}
    assert len(resized) == 2 * len(settings)


@pytest.mark.parametrize("experiment", ["fig6", "beta", "longer", "batch", "averaging"])
def test_the_number_of_seeds_that_was_asked_for_is_run(experiment):
    specs = grids.grid(experiment, grids.PROFILES["laptop"].resized(seeds=4))
    assert {spec.seed for spec in specs} == {0, 1, 2, 3}


def test_a_plan_of_other_steps_knows_its_stored_runs(tmp_path):
    resized = grids.PROFILES["smoke"].resized(steps=2, seeds=1)
    specs = grids.grid("plan", resized)
    store = results.Store(tmp_path)
    scores = {"mig": 0.1, "dci": 0.1}
    for spec in specs[:3]:
        store.add(results.make_row(spec, "fig9", resized.name, scores=scores))
    assert store.keys("plan", resized.name) == {spec.key for spec in specs[:3]}
    assert store.keys("plan", "smoke") == set()
