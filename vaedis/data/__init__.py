"""Data sets with known ground-truth factors: `load` them by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch

from vaedis import _check
from vaedis._support.text import call_of
from vaedis.data import prepare
from vaedis.data.base import FactorData
from vaedis.data.coordinates import Coordinates
from vaedis.data.device import NoDevice, resolve_device
from vaedis.data.dsprites import DSprites
from vaedis.data.files import read_images
from vaedis.data.images import LabelledImages
from vaedis.data.originals.catalog import BENCHMARKS
from vaedis.data.originals.converted import Stored
from vaedis.data.originals.disk import DataError
from vaedis.data.prepare import StandInWarning
from vaedis.data.relabelled import Relabelled
from vaedis.data.shapes3d import Shapes3D
from vaedis.data.xyobject import XYObject
from vaedis.data.xysquares import XYSquares

# for each data set, where its images can come from, the preferred origin first
DATA_SETS: dict[str, dict[str, Callable[..., FactorData]]] = {
    "xysquares": {"generated": XYSquares},
    "dsprites": {"original": Stored, "rendered": DSprites},
    "shapes3d": {"original": Stored, "rendered": Shapes3D},
    "cars3d": {"original": Stored, "stand-in": Stored},
    "smallnorb": {"original": Stored, "stand-in": Stored},
    "xyobject": {"generated": XYObject},
    "coordinates": {"generated": Coordinates},
}

__all__ = [
    "DATA_SETS",
    "Coordinates",
    "DSprites",
    "DataError",
    "FactorData",
    "LabelledImages",
    "NoDevice",
    "Relabelled",
    "Shapes3D",
    "StandInWarning",
    "Stored",
    "XYObject",
    "XYSquares",
    "as_data",
    "load",
    "read_images",
    "resolve_device",
]


def load(
    name: str, *, origin: str = "auto", device: str | torch.device = "cpu", **options: Any
) -> FactorData:
    """Return a data set by name.

    Parameters
    ----------
    name : {"xysquares", "dsprites", "shapes3d", "cars3d", "smallnorb", "xyobject", "coordinates"}
    origin : {"auto", "original", "rendered", "stand-in", "generated"}
        Where the images come from; each data set has some of these. "auto" takes the original if it
        has been prepared (`vaedis data prepare`). Otherwise dSprites and 3D Shapes are rendered;
        Cars3D and SmallNORB are downloaded, unless ``VAEDIS_OFFLINE=1``, and where that fails, a
        stand-in of the same factors takes their place, with a `StandInWarning`.
        `FactorData.origin` says which it came to.
    device : str or torch.device
        Where observations are made: "cpu", "cuda", or "auto" for CUDA if there is a GPU.
    **options
        Of the data set; see its class.

    Raises
    ------
    ValueError
        If there is no such data set, origin or option, or an option's value does not fit.
    DataError
        If the original is required and cannot be had, or the cache cannot be written to.
    ImportError
        If something must be downloaded or converted and the extra ``data`` is not installed.
    RuntimeError
        If CUDA is asked for and absent.

    Examples
    --------
    >>> load("xysquares", grid_spacing=4, num_squares=1)
    XYSquares(64 images of 64×64×3; x_R 8, y_R 8; generated; on cpu)
    """
    all_options = {"origin": origin, **options} if origin != "auto" else options
    classes: dict[str, Any] = DATA_SETS[_check.one_of("data set", name, DATA_SETS)]
    _check.one_of(f"origin of data set {name!r}", origin, ("auto", *classes))
    # images of one data set take the same options, wherever they come from
    _check.options("data set", name, options, next(iter(classes.values())).OPTIONS)
    device = resolve_device(device)
    if origin == "auto":
        origin = prepare.best_origin(name, classes) if name in BENCHMARKS else next(iter(classes))
    cls = classes[origin]
    if cls is Stored:  # it has no options
        prepare.prepare(name, origin)
        data = Stored(BENCHMARKS[name], prepare.stored_path(name, origin))
    else:
        data = cls(**options)
    data = data.to(device)
    data.made_by = call_of("load", name, all_options)
    return data


def as_data(data: Any) -> Any:
    """Return the data set that something stands for.

    Parameters
    ----------
    data : FactorData, tuple, str or path
        A data set, or any object with ``factors`` and ``images`` or ``observations``, which is
        returned as it is; ``(images, labels)`` or ``(images, labels, names)``, see
        `LabelledImages`; the name of a data set; or the path of a file or folder, see
        `read_images`.

    Returns
    -------
    FactorData

    Raises
    ------
    ValueError
        If it is none of these.

    Examples
    --------
    >>> as_data((torch.arange(4).view(4, 1, 1) * 60, ["a", "b", "c", "d"]))
    LabelledImages(4 images of 1×1×1; factor_0 4; original; on cpu)
    """
    if hasattr(data, "factors") and (hasattr(data, "observations") or hasattr(data, "images")):
        return data
    if isinstance(data, tuple | list) and len(data) in (2, 3):
        return LabelledImages(*data)
    if isinstance(data, str) and data in DATA_SETS:
        return load(data)
    if isinstance(data, str | os.PathLike):
        if not os.path.exists(data):
            problem = f"{os.fspath(data)!r} is neither a file, a folder nor a data set"
            choices = f"the data sets are: {', '.join(DATA_SETS)}"
            raise ValueError(f"{problem}; {choices}{_check.nearest(data, DATA_SETS)}")
        return read_images(data)
    raise ValueError(
        "a data set must be one of vaedis.data, (images, labels), a name or the path of a file or "
        f"folder, not {type(data).__name__}; give (images, labels), or "
        "vaedis.LabelledImages(images, sizes=...) if the images are in order and have no labels."
    )
