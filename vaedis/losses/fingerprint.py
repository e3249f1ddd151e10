"""Text that follows from all that an object holds, so that two losses of one's own are taken for
one only if they are the same.
"""

from __future__ import annotations

import contextlib
import dataclasses
import dis
import enum
import functools
import hashlib
import numbers
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_PLAIN = (
    str,
    bytes,
    complex,
    type(None),
    range,
    slice,
    enum.Enum,
    Path,
    torch.dtype,
    torch.device,
    types.EllipsisType,
)


def fingerprint(thing: Any) -> str:
    """Return 16 hexadecimal digits that follow from the class of an object and from all that it holds.

    Numbers, text, arrays, tensors and modules count with their values. Classes and functions count
    with their code if they come from where the object's class does, and else by their name.

    Raises
    ------
    ValueError
        If it holds something whose value cannot be told.
    """
    home = _top(type(thing).__module__)
    digest = hashlib.sha256()
    for part in _parts(thing, type(thing).__name__, home, set()):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:16]


def _top(module: str | None) -> str:
    return (module or "").partition(".")[0]


def _parts(value: Any, where: str, home: str, above: set[int]) -> Iterator[bytes]:
    """Bytes of a value and of all that it holds; `where` names it in a message, and `above` holds
    what it lies in.
    """
    if id(value) in above:
        yield b"itself"
        return
    inside = functools.partial(_parts, home=home, above=above | {id(value)})
    if isinstance(value, numbers.Real):
        # 1 and 1.0 are the same number
        number = float(value)
        yield f"number {int(value) if number.is_integer() else number!r}".encode()  # type: ignore[call-overload]
    elif isinstance(value, _PLAIN):
        yield f"{type(value).__qualname__} {value!r}".encode()
    elif isinstance(value, Tensor):
        yield f"tensor {value.dtype} {tuple(value.shape)}".encode()
        yield value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        yield f"array {value.dtype.str} {value.shape}".encode()
        yield value.tobytes()
    elif isinstance(value, list | tuple):
        yield f"list {len(value)}".encode()
        for k, one in enumerate(value):
            yield from inside(one, f"{where}[{k}]")
    elif isinstance(value, set | frozenset):
        yield f"set {sorted(map(repr, value))}".encode()
    elif isinstance(value, Mapping):
        yield f"mapping {len(value)}".encode()
        for key, one in value.items():
            yield from inside(key, f"a key of {where}")
            yield from inside(one, f"{where}[{key!r}]")
    elif isinstance(value, types.ModuleType):
        yield f"module {value.__name__}".encode()
    elif isinstance(value, type):
        yield f"class {value.__module__}.{value.__qualname__}".encode()
        if _top(value.__module__) == home != "vaedis":
            yield from _of_class(value, where, inside)
    elif isinstance(value, types.FunctionType):
        yield from _of_function(value, where, home, inside)
    elif isinstance(value, types.MethodType):
        yield from inside((value.__func__, value.__self__), where)
    elif isinstance(value, functools.partial):
        yield from inside((value.func, value.args, value.keywords), where)
    elif isinstance(value, types.BuiltinFunctionType | types.BuiltinMethodType | np.ufunc):
        yield f"function {value.__name__}".encode()
    elif isinstance(value, nn.Module) or dataclasses.is_dataclass(value) or _is_own(value, home):
        yield from inside(type(value), where)
        for name, one in sorted(_attributes(value).items()):
            yield name.encode()
            yield from inside(one, f"{where}.{name}")
    else:
        raise ValueError(
            f"{where} is a {type(value).__name__}, so it cannot be told whether two such losses are the same; let a loss hold "
            "numbers, text, tensors and modules only."
        )


def _is_own(value: Any, home: str) -> bool:
    """Whether an object's state is all in its attributes: its class is a loss, or of the loss's own
    module.
    """
    from vaedis.losses import Loss

    return isinstance(value, Loss) or (
        _top(type(value).__module__) == home and type(value).__module__ != "builtins"
    )


def _attributes(value: Any) -> dict[str, Any]:
    names = [name for cls in type(value).__mro__ for name in getattr(cls, "__slots__", ())]
    slots = {
        name: getattr(value, name)
        for name in names
        if name not in ("__dict__", "__weakref__") and hasattr(value, name)
    }
    weights = (
        {"the weights of the module": dict(value.state_dict())}
        if isinstance(value, nn.Module)
        else {}
    )
    return {**slots, **getattr(value, "__dict__", {}), **weights}


def _of_class(cls: type, where: str, inside: Any) -> Iterator[bytes]:
    """What a class says in its own body, and its bases."""
    yield from inside(cls.__bases__, f"a base of {cls.__name__}")
    for name, value in sorted(vars(cls).items()):
        if isinstance(value, staticmethod | classmethod):
            value = value.__func__
        elif isinstance(value, property):
            value = value.fget
        elif isinstance(value, functools.cached_property):
            value = value.func
        # what Python itself writes into a class does not change what it computes
        if isinstance(value, types.FunctionType) or not (
            name.startswith("__") or name == "_abc_impl" or hasattr(value, "__get__")
        ):
            yield name.encode()
            yield from inside(value, f"{cls.__name__}.{name}")


def _of_function(
    function: types.FunctionType, where: str, home: str, inside: Any
) -> Iterator[bytes]:
    """A function's code and what it uses from around it; of a library's function its name."""
    yield f"function {function.__module__}.{function.__qualname__}".encode()
    if _top(function.__module__) != home and "<" not in function.__qualname__:
        return
    yield from _of_code(function.__code__)
    yield from inside((function.__defaults__, function.__kwdefaults__), where)
    for name, value in sorted(around(function).items()):
        yield name.encode()
        yield from inside(value, f"{name} in {where}")


def around(function: types.FunctionType) -> dict[str, Any]:
    """Return what a function, and the functions and comprehensions in it, use from around it, by
    name.
    """
    names = set(_globals_in(function.__code__))
    used = {name: value for name, value in function.__globals__.items() if name in names}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # it has no value yet
            used[name] = cell.cell_contents
    return used


def _globals_in(code: types.CodeType) -> Iterator[str]:
    """Names of globals that code uses, and the functions and comprehensions in it too."""
    yield from (
        step.argval
        for step in dis.get_instructions(code)
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    )
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _globals_in(constant)


def _of_code(code: types.CodeType) -> Iterator[bytes]:
    yield code.co_code
    yield repr(code.co_names).encode()
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _of_code(constant)
        else:
            yield _of_constant(constant).encode()


def _of_constant(constant: Any) -> str:
    """Text of a constant; that of a set of words is in another order in each process."""
    if isinstance(constant, frozenset):
        return f"set {sorted(map(_of_constant, constant))}"
    return (
        f"tuple {[*map(_of_constant, constant)]}" if isinstance(constant, tuple) else repr(constant)
    )
