"""What a person gives to `fit` besides names and numbers: checks, and what the run says of it."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vaedis import _check, data as data_sets, losses
from vaedis._support.text import plain
from vaedis.data import FactorData
from vaedis.data.base import need_data_set
from vaedis.losses import properties
from vaedis.losses.fingerprint import fingerprint
from vaedis.spec import GIVEN, RunSpec
from vaedis.training import model, objectives
from vaedis.training.batches import seeded
from vaedis.training.digest import fingerprint_of
from vaedis.training.objectives import Terms
from vaedis.training.own_network import (
    about,
    check_last_batch,
    check_module,
    check_network,
    copied,
)
from vaedis.training.run import Run

# for each function: its description, its number of arguments, and its keywords
_FUNCTIONS: dict[str, tuple[str, int, list[str]]] = {
    "objective": ("function as objectives.beta_vae is", 3, ["loss", "beta"]),
    "optimizer": ("function of the parameters that returns a torch.optim.Optimizer", 1, []),
    "beta": ("function of the step; a number goes as in RunSpec(beta=0.1)", 1, []),
    "lr": ("function of the step; a number goes as in RunSpec(lr=0.001)", 1, []),
    "callback": ("function of step and run", 2, []),
    "deadline": ("function that returns true when to stop", 0, []),
}


def check_function(name: str, value: Any) -> None:
    """Raise a TypeError unless a value is None or can be called as `fit` calls it."""
    if value is None:
        return
    expected, n_arguments, keywords = _FUNCTIONS[name]
    if not callable(value):
        text = plain(" ".join(repr(value).split()), 60)
        raise TypeError(f"{name} must be a {expected}, not {text}.")
    with contextlib.suppress(ValueError):  # no signature is known of it
        try:
            inspect.signature(value).bind(*[None] * n_arguments, **dict.fromkeys(keywords))
        except TypeError as error:
            raise TypeError(f"{name} must be a {expected}, but of yours: {error}.") from None


@dataclass(frozen=True)
class Custom:
    """The user's network, objective, optimizer and schedules; each may be None."""

    model: Any = None
    objective: Callable[..., Any] | None = None
    optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer] | None = None
    beta: Callable[[int], float] | None = None
    lr: Callable[[int], float] | None = None

    def __post_init__(self) -> None:
        for name in ("objective", "optimizer", "beta", "lr"):
            check_function(name, getattr(self, name))
        if self.model is not None:
            check_module(self.model)

    @property
    def names(self) -> list[str]:
        """What was given."""
        return [name for name in self.__dataclass_fields__ if getattr(self, name) is not None]

    @property
    def whole_batches(self) -> bool:
        """Whether a step may need the whole batch: statistics of it, or torch's generator."""
        return self.model is not None or self.objective is not None

    def named_in(self, spec: RunSpec) -> RunSpec:
        """Return the specification with the names and fingerprints of what was given.

        Raises a ValueError if something that it was made with is not given, or does not fit it.
        """
        for name in spec.custom:
            if getattr(self, name, None) is None:
                raise ValueError(
                    f"the specification is of a run with its own {name}; give that again, as in "
                    f"fit(spec, {name}=...), or begin from one without `custom`."
                )
        objective = self.objective
        while isinstance(objective, functools.partial):
            objective = objective.func
        if objective is objectives.ada_gvae and spec.framework != "ada-gvae":
            raise ValueError(
                "objectives.ada_gvae trains on pairs of images, which "
                "RunSpec(framework='ada-gvae') draws; give that."
            )
        if self.beta is not None and spec.warmup:
            raise ValueError("beta is a function of the step, so warmup must be 0.")
        if spec.lr_schedule != "constant" and (self.lr or self.optimizer) is not None:
            raise ValueError(
                "lr_schedule is for the optimizer of vaedis and the lr of the specification; "
                "with an lr or optimizer of your own leave it 'constant'."
            )
        if not self.names:
            return spec
        for schedule in ("beta", "lr"):
            if getattr(self, schedule) is not None:
                self._check_schedule(schedule, spec)
        custom = {name: _name(getattr(self, name)) for name in self.names}
        if self.model is None:
            return spec.replace(custom=custom)
        return spec.replace(custom=custom, model="custom", model_options={})

    def _check_schedule(self, name: str, spec: RunSpec) -> None:
        """Raise a ValueError if a step has no valid value, or a different value the second time."""
        value_at = self.beta_at if name == "beta" else self.lr_at
        first = value_at(spec, 0)
        # of very many steps only some are checked here; training checks each one as it is taken
        for step in (0, *range(1, spec.steps, -(-spec.steps // 100_000)), spec.steps - 1, 0):
            value = value_at(spec, step)
            if step == 0 and value != first:
                raise ValueError(
                    f"{name} must follow from the step alone, but at step 0 it gives {first} and "
                    f"then {value}."
                )

    def check_unchanged(self, spec: RunSpec) -> None:
        """Raise a ValueError if a function holds something that training changed."""
        for name in ("objective", "beta", "lr"):
            function = getattr(self, name)
            if function is not None and _name(function) != spec.custom[name]:
                raise ValueError(
                    f"{name} holds something that changes as it trains, which a checkpoint does "
                    "not hold; train without checkpoint."
                )

    def beta_at(self, spec: RunSpec, step: int) -> float:
        """Return beta at a step, counted from 0."""
        beta = spec.beta_at(step) if self.beta is None else self.beta(step)
        return _check.non_negative(f"beta at step {step}", beta)

    def lr_at(self, spec: RunSpec, step: int) -> float:
        """Return the learning rate at a step, counted from 0."""
        lr = spec.lr_at(step) if self.lr is None else self.lr(step)
        return _check.non_negative(f"lr at step {step}", lr)


def untrained(
    specs: list[RunSpec],
    device: torch.device,
    data: FactorData | None,
    precision: str,
    custom: Custom,
) -> list[Run]:
    """Return runs with their data, losses and new networks; equal data sets are made once."""
    options: dict[str, Any] = {}
    if data is not None:
        need_data_set(data)
        data = data.to(device)
        options["data"] = f"{GIVEN}{data.name}"
        options["data_options"] = {"images": fingerprint_of(data)}
    runs: list[Run] = []
    for spec in specs:
        loss = losses.get(spec.loss, **spec.loss_options)
        source = _data_of(spec, device, runs) if data is None else data
        if loss.unit_range:
            source.need_unit_range(loss.name)
        if custom.model is None:
            network = model.build(
                spec.model, source.shape, spec.latents, seed=spec.seed, **spec.model_options
            ).to(device)
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        else:
            x = source.observations(
                [0, len(source) - 1], normalize=spec.normalize and not loss.unit_range
            )
            network = copied(custom.model).to(device)
            # layers that were given frozen, as by bn.eval(); of a network in evaluation mode none
            frozen = [part for part in network.modules() if network.training and not part.training]
            with seeded(spec.seed, "check", device), torch.no_grad():
                check_network(network.eval(), x, spec.latents, loss)
            network.train()
            for part in frozen:
                part.training = False
            if spec.framework == "beta-vae":  # a batch of pairs has at least two images
                with seeded(spec.seed, "check", device):
                    check_last_batch(network, x, len(source), spec)
        run = Run(spec.replace(**options) if options else spec, source, network, loss, precision)
        model.mark_normalize(run.model, run.normalize)
        if properties.is_own(loss):
            index = properties.sample_index(source).to(device)
            properties.need_repeatable(loss, run.observations(index))
        runs.append(run)
    return runs


def _data_of(spec: RunSpec, device: torch.device, runs: list[Run]) -> FactorData:
    """Return the data set that a specification names, of a run that has it already or new."""
    for run in runs:
        if (run.spec.data, run.spec.data_options) == (spec.data, spec.data_options):
            return run.data
    if spec.data.startswith(GIVEN):
        raise ValueError(
            f"the specification is of a run on data of your own, {spec.data!r}; give them again, "
            "as in fit(spec, data=mine)."
        )
    return data_sets.load(spec.data, device=device, **spec.data_options)


def checked_terms(terms: Any) -> Terms:
    """Return what an objective returned, or raise a TypeError or ValueError."""
    returned = list(terms) if isinstance(terms, tuple | list) else [terms]
    if len(returned) != 3 or not all(map(_is_number, returned)):
        raise TypeError(
            "objective must return (loss, recon, kl), three tensors of one real number each, "
            f"but it returned {', '.join(about(term) for term in returned)}."
        )
    loss, recon, kl = returned
    if not loss.requires_grad:
        raise ValueError("objective must return a loss with a gradient, but it has none.")
    return Terms(loss, recon.detach(), kl.detach())


def _is_number(term: Any) -> bool:
    """Return whether a term is a tensor of one real number in memory."""
    if not isinstance(term, Tensor) or term.layout != torch.strided:
        return False
    return term.ndim == 0 and not term.is_complex() and not term.is_meta


def check_no_gradients(optimizer: torch.optim.Optimizer) -> None:
    """Raise a ValueError if an objective left gradients, to which those of its loss would add."""
    trained = [weight for group in optimizer.param_groups for weight in group["params"]]
    if any(weight.grad is not None for weight in trained):
        raise ValueError(
            "objective must return a loss and leave its backward() to fit, but the network's "
            "weights have gradients already."
        )


def check_first(terms: Terms) -> None:
    """Raise a ValueError if the first batch has no finite loss."""
    for name, term in zip(Terms._fields, terms, strict=True):
        if not torch.isfinite(term):
            raise ValueError(
                f"objective must return finite numbers, but before the first step its {name} is "
                f"{term.item()}."
            )


def check_gradients(parameters: list[nn.Parameter]) -> None:
    """Raise a ValueError if the loss of an objective left no gradient in the network."""
    if all(weight.grad is None for weight in parameters):
        raise ValueError("the loss that objective returns does not depend on the network.")


def _name(value: Any) -> str:
    """Return the name of a thing, and its fingerprint if it has one."""
    name = getattr(value, "__name__", type(value).__name__)
    try:
        return f"{name} {fingerprint(value)}"
    except ValueError:  # a checkpoint tells it by what it does
        return name
