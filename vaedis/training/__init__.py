"""Training VAEs, their networks and objectives, and inspection of trained ones."""

from vaedis.training import inspect, model, objectives
from vaedis.training.checkpoint import forget
from vaedis.training.load import load_run
from vaedis.training.loop import fit
from vaedis.training.run import Run, TrainingFailed, TrainingStopped

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
