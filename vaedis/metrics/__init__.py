"""Scores of disentanglement: functions of codes and factors that know nothing of data sets or models."""

from vaedis.metrics._dci import DCIScore as DCIScore
from vaedis.metrics._dci import dci as dci
from vaedis.metrics._evaluate import evaluate as evaluate
from vaedis.metrics._mig import MIGScore as MIGScore
from vaedis.metrics._mig import mig as mig
from vaedis.metrics._mig import mig_quantile as mig_quantile
from vaedis.metrics._scores import Score as Score
