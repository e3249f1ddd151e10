"""The training loop, from the first step to the last or to whatever ends it before."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vaedis import _check
from vaedis.spec import RunSpec
from vaedis.training import checkpoint as _checkpoint, step as _step
from vaedis.training.batches import Draws

if TYPE_CHECKING:
    from vaedis.training.fit import Run

# the authors' runs were ended when the loss passed this (pytorch-lightning's terminate_on_nan, and
# their own limit)
_LARGEST_LOSS = 1e20
_LOOK_EVERY = 50


class TrainingFailed(RuntimeError):
    """A run whose loss became NaN, infinite or absurdly large.

    Attributes
    ----------
    spec : RunSpec
    step : int
        The first step, counted from 1, whose loss was not finite.
    last_finite : float or None
        The loss of the step before it.
    """

    def __init__(self, spec: RunSpec, step: int, value: float, last_finite: float | None):
        self.spec, self.step, self.last_finite = spec, step, last_finite
        before = (
            "there was no finite loss before it"
            if last_finite is None
            else f"the last finite loss was {last_finite:.6g}"
        )
        super().__init__(
            f"The loss became {value} at step {step} of {spec.steps} ({before}); lower beta or lr. The run: {spec}."
        )


class TrainingStopped(Exception):
    """A run, or a population, that was ended between two steps because its time was up.

    Attributes
    ----------
    spec : RunSpec
        Of a population, that of its first member.
    step : int
        How many steps were taken.
    checkpoint : Path or None
        Where the run can be taken up again; None if no checkpoint was asked for, or it could not be
        written.
    runs : list of Run
        Of a sequence that is trained one after the other, the runs that had ended before, in its
        order.
    """

    def __init__(self, spec: RunSpec, step: int, checkpoint: Path | None, members: int = 1):
        self.spec, self.step, self.checkpoint = spec, step, checkpoint
        self.runs: list[Run] = []
        kept = f"its checkpoint is {checkpoint}" if checkpoint else "no checkpoint was written"
        what = "The run" if members == 1 else f"The first of {members} runs"
        super().__init__(
            f"Stopped at step {step} of {spec.steps}, since the time was up; {kept}. {what}: {spec}."
        )


class Kept:
    """What changes from step to step, and its checkpoints.

    Parameters
    ----------
    run : Run
    spec : RunSpec
        As it was given, which checkpoints are named by.
    folder : path or None
        Of checkpoints; if there is one of this run, it is taken up from there.
    """

    def __init__(self, run: Run, spec: RunSpec, folder: str | Path | None):
        self.run, self.optimiser, self.draws = (
            run,
            _step.adam(run.model, run.spec),
            Draws(run.spec, run.data),
        )
        self.recorded = torch.zeros(run.spec.steps, 3, dtype=torch.float32, device=run.data.device)
        self.step = self.looked = 0
        self.checkpoints = None
        if folder is not None:
            self.checkpoints = _checkpoint.Checkpoints(folder, spec, run.data, run.precision)
            if (found := self.checkpoints.load(self._expected)) is not None:
                self.step, state = found
                run.seconds = float(state.pop("seconds"))
                _checkpoint.unpack(state, run.model, self.optimiser, self.draws, self.recorded)
                self.looked = self.step
            run.made_with = tuple(self.checkpoints.made_with)

    def _expected(self, step: int) -> dict[str, Tensor]:
        """Tensors as a checkpoint of this run holds them at a step."""
        state = _checkpoint.pack(self.run.model, self.optimiser, self.draws, self.recorded[:step])
        moments = _checkpoint.moments(dict(self.run.model.named_parameters())) if step else {}
        return {**state, **moments, "seconds": torch.zeros((), dtype=torch.float64)}

    def look(self) -> None:
        """Wait for the device, and stop the run if a loss since the last look is not finite."""
        _stop_if_not_finite(self.run.spec, self.recorded[: self.step, 0], self.looked)
        self.looked = self.step

    def report(self, last: int | None = None) -> None:
        """Write the history up to a step, by default the one that was taken last, into the run."""
        seen = self.recorded[: self.step if last is None else last]
        self.run.history = dict(
            zip(("loss", "recon", "kl"), seen.T.cpu().numpy().copy(), strict=True)
        )
        self.run.taken = self.step

    def save(self) -> Path | None:
        """Write a checkpoint if they were asked for, and return where it is."""
        if self.checkpoints is None:
            return None
        state = _checkpoint.pack(
            self.run.model, self.optimiser, self.draws, self.recorded[: self.step]
        )
        return self.checkpoints.save(
            self.step, {**state, "seconds": torch.tensor(self.run.seconds, dtype=torch.float64)}
        )


def train(
    run: Run,
    kept: Kept,
    time_is_up: Callable[[], bool],
    callback,
    every: int,
    checkpoint_every: int,
) -> None:
    """Take the steps that are left; see `vaedis.fit` for the arguments."""
    clock = _Clock(run)
    try:
        with ctrl_c_waits(kept.checkpoints is not None) as interrupted:
            _take_steps(
                run, kept, time_is_up, interrupted, clock, callback, every, checkpoint_every
            )
    except TrainingFailed as failure:
        clock.pause()
        kept.report(failure.step)
        raise


def _take_steps(
    run: Run,
    kept: Kept,
    time_is_up: Callable[[], bool],
    interrupted: Callable[[], bool],
    clock: _Clock,
    callback,
    every: int,
    checkpoint_every: int,
) -> None:
    spec = run.spec
    take = _step.Step(
        spec,
        run.model,
        kept.optimiser,
        run.data,
        run.loss,
        normalize=run.normalize,
        precision=run.precision,
    )
    while kept.step < spec.steps:
        if (by_hand := interrupted()) or time_is_up():
            kept.look()
            clock.pause()
            stopped = TrainingStopped(spec, kept.step, kept.save())
            raise (
                KeyboardInterrupt(str(stopped).replace("since the time was up", "by Ctrl-C"))
                if by_hand
                else stopped
            )
        index = kept.draws.index()
        kept.recorded[kept.step] = take(
            index, kept.draws.noise(len(index)), spec.beta_at(kept.step)
        )
        kept.step += 1
        last = kept.step == spec.steps
        calls = callback is not None and kept.step % every == 0
        saves = kept.step % checkpoint_every == 0 or last
        if calls or saves or kept.step % _LOOK_EVERY == 0:
            kept.look()
        if calls or saves:
            clock.pause()
            if calls:
                kept.report()
                run.model.eval()
                callback(kept.step, run)
                run.model.train()
            if saves:  # after the callback: a run that is killed between the two resumes before it and calls it again
                kept.save()
            clock.go_on()
    kept.report()


@contextlib.contextmanager
def ctrl_c_waits(wanted: bool) -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C wait until a step has ended, so that what follows it can be written; the
    second one acts at once.

    Yields a function that says whether it came. Programs with a handler of their own, and threads,
    are left alone.
    """
    main = threading.current_thread() is threading.main_thread()
    if not wanted or not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: False
        return
    came = threading.Event()

    def wait(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        came.set()

    signal.signal(signal.SIGINT, wait)
    try:
        yield came.is_set
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if came.is_set():  # in the last step
        raise KeyboardInterrupt


class _Clock:
    """Adds the wall time of the steps to a run, without that of checkpoints and callbacks."""

    def __init__(self, run: Run):
        self.run = run
        self.go_on()

    def go_on(self) -> None:
        self.started = time.perf_counter()

    def pause(self) -> None:
        self.run.seconds += time.perf_counter() - self.started


def time_is_up(deadline: float | Callable[[], bool] | None) -> Callable[[], bool]:
    """Return a function that says whether the deadline of `vaedis.fit` is reached; seconds count
    from now.
    """
    if deadline is None:
        return lambda: False
    if callable(deadline):
        return deadline
    end = time.monotonic() + _check.non_negative("deadline", deadline)
    return lambda: time.monotonic() >= end


def _stop_if_not_finite(spec: RunSpec, recorded: Tensor, looked: int) -> None:
    new = recorded[looked:].cpu()
    bad = ~(new.abs() < _LARGEST_LOSS)  # catches NaN as well
    if bad.any():
        at = int(bad.nonzero()[0])
        before = float(recorded[looked + at - 1]) if looked + at else None
        raise TrainingFailed(spec, looked + at + 1, float(new[at]), before)
