"""Training in progress: losses so far, checkpoints, the progress line, and Ctrl-C."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import math
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vaedis import _check
from vaedis.training import optimizers
from vaedis.training.custom import Custom
from vaedis.training.objectives import Terms
from vaedis.training.population import PopulationStep
from vaedis.training.run import Run, TrainingFailed
from vaedis.training.step import NetworkStep

if TYPE_CHECKING:
    from vaedis.training.checkpoint import Checkpoints
    from vaedis.training.rehearsal import InMemory

# the authors' runs ended when the loss passed this
_LARGEST_LOSS = 1e20
# number of steps for which room is reserved at first
_ROOM = 2**20


class Progress:
    """One run, or the members of a population if `stacked`, in training.

    `runs` have no history yet. If there is a checkpoint, training continues from it.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        custom: Custom,
        files: Checkpoints | InMemory | None,
        *,
        stacked: bool,
    ):
        self._step: NetworkStep | PopulationStep = (
            PopulationStep(runs) if stacked else NetworkStep(runs[0], custom)
        )
        self._stacked = stacked
        self._custom = custom
        self.runs = runs
        self.last_step = runs[0].spec.steps
        self.steps_taken = 0
        self.seconds = 0.0
        # indices of the members that still train
        self.training = list(range(len(runs)))
        self._files = files
        self._failures: dict[int, TrainingFailed] = {}
        # room for the first steps; `_make_room` adds more
        n_steps = min(self.last_step, _ROOM)
        self._losses = torch.zeros(
            len(runs), n_steps, 3, dtype=torch.float32, device=runs[0].data.device
        )
        self._checked = 0
        # mean over the members that still train, at the last check
        self.last_loss: float | None = None
        self._own_state: optimizers.OwnState | None = None
        if files is not None and custom.optimizer is not None:
            self._own_state = optimizers.OwnState(self._step.optimizer)
        stored = None if files is None else files.load(self.state)
        if stored is not None:
            self._resume(*stored)

    def has_ended(self) -> bool:
        """Return whether all steps are taken, or no member trains any more."""
        return self.steps_taken == self.last_step or not self.training

    def take_step(self) -> None:
        """Take a step of all members."""
        self._make_room(self.steps_taken + 1)
        self._losses[:, self.steps_taken] = self._step(self.steps_taken)
        self.steps_taken += 1
        # what no checkpoint can hold is said now, not when the first is written
        if self._own_state is not None and self.steps_taken == 1:
            self._own_state.tensors()

    def _make_room(self, n_steps: int) -> None:
        """Let the history hold so many steps; memory need not hold all those that are planned."""
        room = self._losses.shape[1]
        if room < min(n_steps, self.last_step):
            more = min(max(n_steps, 2 * room), self.last_step) - room
            self._losses = torch.nn.functional.pad(self._losses, (0, 0, 0, more))

    def check_finite(self) -> None:
        """Wait for the device, and take out members with a loss or part that is not finite."""
        new = self._losses[:, self._checked : self.steps_taken].cpu()
        is_bad = ~new.isfinite()
        is_bad[..., 0] |= ~(new[..., 0].abs() < _LARGEST_LOSS)
        for k in list(self.training):
            if is_bad[k].any():
                # the loss before its parts, which are not finite in the same step
                row, term = is_bad[k].nonzero()[0].tolist()
                step = self._checked + row
                value = float(self._losses[k, step, term])
                last_finite = float(self._losses[k, step - 1, term]) if step else None
                self._failures[k] = TrainingFailed(
                    self.runs[k].spec, step + 1, value, last_finite, Terms._fields[term]
                )
                self.training.remove(k)
        self._step.train_only(self.training)
        if new.shape[1] and self.training:
            self.last_loss = float(new[self.training, -1, 0].mean())
        self._checked = self.steps_taken

    def call(self, callback: Callable[[int, Run], None]) -> None:
        """Call back with each run that trains on."""
        self._step.write_back()
        for k in self.training:
            run = self._run(k)
            frozen = [part for part in run.model.modules() if not part.training]
            run.model.eval()
            callback(self.steps_taken, run)
            run.model.train()
            for part in frozen:
                part.training = False

    def finished(self) -> list[Run]:
        """Return the runs with what was measured."""
        self._step.write_back()
        for k, run in enumerate(self.runs):
            run.model.eval()
            # no loss shows what the last step did
            is_whole = all(bool(weight.isfinite().all()) for weight in run.model.parameters())
            if k in self.training and not is_whole:
                self._failures[k] = TrainingFailed(
                    run.spec, self.steps_taken, math.nan, None, "weights"
                )
        return [self._run(k) for k in range(len(self.runs))]

    def _run(self, k: int) -> Run:
        """Return a run as it is now, up to its failure."""
        failure = self._failures.get(k)
        last = self.steps_taken if failure is None else failure.step
        terms = self._losses[k, :last].T.cpu().numpy().copy()
        return dataclasses.replace(
            self.runs[k],
            history=dict(zip(("loss", "recon", "kl"), terms, strict=True)),
            seconds=self.seconds / len(self.runs),
            steps_taken=self.steps_taken,
            failure=failure,
            made_with=tuple(self._files.made_with) if self._files else (),
        )

    def first_settings(self) -> str:
        """Return a fingerprint of the settings of a custom optimizer."""
        return "" if self._own_state is None else self._own_state.first_settings()

    def save(self) -> Path | None:
        """Write a checkpoint if they were asked for, and return its path."""
        if self._files is None:
            return None
        self._custom.check_unchanged(self.runs[0].spec)
        return self._files.save(self.steps_taken, self.state(self.steps_taken))

    def state(self, steps: int) -> dict[str, Tensor]:
        """Return all that the next step depends on, after so many, by names in a checkpoint."""
        self._make_room(steps)
        losses = self._losses[:, :steps]
        tensors = self._step.weights()
        if self._own_state is not None:
            tensors |= self._own_state.tensors()
        for prefix, weights, sampler in self._step.members():
            if self._own_state is None:
                for name, weight in weights.items():
                    for moment, tensor in self._step.optimizer.state[weight].items():
                        tensors[f"{prefix}adam.{name}.{moment}"] = tensor
            for stream, tensor in sampler.state().items():
                tensors[f"{prefix}draws.{stream}"] = tensor
        tensors["recorded"] = losses if self._stacked else losses[0]
        tensors["seconds"] = torch.tensor(self.seconds, dtype=torch.float64)
        return tensors

    @torch.no_grad()
    def _resume(self, steps: int, state: Mapping[str, Tensor]) -> None:
        for name, tensor in self.state(steps).items():
            if name.startswith(optimizers.OWN_STATE):
                continue
            # an expanded tensor, whose numbers share memory, cannot be written to
            is_expanded = 0 in tensor.stride() and tensor.numel() > 1
            if not (is_expanded and torch.equal(tensor.cpu(), state[name])):
                tensor.copy_(state[name])
        if self._own_state is not None:
            self._own_state.restore(state)
        for prefix, _, sampler in self._step.members():
            sampler.restore({name: state[f"{prefix}draws.{name}"] for name in sampler.state()})
        self.steps_taken = steps
        self.seconds = float(state["seconds"])
        self.check_finite()  # members that had failed fail again


