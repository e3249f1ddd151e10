"""Losses as objectives and as distances."""

import numpy as np
import pytest
import torch

from vaedis import losses

X = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def box(radius):
    side = 2 * radius + 1
    return np.full((side, side), 1 / side**2)


def gaussian(sigma):
    steps = np.arange(-np.ceil(3 * sigma), np.ceil(3 * sigma) + 1)
    kernel = np.exp(-(steps[:, None] ** 2 + steps**2) / (2 * sigma**2))
    return kernel / kernel.sum()


@pytest.mark.parametrize(
    ("loss", "window", "weight"),
    [
        (losses.BoxBlur(0), box(0), 1),
        (losses.BoxBlur(4), box(4), 81),
        (losses.BoxBlur(), box(31), 3969),
        (losses.BoxBlur(3, weight=0), box(3), 0),
        (losses.GaussianBlur(0.5), gaussian(0.5), np.pi),
        (losses.GaussianBlur(7.3), gaussian(7.3), 4 * np.pi * 7.3**2),
    ],
)
def test_a_blur_is_a_zero_padded_convolution_that_counts_beside_the_pixels(loss, window, weight):
    kernel = torch.from_numpy(window)[None, None]
    for x in (X, X[..., :9]):
        padded = torch.nn.functional.conv2d(
            x.flatten(0, 1)[:, None], kernel, padding=len(window) // 2
        )
        torch.testing.assert_close(loss.blur(x), padded.view_as(x), rtol=0, atol=1e-12)
    assert (loss.weight, loss.pixel_weight) == (pytest.approx(weight), 1)
    blurred = (loss.blur(X) - loss.blur(Y)).square().mean((1, 2, 3))
    expected = (X - Y).square().mean((1, 2, 3)) + loss.weight * blurred
    torch.testing.assert_close(loss.distance(X, Y), expected, rtol=1e-12, atol=0)


def test_blur_is_the_product_of_transforms_that_the_authors_code_makes():
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    kernel = torch.full((63, 63), 1 / 3969, dtype=torch.float64)
    # zero-padded to 64 + 63 - 1 on each side, multiplied, and cropped to rows and columns 31 … 94
    both = torch.fft.rfft2(x.double(), s=(126, 126)) * torch.fft.rfft2(kernel, s=(126, 126))
    expected = torch.fft.irfft2(both, s=(126, 126))[..., 31:95, 31:95]
    loss = losses.BoxBlur()
    torch.testing.assert_close(loss.blur(x.double()), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(loss.blur(x), expected.float(), rtol=0, atol=1e-6)


def test_small_integers_of_numpy_do_not_overflow():
    assert losses.get("box-blur", radius=np.uint8(31)) == losses.get("box-blur", radius=31)
    assert losses.get("box-blur", radius=np.uint8(31)).weight == 63**2
    assert losses.get("pyramid", levels=np.int8(6), growth=np.uint8(4)) == losses.get("pyramid")
    torch.testing.assert_close(
        losses.Pyramid(np.int8(6), np.uint8(4)).distance(X, Y), losses.Pyramid().distance(X, Y)
    )


@pytest.mark.parametrize("name", losses.LOSSES)
def test_losses_are_of_each_observation_and_broadcast(name):
    loss = losses.get(name)
    alone = torch.stack([loss.distance(a, b) for a, b in zip(X, Y, strict=True)])
    torch.testing.assert_close(loss.distance(X, Y), alone)
    torch.testing.assert_close(loss.distance(X[:1], Y)[3], loss.distance(X[0], Y[3]))
    assert loss.distance(X[:, None], Y).shape == (5, 5)


@pytest.mark.parametrize("name", losses.LOSSES)
def test_training_losses_are_distances_of_what_the_decoder_puts_out(name):
    loss = losses.get(name)
    torch.testing.assert_close(loss(X, Y), loss.distance(loss.output(X), Y))
    assert torch.equal(loss.output(X), X) == (name != "bce")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mse", {}),
        ("box-blur", {"radius": 3, "weight": 7.0, "pixel_weight": 0.5}),
        ("gaussian-blur", {"sigma": 1.5, "weight": 7.0, "pixel_weight": 0.5}),
    ],
)
def test_squared_distances_of_embeddings_are_the_loss(name, options):
    loss = losses.get(name, **options)
    torch.testing.assert_close(
        (loss.embed(X) - loss.embed(Y)).square().sum(-1), loss.distance(X, Y), rtol=1e-12, atol=0
    )


