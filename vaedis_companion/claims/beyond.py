"""Claims that this book adds: networks that see distances and no pixels, bounds, two averages."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from vaedis.data import load
from vaedis.diagnosis import bounds
from vaedis_companion.analysis import intervals
from vaedis_companion.analysis.onsets import ALIVE, learned, where_learning_ends
from vaedis_companion.claims import stored
from vaedis_companion.claims.base import NO_PIXELS, NO_VALUE, Claim, Provenance, Value, claim
from vaedis_companion.claims.latents import order_claims
from vaedis_companion.claims.scores import loss_claims, spacing_claims
from vaedis_companion.published import FRAMEWORKS
from vaedis_companion.store import RunTable, Store

_PAGE = "05b_smaller_beta"
_NO_PIXELS = "06b_no_pixels"
_IMAGES = f"{_PAGE}#the-same-with-images"
Bound = Callable[[int, int], float]


@claim("Figure 9, no pixels", step=NO_PIXELS)
def figure9_no_pixels(store: Store) -> Iterator[Claim]:
    """Figure 9's ranges, judged by networks that see coordinates."""
    runs = store.runs("fig9", "coordinates")
    fields = {"where": "Figure 9, no pixels", "anchor": f"{_NO_PIXELS}#spacing-without-pixels"}
    yield from spacing_claims(lambda *_: runs, beyond=True, **fields)


@claim("Section 5.3, no pixels")
def order_no_pixels(store: Store) -> Iterator[Claim]:
    """Whether constant distances leave an order among latents of networks that see coordinates."""
    anchor = f"{_NO_PIXELS}#is-any-order-left-at-spacing-8"
    fields = {"where": "Section 5.3, no pixels", "anchor": anchor}
    runs = store.runs("fig9", "coordinates")
    yield from order_claims(store, lambda *_: runs, beyond=True, **fields)


@claim("Figure 11, no pixels", step=NO_PIXELS)
def figure11_no_pixels(store: Store) -> Iterator[Claim]:
    """Figure 11's ranges, judged by networks that see coordinates."""
    fields = {"where": "Figure 11, no pixels", "anchor": f"{_NO_PIXELS}#the-loss-without-pixels"}
    runs = store.runs("fig11", "coordinates")
    yield from loss_claims(lambda *_: runs, column="distance", beyond=True, **fields)


@claim("Section 5.3, bound", "Section 5.3, no pixels")
def largest_beta(store: Store) -> Iterator[Claim]:
    """Up to which beta networks learn anything, and whether that is where linear theory puts it."""
    fields: dict[str, Any] = {"where": "Section 5.3, bound", "anchor": _IMAGES}
    yield from _smaller_beta("Images", stored.best(store, "beta"), "beta-vae", **fields)
    fields = {"where": "Section 5.3, no pixels", "anchor": f"{_PAGE}#where-learning-ends"}
    for framework in FRAMEWORKS:
        runs = store.runs("beta", "coordinates")
        yield from _smaller_beta("No pixels", runs, framework, **fields)


def _smaller_beta(title: str, runs: RunTable, framework: str, **fields: Any) -> Iterator[Claim]:
    name = f"{title}: {FRAMEWORKS[framework]}"
    of_spacing = {s: runs.where(framework=framework, grid_spacing=s) for s in (1, 8)}
    near, far = (where_learning_ends(selected.rows) for selected in of_spacing.values())
    at_spacing_1, at_spacing_8 = ([last_alive for last_alive, _ in ends] for ends in (near, far))
    tested = bool(near and far)
    untested = stored.NO_RUNS
    is_smaller = tested and max(dead for _, dead in far) <= min(at_spacing_1)
    # where the largest β that was tried learns, a larger one may learn too
    has_end = all(dead < float("inf") for _, dead in (far if is_smaller else (*far, *near)))
    if tested and not has_end:
        tested = False
        untested = Provenance("no β was tried at which learning has ended")
    template = "largest β at which it learns: {far} at spacing 8, {near} at spacing 1"
    note = f" at spacing 8, {len(of_spacing[1].rows)} at 1"
    yield Claim(
        statement=f"{name} needs a smaller β on XYSquares than where squares overlap.",
        published="smaller",
        here=Value(template, {"far": _Range(at_spacing_8), "near": _Range(at_spacing_1)})
        if tested
        else NO_VALUE,
        provenance=stored.provenance(of_spacing[8], note) if tested else untested,
        tolerance="in every run the next β that was tried at spacing 8 learns nothing, and one as "
        "large learns at spacing 1; in direction: the largest β that learns, in the median",
        within=is_smaller if tested else None,
        direction=tested and bool(np.median(at_spacing_8) < np.median(at_spacing_1)),
        why=f"below a KL of {ALIVE} nats per latent posteriors equal the prior and hold nothing",
        beyond=True,
        **fields,
    )
    for spacing, selected in of_spacing.items():
        yield _bound(selected, spacing, name, **fields)


