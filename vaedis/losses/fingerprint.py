"""Fingerprints of objects: losses of one's own are the same only if all that they hold is."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import functools
import hashlib
import inspect
import numbers
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vaedis.losses.reads import globals_read, imports, names_read

# types whose text is their value
_TEXT = (str, bytes, complex, type(None), range, slice, enum.Enum, Path, types.EllipsisType)
_PLAIN = (*_TEXT, torch.dtype, torch.device)
# modules whose numbers nobody changes
_CONSTANT_MODULES = ("math", "numpy", "torch", "torch.nn.functional")
# how many attributes of one another are followed from a module
_DEPTH = 5
_BUILT_IN = (types.BuiltinFunctionType, types.BuiltinMethodType, np.ufunc)


def fingerprint(thing: Any, name: str | None = None) -> str:
    """Return 16 hexadecimal digits that follow from an object's class and all that it holds.

    Numbers, text, arrays, tensors and networks count with their values, also where a function reads
    them of a module (`settings.weight`), which it may import itself. Classes and functions count
    with their code if they come from the package of the object's class, of the function that it is,
    or of a layer of the module that it is, and else by their name. Messages call it `name`, or by
    its class. Raises a ValueError if the object holds something whose value cannot be told.
    """
    digest = hashlib.sha256()
    for part in _parts(thing, name or type(thing).__name__, _homes(thing), set()):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:16]


def around(function: types.FunctionType) -> dict[str, Any]:
    """Return the globals and closed-over variables that a function, and those in it, use."""
    names = globals_read(function.__code__)
    globals_used = {name: value for name, value in function.__globals__.items() if name in names}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # it has no value yet
            globals_used[name] = cell.cell_contents
    return globals_used


def _homes(thing: Any) -> frozenset[str]:
    """Return the packages whose code counts."""
    if isinstance(thing, functools.partial):
        return _homes(thing.func)
    if isinstance(thing, types.MethodType):
        return _homes(thing.__self__)
    homes = {_package(thing if isinstance(thing, types.FunctionType) else type(thing))}
    if isinstance(thing, nn.Module):
        homes |= {_package(type(module)) for module in thing.modules()}
    return frozenset(homes - {"torch"})


def _package(thing: Any) -> str:
    return (thing.__module__ or "").partition(".")[0]


def _parts(value: Any, where: str, homes: frozenset[str], parents: set[int]) -> Iterator[bytes]:
    """Yield bytes of a value, called `where`, and of all that it holds; `parents` hold it."""
    if id(value) in parents:
        yield b"itself"
        return
    parts_of = functools.partial(_parts, homes=homes, parents=parents | {id(value)})
    leaf = _leaf(value)
    if leaf:
        yield from leaf
    elif isinstance(value, list | tuple):
        yield f"list {len(value)}".encode()
        for k, item in enumerate(value):
            yield from parts_of(item, f"{where}[{k}]")
    elif isinstance(value, Mapping):
        yield f"mapping {len(value)}".encode()
        for key, item in value.items():
            yield from parts_of(key, f"a key of {where}")
            yield from parts_of(item, f"{where}[{key!r}]")
    elif isinstance(value, type):
        # of the package's losses the module that exports them
        own = value.__module__.startswith("vaedis.losses.")
        yield f"class {'vaedis.losses' if own else value.__module__}.{value.__qualname__}".encode()
        if _package(value) in homes - {"vaedis"}:
            yield from _class_parts(value, parts_of)
    elif isinstance(value, types.FunctionType):
        yield f"function {value.__module__}.{value.__qualname__}".encode()
        if _package(value) in homes or "<" in value.__qualname__:
            yield from _function_parts(value, where, parts_of)
    elif hasattr(value, "__wrapped__"):  # a function with a cache
        yield from parts_of(value.__wrapped__, where)
    elif isinstance(value, types.MethodType):
        yield from parts_of((value.__func__, value.__self__), where)
    elif isinstance(value, functools.partial):
        yield from parts_of((value.func, value.args, value.keywords), where)
    elif _is_its_attributes(value, homes):
        yield from parts_of(type(value), where)
        for name, item in sorted(_attributes(value).items()):
            yield name.encode()
            yield from parts_of(item, f"{where}.{name}")
    else:
        raise ValueError(
            f"{where} is a {type(value).__name__}, so it cannot be told whether two such losses "
            "are the same; let a loss hold numbers, text, tensors and modules only, and have no "
            "__slots__."
        )


def _leaf(value: Any) -> list[bytes]:
    """Return the bytes of a value that holds no other; none for any other value."""
    if isinstance(value, Tensor):
        flat = value.detach().cpu().contiguous().reshape(-1)
        content = flat.view(torch.uint8).numpy().tobytes()
        return [f"tensor {value.dtype} {tuple(value.shape)}".encode(), content]
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return [f"array {value.dtype.str} {value.shape}".encode(), value.tobytes()]
    text = ""
    if isinstance(value, numbers.Real):
        number = float(value)
        # 1 and 1.0 are the same number
        text = f"number {int(number) if number.is_integer() else number!r}"
    elif isinstance(value, _PLAIN):
        text = f"{type(value).__qualname__} {value!r}"
    elif isinstance(value, set | frozenset):
        text = f"set {sorted(map(repr, value))}"
    elif isinstance(value, types.ModuleType):
        text = f"module {value.__name__}"
    elif isinstance(value, _BUILT_IN):
        text = f"function {value.__name__}"
    return [text.encode()] if text else []


def _is_its_attributes(value: Any, homes: frozenset[str]) -> bool:
    """Whether an object's attributes are all its state."""
    cls = type(value)
    if not hasattr(value, "__dict__") or any(vars(base).get("__slots__") for base in cls.__mro__):
        return False
    known = isinstance(value, nn.Module) or dataclasses.is_dataclass(value)
    return known or _package(cls) in homes or hasattr(cls, "fingerprint")


