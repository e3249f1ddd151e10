"""Run what an experiment lacks: train, score and store; never run what is stored."""

from __future__ import annotations

from vaedis_companion import grids
from vaedis_companion.store import RunTable, Store
from vaedis_companion.sweep import runs
from vaedis_companion.sweep.missing import describe_missing, missing
from vaedis_companion.sweep.runner import Sweep

__all__ = ["Sweep", "describe_missing", "ensure_runs", "missing"]


def ensure_runs(
    experiment: str, profile: str | None = None, *, store: Store | None = None
) -> RunTable:
    """Return the best stored runs of an experiment, after running what a profile lacks.

    Runs of the smoke profile, too short to mean anything, are made every time, not stored, and
    returned only if nothing better is stored.

    Examples
    --------
    >>> ensure_runs("fig11", "laptop").profile
    'laptop'
    """
    chosen = grids.profile(profile)
    store = store or Store()
    if chosen.name == "smoke":
        specs = grids.grid(experiment, chosen)
        rows = [runs.run_one(spec, experiment, chosen)[0] for spec in specs]
    else:
        Sweep(experiment, chosen, store).run()
        rows = store.rows(experiment, chosen.name)
    return store.best(experiment) or RunTable.of(experiment, chosen.name, rows)
