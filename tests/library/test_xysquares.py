"""XYSquares: where the squares lie, which factor moves which, and the exact normalisation
constants.
"""

import hashlib
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

import vaedis as vd
from vaedis.data import FactorData, XYSquares, resolve_device
from vaedis.factors import FactorSpace

# spacing: (first pixel of each of the 8 positions, margin at the far side); squares of 8 pixels in
# an image of 64
LAYOUT = {
    8: ((0, 8, 16, 24, 32, 40, 48, 56), 0),
    7: ((3, 10, 17, 24, 31, 38, 45, 52), 4),
    6: ((7, 13, 19, 25, 31, 37, 43, 49), 7),
    5: ((10, 15, 20, 25, 30, 35, 40, 45), 11),
    4: ((14, 18, 22, 26, 30, 34, 38, 42), 14),
    3: ((17, 20, 23, 26, 29, 32, 35, 38), 18),
    2: ((21, 23, 25, 27, 29, 31, 33, 35), 21),
    1: ((24, 25, 26, 27, 28, 29, 30, 31), 25),
}


def extent(picture: np.ndarray) -> tuple[int, int, int, int]:
    """First row, rows, first column and columns of the foreground of (H, W), which must be a filled
    rectangle of 255 on 0.
    """
    rows, columns = np.flatnonzero(picture.any(1)), np.flatnonzero(picture.any(0))
    top, left = rows[0], columns[0]
    expected = np.zeros_like(picture)
    expected[top : rows[-1] + 1, left : columns[-1] + 1] = 255
    np.testing.assert_array_equal(picture, expected)
    return int(top), len(rows), int(left), len(columns)


@pytest.mark.parametrize("spacing", LAYOUT)
def test_the_eight_positions_lie_where_the_paper_has_them(spacing):
    data = vd.load("xysquares", grid_spacing=spacing)
    assert len(data) == 8**6
    assert data.factors.sizes == (8,) * 6
    first, margin = LAYOUT[spacing]
    assert data.first_pixel == first
    for factor, axis in (("x_R", 2), ("y_R", 0), ("x_G", 2), ("y_G", 0), ("x_B", 2), ("y_B", 0)):
        channel = "RGB".index(factor[-1])
        pictures = data.images(data.factors.traversal(factor, 0))[..., channel].numpy()
        found = [extent(p) for p in pictures]
        # x moves the column, y the row, and the other coordinate stays at its first place
        assert tuple(e[axis] for e in found) == first
        assert {e[2 - axis] for e in found} == {first[0]}
        assert all(e[1] == e[3] == 8 for e in found)
        assert 64 - (found[-1][axis] + 8) == margin


def test_factors_are_x_before_y_square_by_square():
    assert XYSquares().factors.names == ("x_R", "y_R", "x_G", "y_G", "x_B", "y_B")
    assert XYSquares(num_squares=2).factors.names == ("x_R", "y_R", "x_G", "y_G")
    assert XYSquares(num_squares=1).factors.names == ("x_R", "y_R")


