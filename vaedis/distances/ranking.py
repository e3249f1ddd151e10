"""Which loss suits a data set? Losses ranked by how well their distances follow the ground truth,
before anything is trained.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vaedis import _check, losses
from vaedis.data.base import FactorData
from vaedis.distances.agreement import Agreement
from vaedis.distances.factor_distances import factor_distances
from vaedis.distances.pairs import pair_agreement
from vaedis.losses import Loss


@dataclass(frozen=True)
class RankedLoss:
    """How well the distances of one loss follow the ground truth.

    Attributes
    ----------
    name : str
    loss : Loss
    factors : dict of str to Agreement
        Along each factor, pair by pair, without self-pairs.
    random : Agreement or None
        Of random pairs, if they were asked for.
    linear, rank : float
        Means over factors; a factor without a correlation counts as 0.
    adversarial : tuple of str
        Factors along which all distances are equal.
    """

    name: str
    loss: Loss
    factors: dict[str, Agreement]
    random: Agreement | None
    linear: float
    rank: float
    adversarial: tuple[str, ...]


def family(loss: str, **grids: Sequence[Any]) -> dict[str, Loss]:
    """Return all losses of a kind, one for each combination of options.

    Parameters
    ----------
    loss : str
        As for `losses.get`.
    **grids
        For each option, its values.

    Returns
    -------
    dict of str to Loss
        Names such as ``"box-blur radius=31"``.

    Examples
    --------
    >>> list(family("box-blur", radius=[15, 31]))
    ['box-blur radius=15', 'box-blur radius=31']
    """
    found = {}
    for values in itertools.product(*grids.values()):
        options = dict(zip(grids, values, strict=True))
        found[" ".join([loss, *(f"{name}={value}" for name, value in options.items())])] = (
            losses.get(loss, **options)
        )
    return found


def rank_losses(
    data: FactorData,
    candidates: Mapping[str, str | Loss] | Iterable[str],
    *,
    factors: Iterable[str] | None = None,
    shapes: Mapping[str, str] | None = None,
    traversals: int | None = None,
    pairs: int = 0,
    seed: int = 0,
    normalize: bool = False,
    by: str = "linear",
) -> list[RankedLoss]:
    """Rank losses by how well perceived distances agree with ground-truth distances.

    Parameters
    ----------
    data : FactorData
    candidates : mapping of str to (str or Loss), or iterable of str or Loss
        The losses, with names of your choice or by their own; see `family`.
    factors : iterable of str, optional
        Which factors; all by default.
    shapes : mapping of str to {"line", "circle"}, optional
        Factors that run in a circle; a line by default.
    traversals : int, optional
        How many random traversals of each factor, the same for all losses; by default all there
        are.
    pairs : int
        How many random pairs to judge by as well; none by default.
    seed : int
        Of the random traversals and pairs.
    normalize : bool
        See `factor_distances`.
    by : {"linear", "rank"}
        Which correlation decides.

    Returns
    -------
    list of RankedLoss, the best first

    Raises
    ------
    ValueError
        If there is no loss to rank, or a name is unknown.
    """
    _check.one_of("correlation", by, ("linear", "rank"))
    named = (
        dict(candidates)
        if isinstance(candidates, Mapping)
        else {name: name for name in _check.listed(candidates)}
    )
    if not named:
        raise ValueError("there must be at least one loss to rank.")
    names = None if factors is None else _check.listed(factors)
    found = []
    for name, candidate in named.items():
        loss = losses.get(candidate)
        results = factor_distances(
            data, loss, factors=names, traversals=traversals, seed=seed, normalize=normalize
        )
        agreements = {
            factor: result.agreement((shapes or {}).get(factor, "line"))
            for factor, result in results.items()
        }
        random = (
            pair_agreement(data, None, loss, n=pairs, seed=seed, normalize=normalize)
            if pairs
            else None
        )
        means = [
            float(np.mean([getattr(a, kind) or 0.0 for a in agreements.values()]))
            for kind in ("linear", "rank")
        ]
        adversarial = tuple(factor for factor, a in agreements.items() if a.adversarial)
        found.append(
            RankedLoss(
                name if isinstance(name, str) else loss.name,
                loss,
                agreements,
                random,
                means[0],
                means[1],
                adversarial,
            )
        )
    return sorted(found, key=lambda ranked: -getattr(ranked, by))
