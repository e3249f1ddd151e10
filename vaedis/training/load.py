"""Load a saved run, in another process or on another device."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from vaedis import data as data_sets, losses
from vaedis._support.text import plain
from vaedis.data import FactorData, resolve_device
from vaedis.factors import FactorSpace
from vaedis.losses import Loss
from vaedis.spec import GIVEN, MEANING, RunSpec
from vaedis.training import model as networks
from vaedis.training.checkpoint import as_folder
from vaedis.training.own_network import copied
from vaedis.training.run import Run
from vaedis.training.saved import check_finite, describe, loss_facts, probe, read_run, shown

# Largest error allowed, as a share of the largest output: other machines round differently.
_ROUNDING = 1e-3

_BUILT_IN = f"{networks.VAE.__module__}.{networks.VAE.__qualname__}"


def load_run(
    folder: str | Path,
    *,
    data: Any = None,
    model: nn.Module | None = None,
    loss: str | Loss | Callable[[Tensor, Tensor], Tensor] | None = None,
    device: str | torch.device = "auto",
) -> Run:
    """Load a run that `Run.save` wrote.

    Parameters
    ----------
    folder : path
    data : FactorData, (images, labels), name or path, optional
        The data set that `fit` got as ``data``, with the same images. Above 64 MB only 64 MB of
        evenly spaced images are compared. Without it the run encodes and decodes, and methods that
        need images raise an error. A data set that the specification names is made again.
    model : nn.Module, optional
        A network of your own, as it was given to `fit`. A copy gets the saved weights, and must
        compute the same outputs as the saved network.
    loss : Loss or function, optional
        A loss of your own, as it was given to `fit`.
    device : str or torch.device
        "auto" is CUDA if there is a GPU, and the CPU otherwise.

    Returns
    -------
    Run
        On the machine and device on which it was trained, with the same bits. A warning says if
        its specification means something else by now.

    Raises
    ------
    ValueError
        If the folder holds no saved run, or one that is cut short, damaged or of a newer version,
        or if data, network or loss are missing or others.

    Examples
    --------
    >>> import tempfile
    >>> import vaedis as vd
    >>> options = {"image_size": 8, "square_size": 2, "grid_size": 3, "num_squares": 1}
    >>> spec = vd.RunSpec(data_options=options, model="mlp", latents=2, steps=5, batch=9)
    >>> run = vd.fit(spec, device="cpu")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run.save(folder)
    ...     loaded = vd.load_run(folder, device="cpu")
    >>> torch.equal(loaded.posterior([0, 4])[0], run.posterior([0, 4])[0])
    True
    """
    folder = as_folder("folder", folder)
    device = resolve_device(device)
    record, tensors = read_run(folder)
    try:
        spec = RunSpec.from_dict(record["spec"])
        meaning = record["meaning"]
        saved_loss = {"name": record["loss"]["name"], "fingerprint": record["loss"]["fingerprint"]}
        saved_loss["probe"] = np.array(record["loss"].get("probe") or (), dtype=float)
        loss_in_spec = record["loss"]["in_spec"]
        network_name = str(record["network"])
        probed = [np.array(part, dtype=float) for part in record.get("probe") or ()]
        missing = MissingData(record["data"], device)
        other_fields: dict[str, Any] = {
            "precision": record["precision"],
            "history": {name: tensors.pop(f"history.{name}").numpy() for name in record["history"]},
            "seconds": float(record["seconds"]),
            "steps_taken": int(record["steps_taken"]),
            "made_with": tuple(record["made_with"]),
        }
    except (KeyError, TypeError, AttributeError, ValueError) as problem:
        raise ValueError(
            f"The run in {shown(folder)} has a record that this vaedis does not understand "
            f"({type(problem).__name__}: {plain(str(problem), 300)}); update vaedis."
        ) from None
    loss = _loss(folder, saved_loss, spec, loss, missing)
    if loss_in_spec:
        spec = spec.replace(loss=loss)
    source = _data(folder, record["data"], spec, data, missing)
    network = _network(folder, network_name, spec, missing.shape, model)
    try:
        network.load_state_dict({name.removeprefix("model."): x for name, x in tensors.items()})
    except RuntimeError as problem:
        raise ValueError(
            f"The weights in {shown(folder)} do not fit the network: "
            f"{plain(' '.join(str(problem).split()), 500)} "
            "Give the network that was saved as load_run(folder, model=...)."
        ) from None
    check_finite(network, f"the run in {shown(folder)}")
    if meaning != MEANING:
        warnings.warn(
            f"The run in {shown(folder)} is as it was saved, but its specification means something "
            f"else by now (meaning {meaning} then, {MEANING} today): trained again, it gives other "
            "weights.",
            stacklevel=2,
        )
    # a record of an earlier version has no outputs, or fewer
    current = (probe(network, missing, spec.latents) or ())[: len(probed)]
    pairs: Any = itertools.zip_longest(probed, current, fillvalue=())
    for part, part_now in pairs:
        has_same_shape = np.shape(part) == np.shape(part_now)
        if not has_same_shape or np.abs(part - part_now).max() > _ROUNDING * np.abs(part).max():
            raise ValueError(
                f"The network has the weights of the run in {shown(folder)}, but computes other "
                f"numbers with them than {plain(network_name, 300)} did; give the network that was "
                "saved, as in load_run(folder, model=...), with all that it held besides its "
                "weights."
            )
    network.to(device)
    # as in `fit`; a custom network may rely on the usual memory order
    if "model" not in spec.custom:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    run = Run(spec, source, network, loss, record=record, **other_fields)  # type: ignore[arg-type]
    networks.mark_normalize(run.model, run.normalize)
    network.eval()
    return run


class MissingData(FactorData):
    """What a saved run knows of a data set that is not given: enough to decode, and no images."""

    def __init__(self, saved: dict[str, Any], device: torch.device):
        self.name = saved["name"]
        self.factors = FactorSpace(saved["factors"], saved["factors"].values())
        self.shape = tuple(saved["shape"])
        self.mean = tuple(saved["mean"])
        self.std = tuple(saved["std"])
        self.origin = saved["origin"]
        self.pixel_range = tuple(saved["pixel_range"])
        self.dtype = torch.float32 if saved["floats"] else torch.uint8
        self.device = device
        self._n = int(saved["n"])
        self.grid = self._n == self.factors.size
        if saved["own_display"]:
            self.denormalize = self.for_display = self._refuse  # type: ignore[method-assign]

    def __len__(self) -> int:
        return self._n

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise ValueError(
            f"the images of {self.name!r} are not saved with the run; "
            "give the data set, as in load_run(folder, data=mine)."
        )

    to_factors = traversals = _images = _observations = _refuse


def _data(
    folder: Path, saved: dict[str, Any], spec: RunSpec, data: Any, missing: MissingData
) -> FactorData:
    """Return the run's data set: the given one, one made again, or one without images."""
    if data is not None:
        source = data_sets.as_data(data)
    elif spec.data.startswith(GIVEN):
        return missing
    else:
        source = data_sets.load(spec.data, **spec.data_options)
    current = describe(source)
    compared = ("n", "shape", "factors", "images", "all_images", "labels")
    # a record of an earlier version tells less
    if any(current[name] != saved[name] for name in compared if name in saved):
        raise ValueError(
            f"The run in {shown(folder)} was trained on other images or labels than those of "
            f"{source.name!r} ({source.origin}): on {saved['name']!r} ({saved['origin']}), "
            f"{saved['n']:,} of shape {tuple(saved['shape'])}; give these as data=."
        )
    for name in ("mean", "std", "pixel_range", "floats", "own_display"):
        now, before = current[name], saved[name]
        # means of images are sums, which other machines round differently
        if np.shape(now) != np.shape(before) or not np.allclose(now, before, rtol=1e-5, atol=1e-7):
            raise ValueError(
                f"The run in {shown(folder)} was trained on images that are made ready for the "
                f"network otherwise than those of {source.name!r}: their {name} was {before} and "
                f"is {now}; give the data set as it was."
            )
    return source.to(missing.device)


