"""What all figures share: colours, names, one style, and the two kinds of panel."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

try:
    import matplotlib
    import matplotlib.pyplot as plt
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure
    from matplotlib.patches import Ellipse
except ImportError as absent:
    raise ImportError("Figures need matplotlib: pip install 'vaedis[plots]'.") from absent

__all__ = [
    "COLOURS",
    "CURVES",
    "LEVEL_NAMES",
    "MARKERS",
    "NAMES",
    "SCORES",
    "STYLE",
    "Axes",
    "Ellipse",
    "Figure",
    "LineCollection",
    "as_bytes",
    "draw_matrix",
    "draw_picture",
    "note_runs",
    "plt",
    "styled",
]

COLOURS = {
    "ada-gvae": "#d97706",
    "beta-vae": "#be185d",
    "box-blur": "#0f9d8f",
    "mse": "#6a8f00",
    "mean": "#d97706",
    "published": "#3b5bdb",
}
CURVES = ("#3b5bdb", "#d97706", "#0f9d8f", "#be185d")
"""Colours of curves that have no name of their own."""
MARKERS = {
    "ada-gvae": "o",
    "beta-vae": "X",
    "box-blur": "s",
    "mse": "D",
    "mean": "o",
    "published": "^",
}
NAMES = {
    "ada-gvae": "Ada-GVAE",
    "beta-vae": "β-VAE",
    "box-blur": "MSE + box blur",
    "mse": "MSE",
    "mean": "mean of both",
    "published": "second image's mean",
}
SCORES = {"mig": "MIG", "dci": "DCI disentanglement"}
LEVEL_NAMES = {
    "factors": "factors\n|i − j|",
    "x": "observations\nloss(x, x′)",
    "z": "latent means\n‖μ − μ′‖",
    "kl": "posteriors\nsymmetric KL",
    "reconstruction": "reconstructions\nloss(x̂, x̂′)",
}
STYLE: Any = {
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.alpha": 0.25,
    "grid.linestyle": "--",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Make a function draw in the book's style, and leave the caller's style and interactive mode
    as they were.
    """

    @functools.wraps(draw)
    def drawn(*args: Any, **kwargs: Any) -> Figure:
        with plt.rc_context(STYLE):
            figure = draw(*args, **kwargs)
            interactive = plt.isinteractive()
        # A notebook's first figure loads its backend and with it switches interactive mode on;
        # leaving the context switches it off again, and no later figure would appear.
        matplotlib.interactive(interactive)
        return figure

    return drawn


def draw_picture(axes: Axes, image: np.ndarray) -> None:
    """Draw an image, ndarray of uint8, shape (H, W, C) with 1 or 3 channels, in a thin frame and
    without ticks.
    """
    image = np.asarray(image)
    axes.imshow(
        image[..., 0] if image.shape[-1] == 1 else image,
        cmap="gray",
        vmin=0,
        vmax=255,
        interpolation="nearest",
    )
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color("0.6")


def as_bytes(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return images as bytes; floats have the range of all of them spread over 0 … 255."""
    arrays = {name: np.asarray(images) for name, images in columns.items()}
    if not any(images.dtype.kind == "f" for images in arrays.values()):
        return arrays
    low = min(float(images.min()) for images in arrays.values())
    high = max(float(images.max()) for images in arrays.values())
    scale = 255 / (high - low or 1.0)
    return {
        name: np.rint((images.astype(float) - low) * scale).astype(np.uint8)
        for name, images in arrays.items()
    }


def draw_matrix(
    axes: Axes, matrix: np.ndarray, cmap: str, span: tuple[float, float] | None = None
) -> None:
    """Draw a matrix, ndarray of float, shape (f, f), in colours that reach from its smallest to its
    largest entry, or over `span`.
    """
    low, high = span if span else (float(np.nanmin(matrix)), float(np.nanmax(matrix)))
    axes.imshow(
        matrix, cmap=cmap, vmin=low, vmax=high if high > low else low + 1, interpolation="nearest"
    )
    axes.set_xticks([])
    axes.set_yticks([])


def note_runs(figure: Figure, note: str) -> None:
    """Write below a figure which runs it shows, so that a picture that is passed on alone still
    says it.
    """
    if note:
        figure.supxlabel(note, fontsize=8.5, color="0.35", x=0.99, ha="right")
