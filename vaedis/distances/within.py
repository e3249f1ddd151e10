"""Order within traversals: the rank correlation of each traversal by itself, and its mean and spread.

Pairs of all traversals together say less: where another factor scales distances, as contrast or
size do, near pairs of one traversal are farther apart than far pairs of another, though each is in
order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from vaedis.distances.agreement import EQUAL

# how many pairs are ranked at a time
_PAIRS = 2**20


@dataclass(frozen=True)
class WithinRank:
    """The rank correlation of perceived with ground-truth distances within each traversal.

    Attributes
    ----------
    mean : float or None
        Over the traversals that have one; None if none has.
    sd : float or None
        Its standard deviation over these traversals.
    traversals : int
        How many have one. One whose known pairs are all equally many steps apart cannot have one.
    flat : int
        How many have none because all their distances are equal.
    """

    mean: float | None
    sd: float | None
    traversals: int
    flat: int


class WithinSums:
    """Sums over traversals of their rank correlations, of one kind of ground-truth distances.

    Parameters
    ----------
    device : torch.device
    """

    def __init__(self, device: torch.device):
        # how many have one, and the sums of what they lack of 1, and of its square; how many are
        # flat
        self.sums = torch.zeros(4, dtype=torch.float64, device=device)

    def add(self, correlations: Tensor, flat: Tensor) -> None:
        """Count traversals by their correlations, NaN where there is none, and by whether they are
        flat: shape (T,).
        """
        lacking = 1 - correlations[~correlations.isnan()]
        counts = torch.stack(
            [
                lacking.new_tensor(len(lacking)),
                lacking.sum(),
                lacking.square().sum(),
                flat.sum().double(),
            ]
        )
        self.sums += counts

    def result(self) -> WithinRank:
        """Return what was counted."""
        count, first, second, flat = self.sums.tolist()
        if not count:
            return WithinRank(None, None, 0, int(flat))
        spread = math.sqrt(max(second / count - (first / count) ** 2, 0.0))
        return WithinRank(1 - first / count, spread, int(count), int(flat))


def rank_within(
    distances: Tensor, truths: Iterable[Tensor], known: Tensor | None = None
) -> list[tuple[Tensor, Tensor]]:
    """Return Spearman's correlation of distances with each kind of ground-truth distances, traversal
    by traversal.

    Parameters
    ----------
    distances : Tensor of float64, shape (T, P)
        Of the pairs of each traversal. Those that differ by less than rounding tie.
    truths : iterable of Tensor, shape (T, P) or (P,)
    known : Tensor of bool, shape (T, P), optional
        Which pairs each traversal has; all by default.

    Returns
    -------
    list of (Tensor of float64, shape (T,), Tensor of bool, shape (T,))
        For each kind, the correlations, NaN where one of the two does not vary, and whether that is
        because the distances are all equal.
    """
    truths = [truth.double() for truth in truths]
    parts = []
    step = max(1, _PAIRS // max(1, distances.shape[1]))
    for start in range(0, len(distances), step):
        rows = slice(start, start + step)
        some = None if known is None else known[rows]
        parts.append(
            _of_rows(
                distances[rows],
                [truth if truth.ndim == 1 else truth[rows] for truth in truths],
                some,
            )
        )
    return [
        (torch.cat([part[k][0] for part in parts]), torch.cat([part[k][1] for part in parts]))
        for k in range(len(truths))
    ]


def _of_rows(
    distances: Tensor, truths: list[Tensor], known: Tensor | None
) -> list[tuple[Tensor, Tensor]]:
    top = (distances if known is None else distances * known).abs().amax(1, keepdim=True)
    # sums in another order differ in the last digits; what is equal must tie
    rounded = torch.round(distances / torch.where(top > 0, top, 1), decimals=9)
    ranks = _centred_ranks(rounded, known)
    spread = ranks.square().sum(1)
    low, high = _ends(rounded, known)
    varies = (high - low > EQUAL) & (spread > 0)
    found = []
    for truth in truths:
        steps = truth[None] if truth.ndim == 1 else truth
        # alike in all traversals that have all pairs
        steps = _centred_ranks(steps if known is None else steps.expand_as(distances), known)
        spread_of_steps = steps.square().sum(1)
        ordered = spread_of_steps > 0
        correlation = (ranks * steps).sum(1) / (spread * spread_of_steps).sqrt()
        found.append((torch.where(varies & ordered, correlation, math.nan), ordered & ~varies))
    return found


def _ends(values: Tensor, known: Tensor | None) -> tuple[Tensor, Tensor]:
    """The smallest and the largest of the known values of each row."""
    if known is None:
        return values.amin(1), values.amax(1)
    return values.where(known, math.inf).amin(1), values.where(known, -math.inf).amax(1)


def _centred_ranks(values: Tensor, known: Tensor | None) -> Tensor:
    """Ranks within each row less their mean, equal values sharing the mean of theirs; 0 for what is
    not known.
    """
    values = values.contiguous() if known is None else values.where(known, math.inf)
    ordered = values.sort(1).values
    ranks = (
        torch.searchsorted(ordered, values) + torch.searchsorted(ordered, values, right=True)
    ).double()
    if known is None:
        return ranks - ranks.mean(1, keepdim=True)
    count = known.sum(1, keepdim=True).clamp(min=1)
    return (ranks - (ranks * known).sum(1, keepdim=True) / count) * known
