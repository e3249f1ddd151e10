"""Sweeps on Dask: real processes, here or elsewhere, that share nothing but the folder of checkpoints.

A worker that is killed costs the steps since its last checkpoint: Dask gives its run to another,
which resumes. Needs the extra ``sweep``.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vaedis._support.memory import keep_memory
from vaedis._support.text import plain
from vaedis.data import NoDevice
from vaedis.spec import RunSpec
from vaedis.training import TrainingStopped, checkpoint
from vaedis_companion import grids, store
from vaedis_companion.grids import Profile
from vaedis_companion.runs import run_one
from vaedis_companion.store import Row

_ANSWER_SECONDS = 15
_POLL_SECONDS = 0.2
Outcome = tuple[Row, dict[str, np.ndarray]] | None


def connect(workers: int, scheduler: str | None) -> Any:
    """Return a Dask client.

    Workers on this machine prove to each other by certificates, made for this call and kept in
    memory, that they belong together: without them any user of the machine could have code run in
    them. Signals to the whole group of processes, as from Ctrl-C in a terminal, do not reach them;
    who called them stops them.

    Parameters
    ----------
    workers : int
        Processes of a cluster on this machine; used when no scheduler is given.
    scheduler : str or None
        Address of a running one, as in ``tls://host:8786``; of a plain ``tcp://`` a line on stderr
        says what it means.

    Raises
    ------
    ImportError
        If Dask, or what makes its certificates, is not installed.
    RuntimeError
        If the scheduler does not answer.
    """
    try:
        import distributed
    except ImportError:
        raise ImportError(
            "A sweep on several workers needs Dask; install it with: pip install 'vaedis[sweep]'."
        ) from None
    if scheduler is None:
        try:
            security = distributed.Security.temporary()
        except ImportError:
            raise ImportError(
                "Workers on one machine need the package cryptography to keep other users out; install it with: pip install "
                "'vaedis[sweep]', or leave out --workers."
            ) from None
        with _signals_kept_from_children():
            # memory is torch's affair: a worker that Dask pauses or restarts for its memory would
            # only lose time
            cluster = distributed.LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                protocol="tls://",
                security=security,
                # a port of its own, since by default two sweeps on one machine would meet at one
                dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
                memory_limit=0,
                # how workers end is no news, nor that they lose each other when a second interrupt
                # ends the sweep
                silence_logs=logging.CRITICAL,
            )
            return distributed.Client(cluster)
    if not scheduler.startswith("tls://"):
        print(
            f"vaedis: whoever reaches {plain(scheduler)} can have code run by its workers, as it has neither password nor encryption; "
            "use tls:// with certificates unless nobody else can reach it.",
            file=sys.stderr,
        )
    try:
        return distributed.Client(scheduler, timeout=_ANSWER_SECONDS)
    except (OSError, ValueError) as problem:
        raise RuntimeError(
            f"No Dask scheduler answers at {scheduler} ({problem}); start one, or leave out --scheduler."
        ) from None


@contextlib.contextmanager
def _signals_kept_from_children() -> Iterator[None]:
    """Block the signals that end a sweep in threads that are started meanwhile, and so in the
    processes that these start, now or later.
    """
    from multiprocessing import resource_tracker

    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    # starting it unblocks signals in the thread that does, which must not be one that starts a
    # worker
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(
        signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    )
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass(frozen=True)
class Job:
    """What all runs of a sweep share.

    Parameters
    ----------
    experiment : str
    scale : Profile
    device : str
        Resolved by each worker.
    precision : str
        Likewise.
    checkpoints : Path
        A folder that all workers see.
    threads : int or None
        Of torch, in each worker; None leaves what the worker has.
    """

    experiment: str
    scale: Profile
    device: str
    precision: str
    checkpoints: Path
    threads: int | None


def run(
    client: Any, specs: Sequence[RunSpec], job: Job, stop: Callable[[], bool]
) -> Iterator[tuple[RunSpec, Outcome]]:
    """Run specifications on a cluster and yield each as it ends, with None in place of a row where it
    was stopped.

    Parameters
    ----------
    client : distributed.Client
    specs : sequence of RunSpec
        The most informative first; that is the order in which they start.
    job : Job
    stop : callable
        Asked now and then, by this process alone, whose clock counts; once it says so, all runs
        stop with a checkpoint.
    """
    from distributed import as_completed

    flag = job.checkpoints / f"stop-{os.getpid()}-{time.time_ns()}"
    if stop():
        return
    futures = {
        client.submit(
            _task, spec, job, flag, key=f"{job.experiment}-{spec.key}", priority=-place
        ): spec
        for place, spec in enumerate(specs)
    }
    try:
        ended = as_completed(futures)
        while not ended.is_empty():
            if ended.has_ready():
                future = next(ended)
                yield futures[future], _outcome(future, futures[future], job)
                continue
            if stop() and not flag.exists():
                flag.touch()
            time.sleep(_POLL_SECONDS)
    finally:
        client.cancel(list(futures))
        flag.unlink(missing_ok=True)


def _task(spec: RunSpec, job: Job, flag: Path) -> Outcome:
    """What a worker does: one run, from its last checkpoint if there is one."""
    keep_memory()  # the process is the sweep's own
    if job.threads is not None:
        torch.set_num_threads(job.threads)

    if flag.exists():
        return None
    try:
        return run_one(
            spec,
            job.experiment,
            job.scale,
            device=job.device,
            precision=job.precision,
            checkpoint=checkpoint.of_run(job.checkpoints, spec),
            stop=flag.exists,
        )
    except TrainingStopped:
        return None


def _outcome(future: Any, spec: RunSpec, job: Job) -> Outcome:
    """Return what a run gave; a run that took its workers down with it, or failed in itself, is a row
    that says so.

    A request that no run could have met, such as for a GPU where there is none, is raised instead,
    as it is without a cluster.
    """
    problem = future.exception()
    if problem is None:
        return future.result()
    if isinstance(problem, ImportError | NoDevice):
        raise problem
    first = next(iter(str(problem).splitlines()), "")
    status = f"failed: {type(problem).__name__}: {first}"
    return store.make_row(
        spec, grids.home(job.experiment, spec, job.scale), job.scale.name, status=status
    ), {}
