"""Whether a network of one's own can be trained as a copy, and go on from a checkpoint."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import torch
from torch import Tensor, nn

from vaedis.losses import Loss
from vaedis.losses.fingerprint import fingerprint
from vaedis.training.custom import copied, seeded
from vaedis.training.run import Run


def need_stateless(run: Run) -> None:
    """Raise a ValueError if a network in training changes more than its weights and buffers.

    What follows from its input alone, such as a size that `decode` reads, may change.
    """
    network: Any = copied(run.model)
    x = run.observations(torch.zeros(2, dtype=torch.int64))
    calls = []
    for _ in range(2):
        # code that is not ours may not take two images at a time
        failing = contextlib.suppress(Exception)
        with seeded(run.spec.seed, "check", x.device), torch.no_grad(), failing:
            mean, _ = network.encode(x.clone())
            network.decode(mean)
        calls.append(_attributes(network))
    first, second = calls
    for name, value in second.items():
        if first.get(name) != value:
            raise ValueError(
                f"model.{name} changes with each call in training, and a checkpoint does not hold "
                "it; let it be a tensor, by register_buffer, or train without checkpoint."
            )


class CheckedShapes:
    """A network in training that must return the shapes that it returns in evaluation mode."""

    def __init__(self, network: Any, loss: Loss):
        self.network = network
        self.loss = loss
        self.x = self.noise = torch.zeros(0)
        # of what is decoded for one image; known after the first step
        self.decoded: tuple[int, ...] | None = None

    def of(self, x: Tensor, noise: Tensor) -> CheckedShapes:
        """Return the network for a step on images `x`, whose latents have the shape of `noise`."""
        self.x, self.noise = x, noise
        return self

    def encode(self, x: Tensor) -> Any:
        """Return what the network returns, if mean and log-variance have the noise's shape."""
        mean, logvar = self.network.encode(x)
        for part in (mean, logvar):
            _need_shape("encode", part, self.noise.shape)
        return mean, logvar

    def decode(self, z: Tensor) -> Any:
        """Return what the network returns, if it has the images' shape."""
        output = self.network.decode(z)
        if self.decoded is None:
            with torch.no_grad():
                _need_shape("decode", self.loss.output(output), self.x.shape)
            self.decoded = tuple(output.shape[1:])
        _need_shape("decode", output, (len(self.x), *self.decoded))
        return output


def _need_shape(name: str, part: Tensor, shape: tuple[int, ...]) -> None:
    """Raise a ValueError if a network in training returned another shape."""
    if tuple(part.shape) != tuple(shape):
        raise ValueError(
            f"model.{name} must return the same shapes in training as in evaluation mode, but "
            f"returned {tuple(part.shape)} and not {tuple(shape)}."
        )


def gradients_of(network: nn.Module | None) -> list[tuple[int, int] | None]:
    """Return what tells whether gradients have been added to a network's weights."""
    gradients = [] if network is None else [weight.grad for weight in network.parameters()]
    return [None if one is None else (id(one), one._version) for one in gradients]


def need_untouched(network: nn.Module | None, before: list[tuple[int, int] | None]) -> None:
    """Raise a ValueError if a network that a copy was made of got gradients in training."""
    if gradients_of(network) != before:
        raise ValueError(
            "model holds a function that refers to the network itself, but fit trains a copy, in "
            "which the function is the same; let it be a method, or give it weights as arguments."
        )


def _attributes(network: nn.Module) -> dict[str, str]:
    """Return fingerprints of what modules hold besides weights and buffers."""
    of_torch = vars(nn.Module())
    tensors: list[Tensor] = [*network.parameters(), *network.buffers()]
    fingerprints = {}
    for path, module in network.named_modules():
        for name, value in vars(module).items():
            if name in of_torch:
                continue
            # in place of weights, which an attribute may refer to, and which are in a checkpoint
            placeholders = {id(tensor): torch.zeros(0) for tensor in tensors}
            with contextlib.suppress(Exception):  # what cannot be told is left out
                value = copy.deepcopy(value, placeholders)
                fingerprints[f"{path}.{name}".lstrip(".")] = fingerprint(value)
    return fingerprints
