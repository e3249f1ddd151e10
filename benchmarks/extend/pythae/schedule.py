import numpy as np
from pythae.models import BetaVAE, BetaVAEConfig
from pythae.pipelines import TrainingPipeline
from pythae.trainers import BaseTrainerConfig


class WarmedUp(BetaVAE):
    steps = 0

    def forward(self, inputs, **kwargs):
        self.beta = min(self.steps / 10, 1)
        self.steps += self.training
        return super().forward(inputs, **kwargs)


images = np.load("images.npy") / 255
training = BaseTrainerConfig(per_device_train_batch_size=32, num_epochs=1)
config = BetaVAEConfig(input_dim=(3, 64, 64), latent_dim=9, beta=1.0)
TrainingPipeline(WarmedUp(config), training)(images)
