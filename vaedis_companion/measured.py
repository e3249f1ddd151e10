"""Distances and constants of whole data sets: kept in ``results/distances``, since measuring takes
minutes, or else measured here.

``python -m vaedis_companion.claims`` writes what is kept, two files for each data set and origin of
its images: a .json for people, with means and constants, and an .npz with the whole distributions
along factors.
"""

from __future__ import annotations

import functools
import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vaedis import _files
from vaedis._files import DamagedFile
from vaedis.data import DATA_SETS
from vaedis.data.base import FactorData
from vaedis.data.dsprites import DSprites
from vaedis.data.originals import converted, prepare
from vaedis.data.originals.catalog import BENCHMARKS
from vaedis.data.originals.converted import Stored
from vaedis.data.standins import scenes
from vaedis.distances import FactorDistances, RandomPairs, factor_distances, random_pairs
from vaedis_companion.store import default_root

# random images for means and deviations, where not all are taken
_IMAGES = 20_000
# distances of random pairs that are kept, evenly from among those measured in ascending order
_QUANTILES = 2_000
_LIT = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(1)


@dataclass(frozen=True)
class Distances:
    """Perceived distances of a data set: mean squared error, pixels in 0 … 1.

    Attributes
    ----------
    along : dict of str to Along
        For each factor.
    random : RandomPairs
        Of what was kept its `sample` holds quantiles.
    pairs : int
        How many random pairs were drawn.
    """

    along: dict[str, FactorDistances]
    random: RandomPairs
    pairs: int

    @property
    def how(self) -> str:
        """How distances along factors were obtained: "exact", or how many traversals were drawn."""
        sampled = sorted({one.traversals for one in self.along.values() if not one.exact})
        return f"{'/'.join(f'{n:,}' for n in sampled)} random traversals" if sampled else "exact"

    @property
    def random_how(self) -> str:
        """How mean and sd of random pairs were obtained: "exact", or which of them from how many
        pairs.
        """
        if not self.random.sd_error:
            return "exact"
        drawn = f"{self.pairs:,} random pairs"
        return drawn if self.random.mean_error else f"mean exact, sd of {drawn}"


def distances(data: FactorData, *, traversals: int | None = None, pairs: int = 50_000) -> Distances:
    """Return a data set's perceived distances over all traversals if they are kept, and measure them
    if not.

    Parameters
    ----------
    data : FactorData
    traversals : int, optional
        How many random traversals of a factor to take if nothing is kept of these images; by
        default all, which may take minutes. A factor that no more traversals stand for exactly, as
        any of XYSquares', takes them all.
    pairs : int
        How many random pairs to draw if nothing is kept. Without `traversals` their mean is exact.

    Returns
    -------
    Distances
    """
    if is_benchmark(data) and (stored := _stored_distances(data)) is not None:
        return stored
    few = [
        f
        for f in data.factors.names
        if traversals is None or len(data.exact_bases(f)) <= traversals
    ]
    many = [f for f in data.factors.names if f not in few]
    found = (factor_distances(data, factors=few) if few else {}) | (
        factor_distances(data, factors=many, traversals=traversals) if many else {}
    )
    random = random_pairs(data, pairs=pairs, exact_mean=not many)
    return Distances({factor: found[factor] for factor in data.factors.names}, random, pairs)


def constants(data: FactorData) -> tuple[tuple[float, ...], tuple[float, ...], str]:
    """Return each channel's mean and std over images, as Table A2 defines them, as they are kept or
    else measured here.

    Returns
    -------
    mean, std : tuple of float
        In 0 … 1. A std is the mean over images of each image's unbiased std over its pixels.
    how : str
        "exact", "closed form" or the size of a sample.
    """
    if is_benchmark(data) and (kept := facts(data.name, data.origin)) is not None:
        return tuple(kept["mean"]), tuple(kept["std"]), kept["scales"]["constants"]
    return measure_constants(data)


