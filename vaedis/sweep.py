"""Run what an experiment still lacks: train, score, store; never run what the store holds."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vaedis import _check, _cluster, _files, distances, experiments, losses, metrics, results
from vaedis._progress import Progress
from vaedis.data import resolve_device
from vaedis.experiments import Profile, RunSpec
from vaedis.results import Found, Row, Store
from vaedis.train import Run, TrainingFailed, TrainingStopped, fit

_CYCLE_FRAMES = 9
_HISTORY_POINTS = 200
# how often a run is scored on its way; the authors scored theirs 24 times by MIG and 8 times by DCI
_LOOKS = 8
_CHECKPOINT_EVERY = 500


def run_one(
    spec: RunSpec,
    experiment: str,
    scale: Profile,
    *,
    device: str | torch.device = "auto",
    checkpoint: Path | None = None,
    stop: Callable[[], bool] | None = None,
) -> tuple[Row, dict[str, np.ndarray]]:
    """Train and score one run.

    Parameters
    ----------
    spec : RunSpec
    experiment : str
    scale : Profile
    device : str or torch.device
    checkpoint : Path, optional
        A folder for the run's checkpoints: a run that left one there goes on from it.
    stop : callable, optional
        The `deadline` of `fit`.

    Returns
    -------
    row : dict
        As `results.make_row`; a run whose loss became NaN or infinite is a row too, whose status says so.
    arrays : dict of str to ndarray
        What Figures 4, 7 and 10 draw; see `summarise`. Empty if the run failed.

    Raises
    ------
    TrainingStopped
        If `stop` said so before the run was trained.
    """
    started = time.perf_counter()
    place = resolve_device(device)
    made_by: dict[str, Any] = {"protocol": scale.protocol, "device": device_name(place), "threads": torch.get_num_threads()}
    best = _Maxima(checkpoint)
    # scored on the way only where runs are long enough for a score to mean anything
    every = spec.steps // _LOOKS if scale.protocol == "full" else 0
    try:
        run = fit(
            spec,
            device=place,
            callback=best if every else None,
            every=every,
            checkpoint=checkpoint,
            checkpoint_every=max(1, min(_CHECKPOINT_EVERY, spec.steps // 4)),
            deadline=stop,
        )
    except TrainingFailed as failure:
        status = f"failed: loss not finite at step {failure.step}, last finite loss {failure.last_finite}"
        return results.make_row(spec, experiment, scale.name, status=status, seconds=time.perf_counter() - started, **made_by), {}
    found: dict[str, Any] = metrics.evaluate(run.model, _Seen(run), protocol=scale.protocol, seed=0)
    last = slice(-min(100, spec.steps), None)
    scores = {
        "mig": float(found["mig"]),
        "dci": float(found["dci"]),
        "dci_completeness": found["dci"].completeness,
        "dci_informativeness": found["dci"].informativeness,
        **best.scores(),
        "beta_sum": spec.beta_sum(run.data.shape),
        **{f"final_{term}": float(values[last].mean()) for term, values in run.history.items()},
    }
    # of the training and the scores, whatever the process that did them
    seconds = time.perf_counter() - started
    row = results.make_row(spec, experiment, scale.name, scores=scores, seconds=seconds, images_per_second=run.images_per_second, **made_by)
    return row, summarise(run)


class _Maxima:
    """The best of the fast scores along a run, as the authors logged them; kept beside its checkpoints, so that it resumes with them.

    References
    ----------
    The authors' metric callback: fast protocols during training, and a running maximum in the summary of each run.
    """

    def __init__(self, folder: Path | None):
        self.path = None if folder is None else folder / "scores.json"
        self.found: dict[str, dict[str, float]] = {}
        if self.path is not None and self.path.exists():
            with contextlib.suppress(ValueError):
                self.found = json.loads(self.path.read_text(encoding="utf-8"))

    def __call__(self, step: int, run: Run) -> None:
        found = metrics.evaluate(run.model, _Seen(run), protocol="fast", seed=0)
        self.found[str(step)] = {name: float(found[name]) for name in ("mig", "dci")}
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _files.write_atomically(self.path, json.dumps(self.found).encode())

    def scores(self) -> dict[str, float]:
        return {f"{name}_max": max(f[name] for f in self.found.values()) for name in ("mig", "dci") if self.found}


class _Seen:
    """A run's data set as its network sees it, for `metrics.evaluate`."""

    def __init__(self, run: Run):
        self.run, self.factors = run, run.data.factors

    def observations(self, index: torch.Tensor) -> torch.Tensor:
        return self.run.data.observations(index, standardise=self.run.standardise)


