"""Same distances, no pixels: Figures 9 and 11 with small networks that see coordinates in place of
images.

The paper says that only perceived distances matter. If so, a network that is given these distances
and nothing else must do what the convolutional one does. Run what is missing with ``vaedis sweep
fig9 --no-pixels``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vaedis import _check
from vaedis.data import Coordinates, resolve_device
from vaedis.spec import RunSpec
from vaedis.training import Run, TrainingStopped, checkpoint, fit, forget
from vaedis_companion import grids, runs, store as results
from vaedis_companion.grids import Profile
from vaedis_companion.store import Row, RunTable, Store

PROFILE = Profile(
    "coordinates",
    4_000,
    4_000,
    128,
    5,
    (1, 8, 3, 2, 4, 5, 6, 7),
    300,
    "full",
    "two CPU cores: coordinates in place of images, small networks",
)
"""How long and how often.

Fixed before the study was run, so that all of it fits into an hour on two cores. A pilot with a seed of its own (1000, spacings 1 and 3)
chose between batches of 64 and 128; it is no part of the results.
"""

LIMITS = (0.1, 0.178, 0.316, 0.562, 1.0)
"""The betas of `grid("limits")`."""

EXPERIMENTS = ("fig9", "fig11", "averaging", "rotation", "beta", "warmup", "limits", "batch")


def without_pixels(spec: RunSpec, *, rotate: bool = True) -> RunSpec:
    """Return the specification of a run that sees only the distances of another one's images.

    Parameters
    ----------
    spec : RunSpec
        Of images, with a loss that is a quadratic form.
    rotate : bool
        Rotate the coordinates at random, each seed in its own way.

    Returns
    -------
    RunSpec
        With two hidden layers of 256, trained with MSE on coordinates (`data.Coordinates`); data,
        loss and seed go into the data's options.
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


