"""Read a user's images and labels: .npz, .npy and HDF5 files, and folders of pictures."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vaedis import _check
from vaedis._support.text import called
from vaedis.data.images import LabelledImages
from vaedis.data.own import folders
from vaedis.data.own.arrays import (
    MAX_KEYS,
    MAX_LABELS,
    MAX_NAMES,
    Npz,
    Refused,
    check_images,
    decoded,
    keys_of,
    read_npy,
    refused,
    shown,
)
from vaedis.data.own.hdf5 import Hdf5, is_hdf5

IMAGE_KEYS = ("images", "imgs", "image", "x")
LABEL_KEYS = ("factors", "labels", "latents_classes", "latents/classes", "y")
NAME_KEYS = ("factor_names", "names")
# TensorFlow Datasets puts this before the name of each factor
_PREFIX = "label_"
_MAX_COLUMNS = 200
_OTHER_FORMATS = {
    b"\x80": "a pickle (as old files of torch.save are), which is never unpickled",
    b"MATLAB 5.0": "a MATLAB 5 file, which save(..., '-v7.3') writes as HDF5",
    b"\x1f\x8b": "compressed by gzip",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
    b"\x89PNG": "a single picture",
    b"\xff\xd8\xff": "a single picture",
}

# images, labels, and names of factors if the file has any
_Arrays = tuple[Any, Any, list[str] | None]


def read_images(
    path: str | os.PathLike[str],
    *,
    images: str | None = None,
    labels: str | Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    sizes: Sequence[int] | None = None,
    resize: int | None = None,
) -> LabelledImages:
    """Read the images and labels of a file or a folder.

    Parameters
    ----------
    path : path
        An .npz file; an HDF5 file, also of MATLAB 7.3; an .npy file of images, with `sizes`; or a
        folder of pictures. A folder needs a .csv file with a row for each picture, or an .npy file
        of labels in the order of the pictures' names. A column of the .csv file may name them.
    images : str, optional
        The array's name in the file, or its path, such as ``train/images``; by default the first
        that exists of ``images``, ``imgs``, ``image``, ``x``.
    labels : str or sequence of str, optional
        The array of labels, or one array for each factor, also as ``"colour,size"``; in a folder,
        the file of labels. By default the first that exists of ``factors``, ``labels``,
        ``latents_classes``, ``latents/classes``, ``y``, or else all arrays of one value an image.
    names : sequence of str, optional
        Of the factors; by default those of the arrays, fields or columns, or the file's array of
        text ``factor_names`` or ``names``.
    sizes : sequence of int, optional
        In place of labels: how many values each factor has, if the file holds all combinations in
        order, the last factor fastest.
    resize : int, optional
        Make square images so many pixels high and wide; see `LabelledImages`. Only the small copy
        is kept: in memory, or beyond 256 MiB in a temporary file.

    Returns
    -------
    LabelledImages

    Raises
    ------
    ValueError
        If the path is something else, lacks an array, is damaged or would take much memory. Links
        to other files are never followed, and nothing is unpickled.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "stripes.npz"
    >>> images = np.arange(6, dtype=np.uint8)[:, None, None] * np.full((4, 4), 40, np.uint8)
    >>> np.savez(path, images=images, labels=[(a, b) for a in "xy" for b in (1, 2, 3)])
    >>> read_images(path, names=["side", "level"])
    LabelledImages(6 images of 4×4×1; side 2, level 3; original; on cpu)
    """
    options = {"images": images, "labels": labels, "names": names, "sizes": sizes, "resize": resize}
    path = Path(path)
    if sizes is not None and labels is not None:
        raise ValueError("Give labels or sizes, not both.")
    label_keys = [] if labels is None else _check.listed(labels)
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        if len(label_keys) > 1 or images is not None:
            advice = "labels must name one file in it, and images need no name"
            raise refused(path, f"is a folder; {advice}.")
        label_file = label_keys[0] if label_keys else None
        arrays: _Arrays = folders.read(path, label_file, needs_labels=sizes is None)
    elif not stat.S_ISREG(mode):
        raise refused(path, "is neither a plain file nor a folder.")
    else:
        arrays = _read_file(path, images, label_keys, sizes, needs_names=names is None)
    values, labels_of_all, own_names = arrays
    names = own_names if names is None else names
    name = path.absolute().stem
    data = LabelledImages(values, labels_of_all, names, sizes=sizes, name=name, resize=resize)
    given = {option: value for option, value in options.items() if value is not None}
    data.made_by = called("read_images", str(path), given)
    return data


def _read_file(
    path: Path,
    image_key: str | None,
    label_keys: list[str],
    sizes: Sequence[int] | None,
    needs_names: bool,
) -> _Arrays:
    with path.open("rb") as file:
        start = file.read(10)
    if start.startswith(b"\x93NUMPY"):
        return _read_array(path, sizes), None, None
    source = _open(path, start)
    image_key = _image_key(source, image_key)
    if sizes is not None:
        n = math.prod(_check.count("each of sizes", size) for size in sizes)
        return source.rows(image_key, n), None, None
    label_keys = _label_keys(source, image_key, label_keys)
    n = _n_images(source, image_key, label_keys)
    labels, names = _labels(source, label_keys, n)
    if names is None and needs_names:
        names = _names(source, labels)
    return source.rows(image_key, n), labels, names


def _read_array(path: Path, sizes: Sequence[int] | None) -> np.ndarray:
    """Return the images of an .npy file."""
    if sizes is None:
        advice = "save both in one file, or give sizes= (--sizes) for images in order"
        raise refused(path, f"holds images and no labels; {advice}.")
    images = read_npy(path)
    check_images(path, path.name, images.shape, images.dtype)
    return images


def _open(path: Path, start: bytes) -> Npz | Hdf5:
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return Npz(path)
    if is_hdf5(path):
        return Hdf5(path)
    kinds = [kind for magic, kind in _OTHER_FORMATS.items() if start.startswith(magic)]
    if not start:
        kinds = ["empty"]
    problem = "; it is ".join([*kinds, "neither an .npz nor an HDF5 file"])
    raise refused(path, f"is {problem}; save images and labels with numpy.savez or h5py.")


def _no_array(source: Npz | Hdf5, what: str, advice: str = "") -> Refused:
    has = f"it has: {keys_of(source.keys)}"
    return refused(source.path, f"has no array {what}; {has}{advice}.")


def _image_key(source: Npz | Hdf5, key: str | None) -> str:
    """Return the name of the array of images."""
    if key is not None:
        if not source.has(key):
            raise _no_array(source, repr(shown(key)))
        return key
    known = _known_keys(source, IMAGE_KEYS)
    # an array of one value an image may be a position that is called x
    keys = [key for key in known if len(known) == 1 or len(source.header(key)[0]) > 2]
    if not keys or ("/" in keys[0] and len(keys) > 1):
        several = f" and several: {keys_of(keys)}" if keys else ""
        what = f"for images (one of {', '.join(IMAGE_KEYS)}){several}"
        raise _no_array(source, what, "; name it with images= (--images)")
    return keys[0]


def _known_keys(source: Npz | Hdf5, known: Sequence[str]) -> list[str]:
    """Return arrays of known names: those at the top, in this order, or else those in groups."""
    if len(source.keys) > MAX_KEYS:
        problem = f"has more than {MAX_KEYS:,} arrays"
        raise refused(source.path, f"{problem}; name those of images and labels, or give sizes.")
    top = [key for key in known if key in source.keys]
    return top or [key for name in known for key in source.keys if key.endswith(f"/{name}")]


def _label_keys(source: Npz | Hdf5, image_key: str, keys: list[str]) -> list[str]:
    """Return the array of labels, or one array for each factor."""
    if len(keys) == 1 and not source.has(keys[0]):
        keys = keys[0].split(",")
    for key in keys:
        if not source.has(key):
            raise _no_array(source, repr(shown(key)))
    if keys:
        return keys
    folder = image_key.rpartition("/")[0]
    columns = _columns(source, image_key, folder)
    known = _known_keys(source, LABEL_KEYS)
    if folder:
        # in other groups are the labels of other images
        beside = [f"{folder}/{name}" for name in LABEL_KEYS if f"{folder}/{name}" in source.keys]
        known = beside or [key for key in LABEL_KEYS if key in source.keys]
    if known:
        return _all_or_one(source, known[0], columns)
    columns = [key for key in columns if _last_part(key).startswith(_PREFIX)] or columns
    if not columns:
        advice = "; name it with labels= (--labels), or give sizes= (--sizes) for images in order"
        raise _no_array(source, f"for labels (one of {', '.join(LABEL_KEYS)})", advice)
    return columns


def _all_or_one(source: Npz | Hdf5, key: str, columns: list[str]) -> list[str]:
    """Return an array of a usual name if it has all labels, or all columns if it is a position."""
    is_column = len(source.header(key)[0]) == 1 or key in columns
    others = [column for column in columns if column != key]
    if not is_column or not others:
        return [key]
    if _last_part(key) == "y" and any(_last_part(other) == "x" for other in others):
        return columns
    problem = f"has one value for each image in {keys_of([key, *others])}"
    example = f"labels={shown(','.join([key, others[0]]))!r}"
    raise refused(source.path, f"{problem}; say which are factors, as in {example}.")


def _columns(source: Npz | Hdf5, image_key: str, folder: str) -> list[str]:
    """Return the arrays in the images' group that have one value for each image."""
    lengths = source.lengths(image_key)
    beside = [key for key in source.keys if key.rpartition("/")[0] == folder and key != image_key]
    columns = []
    for key in beside if len(beside) <= _MAX_COLUMNS else []:
        try:
            shape, _ = source.header(key)
        except Refused:
            continue  # what is wrong with it matters only where it is asked for
        is_column = shape and max(shape) in lengths and math.prod(shape) in lengths
        if is_column and _last_part(key) not in NAME_KEYS:
            columns.append(key)
    return columns


