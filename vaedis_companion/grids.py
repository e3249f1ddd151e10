"""The paper's grids as lists of specifications, and the profiles that say at what length they are
run.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any

from vaedis import _check
from vaedis.spec import FRAMEWORKS, RunSpec


@dataclass(frozen=True)
class Profile:
    """At what scale the book's experiments are run.

    Parameters
    ----------
    name : str
    steps : int
        Optimiser steps of Figures 9 and 11.
    long_steps : int
        Optimiser steps of Figure 6.
    batch : int
        Images, or pairs, a step.
    repeats : int
        Seeds of each cell.
    spacings : tuple of int
        The grid spacings of Figure 9, in the order in which they are run.
    demo_steps : int
        Optimiser steps of the small networks that a chapter trains while it runs.
    protocol : {"full", "fast"}
        How many samples the scores are computed from (`vaedis.metrics.evaluate`).
    meant_for : str
        One line for the reader.
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


PROFILES: dict[str, Profile] = {
    "smoke": Profile(
        "smoke",
        8,
        8,
        64,
        1,
        (1, 8),
        1_500,
        "fast",
        "continuous integration and Binder: every code path, at toy length",
    ),
    "laptop": Profile(
        "laptop",
        2_000,
        2_000,
        64,
        5,
        (1, 8, 2, 4, 3, 6, 5, 7),
        4_000,
        "full",
        "two CPU cores: the claims, with fewer steps and repeats",
    ),
    "settings": Profile(
        "settings",
        2_500,
        2_500,
        64,
        1,
        (1, 8),
        4_000,
        "full",
        "two CPU cores: every beta and latent size of Figure 6, on data made here",
    ),
    "long": Profile(
        "long",
        57_600,
        115_200,
        64,
        3,
        (1, 4, 8, 2, 3, 5, 6, 7),
        4_000,
        "full",
        "two CPU cores, for days: the steps of the paper, with a quarter of its batch",
    ),
    "paper": Profile(
        "paper",
        57_600,
        115_200,
        256,
        5,
        (1, 8, 2, 4, 3, 5, 6, 7),
        4_000,
        "full",
        "a GPU or a cluster: Table A4 as published",
    ),
}


def profile(name: str | None = None) -> Profile:
    """Return a profile by name; without one, that of the environment variable ``VAEDIS_PROFILE``, or
    else ``smoke``.

    Raises
    ------
    ValueError
        If there is no such profile; the message lists those that exist.
    """
    if name is None:
        name = os.environ.get("VAEDIS_PROFILE") or "smoke"
    return PROFILES[_check.one_of("profile", name, PROFILES)]


BETAS = (0.001, 0.000316, 0.00316, 0.01, 0.0316, 0.1, 0.316, 1.0)
"""Those of Figure 6 in Table A4, the one that Figures 9 and 11 build on first."""

# where the images come from, said in each specification, so that a run on a stand-in is never taken
# for one on the original
_MADE: dict[str, dict[str, Any]] = {
    "xysquares": {"grid_spacing": 8},
    "smallnorb": {"origin": "stand-in"},
    "cars3d": {"origin": "stand-in"},
    "shapes3d": {"origin": "rendered"},
    "dsprites": {"origin": "rendered"},
}
_ORIGINAL: dict[str, dict[str, Any]] = {
    name: options if name == "xysquares" else {"origin": "original"}
    for name, options in _MADE.items()
}


def fig6(scale: Profile) -> list[RunSpec]:
    """Return the grid of Figure 6 (section 5.3): two frameworks on five data sets.

    The paper profile has Table A4's eight betas and two latent sizes, one run each, on the
    originals. The other profiles have its first beta and latent size with two seeds, on data that
    is made here: rendered, or a stand-in where the images are photographs. The settings profile has
    all of Table A4's settings, one run each, on the data sets that are no stand-ins.
    """
    full = scale.name == "paper"
    pooled = full or scale.name == "settings"
    specs = [
        RunSpec(
            data=data,
            data_options=(_ORIGINAL if full else _MADE)[data],
            framework=framework,
            beta=beta,
            latents=latents,
            steps=scale.long_steps,
            batch=scale.batch,
            seed=seed,
        )
        for seed in range(1 if full else min(2, scale.repeats))
        for beta in (BETAS if pooled else BETAS[:1])
        for latents in ((9, 25) if pooled else (9,))
        for data in (
            "xysquares",
            "dsprites",
            "shapes3d",
            *(() if scale.name == "settings" else ("cars3d", "smallnorb")),
        )
        for framework in FRAMEWORKS
    ]
    # every beta of the framework that trains fastest first: they answer which beta a data set needs
    return (
        sorted(specs, key=lambda s: (s.framework != "beta-vae", s.latents))
        if scale.name == "settings"
        else specs
    )


