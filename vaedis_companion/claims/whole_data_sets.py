"""What claims about data sets rest on: distances along factors, of random pairs, and the constants of
channels.

They are measured over whole data sets, which takes minutes, by ``python -m
vaedis_companion.claims``, and kept in ``results/distances``. Where nothing is kept for the images
that are on this machine they are sampled. Nothing is ever downloaded or drawn for a claim.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vaedis import distances
from vaedis.data import DATA_SETS, load
from vaedis.data.originals import prepare
from vaedis.data.originals.catalog import BENCHMARKS
from vaedis.data.standins import scenes
from vaedis_companion import measured as kept
from vaedis_companion.claims.base import NOT_THE_DATA_SET
from vaedis_companion.importances import Importance, importances
from vaedis_companion.published import matrices as published_matrices, table as published
from vaedis_companion.store import commit

# images along each factor, and random pairs, where not all are taken
_ALONG, _PAIRS = 60_000, 50_000
# the spread of random pairs is sampled even where their mean is exact, with more pairs than the
# paper's 50,000
_MANY_PAIRS = 100_000


@dataclass(frozen=True)
class Measured:
    """Distances and constants of a data set.

    Attributes
    ----------
    origin : str
        Where its images come from.
    rows : dict of str to Importance
        Rows of Table A1, by factor, the most important first, and "random".
    scales : dict of str to str
        How each row was obtained, "exact" or a size of sample; of the constants under "constants".
    matrices : dict of str to ndarray of float64, shape (f, f)
        Mean distances, of those factors that have a panel in Figure 3.
    mean, std : tuple of float
        Of each channel, as Table A2 defines them.
    """

    name: str
    origin: str
    rows: dict[str, Importance]
    scales: dict[str, str]
    matrices: dict[str, np.ndarray]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def is_the_data_set(self) -> bool:
        """Whether it may stand for the paper's: anything but a stand-in."""
        return self.origin != "stand-in"

    def scale(self, what: str) -> str:
        """How a row, or the constants, were obtained, and what makes it not comparable."""
        return (
            self.scales[what]
            if self.is_the_data_set
            else f"{NOT_THE_DATA_SET}; {self.scales[what]}"
        )


def measured(name: str) -> Measured | None:
    """Return the distances of one of the paper's data sets; None if no images of it are on this
    machine, and none were ever measured.
    """
    if name not in BENCHMARKS:
        return _sampled(name, "generated")
    here = {origin: _on_this_machine(name, origin) for origin in DATA_SETS[name]}
    # what is here before what is not, and of that the best: the origins come in that order
    for origin in sorted(here, key=lambda origin: not here[origin]):
        if (plain := kept.facts(name, origin)) is not None:
            return _from_plain(plain)
        if here[origin]:
            return _sampled(name, origin)
    return None


def _on_this_machine(name: str, origin: str) -> bool:
    return origin == "rendered" or prepare.stored_facts(name, origin) is not None


@functools.cache
def _sampled(name: str, origin: str) -> Measured:
    return _from_plain(measure(name, origin, exact=False)[0])


def measure(name: str, origin: str, *, exact: bool) -> tuple[dict[str, Any], kept.Distances]:
    """Measure a data set.

    Parameters
    ----------
    name, origin : str
        As for `vaedis.load`.
    exact : bool
        Over the whole data set, or what takes seconds.

    Returns
    -------
    dict
        Means and constants as plain data, as `keep` writes them.
    kept.Distances
        Whole distributions, likewise.
    """
    data = load(name, origin=origin)
    sizes = dict(zip(data.factors.names, data.factors.sizes, strict=True))
    # XYSquares' channels depend on two factors each, so that few traversals stand for all
    whole = [
        factor
        for factor, size in sizes.items()
        if exact or len(data.exact_bases(factor)) * size <= _ALONG
    ]
    found = distances.factor_distances(data, factors=whole) if whole else {}
    for factor in sizes.keys() - whole:
        found |= distances.factor_distances(
            data, factors=[factor], traversals=math.ceil(_ALONG / sizes[factor])
        )
    along = {factor: found[factor] for factor in sizes}
    every = len(whole) == len(sizes)
    random = distances.random_pairs(data, pairs=_MANY_PAIRS if exact else _PAIRS, exact_mean=every)
    mean, std, how = kept.measure_constants(data, whole=exact)
    whole_of = kept.Distances(along, random, len(random.sample))
    scales = {
        factor: "exact" if one.exact else f"{one.traversals:,} random traversals"
        for factor, one in along.items()
    }
    scales["random"] = whole_of.random_how
    rows = {
        row.factor: [row.mean, row.sd, row.mean_error, row.sd_error]
        for row in importances(name, along, random)
    }
    shown = {
        factor: one.matrix
        for factor, one in along.items()
        if (name, factor) in published_matrices()
    }
    plain = {
        "name": name,
        "origin": origin,
        "rows": {factor: [float(f"{value:.12g}") for value in row] for factor, row in rows.items()},
        "scales": {**scales, "constants": how},
        "mean": mean,
        "std": std,
        "matrices": {
            factor: [[float(f"{value:.9g}") for value in row] for row in m.tolist()]
            for factor, m in shown.items()
        },
        "made_by": {
            "commit": commit(),
            "torch": torch.__version__,
            "drawing": scenes.VERSION if origin == "stand-in" else None,
        },
    }
    return plain, whole_of


def _from_plain(plain: dict[str, Any]) -> Measured:
    # the paper's numbers are looked up anew, so that what is kept holds nothing but ours
    printed = printed_rows(plain["name"])
    rows = {}
    for factor, (mean, sd, mean_error, sd_error) in plain["rows"].items():
        theirs = printed.get(
            factor, printed.get(factor.split("_")[0]) if plain["name"] == "xysquares" else None
        )
        published_mean, published_sd = theirs or (None, None)
        rows[factor] = Importance(
            factor, mean, sd, published_mean, published_sd, mean_error, sd_error
        )
    matrices = {factor: np.array(rows) for factor, rows in plain["matrices"].items()}
    return Measured(
        plain["name"],
        plain["origin"],
        rows,
        plain["scales"],
        matrices,
        tuple(plain["mean"]),
        tuple(plain["std"]),
    )


def printed_rows(name: str) -> dict[str, tuple[float, float]]:
    """Mean and sd of each row that the paper's Table A1 has of a data set."""
    lines = (line for line in published("table_a1_factor_importance") if line["dataset"] == name)
    return {line["factor"]: (line["mean_distance"], line["distance_std"]) for line in lines}


def keep(name: str, origin: str) -> Path:
    """Measure a data set exactly, which takes minutes, and keep what was found."""
    return kept.write(name, origin, *measure(name, origin, exact=True))
