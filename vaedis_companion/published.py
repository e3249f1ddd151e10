"""The paper's printed numbers, kept in ``results/published``."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from vaedis import _check
from vaedis_companion import project

FRAMEWORKS = {"ada-gvae": "Ada-GVAE", "beta-vae": "β-VAE"}
DATA_SETS = {
    "shapes3d": "3D Shapes",
    "dsprites": "dSprites",
    "cars3d": "Cars3D",
    "smallnorb": "SmallNORB",
    "xysquares": "XYSquares",
}
"""The paper's names of what it compares."""
READING_ERROR = 0.015
"""About how far a number that was read off a picture of the paper may lie from the true one."""

_RANGE = ["min", "q1", "median", "q3", "max"]
# the columns of each table: text, then numbers
_COLUMNS = {
    "fig11_scores": (["reconstruction_loss", "framework", "metric"], _RANGE),
    "fig3_perceived_matrices": (["dataset", "factor"], ["i", "j", "perceived_distance_scaled_0_1"]),
    "fig6_scores": (["dataset", "framework", "metric"], _RANGE),
    "fig9_scores": (["framework", "metric"], ["grid_spacing", "lowest", "highest"]),
    "table_a1_factor_importance": (["dataset", "factor"], ["mean_distance", "distance_std"]),
    "table_a2_normalisation": (["dataset", "channel"], ["mean", "std"]),
}
# the paper's picture hides some quartiles behind its points
_MAY_BE_EMPTY = ["q1", "median", "q3"]


def table(name: str) -> list[dict[str, Any]]:
    """Read one table of the paper's numbers, whatever ``VAEDIS_RESULTS`` says.

    There is a dict for each line; numbers are float, or None where the picture does not show one.
    Those of figures were read off the pictures, to about `READING_ERROR`. A ValueError says that
    there is no such table or that it is damaged, a FileNotFoundError that the package is no copy of
    the project.

    Examples
    --------
    >>> table("fig9_scores")[0]
    {'framework': 'ada-gvae', 'metric': 'mig', 'grid_spacing': 1.0, 'lowest': 0.72, 'highest': 0.91}
    """
    _check.one_of("table of published numbers", name, _COLUMNS)
    path = (project.checkout() or Path.cwd()) / "results" / "published" / f"{name}.csv"
    try:
        return [dict(line) for line in _lines(path, path.stat().st_mtime_ns, name)]
    except FileNotFoundError:
        raise FileNotFoundError(
            f"The paper's numbers lie in a copy of the project, and {path} does not exist; "
            "install vaedis from its repository with pip install -e, or run in a copy of it."
        ) from None
    except (OSError, ValueError, KeyError) as problem:
        raise ValueError(
            f"{path} cannot be read ({problem}); bring it back with git checkout."
        ) from None


@functools.lru_cache(maxsize=16)
def _lines(path: Path, modified: int, name: str) -> list[dict[str, Any]]:
    """Return the lines of a file; a ValueError or KeyError if it is damaged."""
    pandas = _check.package("pandas", "make tables", "plots")
    words, numbers = _COLUMNS[name]
    frame = pandas.read_csv(path, dtype=str, index_col=False)
    # by Python, whose numbers have the same bits in every version of pandas
    frame[numbers] = frame[numbers].map(float, na_action="ignore").astype(float)
    required = frame.drop(columns=_MAY_BE_EMPTY, errors="ignore")
    finite = not np.isinf(frame[numbers].to_numpy()).any()
    complete = not frame.empty and list(frame.columns) == words + numbers
    if not finite or not complete or required.isna().to_numpy().any():
        raise ValueError("a column or a number is missing")
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def matrices() -> dict[tuple[str, str], np.ndarray]:
    """Return the perceived distances of the paper's Figure 3, read off its colours.

    They are float64, (f, f), by data set and factor, each divided by its largest distance, as in
    the paper; only complete panels.

    Examples
    --------
    >>> matrices()["shapes3d", "scale"].shape
    (8, 8)
    """
    pandas = _check.package("pandas", "make tables", "plots")
    lines = pandas.DataFrame(table("fig3_perceived_matrices"))
    complete = {}
    for name, panel in lines.groupby(["dataset", "factor"], sort=False):
        i, j = panel[["i", "j"]].to_numpy(int).T
        size = 1 + j.max()
        if len(panel) == size * (size - 1) // 2:
            matrix = np.zeros((size, size))
            matrix[i, j] = panel["perceived_distance_scaled_0_1"]
            complete[name] = matrix + matrix.T
    return complete
