"""Reconstruction losses, each usable both to train a VAE and as a distance between observations.

The paper's *perceived distance* of two observations is the reconstruction loss between them, as if
the decoder were perfect (section 3). So one object serves for both: ``loss(prediction, target)``
for training, where the prediction is what the decoder returns, and ``loss.distance(a, b)`` for
observations. All are means over the elements of an observation, as in the paper's appendix B.1.

A function ``f(a, b)`` of two batches is a loss too, wherever one is taken. `features` makes one of
a network.
"""

from vaedis.losses.base import Loss
from vaedis.losses.functions import (
    BCE,
    LOSSES,
    MAE,
    MSE,
    BoxBlur,
    Pyramid,
    get,
    kl_to_prior,
    symmetric_kl,
)
from vaedis.losses.gaussian import GaussianBlur
from vaedis.losses.given import features

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
