"""Saved runs: two files that are written whole, and read without executing anything.

``run.json`` tells what the run is, and names the other file by its digest: ``run-….safetensors``
with weights and history. The JSON file is written last, so that a folder holds the earlier run or
the new one, whole, whenever a process is killed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from vaedis import _check
from vaedis._files import read_plain, write_atomically
from vaedis._support.text import plain
from vaedis.data import FactorData, Relabelled
from vaedis.spec import GIVEN, MEANING
from vaedis.training.checkpoint import as_folder
from vaedis.training.digest import digest_of, fingerprint_of
from vaedis.training.own_network import copied, tensors_in
from vaedis.training.stateless import need_saved_whole

if TYPE_CHECKING:
    from vaedis.training.run import Run

RECORD = "run.json"
FORMAT = "vaedis run"
# version of the file layout; vaedis reads this layout and earlier ones
LAYOUT = 1
_LARGEST_RECORD = 16 * 1024**2
_WEIGHTS = r"run-[0-9a-f]{16}\.safetensors"
# weights of a run, and what `replacing` leaves where a process is killed
_OWN_FILE = re.compile(rf"{_WEIGHTS}|\.({_WEIGHTS}|{re.escape(RECORD)})\.[0-9a-f]{{8}}\.tmp")
# numbers of each output of a network by which its code is told apart
_PROBED = 16


def save_run(run: Run, folder: str | Path, scores: Mapping[str, Any] | None = None) -> None:
    """Write a run to a folder; see `Run.save`."""
    if scores is None:
        scores = run.record.get("scores", {})
    if not isinstance(scores, Mapping):
        raise TypeError(f"scores must be what Run.scores returns, not a {type(scores).__name__}.")
    if run.failure is not None:
        raise ValueError("a run that failed is not saved, since its network is of no use.")
    folder = as_folder("folder", folder)
    tensors = {f"model.{name}": tensor for name, tensor in run.model.state_dict().items()}
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise ValueError(
                f"the network cannot be saved, since {plain(name[6:], 80)} of its state is a "
                f"{type(tensor).__name__}; let get_extra_state return a tensor."
            )
    tensors |= {f"history.{name}": torch.tensor(x) for name, x in run.history.items()}
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    check_finite(run.model, "the run")
    need_storable(run.model.state_dict(), "be saved")
    if "model" in run.spec.custom:
        height, width, channels = run.data.shape
        x = _ramp(0, 1, (2, channels, height, width)).to(next(run.model.parameters()).device)
        need_saved_whole(run.model, x, run.spec.seed)
    content = _safetensors().save(tensors)
    record = {**_record(run, scores), "arrays": hashlib.sha256(content).hexdigest()}
    record["digest"] = digest(record)
    folder.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(folder):
        if (folder / RECORD).exists():
            _read_record(folder)  # raises if vaedis did not write this file
        arrays = _arrays_path(folder, record)
        write_atomically(arrays, content)
        text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
        write_atomically(folder / RECORD, text.encode())
        # the earlier run, and what a process that was killed left
        for path in list(folder.iterdir()):
            if _OWN_FILE.fullmatch(path.name) and path != arrays:
                path.unlink(missing_ok=True)


def read_run(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the record of a saved run and its tensors; raise a ValueError if they are not good."""
    record = _read_record(folder)
    if record["layout"] != LAYOUT:
        raise ValueError(
            f"The run in {shown(folder)} was saved by a newer vaedis, in layout "
            f"{record['layout']!r}, and this one reads {LAYOUT}; update vaedis."
        )
    path = _arrays_path(folder, record)
    content = path.read_bytes() if path.is_file() else b""
    is_whole = hashlib.sha256(content).hexdigest() == record["arrays"]
    if not is_whole or record.get("digest") != digest(record):
        raise ValueError(
            f"The run in {shown(folder)} was cut short or changed after it was saved, or lacks its "
            f"file {path.name}; take the folder from where it was saved."
        )
    tensors = _safetensors().load(content)
    return record, tensors


