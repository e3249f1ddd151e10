"""Run what an experiment still lacks: train, score, store; never run what the store holds."""

from __future__ import annotations

import shutil
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vaedis import _check, _files
from vaedis._support.cpus import usable_cpus
from vaedis.data import resolve_device
from vaedis.spec import RunSpec
from vaedis.training import TrainingStopped, checkpoint
from vaedis.training.step import resolve_precision
from vaedis_companion import cluster, grids
from vaedis_companion.grids import Profile
from vaedis_companion.progress import Progress
from vaedis_companion.runs import brief, run_one
from vaedis_companion.store import Row, RunTable, Store

_Outcomes = Generator[tuple[RunSpec, cluster.Outcome], None, None]


def missing(
    experiment: str,
    scale: Profile,
    store: Store,
    *,
    retry_failed: bool = False,
    shard: tuple[int, int] = (1, 1),
) -> list[RunSpec]:
    """Return the specifications of an experiment that the store has no row of, the most informative
    first.

    Parameters
    ----------
    experiment : str
    scale : Profile
    store : Store
    retry_failed : bool
        Count runs that failed as missing.
    shard : (int, int)
        ``(i, n)``: the i-th of n shares, counted from 1, that are dealt out in turn; for array jobs
        of a cluster.
    """
    part, parts = shard
    if not 1 <= part <= parts:
        raise ValueError(f"A shard is i/n with i from 1 to n, not {part}/{parts}.")
    specs = grids.grid(experiment, scale)
    if not specs:
        raise ValueError(
            f"The grid of {experiment} is empty in the {scale.name} profile: there is nothing to run."
        )
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
    experiment : {"fig6", "fig9", "fig11", "averaging", "beta", "warmup", "limits", "longer"}
    profile : str, optional
        As for `grids.profile`.
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
    scale, store = grids.profile(profile), store or Store()
    todo = missing(experiment, scale, store)[:most]
    if todo:
        store.check_writable(experiment, scale.name)
    started, longest = time.perf_counter(), 0.0
    progress = Progress(experiment, len(todo), sum(map(_images, todo)), quiet=quiet)
    for spec in todo:
        before = time.perf_counter()
        if seconds is not None and before - started + longest > seconds:
            break
        row, arrays = run_one(spec, experiment, scale, device=device)
        store.add(row, arrays)
        longest = max(longest, time.perf_counter() - before)
        progress.ended(brief(row), _images(spec))
    progress.close()
    return progress.done


