"""Claims that this book adds: networks that see distances and no pixels, bounds, two averages."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np

from vaedis.data import load
from vaedis.diagnosis import bounds
from vaedis_companion.analysis import intervals
from vaedis_companion.analysis.onsets import ALIVE, where_learning_ends
from vaedis_companion.claims import stored
from vaedis_companion.claims.base import NO_PIXELS, NOTHING, Claim, Provenance, Value, claim
from vaedis_companion.claims.latents import order_claims
from vaedis_companion.claims.scores import loss_claims, spacing_claims
from vaedis_companion.store import RunTable, Store

_PAGE = "05b_smaller_beta"
_IMAGES = f"{_PAGE}#the-same-with-images"
Bound = Callable[[int, int], float]


@claim("Figure 9, no pixels", step=NO_PIXELS)
def figure9_no_pixels(store: Store) -> Iterator[Claim]:
    """Figure 9's ranges, judged by networks that see coordinates."""
    yield from spacing_claims(
        store.runs("fig9", "coordinates"),
        where="Figure 9, no pixels",
        anchor="06b_no_pixels#spacing-without-pixels",
        beyond=True,
    )


@claim("Section 5.3, no pixels")
def order_no_pixels(store: Store) -> Iterator[Claim]:
    """Whether constant distances leave an order among latents of networks that see coordinates."""
    yield from order_claims(
        store,
        store.runs("fig9", "coordinates"),
        where="Section 5.3, no pixels",
        anchor="06b_no_pixels#is-any-order-left-at-spacing-8",
        beyond=True,
    )


@claim("Figure 11, no pixels", step=NO_PIXELS)
def figure11_no_pixels(store: Store) -> Iterator[Claim]:
    """Figure 11's ranges, judged by networks that see coordinates."""
    yield from loss_claims(
        store.runs("fig11", "coordinates"),
        column="distance",
        where="Figure 11, no pixels",
        anchor="06b_no_pixels#the-loss-without-pixels",
        beyond=True,
    )


@claim("Section 5.3, bound", "Section 5.3, no pixels")
def largest_beta(store: Store) -> Iterator[Claim]:
    """Up to which beta networks learn anything, and whether that is where linear theory puts it."""
    yield from _smaller_beta(store.best("beta"), "beta-vae", "Section 5.3, bound", _IMAGES)
    for framework in stored.FRAMEWORKS:
        runs = store.runs("beta", "coordinates")
        anchor = f"{_PAGE}#where-learning-ends"
        yield from _smaller_beta(runs, framework, "Section 5.3, no pixels", anchor)


def _smaller_beta(
    runs: RunTable | None, framework: str, where: str, anchor: str
) -> Iterator[Claim]:
    name = stored.FRAMEWORKS[framework]
    of_spacing = {s: stored.subset(runs, framework=framework, grid_spacing=s) for s in (1, 8)}
    near = [last for last, _ in where_learning_ends(of_spacing[1].rows)]
    far = [last for last, _ in where_learning_ends(of_spacing[8].rows)]
    tested = bool(near and far)
    template = "largest β at which it learns: {far} at spacing 8, {near} at spacing 1"
    note = f" at spacing 8, {len(of_spacing[1].rows)} at 1"
    yield Claim(
        where=where,
        statement=f"{name} needs a smaller β on XYSquares than where squares overlap.",
        published="smaller",
        ours=Value(template, {"far": _Range(far), "near": _Range(near)}) if tested else NOTHING,
        provenance=stored.provenance(of_spacing[8], note) if tested else stored.NO_RUNS,
        tolerance="the largest β is smaller at spacing 8 in every run; in direction: in the median",
        within=max(far) < min(near) if tested else None,
        direction=tested and bool(np.median(far) < np.median(near)),
        anchor=anchor,
        why=f"below a KL of {ALIVE} nats per latent posteriors equal the prior and hold nothing",
        beyond=True,
    )
    for spacing, picked in of_spacing.items():
        yield _bound(picked, spacing, name, where, anchor)


