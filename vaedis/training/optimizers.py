"""Adam, and optimizers of one's own with their state in a checkpoint."""

from __future__ import annotations

import contextlib
import copy
import functools
import gc
import io
import json
import pickle
import types
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from vaedis.losses.fingerprint import fingerprint
from vaedis.losses.reads import around

# how the state of an optimizer of one's own is called in a checkpoint
OWN_STATE = "optimizer."
_SETTINGS = f"{OWN_STATE}settings"


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
    """The state of an optimizer of one's own, in a checkpoint; made before its first step.

    Raises a ValueError if a step depends on something that a checkpoint does not hold.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, parameters: Iterable[Tensor]):
        self._optimizer = optimizer
        self._parameters = set(map(id, parameters))
        names: set[str] = set()
        with contextlib.suppress(AttributeError):  # it did not begin as torch's do
            _ = optimizer._optimizer_step_post_hooks
            names.update(optimizer.state_dict())
        if names != {"state", "param_groups"}:
            raise ValueError(
                "the optimizer has a state_dict of its own form, which a checkpoint does not take; "
                "train without checkpoint."
            )
        self._check_schedulers()
        self._first_settings = copy.deepcopy(_settings(optimizer))
        self._first_others = self._others()

    def first_settings(self) -> Any:
        """Return the numbers and text that the optimizer was made with, in types that JSON has."""
        return json.loads(json.dumps(self._first_settings, default=_of_array))

    def tensors(self) -> dict[str, Tensor]:
        """Return the state by its names in a checkpoint."""
        state = {}
        plain: dict[str, dict[str, Any]] = {}
        # sums over numbers in another order would round otherwise
        strides: dict[str, dict[str, list[int]]] = {}
        for i, moments in self._optimizer.state_dict()["state"].items():
            if not isinstance(moments, dict):
                raise ValueError(
                    f"the optimizer's state has {i!r}, which belongs to no weight, and a "
                    "checkpoint does not take it; train without checkpoint."
                )
            for name, moment in moments.items():
                if isinstance(moment, Tensor):
                    state[f"{OWN_STATE}{i}.{name}"] = moment
                    if moment.layout == torch.strided and not moment.is_contiguous():
                        strides.setdefault(str(i), {})[name] = list(moment.stride())
                elif isinstance(moment, int | float | str | None):
                    plain.setdefault(str(i), {})[name] = moment
                else:
                    raise ValueError(
                        f"the optimizer's state has {name}, a {type(moment).__name__}, and a "
                        "checkpoint takes tensors and numbers only; train without checkpoint."
                    )
        settings = {**_settings(self._optimizer), "moments": plain}
        # as text, in which numbers keep all their digits
        text = json.dumps({**settings, "strides": strides}, default=_of_array)
        before = {**self._first_settings, "moments": plain}
        again = _as_before(before, json.loads(text))
        names = [kind for kind in settings if not _same(again[kind], settings[kind])]
        others = self._others()
        names += [name for name in others if others[name] != self._first_others.get(name)]
        if names:
            raise ValueError(
                f"a checkpoint cannot hold all that changes in the optimizer's {names[0]} as it "
                "trains; train without checkpoint."
            )
        state[_SETTINGS] = torch.tensor(list(text.encode()), dtype=torch.uint8)
        return state

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue with the state from a checkpoint."""
        optimizer = self._optimizer
        moments: dict[int, dict[str, Any]] = {}
        for name, tensor in state.items():
            if name.startswith(OWN_STATE) and name != _SETTINGS:
                i, moment = name.removeprefix(OWN_STATE).split(".", 1)
                moments.setdefault(int(i), {})[moment] = tensor
        groups = optimizer.state_dict()["param_groups"]
        stored = json.loads(bytes(state[_SETTINGS].tolist()))
        for i, numbers in stored.pop("moments").items():
            moments.setdefault(int(i), {}).update(numbers)
        strides = stored.pop("strides")
        stored = _as_before(self._first_settings, stored)
        for group, one in zip(groups, stored["groups"], strict=True):
            group.update(one)
        vars(optimizer).update(stored["attributes"])
        for scheduler, one in zip(_schedulers(optimizer), stored["schedulers"], strict=True):
            scheduler.load_state_dict({**scheduler.state_dict(), **one})
        optimizer.load_state_dict({"state": moments, "param_groups": groups})
        # torch gives floats the type of their weight
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        for k, of_weight in moments.items():
            for name, moment in of_weight.items():
                now = optimizer.state[weights[k]].get(name)
                if not isinstance(now, Tensor):
                    continue
                stride = strides.get(str(k), {}).get(name, moment.stride())
                if now.dtype != moment.dtype or now.stride() != tuple(stride):
                    again = torch.empty_strided(
                        moment.shape, stride, dtype=moment.dtype, device=now.device
                    )
                    optimizer.state[weights[k]][name] = again.copy_(moment)

    def _check_schedulers(self) -> None:
        """Raise a ValueError if there is a scheduler that a checkpoint would not hold."""
        held = set(map(id, _schedulers(self._optimizer)))
        for one in gc.get_objects():
            # not isinstance, which asks objects that are loaded when they are asked
            if not issubclass(type(one), LRScheduler) or id(one) in held:
                continue
            if getattr(one, "optimizer", None) is self._optimizer:
                raise ValueError(
                    f"the optimizer has a {type(one).__name__} where a checkpoint does not look "
                    "for it; say optimizer.scheduler = scheduler, or train without checkpoint."
                )

    def _others(self) -> dict[str, bytes]:
        """Return bytes of the attributes that no checkpoint holds, where they have bytes."""
        stored = _settings(self._optimizer)["attributes"]
        others = {}
        # of what hooks refer to only schedulers count, since hooks may log
        for name, value in _attributes(self._optimizer).items():
            if name in stored:
                continue
            with contextlib.suppress(Exception), io.BytesIO() as file:  # a function has none
                _Others(file, self._optimizer, self._parameters).dump(value)
                others[name] = file.getvalue()
        return others


