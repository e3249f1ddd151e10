"""Sweeps on a Dask cluster, here or elsewhere; needs the extra ``sweep``.

Workers share nothing but the folder of checkpoints. A worker that is killed costs the steps since
its last checkpoint: Dask gives its run to another, which resumes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import torch

from vaedis import _check
from vaedis._support.memory import keep_memory
from vaedis._support.text import plain
from vaedis.data import NoDevice
from vaedis.spec import RunSpec
from vaedis_companion import grids
from vaedis_companion.store import make_row
from vaedis_companion.sweep.runs import Job, Outcome

_POLL_SECONDS = 0.2


@contextlib.contextmanager
def connect(workers: int, scheduler: str | None) -> Iterator[Any]:
    """Connect to a scheduler, or to a cluster that is started here; yield a Dask client."""
    distributed = _check.package("distributed", "run workers", "sweep")
    with contextlib.ExitStack() as stack:
        cluster = scheduler or stack.enter_context(_local_cluster(distributed, workers))
        if scheduler and not scheduler.startswith("tls://"):
            print(
                f"vaedis: whoever reaches {plain(scheduler)} can have code run by its workers; "
                "use tls:// with certificates unless nobody else can reach it.",
                file=sys.stderr,
            )
        yield stack.enter_context(distributed.Client(cluster))


def _local_cluster(distributed: Any, workers: int) -> Any:
    """Start a cluster that lets nobody else in, and that interrupts do not reach."""
    old_mask = None
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
        # starting the tracker unblocks signals in its thread, which must not start a worker
        resource_tracker.ensure_running()
        blocked = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
        old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    try:
        return distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            protocol="tls://",
            # without certificates any user of the machine could have code run by the workers
            security=distributed.Security.temporary(),
            # by default, two sweeps on one machine would meet at one port
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            # a worker that Dask pauses or restarts for its memory would only lose time
            memory_limit=0,
            silence_logs=logging.CRITICAL,
        )
    finally:
        if old_mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)


def run(
    client: Any, specs: Sequence[RunSpec], job: Job, threads: int | None, stop: Callable[[], bool]
) -> Iterator[tuple[RunSpec, Outcome | None, float]]:
    """Run specifications, started in their order, and yield each as it ends.

    It comes with its outcome, None if it was stopped, and the seconds that a worker spent on it.
    `stop` is asked by this process alone, whose clock counts; once it is true, all runs stop with
    a checkpoint. Workers use `threads` threads of torch; None leaves what they have.
    """
    from distributed import as_completed

    flag = job.checkpoints / f"stop-{os.getpid()}-{time.time_ns()}"
    if stop():
        return
    futures = {}
    for rank, spec in enumerate(specs):
        # two sweeps may share a scheduler, which runs a key once; what stands before the first
        # hyphen makes tasks a group, whose members wait for a worker
        key = f"{job.experiment}-{spec.key}-{flag.name}"
        future = client.submit(_task, spec, job, threads, flag, key=key, priority=-rank)
        futures[future] = spec
    try:
        finished = as_completed(futures)
        while not finished.is_empty():
            if finished.has_ready():
                future = next(finished)
                yield futures[future], *_outcome(future, futures[future], job)
                continue
            if stop() and not flag.exists():
                flag.touch()
            time.sleep(_POLL_SECONDS)
    finally:
        client.cancel(list(futures))
        flag.unlink(missing_ok=True)


def _task(spec: RunSpec, job: Job, threads: int | None, flag: Path) -> tuple[Outcome | None, float]:
    """Run one specification in a worker; return its outcome and the seconds that it took."""
    keep_memory()  # the process is the sweep's own
    if threads is not None:
        torch.set_num_threads(threads)
    started = time.perf_counter()
    outcome = None if flag.exists() else job.run(spec, flag.exists)
    return outcome, time.perf_counter() - started


def _outcome(future: Any, spec: RunSpec, job: Job) -> tuple[Outcome | None, float]:
    """Return what a run gave, and its seconds; of one that raised an error, a row that says so."""
    problem = future.exception()
    if problem is None:
        return future.result()
    if isinstance(problem, ImportError | NoDevice | OSError):
        raise problem  # no run could have succeeded: a full disk is none of its own
    status = f"failed: {type(problem).__name__}: {problem}".splitlines()[0]
    experiment = grids.home(job.experiment, spec, job.profile)
    return (make_row(spec, experiment, job.profile.name, status=status), {}), 0.0
