"""Read a folder of pictures with a file of labels, .csv or .npy."""

from __future__ import annotations

import csv
import os
import re
import stat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vaedis.data.own.arrays import (
    MAX_LABELS,
    MAX_TEXT,
    PICTURE_FORMATS,
    Refused,
    check_images,
    check_labels,
    damage,
    keys_of,
    read_npy,
    refused,
    scratch,
    shown,
)

_MAX_CSV_BYTES = 2**28
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
    table = read_table(path, pictures)
    _check_length(folder, pictures, len(table.columns[0]))
    for k, column in enumerate(table.columns):
        in_order = in_order_of_names(pictures, column)
        if in_order is not None:
            pictures = in_order
            table = table.without(k)
            break
    else:
        check_no_names(path, pictures, table)
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


class Table(NamedTuple):
    """The columns of a .csv file, and their names if its first line has any."""

    names: list[str] | None
    columns: list[list[str]]

    def called(self, k: int) -> str:
        """Return what messages call a column: its name or its number."""
        return shown(self.names[k]) if self.names else str(k + 1)

    def without(self, k: int) -> Table:
        """Return the table without a column."""
        names = self.names and self.names[:k] + self.names[k + 1 :]
        return Table(names, self.columns[:k] + self.columns[k + 1 :])

    def values(self) -> np.ndarray:
        """Return labels, (n, f): numbers where a column holds only numbers, text elsewhere."""
        return np.stack([_numbers_or_text(column) for column in self.columns], 1)


def read_table(file: Path, pictures: list[str]) -> Table:
    """Return a file's columns; a first line that names a picture, or numbers only, is a row."""
    rows = _rows(file)
    names = None
    first_is_row = all(is_number(cell) for cell in rows[0]) or {*pictures} & {*rows[0]}
    if not first_is_row:
        names, *rows = rows
    line_numbers = [str(k) for k in range(len(rows))]
    if names and not names[0] and [row[0] for row in rows] == line_numbers:
        # the index that pandas writes
        names = names[1:]
        rows = [row[1:] for row in rows]
    if names is not None and "" in names:
        raise refused(file, "has a column without a name; give each factor one.")
    if not rows or not rows[0]:
        raise refused(file, "has no rows of labels; give it a row for each picture.")
    width = len(names or rows[0])
    for k, row in enumerate(rows, 1 if names is None else 2):
        _check_row(file, k, row, width, names)
    n_labels = len(rows) * width
    if n_labels > MAX_LABELS:
        raise refused(file, f"has {n_labels:,} values; labels may have at most {MAX_LABELS:,}.")
    return Table(names, [list(column) for column in zip(*rows, strict=True)])


def _rows(file: Path) -> list[list[str]]:
    if file.stat().st_size > _MAX_CSV_BYTES:
        limit = f"{_MAX_CSV_BYTES >> 20} MiB"
        raise refused(file, f"is larger than {limit}, which is too large for labels.")
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            first_line = opened.read(2**16).partition("\n")[0]
            opened.seek(0)
            delimiter = max(",;\t", key=first_line.count)
            reader = csv.reader(opened, delimiter=delimiter, strict=True)
            rows = [[cell.strip() for cell in row] for row in reader if row]
    except (csv.Error, UnicodeDecodeError) as error:
        raise refused(file, f"is no .csv file in UTF-8 ({error}); save it again.") from None
    if not rows:
        raise refused(file, "is empty; give it a row for each picture.")
    if delimiter == ";":
        # where semicolons separate numbers, these have decimal commas
        rows = [[re.sub(r"^([+-]?\d+),(\d+)$", r"\1.\2", cell) for cell in row] for row in rows]
    return rows


def _check_row(file: Path, k: int, row: list[str], width: int, names: list[str] | None) -> None:
    if len(row) != width:
        raise refused(file, f"has {len(row)} columns in row {k}, and {width} in its first.")
    if "" in row:
        column = names[row.index("")] if names else str(row.index("") + 1)
        raise refused(file, f"has no value in row {k}, column {shown(column)}; fill it in.")
    if max(map(len, row)) > MAX_TEXT:
        raise refused(file, f"has text of more than {MAX_TEXT:,} characters in row {k}.")


def is_number(cell: str) -> bool:
    """Whether text stands for a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _numbers_or_text(column: list[str]) -> np.ndarray:
    for kind in (int, float):
        try:
            return np.array([kind(value) for value in column], object)
        except ValueError:
            continue
    return np.array(column, object)


def in_order_of_names(pictures: list[str], column: list[str]) -> list[str] | None:
    """Return the pictures in the order of a column that names each once; None for other columns.

    Names may lie in a folder, lack what follows the dot, and differ in capitals.
    """
    names = [_last_part(value) for value in column]
    stems = [Path(name).stem for name in pictures]
    for normalized in (str, str.casefold):
        wanted = [normalized(name) for name in names]
        for spellings in (pictures, stems):
            known = [normalized(name) for name in spellings]
            by_name = dict(zip(known, pictures, strict=True))
            if len(by_name) == len(pictures) and sorted(by_name) == sorted(wanted):
                return [by_name[name] for name in wanted]
    return None


def _last_part(path: str) -> str:
    """Return a path's last part, with slashes of either kind."""
    return re.split(r"[/\\]", path)[-1]


def check_no_names(file: Path, pictures: list[str], table: Table) -> None:
    """Refuse a column that seems to say which picture each row is of, and cannot be followed."""
    for k, column in enumerate(table.columns):
        problem = _wrong_name(pictures, column)
        if problem is not None:
            raise _unclear_names(file, table.called(k), problem)
        if _are_numbers_in_another_order(pictures, column):
            problem = f"has the numbers of the pictures in column {table.called(k)}"
            advice = "put their names there, or sort the rows and remove the column"
            raise refused(file, f"{problem}, in another order than the pictures; {advice}.")


def _wrong_name(pictures: list[str], column: list[str]) -> str | None:
    """Return the first value of a column of names that is no picture or comes twice."""
    stems = [Path(name).stem for name in pictures]
    known = {name.casefold() for name in pictures}
    # a number may be the value of a factor
    known |= {stem.casefold() for stem in stems if not is_number(stem)}
    names = [_last_part(value).casefold() for value in column]
    are_names = [name in known or Path(name).suffix in PICTURE_FORMATS for name in names]
    if 2 * sum(are_names) <= len(names):
        return None
    for row, name in enumerate(names):
        if name not in known or name in names[:row]:
            return column[row]
    return column[0]


def _unclear_names(file: Path, column: str, value: str) -> Refused:
    problem = f"must name each picture of its folder once in column {column}"
    reason = f"but has {shown(value)!r}, which is no picture or comes twice"
    advice = "mend the names, or remove the column if rows are in the order of the pictures"
    return refused(file, f"{problem}, {reason}; {advice}.")


def _are_numbers_in_another_order(pictures: list[str], column: list[str]) -> bool:
    numbers_in_names = [re.findall(r"\d+", Path(name).stem)[-1:] for name in pictures]
    of_pictures = [int(numbers[0]) for numbers in numbers_in_names if numbers]
    ids = [int(value) for value in column if re.fullmatch(r"[0-9]+", value)]
    is_permutation = sorted(ids) == sorted(of_pictures) and len(set(ids)) == len(pictures)
    return is_permutation and ids != of_pictures
