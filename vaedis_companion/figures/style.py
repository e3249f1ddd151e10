"""Colours, markers and names of what the paper compares, and how a run is drawn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from vaedis.plots.style import Axes, plt
from vaedis.spec import RunSpec
from vaedis_companion.published import DATA_SETS, FRAMEWORKS

# names, colours and markers of frameworks, losses and averages
_KINDS = {
    "ada-gvae": (FRAMEWORKS["ada-gvae"], "#d97706", "o"),
    "beta-vae": (FRAMEWORKS["beta-vae"], "#be185d", "X"),
    "box-blur": ("MSE + box blur", "#0f9d8f", "s"),
    "mse": ("MSE", "#6a8f00", "D"),
    "mean": ("mean of both", "#d97706", "o"),
    "published": ("second image's mean", "#3b5bdb", "^"),
}
NAMES = {kind: name for kind, (name, _, _) in _KINDS.items()}
COLOURS = {kind: colour for kind, (_, colour, _) in _KINDS.items()}
MARKERS = {kind: marker for kind, (_, _, marker) in _KINDS.items()}
SEED = 777
"""Of the jitter of points and of bootstraps."""
SCORES = {"mig": "MIG", "dci": "DCI disentanglement"}
LEVEL_NAMES = {
    "factors": "factors\n|i − j|",
    "x": "observations\nloss(x, x′)",
    "z": "latent means\n‖μ − μ′‖",
    "kl": "posteriors\nsymmetric KL",
    "reconstruction": "reconstructions\nloss(x̂, x̂′)",
}
QUANTITIES = {
    "mig": "MIG",
    "dci": "DCI",
    "final_recon": "reconstruction loss",
    "final_kl": "KL divergence",
}
"""What a row of a stored run measures, in words."""
_LOSSES = {
    "mse": "mean squared error (MSE)",
    "mae": "mean absolute error (MAE)",
    "bce": "binary cross-entropy (BCE)",
    "box-blur": NAMES["box-blur"],
    "pyramid": "image pyramid",
}


def loss_title(name: str) -> str:
    """Name a loss in words, with the options that its name has from `vaedis.distances.family`.

    Examples
    --------
    >>> loss_title("mae"), loss_title("box-blur weight=3969.0")
    ('mean absolute error (MAE)', 'MSE + box blur, weight 3,969')
    """
    loss, *options = name.split()
    if loss not in _LOSSES:
        return name
    pairs = [option.split("=") for option in options]
    return ", ".join([_LOSSES[loss], *(f"{word} {float(value):,g}" for word, value in pairs)])


def data_title(name: str, origin: str | None = None) -> str:
    """Name a data set as the paper does, with the origin of its images.

    Examples
    --------
    >>> data_title("shapes3d", "rendered")
    '3D Shapes (rendered)'
    """
    return f"{DATA_SETS.get(name, name)} ({origin or 'generated'})"


def level_title(level: str) -> str:
    """Name a level of a network in words, such as ``"latent means"`` for ``"z"``."""
    return LEVEL_NAMES[level].partition("\n")[0]


def setting_titles(settings: Iterable[RunSpec]) -> dict[RunSpec, str]:
    r"""Name settings of runs on XYSquares in two lines: the network, then data and loss.

    They come in the order of their names. Settings that would have one name are told apart by their
    β or their batch; a ValueError says that this was not enough.

    Examples
    --------
    >>> spec = RunSpec(data_options={"grid_spacing": 2}, beta=0.001)
    >>> for title in setting_titles([spec, spec.replace(loss="box-blur")]).values():
    ...     print(title)
    β-VAE, z = 9
    spacing 2
    β-VAE, z = 9
    spacing 2, MSE + box blur
    >>> for title in setting_titles([spec, spec.replace(beta=0.00316)]).values():
    ...     print(title.split("\n")[1])
    spacing 2, β = 0.001
    spacing 2, β = 0.00316
    """
    titles = {spec: _title(spec) for spec in settings}
    for word, name in (("β =", "beta"), ("batch", "batch")):
        values = defaultdict(set)
        for spec, title in titles.items():
            values[title].add(getattr(spec, name))
        for spec, title in titles.items():
            if len(values[title]) > 1:
                titles[spec] = f"{title}, {word} {getattr(spec, name):g}"
    if len(set(titles.values())) < len(titles):
        raise ValueError(
            "two settings of runs have one name; they differ in other than β and batch."
        )
    return dict(sorted(titles.items(), key=lambda item: item[1]))


def _title(spec: RunSpec) -> str:
    words = [f"spacing {spec.data_options['grid_spacing']}"]
    if spec.loss != "mse":
        words.append(NAMES[spec.loss])
    if spec.average != "mean":
        words.append("published average")
    return f"{NAMES[spec.framework]}, z = {spec.latents}\n{', '.join(words)}"


def draw_runs(ax: Axes, x: np.ndarray, y: np.ndarray, kind: str, **options: object) -> list[Any]:
    """Draw a point for each run, in the marker and colour of its kind."""
    style: dict[str, Any] = {"color": COLOURS[kind], "linestyle": "none", "marker": MARKERS[kind]}
    style |= {"markersize": 6, "markeredgecolor": "white", "zorder": 3, **options}
    return ax.plot(x, y, **style)


def draw_long_runs(ax: Axes, x: np.ndarray, y: np.ndarray, kind: str) -> None:
    """Draw a star for each run of the paper's length, in the colour of its kind."""
    draw_runs(ax, x, y, kind, marker="*", markersize=13, markeredgecolor="0.15", zorder=4)


def draw_median(ax: Axes, x: float, y: np.ndarray, kind: str, half_width: float) -> None:
    """Draw the median of runs as a short horizontal bar."""
    ends = [x - half_width, x + half_width]
    ax.plot(ends, [np.median(y)] * 2, color=COLOURS[kind], linewidth=2, zorder=2)


def draw_range(ax: Axes, x: float, ends: Sequence[float], kind: str, linewidth: float) -> None:
    """Draw a published range as a pale vertical bar."""
    pale: Any = {"alpha": 0.22, "solid_capstyle": "butt", "zorder": 1}
    ax.plot([x, x], ends, color=COLOURS[kind], linewidth=linewidth, **pale)


def add_legend(
    ax: Axes, handles: list[Any], names: list[str], *, published: bool, long: bool = False
) -> None:
    """Add a legend, with entries for long runs and for published ranges if there are any."""
    if long:
        star = plt.Line2D([], [], linestyle="none", marker="*", markersize=11, color="0.5")
        handles, names = [*handles, star], [*names, "run of the paper's length"]
    if published:
        handles = [*handles, plt.Rectangle((0, 0), 1, 1, color="0.5", alpha=0.3)]
        names = [*names, "range in the paper"]
    ax.legend(handles, names, loc="upper right")
