"""What this book adds to the paper: networks that see distances and no pixels, and the two averages of Ada-GVAE."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vaedis import no_pixels, statistics
from vaedis.claims._base import SCORES, Claim, scale, subset, verdict
from vaedis.claims._latents import order_claims
from vaedis.claims._scores import loss_claims, spacing_claims
from vaedis.results import Found, Store


def no_pixels_9(store: Store) -> Iterator[Claim]:
    """Figure 9's ranges, judged by networks that see coordinates."""
    yield from spacing_claims(no_pixels.stored("fig9", store), "Figure 9, no pixels", "06b_no_pixels#spacing-without-pixels", beyond=True)


def no_pixels_order(store: Store) -> Iterator[Claim]:
    """Whether constant distances leave an order among latents, judged by networks that see coordinates."""
    found = no_pixels.stored("fig9", store)
    yield from order_claims(store, found, "Section 5.3, no pixels", "06b_no_pixels#is-any-order-left-at-spacing-8", beyond=True)


def no_pixels_11(store: Store) -> Iterator[Claim]:
    """Figure 11's ranges, judged by networks that see coordinates."""
    found = no_pixels.stored("fig11", store)
    yield from loss_claims(found, "Figure 11, no pixels", "06b_no_pixels#the-loss-without-pixels", column="distance", beyond=True)


def averaging(store: Store) -> Iterator[Claim]:
    """Whether the paper's conclusion, that scores fall with spacing, depends on how Ada-GVAE averages."""
    both, second = store.best("fig9"), store.best("averaging")
    # runs of different lengths say nothing about the average
    comparable = both if both and second and both.profile == second.profile else None
    yield from _falls(comparable, second if comparable else None, "Images")
    yield from _falls(no_pixels.stored("fig9", store), no_pixels.stored("averaging", store), "No pixels")


def _falls(both: Found | None, second: Found | None, title: str) -> Iterator[Claim]:
    names = {"mean of both": both, "second image's mean": second}
    ends = {name: [subset(found, framework="ada-gvae", grid_spacing=s) for s in (1, 8)] for name, found in names.items()}
    tested = all(half.rows for halves in ends.values() for half in halves)
    for score in SCORES:
        falls = {name: statistics.difference(*(half.values(score) for half in halves)) for name, halves in ends.items()} if tested else {}
        gap = _by_seed([ends[name][0] for name in reversed(names)], score) if tested else None
        said = [f"{name}: falls by {fall}" for name, fall in falls.items()]
        if gap is not None:
            said.append(f"second less first at spacing 1: {gap:+.2f}")
        near, far = ends["mean of both"]
        yield Claim(
            "Averaging",
            f"{title}: whichever average Ada-GVAE takes, its {score.upper()} falls from spacing 1 to 8.",
            "falls",
            "; ".join(said) or "–",
            f"{scale(near)} at spacing 1, {len(far.rows)} at 8 with the mean of both" if tested else "no runs of both averages stored",
            "95 % intervals of both falls above 0; in direction: both medians fall",
            verdict(all(f.low > 0 for f in falls.values()) if tested else None, tested and all(f.value > 0 for f in falls.values())),
            "06c_averaging#what-it-does-to-the-scores",
            "the paper's conclusion is the fall, not its size; the published runs most likely took the second image's mean",
            beyond=True,
        )


def _by_seed(pair: list[Found], score: str) -> statistics.Interval | None:
    """The median difference of two sets of runs, within each seed if random numbers were the same; None without a common seed."""
    # a GPU draws other numbers than a CPU, so that equal seeds are no pair there
    if len({row.get("device") for found in pair for row in found.rows}) > 1:
        return statistics.difference(*(found.values(score) for found in pair))
    first, second = ({row["seed"]: row[score] for row in found.rows} for found in pair)
    seeds = sorted(first.keys() & second.keys())
    if not seeds:
        return None
    return statistics.difference(np.array([first[s] for s in seeds]), np.array([second[s] for s in seeds]), paired=True)
