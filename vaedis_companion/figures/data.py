"""The numbers that a figure draws, as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import Collection, LineCollection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.spines import Spine

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
        for kind, series, x, y, value in _marks(axes):
            rows.writerow(
                [panel, axes.get_title(), kind, series, _number(x), _number(y), _number(value)]
            )
    return text.getvalue()


def _marks(axes: Axes) -> Iterator[tuple[str, str, Any, Any, Any]]:
    """Yield kind, series, x, y and value of what a panel draws, in the order of drawing."""
    for number, artist in enumerate(axes.get_children()):
        label = str(getattr(artist, "get_label", str)())
        series = str(number) if not label or label.startswith("_") else label
        if isinstance(artist, Line2D):
            yield from (
                ("line", series, x, y, None)
                for x, y in zip(*np.asarray(artist.get_data()), strict=True)
            )
        elif isinstance(artist, LineCollection):
            yield from (
                ("line", series, x, y, None)
                for segment in artist.get_segments()
                for x, y in segment
            )
        elif isinstance(artist, Collection):
            yield from (("points", series, x, y, None) for x, y in np.asarray(artist.get_offsets()))
        elif isinstance(artist, AxesImage):
            yield from _pixels(series, np.asarray(artist.get_array()))
        elif (
            isinstance(artist, Patch) and artist is not axes.patch and not isinstance(artist, Spine)
        ):
            corners = artist.get_patch_transform().transform(artist.get_path().vertices)
            yield from (("shape", series, x, y, None) for x, y in corners)
    yield from (
        ("text", "", *text.get_position(), text.get_text())
        for text in axes.texts
        if text.get_text()
    )


def _pixels(series: str, image: np.ndarray) -> Iterator[tuple[str, str, int, int, Any]]:
    for y, x in np.ndindex(image.shape[:2]):
        value = image[y, x]
        yield (
            "image",
            series,
            x,
            y,
            " ".join(_number(channel) for channel in value) if np.ndim(value) else value,
        )


def _number(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return f"{float(value):.9g}"
