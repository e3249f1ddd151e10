"""Many small networks trained at once: their weights are stacked, so that one batched product serves
all members of a population.

A small network is not held up by arithmetic but by all that surrounds it: calls, threads that wait
for each other, products too small to share out. Members stay apart in everything else: each has its
own seed, data, beta and learning rate, and what happens to one does not reach the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaedis import _check, data as data_sets, losses as loss_functions
from vaedis.data import FactorData
from vaedis.losses import Loss, kl_to_prior, properties
from vaedis.spec import RunSpec
from vaedis.training import (
    checkpoint as _checkpoint,
    fit as train,
    loop,
    model,
    objectives,
    step as _step,
)
from vaedis.training.batches import Draws
from vaedis.training.fit import Run, TrainingFailed
from vaedis.training.loop import TrainingStopped

# what members must have in common, and why
_SHARED = {
    "model": "other networks have other layers",
    "model_options": "layers of different widths cannot be stacked",
    "latents": "layers of different widths cannot be stacked",
    "framework": "a step of Ada-GVAE takes pairs, one of beta-VAE single images",
    "batch": "batches of different lengths cannot be stacked",
    "steps": "all members end at the same step",
}


def fit(
    specs: Sequence[RunSpec],
    *,
    device: str | torch.device = "auto",
    data: FactorData | None = None,
    callback: Callable[[int, Run], None] | None = None,
    every: int = 0,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 1000,
    time_is_up: Callable[[], bool] = lambda: False,
) -> list[Run]:
    """Train a population of multi-layer perceptrons; see `vaedis.fit`, which calls this for a sequence
    of them.

    Returns
    -------
    list of Run
        In the order of `specs`. A member whose loss became NaN or infinite has its `Run.failure`
        set.

    Raises
    ------
    ValueError
        If members cannot be stacked; the message says which and why.
    TrainingStopped
        If the time was up.
    """
    _check.count("every", every, 0)
    _check.count("checkpoint_every", checkpoint_every)
    check_shared(specs)
    place = data_sets.resolve_device(device)
    loss = [loss_functions.get(s.loss, **s.loss_options) for s in specs]
    sources = _load(specs, place, data)
    for s, one, source in zip(specs, loss, sources, strict=True):
        train.need_repeatable(one, source, s)
    networks = [
        model.build(s.model, d.shape, s.latents, seed=s.seed, **s.model_options).to(place)
        for s, d in zip(specs, sources, strict=True)
    ]
    trained = (
        specs
        if data is None
        else [train.on_given(spec, source) for spec, source in zip(specs, sources, strict=True)]
    )
    runs = [Run(*parts, {}, 0.0) for parts in zip(trained, sources, networks, loss, strict=True)]
    kept = _Kept(runs, specs, place, checkpoint)
    held, waits = _step.arithmetic("float32"), loop.ctrl_c_waits(kept.checkpoints is not None)
    with _step.on_device(place), held, waits as interrupted:
        _train(
            kept,
            _Objective(specs, loss, place),
            time_is_up,
            interrupted,
            callback,
            every,
            checkpoint_every,
        )
    for run in runs:
        run.model.eval()
    return runs


def check_shared(specs: Sequence[RunSpec]) -> None:
    """Raise a ValueError unless specifications can train as one population; it says which one
    cannot and why.
    """
    for k, spec in enumerate(specs):
        for name, why in _SHARED.items():
            ours, first = spec.to_dict()[name], specs[0].to_dict()[name]
            if ours != first:
                raise ValueError(
                    f"Specification {k} has {name} = {ours!r} and specification 0 has {first!r}, but {why}; train them apart."
                )


def _load(
    specs: Sequence[RunSpec], place: torch.device, data: FactorData | None
) -> list[FactorData]:
    """The members' data sets, each made once."""
    if data is not None:
        for loss in (loss_functions.get(spec.loss, **spec.loss_options) for spec in specs):
            if loss.unit_range:
                data.need_unit_range(loss.name)
        return [data.to(place)] * len(specs)
    found: list[FactorData] = []
    for k, spec in enumerate(specs):
        earlier = zip(found, specs, strict=False)
        made = (
            data
            for data, other in earlier
            if (other.data, other.data_options) == (spec.data, spec.data_options)
        )
        found.append(
            next(made, None) or data_sets.load(spec.data, device=place, **spec.data_options)
        )
        if (found[k].shape, len(found[k])) != (found[0].shape, len(found[0])):
            raise ValueError(
                f"Specification {k} trains on {len(found[k]):,} observations of shape {found[k].shape} and specification 0 on "
                f"{len(found[0]):,} of {found[0].shape}, which cannot be stacked; train them apart."
            )
    return found


