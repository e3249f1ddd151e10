"""Measures disent; runs inside disent's own environment, called by speed.py, train.py and
disent_versions.py. Prints one JSON line.
"""

import json
import sys
import time
from importlib.metadata import version

import lightning as L
import torch
from disent.dataset import DisentDataset
from disent.dataset.data import XYSquaresData
from disent.dataset.sampling import GroundTruthPairOrigSampler, SingleSampler
from disent.dataset.transform import ToImgTensorF32
from disent.frameworks.vae import AdaVae, BetaVae
from disent.model import AutoEncoder
from disent.model.ae import DecoderConv64, EncoderConv64
from torch.utils.data import DataLoader

MEAN, STD = [0.015625] * 3, [0.12403473458920845] * 3


def loader(framework: str, workers: int) -> DataLoader:
    """The library's own data path, as its README sets it up."""
    sampler = GroundTruthPairOrigSampler(p_k=-1) if framework == "ada-gvae" else SingleSampler()
    transform = ToImgTensorF32(size=64, mean=MEAN, std=STD)
    data = DisentDataset(XYSquaresData(grid_size=8, grid_spacing=8), sampler, transform=transform)
    return DataLoader(
        data, batch_size=256, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )


def batches_per_second(framework: str, workers: int, seconds: float) -> float:
    """Images a second that arrive at the network."""
    source = iter(loader(framework, workers))
    for _ in range(3):
        next(source)
    started = time.perf_counter()
    batches = 0
    while time.perf_counter() - started < seconds:
        next(source)
        batches += 1
    return batches * 256 * (2 if framework == "ada-gvae" else 1) / (time.perf_counter() - started)


class Clock(L.Callback):
    """Times the steps after the first few, and ends the training when the time is up."""

    def __init__(self, seconds: float, warm_up: int = 3):
        self.seconds = seconds
        self.warm_up = warm_up
        self.steps = 0
        self.started = 0.0
        self.ended = 0.0

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.steps += 1
        self.ended = time.perf_counter()
        if self.steps == self.warm_up:
            self.started = self.ended
        elif self.steps > self.warm_up + 1 and self.ended - self.started > self.seconds:
            trainer.should_stop = True


def training(framework: str, workers: int, seconds: float) -> float:
    """Images a second in the library's own training loop."""
    cls = AdaVae if framework == "ada-gvae" else BetaVae
    cfg = cls.cfg(
        optimizer="adam", optimizer_kwargs={"lr": 1e-3}, loss_reduction="mean", beta=0.001
    )
    encoder = EncoderConv64(x_shape=(3, 64, 64), z_size=9, z_multiplier=2)
    decoder = DecoderConv64(x_shape=(3, 64, 64), z_size=9)
    model = cls(AutoEncoder(encoder, decoder), cfg=cfg)
    clock = Clock(seconds)
    trainer = L.Trainer(
        max_epochs=1,
        min_epochs=0,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[clock],
    )
    trainer.fit(model, loader(framework, workers))
    images = (clock.steps - clock.warm_up) * 256 * (2 if framework == "ada-gvae" else 1)
    return images / (clock.ended - clock.started)


if __name__ == "__main__":
    what, framework, workers, seconds = sys.argv[1:5]
    measure = {"data": batches_per_second, "train": training}[what]
    facts = {
        "images_per_second": measure(framework, int(workers), float(seconds)),
        "disent": version("disent"),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(facts))
