"""Measure what a loss declares of itself on images of a data set, before a faster way relies on it.

What the package's own losses declare is tested; what others declare may be inherited or wrong.
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
# networks compute in float32
_RELATIVE = 1e-4
_ABSOLUTE = 1e-6
# logits and the logarithms of their probabilities lose digits in other ways
_SAME = 1e-3
# of the largest distance: what rounding may leave of 0
_ZERO = 1e-9


def is_own(loss: Loss) -> bool:
    """Return whether a loss is none of the package's, so that what it declares must be measured."""
    return type(loss) not in LOSSES.values()


@torch.no_grad()
def need_distance(loss: Loss, data: FactorData, normalize: bool) -> None:
    """Raise a ValueError unless a loss of one's own is a distance between images of a data set."""
    x = _sample_images(loss, data, normalize)
    _need_numbers(loss, loss.distance, x.roll(1, 0), x)
    _need_growth(loss, x)
    _need_one_loss(loss, x.float())


def need_repeatable(loss: Loss, x: Tensor) -> None:
    """Raise a ValueError unless a network can be trained under a loss of one's own."""
    prediction = x.roll(1, 0)
    with torch.no_grad():
        _need_numbers(loss, loss, prediction, x)
        if type(loss).distance is not Loss.distance:
            _need_growth(loss, x)
            _need_one_loss(loss, x)
    prediction.requires_grad_()
    first, second = (_numbers(loss, loss, prediction, x) for _ in range(2))
    if not first.requires_grad or _is_flat(loss, x):
        raise ValueError(
            f"the loss {loss.name!r} has no gradient, so no network can be trained under it; "
            "compute with torch alone, without detach, no_grad, rounding and comparisons."
        )
    # one that computes something else where there are gradients
    _need_repeated(loss, first.detach(), second.detach())


def _is_flat(loss: Loss, x: Tensor) -> bool:
    """Return whether a loss grows as images differ, and yet its gradient is 0 everywhere."""
    grows = False
    # between images too: a loss may be flat where images differ much
    for share in (1.0, 0.5, 0.1, 0.01):
        prediction = torch.lerp(x, x.roll(1, 0), share).requires_grad_()
        numbers = _numbers(loss, loss, prediction, x)
        (gradient,) = torch.autograd.grad(numbers.sum(), prediction, allow_unused=True)
        if gradient is not None and bool(gradient.any()):
            return False
        with torch.no_grad():
            grows |= bool((numbers > loss(x, x)).any())
    return grows


def _need_numbers(
    loss: Loss, function: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor
) -> None:
    """Raise a ValueError unless each pair has one finite number, each time and in every batch."""
    first = _numbers(loss, function, a, b)
    _need_repeated(loss, first, _numbers(loss, function, a, b))
    need_finite(loss, first)
    one_by_one = [_numbers(loss, function, a[k : k + 1], b[k : k + 1]) for k in range(len(a))]
    if not _close(torch.cat(one_by_one).double(), first.double()):
        raise ValueError(
            f"the loss {loss.name!r} gives other numbers for the same two images beside other "
            "images in the batch; compare each pair by itself, with networks in evaluation mode."
        )


def _need_repeated(loss: Loss, first: Tensor, repeated: Tensor) -> None:
    """Raise a ValueError unless a loss gave the same numbers twice."""
    gap = (repeated.double() - first.double()).abs()
    if bool((gap > _repeatable(first) * first.double().abs().max()).any()):
        raise ValueError(
            f"the loss {loss.name!r} gives other numbers for the same images each time; it must "
            "hold no random numbers, counts and moving averages, with networks in evaluation mode."
        )


def _repeatable(numbers: Tensor) -> float:
    """Return by what share numbers of one type may differ when they are computed again."""
    eps = torch.finfo(numbers.dtype).eps if numbers.is_floating_point() else 0.0
    # a GPU adds in another order each time, and may have done so in float32
    return max(8 * eps, 1e-13 if numbers.device.type == "cpu" else 1e-6)


def _numbers(
    loss: Loss, function: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor
) -> Tensor:
    """Return what a loss gives for two batches; raise a ValueError if not one number an image."""
    return _unchanging(loss, lambda: one_each(loss, function(a, b), a), a, b)


def _vectors(loss: Loss, x: Tensor) -> Tensor:
    """Return what a loss's embed gives for images; raise a ValueError if it is no tensor."""
    vectors = _unchanging(loss, lambda: loss.embed(x), x, what="its embed fails with ")
    if not isinstance(vectors, Tensor):
        raise ValueError(
            f"{misfit(loss, x)}: its embed gives a {type(vectors).__name__}, where a tensor of "
            f"shape ({len(x)}, ...) was expected."
        )
    return vectors


