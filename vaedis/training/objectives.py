"""The objectives of beta-VAE and Ada-GVAE, as pure functions of network, batch and noise.

The reconstruction loss is a mean over batch, channels and pixels, the KL divergence a mean over
batch and latents; nothing is summed (paper, appendix B.1).
"""

from __future__ import annotations

import math
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
    """Return ``mean + noise * std``, a sample of the posterior, all of shape (B, z).

    Examples
    --------
    >>> reparameterise(torch.tensor([1.0]), torch.zeros(1), torch.tensor([-0.5]))
    tensor([0.5000])
    """
    return mean + noise * torch.exp(0.5 * logvar)


def beta_vae(model: VAE, x: Tensor, noise: Tensor, *, loss: Loss, beta: float | Tensor) -> Terms:
    """Return the loss of beta-VAE on a batch.

    `x`, float of shape (B, C, H, W), is the input, and also the target of the reconstruction;
    `noise`, float of shape (B, z), is standard normal. `beta`, a float or a Tensor of one number,
    is normalized; see `RunSpec.beta_sum`.

    Source: Higgins et al. (2017); paper, appendix B.1.

    Examples
    --------
    >>> from vaedis import losses
    >>> from vaedis.training import model
    >>> network = model.build("mlp", (4, 4, 1), latents=2)
    >>> x, noise = torch.zeros(5, 1, 4, 4), torch.zeros(5, 2)
    >>> beta_vae(network, x, noise, loss=losses.MSE(), beta=0.1).loss.item()
    0.0
    """
    mean, logvar = model.encode(x)
    return _terms(model, x, mean, logvar, noise, loss, beta)


def shared_latents(mean0: Tensor, logvar0: Tensor, mean1: Tensor, logvar1: Tensor) -> Tensor:
    """Return which latents Ada-GVAE takes to be shared by each pair.

    A latent is shared if the symmetric KL divergence between its two posteriors lies *strictly*
    below the middle between the pair's smallest and largest. So the largest is never shared, and if
    all are equal none is. All tensors have the shape (B, z).

    Source: Locatello et al. (2020), section 4; paper, appendix B.3. The authors'
    ``_weaklysupervised__adavae.py``.

    Examples
    --------
    >>> zero = torch.zeros(1, 3)
    >>> shared_latents(zero, zero, torch.tensor([[1.0, 4.9, 7.0]]), zero)
    tensor([[ True,  True, False]])
    """
    delta = symmetric_kl(mean0, logvar0, mean1, logvar1)
    threshold = 0.5 * (delta.amin(-1, keepdim=True) + delta.amax(-1, keepdim=True))
    return delta < threshold


def average_shared(
    mean0: Tensor, logvar0: Tensor, mean1: Tensor, logvar1: Tensor, *, average: str = "mean"
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return both posteriors of each pair with their shared latents replaced by an average.

    All tensors are float of shape (B, z). ``average="mean"`` averages the means and the
    *variances*, as Locatello et al. define the GVAE. ``"published"`` gives the same variances, but
    both images take the second one's mean, as in the released code from October 2021 to June 2022;
    the paper's runs were almost certainly made in that time (disent issue 32).

    Examples
    --------
    >>> mean0, mean1, logvar = torch.zeros(1, 2), torch.tensor([[1.0, 4.0]]), torch.zeros(1, 2)
    >>> average_shared(mean0, logvar, mean1, logvar)[0]
    tensor([[0.5000, 0.0000]])
    >>> average_shared(mean0, logvar, mean1, logvar, average="published")[0]
    tensor([[1., 0.]])
    """
    _check.one_of("average", average, AVERAGES)
    shared = shared_latents(mean0, logvar0, mean1, logvar1)
    mean = 0.5 * (mean0 + mean1) if average == "mean" else mean1
    # log of the mean of the variances
    logvar = torch.logaddexp(logvar0, logvar1) - math.log(2)
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

    `x`, shape (2 * B, C, H, W), holds the B first images of the pairs and then the B second ones.
    Their `noise`, shape (2 * B, z), is independent, in shared latents too. Both parts are means
    over the pair, on the scale of one image. The KL divergence is that of the posteriors after
    averaging, as in `average_shared`. Other arguments are as in `beta_vae`.

    Source: Locatello et al. (2020); paper, appendix B.2 and B.3.

    Examples
    --------
    >>> from vaedis import losses
    >>> from vaedis.training import model
    >>> network = model.build("mlp", (4, 4, 1), latents=2)
    >>> x, noise = torch.zeros(6, 1, 4, 4), torch.zeros(6, 2)
    >>> ada_gvae(network, x, noise, loss=losses.MSE(), beta=0.1).loss.item()
    0.0
    """
    mean, logvar = average_pairs(*model.encode(x), average=average)
    return _terms(model, x, mean, logvar, noise, loss, beta)


def average_pairs(
    mean: Tensor, logvar: Tensor, *, average: str, dim: int = 0
) -> tuple[Tensor, Tensor]:
    """Return `average_shared` for first and second images that follow each other along `dim`."""
    mean0, mean1 = mean.chunk(2, dim)
    logvar0, logvar1 = logvar.chunk(2, dim)
    mean0, logvar0, mean1, logvar1 = average_shared(mean0, logvar0, mean1, logvar1, average=average)
    return torch.cat([mean0, mean1], dim), torch.cat([logvar0, logvar1], dim)


def _terms(
    model: VAE,
    x: Tensor,
    mean: Tensor,
    logvar: Tensor,
    noise: Tensor,
    loss: Loss,
    beta: float | Tensor,
) -> Terms:
    if not mean.shape == logvar.shape == noise.shape:
        raise ValueError(
            "mean and log-variance of the posteriors must have the shape of the noise, "
            f"{tuple(noise.shape)}, not {tuple(mean.shape)} and {tuple(logvar.shape)}."
        )
    recon = loss(model.decode(reparameterise(mean, logvar, noise)), x).mean()
    kl = kl_to_prior(mean, logvar).mean()
    return Terms(recon + beta * kl, recon, kl)
