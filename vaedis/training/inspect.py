"""Distances inside a trained VAE: at every level, and how its posteriors overlap."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vaedis import _check, losses
from vaedis.distances.agreement import Agreement, compare, ground_truth_matrix
from vaedis.distances.kernels import pair_by_pair
from vaedis.distances.pairs import perceived
from vaedis.losses import properties

LEVELS = ("factors", "x", "z", "kl", "reconstruction")
# what differences of losses in float32 may lose, as a share of them
_ROUNDING = 1e-6


@torch.no_grad()
def level_matrices(
    run, factor: str, *, traversals: int = 100, seed: int = 7777
) -> dict[str, np.ndarray]:
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
        ``"factors"``: |i - j|. ``"x"``: the run's loss between its (normalized) inputs. ``"z"``:
        the L2 distance of posterior means. ``"kl"``: the symmetric KL divergence of posteriors, a
        mean over latents. ``"reconstruction"``: the run's loss between decoded posterior means.

    References
    ----------
    The authors' ``_callback_vis_dists.py``.
    """
    data, loss = run.data, run.loss
    data.require_full_grid("distances along a factor inside a VAE")
    space = data.factors
    size = space.sizes[space.position(factor)]
    generator = torch.Generator(data.device).manual_seed(seed)
    bases = space.sample_index(_check.count("traversals", traversals), generator=generator)
    dtype = properties.precision_of(loss, data)
    totals = {
        level: torch.zeros(size, size, dtype=torch.float64, device=data.device)
        for level in LEVELS[1:]
    }
    for part in bases.split(max(1, 512 // size)):
        index = space.traversal(factor, part)
        x = data.observations(index.flatten(), normalize=run.normalize)
        mean, logvar = (
            v.unflatten(0, index.shape).double() for v in run.posterior(index.flatten())
        )
        decoded = run.decode(mean.flatten(0, 1).float())
        x, decoded = (v.unflatten(0, index.shape).to(dtype) for v in (x, decoded))
        totals["x"] += pair_by_pair(loss, x).sum(0)
        totals["reconstruction"] += pair_by_pair(loss, decoded).sum(0)
        for i in range(size):
            one = slice(i, i + 1)
            totals["z"][i] += (mean[:, one] - mean).square().sum(-1).sqrt().sum(0)
            totals["kl"][i] += (
                losses.symmetric_kl(mean[:, one], logvar[:, one], mean, logvar).mean(-1).sum(0)
            )
    found = {level: (total / len(bases)).cpu().numpy() for level, total in totals.items()}
    return {"factors": ground_truth_matrix(size), **found}


@torch.no_grad()
def factor_learning(run, *, images: int = 256, seed: int = 7777) -> dict[str, dict[str, float]]:
    """Return what a VAE makes of each factor: how far its posteriors tell the values apart, and how
    much of them it draws again.

    Both are 0 as long as a network ignores a factor. Followed over training, they show when each
    factor is learnt.

    Parameters
    ----------
    run : train.Run
    images : int
        About how many to look at for each factor: random traversals of it, at least two.
    seed : int
        Of the random traversals.

    Returns
    -------
    dict of str to (dict of str to float)
        For each factor, over pairs of images that differ in that factor only: ``"separation"``, the
        mean symmetric KL divergence of their posteriors in nats, *summed* over latents; and
        ``"reconstructed"``, the mean distance of what is decoded from their posterior means, as a
        share of the mean distance of the images; both distances are the run's loss, less that of
        the target from itself.
    """
    data = run.data
    data.require_full_grid("what a VAE makes of each factor")
    found: dict[str, dict[str, float]] = {"separation": {}, "reconstructed": {}}
    for factor, size in zip(data.factors.names, data.factors.sizes, strict=True):
        if size < 2:
            continue
        generator = torch.Generator(data.device).manual_seed(seed)
        bases = data.factors.sample_index(
            max(2, _check.count("images", images) // size), generator=generator
        )
        nats = seen = drawn = floor = 0.0
        for index in data.factors.traversal(factor, bases):
            mean, logvar = run.posterior(index)
            x, decoded = data.observations(index, normalize=run.normalize), run.decode(mean)
            # of an image as its own reconstruction: 0, but for cross-entropy, where it is the
            # image's entropy
            own, own_decoded = run.loss.distance(x, x), run.loss.distance(decoded, decoded)
            for i in range(size):
                one = slice(i, i + 1)
                nats += float(
                    losses.symmetric_kl(
                        mean[one].double(), logvar[one].double(), mean.double(), logvar.double()
                    ).sum()
                )
                seen += float((run.loss.distance(x[one].expand_as(x), x) - own).double().sum())
                drawn += float(
                    (run.loss.distance(decoded[one].expand_as(decoded), decoded) - own_decoded)
                    .double()
                    .sum()
                )
            floor += _ROUNDING * size * float(own.double().sum())
        found["separation"][factor] = nats / (len(bases) * size * (size - 1))
        found["reconstructed"][factor] = max(drawn, 0.0) / seen if seen > floor else 0.0
    return found


def confusion(mean: Tensor, std: Tensor, *, samples: int = 200, seed: int = 0) -> Tensor:
    """Return how often a sample from one observation's posterior is most probable under another's.

    It is what the paper's argument starts from: a decoder sees a sample only, and cannot tell apart
    observations whose posteriors overlap.

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
        z = mean[i] + std[i] * torch.randn(
            _check.count("samples", samples), latents, generator=generator, device=mean.device
        )
        log_density = -0.5 * ((z[:, None] - mean) / std).square().sum(-1) - std.log().sum(-1)
        shares[i] = torch.bincount(log_density.argmax(-1), minlength=n) / samples
    return shares


def posterior_map(run, focus: int, *, decoded: int = 5, seed: int = 0) -> dict[str, np.ndarray]:
    """Return where a small data set lies in the latent space of a VAE, and what becomes of one
    observation (Figure 1).

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
        ``"mean"`` and ``"std"``, float32, shape (n, z), of all posteriors; ``"factors"``, int64,
        shape (n, F); ``"confusion"``, float32, shape (n, n), as from `confusion`; ``"image"``,
        uint8, shape (H, W, C); ``"decoded"``, uint8, shape (decoded, H, W, C).
    """
    index = torch.arange(len(run.data), device=run.data.device)
    mean, logvar = run.posterior(index)
    std = (0.5 * logvar).exp()
    generator = torch.Generator(mean.device).manual_seed(seed)
    noise = torch.randn(
        _check.count("decoded", decoded), mean.shape[-1], generator=generator, device=mean.device
    )
    found = {
        "mean": mean,
        "std": std,
        "factors": run.data.to_factors(index),
        "confusion": confusion(mean, std, seed=seed),
        "image": run.data.for_display(run.data.images(index[focus : focus + 1])[0]),
        "decoded": run.decode_images(mean[focus] + std[focus] * noise),
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
        ``linear`` and ``rank`` correlate the L2 distances of posterior means with the run's loss
        between its inputs; ``adversarial`` and ``mean`` describe the latter.
    """
    a, b = torch.as_tensor(a), torch.as_tensor(b)
    mean = run.posterior(torch.cat([a, b]))[0].double()
    apart = (mean[: len(a)] - mean[len(a) :]).norm(dim=-1).cpu().numpy()
    seen = perceived(run.data, a, b, loss=run.loss, normalize=run.normalize).cpu().numpy()
    return compare(seen, apart, seen)
