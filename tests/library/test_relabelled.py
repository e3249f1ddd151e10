"""The same images under other factors: what an index shows, what is refused, and what perceived
distances make of it.
"""

import numpy as np
import pytest
import torch

import vaedis as vd


@pytest.fixture
def square():
    return vd.load("xysquares", num_squares=1, rgb=False)


def test_each_combination_shows_the_image_whose_columns_say_so(square):
    x, y = square.factors.to_factors(torch.arange(64)).T
    view = vd.Relabelled(square, {"row": y, "sum": (x + y) % 8})
    assert view.factors.names == ("row", "sum")
    index = torch.tensor([view.factors.to_index(torch.tensor([3, 1]))])
    expected = square.images(square.factors.to_index(torch.tensor([[(1 - 3) % 8, 3]])))
    assert torch.equal(view.images(index), expected)
    assert torch.equal(view.observations(index)[0, 0] > 0, expected[0, ..., 0] > 0)


def test_columns_may_be_lists_and_arrays_and_images_rows_of_what_is_no_grid(square, listed):
    expected = vd.Relabelled(square, {"a": torch.arange(64) // 2, "b": torch.arange(64) % 2})
    for kind in (torch.Tensor.numpy, torch.Tensor.tolist):
        data = vd.Relabelled(
            square,
            {"a": kind(torch.arange(64) // 2), "b": kind(torch.arange(64) % 2)},
            index=kind(torch.arange(64)),
        )
        assert torch.equal(data.images(torch.arange(64)), expected.images(torch.arange(64)))
    _, table = listed
    rows = torch.tensor([127, 3, 90, 64])
    part = vd.Relabelled(table, {"row": range(4)}, index=rows)
    assert torch.equal(part.images(torch.arange(4)), table.images(rows))
    assert torch.equal(part.observations(torch.arange(4)), table.observations(rows))


def test_part_of_a_data_set_may_be_relabelled():
    data = vd.load("xysquares")
    index = data.factors.traversal("y_G", 77)
    view = vd.Relabelled(data, {"upwards": torch.arange(7, -1, -1)}, index=index)
    assert torch.equal(view.images(torch.tensor([0])), data.images(index[-1:]))


@pytest.mark.parametrize(
    "columns",
    [
        {"x": torch.arange(64) // 8},
        {"x": torch.arange(64) // 8, "y": torch.arange(64) // 8},
        {"x": torch.arange(32)},
        {"x": torch.arange(64) - 1},
    ],
)
def test_columns_that_do_not_fill_a_grid_are_refused(square, columns):
    with pytest.raises(ValueError, match="images"):
        vd.Relabelled(square, columns)


def test_no_labelling_orders_distances_that_are_all_equal(square):
    found = vd.distances.traversal_matrices(vd.Relabelled(square, {"position": torch.arange(64)}))[
        "position"
    ]
    assert vd.distances.agreement(found).adversarial


def test_a_circle_agrees_with_circular_ground_truth_only():
    angle = 2 * np.pi * np.arange(12) / 12
    points = np.stack([np.cos(angle), np.sin(angle)], -1)
    matrix = ((points[:, None] - points) ** 2).sum(-1)
    line = vd.distances.ground_truth_matrix(12)
    assert vd.distances.agreement(matrix, truth=np.minimum(line, 12 - line)).rank == pytest.approx(
        1
    )
    assert vd.distances.agreement(matrix).rank < 0.8
    with pytest.raises(ValueError, match="shape"):
        vd.distances.agreement(matrix, truth=line[:3])


@pytest.mark.parametrize(
    ("column", "says"),
    [
        (["a", "b"] * 32, "the values of factor 'position' must be whole numbers"),
        (np.array(["a", "b"] * 32), "the values of factor 'position' must be whole numbers"),
        (torch.arange(64) / 64, "the values of factor 'position' must be of an integer type"),
        ([[0, 1], [2]], "the values of factor 'position' must be whole numbers"),
    ],
)
def test_columns_that_are_no_codes_are_one_sentence(square, column, says):
    with pytest.raises(ValueError, match=says):
        vd.data.Relabelled(square, {"position": column})


def test_a_part_without_images_is_one_sentence(square):
    with pytest.raises(ValueError, match="needs one value of at least 0 for each of 0 images"):
        vd.data.Relabelled(square, {"position": []}, index=[])


def test_images_and_labels_may_be_relabelled():
    images = np.arange(6, dtype=np.uint8)[:, None, None]
    data = vd.data.Relabelled(
        (images, [(a, b) for a in range(2) for b in range(3)]), {"all": [5, 4, 3, 2, 1, 0]}
    )
    assert data.images(torch.arange(6)).flatten().tolist() == [5, 4, 3, 2, 1, 0]


def test_images_that_do_not_stay_the_same_are_refused_as_in_their_own_data_set():
    class Restless(vd.FactorData):
        name, origin = "restless", "generated"
        factors = vd.FactorSpace(("x",), (8,))
        shape, mean, std = (2, 2, 1), (0.5,), (0.3,)

        def _images(self, index):
            return torch.randint(256, (len(index), 2, 2, 1), dtype=torch.uint8)

    for read in ("images", "observations"):
        view = vd.Relabelled(Restless(), {"b": range(8)})
        with pytest.raises(ValueError, match="_images changes its images"):
            getattr(view, read)(torch.arange(8))


def test_only_images_that_can_come_out_count_for_the_range_of_pixels():
    images = np.random.default_rng(0).random((6, 4, 4))
    images[5] += 3
    source = vd.LabelledImages(images, range(6))
    part = vd.data.Relabelled(source, {"a": range(5)}, index=range(5))
    flat = np.float32(images[:5]).astype(float).reshape(5, 16)
    by_hand = -(np.log(flat)[:, None] * flat + np.log1p(-flat)[:, None] * (1 - flat))
    along = vd.distances.factor_distances(part, "bce")["a"]
    assert along.matrix == pytest.approx(by_hand.mean(-1))
    for wrong in (
        vd.data.Relabelled(source, {"a": range(6)}),
        vd.data.Relabelled(source, {"a": range(3)}, index=[0, 5, 1]),
        vd.data.Relabelled(source, {"a": range(6)}, index=[0, 5, 1, 5, 5, 5]),
    ):
        with pytest.raises(ValueError, match=r"those of '.*' run from 0\.\d+ to 3\.\d+; rescale"):
            vd.distances.factor_distances(wrong, "bce")
