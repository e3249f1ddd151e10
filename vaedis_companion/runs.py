"""One run, from its specification to what the store keeps of it: training, scores, and the arrays
that figures draw.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vaedis import _files, losses
from vaedis.data import resolve_device
from vaedis.spec import RunSpec
from vaedis.training import Run, TrainingFailed, fit, inspect
from vaedis.training.step import resolve_precision
from vaedis_companion import grids, store
from vaedis_companion.grids import Profile
from vaedis_companion.store import Row

_CYCLE_FRAMES = 9
_HISTORY_POINTS = 200
# how often a run is scored on its way; the authors scored theirs 24 times by MIG and 8 times by DCI
_LOOKS = 8
# when it is recorded what the network makes of each factor, in 80ths of the run: often at first,
# when they change fast
_WATCHED = (1, 2, 3, 4, 6, 8, 10, 13, 16, 20, 25, 30, 35, 40, 48, 56, 64, 72, 80)
_CHECKPOINT_EVERY = 500
# when a long run is scored in full and its distances are recorded, to see what shorter runs would
# have shown
_COURSE = (500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 57_600, 115_200)
# runs of at least so many steps are long
_LONG = 20_000
_COURSE_LEVELS = ("z", "kl", "reconstruction")
# images along each factor that distances are averaged over: the authors' 100 traversals, fewer of
# factors with more than 20 values
_TRAVERSED = 2_000


def run_one(
    spec: RunSpec,
    experiment: str,
    scale: Profile,
    *,
    device: str | torch.device = "auto",
    precision: str = "auto",
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
    precision : str
        As for `fit`.
    checkpoint : Path, optional
        A folder for the run's checkpoints: a run that left one there goes on from it.
    stop : callable, optional
        The `deadline` of `fit`.

    Returns
    -------
    row : dict
        As `store.make_row`; a run whose loss became NaN or infinite is a row too, whose status says
        so.
    arrays : dict of str to ndarray
        What Figures 4, 7 and 10 draw, see `summarise`, and, of runs scored by the full protocol,
        how their factors were learnt: ``"separation/<factor>"`` in nats and
        ``"reconstructed/<factor>"`` as a share, float32, at ``"learnt_steps"``
        (`training.inspect.factor_learning`). Of runs of at least 20,000 steps also their course: at
        ``"course_steps"``, the full scores ``"course/mig"`` and ``"course/dci"``, and the distances
        ``"course/<level>/<factor>"``, shape (times, f, f). Empty if the run failed.

    Raises
    ------
    TrainingStopped
        If `stop` said so before the run was trained.
    """
    started = time.perf_counter()
    experiment = grids.home(experiment, spec, scale)
    place = resolve_device(device)
    precision = resolve_precision(precision, place, spec.model)
    made_by: dict[str, Any] = {
        "protocol": scale.protocol,
        "device": device_name(place),
        "precision": precision,
        "threads": torch.get_num_threads(),
    }
    seen = _Looks(spec, checkpoint)
    # looked at on the way only where runs are long enough for that to mean anything
    every = seen.every if scale.protocol == "full" else 0
    try:
        run = fit(
            spec,
            device=place,
            precision=precision,
            callback=seen if every else None,
            every=every,
            checkpoint=checkpoint,
            checkpoint_every=max(1, min(_CHECKPOINT_EVERY, spec.steps // 4)),
            deadline=stop,
        )
    except TrainingFailed as failure:
        status = f"failed: loss not finite at step {failure.step}, last finite loss {failure.last_finite}"
        return store.make_row(
            spec,
            experiment,
            scale.name,
            status=status,
            seconds=time.perf_counter() - started,
            **made_by,
        ), {}
    scores = {**final_scores(run, scale.protocol, run.data.shape), **seen.best()}
    # of the training and the scores, whatever the process that did them
    seconds = time.perf_counter() - started
    row = store.make_row(
        spec,
        experiment,
        scale.name,
        scores=scores,
        seconds=seconds,
        images_per_second=run.images_per_second,
        origin=run.data.origin,
        **made_by,
        **taken_up(run),
    )
    return row, {**summarise(run), **seen.learning(), **seen.history()}


def taken_up(run: Run) -> dict[str, str]:
    """Return what a row says of a run that went on from a checkpoint of other threads or another
    torch, whose bits are neither's.
    """
    *before, _ = run.made_with or ("",)
    return {"torch": f"{torch.__version__} (begun with {'; then '.join(before)})"} if before else {}


def final_scores(run: Run, protocol: str, shape: tuple[int, int, int]) -> dict[str, float]:
    """Return the scores of a trained network as the store names them.

    Parameters
    ----------
    run : Run
    protocol : {"full", "fast"}
    shape : (H, W, C)
        Of the observations that `beta_sum` sums over.

    Returns
    -------
    dict of str to float
        Losses are means over the last 100 steps.
    """
    found: dict[str, Any] = run.scores(protocol=protocol)
    last = slice(-min(100, run.spec.steps), None)
    return {
        "mig": float(found["mig"]),
        "dci": float(found["dci"]),
        "dci_completeness": found["dci"].completeness,
        "dci_informativeness": found["dci"].informativeness,
        "beta_sum": run.spec.beta_sum(shape),
        **{f"final_{term}": float(values[last].mean()) for term, values in run.history.items()},
    }


class _Looks:
    """What is noted of a run on its way, kept beside its checkpoints, so that it resumes with them.

    That is the fast scores, as the authors logged them, and what the network makes of each factor
    (`training.inspect.factor_learning`).

    References
    ----------
    The authors' metric callback: fast protocols during training, and a running maximum in the
    summary of each run.
    """

    def __init__(self, spec: RunSpec, folder: Path | None):
        self.watch_every = max(1, spec.steps // _WATCHED[-1])
        self.score_every = self.watch_every * _WATCHED[-1] // _LOOKS
        self.course_steps = (
            {step for step in _COURSE if step <= spec.steps} if spec.steps >= _LONG else set()
        )
        # the callback comes at all of these
        self.every = math.gcd(spec.steps // _WATCHED[-1], *self.course_steps)
        self.path = None if folder is None else folder / "looks.json"
        self.scores: dict[str, dict[str, float]] = {}
        self.learnt: dict[str, dict[str, dict[str, float]]] = {}
        self.course: dict[str, dict[str, Any]] = {}
        if self.path is not None and self.path.exists():
            with contextlib.suppress(ValueError, KeyError):
                kept = json.loads(self.path.read_text(encoding="utf-8"))
                self.scores, self.learnt, self.course = (
                    kept["scores"],
                    kept["learnt"],
                    kept.get("course", {}),
                )

    def __call__(self, step: int, run: Run) -> None:
        scored = step % self.score_every == 0
        watched = step % self.watch_every == 0 and step // self.watch_every in _WATCHED
        on_course = step in self.course_steps
        if scored:
            found = run.scores(protocol="fast")
            self.scores[str(step)] = {name: float(found[name]) for name in ("mig", "dci")}
        if watched:
            self.learnt[str(step)] = inspect.factor_learning(run)
        if on_course:
            found = run.scores(protocol="full")
            matrices = {
                f"{level}/{factor}": m.astype(np.float32).tolist()
                for level, factor, m in _levels(run)
                if level in _COURSE_LEVELS
            }
            self.course[str(step)] = {
                "mig": float(found["mig"]),
                "dci": float(found["dci"]),
                **matrices,
            }
        if self.path is not None and (scored or watched or on_course):
            kept = json.dumps({"scores": self.scores, "learnt": self.learnt, "course": self.course})
            try:
                _files.write_text(self.path, kept)
            except OSError as error:
                # as with checkpoints: a run that is resumed would lack them, this one does not
                warnings.warn(
                    f"What was noted at step {step} could not be written ({error}); training goes on.",
                    RuntimeWarning,
                    stacklevel=2,
                )

    def best(self) -> dict[str, float]:
        return {
            f"{name}_max": max(f[name] for f in self.scores.values())
            for name in ("mig", "dci")
            if self.scores
        }

    def learning(self) -> dict[str, np.ndarray]:
        steps = sorted(map(int, self.learnt))
        found = {"learnt_steps": np.array(steps, np.int32)} if steps else {}
        for measure, factors in self.learnt[str(steps[0])].items() if steps else ():
            for name in factors:
                found[f"{measure}/{name}"] = np.array(
                    [self.learnt[str(s)][measure][name] for s in steps], np.float32
                )
        return found

    def history(self) -> dict[str, np.ndarray]:
        steps = sorted(map(int, self.course))
        names = self.course[str(steps[0])] if steps else ()
        found = {
            f"course/{name}": np.array([self.course[str(step)][name] for step in steps], np.float32)
            for name in names
        }
        return {"course_steps": np.array(steps, np.int32), **found} if steps else {}


def _levels(run: Run) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield level, factor and matrix of distances, at every level of a network and along every
    factor.
    """
    for factor, size in zip(run.data.factors.names, run.data.factors.sizes, strict=True):
        for level, matrix in inspect.level_matrices(
            run, factor, traversals=min(100, _TRAVERSED // size)
        ).items():
            yield level, factor, matrix


def summarise(run: Run) -> dict[str, np.ndarray]:
    """Return what the book's figures need of a trained network, small enough to keep.

    Returns
    -------
    dict of str to ndarray
        ``"cycles"``: uint8, shape (z, 9, H, W, C): pictures as one latent moves from its smallest
        to its largest posterior mean over 64 random observations while the others stay at the first
        one's. ``"spread"``: float32, shape (z,): the mean over those observations of each latent's
        KL divergence from the prior. ``"<level>/<factor>"``: float32, shape (f, f): distances at
        each level (`distances.level_matrices`). ``"steps"``, ``"loss"``, ``"recon"``, ``"kl"``: the
        training history, averaged in up to 200 windows.

    References
    ----------
    The authors' latent-cycle callback, mode ``minmax_interval_cycle``, seed 7777.
    """
    generator = torch.Generator(run.data.device).manual_seed(7777)
    mean, logvar = run.posterior(run.data.draw(64, generator=generator))
    low, high = mean.amin(0), mean.amax(0)
    z = mean[0].repeat(run.spec.latents, _CYCLE_FRAMES, 1)
    for latent in range(run.spec.latents):
        z[latent, :, latent] = torch.lerp(
            low[latent],
            high[latent],
            torch.linspace(0, 1, _CYCLE_FRAMES, dtype=z.dtype, device=z.device),
        )
    arrays = {
        "cycles": run.decode_images(z.flatten(0, 1)).unflatten(0, z.shape[:2]).cpu().numpy(),
        "spread": losses.kl_to_prior(mean, logvar).mean(0).cpu().numpy(),
    }
    for level, factor, matrix in _levels(run):
        arrays[f"{level}/{factor}"] = matrix.astype(np.float32)
    windows = np.array_split(np.arange(run.spec.steps), min(_HISTORY_POINTS, run.spec.steps))
    arrays["steps"] = np.array([w[-1] + 1 for w in windows], np.int32)
    for term, values in run.history.items():
        arrays[term] = np.array([values[w].mean() for w in windows], np.float32)
    return arrays


def device_name(device: torch.device) -> str:
    """Return "cpu", or the name of a GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def brief(row: Row) -> str:
    """Return one line on a run: what it trained, its scores or why it failed, and how long it took."""
    options = " ".join(
        f"{k}={v}" for k, v in {**row["data_options"], **row["loss_options"]}.items()
    )
    warmup = f" warmup={row['warmup']}" if row["warmup"] else ""
    head = f"{row['framework']} {row['loss']} {options} beta={row['beta']}{warmup} z={row['latents']} seed={row['seed']}"
    if row["status"] != "finished":
        return f"{head}: {row['status']}"
    return f"{head}: MIG {row['mig']:.3f} DCI {row['dci']:.3f}, {row['seconds']:.0f} s, {row['images_per_second']:.0f} images/s"
