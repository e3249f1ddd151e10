"""Perceived distances beside those that the paper prints: Table A1's rows and Figure 3's panels."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from vaedis.data import DataError, FactorData, StandInWarning, load
from vaedis.distances import FactorDistances, RandomPairs, published_traversals
from vaedis_companion import published
from vaedis_companion.analysis.measured import Distances

DATA_SETS_OF_THE_PAPER = ("shapes3d", "dsprites", "smallnorb", "cars3d", "xysquares")
"""The paper's data sets, in the order of its Figure 3."""
ROUNDING = 0.5e-4
"""Half a unit of the last digit that Table A1 prints."""
# the pairs that a row of Table A1 rests on
_PAIRS = 50_000


def data_sets(names: Iterable[str] = DATA_SETS_OF_THE_PAPER) -> dict[str, FactorData]:
    """Load the paper's data sets by name, skipping any that can be neither made nor fetched.

    Stand-ins come without their warning: say `FactorData.origin` wherever something of them is
    shown.

    Examples
    --------
    >>> list(data_sets(["dsprites", "xysquares"]))
    ['dsprites', 'xysquares']
    """
    loaded = {}
    for name in names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StandInWarning)
            try:
                loaded[name] = load(name)
            except (DataError, ImportError):
                continue
    return loaded


@dataclass(frozen=True)
class Importance:
    """A row of Table A1: how far apart a factor sets observations, here and in the paper.

    `factor` is "random" for pairs drawn at random. `mean` and `sd` are of mean squared errors,
    pixels in 0 … 1. `published_mean` and `published_sd` are as printed; None if the paper has no
    such row. The errors are standard errors of the difference: those that the paper's sample of
    50,000 pairs implies, and those of our own sample if we drew one.
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
        """Whether both differ by four standard errors and rounding at most; None if not printed."""
        if self.published_mean is None or self.published_sd is None:
            return None
        mean_agrees = abs(self.mean - self.published_mean) <= 4 * self.mean_error + ROUNDING
        sd_agrees = abs(self.sd - self.published_sd) <= 4 * self.sd_error + ROUNDING
        return bool(mean_agrees and sd_agrees)


def importances(distances: Distances) -> list[Importance]:
    """Return the rows of Table A1 of a data set, the largest mean first.

    Examples
    --------
    >>> from vaedis_companion.analysis import measured
    >>> row = importances(measured.benchmark("xysquares"))[0]
    >>> row.factor, row.agrees
    ('random', True)
    """
    measured: dict[str, tuple[FactorDistances | RandomPairs, np.ndarray]] = {}
    for factor, one in distances.factors.items():
        traversals = published_traversals(len(one.matrix), _PAIRS)
        errors = np.hypot(one.standard_errors(traversals, _PAIRS), one.standard_errors())
        measured[factor] = (one, errors)
    random = distances.random
    own_errors = (random.mean_error, random.sd_error)
    measured["random"] = (random, np.hypot(random.standard_errors(_PAIRS), own_errors))
    printed = printed_rows(distances.name)
    rows = []
    for factor, (record, errors) in measured.items():
        # the paper prints one row for all squares of XYSquares
        label = factor.split("_")[0] if distances.name == "xysquares" else factor
        mean, sd = printed.get(label, (None, None))
        rows.append(Importance(factor, record.mean, record.sd, mean, sd, *errors.tolist()))
    return sorted(rows, key=lambda row: -row.mean)


def printed_rows(name: str) -> dict[str, tuple[float, float]]:
    """Return mean and sd of each row that Table A1 prints for a data set, in its order."""
    table = published.table("table_a1_factor_importance")
    return {
        line["factor"]: (line["mean_distance"], line["distance_std"])
        for line in table
        if line["dataset"] == name
    }


def matrix_correlations(name: str, matrices: Mapping[str, np.ndarray]) -> dict[str, float | None]:
    """Return how well matrices, (f, f), agree with the panels of Figure 3, read from their colours.

    For each factor of the data set whose panel could be read, it is the linear correlation over
    pairs of different values; None if one of the two matrices is constant.
    """
    correlations: dict[str, float | None] = {}
    for (data, factor), panel in published.matrices().items():
        if data == name and factor in matrices and matrices[factor].shape == panel.shape:
            above = np.triu_indices(len(panel), 1)
            pair = np.stack([matrices[factor][above], panel[above]])
            constant = (np.ptp(pair, axis=1) <= 1e-9 * np.abs(pair).max(1)).any()
            correlations[factor] = None if constant else float(np.corrcoef(pair)[0, 1])
    return correlations
