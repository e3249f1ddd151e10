"""Figures of images, matrices and posteriors as the paper arranges them: Figures 1–4, 10 and A1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.patches import Ellipse

from vaedis import plots
from vaedis.plots.curves import draw_cumulative, two_factor_colours
from vaedis.plots.drawings import draw_traversals
from vaedis.plots.heatmaps import draw_distances
from vaedis.plots.style import Axes, Figure, draw_image, panel_grid, plt, styled, write_note
from vaedis_companion.figures.style import LEVEL_NAMES, NAMES, SEED, draw_median, draw_runs

# style of the mark around the points that a panel follows
_OUTLINE: Any = {"markerfacecolor": "none", "markeredgecolor": "black"}


def _strips(groups: Mapping[str, Any], width: float, height: float) -> tuple[Figure, list[Any]]:
    """Return a figure of one titled strip for each group."""
    figure = plt.figure(figsize=(width, height * len(groups)))
    strips = figure.subfigures(len(groups), 1, squeeze=False)[:, 0]
    for strip, title in zip(strips, groups, strict=True):
        strip.suptitle(title, fontsize=10, fontweight="bold", x=0.01, ha="left")
    return figure, list(strips)


@styled
def traversals(groups: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Draw traversals of several data sets, one factor a column: Figure 2.

    `groups` are titles of data sets, then factors, then uint8 (frames, H, W, C).
    """
    columns = max(map(len, groups.values()))
    figure, strips = _strips(groups, 1.2 * columns, 4.0)
    for strip, factors in zip(strips, groups.values(), strict=True):
        frames = len(next(iter(factors.values())))
        draw_traversals(strip.subplots(frames, columns, squeeze=False), factors)
    return figure


@styled
def distance_matrices(
    groups: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]],
    *,
    labels: Mapping[tuple[str, str], str] | None = None,
) -> Figure:
    """Draw ground-truth above perceived distances along factors of several data sets: Figure 3.

    `groups` are titles of data sets, then factors, then the two matrices, (f, f). Each panel spans
    its own range of colours, as in the paper. `labels`, by data set and factor, go below a column.
    """
    columns = max(map(len, groups.values()))
    figure, strips = _strips(groups, 1.2 * columns + 0.3, 3.0)
    for strip, (title, factors) in zip(strips, groups.items(), strict=True):
        truth = {name: pair[0] for name, pair in factors.items()}
        perceived = {name: pair[1] for name, pair in factors.items()}
        of_strip = {name: text for (data, name), text in (labels or {}).items() if data == title}
        draw_distances(strip.subplots(2, columns, squeeze=False), truth, perceived, of_strip)
    return figure


