"""Claims about distances inside trained networks, and the order in which they learn factors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sized
from typing import Any

import numpy as np

from vaedis import distances
from vaedis_companion.analysis import courses, intervals
from vaedis_companion.analysis.onsets import Learning
from vaedis_companion.claims import base, stored
from vaedis_companion.claims.base import NO_VALUE, ORDERED, Claim, Provenance, Value, claim
from vaedis_companion.published import FRAMEWORKS
from vaedis_companion.store import Row, RunTable, Store

_LEVELS = {"z": "latent means", "kl": "posteriors", "reconstruction": "reconstructions"}
NO_DISTANCES = Provenance("no distances stored")
# largest rank correlation that counts as no order (it explains 4 % of the variance of ranks);
# fixed before it was computed
_NO_ORDER = 0.2
# where runs of the laptop profile end, which have some order
_EARLY = 2_000
_NO_EARLY_ORDER = Provenance(f"no run recorded an order after {_EARLY:,} steps")
_NO_ORDER_RECORDED = Provenance("runs in which no order was recorded")


@claim("Figure 4", "Figure 4, other data")
def figure4(store: Store) -> Iterator[Claim]:
    """Whether the order of observations is passed on to latents, posteriors and reconstructions."""
    runs = stored.best(store, "fig6").where(framework="beta-vae")
    cars = stored.on_data(runs, "cars3d")
    yield _same_at_every_level(store, cars, where="Figure 4", published="the same order")
    others = [stored.on_data(runs, data) for data in ("dsprites", "shapes3d")]
    stand_in = stored.on_stand_in(runs, "cars3d")
    if stand_in.runs.rows:
        others.append(stand_in)
    for other in others:
        yield _same_at_every_level(store, other, where="Figure 4, other data", beyond=True)
    # where the loss gives XYSquares an order
    for experiment, words, column, value in (
        ("fig9", "spacing 1", "grid_spacing", 1),
        ("fig11", "box blur", "loss", "box-blur"),
    ):
        runs_of = stored.longest(store, experiment)
        for framework, name in FRAMEWORKS.items():
            setting: dict[str, Any] = {column: value, "framework": framework}
            selected = runs_of(setting).where(None, **setting)
            yield _same_at_every_level(
                store,
                stored.Selection(selected, f"XYSquares, {words}"),
                name,
                where="Figure 4, other data",
                beyond=True,
                anchor="05_adversarial_data#at-every-level",
            )


def _same_at_every_level(
    store: Store, selected: stored.Selection, network: str = "β-VAE", **fields: Any
) -> Claim:
    runs, title, untested = selected
    ranks: dict[str, list[float]] = {level: [] for level in _LEVELS}
    for row in runs.rows:
        arrays = store.arrays(row)
        factors = [name.removeprefix("x/") for name in arrays if name.startswith("x/")]
        if factors:
            for level, values in ranks.items():
                values.append(_mean_rank(arrays, level, factors))
    means = {level: float(np.mean(values)) for level, values in ranks.items() if values}
    smallest = min(means.values(), default=0.0)
    template = ", ".join(f"{words} {{{level}:.2f}}" for level, words in _LEVELS.items())
    article = "an" if network[0] == "A" else "a"
    defaults = {"anchor": "04_benchmarks#at-every-level-of-a-network"}
    return Claim(
        statement=f"{title}: {article} {network} takes over the order of perceived distances at "
        "every level",
        here=Value(template, means) if means else NO_VALUE,
        provenance=stored.provenance(runs, _counted(ranks["z"], runs)) if means else untested,
        tolerance=f"mean rank correlation above {ORDERED} at each level; in direction: above 0",
        within=smallest > ORDERED if means else None,
        direction=smallest > 0,
        why=f"{base.WHY_ORDERED}; a mean over factors and runs",
        **{**defaults, **fields},
    )


def _mean_rank(arrays: Mapping[str, np.ndarray], level: str, factors: list[str]) -> float:
    """Return the mean over factors of the rank correlation with the observations' distances."""
    agreements = [
        distances.agreement(arrays[f"{level}/{factor}"], truth=arrays[f"x/{factor}"])
        for factor in factors
    ]
    return float(np.mean([agreement.rank or 0.0 for agreement in agreements]))


def _counted(found: Sized, runs: RunTable, what: str = "with stored distances") -> str:
    """Return of how many runs something was found, as the end of a phrase; empty if of all."""
    return "" if len(found) == len(runs.rows) else f", {len(found)} of them {what}"


