"""Names of factors and data sets as they may be shown: short, and without anything that a terminal
or a page takes for a command.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from vaedis._support.text import plain
from vaedis.diagnosis.report import Diagnosis

LONGEST_NAME = 60
"""Longer names are cut where they are shown; JSON has them whole."""


def shown(found: Diagnosis) -> Diagnosis:
    """Return a diagnosis to be printed or drawn: every name in it is plain, on one line, short, and
    unlike the others.

    Parameters
    ----------
    found : Diagnosis
    """
    names = [found.name, *found.constant]
    for report in found.losses:
        names += [factor.factor for factor in report.factors]
        names += report.unpaired
    short: dict[str, str] = {}
    for name in sorted(set(names), key=len, reverse=True):
        candidate = _short(name)
        number = 2
        while candidate != name and (candidate in names or candidate in short.values()):
            candidate = f"{_short(name)}~{number}"
            number += 1
        if candidate != name:
            short[name] = candidate
    return _with_names(found, short)


def _short(name: str) -> str:
    return plain(name[: LONGEST_NAME + 1], LONGEST_NAME).replace("\n", "\\n").replace("\t", "\\t")


def _with_names(value: Any, short: dict[str, str]) -> Any:
    """Return a value with other names wherever it holds text."""
    if isinstance(value, str):
        for name, other in short.items():
            value = value.replace(name, other)
        return plain(value)
    if isinstance(value, tuple | list):
        return type(value)(_with_names(item, short) for item in value)
    if isinstance(value, dict):
        return {_with_names(key, short): _with_names(item, short) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            field.name: _with_names(getattr(value, field.name), short)
            for field in dataclasses.fields(value)
            if field.init
        }
        return dataclasses.replace(value, **fields)
    return value