@claim("Section 5.3, warm-up")
def warm_up(store: Store) -> Iterator[Claim]:
    """Whether networks hold what they learned before beta had grown, up to the predicted beta."""
    yield from _warm_up("Images", store.best("warmup"), "beta-vae", _IMAGES)
    for framework in stored.FRAMEWORKS:
        runs = store.runs("warmup", "coordinates")
        yield from _warm_up("No pixels", runs, framework, f"{_PAGE}#found-or-held")


def _warm_up(title: str, runs: RunTable | None, framework: str, anchor: str) -> Iterator[Claim]:
    for spacing in (1, 8):
        picked = stored.subset(runs, framework=framework, grid_spacing=spacing)
        name = f"{title}, with warm-up: {stored.FRAMEWORKS[framework]}"
        yield _bound(picked, spacing, name, "Section 5.3, warm-up", anchor)


@claim("Section 5.3, limit")
def limits(store: Store) -> Iterator[Claim]:
    """Whether learning ends where no code pays, if beta grows, and no network learns beyond."""
    where = "Section 5.3, limit"
    anchor = f"{_PAGE}#where-no-code-pays"
    runs = store.runs("limits", "coordinates")
    for spacing in (2, 4, 6):
        of_spacing = stored.subset(runs, grid_spacing=spacing)
        constant = stored.subset(of_spacing, lambda row: not row["warmup"])
        growing = stored.subset(of_spacing, lambda row: bool(row["warmup"]))
        yield _bound(constant, spacing, "No pixels, constant β", where, anchor)
        yield _bound(growing, spacing, "No pixels, β that grows", where, anchor, _no_code_pays)
    images = stored.subset(store.best("limits"), grid_spacing=8)
    yield _bound(images, 8, "Images, β that grows for long", where, _IMAGES, _no_code_pays)
    studies = ("beta", "warmup", "limits")
    yield _none_learns("No pixels", [store.runs(name, "coordinates") for name in studies], where)
    yield _none_learns("Images", [store.best(name) for name in studies], where)


def _none_learns(title: str, studies: list[RunTable | None], where: str) -> Claim:
    beyond = [
        row
        for runs in studies
        for row in stored.subset(runs).rows
        if row["beta"] > _no_code_pays(row["data_options"]["grid_spacing"], row["latents"])
    ]
    alive = sum(row["final_kl"] > ALIVE for row in beyond)
    n = len(beyond)
    return Claim(
        where=where,
        statement=f"{title}: no network learns at a β at which no code pays.",
        ours=Value("{alive} of {n} learnt", {"alive": alive, "n": n}) if beyond else NOTHING,
        provenance=Provenance(f"{n} runs, of every study of β on this page")
        if beyond
        else stored.NO_RUNS,
        tolerance=f"no KL above {ALIVE} nats per latent; in direction: one in ten at most",
        within=not alive if beyond else None,
        direction=alive <= n / 10,
        anchor=f"{_PAGE}#where-no-code-pays",
        why="the limit holds at the minimum of the loss, not for networks on their way there",
        beyond=True,
    )


class _Range(tuple):
    """The smallest and largest of some betas; 0 reads "none"."""

    def __new__(cls, values: list[float]) -> _Range:
        return super().__new__(cls, (min(values), max(values)) if values else ())

    def __format__(self, spec: str) -> str:
        low, high = (f"{value:g}" if value else "none" for value in self)
        return low if low == high else f"{low} to {high}"


@functools.cache
def _linear_theory(spacing: int, latents: int) -> float:
    data = load("coordinates", grid_spacing=spacing)
    return bounds.largest_beta(data, latents, samples=len(data))


@functools.cache
def _no_code_pays(spacing: int, latents: int) -> float:
    return bounds.rate_distortion_beta(load("coordinates", grid_spacing=spacing), latents)


