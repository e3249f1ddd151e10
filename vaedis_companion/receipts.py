"""What each figure of a built book draws, and whether that is what the manifest says.

The manifest, ``codecheck.yml``, has the form of the CODECHECK project: one entry a figure with its
file, a comment and the SHA-256 of its numbers. Figures that are drawn from stored runs and
published numbers are the same on every machine; ``exact: false`` marks those of networks that a
chapter trains, or of sums whose last digits depend on the processor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vaedis_companion.figures.display import MIME

MANIFEST = "codecheck.yml"


@dataclass(frozen=True)
class Receipt:
    """The numbers of one figure.

    Attributes
    ----------
    chapter : str
        Name of the page.
    number : int
        The figure's number within the page, from 1.
    cell : int
        The number of its cell among the page's code cells, from 1.
    csv : str
        What it draws (`vaedis_companion.figures.data.figure_data`).
    """

    chapter: str
    number: int
    cell: int
    csv: str

    @property
    def file(self) -> str:
        """Name of the file that the numbers are written to."""
        return f"{self.chapter}-{self.number}.csv"

    @property
    def sha256(self) -> str:
        """SHA-256 of the numbers."""
        return hashlib.sha256(self.csv.encode()).hexdigest()


def receipts_of(chapter: str, notebook: Any) -> Iterator[Receipt]:
    """Yield the receipts of an executed notebook, in the order of its figures."""
    number = 0
    code_cells = (cell for cell in notebook.cells if cell.cell_type == "code")
    for position, cell in enumerate(code_cells, 1):
        for output in cell.get("outputs", ()):
            numbers = output.get("data", {}).get(MIME)
            if numbers is not None:
                number += 1
                text = numbers if isinstance(numbers, str) else "".join(numbers)
                yield Receipt(chapter, number, position, text)


def write(receipts: Mapping[str, Receipt], folder: Path) -> None:
    """Write the numbers of each figure to a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, receipt in receipts.items():
        (folder / name).write_text(receipt.csv, encoding="utf-8")


def read_manifest(root: Path) -> dict[str, dict[str, Any]]:
    """Return the entries of the manifest by file name.

    Raises
    ------
    ValueError
        If the manifest is absent or is no list of files with their SHA-256.
    """
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
    """Return what differs from the manifest: sentences on errors, and on what may differ.

    Parameters
    ----------
    receipts : mapping of str to Receipt
        The figures of the chapters that were built, by file name.
    manifest : mapping of str to mapping
        As `read_manifest` returns it.
    """
    errors, notes = [], []
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


def to_manifest(
    receipts: Mapping[str, Receipt], before: Mapping[str, Mapping[str, Any]], titles: Mapping
) -> str:
    """Return the text of a manifest with these receipts; comments and marks of ``before`` stay."""
    import yaml

    kept = {
        name: {key: value for key, value in entry.items() if key != "exact" or not value}
        for name, entry in before.items()
    }
    for name, receipt in receipts.items():
        comment = kept.get(name, {}).get("comment") or titles.get(name, "")
        kept[name] = {
            **kept.get(name, {"file": name}),
            "comment": comment,
            "sha256": receipt.sha256,
        }
    document = {
        "version": "https://codecheck.org.uk/spec/config/1.0/",
        "paper": {
            "title": "Overlooked Implications of the Reconstruction Loss for VAE Disentanglement",
            "authors": [
                {"name": "Nathan Michlo"},
                {"name": "Richard Klein"},
                {"name": "Steven James"},
            ],
            "reference": "https://arxiv.org/abs/2202.13341",
        },
        "manifest": [kept[name] for name in sorted(kept)],
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)
