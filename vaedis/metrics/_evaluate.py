"""One encoding, many scores: the published protocols applied to a model and a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedis import _check
from vaedis.data import as_data
from vaedis.metrics._dci import dci
from vaedis.metrics._factor_vae import factor_vae
from vaedis.metrics._mig import mig, mig_quantile
from vaedis.metrics._modularity import explicitness, modularity
from vaedis.metrics._rank_correlations import rank_correlations
from vaedis.metrics._sap import sap
from vaedis.metrics._scores import Score
from vaedis.metrics._traversals import factored_components, flatness

CPU_BATCH, CUDA_BATCH = 256, 4096
TABLE_BYTES = 2**28
PROTOCOLS = ("full", "fast")


@dataclass(frozen=True)
class _OfSamples:
    """A score of codes and factors, and the samples (to train, to test) of each protocol."""

    call: Callable[..., Score]
    full: tuple[int, int]
    fast: tuple[int, int]


@dataclass(frozen=True)
class _OfEncoder:
    """A score of an encoder and a FactorSpace, its options in each protocol, and how many observations it then encodes."""

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
    "factored_components": _OfEncoder(factored_components, _path_draws, {"repeats": 1024}, {"repeats": 128}),
    "rank_correlations": _OfEncoder(rank_correlations, _path_draws, {"repeats": 1024}, {"repeats": 128}),
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

    Observations are drawn uniformly with replacement, and encoded once for all metrics; the posterior mean is the representation. For
    metrics that draw batches with fixed factors or traversals, a data set of moderate size is encoded as a whole instead. The model is put
    into evaluation mode and back.

    Parameters
    ----------
    model : object
        With ``encode(x) -> (mean, logvar)``, each of shape (B, z).
    data : object
        With ``factors``, a `FactorSpace`, and ``observations(index) -> (B, C, H, W)``. Of a `data.Table` that is no grid, images are
        drawn as they are listed, with their labels.
    metrics : iterable of str
        Any of mig, mig_quantile, dci, sap, modularity, explicitness, factor_vae, flatness, factored_components, rank_correlations.
    protocol : {"full", "fast"}
        Published numbers of samples: "full" is 10,000 for MIG, and 10,000 to train and 5,000 to test for DCI; "fast" is 2,000, and 1,000
        and 500. Scores of the two are not comparable.
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
        If a metric or the protocol is unknown, the codes are not finite, or a metric that draws batches with fixed factors or
        traversals is asked for of data that is no grid.

    References
    ----------
    Michlo, Klein and James (2023), section 5; protocols from the authors' ``disent/metrics``.
    """
    data = as_data(data)
    names = _check.listed(metrics)
    for name in names:
        _check.one_of("metric", name, (*SAMPLE_METRICS, *ENCODER_METRICS))
        if name in ENCODER_METRICS and hasattr(data, "need_grid"):
            data.need_grid(f"the score {name!r}")
    _check.one_of("protocol", protocol, PROTOCOLS), _check.count("seed", seed, 0)
    space, encode = data.factors, encoder(model, data, batch_size)
    of_encoder = {name: ENCODER_METRICS[name] for name in names if name in ENCODER_METRICS}
    if sum(metric.draws(space, **getattr(metric, protocol)) for metric in of_encoder.values()) >= space.size:
        encode = _tabulate(encode, space)

    counts = {name: getattr(SAMPLE_METRICS[name], protocol) for name in names if name in SAMPLE_METRICS}
    # The draw is the same whatever is asked for, so that a score does not depend on which others are computed beside it.
    most, generator = max(sum(getattr(metric, protocol)) for metric in SAMPLE_METRICS.values()), torch.Generator().manual_seed(seed)
    # Of images that are no grid, an index is a row, and factors are what its labels say.
    listed = not getattr(data, "grid", True)
    drawn = data.draw(most, generator=generator) if listed else space.sample_index(most, generator=generator)
    drawn = drawn[: max((sum(count) for count in counts.values()), default=0)]
    labels = data.to_factors(drawn) if listed else space.to_factors(drawn)
    codes, factors = (encode(drawn).numpy(), labels.numpy()) if counts else (np.empty(0), np.empty(0))

    scores: dict[str, Score] = {}
    for name in names:
        options: dict[str, Any] = {"seed": seed}
        if name in of_encoder:
            if name == "rank_correlations":
                options["observe"] = data.observations
            scores[name] = of_encoder[name].call(encode, space, **getattr(of_encoder[name], protocol), **options)
            continue
        n_train, n_test = counts[name]
        if n_test:
            held = slice(n_train, n_train + n_test)
            options["test"] = (codes[held], factors[held])
        scores[name] = SAMPLE_METRICS[name].call(codes[:n_train], factors[:n_train], **options)
    return scores


def encoder(model: Any, data: Any, batch_size: int | None = None) -> Callable[[Tensor], Tensor]:
    """Return a function from observation indices (n,) to posterior means (n, z) on the CPU, encoded in batches.

    Repeated indices are encoded once.
    """
    device = next((p.device for p in model.parameters()), None) if hasattr(model, "parameters") else None
    if batch_size is None:
        batch_size = CUDA_BATCH if device is not None and device.type == "cuda" else CPU_BATCH
    batch = _check.count("batch_size", batch_size)

    def encode(index: Tensor) -> Tensor:
        distinct, place = torch.unique(torch.as_tensor(index), return_inverse=True)
        was_training = getattr(model, "training", False)
        if was_training:
            model.eval()
        try:
            with torch.no_grad():
                means = [_mean(model, data.observations(chunk), device) for chunk in distinct.split(batch)]
        finally:
            if was_training:
                model.train()
        return torch.cat(means)[place]

    return encode


def _mean(model: Any, observations: Tensor, device: torch.device | None) -> Tensor:
    mean, _ = model.encode(observations if device is None else observations.to(device))
    return mean.float().cpu()


def _tabulate(encode: Callable[[Tensor], Tensor], space: Any) -> Callable[[Tensor], Tensor]:
    """Encode every observation once and look codes up from then on, if they fit into `TABLE_BYTES`.

    The published vote on fixed factors alone draws 960,000 observations, more than most data sets have.
    """
    first = encode(torch.zeros(1, dtype=torch.int64))
    if space.size * first.shape[1] * first.element_size() > TABLE_BYTES:
        return encode
    table = encode(torch.arange(space.size))
    return lambda index: table[index]
