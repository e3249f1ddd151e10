"""The objectives on the page "Your own network or objective" are the formulas of their papers."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional

import vaedis as vd
from vaedis_companion.book import executions

ROOT = Path(__file__).parents[2]
BETA = 0.3


@pytest.fixture(scope="module")
def page():
    """Return the objectives of the page."""
    cells = executions.read_chapter(ROOT, "your_own_network").cells
    wanted = ("def beta_vae", "def beta_tcvae", "def dip_vae_i", "class FactorVAE")
    names = {"math": math, "torch": torch, "nn": nn, "F": functional}
    names |= {"kl_to_prior": vd.losses.kl_to_prior, "Terms": vd.training.objectives.Terms}
    names |= {"reparameterise": vd.training.objectives.reparameterise}
    for start in wanted:
        (source,) = (
            cell.source
            for cell in cells
            if cell.cell_type == "code" and cell.source.startswith(start)
        )
        exec(source, names)
    return names


class Written(nn.Module):
    """A network whose posterior is written on the image, and which decodes to the code."""

    def encode(self, x):
        return x[:, 0, 0], x[:, 0, 1]

    def decode(self, z):
        return torch.stack([z, torch.zeros_like(z)], 1)[:, None]


@pytest.fixture
def fixed():
    """Return mean, logvar, noise and images of 7 codes with 3 latents."""
    generator = torch.Generator().manual_seed(0)
    mean, logvar, noise = torch.randn(3, 7, 3, generator=generator, dtype=torch.float64)
    return mean, logvar, noise, torch.stack([mean, logvar], 1)[:, None]


def parts(fixed):
    """Return posterior, codes, reconstruction loss and KL divergence, by torch's distributions."""
    mean, logvar, noise, _ = fixed
    q = Normal(mean, (logvar / 2).exp())
    z = mean + q.stddev * noise
    recon = torch.stack([(z - mean) ** 2, logvar**2]).mean()
    return q, z, recon, kl_divergence(q, Normal(0.0, 1.0)).mean()


def terms(objective, fixed):
    return objective(Written(), fixed[3], fixed[2], loss=vd.losses.MSE(), beta=BETA)


def assert_terms(found, loss, recon, kl):
    torch.testing.assert_close(torch.stack([*found]), torch.stack([loss, recon, kl]))


def test_beta_vae_is_the_one_of_the_library(page, fixed):
    expected = terms(vd.training.objectives.beta_vae, fixed)
    assert_terms(terms(page["beta_vae"], fixed), *expected)


def test_beta_tcvae_is_minibatch_weighted_sampling(page, fixed):
    q, z, recon, kl = parts(fixed)
    n_images, n, latents = 50, *z.shape
    log_q = torch.zeros(n, n, latents, dtype=torch.float64)
    for i, j, k in itertools.product(range(n), range(n), range(latents)):
        log_q[i, j, k] = Normal(q.mean[j, k], q.stddev[j, k]).log_prob(z[i, k])
    information = tc = latentwise = 0.0
    for i in range(n):
        # Chen et al. (2018), section 4.1: 1 / (N M) times the sum over the batch
        joint = math.log(sum(log_q[i, j].sum().exp() for j in range(n)) / (n_images * n))
        each = [
            math.log(sum(log_q[i, j, k].exp() for j in range(n)) / (n_images * n))
            for k in range(latents)
        ]
        prior = Normal(0.0, 1.0).log_prob(z[i]).sum()
        information += (log_q[i, i].sum() - joint) / n
        tc += (joint - sum(each)) / n
        latentwise += (sum(each) - prior) / n
    for weight in (1.0, 6.0):
        split = (information + weight * tc + latentwise) / latents
        found = terms(page["beta_tcvae"](n_images, weight), fixed)
        assert_terms(found, recon + BETA * split, recon, kl)
    # without a weight the parts are one sample of the KL divergence
    sample = (log_q.diagonal().T.sum(1) - Normal(0.0, 1.0).log_prob(z).sum(1)).mean() / latents
    assert terms(page["beta_tcvae"](50, 1.0), fixed).loss.item() == pytest.approx(
        (recon + BETA * sample).item()
    )


