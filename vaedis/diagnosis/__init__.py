"""What a loss shows of a data set's factors (`vaedis.diagnose`), and bounds on beta."""

from vaedis.diagnosis.bounds import largest_beta, rate_distortion_beta
from vaedis.diagnosis.output import save
from vaedis.diagnosis.report import Advice, Diagnosis, FactorReport, LossReport

__all__ = [
    "Advice",
    "Diagnosis",
    "FactorReport",
    "LossReport",
    "largest_beta",
    "rate_distortion_beta",
    "save",
]
