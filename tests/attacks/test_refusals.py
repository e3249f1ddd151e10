"""What cannot be right is refused in one sentence."""

import numpy as np
import pytest
import torch

import vaedis as vd


def bars(kind):
    class Bars(vd.FactorData):
        origin, shape = "generated", (4, 4, 1)
        factors = vd.FactorSpace(("a",), (5,))
        dtype = kind

        def _images(self, index):
            row = torch.arange(4)[None, :, None, None]
            return (row < index[:, None, None, None]).expand(-1, 4, 4, 1).to(kind)

    return Bars()


@pytest.mark.parametrize("kind", [torch.bool, torch.int8, torch.int32, torch.int64])
def test_images_are_bytes_or_floats(kind):
    says = rf"declared as {kind}, and images are bytes .*; let dtype be torch.uint8 or"
    for use in (lambda data: data[0], vd.distances.factor_distances, lambda data: data.mean):
        with pytest.raises(TypeError, match=says):
            use(bars(kind))
    for right in (torch.uint8, torch.float32, torch.float64):
        scale = 255 if right == torch.uint8 else 1
        found = vd.distances.factor_distances(bars(right))["a"]
        assert found.matrix[0, 4] * scale**2 == pytest.approx(1)


@pytest.mark.parametrize("size", [5e-5, 1e-5, 3e-6])
def test_a_loss_with_a_little_noise_is_refused(tiny, size):
    generator = torch.Generator().manual_seed(0)

    def noisy(a, b):
        noise = torch.rand(len(a), generator=generator, dtype=torch.float64)
        return (a - b).square().mean((1, 2, 3)) * (1 + size * noise)

    for dtype in (torch.float32, torch.float64):
        with pytest.raises(ValueError, match="gives other numbers for the same images each time"):
            vd.distances.factor_distances(tiny, lambda a, b, d=dtype: noisy(a, b).to(d))
    with pytest.raises(ValueError, match="gives other numbers for the same images each time"):
        vd.diagnose(tiny, noisy, radii=[])


def test_a_small_network_of_floats_is_repeatable(tiny):
    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten())
    loss = vd.losses.features(layers)
    assert np.isfinite(vd.distances.factor_distances(tiny, loss)["x_R"].matrix).all()


def part(n=59):
    images = np.random.default_rng(0).integers(0, 255, (n, 2, 2), dtype=np.uint8)
    return vd.LabelledImages(images, [(k % 4, k // 4) for k in range(n)])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda d: d.traversals(1, -1), "n must be a whole number of at least 0, not -1"),
        (lambda d: d.traversals(1, 1.5), "n must be a whole number of at least 0, not 1.5"),
        (lambda d: d.groups(0, -1), "most must be a whole number of at least 0, not -1"),
        (lambda d: d.sample_index(-1), "n must be a whole number of at least 0, not -1"),
        (
            lambda d: vd.distances.factor_distances(d, normalize="no"),
            "normalize must be True or False, not 'no'",
        ),
        (
            lambda d: vd.diagnosis.largest_beta(d, 2, normalize="no"),
            "normalize must be True or False, not 'no'",
        ),
        (
            lambda _: vd.distances.ground_truth([[1, 2, 3]], [[1]]),
            r"of the same factors, not of shapes \(1, 3\) and \(1, 1\)",
        ),
        (
            lambda _: vd.distances.published_traversals(2, 0),
            "pairs must be a whole number of at least 1, not 0",
        ),
    ],
)
def test_arguments_are_checked_with_and_without_a_grid(call, says):
    for data in (part(59), part(60)):
        with pytest.raises(ValueError, match=says):
            call(data)
