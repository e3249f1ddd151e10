"""Checkpoints, from which training continues with the bits it would have had.

A checkpoint is a safetensors file: tensors and text, nothing that could be executed. It is written
whole or not at all, and the last two of a run are kept, so that one of them is always good.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaedis._files import write_atomically
from vaedis.data import FactorData
from vaedis.spec import RunSpec
from vaedis.training.optimizers import OWN_STATE

_N_KEPT = 2
_FORMAT = "vaedis-checkpoint-1"
# of the metadata, which the checksum covers
_LAYOUT = "2"
# more steps than any warm-up has
_ANY_LENGTH = 10**15
# bytes of images by which data that are given in person are told apart
_HASHED = 64 * 1024**2


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


def runs_of(path: Path) -> list[str]:
    """Return the keys of the runs in a checkpoint; none if it cannot be read."""
    try:
        return [RunSpec.from_dict(fields).key for fields in json.loads(_metadata(path)["specs"])]
    except (OSError, ValueError, TypeError, KeyError):
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
        for path in as_folder("checkpoint", checkpoint).glob(pattern):
            path.unlink(missing_ok=True)


class Checkpoints:
    """The checkpoints of one run, or of one population, in a folder that may hold others too.

    `data` is that of a population's first member. `made_with` tells what took the steps so far, the
    last one at the end.
    """

    def __init__(
        self,
        folder: str | Path,
        spec: RunSpec | Sequence[RunSpec],
        data: FactorData,
        precision: str,
        data_in_person: bool = False,
    ):
        if not available():
            raise ImportError(
                "Checkpoints are safetensors files, and safetensors is not installed; "
                "pip install 'vaedis[checkpoints]', or train without."
            )
        self.folder = as_folder("checkpoint", folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.key = key_of(spec)
        self._specs = [spec] if isinstance(spec, RunSpec) else list(spec)
        # what runs have in common that differ in their number of steps alone
        self._any_length = key_of([one.replace(steps=_ANY_LENGTH) for one in self._specs])
        # another run, device or precision would have other bits
        self._identity = {
            "format": _FORMAT,
            "layout": _LAYOUT,
            "key": self.key,
            "data": f"{data.name}, {len(data)} observations of shape {tuple(data.shape)}",
            "images": _checksum_of(data, data._observations(_sample(data, 16), False)),
            "device": data.device.type,
            "precision": precision,
        }
        if data_in_person:
            self._identity["all_images"] = digest_of(data)
        # tells whether a state is of this run, where code is a person's own; see `rehearsal`
        self.is_of_run: Callable[[Mapping[str, Tensor]], bool] = lambda state: True
        self._refused: set[Path] = set()
        self.made_with = [_made_with(data.device)]
        for path in self.folder.glob(f".{self.key}-*.tmp"):  # of a writer that was killed
            path.unlink(missing_ok=True)

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
            "step": str(step),
            "specs": json.dumps([spec.to_dict() for spec in self._specs], default=str),
            "made_with": json.dumps(self.made_with),
            "any_length": self._any_length,
        }
        metadata["sum"] = _checksum(state, metadata)
        try:
            from safetensors.torch import save

            write_atomically(path, save(state, metadata))
            self._refused.discard(path)
            usable = [path for path in self._paths(self.key) if path not in self._refused]
            for surplus in usable[:-_N_KEPT]:
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
        """Return step and state of the newest good checkpoint, or None.

        `expected` gives tensors of the names, types and shapes of a state after a step. Without one
        of this run, it is one of the same run with another number of steps. Warns of each
        checkpoint that is not good, and leaves it alone.
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
        paths = self.folder.glob(f"{key}*.safetensors")
        checkpoints = [path for path in paths if step_of(path) is not None]
        return sorted(checkpoints, key=lambda path: (step_of(path) or 0, path))

    def _candidates(self) -> Iterator[tuple[Path, str]]:
        """Yield checkpoints from which the run may continue, and their keys, the newest first."""
        yield from ((path, self.key) for path in reversed(self._paths(self.key)))
        other_lengths: list[tuple[Path, str]] = []
        for path in reversed(self._paths("")):
            try:
                metadata = _metadata(path)
                if metadata["any_length"] == self._any_length and metadata["key"] != self.key:
                    other_lengths.append((path, metadata["key"]))
            except (OSError, ValueError, KeyError):
                continue
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
            # a checkpoint of an earlier version does not tell all images
            stored_value = metadata.get(name, value if name == "all_images" else None)
            if stored_value != value:
                raise ValueError(f"its {name} is {stored_value!r}, and this run's {value!r}")
        if metadata.get("sum") != _checksum(state, metadata):
            raise ValueError("its content is damaged")
        step = int(metadata["step"])
        if _about(state) != _about(expected(step)):
            raise ValueError("its tensors have other names, types or shapes than this run's")
        if not self.is_of_run(state):
            raise ValueError(
                "its first losses are not those of this run, so something that they follow from, "
                "such as a function or a number in a file of your own, has changed"
            )
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


def fingerprint_of(data: FactorData) -> str:
    """Return text that names data passed to `fit`, from 16 of their images; see `digest_of`."""
    return _checksum_of(data, _images(data, _sample(data, 16)))


def digest_of(data: FactorData) -> str:
    """Return a digest of all images of a data set; of more than 64 MB, of as many, evenly spaced.

    Data without pixels are told apart by their observations.
    """
    first = _images(data, _sample(data, 1))
    n_hashed = max(16, _HASHED // (first.element_size() * first.numel()))
    digest = hashlib.sha256(f"{data.factors.names} {data.factors.sizes}".encode())
    for index in _sample(data, n_hashed).split(1024):
        digest.update(_images(data, index).cpu().contiguous().numpy().data)
    return digest.hexdigest()[:16]


def _images(data: FactorData, index: Tensor) -> Tensor:
    try:
        return data.images(index)
    except TypeError:  # it has no pixels
        return data._observations(index, False)


def _sample(data: FactorData, n: int) -> Tensor:
    """Return up to n indices, evenly spaced."""
    index = torch.linspace(0, len(data) - 1, min(n, len(data)), dtype=torch.float64)
    return index.round().long().to(data.device)


def _checksum_of(data: FactorData, images: Tensor) -> str:
    factors = f"{data.factors.names} {data.factors.sizes}".encode()
    pixels = images.cpu().contiguous().numpy().data
    return f"{zlib.crc32(pixels, zlib.crc32(factors)):08x}"


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
