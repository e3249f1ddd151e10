"""Checkpoints of a training run: everything that the next step depends on, so that a run that was
killed ends with the same bits.

A checkpoint is a safetensors file, which can hold tensors and text and nothing that could be
executed. It is written whole or not at all, and the last two of a run are kept, so that one of them
is good whatever happens.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from vaedis._files import write_atomically
from vaedis.data import FactorData
from vaedis.spec import RunSpec
from vaedis.training.batches import Draws
from vaedis.training.model import VAE

_KEEP = 2
_FORMAT = "vaedis-checkpoint-1"
# of the metadata: from 2 on they are in the checksum; checkpoints without a number are of the
# first, and still taken up
_LAYOUT = "2"


def available() -> bool:
    """Tell whether checkpoints can be written here."""
    return importlib.util.find_spec("safetensors") is not None


def of_run(folder: Path, spec: RunSpec) -> Path | None:
    """Return where a sweep keeps a run's checkpoints; None without safetensors, where a run that is
    stopped starts anew.
    """
    return folder / spec.key if available() else None


def step_of(path: Path) -> int | None:
    """Return at which step a checkpoint was written, by its name; None if the file is none of ours."""
    digits = path.stem.rpartition("-")[2]
    return int(digits) if digits.isascii() and digits.isdecimal() else None


def _made_with(device: torch.device) -> str:
    """What steps are taken with that decides their bits."""
    return f"torch {torch.__version__}" + (
        f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    )


def key_of(spec: RunSpec | Sequence[RunSpec]) -> str:
    """Return what the checkpoints of a run, or of a population, are named by."""
    if isinstance(spec, RunSpec):
        return spec.key
    return hashlib.sha256(f"population {' '.join(one.key for one in spec)}".encode()).hexdigest()[
        :16
    ]


class Checkpoints:
    """The checkpoints of one run, or of one population, in a folder, which may hold others too.

    Parameters
    ----------
    folder : path
        Made if it does not exist.
    spec : RunSpec or sequence of RunSpec
    data : FactorData
        Of a population, that of its first member.
    precision : str
        Of the arithmetic; see `fit`.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    """

    def __init__(
        self,
        folder: str | Path,
        spec: RunSpec | Sequence[RunSpec],
        data: FactorData,
        precision: str,
    ):
        try:
            import safetensors.torch
        except ImportError:
            raise ImportError(
                "Checkpoints are safetensors files, and safetensors is not installed; pip install 'vaedis[checkpoints]', or train without."
            ) from None
        self._io = safetensors
        self.folder, self.key = Path(folder), key_of(spec)
        specs = [spec] if isinstance(spec, RunSpec) else spec
        if self.folder.exists() and not self.folder.is_dir():
            raise NotADirectoryError(
                f"checkpoint must be a folder, and {str(folder)!r} is a file; name another."
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        # what must be the same for a checkpoint to be this run's: with another device or precision
        # the bits would differ
        self._about = {
            "format": _FORMAT,
            "key": self.key,
            "data": f"{data.name}, {len(data)} observations of shape {tuple(data.shape)}",
            "images": _fingerprint(data),
            "device": data.device.type,
            "precision": precision,
        }
        self._specs = json.dumps([one.to_dict() for one in specs], default=str)
        self._steps = specs[0].steps
        self._refused: set[Path] = set()
        self.made_with = [_made_with(data.device)]
        """What took the steps so far, the last one at the end."""
        for left in self.folder.glob(f".{self.key}-*.tmp"):  # by a writer that was killed
            left.unlink(missing_ok=True)

    def _paths(self) -> list[Path]:
        """The run's checkpoints, the one with the fewest steps first."""
        found = ((step_of(path), path) for path in self.folder.glob(f"{self.key}-*.safetensors"))
        return [
            path for _, path in sorted((step, path) for step, path in found if step is not None)
        ]

    def save(self, step: int, state: dict[str, Tensor]) -> Path | None:
        """Write a checkpoint, then remove all but the last two; return its path, or None, with a
        warning, if it cannot be written.

        Those that `load` refused are left alone: they may be another device's, and further on than
        this run.
        """
        path = self.folder / f"{self.key}-{step:09d}.safetensors"
        if path in self._refused:
            path = (
                self.folder
                / f"{self.key}-{self._about['device']}-{self._about['precision']}-{step:09d}.safetensors"
            )
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
        about = {
            **self._about,
            "layout": _LAYOUT,
            "step": str(step),
            "specs": self._specs,
            "made_with": json.dumps(self.made_with),
        }
        about["sum"] = _sum(state, about)
        try:
            write_atomically(path, self._io.torch.save(state, about))
            self._refused.discard(path)
            for old in [p for p in self._paths() if p not in self._refused][:-_KEEP]:
                old.unlink(missing_ok=True)
        except OSError as error:
            warnings.warn(
                f"The checkpoint at step {step} could not be written ({error}); training goes on.",
                RuntimeWarning,
                stacklevel=3,
            )
            return None
        return path

    def load(
        self, expected: Callable[[int], Mapping[str, Tensor]]
    ) -> tuple[int, dict[str, Tensor]] | None:
        """Return step and state of the newest good checkpoint, or None; those that are not good are
        named in a warning and left alone.

        Parameters
        ----------
        expected : callable
            From a step to tensors of the names, types and shapes that a state after that step has.
        """
        for path in reversed(self._paths()):
            try:
                step, state, about = self._read(path, expected)
            except (OSError, ValueError) as error:
                self._refused.add(path)
                warnings.warn(
                    f"Checkpoint {path.name} is not used: {error}; the one before it, or the beginning, is.",
                    stacklevel=3,
                )
                continue
            # only the checksum of a later layout covers it
            self._continue(path, step, json.loads(about["made_with"]) if "layout" in about else [])
            return step, state
        self._tell_of_other_lengths()
        return None

    def _continue(self, path: Path, step: int, made_with: list[str]) -> None:
        """Note what took the steps before, and warn if it was not what takes those that follow."""
        if not made_with or not step:
            return
        (ours,) = self.made_with
        self.made_with = made_with
        if ours != made_with[-1] and step < self._steps:
            self.made_with = [*made_with, ours]
            warnings.warn(
                f"Checkpoint {path.name} was made with {made_with[-1]}, and the run goes on from it with {ours}: it ends with the bits of "
                "neither; remove the checkpoint to begin anew.",
                stacklevel=4,
            )

    def _tell_of_other_lengths(self) -> None:
        """Warn if the folder holds this run with another number of steps, which does not go on from
        there.
        """
        ours = [{**spec, "steps": None} for spec in json.loads(self._specs)]
        for path in self.folder.glob("*.safetensors"):
            try:
                with self._io.safe_open(path, framework="pt") as file:
                    theirs = json.loads((file.metadata() or {}).get("specs", "[]"))
                steps = [spec["steps"] for spec in theirs][:1]
                same = [{**spec, "steps": None} for spec in theirs] == ours and steps != [
                    self._steps
                ]
            except (OSError, ValueError, TypeError, KeyError, self._io.SafetensorError):
                continue  # none of ours
            if same:
                warnings.warn(
                    f"{self.folder} holds this run with steps={steps[0]}, and not with steps={self._steps}: it begins at step 0, since a "
                    "run does not go on from one of another length.",
                    stacklevel=4,
                )
                return

    def _read(
        self, path: Path, expected: Callable[[int], Mapping[str, Tensor]]
    ) -> tuple[int, dict[str, Tensor], dict[str, str]]:
        try:
            with self._io.safe_open(path, framework="pt") as file:
                about: dict[str, str] = file.metadata() or {}
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (self._io.SafetensorError, KeyError, TypeError, RuntimeError):
            raise ValueError("it is truncated, or no safetensors file") from None
        for name, ours in self._about.items():
            if about.get(name) != ours:
                raise ValueError(f"its {name} is {about.get(name)!r}, and this run's {ours!r}")
        covered = (
            {name: text for name, text in about.items() if name != "sum"}
            if "layout" in about
            else None
        )
        if about.get("layout", _LAYOUT) != _LAYOUT or about.get("sum") != _sum(state, covered):
            raise ValueError("its content is damaged")
        step = about.get("step", "")
        if not (step.isascii() and step.isdecimal()):
            raise ValueError("it does not say its step")
        _check_state(state, expected(int(step)))
        return int(step), state, about