@claim("Section 5.3, warm-up")
def warm_up(store: Store) -> Iterator[Claim]:
    """Whether networks hold what they learned before beta had grown, up to the predicted beta."""
    images = stored.best(store, "warmup")
    yield from _warm_up("Images", images, "beta-vae", _IMAGES)
    for framework in FRAMEWORKS:
        runs = store.runs("warmup", "coordinates")
        yield from _warm_up("No pixels", runs, framework, f"{_PAGE}#found-or-held")


def _warm_up(title: str, runs: RunTable, framework: str, anchor: str) -> Iterator[Claim]:
    name = f"{title}, with warm-up: {FRAMEWORKS[framework]}"
    for spacing in (1, 8):
        selected = runs.where(framework=framework, grid_spacing=spacing)
        yield _bound(selected, spacing, name, where="Section 5.3, warm-up", anchor=anchor)


@claim("Section 5.3, limit")
def limits(store: Store) -> Iterator[Claim]:
    """Whether learning ends where no code pays, if beta grows, and no network learns beyond."""
    anchor = f"{_PAGE}#where-no-code-pays"
    fields: dict[str, Any] = {"where": "Section 5.3, limit", "anchor": anchor}
    for spacing in (2, 4, 6):
        runs = store.runs("limits", "coordinates").where(grid_spacing=spacing)
        constant = runs.where(lambda row: not row["warmup"])
        growing = runs.where(lambda row: bool(row["warmup"]))
        yield _bound(constant, spacing, "No pixels, constant β", **fields)
        yield _bound(growing, spacing, "No pixels, β that grows", _no_code_pays, **fields)
    images = stored.best(store, "limits").where(grid_spacing=8)
    title = "Images, β that grows for long"
    yield _bound(images, 8, title, _no_code_pays, where=fields["where"], anchor=_IMAGES)
    studies = ("beta", "warmup", "limits")
    coordinates = [store.runs(name, "coordinates") for name in studies]
    yield _none_learns("No pixels", coordinates, **fields)
    yield _none_learns("Images", [stored.best(store, name) for name in studies], **fields)


def _none_learns(title: str, studies: list[RunTable], **fields: Any) -> Claim:
    beyond_limit = [
        row
        for runs in studies
        for row in runs.rows
        if learned(row) is not None
        and row["beta"] > _no_code_pays(row["data_options"]["grid_spacing"], row["latents"])
    ]
    alive = sum(bool(learned(row)) for row in beyond_limit)
    n = len(beyond_limit)
    basis = Provenance(f"the {n} runs of beta, warmup and limits with a β above the second bound")
    return Claim(
        statement=f"{title}: no network learns at a β at which no code pays.",
        here=Value("{alive} of {n} learnt", {"alive": alive, "n": n}) if beyond_limit else NO_VALUE,
        provenance=basis if beyond_limit else stored.NO_RUNS,
        tolerance=f"no KL above {ALIVE} nats per latent; in direction: one in ten at most",
        within=not alive if beyond_limit else None,
        direction=alive <= n / 10,
        why="the limit holds at the minimum of the loss, not for networks on their way there",
        beyond=True,
        **fields,
    )


class _Range(tuple[float, ...]):
    """The smallest and largest of some betas; 0 reads "none"."""

    def __new__(cls, values: list[float]) -> _Range:
        return super().__new__(cls, (min(values), max(values)))

    def __format__(self, spec: str) -> str:
        low, high = (f"{value:g}" if value else "none" for value in self)
        if low == high:
            return low
        return f"none, or {high}" if low == "none" else f"{low} to {high}"


