"""Check that a custom network can be copied, and can continue from a checkpoint."""

from __future__ import annotations

import contextlib
import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from vaedis.losses.fingerprint import fingerprint
from vaedis.training.batches import seeded
from vaedis.training.own_network import copied, tensors_in

if TYPE_CHECKING:
    from vaedis.training.run import Run


def need_stateless(run: Run) -> None:
    """Raise a ValueError if a network in training changes more than a checkpoint holds.

    A checkpoint holds weights and buffers. What follows from its input alone, such as a size that
    `decode` reads, may change.
    """
    x = run.observations(torch.zeros(2, dtype=torch.int64))
    network: Any = copied(run.model)
    held = {name for name, _ in network.named_buffers()}
    if name := _changes(network, x, run.spec.seed, held):
        raise ValueError(
            f"model.{name} changes with each call in training, and a checkpoint does not hold "
            "it; let it be a tensor, by register_buffer, or train without checkpoint."
        )


def need_saved_whole(network: nn.Module, x: Tensor, seed: int) -> None:
    """Raise a ValueError if what a network makes of images `x` depends on more than is saved.

    It is trained for two calls; then its state is put back, as loading does. A mere count of calls
    changes nothing.
    """
    state = network.state_dict()
    used = copied(network).train()
    name = _changes(used, x, seed, set(state))
    if name is None:
        return
    used.load_state_dict(state)
    before, after = (_outputs(one.eval(), x, seed) for one in (copied(network), used))
    if not all(map(torch.allclose, before, after)):
        raise ValueError(
            f"model.{name} changes with each call in training, and a saved run does not hold it, "
            "so the run is not saved; let it be a tensor, by register_buffer."
        )


def _outputs(network: Any, x: Tensor, seed: int) -> list[Tensor]:
    """Return mean, log-variance and what is decoded of images; nothing if that fails."""
    failing = contextlib.suppress(Exception)
    with seeded(seed, "check", x.device), torch.no_grad(), failing:
        mean, logvar = network.encode(x.clone())
        return tensors_in([mean, logvar, network.decode(mean.clone())])
    return []


def _changes(network: Any, x: Tensor, seed: int, held: set[str]) -> str | None:
    """Return the name of something not `held` that changes with each call of a network, or None."""
    calls = []
    for _ in range(2):
        # the user's network may refuse two images at a time
        failing = contextlib.suppress(Exception)
        with seeded(seed, "check", x.device), torch.no_grad(), failing:
            mean, _ = network.encode(x.clone())
            network.decode(mean)
        buffers = [(name, one) for name, one in network.named_buffers() if name not in held]
        calls.append(_attributes(network) | {name: fingerprint(one) for name, one in buffers})
    first, second = calls
    return next((name for name, value in second.items() if first.get(name) != value), None)


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
