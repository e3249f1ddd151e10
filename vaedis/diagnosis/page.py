"""A diagnosis as one HTML page that asks for nothing from outside: its pictures and its style are
in it.
"""

from __future__ import annotations

import base64
import html
import io
import warnings
from collections.abc import Sequence

from vaedis import plots
from vaedis.diagnosis.names import shown
from vaedis.diagnosis.report import ROW_NAMES, Diagnosis, FactorReport, LossReport, row
from vaedis.distances import ground_truth_matrix

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.25rem; margin-top: 2.2rem; }
.table { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .8rem; border-bottom: 1px solid #ddd; white-space: nowrap; }
.verdict { font-weight: 600; } .good { color: #0a6b4b; } .bad { color: #a3341f; }
img { max-width: 100%; height: auto; background: #fff; } .facts, figcaption { color: #555; font-size: .92em; } figure { margin: 1rem 0; }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #16181c; } .facts, figcaption { color: #aaa; }
  th, td { border-color: #444; } .good { color: #6fd0a8; } .bad { color: #f0937f; } img { border-radius: 4px; padding: .4rem; } }
"""
# in one picture, which has a largest width
_PANELS = 20
# a name that escaped escaping could still load and run nothing
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(found: Diagnosis) -> str:
    """Return the page's text.

    Parameters
    ----------
    found : Diagnosis
        Names that are long or hold control characters are shown as in `shown`.
    """
    found = shown(found)
    kind = (
        "every combination of the factors once"
        if found.grid
        else "not every combination of the factors once"
    )
    parts = [
        f"<h1>Can a VAE find the factors of {_(found.name)}?</h1>",
        f'<p class="facts">{found.images:,} images of {"×".join(map(str, found.shape))}; {kind}.</p>',
    ]
    if found.constant:
        parts.append(f"<p>Left out, as they have one value: {_(', '.join(found.constant))}.</p>")
    parts += [f'<p class="facts">{_(note)}</p>' for note in found.notes]
    for report in found.losses:
        parts += _loss(report)
    if found.advice:
        parts.append(
            "<h2>What would help</h2><ul>"
            + "".join(f"<li>{_(advice.text)}</li>" for advice in found.advice)
            + "</ul>"
        )
    parts.append(
        '<p class="facts">Importance: mean perceived distance between different values of the factor, the others fixed. Of '
        "random: the same over that of random pairs. Rank and circle within: rank correlation of perceived with ground-truth "
        "distances within each traversal, along a line and along a circle, as the mean over traversals and their standard "
        "deviation (sd). Learned: the order in which a VAE is expected to find the factors, largest distance first. That a "
        "factor is ordered is necessary, not sufficient, for a VAE to disentangle it.</p>"
    )
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><meta name="viewport" content="width=device-width">'
        f"<title>{_(found.name)}: perceived distances</title><style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _loss(report: LossReport) -> list[str]:
    good = report.measured and all(f.visible for f in report.factors)
    rank = "none" if report.random_rank is None else f"{report.random_rank:.2f}"
    rows = "".join(
        "<tr>"
        + "".join(
            f'<td class="{"good" if f.visible else "bad"}">{_(t)}</td>'
            if k == 8
            else f"<td>{_(t)}</td>"
            for k, t in enumerate(line)
        )
        + "</tr>"
        for f, line in ((f, row(f)) for f in report.factors)
    )
    head = "".join(f"<th>{name}</th>" for name in ROW_NAMES)
    reasons = "".join(
        f"<li><b>{_(', '.join(names))}</b>: {_(reason)}</li>"
        for reason, names in report.reasons().items()
    )
    parts = [
        f"<h2>{_(report.loss)}</h2>",
        f'<p class="verdict {"good" if good else "bad"}">{_(report.verdict)}</p>',
        f'<p class="facts">Random pairs are {report.random_mean:.4g} apart; their rank correlation with the factors is {rank}. '
        f"{_(report.bound)}</p>",
        f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>',
    ]
    if reasons:
        parts.append(f"<ul>{reasons}</ul>")
    if report.unpaired:
        unmeasured = (
            f"{', '.join(names)}: {reason}"
            for reason, names in report.unmeasured().items()
            if names[0] in report.unpaired
        )
        parts += [f"<p>Not measured: {_(text)}.</p>" for text in unmeasured]
    if report.factors:
        parts += _figures(report.factors)
    return parts


def _figures(factors: Sequence[FactorReport]) -> list[str]:
    figures = []
    for start in range(0, len(factors), _PANELS):
        some = factors[start : start + _PANELS]
        names = ", ".join(f.factor for f in some)
        figures.append(
            f'<figure><img alt="Matrices of distances along {_(names)}: ground truth above, perceived below" src="{_matrices(some)}">'
            "<figcaption>Distances between the values of each factor; each panel spans its own range. Where no two images have both values "
            "a matrix is blank.</figcaption></figure>"
        )
    return figures


def _matrices(factors: Sequence[FactorReport]) -> str:
    import matplotlib.pyplot as plt

    truth = {f.factor: ground_truth_matrix(f.values) for f in factors}
    picture = io.BytesIO()
    # names are text, whatever signs of a formula they hold, and signs that no font has are drawn as
    # boxes
    with (
        plt.rc_context({"text.parse_math": False, "text.usetex": False}),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", message=".*missing from font", category=UserWarning)
        figure = plots.distance_matrices(truth, {f.factor: f.matrix for f in factors})
        figure.savefig(picture, format="png", dpi=130)
        plt.close(figure)
    return "data:image/png;base64," + base64.b64encode(picture.getvalue()).decode()


def _(text: str) -> str:
    return html.escape(text, quote=True)
