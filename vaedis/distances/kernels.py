"""Kernels: how perceived distances within groups of images are computed, one for each kind of loss.

A group is a traversal: f images, of which all f × f distances are wanted. For a quadratic loss they
follow from the Gram matrix, as ``|a - b|² = |a|² + |b|² - 2 a·b``, so that a batch of groups is one
batched matrix product.

MSE of byte images is computed in whole numbers, in float32 and yet without error. Bytes less 128
lie in -128 … 127, their products in ±2¹⁴, and a sum of 1,024 products in ±2²⁴, where float32 holds
every whole number. So products run over at most 1,024 pixels at a time, and partial results are
added in float64. Black and white images are 0 and 1, and sums over 2²⁴ pixels are exact. Only the
final division rounds, so that equal distances are exactly equal: "adversarial" rests on that.

Other quadratic losses, and MSE of float images, use float64. Subtracting each group's first image
keeps vectors short, and with them the rounding error: some √D · 10⁻¹⁶ of their squared length.
Distances much smaller than that length follow from differences of vectors.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn import functional as F

from vaedis import _check, losses
from vaedis._support import arithmetic
from vaedis.data.base import FactorData, as_floats, need_data_set
from vaedis.data.constants import need_constants
from vaedis.losses import Loss, properties
from vaedis.losses.base import LossLike

# up to here float32 holds every whole number
_EXACT = 2**24
# pixels whose products of signed bytes add up to no more than that
_BYTES = 1024
# A smaller share of two vectors' squared lengths has lost digits.
_SHORT = 1e-6
# Numbers of vectors whose differences are taken at a time.
_NUMBERS = 2**22
# in a batch of so many images, two more comparisons cost little
_LARGE_BATCH = 16
# eight bytes in a word: the lowest bit of each, and the highest (as a signed number)
_LOW_BITS = 0x0101010101010101
_HIGH_BITS = -0x7F7F7F7F7F7F7F80


def kernel_for(data: FactorData, loss: LossLike = "mse", normalize: bool = False) -> Kernel:
    """Return the kernel of a loss for images of a data set; raise a ValueError if it has none."""
    need_data_set(data)
    loss = losses.get(loss)
    normalize = _check.flag("normalize", normalize)
    if loss.unit_range and normalize:
        raise ValueError(
            f"the loss {loss.name!r} compares images in [0, 1]; use normalize=False with it."
        )
    if loss.unit_range:
        data.need_unit_range(loss.name)
    if normalize:
        need_constants(data)
    kind: type[Kernel] = Kernel
    if properties.is_own(loss):
        properties.need_distance(loss, data, normalize)
        if properties.has_vectors(loss, data, normalize):
            kind = Vectors
    elif data.dtype == torch.uint8 and isinstance(loss, losses.MSE):
        kind = ByteGram
    elif isinstance(loss, losses.MAE):
        kind = Absolute
    elif isinstance(loss, losses.BCE):
        kind = CrossEntropy
    elif loss.quadratic:
        kind = Gram
    return kind(data, loss, normalize)


def within_groups(loss: Loss, x: Tensor) -> Tensor:
    """Compute distances within groups of observations, (T, f, C, H, W) to float64 (T, f, f)."""
    n = x.shape[1]
    if not properties.is_own(loss):
        if loss.quadratic:
            # the first one changes no distance, and keeps vectors short
            return _of_vectors(loss.embed(x - x[:, :1]))
        return torch.stack([loss.distance(x[:, i : i + 1], x) for i in range(n)], 1)
    # a loss of one's own must do no more than in training: compare two batches of one shape
    flat = x.flatten(0, 1)
    rows = []
    for i in range(n):
        row = loss.distance(x[:, i : i + 1].expand_as(x).flatten(0, 1), flat)
        rows.append(row.view(x.shape[:2]))
    return properties.need_distances(loss, torch.stack(rows, 1).double())


class Kernel:
    """Distances pair by pair, for any loss."""

    # whether distances are symmetric, and 0 between equal images
    symmetric = False
    # bytes of memory for a number of an image while a batch is worked on
    number_bytes = 32

    def __init__(self, data: FactorData, loss: Loss, normalize: bool):
        self.data = data
        self.loss = loss
        self.normalize = normalize
        self.dtype = properties.precision_of(loss, data)

    @functools.cached_property
    def channelwise(self) -> bool:
        """Whether the loss is a sum over the channels of images of this data set."""
        return properties.is_channelwise(self.loss, self.data, self.normalize)

    @functools.cached_property
    def separable(self) -> bool:
        """Whether channels that stay as they are add nothing to a distance.

        So it is of a mean over channels that is 0 between equal images.
        """
        if self.data.channel_factors is None:
            return True
        is_zero = self.symmetric or properties.is_zero_of_equal(
            self.loss, self.data, self.normalize
        )
        return is_zero and self.channelwise

    def pixels(self, x: Tensor) -> Tensor:
        """Map images, shape (..., H, W, C), to what the loss compares, (..., C, H, W)."""
        numbers = as_floats(x.movedim(-1, -3), torch.float64)
        if self.loss.unit_range and x.is_floating_point() and not _is_unit_range(numbers):
            raise ValueError(
                f"the loss {self.loss.name!r} needs pixels in [0, 1], but some of "
                f"{self.data.name!r} lie outside; rescale them, or choose another loss."
            )
        return (self.data.normalize(numbers) if self.normalize else numbers).to(self.dtype)

    @torch.no_grad()
    def distances(self, x: Tensor) -> Tensor:
        """Compute distances within groups of images, (T, f, H, W, C) to float64 (T, f, f).

        Row: the reconstruction. Column: the target.
        """
        return within_groups(self.loss, self.pixels(x))

    @torch.no_grad()
    def between(self, a: Tensor, b: Tensor) -> Tensor:
        """Compute the distance of each pair of images, (n, H, W, C) to float64 (n,)."""
        distances = self.loss.distance(self.pixels(a), self.pixels(b)).double()
        if properties.is_own(self.loss):
            return properties.need_distances(self.loss, distances)
        return distances


class Gram(Kernel):
    """Distances of a quadratic form, in float64."""

    symmetric = True
    number_bytes = 40

    @torch.no_grad()
    def moments(self, x: Tensor, origin: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sum of the images' vectors v, float64 of shape (D,), and the sum of |v|².

        Vectors begin at that of `origin`, shape (1, H, W, C), which keeps them short.
        """
        v = self.loss.embed(self.pixels(x) - self.pixels(origin)).double()
        return v.sum(0), v.square().sum()


