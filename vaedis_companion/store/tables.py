"""Tables of stored runs: the rows of one experiment, chosen and summed up for a page."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vaedis import _check
from vaedis_companion.store.rows import COLUMNS, OPTION_COLUMNS, Row, is_number

if TYPE_CHECKING:
    import pandas as pd


_PRECISIONS = {"bf16": "bfloat16", "tf32": "TF32"}


def flat(row: Row) -> Row:
    """Return a row with its options as columns; a column hides an option of its name."""
    return {**row["data_options"], **row["loss_options"], **row["model_options"], **row}


@dataclass(frozen=True)
class RunTable:
    """Finished and failed runs of one experiment, all of one profile.

    `rows` and `failed` are lists of dict, by the names in `COLUMNS`; the ``"status"`` of a failed
    run says why it did not finish.

    Examples
    --------
    >>> from vaedis.spec import RunSpec
    >>> from vaedis_companion.store import make_row
    >>> specs = [RunSpec(data_options={"grid_spacing": s}) for s in (1, 8)]
    >>> rows = [make_row(spec, "e", "p", scores={"mig": k / 8}) for k, spec in enumerate(specs)]
    >>> runs = RunTable("e", "p", rows, [])
    >>> runs.where(grid_spacing=8).values("mig").tolist()
    [0.125]
    >>> runs.frame[["grid_spacing", "mig"]].values.tolist()
    [[1.0, 0.0], [8.0, 0.125]]
    """

    experiment: str
    profile: str
    rows: list[Row]
    failed: list[Row]

    @classmethod
    def of(cls, experiment: str, profile: str, rows: Iterable[Row]) -> RunTable:
        """Make a table of rows, finished or not."""
        rows = list(rows)
        finished = [row for row in rows if row["status"] == "finished"]
        failed = [row for row in rows if row["status"] != "finished"]
        return cls(experiment, profile, finished, failed)

    @property
    def frame(self) -> pd.DataFrame:
        """The finished runs as a DataFrame; options of data, loss and model are columns too."""
        pandas = _check.package("pandas", "make tables", "plots")
        records = [flat(row) for row in self.rows]
        names = [name for name in COLUMNS if name not in OPTION_COLUMNS]
        options = [name for record in records for name in record if name not in COLUMNS]
        return pandas.DataFrame(records, columns=[*names, *dict.fromkeys(options)])

    def where(self, keep: Callable[[Row], bool] | None = None, **columns: Any) -> RunTable:
        """Return the runs whose columns have these values and which `keep` takes, if given.

        Options of data, loss and model count as columns.
        """

        def is_chosen(row: Row) -> bool:
            values = flat(row)
            has_values = all(values.get(name) == value for name, value in columns.items())
            return has_values and (keep is None or keep(row))

        rows = list(filter(is_chosen, self.rows))
        return dataclasses.replace(self, rows=rows, failed=list(filter(is_chosen, self.failed)))

    def values(self, column: str, **columns: Any) -> np.ndarray:
        """Return the finite numbers of a column, of the runs that match, as for `where`."""
        rows = self.where(**columns).rows
        return np.array([row[column] for row in rows if is_number(row[column])], float)

    def median(self, column: str, **columns: Any) -> float | None:
        """Return the median of `values`; None of no runs."""
        values = self.values(column, **columns)
        return float(np.median(values)) if len(values) else None

    def by_seed(self, column: str, **columns: Any) -> dict[int, float]:
        """Return the finite numbers of a column by seed, of the runs that match, as for `where`.

        A ValueError says that two runs have one seed, since they differ in something else.
        """
        rows = [row for row in self.where(**columns).rows if is_number(row[column])]
        numbers = {row["seed"]: row[column] for row in rows}
        if len(numbers) < len(rows):
            counts = f"{len(rows)} runs of {self.experiment} share {len(numbers)} seeds"
            raise ValueError(f"{counts}; name the columns of one setting.")
        return numbers

    def describe(self) -> str:
        """Return one phrase for a caption: profile, number of runs, steps and batch.

        Precisions are named where runs differ in them.
        """
        if not self.rows:
            return "no finished runs" + (f", {self.profile} profile" if self.profile else "")
        steps = " or ".join(f"{n:,}" for n in sorted({row["steps"] for row in self.rows}))
        batches = " or ".join(map(str, sorted({row["batch"] for row in self.rows})))
        runs = f"{len(self.rows)} run{'s' if len(self.rows) > 1 else ''}"
        precisions = sorted({row.get("precision") or "" for row in self.rows} - {""})
        names = [_PRECISIONS.get(name, name) for name in precisions]
        arithmetic = f", {' or '.join(names)}" if len(names) > 1 else ""
        failed = f", {len(self.failed)} failed" if self.failed else ""
        made = f"{runs} of {steps} steps, batch {batches}{arithmetic}"
        return f"{self.profile} profile: {made}{failed}"
