"""Claims about descriptions of one and the same images: section 7."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from vaedis import distances
from vaedis.data import Relabelled, load
from vaedis_companion.claims.base import Claim, verdict
from vaedis_companion.store import Store

# rank correlations this far apart are another verdict on the same images; fixed before the
# descriptions were compared here
_APART = 0.2
_TOLERANCE = f"rank correlations at least {_APART} apart; in direction: apart the same way"
_WHY = f"the paper prints no number; {_APART} is our line for a difference that would change what one says of the images"


def section_7(store: Store) -> Iterator[Claim]:
    """Whether the order of a description of the same images decides how well distances agree with
    it.
    """
    for statement, cell, names, ranks in (
        (
            "A position as column and row fits the distances better than by its digits (64 places, spacing 1).",
            "07_subjective_factors#the-same-distances-judged-six-times",
            ("column and row", "six bits"),
            _positions(),
        ),
        (
            "A colour as red, green and blue fits the distances otherwise than as hue and intensity (24 colours of XYObject).",
            "07_subjective_factors#colours",
            ("red, green, blue", "intensity, hue"),
            _colours(),
        ),
    ):
        a, b = ranks
        yield Claim(
            "Section 7",
            statement,
            "it depends on the description",
            f"{names[0]} {a:.2f}, {names[1]} {b:.2f}",
            "exact",
            _TOLERANCE,
            verdict(a - b >= _APART, a > b),
            cell,
            _WHY,
        )


def _rank(matrix: np.ndarray, factors: np.ndarray) -> float:
    """Rank correlation of distances between all pairs of images with the steps between their
    factors, shape (images, factors).
    """
    return distances.agreement(matrix, truth=np.abs(factors[:, None] - factors).sum(-1)).rank or 0.0


def _positions() -> tuple[float, float]:
    square = load("xysquares", grid_spacing=1, num_squares=1, rgb=False)
    matrix = distances.traversal_matrices(Relabelled(square, {"image": torch.arange(64)}))["image"]
    places = square.factors.to_factors(torch.arange(64)).numpy()
    bits = np.concatenate([places >> k & 1 for k in (2, 1, 0)], 1)
    return _rank(matrix, places), _rank(matrix, bits)


def _colours() -> tuple[float, float]:
    one, shaded = load("xyobject", colour="one"), load("xyobject", colour="shaded")
    # all colours of the middle-sized square in the middle of the image, in the order of each data
    # set
    middle = [
        data.factors.to_index(torch.tensor([12, 12, 2, *[0] * (len(data.factors) - 3)]))
        for data in (one, shaded)
    ]
    block = middle[0] + torch.arange(24)
    pictures, others = one.images(block), shaded.images(middle[1] + torch.arange(24))
    same = (others[None] == pictures[:, None]).flatten(2).all(-1).int().argmax(1)
    parts = shaded.factors.to_factors(middle[1] + torch.arange(24))[same][:, 3:].numpy()
    channels = pictures[:, 32, 32].numpy().astype(int) // 63
    matrix = distances.traversal_matrices(
        Relabelled(one, {"colour": torch.arange(24)}, index=block)
    )["colour"]
    return _rank(matrix, channels), _rank(matrix, parts)
