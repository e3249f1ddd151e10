"""Claims as a table for a page."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable

from vaedis.claims._base import Claim

_COLOURS = {"reproduced": "#2e8b57", "in direction": "#c98a00", "not reproduced": "#c0392b", "not tested": "#8a8f98"}
_COLUMNS = {"claim": 35, "published": 22, "here": 27, "verdict": 16}


def html_table(claims: Iterable[Claim]) -> str:
    """Return claims as an HTML table with notes below it.

    What most rows share is said once: the commonest scale of what was tested, and each tolerance with its reason, to which a letter in
    the rows refers; only a tolerance that is a number stands in its row. A verdict links to the cells that computed it.

    Parameters
    ----------
    claims : iterable of Claim
        Of one place or of places that belong together.

    Returns
    -------
    str
        For ``IPython.display.HTML``, on a page that lies beside the chapters.
    """
    claims = list(claims)
    if not claims:
        return "<p>No claims of this kind can be made yet.</p>"
    scales = Counter(claim.scale for claim in claims if claim.verdict != "not tested").most_common(1)
    usual_scale = scales[0][0] if scales and scales[0][1] > 1 else ""
    notes = {(_noted(claim), claim.why): "" for claim in claims if _noted(claim) or claim.why}
    notes = {note: chr(ord("a") + k) if len(notes) > 1 else "" for k, note in enumerate(notes)}
    widths = "".join(f'<col style="width: {width}%">' for width in _COLUMNS.values())
    head = "".join(f'<th style="text-align: left">{name}</th>' for name in _COLUMNS)
    rows = "".join(_row(claim, usual_scale, notes.get((_noted(claim), claim.why), "")) for claim in claims)
    table = f'<table class="claims" style="table-layout: fixed; width: 100%"><colgroup>{widths}</colgroup>'
    lines = [f"<b>Scale</b> unless a row says otherwise: {_(usual_scale)}."] if usual_scale else []
    for (tolerance, why), letter in notes.items():
        said = ". ".join(_capital(text) for text in (tolerance, why) if text)
        lines.append(f"<b>Tolerance{f' ({letter})' if letter else ''}:</b> {_(said)}.")
    below = f'<p style="font-size: 0.85em; text-align: left">{"<br>".join(lines)}</p>' if lines else ""
    return f"{table}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{below}"


def _row(claim: Claim, usual_scale: str, letter: str) -> str:
    heading = claim.cell.partition("#")[2]
    link = f'<a href="{_(claim.chapter)}.html#{_(heading)}" title="to the cells that compute it">{_(claim.verdict)}</a>'
    cells = (
        _(claim.statement),
        _(claim.published) + (f" <sup>{letter}</sup>" if letter else "") + _small("" if _noted(claim) else claim.tolerance),
        _(claim.ours) + _small(claim.scale if claim.scale != usual_scale else ""),
        link,
    )
    style = "text-align: left; vertical-align: top; white-space: normal; overflow-wrap: break-word"
    style += "; border-bottom: 1px solid rgb(128 128 128 / 25%)"
    edge = f"; border-left: 4px solid {_COLOURS[claim.verdict]}; padding-left: 0.5rem"
    return "<tr>" + "".join(f'<td style="{style}{edge if k == 3 else ""}">{cell}</td>' for k, cell in enumerate(cells)) + "</tr>"


def _noted(claim: Claim) -> str:
    """The tolerance, if it is said below the table: in words rather than as a number of this row's own."""
    return "" if claim.tolerance.startswith("±") else claim.tolerance


def _small(text: str) -> str:
    return f'<br><small style="opacity: 0.75">{_(text)}</small>' if text else ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _(text: str) -> str:
    return html.escape(text, quote=True)
