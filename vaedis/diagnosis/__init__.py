"""Which factors of a data set a loss orders (`vaedis.diagnose`), and bounds on beta."""

from vaedis.diagnosis.bounds import largest_beta, rate_distortion_beta
from vaedis.diagnosis.loss_report import FactorReport, LossReport
from vaedis.diagnosis.output import save
from vaedis.diagnosis.report import Advice, Check, Diagnosis

__all__ = [
    "Advice",
    "Check",
    "Diagnosis",
    "FactorReport",
    "LossReport",
    "largest_beta",
    "rate_distortion_beta",
    "save",
]
