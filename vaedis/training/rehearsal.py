"""Rehearse the first steps of a run with custom parts.

Code can be compared, but not all that it depends on. So copies of the run take its first steps:
once without a stop, and again from checkpoints on the way. If all end alike, a checkpoint holds all
that these steps depend on. Their losses and weights also identify the run: other code differs.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import hashlib
import json
import math
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaedis._support.text import plain
from vaedis.losses.fingerprint import fingerprint
from vaedis.losses.reads import around
from vaedis.spec import RunSpec
from vaedis.training.checkpoint import as_stored, need_alike
from vaedis.training.custom import Custom
from vaedis.training.own_network import copied
from vaedis.training.progress import Progress
from vaedis.training.run import Run

_STEPS = 8
# a change every second, third or fourth step shows at one of these stops
_STOPS = (3, 5)
# relative errors: processors round differently, and Adam amplifies small gradients
_LOSSES_DIFFER = 1e-3
_MOVES_DIFFER = 2e-2


class InMemory:
    """A checkpoint that no file holds, with the methods of `Checkpoints`."""

    def __init__(self) -> None:
        self.made_with: list[str] = []
        self._stored: tuple[int, dict[str, Tensor]] | None = None

    def save(self, step: int, state: Mapping[str, Tensor]) -> Path | None:
        """Keep a copy of a state; there is no path."""
        self._stored = step, as_stored(state)
        return None

    def load(
        self, expected: Callable[[int], Mapping[str, Tensor]]
    ) -> tuple[int, dict[str, Tensor]] | None:
        """Return step and state of what was saved last, or None."""
        if self._stored is not None:
            need_alike(self._stored[1], expected(self._stored[0]))
        return self._stored


@dataclasses.dataclass(frozen=True)
class Rehearsal:
    """What copies of a run did in its first steps."""

    spec: RunSpec
    custom: Custom
    losses: Tensor  # (runs, steps, 3): loss, reconstruction loss and KL
    moves: list[list[float]]  # (steps, 2): how far weights and buffers are from where they began
    settings: str  # fingerprint of a custom optimizer's settings

    def text(self, step: int) -> str:
        """Return what a checkpoint after a step says of its run."""
        facts = {"moves": self.moves, "settings": self.settings, "schedules": self._schedules(step)}
        return json.dumps(facts)

    def agrees(self, step: int, text: str | None) -> bool:
        """Return whether what a checkpoint says may be said of this run."""
        if text is None:  # its first losses were not finite
            return True
        try:
            facts = json.loads(text)
            has_same_names = (facts["schedules"], facts["settings"]) == (
                self._schedules(step),
                self.settings,
            )
            # compare the steps that both have
            moved = zip(facts["moves"], self.moves, strict=False)
            return has_same_names and all(_moved_alike(*pair) for pair in moved)
        except (ValueError, TypeError, KeyError, RecursionError):  # it is damaged
            return False

    def need_of_run(self, step: int, state: Mapping[str, Tensor], text: str | None) -> None:
        """Raise a ValueError unless a checkpoint is of this run."""
        if not (self._begins(state["recorded"]) and self.agrees(step, text)):
            raise ValueError(
                "its first losses or weights, its schedules or the settings of its optimizer are "
                "not those of this run, so something that they follow from, such as a function or "
                "a number in a file of your own, has changed"
            )

    def _begins(self, recorded: Tensor) -> bool:
        """Return whether losses and reconstruction losses of a run begin with these."""
        recorded = recorded.reshape(len(self.losses), -1, 3)
        n_steps = min(recorded.shape[1], self.losses.shape[1])
        one, other = (losses[:, :n_steps, :2].cpu() for losses in (recorded, self.losses))
        largest = float(one.nan_to_num(0.0, 0.0, 0.0).abs().max()) if n_steps else 0.0
        absolute = _LOSSES_DIFFER * largest / 100
        return torch.allclose(one, other, rtol=_LOSSES_DIFFER, atol=absolute, equal_nan=True)

    def _schedules(self, n_steps: int) -> str:
        """Return a digest of what functions of the step give in the first steps."""
        digest = hashlib.sha256()
        own = [name for name in ("beta", "lr") if getattr(self.custom, name) is not None]
        for name in own:
            value_at = getattr(self.custom, f"{name}_at")
            for step in range(n_steps):
                digest.update(f"{value_at(self.spec, step):.9g} ".encode())
        return digest.hexdigest()[:16] if own else ""


def rehearse(
    runs: Sequence[Run], custom: Custom, names: Sequence[str], *, stacked: bool
) -> Rehearsal | None:
    """Return what copies of runs do in their first steps; None if a loss is not finite.

    Raises a ValueError, which gives `names`, if a checkpoint lacks what these steps depend on.
    """
    _need_no_training_within(custom.objective)
    n_steps = min(_STEPS, runs[0].spec.steps)
    stops = [stop for stop in _STOPS if stop < n_steps] or [n_steps // 2]
    on_gpu = runs[0].data.device.type == "cuda"
    memory = InMemory()
    with torch.random.fork_rng([torch.cuda.current_device()] if on_gpu else []):
        unbroken = _copies(runs, custom, memory, stacked=stacked)
        settings = unbroken.first_settings()
        first = as_stored(unbroken.state(0))
        moves = []
        for step in range(n_steps):
            if step == stops[0] and step > 0:
                unbroken.save()
                held = _held_by_losses(unbroken)
            unbroken.take_step()
            moves.append(_moves(first, unbroken.state(step + 1)))
        last = as_stored(unbroken.state(n_steps))
        losses = last["recorded"].reshape(len(runs), n_steps, 3)
        if not bool(losses[..., 0].isfinite().all()):  # training will say so
            return None
        if n_steps > 1 and _held_by_losses(unbroken) != held:
            raise ValueError(
                "your loss changes as it trains, and a checkpoint does not hold that; train "
                "without checkpoint."
            )
        for stop, next_stop in zip(stops, [*stops[1:], None], strict=True):
            problem = "it ended with other weights"
            cause: Exception | None = None
            try:
                broken = _copies(runs, custom, memory, stacked=stacked)
                other = _end_of(broken, n_steps, next_stop)
                apart = math.hypot(*_moves(last, other))
                # on a GPU sums may have another order
                is_near = on_gpu and apart <= _MOVES_DIFFER * math.hypot(*moves[-1])
                if is_near or _ends_alike(last, other):
                    continue
            except Exception as error:  # the user's code may raise anything
                message = plain(str(error), 200)
                problem = f"it ended with an error, {type(error).__name__}: {message}"
                cause = error
            raise ValueError(
                f"your {' or '.join(names)} must not change anything that a checkpoint does "
                f"not hold: when training stopped after {stop} of {n_steps} steps and went on, "
                f"{problem}; train without checkpoint."
            ) from cause
    return Rehearsal(runs[0].spec, custom, losses, moves, settings)


def _need_no_training_within(objective: Any) -> None:
    """Raise a ValueError if an objective names an optimizer outside of it, which is no copy."""
    function = getattr(objective, "func", objective)
    if isinstance(function, types.FunctionType) and any(
        isinstance(value, torch.optim.Optimizer) for value in around(function).values()
    ):
        raise ValueError(
            "your objective has an optimizer, and a checkpoint does not hold what that one trains; "
            "train without checkpoint."
        )


def _copies(runs: Sequence[Run], custom: Custom, memory: InMemory, *, stacked: bool) -> Progress:
    """Return copies of runs on their way, from the checkpoint if there is one."""
    copies = [
        dataclasses.replace(run, model=copied(run.model), loss=_copied_if_possible(run.loss))
        for run in runs
    ]
    own = dataclasses.replace(custom, objective=_copied_if_possible(custom.objective))
    return Progress(copies, own, memory, stacked=stacked)


def _end_of(progress: Progress, n_steps: int, stop: int | None) -> dict[str, Tensor]:
    """Take the steps that are left, with a checkpoint at `stop`, and return the last state."""
    while progress.steps_taken < n_steps:
        if progress.steps_taken == stop:
            progress.save()
        progress.take_step()
    return as_stored(progress.state(n_steps))


def _held_by_losses(progress: Progress) -> list[str]:
    """Return fingerprints of losses, but of those that hold what cannot be told."""
    fingerprints = []
    for run in progress.runs:
        with contextlib.suppress(ValueError):
            fingerprints.append(fingerprint(run.loss))
    return fingerprints


def _copied_if_possible(thing: Any) -> Any:
    """Return a copy, which a rehearsal may change, or the object itself if it has no copy."""
    try:
        return copy.deepcopy(thing)
    except Exception:  # such as a lock, or an open file
        return thing


def _moves(first: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[float]:
    """Return how far all weights and all buffers are from where they began."""
    squares = [0.0, 0.0]
    for name, tensor in state.items():
        if name.startswith(("model.", "weights.")) and tensor.is_floating_point():
            way = tensor.detach().cpu().double() - first[name].double()
            squares[not tensor.requires_grad] += float(way.nan_to_num().square().sum())
    return [math.sqrt(square) for square in squares]


def _moved_alike(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(math.isclose(*pair, rel_tol=_MOVES_DIFFER) for pair in zip(one, other, strict=True))


def _ends_alike(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Return whether states have the same weights and losses, bit for bit; NaN equals NaN."""
    names = [name for name in one if name.startswith(("model.", "weights.", "recorded"))]
    pairs = [(one[name], other[name]) for name in names]
    return all(
        torch.equal(a, b) or torch.allclose(a, b, rtol=0, atol=0, equal_nan=True) for a, b in pairs
    )
