"""Images of a data set in one file, which is written once and read by index.

``<origin>.npy`` holds (n, H, W, C) uint8 in the order of the factors; ``<origin>.json`` beside it
says what it was made from and its digest. Without the second the first does not count.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaedis._files import replacing, write_text
from vaedis.data.base import FactorData
from vaedis.data.originals.catalog import Benchmark
from vaedis.data.originals.disk import DataError, progress, writing
from vaedis.factors import FactorSpace

# to be increased when conversion gives other bytes; what an older one has made is made anew
CONVERTER = 1
# up to so many bytes are kept in the memory of a GPU
CACHE_BYTES = 1 << 30


def write(
    path: Path, blocks: Iterable[np.ndarray], shape: tuple[int, ...], facts: dict[str, Any]
) -> dict[str, Any]:
    """Write blocks of images, uint8 (n, H, W, C), to a file, and facts on them beside it.

    Returns all facts. A DataError says that images do not fit `shape`, or cannot be written.
    """
    digest = hashlib.sha256()
    n_images = 0
    total = np.zeros(shape[3], np.int64)
    stds = np.zeros(shape[3])
    facts_path = path.with_suffix(".json")
    with writing(f"the converted images to {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            replacing(path) as file,
            progress(f"converting {path.parent.name}", shape[0], unit="img") as advance,
        ):
            header = {"descr": "|u1", "fortran_order": False, "shape": tuple(shape)}
            np.lib.format.write_array_header_1_0(file, header)
            for block in blocks:
                n_images += len(block)
                if block.dtype != np.uint8 or block.shape[1:] != shape[1:]:
                    problem = f"not {block.dtype} and {block.shape}"
                    raise DataError(f"{path.name}: expected uint8 images of {shape}, {problem}.")
                content = np.ascontiguousarray(block)
                file.write(content.data)
                digest.update(content.data)
                for start in range(0, len(block), 64):
                    part_total, part_stds = _moments(content[start : start + 64])
                    total += part_total
                    stds += part_stds
                advance(len(block))
            if n_images != shape[0]:
                raise DataError(f"{path.name}: expected {shape[0]:,} images, not {n_images:,}.")
            # facts must never be beside images that they do not describe
            facts_path.unlink(missing_ok=True)
        facts = facts | {
            "shape": list(shape),
            "bytes": path.stat().st_size,
            "sha256": digest.hexdigest(),
            "converter": CONVERTER,
            "mean": (total / (math.prod(shape[:3]) * 255)).tolist(),
            "std": (stds / (shape[0] * 255)).tolist(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        write_text(facts_path, json.dumps(facts, indent=1) + "\n")
    return facts


def _moments(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum of each channel's values, and that of the images' own unbiased stds."""
    n_pixels = math.prod(images.shape[1:3])
    values = images.reshape(len(images), n_pixels, -1).astype(np.int64)
    total = values.sum(1)
    squares = (values**2).sum(1)
    stds = np.sqrt((n_pixels * squares - total**2) / (n_pixels * (n_pixels - 1)))
    return total.sum(0), stds.sum(0)


def read_facts(path: Path) -> dict[str, Any] | None:
    """Return what is stored beside a file of images; None unless both are complete and current."""
    try:
        facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        is_current = (
            facts["converter"] == CONVERTER
            and facts["origin"] == path.stem
            and facts["bytes"] == path.stat().st_size
            and len(facts["mean"]) == len(facts["std"]) == facts["shape"][3]
            and all(map(math.isfinite, facts["mean"] + facts["std"]))
            and len(facts["sha256"]) == 64
        )
    except (OSError, ValueError, TypeError, LookupError, ArithmeticError, RecursionError):
        return None
    return facts if is_current else None


def is_verified(path: Path, facts: dict[str, Any]) -> bool:
    """Read a file of images, and tell whether header and digest are those of its facts."""
    try:
        images = _map(path, tuple(facts["shape"]))
    except DataError:
        return False
    return hashlib.sha256(images.data).hexdigest() == facts["sha256"]


def _map(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Map a file into memory; a DataError says that its header is not that of uint8 of `shape`."""
    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
        same_images = images.shape == shape and images.dtype == np.uint8
        # another length of the header would move where the images begin
        same_end = images.offset + images.nbytes == path.stat().st_size
        is_right = same_images and same_end and images.flags.c_contiguous
    except Exception:  # numpy raises a dozen kinds on a damaged header
        is_right = False
    if not is_right:
        command = command_to_prepare(path.parent.name, path.stem)
        raise DataError(f"{path} is damaged in its header; run: {command}.")
    return images


def command_to_prepare(name: str, origin: str) -> str:
    """Return the command that makes a file of images anew."""
    option = "" if origin == "original" else f"--origin {origin} "
    return f"vaedis data prepare {name} {option}--force"


class Stored(FactorData):
    """Read images from one file on disk by index.

    The file is mapped into memory. On a GPU, images of up to a gibibyte together are copied there
    at first use.

    Parameters
    ----------
    benchmark : Benchmark
        The data set, of `vaedis.data.originals.catalog`.
    path : Path
        The ``.npy`` file, as ``vaedis data prepare`` writes it.

    Raises
    ------
    DataError
        If the file is not there, not complete, or of another data set.

    Examples
    --------
    Usually `vaedis.load` makes it. Here are four images in a file of their own:

    >>> import tempfile
    >>> benchmark = Benchmark("toy", {"row": 2, "column": 2}, (8, 8, 1), (0.5,), (0.5,), ())
    >>> images = np.arange(4, dtype=np.uint8).repeat(64).reshape(4, 8, 8, 1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "original.npy"
    ...     facts = write(path, [images], images.shape, {"origin": "original"})
    ...     data = Stored(benchmark, path)
    ...     data.images(torch.tensor([3, 1]))[:, 0, 0, 0]
    tensor([3, 1], dtype=torch.uint8)
    """

    def __init__(self, benchmark: Benchmark, path: Path):
        facts = read_facts(path)
        if facts is None or tuple(facts["shape"]) != benchmark.stored_shape:
            command = command_to_prepare(benchmark.name, path.stem)
            raise DataError(f"{path} does not hold the images of {benchmark.name}; run: {command}.")
        self.name = benchmark.name
        self.origin = facts["origin"]
        self.shape = benchmark.shape
        self.factors = FactorSpace(tuple(benchmark.factors), benchmark.sizes)
        self.path = path
        self.facts = facts
        self._benchmark = benchmark
        self._mapped: np.ndarray | None = None
        self._cache: Tensor | None = None

    @functools.cached_property
    def _moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return `mean` and `std` as published, or of a stand-in, as measured when it was made."""
        if self.origin == "original":
            return self._benchmark.mean, self._benchmark.std
        return tuple(self.facts["mean"]), tuple(self.facts["std"])

    def _images(self, index: Tensor) -> Tensor:
        if self._mapped is None:
            self._mapped = _map(self.path, tuple(self.facts["shape"]))
        mapped = self._mapped
        if self.device.type != "cpu" and mapped.size <= CACHE_BYTES:
            if self._cache is None:
                self._cache = torch.from_numpy(np.array(mapped)).to(self.device)
            return self._cache.index_select(0, index)
        return torch.from_numpy(np.asarray(mapped)[index.cpu().numpy()]).to(self.device)

    def _move(self) -> None:
        self._cache = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the images: a copy, or another process, maps the file itself."""
        return vars(self) | {"_mapped": None, "_cache": None}
