"""The specification of a training run: everything that decides its result, as names and numbers."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vaedis import _check

FRAMEWORKS = ("beta-vae", "ada-gvae")
AVERAGES = ("mean", "published")
PAIR_RULES = ("paper-code", "paper-text")
MODELS = ("conv", "mlp")
# raised whenever a change of the package changes what a specification trains, so that stored runs
# are never taken for new ones
MEANING = 1
# what the name of a data set begins with in the spec of a run whose data were given to `fit`
GIVEN = "given: "
_EARLIER_NAMES = {"standardise": "normalize"}


@dataclass(frozen=True)
class RunSpec:
    """Everything that decides the result of one training run.

    Parameters
    ----------
    data : str
        Name of the data set, as for `vaedis.load`.
    data_options : mapping
        Its options, for instance ``{"grid_spacing": 1}``.
    framework : {"beta-vae", "ada-gvae"}
    beta : float
        Weight of the mean over batch and latents of the KL divergence, beside the mean over all
        pixels of the reconstruction loss (the normalised beta of the paper's appendix B.1).
        `beta_sum` converts it.
    latents : int
        Size of the latent space, z.
    loss : str
        Name of the reconstruction loss, as for `vaedis.losses.get`.
    loss_options : mapping
    steps : int
        Optimiser steps.
    batch : int
        Images a step for beta-VAE, *pairs* a step for Ada-GVAE.
    lr : float
        Adam's learning rate.
    warmup : int
        Over how many steps beta grows from 0 to its value, in a straight line; with 0, as in the
        paper, it is constant.
    average : {"mean", "published"}
        Ada-GVAE only: how the posteriors of shared latents are averaged; ``"published"`` is the
        variant that the published runs almost certainly used, in which both images take the second
        image's mean.
    pairs : {"paper-code", "paper-text"}
        Ada-GVAE only: how the second image is drawn (`FactorSpace.sample_pairs`).
    model : {"conv", "mlp"}
        The network of Table A3, or a small multi-layer perceptron.
    model_options : mapping
    normalize : bool
        Train on images normalized by the data set's mean and std (Table A2), as in the paper, or on
        [0, 1].
    seed : int
        Decides the initial weights, the order of the images, the pairs and the sampling noise.

    References
    ----------
    Michlo, Klein and James (2023), appendix B and Table A4. Warm-up: Bowman et al. (2016), section
    3.1; Sønderby et al. (2016).
    """

    data: str = "xysquares"
    data_options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    framework: str = "beta-vae"
    beta: float = 0.001
    latents: int = 9
    loss: str = "mse"
    loss_options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    steps: int = 57_600
    batch: int = 256
    lr: float = 1e-3
    warmup: int = 0
    average: str = "mean"
    pairs: str = "paper-code"
    model: str = "conv"
    model_options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    normalize: bool = True
    seed: int = 0

    def __post_init__(self):
        for name in ("data_options", "loss_options", "model_options"):
            object.__setattr__(self, name, _options(name, getattr(self, name)))
        if not (isinstance(self.loss, str) or hasattr(self.loss, "distance")):
            raise ValueError(f"loss must be the name of a loss or a Loss, not {self.loss!r}.")
        if not isinstance(self.normalize, bool):
            raise ValueError(f"normalize must be True or False, not {self.normalize!r}.")
        if not isinstance(self.data, str):
            raise ValueError(
                f"data must be the name of a data set, not a {type(self.data).__name__}; give your own as in fit(spec, data=mine)."
            )
        _check.one_of("framework", self.framework, FRAMEWORKS)
        _check.one_of("average", self.average, AVERAGES)
        _check.one_of("pair rule", self.pairs, PAIR_RULES)
        _check.one_of("model", self.model, MODELS)
        # plain numbers, so that specifications that are equal have one key: 1 and 1.0, and numpy's
        # numbers and Python's
        object.__setattr__(self, "beta", abs(_check.non_negative("beta", self.beta)))  # -0.0 is 0
        object.__setattr__(self, "lr", _check.positive("lr", self.lr))
        for name, least in {"latents": 1, "steps": 1, "batch": 1, "seed": 0, "warmup": 0}.items():
            object.__setattr__(self, name, _check.count(name, getattr(self, name), least))
        if self.warmup > self.steps:
            raise ValueError(
                f"warmup must be at most steps = {self.steps}, not {self.warmup}, or beta never reaches its value."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a plain dict that JSON can hold, with options that may be changed
        without changing these.
        """
        return {f.name: _thawed(getattr(self, f.name)) for f in dataclasses.fields(self)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> RunSpec:
        """Return the specification that `to_dict` was called on; fields may have the names of
        earlier versions.
        """
        return cls(**{_EARLIER_NAMES.get(name, name): value for name, value in fields.items()})

    @property
    def key(self) -> str:
        """A hash of 16 hexadecimal digits, shared only by specifications that train the same, under
        the same meaning of the code.

        Raises
        ------
        ValueError
            If an option or a loss holds something that no key can follow from.
        """
        decides = {"meaning": MEANING, **self.to_dict(), **self._plain_options()}
        if not self.warmup or not self.beta:
            del decides[
                "warmup"
            ]  # as it is in the keys of runs that were stored before there was one
        # what cannot matter has its default
        if self.framework == "beta-vae":
            decides |= {"average": "mean", "pairs": "paper-code"}
        if self.loss == "bce":
            decides["normalize"] = True
        # the field's first name: stored runs are found by it
        decides["standardise"] = decides.pop("normalize")
        text = json.dumps(decides, sort_keys=True, default=_identity)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _plain_options(self) -> dict[str, dict[str, Any]]:
        """The options with each whole number as an int, however it was given."""

        def plain(value: Any) -> Any:
            whole = (
                isinstance(value, numbers.Real) and not isinstance(value, bool) and value % 1 == 0
            )
            if isinstance(value, Mapping):
                return {key: plain(inner) for key, inner in value.items()}
            return (
                int(value)
                if whole
                else [plain(v) for v in value]
                if isinstance(value, list | tuple)
                else value
            )

        names = ("data_options", "loss_options", "model_options")
        return {
            name: {key: plain(value) for key, value in getattr(self, name).items()}
            for name in names
        }

    def replace(self, **changes: Any) -> RunSpec:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def beta_at(self, step: int) -> float:
        """Return beta at a step, counted from 0."""
        return self.beta if step >= self.warmup else self.beta * step / self.warmup

    def beta_sum(self, shape: tuple[int, int, int]) -> float:
        """Return the beta that weighs *summed* KL against *summed* squared error, as most of the
        literature states it.

        Parameters
        ----------
        shape : (H, W, C)
            Shape of one observation.

        References
        ----------
        Higgins et al. (2017), appendix A.6: ``beta = beta_sum * z / (H * W * C)``.
        """
        height, width, channels = shape
        return self.beta * height * width * channels / self.latents


class _Options(dict):
    """A dict that cannot be changed, and nothing in it: what a key follows from must stay as it is."""

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            "the options of a RunSpec cannot be changed; make another by replace, as in spec.replace(data_options={...})."
        )

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __copy__(self) -> _Options:
        return self

    def __deepcopy__(self, _: Any) -> _Options:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _Options, (dict(self),)


def _options(name: str, options: Any) -> _Options:
    """Options of a specification that cannot be changed."""
    if not isinstance(options, Mapping):
        raise ValueError(f"{name} must be a mapping from names to values, not {options!r}.")
    frozen = _frozen(options)
    _need_names(name, frozen)
    return frozen


def _need_names(where: str, value: Any) -> None:
    """Raise a ValueError if a mapping in options has a key that is no text, which JSON would make
    one.
    """
    for inner in (
        value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple) else ()
    ):
        _need_names(where, inner)
    strange = (
        [key for key in value if not isinstance(key, str)] if isinstance(value, Mapping) else []
    )
    if strange:
        raise ValueError(f"the names in {where} must be text, not {strange[0]!r}.")


def _frozen(value: Any) -> Any:
    """An option as JSON can hold it, that cannot be changed: numpy's numbers and arrays become
    Python's.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return _Options((key, _frozen(inner)) for key, inner in value.items())
    return tuple(_frozen(inner) for inner in value) if isinstance(value, list | tuple) else value


def _thawed(value: Any) -> Any:
    """An option in dicts and lists of its own."""
    if isinstance(value, Mapping):
        return {key: _thawed(inner) for key, inner in value.items()}
    return [_thawed(inner) for inner in value] if isinstance(value, tuple) else value


def _identity(value: Any) -> str:
    """Text for what JSON cannot hold, from which the value follows."""
    if hasattr(value, "fingerprint"):
        return value.fingerprint()
    raise ValueError(
        f"a key cannot follow from {value!r}; give options as numbers, text, lists and mappings, and losses as a Loss."
    )
