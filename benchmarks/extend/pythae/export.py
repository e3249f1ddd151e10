from pathlib import Path

import numpy as np
import torch
from pythae.models import BetaVAE, BetaVAEConfig
from pythae.pipelines import TrainingPipeline
from pythae.trainers import BaseTrainerConfig
from torch import nn


class Encoder(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, x):
        found = self.encoder(x)
        return found.embedding, found.log_covariance


class Decoder(nn.Module):
    def __init__(self, decoder):
        super().__init__()
        self.decoder = decoder

    def forward(self, z):
        return self.decoder(z).reconstruction


images = np.load("images.npy") / 255
training = BaseTrainerConfig(per_device_train_batch_size=32, num_epochs=1)
config = BetaVAEConfig(input_dim=(3, 64, 64), latent_dim=9, beta=1.0)
model = BetaVAE(config)
TrainingPipeline(model, training)(images)
Path("onnx").mkdir()
many = [{0: torch.export.Dim("n")}]
x = torch.rand(2, 3, 64, 64)
torch.onnx.export(Encoder(model.encoder), (x,), "onnx/encoder.onnx", dynamic_shapes=many)
z = torch.randn(2, 9)
torch.onnx.export(Decoder(model.decoder), (z,), "onnx/decoder.onnx", dynamic_shapes=many)