class Stack:
    """The fully connected networks of a population, their weights stacked: ``(K, out, in)`` for K
    members.

    Parameters
    ----------
    networks : sequence of model.VAE
        As `model.mlp_vae` makes them, all with the same layers.
    """

    def __init__(self, networks: Sequence[model.VAE]):
        self.networks = networks
        self.encoder, self.decoder = (
            [self._stacked(layers) for layers in _aligned(networks, half)]
            for half in ("encoder", "decoder")
        )
        self.weights = [p for layer in (*self.encoder, *self.decoder) for p in layer]
        self.own = [[p.detach()[k] for p in self.weights] for k in range(len(networks))]
        """Each member's part of the weights, as views."""

    @staticmethod
    def _stacked(layers: Sequence[nn.Linear]) -> tuple[Tensor, Tensor]:
        weight = torch.stack([layer.weight.detach() for layer in layers])
        bias = torch.stack([layer.bias.detach() for layer in layers])
        return weight.requires_grad_(), bias.requires_grad_()

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and log-variances, each of shape (K, B, z), for observations of shape (K, B,
        C, H, W).
        """
        mean, logvar = _through(self.encoder, x.flatten(2)).chunk(2, -1)
        return mean, logvar

    def decode(self, z: Tensor) -> Tensor:
        """Return the decoders' outputs, shape (K, B, C*H*W), for latents of shape (K, B, z)."""
        return _through(self.decoder, z)

    def share_gradients(self) -> None:
        """Give each member's views their part of the gradients."""
        for k, views in enumerate(self.own):
            for view, weight in zip(views, self.weights, strict=True):
                view.grad = weight.grad[k]  # type: ignore[index]
        for weight in self.weights:
            weight.grad = None

    @torch.no_grad()
    def copy_back(self) -> None:
        """Write the stacked weights into the members' own networks."""
        for k, network in enumerate(self.networks):
            for parameter, stacked in zip(network.parameters(), self.weights, strict=True):
                parameter.copy_(stacked[k])


def _aligned(networks: Sequence[model.VAE], half: str) -> list[tuple[nn.Linear, ...]]:
    """The members' layers side by side."""
    return list(
        zip(
            *([m for m in getattr(n, half) if isinstance(m, nn.Linear)] for n in networks),
            strict=True,
        )
    )


def _through(layers: Sequence[tuple[Tensor, Tensor]], x: Tensor) -> Tensor:
    for weight, bias in layers[:-1]:
        x = F.relu(torch.baddbmm(bias[:, None], x, weight.mT), inplace=True)
    weight, bias = layers[-1]
    return torch.baddbmm(bias[:, None], x, weight.mT)


