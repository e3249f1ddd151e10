"""What a VAE learns of its data, as perceived distances foretell it: up to which beta anything at all, and the factors in what order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedis import _check, _measured, losses
from vaedis.data import as_data
from vaedis.data.coordinates import Coordinates, factor_groups
from vaedis.distances._agreement import compare

# of symmetric KL divergence: two posteriors of equal width are then 1.4 widths apart, and a sample tells them apart three times out of four
TOLD_APART = 1.0
# of the distance of images that their reconstructions have
DRAWN = 0.5
# nats a latent, a mean over latents: below, posteriors are the prior and nothing is learnt
ALIVE = 0.01
_LEARNT = {"separation": TOLD_APART, "reconstructed": DRAWN}


@dataclass(frozen=True)
class Learning:
    """What a network made of each factor while it was trained.

    Attributes
    ----------
    steps : ndarray of int, shape (looks,)
    separation : dict of str to ndarray of float, shape (looks,)
        How far its posteriors told the factor's values apart, in nats; see `distances.learnt`.
    reconstructed : dict of str to ndarray of float, shape (looks,)
        How much of the distance between images its reconstructions had. Empty if that was not recorded.
    """

    steps: np.ndarray
    separation: dict[str, np.ndarray]
    reconstructed: dict[str, np.ndarray]

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> Learning | None:
        """Return what a stored run recorded (`results.Store.arrays`); None if it recorded nothing."""
        if "learnt_steps" not in arrays:
            return None

        def curves(measure: str) -> dict[str, np.ndarray]:
            return {n.removeprefix(measure + "/"): np.asarray(a, float) for n, a in arrays.items() if n.startswith(measure + "/")}

        return cls(np.asarray(arrays["learnt_steps"]), curves("separation"), curves("reconstructed"))

    def curves(self, measure: str) -> dict[str, np.ndarray]:
        """Return the curves of a measure, "separation" or "reconstructed"."""
        return getattr(self, _check.one_of("measure", measure, _LEARNT))

    def onsets(self, measure: str = "reconstructed", at: float | None = None) -> dict[str, float]:
        """Return the step at which each factor is learnt, interpolated between looks.

        Parameters
        ----------
        measure : {"reconstructed", "separation"}
        at : float, optional
            Where a factor counts as learnt: half of its distance reconstructed, or a separation of 1 nat, unless given.

        Returns
        -------
        dict of str to float
            In steps; infinite for a factor that is never learnt. A network that forgets a factor again has learnt it all the same.
        """
        curves = self.curves(measure)
        threshold = _check.positive("at", _LEARNT[measure] if at is None else at)
        return {factor: _crossing(self.steps, values, threshold) for factor, values in curves.items()}

    def order(self, importance: Mapping[str, float], measure: str = "reconstructed", at: float | None = None) -> float | None:
        """Return how well the order of learning agrees with an order of importance.

        Parameters
        ----------
        importance : mapping of str to float
            Of each factor, for instance its mean perceived distance (`distances.along`).
        measure, at
            As for `onsets`.

        Returns
        -------
        float or None
            Spearman's correlation of importance with earliness: 1 if the most important factor is learnt first and so on. Factors never
            learnt tie for the last place. None if no factor was learnt, or all at once.
        """
        return _rank(importance, {name: -step for name, step in self.onsets(measure, at).items()})

    def order_at(self, importance: Mapping[str, float], measure: str = "reconstructed") -> list[float | None]:
        """Return Spearman's correlation of an order of importance with a measure at each look; None where either is constant."""
        looks = range(len(self.steps))
        return [_rank(importance, {name: float(values[k]) for name, values in self.curves(measure).items()}) for k in looks]


def _crossing(steps: np.ndarray, values: np.ndarray, threshold: float) -> float:
    above = np.flatnonzero(values >= threshold)
    if not len(above):
        return float("inf")
    first = int(above[0])
    x, y = np.concatenate([[0], steps]), np.concatenate([[0.0], values])
    return float(np.interp(threshold, y[first : first + 2], x[first : first + 2]))


