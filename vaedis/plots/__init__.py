"""One function for each of the paper's figures, in one style. Each returns a matplotlib Figure.

Functions take arrays and rows, never data sets that they would have to compute from: what is drawn
was computed by the cell that draws it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vaedis.plots.curves import bars, cumulative, lines, panels
from vaedis.plots.style import (
    COLOURS,
    LEVEL_NAMES,
    MARKERS,
    NAMES,
    SCORES,
    STYLE,
    Axes,
    Ellipse,
    Figure,
    LineCollection,
    as_bytes,
    draw_matrix,
    draw_picture,
    note_runs,
    plt,
    styled,
)

__all__ = [
    "COLOURS",
    "LEVEL_NAMES",
    "MARKERS",
    "NAMES",
    "SCORES",
    "STYLE",
    "bars",
    "clouds",
    "cumulative",
    "distance_matrices",
    "latent_cycles",
    "levels",
    "lines",
    "matrices",
    "panels",
    "posteriors",
    "traversals",
]


@styled
def traversals(columns: Mapping[str, np.ndarray], *, values: Sequence[int] | None = None) -> Figure:
    """Draw traversals, one factor a column: Figures 2 and 5.

    Parameters
    ----------
    columns : mapping of str to ndarray of uint8 or float, shape (frames, H, W, C)
        Floats are drawn from black, the smallest of all, to white, the largest.
    values : sequence of int, optional
        The factor's value in each frame, written beside the rows.
    """
    frames = len(next(iter(columns.values())))
    figure, axes = plt.subplots(
        frames, len(columns), figsize=(1.25 * len(columns), 1.25 * frames + 0.3), squeeze=False
    )
    for c, (name, images) in enumerate(as_bytes(columns).items()):
        axes[0, c].set_title(name)
        for r in range(frames):
            draw_picture(axes[r, c], images[r])
    if values is not None:
        for r, value in enumerate(values):
            axes[r, 0].set_ylabel(f"value {value}")
    return figure


@styled
def distance_matrices(
    truth: Mapping[str, np.ndarray],
    perceived: Mapping[str, np.ndarray],
    *,
    shared_range: bool = False,
    labels: Mapping[str, str] | None = None,
) -> Figure:
    """Draw ground-truth distances above perceived distances, one column a factor or a data set:
    Figures 3 and 8.

    Parameters
    ----------
    truth, perceived : mapping of str to ndarray of float, shape (f, f)
        With the same keys, which title the columns.
    shared_range : bool
        One colour range for all perceived matrices, so that panels compare; otherwise each panel
        spans its own range, as in the paper.
    labels : mapping of str to str, optional
        A line to write below each column.
    """
    figure, axes = plt.subplots(
        2, len(perceived), figsize=(1.1 * len(perceived) + 0.5, 2.8), squeeze=False
    )
    span = (0.0, max(float(np.max(m)) for m in perceived.values())) if shared_range else None
    for c, name in enumerate(perceived):
        axes[0, c].set_title(name)
        draw_matrix(axes[0, c], truth[name], "Blues")
        draw_matrix(axes[1, c], perceived[name], "Purples", span)
        if labels:
            axes[1, c].set_xlabel(labels[name], fontsize=8.5)
    axes[0, 0].set_ylabel("ground truth")
    axes[1, 0].set_ylabel("perceived")
    return figure


@styled
def matrices(
    rows: Mapping[str, Mapping[str, np.ndarray]],
    *,
    labels: Mapping[tuple[str, str], str] | None = None,
) -> Figure:
    """Draw perceived distances in a table of panels, each with its own range of colours.

    Parameters
    ----------
    rows : mapping of str to (mapping of str to ndarray of float, shape (f, f))
        Rows, then columns, which are the same in each row.
    labels : mapping of (row, column) to str, optional
        A line to write below a panel.
    """
    columns = list(next(iter(rows.values())))
    figure, axes = plt.subplots(
        len(rows),
        len(columns),
        figsize=(1.3 * len(columns) + 0.4, 1.3 * len(rows) + 0.3),
        squeeze=False,
    )
    for r, (row, panels_) in enumerate(rows.items()):
        for c, column in enumerate(columns):
            draw_matrix(axes[r, c], panels_[column], "Purples")
            if r == 0:
                axes[r, c].set_title(column)
            if labels and (row, column) in labels:
                axes[r, c].set_xlabel(labels[row, column], fontsize=8.5)
        axes[r, 0].set_ylabel(row)
    return figure


@styled
def levels(rows: Mapping[str, Mapping[str, np.ndarray]], *, note: str = "") -> Figure:
    """Draw distances at every level of trained VAEs, one row a factor or a run: Figures 4 and 10.

    Parameters
    ----------
    rows : mapping of str to (mapping of str to ndarray of float, shape (f, f))
        As from `distances.level_matrices`; the keys label the rows. Each panel spans its own range,
        as in the paper.
    note : str
        Which runs these are, to be written below.
    """
    columns = list(LEVEL_NAMES)
    figure, axes = plt.subplots(
        len(rows),
        len(columns),
        figsize=(1.55 * len(columns), 1.45 * len(rows) + 0.6),
        squeeze=False,
    )
    for r, (name, matrices) in enumerate(rows.items()):
        for c, level in enumerate(columns):
            draw_matrix(axes[r, c], matrices[level], "Blues" if level == "factors" else "RdPu")
            if r == 0:
                axes[r, c].set_title(LEVEL_NAMES[level], fontsize=9)
        axes[r, 0].set_ylabel(name)
    note_runs(figure, note)
    return figure


@styled
def posteriors(
    panels: Mapping[str, Mapping[str, np.ndarray]], *, focus: int, note: str = ""
) -> Figure:
    """Draw where the posteriors of VAEs with a two-dimensional latent space lie, and what their
    samples are taken for: Figure 1.

    Parameters
    ----------
    panels : mapping of str to mapping
        One row for each network, titled by its key, with ``"mean"`` and ``"std"``, shape (n, 2);
        ``"factors"``, shape (n, 2), of which the colours come, and the lines that join observations
        one step of a factor apart; ``"confusion"``, shape (n, n): how often a sample of row i's
        posterior looks most like column j's; ``"image"``, shape (H, W, C), the focused observation;
        and ``"decoded"``, shape (k, H, W, C), what k samples of its posterior decode to.
    focus : int
        Which observation is followed.
    note : str
        Which runs these are, to be written below.
    """
    figure = plt.figure(figsize=(9.2, 3.5 * len(panels)))
    for part, (title, p) in zip(
        figure.subfigures(len(panels), 1, squeeze=False)[:, 0], panels.items(), strict=True
    ):
        latent, grid, *small = _posterior_axes(part, len(p["decoded"]))
        colour = _two_factor_colours(p["factors"])
        steps = np.abs(p["factors"][:, None] - p["factors"]).sum(-1) == 1
        latent.add_collection(
            LineCollection(
                list(p["mean"][np.argwhere(np.triu(steps))]),
                colors="0.45",
                linewidths=0.6,
                zorder=2,
            )
        )
        latent.scatter(
            p["mean"][:, 0], p["mean"][:, 1], s=10, color=colour, zorder=2
        )  # posteriors may be too narrow to see
        for i, (mean, std) in enumerate(zip(p["mean"], p["std"], strict=True)):
            width = 2.0 if i == focus else 0.6
            edge = "black" if i == focus else colour[i]
            latent.add_patch(
                Ellipse(
                    mean,
                    *(2 * std),
                    facecolor=(*colour[i], 0.35),
                    edgecolor=edge,
                    linewidth=width,
                    zorder=3 if i == focus else 2,
                )
            )
        reach = float(np.abs(p["mean"]).max() + 2 * p["std"].max())
        latent.set(
            xlim=(-reach, reach),
            ylim=(-reach, reach),
            xlabel="latent 1",
            ylabel="latent 2",
            title=title,
        )
        latent.set_aspect("equal")
        size = tuple(int(v) + 1 for v in p["factors"].max(0))
        share = np.zeros(size)
        share[p["factors"][:, 0], p["factors"][:, 1]] = p["confusion"][focus]
        shown = grid.imshow(share.T, cmap="Purples", vmin=0, interpolation="nearest")
        grid.set(
            title="what its samples are taken for",
            xlabel="column of the square",
            ylabel="row of the square",
            xticks=[],
            yticks=[],
        )
        grid.plot(
            *p["factors"][focus],
            marker="s",
            markersize=15,
            markerfacecolor="none",
            markeredgecolor="black",
        )
        figure.colorbar(shown, ax=grid, fraction=0.046, label="share of samples")
        # a ring that can be seen where the posterior itself is too narrow
        latent.plot(
            *p["mean"][focus],
            "o",
            markersize=9,
            markerfacecolor="none",
            markeredgecolor="black",
            zorder=4,
        )
        for axes, image in zip(small, [p["image"], *p["decoded"]], strict=True):
            draw_picture(axes, image)
        small[0].set_title("observation", fontsize=9)
        small[1].set_title("its samples,\ndecoded", fontsize=9)
    note_runs(figure, note)
    return figure


def _posterior_axes(part: Any, decoded: int) -> list[Axes]:
    rows = (decoded + 2) // 2
    grid = part.add_gridspec(rows, 6, width_ratios=[1.2, 1.2, 1.0, 1.0, 0.85, 0.85])
    latent, confusion = part.add_subplot(grid[:, :2]), part.add_subplot(grid[:, 2:4])
    return [
        latent,
        confusion,
        *(part.add_subplot(grid[k // 2, 4 + k % 2]) for k in range(decoded + 1)),
    ]


def _two_factor_colours(factors: np.ndarray) -> np.ndarray:
    """Red grows with the first factor and blue with the second, so that neighbours have similar
    colours.
    """
    share = factors / np.maximum(factors.max(0), 1)
    return np.stack(
        [0.15 + 0.8 * share[:, 0], np.full(len(share), 0.35), 0.15 + 0.8 * share[:, 1]], -1
    )


@styled
def latent_cycles(
    cycles: np.ndarray, order: Sequence[int], *, names: Sequence[str] | None = None, note: str = ""
) -> Figure:
    """Draw what decoders make of one latent that moves while the others stay: Figure 7.

    Parameters
    ----------
    cycles : ndarray of uint8, shape (z, frames, H, W, C)
    order : sequence of int
        Which latents to show, one row each.
    names : sequence of str, optional
        What to write beside the rows.
    note : str
        Which runs these are, to be written below.
    """
    frames = cycles.shape[1]
    figure, axes = plt.subplots(
        len(order), frames, figsize=(0.95 * frames + 0.6, 1.0 * len(order)), squeeze=False
    )
    for r, latent in enumerate(order):
        for c in range(frames):
            draw_picture(axes[r, c], cycles[latent, c])
        axes[r, 0].set_ylabel(
            names[r] if names else f"z{latent}", rotation=0, ha="right", va="center"
        )
    note_runs(figure, note)
    return figure


@styled
def clouds(panels: Mapping[str, tuple[np.ndarray, np.ndarray]], *, columns: int = 3) -> Figure:
    """Draw codes of two latents as points, coloured by two factors.

    Parameters
    ----------
    panels : mapping of str to (codes, factors)
        Each panel's title, and arrays of shape (n, 2).
    columns : int
        Panels in a row.
    """
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(2.3 * columns, 2.3 * rows + 0.2),
        squeeze=False,
        sharex=True,
        sharey=True,
    )
    for place, (title, (codes, factors)) in zip(axes.flat, panels.items(), strict=False):
        place.scatter(codes[:, 0], codes[:, 1], s=4, c=_two_factor_colours(factors), linewidths=0)
        place.set_title(title, fontsize=9)
        place.set_aspect("equal")
    for place in axes.flat[len(panels) :]:
        place.set_visible(False)
    for place in axes[-1]:
        place.set_xlabel("latent 1")
    for place in axes[:, 0]:
        place.set_ylabel("latent 2")
    return figure
