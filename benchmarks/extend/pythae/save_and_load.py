import numpy as np
import torch
from pythae.models import AutoModel, BetaVAE, BetaVAEConfig
from pythae.pipelines import TrainingPipeline
from pythae.trainers import BaseTrainerConfig

images = np.load("images.npy") / 255
training = BaseTrainerConfig(per_device_train_batch_size=32, num_epochs=1)
config = BetaVAEConfig(input_dim=(3, 64, 64), latent_dim=9, beta=1.0)
model = BetaVAE(config)
TrainingPipeline(model, training)(images)
model.cpu().save("run")
loaded = AutoModel.load_from_folder("run")
x = torch.as_tensor(images[:64], dtype=torch.float32)
with torch.no_grad():
    print(torch.equal(model.encoder(x).embedding, loaded.encoder(x).embedding))
