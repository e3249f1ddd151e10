"""Check arguments with one wording: what was wrong, and what is expected."""

from __future__ import annotations

import difflib
import importlib
import math
import numbers
from collections.abc import Iterable, Mapping
from typing import Any

# numbers of eight bytes each: 80 GB
_MOST_DRAWS = 10**10


def one_of(kind: str, name: Any, known: Iterable[str]) -> str:
    """Return `name` if it is one of `known`; otherwise raise a ValueError that lists them."""
    known = list(known)
    if name not in known:
        choices = f"choose one of: {', '.join(known)}"
        raise ValueError(f"Unknown {kind} {name!r}; {choices}{nearest(name, known)}")
    return name


def nearest(name: Any, known: Iterable[str]) -> str:
    """Return the end of a message: a question that names the closest known name, or a full stop."""
    by_spelling = {_spelling(one): one for one in known}
    close = difflib.get_close_matches(_spelling(name), by_spelling, n=1)
    return f"; did you mean {by_spelling[close[0]]!r}?" if close else "."


def _spelling(name: Any) -> str:
    """Return a name without capitals, hyphens and the like, which are easily mistaken."""
    return "".join(filter(str.isalnum, str(name).lower()))


def listed(names: Iterable[str]) -> list[str]:
    """Wrap a single string in a list; convert any other iterable to a list."""
    return [names] if isinstance(names, str) else list(names)


def options(kind: str, name: str, requested: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raise a ValueError that lists `known` if `requested` has another key."""
    known = list(known)
    for key in requested:
        if key not in known:
            takes = f"it takes: {', '.join(known)}" if known else "it takes none"
            raise ValueError(
                f"Unknown option {key!r} of {kind} {name!r}; {takes}{nearest(key, known)}"
            )


def names_of_factors(names: Iterable[Any]) -> tuple[str, ...]:
    """Return names that are text, as a number stands for a factor's position; refuse any other."""
    names = tuple(names)
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"names of factors must be text, not {name!r}; write {str(name)!r}.")
    return names


def count(name: str, value: Any, least: int = 1) -> int:
    """Return a whole number of at least `least` as an int; raise a ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}.")
    return int(value)


def draws(name: str, value: Any, least: int = 1) -> int:
    """Return a `count` of what is held in memory at once; raise a ValueError if none holds it."""
    if count(name, value, least) > _MOST_DRAWS:
        raise ValueError(f"{name} must be at most {_MOST_DRAWS:,}, as memory holds no more.")
    return int(value)


def seed(value: Any) -> int:
    """Return a seed as an int; raise a ValueError if no generator of random numbers takes it."""
    if count("seed", value, 0) >= 2**63:
        raise ValueError(f"seed must be less than 2**63, not {value!r}.")
    return int(value)


def non_negative(name: str, value: Any) -> float:
    """Return a finite number of at least 0 as a float; raise a ValueError for anything else."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    try:
        number = float(value) if is_number else math.nan
    except OverflowError:
        raise ValueError(f"{name} must be a number that a float can hold.") from None
    if not 0 <= number < math.inf:
        raise ValueError(f"{name} must be a finite number of at least 0, not {value!r}.")
    return number


def positive(name: str, value: Any) -> float:
    """Return a finite number above 0 as a float; raise a ValueError for anything else."""
    if non_negative(name, value) == 0:
        raise ValueError(f"{name} must be above 0, not {value!r}.")
    return float(value)


def plain_field(name: str, value: Any) -> None:
    """Raise a ValueError if a field of a RunSpec holds an object, which only `fit` takes."""
    is_own = callable(value) and not hasattr(value, "distance")
    if is_own or (name == "data" and not isinstance(value, str)):
        wanted = "the name of a data set" if name == "data" else "a name or a number"
        raise ValueError(
            f"{name} must be {wanted}, not a {type(value).__name__}; "
            f"give your own as in fit(spec, {name}=mine)."
        )


def flag(name: str, value: Any) -> bool:
    """Return a value that is True or False, also one of numpy's; a ValueError refuses any other.

    >>> flag("normalize", "no")
    Traceback (most recent call last):
    ValueError: normalize must be True or False, not 'no'.
    """
    if type(value).__name__ not in ("bool", "bool_"):
        raise ValueError(f"{name} must be True or False, not {value!r}.")
    return bool(value)


def flag_or_none(name: str, value: Any) -> bool | None:
    """Return a value that is True, False or None; a ValueError refuses any other."""
    if value is not None and type(value).__name__ not in ("bool", "bool_"):
        raise ValueError(f"{name} must be True, False or None, not {value!r}.")
    return None if value is None else bool(value)


def package(module: str, task: str, extra: str) -> Any:
    """Return a module of an optional package; an ImportError says what installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        name = {"sklearn": "scikit-learn", "PIL": "pillow", "distributed": "dask"}.get(name, name)
        raise ImportError(f"To {task}, install {name}: pip install 'vaedis[{extra}]'.") from error
