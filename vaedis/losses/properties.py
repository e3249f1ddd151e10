"""Measure on images of a data set what a loss declares of itself, before a faster way relies on it.

The package's own losses are tested and believed. Of any other, the declaration may be inherited or
wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vaedis import losses
from vaedis.losses import Loss

if TYPE_CHECKING:
    from vaedis.data.base import FactorData

_IMAGES = 8
_PAIRS = 24
# networks compute in float32
_RELATIVE, _ABSOLUTE = 1e-4, 1e-6


def is_own(loss: Loss) -> bool:
    """Return whether a loss is none of the package's, so that what it declares must be measured."""
    return type(loss) not in losses.LOSSES.values()


@torch.no_grad()
def need_numbers(loss: Loss, data: FactorData, normalize: bool) -> None:
    """Raise a ValueError unless a loss of one's own gives one number for each pair of images, whatever
    else is asked of it.

    It is then a function of the two images: the same each time, and in every batch.
    """
    x = _some(loss, data, normalize)
    other = x.roll(1, 0)
    _numbers(loss, loss.distance, x[:2], other[:2])
    first = _numbers(loss, loss.distance, x, other)
    again = _numbers(loss, loss.distance, x, other)
    _need_same(loss, first, again)
    need_finite(loss, first)
    if len(x) < 2:
        return
    half = len(x) // 2
    parts = [
        _numbers(loss, loss.distance, x[part], other[part])
        for part in (slice(half), slice(half, None))
    ]
    if not _close(torch.cat(parts).double(), first.double()):
        raise ValueError(
            f"the loss {loss.name!r} gives other numbers for the same two images beside other images in the batch; let it compare each "
            "pair by itself, with networks in evaluation mode."
        )


@torch.no_grad()
def need_repeatable(loss: Loss, x: Tensor) -> None:
    """Raise a ValueError unless a loss of one's own gives one number for each image of a batch, the
    same each time.
    """
    prediction = x.roll(1, 0)
    _need_same(loss, _numbers(loss, loss, prediction, x), _numbers(loss, loss, prediction, x))


def _need_same(loss: Loss, first: Tensor, again: Tensor) -> None:
    """Raise a ValueError if a loss gave other numbers when it was asked again; NaN is the same as
    NaN.
    """
    if not torch.allclose(first, again, rtol=_RELATIVE, atol=0, equal_nan=True):
        raise ValueError(
            f"the loss {loss.name!r} gives other numbers for the same images each time; let it draw nothing at random and count nothing, "
            "with networks in evaluation mode."
        )


def _numbers(
    loss: Loss, function: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor
) -> Tensor:
    """Return what a loss, or its distance, gives for two batches, or raise a ValueError if that is
    not a number for each image.
    """
    channels, height, width = a.shape[1:]
    says = f"the loss {loss.name!r} does not fit images of {height}×{width} pixels and {channels} channel{'s' * (channels > 1)}"
    try:
        numbers = function(a, b)
    except Exception as problem:  # whatever is wrong in code that is not ours
        text = next(iter(str(problem).splitlines()), "").rstrip(".") or type(problem).__name__
        raise ValueError(f"{says}: {text}.") from problem
    if not isinstance(numbers, Tensor):
        raise ValueError(
            f"{says}: it gives a {type(numbers).__name__}, where a tensor was expected; compute with torch alone."
        )
    if numbers.shape != (len(a),):
        count = "two" if len(a) == 2 else len(a)
        raise ValueError(
            f"{says}: for {count} of them it gives {tuple(numbers.shape)} numbers, where one each was expected."
        )
    return numbers


@torch.no_grad()
def precision_of(loss: Loss, data: FactorData) -> torch.dtype:
    """Return the type of numbers that a loss takes: float64, or float32 if it holds a network that
    has no other.
    """
    height, width, channels = data.shape
    blank = torch.zeros(2, channels, height, width, dtype=torch.float64, device=data.device)
    if not is_own(loss):
        return blank.dtype
    try:
        loss.distance(blank, blank)
        return blank.dtype
    except Exception:  # `need_numbers` says what is wrong if float32 is not taken either
        return torch.float32


def need_same(loss: Loss, direct: Tensor, squares: Tensor) -> None:
    """Raise a ValueError unless distances of pairs, shape (n,), are the squared distances of their
    vectors.
    """
    if not _close(direct.double(), squares):
        worst = int((direct.double() - squares).abs().argmax())
        raise ValueError(
            f"the loss {loss.name!r} is declared with quadratic = True, but between two images of this data set its distance is "
            f"{float(direct[worst]):.6g} and that of their embed, squared, {float(squares[worst]):.6g}: declare quadratic = False."
        )


def need_finite(loss: Loss, distances: Tensor) -> Tensor:
    """Return distances, or raise a ValueError if one of them is no finite number."""
    if not bool(torch.isfinite(distances).all()):
        worst = float(distances[~torch.isfinite(distances)][0])
        raise ValueError(
            f"the loss {loss.name!r} gives {worst} between two images of this data set, where a finite number is needed; guard what it "
            "divides by and takes roots or logarithms of."
        )
    return distances


