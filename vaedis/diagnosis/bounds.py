"""Bounds on beta that follow from perceived distances alone."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedis import _check, losses
from vaedis.data import FactorData, as_data
from vaedis.data.coordinates import Coordinates, factor_groups
from vaedis.factors import flat
from vaedis.losses import properties

# Of the ascents of the variance proxy.
_STARTS = 32
_STEPS = 3_000


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
    """Return the beta above which a VAE that has learnt nothing cannot gain by a small step.

    A direction of the data is worth a latent only if it saves more loss than its KL divergence
    costs. For a linear VAE the bound is exact: with normalised beta, a direction is used if ``beta
    < 2 * latents * variance``. The variances are the eigenvalues of the doubly centred matrix of
    perceived distances, times -1/2 and over the number of images: only distances matter.

    Parameters
    ----------
    data : FactorData
    latents : int
        How many latents the KL divergence is a mean over.
    loss : str or losses.Loss
        A quadratic form.
    samples : int
        How many images to use of each group of factors whose distances add up, such as those of one
        square of XYSquares; all if there are no more. A sample gives too high a bound.
    seed : int
        Seed of the sample.
    index : Tensor of int64, shape (n,), optional
        Use these images instead, whatever the groups.
    normalize : bool
        Compare normalized images, as training does.

    Returns
    -------
    float
        For means over pixels and latents (`RunSpec.beta`). Networks with hidden layers may stop
        learning below it, or keep a code from a smaller beta up to `rate_distortion_beta`.

    Raises
    ------
    ValueError
        If the loss is not a quadratic form, a count is too small, or `index` is empty.

    References
    ----------
    Tipping and Bishop (1999), section 3.2; Lucas et al. (2019), sections 4 and 5.

    Examples
    --------
    >>> import vaedis as vd
    >>> data = vd.load("xysquares", image_size=16, square_size=4, grid_size=4, num_squares=1)
    >>> print(f"{vd.diagnosis.largest_beta(data, 9):.3f}")
    0.398
    """
    data = as_data(data)
    latents = _check.count("latents", latents)
    samples = _check.count("samples", samples, 2)
    generator = torch.Generator().manual_seed(_check.seed(seed))
    if index is not None:
        form = _quadratic_form(loss, data, normalize)
        index = flat(data.check_index(index))
        if not len(index):
            raise ValueError("index is empty; give at least one image, or no index for all.")
        parts = [index]
    else:
        data, form = _source_and_form(data, loss, normalize)
        # Groups vary independently, so each direction of large variance lies within one of them.
        parts = _of_each_group(data, form, samples, generator)
    variances = []
    for part in parts:
        eigenvalues = torch.linalg.eigvalsh(_gram(form, data, part, normalize))
        variances.append(float(eigenvalues[-1]) / len(part))
    return 2 * latents * max(variances)


def _source_and_form(
    data: FactorData, loss: str | losses.Loss, normalize: bool
) -> tuple[FactorData, losses.Loss]:
    """Return data and a checked quadratic loss; for coordinates, of the images they stand for."""
    if isinstance(data, Coordinates) and losses.get(loss) == losses.MSE():
        return data.source, _quadratic_form(data.distance, data.source, normalize)
    return data, _quadratic_form(loss, data, normalize)


def _of_each_group(
    data: FactorData, form: losses.Loss, samples: int, generator: torch.Generator
) -> list[Tensor]:
    """Return the images of each group of factors whose distances add up, or samples of them."""
    groups = factor_groups(data, form) if data.grid else []
    if len(groups) < 2:
        all_fit = len(data) <= samples
        return [torch.arange(len(data)) if all_fit else data.draw(samples, generator=generator)]
    parts = []
    for group in groups:
        bases = data.factors.traversal_bases(group[0], vary=group)
        index = data.factors.traversal(group[0], bases).flatten()
        if len(index) > samples:
            index = index[torch.randint(len(index), (samples,), generator=generator)]
        parts.append(index)
    return parts


def _quadratic_form(loss: str | losses.Loss, data: Any, normalize: bool) -> losses.Loss:
    """Return the loss, after a check that it is what it says to be."""
    form = losses.get(loss)
    normalize = _check.flag("normalize", normalize)
    properties.need_form(form, data, normalize, "bounds on beta")
    return form


def _gram(form: losses.Loss, data: Any, index: Tensor, normalize: bool) -> Tensor:
    """Return the smaller of the two centred matrices with the eigenvalues of the distances."""
    width = _embedded(form, data, index[:1], normalize).shape[1]
    parts = (
        _embedded(form, data, part, normalize) for part in index.split(max(256, 2**22 // width))
    )
    if width >= len(index):
        x = torch.cat(list(parts))
        x -= x.mean(0)
        return x @ x.T
    total = torch.zeros(width, dtype=torch.float64)
    squares = torch.zeros(width, width, dtype=torch.float64)
    for x in parts:
        total += x.sum(0)
        squares += x.T @ x
    return squares - total[:, None] * total / len(index)


def _embedded(form: losses.Loss, data: Any, index: Tensor, normalize: bool) -> Tensor:
    """Return images as vectors whose squared differences are the loss: float64 on the CPU."""
    x = data.observations(index.to(data.device), normalize=normalize)
    return form.embed(x).to("cpu", torch.float64)


def rate_distortion_beta(
    data: Any,
    latents: int,
    *,
    loss: str | losses.Loss = "mse",
    samples: int = 4_000,
    seed: int = 0,
    normalize: bool = True,
) -> float:
    """Return the beta above which no VAE gains anything by a code, whatever its network.

    R nats about an observation leave a loss of at least D(R), and a VAE pays at least ``D(R) + beta
    / latents * R`` for them. So nothing is gained above the largest ``latents * (D(0) - D(R)) /
    R``. For a quadratic loss this is ``2 * latents`` times the smallest number s such that ``ln E
    exp(<x - E x, v>) <= s |v|² / 2`` for all v: the variance proxy of sub-Gaussian distributions,
    which is at least the variance of `largest_beta`, and equal to it for Gaussian data.

    Parameters
    ----------
    data, latents, loss, samples, seed, normalize
        See `largest_beta`. For `data.Coordinates`, "mse" stands for the loss they were made with.

    Returns
    -------
    float
        Normalised, as `RunSpec.beta`. The best of several ascents; each can be too low only.

    Raises
    ------
    ValueError
        As by `largest_beta`.

    References
    ----------
    Alemi et al. (2018), section 2, for the rate-distortion view of VAEs.

    Examples
    --------
    >>> import vaedis as vd
    >>> data = vd.load("xysquares", image_size=16, square_size=4, grid_size=4, num_squares=1)
    >>> print(f"{vd.diagnosis.rate_distortion_beta(data, 9):.3f}")
    1.099
    """
    data = as_data(data)
    latents = _check.count("latents", latents)
    samples = _check.count("samples", samples, 2)
    data, form = _source_and_form(data, loss, normalize)
    generator = torch.Generator().manual_seed(_check.seed(seed))
    proxies = []
    # The logarithm is a sum over groups, so its ratio to |v|² is largest within one of them.
    for index in _of_each_group(data, form, samples, generator):
        parts = [_embedded(form, data, part, normalize) for part in index.split(256)]
        proxies.append(_variance_proxy(torch.cat(parts)))
    return 2 * latents * max(proxies)


def _variance_proxy(x: Tensor) -> float:
    """Return the largest ``2 ln E exp(<x - E x, v>) / |v|²`` over all v, for x of shape (n, d)."""
    n = len(x)
    x = x - x.mean(0)
    values, vectors = torch.linalg.eigh(x @ x.T)
    if values[-1] <= 0:
        return 0.0
    mask = values > 1e-12 * values[-1]
    # In coordinates along the principal axes, the longest first.
    y = (vectors[:, mask] * values[mask].sqrt()).flip(1)
    v = _starting_points(y, values[mask].flip(0))
    best_of_small_steps = float(values[-1]) / n
    previous = torch.zeros(len(v), dtype=y.dtype)
    for step in range(_STEPS):
        inner = y @ v.T
        ratio = 2 * (inner.logsumexp(0) - np.log(n)) / v.square().sum(1)
        # The numerator is convex: a step to the maximum of its tangent never lowers the ratio.
        v = inner.softmax(0).T @ y / ratio[:, None]
        if (ratio - previous).max() < 1e-10 * ratio.max():
            break
        if step == 100:
            # The rest of the ascents have fallen behind by now.
            best = ratio.topk(min(8, len(ratio))).indices
            v, ratio = v[best], ratio[best]
        previous = ratio
    return max(best_of_small_steps, float(ratio.max()))


def _starting_points(y: Tensor, values: Tensor) -> Tensor:
    """Return vectors to ascend from: along the longest axes, and towards single observations."""
    n = len(y)
    axes = torch.eye(y.shape[1], dtype=y.dtype)[: _STARTS // 2]
    axes = axes / (values[: _STARTS // 2, None] / n).sqrt()
    observations = y[:: -(-n // _STARTS)]
    length = observations.square().sum(1, keepdim=True)
    observations = observations / length.clip(min=1e-12 * float(values[0]) / n)
    along_axes = [sign * size * axes for sign, size in itertools.product((1, -1), (0.3, 3))]
    return torch.cat([*along_axes, observations, 2 * np.log(n) * observations])
