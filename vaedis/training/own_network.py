"""Check a custom network, before training and in each step."""

from __future__ import annotations

import collections
import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from vaedis._support.text import plain
from vaedis.losses import Loss
from vaedis.spec import RunSpec

# largest difference between two computations of an output, as a share of the largest number
_ROUNDING = 1e-3


def about(part: Any) -> str:
    """Return type, shape and device of a tensor as text, and the name of another thing's type."""
    if isinstance(part, type):
        return f"the class {part.__name__}"
    if isinstance(part, Tensor):
        layout = "" if part.layout == torch.strided else f" {part.layout}"
        return f"{part.dtype}{layout} of shape {tuple(part.shape)} on {part.device}"
    return f"a {type(part).__name__}"


def copied(network: Any) -> Any:
    """Return a copy of a network, or raise a ValueError.

    Tensors that it computed and stored, as `self.mean = mean` does, are copied without gradient.
    """
    try:
        return copy.deepcopy(network, _computed(network))
    except Exception as error:  # the user's code may raise anything
        raise ValueError(
            "model must be one that can be copied, for instance one that was not called yet, or "
            "that uses nn.utils.parametrizations and not nn.utils.weight_norm: "
            f"{plain(str(error), 100)}"
        ) from error


def _computed(network: nn.Module) -> dict[int, Tensor]:
    """Return copies of computed tensors, by their id: deepcopy refuses to copy these."""
    held = tensors_in([vars(module) for module in network.modules()])
    return {id(one): one.detach().clone() for one in held if not one.is_leaf}


def tensors_in(values: Any) -> list[Tensor]:
    """Return the tensors in lists, tuples and dicts, however deep."""
    tensors = []
    opened = set()
    left = collections.deque([values])
    while left:
        value = left.popleft()
        if isinstance(value, Tensor):
            tensors.append(value)
        elif isinstance(value, list | tuple | dict) and id(value) not in opened:
            opened.add(id(value))  # a list may contain itself
            left.extend(value.values() if isinstance(value, dict) else value)
    return tensors


def check_module(network: Any) -> None:
    """Raise a TypeError or ValueError unless a network can be called and trained."""
    methods = [getattr(network, name, None) for name in ("encode", "decode")]
    if not isinstance(network, nn.Module) or not all(map(callable, methods)):
        raise TypeError(
            "model must be a torch.nn.Module with encode(x), which returns mean and log-variance, "
            f"and decode(z), not {about(network)}; a name goes as in RunSpec(model='mlp')."
        )
    if not any(weight.requires_grad for weight in network.parameters()):
        raise ValueError("model has no parameters to train.")
    for name, weight in network.named_parameters():
        if weight.dtype != torch.float32:
            raise ValueError(
                f"the weights of model must be float32, but {name} is {weight.dtype}; "
                "say model.float()."
            )


def check_network(network: Any, x: Tensor, latents: int, loss: Loss) -> None:
    """Raise a ValueError unless a network in evaluation mode encodes and decodes images `x`."""
    before = x.clone()
    posterior = _ask("encode", network.encode, x)
    check_input_unchanged(x, before)
    pair = _pair(posterior)
    returned = [about(part) for part in pair]
    expected = about(x.new_empty(len(x), latents))
    if returned != [expected] * 2:
        raise ValueError(
            f"model.encode must return (mean, logvar) of images with latents={latents}, each "
            f"{expected}, but it returned {' and '.join(returned)}."
        )

    def decoded(z: Tensor) -> Tensor:
        return loss.output(network.decode(z))

    output = _ask("decode", decoded, pair[0].clone())
    if about(output) != about(x):
        raise ValueError(
            f"model.decode must return images, {about(x)}, but it returned {about(output)}."
        )
    for name, tensor in (("encode", torch.cat(pair)), ("decode", output)):
        if not bool(tensor.isfinite().all()):
            raise ValueError(f"model.{name} must return finite numbers before it is trained.")
    for k in range(len(x)):
        one = _pair(_ask("encode", network.encode, x[k : k + 1].clone()))
        for part, of_one in zip(pair, one, strict=False):
            _need_alike("encode", part[k : k + 1], of_one)
        _need_alike(
            "decode", output[k : k + 1], _ask("decode", decoded, pair[0][k : k + 1].clone())
        )


