"""Data sets with known ground-truth factors: `load` them by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from vaedis import _check
from vaedis.data.base import FactorData, resolve_device
from vaedis.data.coordinates import Coordinates
from vaedis.data.relabelled import Relabelled
from vaedis.data.xysquares import XYSquares

DATA_SETS: dict[str, Callable[..., FactorData]] = {"xysquares": XYSquares, "coordinates": Coordinates}

__all__ = ["DATA_SETS", "Coordinates", "FactorData", "Relabelled", "XYSquares", "load", "resolve_device"]


def load(name: str, *, device: str | torch.device = "cpu", **options: Any) -> FactorData:
    """Return a data set by name.

    Parameters
    ----------
    name : {"xysquares", "coordinates"}
    device : str or torch.device
        Where observations are made: "cpu", "cuda", or "auto" for CUDA if there is a GPU.
    **options
        Of the data set; see its class.

    Raises
    ------
    ValueError
        If there is no such data set or option (the message lists those that exist), or an option's value does not fit.
    RuntimeError
        If CUDA is asked for and absent.
    """
    cls = DATA_SETS[_check.one_of("data set", name, DATA_SETS)]
    _check.options("data set", name, options, cls.OPTIONS)  # type: ignore[attr-defined]
    return cls(**options).to(device)
