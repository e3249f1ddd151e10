"""What claims about data sets rest on: distances along factors, of random pairs, and the constants of channels.

They are measured over whole data sets, which takes minutes, by ``python -m vaedis.claims``, and kept in ``results/distances``. Where
nothing is kept for the images that are on this machine they are sampled. Nothing is ever downloaded or drawn for a claim.
"""

from __future__ import annotations

import functools
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vaedis import _files, distances
from vaedis.claims._base import NOT_THE_DATA_SET
from vaedis.data import DATA_SETS, _prepare, _standins, load
from vaedis.data._benchmarks import BENCHMARKS
from vaedis.data._stored import Stored
from vaedis.data.base import FactorData
from vaedis.data.dsprites import DSprites
from vaedis.results import commit, default_root, published, published_matrices
from vaedis.tables import Importance, importances

# images along each factor, random pairs, and images for means and deviations, where not all are taken
_ALONG, _PAIRS, _IMAGES = 60_000, 50_000, 20_000
# the spread of random pairs is sampled even where their mean is exact, with more pairs than the paper's 50,000
_MANY_PAIRS = 100_000
_LIT = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(1)


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
        return self.scales[what] if self.is_the_data_set else f"{NOT_THE_DATA_SET}; {self.scales[what]}"


def measured(name: str) -> Measured | None:
    """Return the distances of one of the paper's data sets; None if no images of it are on this machine, and none were ever measured."""
    if name not in BENCHMARKS:
        return _sampled(name, "generated")
    here = {origin: _on_this_machine(name, origin) for origin in DATA_SETS[name]}
    # what is here before what is not, and of that the best: the origins come in that order
    for origin in sorted(here, key=lambda origin: not here[origin]):
        if (kept := _read(name, origin)) is not None:
            return _from_plain(kept)
        if here[origin]:
            return _sampled(name, origin)
    return None


def _on_this_machine(name: str, origin: str) -> bool:
    return origin == "rendered" or _prepare.stored_facts(name, origin) is not None


@functools.cache
def _sampled(name: str, origin: str) -> Measured:
    return _from_plain(measure(name, origin, exact=False))


def measure(name: str, origin: str, *, exact: bool) -> dict[str, Any]:
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
        Plain data, as `keep` writes them.
    """
    data = load(name, origin=origin)
    sizes = dict(zip(data.factors.names, data.factors.sizes, strict=True))
    # XYSquares' channels depend on two factors each, so that few traversals stand for all
    whole = [factor for factor, size in sizes.items() if exact or len(data.exact_bases(factor)) * size <= _ALONG]
    found = distances.along(data, factors=whole) if whole else {}
    for factor in sizes.keys() - whole:
        found |= distances.along(data, factors=[factor], traversals=math.ceil(_ALONG / sizes[factor]))
    along = {factor: found[factor] for factor in sizes}
    every = len(whole) == len(sizes)
    random = distances.random_pairs(data, pairs=_MANY_PAIRS if exact else _PAIRS, whole=every)
    mean, std, how = constants(data)
    scales = {factor: "exact" if one.exact else f"{one.traversals:,} random traversals" for factor, one in along.items()}
    spread = f"sd of {len(random.sample):,} random pairs"
    scales["random"] = (
        "exact" if not random.sd_error else f"mean exact, {spread}" if not random.mean_error else spread.replace("sd of ", "")
    )
    rows = {row.factor: [row.mean, row.sd, row.mean_error, row.sd_error] for row in importances(name, along, random)}
    shown = {factor: one.matrix for factor, one in along.items() if (name, factor) in published_matrices()}
    return {
        "name": name,
        "origin": origin,
        "rows": {factor: [float(f"{value:.12g}") for value in row] for factor, row in rows.items()},
        "scales": {**scales, "constants": how},
        "mean": mean,
        "std": std,
        "matrices": {factor: [[float(f"{value:.9g}") for value in row] for row in m.tolist()] for factor, m in shown.items()},
        "made_by": {"commit": commit(), "torch": torch.__version__, "drawing": _standins.VERSION if origin == "stand-in" else None},
    }


def constants(data: FactorData) -> tuple[list[float], list[float], str]:
    """Return each channel's mean and std over images, as Table A2 defines them, and how they were obtained."""
    if data.name == "xysquares":
        return list(data.mean), list(data.std), "closed form"
    if isinstance(data, DSprites):
        # pixels are on or off, so that areas say it all
        every = torch.arange(len(data)).split(16_384)
        pixels = math.prod(data.shape)
        share = np.concatenate([_LIT[data.packed_images(part).numpy()].sum(1) for part in every])[:, None] / pixels
        return share.mean(0).tolist(), np.sqrt(share * (1 - share) * pixels / (pixels - 1)).mean(0).tolist(), "exact"
    facts = _prepare.stored_facts(data.name, data.origin) if isinstance(data, Stored) else None
    if facts is not None:
        # counted when the images were converted
        return list(facts["mean"]), list(facts["std"]), "exact"
    index = data.factors.sample_index(_IMAGES, generator=torch.Generator().manual_seed(0))
    total = torch.zeros(2, data.shape[2], dtype=torch.float64)
    for part in index.split(512):
        x = data.images(part).flatten(1, 2).double() / 255
        total += torch.stack([x.mean(1).sum(0), x.std(1).sum(0)])
    mean, std = (total / len(index)).tolist()
    return mean, std, f"{_IMAGES:,} random images"


def _from_plain(plain: dict[str, Any]) -> Measured:
    # the paper's numbers are looked up anew, so that what is kept holds nothing but ours
    printed = printed_rows(plain["name"])
    rows = {}
    for factor, (mean, sd, mean_error, sd_error) in plain["rows"].items():
        theirs = printed.get(factor, printed.get(factor.split("_")[0]) if plain["name"] == "xysquares" else None)
        published_mean, published_sd = theirs or (None, None)
        rows[factor] = Importance(factor, mean, sd, published_mean, published_sd, mean_error, sd_error)
    matrices = {factor: np.array(rows) for factor, rows in plain["matrices"].items()}
    return Measured(plain["name"], plain["origin"], rows, plain["scales"], matrices, tuple(plain["mean"]), tuple(plain["std"]))


def printed_rows(name: str) -> dict[str, tuple[float, float]]:
    """Mean and sd of each row that the paper's Table A1 has of a data set."""
    lines = (line for line in published("table_a1_factor_importance") if line["dataset"] == name)
    return {line["factor"]: (line["mean_distance"], line["distance_std"]) for line in lines}


def kept_at(name: str, origin: str) -> Path:
    """Return where the exact distances of a data set are kept."""
    return default_root() / "distances" / f"{name}-{origin}.json"


def keep(name: str, origin: str) -> Path:
    """Measure a data set exactly, which takes minutes, and keep what was found."""
    path = kept_at(name, origin)
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in measure(name, origin, exact=True).items()]
    _files.write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")
    return path


def _read(name: str, origin: str) -> dict[str, Any] | None:
    path = kept_at(name, origin)
    if not path.exists():
        return None
    kept = json.loads(path.read_text(encoding="utf-8"))
    # a stand-in that is drawn otherwise now is another one
    return None if origin == "stand-in" and kept["made_by"]["drawing"] != _standins.VERSION else kept
