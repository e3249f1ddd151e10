"""What a claim is, how it is judged, and how runs are picked and described."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vaedis_companion.store import Row, RunTable, matches

VERDICTS = ("reproduced", "in direction", "not reproduced", "not tested")

# read off the pictures to about 0.015, and the median of a few runs moves by a few hundredths from
# one set of seeds to another
SCORE_TOLERANCE = 0.05
WHY_SCORES = "scores were read off pictures to 0.015, and the median of a few runs moves by some hundredths between sets of seeds"
# in words of the paper latents are "ordered" or not; this is the rank correlation that divides the
# two here, fixed before any was computed
ORDERED = 0.5
WHY_ORDERED = (
    "the paper says it in words; 0.5, half of a perfect order, is our line between the words"
)
NOT_THE_DATA_SET = "a stand-in, not the data set"
NO_IMAGES = "no images on this machine"

# where images come from that the paper's claims can be tested on, the best first; a stand-in is no
# such place
ORIGINS = ("original", "rendered", "generated")
BENCHMARKS = ("shapes3d", "dsprites", "cars3d", "smallnorb")
TITLES = {
    "shapes3d": "3D Shapes",
    "dsprites": "dSprites",
    "cars3d": "Cars3D",
    "smallnorb": "SmallNORB",
    "xysquares": "XYSquares",
}
FRAMEWORKS = {"ada-gvae": "Ada-GVAE", "beta-vae": "β-VAE"}
SCORES = ("mig", "dci")


@dataclass(frozen=True)
class Claim:
    """A statement of the paper beside what was found here.

    Attributes
    ----------
    where : str
        Figure, table or section of the paper.
    statement : str
        In our words.
    published, ours : str
    scale : str
        How ours was obtained: "exact", a size of sample, or profile, runs and steps.
    tolerance : str
        What counts as reproduced.
    verdict : {"reproduced", "in direction", "not reproduced", "not tested"}
    cell : str
        The page and the heading under which the numbers are computed, as ``"page#heading"``.
    why : str
        Why the tolerance is what it is.
    beyond : bool
        Whether this is no claim of the paper but one that this book adds: other data, other inputs,
        other variants.
    """

    where: str
    statement: str
    published: str
    ours: str
    scale: str
    tolerance: str
    verdict: str
    cell: str
    why: str = ""
    beyond: bool = False

    @property
    def chapter(self) -> str:
        """The page of `cell`."""
        return self.cell.partition("#")[0]


def verdict(within: bool | None, direction: bool | None = None) -> str:
    """Return a verdict from whether the number is within its tolerance, and whether the comparison
    comes out as in the paper.

    None stands for "there is nothing to judge by".
    """
    if within is None:
        return "not tested"
    if within:
        return "reproduced"
    return "in direction" if direction else "not reproduced"


def in_range(value: float, low: float, high: float) -> bool:
    """Whether a score is in a published range widened by the tolerance; below, by no more than half of
    where the range starts.

    Otherwise a range that starts near 0 would take in a score that is no better than chance.
    """
    return low - min(SCORE_TOLERANCE, low / 2) <= value <= high + SCORE_TOLERANCE


IN_RANGE = f"median within the range ± {SCORE_TOLERANCE}, below it by half of its start at most"


def subset(
    found: RunTable | None, keep: Callable[[Row], bool] | None = None, **where: Any
) -> RunTable:
    """Return those runs of an experiment that match; none of None.

    Parameters
    ----------
    found : Found or None
    keep : callable, optional
        Of a row, whether it matches.
    **where
        Columns and the values they must have; an option of the data or the loss counts as a column.
    """
    if found is None:
        return RunTable("", "", [], [])

    def picked(row: Row) -> bool:
        return matches(row, where) and (keep is None or keep(row))

    return dataclasses.replace(
        found, rows=[*filter(picked, found.rows)], failed=[*filter(picked, found.failed)]
    )


def origin_of(row: Row) -> str | None:
    """Return where the images of a run come from: as its specification says, or else as was
    recorded; None if neither does.
    """
    if row["data"] == "xysquares":
        return "generated"
    said = row["data_options"].get("origin")
    return row.get("origin") or None if said in (None, "auto") else said


def on_data(found: RunTable | None, data: str) -> tuple[RunTable, str | None]:
    """Return the runs on a data set of the paper, and where their images come from: originals if
    there are any, never a stand-in.
    """
    for origin in ORIGINS:
        runs = subset(found, lambda row, origin=origin: origin_of(row) == origin, data=data)  # type: ignore[misc]
        if runs.rows:
            return runs, origin
    return subset(None), None


def on_stand_in(found: RunTable | None, data: str) -> RunTable:
    """Return the runs on the stand-in of a data set."""
    return subset(found, lambda row: origin_of(row) == "stand-in", data=data)


def titled(data: str, origin: str | None) -> str:
    """Return a data set's name, with its origin where that is not the paper's own."""
    if origin == "stand-in":
        return f"{TITLES[data]}'s stand-in"
    return f"{TITLES[data]}, rendered" if origin == "rendered" else TITLES[data]


def number(value: float | None, digits: int = 3) -> str:
    """Return a score as text, a dash for None."""
    return "–" if value is None else f"{value:.{digits}f}"


def scale(runs: RunTable) -> str:
    """Return how many runs there are, of which profile and length, and how many failed."""
    if not runs.rows:
        return (
            "no runs stored" if not runs.failed else f"no finished runs, {len(runs.failed)} failed"
        )
    steps = "/".join(f"{s:,}" for s in sorted({row["steps"] for row in runs.rows}))
    lost = f", {len(runs.failed)} failed" if runs.failed else ""
    return f"{runs.profile}: {len(runs.rows)} run{'s' if len(runs.rows) > 1 else ''} of {steps} steps{lost}"
