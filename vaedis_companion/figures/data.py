"""The numbers that a figure draws, as CSV, and the figure once more for dark pages."""

from __future__ import annotations

import base64
import colorsys
import csv
import io
from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import Collection, LineCollection, PolyCollection
from matplotlib.colors import to_rgb, to_rgba_array
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.spines import Spine
from matplotlib.text import Text

_NO_POINTS = np.empty((0, 2))
COLUMNS = ("panel", "title", "kind", "series", "x", "y", "value")


def figure_data(figure: Figure) -> str:
    """Return what a figure draws as CSV: one row for each point, pixel, corner and text.

    The columns are ``panel`` (number of the axes, from 0), ``title``, ``kind`` (line, points,
    shape, image or text), ``series`` (its label, or its number within the panel), ``x`` and ``y``
    in data coordinates (of an image: column and row), and ``value`` (of a pixel; the words of a
    text). Numbers have nine digits, so that rounding in the last bits does not show.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> figure, axes = plt.subplots()
    >>> _ = axes.plot([0, 1], [2.0, 0.5], label="MIG")
    >>> print(figure_data(figure).splitlines()[1:3])
    ['0,,line,MIG,0,2,', '0,,line,MIG,1,0.5,']
    >>> plt.close(figure)
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for panel, axes in enumerate(figure.axes):
        title = axes.get_title()
        for number, artist in enumerate(axes.get_children()):
            label = str(getattr(artist, "get_label", str)())
            series = str(number) if not label or label.startswith("_") else label
            kind, columns = _columns(artist, axes)
            for point in zip(*map(_texts, columns), strict=True):
                rows.writerow([panel, title, kind, series, *point, *[""][len(point) - 2 :]])
        for words in filter(Text.get_text, axes.texts):
            x, y = map(_text, words.get_position())
            rows.writerow([panel, title, "text", "", x, y, words.get_text()])
    return text.getvalue()


def _columns(artist: Artist, axes: Axes) -> tuple[str, Iterable[Any]]:
    """Return the kind of what a panel draws, and x, y and, of pixels, the values of its points."""
    if isinstance(artist, Line2D):
        return "line", np.asarray(artist.get_data())
    if isinstance(artist, LineCollection):
        return "line", np.concatenate([_NO_POINTS, *artist.get_segments()]).T
    if isinstance(artist, PolyCollection):
        corners = [path.vertices for path in artist.get_paths()]
        return "shape", np.concatenate([_NO_POINTS, *corners]).T
    if isinstance(artist, Collection):
        return "points", np.asarray(artist.get_offsets()).T
    if isinstance(artist, AxesImage):
        image = np.asarray(artist.get_array())
        y, x = np.indices(image.shape[:2]).reshape(2, -1)
        return "image", (x, y, image.reshape(len(x), *image.shape[2:]))
    if isinstance(artist, Patch) and artist is not axes.patch and not isinstance(artist, Spine):
        return "shape", artist.get_patch_transform().transform(artist.get_path().vertices).T
    return "", ()


def _texts(column: Any) -> list[str]:
    """Return each number of a column, (n,), or all numbers of each of its rows, (n, c), as text."""
    rows = np.asarray(column)
    rows = rows[:, None] if rows.ndim == 1 else rows
    if rows.dtype.kind in "biuf":
        return [" ".join(map("{:.9g}".format, row)) for row in rows.tolist()]
    return [" ".join(map(_text, row)) for row in rows]


def _text(value: Any) -> str:
    # beside names or dates along an axis there may be numbers
    is_number = isinstance(value, (int, float, np.number, np.bool_))
    return f"{float(value):.9g}" if is_number else str(value)


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
    colours_before = [
        (getattr(artist, f"set_{name}"), getattr(artist, f"get_{name}")())
        for artist in figure.findobj()
        for name in _COLOURS
        if artist not in on_images and hasattr(artist, f"get_{name}")
    ]
    layout = figure.get_layout_engine()
    try:
        # a second layout would move what the first has placed
        figure.set_layout_engine("none")
        for set_colour, colour in colours_before:
            set_colour(_darkened(colour))
        picture = print_figure(figure, fmt="png", bbox_inches="tight")
    finally:
        figure.set_layout_engine(layout)
        for set_colour, colour in colours_before:
            set_colour(colour)
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
