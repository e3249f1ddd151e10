"""vaedis: perceived distances, the VAEs that follow them, and the scores that judge those.

``import vaedis as vd`` loads neither torch nor numpy: each name is imported when it is first used.
"""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING, Any

# first of all: it ends the command with one line if it is interrupted while libraries load
from vaedis._support import interrupt as _interrupt  # noqa: F401

if TYPE_CHECKING:
    from vaedis import data, diagnosis, distances, factors, losses, metrics, plots, training
    from vaedis.data import FactorData, LabelledImages, Relabelled, load, read_images
    from vaedis.diagnosis.diagnose import diagnose
    from vaedis.diagnosis.report import Diagnosis
    from vaedis.factors import FactorSpace
    from vaedis.spec import RunSpec
    from vaedis.training import Run, TrainingFailed, TrainingStopped, fit, load_run

__version__ = "0.1.0"

__all__ = [
    "Diagnosis",
    "FactorData",
    "FactorSpace",
    "LabelledImages",
    "Relabelled",
    "Run",
    "RunSpec",
    "TrainingFailed",
    "TrainingStopped",
    "data",
    "diagnose",
    "diagnosis",
    "distances",
    "factors",
    "fit",
    "load",
    "load_run",
    "losses",
    "metrics",
    "plots",
    "read_images",
    "training",
]

_MODULES = ("data", "diagnosis", "distances", "factors", "losses", "metrics", "plots", "training")
_NAMES = {
    "vaedis.data": ("FactorData", "LabelledImages", "Relabelled", "load", "read_images"),
    "vaedis.diagnosis.diagnose": ("diagnose",),
    "vaedis.diagnosis.report": ("Diagnosis",),
    "vaedis.factors": ("FactorSpace",),
    "vaedis.spec": ("RunSpec",),
    "vaedis.training": ("Run", "TrainingFailed", "TrainingStopped", "fit", "load_run"),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}
# names that changed; the old ones work for now
_RENAMED = {"Table": "LabelledImages", "read_table": "read_images"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"vaedis.{name}")
    if name in _RENAMED:
        new = _RENAMED[name]
        warnings.warn(
            f"vaedis.{name} is called vaedis.{new} now.", DeprecationWarning, stacklevel=2
        )
        return __getattr__(new)
    if name not in _HOMES:
        raise AttributeError(f"module 'vaedis' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
