"""The objectives: beta-VAE and Ada-GVAE as functions from a batch, a network and noise to a loss.

Both are means, never sums: the reconstruction loss is a mean over batch, channels and pixels, the
KL divergence a mean over batch and latents (paper, appendix B.1). Noise is an argument, so that the
functions are pure.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from vaedis import _check
from vaedis.losses import Loss, kl_to_prior, symmetric_kl
from vaedis.spec import AVERAGES
from vaedis.training.model import VAE


class Terms(NamedTuple):
    """A training loss and its two parts, each a scalar Tensor: ``loss = recon + beta * kl``."""

    loss: Tensor
    recon: Tensor
    kl: Tensor


def reparameterise(mean: Tensor, logvar: Tensor, noise: Tensor) -> Tensor:
    """Return ``mean + noise * std``: a sample of the posterior, shape (B, z), from standard normal
    noise of that shape.
    """
    return mean + noise * torch.exp(0.5 * logvar)


def beta_vae(model: VAE, x: Tensor, noise: Tensor, *, loss: Loss, beta: float | Tensor) -> Terms:
    """Return the loss of beta-VAE on a batch.

    Parameters
    ----------
    model : VAE
    x : Tensor of float, shape (B, C, H, W)
        Input and target alike.
    noise : Tensor of float, shape (B, z)
        Standard normal.
    loss : Loss
    beta : float or Tensor of one number
        Normalised; see `experiments.RunSpec.beta_sum`.

    References
    ----------
    Higgins et al. (2017); paper, appendix B.1.
    """
    mean, logvar = model.encode(x)
    recon = loss(model.decode(reparameterise(mean, logvar, noise)), x).mean()
    kl = kl_to_prior(mean, logvar).mean()
    return Terms(recon + beta * kl, recon, kl)


def shared_latents(mean0: Tensor, logvar0: Tensor, mean1: Tensor, logvar1: Tensor) -> Tensor:
    """Return which latents Ada-GVAE takes to be shared by each pair.

    A latent is shared if the symmetric KL divergence between its two posteriors lies *strictly*
    below the middle between the pair's smallest and largest. So the largest is never shared, and if
    all are equal none is.

    Parameters
    ----------
    mean0, logvar0, mean1, logvar1 : Tensor of float, shape (B, z)

    Returns
    -------
    Tensor of bool, shape (B, z)

    References
    ----------
    Locatello et al. (2020), section 4; paper, appendix B.3. The authors'
    ``_weaklysupervised__adavae.py``.
    """
    delta = symmetric_kl(mean0, logvar0, mean1, logvar1)
    threshold = 0.5 * (delta.amin(-1, keepdim=True) + delta.amax(-1, keepdim=True))
    return delta < threshold


def average_shared(
    mean0: Tensor, logvar0: Tensor, mean1: Tensor, logvar1: Tensor, *, average: str = "mean"
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return both posteriors of each pair with their shared latents replaced by an average.

    Parameters
    ----------
    mean0, logvar0, mean1, logvar1 : Tensor of float, shape (B, z)
    average : {"mean", "published"}
        ``"mean"``: mean of the means and mean of the *variances*, as Locatello et al. define the
        GVAE. ``"published"``: the same variances, but both take the second image's mean. The
        released code did so from October 2021 to June 2022, which covers the paper's runs (disent
        issue 32).

    Returns
    -------
    mean0, logvar0, mean1, logvar1 : Tensor of float, shape (B, z)
    """
    _check.one_of("average", average, AVERAGES)
    shared = shared_latents(mean0, logvar0, mean1, logvar1)
    mean = 0.5 * (mean0 + mean1) if average == "mean" else mean1
    logvar = (
        torch.logaddexp(logvar0, logvar1) - 0.6931471805599453
    )  # the log of the mean of the variances
    return (
        torch.where(shared, mean, mean0),
        torch.where(shared, logvar, logvar0),
        torch.where(shared, mean, mean1),
        torch.where(shared, logvar, logvar1),
    )


def ada_gvae(
    model: VAE, x: Tensor, noise: Tensor, *, loss: Loss, beta: float | Tensor, average: str = "mean"
) -> Terms:
    """Return the loss of Ada-GVAE on a batch of pairs.

    Parameters
    ----------
    model : VAE
    x : Tensor of float, shape (2 * B, C, H, W)
        The B first images of the pairs, then the B second ones: one pass through the network serves
        both.
    noise : Tensor of float, shape (2 * B, z)
        Standard normal; independent for both images, in shared latents too.
    loss : Loss
    beta : float or Tensor of one number
        Normalised; see `experiments.RunSpec.beta_sum`.
    average : {"mean", "published"}
        See `average_shared`.

    Notes
    -----
    Both losses are means over the pair, so they are on the scale of one image. The KL divergence is
    that of the posteriors after averaging.

    References
    ----------
    Locatello et al. (2020); paper, appendix B.2 and B.3.
    """
    mean, logvar = model.encode(x)
    (mean0, mean1), (logvar0, logvar1) = mean.chunk(2), logvar.chunk(2)
    mean0, logvar0, mean1, logvar1 = average_shared(mean0, logvar0, mean1, logvar1, average=average)
    mean, logvar = torch.cat([mean0, mean1]), torch.cat([logvar0, logvar1])
    recon = loss(model.decode(reparameterise(mean, logvar, noise)), x).mean()
    kl = kl_to_prior(mean, logvar).mean()
    return Terms(recon + beta * kl, recon, kl)
