"""The order in which factors are learnt, and whether it is that of their perceived distances."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from vaedis_companion.claims.base import (
    BENCHMARKS,
    FRAMEWORKS,
    NOT_THE_DATA_SET,
    ORDERED,
    Claim,
    on_data,
    on_stand_in,
    scale,
    subset,
    titled,
    verdict,
)
from vaedis_companion.onsets import Learning
from vaedis_companion.store import RunTable, Store

_WHY = (
    "a factor is learnt once reconstructions have half of the distance of the images. The rule that was fixed first, posteriors of two "
    f"values 1 nat apart, says nothing: networks pass it at once in all factors. {ORDERED} is our line between words; factors are few, so "
    "that one swap moves much"
)


def importance(arrays: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return the mean perceived distance along each factor as the network sees it: of the stored
    matrices between its own inputs.
    """
    matrices = {
        name.partition("/")[2]: np.asarray(m) for name, m in arrays.items() if name.startswith("x/")
    }
    return {factor: float(m[~np.eye(len(m), dtype=bool)].mean()) for factor, m in matrices.items()}


def order_of_learning(arrays: Mapping[str, np.ndarray]) -> float | None:
    """Return how the mean perceived distances of factors go with how early a run learns them; None
    if nobody watched, or it learnt none.
    """
    watched = Learning.of(arrays)
    return watched.order(importance(arrays)) if watched and watched.reconstructed else None


def appendix_a(store: Store) -> Iterator[Claim]:
    """Whether factors are learnt in the order of Table A1's distances, for each benchmark data set."""
    found = store.best("fig6")
    for data in BENCHMARKS:
        real, origin = on_data(found, data)
        drawn = on_stand_in(found, data)
        missing = f"runs of {NOT_THE_DATA_SET}, only" if drawn.rows else "no runs stored"
        yield from _learnt_in_order(store, real, titled(data, origin), missing, where="Appendix A")
        if drawn.rows:
            yield from _learnt_in_order(
                store,
                drawn,
                titled(data, "stand-in"),
                "",
                where="Appendix A, stand-ins",
                beyond=True,
            )


def _learnt_in_order(
    store: Store, runs: RunTable, title: str, missing: str, **facts: Any
) -> Iterator[Claim]:
    for framework, name in FRAMEWORKS.items():
        picked = subset(runs, framework=framework)
        orders = [
            order
            for row in picked.rows
            if (order := order_of_learning(store.arrays(row))) is not None
        ]
        early = float(np.mean(orders)) if orders else 0.0
        judged = f"{len(orders)} of " if len(orders) < len(picked.rows) else ""
        yield Claim(
            statement=f"{title}: {name} draws factors in the order of their mean perceived distance",
            published="larger ones first" if facts["where"] == "Appendix A" else "–",
            ours=f"rank correlation {early:.2f} with earliness" if orders else "–",
            scale=f"{judged}{scale(picked)}"
            if orders
            else ("runs in which no order was recorded" if picked.rows else missing),
            tolerance=f"mean rank correlation with earliness above {ORDERED}; in direction: above 0",
            verdict=verdict(early > ORDERED, early > 0) if orders else verdict(None),
            cell="04b_learning_order#watching-it",
            why=_WHY,
            **facts,
        )
