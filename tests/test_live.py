"""The live figures' mathematics, run by Node, agree with the package."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

import vaedis as vd
from vaedis import frameworks, losses, model
from vaedis.data import Coordinates
from vaedis.distances import confusion

SCRIPT = Path(__file__).parents[1] / "book" / "assets" / "live" / "vae.js"
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="needs Node")
STEPS = (1, 10, 100)


def run(code: str, **inputs):
    """Run JavaScript with the live figures' functions as `live` and the inputs as `given`; return what `answer` is set to."""
    program = f"const live = require({json.dumps(str(SCRIPT))}); const given = JSON.parse(require('fs').readFileSync(0)); let answer; {code}; "
    program += "console.log(JSON.stringify(answer, (key, value) => (ArrayBuffer.isView(value) ? Array.from(value) : value)));"
    done = subprocess.run([NODE, "-e", program], input=json.dumps(inputs), capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("spacing", range(1, 9))
@pytest.mark.parametrize(("radius", "standardised"), [(None, True), (None, False), (31, True), (3, True), (40, False), (0, True)])
def test_perceived_distances_are_those_of_the_package(spacing, radius, standardised):
    data = vd.load("xysquares", num_squares=1, rgb=False, grid_spacing=spacing)
    loss = losses.get("mse") if radius is None else losses.BoxBlur(radius=radius, weight=(2 * radius + 1) ** 2)
    x = data.observations(torch.arange(64), standardise=standardised).double()
    expected = torch.stack([loss.distance(x[i : i + 1], x) for i in range(64)]).numpy()
    options = {"spacing": spacing, "radius": radius, "standardised": standardised}
    ours = np.array(run("answer = live.squaredDistances(live.imageProducts(given))", **options)).reshape(64, 64)
    # what is observed is single precision
    np.testing.assert_allclose(ours, expected, rtol=2e-6, atol=2e-6 * expected.max())


@pytest.mark.parametrize("spacing", [1, 4, 8])
def test_distances_without_blur_are_the_closed_form(spacing):
    ours = np.array(run("answer = live.squaredDistances(live.imageProducts(given))", spacing=spacing, standardised=False)).reshape(64, 64)
    shared = np.maximum(0, 8 - spacing * np.abs(np.subtract.outer(np.arange(8), np.arange(8))))
    expected = (2 * 64 - 2 * np.kron(shared, shared)) / 64**2
    np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-17)


@pytest.mark.parametrize("options", [{"spacing": 1}, {"spacing": 8}, {"spacing": 5, "radius": 31}])
def test_coordinates_keep_all_distances(options):
    found = run("answer = { ...live.coordinates(live.imageProducts(given)), d: live.squaredDistances(live.imageProducts(given)) }", **options)
    table = np.array(found["table"]).reshape(64, found["size"])
    distances = ((table[:, None] - table) ** 2).mean(-1)
    np.testing.assert_allclose(distances.ravel(), found["d"], rtol=1e-9, atol=1e-12)
    data = vd.load("xysquares", num_squares=1, rgb=False, grid_spacing=options["spacing"])
    loss = losses.BoxBlur(radius=31, weight=63**2) if "radius" in options else "mse"
    assert Coordinates(data, loss).shape == (1, 1, found["size"])


def test_eigenvalues_are_those_of_numpy():
    matrix = np.random.default_rng(0).normal(size=(20, 12))
    matrix = matrix @ matrix.T
    found = run("answer = live.eigen(Float64Array.from(given.matrix))", matrix=matrix.ravel().tolist())
    vectors = np.array(found["vectors"]).reshape(20, 20)
    np.testing.assert_allclose(np.sort(found["values"]), np.linalg.eigvalsh(matrix), atol=1e-12 * np.abs(matrix).max() * 20)
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(20), atol=1e-12)
    np.testing.assert_allclose(vectors.T * found["values"] @ vectors, matrix, atol=1e-11)


