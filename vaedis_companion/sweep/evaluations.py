"""What is evaluated of a run while it is trained."""

from __future__ import annotations

import contextlib
import json
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vaedis import _files
from vaedis.spec import RunSpec
from vaedis.training import Run, inspect

# scores during training; the authors scored runs of 57,600 steps 24 times by MIG and 8 by DCI
_N_SCORES = 8
# steps at which the learning of factors is recorded, in 80ths of the run: often at first, when it
# changes fast
_LEARNING_STEPS = (1, 2, 3, 4, 6, 8, 10, 13, 16, 20, 25, 30, 35, 40, 48, 56, 64, 72, 80)
# steps at which a run of at least _LONG steps is scored in full and its distances are recorded, to
# compare it with shorter runs
_COURSE_STEPS = (500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 57_600, 115_200)
_COURSE_LEVELS = ("z", "kl", "reconstruction")
_LONG = 20_000
# images along each factor that distances are averaged over: the authors' 100 traversals, fewer of
# factors with more than 20 values, and a tenth by the fast protocol
_TRAVERSED = {"full": 2_000, "fast": 200}


class Evaluations:
    """Scores during training, saved next to the checkpoints so that a resumed run keeps them.

    As in the authors' metric callback: fast scores during training, and their maximum in the
    summary of each run. Beside them, how each factor is learnt (`inspect.factor_learning`), and of
    long runs the full scores and distances at some steps.
    """

    def __init__(self, spec: RunSpec, folder: Path | None):
        learning_every = max(1, spec.steps // _LEARNING_STEPS[-1])
        score_every = learning_every * _LEARNING_STEPS[-1] // _N_SCORES
        is_long = spec.steps >= _LONG
        self.course_steps = {s for s in _COURSE_STEPS if s <= spec.steps} if is_long else set()
        self.score_steps = set(range(score_every, spec.steps + 1, score_every))
        learning_steps = {learning_every * mark for mark in _LEARNING_STEPS}
        self.learning_steps = {step for step in learning_steps if step <= spec.steps}
        # the callback is called at all of these
        self.steps = self.score_steps | self.learning_steps | self.course_steps
        self.every = math.gcd(spec.steps // _LEARNING_STEPS[-1], *self.course_steps)
        self.path = None if folder is None else folder / "looks.json"
        self.scores: dict[str, dict[str, float]] = {}
        self.learnt: dict[str, dict[str, dict[str, float]]] = {}
        self.course: dict[str, dict[str, Any]] = {}
        self._has_warned = False
        if self.path is not None and self.path.exists():
            # a damaged file costs what was noted before
            with contextlib.suppress(ValueError, KeyError):
                saved = json.loads(self.path.read_text(encoding="utf-8"))
                self.scores, self.learnt = saved["scores"], saved["learnt"]
                self.course = saved["course"]

    def __call__(self, step: int, run: Run) -> None:
        """Evaluate a network after a step, if it is one of those at which that is due."""
        if step in self.score_steps:
            self.scores[str(step)] = _mig_and_dci(run, "fast")
        if step in self.learning_steps:
            self.learnt[str(step)] = inspect.factor_learning(run)
        if step in self.course_steps:
            matrices = {
                f"{level}/{factor}": matrix.astype(np.float32).tolist()
                for level, factor, matrix in level_distances(run)
                if level in _COURSE_LEVELS
            }
            self.course[str(step)] = {**_mig_and_dci(run, "full"), **matrices}
        if self.path is not None and step in self.steps:
            saved = {"scores": self.scores, "learnt": self.learnt, "course": self.course}
            _files.write_text(self.path, json.dumps(saved))

    def _is_whole(self) -> bool:
        """Return whether nothing, or everything, was noted; warn once if only a part was.

        A run that went on from a checkpoint without these notes lacks the first ones.
        """
        noted = set().union(self.scores, self.learnt, self.course)
        due = set(map(str, self.steps))
        if noted in (set(), due):
            return True
        if not self._has_warned:
            warnings.warn(
                "looks.json beside the run's checkpoints was lost or damaged, so of "
                f"{len(due)} looks at the network {len(noted)} are known, and none are stored.",
                RuntimeWarning,
                stacklevel=3,
            )
        self._has_warned = True
        return False

    def best(self) -> dict[str, float]:
        """Return the largest scores, ``"mig_max"`` and ``"dci_max"``; empty without scores."""
        names = ("mig", "dci") if self.scores and self._is_whole() else ()
        return {f"{name}_max": max(s[name] for s in self.scores.values()) for name in names}

    def arrays(self) -> dict[str, np.ndarray]:
        """Return how factors were learnt, and the course of a long run; float32.

        ``"separation/<factor>"`` in nats and ``"reconstructed/<factor>"`` as a share at
        ``"learnt_steps"``; ``"course/mig"``, ``"course/dci"`` and the matrices
        ``"course/<level>/<factor>"`` at ``"course_steps"``.
        """
        arrays: dict[str, np.ndarray] = {}
        if not self._is_whole():
            return arrays
        if self.learnt:
            arrays["learnt_steps"], entries = _in_order(self.learnt)
            for measure, factors in entries[0].items():
                for factor in factors:
                    values = [entry[measure][factor] for entry in entries]
                    arrays[f"{measure}/{factor}"] = np.array(values, np.float32)
        if self.course:
            arrays["course_steps"], entries = _in_order(self.course)
            for name in entries[0]:
                values = [entry[name] for entry in entries]
                arrays[f"course/{name}"] = np.array(values, np.float32)
        return arrays


def _in_order(by_step: dict[str, Any]) -> tuple[np.ndarray, list[Any]]:
    """Return the steps in order, and what was recorded at each."""
    steps = sorted(map(int, by_step))
    return np.array(steps, np.int32), [by_step[str(step)] for step in steps]


def _mig_and_dci(run: Run, protocol: str) -> dict[str, float]:
    scores = run.scores(protocol=protocol)
    return {name: float(scores[name]) for name in ("mig", "dci")}


def level_distances(run: Run, protocol: str = "full") -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield level, factor and distance matrix, for every level of a network and every factor."""
    for factor, size in zip(run.data.factors.names, run.data.factors.sizes, strict=True):
        traversals = min(100, max(1, _TRAVERSED[protocol] // size))
        for level, matrix in inspect.level_matrices(run, factor, traversals=traversals).items():
            yield level, factor, matrix
