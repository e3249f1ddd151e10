"""Numbers that the paper prints, as the project keeps them in ``results/published``."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from vaedis import _check


def checkout() -> Path | None:
    """Return the top of the project, if the package is part of it rather than installed elsewhere; otherwise None."""
    top = Path(__file__).resolve().parent.parent
    return top if (top / "_config.yml").exists() else None


def published(name: str) -> list[dict[str, Any]]:
    """Return numbers that the paper prints, from the project's ``results/published``, whatever ``VAEDIS_RESULTS`` says.

    Parameters
    ----------
    name : str
        ``"table_a1_factor_importance"``, ``"table_a2_normalisation"``, ``"fig3_perceived_matrices"``, ``"fig6_scores"``,
        ``"fig9_scores"`` or ``"fig11_scores"``. Those of figures were read off the pictures, to about 0.015.

    Returns
    -------
    list of dict
        Numbers as float, None where the paper's picture does not show one.

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
    _check.one_of("table of published numbers", name, sorted(p.stem for p in folder.glob("*.csv")))

    def read(text: str) -> Any:
        try:
            return float(text) if text else None
        except ValueError:
            return text

    with (folder / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return [{column: read(text) for column, text in line.items()} for line in csv.DictReader(file)]


def published_matrices() -> dict[tuple[str, str], np.ndarray]:
    """Return the perceived distances of the paper's Figure 3, read back from its colours.

    Returns
    -------
    dict of (data set, factor) to ndarray of float64, shape (f, f)
        Each scaled to 0 … 1 by its own largest distance, as the paper's panels are; only panels that could be read in full.
    """
    panels: dict[tuple[str, str], dict[tuple[int, int], float]] = {}
    for line in published("fig3_perceived_matrices"):
        panels.setdefault((line["dataset"], line["factor"]), {})[int(line["i"]), int(line["j"])] = line["perceived_distance_scaled_0_1"]
    found = {}
    for name, values in panels.items():
        size = max(j for _, j in values) + 1
        if len(values) == size * (size - 1) // 2 and None not in values.values():
            matrix = np.zeros((size, size))
            for (i, j), value in values.items():
                matrix[i, j] = matrix[j, i] = value
            found[name] = matrix
    return found
