"""Claims about distances along the factors of the benchmark data sets: Figures 3 and A1."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vaedis import distances
from vaedis_companion import importances
from vaedis_companion.claims.base import NO_IMAGES, ORDERED, WHY_ORDERED, Claim, titled, verdict
from vaedis_companion.claims.whole_data_sets import Measured, measured
from vaedis_companion.published import matrices as published_matrices
from vaedis_companion.store import Store

# stated before the matrices were compared: colours of a printed figure, read back, are not exact,
# nor are 256 traversals
SAME_MATRIX = 0.95
SAME_ORDER = 0.1
# a standard deviation of a tenth of the mean is a spread that an ordinal reading can use
SPREAD = 0.1
EQUAL = 1e-9


def figure3(store: Store) -> Iterator[Claim]:
    """Each panel of Figure 3 that could be read back, and the sentence it stands for."""
    panels = published_matrices()
    found = {name: measured(name) for name in dict.fromkeys(name for name, _ in panels)}
    correlations = {
        name: importances.matrix_correlations(name, here.matrices)
        for name, here in found.items()
        if here
    }
    yield _mostly(found)
    for (name, factor), theirs in panels.items():
        here = found[name]
        ours = here.matrices[factor] if here else None
        ranks = [
            None if matrix is None else distances.agreement(matrix).rank
            for matrix in (theirs, ours)
        ]
        correlation = correlations[name].get(factor) if here else None
        alike = (
            ranks[0] is not None and ranks[1] is not None and abs(ranks[0] - ranks[1]) <= SAME_ORDER
        )
        yield Claim(
            "Figure 3",
            f"{titled(name, here.origin if here else None)}: distances along {factor.replace('_', ' ')}",
            f"rank {_said(ranks[0])}",
            f"correlation {_said(correlation)}, rank {_said(ranks[1])}" if here else "–",
            here.scale(factor) if here else NO_IMAGES,
            f"correlation of the matrices at least {SAME_MATRIX}; in direction: rank correlation within {SAME_ORDER} of the panel's",
            verdict(
                (correlation or 0.0) >= SAME_MATRIX if here and here.is_the_data_set else None,
                alike,
            ),
            "04_benchmarks#perceived-distances",
            "the panels' colours, read back, are means of 256 traversals, so that neither is exact; rank is that with |i − j|",
        )


def _mostly(found: dict[str, Measured | None]) -> Claim:
    """The sentence that Figure 3 stands for, on those data sets that may stand for the paper's."""
    sets = {name: here for name, here in found.items() if here is not None and here.is_the_data_set}
    ranks = [
        distances.agreement(matrix).rank or 0.0
        for here in sets.values()
        for matrix in here.matrices.values()
    ]
    ordered = sum(rank > ORDERED for rank in ranks)
    return Claim(
        "Figure 3",
        "On the benchmark data sets perceived distances mostly follow the ground-truth factors.",
        "mostly",
        f"{ordered} of {len(ranks)} factors" if ranks else "–",
        f"{', '.join(titled(name, here.origin) for name, here in sets.items())}: exact means"
        if sets
        else NO_IMAGES,
        f"more than half of the factors have a rank correlation above {ORDERED}",
        verdict(ordered > len(ranks) / 2 if ranks else None),
        "04_benchmarks#perceived-distances",
        WHY_ORDERED,
    )


def figure_a1(store: Store) -> Iterator[Claim]:
    """Whether distances along factors are spread out, and on XYSquares not at all."""
    for name in ("dsprites", "shapes3d", "cars3d", "smallnorb", "xysquares"):
        here = measured(name)
        constant = name == "xysquares"
        title = titled(name, here.origin if here else None)
        spreads = (
            np.array([row.sd / row.mean for row in here.rows.values() if row.factor != "random"])
            if here
            else np.array([])
        )
        every = bool((spreads < EQUAL).all() if constant else (spreads > SPREAD).all())
        yield Claim(
            "Figure A1",
            f"{title}: distances along each factor {'have one value' if constant else 'are spread out'}",
            "one vertical step" if constant else "curves with a slope",
            f"sd between {spreads.min():.2f} and {spreads.max():.2f} of the mean" if here else "–",
            here.scale(next(iter(here.matrices), "x_R")) if here else NO_IMAGES,
            "no spread at all" if constant else f"sd above {SPREAD} of the mean along every factor",
            verdict(every if here and here.is_the_data_set else None),
            "A_dataset_distances#figure-a1-the-whole-distribution",
            "equal but for rounding"
            if constant
            else f"the paper shows curves; {SPREAD} of the mean is our line between a slope and a step",
        )


def _said(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"
