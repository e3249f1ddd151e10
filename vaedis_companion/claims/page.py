"""Claims as tables for a page."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable, Mapping

from vaedis_companion.claims.base import VERDICTS, Claim

_COLOURS = {
    "reproduced": "#2e8b57",
    "in direction": "#c98a00",
    "not reproduced": "#c0392b",
    "not tested": "#8a8f98",
}
_COLUMNS = {"claim": 35, "published": 22, "here": 27, "verdict": 16}


def html_table(claims: Iterable[Claim]) -> str:
    """Return claims as an HTML table with notes below it.

    What most rows share is said once: the commonest scale of what was tested, and each tolerance
    with its reason, to which a letter in the rows refers; only a tolerance that is a number stands
    in its row. A verdict links to the cells that computed it.

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
    scales = Counter(claim.scale for claim in claims if claim.verdict != "not tested").most_common(
        1
    )
    usual_scale = scales[0][0] if scales and scales[0][1] > 1 else ""
    notes = {(_noted(claim), claim.why): "" for claim in claims if _noted(claim) or claim.why}
    notes = {note: chr(ord("a") + k) if len(notes) > 1 else "" for k, note in enumerate(notes)}
    widths = "".join(f'<col style="width: {width}%">' for width in _COLUMNS.values())
    head = "".join(f'<th style="text-align: left">{name}</th>' for name in _COLUMNS)
    rows = "".join(
        _row(claim, usual_scale, notes.get((_noted(claim), claim.why), "")) for claim in claims
    )
    table = f'<table class="claims" style="table-layout: fixed; width: 100%"><colgroup>{widths}</colgroup>'
    lines = [f"<b>Scale</b> unless a row says otherwise: {_(usual_scale)}."] if usual_scale else []
    for (tolerance, why), letter in notes.items():
        said = ". ".join(_capital(text) for text in (tolerance, why) if text)
        lines.append(f"<b>Tolerance{f' ({letter})' if letter else ''}:</b> {_(said)}.")
    below = (
        f'<p style="font-size: 0.85em; text-align: left">{"<br>".join(lines)}</p>' if lines else ""
    )
    return f"{table}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{below}"


def scoreboard(rows: Mapping[str, Iterable[Claim]]) -> str:
    """Return how claims came out, a line for each group of them, as an HTML table: what was found, how
    often, and judged by what.

    Parameters
    ----------
    rows : mapping of str to iterable of Claim
        What each group says, and its claims. A group links to the page of its first claim.

    Returns
    -------
    str
        For ``IPython.display.HTML``, on a page that lies beside the chapters. A bar is as long as
        the share of each verdict; below the table each claim that was not reproduced is named, with
        what the paper has and what was found.
    """
    groups = {title: list(claims) for title, claims in rows.items()}
    lines = "".join(_group(title, claims) for title, claims in groups.items() if claims)
    if not lines:
        return "<p>No claims of this kind can be made yet.</p>"
    head = "".join(
        f'<th style="text-align: left">{name}</th>'
        for name in ("claim", "verdicts here", "judged by")
    )
    widths = "".join(f'<col style="width: {width}%">' for width in (40, 33, 27))
    failed = [
        claim for claims in groups.values() for claim in claims if claim.verdict == "not reproduced"
    ]
    items = "".join(
        f"<li>{_(c.statement.rstrip('.'))}: {_published(c)}here {_(c.ours)}</li>" for c in failed
    )
    below = (
        f'<div style="font-size: 0.85em; text-align: left">Not reproduced:<ul>{items}</ul></div>'
        if failed
        else ""
    )
    return (
        f'<table class="claims" style="table-layout: fixed; width: 100%"><colgroup>{widths}</colgroup>'
        f"<thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>{below}"
    )


def _published(claim: Claim) -> str:
    return "" if claim.published == "–" else f"published {_(claim.published)}, "


def _group(title: str, claims: list[Claim]) -> str:
    counts = Counter(claim.verdict for claim in claims)
    found = [(verdict, counts[verdict]) for verdict in VERDICTS if counts[verdict]]
    bar = "".join(
        f'<span style="flex: {n}; background: {_COLOURS[verdict]}"></span>' for verdict, n in found
    )
    said = ", ".join(f"{n} {verdict}" for verdict, n in found)
    scales = dict.fromkeys(claim.scale for claim in claims if claim.verdict != "not tested")
    judged = "; ".join(list(scales)[:2]) + (
        f"; and {len(scales) - 2} more" if len(scales) > 2 else ""
    )
    length = "display: flex; height: 0.6rem; margin: 0.3rem 0 0.15rem"
    cells = (
        f'<a href="{_(claims[0].chapter)}.html">{_(title)}</a>',
        f'<span aria-hidden="true" style="{length}">{bar}</span>{_small(said, new_line=False)}',
        _small(judged or "nothing yet", new_line=False),
    )
    style = "text-align: left; vertical-align: top; white-space: normal; border-bottom: 1px solid rgb(128 128 128 / 25%)"
    return "<tr>" + "".join(f'<td style="{style}">{cell}</td>' for cell in cells) + "</tr>"


def _row(claim: Claim, usual_scale: str, letter: str) -> str:
    heading = claim.cell.partition("#")[2]
    link = f'<a href="{_(claim.chapter)}.html#{_(heading)}" title="to the cells that compute it">{_(claim.verdict)}</a>'
    cells = (
        _(claim.statement),
        _(claim.published)
        + (f" <sup>{letter}</sup>" if letter else "")
        + _small("" if _noted(claim) else claim.tolerance),
        _(claim.ours) + _small(claim.scale if claim.scale != usual_scale else ""),
        link,
    )
    style = "text-align: left; vertical-align: top; white-space: normal; overflow-wrap: break-word"
    style += "; border-bottom: 1px solid rgb(128 128 128 / 25%)"
    edge = f"; border-left: 4px solid {_COLOURS[claim.verdict]}; padding-left: 0.5rem"
    return (
        "<tr>"
        + "".join(
            f'<td style="{style}{edge if k == 3 else ""}">{cell}</td>'
            for k, cell in enumerate(cells)
        )
        + "</tr>"
    )


def _noted(claim: Claim) -> str:
    """The tolerance, if it is said below the table: in words rather than as a number of this row's
    own.
    """
    return "" if claim.tolerance.startswith("±") else claim.tolerance


def _small(text: str, *, new_line: bool = True) -> str:
    return (
        f'{"<br>" if new_line else ""}<small style="opacity: 0.75">{_(text)}</small>'
        if text
        else ""
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _(text: str) -> str:
    return html.escape(text, quote=True)
