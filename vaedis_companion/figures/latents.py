"""The grid over two latents of a network, as a picture that the page turns through."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
import torch
from PIL import Image

from vaedis.training import Run

# number of images along each latent in the grid
STEPS = 11
# a square's two factors in the reader's words
_WORDS = {"x_R": "column", "y_R": "row"}


@torch.no_grad()
def latent_grid(run: Run, steps: int = STEPS) -> dict[str, Any]:
    """Decode a grid over the two latents that a network uses most, by KL divergence from the prior.

    The grid goes in `steps` along each latent, from the smallest posterior mean to the largest. A
    ValueError says that the run is not one of one square, whose factors are a column and a row.

    Returned are ``images``: uint8, (steps, steps, H, W), the first latent first; ``latents``: which
    two; ``values``: float64, (2, steps); ``ranks``: of each latent and factor, the rank correlation
    of posterior means with the factor's values; and ``nearest``: int, (steps, steps, 2), column and
    row, from 1, of the observation that the loss finds closest to what is decoded.
    """
    names = run.data.factors.names
    if set(names) != set(_WORDS):
        raise ValueError(
            f"Expected the factors of one square, x_R and y_R, not {', '.join(names)}."
        )
    index = torch.arange(len(run.data))
    mean, logvar = run.posterior(index)
    kl = (mean.square() + logvar.exp() - 1 - logvar).mean(0)
    latents = kl.argsort(descending=True, stable=True)[:2].tolist()
    low, high = mean.min(0).values.numpy(), mean.max(0).values.numpy()
    values = np.stack([np.linspace(low[k], high[k], steps) for k in latents])
    z = mean.mean(0).repeat(steps * steps, 1)
    first, second = np.meshgrid(*values, indexing="ij")
    z[:, latents] = torch.tensor(np.stack([first.ravel(), second.ravel()], 1), dtype=z.dtype)
    decoded, x = run.decode(z), run.observations(index)
    distances = torch.stack([run.loss.distance(decoded, one.expand_as(decoded)) for one in x])
    factors = run.data.factors.to_factors(index)
    ranks = [[_rank(mean[:, k].numpy(), factors[:, j].numpy()) for j in range(2)] for k in latents]
    return {
        "images": run.decode_images(z).numpy()[..., 0].reshape(steps, steps, *run.data.shape[:2]),
        "latents": latents,
        "values": values,
        "ranks": np.array(ranks),
        "nearest": factors[distances.argmin(0)].numpy().reshape(steps, steps, 2) + 1,
    }


def _rank(code: np.ndarray, factor: np.ndarray) -> float:
    """Return Spearman's correlation; 0 for a latent that says nothing."""
    from scipy.stats import spearmanr

    return float(spearmanr(code, factor).statistic) if np.ptp(code) > 0 else 0.0


def sprite(images: np.ndarray) -> bytes:
    """Return a grid of grey images, (rows, columns, H, W), as one PNG without loss."""
    rows, columns, height, width = images.shape
    sheet = images.transpose(0, 2, 1, 3).reshape(rows * height, columns * width)
    file = io.BytesIO()
    Image.fromarray(sheet).save(file, "PNG", optimize=True)
    return file.getvalue()


def turn_latents(grids: Mapping[str, Mapping[str, Any]], note: str = "") -> str:
    """Return the live figure "turn the latents" as HTML; without scripts it shows whole grids.

    `grids` are what `latent_grid` returns, by title; the note is one line below, on the runs.
    """
    panels = []
    facts = []
    for title, grid in grids.items():
        picture = base64.b64encode(sprite(grid["images"])).decode()
        alt = (
            f"{title}: a grid of decoded squares, the first latent grows downwards and the second "
            "to the right."
        )
        panels.append(
            f'<figure class="live-panel"><img src="data:image/png;base64,{picture}" '
            f'alt="{escape(alt)}"><figcaption>{escape(title)}</figcaption></figure>'
        )
        facts.append(
            {
                "title": title,
                "latents": grid["latents"],
                "values": np.round(grid["values"], 3).tolist(),
                "ranks": np.round(grid["ranks"], 6).tolist(),
                "nearest": grid["nearest"].tolist(),
            }
        )
    text = escape(json.dumps({"factors": list(_WORDS.values()), "networks": facts}))
    return (
        f'<div class="live" id="turn-the-latents-figure" data-live="latents" data-grids="{text}">'
        f'<div class="live-views">{"".join(panels)}</div></div>'
        f'<p class="live-source">{escape(note)}</p>'
    )