def _last_part(key: str) -> str:
    return key.rpartition("/")[2]


def _n_images(source: Npz | Hdf5, image_key: str, label_keys: list[str]) -> int:
    """Return how many images and rows of labels there are, before any of them is read."""
    images = source.lengths(image_key)
    rows = source.lengths(label_keys[0])
    common = sorted(images & rows)
    if len(common) == 1:
        return common[0]
    if not images or not rows:
        return 0
    numbers = " or ".join(f"{n:,}" for n in sorted(images))
    if not common:
        n_rows = " or ".join(f"{n:,}" for n in sorted(rows))
        raise Refused(
            f"There must be one row of labels for each of the {numbers} images, not {n_rows}."
        )
    problem = f"is a MATLAB file, whose arrays come turned round, and its images may be {numbers}"
    raise refused(source.path, f"{problem}; save it by h5py or numpy.savez.")


def _labels(source: Npz | Hdf5, keys: list[str], n: int) -> tuple[np.ndarray, list[str] | None]:
    """Return labels, (n, f), and the names of the factors if arrays or fields have any."""
    if len(keys) == 1:
        values = source.read(keys[0])
        if values.dtype.names:
            fields = list(values.dtype.names)
            return _stacked(source, {field: values[field] for field in fields}), fields
        if values.ndim == 2 and len(values) != n and n in source.lengths(keys[0]):
            values = values.T  # MATLAB's
        is_factor = values.ndim == 1 and _last_part(keys[0]) not in (*LABEL_KEYS, "classes")
        return values, [_factor_name(keys[0])] if is_factor else None
    if sum(math.prod(source.header(key)[0]) for key in keys) > MAX_LABELS:
        problem = f"has more than {MAX_LABELS:,} labels in {keys_of(keys)}"
        raise refused(source.path, f"{problem}; at most so many are read.")
    columns = {_factor_name(key): source.read(key) for key in keys}
    wrong = [name for name, column in columns.items() if column.size != n or column.dtype.names]
    if wrong or len(columns) < len(keys):
        where = shown((wrong or [keys_of(keys)])[0])
        raise refused(source.path, f"must have one value for each of {n:,} images in {where!r}.")
    return _stacked(source, columns), list(columns)


