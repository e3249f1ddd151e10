"""What a loss sees: one report per factor, and one of all factors."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vaedis._support.brief import fields_repr
from vaedis.distances.result import WithinRank

# A factor of a smaller share of random pairs' distance is learned late, or lost to a large beta.
FAINT = 0.05
UNMEASURED = "not measured"
VISIBLE = ("ordered", "circular")
# each verdict as the summary says it
_PHRASES = {
    "ordered": "ordered along a line",
    "circular": "ordered along a circle",
    "partly ordered": "partly ordered",
    "adversarial": "adversarial (all values equally far apart)",
    "unordered": "unordered",
    "invisible": "invisible (no image changes with it)",
}
COLUMNS = (
    "factor",
    "values",
    "importance",
    "of random",
    "neighbours",
    "rank within",
    "circle within",
    "learned",
    "verdict",
)


@dataclass(frozen=True)
class FactorReport:
    """What a loss sees along one factor.

    Attributes
    ----------
    factor : str
    values, distinct : int
        Number of values in the matrix, which may be bins of neighbouring values, and number of
        values of the factor.
    traversals : int
        Groups of images that differ in this factor only, or random parts of large groups.
    exact : bool
        Whether all pairs of images that differ in this factor only were compared.
    importance, importance_error : float
        Mean distance between different values, and its standard error from sampling; NaN from
        fewer than four independent samples.
    share : float
        `importance` over the mean distance of random pairs, both less the mean distance of images
        from themselves.
    neighbours : float
        Mean distance between neighbouring values.
    within, within_circle : WithinRank
        Rank correlation of perceived with ground-truth distances within each traversal, along a
        line and along a circle. The verdict rests on these.
    rank, linear, circle_rank : float or None
        Correlations of all traversals' pairs pooled, as in the paper. None if constant.
    adversarial : bool
        Whether all distances are exactly equal. The verdict ``"adversarial"`` needs less: that they
        are equal within each traversal, or on average.
    learning_order : int
        Position, from 1, in the order in which a VAE is expected to learn the factors. Those that
        a sample does not tell apart share one.
    verdict, reason : str
        "ordered", "circular", "partly ordered", "unordered", "adversarial", "invisible" or "not
        measured", and why, in a sentence.
    matrix : ndarray of float64, shape (values, values)
        Mean perceived distances.
    """

    __repr__ = fields_repr

    factor: str
    values: int
    distinct: int
    traversals: int
    exact: bool
    importance: float
    importance_error: float
    share: float
    neighbours: float
    within: WithinRank
    within_circle: WithinRank
    rank: float | None
    linear: float | None
    circle_rank: float | None
    adversarial: bool
    learning_order: int
    verdict: str
    reason: str
    matrix: np.ndarray = field(repr=False)

    @property
    def visible(self) -> bool:
        """Whether a VAE can be expected to order the factor."""
        return self.verdict in VISIBLE

    def cells(self) -> tuple[str, ...]:
        """Return the factor's row of the table as text."""
        binned = self.distinct != self.values
        # one traversal tells no error
        is_known = not self.exact and not math.isnan(self.importance_error)
        error = f" ± {self.importance_error:.1g}" if is_known else ""
        return (
            self.factor,
            f"{self.distinct:,} in {self.values} bins" if binned else str(self.values),
            f"{self.importance:.4g}{error}",
            "none" if math.isnan(self.share) else f"{self.share:.0%}",
            "none" if math.isnan(self.neighbours) else f"{self.neighbours:.4g}",
            _mean_and_sd(self.within),
            _mean_and_sd(self.within_circle),
            "never" if self.verdict == "invisible" else f"{self.learning_order}.",
            self.verdict,
        )


def _mean_and_sd(within: WithinRank) -> str:
    """Return a mean over traversals, and its spread if there are several, as text."""
    if within.mean is None:
        return "none"
    spread = f" (sd {within.sd:.2f})" if within.traversals > 1 else ""
    return f"{within.mean:.2f}{spread}"