def _attributes(value: Any) -> dict[str, Any]:
    attributes = dict(vars(value))
    if isinstance(value, nn.Module):
        attributes["the weights of the module"] = dict(value.state_dict())
    return attributes


def _class_parts(cls: type, parts_of: Callable[..., Iterator[bytes]]) -> Iterator[bytes]:
    """Yield bytes of a class's bases and of its own body."""
    yield from parts_of(cls.__bases__, f"a base of {cls.__name__}")
    for name, value in sorted(vars(cls).items()):
        if isinstance(value, staticmethod | classmethod):
            value = value.__func__
        elif isinstance(value, property):
            value = value.fget
        elif isinstance(value, functools.cached_property):
            value = value.func
        # what Python itself writes into a class does not change what it computes
        is_machinery = name.startswith("__") or name == "_abc_impl" or hasattr(value, "__get__")
        if isinstance(value, types.FunctionType) or not is_machinery:
            yield name.encode()
            yield from parts_of(value, f"{cls.__name__}.{name}")


def _function_parts(
    function: types.FunctionType, where: str, parts_of: Callable[..., Iterator[bytes]]
) -> Iterator[bytes]:
    """Yield bytes of a function's code and of what it uses."""
    yield from _code_parts(function.__code__)
    yield from parts_of((function.__defaults__, function.__kwdefaults__), where)
    used = around(function)
    for name, value in sorted(used.items()):
        yield name.encode()
        yield from parts_of(value, f"{name} in {where}")
    homes: frozenset[str] = parts_of.keywords["homes"]  # type: ignore[attr-defined]
    # of a class whose code counts all counts already
    others = {*homes, "builtins", "numpy", "torch", "vaedis"}
    roots = [*used.items(), *((module.__name__, module) for module in imports(function))]
    names = names_read(function.__code__)
    visited: dict[int, Any] = {}
    for name, root in roots:
        is_other_class = isinstance(root, type) and _package(root) not in others
        if isinstance(root, types.ModuleType) or is_other_class:
            yield from _read_parts(root, (name,), names, parts_of, visited)


def _read_parts(
    value: Any,
    path: tuple[str, ...],
    names: list[str],
    parts_of: Callable[..., Iterator[bytes]],
    visited: dict[int, Any],
) -> Iterator[bytes]:
    """Yield bytes of a value's attributes that have one of `names`, and of theirs."""
    if isinstance(value, types.ModuleType):
        is_constant = value.__name__ in _CONSTANT_MODULES
    else:
        is_constant = bool(_leaf(value)) or inspect.isroutine(value)
    # attributes that are made anew whenever they are read have no end
    if is_constant or id(value) in visited or len(path) > _DEPTH:
        return
    visited[id(value)] = value  # which keeps it, so that no other object gets its id
    for name in names:
        try:
            item = getattr(value, name)
        except Exception:  # it has none, or a property fails
            continue
        yield ".".join((*path, name)).encode()
        with contextlib.suppress(ValueError):  # of what cannot be told, only what is read counts
            yield from list(parts_of(item, name))
        yield from _read_parts(item, (*path, name), names, parts_of, visited)


def _code_parts(code: types.CodeType) -> Iterator[bytes]:
    yield code.co_code
    yield repr(code.co_names).encode()
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _code_parts(constant)
        else:
            yield _constant_text(constant).encode()


def _constant_text(constant: Any) -> str:
    """Return text of a constant, with sets in one order in every process."""
    if isinstance(constant, frozenset):
        return f"set {sorted(map(_constant_text, constant))}"
    if isinstance(constant, tuple):
        return f"tuple {[*map(_constant_text, constant)]}"
    return repr(constant)
