"""All that is random in training: the order of the images, the pairs and the noise, each a stream
of its own that can be taken up again.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from vaedis.data import FactorData
from vaedis.spec import RunSpec


def generator(spec: RunSpec, purpose: str, device: torch.device) -> torch.Generator:
    """Return a generator for one purpose: streams of one seed must not repeat each other."""
    digest = hashlib.sha256(f"{spec.seed}/{purpose}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:7], "big"))


class Draws:
    """Which images and which noise each step gets.

    Parameters
    ----------
    spec : RunSpec
    data : FactorData
        Draws are made on its device.

    Raises
    ------
    ValueError
        If pairs are asked for of a data set that is no grid.
    """

    def __init__(self, spec: RunSpec, data: FactorData):
        if spec.framework == "ada-gvae":
            data.require_full_grid("pairs of images that share factors (framework='ada-gvae')")
        self.spec, self.data = spec, data
        self._order, self._pairs, self._noise = (
            generator(spec, purpose, data.device) for purpose in ("order", "pairs", "noise")
        )
        self._start_epoch()

    def _start_epoch(self) -> None:
        self._order_before = self._order.get_state()
        self._batches = torch.randperm(
            len(self.data), generator=self._order, device=self.data.device
        ).split(self.spec.batch)
        self._next = 0

    def index(self) -> Tensor:
        """Return the next batch: every image of the data set comes once an epoch, in a new order.

        Returns
        -------
        Tensor of int64, shape (B,) or (2 * B,)
            For pairs, the first images and then the second ones. The last batch of an epoch may be
            shorter.
        """
        if self._next == len(self._batches):
            self._start_epoch()
        index = self._batches[self._next]
        self._next += 1
        if self.spec.framework == "ada-gvae":
            return torch.cat(
                [index, self.data.factors._sample_pairs(index, self.spec.pairs, self._pairs)]
            )
        return index

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
        """Return what `restore` needs to go on from here."""
        states = {
            "order": self._order_before,
            "pairs": self._pairs.get_state(),
            "noise": self._noise.get_state(),
        }
        return {**states, "batch": torch.tensor(self._next)}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from where `state` was taken."""
        self._order.set_state(state["order"])
        self._start_epoch()
        self._next = int(state["batch"])
        self._pairs.set_state(state["pairs"])
        self._noise.set_state(state["noise"])
