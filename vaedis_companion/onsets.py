"""What a VAE learns of its data, as perceived distances foretell it: up to which beta anything at
all, and the factors in what order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vaedis import _check
from vaedis.distances.agreement import compare

# of symmetric KL divergence: two posteriors of equal width are then 1.4 widths apart, and a sample
# tells them apart three times out of four
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
        How far its posteriors told the factor's values apart, in nats; see
        `training.inspect.factor_learning`.
    reconstructed : dict of str to ndarray of float, shape (looks,)
        How much of the distance between images its reconstructions had. Empty if that was not
        recorded.
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
            return {
                n.removeprefix(measure + "/"): np.asarray(a, float)
                for n, a in arrays.items()
                if n.startswith(measure + "/")
            }

        return cls(
            np.asarray(arrays["learnt_steps"]), curves("separation"), curves("reconstructed")
        )

    def curves(self, measure: str) -> dict[str, np.ndarray]:
        """Return the curves of a measure, "separation" or "reconstructed"."""
        return getattr(self, _check.one_of("measure", measure, _LEARNT))

    def onsets(self, measure: str = "reconstructed", at: float | None = None) -> dict[str, float]:
        """Return the step at which each factor is learnt, interpolated between looks.

        Parameters
        ----------
        measure : {"reconstructed", "separation"}
        at : float, optional
            Where a factor counts as learnt: half of its distance reconstructed, or a separation of
            1 nat, unless given.

        Returns
        -------
        dict of str to float
            In steps; infinite for a factor that is never learnt. A network that forgets a factor
            again has learnt it all the same.
        """
        curves = self.curves(measure)
        threshold = _check.positive("at", _LEARNT[measure] if at is None else at)
        return {
            factor: _crossing(self.steps, values, threshold) for factor, values in curves.items()
        }

    def order(
        self,
        importance: Mapping[str, float],
        measure: str = "reconstructed",
        at: float | None = None,
    ) -> float | None:
        """Return how well the order of learning agrees with an order of importance.

        Parameters
        ----------
        importance : mapping of str to float
            Of each factor, for instance its mean perceived distance (`distances.factor_distances`).
        measure, at
            As for `onsets`.

        Returns
        -------
        float or None
            Spearman's correlation of importance with earliness: 1 if the most important factor is
            learnt first and so on. Factors never learnt tie for the last place. None if no factor
            was learnt, or all at once.
        """
        return _rank(importance, {name: -step for name, step in self.onsets(measure, at).items()})

    def order_at(
        self, importance: Mapping[str, float], measure: str = "reconstructed"
    ) -> list[float | None]:
        """Return Spearman's correlation of an order of importance with a measure at each look; None
        where either is constant.
        """
        looks = range(len(self.steps))
        return [
            _rank(
                importance,
                {name: float(values[k]) for name, values in self.curves(measure).items()},
            )
            for k in looks
        ]


def _crossing(steps: np.ndarray, values: np.ndarray, threshold: float) -> float:
    above = np.flatnonzero(values >= threshold)
    if not len(above):
        return float("inf")
    first = int(above[0])
    x, y = np.concatenate([[0], steps]), np.concatenate([[0.0], values])
    return float(np.interp(threshold, y[first : first + 2], x[first : first + 2]))


def _rank(importance: Mapping[str, float], score: Mapping[str, float]) -> float | None:
    if set(importance) != set(score):
        raise ValueError(
            f"importance names the factors {sorted(importance)}, but the run has {sorted(score)}."
        )
    finite = [value for value in score.values() if np.isfinite(value)]
    # never learnt: after all others
    last = min(finite, default=0.0) - 1.0
    x = np.array([importance[name] for name in score], float)
    y = np.array([value if np.isfinite(value) else last for value in score.values()], float)
    return compare(x, y, y).rank


def where_learning_ends(rows: Iterable[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """Return, for each seed with several betas, the largest beta at which anything was learnt and the
    next one that was tried.

    Parameters
    ----------
    rows : iterable of mapping
        Runs of a store that differ in seed and beta only. A KL divergence of more than 0.01 nats a
        latent says that something was learnt.

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
