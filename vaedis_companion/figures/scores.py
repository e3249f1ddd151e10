"""Figures of scores, one point a run: by spacing, by beta, or by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vaedis.plots.style import Axes, Figure, plt, styled, write_note
from vaedis_companion.figures.style import (
    COLOURS,
    MARKERS,
    NAMES,
    SCORES,
    SEED,
    add_legend,
    draw_long_runs,
    draw_median,
    draw_range,
    draw_runs,
)
from vaedis_companion.published import DATA_SETS, FRAMEWORKS
from vaedis_companion.store import RunTable, is_number


@styled
def scores_by_spacing(
    runs: RunTable,
    *,
    published: Sequence[Mapping[str, Any]] = (),
    long_runs: RunTable | None = None,
) -> Figure:
    """Draw MIG and DCI against grid spacing: Figure 9.

    Every run is a point; lines join the medians of each spacing. With five spacings or more, the
    paper's quartic is drawn as well, dotted, with the 95 % interval of 1,000 bootstraps. Lines of
    ``published.table("fig9_scores")``, if given, are drawn as bars, and long runs as stars.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9.2, 3.8), sharey=True)
    rng = np.random.default_rng(SEED)
    for ax, (score, label) in zip(axes, SCORES.items(), strict=True):
        for framework, offset in zip(FRAMEWORKS, (-0.16, 0.16), strict=True):
            for line in published:
                if line["framework"] == framework and line["metric"] == score:
                    ends = [line["lowest"], line["highest"]]
                    draw_range(ax, line["grid_spacing"] + offset, ends, framework, 9)
            x, y = _spacings_and_scores(runs, framework, score)
            if len(x):
                _draw_framework(ax, x, y, framework, offset, rng)
            if long_runs:
                x, y = _spacings_and_scores(long_runs, framework, score)
                draw_long_runs(ax, x + offset, y, framework)
        ax.set(xlabel="grid spacing (pixels)", ylabel=label, xlim=(0.5, 8.5), ylim=(-0.05, 1.05))
        ax.set_xticks(range(1, 9))
        ax.tick_params(labelleft=True)
        ax.grid(True)
    handles, names = axes[0].get_legend_handles_labels()
    add_legend(axes[0], handles, names, published=bool(published), long=long_runs is not None)
    notes = [runs.describe()] + ([f"stars: {long_runs.describe()}"] if long_runs else [])
    write_note(figure, "\n".join(notes))
    return figure


def _spacings_and_scores(
    runs: RunTable, framework: str, score: str
) -> tuple[np.ndarray, np.ndarray]:
    rows = [row for row in runs.rows if row["framework"] == framework and is_number(row[score])]
    spacings = np.array([row["data_options"]["grid_spacing"] for row in rows], float)
    return spacings, np.array([row[score] for row in rows], float)


def _draw_framework(
    ax: Axes, x: np.ndarray, y: np.ndarray, framework: str, offset: float, rng: np.random.Generator
) -> None:
    jitter = rng.uniform(-0.05, 0.05, len(x))
    draw_runs(ax, x + offset + jitter, y, framework, label=NAMES[framework])
    spacings = np.unique(x)
    medians = [np.median(y[x == spacing]) for spacing in spacings]
    ax.plot(spacings + offset, medians, color=COLOURS[framework], linewidth=1.2, zorder=2)
    if len(spacings) >= 5:
        _draw_quartic(ax, x, y, COLOURS[framework], rng)


def _draw_quartic(
    ax: Axes, x: np.ndarray, y: np.ndarray, colour: str, rng: np.random.Generator
) -> None:
    """Draw the paper's fit, a quartic, with the bootstrap's 95 % interval."""
    grid = np.linspace(x.min(), x.max(), 100)
    curves = []
    for _ in range(1000):
        sample = rng.integers(len(x), size=len(x))
        if len(np.unique(x[sample])) >= 5:
            curves.append(np.polyval(np.polyfit(x[sample], y[sample], 4), grid))
    ax.plot(grid, np.polyval(np.polyfit(x, y, 4), grid), ":", color=colour, linewidth=1.5)
    low, high = np.percentile(curves, [2.5, 97.5], axis=0)
    ax.fill_between(grid, low, high, color=colour, alpha=0.1, linewidth=0)


_BETA_PANELS = {"final_kl": "KL divergence, nats per latent", **SCORES}
_DATA_STYLES = {
    "shapes3d": ("#3b5bdb", "s", "-"),
    "dsprites": ("#0f9d8f", "o", "--"),
    "xysquares": ("#be185d", "X", ":"),
}


@styled
def scores_by_beta(runs: RunTable, bounds: Mapping[int, float]) -> Figure:
    """Draw KL divergence, MIG and DCI against beta, for each spacing and framework with runs.

    Every run is a point; lines join the medians. `bounds` has for each spacing the beta above which
    nothing should be learned (`diagnosis.bounds.largest_beta`): a vertical line.
    """
    lines = ("-", "--", ":", "-.")
    if len(bounds) > len(lines):
        raise ValueError(f"bounds must be of at most {len(lines)} spacings, not of {len(bounds)}.")
    runs = runs.where(lambda row: row["data_options"].get("grid_spacing") in bounds)
    figure, axes = _beta_panels(runs)
    styles: dict[int, Any] = dict(zip(sorted(bounds), lines, strict=False))
    for ax, column in zip(axes, _BETA_PANELS, strict=True):
        for spacing, style in styles.items():
            ax.axvline(bounds[spacing], color="0.55", linestyle=style, linewidth=1.2, zorder=1)
            for framework in FRAMEWORKS:
                # hollow points, but for the first spacing
                face = {} if style == "-" else {"markerfacecolor": "white", "markeredgecolor": None}
                _draw_betas(
                    ax,
                    runs.where(framework=framework, grid_spacing=spacing).rows,
                    column,
                    f"{NAMES[framework]}, spacing {spacing}",
                    (COLOURS[framework], MARKERS[framework], style),
                    **face,
                )
    handles, names = axes[0].get_legend_handles_labels()
    for spacing, style in styles.items():
        handles.append(plt.Line2D([], [], color="0.55", linestyle=style))
        names.append(f"bound for spacing {spacing}")
    figure.legend(handles, names, loc="outside upper center", ncols=3)
    write_note(figure, runs.describe())
    return figure


