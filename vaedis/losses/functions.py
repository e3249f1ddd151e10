"""Reconstruction losses, each usable both to train a VAE and as a distance between observations.

The paper's *perceived distance* of two observations is the reconstruction loss between them, as if
the decoder were perfect (section 3). So one object serves for both: ``loss(prediction, target)``
for training, where the prediction is what the decoder puts out, and ``loss.distance(a, b)`` for
observations. All are means over the elements of an observation, as in the paper's appendix B.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vaedis import _check
from vaedis.losses.fingerprint import fingerprint


class Loss:
    """A reconstruction loss: the base of all, and what they share.

    A loss of your own defines `distance`, and where the decoder's output is no observation yet,
    `output` or ``__call__``. What a faster way needs, it may declare; that is measured on images of
    the data at hand before the faster way is taken, and where it does not hold, distances are
    computed pair by pair. Losses are equal if they are of one class and hold the same.

    Attributes
    ----------
    name : str
        That of the class unless it says another.
    quadratic : bool
        Whether the loss is ``|embed(a) - embed(b)|²``, so that each image is embedded once and
        averages over a data set are Gram products. `embed` may be anything, such as features of a
        network; it is a *quadratic form*, which coordinates and bounds on beta need, only where
        `embed` is linear.
    unit_range : bool
        Whether targets must lie in [0, 1] (and images are then not normalized).
    channelwise : bool
        Whether the loss is a sum over channels of a loss of each channel alone.
    """

    name = "loss"
    quadratic = False
    unit_range = False
    channelwise = True

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        # a class derived from "mse" is another loss
        if "name" not in vars(cls):
            cls.name = cls.__name__

    def fingerprint(self) -> str:
        """Return text that follows from the class of this loss and all that it holds, the same in
        every process.

        Raises
        ------
        ValueError
            If it holds something else than numbers, text, tensors, modules and collections and
            functions of these.
        """
        return f"{type(self).__name__} {fingerprint(self)}"

    def __eq__(self, other: object) -> bool:
        if self is other or type(self) is not type(other):
            return self is other
        try:
            return self.fingerprint() == other.fingerprint()  # type: ignore[attr-defined]
        except ValueError:  # what cannot be compared is never taken for the same
            return False

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        return f"<loss {self.name!r} of class {type(self).__name__}>"

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each observation.

        Parameters
        ----------
        prediction : Tensor of float, shape (..., C, H, W)
            What the decoder puts out, before `output`.
        target : Tensor of float, same shape

        Returns
        -------
        Tensor of float, shape (...)
        """
        return self.distance(self.output(prediction), target)

    def output(self, prediction: Tensor) -> Tensor:
        """Map what the decoder puts out to an observation; the identity unless a loss says
        otherwise.
        """
        return prediction

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the perceived distance of observations: the loss of `a` as a reconstruction of `b`.

        Parameters
        ----------
        a, b : Tensor of float, shape (..., C, H, W)

        Returns
        -------
        Tensor of float, shape (...)
        """
        if type(self) is Loss:
            raise TypeError(f"Loss is the base class of losses; use one of: {', '.join(LOSSES)}.")
        raise TypeError(
            f"the loss {self.name!r} must define distance(a, b), which returns one number for each pair of observations."
        )

    def embed(self, x: Tensor) -> Tensor:
        """Return vectors whose squared Euclidean distances are this loss, where `quadratic` says that
        there are such vectors.

        Parameters
        ----------
        x : Tensor of float, shape (..., C, H, W)

        Returns
        -------
        Tensor of float, shape (..., D)

        Raises
        ------
        TypeError
            If the loss has no such vectors.
        """
        raise TypeError(
            f"the loss {self.name!r} is not a quadratic form, so it has no such vectors."
        )


@dataclass(frozen=True, eq=False)
class MSE(Loss):
    """Mean squared error, without the ½ of a Gaussian likelihood (paper, appendix B.1)."""

    name = "mse"
    quadratic = True

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the mean squared difference of observations, shape (...)."""
        return (a - b).square().mean((-3, -2, -1))

    def embed(self, x: Tensor) -> Tensor:
        """Return the observations as vectors, divided by the square root of their length; see
        `Loss.embed`.
        """
        flat = x.flatten(-3)
        return flat / math.sqrt(flat.shape[-1])