def test_moving_one_factor_changes_its_channel_only():
    data = XYSquares()
    for f, name in enumerate(data.factors.names):
        x = data.images(data.factors.traversal(name, 8**6 // 3))
        changed = (x != x[:1]).any(0).any(0).any(0)
        assert changed.tolist() == [c == f // 2 for c in range(3)]


def test_images_are_zeros_and_255s_of_height_width_channels():
    x = XYSquares().images(torch.tensor([0, 262_143]))
    assert x.shape == (2, 64, 64, 3)
    assert x.dtype == torch.uint8
    assert set(x.unique().tolist()) == {0, 255}
    assert ((x == 255).sum((1, 2)) == 64).all()


# spacing: positions, first pixel
ALL_THAT_FIT = {
    8: (8, 0),
    7: (9, 0),
    6: (10, 1),
    5: (12, 0),
    4: (15, 0),
    3: (19, 1),
    2: (29, 0),
    1: (57, 0),
}


@pytest.mark.parametrize("spacing", ALL_THAT_FIT)
def test_without_a_grid_size_there_are_as_many_positions_as_fit(spacing):
    positions, first = ALL_THAT_FIT[spacing]
    data = XYSquares(grid_spacing=spacing, grid_size=None)
    assert data.factors.sizes == (positions,) * 6
    assert extent(data.images(torch.tensor([0]))[0, ..., 0].numpy())[0] == first


@pytest.mark.parametrize(("side", "positions"), [(1, 64), (2, 32), (4, 16), (8, 8)])
def test_spacing_is_the_squares_side_unless_given(side, positions):
    data = XYSquares(square_size=side, grid_size=None, num_squares=1)
    assert data.factors.sizes == (positions, positions)
    assert data.first_pixel == tuple(range(0, 64, side))


def test_positions_that_do_not_fit_are_cut_with_a_warning():
    with pytest.warns(
        UserWarning, match=r"Only 8 of the 9 positions asked for fit .* the grid is 8×8"
    ):
        data = XYSquares(grid_size=9)
    assert data.factors.sizes == (8,) * 6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert XYSquares(grid_size=3, grid_spacing=2).factors.sizes == (3,) * 6


# SHA-256 of the images of indices (7919 i + 13) mod N, i = 0 … 63, made with XYSquaresData of
# disent 0.8.0
DISENT = [
    ({"grid_spacing": 8}, "10d37206d29cf895"),
    ({"grid_spacing": 7}, "66b5fa2b7fa3f69b"),
    ({"grid_spacing": 6}, "4e6f28f9e4216056"),
    ({"grid_spacing": 5}, "af3180f55d1dfdd6"),
    ({"grid_spacing": 4}, "480b7b07e7adf92d"),
    ({"grid_spacing": 3}, "71e24708ca4028ff"),
    ({"grid_spacing": 2}, "fa3c24f78359b273"),
    ({"grid_spacing": 1}, "893ddb5d52f731f0"),
    ({"grid_spacing": 7, "grid_size": None}, "8e505f37f6d94af4"),
    ({"grid_spacing": 3, "rgb": False}, "178ceda2ebf8f30e"),
    (
        {
            "grid_spacing": 4,
            "grid_size": None,
            "square_size": 5,
            "image_size": 33,
            "num_squares": 2,
        },
        "00d2ef30c16e5c89",
    ),
    ({"grid_size": 4, "num_squares": 1, "rgb": False}, "bce9e65419bcee10"),
]


@pytest.mark.parametrize(("options", "digest"), DISENT)
def test_images_are_those_of_the_authors_code_bit_for_bit(options, digest):
    data = vd.load("xysquares", **options)
    index = (torch.arange(64) * 7919 + 13) % len(data)
    assert hashlib.sha256(data.images(index).numpy().tobytes()).hexdigest()[:16] == digest


def test_grey_squares_form_a_union():
    grey, colour = XYSquares(rgb=False, grid_spacing=3), XYSquares(grid_spacing=3)
    index = grey.factors.sample_index(200, generator=torch.Generator().manual_seed(0))
    assert grey.shape == (64, 64, 1)
    assert torch.equal(grey.images(index)[..., 0], colour.images(index).amax(-1))


@pytest.mark.parametrize("spacing", LAYOUT)
def test_constants_of_colour_images_are_the_published_ones_at_every_spacing(spacing):
    data = XYSquares(grid_spacing=spacing)
    assert data.mean == pytest.approx((0.015625,) * 3, abs=1e-12)
    assert data.std == pytest.approx((0.12403473458920855,) * 3, abs=1e-12)


def test_constants_of_grey_images_are_the_published_ones():
    data = XYSquares(rgb=False)
    assert data.mean == pytest.approx((0.046146392822265625,), abs=1e-12)
    assert data.std == pytest.approx((0.2096506119375896,), abs=1e-12)


@given(
    side=st.integers(1, 4),
    spacing=st.integers(1, 4),
    extra=st.integers(0, 5),
    grid_size=st.integers(1, 3),
    num_squares=st.integers(1, 3),
    rgb=st.booleans(),
)
def test_any_options_give_the_layout_and_the_constants_of_their_definition(
    side, spacing, extra, grid_size, num_squares, rgb
):
    # an image of one pixel has no spread
    image_size = max(2, side + (grid_size - 1) * spacing + extra)
    data = XYSquares(spacing, side, image_size, grid_size, num_squares, rgb)
    factors = data.factors.to_factors(torch.arange(len(data))).numpy()
    assert len(data) == grid_size ** (2 * num_squares)

    offset = (image_size - (side + (grid_size - 1) * spacing)) // 2
    expected = np.zeros((len(data), image_size, image_size, 3 if rgb else 1), np.uint8)
    for n, values in enumerate(factors):
        for square in range(num_squares):
            left, top = offset + spacing * values[2 * square : 2 * square + 2]
            expected[n, top : top + side, left : left + side, square if rgb else 0] = 255
    np.testing.assert_array_equal(data.images(torch.arange(len(data))).numpy(), expected)

    # the mean over images of each image's mean and unbiased std
    pixels = expected.reshape(len(data), -1, data.shape[2]) / 255
    mean, std = pixels.mean(1).mean(0), pixels.std(1, ddof=1).mean(0)
    assert data.mean == pytest.approx(mean, abs=1e-12)
    # a channel without spread is left as it is
    assert data.std == pytest.approx(np.where(std > 0, std, 1), abs=1e-12)


@pytest.mark.parametrize(
    "options", [{}, {"grid_spacing": 3}, {"num_squares": 2}, {"rgb": False, "grid_spacing": 5}]
)
@pytest.mark.parametrize("normalize", [True, False])
def test_observations_are_the_images_channels_first_in_either_layout(options, normalize):
    data = XYSquares(**options)
    index = data.factors.sample_index(32, generator=torch.Generator().manual_seed(1))
    x = data.images(index).numpy() / 255
    if normalize:
        x = (x - np.array(data.mean)) / np.array(data.std)
    expected = x.transpose(0, 3, 1, 2)
    for channels_last in (False, True):
        found = data.observations(index, normalize=normalize, channels_last=channels_last)
        assert found.dtype == torch.float32
        layout = torch.channels_last if channels_last else torch.contiguous_format
        assert found.is_contiguous(memory_format=layout)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-6)


def test_standardised_background_and_foreground_have_the_published_levels():
    x = XYSquares().observations(torch.tensor([5]))
    assert x.min().item() == pytest.approx(-0.125973, abs=6e-7)
    assert x.max().item() == pytest.approx(7.936285, abs=1e-6)


def test_standardising_and_back_is_the_identity(small):
    x = small.observations(torch.arange(len(small)), normalize=False)
    standard = small.observations(torch.arange(len(small)))
    torch.testing.assert_close(small.normalize(x), standard, rtol=0, atol=1e-6)
    torch.testing.assert_close(small.denormalize(standard), x, rtol=0, atol=1e-6)


def test_an_image_does_not_depend_on_what_it_is_asked_for_with():
    data = XYSquares(grid_spacing=5)
    index = torch.tensor([77, 3, 77, 262_143])
    for one, picture in zip(index, data.images(index), strict=True):
        assert torch.equal(data.images(one[None])[0], picture)
    assert data.images(torch.tensor([], dtype=torch.int64)).shape == (0, 64, 64, 3)


def test_small_integers_of_numpy_do_not_overflow():
    sizes = {
        "grid_spacing": 16,
        "square_size": 16,
        "image_size": 64,
        "grid_size": 3,
        "num_squares": 2,
    }
    data, small = (
        XYSquares(**sizes),
        XYSquares(**{name: np.uint8(size) for name, size in sizes.items()}),
    )
    assert (small.factors, small.shape, small.mean, small.std) == (
        data.factors,
        data.shape,
        data.mean,
        data.std,
    )
    index = torch.arange(0, 81, 7)
    assert torch.equal(small.images(index), data.images(index))


def test_a_summary_names_what_there_is():
    text = repr(vd.load("xysquares", grid_spacing=2))
    for words in ("262,144 images of 64×64×3", "x_R 8", "generated", "cpu"):
        assert words in text


def test_factors_of_other_channels_are_left_out_of_exact_averages(small):
    # a square's other coordinate has 3 values; the other square does not matter to a mean over
    # channels
    assert len(small.exact_bases("x_R")) == 3
    assert len(small.exact_bases("x_R", channelwise=False)) == 27
    assert (
        len(
            XYSquares(
                image_size=10, square_size=4, grid_size=2, num_squares=2, rgb=False
            ).exact_bases("x_R")
        )
        == 8
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"grid_spacing": 0}, "grid_spacing must be a whole number of at least 1, not 0"),
        ({"grid_spacing": 1.5}, "grid_spacing must be a whole number of at least 1, not 1.5"),
        ({"square_size": 0}, "square_size must be a whole number of at least 1, not 0"),
        ({"square_size": 65}, "square_size must be at most image_size = 64, not 65"),
        ({"image_size": -1}, "image_size must be a whole number of at least 1, not -1"),
        ({"grid_size": 0}, "grid_size must be a whole number of at least 1, not 0"),
        ({"num_squares": 0}, "num_squares must be a whole number of at least 1, not 0"),
        ({"num_squares": 4}, "num_squares must be 1, 2 or 3, not 4"),
        (
            {"spacing": 3},
            "Unknown option 'spacing' of data set 'xysquares'; it takes: grid_spacing, square_size",
        ),
    ],
)
def test_options_that_do_not_exist_or_fit_are_one_clear_sentence(options, says):
    with pytest.raises(ValueError, match=says) as error:
        vd.load("xysquares", **options)
    assert "\n" not in str(error.value)


