"""Perceived distances and channel constants of whole data sets, stored or measured now.

Measuring a whole data set takes minutes. ``vaedis measure`` does it once and writes one file for
each data set and origin of its images to ``results/distances``; all else reads these files.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vaedis import _check, _files
from vaedis.data import DATA_SETS, FactorData, load, prepare
from vaedis.data.originals.catalog import BENCHMARKS
from vaedis.data.standins import scenes
from vaedis.distances import FactorDistances, RandomPairs, factor_distances, random_pairs
from vaedis_companion.project import commit
from vaedis_companion.store import Store, default_root

# the spread of random pairs is sampled even where their mean is exact
_STORED_PAIRS = 100_000
# a stored sample of random pairs holds quantiles only, and stored counts have no more bins
_QUANTILES = 2_000
# in the file of a data set that is no stand-in
_NO_DRAWING = -1
_PAIRS = 50_000
_CONSTANTS_IMAGES = 20_000
# mean squared errors are symmetric and 0 on the diagonal, so one triangle is stored
_SYMMETRIC = ("matrix", "square_matrix")
_NOT_STORED = ("factor", "within", "within_circle", "rounding")


@dataclass(frozen=True)
class Distances:
    """Perceived distances (mean squared error, pixels in 0 … 1) and constants of a data set.

    `name` and `origin` are as for `vaedis.load`. A stored `random` holds 2,000 quantiles of its
    sample, which had `pairs` random pairs. `mean` and `std` are of each channel, in 0 … 1; a std is
    the mean over images of each image's unbiased std over its pixels, as in Table A2.
    `constants_method` says how they were obtained: "exact", "closed form" or the size of a sample.
    """

    name: str
    origin: str
    factors: dict[str, FactorDistances]
    random: RandomPairs
    pairs: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    constants_method: str

    @property
    def method(self) -> str:
        """How distances along factors were obtained: "exact", or how many traversals were drawn."""
        sampled = sorted({f.traversals for f in self.factors.values() if not f.exact})
        return f"{'/'.join(f'{n:,}' for n in sampled)} random traversals" if sampled else "exact"

    @property
    def random_method(self) -> str:
        """How mean and sd of random pairs were obtained: "exact", or from how many pairs."""
        if not self.random.sd_error:
            return "exact"
        sample = f"{self.pairs:,} random pairs"
        return sample if self.random.mean_error else f"mean exact, sd of {sample}"


def distances(data: FactorData, *, traversals: int | None = None, pairs: int = _PAIRS) -> Distances:
    """Return a data set's perceived distances and constants, stored or measured now.

    If no result is stored, `traversals` random traversals of each factor are taken, by default all,
    which may take minutes, and `pairs` random pairs, whose mean is exact without `traversals`. A
    factor that no more traversals stand for exactly takes them all.

    Examples
    --------
    >>> import vaedis as vd
    >>> xysquares = distances(vd.load("xysquares"))
    >>> f"{xysquares.factors['x_R'].mean:.4f}", xysquares.method, xysquares.constants_method
    ('0.0104', 'exact', 'closed form')
    """
    result = stored(data.name, data.origin) if is_benchmark(data) else None
    return result or _measure(data, traversals, pairs)


@functools.cache
def _xysquares() -> Distances:
    return _measure(load("xysquares"), None, _PAIRS)


def benchmark(name: str, root: Path | None = None) -> Distances | None:
    """Return the stored distances of one of the paper's data sets, by its name for `vaedis.load`.

    They are read from the store's folder `root`, by default `store.default_root`. The original
    comes first; None if nothing is stored (``vaedis measure``). XYSquares' are computed. Nothing is
    downloaded or drawn.
    """
    _check.one_of("data set", name, ("xysquares", *BENCHMARKS))
    if name == "xysquares":
        return _xysquares()
    results = (stored(name, origin, root) for origin in DATA_SETS[name])
    return next((result for result in results if result is not None), None)


def is_benchmark(data: FactorData) -> bool:
    """Whether these are the images and factors of the paper's data set of that name and origin."""
    if data.name not in BENCHMARKS:
        return False
    return type(data) is DATA_SETS[data.name].get(data.origin)


