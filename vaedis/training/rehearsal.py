"""A rehearsal of the first steps of a run with things of one's own.

Code can be compared, but not all that it depends on. So copies of the run take its first steps:
once without a stop, and again from checkpoints on the way. If all end alike, a checkpoint holds all
that these steps depend on. What they do also tells a run apart from one whose code is another.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import hashlib
import json
import math
import numbers
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from vaedis._support.text import plain
from vaedis.losses.reads import around
from vaedis.spec import RunSpec
from vaedis.training.checkpoint import as_stored, need_alike
from vaedis.training.custom import Custom
from vaedis.training.own_network import copied
from vaedis.training.progress import Progress
from vaedis.training.run import Run

_STEPS = 8
# what happens every second, third or fourth step shows at one of them
_STOPS = (3, 5)
# as shares: other processors round otherwise, and steps of Adam follow even small gradients
_LOSSES_DIFFER = 1e-3
_MOVES_DIFFER = 2e-2
# objects of a person's own that hold others are looked into so deep
_DEPTH = 3


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
    settings: Any  # of an optimizer of one's own, before its first step

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
            return (
                facts["schedules"] == self._schedules(step)
                and _agree(facts["settings"], self.settings)
                and all(map(_moved_alike, facts["moves"], self.moves))
            )
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
    n_steps = min(_STEPS, runs[0].spec.steps)
    stops = [stop for stop in _STOPS if stop < n_steps] or [n_steps // 2]
    devices = [torch.cuda.current_device()] if runs[0].data.device.type == "cuda" else []
    start = functools.partial(_copies, runs, custom, InMemory(), stacked=stacked)
    own = [custom.objective, custom.optimizer, *(getattr(run.loss, "function", 0) for run in runs)]
    with torch.random.fork_rng(devices), _restored_if_refused(own):
        unbroken = _without_stop(start(), n_steps, stops[0])
        losses = unbroken.state["recorded"].reshape(len(runs), n_steps, 3)
        if not bool(losses[..., 0].isfinite().all()):  # training will say so
            return None
        _need_steady(unbroken.numbers)
        for stop, next_stop in zip(stops, [*stops[1:], None], strict=True):
            problem = "it ended with other weights"
            cause: Exception | None = None
            try:
                broken = _end_of(start(), n_steps, next_stop)
                if _ends_alike(unbroken.state, broken, unbroken.moves[-1] if devices else None):
                    continue
            except Exception as error:  # whatever is wrong in code that is not ours
                message = plain(str(error), 200)
                problem = f"it ended with an error, {type(error).__name__}: {message}"
                cause = error
            raise ValueError(
                f"your {' or '.join(names)} must not change anything that a checkpoint does "
                f"not hold: when training stopped after {stop} of {n_steps} steps and went on, "
                f"{problem}; train without checkpoint."
            ) from cause
    return Rehearsal(runs[0].spec, custom, losses, unbroken.moves, unbroken.settings)


class _Unbroken(NamedTuple):
    """What copies do that never stop: their last state, and more of each step."""

    state: dict[str, Tensor]
    moves: list[list[float]]
    numbers: list[dict[str, float]]
    settings: Any


def _copies(runs: Sequence[Run], custom: Custom, memory: InMemory, *, stacked: bool) -> Progress:
    """Return copies of runs on their way, from the checkpoint if there is one."""
    copies = [
        dataclasses.replace(run, model=copied(run.model), loss=_copied_if_possible(run.loss))
        for run in runs
    ]
    own = dataclasses.replace(custom, objective=_copied_if_possible(custom.objective))
    return Progress(copies, own, memory, stacked=stacked)


def _without_stop(progress: Progress, n_steps: int, save_at: int) -> _Unbroken:
    """Take the first steps, with a checkpoint on the way unless there is one step alone."""
    first = as_stored(progress.state(0))
    moves = []
    numbers = []
    for step in range(n_steps):
        if step == save_at and step > 0:
            progress.save()
        progress.take_step()
        moves.append(_moves(first, progress.state(step + 1)))
        numbers.append(_numbers_in(progress.runs[0]))
    state = as_stored(progress.state(n_steps))
    return _Unbroken(state, moves, numbers, progress.first_settings())


def _end_of(progress: Progress, n_steps: int, stop: int | None) -> dict[str, Tensor]:
    """Take the steps that are left, with a checkpoint at `stop`, and return the last state."""
    while progress.steps_taken < n_steps:
        if progress.steps_taken == stop:
            progress.save()
        progress.take_step()
    return as_stored(progress.state(n_steps))


def _copied_if_possible(thing: Any) -> Any:
    """Return a copy, so that a rehearsal leaves a person's own as it was, or else the thing."""
    try:
        return copy.deepcopy(thing)
    except Exception:  # such as a lock, or an open file
        return thing


