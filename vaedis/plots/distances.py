"""Figures that show the same for several data sets, one below the other: Figures 2, 3 and A1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vaedis.plots.style import Figure, as_bytes, draw_matrix, draw_picture, plt, styled


def _rows(groups: Mapping[str, Any], width: float, height: float) -> tuple[Figure, list[Any]]:
    """A figure of one titled strip for each group."""
    figure = plt.figure(figsize=(width, height * len(groups)))
    strips = np.atleast_1d(figure.subfigures(len(groups), 1))  # type: ignore[arg-type]
    for strip, title in zip(strips, groups, strict=True):
        strip.suptitle(title, fontsize=10, fontweight="bold", x=0.01, ha="left")
    return figure, list(strips)


@styled
def traversals(groups: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Draw traversals of several data sets, one factor a column: Figure 2.

    Parameters
    ----------
    groups : mapping of str to (mapping of str to ndarray of uint8, shape (frames, H, W, C))
        Titles of data sets, then factors.
    """
    columns = max(map(len, groups.values()))
    figure, strips = _rows(groups, 1.2 * columns, 4.0)
    for strip, factors in zip(strips, groups.values(), strict=True):
        axes = strip.subplots(len(next(iter(factors.values()))), columns, squeeze=False)
        for c in range(columns):
            for place in axes[:, c]:
                place.set_visible(c < len(factors))
        for c, (name, images) in enumerate(as_bytes(factors).items()):
            axes[0, c].set_title(name, fontsize=9)
            for place, image in zip(axes[:, c], images, strict=True):
                draw_picture(place, image)
    return figure


@styled
def distance_matrices(
    groups: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]],
    *,
    labels: Mapping[tuple[str, str], str] | None = None,
) -> Figure:
    """Draw ground-truth above perceived distances along the factors of several data sets: Figure 3.

    Parameters
    ----------
    groups : mapping of str to (mapping of str to (ndarray of float, shape (f, f), ndarray of float, shape (f, f)))
        Titles of data sets, then factors, then the two matrices. Each panel spans its own range of
        colours, as in the paper.
    labels : mapping of (data set, factor) to str, optional
        A line to write below a column.
    """
    columns = max(map(len, groups.values()))
    figure, strips = _rows(groups, 1.2 * columns + 0.3, 3.0)
    for strip, (title, factors) in zip(strips, groups.items(), strict=True):
        axes = strip.subplots(2, columns, squeeze=False)
        for c in range(columns):
            for place in axes[:, c]:
                place.set_visible(c < len(factors))
        for c, (name, (truth, perceived)) in enumerate(factors.items()):
            axes[0, c].set_title(name, fontsize=9)
            draw_matrix(axes[0, c], truth, "Blues")
            draw_matrix(axes[1, c], perceived, "Purples")
            if labels and (title, name) in labels:
                axes[1, c].set_xlabel(labels[title, name], fontsize=8)
        axes[0, 0].set_ylabel("truth", fontsize=8.5)
        axes[1, 0].set_ylabel("perceived", fontsize=8.5)
    return figure


@styled
def cumulative(groups: Mapping[str, Mapping[str, np.ndarray]], *, columns: int = 2) -> Figure:
    """Draw the cumulative distributions of distances of several data sets: Figure A1.

    Parameters
    ----------
    groups : mapping of str to (mapping of str to ndarray of float, shape (n,))
        Titles of data sets, then factors or "random", then distances.
    columns : int
        Panels in a row.
    """
    rows = -(-len(groups) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4.6 * columns, 2.9 * rows), squeeze=False)
    for place in axes.flat[len(groups) :]:
        place.set_visible(False)
    for place, (title, curves) in zip(axes.flat, groups.items(), strict=False):
        colours = plt.get_cmap("viridis")(np.linspace(0, 0.85, max(len(curves) - 1, 1)))
        for k, (name, values) in enumerate(curves.items()):
            x, random = np.sort(values), name == "random"
            style, colour = (
                ("-", "black")
                if random
                else (["-", "--"][k % 2], colours[min(k, len(colours) - 1)])
            )
            place.step(
                [0, *x],
                np.arange(len(x) + 1) / len(x),
                style,
                where="post",
                color=colour,
                label=name,
                linewidth=1.4,
            )
        place.set_title(title)
        place.set(ylim=(-0.02, 1.02), xlabel="perceived distance")
        place.set_xlim(left=0)
        place.grid(True)
        place.legend(loc="best", fontsize=8)
    for place in axes[:, 0]:
        place.set_ylabel("share of pairs")
    return figure
