"""Draw a figure once more, for pages with a dark ground."""

from __future__ import annotations

import base64
import colorsys
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb, to_rgba_array
from matplotlib.figure import Figure

GROUND = "#14181e"
"""Ground of the book's dark pages."""
TEXT = "#ced6dd"
"""Text on it."""
_COLOURS = ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor")


def dark_png(figure: Figure) -> str:
    """Return a figure as a PNG on a dark ground, base64; the figure itself stays as it is.

    Greys are turned round, from black on white to pale on dark, and dark colours become lighter.
    Images keep their colours, and so does what is drawn upon them.
    """
    from IPython.core.pylabtools import print_figure

    on_images = {
        part
        for axes in figure.findobj(Axes)
        if axes.images
        for artist in (*axes.lines, *axes.patches, *axes.collections, *axes.texts)
        for part in artist.findobj()
    }
    before = [
        (getattr(artist, f"set_{name}"), getattr(artist, f"get_{name}")())
        for artist in figure.findobj()
        for name in _COLOURS
        if artist not in on_images and hasattr(artist, f"get_{name}")
    ]
    layout = figure.get_layout_engine()
    try:
        # a second layout would move what the first has placed
        figure.set_layout_engine("none")
        for put, colour in before:
            put(_darkened(colour))
        picture = print_figure(figure, fmt="png", bbox_inches="tight")
    finally:
        figure.set_layout_engine(layout)
        for put, colour in before:
            put(colour)
    return base64.b64encode(picture).decode()


def _darkened(colour: Any) -> Any:
    """Return colours, in any form that matplotlib takes, as they are drawn on a dark ground."""
    if isinstance(colour, str) and colour in ("none", "auto"):
        return colour
    colours = to_rgba_array(colour)
    for row in colours:
        hue, light, saturation = colorsys.rgb_to_hls(*row[:3])
        if saturation < 0.15:
            dark, pale = np.array(to_rgb(GROUND)), np.array(to_rgb(TEXT))
            row[:3] = light * dark + (1 - light) * pale
        else:
            row[:3] = colorsys.hls_to_rgb(hue, max(light, 0.6), saturation)
    return colours if np.ndim(colour) == 2 else tuple(colours[0].tolist())
