"""Under this loss, can a VAE find my factors? A report on a data set, without training on it.

The paper's argument, turned into advice: a VAE orders observations as its loss sees them. So what
the loss sees along each factor says whether the factor can be found, and when.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedis import _check, losses as loss_functions
from vaedis._support.text import plain, shown_name
from vaedis.data import as_data
from vaedis.data.base import FactorData
from vaedis.data.images import LabelledImages
from vaedis.diagnosis.advice import advise, latents_for, remedies
from vaedis.diagnosis.bounds import largest_beta
from vaedis.diagnosis.judge import judge
from vaedis.diagnosis.loss_report import FactorReport, LossReport
from vaedis.diagnosis.report import Check, Diagnosis
from vaedis.distances import FactorDistances, factor_distances, perceived
from vaedis.distances.agreement import EQUAL, compare
from vaedis.distances.kernels import kernel_for
from vaedis.losses import BoxBlur, GaussianBlur, Loss, Pyramid, properties
from vaedis.losses.base import LossLike

RADII = (1, 2, 4, 8, 16, 31)
_EXACT_IMAGES = 200_000
_RANDOM_PAIRS = 10_000
# Of the losses that are tried as remedies.
_TRIED_TRAVERSALS = 24
_TRIED_PAIRS = 300
# Torch takes no larger seed.
_LARGEST_SEED = 2**63 - 1
# The bound on beta is that of as many images as fit into memory at once.
_SPREAD_IMAGES = 2_000
_SPREAD_NUMBERS = 2**25


def diagnose(
    data: Any,
    losses: LossLike | Sequence[LossLike] = "mse",
    *,
    traversals: int = 2_000,
    exact: bool | None = None,
    radii: Sequence[int] = RADII,
    check: bool = False,
    seed: int = 0,
) -> Diagnosis:
    """Say which factors of a data set a VAE can find under a loss, and why.

    Parameters
    ----------
    data : FactorData, (images, labels), name or path
        Whatever `data.as_data` takes: `read_images` makes a data set of a file, `LabelledImages` of
        arrays.
    losses : str, Loss or function, as for `losses.get`, or a sequence of them
        Advice is given on the first; the others are remedies that it may name.
    traversals : int
        How many random traversals of each factor to average over where not all are used.
    exact : bool, optional
        Use all traversals. By default where that takes at most 200,000 images.
    radii : sequence of int
        How far, in pixels, the remedies reach that are tried for factors that the first loss does
        not order: box blur of this radius, Gaussian blur of half of it, and pyramids of blocks up
        to twice as wide. Those that do not fit into the image are left out.
    check : bool
        Train three small networks on nothing but the distances (`data.Coordinates`), under the
        first loss and under the advised one, and say whether they found what was foretold. Takes
        seconds to a minute; needs a full grid and a loss that is a quadratic form.
    seed : int
        Seed of all random draws.

    Returns
    -------
    Diagnosis

    Raises
    ------
    ValueError
        If no factor varies, there is no loss, or a loss is no distance or does not fit the images.
    TypeError
        If a loss is none.

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

    Examples
    --------
    >>> import vaedis as vd
    >>> data = vd.load("xysquares", image_size=16, square_size=4, grid_size=4, num_squares=1)
    >>> report = vd.diagnose(data, ["mse", vd.losses.get("box-blur", radius=8)])
    >>> for loss in report.losses:
    ...     print(loss.loss, {factor.factor: factor.verdict for factor in loss.factors})
    MSE {'x_R': 'adversarial', 'y_R': 'adversarial'}
    box blur of radius 8 {'x_R': 'ordered', 'y_R': 'ordered'}
    >>> report.advice.factors, report.advice.loss
    (('x_R', 'y_R'), 'box blur of radius 8')
    """
    data = as_data(data)
    traversals = _check.count("traversals", traversals)
    seed = _check.count("seed", seed, 0)
    if seed > _LARGEST_SEED:
        raise ValueError(f"seed must be at most {_LARGEST_SEED}, not {seed}.")
    data.need_change()
    if isinstance(losses, str | Loss) or not isinstance(losses, Iterable):
        losses = [losses]
    chosen = [loss_functions.get(loss) for loss in losses]
    if not chosen:
        raise ValueError("losses must name at least one loss.")
    reports = _numbered([_report_loss(data, loss, traversals, exact, seed) for loss in chosen])
    radii = [_check.count("a radius", radius) for radius in radii]
    radii = [radius for radius in radii if radius < min(data.shape[:2])]
    sizes = zip(data.factors.names, data.factors.sizes, strict=True)
    constant = tuple(name for name, size in sizes if size < 2)
    given = list(zip(chosen, reports, strict=True))
    fewer = min(traversals, _TRIED_TRAVERSALS)
    advice, advised = advise(
        data,
        given,
        remedies(radii),
        lambda loss: _report_loss(data, loss, fewer, False, seed, tried=True),
    )
    checks: list[Check] = []
    if check:
        from vaedis.diagnosis.check import check as check_loss

        to_check = [given[0], *([advised] if advised else [])]
        checks = [check_loss(data, loss, report) for loss, report in to_check]
    return Diagnosis(
        name=getattr(data, "name", type(data).__name__),
        images=len(data),
        shape=data.shape,
        grid=data.grid,
        constant=data.constant if isinstance(data, LabelledImages) else constant,
        losses=tuple(reports),
        advice=advice,
        checks=tuple(checks),
        notes=getattr(data, "notes", ()),
    )


def _report_loss(
    data: FactorData,
    loss: Loss,
    traversals: int,
    exact: bool | None,
    seed: int,
    tried: bool = False,
) -> LossReport:
    """Measure distances along each factor and between random pairs, and judge each factor."""
    along, unpaired = _measure(data, loss, traversals, exact, seed)
    a, b = _random_pairs(data, _TRIED_PAIRS if tried else _RANDOM_PAIRS, seed)
    distances = perceived(data, a, b, loss=loss).cpu().numpy()
    truth = (data.to_factors(a) - data.to_factors(b)).abs().sum(1).cpu().numpy().astype(float)
    # An image and itself are no pair.
    mask = (a != b).cpu().numpy()
    random_mean = float(distances[mask].mean())
    for result in along.values():
        _need_distance(result, loss, random_mean)
    latents = latents_for(data)
    return LossReport(
        loss=_name(loss),
        random_mean=random_mean,
        random_rank=compare(truth[mask], distances[mask], distances[mask]).rank,
        factors=tuple(_report_factor(data, along, name, random_mean) for name in along),
        why_unpaired=unpaired,
        largest_beta=None if tried else _largest_beta(data, loss, latents, a),
        latents=latents,
        pixels=math.prod(data.shape),
    )


def _numbered(reports: list[LossReport]) -> list[LossReport]:
    """Return reports with a number behind a name that another one has, as two lambdas have."""
    named: dict[str, LossReport] = {}
    for report in reports:
        name = report.loss
        k = 2
        while name in named:
            name = f"{report.loss} ({k})"
            k += 1
        named[name] = dataclasses.replace(report, loss=name)
    return list(named.values())


def _report_factor(
    data: FactorData, along: dict[str, FactorDistances], name: str, random_mean: float
) -> FactorReport:
    """Return the report on one of the factors that distances were measured along."""
    distances = along[name]
    assert distances.within is not None
    assert distances.within_circle is not None
    n_values = len(distances.matrix)
    line = distances.agreement()
    verdict, reason = judge(distances, random_mean)
    # Factors of equal importance come at the same time.
    n_earlier = sum(other.mean > distances.mean * (1 + 1e-6) for other in along.values())
    return FactorReport(
        factor=name,
        values=n_values,
        distinct=data.factors.sizes[data.factors.position(name)],
        traversals=distances.traversals,
        exact=distances.exact,
        importance=distances.mean,
        importance_error=distances.standard_errors()[0],
        share=distances.mean / random_mean if random_mean else math.nan,
        neighbours=distances.neighbours,
        within=distances.within,
        within_circle=distances.within_circle,
        rank=line.rank,
        linear=line.linear,
        circle_rank=distances.agreement("circle").rank if n_values > 3 else None,
        adversarial=distances.adversarial,
        learning_order=1 + n_earlier,
        verdict=verdict,
        reason=reason,
        matrix=distances.matrix,
    )


def _need_distance(distances: FactorDistances, loss: Loss, random_mean: float) -> None:
    """Raise a ValueError if images look closer to every other image than to themselves."""
    # Own losses only: of others, rounding alone can make equal images seem apart.
    largest = max(abs(random_mean), abs(distances.smallest), distances.largest)
    if properties.is_own(loss) and distances.beyond < -EQUAL * largest:
        raise ValueError(
            f"the loss {loss.name!r} is smaller between images that differ in "
            f"{distances.factor!r} than between equal ones, so it is no distance; if it grows with "
            "likeness, give its negative."
        )


def _largest_beta(data: FactorData, loss: Loss, latents: int, index: Tensor) -> float | None:
    """Return the bound on beta from some of the images."""
    normalize = not loss.unit_range
    if not properties.is_form(loss, data, normalize):
        return None
    index = torch.unique(index)
    most = min(_SPREAD_IMAGES, max(2, _SPREAD_NUMBERS // math.prod(data.shape)))
    index = index[:: -(-len(index) // most)]
    return largest_beta(data, latents, loss=loss, index=index, normalize=normalize)


def _measure(
    data: FactorData,
    loss: Loss,
    traversals: int,
    exact: bool | None,
    seed: int,
) -> tuple[dict[str, FactorDistances], dict[str, str]]:
    """Return distances along each factor, and for factors without any, the reason."""
    space = data.factors
    sizes = dict(zip(space.names, space.sizes, strict=True))
    names = [name for name, size in sizes.items() if size > 1]
    if isinstance(data, LabelledImages) and not data.grid:
        most = None if exact else traversals
        paired = [name for name in names if len(data.groups(name, most, seed=seed))]
        unpaired = {name: _why_unpaired(data, name) for name in names if name not in paired}
        if not paired:
            return {}, unpaired
        return factor_distances(data, loss, factors=paired, traversals=most, seed=seed), unpaired
    if exact is None:
        channelwise = kernel_for(data, loss).channelwise
        n_bases = {name: len(data.exact_bases(name, channelwise=channelwise)) for name in names}
        exact = sum(n * sizes[name] for name, n in n_bases.items()) <= _EXACT_IMAGES
    most = None if exact else traversals
    return factor_distances(data, loss, factors=names, traversals=most, seed=seed), {}


def _why_unpaired(data: LabelledImages, factor: str) -> str:
    """Say why no two images differ in a factor alone."""
    space = data.factors
    column = space.position(factor)
    others = [k for k in range(len(space.sizes)) if k != column]
    start = "no two images differ in it alone"
    unique = [space.names[k] for k in others if space.sizes[k] == len(data)]
    if unique:
        which = shown_name(unique[0]) if len(unique) == 1 else "other factors"
        return f"{start}, as every image has a value of its own of {which}"
    for k in others:
        pairs = data.codes[:, k] * space.sizes[column] + data.codes[:, column]
        # Each value of the other factor comes with one value of this factor only.
        if len(np.unique(pairs)) == space.sizes[k]:
            return f"{start}, as it never changes unless {shown_name(space.names[k])} does"
    return start


def _random_pairs(data: FactorData, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw the indices of random pairs of images."""
    if isinstance(data, LabelledImages) and not data.grid:
        index = data.sample_index(2 * n, seed=seed)
    else:
        generator = torch.Generator(data.device).manual_seed(seed)
        index = data.factors.sample_index(2 * n, generator=generator)
    return index[:n], index[n:]


def _name(loss: Loss) -> str:
    """Return the name of a loss as reports have it."""
    if isinstance(loss, BoxBlur):
        return f"box blur of radius {loss.radius}"
    if isinstance(loss, GaussianBlur):
        return f"Gaussian blur of sigma {loss.sigma:g}"
    if isinstance(loss, Pyramid):
        return f"pyramid of {loss.levels} levels"
    return plain(loss.name) if properties.is_own(loss) else loss.name.upper()
