"""What each figure of a built book draws, and whether that is what the manifest says.

The manifest, ``codecheck.yml``, has the form of the CODECHECK project: one entry a figure with its
file, a comment and the SHA-256 of its numbers. Figures that are drawn from stored runs and
published numbers are the same on every machine; ``exact: false`` marks those of networks that a
chapter trains, or of sums whose last digits depend on the processor.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    if write:
        before = read_manifest(root) if (root / MANIFEST).exists() else {}
        _files.write_text(root / MANIFEST, to_manifest(receipts, before))
        print(f"{len(receipts)} figures written to {MANIFEST}")
        return 0
    errors, notes = compare(receipts, read_manifest(root))
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
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))["manifest"]
        return {entry["file"]: {"exact": True, **entry} for entry in entries if entry["sha256"]}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as problem:
        raise ValueError(
            f"{path} is no manifest of figures ({type(problem).__name__}); "
            "bring it back with git checkout, or write it by: vaedis check --write."
        ) from None


def compare(
    receipts: Mapping[str, Receipt], manifest: Mapping[str, Mapping[str, Any]]
) -> tuple[list[str], list[str]]:
    """Return what differs from the manifest: sentences on errors, and on what may differ."""
    errors = []
    notes = []
    chapters = {receipt.chapter for receipt in receipts.values()}
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
        chapter = name.rpartition("-")[0]
        if name not in receipts and chapter in chapters:
            errors.append(f"{name} is in the manifest, but the chapter draws no such figure.")
    return errors, notes


def to_manifest(receipts: Mapping[str, Receipt], before: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the text of a manifest with these receipts; comments and marks of ``before`` stay."""
    import yaml

    # an entry is exact unless it says otherwise
    entries = {
        name: {key: value for key, value in entry.items() if key != "exact" or not value}
        for name, entry in before.items()
    }
    for name, receipt in receipts.items():
        new = {"file": name, "comment": receipt.caption}
        entries[name] = {**new, **entries.get(name, {}), "sha256": receipt.sha256}
    document = {
        "version": "https://codecheck.org.uk/spec/config/1.0/",
        "paper": {
            "title": "Overlooked Implications of the Reconstruction Loss for VAE Disentanglement",
            "authors": [{"name": name} for name in _AUTHORS],
            "reference": "https://arxiv.org/abs/2202.13341",
        },
        "manifest": [entries[name] for name in sorted(entries)],
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)