def describe(data: FactorData) -> dict[str, Any]:
    """Return the facts of a data set that decoding needs, and those that identify it."""
    on_cpu = data.to("cpu")  # so that its images are the same wherever the run is loaded
    labels = None  # in a full grid the order of images gives the labels
    if not data.grid:
        rows = on_cpu.to_factors(torch.arange(len(data)))
        labels = hashlib.sha256(rows.numpy().tobytes()).hexdigest()[:16]
    # a relabelled set shows images as its source does
    source = data
    while isinstance(source, Relabelled):
        source = source.source
    return {
        "name": data.name,
        "n": len(data),
        "shape": list(data.shape),
        # JSON needs names as text; a custom data set may use other types
        "factors": dict(zip(map(str, data.factors.names), data.factors.sizes, strict=True)),
        "origin": data.origin,
        "mean": list(map(float, data.mean)),
        "std": list(map(float, data.std)),
        "floats": data.dtype.is_floating_point,
        "pixel_range": list(map(float, data.pixel_range)),
        "own_display": any(
            getattr(type(source), name, None) is not getattr(FactorData, name)
            for name in ("denormalize", "for_display")
        ),
        "images": fingerprint_of(on_cpu),
        "all_images": digest_of(on_cpu),
        "labels": labels,
    }


def probe(network: nn.Module, data: FactorData, latents: int) -> list[list[float]] | None:
    """Return what a network makes of a fixed batch, which tells its code apart; None if nothing.

    Computed on the CPU with numbers of one seed, so that it is the same wherever it is asked.
    """
    height, width, channels = data.shape
    z = _ramp(-1, 1, (2, latents))
    parts = None
    # a network may take images in [0, 1] alone
    for low in (-1, 0):
        x = _ramp(low, 1, (2, channels, height, width))
        with torch.no_grad(), torch.random.fork_rng([]):
            torch.manual_seed(0)
            try:
                on_cpu: Any = copied(network).cpu().eval()
                parts = tensors_in([*on_cpu.encode(x), on_cpu.decode(z)])
            except Exception:  # the user's code may fail, for instance on the CPU
                continue
        if all(bool(part.isfinite().all()) for part in parts):
            break
        parts = None
    if parts is None:
        return None
    evenly = [part.flatten()[:: -(-part.numel() // _PROBED)].tolist() for part in parts]
    # steps of uneven length, so that no pattern of latents or pixels is passed over
    spread = [part.flatten()[_uneven(part.numel())].tolist() for part in parts]
    return evenly + spread


def _uneven(n: int) -> Tensor:
    """Return up to _PROBED places among `n`, whose steps are not all multiples of one number."""
    return torch.linspace(0, 1, min(n, _PROBED)).pow(1.5).mul(n - 1).round().long()


def shown(path: Path) -> str:
    """Return a path as a message shows it."""
    return plain(str(path), 300)


def loss_facts(loss: Any, data: FactorData) -> dict[str, Any]:
    """Return a loss's name, its fingerprint, and its distances between fixed images.

    The last two are None where they cannot be told, or computed on the CPU.
    """
    facts = {"name": loss.name, "fingerprint": None, "probe": None}
    with contextlib.suppress(ValueError):
        facts["fingerprint"] = loss.fingerprint()
    height, width, channels = data.shape
    # normalized images leave [0, 1] by some standard deviations
    low, high = (0, 1) if loss.unit_range else (-4, 4)
    x = _ramp(low, high, (4, channels, height, width))
    with torch.no_grad(), torch.random.fork_rng([]), contextlib.suppress(Exception):
        torch.manual_seed(0)
        numbers = [float(one) for one in loss.distance(x, x.flip((0, -1)))]
        facts["probe"] = numbers if all(map(math.isfinite, numbers)) else None
    return facts


def _ramp(low: float, high: float, shape: tuple[int, ...]) -> Tensor:
    """Return numbers that rise evenly, in float32 whatever a program's default type is."""
    return torch.linspace(low, high, math.prod(shape), dtype=torch.float32).view(shape)


def digest(record: Mapping[str, Any]) -> str:
    """Return the digest of all that a record says."""
    fields = {name: value for name, value in record.items() if name != "digest"}
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Lock a folder itself, where the system can, so that no lock file stays behind."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a network file system may have no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def check_finite(network: nn.Module, name: str) -> None:
    """Raise a ValueError if a weight is NaN or infinite; a buffer may be, as a mask is."""
    for weight, tensor in network.named_parameters():
        if not bool(tensor.isfinite().all()):
            raise ValueError(
                f"{name} has weights that are not finite, in {plain(weight, 80)}, so its "
                "network is of no use; train it with a lower beta or lr."
            )


def need_storable(state: Mapping[str, Tensor], use: str) -> None:
    """Raise a ValueError if a network's state has a type that its files do not hold."""
    for name, tensor in state.items():
        try:
            _safetensors().save({"one": torch.empty(0, dtype=tensor.dtype)})
        except KeyError:
            raise ValueError(
                f"the network cannot {use}, since {plain(name, 80)} is of the type {tensor.dtype}, "
                "which safetensors files do not hold; use another type."
            ) from None


def _record(run: Run, scores: Mapping[str, Any]) -> dict[str, Any]:
    from vaedis import __version__

    network = type(run.model)
    fields = run.spec.to_dict()
    if loss_in_spec := not isinstance(fields["loss"], str):
        fields["loss"] = f"{GIVEN}{run.loss.name}"
    try:
        json.dumps(fields)
    except TypeError as problem:
        raise ValueError(
            f"this run cannot be saved, since its RunSpec holds more than names and numbers "
            f"({problem}); give the loss as fit(spec.replace(loss=...))."
        ) from None
    return {
        "format": FORMAT,
        "layout": LAYOUT,
        "versions": {"vaedis": __version__, "torch": torch.__version__},
        "meaning": MEANING,
        "spec": fields,
        "data": describe(run.data),
        "network": f"{network.__module__}.{network.__qualname__}",
        "probe": probe(run.model, run.data, run.spec.latents),
        "loss": {"in_spec": loss_in_spec, "unit_range": run.loss.unit_range}
        | loss_facts(run.loss, run.data),
        "precision": run.precision,
        "device": run.data.device.type,
        "seconds": run.seconds,
        "steps_taken": run.steps_taken,
        "made_with": list(run.made_with),
        "history": list(run.history),
        "scores": {str(name): _number(name, score) for name, score in scores.items()},
    }


def _number(name: str, score: Any) -> float | None:
    """Return a score's headline number; None for NaN, also of a record."""
    try:
        number = math.nan if score is None else float(score)
    except (TypeError, ValueError):
        raise ValueError(
            f"scores must be numbers or what Run.scores returns, and {name!r} is a "
            f"{type(score).__name__}."
        ) from None
    return number if math.isfinite(number) else None


def _read_record(folder: Path) -> dict[str, Any]:
    """Return what ``run.json`` holds, if it names itself as a record and a layout."""
    try:
        record = json.loads(read_plain(folder / RECORD, _LARGEST_RECORD))
    except OSError as problem:
        raise ValueError(f"{problem}.") from None
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict) or record.get("format") != FORMAT or "layout" not in record:
        raise ValueError(
            f"There is no saved run in {shown(folder)}: {RECORD} is missing, cut short, or not "
            "written by vaedis."
        )
    return record


def _arrays_path(folder: Path, record: Mapping[str, Any]) -> Path:
    """Return the path of the safetensors file that belongs to a record."""
    name = str(record.get("arrays"))[:16]
    if not re.fullmatch("[0-9a-f]{16}", name):
        raise ValueError(f"{shown(folder / RECORD)} names no file of weights that vaedis writes.")
    return folder / f"run-{name}.safetensors"


def _safetensors() -> Any:
    return _check.package("safetensors.torch", "save or load runs", "checkpoints")
