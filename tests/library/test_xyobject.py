"""XYObject: layout, palette, the published constants, and that all choices of factors describe the
same images.
"""

import hashlib

import numpy as np
import pytest
import torch

import vaedis as vd
from vaedis.data import XYObject

SHADES = (63, 127, 191, 255)
HUES = np.array([(1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 1)])


def test_images_are_those_of_the_authors_code_bit_for_bit():
    # SHA-256 of the images of indices (7919 i + 13) mod N, i = 0 … 63, made with XYObjectData and
    # XYObjectShadedData of disent 0.8.0
    index = (torch.arange(64) * 7919 + 13) % 75_000
    for colour in ("one", "shaded"):
        images = vd.load("xyobject", colour=colour).images(index).numpy()
        assert hashlib.sha256(images.tobytes()).hexdigest()[:16] == "1cf0a17ad3883138"


def test_factors_are_those_of_the_authors():
    names, sizes = vd.load("xyobject").factors.names, vd.load("xyobject").factors.sizes
    assert dict(zip(names, sizes, strict=True)) == {"x": 25, "y": 25, "scale": 5, "color": 24}
    shaded = vd.load("xyobject", colour="shaded").factors
    assert shaded.names == ("x", "y", "scale", "intensity", "color")
    assert shaded.sizes == (25, 25, 5, 4, 6)


def test_squares_grow_about_their_centres_in_steps_of_two_pixels_and_never_reach_the_last():
    data = XYObject()
    for scale, side in enumerate((7, 9, 11, 13, 15)):
        for x, y in ((0, 0), (3, 24), (24, 11)):
            lit = data.images(data.factors.to_index(torch.tensor([[x, y, scale, 23]])))[0].any(-1)
            assert lit.sum() == side**2
            rows, columns = lit.any(1).nonzero().flatten(), lit.any(0).nonzero().flatten()
            assert (columns[0], columns[-1]) == (
                2 * x + (15 - side) // 2,
                2 * x + (15 + side) // 2 - 1,
            )
            assert (rows[0], rows[-1]) == (2 * y + (15 - side) // 2, 2 * y + (15 + side) // 2 - 1)
            assert max(rows[-1], columns[-1]) <= 62


def test_colours_are_six_hues_in_four_shades_the_hue_faster():
    data = XYObject()
    colours = data.images(data.factors.traversal("color", 12_345)).amax((1, 2)).numpy()
    np.testing.assert_array_equal(colours, [level * hue for level in SHADES for hue in HUES])


def test_constants_of_the_whole_set_are_the_published_ones():
    data = XYObject()
    totals = torch.zeros(2, 3, dtype=torch.float64)
    for part in torch.arange(len(data)).split(50):
        x = data.observations(part).flatten(2)
        mean = x.mean(-1)
        std = ((x.square().sum(-1) - 4096 * mean.square()) / 4095).sqrt()
        totals += torch.stack([mean, std]).double().sum(1)
    mean, std = (totals / len(data)).numpy()
    # of normalized images, so that these are errors in units of the std
    assert np.abs(mean).max() * data.std[0] <= 1e-7
    assert np.abs(std - 1).max() * data.std[0] <= 1e-7


def test_every_choice_describes_the_same_images():
    data = XYObject()
    x, y, scale, colour = data.factors.to_factors(torch.arange(len(data))).T
    hue, value = colour % 6, colour // 6
    # red, green and blue alone; what is left of white without them is cyan, magenta and yellow
    channel, inverted = torch.tensor([0, 2, 1, 0, 2, 1])[hue], hue % 2
    columns = {
        "shaded": {"intensity": value, "color": hue},
        "hsv": {"hue": hue, "value": value},
        "channels": {"channel": channel, "inverted": inverted, "value": value},
    }
    index = data.factors.sample_index(500, generator=torch.Generator().manual_seed(0))
    for choice, of_colour in columns.items():
        relabelled = vd.Relabelled(data, {"x": x, "y": y, "scale": scale, **of_colour})
        chosen = vd.load("xyobject", colour=choice)
        assert chosen.factors == relabelled.factors
        assert torch.equal(chosen.images(index), relabelled.images(index))


@pytest.mark.parametrize("normalize", [True, False])
def test_observations_are_the_images_channels_first_in_either_layout(normalize):
    data = XYObject("hsv")
    index = data.factors.sample_index(64, generator=torch.Generator().manual_seed(1))
    x = data.images(index).numpy() / 255
    expected = ((x - np.array(data.mean)) / np.array(data.std) if normalize else x).transpose(
        0, 3, 1, 2
    )
    for channels_last in (False, True):
        found = data.observations(index, normalize=normalize, channels_last=channels_last)
        assert found.dtype == torch.float32
        assert found.is_contiguous(
            memory_format=torch.channels_last if channels_last else torch.contiguous_format
        )
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-6)
    assert data.images(index[:0]).shape == (0, 64, 64, 3)


def test_options_that_do_not_exist_or_fit_are_one_clear_sentence():
    with pytest.raises(
        ValueError,
        match="Unknown choice of colour factors 'rgb'; choose one of: one, shaded, hsv, channels",
    ):
        vd.load("xyobject", colour="rgb")
    with pytest.raises(ValueError, match="Unknown data set 'xyobject-shaded'; choose one of: xys"):
        vd.load("xyobject-shaded")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_renders_what_the_cpu_renders():
    cpu, gpu = XYObject("channels"), vd.load("xyobject", colour="channels", device="cuda")
    index = cpu.factors.sample_index(300, generator=torch.Generator().manual_seed(0))
    assert torch.equal(gpu.images(index).cpu(), cpu.images(index))
    for channels_last in (False, True):
        found = gpu.observations(index, channels_last=channels_last).cpu()
        torch.testing.assert_close(found, cpu.observations(index), rtol=0, atol=1e-6)