def summarise(run: Run) -> dict[str, np.ndarray]:
    """Return what the book's figures need of a trained network, small enough to keep.

    Returns
    -------
    dict of str to ndarray
        ``"cycles"``: uint8, shape (z, 9, H, W, C): pictures as one latent moves from its smallest to its largest posterior mean over 64
        random observations while the others stay at the first one's. ``"spread"``: float32, shape (z,): the mean over those observations
        of each latent's KL divergence from the prior. ``"<level>/<factor>"``: float32, shape (f, f): distances at each level
        (`distances.level_matrices`). ``"steps"``, ``"loss"``, ``"recon"``, ``"kl"``: the training history, averaged in up to 200 windows.

    References
    ----------
    The authors' latent-cycle callback, mode ``minmax_interval_cycle``, seed 7777.
    """
    generator = torch.Generator(run.data.device).manual_seed(7777)
    mean, logvar = run.posterior(run.data.factors.sample_index(64, generator=generator))
    low, high = mean.amin(0), mean.amax(0)
    z = mean[0].repeat(run.spec.latents, _CYCLE_FRAMES, 1)
    for latent in range(run.spec.latents):
        z[latent, :, latent] = torch.lerp(low[latent], high[latent], torch.linspace(0, 1, _CYCLE_FRAMES, device=z.device))
    arrays = {
        "cycles": run.pictures(z.flatten(0, 1)).unflatten(0, z.shape[:2]).cpu().numpy(),
        "spread": losses.kl_to_prior(mean, logvar).mean(0).cpu().numpy(),
    }
    for factor in run.data.factors.names:
        for level, matrix in distances.level_matrices(run, factor).items():
            arrays[f"{level}/{factor}"] = matrix.astype(np.float32)
    windows = np.array_split(np.arange(run.spec.steps), min(_HISTORY_POINTS, run.spec.steps))
    arrays["steps"] = np.array([w[-1] + 1 for w in windows], np.int32)
    for term, values in run.history.items():
        arrays[term] = np.array([values[w].mean() for w in windows], np.float32)
    return arrays


def missing(experiment: str, scale: Profile, store: Store, *, retry_failed: bool = False, shard: tuple[int, int] = (1, 1)) -> list[RunSpec]:
    """Return the specifications of an experiment that the store has no row of, the most informative first.

    Parameters
    ----------
    experiment : str
    scale : Profile
    store : Store
    retry_failed : bool
        Count runs that failed as missing.
    shard : (int, int)
        ``(i, n)``: the i-th of n shares, counted from 1, that are dealt out in turn; for array jobs of a cluster.
    """
    part, parts = shard
    if not 1 <= part <= parts:
        raise ValueError(f"A shard is i/n with i from 1 to n, not {part}/{parts}.")
    specs = experiments.grid(experiment, scale)
    if not specs:
        raise ValueError(f"The grid of {experiment} is empty in the {scale.name} profile: there is nothing to run.")
    have = store.keys(experiment, scale.name, failed=not retry_failed)
    return [spec for spec in specs[part - 1 :: parts] if spec.key not in have]