@pytest.fixture(scope="module")
def trained():
    """A network of double precision, trained by the package's objective and torch's Adam, and by the page's own."""
    data = Coordinates(vd.load("xysquares", num_squares=1, rgb=False, grid_spacing=2))
    x = data.coordinates(torch.arange(64))
    with torch.random.fork_rng(devices=[]):
        network = model.mlp_vae((1, 1, x.shape[1]), 2, hidden=(32, 32), seed=3).double()
    linear = [m for half in (network.encoder, network.decoder) for m in half if isinstance(m, torch.nn.Linear)]
    weights = [{"w": m.weight.flatten().tolist(), "b": m.bias.tolist()} for m in linear]
    noise = torch.randn(max(STEPS), 64, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    terms, states = [], {}
    for step in range(1, max(STEPS) + 1):
        optimiser.zero_grad()
        found = frameworks.beta_vae(network, x[:, :, None, None], noise[step - 1], loss=losses.get("mse"), beta=0.2)
        found.loss.backward()
        optimiser.step()
        terms.append([v.item() for v in found])
        if step in STEPS:
            states[step] = torch.cat([p.detach().flatten() for m in linear for p in (m.weight, m.bias)]).numpy().copy()
    code = """
        const network = new live.Vae(given.size, 2, [32, 32], 0);
        network.parameters.forEach((p, k) => { p.w.set(given.weights[k].w); p.b.set(given.weights[k].b); });
        answer = { terms: [], states: {} };
        given.noise.forEach((noise, k) => {
          const t = network.step(Float64Array.from(given.x), Float64Array.from(noise), { beta: 0.2 });
          answer.terms.push([t.loss, t.recon, t.kl]);
          if (given.steps.includes(k + 1)) answer.states[k + 1] = network.parameters.flatMap((p) => [...p.w, ...p.b]);
        });
    """
    page = run(code, size=x.shape[1], x=x.flatten().tolist(), weights=weights, noise=noise.flatten(1).tolist(), steps=STEPS)
    return terms, states, page


def test_losses_of_a_hundred_steps_are_those_of_the_package(trained):
    terms, _, page = trained
    np.testing.assert_allclose(page["terms"], terms, rtol=1e-9)


@pytest.mark.parametrize("step", STEPS)
def test_weights_after_steps_are_those_of_the_package(trained, step):
    _, states, page = trained
    np.testing.assert_allclose(page["states"][str(step)], states[step], rtol=1e-9, atol=1e-9 * np.abs(states[step]).max())


def test_confusions_are_those_of_the_package():
    generator = torch.Generator().manual_seed(1)
    mean, std = torch.randn(9, 2, generator=generator), torch.rand(9, 2, generator=generator) + 0.2
    code = """
        const draw = live.normal(0);
        const draws = Float64Array.from({ length: 2000 * given.mean.length }, draw);
        answer = live.confusion(Float64Array.from(given.mean), Float64Array.from(given.std), 2, draws);
    """
    ours = np.array(run(code, mean=mean.flatten().tolist(), std=std.flatten().tolist())).reshape(9, 9)
    np.testing.assert_allclose(ours.sum(1), 1)
    # both are shares of random samples: four standard errors of the larger sample's share
    np.testing.assert_allclose(ours, confusion(mean, std, samples=20_000), atol=4 * 0.5 / np.sqrt(2000))


def test_rank_correlations_are_those_of_scipy():
    generator = np.random.default_rng(0)
    a = generator.integers(0, 6, 200).astype(float)
    b = a + generator.normal(size=200)
    assert run("answer = live.rankCorrelation(given.a, given.b)", a=a.tolist(), b=b.tolist()) == pytest.approx(spearmanr(a, b).statistic)
    assert run("answer = live.rankCorrelation([1, 1, 1], [1, 2, 3])") is None


def test_random_numbers_are_uniform_and_normal_and_follow_the_seed():
    code = "const u = live.uniform(5), n = live.normal(5); answer = [0, 1].map((k) => Array.from({ length: 20000 }, k ? n : u))"
    uniform, normal = np.array(run(code))
    assert np.array_equal(run(code)[0], uniform)
    assert (uniform.min() >= 0) and (uniform.max() < 1)
    # five standard errors
    assert abs(uniform.mean() - 0.5) < 5 * np.sqrt(1 / 12 / 20_000)
    assert abs(normal.mean()) < 5 / np.sqrt(20_000)
    assert abs(normal.var() - 1) < 5 * np.sqrt(2 / 20_000)