class _Objective:
    """The members' objectives on stacked batches: those of `frameworks`, member by member."""

    def __init__(self, specs: Sequence[RunSpec], losses: Sequence[Loss], place: torch.device):
        self.specs, self.losses = specs, losses
        self.beta = torch.tensor([s.beta for s in specs], dtype=torch.float32, device=place)
        # of a loss of one's own no more is asked than one batch at a time
        self.shared = all(loss == losses[0] for loss in losses) and not properties.is_own(losses[0])
        self.warmup = max(s.warmup for s in specs)
        self.averages = {s.average for s in specs}
        self.published = torch.tensor([s.average == "published" for s in specs], device=place)[
            :, None, None
        ]

    def __call__(self, stack: Stack, x: Tensor, noise: Tensor, step: int | None = None) -> Tensor:
        """Return loss, reconstruction loss and KL divergence of each member at a step, or after its
        warm-up: shape (K, 3).
        """
        warms = step is not None and step < self.warmup
        beta = (
            torch.tensor(
                [s.beta_at(step) for s in self.specs], dtype=torch.float32, device=x.device
            )
            if warms
            else self.beta
        )  # type: ignore[arg-type]
        mean, logvar = stack.encode(x)
        if self.specs[0].framework == "ada-gvae":
            mean, logvar = self._averaged(mean, logvar)
        decoded = stack.decode(objectives.reparameterise(mean, logvar, noise)).view_as(x)
        recon = self._recon(decoded, x)
        kl = kl_to_prior(mean, logvar).mean((1, 2))
        return torch.stack([recon + beta * kl, recon, kl], -1)

    def _averaged(self, mean: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
        (mean0, mean1), (logvar0, logvar1) = mean.chunk(2, 1), logvar.chunk(2, 1)
        made = {
            a: objectives.average_shared(mean0, logvar0, mean1, logvar1, average=a)
            for a in self.averages
        }
        if len(made) == 1:
            (parts,) = made.values()
        else:
            parts = tuple(
                torch.where(self.published, p, m)
                for p, m in zip(made["published"], made["mean"], strict=True)
            )  # type: ignore[assignment]
        mean0, logvar0, mean1, logvar1 = parts
        return torch.cat([mean0, mean1], 1), torch.cat([logvar0, logvar1], 1)

    def _recon(self, decoded: Tensor, x: Tensor) -> Tensor:
        if self.shared:
            return self.losses[0](decoded, x).mean(1)
        return torch.stack(
            [loss(d, t).mean() for loss, d, t in zip(self.losses, decoded, x, strict=True)]
        )


class _Kept:
    """What changes from step to step in a population, and its checkpoints; as `_loop.Kept` for a
    single run.

    Parameters
    ----------
    runs : sequence of Run
    specs : sequence of RunSpec
        As they were given, which checkpoints are named by.
    place : torch.device
    folder : path or None
        Of checkpoints; if there is one of this population, it is taken up from there.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        specs: Sequence[RunSpec],
        place: torch.device,
        folder: str | Path | None,
    ):
        self.runs, self.stack = runs, Stack([run.model for run in runs])
        # a group of its own for each member: its learning rate is its own, and it can be taken out
        self.groups = [
            {"params": views, "lr": run.spec.lr}
            for views, run in zip(self.stack.own, runs, strict=True)
        ]
        self.optimiser = torch.optim.Adam(self.groups, fused=True)
        self.draws = [Draws(run.spec, run.data) for run in runs]
        self.recorded = torch.zeros(
            len(runs), runs[0].spec.steps, 3, dtype=torch.float32, device=place
        )
        self.living = list(range(len(runs)))
        self.step = self.looked = 0
        self.seconds = 0.0
        self.checkpoints = None
        if folder is not None:
            self.checkpoints = _checkpoint.Checkpoints(
                folder, specs, runs[0].data, runs[0].precision
            )
            if (found := self.checkpoints.load(self._expected)) is not None:
                self._take_up(*found)
            for run in runs:
                run.made_with = tuple(self.checkpoints.made_with)

    def batch(self) -> tuple[Tensor, Tensor]:
        """Return the next observations and noise of all members, shapes (K, B, C, H, W) and (K, B,
        z).
        """
        observed, noise = [], []
        for run, draws in zip(self.runs, self.draws, strict=True):
            index = draws.index()
            observed.append(run.data._observations(index, train._normalize(run.spec, run.loss)))
            noise.append(draws.noise(len(index)))
        return torch.stack(observed), torch.stack(noise)

    def look(self) -> None:
        """Wait for the device, and take out the members whose loss since the last look is not
        finite.
        """
        for k in list(self.living):
            try:
                loop._stop_if_not_finite(
                    self.runs[k].spec, self.recorded[k, : self.step, 0], self.looked
                )
            except TrainingFailed as failure:
                self.runs[k].failure = failure
                self.living.remove(k)
        # those that failed are still computed, but learn no more
        self.optimiser.param_groups = [
            group for k, group in enumerate(self.groups) if k in self.living
        ]
        self.looked = self.step

    def report(self) -> None:
        """Give each run its network and history so far, up to the step at which it failed, and its
        share of the time.
        """
        self.stack.copy_back()
        for run, terms in zip(self.runs, self.recorded, strict=True):
            last = min(self.step, run.failure.step) if run.failure else self.step
            run.history = dict(
                zip(("loss", "recon", "kl"), terms[:last].T.cpu().numpy(), strict=True)
            )
            run.seconds, run.taken = self.seconds / len(self.runs), self.step

    def save(self) -> Path | None:
        """Write a checkpoint if they were asked for, and return where it is."""
        return (
            None
            if self.checkpoints is None
            else self.checkpoints.save(self.step, self._state(self.step))
        )

    def _state(self, step: int) -> dict[str, Tensor]:
        state = {f"weights.{i}": weight for i, weight in enumerate(self.stack.weights)}
        for k, (views, draws) in enumerate(zip(self.stack.own, self.draws, strict=True)):
            rest = _checkpoint.pack_rest(_named(views), self.optimiser, draws)
            state |= {f"{k}.{name}": tensor for name, tensor in rest.items()}
        seconds = torch.tensor(self.seconds, dtype=torch.float64)
        return {**state, "recorded": self.recorded[:, :step], "seconds": seconds}

    def _expected(self, step: int) -> dict[str, Tensor]:
        """Tensors as a checkpoint of this population holds them at a step."""
        state = self._state(step)
        for k, views in enumerate(self.stack.own if step else ()):
            state |= {
                f"{k}.{name}": tensor for name, tensor in _checkpoint.moments(_named(views)).items()
            }
        return state

    @torch.no_grad()
    def _take_up(self, step: int, state: dict[str, Tensor]) -> None:
        self.step, self.seconds = step, float(state["seconds"])
        for i, weight in enumerate(self.stack.weights):
            weight.copy_(state[f"weights.{i}"])
        for k, (views, draws) in enumerate(zip(self.stack.own, self.draws, strict=True)):
            _checkpoint.unpack_rest(
                _checkpoint.part(state, f"{k}."), _named(views), self.optimiser, draws
            )
        self.recorded[:, :step] = state["recorded"].to(self.recorded.device)
        # who had failed fails again
        self.look()


def _named(views: Sequence[Tensor]) -> dict[str, Tensor]:
    return {str(i): view for i, view in enumerate(views)}


def _train(
    kept: _Kept,
    objective: _Objective,
    time_is_up: Callable[[], bool],
    interrupted: Callable[[], bool],
    callback: Callable[[int, Run], None] | None,
    every: int,
    checkpoint_every: int,
) -> None:
    specs = [run.spec for run in kept.runs]
    started = time.perf_counter()
    while kept.step < specs[0].steps and kept.living:
        if (by_hand := interrupted()) or time_is_up():
            kept.look()
            kept.seconds += time.perf_counter() - started
            stopped = TrainingStopped(specs[0], kept.step, kept.save(), len(specs))
            raise (
                KeyboardInterrupt(str(stopped).replace("since the time was up", "by Ctrl-C"))
                if by_hand
                else stopped
            )
        terms = objective(kept.stack, *kept.batch(), kept.step)
        # members share no weights, so the gradient of the sum holds each one's own, whatever the
        # others' losses are
        terms[:, 0].sum().backward()
        kept.stack.share_gradients()
        kept.optimiser.step()
        kept.recorded[:, kept.step] = terms.detach()
        kept.step += 1
        last = kept.step == specs[0].steps
        calls = callback is not None and every > 0 and kept.step % every == 0
        saves = last or kept.step % checkpoint_every == 0
        if calls or saves or kept.step % loop._LOOK_EVERY == 0:
            kept.look()
        if calls or saves:
            kept.seconds += time.perf_counter() - started
            if calls:
                kept.report()
                for run in (kept.runs[k] for k in kept.living):
                    run.model.eval()
                    callback(kept.step, run)  # type: ignore[misc]
                    run.model.train()
            if saves:
                kept.save()
            started = time.perf_counter()
    kept.seconds += time.perf_counter() - started
    kept.report()