def test_bce_takes_logits_in_training_and_probabilities_as_a_distance():
    loss = losses.get("bce")
    logits = torch.logit(X)
    expected = -(Y * X.log() + (1 - Y) * (1 - X).log()).flatten(1).mean(1)
    torch.testing.assert_close(loss(logits, Y), expected)
    torch.testing.assert_close(loss.distance(X, Y), expected)
    torch.testing.assert_close(
        loss(logits, Y),
        torch.nn.functional.binary_cross_entropy(X, Y, reduction="none").mean((1, 2, 3)),
    )
    binary = (X > 0.5).double()
    # logarithms end at -100, so pixels that differ cost 100
    assert loss.distance(binary, 1 - binary).tolist() == [100] * 5
    assert loss.distance(binary, binary).abs().max() == 0


def test_divergences_agree_with_torch():
    g = torch.Generator().manual_seed(2)
    m0, l0, m1, l1 = torch.randn(4, 6, 9, generator=g, dtype=torch.float64)
    p, q = (torch.distributions.Normal(m, (v / 2).exp()) for m, v in ((m0, l0), (m1, l1)))
    kl = torch.distributions.kl_divergence
    torch.testing.assert_close(
        losses.kl_to_prior(m0, l0), kl(p, torch.distributions.Normal(torch.zeros_like(m0), 1))
    )
    torch.testing.assert_close(losses.symmetric_kl(m0, l0, m1, l1), 0.5 * kl(p, q) + 0.5 * kl(q, p))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: losses.get("l2"), "Unknown loss 'l2'; choose one of: mse, bce, mae, box-blur"),
        (
            lambda: losses.get("mse", radius=1),
            "Unknown option 'radius' of loss 'mse'; it takes none",
        ),
        (lambda: losses.get("box-blur", r=1), "it takes: radius, weight, pixel_weight"),
        (lambda: losses.get("gaussian-blur", sigma=0), "sigma must be above 0, not 0"),
        (lambda: losses.get("gaussian-blur", sigma=1, weight=-1), "weight must be a finite number"),
        (lambda: losses.get("boxblur"), "; did you mean 'box-blur'\\?"),
        (lambda: losses.get("box-blur", radios=1), "; did you mean 'radius'\\?"),
        (
            lambda: losses.get("box-blur", radius=-1),
            "radius must be a whole number of at least 0, not -1",
        ),
        (
            lambda: losses.get("box-blur", radius=10**160),
            "radius must be at most 1,000,000 pixels",
        ),
        (
            lambda: losses.get("box-blur", weight=10**400),
            "weight must be a number that a float can hold",
        ),
        (
            lambda: losses.get("box-blur", weight=-1),
            "weight must be a finite number of at least 0, not -1",
        ),
        (
            lambda: losses.get("box-blur", pixel_weight=float("inf")),
            "pixel_weight must be a finite number of at least 0, not inf",
        ),
        (lambda: losses.get(losses.MSE(), radius=1), "already made"),
    ],
)
def test_bad_input_is_one_sentence(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_a_loss_that_is_no_quadratic_form_says_so():
    with pytest.raises(TypeError, match="not a quadratic form"):
        losses.get("mae").embed(X)
    with pytest.raises(TypeError, match=r"must define distance\(a, b\)"):
        losses.Loss().distance(X, Y)


class OnlyCalled(losses.Loss):
    def __call__(self, prediction, target):
        return (prediction - target).square().mean((-1, -2, -3))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (OnlyCalled, "not the class OnlyCalled"),
        (torch.nn.MSELoss, "not the class MSELoss"),
        (3, "not a int"),
        (None, "not a NoneType"),
    ],
)
def test_what_is_no_loss_is_called_so(given, says):
    with pytest.raises(
        TypeError,
        match=rf"a loss must be a name \(mse, .*\), a function .* or an object .* {says}\.",
    ):
        losses.get(given)


def test_a_loss_without_distances_says_what_to_define():
    with pytest.raises(TypeError, match="the loss 'OnlyCalled' must define distance"):
        OnlyCalled().distance(X, Y)
