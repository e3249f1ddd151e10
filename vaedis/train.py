"""Training: `fit` takes a specification and returns the trained network with everything that is needed to judge it.

Images are made on the device that trains, pairs are drawn there, and losses stay there until they are looked at: there is no loader.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import torch
from torch import Tensor

from vaedis import _check, data as data_sets, frameworks, losses, model as models
from vaedis.data import FactorData
from vaedis.experiments import RunSpec

# the authors' runs were ended when the loss passed this (pytorch-lightning's terminate_on_nan, and their own limit)
_LARGEST_LOSS = 1e20
_LOOK_EVERY = 50
_ENCODE_BATCH = 1024


class TrainingFailed(RuntimeError):
    """A run whose loss became NaN, infinite or absurdly large.

    Attributes
    ----------
    spec : RunSpec
    step : int
        The first step, counted from 1, whose loss was not finite.
    last_finite : float or None
        The loss of the step before it.
    """

    def __init__(self, spec: RunSpec, step: int, value: float, last_finite: float | None):
        self.spec, self.step, self.last_finite = spec, step, last_finite
        before = "there was no finite loss before it" if last_finite is None else f"the last finite loss was {last_finite:.6g}"
        super().__init__(f"The loss became {value} at step {step} of {spec.steps} ({before}); lower beta or lr. The run: {spec}.")


@dataclass
class Run:
    """A finished training run.

    Attributes
    ----------
    spec : RunSpec
    data : FactorData
    model : model.VAE
        In evaluation mode.
    loss : losses.Loss
    history : dict of str to ndarray of float32, shape (steps,)
        ``"loss"``, ``"recon"`` and ``"kl"`` of each step's batch.
    seconds : float
        Wall time of the training steps; a member of a population has its share of the whole.
    failure : TrainingFailed or None
        In a population, why this member stopped before the others; its history then ends there, and its network is of no use.
    """

    spec: RunSpec
    data: FactorData
    model: models.VAE
    loss: losses.Loss
    history: dict[str, np.ndarray]
    seconds: float
    failure: TrainingFailed | None = None

    @property
    def standardise(self) -> bool:
        """Whether the network sees standardised images."""
        return _standardise(self.spec, self.loss)

    @property
    def images_per_second(self) -> float:
        """Images that went forward and backward, a second; a pair counts as two."""
        return self.spec.steps * self.spec.batch * _images_per_item(self.spec) / self.seconds

    @torch.no_grad()
    def posterior(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return the posterior's mean and log-variance of observations.

        Parameters
        ----------
        index : Tensor of int, shape (n,)

        Returns
        -------
        mean, logvar : Tensor of float32, shape (n, z)
        """
        parts = [self.model.encode(self.data.observations(i, standardise=self.standardise)) for i in index.split(_ENCODE_BATCH)]
        mean, logvar = (torch.cat(p) for p in zip(*parts, strict=True))
        return mean, logvar

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Return what the decoder makes of latents, as the network sees images: Tensor of float32, shape (n, C, H, W)."""
        return torch.cat([self.loss.output(self.model.decode(part)) for part in z.split(_ENCODE_BATCH)])

    def pictures(self, z: Tensor) -> Tensor:
        """Return what the decoder makes of latents as images to look at.

        Parameters
        ----------
        z : Tensor of float, shape (n, z)

        Returns
        -------
        Tensor of uint8, shape (n, H, W, C)
            Clipped to 0 … 255.
        """
        x = self.decode(z)
        if self.standardise:
            x = self.data.unstandardise(x)
        return (x.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)


@overload
def fit(
    spec: RunSpec,
    *,
    device: str | torch.device = ...,
    data: FactorData | None = ...,
    callback: Callable[[int, Run], None] | None = ...,
    every: int = ...,
) -> Run: ...
@overload
def fit(
    spec: Sequence[RunSpec],
    *,
    device: str | torch.device = ...,
    data: FactorData | None = ...,
    callback: Callable[[int, Run], None] | None = ...,
    every: int = ...,
) -> list[Run]: ...
def fit(spec, *, device="auto", data=None, callback=None, every=0):
    """Train a VAE.

    Parameters
    ----------
    spec : RunSpec or sequence of RunSpec
        A sequence of multi-layer perceptrons (``model="mlp"``) is trained at once, as one population: specifications may differ in seed,
        beta, learning rate, loss, averaging, pair rule and data, but not in the sizes of layers and batches. Other sequences are trained
        one after the other.
    device : str or torch.device
        "auto" is CUDA if there is a GPU, and the CPU otherwise.
    data : FactorData, optional
        Trained on instead of the data set that `spec` names: for data sets of your own.
    callback : callable, optional
        Called as ``callback(step, run)`` after each `every` steps, with the network in evaluation mode; ``run.history`` then ends at that
        step.
    every : int
        0 for never.

    Returns
    -------
    Run, or list of Run

    Raises
    ------
    TrainingFailed
        If the loss becomes NaN or infinite. In a population, only the member whose loss it is stops, with a warning; see `Run.failure`.
    ValueError
        If a name or an option of the specification does not exist, or a value does not fit, or members of a population cannot be stacked.
    RuntimeError
        If CUDA is asked for and absent.

    Notes
    -----
    Adam with a rate of `spec.lr`, moments .9 and .999, no decay, no schedule and no clipping, as in the paper's runs. Every image of the
    data set comes once an epoch, in a new order. The same specification, device, thread count and version of torch give the same bits.
    """
    if not isinstance(spec, RunSpec):
        for s in spec:
            if not isinstance(s, RunSpec):
                raise TypeError(f"fit takes a RunSpec or a sequence of them, not one that holds {s!r}.")
        if any(s.model == "mlp" for s in spec):
            from vaedis import _population

            return _population.fit(spec, device=device, data=data, callback=callback, every=every)
        return [fit(s, device=device, data=data, callback=callback, every=every) for s in spec]
    _check.count("every", every, 0)
    place = data_sets.resolve_device(device)
    loss = losses.get(spec.loss, **spec.loss_options)
    data = data_sets.load(spec.data, device=place, **spec.data_options) if data is None else data.to(place)
    network = models.build(spec.model, data.shape, spec.latents, seed=spec.seed, **spec.model_options).to(place)
    # convolutions are faster with channels last, on CPUs and on tensor cores alike
    network = network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), lr=spec.lr, fused=place.type == "cuda")
    recorded = torch.zeros(spec.steps, 3, device=place)
    run = Run(spec, data, network, loss, {}, 0.0)

    batches = _batches(spec, data, loss)
    noise_source = _generator(spec, "noise", place)
    looked, seconds, started = 0, 0.0, time.perf_counter()
    with _repeatable():
        for step, x in zip(range(1, spec.steps + 1), batches, strict=False):
            noise = torch.randn(len(x), spec.latents, generator=noise_source, device=place)
            terms = _objective(spec, network, x, noise, loss)
            optimiser.zero_grad(set_to_none=True)
            terms.loss.backward()
            optimiser.step()
            recorded[step - 1] = torch.stack(terms).detach()
            pause = bool(callback) and every > 0 and step % every == 0
            if pause or step % _LOOK_EVERY == 0 or step == spec.steps:
                _stop_if_not_finite(spec, recorded[:step, 0], looked)
                looked = step
            if pause or step == spec.steps:
                seconds += time.perf_counter() - started
                run.seconds = seconds
                run.history = dict(zip(("loss", "recon", "kl"), recorded[:step].T.cpu().numpy(), strict=True))
            if pause:
                network.eval()
                callback(step, run)
                network.train()
                started = time.perf_counter()
    network.eval()
    return run


def _objective(spec: RunSpec, network: models.VAE, x: Tensor, noise: Tensor, loss: losses.Loss) -> frameworks.Terms:
    if spec.framework == "beta-vae":
        return frameworks.beta_vae(network, x, noise, loss=loss, beta=spec.beta)
    return frameworks.ada_gvae(network, x, noise, loss=loss, beta=spec.beta, average=spec.average)


def _batches(spec: RunSpec, data: FactorData, loss: losses.Loss, *, channels_last: bool = True) -> Iterator[Tensor]:
    """Batches without end, in a new order each epoch; for pairs, the first images and then the second ones."""
    order, pairs = (_generator(spec, purpose, data.device) for purpose in ("order", "pairs"))
    standardise = _standardise(spec, loss)
    while True:
        for index in torch.randperm(len(data), generator=order, device=data.device).split(spec.batch):
            if spec.framework == "ada-gvae":
                second = data.factors._sample_pairs(index, spec.pairs, pairs)
                index = torch.cat([index, second])
            yield data._observations(index, standardise, channels_last)


def _standardise(spec: RunSpec, loss: losses.Loss) -> bool:
    # a loss on probabilities needs targets in [0, 1]
    return spec.standardise and not loss.unit_range


def _images_per_item(spec: RunSpec) -> int:
    return 2 if spec.framework == "ada-gvae" else 1


def _generator(spec: RunSpec, purpose: str, device: torch.device) -> torch.Generator:
    """A generator for one purpose: streams of one seed must not repeat each other."""
    digest = hashlib.sha256(f"{spec.seed}/{purpose}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:7], "big"))


@contextlib.contextmanager
def _repeatable() -> Iterator[None]:
    """Keep to cuDNN's repeatable convolutions; the others add up in an order that changes from run to run, and gain a fifth at most."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before


def _stop_if_not_finite(spec: RunSpec, recorded: Tensor, looked: int) -> None:
    new = recorded[looked:].cpu()
    bad = ~(new.abs() < _LARGEST_LOSS)  # catches NaN as well
    if bad.any():
        at = int(bad.nonzero()[0])
        before = float(recorded[looked + at - 1]) if looked + at else None
        raise TrainingFailed(spec, looked + at + 1, float(new[at]), before)
