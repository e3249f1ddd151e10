"""Measure on images of a data set what a loss declares of itself, before a faster way relies on it.

The package's own losses are tested and believed. Of any other, the declaration may be inherited or wrong.
"""

from __future__ import annotations

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
def number_type(loss: Loss, data: FactorData) -> torch.dtype:
    """Return the type in which a loss takes images: float64, or float32 where its networks take nothing else.

    Raises
    ------
    ValueError
        If it takes no images of the shape that the data have, or gives something else than a number for each.
    """
    height, width, channels = data.shape
    says = f"the loss {loss.name!r} does not fit images of {height}×{width} pixels and {channels} channel{'s' * (channels > 1)}"
    blank = torch.zeros(2, channels, height, width, dtype=torch.float64, device=data.device)
    try:
        result = _result(loss, blank)
    except (RuntimeError, IndexError):
        blank = blank.float()
        try:
            result = _result(loss, blank)
        except (RuntimeError, IndexError) as problem:
            raise ValueError(f"{says}: {next(iter(str(problem).splitlines()), type(problem).__name__)}.") from problem
    if not isinstance(result, Tensor):
        raise ValueError(f"the loss {loss.name!r} must return a torch tensor, not {type(result).__name__}: compute with torch alone.")
    if result.shape != (2,):
        raise ValueError(f"{says}: for two of them it gives {tuple(result.shape)} numbers, where one each was expected.")
    return blank.dtype


def _result(loss: Loss, images: Tensor) -> Tensor:
    if loss.quadratic and type(loss).embed is not Loss.embed:
        loss.embed(images)
    return loss.distance(images, images)


def finite(loss: Loss, distances: Tensor) -> Tensor:
    """Return distances as they are, or raise a ValueError if a loss of one's own gives one that is no finite number."""
    if is_own(loss) and not bool(distances.isfinite().all()):
        wrong = distances[~distances.isfinite()][0].item()
        raise ValueError(
            f"the loss {loss.name!r} gives {wrong} between two images, where a finite number is needed; guard what it divides by "
            "and takes roots or logarithms of."
        )
    return distances


@torch.no_grad()
def need_difference(loss: Loss, data: FactorData, standardise: bool) -> None:
    """Raise a ValueError if a loss is smaller between different images than between an image and itself."""
    if not is_own(loss):
        return
    x = _some(loss, data, standardise)
    own, other = (finite(loss, loss.distance(a, x)) for a in (x, x.roll(1, 0)))
    if bool((other <= own).all() and (other < own).any()):
        raise ValueError(
            f"the loss {loss.name!r} is smaller between different images than between an image and itself, so it "
            "measures how alike they are; return what grows as they differ, such as 1 less the likeness."
        )


@torch.no_grad()
def has_vectors(loss: Loss, data: FactorData, standardise: bool) -> bool:
    """Return whether a loss is ``|embed(a) - embed(b)|²`` between images of a data set."""
    if not is_own(loss) or not loss.quadratic or type(loss).embed is Loss.embed:
        return loss.quadratic and type(loss).embed is not Loss.embed
    x = _some(loss, data, standardise)
    vectors = loss.embed(x).double()
    if vectors.ndim != 2:
        return False
    squares = torch.stack([(vector - vectors).square().sum(-1) for vector in vectors])
    direct = torch.stack([loss.distance(image.expand_as(x), x) for image in x[:, None]]).double()
    return _close(direct, squares)


@torch.no_grad()
def is_form(loss: Loss, data: FactorData, standardise: bool) -> bool:
    """Return whether a loss is a quadratic form between images of a data set: has vectors, which are linear in the image."""
    if not has_vectors(loss, data, standardise):
        return False
    if not is_own(loss):
        return True
    x = _some(loss, data, standardise)
    other, third = x.roll(1, 0), x.roll(3, 0)
    together = loss.embed(x - other + third).double()
    apart = loss.embed(x).double() - loss.embed(other).double() + loss.embed(third).double()
    return bool((together - apart).abs().max() <= _RELATIVE * apart.abs().max())


def need_form(loss: Loss, data: FactorData, standardise: bool, what: str) -> None:
    """Raise a ValueError that says what cannot be had of a loss unless it is a quadratic form between images of a data set."""
    if not is_form(loss, data, standardise):
        raise ValueError(
            f"{what} need a loss that is a quadratic form, such as 'mse' or 'box-blur', not {loss.name!r}: it must be declared with "
            "quadratic = True and an embed that is linear and whose squared distances are the loss."
            if loss.quadratic
            else f"{what} need a loss that is a quadratic form, such as 'mse' or 'box-blur', not {loss.name!r}."
        )


@torch.no_grad()
def is_channelwise(loss: Loss, data: FactorData, standardise: bool) -> bool:
    """Return whether a loss is a sum over channels, of images of a data set whose channels depend on different factors.

    Exactly then two pairs of images have the same sum of losses after they exchange one channel.
    """
    if not is_own(loss) or not loss.channelwise or data.channel_factors is None:
        return loss.channelwise
    generator, space = torch.Generator().manual_seed(0), data.factors
    # one factor moves while the others are at 0, as in the traversals that a sum over channels would need
    factor = torch.randint(len(space), (_PAIRS,), generator=generator)
    sizes, strides = torch.tensor(space.sizes)[factor], torch.tensor(space.strides)[factor]
    moved = [(torch.rand(_PAIRS, generator=generator, dtype=torch.float64) * sizes).long() * strides for _ in range(2)]
    drawn = [data.draw(_PAIRS, generator=generator) for _ in range(4)]
    a, b, c, d = (
        data.observations(torch.cat(pair), standardise=standardise).to(number_type(loss, data))
        for pair in ((moved[0], drawn[0]), (moved[1], drawn[1]), (drawn[2], drawn[2]), (drawn[3], drawn[3]))
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


def _some(loss: Loss, data: FactorData, standardise: bool) -> Tensor:
    """A few images: the first ones, which are neighbours, and others from anywhere."""
    first = torch.arange(min(_IMAGES // 2, len(data)))
    drawn = data.draw(_IMAGES - len(first), generator=torch.Generator().manual_seed(0))
    return data.observations(torch.cat([first, drawn]), standardise=standardise).to(number_type(loss, data))


def _close(a: Tensor, b: Tensor) -> bool:
    return bool(((a - b).abs() <= _RELATIVE * b.abs() + _ABSOLUTE * b.abs().max()).all())
