"""Make text from outside safe to print, and sizes short."""

from __future__ import annotations

import math
import unicodedata

# control characters, invisible formatting (some of it reverses text), lone surrogates, line breaks
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def plain(text: str, longest: int | None = None) -> str:
    r"""Replace what a terminal, a log or a page could obey by escapes; newlines and tabs stay.

    Text of more than `longest` letters is cut and ends with an ellipsis.

    >>> plain("a\x1b[31mred")
    'a\\x1b[31mred'
    >>> plain("long name", longest=5)
    'long…'
    """
    if longest is not None and len(text) > longest:
        text = text[: longest - 1] + "…"
    return "".join(map(_escaped, text))


def _escaped(letter: str) -> str:
    if letter in "\n\t" or unicodedata.category(letter) not in _HIDDEN:
        return letter
    return letter.encode("unicode_escape", "surrogatepass").decode("ascii")


def size_text(n_bytes: int) -> str:
    """Return a number of bytes with three digits and a unit.

    >>> size_text(37_700_000), size_text(192)
    ('37.7 MB', '192 bytes')
    """
    for unit, bytes_ in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= bytes_:
            digits = max(0, 2 - int(math.log10(n_bytes / bytes_)))
            return f"{n_bytes / bytes_:.{digits}f} {unit}"
    return f"{n_bytes} bytes"