def measure_constants(
    data: FactorData, *, whole: bool = False
) -> tuple[tuple[float, ...], tuple[float, ...], str]:
    """Measure what `constants` returns: over the whole data set, or if that takes minutes and is
    not asked for over a sample.
    """
    if data.name == "xysquares":
        return data.mean, data.std, "closed form"
    if isinstance(data, DSprites):
        # pixels are on or off, so that areas say it all
        every = torch.arange(len(data)).split(16_384)
        pixels = math.prod(data.shape)
        share = (
            np.concatenate([_LIT[data.packed_images(part).numpy()].sum(1) for part in every])[
                :, None
            ]
            / pixels
        )
        return (
            tuple(share.mean(0).tolist()),
            tuple(np.sqrt(share * (1 - share) * pixels / (pixels - 1)).mean(0).tolist()),
            "exact",
        )
    stored = prepare.stored_facts(data.name, data.origin) if isinstance(data, Stored) else None
    if stored is not None:
        # counted when the images were converted
        return tuple(stored["mean"]), tuple(stored["std"]), "exact"
    drawn = (
        torch.arange(len(data))
        if whole
        else data.factors.sample_index(_IMAGES, generator=torch.Generator().manual_seed(0))
    )
    seen = converted._Moments((len(drawn), *data.shape))
    for part in drawn.split(1024):
        seen.add(data.images(part).cpu().numpy())
    mean, std = seen.result()
    return tuple(mean), tuple(std), "exact" if whole else f"{_IMAGES:,} random images"


def is_benchmark(data: FactorData) -> bool:
    """Whether these are the images that the paper's data set of that name and origin consists of,
    in its own factors.
    """
    made_by = DATA_SETS.get(data.name, {}).get(data.origin) if data.name in BENCHMARKS else None
    return made_by is not None and type(data) is made_by


def kept_at(name: str, origin: str) -> Path:
    """Return where means and constants of a data set are kept; its distributions lie beside them,
    as .npz.
    """
    return default_root() / "distances" / f"{name}-{origin}.json"


def facts(name: str, origin: str) -> dict[str, Any] | None:
    """Return the means and constants that are kept of a data set, or None; if they are damaged,
    None and a warning.
    """
    path = kept_at(name, origin)
    if not path.exists():
        return None
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        _check_facts(kept)
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as problem:
        _warn_of_damage(path, name, problem)
        return None
    # a stand-in that is drawn otherwise now is another one
    return None if origin == "stand-in" and kept["made_by"]["drawing"] != scenes.VERSION else kept


def write(name: str, origin: str, plain: Mapping[str, Any], found: Distances) -> Path:
    """Keep means and constants, and distributions; return where."""
    path = kept_at(name, origin)
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in plain.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    _files.write_atomically(path.with_suffix(".npz"), _files.npz(_pack(found)))
    _files.write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")
    return path


def _check_facts(kept: dict[str, Any]) -> None:
    """Raise an error unless facts have the form that `write` gives them."""
    for row in kept["rows"].values():
        mean, sd, mean_error, sd_error = row
        if not all(isinstance(value, float | int) for value in (mean, sd, mean_error, sd_error)):
            raise ValueError("a row has no four numbers")
    if not {*kept["rows"], "random", "constants"} <= kept["scales"].keys() or not all(
        isinstance(s, str) for s in kept["scales"].values()
    ):
        raise ValueError("it does not say how each row was obtained")
    if (
        not kept["mean"]
        or len(kept["mean"]) != len(kept["std"])
        or not all(isinstance(v, float) for v in (*kept["mean"], *kept["std"]))
    ):
        raise ValueError("mean and std are no numbers")
    for matrix in kept["matrices"].values():
        shape = np.array(matrix, float).shape
        if len(shape) != 2 or shape[0] != shape[1]:
            raise ValueError("a matrix is not square")
    _ = kept["name"], kept["origin"], kept["made_by"]["drawing"]


def _warn_of_damage(path: Path, name: str, problem: Exception) -> None:
    warnings.warn(
        f"{path} cannot be read ({type(problem).__name__}: {problem}), so what it holds is measured or left out; bring it back with "
        f"git checkout, or run: python -m vaedis_companion.claims --force {name}",
        DamagedFile,
        stacklevel=3,
    )


