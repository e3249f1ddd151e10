"""What the paper claims, and whether it holds here.

Verdicts are computed from the store and from published numbers, with tolerances that were stated
before.

A verdict is one of

- ``reproduced``: the number lies within the tolerance;
- ``in direction``: it does not, but the comparison that the paper makes comes out the same way;
- ``not reproduced``: neither;
- ``needs the originals``: only images of the paper's data set are missing, which a stand-in
  never replaces; the claim's provenance has the command that tests it.
- ``not tested``: there are no runs, or no data at all.
"""

from __future__ import annotations

from collections.abc import Iterable

from vaedis import _check

# these modules register their claims
from vaedis_companion.claims import (  # noqa: F401
    benchmarks,
    beyond,
    latents,
    pools,
    scores,
    xysquares,
)
from vaedis_companion.claims.base import (
    ARGUMENT,
    MAKERS,
    PLACES,
    VERDICTS,
    Claim,
    Provenance,
    Value,
)
from vaedis_companion.claims.page import html_table, scoreboard
from vaedis_companion.store import Store

__all__ = [
    "PLACES",
    "VERDICTS",
    "Claim",
    "Provenance",
    "Value",
    "all_claims",
    "argument",
    "by_place",
    "html_table",
    "scoreboard",
]


def all_claims(
    store: Store | None = None, *, where: str | Iterable[str] | None = None
) -> list[Claim]:
    """Return all claims in the order of the paper, those that go beyond it last.

    Nothing is trained, downloaded or drawn for them. Claims are judged by `Store.best`, and those
    of Figures 9, 10 and 11, Section 8 and the order of latents in Section 5.3 by long runs where
    there are enough (`claims.stored.longest`); damaged runs count as missing. `where` picks claims
    of a place or some, such as ``"Figure 9"``; the others are not computed.

    Examples
    --------
    >>> claim, = all_claims(where="Section 5.1")
    >>> str(claim.here), claim.here.numbers["adversarial"], claim.verdict
    ('6 of 6 factors', 6, 'reproduced')
    """
    places = list(PLACES if where is None else _check.listed(where))
    for place in places:
        _check.one_of("place of claims", place, PLACES)
    store = store or Store()
    makers = [maker for maker in MAKERS if set(places) & set(maker.places)]
    claims = [claim for maker in makers for claim in maker.make(store)]
    return [claim for claim in claims if claim.where in places]


def by_place(claims: Iterable[Claim], *places: str) -> dict[str, list[Claim]]:
    """Return the claims of some places, grouped under what each place is about, for `scoreboard`.

    Examples
    --------
    >>> groups = by_place(all_claims(where="Figure 8"), "Figure 8")
    >>> {title: len(group) for title, group in groups.items()}
    {'Figure 8: distances as squares come closer': 1}
    """
    claims = list(claims)
    return {
        f"{place}: {PLACES[place]}": [claim for claim in claims if claim.where == place]
        for place in places
    }


def argument(store: Store | None = None) -> dict[str, list[Claim]]:
    """Return the claims that each step of the paper's argument rests on, for `scoreboard`."""
    store = store or Store()
    steps: dict[str, list[Claim]] = {step: [] for step in ARGUMENT}
    for maker in MAKERS:
        if maker.step:
            steps[maker.step] += maker.make(store)
    return steps
