"""Several scores at once: of codes and factors, or of a model by the published protocols."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vaedis import _check
from vaedis.data import LabelledImages, as_data
from vaedis.metrics._dci import dci
from vaedis.metrics._encoder import encoder
from vaedis.metrics._explicitness import explicitness
from vaedis.metrics._inputs import needed_samples
from vaedis.metrics._mig import mig, mig_quantile
from vaedis.metrics._modularity import modularity
from vaedis.metrics._sap import sap
from vaedis.metrics._scores import Score

# Data sets with fewer images than the full protocols draw are used without replacement.
EACH_ONCE = 15_000


@dataclass(frozen=True)
class Protocol:
    """A score and its published numbers of samples, (to train, to test)."""

    compute: Callable[..., Score]
    full: tuple[int, int]
    fast: tuple[int, int]


PROTOCOLS = {
    "mig": Protocol(mig, full=(10_000, 0), fast=(2_000, 0)),
    "mig_quantile": Protocol(mig_quantile, full=(10_000, 0), fast=(2_000, 0)),
    "dci": Protocol(dci, full=(10_000, 5_000), fast=(1_000, 500)),
    "sap": Protocol(sap, full=(10_000, 5_000), fast=(2_000, 1_000)),
    "modularity": Protocol(modularity, full=(10_000, 0), fast=(2_000, 0)),
    "explicitness": Protocol(explicitness, full=(10_000, 5_000), fast=(1_000, 500)),
}


def score(
    codes: Any, factors: Any, *, metrics: Iterable[str] = tuple(PROTOCOLS), seed: int = 0
) -> dict[str, Score]:
    """Compute several scores of the same codes and factors.

    Parameters
    ----------
    codes, factors
        As in `dci`. Scores with test samples draw a third for it.
    metrics : iterable of str
        By default all: mig, mig_quantile, dci, sap, modularity and explicitness.
    seed : int
        Seed of each score.

    Returns
    -------
    dict of str to Score

    Raises
    ------
    ValueError, TypeError
        If a metric is unknown, or one of the scores refuses the codes or factors.

    Examples
    --------
    >>> import numpy as np, vaedis as vd
    >>> factors = np.array([(a, b) for a in range(2) for b in range(2)] * 25)
    >>> scores = vd.metrics.score(factors * 1.0, factors, metrics=["mig", "dci", "modularity"])
    >>> {name: round(float(result), 2) for name, result in scores.items()}
    {'mig': 1.0, 'dci': 1.0, 'modularity': 1.0}
    """
    return {
        name: PROTOCOLS[name].compute(codes, factors, seed=seed) for name in _known_names(metrics)
    }


def evaluate(
    model: Any,
    data: Any,
    *,
    metrics: Iterable[str] = ("mig", "dci"),
    protocol: str = "full",
    seed: int = 0,
) -> dict[str, Score]:
    """Score a model's representation of a data set by the published protocols.

    Observations are drawn uniformly with replacement, as published, and encoded once for all
    metrics; the posterior mean is the representation. A `data.LabelledImages`, and any data of
    fewer than 15,000 images, are used without replacement instead, so that no image is both trained
    and tested on; if images are too few, they are shared in the protocol's proportion.

    Parameters
    ----------
    model : object or callable
        With ``encode(x)``, or itself such a function. It returns means of shape (B, z): by
        themselves, as the first of a tuple such as ``(mean, logvar)``, as ``embedding`` of an
        object or a mapping, or as a torch Distribution. Networks that it is or refers to are put
        into evaluation mode meanwhile, and get observations on their device and in their precision,
        normalized as `fit` normalized them.
    data : FactorData, (images, labels) or object
        Whatever `data.as_data` takes, or an object with ``factors``, a `FactorSpace`, and
        ``observations(index) -> (B, C, H, W)``.
    metrics : iterable of str
        Any of mig, mig_quantile, dci, sap, modularity, explicitness.
    protocol : {"full", "fast"}
        Published numbers of samples: "full" is 10,000 for MIG, and 10,000 to train and 5,000 to
        test for DCI; "fast" is 2,000, and 1,000 and 500. Scores of the two are not comparable.
    seed : int
        Seed of the draw and of each score.

    Returns
    -------
    dict of str to Score

    Raises
    ------
    ValueError
        If a metric or the protocol is unknown, the codes are not finite, the model returns
        something else, or there are fewer than two images to train on for each value of a factor.
    TypeError
        If the model can encode nothing, or the data is no data set.

    References
    ----------
    Michlo, Klein and James (2023), section 5; protocols from the authors' ``disent/metrics``.

    Examples
    --------
    >>> import numpy as np, vaedis as vd
    >>> labels = np.array([(a, b) for a in range(4) for b in range(4)])
    >>> images = np.zeros((16, 2, 2), np.uint8)
    >>> images[:, 0] = 80 * labels
    >>> corners = lambda x: x[:, 0, 0]
    >>> scores = vd.metrics.evaluate(corners, (images, labels), metrics=["mig"], protocol="fast")
    >>> print(f"{scores['mig'].score:.2f} of {scores['mig'].n_samples} images")
    1.00 of 16 images
    """
    data = as_data(data)
    names = _known_names(metrics)
    _check.one_of("protocol", protocol, ("full", "fast"))
    _check.count("seed", seed, 0)
    if not hasattr(data, "factors"):
        raise TypeError(
            f"data must be a data set, not a {type(data).__name__}: pass (images, labels)."
        )
    if not names:
        return {}
    index, counts = _draw(names, data, protocol, seed)
    codes = encoder(model, data)(index)
    factors = _space_of(data).to_factors(index)
    scores = {}
    for name, (n_train, n_test) in counts.items():
        test = slice(n_train, n_train + n_test)
        options = {"test": (codes[test], factors[test])} if n_test else {}
        scores[name] = PROTOCOLS[name].compute(
            codes[:n_train], factors[:n_train], **options, seed=seed
        )
    return scores


def _known_names(metrics: Iterable[str]) -> list[str]:
    """Return the names of metrics, each once; an unknown one raises a ValueError."""
    names = [metrics] if isinstance(metrics, str) else list(dict.fromkeys(metrics))
    for name in names:
        _check.one_of("metric", name, PROTOCOLS)
    return names


def _space_of(data: Any) -> Any:
    """Return what maps indices to factors: images that are no grid have labels of their own."""
    return data.factors if getattr(data, "grid", True) else data


def _draw(
    names: list[str], data: Any, protocol: str, seed: int
) -> tuple[Tensor, dict[str, tuple[int, int]]]:
    """Return the indices to encode, and how many of them each score trains and tests on."""
    counts = {name: getattr(PROTOCOLS[name], protocol) for name in names}
    generator = torch.Generator().manual_seed(seed)
    is_grid = getattr(data, "grid", True)
    n_images = data.factors.size if is_grid else len(data)
    if not is_grid or n_images < EACH_ONCE or isinstance(data, LabelledImages):
        counts = {name: _share(name, n, n_images, data.factors) for name, n in counts.items()}
        index = torch.randperm(n_images, generator=generator)
    else:
        # As many as the largest score needs, so that a score is the same whichever others are
        # computed beside it.
        largest = max(sum(getattr(metric, protocol)) for metric in PROTOCOLS.values())
        index = data.factors.sample_index(largest, generator=generator)
    return index[: max(sum(count) for count in counts.values())], counts


def _share(name: str, most: tuple[int, int], n_images: int, space: Any) -> tuple[int, int]:
    """Return how many images to train and to test on, in the protocol's proportion at most.

    Raises a ValueError if the images to train on are too few for a factor's values.
    """
    total = sum(most)
    n = min(n_images, total)
    n_test = n * most[1] // total
    n_train = n - n_test
    n_values = max(space.sizes)
    needed = needed_samples(n_values)
    if n_train < needed:
        fewest = -(-needed * total // most[0])
        more = f", or give at least {fewest:,} images" if needed <= most[0] else ""
        raise ValueError(
            f"{name} of {n_images:,} images is computed from {n_train:,} of them, but factor "
            f"{space.names[space.sizes.index(n_values)]!r} has {n_values:,} values and needs at "
            f"least {needed:,}: group its values into fewer classes{more}."
        )
    return n_train, n_test
