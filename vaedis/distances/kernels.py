"""How perceived distances within groups of images are computed: one kernel for each kind of loss, all
exact.

A *group* is a traversal: f images, of which all f × f distances are wanted. Where the loss is a
quadratic form they follow from the group's Gram matrix, as ``|a - b|² = |a|² + |b|² - 2 a·b``, so
that a block of groups is one batched matrix product.

For MSE the arithmetic is that of whole numbers, carried out in float32 at its speed and yet without
any error. Pixels are bytes. Less 128 they lie in -128 … 127, their products in ±2¹⁴, and a sum of
1,024 such products in ±2²⁴, where float32 holds every whole number; so products run over at most
1,024 pixels at a time, and the partial results are added up in float64, which holds whole numbers
to 2⁵³. Images of black and white only are 0 and 1, and sums over 2²⁴ pixels are exact. What remains
is the rounding of the final division.

Other quadratic losses run in float64: with vectors of D numbers of size about 1, an entry's error
is some √D · 10⁻¹⁶ of the vectors' squared length; subtracting each group's first image beforehand
keeps that length small. So does MSE between images of floats, which only a reader's own data have.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn import functional as F

from vaedis import losses
from vaedis._support import arithmetic
from vaedis.data.base import FactorData, as_floats
from vaedis.losses import Loss, properties

_EXACT = 2**24  # up to here float32 holds every whole number
_MANY = 16  # images beside which two pairs more cost little
_ONES = 0x0101010101010101
_HIGH_BITS = -0x7F7F7F7F7F7F7F80  # 0x80 in every byte, as a signed number


def kernel_for(data: FactorData, loss: str | Loss = "mse", normalize: bool = False) -> Kernel:
    """Return the kernel that computes a loss between images of a data set, or raise a ValueError if
    they do not fit each other.
    """
    loss = losses.get(loss)
    if loss.unit_range and normalize:
        raise ValueError(
            f"the loss {loss.name!r} compares images in [0, 1]; use normalize=False with it."
        )
    if loss.unit_range:
        data.need_unit_range(loss.name)
    if type(loss) is losses.MSE and data.dtype == torch.uint8:
        return ByteGram(data, loss, normalize)
    if properties.is_own(loss):
        properties.need_numbers(loss, data, normalize)
        properties.need_difference(loss, data, normalize)
        return (Vectors if properties.has_vectors(loss, data, normalize) else Kernel)(
            data, loss, normalize
        )
    if loss.quadratic:
        return Gram(data, loss, normalize)
    if type(loss) is losses.BCE:
        return CrossEntropy(data, loss, normalize)
    if type(loss) is losses.MAE:
        return Absolute(data, loss, normalize)
    return Kernel(data, loss, normalize)


def pair_by_pair(loss: Loss, x: Tensor) -> Tensor:
    """Return the distances within groups of observations, (T, f, C, H, W) to float64 of shape (T,
    f, f): see `Kernel.distances`.
    """
    if not properties.is_own(loss):
        return torch.stack([loss.distance(x[:, i : i + 1], x) for i in range(x.shape[1])], 1)
    # of a loss of one's own no more is asked than in training: two batches of one shape
    flat = x.flatten(0, 1)
    rows = [
        loss.distance(x[:, i : i + 1].expand_as(x).flatten(0, 1), flat) for i in range(x.shape[1])
    ]
    return properties.need_finite(
        loss, torch.stack([row.view(x.shape[:2]) for row in rows], 1).double()
    )


class Kernel:
    """Distances pair by pair: for any loss.

    Attributes
    ----------
    symmetric : bool
        Whether the loss of a as a reconstruction of b is that of b as a reconstruction of a.
    quadratic : bool
        Whether `moments` exist.
    number_bytes : int
        What one pixel takes in memory while a block is worked on.
    dtype : torch.dtype
        In which the loss takes images.
    """

    symmetric = False
    quadratic = False
    number_bytes = 32

    def __init__(self, data: FactorData, loss: Loss, normalize: bool):
        self.data, self.loss, self.normalize = data, loss, normalize
        self.own = properties.is_own(loss)
        self.dtype = properties.precision_of(loss, data)

    @functools.cached_property
    def channelwise(self) -> bool:
        """Whether the loss is a sum over the channels of images of this data set."""
        return properties.is_channelwise(self.loss, self.data, self.normalize)

    def pixels(self, x: Tensor) -> Tensor:
        """Map images, shape (..., H, W, C), to what the loss compares, of shape (..., C, H, W):
        float64 where the loss takes that.
        """
        numbers = as_floats(x.movedim(-1, -3), torch.float64)
        return (self.data.normalize(numbers) if self.normalize else numbers).to(self.dtype)

    @torch.no_grad()
    def distances(self, x: Tensor) -> Tensor:
        """Return the distances within groups of images.

        Parameters
        ----------
        x : Tensor of uint8, shape (T, f, H, W, C)

        Returns
        -------
        Tensor of float64, shape (T, f, f)
            Row: the reconstruction. Column: the target.
        """
        return pair_by_pair(self.loss, self.pixels(x))

    @torch.no_grad()
    def between(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the distance of each pair of images, float64 of shape (n,), from bytes of shape
        (n, H, W, C).
        """
        distances = self.loss.distance(self.pixels(a), self.pixels(b)).double()
        return properties.need_finite(self.loss, distances) if self.own else distances


