"""Measure what a loss declares of itself on images of a data set, before a faster way relies on it.

The package's own losses are tested and trusted. What another loss declares may be inherited or
wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vaedis.losses.base import Loss, misfit, one_each
from vaedis.losses.functions import LOSSES

if TYPE_CHECKING:
    from vaedis.data.base import FactorData

_IMAGES = 8
_PAIRS = 24
# Networks compute in float32.
_RELATIVE = 1e-4
_ABSOLUTE = 1e-6


def is_own(loss: Loss) -> bool:
    """Return whether a loss is none of the package's, so that what it declares must be measured."""
    return type(loss) not in LOSSES.values()


@torch.no_grad()
def need_numbers(loss: Loss, data: FactorData, normalize: bool) -> None:
    """Raise a ValueError unless a loss of one's own is a function of pairs of images.

    It must return one finite number for each pair, the same each time and in every batch.
    """
    x = _sample_images(loss, data, normalize)
    other = x.roll(1, 0)
    _numbers(loss, loss.distance, x[:2], other[:2])
    first = _numbers(loss, loss.distance, x, other)
    again = _numbers(loss, loss.distance, x, other)
    _need_repeated(loss, first, again)
    need_finite(loss, first)
    if len(x) < 2:
        return
    half = len(x) // 2
    parts = [
        _numbers(loss, loss.distance, x[part], other[part])
        for part in (slice(half), slice(half, None))
    ]
    _need_alone(loss, torch.cat(parts), first)


def need_repeatable(loss: Loss, x: Tensor) -> None:
    """Raise a ValueError unless a network can be trained under a loss of one's own.

    It must give one finite number for each image, the same each time and beside any other image,
    not the smaller, the more the images differ, and with a gradient.
    """
    prediction = x.roll(1, 0)
    with torch.no_grad():
        first = _numbers(loss, loss, prediction, x)
        _need_repeated(loss, first, _numbers(loss, loss, prediction, x))
        need_finite(loss, first)
        alone = [_numbers(loss, loss, prediction[k : k + 1], x[k : k + 1]) for k in range(len(x))]
        _need_alone(loss, torch.cat(alone), first)
        if type(loss).distance is not Loss.distance:
            _need_growth(loss, x)
    if not _numbers(loss, loss, prediction.requires_grad_(), x).requires_grad:
        raise ValueError(
            f"the loss {loss.name!r} has no gradient, so no network can be trained under it; "
            "compute with torch alone, without detach, no_grad and comparisons."
        )


def _need_repeated(loss: Loss, first: Tensor, again: Tensor) -> None:
    if not torch.allclose(first, again, rtol=_RELATIVE, atol=0, equal_nan=True):
        raise ValueError(
            f"the loss {loss.name!r} gives other numbers for the same images each time; it must "
            "hold no random numbers and no counts, with networks in evaluation mode."
        )


def _need_alone(loss: Loss, alone: Tensor, together: Tensor) -> None:
    if not _close(alone.double(), together.double()):
        raise ValueError(
            f"the loss {loss.name!r} gives other numbers for the same two images beside other "
            "images in the batch; compare each pair by itself, with networks in evaluation mode."
        )


def _numbers(
    loss: Loss, function: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor
) -> Tensor:
    """Return what a loss gives for two batches; raise a ValueError if not one number an image."""
    try:
        return one_each(loss, function(a, b), a)
    except Exception as problem:  # Whatever is wrong in code that is not ours.
        start = misfit(loss, a)
        lines = str(problem).splitlines() or [""]
        if lines[0].startswith(start):
            raise
        text = lines[0].rstrip(".") or type(problem).__name__
        raise ValueError(f"{start}: {text}.") from problem


@torch.no_grad()
def precision_of(loss: Loss, data: FactorData) -> torch.dtype:
    """Return the type of numbers that a loss takes: float64, or float32 if it takes no float64."""
    if not is_own(loss):
        return torch.float64
    height, width, channels = data.shape
    blank = torch.zeros(2, channels, height, width, dtype=torch.float64, device=data.device)
    try:
        loss.distance(blank, blank)
    except Exception:  # `need_numbers` says what is wrong if it does not take float32 either.
        return torch.float32
    return torch.float64


def need_same(loss: Loss, direct: Tensor, squares: Tensor) -> None:
    """Raise a ValueError unless distances, (n,), are the squared distances of their vectors."""
    if not _close(direct.double(), squares):
        worst = int((direct.double() - squares).abs().argmax())
        raise ValueError(
            f"the loss {loss.name!r} is declared with quadratic = True, but between two images of "
            f"this data set its distance is {float(direct[worst]):.6g} and that of their embed, "
            f"squared, {float(squares[worst]):.6g}: declare quadratic = False."
        )


def need_finite(loss: Loss, distances: Tensor) -> Tensor:
    """Return distances, or raise a ValueError if one of them is no finite number."""
    finite = torch.isfinite(distances)
    if not bool(finite.all()):
        raise ValueError(
            f"the loss {loss.name!r} gives {float(distances[~finite][0])} between two images of "
            "this data set, where a finite number is needed; guard what it divides by and takes "
            "roots or logarithms of."
        )
    return distances


