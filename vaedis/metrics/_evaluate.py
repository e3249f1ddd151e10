"""One encoding, many scores: the published protocols applied to a model and a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedis import _check
from vaedis.metrics._dci import dci
from vaedis.metrics._mig import mig, mig_quantile
from vaedis.metrics._scores import Score

CPU_BATCH, CUDA_BATCH = 256, 4096


@dataclass(frozen=True)
class _Metric:
    """How a metric is called, and with how many samples (train, test) in each protocol."""

    call: Callable[..., Score]
    full: tuple[int, int]
    fast: tuple[int, int]


METRICS = {
    "mig": _Metric(mig, (10_000, 0), (2_000, 0)),
    "mig_quantile": _Metric(mig_quantile, (10_000, 0), (2_000, 0)),
    "dci": _Metric(dci, (10_000, 5_000), (1_000, 500)),
}
PROTOCOLS = ("full", "fast")


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

    Observations are drawn uniformly with replacement, and encoded once for all metrics; the posterior mean is the
    representation. The model is put into evaluation mode and back.

    Parameters
    ----------
    model : object
        With ``encode(x) -> (mean, logvar)``, each of shape (B, z).
    data : object
        With ``factors``, a `FactorSpace`, and ``observations(index) -> (B, C, H, W)``.
    metrics : iterable of str
        Names of scores of this package.
    protocol : {"full", "fast"}
        Published numbers of samples: "full" is 10,000 for MIG and 10,000 to train and 5,000 to test for DCI; "fast" is
        2,000, and 1,000 and 500. Scores of the two are not comparable.
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
        If a metric or the protocol is unknown, or the codes are not finite.

    References
    ----------
    Michlo, Klein and James (2023), section 5; protocols from the authors' ``disent/metrics``.
    """
    names = list(metrics)
    for name in names:
        _check.one_of("metric", name, METRICS)
    _check.one_of("protocol", protocol, PROTOCOLS), _check.count("seed", seed, 0)
    counts = {name: METRICS[name].full if protocol == "full" else METRICS[name].fast for name in names}
    encode = encoder(model, data, batch_size)
    codes, factors = _draw(encode, data.factors, max((sum(count) for count in counts.values()), default=0), seed)
    scores = {}
    for name, (n_train, n_test) in counts.items():
        options: dict[str, Any] = {"seed": seed}
        if n_test:
            held = slice(n_train, n_train + n_test)
            options["test"] = (codes[held], factors[held])
        scores[name] = METRICS[name].call(codes[:n_train], factors[:n_train], **options)
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


def _draw(encode: Callable[[Tensor], Tensor], space: Any, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    factors = space.sample(n, generator=torch.Generator().manual_seed(seed))
    codes = encode(space.to_index(factors)) if n else torch.empty(0, 1)
    return codes.numpy(), factors.numpy()
