"""Checkpoints: all that the next step depends on.

A run that was killed goes on from its last one and ends with the same bits. A checkpoint is a
safetensors file: tensors and text, nothing that could be executed. It is written whole or not at
all, and the last two of a run are kept, so that one of them is always good.
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
from vaedis.training.optimizers import OWN_STATE

_KEEP = 2
_FORMAT = "vaedis-checkpoint-1"
# Of the metadata, which the checksum covers. Checkpoints of the first layout have no number.
_LAYOUT = "2"
# more steps than any warm-up has
_ANY_LENGTH = 10**15


def available() -> bool:
    """Return whether checkpoints can be written here."""
    return importlib.util.find_spec("safetensors") is not None


def of_run(folder: Path, spec: RunSpec) -> Path | None:
    """Return the folder of one run's checkpoints in a sweep; None without safetensors."""
    return folder / spec.key if available() else None


def step_of(path: Path) -> int | None:
    """Return the step in a checkpoint's name; None if the file is no checkpoint."""
    digits = path.stem.rpartition("-")[2]
    return int(digits) if digits.isascii() and digits.isdecimal() else None


def key_of(spec: RunSpec | Sequence[RunSpec]) -> str:
    """Return what the names of a run's, or a population's, checkpoints begin with."""
    if isinstance(spec, RunSpec):
        return spec.key
    keys = " ".join(member.key for member in spec)
    return hashlib.sha256(f"population {keys}".encode()).hexdigest()[:16]


def _key_of_any_length(specs: Sequence[RunSpec]) -> str:
    """Return what runs have in common that differ in their number of steps alone."""
    return key_of([spec.replace(steps=_ANY_LENGTH) for spec in specs])


