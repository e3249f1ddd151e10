"""Figures of images and matrices: traversals of data and of latents, and distances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vaedis.plots.style import (
    Figure,
    as_bytes,
    draw_image,
    draw_matrix,
    plt,
    styled,
    write_note,
)


def draw_traversals(axes: Any, columns: Mapping[str, np.ndarray]) -> None:
    """Draw traversals, one factor a column, in axes of shape (frames, columns or more)."""
    for column, (name, images) in zip(axes.T, as_bytes(columns).items(), strict=False):
        column[0].set_title(name, fontsize=9)
        for ax, image in zip(column, images, strict=True):
            draw_image(ax, image)
    for ax in axes[:, len(columns) :].flat:
        ax.set_visible(False)


@styled
def traversals(columns: Mapping[str, np.ndarray], *, values: Sequence[int] | None = None) -> Figure:
    """Draw traversals, one factor a column.

    Parameters
    ----------
    columns : mapping of str to ndarray of uint8 or float, shape (frames, H, W, C)
        Titles of the columns, and images. Floats are drawn from black, the smallest of all, to
        white, the largest.
    values : sequence of int, optional
        The factor's value in each frame, written beside the rows.

    Examples
    --------
    >>> import vaedis as vd
    >>> data = vd.load("xysquares")
    >>> frames = data.images(data.factors.traversal("x_R", 0)).numpy()
    >>> figure = traversals({"x_R": frames})
    >>> len(figure.axes)
    8
    >>> plt.close(figure)
    """
    frames = len(next(iter(columns.values())))
    size = (1.25 * len(columns), 1.25 * frames + 0.3)
    figure, axes = plt.subplots(frames, len(columns), figsize=size, squeeze=False)
    draw_traversals(axes, columns)
    for ax, value in zip(axes[:, 0], values or [], strict=False):
        ax.set_ylabel(f"value {value}")
    return figure


@styled
def latent_traversals(
    images: np.ndarray, *, names: Sequence[str] | None = None, note: str = ""
) -> Figure:
    """Draw what a decoder makes of latents, each of which moves while the others stay.

    Parameters
    ----------
    images : ndarray of uint8, shape (rows, frames, H, W, C)
        One row for each latent.
    names : sequence of str, optional
        What to write beside the rows; by default the number of the latent.
    note : str
        What to write below the figure.

    Examples
    --------
    >>> figure = latent_traversals(np.zeros((2, 5, 8, 8, 3), np.uint8))
    >>> len(figure.axes)
    10
    >>> plt.close(figure)
    """
    rows, frames = images.shape[:2]
    size = (0.95 * frames + 0.6, 1.0 * rows)
    figure, axes = plt.subplots(rows, frames, figsize=size, squeeze=False)
    for r in range(rows):
        for ax, image in zip(axes[r], images[r], strict=True):
            draw_image(ax, image)
        name = names[r] if names else f"z{r}"
        axes[r, 0].set_ylabel(name, rotation=0, ha="right", va="center")
    write_note(figure, note)
    return figure


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
        draw_matrix(column[0], truth[name], "Blues")
        draw_matrix(column[1], perceived[name], "Purples", span)
        column[1].set_xlabel(labels.get(name, ""), fontsize=8.5)
    for ax in axes[:, len(perceived) :].flat:
        ax.set_visible(False)
    axes[0, 0].set_ylabel("ground truth")
    axes[1, 0].set_ylabel("perceived")


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
        One range of colours for all perceived matrices, so that panels compare; by default each
        panel spans its own range.
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
    size = (1.1 * len(perceived) + 0.5, 2.8)
    figure, axes = plt.subplots(2, len(perceived), figsize=size, squeeze=False)
    span = (0.0, max(float(np.max(m)) for m in perceived.values())) if shared_range else None
    draw_distances(axes, truth, perceived, labels or {}, span)
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
    columns = list(next(iter(rows.values())))
    size = (1.45 * len(columns) + 0.4, 1.4 * len(rows) + 0.5)
    figure, axes = plt.subplots(len(rows), len(columns), figsize=size, squeeze=False)
    for r, (row, panels) in enumerate(rows.items()):
        for c, column in enumerate(columns):
            draw_matrix(axes[r, c], panels[column], (cmaps or {}).get(column, "Purples"))
        axes[r, 0].set_ylabel(row)
    for ax, column in zip(axes[0], columns, strict=True):
        ax.set_title(column, fontsize=9)
    write_note(figure, note)
    return figure