class Gram(Kernel):
    """Distances of a quadratic form, in float64."""

    symmetric = True
    quadratic = True
    number_bytes = 40

    def distances(self, x: Tensor) -> Tensor:
        """Return the distances within groups of images: see `Kernel.distances`."""
        x = self.pixels(x)
        # changes no distance, and keeps the subtraction below from cancelling digits
        v = self.loss.embed(x - x[:, :1])
        return _from_gram(v @ v.transpose(1, 2))

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sum of the vectors v of images, float64 of shape (D,), and the sum of |v|².

        Parameters
        ----------
        x : Tensor of uint8, shape (n, H, W, C)
        """
        v = self.loss.embed(self.pixels(x))
        return v.sum(0), v.square().sum()


class Vectors(Gram):
    """Distances of vectors that any function makes of an image, such as features of a network: each
    image is embedded once.
    """

    number_bytes = 48

    def distances(self, x: Tensor) -> Tensor:
        """Return the distances within groups of images: see `Kernel.distances`.

        The nearest and the farthest pair of many images are compared with the loss itself, since
        what was measured on a few beforehand may not hold between others.
        """
        v = self._embed(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        v = v - v[:, :1]
        distances = properties.need_finite(self.loss, _from_gram(v @ v.transpose(1, 2)))
        if x.shape[:2].numel() < _MANY:
            return distances
        flat = distances.flatten()
        pairs = torch.stack([flat.where(flat > 0, flat.max()).argmin(), flat.argmax()])
        group, i, j = torch.unravel_index(pairs, distances.shape)
        properties.need_same(self.loss, self.between(x[group, i], x[group, j]), flat[pairs])
        return distances

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sums of vectors and of their squared lengths: see `Gram.moments`."""
        v = self._embed(x)
        return v.sum(0), v.square().sum()

    @torch.no_grad()
    def _embed(self, x: Tensor) -> Tensor:
        return self.loss.embed(self.pixels(x)).double()