def measure_data_sets(names: Sequence[str] = (), *, force: bool = False) -> None:
    """Measure whole data sets whose images are on this machine, and store the results.

    By default all benchmark data sets that are not stored already; with `force` these, too. An
    OSError says that the store is no folder that may be written into.
    """
    for name in names:
        _check.one_of("data set", name, BENCHMARKS)
    Store().check_folder()
    for name in names or BENCHMARKS:
        for origin in DATA_SETS[name]:
            print(f"{name}, {origin}: {_measure_and_store(name, origin, force)}", file=sys.stderr)


def _measure_and_store(name: str, origin: str, force: bool) -> str:
    """Measure a data set unless there is no need, and return what was done, in words."""
    path = stored_path(name, origin)
    if not _is_here(name, origin):
        return "no images on this machine"
    if not force and _is_stored(name, origin):
        return "stored already"
    started = time.perf_counter()
    result = _measure(load(name, origin=origin), None, _STORED_PAIRS)
    path.parent.mkdir(parents=True, exist_ok=True)
    _files.write_atomically(path, _files.npz(to_arrays(result)))
    return f"{time.perf_counter() - started:.0f} s, {path.name}"


def _is_stored(name: str, origin: str) -> bool:
    """Return whether a result is stored that is read: a damaged or older file is measured anew."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", _files.DamagedFile)
        return stored(name, origin) is not None


def _is_here(name: str, origin: str) -> bool:
    return origin == "rendered" or prepare.stored_facts(name, origin) is not None


def _measure(data: FactorData, traversals: int | None, pairs: int) -> Distances:
    """Measure a data set, with all traversals or so many of each factor."""
    names = data.factors.names
    sampled = []
    if traversals is not None:
        sampled = [factor for factor in names if len(data.exact_bases(factor)) > traversals]
    exact = [factor for factor in names if factor not in sampled]
    factors = factor_distances(data, factors=exact) if exact else {}
    for factor in sampled:
        factors |= factor_distances(data, factors=[factor], traversals=traversals)
    return Distances(
        data.name,
        data.origin,
        {factor: factors[factor] for factor in names},
        random_pairs(data, pairs=pairs, exact_mean=not sampled),
        pairs,
        *_constants(data, exact=traversals is None),
    )


def _constants(
    data: FactorData, *, exact: bool
) -> tuple[tuple[float, ...], tuple[float, ...], str]:
    """Return mean and std of each channel, and how they were obtained."""
    if data.name == "xysquares":
        return data.mean, data.std, "closed form"
    # a converted data set stored these numbers at its conversion
    facts = prepare.stored_facts(data.name, data.origin) if is_benchmark(data) else None
    if facts is not None:
        return tuple(facts["mean"]), tuple(facts["std"]), "exact"
    index = torch.arange(len(data))
    if not exact:
        generator = torch.Generator().manual_seed(0)
        index = data.factors.sample_index(_CONSTANTS_IMAGES, generator=generator)
    mean, std = torch.zeros(2, data.shape[-1], dtype=torch.float64)
    for part in index.split(256):
        pixels = data.images(part).cpu().flatten(1, 2).double() / 255
        mean += pixels.mean(1).sum(0)
        std += pixels.std(1).sum(0)
    method = "exact" if exact else f"{_CONSTANTS_IMAGES:,} random images"
    return tuple((mean / len(index)).tolist()), tuple((std / len(index)).tolist()), method


def stored_path(name: str, origin: str, root: Path | None = None) -> Path:
    """Return the path at which the result for a data set is stored."""
    return (root or default_root()) / "distances" / f"{name}-{origin}.npz"


def stored(name: str, origin: str, root: Path | None = None) -> Distances | None:
    """Return the stored result for a data set, or None; None and a warning if it is damaged."""
    path = stored_path(name, origin, root)
    if not path.is_file():
        return None
    try:
        arrays = _load(path, path.stat().st_mtime_ns)
        drawing = int(arrays["drawing"])
        result = from_arrays(name, origin, arrays)
        sizes = {factor: len(f.matrix) for factor, f in result.factors.items()}
        if sizes != dict(BENCHMARKS[name].factors):
            raise ValueError(f"it has the factors {sizes}")
        if origin != "stand-in" and drawing != _NO_DRAWING:
            raise ValueError(f"it holds distances of a stand-in, not of {origin} images")
    except (OSError, ValueError, TypeError, LookupError) as problem:
        warnings.warn(
            f"{path} cannot be read ({type(problem).__name__}: {problem}), so what it holds is "
            "measured or left out; bring it back with git checkout, or run: vaedis measure "
            f"--force {name}",
            _files.DamagedFile,
            stacklevel=3,
        )
        return None
    # a stand-in whose drawing has changed since is another data set
    return None if origin == "stand-in" and drawing != scenes.VERSION else result


@functools.lru_cache(maxsize=8)
def _load(path: Path, modified: int) -> dict[str, np.ndarray]:
    return _files.load_npz(path)


def to_arrays(result: Distances) -> dict[str, np.ndarray]:
    """Return distances as the arrays of a file; `random` becomes quantiles, bins are fewer."""
    sample = result.random.sample
    steps = np.linspace(0, len(sample) - 1, min(_QUANTILES, len(sample))).round().astype(int)
    arrays = {
        "mean": np.array(result.mean),
        "std": np.array(result.std),
        "constants_method": np.array(result.constants_method),
        "pairs": np.array(result.pairs),
        "drawing": np.array(scenes.VERSION if result.origin == "stand-in" else _NO_DRAWING),
        "made_by": np.array(f"commit {commit()}, torch {torch.__version__}"),
    }
    groups: dict[str, Any] = {
        **{name: _with_fewer_bins(one) for name, one in result.factors.items()},
        "random": dataclasses.replace(result.random, sample=sample[steps]),
    }
    for group, record in groups.items():
        for field in dataclasses.fields(record):
            value = getattr(record, field.name)
            if field.name not in _NOT_STORED and value is not None:
                arrays[f"{group}/{field.name}"] = _compact(field.name, np.asarray(value))
    return arrays


def _with_fewer_bins(one: FactorDistances) -> FactorDistances:
    """Return distances with neighbouring bins put together, all but the first, which may be 0."""
    step = -(-len(one.bins) // _QUANTILES)
    if step == 1:
        return one
    starts = np.r_[0, np.arange(1, len(one.bins), step)]
    pairs = one.counts.sum(0)
    counts = np.add.reduceat(one.counts, starts, 1)
    sizes = np.diff(np.r_[starts, len(one.bins)])
    return dataclasses.replace(
        one,
        counts=counts,
        bins=np.add.reduceat(one.bins * pairs, starts) / counts.sum(0),
        differ=(sizes > 1) | one.differ[starts],
    )


def _compact(field: str, array: np.ndarray) -> np.ndarray:
    if field in _SYMMETRIC:
        return np.triu(array, 1).astype(np.float32)
    if field in ("sample", "bins"):
        return array.astype(np.float32)
    if array.ndim and array.dtype.kind == "i":
        return array.astype(np.min_scalar_type(int(array.max())))
    return array


def from_arrays(name: str, origin: str, arrays: Mapping[str, np.ndarray]) -> Distances:
    """Return what `to_arrays` made arrays of; an error if anything is missing or not finite."""
    groups = dict.fromkeys(key.partition("/")[0] for key in arrays if "/" in key)
    factors = {
        group: FactorDistances(factor=group, **_fields(FactorDistances, arrays, group))
        for group in groups
        if group != "random"
    }
    return Distances(
        name,
        origin,
        factors,
        RandomPairs(**_fields(RandomPairs, arrays, "random")),
        int(arrays["pairs"]),
        tuple(arrays["mean"].tolist()),
        tuple(arrays["std"].tolist()),
        str(arrays["constants_method"]),
    )


def _fields(record: type, arrays: Mapping[str, np.ndarray], group: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field in dataclasses.fields(record):
        array = arrays.get(f"{group}/{field.name}")
        if array is None:
            continue
        if field.name in _SYMMETRIC:
            array = array + array.T
        if array.ndim:
            kinds = {"i": np.int64, "u": np.int64, "b": np.bool_}
            values[field.name] = array.astype(kinds.get(array.dtype.kind, np.float64))
        else:
            values[field.name] = array.item()
    return values
