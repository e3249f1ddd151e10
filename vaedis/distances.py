"""Perceived and ground-truth distances, over whole data sets.

The *ground-truth distance* of two observations is the L1 distance of their factor values; their *perceived distance* is the reconstruction
loss between them (paper, section 3). Averages along a factor are exact: for a loss that is a quadratic form they are one Gram product for
each factor, and other losses are evaluated pair by pair. Everything is added up in float64.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vaedis import _check, losses
from vaedis.data.base import FactorData
from vaedis.losses import Loss

_BLOCK_BYTES = 64 * 2**20
# two distances that differ by less than this share of their size are equal: what float64 sums over a data set may lose
_EQUAL = 1e-9


def ground_truth(a: Tensor, b: Tensor) -> Tensor:
    """Return the ground-truth distance of observations: the L1 distance of their factor values.

    Parameters
    ----------
    a, b : Tensor of int, shape (..., F)

    Returns
    -------
    Tensor of int64, shape (...)
    """
    return (a.long() - b.long()).abs().sum(-1)


def ground_truth_matrix(size: int) -> np.ndarray:
    """Return the ground-truth distances |i - j| along a factor of `size` values: ndarray of float64, shape (size, size)."""
    step = np.arange(_check.count("size", size))
    return np.abs(step[:, None] - step).astype(float)


def perceived(data: FactorData, a: Tensor, b: Tensor, *, loss: str | Loss = "mse", standardise: bool = False) -> Tensor:
    """Return the perceived distance of each pair of observations.

    Parameters
    ----------
    data : FactorData
    a, b : Tensor of int, shape (n,)
        Indices.
    loss : str or Loss
    standardise : bool
        Between standardised images, as a VAE sees them (Figures 4 and 10), or between images in [0, 1] (Figures 3, 8, A1 and Table A1).

    Returns
    -------
    Tensor of float64, shape (n,)
    """
    loss = _loss_for(loss, standardise)
    a, b = torch.as_tensor(a), torch.as_tensor(b)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"a and b must be two lists of indices of the same length, not of shapes {tuple(a.shape)} and {tuple(b.shape)}.")
    # on a CPU, pairs that stay in its cache are several times as fast
    step = _block(data) if data.device.type == "cuda" else max(1, _block(data) // 32)
    parts = [
        loss.distance(_pixels(data, i, standardise), _pixels(data, j, standardise))
        for i, j in zip(a.split(step), b.split(step), strict=True)
    ]
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)


def traversal_matrices(
    data: FactorData,
    loss: str | Loss = "mse",
    *,
    factors: Iterable[str] | None = None,
    traversals: int | None = None,
    seed: int = 0,
    standardise: bool = False,
) -> dict[str, np.ndarray]:
    """Return, for each factor, the mean perceived distance between its values along traversals.

    Parameters
    ----------
    data : FactorData
    loss : str or Loss
    factors : iterable of str, optional
        Which factors; all by default.
    traversals : int, optional
        How many random traversals to average over, as the paper does with 256; by default all of the data set: the exact mean.
    seed : int
        Of the random traversals.
    standardise : bool
        See `perceived`.

    Returns
    -------
    dict of str to ndarray of float64, shape (f, f)
        Row i, column j: the mean loss of value i as a reconstruction of value j.

    References
    ----------
    Michlo, Klein and James (2023), Figures 3 and 8. The authors' ``run_plot_traversal_dists.py``.
    """
    loss = _loss_for(loss, standardise)
    generator = torch.Generator(data.device).manual_seed(seed)
    found = {}
    for name in data.factors.names if factors is None else factors:
        data.factors.position(name)
        if traversals is None:
            bases = data.exact_bases(name, channelwise=loss.channelwise)
        else:
            bases = data.factors.sample_index(_check.count("traversals", traversals), generator=generator)
        found[name] = _mean_matrix(data, name, bases, loss, standardise).cpu().numpy()
    return found


def _mean_matrix(data: FactorData, factor: str, bases: Tensor, loss: Loss, standardise: bool) -> Tensor:
    size = data.factors.sizes[data.factors.position(factor)]
    total = torch.zeros(size, size, dtype=torch.float64, device=data.device)
    for part in bases.split(max(1, _block(data) // size)):
        index = data.factors.traversal(factor, part)
        x = _pixels(data, index.flatten(), standardise).unflatten(0, index.shape)
        if loss.quadratic:
            # |a - b|² = |a|² + |b|² - 2ab, summed over traversals: one product of (f, traversals * D) with itself
            v = loss.embed(x).transpose(0, 1).flatten(1)
            v = v - v.mean(0)  # changes no distance, and keeps the subtraction below from cancelling digits
            gram = v @ v.T
            square = gram.diagonal()
            total += square[:, None] + square - 2 * gram
        else:
            for i in range(size):
                total[i] += loss.distance(x[:, i : i + 1], x).sum(0)
    if loss.quadratic:
        total.fill_diagonal_(0).clamp_(min=0)
    return total / len(bases)


def pair_distances(
    data: FactorData, factor: str | None = None, loss: str | Loss = "mse", *, n: int = 50_000, seed: int = 0, standardise: bool = False
) -> np.ndarray:
    """Return the perceived distances of random pairs: a sample of their distribution (Figure A1, Table A1).

    Parameters
    ----------
    data : FactorData
    factor : str, optional
        Pairs of different observations from random traversals of this factor; by default two observations drawn at random, which may be
        the same one, as in the "random" rows of Table A1.
    loss : str or Loss
    n : int
    seed : int
    standardise : bool
        See `perceived`.

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    _check.count("n", n)
    generator = torch.Generator(data.device).manual_seed(seed)
    if factor is None:
        a, b = data.factors.sample_index(n, generator=generator), data.factors.sample_index(n, generator=generator)
    else:
        a, b = data.factors.sample_traversal_pairs(factor, n, generator=generator)
    return perceived(data, a, b, loss=loss, standardise=standardise).cpu().numpy()


