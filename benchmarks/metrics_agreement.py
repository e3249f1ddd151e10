"""Tables of our scores beside disent's of the same codes; called by metrics.py."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import metric_peers
from metric_codes import DCI_TRAIN, mig_set

from vaedis import metrics


def agreement(reference: dict) -> Iterator[str]:
    """Yield Markdown lines; `reference` is what `peer_metrics.py references` has written."""
    yield "## Agreement\n"
    yield (
        f"Of fixed codes, see `tests/metric_codes.py`. For DCI and SAP: four factors of four values, stirred and blurred, in six latents, "
        f"{DCI_TRAIN} samples to train and 200 to test. The samples do not change, so seeds are those of the trees alone."
    )
    yield from _dci(reference["dci"])
    yield from _mig_and_sap(reference)
    yield from _drawn(reference)


def _dci(entries: list[dict]) -> Iterator[str]:
    yield "\n### DCI\n"
    yield "| mixing, noise | part | disent, mean of five seeds (range) | ours, likewise | difference of means | largest of any two seeds |"
    yield "|---|---|---|---|---|---|"
    differences: dict[str, list[float]] = {part: [] for part in metric_peers.DCI_PARTS}
    ranges: dict[str, list[float]] = {part: [] for part in metric_peers.DCI_PARTS}
    for entry in entries:
        for part, (theirs, ours) in metric_peers.dci_runs(entry).items():
            differences[part].append(abs(ours.mean() - theirs.mean()))
            ranges[part].append(np.ptp(theirs))
            cells = f"{theirs.mean():.4f} ({np.ptp(theirs):.4f}) | {ours.mean():.4f} ({np.ptp(ours):.4f}) | {differences[part][-1]:.4f}"
            yield f"| {entry['set'][0]}, {entry['set'][1]} | {part} | {cells} | {np.abs(ours[:, None] - theirs).max():.4f} |"
    yield "\n| mean over the sets | difference of means | range of disent's seeds |\n|---|---|---|"
    for part in metric_peers.DCI_PARTS:
        yield f"| {part} | {np.mean(differences[part]):.5f} | {np.mean(ranges[part]):.5f} |"


def _mig_and_sap(reference: dict) -> Iterator[str]:
    yield "\n### MIG and SAP\n\n| score | codes | disent | ours | difference |\n|---|---|---|---|---|"
    for entry in reference["mig"]:
        ours = float(metrics.mig(*mig_set(entry["set"]), floor_repeats=0))
        yield f"| MIG | {entry['set']} | {entry['score']:.10f} | {ours:.10f} | {abs(ours - entry['score']):.0e} |"
    for entry in reference["sap"]:
        train, test = metric_peers.halves(*entry["set"])
        ours = float(metrics.sap(*train, test=test))
        yield f"| SAP | {entry['set'][0]}, {entry['set'][1]} | {entry['score']:.5f} | {ours:.5f} | {abs(ours - entry['score']):.5f} |"
    yield "\nOne test sample of one factor is 0.00125 of SAP; scikit-learn's linear machine stops at a tolerance, ours at rounding error."


def _drawn(reference: dict) -> Iterator[str]:
    yield "\n### Scores that draw their own samples\n"
    yield "Means of five seeds and their standard errors; the difference is in standard errors of itself.\n"
    yield "| score | disent | ours | difference |\n|---|---|---|---|"
    correlations = []
    for pairs in metric_peers.DRAWN:
        for name, theirs, ours in pairs(reference):
            difference = metric_peers.standard_errors(theirs, ours)
            if pairs is metric_peers.rank_correlations:
                correlations.append(difference)
                continue
            cells = (
                f"{np.mean(values):.4f} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.4f}"
                for values in (theirs, ours)
            )
            yield f"| {name} | {' | '.join(cells)} | {difference:.1f} |"
    yield f"| {len(correlations)} correlations of distances | | | {np.mean(correlations):.1f} on average, {max(correlations):.1f} at most |"