@torch.no_grad()
def need_difference(loss: Loss, data: FactorData, normalize: bool) -> None:
    """Raise a ValueError if a loss of one's own is smaller between different images than between an
    image and itself.
    """
    x = _some(loss, data, normalize)
    own, other = (need_finite(loss, loss.distance(a, x)) for a in (x, x.roll(1, 0)))
    if bool((other <= own).all() and (other < own).any()):
        raise ValueError(
            f"the loss {loss.name!r} is smaller between different images than between an image and itself, so it "
            "measures how alike they are; return what grows as they differ, such as 1 less the likeness."
        )


@torch.no_grad()
def has_vectors(loss: Loss, data: FactorData, normalize: bool) -> bool:
    """Return whether a loss is ``|embed(a) - embed(b)|²`` between images of a data set."""
    if not is_own(loss) or not loss.quadratic or type(loss).embed is Loss.embed:
        return loss.quadratic and type(loss).embed is not Loss.embed
    x = _some(loss, data, normalize)
    vectors = loss.embed(x).double()
    if vectors.ndim != 2:
        return False
    squares = torch.stack([(vector - vectors).square().sum(-1) for vector in vectors])
    direct = torch.stack([loss.distance(image.expand_as(x), x) for image in x[:, None]]).double()
    if not _close(direct, squares):
        return False
    generator = torch.Generator().manual_seed(1)
    a, b = (
        data.observations(data.draw(_PAIRS, generator=generator), normalize=normalize).to(x.dtype)
        for _ in range(2)
    )
    return _close(
        loss.distance(a, b).double(),
        (loss.embed(a).double() - loss.embed(b).double()).square().sum(-1),
    )


@torch.no_grad()
def is_form(loss: Loss, data: FactorData, normalize: bool) -> bool:
    """Return whether a loss is a quadratic form between images of a data set: has vectors, which
    are linear in the image.
    """
    if not has_vectors(loss, data, normalize):
        return False
    if not is_own(loss):
        return True
    x = _some(loss, data, normalize)
    other, third = x.roll(1, 0), x.roll(3, 0)
    together = loss.embed(x - other + third).double()
    apart = loss.embed(x).double() - loss.embed(other).double() + loss.embed(third).double()
    return bool((together - apart).abs().max() <= _RELATIVE * apart.abs().max())


def need_form(loss: Loss, data: FactorData, normalize: bool, what: str) -> None:
    """Raise a ValueError that says what cannot be had of a loss unless it is a quadratic form
    between images of a data set.
    """
    if not is_form(loss, data, normalize):
        raise ValueError(
            f"{what} need a loss that is a quadratic form, such as 'mse' or 'box-blur', not {loss.name!r}: it must be declared with "
            "quadratic = True and an embed that is linear and whose squared distances are the loss."
            if loss.quadratic
            else f"{what} need a loss that is a quadratic form, such as 'mse' or 'box-blur', not {loss.name!r}."
        )


@torch.no_grad()
def is_channelwise(loss: Loss, data: FactorData, normalize: bool) -> bool:
    """Return whether a loss is a sum over channels, of images of a data set whose channels depend on
    different factors.

    Exactly then two pairs of images have the same sum of losses after they exchange one channel.
    """
    if not is_own(loss) or not loss.channelwise or data.channel_factors is None:
        return loss.channelwise
    generator, space = torch.Generator().manual_seed(0), data.factors
    # one factor moves while the others are at 0, as in the traversals that a sum over channels
    # would need
    factor = torch.randint(len(space), (_PAIRS,), generator=generator)
    sizes, strides = torch.tensor(space.sizes)[factor], torch.tensor(space.strides)[factor]
    moved = [
        (torch.rand(_PAIRS, generator=generator, dtype=torch.float64) * sizes).long() * strides
        for _ in range(2)
    ]
    drawn = [data.draw(_PAIRS, generator=generator) for _ in range(4)]
    a, b, c, d = (
        data.observations(torch.cat(pair), normalize=normalize).to(precision_of(loss, data))
        for pair in (
            (moved[0], drawn[0]),
            (moved[1], drawn[1]),
            (drawn[2], drawn[2]),
            (drawn[3], drawn[3]),
        )
    )
    before = loss.distance(a, b) + loss.distance(c, d)
    for channel in range(data.shape[2]):
        exchange = torch.zeros(data.shape[2], 1, 1, dtype=torch.bool, device=a.device)
        exchange[channel] = True
        ours = loss.distance(torch.where(exchange, c, a), torch.where(exchange, d, b))
        theirs = loss.distance(torch.where(exchange, a, c), torch.where(exchange, b, d))
        if not _close(ours + theirs, before):
            return False
    return True


def _some(loss: Loss, data: FactorData, normalize: bool) -> Tensor:
    """A few images: the first ones, which are neighbours, and others from anywhere."""
    first = torch.arange(min(_IMAGES // 2, len(data)))
    drawn = data.draw(_IMAGES - len(first), generator=torch.Generator().manual_seed(0))
    return data.observations(torch.cat([first, drawn]), normalize=normalize).to(
        precision_of(loss, data)
    )


def _close(a: Tensor, b: Tensor) -> bool:
    return bool(((a - b).abs() <= _RELATIVE * b.abs() + _ABSOLUTE * b.abs().max()).all())