def _loss(folder: Path, saved: dict[str, Any], spec: RunSpec, loss: Any, data: FactorData) -> Loss:
    """Return the loss of a run: the one that is given, or the one that is named."""
    if loss is None:
        if spec.loss not in losses.LOSSES:
            raise ValueError(
                f"The run in {shown(folder)} was trained with a loss of your own, "
                f"{saved['name']!r}; give it, as in load_run(folder, loss=...)."
            )
        return losses.get(spec.loss, **spec.loss_options)
    loss = losses.get(loss)
    current = loss_facts(loss, data)
    before = saved["probe"]
    now = np.array(current["probe"] or (), dtype=float)
    has_same_code = current["fingerprint"] == saved["fingerprint"]
    is_same = has_same_code
    # a record of an earlier version has no distances
    if len(before) and len(now):
        is_same = bool(np.abs(before - now).max() <= _ROUNDING * np.abs(before).max())
    if current["name"] != saved["name"] or not is_same:
        raise ValueError(
            f"The run in {shown(folder)} was trained with another loss than the one given, "
            f"{saved['name']!r}, or its code has changed; give that."
        )
    if not has_same_code:  # for instance, the loss filled a cache
        warnings.warn(
            f"The loss {saved['name']!r} gives the distances that it gave when the run in "
            f"{shown(folder)} was saved, but its code, or something that it holds, is another.",
            stacklevel=3,
        )
    return loss


def _network(
    folder: Path, name: str, spec: RunSpec, shape: Any, model: nn.Module | None
) -> nn.Module:
    """Return the network into which the weights are loaded."""
    if model is not None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be a torch module, not a {type(model).__name__}.")
        return copied(model)
    if name != _BUILT_IN or "model" in spec.custom:
        raise ValueError(
            f"The run in {shown(folder)} has a network of your own, of the class {name}; "
            "give one of the same sizes, as in load_run(folder, model=...)."
        )
    return networks.build(spec.model, shape, spec.latents, seed=spec.seed, **spec.model_options)
