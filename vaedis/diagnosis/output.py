"""Write a diagnosis to files: as JSON, or as a page that stands alone (`page.html`)."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import math
import os
import warnings
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from vaedis import _check
from vaedis._support.output import check_outputs, write_output
from vaedis.diagnosis.loss_report import COLUMNS, FactorReport
from vaedis.diagnosis.report import Diagnosis
from vaedis.distances import ground_truth_matrix


def save(
    diagnosis: Diagnosis,
    *,
    html: str | os.PathLike[str] | None = None,
    json_file: str | os.PathLike[str] | None = None,
) -> None:
    """Write a diagnosis as an HTML page, as JSON, or as both.

    Parameters
    ----------
    diagnosis : Diagnosis
    html, json_file : path, optional
        Plain files, which are replaced as a whole. The page contains its pictures and loads nothing
        from elsewhere; long names are shortened.

    Raises
    ------
    ValueError
        If a report cannot be written to a path.
    ImportError
        If the page is asked for, and matplotlib or jinja2 is not installed.

    Examples
    --------
    >>> import json, pathlib, tempfile, numpy as np, vaedis as vd
    >>> images = np.arange(4, dtype=np.uint8)[:, None, None] * np.ones((2, 2), np.uint8)
    >>> path = pathlib.Path(tempfile.mkdtemp(), "report.json")
    >>> vd.diagnosis.save(vd.diagnose((images, [0, 1, 2, 3])), json_file=path)
    >>> json.loads(path.read_text())["losses"][0]["factors"][0]["verdict"]
    'ordered'
    """
    for name, file in {"html": html, "json_file": json_file}.items():
        if isinstance(file, str) and not file.strip():
            raise ValueError(f"{name} is empty; name a file for the report, or leave it out.")
    check_outputs([Path(file) for file in (html, json_file) if file is not None])
    if html is not None:
        write_output(Path(html), _page(diagnosis).encode())
    if json_file is not None:
        text = json.dumps(_to_dict(diagnosis), indent=1, allow_nan=False)
        write_output(Path(json_file), (text + "\n").encode())


def _to_dict(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return a diagnosis as plain lists, numbers and text that JSON can hold."""
    values = dataclasses.asdict(diagnosis)
    values["measured"] = diagnosis.measured
    for loss_values, report in zip(values["losses"], diagnosis.losses, strict=True):
        loss_values |= {
            "verdict": report.verdict,
            "measured": report.measured,
            "unpaired": report.unpaired,
            "kinds": report.kinds(),
        }
    return _json_values(values)


def _json_values(value: Any) -> Any:
    """Return a value as JSON can hold it: None in place of NaN and infinity."""
    if isinstance(value, str):
        # lone surrogates, as in file names that are no UTF-8, are no text
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_json_values(key): _json_values(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _json_values(value.tolist())
    if isinstance(value, list | tuple):
        return [_json_values(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _page(diagnosis: Diagnosis) -> str:
    """Return the text of a diagnosis's page, with names as in `Diagnosis.displayed`."""
    jinja2 = _check.package("jinja2", "write a page", "plots")
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    source = resources.files("vaedis.diagnosis").joinpath("page.html").read_text("utf-8")
    return environment.from_string(source).render(
        diagnosis=diagnosis.displayed(), columns=COLUMNS, picture=_picture
    )


def _picture(factors: Sequence[FactorReport]) -> str:
    """Return the factors' matrices as a PNG picture in an address of its own."""
    import matplotlib.pyplot as plt

    from vaedis.plots import heatmaps

    truth = {f.factor: ground_truth_matrix(f.values) for f in factors}
    file = io.BytesIO()
    with (
        # names are text, even those that look like a formula
        plt.rc_context({"text.parse_math": False, "text.usetex": False}),
        warnings.catch_warnings(),
    ):
        # a letter that no font has is drawn as a box
        warnings.filterwarnings("ignore", message=".*missing from font", category=UserWarning)
        figure = heatmaps.draw_tiles(truth, {f.factor: f.matrix for f in factors})
        figure.savefig(file, format="png", dpi=130)
        plt.close(figure)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
