import lightning as L  # noqa: F401
from disent.dataset import DisentDataset  # noqa: F401
from disent.dataset.data import XYSquaresData  # noqa: F401
from disent.dataset.sampling import SingleSampler  # noqa: F401
from disent.dataset.transform import ToImgTensorF32  # noqa: F401
from disent.frameworks.vae import BetaVae  # noqa: F401
from disent.model import AutoEncoder  # noqa: F401
from disent.model.ae import DecoderConv64, EncoderConv64  # noqa: F401
from torch.utils.data import DataLoader  # noqa: F401
