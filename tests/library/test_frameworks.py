"""The objectives against a reference that loops over pairs and latents, with torch's own
distributions.
"""

import pytest
import torch
from torch.distributions import Normal, kl_divergence as kl

from vaedis import losses
from vaedis.training import model, objectives

MSE = losses.MSE()


def posteriors(n=40, z=6, seed=0):
    """Four random tensors: the means and log-variances of n pairs."""
    return torch.randn(
        4, n, z, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    ).unbind()


def normal(mean, logvar):
    return Normal(mean, (0.5 * logvar).exp())


def reference(mean0, logvar0, mean1, logvar1, average):
    """Ada-GVAE's averaging, one pair and one latent at a time."""
    out = [t.clone() for t in (mean0, logvar0, mean1, logvar1)]
    for b in range(len(mean0)):
        q0, q1 = normal(mean0[b], logvar0[b]), normal(mean1[b], logvar1[b])
        delta = 0.5 * kl(q0, q1) + 0.5 * kl(q1, q0)
        for i in range(len(delta)):
            if delta[i] < 0.5 * (delta.min() + delta.max()):
                out[0][b, i] = out[2][b, i] = (
                    0.5 * (mean0[b, i] + mean1[b, i]) if average == "mean" else mean1[b, i]
                )
                out[1][b, i] = out[3][b, i] = (0.5 * (q0.variance[i] + q1.variance[i])).log()
    return out