# the squares of XYSquares do not hide each other, so its images give exact bounds


@functools.cache
def _linear_theory(spacing: int, latents: int) -> float:
    return bounds.largest_beta(load("xysquares", grid_spacing=spacing), latents)


@functools.cache
def _no_code_pays(spacing: int, latents: int) -> float:
    return bounds.rate_distortion_beta(load("xysquares", grid_spacing=spacing), latents)


def _bound(
    runs: RunTable, spacing: int, name: str, predicted: Bound = _linear_theory, **fields: Any
) -> Claim:
    """Return the claim that learning ends at the predicted bound on beta."""
    ends = where_learning_ends(runs.rows)
    here: Value | str = NO_VALUE
    within = None
    direction = None
    provenance = stored.provenance(runs) if ends else stored.NO_RUNS
    if ends:
        bound = predicted(spacing, runs.rows[0]["latents"])
        first_dead_betas = [first_dead for _, first_dead in ends]
        template = "bound {bound:.3f}; largest β that learns: {alive}; next β tried: {dead}"
        if max(first_dead_betas) == float("inf"):
            template = "bound {bound:.3f}; largest β that learns: {alive}; no larger β was tried"
        alive = _Range([last_alive for last_alive, _ in ends])
        here = Value(template, {"bound": bound, "alive": alive, "dead": _Range(first_dead_betas)})
        if all(_shows_end(last_alive, first_dead, bound) for last_alive, first_dead in ends):
            within = all(last_alive <= bound < first_dead for last_alive, first_dead in ends)
            direction = all(
                last_alive / 2 <= bound < first_dead * 2 for last_alive, first_dead in ends
            )
        elif not any(last_alive for last_alive, _ in ends):
            provenance = Provenance("no β that learns was tried")
    which = "second" if predicted is _no_code_pays else "first"
    return Claim(
        statement=f"{name}, spacing {spacing}: learning ends at the {which} bound, which perceived "
        "distances predict.",
        here=here,
        provenance=provenance,
        tolerance=f"the {which} bound is where learning ends; in direction: to a factor of 2",
        within=within,
        direction=direction,
        why="it ends between two betas a factor of 3 apart, as in Table A4, or of 1.8",
        beyond=True,
        **fields,
    )


def _shows_end(last_alive: float, first_dead: float, bound: float) -> bool:
    """Return whether a run shows how far from the bound learning ends."""
    # one that learns at all betas that were tried, or at none, shows it only if these are far off
    if first_dead == float("inf"):
        return last_alive > 2 * bound
    return last_alive > 0 or 2 * first_dead <= bound


@claim("Averaging")
def averaging(store: Store) -> Iterator[Claim]:
    """Whether the conclusion that scores fall with spacing depends on how Ada-GVAE averages."""
    mean_runs = stored.best(store, "fig9")
    published_runs = stored.best(store, "averaging")
    # runs of different lengths say nothing about the average
    if mean_runs.profile != published_runs.profile:
        mean_runs = mean_runs.where(lambda row: False)
    yield from _falls(mean_runs, published_runs, "Images")
    long_enough = [
        stored.longest(store, name, least=stored.FOR_AN_INTERVAL) for name in ("fig9", "averaging")
    ]
    for spacing in (1, 2, 4):
        setting = {"framework": "ada-gvae", "grid_spacing": spacing}
        mean_of_setting, published_of_setting = (runs_of(setting) for runs_of in long_enough)
        if mean_of_setting.profile != published_of_setting.profile:
            mean_of_setting, published_of_setting = mean_runs, published_runs
        yield _published_average_scores_higher(mean_of_setting, published_of_setting, spacing)
    mean_runs = store.runs("fig9", "coordinates")
    yield from _falls(mean_runs, store.runs("averaging", "coordinates"), "No pixels")