@dataclass(frozen=True)
class Agreement:
    """How perceived distances follow ground-truth distances.

    Attributes
    ----------
    linear, rank : float or None
        Pearson's and Spearman's correlation; None where one of the two distances does not vary, so that there is none.
    adversarial : bool
        Whether all perceived distances between different observations are equal: they say nothing about order.
    mean : float
        The mean perceived distance between different observations.
    """

    linear: float | None
    rank: float | None
    adversarial: bool
    mean: float


def agreement(matrix: np.ndarray, *, truth: np.ndarray | None = None, self_pairs: bool = False) -> Agreement:
    """Compare a matrix of perceived distances, along a factor by default, with ground-truth distances.

    Parameters
    ----------
    matrix : ndarray of float, shape (f, f)
        As from `traversal_matrices`.
    truth : ndarray of float, shape (f, f), optional
        The ground-truth distances; |i - j| by default. A circular factor, or a grid of several, has others.
    self_pairs : bool
        Count the diagonal too, distances of observations from themselves, as the authors' logged values do. On a factor whose distances
        are all equal they are the only reason why a correlation exists at all.

    Returns
    -------
    Agreement

    References
    ----------
    The authors' ``run_data_correlation.py`` (self-pairs included).
    """
    matrix = np.asarray(matrix, float)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
        raise ValueError(f"matrix must be square with at least 2 rows, not of shape {matrix.shape}.")
    truth = ground_truth_matrix(len(matrix)) if truth is None else np.asarray(truth, float)
    if truth.shape != matrix.shape:
        raise ValueError(f"truth must have the shape of matrix, {matrix.shape}, not {truth.shape}.")
    different = ~np.eye(len(matrix), dtype=bool)
    counted = np.ones_like(different) if self_pairs else different
    return _compare(truth[counted], matrix[counted], matrix[different])


