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
from vaedis.losses.base import Loss, LossLike, mse_vectors
from vaedis.losses.blur import BoxBlur, GaussianBlur
from vaedis.losses.custom import Function

# of 2, in a weight that float32 can hold
_LARGEST_EXPONENT = 120


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
        return mse_vectors(x)


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
class Pyramid(Loss):
    """Mean squared errors of images averaged over blocks of 1, 2, 4, … pixels, weighted and added.

    Not in the paper: what moved far differs more, as under a blur. Images whose sides the blocks do
    not divide are padded with zeros.

    Parameters
    ----------
    levels : int
        Number of block sizes, single pixels included.
    growth : float
        Factor between the weights of successive levels; 4 is that of the blocks' areas.

    Raises
    ------
    ValueError
        If `levels` or `growth` is not above 0, or they give a weight that is too large a number.

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

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", _check.count("levels", self.levels))
        object.__setattr__(self, "growth", _check.positive("growth", self.growth))
        if (self.levels - 1) * math.log2(self.growth) > _LARGEST_EXPONENT:
            problem = f"levels={self.levels} and growth={self.growth:g}"
            raise ValueError(f"{problem} give a weight that is too large a number; lower one.")

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
        A function ``f(a, b)`` of two batches of images, each of shape (B, C, H, W), returns B
        numbers: the more two images differ, the larger the number, and each number depends on its
        own two images only. `a` are the reconstructions.
    **options
        The parameters of `BoxBlur`, `GaussianBlur` or `Pyramid`; the others take none.

    Returns
    -------
    Loss

    Raises
    ------
    ValueError
        If there is no such loss or option. What a function returns is checked where images are
        compared.
    TypeError
        If it is neither a name, a `Loss` whose name is text, nor a function.

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
    if isinstance(loss, str):
        cls = LOSSES[_check.one_of("loss", loss, LOSSES)]
        _check.options("loss", loss, options, getattr(cls, "__dataclass_fields__", {}))
        return cls(**options)
    if options:
        raise ValueError(f"{', '.join(options)}: a loss that is already made takes no options.")
    if isinstance(loss, Loss):
        if not isinstance(loss.name, str):
            raise TypeError(f"the name of a loss must be text, not {loss.name!r}.")
        return loss
    if callable(loss) and not isinstance(loss, type):
        return Function(loss)
    kind = f"the class {loss.__name__}" if isinstance(loss, type) else f"a {type(loss).__name__}"
    raise TypeError(
        f"a loss must be a name ({', '.join(LOSSES)}), a function of two batches of images, or an "
        "object of a class derived from vaedis.losses.Loss that defines distance(a, b), "
        f"not {kind}."
    )


def kl_to_prior(mean: Tensor, logvar: Tensor) -> Tensor:
    """Compute the KL divergence of diagonal Gaussians from the standard normal.

    It is that of each element, in nats: all tensors are float of shape (...).

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

    It is that of each element, in nats: all tensors are float of shape (...).

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
