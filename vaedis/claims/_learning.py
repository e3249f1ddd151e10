"""The order in which factors are learnt, and whether it is that of their perceived distances."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from vaedis import _check
from vaedis.claims._base import (
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
from vaedis.results import Found, Store

# what counts as learnt: posteriors of two values that hardly overlap, in nats, fixed before any run was looked at; and reconstructions that
# have half of the distance of the images, added when the first runs had passed one nat in all factors before they were first looked at
LEARNT = {"separation": 1.0, "reconstructed": 0.5}
_WORDS = {"separation": "tells factors apart", "reconstructed": "draws factors"}
_WHYS = {
    "separation": "a factor is learnt once posteriors of two of its values are 1 nat apart, which was fixed before any run; where all "
    "factors pass that between two looks, there is no order to correlate",
    "reconstructed": "a factor is learnt once reconstructions have half of the distance of the images; this measure was added after the "
    "first runs had separated all factors by 1 nat before they were first looked at",
}
# at which steps a run was watched
_STEPS = ("separation_steps", "learnt_steps")
_CELL = "reproduction#when-each-factor-is-learnt"


def onsets(arrays: Mapping[str, np.ndarray], measure: str = "separation") -> dict[str, float]:
    """Return when each factor is learnt: the first recorded step at which a measure of it exceeds what `LEARNT` says.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        Of a run, as the store keeps them.
    measure : {"separation", "reconstructed"}

    Returns
    -------
    dict of str to float
        Infinite for a factor that never is; empty for a run in which that was not recorded.
    """
    steps = next((arrays[name] for name in _STEPS if name in arrays), None)
    if steps is None:
        return {}
    found = {}
    for name, values in arrays.items():
        if name.startswith(f"{measure}/"):
            above = np.flatnonzero(np.asarray(values) > LEARNT[measure])
            found[name.partition("/")[2]] = float(steps[above[0]]) if len(above) else np.inf
    return found


def importance(arrays: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return the mean perceived distance along each factor as the network sees it: of the stored matrices between its own inputs."""
    matrices = {name.partition("/")[2]: np.asarray(m) for name, m in arrays.items() if name.startswith("x/")}
    return {factor: float(m[~np.eye(len(m), dtype=bool)].mean()) for factor, m in matrices.items()}


def spearman(one: list[float], other: list[float]) -> float:
    """Spearman's rank correlation, ties averaged; 0 where one of the two does not vary."""
    if np.ptp(_ranks(one)) == 0 or np.ptp(_ranks(other)) == 0:
        return 0.0
    return float(np.corrcoef(_ranks(one), _ranks(other))[0, 1])


def _ranks(values: list[float]) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[inverse]


def orders_of_learning(arrays: Mapping[str, np.ndarray], measure: str = "separation") -> tuple[float, float] | None:
    """Return how the mean perceived distances of factors go with how early, and how well in the end, a run learns them.

    Returns
    -------
    (float, float) or None
        Rank correlations with minus the onset, and with the measure at the end of training; None for a run that was not watched, or that
        cannot tell: one that learns all factors between two looks, or none ever.
    """
    found, weight = onsets(arrays, measure), importance(arrays)
    if len(set(found.values())) < 2 or not weight:
        return None
    factors = sorted(found.keys() & weight.keys())
    means = [weight[f] for f in factors]
    end = [float(arrays[f"{measure}/{f}"][-1]) for f in factors]
    return spearman(means, [-found[f] for f in factors]), spearman(means, end)


def appendix_a(store: Store) -> Iterator[Claim]:
    found = store.best("fig6")
    for data in BENCHMARKS:
        real, origin = on_data(found, data)
        drawn = on_stand_in(found, data)
        missing = f"runs of {NOT_THE_DATA_SET}, only" if drawn.rows else "no runs stored"
        yield from _learnt_in_order(store, real, titled(data, origin), missing, where="Appendix A")
        if drawn.rows:
            yield from _learnt_in_order(store, drawn, titled(data, "stand-in"), "", where="Appendix A, stand-ins", beyond=True)


def _learnt_in_order(store: Store, runs: Found, title: str, missing: str, **facts: Any) -> Iterator[Claim]:
    for framework, measure in itertools.product(FRAMEWORKS, LEARNT):
        picked = subset(runs, framework=framework)
        arrays = [store.arrays(row) for row in picked.rows]
        orders = [order for kept in arrays if (order := orders_of_learning(kept, measure)) is not None]
        early, end = (float(mean) for mean in np.mean(orders, 0)) if orders else (0.0, 0.0)
        watched = any(onsets(kept, measure) for kept in arrays)
        silent = "all factors learnt between two looks, or none ever" if watched else "runs in which that was not recorded"
        judged = f"{len(orders)} of " if len(orders) < len(picked.rows) else ""
        yield Claim(
            statement=f"{title}: {FRAMEWORKS[framework]} {_WORDS[measure]} in the order of their mean perceived distance",
            published="larger ones first" if facts["where"] == "Appendix A" else "–",
            ours=f"rank correlation {early:.2f} with earliness, {end:.2f} with the measure at the end" if orders else "–",
            scale=f"{judged}{scale(picked)}" if orders else (silent if picked.rows else missing),
            tolerance=f"mean rank correlation with earliness above {ORDERED}; in direction: above 0",
            verdict=verdict(early > ORDERED, early > 0) if orders else verdict(None),
            cell=_CELL,
            why=f"{_WHYS[measure]}. {ORDERED} is our line between words; factors are few, so that one swap moves much",
            **facts,
        )


def learning_table(store: Store | None = None, *, measure: str = "separation") -> list[dict[str, str]]:
    """Return when each stored run of Figure 6 learns each factor, for a table: one row a data set and factor, by mean perceived distance.

    Parameters
    ----------
    store : Store, optional
    measure : {"separation", "reconstructed"}
        Learnt are a factor's values when posteriors tell them apart by a nat, or when reconstructions have half of their distance.

    Returns
    -------
    list of dict of str to str
        ``"data set"``, ``"factor"``, ``"mean distance"``, and for each framework the step of each run; "never" if it does not.
    """
    _check.one_of("measure", measure, LEARNT)
    store = store or Store()
    found = store.best("fig6")
    rows = []
    for data in BENCHMARKS:
        real, origin = on_data(found, data)
        runs, title = (real, titled(data, origin)) if real.rows else (on_stand_in(found, data), titled(data, "stand-in"))
        watched = [
            (row, arrays)
            for row in sorted(runs.rows, key=lambda row: row["seed"])
            if onsets(arrays := store.arrays(row), measure) and importance(arrays)
        ]
        weights = importance(watched[0][1]) if watched else {}
        for factor in sorted(weights, key=lambda f: -weights[f]):
            cells = {"data set": title, "factor": factor, "mean distance": f"{weights[factor]:.3f}"}
            for framework, name in FRAMEWORKS.items():
                steps = [onsets(arrays, measure)[factor] for row, arrays in watched if row["framework"] == framework]
                cells[f"{name}, step"] = ", ".join("never" if s == np.inf else f"{s:,.0f}" for s in steps) or "–"
            rows.append(cells)
    return rows