class _Others(pickle.Pickler):
    """Leaves out what a checkpoint holds: the optimizer itself, weights and schedulers."""

    def __init__(self, file: io.BytesIO, optimizer: torch.optim.Optimizer, parameters: set[int]):
        super().__init__(file)
        self._optimizer = optimizer
        self._parameters = parameters

    def persistent_id(self, value: Any) -> str | None:
        """Return what stands for a value, or None."""
        if value is self._optimizer or isinstance(value, LRScheduler):
            return "held"
        if isinstance(value, Tensor):
            return "weight" if id(value) in self._parameters else fingerprint(value)
        return None


def _same(one: Any, other: Any) -> bool:
    return fingerprint(one) == fingerprint(other)


def _settings(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the numbers and text besides the moments on which a step depends."""
    groups = optimizer.state_dict()["param_groups"]
    return {
        "groups": [_plain(group, _of_array) for group in groups],
        "attributes": _plain(_attributes(optimizer)),
        "schedulers": [_plain(one.state_dict(), _of_array) for one in _schedulers(optimizer)],
    }


def _attributes(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the attributes that not every optimizer has, nor gets from a scheduler."""
    of_torch = {*vars(torch.optim.SGD([torch.zeros(1)])), "step", "_opt_called"}
    return {name: value for name, value in vars(optimizer).items() if name not in of_torch}


def _schedulers(optimizer: torch.optim.Optimizer) -> list[LRScheduler]:
    """Return the schedulers among an optimizer's attributes and what its hooks refer to."""
    values = list(_attributes(optimizer).values())
    for hooks in (optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks):
        for hook in hooks.values():
            values += _referred_to(hook)
    schedulers = _schedulers_among(values)
    waiting = list(schedulers.values())
    while waiting:  # a scheduler may hold others
        inner = _schedulers_among(vars(waiting.pop()).values())
        new = {name: one for name, one in inner.items() if name not in schedulers}
        schedulers |= new
        waiting += new.values()
    return list(schedulers.values())


def _referred_to(hook: Any) -> list[Any]:
    """Return what a hook is of, or holds."""
    owner = getattr(hook, "__self__", hook)
    values = [owner, *getattr(owner, "__dict__", {}).values()]
    if isinstance(hook, types.FunctionType):
        values += around(hook).values()
    if isinstance(hook, functools.partial):
        values += hook.args
    return values


def _schedulers_among(values: Iterable[Any]) -> dict[int, LRScheduler]:
    """Return the schedulers among values and in lists among them, each once, by their ids."""
    values = list(values)
    for value in list(values):
        if isinstance(value, list | tuple):
            values += value
    return {id(one): one for one in values if isinstance(one, LRScheduler)}


def _plain(settings: Mapping[str, Any], default: Any = None) -> dict[str, Any]:
    """Return the settings that can be written as text; the others are as an optimizer was made."""
    plain = {}
    for name, value in settings.items():
        with contextlib.suppress(TypeError, ValueError):
            json.dumps(value, default=default)
            plain[name] = value
    return plain


def _of_array(value: Any) -> Any:
    """Return a tensor, an array or a number of numpy as numbers."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError


def _as_before(before: Any, stored: Any) -> Any:
    """Return stored settings in the types that they have in an optimizer that was made anew."""
    if isinstance(before, Tensor):
        return torch.tensor(stored, dtype=before.dtype, device=before.device)
    if isinstance(before, Mapping) and isinstance(stored, dict):
        # text has names only, and not 30 as in milestones={30: 1}
        names = {str(name): name for name in before}
        again = {}
        for text, value in stored.items():
            name = names.get(text, text)
            again[name] = _as_before(before.get(name), value)
        return Counter(again) if isinstance(before, Counter) else again
    if not isinstance(before, list | tuple) or not isinstance(stored, list):
        return stored
    if len(before) != len(stored):
        return stored
    items = [_as_before(one, value) for one, value in zip(before, stored, strict=True)]
    return items if isinstance(before, list) else tuple(items)
