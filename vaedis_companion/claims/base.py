"""What a claim is, how it is judged, and which functions make the claims."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vaedis_companion.store import Store

VERDICTS = ("reproduced", "in direction", "not reproduced", "not tested", "needs the originals")
NO_VALUE = "–"
"""Stands for a number that the paper does not print, or that was not measured."""

# the rank correlation above which latents are called "ordered", as in the paper's words; fixed
# before any was computed
ORDERED = 0.5
WHY_ORDERED = (
    "the paper says it in words; 0.5, half of a perfect order, is our line between the words"
)

PLACES = {
    "Figure 3": "distances along factors",
    "Figure 4": "the same order at every level of a network",
    "Figure 4, other data": "the same order in networks on data made here",
    "Section 5.1": "constant distances",
    "Figure 6": "scores on five data sets",
    "Figure 6, sixteen settings": "the best of all settings, beside the paper's best",
    "Figure 6, stand-ins": "scores on stand-ins, beside XYSquares",
    "Section 5.3": "what networks learn where all distances are equal",
    "Figure 8": "distances as squares come closer",
    "Figure 9": "scores as squares come closer",
    "Section 6.1": "blur puts distances in order",
    "Figure 10": "order inside networks with blur",
    "Figure 11": "scores with and without blur",
    "Section 7": "the same images under other factors",
    "Section 8": "data and loss decide",
    "Figure A1": "distributions of distances",
    "Table A1": "the importance of factors",
    "Appendix A": "the order in which factors are learnt",
    "Appendix A, stand-ins": "the order of learning on stand-ins",
    "Table A2": "normalisation",
    "Figure 9, no pixels": "scores as squares come closer, of networks that see distances only",
    "Section 5.3, no pixels": "latents' order and the end of learning, without pixels",
    "Section 5.3, bound": "the β at which learning ends",
    "Section 5.3, warm-up": "the same with a β that grows",
    "Section 5.3, limit": "where no code pays",
    "Section 5.3, long runs": "whether the order of latents goes away in training",
    "Figure 9, longer": "a middle spacing, four times as long",
    "Figure 11, longer": "scores with and without blur, four times as long",
    "Figure 11, no pixels": "scores with and without blur, of networks that see distances only",
    "Averaging": "two averages, one conclusion",
}
"""What the claims of each place are about, in the order in which claims are listed."""

FOLLOW = "On the benchmark data sets perceived distances follow the factors"
CONSTANT = "On XYSquares they are constant along a factor"
FAIL = "VAEs fail on XYSquares"
CLOSER = "Closer squares bring disentanglement back"
BLUR = "Box blur in the loss brings it back, too"
NO_PIXELS = "Distances alone, without pixels, do the same (ours)"
ARGUMENT = (FOLLOW, CONSTANT, FAIL, CLOSER, BLUR, NO_PIXELS)
"""The steps of the paper's argument."""


class _Formatter(string.Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        return "none" if value is None else super().format_field(value, format_spec)


@dataclass(frozen=True)
class Value:
    """Numbers of a claim, and the words in which a page gives them.

    `template` is as for `str.format`, with the names of the numbers; None reads "none".

    Examples
    --------
    >>> value = Value("rank {rank:.2f}", {"rank": 0.654})
    >>> str(value), value.numbers["rank"]
    ('rank 0.65', 0.654)
    """

    template: str
    numbers: Mapping[str, Any]

    def __str__(self) -> str:
        return _Formatter().vformat(self.template, (), self.numbers)


@dataclass(frozen=True)
class Provenance:
    """How the number of a claim was obtained: from stored runs, or as `method` says.

    `method` is "exact", a size of sample, or why there is no number. `n` runs of a `profile`
    finished, of these `steps`, and others `failed`. `needs` is the command that makes the claim
    testable where only images of the paper's data set are missing.

    Examples
    --------
    >>> print(Provenance("", "laptop", n=5, steps=(2_000,), failed=1))
    laptop: 5 runs of 2,000 steps, 1 failed
    """

    method: str
    profile: str = ""
    n: int = 0
    steps: tuple[int, ...] = ()
    failed: int = 0
    needs: str = ""

    def __str__(self) -> str:
        if not self.n:
            return self.method
        text = runs_in_words([self])
        if self.failed:
            text += f", {self.failed} failed"
        return text + self.method


def runs_in_words(bases: Sequence[Provenance]) -> str:
    """Return the profile and steps of runs, the same in all, and the least and the largest number.

    Examples
    --------
    >>> runs_in_words([Provenance("", "laptop", n, (2_000,)) for n in (5, 2)])
    'laptop: 2 to 5 runs of 2,000 steps'
    """
    least, most = (end(basis.n for basis in bases) for end in (min, max))
    n = str(most) if least == most else f"{least} to {most}"
    lengths = "/".join(f"{n:,}" for n in bases[0].steps)
    return f"{bases[0].profile}: {n} run{'s' if most > 1 else ''} of {lengths} steps"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A statement of the paper, in our words, beside what was measured here.

    `where` is one of `PLACES`. `published` and `here` are a str where there are words and no
    number; `provenance` says how `here` was obtained. `tolerance` is what counts as reproduced,
    numbers of this claim or a rule in words, and `why` its reason. `within` says whether our number
    is within it, None if there is nothing to judge by; `direction` whether the comparison that the
    paper makes comes out the same way. The numbers are computed under `anchor`, as in
    ``"page#heading"``. `beyond` marks what this book adds: other data, inputs or variants.
    """

    where: str
    statement: str
    published: Value | str = NO_VALUE
    here: Value | str = NO_VALUE
    provenance: Provenance
    tolerance: Value | str
    why: str
    within: bool | None = None
    direction: bool | None = None
    anchor: str
    beyond: bool = False

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`."""
        if self.within is None:
            return "needs the originals" if self.provenance.needs else "not tested"
        if self.within:
            return "reproduced"
        return "in direction" if self.direction else "not reproduced"

    @property
    def tested(self) -> bool:
        """Whether there was anything to judge by."""
        return self.within is not None

    @property
    def chapter(self) -> str:
        """The page of `anchor`."""
        return self.anchor.partition("#")[0]


@dataclass(frozen=True)
class Maker:
    """A function that makes the claims of some places, and the step that they support."""

    make: Callable[[Store], Iterator[Claim]]
    places: tuple[str, ...]
    step: str = ""


MAKERS: list[Maker] = []


def claim(*places: str, step: str = "") -> Callable[..., Callable[[Store], Iterator[Claim]]]:
    """Register a function that yields all claims of some places.

    The places are those of its claims, the first of which decides where the claims are listed; the
    step is one of `ARGUMENT`, if the claims support one.
    """

    def register(make: Callable[[Store], Iterator[Claim]]) -> Callable[[Store], Iterator[Claim]]:
        MAKERS.append(Maker(make, places, step))
        MAKERS.sort(key=lambda maker: list(PLACES).index(maker.places[0]))
        return make

    return register
