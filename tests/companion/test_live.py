"""The live figures' mathematics, run by Node, agree with the package."""

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

import vaedis as vd
from vaedis import losses
from vaedis.data import Coordinates
from vaedis.distances import factor_distances
from vaedis.training import model, objectives
from vaedis.training.inspect import confusion

SCRIPT = Path(__file__).parents[2] / "book" / "assets" / "live" / "vae.js"
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="needs Node")
STEPS = (1, 10, 100)


def run(code: str, **inputs):
    """Run JavaScript with the live figures' functions as `live` and the inputs as `given`; return
    what `answer` is set to.
    """
    program = f"const live = require({json.dumps(str(SCRIPT))}); const given = JSON.parse(require('fs').readFileSync(0)); let answer; {code}; "
    program += "console.log(JSON.stringify(answer, (key, value) => (ArrayBuffer.isView(value) ? Array.from(value) : value)));"
    done = subprocess.run(
        [NODE, "-e", program], input=json.dumps(inputs), capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


LOSSES = {
    "mse": ({}, losses.MSE()),
    "blur 31": ({"loss": "blur", "radius": 31}, losses.BoxBlur(radius=31)),
    "blur 0": ({"loss": "blur", "radius": 0}, losses.BoxBlur(radius=0)),
    "blur 40": ({"loss": "blur", "radius": 40}, losses.BoxBlur(radius=40)),
    "blur of another weight": (
        {"loss": "blur", "radius": 3, "weight": 5},
        losses.BoxBlur(radius=3, weight=5),
    ),
    "pyramid": ({"loss": "pyramid"}, losses.Pyramid()),
    "pyramid of few levels": (
        {"loss": "pyramid", "levels": 3, "growth": 2},
        losses.Pyramid(levels=3, growth=2.0),
    ),
}


def squares(spacing, side=8):
    """All images of one square as numbers of double precision, 0 and 1, shape (64, 1, 64, 64)."""
    data = vd.load(
        "xysquares", num_squares=1, rgb=False, grid_spacing=spacing, square_size=side, grid_size=8
    )
    assert len(data) == 64
    return data, data.images(torch.arange(64)).permute(0, 3, 1, 2).double() / 255


@pytest.mark.parametrize("side", [8, 5])
@pytest.mark.parametrize("spacing", [1, 3, 7])
@pytest.mark.parametrize("name", LOSSES)
def test_perceived_distances_are_those_of_the_package(name, spacing, side):
    options, loss = LOSSES[name]
    data, x = squares(spacing, side)
    expected = torch.stack([loss.distance(x[i : i + 1], x) for i in range(64)]).numpy()
    code = "const d = live.squaredDistances(live.imageProducts(given)); answer = { d, along: live.factorMatrix(d) }"
    page = run(code, spacing=spacing, square=side, standardised=False, **options)
    np.testing.assert_allclose(
        np.array(page["d"]).reshape(64, 64), expected, rtol=1e-9, atol=1e-12 * expected.max()
    )
    matrix = factor_distances(data, loss, factors=["x_R"])["x_R"].matrix
    # the package's own route along factors is single precision for some losses
    np.testing.assert_allclose(
        np.array(page["along"]).reshape(8, 8), matrix, rtol=1e-5, atol=1e-6 * matrix.max()
    )


@pytest.mark.parametrize("spacing", range(1, 9))
def test_distances_without_blur_are_the_closed_form_to_the_last_digits(spacing):
    page = run(
        "answer = live.squaredDistances(live.imageProducts(given))",
        spacing=spacing,
        standardised=False,
    )
    shared = np.maximum(0, 8 - spacing * np.abs(np.subtract.outer(np.arange(8), np.arange(8))))
    expected = (2 * 64 - 2 * np.kron(shared, shared)) / 64**2
    np.testing.assert_allclose(np.array(page).reshape(64, 64), expected, rtol=1e-12, atol=1e-17)
    # of images of 0 and 1 the mean absolute error is the same number
    _, x = squares(spacing)
    np.testing.assert_allclose(expected[5], losses.MAE().distance(x[5:6], x).numpy(), rtol=1e-12)


def test_standardised_distances_are_those_that_networks_are_trained_with():
    data, x = squares(2)
    page = run("answer = live.squaredDistances(live.imageProducts(given))", spacing=2)
    np.testing.assert_allclose(
        page[:64], (losses.MSE().distance(x[:1], x) / data.std[0] ** 2).numpy(), rtol=1e-12
    )


@pytest.mark.parametrize(
    "options", [{"spacing": 1}, {"spacing": 8}, {"spacing": 5, "loss": "blur"}]
)
def test_coordinates_keep_all_distances(options):
    found = run(
        "answer = { ...live.coordinates(live.imageProducts(given)), d: live.squaredDistances(live.imageProducts(given)) }",
        **options,
    )
    table = np.array(found["table"]).reshape(64, found["size"])
    distances = ((table[:, None] - table) ** 2).mean(-1)
    np.testing.assert_allclose(distances.ravel(), found["d"], rtol=1e-9, atol=1e-12)
    data = vd.load("xysquares", num_squares=1, rgb=False, grid_spacing=options["spacing"])
    loss = "box-blur" if "loss" in options else "mse"
    assert Coordinates(data, loss).shape == (1, 1, found["size"])


def test_eigenvalues_are_those_of_numpy():
    matrix = np.random.default_rng(0).normal(size=(20, 12))
    matrix = matrix @ matrix.T
    found = run(
        "answer = live.eigen(Float64Array.from(given.matrix))", matrix=matrix.ravel().tolist()
    )
    vectors = np.array(found["vectors"]).reshape(20, 20)
    np.testing.assert_allclose(
        np.sort(found["values"]), np.linalg.eigvalsh(matrix), atol=1e-12 * np.abs(matrix).max() * 20
    )
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(20), atol=1e-12)
    np.testing.assert_allclose(vectors.T * found["values"] @ vectors, matrix, atol=1e-11)


