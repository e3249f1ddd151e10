"""Indices in the forms that people have: the same images, or one sentence."""

import numpy as np
import pandas as pd
import pytest
import torch

import vaedis as vd

GRID = vd.load("xysquares", image_size=12, square_size=3, grid_size=3, num_squares=1)
ROWS = vd.LabelledImages(
    np.arange(20, dtype=np.uint8)[:, None, None] * np.ones((3, 3), np.uint8), np.arange(20) // 2
)


@pytest.mark.parametrize(
    "index",
    [
        slice(1, 6, 2),
        (1, 3, 5),
        pd.Series([1, 3, 5], index=[7, 8, 9]),
        pd.Series([1, 3, 5], dtype=object),
        pd.Series([1, 3, 5], dtype="Int64"),
        pd.Index([1, 3, 5]),
        np.array([1, 3, 5], ">i4"),
        np.array([5, 3, 1], np.uint16)[::-1],
        np.array([1, 3, 5], np.uint64),
        [torch.tensor(1), np.int8(3), 5],
    ],
)
@pytest.mark.parametrize("data", [GRID, ROWS])
def test_forms_of_an_index(data, index):
    expected = data.images([1, 3, 5])
    assert torch.equal(data.images(index), expected)
    assert torch.equal(data[index], expected)
    assert torch.equal(data.observations(index), data.observations([1, 3, 5]))
    assert torch.equal(data.to_factors(index), data.to_factors([1, 3, 5]))
    assert vd.distances.perceived(data, index, index).tolist() == [0, 0, 0]
    part = vd.data.Relabelled(data, {"a": range(3)}, index=index)
    assert torch.equal(part[:], expected)


@pytest.mark.parametrize(
    ("index", "error", "says"),
    [
        ("0", ValueError, "an index must be whole numbers, and none missing or text"),
        (["a"], ValueError, "an index must be whole numbers, and none missing or text"),
        ([None], ValueError, "an index must be whole numbers, and none missing or text"),
        ({1}, TypeError, "an index must be whole numbers, not a set"),
        ([10**30], ValueError, "an index must be whole numbers of at most 64 bits"),
        (np.array([2**63], np.uint64), ValueError, "of at most 64 bits"),
        ([[1], [2, 3]], ValueError, "an index must be whole numbers in rows of one length"),
        (pd.Series([1.5]), ValueError, "an index must be of an integer type, not float64"),
        ([True, False], ValueError, "an index must be of an integer type, not bool"),
        (np.ma.array([1, 2], mask=[0, 1]), ValueError, "an index must not be masked"),
        (slice(0, 2, 0), ValueError, "slice step cannot be zero"),
    ],
)
def test_what_is_no_index_is_one_sentence(index, error, says):
    for use in (GRID.images, ROWS.images, GRID.factors.to_factors):
        with pytest.raises(error, match=says):
            use(index)


def test_a_generator_is_one_of_torch():
    with pytest.raises(TypeError, match=r"generator must be a torch\.Generator, such as"):
        GRID.factors.sample(3, generator=5)
