import numpy as np
from pythae.models import BetaVAE, BetaVAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.pipelines import TrainingPipeline
from pythae.trainers import BaseTrainerConfig
from torch import nn


class Encoder(BaseEncoder):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(12288, 128), nn.GELU(), nn.Linear(128, 18))

    def forward(self, x):
        mean, logvar = self.net(x).chunk(2, dim=1)
        return ModelOutput(embedding=mean, log_covariance=logvar)


class Decoder(BaseDecoder):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(9, 128), nn.GELU(), nn.Linear(128, 12288), nn.Unflatten(1, (3, 64, 64))
        )

    def forward(self, z):
        return ModelOutput(reconstruction=self.net(z))


images = np.load("images.npy") / 255
training = BaseTrainerConfig(per_device_train_batch_size=32, num_epochs=1)
config = BetaVAEConfig(input_dim=(3, 64, 64), latent_dim=9, beta=1.0)
TrainingPipeline(BetaVAE(config, Encoder(), Decoder()), training)(images)
