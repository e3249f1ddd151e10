"""Claims about distances inside trained networks: Figures 4 and 10, and the order that constant
distances leave.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from vaedis import distances
from vaedis_companion import intervals
from vaedis_companion.claims.base import (
    FRAMEWORKS,
    NOT_THE_DATA_SET,
    ORDERED,
    WHY_ORDERED,
    Claim,
    on_data,
    on_stand_in,
    scale,
    subset,
    titled,
    verdict,
)
from vaedis_companion.store import Row, RunTable, Store

_LEVELS = ("z", "kl", "reconstruction")
# a rank correlation that would explain 4 % of what an order varies by: the most that still counts
# as none, fixed before it was computed
_NO_ORDER = 0.2


def rank_between(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's correlation of two matrices over pairs of different values; 0 where one of them
    does not vary.
    """
    return distances.agreement(one, truth=other).rank or 0.0


def figure4(store: Store) -> Iterator[Claim]:
    """Whether the order of observations is passed on to latents, posteriors and reconstructions."""
    found = subset(store.best("fig6"), framework="beta-vae")
    real, origin = on_data(found, "cars3d")
    drawn = on_stand_in(found, "cars3d")
    missing = f"runs of {NOT_THE_DATA_SET}, only" if drawn.rows else "no runs stored"
    yield _same_at_every_level(store, real, titled("cars3d", origin), missing, where="Figure 4")
    for data in ("dsprites", "shapes3d"):
        runs, origin = on_data(found, data)
        yield _same_at_every_level(
            store,
            runs,
            titled(data, origin),
            "no runs stored",
            where="Figure 4, other data",
            beyond=True,
        )
    if drawn.rows:
        yield _same_at_every_level(
            store,
            drawn,
            titled("cars3d", "stand-in"),
            "",
            where="Figure 4, other data",
            beyond=True,
        )


def _same_at_every_level(
    store: Store, runs: RunTable, title: str, missing: str, **facts: Any
) -> Claim:
    ranks = {level: [] for level in _LEVELS}  # type: dict[str, list[float]]
    for row in runs.rows:
        kept = store.arrays(row)
        factors = [name.removeprefix("x/") for name in kept if name.startswith("x/")]
        for level in ranks if factors else ():
            ranks[level].append(
                float(
                    np.mean([rank_between(kept[f"{level}/{f}"], kept[f"x/{f}"]) for f in factors])
                )
            )
    means = {level: float(np.mean(values)) for level, values in ranks.items() if values}
    words = {"z": "latent means", "kl": "posteriors", "reconstruction": "reconstructions"}
    return Claim(
        statement=f"{title}: a β-VAE takes over the order of perceived distances at every level",
        published="the same order" if facts["where"] == "Figure 4" else "–",
        ours=", ".join(f"{words[level]} {mean:.2f}" for level, mean in means.items()) or "–",
        scale=scale(runs) if means else missing or "no distances stored",
        tolerance=f"mean rank correlation with the observations' distances above {ORDERED} at each level; in direction: above 0",
        verdict=verdict(min(means.values()) > ORDERED, min(means.values()) > 0)
        if means
        else verdict(None),
        cell="04_benchmarks#at-every-level-of-a-network",
        why=f"{WHY_ORDERED}; a mean over factors and runs",
        **facts,
    )


def latent_orders(arrays: Mapping[str, np.ndarray]) -> list[float]:
    """Rank correlation of latent with ground-truth distances for each factor of a run; a factor
    without any latent distance counts as 0.
    """
    return [
        distances.agreement(m).rank or 0.0
        for name, m in sorted(arrays.items())
        if name.startswith("z/")
    ]


def order_at_spacing_8(store: Store) -> Iterator[Claim]:
    """Whether constant distances leave an order among latents, on images."""
    yield from order_claims(
        store, store.best("fig9"), "Section 5.3", "05_adversarial_data#what-the-latents-do"
    )


def order_claims(
    store: Store, found: RunTable | None, where: str, cell: str, *, beyond: bool = False
) -> Iterator[Claim]:
    """Return whether constant distances leave latents without order, judged by the runs given."""
    for framework in FRAMEWORKS:
        runs = {
            spacing: subset(found, framework=framework, grid_spacing=spacing) for spacing in (8, 1)
        }
        ranks = {spacing: _orders(store, half.rows) for spacing, half in runs.items()}
        far = intervals.interval(ranks[8], statistic=np.mean) if len(ranks[8]) else None
        gap = (
            intervals.difference(ranks[1].mean(1), ranks[8].mean(1), statistic=np.mean)
            if all(map(len, ranks.values()))
            else None
        )
        # an interval, not a mean, so that few runs that scatter cannot pass for none
        ends = [] if far is None else [far.low, far.high] if far.n > 1 else [far.value]
        near = f"; {ranks[1].mean():.2f} at spacing 1" if len(ranks[1]) else ""
        yield Claim(
            where,
            f"{FRAMEWORKS[framework]}: on XYSquares latent distances do not follow the factors.",
            "no order",
            "–" if far is None else f"rank correlation {far}{near}",
            scale(runs[8])
            if far
            else "no runs stored"
            if not runs[8].rows
            else "no distances stored",
            f"95 % interval within ± {_NO_ORDER}; in direction: below that at spacing 1, the interval of the difference excluding 0",
            verdict(
                None if far is None else max(map(abs, ends)) <= _NO_ORDER,
                gap is not None and gap.low > 0,
            ),
            cell,
            f"a mean over factors, runs drawn anew; {_NO_ORDER} is a twenty-fifth of the variation, the most that we still call none",
            beyond,
        )


def _orders(store: Store, rows: list[Row]) -> np.ndarray:
    """One row of rank correlations for each run that has latent distances."""
    found = [orders for row in rows if (orders := latent_orders(store.arrays(row)))]
    return np.array(found) if found else np.zeros((0, 1))


def figure10(store: Store) -> Iterator[Claim]:
    """Whether latent distances are ordered with box blur and not without."""
    found = store.best("fig11")
    for loss, expected in (("box-blur", "ordered"), ("mse", "without order")):
        runs = subset(found, loss=loss, framework="beta-vae")
        ranks = _orders(store, runs.rows)
        mean = float(ranks.mean()) if len(ranks) else None
        within = (
            None if mean is None else (mean > ORDERED if loss == "box-blur" else mean < ORDERED)
        )
        yield Claim(
            "Figure 10",
            f"Latent distances along a factor of a β-VAE with {loss} are {expected}.",
            expected,
            "–" if mean is None else f"rank correlation {mean:.2f}",
            scale(runs) if len(ranks) else "no runs stored",
            f"above {ORDERED} if ordered, below if not",
            verdict(within),
            "06_changing_the_loss#what-the-networks-take-over",
            f"{WHY_ORDERED}; a mean over factors and runs",
        )
