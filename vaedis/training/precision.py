"""A network in bfloat16."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Bfloat16:
    """Stands for a network that computes in bfloat16; its weights and outputs are float32.

    A custom objective can use it as it uses the network: call it, copy it, set attributes.
    """

    def __init__(self, network: nn.Module):
        vars(self)["network"] = network

    def encode(self, *arguments: Any, **options: Any) -> Any:
        """Return what the network's `encode` returns."""
        return self._computed(self.network.encode, *arguments, **options)

    def decode(self, *arguments: Any, **options: Any) -> Any:
        """Return what the network's `decode` returns."""
        return self._computed(self.network.decode, *arguments, **options)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Return what the network returns."""
        return self._computed(self.network, *arguments, **options)

    def __getattr__(self, name: str) -> Any:
        if name == "network":  # it is being copied
            raise AttributeError(name)
        return getattr(self.network, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.network, name, value)

    def _computed(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        device = next(self.network.parameters()).device
        with torch.autocast(device.type, torch.bfloat16):
            return _as_float32(function(*arguments, **options))


def _as_float32(output: Any) -> Any:
    if type(output) in (tuple, list):
        return type(output)(map(_as_float32, output))
    if isinstance(output, dict):
        return {name: _as_float32(part) for name, part in output.items()}
    is_float = isinstance(output, Tensor) and output.is_floating_point()
    return output.float() if is_float else output
