"""One encoding, many scores: the published protocols applied to a model and a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vaedis import _check
from vaedis.data import LabelledImages, as_data
from vaedis.metrics._dci import dci
from vaedis.metrics._encoder import encoder, observer
from vaedis.metrics._factor_vae import factor_vae
from vaedis.metrics._inputs import needed_samples
from vaedis.metrics._mig import mig, mig_quantile
from vaedis.metrics._modularity import explicitness, modularity
from vaedis.metrics._rank_correlations import rank_correlations
from vaedis.metrics._sap import sap
from vaedis.metrics._scores import Score
from vaedis.metrics._traversals import factored_components, flatness

TABLE_BYTES = 2**28
PROTOCOLS = ("full", "fast")
# Of fewer images than the full protocols draw, each is drawn once at most.
EACH_ONCE = 15_000


@dataclass(frozen=True)
class _OfSamples:
    """A score of codes and factors, and the samples (to train, to test) of each protocol."""

    call: Callable[..., Score]
    full: tuple[int, int]
    fast: tuple[int, int]


@dataclass(frozen=True)
class _OfEncoder:
    """A score of an encoder and a FactorSpace, its options in each protocol, and how many
    observations it then encodes.
    """

    call: Callable[..., Score]
    draws: Callable[..., int]
    full: dict[str, int]
    fast: dict[str, int]


SAMPLE_METRICS = {
    "mig": _OfSamples(mig, (10_000, 0), (2_000, 0)),
    "mig_quantile": _OfSamples(mig_quantile, (10_000, 0), (2_000, 0)),
    "dci": _OfSamples(dci, (10_000, 5_000), (1_000, 500)),
    "sap": _OfSamples(sap, (10_000, 5_000), (2_000, 1_000)),
    "modularity": _OfSamples(modularity, (10_000, 0), (2_000, 0)),
    "explicitness": _OfSamples(explicitness, (10_000, 5_000), (1_000, 500)),
}


def _batch_draws(space: Any, n_train: int, n_eval: int, n_variance: int) -> int:
    return (n_train + n_eval) * 64 + n_variance


def _path_draws(space: Any, repeats: int) -> int:
    return repeats * sum(space.sizes)


ENCODER_METRICS = {
    "factor_vae": _OfEncoder(
        factor_vae,
        _batch_draws,
        {"n_train": 10_000, "n_eval": 5_000, "n_variance": 10_000},
        {"n_train": 700, "n_eval": 350, "n_variance": 1_000},
    ),
    "flatness": _OfEncoder(flatness, _path_draws, {"repeats": 1024}, {"repeats": 128}),
    "factored_components": _OfEncoder(
        factored_components, _path_draws, {"repeats": 1024}, {"repeats": 128}
    ),
    "rank_correlations": _OfEncoder(
        rank_correlations, _path_draws, {"repeats": 1024}, {"repeats": 128}
    ),
}


def evaluate(
    model: Any,
    data: Any,
    *,
    metrics: Iterable[str] = ("mig", "dci"),
    protocol: str = "full",
    seed: int = 0,
    batch_size: int | None = None,
) -> dict[str, Score]:
    """Score a model's representation of a data set.

    Observations are drawn uniformly with replacement, as published, and encoded once for all
    metrics; the posterior mean is the representation. Of a `data.LabelledImages`, and of any data
    of fewer than 15,000 images, each is drawn once at most, so that no image is tested on that was
    trained on; samples are then as many as there are, shared between training and test as in the
    protocol. For metrics that draw batches with fixed factors or traversals, a data set of moderate
    size is encoded as a whole instead.

    Parameters
    ----------
    model : object or callable
        With ``encode(x)``, or itself such a function. It returns means of shape (B, z): by
        themselves, as the first of a tuple such as ``(mean, logvar)``, as ``embedding`` of an
        object or a mapping, or as a torch Distribution. Networks, also those that a function refers
        to, are put into evaluation mode and back, and are given observations on their device and in
        their precision. One that `fit` trained sees images as it did in training, normalized or
        not.
    data : object
        With ``factors``, a `FactorSpace`, and ``observations(index) -> (B, C, H, W)``. Of a
        `data.LabelledImages` that is no grid, images are drawn as they are listed, with their
        labels.
    metrics : iterable of str
        Any of mig, mig_quantile, dci, sap, modularity, explicitness, factor_vae, flatness,
        factored_components, rank_correlations.
    protocol : {"full", "fast"}
        Published numbers of samples: "full" is 10,000 for MIG, and 10,000 to train and 5,000 to
        test for DCI; "fast" is 2,000, and 1,000 and 500. Scores of the two are not comparable.
    seed : int
        Seed of the draw and of each score.
    batch_size : int, optional
        Observations encoded at a time; by default 4096 on a GPU and 256 elsewhere.

    Returns
    -------
    dict of str to Score

    Raises
    ------
    ValueError
        If a metric or the protocol is unknown, the codes are not finite, the model returns
        something else, there are fewer than two images to train on for each value of a factor, or a
        metric that draws batches with fixed factors or traversals is asked for of data that is no
        grid.
    TypeError
        If the model can encode nothing, or the data is no data set.

    References
    ----------
    Michlo, Klein and James (2023), section 5; protocols from the authors' ``disent/metrics``.
    """
    data = as_data(data)
    names = _check.listed(metrics)
    for name in names:
        _check.one_of("metric", name, (*SAMPLE_METRICS, *ENCODER_METRICS))
        if name in ENCODER_METRICS and hasattr(data, "require_full_grid"):
            data.require_full_grid(f"the score {name!r}")
    _check.one_of("protocol", protocol, PROTOCOLS), _check.count("seed", seed, 0)
    if not hasattr(data, "factors"):
        raise TypeError(
            f"data must be a data set, not a {type(data).__name__}: pass vaedis.Table(images, labels)."
        )
    space, encode = data.factors, encoder(model, data, batch_size)
    of_encoder = {name: ENCODER_METRICS[name] for name in names if name in ENCODER_METRICS}
    of_samples = {name: SAMPLE_METRICS[name] for name in names if name in SAMPLE_METRICS}
    if (
        sum(metric.draws(space, **getattr(metric, protocol)) for metric in of_encoder.values())
        >= space.size
    ):
        encode = _tabulate(encode, space)

    scores = _score_samples(of_samples, encode, data, protocol, seed) if of_samples else {}
    for name, metric in of_encoder.items():
        options = {"observe": observer(model, data)} if name == "rank_correlations" else {}
        scores[name] = metric.call(encode, space, **getattr(metric, protocol), **options, seed=seed)
    return {name: scores[name] for name in names}


def _score_samples(
    of_samples: dict[str, _OfSamples],
    encode: Callable[[Tensor], Tensor],
    data: Any,
    protocol: str,
    seed: int,
) -> dict[str, Score]:
    """Encode one draw of observations and compute scores of codes and factors from it."""
    # Of images that are no grid, an index is a row, and factors are what its labels say.
    listed = not getattr(data, "grid", True)
    n_images = len(data) if listed else data.factors.size
    counts = {name: getattr(metric, protocol) for name, metric in of_samples.items()}
    generator = torch.Generator().manual_seed(seed)
    if listed or n_images < EACH_ONCE or isinstance(data, LabelledImages):
        counts = {
            name: _share(name, count, n_images, data.factors) for name, count in counts.items()
        }
        drawn = torch.randperm(n_images, generator=generator)
    else:
        # The draw is the same whatever is asked for, so that a score does not depend on which
        # others are computed beside it.
        most = max(sum(getattr(metric, protocol)) for metric in SAMPLE_METRICS.values())
        drawn = data.factors.sample_index(most, generator=generator)
    drawn = drawn[: max(sum(count) for count in counts.values())]
    codes, factors = (
        encode(drawn),
        data.to_factors(drawn) if listed else data.factors.to_factors(drawn),
    )

    scores: dict[str, Score] = {}
    for name, (n_train, n_test) in counts.items():
        held = slice(n_train, n_train + n_test)
        options = {"test": (codes[held], factors[held])} if n_test else {}
        scores[name] = of_samples[name].call(
            codes[:n_train], factors[:n_train], **options, seed=seed
        )
    return scores


def _share(name: str, most: tuple[int, int], n_images: int, space: Any) -> tuple[int, int]:
    """Return how many of the images to train and to test on, in the protocol's proportion and at most
    as many.

    Raises
    ------
    ValueError
        If the images to train on are too few for a factor's values.
    """
    n_train, n_test = most
    n = min(n_images, n_train + n_test)
    n_held = n * n_test // (n_train + n_test)
    n_values = max(space.sizes)
    needed = needed_samples(n_values)
    if n - n_held < needed:
        fewest = -(-needed * (n_train + n_test) // n_train)
        more = f", or give at least {fewest:,} images" if needed <= n_train else ""
        raise ValueError(
            f"{name} of {n_images:,} images is computed from {n - n_held:,} of them, but factor "
            f"{space.names[space.sizes.index(n_values)]!r} has {n_values:,} values and needs at least {needed:,}: "
            f"group its values into fewer classes{more}."
        )
    return n - n_held, n_held


def _tabulate(encode: Callable[[Tensor], Tensor], space: Any) -> Callable[[Tensor], Tensor]:
    """Encode every observation once and look codes up from then on, if they fit into `TABLE_BYTES`.

    The published vote on fixed factors alone draws 960,000 observations, more than most data sets
    have.
    """
    first = encode(torch.zeros(1, dtype=torch.int64))
    if space.size * first.shape[1] * first.element_size() > TABLE_BYTES:
        return encode
    table = encode(torch.arange(space.size))
    return lambda index: table[index]
