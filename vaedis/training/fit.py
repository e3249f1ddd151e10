"""Training: `fit` takes a specification and returns the trained network with everything that is needed
to judge it.

Images are made on the device that trains, pairs are drawn there, and losses stay there until they
are looked at: there is no loader.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from torch import Tensor

from vaedis import _check, data as data_sets, losses
from vaedis.data import FactorData
from vaedis.losses import properties
from vaedis.spec import GIVEN, RunSpec
from vaedis.training import checkpoint as _checkpoint, loop, model as models, step
from vaedis.training.loop import TrainingFailed, TrainingStopped

if TYPE_CHECKING:
    from vaedis.metrics import Score

__all__ = ["Run", "TrainingFailed", "TrainingStopped", "fit", "forget"]

_ENCODE_BATCH = 1024


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
        Wall time of the training steps, those before a checkpoint included; a member of a
        population has its share of the whole.
    precision : {"float32", "tf32", "bf16"}
        Of the arithmetic.
    failure : TrainingFailed or None
        In a sequence of runs, why this one stopped before its last step; its history then ends
        there, and its network is of no use.
    taken : int
        Steps that were taken so far, in `seconds`; of a run that failed, up to when that was
        noticed.
    made_with : tuple of str
        With checkpoints, the torch and, on a CPU, the number of threads that took the steps; more
        than one if a checkpoint of others was taken up.

    Notes
    -----
    The spec of a run whose data were given to `fit` names those, as in ``data="given: table"``; the
    store has no row for such a run.
    """

    spec: RunSpec
    data: FactorData
    model: models.VAE
    loss: losses.Loss
    history: dict[str, np.ndarray]
    seconds: float
    precision: str = "float32"
    failure: TrainingFailed | None = None
    taken: int = 0
    made_with: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Note in the network what it sees, for those who are given nothing else."""
        self.model.normalize = self.normalize

    @property
    def normalize(self) -> bool:
        """Whether the network sees normalized images."""
        return _normalize(self.spec, self.loss)

    @property
    def images_per_second(self) -> float:
        """Images that went forward and backward so far, a second; a pair counts as two."""
        batch, n = self.spec.batch, len(self.data)
        # the last batch of an epoch may be shorter
        epochs, rest = divmod(self.taken, -(-n // batch))
        return (epochs * n + min(rest * batch, n)) * _images_per_item(self.spec) / self.seconds

    def observations(self, index: Tensor) -> Tensor:
        """Return observations by index as the network sees them, normalized or not: Tensor of
        float32, shape (B, C, H, W).
        """
        return self.data.observations(torch.as_tensor(index), normalize=self.normalize)

    def scores(
        self, metrics: Iterable[str] = ("mig", "dci"), *, protocol: str = "full", seed: int = 0
    ) -> dict[str, Score]:
        """Score the representation: `metrics.evaluate` of the network and its data set.

        Parameters
        ----------
        metrics : iterable of str
        protocol : {"full", "fast"}
        seed : int

        Returns
        -------
        dict of str to Score
        """
        from vaedis.metrics import evaluate

        return evaluate(self.model, self.data, metrics=metrics, protocol=protocol, seed=seed)

    @torch.no_grad()
    def posterior(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return the posterior's mean and log-variance of observations.

        Parameters
        ----------
        index : Tensor of int, shape (n,)
            Or what can be made one.

        Returns
        -------
        mean, logvar : Tensor of float32, shape (n, z)
        """
        parts = [
            self.model.encode(self.observations(i))
            for i in torch.as_tensor(index).split(_ENCODE_BATCH)
        ]
        mean, logvar = (torch.cat(p) for p in zip(*parts, strict=True))
        return mean, logvar

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Return what the decoder makes of latents, as the network sees images: Tensor of float32,
        shape (n, C, H, W).
        """
        z = torch.as_tensor(z, dtype=torch.float32, device=self.data.device)
        return torch.cat(
            [self.loss.output(self.model.decode(part)) for part in z.split(_ENCODE_BATCH)]
        )

    def decode_images(self, z: Tensor) -> Tensor:
        """Return what the decoder makes of latents as images to look at.

        Parameters
        ----------
        z : Tensor of float, shape (n, z)

        Returns
        -------
        Tensor of uint8, shape (n, H, W, C)
            Clipped to 0 … 255; see `FactorData.for_display`.
        """
        x = self.decode(z)
        if self.normalize:
            x = self.data.denormalize(x)
        return self.data.for_display(x).permute(0, 2, 3, 1)


@overload
def fit(
    spec: RunSpec,
    *,
    device: str | torch.device = ...,
    data: Any = ...,
    precision: str = ...,
    callback: Callable[[int, Run], None] | None = ...,
    every: int = ...,
    checkpoint: str | Path | None = ...,
    checkpoint_every: int = ...,
    deadline: float | Callable[[], bool] | None = ...,
) -> Run: ...
@overload
def fit(
    spec: Sequence[RunSpec],
    *,
    device: str | torch.device = ...,
    data: Any = ...,
    precision: str = ...,
    callback: Callable[[int, Run], None] | None = ...,
    every: int = ...,
    checkpoint: str | Path | None = ...,
    checkpoint_every: int = ...,
    deadline: float | Callable[[], bool] | None = ...,
) -> list[Run]: ...
@step.undisturbed()
def fit(
    spec,
    *,
    device="auto",
    data=None,
    precision="auto",
    callback=None,
    every=0,
    checkpoint=None,
    checkpoint_every=1000,
    deadline=None,
):
    """Train a VAE.

    Parameters
    ----------
    spec : RunSpec or sequence of RunSpec
        A sequence of multi-layer perceptrons (``model="mlp"``) is trained at once, as one
        population: specifications may differ in seed, beta, warm-up, learning rate, loss,
        averaging, pair rule and data, but not in the sizes of layers and batches. Other sequences
        are trained one after the other. In all of them the failure of one run ends no other.
    device : str or torch.device
        "auto" is CUDA if there is a GPU, and the CPU otherwise.
    data : FactorData, (images, labels), name or path, optional
        Trained on instead of the data set that `spec` names: for data sets of your own. Whatever
        `data.as_data` takes. The spec of the run says so, and its key is that of no other data.
    precision : {"auto", "float32", "tf32", "bf16"}
        Of the network's arithmetic; weights and losses are float32. "auto" is "tf32" on a GPU; on a
        CPU, "bf16" for the convolutional network if the CPU has instructions for it (AVX-512 BF16
        or AMX), and "float32" otherwise. Populations of perceptrons are float32.
    callback : callable, optional
        Called as ``callback(step, run)`` after each `every` steps, with the network in evaluation
        mode; ``run.history`` then ends at that step.
    every : int
        At least 1 if there is a callback.
    checkpoint : path, optional
        A folder for checkpoints of the run, or of the population as a whole. If it holds one of the
        same specifications, training goes on from there and ends with the same bits, on the same
        device, as if it had never been interrupted; with another number of threads or another torch
        it goes on with a warning. Ctrl-C ends the step, writes a checkpoint, and is then raised as
        KeyboardInterrupt. The last two are kept; `forget` removes them. Needs safetensors.
    checkpoint_every : int
        Steps between checkpoints; there is one at the end too.
    deadline : float or callable, optional
        Stop between two steps after so many seconds, or as soon as this returns true, and leave a
        checkpoint.

    Returns
    -------
    Run, or list of Run

    Raises
    ------
    TrainingFailed
        If the loss becomes NaN or infinite. Of a sequence, only the run whose loss it is stops,
        with a warning; see `Run.failure`.
    TrainingStopped
        If the deadline was reached; of a sequence that is trained one after the other, with the
        runs that had ended.
    ValueError
        If a name or an option of the specification does not exist, or a value does not fit, or
        members of a population cannot be stacked.
    RuntimeError
        If CUDA is asked for and absent.
    ImportError
        If checkpoints are asked for and safetensors is not installed.

    Notes
    -----
    Adam with a rate of `spec.lr`, moments .9 and .999, no decay, no schedule and no clipping, as in
    the paper's runs. Every image of the data set comes once an epoch, in a new order. The same
    specification, device, precision, thread count and version of torch give the same bits.
    """
    options = {
        "device": device,
        "data": None if data is None else data_sets.as_data(data),
        "callback": callback,
        "every": every,
        "checkpoint": checkpoint,
        "checkpoint_every": checkpoint_every,
        "time_is_up": loop.time_is_up(deadline),
    }
    _check.one_of("precision", precision, step.PRECISIONS)
    if _check.count("every", every, 0) == 0 and callback is not None:
        raise ValueError(
            "There is a callback, but every is 0; say after how many steps it is to be called, for instance every=100."
        )
    alone = functools.partial(_alone, precision=precision, **options)
    if isinstance(spec, RunSpec):
        run = alone(spec)
        if run.failure is not None:
            raise run.failure
        return run
    if not isinstance(spec, Iterable):
        raise TypeError(
            f"fit takes a RunSpec or a sequence of them, not a {type(spec).__name__}; a data set of your own "
            "goes as in fit(RunSpec(...), data=mine)."
        )
    specs = list(spec)
    for s in specs:
        if not isinstance(s, RunSpec):
            raise TypeError(f"fit takes a RunSpec or a sequence of them, not one that holds {s!r}.")
    if any(s.model == "mlp" for s in specs):
        from vaedis.training import population

        if precision not in ("auto", "float32"):
            raise ValueError(
                f"A population of perceptrons is trained in float32, not {precision!r}; use 'auto', or train one by one."
            )
        runs = population.fit(specs, **options)
    else:
        runs = []
        try:
            for s in specs:
                runs.append(alone(s))
        except TrainingStopped as stopped:
            stopped.runs = runs
            raise
    for run in runs:
        if run.failure is not None:
            warnings.warn(
                f"One of {len(runs)} runs stopped, the others went on: {run.failure}",
                RuntimeWarning,
                stacklevel=3,
            )
    return runs


def _alone(
    spec: RunSpec,
    *,
    device,
    data,
    precision,
    callback,
    every,
    checkpoint,
    checkpoint_every,
    time_is_up,
) -> Run:
    """Train one run by itself, with the arguments of `fit`; a run that failed has its `Run.failure`
    set.
    """
    _check.count("checkpoint_every", checkpoint_every)
    place = data_sets.resolve_device(device)
    precision = step.resolve_precision(precision, place, spec.model)
    loss = losses.get(spec.loss, **spec.loss_options)
    given = data is not None
    data = data.to(place) if given else data_sets.load(spec.data, device=place, **spec.data_options)
    if loss.unit_range:
        data.need_unit_range(loss.name)
    need_repeatable(loss, data, spec)
    network = models.build(
        spec.model, data.shape, spec.latents, seed=spec.seed, **spec.model_options
    ).to(place)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    run = Run(on_given(spec, data) if given else spec, data, network, loss, {}, 0.0, precision)
    kept = loop.Kept(run, spec, checkpoint)
    try:
        with step.on_device(place), step.arithmetic(precision):
            loop.train(run, kept, time_is_up, callback, every, checkpoint_every)
    except TrainingFailed as failure:
        run.failure = failure
    network.eval()
    return run


def on_given(spec: RunSpec, data: FactorData) -> RunSpec:
    """Return what a specification becomes that was trained on data that were given: one that names
    them, by some of their images.
    """
    return spec.replace(
        data=f"{GIVEN}{data.name}", data_options={"images": _checkpoint.fingerprint_of(data)}
    )


def forget(spec: RunSpec | Sequence[RunSpec], checkpoint: str | Path) -> None:
    """Remove the checkpoints of a run or a population, once its result is stored.

    Parameters
    ----------
    spec : RunSpec or sequence of RunSpec
        As `fit` was given it, if that was one run or a population of perceptrons; runs that were
        trained one after the other are forgotten one by one.
    checkpoint : path
        The folder that `fit` was given.
    """
    _checkpoint.clear(spec, checkpoint)


def need_repeatable(loss: losses.Loss, data: FactorData, spec: RunSpec) -> None:
    """Raise a ValueError if a loss of one's own gives something else than a number for each image,
    or another one each time.
    """
    if properties.is_own(loss):
        index = torch.arange(min(len(data), 2), device=data.device)
        properties.need_repeatable(
            loss,
            data._observations(index, _normalize(spec, loss), channels_last=spec.model == "conv"),
        )


def _normalize(spec: RunSpec, loss: losses.Loss) -> bool:
    # a loss on probabilities needs targets in [0, 1]
    return spec.normalize and not loss.unit_range


def _images_per_item(spec: RunSpec) -> int:
    return 2 if spec.framework == "ada-gvae" else 1
