"""What the benchmarks share: their command line, a line about the machine, measurements that take
turns, and how medians are written.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence

import torch


def parser(about: str | None) -> argparse.ArgumentParser:
    """A command line whose help is a script's docstring."""
    return argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def device_name(device: str = "cpu") -> str:
    """The name of a GPU, or what is known of the CPU."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"


def load() -> str:
    """Load averages over 1, 5 and 15 minutes; a machine that does nothing else is below the number
    of threads in use.
    """
    return ", ".join(f"{value:.1f}" for value in os.getloadavg())


def about(device: str = "cpu") -> str:
    """One line: device, versions, and the load before the start, so that a table from a busy
    machine shows it.
    """
    return f"{device_name(device)}; Python {platform.python_version()}, torch {torch.__version__}; load before the start {load()}"


def in_turn(ways: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Call each way once a round, so that a disturbance strikes all of them; return what they gave."""
    values_of: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            values_of[name].append(way())
    return values_of


def ending(rounds: int) -> str:
    """The line below a table of `cell` and `ratio`."""
    return f"\nMedians of {rounds} rounds in turn, in brackets the lowest and the highest round. Load at the end {load()}."


def cell(rates: Sequence[float]) -> str:
    """Median, lowest and highest."""
    return f"{statistics.median(rates):,.0f} ({min(rates):,.0f}–{max(rates):,.0f})"


def ratio(rates: Sequence[float], peer_rates: Sequence[float]) -> str:
    """Ratio of two medians, and the lowest and highest ratio of one round."""
    each = [a / b for a, b in zip(rates, peer_rates, strict=True)]
    return f"{statistics.median(rates) / statistics.median(peer_rates):.2f} ({min(each):.2f}–{max(each):.2f})"