def _check_state(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise a ValueError unless a state has the names, types and shapes that it must have."""
    if strange := sorted(state.keys() ^ expected.keys()):
        raise ValueError(
            f"it {'holds' if strange[0] in state else 'lacks'} {strange[0]!r}, unlike this run"
        )
    for name, ours in expected.items():
        theirs = state[name]
        if (theirs.dtype, theirs.shape) != (ours.dtype, ours.shape):
            raise ValueError(
                f"its {name} is {theirs.dtype} of shape {tuple(theirs.shape)}, and this run's {ours.dtype} of shape {tuple(ours.shape)}"
            )


def runs_of(path: Path) -> list[str]:
    """Return the keys of the runs that a checkpoint is of; none if it cannot be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
        return [RunSpec.from_dict(spec).key for spec in json.loads(about.get("specs", "[]"))]
    except (OSError, ValueError, TypeError, SafetensorError):
        return []


def clear(spec: RunSpec | Sequence[RunSpec], folder: str | Path) -> None:
    """Remove the checkpoints of a run or a population, and what a killed process left half-written."""
    for pattern in (f"{key_of(spec)}-*.safetensors", f".{key_of(spec)}-*.tmp"):
        for path in Path(folder).glob(pattern):
            path.unlink(missing_ok=True)


def pack(
    network: VAE, optimiser: torch.optim.Optimizer, draws: Draws, recorded: Tensor
) -> dict[str, Tensor]:
    """Return the state of a run as tensors by name: weights, Adam's moments, generators, and the
    losses of the steps so far.
    """
    state = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
    state |= pack_rest(dict(network.named_parameters()), optimiser, draws)
    return {**state, "recorded": recorded}


def pack_rest(
    weights: Mapping[str, Tensor], optimiser: torch.optim.Optimizer, draws: Draws
) -> dict[str, Tensor]:
    """Return Adam's moments of named weights, and the state of the generators, as tensors by name."""
    state = {
        f"adam.{name}.{what}": tensor
        for name, weight in weights.items()
        for what, tensor in optimiser.state[weight].items()
    }
    return state | {f"draws.{name}": tensor for name, tensor in draws.state().items()}


def moments(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors of the names, types and shapes of Adam's moments of named weights, as
    `pack_rest` has them after a step.
    """
    state: dict[str, Tensor] = {}
    for name, weight in weights.items():
        state[f"adam.{name}.step"] = torch.zeros((), dtype=torch.float32)
        state |= {f"adam.{name}.{what}": weight for what in ("exp_avg", "exp_avg_sq")}
    return state


@torch.no_grad()
def unpack(
    state: dict[str, Tensor],
    network: VAE,
    optimiser: torch.optim.Optimizer,
    draws: Draws,
    recorded: Tensor,
) -> None:
    """Bring a run to the state that `pack` returned."""

    network.load_state_dict(part(state, "model."))
    unpack_rest(state, dict(network.named_parameters()), optimiser, draws)
    recorded[: len(state["recorded"])] = state["recorded"].to(recorded.device)


@torch.no_grad()
def unpack_rest(
    state: dict[str, Tensor],
    weights: Mapping[str, Tensor],
    optimiser: torch.optim.Optimizer,
    draws: Draws,
) -> None:
    """Bring moments and generators to the state that `pack_rest` returned."""
    for name, weight in weights.items():
        for what, tensor in part(state, f"adam.{name}.").items():
            # moments lie in memory as their weight does, since one pass goes over both
            place = (
                torch.empty_like(weight)
                if tensor.shape == weight.shape
                else torch.empty((), device=weight.device)
            )
            optimiser.state[weight][what] = place.copy_(tensor)
    draws.restore(part(state, "draws."))


def part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the entries whose names begin with `prefix`, without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in state.items()
        if name.startswith(prefix)
    }


def fingerprint_of(data: FactorData) -> str:
    """Tell data apart that were given to `fit`, by some of their images; of data without pixels, by
    their observations.
    """
    try:
        return _sum_of(data, data.images(_some(data)))
    except TypeError:
        return _fingerprint(data)


def _fingerprint(data: FactorData) -> str:
    """Tell data of one name and shape apart by some of their images."""
    return _sum_of(data, data._observations(_some(data), False))


def _some(data: FactorData) -> Tensor:
    return (
        torch.linspace(0, len(data) - 1, min(16, len(data)), dtype=torch.float64)
        .round()
        .long()
        .to(data.device)
    )


def _sum_of(data: FactorData, images: Tensor) -> str:
    images = images.cpu().contiguous()
    said = f"{data.factors.names} {data.factors.sizes}".encode()
    return f"{zlib.crc32(images.numpy().data, zlib.crc32(said)):08x}"


def _sum(state: Mapping[str, Tensor], about: Mapping[str, str] | None) -> str:
    """A checksum, since a file can be whole and yet not what was written; of the first layout, that
    of the numbers alone.
    """
    total = 0 if about is None else zlib.crc32(json.dumps(about, sort_keys=True).encode())
    for name in sorted(state):
        if about is not None:
            total = zlib.crc32(
                f"{name} {state[name].dtype} {tuple(state[name].shape)}".encode(), total
            )
        total = zlib.crc32(state[name].reshape(-1).view(torch.uint8).numpy().data, total)
    return f"{total:08x}"
