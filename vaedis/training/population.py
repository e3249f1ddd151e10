"""A population: many small networks trained at once, with stacked weights.

Small networks lose their time to calls, waiting threads and products too small to run in parallel.
Here one batched product serves all members. Nothing else is shared: each member has its own seed,
data, beta and learning rate, and a member that fails does not disturb the others.

``torch.func`` would stack weights too; `benchmarks/population.py` finds it no faster, and its
products have other bits than those of stored runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaedis.losses import Loss, kl_to_prior, properties
from vaedis.spec import RunSpec
from vaedis.training import objectives
from vaedis.training.batches import BatchSampler
from vaedis.training.model import VAE
from vaedis.training.optimizers import adam, set_rate
from vaedis.training.run import Run

# fields that members must have in common, as their weights, batches and steps are stacked
_SHARED = ("model", "model_options", "latents", "framework", "batch", "steps")


def check_shared(specs: Sequence[RunSpec]) -> None:
    """Raise a ValueError unless specifications can train as one population."""
    first = specs[0].to_dict()
    for k, spec in enumerate(specs):
        fields = spec.to_dict()
        for name in _SHARED:
            if fields[name] != first[name]:
                raise ValueError(
                    f"Specification {k} has {name} = {fields[name]!r} and specification 0 has "
                    f"{first[name]!r}, but members of a population share it; train them apart."
                )


class Stack:
    """The perceptrons of a population with stacked weights, (K, out, in) for K members."""

    def __init__(self, networks: Sequence[VAE]):
        self.encoder = _stacked([network.encoder for network in networks])
        self.decoder = _stacked([network.decoder for network in networks])
        self.weights = [p for layer in (*self.encoder, *self.decoder) for p in layer]
        # each member's part of the weights, as views
        self.views = [[p.detach()[k] for p in self.weights] for k in range(len(networks))]

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and log-variances, shape (K, B, z), of images of shape (K, B, C, H, W)."""
        mean, logvar = _forward(self.encoder, x.flatten(2)).chunk(2, -1)
        return mean, logvar

    def decode(self, z: Tensor) -> Tensor:
        """Return the decoders' outputs, shape (K, B, C*H*W), for latents of shape (K, B, z)."""
        return _forward(self.decoder, z)

    def share_gradients(self) -> None:
        """Give each member's views their part of the gradients."""
        for k, views in enumerate(self.views):
            for view, weight in zip(views, self.weights, strict=True):
                view.grad = weight.grad[k]  # type: ignore[index]
        for weight in self.weights:
            weight.grad = None


def _stacked(halves: Sequence[nn.Module]) -> list[tuple[Tensor, Tensor]]:
    """Return stacked weight and bias of each layer of the members' encoders, or decoders."""
    linear = [[m for m in half.modules() if isinstance(m, nn.Linear)] for half in halves]
    layers = []
    for same_layer in zip(*linear, strict=True):
        weight = torch.stack([layer.weight.detach() for layer in same_layer])
        bias = torch.stack([layer.bias.detach() for layer in same_layer])
        layers.append((weight.requires_grad_(), bias.requires_grad_()))
    return layers


def _forward(layers: Sequence[tuple[Tensor, Tensor]], x: Tensor) -> Tensor:
    for weight, bias in layers[:-1]:
        x = F.relu(torch.baddbmm(bias[:, None], x, weight.mT), inplace=True)
    weight, bias = layers[-1]
    return torch.baddbmm(bias[:, None], x, weight.mT)


