"""A figure of scores against the length of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.lines import Line2D

from vaedis.plots.style import Figure, panel_grid, styled
from vaedis.spec import RunSpec
from vaedis_companion.figures.style import COLOURS, SCORES
from vaedis_companion.store import RunTable, Store, is_number, spec_of

_STEPS = (500, 2_000, 8_000, 57_600)


@dataclass
class Course:
    """Scores of one setting by the steps that its runs took.

    Attributes
    ----------
    curves : list of mapping of str to ndarray, shape (n,)
        Of each long run, ``"steps"``, ``"mig"`` and ``"dci"`` on its way.
    points : mapping of int to RunTable
        Runs that ended after so many steps.
    """

    curves: list[Mapping[str, np.ndarray]] = field(default_factory=list)
    points: dict[int, RunTable] = field(default_factory=dict)


def courses(store: Store, tables: Sequence[RunTable]) -> dict[RunSpec, Course]:
    """Put together the runs of tables that differ in steps and seed alone.

    Settings are specifications with one step and seed 0. Those with one length only are left out,
    unless a run recorded its scores on the way; arrays of long runs are the store's.
    """
    settings: dict[RunSpec, Course] = {}
    for table in tables:
        for row in table.rows:
            spec = spec_of(row)
            course = settings.setdefault(spec.replace(steps=1, seed=0, warmup=0), Course())
            empty = RunTable(table.experiment, table.profile, [], [])
            course.points.setdefault(spec.steps, empty).rows.append(row)
            arrays = store.arrays(row)
            if "course_steps" in arrays:
                curve = {score: arrays[f"course/{score}"] for score in SCORES}
                course.curves.append({"steps": arrays["course_steps"], **curve})
    return {
        spec: course for spec, course in settings.items() if course.curves or len(course.points) > 1
    }


@styled
def scores_by_steps(settings: Mapping[str, Course]) -> Figure:
    """Draw MIG and DCI against the number of steps, a panel for each setting.

    Parameters
    ----------
    settings : mapping of str to Course
        Titles, and what to draw: a line through the scores of each long run on its way, and a point
        for each run that ended.
    """
    figure, axes = panel_grid(len(settings), 3, 2.9, 2.3, sharex=True, sharey=True)
    colours = dict(zip(SCORES, (COLOURS["mse"], COLOURS["published"]), strict=True))
    for ax, (title, course) in zip(axes.flat, settings.items(), strict=False):
        for score in SCORES:
            for curve in course.curves:
                ax.plot(curve["steps"], curve[score], "-", color=colours[score])
            for steps, runs in sorted(course.points.items()):
                values = [row[score] for row in runs.rows if is_number(row[score])]
                ax.plot([steps] * len(values), values, "o", color=colours[score], markersize=4)
        ax.set(title=title, xscale="log", xlim=(400, 80_000), ylim=(-0.05, 1.05))
        ax.set_xticks(_STEPS, [f"{n:,}" for n in _STEPS], fontsize=8)
        ax.minorticks_off()
        ax.tick_params(labelbottom=True)
        ax.grid(True)
    for ax in axes[-1]:
        ax.set_xlabel("steps")
    for ax in axes[:, 0]:
        ax.set_ylabel("score")
    handles = [Line2D([], [], color=colours[score], marker="o", markersize=4) for score in SCORES]
    figure.legend(handles, list(SCORES.values()), loc="outside upper center", ncols=2)
    return figure