def fig9(scale: Profile) -> list[RunSpec]:
    """Return the runs that Figure 9 shows (section 5.4): XYSquares at each spacing, z = 9.

    The sweep of Table A4 crosses everything with beta 0.001 and 0.00316; the figure shows 0.001,
    but for beta-VAE at spacings 1 and 2, where it shows 0.00316 (the authors'
    ``plot_p01_all_experiments.py``).
    """
    return [
        RunSpec(
            data_options={"grid_spacing": spacing},
            framework=framework,
            beta=0.00316 if framework == "beta-vae" and spacing < 3 else 0.001,
            latents=9,
            steps=scale.steps,
            batch=scale.batch,
            seed=seed,
        )
        for seed in range(scale.repeats)
        for spacing in scale.spacings
        for framework in ("ada-gvae", "beta-vae")
    ]


def fig11(scale: Profile) -> list[RunSpec]:
    """Return the grid of Figure 11 (section 6.1): XYSquares at spacing 8 with and without box blur, z
    = 25.

    Table A4 crosses both losses with beta 0.0001 and 0.0316 and the figure pools them; that is the
    paper profile's grid. The other profiles run each loss with the one beta that suits it: 0.0001
    for MSE, 0.0316 for box blur, whose values are larger.
    """
    betas = {"box-blur": (0.0316, 0.0001), "mse": (0.0001, 0.0316)}
    used = 2 if scale.name == "paper" else 1
    return [
        RunSpec(
            data_options={"grid_spacing": 8},
            framework=framework,
            loss=loss,
            beta=betas[loss][k],
            latents=25,
            steps=scale.steps,
            batch=scale.batch,
            seed=seed,
        )
        for seed in range(scale.repeats)
        for k in range(used)
        for framework in ("ada-gvae", "beta-vae")
        for loss in ("box-blur", "mse")
    ]


def averaging(scale: Profile) -> list[RunSpec]:
    """Return Figure 9's Ada-GVAE cells with the averaging that the published runs almost certainly
    used (appendix B.3 tells the rest).

    The smallest and the largest spacing of each seed come first: the paper's conclusion, that
    scores fall between them, rests on these.
    """
    return [s.replace(average="published") for s in fig9(scale) if s.framework == "ada-gvae"]


def beta(scale: Profile) -> list[RunSpec]:
    """Return XYSquares at spacings 8 and 1 with each beta of Table A4, beta-VAE, z = 9: where does
    learning end?

    Betas come from the middle outwards, since that is where it must be.
    """
    middle = 0.0316
    return [
        RunSpec(
            data_options={"grid_spacing": spacing},
            framework="beta-vae",
            beta=beta,
            latents=9,
            steps=scale.steps,
            batch=scale.batch,
            seed=seed,
        )
        for seed in range(min(2, scale.repeats))
        for beta in sorted(BETAS, key=lambda b: abs(math.log(b / middle)))
        for spacing in (8, 1)
    ]


