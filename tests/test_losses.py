"""Losses as objectives and as distances."""

import pytest
import torch

from vaedis import losses

X = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("radius", [0, 1, 4, 31])
def test_blur_is_a_zero_padded_convolution(radius):
    side = 2 * radius + 1
    kernel = torch.full((1, 1, side, side), 1 / side**2, dtype=torch.float64)
    expected = torch.nn.functional.conv2d(X.flatten(0, 1)[:, None], kernel, padding=radius).view_as(X)
    torch.testing.assert_close(losses.BoxBlur(radius).blur(X), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(losses.BoxBlur(radius).blur(X.float()), expected.float(), rtol=0, atol=1e-6)


def test_box_blur_is_pixel_loss_plus_weighted_loss_of_blurred_images():
    loss = losses.get("box-blur")
    assert (loss.radius, loss.weight, loss.pixel_weight) == (31, 3969, 1)
    expected = (X - Y).square().mean((1, 2, 3)) + 3969 * (loss.blur(X) - loss.blur(Y)).square().mean((1, 2, 3))
    torch.testing.assert_close(loss.distance(X, Y), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("name", "options"), [("mse", {}), ("box-blur", {"radius": 3, "weight": 7.0, "pixel_weight": 0.5})])
def test_squared_distances_of_embeddings_are_the_loss(name, options):
    loss = losses.get(name, **options)
    torch.testing.assert_close((loss.embed(X) - loss.embed(Y)).square().sum(-1), loss.distance(X, Y), rtol=1e-12, atol=0)


def test_mse_and_mae_are_means():
    torch.testing.assert_close(losses.get("mse")(X, Y), (X - Y).pow(2).flatten(1).mean(1))
    torch.testing.assert_close(losses.get("mae")(X, Y), (X - Y).abs().flatten(1).mean(1))


def test_bce_takes_logits_in_training_and_probabilities_as_a_distance():
    loss = losses.get("bce")
    logits = torch.logit(X)
    expected = -(Y * X.log() + (1 - Y) * (1 - X).log()).flatten(1).mean(1)
    torch.testing.assert_close(loss(logits, Y), expected)
    torch.testing.assert_close(loss.distance(X, Y), expected)
    binary = (X > 0.5).double()
    assert loss.distance(binary, binary).abs().max() == 0


def test_divergences_agree_with_torch():
    g = torch.Generator().manual_seed(2)
    m0, l0, m1, l1 = torch.randn(4, 6, 9, generator=g, dtype=torch.float64)
    p, q = (torch.distributions.Normal(m, (v / 2).exp()) for m, v in ((m0, l0), (m1, l1)))
    kl = torch.distributions.kl_divergence
    torch.testing.assert_close(losses.kl_to_prior(m0, l0), kl(p, torch.distributions.Normal(torch.zeros_like(m0), 1)))
    torch.testing.assert_close(losses.symmetric_kl(m0, l0, m1, l1), 0.5 * kl(p, q) + 0.5 * kl(q, p))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: losses.get("l2"), "Unknown loss 'l2'; choose one of: mse, bce, mae, box-blur"),
        (lambda: losses.get("mse", radius=1), "Unknown option 'radius' of loss 'mse'; it takes none"),
        (lambda: losses.get("box-blur", r=1), "it takes: radius, weight, pixel_weight"),
        (lambda: losses.get("box-blur", radius=-1), "radius must be"),
        (lambda: losses.get(losses.MSE(), radius=1), "already made"),
    ],
)
def test_bad_input_is_one_sentence(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_a_loss_that_is_no_quadratic_form_says_so():
    with pytest.raises(TypeError, match="not a quadratic form"):
        losses.get("mae").embed(X)