def test_an_unknown_data_set_lists_those_that_exist():
    with pytest.raises(ValueError, match=r"Unknown data set 'squares'; choose one of: .*xysquares"):
        vd.load("squares")


@pytest.mark.parametrize("index", [-1, 262_144])
def test_an_index_out_of_range_says_how_many_there_are(index):
    data = XYSquares()
    for call in (data.images, data.observations):
        with pytest.raises(
            ValueError, match=f"index {index} is out of range; there are 262144 observations"
        ):
            call(torch.tensor([0, index]))


@pytest.mark.parametrize("device", ["gpu", None])
def test_an_unknown_device_lists_what_there_is(device):
    says = f"Unknown device {device!r}; choose 'auto', 'cpu', 'cuda' or 'cuda:N'"
    with pytest.raises(ValueError, match=says):
        vd.load("xysquares", device=device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_that_is_absent_is_one_clear_sentence():
    for call in (
        lambda: vd.load("xysquares", device="cuda"),
        lambda: vd.fit(vd.RunSpec(steps=1), device="cuda:1"),
    ):
        with pytest.raises(
            RuntimeError,
            match="was asked for, but torch sees 0 CUDA devices; use device='auto' or 'cpu'",
        ):
            call()
    assert resolve_device("auto") == torch.device("cpu")


def test_a_class_of_ones_own_must_say_how_its_images_are_made():
    class Empty(FactorData):
        factors, shape = FactorSpace(["a"], (2,)), (4, 4, 1)

    with pytest.raises(
        TypeError, match=r"Empty does not say how to make its images: implement _images\(index\)"
    ):
        Empty().images(torch.tensor([0]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@settings(max_examples=5)
@given(spacing=st.integers(1, 8), num_squares=st.integers(1, 3), rgb=st.booleans())
def test_a_gpu_renders_what_the_cpu_renders(spacing, num_squares, rgb):
    cpu = XYSquares(grid_spacing=spacing, num_squares=num_squares, rgb=rgb)
    gpu = cpu.to("cuda")
    index = cpu.factors.sample_index(300, generator=torch.Generator().manual_seed(0))
    assert gpu.images(index).is_cuda
    assert torch.equal(gpu.images(index).cpu(), cpu.images(index))
    for channels_last in (False, True):
        found = gpu.observations(index, channels_last=channels_last).cpu()
        torch.testing.assert_close(found, cpu.observations(index), rtol=0, atol=1e-6)


def test_an_image_of_one_pixel_has_constants():
    data = XYSquares(1, 1, 1, 1, 1, False)
    assert (data.mean, data.std) == ((1.0,), (1.0,))
