"""Read a folder of pictures with a file of labels."""

from __future__ import annotations

import csv
import os
import re
import stat
from pathlib import Path
from typing import Any

import numpy as np

from vaedis.data.own.npz import read_npy
from vaedis.data.own.sources import (
    LONGEST_TEXT,
    MOST_LABELS,
    Refused,
    check_images,
    check_labels,
    damage,
    keys_of,
    scratch,
    shown,
)

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
_LABELS = (".csv", ".npy")
# as they are; all others become RGB
_MODES = {"1", "L", "RGB", "RGBA", "LA"}
_DEEP = {"I", "F"}
_LARGEST_CSV = 2**28


def read(
    folder: Path, labels: str | None, *, needed: bool
) -> tuple[np.ndarray, Any, list[str] | None]:
    """Return images, (n, H, W) or (n, H, W, C), labels, (n, f), and the names of the factors if the
    file of labels has any.

    Without `needed` there may be no labels, for which None is returned.
    """
    names = _files(folder)
    pictures = sorted(name for name in names if Path(name).suffix.lower() in _FORMATS)
    if not pictures:
        raise Refused(
            f"{shown(folder)} is a folder without pictures ({', '.join(_FORMATS)}); subfolders are not looked into."
        )
    if not needed:
        _check_order(folder, pictures)
        return _images(folder, pictures), None, None
    file = folder / _label_file(folder, names, labels)
    if file.suffix.lower() == ".npy":
        _check_order(folder, pictures)
        array = read_npy(file)
        check_labels(file, file.name, array.shape, array.dtype)
        _check_length(folder, pictures, len(array) if array.ndim else 0)
        fields = list(array.dtype.names) if array.dtype.names else None
        labels_of_all = (
            np.stack([array[field].astype(object) for field in fields], 1)
            if fields
            else np.array(array)
        )
        return _images(folder, pictures), labels_of_all, fields
    columns, rows = _table(file, pictures)
    _check_length(folder, pictures, len(rows))
    values = [list(column) for column in zip(*rows, strict=True)]
    position = next((k for k, column in enumerate(values) if _matched(pictures, column)), None)
    if position is None:
        _need_no_names(file, pictures, columns, values)
        _check_order(folder, pictures)
    else:
        pictures = _matched(pictures, values.pop(position))
        columns = columns and columns[:position] + columns[position + 1 :]
    if not values:
        raise Refused(
            f"{shown(file)} has names of pictures only; give it a column for each factor."
        )
    return _images(folder, pictures), np.stack([_typed(column) for column in values], 1), columns


def _files(folder: Path) -> list[str]:
    """Return the names of a folder's plain files; a link may lead anywhere, so pictures and labels
    may be none.
    """
    names = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if Path(entry.name).suffix.lower() not in (
                *_FORMATS,
                *_LABELS,
            ) or entry.name.startswith("."):
                continue
            if not stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
                raise Refused(
                    f"{shown(folder)} has {shown(entry.name)!r}, which is a link or no plain file; put the file itself there."
                )
            names.append(entry.name)
    return names


def _label_file(folder: Path, names: list[str], wanted: str | None) -> str:
    found = sorted(name for name in names if Path(name).suffix.lower() in _LABELS)
    if wanted is not None:
        found = [name for name in found if name == wanted]
    if len(found) != 1:
        has = f"has the files of labels {keys_of(found)}" if found else "has no file of labels"
        what = (
            "; name one of them"
            if found
            else f" {shown(wanted)!r}"
            if wanted
            else " (.csv or .npy); add one"
        )
        raise Refused(f"{shown(folder)} {has}{what}, or give sizes if the pictures are in order.")
    return found[0]


def _check_length(folder: Path, pictures: list[str], n_rows: int) -> None:
    if n_rows != len(pictures):
        raise Refused(
            f"{shown(folder)} must have one row of labels for each of its {len(pictures):,} pictures, not {n_rows:,}."
        )


