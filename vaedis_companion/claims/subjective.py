"""Claims about descriptions of one and the same images: section 7."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from vaedis import distances
from vaedis.data import Relabelled, load
from vaedis_companion.claims.base import Claim, Value, claim
from vaedis_companion.claims.xysquares import EXACT
from vaedis_companion.store import Store

# rank correlations this far apart are another verdict on the same images; fixed before the
# descriptions were compared here
_APART = 0.2


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
        ours=Value(template, {"first": one, "second": other}),
        provenance=EXACT,
        tolerance=f"rank correlations at least {_APART} apart; in direction: apart the same way",
        within=one - other >= _APART,
        direction=one > other,
        anchor=f"07_subjective_factors#{heading}",
        why=f"the paper prints no number; {_APART} is our line for a difference that matters",
    )


def _rank(matrix: np.ndarray, factors: np.ndarray) -> float:
    """Return the rank correlation of distances between all pairs of images with the steps between
    their factors, shape (images, factors).
    """
    return distances.agreement(matrix, truth=np.abs(factors[:, None] - factors).sum(-1)).rank or 0.0


def _positions() -> dict[str, float]:
    square = load("xysquares", grid_spacing=1, num_squares=1, rgb=False)
    matrix = distances.traversal_matrices(Relabelled(square, {"image": torch.arange(64)}))["image"]
    positions = square.factors.to_factors(torch.arange(64)).numpy()
    bits = np.concatenate([positions >> k & 1 for k in (2, 1, 0)], 1)
    return {"column and row": _rank(matrix, positions), "six bits": _rank(matrix, bits)}


def _colours() -> dict[str, float]:
    plain, shaded = load("xyobject", colour="one"), load("xyobject", colour="shaded")
    # all colours of the middle-sized square in the middle of the image, in the order of each data
    # set
    plain_index, shaded_index = (
        data.factors.to_index(torch.tensor([12, 12, 2, *[0] * (len(data.factors) - 3)]))
        + torch.arange(24)
        for data in (plain, shaded)
    )
    images = plain.images(plain_index)
    same = (shaded.images(shaded_index)[None] == images[:, None]).flatten(2).all(-1)
    parts = shaded.factors.to_factors(shaded_index)[same.int().argmax(1)][:, 3:].numpy()
    channels = images[:, 32, 32].numpy().astype(int) // 63
    colours = Relabelled(plain, {"colour": torch.arange(24)}, index=plain_index)
    matrix = distances.traversal_matrices(colours)["colour"]
    return {"red, green, blue": _rank(matrix, channels), "intensity, hue": _rank(matrix, parts)}
