"""Read a reader's own images and labels: .npz and HDF5 files, folders of pictures, and arrays of
images whose order is known.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vaedis import _check
from vaedis.data.images import LabelledImages
from vaedis.data.own import pictures as _pictures
from vaedis.data.own.hdf5 import Hdf5, is_hdf5
from vaedis.data.own.npz import Npy, Npz
from vaedis.data.own.sources import (
    MOST_KEYS,
    MOST_LABELS,
    MOST_NAMES,
    Refused,
    Source,
    keys_of,
    shown,
)

IMAGE_KEYS = ("images", "imgs", "image", "x")
LABEL_KEYS = ("factors", "labels", "latents_classes", "latents/classes", "y")
NAME_KEYS = ("factor_names", "names")
# before the name of each factor where a file has an array for each, as those of TensorFlow Datasets
_PREFIX = "label_"
_MOST_COLUMNS = 200
_KINDS = (
    (b"\x80", "a pickle (as old files of torch.save are), which is never unpickled"),
    (b"MATLAB 5.0", "a MATLAB 5 file, which save(..., '-v7.3') writes as HDF5"),
    (b"\x1f\x8b", "compressed by gzip"),
    (b"BZh", "compressed by bzip2"),
    (b"\xfd7zXZ", "compressed by xz"),
    (b"\x89PNG", "a single picture"),
    (b"\xff\xd8\xff", "a single picture"),
)


def read_images(
    path: str | os.PathLike[str],
    *,
    images: str | None = None,
    labels: str | Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    sizes: Sequence[int] | None = None,
) -> LabelledImages:
    """Return the images and labels of a file or a folder.

    Parameters
    ----------
    path : path
        An .npz file; an HDF5 file, also of MATLAB 7.3; an .npy file of images, with `sizes`; or a
        folder of pictures, with a .csv file that has a row for each, or an .npy file of labels in
        the order of their names. A .csv file may name the pictures in a column.
    images : str, optional
        The array's name in the file, or its path there, as ``train/images``; by default the first
        that exists of ``images``, ``imgs``, ``image``, ``x``.
    labels : str or sequence of str, optional
        The array of labels, or one array for each factor, also with commas between their names; in
        a folder, the file. By default the first that exists of ``factors``, ``labels``,
        ``latents_classes``, ``latents/classes``, ``y``, or else all arrays of one value for each
        image.
    names : sequence of str, optional
        Of the factors; by default those of the arrays, fields or columns, or the file's array of
        text ``factor_names`` or ``names``.
    sizes : sequence of int, optional
        How many values each factor has, if the file has all their combinations in order and no
        labels: the last factor changes from each image to the next.

    Returns
    -------
    Table

    Raises
    ------
    ValueError
        If the path is something else, lacks an array, is damaged, would take much memory, or refers
        to other files or to objects, which are never followed or unpickled.
    OSError
        If it cannot be read.
    """
    path = Path(path)
    if sizes is not None and labels is not None:
        raise ValueError(
            "Give labels or sizes, not both: sizes stand for labels that a file lacks."
        )
    name = path.absolute().stem
    if stat.S_ISDIR(path.stat().st_mode):
        wanted = _listed(labels)
        if len(wanted) > 1 or images is not None:
            raise ValueError(
                f"{shown(path)} is a folder; labels must name one file in it, and images need no name."
            )
        pictures, values, columns = _pictures.read(
            path, wanted[0] if wanted else None, needed=sizes is None
        )
        values = values if sizes is None else _in_order(path, len(pictures), sizes)
        return LabelledImages(pictures, values, names if names is not None else columns, name=name)
    source = _open(path)
    image_key = _image_key(source, images)
    if sizes is not None:
        n = math.prod(_check.count("a size", size) for size in sizes)
        pictures = source.rows(image_key, n)
        return LabelledImages(pictures, _in_order(path, len(pictures), sizes), names, name=name)
    label_keys = _listed(labels)
    if len(label_keys) == 1 and not source.has(label_keys[0]):
        label_keys = label_keys[0].split(",")
    for key in label_keys:
        if not source.has(key):
            raise Refused(
                f"{shown(path)} has no array {shown(key)!r}; it has: {keys_of(source.keys)}."
            )
    label_keys = label_keys or _label_keys(source, image_key)
    n = _n_images(source, image_key, label_keys)
    values, columns = _labels(source, label_keys, n)
    names = names if names is not None else columns or _names(source, values)
    return LabelledImages(source.rows(image_key, n), values, names, name=name)


def _listed(names: str | Sequence[str] | None) -> list[str]:
    return [] if names is None else _check.listed(names)


def _open(path: Path) -> Source:
    if not stat.S_ISREG(path.stat().st_mode):
        raise Refused(f"{shown(path)} is neither a plain file nor a folder.")
    with path.open("rb") as file:
        start = file.read(10)
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return Npz(path)
    if is_hdf5(path):
        return Hdf5(path)
    if start.startswith(b"\x93NUMPY"):
        return Npy(path)
    kind = next(
        (f"{kind}; it is " for first, kind in _KINDS if start.startswith(first)),
        "" if start else "empty; it is ",
    )
    raise Refused(
        f"{shown(path)} is {kind}neither an .npz nor an HDF5 file; save images and labels with numpy.savez or h5py."
    )


def _image_key(source: Source, key: str | None) -> str:
    if key is not None:
        if not source.has(key):
            raise Refused(
                f"{shown(source.path)} has no array {shown(key)!r}; it has: {keys_of(source.keys)}."
            )
        return key
    found = _known(source, IMAGE_KEYS)
    # an array of one value for each image may be a position that is called x
    images = [key for key in found if len(found) == 1 or len(source.header(key)[0]) > 2]
    if not images or ("/" in images[0] and len(images) > 1):
        several = f" and several: {keys_of(images)}" if images else ""
        raise Refused(
            f"{shown(source.path)} has no array for images (one of {', '.join(IMAGE_KEYS)}){several}; it has: "
            f"{keys_of(source.keys)}; name it with images= (--images)."
        )
    return images[0]


def _known(source: Source, known: Sequence[str]) -> list[str]:
    """Arrays of known names: those at the top in the order of `known`, or else those in groups."""
    if len(source.keys) > MOST_KEYS:
        raise Refused(
            f"{shown(source.path)} has more than {MOST_KEYS:,} arrays; name those of images and labels, or give sizes."
        )
    top = [key for key in known if key in source.keys]
    return top or [key for name in known for key in source.keys if key.endswith(f"/{name}")]


def _counts(source: Source, image_key: str) -> set[int]:
    """How many images there may be: MATLAB's images come first or last."""
    shape = source.header(image_key)[0]
    if not shape:
        return set()
    return (
        {shape[0], shape[-1]}
        if isinstance(source, Hdf5) and source.reversed(image_key)
        else {shape[0]}
    )