class ByteGram(Gram):
    """Mean squared error, in whole numbers."""

    number_bytes = 8

    def __init__(self, data: FactorData, loss: Loss, normalize: bool):
        super().__init__(data, loss, normalize)
        height, width, channels = data.shape
        scale = [1 / s**2 for s in data.std] if normalize else [1.0] * channels
        # channels that weigh the same need not be told apart
        self.weights = scale if len(set(scale)) > 1 else scale[:1]
        self.numbers = height * width * channels

    def _words(self, x: Tensor) -> Tensor:
        """Bytes, shape (T, f, H, W, C), eight to a word: int64, shape (T, f, channels, words), with
        zeros at the end if they do not fit.
        """
        channels = len(self.weights)
        x = (x.movedim(-1, 2) if channels > 1 else x).flatten(2).unflatten(2, (channels, -1))
        spare = -x.shape[-1] % 8
        return (F.pad(x, (0, spare)) if spare else x.contiguous()).view(torch.int64)

    def _numbers(self, words: Tensor) -> tuple[Tensor, int, int]:
        """Bytes as whole numbers in float32, shape (T, chunks, f, k), each chunk of one channel.

        Also what a byte of 255 became, beyond what a byte of 0 became, and what was subtracted from
        all.
        """
        T, f, channels, _ = words.shape
        bits = words & _ONES
        if torch.equal(bits * 255, words):
            x, top, offset, most = bits.view(torch.uint8), 1, 0, _EXACT
        else:
            x, top, offset, most = (words ^ _HIGH_BITS).view(torch.int8), 255, 128, 1024
        chunks = -(-x.shape[-1] // most)
        k = -(-x.shape[-1] // chunks)
        # what fills the last chunk up is the same in all images
        x = F.pad(x, (0, chunks * k - x.shape[-1])).view(T, f, channels * chunks, k)
        v = torch.empty(T, channels * chunks, f, k, dtype=torch.float32, device=x.device)
        return v.copy_(x.transpose(1, 2)), top, offset

    def distances(self, x: Tensor) -> Tensor:
        """Return the distances within groups of images: see `Kernel.distances`."""
        words = self._words(x)
        T, f, channels, _ = words.shape
        # words in which no traversal changes add nothing, and in most data sets they are most
        change = (words != words[:, :1]).flatten(0, 2).view(torch.uint8).amax(0)
        kept = change.nonzero()[:, 0]
        if not len(kept):
            return torch.zeros(T, f, f, dtype=torch.float64, device=x.device)
        v, top, _ = self._numbers(words.index_select(3, kept))
        v = v.flatten(0, 1)
        # whatever shorter format a program has allowed for its networks
        with arithmetic.held(matmul="ieee", cpu_matmul="ieee"):
            products = torch.bmm(v, v.transpose(1, 2))
        by_channel = products.view(T, channels, -1, f, f).double().sum(2)
        return (_from_gram(by_channel) * self._weights(x)[:, None, None]).sum(1) / (
            top**2 * self.numbers
        )

    def between(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the distance of each pair of images: see `Kernel.between`."""
        return self.distances(torch.stack([a, b], 1))[:, 0, 1]

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sums of vectors and of their squared lengths: see `Gram.moments`."""
        words = self._words(x[None])
        channels, D = len(self.weights), self.numbers // len(self.weights)
        padded = 8 * words.shape[-1]
        v, top, offset = self._numbers(words)
        # of at most 1,024 images or pixels at a time, so that these sums are exact as well
        sums = (
            torch.stack([part.sum(2)[0] for part in v.split(1024, 2)])
            .double()
            .sum(0)
            .view(channels, -1)[:, :padded]
        )
        squares = v.square().sum(3).double().view(channels, -1).sum(1)
        weight = self._weights(x) / (top**2 * self.numbers)
        plain = squares + 2 * offset * sums.sum(1) + len(x) * padded * offset**2
        return ((sums[:, :D] + len(x) * offset) * weight.sqrt()[:, None]).flatten(), (
            plain * weight
        ).sum()

    def _weights(self, like: Tensor) -> Tensor:
        return torch.tensor(self.weights, dtype=torch.float64, device=like.device)


class CrossEntropy(Kernel):
    """Binary cross-entropy: for each reconstruction linear in the target, so that a matrix product
    computes it as well.
    """

    number_bytes = 48

    def distances(self, x: Tensor) -> Tensor:
        """Return the distances within groups of images: see `Kernel.distances`."""
        p = self.pixels(x).flatten(2)
        on, off = p.log().clamp(min=-100), (-p).log1p().clamp(min=-100)
        return -(off.sum(-1, keepdim=True) + (on - off) @ p.transpose(1, 2)) / p.shape[-1]


class Absolute(Kernel):
    """Mean absolute error: in whole numbers of bytes where all channels weigh the same."""

    symmetric = True
    number_bytes = 8

    def __init__(self, data: FactorData, loss: Loss, normalize: bool):
        super().__init__(data, loss, normalize)
        if data.dtype != torch.uint8:
            self.number_bytes = Kernel.number_bytes

    def distances(self, x: Tensor) -> Tensor:
        """Return the distances within groups of images: see `Kernel.distances`."""
        if x.is_floating_point():
            return super().distances(x)
        std = self.data.std[0] if self.normalize else 1.0
        if (self.normalize and len(set(self.data.std)) > 1) or x[0, 0].numel() * 255 > _EXACT:
            return super().distances(x)
        v = x.flatten(2).float()
        return torch.cdist(v, v, p=1).double() / (255 * std * v.shape[-1])


def _from_gram(gram: Tensor) -> Tensor:
    """|v_i - v_j|² from products v_i·v_j, shape (..., f, f); 0 on the diagonal, and nowhere less."""
    square = gram.diagonal(dim1=-2, dim2=-1)
    found = square[..., :, None] + square[..., None, :] - 2 * gram
    found.diagonal(dim1=-2, dim2=-1).zero_()
    return found.clamp_(min=0)
