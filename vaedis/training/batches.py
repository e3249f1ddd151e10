"""Random streams of a run: the order of images, pairs and noise, each with its own generator."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor

from vaedis.data import FactorData
from vaedis.spec import RunSpec


def generator(spec: RunSpec, purpose: str, device: torch.device) -> torch.Generator:
    """Return a generator for one purpose."""
    return torch.Generator(device).manual_seed(generator_seed(spec.seed, purpose))


def generator_seed(seed: int, purpose: str) -> int:
    """Return a generator's seed: the streams of one run must not repeat each other."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:7], "big")


class BatchSampler:
    """Draws the batches and the noise of a run, on the device of its data."""

    def __init__(self, spec: RunSpec, data: FactorData):
        if spec.framework == "ada-gvae":
            data.require_full_grid("pairs of images that share factors (framework='ada-gvae')")
        self.spec = spec
        self.data = data
        self._order = generator(spec, "order", data.device)
        self._pairs = generator(spec, "pairs", data.device)
        self._noise = generator(spec, "noise", data.device)
        self._start_epoch()

    def _start_epoch(self) -> None:
        self._order_before = self._order.get_state()
        order = torch.randperm(len(self.data), generator=self._order, device=self.data.device)
        self._batches = order.split(self.spec.batch)
        self._next = 0

    def index(self) -> Tensor:
        """Return the next batch (B,), or pairs (2 * B,), all first images and then all second.

        Every image comes once per epoch, in a new order; the last batch may be shorter.
        """
        if self._next == len(self._batches):
            self._start_epoch()
        index = self._batches[self._next]
        self._next += 1
        if self.spec.framework == "beta-vae":
            return index
        second = self.data.factors._sample_pairs(index, self.spec.pairs, self._pairs)
        return torch.cat([index, second])

    def noise(self, n: int) -> Tensor:
        """Return standard normal noise, shape (n, z)."""
        return torch.randn(
            n,
            self.spec.latents,
            generator=self._noise,
            dtype=torch.float32,
            device=self.data.device,
        )

    def state(self) -> dict[str, Tensor]:
        """Return what `restore` needs."""
        return {
            "order": self._order_before,
            "pairs": self._pairs.get_state(),
            "noise": self._noise.get_state(),
            "batch": torch.tensor(self._next),
        }

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from where `state` was taken."""
        self._order.set_state(state["order"])
        self._start_epoch()
        self._next = int(state["batch"])
        self._pairs.set_state(state["pairs"])
        self._noise.set_state(state["noise"])


@contextlib.contextmanager
def seeded(seed: int, purpose: str, device: torch.device) -> Iterator[None]:
    """Give torch's own generators the state of a seed and a purpose while the block runs."""
    devices = [torch.cuda.current_device()] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(generator_seed(seed, purpose))
        yield
