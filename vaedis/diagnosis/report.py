"""What a diagnosis says: one report a factor, a loss and a data set; as a table, as JSON, or as a
page.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vaedis._support.output import check_outputs, write_output
from vaedis.distances.result import WithinRank

# A factor whose mean distance is less than this share of that of random pairs is learned late, or
# lost to a large beta.
FAINT = 0.05
UNMEASURED = "not measured"
# each verdict as the summary says it
_KINDS = {
    "ordered": "ordered along a line",
    "circular": "ordered along a circle",
    "partly ordered": "partly ordered",
    "adversarial": "adversarial (all values equally far apart)",
    "unordered": "unordered",
    "invisible": "invisible (no image changes with it)",
}


@dataclass(frozen=True)
class FactorReport:
    """What a loss sees along one factor.

    Attributes
    ----------
    factor : str
    values : int
        How many values the rest of this report tells apart: all of them, or bins of neighbours.
    distinct : int
        How many values the factor has.
    traversals : int
        Groups of images that differ in this factor only, or random parts of large ones.
    exact : bool
        Whether all pairs of images that differ in this factor only were compared.
    importance, importance_error : float
        The mean distance between different values, and the standard error that a sample of
        traversals implies.
    share : float
        `importance` over the mean distance of random pairs.
    neighbours : float
        The mean distance between neighbouring values.
    within, within_circle : WithinRank
        The rank correlation of perceived with ground-truth distances within each traversal, along a
        line and along a circle: its mean and its spread over traversals. The verdict rests on
        these.
    rank, linear, circle_rank : float or None
        The same correlation of all traversals' pairs pooled, as the paper has it. None if constant.
    adversarial : bool
        Whether all distances are equal.
    place : int
        In the order in which factors are expected to be learned, from 1; the last, and of no
        meaning, for an invisible one.
    verdict : {"ordered", "circular", "partly ordered", "unordered", "adversarial", "invisible", "not measured"}
    reason : str
    matrix : ndarray of float64, shape (f, f)
    """

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
    place: int
    verdict: str
    reason: str
    matrix: np.ndarray = field(repr=False)

    @property
    def visible(self) -> bool:
        """Whether a VAE can be expected to order the factor."""
        return self.verdict in ("ordered", "circular")


@dataclass(frozen=True)
class LossReport:
    """What a loss sees in a data set.

    Attributes
    ----------
    loss : str
    random_mean : float
        The mean distance of random pairs.
    random_rank : float or None
        Over the same pairs, the rank correlation with the sum of the factors' differences.
    factors : tuple of FactorReport
        In the order of the data set.
    why_unpaired : dict of str to str
        Factors of which no two images differ in them alone, so that nothing can be said, and why
        that is.
    largest_beta : float or None
        Above this a VAE that starts from nothing learns nothing, to first order
        (`learning.largest_beta`): beta weighs the sum of the KL divergence over latents against the
        sum of the loss over pixels. None if the loss is not a quadratic form.
    """

    loss: str
    random_mean: float
    random_rank: float | None
    factors: tuple[FactorReport, ...]
    why_unpaired: dict[str, str]
    largest_beta: float | None = None

    @property
    def bound(self) -> str:
        """One sentence on the beta above which nothing is learnt; empty if there is none."""
        if self.largest_beta is None:
            return ""
        return (
            f"Starting from nothing, a VAE learns nothing above a beta of about {self.largest_beta:.3g}, which weighs sums: the KL "
            "divergence over latents, and the loss over pixels."
        )

    @property
    def unpaired(self) -> tuple[str, ...]:
        """Factors of which no two images differ in them alone."""
        return tuple(self.why_unpaired)

    @property
    def measured(self) -> bool:
        """Whether the order of every factor was measured."""
        return not self.unmeasured()

    def unmeasured(self) -> dict[str, list[str]]:
        """Return the factors whose order was not measured, by the reason: {reason: factors}."""
        found: dict[str, list[str]] = {}
        for name, reason in self.why_unpaired.items():
            found.setdefault(reason, []).append(name)
        for f in self.factors:
            if f.verdict == UNMEASURED:
                found.setdefault(f.reason, []).append(f.factor)
        return found

    def kinds(self) -> dict[str, list[str]]:
        """Return the factors of each verdict, those that were not measured included: {verdict:
        factors}.
        """
        found = {kind: [f.factor for f in self.factors if f.verdict == kind] for kind in _KINDS}
        found[UNMEASURED] = [name for names in self.unmeasured().values() for name in names]
        return {kind: names for kind, names in found.items() if names}

    def reasons(self) -> dict[str, list[str]]:
        """Return what there is to say about factors that are not plainly ordered: {reason:
        factors}.
        """
        found: dict[str, list[str]] = {}
        for f in self.factors:
            if not f.visible or f.share < FAINT:
                found.setdefault(f.reason, []).append(f.factor)
        return found

    @property
    def verdict(self) -> str:
        """One sentence on all factors: which are ordered and how, which are not, which were not
        measured and why.
        """
        kinds = self.kinds()
        if set(kinds) == {"ordered"}:
            return f"Under {self.loss}, perceived distances follow every factor: they keep no VAE from finding them{self._order}."
        parts = [
            f"{_KINDS[kind]}: {', '.join(names)}"
            for kind, names in kinds.items()
            if kind != UNMEASURED
        ]
        parts += [
            f"not measured: {', '.join(names)} ({reason.rstrip('.')})"
            for reason, names in self.unmeasured().items()
        ]
        if set(kinds) == {UNMEASURED}:
            start = f"Under {self.loss}, nothing can be said of any factor"
        elif set(kinds) & {"ordered", "circular", "partly ordered", UNMEASURED}:
            start = f"Under {self.loss}, perceived distances see the factors as follows"
        else:
            start = f"Under {self.loss}, perceived distances follow no factor"
        return f"{start} – {'; '.join(parts)}{self._order}."

    @property
    def _order(self) -> str:
        """The order in which factors are expected to be learned, for the sentence; empty if they
        are all alike.
        """
        places: dict[int, list[str]] = {}
        for f in sorted(self.factors, key=lambda f: f.place):
            if f.verdict != "invisible":
                places.setdefault(f.place, []).append(f.factor)
        if len(places) < 2:
            return ""
        return f"; learned in the order {', '.join(' = '.join(names) for names in places.values())}"


@dataclass(frozen=True)
class Advice:
    """What would make factors visible that a loss does not order.

    Attributes
    ----------
    factors : tuple of str
    radius : int or None
        The smallest radius of box blur, of those tried, whose loss orders them; None if none does.
    ranks : dict of str to dict of int to (float or None)
        The mean rank correlation within traversals of each factor at each radius.
    text : str
    """

    factors: tuple[str, ...]
    radius: int | None
    ranks: dict[str, dict[int, float | None]]
    text: str


@dataclass(frozen=True)
class Diagnosis:
    """The report: print it, or write it as HTML or JSON.

    Attributes
    ----------
    name : str
    images : int
    shape : (int, int, int)
    grid : bool
        Whether the images are all combinations of the factors, once each.
    constant : tuple of str
        Factors with one value, which were left out.
    losses : tuple of LossReport
    advice : tuple of Advice
        For factors that the first loss does not order.
    notes : tuple of str
        Sentences on what was made of images and labels (`data.LabelledImages.notes`).
    """

    name: str
    images: int
    shape: tuple[int, int, int]
    grid: bool
    constant: tuple[str, ...]
    losses: tuple[LossReport, ...]
    advice: tuple[Advice, ...]
    notes: tuple[str, ...] = ()

    @property
    def measured(self) -> bool:
        """Whether the order of every factor was measured under every loss."""
        return all(report.measured for report in self.losses)

    def __str__(self) -> str:
        """Return the report as text, in which names are plain and short, as in
        `_diagnosis_names.shown`.
        """
        from vaedis.diagnosis.names import shown

        return shown(self)._text()

    def _text(self) -> str:
        lines = [
            f"{self.name}: {self.images:,} images of {'×'.join(map(str, self.shape))}, {'a full grid' if self.grid else 'no full grid'}"
        ]
        if self.constant:
            lines.append(f"left out, as they have one value: {', '.join(self.constant)}")
        lines += self.notes
        for report in self.losses:
            rank = "none" if report.random_rank is None else f"{report.random_rank:.2f}"
            lines += [
                "",
                f"{report.loss}: random pairs {report.random_mean:.4g} apart, rank correlation {rank}",
            ]
            rows = [ROW_NAMES, *(row(f) for f in report.factors)]
            widths = [max(len(r[k]) for r in rows) for k in range(len(ROW_NAMES))]
            lines += [
                "  " + "  ".join(text.ljust(w) for text, w in zip(r, widths, strict=True)).rstrip()
                for r in rows
            ]
            lines += [
                f"  {', '.join(names)}: {reason}" for reason, names in report.reasons().items()
            ]
            if report.unpaired:
                lines += [
                    f"  {', '.join(names)}: {reason}"
                    for reason, names in report.unmeasured().items()
                    if names[0] in report.unpaired
                ]
            lines += ["  " + text for text in (report.verdict, report.bound) if text]
        lines += [""] * bool(self.advice) + [advice.text for advice in self.advice]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain lists, numbers and text that JSON can hold."""
        plain = dataclasses.asdict(self)
        plain["measured"] = self.measured
        for report, found in zip(plain["losses"], self.losses, strict=True):
            report |= {
                "verdict": found.verdict,
                "measured": found.measured,
                "unpaired": found.unpaired,
                "kinds": found.kinds(),
            }
        return _plain(plain)

    def save(
        self,
        *,
        html: str | os.PathLike[str] | None = None,
        json_file: str | os.PathLike[str] | None = None,
    ) -> None:
        """Write the report: one self-contained page that asks for nothing from outside, or JSON.

        Parameters
        ----------
        html, json_file : path, optional
            Plain files or streams, as in `_output.write_output`.
        """
        check_outputs([Path(file) for file in (html, json_file) if file is not None])
        if html is not None:
            from vaedis.diagnosis.page import page

            write_output(Path(html), page(self).encode())
        if json_file is not None:
            write_output(
                Path(json_file),
                (json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n").encode(),
            )


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it, which has no NaN and no infinity: None where there is no
    number.
    """
    if isinstance(value, str):
        # lone surrogates, as in file names that are no UTF-8, are no text
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_plain(key): _plain(v) for key, v in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


ROW_NAMES = (
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


def row(f: FactorReport) -> tuple[str, ...]:
    """Return a factor's line of the table, as text; see `ROW_NAMES`."""
    error = "" if f.exact else f" ± {f.importance_error:.1g}"
    values = str(f.values) if f.distinct == f.values else f"{f.distinct:,} in {f.values} bins"
    # of images that are all alike, and of values of which no neighbours were seen
    share = "none" if math.isnan(f.share) else f"{f.share:.0%}"
    neighbours = "none" if math.isnan(f.neighbours) else f"{f.neighbours:.4g}"
    learned = "never" if f.verdict == "invisible" else f"{f.place}."
    importance = f"{f.importance:.4g}{error}"
    return (
        f.factor,
        values,
        importance,
        share,
        neighbours,
        _ranks(f.within),
        _ranks(f.within_circle),
        learned,
        f.verdict,
    )


def _ranks(within: WithinRank) -> str:
    """Return a mean over traversals and its spread, as text."""
    if within.mean is None:
        return "none"
    return (
        f"{within.mean:.2f}"
        if within.traversals == 1
        else f"{within.mean:.2f} (sd {within.sd:.2f})"
    )
