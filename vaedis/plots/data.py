"""Figures of a data set: some of its images, and what each factor does to them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from vaedis import _check
from vaedis._support.text import shown_name
from vaedis.data import as_data
from vaedis.plots.style import Figure, draw_image, panel_grid, plt, styled

_FACTORS = 10
_VALUES = 8
_SIDE = 0.9


@styled
def images(data: Any, n: int = 24, *, seed: int = 0) -> Figure:
    """Draw some images of a data set, drawn at random without replacement.

    Parameters
    ----------
    data : whatever `data.as_data` takes
    n : int
        How many, at most.
    seed : int

    Examples
    --------
    >>> import vaedis as vd
    >>> figure = images(vd.load("xysquares"), 6)
    >>> len(figure.axes), figure.get_suptitle()
    (6, 'xysquares: 6 of 262,144 images')
    >>> plt.close(figure)
    """
    data = as_data(data)
    n = min(_check.count("n", n), len(data))
    generator = torch.Generator().manual_seed(seed)
    pool = data.draw(4 * n, generator=generator).unique()
    if len(pool) < n:
        pool = torch.arange(len(data))
    index = pool[torch.randperm(len(pool), generator=generator)[:n]]
    columns = min(8, n)
    figure, axes = panel_grid(n, columns, _SIDE, _SIDE)
    _widen(figure)
    for ax, image in zip(axes.flat, _pixels(data, index), strict=False):
        draw_image(ax, image)
    figure.suptitle(f"{_name(data)}: {n:,} of {len(data):,} images")
    return figure


def factor_traversals(data: Any) -> Figure:
    """Draw what each factor of a data set does, one factor a column; see `traversals`."""
    data = as_data(data)
    sizes = zip(data.factors.names, data.factors.sizes, strict=True)
    names = [name for name, size in sizes if size > 1]
    traversals_of = {name: _traversal(data, name) for name in names}
    shown = [name for name in names if len(traversals_of[name][0])][:_FACTORS]
    if not shown:
        raise ValueError(
            f"no two images of {_name(data)!r} differ in one factor alone, so no traversal is "
            "there to draw; plots.images shows some of them."
        )
    columns = [traversals_of[name] for name in shown]
    frames = max(len(index) for index, _ in columns)
    size = (1.1 * len(shown), (_SIDE + 0.2) * frames + 0.7)
    figure, axes = plt.subplots(frames, len(shown), figsize=size, squeeze=False)
    _widen(figure)
    for column, name, (index, values) in zip(axes.T, shown, columns, strict=True):
        column[0].set_title(shown_name(name)[:16], fontsize=9)
        for ax in column[len(index) :]:
            ax.set_visible(False)
        for ax, image, value in zip(column, _pixels(data, index), values, strict=False):
            draw_image(ax, image)
            ax.set_xlabel(value, fontsize=7, labelpad=1)
    which = f"{len(shown)} of {len(names)} factors"
    if len(shown) == len(names):
        which = f"{len(names)} factor{'s' * (len(names) > 1)}"
    cut = any(data.factors.sizes[data.factors.position(name)] > frames for name in shown)
    figure.suptitle(f"{_name(data)}: {which}" + (f", {frames} values each at most" if cut else ""))
    return figure


def _traversal(data: Any, factor: str) -> tuple[torch.Tensor, list[str]]:
    """Return up to 8 images that differ in a factor only, and the factor's values in them."""
    space = data.factors
    if data.grid:
        middle = torch.tensor(space.sizes) // 2
        index = space.traversal(factor, space.to_index(middle))
    else:
        groups = data.traversals(factor)
        if not len(groups):
            groups = torch.full((1, space.sizes[space.position(factor)]), -1)
        index = groups[(groups >= 0).sum(1).argmax()]
    present = (index >= 0).nonzero().flatten()
    n = min(len(present), _VALUES)
    values = present[np.linspace(0, len(present) - 1, n).round().astype(int)] if n else present
    labels = getattr(data, "values", {}).get(factor)
    return index[values], [
        str(k) if labels is None else shown_name(str(labels[k]))[:12] for k in values.tolist()
    ]


def _pixels(data: Any, index: torch.Tensor) -> np.ndarray:
    return data.for_display(data.images(index)).cpu().numpy()


def _name(data: Any) -> str:
    return shown_name(getattr(data, "name", type(data).__name__))


def _widen(figure: Figure) -> None:
    """Make a figure wide enough for its title."""
    width, height = figure.get_size_inches()
    figure.set_size_inches(max(width, 4.2), math.ceil(10 * height) / 10)