def _rank(importance: Mapping[str, float], score: Mapping[str, float]) -> float | None:
    if set(importance) != set(score):
        raise ValueError(f"importance names the factors {sorted(importance)}, but the run has {sorted(score)}.")
    finite = [value for value in score.values() if np.isfinite(value)]
    # never learnt: after all others
    last = min(finite, default=0.0) - 1.0
    x = np.array([importance[name] for name in score], float)
    y = np.array([value if np.isfinite(value) else last for value in score.values()], float)
    return compare(x, y, y).rank


def where_learning_ends(rows: Iterable[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """Return, for each seed with several betas, the largest beta at which anything was learnt and the next one that was tried.

    Parameters
    ----------
    rows : iterable of mapping
        Runs of a store that differ in seed and beta only. A KL divergence of more than 0.01 nats a latent says that something was learnt.

    Returns
    -------
    list of (float, float)
        Seeds in order. 0 for none that learnt, infinity for none that did not.
    """
    seeds: dict[int, dict[float, float]] = {}
    for row in rows:
        seeds.setdefault(row["seed"], {})[row["beta"]] = row["final_kl"] or 0.0
    found = []
    # a single beta, as other experiments have it, says nothing of where learning ends
    for tried in (seeds[seed] for seed in sorted(seeds) if len(seeds[seed]) > 1):
        last = max((beta for beta, kl in tried.items() if kl > ALIVE), default=0.0)
        found.append((last, min((beta for beta in tried if beta > last), default=float("inf"))))
    return found


def largest_beta(
    data: Any,
    latents: int,
    *,
    loss: str | losses.Loss = "mse",
    samples: int = 4_000,
    seed: int = 0,
    index: Tensor | None = None,
    standardise: bool = True,
) -> float:
    """Return the beta above which a VAE that starts from nothing learns nothing of its data, to first order.

    A direction of the data is worth a latent only if the loss that it saves is more than the KL divergence that it costs. For a linear VAE
    the bound is exact: with normalised beta, a direction is used if ``beta < 2 * latents * variance``. The variances are the eigenvalues
    of the doubly centred matrix of perceived distances, times -1/2 and over the number of images: nothing but distances goes in.

    Parameters
    ----------
    data : FactorData
    latents : int
    loss : str or losses.Loss
        A quadratic form.
    samples : int
        How many images to look at; all if there are no more. From a sample the bound comes out too high where the variance is spread over
        a number of directions that is not small beside the sample's: for XYSquares, 189 of them, by a half at 4,000 images. Its
        `data.Coordinates` are few enough to look at all of it.
    seed : int
        Of the sample.
    index : Tensor of int64, shape (n,), optional
        Look at these images instead.
    standardise : bool
        Subtract the mean and divide by the std of the data set's pixels first, as training does.

    Returns
    -------
    float
        For a loss that is a mean over pixels and a KL divergence that is a mean over latents (`RunSpec.beta`). It says where the first
        step away from nothing stops to pay. Networks with hidden layers may stop learning below it; one that is led to a code while beta
        is small may hold it above, up to `rate_distortion_beta`.

    References
    ----------
    Tipping and Bishop (1999), section 3.2; Lucas et al. (2019), sections 4 and 5.
    """
    data = as_data(data)
    latents, samples = _check.count("latents", latents), _check.count("samples", samples, 2)
    form = losses.get(loss)
    if form.quadratic:
        _measured.need_form(form, data, standardise, "bounds on beta")
    if index is None:
        drawn = torch.Generator().manual_seed(seed)
        index = torch.arange(len(data)) if len(data) <= samples else data.draw(samples, generator=drawn)

    def embedded(part: Tensor) -> Tensor:
        return form.embed(data.observations(part.to(data.device), standardise=standardise)).to("cpu", torch.float64)

    width = embedded(index[:1]).shape[1]
    parts = (embedded(part) for part in index.split(max(256, 2**22 // width)))
    # of the two matrices with the same eigenvalues, the smaller one
    if width < len(index):
        total, spread = torch.zeros(width, dtype=torch.float64), torch.zeros(width, width, dtype=torch.float64)
        for x in parts:
            total += x.sum(0)
            spread += x.T @ x
        spread -= total[:, None] * total / len(index)
    else:
        x = torch.cat(list(parts))
        x -= x.mean(0)
        spread = x @ x.T
    return 2 * latents * float(torch.linalg.eigvalsh(spread)[-1]) / len(index)


def rate_distortion_beta(
    data: Any,
    latents: int,
    *,
    loss: str | losses.Loss = "mse",
    samples: int = 4_000,
    seed: int = 0,
    standardise: bool = True,
) -> float:
    """Return the beta above which no code pays: no VAE, whatever its network, does better than to learn nothing.

    R nats about an observation leave a loss of D(R) at least, and a VAE pays ``D(R) + beta / latents * R`` or more for them. So nothing is
    gained above the largest ``latents * (D(0) - D(R)) / R``. For a loss that is a quadratic form this is ``2 * latents`` times the smallest
    number s such that ``ln E exp(<x - E x, v>) <= s |v|² / 2`` for all v: what the variance is to `largest_beta`, the variance proxy of
    sub-Gaussian distributions is to this. They are equal for Gaussian data, and never the other way round.

    Parameters
    ----------
    data : FactorData
    latents : int
    loss : str or losses.Loss
        A quadratic form. Of `data.Coordinates` leave it as it is, which stands for the loss that they were made with.
    samples : int
        How many images to look at of each group of factors whose distances add up to the whole (those of one square of XYSquares); all if
        there are no more. From a sample the result comes out too high: to tell n images from each other takes ``ln n`` nats at most.
    seed : int
        Of the sample.
    standardise : bool
        As in `largest_beta`.

    Returns
    -------
    float
        Normalised, as `RunSpec.beta`. The best of several ascents, each of which can only come out too low.

    References
    ----------
    Alemi et al. (2018), section 2, for the rate-distortion view of VAEs.
    """
    data = as_data(data)
    latents, samples = _check.count("latents", latents), _check.count("samples", samples, 2)
    form, source = losses.get(loss), data
    if isinstance(data, Coordinates) and form == losses.MSE():
        source, form = data.source, data.distance
    if form.quadratic:
        _measured.need_form(form, source, standardise, "bounds on beta")
    generator = torch.Generator().manual_seed(seed)
    found = []
    # the function above is a sum over groups, so that its ratio to |v|² is largest within one
    for group in factor_groups(source, form):
        if source.grid:
            index = source.factors.traversal(group[0], source.factors.traversal_bases(group[0], vary=group)).flatten()
        else:
            index = torch.arange(len(source))
        if len(index) > samples:
            index = index[torch.randint(len(index), (samples,), generator=generator)]
        parts = [form.embed(source.observations(part.to(source.device), standardise=standardise)) for part in index.split(256)]
        found.append(_variance_proxy(torch.cat(parts).to("cpu", torch.float64)))
    return 2 * latents * max(found)


def _variance_proxy(x: Tensor, starts: int = 32, steps: int = 3_000) -> float:
    """The largest ``2 ln E exp(<x - E x, v>) / |v|²`` over all v, for x of shape (n, d)."""
    n = len(x)
    x = x - x.mean(0)
    values, vectors = torch.linalg.eigh(x @ x.T)
    if values[-1] <= 0:
        return 0.0
    kept = values > 1e-12 * values[-1]
    y = (vectors[:, kept] * values[kept].sqrt()).flip(1)
    # small and large steps along the longest directions, both ways; and towards single observations
    along = torch.eye(y.shape[1], dtype=y.dtype)[: starts // 2] / (values[kept].flip(0)[: starts // 2, None] / n).sqrt()
    towards = y[:: -(-n // starts)]
    towards = towards / towards.square().sum(1, keepdim=True).clip(min=1e-12 * float(values[-1]) / n)
    v = torch.cat([sign * size * along for sign in (1, -1) for size in (0.3, 3)] + [towards, 2 * np.log(n) * towards])
    best = float(values[-1]) / n  # of the smallest steps
    before = torch.zeros(len(v), dtype=y.dtype)
    for step in range(steps):
        inner = y @ v.T
        ratio = 2 * (inner.logsumexp(0) - np.log(n)) / v.square().sum(1)
        # a tangent of the convex numerator is maximised, so that no step makes the ratio smaller
        v = inner.softmax(0).T @ y / ratio[:, None]
        if (ratio - before).max() < 1e-10 * ratio.max():
            break
        if step == 100:
            most = ratio.topk(min(8, len(ratio))).indices
            v, ratio = v[most], ratio[most]
        before = ratio
    return max(best, float(ratio.max()))