@dataclass
class Sweep:
    """A sweep that can be stopped at any moment and started again: nothing is lost but the steps since
    a run's last checkpoint.

    Parameters
    ----------
    experiment : str
    scale : Profile
    store : Store
        Rows go here, checkpoints into its folder ``checkpoints``.
    device : str
    precision : str
        As for `fit`.
    workers : int
        Of a local Dask cluster; 0 runs in this process.
    scheduler : str, optional
        Address of a running Dask cluster, used instead.
    seconds : float, optional
        Stop cleanly before so many seconds have passed, however the time of day is set meanwhile.
    also : Store, optional
        A store whose finished runs need not be made again.
    retry_failed, shard
        As for `missing`.
    quiet : bool

    Attributes
    ----------
    ended, failed, stopped : int
        How many runs are stored, how many of these failed, and how many have a checkpoint from
        which they go on.
    asked_to_stop : bool
        Set it, from a signal handler for instance, to stop cleanly.
    """

    experiment: str
    scale: Profile
    store: Store
    device: str = "auto"
    precision: str = "auto"
    workers: int = 0
    scheduler: str | None = None
    seconds: float | None = None
    also: Store | None = None
    retry_failed: bool = False
    shard: tuple[int, int] = (1, 1)
    quiet: bool = False
    ended: int = 0
    failed: int = 0
    stopped: int = 0
    asked_to_stop: bool = False

    def todo(self) -> list[RunSpec]:
        """Return what is missing."""
        wanted = missing(
            self.experiment,
            self.scale,
            self.store,
            retry_failed=self.retry_failed,
            shard=self.shard,
        )
        have = (
            self.also.keys(self.experiment, self.scale.name, failed=False) if self.also else set()
        )
        return [spec for spec in wanted if spec.key not in have]

    def run(self) -> int:
        """Run what is missing and store each run as it ends; return how many ended.

        Raises
        ------
        ValueError
            If the grid is empty, the device or precision does not exist, or the time was up before
            any step was taken, so that the same call again would do nothing either.
        OSError
            If a run cannot be stored.
        """
        if self.seconds is not None:
            _check.positive("seconds", self.seconds)
        if (
            self.scheduler is None
        ):  # workers of a cluster elsewhere may have other devices than this machine
            resolve_precision(self.precision, resolve_device(self.device))
        deadline = None if self.seconds is None else time.monotonic() + self.seconds
        self.store.check_writable(self.experiment, self.scale.name)
        todo = self.todo()
        _files.make_folder(self.checkpoints)
        self._forget_stored()
        before = self._progress_kept()
        progress = Progress(self.experiment, len(todo), sum(map(_images, todo)), quiet=self.quiet)
        on_cluster = bool(todo) and bool(self.workers or self.scheduler)
        outcomes = (
            self._on_cluster(todo, deadline, progress)
            if on_cluster
            else self._here(todo, deadline, progress)
        )
        try:
            for spec, outcome in outcomes:
                if outcome is None:
                    self.stopped += self._has_checkpoint(spec.key)
                    continue
                self._keep(*outcome)
                shutil.rmtree(self.checkpoints / spec.key, ignore_errors=True)
                self.ended += 1
                self.failed += outcome[0]["status"] != "finished"
                progress.ended(brief(outcome[0]), _images(spec))
        finally:
            outcomes.close()  # workers end before the error that ends this loop is told
            progress.close()
        idle = not self.ended and not self.asked_to_stop and self._progress_kept() == before
        if self.seconds is not None and todo and idle and checkpoint.available():
            raise ValueError(
                f"The budget of {self.seconds:g} s was over before the first step; give more than a sweep takes to start, or none."
            )
        return self.ended

    def _keep(self, row: Row, arrays: Mapping[str, np.ndarray]) -> None:
        try:
            self.store.add(row, arrays)
        except OSError as problem:
            kept = (
                "its checkpoint is kept"
                if self._has_checkpoint(row["key"])
                else "it has no checkpoint and is lost"
            )
            raise OSError(
                f"A run ended and could not be stored in {self.store.root} ({problem}); "
                f"{kept}: make room, and start the sweep again. "
                f"The run: {brief(row)}"
            ) from problem

    def _has_checkpoint(self, key: str) -> bool:
        return any((self.checkpoints / key).glob("*.safetensors"))

    def _progress_kept(self) -> set[str]:
        """The checkpoints in which at least one step was taken."""
        return {
            path.name
            for path in self.checkpoints.glob("*/*.safetensors")
            if checkpoint.step_of(path)
        }

    def _forget_stored(self) -> None:
        """Remove the checkpoints of runs that were stored by a process that was killed before it
        could remove them.
        """
        for key in self.store.keys(self.experiment, self.scale.name, failed=False):
            shutil.rmtree(self.checkpoints / key, ignore_errors=True)

    @property
    def checkpoints(self) -> Path:
        """Where unfinished runs are kept."""
        return self.store.root / "checkpoints"

    def _here(self, todo: list[RunSpec], deadline: float | None, progress: Progress) -> _Outcomes:
        scoring = 0.0

        def stop() -> bool:
            progress.tick()
            # a run that is trained when the time is up must still be scored
            return self.asked_to_stop or _is_over(deadline, scoring)

        for spec in todo:
            if stop():
                return
            started = time.perf_counter()
            try:
                outcome = run_one(
                    spec,
                    self.experiment,
                    self.scale,
                    device=self.device,
                    precision=self.precision,
                    checkpoint=checkpoint.of_run(self.checkpoints, spec),
                    stop=stop,
                )
            except TrainingStopped:
                yield spec, None
                return
            yield spec, outcome
            if outcome[0].get("images_per_second"):
                trained = _images(spec) / outcome[0]["images_per_second"]
                scoring = max(scoring, time.perf_counter() - started - trained)

    def _on_cluster(
        self, todo: list[RunSpec], deadline: float | None, progress: Progress
    ) -> _Outcomes:
        def stop() -> bool:
            progress.tick()
            return self.asked_to_stop or _is_over(deadline)

        workers = min(self.workers, len(todo))  # more would have nothing to do
        # torch's own number heeds OMP_NUM_THREADS
        threads = (
            max(1, min(usable_cpus() // workers, torch.get_num_threads()))
            if self.scheduler is None
            else None
        )
        job = cluster.Job(
            self.experiment,
            self.scale,
            self.device,
            self.precision,
            self.checkpoints.resolve(),
            threads,
        )
        with cluster.connect(workers, self.scheduler) as client:
            try:
                yield from cluster.run(client, todo, job, stop)
            finally:
                if self.scheduler is None:
                    client.cluster.close()


def _is_over(deadline: float | None, needed: float = 0.0) -> bool:
    """Whether a time on the clock that nobody sets is reached, or will be within the seconds that
    are needed.
    """
    return deadline is not None and time.monotonic() + needed >= deadline


def _images(spec: RunSpec) -> int:
    return spec.steps * spec.batch * (2 if spec.framework == "ada-gvae" else 1)


def complete(
    experiment: str,
    profile: str | None = None,
    *,
    device: str | torch.device = "auto",
    store: Store | None = None,
) -> RunTable:
    """Return the best stored runs of an experiment, after running what the profile asks for and the
    store lacks.

    Parameters
    ----------
    experiment : {"fig6", "fig9", "fig11", "averaging", "beta", "warmup", "limits", "longer"}
    profile : str, optional
        As for `grids.profile`. In the smoke profile, whose runs are far too short to mean anything,
        they are trained every time and kept nowhere, and are returned only if nothing better is
        stored.
    device : str or torch.device
    store : Store, optional

    Returns
    -------
    Found
    """
    scale, store = grids.profile(profile), store or Store()
    if scale.name != "smoke":
        run_missing(experiment, scale.name, device=device, store=store)
        return store.best(experiment) or RunTable(
            experiment, scale.name, [], store.rows(experiment, scale.name)
        )
    rows = [
        run_one(spec, experiment, scale, device=device)[0] for spec in grids.grid(experiment, scale)
    ]
    finished = [row for row in rows if row["status"] == "finished"]
    return store.best(experiment) or RunTable(
        experiment, scale.name, finished, [row for row in rows if row["status"] != "finished"]
    )


def describe_missing(
    experiment: str, scales: Sequence[Profile] | None = None, *, store: Store | None = None
) -> dict[str, tuple[int, int]]:
    """Return, for each profile, how many of an experiment's runs are stored and how many there are:
    {profile: (stored, all)}.
    """
    store = store or Store()
    found = {}
    for scale in scales or grids.PROFILES.values():
        specs = grids.grid(experiment, scale)
        have = store.keys(experiment, scale.name)
        found[scale.name] = (sum(s.key in have for s in specs), len(specs))
    return found
