"""The specification of a training run: everything that decides its result, as names and numbers."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vaedis import _check
from vaedis._support.brief import screenful

FRAMEWORKS = ("beta-vae", "ada-gvae")
AVERAGES = ("mean", "published")
PAIR_RULES = ("paper-code", "paper-text")
_MODELS = ("conv", "mlp")
_BETA_SCHEDULES = ("linear", "cyclic")
_LR_SCHEDULES = ("constant", "cosine")
# raised whenever a change of the package changes what a specification trains, so that stored runs
# are never taken for new ones
MEANING = 1
# how the `data` of a run begins whose data set was passed to `fit`
GIVEN = "given: "
_OPTIONS = ("data_options", "loss_options", "model_options", "custom")
_SMALLEST = {"latents": 1, "steps": 1, "batch": 1, "seed": 0, "warmup": 0}
# fields of earlier versions, which stored runs and checkpoints still use
_EARLIER_NAMES = {"standardise": "normalize"}


@dataclass(frozen=True)
class RunSpec:
    """Everything that decides the result of one training run.

    Parameters
    ----------
    data, data_options : str, mapping
        Name and options of the data set, as for `vaedis.load`.
    framework : {"beta-vae", "ada-gvae"}
    beta : float
        Weight of the KL divergence, averaged over batch and latents, against the reconstruction
        loss, averaged over batch and pixels (normalized beta, appendix B.1). See `beta_sum`.
    latents : int
        Size of the latent space, z.
    loss, loss_options : str, mapping
        Name and options of the reconstruction loss, as for `vaedis.losses.get`.
    steps : int
        Optimiser steps.
    batch : int
        Images per step for beta-VAE, *pairs* per step for Ada-GVAE.
    lr : float
        Adam's learning rate.
    warmup : int
        Steps over which beta grows linearly from 0. The paper has none.
    beta_schedule : {"linear", "cyclic"}
        "linear" keeps beta after the warm-up. "cyclic" lets it grow over `warmup` steps, keeps it
        for as many, and begins again from 0. Four cycles are ``warmup=steps // 8``.
    lr_schedule : {"constant", "cosine"}
        "cosine" lowers the learning rate from `lr` at the first step towards 0 after the last.
    average : {"mean", "published"}
        Ada-GVAE only; see `training.objectives.average_shared`.
    pairs : {"paper-code", "paper-text"}
        Ada-GVAE only: how the second image is drawn; see `FactorSpace.sample_pairs`.
    model, model_options : {"conv", "mlp"}, mapping
        The network of Table A3, or a small multi-layer perceptron; see `training.model.build`.
    normalize : bool
        Whether images are normalized by the data set's mean and std (Table A2), as in the paper,
        or lie in [0, 1].
    seed : int
        Decides initial weights, batches, pairs and noise.
    custom : mapping
        Names and fingerprints of what was passed to `fit` besides data and loss. `fit` sets it in
        `Run.spec`; the store does not accept such a run.

    Raises
    ------
    ValueError
        If a value does not exist or does not fit.

    References
    ----------
    Michlo, Klein and James (2023), appendix B and Table A4. Warm-up: Bowman et al. (2016), section
    3.1; Sønderby et al. (2016). Cycles: Fu et al. (2019), equation 6, with R = 0.5. Cosine:
    Loshchilov and Hutter (2017), equation 5, without restarts.

    Examples
    --------
    >>> spec = RunSpec(data_options={"grid_spacing": 1}, steps=2_000, batch=64)
    >>> spec.replace(seed=1).seed
    1
    >>> RunSpec(steps=0)
    Traceback (most recent call last):
    ValueError: steps must be a whole number of at least 1, not 0.
    """

    data: str = "xysquares"
    data_options: Mapping[str, Any] = field(default_factory=dict)
    framework: str = "beta-vae"
    beta: float = 0.001
    latents: int = 9
    loss: str = "mse"
    loss_options: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 57_600
    batch: int = 256
    lr: float = 1e-3
    warmup: int = 0
    beta_schedule: str = "linear"
    lr_schedule: str = "constant"
    average: str = "mean"
    pairs: str = "paper-code"
    model: str = "conv"
    model_options: Mapping[str, Any] = field(default_factory=dict)
    normalize: bool = True
    seed: int = 0
    custom: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in _OPTIONS:
            options = getattr(self, name)
            if not isinstance(options, Mapping):
                raise ValueError(f"{name} must be a mapping from names to values, not {options!r}.")
            object.__setattr__(self, name, _frozen(options, name))
        for name in ("data", "loss", "model", "beta", "lr"):
            _check.plain_field(name, getattr(self, name))
        if not (isinstance(self.loss, str) or hasattr(self.loss, "distance")):
            raise ValueError(f"loss must be the name of a loss or a Loss, not {self.loss!r}.")
        object.__setattr__(self, "normalize", _check.flag("normalize", self.normalize))
        _check.one_of("framework", self.framework, FRAMEWORKS)
        _check.one_of("average", self.average, AVERAGES)
        _check.one_of("pair rule", self.pairs, PAIR_RULES)
        models = (*_MODELS, "custom") if "model" in self.custom else _MODELS
        _check.one_of("model", self.model, models)
        _check.one_of("schedule of beta", self.beta_schedule, _BETA_SCHEDULES)
        _check.one_of("schedule of lr", self.lr_schedule, _LR_SCHEDULES)
        # Python's own numbers, so that equal specifications have one key: 1 and 1.0, 0.0 and -0.0
        for name, checked in (("beta", _check.non_negative), ("lr", _check.positive)):
            object.__setattr__(self, name, abs(checked(name, getattr(self, name))))
        for name, smallest in _SMALLEST.items():
            object.__setattr__(self, name, _check.count(name, getattr(self, name), smallest))
        object.__setattr__(self, "seed", _check.seed(self.seed))
        if self.warmup > self.steps:
            raise ValueError(
                f"warmup must be at most steps = {self.steps}, not {self.warmup}, "
                "or beta never reaches its value."
            )
        if self.beta_schedule == "cyclic" and not self.warmup:
            raise ValueError(
                "beta_schedule='cyclic' needs warmup, the steps over which beta grows in each "
                "cycle, for instance warmup=steps // 8."
            )

    def __repr__(self) -> str:
        # what is not said is as by default
        defaults = RunSpec()
        arguments = [
            f"{f.name}={getattr(self, f.name)!r}"
            for f in dataclasses.fields(self)
            if getattr(self, f.name) != getattr(defaults, f.name)
        ]
        return screenful(f"RunSpec({', '.join(arguments)})")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dict of plain dicts, lists and numbers, for JSON.

        Examples
        --------
        >>> RunSpec(seed=3).to_dict()["seed"]
        3
        """
        return {f.name: _thawed(getattr(self, f.name)) for f in dataclasses.fields(self)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> RunSpec:
        """Return the specification of a dict from `to_dict`, of this version or an earlier one.

        Examples
        --------
        >>> RunSpec.from_dict({"standardise": False}).normalize
        False
        """
        for earlier, name in _EARLIER_NAMES.items():
            if earlier in fields and name in fields:
                raise ValueError(f"{earlier!r} is the earlier name of {name!r}; give one of them.")
        renamed = {_EARLIER_NAMES.get(name, name): value for name, value in fields.items()}
        for name in renamed:
            _check.one_of("field of a RunSpec", name, cls.__dataclass_fields__)
        return cls(**renamed)

    @property
    def key(self) -> str:
        """Hash of 16 hexadecimal digits that names a stored run.

        Specifications with one key ask for the same training. An option that repeats its default
        gives another key. Device, precision and threads are not part of it. What cannot be hashed
        in an option is a ValueError; of a loss that holds such a thing only the name counts.

        Examples
        --------
        >>> RunSpec().key
        'cbf62e4384d74986'
        """
        fields = {"meaning": MEANING, **self.to_dict()}
        for name in _OPTIONS:
            fields[name] = _thawed(fields[name], integers=True)
        # runs that were stored before there was a warm-up have no such field
        if not self.warmup or not self.beta:
            del fields["warmup"], fields["beta_schedule"]
        # nor fields that came later
        later: dict[str, Any] = {"beta_schedule": "linear", "lr_schedule": "constant", "custom": {}}
        for name, default in later.items():
            if fields.get(name) == default:
                del fields[name]
        # fields that have no effect get their default
        if self.framework == "beta-vae":
            fields |= {"average": "mean", "pairs": "paper-code"}
        if self.loss == "bce":
            fields["normalize"] = True
        # stored runs have the earlier name
        fields["standardise"] = fields.pop("normalize")
        text = json.dumps(fields, sort_keys=True, default=_fingerprint)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def replace(self, **changes: Any) -> RunSpec:
        """Return a copy with some fields changed.

        Examples
        --------
        >>> RunSpec().replace(beta=0.1).beta
        0.1
        """
        return dataclasses.replace(self, **changes)

    def beta_at(self, step: int) -> float:
        """Return beta at a step, counted from 0.

        Examples
        --------
        >>> RunSpec(beta=0.5, warmup=100).beta_at(50)
        0.25
        >>> RunSpec(beta=0.5, warmup=100, beta_schedule="cyclic").beta_at(250)
        0.25
        """
        if self.beta_schedule == "cyclic":
            step %= 2 * self.warmup
        return self.beta if step >= self.warmup else self.beta * step / self.warmup

    def lr_at(self, step: int) -> float:
        """Return the learning rate at a step, counted from 0.

        Examples
        --------
        >>> RunSpec(lr=0.5, steps=100, lr_schedule="cosine").lr_at(50)
        0.25
        """
        if self.lr_schedule == "constant":
            return self.lr
        return self.lr * (1 + math.cos(math.pi * step / self.steps)) / 2

    def beta_sum(self, shape: tuple[int, int, int]) -> float:
        """Return beta as the weight of *summed* KL divergence against *summed* squared error.

        Most of the literature states it so (Higgins et al. 2017, appendix A.6): for images of the
        shape (H, W, C), ``beta = beta_sum * z / (H * W * C)``.

        Examples
        --------
        >>> round(RunSpec(beta=0.01, latents=9).beta_sum((64, 64, 3)), 2)
        13.65
        """
        height, width, channels = shape
        return self.beta * height * width * channels / self.latents


class _Options(dict[str, Any]):
    """A read-only dict, so that the key of a specification cannot change."""

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            "the options of a RunSpec cannot be changed; make another by replace, "
            "as in spec.replace(data_options={...})."
        )

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        return _Options, (dict(self),)


def _frozen(value: Any, field_name: str) -> Any:
    """Return a read-only copy of an option, with Python's numbers instead of numpy's."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        for name in value:
            if not isinstance(name, str):
                raise ValueError(f"the names in {field_name} must be text, not {name!r}.")
        return _Options((name, _frozen(inner, field_name)) for name, inner in value.items())
    if isinstance(value, list | tuple):
        return tuple(_frozen(inner, field_name) for inner in value)
    return value


def _thawed(value: Any, *, integers: bool = False) -> Any:
    """Return an option as dicts and lists, with 1.0 as 1 if both are to have one key."""
    if isinstance(value, Mapping):
        return {name: _thawed(inner, integers=integers) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_thawed(inner, integers=integers) for inner in value]
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return int(value) if integers and is_number and value % 1 == 0 else value


def _fingerprint(value: Any) -> str:
    """Return text that stands for what JSON cannot hold."""
    if hasattr(value, "fingerprint"):
        try:
            return value.fingerprint()
        except ValueError:  # by its name; a checkpoint tells it by its first losses
            return f"{value.name}, with more than can be told"
    raise ValueError(
        f"a key cannot follow from {value!r}; "
        "give options as numbers, text, lists and mappings, and losses as a Loss."
    )
