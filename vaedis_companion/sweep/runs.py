"""One run: from its specification to the row and the arrays that the store keeps of it."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vaedis import losses
from vaedis._support.text import plain
from vaedis.data import Coordinates, resolve_device
from vaedis.spec import RunSpec
from vaedis.training import Run, TrainingFailed, TrainingStopped, checkpoint, fit
from vaedis.training.step import resolve_precision
from vaedis_companion.grids import Profile, home
from vaedis_companion.store import Row, RunTable, make_row, spec_of
from vaedis_companion.sweep.evaluations import Evaluations, level_distances

_CYCLE_FRAMES = 9
_HISTORY_POINTS = 200
_CHECKPOINT_EVERY = 500

Outcome = tuple[Row, dict[str, np.ndarray]]


@dataclass(frozen=True)
class Job:
    """What all runs of a sweep share; device and precision are resolved where a run is trained."""

    experiment: str
    profile: Profile
    device: str
    precision: str
    checkpoints: Path

    def run(self, spec: RunSpec, stop: Callable[[], bool]) -> Outcome | None:
        """Run a specification from its last checkpoint; None if it was stopped before its end."""
        folder = self.checkpoints / spec.key if checkpoint.available() else None
        try:
            return run_one(
                spec,
                self.experiment,
                self.profile,
                device=self.device,
                precision=self.precision,
                checkpoint=folder,
                stop=stop,
            )
        except TrainingStopped:
            return None


def run_one(
    spec: RunSpec,
    experiment: str,
    profile: Profile,
    *,
    device: str | torch.device = "auto",
    precision: str = "auto",
    checkpoint: Path | None = None,
    stop: Callable[[], bool] | None = None,
) -> Outcome:
    """Train and score one run; `stop` is the `deadline` of `fit`, which raises TrainingStopped.

    If the loss becomes NaN or infinite, the row says so and there are no arrays.
    """
    started = time.perf_counter()
    device = resolve_device(device)
    precision = resolve_precision(precision, device, spec.model)
    experiment = home(experiment, spec, profile)
    evaluations = Evaluations(spec, checkpoint)
    # only where runs are long enough for that to mean anything
    every = evaluations.every if profile.protocol == "full" else 0
    try:
        run = fit(
            spec,
            device=device,
            precision=precision,
            callback=evaluations if every else None,
            every=every,
            checkpoint=checkpoint,
            checkpoint_every=max(1, min(_CHECKPOINT_EVERY, spec.steps // 4)),
            deadline=stop,
            progress=False,
        )
    except TrainingFailed as failure:
        facts = _facts(profile, device, precision, time.perf_counter() - started)
        return _failed_row(spec, experiment, profile, failure, facts), {}
    return row_of(run, experiment, profile, evaluations=evaluations)


def row_of(
    run: Run, experiment: str, profile: Profile, *, evaluations: Evaluations | None = None
) -> Outcome:
    """Score a run.

    The row's seconds are those of all its training, also before a checkpoint, and of the scores.
    Its arrays are those of `summarise` and `Evaluations.arrays`; of coordinates, cycles are stored
    for seed 0 only.
    """
    facts = _facts(profile, run.data.device, run.precision, run.seconds)
    if run.failure is not None:
        return _failed_row(run.spec, experiment, profile, run.failure, facts), {}
    started = time.perf_counter()
    scores = final_scores(run, profile.protocol)
    facts["seconds"] += time.perf_counter() - started
    arrays = summarise(run, profile.protocol)
    if profile.coordinates and run.spec.seed != 0:
        del arrays["cycles"]
    if evaluations is not None:
        scores |= evaluations.best()
        arrays |= evaluations.arrays()
    facts |= {"images_per_second": run.images_per_second, "origin": run.data.origin}
    facts |= resume_note(run)
    return make_row(run.spec, experiment, profile.name, scores=scores, **facts), arrays


def _facts(
    profile: Profile, device: torch.device, precision: str, seconds: float
) -> dict[str, Any]:
    on_gpu = device.type == "cuda"
    return {
        "protocol": profile.protocol,
        "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
        "precision": precision,
        "threads": torch.get_num_threads(),
        "seconds": seconds,
    }


def _failed_row(
    spec: RunSpec, experiment: str, profile: Profile, failure: TrainingFailed, facts: dict[str, Any]
) -> Row:
    status = (
        f"failed: {failure.term} not finite at step {failure.step}, "
        f"last finite {failure.term} {failure.last_finite}"
    )
    return make_row(spec, experiment, profile.name, status=status, **facts)


def resume_note(run: Run) -> dict[str, str]:
    """Name in a row the threads or torch of a checkpoint, if other ones went on from it."""
    *before, _ = run.made_with or ("",)
    return {"torch": f"{torch.__version__} (begun with {'; then '.join(before)})"} if before else {}


def final_scores(run: Run, protocol: str) -> dict[str, float]:
    """Return a trained network's scores by the store's names; losses of the last 100 steps."""
    scores: dict[str, Any] = run.scores(protocol=protocol)
    # beta_sum refers to image pixels, not coordinates
    images = run.data.source if isinstance(run.data, Coordinates) else run.data
    last = slice(-min(100, run.spec.steps), None)
    return {
        "mig": float(scores["mig"]),
        "dci": float(scores["dci"]),
        "dci_completeness": scores["dci"].completeness,
        "dci_informativeness": scores["dci"].informativeness,
        "beta_sum": run.spec.beta_sum(images.shape),
        **{f"final_{term}": float(values[last].mean()) for term, values in run.history.items()},
    }


def summarise(run: Run, protocol: str) -> dict[str, np.ndarray]:
    """Return what the book's figures need of a trained network, small enough to store.

    ``"cycles"``: uint8, (z, 9, H, W, C): images as one latent moves from its smallest to its
    largest posterior mean over 64 random observations while the others stay at the first one's,
    after the authors' ``minmax_interval_cycle`` (17 frames there, and back). ``"spread"``:
    float32, (z,): each latent's mean KL divergence from the prior, in nats. ``"<level>/<factor>"``:
    float32, (f, f): distances at each level (`inspect.level_matrices`). ``"steps"``, ``"loss"``,
    ``"recon"``, ``"kl"``: the training history, averaged in up to 200 windows.
    """
    generator = torch.Generator(run.data.device).manual_seed(7777)
    mean, logvar = run.posterior(run.data.draw(64, generator=generator))
    low, high = mean.amin(0), mean.amax(0)
    z = mean[0].repeat(run.spec.latents, _CYCLE_FRAMES, 1)
    weights = torch.linspace(0, 1, _CYCLE_FRAMES, dtype=z.dtype, device=z.device)
    for latent in range(run.spec.latents):
        z[latent, :, latent] = torch.lerp(low[latent], high[latent], weights)
    cycles = run.decode_images(z.flatten(0, 1)).unflatten(0, z.shape[:2])
    arrays = {
        "cycles": cycles.cpu().numpy(),
        "spread": losses.kl_to_prior(mean, logvar).mean(0).cpu().numpy(),
    }
    for level, factor, matrix in level_distances(run, protocol):
        arrays[f"{level}/{factor}"] = matrix.astype(np.float32)
    windows = np.array_split(np.arange(run.spec.steps), min(_HISTORY_POINTS, run.spec.steps))
    arrays["steps"] = np.array([w[-1] + 1 for w in windows], np.int32)
    for term, values in run.history.items():
        arrays[term] = np.array([values[w].mean() for w in windows], np.float32)
    return arrays


def describe(row: Row) -> str:
    """Return what a run trains, as one phrase without its seed."""
    options = {**row["data_options"], **row["loss_options"]}
    if options.get("rotation") == row["seed"]:
        del options["rotation"]  # each repeat has a rotation of its own
    words = [row["framework"], row["data"]]
    words += [f"{name}={value}" for name, value in options.items()]
    words += [row["loss"], f"beta {row['beta']:g}"]
    if row["warmup"]:
        words.append(f"warm-up {row['warmup']}")
    words += [f"z {row['latents']}", f"batch {row['batch']}"]
    if row["average"] == "published":
        words.append("average=published")
    return plain(" ".join(words))  # a row may come from someone else


def brief(row: Row) -> str:
    """Return one line on a run: what it trained, its scores or why it failed, and its speed."""
    start = f"{describe(row)} seed {row['seed']}"
    if row["status"] != "finished":
        return f"{start}: {row['status']}"
    scores = f"MIG {row['mig']:.3f} DCI {row['dci']:.3f}"
    return f"{start}: {scores}, {row['seconds']:.0f} s, {row['images_per_second']:.0f} images/s"


def print_table(runs: RunTable) -> None:
    """Print each setting's median, smallest and largest scores, and why runs failed."""
    counts = f"{len(runs.rows)} finished, {len(runs.failed)} failed"
    print(f"{plain(runs.experiment)}, {plain(runs.profile)} profile: {counts}")
    settings = settings_of(runs.rows)
    width = max(map(len, settings), default=0)
    for setting, rows in settings.items():
        mig = _spread([row["mig"] for row in rows])
        dci = _spread([row["dci"] for row in rows])
        print(f"  {setting:{width}s}  n {len(rows):2d}  MIG {mig}  DCI {dci}")
    for row in runs.failed:
        print(f"  {describe(row)} seed {row['seed']}: {plain(row['status'])}")


def settings_of(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Return rows by all but their seed, sorted; a phrase names each setting.

    Settings that `describe` cannot tell apart are told by the fields in which they differ.
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        spec = spec_of(row)
        options = dict(spec.data_options)
        if options.get("rotation") == spec.seed:
            options["rotation"] = "that of the seed"
        fields = {**spec.to_dict(), "seed": 0, "data_options": options}
        groups.setdefault(json.dumps(fields, sort_keys=True), []).append(row)
    alike: dict[str, list[str]] = {}
    for setting, members in groups.items():
        alike.setdefault(describe(members[0]), []).append(setting)
    named = {}
    for name, settings in alike.items():
        fields_of = [json.loads(setting) for setting in settings]
        told_by = [key for key in fields_of[0] if len({str(f[key]) for f in fields_of}) > 1]
        for setting, fields in zip(settings, fields_of, strict=True):
            words = [name, *(f"{key}={fields[key]}" for key in told_by)]
            named[plain(" ".join(words))] = groups[setting]
    return dict(sorted(named.items()))


def _spread(values: list[float]) -> str:
    # brackets are for intervals, as in the book
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"