def run_missing(
    experiment: str,
    profile: str | None = None,
    *,
    device: str | torch.device = "auto",
    store: Store | None = None,
    seconds: float | None = None,
    most: int | None = None,
    quiet: bool = False,
) -> int:
    """Run what an experiment lacks in a profile, one run after the other, and store each as it ends.

    Parameters
    ----------
    experiment : {"fig6", "fig9", "fig11"}
    profile : str, optional
        As for `experiments.profile`.
    device : str or torch.device
    store : Store, optional
    seconds : float, optional
        Start no run that would likely end later than this, judged by the longest run so far.
    most : int, optional
        Start at most so many runs.
    quiet : bool
        Print no line for each run.

    Returns
    -------
    int
        How many runs ended.
    """
    scale, store = experiments.profile(profile), store or Store()
    todo = missing(experiment, scale, store)[:most]
    started, longest = time.perf_counter(), 0.0
    progress = Progress(experiment, len(todo), sum(map(_images, todo)), quiet=quiet)
    for spec in todo:
        before = time.perf_counter()
        if seconds is not None and before - started + longest > seconds:
            break
        row, arrays = run_one(spec, experiment, scale, device=device)
        store.add(row, arrays)
        longest = max(longest, time.perf_counter() - before)
        progress.ended(_brief(row), _images(spec))
    progress.close()
    return progress.done


