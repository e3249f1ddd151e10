"""The reconstruction losses of the package, and the divergences of a VAE's posteriors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vaedis import _check
from vaedis.losses.base import Loss, LossLike
from vaedis.losses.gaussian import GaussianBlur
from vaedis.losses.given import Function


@dataclass(frozen=True, eq=False)
class MSE(Loss):
    """Mean squared error, without the ½ of a Gaussian likelihood (paper, appendix B.1).

    Examples
    --------
    >>> import torch
    >>> from vaedis import losses
    >>> losses.MSE().distance(torch.full((1, 1, 2, 2), 0.5), torch.zeros(1, 1, 2, 2))
    tensor([0.2500])
    """

    name = "mse"
    quadratic = True

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """See `Loss.distance`."""
        return (a - b).square().mean((-3, -2, -1))

    def embed(self, x: Tensor) -> Tensor:
        """See `Loss.embed`."""
        flat = x.flatten(-3)
        return flat / math.sqrt(flat.shape[-1])


@dataclass(frozen=True, eq=False)
class MAE(Loss):
    """Mean absolute error.

    Examples
    --------
    >>> import torch
    >>> from vaedis import losses
    >>> losses.MAE().distance(torch.full((1, 1, 2, 2), 0.5), torch.zeros(1, 1, 2, 2))
    tensor([0.5000])
    """

    name = "mae"

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """See `Loss.distance`."""
        return (a - b).abs().mean((-3, -2, -1))


@dataclass(frozen=True, eq=False)
class BCE(Loss):
    """Binary cross-entropy; the decoder returns logits, and images lie in [0, 1].

    As a distance it is not symmetric, and between an observation and itself it is the observation's
    entropy: 0 for binary images only. Logarithms are at least -100, as in torch, so that two
    different binary images have a finite distance.

    Examples
    --------
    >>> import torch
    >>> from vaedis import losses
    >>> losses.BCE().distance(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2))
    tensor([100.])
    """

    name = "bce"
    unit_range = True

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """See `Loss.__call__`; `prediction` are logits."""
        entropy = F.binary_cross_entropy_with_logits(prediction, target, reduction="none")
        return entropy.mean((-3, -2, -1))

    def output(self, prediction: Tensor) -> Tensor:
        """Map the decoder's logits to probabilities."""
        return prediction.sigmoid()

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """See `Loss.distance`; `a` are probabilities."""
        a, b = torch.broadcast_tensors(a, b)
        return F.binary_cross_entropy(a, b, reduction="none").mean((-3, -2, -1))


@dataclass(frozen=True, eq=False)
class BoxBlur(Loss):
    """Mean squared error plus that of both images blurred by a box (section 6.1, equation 6).

    ``pixel_weight * mse(x̂, x) + weight * mse(K x̂, K x)``, with K the mean over a square window of
    side ``2 * radius + 1``, zero-padded. Blurring is linear, so the residual is blurred once, and a
    box is separable, so that takes two small matrix products.

    Parameters
    ----------
    radius : int
        In pixels; 31 in the paper.
    weight : float, optional
        Weight of the blurred term; by default the window's area, 63² = 3969 in the paper.
    pixel_weight : float
        Weight of the plain term; 1 in the paper.

    Raises
    ------
    ValueError
        If one of them is negative or not finite.

    References
    ----------
    Michlo, Klein and James (2023), section 6.1. The authors' code:
    ``disent/frameworks/helper/reconstructions.py``, there under the name
    ``mse_box_r31_l1.0_k3969.0_norm_sum``.

    Examples
    --------
    >>> from vaedis import losses
    >>> losses.BoxBlur(radius=3).weight
    49.0
    """

    radius: int = 31
    weight: float | None = None
    pixel_weight: float = 1.0
    name = "box-blur"
    quadratic = True

    def __post_init__(self):
        # Python's numbers: small integers of numpy overflow.
        radius = _check.count("radius", self.radius, 0)
        weight = self.weight
        if weight is None:
            weight = (2 * radius + 1) ** 2
        object.__setattr__(self, "radius", radius)
        object.__setattr__(self, "weight", _check.non_negative("weight", weight))
        pixel_weight = _check.non_negative("pixel_weight", self.pixel_weight)
        object.__setattr__(self, "pixel_weight", pixel_weight)

    def blur(self, x: Tensor) -> Tensor:
        """Blur images, Tensor of float of shape (..., H, W), by the box with zero padding."""
        rows = _running_mean(x.shape[-2], self.radius, x)
        columns = rows if x.shape[-1] == x.shape[-2] else _running_mean(x.shape[-1], self.radius, x)
        return rows @ x @ columns

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """See `Loss.distance`."""
        residual = a - b
        plain = residual.square().mean((-3, -2, -1))
        blurred = self.blur(residual).square().mean((-3, -2, -1))
        return self.pixel_weight * plain + self.weight * blurred  # type: ignore[operator]

    def embed(self, x: Tensor) -> Tensor:
        """See `Loss.embed`: plain and blurred images side by side."""
        plain = MSE().embed(x) * math.sqrt(self.pixel_weight)
        blurred = MSE().embed(self.blur(x)) * math.sqrt(self.weight)  # type: ignore[arg-type]
        return torch.cat([plain, blurred], -1)


def _running_mean(n: int, radius: int, like: Tensor) -> Tensor:
    """Return the symmetric matrix of a zero-padded mean over ``2 * radius + 1`` of n numbers."""
    i = torch.arange(n, device=like.device)
    return ((i[:, None] - i).abs() <= radius).to(like.dtype) / (2 * radius + 1)


