"""Under this loss, can a VAE find my factors? A report on a data set, without training on it.

The paper's argument, turned into advice: a VAE orders observations as its loss sees them. So what
the loss sees along each factor says whether the factor can be found, and when.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from vaedis import _check, losses as loss_functions
from vaedis._support.text import distinct, plain, shown_name
from vaedis.data import as_data
from vaedis.data.base import FactorData, need_data_set
from vaedis.data.coordinates import factor_groups
from vaedis.data.images import LabelledImages
from vaedis.diagnosis.advice import advise, latents_for, remedies
from vaedis.diagnosis.bounds import largest_beta
from vaedis.diagnosis.judge import LEAST_INDEPENDENT, is_chance, judge
from vaedis.diagnosis.loss_report import FactorReport, LossReport
from vaedis.diagnosis.report import Check, Diagnosis
from vaedis.distances import FactorDistances, factor_distances, perceived
from vaedis.distances.agreement import ROUNDING, compare, ground_truth, rank_error
from vaedis.distances.kernels import kernel_for
from vaedis.distances.pairs import need_vectors_of
from vaedis.losses import BoxBlur, GaussianBlur, Loss, Pyramid, properties
from vaedis.losses.base import LossLike

RADII = (1, 2, 4, 8, 16, 31)
_EXACT_IMAGES = 200_000
# fewer leave the mean distance of random pairs too uncertain
_LEAST_PAIRS = 100
# the bound on beta is that of some of so many images: of at most so many that fit into memory
_BOUND_DRAWN = 10_000
_BOUND_IMAGES = 2_000
_BOUND_NUMBERS = 2**25
# of the losses that are tried as remedies, on more than so many images
_FEW_IMAGES = 500
_TRIED_TRAVERSALS = 24
_TRIED_PAIRS = 300
# factors are learned together if their distances differ by less than this share, which may be
# rounding
_SAME_SHARE = 1e-6


def diagnose(
    data: Any,
    losses: LossLike | Sequence[LossLike] = "mse",
    *,
    traversals: int = 2_000,
    pairs: int = 10_000,
    exact: bool | None = None,
    radii: int | Iterable[int] = RADII,
    check: bool = False,
    seed: int = 0,
) -> Diagnosis:
    """Say which factors of a data set a VAE can find under a loss, and why.

    Parameters
    ----------
    data : whatever `data.as_data` takes, such as (images, labels) or the path of a file
    losses : str, Loss or function, as for `losses.get`, or a sequence of them
        Advice is given on the first; the others are remedies that it may name.
    traversals : int
        Number of random traversals of each factor, if not all are used.
    pairs : int
        Number of random pairs, at least 100. Distances along a factor are compared with theirs.
        With a slow loss of one's own they take most of the time.
    exact : bool, optional
        Use all traversals; by default, if that takes at most 200,000 images.
    radii : int or sequence of int
        Reach, in pixels, of the losses that are tried as remedies if the first loss leaves a factor
        without order: box blur of this radius, Gaussian blur of half of it, and pyramids with
        blocks up to twice as wide. Remedies that do not fit into the image are skipped.
    check : bool
        Train three small Ada-GVAEs on the distances (`data.Coordinates`) and pairs drawn by the
        factors, under the first loss and under the recommended one, and report whether they order
        the factors as predicted. This takes seconds to a minute, and needs every combination of
        factors and a loss that is a quadratic form.
    seed : int
        Seed of all random draws.

    Returns
    -------
    Diagnosis

    Raises
    ------
    ValueError
        If no factor varies, there is no loss, a loss is no distance or does not fit the images, or
        a number is too small.
    TypeError
        If something given as a loss is not a name, a `Loss` or a function.

    Notes
    -----
    Order is judged by the mean over traversals of the rank correlation within each: another factor,
    such as the contrast, may scale all distances. That a factor is ordered is necessary, not
    sufficient, for a VAE to disentangle it. The expected order of learning is that of mean
    distances beyond those of images from themselves, the largest first; factors of a sample whose
    means differ by no more than chance may give share a position. Both are the paper's findings on
    its five data sets, not laws.

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
    need_data_set(data)
    traversals = _check.draws("traversals", traversals)
    pairs = _check.draws("pairs", pairs, _LEAST_PAIRS)
    exact = _check.flag_or_none("exact", exact)
    check = _check.flag("check", check)
    seed = _check.seed(seed)
    radii = list(radii) if isinstance(radii, Iterable) else [radii]
    radii = [_check.count("a radius", radius) for radius in radii]
    data.need_change()
    if isinstance(losses, str | Loss) or not isinstance(losses, Iterable):
        losses = [losses]
    chosen_losses = [loss_functions.get(loss) for loss in losses]
    if not chosen_losses:
        raise ValueError("losses must name at least one loss.")
    reports = [_report_loss(data, loss, traversals, pairs, exact, seed) for loss in chosen_losses]
    names = distinct(report.loss for report in reports)
    reports = [
        dataclasses.replace(report, loss=name) for report, name in zip(reports, names, strict=True)
    ]
    reports_of = list(zip(chosen_losses, reports, strict=True))
    is_small = len(data) <= _FEW_IMAGES
    trial_traversals = traversals if is_small else min(traversals, _TRIED_TRAVERSALS)
    advice, advised = advise(
        data,
        reports_of,
        remedies([radius for radius in radii if radius < min(data.shape[:2])]),
        lambda loss: _report_loss(
            data, loss, trial_traversals, _TRIED_PAIRS, is_small, seed, is_trial=True
        ),
        lambda loss: _report_loss(data, loss, traversals, pairs, exact, seed),
    )
    checks: list[Check] = []
    if check:
        from vaedis.diagnosis.check import check as check_loss

        to_check = [reports_of[0], *([advised] if advised else [])]
        checks = [check_loss(data, loss, report) for loss, report in to_check]
    sizes = zip(data.factors.names, data.factors.sizes, strict=True)
    return Diagnosis(
        name=data.name,
        images=len(data),
        shape=data.shape,
        grid=data.grid,
        constant=getattr(data, "constant", tuple(name for name, size in sizes if size < 2)),
        losses=tuple(reports),
        advice=advice,
        checks=tuple(checks),
        notes=getattr(data, "notes", ()),
    )


