"""What training gives: a `Run`, or one of two exceptions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from vaedis._support.brief import curve, table
from vaedis._support.text import names_of_own, plain
from vaedis.data import FactorData
from vaedis.losses import Loss
from vaedis.spec import RunSpec
from vaedis.training.export import export_onnx
from vaedis.training.model import VAE, mark_normalize
from vaedis.training.saved import save_run

if TYPE_CHECKING:
    from vaedis.metrics import Score

_ENCODE_BATCH = 1024


class TrainingFailed(RuntimeError):
    """The loss became NaN, infinite or larger than 1e20, or one of its parts NaN or infinite.

    Its `step`, counted from 1, is the first with such a `term`, ``"loss"``, ``"recon"`` or
    ``"kl"``; `last_finite` is the term before it, or None; `spec` is the run's. The `term` is
    ``"weights"`` if the last step alone failed, so that no loss shows it.

    Examples
    --------
    >>> print(TrainingFailed(RunSpec(), step=7, value=float("nan"), last_finite=0.5))
    ... # doctest: +ELLIPSIS
    The loss became nan at step 7 of 57600 (the last finite loss was 0.5); lower beta or lr. ...
    """

    def __init__(
        self,
        spec: RunSpec,
        step: int,
        value: float,
        last_finite: float | None,
        term: str = "loss",
    ):
        self._made_of = (spec, step, value, last_finite, term)
        self.spec = spec
        self.step = step
        self.last_finite = last_finite
        self.term = term
        history = f"there was no finite {term} before it"
        if last_finite is not None:
            history = f"the last finite {term} was {last_finite:.6g}"
        what = f"The {term} became {value} at step {step} of {spec.steps} ({history})"
        if term == "weights":
            what = f"The weights became NaN or infinite in step {step} of {spec.steps}"
        super().__init__(f"{what}; lower beta or lr. The run: {' '.join(repr(spec).split())}.")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._made_of


class TrainingStopped(Exception):
    """Training ended between two steps because `deadline` returned true.

    Its `step` is how many steps were taken, `checkpoint` the path from which training can continue,
    or None, and `spec` the run's, or that of a population's first member. In a sequence that is
    trained one after the other, `runs` are those that ended before.

    Examples
    --------
    >>> print(TrainingStopped(RunSpec(), step=100, checkpoint=None))  # doctest: +ELLIPSIS
    Stopped at step 100 of 57600, since the time was up; no checkpoint was written. ...
    """

    def __init__(
        self,
        spec: RunSpec,
        step: int,
        checkpoint: Path | None,
        members: int = 1,
        reason: str = "since the time was up",
    ):
        self._made_of = (spec, step, checkpoint, members, reason)
        self.spec = spec
        self.step = step
        self.checkpoint = checkpoint
        self.runs: list[Run] = []
        written = f"its checkpoint is {checkpoint}" if checkpoint else "no checkpoint was written"
        subject = "The run" if members == 1 else f"The first of {members} runs"
        super().__init__(
            f"Stopped at step {step} of {spec.steps}, {reason}; {written}. {subject}: "
            f"{' '.join(repr(spec).split())}."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._made_of, {"runs": self.runs}


@dataclass
class Run:
    """A trained network with its data, loss and history.

    Attributes
    ----------
    spec : RunSpec
        The specification. If a data set was passed to `fit`, it names that data set, as in
        ``data="given: mine"``.
    data : FactorData
    model : VAE
        In evaluation mode.
    loss : Loss
    precision : {"float32", "tf32", "bf16"}
        Of the arithmetic.
    history : dict of str to ndarray of float32, shape (steps taken,)
        ``"loss"``, ``"recon"`` and ``"kl"`` of each step's batch.
    seconds : float
        Wall time of the training steps, including those before a checkpoint. A member of a
        population has its share of the common time.
    steps_taken : int
        Steps in `seconds`. A failure is noticed some steps after the last one in `history`.
    failure : TrainingFailed or None
        Why this run of a sequence stopped early; its network must not be used then.
    made_with : tuple of str
        With checkpoints, torch's version and, on a CPU, threads; several if they changed.
    record : mapping
        Contents of the file of a loaded run: ``"scores"``, ``"versions"`` and so on.

    Examples
    --------
    >>> import vaedis as vd
    >>> options = {"image_size": 8, "square_size": 2, "grid_size": 3, "num_squares": 1}
    >>> spec = vd.RunSpec(data_options=options, model="mlp", latents=2, steps=5, batch=9)
    >>> run = vd.fit(spec, device="cpu")
    >>> run.history["loss"].shape
    (5,)
    >>> mean, logvar = run.posterior([0, 4])
    >>> mean.shape
    torch.Size([2, 2])
    >>> run.decode_images(mean).shape
    torch.Size([2, 8, 8, 3])
    """

    spec: RunSpec
    data: FactorData
    model: VAE
    loss: Loss
    precision: str = "float32"
    history: dict[str, np.ndarray] = field(default_factory=dict)
    seconds: float = 0.0
    steps_taken: int = 0
    failure: TrainingFailed | None = None
    made_with: tuple[str, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return "\n".join(["Run", *(f"  {name:10}  {text}" for name, text in self._facts().items())])

    def _repr_html_(self) -> str:
        losses = self.history.get("loss", np.empty(0)).tolist()
        return table("Run", self._facts(), curve("loss of each step", losses) if losses else "")

    @property
    def normalize(self) -> bool:
        """Whether the network sees normalized images; a loss on probabilities needs [0, 1]."""
        return self.spec.normalize and not self.loss.unit_range

    @property
    def images_per_second(self) -> float:
        """Images that went forward and backward so far per second; a pair counts as two.

        NaN if no time was measured.
        """
        return self.images_in(self.steps_taken) / self.seconds if self.seconds else math.nan

    def images_in(self, steps: int) -> int:
        """Return how many images go forward and backward in the first `steps` steps."""
        n = len(self.data)
        epochs, batches = divmod(steps, -(-n // self.spec.batch))
        # the last batch of an epoch may be shorter
        images = epochs * n + min(batches * self.spec.batch, n)
        return images * 2 if self.spec.framework == "ada-gvae" else images

    def observations(self, index: Tensor) -> Tensor:
        """Return images as the network sees them: Tensor of float32, shape (B, C, H, W)."""
        return self.data.observations(torch.as_tensor(index), normalize=self.normalize)

    def scores(
        self, metrics: Iterable[str] = ("mig", "dci"), *, protocol: str = "full", seed: int = 0
    ) -> dict[str, Score]:
        """Score the representation; see `metrics.evaluate` for arguments and result."""
        from vaedis.metrics import evaluate

        self._need_use()
        # the network may be one that was put into this run by hand
        mark_normalize(self.model, self.normalize)
        return evaluate(self.model, self.data, metrics=metrics, protocol=protocol, seed=seed)

    @torch.no_grad()
    def posterior(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of the posterior, (n, z), of images at indices (n,)."""
        self._need_use()
        index = to_tensor("index", "indices", index)
        if index.ndim != 1:
            raise ValueError(f"index must have the shape (n,), not {tuple(index.shape)}.")
        batches = index.split(_ENCODE_BATCH)
        posteriors = [self.model.encode(self.observations(batch)) for batch in batches]
        mean, logvar = (torch.cat(parts) for parts in zip(*posteriors, strict=True))
        if self._is_bad(mean, logvar):
            raise ValueError(
                "the posteriors are NaN or infinite, so the network is of no use; train it with a "
                "lower beta or lr."
            )
        return mean, logvar

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Return decoded latents as the network sees images: float32, shape (n, C, H, W)."""
        self._need_use()
        z = to_tensor("latents", "numbers", z).to(self.data.device, torch.float32)
        if z.ndim != 2 or z.shape[1] != self.spec.latents:
            raise ValueError(
                f"latents must have the shape (n, {self.spec.latents}), not {tuple(z.shape)}."
            )
        if self._is_bad(z):
            raise ValueError("latents must be finite numbers, but some are NaN or infinite.")
        # copies, since a network may write into its latents
        outputs = [self.model.decode(batch.clone()) for batch in z.split(_ENCODE_BATCH)]
        x = torch.cat([self.loss.output(output) for output in outputs])
        if self._is_bad(x):
            raise ValueError(
                "what is decoded is NaN or infinite, so the network is of no use for these "
                "latents; train it with a lower beta or lr."
            )
        return x

    def decode_images(self, z: Tensor) -> Tensor:
        """Return decoded latents (n, z) as images to look at, uint8 of shape (n, H, W, C)."""
        x = self.decode(z)
        if self.normalize:
            x = self.data.denormalize(x)
        return self.data.for_display(x).permute(0, 2, 3, 1)

    def save(self, folder: str | Path, *, scores: Mapping[str, Any] | None = None) -> None:
        """Save the run; `vaedis.load_run` loads it.

        The folder, made if need be, gets two files: ``run.json`` with specification, precision,
        versions, device, scores and what is known of the data set, and a safetensors file with
        weights and history. Images and code of your own are not saved. A run that is there already
        is replaced, whole or not at all.

        Of `scores`, numbers or what `Run.scores` returned, the headline numbers are saved, and
        `record` of the loaded run has them; by default those in `record` are saved. A ValueError
        says if the run is of no use, cannot be written as names and numbers, or would replace
        another program's ``run.json``.
        """
        save_run(self, folder, scores)

    def export_onnx(self, folder: str | Path) -> None:
        """Write encoder and decoder as ONNX models, for programs without torch.

        ``encoder.onnx`` maps images ``x`` as `observations` returns them, (n, C, H, W), to ``mean``
        and ``logvar``, (n, z); ``decoder.onnx`` maps latents ``z`` to images ``x`` as `decode`
        does. All are float32, and n is free.

        The folder is made if need be, and files of these names are replaced.
        """
        self._need_use()
        export_onnx(self, folder)

    def _need_use(self) -> None:
        """Raise a ValueError if the run failed."""
        if self.failure is not None:
            raise ValueError(
                f"the run failed at step {self.failure.step:,}, so its network is of no use; "
                "train it with a lower beta or lr."
            )

    def _is_bad(self, *tensors: Tensor) -> bool:
        """Whether a run that has ended has numbers that are NaN or infinite."""
        # one that still trains fails at its next step; its callback must not end a population
        if self.steps_taken < self.spec.steps:
            return False
        return not all(bool(tensor.isfinite().all()) for tensor in tensors)

    def _facts(self) -> dict[str, str]:
        """Return what a reader wants to know first, by name, each in a few words."""
        spec = self.spec
        custom = names_of_own(spec.custom)
        model = f"{spec.framework}, {custom.get('model', plain(str(spec.model), 40))}"
        if "objective" in custom:
            model += f", objective {custom['objective']}"
        beta = f"{custom['beta']}(step)" if "beta" in custom else f"{spec.beta:g}"
        rate = f"optimizer {custom['optimizer']}" if "optimizer" in custom else f"lr {spec.lr:g}"
        if "lr" in custom:
            schedule = f"lr {custom['lr']}(step)"
            rate = f"{rate}, {schedule}" if "optimizer" in custom else schedule
        shape = "×".join(map(str, self.data.shape))
        images = "pairs" if spec.framework == "ada-gvae" else "images"
        batch = min(spec.batch, len(self.data))
        facts = {
            "data": f"{plain(self.data.name, 40)}, {len(self.data):,} images of {shape}",
            "model": f"{model}, {spec.latents} latents",
            "loss": f"{plain(self.loss.name, 40)}, beta {beta}",
            "training": f"{self.steps_taken:,} of {spec.steps:,} steps of {batch} {images}, "
            f"{rate}, seed {spec.seed}, {self.precision} on {self.data.device}",
        }
        if self.seconds:
            facts["time"] = f"{self.seconds:,.1f} s, {self.images_per_second:,.0f} images/s"
        if len(self.history.get("loss", ())):
            last = {name: values[-1] for name, values in self.history.items()}
            facts["last batch"] = ", ".join(f"{name} {value:.4g}" for name, value in last.items())
        if self.failure is not None:
            facts["failed"] = f"at step {self.failure.step:,}; its network is of no use"
        if scores := self.record.get("scores"):
            values = [(name, float("nan") if x is None else x) for name, x in scores.items()]
            facts["scores"] = ", ".join(f"{name} {value:.3f}" for name, value in values[:8])
        return facts


def to_tensor(name: str, content: str, values: Any) -> Tensor:
    """Return values as a tensor, or raise a TypeError."""
    try:
        return torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(
            f"{name} must be a tensor, an array or a list of {content}, not "
            f"{plain(repr(values), 60)}."
        ) from None