def pair_agreement(
    data: FactorData,
    factor: str | None = None,
    loss: str | Loss = "mse",
    *,
    n: int = 20_000,
    seed: int = 0,
    self_pairs: bool = False,
    standardise: bool = False,
) -> Agreement:
    """Compare perceived with ground-truth distances over random pairs, one by one rather than averaged.

    Parameters
    ----------
    data : FactorData
    factor : str, optional
        Pairs that differ in this factor alone; by default pairs drawn at random.
    loss : str or Loss
    n : int
    seed : int
    self_pairs : bool
        Keep pairs of an observation with itself; with a factor, draw both of its values freely, so that they may be equal.
    standardise : bool
        See `perceived`.

    Returns
    -------
    Agreement
    """
    _check.count("n", n, 2)
    generator = torch.Generator(data.device).manual_seed(seed)
    a = data.factors.sample_index(n, generator=generator)
    if factor is None:
        b = data.factors.sample_index(n, generator=generator)
    elif self_pairs:
        f = data.factors.position(factor)
        value = torch.randint(data.factors.sizes[f], (n, 1), generator=generator, device=data.device)
        b = data.factors.traversal(f, a).gather(-1, value)[:, 0]
    else:
        a, b = data.factors.sample_traversal_pairs(factor, n, generator=generator)
    same = a == b
    if not self_pairs:
        a, b = a[~same], b[~same]
    truth = ground_truth(data.factors.to_factors(a), data.factors.to_factors(b)).cpu().numpy().astype(float)
    seen = perceived(data, a, b, loss=loss, standardise=standardise).cpu().numpy()
    return _compare(truth, seen, seen[truth > 0])


def _compare(truth: np.ndarray, seen: np.ndarray, different: np.ndarray) -> Agreement:
    def varies(x: np.ndarray) -> bool:
        return bool(np.ptp(x) > _EQUAL * np.abs(x).max())

    if not (varies(truth) and varies(seen)):
        linear = rank = None
    else:
        # sums in another order differ in the last digits; what is equal must tie
        rounded = np.round(seen / np.abs(seen).max(), 9)
        linear = float(np.corrcoef(truth, seen)[0, 1])
        rank = float(np.corrcoef(_ranks(truth), _ranks(rounded))[0, 1])
    return Agreement(linear, rank, not varies(different), float(different.mean()))


def _ranks(x: np.ndarray) -> np.ndarray:
    """Ranks from 0; values that are equal share the mean of their ranks."""
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[inverse]


LEVELS = ("factors", "x", "z", "kl", "reconstruction")


