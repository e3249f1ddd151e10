"""Losses as objectives and as distances."""

import numpy as np
import pytest
import torch

from vaedis import losses

X = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("radius", [0, 1, 4, 31])
def test_blur_is_a_zero_padded_convolution(radius):
    side = 2 * radius + 1
    kernel = torch.full((1, 1, side, side), 1 / side**2, dtype=torch.float64)
    expected = torch.nn.functional.conv2d(X.flatten(0, 1)[:, None], kernel, padding=radius).view_as(
        X
    )
    torch.testing.assert_close(losses.BoxBlur(radius).blur(X), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        losses.BoxBlur(radius).blur(X.float()), expected.float(), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("sigma", [0.5, 2.0, 7.3])
def test_gaussian_blur_is_a_zero_padded_convolution_and_its_loss_that_of_box_blur(sigma):
    reach = int(np.ceil(3 * sigma))
    steps = np.arange(-reach, reach + 1)
    kernel = np.exp(-(steps[:, None] ** 2 + steps**2) / (2 * sigma**2))
    kernel = torch.from_numpy(kernel / kernel.sum())[None, None]
    x = X[..., :9]
    expected = torch.nn.functional.conv2d(x.flatten(0, 1)[:, None], kernel, padding=reach)
    loss = losses.get("gaussian-blur", sigma=sigma)
    torch.testing.assert_close(loss.blur(x), expected.view_as(x), rtol=0, atol=1e-12)
    assert (loss.weight, loss.pixel_weight) == (pytest.approx(4 * np.pi * sigma**2), 1)
    # the weight undoes what the blur takes from noise: the kernel's sum of squares, but for pixels
    if sigma > 1:
        assert float(kernel.square().sum()) * loss.weight == pytest.approx(1, rel=0.02)
    blurred = (loss.blur(X) - loss.blur(Y)).square().mean((1, 2, 3))
    torch.testing.assert_close(
        loss.distance(X, Y),
        (X - Y).square().mean((1, 2, 3)) + loss.weight * blurred,
        rtol=1e-12,
        atol=0,
    )


def test_blur_is_the_product_of_transforms_that_the_authors_code_makes():
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    kernel = torch.full((63, 63), 1 / 3969, dtype=torch.float64)
    # zero-padded to 64 + 63 - 1 on each side, multiplied, and cropped to rows and columns 31 … 94
    both = torch.fft.rfft2(x.double(), s=(126, 126)) * torch.fft.rfft2(kernel, s=(126, 126))
    expected = torch.fft.irfft2(both, s=(126, 126))[..., 31:95, 31:95]
    loss = losses.BoxBlur()
    torch.testing.assert_close(loss.blur(x.double()), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(loss.blur(x), expected.float(), rtol=0, atol=1e-6)


def test_blur_of_a_lone_pixel_is_the_windows_share_of_it():
    x = torch.zeros(1, 64, 64, dtype=torch.float64)
    x[0, 0, 63] = 1
    blurred = losses.BoxBlur().blur(x)
    assert blurred[0, 31, 32] == pytest.approx(1 / 3969, rel=1e-12)
    assert (blurred > 0).sum() == 32 * 32


def test_blurring_the_residual_is_the_difference_of_blurred_images():
    loss = losses.BoxBlur(radius=5)
    torch.testing.assert_close(loss.blur(X - Y), loss.blur(X) - loss.blur(Y), rtol=0, atol=1e-14)
    # and channels do not mix, nor do images
    one = X.clone()
    one[1:], one[:, 1:] = 0, 0
    torch.testing.assert_close(loss.blur(one)[0, 0], loss.blur(X)[0, 0], rtol=0, atol=0)
    assert (loss.blur(one)[1:] == 0).all()
    assert (loss.blur(one)[:, 1:] == 0).all()


def test_blur_takes_images_that_are_not_square():
    x = X[..., :9]
    kernel = torch.full((1, 1, 5, 5), 1 / 25, dtype=torch.float64)
    expected = torch.nn.functional.conv2d(x.flatten(0, 1)[:, None], kernel, padding=2).view_as(x)
    torch.testing.assert_close(losses.BoxBlur(2).blur(x), expected, rtol=0, atol=1e-12)


def test_small_integers_of_numpy_do_not_overflow():
    assert losses.get("box-blur", radius=np.uint8(31)) == losses.get("box-blur", radius=31)
    assert losses.get("box-blur", radius=np.uint8(31)).weight == 63**2
    assert losses.get("pyramid", levels=np.int8(6), growth=np.uint8(4)) == losses.get("pyramid")
    torch.testing.assert_close(
        losses.Pyramid(np.int8(6), np.uint8(4)).distance(X, Y), losses.Pyramid().distance(X, Y)
    )


def test_the_weight_of_the_blurred_term_is_the_windows_area_unless_given():
    assert losses.get("box-blur", radius=3).weight == 49
    assert losses.get("box-blur", radius=3, weight=0).weight == 0
    torch.testing.assert_close(
        losses.get("box-blur", weight=0).distance(X, Y), losses.MSE().distance(X, Y)
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


def test_box_blur_is_pixel_loss_plus_weighted_loss_of_blurred_images():
    loss = losses.get("box-blur")
    assert (loss.radius, loss.weight, loss.pixel_weight) == (31, 3969, 1)
    expected = (X - Y).square().mean((1, 2, 3)) + 3969 * (
        loss.blur(X) - loss.blur(Y)
    ).square().mean((1, 2, 3))
    torch.testing.assert_close(loss.distance(X, Y), expected, rtol=1e-12, atol=0)


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


def test_mse_and_mae_are_means():
    torch.testing.assert_close(losses.get("mse")(X, Y), (X - Y).pow(2).flatten(1).mean(1))
    torch.testing.assert_close(losses.get("mae")(X, Y), (X - Y).abs().flatten(1).mean(1))


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
