"""vaedis: perceived distances, the VAEs that follow them, and the scores that judge those; a paper's companion.

``import vaedis as vd`` needs torch and numpy only. Everything heavier is imported where it is used.
"""

from vaedis import (
    _interrupt,  # noqa: F401  (before torch, which takes seconds to load)
    claims,
    distances,
    experiments,
    factors,
    frameworks,
    learning,
    losses,
    metrics,
    model,
    results,
    scoring,
    sweep,
)
from vaedis.data import FactorData, Relabelled, Table, load, read_table
from vaedis.diagnose import Diagnosis, diagnose
from vaedis.experiments import PROFILES, Profile, RunSpec, profile
from vaedis.factors import FactorSpace
from vaedis.train import Run, TrainingFailed, TrainingStopped, fit

__version__ = "0.1.0"

__all__ = [
    "PROFILES",
    "Diagnosis",
    "FactorData",
    "FactorSpace",
    "Profile",
    "Relabelled",
    "Run",
    "RunSpec",
    "Table",
    "TrainingFailed",
    "TrainingStopped",
    "claims",
    "diagnose",
    "distances",
    "experiments",
    "factors",
    "fit",
    "frameworks",
    "learning",
    "load",
    "losses",
    "metrics",
    "model",
    "profile",
    "read_table",
    "results",
    "scoring",
    "sweep",
]
