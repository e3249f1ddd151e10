"""Figures of how networks learn: up to which beta, in which order, and in how many steps."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from vaedis.plots.style import CURVES, Axes, Figure, panel_grid, plt, styled
from vaedis_companion.analysis.courses import ORDERS, Course
from vaedis_companion.analysis.onsets import RECONSTRUCTED, Learning
from vaedis_companion.figures.style import COLOURS, LEVEL_NAMES, NAMES, SCORES
from vaedis_companion.store import is_number

# limits of the beta axis
_LOWEST, _HIGHEST = 3e-4, 2.0


@styled
def where_learning_ends(
    panels: Mapping[str, Mapping[str, Mapping[int, Sequence[tuple[float, float]]]]],
    onset: Mapping[int, float],
    limit: Mapping[int, float],
) -> Figure:
    """Draw between which betas learning ends, at each spacing, beside where theory puts it.

    A full point is the last beta at which anything is learned, a hollow one the next that was
    tried; a bar goes to the edge where nothing is learned at any beta, or something at each. For
    each panel, `panels` has up to three kinds of runs, and for each of their spacings the result of
    `onsets.where_learning_ends`. For each spacing, `onset` is the beta below which a first step
    from nothing pays (`diagnosis.bounds.largest_beta`), and `limit` that above which no code does
    (`diagnosis.bounds.rate_distortion_beta`).
    """
    size = (4.6 * len(panels), 3.9)
    figure, axes = plt.subplots(1, len(panels), figsize=size, sharey=True, squeeze=False)
    spacings = sorted(onset)
    low = [onset[spacing] for spacing in spacings]
    high = [limit[spacing] for spacing in spacings]
    handles = {}
    for ax, (title, kinds) in zip(axes[0], panels.items(), strict=True):
        ax.fill_between(spacings, low, high, color="#c98a00", alpha=0.18, linewidth=0)
        ax.plot(spacings, high, color="0.35", label="no code pays above")
        ax.plot(spacings, low, "--", color="0.35", label="a first step pays below")
        for k, (name, ends) in enumerate(kinds.items()):
            _draw_ends(ax, name, ends, CURVES[k], 0.2 * (k - (len(kinds) - 1) / 2))
        ax.set(xlabel="grid spacing (pixels)", title=title, xlim=(0.5, 8.5), xticks=range(1, 9))
        ax.set(yscale="log", ylim=(_LOWEST, _HIGHEST))
        ax.grid(True)
        ax.tick_params(labelleft=True)
        for handle, name in zip(*ax.get_legend_handles_labels(), strict=True):
            handles[name] = handle
    axes[0, 0].set_ylabel("β")
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3)
    return figure


def _draw_ends(
    ax: Axes,
    name: str,
    ends: Mapping[int, Sequence[tuple[float, float]]],
    colour: str,
    offset: float,
) -> None:
    points = [(spacing + offset, *pair) for spacing in sorted(ends) for pair in ends[spacing]]
    if not points:
        return
    x, last, first = np.array(points, float).T
    # a bar without an end that was tried goes to the edge
    ax.vlines(x, last.clip(_LOWEST), first.clip(max=_HIGHEST), color=colour, lw=1.5, zorder=3)
    last[last == 0] = first[np.isinf(first)] = np.nan
    label = f"learning ends, {name}"
    ax.plot(x, last, "o", color=colour, markersize=5.5, zorder=4, label=label)
    ax.plot(x, first, "o", color=colour, markerfacecolor="white", markersize=5.5, zorder=4)


@styled
def learning(
    groups: Mapping[str, Mapping[str, Sequence[Learning]]],
    importance: Mapping[str, Mapping[str, float]],
) -> Figure:
    """Draw how much of each factor networks reconstruct while they are trained.

    `groups` are data sets (a column), then frameworks (a row), then runs: a line for each factor
    and run. `importance` has for each data set the mean perceived distance along each factor: the
    more important, the darker its lines.
    """
    frameworks = list(dict.fromkeys(name for runs in groups.values() for name in runs))
    shape = (len(frameworks), len(groups))
    size = (2.5 * len(groups) + 0.8, 2.3 * len(frameworks) + 1.4)
    figure, axes = plt.subplots(*shape, figsize=size, squeeze=False, sharex=True, sharey=True)
    for column, (data, runs) in zip(axes.T, groups.items(), strict=True):
        names = sorted(importance[data], key=lambda name: -importance[data][name])
        shades = plt.get_cmap("plasma")(np.linspace(0.0, 0.85, len(names)))
        colours = dict(zip(names, shades, strict=True))
        for ax, framework in zip(column, frameworks, strict=True):
            for run in runs.get(framework, ()):
                for name, shares in run.reconstructed.items():
                    ax.plot(run.steps, shares, color=colours[name], linewidth=1.4)
            ax.axhline(RECONSTRUCTED, color="0.5", linestyle=":", linewidth=1)
            ax.set(xscale="log", ylim=(-0.05, 1.1))
            ax.grid(True)
        column[0].set_title(data, fontsize=9)
        column[-1].set_xlabel("steps")
        _add_factors(column[-1], colours)
    for ax, framework in zip(axes[:, 0], frameworks, strict=True):
        ax.set_ylabel(f"{NAMES.get(framework, framework)}\nshare reconstructed")
    return figure


def _add_factors(ax: Axes, colours: Mapping[str, Any]) -> None:
    handles = [plt.Line2D([], [], color=colour) for colour in colours.values()]
    position: Any = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.28)}
    title = "most important first"
    ax.legend(handles, list(colours), title=title, fontsize=8, title_fontsize=8, **position)


_STEPS = (500, 2_000, 8_000, 57_600)


@styled
def scores_by_steps(settings: Mapping[str, Course], *, columns: int = 3) -> Figure:
    """Draw MIG and DCI against the number of steps, a panel for each titled setting.

    A line goes through the scores of each long run on its way, and each run that ended is a point.
    """
    colours = dict(zip(SCORES, (COLOURS["mse"], COLOURS["published"]), strict=True))
    legend = {SCORES[score]: colour for score, colour in colours.items()}
    figure, axes = _panels_by_steps(settings, "score", legend, columns)
    for ax, course in zip(axes, settings.values(), strict=False):
        for score, colour in colours.items():
            for curve in course.curves:
                ax.plot(curve["steps"], curve[score], "-", color=colour)
            for steps, runs in sorted(course.points.items()):
                values = [row[score] for row in runs.rows if is_number(row[score])]
                ax.plot([steps] * len(values), values, "o", color=colour, markersize=4)
    return figure


@styled
def order_by_steps(settings: Mapping[str, Course]) -> Figure:
    """Draw how far distances follow the factors against the number of steps, a panel for each.

    For each long run, a line goes through the rank correlations of its latent means, and another
    one through those of its reconstructions.
    """
    colours = {
        LEVEL_NAMES["z"]: COLOURS["mse"],
        LEVEL_NAMES["reconstruction"]: COLOURS["published"],
    }
    figure, axes = _panels_by_steps(settings, "rank correlation", colours)
    axes[0].set_ylim(-0.35, 1.05)
    for ax, course in zip(axes, settings.values(), strict=False):
        for level, colour in zip(ORDERS, colours.values(), strict=True):
            for curve in course.curves:
                ax.plot(curve["steps"], curve[level], "o-", color=colour, markersize=4)
    return figure


def _panels_by_steps(
    titles: Collection[str], label: str, colours: Mapping[str, str], columns: int = 3
) -> tuple[Figure, list[Axes]]:
    """Return a panel for each title with a logarithmic axis of steps, and a legend of colours."""
    figure, axes = panel_grid(max(1, len(titles)), columns, 2.9, 2.3, sharex=True, sharey=True)
    for ax, title in zip(axes.flat, titles or ["no runs are stored"], strict=False):
        ax.set(title=title, xscale="log", xlim=(400, 80_000), ylim=(-0.05, 1.05))
        ax.set_xticks(_STEPS, [f"{n:,}" for n in _STEPS], fontsize=8)
        ax.minorticks_off()
        ax.tick_params(labelbottom=True)
        ax.grid(True)
    for ax in axes[-1]:
        ax.set_xlabel("steps")
    for ax in axes[:, 0]:
        ax.set_ylabel(label)
    handles = [plt.Line2D([], [], color=c, marker="o", markersize=4) for c in colours.values()]
    figure.legend(handles, list(colours), loc="outside upper center", ncols=2)
    return figure, list(axes.flat)
