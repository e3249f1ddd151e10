"""Bounds on beta that follow from perceived distances alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedis import _check, losses
from vaedis.data import as_data
from vaedis.data.coordinates import Coordinates, factor_groups
from vaedis.losses import properties


def largest_beta(
    data: Any,
    latents: int,
    *,
    loss: str | losses.Loss = "mse",
    samples: int = 4_000,
    seed: int = 0,
    index: Tensor | None = None,
    normalize: bool = True,
) -> float:
    """Return the beta above which a VAE that starts from nothing learns nothing of its data, to first
    order.

    A direction of the data is worth a latent only if the loss that it saves is more than the KL
    divergence that it costs. For a linear VAE the bound is exact: with normalised beta, a direction
    is used if ``beta < 2 * latents * variance``. The variances are the eigenvalues of the doubly
    centred matrix of perceived distances, times -1/2 and over the number of images: nothing but
    distances goes in.

    Parameters
    ----------
    data : FactorData
    latents : int
    loss : str or losses.Loss
        A quadratic form.
    samples : int
        How many images to look at; all if there are no more. From a sample the bound comes out too
        high where the variance is spread over a number of directions that is not small beside the
        sample's: for XYSquares, 189 of them, by a half at 4,000 images. Its `data.Coordinates` are
        few enough to look at all of it.
    seed : int
        Of the sample.
    index : Tensor of int64, shape (n,), optional
        Look at these images instead.
    normalize : bool
        Subtract the mean and divide by the std of the data set's pixels first, as training does.

    Returns
    -------
    float
        For a loss that is a mean over pixels and a KL divergence that is a mean over latents
        (`RunSpec.beta`). It says where the first step away from nothing stops to pay. Networks with
        hidden layers may stop learning below it; one that is led to a code while beta is small may
        hold it above, up to `rate_distortion_beta`.

    References
    ----------
    Tipping and Bishop (1999), section 3.2; Lucas et al. (2019), sections 4 and 5.
    """
    data = as_data(data)
    latents, samples = _check.count("latents", latents), _check.count("samples", samples, 2)
    form = losses.get(loss)
    if form.quadratic:
        properties.need_form(form, data, normalize, "bounds on beta")
    if index is None:
        drawn = torch.Generator().manual_seed(seed)
        index = (
            torch.arange(len(data)) if len(data) <= samples else data.draw(samples, generator=drawn)
        )

    def embedded(part: Tensor) -> Tensor:
        return form.embed(data.observations(part.to(data.device), normalize=normalize)).to(
            "cpu", torch.float64
        )

    width = embedded(index[:1]).shape[1]
    parts = (embedded(part) for part in index.split(max(256, 2**22 // width)))
    # of the two matrices with the same eigenvalues, the smaller one
    if width < len(index):
        total, spread = (
            torch.zeros(width, dtype=torch.float64),
            torch.zeros(width, width, dtype=torch.float64),
        )
        for x in parts:
            total += x.sum(0)
            spread += x.T @ x
        spread -= total[:, None] * total / len(index)
    else:
        x = torch.cat(list(parts))
        x -= x.mean(0)
        spread = x @ x.T
    return 2 * latents * float(torch.linalg.eigvalsh(spread)[-1]) / len(index)


def rate_distortion_beta(
    data: Any,
    latents: int,
    *,
    loss: str | losses.Loss = "mse",
    samples: int = 4_000,
    seed: int = 0,
    normalize: bool = True,
) -> float:
    """Return the beta above which no code pays: no VAE, whatever its network, does better than to
    learn nothing.

    R nats about an observation leave a loss of D(R) at least, and a VAE pays ``D(R) + beta /
    latents * R`` or more for them. So nothing is gained above the largest ``latents * (D(0) - D(R))
    / R``. For a loss that is a quadratic form this is ``2 * latents`` times the smallest number s
    such that ``ln E exp(<x - E x, v>) <= s |v|² / 2`` for all v: what the variance is to
    `largest_beta`, the variance proxy of sub-Gaussian distributions is to this. They are equal for
    Gaussian data, and never the other way round.

    Parameters
    ----------
    data : FactorData
    latents : int
    loss : str or losses.Loss
        A quadratic form. Of `data.Coordinates` leave it as it is, which stands for the loss that
        they were made with.
    samples : int
        How many images to look at of each group of factors whose distances add up to the whole
        (those of one square of XYSquares); all if there are no more. From a sample the result comes
        out too high: to tell n images from each other takes ``ln n`` nats at most.
    seed : int
        Of the sample.
    normalize : bool
        As in `largest_beta`.

    Returns
    -------
    float
        Normalised, as `RunSpec.beta`. The best of several ascents, each of which can only come out
        too low.

    References
    ----------
    Alemi et al. (2018), section 2, for the rate-distortion view of VAEs.
    """
    data = as_data(data)
    latents, samples = _check.count("latents", latents), _check.count("samples", samples, 2)
    form, source = losses.get(loss), data
    if isinstance(data, Coordinates) and form == losses.MSE():
        source, form = data.source, data.distance
    if form.quadratic:
        properties.need_form(form, source, normalize, "bounds on beta")
    generator = torch.Generator().manual_seed(seed)
    found = []
    # the function above is a sum over groups, so that its ratio to |v|² is largest within one
    for group in factor_groups(source, form):
        if source.grid:
            index = source.factors.traversal(
                group[0], source.factors.traversal_bases(group[0], vary=group)
            ).flatten()
        else:
            index = torch.arange(len(source))
        if len(index) > samples:
            index = index[torch.randint(len(index), (samples,), generator=generator)]
        parts = [
            form.embed(source.observations(part.to(source.device), normalize=normalize))
            for part in index.split(256)
        ]
        found.append(_variance_proxy(torch.cat(parts).to("cpu", torch.float64)))
    return 2 * latents * max(found)


def _variance_proxy(x: Tensor, starts: int = 32, steps: int = 3_000) -> float:
    """The largest ``2 ln E exp(<x - E x, v>) / |v|²`` over all v, for x of shape (n, d)."""
    n = len(x)
    x = x - x.mean(0)
    values, vectors = torch.linalg.eigh(x @ x.T)
    if values[-1] <= 0:
        return 0.0
    kept = values > 1e-12 * values[-1]
    y = (vectors[:, kept] * values[kept].sqrt()).flip(1)
    # small and large steps along the longest directions, both ways; and towards single observations
    along = (
        torch.eye(y.shape[1], dtype=y.dtype)[: starts // 2]
        / (values[kept].flip(0)[: starts // 2, None] / n).sqrt()
    )
    towards = y[:: -(-n // starts)]
    towards = towards / towards.square().sum(1, keepdim=True).clip(
        min=1e-12 * float(values[-1]) / n
    )
    v = torch.cat(
        [sign * size * along for sign in (1, -1) for size in (0.3, 3)]
        + [towards, 2 * np.log(n) * towards]
    )
    best = float(values[-1]) / n  # of the smallest steps
    before = torch.zeros(len(v), dtype=y.dtype)
    for step in range(steps):
        inner = y @ v.T
        ratio = 2 * (inner.logsumexp(0) - np.log(n)) / v.square().sum(1)
        # a tangent of the convex numerator is maximised, so that no step makes the ratio smaller
        v = inner.softmax(0).T @ y / ratio[:, None]
        if (ratio - before).max() < 1e-10 * ratio.max():
            break
        if step == 100:
            most = ratio.topk(min(8, len(ratio))).indices
            v, ratio = v[most], ratio[most]
        before = ratio
    return max(best, float(ratio.max()))
