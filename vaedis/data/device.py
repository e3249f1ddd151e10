"""Devices: where the images of a data set are made, and networks are trained."""

from __future__ import annotations

import torch


class NoDevice(RuntimeError):
    """A GPU was asked for where there is none."""


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """Return a torch device; "auto" is CUDA if there is a GPU, and the CPU otherwise.

    Raises
    ------
    NoDevice
        If CUDA is asked for and absent.
    ValueError
        If there is no such device, or it is neither a CPU nor an NVIDIA GPU.

    Examples
    --------
    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError):
        choices = "'auto', 'cpu', 'cuda' or 'cuda:N'"
        raise ValueError(f"Unknown device {device!r}; choose {choices}.") from None
    if resolved.type not in ("cpu", "cuda"):
        raise ValueError(
            f"Device {str(device)!r} is not supported; choose 'auto', 'cpu' or 'cuda'."
        )
    if resolved.type == "cuda":
        n_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (resolved.index or 0) >= n_devices:
            problem = f"Device {device!r} was asked for, but torch sees {n_devices} CUDA devices"
            raise NoDevice(f"{problem}; use device='auto' or 'cpu'.")
    return resolved