class Vectors(Gram):
    """Distances of vectors that a loss of one's own makes of each image, by any function."""

    number_bytes = 48

    @torch.no_grad()
    def moments(self, x: Tensor, origin: Tensor) -> tuple[Tensor, Tensor]:
        """See `Gram.moments`."""
        v = self.loss.embed(self.pixels(torch.cat([origin, x]))).double()
        v = v[1:] - v[:1]
        return v.sum(0), v.square().sum()

    @torch.no_grad()
    def distances(self, x: Tensor) -> Tensor:
        """Compute what `Kernel.distances` does."""
        v = self.loss.embed(self.pixels(x.flatten(0, 1))).double().unflatten(0, x.shape[:2])
        v = v - v[:, :1]
        distances = properties.need_finite(self.loss, _of_vectors(v))
        if x.shape[:2].numel() >= _LARGE_BATCH:
            # What was measured on a few images may not hold for others, so the nearest and the
            # farthest pair are compared with the loss itself.
            flat = distances.flatten()
            smallest = flat.where(flat > 0, flat.max()).argmin()
            pairs = torch.stack([smallest, flat.argmax()])
            group, i, j = torch.unravel_index(pairs, distances.shape)
            direct = self.between(x[group, i], x[group, j])
            properties.need_same(self.loss, direct, flat[pairs])
        return distances


