"""Advice on a loss: which other one orders more factors, and the lines that train under it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vaedis import losses
from vaedis._support.text import distinct, shown_name
from vaedis.data.base import FactorData
from vaedis.diagnosis.loss_report import UNMEASURED, FactorReport, LossReport, both_betas
from vaedis.diagnosis.report import Advice
from vaedis.distances import factor_distances
from vaedis.losses import BoxBlur, GaussianBlur, Loss, Pyramid, properties
from vaedis.spec import RunSpec
from vaedis.training.model import build

# No loss tells equal images apart, so no other one helps an invisible factor.
_HOPELESS = ("invisible", UNMEASURED)
# Beta, as a share of what the faintest factor is worth: small enough for a latent of its own.
_SHARE = 1 / 30
# Distances between neighbours over the mean: 0.5 if five values lie evenly on a line.
_CLEAR = 0.75
_TRAVERSALS = 64


def remedies(radii: Sequence[int]) -> list[list[Loss]]:
    """Return losses that may order more, in families, each from the shortest reach on."""
    return [
        [BoxBlur(radius=radius) for radius in radii],
        [GaussianBlur(sigma=radius / 2) for radius in radii],
        [Pyramid(levels=n) for n in dict.fromkeys(radius.bit_length() + 1 for radius in radii)],
    ]


def advise(
    data: FactorData,
    reports: Sequence[tuple[Loss, LossReport]],
    families: Sequence[Sequence[Loss]],
    try_out: Callable[[Loss], LossReport],
    measure: Callable[[Loss], LossReport],
) -> tuple[Advice | None, tuple[Loss, LossReport] | None]:
    """Return advice on the first loss, and the loss that it advises with its report, if any.

    Losses are tried out on few traversals. One is advised only as it is measured, as the first was.
    """
    first = reports[0][1]
    hidden_factors = [
        f.factor for f in first.factors if not f.visible and f.verdict not in _HOPELESS
    ]
    if not hidden_factors:
        return None, None
    candidates = list(reports)
    for family in families:
        for loss in family:
            # one that was given is not tried again, on fewer traversals
            report = next((report for other, report in candidates if other == loss), None)
            if report is None:
                report = try_out(loss)
                candidates.append((loss, report))
            if _merit(report, hidden_factors)[1] == len(hidden_factors):
                break
    candidates = _named_apart(candidates)
    measured = [loss for loss, _ in reports]
    loss, best = _best(reports, candidates, hidden_factors)
    while loss not in measured and len(_ordered(best)) > len(_ordered(first)):
        measured.append(loss)
        report = dataclasses.replace(measure(loss), loss=best.loss)
        candidates[candidates.index((loss, best))] = loss, report
        loss, best = _best(reports, candidates, hidden_factors)
    ranks = {
        report.loss: {f.factor: _rank(f) for f in report.factors if f.factor in hidden_factors}
        for _, report in candidates[1:]
    }
    if len(_ordered(best)) <= len(_ordered(first)):
        finding = _finding(first, [report for _, report in candidates[1:]], hidden_factors)
        text = f"{', '.join(map(shown_name, hidden_factors))}: {finding}"
        return Advice(tuple(hidden_factors), None, ranks, None, "", text), None
    latents = latents_for(data)
    beta = fitting_beta(data, loss, best, latents)
    text = _sentence(first, best, hidden_factors, ranks[best.loss])
    text += f" A beta for it: {both_betas(beta, latents, math.prod(data.shape))}."
    code = _code(data, loss, best.loss, beta, latents)
    return Advice(tuple(hidden_factors), best.loss, ranks, beta, code, text), (loss, best)


def _best(
    given: Sequence[tuple[Loss, LossReport]],
    candidates: Sequence[tuple[Loss, LossReport]],
    hidden_factors: Sequence[str],
) -> tuple[Loss, LossReport]:
    """Return the loss that helps most, with its report: a given one if it helps as many factors."""
    best_of_given = max(given, key=lambda pair: _merit(pair[1], hidden_factors))
    best = max(candidates, key=lambda pair: _merit(pair[1], hidden_factors))
    if _merit(best_of_given[1], hidden_factors)[:2] == _merit(best[1], hidden_factors)[:2]:
        return best_of_given
    return best


def _finding(first: LossReport, others: list[LossReport], hidden_factors: Sequence[str]) -> str:
    """Say what the other losses do for hidden factors where none of them orders more factors."""
    if not others:
        return "no other loss was tried."
    hidden = set(hidden_factors)
    best = max(others, key=lambda report: (len(_ordered(report) & hidden), len(_ordered(report))))
    if _ordered(best) & hidden:
        gained, lost = (
            ", ".join(map(shown_name, sorted(names)))
            for names in (_ordered(best) & hidden, _ordered(first) - _ordered(best))
        )
        finding = f"{best.loss} orders {gained}, but no longer {lost}"
        return f"{finding}; no loss that was tried orders more factors than {first.loss}."
    finding = f"none of {len(others)} other losses that were tried brings order"
    verdicts = {f.verdict for report in others for f in report.factors if f.factor in hidden}
    if "partly ordered" in verdicts:
        return f"{finding} to all distances, though some bring it in part."
    return f"{finding}; the values may have no order in pixels at all, as with names of objects."


def _named_apart(candidates: list[tuple[Loss, LossReport]]) -> list[tuple[Loss, LossReport]]:
    """Return losses with reports of different names: two of one radius may differ in weight."""
    names = distinct(report.loss for _, report in candidates)
    return [
        (loss, dataclasses.replace(report, loss=name))
        for (loss, report), name in zip(candidates, names, strict=True)
    ]


def _sentence(
    first: LossReport,
    best: LossReport,
    hidden_factors: Sequence[str],
    ranks: dict[str, float | None],
) -> str:
    """Say what the best loss orders that the first does not, and what it does not order."""
    ordered = [name for name in hidden_factors if name in _ordered(best)]
    known = [rank for name in ordered if (rank := ranks[name]) is not None]
    text = f"{', '.join(map(shown_name, ordered))}: {best.loss} would order what {first.loss} "
    text += f"does not (rank correlation {min(known):.2f} or more)" if known else "does not"
    options = {
        "no order yet": set(hidden_factors) - _ordered(best),
        "no longer in order": _ordered(first) - _ordered(best),
    }
    for start, names in options.items():
        if names:
            text += f"; {start}: {', '.join(map(shown_name, sorted(names)))}"
    return f"{text}."


def _rank(f: FactorReport) -> float | None:
    """Return the rank correlation that the verdict rests on."""
    return f.within_circle.mean if f.verdict == "circular" else f.within.mean


def _ordered(report: LossReport) -> set[str]:
    return {f.factor for f in report.factors if f.visible}


def _merit(report: LossReport, hidden_factors: Sequence[str]) -> tuple[int, int, float]:
    """Return what a remedy is chosen by, the more the better.

    That is how many factors it orders, how many hidden ones it makes clear, and the least share.
    """
    helped = [f for f in report.factors if f.visible and f.factor in hidden_factors]
    # ranks alone may rest on differences that no network sees
    clear = sum(
        f.verdict == "ordered" and (f.values == 2 or _are_neighbours_clear(f)) for f in helped
    )
    return len(_ordered(report)), clear, min((f.share for f in helped), default=0.0)


def _are_neighbours_clear(factor: FactorReport) -> bool:
    """Return whether neighbours are clearly closer, by distances beyond that of equal images."""
    of_self = float(np.nanmean(factor.matrix.diagonal()))
    return factor.neighbours - of_self <= _CLEAR * (factor.importance - of_self)


def latents_for(data: FactorData) -> int:
    """Return how many latents to train with: the paper's 9, or more if there are more factors."""
    return max(RunSpec().latents, len(data.factors.names))


