"""What the code of a function does, and the names and values that it reads."""

from __future__ import annotations

import contextlib
import dis
import types
from collections.abc import Iterator
from typing import Any

_GLOBALS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")


def around(function: types.FunctionType) -> dict[str, Any]:
    """Return the globals and closed-over variables that a function, and those in it, use."""
    names = globals_read(function.__code__)
    globals_used = {name: value for name, value in function.__globals__.items() if name in names}
    return globals_used | closed_over(function)


def closed_over(function: types.FunctionType) -> dict[str, Any]:
    """Return the closed-over variables of a function that have a value."""
    values = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):
            values[name] = cell.cell_contents
    return values


def globals_read(code: types.CodeType) -> set[str]:
    """Return the names of globals that code, and the functions in it, read."""
    steps = [step for one in _all_codes(code) for step in dis.get_instructions(one)]
    return {step.argval for step in steps if step.opname in _GLOBALS}


def names_read(code: types.CodeType) -> list[str]:
    """Return all names that may be attributes in code and the functions in it, in order.

    These are more than it reads: names of globals, and text that ``getattr`` may be given.
    """
    names: set[str] = set()
    for one in _all_codes(code):
        names.update(one.co_names)
        names.update(text for text in one.co_consts if isinstance(text, str))
    return sorted(name for name in names if name.isidentifier() and not name.startswith("__"))


def code_parts(code: types.CodeType) -> Iterator[bytes]:
    """Yield bytes of what code, and that of the functions in it, does and reads."""
    yield code.co_code
    yield repr(code.co_names).encode()
    yield repr(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]).encode()
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from code_parts(constant)
        else:
            yield _constant_text(constant).encode()


def _constant_text(constant: Any) -> str:
    """Return text of a constant, with sets in one order in every process."""
    if isinstance(constant, frozenset):
        return f"set {sorted(map(_constant_text, constant))}"
    if isinstance(constant, tuple):
        return f"tuple {[*map(_constant_text, constant)]}"
    return repr(constant)


def _all_codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield code, and that of all functions and classes in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _all_codes(constant)
