"""Scores of disentanglement: functions of codes and factors, or of an encoder and a FactorSpace.

They know nothing of data sets or models, except `evaluate`, which applies the published protocols.
Each returns a small frozen result whose ``float()`` is the headline score.
"""

from vaedis.metrics._dci import DCIScore, dci
from vaedis.metrics._evaluate import evaluate, score
from vaedis.metrics._explicitness import ExplicitnessScore, explicitness
from vaedis.metrics._factor_vae import FactorVAEScore, factor_vae
from vaedis.metrics._mig import MIGScore, mig, mig_quantile
from vaedis.metrics._modularity import ModularityScore, modularity
from vaedis.metrics._rank_correlations import RankCorrelations, rank_correlations
from vaedis.metrics._sap import SAPScore, sap
from vaedis.metrics._scores import Score
from vaedis.metrics._traversals import (
    FactoredComponents,
    FlatnessScore,
    factored_components,
    flatness,
)

__all__ = [
    "DCIScore",
    "ExplicitnessScore",
    "FactorVAEScore",
    "FactoredComponents",
    "FlatnessScore",
    "MIGScore",
    "ModularityScore",
    "RankCorrelations",
    "SAPScore",
    "Score",
    "dci",
    "evaluate",
    "explicitness",
    "factor_vae",
    "factored_components",
    "flatness",
    "mig",
    "mig_quantile",
    "modularity",
    "rank_correlations",
    "sap",
    "score",
]
