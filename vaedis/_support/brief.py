"""Short text and tables of objects: what `print` and notebooks show, at most one screen."""

from __future__ import annotations

import dataclasses
import html
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from vaedis._support.text import plain

WIDTH = 100
LINES = 24
# how many entries of a collection, and how many numbers of an array, are shown
_MOST = 16
_LARGEST_TABLE = 16


def screenful(text: str) -> str:
    """Wrap text at 100 columns, and end it with an ellipsis after 24 lines."""
    lines = textwrap.wrap(plain(text), WIDTH, subsequent_indent="    ", break_on_hyphens=False)
    if len(lines) > LINES:
        lines = [*lines[: LINES - 1], "    …"]
    return "\n".join(lines)


def fields_repr(thing: Any) -> str:
    """Return the class and the fields of a dataclass, with arrays by their shapes."""
    fields = [f for f in dataclasses.fields(thing) if f.repr]
    arguments = ", ".join(f"{f.name}={brief(getattr(thing, f.name))}" for f in fields)
    return screenful(f"{type(thing).__name__}({arguments})")


def brief(value: Any) -> str:
    """Return a value in a few words."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if hasattr(value, "shape") and hasattr(value, "tolist"):
        if value.ndim == 1 and len(value) <= _MOST:
            return f"[{' '.join(brief(number) for number in value.tolist())}]"
        return f"array of shape {tuple(value.shape)}"
    if isinstance(value, Mapping | list | tuple) and len(value) > _MOST:
        return f"{len(value):,} entries"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name!r}: {brief(item)}' for name, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(brief, value))}]"
    if isinstance(value, tuple):
        comma = "," if len(value) == 1 else ""
        return f"({', '.join(map(brief, value))}{comma})"
    text = repr(value)
    if dataclasses.is_dataclass(value):
        return text if len(text) <= 60 else f"{type(value).__name__}(…)"
    return plain(text, 80)


def table(title: str, rows: Mapping[str, str], below: str = "") -> str:
    """Return an HTML table of names and texts, with more HTML below."""
    cells = "".join(
        f'<tr><th scope="row" style="text-align:left">{html.escape(plain(name))}</th>'
        f'<td style="text-align:left">{html.escape(plain(text))}</td></tr>'
        for name, text in rows.items()
    )
    return f"<div>{_captioned(title, cells)}{below}</div>"


def matrix_table(title: str, matrix: Any) -> str:
    """Return an HTML table of a matrix, darker where it is larger; of a large one its shape."""
    if max(matrix.shape) > _LARGEST_TABLE:
        size = "×".join(map(str, matrix.shape))
        return f"<p>{html.escape(plain(title))}: {size} numbers</p>"
    rows = matrix.tolist()
    entries = [value for row in rows for value in row if value == value]  # without NaN
    largest = max(map(abs, entries), default=0.0) or 1.0
    body = "".join(
        f"<tr>{''.join(_shaded(value, abs(value) / largest) for value in row)}</tr>" for row in rows
    )
    return _captioned(title, body)


def _captioned(title: str, body: str) -> str:
    caption = f'<caption style="text-align:left">{html.escape(plain(title))}</caption>'
    return f"<table>{caption}<tbody>{body}</tbody></table>"


def _shaded(value: float, share: float) -> str:
    if value != value:
        return "<td>none</td>"
    return f'<td style="background:rgba(31,119,180,{0.6 * share:.2f})">{value:.3g}</td>'


def curve(title: str, values: Sequence[float]) -> str:
    """Return a small picture, SVG, of numbers by their position."""
    points = values[:: max(1, len(values) // 300)]
    low = min(points)
    span = max(points) - low or 1
    step = 300 / max(1, len(points) - 1)
    line = " ".join(
        f"{k * step:.1f},{70 - 60 * (value - low) / span:.1f}" for k, value in enumerate(points)
    )
    label = html.escape(f"{title}, from {values[0]:.4g} to {values[-1]:.4g}", quote=True)
    return (
        f'<svg role="img" aria-label="{label}" width="300" height="80" viewBox="0 0 300 80">'
        f'<polyline fill="none" stroke="currentColor" points="{line}"/></svg>'
    )
