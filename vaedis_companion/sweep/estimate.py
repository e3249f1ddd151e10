"""How long a sweep will take: a few steps of each kind of run, timed on this machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import numpy as np

from vaedis.spec import RunSpec
from vaedis.training import fit
from vaedis_companion.sweep.missing import populations
from vaedis_companion.sweep.runner import Sweep

# the first steps of a run take longer than the others
_FIRST_STEPS = 3
_STEPS = 9


def describe(sweep: Sweep) -> str:
    """Return one sentence: how many runs and steps are missing, and the hours of their training."""
    todo = sweep.todo()
    if not todo:
        return "Nothing is missing."
    groups = populations(todo) if sweep.profile.coordinates else [[spec] for spec in todo]
    kinds: dict[str, list[list[RunSpec]]] = {}
    for group in groups:
        spec = group[0]
        kind = f"{len(group)} x " if len(group) > 1 else ""
        kind += f"{spec.framework} {spec.model} {spec.loss} batch {spec.batch}"
        kinds.setdefault(kind, []).append(group)
    hours = 0.0
    speeds = []
    for kind, members in kinds.items():
        # images of XYSquares need not be prepared
        easiest = min(members, key=lambda group: group[0].data != "xysquares")
        seconds = seconds_a_step(easiest, sweep.device, sweep.precision)
        hours += sum(group[0].steps for group in members) * seconds / 3600
        speeds.append(f"{kind} {1000 * seconds:,.1f} ms a step")
    runs = "1 run" if len(todo) == 1 else f"{len(todo):,} runs"
    return (
        f"{runs}, {sum(spec.steps for spec in todo):,} steps: {_time(hours)} of training in one "
        f"process on this machine as busy as it is now ({'; '.join(speeds)}), and scoring on top."
    )


def _time(hours: float) -> str:
    """Return hours in words, and what is short in minutes or seconds."""
    for unit, size in (("hours", 1.0), ("minutes", 60.0)):
        if hours * size >= 1:
            return f"{hours * size:.3g} {unit}"
    return f"{3600 * hours:.2g} seconds"


def seconds_a_step(specs: Sequence[RunSpec], device: str, precision: str) -> float:
    """Return the seconds of an optimiser step of one run, or of a population of several."""
    short = [spec.replace(steps=_FIRST_STEPS + _STEPS, warmup=0) for spec in specs]
    ends: list[float] = []
    fit(
        short[0] if len(short) == 1 else short,
        device=device,
        precision=precision,
        callback=lambda step, run: ends.append(time.perf_counter()),
        every=1,
        progress=False,
    )
    # a population calls back for each member
    ends = ends[:: len(short)][_FIRST_STEPS - 1 :]
    return statistics.median(np.diff(ends).tolist())
