"""Files that are not the originals: none reaches a reader by the command, and damage of one that
does is one sentence.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

import toy_data
from original_files import write_smallnorb

from vaedis.data import DataError, prepare
from vaedis.data.originals import readers
from vaedis.data.originals.readers import (
    read_dsprites,
    read_shapes3d,
    read_smallnorb,
)

h5py = pytest.importorskip("h5py")


def test_a_file_without_the_right_digest_reaches_no_reader(tmp_path, monkeypatch):
    toy_data.install(monkeypatch, tmp_path / "cache")
    monkeypatch.setitem(readers.READERS, "toy", lambda *_: pytest.fail("it was read"))
    wrong = bytes(len(toy_data.CONTENT))
    (tmp_path / toy_data.FILE).write_bytes(wrong)
    with pytest.raises(DataError, match="another sha256 sum"):
        prepare.prepare("toy", source=tmp_path)
    # nor does one that is in the cache already
    (tmp_path / "cache" / "toy" / "files" / toy_data.FILE).write_bytes(wrong)
    with pytest.raises(DataError, match="another sha256 sum"):
        prepare.prepare("toy", source=tmp_path)


def small_originals(folder: Path) -> dict:
    """Small files of each format, and what reads them."""
    rng = np.random.default_rng(0)
    with h5py.File(folder / "d.hdf5", "w") as file:
        sprites = rng.integers(0, 2, (12, 64, 64), np.uint8)
        file.create_dataset("imgs", data=sprites, chunks=(12, 8, 8), compression="gzip")
    with h5py.File(folder / "s.h5", "w") as file:
        file.create_dataset("images", data=rng.integers(0, 256, (2, 64, 64, 3), np.uint8))
    labels = np.array(
        [(a, b, 0, c, d) for a in range(2) for b in (4, 6) for c in (0, 2) for d in range(2)]
    )
    norb = [folder / f"n-{part}.mat.gz" for part in ("dat", "cat", "info")]
    write_smallnorb(*norb, rng.integers(0, 256, (16, 2, 96, 96), np.uint8), labels)
    return {
        "d.hdf5": lambda: read_dsprites([folder / "d.hdf5"], (3, 2, 2, 1, 1)),
        "s.h5": lambda: read_shapes3d([folder / "s.h5"], (2, 1, 1, 1, 1, 1)),
        "n-cat.mat.gz": lambda: read_smallnorb(norb, (2, 2, 1, 2, 2)),
        "n-info.mat.gz": lambda: read_smallnorb(norb, (2, 2, 1, 2, 2)),
    }


@pytest.mark.parametrize("file", ["d.hdf5", "s.h5", "n-cat.mat.gz", "n-info.mat.gz"])
def test_damage_is_one_sentence_that_names_the_file_or_does_no_harm(tmp_path, file):
    read = small_originals(tmp_path)[file]
    whole = (tmp_path / file).read_bytes()
    rng = np.random.default_rng(0)
    refusals = 0
    for number in range(200):
        damaged = bytearray(whole)
        if number % 4 == 0:
            damaged = damaged[: rng.integers(0, len(whole))]
        else:
            # mostly where the headers are
            end = min(len(whole), 4096) if number % 2 else len(whole)
            damaged[rng.integers(0, end)] = rng.integers(0, 256)
        (tmp_path / file).write_bytes(damaged)
        try:
            blocks = list(read())
        except ValueError as problem:
            refusals += 1
            message = str(problem)
        else:
            message = file
            assert all(block.dtype == np.uint8 for block in blocks)
        assert file in message
        assert "\n" not in message
    assert refusals > 50
