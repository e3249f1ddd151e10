"""Claims as HTML tables for a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader

from vaedis_companion.claims.base import NO_VALUE, VERDICTS, Claim, Provenance, Value, runs_in_words

# the colours are in book/assets/tables.css
_CLASSES = dict(zip(VERDICTS, ("good", "fair", "bad", "open", "open"), strict=True))
# a longer table is summed up in one line, which unfolds
_LONGEST = 8
_NONE = "<p>No claims of this kind can be made yet.</p>"
_ENVIRONMENT = Environment(
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    loader=PackageLoader("vaedis_companion", "claims"),
)


def html_table(claims: Iterable[Claim]) -> str:
    """Return claims as an HTML table with notes below it; a long one unfolds from its sum.

    What most rows share is said once: the commonest provenance, and each tolerance that is a rule,
    with its reason, to which a letter in the rows refers. A verdict links to the cells that compute
    it, on a page that lies beside the chapters.

    Examples
    --------
    >>> html_table([])
    '<p>No claims of this kind can be made yet.</p>'
    """
    claims = list(claims)
    if not claims:
        return _NONE
    tested = Counter(str(claim.provenance) for claim in claims if claim.tested)
    usual = next((text for text, n in tested.most_common(1) if n > 1), "")
    texts = list(dict.fromkeys(_note(claim) for claim in claims))
    letters = [chr(ord("a") + k) if len(texts) > 1 else "" for k in range(len(texts))]
    notes = dict(zip(texts, letters, strict=True))
    rows = []
    for claim in claims:
        basis = str(claim.provenance)
        if basis == usual:
            basis = ""
        tolerance = claim.tolerance if isinstance(claim.tolerance, Value) else ""
        rows.append((claim, basis, tolerance, notes[_note(claim)]))
    summary = f"{len(claims)} claims: {_sum(claims)}" if len(claims) > _LONGEST else ""
    return _render("claims", rows=rows, usual=usual, notes=notes, summary=summary)


def scoreboard(groups: Mapping[str, Iterable[Claim]]) -> str:
    """Return how claims came out as an HTML table, a line for each titled group of them.

    A title links to the section of its first claim; a bar is as long as the share of each verdict.
    Below the table each claim that was not reproduced is named, with both numbers.

    Examples
    --------
    >>> scoreboard({"nothing": []})
    '<p>No claims of this kind can be made yet.</p>'
    """
    rows = []
    failed = []
    words: set[str] = set()
    for title, group in groups.items():
        claims = list(group)
        if claims:
            rows.append((title, claims, _counts(claims), _sum(claims), _judged_by(claims)))
            failed += [claim for claim in claims if claim.verdict == "not reproduced"]
            words |= {claim.verdict for claim in claims}
    names = {"rows": rows, "failed": failed, "words": words, "nothing": NO_VALUE}
    return _render("scoreboard", **names) if rows else _NONE


def _render(kind: str, **names: object) -> str:
    return _ENVIRONMENT.get_template("tables.html").render(kind=kind, classes=_CLASSES, **names)


def _counts(claims: list[Claim]) -> dict[str, int]:
    of_verdict = Counter(claim.verdict for claim in claims)
    return {verdict: of_verdict[verdict] for verdict in VERDICTS if of_verdict[verdict]}


def _sum(claims: list[Claim]) -> str:
    """Return the number of each verdict in words."""
    counts = _counts(claims)
    words = {name: name.replace("needs", "need") if n > 1 else name for name, n in counts.items()}
    return ", ".join(f"{n} {words[verdict]}" for verdict, n in counts.items())


def _judged_by(claims: list[Claim]) -> str:
    """Return what judges the claims: runs of one length together, and how many claims of each."""
    judges: dict[Any, list[Provenance]] = {}
    for basis in (claim.provenance for claim in claims if claim.tested):
        judge = (basis.profile, basis.steps) if basis.n else basis.method
        judges.setdefault(judge, []).append(basis)
    n_claims = Counter({_basis(bases): len(bases) for bases in judges.values()})
    if len(n_claims) < 2:
        return next(iter(n_claims), "nothing yet")
    most_first = n_claims.most_common()
    return "; ".join(f"{text} ({n} claim{'s' * (n > 1)})" for text, n in most_first)


def _basis(bases: list[Provenance]) -> str:
    """Return what judges some claims: all of it where it is the same, or else how many runs."""
    return str(bases[0]) if len(set(bases)) == 1 else runs_in_words(bases)


def _note(claim: Claim) -> str:
    """Return what is written below the table about a claim's tolerance."""
    rule = "" if isinstance(claim.tolerance, Value) else claim.tolerance
    return ". ".join(_sentence(text) for text in (rule, claim.why) if text)


def _sentence(text: str) -> str:
    """Begin with a capital letter, but leave a symbol such as β as it is."""
    return text[:1].upper() + text[1:] if text[:1].isascii() else text
