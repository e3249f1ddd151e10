"""Data sets with known ground-truth factors: `load` them by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from vaedis import _check
from vaedis.data.base import FactorData, resolve_device
from vaedis.data.dsprites import DSprites
from vaedis.data.relabelled import Relabelled
from vaedis.data.shapes3d import Shapes3D
from vaedis.data.table import Table, read_table
from vaedis.data.xyobject import XYObject, XYObjectShaded
from vaedis.data.xysquares import XYSquares

DATA_SETS: dict[str, Callable[..., FactorData]] = {
    "xysquares": XYSquares,
    "dsprites": DSprites,
    "shapes3d": Shapes3D,
    "xyobject": XYObject,
    "xyobject-shaded": XYObjectShaded,
}

__all__ = [
    "DATA_SETS",
    "DSprites",
    "FactorData",
    "Relabelled",
    "Shapes3D",
    "Table",
    "XYObject",
    "XYObjectShaded",
    "XYSquares",
    "load",
    "read_table",
    "resolve_device",
]


def load(name: str, *, device: str | torch.device = "cpu", **options: Any) -> FactorData:
    """Return a data set by name.

    Parameters
    ----------
    name : {"xysquares", "dsprites", "shapes3d", "xyobject", "xyobject-shaded"}
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