def _orders(store: Store, rows: list[Row]) -> np.ndarray:
    """Return how latent distances are ordered, in runs that have any, shape (runs, factors).

    It is their rank correlation with ground-truth distances; 0 without any distance.
    """
    orders = []
    for row in rows:
        arrays = sorted(store.arrays(row).items())
        matrices = [matrix for name, matrix in arrays if name.startswith("z/")]
        if matrices:
            orders.append([distances.agreement(matrix).rank or 0.0 for matrix in matrices])
    return np.array(orders) if orders else np.zeros((0, 1))


@claim("Section 5.3")
def order_at_spacing_8(store: Store) -> Iterator[Claim]:
    """Whether constant distances leave an order among latents, on images."""
    anchor = "05_adversarial_data#what-the-latents-do"
    runs_of = stored.longest(store, "fig9", least=stored.FOR_AN_INTERVAL)
    yield from order_claims(store, runs_of, where="Section 5.3", anchor=anchor)


def order_claims(store: Store, runs_of: stored.RunsOf, **fields: Any) -> Iterator[Claim]:
    """Yield the claims that constant distances leave latents without order."""
    for framework, title in FRAMEWORKS.items():
        settings = [{"framework": framework, "grid_spacing": spacing} for spacing in (8, 1)]
        runs = runs_of(*settings)
        at_spacing_8, at_spacing_1 = (runs.where(None, **setting) for setting in settings)
        far_ranks = _orders(store, at_spacing_8.rows)
        near_ranks = _orders(store, at_spacing_1.rows)
        template = "rank correlation {far}"
        numbers: dict[str, Any] = {}
        within = None
        direction = None
        if len(far_ranks):
            interval = intervals.interval(far_ranks, statistic=np.mean)
            # an interval, not a mean, so that a few runs that scatter cannot pass for none
            has_none = max(abs(interval.low), abs(interval.high)) <= _NO_ORDER
            within = stored.is_settled(has_none, interval)
            numbers["far"] = interval
            if len(near_ranks):
                template += "; {near:.2f} at spacing 1"
                numbers["near"] = near_ranks.mean()
                gap = intervals.difference(near_ranks.mean(1), far_ranks.mean(1), statistic=np.mean)
                direction = gap.low > 0
            if interval.n < stored.FOR_AN_INTERVAL and abs(interval.value) <= _NO_ORDER:
                within = None  # too few runs to settle it, and nothing speaks against it
        untested = NO_DISTANCES if at_spacing_8.rows else stored.NO_RUNS
        note = _counted(far_ranks, at_spacing_8)
        yield Claim(
            statement=f"{title}: on XYSquares latent distances do not follow the factors.",
            published="no order",
            here=Value(template, numbers) if numbers else NO_VALUE,
            provenance=stored.provenance(at_spacing_8, note) if numbers else untested,
            tolerance=f"95 % interval within ± {_NO_ORDER}, {stored.ENOUGH}; in direction: below "
            "that at spacing 1",
            within=within,
            direction=direction,
            why=f"{_NO_ORDER} is 4 % of the variance of ranks, the most that we call none",
            **fields,
        )


@claim("Section 5.3, long runs")
def order_in_long_runs(store: Store) -> Iterator[Claim]:
    """Whether the order that latents have early in training is gone at the paper's length."""
    tables = [store.runs(name, size) for name in ("fig9", "fig11") for size in ("long", "paper")]
    for framework, title in FRAMEWORKS.items():
        setting = {"framework": framework, "grid_spacing": 8, "loss": "mse"}
        stored_rows = [row for runs in tables for row in runs.where(None, **setting).rows]
        rows = []
        ranks = []
        for row in stored_rows:
            early, end = _order_at(store.arrays(row), (_EARLY, row["steps"]))
            # a run without order early on shows nothing
            if early is not None and end is not None and early > _NO_ORDER:
                rows.append(row)
                ranks.append((early, end))
        recorded = bool(ranks)
        before, after = np.array(ranks or [(0.0, 0.0)]).T
        goes_away = bool(np.abs(after).max() <= _NO_ORDER)
        profiles = " and ".join(dict.fromkeys(row["profile"] for row in rows))
        untested = _NO_EARLY_ORDER if stored_rows else stored.NO_RUNS
        template = f"rank correlation {{early:.2f}} after {_EARLY:,} steps, {{end:.2f}} at the end"
        numbers = {"early": before.mean(), "end": after.mean()}
        yield Claim(
            where="Section 5.3, long runs",
            statement=f"{title}: on XYSquares the order that latent distances have at first goes "
            "away.",
            published="no order",
            here=Value(template, numbers) if recorded else NO_VALUE,
            provenance=stored.provenance(RunTable.of("fig9", profiles, rows))
            if recorded
            else untested,
            tolerance=f"within ± {_NO_ORDER} at the end of each run, {stored.ENOUGH}; in "
            f"direction: at most half of that after {_EARLY:,} steps in each",
            within=goes_away and len(rows) >= stored.FOR_AN_INTERVAL if recorded else None,
            direction=recorded and bool((after <= before / 2).all()),
            anchor="05_adversarial_data#does-the-order-go-away",
            why=f"{_NO_ORDER} as for short runs; runs with nine and with 25 latents count alike",
            beyond=True,
        )


