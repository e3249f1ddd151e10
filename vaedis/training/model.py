"""The networks: the convolutional VAE of Table A3, and a small multi-layer perceptron.

Initial weights are drawn on the CPU from the seed alone, so that they are the same on every device.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vaedis import _check
from vaedis.training.layers import Conv2d, ConvTranspose2d

# float32 whatever a program's default is
_Linear = functools.partial(nn.Linear, dtype=torch.float32)
_Conv2d = functools.partial(Conv2d, dtype=torch.float32)
_ConvTranspose2d = functools.partial(ConvTranspose2d, dtype=torch.float32)

# channels of the convolutional encoder by the side of an image: each convolution halves it, to 4
_WIDTHS = {
    28: (32, 64, 64),
    32: (32, 64, 64),
    64: (32, 32, 64, 64),
    128: (32, 32, 32, 64, 64),
}


class VAE(nn.Module):
    """An encoder and a decoder.

    Mean and log-variance come from one linear layer of ``2 * latents`` outputs, as in the authors'
    code; under Xavier's rule its weights are smaller than those of two layers.

    `encoder` goes from images, shape (B, C, H, W), to (B, 2 * latents), and `decoder` from
    (B, latents) back to images. Initial weights follow from `seed`: Xavier-normal with gain 1;
    biases are zero. `normalize` says whether the network takes normalized images; `fit` sets it.
    """

    normalize: bool = True

    def __init__(self, encoder: nn.Module, decoder: nn.Module, latents: int, *, seed: int = 0):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.latents = latents
        generator = torch.Generator().manual_seed(_check.seed(seed))
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                nn.init.xavier_normal_(module.weight, generator=generator)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of the posterior, each of shape (B, latents), of images."""
        mean, logvar = self.encoder(x).chunk(2, -1)
        return mean, logvar

    @property
    def _vaedis_normalize(self) -> bool:
        """What `metrics.evaluate` reads of any network; see `mark_normalize`."""
        return self.normalize

    def decode(self, z: Tensor) -> Tensor:
        """Return the decoder's output, shape (B, C, H, W), for latents of shape (B, latents).

        `Loss.output` makes images of it.
        """
        return self.decoder(z)


def conv_vae(shape: tuple[int, int, int], latents: int, *, seed: int = 0, padding: int = 2) -> VAE:
    """Return the convolutional VAE of Table A3, deeper or less deep by size; see `build`."""
    height, width, channels = shape
    if height != width or height not in _WIDTHS:
        raise ValueError(
            f"The convolutional VAE takes images of {', '.join(map(str, _WIDTHS))} pixels a side, "
            f"not {height}×{width}; read them as in read_images(path, resize=64), or use "
            "model='mlp'."
        )
    _check.count("latents", latents)
    if padding not in (1, 2):
        raise ValueError(f"padding must be 1 or 2, not {padding!r}.")
    widths = _WIDTHS[height]
    encoder: list[nn.Module] = []
    decoder: list[nn.Module] = []
    edge = 2 if height == 28 else 0
    side = height + 2 * edge
    for inputs, outputs in itertools.pairwise((channels, *widths)):
        encoder += [_Conv2d(inputs, outputs, 4, 2, padding), nn.ReLU(inplace=True)]
        side = (side + 2 * padding - 4) // 2 + 1
    for inputs, outputs in itertools.pairwise((*reversed(widths), channels)):
        decoder += [nn.ReLU(inplace=True), _ConvTranspose2d(inputs, outputs, 4, 2, 1)]
    if edge:
        encoder.insert(0, nn.ZeroPad2d(edge))
        decoder.append(nn.ZeroPad2d(-edge))
    return VAE(
        nn.Sequential(
            *encoder,
            nn.Flatten(),
            _Linear(widths[-1] * side * side, 256),
            nn.ReLU(inplace=True),
            _Linear(256, 2 * latents),
        ),
        nn.Sequential(
            _Linear(latents, 256),
            nn.ReLU(inplace=True),
            _Linear(256, 1024),
            nn.ReLU(inplace=True),
            nn.Unflatten(1, (64, 4, 4)),
            *decoder[1:],
        ),
        latents,
        seed=seed,
    )


def mlp_vae(
    shape: tuple[int, int, int], latents: int, *, seed: int = 0, hidden: Sequence[int] = (256, 256)
) -> VAE:
    """Return a VAE of fully connected layers; see `build`."""
    height, width, channels = shape
    _check.count("latents", latents)
    if not isinstance(hidden, Iterable):
        raise ValueError(f"hidden must be a list of widths, such as [{hidden!r}].")
    widths = [_check.count("a hidden width", h) for h in hidden]
    n = math.prod(shape)
    encoder = nn.Sequential(nn.Flatten(), *_layers([n, *widths, 2 * latents]))
    decoder = nn.Sequential(
        *_layers([latents, *reversed(widths), n]), nn.Unflatten(1, (channels, height, width))
    )
    return VAE(encoder, decoder, latents, seed=seed)


def _layers(widths: Sequence[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [_Linear(inputs, outputs), nn.ReLU(inplace=True)]
    return layers[:-1]


_MODELS: dict[str, Callable[..., VAE]] = {"conv": conv_vae, "mlp": mlp_vae}
_MODEL_OPTIONS = {"conv": ["padding"], "mlp": ["hidden"]}


def build(
    model: str, shape: tuple[int, int, int], latents: int, *, seed: int = 0, **options: Any
) -> VAE:
    """Return a network by name.

    Source: Michlo, Klein and James (2023), Table A3. The authors'
    ``disent/model/ae/_vae_conv64.py``.

    Parameters
    ----------
    model : {"conv", "mlp"}
        The network of Table A3, for images of 64×64 pixels, with a convolution less in both halves
        for 32×32 and one more for 128×128; images of 28×28 are padded with zeros to 32×32, and the
        output is cut. Or fully connected layers, for images of any size and for coordinates.
    shape : (H, W, C)
        Shape of one image.
    latents : int
    seed : int
        Of the initial weights.
    **options
        ``padding`` of "conv", of the encoder's convolutions: 2 as in the authors' code, so that
        1600 features reach the first linear layer, or 1, with 1024; Table A3 is silent about it.
        ``hidden`` of "mlp", the widths of the encoder's hidden layers; the decoder has them in
        reverse.

    Examples
    --------
    >>> network = build("mlp", (8, 8, 1), latents=2, hidden=[16])
    >>> mean, logvar = network.encode(torch.zeros(5, 1, 8, 8))
    >>> mean.shape, network.decode(mean).shape
    (torch.Size([5, 2]), torch.Size([5, 1, 8, 8]))
    """
    make = _MODELS[_check.one_of("model", model, _MODELS)]
    _check.options("model", model, options, _MODEL_OPTIONS[model])
    # layers draw weights from the global generator as they are made, before the seed's replace
    # them; leave it as it was
    with torch.random.fork_rng(devices=[]):
        return make(shape, latents, seed=seed, **options)


def count_parameters(model: nn.Module) -> int:
    """Return how many trainable numbers a network has.

    Examples
    --------
    >>> count_parameters(build("conv", (64, 64, 3), latents=9))
    912981
    """
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def mark_normalize(network: Any, normalize: bool) -> None:
    """Let a network say whether it takes normalized images, for `metrics.evaluate`."""
    if isinstance(network, VAE):
        network.normalize = normalize
    else:
        # a custom network may have a method or a layer called `normalize`
        network._vaedis_normalize = normalize
