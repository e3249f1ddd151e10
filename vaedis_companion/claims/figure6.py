"""Claims about Figure 6: scores on the benchmark data sets and on XYSquares."""

from __future__ import annotations

from collections.abc import Iterator

from vaedis_companion import published
from vaedis_companion.claims import stored
from vaedis_companion.claims.base import FAIL, NOTHING, Claim, Provenance, Value, claim
from vaedis_companion.grids import PROFILES
from vaedis_companion.store import RunTable, Store

_PAGE = "05_adversarial_data#scores-on-adversarial-data"


def _figure6_ranges() -> dict[tuple[str, str, str], tuple[float, float]]:
    lines = published.table("fig6_scores")
    return {
        (line["dataset"], line["framework"], line["metric"]): (line["min"], line["max"])
        for line in lines
    }


@claim("Figure 6", step=FAIL)
def figure6_xysquares(store: Store) -> Iterator[Claim]:
    """The best scores on XYSquares."""
    ranges = _figure6_ranges()
    runs = _at_spacing_8(store)
    for framework, name in stored.FRAMEWORKS.items():
        for score in stored.SCORES:
            _, largest = ranges["xysquares", framework, score]
            picked = stored.subset(runs, framework=framework)
            value = stored.best(picked, score)
            yield Claim(
                where="Figure 6",
                statement=f"XYSquares: {name}'s best {score.upper()}",
                published=Value("at most {largest:.3f}", {"largest": largest}),
                ours=stored.score_value(value),
                provenance=stored.provenance(picked),
                tolerance=f"at most {stored.SCORE_TOLERANCE} above",
                within=None if value is None else value <= largest + stored.SCORE_TOLERANCE,
                anchor=_PAGE,
                why=stored.WHY_SCORES,
            )


@claim("Figure 6", "Figure 6, stand-ins")
def figure6(store: Store) -> Iterator[Claim]:
    """Scores on the benchmark data sets, beside those on XYSquares."""
    runs = store.best("fig6")
    squares = _at_spacing_8(store)
    # runs on XYSquares of another profile are not comparable
    if runs is None or runs.profile != squares.profile:
        squares = stored.subset(runs, data="xysquares")
    for data in stored.BENCHMARKS:
        picked, origin = stored.on_data(runs, data)
        missing = stored.ONLY_STAND_INS if stored.on_stand_in(runs, data).rows else stored.NO_RUNS
        yield from _ranges(data, picked, stored.titled(data, origin), squares, missing)
        yield from _above_xysquares(data, picked, stored.titled(data, origin), squares, missing)
    for data in stored.BENCHMARKS:
        picked = stored.on_stand_in(runs, data)
        # the published range is one of the data set: nothing that a stand-in could reproduce
        if picked.rows:
            title = stored.titled(data, "stand-in")
            yield from _above_xysquares(data, picked, title, squares, stored.NO_RUNS, stand_in=True)


def _ranges(
    data: str, runs: RunTable, title: str, squares: RunTable, missing: Provenance
) -> Iterator[Claim]:
    ranges = _figure6_ranges()
    for framework, name in stored.FRAMEWORKS.items():
        for score in stored.SCORES:
            picked = stored.subset(runs, framework=framework)
            hardest = stored.best(stored.subset(squares, framework=framework), score)
            yield stored.range_claim(
                picked,
                score,
                ranges[data, framework, score],
                rule="; in direction: above the best on XYSquares",
                direction=stored.above(stored.median(picked, score), hardest),
                where="Figure 6",
                statement=f"{title}, {name}: {score.upper()}",
                provenance=stored.provenance(picked) if picked.rows else missing,
                anchor=_PAGE,
                why=f"{stored.WHY_SCORES}; a range of sixteen settings from near 0 on tests little",
            )


def _above_xysquares(
    data: str,
    runs: RunTable,
    title: str,
    squares: RunTable,
    missing: Provenance,
    *,
    stand_in: bool = False,
) -> Iterator[Claim]:
    ranges = _figure6_ranges()
    for score in stored.SCORES:
        value = stored.best(runs, score)
        hardest = stored.best(squares, score)
        direction = stored.above(value, hardest)
        ours = Value(
            f"{{best:.3f}}, {'above' if direction else 'not above'} {{xysquares:.3f}}",
            {"best": value, "xysquares": hardest},
        )
        largest = {
            name: max(ranges[name, framework, score][1] for framework in stored.FRAMEWORKS)
            for name in (data, "xysquares")
        }
        paper = Value(
            "{best:.3g}, above {xysquares:.3g}",
            {"best": largest[data], "xysquares": largest["xysquares"]},
        )
        note = f"; {len(squares.rows)} on XYSquares"
        yield Claim(
            where="Figure 6, stand-ins" if stand_in else "Figure 6",
            statement=f"{title}: the best {score.upper()} is above the best on XYSquares",
            published=NOTHING if stand_in else paper,
            ours=NOTHING if direction is None else ours,
            provenance=stored.provenance(runs, note) if runs.rows else missing,
            tolerance=f"by more than {stored.SCORE_TOLERANCE}; in direction: by less",
            within=stored.above(value, hardest, stored.SCORE_TOLERANCE),
            direction=direction,
            anchor=_PAGE,
            why="the paper says that only the maximum of Figure 6 matters",
            beyond=stand_in,
        )


def _at_spacing_8(store: Store) -> RunTable:
    """Return the runs on XYSquares at spacing 8 of Figures 6 and 9, of the larger profile, once."""
    figure9_runs = stored.subset(store.best("fig9"), grid_spacing=8, data="xysquares")
    tables = [figure9_runs, stored.subset(store.best("fig6"), data="xysquares")]
    tables = [runs for runs in tables if runs.rows]
    if not tables:
        return stored.subset(None)
    profile = max((runs.profile for runs in tables), key=list(PROFILES).index)
    tables = [runs for runs in tables if runs.profile == profile]
    rows = {row["key"]: row for runs in tables for row in runs.rows}
    failed = {row["key"]: row for runs in tables for row in runs.failed}
    return RunTable("fig6", profile, list(rows.values()), list(failed.values()))
