"""The live figure "turn the latents": its pictures and sentences are the package's."""

import base64
import html
import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import spearmanr

import vaedis as vd
from vaedis_companion import figures

SCRIPT = Path(__file__).parents[2] / "book" / "assets" / "live" / "latents.js"
OPTIONS = {"num_squares": 1, "rgb": False, "image_size": 16, "square_size": 2, "grid_spacing": 2}


@pytest.fixture(scope="module")
def run():
    spec = vd.RunSpec(data_options=OPTIONS, model="mlp", latents=3, steps=20, batch=16)
    return vd.fit(spec, device="cpu")


@pytest.fixture(scope="module")
def grid(run):
    return figures.latent_grid(run, steps=5)


@pytest.fixture(scope="module")
def page(grid):
    """What the page has: the address of its picture, and the facts that its script reads."""
    text = figures.turn_latents({"Two <pixels>": grid}, note="a & b")
    facts = json.loads(html.unescape(re.search(r'data-grids="([^"]*)"', text)[1]))
    picture = base64.b64decode(re.search(r'src="data:image/png;base64,([^"]*)"', text)[1])
    return text, facts, np.array(Image.open(io.BytesIO(picture)))


def test_the_grid_is_what_the_network_decodes_over_its_two_most_used_latents(run, grid):
    mean, logvar = run.posterior(range(64))
    spread = (mean**2 + logvar.exp() - 1 - logvar).mean(0)
    assert grid["latents"] == np.argsort(-spread.numpy())[:2].tolist()
    z = mean.mean(0, keepdim=True)
    for position, latent in zip((1, 3), grid["latents"], strict=True):
        low, high = mean[:, latent].min(), mean[:, latent].max()
        z[0, latent] = low + (high - low) * position / 4
    expected = run.decode_images(z)[0, ..., 0].int().numpy()
    # single precision may round a pixel the other way when other pictures are decoded beside it
    assert np.abs(grid["images"][1, 3].astype(int) - expected).max() <= 1
    distances = [float(run.loss.distance(run.decode(z), run.observations([i]))) for i in range(64)]
    nearest = run.data.factors.to_factors(torch.tensor([int(np.argmin(distances))]))[0] + 1
    assert grid["nearest"][1, 3].tolist() == nearest.tolist()


def test_the_pages_picture_has_the_bytes_of_the_package(page, grid):
    _, _, sheet = page
    assert sheet.shape == (80, 80)
    for first, second in ((0, 0), (1, 3), (4, 4)):
        cell = sheet[first * 16 : first * 16 + 16, second * 16 : second * 16 + 16]
        assert np.array_equal(cell, grid["images"][first, second])


def test_titles_and_notes_are_text(page):
    text, facts, _ = page
    assert "Two <pixels>" not in text
    assert facts["networks"][0]["title"] == "Two <pixels>"
    assert "a &amp; b" in text


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
def test_the_sentences_say_what_the_package_finds(page, grid, run):
    _, facts, _ = page
    code = (
        f"const t = require({json.dumps(str(SCRIPT))});"
        "const g = JSON.parse(require('fs').readFileSync(0));"
        "console.log(JSON.stringify([t.where(g, 2, 4), t.follows(g, g.networks[0])]))"
    )
    done = subprocess.run(
        ["node", "-e", code], input=json.dumps(facts), capture_output=True, text=True, timeout=60
    )
    where, follows = json.loads(done.stdout)
    column, row = grid["nearest"][1, 3]
    assert where == (
        "First latent at step 2 of 5, second at step 4. "
        f"Two <pixels>: nearest to the square at column {column}, row {row}."
    )
    factors = run.data.factors.to_factors(torch.arange(64)).numpy()
    mean, _ = run.posterior(range(64))
    parts = []
    for which, latent in zip(("first", "second"), grid["latents"], strict=True):
        ranks = [spearmanr(mean[:, latent], factors[:, j]).statistic for j in (0, 1)]
        most = int(np.argmax(np.abs(ranks)))
        parts.append(
            f"its {which} latent follows the {('column', 'row')[most]} most, "
            f"with a rank correlation of {ranks[most]:.2f}"
        )
    assert follows == f"Two <pixels>: {'; '.join(parts)}."


def test_a_data_set_of_three_squares_is_refused():
    options = {"image_size": 8, "square_size": 2, "grid_size": 3}
    spec = vd.RunSpec(data_options=options, model="mlp", latents=2, steps=2, batch=4)
    with pytest.raises(ValueError, match=r"^Expected the factors of one square, x_R and y_R, not"):
        figures.latent_grid(vd.fit(spec, device="cpu"))
