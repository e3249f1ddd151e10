"""Scores of disentanglement: functions of codes and factors, or of an encoder and a FactorSpace.

They know nothing of data sets or models, but for `evaluate`, which applies the published protocols.
Each returns a small frozen result whose ``float()`` is the headline score.
"""

from vaedis.metrics._dci import DCIScore as DCIScore, dci as dci
from vaedis.metrics._evaluate import evaluate as evaluate
from vaedis.metrics._factor_vae import FactorVAEScore as FactorVAEScore, factor_vae as factor_vae
from vaedis.metrics._mig import MIGScore as MIGScore, mig as mig, mig_quantile as mig_quantile
from vaedis.metrics._modularity import (
    ExplicitnessScore as ExplicitnessScore,
    ModularityScore as ModularityScore,
    explicitness as explicitness,
    modularity as modularity,
)
from vaedis.metrics._rank_correlations import (
    RankCorrelations as RankCorrelations,
    rank_correlations as rank_correlations,
)
from vaedis.metrics._sap import SAPScore as SAPScore, sap as sap
from vaedis.metrics._scores import Score as Score
from vaedis.metrics._traversals import (
    FactoredComponents as FactoredComponents,
    FlatnessScore as FlatnessScore,
    factored_components as factored_components,
    flatness as flatness,
)