def _check_order(folder: Path, pictures: list[str]) -> None:
    """Refuse names whose order is not plain: 10.png is before 2.png as text, and after it as a
    number.
    """
    by_number = sorted(
        pictures,
        key=lambda name: [
            (int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)
        ],
    )
    if by_number != pictures:
        first = next(k for k, (a, b) in enumerate(zip(pictures, by_number, strict=True)) if a != b)
        raise Refused(
            f"{shown(folder)} has pictures in no plain order ({shown(pictures[first])} is before {shown(by_number[first])} as text, not as "
            "a number); write their numbers with leading zeros, or give a .csv file with a column of their names."
        )


def _table(file: Path, pictures: list[str]) -> tuple[list[str] | None, list[list[str]]]:
    """Return the names of a .csv file's columns, or None if its first line has none, and its rows."""
    if file.stat().st_size > _LARGEST_CSV:
        raise Refused(
            f"{shown(file)} is larger than {_LARGEST_CSV >> 20} MiB, which is too large for labels."
        )
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            start = opened.read(2**16)
            opened.seek(0)
            line = start.partition("\n")[0]
            delimiter = max(",;\t", key=line.count)
            rows = [
                [cell.strip() for cell in row]
                for row in csv.reader(opened, delimiter=delimiter, strict=True)
                if row
            ]
    except (csv.Error, UnicodeDecodeError) as problem:
        raise Refused(
            f"{shown(file)} is no .csv file in UTF-8 ({problem}); save it again."
        ) from None
    if not rows:
        raise Refused(f"{shown(file)} is empty; give it a row for each picture.")
    if delimiter == ";":
        # between which numbers are written with a decimal comma
        rows = [
            [
                cell.replace(",", ".") if re.fullmatch(r"[+-]?\d+,\d+", cell) else cell
                for cell in row
            ]
            for row in rows
        ]
    known = set(pictures)
    names = (
        None
        if all(_is_number(cell) for cell in rows[0]) or known.intersection(rows[0])
        else rows.pop(0)
    )
    if names and not names[0] and [row[0] for row in rows] == [str(k) for k in range(len(rows))]:
        # the index that pandas writes
        names, rows = names[1:], [row[1:] for row in rows]
    if names is not None and "" in names:
        raise Refused(f"{shown(file)} has a column without a name; give each factor one.")
    if not rows or not rows[0]:
        raise Refused(f"{shown(file)} has no rows of labels; give it a row for each picture.")
    width = len(names or rows[0])
    first = 1 if names is None else 2
    for k, row in enumerate(rows):
        if len(row) != width:
            raise Refused(
                f"{shown(file)} has {len(row)} columns in row {k + first}, and {width} in its first; save it again."
            )
        if "" in row:
            column = names[row.index("")] if names else str(row.index("") + 1)
            raise Refused(
                f"{shown(file)} has no value in row {k + first}, column {shown(column)}; fill it, or leave the picture out."
            )
        if max(map(len, row)) > LONGEST_TEXT:
            raise Refused(
                f"{shown(file)} has text of more than {LONGEST_TEXT:,} characters in row {k + first}; use short labels."
            )
    if len(rows) * width > MOST_LABELS:
        raise Refused(
            f"{shown(file)} has {len(rows) * width:,} values; labels may have at most {MOST_LABELS:,}."
        )
    return names, rows


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _typed(values: list[str]) -> np.ndarray:
    """Return a column as numbers where all are, in an array of objects, which may stand beside
    text.
    """
    for kind in (int, float):
        try:
            return np.array([kind(value) for value in values], object)
        except ValueError:
            continue
    return np.array(values, object)


def _matched(pictures: list[str], values: list[str]) -> list[str]:
    """Return the pictures in the order of a column that names each once, or none if it does not.

    Names may have the path of a folder before them, lack what follows the dot, and differ in
    capitals.
    """
    given = [_last(value) for value in values]
    stems = [Path(name).stem for name in pictures]
    for write in (str, str.casefold):
        wanted = [write(value) for value in given]
        for called in ([write(name) for name in pictures], [write(stem) for stem in stems]):
            by_name = dict(zip(called, pictures, strict=True))
            if len(by_name) == len(pictures) and sorted(by_name) == sorted(wanted):
                return [by_name[value] for value in wanted]
    return []


