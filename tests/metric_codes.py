"""Codes with known properties, made by numpy alone, so that another package in its own environment
sees the same ones.
"""

from __future__ import annotations

import numpy as np

# Mixing and noise of eight sets whose DCI disentanglement spreads over its range, from above 0.9 to
# below 0.05.
DCI_SETS = (
    (0.08, 0.1),
    (0.1, 0.1),
    (0.15, 0.2),
    (0.2, 0.2),
    (0.3, 0.2),
    (1.0, 0.3),
    (1.0, 1.2),
    (1.0, 2.0),
)
DCI_TRAIN = 600

MIG_SETS = (
    "mixed",
    "single precision",
    "constant latent",
    "discrete",
    "duplicated",
    "outlier",
    "many latents",
    "many classes",
)
# Sizes of the grid of factors that `curved_code` encodes; disent wants at least 1,000 observations.
GRID = (10, 12, 9)


def summary(score) -> dict:
    """The fields of a score that are plain numbers or words, to compare two scores by."""
    return {
        name: value for name, value in vars(score).items() if isinstance(value, int | float | str)
    }


def draw_factors(n: int, sizes: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    return np.stack([generator.integers(0, size, n) for size in sizes], axis=1)


def mixed_codes(
    n: int,
    sizes: tuple[int, ...],
    latents: int,
    mix: float,
    noise: float,
    seed: int = 0,
    spread: float = 3.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Factors on latents of their own, stirred by a random matrix, plus noise; latents beyond the
    factors are noise alone.

    Returns codes (n, latents) and factors (n, number of sizes).
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    factors = draw_factors(n, sizes, generator)
    n_factors, n_used = len(sizes), min(len(sizes), latents)
    matrix = np.zeros((n_factors, latents))
    matrix[np.arange(n_used), np.arange(n_used)] = 1 - mix
    matrix[:, :n_used] += mix * generator.standard_normal((n_factors, n_used))
    position = factors / np.maximum(np.array(sizes) - 1, 1) - 0.5
    return spread * position @ matrix + noise * generator.standard_normal((n, latents)), factors


def dci_set(mix: float, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Codes and factors to compare DCI and SAP on: the first `DCI_TRAIN` samples to train, 200 to
    test.
    """
    return mixed_codes(DCI_TRAIN + 200, (4, 4, 4, 4), 6, mix, noise)


def curved_code(factors: np.ndarray) -> np.ndarray:
    """A fixed, smooth, slightly curved map from three factors to four latents; the last latent
    hardly moves.
    """
    position = 4 * factors / (np.array(GRID) - 1) - 2
    matrix = np.array([[1.0, 0.2, 0.0, 0.02], [-0.3, 1.1, 0.1, 0.0], [0.1, 0.5, 0.9, 0.01]])
    return position @ matrix + 0.1 * np.sin(position @ matrix[:, ::-1])


def mig_set(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Codes and factors to compare MIG on; each set has something that an implementation may get
    wrong.
    """
    codes, factors = mixed_codes(2000, (8, 5, 3), 6, 0.2, 0.1, seed=1)
    if name == "single precision":
        codes = codes.astype(np.float32)
    elif name == "constant latent":
        codes[:, 4] = 0.7
    elif name == "discrete":
        codes = np.concatenate([factors, factors[:, ::-1] / 7], axis=1).astype(np.float64)
    elif name == "duplicated":
        codes = np.concatenate([codes, codes], axis=1)
    elif name == "outlier":
        codes[17, 0] = 1e4
    elif name == "many latents":
        codes, factors = mixed_codes(2000, (8, 5, 3), 40, 0.2, 0.1, seed=2)
    elif name == "many classes":
        codes, factors = mixed_codes(2000, (183, 24), 6, 0.1, 0.05, seed=3)
    return codes, factors


def turned_code(factors: np.ndarray) -> np.ndarray:
    """A fixed map from three factors to three latents, turned so far that a vote on the fixed
    factor is often wrong.
    """
    position = 4 * factors / (np.array(GRID) - 1) - 2
    return position @ np.array([[0.8, 0.4, 0.3], [-0.5, 0.7, 0.45], [0.1, -0.6, 0.65]])
