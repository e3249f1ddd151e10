"""Scores of disentanglement: functions of codes and factors, or of an encoder and a FactorSpace.

`score` computes all of them at once, and `evaluate` those of a model by the published protocols.
Each returns a small frozen result whose ``float()`` is the headline score. Most take

codes : array of shape (n, z)
    Representation of each sample, usually the posterior mean.
factors : array of int, shape (n, f)
    Ground-truth factors of each sample; at least twice as many samples as any factor has values.
test : (codes, factors), optional
    Samples to test on; all of `codes` are then to train on.
n_test : int, optional
    Without `test`, how many samples to draw for it; a third by default.
seed : int
    Seed of that draw, and of whatever else is random.

A ValueError or TypeError names the argument that is not as described, such as a code that is not
finite or a factor that is no integer; an ImportError names a package that is not installed. A
factor with one single value is left out, with a warning.
"""

from vaedis.metrics._batches import BetaVAEScore, FactorVAEScore, beta_vae, factor_vae
from vaedis.metrics._dci import DCIScore, dci
from vaedis.metrics._evaluate import SCORES, evaluate, score
from vaedis.metrics._infomec import InfoMECScore, infomec
from vaedis.metrics._latents import IRSScore, MCCScore, irs, mcc
from vaedis.metrics._mig import MIGScore, ModularityScore, mig, mig_quantile, modularity
from vaedis.metrics._paths import (
    FactoredComponents,
    FlatnessScore,
    RankCorrelations,
    factored_components,
    flatness,
    rank_correlations,
)
from vaedis.metrics._regression import ExplicitnessScore, R2Score, SAPScore, explicitness, r2, sap
from vaedis.metrics._scores import Score, Scores

__all__ = [
    "SCORES",
    "BetaVAEScore",
    "DCIScore",
    "ExplicitnessScore",
    "FactorVAEScore",
    "FactoredComponents",
    "FlatnessScore",
    "IRSScore",
    "InfoMECScore",
    "MCCScore",
    "MIGScore",
    "ModularityScore",
    "R2Score",
    "RankCorrelations",
    "SAPScore",
    "Score",
    "Scores",
    "beta_vae",
    "dci",
    "evaluate",
    "explicitness",
    "factor_vae",
    "factored_components",
    "flatness",
    "infomec",
    "irs",
    "mcc",
    "mig",
    "mig_quantile",
    "modularity",
    "r2",
    "rank_correlations",
    "sap",
    "score",
]