class _Objective:
    """The objectives of `objectives`, for all members on stacked batches."""

    def __init__(self, specs: Sequence[RunSpec], losses: Sequence[Loss], device: torch.device):
        self.specs = specs
        self.losses = losses
        # a custom loss gets one batch at a time
        equal = all(loss == losses[0] for loss in losses)
        self.one_loss = equal and not properties.is_own(losses[0])
        self.averages = {spec.average for spec in specs}
        published = [spec.average == "published" for spec in specs]
        self.published = torch.tensor(published, device=device)[:, None, None]
        self.warmup = max(
            spec.steps if spec.beta_schedule == "cyclic" else spec.warmup for spec in specs
        )
        self.beta = self._beta_at(self.warmup, device)

    def _beta_at(self, step: int, device: torch.device) -> Tensor:
        betas = [spec.beta_at(step) for spec in self.specs]
        return torch.tensor(betas, dtype=torch.float32, device=device)

    def __call__(self, stack: Stack, x: Tensor, noise: Tensor, step: int | None = None) -> Tensor:
        """Return each member's loss, reconstruction loss and KL divergence, shape (K, 3).

        Without a step, beta has its value after the warm-up.
        """
        beta = self.beta
        if step is not None and step < self.warmup:
            beta = self._beta_at(step, x.device)
        mean, logvar = stack.encode(x)
        if self.specs[0].framework == "ada-gvae":
            mean, logvar = self._averaged(mean, logvar)
        decoded = stack.decode(objectives.reparameterise(mean, logvar, noise)).view_as(x)
        recon = self._recon(decoded, x)
        kl = kl_to_prior(mean, logvar).mean((1, 2))
        return torch.stack([recon + beta * kl, recon, kl], -1)

    def _averaged(self, mean: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
        """Return the posteriors of pairs with shared latents averaged, by each member's rule."""
        by_rule = {
            average: objectives.average_pairs(mean, logvar, average=average, dim=1)
            for average in self.averages
        }
        if len(by_rule) == 1:
            return by_rule.popitem()[1]
        mean = torch.where(self.published, by_rule["published"][0], by_rule["mean"][0])
        logvar = torch.where(self.published, by_rule["published"][1], by_rule["mean"][1])
        return mean, logvar

    def _recon(self, decoded: Tensor, x: Tensor) -> Tensor:
        if self.one_loss:
            return self.losses[0](decoded, x).mean(1)
        return torch.stack(list(map(_mean_loss, self.losses, decoded, x)))


def _mean_loss(loss: Loss, output: Tensor, target: Tensor) -> Tensor:
    """Return a loss as a mean over a batch; NaN where a custom loss fails at a NaN."""
    try:
        return loss(output, target).mean()
    except Exception:  # the user's code may raise anything
        if bool(output.isfinite().all()):
            raise
        return output.mean() * math.nan


class PopulationStep:
    """Takes the optimiser steps of a population; see `step.NetworkStep`."""

    def __init__(self, runs: Sequence[Run]):
        first = runs[0].data
        for k, run in enumerate(runs):
            if (run.data.shape, len(run.data)) != (first.shape, len(first)):
                raise ValueError(
                    f"Specification {k} trains on {len(run.data):,} observations of shape "
                    f"{run.data.shape} and specification 0 on {len(first):,} of {first.shape}, "
                    "which cannot be stacked; train them apart."
                )
        self.runs = runs
        self.stack = Stack([run.model for run in runs])
        # a group for each member: it has its own learning rate, and can be taken out
        self.groups = [
            {"params": views, "lr": run.spec.lr}
            for views, run in zip(self.stack.views, runs, strict=True)
        ]
        self.optimizer = adam(self.groups)
        self.samplers = [BatchSampler(run.spec, run.data) for run in runs]
        self.objective = _Objective(
            [run.spec for run in runs], [run.loss for run in runs], runs[0].data.device
        )

    def weights(self) -> dict[str, Tensor]:
        """Return all weights by their names in a checkpoint."""
        return {f"weights.{i}": weight for i, weight in enumerate(self.stack.weights)}

    def members(self) -> list[tuple[str, dict[str, Tensor], BatchSampler]]:
        """Return each member's prefix in a checkpoint, its weights and its sampler."""
        return [
            (f"{k}.", {str(i): view for i, view in enumerate(views)}, sampler)
            for k, (views, sampler) in enumerate(zip(self.stack.views, self.samplers, strict=True))
        ]

    def train_only(self, members: list[int]) -> None:
        """Train these members only; the others are still computed, but learn no more."""
        self.optimizer.param_groups = [self.groups[k] for k in members]

    @torch.no_grad()
    def write_back(self) -> None:
        """Write the stacked weights, which are trained, into the members' own networks."""
        for run, views in zip(self.runs, self.stack.views, strict=True):
            for parameter, view in zip(run.model.parameters(), views, strict=True):
                parameter.copy_(view)

    def __call__(self, step: int) -> Tensor:
        """Take a step, counted from 0: each member's loss, reconstruction loss and KL, (K, 3)."""
        terms = self.objective(self.stack, *self._batch(), step)
        for group, run in zip(self.groups, self.runs, strict=True):
            if run.spec.lr_schedule != "constant":
                set_rate([group], run.spec.lr_at(step))
        # members share no weights, so the gradient of the sum holds each member's gradient
        terms[:, 0].sum().backward()
        self.stack.share_gradients()
        self.optimizer.step()
        return terms.detach()

    def _batch(self) -> tuple[Tensor, Tensor]:
        """Return the next images and noise of all members, (K, B, C, H, W) and (K, B, z)."""
        images, noise = [], []
        for run, sampler in zip(self.runs, self.samplers, strict=True):
            index = sampler.index()
            images.append(run.data._observations(index, run.normalize))
            noise.append(sampler.noise(len(index)))
        return torch.stack(images), torch.stack(noise)
