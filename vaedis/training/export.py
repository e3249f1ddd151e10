"""Write a network as ONNX models."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from vaedis import _check
from vaedis._files import write_atomically
from vaedis._support.text import plain
from vaedis.training.checkpoint import as_folder

if TYPE_CHECKING:
    from vaedis.training.run import Run


def export_onnx(run: Run, folder: str | Path) -> None:
    """Write the encoder and the decoder of a run; see `Run.export_onnx`."""
    for name in ("onnx", "onnxscript"):
        _check.package(name, "write ONNX files", "onnx")
    folder = as_folder("folder", folder)
    folder.mkdir(parents=True, exist_ok=True)
    height, width, channels = run.data.shape
    # two images, since torch would take a size of 1 for a constant
    x = torch.zeros(2, channels, height, width, device=run.data.device)
    with torch.no_grad():
        z, _ = run.model.encode(x)
    network = run.model
    encoder = _Part(network, network.encode)
    decoder = _Part(network, lambda z: run.loss.output(network.decode(z)))
    # both before either is written, so that no new encoder lies beside an old decoder
    encoded = _onnx("encoder", encoder, x, "x", ["mean", "logvar"])
    decoded = _onnx("decoder", decoder, z, "z", ["x"])
    write_atomically(folder / "encoder.onnx", encoded)
    write_atomically(folder / "decoder.onnx", decoded)


class _Part(nn.Module):
    """A function of a network as a module."""

    def __init__(self, network: nn.Module, function: Callable[[Tensor], Any]):
        super().__init__()
        self.network = network
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def _onnx(
    name: str, part: nn.Module, example: Tensor, input_name: str, output_names: list[str]
) -> bytes:
    """Return the bytes of an ONNX model whose number of images is free."""
    try:
        with _warnings_off():
            program = torch.onnx.export(
                part.eval(),
                (example,),
                dynamo=True,
                input_names=[input_name],
                output_names=output_names,
                dynamic_shapes=({0: torch.export.Dim("n")},),
                verbose=False,
            )
        assert program is not None
        return program.model_proto.SerializeToString()
    except Exception as error:  # torch may fail to translate the user's code
        cause = error.__cause__ or error
        raise ValueError(
            f"the {name} cannot be written as an ONNX model, since torch does not translate its "
            f"code: {plain(' '.join(str(cause).split()), 200)}"
        ) from error


@contextlib.contextmanager
def _warnings_off() -> Iterator[None]:
    """Keep back what torch's exporter says about itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            # torch calls its own old names
            warnings.filterwarnings("ignore", ".*LeafSpec.*is deprecated", FutureWarning)
            yield
    finally:
        logger.setLevel(level)