@pytest.mark.parametrize("average", ["mean", "published"])
def test_averaging_is_that_of_a_loop_over_pairs_and_latents(average):
    given = posteriors()
    for found, expected in zip(
        objectives.average_shared(*given, average=average), reference(*given, average), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_the_latent_that_differs_most_is_never_shared_and_the_one_that_differs_least_always_is():
    mean0, logvar0, mean1, logvar1 = posteriors(n=500)
    delta = losses.symmetric_kl(mean0, logvar0, mean1, logvar1)
    shared = objectives.shared_latents(mean0, logvar0, mean1, logvar1)
    assert not shared.gather(1, delta.argmax(1, keepdim=True)).any()
    assert shared.gather(1, delta.argmin(1, keepdim=True)).all()


def test_a_latent_exactly_at_the_threshold_is_not_shared():
    # with variances of 1, delta is half the squared gap of means: .5, 12.5 and 24.5, whose middle
    # is 12.5
    gap, zero = torch.tensor([[1.0, 5.0, 7.0]]), torch.zeros(1, 3)
    assert losses.symmetric_kl(zero, zero, gap, zero).tolist() == [[0.5, 12.5, 24.5]]
    assert objectives.shared_latents(zero, zero, gap, zero).tolist() == [[True, False, False]]
    assert objectives.shared_latents(
        zero, zero, torch.tensor([[1.0, 4.9, 7.0]]), zero
    ).tolist() == [[True, True, False]]


def test_a_lone_latent_is_never_shared():
    one = torch.ones(1, 1)
    assert not objectives.shared_latents(one, one, -one, one).any()


def test_pairs_of_equal_posteriors_share_nothing_and_change_nothing():
    mean, logvar, *_ = posteriors()
    found = objectives.average_shared(mean, logvar, mean, logvar)
    assert not objectives.shared_latents(mean, logvar, mean, logvar).any()
    for a, b in zip(found, (mean, logvar, mean, logvar), strict=True):
        assert torch.equal(a, b)


def test_as_published_the_first_images_mean_gets_no_gradient_in_shared_latents():
    given = [t.requires_grad_() for t in posteriors()]
    shared = objectives.shared_latents(*given)
    assert shared.any()
    for average, none in (("published", True), ("mean", False)):
        mean0, _, mean1, _ = objectives.average_shared(*given, average=average)
        (gradient,) = torch.autograd.grad((mean0 + mean1).sum(), given[0], retain_graph=True)
        assert (gradient[shared] == 0).all() == none
        assert (gradient[~shared] == 1).all()


def test_averages_of_very_different_variances_stay_finite():
    logvar0, logvar1 = torch.tensor([[-80.0, 0.0]]), torch.tensor([[80.0, 9.0]])
    # the shared latent is the second one
    found = objectives.average_shared(torch.zeros(1, 2), logvar0, torch.zeros(1, 2), logvar1)
    assert all(t.isfinite().all() for t in found)


class Mirror(torch.nn.Module):
    """A network whose posterior is written on the image, and whose reconstruction is the sample
    itself.
    """

    def encode(self, x):
        return x[:, 0, 0], x[:, 0, 1]

    def decode(self, z):
        return torch.stack([z, torch.zeros_like(z)], 1)[:, None]


def written(mean, logvar):
    return torch.stack([mean, logvar], 1)[:, None]


def test_beta_vae_is_one_sample_of_reconstruction_plus_beta_times_mean_kl():
    mean, logvar, noise, _ = posteriors()
    x = written(mean, logvar)
    found = objectives.beta_vae(Mirror(), x, noise, loss=MSE, beta=0.3)
    z = mean + noise * (0.5 * logvar).exp()
    # no ½ before the squared error; means over batch and elements, and over batch and latents
    recon = torch.stack([(z - mean) ** 2, logvar**2]).mean()
    divergence = kl(
        normal(mean, logvar), Normal(torch.zeros_like(mean), torch.ones_like(mean))
    ).mean()
    torch.testing.assert_close(
        found, objectives.Terms(recon + 0.3 * divergence, recon, divergence), rtol=1e-12, atol=0
    )


@pytest.mark.parametrize("average", ["mean", "published"])
def test_ada_gvae_takes_both_losses_after_averaging_with_independent_noise(average):
    mean0, logvar0, mean1, logvar1 = posteriors()
    noise = torch.randn(80, 6, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    x = torch.cat([written(mean0, logvar0), written(mean1, logvar1)])
    found = objectives.ada_gvae(Mirror(), x, noise, loss=MSE, beta=0.3, average=average)
    prior = Normal(torch.zeros_like(mean0), torch.ones_like(mean0))
    m0, v0, m1, v1 = reference(mean0, logvar0, mean1, logvar1, average)
    recon = divergence = 0
    for own, m, v, e in ((mean0, m0, v0, noise[:40]), (mean1, m1, v1, noise[40:])):
        z = m + e * (0.5 * v).exp()
        logvar = logvar0 if own is mean0 else logvar1
        # the mean over a pair, on the scale of one image
        recon = recon + 0.5 * torch.stack([(z - own) ** 2, logvar**2]).mean()
        divergence = divergence + 0.5 * kl(normal(m, v), prior).mean()
    torch.testing.assert_close(
        found, objectives.Terms(recon + 0.3 * divergence, recon, divergence), rtol=1e-12, atol=0
    )


def test_a_pair_of_equal_images_has_the_loss_of_one():
    network = model.build("mlp", (8, 8, 1), 3, hidden=[16])
    x = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    one = objectives.beta_vae(network, x, noise, loss=MSE, beta=0.1)
    pair = objectives.ada_gvae(
        network, x.repeat(2, 1, 1, 1), noise.repeat(2, 1), loss=MSE, beta=0.1
    )
    torch.testing.assert_close(pair, one)


def test_a_sample_is_the_mean_plus_noise_times_the_standard_deviation():
    mean, logvar = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0]).log()
    found = objectives.reparameterise(mean, logvar, torch.tensor([-1.0, 3.0]))
    torch.testing.assert_close(found, torch.tensor([0.0, 8.0]))


def test_an_unknown_average_lists_those_that_exist():
    with pytest.raises(
        ValueError, match="Unknown average 'median'; choose one of: mean, published"
    ):
        objectives.average_shared(*posteriors(), average="median")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("objective", [objectives.beta_vae, objectives.ada_gvae])
def test_a_gpu_gives_the_losses_and_gradients_of_the_cpu(objective):
    x = torch.randn(16, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(16, 9, generator=torch.Generator().manual_seed(1))
    found = {}
    for device in ("cpu", "cuda"):
        network = model.build("conv", (64, 64, 3), 9).to(device)
        terms = objective(network, x.to(device), noise.to(device), loss=losses.BoxBlur(), beta=0.1)
        terms.loss.backward()
        found[device] = (
            torch.stack([*terms, *(p.grad.norm() for p in network.parameters())]).detach().cpu()
        )
    torch.testing.assert_close(found["cuda"], found["cpu"], rtol=1e-2, atol=1e-5)
    torch.testing.assert_close(found["cuda"][:3], found["cpu"][:3], rtol=1e-3, atol=1e-5)
