"""Read a folder of pictures with a file of labels, .csv or .npy."""

from __future__ import annotations

import csv
import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from vaedis import _check
from vaedis._support.text import plain
from vaedis.data.own.arrays import (
    MAX_LABELS,
    check_images,
    check_labels,
    read_npy,
    reading,
    refused,
    scratch,
)
from vaedis.data.own.labels import as_numbers

_MAX_CSV_BYTES = 2**28
# no format that starts another program, such as PostScript, or that stands for another file
_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}
# pictures of other modes are read as RGB, or with their transparency as RGBA
_MODES = ("1", "L", "RGB", "RGBA", "LA")
_TIFF_BITS = 258  # the tag of TIFF that gives the bits of each channel


def read(
    folder: Path, label_file: str | None, *, needs_labels: bool
) -> tuple[np.ndarray, Any, tuple[str, ...]]:
    """Return images, labels if they are needed, and sentences on how they were read."""
    with os.scandir(folder) as entries:
        # no links, which may lead anywhere
        plain_files = sorted(e.name for e in entries if e.is_file(follow_symlinks=False))
    files = [name for name in plain_files if not name.startswith(".")]
    pictures = [name for name in files if Path(name).suffix.lower() in _FORMATS]
    if not pictures:
        raise refused(folder, f"has no pictures ({', '.join(_FORMATS)}), links apart.")
    if not needs_labels:
        _check_order(folder, pictures)
        return _images(folder, pictures), None, ()
    label_files = [name for name in files if Path(name).suffix.lower() in (".csv", ".npy")]
    if label_file not in label_files and (label_file is not None or len(label_files) != 1):
        wanted = "one .csv or .npy file of labels, or labels= (--labels) that names one of them"
        raise refused(folder, f"must have {wanted}; it has: {', '.join(label_files) or 'none'}.")
    path = folder / (label_file or label_files[0])
    if path.suffix.lower() == ".npy":
        _check_order(folder, pictures)
        return _images(folder, pictures), np.array(read_npy(path, check_labels)), ()
    columns = _read_csv(path)
    pictures, notes = _in_order(path, pictures, columns)
    # numbers where all cells are some: 1 and 1.0 are one value, and NaN is none
    sizes = {key: as_numbers(cells) for key, cells in columns.items()}
    labels = {key: columns[key] if sizes[key] is None else sizes[key] for key in columns}
    return _images(folder, pictures), labels, notes


def _check_order(folder: Path, pictures: list[str]) -> None:
    """Refuse names of unclear order: 10.png is before 2.png as text, and after it as a number."""
    if sorted(pictures, key=_by_number) != pictures:
        problem = "has pictures whose numbers are not in the order of their names"
        advice = "write them with leading zeros, or name the pictures in a .csv file"
        raise refused(folder, f"{problem}; {advice}.")


def _by_number(name: str) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _read_csv(path: Path) -> dict[str, list[str]]:
    """Return the columns of a file by the names in its first row."""
    with reading(path):
        if path.stat().st_size > _MAX_CSV_BYTES:
            raise ValueError(f"it is larger than {_MAX_CSV_BYTES >> 20} MiB")
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            numbered = [(reader.line_num, [*map(str.strip, row)]) for row in reader if row]
        names = numbered[0][1] if numbered else []
        rows = [row for _, row in numbered[1:]]
        if not rows or any(";" in name or "\t" in name for name in names):
            raise ValueError("it must have a row for each picture, of values with commas between")
        if not all(names) or len({*names}) < len(names) or all(map(is_number, names)):
            raise ValueError("its first row must have a name for each column, none of them twice")
        for number, row in numbered:
            if len(row) != len(names):
                raise ValueError(f"row {number} has {len(row)} values for {len(names)} columns")
        if len(rows) * len(names) > MAX_LABELS:
            raise ValueError(f"it has more than {MAX_LABELS:,} values")
    columns = map(list, zip(*rows, strict=True))
    return dict(zip(names, columns, strict=True))


def is_number(cell: str) -> bool:
    """Whether text stands for a number."""
    return as_numbers([cell]) is not None