def grid(experiment: str, scale: Profile = PROFILE) -> list[RunSpec]:
    """Return the runs of an experiment, one seed of every cell before the second of any.

    Parameters
    ----------
    experiment : {"fig9", "fig11", "averaging", "rotation", "beta", "warmup", "limits", "batch"}
        ``"fig9"``, ``"fig11"``: the cells of those figures, with the betas that the laptop profile
        uses. ``"averaging"``: Figure 9's Ada-GVAE cells with the published averaging.
        ``"rotation"``: those of spacings 1 and 3 without the random rotation. ``"beta"``: spacings
        1 and 8 with each beta of Table A4, two seeds at most, beta-VAE's before Ada-GVAE's.
        ``"warmup"``: the same from 0.00316 on, with a beta that grows over the first half of the
        steps. ``"limits"``: β-VAE at spacings 2, 4 and 6 around the betas that perceived distances
        foretell, with a constant beta and with one that grows. ``"batch"``: spacings 1 and 8 with
        batches of 64 and of 256, three seeds.
    scale : Profile
    """
    _check.one_of("experiment", experiment, EXPERIMENTS)
    if experiment in ("fig9", "fig11"):
        return [without_pixels(spec) for spec in grids.grid(experiment, scale)]
    if experiment == "beta":
        ends = [
            s for s in grids.fig9(scale) if s.data_options["grid_spacing"] in (1, 8) and s.seed < 2
        ]
        ends.sort(key=lambda s: (s.framework == "ada-gvae", s.seed))
        return [
            without_pixels(spec.replace(beta=beta)) for spec in ends for beta in sorted(grids.BETAS)
        ]
    if experiment == "warmup":
        return [
            spec.replace(warmup=spec.steps // 2)
            for spec in grid("beta", scale)
            if spec.beta > 0.001
        ]
    if experiment == "limits":
        between = [
            s
            for s in grids.fig9(scale)
            if s.data_options["grid_spacing"] in (2, 4, 6) and s.seed < 2
        ]
        between = [without_pixels(spec) for spec in between if spec.framework == "beta-vae"]
        return [
            s.replace(beta=beta, warmup=steps)
            for s in between
            for steps in (0, s.steps // 2)
            for beta in LIMITS
        ]
    if experiment == "batch":
        ends = [
            s for s in grids.fig9(scale) if s.data_options["grid_spacing"] in (1, 8) and s.seed < 3
        ]
        return [without_pixels(spec.replace(batch=batch)) for spec in ends for batch in (64, 256)]
    ada = [spec for spec in grids.fig9(scale) if spec.framework == "ada-gvae"]
    if experiment == "averaging":
        return [without_pixels(spec.replace(average="published")) for spec in ada]
    return [
        without_pixels(spec, rotate=False)
        for spec in ada
        if spec.data_options["grid_spacing"] in (1, 3)
    ]


def stored(experiment: str, store: Store | None = None) -> RunTable:
    """Return the stored runs of an experiment, for figures and tables; none are trained."""
    rows = (store or Store()).rows(experiment, PROFILE.name)
    done = [row["status"] == "finished" for row in rows]
    return RunTable(
        experiment,
        PROFILE.name,
        [r for r, ok in zip(rows, done, strict=True) if ok],
        [r for r, ok in zip(rows, done, strict=True) if not ok],
    )


def populations(specs: Sequence[RunSpec], most: int = 16) -> list[list[RunSpec]]:
    """Split specifications into populations of one seed each that can train at once, in their order.

    A population has one seed and many settings rather than many seeds of one setting. Settings may
    share a population as long as their arrays have equal shapes, which spacings, losses and betas
    do not change; and as one seed ends before the next begins, a study that is cut short, or still
    running, already has every point of a figure, from fewer seeds.

    Parameters
    ----------
    specs : sequence of RunSpec
    most : int
        Members of a population at most: as many as the processor's cache has room for.
    """
    groups: dict[tuple[Any, ...], list[RunSpec]] = {}
    for spec in specs:
        groups.setdefault(
            (spec.seed, spec.framework, spec.latents, spec.batch, spec.steps), []
        ).append(spec)
    return [group[i : i + most] for group in groups.values() for i in range(0, len(group), most)]


def missing(
    experiment: str,
    *,
    scale: Profile = PROFILE,
    store: Store | None = None,
    also: Store | None = None,
) -> list[RunSpec]:
    """Return those runs of an experiment that are not stored, nor finished in a second store, in
    their order.
    """
    have = (store or Store()).keys(experiment, scale.name)
    if also is not None:
        have |= also.keys(experiment, scale.name, failed=False)
    return [spec for spec in grid(experiment, scale) if spec.key not in have]


def run_missing(
    experiment: str,
    *,
    scale: Profile = PROFILE,
    device: str | torch.device = "auto",
    store: Store | None = None,
    seeds: Sequence[int] | None = None,
    seconds: float | None = None,
    most: int = 8,
    quiet: bool = False,
    also: Store | None = None,
    stop: Callable[[], bool] | None = None,
) -> int:
    """Train what an experiment lacks, one population after the other, and store each run.

    A population that is interrupted goes on from its last checkpoint the next time, if the same
    runs are missing then; its runs are stored all at once, so that they are.

    Parameters
    ----------
    experiment : {"fig9", "fig11", "averaging", "rotation", "beta", "warmup", "limits", "batch"}
    scale : Profile
    device : str or torch.device
    store : Store, optional
    seeds : sequence of int, optional
        Only these.
    seconds : float, optional
        Stop with a checkpoint when they are over, and start no population that would likely end
        later, judged by the longest so far.
    most : int
        Members of a population.
    quiet : bool
        Print no line for each run.
    also : Store, optional
        A store whose finished runs need not be made again.
    stop : callable, optional
        Stop with a checkpoint as soon as it returns true.

    Returns
    -------
    int
        How many runs ended, failed ones included.
    """
    store, started, longest, done = store or Store(), time.perf_counter(), 0.0, 0
    todo = [
        s
        for s in missing(experiment, scale=scale, store=store, also=also)
        if seeds is None or s.seed in seeds
    ]
    if todo:
        store.check_writable(experiment, scale.name)
    folder = store.root / "checkpoints" if checkpoint.available() else None
    if folder is not None:
        _forget_stored(folder, store.keys(experiment, scale.name))

    def over() -> bool:
        return (stop is not None and stop()) or (
            seconds is not None and time.perf_counter() - started >= seconds
        )

    for population in populations(todo, most):
        before = time.perf_counter()
        if seconds is not None and before - started + longest > seconds:
            break
        try:
            trained = fit(population, device=device, checkpoint=folder, deadline=over)
        except TrainingStopped:
            break
        rows = [row_of(run, experiment, scale) for run in trained]
        store.add_all(rows)
        for row, _ in rows:
            done += 1
            if not quiet:
                print(
                    f"{experiment} {done}/{len(todo)} {runs.brief(row)}",
                    file=sys.stderr,
                    flush=True,
                )
        if folder is not None:
            forget(population, folder)
        longest = max(longest, time.perf_counter() - before)
    return done


def _forget_stored(folder: Path, stored: Collection[str]) -> None:
    """Remove the checkpoints of populations whose runs are all stored, which a process that was
    killed could not remove.
    """
    for path in folder.glob("*.safetensors"):
        keys = checkpoint.runs_of(path)
        if keys and set(keys) <= set(stored):
            path.unlink(missing_ok=True)


def row_of(run: Run, experiment: str, scale: Profile) -> tuple[Row, dict[str, np.ndarray]]:
    """Score a run and return its row and arrays for the store; a run that failed is a row too, whose
    status says why.

    Returns
    -------
    row : dict
    arrays : dict of str to ndarray
        As from `scoring.summarise`; pictures of latent cycles only for seed 0.
    """
    started = time.perf_counter()
    device = runs.device_name(resolve_device(run.data.device))
    made_by: dict[str, Any] = {
        "protocol": scale.protocol,
        "device": device,
        "precision": "float32",
        "threads": torch.get_num_threads(),
    }
    if run.failure is not None:
        status = f"failed: loss not finite at step {run.failure.step}, last finite loss {run.failure.last_finite}"
        return results.make_row(
            run.spec, experiment, scale.name, status=status, seconds=run.seconds, **made_by
        ), {}
    # sums are those over the pixels that the coordinates stand for
    images = run.data.source if isinstance(run.data, Coordinates) else run.data
    scores = runs.final_scores(run, scale.protocol, images.shape)
    arrays = {
        name: a for name, a in runs.summarise(run).items() if name != "cycles" or run.spec.seed == 0
    }
    seconds = run.seconds + time.perf_counter() - started
    return results.make_row(
        run.spec,
        experiment,
        scale.name,
        scores=scores,
        seconds=seconds,
        images_per_second=run.images_per_second,
        origin=run.data.origin,
        **made_by,
        **runs.taken_up(run),
    ), arrays
