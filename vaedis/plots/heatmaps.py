"""Figures of matrices: ground-truth and perceived distances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vaedis import _check
from vaedis.plots.inputs import finite_range, keyed, need_keys, need_named, numbers_of
from vaedis.plots.style import Figure, draw_matrix, plt, styled, write_note

# from one tile of a figure to the next, of widths of a tile
_STEP = 1.12


def draw_distances(
    axes: Any,
    truth: Mapping[str, np.ndarray],
    perceived: Mapping[str, np.ndarray],
    labels: Mapping[str, str],
    span: tuple[float, float] | None = None,
) -> None:
    """Draw ground-truth above perceived distances, in axes of shape (2, columns or more)."""
    for column, name in zip(axes.T, perceived, strict=False):
        column[0].set_title(name)
        draw_matrix(column[0], name, truth[name], "Blues")
        draw_matrix(column[1], name, perceived[name], "Purples", span)
        column[1].set_xlabel(labels.get(name, ""), fontsize=8.5)
    for ax in axes[:, len(perceived) :].flat:
        ax.set_visible(False)
    axes[0, 0].set_ylabel("ground truth")
    axes[1, 0].set_ylabel("perceived")


@styled
def draw_tiles(truth: Mapping[str, np.ndarray], perceived: Mapping[str, np.ndarray]) -> Figure:
    """Draw what `distance_matrices` does in one pair of axes, which is five times as fast."""
    figure, ax = plt.subplots(figsize=(1.1 * len(perceived) + 0.5, 2.8))
    rows = {"perceived": (perceived, "Purples", 0.0), "ground truth": (truth, "Blues", 1.0)}
    for row, (matrices, cmap, y) in rows.items():
        ax.text(-0.1, _STEP * y + 0.5, row, rotation=90, ha="right", va="center")
        for k, (name, matrix) in enumerate(matrices.items()):
            draw_matrix(ax, name, matrix, cmap, at=(_STEP * k, _STEP * y))
    for k, name in enumerate(perceived):
        # a long name takes no room from the tiles
        ax.text(_STEP * k + 0.5, 2 * _STEP, name, ha="center", in_layout=False)
    ax.set(xlim=(-0.1, _STEP * len(perceived)), ylim=(-0.05, 2 * _STEP + 0.2))
    ax.axis("off")
    return figure


@styled
def distance_matrices(
    truth: Mapping[str, np.ndarray],
    perceived: Mapping[str, np.ndarray],
    *,
    shared_range: bool = False,
    labels: Mapping[str, str] | None = None,
) -> Figure:
    """Draw ground-truth distances above perceived distances, one column a factor or a data set.

    Parameters
    ----------
    truth, perceived : mapping of str to ndarray of float, shape (f, f)
        With the same keys, which title the columns.
    shared_range : bool
        One range of colours for all perceived matrices; by default each panel spans its own.
    labels : mapping of str to str, optional
        A line to write below a column.

    Examples
    --------
    >>> import vaedis as vd
    >>> perceived = vd.distances.traversal_matrices(vd.load("xysquares"), factors=["x_R"])
    >>> figure = distance_matrices({"x_R": vd.distances.ground_truth_matrix(8)}, perceived)
    >>> len(figure.axes)
    2
    >>> plt.close(figure)
    """
    shared_range = _check.flag("shared_range", shared_range)
    need_named("perceived", perceived)
    need_named("truth", truth)
    need_keys("truth", truth, perceived)
    need_keys("perceived", perceived, truth)
    lines = keyed("labels", labels, perceived)
    size = (1.1 * len(perceived) + 0.5, 2.8)
    numbers = [numbers_of(repr(name), matrix, axes=2) for name, matrix in perceived.items()]
    for name, matrix in zip(perceived, numbers, strict=True):
        expected = numbers_of(repr(name), truth[name], axes=2)
        if expected.shape != matrix.shape or matrix.shape[0] != matrix.shape[1]:
            raise ValueError(
                f"the matrices of {name!r} must both have the shape (f, f), not {expected.shape} "
                f"and {matrix.shape}."
            )
    span = (0.0, finite_range(numbers)[1]) if shared_range else None
    figure, axes = plt.subplots(2, len(perceived), figsize=size, squeeze=False)
    draw_distances(axes, truth, perceived, lines, span)
    return figure


@styled
def matrices(
    rows: Mapping[str, Mapping[str, np.ndarray]],
    *,
    cmaps: Mapping[str, str] | None = None,
    note: str = "",
) -> Figure:
    """Draw distances in a table of panels, each with its own range of colours.

    Parameters
    ----------
    rows : mapping of str to (mapping of str to ndarray of float, shape (f, f))
        Rows, then columns, which are the same in each row.
    cmaps : mapping of str to str, optional
        The colours of a column, by matplotlib's names; "Purples" by default.
    note : str
        What to write below the figure.

    Examples
    --------
    >>> figure = matrices({"MSE": {"8 px": np.eye(8), "1 px": np.eye(8)}})
    >>> [ax.get_title() for ax in figure.axes]
    ['8 px', '1 px']
    >>> plt.close(figure)
    """
    need_named("rows", rows)
    for row, panels in rows.items():
        need_named(f"row {row!r}", panels)
    columns = list(dict.fromkeys(column for panels in rows.values() for column in panels))
    for row, panels in rows.items():
        need_keys(f"row {row!r}", panels, columns)
    colours = keyed("cmaps", cmaps, columns)
    size = (1.45 * len(columns) + 0.4, 1.4 * len(rows) + 0.5)
    figure, axes = plt.subplots(len(rows), len(columns), figsize=size, squeeze=False)
    for r, (row, panels) in enumerate(rows.items()):
        for c, column in enumerate(columns):
            draw_matrix(axes[r, c], column, panels[column], colours.get(column, "Purples"))
        axes[r, 0].set_ylabel(row)
    for ax, column in zip(axes[0], columns, strict=True):
        ax.set_title(column, fontsize=9)
    write_note(figure, note)
    return figure
