"""What the paper claims, and whether it holds here: verdicts computed from the store and from the
published numbers, never written by hand.

Tolerances are stated with each claim. A verdict is one of

- ``reproduced``: the number lies within the tolerance of the published one (or within the published range widened by it);
- ``in direction``: it does not, but the comparison that the paper makes with it comes out the same way;
- ``not reproduced``: neither;
- ``not tested``: there are no runs, or no data that could be called the paper's data set.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator

from vaedis import _check
from vaedis._files import DamagedFile
from vaedis_companion.claims import (
    benchmarks,
    beyond,
    latents,
    learning,
    scores,
    subjective,
    tables_a,
    xysquares,
)
from vaedis_companion.claims.base import VERDICTS, Claim, verdict
from vaedis_companion.claims.page import html_table, scoreboard
from vaedis_companion.store import Store

__all__ = [
    "VERDICTS",
    "Claim",
    "all_claims",
    "argument",
    "by_place",
    "html_table",
    "scoreboard",
    "verdict",
]

# what the claims of a place are about
_ABOUT = {
    "Figure 3": "distances along factors",
    "Figure 4": "the same order at every level of a network",
    "Figure 4, other data": "the same, of networks on data made here",
    "Section 5.1": "constant distances",
    "Figure 6": "scores on five data sets",
    "Figure 6, stand-ins": "the same, beside stand-ins",
    "Section 5.3": "what constant distances leave",
    "Section 5.3, no pixels": "the same, of networks that see distances only",
    "Section 5.3, bound": "where learning ends",
    "Section 5.3, warm-up": "where it ends with a β that grows",
    "Section 5.3, limit": "where no code pays",
    "Figure 8": "distances as squares come closer",
    "Figure 9": "scores as squares come closer",
    "Figure 9, longer": "a middle spacing, four times as long",
    "Figure 9, no pixels": "the same, of networks that see distances only",
    "Section 6.1": "blur puts distances in order",
    "Figure 10": "order inside networks with blur",
    "Figure 11": "scores with and without blur",
    "Figure 11, longer": "the same, four times as long",
    "Figure 11, no pixels": "the same, of networks that see distances only",
    "Section 7": "the same images under other factors",
    "Section 8": "data and loss decide",
    "Figure A1": "distributions of distances",
    "Table A1": "the importance of factors",
    "Appendix A": "the order in which factors are learnt",
    "Appendix A, stand-ins": "the same, on stand-ins",
    "Table A2": "normalisation",
    "Averaging": "two averages, one conclusion",
}

# the steps of the paper's argument, as groups of claims: places, and how a statement of each begins
_ARGUMENT: dict[str, dict[str, tuple[str, ...]]] = {
    "On the benchmark data sets perceived distances follow the factors": {
        "Figure 3": ("",),
        "Table A1": ("",),
        "Figure A1": ("",),
    },
    "On XYSquares they are constant along a factor": {"Section 5.1": ("",), "Figure 8": ("",)},
    "There VAEs fail": {"Figure 6": ("XYSquares",)},
    "Closer squares bring disentanglement back": {
        "Figure 9": ("",),
        "Section 8": ("The data decide",),
        "Figure 9, longer": ("",),
    },
    "So does blur in the loss": {
        "Section 6.1": ("",),
        "Figure 11": ("",),
        "Section 8": ("The loss decides",),
        "Figure 11, longer": ("",),
    },
    "Distances do this without any pixels (ours)": {
        "Figure 9, no pixels": ("",),
        "Figure 11, no pixels": ("",),
    },
}

# in the order of the paper; each with all the places that its claims can name
_MAKERS: tuple[tuple[Callable[[Store], Iterator[Claim]], tuple[str, ...]], ...] = (
    (benchmarks.figure3, ("Figure 3",)),
    (latents.figure4, ("Figure 4", "Figure 4, other data")),
    (xysquares.section_5_1, ("Section 5.1",)),
    (scores.figure6, ("Figure 6", "Figure 6, stand-ins")),
    (latents.order_at_spacing_8, ("Section 5.3",)),
    (scores.smaller_beta, ("Section 5.3",)),
    (xysquares.figure8, ("Figure 8",)),
    (scores.figure9, ("Figure 9",)),
    (xysquares.section_6_1, ("Section 6.1",)),
    (latents.figure10, ("Figure 10",)),
    (scores.figure11, ("Figure 11",)),
    (subjective.section_7, ("Section 7",)),
    (scores.section_8, ("Section 8",)),
    (benchmarks.figure_a1, ("Figure A1",)),
    (tables_a.table_a1, ("Table A1",)),
    (learning.appendix_a, ("Appendix A", "Appendix A, stand-ins")),
    (tables_a.table_a2, ("Table A2",)),
    (beyond.no_pixels_9, ("Figure 9, no pixels",)),
    (beyond.no_pixels_order, ("Section 5.3, no pixels",)),
    (beyond.largest_beta, ("Section 5.3, bound", "Section 5.3, no pixels")),
    (beyond.warm_up, ("Section 5.3, warm-up",)),
    (beyond.limits, ("Section 5.3, limit",)),
    (scores.longer_9, ("Figure 9, longer",)),
    (scores.longer_11, ("Figure 11, longer",)),
    (beyond.no_pixels_11, ("Figure 11, no pixels",)),
    (beyond.averaging, ("Averaging",)),
)


def all_claims(
    store: Store | None = None, *, where: str | Iterable[str] | None = None
) -> list[Claim]:
    """Return all claims in the order of the paper, those that go beyond it last.

    Parameters
    ----------
    store : Store, optional
        Where runs are taken from: of each experiment, those of the largest profile that has any.
    where : str or iterable of str, optional
        Only claims of this place or these, such as ``"Figure 9"``; the others are not computed.
        Those about distances on benchmark data sets (Figures 3 and A1, Tables A1 and A2) are read
        from ``results/distances``; of images of which nothing is kept there a sample is measured,
        once a process, which takes up to half a minute.

    Returns
    -------
    list of Claim
        Nothing is trained, downloaded or drawn for them. Where what is stored does not suffice, as
        when files are damaged, a claim says so, and a warning why.

    Raises
    ------
    ValueError
        If there is no such place.
    """
    store = store or Store()
    wanted = None if where is None else set(_check.listed(where))
    unknown = (wanted or set()) - {place for _, places in _MAKERS for place in places}
    if unknown:
        known = ", ".join(dict.fromkeys(place for _, places in _MAKERS for place in places))
        raise ValueError(
            f"no claims are made about {', '.join(sorted(unknown))}; choose from {known}."
        )
    made = (
        claim
        for make, places in _MAKERS
        if wanted is None or wanted & set(places)
        for claim in _made(make, places, store)
    )
    return [claim for claim in made if wanted is None or claim.where in wanted]


def _made(
    make: Callable[[Store], Iterator[Claim]], places: tuple[str, ...], store: Store
) -> list[Claim]:
    """Return claims, or if they cannot be made one for each place that says so: what is damaged
    must not take the others with it.
    """
    try:
        return list(make(store))
    except (
        ArithmeticError,
        AssertionError,
        AttributeError,
        LookupError,
        OSError,
        TypeError,
        ValueError,
    ) as problem:
        reason = f"{type(problem).__name__}: {problem}"
        warnings.warn(
            f"No claims could be made about {', '.join(places)} ({reason}); bring back what they rest on with: git checkout results",
            DamagedFile,
            stacklevel=3,
        )
        return [_not_made(place) for place in places]


def _not_made(place: str) -> Claim:
    return Claim(
        where=place,
        statement=f"{place}: {_ABOUT[place]}",
        published="–",
        ours="–",
        scale="what it rests on is damaged or missing; git checkout results brings it back",
        tolerance="none",
        verdict=verdict(None),
        cell="reproduction#what-was-not-tested",
        why="nothing can be judged",
        beyond="," in place,
    )


def by_place(claims: Iterable[Claim], *places: str) -> dict[str, list[Claim]]:
    """Return claims of some places, in groups of one place each that say what it is about, for
    `scoreboard`.
    """
    groups: dict[str, list[Claim]] = {place: [] for place in places}
    for claim in claims:
        if claim.where in groups:
            groups[claim.where].append(claim)
    return {f"{place}: {_ABOUT[place]}": found for place, found in groups.items()}


def argument(store: Store | None = None) -> dict[str, list[Claim]]:
    """Return the claims that each step of the paper's argument rests on, for `scoreboard`; other
    claims are not computed.
    """
    claims = all_claims(store, where={place for places in _ARGUMENT.values() for place in places})
    return {
        step: [c for c in claims if c.where in places and c.statement.startswith(places[c.where])]
        for step, places in _ARGUMENT.items()
    }