@styled
def scores_by_beta_and_data(runs: RunTable) -> Figure:
    """Draw KL divergence, MIG and DCI against beta, a line for each data set of the pools."""
    runs = runs.where(lambda row: row["data"] in _DATA_STYLES)
    figure, axes = _beta_panels(runs)
    for ax, column in zip(axes, _BETA_PANELS, strict=True):
        for data, look in _DATA_STYLES.items():
            _draw_betas(ax, runs.where(data=data).rows, column, DATA_SETS[data], look)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=3)
    write_note(figure, runs.describe())
    return figure


def _beta_panels(runs: RunTable) -> tuple[Figure, Any]:
    figure, axes = plt.subplots(1, 3, figsize=(9.2, 3.6))
    for ax, label in zip(axes, _BETA_PANELS.values(), strict=True):
        ax.set(xlabel="β", ylabel=label, xscale="log")
        ax.xaxis.set_minor_formatter(plt.NullFormatter())
        ax.grid(True)
    axes[0].set_yscale("symlog", linthresh=0.01)
    axes[0].set_ylim(0, 2 * max([row["final_kl"] or 0.0 for row in runs.rows] + [0.5]))
    for ax in axes[1:]:
        ax.set_ylim(-0.05, 1.05)
    return figure, axes


def _draw_betas(
    ax: Axes,
    rows: Sequence[Mapping[str, Any]],
    column: str,
    label: str,
    look: tuple[str, ...],
    **options: Any,
) -> None:
    """Draw runs as points and their medians as a line, in a colour, marker and style of line."""
    if not rows:
        return
    colour, marker, style = look
    x = np.array([row["beta"] for row in rows], float)
    y = np.array([row[column] for row in rows], float)
    point = {"color": colour, "markersize": 5, "markeredgecolor": "white", "zorder": 3, **options}
    ax.plot(x, y, marker, **point)
    betas = np.unique(x)
    medians = [np.median(y[x == beta]) for beta in betas]
    ax.plot(betas, medians, style, color=colour, linewidth=1.3, zorder=2, label=label)


@styled
def scores_by_group(
    groups: Mapping[str, Mapping[str, Mapping[str, np.ndarray]]],
    *,
    published: Mapping[tuple[str, str, str], tuple[float, float]] | None = None,
    long_groups: Mapping[str, Mapping[str, Mapping[str, np.ndarray]]] | None = None,
    xlabel: str = "",
    note: str = "",
) -> Figure:
    """Draw MIG and DCI of groups of runs, two halves a group: Figures 6 and 11.

    Every run is a point; the bar is the median. A violin is drawn from ten runs on, as smoothing
    fewer would invent a shape. `groups` has group, half and score, then float (runs,): for Figure
    11 ``groups["ada-gvae"]["mse"]["mig"]``. `published` has the paper's ranges by (group, half,
    score), drawn as bars. `long_groups` are as `groups`, of long runs, drawn as stars. `xlabel`
    says what the groups are, the note which runs these are.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9.2, 3.8), sharey=True)
    rng = np.random.default_rng(SEED)
    handles: dict[str, Any] = {}
    width = 1 if len(groups) < 6 else 0.6
    for ax, (score, label) in zip(axes, SCORES.items(), strict=True):
        for g, (group, halves) in enumerate(groups.items()):
            for h, (half, values) in enumerate(halves.items()):
                x = g + 0.22 * (2 * h - 1)
                y = np.asarray(values[score], float)
                if published and (group, half, score) in published:
                    draw_range(ax, x, published[group, half, score], half, 16 * width)
                if len(y):
                    points = _draw_half(ax, x, y, half, width, rng)
                    handles.setdefault(half, points)
                if long_groups:
                    long_y = np.asarray(long_groups[group][half][score], float)
                    draw_long_runs(ax, np.full(len(long_y), x), long_y, half)
        names = [NAMES.get(group, group) for group in groups]
        ax.set(xticks=range(len(groups)), xticklabels=names, xlim=(-0.6, len(groups) - 0.4))
        ax.set(ylim=(-0.05, 1.05), xlabel=xlabel, ylabel=label)
        ax.tick_params(labelleft=True)
        ax.grid(True, axis="y")
    names = [NAMES.get(half, half) for half in handles]
    long = long_groups is not None
    add_legend(axes[0], list(handles.values()), names, published=bool(published), long=long)
    write_note(figure, note)
    return figure


def _draw_half(
    ax: Axes, x: float, y: np.ndarray, half: str, width: float, rng: np.random.Generator
) -> Any:
    """Draw the runs of one half of a group, and return their handle for a legend."""
    if len(y) >= 10:
        violins = ax.violinplot(y, [x], widths=0.4, showextrema=False)
        for body in violins["bodies"]:  # type: ignore[attr-defined]
            body.set(facecolor=COLOURS[half], alpha=0.35)
    draw_median(ax, x, y, half, 0.12)
    jitter = rng.uniform(-0.04, 0.04, len(y))
    size = 6 * max(width, 0.8)
    (points,) = draw_runs(ax, x + jitter, y, half, markersize=size, markeredgewidth=width)
    return points
