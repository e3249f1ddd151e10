"""Run what an experiment still lacks: train, score, store; never run what the store holds."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from vaedis import distances, experiments, losses, metrics, results
from vaedis.data import resolve_device
from vaedis.experiments import Profile, RunSpec
from vaedis.results import Found, Row, Store
from vaedis.train import Run, TrainingFailed, fit

_CYCLE_FRAMES = 9
_HISTORY_POINTS = 200


def run_one(spec: RunSpec, experiment: str, scale: Profile, *, device: str | torch.device = "auto") -> tuple[Row, dict[str, np.ndarray]]:
    """Train and score one run.

    Parameters
    ----------
    spec : RunSpec
    experiment : str
    scale : Profile
    device : str or torch.device

    Returns
    -------
    row : dict
        As `results.make_row`; a run whose loss became NaN or infinite is a row too, whose status says so.
    arrays : dict of str to ndarray
        What Figures 4, 7 and 10 draw; see `summarise`. Empty if the run failed.
    """
    started = time.perf_counter()
    place = resolve_device(device)
    made_by: dict[str, Any] = {"protocol": scale.protocol, "device": device_name(place), "threads": torch.get_num_threads()}
    try:
        run = fit(spec, device=place)
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
        "beta_sum": spec.beta_sum(run.data.shape),
        **{f"final_{term}": float(values[last].mean()) for term, values in run.history.items()},
    }
    seconds = time.perf_counter() - started
    row = results.make_row(spec, experiment, scale.name, scores=scores, seconds=seconds, images_per_second=run.images_per_second, **made_by)
    return row, summarise(run)


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


def missing(experiment: str, scale: Profile, store: Store) -> list[RunSpec]:
    """Return the specifications of an experiment that the store has no row of, the most informative first."""
    have = store.keys(experiment, scale.name)
    return [spec for spec in experiments.grid(experiment, scale) if spec.key not in have]


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
    for done, spec in enumerate(todo):
        before = time.perf_counter()
        if seconds is not None and before - started + longest > seconds:
            return done
        row, arrays = run_one(spec, experiment, scale, device=device)
        store.add(row, arrays)
        longest = max(longest, time.perf_counter() - before)
        if not quiet:
            print(f"{experiment} {done + 1}/{len(todo)} {_brief(row)}", file=sys.stderr, flush=True)
    return len(todo)


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
