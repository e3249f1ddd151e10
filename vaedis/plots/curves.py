"""Figures of curves and bars over a common axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vaedis.plots.style import CURVES, Figure, plt, styled


@styled
def cumulative(curves: Mapping[str, np.ndarray], *, xlabel: str = "perceived distance") -> Figure:
    """Draw the cumulative distributions of distances: Figure A1.

    Parameters
    ----------
    curves : mapping of str to ndarray of float, shape (n,)
    xlabel : str
    """
    figure, axes = plt.subplots(figsize=(6.4, 3.6))
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.85, max(len(curves) - 1, 1)))
    for k, (name, values) in enumerate(curves.items()):
        x = np.sort(values)
        colour = "black" if name == "random" else colours[min(k, len(colours) - 1)]
        style = "-" if name == "random" else ["-", "--"][k % 2]
        axes.step(
            [0, *x],
            np.arange(len(x) + 1) / len(x),
            style,
            where="post",
            color=colour,
            label=name,
            linewidth=1.6,
        )
    axes.set(xlabel=xlabel, ylabel="share of pairs at most so far apart", ylim=(-0.02, 1.02))
    axes.set_xlim(left=0)
    axes.grid(True)
    # curves of equal distances reach into every corner
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


@styled
def lines(
    x: Sequence[float],
    curves: Mapping[str, Sequence[float | None]],
    *,
    xlabel: str,
    ylabel: str,
    mark: float | None = None,
) -> Figure:
    """Draw a few curves over a common axis; None leaves a gap.

    Parameters
    ----------
    x : sequence of float
    curves : mapping of str to sequence of float or None
    xlabel, ylabel : str
    mark : float, optional
        Where to draw a vertical line: the paper's choice.
    """
    figure, axes = plt.subplots(figsize=(6.4, 3.4))
    for k, (name, y) in enumerate(curves.items()):
        values = [np.nan if v is None else v for v in y]
        # a mark for each value only where values are few enough to be told apart
        marks = "osD^"[k % 4] if len(values) <= 20 else ""
        axes.plot(x, values, marks + "-", label=name, markersize=4, color=CURVES[k % 4])
    if mark is not None:
        axes.axvline(mark, color="0.5", linestyle=":", label="the paper's choice")
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.grid(True)
    axes.legend()
    return figure


@styled
def bars(
    labels: Sequence[str], groups: Mapping[str, Sequence[float]], *, xlabel: str, ylabel: str
) -> Figure:
    """Draw groups of bars side by side, with each value above its bar.

    Parameters
    ----------
    labels : sequence of str
        What stands below each place.
    groups : mapping of str to sequence of float
        The heights of one colour's bars, one for each label.
    xlabel, ylabel : str
    """
    figure, axes = plt.subplots(figsize=(6.8, 3.2))
    width = 0.8 / len(groups)
    for k, (name, heights) in enumerate(groups.items()):
        at = np.arange(len(labels)) + width * (k - (len(groups) - 1) / 2)
        drawn = axes.bar(at, heights, width * 0.94, label=name, color=CURVES[k % 4])
        axes.bar_label(drawn, fmt="%.2f", fontsize=7.5, padding=1)
    axes.set(xticks=range(len(labels)), xticklabels=labels, xlabel=xlabel, ylabel=ylabel)
    axes.grid(True, axis="y")
    axes.set_axisbelow(True)
    axes.legend()
    return figure


@styled
def panels(
    x: Sequence[float],
    curves: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    xlabel: str,
    columns: int = 3,
    ticks: Sequence[float] = (),
) -> Figure:
    """Draw small panels, each with the same few curves over a common axis, from 0 to 1.

    Parameters
    ----------
    x : sequence of float
    curves : mapping of str to (mapping of str to sequence of float)
        Each panel's title, then each curve's name.
    xlabel : str
    columns : int
        Panels in a row.
    ticks : sequence of float, optional
        Where to mark the common axis.
    """
    rows = -(-len(curves) // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(2.9 * columns, 2.1 * rows + 0.5),
        squeeze=False,
        sharex=True,
        sharey=True,
    )
    for place, (title, lines_) in zip(axes.flat, curves.items(), strict=False):
        for k, (name, y) in enumerate(lines_.items()):
            place.plot(x, y, "osD^"[k % 4] + "-", label=name, markersize=3, color=CURVES[k % 4])
        place.set_title(title, fontsize=9)
        place.set_ylim(-0.05, 1.05)
        place.grid(True)
        if len(ticks):
            place.set_xticks(list(ticks))
    for place in axes.flat[len(curves) :]:
        place.set_visible(False)
    for place in axes[-1]:
        place.set_xlabel(xlabel)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names))
    return figure