def level_matrices(run, factor: str, *, traversals: int = 100, seed: int = 7777) -> dict[str, np.ndarray]:
    """Return the distances along a factor at every level of a trained VAE (Figures 4 and 10).

    Parameters
    ----------
    run : train.Run
    factor : str
    traversals : int
        How many random traversals to average over.
    seed : int
        Of the random traversals; the authors' is 7777.

    Returns
    -------
    dict of str to ndarray of float64, shape (f, f)
        ``"factors"``: |i - j|. ``"x"``: the run's loss between its (standardised) inputs. ``"z"``: the L2 distance of posterior means.
        ``"kl"``: the symmetric KL divergence of posteriors, a mean over latents. ``"reconstruction"``: the run's loss between decoded
        posterior means.

    References
    ----------
    The authors' ``_callback_vis_dists.py``.
    """
    data, loss = run.data, run.loss
    space = data.factors
    size = space.sizes[space.position(factor)]
    generator = torch.Generator(data.device).manual_seed(seed)
    bases = space.sample_index(_check.count("traversals", traversals), generator=generator)
    totals = {level: torch.zeros(size, size, dtype=torch.float64, device=data.device) for level in LEVELS[1:]}
    for part in bases.split(max(1, _block(data) // (4 * size))):
        index = space.traversal(factor, part)
        x = data.observations(index.flatten(), standardise=run.standardise)
        mean, logvar = (v.unflatten(0, index.shape).double() for v in run.posterior(index.flatten()))
        decoded = run.decode(mean.flatten(0, 1).float())
        x, decoded = (v.unflatten(0, index.shape).double() for v in (x, decoded))
        for i in range(size):
            one = slice(i, i + 1)
            totals["x"][i] += loss.distance(x[:, one], x).sum(0)
            totals["z"][i] += (mean[:, one] - mean).square().sum(-1).sqrt().sum(0)
            totals["kl"][i] += losses.symmetric_kl(mean[:, one], logvar[:, one], mean, logvar).mean(-1).sum(0)
            totals["reconstruction"][i] += loss.distance(decoded[:, one], decoded).sum(0)
    found = {level: (total / len(bases)).cpu().numpy() for level, total in totals.items()}
    return {"factors": ground_truth_matrix(size), **found}


def confusion(mean: Tensor, std: Tensor, *, samples: int = 200, seed: int = 0) -> Tensor:
    """Return how often a sample from one observation's posterior is most probable under another's.

    It is what the paper's argument starts from: a decoder sees a sample only, and cannot tell apart observations whose posteriors overlap.

    Parameters
    ----------
    mean, std : Tensor of float, shape (n, z)
        Of the posteriors, diagonal Gaussians.
    samples : int
        Drawn from each posterior.
    seed : int
        Of the samples.

    Returns
    -------
    Tensor of float32, shape (n, n)
        Row i, column j: the share of samples of i that are most probable under j. Rows sum to 1.
    """
    generator = torch.Generator(mean.device).manual_seed(seed)
    n, latents = mean.shape
    shares = torch.zeros(n, n, device=mean.device)
    for i in range(n):
        z = mean[i] + std[i] * torch.randn(_check.count("samples", samples), latents, generator=generator, device=mean.device)
        log_density = -0.5 * ((z[:, None] - mean) / std).square().sum(-1) - std.log().sum(-1)
        shares[i] = torch.bincount(log_density.argmax(-1), minlength=n) / samples
    return shares


def posterior_map(run, focus: int, *, decoded: int = 5, seed: int = 0) -> dict[str, np.ndarray]:
    """Return where a small data set lies in the latent space of a VAE, and what becomes of one observation (Figure 1).

    Parameters
    ----------
    run : train.Run
        On a data set of a few hundred observations at most: every pair of posteriors is compared.
    focus : int
        Index of the observation that is followed.
    decoded : int
        How many samples of its posterior to decode.
    seed : int
        Of all samples.

    Returns
    -------
    dict of str to ndarray
        ``"mean"`` and ``"std"``, float32, shape (n, z), of all posteriors; ``"factors"``, int64, shape (n, F); ``"confusion"``, float32,
        shape (n, n), as from `confusion`; ``"image"``, uint8, shape (H, W, C); ``"decoded"``, uint8, shape (decoded, H, W, C).
    """
    index = torch.arange(len(run.data), device=run.data.device)
    mean, logvar = run.posterior(index)
    std = (0.5 * logvar).exp()
    generator = torch.Generator(mean.device).manual_seed(seed)
    noise = torch.randn(_check.count("decoded", decoded), mean.shape[-1], generator=generator, device=mean.device)
    found = {
        "mean": mean,
        "std": std,
        "factors": run.data.factors.to_factors(index),
        "confusion": confusion(mean, std, seed=seed),
        "image": run.data.images(index[focus : focus + 1])[0],
        "decoded": run.pictures(mean[focus] + std[focus] * noise),
    }
    return {name: value.cpu().numpy() for name, value in found.items()}


def latent_agreement(run, a: Tensor, b: Tensor) -> Agreement:
    """Compare how far apart a VAE puts observations with how far apart its loss perceives them.

    Parameters
    ----------
    run : train.Run
    a, b : Tensor of int, shape (n,)
        Indices of the pairs, of different observations.

    Returns
    -------
    Agreement
        ``linear`` and ``rank`` correlate the L2 distances of posterior means with the run's loss between its inputs; ``adversarial`` and
        ``mean`` describe the latter.
    """
    mean = run.posterior(torch.cat([a, b]))[0].double()
    apart = (mean[: len(a)] - mean[len(a) :]).norm(dim=-1).cpu().numpy()
    seen = perceived(run.data, a, b, loss=run.loss, standardise=run.standardise).cpu().numpy()
    return _compare(seen, apart, seen)


def _loss_for(loss: str | Loss, standardise: bool) -> Loss:
    loss = losses.get(loss)
    if loss.unit_range and standardise:
        raise ValueError(f"the loss {loss.name!r} compares images in [0, 1]; use standardise=False with it.")
    return loss


def _pixels(data: FactorData, index: Tensor, standardise: bool) -> Tensor:
    """Images for distances, in float64 from the 8-bit values on: float32 would cost digits."""
    x = data.images(index).permute(0, 3, 1, 2).double() / 255
    return data.standardise(x) if standardise else x


def _block(data: FactorData) -> int:
    """How many images to hold at once."""
    height, width, channels = data.shape
    return max(1, _BLOCK_BYTES // (8 * height * width * channels))
