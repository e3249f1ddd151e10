"""Claims about distances that are exact here, without any run: of XYSquares, and section 7."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from vaedis import distances
from vaedis.data import Relabelled, load
from vaedis_companion.claims import base
from vaedis_companion.claims.base import ORDERED, Claim, Provenance, Value, claim
from vaedis_companion.store import Store

_EXACT = Provenance("exact")
# rank correlations this far apart are another verdict on the same images; fixed before the
# descriptions were compared here
_MIN_DIFFERENCE = 0.2


def _agreements(loss: str) -> list[distances.Agreement]:
    matrices = distances.traversal_matrices(load("xysquares", grid_spacing=8), loss)
    return [distances.agreement(matrix) for matrix in matrices.values()]


@claim("Section 5.1", step=base.CONSTANT)
def section_5_1(store: Store) -> Iterator[Claim]:
    """That all distances along a factor are equal."""
    agreements = _agreements("mse")
    adversarial = sum(agreement.adversarial for agreement in agreements)
    numbers = {"adversarial": adversarial, "factors": len(agreements)}
    yield Claim(
        where="Section 5.1",
        statement="On XYSquares all perceived distances along a factor are equal.",
        published="all six factors",
        here=Value("{adversarial} of {factors} factors", numbers),
        provenance=_EXACT,
        tolerance="equal to 1 part in 10⁹",
        within=adversarial == len(agreements),
        anchor="05_adversarial_data#the-data-set",
        why="sums of 64-bit numbers differ in their last digits",
    )


@claim("Figure 8", step=base.CONSTANT)
def figure8(store: Store) -> Iterator[Claim]:
    """That distances agree with the ground truth the better, the closer the squares."""
    linear = []
    for spacing in range(1, 9):
        data = load("xysquares", grid_spacing=spacing)
        matrix = distances.traversal_matrices(data, factors=["y_R"])["y_R"]
        linear.append(distances.agreement(matrix, self_pairs=True).linear or 0.0)
    template = "linear correlation {far:.2f} at spacing 8, {near:.2f} at spacing 1"
    yield Claim(
        where="Figure 8",
        statement="The closer the squares, the better perceived distances agree with the ground "
        "truth.",
        published="rising from spacing 8 to 1",
        here=Value(template, {"far": linear[-1], "near": linear[0]}),
        provenance=_EXACT,
        tolerance="rises at every step",
        within=bool(np.all(np.diff(linear) < 0)),
        anchor="05_adversarial_data#bringing-the-squares-together",
        why="nothing is sampled",
    )


@claim("Section 6.1", step=base.BLUR)
def section_6_1(store: Store) -> Iterator[Claim]:
    """That box blur brings distances into order."""
    ranks = [agreement.rank or 0.0 for agreement in _agreements("box-blur")]
    numbers = {"low": min(ranks), "high": max(ranks), "factors": len(ranks)}
    yield Claim(
        where="Section 6.1",
        statement="Box blur brings the distances along the factors of XYSquares into order.",
        published="ordered",
        here=Value("rank correlation {low:.2f} to {high:.2f} along {factors} factors", numbers),
        provenance=_EXACT,
        tolerance=f"above {ORDERED} along every factor",
        within=min(ranks) > ORDERED,
        anchor="06_changing_the_loss#distances-come-back-into-order",
        why=base.WHY_ORDERED,
    )


@claim("Section 7")
def section_7(store: Store) -> Iterator[Claim]:
    """Whether the order of a description decides how well distances agree with it."""
    yield _depends(
        "A position as column and row fits the distances better than by its digits (64 places, "
        "spacing 1).",
        "the-same-distances-judged-six-times",
        _positions(),
    )
    yield _depends(
        "A colour as red, green and blue fits the distances otherwise than as hue and intensity "
        "(24 colours of XYObject).",
        "colours",
        _colours(),
    )


def _depends(statement: str, heading: str, ranks: dict[str, float]) -> Claim:
    """Return the claim that the first description fits better than the second."""
    one, other = ranks.values()
    first, second = ranks
    template = f"{first} {{first:.2f}}, {second} {{second:.2f}}"
    return Claim(
        where="Section 7",
        statement=statement,
        published="it depends on the description",
        here=Value(template, {"first": one, "second": other}),
        provenance=_EXACT,
        tolerance=f"rank correlations at least {_MIN_DIFFERENCE} apart; in direction: apart the "
        "same way",
        within=one - other >= _MIN_DIFFERENCE,
        direction=one > other,
        anchor=f"07_subjective_factors#{heading}",
        why=f"the paper prints no number; {_MIN_DIFFERENCE} is our line for a difference that "
        "matters",
    )


def _rank(matrix: np.ndarray, factors: np.ndarray) -> float:
    """Return the rank correlation of distances with steps between factors, (images, factors)."""
    return distances.agreement(matrix, truth=np.abs(factors[:, None] - factors).sum(-1)).rank or 0.0


def _positions() -> dict[str, float]:
    square = load("xysquares", grid_spacing=1, num_squares=1, rgb=False)
    matrix = distances.traversal_matrices(Relabelled(square, {"image": torch.arange(64)}))["image"]
    positions = square.factors.to_factors(torch.arange(64)).numpy()
    bits = np.concatenate([positions >> k & 1 for k in (2, 1, 0)], 1)
    return {"column and row": _rank(matrix, positions), "six bits": _rank(matrix, bits)}


def _colours() -> dict[str, float]:
    one_colour, shaded = load("xyobject", colour="one"), load("xyobject", colour="shaded")
    # all colours of the middle-sized square in the middle of the image, in the order of each data
    # set
    plain_index, shaded_index = (
        data.factors.to_index(torch.tensor([12, 12, 2, *[0] * (len(data.factors) - 3)]))
        + torch.arange(24)
        for data in (one_colour, shaded)
    )
    images = one_colour.images(plain_index)
    is_equal = (shaded.images(shaded_index)[None] == images[:, None]).flatten(2).all(-1)
    parts = shaded.factors.to_factors(shaded_index)[is_equal.int().argmax(1)][:, 3:].numpy()
    channels = images[:, 32, 32].numpy().astype(int) // 63
    colours = Relabelled(one_colour, {"colour": torch.arange(24)}, index=plain_index)
    matrix = distances.traversal_matrices(colours)["colour"]
    return {"red, green, blue": _rank(matrix, channels), "intensity, hue": _rank(matrix, parts)}
