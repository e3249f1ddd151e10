"""Inspection of a trained VAE: distances at every level, and how its posteriors overlap."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vaedis import _check, losses
from vaedis.distances.agreement import Agreement, compare, ground_truth_matrix
from vaedis.distances.kernels import within_groups
from vaedis.distances.pairs import perceived
from vaedis.losses import properties
from vaedis.training.run import Run, to_tensor

LEVELS = ("factors", "x", "z", "kl", "reconstruction")
# seed of random traversals, as in the authors' code
_SEED = 7777
# approximate number of images per factor in `factor_learning`
_IMAGES = 256
# share of a difference of float32 losses that may be rounding
_ROUNDING = 1e-6


@torch.no_grad()
def level_matrices(run: Run, factor: str, *, traversals: int = 100) -> dict[str, np.ndarray]:
    """Return the distances along a factor at every level of a trained VAE (Figures 4 and 10).

    They are means over so many random `traversals`.

    Source: The authors' ``_callback_vis_dists.py``.

    Returns
    -------
    dict of str to ndarray of float64, shape (f, f)
        ``"factors"``: |i - j|. ``"x"``: the run's loss between its (normalized) inputs. ``"z"``:
        the L2 distance of posterior means. ``"kl"``: the symmetric KL divergence of posteriors, a
        mean over latents. ``"reconstruction"``: the run's loss between decoded posterior means.

    Examples
    --------
    >>> import vaedis as vd
    >>> run = vd.fit(vd.RunSpec(data_options={"num_squares": 1}, model="mlp", steps=1, batch=4))
    >>> level_matrices(run, "x_R", traversals=2)["z"].shape
    (8, 8)
    """
    data = run.data
    data.require_full_grid("distances along a factor inside a VAE")
    space = data.factors
    size = space.sizes[space.position(factor)]
    generator = torch.Generator(data.device).manual_seed(_SEED)
    bases = space.sample_index(_check.draws("traversals", traversals), generator=generator)
    dtype = properties.precision_of(run.loss, data)
    totals = {
        level: torch.zeros(size, size, dtype=torch.float64, device=data.device)
        for level in LEVELS[1:]
    }
    for some_bases in bases.split(max(1, 512 // size)):
        index = space.traversal(factor, some_bases)
        x = run.observations(index.flatten())
        mean, logvar = run.posterior(index.flatten())
        mean, logvar = mean.double(), logvar.double()
        decoded = run.decode(mean.float())
        totals["x"] += within_groups(run.loss, x.unflatten(0, index.shape).to(dtype)).sum(0)
        decoded = decoded.unflatten(0, index.shape).to(dtype)
        totals["reconstruction"] += within_groups(run.loss, decoded).sum(0)
        mean, logvar = mean.unflatten(0, index.shape), logvar.unflatten(0, index.shape)
        for i in range(size):
            one_mean, one_logvar = mean[:, i : i + 1], logvar[:, i : i + 1]
            totals["z"][i] += (one_mean - mean).square().sum(-1).sqrt().sum(0)
            divergence = losses.symmetric_kl(one_mean, one_logvar, mean, logvar)
            totals["kl"][i] += divergence.mean(-1).sum(0)
    matrices = {level: (total / len(bases)).cpu().numpy() for level, total in totals.items()}
    return {"factors": ground_truth_matrix(size), **matrices}


@torch.no_grad()
def factor_learning(run: Run) -> dict[str, dict[str, float]]:
    """Return how well a VAE separates and reconstructs the values of each factor.

    Both are 0 as long as a network ignores a factor. Followed over training, they show when each
    factor is learnt. They are measured on about 256 images of random traversals for each factor.

    Returns
    -------
    dict of str to (dict of str to float)
        For each factor, over pairs of images that differ in that factor only: ``"separation"``, the
        mean symmetric KL divergence of their posteriors in nats, *summed* over latents; and
        ``"reconstructed"``, the mean distance of what is decoded from their posterior means, as a
        share of the mean distance of the images. Both distances are the run's loss, less that of
        the target from itself.

    Examples
    --------
    >>> import vaedis as vd
    >>> run = vd.fit(vd.RunSpec(data_options={"num_squares": 1}, model="mlp", steps=1, batch=4))
    >>> sorted(factor_learning(run))
    ['reconstructed', 'separation']
    """
    data = run.data
    data.require_full_grid("what a VAE makes of each factor")
    separation: dict[str, float] = {}
    reconstructed: dict[str, float] = {}
    for factor, size in zip(data.factors.names, data.factors.sizes, strict=True):
        if size < 2:
            continue
        generator = torch.Generator(data.device).manual_seed(_SEED)
        traversals = data.traversals(factor, max(2, _IMAGES // size), generator=generator)
        nats = of_images = of_decoded = smallest = 0.0
        for index in traversals:
            mean, logvar = run.posterior(index)
            x = data.observations(index, normalize=run.normalize)
            decoded = run.decode(mean)
            mean, logvar = mean.double(), logvar.double()
            for one_mean, one_logvar in zip(mean.split(1), logvar.split(1), strict=True):
                nats += float(losses.symmetric_kl(one_mean, one_logvar, mean, logvar).sum())
            of_images += _distances_beyond_own(run.loss, x)
            of_decoded += _distances_beyond_own(run.loss, decoded)
            smallest += _ROUNDING * size * float(run.loss.distance(x, x).double().sum())
        separation[factor] = nats / (len(traversals) * size * (size - 1))
        reconstructed[factor] = max(of_decoded, 0.0) / of_images if of_images > smallest else 0.0
    return {"separation": separation, "reconstructed": reconstructed}


def _distances_beyond_own(loss: losses.Loss, x: Tensor) -> float:
    """Return the sum of all distances, less those of images from themselves (entropies of BCE)."""
    self_distances = loss.distance(x, x)
    total = 0.0
    for image in x.split(1):
        total += float((loss.distance(image.expand_as(x), x) - self_distances).double().sum())
    return total


def confusion(
    mean: Tensor | np.ndarray, std: Tensor | np.ndarray, *, samples: int = 200, seed: int = 0
) -> Tensor:
    """Return how often a sample from one image's posterior is most probable under another's.

    The paper's argument starts from it: a decoder sees a sample only, and cannot tell apart images
    whose posteriors overlap.

    The posteriors are diagonal Gaussians with `mean` and `std`, float of shape (n, z); so many
    `samples` are drawn from each. Row i, column j of the result, float32 of shape (n, n), is the
    share of samples of i that are most probable under j; equal posteriors share them. Rows sum
    to 1. Raises a ValueError if shapes or numbers do not fit.

    Examples
    --------
    >>> confusion(torch.tensor([[-9.0], [9.0]]), torch.ones(2, 1))
    tensor([[1., 0.],
            [0., 1.]])
    """
    mean, std = to_tensor("mean", "numbers", mean), to_tensor("std", "numbers", std)
    generator = torch.Generator(mean.device).manual_seed(_check.seed(seed))
    _check.count("samples", samples)
    if mean.ndim != 2 or mean.shape != std.shape:
        raise ValueError(
            "mean and std must both have the shape (n, z), not "
            f"{tuple(mean.shape)} and {tuple(std.shape)}."
        )
    if not bool(mean.isfinite().all() and std.isfinite().all()):
        raise ValueError("mean and std must be finite numbers, but some are NaN or infinite.")
    if not bool((std > 0).all()):
        raise ValueError("each std must be above 0, as exp(logvar / 2) is.")
    n, latents = mean.shape
    shares = torch.zeros(n, n, device=mean.device)
    for i in range(n):
        noise = torch.randn(samples, latents, generator=generator, device=mean.device)
        z = mean[i] + std[i] * noise
        log_density = -0.5 * ((z[:, None] - mean) / std).square().sum(-1) - std.log().sum(-1)
        is_most = log_density == log_density.amax(-1, keepdim=True)
        shares[i] = (is_most / is_most.sum(-1, keepdim=True)).sum(0) / samples
    return shares


def posterior_map(run: Run, focus: int) -> dict[str, np.ndarray]:
    """Return where a small data set lies in the latent space, and what becomes of image `focus`.

    Figure 1 draws it. All pairs of posteriors are compared, so images should be a few hundred.

    Returns
    -------
    dict of str to ndarray
        ``"mean"`` and ``"std"``, float32, shape (n, z), of all posteriors; ``"factors"``, int64,
        shape (n, F); ``"confusion"``, float32, shape (n, n), as from `confusion`; ``"image"``,
        uint8, shape (H, W, C); ``"decoded"``, uint8, shape (5, H, W, C), of five samples of the
        image's posterior.

    Examples
    --------
    >>> import vaedis as vd
    >>> run = vd.fit(vd.RunSpec(data_options={"num_squares": 1}, model="mlp", steps=1, batch=4))
    >>> posterior_map(run, focus=4)["decoded"].shape
    (5, 64, 64, 3)
    """
    if run.data.check_index(to_tensor("focus", "one index", focus)).ndim:
        raise ValueError(f"focus must be the index of one image, not {focus!r}.")
    index = torch.arange(len(run.data), device=run.data.device)
    mean, logvar = run.posterior(index)
    std = (0.5 * logvar).exp()
    generator = torch.Generator(mean.device).manual_seed(0)
    noise = torch.randn(5, mean.shape[-1], generator=generator, device=mean.device)
    arrays = {
        "mean": mean,
        "std": std,
        "factors": run.data.to_factors(index),
        "confusion": confusion(mean, std),
        "image": run.data.for_display(run.data.images(index[focus : focus + 1])[0]),
        "decoded": run.decode_images(mean[focus] + std[focus] * noise),
    }
    return {name: array.cpu().numpy() for name, array in arrays.items()}


def latent_agreement(run: Run, a: Tensor, b: Tensor) -> Agreement:
    """Compare distances between latent means with perceived distances, for pairs of images.

    `a` and `b`, int of shape (n,), are indices of different images; a ValueError says if they are
    not. ``linear`` and ``rank`` of the result correlate the L2 distances of posterior means with
    the run's loss between its inputs; ``adversarial`` and ``mean`` describe the latter.

    Examples
    --------
    >>> import vaedis as vd
    >>> run = vd.fit(vd.RunSpec(data_options={"num_squares": 1}, model="mlp", steps=1, batch=4))
    >>> latent_agreement(run, torch.tensor([0, 1, 2]), torch.tensor([3, 5, 8])).adversarial
    True
    """
    a = run.data.check_index(to_tensor("a", "indices", a))
    b = run.data.check_index(to_tensor("b", "indices", b))
    if a.ndim != 1 or a.shape != b.shape or not len(a):
        raise ValueError(
            "a and b must both have the shape (n,), an index for each of some pairs, not "
            f"{tuple(a.shape)} and {tuple(b.shape)}."
        )
    if bool((a == b).any()):
        raise ValueError("a and b must be indices of different images, but a pair has one twice.")
    mean, _ = run.posterior(torch.cat([a, b]))
    first, second = mean.double().split([len(a), len(b)])
    latent = (first - second).norm(dim=-1).cpu().numpy()
    distances = perceived(run.data, a, b, loss=run.loss, normalize=run.normalize).cpu().numpy()
    return compare(distances, latent, distances)
