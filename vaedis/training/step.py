"""One optimiser step of one network, in the form that is fastest on its device.

On a CPU a batch goes through the network in parts; on a GPU a step is captured as a graph.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from vaedis import _check
from vaedis._support import arithmetic as _arithmetic
from vaedis.losses import Loss
from vaedis.spec import RunSpec
from vaedis.training import objectives
from vaedis.training.batches import BatchSampler, seeded
from vaedis.training.custom import (
    Custom,
    check_first,
    check_gradients,
    check_no_gradients,
    checked_terms,
)
from vaedis.training.optimizers import adam, checked, set_rate
from vaedis.training.own_network import CheckedNetwork, check_input_unchanged
from vaedis.training.precision import Bfloat16
from vaedis.training.run import Run
from vaedis.training.stateless import gradients_of, need_untouched

PRECISIONS = ("auto", "float32", "tf32", "bf16")

# Images that go through the network at once on a CPU. The activations of 64 nearly fit its cache;
# above all no tensor reaches 32 MiB, from where on the allocator asks the system for fresh pages in
# every step, all to be zeroed. In bfloat16 twice as many take the same room.
_PART = {"float32": 64, "bf16": 128}
_WARM_UP = 3

Function = Callable[..., Any]
Arguments = tuple[Any, ...]


def resolve_precision(precision: str, device: torch.device, model: str = "conv") -> str:
    """Return "float32", "tf32" or "bf16"; "auto" is the fastest that a device is good at."""
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
    """Return whether this CPU has instructions for bfloat16, and torch knows it."""
    # torch has private functions only; where one is missing, float32 is never wrong
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    questions = [getattr(torch.cpu, name, None) for name in names]
    return any(bool(question()) for question in questions if question is not None)


def on_device(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Make a GPU the current one, whose streams and graphs torch uses by default."""
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Train the same in a program that turned gradients off, autocast on, or changed the device."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        # only where it is needed, since it slows down every call of torch
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield


def arithmetic(precision: str) -> contextlib.AbstractContextManager[None]:
    """Set how a GPU multiplies, with cuDNN's repeatable convolutions, while the block runs."""
    mode = "ieee" if precision == "float32" else "tf32"
    return _arithmetic.override(conv=mode, matmul=mode, deterministic=True)