def _last(value: str) -> str:
    """Return a path's last part, with slashes of either kind."""
    return re.split(r"[/\\]", value)[-1]


def _need_no_names(
    file: Path, pictures: list[str], columns: list[str] | None, values: list[list[str]]
) -> None:
    """Raise a ValueError if a column seems to say which picture each row is of, and cannot be
    followed.
    """
    known = {name.casefold() for name in pictures}
    # a number may be a factor's value
    known |= {
        stem.casefold() for stem in (Path(name).stem for name in pictures) if not _is_number(stem)
    }
    numbers = [re.findall(r"\d+", Path(name).stem)[-1:] for name in pictures]
    of_pictures = [int(found[0]) for found in numbers if found]
    for k, column in enumerate(values):
        called = shown(columns[k]) if columns else str(k + 1)
        names = [_last(value).casefold() for value in column]
        like_names = [name in known or Path(name).suffix in _FORMATS for name in names]
        if 2 * sum(like_names) > len(names):
            wrong = next(
                (row for row, name in enumerate(names) if name not in known or name in names[:row]),
                0,
            )
            raise Refused(
                f"{shown(file)} must name each picture of its folder once in column {called}, but has {shown(column[wrong])!r}, which is "
                "no picture or comes twice; mend the names, or remove the column if rows are in the order of the pictures."
            )
        ids = [int(value) for value in column if re.fullmatch(r"[0-9]+", value)]
        if (
            ids != of_pictures
            and sorted(ids) == sorted(of_pictures)
            and len(set(ids)) == len(pictures)
        ):
            raise Refused(
                f"{shown(file)} has the numbers of the pictures in column {called}, in another order than the pictures; put their names "
                "there, or sort the rows and remove the column."
            )


def _images(folder: Path, pictures: list[str]) -> np.ndarray:
    """Return pictures as one array, which all must have one size and kind."""
    first = _picture(folder / pictures[0])
    check_images(folder, pictures[0], (1, *first.shape), first.dtype)
    images = (
        scratch(folder, len(pictures) * first.nbytes)
        .view(first.dtype)
        .reshape(len(pictures), *first.shape)
    )
    for k, name in enumerate(pictures):
        image = _picture(folder / name)
        if image.shape != first.shape or image.dtype != first.dtype:
            raise Refused(
                f"{shown(folder)} has pictures of different sizes or kinds: {shown(pictures[0])} is {first.shape}, {shown(name)} "
                f"{image.shape}; give them one."
            )
        images[k] = image
    return images


def _picture(path: Path) -> np.ndarray:
    """Return one picture, (H, W) or (H, W, C); its size is looked at before it is decoded."""
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise ImportError(
            "Pictures need pillow; install it with: pip install 'vaedis[data]'."
        ) from None
    formats = [_FORMATS[path.suffix.lower()]]
    with damage(path, "picture", "is"):
        with Image.open(path, formats=formats) as image:
            wide, high = image.size
            check_images(path, path.name, (1, high, wide, 4), np.dtype(np.uint8))
            if getattr(image, "n_frames", 1) > 1:
                raise Refused(f"{shown(path)} holds several pictures; save each by itself.")
            if image.mode.split(";")[0] in _DEEP:
                raise Refused(
                    f"{shown(path)} has pixels of more than 8 bits; save it with 8 bits, or the array by numpy.savez."
                )
            image.verify()  # compares the checksums that a PNG file has
        with Image.open(path, formats=formats) as image:
            # as viewers show it: cameras store pictures lying, and how to turn them
            upright = ImageOps.exif_transpose(image)
            return np.asarray(upright if upright.mode in _MODES else upright.convert("RGB"))
