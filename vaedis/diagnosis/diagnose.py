"""Under this loss, can a VAE find my factors? A report on a data set and one or more reconstruction
losses, without training anything.

The paper's argument, turned into advice: a VAE orders observations as its loss sees them. So what
the loss sees along each factor says whether the factor can be found, and when.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from vaedis import _check, losses as loss_functions
from vaedis.data import as_data
from vaedis.data.base import FactorData
from vaedis.data.images import LabelledImages
from vaedis.diagnosis.bounds import largest_beta
from vaedis.diagnosis.report import FAINT, UNMEASURED, Advice, Diagnosis, FactorReport, LossReport
from vaedis.distances import FactorDistances, factor_distances, perceived
from vaedis.distances.agreement import EQUAL, compare
from vaedis.distances.kernels import kernel_for
from vaedis.distances.result import WithinRank
from vaedis.losses import BoxBlur, Loss, properties

# A rank correlation within traversals: XYSquares at spacing 4, whose distances stop growing after
# two steps, has .85 for its mean matrix.
ORDERED, PARTLY = 0.8, 0.5
# Of a circle over a line, to be called a circle.
CIRCLE_GAIN = 0.1
# Mean distances that differ by less than this share are one, for what a reader can see and a VAE
# can use.
FLAT = 0.01
RADII = (1, 2, 4, 8, 16, 31)
_EXACT_IMAGES = 200_000
_RANDOM_PAIRS = 10_000
# of torch's random numbers
_LARGEST_SEED = 2**63 - 1
_BLUR_TRAVERSALS = 64
_SPREAD_IMAGES, _SPREAD_NUMBERS = 2_000, 2**25


def diagnose(
    data: Any,
    losses: str | Loss | Sequence[str | Loss] = "mse",
    *,
    traversals: int = 2_000,
    exact: bool | None = None,
    radii: Sequence[int] = RADII,
    seed: int = 0,
) -> Diagnosis:
    """Say which factors of a data set a VAE can find under a loss, and why.

    Parameters
    ----------
    data : FactorData, (images, labels), name or path
        Whatever `data.as_data` takes: `read_images` makes a data set of a file, `LabelledImages` of
        arrays.
    losses : str or Loss, or a sequence of them
        The first is the one that advice is given on.
    traversals : int
        How many random traversals of each factor to average over where not all are looked at.
    exact : bool, optional
        Look at all traversals. By default where that takes at most 200,000 images.
    radii : sequence of int
        Box-blur radii to try for factors that the first loss does not order; those that do not fit
        into the image are left out.
    seed : int
        Of everything that is drawn.

    Returns
    -------
    Diagnosis

    Notes
    -----
    Order is judged within traversals: by the mean over traversals of the rank correlation within
    each. Pairs of all traversals together would be out of order as soon as another factor, such as
    the contrast, scales all distances.

    That a factor is ordered is necessary, not sufficient, for a VAE to disentangle it. The expected
    order of learning is that of mean distances: the larger, the sooner it pays to encode the
    factor. Both are the paper's findings on its five data sets, not laws.

    References
    ----------
    Michlo, Klein and James (2023), sections 4 to 6.
    """
    data = as_data(data)
    traversals = _check.count("traversals", traversals)
    seed = _check.count("seed", seed, 0)
    if seed > _LARGEST_SEED:
        raise ValueError(f"seed must be at most {_LARGEST_SEED}, not {seed}.")
    data.need_change()
    given = (
        list(losses)
        if isinstance(losses, Iterable) and not isinstance(losses, str | Loss)
        else [losses]
    )
    if not given:
        raise ValueError("losses must name at least one loss.")
    found = [loss_functions.get(loss) for loss in given]
    reports = tuple(_of_loss(data, loss, traversals, exact, seed) for loss in found)
    # of images that are one and the same no loss makes two
    hidden = [
        f.factor
        for f in reports[0].factors
        if not f.visible and f.verdict not in ("invisible", UNMEASURED)
    ]
    tried = [r for r in (_check.count("a radius", r, 0) for r in radii) if r < min(data.shape[:2])]
    advice = (
        _advise(data, hidden, found[0], tried, min(traversals, _BLUR_TRAVERSALS), seed)
        if hidden
        else ()
    )
    constant = tuple(
        n for n, s in zip(data.factors.names, data.factors.sizes, strict=True) if s < 2
    )
    return Diagnosis(
        name=getattr(data, "name", type(data).__name__),
        images=len(data),
        shape=data.shape,
        grid=data.grid,
        constant=data.constant if isinstance(data, LabelledImages) else constant,
        losses=reports,
        advice=advice,
        notes=getattr(data, "notes", ()),
    )


def _of_loss(
    data: FactorData, loss: Loss, traversals: int, exact: bool | None, seed: int
) -> LossReport:
    found, unpaired = _along(data, loss, traversals, exact, seed)
    a, b = _random_pairs(data, seed)
    seen = perceived(data, a, b, loss=loss).cpu().numpy()
    truth = (data.to_factors(a) - data.to_factors(b)).abs().sum(1).cpu().numpy().astype(float)
    # pairs of one image with itself are no pairs
    different = (a != b).cpu().numpy()
    random_mean = float(seen[different].mean())
    for result in found.values():
        _need_distance(result, loss, random_mean)
    rank = compare(truth[different], seen[different], seen[different]).rank
    # those that look alike come at the same time
    places = {
        name: 1 + sum(other.mean > result.mean * (1 + 1e-6) for other in found.values())
        for name, result in found.items()
    }
    sizes = dict(zip(data.factors.names, data.factors.sizes, strict=True))
    factors = tuple(
        _of_factor(result, sizes[name], random_mean, places[name]) for name, result in found.items()
    )
    return LossReport(
        _name(loss), random_mean, rank, factors, unpaired, _largest_beta(data, loss, a)
    )


def _need_distance(found: FactorDistances, loss: Loss, random_mean: float) -> None:
    """Raise a ValueError if images look closer to every other than to themselves."""
    # less than rounding may take from equal images, of a loss that is not known to be a distance
    if properties.is_own(loss) and found.beyond < -EQUAL * max(
        abs(random_mean), abs(found.smallest), found.largest
    ):
        raise ValueError(
            f"the loss {loss.name!r} is smaller between images that differ in {found.factor!r} than between equal ones, so it is no "
            "distance; if it grows with likeness, give its negative."
        )


def _largest_beta(data: FactorData, loss: Loss, rows: torch.Tensor) -> float | None:
    if not properties.is_form(loss, data, False):
        return None
    pixels = math.prod(data.shape)
    rows = torch.unique(rows)
    # as many images as fit into memory at once
    most = min(_SPREAD_IMAGES, max(2, _SPREAD_NUMBERS // pixels))
    rows = rows[:: -(-len(rows) // most)]
    # of means over latents and pixels, and so of sums
    return largest_beta(data, 1, loss=loss, index=rows, normalize=False) * pixels


def _of_factor(
    found: FactorDistances, distinct: int, random_mean: float, place: int
) -> FactorReport:
    line, circle = found.agreement(), found.agreement("circle") if len(found.matrix) > 3 else None
    assert found.within is not None
    assert found.within_circle is not None
    verdict, reason = _judge(found, found.within, found.within_circle, random_mean)
    return FactorReport(
        factor=found.factor,
        values=len(found.matrix),
        distinct=distinct,
        traversals=found.traversals,
        exact=found.exact,
        importance=found.mean,
        importance_error=found.standard_errors()[0],
        share=found.mean / random_mean if random_mean else math.nan,
        neighbours=found.neighbours,
        within=found.within,
        within_circle=found.within_circle,
        rank=line.rank,
        linear=line.linear,
        circle_rank=circle.rank if circle else None,
        adversarial=found.adversarial,
        place=place,
        verdict=verdict,
        reason=reason,
        matrix=found.matrix,
    )


def _judge(
    found: FactorDistances, line: WithinRank, circle: WithinRank, random_mean: float
) -> tuple[str, str]:
    if _invisible(found):
        return (
            "invisible",
            "Images that differ in it alone look the same to the loss: no VAE can find it.",
        )
    faint = found.mean < FAINT * random_mean
    late = (
        f" Its distances are {found.mean / random_mean:.1%} of those of random pairs: expect it late, or lost to a large beta."
        if faint
        else ""
    )
    if _no_farther(found):
        return (
            "unordered",
            f"Images that differ in it alone are no farther apart than images that share all factors.{late}",
        )
    if len(found.matrix) == 2:
        return "ordered", f"It has two values, which need no order.{late}"
    if found.adversarial or (line.flat and not line.traversals) or _flat(found, line):
        average = "" if found.adversarial else " on average"
        text = f"All its values look equally far apart{average} ({found.mean:.4g}): the loss tells that it changed, and not by how much."
        return "adversarial", text + late
    if line.mean is None:
        return (
            UNMEASURED,
            "no three of its values come together in images that differ in nothing else, which is what an order takes",
        )
    return _order(found, line, circle, late)


def _order(
    found: FactorDistances, line: WithinRank, circle: WithinRank, late: str
) -> tuple[str, str]:
    """Return the verdict on a factor whose distances have an order within traversals, or none, and
    the reason.
    """
    assert line.mean is not None
    round_ = (
        circle.mean is not None
        and len(found.matrix) > 3
        and circle.mean > max(line.mean, 0) + CIRCLE_GAIN
    )
    best = circle.mean if round_ and circle.mean is not None else line.mean
    shape = "a circle" if round_ else "the factor"
    numbers = f"rank correlation {best:.2f} within traversals"
    if best < PARTLY:
        saturated = found.neighbours > 0.95 * found.mean
        why = (
            "neighbours are as far apart as any two values"
            if saturated
            else "values far apart may look closer than neighbours"
        )
        return (
            "unordered",
            f"The rank correlation within traversals is {best:.2f} at best: {why}.{late}",
        )
    if line.flat > line.traversals:
        traversals = line.flat + line.traversals
        text = f"in {line.flat:,} of {traversals:,} traversals all values look equally far apart"
        return "partly ordered", f"Distances follow {shape} in part ({numbers}, but {text}).{late}"
    if best < ORDERED:
        return "partly ordered", f"Distances follow {shape} in part ({numbers}).{late}"
    if round_:
        return (
            "circular",
            f"Distances follow a circle ({best:.2f}) rather than a line ({line.mean:.2f}), within traversals.{late}",
        )
    return "ordered", f"Distances follow the factor.{late}"


def _invisible(found: FactorDistances) -> bool:
    """Whether no image looks farther from another than from itself."""
    return found.beyond <= EQUAL * max(found.largest, abs(found.smallest))


def _no_farther(found: FactorDistances) -> bool:
    """Whether images of different values are no farther apart than those of one value, if there are
    such.
    """
    if found.same is None:
        return False
    pairs = (found.pairs.sum() - found.pairs.trace()) / 2
    error = math.hypot(found.same_error, found.sd / math.sqrt(pairs))
    return found.mean - found.same <= max(FLAT * found.mean, 4 * error)


def _flat(found: FactorDistances, line: WithinRank) -> bool:
    """Whether mean distances are one and the same, as far as can be told from the pairs that there
    are.
    """
    known = ~np.eye(len(found.matrix), dtype=bool) & (found.pairs > 0)
    mean, square, pairs = found.matrix[known], found.square_matrix[known], found.pairs[known]
    off = np.abs(mean - found.mean)
    complete = found.exact and bool((found.pairs == found.traversals).all())
    error = np.zeros_like(mean) if complete else np.sqrt((square - mean**2).clip(min=0) / pairs)
    if np.median(error) >= 0.15 * found.mean:
        return False
    # what differs by less than its error may yet be in order within each traversal
    unordered = line.mean is None or line.mean < PARTLY
    return bool((off <= np.maximum(FLAT * found.mean, 4 * error if unordered else 0)).all())


def _along(
    data: FactorData,
    loss: Loss,
    traversals: int,
    exact: bool | None,
    seed: int,
    names: Sequence[str] = (),
) -> tuple[dict[str, FactorDistances], dict[str, str]]:
    """Return distances along each factor, and of the factors that have none the reason."""
    space = data.factors
    names = list(names) or [
        name for name, size in zip(space.names, space.sizes, strict=True) if size > 1
    ]
    if isinstance(data, LabelledImages) and not data.grid:
        most = None if exact else traversals
        paired = [name for name in names if len(data.groups(name, most, seed=seed))]
        found = {}
        if paired:
            found = factor_distances(data, loss, factors=paired, traversals=most, seed=seed)
        return found, {name: _why_unpaired(data, name) for name in names if name not in paired}
    if exact is None:
        channelwise = kernel_for(data, loss).channelwise
        needed = sum(
            len(data.exact_bases(name, channelwise=channelwise)) * space.sizes[space.position(name)]
            for name in names
        )
        exact = needed <= _EXACT_IMAGES
    return factor_distances(
        data, loss, factors=names, traversals=None if exact else traversals, seed=seed
    ), {}


def _why_unpaired(data: LabelledImages, factor: str) -> str:
    """Say why no two images differ in a factor alone."""
    f, sizes, images = data.factors.position(factor), data.factors.sizes, len(data)
    others = [k for k in range(len(sizes)) if k != f]
    unique = [data.factors.names[k] for k in others if sizes[k] == images]
    start = "no two images differ in it alone"
    if unique:
        return f"{start}, as every image has a value of its own of {unique[0] if len(unique) == 1 else 'other factors'}"
    # where another factor has one value this one has one too
    settled = [
        k
        for k in others
        if len(np.unique(data.codes[:, k] * sizes[f] + data.codes[:, f])) == sizes[k]
    ]
    return (
        f"{start}, as it never changes unless {data.factors.names[settled[0]]} does"
        if settled
        else start
    )


def _random_pairs(data: FactorData, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    if isinstance(data, LabelledImages) and not data.grid:
        rows = data.sample_index(2 * _RANDOM_PAIRS, seed=seed)
    else:
        rows = data.factors.sample_index(
            2 * _RANDOM_PAIRS, generator=torch.Generator(data.device).manual_seed(seed)
        )
    return rows[:_RANDOM_PAIRS], rows[_RANDOM_PAIRS:]


def _advise(
    data: FactorData,
    hidden: list[str],
    loss: Loss,
    radii: Sequence[int],
    traversals: int,
    seed: int,
) -> tuple[Advice, ...]:
    """Try box blur of growing radius on the factors that a loss does not order."""
    ranks: dict[str, dict[int, float | None]] = {name: {} for name in hidden}
    for radius in radii:
        found, _ = _along(data, BoxBlur(radius=radius), traversals, False, seed, hidden)
        for name in hidden:
            within = found[name].within
            ranks[name][radius] = None if within is None else within.mean
    enough: dict[int | None, list[str]] = {}
    for name, by_radius in ranks.items():
        first = next(
            (radius for radius, rank in by_radius.items() if rank is not None and rank >= ORDERED),
            None,
        )
        enough.setdefault(first, []).append(name)
    return tuple(
        _advice(names, radius, {name: ranks[name] for name in names}, loss)
        for radius, names in enough.items()
    )


def _advice(
    names: Sequence[str], radius: int | None, ranks: dict[str, dict[int, float | None]], loss: Loss
) -> Advice:
    known = [
        rank
        for by_radius in ranks.values()
        for r, rank in by_radius.items()
        if rank is not None and radius in (None, r)
    ]
    if radius is not None:
        text = f"box blur of radius {radius} would order what {_name(loss)} does not (rank correlation {min(known):.2f} or more)."
    elif known:
        tried = ", ".join(str(r) for r in next(iter(ranks.values())))
        text = (
            f"no box blur of radius {tried} brings order (rank correlations of {max(known):.2f} at most); the values may have no order in "
            "pixels at all, as with names of objects."
        )
    else:
        text = "no box blur that fits the images tells more than that the values differ."
    return Advice(tuple(names), radius, ranks, f"{', '.join(names)}: {text}")


def _name(loss: Loss) -> str:
    if isinstance(loss, BoxBlur):
        return f"box blur of radius {loss.radius}"
    return loss.name if properties.is_own(loss) else loss.name.upper()