@contextlib.contextmanager
def ctrl_c_waits(enabled: bool) -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C wait until a step has ended; the second one acts at once.

    Yields a function that says whether it came. Threads and others' handlers are left alone.
    """
    main = threading.current_thread() is threading.main_thread()
    default = signal.default_int_handler
    if not enabled or not main or signal.getsignal(signal.SIGINT) is not default:
        yield lambda: False
        return
    interrupted = threading.Event()

    def wait(*_: object) -> None:
        signal.signal(signal.SIGINT, default)
        interrupted.set()

    signal.signal(signal.SIGINT, wait)
    try:
        yield interrupted.is_set
    finally:
        signal.signal(signal.SIGINT, default)
    if interrupted.is_set():  # in the last step
        raise KeyboardInterrupt


@contextlib.contextmanager
def progress_line(progress: Progress, show: bool | None) -> Iterator[Callable[[], None]]:
    """Show a line with loss, images per second and time left, which goes when the block ends.

    Yields what to call after a step. None shows it on a terminal and in a notebook.
    """
    # TQDM_DISABLE=1 keeps it away, unless it was asked for
    forced = {"disable": False} if show is not None else {}
    if show is None:
        show = is_watched() and importlib.util.find_spec("tqdm") is not None
    if not show:
        yield lambda: None
        return
    _check.package("tqdm", "show progress", "sweep")
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        monitor_interval = 0  # no thread of its own

    # members of a population take equally many images
    n = len(progress.runs)
    run = progress.runs[0]
    bar = Bar(
        desc=run.data.name if n == 1 else f"{n} runs",
        total=n * run.images_in(progress.last_step),
        initial=n * run.images_in(progress.steps_taken),
        unit=" images",
        unit_scale=True,
        leave=False,
        dynamic_ncols=True,
        mininterval=0.25,
        miniters=1,
        delay=1,  # what ends at once leaves no flicker
        **forced,
    )

    def update() -> None:
        if progress.last_loss is not None:
            bar.set_postfix_str(f"loss {progress.last_loss:.4g}", refresh=False)
        bar.update(n * run.images_in(progress.steps_taken) - bar.n)

    try:
        yield update
    finally:
        bar.close()


def is_watched() -> bool:
    """Return whether what is written to standard error is seen at once: a terminal, a notebook."""
    if sys.stderr is not None and sys.stderr.isatty():
        return True
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")
