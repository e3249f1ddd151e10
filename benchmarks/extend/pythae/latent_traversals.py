import numpy as np
import torch
from PIL import Image
from pythae.models import BetaVAE, BetaVAEConfig
from pythae.pipelines import TrainingPipeline
from pythae.trainers import BaseTrainerConfig

images = np.load("images.npy") / 255
training = BaseTrainerConfig(per_device_train_batch_size=32, num_epochs=1)
config = BetaVAEConfig(input_dim=(3, 64, 64), latent_dim=9, beta=1.0)
model = BetaVAE(config)
TrainingPipeline(model, training)(images)
x = torch.as_tensor(images[:64], dtype=torch.float32)
with torch.no_grad():
    means = model.encoder(x).embedding
    rows = []
    for latent in range(9):
        z = means[:1].repeat(9, 1)
        z[:, latent] = torch.linspace(means[:, latent].min(), means[:, latent].max(), 9)
        rows.append(torch.cat([*model.decoder(z).reconstruction], dim=2))
picture = torch.cat(rows, dim=1).clamp(0, 1).permute(1, 2, 0)
Image.fromarray((255 * picture).byte().numpy()).save("latents.png")
