"""The names that a function reads, and the modules that it imports."""

from __future__ import annotations

import dis
import importlib
import types
from collections.abc import Iterator

_GLOBALS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
# steps that take no part in what a function computes
_FILLERS = ("EXTENDED_ARG", "CACHE", "NOP")


def globals_read(code: types.CodeType) -> set[str]:
    """Return the names of globals that code, and the functions in it, read."""
    steps = [step for one in _all_codes(code) for step in dis.get_instructions(one)]
    return {step.argval for step in steps if step.opname in _GLOBALS}


def names_read(code: types.CodeType) -> list[str]:
    """Return all names that may be attributes in code and the functions in it, in order.

    These are more than it reads: names of globals, and text that ``getattr`` may be given, are
    among them. What Python itself writes (``__init__``) is left out.
    """
    names: set[str] = set()
    for one in _all_codes(code):
        names.update(one.co_names)
        names.update(text for text in one.co_consts if isinstance(text, str))
    return sorted(name for name in names if name.isidentifier() and not name.startswith("__"))


def imports(function: types.FunctionType) -> Iterator[types.ModuleType]:
    """Yield the modules that a function, and those in it, import; none that is not there."""
    package = function.__globals__.get("__package__")
    for code in _all_codes(function.__code__):
        steps = [step for step in dis.get_instructions(code) if step.opname not in _FILLERS]
        for k, step in enumerate(steps):
            if step.opname != "IMPORT_NAME":
                continue
            # the dots and the listed names are put on the stack before
            level, listed = steps[k - 2].argval, steps[k - 1].argval or ()
            module = "." * level + step.argval
            separator = "" if module.endswith(".") else "."
            paths = [module, *(f"{module}{separator}{name}" for name in listed)]
            if not level:
                paths.append(module.partition(".")[0])  # what "import a.b" gives is a
            for path in paths:
                try:
                    imported = importlib.import_module(path, package)
                except Exception:  # the function itself will say so, or it is no module
                    continue
                yield imported


def _all_codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield code, and that of all functions and classes in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _all_codes(constant)