@torch.no_grad()
def need_difference(loss: Loss, data: FactorData, normalize: bool) -> None:
    """Raise a ValueError if a loss is smaller between different images than between equal ones."""
    _need_growth(loss, _sample_images(loss, data, normalize))


def _need_growth(loss: Loss, x: Tensor) -> None:
    own = need_finite(loss, loss.distance(x, x))
    other = need_finite(loss, loss.distance(x.roll(1, 0), x))
    if bool((other <= own).all() and (other < own).any()):
        raise ValueError(
            f"the loss {loss.name!r} is smaller between different images than between an image "
            "and itself, so it measures how alike they are; return what grows as they differ."
        )


@torch.no_grad()
def has_vectors(loss: Loss, data: FactorData, normalize: bool) -> bool:
    """Return whether a loss is ``|embed(a) - embed(b)|²`` between images of a data set."""
    if not loss.quadratic or type(loss).embed is Loss.embed:
        return False
    if not is_own(loss):
        return True
    x = _sample_images(loss, data, normalize)
    vectors = loss.embed(x).double()
    if vectors.ndim != 2:
        return False
    squares = torch.stack([(vector - vectors).square().sum(-1) for vector in vectors])
    direct = torch.stack([loss.distance(image.expand_as(x), x) for image in x[:, None]])
    if not _close(direct.double(), squares):
        return False
    generator = torch.Generator().manual_seed(1)
    a = data.observations(data.draw(_PAIRS, generator=generator), normalize=normalize).to(x.dtype)
    b = data.observations(data.draw(_PAIRS, generator=generator), normalize=normalize).to(x.dtype)
    between = (loss.embed(a).double() - loss.embed(b).double()).square().sum(-1)
    return _close(loss.distance(a, b).double(), between)


@torch.no_grad()
def is_form(loss: Loss, data: FactorData, normalize: bool) -> bool:
    """Return whether a loss is a quadratic form between images of a data set.

    That is, whether it has vectors, and these are linear in the image.
    """
    if not has_vectors(loss, data, normalize):
        return False
    if not is_own(loss):
        return True
    a = _sample_images(loss, data, normalize)
    b = a.roll(1, 0)
    c = a.roll(3, 0)
    of_sum = loss.embed(a - b + c).double()
    sum_of = loss.embed(a).double() - loss.embed(b).double() + loss.embed(c).double()
    return bool((of_sum - sum_of).abs().max() <= _RELATIVE * sum_of.abs().max())


def need_form(loss: Loss, data: FactorData, normalize: bool, what: str) -> None:
    """Raise a ValueError that says what needs a quadratic form, unless the loss is one."""
    if is_form(loss, data, normalize):
        return
    text = (
        f"{what} need a loss that is a quadratic form, such as 'mse' or 'box-blur', "
        f"not {loss.name!r}"
    )
    if loss.quadratic:
        text += (
            ": it must be declared with quadratic = True and an embed that is linear and whose "
            "squared distances are the loss"
        )
    raise ValueError(f"{text}.")


@torch.no_grad()
def is_channelwise(loss: Loss, data: FactorData, normalize: bool) -> bool:
    """Return whether a loss is a sum over the channels of images of a data set.

    Exactly then two pairs of images have the same sum of losses after they exchange one channel.
    Measured only where it matters: if channels depend on different factors.
    """
    if not is_own(loss) or data.channel_factors is None:
        return True
    generator = torch.Generator().manual_seed(0)
    space = data.factors
    # In half of the pairs one factor moves while the others are at 0, as in the traversals that a
    # sum over channels would need.
    factor = torch.randint(len(space), (_PAIRS,), generator=generator)
    size = torch.tensor(space.sizes)[factor]
    stride = torch.tensor(space.strides)[factor]
    moved = []
    for _ in range(2):
        share = torch.rand(_PAIRS, generator=generator, dtype=torch.float64)
        moved.append((share * size).long() * stride)
    sample = [data.draw(_PAIRS, generator=generator) for _ in range(4)]
    half = (moved[0], moved[1], sample[2], sample[3])
    indices = [torch.cat(parts) for parts in zip(half, sample, strict=True)]
    dtype = precision_of(loss, data)
    a, b, c, d = (data.observations(index, normalize=normalize).to(dtype) for index in indices)
    before = loss.distance(a, b) + loss.distance(c, d)
    for channel in range(data.shape[2]):
        mask = torch.zeros(data.shape[2], 1, 1, dtype=torch.bool, device=a.device)
        mask[channel] = True
        first = loss.distance(torch.where(mask, c, a), torch.where(mask, d, b))
        second = loss.distance(torch.where(mask, a, c), torch.where(mask, b, d))
        if not _close(first + second, before):
            return False
    return True


def _sample_images(loss: Loss, data: FactorData, normalize: bool) -> Tensor:
    """Return _IMAGES images: the first ones, which are neighbours, and others from anywhere."""
    first = torch.arange(min(_IMAGES // 2, len(data)))
    others = data.draw(_IMAGES - len(first), generator=torch.Generator().manual_seed(0))
    index = torch.cat([first, others])
    return data.observations(index, normalize=normalize).to(precision_of(loss, data))


def _close(a: Tensor, b: Tensor) -> bool:
    return bool(((a - b).abs() <= _RELATIVE * b.abs() + _ABSOLUTE * b.abs().max()).all())