def fitting_beta(data: FactorData, loss: Loss, report: LossReport, latents: int) -> float:
    """Return a `RunSpec.beta` at which each factor that a loss orders is worth a latent."""
    names = sorted(_ordered(report)) or [f.factor for f in report.factors]
    distances_of = factor_distances(
        data,
        loss,
        factors=names,
        traversals=_TRAVERSALS,
        normalize=not loss.unit_range,
    )
    differences = [one.mean_beyond for one in distances_of.values()]
    # Values d apart on average have a variance of about d / 2, which pays to first order below a
    # beta of latents * d (`largest_beta`). A thirtieth of the smallest leaves room.
    return float(f"{_SHARE * latents * max(min(differences), 0.0):.2g}")


def _code(data: FactorData, loss: Loss, name: str, beta: float, latents: int) -> str:
    """Return lines that train and score a VAE under a loss, to be pasted and run."""
    is_own = properties.is_own(loss)
    fields = {} if is_own else {"loss": repr(loss.name), "loss_options": repr(_options(loss))}
    fields |= {
        "framework": repr("ada-gvae" if data.grid else "beta-vae"),
        "beta": repr(beta),
        "latents": repr(latents),
        "model": repr(_model(data, latents)),
        "steps": "20_000",
        "batch": "64",
    }
    arguments = [f"    {field}={value}," for field, value in fields.items() if value != "{}"]
    source = f"data = {data.made_by}"
    if data.made_by is None:
        source = "# data is what you gave to vd.diagnose"
    return "\n".join(
        [
            "import vaedis as vd",
            "",
            source,
            *([f"# loss is {shown_name(name)!r}, as you gave it to vd.diagnose"] if is_own else []),
            "spec = vd.RunSpec(",
            *arguments,
            ")",
            f"run = vd.fit(spec, data=data{', loss=loss' if is_own else ''})",
            'print(run.scores(["mig"]))',
            "",
        ]
    )


def _model(data: FactorData, latents: int) -> str:
    """Return the convolutional network's name if it takes images of this size."""
    try:
        build("conv", data.shape, latents)
    except ValueError:
        return "mlp"
    return "conv"


def _options(loss: Loss) -> dict[str, Any]:
    """Return the options that make one of the package's losses, without those that do nothing."""
    options = dict(vars(loss))
    for name in list(options):
        remaining_options = {other: value for other, value in options.items() if other != name}
        if losses.get(loss.name, **remaining_options) == loss:
            options = remaining_options
    return {name: int(v) if float(v).is_integer() else v for name, v in options.items()}
