"""Run what an experiment lacks, in this process or on a cluster, and estimate how long it takes."""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import sys
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vaedis import _check, _files
from vaedis._support.cpus import usable_cpus
from vaedis.data import resolve_device
from vaedis.spec import RunSpec
from vaedis.training import TrainingStopped, checkpoint, fit, forget
from vaedis.training.step import resolve_precision
from vaedis_companion.grids import PLANNED, Profile
from vaedis_companion.store import Store, spec_of
from vaedis_companion.sweep import cluster, runs
from vaedis_companion.sweep.missing import missing, n_images, populations
from vaedis_companion.sweep.runs import Outcome, brief

# runs that end together, and their outcomes
_Outcomes = Generator[tuple[list[RunSpec], list[Outcome]], None, None]


@dataclass
class Sweep:
    """A sweep that can be stopped at any moment and started again from the last checkpoints.

    Rows go into `store`, checkpoints into its folder ``checkpoints``. `device` and `precision` are
    as for `fit`, `retry_failed` and `shard` as for `missing`. Runs are spread over a local Dask
    cluster of so many `workers`, or over the one whose scheduler has the address `scheduler`;
    without either they are trained in this process, as are those of a profile of coordinates, in
    populations. Finished runs of the store `also` are not run again. The sweep stops cleanly before
    so many `seconds` have passed, or once `asked_to_stop` is set, by a signal handler for instance.
    `ended` and `failed` count the runs that were stored, and those of them that failed.
    """

    experiment: str
    profile: Profile
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
    ended: int = field(default=0, init=False)
    failed: int = field(default=0, init=False)
    asked_to_stop: bool = field(default=False, init=False)
    _deadline: float = field(default=float("inf"), init=False)
    _scoring_seconds: float = field(default=0.0, init=False)
    _bar: Any = field(default=None, init=False)

    @property
    def checkpoints(self) -> Path:
        """The folder of unfinished runs."""
        return self.store.root / "checkpoints"

    def todo(self) -> list[RunSpec]:
        """Return what is missing."""
        specs = missing(
            self.experiment,
            self.profile,
            self.store,
            retry_failed=self.retry_failed,
            shard=self.shard,
        )
        if self.also is None:
            return specs
        keys_elsewhere = self.also.keys(self.experiment, self.profile.name, failed=False)
        return [spec for spec in specs if spec.key not in keys_elsewhere]

    def run(self) -> int:
        """Run what is missing and store each run as it ends; return how many ended.

        A ValueError says that the grid is empty, or that the device or precision does not exist; an
        OSError that a run cannot be stored.
        """
        if self.seconds is not None:
            self._deadline = time.monotonic() + _check.positive("seconds", self.seconds)
        if self.scheduler is None:  # a cluster elsewhere may have other devices
            resolve_precision(self.precision, resolve_device(self.device))
        self._forget_stored()
        todo = self.todo()
        if not todo:
            return 0
        for experiment in PLANNED if self.experiment == "plan" else [self.experiment]:
            self.store.check_writable(experiment, self.profile.name)
        _files.make_folder(self.checkpoints)
        self._bar = self._progress_bar(todo)
        # workers end before an error is reported
        with self._bar, contextlib.closing(self._outcomes(todo)) as ended:
            for specs, outcomes in ended:
                try:
                    self.store.add_all(outcomes)
                except OSError as problem:
                    raise OSError(
                        f"A run ended and could not be stored in {self.store.root} ({problem}); "
                        f"make room, and start the sweep again. The run: {brief(outcomes[0][0])}"
                    ) from problem
                self._forget(specs)
                self._report(outcomes, len(todo))
        return self.ended

    def _outcomes(self, todo: list[RunSpec]) -> _Outcomes:
        if self.profile.coordinates:
            return self._populations(todo)
        if self.workers or self.scheduler:
            return self._on_cluster(todo)
        return self._here(todo)

    def _is_over(self) -> bool:
        """Whether to stop, in time to score the run that is being trained."""
        self._bar.update(0)
        return self.asked_to_stop or time.monotonic() + self._scoring_seconds >= self._deadline

    def _job(self) -> runs.Job:
        folder = self.checkpoints.resolve()
        return runs.Job(self.experiment, self.profile, self.device, self.precision, folder)

    def _here(self, todo: list[RunSpec]) -> _Outcomes:
        job = self._job()
        for spec in todo:
            started = time.perf_counter()
            outcome = None if self._is_over() else job.run(spec, self._is_over)
            if outcome is None:
                return
            self._note_scoring(spec, outcome, time.perf_counter() - started)
            yield [spec], [outcome]

    def _note_scoring(self, spec: RunSpec, outcome: Outcome, seconds: float) -> None:
        """Update the longest scoring time so far; `seconds` includes training."""
        rate = outcome[0].get("images_per_second")
        if rate:
            scoring = seconds - n_images(spec) / rate
            self._scoring_seconds = max(self._scoring_seconds, scoring)

    def _populations(self, todo: list[RunSpec]) -> _Outcomes:
        folder = self.checkpoints if checkpoint.available() else None
        for specs in populations(todo):
            if self._is_over():
                return
            try:
                trained = fit(
                    specs,
                    device=self.device,
                    precision=self.precision,
                    checkpoint=folder,
                    deadline=self._is_over,
                    progress=False,
                )
            except TrainingStopped:
                return
            started = time.perf_counter()
            outcomes = [runs.row_of(run, self.experiment, self.profile) for run in trained]
            self._scoring_seconds = max(self._scoring_seconds, time.perf_counter() - started)
            yield specs, outcomes

    def _on_cluster(self, todo: list[RunSpec]) -> _Outcomes:
        workers = min(self.workers, len(todo))  # more would have nothing to do
        threads = None
        if self.scheduler is None:
            # torch's own number heeds OMP_NUM_THREADS
            threads = max(1, min(usable_cpus() // workers, torch.get_num_threads()))
        with cluster.connect(workers, self.scheduler) as client:
            job = self._job()
            for spec, outcome, seconds in cluster.run(client, todo, job, threads, self._is_over):
                if outcome is not None:
                    self._note_scoring(spec, outcome, seconds)
                    yield [spec], [outcome]

    def _report(self, outcomes: list[Outcome], total: int) -> None:
        for row, _ in outcomes:
            self.ended += 1
            self.failed += row["status"] != "finished"
            if not self.quiet:
                # a terminal that was closed must not end what goes on without it
                with contextlib.suppress(OSError):
                    line = f"{self.experiment} {self.ended}/{total} {brief(row)}"
                    self._bar.write(line, file=sys.stderr)
            self._bar.update(n_images(spec_of(row)))

    def _forget(self, specs: list[RunSpec]) -> None:
        """Remove the checkpoints of runs that are stored."""
        if self.profile.coordinates:
            forget(specs, self.checkpoints)
        for spec in specs:
            shutil.rmtree(self.checkpoints / spec.key, ignore_errors=True)

    def _forget_stored(self) -> None:
        """Remove checkpoints of stored runs, which a process that was killed could not remove."""
        for key in self.store.keys(self.experiment, self.profile.name, failed=False):
            shutil.rmtree(self.checkpoints / key, ignore_errors=True)
        if not self.profile.coordinates or not checkpoint.available():
            return
        stored = self.store.keys(self.experiment, self.profile.name)
        for path in self.checkpoints.glob("*.safetensors"):
            keys = checkpoint.runs_of(path)
            if keys and stored.issuperset(keys):
                path.unlink(missing_ok=True)

    def _progress_bar(self, todo: list[RunSpec]) -> Any:
        """Return a progress bar in images; it is drawn on a terminal only."""
        return _check.package("tqdm", "run a sweep", "sweep").tqdm(
            desc=self.experiment,
            total=sum(map(n_images, todo)),
            unit=" images",
            unit_scale=True,
            leave=False,
            mininterval=0.5,
            miniters=0,
            disable=True if self.quiet else None,
        )


# steps of the estimate; the first steps of a run take longer than the others
_FIRST_STEPS = 3
_STEPS = 9


def describe_time(sweep: Sweep) -> str:
    """Return one sentence: how many runs and steps are missing, and the hours of their training."""
    todo = sweep.todo()
    if not todo:
        return "Nothing is missing."
    groups = populations(todo) if sweep.profile.coordinates else [[spec] for spec in todo]
    kinds: dict[str, list[list[RunSpec]]] = {}
    for group in groups:
        spec = group[0]
        kind = f"{len(group)} x " if len(group) > 1 else ""
        kind += f"{spec.framework} {spec.model} {spec.loss} batch {spec.batch}"
        kinds.setdefault(kind, []).append(group)
    hours = 0.0
    speeds = []
    warning = _warning_if_busy()
    for kind, members in kinds.items():
        # images of XYSquares need not be prepared
        easiest = min(members, key=lambda group: group[0].data != "xysquares")
        seconds = seconds_a_step(easiest, sweep.device, sweep.precision)
        hours += sum(group[0].steps for group in members) * seconds / 3600
        speeds.append(f"{kind} {1000 * seconds:,.1f} ms a step")
    runs = "1 run" if len(todo) == 1 else f"{len(todo):,} runs"
    return (
        f"{runs}, {sum(spec.steps for spec in todo):,} steps: {_time(hours)} of training in one "
        f"process on this machine as busy as it is now ({'; '.join(speeds)}), and scoring on "
        f"top.{warning}"
    )


def _warning_if_busy() -> str:
    """Return a sentence if the load, of the last minute, is half of a process or more.

    Threads that wait for a core which another process has make a step up to a hundred times longer.
    """
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load < 0.5:
        return ""
    cores = "1 core" if usable_cpus() == 1 else f"{usable_cpus()} cores"
    return (
        f" The load of this machine is {load:.1f}, and it has {cores}, so it may be far too long: "
        "ask again when other processes have ended, or with OMP_NUM_THREADS=1."
    )


def _time(hours: float) -> str:
    """Return hours in words, and what is short in minutes or seconds."""
    for unit, size in (("hours", 1.0), ("minutes", 60.0)):
        if hours * size >= 1:
            return f"{hours * size:.3g} {unit}"
    return f"{3600 * hours:.2g} seconds"


def seconds_a_step(specs: Sequence[RunSpec], device: str, precision: str) -> float:
    """Return the seconds of an optimiser step of one run, or of a population of several."""
    short_specs = [spec.replace(steps=_FIRST_STEPS + _STEPS, warmup=0) for spec in specs]
    times: list[float] = []
    fit(
        short_specs[0] if len(short_specs) == 1 else short_specs,
        device=device,
        precision=precision,
        callback=lambda step, run: times.append(time.perf_counter()),
        every=1,
        progress=False,
    )
    # a population calls back for each member
    times = times[:: len(short_specs)][_FIRST_STEPS - 1 :]
    return statistics.median(np.diff(times).tolist())
