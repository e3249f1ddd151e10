"""What an experiment lacks, and how its runs are put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vaedis.spec import RunSpec
from vaedis_companion import grids
from vaedis_companion.store import Store

# members of a population at most: as many as the processor's cache has room for
_POPULATION = 8


def missing(
    experiment: str,
    profile: grids.Profile,
    store: Store,
    *,
    retry_failed: bool = False,
    shard: tuple[int, int] = (1, 1),
) -> list[RunSpec]:
    """Return the specifications of an experiment that are not stored, most informative first.

    With `retry_failed`, runs that failed count as missing. `shard` (i, n) takes the i-th of n
    shares, counted from 1, for array jobs of a cluster. A ValueError says that the grid is empty or
    there is no such share.

    Examples
    --------
    >>> missing("fig11", grids.PROFILES["laptop"], Store())
    []
    """
    part, parts = shard
    if not 1 <= part <= parts:
        raise ValueError(f"A shard is i/n with i from 1 to n, as in 2/8, not {part}/{parts}.")
    specs = grids.grid(experiment, profile)
    if not specs:
        raise ValueError(
            f"The grid of {experiment} is empty in the {profile.name} profile: nothing to run."
        )
    stored = store.keys(experiment, profile.name, failed=not retry_failed)
    return [spec for spec in specs[part - 1 :: parts] if spec.key not in stored]


def describe_missing(experiment: str, *, store: Store | None = None) -> dict[str, tuple[int, int]]:
    """Return how many of an experiment's runs are stored, and of how many, for each profile."""
    store = store or Store()
    counts = {}
    for name in grids.PROFILES:
        specs = grids.grid(experiment, name)
        stored = store.keys(experiment, name)
        counts[name] = (sum(spec.key in stored for spec in specs), len(specs))
    return counts


def populations(specs: Sequence[RunSpec]) -> list[list[RunSpec]]:
    """Split specifications into populations of one seed each that can train at once, in order.

    A study that is cut short has every point of a figure then, from fewer seeds.
    """
    groups: dict[tuple[Any, ...], list[RunSpec]] = {}
    for spec in specs:
        shapes = (spec.seed, spec.framework, spec.latents, spec.batch, spec.steps)
        groups.setdefault(shapes, []).append(spec)
    return [
        group[start : start + _POPULATION]
        for group in groups.values()
        for start in range(0, len(group), _POPULATION)
    ]


def n_images(spec: RunSpec) -> int:
    """Return how many images a run trains on; a pair counts as two."""
    return spec.steps * spec.batch * (2 if spec.framework == "ada-gvae" else 1)