def _unchanging(loss: Loss, call: Callable[[], Tensor], *images: Tensor, what: str = "") -> Tensor:
    """Call a loss of one's own; raise a ValueError if it fails or writes into the images."""
    before = [x.detach().clone() for x in images]
    start = misfit(loss, images[0])
    try:
        result = call()
    except Exception as problem:  # whatever is wrong in code that is not ours
        kind = type(problem).__name__
        line = (str(problem).splitlines() or [""])[0].rstrip(".")
        if line.startswith(start):
            raise
        line = f"{kind}: {line}" if line else kind
        raise ValueError(f"{start}: {what}{line}.") from problem
    if not all(map(torch.equal, before, images)):
        raise ValueError(
            f"the loss {loss.name!r} changes the images that it is given; compute with copies, as "
            "in b.clamp(...) in place of b.clamp_(...)."
        )
    return result


def _need_one_loss(loss: Loss, x: Tensor) -> None:
    """Raise a ValueError if a loss trains networks with other numbers than it measures."""
    if type(loss).__call__ is Loss.__call__:
        return
    prediction = x.roll(1, 0)
    trained = _numbers(loss, loss, prediction, x)
    measured = _numbers(loss, lambda a, b: loss.distance(loss.output(a), b), prediction, x)
    gap = (trained.double() - measured.double()).abs()
    if bool((gap > _SAME * measured.abs().max()).any()):
        first = int(gap.argmax())
        raise ValueError(
            f"the loss {loss.name!r} gives {float(trained[first]):.6g} where it trains and "
            f"{float(measured[first]):.6g} where it measures the same two images; let "
            "__call__(prediction, target) equal distance(output(prediction), target)."
        )


def _need_growth(loss: Loss, x: Tensor) -> None:
    """Raise a ValueError if a loss is smaller between different images than between equal ones."""
    self_distances = need_finite(loss, _numbers(loss, loss.distance, x, x))
    other = need_finite(loss, _numbers(loss, loss.distance, x.roll(1, 0), x))
    if bool((other <= self_distances).all() and (other < self_distances).any()):
        raise ValueError(
            f"the loss {loss.name!r} is smaller between different images than between an image "
            "and itself, so it measures how alike they are; return what grows as they differ."
        )


@torch.no_grad()
def precision_of(loss: Loss, data: FactorData) -> torch.dtype:
    """Return the type of numbers that a loss takes: float64, or float32 if it takes no float64."""
    if not is_own(loss):
        return torch.float64
    height, width, channels = data.shape
    blank = torch.zeros(2, channels, height, width, dtype=torch.float64, device=data.device)
    try:
        loss.distance(blank, blank)
    except Exception:  # `need_distance` says what is wrong if it does not take float32 either
        return torch.float32
    return torch.float64


def need_same(loss: Loss, direct: Tensor, squares: Tensor) -> None:
    """Raise a ValueError unless distances, (n,), are the squared distances of their vectors."""
    if not _close(direct.double(), squares):
        index = int((direct.double() - squares).abs().argmax())
        raise ValueError(
            f"the loss {loss.name!r} is declared with quadratic = True, but between two images of "
            f"this data set its distance is {float(direct[index]):.6g} and that of their embed, "
            f"squared, {float(squares[index]):.6g}: declare quadratic = False."
        )


def need_distances(loss: Loss, distances: Tensor) -> Tensor:
    """Return finite distances, or raise a ValueError if one of them is negative.

    One that is negative by rounding becomes 0.
    """
    need_finite(loss, distances)
    smallest = float(distances.min())
    if smallest < -_ABSOLUTE * float(distances.abs().max()):
        raise ValueError(
            f"the loss {loss.name!r} gives {smallest:.4g} between two images of this data set, and "
            "a distance is never negative; add a constant, so that equal images have 0 or more, "
            "or take a square or an absolute value."
        )
    return distances.clamp(min=0)


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
def has_vectors(loss: Loss, data: FactorData, normalize: bool) -> bool:
    """Return whether a loss is ``|embed(a) - embed(b)|²`` between images of a data set."""
    if not loss.quadratic or type(loss).embed is Loss.embed:
        return False
    if not is_own(loss):
        return True
    x = _sample_images(loss, data, normalize)
    vectors = _vectors(loss, x)
    if vectors.ndim != 2 or len(vectors) != len(x):
        return False
    vectors = vectors.double()
    squares = torch.stack([(vector - vectors).square().sum(-1) for vector in vectors])
    direct = torch.stack([loss.distance(image.expand_as(x), x) for image in x[:, None]])
    return _close(direct.double(), squares)


