"""The convolutions that are faster on a CPU are those of torch: same parameters, same results, same
gradients.
"""

import copy

import pytest
import torch
from torch import nn

from vaedis import losses
from vaedis.training import layers, model, objectives, precision

KINDS = {layers.Conv2d: nn.Conv2d, layers.ConvTranspose2d: nn.ConvTranspose2d}


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def plain(network):
    """The same network of torch's own layers."""
    twin = copy.deepcopy(network)
    for module in twin.modules():
        module.__class__ = KINDS.get(type(module), type(module))
    return twin


def loss_and_gradients(network, x, framework):
    noise = draw(len(x), 9, dtype=x.dtype)
    terms = framework(network, x, noise, loss=losses.get("box-blur", radius=5), beta=0.1)
    return terms.loss.detach(), torch.autograd.grad(terms.loss, list(network.parameters()))


@pytest.mark.parametrize("framework", [objectives.beta_vae, objectives.ada_gvae])
@pytest.mark.parametrize("padding", [1, 2])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_loss_and_gradients_are_those_of_torchs_layers(
    framework, padding, channels, dtype, tolerance
):
    network = (
        model.build("conv", (64, 64, channels), 9, padding=padding)
        .to(dtype)
        .to(memory_format=torch.channels_last)
    )
    for k, parameter in enumerate(p for p in network.parameters() if p.dim() == 1):
        nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(k))
    twin = plain(network)
    assert {type(m) for m in twin.modules()} & set(KINDS) == set()
    x = draw(6, channels, 64, 64, seed=1, dtype=dtype)
    (loss, gradients), (expected, others) = (
        loss_and_gradients(n, x, framework) for n in (network, twin)
    )
    assert loss.item() == pytest.approx(expected.item(), rel=tolerance)
    for found, other in zip(gradients, others, strict=True):
        assert ((found - other).norm() / other.norm()).item() < tolerance


@pytest.mark.parametrize("framework", [objectives.beta_vae, objectives.ada_gvae])
def test_in_bfloat16_loss_and_gradients_are_near_those_of_float32_and_layers_stay_in_it(framework):
    network = model.build("conv", (64, 64, 3), 9).to(memory_format=torch.channels_last)
    for k, parameter in enumerate(p for p in network.parameters() if p.dim() == 1):
        nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(k))
    kinds = []
    for module in network.modules():
        if type(module) in KINDS:
            module.register_forward_hook(lambda layer, inputs, output: kinds.append(output.dtype))
    x = draw(6, 3, 64, 64, seed=1, dtype=torch.float32)
    expected, others = loss_and_gradients(network, x, framework)
    kinds.clear()
    half = precision.Bfloat16(network)
    loss, gradients = loss_and_gradients(half, x, framework)
    assert set(kinds) == {torch.bfloat16}
    assert loss.item() == pytest.approx(expected.item(), rel=0.01)
    for found, other in zip(gradients, others, strict=True):
        assert found.dtype == torch.float32
        assert ((found - other).norm() / other.norm()).item() < 0.1


@pytest.mark.parametrize(
    ("channels", "height", "width"), [(1, 3, 5), (2, 4, 4), (3, 1, 1), (5, 2, 7), (7, 6, 3)]
)
def test_sub_pixels_are_a_transposed_convolution(channels, height, width):
    layer = layers.ConvTranspose2d(4, channels, 4, 2, 1).double()
    twin = plain(layer)
    x, y = (
        draw(2, 4, height, width).requires_grad_(),
        draw(2, channels, 2 * height, 2 * width, seed=1),
    )
    for found, expected in zip(
        (layer(x), *torch.autograd.grad((layer(x) * y).sum(), [x, *layer.parameters()])),
        (twin(x), *torch.autograd.grad((twin(x) * y).sum(), [x, *twin.parameters()])),
        strict=True,
    ):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "options", [(4, 3, 3, 2, 1), (4, 9, 4, 2, 1), (4, 3, 4, 1, 1), (4, 3, 4, 2, 0)]
)
def test_transposed_convolutions_of_other_shapes_are_torchs_too(options):
    layer = layers.ConvTranspose2d(*options).double()
    torch.testing.assert_close(
        layer(draw(2, 4, 5, 6)), plain(layer)(draw(2, 4, 5, 6)), rtol=1e-12, atol=1e-12
    )


def test_layers_without_a_bias_and_with_an_output_size_are_torchs_too():
    for layer in (
        layers.Conv2d(4, 3, 4, 2, 1, bias=False),
        layers.ConvTranspose2d(4, 3, 4, 2, 1, bias=False),
    ):
        assert torch.equal(layer(draw(1, 4, 8, 8).float()), plain(layer)(draw(1, 4, 8, 8).float()))
    layer = layers.ConvTranspose2d(4, 3, 4, 2, 1)
    assert layer(torch.zeros(1, 4, 8, 8), output_size=[17, 17]).shape == (1, 3, 17, 17)


def test_parameters_have_torchs_names_and_are_loaded_from_torchs_layers():
    network = model.build("conv", (64, 64, 3), 9)
    twin = plain(model.build("conv", (64, 64, 3), 9, seed=1))
    network.load_state_dict(twin.state_dict())
    assert all(
        torch.equal(a, b) for a, b in zip(network.parameters(), twin.parameters(), strict=True)
    )
