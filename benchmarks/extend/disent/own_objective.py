import lightning as L
from disent.dataset import DisentDataset
from disent.dataset.data import XYSquaresData
from disent.dataset.sampling import SingleSampler
from disent.dataset.transform import ToImgTensorF32
from disent.frameworks.vae import BetaVae
from disent.model import AutoEncoder
from disent.model.ae import DecoderConv64, EncoderConv64
from torch.utils.data import DataLoader


class Sparse(BetaVae):
    def hook_compute_ave_aug_loss(self, ds_posterior, **kwargs):
        penalty = self.cfg.beta * ds_posterior[0].mean.abs().mean()
        return penalty, {"penalty": penalty}


data = DisentDataset(
    XYSquaresData(grid_size=8, grid_spacing=8, num_squares=2),
    SingleSampler(),
    transform=ToImgTensorF32(),
)
network = AutoEncoder(EncoderConv64(z_size=9, z_multiplier=2), DecoderConv64(z_size=9))
model = Sparse(network, cfg=Sparse.cfg(beta=0.001))
trainer = L.Trainer(max_steps=20, logger=False, enable_checkpointing=False)
trainer.fit(model, DataLoader(data, batch_size=32, shuffle=True))
print(trainer.logged_metrics)