@torch.no_grad()
def is_form(loss: Loss, data: FactorData, normalize: bool) -> bool:
    """Return whether a loss has vectors between images of a data set that are linear in them."""
    if not has_vectors(loss, data, normalize):
        return False
    if not is_own(loss):
        return True
    a = _sample_images(loss, data, normalize)
    b = a.roll(1, 0)
    c = a.roll(3, 0)
    of_sum = _vectors(loss, a - b + c).double()
    sum_of = _vectors(loss, a).double() - _vectors(loss, b).double() + _vectors(loss, c).double()
    return bool((of_sum - sum_of).abs().max() <= _RELATIVE * sum_of.abs().max())


def need_form(loss: Loss, data: FactorData, normalize: bool, what: str) -> None:
    """Raise a ValueError that says what needs a quadratic form, unless the loss is one."""
    if not is_form(loss, data, normalize):
        raise ValueError(
            f"{what} need a loss that is a quadratic form, such as 'mse' or 'box-blur', not "
            f"{loss.name!r}: one with quadratic = True and an embed that is linear and whose "
            "squared distances are the loss."
        )


@torch.no_grad()
def is_channelwise(loss: Loss, data: FactorData, normalize: bool) -> bool:
    """Return whether a loss is a sum over the channels of images of a data set.

    It is measured only where it matters: if channels depend on different factors.
    """
    if data.channel_factors is None:
        return True
    if not type(data).__module__.startswith("vaedis."):
        _need_channel_factors(data, data.channel_factors)
    if not is_own(loss):
        return True
    generator = torch.Generator().manual_seed(0)
    dtype = precision_of(loss, data)
    near = torch.arange(_PAIRS) % len(data)
    far = [data.draw(_PAIRS, generator=generator) for _ in range(6)]
    ends = ([near, far[0]], [near.roll(1), far[1]], far[2:4], far[4:6])
    a, b, c, d = (
        data.observations(torch.cat(index), normalize=normalize).to(dtype) for index in ends
    )
    # only then do two pairs of images keep their sum of losses when they exchange one channel
    sum_of_both = loss.distance(a, b) + loss.distance(c, d)
    for channel in range(data.shape[2]):
        mask = torch.zeros(data.shape[2], 1, 1, dtype=torch.bool, device=a.device)
        mask[channel] = True
        first = loss.distance(torch.where(mask, c, a), torch.where(mask, d, b))
        second = loss.distance(torch.where(mask, a, c), torch.where(mask, b, d))
        if not _close(first + second, sum_of_both):
            return False
    return True


@torch.no_grad()
def is_zero_of_equal(loss: Loss, data: FactorData, normalize: bool) -> bool:
    """Return whether a loss is 0 between equal images of a data set, measured on some of them."""
    index = data.draw(6 * _PAIRS, generator=torch.Generator().manual_seed(0))
    x = data.observations(index, normalize=normalize).to(precision_of(loss, data))
    largest = loss.distance(x.roll(1, 0), x).abs().max()
    return bool((loss.distance(x, x).abs() <= _ZERO * largest).all())


def _need_channel_factors(data: FactorData, declared: tuple[tuple[int, ...], ...]) -> None:
    """Raise a ValueError if a channel changes with other factors than a class of one's own says."""
    space = data.factors
    generator = torch.Generator().manual_seed(0)
    index, others = (data.draw(_PAIRS, generator=generator) for _ in range(2))
    images = data.images(index)
    for channel, factors in enumerate(declared):
        is_declared = torch.zeros(len(space), dtype=torch.bool)
        is_declared[list(factors)] = True
        mixed = torch.where(is_declared, space.to_factors(index), space.to_factors(others))
        changed = data.images(space.to_index(mixed))
        if not torch.equal(images[..., channel], changed[..., channel]):
            raise ValueError(
                f"channel_factors of {data.name!r} do not hold: channel {channel} changes with "
                "other factors than they say; correct them, or set channel_factors = None."
            )


def sample_index(data: FactorData) -> Tensor:
    """Return indices of _IMAGES images: the first, which are neighbours, and some from anywhere."""
    first = torch.arange(min(_IMAGES // 2, len(data)))
    random_images = data.draw(_IMAGES - len(first), generator=torch.Generator().manual_seed(0))
    return torch.cat([first, random_images])


def _sample_images(loss: Loss, data: FactorData, normalize: bool) -> Tensor:
    index = sample_index(data)
    return data.observations(index, normalize=normalize).to(precision_of(loss, data))


def _close(a: Tensor, b: Tensor) -> bool:
    return bool(((a - b).abs() <= _RELATIVE * b.abs() + _ABSOLUTE * b.abs().max()).all())
