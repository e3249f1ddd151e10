"""Reconstruction losses: each trains a VAE, and is also a distance between observations.

The paper's *perceived distance* of two observations is the reconstruction loss between them, as if
the decoder were perfect (section 3). So ``loss(prediction, target)`` trains, where the prediction
is what the decoder returns, and ``loss.distance(a, b)`` compares observations. All are means over
the elements of an observation, as in the paper's appendix B.1. A function ``f(a, b)`` of two
batches is a loss too, wherever one is taken, and `features` makes one of a network.
"""

from vaedis.losses.base import Loss
from vaedis.losses.blur import BoxBlur, GaussianBlur
from vaedis.losses.custom import features
from vaedis.losses.functions import (
    BCE,
    LOSSES,
    MAE,
    MSE,
    Pyramid,
    get,
    kl_to_prior,
    symmetric_kl,
)

__all__ = [
    "BCE",
    "LOSSES",
    "MAE",
    "MSE",
    "BoxBlur",
    "GaussianBlur",
    "Loss",
    "Pyramid",
    "features",
    "get",
    "kl_to_prior",
    "symmetric_kl",
]
