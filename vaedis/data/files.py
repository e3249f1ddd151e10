"""Read a reader's own images and labels from files."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vaedis.data.table import Table

IMAGE_KEYS = ("images", "imgs", "image", "x")
LABEL_KEYS = ("factors", "labels", "latents_classes", "y")
NAME_KEYS = ("factor_names", "names")
# larger arrays of compressed .npz files go through a temporary file, from which rows are read as they are needed
_IN_MEMORY = 2**30


def read_table(
    path: str | os.PathLike[str], *, images: str | None = None, labels: str | None = None, names: Sequence[str] | None = None
) -> Table:
    """Return the images and labels of an .npz or HDF5 file.

    Parameters
    ----------
    path : path
    images, labels : str, optional
        The arrays' names in the file; by default the first that exists of ``images``, ``imgs``, ``image``, ``x``, and of ``factors``,
        ``labels``, ``latents_classes``, ``y``.
    names : sequence of str, optional
        Of the factors; by default the file's array of text ``factor_names`` or ``names``, if it has one.

    Returns
    -------
    Table

    Raises
    ------
    ValueError
        If the file is neither, lacks an array, or holds objects, which are never unpickled.
    OSError
        If it cannot be read.
    """
    path = Path(path)
    with path.open("rb") as file:
        start = file.read(8)
    if start[:4] == b"PK\x03\x04":
        arrays: _Npz | _Hdf5 = _Npz(path)
    elif start == b"\x89HDF\r\n\x1a\n":
        arrays = _Hdf5(path)
    else:
        raise ValueError(f"{path} is neither an .npz nor an HDF5 file; save images and labels with numpy.savez or h5py.")
    image_key, label_key = (arrays.choose(*wanted) for wanted in ((images, IMAGE_KEYS, "images"), (labels, LABEL_KEYS, "labels")))
    if names is None:
        found = next((key for key in NAME_KEYS if key in arrays.keys), None)
        listed = [] if found is None else np.atleast_1d(np.asarray(arrays.read(found)[()])).tolist()
        names = None if found is None else [n.decode() if isinstance(n, bytes) else str(n) for n in listed]
    return Table(arrays.read(image_key), np.asarray(arrays.read(label_key)[()]), names, name=path.stem)


class _Arrays:
    path: Path
    keys: list[str]

    def choose(self, key: str | None, known: Sequence[str], what: str) -> str:
        found = key if key is not None else next((k for k in known if k in self.keys), None)
        if found not in self.keys:
            wanted = repr(key) if key is not None else f"for {what} (one of {', '.join(known)})"
            raise ValueError(f"{self.path} has no array {wanted}; it has: {', '.join(self.keys) or 'none'}.")
        return found  # type: ignore[return-value]

    def refuse(self, key: str) -> ValueError:
        return ValueError(f"{self.path} holds Python objects in {key!r}, which are never unpickled; save plain arrays.")


class _Npz(_Arrays):
    def __init__(self, path: Path):
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                self.keys = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        except zipfile.BadZipFile as problem:
            raise ValueError(f"{path} is a damaged .npz file ({problem}); save it again.") from None

    def read(self, key: str) -> np.ndarray:
        """Return an array; a large one as a memory map of a temporary file."""
        with zipfile.ZipFile(self.path) as archive:
            member = archive.getinfo(f"{key}.npy")
            try:
                if member.file_size <= _IN_MEMORY:
                    with archive.open(member) as file:
                        return np.lib.format.read_array(file, allow_pickle=False)
                # unlinked at once: the file lives as long as the map, and no longer
                with tempfile.NamedTemporaryFile(suffix=".npy") as copy, archive.open(member) as file:
                    while block := file.read(2**24):
                        copy.write(block)
                    copy.flush()
                    return np.lib.format.open_memmap(copy.name, mode="r")
            except ValueError as problem:
                if "pickle" in str(problem) or "object" in str(problem).lower():
                    raise self.refuse(key) from None
                raise ValueError(f"{self.path} has a damaged array {key!r} ({problem}); save it again.") from None
            except (zipfile.BadZipFile, EOFError) as problem:
                raise ValueError(f"{self.path} has a damaged array {key!r} ({problem}); save it again.") from None


class _Hdf5(_Arrays):
    def __init__(self, path: Path):
        try:
            import h5py
        except ImportError:
            raise ImportError("HDF5 files need h5py; install it with: pip install 'vaedis[data]'.") from None
        self.path = path
        try:
            self.file = h5py.File(path, "r")
        except OSError as problem:
            raise ValueError(f"{path} is a damaged HDF5 file ({problem}).") from None
        self.keys = [key for key in self.file if isinstance(self.file[key], h5py.Dataset)]

    def read(self, key: str) -> Any:
        """Return a dataset, of which rows are read as they are asked for."""
        import h5py

        found = self.file[key]
        if found.dtype.kind == "O":
            if h5py.check_string_dtype(found.dtype) is None:
                raise self.refuse(key)
            return found.asstr()
        return found
