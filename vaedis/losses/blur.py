"""Losses that compare images and the same images blurred."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vaedis import _check
from vaedis.losses.base import Loss, mse_vectors

# pixels; the window of a larger one would not fit into memory
_LARGEST_SIGMA = 10_000
# pixels: a window that covers all of any image
_LARGEST_RADIUS = 1_000_000


class _Blur(Loss):
    """``pixel_weight * mse(x̂, x) + weight * mse(K x̂, K x)``.

    K is a mean over a zero-padded window.
    """

    weight: float | None
    pixel_weight: float
    quadratic = True

    def _check_weights(self, area: float) -> None:
        weight = area if self.weight is None else self.weight
        object.__setattr__(self, "weight", _check.non_negative("weight", weight))
        pixel_weight = _check.non_negative("pixel_weight", self.pixel_weight)
        object.__setattr__(self, "pixel_weight", pixel_weight)

    @abc.abstractmethod
    def _mean(self, n: int, template: Tensor) -> Tensor:
        """Return the symmetric matrix of the mean over windows of n numbers, shape (n, n)."""

    def blur(self, x: Tensor) -> Tensor:
        """Blur images, Tensor of float of shape (..., H, W), with zero padding."""
        # the window is separable: two small matrix products
        rows = self._mean(x.shape[-2], x)
        columns = rows if x.shape[-1] == x.shape[-2] else self._mean(x.shape[-1], x)
        return rows @ x @ columns

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """See `Loss.distance`."""
        residual = a - b
        pixel_term = residual.square().mean((-3, -2, -1))
        blurred = self.blur(residual).square().mean((-3, -2, -1))
        return self.pixel_weight * pixel_term + self.weight * blurred  # type: ignore[operator]

    def embed(self, x: Tensor) -> Tensor:
        """See `Loss.embed`: plain and blurred images side by side."""
        pixel_term = mse_vectors(x) * math.sqrt(self.pixel_weight)
        blurred = mse_vectors(self.blur(x)) * math.sqrt(self.weight)  # type: ignore[arg-type]
        return torch.cat([pixel_term, blurred], -1)


@dataclass(frozen=True, eq=False)
class BoxBlur(_Blur):
    """Mean squared error plus that of both images blurred by a box (section 6.1, equation 6).

    ``pixel_weight * mse(x̂, x) + weight * mse(K x̂, K x)``, with K the mean over a square window of
    side ``2 * radius + 1``, zero-padded.

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
        If one of them is negative or not finite, or the radius more than 1,000,000.

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

    def __post_init__(self) -> None:
        # Python's numbers: small integers of numpy overflow
        radius = _check.count("radius", self.radius, 0)
        if radius > _LARGEST_RADIUS:
            raise ValueError(f"radius must be at most {_LARGEST_RADIUS:,} pixels.")
        object.__setattr__(self, "radius", radius)
        self._check_weights((2 * radius + 1) ** 2)

    def _mean(self, n: int, template: Tensor) -> Tensor:
        i = torch.arange(n, device=template.device)
        return ((i[:, None] - i).abs() <= self.radius).to(template.dtype) / (2 * self.radius + 1)


@dataclass(frozen=True, eq=False)
class GaussianBlur(_Blur):
    """Mean squared error plus that of both images blurred by a Gaussian: `BoxBlur` without edges.

    The window's weights are ``exp(-distance² / (2 sigma²))``, cut off at 3 sigma, of sum 1. Not in
    the paper.

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
        If `sigma` is 0 or less, or more than 10,000, or a weight is negative or not finite.

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

    def __post_init__(self) -> None:
        sigma = _check.positive("sigma", self.sigma)
        if sigma > _LARGEST_SIGMA:
            raise ValueError(f"sigma must be at most {_LARGEST_SIGMA:,} pixels, not {sigma:g}.")
        object.__setattr__(self, "sigma", sigma)
        self._check_weights(4 * math.pi * sigma**2)

    def _mean(self, n: int, template: Tensor) -> Tensor:
        reach = math.ceil(3 * self.sigma)
        steps = torch.arange(-reach, reach + 1, dtype=torch.float64)
        weights = (-0.5 * (steps / self.sigma).square()).exp()
        i = torch.arange(n)
        offsets = i[:, None] - i
        within = weights[offsets.clamp(-reach, reach) + reach] * (offsets.abs() <= reach)
        return (within / weights.sum()).to(template)
