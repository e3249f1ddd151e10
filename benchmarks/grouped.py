"""Several convolutional VAEs as one network: convolutions with a group for each member, and batched
products for the linear layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaedis.training import model

Layer = Callable[[Tensor], Tensor]


class Grouped:
    """The networks of K members, as `vaedis.training.model.conv_vae` makes them; their weights are
    copied and stacked.

    Between layers, images are (B, K * C, H, W) and vectors (K, B, n). `weights` is what an
    optimiser changes.
    """

    def __init__(
        self, networks: Sequence[model.VAE], layout: torch.memory_format = torch.contiguous_format
    ):
        self.members = len(networks)
        self.layout = layout
        self.weights: list[Tensor] = []
        self.encoder = self._stacked([network.encoder for network in networks])
        self.decoder = self._stacked([network.decoder for network in networks])

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log-variances, each (K, B, z), of images (K, B, C, H, W)."""
        x = x.transpose(0, 1).flatten(1, 2).contiguous(memory_format=self.layout)
        for layer in self.encoder:
            x = layer(x)
        mean, logvar = x.chunk(2, -1)
        return mean, logvar

    def decode(self, z: Tensor) -> Tensor:
        """Images (K, B, C, H, W) for latents (K, B, z)."""
        for layer in self.decoder:
            z = layer(z)
        return self._by_member(z)

    def _stacked(self, halves: Sequence[nn.Sequential]) -> list[Layer]:
        """One layer for each layer of all members."""
        return [self._layer(side_by_side) for side_by_side in zip(*halves, strict=True)]

    def _by_member(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (self.members, -1)).transpose(0, 1)

    def _parameter(self, tensors: Sequence[Tensor], join: Callable[..., Tensor]) -> Tensor:
        weight = join([t.detach() for t in tensors]).requires_grad_()
        self.weights.append(weight)
        return weight

    def _layer(self, layers: Sequence[nn.Module]) -> Layer:
        """One layer for the same layer of all members."""
        first = layers[0]
        if isinstance(first, nn.ReLU):
            return F.relu_
        if isinstance(first, nn.Flatten):
            return lambda x: self._by_member(x).flatten(2)
        if isinstance(first, nn.Unflatten):
            return lambda x: (
                x.unflatten(2, first.unflattened_size)
                .transpose(0, 1)
                .flatten(1, 2)
                .contiguous(memory_format=self.layout)
            )
        join = torch.stack if isinstance(first, nn.Linear) else torch.cat
        weight = self._parameter([layer.weight for layer in layers], join)  # type: ignore[misc]
        bias = self._parameter([layer.bias for layer in layers], join)  # type: ignore[misc]
        if isinstance(first, nn.Linear):
            return lambda x: torch.baddbmm(bias[:, None], x, weight.mT)
        convolve = F.conv_transpose2d if isinstance(first, nn.ConvTranspose2d) else F.conv2d
        return lambda x: convolve(x, weight, bias, first.stride, first.padding, groups=self.members)  # type: ignore[arg-type]
