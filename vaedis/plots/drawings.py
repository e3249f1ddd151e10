"""Figures of images: a data set, and traversals of data and of latents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from posixpath import commonprefix
from typing import Any

import numpy as np
import torch

from vaedis import _check
from vaedis._support.text import distinct, shown_name
from vaedis.data import as_data
from vaedis.losses import kl_to_prior
from vaedis.plots.inputs import (
    as_bytes,
    columns_of,
    drawn_channels,
    need_as_many,
    need_list,
    rows_of,
)
from vaedis.plots.style import (
    Figure,
    draw_image,
    name_of,
    panel_grid,
    plt,
    styled,
    write_note,
)

_SIDE = 0.9
_TITLE_WIDTH = 4.2
# of a value that is written below an image
_LETTERS = 12
_FACTORS = 10
_VALUES = 8
_LATENTS = 10
_FRAMES = 7


@styled
def images(
    data: Any, n: int = 24, *, seed: int = 0, channels: Sequence[int] | None = None
) -> Figure:
    """Draw some images of a data set, drawn at random without replacement.

    Parameters
    ----------
    data : whatever `data.as_data` takes
    n : int
        How many, at most.
    seed : int
    channels : sequence of int, optional
        Which to draw: one, in grey, or three, as red, green and blue. By default all; images of two
        or four channels need it.

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
    generator = torch.Generator().manual_seed(_check.seed(seed))
    pool = data.draw(4 * n, generator=generator).unique()
    if len(pool) < n:
        pool = torch.arange(len(data))
    index = pool[torch.randperm(len(pool), generator=generator)[:n]]
    figure, axes = panel_grid(n, min(8, n), _SIDE, _SIDE)
    figure.set_figwidth(max(figure.get_figwidth(), _TITLE_WIDTH))
    for ax, image in zip(axes.flat, _pixels(data, index, channels), strict=False):
        draw_image(ax, image)
    figure.suptitle(f"{_name(data)}: {n:,} of {len(data):,} images")
    return figure


def draw_traversals(axes: Any, columns: Mapping[str, np.ndarray]) -> None:
    """Draw traversals, one factor a column, in axes of shape (frames, columns or more)."""
    for column, (name, frames) in zip(axes.T, as_bytes(columns).items(), strict=False):
        column[0].set_title(name, fontsize=9)
        for ax, image in zip(column, frames, strict=True):
            draw_image(ax, image)
    for ax in axes[:, len(columns) :].flat:
        ax.set_visible(False)


@styled
def traversals(
    data: Any, *, values: Sequence[int] | None = None, channels: Sequence[int] | None = None
) -> Figure:
    """Draw traversals, one factor a column.

    Parameters
    ----------
    data : whatever `data.as_data` takes, or mapping of str to ndarray, shape (frames, H, W, C)
        Of a data set, each factor moves through up to 8 of its values, written below them, while
        the others stay in their middle; of more than 10 factors the first 10 are drawn. Of a
        mapping, titles of the columns and images: whole numbers from 0, black, to 255, white, or
        to 1 if there is no larger one; floats from black, the smallest of all, to white, the
        largest.
    values : sequence of int, optional
        Of a mapping: the factor's value in each frame, written beside the rows.
    channels : sequence of int, optional
        Which to draw: one, in grey, or three, as red, green and blue. By default all; images of two
        or four channels need it.

    Examples
    --------
    >>> import vaedis as vd
    >>> data = vd.load("xysquares", num_squares=1)
    >>> figure = traversals(data)
    >>> figure.get_suptitle(), figure.axes[0].get_title()
    ('xysquares: 2 factors', 'x_R')
    >>> frames = data.images(data.factors.traversal("x_R", 0)).numpy()
    >>> figure = traversals({"x_R": frames})
    >>> len(figure.axes)
    8
    >>> plt.close("all")
    """
    if not isinstance(data, Mapping):
        if values is not None:
            raise ValueError(
                "values are written beside images of your own, given as a dictionary; a data set "
                "has its own values, so leave them out."
            )
        return _data_traversals(as_data(data), channels)
    columns, frames = columns_of(data, channels)
    need_as_many("values", values, frames, "frames")
    size = (1.25 * len(columns), 1.25 * frames + 0.3)
    figure, axes = plt.subplots(frames, len(columns), figsize=size, squeeze=False)
    draw_traversals(axes, columns)
    for ax, value in zip(axes[:, 0], [] if values is None else values, strict=False):
        ax.set_ylabel(f"value {value}")
    return figure