def test_dip_vae_i_pulls_the_covariance_of_means_to_the_identity(page, fixed):
    _, z, recon, kl = parts(fixed)
    covariance = np.cov(fixed[0].numpy(), rowvar=False, bias=True)
    penalty = 0.0
    for i, j in itertools.product(range(z.shape[1]), repeat=2):
        if i == j:
            penalty += 20 * (covariance[i, i] - 1) ** 2
        else:
            penalty += 2 * covariance[i, j] ** 2
    found = terms(page["dip_vae_i"](2.0), fixed)
    assert_terms(found, recon + BETA * (kl + penalty / z.shape[1]), recon, kl)


class Ratio(nn.Module):
    """The discriminator that tells a correlated Gaussian from its shuffled codes best."""

    def __init__(self, covariance):
        super().__init__()
        self.joint = torch.distributions.MultivariateNormal(torch.zeros(2), covariance)
        self.each = Normal(torch.zeros(2), covariance.diagonal().sqrt())

    def forward(self, z):
        return (self.joint.log_prob(z) - self.each.log_prob(z).sum(1))[:, None]


def test_factor_vae_adds_the_log_ratio_of_the_discriminator(page, fixed):
    _, z, recon, kl = parts(fixed)
    objective = page["FactorVAE"](3, weight=5.0)
    objective.discriminator.double()
    objective.train_discriminator = lambda z: None
    real = torch.sigmoid(objective.discriminator(z))
    tc = (real.log() - (1 - real).log()).mean().detach()
    assert_terms(
        [term.detach() for term in terms(objective, fixed)],
        recon + BETA * (kl + 5 * tc / 3),
        recon,
        kl,
    )


def test_the_ratio_of_the_best_discriminator_is_the_total_correlation(page):
    covariance = torch.tensor([[1.0, 0.8], [0.8, 1.0]])
    z = torch.distributions.MultivariateNormal(torch.zeros(2), covariance)
    torch.manual_seed(0)
    objective = page["FactorVAE"](2)
    objective.discriminator = Ratio(covariance)
    # of a Gaussian it is -log(1 - 0.8²) / 2
    tc = objective.discriminator(z.sample((200_000,))).mean().item()
    assert tc == pytest.approx(-math.log(1 - 0.64) / 2, abs=0.01)


def test_the_discriminator_of_factor_vae_learns_to_tell_codes_from_shuffled_ones(page):
    torch.manual_seed(0)
    objective = page["FactorVAE"](2)
    z = torch.randn(256, 1).expand(-1, 2) + 0.1 * torch.randn(256, 2)
    shuffled = page["shuffled"](z)
    assert torch.equal(shuffled.sort(0).values, z.sort(0).values)
    assert abs(torch.corrcoef(shuffled.T)[0, 1]) < 0.3 < torch.corrcoef(z.T)[0, 1]
    before = [p.clone() for p in objective.discriminator.parameters()]
    for _ in range(200):
        objective.train_discriminator(z)
    assert not all(map(torch.equal, before, objective.discriminator.parameters()))
    assert objective.discriminator(z).mean() > 0.2 > objective.discriminator(shuffled).mean()


@pytest.mark.parametrize("name", ["beta_vae", "beta_tcvae", "dip_vae_i", "FactorVAE"])
def test_each_is_trained_by_fit(page, name):
    options = {"image_size": 16, "square_size": 4, "grid_size": 4, "num_squares": 1}
    spec = vd.RunSpec(data_options=options, model="mlp", latents=2, steps=60, batch=16)
    make = {"beta_tcvae": 16, "dip_vae_i": 1.0, "FactorVAE": 2}
    objective = page[name](make[name]) if name in make else page[name]
    run = vd.fit(spec, objective=objective, device="cpu")
    assert run.history["recon"][-5:].mean() < 0.75 * run.history["recon"][:5].mean()
    assert set(run.spec.custom) == {"objective"}
