"""Names of factors and data sets as they are shown: short, plain and on one line."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from vaedis._support.text import plain

# Longer names are cut where they are shown; JSON keeps them in full.
LONGEST_NAME = 60


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Return the names that need another form to be shown, and that form, unlike all others."""
    names = set(names)
    short: dict[str, str] = {}
    # The longest first, since a name may be part of a longer one.
    for name in sorted(names, key=len, reverse=True):
        candidate = _short(name)
        number = 2
        while candidate != name and (candidate in names or candidate in short.values()):
            candidate = f"{_short(name)}~{number}"
            number += 1
        if candidate != name:
            short[name] = candidate
    return short


def _short(name: str) -> str:
    return plain(name[: LONGEST_NAME + 1], LONGEST_NAME).replace("\n", "\\n").replace("\t", "\\t")


def replace_names(value: Any, short: dict[str, str]) -> Any:
    """Return a value, however nested, with other names and nothing but plain text in it."""
    if isinstance(value, str):
        for name, other in short.items():
            value = value.replace(name, other)
        return plain(value)
    if isinstance(value, tuple | list):
        return type(value)(replace_names(item, short) for item in value)
    if isinstance(value, dict):
        return {replace_names(k, short): replace_names(v, short) for k, v in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return dataclasses.replace(
            value, **{f.name: replace_names(getattr(value, f.name), short) for f in fields}
        )
    return value
