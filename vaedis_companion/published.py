"""The paper's printed numbers, kept in ``results/published``."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from vaedis import _check
from vaedis._files import DamagedFile
from vaedis_companion import project

# the columns of each table: text first, then numbers
_TEXT = {
    "fig11_scores": ["reconstruction_loss", "framework", "metric"],
    "fig3_perceived_matrices": ["dataset", "factor"],
    "fig6_scores": ["dataset", "framework", "metric"],
    "fig9_scores": ["framework", "metric"],
    "table_a1_factor_importance": ["dataset", "factor"],
    "table_a2_normalisation": ["dataset", "channel"],
}
_NUMBERS = {
    "fig11_scores": ["min", "q1", "median", "q3", "max"],
    "fig3_perceived_matrices": ["i", "j", "perceived_distance_scaled_0_1"],
    "fig6_scores": ["min", "q1", "median", "q3", "max"],
    "fig9_scores": ["grid_spacing", "lowest", "highest"],
    "table_a1_factor_importance": ["mean_distance", "distance_std"],
    "table_a2_normalisation": ["mean", "std"],
}
# the paper's picture hides some quartiles behind its points
_MAY_BE_EMPTY = ["q1", "median", "q3"]


def table(name: str) -> list[dict[str, Any]]:
    """Read one table of the paper's numbers, whatever ``VAEDIS_RESULTS`` says.

    Parameters
    ----------
    name : str
        ``"table_a1_factor_importance"``, ``"table_a2_normalisation"``,
        ``"fig3_perceived_matrices"``, ``"fig6_scores"``, ``"fig9_scores"`` or ``"fig11_scores"``.
        Numbers of figures were read off the pictures, to about 0.015.

    Returns
    -------
    list of dict
        One for each line; numbers as float, None where the picture does not show one. Empty, with
        the warning `DamagedFile`, if the file is missing or damaged.

    Raises
    ------
    FileNotFoundError
        If the package is not part of a copy of the project.
    ValueError
        If there is no such table.

    Examples
    --------
    >>> table("fig9_scores")[0]
    {'framework': 'ada-gvae', 'metric': 'mig', 'grid_spacing': 1.0, 'lowest': 0.72, 'highest': 0.91}
    """
    folder = (project.checkout() or Path.cwd()) / "results" / "published"
    if not folder.is_dir():
        raise FileNotFoundError(
            f"The paper's numbers lie in a copy of the project, and {folder} does not exist; "
            "install vaedis from its repository with pip install -e, or run in a copy of it."
        )
    _check.one_of("table of published numbers", name, _TEXT)
    path = folder / f"{name}.csv"
    try:
        frame = _read(path, _TEXT[name], _NUMBERS[name])
    except (OSError, ValueError) as problem:
        warnings.warn(
            f"{path} cannot be read ({problem}), so its numbers count as missing; "
            "bring it back with git checkout.",
            DamagedFile,
            stacklevel=2,
        )
        return []
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def _read(path: Path, text: list[str], numbers: list[str]) -> Any:
    """Read a DataFrame, or raise a ValueError if it is not complete."""
    pandas = project.require_pandas()
    frame = pandas.read_csv(path, dtype=str, index_col=False)
    if list(frame.columns) != text + numbers or frame.empty:
        raise ValueError("it does not have its columns, or no lines")
    # by Python, whose numbers have the same bits in every version of pandas
    frame[numbers] = frame[numbers].map(float, na_action="ignore").astype(float)
    if np.isinf(frame[numbers].to_numpy()).any():
        raise ValueError("a number is infinite")
    required = frame.drop(columns=_MAY_BE_EMPTY, errors="ignore")
    if required.isna().to_numpy().any():
        raise ValueError("a number or a name is missing")
    return frame


def matrices() -> dict[tuple[str, str], np.ndarray]:
    """Return the perceived distances of the paper's Figure 3, read off its colours.

    Returns
    -------
    dict of (data set, factor) to ndarray of float64, shape (f, f)
        Each divided by its largest distance, as in the paper; only complete panels.

    Examples
    --------
    >>> matrices()["shapes3d", "scale"].shape
    (8, 8)
    """
    panels: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for line in table("fig3_perceived_matrices"):
        panels.setdefault((line["dataset"], line["factor"]), []).append(line)
    complete = {}
    for name, lines in panels.items():
        size = 1 + max(int(line["j"]) for line in lines)
        if len(lines) == size * (size - 1) // 2:
            matrix = np.zeros((size, size))
            for line in lines:
                i, j = int(line["i"]), int(line["j"])
                matrix[i, j] = matrix[j, i] = line["perceived_distance_scaled_0_1"]
            complete[name] = matrix
    return complete
