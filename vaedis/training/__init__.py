"""Training VAEs, their networks and objectives, and inspection of trained ones."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from vaedis.training import model, objectives
from vaedis.training.checkpoint import forget
from vaedis.training.load import load_run
from vaedis.training.loop import fit
from vaedis.training.run import Run, TrainingFailed, TrainingStopped

if TYPE_CHECKING:
    from vaedis.training import inspect

__all__ = [
    "Run",
    "TrainingFailed",
    "TrainingStopped",
    "fit",
    "forget",
    "inspect",
    "load_run",
    "model",
    "objectives",
]


def __getattr__(name: str) -> Any:
    if name == "inspect":  # only when it is used, since it loads `vaedis.distances`
        return importlib.import_module("vaedis.training.inspect")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