def _in_order(
    path: Path, pictures: list[str], columns: dict[str, list[str]]
) -> tuple[list[str], tuple[str, ...]]:
    """Return the pictures in the order of the rows, and a note if numbers seem to name them.

    Takes out the column that names them.
    """
    by_name = {_bare(name): name for name in pictures}
    n_rows = len(next(iter(columns.values())))
    if not len(by_name) == n_rows == len(pictures):
        expected = f"one row for each of {len(by_name):,} pictures of different names"
        raise refused(path, f"must have {expected}, not {n_rows:,}.")
    naming = [key for key in columns if sorted(map(_bare, columns[key])) == sorted(by_name)]
    # a number may be the value of a factor
    naming_by_text = [key for key in naming if not all(map(is_number, columns[key]))]
    candidates = naming_by_text or naming
    if len(candidates) > 1:
        pair = " and ".join(map(repr, candidates[:2]))
        raise refused(path, f"names each picture in both columns {pair}; leave one of them out.")
    unnamed = [] if naming_by_text else [key for key in columns if key not in naming]
    for column in unnamed:
        is_unfit = not naming and _is_unique(column, columns)
        if is_unfit or _are_names(columns[column], by_name):
            rule = f"must name each picture once in column {column!r}, or have no such column"
            raise refused(path, f"{rule} and its rows in the order of the pictures.")
    if not candidates:
        _check_order(path.parent, pictures)
        return pictures, ()
    key = candidates[0]
    names = [_bare(cell) for cell in columns.pop(key)]
    is_factor = f"if {key!r} is a factor, add a column of the pictures' file names"
    if not columns:
        problem = f"names the pictures in column {key!r}, its only one, and so has no factor"
        raise refused(path, f"{problem}; add one, or, {is_factor}.")
    note = f"The numbers in column {key!r} were taken as the pictures' names; {is_factor}."
    notes = () if naming_by_text else (plain(note),)
    return [by_name[name] for name in names], notes


def _are_names(cells: list[str], pictures: Iterable[str]) -> bool:
    """Whether most cells name a picture, there or not."""
    known = {name for name in pictures if not is_number(name)}
    are_names = [_bare(cell) in known or Path(cell.casefold()).suffix in _FORMATS for cell in cells]
    return 2 * sum(are_names) > len(cells)


def _is_unique(column: str, columns: dict[str, list[str]]) -> bool:
    """Whether a column is another in each row, as an id is, though another column varies too."""
    others = [other for key, other in columns.items() if key != column]
    sizes = as_numbers(columns[column])
    n_values = len({*(columns[column] if sizes is None else sizes)})
    return n_values == len(columns[column]) and any(len({*other}) > 1 for other in others)


def _bare(name: str) -> str:
    """Return the last part of a path, with slashes of either kind, without what a format adds."""
    name = re.split(r"[/\\]", name)[-1].casefold()
    # some systems write é as two characters
    path = Path(unicodedata.normalize("NFC", name))
    return path.stem if path.suffix in _FORMATS else str(path)


def _images(folder: Path, pictures: list[str]) -> np.ndarray:
    """Return pictures of one size and kind as one array."""
    first = _picture(folder / pictures[0])
    with reading(folder):
        images = scratch((len(pictures), *first.shape), first.dtype)
    for k, name in enumerate(pictures):
        image = _picture(folder / name)
        if image.shape != first.shape or image.dtype != first.dtype:
            shapes = f"{pictures[0]} is {first.shape}, {name} {image.shape}"
            raise refused(folder, f"has pictures of different sizes or kinds: {shapes}.")
        images[k] = image
    return images


def _picture(path: Path) -> np.ndarray:
    """Return one picture, (H, W) or (H, W, C); its size is checked before it is decoded."""
    _check.package("PIL", "read pictures", "data")
    from PIL import Image, ImageOps

    formats = [_FORMATS[path.suffix.lower()]]
    with reading(path):
        with Image.open(path, formats=formats) as image:
            check_images((1, image.height, image.width, 4), np.dtype(np.uint8))
            if getattr(image, "n_frames", 1) > 1 or image.mode[0] in "IF" or _is_deep(image):
                raise ValueError("it must be one picture of 8 bits a channel")
            image.verify()  # compares the checksums that a PNG file has
        with Image.open(path, formats=formats) as image:
            decoded_from = _decoded_from(image)
            # cameras store pictures lying on their side, and how to turn them
            upright = ImageOps.exif_transpose(image)
            mode = _mode(upright, decoded_from)
            return np.asarray(upright if upright.mode == mode else upright.convert(mode))


def _decoded_from(image: Any) -> str:
    """Return how a file has its pixels, as Pillow says before it reads them, such as RGB;16B."""
    arguments = image.tile[0][3] if image.tile else ""
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _is_deep(image: Any) -> bool:
    """Whether a file has more than 8 bits a channel, of which Pillow would keep 8."""
    if image.format == "TIFF":
        return max(np.atleast_1d(image.tag_v2.get(_TIFF_BITS, 1))) > 8
    return bool(image.format == "PNG" and _decoded_from(image).endswith(";16B"))


def _mode(image: Any, decoded_from: str) -> str:
    """Return the mode to read a picture in, with its transparency."""
    # Pillow keeps one transparent colour, and the alphas of a palette's colours, apart
    is_apart = "transparency" in image.info and image.mode not in ("RGBA", "LA")
    if is_apart and decoded_from in ("L;2", "L;4"):
        # the transparent grey is of the file's bits, and Pillow compares it to those of 8 bits
        raise ValueError("its transparent grey has fewer than 8 bits; save it as RGBA")
    if is_apart or image.mode in ("La", "PA", "RGBa"):
        return "LA" if image.mode in ("1", "L", "La") else "RGBA"
    return str(image.mode) if image.mode in _MODES else "RGB"
