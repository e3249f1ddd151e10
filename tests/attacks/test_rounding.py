"""Distances that are 0, or equal, up to the rounding of a loss: ties, outside of `diagnose` too."""

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr

import vaedis as vd
from vaedis import distances


def cosine(a, b):
    return 1 - torch.nn.functional.cosine_similarity(a.flatten(1), b.flatten(1)).clamp(max=1)


def float32_cosine(a, b):
    if a.dtype != torch.float32:
        raise TypeError("float32 only")
    return cosine(a, b)


LOSSES = [cosine, float32_cosine, lambda a, b: 1e6 * cosine(a, b), lambda a, b: 1e-6 * cosine(a, b)]


def lit_shapes(n_levels=8):
    """Six shapes, each at levels of light, which a cosine does not tell apart."""
    shapes = np.random.default_rng(0).random((6, 8, 8))
    labels = [(shape, level) for shape in range(6) for level in range(n_levels)]
    images = np.array([shapes[shape] * (level + 1) / n_levels for shape, level in labels])
    return vd.LabelledImages(images, labels, ["shape", "light"])


@pytest.mark.parametrize("loss", LOSSES)
def test_distances_that_are_rounding_have_no_order(loss):
    data = lit_shapes()
    along = distances.factor_distances(data, loss)
    light = along["light"]
    assert light.largest <= light.rounding < 1e-4 * along["shape"].smallest
    assert light.adversarial
    assert light.within == distances.WithinRank(None, None, 0, flat=6)
    for self_pairs in (False, True):
        agreement = light.agreement(self_pairs=self_pairs)
        assert (agreement.linear, agreement.rank) == (None, None)
    assert light.verdict().startswith("light is adversarial")
    of_matrix = distances.agreement(light.matrix, rounding=light.rounding)
    assert (of_matrix.linear, of_matrix.rank, of_matrix.adversarial) == (None, None, True)
    of_pairs = distances.pair_agreement(data, "light", loss, n=500)
    assert (of_pairs.linear, of_pairs.rank, of_pairs.adversarial) == (None, None, True)
    (ranked,) = distances.rank_losses(data, [loss])
    assert ranked.adversarial == ("light",)
    shape = along["shape"].agreement()
    assert ranked.linear == pytest.approx(shape.linear / 2)
    assert ranked.rank == pytest.approx(shape.rank / 2)


@pytest.mark.parametrize("loss", LOSSES)
def test_rounding_beside_distances_ties(loss):
    # four levels of one shape, and two of another
    shapes = np.random.default_rng(1).integers(1, 256, (2, 8, 8))
    images = np.array([(k + 1) / 2048 * shapes[int(k > 3)] for k in range(6)])
    along = distances.factor_distances((images, range(6)), loss)["factor_0"]
    i, j = np.triu_indices(6, 1)
    expected = ((i < 4) & (j > 3)).astype(float)
    assert along.within.mean == pytest.approx(spearmanr(j - i, expected)[0])
    assert along.agreement().rank == pytest.approx(spearmanr(j - i, expected)[0])
    assert along.agreement().linear == pytest.approx(pearsonr(j - i, expected)[0], abs=1e-5)
    of_matrix = distances.agreement(along.matrix, rounding=along.rounding)
    assert of_matrix.rank == pytest.approx(spearmanr(j - i, expected)[0])


def test_many_close_distances_do_not_tie_from_end_to_end():
    # of 300 images, whose distances lie closer than the rounding of float32
    angles = np.linspace(0, 1, 300)
    images = np.stack([np.cos(angles), np.sin(angles)], 1)[:, None, :]
    along = distances.factor_distances((images, range(300)), float32_cosine)["factor_0"]
    assert along.within.mean > 0.999
    assert along.agreement().rank > 0.999


def test_mse_of_bytes_has_no_rounding():
    data = vd.load("xysquares", num_squares=1)
    assert distances.factor_distances(data)["x_R"].rounding == 0
    with pytest.raises(ValueError, match="rounding must be a finite number"):
        distances.agreement(np.eye(3), rounding=-1)
