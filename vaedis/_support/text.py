"""Make text from outside safe to print, and sizes short."""

from __future__ import annotations

import ast
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

# control characters, invisible formatting (some of it reverses text), lone surrogates, line breaks
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}

_LONGEST_CALL = 1_000


def plain(text: str, longest: int | None = None) -> str:
    """Replace what a terminal, a log or a page could obey by escapes; newlines and tabs stay.

    Text of more than `longest` letters is cut and ends with an ellipsis.
    """
    if longest is not None and len(text) > longest:
        text = text[: longest - 1] + "…"
    return "".join(map(_escaped, text))


def _escaped(letter: str) -> str:
    if letter in "\n\t" or unicodedata.category(letter) not in _HIDDEN:
        return letter
    return letter.encode("unicode_escape", "surrogatepass").decode("ascii")


def size_text(n_bytes: int) -> str:
    """Return a number of bytes with three digits and a unit."""
    for unit, bytes_ in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= 0.9995 * bytes_:  # which is rounded to one of this unit
            number = n_bytes / bytes_
            text = f"{number:#.3g}".rstrip(".") if number < 999.5 else f"{number:.0f}"
            return f"{text} {unit}"
    return f"{n_bytes} bytes"


def shown_name(name: str) -> str:
    """Return a name as it is shown: plain, on one line, and at most 60 letters long."""
    return plain(name, 60).replace("\n", "\\n").replace("\t", "\\t")


def shown_names(names: Iterable[str]) -> dict[str, str]:
    """Return names as they are shown, no two of them alike: {name: shown}."""
    names = dict.fromkeys(names)
    # those that are shown as they are go first, so that no other takes their form
    by_form = sorted(names, key=lambda name: shown_name(name) != name)
    shown = dict(zip(by_form, distinct(map(shown_name, by_form)), strict=True))
    return {name: shown[name] for name in names}


def distinct(names: Iterable[str]) -> list[str]:
    """Return names in order; one that was there before gets a number, as in "mse (2)"."""
    taken: list[str] = []
    for name in names:
        candidate = name
        number = 2
        while candidate in taken:
            candidate = f"{name} ({number})"
            number += 1
        taken.append(candidate)
    return taken


def names_of_own(custom: Mapping[str, str]) -> dict[str, str]:
    """Return the names of the custom parts given to `fit`, without their fingerprints."""
    return {kind: plain(said.partition(" ")[0], 40) for kind, said in custom.items()}


def call_of(function: str, first: str, options: Mapping[str, Any]) -> str | None:
    """Return the text of a call of one of `vd`'s functions.

    It is None if that is long, or if an option is not a plain value.
    """
    try:
        ast.literal_eval(repr(list(options.values())))
    except (ValueError, SyntaxError):
        return None
    arguments = [repr(first), *(f"{name}={value!r}" for name, value in options.items())]
    call = f"vd.{function}({', '.join(arguments)})"
    return call if len(call) < _LONGEST_CALL else None
