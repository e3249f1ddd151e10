"""Count the processors that this process may use."""

from __future__ import annotations


def usable_cpus() -> int:
    """Return how many processors affinity and the container's quota allow, at least 1."""
    import joblib  # comes with scikit-learn

    return int(joblib.cpu_count())
