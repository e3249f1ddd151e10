"""Numbers that the paper prints, as the project keeps them in ``results/published``."""

from __future__ import annotations

import csv
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from vaedis import _check
from vaedis._files import DamagedFile

# the columns of each table: those of text, then those of numbers
_COLUMNS = {
    "fig11_scores": (
        ("reconstruction_loss", "framework", "metric"),
        ("min", "q1", "median", "q3", "max"),
    ),
    "fig3_perceived_matrices": (("dataset", "factor"), ("i", "j", "perceived_distance_scaled_0_1")),
    "fig6_scores": (("dataset", "framework", "metric"), ("min", "q1", "median", "q3", "max")),
    "fig9_scores": (("framework", "metric"), ("grid_spacing", "lowest", "highest")),
    "table_a1_factor_importance": (("dataset", "factor"), ("mean_distance", "distance_std")),
    "table_a2_normalisation": (("dataset", "channel"), ("mean", "std")),
}


# the paper's picture hides some quartiles behind its points
_NOT_ALWAYS_SHOWN = ("q1", "median", "q3")


def checkout() -> Path | None:
    """Return the top of the project, if the package is part of it rather than installed elsewhere;
    otherwise None.
    """
    top = Path(__file__).resolve().parent.parent
    return top if (top / "_config.yml").exists() else None


def table(name: str) -> list[dict[str, Any]]:
    """Return numbers that the paper prints, from the project's ``results/published``, whatever
    ``VAEDIS_RESULTS`` says.

    Parameters
    ----------
    name : str
        ``"table_a1_factor_importance"``, ``"table_a2_normalisation"``,
        ``"fig3_perceived_matrices"``, ``"fig6_scores"``, ``"fig9_scores"`` or ``"fig11_scores"``.
        Those of figures were read off the pictures, to about 0.015.

    Returns
    -------
    list of dict
        Numbers as float, None where the paper's picture does not show one. Empty if the table is
        missing or damaged.

    Warns
    -----
    DamagedFile
        If it is.

    Raises
    ------
    FileNotFoundError
        If the package is not part of a copy of the project, where these tables lie.
    """
    folder = (checkout() or Path.cwd()) / "results" / "published"
    if not folder.is_dir():
        raise FileNotFoundError(
            f"The paper's numbers lie in a copy of the project, in results/published, and {folder} does not exist; install vaedis from "
            "its repository with pip install -e, or run in a copy of it."
        )
    _check.one_of("table of published numbers", name, _COLUMNS)
    path = folder / f"{name}.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = [_numbers(line, *_COLUMNS[name]) for line in csv.DictReader(file, strict=True)]
        if not lines:
            raise ValueError("it is empty")
        return lines
    except (OSError, ValueError, csv.Error) as problem:
        warnings.warn(
            f"{path} cannot be read ({problem}), so the paper's numbers in it count as missing; bring it back with git checkout.",
            DamagedFile,
            stacklevel=2,
        )
        return []


def _numbers(
    line: dict[str, Any], words: tuple[str, ...], numbers: tuple[str, ...]
) -> dict[str, Any]:
    """Return a line with its numbers read."""
    if (
        tuple(line) != (*words, *numbers)
        or None in line.values()
        or not all(line[word] for word in words)
    ):
        raise ValueError(
            f"the line {','.join(str(value) for value in line.values())} does not fit its columns"
        )
    values = {name: float(line[name]) if line[name] else None for name in numbers}
    for name, value in values.items():
        if (value is None and name not in _NOT_ALWAYS_SHOWN) or (
            value is not None and not math.isfinite(value)
        ):
            raise ValueError(f"{name} is {line[name] or 'empty'}")
    return {word: line[word] for word in words} | values


def matrices() -> dict[tuple[str, str], np.ndarray]:
    """Return the perceived distances of the paper's Figure 3, read back from its colours.

    Returns
    -------
    dict of (data set, factor) to ndarray of float64, shape (f, f)
        Each scaled to 0 … 1 by its own largest distance, as the paper's panels are; only panels
        that could be read in full.
    """
    panels: dict[tuple[str, str], dict[tuple[int, int], float]] = {}
    for line in table("fig3_perceived_matrices"):
        panels.setdefault((line["dataset"], line["factor"]), {})[int(line["i"]), int(line["j"])] = (
            line["perceived_distance_scaled_0_1"]
        )
    found = {}
    for name, values in panels.items():
        size = max(j for _, j in values) + 1
        if len(values) == size * (size - 1) // 2 and None not in values.values():
            matrix = np.zeros((size, size))
            for (i, j), value in values.items():
                matrix[i, j] = matrix[j, i] = value
            found[name] = matrix
    return found
