"""Checks of arguments, worded alike everywhere: what was wrong, what was expected, what to do."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping
from typing import Any


def one_of(kind: str, name: Any, known: Iterable[str]) -> str:
    """Return `name` if it is one of `known`; otherwise raise a ValueError that lists what exists.

    Parameters
    ----------
    kind : str
        What is being chosen, for the message ("data set", "loss", ...).
    name : Any
        What was asked for.
    known : iterable of str
        The names that exist.
    """
    known = list(known)
    if name not in known:
        raise ValueError(f"Unknown {kind} {name!r}; choose one of: {', '.join(known)}.")
    return name


def listed(names: Iterable[str]) -> list[str]:
    """Return names as a list; text is one name, not letters."""
    return [names] if isinstance(names, str) else list(names)


def options(kind: str, name: str, given: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raise a ValueError that lists what exists if `given` has a key that is not in `known`."""
    known = list(known)
    for key in given:
        if key not in known:
            has = f"it takes: {', '.join(known)}" if known else "it takes none"
            raise ValueError(f"Unknown option {key!r} of {kind} {name!r}; {has}.")


def count(name: str, value: Any, least: int = 1) -> int:
    """Return `value` as an int if it is a whole number of at least `least`; otherwise raise a
    ValueError.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}.")
    return int(value)


def non_negative(name: str, value: Any) -> float:
    """Return `value` as a float if it is a finite number of at least 0; otherwise raise a
    ValueError.
    """
    if (
        isinstance(value, bool)
        or not isinstance(value, numbers.Real)
        or not 0 <= float(value) < float("inf")
    ):
        raise ValueError(f"{name} must be a finite number of at least 0, not {value!r}.")
    return float(value)


def positive(name: str, value: Any) -> float:
    """Return `value` as a float if it is a finite number above 0; otherwise raise a ValueError."""
    if non_negative(name, value) == 0:
        raise ValueError(f"{name} must be above 0, not {value!r}.")
    return float(value)
