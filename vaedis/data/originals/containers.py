"""The containers that the originals come in, read with care: .npz, HDF5, tar, MATLAB 5 and NORB's
binary matrices.

Whatever is wrong with a file becomes one ValueError that names it. The type of an array is looked
at before its content, so that nothing is ever unpickled, and what would take much memory is
streamed.
"""

from __future__ import annotations

import gzip
import importlib
import io
import math
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import PurePosixPath
from types import ModuleType
from typing import IO, Any, cast

import numpy as np

Path = str | os.PathLike[str]
_MAT_MATRIX, _MAT_COMPRESSED = 14, 15
NORB_MAGIC = {"uint8": 0x1E3D4C55, "int32": 0x1E3D4C54}
_LARGEST_MEMBER = 64 * 2**20
# of one thing that a container asks to be read as a whole: a chunk of HDF5, an array in a .mat file
_LARGEST_PIECE = 64 * 2**20
# of what stands before a member of a tar file: a long name, or attributes
_LARGEST_HEADER = 64 * 2**10
_MOST_MEMBERS = 20_000
# HDF5 left to itself makes chunks of some 20,000 images by a few pixels: two rows of such chunks
# fit, so that each is inflated only once
_HDF5_CACHE = 400 * 2**20


def require(module: str) -> ModuleType:
    """Import a module of the extra `data`, or raise an ImportError that says how to install it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"Reading original files needs {module.partition('.')[0]}: pip install 'vaedis[data]'."
        ) from error


class _Wrong(ValueError):
    """A file is not what it should be; the message is one sentence that names it."""


def wrong(path: object, found: str, expected: str) -> ValueError:
    """Return the error for a file that is not what it should be: what it has, and what was expected
    instead.
    """
    return _Wrong(f"{path} {found}; expected {expected}: fetch the original again.")


@contextmanager
def _damage(path: object, expected: str) -> Iterator[None]:
    """Say in one sentence what libraries raise in very many ways when bytes are wrong or end early."""
    try:
        yield
    except (_Wrong, ImportError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise  # the file is absent or may not be read
        raise wrong(path, f"is damaged or cut short ({_brief(error)})", expected) from error


def _brief(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def exactly(file: IO[bytes], size: int) -> bytes:
    """Read `size` bytes, or raise an EOFError."""
    found = file.read(size)
    if len(found) < size:
        raise EOFError("its data end early")
    return found


def _check_array(
    path: object, key: str, dtype: Any, shape: tuple[int, ...], wanted: tuple[int, ...]
) -> None:
    if str(dtype) != "uint8" or tuple(shape) != wanted:
        raise wrong(path, f"has {key!r} of {dtype} and shape {tuple(shape)}", f"uint8 and {wanted}")


def npz_blocks(path: Path, key: str, wanted: tuple[int, ...], block: int) -> Iterator[np.ndarray]:
    """Yield an array of an .npz file, uint8 and of shape `wanted`, `block` rows at a time;
    `numpy.load` would inflate it as a whole.
    """
    with _damage(path, "an .npz file"), zipfile.ZipFile(path) as archive:
        if f"{key}.npy" not in archive.namelist():
            raise wrong(path, f"has no array {key!r}", "the original's .npz file")
        if archive.getinfo(f"{key}.npy").compress_type not in (
            zipfile.ZIP_STORED,
            zipfile.ZIP_DEFLATED,
        ):
            # the others cannot be inflated little by little
            raise wrong(
                path,
                f"has {key!r} compressed in another way than by deflate",
                "the original's .npz file",
            )
        with archive.open(f"{key}.npy") as file:
            try:
                version = np.lib.format.read_magic(file)
                read = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }[version]
                shape, fortran, dtype = read(file)
            except (ValueError, KeyError) as error:
                raise wrong(
                    path,
                    f"has {key!r} with a broken header ({_brief(error)})",
                    "one of .npy version 1 or 2",
                ) from error
            _check_array(path, key, dtype, shape, wanted)
            if fortran:
                raise wrong(path, f"has {key!r} in Fortran order", "C order")
            for start in range(0, wanted[0], block):
                rows = (min(block, wanted[0] - start), *wanted[1:])
                yield np.frombuffer(exactly(file, math.prod(rows)), np.uint8).reshape(rows)
            if file.read(1):  # reading past the end also checks the CRC
                raise wrong(path, f"has {key!r} longer than its header says", f"the shape {wanted}")


def hdf5_blocks(path: Path, key: str, wanted: tuple[int, ...], block: int) -> Iterator[np.ndarray]:
    """Yield an array of an HDF5 file, uint8 and of shape `wanted`, `block` rows at a time."""
    h5py = require("h5py")
    with open(
        path, "rb"
    ):  # a file that is absent or unreadable says so itself; what h5py raises is then about its content
        pass
    with (
        _damage(path, "an HDF5 file"),
        h5py.File(path, "r", rdcc_nbytes=_HDF5_CACHE, rdcc_nslots=1_000_003) as file,
    ):
        # a link or an array without data of its own could name any other file of the reader's
        dataset = file[key] if isinstance(file.get(key, getlink=True), h5py.HardLink) else None
        if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
            raise wrong(path, f"has no array {key!r} of its own", "the original's HDF5 file")
        _check_array(path, key, dataset.dtype, dataset.shape, wanted)
        chunk = math.prod(dataset.chunks or (0,))
        if chunk > _LARGEST_PIECE:
            raise wrong(
                path,
                f"has {key!r} in chunks of {chunk >> 20:,} MiB",
                f"chunks of up to {_LARGEST_PIECE >> 20} MiB",
            )
        for start in range(0, wanted[0], block):
            yield dataset[start : start + block]


class _Bounded:
    """A file of which nobody reads more than so many bytes at once, as a tar file's headers ask
    for.
    """

    def __init__(self, file: IO[bytes], most: int):
        self.file, self.most = file, most
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        if size > self.most:
            raise tarfile.ReadError(
                f"a header or a member asks for more than {self.most:,} bytes at once"
            )
        return self.file.read(size)


@contextmanager
def tar_members(path: Path) -> Iterator[tuple[list[str], Callable[[str], bytes]]]:
    """Open a gzipped tar file: the names of its members in the file's order, and a function that reads
    one of them.

    Reading in another order than the file's inflates it from its start each time. Names that are
    absolute or hold ``..`` are refused: nothing is unpacked to disk, but a file that has them is
    not the original.
    """
    with _damage(path, "a gzipped tar file"), ExitStack() as stack:
        inflated = stack.enter_context(gzip.open(path))
        file = _Bounded(cast(IO[bytes], inflated), _LARGEST_HEADER)
        tar = stack.enter_context(tarfile.open(fileobj=cast(IO[bytes], file), mode="r:"))
        members: dict[str, tarfile.TarInfo] = {}
        for member in tar:
            if len(members) == _MOST_MEMBERS:
                raise wrong(path, f"has more than {_MOST_MEMBERS:,} members", "fewer")
            where = PurePosixPath(member.name)
            if where.is_absolute() or ".." in where.parts:
                raise wrong(
                    path,
                    f"has a member {member.name!r} outside its folder",
                    "relative names without '..'",
                )
            members[str(where)] = member
        file.most = _LARGEST_MEMBER
        while file.read(2**20):  # to the very end, where gzip checks its CRC
            pass

        def read(name: str) -> bytes:
            content = tar.extractfile(members[name]) if members[name].isreg() else None
            if content is None or members[name].size > _LARGEST_MEMBER:
                raise wrong(
                    path,
                    f"has a member {name!r} that is no file or too large",
                    f"a plain file of up to {_LARGEST_MEMBER >> 20} MiB",
                )
            return content.read()

        yield list(members), read


def read_mat(path: str, content: bytes, key: str, wanted: tuple[int, ...]) -> np.ndarray:
    """Return an array, uint8 and of shape `wanted`, from the bytes of a MATLAB 5 file."""
    matlab = require("scipy.io")
    try:
        # headers first: what is too large, or of another type, is never loaded
        content = _inflated_mat(content)
        found = {name: (kind, shape) for name, shape, kind in matlab.whosmat(io.BytesIO(content))}
    except NotImplementedError:
        raise wrong(
            path, "is a MATLAB 7.3 file, which is HDF5", "MATLAB 5 as in the original"
        ) from None
    except Exception as error:  # there is no end to what SciPy raises on broken bytes
        raise wrong(
            path, f"cannot be read as a MATLAB file ({_brief(error)})", "MATLAB 5"
        ) from error
    if key not in found:
        raise wrong(path, f"has no array {key!r}", "the original's .mat file")
    _check_array(path, key, *found[key], wanted)
    try:
        array = matlab.loadmat(io.BytesIO(content), variable_names=[key])[key]
    except Exception as error:
        raise wrong(
            path, f"cannot be read as a MATLAB file ({_brief(error)})", "MATLAB 5"
        ) from error
    _check_array(path, key, array.dtype, array.shape, wanted)
    return array


def _inflated_mat(content: bytes) -> bytes:
    """Return a MATLAB 5 file with its elements inflated; a ValueError where they, or what one states
    of its parts, are too large.

    SciPy believes the sizes that an element states of its parts, and takes as much memory.
    """
    if content[124:128] not in (b"\x00\x01IM", b"\x01\x00MI"):
        return content  # of another version, which SciPy will say
    order = "<" if content[126:128] == b"IM" else ">"
    whole = bytearray(content[:128])
    start = 128
    while start + 8 <= len(content):
        kind, size = struct.unpack_from(f"{order}II", content, start)
        element = content[start + 8 : start + 8 + size]
        if len(element) < size:
            raise ValueError("an element ends early")
        if kind == _MAT_COMPRESSED:
            inflate = zlib.decompressobj()
            element = inflate.decompress(element, max(1, _LARGEST_PIECE - len(whole)))
            if not inflate.eof:
                raise ValueError(
                    f"its arrays are cut short, or larger than {_LARGEST_PIECE >> 20} MiB"
                )
        else:
            element = content[start : start + 8] + element
        whole += _checked_mat_element(element, order)
        start += 8 + size
    return bytes(whole)


def _checked_mat_element(element: bytes, order: str) -> bytes:
    """Return an inflated element, or raise a ValueError if it or a part of it states more bytes
    than there are.
    """
    kind, size = struct.unpack_from(f"{order}II", element)
    if size > len(element) - 8:
        raise ValueError("an element ends early")
    element = element[: 8 + size]
    start = 8
    while kind == _MAT_MATRIX and start + 8 <= len(element):
        small, part = struct.unpack_from(f"{order}II", element, start)
        # up to four bytes stand in the place of the size, which the upper half of the kind then
        # holds
        size = 0 if small >> 16 else part
        if start + 8 + size > len(element):
            raise ValueError("a part of an element is longer than the element")
        start += 8 + -(-size // 8) * 8
    return element


@contextmanager
def norb_matrix(path: Path, dtype: str, wanted: tuple[int, ...]) -> Iterator[IO[bytes]]:
    """Open a gzipped NORB matrix behind its header, which is checked, and check on leaving that it
    ends where it should.

    The header is little-endian: an int32 that names the type, the number of dimensions, and at
    least three dimensions.
    """
    with _damage(path, "a gzipped NORB matrix"), gzip.open(path, "rb") as opened:
        file = cast(IO[bytes], opened)
        magic, dimensions = struct.unpack("<Ii", exactly(file, 8))
        if magic != NORB_MAGIC[dtype]:
            raise wrong(
                path,
                f"starts with {magic:#010x}",
                f"{NORB_MAGIC[dtype]:#010x}, a NORB matrix of {dtype}",
            )
        stored = struct.unpack(f"<{max(3, len(wanted))}i", exactly(file, 4 * max(3, len(wanted))))
        if dimensions != len(wanted) or stored[: len(wanted)] != wanted:
            raise wrong(
                path,
                f"has {dimensions} dimensions, the first of them {stored}",
                f"the shape {wanted}",
            )
        yield file
        if file.read(1):  # reading past the end also checks the CRC
            raise wrong(path, "is longer than its header says", f"the shape {wanted}")
