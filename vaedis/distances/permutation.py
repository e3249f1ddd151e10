"""How much farther apart images of different values are than images of one value, and by chance.

If a factor's values say nothing of a group's images, its labels might as well be shuffled. The
multi-response permutation procedure (Mielke, Berry and Johnson, 1976) compares the mean distances
with those after all shuffles, whose mean and variance are known.
"""

from __future__ import annotations

import torch
from torch import Tensor


def same_and_different(distances: Tensor, values: Tensor, present: Tensor) -> Tensor:
    """Compare pairs of different values with pairs of one value, within groups of images.

    Parameters
    ----------
    distances : Tensor of float64, shape (T, k, k)
        Of each group; of both directions the mean is taken.
    values : Tensor of int, shape (T, k)
        The factor's value of each image.
    present : Tensor of bool, shape (T, k)
        Which images there are.

    Returns
    -------
    Tensor of float64, shape (3,)
        Sums over groups: of weights, of weights times how much farther apart pairs of different
        values are on average, and of the latter's variance over all shuffles of the values.
    """
    known = present[:, :, None] & present[:, None, :]
    known.diagonal(dim1=1, dim2=2).zero_()
    same = (known & (values[:, :, None] == values[:, None, :])).double()
    n = present.sum(1).double()
    pairs = n * (n - 1) / 2
    d = (distances + distances.transpose(1, 2)) / 2 * known
    mean = d.sum((1, 2)) / (2 * pairs).clamp(min=1)
    d = (d - mean[:, None, None]) * known
    same_pairs = same.sum((1, 2)) / 2
    weight = same_pairs * (pairs - same_pairs) / pairs.clamp(min=1)
    farther = -(d * same).sum((1, 2)) / 2
    # Products of two pairs' distances, and of two pairs' being of one value, by what the pairs
    # share: both images, one image, or none.
    squares = d.square().sum((1, 2)) / 2
    of_one_image = d.sum(2).square().sum(1) - 2 * squares
    of_distances = (squares, of_one_image, -squares - of_one_image)
    others = same.sum(2)
    chains = (others * (others - 1)).sum(1)
    of_same = (same_pairs, chains, same_pairs.square() - same_pairs - chains)
    all_chains = n * (n - 1) * (n - 2)
    counts = (pairs, all_chains, pairs.square() - pairs - all_chains)
    variance = torch.zeros_like(n)
    for product, both, count in zip(of_distances, of_same, counts, strict=True):
        variance += product * both / count.clamp(min=1)
    return torch.stack([weight.sum(), farther.sum(), variance.clamp(min=0).sum()])