@dataclass(frozen=True)
class LossReport:
    """What a loss sees in a data set.

    Attributes
    ----------
    loss : str
    random_mean, random_rank : float, float or None
        Mean distance of random pairs, and its rank correlation with the factors' differences.
    random_mean_error, random_rank_error : float, float or None
        Their standard errors from sampling pairs; None if the correlation has none.
    factors : tuple of FactorReport
        In the order of the data set.
    why_unpaired : dict of str to str
        Factors for which no two images differ in this factor only, so nothing can be said, with the
        reason.
    largest_beta : float or None
        `diagnosis.largest_beta`; None if the loss is not a quadratic form.
    latents, pixels : int
        What that bound is for: latents of a network, and pixels times channels of an image.
    """

    __repr__ = fields_repr

    loss: str
    random_mean: float
    random_rank: float | None
    factors: tuple[FactorReport, ...]
    why_unpaired: dict[str, str]
    largest_beta: float | None = None
    latents: int = 9
    pixels: int = 1
    random_mean_error: float = math.nan
    random_rank_error: float | None = None

    @property
    def bound(self) -> str:
        """One sentence on the beta above which nothing is learnt; empty if there is none."""
        if self.largest_beta is None:
            return ""
        betas = both_betas(self.largest_beta, self.latents, self.pixels)
        return (
            f"Starting from nothing, a VAE of {self.latents} latents learns nothing above a beta "
            f"of about {betas}."
        )

    @property
    def random(self) -> tuple[str, str]:
        """Mean distance and rank correlation of random pairs, with their errors, as text."""
        mean = f"{self.random_mean:.4g}"
        if self.random_mean_error > 0:
            mean += f" ± {self.random_mean_error:.1g}"
        rank = "none" if self.random_rank is None else f"{self.random_rank:.2f}"
        if self.random_rank is not None and self.random_rank_error is not None:
            rank += f" ± {self.random_rank_error:.1g}"
        return mean, rank

    @property
    def unpaired(self) -> tuple[str, ...]:
        """Factors in which alone no two images differ."""
        return tuple(self.why_unpaired)

    @property
    def measured(self) -> bool:
        """Whether the order of every factor was measured."""
        return not self.unmeasured()

    @property
    def visible(self) -> bool:
        """Whether a VAE can be expected to order every factor."""
        return self.measured and all(f.visible for f in self.factors)

    def unmeasured(self) -> dict[str, list[str]]:
        """Return the factors whose order was not measured: {reason: factors}."""
        unmeasured = [(f.factor, f.reason) for f in self.factors if f.verdict == UNMEASURED]
        return _grouped([*self.why_unpaired.items(), *unmeasured])

    def reasons(self) -> dict[str, list[str]]:
        """Return the reasons why factors are not ordered: {reason: factors}."""
        unlike = [f for f in self.factors if not f.visible or f.share < FAINT]
        return _grouped([*((f.factor, f.reason) for f in unlike), *self.why_unpaired.items()])

    def kinds(self) -> dict[str, list[str]]:
        """Return the factors of each verdict: {verdict: factors}."""
        kinds = {kind: [f.factor for f in self.factors if f.verdict == kind] for kind in _PHRASES}
        kinds[UNMEASURED] = [name for names in self.unmeasured().values() for name in names]
        return {kind: names for kind, names in kinds.items() if names}

    @property
    def verdict(self) -> str:
        """One sentence on all factors: which are ordered, which are not, which are not measured."""
        kinds = self.kinds()
        order = self._learning_order()
        if set(kinds) == {"ordered"}:
            return (
                f"Under {self.loss}, perceived distances follow every factor: they keep no VAE "
                f"from finding them{order}."
            )
        if set(kinds) == {UNMEASURED}:
            start = "nothing can be said of any factor"
        elif set(kinds) & {*VISIBLE, "partly ordered", UNMEASURED}:
            start = "perceived distances see the factors as follows"
        else:
            start = "perceived distances follow no factor"
        parts = [
            f"{phrase}: {', '.join(kinds[kind])}"
            for kind, phrase in _PHRASES.items()
            if kind in kinds
        ]
        parts += [
            f"not measured: {', '.join(names)} ({reason.rstrip('.')})"
            for reason, names in self.unmeasured().items()
        ]
        return f"Under {self.loss}, {start} – {'; '.join(parts)}{order}."

    def _learning_order(self) -> str:
        """Return the end of the sentence, the order of learning; empty if factors are alike."""
        learned = [(f.factor, f.learning_order) for f in self.factors if f.verdict != "invisible"]
        positions = _grouped(sorted(learned, key=lambda pair: pair[1]))
        if len(positions) < 2:
            return ""
        return f"; learned in the order {', '.join(map(' = '.join, positions.values()))}"

    def _lines(self) -> list[str]:
        mean, rank = self.random
        rows = [COLUMNS, *(f.cells() for f in self.factors)] if self.factors else []
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [f"{self.loss}: random pairs {mean} apart, rank correlation {rank}"]
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            lines.append("  " + "  ".join(cells).rstrip())
        lines += [f"  {', '.join(names)}: {reason}" for reason, names in self.reasons().items()]
        return [*lines, *(f"  {text}" for text in (self.verdict, self.bound) if text)]


def both_betas(beta: float, latents: int, pixels: int) -> str:
    """Return a beta in both conventions, as text."""
    of_sums = beta * pixels / latents
    return (
        f"{_three_digits(beta)} (RunSpec.beta), which is {_three_digits(of_sums)} where the KL "
        "divergence is summed over latents and the loss over pixels (RunSpec.beta_sum)"
    )


def _three_digits(number: float) -> str:
    """Return a number rounded to three digits, as in 9,970, without an exponent up to 10^9."""
    rounded = float(f"{number:.3g}")
    return f"{rounded:,.9g}"


def _grouped(pairs: Iterable[tuple[str, Any]]) -> dict[Any, list[str]]:
    """Return the names that share a key, from pairs of both: {key: names}."""
    groups: dict[Any, list[str]] = {}
    for name, key in pairs:
        groups.setdefault(key, []).append(name)
    return groups
