"""A set of stored runs, to be filtered, drawn and described."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vaedis_companion import project
from vaedis_companion.store.rows import COLUMNS, OPTION_COLUMNS, Row, flat

if TYPE_CHECKING:
    import pandas as pd


def is_number(value: Any) -> bool:
    """Return whether a row has a finite number in a column.

    Examples
    --------
    >>> is_number(0.5), is_number(None), is_number(float("nan"))
    (True, False, False)
    """
    return value is not None and math.isfinite(value)


@dataclass(frozen=True)
class RunTable:
    """Runs of one experiment, all of one profile.

    Attributes
    ----------
    experiment, profile : str
    rows : list of dict
        Finished runs, by the names in `COLUMNS`.
    failed : list of dict
        Runs that did not finish; their ``"status"`` says why.

    Examples
    --------
    >>> from vaedis.spec import RunSpec
    >>> from vaedis_companion.store.rows import make_row
    >>> rows = [
    ...     make_row(RunSpec(data_options={"grid_spacing": s}), "e", "p", scores={"mig": 1 / s})
    ...     for s in (1, 8)
    ... ]
    >>> runs = RunTable("e", "p", rows, [])
    >>> runs.where(grid_spacing=8).values("mig").tolist()
    [0.125]
    >>> runs.frame[["grid_spacing", "mig"]].values.tolist()
    [[1.0, 1.0], [8.0, 0.125]]
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
        """The finished runs as a DataFrame; options of data and loss are columns of their own."""
        pandas = project.require_pandas()
        names = [name for name in COLUMNS if name not in OPTION_COLUMNS]
        options = [name for row in self.rows for name in flat(row) if name not in COLUMNS]
        records = [flat(row) for row in self.rows]
        return pandas.DataFrame(records, columns=[*names, *dict.fromkeys(options)])

    def where(self, keep: Callable[[Row], bool] | None = None, **columns: Any) -> RunTable:
        """Return the runs that match.

        Parameters
        ----------
        keep : callable, optional
            Of a row, whether it matches.
        **columns
            Columns and the values they must have; options of data and loss count as columns.
        """

        def is_chosen(row: Row) -> bool:
            values = flat(row)
            has_values = all(values.get(name) == value for name, value in columns.items())
            return has_values and (keep is None or keep(row))

        rows = [row for row in self.rows if is_chosen(row)]
        failed = [row for row in self.failed if is_chosen(row)]
        return dataclasses.replace(self, rows=rows, failed=failed)

    def values(self, column: str, **columns: Any) -> np.ndarray:
        """Return the finite numbers of a column, of the runs that match: ndarray of float.

        Parameters
        ----------
        column : str
        **columns
            As for `where`.
        """
        rows = self.where(**columns).rows
        return np.array([row[column] for row in rows if is_number(row[column])], float)

    def by_seed(self, column: str, **columns: Any) -> dict[int, float]:
        """Return the finite numbers of a column by seed, of the runs that match, as for `where`."""
        rows = self.where(**columns).rows
        return {row["seed"]: row[column] for row in rows if is_number(row[column])}

    def describe(self) -> str:
        """Return one phrase for a caption: profile, number of runs, steps and batch."""
        if not self.rows:
            return f"no finished runs, {self.profile} profile"
        steps = " or ".join(f"{n:,}" for n in sorted({row["steps"] for row in self.rows}))
        batches = " or ".join(map(str, sorted({row["batch"] for row in self.rows})))
        runs = f"{len(self.rows)} run{'s' if len(self.rows) > 1 else ''}"
        failed = f", {len(self.failed)} failed" if self.failed else ""
        return f"{self.profile} profile: {runs} of {steps} steps, batch {batches}{failed}"
