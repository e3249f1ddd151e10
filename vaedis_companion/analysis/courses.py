"""What long runs recorded on their way: scores and the order of distances, by the step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vaedis.distances.agreement import agreement
from vaedis.spec import RunSpec
from vaedis_companion.store import RunTable, Store, spec_of

ORDERS = ("z", "reconstruction")
"""The levels whose order of distances is followed: latent means and reconstructions."""
_SCORES = ("mig", "dci")


@dataclass
class Course:
    """What runs of one setting found, by the steps that they took.

    `curves` have of each long run on its way ``"steps"``, the scores ``"mig"`` and ``"dci"``, and
    the levels of `ORDERS` as for `order`, each (n,). `points` are the runs that ended after so many
    steps.
    """

    curves: list[Mapping[str, np.ndarray]] = field(default_factory=list)
    points: dict[int, RunTable] = field(default_factory=dict)


def order(arrays: Mapping[str, np.ndarray], level: str) -> np.ndarray:
    """Return how far distances followed the ground truth at each recorded step of a long run.

    It is Spearman's rank correlation along a factor, as a mean over factors; a factor without any
    distance counts as 0. `arrays` are a stored run's, and `level` is one of `ORDERS`. Returned is
    float (n,), for the steps in ``"course_steps"``; it is empty if nothing was recorded.

    Examples
    --------
    >>> step = np.abs(np.subtract.outer(np.arange(4.0), np.arange(4.0)))
    >>> order({"course/z/size": np.stack([0 * step, step])}, "z")
    array([0., 1.])
    """
    factors = [matrices for name, matrices in arrays.items() if name.startswith(f"course/{level}/")]
    ranks = [[agreement(matrix).rank or 0.0 for matrix in matrices] for matrices in factors]
    return np.mean(ranks, axis=0) if ranks else np.zeros(0)


def courses(store: Store, tables: Sequence[RunTable]) -> dict[RunSpec, Course]:
    """Put together the runs of tables that differ in steps and seed alone.

    Settings are specifications with one step and seed 0. Those with one length only are left out,
    unless a run recorded its scores on the way; arrays of long runs are the store's. A ValueError
    names a run that did not record as many numbers as steps, or whose β changes as it trains.
    """
    settings: dict[RunSpec, Course] = {}
    for table in tables:
        for row in table.rows:
            spec = spec_of(row)
            if spec.warmup:
                raise ValueError(
                    f"the β of run {row['key']} changes; take runs with a constant one."
                )
            course = settings.setdefault(spec.replace(steps=1, seed=0), Course())
            empty = RunTable(table.experiment, table.profile, [], [])
            course.points.setdefault(spec.steps, empty).rows.append(row)
            arrays = store.arrays(row)
            if "course_steps" in arrays:
                curve = {score: arrays[f"course/{score}"] for score in _SCORES}
                orders = {level: order(arrays, level) for level in ORDERS}
                steps = arrays["course_steps"]
                # an order that was not recorded is empty
                recorded = [*curve.values(), *(ranks for ranks in orders.values() if len(ranks))]
                if any(np.shape(values) != steps.shape for values in recorded):
                    raise ValueError(
                        f"run {row['key']} recorded {steps.size} steps and not as many scores or "
                        "orders on its way; delete its arrays and train it again."
                    )
                course.curves.append({"steps": steps, **curve, **orders})
    return {
        spec: course for spec, course in settings.items() if course.curves or len(course.points) > 1
    }