class NetworkStep:
    """Takes the optimiser steps of one run; nothing in them waits for the device."""

    def __init__(self, run: Run, custom: Custom | None = None):
        self.run = run
        self.spec = run.spec
        self.custom = custom or Custom()
        on_gpu = run.data.device.type == "cuda"
        # a CUDA graph may be unable to hold custom parts
        captured = on_gpu and not self.custom.whole_batches and self.custom.optimizer is None
        # a custom optimizer has its own learning rate
        self._scheduled = self.custom.lr is not None or run.spec.lr_schedule != "constant"
        self.optimizer: torch.optim.Optimizer
        if self.custom.optimizer is None:
            lr: Any = run.spec.lr
            if captured and self._scheduled:  # a graph reads it where it lies
                lr = torch.tensor(lr, dtype=torch.float32, device=run.data.device)
            self.optimizer = adam(run.model.parameters(), lr=lr, capturable=on_gpu)
        else:
            self.optimizer = checked(
                self.custom.optimizer, list(run.model.parameters()), scheduled=self._scheduled
            )
        self.sampler = BatchSampler(run.spec, run.data)
        in_bfloat16 = run.precision == "bf16"
        self._network = Bfloat16(run.model) if in_bfloat16 else run.model
        self._checked = CheckedNetwork(self._network, run.loss)
        self._parameters = list(run.model.parameters())
        # a pair must not be split
        self._images_per_draw = 2 if run.spec.framework == "ada-gvae" else 1
        self._part = _PART["bf16" if in_bfloat16 else "float32"]
        self._part = max(1, self._part * 64 * 64 // math.prod(run.data.shape[:2]))
        # in float32 one part after the other, each on all cores, is as fast and takes less memory
        self._threads = _Threads(torch.get_num_threads() if in_bfloat16 and not on_gpu else 1)
        self._graph = None
        if captured:
            length = min(run.spec.batch, len(run.data)) * self._images_per_draw
            self._graph = _Graph(self._whole, length)

    def weights(self) -> dict[str, Tensor]:
        """Return all weights by their names in a checkpoint."""
        tensors = (*self.run.model.named_parameters(), *self.run.model.named_buffers())
        return {f"model.{name}": tensor for name, tensor in tensors}

    def members(self) -> list[tuple[str, dict[str, Tensor], BatchSampler]]:
        """Return prefix in a checkpoint, weights and sampler of the one member."""
        return [("", dict(self.run.model.named_parameters()), self.sampler)]

    def train_only(self, members: list[int]) -> None:
        """Do nothing: training of a single network ends when it fails."""

    def write_back(self) -> None:
        """Do nothing: the network itself is trained."""

    def __call__(self, step: int) -> Tensor:
        """Take a step, counted from 0: loss, reconstruction loss and KL before it, (1, 3)."""
        index = self.sampler.index()
        noise = self.sampler.noise(len(index))
        beta = self.custom.beta_at(self.spec, step)
        if self._scheduled:
            set_rate(self.optimizer.param_groups, self.custom.lr_at(self.spec, step))
        if self._graph is not None:
            return self._graph(self._observe(index), noise, noise.new_full((), beta))[None]
        try:
            if self.custom.whole_batches:
                with seeded(self.spec.seed, f"own {step}", self.run.data.device):
                    return self._whole(self._observe(index), noise, beta, first=step == 0)[None]
            return self._in_parts(index, noise, beta)[None]
        except Exception as problem:
            # the user's code may refuse NaN
            if step > 0 and self._has_diverged(index, noise):
                return torch.full((1, 3), math.nan, device=noise.device)
            problem.add_note(f"In step {step + 1} of {self.spec.steps}, of {len(index)} images.")
            raise

    @torch.no_grad()
    def _has_diverged(self, index: Tensor, noise: Tensor) -> bool:
        """Return whether weights or outputs of the network are NaN or infinite."""
        if not all(bool(weight.isfinite().all()) for weight in self._parameters):
            return True
        with contextlib.suppress(Exception):
            mean, logvar = self.run.model.encode(self._observe(index))
            z = objectives.reparameterise(mean, logvar, noise)
            output = self.run.loss.output(self.run.model.decode(z))
            return not all(bool(one.isfinite().all()) for one in (mean, logvar, z, output))
        return False

    def _observe(self, index: Tensor) -> Tensor:
        # convolutions are faster with channels last, on CPUs and on tensor cores alike; other
        # networks may rely on the usual order
        return self.run.data._observations(
            index, self.run.normalize, channels_last=self.custom.model is None
        )

    def _in_parts(self, index: Tensor, noise: Tensor, beta: float) -> Tensor:
        """Take a step whose gradients are sums over parts of the batch, which fit the cache."""
        # a perceptron has few activations, and many weights whose gradients must be added up
        n_parts = math.ceil(len(index) / self._part) if self.spec.model == "conv" else 1
        columns = torch.arange(len(index)).view(self._images_per_draw, -1)
        parts = [part.flatten() for part in columns.tensor_split(n_parts, dim=1)]
        # one thread makes the images: not all data sets are safe with several
        arguments = (
            (self._observe(index[part]), noise[part], beta, len(part) / len(index))
            for part in parts
        )
        results = self._threads.map(self._gradients, arguments, n_parts)
        total, gradients = next(results)
        # added in their order, so that the sum does not depend on which thread was first
        for terms, more in results:
            total += terms
            torch._foreach_add_(gradients, more)
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient
        self.optimizer.step()
        return total

    def _gradients(
        self, x: Tensor, noise: Tensor, beta: float, share: float
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the terms of a part of the batch and its gradients, times its share."""
        terms = objective(self.spec, self._network, x, noise, self.run.loss, beta)
        gradients = torch.autograd.grad(terms.loss * share, self._parameters)
        return torch.stack(terms).detach() * share, list(gradients)

    def _whole(
        self, x: Tensor, noise: Tensor, beta: float | Tensor, *, first: bool = False
    ) -> Tensor:
        """Take a step on a whole batch."""
        self.optimizer.zero_grad(set_to_none=True)
        untouched = gradients_of(self.custom.model) if first else []
        before = x.clone() if first else x
        if self.custom.objective is None:
            network = self._checked.of(x, noise) if self.custom.whole_batches else self._network
            terms = objective(self.spec, network, x, noise, self.run.loss, beta)
        else:
            terms = checked_terms(
                self.custom.objective(self._network, x, noise, loss=self.run.loss, beta=beta)
            )
            check_no_gradients(self.optimizer)
        if first:
            by_own = self.custom.objective is not None
            who = "objective, and the network that it calls," if by_own else "model.encode"
            check_input_unchanged(x, before, who)
        terms.loss.backward()
        if first:
            need_untouched(self.custom.model, untouched)
        if self.custom.objective is not None:
            check_gradients(self._parameters)
            if first:
                check_first(terms)
        self.optimizer.step()
        return torch.stack(terms).detach()


def objective(
    spec: RunSpec, network: Any, x: Tensor, noise: Tensor, loss: Loss, beta: float | Tensor
) -> objectives.Terms:
    """Return the loss of a batch and its parts, by the framework that `spec` names."""
    if spec.framework == "beta-vae":
        return objectives.beta_vae(network, x, noise, loss=loss, beta=beta)
    return objectives.ada_gvae(network, x, noise, loss=loss, beta=beta, average=spec.average)


class _Threads:
    """A pool of `size` threads that share torch's threads; it starts only if two have work.

    What a step does between convolutions uses one core; other parts keep the other cores busy.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.pool: ThreadPoolExecutor | None = None

    def map(self, function: Function, arguments: Iterable[Arguments], length: int) -> Iterator[Any]:
        """Return the results of `function` in order; this thread makes the `length` arguments."""
        if min(length, self.size) < 2:
            return itertools.starmap(function, arguments)
        if self.pool is None:
            self.pool = self._start(min(length, self.size))
        return self.pool.map(lambda one: function(*one), arguments)

    def _start(self, n_threads: int) -> ThreadPoolExecutor:
        def initialize() -> None:
            torch.get_num_threads()  # a thread's first call sets its number to the process's
            torch.set_num_threads(self.size // n_threads)

        pool = ThreadPoolExecutor(n_threads, initializer=initialize)
        all_started = threading.Barrier(n_threads + 1)
        for _ in range(n_threads):
            pool.submit(all_started.wait)
        all_started.wait()
        # each thread has its own number, but new threads get the number that was set last
        torch.set_num_threads(self.size)
        return pool


class _Graph:
    """A step that is captured as a CUDA graph and replayed, as one launch instead of a hundred.

    The first steps, and the last of an epoch if its batch is shorter, are taken launch by launch.
    """

    def __init__(self, step: Callable[[Tensor, Tensor, Tensor], Tensor], length: int):
        self.step = step
        self.length = length
        self.steps_taken = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.stream = torch.cuda.Stream()

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Take the step on images, noise and beta."""
        if self.steps_taken < _WARM_UP:
            return self._warm_up(*inputs)
        if len(inputs[0]) != self.length:
            return self.step(*inputs)
        if self.graph is None:
            self.graph = self._capture(*inputs)
        for static, new in zip(self.inputs, inputs, strict=True):
            static.copy_(new)
        self.graph.replay()
        return self.terms

    def _warm_up(self, *inputs: Tensor) -> Tensor:
        # libraries set themselves up at their first call, which must not happen during capture
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            terms = self.step(*inputs)
        torch.cuda.current_stream().wait_stream(self.stream)
        for tensor in (*inputs, terms):
            tensor.record_stream(self.stream)
        self.steps_taken += 1
        return terms

    def _capture(self, *inputs: Tensor) -> torch.cuda.CUDAGraph:
        self.inputs = [tensor.clone() for tensor in inputs]
        graph = torch.cuda.CUDAGraph()
        # the default would be a stream of whichever device came first in this process
        with torch.cuda.graph(graph, stream=self.stream):
            self.terms = self.step(*self.inputs)
        return graph
