"""What a function reads of modules and of what they hold, by its bytecode."""

from __future__ import annotations

import dis
import importlib
import types
from collections.abc import Iterator, Mapping
from typing import Any

# a variable or an import, and the attributes that are read of it, one after the other
Chain = tuple[str, ...]

_IMPORT = "import "
# steps that leave the value on top of the stack where it is
_NEUTRAL = ("EXTENDED_ARG", "CACHE", "PUSH_NULL", "PRECALL", "SWAP")
_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM")
_CONSTANTS = ("LOAD_CONST", "LOAD_SMALL_INT")


def chains(function: types.FunctionType) -> list[Chain]:
    """Return all that a function, and those in it, read by name, in order, such as (settings, a).

    The beginnings of a chain are chains too, ``getattr(x, "a")`` is ``x.a``, and a name that the
    function gives to a chain, or imports, stands for it.
    """
    return sorted(set(_chains(function.__code__, {})))


def _chains(code: types.CodeType, names: Mapping[str, Chain]) -> Iterator[Chain]:
    meaning = dict(names)
    top: Chain = ()
    module: Chain = ()
    result: Chain = ()
    is_asked = False
    constants: list[Any] = []
    for step in dis.get_instructions(code):
        name = step.opname
        if name in _NEUTRAL or (name == "POP_TOP" and top != module):
            continue
        # steps that handle two variables at once name both
        variables = step.argval if isinstance(step.argval, tuple) else (step.argval,)
        if name in _CONSTANTS:
            constants.append(step.argval)
            if is_asked and isinstance(step.argval, str):
                result = (*top, step.argval)
                yield result
            is_asked = False
            top = ()
        elif name == "IMPORT_NAME":
            top = module = (_IMPORT + _module(step.argval, *[0, None, *constants][-2:]),)
        elif name in _ATTRIBUTES:
            top = (*top, step.argval) if top else ()
            if top:
                yield top
        elif name.startswith("STORE_") and isinstance(variables[0], str):
            for variable in variables:
                meaning.pop(variable, None)
            if top:
                meaning[variables[0]] = top
            top = module
        elif name.startswith("LOAD_") and isinstance(variables[-1], str):
            is_asked = top == ("getattr",)
            top = meaning.get(variables[-1], (variables[-1],))
            yield top
        else:
            top = result if name.startswith("CALL") else ()
            module = result = ()
            is_asked = False
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            of_outer = {key: meaning[key] for key in constant.co_freevars if key in meaning}
            yield from _chains(constant, of_outer)


def _module(name: str, level: int, listed: tuple[str, ...] | None) -> str:
    """Return the module that an import gives: a of "import a.b", and a.b of "from a.b import c"."""
    return "." * level + (name if listed else name.partition(".")[0])


def root_of(chain: Chain, used: Mapping[str, Any], package: str | None) -> Any:
    """Return what the first name of a chain stands for, which may have to be imported, or None."""
    if not chain[0].startswith(_IMPORT):
        return used.get(chain[0])
    try:
        return importlib.import_module(chain[0].removeprefix(_IMPORT), package)
    except Exception:  # the function itself will say so
        return None


def attribute_of(value: Any, name: str) -> Any:
    """Return an attribute, or a module of a package; None if there is neither."""
    try:
        if isinstance(value, types.ModuleType) and not hasattr(value, name):
            return importlib.import_module(f"{value.__name__}.{name}")
        return getattr(value, name)
    except Exception:  # whatever a property or a module does
        return None
