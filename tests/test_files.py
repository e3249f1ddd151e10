"""Reading a reader's own files: .npz, HDF5, MATLAB 7.3, .npy and folders of pictures; right, or refused in one sentence."""

import numpy as np
import pytest
import torch

from vaedis.data import read_table

COLOUR, SIZE = np.meshgrid(np.arange(3), np.arange(4), indexing="ij")
GRID = np.stack([COLOUR.ravel(), SIZE.ravel()], 1)


def pictures(labels):
    """Images of 4×5 pixels that are filled by a number made of their labels."""
    return np.broadcast_to((10 * labels[:, 0] + labels[:, 1]).astype(np.uint8)[:, None, None], (len(labels), 4, 5))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_files_are_read(tmp_path, save):
    path = tmp_path / "mine.npz"
    save(path, images=pictures(GRID), factors=GRID, factor_names=np.array(["colour", "size"]))
    data = read_table(path)
    assert (data.name, data.factors.names, data.grid) == ("mine", ("colour", "size"), True)
    assert data.images(torch.tensor([5]))[0, 0, 0, 0] == 11
    assert read_table(path, names=["a", "b"]).factors.names == ("a", "b")


def test_large_arrays_are_read_from_a_file_that_is_gone_afterwards(tmp_path, monkeypatch):
    monkeypatch.setattr("vaedis.data._own.IN_MEMORY", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    np.savez_compressed(tmp_path / "mine.npz", images=pictures(GRID), factors=GRID)
    data = read_table(tmp_path / "mine.npz")
    assert isinstance(data._source, np.memmap)
    assert data.images(torch.tensor([5]))[0, 0, 0, 0] == 11
    assert [p.name for p in tmp_path.iterdir()] == ["mine.npz"]


def test_hdf5_files_are_read_by_rows(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        file["x"], file["y"] = pictures(GRID), GRID
        file["names"] = ["colour", "size"]
    data = read_table(tmp_path / "mine.h5")
    assert data.factors.names == ("colour", "size")
    assert data.images(torch.tensor([5, 2, 5]))[:, 0, 0, 0].tolist() == [11, 2, 11]


def test_hdf5_labels_may_be_text(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        file["images"], file["factors"], file["names"] = np.zeros((3, 2, 2)), ["red", "blue", "red"], "colour"
    data = read_table(tmp_path / "mine.h5")
    assert (data.factors.names, data.codes.ravel().tolist()) == (("colour",), [1, 0, 1])


def test_a_lone_name_is_one_name_and_a_lone_label_is_refused(tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, images=np.zeros((3, 2, 2)), factors=np.arange(3), factor_names="colour")
    assert read_table(path).factors.names == ("colour",)
    assert read_table(path, names="size").factors.names == ("size",)
    np.savez(path, images=np.zeros((3, 2, 2)), factors=3)
    with pytest.raises(ValueError, match=r"labels must have the shape \(images,\) or \(images, factors\), not \(\)"):
        read_table(path)


def test_files_that_are_not_what_they_should_be(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, images=pictures(GRID), other=GRID)
    with pytest.raises(ValueError, match=r"no array for labels \(one of factors, labels, .*it has: images, other"):
        read_table(path)
    with pytest.raises(ValueError, match=r"no array 'pics'; it has: images, other"):
        read_table(path, images="pics")
    np.savez(path, images=np.array([{}, {}], object), factors=np.arange(2))
    with pytest.raises(ValueError, match="holds Python objects in 'images', which are never unpickled"):
        read_table(path)
    np.savez(path, images=pictures(GRID), factors=GRID)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"is a damaged \.npz file"):
        read_table(path)
    path.write_text("images")
    with pytest.raises(ValueError, match=r"is neither an \.npz nor an HDF5 file"):
        read_table(path)
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / "none.npz")