@contextlib.contextmanager
def _restored_if_refused(functions: Sequence[Any]) -> Iterator[None]:
    """Give the networks and optimizers that functions name outside of them their numbers back."""
    used = [
        value
        for function in functions
        if isinstance(function, types.FunctionType)
        for value in around(function).values()
    ]
    modules = [value for value in used if isinstance(value, nn.Module)]
    optimizers = [value for value in used if isinstance(value, torch.optim.Optimizer)]
    tensors: list[Tensor] = [value for value in used if isinstance(value, nn.Parameter)]
    tensors += [part for one in modules for part in (*one.parameters(), *one.buffers())]
    # others cannot be written to: sparse ones, those without a shape yet, and expanded ones
    plain_tensors = [
        tensor
        for tensor in tensors
        if tensor.layout == torch.strided and not is_lazy(tensor) and 0 not in tensor.stride()
    ]
    before = [(tensor, tensor.detach().clone(), _gradient(tensor)) for tensor in plain_tensors]
    states = [copy.deepcopy(one.state_dict()) for one in optimizers]
    try:
        yield
    except Exception:
        with torch.no_grad():
            for tensor, numbers_before, gradient in before:
                tensor.copy_(numbers_before)
                tensor.grad = gradient
        for optimizer, state in zip(optimizers, states, strict=True):
            optimizer.load_state_dict(state)
        raise


def _gradient(tensor: Tensor) -> Tensor | None:
    return None if tensor.grad is None else tensor.grad.clone()


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


def _agree(one: Any, other: Any) -> bool:
    """Return whether settings are the same, as far as both have them."""
    if isinstance(one, dict) and isinstance(other, dict):
        return all(_agree(one[name], other[name]) for name in one.keys() & other.keys())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_agree, one, other))
    if isinstance(one, float) and isinstance(other, int | float):
        return math.isclose(one, other) or (one != one and other != other)
    return bool(one == other)


def _ends_alike(
    one: Mapping[str, Tensor], other: Mapping[str, Tensor], moves: Sequence[float] | None
) -> bool:
    """Return whether states have the same weights and losses; NaN equals NaN.

    With `moves`, for a GPU, they may differ by rounding; otherwise not by a bit.
    """
    if moves is not None:
        return math.hypot(*_moves(one, other)) <= _MOVES_DIFFER * math.hypot(*moves)
    names = [name for name in one if name.startswith(("model.", "weights.", "recorded"))]
    pairs = [(one[name], other[name]) for name in names]
    return all(
        torch.equal(a, b) or torch.allclose(a, b, rtol=0, atol=0, equal_nan=True) for a, b in pairs
    )


def _numbers_in(run: Run) -> dict[str, float]:
    """Return the numbers that a network and a loss of one's own hold besides tensors."""
    things = {"model": run.model, "loss": run.loss}
    return {path: value for name, thing in things.items() for path, value in _walk(thing, name, 0)}


def _walk(thing: Any, path: str, depth: int) -> Iterator[tuple[str, float]]:
    """Yield the paths of numbers among the attributes of an object and of those that it holds."""
    if isinstance(thing, nn.Module):
        for name, module in thing.named_modules():
            yield from _walk_attributes(module, f"{path}.{name}" if name else path, depth)
    elif type(thing).__module__.partition(".")[0] not in ("builtins", "torch", "numpy"):
        yield from _walk_attributes(thing, path, depth)


def _walk_attributes(thing: Any, path: str, depth: int) -> Iterator[tuple[str, float]]:
    for name, value in getattr(thing, "__dict__", {}).items():
        if isinstance(value, numbers.Real) and not isinstance(value, bool):
            yield f"{path}.{name}", float(value)
        elif depth < _DEPTH and not isinstance(thing, nn.Module):
            yield from _walk(value, f"{path}.{name}", depth + 1)


def _need_steady(values: Sequence[Mapping[str, float]]) -> None:
    """Raise a ValueError if a number, given after each step, changes as if it counted the steps.

    A number of images may have two values, since the last batch of an epoch may be smaller.
    """
    for path in values[-1]:
        if len({after.get(path) for after in values}) > 2:
            is_model = path.startswith("model")
            remedy = "let it be a buffer, by register_buffer, or " if is_model else ""
            raise ValueError(
                f"{path} changes as it trains, and a checkpoint does not hold it; {remedy}train "
                "without checkpoint."
            )
