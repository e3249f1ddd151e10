"""Adam, and optimizers of one's own with their state in a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

# how the state of an optimizer of one's own is called in a checkpoint
OWN_STATE = "optimizer."


def adam(parameters: Iterable[Any], **options: Any) -> torch.optim.Adam:
    """Return Adam with moments from the start, so that each checkpoint holds them."""
    optimizer = torch.optim.Adam(parameters, fused=True, **options)
    for group in optimizer.param_groups:
        for weight in group["params"]:
            optimizer.state[weight] = {
                "step": torch.zeros((), dtype=torch.float32, device=weight.device),
                "exp_avg": torch.zeros_like(weight),
                "exp_avg_sq": torch.zeros_like(weight),
            }
    return optimizer


def checked(make: Callable[..., Any], parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """Return the optimizer that `make` makes, or raise a TypeError or ValueError."""
    optimizer = make(list(parameters))
    if not isinstance(optimizer, torch.optim.Optimizer) or isinstance(optimizer, torch.optim.LBFGS):
        raise TypeError(
            "optimizer must be a function of the parameters that returns a torch.optim.Optimizer "
            f"other than LBFGS, but it returned a {type(optimizer).__name__}."
        )
    known = set(map(id, parameters))
    trained = [weight for group in optimizer.param_groups for weight in group["params"]]
    if not known.issuperset(map(id, trained)):
        raise ValueError(
            "optimizer must train the parameters that it is called with, since fit trains a copy "
            "of the network."
        )
    return optimizer


def set_rate(groups: Iterable[dict[str, Any]], rate: float) -> None:
    """Set the learning rate of groups of parameters."""
    for group in groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def own_state(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the state of an optimizer of one's own by its names in a checkpoint."""
    state = {}
    for i, moments in optimizer.state_dict()["state"].items():
        for name, moment in moments.items():
            if not isinstance(moment, Tensor):
                raise ValueError(
                    f"the optimizer holds {name}={moment!r}, and a checkpoint takes tensors only; "
                    "train without checkpoint."
                )
            state[f"{OWN_STATE}{i}.{name}"] = moment
    return state


def restore_own(optimizer: torch.optim.Optimizer, state: Mapping[str, Tensor]) -> None:
    """Continue with the state from a checkpoint."""
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        if name.startswith(OWN_STATE):
            i, moment = name.removeprefix(OWN_STATE).split(".", 1)
            moments.setdefault(int(i), {})[moment] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
