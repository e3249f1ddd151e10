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
        # equal numbers are one value
        assert data.codes.ravel().tolist() == [3, 2, 1, 0, 4, 1]
        assert list(data.values["factor_0"]) == ["0", "1", "2", "10", "11"]
    # one that is no number, and all of them are words
    assert LabelledImages(np.zeros((3, 2, 2)), ["10", "9", "x"]).codes.ravel().tolist() == [0, 1, 2]


def test_constants_are_those_of_the_paper():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (5, 3, 4, 2)).astype(np.uint8)
    data = LabelledImages(x, np.arange(5))
    unit = x / 255
    np.testing.assert_allclose(data.mean, unit.mean((0, 1, 2)))
    np.testing.assert_allclose(data.std, unit.reshape(5, -1, 2).std(1, ddof=1).mean(0))


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
