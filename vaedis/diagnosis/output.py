"""Write a diagnosis to files: as a page that stands alone, or as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from vaedis._support.output import check_outputs, write_output
from vaedis.diagnosis.report import Diagnosis


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
        Plain files, which are replaced as a whole, or streams such as ``/dev/stdout``. The page
        holds its pictures and loads nothing from outside; it shows long names cut.

    Raises
    ------
    ValueError
        If a path is no place that a report can be written to.
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
    check_outputs([Path(file) for file in (html, json_file) if file is not None])
    if html is not None:
        from vaedis.diagnosis.page import page

        write_output(Path(html), page(diagnosis).encode())
    if json_file is not None:
        text = json.dumps(to_dict(diagnosis), indent=1, allow_nan=False)
        write_output(Path(json_file), (text + "\n").encode())


def to_dict(diagnosis: Diagnosis) -> dict[str, Any]:
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
        # Lone surrogates, as in file names that are no UTF-8, are no text.
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_json_values(key): _json_values(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _json_values(value.tolist())
    if isinstance(value, list | tuple):
        return [_json_values(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
