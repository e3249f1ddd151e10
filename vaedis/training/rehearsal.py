"""A rehearsal of the first steps of a run with things of one's own.

Code can be compared, but not all that it depends on. So copies of the run take its first steps:
once without a stop, and once with a checkpoint half-way. If both end alike, a checkpoint holds all
that these steps depend on. Their losses also tell a run apart from one whose code is another.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from vaedis._support.text import plain
from vaedis.training.custom import copied
from vaedis.training.population import PopulationStep
from vaedis.training.progress import Progress
from vaedis.training.run import Run
from vaedis.training.step import NetworkStep

_STEPS = 8
# of losses, as a share of them: other processors round otherwise
_ROUNDING = 1e-3

Step = NetworkStep | PopulationStep


class _InMemory:
    """A checkpoint that no file holds."""

    def __init__(self) -> None:
        self.made_with: list[str] = []
        self._stored: tuple[int, dict[str, Tensor]] | None = None

    def save(self, step: int, state: Mapping[str, Tensor]) -> Path | None:
        self._stored = step, {name: tensor.detach().clone() for name, tensor in state.items()}
        return None

    def load(
        self, expected: Callable[[int], Mapping[str, Tensor]]
    ) -> tuple[int, dict[str, Tensor]] | None:
        return self._stored


def first_losses(
    runs: Sequence[Run], make_step: Callable[[Sequence[Run]], Step], names: Sequence[str]
) -> Tensor:
    """Return loss, reconstruction loss and KL of the first steps, (runs, steps, 3).

    Raises a ValueError if a checkpoint does not hold all that these steps depend on; `names` are
    those of what is the person's own.
    """
    n_steps = min(_STEPS, runs[0].spec.steps)
    stop = n_steps // 2
    devices = [torch.cuda.current_device()] if runs[0].data.device.type == "cuda" else []
    memory = _InMemory()

    def end() -> dict[str, Tensor]:
        copies = [dataclasses.replace(run, model=copied(run.model)) for run in runs]
        progress = Progress(copies, make_step(copies), memory)
        while progress.steps_taken < n_steps:
            if progress.steps_taken == stop and stop:
                progress.save()
            progress.take_step()
        return {name: tensor.detach().clone() for name, tensor in progress.state().items()}

    with torch.random.fork_rng(devices):
        unbroken = end()
        losses = unbroken["recorded"].reshape(len(runs), n_steps, 3)
        if not bool(losses.isfinite().all()):  # training will say so
            return losses
        try:
            resumed = end()
            problem = "it ended with other weights"
        except Exception as error:  # whatever is wrong in code that is not ours
            resumed = {}
            problem = f"it ended with an error, {plain(str(error), 200)}"
    if devices:  # on a GPU, sums in code that is not ours may differ by rounding
        is_same = bool(resumed) and begins_with(losses, resumed)
    else:
        compared = [key for key in unbroken if key.startswith(("model.", "weights.", "recorded"))]
        is_same = bool(resumed) and all(torch.equal(unbroken[k], resumed[k]) for k in compared)
    if not is_same:
        raise ValueError(
            f"your {' or '.join(names)} must not change anything that a checkpoint does not hold: "
            f"when training stopped after {stop} of {n_steps} steps and went on, {problem}; train "
            "without checkpoint."
        )
    return losses


def begins_with(first_losses: Tensor, state: Mapping[str, Tensor]) -> bool:
    """Return whether a state's losses and reconstruction losses begin with these."""
    recorded = state["recorded"].reshape(len(first_losses), -1, 3)
    n_steps = min(recorded.shape[1], first_losses.shape[1])
    one, other = (losses[:, :n_steps, :2].cpu() for losses in (recorded, first_losses))
    tolerance = _ROUNDING * float(one.abs().amax()) if n_steps else 0.0
    return torch.allclose(one, other, rtol=_ROUNDING, atol=tolerance / 100, equal_nan=True)
