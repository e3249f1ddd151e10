"""When networks learn: at which step each factor, and up to which beta anything at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vaedis import _check
from vaedis.distances.agreement import compare

ALIVE = 0.01
"""Nats per latent, as a mean over latents: below, posteriors equal the prior and hold nothing."""
RECONSTRUCTED = 0.5
"""Share of the distance between images that reconstructions of a learned factor have."""
# nats of symmetric KL: two posteriors of equal width are then 1.4 widths apart, and a sample tells
# them apart three times out of four
_SEPARATED = 1.0
_THRESHOLDS = {"separation": _SEPARATED, "reconstructed": RECONSTRUCTED}


@dataclass(frozen=True)
class Learning:
    """What a network learned of each factor while it was trained.

    `steps`, int (n,), are those at which it was evaluated. For each factor, `separation` is the
    symmetric KL divergence between the posteriors of its values, in nats
    (`training.inspect.factor_learning`), and `reconstructed` the share of the distance between
    images that reconstructions have: float (n,). It is empty if not recorded. A ValueError says
    that the steps do not increase, or that a curve has another length or NaN.

    Examples
    --------
    >>> steps, shares = np.array([10, 20]), {"size": np.array([0.4, 0.6])}
    >>> learning = Learning(steps, {}, shares | {"hue": np.array([0.1, 0.2])})
    >>> learning.onsets()
    {'size': 15.0, 'hue': inf}
    >>> round(learning.order({"size": 2.0, "hue": 1.0}), 6)
    1.0
    """

    steps: np.ndarray
    separation: dict[str, np.ndarray]
    reconstructed: dict[str, np.ndarray]

    def __post_init__(self) -> None:
        steps = np.asarray(self.steps, float)
        if steps.ndim != 1 or not (np.diff(steps) > 0).all() or not np.isfinite(steps).all():
            raise ValueError(f"steps must be increasing numbers, one an evaluation, not {steps}.")
        for measure in _THRESHOLDS:
            for factor, curve in getattr(self, measure).items():
                if np.shape(curve) != steps.shape or np.isnan(curve).any():
                    raise ValueError(
                        f"{measure} of {factor!r} must be one number for each of {len(steps)} "
                        "steps, without NaN; leave out a run that failed."
                    )

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> Learning | None:
        """Return what a stored run recorded (`Store.arrays`); None if it recorded nothing."""
        if "learnt_steps" not in arrays:
            return None
        curves: dict[str, dict[str, np.ndarray]] = {measure: {} for measure in _THRESHOLDS}
        for name, array in arrays.items():
            measure, _, factor = name.partition("/")
            if factor and measure in curves:
                curves[measure][factor] = np.asarray(array, float)
        return cls(np.asarray(arrays["learnt_steps"]), **curves)

    def onsets(self, measure: str = "reconstructed", at: float | None = None) -> dict[str, float]:
        """Return the step at which each factor is learned, interpolated between evaluations.

        `measure` is "reconstructed" or "separation", and `at` its threshold, by default half of the
        distance or 1 nat. The step is infinite for a factor that is never learned; one forgotten
        again counts as learned.
        """
        threshold = _THRESHOLDS[_check.one_of("measure", measure, _THRESHOLDS)]
        if at is not None:
            threshold = _check.positive("at", at)
        curves = getattr(self, measure)
        return {factor: _crossing(self.steps, curve, threshold) for factor, curve in curves.items()}

    def order(
        self,
        importance: Mapping[str, float],
        measure: str = "reconstructed",
        at: float | None = None,
    ) -> float | None:
        """Return Spearman's correlation of each factor's importance with how early it is learned.

        It is 1 if the most important factor is learned first and so on. Factors never learned tie
        for the last place. None if no factor was learned, or all at once. `measure` and `at` are as
        for `onsets`.
        """
        return _rank(importance, {name: -step for name, step in self.onsets(measure, at).items()})

    def final_order(self, importance: Mapping[str, float]) -> float | None:
        """Return Spearman's correlation of importance with the last shares; None if constant."""
        return _rank(importance, {name: float(c[-1]) for name, c in self.reconstructed.items()})


def _crossing(steps: np.ndarray, curve: np.ndarray, threshold: float) -> float:
    """Return where a curve that starts from 0 first reaches a threshold."""
    above = np.flatnonzero(curve >= threshold)
    if not len(above):
        return float("inf")
    first = int(above[0])
    x = np.concatenate([[0], steps])[first : first + 2]
    y = np.concatenate([[0.0], curve])[first : first + 2]
    return float(np.interp(threshold, y, x))


def _rank(importance: Mapping[str, float], score: Mapping[str, float]) -> float | None:
    if set(importance) != set(score):
        raise ValueError(
            f"importance names the factors {sorted(importance)}, but the run has {sorted(score)}."
        )
    x = np.array([importance[name] for name in score], float)
    y = np.array([*score.values()], float)
    finite = np.isfinite(y)
    # factors that are never learned come after all others
    y[~finite] = y.min(where=finite, initial=0.0) - 1.0
    return compare(x, y, y).rank


def learned(row: Mapping[str, Any]) -> bool | None:
    """Return whether a stored run learned anything: a KL of more than `ALIVE` at its end.

    None if its KL was not stored, which says nothing either way.
    """
    kl = row["final_kl"]
    return None if kl is None else kl > ALIVE


def count_without_learning(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return how many of stored runs learned nothing, in words; runs without a KL do not count.

    Examples
    --------
    >>> count_without_learning([{"final_kl": 0.0}, {"final_kl": 0.5}])
    '1 of 2 runs learnt nothing'
    """
    known = [has_learned for row in rows if (has_learned := learned(row)) is not None]
    return f"{known.count(False)} of {len(known)} run{'s' * (len(known) != 1)} learnt nothing"


def where_learning_ends(rows: Iterable[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """Return the largest beta at which anything was learned, and the next that was tried.

    The rows are runs of a store that differ in seed and beta only; a KL divergence of more than
    0.01 nats per latent says that something was learned. There is a pair for each seed with several
    betas, in order: 0 if nothing was learned at any, infinity if no larger beta was tried. Runs
    without a KL are left out. A ValueError says that two of one seed and beta contradict each
    other.

    Examples
    --------
    >>> where_learning_ends([{"seed": 0, "beta": b, "final_kl": 1 - b} for b in (0.1, 0.3, 1)])
    [(0.3, 1)]
    """
    learned_of: dict[int, dict[float, bool]] = {}
    for row in rows:
        has_learned = learned(row)
        if has_learned is None:
            continue
        betas = learned_of.setdefault(row["seed"], {})
        if betas.setdefault(row["beta"], has_learned) != has_learned:
            raise ValueError(
                f"two runs have the seed {row['seed']} and the beta {row['beta']:g}, and only one "
                "learned; take runs that differ in seed and beta alone."
            )
    ends = []
    for seed in sorted(learned_of):
        betas = learned_of[seed]
        # a single beta, as other experiments have it, does not show where learning ends
        if len(betas) > 1:
            last = max((beta for beta, has_learned in betas.items() if has_learned), default=0.0)
            first_dead = min((beta for beta in betas if beta > last), default=float("inf"))
            ends.append((last, first_dead))
    return ends
