"""What a diagnosis says: the reports on losses, advice, and checks of both."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace

from vaedis._support.brief import WIDTH, fields_repr
from vaedis._support.text import shown_names
from vaedis.diagnosis.loss_report import LossReport

# how many lines `print` shows of a diagnosis
_LINES = 40


@dataclass(frozen=True)
class Advice:
    """What would order the factors that a loss does not order.

    Attributes
    ----------
    factors : tuple of str
    loss : str or None
        The loss that orders most factors of those that were tried; None if none orders more than
        the first.
    ranks : dict of str to dict of str to (float or None)
        Mean rank correlation within traversals under each loss that was tried, for each factor.
    beta : float or None
        A `RunSpec.beta` for that loss.
    code : str
        Lines of Python that train and score a VAE under it.
    text : str
    """

    __repr__ = fields_repr

    factors: tuple[str, ...]
    loss: str | None
    ranks: dict[str, dict[str, float | None]]
    beta: float | None
    code: str
    text: str


@dataclass(frozen=True)
class Check:
    """How small Ada-GVAEs that saw the distances, and pairs drawn by the factors, order them.

    Attributes
    ----------
    loss : str
    ranks, mig : dict of str to float
        Rank correlation of distances between codes with the factor's, within traversals, and the
        mutual information gap, as means over the networks. Empty if there were none.
    surprises : tuple of str
        Factors for which the networks contradict the prediction.
    text : str
        The result in words, or why no networks were trained.
    """

    __repr__ = fields_repr

    loss: str
    ranks: dict[str, float]
    mig: dict[str, float]
    surprises: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Diagnosis:
    """What losses see in a data set: `print` shows one screen of it, `text` returns all.

    Attributes
    ----------
    name : str
    images : int
    shape : (int, int, int)
        Height, width and channels.
    grid : bool
        Whether the images contain every combination of the factors exactly once.
    constant : tuple of str
        Factors with a single value, which are not reported.
    losses : tuple of LossReport
    advice : Advice or None
        For factors that the first loss does not order.
    checks : tuple of Check
        Checks of the first loss and of the recommended loss, if `check` was set.
    notes : tuple of str
        How images and labels were read (`data.LabelledImages.notes`).
    """

    __repr__ = fields_repr

    name: str
    images: int
    shape: tuple[int, int, int]
    grid: bool
    constant: tuple[str, ...]
    losses: tuple[LossReport, ...]
    advice: Advice | None = None
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def measured(self) -> bool:
        """Whether the order of every factor was measured under every loss."""
        return all(report.measured for report in self.losses)

    def displayed(self) -> Diagnosis:
        """Return a copy for display: its names are short, plain and distinct."""
        names = [self.name, *self.constant]
        for report in self.losses:
            names += [*(f.factor for f in report.factors), *report.unpaired]
        display = shown_names(names)
        losses = tuple(
            replace(
                report,
                factors=tuple(replace(f, factor=display[f.factor]) for f in report.factors),
                why_unpaired={display[name]: why for name, why in report.why_unpaired.items()},
            )
            for report in self.losses
        )
        constant = tuple(display[name] for name in self.constant)
        return replace(self, name=display[self.name], constant=constant, losses=losses)

    def text(self) -> str:
        """Return the whole report, with names as in `displayed`; `diagnosis.save` writes pages."""
        display = self.displayed()
        grid = "a full grid" if display.grid else "no full grid"
        shape = "×".join(map(str, display.shape))
        lines = [f"{display.name}: {display.images:,} images of {shape}, {grid}"]
        if display.constant:
            lines.append(f"left out, as they have one value: {', '.join(display.constant)}")
        lines += display.notes
        for report in display.losses:
            lines += ["", *report._lines()]
        if display.advice:
            code = textwrap.indent(display.advice.code, "    ")
            lines += ["", display.advice.text, "", *code.splitlines()]
        lines += ["", *(check.text for check in display.checks)]
        return "\n".join(lines).rstrip()

    def __str__(self) -> str:
        """Return one screen of `text`: prose wrapped, no code, and nothing after the 40th line."""
        display = self
        if self.advice and self.advice.code:
            pointer = "print(diagnosis.advice.code)  # lines that train a VAE under it"
            display = replace(self, advice=replace(self.advice, code=pointer))
        lines: list[str] = []
        for line in display.text().splitlines():
            is_row = "  " in line.strip()  # of a table, whose columns would no longer be columns
            wrapped = textwrap.wrap(line, WIDTH, subsequent_indent="    ")
            lines += [line] if is_row or not wrapped else wrapped
        if len(lines) > _LINES:
            rest = f"… and {len(lines) - _LINES + 1} more lines: print(diagnosis.text())"
            lines = [*lines[: _LINES - 1], rest]
        return "\n".join(lines)
