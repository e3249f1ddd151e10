"""The posterior means that a model returns for observations, in whichever form it returns them."""

from __future__ import annotations

import collections
import contextlib
import functools
import inspect
import itertools
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaedis.losses.fingerprint import around

CPU_BATCH = 256
CUDA_BATCH = 4096
_MOST_PARTS = 10_000


def encoder(model: Any, data: Any) -> Callable[[Tensor], Tensor]:
    """Return a function from observation indices (n,) to posterior means (n, z) on the CPU.

    Repeated indices are encoded once. Networks are in evaluation mode meanwhile.
    """
    # Text has a method `encode`, and a path is easily mistaken for a model.
    encode = model if isinstance(model, str) else getattr(model, "encode", model)
    if not callable(encode):
        raise TypeError(
            "model must have encode(x) or be a function of observations, but it is a "
            f"{type(model).__name__}: pass a network, or score codes that you have with their "
            "labels, as in vaedis.metrics.mig(codes, factors)."
        )
    networks = _networks(model, encode)
    tensors = itertools.chain.from_iterable(
        (*network.parameters(), *network.buffers()) for network in networks
    )
    example = next((tensor for tensor in tensors if tensor.is_floating_point()), None)
    batch = CUDA_BATCH if example is not None and example.is_cuda else CPU_BATCH
    trained = getattr(model, "__self__", model)
    # How `fit` says of a network of its own, or of yours, that it was trained on images in [0, 1].
    marks = [getattr(trained, name, True) for name in ("normalize", "_vaedis_normalize")]
    options = {"normalize": False} if any(mark is False for mark in marks) else {}

    def means_of(index: Tensor) -> Tensor:
        x = data.observations(index, **options)
        return _means(encode(x if example is None else x.to(example)), len(index))

    def encode_all(index: Tensor) -> Tensor:
        distinct, position = torch.unique(torch.as_tensor(index), return_inverse=True)
        with _evaluating(networks), torch.no_grad():
            return torch.cat([means_of(part) for part in distinct.split(batch)])[position]

    return encode_all


def _networks(model: Any, encode: Callable[..., Any]) -> list[nn.Module]:
    """Return the networks that a model is, holds or refers to, however deep, the nearest first."""
    networks: list[nn.Module] = []
    queue = collections.deque([model, encode])
    visited: dict[int, Any] = {}
    # The limit keeps this from walking through the whole program.
    while queue and len(visited) < _MOST_PARTS:
        part = queue.popleft()
        if id(part) in visited:
            continue
        visited[id(part)] = part
        if isinstance(part, nn.Module):
            networks.append(part)
        else:
            queue += _parts(part)
    return networks


def _parts(value: Any) -> list[Any]:
    """Return what a function, a collection or an object holds; nothing of modules and arrays."""
    if isinstance(value, types.MethodType):
        return [value.__self__]
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    if inspect.isfunction(value):
        defaults = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        return [*around(value).values(), *defaults]
    if isinstance(value, Mapping):
        return [*value.values()]
    if isinstance(value, list | tuple | set):
        return [*value][:_MOST_PARTS]
    if isinstance(value, type | types.ModuleType | Tensor | np.ndarray):
        return []
    slots = [name for cls in type(value).__mro__ for name in getattr(cls, "__slots__", ())]
    return [
        *getattr(value, "__dict__", {}).values(),
        *(getattr(value, name, None) for name in slots),
    ]


@contextlib.contextmanager
def _evaluating(networks: list[nn.Module]) -> Iterator[None]:
    """Put networks into evaluation mode, and each part back into its own mode afterwards."""
    modes = [(part, part.training) for network in networks for part in network.modules()]
    for network in networks:
        network.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def _means(output: Any, n: int) -> Tensor:
    """Return the means (n, z) in a model's output for n observations, in float32 or more."""
    means = _mean_of(output)
    if means is None or means.ndim != 2 or len(means) != n:
        array = "" if means is None else f" with an array of shape {tuple(means.shape)}"
        raise ValueError(
            f"encode(x) must return the means of {n} observations as an array of shape "
            f"({n}, latents), by itself, as the first of a tuple, as `embedding`, or as a torch "
            f"Distribution, but it returned a {type(output).__name__}{array}."
        )
    means = means.detach().cpu()
    return means.float() if means.is_floating_point() and means.element_size() < 4 else means


def _mean_of(output: Any) -> Tensor | None:
    """Return the array of means in a model's output, None if there is none."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Distribution):
        # Some distributions define no mean of their own.
        return getattr(output, "mean", None) if type(output).mean is not Distribution.mean else None
    if isinstance(output, Mapping):
        return _mean_of(output.get("embedding"))
    if hasattr(output, "embedding"):
        return _mean_of(output.embedding)
    is_sequence = isinstance(output, tuple | list) and len(output) > 0
    if is_sequence and not isinstance(output[0], int | float | list):
        return _mean_of(output[0])
    # Arrays of numpy, arrays of other packages that numpy can read, and lists of numbers.
    array = np.asarray(output)
    return torch.as_tensor(array) if array.dtype.kind in "fiub" and array.ndim else None