@dataclass(frozen=True, eq=False)
class MAE(Loss):
    """Mean absolute error."""

    name = "mae"

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the mean absolute difference of observations, shape (...)."""
        return (a - b).abs().mean((-3, -2, -1))


@dataclass(frozen=True, eq=False)
class BCE(Loss):
    """Binary cross-entropy; the decoder puts out logits, and images lie in [0, 1].

    As a distance it is not symmetric, and between an observation and itself it is the observation's
    own entropy: 0 for binary images only. Logarithms are held at -100, as torch does, so that two
    different binary images have a finite distance.
    """

    name = "bce"
    unit_range = True

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the cross-entropy of each observation from the decoder's logits, shape (...)."""
        return F.binary_cross_entropy_with_logits(prediction, target, reduction="none").mean(
            (-3, -2, -1)
        )

    def output(self, prediction: Tensor) -> Tensor:
        """Return the probabilities that belong to the decoder's logits."""
        return prediction.sigmoid()

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the cross-entropy of `b` under the probabilities `a`, shape (...)."""
        a, b = torch.broadcast_tensors(a, b)
        return F.binary_cross_entropy(a, b, reduction="none").mean((-3, -2, -1))


@dataclass(frozen=True, eq=False)
class BoxBlur(Loss):
    """Mean squared error plus the weighted mean squared error of both images blurred by a box (section
    6.1, equation 6).

    ``pixel_weight * mse(x̂, x) + weight * mse(K x̂, K x)``, with K the mean over a square window of
    side ``2 * radius + 1``, zero-padded. Blurring is linear, so the residual is blurred once, and a
    box is separable, so that takes two small matrix products and no FFT.

    Parameters
    ----------
    radius : int
        Of the window, in pixels; the paper uses 31.
    weight : float, optional
        Of the blurred term; by default the window's area, 63² = 3969 in the paper.
    pixel_weight : float
        Of the plain term; the paper uses 1.

    References
    ----------
    Michlo, Klein and James (2023), section 6.1. The authors' code:
    ``disent/frameworks/helper/reconstructions.py``, there under the name
    ``mse_box_r31_l1.0_k3969.0_norm_sum``.
    """

    radius: int = 31
    weight: float | None = None
    pixel_weight: float = 1.0
    name = "box-blur"
    quadratic = True

    def __post_init__(self):
        # Python's numbers, since small integers of numpy overflow
        radius = _check.count("radius", self.radius, 0)
        pixel_weight = _check.non_negative("pixel_weight", self.pixel_weight)
        weight = (
            float((2 * radius + 1) ** 2)
            if self.weight is None
            else _check.non_negative("weight", self.weight)
        )
        for name, value in (("radius", radius), ("weight", weight), ("pixel_weight", pixel_weight)):
            object.__setattr__(self, name, value)

    def blur(self, x: Tensor) -> Tensor:
        """Return images blurred by the box with zero padding.

        Parameters
        ----------
        x : Tensor of float, shape (..., H, W)

        Returns
        -------
        Tensor of float, shape (..., H, W)
        """
        rows = _band(x.shape[-2], self.radius, x)
        columns = rows if x.shape[-1] == x.shape[-2] else _band(x.shape[-1], self.radius, x)
        return rows @ x @ columns

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the weighted sum of the plain and the blurred mean squared difference, shape
        (...).
        """
        residual = a - b
        plain = residual.square().mean((-3, -2, -1))
        blurred = self.blur(residual).square().mean((-3, -2, -1))
        return self.pixel_weight * plain + self.weight * blurred  # type: ignore[operator]

    def embed(self, x: Tensor) -> Tensor:
        """Return plain and blurred images side by side as vectors, each weighted; see `Loss.embed`."""
        plain = MSE().embed(x) * math.sqrt(self.pixel_weight)
        blurred = MSE().embed(self.blur(x)) * math.sqrt(self.weight)  # type: ignore[arg-type]
        return torch.cat([plain, blurred], -1)


def _band(n: int, radius: int, like: Tensor) -> Tensor:
    """The matrix of a zero-padded running mean over ``2 * radius + 1`` of `n` elements. Symmetric."""
    i = torch.arange(n, device=like.device)
    return ((i[:, None] - i).abs() <= radius).to(like.dtype) / (2 * radius + 1)


