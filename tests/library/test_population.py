"""A population: each member equals the same specification trained alone, and one that fails takes
no other with it.
"""

import numpy as np
import pytest
import torch

import vaedis as vd
from vaedis.spec import RunSpec
from vaedis.training import population

TINY = RunSpec(
    data_options={"image_size": 16, "square_size": 4, "grid_size": 4, "num_squares": 1},
    model="mlp",
    model_options={"hidden": [32, 24]},
    latents=3,
    steps=12,
    batch=8,
)
COORDINATES = TINY.replace(data="coordinates", data_options={"num_squares": 1, "rotation": 0})


def fit(specs, **options):
    return vd.fit(specs, device="cpu", **options)


def assert_same(run, alone, *, atol=1e-5):
    assert run.spec == alone.spec
    for ours, theirs in zip(run.model.parameters(), alone.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=atol)
    for term in ("loss", "recon", "kl"):
        np.testing.assert_allclose(run.history[term], alone.history[term], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("framework", ["beta-vae", "ada-gvae"])
def test_each_member_is_the_same_specification_trained_alone(framework):
    first = TINY.replace(framework=framework)
    specs = [
        first,
        first.replace(seed=1),
        first.replace(beta=0.5),
        first.replace(beta=0.5, warmup=5),
        first.replace(lr=1e-2),
        first.replace(average="published", pairs="paper-text", seed=2),
        first.replace(loss="box-blur", loss_options={"radius": 3, "weight": 2.0}),
        first.replace(normalize=False),
        first.replace(data_options={**TINY.data_options, "grid_spacing": 3}),
    ]
    runs = fit(specs)
    for run, spec in zip(runs, specs, strict=True):
        assert_same(run, fit(spec))
        assert run.failure is None
        assert not run.model.training
    # what is compared does differ between members
    assert len({float(run.history["loss"][-1]) for run in runs}) == len(specs)


def test_members_may_differ_in_spacing_distance_and_rotation_of_their_coordinates():
    specs = [
        COORDINATES.replace(
            framework="ada-gvae", data_options={**COORDINATES.data_options, **options}
        )
        for options in ({"grid_spacing": 1}, {"distance": "box-blur"}, {"rotation": 3})
    ]
    for run, spec in zip(fit(specs), specs, strict=True):
        assert_same(run, fit(spec))


def test_equal_data_sets_are_made_once():
    one, two, other = fit(
        [
            TINY,
            TINY.replace(seed=1),
            TINY.replace(data_options={**TINY.data_options, "grid_spacing": 3}),
        ]
    )
    assert one.data is two.data
    assert one.data is not other.data


def test_a_member_that_fails_stops_with_a_warning_and_the_others_go_on():
    specs = [
        TINY.replace(steps=120, seed=1),
        TINY.replace(steps=120, lr=1e12),
        TINY.replace(steps=120),
    ]
    with pytest.warns(
        RuntimeWarning,
        match=r"Run 2 of 3 failed: The loss became .* lower beta or lr",
    ):
        runs = fit(specs)
    failure = runs[1].failure
    assert isinstance(failure, vd.TrainingFailed)
    assert failure.spec == specs[1]
    with pytest.raises(vd.TrainingFailed) as alone:
        fit(specs[1])
    assert failure.step == alone.value.step
    assert len(runs[1].history["loss"]) == failure.step
    assert not np.isfinite(runs[1].history["loss"][-1]) or runs[1].history["loss"][-1] > 1e20
    for k in (0, 2):
        assert runs[k].failure is None
        assert_same(runs[k], fit(specs[k]), atol=1e-4)


def test_a_callback_sees_every_member_that_lives_and_changes_nothing():
    seen = []

    def look(step, run):
        assert not run.model.training
        seen.append(
            (
                step,
                run.spec.seed,
                len(run.history["kl"]),
                float(run.posterior(torch.arange(4))[0].sum()),
            )
        )

    specs = [TINY, TINY.replace(seed=1)]
    runs = fit(specs, callback=look, every=5)
    assert [s[:3] for s in seen] == [(5, 0, 5), (5, 1, 5), (10, 0, 10), (10, 1, 10)]
    assert len({s[3] for s in seen}) == 4
    for run, spec in zip(runs, specs, strict=True):
        assert_same(run, fit(spec))


SHARED = r"Specification 1 has {} = .* and specification 0 has .* share it; train them apart"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model": "conv", "model_options": {}}, SHARED.format("model")),
        ({"model_options": {"hidden": [32]}}, SHARED.format("model_options")),
        ({"latents": 4}, SHARED.format("latents")),
        ({"framework": "ada-gvae"}, SHARED.format("framework")),
        ({"batch": 9}, SHARED.format("batch")),
        ({"steps": 13}, SHARED.format("steps")),
        (
            {"data_options": {**TINY.data_options, "image_size": 17}},
            r"Specification 1 trains on 16 observations of shape \(17, 17, 3\)",
        ),
        (
            {"data_options": {**TINY.data_options, "grid_size": 3}},
            "trains on 9 observations .* on 16 of .* cannot be stacked",
        ),
        ({"loss": "msee"}, "Unknown loss 'msee'"),
    ],
)
def test_members_that_cannot_be_stacked_are_refused_before_the_first_step(
    monkeypatch, changes, says
):
    monkeypatch.setattr(
        population.PopulationStep, "__call__", lambda *a, **k: pytest.fail("a step was made")
    )
    with pytest.raises(ValueError, match=says):
        fit([TINY, TINY.replace(**changes)])
