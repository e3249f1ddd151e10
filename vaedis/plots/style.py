"""What all figures share: one style, and how images and matrices are drawn."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from vaedis._support.text import names_of_own, shown_name
from vaedis.plots.inputs import finite_range, numbers_of

try:
    import matplotlib
    import matplotlib.pyplot as plt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text
except ImportError as absent:
    raise ImportError(
        "To draw figures, install matplotlib: pip install 'vaedis[plots]'."
    ) from absent

__all__ = ["CURVES", "STYLE", "Axes", "Figure", "plt"]

CURVES = ("#3b5bdb", "#d97706", "#0f9d8f", "#be185d")
"""Colours of curves that have no colour of their own."""
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
    """Make a function draw in this style, and restore the caller's style and interactive mode."""

    @functools.wraps(draw)
    def draw_styled(*args: Any, **kwargs: Any) -> Figure:
        with plt.rc_context(STYLE):
            before = plt.get_fignums()
            try:
                figure = draw(*args, **kwargs)
            except Exception:  # no half-drawn figure appears below the sentence
                for number in set(plt.get_fignums()).difference(before):
                    plt.close(number)
                raise
            _draw_names_as_text(figure)
            interactive = plt.isinteractive()
        # A notebook's first figure loads its backend and with it switches interactive mode on;
        # leaving the context switches it off again, and no later figure would appear.
        matplotlib.interactive(interactive)
        return figure

    return draw_styled


def _draw_names_as_text(figure: Figure) -> None:
    """Take no name for a formula; powers of ten beside a logarithmic axis are some."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    for axis in (axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)):
        if axis.get_scale() != "linear":
            for label in axis.get_ticklabels(which="both"):
                label.set_parse_math(True)


def panel_grid(
    n: int, columns: int, width: float, height: float, **options: Any
) -> tuple[Figure, Any]:
    """Return a figure and its axes, shape (rows, columns), of which the first n are visible."""
    rows = -(-n // columns)
    size = (width * columns, height * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, **options)
    for ax in axes.flat[n:]:
        ax.set_visible(False)
    return figure, axes


def draw_image(ax: Axes, image: np.ndarray) -> None:
    """Draw an image, ndarray of uint8, shape (H, W, 1) or (H, W, 3)."""
    pixels = np.asarray(image)
    if pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    ax.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_visible(True)
        spine.set_color("0.6")


def draw_matrix(
    ax: Axes,
    name: str,
    matrix: Any,
    cmap: str,
    span: tuple[float, float] | None = None,
    at: tuple[float, float] | None = None,
) -> None:
    """Draw a matrix in colours from its smallest to its largest entry, or over `span`.

    It fills the axes, or is a tile of one unit in them whose lower left corner is `at`.
    """
    numbers = numbers_of(repr(name), matrix, axes=2)
    low, high = span or finite_range([numbers])
    top = high if high > low else low + 1
    extent = None if at is None else (at[0], at[0] + 1, at[1], at[1] + 1)
    ax.imshow(numbers, cmap=cmap, vmin=low, vmax=top, interpolation="nearest", extent=extent)
    ax.set(xticks=[], yticks=[])


def write_note(figure: Figure, note: str) -> None:
    """Write below a figure what it shows, so that a picture passed on alone still says it."""
    if note:
        figure.supxlabel(note, fontsize=8.5, color="0.35", x=0.99, ha="right")


def name_of(run: Any) -> str:
    """Return what a run is, for a title: its data set, framework and number of steps."""
    framework = {"beta-vae": "β-VAE", "ada-gvae": "Ada-GVAE"}[run.spec.framework]
    framework = names_of_own(run.spec.custom).get("objective", framework)
    return f"{shown_name(run.data.name)}, {framework} after {run.steps_taken:,} steps"
