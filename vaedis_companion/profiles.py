"""Profiles: how long and how often the book's experiments are run."""

from __future__ import annotations

import dataclasses
import os
import re
from dataclasses import dataclass
from typing import Any

from vaedis import _check

# far more than anybody trains; a grid of millions of runs takes minutes to list
_MOST_SEEDS = 1_000


@dataclass(frozen=True)
class Profile:
    """How long and how often the book's experiments are run.

    `steps` are optimiser steps of Figures 9 and 11, `long_steps` of Figure 6, and `demo_steps` of
    the small networks that a chapter trains while it runs. `batch` counts images, or pairs, per
    step; `repeats` the seeds of each setting; `spacings` are those of Figure 9, in the order in
    which they are run. `protocol`, "full" or "fast", says how many samples the scores are computed
    from (`vaedis.metrics.evaluate`), `coordinates` whether networks see coordinates in place of
    images, and `meant_for` is one line for the reader. `chosen_seeds` is the number of seeds if the
    user chose it, which then holds for studies of fewer seeds too.
    """

    name: str
    steps: int
    long_steps: int
    batch: int
    repeats: int
    spacings: tuple[int, ...]
    demo_steps: int
    protocol: str
    meant_for: str
    coordinates: bool = False
    chosen_seeds: int | None = None

    @property
    def base(self) -> str:
        """The name of the profile that this one has other steps or seeds of, or its own."""
        return self.name.partition("_")[0]

    def resized(self, steps: int | None = None, seeds: int | None = None) -> Profile:
        """Return a profile with other steps and seeds a setting, under a name that says so.

        Its runs have tables of their own in the store, which no figure of the book takes.

        Examples
        --------
        >>> PROFILES["laptop"].resized(steps=8_000, seeds=1).name
        'laptop_steps8000_seeds1'
        """
        changes: dict[str, Any] = {}
        name = self.name
        if steps is not None:
            changes |= {"steps": _check.count("--steps", steps), "long_steps": steps}
            name += f"_steps{steps}"
        if seeds is not None:
            if _check.count("--seeds", seeds) > _MOST_SEEDS:
                raise ValueError(f"--seeds must be at most {_MOST_SEEDS:,}, not {seeds:,}.")
            changes["repeats"] = changes["chosen_seeds"] = seeds
            name += f"_seeds{seeds}"
        return dataclasses.replace(self, name=name, **changes)


_SMOKE = "continuous integration and Binder: every code path, at toy length"
_LAPTOP = "two CPU cores: the claims, with fewer steps and one setting of Figure 6"
_SETTINGS = "two CPU cores: every beta and latent size of Figure 6, on data made here"
_LONG = "two CPU cores, for days: the steps of the paper, with a quarter of its batch"
_PAPER = "a GPU or a cluster: the settings of Table A4 that the figures show"
# smallest and largest spacing first: the paper's conclusion rests on these
_ORDER = (1, 8, 2, 4, 3, 6, 5, 7)
_LONG_ORDER = (1, 4, 8, 2, 3, 5, 6, 7)
_PAPER_ORDER = (1, 8, 2, 4, 3, 5, 6, 7)

PROFILES: dict[str, Profile] = {
    "smoke": Profile("smoke", 8, 8, 64, 1, (1, 8), 1_500, "fast", _SMOKE),
    "laptop": Profile("laptop", 2_000, 2_000, 64, 5, _ORDER, 4_000, "full", _LAPTOP),
    "settings": Profile("settings", 2_500, 2_500, 64, 1, (1, 8), 4_000, "full", _SETTINGS),
    "long": Profile("long", 57_600, 115_200, 64, 3, _LONG_ORDER, 4_000, "full", _LONG),
    "paper": Profile("paper", 57_600, 115_200, 256, 5, _PAPER_ORDER, 4_000, "full", _PAPER),
}

COORDINATES = Profile(
    name="coordinates",
    steps=4_000,
    long_steps=4_000,
    batch=128,
    repeats=5,
    spacings=(1, 8, 3, 2, 4, 5, 6, 7),
    demo_steps=300,
    protocol="full",
    meant_for="two CPU cores: coordinates in place of images, small networks",
    coordinates=True,
)
"""Fixed before the study was run, so that all of it fits into an hour on two cores. A pilot with a
seed of its own (1000, spacings 1 and 3) chose between batches of 64 and 128; it is no part of the
results."""


def command_options(name: str) -> str:
    """Return the options of ``vaedis sweep`` that ask for a profile, by its name in the store.

    Examples
    --------
    >>> command_options("laptop_steps8000_seeds1")
    '--profile laptop --steps 8000 --seeds 1'
    """
    if name == COORDINATES.name:
        return "--no-pixels"
    base, *changes = name.split("_")
    words = [re.sub(r"^(steps|seeds)(\d+)$", r"--\1 \2", change) for change in changes]
    return " ".join(["--profile", base, *words])


def profile(name: str | None = None) -> Profile:
    """Return a profile by name, by default that of ``VAEDIS_PROFILE``, or else ``smoke``.

    Examples
    --------
    >>> profile("laptop").repeats
    5
    """
    name = name or os.environ.get("VAEDIS_PROFILE") or "smoke"
    return PROFILES[_check.one_of("profile", name, PROFILES)]
