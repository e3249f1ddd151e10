"""Convolutions that are faster on a CPU, with torch's parameters and its results up to rounding.

Two things are slow in torch's own, as ``benchmarks/layers.py`` measures: the gradient of a
transposed convolution's bias, which is a plain sum, so the bias is added separately; and a
transposed convolution to the few channels of an image, which equals a convolution to four times as
many channels, one for each pixel of a 2×2 cell ("sub-pixel" convolution, Shi et al. 2016).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_weight

_VECTOR = 8  # float32 numbers in a vector register of most CPUs


class Conv2d(nn.Conv2d):
    """A convolution whose bias is added separately on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of images, shape (B, C, H, W)."""
        if x.device.type != "cpu" or self.bias is None:
            return super().forward(x)
        y = self._conv_forward(x, self.weight, None)
        return y.add_(self.bias.to(y.dtype)[:, None, None])


class ConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution with the bias apart, by `subpixel` if it has few channels."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return the transposed convolution of images, shape (B, C, H, W)."""
        if x.device.type != "cpu" or self.bias is None or output_size is not None:
            return super().forward(x, output_size)
        doubles = (self.kernel_size, self.stride, self.padding) == ((4, 4), (2, 2), (1, 1))
        if doubles and self.out_channels < _VECTOR:
            return _SubPixel.apply(x, self.weight, self.bias)  # type: ignore[no-untyped-call]
        assert not isinstance(self.padding, str)  # a transposed convolution takes numbers only
        y = F.conv_transpose2d(x, self.weight, None, self.stride, self.padding)
        return y.add_(self.bias.to(y.dtype)[:, None, None])


def subpixel(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return ``conv_transpose2d(x, weight, bias, stride=2, padding=1)`` for kernels of 4×4."""
    batch, _, height, width = x.shape
    inputs, outputs = weight.shape[:2]
    # Row 2i - 1 + s of the result, for s of 0 and 1, takes row i - 1 of `x` through row 2 + s of
    # the kernel, and row i through row s: a window of 2×2 pixels serves a cell of 2×2.
    # (I, O, window row, cell row, window column, cell column)
    cells = weight.view(inputs, outputs, 2, 2, 2, 2).flip(2, 4)
    kernel = cells.permute(3, 5, 1, 0, 2, 4).reshape(4 * outputs, inputs, 2, 2)
    # whole vectors are faster, though part of the last one is thrown away
    n_padding = -4 * outputs % _VECTOR
    kernel = F.pad(kernel, (0, 0, 0, 0, 0, 0, 0, n_padding))
    kernel = kernel.contiguous(memory_format=torch.channels_last)
    y = F.conv2d(x, kernel, F.pad(bias.repeat(4), (0, n_padding)), padding=1)
    y = y.permute(0, 2, 3, 1)[..., : 4 * outputs]
    # put the pixels of each cell beside and below each other, and cut off what reaches beyond
    y = y.reshape(batch, height + 1, width + 1, 2, 2 * outputs).transpose(2, 3)
    y = y.reshape(batch, 2 * height + 2, 2 * width + 2, outputs)
    return y[:, 1:-1, 1:-1].permute(0, 3, 1, 2)


class _SubPixel(torch.autograd.Function):
    """`subpixel`, whose backward is a plain convolution, which is fast with few channels too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return subpixel(x, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor]:
        x, weight = ctx.saved_tensors
        grad = grad.contiguous(memory_format=torch.channels_last)
        # autocast, which decided the gradient's type, does not reach here
        for_x = for_weight = None
        if ctx.needs_input_grad[0]:
            for_x = F.conv2d(grad, weight.to(grad.dtype), None, 2, 1).to(x.dtype)
        if ctx.needs_input_grad[1]:
            for_weight = conv2d_weight(grad, weight.shape, x.to(grad.dtype), 2, 1).to(weight.dtype)
        return for_x, for_weight, grad.sum((0, 2, 3), dtype=weight.dtype)
