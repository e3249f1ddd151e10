import numpy as np
from pythae.models import BetaVAE, BetaVAEConfig
from pythae.pipelines import TrainingPipeline
from pythae.trainers import BaseTrainerConfig


class Sparse(BetaVAE):
    def loss_function(self, recon_x, x, mu, log_var, z):
        loss, recon, kl = super().loss_function(recon_x, x, mu, log_var, z)
        return loss + self.beta * mu.abs().sum(1).mean(), recon, kl


images = np.load("images.npy") / 255
training = BaseTrainerConfig(per_device_train_batch_size=32, num_epochs=1)
config = BetaVAEConfig(input_dim=(3, 64, 64), latent_dim=9, beta=1.0)
TrainingPipeline(Sparse(config), training)(images)