@dataclass(frozen=True, eq=False)
class Pyramid(Loss):
    """Mean squared errors of images averaged over blocks of 1, 2, 4, … pixels, weighted and added.

    Not in the paper: another loss in which what moved far differs more, and cheaper than a wide
    blur. Images whose sides the blocks do not divide are padded with zeros.

    Parameters
    ----------
    levels : int
        Number of block sizes, single pixels included.
    growth : float
        Factor between the weights of successive levels; 4 is that of the blocks' areas.

    Raises
    ------
    ValueError
        If `levels` or `growth` is not above 0.

    Examples
    --------
    >>> import torch
    >>> from vaedis import losses
    >>> losses.Pyramid(levels=3).distance(torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 4, 4))
    tensor([21.])
    """

    levels: int = 6
    growth: float = 4.0
    name = "pyramid"
    quadratic = True

    def __post_init__(self):
        object.__setattr__(self, "levels", _check.count("levels", self.levels))
        object.__setattr__(self, "growth", _check.positive("growth", self.growth))

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """See `Loss.distance`."""
        return self.embed(a - b).square().sum(-1)

    def embed(self, x: Tensor) -> Tensor:
        """See `Loss.embed`: the levels side by side."""
        size = math.prod(x.shape[-3:])
        pooled = x.flatten(0, -4) if x.ndim > 3 else x[None]
        levels = []
        for level in range(self.levels):
            if level:
                padding = (0, pooled.shape[-1] % 2, 0, pooled.shape[-2] % 2)
                pooled = F.avg_pool2d(F.pad(pooled, padding), 2)
            weight = self.growth**level * size / math.prod(pooled.shape[-3:])
            levels.append((pooled * math.sqrt(weight)).flatten(1))
        vectors = torch.cat(levels, -1) / math.sqrt(size)
        return vectors.view(*x.shape[:-3], vectors.shape[-1])


LOSSES: dict[str, Callable[..., Loss]] = {
    "mse": MSE,
    "bce": BCE,
    "mae": MAE,
    "box-blur": BoxBlur,
    "gaussian-blur": GaussianBlur,
    "pyramid": Pyramid,
}


def get(loss: LossLike = "mse", **options: Any) -> Loss:
    """Return a reconstruction loss by name, or of a function.

    Parameters
    ----------
    loss : {"mse", "bce", "mae", "box-blur", "gaussian-blur", "pyramid"}, Loss or callable
        A `Loss` is returned as it is. A function ``f(a, b)`` of two batches of images, each of
        shape (B, C, H, W), returns B numbers that are the larger, the more the images differ, each
        from its own two images alone; `a` are the reconstructions.
    **options
        ``radius``, ``weight`` and ``pixel_weight`` of ``"box-blur"``, ``sigma``, ``weight`` and
        ``pixel_weight`` of ``"gaussian-blur"``, ``levels`` and ``growth`` of ``"pyramid"``; the
        others take none.

    Returns
    -------
    Loss

    Raises
    ------
    ValueError
        If there is no such loss or option; the message lists those that exist. What a function
        returns is checked where images are compared.
    TypeError
        If it is neither a name, a `Loss` nor a function.

    Examples
    --------
    >>> import torch
    >>> from vaedis import losses
    >>> losses.get("box-blur", radius=15).weight
    961.0
    >>> def brightness(a, b):
    ...     return (a.mean((1, 2, 3)) - b.mean((1, 2, 3))).abs()
    >>> losses.get(brightness).distance(torch.ones(2, 1, 4, 4), torch.zeros(2, 1, 4, 4))
    tensor([1., 1.])
    """
    if not isinstance(loss, str) and options:
        raise ValueError(
            f"options ({', '.join(options)}) go with a loss's name, "
            "not with a loss that is already made."
        )
    if isinstance(loss, Loss):
        return loss
    if not isinstance(loss, str):
        if callable(loss) and not isinstance(loss, type):
            return Function(loss)
        kind = f"a {type(loss).__name__}"
        if isinstance(loss, type):
            kind = f"the class {loss.__name__}"
        raise TypeError(
            f"a loss must be a name ({', '.join(LOSSES)}), a function of two batches of images, or "
            "an object of a class derived from vaedis.losses.Loss that defines distance(a, b), "
            f"not {kind}."
        )
    cls = LOSSES[_check.one_of("loss", loss, LOSSES)]
    _check.options("loss", loss, options, getattr(cls, "__dataclass_fields__", {}))
    return cls(**options)


def kl_to_prior(mean: Tensor, logvar: Tensor) -> Tensor:
    """Compute the KL divergence of diagonal Gaussians from the standard normal.

    Parameters
    ----------
    mean, logvar : Tensor of float, shape (...)

    Returns
    -------
    Tensor of float, shape (...)
        In nats, of each element.

    Examples
    --------
    >>> import torch
    >>> from vaedis import losses
    >>> losses.kl_to_prior(torch.tensor([0.0, 2.0]), torch.zeros(2))
    tensor([0., 2.])
    """
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar)


def symmetric_kl(mean0: Tensor, logvar0: Tensor, mean1: Tensor, logvar1: Tensor) -> Tensor:
    """Compute ``½ KL(q0||q1) + ½ KL(q1||q0)`` of univariate Gaussians.

    Parameters
    ----------
    mean0, logvar0, mean1, logvar1 : Tensor of float, shape (...)

    Returns
    -------
    Tensor of float, shape (...)
        In nats, of each element.

    Examples
    --------
    >>> import torch
    >>> from vaedis import losses
    >>> zero = torch.zeros(1)
    >>> losses.symmetric_kl(zero, zero, zero + 2, zero)
    tensor([2.])
    """
    gap = (mean0 - mean1).square()
    difference = logvar0 - logvar1
    by_mean = gap * ((-logvar0).exp() + (-logvar1).exp())
    return 0.25 * (difference.exp() + (-difference).exp() + by_mean - 2)
