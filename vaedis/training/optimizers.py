"""Adam, and custom optimizers with their state in a checkpoint."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vaedis.losses.fingerprint import fingerprint

# prefix of the names of a custom optimizer's state in a checkpoint
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


def checked(
    make: Callable[..., Any], parameters: list[nn.Parameter], *, scheduled: bool = False
) -> torch.optim.Optimizer:
    """Return the optimizer that `make` makes, or raise a TypeError or ValueError."""
    optimizer = make(list(parameters))
    unfit = (torch.optim.LBFGS, torch.optim.SparseAdam)
    if not isinstance(optimizer, torch.optim.Optimizer) or isinstance(optimizer, unfit):
        raise TypeError(
            "optimizer must be a function of the parameters that returns a torch.optim.Optimizer "
            f"other than LBFGS and SparseAdam, but it returned a {type(optimizer).__name__}."
        )
    known = set(map(id, parameters))
    trained = [weight for group in optimizer.param_groups for weight in group["params"]]
    if not known.issuperset(map(id, trained)):
        raise ValueError(
            "optimizer must train the parameters that it is called with, since fit trains a copy "
            "of the network."
        )
    if scheduled and not all("lr" in group for group in optimizer.param_groups):
        raise ValueError(
            "lr is a function of the step, but the optimizer has no learning rate 'lr' to set; "
            "leave lr out, or give another optimizer."
        )
    return optimizer


def set_rate(groups: Iterable[dict[str, Any]], rate: float) -> None:
    """Set the learning rate of groups of parameters."""
    for group in groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


class OwnState:
    """The state of a custom optimizer in a checkpoint; created before the first step.

    It is what the optimizer notes of its weights, tensors and numbers, and the numbers that change
    in its groups of weights. A ValueError says if the optimizer has more that changes.
    """

    def __init__(self, optimizer: torch.optim.Optimizer):
        self._optimizer = optimizer
        hooks = [f"_optimizer_step_{when}_hooks" for when in ("pre", "post")]
        # torch's schedulers replace the `step` of their optimizer
        if "step" in vars(optimizer) or any(getattr(optimizer, name, None) for name in hooks):
            raise ValueError(
                "the optimizer has a scheduler or hooks, which a checkpoint does not hold; give "
                "lr= as a function of the step, or train without checkpoint."
            )
        self._first_groups = copy.deepcopy(self._groups())
        self._first_attributes = self._attributes()

    def first_settings(self) -> str:
        """Return a fingerprint of what the optimizer was made with."""
        return fingerprint([self._first_groups, self._first_attributes])

    def tensors(self) -> dict[str, Tensor]:
        """Return the state by its names in a checkpoint."""
        for name, value in self._attributes().items():
            if self._first_attributes.get(name) != value:
                raise ValueError(
                    f"the optimizer's {name} changes as it trains, and a checkpoint does not hold "
                    "it; let it be in the optimizer's state, or train without checkpoint."
                )
        if len(self._groups()) != len(self._first_groups):
            raise ValueError(
                "the optimizer got more groups of weights as it trained, and a checkpoint does not "
                "hold these; give all at first, or train without checkpoint."
            )
        state: dict[str, Tensor] = {}
        weights = self._weights()
        if len(self._optimizer.state) > sum(weight in self._optimizer.state for weight in weights):
            raise ValueError(
                "the optimizer's state has something that belongs to no weight, and a checkpoint "
                "does not take it; train without checkpoint."
            )
        for k, weight in enumerate(weights):
            for name, value in self._optimizer.state.get(weight, {}).items():
                state |= _stored(f"weight.{k}.{name}", value)
        for k, (group, first) in enumerate(zip(self._groups(), self._first_groups, strict=True)):
            for name, value in group.items():
                if name not in first or fingerprint(value) != fingerprint(first[name]):
                    state |= _stored(f"group.{k}.{name}", value)
        return state

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue with the state from a checkpoint."""
        optimizer = self._optimizer
        of_weights: dict[int, dict[str, Any]] = {}
        for full_name, tensor in state.items():
            if not full_name.startswith(OWN_STATE):
                continue
            type_name, kind, k, name = full_name.removeprefix(OWN_STATE).split(".", 3)
            value = tensor.item() if type_name == "number" else tensor
            if kind == "weight":
                of_weights.setdefault(int(k), {})[name] = value
            elif isinstance(optimizer.param_groups[int(k)].get(name), Tensor):
                optimizer.param_groups[int(k)][name].copy_(value)
            else:
                optimizer.param_groups[int(k)][name] = value
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": of_weights, "param_groups": groups})
        # torch gives each tensor not only the device of its weight, but also its type
        weights = self._weights()
        for i, values in of_weights.items():
            for name, value in values.items():
                if isinstance(value, Tensor):
                    now = optimizer.state[weights[i]][name]
                    # use the weight's memory order: sums in another order round differently
                    like = weights[i] if value.shape == weights[i].shape else value
                    again = torch.empty_like(like, dtype=value.dtype, device=now.device)
                    optimizer.state[weights[i]][name] = again.copy_(value)

    def _weights(self) -> list[Tensor]:
        return [weight for group in self._optimizer.param_groups for weight in group["params"]]

    def _groups(self) -> list[dict[str, Any]]:
        """Return the settings of each group of weights."""
        return [
            {name: value for name, value in group.items() if name != "params"}
            for group in self._optimizer.param_groups
        ]

    def _attributes(self) -> dict[str, str]:
        """Return fingerprints of the attributes that this class adds to torch's optimizers."""
        of_torch = vars(torch.optim.SGD([torch.zeros(1)]))
        weights = set(map(id, self._weights()))
        fingerprints = {}
        for name, value in vars(self._optimizer).items():
            # many classes hold the list of their weights, which a checkpoint has
            is_weights = isinstance(value, list | tuple) and weights.issuperset(map(id, value))
            if name in of_torch or (is_weights and value):
                continue
            try:
                fingerprints[name] = fingerprint(value)
            except ValueError:
                raise ValueError(
                    f"the optimizer's {name} is a {type(value).__name__}, and a checkpoint does "
                    "not hold it; train without checkpoint."
                ) from None
        return fingerprints


def _stored(name: str, value: Any) -> dict[str, Tensor]:
    """Return a tensor or a number by its name in a checkpoint."""
    if isinstance(value, Tensor):
        return {f"{OWN_STATE}tensor.{name}": value}
    if isinstance(value, int | float):
        dtype = torch.float64 if isinstance(value, float) else None
        return {f"{OWN_STATE}number.{name}": torch.tensor(value, dtype=dtype)}
    raise ValueError(
        f"the optimizer's state has {name.split('.', 2)[2]}, a {type(value).__name__}, and a "
        "checkpoint takes tensors and numbers only; train without checkpoint."
    )
