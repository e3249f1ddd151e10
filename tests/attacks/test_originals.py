"""Files that are not the originals: none reaches a reader by the command."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

import toy_data

from vaedis.data import DataError, prepare
from vaedis.data.originals import readers


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