def _label_keys(source: Source, image_key: str) -> list[str]:
    """Choose the labels: one array of them, or one for each factor."""
    folder = image_key.rpartition("/")[0]
    columns = _columns(source, image_key, folder)
    known = _known(source, LABEL_KEYS)
    if folder:
        # the labels of other images may have the same name
        beside = [f"{folder}/{name}" for name in LABEL_KEYS if f"{folder}/{name}" in source.keys]
        known = beside or [key for key in LABEL_KEYS if key in source.keys]
    if known:
        shape = source.header(known[0])[0]
        whole = len(shape) != 1 and known[0] not in columns
        others = [key for key in columns if key != known[0]]
        if whole or not others:
            return known[:1]
        # positions, each of them a factor
        if _last(known[0]) == "y" and any(_last(key) == "x" for key in others):
            return columns
        raise Refused(
            f"{shown(source.path)} has one value for each image in {keys_of([known[0], *others])}; say which are "
            f"factors, as in labels={shown(','.join([known[0], others[0]]))!r}."
        )
    columns = [key for key in columns if _last(key).startswith(_PREFIX)] or columns
    if not columns and isinstance(source, Npy):
        raise Refused(
            f"{shown(source.path)} holds images and no labels; save both in one file with numpy.savez, or give sizes= (--sizes) "
            "if the images are in order."
        )
    if not columns:
        raise Refused(
            f"{shown(source.path)} has no array for labels (one of {', '.join(LABEL_KEYS)}); it has: {keys_of(source.keys)}; name it "
            "with labels= (--labels), or give sizes= (--sizes) if the images are in order."
        )
    return columns


def _columns(source: Source, image_key: str, folder: str) -> list[str]:
    """The arrays beside the images that have one value for each."""
    counts = _counts(source, image_key)
    beside = [
        key
        for key in source.keys
        if key.rpartition("/")[0] == folder and key != image_key and _last(key) not in NAME_KEYS
    ]
    found = []
    for key in beside if len(beside) <= _MOST_COLUMNS else []:
        try:
            shape, _ = source.header(key)
        except Refused:
            continue  # whatever is wrong with it matters only where it is asked for
        if max(shape, default=0) in counts and math.prod(shape) in counts and shape:
            found.append(key)
    return found


def _last(key: str) -> str:
    return key.rpartition("/")[2]