@dataclass(frozen=True, eq=False)
class Pyramid(Loss):
    """Mean squared errors at several scales: of images averaged over blocks of 1, 2, 4, … pixels, each
    level with its weight.

    Not in the paper: another loss in which what moved far differs more, and cheaper than a wide
    blur.

    Parameters
    ----------
    levels : int
        How many scales, that of single pixels included. Images whose sides blocks do not divide are
        filled up with zeros.
    growth : float
        The weight of a level beside the one below; with 4 it is the area of a block, as the weight
        of `BoxBlur` is that of its window.
    """

    levels: int = 6
    growth: float = 4.0
    name = "pyramid"
    quadratic = True

    def __post_init__(self):
        object.__setattr__(self, "levels", _check.count("levels", self.levels))
        object.__setattr__(self, "growth", _check.positive("growth", self.growth))

    def _levels(self, x: Tensor) -> list[Tensor]:
        """Images at each scale, times the square root of the level's weight and of how few numbers
        it has.
        """
        found, pooled = [], x.flatten(0, -4) if x.ndim > 3 else x[None]
        shape, numbers = x.shape, math.prod(x.shape[-3:])
        for level in range(self.levels):
            if level:
                pooled = F.avg_pool2d(
                    F.pad(pooled, (0, pooled.shape[-1] % 2, 0, pooled.shape[-2] % 2)), 2
                )
            size = math.prod(pooled.shape[-3:])
            found.append(
                (pooled * math.sqrt(self.growth**level * numbers / size)).view(
                    *shape[:-3], *pooled.shape[-3:]
                )
            )
        return found

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the weighted sum over scales of mean squared differences, shape (...)."""
        return self.embed(a - b).square().sum(-1)

    def embed(self, x: Tensor) -> Tensor:
        """Return the scales side by side as vectors, each weighted; see `Loss.embed`."""
        return torch.cat([level.flatten(-3) for level in self._levels(x)], -1) / math.sqrt(
            math.prod(x.shape[-3:])
        )


LOSSES: dict[str, Callable[..., Loss]] = {
    "mse": MSE,
    "bce": BCE,
    "mae": MAE,
    "box-blur": BoxBlur,
    "pyramid": Pyramid,
}


def get(loss: str | Loss = "mse", **options) -> Loss:
    """Return a reconstruction loss by name.

    Parameters
    ----------
    loss : {"mse", "bce", "mae", "box-blur", "pyramid"} or Loss
        A `Loss` is returned as it is.
    **options
        ``radius``, ``weight`` and ``pixel_weight`` of ``"box-blur"``, ``levels`` and ``growth`` of
        ``"pyramid"``; the others take none.

    Raises
    ------
    ValueError
        If there is no such loss or option; the message lists those that exist.
    TypeError
        If it is neither a name nor a `Loss`.
    """
    if isinstance(loss, Loss):
        if options:
            raise ValueError(
                f"options ({', '.join(options)}) go with a loss's name, not with a Loss that is already made."
            )
        return loss
    if not isinstance(loss, str):
        given = (
            f"the class {loss.__name__}" if isinstance(loss, type) else f"a {type(loss).__name__}"
        )
        raise TypeError(
            f"a loss must be a name ({', '.join(LOSSES)}) or an object of a class derived from "
            f"vaedis.losses.Loss that defines distance(a, b), not {given}."
        )
    cls = LOSSES[_check.one_of("loss", loss, LOSSES)]
    _check.options("loss", loss, options, getattr(cls, "__dataclass_fields__", {}))
    return cls(**options)


def kl_to_prior(mean: Tensor, logvar: Tensor) -> Tensor:
    """Return the KL divergence of diagonal Gaussians from the standard normal, element by element, in
    nats.

    Parameters
    ----------
    mean, logvar : Tensor of float, shape (...)

    Returns
    -------
    Tensor of float, shape (...)
    """
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar)


def symmetric_kl(mean0: Tensor, logvar0: Tensor, mean1: Tensor, logvar1: Tensor) -> Tensor:
    """Return ``½ KL(q0||q1) + ½ KL(q1||q0)`` of univariate Gaussians, element by element, in nats.

    Parameters
    ----------
    mean0, logvar0, mean1, logvar1 : Tensor of float, shape (...)

    Returns
    -------
    Tensor of float, shape (...)
    """
    gap = (mean0 - mean1).square()
    difference = logvar0 - logvar1
    return 0.25 * (
        difference.exp() + (-difference).exp() + gap * ((-logvar0).exp() + (-logvar1).exp()) - 2
    )
