import numpy as np
from pythae.models import BetaVAE, BetaVAEConfig
from pythae.pipelines import TrainingPipeline
from pythae.trainers import BaseTrainerConfig


class Edges(BetaVAE):
    def loss_function(self, recon_x, x, mu, log_var, z):
        _, _, kl = super().loss_function(recon_x, x, mu, log_var, z)
        recon = (recon_x - x).diff(dim=-1).square().sum((1, 2, 3)).mean()
        return recon + self.beta * kl, recon, kl


images = np.load("images.npy") / 255
training = BaseTrainerConfig(per_device_train_batch_size=32, num_epochs=1)
config = BetaVAEConfig(input_dim=(3, 64, 64), latent_dim=9, beta=1.0)
TrainingPipeline(Edges(config), training)(images)
