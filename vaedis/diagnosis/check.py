"""Check what distances predict: small Ada-GVAEs on coordinates with the same distances."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vaedis._support.text import plain, shown_name
from vaedis.data.base import FactorData
from vaedis.data.coordinates import Coordinates
from vaedis.diagnosis.advice import fitting_beta, latents_for
from vaedis.diagnosis.judge import PARTLY
from vaedis.diagnosis.loss_report import VISIBLE, LossReport
from vaedis.diagnosis.report import Check
from vaedis.distances import factor_distances
from vaedis.losses import Loss
from vaedis.metrics import mig
from vaedis.spec import RunSpec
from vaedis.training import Run, fit

_NETWORKS = 3
_STEPS = 500
_BATCH = 64
_TRAVERSALS = 32
_IMAGES = 4_000


class _Codes(FactorData):
    """A network's codes in place of the images, so that distances are measured in the same way."""

    name = "codes"
    dtype = torch.float32

    def __init__(self, run: Run):
        self.run = run
        self.factors = run.data.factors
        self.device = run.data.device
        self.shape = (1, run.spec.latents, 1)

    def _images(self, index: Tensor) -> Tensor:
        return self.run.posterior(index)[0][:, None, :, None]


def check(data: FactorData, loss: Loss, report: LossReport) -> Check:
    """Train small Ada-GVAEs on the distances of a loss, and see which factors they order."""
    start = f"Check under {report.loss}: "

    def not_done(reason: str) -> Check:
        return Check(report.loss, {}, {}, (), f"{start}not done, as {reason}")

    # two values need no order
    verdicts = {f.factor: f.verdict for f in report.factors if f.values > 2}
    if not verdicts:
        return not_done("no factor has more than two values, whose order could be found.")
    try:
        coordinates = Coordinates(data, loss, rotation=0)
    except ValueError as error:
        return not_done(plain(str(error), 300))
    latents = latents_for(data)
    beta = fitting_beta(data, loss, report, latents)
    spec = RunSpec(
        framework="ada-gvae", beta=beta, latents=latents, model="mlp", steps=_STEPS, batch=_BATCH
    )
    specs = [spec.replace(seed=seed) for seed in range(_NETWORKS)]
    runs = fit(specs, data=coordinates, device=coordinates.device)
    if any(run.failure for run in runs):
        return not_done(f"the loss of a network became no finite number at a beta of {beta:g}.")
    ranks = {
        name: float(np.mean([_rank(run, name, verdict) for run in runs]))
        for name, verdict in verdicts.items()
    }
    index = coordinates.draw(_IMAGES, generator=torch.Generator().manual_seed(0))
    labels = coordinates.to_factors(index)
    gaps = [mig(run.posterior(index)[0].cpu(), labels, floor_repeats=0) for run in runs]
    names = [coordinates.factors.names[column] for column in gaps[0].columns]
    mean_gaps = np.mean([one.per_factor for one in gaps], 0).tolist()
    gap = dict(zip(names, mean_gaps, strict=True))
    surprises = tuple(
        name
        for name, verdict in verdicts.items()
        if verdict != "partly ordered" and (verdict in VISIBLE) != (ranks[name] >= PARTLY)
    )
    ranked = [
        f"{shown_name(name)} {rank:.2f} ({verdicts[name]}; MIG {gap[name]:.2f})"
        for name, rank in ranks.items()
    ]
    end = "as foretold"
    if surprises:
        end = f"not as foretold: {', '.join(map(shown_name, surprises))}"
    text = (
        f"{start}{_NETWORKS} small Ada-GVAEs that saw these distances, and pairs drawn by the "
        f"factors, for {_STEPS:,} steps have codes whose rank correlations are "
        f"{', '.join(ranked)}: {end}."
    )
    return Check(report.loss, ranks, gap, surprises, text)


def _rank(run: Run, factor: str, verdict: str) -> float:
    """Return how well distances between a network's codes follow a factor's line or circle."""
    distances_of = factor_distances(_Codes(run), factors=[factor], traversals=_TRAVERSALS)[factor]
    within = distances_of.within_circle if verdict == "circular" else distances_of.within
    return (within.mean if within else None) or 0.0
