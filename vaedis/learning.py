"""In what order a VAE learns the factors of its data, and whether that is the order of their perceived distances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vaedis import _check
from vaedis.distances._agreement import compare

# of symmetric KL divergence: two posteriors of equal width are then 1.4 widths apart, and a sample tells them apart three times out of four
TOLD_APART = 1.0


@dataclass(frozen=True)
class Learning:
    """How well a network's posteriors told the values of each factor apart while it was trained.

    Attributes
    ----------
    steps : ndarray of int, shape (looks,)
    separation : dict of str to ndarray of float, shape (looks,)
        In nats; see `distances.separations`.
    """

    steps: np.ndarray
    separation: dict[str, np.ndarray]

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> Learning | None:
        """Return what a stored run recorded (`results.Store.arrays`); None if it recorded nothing."""
        if "separation_steps" not in arrays:
            return None
        found = {name.removeprefix("separation/"): values for name, values in arrays.items() if name.startswith("separation/")}
        return cls(np.asarray(arrays["separation_steps"]), {name: np.asarray(values, float) for name, values in found.items()})

    def onsets(self, nats: float = TOLD_APART) -> dict[str, float]:
        """Return the step at which each factor's values are told apart, interpolated between looks.

        Parameters
        ----------
        nats : float
            The separation at which a factor counts as learnt.

        Returns
        -------
        dict of str to float
            In steps; infinite for a factor that is never learnt. A network that forgets a factor again has learnt it all the same.
        """
        _check.positive("nats", nats)
        found = {}
        for factor, values in self.separation.items():
            above = np.flatnonzero(values >= nats)
            if not len(above):
                found[factor] = float("inf")
                continue
            first = int(above[0])
            steps, heights = np.concatenate([[0], self.steps]), np.concatenate([[0.0], values])
            share = (nats - heights[first]) / (heights[first + 1] - heights[first])
            found[factor] = float(steps[first] + share * (steps[first + 1] - steps[first]))
        return found

    def order(self, importance: Mapping[str, float], nats: float = TOLD_APART) -> float | None:
        """Return how well the order of learning agrees with an order of importance.

        Parameters
        ----------
        importance : mapping of str to float
            Of each factor, for instance its mean perceived distance (`distances.along`).
        nats : float
            As for `onsets`.

        Returns
        -------
        float or None
            Spearman's correlation of importance with earliness: 1 if the most important factor is learnt first and so on. Factors never
            learnt tie for the last place. None if no factor was learnt, or all at once.
        """
        return _rank(importance, {name: -step for name, step in self.onsets(nats).items()})

    def final_order(self, importance: Mapping[str, float]) -> float | None:
        """Return Spearman's correlation of an order of importance with the separations at the last look; None if either is constant."""
        return _rank(importance, {name: float(values[-1]) for name, values in self.separation.items()})


def _rank(importance: Mapping[str, float], score: Mapping[str, float]) -> float | None:
    if set(importance) != set(score):
        raise ValueError(f"importance names the factors {sorted(importance)}, but the run has {sorted(score)}.")
    finite = [value for value in score.values() if np.isfinite(value)]
    # never learnt: after all others
    last = min(finite, default=0.0) - 1.0
    x = np.array([importance[name] for name in score], float)
    y = np.array([value if np.isfinite(value) else last for value in score.values()], float)
    return compare(x, y, y).rank