def _need_alike(name: str, among_others: Tensor, alone: Tensor) -> None:
    """Raise a ValueError unless an image has the same output alone and in a batch."""
    if about(alone) != about(among_others):
        raise ValueError(
            f"model.{name} must return {about(among_others)} for one image, but it returned "
            f"{about(alone)}."
        )
    gap = (alone - among_others).abs().max()
    if not bool(gap <= _ROUNDING * among_others.abs().max()):
        raise ValueError(
            f"model.{name} must return the same for an image each time and whatever images are "
            "beside it; in evaluation mode let it draw no samples and use no statistics of the "
            "batch, as with track_running_stats=False."
        )


def check_last_batch(network: Any, x: Tensor, n_images: int, spec: RunSpec) -> None:
    """Raise a ValueError if training has a batch of one image and the network refuses it."""
    batch = min(spec.batch, n_images)
    # the last batch of an epoch, if training is that long
    last = n_images % batch if spec.steps > n_images // batch else 0
    if 1 not in (batch, last):
        return
    copy_in_training = copied(network)
    with torch.no_grad():
        try:
            # if two images fail too, training itself raises the error
            copy_in_training.decode(copy_in_training.encode(x.clone())[0])
        except Exception:
            return
        try:
            copy_in_training.decode(copy_in_training.encode(x[:1].clone())[0])
        except Exception as error:  # the user's code may raise anything
            reason = plain(str(error), 200).rstrip(".")
            raise ValueError(
                f"batch={spec.batch} of {n_images:,} images comes to a batch of one image, which "
                f"model does not take in training: {reason}; choose another batch."
            ) from error


def check_input_unchanged(x: Tensor, before: Tensor, who: str = "model.encode") -> None:
    """Raise a ValueError if a network wrote into its images, which are the targets too."""
    if not torch.equal(x.nan_to_num(), before.nan_to_num()):
        raise ValueError(
            f"{who} must not write into its images, which are also what is to be "
            "reconstructed; use x * 0.5 instead of x.mul_(0.5), and no inplace=True on them."
        )


class CheckedNetwork:
    """A network in training that must return the same as in evaluation mode: types and shapes."""

    def __init__(self, network: Any, loss: Loss):
        self.network = network
        self.loss = loss
        self.x = self.noise = torch.zeros(0)

    def of(self, x: Tensor, noise: Tensor) -> CheckedNetwork:
        """Return the network for a step on images `x`, whose latents have the shape of `noise`."""
        self.x, self.noise = x, noise
        return self

    def encode(self, x: Tensor) -> Any:
        """Return what the network returns, if it is mean and log-variance like the noise."""
        posterior = self.network.encode(x)
        _need_same("encode", _pair(posterior), [self.noise] * 2)
        return posterior

    def decode(self, z: Tensor) -> Any:
        """Return what the network returns, if it has a gradient and becomes images."""
        output = self.network.decode(z)
        shown = _ask("decode", lambda _: self.loss.output(output), z)
        _need_same("decode", (shown,), [self.x])
        if not shown.requires_grad:
            raise ValueError(
                "model.decode must return a tensor with a gradient in training; compute with torch "
                "alone, without detach and no_grad."
            )
        return output


def _pair(posterior: Any) -> tuple[Any, ...]:
    return posterior if isinstance(posterior, tuple) else (posterior,)


def _need_same(name: str, parts: tuple[Any, ...], like: list[Tensor]) -> None:
    """Raise a ValueError if a network in training returned other types or shapes."""
    returned, expected = ([about(part) for part in both] for both in (parts, like))
    if returned != expected:
        raise ValueError(
            f"model.{name} must return the same types and shapes in training as in evaluation "
            f"mode, but returned {', '.join(returned)} in place of {', '.join(expected)}."
        )


def _ask(name: str, method: Callable[[Tensor], Any], x: Tensor) -> Any:
    try:
        return method(x)
    except Exception as error:  # the user's code may raise anything
        raise ValueError(f"model.{name} does not take {about(x)}: {error}") from error