def _data_traversals(data: Any, channels: Sequence[int] | None) -> Figure:
    """Draw what each factor of a data set does, one factor a column."""
    sizes = zip(data.factors.names, data.factors.sizes, strict=True)
    size_of = {name: size for name, size in sizes if size > 1}
    images_of = {name: _traversal(data, name) for name in size_of}
    columns = {name: images_of[name] for name in size_of if len(images_of[name][0])}
    columns = dict(list(columns.items())[:_FACTORS])
    if not columns:
        raise ValueError(
            f"no two images of {_name(data)!r} differ in one factor alone, so no traversal is "
            "there to draw; plots.images shows some of them."
        )
    frames = max(len(index) for index, _ in columns.values())
    size = (max(1.1 * len(columns), _TITLE_WIDTH), (_SIDE + 0.2) * frames + 0.7)
    figure, axes = plt.subplots(frames, len(columns), figsize=size, squeeze=False)
    for column, (name, (index, values)) in zip(axes.T, columns.items(), strict=True):
        column[0].set_title(shown_name(name)[:16], fontsize=9)
        for ax in column[len(index) :]:
            ax.set_visible(False)
        for ax, image, value in zip(column, _pixels(data, index, channels), values, strict=False):
            draw_image(ax, image)
            ax.set_xlabel(value, fontsize=7, labelpad=1)
    title = f"{_name(data)}: {len(columns)} of {len(size_of)} factors"
    if len(columns) == len(size_of):
        title = f"{_name(data)}: {len(size_of)} factor{'s' * (len(size_of) > 1)}"
    if any(size_of[name] > frames for name in columns):
        title += f", {frames} values each at most"
    figure.suptitle(title)
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
            return torch.zeros(0, dtype=torch.int64), []
        index = groups[(groups >= 0).sum(1).argmax()]
    present = (index >= 0).nonzero().flatten()
    n = min(len(present), _VALUES)
    values = present[np.linspace(0, len(present) - 1, n).round().astype(int)]
    labels = getattr(data, "values", {}).get(factor, range(len(index)))
    return index[values], _short([shown_name(str(labels[k])) for k in values.tolist()])


def _short(names: list[str]) -> list[str]:
    """Return names of about 12 letters, without what long ones begin with, and no two alike."""
    if max(map(len, names)) <= _LETTERS:
        return names
    start = len(commonprefix(names)) if len(names) > 1 else 0
    return distinct(("…" + name[start:] if start else name)[:_LETTERS] for name in names)


def _pixels(data: Any, index: torch.Tensor, channels: Sequence[int] | None) -> np.ndarray:
    chosen = drawn_channels(channels, data.shape[-1])
    return data.for_display(data.images(index)).cpu().numpy()[..., chosen]


def _name(data: Any) -> str:
    return shown_name(getattr(data, "name", type(data).__name__))


@styled
def latent_traversals(
    run: Any,
    *,
    names: Sequence[str] | None = None,
    note: str = "",
    channels: Sequence[int] | None = None,
) -> Figure:
    """Draw decoded images in which one latent moves and the others stay.

    Parameters
    ----------
    run : Run, or ndarray of uint8 or of float in 0 … 1, shape (rows, frames, H, W, C)
        Of a trained network, the up to 10 latents with the largest KL divergence, the largest
        first; each moves between its smallest and largest mean over 256 images, from the code of
        one of them. Or one row of images for each latent.
    names : sequence of str, optional
        What to write beside the rows; by default the number of the latent.
    note : str
        What to write below the figure.
    channels : sequence of int, optional
        Which to draw: one, in grey, or three, as red, green and blue. By default all; images of two
        or four channels need it.

    Examples
    --------
    >>> figure = latent_traversals(np.zeros((2, 5, 8, 8, 3), np.uint8))
    >>> len(figure.axes)
    10
    >>> import vaedis as vd
    >>> options = {"image_size": 8, "square_size": 2, "grid_size": 3, "num_squares": 1}
    >>> spec = vd.RunSpec(data_options=options, model="mlp", latents=2, steps=5, batch=9)
    >>> latent_traversals(vd.fit(spec, device="cpu")).get_suptitle()
    'xysquares, β-VAE after 5 steps: 2 latents'
    >>> plt.close("all")
    """
    title = ""
    if names is not None:
        need_list("names", names)
    if hasattr(run, "posterior"):
        pictures, names, title = _latents_of(run, names)
        pictures = pictures[..., drawn_channels(channels, pictures.shape[-1])]
    else:
        pictures = rows_of(run, channels)
    rows, frames = pictures.shape[:2]
    names = list(names) if names is not None and len(names) else [f"z{r}" for r in range(rows)]
    need_as_many("names", names, rows, "rows")
    size = (0.95 * frames + 0.6, 1.0 * rows)
    figure, axes = plt.subplots(rows, frames, figsize=size, squeeze=False)
    for r in range(rows):
        for ax, image in zip(axes[r], pictures[r], strict=True):
            draw_image(ax, image)
        axes[r, 0].set_ylabel(names[r], rotation=0, ha="right", va="center")
    figure.suptitle(title)
    write_note(figure, note)
    return figure


def _latents_of(run: Any, names: Sequence[str] | None) -> tuple[np.ndarray, Sequence[str], str]:
    """Return images of the latents that a network uses most, the rows' names, and a title."""
    index = run.data.draw(256, generator=torch.Generator().manual_seed(0))
    mean, logvar = run.posterior(index)
    kl = kl_to_prior(mean, logvar).mean(0)
    order = kl.argsort(descending=True, stable=True)[:_LATENTS]
    share = torch.linspace(0, 1, _FRAMES, device=mean.device)
    rows = []
    for latent in order:
        z = mean[:1].repeat(_FRAMES, 1)
        low, high = mean[:, latent].aminmax()
        z[:, latent] = low + share * (high - low)
        rows.append(run.decode_images(z))
    if names is None or not len(names):
        names = [f"z{k} ({kl[k]:.1f} nats)" for k in order.tolist()]
    latents_text = f"{len(order)} latent{'s' * (len(order) > 1)}"
    if len(kl) > len(order):
        latents_text = f"{len(order)} of {len(kl)} latents"
    return torch.stack(rows).cpu().numpy(), names, f"{name_of(run)}: {latents_text}"