def _falls(mean_runs: RunTable, published_runs: RunTable, title: str) -> Iterator[Claim]:
    all_runs = [
        runs.where(framework="ada-gvae", grid_spacing=spacing)
        for runs in (mean_runs, published_runs)
        for spacing in (1, 8)
    ]
    at_spacing_1, _, published_at_1, _ = all_runs
    counts = [len(runs.rows) for runs in all_runs]
    note = (
        f"; mean of both: {counts[0]} at spacing 1, {counts[1]} at 8; "
        f"second image's mean: {counts[2]} and {counts[3]}"
    )
    rows = [row for runs in all_runs for row in (*runs.rows, *runs.failed)]
    together = RunTable.of(mean_runs.experiment, mean_runs.profile, rows)
    tested = all(counts)
    untested = Provenance("no runs of both averages stored")
    for score in stored.SCORES:
        template = "mean of both: falls by {fall}; second image's mean: falls by {second_fall}"
        numbers: dict[str, intervals.Interval] = {}
        if tested:
            near, far, published_near, published_far = (runs.values(score) for runs in all_runs)
            numbers["fall"] = intervals.difference(near, far)
            numbers["second_fall"] = intervals.difference(published_near, published_far)
        falls = list(numbers.values())
        gap = difference_by_seed(published_at_1, at_spacing_1, score) if tested else None
        if gap:
            template += "; second image's minus both, at spacing 1: {gap:+z.2f}"
            numbers["gap"] = gap
        yield Claim(
            where="Averaging",
            statement=f"{title}: whichever average Ada-GVAE takes, its {score.upper()} falls from "
            "spacing 1 to 8.",
            published="falls",
            here=Value(template, numbers) if tested else NO_VALUE,
            provenance=stored.provenance(together, note) if tested else untested,
            tolerance=f"95 % intervals of both falls above 0, {stored.ENOUGH} of each; in "
            "direction: both medians fall",
            within=stored.is_settled(all(fall.low > 0 for fall in falls), *falls)
            if tested
            else None,
            direction=all(fall.value > 0 for fall in falls) if tested else None,
            anchor="06c_averaging#what-it-does-to-the-scores",
            why="the paper concludes that scores fall, not by how much",
            beyond=True,
        )


def _published_average_scores_higher(
    mean_runs: RunTable, published_runs: RunTable, spacing: int
) -> Claim:
    """Return the claim that images confirm what networks without pixels show."""
    runs = published_runs.where(framework="ada-gvae", grid_spacing=spacing)
    other_runs = mean_runs.where(framework="ada-gvae", grid_spacing=spacing)
    tested = bool(runs.rows and other_runs.rows)
    gap = difference_by_seed(runs, other_runs, "mig") if tested else None
    untested = Provenance("no seed that both averages have") if tested else stored.NO_RUNS
    template = "second image's minus both: {gap:+z.2f}"
    note = f" with the second image's mean, {len(other_runs.rows)} with the mean of both"
    return Claim(
        where="Averaging",
        statement=f"Images, spacing {spacing}: the second image's mean gives Ada-GVAE a higher "
        "MIG.",
        here=Value(template, {"gap": gap}) if gap else NO_VALUE,
        provenance=stored.provenance(runs, note) if gap else untested,
        tolerance=f"95 % interval of the difference above 0, {stored.ENOUGH} of each; in "
        "direction: the median above 0",
        within=stored.is_settled(gap.low > 0, gap) if gap else None,
        direction=gap.value > 0 if gap else None,
        anchor="06c_averaging#and-with-images",
        why="it is higher at small spacings without pixels",
        beyond=True,
    )


def difference_by_seed(
    runs: RunTable, other_runs: RunTable, score: str
) -> intervals.Interval | None:
    """Return the median difference of two sets of runs, within seeds; None without a common one."""
    # a GPU draws other numbers than a CPU, so that equal seeds are no pair there
    if len({row.get("device") for row in (*runs.rows, *other_runs.rows)}) > 1:
        return intervals.difference(runs.values(score), other_runs.values(score))
    by_seed = runs.by_seed(score)
    other_by_seed = other_runs.by_seed(score)
    seeds = sorted(by_seed.keys() & other_by_seed.keys())
    if not seeds:
        return None
    pairs = np.array([(by_seed[seed], other_by_seed[seed]) for seed in seeds])
    return intervals.difference(*pairs.T, paired=True)
