"""Claims about distances along the factors of the benchmark data sets: Figures 3 and A1."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vaedis import distances
from vaedis_companion import published
from vaedis_companion.analysis import measured
from vaedis_companion.analysis.importances import matrix_correlations
from vaedis_companion.analysis.measured import Distances
from vaedis_companion.claims import stored
from vaedis_companion.claims.base import (
    FOLLOW,
    NOTHING,
    ORDERED,
    WHY_ORDERED,
    Claim,
    Provenance,
    Value,
    claim,
)
from vaedis_companion.store import Store

NO_IMAGES = Provenance("no images on this machine")
# stated before the matrices were compared: colours of a printed figure, read back, are not exact,
# nor are 256 traversals
_SAME_MATRIX = 0.95
_SAME_ORDER = 0.1
# a standard deviation of a tenth of the mean is a spread that an ordinal reading can use
_SPREAD = 0.1
_EQUAL = 1e-9
_PAGE = "04_benchmarks#perceived-distances"


def is_the_data_set(data: Distances | None) -> bool:
    """Return whether distances may stand for those of the paper's data set."""
    return data is not None and data.origin != "stand-in"


def title_of(name: str, data: Distances | None) -> str:
    """Return a data set's title, with how the images on this machine were made."""
    return stored.titled(name, data.origin if data else None)


def method_of(data: Distances | None, row: str) -> Provenance:
    """Return how a factor's distances, "random" or the "constants" were obtained."""
    if data is None:
        return NO_IMAGES
    if row == "random":
        method = data.random_method
    elif row == "constants":
        method = data.constants_method
    else:
        factor = data.factors[row]
        method = "exact" if factor.exact else f"{factor.traversals:,} random traversals"
    return Provenance(method if is_the_data_set(data) else f"{stored.NOT_THE_DATA_SET}; {method}")


@claim("Figure 3", step=FOLLOW)
def figure3(store: Store) -> Iterator[Claim]:
    """Each panel of Figure 3 that could be read back, and the sentence it stands for."""
    panels = published.matrices()
    data_sets = {name: measured.benchmark(name) for name, _ in panels}
    yield _mostly(data_sets, panels)
    for (name, factor), panel in panels.items():
        data = data_sets[name]
        ours: Value | str = NOTHING
        within = None
        direction = None
        panel_rank = distances.agreement(panel).rank
        if data is not None:
            matrix = data.factors[factor].matrix
            correlation = matrix_correlations(name, {factor: matrix}).get(factor)
            rank = distances.agreement(matrix).rank
            numbers = {"correlation": correlation, "rank": rank}
            ours = Value("correlation {correlation:.2f}, rank {rank:.2f}", numbers)
            within = (correlation or 0.0) >= _SAME_MATRIX if is_the_data_set(data) else None
            if rank is not None and panel_rank is not None:
                direction = abs(panel_rank - rank) <= _SAME_ORDER
        yield Claim(
            where="Figure 3",
            statement=f"{title_of(name, data)}: distances along {factor.replace('_', ' ')}",
            published=Value("rank {rank:.2f}", {"rank": panel_rank}),
            ours=ours,
            provenance=method_of(data, factor),
            tolerance=f"matrices correlate by {_SAME_MATRIX}; in direction: ranks ± {_SAME_ORDER}",
            within=within,
            direction=direction,
            anchor=_PAGE,
            why="the panels' colours are means of 256 traversals; rank is that with |i − j|",
        )


def _mostly(
    data_sets: dict[str, Distances | None], panels: dict[tuple[str, str], np.ndarray]
) -> Claim:
    """Return the claim that distances mostly follow the factors of the paper's data sets."""
    ranks = []
    titles = {}
    for name, factor in panels:
        data = data_sets[name]
        if data is not None and is_the_data_set(data):
            ranks.append(distances.agreement(data.factors[factor].matrix).rank or 0.0)
            titles[name] = title_of(name, data)
    ordered = sum(rank > ORDERED for rank in ranks)
    ours = Value("{ordered} of {factors} factors", {"ordered": ordered, "factors": len(ranks)})
    return Claim(
        where="Figure 3",
        statement="On the benchmark data sets perceived distances mostly follow the ground-truth "
        "factors.",
        published="mostly",
        ours=ours if ranks else NOTHING,
        provenance=Provenance(f"{', '.join(titles.values())}: exact means")
        if titles
        else NO_IMAGES,
        tolerance=f"more than half of the factors have a rank correlation above {ORDERED}",
        within=ordered > len(ranks) / 2 if ranks else None,
        anchor=_PAGE,
        why=WHY_ORDERED,
    )


@claim("Figure A1", step=FOLLOW)
def figure_a1(store: Store) -> Iterator[Claim]:
    """Whether distances along factors are spread out, and on XYSquares not at all."""
    for name in ("dsprites", "shapes3d", "cars3d", "smallnorb", "xysquares"):
        data = measured.benchmark(name)
        constant = name == "xysquares"
        spreads = [f.sd / f.mean for f in data.factors.values()] if data else []
        low = min(spreads, default=0.0)
        high = max(spreads, default=0.0)
        rule = high < _EQUAL if constant else low > _SPREAD
        title = title_of(name, data)
        numbers = {"low": low, "high": high}
        yield Claim(
            where="Figure A1",
            statement=f"{title}: distances along each factor "
            f"{'have one value' if constant else 'are spread out'}",
            published="one vertical step" if constant else "curves with a slope",
            ours=Value("sd between {low:.2f} and {high:.2f} of the mean", numbers)
            if data
            else NOTHING,
            provenance=method_of(data, next(iter(data.factors)) if data else ""),
            tolerance="no spread at all"
            if constant
            else f"sd above {_SPREAD} of the mean along every factor",
            within=rule if is_the_data_set(data) else None,
            anchor="A_dataset_distances#figure-a1-the-whole-distribution",
            why="equal but for rounding"
            if constant
            else f"the paper shows curves; {_SPREAD} of the mean is our line between a slope and "
            "a step",
        )
