"""Plain data about what is run: the specification of one run, the paper's grids, and the profiles. Imports nothing heavy.

A `RunSpec` says everything that decides a run's result. Its `key` names the run in the store. The grids of Table A4 are functions from a
`Profile` to a list of specifications.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vaedis import _check

FRAMEWORKS = ("beta-vae", "ada-gvae")
AVERAGES = ("mean", "published")
PAIR_RULES = ("paper-code", "paper-text")
MODELS = ("conv", "mlp")


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
        Weight of the mean over batch and latents of the KL divergence, beside the mean over all pixels of the reconstruction loss
        (the normalised beta of the paper's appendix B.1). `beta_sum` converts it.
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
    average : {"mean", "published"}
        Ada-GVAE only: how the posteriors of shared latents are averaged; ``"published"`` is the variant that the published runs
        almost certainly used, in which both images take the second image's mean.
    pairs : {"paper-code", "paper-text"}
        Ada-GVAE only: how the second image is drawn (`FactorSpace.sample_pairs`).
    model : {"conv", "mlp"}
        The network of Table A3, or a small multi-layer perceptron.
    model_options : mapping
    standardise : bool
        Train on images standardised by the data set's mean and std (Table A2), as in the paper, or on [0, 1].
    seed : int
        Decides the initial weights, the order of the images, the pairs and the sampling noise.

    References
    ----------
    Michlo, Klein and James (2023), appendix B and Table A4.
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
    average: str = "mean"
    pairs: str = "paper-code"
    model: str = "conv"
    model_options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    standardise: bool = True
    seed: int = 0

    def __post_init__(self):
        for name in ("data_options", "loss_options", "model_options"):
            object.__setattr__(self, name, dict(getattr(self, name)))
        _check.one_of("framework", self.framework, FRAMEWORKS)
        _check.one_of("average", self.average, AVERAGES)
        _check.one_of("pair rule", self.pairs, PAIR_RULES)
        _check.one_of("model", self.model, MODELS)
        _check.non_negative("beta", self.beta)
        _check.positive("lr", self.lr)
        for name in ("latents", "steps", "batch"):
            _check.count(name, getattr(self, name))
        _check.count("seed", self.seed, 0)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a plain dict that JSON can hold."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    @property
    def key(self) -> str:
        """A hash of 16 hexadecimal digits that two specifications share only if all their fields are equal."""
        text = json.dumps(self.to_dict(), sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def replace(self, **changes: Any) -> RunSpec:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def beta_sum(self, shape: tuple[int, int, int]) -> float:
        """Return the beta that weighs *summed* KL against *summed* squared error, as most of the literature states it.

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


@dataclass(frozen=True)
class Profile:
    """At what scale the book's experiments are run.

    Parameters
    ----------
    name : str
    steps : int
        Optimiser steps of the convolutional runs of Figures 9 and 11.
    long_steps : int
        Optimiser steps of Figure 6.
    repeats : int
        Seeds of each cell.
    spacings : tuple of int
        The grid spacings of Figure 9.
    demo_steps : int
        Optimiser steps of the single runs behind Figures 1, 4, 7 and 10.
    protocol : {"full", "fast"}
        How many samples the scores are computed from (`vaedis.metrics.evaluate`).
    meant_for : str
        One line for the reader.
    """

    name: str
    steps: int
    long_steps: int
    repeats: int
    spacings: tuple[int, ...]
    demo_steps: int
    protocol: str
    meant_for: str


PROFILES: dict[str, Profile] = {
    "smoke": Profile("smoke", 8, 8, 1, (1, 8), 40, "fast", "continuous integration and Binder: every code path, at toy length"),
    "laptop": Profile("laptop", 4_000, 8_000, 2, (1, 2, 4, 8), 4_000, "full", "two CPU cores: the claims, with fewer steps and repeats"),
    "paper": Profile("paper", 57_600, 115_200, 5, (1, 2, 3, 4, 5, 6, 7, 8), 57_600, "full", "a GPU or a cluster: Table A4 as published"),
}


def profile(name: str | None = None) -> Profile:
    """Return a profile by name; without one, that of the environment variable ``VAEDIS_PROFILE``, or else ``smoke``.

    Raises
    ------
    ValueError
        If there is no such profile; the message lists those that exist.
    """
    if name is None:
        name = os.environ.get("VAEDIS_PROFILE") or "smoke"
    return PROFILES[_check.one_of("profile", name, PROFILES)]
