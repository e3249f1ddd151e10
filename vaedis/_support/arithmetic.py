"""How torch multiplies: settings of the whole process, held for as long as something needs them and
then put back.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import torch

_lock = threading.Lock()
_wishes: list[dict[str, Any]] = []
_before: dict[str, Any] = {}


@contextlib.contextmanager
def held(**wish: Any) -> Iterator[None]:
    """Hold settings while the block runs; what was set before returns when the last block of all
    threads has ended.

    Blocks of several threads, or within each other, may overlap: the one that began last decides
    while it runs.

    Parameters
    ----------
    **wish
        Any of ``conv``, ``matmul`` and ``cpu_matmul``, the precision of float32 in cuDNN's
        convolutions, in products on a GPU and in products on a CPU, and ``deterministic``, of
        cuDNN.
    """
    with _lock:
        if not _wishes:
            _before.update(_read())
        _wishes.append(wish)
        _write()
    try:
        yield
    finally:
        with _lock:
            # by identity: two blocks may wish the same
            del _wishes[next(k for k, other in enumerate(_wishes) if other is wish)]
            _write()


def _backends() -> dict[str, Any]:
    return {
        "conv": torch.backends.cudnn.conv,  # type: ignore[attr-defined]
        "matmul": torch.backends.cuda.matmul,
        "cpu_matmul": torch.backends.mkldnn.matmul,  # type: ignore[attr-defined]
    }


def _read() -> dict[str, Any]:
    # torch refuses to read the one setting for all devices once theirs have been set
    everywhere = getattr(torch.backends, "fp32_precision", None)
    # what a device has taken over from the setting for everything must follow that again afterwards
    precisions = {
        name: "none" if (own := of.fp32_precision) == everywhere else own
        for name, of in _backends().items()
    }
    return {**precisions, "deterministic": torch.backends.cudnn.deterministic}


def _write() -> None:
    settings = dict(_before)
    for wish in _wishes:
        settings |= wish
    torch.backends.cudnn.deterministic = settings.pop("deterministic")
    backends = _backends()
    for name, precision in settings.items():
        backends[name].fp32_precision = precision