@styled
def cumulative(groups: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Draw the cumulative distributions of distances of several data sets: Figure A1.

    `groups` are titles of data sets, then factors or "random", then distances, float (n,).
    """
    figure, axes = panel_grid(len(groups), 2, 4.6, 2.9)
    for ax, (title, curves) in zip(axes.flat, groups.items(), strict=False):
        draw_cumulative(ax, curves)
        ax.set(title=title, xlabel="perceived distance")
        ax.legend(loc="best", fontsize=8)
    for ax in axes[:, 0]:
        ax.set_ylabel("share of pairs")
    return figure


def levels(rows: Mapping[str, Mapping[str, np.ndarray]], *, note: str = "") -> Figure:
    """Draw distances at every level of trained VAEs, one row a factor or a run: Figures 4 and 10.

    `rows` are labels, then matrices, (f, f), as from `training.inspect.level_matrices`. The note
    says which runs these are.
    """
    titled = {
        name: {title: matrices[level] for level, title in LEVEL_NAMES.items()}
        for name, matrices in rows.items()
    }
    cmaps = dict.fromkeys(LEVEL_NAMES.values(), "RdPu") | {LEVEL_NAMES["factors"]: "Blues"}
    return plots.matrices(titled, cmaps=cmaps, note=note)


@styled
def posteriors(
    panels: Mapping[str, Mapping[str, np.ndarray]], *, focus: int, note: str = ""
) -> Figure:
    """Draw the posteriors of VAEs with two latents, and what samples are taken for: Figure 1.

    `panels` has a row for each network, titled by its key, as from
    `training.inspect.posterior_map`: ``"mean"`` and ``"std"``, shape (n, 2); ``"factors"``, shape
    (n, 2), of which the colours come, and the lines between neighbours; ``"confusion"``, shape
    (n, n): how often a sample of row i's posterior looks most like column j's; ``"image"``, shape
    (H, W, C), observation number `focus`; and ``"decoded"``, shape (k, H, W, C), what samples of
    its posterior decode to. The note says which runs these are.
    """
    figure = plt.figure(figsize=(9.2, 3.5 * len(panels)))
    parts = figure.subfigures(len(panels), 1, squeeze=False)[:, 0]
    for part, (title, panel) in zip(parts, panels.items(), strict=True):
        latent, confusion, *small = _posterior_axes(part, len(panel["decoded"]))
        _draw_latents(latent, panel, focus)
        latent.set_title(title)
        share = _draw_confusion(confusion, panel, focus)
        figure.colorbar(share, ax=confusion, fraction=0.046, label="share of samples")
        for ax, image in zip(small, [panel["image"], *panel["decoded"]], strict=True):
            draw_image(ax, image)
        small[0].set_title("observation", fontsize=9)
        small[1].set_title("its samples,\ndecoded", fontsize=9)
    write_note(figure, note)
    return figure


def _posterior_axes(part: Any, decoded: int) -> list[Axes]:
    rows = (decoded + 2) // 2
    grid = part.add_gridspec(rows, 6, width_ratios=[1.2, 1.2, 1.0, 1.0, 0.85, 0.85])
    large = [part.add_subplot(grid[:, :2]), part.add_subplot(grid[:, 2:4])]
    return large + [part.add_subplot(grid[k // 2, 4 + k % 2]) for k in range(decoded + 1)]


def _draw_latents(ax: Axes, panel: Mapping[str, np.ndarray], focus: int) -> None:
    """Draw posteriors as ellipses of two standard deviations, and lines between neighbours."""
    mean, std, factors = panel["mean"], panel["std"], panel["factors"]
    colours = two_factor_colours(factors)
    neighbours = np.abs(factors[:, None] - factors).sum(-1) == 1
    segments = list(mean[np.argwhere(np.triu(neighbours))])
    ax.add_collection(LineCollection(segments, colors="0.45", linewidths=0.6, zorder=2))
    # posteriors may be too narrow to see, so that each has a dot, and the focused one a ring
    ax.scatter(mean[:, 0], mean[:, 1], s=10, color=colours, zorder=2)
    for i, (centre, (width, height)) in enumerate(zip(mean, 2 * std, strict=True)):
        ellipse = Ellipse(centre, width, height, facecolor=(*colours[i], 0.35))
        ellipse.set(edgecolor=colours[i], linewidth=0.6, zorder=2)
        if i == focus:
            ellipse.set(edgecolor="black", linewidth=2.0, zorder=3)
        ax.add_patch(ellipse)
    reach = float(np.abs(mean).max() + 2 * std.max())
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="latent 1", ylabel="latent 2")
    ax.set_aspect("equal")
    ax.plot(*mean[focus], "o", markersize=9, zorder=4, **_OUTLINE)


def _draw_confusion(ax: Axes, panel: Mapping[str, np.ndarray], focus: int) -> Any:
    """Draw the share of samples taken for each pair of factor values, and return the image."""
    factors = panel["factors"]
    share = np.zeros(factors.max(0) + 1)
    share[factors[:, 0], factors[:, 1]] = panel["confusion"][focus]
    image = ax.imshow(share.T, cmap="Purples", vmin=0, interpolation="nearest")
    ax.set(title="what its samples are taken for", xticks=[], yticks=[])
    ax.set(xlabel="column of the square", ylabel="row of the square")
    ax.plot(*factors[focus], marker="s", markersize=15, **_OUTLINE)
    return image


@styled
def argument(cases: Mapping[str, Mapping[str, Any]], *, note: str = "") -> Figure:
    """Draw the paper's argument: what the loss compares, the distances that follow, and scores.

    `cases` has a column each, titled by its key: ``"images"``, two of float in 0 … 1, shape (H, W),
    the first drawn in red and the second in blue; ``"distances"``, float, shape (f,), from one
    value of a factor to each; and ``"scores"``, by framework, float, one for each run, which may be
    empty. The note says which runs these are.
    """
    size = (2.3 * len(cases), 5.9)
    heights = [1.25, 1, 1]
    figure, axes = plt.subplots(3, len(cases), figsize=size, squeeze=False, height_ratios=heights)
    rng = np.random.default_rng(SEED)
    for (image, distance, score), (title, case) in zip(axes.T, cases.items(), strict=True):
        one, other = case["images"]
        overlap = np.stack([one, 0.25 * np.minimum(one, other), other], -1)
        draw_image(image, np.round(255 * overlap).astype(np.uint8))
        image.set_title(title)
        _draw_steps(distance, case["distances"])
        _draw_scores(score, case["scores"], rng)
    axes[0, 0].set_ylabel("two neighbours,\nas compared")
    axes[1, 0].set_ylabel("distance, as share\nof the largest")
    axes[2, 0].set_ylabel("DCI\ndisentanglement")
    axes[1, 0].legend(loc="lower right", fontsize=8.5)
    write_note(figure, note)
    return figure


def _draw_steps(ax: Axes, distances: np.ndarray) -> None:
    steps = np.arange(len(distances))
    share = distances / np.max(distances)
    ax.plot(steps, steps / steps[-1], ":", color="0.4", label="ground truth")
    ax.plot(steps, share, "o-", color="#5b2a86", markersize=4, label="perceived")
    ax.set(ylim=(-0.05, 1.1), xticks=steps, xlabel="steps of the square")
    ax.grid(True, axis="y")


def _draw_scores(ax: Axes, scores: Mapping[str, np.ndarray], rng: np.random.Generator) -> None:
    for k, (framework, values) in enumerate(scores.items()):
        if len(values):
            draw_runs(ax, k + rng.uniform(-0.12, 0.12, len(values)), values, framework)
            draw_median(ax, k, values, framework, 0.25)
    names = [NAMES.get(name, name) for name in scores]
    ax.set(xticks=range(len(names)), xticklabels=names, xlim=(-0.6, len(names) - 0.4))
    ax.set_ylim(-0.05, 1.05)
    ax.grid(True, axis="y")