def _factor_name(key: str) -> str:
    return _last_part(key).removeprefix(_PREFIX)


def _stacked(source: Npz | Hdf5, columns: dict[str, np.ndarray]) -> np.ndarray:
    """Return columns as one array, of objects where they are of several types."""
    for name, column in columns.items():
        if column.ndim > 1 and column.size != max(column.shape):
            raise refused(source.path, f"must have one value for each image in {shown(name)!r}.")
    flat = [column.ravel() for column in columns.values()]
    if len({column.dtype.kind for column in flat}) > 1:
        flat = [column.astype(object) for column in flat]
    return np.stack(flat, 1)


def _names(source: Npz | Hdf5, labels: np.ndarray) -> list[str] | None:
    """Return the names of factors that a file has; text for each image is none."""
    keys = [key for key in NAME_KEYS if key in source.keys]
    if not keys:
        return None
    shape, dtype = source.header(keys[0])
    n_names = math.prod(shape)
    n_factors = labels.shape[1] if labels.ndim == 2 else 1
    if labels.ndim and n_names == len(labels) != n_factors:
        return None
    if dtype.kind not in "USO" or n_names > MAX_NAMES:
        expected = f"text in {shown(keys[0])!r}, the names of {n_factors} factors"
        raise refused(source.path, f"must have {expected}.")
    names = np.atleast_1d(source.read(keys[0])).ravel()
    return [decoded(name) for name in names.tolist()]