def warmup(scale: Profile) -> list[RunSpec]:
    """Return the runs of `beta` from 0.00316 on, with a beta that grows to its value over the first
    half of the steps.

    Can a network hold, once beta has grown, what it does not find under the same beta from the
    start?
    """
    return [s.replace(warmup=s.steps // 2) for s in beta(scale) if s.beta > 0.001]


def limits(scale: Profile) -> list[RunSpec]:
    """Return XYSquares at spacing 8 with a beta that grows for long, to where collapse is stable and
    beyond where a code pays.

    Four times the steps of `warmup`, and of its betas the three from 0.1 on.
    """
    return [
        s.replace(steps=4 * s.steps, warmup=4 * s.warmup)
        for s in warmup(scale)
        if s.data_options["grid_spacing"] == 8 and s.beta >= 0.1
    ]


def longer(scale: Profile) -> list[RunSpec]:
    """Return runs of `fig11`, and of `fig9` those of Ada-GVAE at spacing 4, with four times the steps
    and at most three seeds.

    Does what shorter runs lack, a gain from blur and a return at middle spacings, need only more
    steps?
    """
    middle = [
        s for s in fig9(scale) if s.framework == "ada-gvae" and s.data_options["grid_spacing"] == 4
    ]
    chosen = sorted((*fig11(scale), *middle), key=lambda s: s.seed)
    return [s.replace(steps=4 * s.steps) for s in chosen if s.seed < 3]


def low_beta(scale: Profile) -> list[RunSpec]:
    """Return `fig9`'s beta-VAE at spacings 1 and 2 with beta 0.001, the other value that Table A4
    has for Figure 9.
    """
    near = [
        s for s in fig9(scale) if s.framework == "beta-vae" and s.data_options["grid_spacing"] < 3
    ]
    return [s.replace(beta=0.001) for s in near]


def batch(scale: Profile) -> list[RunSpec]:
    """Return `fig9`'s cells at spacing 1 with the paper's batch of 256, two seeds at most.

    What does a smaller batch change at equal steps?
    """
    return [
        s.replace(batch=256)
        for s in fig9(scale)
        if s.data_options["grid_spacing"] == 1 and s.seed < 2
    ]


_FIRST_SPACINGS = {"ada-gvae": (1, 4, 8, 2), "beta-vae": (1, 8, 2, 4)}


def plan(scale: Profile) -> list[RunSpec]:
    """Return the runs of Figures 9 and 11 in the order that tells most soonest, one seed of every line
    before the second of any.

    Ada-GVAE at spacings 1, 4, 8 and 2; the cells of Figure 11; beta-VAE at spacings 1, 8, 2 and 4,
    at 1 and 2 with both betas; the other spacings; last the published averaging at spacings 1, 2
    and 4.
    """

    def line(spec: RunSpec) -> tuple[int, int]:
        spacing = spec.data_options["grid_spacing"]
        if spec.average == "published":
            return 4, spacing
        if spec.latents == 25:
            return 1, 0
        first = _FIRST_SPACINGS[spec.framework]
        if spacing not in first:
            return 3, spacing
        return (0 if spec.framework == "ada-gvae" else 2), first.index(spacing)

    near = [s for s in averaging(scale) if s.data_options["grid_spacing"] in (1, 2, 4)]
    return sorted(
        [*fig9(scale), *fig11(scale), *low_beta(scale), *near], key=lambda s: (s.seed, *line(s))
    )


def home(experiment: str, spec: RunSpec, scale: Profile) -> str:
    """Return the experiment whose table a run belongs in: of `plan`, which has none of its own, the
    first that has the run.
    """
    if experiment != "plan":
        return experiment
    return next(
        name
        for name in ("fig9", "fig11", "low_beta", "averaging")
        if spec.key in {s.key for s in GRIDS[name](scale)}
    )


GRIDS = {
    "fig6": fig6,
    "fig9": fig9,
    "fig11": fig11,
    "averaging": averaging,
    "beta": beta,
    "warmup": warmup,
    "limits": limits,
    "longer": longer,
    "low_beta": low_beta,
    "batch": batch,
}


def grid(experiment: str, scale: Profile | str | None = None) -> list[RunSpec]:
    """Return the runs of an experiment, the most informative first: one repeat of every cell before
    the second of any.

    Parameters
    ----------
    experiment : {"fig6", "fig9", "fig11", "averaging", "beta", "warmup", "limits", "longer", "low_beta", "batch", "plan"}
        ``"plan"`` is the runs of several, in an order of its own.
    scale : Profile or str, optional
        As for `profile`.

    References
    ----------
    Michlo, Klein and James (2023), Table A4.
    """
    make = {**GRIDS, "plan": plan}[_check.one_of("experiment", experiment, [*GRIDS, "plan"])]
    return make(scale if isinstance(scale, Profile) else profile(scale))
