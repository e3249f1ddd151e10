"""A loss that compares images blurred by a Gaussian."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vaedis import _check
from vaedis.losses.base import Loss


@dataclass(frozen=True, eq=False)
class GaussianBlur(Loss):
    """Mean squared error plus that of both images blurred by a Gaussian.

    `BoxBlur` with another window, which has no edges: ``pixel_weight * mse(x̂, x) + weight * mse(K
    x̂, K x)``, with K the mean over neighbours weighted by ``exp(-distance² / (2 sigma²))``, cut
    off at 3 sigma, of sum 1 and zero-padded. Not in the paper.

    Parameters
    ----------
    sigma : float
        Standard deviation of the Gaussian, in pixels. That of a box of radius r is about 0.58 r.
    weight : float, optional
        Weight of the blurred term; by default ``4 π sigma²``, the area of the box that averages
        noise away as much.
    pixel_weight : float
        Weight of the plain term.

    Raises
    ------
    ValueError
        If `sigma` is not above 0, or a weight is negative or not finite.

    Examples
    --------
    >>> import torch
    >>> from vaedis import losses
    >>> blur = losses.GaussianBlur(sigma=1.0, weight=1, pixel_weight=0)
    >>> blur.distance(torch.ones(1, 1, 64, 64), torch.zeros(1, 1, 64, 64)).round(decimals=2)
    tensor([0.9600])
    """

    sigma: float = 4.0
    weight: float | None = None
    pixel_weight: float = 1.0
    name = "gaussian-blur"
    quadratic = True

    def __post_init__(self):
        sigma = _check.positive("sigma", self.sigma)
        weight = 4 * math.pi * sigma**2 if self.weight is None else self.weight
        object.__setattr__(self, "sigma", sigma)
        object.__setattr__(self, "weight", _check.non_negative("weight", weight))
        pixel_weight = _check.non_negative("pixel_weight", self.pixel_weight)
        object.__setattr__(self, "pixel_weight", pixel_weight)

    def blur(self, x: Tensor) -> Tensor:
        """Blur images, Tensor of float of shape (..., H, W), with zero padding."""
        rows, columns = (_gaussian_mean(n, self.sigma, x) for n in x.shape[-2:])
        return rows @ x @ columns

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """See `Loss.distance`."""
        return self.embed(a - b).square().sum(-1)

    def embed(self, x: Tensor) -> Tensor:
        """See `Loss.embed`: plain and blurred images side by side."""
        plain = x * math.sqrt(self.pixel_weight)
        blurred = self.blur(x) * math.sqrt(self.weight)  # type: ignore[arg-type]
        both = torch.cat([plain.flatten(-3), blurred.flatten(-3)], -1)
        return both / math.sqrt(math.prod(x.shape[-3:]))


def _gaussian_mean(n: int, sigma: float, like: Tensor) -> Tensor:
    """Return the symmetric matrix of a zero-padded Gaussian mean of n numbers."""
    reach = math.ceil(3 * sigma)
    steps = torch.arange(-reach, reach + 1, dtype=torch.float64)
    weights = (-0.5 * (steps / sigma).square()).exp()
    i = torch.arange(n)
    apart = i[:, None] - i
    matrix = weights[apart.clamp(-reach, reach) + reach] * (apart.abs() <= reach) / weights.sum()
    return matrix.to(like)
