"""The base class of reconstruction losses."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from vaedis.losses.fingerprint import fingerprint


class Loss:
    """Base class of reconstruction losses.

    A function of two batches needs no class, see `get`. A class of your own defines `distance` and,
    where the decoder's output is no observation yet, `output`. It may define ``__call__``, which
    must give what the two give together, and declare `quadratic`: both are measured on images of
    the data before they are relied on. Losses are equal if they are of one class and hold the same.

    Attributes
    ----------
    name : str
        The class's name unless it sets another.
    quadratic : bool
        Whether the loss is ``|embed(a) - embed(b)|²``. It is a *quadratic form*, which coordinates
        and bounds on beta need, where `embed` is linear as well.
    unit_range : bool
        Whether targets must lie in [0, 1], so that images are not normalized.

    Examples
    --------
    >>> import torch
    >>> import vaedis as vd
    >>> class Weighted(vd.losses.Loss):
    ...     def distance(self, a, b):
    ...         return 3 * (a - b).square().mean((-3, -2, -1))
    >>> Weighted().distance(torch.ones(2, 1, 4, 4), torch.zeros(2, 1, 4, 4))
    tensor([3., 3.])
    """

    name = "loss"
    quadratic = False
    unit_range = False

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        # a class derived from "mse" is another loss
        if "name" not in vars(cls):
            cls.name = cls.__name__

    def fingerprint(self) -> str:
        """Return text that identifies the class and its attributes, the same in every process.

        Raises a ValueError if the loss holds anything but numbers, text, tensors, modules, and
        collections and functions of these.
        """
        return f"{type(self).__name__} {fingerprint(self)}"

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Loss) or type(self) is not type(other):
            return False
        try:
            return self.fingerprint() == other.fingerprint()
        except ValueError:  # what cannot be compared is never taken for the same
            return False

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        return f"<loss {self.name!r} of class {type(self).__name__}>"

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of each observation, float (...), from float (..., C, H, W).

        `prediction` is what the decoder returns, before `output`.
        """
        output = self.output(prediction)
        # torch would spread one number over a whole image
        if output.shape[-3:] != target.shape[-3:]:
            raise ValueError(
                f"a prediction must become images of shape {tuple(target.shape[-3:])}, as the "
                f"target's are, not {tuple(output.shape)}."
            )
        return self.distance(output, target)

    def output(self, prediction: Tensor) -> Tensor:
        """Map what the decoder returns to an observation: the identity unless overridden."""
        return prediction

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Compute the perceived distance: the loss of `a` as a reconstruction of `b`.

        Observations are float of shape (..., C, H, W), distances of shape (...).
        """
        raise TypeError(
            f"the loss {self.name!r} must define distance(a, b), "
            "which returns one number for each pair of observations."
        )

    def embed(self, x: Tensor) -> Tensor:
        """Map observations to vectors whose squared Euclidean distances are this loss.

        Float of shape (..., C, H, W) to (..., D). Raises a TypeError if there are no such vectors.
        """
        raise TypeError(
            f"the loss {self.name!r} is not a quadratic form, so it has no such vectors."
        )


# what `get` takes
LossLike: TypeAlias = str | Loss | Callable[[Tensor, Tensor], Tensor]


def mse_vectors(x: Tensor) -> Tensor:
    """Return vectors, (..., D), whose squared distances are the mean squared error."""
    flat = x.flatten(-3)
    return flat / math.sqrt(flat.shape[-1])


def misfit(loss: Loss, images: Tensor) -> str:
    """Return the start of a sentence that says that a loss does not fit images (B, C, H, W)."""
    channels, height, width = images.shape[1:]
    return (
        f"the loss {loss.name!r} does not fit images of {height}×{width} pixels and "
        f"{channels} channel{'s' * (channels > 1)}"
    )


def one_each(loss: Loss, numbers: Any, images: Tensor) -> Tensor:
    """Return what a loss gives for a batch; raise a ValueError if it is not one number an image."""
    if not isinstance(numbers, Tensor):
        raise ValueError(
            f"{misfit(loss, images)}: it gives a {type(numbers).__name__}, where a tensor was "
            "expected; compute with torch alone."
        )
    if numbers.shape != images.shape[:1]:
        raise ValueError(
            f"{misfit(loss, images)}: for {len(images)} of them it gives {tuple(numbers.shape)} "
            "numbers, where one each was expected."
        )
    if numbers.dtype == torch.bool:
        raise ValueError(
            f"{misfit(loss, images)}: it gives True or False for each pair, where numbers were "
            "expected, which grow as the two images differ."
        )
    if numbers.device != images.device or numbers.is_complex():
        raise ValueError(
            f"{misfit(loss, images)}: it gives {numbers.dtype} numbers on {numbers.device}, where "
            f"real numbers on {images.device} were expected, as the images are."
        )
    return numbers
