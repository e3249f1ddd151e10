"""Checkpoints, from which training continues with the bits it would have had.

A checkpoint is a safetensors file: tensors and text, nothing that could be executed. It is written
whole or not at all, and the last two of a run are kept, so that one of them is always good.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vaedis import _check
from vaedis._files import write_atomically
from vaedis.data import FactorData
from vaedis.spec import RunSpec
from vaedis.training.digest import checksum_of, digest_of, sample
from vaedis.training.optimizers import OWN_STATE

if TYPE_CHECKING:
    from vaedis.training.rehearsal import Rehearsal

_N_KEPT = 2
_FORMAT = "vaedis-checkpoint-1"
_LAYOUT = "3"  # version of the metadata
# more steps than any warm-up has
_ANY_LENGTH = 10**15


def available() -> bool:
    """Return whether checkpoints can be written here."""
    return importlib.util.find_spec("safetensors") is not None


def as_folder(name: str, folder: Any) -> Path:
    """Return the path of a folder, which need not exist; raise a TypeError or an OSError."""
    try:
        path = Path(folder)
    except TypeError:
        raise TypeError(f"{name} must be the path of a folder, not {folder!r}.") from None
    if path.is_file():
        raise FileExistsError(f"{name} must be the path of a folder, but {path} is a file.")
    return path


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


def runs_of(path: Path) -> list[str]:
    """Return the keys of the runs in a checkpoint; none if it cannot be read."""
    try:
        return [RunSpec.from_dict(fields).key for fields in json.loads(_metadata(path)["specs"])]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return []


def forget(spec: RunSpec | Sequence[RunSpec], checkpoint: str | Path) -> None:
    """Remove the checkpoints of a run or a population, once its result is stored.

    Give specification and folder as `fit` was given them; runs that were trained one after the
    other are forgotten one by one.

    Examples
    --------
    >>> import tempfile
    >>> forget(RunSpec(), tempfile.gettempdir())
    """
    for pattern in (f"{key_of(spec)}-*.safetensors", f".{key_of(spec)}-*.tmp"):
        for path in as_folder("checkpoint", checkpoint).glob(pattern):
            path.unlink(missing_ok=True)


class Checkpoints:
    """The checkpoints of one run, or of one population, in a folder that may hold others too.

    `data` is that of a population's first member.
    """

    def __init__(
        self,
        folder: str | Path,
        spec: RunSpec | Sequence[RunSpec],
        data: FactorData,
        precision: str,
        data_in_person: bool = False,
    ):
        _check.package("safetensors", "write checkpoints", "checkpoints")
        self.folder = as_folder("checkpoint", folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.key = key_of(spec)
        self._specs = [spec] if isinstance(spec, RunSpec) else list(spec)
        # the same key for runs that differ only in their number of steps
        self._any_length = key_of([one.replace(steps=_ANY_LENGTH) for one in self._specs])
        # another run, device or precision would have other bits
        self._identity = {
            "format": _FORMAT,
            "layout": _LAYOUT,
            "key": self.key,
            "data": f"{data.name}, {len(data)} observations of shape {tuple(data.shape)}",
            "images": checksum_of(data, data._observations(sample(data, 16), False)),
            "device": data.device.type,
            "precision": precision,
            "all_images": digest_of(data) if data_in_person else "by name",
        }
        # tells whether a checkpoint belongs to this run, if a part of the run is custom
        self.rehearsal: Rehearsal | None = None
        self._refused: set[Path] = set()
        # whether files are of this run, as far as they say without their tensors
        self._known: dict[Path, bool] = {}
        # what took the steps so far, the last one at the end
        self.made_with = [_made_with(data.device)]
        for path in self.folder.glob(f".{self.key}-*.tmp"):  # left by a process that was killed
            path.unlink(missing_ok=True)

    def save(self, step: int, state: Mapping[str, Tensor]) -> Path | None:
        """Write a checkpoint and remove all but the last two; return its path, None if that fails.

        Those that `load` refuses stay: another device may have made them, and be further on.
        """
        path = self.folder / f"{self.key}-{step:09d}.safetensors"
        if path in self._refused:
            device, precision = self._identity["device"], self._identity["precision"]
            path = path.with_name(f"{self.key}-{device}-{precision}-{step:09d}.safetensors")
        state = as_stored(state)
        metadata = {
            **self._identity,
            "step": str(step),
            "specs": json.dumps([spec.to_dict() for spec in self._specs], default=str),
            "made_with": json.dumps(self.made_with),
            "any_length": self._any_length,
        }
        if self.rehearsal is not None:
            metadata["rehearsal"] = self.rehearsal.text(step)
        metadata["sum"] = _checksum(state, metadata)
        try:
            from safetensors.torch import save

            write_atomically(path, save(state, metadata))
            self._refused.discard(path)
            self._known[path] = True
            for surplus in list(filter(self._is_of_run, self._paths(self.key)))[:-_N_KEPT]:
                surplus.unlink(missing_ok=True)
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
        """Return step and state of the newest good checkpoint, or None; warn of those not good.

        If none is of this run, it is one of the same run with another number of steps.
        """
        for path, key in self._candidates():
            try:
                step, state, made_with = self._read(path, key, expected)
            except (OSError, ValueError) as error:
                self._refused.add(path)
                warnings.warn(
                    f"Checkpoint {path.name} is not used: {error}; "
                    "the one before it, or the beginning, is.",
                    stacklevel=3,
                )
                continue
            if step:
                self._note_makers(path, step, made_with)
            return step, state
        return None

    def _paths(self, key: str) -> list[Path]:
        """Return checkpoints whose names begin with a key, in the order of their steps."""
        steps = {path: step_of(path) for path in self.folder.glob(f"{key}*.safetensors")}
        checkpoints = [(step, path) for path, step in steps.items() if step is not None]
        return [path for _, path in sorted(checkpoints)]

    def _is_of_run(self, path: Path) -> bool:
        """Return whether a checkpoint is of this run, as far as it says without its tensors."""
        if path not in self._known:
            try:
                metadata = _metadata(path)
                is_same = all(metadata.get(k) == value for k, value in self._identity.items())
                step = int(metadata["step"])
            except (OSError, ValueError, KeyError):
                is_same = False
            if is_same and self.rehearsal is not None:
                is_same = self.rehearsal.agrees(step, metadata.get("rehearsal"))
            self._known[path] = is_same
        return self._known[path] and path not in self._refused

    def _candidates(self) -> Iterator[tuple[Path, str]]:
        """Yield checkpoints from which the run may continue, and their keys, the newest first."""
        yield from ((path, self.key) for path in reversed(self._paths(self.key)))
        other_lengths: list[tuple[Path, str]] = []
        for path in reversed(self._paths("")):
            with contextlib.suppress(OSError, ValueError, KeyError):
                metadata = _metadata(path)
                if metadata["any_length"] == self._any_length and metadata["key"] != self.key:
                    other_lengths.append((path, metadata["key"]))
        if other_lengths and any(spec.lr_schedule != "constant" for spec in self._specs):
            warnings.warn(
                f"{self.folder} holds this run with another number of steps: it begins at step 0, "
                "since its learning rate depends on the number of steps.",
                stacklevel=5,
            )
            return
        steps = self._specs[0].steps
        yield from (one for one in other_lengths if (step_of(one[0]) or 0) <= steps)

    def _read(
        self, path: Path, key: str, expected: Callable[[int], Mapping[str, Tensor]]
    ) -> tuple[int, dict[str, Tensor], list[str]]:
        """Return step, state and makers of a checkpoint; raise a ValueError if it is not good."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        metadata = _metadata(path)
        try:
            state = load_file(path)
        except (SafetensorError, KeyError, TypeError, RuntimeError):
            raise ValueError("it is truncated, or no safetensors file") from None
        for name, value in {**self._identity, "key": key}.items():
            if metadata.get(name) != value:
                raise ValueError(f"its {name} is {metadata.get(name)!r}, and this run's {value!r}")
        if metadata.get("sum") != _checksum(state, metadata):
            raise ValueError("its content is damaged")
        step = int(metadata["step"])
        need_alike(state, expected(step))
        if self.rehearsal is not None:
            self.rehearsal.need_of_run(step, state, metadata.get("rehearsal"))
        return step, state, json.loads(metadata["made_with"])

    def _note_makers(self, path: Path, step: int, made_with: list[str]) -> None:
        """Note what took the steps so far; warn if something else takes those that follow."""
        (environment,) = self.made_with
        self.made_with = made_with
        if environment != made_with[-1] and step < self._specs[0].steps:
            self.made_with = [*made_with, environment]
            warnings.warn(
                f"Checkpoint {path.name} was made with {made_with[-1]}, and the run goes on from "
                f"it with {environment}: it ends with the bits of neither; "
                "remove the checkpoint to begin anew.",
                stacklevel=4,
            )


