"""The posterior means that a model returns for observations, in whichever form it returns them."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

_CPU_BATCH = 256
_CUDA_BATCH = 4096
# By how much the code of an image may depend on the images beside it, as a share of the latent's
# largest code: rounding in half precision.
_ROUNDING = 1e-2
# And in float32, as a share of the largest of all: a latent may be what is left of larger numbers.
_ROUNDING_OF_ALL = 2e-6


def encoder(model: Any, data: Any, normalize: bool | None = None) -> Callable[[Tensor], Tensor]:
    """Return a function from observation indices (n,) to posterior means (n, z) on the CPU.

    The model gets images that are normalized or not, by default as `fit` trained it. Repeated
    indices are encoded once: the code of an image must depend on it alone.
    """
    if hasattr(model, "scores") and hasattr(model, "posterior"):
        raise TypeError(
            "model must be a network or a function of observations, not a Run: use run.scores(), "
            "or pass run.model."
        )
    # Text has a method `encode`, and a path is easily mistaken for a model.
    encode = model if isinstance(model, str) else getattr(model, "encode", model)
    if not callable(encode):
        raise TypeError(
            "model must have encode(x) or be a function of observations, but it is a "
            f"{type(model).__name__}: pass a network, or score codes that you have with their "
            "labels, as in vaedis.metrics.mig(codes, factors)."
        )
    trained = model.__self__ if isinstance(model, types.MethodType) else model
    network = trained if isinstance(trained, nn.Module) else nn.Module()
    tensors = (*network.parameters(), *network.buffers())
    example = next((tensor for tensor in tensors if tensor.is_floating_point()), None)
    devices = [example.device] if example is not None and example.is_cuda else []
    batch = _CUDA_BATCH if devices else _CPU_BATCH
    is_half = example is not None and example.dtype.itemsize < 4
    # How `fit` says of a network of its own, or of yours, that it was trained on images in [0, 1].
    if normalize is None:
        normalize = getattr(trained, "_vaedis_normalize", True) is not False
    options = {} if normalize else {"normalize": False}

    def means_of(x: Any, n: int) -> Tensor:
        means = _means(encode(x if example is None else x.to(example)), n)
        nonlocal is_half
        is_half = is_half or means.dtype.itemsize < 4
        return means.float() if means.dtype.itemsize < 4 else means

    def encode_all(index: Tensor) -> Tensor:
        distinct, position = torch.unique(torch.as_tensor(index), return_inverse=True)
        first, *rest = distinct.split(batch)
        x = data.observations(first, **options)
        half = 0 if _is_known(trained) else len(first) // 2
        # the last ones, as these are then in other places of the batch; a copy, since a model may
        # write into its images
        last = x[np.arange(-half, 0)]
        with _evaluating(network), torch.no_grad():
            means = [means_of(x, len(first))]
            # before the rest: a network in training mode changes its statistics with each batch
            if half:
                with torch.random.fork_rng(devices):
                    again = means_of(last, half)
                of_all = _ROUNDING if is_half else _ROUNDING_OF_ALL
                _need_alike(means[0][-half:], again, of_all, is_network=network is trained)
            means += [means_of(data.observations(part, **options), len(part)) for part in rest]
        return torch.cat(means)[position]

    return encode_all


def _is_known(model: Any) -> bool:
    """Return whether a model is a network of vaedis, which needs no check.

    Evaluated, it neither samples nor compares images, unless it has layers of someone else.
    """
    is_ours = type(model).__module__ == "vaedis.training.model"
    return is_ours and all(
        type(part).__module__.startswith(("torch.nn.", "vaedis.")) for part in model.modules()
    )


def _need_alike(means: Tensor, again: Tensor, of_all: float, *, is_network: bool) -> None:
    """Raise a ValueError unless images have the same codes beside other images."""
    sizes = means.abs()
    allowed = torch.maximum(_ROUNDING * sizes.amax(0), of_all * sizes.max())
    if ((means - again).abs() > allowed).any():
        remedy = (
            "return means, not samples, and use no statistics of the batch in evaluation mode."
            if is_network
            else "call eval() on its network, and return means, not samples."
        )
        raise ValueError(
            "the code of an image must follow from that image alone, but model gives it another "
            f"one beside other images, or when asked again: {remedy}"
        )


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode, and each part back into its own mode afterwards."""
    modes = [(part, part.training) for part in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def _means(output: Any, n: int) -> Tensor:
    """Return the means (n, z) in a model's output for n observations, on the CPU."""
    means = output
    if isinstance(means, tuple | list) and len(means):
        means = means[0]
    means = means.get("embedding") if isinstance(means, Mapping) else means
    means = getattr(means, "embedding", means)
    # Some distributions define no mean of their own.
    if isinstance(means, Distribution) and type(means).mean is not Distribution.mean:
        means = means.mean
    if isinstance(means, np.ndarray):
        means = torch.from_numpy(means)
    if not isinstance(means, Tensor) or means.ndim != 2 or len(means) != n or not means.numel():
        shape = f" with an array of shape {tuple(means.shape)}" if hasattr(means, "shape") else ""
        raise ValueError(
            f"encode(x) must return the means of {n} observations as an array of shape "
            f"({n}, latents), by itself, as the first of a tuple, as `embedding`, or as a torch "
            f"Distribution, but it returned a {type(output).__name__}{shape}."
        )
    return means.detach().cpu()
