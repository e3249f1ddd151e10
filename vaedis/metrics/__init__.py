"""Scores of disentanglement: functions of codes and factors, or of an encoder and a FactorSpace.

`score` computes all of them at once. They know nothing of data sets or models, except `evaluate`,
which applies the published protocols.
Each returns a small frozen result whose ``float()`` is the headline score.
"""

from vaedis.metrics._beta_vae import BetaVAEScore, beta_vae
from vaedis.metrics._dci import DCIScore, dci
from vaedis.metrics._evaluate import SCORES, evaluate, score
from vaedis.metrics._explicitness import ExplicitnessScore, explicitness
from vaedis.metrics._factor_vae import FactorVAEScore, factor_vae
from vaedis.metrics._infomec import InfoMECScore, infomec
from vaedis.metrics._irs import IRSScore, irs
from vaedis.metrics._mcc import MCCScore, mcc
from vaedis.metrics._mig import MIGScore, mig, mig_quantile
from vaedis.metrics._modularity import ModularityScore, modularity
from vaedis.metrics._r2 import R2Score, r2
from vaedis.metrics._rank_correlations import RankCorrelations, rank_correlations
from vaedis.metrics._sap import SAPScore, sap
from vaedis.metrics._scores import Score, Scores
from vaedis.metrics._traversals import (
    FactoredComponents,
    FlatnessScore,
    factored_components,
    flatness,
)

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
