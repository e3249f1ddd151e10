"""Read a user's images and labels: .npz, .npy and HDF5 files, and folders of pictures."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from posixpath import basename, dirname
from typing import Any

import numpy as np

from vaedis import _check
from vaedis._support.text import call_of, plain
from vaedis.data.images import LabelledImages
from vaedis.data.own import folders
from vaedis.data.own.arrays import (
    LONGEST_SENTENCE,
    Hdf5,
    Npz,
    Refused,
    check_images,
    read_npy,
    refused,
)

IMAGE_KEYS = ("images", "imgs", "image", "x")
LABEL_KEYS = ("factors", "labels", "latents_classes", "latents/classes", "y")
NAME_KEYS = ("factor_names", "names")
_LISTED_KEYS = 20


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
        folder of pictures. A folder needs a .csv file with a row for each picture under a row of
        the columns' names, or an .npy file of labels in the order of the pictures' names. A column
        of the .csv file may name the pictures; `LabelledImages.notes` says so if it has numbers.
    images : str, optional
        The array's name in the file, or its path, such as ``train/images``; by default the first
        of ``images``, ``imgs``, ``image``, ``x`` that is there.
    labels : str or sequence of str, optional
        The array of labels, or one array for each factor, also as ``"colour,size"``; in a folder,
        the file of labels. By default, beside the images, the first of ``factors``, ``labels``,
        ``latents_classes``, ``latents/classes``, ``y`` that is there, or else all arrays of one
        value an image; one of these that cannot be read is refused.
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
        are never followed, and nothing is unpickled.
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
    try:
        path = Path(path)
    except TypeError:
        raise TypeError(f"path must name a file or a folder, not {path!r}.") from None
    if sizes is not None and labels is not None:
        raise ValueError("Give labels or sizes, not both.")
    label_keys = [] if labels is None else _check.listed(labels)
    if not all(
        isinstance(key, str) for key in [*label_keys, *([] if images is None else [images])]
    ):
        raise TypeError(
            "images= and labels= are names of arrays in the file; give arrays of your own as in "
            "vd.LabelledImages(images, labels)."
        )
    blank = not label_keys or not all(key.strip() for key in ",".join(label_keys).split(","))
    if labels is not None and blank:
        raise ValueError("a name in labels= (--labels) is empty; name an array for each factor.")
    own_names: Sequence[str] | None = None
    notes: tuple[str, ...] = ()
    if path.is_dir():
        if len(label_keys) > 1 or images is not None:
            advice = "labels must name one file in it, and images need no name"
            raise refused(path, f"is a folder; {advice}.")
        label_file = label_keys[0] if label_keys else None
        pixels, label_values, notes = folders.read(path, label_file, needs_labels=sizes is None)
    elif path.exists() and not path.is_file():
        raise refused(path, "is neither a plain file nor a folder.")
    else:
        pixels, label_values, own_names = _read_file(path, images, label_keys, sizes, names)
    names = own_names if names is None else names
    name = path.absolute().stem
    data = LabelledImages(pixels, label_values, names, sizes=sizes, name=name, resize=resize)
    data.notes_of_file = notes
    set_options = {option: value for option, value in options.items() if value is not None}
    data.made_by = call_of("read_images", str(path), set_options)
    return data


def _read_file(
    path: Path,
    image_key: str | None,
    label_keys: list[str],
    sizes: Sequence[int] | None,
    names: Sequence[str] | None,
) -> tuple[Any, Any, Sequence[str] | None]:
    """Return images, labels, and the names of the factors if the file has any."""
    with path.open("rb") as file:
        start = file.read(6)
    if start == b"\x93NUMPY":
        if image_key is not None:
            raise refused(path, "holds one array, which has no name; leave images= (--images) out.")
        if sizes is None:
            advice = "save both in one file, or give sizes= (--sizes) for images in order"
            raise refused(path, f"holds images and no labels; {advice}.")
        return read_npy(path, check_images), None, None
    source = Npz(path) if start.startswith(b"PK") else Hdf5(path)
    image_key = _image_key(source, image_key)
    if sizes is not None:
        n = math.prod(_check.count("each of sizes", size) for size in sizes)
        own_names = _names(source, n, len(sizes)) if names is None else None
        return source.images(image_key, n), None, own_names
    keys = _label_keys(source, image_key, label_keys)
    if len(keys) > 1:
        columns = {key: source.labels(key).squeeze() for key in keys}
        n = max(column.size for column in columns.values())
        return source.images(image_key, n), columns, [basename(key) for key in keys]
    labels = source.labels(keys[0])
    if labels.ndim == 2 and len(labels) == 1:
        labels = labels.ravel()  # MATLAB's row of numbers
    own_names = None
    if labels.ndim == 1 and not labels.dtype.names and keys[0] not in LABEL_KEYS:
        own_names = [basename(keys[0])]
    elif names is None and not labels.dtype.names:
        own_names = _names(source, len(labels), labels[:1].size) if labels.ndim else None
    return source.images(image_key, len(labels) if labels.ndim else 0), labels, own_names


def _no_array(source: Npz | Hdf5, what: str, advice: str) -> Refused:
    keys = ", ".join(source.keys[:_LISTED_KEYS])
    if len(source.keys) > _LISTED_KEYS:
        keys += f" and {len(source.keys) - _LISTED_KEYS} more"
    return refused(source.path, f"has no array {what}; it has: {keys or 'none'}; {advice}.")


def _known(source: Npz | Hdf5, key: str, option: str) -> str:
    """Return the name of an array; refuse one that an .npz file does not have."""
    if isinstance(source, Npz) and key not in source.keys:
        raise _no_array(source, repr(key), f"name one of them with {option}")
    return key


def _image_key(source: Npz | Hdf5, key: str | None) -> str:
    """Return the name of the array of images."""
    if key is not None:
        return _known(source, key.strip("/"), "images= (--images)")
    for key in IMAGE_KEYS:
        # an array of one value an image may be a position that is called x
        shape = source.header(key)[0] if key in source.keys else ()
        if math.prod(shape) > max(shape, default=1):
            return key
    what = f"for images (one of {', '.join(IMAGE_KEYS)})"
    raise _no_array(source, what, "name it with images= (--images)")


def _label_keys(source: Npz | Hdf5, image_key: str, keys: list[str]) -> list[str]:
    """Return the array of labels, or one array for each factor."""
    if len(keys) == 1:
        keys = [key.strip() for key in keys[0].split(",")]
    if keys:
        if len(set(keys)) < len(keys):
            raise ValueError("labels= (--labels) names an array twice; name each once.")
        return [_known(source, key.strip("/"), "labels= (--labels)") for key in keys]
    folder = image_key.removesuffix(basename(image_key))
    columns = _columns(source, image_key)
    known = [f"{folder}{name}" for name in LABEL_KEYS if f"{folder}{name}" in source.keys]
    # a column y beside a column x is a position
    are_positions = known == [f"{folder}y"] and f"{folder}x" in columns
    if not known or are_positions:
        if not columns:
            advice = "name it with labels= (--labels), or give sizes= (--sizes) for images in order"
            raise _no_array(source, f"for labels (one of {', '.join(LABEL_KEYS)})", advice)
        _need_readable(columns)
        return [*columns]
    labels = known[0]
    others = [key for key in columns if key != labels]
    is_readable_column = labels in columns and columns[labels] is None
    if is_readable_column and others:
        _need_readable(columns)
        problem = f"has one value for each image in {', '.join([labels, *others][:_LISTED_KEYS])}"
        example = f"labels={f'{labels},{others[0]}'!r}"
        raise refused(source.path, f"{problem}; say which are factors, as in {example}.")
    return [labels]


def _columns(source: Npz | Hdf5, image_key: str) -> dict[str, Refused | None]:
    """Return the arrays in the images' group that have one value for each image: {name: None}.

    One that cannot be read is among them with the reason, unless its shape is known to be another.
    """
    lengths = source.lengths(image_key)
    columns: dict[str, Refused | None] = {}
    for key in source.keys:
        is_beside = dirname(key) == dirname(image_key) and key != image_key
        if not is_beside or basename(key) in NAME_KEYS:
            continue
        problem = None
        shape: tuple[int, ...] | None
        try:
            shape, _ = source.header(key)
        except Refused as error:
            problem = error
            shape = source.refused_shape(key)
        if shape is None or (max(shape, default=0) in lengths and math.prod(shape) in lengths):
            columns[key] = problem
    return columns


def _need_readable(columns: dict[str, Refused | None]) -> None:
    """Refuse a file if one of its columns cannot be read, as that one may be a factor."""
    readable = [key for key, problem in columns.items() if problem is None]
    for problem in columns.values():
        if problem is not None:
            start = str(problem).removesuffix(".")
            advice = "it may be a factor, so save it in this file as numbers or text, or name the"
            advice += " labels with labels= (--labels)"
            if readable:
                advice += f", as in labels={','.join(readable)!r}"
            else:
                advice += ", or give sizes= (--sizes) for images in order"
            raise Refused(plain(f"{start}; {advice}.", LONGEST_SENTENCE)) from problem


def _names(source: Npz | Hdf5, n_images: int, n_factors: int) -> list[str] | None:
    """Return the names of factors that a file has; text for each image is none."""
    for key in NAME_KEYS:
        if key in source.keys:
            names = np.ravel(source.labels(key)).tolist()
            return None if len(names) == n_images > n_factors else names
    return None
