"""The network of Table A3 and its silent details: the encoder's padding, one head, Xavier-normal
weights.
"""

import math

import pytest
import torch
from torch import nn

from vaedis.training import model

CONV = (64, 64, 3)


@pytest.mark.parametrize(("channels", "latents"), [(3, 9), (1, 25)])
def test_layers_have_the_shapes_of_table_a3(channels, latents):
    network = model.build("conv", (64, 64, channels), latents)
    shapes = {"encoder": [], "decoder": []}
    for name, part in (("encoder", network.encoder), ("decoder", network.decoder)):
        for layer in part:
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.Flatten):
                layer.register_forward_hook(
                    lambda m, i, out, name=name: shapes[name].append(tuple(out.shape[1:]))
                )
    mean, _ = network.encode(torch.zeros(2, channels, 64, 64))
    network.decode(mean)
    assert shapes["encoder"] == [
        (32, 33, 33),
        (32, 17, 17),
        (64, 9, 9),
        (64, 5, 5),
        (1600,),
        (256,),
        (2 * latents,),
    ]
    assert shapes["decoder"] == [
        (256,),
        (1024,),
        (64, 8, 8),
        (32, 16, 16),
        (32, 32, 32),
        (channels, 64, 64),
    ]


@pytest.mark.parametrize(
    ("channels", "latents", "numbers"),
    [(3, 9, 912_981), (3, 25, 925_301), (1, 9, 910_931), (1, 25, 923_251)],
)
def test_the_network_has_as_many_parameters_as_the_authors(channels, latents, numbers):
    assert model.count_parameters(model.build("conv", (64, 64, channels), latents)) == numbers


@pytest.mark.parametrize("latents", [9, 25])
def test_every_weight_is_xavier_normal_and_every_bias_zero(latents):
    for layer in model.build("conv", CONV, latents, seed=3).modules():
        if not isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            continue
        weight = layer.weight.detach()
        field = weight[0, 0].numel()
        std = math.sqrt(2 / (field * (weight.shape[0] + weight.shape[1])))
        # standard error of a standard deviation: 1 / sqrt(2 n), and of a mean: std / sqrt(n)
        assert weight.std().item() == pytest.approx(std, rel=4 / math.sqrt(2 * weight.numel()))
        assert weight.mean().item() == pytest.approx(0, abs=4 * std / math.sqrt(weight.numel()))
        assert weight.abs().max() > 2.1 * std, (
            "a uniform distribution ends at 1.73 standard deviations"
        )
        assert (layer.bias == 0).all()


@pytest.mark.parametrize(("name", "shape"), [("conv", CONV), ("mlp", (6, 5, 2))])
def test_a_seed_fixes_the_weights_and_global_state_stays_out_of_it(name, shape):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = model.build(name, shape, 4, seed=7).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    two, other = (
        model.build(name, shape, 4, seed=7).state_dict(),
        model.build(name, shape, 4, seed=8).state_dict(),
    )
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert all(not torch.equal(one[k], other[k]) for k in one if k.endswith("weight"))


def test_with_a_padding_of_1_as_elsewhere_1024_features_reach_the_linear_layer():
    network = model.build("conv", CONV, 9, padding=1)
    assert next(m for m in network.encoder if isinstance(m, nn.Linear)).in_features == 1024
    assert network.encode(torch.zeros(1, 3, 64, 64))[0].shape == (1, 9)


@pytest.mark.parametrize(("side", "convolutions"), [(28, 3), (32, 3), (64, 4), (128, 5)])
def test_the_depth_of_the_convolutional_network_follows_the_size_of_images(side, convolutions):
    network = model.build("conv", (side, side, 1), 4)
    half = [m for m in network.encoder if isinstance(m, nn.Conv2d)]
    other_half = [m for m in network.decoder if isinstance(m, nn.ConvTranspose2d)]
    assert len(half) == len(other_half) == convolutions
    # the lines of Table A3 around the convolutions stay
    linear = [m for m in network.modules() if isinstance(m, nn.Linear)]
    assert [m.in_features for m in linear] == [1600, 256, 4, 256]
    mean, _ = network.encode(torch.zeros(2, 1, side, side))
    assert network.decode(mean).shape == (2, 1, side, side)


def test_images_of_28_pixels_are_those_of_32_with_an_edge_of_zeros():
    small, large = (model.build("conv", (side, side, 2), 3, seed=4) for side in (28, 32))
    x = torch.randn(3, 2, 28, 28, generator=torch.Generator().manual_seed(0))
    padded = torch.zeros(3, 2, 32, 32)
    padded[..., 2:30, 2:30] = x
    mean, logvar = small.encode(x)
    assert torch.equal(mean, large.encode(padded)[0])
    assert torch.equal(logvar, large.encode(padded)[1])
    assert torch.equal(small.decode(mean), large.decode(mean)[..., 2:30, 2:30])


def test_the_perceptron_takes_images_of_any_size():
    network = model.build("mlp", (5, 7, 2), 3, hidden=[11, 13])
    assert [m.out_features for m in network.encoder if isinstance(m, nn.Linear)] == [11, 13, 6]
    assert [m.out_features for m in network.decoder if isinstance(m, nn.Linear)] == [13, 11, 70]
    mean, logvar = network.encode(torch.zeros(4, 2, 5, 7))
    assert mean.shape == logvar.shape == (4, 3)
    assert network.decode(mean).shape == (4, 2, 5, 7)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda: model.build("resnet", CONV, 9),
            "Unknown model 'resnet'; choose one of: conv, mlp",
        ),
        (
            lambda: model.build("conv", CONV, 9, hidden=[3]),
            "Unknown option 'hidden' of model 'conv'; it takes: padding",
        ),
        (
            lambda: model.build("mlp", CONV, 9, padding=2),
            "Unknown option 'padding' of model 'mlp'; it takes: hidden",
        ),
        (
            lambda: model.build("conv", (48, 48, 3), 9),
            r"takes images of 28, 32, 64, 128 pixels a side, not 48×48; read them as in "
            r"read_images\(path, resize=64\), or use model='mlp'",
        ),
        (
            lambda: model.build("conv", CONV, 0),
            "latents must be a whole number of at least 1, not 0",
        ),
        (
            lambda: model.build("mlp", CONV, 0),
            "latents must be a whole number of at least 1, not 0",
        ),
        (lambda: model.build("conv", CONV, 9, padding=3), "padding must be 1 or 2, not 3"),
        (
            lambda: model.build("mlp", CONV, 9, hidden=[0]),
            "a hidden width must be a whole number of at least 1, not 0",
        ),
    ],
)
def test_bad_input_is_one_clear_sentence(call, says):
    with pytest.raises(ValueError, match=says):
        call()
