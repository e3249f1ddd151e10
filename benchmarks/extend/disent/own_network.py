import lightning as L
from disent.dataset import DisentDataset
from disent.dataset.data import XYSquaresData
from disent.dataset.sampling import SingleSampler
from disent.dataset.transform import ToImgTensorF32
from disent.frameworks.vae import BetaVae
from disent.model import AutoEncoder, DisentDecoder, DisentEncoder
from torch import nn
from torch.utils.data import DataLoader


class Encoder(DisentEncoder):
    def __init__(self):
        super().__init__(x_shape=(3, 64, 64), z_size=9, z_multiplier=2)
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(12288, 128), nn.GELU(), nn.Linear(128, 18))

    def encode(self, x):
        return self.net(x)


class Decoder(DisentDecoder):
    def __init__(self):
        super().__init__(x_shape=(3, 64, 64), z_size=9)
        self.net = nn.Sequential(
            nn.Linear(9, 128), nn.GELU(), nn.Linear(128, 12288), nn.Unflatten(1, (3, 64, 64))
        )

    def decode(self, z):
        return self.net(z)


data = DisentDataset(
    XYSquaresData(grid_size=8, grid_spacing=8, num_squares=2),
    SingleSampler(),
    transform=ToImgTensorF32(),
)
model = BetaVae(AutoEncoder(Encoder(), Decoder()), cfg=BetaVae.cfg(beta=0.001))
trainer = L.Trainer(max_steps=20, logger=False, enable_checkpointing=False)
trainer.fit(model, DataLoader(data, batch_size=32, shuffle=True))
print(trainer.logged_metrics)
