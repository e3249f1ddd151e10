"""A data set's images in one file: written once, block by block, and read by index without being
loaded.

``<origin>.npy`` holds (n, H, W, C) uint8 in the order of the factors; ``<origin>.json`` beside it
tells what it was made from and its own sum. The second is written last: without it the first does
not count.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedis._files import write_text
from vaedis.data.base import FactorData
from vaedis.data.originals.catalog import Benchmark
from vaedis.data.originals.disk import DataError, plain_os_errors, progress, sync_folder
from vaedis.factors import FactorSpace

CONVERTER = 1
"""Counted up whenever conversion would give other bytes; what an older one has made is made anew."""

KEPT_ON_DEVICE = 1 << 30
"""Data sets of up to so many bytes are kept in the memory of a GPU as a whole, unless `Stored` is told otherwise."""


def write(
    path: Path, blocks: Iterable[np.ndarray], shape: tuple[int, ...], facts: dict[str, Any]
) -> dict[str, Any]:
    """Write blocks of images to a file, and what is known of them beside it.

    Parameters
    ----------
    path : Path
        The ``.npy`` file. Until it is complete, what is there under its name stays.
    blocks : iterable of ndarray of uint8, shape (n, H, W, C)
        All images in their order; only one block is in memory at a time.
    shape : tuple of int
        Of all of them together.
    facts : dict
        To be kept beside the images: their ``origin`` and what they were made from.

    Returns
    -------
    dict
        `facts`, with ``shape``, ``bytes``, ``sha256``, ``converter``, ``date``, and each channel's
        ``mean`` and ``std`` as in `FactorData`.

    Raises
    ------
    DataError
        If there are more or fewer images than `shape` says or they are no such images, or the disk
        is full.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    digest, moments, rows = hashlib.sha256(), _Moments(shape), 0
    with plain_os_errors(f"the converted images to {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with (
                temporary.open("wb") as file,
                progress(f"converting {path.parent.name}", shape[0], unit="img") as told,
            ):
                file.write(_header(shape))
                for block in blocks:
                    rows += len(block)
                    if block.dtype != np.uint8 or block.shape[1:] != shape[1:] or rows > shape[0]:
                        raise DataError(
                            f"{path.name}: expected uint8 images of shape {shape}, not {block.dtype} and {block.shape}."
                        )
                    data = np.ascontiguousarray(block)
                    file.write(data.data)
                    digest.update(data.data)
                    moments.add(data)
                    told(len(block))
                if rows < shape[0]:
                    raise DataError(
                        f"{path.name}: expected {shape[0]:,} images, but the source ended after {rows:,}."
                    )
                file.flush()
                os.fsync(file.fileno())
            mean, std = moments.result()
            facts = facts | {
                "shape": list(shape),
                "bytes": temporary.stat().st_size,
                "sha256": digest.hexdigest(),
                "converter": CONVERTER,
                "mean": mean,
                "std": std,
                "date": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            # in this order: facts never stand beside images that they do not describe
            _facts_path(path).unlink(missing_ok=True)
            sync_folder(path.parent)
            temporary.replace(path)
            write_text(_facts_path(path), json.dumps(facts, indent=1) + "\n")
            sync_folder(path.parent)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    return facts


def read_facts(path: Path) -> dict[str, Any] | None:
    """Return what is kept beside a file of images, or None unless both are complete and made by the
    converter of today.
    """
    try:
        facts = json.loads(_facts_path(path).read_text(encoding="utf-8"))
        complete = (
            _is_complete(facts)
            and facts["bytes"] == path.stat().st_size
            and facts["origin"] == path.stem
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return facts if complete else None


def _is_complete(facts: dict[str, Any]) -> bool:
    """Whether facts hold all that is asked of them, each in its type; a KeyError or TypeError says
    no too.
    """
    numbers = [*facts["mean"], *facts["std"]]
    return (
        facts["converter"] == CONVERTER
        and re.fullmatch("[0-9a-f]{64}", facts["sha256"]) is not None
        and len(facts["shape"]) == 4
        and all(type(side) is int and side > 0 for side in facts["shape"])
        and len(facts["mean"]) == len(facts["std"]) == facts["shape"][3]
        and all(type(number) in (int, float) and math.isfinite(number) for number in numbers)
    )


def is_verified(path: Path, facts: dict[str, Any]) -> bool:
    """Read a file of images again, and tell whether its header and its images are what is kept
    beside it.
    """
    try:
        start = _start(path, tuple(facts["shape"]))
    except DataError:
        return False
    with path.open("rb") as file:
        file.seek(start)
        return hashlib.file_digest(file, "sha256").hexdigest() == facts["sha256"]


def _start(path: Path, shape: tuple[int, ...]) -> int:
    """Where in a file the images begin; a DataError if its header does not tell of images of that
    shape.
    """
    try:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0(file)
            start = file.tell()
            size = os.fstat(file.fileno()).st_size
    except Exception:  # there is no end to what NumPy raises on a damaged header
        header = None
    if header != (shape, False, np.dtype(np.uint8)) or size != start + math.prod(shape):
        raise DataError(
            f"{path} is damaged in its header; run: vaedis data prepare {again(path.parent.name, path.stem)}."
        )
    return start


def again(name: str, origin: str) -> str:
    """Return the arguments of ``vaedis data prepare`` that make a file of images anew."""
    return f"{name} --force" if origin == "original" else f"{name} --origin {origin} --force"


class Stored(FactorData):
    """Images that lie in one file on disk, read by index; the file is mapped into memory, and only
    what is asked for is read.

    Parameters
    ----------
    benchmark : Benchmark
        The data set.
    path : Path
        The ``.npy`` file that `write` has written.
    in_memory : bool, optional
        Keep all images in memory, on the data set's device. By default that is done on a GPU, for
        data sets of up to a gibibyte, which Cars3D and SmallNORB are.

    Raises
    ------
    DataError
        If the file is not there, or not complete.
    """

    OPTIONS = ("in_memory",)

    def __init__(self, benchmark: Benchmark, path: Path, *, in_memory: bool | None = None):
        if in_memory not in (None, True, False):
            raise ValueError(f"in_memory must be True, False or None, not {in_memory!r}.")
        facts = read_facts(path)
        if facts is None or tuple(facts["shape"]) != benchmark.stored_shape:
            command = f"vaedis data prepare {again(benchmark.name, path.stem)}"
            raise DataError(f"{path} does not hold the images of {benchmark.name}; run: {command}.")
        self.name, self.origin, self.shape = benchmark.name, facts["origin"], benchmark.shape
        self.factors = FactorSpace(tuple(benchmark.factors), tuple(benchmark.factors.values()))
        # a stand-in's own, since the published constants are those of other images
        published = self.origin == "original"
        self.mean = benchmark.mean if published else tuple(facts["mean"])
        self.std = benchmark.std if published else tuple(facts["std"])
        self.path, self.facts = path, facts
        self._in_memory = in_memory
        self._mapped: np.ndarray | None = None
        self._kept: Tensor | None = None

    def _open(self) -> np.ndarray:
        if self._mapped is None:
            shape = tuple(self.facts["shape"])
            self._mapped = np.memmap(
                self.path, np.uint8, mode="r", offset=_start(self.path, shape), shape=shape
            )
        return self._mapped

    def _images(self, index: Tensor) -> Tensor:
        mapped = self._open()
        keep = (
            self.device.type != "cpu" and mapped.size <= KEPT_ON_DEVICE
            if self._in_memory is None
            else self._in_memory
        )
        if keep and self._kept is None:
            self._kept = torch.from_numpy(np.array(mapped)).to(self.device)
        if self._kept is not None:
            return self._kept.index_select(0, index)
        pinned = self.device.type == "cuda"
        images = torch.empty((len(index), *self.shape), dtype=torch.uint8, pin_memory=pinned)
        # indices are in range already; with another mode numpy would read into a buffer first
        np.take(mapped, index.cpu().numpy(), axis=0, out=images.numpy(), mode="clip")
        return images.to(self.device, non_blocking=pinned)

    def _move(self) -> None:
        self._kept = None

    def __getstate__(self) -> dict[str, Any]:
        # a copy, or another process, maps the file itself
        return self.__dict__ | {"_mapped": None, "_kept": None}


def _header(shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "|u1", "fortran_order": False, "shape": tuple(shape)}
    )
    return buffer.getvalue()


def _facts_path(path: Path) -> Path:
    return path.with_suffix(".json")


class _Moments:
    """Gathers, block by block and in whole numbers, the mean of each channel and the mean of the
    images' own unbiased stds.
    """

    def __init__(self, shape: tuple[int, ...]):
        self.images, self.pixels = shape[0], math.prod(shape[1:3])
        self.total, self.stds = np.zeros(shape[3], np.int64), np.zeros(shape[3])

    def add(self, block: np.ndarray) -> None:
        n = self.pixels
        for start in range(0, len(block), 64):
            images = block[start : start + 64]
            # channel by channel, where sums are several times as fast; 64×64 squares of 255 fit
            # into 32 bits
            x = np.ascontiguousarray(images.reshape(len(images), n, -1).transpose(0, 2, 1)).astype(
                np.uint32
            )
            total, squares = (
                x.sum(-1).astype(np.int64),
                np.einsum("ncp,ncp->nc", x, x).astype(np.int64),
            )
            self.total += total.sum(0)
            self.stds += np.sqrt((n * squares - total**2) / (n * (n - 1))).sum(0)

    def result(self) -> tuple[list[float], list[float]]:
        return (self.total / (self.images * self.pixels * 255)).tolist(), (
            self.stds / (self.images * 255)
        ).tolist()