def _metadata(path: Path) -> dict[str, str]:
    """Return what a checkpoint says of itself; raise a ValueError if it is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except SafetensorError:
        raise ValueError("it is truncated, or no safetensors file") from None


def as_stored(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies of tensors as a file holds them; raise a ValueError if it cannot."""
    for name, tensor in state.items():
        if tensor.layout != torch.strided:
            raise ValueError(
                f"{name} is a sparse tensor, which a checkpoint does not hold; train without "
                "checkpoint."
            )
    options = {"memory_format": torch.contiguous_format}
    return {name: tensor.detach().cpu().clone(**options) for name, tensor in state.items()}


def need_alike(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise a ValueError unless tensors have the names, types and shapes of others."""
    if _about(state) != _about(expected):
        raise ValueError("its tensors have other names, types or shapes than this run's")


def _about(state: Mapping[str, Tensor]) -> dict[str, tuple[torch.dtype, torch.Size]]:
    """Return types and shapes; only a checkpoint knows what an optimizer of a person's holds."""
    return {
        name: (tensor.dtype, tensor.shape)
        for name, tensor in state.items()
        if not name.startswith(OWN_STATE)
    }


def _made_with(device: torch.device) -> str:
    """Return what decides the bits of a step."""
    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    return f"torch {torch.__version__}{threads}"


def _checksum(state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Return a checksum of tensors and metadata."""
    covered = {name: text for name, text in metadata.items() if name != "sum"}
    total = zlib.crc32(json.dumps(covered, sort_keys=True).encode())
    for name in sorted(state):
        tensor = state[name]
        header = f"{name} {tensor.dtype} {tuple(tensor.shape)}"
        total = zlib.crc32(header.encode(), total)
        total = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, total)
    return f"{total:08x}"