def _n_images(source: Source, image_key: str, label_keys: Sequence[str]) -> int:
    """How many images and rows of labels there are, looked at before any of them is read."""
    counts = _counts(source, image_key)
    shape = source.header(label_keys[0])[0]
    either = isinstance(source, Hdf5) and source.reversed(label_keys[0])
    lengths = {shape[0], shape[-1]} if shape and either else set(shape[:1])
    fitting = sorted(counts & lengths)
    if len(fitting) == 1 or not shape or not counts:
        return fitting[0] if fitting else 0
    images, rows = (
        " or ".join(f"{length:,}" for length in sorted(found)) for found in (counts, lengths)
    )
    if not fitting:
        raise Refused(
            f"There must be one row of labels for each of the {images} images, not {rows}."
        )
    raise Refused(
        f"{shown(source.path)} is a MATLAB file, whose arrays come turned round, and its images may be {images}; save it by h5py or "
        "numpy.savez."
    )


def _labels(source: Source, keys: Sequence[str], n: int) -> tuple[np.ndarray, list[str] | None]:
    """Return labels, (n, f), and the names of the factors if arrays or fields have any."""
    if len(keys) == 1:
        values = source.read(keys[0])
        if values.dtype.names:
            return _stacked(
                source.path, {field: values[field] for field in values.dtype.names}
            ), list(values.dtype.names)
        if (
            isinstance(source, Hdf5)
            and source.reversed(keys[0])
            and values.ndim == 2
            and values.shape[0] != n
        ):
            values = values.T
        alone = values.ndim == 1 and _last(keys[0]) not in (*LABEL_KEYS, "classes")
        return values, [_named(keys[0])] if alone else None
    if sum(math.prod(source.header(key)[0]) for key in keys) > MOST_LABELS:
        raise Refused(
            f"{shown(source.path)} has more than {MOST_LABELS:,} labels in {keys_of(keys)}; at most so many are read."
        )
    columns = {_named(key): source.read(key) for key in keys}
    wrong = next(
        (key for key in keys if columns[_named(key)].size != n or columns[_named(key)].dtype.names),
        None,
    )
    if wrong is not None or len(columns) < len(keys):
        raise Refused(
            f"{shown(source.path)} must have one value for each of {n:,} images in {shown(wrong or keys_of(keys))!r}."
        )
    return _stacked(source.path, columns), list(columns)


def _named(key: str) -> str:
    return _last(key).removeprefix(_PREFIX)


def _stacked(path: Path, columns: dict[str, np.ndarray]) -> np.ndarray:
    """Return columns as one array: numbers where all are, and otherwise objects, which keep the
    kind of each.
    """
    for name, column in columns.items():
        if column.ndim > 1 and column.size != max(column.shape):
            raise Refused(
                f"{shown(path)} must have one value for each image in {shown(name)!r}, not {column.shape[1:]}."
            )
    flat = [column.ravel() for column in columns.values()]
    same = len({column.dtype.kind for column in flat}) == 1
    return np.stack([column if same else column.astype(object) for column in flat], 1)


def _names(source: Source, values: np.ndarray) -> list[str] | None:
    """Return the names of factors that a file has; text for each image is none."""
    key = next((key for key in NAME_KEYS if key in source.keys), None)
    if key is None:
        return None
    shape, dtype = source.header(key)
    n_names, n_factors = math.prod(shape), values.shape[1] if values.ndim == 2 else 1
    if n_names == len(values) != n_factors if values.ndim else False:
        return None
    if dtype.kind not in "USO" or n_names > MOST_NAMES:
        raise Refused(
            f"{shown(source.path)} must have text in {shown(key)!r}, a name for each of {n_factors} factors; or give names."
        )
    listed = np.atleast_1d(source.read(key)).ravel().tolist()
    return [
        name.decode(errors="backslashreplace") if isinstance(name, bytes) else str(name)
        for name in listed
    ]


def _in_order(path: Path, n: int, sizes: Sequence[int]) -> np.ndarray:
    """Return the labels of all combinations in order, (n, f)."""
    sizes = [_check.count("a size", size) for size in sizes]
    if math.prod(sizes) != n:
        product = "×".join(str(size) for size in sizes)
        raise Refused(
            f"sizes {product} make {math.prod(sizes):,} images, but {shown(path)} has {n:,}; the last factor changes fastest."
        )
    if n * len(sizes) > MOST_LABELS:
        raise Refused(
            f"{shown(path)} would have {n * len(sizes):,} labels; at most {MOST_LABELS:,} are read."
        )
    return np.stack(np.unravel_index(np.arange(n), sizes), 1)
