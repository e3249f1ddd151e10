"""What a VAE learns of its data, as perceived distances foretell it: up to which beta anything at all, and the factors in what order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vaedis import _check, losses
from vaedis.data.base import FactorData
from vaedis.distances._agreement import compare

# of symmetric KL divergence: two posteriors of equal width are then 1.4 widths apart, and a sample tells them apart three times out of four
TOLD_APART = 1.0
# of the distance of images that their reconstructions have
DRAWN = 0.5
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


def largest_beta(
    data: FactorData,
    latents: int,
    *,
    loss: str | losses.Loss = "mse",
    samples: int = 4_000,
    seed: int = 0,
    index: Tensor | None = None,
    standardise: bool = True,
) -> float:
    """Return the beta above which a VAE learns nothing of its data, to first order.

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
        For a loss that is a mean over pixels and a KL divergence that is a mean over latents (`RunSpec.beta`). The bound says
        where the first step away from nothing stops to pay; networks with hidden layers may stop learning below it.

    References
    ----------
    Tipping and Bishop (1999), section 3.2; Lucas et al. (2019), sections 4 and 5.
    """
    latents, samples = _check.count("latents", latents), _check.count("samples", samples, 2)
    form = losses.get(loss)
    if index is None:
        drawn = torch.Generator().manual_seed(seed)
        index = torch.arange(len(data)) if len(data) <= samples else data.factors.sample_index(samples, generator=drawn)

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