@dataclass
class Sweep:
    """A sweep that can be stopped at any moment and started again: nothing is lost but the steps since a run's last checkpoint.

    Parameters
    ----------
    experiment : str
    scale : Profile
    store : Store
        Rows go here, checkpoints into its folder ``checkpoints``.
    device : str
    workers : int
        Of a local Dask cluster; 0 runs in this process.
    scheduler : str, optional
        Address of a running Dask cluster, used instead.
    seconds : float, optional
        Stop cleanly before so many seconds have passed.
    also : Store, optional
        A store whose finished runs need not be made again.
    retry_failed, shard
        As for `missing`.
    quiet : bool

    Attributes
    ----------
    ended, stopped : int
        How many runs are stored, and how many were stopped with a checkpoint.
    asked_to_stop : bool
        Set it, from a signal handler for instance, to stop cleanly.
    """

    experiment: str
    scale: Profile
    store: Store
    device: str = "auto"
    workers: int = 0
    scheduler: str | None = None
    seconds: float | None = None
    also: Store | None = None
    retry_failed: bool = False
    shard: tuple[int, int] = (1, 1)
    quiet: bool = False
    ended: int = 0
    stopped: int = 0
    asked_to_stop: bool = False

    def todo(self) -> list[RunSpec]:
        """Return what is missing."""
        wanted = missing(self.experiment, self.scale, self.store, retry_failed=self.retry_failed, shard=self.shard)
        have = self.also.keys(self.experiment, self.scale.name, failed=False) if self.also else set()
        return [spec for spec in wanted if spec.key not in have]

    def run(self) -> int:
        """Run what is missing and store each run as it ends; return how many ended."""
        if self.seconds is not None:
            _check.positive("seconds", self.seconds)
        todo = self.todo()
        deadline = None if self.seconds is None else time.time() + self.seconds
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        progress = Progress(self.experiment, len(todo), sum(map(_images, todo)), quiet=self.quiet)
        outcomes = self._on_cluster(todo, deadline, progress) if self.workers or self.scheduler else self._here(todo, deadline, progress)
        try:
            for spec, outcome in outcomes:
                if outcome is None:
                    self.stopped += 1
                    continue
                self.store.add(*outcome)
                shutil.rmtree(self.checkpoints / spec.key, ignore_errors=True)
                self.ended += 1
                progress.ended(_brief(outcome[0]), _images(spec))
        finally:
            progress.close()
        return self.ended

    @property
    def checkpoints(self) -> Path:
        """Where unfinished runs are kept."""
        return self.store.root / "checkpoints"

    def _here(self, todo: list[RunSpec], deadline: float | None, progress: Progress) -> Iterator[tuple[RunSpec, _cluster.Outcome]]:
        scoring = 0.0

        def stop() -> bool:
            progress.tick()
            # a run that is trained when the time is up must still be scored
            return self.asked_to_stop or (deadline is not None and time.time() + scoring > deadline)

        for spec in todo:
            if stop():
                return
            started = time.perf_counter()
            try:
                outcome = run_one(spec, self.experiment, self.scale, device=self.device, checkpoint=self.checkpoints / spec.key, stop=stop)
            except TrainingStopped:
                yield spec, None
                return
            yield spec, outcome
            if outcome[0].get("images_per_second"):
                trained = _images(spec) / outcome[0]["images_per_second"]
                scoring = max(scoring, time.perf_counter() - started - trained)

    def _on_cluster(self, todo: list[RunSpec], deadline: float | None, progress: Progress) -> Iterator[tuple[RunSpec, _cluster.Outcome]]:
        def stop() -> bool:
            progress.tick()
            return self.asked_to_stop

        threads = max(1, (os.cpu_count() or 1) // self.workers) if self.scheduler is None else None
        with _cluster.connect(self.workers, self.scheduler) as client:
            try:
                yield from _cluster.run(
                    client,
                    todo,
                    self.experiment,
                    self.scale,
                    device=self.device,
                    checkpoints=self.checkpoints.resolve(),
                    threads=threads,
                    deadline=deadline,
                    stop=stop,
                )
            finally:
                if self.scheduler is None:
                    client.cluster.close()


def _images(spec: RunSpec) -> int:
    return spec.steps * spec.batch * (2 if spec.framework == "ada-gvae" else 1)


def complete(experiment: str, profile: str | None = None, *, device: str | torch.device = "auto", store: Store | None = None) -> Found:
    """Return the best stored runs of an experiment, after running what the profile asks for and the store lacks.

    Parameters
    ----------
    experiment : {"fig6", "fig9", "fig11"}
    profile : str, optional
        As for `experiments.profile`. In the smoke profile, whose runs are far too short to mean anything, they are trained every time
        and kept nowhere, and are returned only if nothing better is stored.
    device : str or torch.device
    store : Store, optional

    Returns
    -------
    Found
    """
    scale, store = experiments.profile(profile), store or Store()
    if scale.name != "smoke":
        run_missing(experiment, scale.name, device=device, store=store)
        return store.best(experiment) or Found(experiment, scale.name, [], store.rows(experiment, scale.name))
    rows = [run_one(spec, experiment, scale, device=device)[0] for spec in experiments.grid(experiment, scale)]
    finished = [row for row in rows if row["status"] == "finished"]
    return store.best(experiment) or Found(experiment, scale.name, finished, [row for row in rows if row["status"] != "finished"])


def device_name(device: torch.device) -> str:
    """Return "cpu", or the name of a GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def _brief(row: Row) -> str:
    options = " ".join(f"{k}={v}" for k, v in {**row["data_options"], **row["loss_options"]}.items())
    head = f"{row['framework']} {row['loss']} {options} beta={row['beta']} z={row['latents']} seed={row['seed']}"
    if row["status"] != "finished":
        return f"{head}: {row['status']}"
    return f"{head}: MIG {row['mig']:.3f} DCI {row['dci']:.3f}, {row['seconds']:.0f} s, {row['images_per_second']:.0f} images/s"


def describe_missing(experiment: str, scales: Sequence[Profile] | None = None, *, store: Store | None = None) -> dict[str, tuple[int, int]]:
    """Return, for each profile, how many of an experiment's runs are stored and how many there are: {profile: (stored, all)}."""
    store = store or Store()
    found = {}
    for scale in scales or experiments.PROFILES.values():
        specs = experiments.grid(experiment, scale)
        have = store.keys(experiment, scale.name)
        found[scale.name] = (sum(s.key in have for s in specs), len(specs))
    return found
