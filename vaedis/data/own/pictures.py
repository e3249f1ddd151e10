"""Read a folder of pictures with a file of labels."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vaedis.data.own import csv_labels
from vaedis.data.own.npz import read_npy
from vaedis.data.own.sources import (
    PICTURE_FORMATS,
    check_images,
    check_labels,
    damage,
    keys_of,
    refused,
    scratch,
    shown,
)

_LABEL_SUFFIXES = (".csv", ".npy")
# pictures of other modes are read as RGB
_MODES = {"1", "L", "RGB", "RGBA", "LA"}
_DEEP_MODES = {"I", "F"}


class Folder(NamedTuple):
    """Images, (n, H, W) or (n, H, W, C), labels, (n, f), and the names of the factors."""

    images: np.ndarray
    labels: Any
    names: list[str] | None


def read(folder: Path, label_file: str | None, *, needs_labels: bool) -> Folder:
    """Read the pictures of a folder, and their labels if they are needed."""
    files = _files(folder)
    pictures = sorted(name for name in files if _suffix(name) in PICTURE_FORMATS)
    if not pictures:
        raise refused(folder, f"is a folder without pictures ({', '.join(PICTURE_FORMATS)}).")
    if not needs_labels:
        _check_order(folder, pictures)
        return Folder(_images(folder, pictures), None, None)
    path = folder / _label_file(folder, files, label_file)
    if _suffix(path.name) == ".npy":
        return _with_npy(folder, pictures, path)
    return _with_csv(folder, pictures, path)


def _with_npy(folder: Path, pictures: list[str], path: Path) -> Folder:
    _check_order(folder, pictures)
    labels = read_npy(path)
    check_labels(path, path.name, labels.shape, labels.dtype)
    _check_length(folder, pictures, len(labels) if labels.ndim else 0)
    if not labels.dtype.names:
        return Folder(_images(folder, pictures), np.array(labels), None)
    names = list(labels.dtype.names)
    columns = [labels[name].astype(object) for name in names]
    return Folder(_images(folder, pictures), np.stack(columns, 1), names)


def _with_csv(folder: Path, pictures: list[str], path: Path) -> Folder:
    table = csv_labels.read_table(path, pictures)
    _check_length(folder, pictures, len(table.columns[0]))
    for k, column in enumerate(table.columns):
        in_order = csv_labels.in_order_of_names(pictures, column)
        if in_order is not None:
            pictures = in_order
            table = table.without(k)
            break
    else:
        csv_labels.check_no_names(path, pictures, table)
        _check_order(folder, pictures)
    if not table.columns:
        raise refused(path, "has names of pictures only; give it a column for each factor.")
    return Folder(_images(folder, pictures), table.values(), table.names)


def _suffix(name: str) -> str:
    return Path(name).suffix.lower()


def _files(folder: Path) -> list[str]:
    """Return the names of pictures and files of labels; refuse links, which may lead anywhere."""
    names = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or _suffix(entry.name) not in (
                *PICTURE_FORMATS,
                *_LABEL_SUFFIXES,
            ):
                continue
            if not stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
                raise refused(folder, f"has {shown(entry.name)!r}, which is no plain file.")
            names.append(entry.name)
    return names


def _label_file(folder: Path, files: list[str], wanted: str | None) -> str:
    candidates = sorted(name for name in files if _suffix(name) in _LABEL_SUFFIXES)
    if wanted is not None:
        candidates = [name for name in candidates if name == wanted]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        problem = f"has the files of labels {keys_of(candidates)}; name one of them"
    elif wanted is not None:
        problem = f"has no file of labels {shown(wanted)!r}"
    else:
        problem = "has no file of labels (.csv or .npy); add one"
    raise refused(folder, f"{problem}, or give sizes if the pictures are in order.")


def _check_length(folder: Path, pictures: list[str], n_rows: int) -> None:
    if n_rows != len(pictures):
        problem = f"must have one row of labels for each of its {len(pictures):,} pictures"
        raise refused(folder, f"{problem}, not {n_rows:,}.")


def _check_order(folder: Path, pictures: list[str]) -> None:
    """Refuse names of unclear order: 10.png is before 2.png as text, and after it as a number."""
    by_number = sorted(pictures, key=_by_number)
    for as_text, as_number in zip(pictures, by_number, strict=True):
        if as_text != as_number:
            example = f"{shown(as_text)} is before {shown(as_number)} as text, not as a number"
            advice = "write their numbers with leading zeros, or name them in a .csv file"
            raise refused(folder, f"has pictures in no plain order ({example}); {advice}.")


def _by_number(name: str) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _images(folder: Path, pictures: list[str]) -> np.ndarray:
    """Return pictures of one size and kind as one array."""
    first = _picture(folder / pictures[0])
    check_images(folder, pictures[0], (1, *first.shape), first.dtype)
    content = scratch(folder, len(pictures) * first.nbytes)
    images = content.view(first.dtype).reshape(len(pictures), *first.shape)
    for k, name in enumerate(pictures):
        image = _picture(folder / name)
        if image.shape != first.shape or image.dtype != first.dtype:
            shapes = f"{shown(pictures[0])} is {first.shape}, {shown(name)} {image.shape}"
            raise refused(folder, f"has pictures of different sizes or kinds: {shapes}.")
        images[k] = image
    return images


def _picture(path: Path) -> np.ndarray:
    """Return one picture, (H, W) or (H, W, C); its size is checked before it is decoded."""
    try:
        from PIL import Image, ImageOps
    except ImportError:
        advice = "install it with: pip install 'vaedis[data]'"
        raise ImportError(f"Pictures need pillow; {advice}.") from None
    formats = [PICTURE_FORMATS[_suffix(path.name)]]
    with damage(path, "picture", "is"):
        with Image.open(path, formats=formats) as image:
            width, height = image.size
            check_images(path, path.name, (1, height, width, 4), np.dtype(np.uint8))
            if getattr(image, "n_frames", 1) > 1:
                raise refused(path, "holds several pictures; save each by itself.")
            if image.mode.split(";")[0] in _DEEP_MODES:
                advice = "save it with 8 bits, or the array by numpy.savez"
                raise refused(path, f"has pixels of more than 8 bits; {advice}.")
            image.verify()  # compares the checksums that a PNG file has
        with Image.open(path, formats=formats) as image:
            # cameras store pictures lying on their side, and how to turn them
            upright = ImageOps.exif_transpose(image)
            return np.asarray(upright if upright.mode in _MODES else upright.convert("RGB"))