def _stored_distances(data: FactorData) -> Distances | None:
    """Return the distances that are kept of a data set, or None; if they are damaged, None and a
    warning.
    """
    path = kept_at(data.name, data.origin).with_suffix(".npz")
    if not path.is_file() or facts(data.name, data.origin) is None:
        return None
    try:
        return _unpack(data.factors.names, data.factors.sizes, _load(path, path.stat().st_mtime_ns))
    except (OSError, ValueError, TypeError, LookupError) as problem:
        _warn_of_damage(path, data.name, problem)
        return None


def _arrays(name: str, origin: str) -> dict[str, np.ndarray] | None:
    path = kept_at(name, origin).with_suffix(".npz")
    return (
        _load(path, path.stat().st_mtime_ns)
        if path.exists() and facts(name, origin) is not None
        else None
    )


@functools.lru_cache(maxsize=8)
def _load(path: Path, changed: int) -> dict[str, np.ndarray]:
    return _files.load_npz(path)


def _pack(found: Distances) -> dict[str, np.ndarray]:
    """Distances as arrays that take little room: each pair of values once, in single precision; MSE
    is symmetric, and 0 of equal images.
    """
    random = found.random
    steps = (
        np.linspace(0, len(random.sample) - 1, min(_QUANTILES, len(random.sample)))
        .round()
        .astype(int)
    )
    numbers = [
        random.mean,
        random.sd,
        random.mean_error,
        random.sd_error,
        random.fourth,
        found.pairs,
    ]
    arrays = {"random": np.array(numbers), "random/sample": random.sample[steps].astype(np.float32)}
    for factor, one in found.along.items():
        above = np.triu_indices(len(one.matrix), 1)
        numbers = [
            one.traversals,
            one.mean,
            one.sd,
            one.smallest,
            one.largest,
            one.width,
            one.fourth,
            *one.between.flatten(),
        ]
        mean, square = one.matrix[above], one.square_matrix[above]
        # of the squares only what they exceed the mean's by, since sums of many are all that they
        # are used for; nothing where a distance is 0 but for rounding, as between dSprites' first
        # and last orientation
        excess = (
            np.divide(square, mean**2, out=np.ones_like(square), where=mean > 1e-9 * mean.max()) - 1
        )
        used = int(np.flatnonzero(one.counts[1:].sum(0)).max()) + 1
        counts = one.counts[1:, :used] // 2
        arrays |= {
            factor: np.array([*numbers, float(one.exact)]),
            f"{factor}/matrix": mean.astype(np.float32),
            f"{factor}/excess": excess.astype(np.float16),
            f"{factor}/counts": counts.astype(np.min_scalar_type(int(counts.max()))),
        }
    return arrays


def _unpack(
    names: tuple[str, ...], sizes: tuple[int, ...], arrays: Mapping[str, np.ndarray]
) -> Distances:
    mean, sd, mean_error, sd_error, fourth, pairs = arrays["random"].tolist()
    random = RandomPairs(
        mean, sd, mean_error, sd_error, fourth, arrays["random/sample"].astype(np.float64)
    )
    found = {}
    for factor, size in zip(names, sizes, strict=True):
        traversals, mean, sd, smallest, largest, width, fourth, *between, exact = arrays[
            factor
        ].tolist()
        above = np.triu_indices(size, 1)
        matrices = np.zeros((2, size, size))
        means = arrays[f"{factor}/matrix"].astype(np.float64)
        matrices[:, above[0], above[1]] = (
            means,
            means**2 * (1 + arrays[f"{factor}/excess"].astype(np.float64)),
        )
        matrices += matrices.transpose(0, 2, 1)
        counts = 2 * arrays[f"{factor}/counts"].astype(np.int64)
        counts = np.concatenate([np.zeros_like(counts[:1]), counts])
        counts[0, 0] = traversals * size
        found[factor] = FactorDistances(
            factor=factor,
            matrix=matrices[0],
            square_matrix=matrices[1],
            pairs=np.full((size, size), int(traversals)),
            traversals=int(traversals),
            exact=bool(exact),
            mean=mean,
            sd=sd,
            smallest=smallest,
            largest=largest,
            counts=counts,
            width=width,
            between=np.array(between).reshape(2, 2),
            fourth=fourth,
        )
    return Distances(found, random, int(pairs))
