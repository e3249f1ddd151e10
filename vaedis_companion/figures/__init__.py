"""The paper's own figures, drawn with `vaedis.plots` from stored runs and arrays."""

from vaedis_companion.figures.data import figure_data
from vaedis_companion.figures.latents import latent_grid, turn_latents
from vaedis_companion.figures.onsets import (
    learning,
    order_by_steps,
    scores_by_steps,
    where_learning_ends,
)
from vaedis_companion.figures.panels import (
    argument,
    cumulative,
    distance_matrices,
    levels,
    posteriors,
    traversals,
)
from vaedis_companion.figures.scores import (
    scores_by_beta,
    scores_by_beta_and_data,
    scores_by_group,
    scores_by_spacing,
)
from vaedis_companion.figures.style import (
    LEVEL_NAMES,
    MARKERS,
    NAMES,
    QUANTITIES,
    data_title,
    level_title,
    loss_title,
    setting_titles,
)

__all__ = [
    "LEVEL_NAMES",
    "MARKERS",
    "NAMES",
    "QUANTITIES",
    "argument",
    "cumulative",
    "data_title",
    "distance_matrices",
    "figure_data",
    "latent_grid",
    "learning",
    "level_title",
    "levels",
    "loss_title",
    "order_by_steps",
    "posteriors",
    "scores_by_beta",
    "scores_by_beta_and_data",
    "scores_by_group",
    "scores_by_spacing",
    "scores_by_steps",
    "setting_titles",
    "traversals",
    "turn_latents",
    "where_learning_ends",
]
