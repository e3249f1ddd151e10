"""Perceived distances of a data set beside those that the paper prints: the rows of Table A1 and
the panels of Figure 3.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from vaedis.data import DATA_SETS, DataError, FactorData, StandInWarning, load
from vaedis.distances import FactorDistances, RandomPairs, published_traversals
from vaedis_companion.published import matrices as published_matrices, table as published

# the paper's data sets, in the order of its Figure 3
DATA_SETS_OF_THE_PAPER = ("shapes3d", "dsprites", "smallnorb", "cars3d", "xysquares")
# what a row of Table A1 rests on, and half a unit of the last digit that it prints
PAIRS = 50_000
ROUNDING = 0.5e-4


def data_sets(names: Iterable[str] = DATA_SETS_OF_THE_PAPER) -> dict[str, FactorData]:
    """Load those of the paper's data sets that can be had.

    Parameters
    ----------
    names : iterable of str
        As for `vaedis.load`. One that this version does not have, or that can be neither made nor
        fetched, is left out.

    Returns
    -------
    dict of str to FactorData
        Stand-ins come without their warning: say `FactorData.origin` wherever something of them is
        shown.
    """
    found = {}
    for name in names:
        if name in DATA_SETS:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", StandInWarning)
                try:
                    found[name] = load(name)
                except (DataError, ImportError):
                    continue
    return found


@dataclass(frozen=True)
class Importance:
    """A row of Table A1: how far apart a factor sets observations, here and in the paper.

    Attributes
    ----------
    factor : str
        "random" for pairs drawn at random.
    mean, sd : float
        Of the distances here.
    published_mean, published_sd : float or None
        As printed; None if the paper has no such row.
    mean_error, sd_error : float
        What may lie between them if the data are the same: the standard errors that the authors'
        sample implies, and ours if we sampled.
    """

    factor: str
    mean: float
    sd: float
    published_mean: float | None
    published_sd: float | None
    mean_error: float
    sd_error: float

    @property
    def agrees(self) -> bool | None:
        """Whether both differences are within four standard errors and rounding; None if the paper
        has no such row.
        """
        if self.published_mean is None or self.published_sd is None:
            return None
        return bool(
            abs(self.mean - self.published_mean) <= 4 * self.mean_error + ROUNDING
            and abs(self.sd - self.published_sd) <= 4 * self.sd_error + ROUNDING
        )


def importances(
    name: str, along: Mapping[str, FactorDistances], random: RandomPairs
) -> list[Importance]:
    """Return the rows of Table A1 of a data set, the most important factor first.

    Parameters
    ----------
    name : str
        Of the data set, as in the published tables.
    along : mapping of str to Along
        From `distances.factor_distances`, with the loss "mse" and without normalizing.
    random : RandomPairs
        From `distances.random_pairs`, likewise.

    Returns
    -------
    list of Importance
    """
    printed = {
        line["factor"]: line
        for line in published("table_a1_factor_importance")
        if line["dataset"] == name
    }
    rows = []
    for factor, found in along.items():
        # one row stands for the squares of all colours
        line = printed.get(
            factor, printed.get(factor.split("_")[0]) if name == "xysquares" else None
        )
        theirs = found.standard_errors(published_traversals(len(found.matrix), PAIRS), PAIRS)
        rows.append(_row(factor, found.mean, found.sd, line, theirs, found.standard_errors()))
    ours = (random.mean_error, random.sd_error)
    rows.append(
        _row(
            "random",
            random.mean,
            random.sd,
            printed.get("random"),
            random.standard_errors(PAIRS),
            ours,
        )
    )
    return sorted(rows, key=lambda row: -row.mean)


def _row(
    factor: str,
    mean: float,
    sd: float,
    line: Mapping | None,
    theirs: tuple[float, float],
    ours: tuple[float, float],
) -> Importance:
    errors = np.hypot(theirs, ours)
    mean_printed, sd_printed = (
        (None, None) if line is None else (line["mean_distance"], line["distance_std"])
    )
    return Importance(
        factor, mean, sd, mean_printed, sd_printed, float(errors[0]), float(errors[1])
    )


def matrix_correlations(name: str, matrices: Mapping[str, np.ndarray]) -> dict[str, float | None]:
    """Return how well the matrices of factors agree with those of the paper's Figure 3, read back from
    its colours.

    Parameters
    ----------
    name : str
        Of the data set, as in the published figure.
    matrices : mapping of str to ndarray of float, shape (f, f)

    Returns
    -------
    dict of str to float or None
        For each factor whose panel could be read, the linear correlation over pairs of different
        values; None if one of the two matrices is constant.
    """
    found: dict[str, float | None] = {}
    for (data, factor), theirs in published_matrices().items():
        if data == name and factor in matrices and matrices[factor].shape == theirs.shape:
            pair = np.stack([m[np.triu_indices(len(m), 1)] for m in (matrices[factor], theirs)])
            constant = (np.ptp(pair, axis=1) <= 1e-9 * np.abs(pair).max(1)).any()
            found[factor] = None if constant else float(np.corrcoef(pair)[0, 1])
    return found
