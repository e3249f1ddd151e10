"""Stored runs as claims pick them, describe them, and judge their scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from vaedis_companion.analysis.intervals import Interval
from vaedis_companion.claims.base import NO_VALUE, Claim, Provenance, Value
from vaedis_companion.published import DATA_SETS, READING_ERROR
from vaedis_companion.store import Row, RunTable, Store

# read off the pictures to about `READING_ERROR`, and the median of a few runs moves by a few
# hundredths from one set of seeds to another
SCORE_TOLERANCE = 0.05
WHY_SCORES = (
    f"scores were read off pictures to {READING_ERROR}, and the median of a few runs moves by some "
    "hundredths between sets of seeds"
)
IN_RANGE = (
    f"the median is at most {SCORE_TOLERANCE} above the range, and below it by at most "
    f"{SCORE_TOLERANCE} and at most half of its lower end"
)
NOT_THE_DATA_SET = "a stand-in, not the data set"
NO_RUNS = Provenance("no runs stored")

# the origins of images on which the paper's claims can be tested, the best first
_ORIGINS = ("original", "rendered", "generated")
BENCHMARKS = ("shapes3d", "dsprites", "cars3d", "smallnorb")
LOSSES = {"mse": "MSE", "box-blur": "box blur"}
SCORES = ("mig", "dci")


RunsOf = Callable[..., RunTable]
"""Returns the runs that judge a claim, given the settings that it compares: see `longest`."""

FOR_AN_INTERVAL = 3
"""How many runs each setting needs where a claim rests on an interval."""
ENOUGH = f"from at least {FOR_AN_INTERVAL} runs"
"""The words of a tolerance that names an interval, or what each run must show."""


def best(store: Store, experiment: str) -> RunTable:
    """Return the best stored runs of an experiment, which may be none.

    Runs of the smoke profile are too short to judge anything by.
    """
    runs = store.best(experiment)
    if runs is None or runs.profile == "smoke":
        return RunTable(experiment, "", [], [])
    return runs


def longest(store: Store, experiment: str, *, least: int = 1) -> RunsOf:
    """Return a function that picks the runs which judge a claim, by the settings that it compares.

    A setting is columns and their values, as for `RunTable.where`. Runs of the paper's number of
    steps are taken if each setting has `least` finished ones, all of one profile, and the best runs
    otherwise. One long run is less than five to take a median of, but only a long one tests a score
    as the paper measured it.
    """
    shorter = best(store, experiment)
    long_tables = [store.runs(experiment, profile) for profile in ("paper", "long")]

    def runs_of(*settings: dict[str, Any]) -> RunTable:
        for runs in long_tables:
            counts = [len(runs.where(None, **setting).rows) for setting in settings]
            if all(count >= least for count in counts):
                return runs
        return shorter

    return runs_of


def origin_of(row: Row) -> str | None:
    """Return the origin of a run's images by its specification, or else by its row; or None."""
    if row["data"] == "xysquares":
        return "generated"
    option = row["data_options"].get("origin")
    return row.get("origin") or None if option in (None, "auto") else option


class Selection(NamedTuple):
    """Runs on a data set, its title, and why a claim is not tested if there are none."""

    runs: RunTable
    title: str
    untested: Provenance = NO_RUNS


def on_data(runs: RunTable, data: str) -> Selection:
    """Return the runs on the best images of a data set; a stand-in's say only what is lacking."""
    selected = runs.where(data=data)
    origins = {origin_of(row) for row in selected.rows}
    origin = next((origin for origin in _ORIGINS if origin in origins), None)
    best_images = selected.where(lambda row: origin is not None and origin_of(row) == origin)
    untested = NO_RUNS
    if "stand-in" in origins:
        command = f"vaedis data prepare {data} && vaedis sweep fig6 --profile paper"
        untested = Provenance(f"runs of {NOT_THE_DATA_SET}, only", needs=command)
    return Selection(best_images, titled(data, origin), untested)


def on_stand_in(runs: RunTable, data: str) -> Selection:
    """Return the runs on images that stand in for a data set."""
    selected = runs.where(lambda row: origin_of(row) == "stand-in", data=data)
    return Selection(selected, titled(data, "stand-in"))


def titled(data: str, origin: str | None) -> str:
    """Return a data set's title, with how its images were made if they are not the paper's."""
    endings = {"stand-in": "'s stand-in", "rendered": ", rendered"}
    return DATA_SETS[data] + endings.get(origin or "", "")


def provenance(runs: RunTable, note: str = "") -> Provenance:
    """Return how many runs there are, of which profile and length, and how many failed."""
    if not runs.rows:
        failed = len(runs.failed)
        return Provenance(f"no finished runs, {failed} failed") if failed else NO_RUNS
    steps = tuple(sorted({row["steps"] for row in runs.rows}))
    return Provenance(note, runs.profile, len(runs.rows), steps, len(runs.failed))


def is_settled(holds: bool, *found: Interval) -> bool:
    """Return whether what a claim says of intervals holds, and each is of enough runs.

    An interval of two runs is only the range of their differences, and shows nothing.
    """
    return holds and all(one.n >= FOR_AN_INTERVAL for one in found)


def largest(runs: RunTable, score: str) -> float | None:
    """Return the best score of runs; None without any."""
    return max(runs.values(score).tolist(), default=None)


def above(one: float | None, other: float | None, margin: float = 0.0) -> bool | None:
    """Return whether a number is above another by more than a margin; None if one is missing."""
    return None if one is None or other is None else one > other + margin


def score_value(value: float | None) -> Value | str:
    """Return a score with three digits, or a dash for None."""
    return NO_VALUE if value is None else Value("{score:.3f}", {"score": value})


def in_range(value: float, low: float, high: float) -> bool:
    """Return whether a score is in a published range widened by the tolerance."""
    # below, by half of where the range starts at most, or it would take in scores at chance
    return low - min(SCORE_TOLERANCE, low / 2) <= value <= high + SCORE_TOLERANCE


def range_claim(
    runs: RunTable,
    score: str,
    published: tuple[float, float],
    *,
    rule: str,
    direction: bool | None,
    also: bool = True,
    **fields: Any,
) -> Claim:
    """Return the claim that the median score of runs lies in a published range, if `also` holds.

    `rule` says what else counts; `fields` are further fields of the claim, and replace these.
    """
    low, high = published
    value = runs.median(score)
    defaults = {"provenance": provenance(runs), "why": WHY_SCORES}
    return Claim(
        published=Value("{low:.3g}–{high:.3g}", {"low": low, "high": high}),
        here=score_value(value),
        tolerance=f"{IN_RANGE}{rule}",
        within=None if value is None else in_range(value, low, high) and also,
        direction=direction,
        **{**defaults, **fields},
    )