def _order_at(arrays: Mapping[str, np.ndarray], steps: tuple[int, ...]) -> list[float | None]:
    """Return how latents were ordered after these steps; None where that was not recorded."""
    ranks = courses.order(arrays, "z")
    known = dict(zip(map(int, arrays["course_steps"]), ranks, strict=True)) if len(ranks) else {}
    return [known.get(step) for step in steps]


@claim("Figure 10")
def figure10(store: Store) -> Iterator[Claim]:
    """Whether latent distances are ordered with box blur and not without."""
    runs_of = stored.longest(store, "fig11")
    for loss, expected in (("box-blur", "ordered"), ("mse", "without order")):
        setting = {"loss": loss, "framework": "beta-vae"}
        runs = runs_of(setting).where(None, **setting)
        ranks = _orders(store, runs.rows)
        mean = float(ranks.mean()) if len(ranks) else None
        within = None
        if mean is not None:
            within = mean > ORDERED if loss == "box-blur" else mean < ORDERED
        yield Claim(
            where="Figure 10",
            statement=f"Latent distances along a factor of a β-VAE with {stored.LOSSES[loss]} are "
            f"{expected}.",
            published=expected,
            here=NO_VALUE if mean is None else Value("rank correlation {mean:.2f}", {"mean": mean}),
            provenance=stored.provenance(runs, _counted(ranks, runs))
            if len(ranks)
            else stored.NO_RUNS,
            tolerance=f"above {ORDERED} if ordered, below if not",
            within=within,
            anchor="06_changing_the_loss#what-the-networks-take-over",
            why=f"{base.WHY_ORDERED}; a mean over factors and runs",
        )


def order_of_learning(arrays: Mapping[str, np.ndarray]) -> float | None:
    """Return how the mean distance along each factor agrees with how early a run learns it.

    Distances are between the network's own inputs; None if it recorded nothing or learned nothing.
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
    runs = stored.best(store, "fig6")
    for data in stored.BENCHMARKS:
        fields: dict[str, Any] = {"where": "Appendix A", "published": "larger ones first"}
        yield from _learnt_in_order(store, stored.on_data(runs, data), **fields)
        stand_in = stored.on_stand_in(runs, data)
        if stand_in.runs.rows:
            fields = {"where": "Appendix A, stand-ins", "beyond": True}
            yield from _learnt_in_order(store, stand_in, **fields)


def _learnt_in_order(store: Store, of_data: stored.Selection, **fields: Any) -> Iterator[Claim]:
    runs, title, untested = of_data
    for framework, name in FRAMEWORKS.items():
        selected = runs.where(framework=framework)
        orders = [order_of_learning(store.arrays(row)) for row in selected.rows]
        known = [order for order in orders if order is not None]
        mean = float(np.mean(known)) if known else 0.0
        note = _counted(known, selected, "with a recorded order")
        untested_why = _NO_ORDER_RECORDED if selected.rows else untested
        template = "rank correlation {mean:.2f} with earliness"
        yield Claim(
            statement=f"{title}: {name} learns factors in the order of their mean perceived "
            "distance",
            here=Value(template, {"mean": mean}) if known else NO_VALUE,
            provenance=stored.provenance(selected, note) if known else untested_why,
            tolerance=f"mean rank correlation above {ORDERED}; in direction: above 0",
            within=mean > ORDERED if known else None,
            direction=mean > 0,
            anchor="04b_learning_order#watching-it",
            why="a factor is learnt once reconstructions have half of the images' distance; "
            f"{ORDERED} is our line between words, and with so few factors one swap moves much",
            **fields,
        )