class ByteGram(Gram):
    """Mean squared error of byte images, in whole numbers."""

    number_bytes = 8

    def __init__(self, data: FactorData, loss: Loss, normalize: bool):
        super().__init__(data, loss, normalize)
        height, width, channels = data.shape
        weights = [1 / s**2 for s in data.std] if normalize else [1.0] * channels
        # channels of equal weight are worked on as one
        if len(set(weights)) == 1:
            weights = weights[:1]
        self.weights = torch.tensor(weights, dtype=torch.float64, device=data.device)
        self.image_size = height * width * channels

    def distances(self, x: Tensor) -> Tensor:
        """See `Kernel.distances`."""
        channels = self._channels(x)
        padding = -channels.shape[-1] % 8
        padded = F.pad(channels, (0, padding)) if padding else channels.contiguous()
        words = padded.view(torch.int64)
        T, f, n_channels, _ = words.shape
        # words in which no traversal changes add nothing; in most data sets most words are such
        change = (words != words[:, :1]).flatten(0, 2).view(torch.uint8).amax(0)
        changed = change.nonzero()[:, 0]
        if not len(changed):
            return torch.zeros(T, f, f, dtype=torch.float64, device=x.device)
        numbers, unit = self._whole_numbers(words.index_select(3, changed))
        v = numbers.flatten(0, 1)
        # whatever shorter number format a program has allowed for its networks
        with arithmetic.override(matmul="ieee", cpu_matmul="ieee"):
            products = torch.bmm(v, v.transpose(1, 2))
        by_channel = _from_gram(products.view(T, n_channels, -1, f, f).double().sum(2))
        weighted = (by_channel * self.weights[:, None, None]).sum(1)
        return weighted / (unit**2 * self.image_size)

    def between(self, a: Tensor, b: Tensor) -> Tensor:
        """See `Kernel.between`."""
        return self.distances(torch.stack([a, b], 1))[:, 0, 1]

    def moments(self, x: Tensor, origin: Tensor) -> tuple[Tensor, Tensor]:
        """See `Gram.moments`; whole numbers lose no digits, so vectors begin at black."""
        v = self._channels(x).int()
        weights = self.weights / (255**2 * self.image_size)
        vectors = v.sum(0) * weights.sqrt()[:, None]
        return vectors.flatten(), (v.square().sum((0, 2)) * weights).sum()

    def _channels(self, x: Tensor) -> Tensor:
        """Return bytes, (..., H, W, C), by channels that weigh differently, (..., channels, k)."""
        n = len(self.weights)
        return (x.movedim(-1, -3) if n > 1 else x).flatten(-3).unflatten(-1, (n, -1))

    def _whole_numbers(self, words: Tensor) -> tuple[Tensor, int]:
        """Return words of bytes, (T, f, channels, words), as float32, (T, chunks, f, k).

        Each chunk is of one channel. Also returns what a byte of 255 became, less what 0 became.
        """
        T, f, channels, _ = words.shape
        low_bits = words & _LOW_BITS
        black_and_white = torch.equal(low_bits * 255, words)
        if black_and_white:
            x = low_bits.view(torch.uint8)
            chunk = _EXACT
        else:
            # flipping the highest bit subtracts 128
            x = (words ^ _HIGH_BITS).view(torch.int8)
            chunk = _BYTES
        chunks = -(-x.shape[-1] // chunk)
        k = -(-x.shape[-1] // chunks)
        # what fills up the last chunk is the same in all images
        x = F.pad(x, (0, chunks * k - x.shape[-1])).view(T, f, channels * chunks, k)
        v = torch.empty(T, channels * chunks, f, k, dtype=torch.float32, device=x.device)
        v.copy_(x.transpose(1, 2))
        return v, 1 if black_and_white else 255


class CrossEntropy(Kernel):
    """Binary cross-entropy: linear in the target, so that a matrix product computes it as well."""

    number_bytes = 48

    def distances(self, x: Tensor) -> Tensor:
        """See `Kernel.distances`."""
        p = self.pixels(x).flatten(2)
        log_on = p.log().clamp(min=-100)
        log_off = (-p).log1p().clamp(min=-100)
        total = log_off.sum(-1, keepdim=True) + (log_on - log_off) @ p.transpose(1, 2)
        return -total / p.shape[-1]


class Absolute(Kernel):
    """Mean absolute error: of bytes in whole numbers, if all channels weigh the same."""

    symmetric = True

    def __init__(self, data: FactorData, loss: Loss, normalize: bool):
        super().__init__(data, loss, normalize)
        self.number_bytes = 8 if data.dtype == torch.uint8 else Kernel.number_bytes

    def distances(self, x: Tensor) -> Tensor:
        """See `Kernel.distances`."""
        stds = set(self.data.std) if self.normalize else {1.0}
        v = x.flatten(2)
        if x.is_floating_point() or len(stds) > 1 or v.shape[-1] * 255 > _EXACT:
            return super().distances(x)
        (std,) = stds
        v = v.float()
        return torch.cdist(v, v, p=1).double() / (255 * std * v.shape[-1])


def _is_unit_range(numbers: Tensor) -> bool:
    return bool(((numbers >= 0) & (numbers <= 1)).all())


def _from_gram(gram: Tensor) -> Tensor:
    """Return |v_i - v_j|² from products v_i·v_j, shape (..., f, f); 0 on the diagonal."""
    square = gram.diagonal(dim1=-2, dim2=-1)
    distances = square[..., :, None] + square[..., None, :] - 2 * gram
    distances.diagonal(dim1=-2, dim2=-1).zero_()
    return distances.clamp_(min=0)


def _of_vectors(v: Tensor) -> Tensor:
    """Return |v_i - v_j|² of groups of vectors, (T, f, D) to float64 (T, f, f)."""
    v = v.double()
    distances = _from_gram(v @ v.transpose(1, 2))
    square = v.square().sum(-1)
    is_short = distances < _SHORT * (square[:, :, None] + square[:, None, :])
    for part in is_short.triu(1).nonzero().split(max(1, _NUMBERS // max(1, v.shape[-1]))):
        group, i, j = part.unbind(1)
        exact = (v[group, i] - v[group, j]).square().sum(-1)
        distances[group, i, j] = exact
        distances[group, j, i] = exact
    return distances