def _bound(
    runs: RunTable,
    spacing: int,
    name: str,
    where: str,
    anchor: str,
    predicted: Bound = _linear_theory,
) -> Claim:
    """Return the claim that learning ends at the predicted bound on beta."""
    ends = where_learning_ends(runs.rows)
    ours: Value | str = NOTHING
    within = None
    direction = None
    if ends:
        bound = predicted(spacing, runs.rows[0]["latents"])
        dead = [first for _, first in ends]
        template = "bound {bound:.3f}; learns at {alive}, no more at {dead}"
        if max(dead) == float("inf"):
            template = "bound {bound:.3f}; learns at {alive}, and no larger β was tried"
        alive = _Range([last for last, _ in ends])
        ours = Value(template, {"bound": bound, "alive": alive, "dead": _Range(dead)})
        # a run that still learns at the largest β that was tried, and below the bound, does not
        # show where learning ends
        if all(first < float("inf") or last > bound for last, first in ends):
            within = all(last <= bound < first for last, first in ends)
            direction = all(last / 2 <= bound < first * 2 for last, first in ends)
    rule = "the limit of codes" if predicted is _no_code_pays else "the bound of linear theory"
    return Claim(
        where=where,
        statement=f"{name}, spacing {spacing}: learning ends at the β that perceived distances "
        "foretell.",
        ours=ours,
        provenance=stored.provenance(runs) if ends else stored.NO_RUNS,
        tolerance=f"{rule} is where learning ends; in direction: to a factor of 2",
        within=within,
        direction=direction,
        anchor=anchor,
        why="it ends between two betas a factor of 3 apart, as in Table A4, or of 1.8",
        beyond=True,
    )


@claim("Averaging")
def averaging(store: Store) -> Iterator[Claim]:
    """Whether the conclusion that scores fall with spacing depends on how Ada-GVAE averages."""
    both, second = stored.subset(store.best("fig9")), stored.subset(store.best("averaging"))
    # runs of different lengths say nothing about the average
    if both.profile != second.profile:
        both, second = stored.subset(None), stored.subset(None)
    yield from _falls(both, second, "Images")
    both = stored.subset(store.runs("fig9", "coordinates"))
    yield from _falls(both, stored.subset(store.runs("averaging", "coordinates")), "No pixels")


def _falls(both: RunTable, second: RunTable, title: str) -> Iterator[Claim]:
    both, second = (
        stored.subset(both, framework="ada-gvae"),
        stored.subset(second, framework="ada-gvae"),
    )
    near, second_near = stored.subset(both, grid_spacing=1), stored.subset(second, grid_spacing=1)
    far, second_far = stored.subset(both, grid_spacing=8), stored.subset(second, grid_spacing=8)
    tested = all(runs.rows for runs in (near, far, second_near, second_far))
    note = f" at spacing 1, {len(far.rows)} at 8 with the mean of both"
    for score in stored.SCORES:
        ours: Value | str = NOTHING
        within = None
        direction = None
        if tested:
            fall = intervals.difference(near.values(score), far.values(score))
            second_fall = intervals.difference(second_near.values(score), second_far.values(score))
            within = fall.low > 0 and second_fall.low > 0
            direction = fall.value > 0 and second_fall.value > 0
            template = "mean of both: falls by {fall}; second image's mean: falls by {second_fall}"
            numbers = {"fall": fall, "second_fall": second_fall}
            gap = difference_by_seed(second_near, near, score)
            if gap is not None:
                template += "; second less first at spacing 1: {gap:+.2f}"
                numbers["gap"] = gap
            ours = Value(template, numbers)
        missing = Provenance("no runs of both averages stored")
        yield Claim(
            where="Averaging",
            statement=f"{title}: whichever average Ada-GVAE takes, its {score.upper()} falls from "
            "spacing 1 to 8.",
            published="falls",
            ours=ours,
            provenance=stored.provenance(near, note) if tested else missing,
            tolerance="95 % intervals of both falls above 0; in direction: both medians fall",
            within=within,
            direction=direction,
            anchor="06c_averaging#what-it-does-to-the-scores",
            why="the paper concludes that scores fall, not by how much",
            beyond=True,
        )


def difference_by_seed(one: RunTable, other: RunTable, score: str) -> intervals.Interval | None:
    """Return the median difference of two sets of runs, within seeds; None without a common one."""
    # a GPU draws other numbers than a CPU, so that equal seeds are no pair there
    if len({row.get("device") for row in (*one.rows, *other.rows)}) > 1:
        return intervals.difference(one.values(score), other.values(score))
    first = one.by_seed(score)
    second = other.by_seed(score)
    seeds = sorted(first.keys() & second.keys())
    if not seeds:
        return None
    return intervals.difference(
        [first[seed] for seed in seeds], [second[seed] for seed in seeds], paired=True
    )
