"""What a person gives to `fit` besides names and numbers: checks, and what the run says of it."""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vaedis import _check, data as data_sets, losses
from vaedis._support.text import plain
from vaedis.data import FactorData
from vaedis.data.base import need_data_set
from vaedis.losses import Loss, properties
from vaedis.losses.fingerprint import fingerprint
from vaedis.spec import GIVEN, RunSpec
from vaedis.training import batches, model
from vaedis.training.digest import fingerprint_of
from vaedis.training.objectives import Terms
from vaedis.training.run import Run

# what each function is, and how many arguments and which keywords it is called with
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
    """A network, an objective, an optimizer and schedules of one's own; each may be None."""

    model: Any = None
    objective: Callable[..., Any] | None = None
    optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer] | None = None
    beta: Callable[[int], float] | None = None
    lr: Callable[[int], float] | None = None

    def __post_init__(self) -> None:
        for name in ("objective", "optimizer", "beta", "lr"):
            check_function(name, getattr(self, name))
        if self.model is not None:
            _check_module(self.model)

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
        """Raise a ValueError if a value at a step is none, or is another one the second time."""
        value_at = self.beta_at if name == "beta" else self.lr_at
        first = value_at(spec, 0)
        # of more steps than a second has room for some, since each is checked when it is taken
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
            x = source.observations([0, 0], normalize=spec.normalize and not loss.unit_range)
            network = copied(custom.model).to(device)
            # layers that were given frozen, as by bn.eval(); of a network in evaluation mode none
            frozen = [part for part in network.modules() if network.training and not part.training]
            with seeded(spec.seed, "check", device), torch.no_grad():
                _check_network(network.eval(), x, spec.latents, loss)
            network.train()
            for part in frozen:
                part.training = False
        run = Run(spec.replace(**options) if options else spec, source, network, loss, precision)
        model.mark_normalize(run.model, run.normalize)
        if properties.is_own(loss):
            index = properties.sample_index(source).to(device)
            properties.need_repeatable(loss, run.observations(index))
        runs.append(run)
    return runs


def copied(network: Any) -> Any:
    """Return a copy of a network, or raise a ValueError."""
    try:
        return copy.deepcopy(network)
    except Exception as error:  # whatever is wrong in code that is not ours
        raise ValueError(
            "model must be one that can be copied, for instance one that was not called yet, or "
            "that uses nn.utils.parametrizations and not nn.utils.weight_norm: "
            f"{plain(str(error), 100)}"
        ) from error


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


@contextlib.contextmanager
def seeded(seed: int, purpose: str, device: torch.device) -> Iterator[None]:
    """Give torch's own generators the state of a seed and a purpose while the block runs."""
    devices = [torch.cuda.current_device()] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(batches.generator_seed(seed, purpose))
        yield


def checked_terms(terms: Any) -> Terms:
    """Return what an objective returned, or raise a TypeError or ValueError."""
    returned = list(terms) if isinstance(terms, tuple | list) else [terms]
    scalars = all(isinstance(term, Tensor) and term.ndim == 0 for term in returned)
    if len(returned) != 3 or not scalars:
        raise TypeError(
            "objective must return (loss, recon, kl), three tensors of one number each, "
            f"but it returned {', '.join(_about(term) for term in returned)}."
        )
    loss, recon, kl = returned
    if not loss.requires_grad:
        raise ValueError("objective must return a loss with a gradient, but it has none.")
    return Terms(loss, recon.detach(), kl.detach())


def check_no_gradients(optimizer: torch.optim.Optimizer) -> None:
    """Raise a ValueError if an objective left gradients, to which those of its loss would add."""
    trained = [weight for group in optimizer.param_groups for weight in group["params"]]
    if any(weight.grad is not None for weight in trained):
        raise ValueError(
            "objective must return a loss and leave its backward() to fit, but the network's "
            "weights have gradients already."
        )


def check_first(terms: Terms, parameters: list[nn.Parameter]) -> None:
    """Raise a ValueError if the first batch has no finite loss, or no gradient in the network."""
    for name, term in zip(Terms._fields, terms, strict=True):
        if not torch.isfinite(term):
            raise ValueError(
                f"objective must return finite numbers, but before the first step its {name} is "
                f"{term.item()}."
            )
    if all(weight.grad is None for weight in parameters):
        raise ValueError("the loss that objective returns does not depend on the network.")


def _name(value: Any) -> str:
    """Return the name of a thing, and its fingerprint if it has one."""
    name = getattr(value, "__name__", type(value).__name__)
    try:
        return f"{name} {fingerprint(value)}"
    except ValueError:  # a checkpoint tells it by what it does
        return name


def _check_module(network: Any) -> None:
    """Raise a TypeError or ValueError unless a network can be asked and trained."""
    methods = [getattr(network, name, None) for name in ("encode", "decode")]
    if not isinstance(network, nn.Module) or not all(map(callable, methods)):
        raise TypeError(
            "model must be a torch.nn.Module with encode(x), which returns mean and log-variance, "
            f"and decode(z), not {_about(network)}; a name goes as in RunSpec(model='mlp')."
        )
    if not any(weight.requires_grad for weight in network.parameters()):
        raise ValueError("model has no parameters to train.")
    for name, weight in network.named_parameters():
        if weight.dtype != torch.float32:
            raise ValueError(
                f"the weights of model must be float32, but {name} is {weight.dtype}; "
                "say model.float()."
            )


def check_input_unchanged(x: Tensor, before: Tensor) -> None:
    """Raise a ValueError if a network wrote into its images, which are the targets too."""
    if not torch.equal(x.nan_to_num(), before.nan_to_num()):
        raise ValueError(
            "model.encode must not write into its images, which are also what is to be "
            "reconstructed; use x * 0.5 instead of x.mul_(0.5), and no inplace=True on them."
        )


def _check_network(network: Any, x: Tensor, latents: int, loss: Loss) -> None:
    """Raise a ValueError unless a network encodes and decodes images `x`."""
    before = x.clone()
    posterior = _ask("encode", network.encode, x)
    check_input_unchanged(x, before)
    pair = posterior if isinstance(posterior, tuple) else (posterior,)
    returned = [_about(part) for part in pair]
    expected = _about(x.new_empty(len(x), latents))
    if returned != [expected] * 2:
        raise ValueError(
            f"model.encode must return (mean, logvar) of images with latents={latents}, each "
            f"{expected}, but it returned {' and '.join(returned)}."
        )
    output = _ask("decode", lambda z: loss.output(network.decode(z)), pair[0].clone())
    if _about(output) != _about(x):
        raise ValueError(
            f"model.decode must return images, {_about(x)}, but it returned {_about(output)}."
        )
    for name, tensor in (("encode", torch.cat(pair)), ("decode", output)):
        if not bool(tensor.isfinite().all()):
            raise ValueError(f"model.{name} must return finite numbers before it is trained.")


def _ask(name: str, method: Callable[[Tensor], Any], x: Tensor) -> Any:
    try:
        return method(x)
    except Exception as error:  # whatever is wrong in code that is not ours
        raise ValueError(f"model.{name} does not take {_about(x)}: {error}") from error


def _about(part: Any) -> str:
    """Return type, shape and device of a tensor as text, and the name of another thing's type."""
    if isinstance(part, type):
        return f"the class {part.__name__}"
    if isinstance(part, Tensor):
        return f"{part.dtype} of shape {tuple(part.shape)} on {part.device}"
    return f"a {type(part).__name__}"
