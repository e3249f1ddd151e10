"""Losses made of what a caller gives: a function of two batches, or features of a network."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from vaedis.losses.base import Loss, one_each
from vaedis.losses.fingerprint import fingerprint


class Function(Loss):
    """The loss that a function f(a, b) of two batches, (B, C, H, W) to (B,), computes."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]):
        self.function = function
        self.name = _name_of(function)

    def fingerprint(self) -> str:
        """See `Loss.fingerprint`."""
        return f"{self.name} {fingerprint(self.function, self.name)}"

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """See `Loss.distance`."""
        return _of_batches(lambda a, b: one_each(self, self.function(a, b), a), a, b)


class Features(Loss):
    """The mean squared difference of features; `features` makes it."""

    quadratic = True

    def __init__(self, network: Callable[[Tensor], Tensor]):
        self.network = network
        self.name = f"features of {_name_of(network)}"

    def fingerprint(self) -> str:
        """See `Loss.fingerprint`."""
        return f"{self.name} {fingerprint(self.network, self.name)}"

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """See `Loss.distance`."""
        return (self.embed(a) - self.embed(b)).square().sum(-1)

    def embed(self, x: Tensor) -> Tensor:
        """See `Loss.embed`: the features, divided by the square root of their number."""
        return _of_batches(self._vectors, x)

    def _vectors(self, x: Tensor) -> Tensor:
        if isinstance(self.network, nn.Module):
            self.network.to(x.device)
        vectors = self.network(x)
        if not isinstance(vectors, Tensor) or vectors.shape[:1] != x.shape[:1]:
            kind = f"a {type(vectors).__name__}"
            if isinstance(vectors, Tensor):
                kind = f"a tensor of shape {tuple(vectors.shape)}"
            raise ValueError(
                f"the {self.name} of {len(x)} images must be a tensor whose first dimension is "
                f"{len(x)}, not {kind}."
            )
        flat = vectors.reshape(len(x), -1)
        return flat / flat.shape[1] ** 0.5


def features(network: Callable[[Tensor], Tensor]) -> Loss:
    """Make the loss ``|φ(a) - φ(b)|²`` of features φ, as a mean over the features.

    Each image goes through φ once. Training under this loss sends gradients through φ to the
    images, and never changes φ.

    Parameters
    ----------
    network : torch.nn.Module or callable
        φ, from images of shape (B, C, H, W) to a tensor of shape (B, ...). A module is copied, and
        the copy set to evaluation mode.

    Returns
    -------
    Loss
        A quadratic form, with coordinates and bounds on beta, where φ is linear.

    Raises
    ------
    TypeError
        If `network` cannot be called.
    ValueError
        Where images are compared, if φ returns no tensor with one row for each image.

    References
    ----------
    Johnson, Alahi and Fei-Fei (2016), "Perceptual Losses for Real-Time Style Transfer and
    Super-Resolution", equation 2.

    Examples
    --------
    >>> import torch
    >>> from vaedis import losses
    >>> halves = losses.features(torch.nn.AvgPool2d(2))
    >>> halves.distance(torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 4, 4))
    tensor([1.])
    """
    if isinstance(network, type) or not callable(network):
        kind = f"the class {network.__name__}" if isinstance(network, type) else repr(network)
        raise TypeError(
            "features are those of a module or function from images (B, C, H, W) to a tensor "
            f"(B, ...), not of {kind}."
        )
    if isinstance(network, nn.Module):
        network = copy.deepcopy(network).eval().requires_grad_(False)
    return Features(network)


def _name_of(function: Any) -> str:
    """Return the name of a function, or of the class of another object that can be called."""
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__name__", type(function).__name__)


def _of_batches(function: Callable[..., Tensor], *images: Tensor) -> Tensor:
    """Call a function of batches (B, C, H, W) with images of shape (..., C, H, W)."""
    images = torch.broadcast_tensors(*images)
    leading = images[0].shape[:-3]
    result = function(*(x.reshape(-1, *x.shape[-3:]) for x in images))
    return result.reshape(leading + result.shape[1:])