def _report_loss(
    data: FactorData,
    loss: Loss,
    traversals: int,
    pairs: int,
    exact: bool | None,
    seed: int,
    is_trial: bool = False,
) -> LossReport:
    """Measure distances along each factor and between random pairs, and judge each factor."""
    distances_of, unpaired = _measure(data, loss, traversals, exact, seed)
    n_images = pairs if is_trial else max(pairs, _BOUND_DRAWN)
    generator = torch.Generator(data.device).manual_seed(seed)
    images, others = data.draw(2 * n_images, generator=generator).split(n_images)
    # an image and itself are no pair
    different = images != others
    images = images[different]
    a = images[:pairs]
    b = others[different][:pairs]
    kernel = kernel_for(data, loss)
    sample = perceived(data, a, b, loss=loss)
    need_vectors_of(kernel, a, b, sample)
    distances = sample.cpu().numpy()
    truth = ground_truth(data.to_factors(a), data.to_factors(b)).cpu().numpy().astype(float)
    random_mean = float(distances.mean())
    of_self = 0.0
    if not kernel.symmetric:
        of_self = float(perceived(data, b, b, loss=loss).mean())
    rounding = ROUNDING * torch.finfo(kernel.dtype).eps * random_mean
    latents = latents_for(data)
    return LossReport(
        loss=_name(loss),
        random_mean=random_mean,
        random_mean_error=float(distances.std() / math.sqrt(len(distances))),
        random_rank=compare(truth, distances, distances, rounding).rank,
        random_rank_error=None if is_trial else rank_error(truth, distances, rounding),
        factors=tuple(
            _report_factor(data, distances_of, name, random_mean - of_self, rounding)
            for name in distances_of
        ),
        why_unpaired=unpaired,
        largest_beta=None if is_trial else _largest_beta(data, loss, latents, images),
        latents=latents,
        pixels=math.prod(data.shape),
    )


