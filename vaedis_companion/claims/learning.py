"""The order in which factors are learnt, and whether it is that of their perceived distances."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from vaedis_companion.analysis.onsets import Learning
from vaedis_companion.claims import stored
from vaedis_companion.claims.base import NOTHING, ORDERED, Claim, Provenance, Value, claim
from vaedis_companion.store import RunTable, Store

_NO_ORDER_RECORDED = Provenance("runs in which no order was recorded")
_WHY = (
    "a factor is learnt once reconstructions have half of the images' distance; "
    f"{ORDERED} is our line between words, and with so few factors one swap moves much"
)


def order_of_learning(arrays: Mapping[str, np.ndarray]) -> float | None:
    """Return how the mean distance along each factor, between the network's own inputs, agrees with
    how early a run learns it; None if the run recorded nothing or learned nothing.
    """
    learning = Learning.of(arrays)
    if learning is None or not learning.reconstructed:
        return None
    matrices = {n.removeprefix("x/"): np.asarray(m) for n, m in arrays.items() if n[:2] == "x/"}
    means = {f: float(m[~np.eye(len(m), dtype=bool)].mean()) for f, m in matrices.items()}
    return learning.order(means)


@claim("Appendix A", "Appendix A, stand-ins")
def appendix_a(store: Store) -> Iterator[Claim]:
    """Whether factors are learnt in the order of Table A1's distances."""
    runs = store.best("fig6")
    for data in stored.BENCHMARKS:
        picked, origin = stored.on_data(runs, data)
        stand_ins = stored.on_stand_in(runs, data)
        missing = stored.ONLY_STAND_INS if stand_ins.rows else stored.NO_RUNS
        yield from _learnt_in_order(
            store,
            picked,
            stored.titled(data, origin),
            missing,
            where="Appendix A",
            published="larger ones first",
        )
        if stand_ins.rows:
            yield from _learnt_in_order(
                store,
                stand_ins,
                stored.titled(data, "stand-in"),
                stored.NO_RUNS,
                where="Appendix A, stand-ins",
                published=NOTHING,
                beyond=True,
            )


def _learnt_in_order(
    store: Store, runs: RunTable, title: str, missing: Provenance, **fields: Any
) -> Iterator[Claim]:
    for framework, name in stored.FRAMEWORKS.items():
        picked = stored.subset(runs, framework=framework)
        orders = [order_of_learning(store.arrays(row)) for row in picked.rows]
        known = [order for order in orders if order is not None]
        mean = float(np.mean(known)) if known else 0.0
        note = "" if len(known) == len(orders) else f", {len(known)} of which recorded the order"
        without = _NO_ORDER_RECORDED if picked.rows else missing
        template = "rank correlation {mean:.2f} with earliness"
        yield Claim(
            statement=f"{title}: {name} draws factors in the order of their mean perceived "
            "distance",
            ours=Value(template, {"mean": mean}) if known else NOTHING,
            provenance=stored.provenance(picked, note) if known else without,
            tolerance=f"mean rank correlation above {ORDERED}; in direction: above 0",
            within=mean > ORDERED if known else None,
            direction=mean > 0,
            anchor="04b_learning_order#watching-it",
            why=_WHY,
            **fields,
        )
