"""Figures of curves, bars and points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vaedis import _check
from vaedis._support.text import names_of_own
from vaedis.plots.inputs import (
    finite_range,
    need_as_many,
    need_list,
    need_mapping,
    need_named,
    need_some,
    numbers_of,
    pair_of,
)
from vaedis.plots.style import CURVES, Axes, Figure, name_of, panel_grid, plt, styled

_MARKERS = "osD^"
# of the first four curves, of the next four, and so on
_DASHES = ("-", "--", ":", "-.")
_HATCHES = (None, "///", "...", "xxx")


def draw_cumulative(ax: Axes, curves: Mapping[str, np.ndarray]) -> None:
    """Draw cumulative distributions as steps; the curve called "random" is black."""
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.85, max(len(curves) - 1, 1)))
    for k, (name, values) in enumerate(curves.items()):
        x = np.sort(_distances(name, values))
        share = np.arange(len(x) + 1) / len(x)
        colour = colours[min(k, len(colours) - 1)]
        style = ["-", "--"][k % 2]
        if name == "random":
            colour = "black"
            style = "-"
        ax.step([0, *x], share, style, where="post", color=colour, label=name, linewidth=1.5)
    ax.set_ylim(-0.02, 1.02)
    ax.set_xlim(left=0)
    ax.grid(True)


def _distances(name: str, values: Any) -> np.ndarray:
    """Return the distances of a curve, or raise a ValueError."""
    distances = numbers_of(repr(name), values)
    need_some(repr(name), distances)
    if not np.isfinite(distances).all() or distances.min() < 0:
        raise ValueError(
            f"{name!r} must hold distances, finite numbers of at least 0; leave out pairs that "
            "have none."
        )
    return distances


def _style(curves: Any, k: int) -> tuple[str, str]:
    """Return dashes and colour of curve k, which no other one has with its marker."""
    if len(curves) > 4 * len(_DASHES):
        raise ValueError(
            f"at most {4 * len(_DASHES)} curves can be told apart, and these are {len(curves)}; "
            "draw fewer."
        )
    return _DASHES[k // 4], CURVES[k % 4]


@styled
def cumulative(curves: Mapping[str, np.ndarray], *, xlabel: str = "perceived distance") -> Figure:
    """Draw the cumulative distributions of distances.

    Parameters
    ----------
    curves : mapping of str to ndarray of float, shape (n,)
        Names of the curves, and distances in any order. "random" is drawn in black.
    xlabel : str

    Examples
    --------
    >>> figure = cumulative({"x_R": np.array([0.1, 0.3]), "random": np.array([0.2, 0.5])})
    >>> [line.get_label() for line in figure.axes[0].lines]
    ['x_R', 'random']
    >>> plt.close(figure)
    """
    need_named("curves", curves)
    figure, ax = plt.subplots(figsize=(6.4, 3.6))
    draw_cumulative(ax, curves)
    ax.set(xlabel=xlabel, ylabel="share of pairs at most so far apart")
    # curves of equal distances reach into every corner
    ax.legend(ax.lines, list(curves), loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


@styled
def lines(
    x: Sequence[float],
    curves: Mapping[str, Sequence[float | None]],
    *,
    xlabel: str,
    ylabel: str,
    marks: Mapping[str, float] | None = None,
) -> Figure:
    """Draw a few curves over a common axis.

    Parameters
    ----------
    x : sequence of float
    curves : mapping of str to sequence of float or None
        None leaves a gap.
    xlabel, ylabel : str
    marks : mapping of str to float, optional
        Names of vertical lines, and where to draw them.

    Examples
    --------
    >>> figure = lines([1, 2], {"rank": [0.5, None]}, xlabel="radius", ylabel="correlation")
    >>> len(figure.axes[0].lines)
    1
    >>> plt.close(figure)
    """
    need_list("x", x)
    need_named("curves", curves)
    marks = {} if marks is None else marks
    need_mapping("marks", marks)
    figure, ax = plt.subplots(figsize=(6.4, 3.4))
    for k, (name, y) in enumerate(curves.items()):
        values = numbers_of(repr(name), y)
        need_as_many(repr(name), values, len(x), "places of x")
        dashes, colour = _style(curves, k)
        # more markers than these could not be told apart
        marker = _MARKERS[k % 4] if len(values) <= 20 else ""
        ax.plot(x, values, marker + dashes, label=name, markersize=4, color=colour)
    for name, position in marks.items():
        ax.axvline(position, color="0.5", linestyle=":", label=name)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.grid(True)
    # all names, also those that begin with "_"
    ax.legend(ax.lines, [*curves, *marks])
    return figure


@styled
def bars(
    labels: Sequence[str], groups: Mapping[str, Sequence[float]], *, xlabel: str, ylabel: str
) -> Figure:
    """Draw groups of bars side by side, with each value above its bar.

    Parameters
    ----------
    labels : sequence of str
        What stands below each group.
    groups : mapping of str to sequence of float
        The heights of one colour's bars, one for each label.
    xlabel, ylabel : str

    Examples
    --------
    >>> figure = bars(["0", "1"], {"code": [0.25, 0.75]}, xlabel="factors", ylabel="share")
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['0.25', '0.75']
    >>> plt.close(figure)
    """
    need_list("labels", labels)
    need_some("labels", labels)
    need_named("groups", groups)
    figure, ax = plt.subplots(figsize=(6.8, 3.2))
    width = 0.8 / len(groups)
    containers = []
    for k, (name, values) in enumerate(groups.items()):
        heights = numbers_of(repr(name), values)
        need_as_many(repr(name), heights, len(labels), "labels")
        _, colour = _style(groups, k)
        x = np.arange(len(labels)) + width * (k - (len(groups) - 1) / 2)
        container = ax.bar(
            x, heights, width * 0.94, label=name, color=colour, hatch=_HATCHES[k // 4]
        )
        ax.bar_label(container, fmt="%.2f", fontsize=7.5, padding=1)
        containers.append(container)
    ax.set(xticks=range(len(labels)), xticklabels=labels, xlabel=xlabel, ylabel=ylabel)
    ax.grid(True, axis="y")
    ax.set_axisbelow(True)
    ax.legend(containers, list(groups))
    return figure


@styled
def panels(
    x: Sequence[float],
    curves: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    xlabel: str,
    ticks: Sequence[float] = (),
) -> Figure:
    """Draw small panels, each with the same few curves over a common axis.

    They span 0 to 1, and more only if a curve does. A curve's name has one colour in all panels,
    whatever their order, and the legend has the names of all panels.

    Parameters
    ----------
    x : sequence of float
    curves : mapping of str to (mapping of str to sequence of float)
        Each panel's title, then each curve's name.
    xlabel : str
    ticks : sequence of float, optional
        Where to mark the common axis.

    Examples
    --------
    >>> figure = panels([0, 90], {"MIG": {"thin": [1, 0]}}, xlabel="angle")
    >>> figure.axes[0].get_title()
    'MIG'
    >>> plt.close(figure)
    """
    need_list("x", x)
    need_list("ticks", ticks)
    need_named("curves", curves)
    panels = {title: _panel(title, of_panel, len(x)) for title, of_panel in curves.items()}
    names = list(dict.fromkeys(name for of_panel in panels.values() for name in of_panel))
    need_some("curves", names)
    low, high = finite_range([y for of_panel in panels.values() for y in of_panel.values()])
    low = -0.05 if low >= -0.05 else low - 0.05 * (max(high, 1) - low)
    high = 1.05 if high <= 1.05 else high + 0.05 * (high - min(low, 0))
    figure, axes = panel_grid(len(curves), 3, 2.9, 2.2, sharex=True, sharey=True)
    handles = {}
    for ax, (title, of_panel) in zip(axes.flat, panels.items(), strict=False):
        for name, y in of_panel.items():
            k = names.index(name)
            dashes, colour = _style(names, k)
            (handles[name],) = ax.plot(
                x, y, _MARKERS[k % 4] + dashes, label=name, markersize=3, color=colour
            )
        ax.set_title(title, fontsize=9)
        ax.set_ylim(low, high)
        ax.grid(True)
        if len(ticks):
            ax.set_xticks(list(ticks))
    for ax in axes[-1]:
        ax.set_xlabel(xlabel)
    lines_of_names = [handles[name] for name in names]
    figure.legend(lines_of_names, names, loc="outside upper center", ncols=len(names))
    return figure


def _panel(title: str, curves: Mapping[str, Any], n: int) -> dict[str, np.ndarray]:
    """Return the curves of a panel, each of n numbers, or raise a ValueError."""
    need_mapping(f"the curves of {title!r}", curves)
    numbers = {}
    for name, y in curves.items():
        numbers[name] = numbers_of(f"{name!r} of {title!r}", y)
        need_as_many(f"{name!r} of {title!r}", numbers[name], n, "places of x")
    return numbers


@styled
def training(run: Any) -> Figure:
    """Draw the two terms of a VAE's loss during training.

    Parameters
    ----------
    run : Run
        Its `history` is drawn pale, and its means over fiftieths of the steps on top.

    Raises
    ------
    ValueError
        If the run has no history.

    Examples
    --------
    >>> import vaedis as vd
    >>> options = {"image_size": 8, "square_size": 2, "grid_size": 3, "num_squares": 1}
    >>> spec = vd.RunSpec(data_options=options, model="mlp", latents=2, steps=5, batch=9)
    >>> figure = training(vd.fit(spec, device="cpu"))
    >>> [ax.get_ylabel() for ax in figure.axes]
    ['reconstruction loss (mse)', 'KL divergence per latent (nats)']
    >>> plt.close(figure)
    """
    if not hasattr(run, "history"):
        raise TypeError(f"run must be a Run, as fit returns it, not a {type(run).__name__}.")
    n = len(run.history.get("recon", ()))
    if not n:
        raise ValueError("the run has no history to draw; it took no steps.")
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.3))
    steps = np.arange(1, n + 1)
    parts = np.array_split(np.arange(n), min(50, n))
    names = {"recon": f"reconstruction loss ({run.loss.name})"}
    names["kl"] = "KL divergence per latent (nats)"
    for k, (ax, (term, name)) in enumerate(zip(axes, names.items(), strict=True)):
        values = np.asarray(run.history[term], float)
        ax.plot(steps, values, color=CURVES[k], alpha=0.25, linewidth=0.8)
        means = [values[part].mean() for part in parts]
        ax.plot([steps[part].mean() for part in parts], means, color=CURVES[k])
        if (values > 0).all() and values.max() > 20 * values.min():
            ax.set_yscale("log")
        ax.set(xlabel="step", ylabel=name)
        ax.grid(True)
    custom_names = names_of_own(run.spec.custom)
    beta = f"{custom_names['beta']}(step)" if "beta" in custom_names else f"{run.spec.beta:.3g}"
    figure.suptitle(f"{name_of(run)}, β = {beta}")
    return figure


def two_factor_colours(factors: np.ndarray) -> np.ndarray:
    """Return a colour for each pair of factors: red grows with the first, blue with the second."""
    # from 0 on, unless a factor has smaller values
    low = np.minimum(factors.min(0), 0)
    share = (factors - low) / np.maximum(factors.max(0) - low, 1)
    green = np.full(len(share), 0.35)
    return np.stack([0.15 + 0.8 * share[:, 0], green, 0.15 + 0.8 * share[:, 1]], -1)


@styled
def codes(panels: Mapping[str, tuple[np.ndarray, np.ndarray]], *, columns: int = 3) -> Figure:
    """Draw codes of two latents as points, coloured by two factors.

    Parameters
    ----------
    panels : mapping of str to (codes, factors)
        Each panel's title, and arrays of shape (n, 2).
    columns : int
        Panels in a row.

    Examples
    --------
    >>> factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    >>> figure = codes({"aligned": (factors / 2, factors)}, columns=1)
    >>> len(figure.axes[0].collections[0].get_offsets())
    4
    >>> plt.close(figure)
    """
    need_named("panels", panels)
    _check.count("columns", columns)
    figure, axes = panel_grid(len(panels), columns, 2.3, 2.4, sharex=True, sharey=True)
    for ax, (title, pair) in zip(axes.flat, panels.items(), strict=False):
        points, factors = pair_of(title, pair)
        ax.scatter(points[:, 0], points[:, 1], s=4, c=two_factor_colours(factors), linewidths=0)
        ax.set_title(title, fontsize=9)
        ax.set_aspect("equal")
    for ax in axes[-1]:
        ax.set_xlabel("latent 1")
    for ax in axes[:, 0]:
        ax.set_ylabel("latent 2")
    return figure
