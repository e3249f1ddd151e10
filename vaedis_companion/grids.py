"""The runs of each experiment.

Runs on images follow the paper's Table A4. Those on coordinates are a study of this book: small
networks see points that have the perceived distances of the images, and no pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from vaedis import _check
from vaedis.spec import FRAMEWORKS, RunSpec
from vaedis_companion.profiles import COORDINATES, PROFILES, Profile, profile

__all__ = [
    "BETAS",
    "COORDINATES",
    "COORDINATE_GRIDS",
    "GRIDS",
    "LIMITS",
    "PLANNED",
    "PROFILES",
    "Profile",
    "grid",
    "profile",
    "without_pixels",
]

BETAS = (0.001, 0.000316, 0.00316, 0.01, 0.0316, 0.1, 0.316, 1.0)
"""Those of Figure 6 in Table A4, the one that Figures 9 and 11 build on first."""

LIMITS = (0.1, 0.178, 0.316, 0.562, 1.0)
"""The betas of the experiment "limits" on coordinates."""

# the origin of the images is part of each specification, so that a run on a stand-in is never taken
# for one on the original
_MADE_HERE: dict[str, dict[str, Any]] = {
    "xysquares": {"grid_spacing": 8},
    "smallnorb": {"origin": "stand-in"},
    "cars3d": {"origin": "stand-in"},
    "shapes3d": {"origin": "rendered"},
    "dsprites": {"origin": "rendered"},
}


def _spacing(spec: RunSpec) -> int:
    return spec.data_options["grid_spacing"]


def _xysquares(profile: Profile, spacing: int, **options: Any) -> RunSpec:
    data_options = {"grid_spacing": spacing}
    return RunSpec(data_options=data_options, steps=profile.steps, batch=profile.batch, **options)


def _n_seeds(profile: Profile, most: int) -> int:
    """Return the number of seeds that was asked for, or the profile's, up to a study's own."""
    return profile.chosen_seeds or min(most, profile.repeats)


def fig6(profile: Profile) -> list[RunSpec]:
    """Return the runs of Figure 6 (section 5.3): two frameworks on five data sets.

    The paper profile has Table A4's eight betas and two latent sizes, once each, on the originals;
    the settings profile has the same on what is made here, the framework that trains fastest first.
    The others have one beta and latent size with two seeds, on data that is made here.
    """
    is_paper = profile.base == "paper"
    is_settings = profile.base == "settings"
    pooled = is_paper or is_settings
    names = ["xysquares", "dsprites", "shapes3d"]
    if not is_settings:
        names += ["cars3d", "smallnorb"]
    options = dict(_MADE_HERE)
    if is_paper:
        options |= {name: {"origin": "original"} for name in names if name != "xysquares"}
    specs = [
        RunSpec(
            data=data,
            data_options=options[data],
            framework=framework,
            beta=beta,
            latents=latents,
            steps=profile.long_steps,
            batch=profile.batch,
            seed=seed,
        )
        for seed in range(_n_seeds(profile, 1 if is_paper else 2))
        for beta in (BETAS if pooled else BETAS[:1])
        for latents in ((9, 25) if pooled else (9,))
        for data in names
        for framework in FRAMEWORKS
    ]
    if is_settings:
        specs.sort(key=lambda s: (s.framework != "beta-vae", s.latents))
    return specs


def fig9(profile: Profile) -> list[RunSpec]:
    """Return the runs of Figure 9 (section 5.4): XYSquares at each spacing, z = 9.

    Table A4 has two betas; the figure shows 0.001, but for beta-VAE at spacings 1 and 2, where it
    shows 0.00316 (the authors' ``plot_p01_all_experiments.py``).
    """
    return [
        _xysquares(
            profile,
            spacing,
            framework=framework,
            beta=0.00316 if framework == "beta-vae" and spacing < 3 else 0.001,
            latents=9,
            seed=seed,
        )
        for seed in range(profile.repeats)
        for spacing in profile.spacings
        for framework in ("ada-gvae", "beta-vae")
    ]


def fig11(profile: Profile) -> list[RunSpec]:
    """Return the runs of Figure 11 (section 6.1): spacing 8 with and without box blur, z = 25.

    Table A4 crosses both losses with both betas and the figure pools them, as the paper profile
    does. The others run each loss with the beta that suits it; box blur's values are larger.
    """
    betas = {"box-blur": (0.0316, 0.0001), "mse": (0.0001, 0.0316)}
    n_betas = 2 if profile.base == "paper" else 1
    return [
        _xysquares(
            profile, 8, framework=framework, loss=loss, beta=betas[loss][k], latents=25, seed=seed
        )
        for seed in range(profile.repeats)
        for k in range(n_betas)
        for framework in ("ada-gvae", "beta-vae")
        for loss in ("box-blur", "mse")
    ]


def averaging(profile: Profile) -> list[RunSpec]:
    """Return Figure 9's Ada-GVAE with the average that the published runs most likely took."""
    return [s.replace(average="published") for s in fig9(profile) if s.framework == "ada-gvae"]


def beta(profile: Profile) -> list[RunSpec]:
    """Return XYSquares at spacings 8 and 1 with each beta of Table A4, from the middle outwards."""
    return [
        _xysquares(profile, spacing, framework="beta-vae", beta=beta, latents=9, seed=seed)
        for seed in range(_n_seeds(profile, 2))
        for beta in sorted(BETAS, key=lambda b: abs(math.log(b / 0.0316)))
        for spacing in (8, 1)
    ]


def warmup(profile: Profile) -> list[RunSpec]:
    """Return the runs of `beta` from 0.00316 on, with a beta that grows for half of the steps."""
    return [s.replace(warmup=s.steps // 2) for s in beta(profile) if s.beta > 0.001]


def limits(profile: Profile) -> list[RunSpec]:
    """Return `warmup` at spacing 8 from beta 0.1 on, with four times the steps and warm-up."""
    return [
        s.replace(steps=4 * s.steps, warmup=4 * s.warmup)
        for s in warmup(profile)
        if _spacing(s) == 8 and s.beta >= 0.1
    ]


def longer(profile: Profile) -> list[RunSpec]:
    """Return Figure 11, and Ada-GVAE at spacing 4, with four times the steps; three seeds."""
    middle = [s for s in fig9(profile) if s.framework == "ada-gvae" and _spacing(s) == 4]
    specs = sorted((*fig11(profile), *middle), key=lambda s: s.seed)
    return [s.replace(steps=4 * s.steps) for s in specs if s.seed < _n_seeds(profile, 3)]


def low_beta(profile: Profile) -> list[RunSpec]:
    """Return Figure 9's beta-VAE at spacings 1 and 2 with beta 0.001, Table A4's other value."""
    near = [s for s in fig9(profile) if s.framework == "beta-vae" and _spacing(s) < 3]
    return [s.replace(beta=0.001) for s in near]


def batch(profile: Profile) -> list[RunSpec]:
    """Return Figure 9's runs at spacing 1 with the paper's batch of 256, two seeds."""
    near = [s for s in fig9(profile) if _spacing(s) == 1]
    return [s.replace(batch=256) for s in near if s.seed < _n_seeds(profile, 2)]


_FIRST_SPACINGS = {"ada-gvae": (1, 4, 8, 2), "beta-vae": (1, 8, 2, 4)}


def plan(profile: Profile) -> list[RunSpec]:
    """Return Figures 9 and 11, the most informative runs first, one seed of all before the next.

    Ada-GVAE at spacings 1, 4, 8 and 2; Figure 11; beta-VAE at spacings 1, 8, 2 and 4, at 1 and 2
    with both betas; the other spacings; last the published averaging at spacings 1, 2 and 4.
    """

    def rank(spec: RunSpec) -> tuple[int, int, int]:
        spacing = _spacing(spec)
        first = _FIRST_SPACINGS[spec.framework]
        if spec.average == "published":
            return spec.seed, 4, spacing
        if spec.latents == 25:
            return spec.seed, 1, 0
        if spacing not in first:
            return spec.seed, 3, spacing
        return spec.seed, 0 if spec.framework == "ada-gvae" else 2, first.index(spacing)

    published = [s for s in averaging(profile) if _spacing(s) in (1, 2, 4)]
    return sorted([*fig9(profile), *fig11(profile), *low_beta(profile), *published], key=rank)


def without_pixels(spec: RunSpec, *, rotate: bool = True) -> RunSpec:
    """Return the specification of a run that sees only the distances of another one's images.

    Two hidden layers of 256 are trained with MSE on coordinates (`data.Coordinates`), rotated at
    random for each seed if asked; data, loss and seed become options of the data.

    Examples
    --------
    >>> without_pixels(RunSpec(data_options={"grid_spacing": 1}, seed=3)).data_options
    {'source': 'xysquares', 'grid_spacing': 1, 'distance': 'mse', 'rotation': 3}
    """
    options: dict[str, Any] = {"source": spec.data, **spec.data_options, "distance": spec.loss}
    if spec.loss_options:
        options["distance_options"] = dict(spec.loss_options)
    if rotate:
        options["rotation"] = spec.seed
    return spec.replace(
        data="coordinates",
        data_options=options,
        loss="mse",
        loss_options={},
        model="mlp",
        model_options={},
    )


def _beta_without_pixels(profile: Profile) -> list[RunSpec]:
    """Return spacings 1 and 8 with each beta of Table A4, two seeds, beta-VAE first."""
    ends = [s for s in fig9(profile) if _spacing(s) in (1, 8) and s.seed < 2]
    ends.sort(key=lambda s: (s.framework == "ada-gvae", s.seed))
    return [s.replace(beta=beta) for s in ends for beta in sorted(BETAS)]


def _warmup_without_pixels(profile: Profile) -> list[RunSpec]:
    """Return the same from 0.00316 on, with a beta that grows over half of the steps."""
    specs = _beta_without_pixels(profile)
    return [s.replace(warmup=s.steps // 2) for s in specs if s.beta > 0.001]


def _limits_without_pixels(profile: Profile) -> list[RunSpec]:
    """Return beta-VAE at middle spacings around the predicted betas, constant and growing."""
    middle = [s for s in fig9(profile) if _spacing(s) in (2, 4, 6) and s.seed < 2]
    return [
        s.replace(beta=beta, warmup=warmup)
        for s in middle
        if s.framework == "beta-vae"
        for warmup in (0, s.steps // 2)
        for beta in LIMITS
    ]


def _batch_without_pixels(profile: Profile) -> list[RunSpec]:
    """Return spacings 1 and 8 with batches of 64 and 256, three seeds."""
    ends = [s for s in fig9(profile) if _spacing(s) in (1, 8) and s.seed < 3]
    return [s.replace(batch=batch) for s in ends for batch in (64, 256)]


def _rotation(profile: Profile) -> list[RunSpec]:
    """Return Figure 9's Ada-GVAE at spacings 1 and 3, to be run without a random rotation."""
    return [s for s in fig9(profile) if s.framework == "ada-gvae" and _spacing(s) in (1, 3)]


PLANNED = ("fig9", "fig11", "low_beta", "averaging")
"""The experiments whose runs `plan` has."""
_MAKERS = (fig6, fig9, fig11, averaging, beta, warmup, limits, longer, low_beta, batch)
GRIDS: dict[str, Callable[[Profile], list[RunSpec]]] = {make.__name__: make for make in _MAKERS}
COORDINATE_GRIDS: dict[str, Callable[[Profile], list[RunSpec]]] = {
    "fig9": fig9,
    "fig11": fig11,
    "averaging": averaging,
    "rotation": _rotation,
    "beta": _beta_without_pixels,
    "warmup": _warmup_without_pixels,
    "limits": _limits_without_pixels,
    "batch": _batch_without_pixels,
}


def grid(experiment: str, size: Profile | str | None = None) -> list[RunSpec]:
    """Return the runs of an experiment, the most informative first.

    The experiment is one of `GRIDS`, or ``"plan"``; with a profile of coordinates, one of
    `COORDINATE_GRIDS`. The profile is one, or its name as for `profile`. Source: Michlo, Klein and
    James (2023), Table A4.

    Examples
    --------
    >>> len(grid("fig9", "paper"))
    80
    """
    chosen = size if isinstance(size, Profile) else profile(size)
    if chosen.coordinates:
        _check.one_of("experiment without pixels", experiment, COORDINATE_GRIDS)
        specs = COORDINATE_GRIDS[experiment](chosen)
        return [without_pixels(spec, rotate=experiment != "rotation") for spec in specs]
    makers = {**GRIDS, "plan": plan}
    return makers[_check.one_of("experiment", experiment, makers)](chosen)


def home(experiment: str, spec: RunSpec, profile: Profile) -> str:
    """Return the experiment whose table a run belongs in: `plan` has no table of its own."""
    if experiment != "plan":
        return experiment
    return next(name for name in PLANNED if spec.key in {s.key for s in GRIDS[name](profile)})