def _report_factor(
    data: FactorData,
    distances_of: dict[str, FactorDistances],
    name: str,
    random_beyond: float,
    rounding: float,
) -> FactorReport:
    """Return the report on one of the factors that distances were measured along."""
    distances = distances_of[name]
    assert distances.within is not None
    assert distances.within_circle is not None
    n_values = len(distances.matrix)
    line = distances.agreement()
    verdict, reason = judge(distances, random_beyond, rounding)
    error = distances.standard_errors()[0]
    if not distances.exact and distances.independent < LEAST_INDEPENDENT:
        error = math.nan
    n_compared = max(1, math.comb(len(distances_of), 2))
    n_earlier = sum(_is_earlier(other, distances, n_compared) for other in distances_of.values())
    return FactorReport(
        factor=name,
        values=n_values,
        distinct=data.factors.sizes[data.factors.position(name)],
        traversals=distances.traversals,
        exact=distances.exact,
        importance=distances.mean,
        importance_error=error,
        share=distances.mean_beyond / random_beyond if random_beyond else math.nan,
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


def _is_earlier(one: FactorDistances, other: FactorDistances, n_compared: int) -> bool:
    """Whether a factor's distances are larger than another's by more than chance and rounding."""
    gap = one.mean_beyond - other.mean_beyond
    if gap <= _SAME_SHARE * other.mean_beyond:
        return False
    if one.exact and other.exact:
        return True
    error = math.hypot(one.standard_errors()[0], other.standard_errors()[0])
    freedom = min(d.independent - 1 for d in (one, other) if not d.exact)
    return not is_chance(gap / error if error else math.inf, freedom, n_compared)


def _largest_beta(data: FactorData, loss: Loss, latents: int, index: Tensor) -> float | None:
    """Return the bound on beta from some of the images; None if the loss is no quadratic form."""
    normalize = not loss.unit_range
    if not properties.is_form(loss, data, normalize):
        return None
    max_images = min(_BOUND_IMAGES, max(2, _BOUND_NUMBERS // math.prod(data.shape)))
    if data.grid and len(factor_groups(data, loss)) > 1:
        return largest_beta(data, latents, loss=loss, samples=max_images, normalize=normalize)
    index = torch.unique(index)
    index = index[:: -(-len(index) // max_images)]
    return largest_beta(data, latents, loss=loss, index=index, normalize=normalize)


def _measure(
    data: FactorData, loss: Loss, traversals: int, exact: bool | None, seed: int
) -> tuple[dict[str, FactorDistances], dict[str, str]]:
    """Return distances along each factor, and for factors without any, the reason."""
    sizes = dict(zip(data.factors.names, data.factors.sizes, strict=True))
    names = [name for name, size in sizes.items() if size > 1]
    unpaired: dict[str, str] = {}
    if not data.grid:
        assert isinstance(data, LabelledImages)
        empty = [name for name in names if not len(data.groups(name, seed=seed))]
        unpaired = {name: _why_unpaired(name, sizes, len(data)) for name in empty}
        names = [name for name in names if name not in unpaired]
    elif exact is None:
        channelwise = kernel_for(data, loss).separable
        n_images = sum(
            len(data.exact_bases(name, channelwise=channelwise)) * sizes[name] for name in names
        )
        exact = n_images <= _EXACT_IMAGES
    if not names:
        return {}, unpaired
    n_traversals = None if exact else traversals
    return factor_distances(data, loss, factors=names, traversals=n_traversals, seed=seed), unpaired


def _why_unpaired(name: str, sizes: dict[str, int], n_images: int) -> str:
    """Say why no two images differ in one factor only, and what may help."""
    reason = "no two images differ in it alone"
    unrepeated = [shown_name(other) for other, size in sizes.items() if size == n_images]
    if unrepeated in ([], [shown_name(name)]):
        return reason
    others = ", ".join(unrepeated[:3]) + (" and others" if len(unrepeated) > 3 else "")
    return f"{reason}, as no value of {others} comes twice; round such labels, or leave them out"


def _name(loss: Loss) -> str:
    """Return the name of a loss as reports have it."""
    if isinstance(loss, BoxBlur):
        return f"box blur of radius {loss.radius}"
    if isinstance(loss, GaussianBlur):
        return f"Gaussian blur of sigma {loss.sigma:g}"
    if isinstance(loss, Pyramid):
        return f"pyramid of {loss.levels} levels"
    return plain(loss.name) if properties.is_own(loss) else loss.name.upper()
