"""Which loss suits a data set? Rank losses by how well their distances follow the ground truth."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vaedis import losses
from vaedis._support.brief import fields_repr
from vaedis._support.text import distinct
from vaedis.distances.agreement import Agreement
from vaedis.distances.factor_distances import factor_distances, listed_factors
from vaedis.distances.pairs import pair_agreement
from vaedis.losses import Loss
from vaedis.losses.base import LossLike


@dataclass(frozen=True)
class RankedLoss:
    """How well the distances of one loss follow the ground truth.

    Attributes
    ----------
    name : str
    loss : Loss
    factors : dict of str to Agreement
        Along each factor, over all pairs of different values.
    random : Agreement or None
        Over random pairs, if they were asked for.
    linear, rank : float
        Mean correlations over factors; a factor without a correlation counts as 0.
    adversarial : tuple of str
        Factors along which all distances are equal.

    Examples
    --------
    >>> import vaedis as vd
    >>> vd.distances.rank_losses(vd.load("xysquares", num_squares=1), ["mse"])[0].adversarial
    ('x_R', 'y_R')
    """

    __repr__ = fields_repr

    name: str
    loss: Loss
    factors: dict[str, Agreement]
    random: Agreement | None
    linear: float
    rank: float
    adversarial: tuple[str, ...]


def family(loss: str, **options: Sequence[Any]) -> dict[str, Loss]:
    """Make a loss of each combination of options, with a name such as ``"box-blur radius=31"``.

    `loss` is a name, as for `losses.get`, and each option a list of its values.

    Examples
    --------
    >>> import vaedis as vd
    >>> list(vd.distances.family("box-blur", radius=[15, 31]))
    ['box-blur radius=15', 'box-blur radius=31']
    """
    if not isinstance(loss, str):
        example = "family('box-blur', radius=[1, 2])"
        raise ValueError(f"loss must be the name of one, as in {example}, not {loss!r}.")
    for option, listed in options.items():
        if isinstance(listed, str) or not isinstance(listed, Iterable):
            example = f"{option}=[{listed!r}]"
            raise ValueError(f"give a list of values for each option, such as {example}.")
    family_losses = {}
    for values in itertools.product(*options.values()):
        options_of_loss = dict(zip(options, values, strict=True))
        name = " ".join([loss, *(f"{option}={value}" for option, value in options_of_loss.items())])
        family_losses[name] = losses.get(loss, **options_of_loss)
    return family_losses


def rank_losses(
    data: Any,
    candidates: Mapping[Any, LossLike] | Iterable[LossLike] | LossLike,
    *,
    factors: Iterable[str] | None = None,
    traversals: int | None = None,
    pairs: int = 0,
    seed: int = 0,
) -> list[RankedLoss]:
    """Rank losses by the linear correlation of perceived with ground-truth distances.

    Parameters
    ----------
    data : whatever `data.as_data` takes
    candidates : mapping of str to losses, or iterable of losses
        Each as for `losses.get`, named by you or by its own name, with a number where two have the
        same; see `family`.
    factors : iterable of str, optional
        All by default.
    traversals : int, optional
        Number of random traversals of each factor, the same for all losses; by default all.
    pairs : int
        Number of random pairs that are compared as well, at least 2; see `pair_agreement` for how
        much a correlation of few pairs may err.
    seed : int

    Returns
    -------
    list of RankedLoss, the best first

    Raises
    ------
    ValueError
        If there is no loss or no factor, or `factor_distances` refuses one.

    Examples
    --------
    >>> import vaedis as vd
    >>> data = vd.load("xysquares", image_size=32, square_size=4, num_squares=1)
    >>> candidates = {"mse": "mse", **vd.distances.family("box-blur", radius=[15])}
    >>> [ranked.name for ranked in vd.distances.rank_losses(data, candidates)]
    ['box-blur radius=15', 'mse']
    """
    if isinstance(candidates, str) or callable(candidates):
        candidates = [candidates]
    if isinstance(candidates, Mapping):
        made = [losses.get(loss) for loss in candidates.values()]
        texts = [str(name) for name in candidates]
    else:
        if not isinstance(candidates, Iterable):
            raise ValueError(f"candidates must be losses or their names, not {candidates!r}.")
        made = [losses.get(loss) for loss in candidates]
        texts = [loss.name for loss in made]
    named = dict(zip(distinct(texts), made, strict=True))
    if not named:
        raise ValueError("there must be at least one loss to rank.")
    names = None if factors is None else listed_factors(factors)
    if names == []:
        raise ValueError("factors must name at least one factor, or be left out for all.")
    ranking = []
    for name, loss in named.items():
        distances_of = factor_distances(data, loss, factors=names, traversals=traversals, seed=seed)
        agreements = {factor: one.agreement() for factor, one in distances_of.items()}
        ranked = RankedLoss(
            name=name,
            loss=loss,
            factors=agreements,
            random=pair_agreement(data, None, loss, n=pairs, seed=seed) if pairs else None,
            linear=float(np.mean([one.linear or 0.0 for one in agreements.values()])),
            rank=float(np.mean([one.rank or 0.0 for one in agreements.values()])),
            adversarial=tuple(f for f, one in agreements.items() if one.adversarial),
        )
        ranking.append(ranked)
    return sorted(ranking, key=lambda ranked: -ranked.linear)
