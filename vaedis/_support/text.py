"""Make text from outside safe to print."""

from __future__ import annotations

import unicodedata

# Cc: control characters; Cf: invisible formatting, among it what reverses the direction of text;
# Cs: lone surrogates; Zl, Zp: line breaks
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def plain(text: str, longest: int | None = None) -> str:
    """Return text without anything that a terminal, a log or a page could take for a command.

    Parameters
    ----------
    text : str
    longest : int, optional
        Cut text that is longer, and end it with an ellipsis.

    Returns
    -------
    str
        Control characters, invisible formatting and lone surrogates as escapes such as ``\\x1b``;
        newlines and tabs stay.

    Examples
    --------
    >>> plain("a\\x1b[31mred")
    'a\\\\x1b[31mred'
    >>> plain("long name", longest=5)
    'long…'
    """
    if longest is not None and len(text) > longest:
        text = text[: longest - 1] + "…"
    return "".join(_escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    if letter in "\n\t" or unicodedata.category(letter) not in _HIDDEN:
        return letter
    return letter.encode("unicode_escape", "surrogatepass").decode("ascii")
