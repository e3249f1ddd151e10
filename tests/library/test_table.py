"""A reader's own images and labels: what is a grid, what is not, and what is refused."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import vaedis as vd
from vaedis.data import LabelledImages
from vaedis.training import inspect

COLOUR, SIZE = np.meshgrid(np.arange(3), np.arange(4), indexing="ij")
GRID = np.stack([COLOUR.ravel(), SIZE.ravel()], 1)


def pictures(labels):
    """Images of 4×5 pixels that are filled by a number made of their labels."""
    return np.broadcast_to(
        (10 * labels[:, 0] + labels[:, 1]).astype(np.uint8)[:, None, None], (len(labels), 4, 5)
    )


def test_a_shuffled_grid_is_a_data_set_in_the_factors_order():
    order = np.random.default_rng(0).permutation(12)
    data = LabelledImages(pictures(GRID[order]), GRID[order], ["colour", "size"])
    assert data.grid
    assert data.factors.names == ("colour", "size")
    assert (data.factors.sizes, data.shape, len(data)) == ((3, 4), (4, 5, 1), 12)
    index = torch.tensor([7, 0, 11, 7])
    assert data.images(index)[:, 0, 0, 0].tolist() == [13, 0, 23, 13]
    assert data.to_factors(index).tolist() == [[1, 3], [0, 0], [2, 3], [1, 3]]
    assert (
        data.traversals("size").tolist()
        == data.factors.traversal("size", data.factors.traversal_bases("size")).tolist()
    )


def test_without_a_grid_groups_differ_in_one_factor_only():
    kept = [0, 1, 3, 4, 6, 11]  # (0,0) (0,1) (0,3) (1,0) (1,2) (2,3)
    labels = np.concatenate([GRID[kept], GRID[[1]]])  # and one of them twice
    data = LabelledImages(pictures(labels), labels, ["colour", "size"])
    assert not data.grid
    assert data.traversals("size").tolist() == [[0, 1, -1, 2], [3, -1, 4, -1]]
    assert data.traversals("colour").tolist() == [[0, 3, -1], [2, -1, 5]]
    assert data.images(torch.tensor([4, 6]))[:, 0, 0, 0].tolist() == [12, 1]
    assert len(data.traversals("size", 1)) == 1
    with pytest.raises(ValueError, match="index 7 is out of range; there are 7 observations"):
        data.images(torch.tensor([7]))


def test_groups_of_many_factors_are_those_of_a_plain_loop():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, (200, 4))
    data = LabelledImages(np.zeros((200, 2, 2), np.uint8), labels)
    for f in range(4):
        groups = {}
        for row in range(199, -1, -1):
            groups.setdefault(tuple(np.delete(labels[row], f)), {})[labels[row, f]] = row
        wanted = sorted([g.get(v, -1) for v in range(3)] for g in groups.values() if len(g) > 1)
        assert sorted(data.traversals(f"factor_{f}").tolist()) == wanted


def test_values_of_any_kind_are_coded_in_their_order_and_constant_factors_left_out():
    labels = np.array([["b", "x", "10"], ["a", "x", "10"], ["c", "x", "9"]])
    data = LabelledImages(np.zeros((3, 2, 2), bool), labels, ["letter", "same", "number"])
    assert data.constant == ("same",)
    assert data.codes.tolist() == [[1, 1], [0, 1], [2, 0]]
    assert data.values["letter"].tolist() == ["a", "b", "c"]
    assert LabelledImages(
        np.zeros((3, 2, 2), np.uint8), np.array([2.5, -1.0, 0.0])
    ).codes.ravel().tolist() == [2, 0, 1]


def test_numbers_that_are_stored_as_text_are_ordered_as_numbers():
    text = ["10", "2", "1", "0", "11", "1.0"]
    for dtype in ("U", "S", object):
        data = LabelledImages(np.zeros((6, 2, 2)), np.array(text, dtype))
        assert data.codes.ravel().tolist() == [4, 3, 1, 0, 5, 2]
        assert [float(v) for v in data.values["factor_0"]] == [0, 1, 1, 2, 10, 11]
    # one that is no number, and all of them are words
    assert LabelledImages(np.zeros((3, 2, 2)), ["10", "9", "x"]).codes.ravel().tolist() == [0, 1, 2]


def test_labels_may_be_python_objects_of_one_kind_for_each_factor():
    labels = np.array([["b", 10, 0.5], ["a", 9, 1], ["c", 9, 0.5]], object)
    data = LabelledImages(np.zeros((3, 2, 2)), labels)
    assert data.codes.tolist() == [[1, 1, 0], [0, 0, 1], [2, 0, 0]]
    with pytest.raises(
        ValueError,
        match=r"each factor's all of one kind, but column 0 \(factor_0\) holds str, int",
    ):
        LabelledImages(np.zeros((3, 2, 2)), np.array(["a", 3, "b"], object))


@pytest.mark.parametrize("n", [12, 5_000])
def test_bytes_of_0_and_1_are_truth_values_as_in_the_files_of_dsprites(n):
    x = np.zeros((n, 2, 2), np.uint8)
    assert LabelledImages(x, np.arange(n)).images(torch.arange(2))[:, 0, 0, 0].tolist() == [0, 0]
    x[::2] = 1
    for same in (x, x.astype(bool)):
        assert LabelledImages(same, np.arange(n)).images(torch.arange(2))[:, 0, 0, 0].tolist() == [
            255,
            0,
        ]
    x[::3] = 2
    assert LabelledImages(x, np.arange(n)).images(torch.arange(4))[:, 0, 0, 0].tolist() == [
        2,
        0,
        1,
        2,
    ]


def test_other_bytes_among_truth_values_are_refused_where_they_are_met():
    x = np.ones((5_000, 2, 2), np.uint8)
    sampled = LabelledImages(x, np.arange(5_000))._sample().tolist()
    missed = next(k for k in range(5_000) if k not in sampled)
    x[missed] = 7
    data = LabelledImages(x, np.arange(5_000))
    with pytest.raises(ValueError, match="bytes of 0 and 1 in most rows and others in some"):
        data.images(torch.tensor([missed]))


@pytest.mark.parametrize(
    ("labels", "values"),
    [
        (np.array(["10", "9", "x"], np.dtypes.StringDType()), ["10", "9", "x"]),
        (np.array([b"b", b"a", b"c"], object), ["a", "b", "c"]),
        (np.array([np.True_, np.False_, np.True_], object), [0, 1]),
    ],
)
def test_labels_of_any_type_of_text_are_read(labels, values):
    assert LabelledImages(np.zeros((3, 2, 2)), labels, ["what"]).values["what"].tolist() == values


def test_labels_too_large_for_64_bits_are_one_sentence():
    with pytest.raises(ValueError, match=f"labels must fit 64 bits, but one is {2**70}"):
        LabelledImages(np.zeros((3, 2, 2)), np.array([0, 1, 2**70], object))


def test_floats_stay_as_they_are_and_truth_values_become_bytes():
    x = np.array([0.0, 0.501, 1.0])[:, None, None] * np.ones((3, 2, 2))
    images = LabelledImages(x, [0, 1, 2]).images(torch.arange(3))
    assert images.dtype == torch.float32
    assert images[:, 0, 0, 0].tolist() == [0, np.float32(0.501), 1]
    assert LabelledImages(x > 0.4, [0, 1, 2]).images(torch.arange(3))[:, 0, 0, 0].tolist() == [
        0,
        255,
        255,
    ]


def test_constants_are_those_of_the_paper():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (5, 3, 4, 2)).astype(np.uint8)
    data = LabelledImages(x, np.arange(5))
    unit = x / 255
    np.testing.assert_allclose(data.mean, unit.mean((0, 1, 2)))
    np.testing.assert_allclose(data.std, unit.reshape(5, -1, 2).std(1, ddof=1).mean(0))


@pytest.mark.parametrize(
    ("images", "labels", "says"),
    [
        (
            np.zeros((3, 2, 2), np.uint8),
            np.arange(4),
            "one row of labels for each of the 3 images, not 4",
        ),
        (np.zeros((3, 2), np.uint8), np.arange(3), r"must have the shape \(n, height, width\)"),
        (np.zeros((3, 2, 2, 7), np.uint8), np.arange(3), "1 to 4 channels"),
        (
            np.zeros((3, 2, 2), complex),
            np.arange(3),
            "must hold bytes, truth values or floats, not complex128",
        ),
        (np.zeros((3, 2, 2), np.uint8), np.zeros(3), "Every factor has one value only"),
        (
            np.zeros((3, 2, 2), np.uint8),
            np.array([0, np.nan, 1]),
            r"labels must be finite, but row 1, column 0 \(factor_0\) is nan",
        ),
        (
            np.zeros((3, 2, 2), np.uint8),
            np.array([{}, 1, 2], object),
            "labels must be numbers, text or dates",
        ),
        (
            np.zeros((3, 2, 2), np.uint8),
            np.zeros((3, 2, 2)),
            r"the shape \(images,\) or \(images, factors\)",
        ),
    ],
)
def test_what_does_not_fit_is_one_sentence(images, labels, says):
    with pytest.raises(ValueError, match=says):
        LabelledImages(images, labels)


def test_pixels_that_are_no_pixels_are_named():
    x = np.zeros((3, 2, 2))
    x[1, 0, 1] = np.nan
    with pytest.raises(ValueError, match="Image 1 has NaN pixels"):
        LabelledImages(x, [0, 1, 2]).images(torch.arange(3))
    x[1, 0, 1] = np.inf
    with pytest.raises(ValueError, match="Image 1 has infinite pixels"):
        LabelledImages(x, [0, 1, 2]).images(torch.arange(3))
    x[1, 0, 1] = 0
    with pytest.raises(ValueError, match="a name for each of the 1 factors, not 2"):
        LabelledImages(x, [0, 1, 2], ["a", "b"])


def test_without_a_grid_an_index_is_a_row_for_networks_too(listed):
    data, table = listed
    rows = torch.arange(128)
    index = data.factors.to_index(table.to_factors(rows))
    assert torch.equal(table.images(rows), data.images(index))
    assert torch.equal(
        table.observations(rows, normalize=False), data.observations(index, normalize=False)
    )
    assert set(table.draw(5_000, generator=torch.Generator().manual_seed(0)).tolist()) == set(
        range(128)
    )
    with pytest.raises(ValueError, match="index 128 is out of range; there are 128 observations"):
        table.observations(torch.tensor([0, 128]))
    for call in (table.images, table.observations, table.to_factors):
        with pytest.raises(ValueError, match="an index must be of an integer type"):
            call(torch.tensor([0.5]))


def test_without_a_grid_networks_train_on_images_but_not_on_pairs(listed):
    _, table = listed
    spec = vd.RunSpec(model="mlp", model_options={"hidden": []}, latents=2, steps=2, batch=100)
    run = vd.fit(spec.replace(framework="beta-vae"), data=table, device="cpu")
    assert run.posterior(torch.arange(128))[0].shape == (128, 2)
    with pytest.raises(
        ValueError,
        match=r"pairs of images that share factors .* whose 128 images do not hold each of the 64 combinations",
    ):
        vd.fit(spec.replace(framework="ada-gvae"), data=table, device="cpu")


def test_what_needs_every_combination_is_refused_without_it(listed):
    _, table = listed
    run = SimpleNamespace(data=table, loss=vd.losses.get("mse"), normalize=False)
    for call in (
        lambda: table.exact_bases("x_R"),
        lambda: vd.data.Coordinates(table),
        lambda: inspect.level_matrices(run, "x_R"),
        lambda: inspect.factor_learning(run),
        lambda: vd.distances.pair_distances(table, "x_R"),
        lambda: vd.distances.pair_agreement(table, "x_R"),
    ):
        with pytest.raises(
            ValueError,
            match="cannot be had of 'mine', whose 128 images do not hold each of the 64 combinations",
        ):
            call()


def test_a_channel_or_image_of_one_colour_is_left_as_it_is():
    x = np.zeros((3, 2, 2, 2), np.uint8)
    x[:, 0, 0, 0], x[..., 1] = [10, 20, 30], 77
    data = LabelledImages(x, np.arange(3))
    assert data.std[0] > 0
    assert (data.mean[1], data.std[1]) == (pytest.approx(77 / 255), 1.0)
    assert torch.isfinite(data.observations(torch.arange(3))).all()
    # the std of one pixel is not known
    assert LabelledImages(x[:, :1, :1], np.arange(3)).std == (1.0, 1.0)