@pytest.fixture(scope="module")
def trained():
    """A network of double precision, trained by the package's objective and torch's Adam, and by
    the page's own.
    """
    data = Coordinates(vd.load("xysquares", num_squares=1, rgb=False, grid_spacing=2))
    x = data.coordinates(torch.arange(64))
    with torch.random.fork_rng(devices=[]):
        network = model.mlp_vae((1, 1, x.shape[1]), 2, hidden=(32, 32), seed=3).double()
    linear = [
        m
        for half in (network.encoder, network.decoder)
        for m in half
        if isinstance(m, torch.nn.Linear)
    ]
    weights = [{"w": m.weight.flatten().tolist(), "b": m.bias.tolist()} for m in linear]
    noise = torch.randn(
        max(STEPS), 64, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    terms, states = [], {}
    for step in range(1, max(STEPS) + 1):
        optimiser.zero_grad()
        found = objectives.beta_vae(
            network, x[:, :, None, None], noise[step - 1], loss=losses.get("mse"), beta=0.2
        )
        found.loss.backward()
        optimiser.step()
        terms.append([v.item() for v in found])
        if step in STEPS:
            states[step] = (
                torch.cat([p.detach().flatten() for m in linear for p in (m.weight, m.bias)])
                .numpy()
                .copy()
            )
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
    page = run(
        code,
        size=x.shape[1],
        x=x.flatten().tolist(),
        weights=weights,
        noise=noise.flatten(1).tolist(),
        steps=STEPS,
    )
    return terms, states, page


def test_losses_of_a_hundred_steps_are_those_of_the_package(trained):
    terms, _, page = trained
    np.testing.assert_allclose(page["terms"], terms, rtol=1e-9)


@pytest.mark.parametrize("step", STEPS)
def test_weights_after_steps_are_those_of_the_package(trained, step):
    _, states, page = trained
    np.testing.assert_allclose(
        page["states"][str(step)], states[step], rtol=1e-9, atol=1e-9 * np.abs(states[step]).max()
    )


def test_confusions_are_those_of_the_package():
    generator = torch.Generator().manual_seed(1)
    mean, std = torch.randn(9, 2, generator=generator), torch.rand(9, 2, generator=generator) + 0.2
    code = """
        const draw = live.normal(0);
        const draws = Float64Array.from({ length: 2000 * given.mean.length }, draw);
        answer = live.confusion(Float64Array.from(given.mean), Float64Array.from(given.std), 2, draws);
    """
    ours = np.array(run(code, mean=mean.flatten().tolist(), std=std.flatten().tolist())).reshape(
        9, 9
    )
    np.testing.assert_allclose(ours.sum(1), 1)
    # both are shares of random samples: four standard errors of the larger sample's share
    np.testing.assert_allclose(
        ours, confusion(mean, std, samples=20_000), atol=4 * 0.5 / np.sqrt(2000)
    )


def test_rank_correlations_are_those_of_scipy():
    generator = np.random.default_rng(0)
    a = generator.integers(0, 6, 200).astype(float)
    b = a + generator.normal(size=200)
    assert run(
        "answer = live.rankCorrelation(given.a, given.b)", a=a.tolist(), b=b.tolist()
    ) == pytest.approx(spearmanr(a, b).statistic)
    assert run("answer = live.rankCorrelation([1, 1, 1], [1, 2, 3])") is None


def test_random_numbers_are_uniform_and_normal_and_follow_the_seed():
    code = "const u = live.uniform(5), n = live.normal(5); answer = [0, 1].map((k) => Array.from({ length: 20000 }, k ? n : u))"
    uniform, normal = np.array(run(code))
    assert np.array_equal(run(code)[0], uniform)
    assert uniform.min() >= 0
    assert uniform.max() < 1
    # five standard errors
    assert abs(uniform.mean() - 0.5) < 5 * np.sqrt(1 / 12 / 20_000)
    assert abs(normal.mean()) < 5 / np.sqrt(20_000)
    assert abs(normal.var() - 1) < 5 * np.sqrt(2 / 20_000)


PAGE = """
const vm = require('vm');
const context = { window: { location: { hash: given.hash } }, URLSearchParams };
vm.createContext(context);
vm.runInContext(require('fs').readFileSync(given.parts, 'utf8') + '; this.parts = liveParts;', context);
const parts = context.parts;
"""


def in_page(code, hash=""):
    """Run JavaScript with the parts that live figures share as `parts`, in a page of this address."""
    return run(PAGE + code, hash=hash, parts=str(SCRIPT.with_name("parts.js")))


@pytest.mark.parametrize(
    ("hash", "state", "wrong"),
    [
        ("#spacing=8&beta=0.2", {"spacing": 8, "beta": 0.2}, []),
        ("#spacing=99&beta=0.2&x=1", {"beta": 0.2}, ["spacing", "x"]),
        ("#spacing=%E0%A4%A", {}, ["spacing"]),
        ("#a-heading", {}, []),
    ],
)
def test_an_address_sets_what_it_can_and_one_line_names_the_rest(hash, state, wrong):
    code = (
        "const { state, wrong } = parts.fromAddress({ spacing: parts.whole(1, 8), beta: parts.between(0.1, 10) });"
        "const note = {}; parts.sayWrong(note, wrong); answer = { state, wrong, note }"
    )
    answer = in_page(code, hash)
    assert (answer["state"], answer["wrong"]) == (state, wrong)
    assert answer["note"]["hidden"] == (not wrong)
    assert answer["note"]["textContent"].startswith(
        f"The address sets {', '.join(wrong)} to something" if wrong else ""
    )
    assert bool(answer["note"]["textContent"]) == bool(wrong)


def test_the_list_of_contents_that_a_page_follows_is_the_themes():
    theme = Path(importlib.util.find_spec("sphinx_book_theme").origin).parent
    nav = (theme / "theme" / "sphinx_book_theme" / "components" / "page-toc.html").read_text(
        encoding="utf-8"
    )
    name = re.search(
        r'bsTarget = "\.([\w-]+)"',
        SCRIPT.parents[1].joinpath("companion.js").read_text(encoding="utf-8"),
    )[1]
    assert re.search(rf'<nav[^>]*class="[^"]*\b{name}\b', nav)