def runs_of(path: Path) -> list[str]:
    """Return the keys of the runs in a checkpoint; none if it cannot be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return [spec.key for spec in _specs_in(file.metadata())]
    except (OSError, ValueError, TypeError, SafetensorError):
        return []


def forget(spec: RunSpec | Sequence[RunSpec], checkpoint: str | Path) -> None:
    """Remove the checkpoints of a run or a population, once its result is stored.

    Parameters
    ----------
    spec : RunSpec or sequence of RunSpec
        As `fit` was given it. Runs that were trained one after the other are forgotten one by one.
    checkpoint : path
        The folder that `fit` was given.

    Examples
    --------
    >>> import tempfile
    >>> forget(RunSpec(), tempfile.gettempdir())
    """
    for pattern in (f"{key_of(spec)}-*.safetensors", f".{key_of(spec)}-*.tmp"):
        for path in Path(checkpoint).glob(pattern):
            path.unlink(missing_ok=True)


class Checkpoints:
    """The checkpoints of one run, or of one population, in a folder that may hold others too.

    `data` is that of a population's first member. `made_with` tells what took the steps so far, the
    last one at the end. Raises an ImportError if safetensors is not installed.
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
                "Checkpoints are safetensors files, and safetensors is not installed; "
                "pip install 'vaedis[checkpoints]', or train without."
            ) from None
        self._io = safetensors
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise NotADirectoryError(
                f"checkpoint must be a folder, and {str(folder)!r} is a file; name another."
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        self.key = key_of(spec)
        self._specs = [spec] if isinstance(spec, RunSpec) else list(spec)
        self._any_length = _key_of_any_length(self._specs)
        # another run, device or precision would have other bits
        self._identity = {
            "format": _FORMAT,
            "key": self.key,
            "data": f"{data.name}, {len(data)} observations of shape {tuple(data.shape)}",
            "images": _fingerprint(data),
            "device": data.device.type,
            "precision": precision,
        }
        self._refused: set[Path] = set()
        self.made_with = [_made_with(data.device)]
        for path in self.folder.glob(f".{self.key}-*.tmp"):  # of a writer that was killed
            path.unlink(missing_ok=True)

    def _paths(self) -> list[Path]:
        """Return the run's checkpoints in the order of their steps."""
        paths = self.folder.glob(f"{self.key}-*.safetensors")
        checkpoints = [path for path in paths if step_of(path) is not None]
        return sorted(checkpoints, key=lambda path: (step_of(path) or 0, path))

    def save(self, step: int, state: Mapping[str, Tensor]) -> Path | None:
        """Write a checkpoint, and remove all but the last two.

        Returns its path, or None, with a warning, if it cannot be written. Checkpoints that `load`
        refused are left alone: another device may have made them, and be further on.
        """
        path = self.folder / f"{self.key}-{step:09d}.safetensors"
        if path in self._refused:
            device, precision = self._identity["device"], self._identity["precision"]
            path = path.with_name(f"{self.key}-{device}-{precision}-{step:09d}.safetensors")
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
        metadata = {
            **self._identity,
            "layout": _LAYOUT,
            "step": str(step),
            "specs": json.dumps([spec.to_dict() for spec in self._specs], default=str),
            "made_with": json.dumps(self.made_with),
            "any_length": self._any_length,
        }
        metadata["sum"] = _checksum(state, metadata)
        try:
            write_atomically(path, self._io.torch.save(state, metadata))
            self._refused.discard(path)
            usable = [path for path in self._paths() if path not in self._refused]
            for old in usable[:-_KEEP]:
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
        """Return step and state of the newest good checkpoint, or None.

        `expected` gives tensors of the names, types and shapes of a state after a step. Without one
        of this run, it is one of the same run with another number of steps. Warns of each
        checkpoint that is not good, and leaves it alone.
        """
        newest = self._newest(dict.fromkeys(self._paths(), self.key), expected)
        return newest or self._newest(self._of_other_lengths(), expected)

    def _newest(
        self, keys: dict[Path, str], expected: Callable[[int], Mapping[str, Tensor]]
    ) -> tuple[int, dict[str, Tensor]] | None:
        """Return step and state of the last good one of the paths, each with its run's key."""
        for path in reversed(keys):
            try:
                step, state, metadata = self._read(path, keys[path], expected)
            except (OSError, ValueError) as error:
                self._refused.add(path)
                warnings.warn(
                    f"Checkpoint {path.name} is not used: {error}; "
                    "the one before it, or the beginning, is.",
                    stacklevel=3,
                )
                continue
            if "layout" in metadata and step:  # the first layout's checksum leaves it out
                self._note_makers(path, step, json.loads(metadata["made_with"]))
            return step, state
        return None

    def _note_makers(self, path: Path, step: int, made_with: list[str]) -> None:
        """Note what took the steps so far; warn if something else takes those that follow."""
        (now,) = self.made_with
        self.made_with = made_with
        if now != made_with[-1] and step < self._specs[0].steps:
            self.made_with = [*made_with, now]
            warnings.warn(
                f"Checkpoint {path.name} was made with {made_with[-1]}, and the run goes on from "
                f"it with {now}: it ends with the bits of neither; "
                "remove the checkpoint to begin anew.",
                stacklevel=4,
            )

    def _of_other_lengths(self) -> dict[Path, str]:
        """Return checkpoints of this run with another number of steps, and their keys, in order.

        Warns if there are some and the run cannot go on from them.
        """
        steps = self._specs[0].steps
        lengths: set[int] = set()
        keys: dict[Path, str] = {}
        for path in sorted(self.folder.glob("*.safetensors"), key=lambda path: step_of(path) or 0):
            try:
                with self._io.safe_open(path, framework="pt") as file:
                    metadata = file.metadata() or {}
                specs = _specs_in(metadata)
                same = metadata.get("any_length") or _key_of_any_length(specs)
                key = metadata["key"]
            except (OSError, ValueError, TypeError, KeyError, self._io.SafetensorError):
                continue
            if same == self._any_length and key != self.key:
                lengths.add(specs[0].steps)
                if (step_of(path) or 0) <= steps:
                    keys[path] = key
        reason = "" if keys else "all its checkpoints are of later steps"
        if any(spec.lr_schedule != "constant" for spec in self._specs):
            reason = "its learning rate depends on the number of steps"
            keys = {}
        if lengths and reason:
            warnings.warn(
                f"{self.folder} holds this run with steps={max(lengths)}, and not with "
                f"steps={steps}: it begins at step 0, since {reason}.",
                stacklevel=5,
            )
        return keys

    def _read(
        self, path: Path, key: str, expected: Callable[[int], Mapping[str, Tensor]]
    ) -> tuple[int, dict[str, Tensor], dict[str, str]]:
        """Return step, state and metadata of a checkpoint; raise a ValueError if it is not good."""
        try:
            with self._io.safe_open(path, framework="pt") as file:
                metadata: dict[str, str] = file.metadata() or {}
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (self._io.SafetensorError, KeyError, TypeError, RuntimeError):
            raise ValueError("it is truncated, or no safetensors file") from None
        for name, value in {**self._identity, "key": key}.items():
            if metadata.get(name) != value:
                raise ValueError(f"its {name} is {metadata.get(name)!r}, and this run's {value!r}")
        known_layout = metadata.get("layout", _LAYOUT) == _LAYOUT
        if not known_layout or metadata.get("sum") != _checksum(state, metadata):
            raise ValueError("its content is damaged")
        step = metadata.get("step", "")
        if not (step.isascii() and step.isdecimal()):
            raise ValueError("it does not say its step")
        _check_state(state, expected(int(step)))
        return int(step), state, metadata


def _made_with(device: torch.device) -> str:
    """Return what decides the bits of a step."""
    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    return f"torch {torch.__version__}{threads}"


def _specs_in(metadata: Mapping[str, str] | None) -> list[RunSpec]:
    return [RunSpec.from_dict(fields) for fields in json.loads((metadata or {}).get("specs", "[]"))]


def _check_state(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise a ValueError unless a state has the expected names, types and shapes."""
    # only the checkpoint knows what the optimizer of a person holds
    own = {name for name in state if name.startswith(OWN_STATE)}
    if extra := sorted(state.keys() - expected.keys() - own):
        raise ValueError(f"it holds {extra[0]!r}, unlike this run")
    if missing := sorted(expected.keys() - state.keys()):
        raise ValueError(f"it lacks {missing[0]!r}, unlike this run")
    for name, tensor in expected.items():
        stored = state[name]
        if (stored.dtype, stored.shape) != (tensor.dtype, tensor.shape):
            raise ValueError(
                f"its {name} is {stored.dtype} of shape {tuple(stored.shape)}, "
                f"and this run's {tensor.dtype} of shape {tuple(tensor.shape)}"
            )


def fingerprint_of(data: FactorData) -> str:
    """Return text that tells data passed to `fit` apart, by some of their images.

    Data without pixels are told apart by their observations.
    """
    try:
        return _checksum_of(data, data.images(_some(data)))
    except TypeError:
        return _fingerprint(data)


def _fingerprint(data: FactorData) -> str:
    """Return text that tells data of one name and shape apart, by some of their observations."""
    return _checksum_of(data, data._observations(_some(data), False))


def _some(data: FactorData) -> Tensor:
    """Return up to 16 indices, evenly spaced."""
    index = torch.linspace(0, len(data) - 1, min(16, len(data)), dtype=torch.float64)
    return index.round().long().to(data.device)


def _checksum_of(data: FactorData, images: Tensor) -> str:
    factors = f"{data.factors.names} {data.factors.sizes}".encode()
    pixels = images.cpu().contiguous().numpy().data
    return f"{zlib.crc32(pixels, zlib.crc32(factors)):08x}"


def _checksum(state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Return a checksum of tensors and metadata; in the first layout, of the tensors' numbers."""
    total = 0
    covers_metadata = "layout" in metadata
    if covers_metadata:
        covered = {name: text for name, text in metadata.items() if name != "sum"}
        total = zlib.crc32(json.dumps(covered, sort_keys=True).encode())
    for name in sorted(state):
        tensor = state[name]
        if covers_metadata:
            header = f"{name} {tensor.dtype} {tuple(tensor.shape)}"
            total = zlib.crc32(header.encode(), total)
        total = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, total)
    return f"{total:08x}"
