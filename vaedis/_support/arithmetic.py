"""Set how torch multiplies in this process, and restore what was set before."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

import torch

_lock = threading.Lock()
_requests: list[dict[str, Any]] = []
_before: dict[str, Any] = {}
# the process that first used several threads of torch, which its forks do not have
_with_threads: int | None = None


@contextlib.contextmanager
def override(**request: Any) -> Iterator[None]:
    """Change settings while the block runs: of blocks that overlap, the latest decides.

    What was set before returns when the last block of all threads has ended.
    """
    _check_threads()
    with _lock:
        if not _requests:
            _before.update(_read())
        _requests.append(request)
        _write()
    try:
        yield
    finally:
        with _lock:
            # by identity, since two blocks may ask for equal settings
            _requests[:] = [other for other in _requests if other is not request]
            _write()


def _check_threads() -> None:
    global _with_threads
    if torch.get_num_threads() < 2:
        return
    if _with_threads not in (None, os.getpid()):
        raise RuntimeError(
            "this process was forked from one that used several threads of torch, which do not "
            "survive a fork; start processes with multiprocessing.get_context('spawn'), or call "
            "torch.set_num_threads(1) in this one."
        )
    _with_threads = os.getpid()


def _backends() -> dict[str, Any]:
    # where the precision of float32 is set: in convolutions, and in products on a GPU and on a CPU
    return {
        "conv": torch.backends.cudnn.conv,  # type: ignore[attr-defined]
        "matmul": torch.backends.cuda.matmul,
        "cpu_matmul": torch.backends.mkldnn.matmul,  # type: ignore[attr-defined]
    }


def _read() -> dict[str, Any]:
    settings: dict[str, Any] = {"deterministic": torch.backends.cudnn.deterministic}
    # torch refuses to read the setting of all devices once one of them has its own
    common = getattr(torch.backends, "fp32_precision", None)
    for name, backend in _backends().items():
        precision = backend.fp32_precision
        # "none" lets the backend follow the common setting again
        settings[name] = "none" if precision == common else precision
    return settings


def _write() -> None:
    settings = dict(_before)
    for request in _requests:
        settings |= request
    torch.backends.cudnn.deterministic = settings.pop("deterministic")
    for name, backend in _backends().items():
        backend.fp32_precision = settings[name]
