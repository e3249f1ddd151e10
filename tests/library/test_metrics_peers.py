"""Agreement with scikit-learn, run here, and with disent 0.8.0, whose scores of the same codes
`benchmarks/peer_metrics.py` stored.
"""

from __future__ import annotations

import json
from pathlib import Path

import metric_peers
import numpy as np
import pytest
from metric_codes import DCI_SETS, MIG_SETS, mig_set
from metric_peers import DCI_PARTS, dci_runs, halves, standard_errors
from sklearn.ensemble import GradientBoostingClassifier

from vaedis import metrics

REFERENCE = json.loads(Path(__file__).parents[1].joinpath("reference_metrics.json").read_text())


@pytest.mark.parametrize("name", MIG_SETS)
def test_mig_is_that_of_disent(name):
    stored = {entry["set"]: entry["score"] for entry in REFERENCE["mig"]}
    assert float(metrics.mig(*mig_set(name), floor_repeats=0)) == pytest.approx(
        stored[name], abs=1e-9
    )


@pytest.mark.parametrize(("mix", "noise"), [DCI_SETS[1], DCI_SETS[-1]])
def test_dci_is_that_of_the_scikit_learn_installed_here(mix, noise):
    train, test = halves(mix, noise)
    result = metrics.dci(*train, test=test)
    importance, right = [], []
    for factor, test_factor in zip(train[1].T, test[1].T, strict=True):
        model = GradientBoostingClassifier(random_state=0).fit(train[0], factor)
        importance.append(model.feature_importances_)
        right.append(model.predict(test[0]) == test_factor)
    importance = np.stack(importance, axis=1)
    np.testing.assert_allclose(result.importance, importance, atol=0.01)
    assert abs(result.informativeness - np.mean(right)) <= 0.01

    def weighted(matrix):
        shares = matrix / matrix.sum(axis=1, keepdims=True) + 1e-11
        scores = 1 + (shares * np.log(shares)).sum(axis=1) / np.log(matrix.shape[1])
        return np.average(scores, weights=matrix.sum(axis=1))

    assert abs(result.disentanglement - weighted(importance)) <= 0.005
    assert abs(result.completeness - weighted(importance.T)) <= 0.005


def test_dci_is_that_of_disent_on_sets_that_cover_the_range():
    """Any seed against any seed; and on average no further from the mean of disent's five than
    those are from each other.
    """
    offsets: dict[str, list[float]] = {part: [] for part in DCI_PARTS}
    ranges: dict[str, list[float]] = {part: [] for part in DCI_PARTS}
    for entry in REFERENCE["dci"]:
        for part, (theirs, ours) in dci_runs(entry).items():
            # Of informativeness, 0.01 is 8 of 800 answers.
            assert np.abs(ours[:, None] - theirs).max() <= (
                0.01 if part == "informativeness" else 0.005
            ), (entry["set"], part)
            offsets[part].append(abs(ours.mean() - theirs.mean()))
            ranges[part].append(np.ptp(theirs))
    for part in DCI_PARTS:
        assert np.mean(offsets[part]) <= np.mean(ranges[part]), part


@pytest.mark.parametrize(("mix", "noise"), DCI_SETS)
def test_sap_is_that_of_disent(mix, noise):
    train, test = halves(mix, noise)
    stored = {tuple(entry["set"]): entry["score"] for entry in REFERENCE["sap"]}
    # liblinear stops at a tolerance, so a test sample at the border may fall on the other side: 1 /
    # 200 for one factor of 4.
    assert float(metrics.sap(*train, test=test)) == pytest.approx(stored[mix, noise], abs=0.0026)


@pytest.mark.parametrize("pairs", metric_peers.DRAWN)
def test_scores_that_draw_are_those_of_disent_within_sampling_error(pairs):
    found = list(pairs(REFERENCE))
    assert (
        len(found)
        == {"factor_vae": 1, "flatness": 3, "factored_components": 4, "rank_correlations": 12}[
            pairs.__name__
        ]
    )
    for name, theirs, ours in found:
        # Student's t of five runs each is below 5, which chance exceeds once in a thousand.
        assert standard_errors(theirs, ours) < 5, name
