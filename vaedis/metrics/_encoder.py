"""What a model says of observations: the means of its posterior, in whichever form it returns them."""

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

from vaedis import _check
from vaedis.losses.fingerprint import around

CPU_BATCH, CUDA_BATCH = 256, 4096
_MOST_PARTS = 10_000


def encoder(model: Any, data: Any, batch_size: int | None = None) -> Callable[[Tensor], Tensor]:
    """Return a function from observation indices (n,) to posterior means (n, z) on the CPU, encoded in
    batches.

    Repeated indices are encoded once. Networks are in evaluation mode meanwhile.
    """
    # Text has a method of that name, and a path is easily taken for a model.
    encode = model if isinstance(model, str) else getattr(model, "encode", model)
    if not callable(encode):
        raise TypeError(
            f"model must have encode(x) or be a function of observations, but it is a {type(model).__name__}: pass a network, "
            "or score codes that you have with their labels, as in vaedis.metrics.mig(codes, factors)."
        )
    networks = _networks(model, encode)
    tensors = itertools.chain.from_iterable(
        (*network.parameters(), *network.buffers()) for network in networks
    )
    example = next((tensor for tensor in tensors if tensor.is_floating_point()), None)
    if batch_size is None:
        batch_size = CUDA_BATCH if example is not None and example.is_cuda else CPU_BATCH
    batch = _check.count("batch_size", batch_size)
    observe = observer(model, data)

    def means_of(index: Tensor) -> Tensor:
        x = observe(index)
        return _means(encode(x if example is None else x.to(example)), len(index))

    def encode_all(index: Tensor) -> Tensor:
        distinct, place = torch.unique(torch.as_tensor(index), return_inverse=True)
        with _evaluating(networks), torch.no_grad():
            return torch.cat([means_of(chunk) for chunk in distinct.split(batch)])[place]

    return encode_all


def observer(model: Any, data: Any) -> Callable[[Tensor], Tensor]:
    """Return a function from indices to observations as the model sees them.

    A network that `fit` trained on images in [0, 1] says so by ``normalize = False``; all others
    are given what the data set gives.
    """
    if getattr(getattr(model, "__self__", model), "normalize", True) is False:
        return lambda index: data.observations(index, normalize=False)
    return data.observations


def _networks(model: Any, encode: Callable[..., Any]) -> list[nn.Module]:
    """Return the networks that a model is, holds or, if it is a function, refers to, however deep
    they lie.
    """
    networks: list[nn.Module] = []
    waiting = collections.deque([model, encode])
    known: dict[int, Any] = {}
    # the nearest first, whose device and precision count; and never the whole program
    while waiting and len(known) < _MOST_PARTS:
        part = waiting.popleft()
        if id(part) in known:
            continue
        known[id(part)] = part
        if isinstance(part, nn.Module):
            networks.append(part)
        else:
            waiting += _parts(part)
    return networks


def _parts(thing: Any) -> list[Any]:
    """Return what a function, a collection or an object holds; of modules, classes and arrays
    nothing, for they hold no network.
    """
    if isinstance(thing, types.MethodType):
        return [thing.__self__]
    if isinstance(thing, functools.partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    if inspect.isfunction(thing):
        return [
            *around(thing).values(),
            *(thing.__defaults__ or ()),
            *(thing.__kwdefaults__ or {}).values(),
        ]
    if isinstance(thing, Mapping):
        return [*thing.values()]
    if isinstance(thing, list | tuple | set):
        return [*thing][:_MOST_PARTS]
    if isinstance(thing, type | types.ModuleType | Tensor | np.ndarray):
        return []
    slots = [
        getattr(thing, name, None)
        for cls in type(thing).__mro__
        for name in getattr(cls, "__slots__", ())
    ]
    return [*getattr(thing, "__dict__", {}).values(), *slots]


@contextlib.contextmanager
def _evaluating(networks: list[nn.Module]) -> Iterator[None]:
    """Put networks into evaluation mode, and each of their parts back into the mode that it had."""
    modes = [(part, part.training) for network in networks for part in network.modules()]
    for network in networks:
        network.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def _means(output: Any, n: int) -> Tensor:
    """Return the means (n, z) that are in what a model returned for n observations, on the CPU, in
    float32 or more.
    """
    means = _mean_of(output)
    if means is None or means.ndim != 2 or len(means) != n:
        got = f"a {type(output).__name__}" + (
            "" if means is None else f" with an array of shape {tuple(means.shape)}"
        )
        raise ValueError(
            f"encode(x) must return the means of {n} observations as an array of shape ({n}, latents), by itself, as the first of a tuple, "
            f"as `embedding`, or as a torch Distribution, but it returned {got}."
        )
    means = means.detach().cpu()
    return means.float() if means.is_floating_point() and means.element_size() < 4 else means


def _mean_of(output: Any) -> Tensor | None:
    """Return the array of means in what a model returned, or None if there is none."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Distribution):
        # Some distributions say of no mean of their own.
        return getattr(output, "mean", None) if type(output).mean is not Distribution.mean else None
    if isinstance(output, Mapping):
        return _mean_of(output.get("embedding"))
    if hasattr(output, "embedding"):
        return _mean_of(output.embedding)
    if (
        isinstance(output, tuple | list)
        and output
        and not isinstance(output[0], int | float | list)
    ):
        return _mean_of(output[0])
    # numpy's own arrays, those of other packages that numpy can read, and lists of numbers
    array = np.asarray(output)
    return torch.as_tensor(array) if array.dtype.kind in "fiub" and array.ndim else None
