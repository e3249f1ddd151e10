"""Figures of scores: one point a run, by spacing or by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vaedis.plots.style import (
    COLOURS,
    CURVES,
    MARKERS,
    NAMES,
    SCORES,
    Axes,
    Figure,
    draw_picture,
    note_runs,
    plt,
    styled,
)
from vaedis_companion.onsets import DRAWN, Learning
from vaedis_companion.store import RunTable, is_number


@styled
def scores_by_spacing(
    found: RunTable, *, published: Sequence[Mapping[str, Any]] = (), seed: int = 777
) -> Figure:
    """Draw MIG and DCI against grid spacing: Figure 9.

    Parameters
    ----------
    found : Found
        Every run is a point; lines join the medians of each spacing, and below it is written which
        runs these are. With runs at five spacings or more, the paper's quartic is drawn as well,
        dotted, with the 95 % interval of 1,000 bootstraps.
    published : sequence of mapping, optional
        ``results.published("fig9_scores")``: the lowest and highest score that the paper's picture
        shows are drawn as bars.
    seed : int
        Of the bootstrap and of the points' horizontal jitter.
    """
    figure, panels = plt.subplots(1, 2, figsize=(9.2, 3.8), sharey=True)
    rng = np.random.default_rng(seed)
    for axes, (score, label) in zip(panels, SCORES.items(), strict=True):
        for k, framework in enumerate(("ada-gvae", "beta-vae")):
            colour, side = COLOURS[framework], 0.16 * (2 * k - 1)
            for line in published:
                if line["framework"] == framework and line["metric"] == score:
                    x = line["grid_spacing"] + side
                    axes.plot(
                        [x, x],
                        [line["lowest"], line["highest"]],
                        color=colour,
                        alpha=0.22,
                        linewidth=9,
                        solid_capstyle="butt",
                        zorder=1,
                    )
            x = _spacings(found, framework, score)
            y = found.values(score, framework=framework)
            if not len(x):
                continue
            jitter = rng.uniform(-0.05, 0.05, len(x))
            axes.plot(
                x + side + jitter,
                y,
                MARKERS[framework],
                color=colour,
                markersize=6,
                markeredgecolor="white",
                zorder=3,
                label=NAMES[framework],
            )
            at = np.unique(x)
            axes.plot(
                at + side, [np.median(y[x == a]) for a in at], color=colour, linewidth=1.2, zorder=2
            )
            if len(at) >= 5:
                _quartic(axes, x, y, colour, rng)
        axes.set(
            xlabel="grid spacing (pixels)",
            ylabel=label,
            xlim=(0.5, 8.5),
            ylim=(-0.05, 1.05),
            xticks=range(1, 9),
        )
        axes.tick_params(labelleft=True)
        axes.grid(True)
    bars = [plt.Rectangle((0, 0), 1, 1, color="0.5", alpha=0.3)] if published else []
    handles, names = panels[0].get_legend_handles_labels()
    panels[0].legend(handles + bars, names + ["range in the paper"] * len(bars), loc="upper right")
    note_runs(figure, found.describe())
    return figure


@styled
def scores_by_beta(found: RunTable, limits: Mapping[int, float]) -> Figure:
    """Draw KL divergence, MIG and DCI against beta, for each spacing and framework of which runs are
    stored.

    Parameters
    ----------
    found : Found
        Every run is a point; lines join the medians, and below it is written which runs these are.
    limits : mapping of int to float
        Of each spacing, the beta above which nothing should be learnt (`learning.largest_beta`): a
        vertical line.
    """
    figure, panels = plt.subplots(1, 3, figsize=(9.2, 3.6))
    lines: dict[int, Any] = dict(zip(sorted(limits), ("-", "--", ":", "-."), strict=False))
    for axes, (score, label) in zip(
        panels, {"final_kl": "KL divergence, nats a latent", **SCORES}.items(), strict=True
    ):
        for spacing, style in lines.items():
            axes.axvline(limits[spacing], color="0.55", linestyle=style, linewidth=1.2, zorder=1)
            for framework in ("ada-gvae", "beta-vae"):
                rows = [
                    r
                    for r in found.rows
                    if (r["framework"], r["data_options"]["grid_spacing"]) == (framework, spacing)
                ]
                if not rows:
                    continue
                x, y = (
                    np.array([row[column] for row in rows], float) for column in ("beta", score)
                )
                full = (
                    {"markeredgecolor": "white"} if style == "-" else {"markerfacecolor": "white"}
                )
                axes.plot(
                    x,
                    y,
                    MARKERS[framework],
                    color=COLOURS[framework],
                    markersize=5,
                    zorder=3,
                    **full,
                )
                at, name = np.unique(x), f"{NAMES[framework]}, spacing {spacing}"
                axes.plot(
                    at,
                    [np.median(y[x == a]) for a in at],
                    style,
                    color=COLOURS[framework],
                    linewidth=1.3,
                    zorder=2,
                    label=name,
                )
        axes.set(xlabel="β", ylabel=label, xscale="log")
        axes.xaxis.set_minor_formatter(plt.NullFormatter())
        axes.grid(True)
    panels[0].set_yscale("symlog", linthresh=0.01)
    panels[0].set_ylim(0, 2 * max([row["final_kl"] or 0.0 for row in found.rows] + [0.5]))
    for axes in panels[1:]:
        axes.set_ylim(-0.05, 1.05)
    handles, names = panels[0].get_legend_handles_labels()
    bounds = [plt.Line2D([], [], color="0.55", linestyle=style) for style in lines.values()]
    figure.legend(
        handles + bounds,
        [*names, *(f"bound for spacing {spacing}" for spacing in lines)],
        loc="outside upper center",
        ncols=3,
    )
    note_runs(figure, found.describe())
    return figure


@styled
def where_learning_ends(
    panels: Mapping[str, Mapping[str, Mapping[int, Sequence[tuple[float, float]]]]],
    onset: Mapping[int, float],
    limit: Mapping[int, float],
) -> Figure:
    """Draw between which betas learning ends, at each spacing, beside where theory puts it.

    A full point is the last beta at which anything is learnt, a hollow one the next that was tried.

    Parameters
    ----------
    panels : mapping of str to mapping of str to mapping of int to sequence of (float, float)
        For each panel, up to three kinds of runs, and for each of their spacings what
        `learning.where_learning_ends` says of them.
    onset, limit : mapping of int to float
        For each spacing, the beta below which a first step away from nothing pays
        (`learning.largest_beta`), and that above which no code does
        (`learning.rate_distortion_beta`).
    """
    figure, every = plt.subplots(
        1, len(panels), figsize=(4.6 * len(panels), 3.9), sharey=True, squeeze=False
    )
    at = sorted(onset)
    lowest, highest = 3e-4, 2.0
    for axes, (title, kinds) in zip(every[0], panels.items(), strict=True):
        axes.fill_between(
            at,
            [onset[s] for s in at],
            [limit[s] for s in at],
            color="#c98a00",
            alpha=0.18,
            linewidth=0,
        )
        axes.plot(at, [limit[s] for s in at], color="0.35", label="no code pays above")
        axes.plot(at, [onset[s] for s in at], "--", color="0.35", label="a first step pays below")
        for k, (name, ends) in enumerate(kinds.items()):
            places = [
                (s + 0.2 * (k - (len(kinds) - 1) / 2), *pair)
                for s in sorted(ends)
                for pair in ends[s]
            ]
            if not places:
                continue
            x, last, first = np.array(places, float).T
            last, first = last.clip(min=lowest), first.clip(max=highest)
            axes.vlines(x, last, first, color=CURVES[k], linewidth=1.5, zorder=3)
            axes.plot(
                x,
                last,
                "o",
                color=CURVES[k],
                markersize=5.5,
                zorder=4,
                label=f"learning ends, {name}",
            )
            axes.plot(
                x, first, "o", color=CURVES[k], markerfacecolor="white", markersize=5.5, zorder=4
            )
        axes.set(
            xlabel="grid spacing (pixels)",
            title=title,
            yscale="log",
            ylim=(lowest, highest),
            xlim=(0.5, 8.5),
            xticks=range(1, 9),
        )
        axes.grid(True)
        axes.tick_params(labelleft=True)
    every[0, 0].set_ylabel("β")
    drawn = dict(
        pair[::-1]
        for axes in every[0]
        for pair in zip(*axes.get_legend_handles_labels(), strict=True)
    )
    figure.legend(drawn.values(), drawn.keys(), loc="outside lower center", ncols=3)
    return figure


def _spacings(found: RunTable, framework: str, score: str) -> np.ndarray:
    """Return the spacing of each run that `RunTable.values` has the score of."""
    rows = [row for row in found.rows if row["framework"] == framework and is_number(row[score])]
    return np.array([row["data_options"]["grid_spacing"] for row in rows], float)


def _quartic(
    axes: Axes, x: np.ndarray, y: np.ndarray, colour: str, rng: np.random.Generator
) -> None:
    at = np.linspace(x.min(), x.max(), 100)
    curves = []
    for _ in range(1000):
        pick = rng.integers(len(x), size=len(x))
        if len(np.unique(x[pick])) >= 5:
            curves.append(np.polyval(np.polyfit(x[pick], y[pick], 4), at))
    axes.plot(at, np.polyval(np.polyfit(x, y, 4), at), ":", color=colour, linewidth=1.5)
    axes.fill_between(
        at, *np.percentile(curves, [2.5, 97.5], axis=0), color=colour, alpha=0.1, linewidth=0
    )


@styled
def scores_by_group(
    groups: Mapping[str, Mapping[str, Mapping[str, np.ndarray]]],
    *,
    published: Mapping[tuple[str, str, str], tuple[float, float]] | None = None,
    xlabel: str = "",
    note: str = "",
    seed: int = 777,
) -> Figure:
    """Draw MIG and DCI of groups of runs, two halves a group: Figures 6 and 11.

    Parameters
    ----------
    groups : mapping of str to (mapping of str to (mapping of "mig", "dci" to ndarray of float, shape (runs,)))
        Group, then half, then score: for Figure 11 ``groups["ada-gvae"]["mse"]["mig"]``. Every run
        is a point; the bar is the median. A violin is drawn from ten runs on, as smoothing fewer
        would invent a shape.
    published : mapping of (group, half, score) to (lowest, highest), optional
        The paper's ranges, drawn as bars.
    xlabel : str
        What the groups are, if their names do not say it.
    note : str
        Which runs these are, to be written below.
    seed : int
        Of the points' horizontal jitter.
    """
    figure, panels = plt.subplots(1, 2, figsize=(9.2, 3.8), sharey=True)
    rng = np.random.default_rng(seed)
    shown: dict[str, Any] = {}
    thin = 1 if len(groups) < 6 else 0.6
    for axes, (score, label) in zip(panels, SCORES.items(), strict=True):
        for g, (group, halves) in enumerate(groups.items()):
            for h, (half, values) in enumerate(halves.items()):
                x, y, colour = (
                    g + 0.22 * (2 * h - 1),
                    np.asarray(values[score], float),
                    COLOURS[half],
                )
                if published and (group, half, score) in published:
                    axes.plot(
                        [x, x],
                        published[group, half, score],
                        color=colour,
                        alpha=0.22,
                        linewidth=16 * thin,
                        solid_capstyle="butt",
                        zorder=1,
                    )
                if len(y) >= 10:
                    for body in axes.violinplot(y, [x], widths=0.4, showextrema=False)["bodies"]:  # type: ignore[attr-defined]
                        body.set(facecolor=colour, alpha=0.35)
                if len(y):
                    axes.plot(
                        [x - 0.12, x + 0.12],
                        [np.median(y)] * 2,
                        color=colour,
                        linewidth=2,
                        zorder=2,
                    )
                    (points,) = axes.plot(
                        x + rng.uniform(-0.04, 0.04, len(y)),
                        y,
                        MARKERS[half],
                        color=colour,
                        markersize=6 * max(thin, 0.8),
                        markeredgecolor="white",
                        markeredgewidth=thin,
                        zorder=3,
                    )
                    shown.setdefault(half, points)
        axes.set(
            xticks=range(len(groups)),
            xticklabels=[NAMES.get(g, g) for g in groups],
            xlim=(-0.6, len(groups) - 0.4),
        )
        axes.set(ylim=(-0.05, 1.05), xlabel=xlabel, ylabel=label)
        axes.tick_params(labelleft=True)
        axes.grid(True, axis="y")
    bars = [plt.Rectangle((0, 0), 1, 1, color="0.5", alpha=0.3)] if published else []
    panels[0].legend(
        [*shown.values(), *bars],
        [*(NAMES.get(n, n) for n in shown), *["range in the paper"] * len(bars)],
        loc="upper right",
    )
    note_runs(figure, note)
    return figure


@styled
def argument(cases: Mapping[str, Mapping[str, Any]], *, note: str = "", seed: int = 777) -> Figure:
    """Draw the paper's argument: what the loss compares, the distances that follow, and the scores of
    networks trained with them.

    Parameters
    ----------
    cases : mapping of str to mapping
        One column each, titled by its key, with ``"pictures"``, two ndarrays of float in 0 … 1,
        shape (H, W), the first drawn in red and the second in blue; ``"distances"``, ndarray of
        float, shape (f,), from one value of a factor to each; and ``"scores"``, from framework to
        ndarray of float, one for each run, which may be empty.
    note : str
        Which runs these are, to be written below.
    seed : int
        Of the points' horizontal jitter.
    """
    figure, axes = plt.subplots(
        3, len(cases), figsize=(2.3 * len(cases), 5.9), squeeze=False, height_ratios=[1.25, 1, 1]
    )
    rng = np.random.default_rng(seed)
    for c, (title, case) in enumerate(cases.items()):
        picture, distance, score = axes[:, c]
        one, other = case["pictures"]
        draw_picture(
            picture,
            np.round(255 * np.stack([one, 0.25 * np.minimum(one, other), other], -1)).astype(
                np.uint8
            ),
        )
        picture.set_title(title)
        steps = np.arange(len(case["distances"]))
        distance.plot(steps, steps / steps[-1], ":", color="0.4", label="ground truth")
        distance.plot(
            steps,
            case["distances"] / np.max(case["distances"]),
            "o-",
            color="#5b2a86",
            markersize=4,
            label="perceived",
        )
        distance.set(ylim=(-0.05, 1.1), xticks=steps, xlabel="steps of the square")
        for k, (framework, values) in enumerate(case["scores"].items()):
            if len(values):
                x = k + rng.uniform(-0.12, 0.12, len(values))
                score.plot(
                    x,
                    values,
                    MARKERS[framework],
                    color=COLOURS[framework],
                    markersize=6,
                    markeredgecolor="white",
                )
                score.plot(
                    [k - 0.25, k + 0.25],
                    [np.median(values)] * 2,
                    color=COLOURS[framework],
                    linewidth=2,
                )
        names = list(case["scores"])
        score.set(
            xlim=(-0.6, len(names) - 0.4),
            ylim=(-0.05, 1.05),
            xticks=range(len(names)),
            xticklabels=[NAMES.get(n, n) for n in names],
        )
        for place in (distance, score):
            place.grid(True, axis="y")
    for row, label in zip(
        axes[:, 0],
        ("two neighbours,\nas compared", "distance\n(of the largest)", "DCI\ndisentanglement"),
        strict=True,
    ):
        row.set_ylabel(label)
    axes[1, 0].legend(loc="lower right", fontsize=8.5)
    note_runs(figure, note)
    return figure


@styled
def learning(
    groups: Mapping[str, Mapping[str, Sequence[Learning]]],
    importance: Mapping[str, Mapping[str, float]],
) -> Figure:
    """Draw how much of each factor networks reconstruct while they are trained.

    Parameters
    ----------
    groups : mapping of str to (mapping of str to sequence of Learning)
        Data set (a column), then framework (a row), then runs: a line for each factor and run.
    importance : mapping of str to (mapping of str to float)
        For each data set, the mean perceived distance along each factor: the more important, the
        darker its lines.
    """
    frameworks = list(
        dict.fromkeys(framework for halves in groups.values() for framework in halves)
    )
    size = (2.5 * len(groups) + 0.8, 2.3 * len(frameworks) + 1.4)
    figure, axes = plt.subplots(
        len(frameworks), len(groups), figsize=size, squeeze=False, sharex=True, sharey=True
    )
    for column, (data, halves) in zip(axes.T, groups.items(), strict=True):
        names = sorted(importance[data], key=lambda name: -importance[data][name])
        colours = dict(
            zip(names, plt.get_cmap("plasma")(np.linspace(0.0, 0.85, len(names))), strict=True)
        )
        for place, framework in zip(column, frameworks, strict=True):
            for run in halves.get(framework, ()):
                for name, values in run.reconstructed.items():
                    place.plot(run.steps, values, color=colours[name], linewidth=1.4)
            place.axhline(DRAWN, color="0.5", linestyle=":", linewidth=1)
            place.set(xscale="log", ylim=(-0.05, 1.1))
            place.grid(True)
        column[0].set_title(data, fontsize=9)
        column[-1].set_xlabel("steps")
        shown = [plt.Line2D([], [], color=colours[name]) for name in names]
        place = column[-1].legend(
            shown,
            names,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.28),
            fontsize=8,
            title="most important first",
        )
        place.get_title().set_fontsize(8)
    for place, framework in zip(axes[:, 0], frameworks, strict=True):
        place.set_ylabel(f"{NAMES.get(framework, framework)}\nshare reconstructed")
    return figure
