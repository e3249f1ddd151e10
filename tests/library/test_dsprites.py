"""dSprites, rendered: originals and published constants."""

from pathlib import Path

import numpy as np
import pytest
import torch

import vaedis as vd
import vaedis_companion as vc
from vaedis.data import DSprites

SAMPLE = Path(__file__).parents[1].joinpath("data") / "dsprites_originals_400.npz"
ALL_ORIGINALS = Path(__file__).parents[3] / "shared" / "data" / "dsprites_originals_20000.npz"
ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(1, dtype=np.uint8)


@pytest.fixture(scope="module")
def data():
    return DSprites()


def bits(data: DSprites, index: torch.Tensor) -> np.ndarray:
    """Return images as `numpy.packbits` packs their rows: uint8, (B, 512)."""
    return np.packbits(data.images(index).numpy().reshape(-1, 4096) > 0, axis=1)


@pytest.fixture
def index():
    return DSprites.factors.sample_index(1_000, generator=torch.Generator().manual_seed(0))


def wrong_pixels(path: Path) -> np.ndarray:
    """In each original of a file, how many pixels are rendered otherwise."""
    with np.load(path, allow_pickle=False) as originals:
        rendered = bits(DSprites(), torch.from_numpy(originals["index"]))
        return ONES[rendered ^ originals["imgs_packed"]].sum(1)


def test_of_400_originals_one_differs_by_one_pixel():
    wrong = wrong_pixels(SAMPLE)
    assert len(wrong) == 400
    assert sorted(wrong)[-2:] == [0, 1]


@pytest.mark.skipif(not ALL_ORIGINALS.exists(), reason="the larger sample of originals is not here")
def test_of_20000_originals_at_most_five_differ_by_one_pixel_each():
    wrong = wrong_pixels(ALL_ORIGINALS)
    assert len(wrong) == 20_000
    assert (wrong > 0).sum() <= 5
    assert wrong.max() <= 1


def test_constants_of_the_whole_set_are_the_published_ones(data):
    every = torch.arange(len(data))
    area = np.concatenate([ONES[bits(data, part)].sum(1) for part in every.split(16_384)]) / 4096
    assert area.mean() == pytest.approx(data.mean[0], abs=1e-7)
    assert np.sqrt(area * (1 - area) * 4096 / 4095).mean() == pytest.approx(data.std[0], abs=1e-7)
    lines = [
        line
        for line in vc.published.table("table_a2_normalisation")
        if line["dataset"] == "dsprites"
    ]
    assert [(line["mean"], line["std"]) for line in lines] == [
        pytest.approx((data.mean[0], data.std[0]), abs=1e-12)
    ]


def test_mean_areas_of_the_largest_sprites(data):
    factors = data.factors
    for shape, area in enumerate((368.7, 289.3, 224.5)):
        first, last = (
            factors.to_index(torch.tensor([shape, 5, o, p, p])) for o, p in ((0, 0), (39, 31))
        )
        images = bits(data, torch.arange(first, last + 1))
        assert ONES[images].sum(1).mean() == pytest.approx(area, abs=0.5)


def test_images_are_zeros_and_255s_of_height_width_channels(index):
    data = vd.load("dsprites")
    x = data.images(index)
    assert x.shape == (1_000, 64, 64, 1)
    assert x.dtype == torch.uint8
    assert set(x.unique().tolist()) == {0, 255}
    assert data.images(index[:0]).shape == (0, 64, 64, 1)


def test_factors_move_sprites_to_the_right_and_down():
    data = DSprites()
    for name, axis in (("position_x", 2), ("position_y", 1)):
        x = data.images(data.factors.traversal(name, 400_000))[..., 0].double()
        at = torch.arange(64.0, dtype=torch.float64) + 0.5
        centre = (x.sum(3 - axis) * at).sum(-1) / x.sum((1, 2))
        # from a quarter of the image to three quarters, in equal steps
        assert centre.diff().numpy() == pytest.approx(32 / 31, abs=0.15)
        assert centre[-1] - centre[0] == pytest.approx(32, abs=0.15)


def test_sprites_turn_counter_clockwise_and_grow():
    data = DSprites()
    upright = data.factors.to_index(torch.tensor([1, 5, 0, 15, 15]))
    wide = data.images(upright[None])[0, ..., 0] > 0
    assert wide.any(0).sum() > 1.5 * wide.any(1).sum()
    # an eighth of a turn lifts the right end of the ellipse
    turned = data.images(upright[None] + 5 * 1024)[0, ..., 0]
    assert turned[:31, 34:].sum() > 3 * turned[34:, 34:].sum()
    areas = (data.images(data.factors.traversal("scale", upright)) > 0).sum((1, 2, 3))
    assert (areas.diff() > 0).all()
    # the heart's lobes are above at angle 0, so that its top rows are the wider ones
    heart = data.images(upright[None] + data.factors.strides[0])[0, ..., 0] > 0
    rows = heart.sum(1)[heart.any(1)]
    assert rows[3] > 2 * rows[-4]


def test_a_whole_turn_is_the_same_image():
    data = DSprites()
    turns = data.images(data.factors.traversal("orientation", 700_000))
    assert torch.equal(turns[0], turns[-1])
    assert len(turns.unique(dim=0)) == 39


@pytest.mark.parametrize("normalize", [True, False])
def test_observations_are_the_images_channels_first_in_either_layout(data, index, normalize):
    x = data.images(index).numpy() / 255
    expected = ((x - data.mean[0]) / data.std[0] if normalize else x).transpose(0, 3, 1, 2)
    for channels_last in (False, True):
        found = data.observations(index, normalize=normalize, channels_last=channels_last)
        assert found.dtype == torch.float32
        assert found.is_contiguous(
            memory_format=torch.channels_last if channels_last else torch.contiguous_format
        )
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-6)


def test_options_that_do_not_exist_or_fit_are_one_clear_sentence(data):
    with pytest.raises(
        ValueError, match="Unknown option 'visibility' of data set 'dsprites'; it takes none"
    ):
        vd.load("dsprites", visibility=1)
    with pytest.raises(
        ValueError, match="index 737280 is out of range; there are 737280 observations"
    ):
        data.images(torch.tensor([737_280]))


def test_a_summary_names_what_there_is():
    for words in ("737,280 images of 64×64×1", "orientation 40", "rendered", "cpu"):
        assert words in repr(vd.load("dsprites"))


def test_a_vae_can_be_trained_on_it():
    run = vd.fit(vd.RunSpec(data="dsprites", framework="ada-gvae", steps=1, batch=4), device="cpu")
    assert np.isfinite(run.history["recon"]).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_renders_what_the_cpu_renders(index):
    cpu, gpu = DSprites(), vd.load("dsprites", device="cuda")
    assert gpu.images(index).is_cuda
    assert torch.equal(gpu.images(index).cpu(), cpu.images(index))
    assert torch.equal(gpu.observations(index).cpu(), cpu.observations(index))
