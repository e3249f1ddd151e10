"""The numbers that a figure draws, as CSV."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import Collection, LineCollection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.spines import Spine
from matplotlib.text import Text

COLUMNS = ("panel", "title", "kind", "series", "x", "y", "value")


def figure_data(figure: Figure) -> str:
    """Return what a figure draws as CSV: one row for each point, pixel, corner and text.

    Returns
    -------
    str
        With the columns ``panel`` (number of the axes, from 0), ``title``, ``kind`` (line, points,
        shape, image or text), ``series`` (its label, or its number within the panel), ``x`` and
        ``y`` in data coordinates (of an image: column and row), and ``value`` (of a pixel; the
        words of a text). Numbers have nine digits, so that rounding in the last bits does not show.

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
        for number, artist in enumerate(axes.get_children()):
            label = str(getattr(artist, "get_label", str)())
            series = str(number) if not label or label.startswith("_") else label
            kind, points = _points(artist, axes)
            for x, y, *value in points:
                texts = [_text(part) for part in (x, y, *value)]
                rows.writerow([panel, axes.get_title(), kind, series, *texts, *[""][len(value) :]])
        for words in filter(Text.get_text, axes.texts):
            x, y = map(_text, words.get_position())
            rows.writerow([panel, axes.get_title(), "text", "", x, y, words.get_text()])
    return text.getvalue()


def _points(artist: Artist, axes: Axes) -> tuple[str, Iterable[Any]]:
    """Return the kind of what a panel draws, and x, y and, of pixels, the value of each point."""
    if isinstance(artist, Line2D):
        return "line", zip(*np.asarray(artist.get_data()), strict=True)
    if isinstance(artist, LineCollection):
        return "line", itertools.chain.from_iterable(artist.get_segments())
    if isinstance(artist, Collection):
        return "points", np.asarray(artist.get_offsets())
    if isinstance(artist, AxesImage):
        image = np.asarray(artist.get_array())
        return "image", ((x, y, image[y, x]) for y, x in np.ndindex(image.shape[:2]))
    if isinstance(artist, Patch) and artist is not axes.patch and not isinstance(artist, Spine):
        return "shape", artist.get_patch_transform().transform(artist.get_path().vertices)
    return "", ()


def _text(value: Any) -> str:
    return " ".join(f"{float(number):.9g}" for number in np.ravel(value))
