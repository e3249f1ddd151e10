"""One optimiser step, in the form that is fastest on its device: a batch in parts on a CPU, a
captured graph on a GPU.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import platform
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from vaedis import _check
from vaedis._support import arithmetic as _arithmetic
from vaedis.data import FactorData
from vaedis.losses import Loss
from vaedis.spec import RunSpec
from vaedis.training import objectives
from vaedis.training.model import VAE

PRECISIONS = ("auto", "float32", "tf32", "bf16")

# Images that go through the network at once on a CPU. The activations of 64 fit the cache of a CPU,
# or nearly so; above all no tensor is as large as 32 MiB, from where on the allocator asks the
# system for fresh pages, all to be zeroed, in every step. In bfloat16 twice as many take the same
# room.
_PART = {"float32": 64, "bf16": 128}
_WARM_UP = 3
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of glibc's malloc.h


def resolve_precision(precision: str, device: torch.device, model: str = "conv") -> str:
    """Return "float32", "tf32" or "bf16".

    "auto" is "tf32" on a GPU; on a CPU it is "bf16" for convolutions if the CPU has instructions
    for it, and "float32" otherwise. Without those instructions bfloat16 is emulated, far slower
    than float32; and a small perceptron gains nothing.

    Raises
    ------
    ValueError
        If there is no such precision, or the device does not have it.
    """
    _check.one_of("precision", precision, PRECISIONS)
    if precision == "auto":
        if device.type == "cuda":
            return "tf32"
        return "bf16" if model == "conv" and cpu_has_bf16() else "float32"
    if precision == "tf32" and device.type != "cuda":
        raise ValueError(
            "precision='tf32' needs an NVIDIA GPU; use 'auto', 'float32' or 'bf16' on a CPU."
        )
    return precision


def cpu_has_bf16() -> bool:
    """Return whether this CPU multiplies bfloat16 numbers by instructions of its own, and torch
    knows it.
    """
    # torch says so in private functions only; where one is missing, float32 is the answer that is
    # never wrong
    asked = (
        getattr(torch.cpu, name, None)
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )
    return any(bool(ask()) for ask in asked if ask is not None)


def keep_memory() -> None:
    """Let the allocator of this process keep the memory that a step gives back, up to 256 MiB, for the
    next step to use.

    glibc's gives the end of its heap back to the system as soon as some megabytes lie free there,
    which a step with activations of that size does again and again; every page of it must then be
    zeroed anew, for up to a third of the time. Heaps of other threads do so more often still, so
    that all threads share one. The settings are the process's, so that only programs of the
    package's own ask for this, and no function of its library. Other allocators are left alone.
    """
    mallopt = (
        getattr(ctypes.CDLL(None), "mallopt", None) if platform.libc_ver()[0] == "glibc" else None
    )
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the most that it takes
        mallopt(_M_TRIM_THRESHOLD, 256 << 20)
        mallopt(_M_ARENA_MAX, 1)


def on_device(place: torch.device) -> contextlib.AbstractContextManager:
    """Make a GPU the current one, whose streams and graphs are meant when none is named; nothing on
    a CPU.
    """
    return torch.cuda.device(place) if place.type == "cuda" else contextlib.nullcontext()


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Train the same whatever surrounds the call: no gradients, autocast, or another default
    device.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        if (
            torch.get_default_device().type != "cpu"
        ):  # entered only where it is needed, since it takes time in every call of torch
            stack.enter_context(torch.device("cpu"))
        yield


def arithmetic(precision: str) -> contextlib.AbstractContextManager[None]:
    """Set how a GPU multiplies, and keep to cuDNN's repeatable convolutions; put back what was set
    before.

    The other convolutions add up in an order that changes from run to run, and gain a fifth at
    most.
    """
    wanted = "ieee" if precision == "float32" else "tf32"
    return _arithmetic.held(conv=wanted, matmul=wanted, deterministic=True)


def adam(network: VAE, spec: RunSpec) -> torch.optim.Adam:
    """Return the optimiser of a run: one pass over all weights a step."""
    place = next(network.parameters()).device
    return torch.optim.Adam(
        network.parameters(), lr=spec.lr, fused=True, capturable=place.type == "cuda"
    )


class Step:
    """Take optimiser steps; nothing in them waits for the device.

    Parameters
    ----------
    spec : RunSpec
    network : VAE
        Changed by each step.
    optimiser : torch.optim.Optimizer
    data : FactorData
    loss : Loss
    normalize : bool
        Whether the network sees normalized images.
    precision : {"float32", "tf32", "bf16"}
    """

    def __init__(
        self,
        spec: RunSpec,
        network: VAE,
        optimiser: torch.optim.Optimizer,
        data: FactorData,
        loss: Loss,
        *,
        normalize: bool,
        precision: str,
    ):
        self.spec, self.optimiser, self.data, self.loss, self.normalize = (
            spec,
            optimiser,
            data,
            loss,
            normalize,
        )
        self.part = _PART["bf16" if precision == "bf16" else "float32"]
        self.network = _Half(network) if precision == "bf16" else network
        self.weights = list(network.parameters())
        # in float32 one part after the other, each on all cores, is as fast, and takes less memory
        self.side_by_side = (
            _SideBySide() if precision == "bf16" and data.device.type == "cpu" else None
        )
        # a pair must not be torn apart
        self._pairs = 2 if spec.framework == "ada-gvae" else 1
        self._graph: _Graph | None = None
        if data.device.type == "cuda":
            self._graph = _Graph(self._whole, min(spec.batch, len(data)) * self._pairs)

    def __call__(self, index: Tensor, noise: Tensor, beta: float | None = None) -> Tensor:
        """Take one step.

        Parameters
        ----------
        index : Tensor of int64, shape (B,) or (2 * B,)
            As `Draws.index` gives it.
        noise : Tensor of float32, shape (len(index), z)
        beta : float, optional
            By default that of `spec` after its warm-up.

        Returns
        -------
        Tensor of float32, shape (3,)
            Loss, reconstruction loss and KL divergence before the step.
        """
        beta = self.spec.beta if beta is None else beta
        if self._graph is not None:
            return self._graph(self._observe(index), noise, noise.new_full((), beta))
        return self._in_parts(index, noise, beta)

    def _observe(self, index: Tensor) -> Tensor:
        # convolutions are faster with channels last, on CPUs and on tensor cores alike
        return self.data._observations(index, self.normalize, channels_last=True)

    def _in_parts(self, index: Tensor, noise: Tensor, beta: float) -> Tensor:
        """A step whose gradients are added up over parts of the batch: the same but for rounding,
        and kinder to the cache.
        """
        # the activations of a perceptron are few, and its weights, whose gradients must be added
        # up, many
        parts = math.ceil(len(index) / self.part) if self.spec.model == "conv" else 1
        columns = torch.arange(len(index)).view(self._pairs, -1).tensor_split(parts, dim=1)
        # images are read by one thread: not all data are safe with several
        work = (
            (self._observe(index[part]), noise[part], beta, len(part) / len(index))
            for part in (c.flatten() for c in columns)
        )
        done = (
            self.side_by_side(self._gradients, work, parts)
            if self.side_by_side
            else (self._gradients(*one) for one in work)
        )
        total, gradients = next(done)
        for terms, more in done:  # in their order, so that the sum does not depend on who was first
            total += terms
            torch._foreach_add_(gradients, more)
        for weight, gradient in zip(self.weights, gradients, strict=True):
            weight.grad = gradient
        self.optimiser.step()
        return total

    def _gradients(
        self, x: Tensor, noise: Tensor, beta: float, share: float
    ) -> tuple[Tensor, list[Tensor]]:
        """The terms of a part of the batch, and the gradient of its loss with respect to each
        weight, times its share.
        """
        terms = objective(self.spec, self.network, x, noise, self.loss, beta)
        gradients = torch.autograd.grad(terms.loss * share, self.weights)
        return torch.stack(terms).detach() * share, list(gradients)

    def _whole(self, x: Tensor, noise: Tensor, beta: Tensor) -> Tensor:
        self.optimiser.zero_grad(set_to_none=True)
        terms = objective(self.spec, self.network, x, noise, self.loss, beta)
        terms.loss.backward()
        self.optimiser.step()
        return torch.stack(terms).detach()


def objective(
    spec: RunSpec, network, x: Tensor, noise: Tensor, loss: Loss, beta: float | Tensor | None = None
) -> objectives.Terms:
    """Return the loss of a batch and its parts, by the framework that `spec` names; with its beta,
    unless another is given.
    """
    beta = spec.beta if beta is None else beta
    if spec.framework == "beta-vae":
        return objectives.beta_vae(network, x, noise, loss=loss, beta=beta)
    return objectives.ada_gvae(network, x, noise, loss=loss, beta=beta, average=spec.average)


class _Half:
    """A network that computes in bfloat16; its weights, and what it gives to the loss, are float32."""

    def __init__(self, network: VAE):
        self.network = network

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(x.device.type, torch.bfloat16):
            mean, logvar = self.network.encode(x)
        return mean.float(), logvar.float()

    def decode(self, z: Tensor) -> Tensor:
        with torch.autocast(z.device.type, torch.bfloat16):
            x = self.network.decode(z)
        return x.float()


class _SideBySide:
    """Calls a function many times at once, in threads that share torch's among them.

    What a step does between convolutions keeps one core busy at a time; with several parts under
    way the others need not wait for it.
    """

    def __init__(self) -> None:
        self.pool: ThreadPoolExecutor | None = None
        self.threads = 0

    def __call__(self, function: Callable, arguments: Iterable[tuple], length: int) -> Iterator:
        """Return what `function` gives for each of `length` tuples of arguments, in their order;
        these are made by the calling thread.
        """
        threads = min(length, torch.get_num_threads())
        if threads < 2:
            return (function(*one) for one in arguments)
        if threads != self.threads:
            self._hire(threads)
        return self.pool.map(lambda one: function(*one), arguments)  # type: ignore[union-attr]

    def _hire(self, threads: int) -> None:
        all_of_them = torch.get_num_threads()

        def begin() -> None:
            torch.get_num_threads()  # a thread's first question sets its number to the process's
            torch.set_num_threads(all_of_them // threads)

        self.pool, self.threads = ThreadPoolExecutor(threads, initializer=begin), threads
        started = threading.Barrier(threads + 1)
        for _ in range(threads):
            self.pool.submit(started.wait)
        started.wait()
        # a number is its thread's own, but the last one set is also that of threads to come
        torch.set_num_threads(all_of_them)


class _Graph:
    """A step captured as a CUDA graph and replayed: one launch in place of about a hundred, each of
    which takes longer than its work.

    The first steps, and the last of an epoch if its batch is shorter, are taken one launch at a
    time.
    """

    def __init__(self, step: Callable[[Tensor, Tensor, Tensor], Tensor], length: int):
        self.step, self.length, self.taken = step, length, 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.stream = torch.cuda.Stream()

    def __call__(self, *given: Tensor) -> Tensor:
        """Take the step on images, noise and beta."""
        if self.taken < _WARM_UP:
            return self._warm_up(given)
        if len(given[0]) != self.length:
            return self.step(*given)
        if self.graph is None:
            self._capture(given)
        for kept, new in zip(self.given, given, strict=True):
            kept.copy_(new)
        self.graph.replay()  # type: ignore[union-attr]
        return self.terms

    def _warm_up(self, given: Sequence[Tensor]) -> Tensor:
        # libraries set themselves up at their first call, which must not happen while a graph is
        # captured
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            terms = self.step(*given)
        torch.cuda.current_stream().wait_stream(self.stream)
        for tensor in (*given, terms):
            tensor.record_stream(self.stream)
        self.taken += 1
        return terms

    def _capture(self, given: Sequence[Tensor]) -> None:
        self.given = [tensor.clone() for tensor in given]
        self.graph = torch.cuda.CUDAGraph()
        # by default it would be a stream of whichever device came first in this process
        with torch.cuda.graph(self.graph, stream=self.stream):
            self.terms = self.step(*self.given)
