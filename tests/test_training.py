"""Networks, objectives and fit."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import vaedis as vd
from vaedis import experiments, frameworks, losses, model, train
from vaedis.experiments import RunSpec

SMALL = RunSpec(
    data_options={"num_squares": 1, "rgb": False, "image_size": 16, "square_size": 4, "grid_spacing": 1, "grid_size": 4},
    model="mlp",
    model_options={"hidden": (32,)},
    latents=2,
    batch=8,
    steps=40,
)


@pytest.mark.parametrize(("channels", "latents", "parameters"), [(3, 9, 912_981), (3, 25, 925_301), (1, 9, 910_931), (1, 25, 923_251)])
def test_parameters_of_the_network(channels, latents, parameters):
    network = model.build("conv", (64, 64, channels), latents)
    assert model.count_parameters(network) == parameters
    mean, logvar = network.encode(torch.zeros(2, channels, 64, 64))
    assert mean.shape == logvar.shape == (2, latents)
    assert network.decode(mean).shape == (2, channels, 64, 64)


def test_initial_weights_are_xavier_normal_and_follow_the_seed():
    one, same, other = (model.build("conv", (64, 64, 3), 9, seed=s) for s in (0, 0, 1))
    for a, b in zip(one.parameters(), same.parameters(), strict=True):
        assert (a == b).all()
    assert any((a != b).any() for a, b in zip(one.parameters(), other.parameters(), strict=True))
    head = [m for m in one.modules() if isinstance(m, torch.nn.Linear)]
    assert head[0].in_features == 1600
    assert float(head[1].weight.detach().std()) == pytest.approx((2 / (256 + 18)) ** 0.5, rel=0.05)
    assert all((m.bias == 0).all() for m in head)


def test_ada_gvae_equals_a_loop_over_pairs_and_latents():
    g = torch.Generator().manual_seed(0)
    m0, l0, m1, l1 = torch.randn(4, 7, 5, generator=g, dtype=torch.float64)
    for average in ("mean", "published"):
        got = frameworks.average_shared(m0, l0, m1, l1, average=average)
        for b in range(7):
            v0, v1 = l0[b].exp(), l1[b].exp()
            delta = [
                float(0.25 * (v0[i] / v1[i] + v1[i] / v0[i] - 2 + (m0[b, i] - m1[b, i]) ** 2 * (1 / v0[i] + 1 / v1[i]))) for i in range(5)
            ]
            middle = (min(delta) + max(delta)) / 2
            for i in range(5):
                if delta[i] < middle:
                    mean = (m0[b, i] + m1[b, i]) / 2 if average == "mean" else m1[b, i]
                    expected = (mean, ((v0[i] + v1[i]) / 2).log(), mean, ((v0[i] + v1[i]) / 2).log())
                else:
                    expected = (m0[b, i], l0[b, i], m1[b, i], l1[b, i])
                assert [float(t[b, i]) for t in got] == pytest.approx([float(e) for e in expected], abs=1e-12)


def test_the_threshold_is_strict():
    same = torch.zeros(1, 4)
    assert not frameworks.shared_latents(same, same, same, same).any()
    apart = torch.tensor([[0.0, 0.0, 3.0]])
    zero = torch.zeros(1, 3)
    assert frameworks.shared_latents(zero, zero, apart, zero).tolist() == [[True, True, False]]


def test_losses_are_means_and_divergence_is_taken_after_averaging():
    network = model.build("mlp", (16, 16, 1), 3, hidden=(8,))
    x = torch.rand(6, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    terms = frameworks.ada_gvae(network, x, noise, loss=losses.get("mse"), beta=0.5)
    mean, logvar = network.encode(x)
    m0, l0, m1, l1 = frameworks.average_shared(*(t for pair in zip(mean.chunk(2), logvar.chunk(2), strict=True) for t in pair))
    mean, logvar = torch.cat([m0, m1]), torch.cat([l0, l1])
    decoded = network.decode(mean + noise * (logvar / 2).exp())
    assert terms.recon.item() == pytest.approx((decoded - x).square().mean().item(), rel=1e-5)
    assert terms.kl.item() == pytest.approx(losses.kl_to_prior(mean, logvar).mean().item(), rel=1e-5)
    assert terms.loss.item() == pytest.approx((terms.recon + 0.5 * terms.kl).item(), rel=1e-6)


@pytest.mark.parametrize("framework", ["beta-vae", "ada-gvae"])
def test_same_spec_same_bits_and_the_loss_falls(framework):
    spec = SMALL.replace(framework=framework, steps=150)
    one, two, other = (vd.fit(s, device="cpu") for s in (spec, spec, spec.replace(seed=1)))
    assert (one.history["loss"] == two.history["loss"]).all()
    assert (one.history["loss"] != other.history["loss"]).any()
    assert len(one.history["loss"]) == 150
    assert one.history["recon"][-10:].mean() < 0.9 * one.history["recon"][:10].mean()


def test_each_epoch_sees_every_image_once_and_keeps_the_last_short_batch():
    data = vd.load("xysquares", **SMALL.data_options)
    source = train._batches(SMALL.replace(batch=6), data, losses.get("mse"))
    epoch = [next(source) for _ in range(3)]
    assert [len(x) for x in epoch] == [6, 6, 4]
    assert len(torch.cat(epoch).flatten(1).unique(dim=0)) == 16


def test_a_loss_that_is_not_finite_stops_the_run_with_step_spec_and_last_loss():
    spec = SMALL.replace(lr=1e12, steps=60)
    with pytest.raises(vd.TrainingFailed, match=r"at step \d+ of 60") as caught:
        vd.fit(spec, device="cpu")
    assert caught.value.spec == spec
    assert 1 < caught.value.step <= 60
    assert np.isfinite(caught.value.last_finite)


def test_bce_trains_on_the_unit_range_and_own_data_can_be_passed():
    data = vd.load("xysquares", **SMALL.data_options)
    run = vd.fit(SMALL.replace(loss="bce", steps=5), device="cpu", data=data)
    assert not run.standardise
    assert run.pictures(torch.zeros(1, 2)).dtype == torch.uint8
    seen = []
    vd.fit(SMALL.replace(steps=6), device="cpu", every=2, callback=lambda step, run: seen.append((step, len(run.history["kl"]))))
    assert seen == [(2, 2), (4, 4), (6, 6)]


def test_a_list_of_specs_is_a_list_of_runs():
    runs = vd.fit([SMALL.replace(steps=2), SMALL.replace(steps=3)], device="cpu")
    assert [len(r.history["loss"]) for r in runs] == [2, 3]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_follows_the_cpu():
    spec = RunSpec(steps=3, batch=32)
    cpu, gpu = (vd.fit(spec, device=d).history["loss"][:1] for d in ("cpu", "cuda"))
    np.testing.assert_allclose(cpu, gpu, rtol=0.05)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"framework": "vae"}, "Unknown framework 'vae'; choose one of: beta-vae, ada-gvae"),
        ({"average": "both"}, "Unknown average"),
        ({"model": "resnet"}, "Unknown model"),
        ({"beta": -1}, "beta must be a finite number of at least 0"),
        ({"steps": 0}, "steps must be a whole number of at least 1"),
        ({"batch": 0}, "batch must be"),
        ({"latents": 0}, "latents must be"),
        ({"lr": 0}, "lr must be above 0"),
    ],
)
def test_bad_specs_are_one_sentence(changes, says):
    with pytest.raises(ValueError, match=says):
        RunSpec(**changes)


def test_bad_names_are_found_before_training():
    with pytest.raises(ValueError, match="Unknown loss 'l3'"):
        vd.fit(SMALL.replace(loss="l3"))
    with pytest.raises(ValueError, match="64×64"):
        vd.fit(SMALL.replace(model="conv", model_options={}))


# ---- experiments ----


def test_grids_have_the_sizes_of_table_a4():
    assert [len(experiments.grid(name, "paper")) for name in ("fig6", "fig9", "fig11")] == [160, 80, 40]
    grid = experiments.grid("fig9", "paper")
    assert {s.seed for s in grid[:16]} == {0}
    assert len({s.key for s in grid}) == 80
    for s in grid:
        near = s.data_options["grid_spacing"] < 3
        assert s.beta == (0.00316 if near and s.framework == "beta-vae" else 0.001)


@pytest.mark.parametrize(
    ("latents", "channels", "beta", "summed"), [(9, 3, 1e-3, 1.37), (25, 3, 0.0316, 15.5), (9, 1, 1.0, 455), (25, 1, 1e-4, 0.016)]
)
def test_beta_as_a_weight_of_sums(latents, channels, beta, summed):
    assert RunSpec(latents=latents, beta=beta).beta_sum((64, 64, channels)) == pytest.approx(summed, rel=0.03)


def test_keys_differ_with_every_field_and_stored_keys_stay_valid():
    assert RunSpec().key == RunSpec().key
    changed = [RunSpec(seed=1), RunSpec(beta=0.1), RunSpec(average="published"), RunSpec(data_options={"grid_spacing": 1})]
    assert len({s.key for s in [RunSpec(), *changed]}) == 5
    store = vd.results.Store()
    for experiment in ("fig9", "fig11"):
        rows = store.rows(experiment, "laptop")
        assert rows
        assert [vd.results.spec_of(r).key for r in rows] == [r["key"] for r in rows]


def test_profiles_resolve_from_argument_then_environment_then_smoke(monkeypatch):
    monkeypatch.setenv("VAEDIS_PROFILE", "laptop")
    assert vd.profile().name == "laptop"
    assert vd.profile("paper").name == "paper"
    monkeypatch.delenv("VAEDIS_PROFILE")
    assert vd.profile().name == "smoke"
    with pytest.raises(ValueError, match="Unknown profile 'big'; choose one of: smoke, laptop, paper"):
        vd.profile("big")


def test_importing_and_fitting_need_only_torch_and_numpy():
    code = (
        "import sys\n"
        "for name in ('scipy', 'sklearn', 'numba', 'matplotlib', 'pandas', 'jupytext', 'nbformat'):\n"
        "    sys.modules[name] = None\n"
        "import vaedis as vd\n"
        "run = vd.fit(vd.RunSpec(steps=1, batch=2, model='mlp'), device='cpu')\n"
        "try:\n"
        "    import vaedis.plots\n"
        "except ImportError as e:\n"
        "    print(e)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "vaedis[plots]" in done.stdout
