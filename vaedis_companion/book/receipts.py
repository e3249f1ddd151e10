"""What each figure of a built book draws, and whether that is what the manifest says.

The manifest, ``codecheck.yml``, has the form of the CODECHECK project: one entry a figure with its
file, a comment and the SHA-256 of its numbers. Figures that are drawn from stored runs and
published numbers are the same on every machine; ``exact: false`` marks those of networks that a
chapter trains, or of sums whose last digits depend on the processor.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vaedis import _files
from vaedis_companion.book import executions, notebooks, stored
from vaedis_companion.book.display import MIME

MANIFEST = "codecheck.yml"
_AUTHORS = ("Nathan Michlo", "Richard Klein", "Steven James")


@dataclass(frozen=True)
class Receipt:
    """The numbers of one figure.

    `number` counts the figures of a page, and `cell` the page's own code cells, from 1. `csv` is
    what the figure draws (`figures.data.figure_data`), in so many `rows`, `sha256` its digest, and
    `svg` a vector picture; None if too long to keep. `caption` is the caption's first sentence.
    `runs` has a phrase on each table of stored runs behind the figure, `runs_csv` their rows.
    """

    chapter: str
    number: int
    cell: int
    sha256: str
    csv: str | None
    caption: str = ""
    rows: int = 0
    svg: str | None = None
    runs: Sequence[str] = ()
    runs_csv: str | None = None

    @property
    def file(self) -> str:
        """Name of the file that the numbers are written to."""
        return f"{self.chapter}-{self.number}.csv"


def receipts_of(chapter: str, notebook: Any) -> Iterator[Receipt]:
    """Yield the receipts of an executed notebook, in the order of its figures."""
    number = 0
    for position, cell in enumerate(notebooks.own_code_cells(notebook), 1):
        for output in cell.get("outputs", ()):
            numbers = output.get("data", {}).get(MIME)
            if numbers is not None:
                number += 1
                yield Receipt(chapter, number, position, caption=_caption(cell), **numbers)


def _caption(cell: Any) -> str:
    figure = cell.metadata.get("mystnb", {}).get("figure", {})
    sentences = re.split(r"(?<=[.:;]) ", " ".join(str(figure.get("caption", "")).split()))
    return sentences[0]


def of_build(root: Path, profile: str, only: Iterable[str] = ()) -> dict[str, Receipt]:
    """Return the receipts of all chapters that were run in a profile, by file name.

    A ValueError names a chapter that was not run since the code or the results changed.
    """
    receipts: dict[str, Receipt] = {}
    digest = executions.project_digest(root)
    for chapter in executions.select(root, only):
        run = stored.current(root, profile, chapter, digest)
        if run is None:
            raise ValueError(
                f"{chapter} has no current run in the {profile} profile; "
                f"run it by: vaedis book --profile {profile} --no-html."
            )
        receipts |= {receipt.file: receipt for receipt in receipts_of(chapter, run)}
    return receipts


def check(root: Path, profile: str, only: Iterable[str] = (), *, write: bool = False) -> int:
    """Compare the figures of chapters, by default all, with the manifest; print what differs.

    Returned is 0 if every exact figure draws what the manifest says, else 1. With `write` the
    manifest is written anew instead.
    """
    receipts = of_build(root, profile, only)
    others = set(executions.notebooks(root)) - set(executions.select(root, only))
    if write:
        before = read_manifest(root) if (root / MANIFEST).exists() else {}
        _files.write_text(root / MANIFEST, to_manifest(receipts, before, others))
        print(f"{len(receipts)} figures written to {MANIFEST}")
        return 0
    errors, notes = compare(receipts, read_manifest(root), others)
    for line in (*notes, *errors):
        print(line)
    same = len(receipts) - len(notes) - len(errors)
    print(f"{same} of {len(receipts)} figures draw the numbers of {MANIFEST}.")
    return 1 if errors else 0


def read_manifest(root: Path) -> dict[str, dict[str, Any]]:
    """Return the entries of the manifest by file name; a ValueError if it is absent or damaged."""
    import yaml

    path = root / MANIFEST
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        return _entries_of(document)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as problem:
        reason = type(problem).__name__
    except ValueError as problem:
        reason = str(problem)
    raise ValueError(
        f"{path} is no manifest of figures ({reason}); bring it back with git checkout, or remove "
        "it and write it by: vaedis check --write."
    )


def _entries_of(document: Any) -> dict[str, dict[str, Any]]:
    """Return the entries of a manifest by file name; a ValueError says what is none."""
    listed = document.get("manifest") if isinstance(document, Mapping) else None
    if not isinstance(listed, list):
        raise ValueError("it has no list named manifest")
    entries: dict[str, dict[str, Any]] = {}
    for number, entry in enumerate(listed, 1):
        if not isinstance(entry, Mapping):
            raise ValueError(f"entry {number} is no mapping")
        for field in ("file", "sha256"):
            if not isinstance(entry.get(field), str) or not entry[field]:
                raise ValueError(f"entry {number} has no {field} that is text")
        if not isinstance(entry.get("exact", True), bool):
            raise ValueError(f"exact of entry {number} is neither true nor false")
        if entry["file"] in entries:
            raise ValueError(f"{entry['file']} is there twice")
        entries[entry["file"]] = {"exact": True, **entry}
    return entries


def compare(
    receipts: Mapping[str, Receipt],
    manifest: Mapping[str, Mapping[str, Any]],
    others: Collection[str] = (),
) -> tuple[list[str], list[str]]:
    """Return what differs from the manifest: sentences on errors, and on what may differ.

    Nothing is said of `others`, chapters that were not asked for.
    """
    errors = []
    notes = []
    for name, receipt in receipts.items():
        entry = manifest.get(name)
        if entry is None:
            errors.append(f"{name} is not in the manifest; add it by: vaedis check --write.")
        elif entry["sha256"] != receipt.sha256:
            if entry["exact"]:
                errors.append(f"{name} draws other numbers than the manifest says.")
            else:
                notes.append(f"{name} differs, as it may between machines.")
    for name in manifest:
        if name not in receipts and _chapter_of(name) not in others:
            errors.append(f"{name} is in the manifest, but the chapter draws no such figure.")
    return errors, notes


def to_manifest(
    receipts: Mapping[str, Receipt],
    before: Mapping[str, Mapping[str, Any]],
    others: Collection[str] = (),
) -> str:
    """Return the text of a manifest with these receipts, and the entries of `others`, by chapter.

    What else is in `before` goes. Comments and marks go with the numbers of a figure, also if it
    has another place on its page now, or else with its place.
    """
    import yaml

    stay = {name: entry for name, entry in before.items() if _chapter_of(name) in others}
    # as in a manifest, an entry is exact unless it says otherwise
    entries = {
        name: {key: value for key, value in entry.items() if key != "exact" or not value}
        for name, entry in (stay | _noted(receipts, before)).items()
    }
    document = {
        "version": "https://codecheck.org.uk/spec/config/1.0/",
        "paper": {
            "title": "Overlooked Implications of the Reconstruction Loss for VAE Disentanglement",
            "authors": [{"name": name} for name in _AUTHORS],
            "reference": "https://arxiv.org/abs/2202.13341",
        },
        "manifest": [entries[name] for name in sorted(entries, key=_order)],
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)


def _noted(
    receipts: Mapping[str, Receipt], before: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return an entry for each receipt, with the comment and marks that its figure had.

    A figure is told by its numbers, then by its caption, and then by its place.
    """

    def has_numbers(receipt: Receipt, name: str, entry: Mapping[str, Any]) -> bool:
        return bool(entry["sha256"] == receipt.sha256)

    def has_caption(receipt: Receipt, name: str, entry: Mapping[str, Any]) -> bool:
        return bool(receipt.caption and entry.get("comment") == receipt.caption)

    def has_place(receipt: Receipt, name: str, entry: Mapping[str, Any]) -> bool:
        return name == receipt.file

    left = dict(before)
    noted: dict[str, dict[str, Any]] = {}
    for is_same in (has_numbers, has_caption, has_place):
        for name, receipt in receipts.items():
            of_chapter = {n: e for n, e in left.items() if _chapter_of(n) == receipt.chapter}
            same = [n for n, entry in of_chapter.items() if is_same(receipt, n, entry)]
            if same and name not in noted:
                noted[name] = dict(left.pop(name if name in same else same[0]))
    return {
        name: {
            "file": name,
            "comment": receipt.caption,
            **noted.get(name, {}),
            **{"file": name, "sha256": receipt.sha256},
        }
        for name, receipt in receipts.items()
    }


def _chapter_of(name: str) -> str:
    return name.rpartition("-")[0]


def _order(name: str) -> tuple[str, int, str]:
    """Return what sorts files by chapter and then by number."""
    number = name.rpartition("-")[2].partition(".")[0]
    return _chapter_of(name), int(number) if number.isdecimal() else 0, name
