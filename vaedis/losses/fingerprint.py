"""Fingerprints of objects: losses of one's own are the same only if all that they hold is."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import functools
import hashlib
import logging
import numbers
import os
import sys
import types
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vaedis.losses.reads import around, closed_over, code_parts, names_read

# types whose text is their value
_TEXT = (
    *(str, bytes, complex, type(None), range, slice, enum.Enum, Path, types.EllipsisType),
    *(datetime.date, datetime.timedelta),
)
_PLAIN = (*_TEXT, torch.dtype, torch.device)
# types of which only the name counts: modules, and what is written in C
_NAMED = (
    *(types.ModuleType, types.BuiltinFunctionType, types.BuiltinMethodType, np.ufunc),
    *(types.GetSetDescriptorType, types.MemberDescriptorType, types.WrapperDescriptorType),
    *(types.MethodDescriptorType, types.ClassMethodDescriptorType, logging.Logger),
)
# modules whose numbers nobody changes
_CONSTANT_MODULES = ("math", "numpy", "os", "sys", "torch", "torch.nn.functional")


def fingerprint(thing: Any, name: str | None = None) -> str:
    """Return 16 hexadecimal digits that follow from an object's class and all that it holds.

    Classes and functions count with their code in the packages of `_homes`, else by their name.
    """
    digest = hashlib.sha256()
    for part in _Walk(_homes(thing)).parts(thing, name or type(thing).__name__):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:16]


class _Walk:
    """Goes through an object and all that it holds; the code of packages `homes` counts."""

    def __init__(self, homes: frozenset[str]):
        self.homes = homes
        self.open: set[int] = set()
        # functions, classes and objects, each with its number; kept, so that no other gets their id
        self.numbered: dict[int, tuple[int, Any]] = {}

    def parts(self, value: Any, where: str) -> Iterator[bytes]:
        """Yield bytes of a value, called `where`, and of all that it holds."""
        if id(value) in self.open:
            yield b"itself"
            return
        self.open.add(id(value))
        try:
            yield from self._parts(value, where)
        finally:
            self.open.discard(id(value))

    def _alone(self, value: Any, where: str) -> bytes:
        """Return the bytes of a value, whatever was numbered before."""
        walk = _Walk(self.homes)
        walk.open = self.open
        return b"".join(walk.parts(value, where))

    def parts_if_told(self, value: Any, where: str) -> list[bytes]:
        """Return bytes of a value, none if it cannot be told."""
        before = dict(self.numbered)
        try:
            return list(self.parts(value, where))
        except ValueError:
            self.numbered = before
            return []

    def _parts(self, value: Any, where: str) -> Iterator[bytes]:
        leaf = _leaf(value)
        if leaf:
            yield from leaf
        elif isinstance(value, list | tuple | deque):
            yield f"list {len(value)}".encode()
            for k, item in enumerate(value):
                yield from self.parts(item, f"{where}[{k}]")
        elif isinstance(value, set | frozenset):
            yield f"set {len(value)}".encode()
            # in an order that does not depend on the process: each as if it were alone
            yield from sorted(self._alone(item, f"a member of {where}") for item in value)
        elif isinstance(value, Mapping):
            yield f"mapping {len(value)}".encode()
            for key, item in value.items():
                yield from self.parts(key, f"a key of {where}")
                yield from self.parts(item, f"{where}[{key!r}]")
        elif isinstance(value, types.MethodType):
            yield from self.parts((value.__func__, value.__self__), where)
        elif isinstance(value, functools.partial | functools.partialmethod):
            yield from self.parts((value.func, value.args, value.keywords), where)
        elif isinstance(value, type | types.FunctionType) or _is_its_attributes(value, self.homes):
            yield from self._once(value, where)
        elif hasattr(value, "__wrapped__"):  # a function with a cache
            yield from self.parts(value.__wrapped__, where)
        else:
            raise ValueError(
                f"{where} is a {type(value).__name__}, so it cannot be told whether two such "
                "losses are the same; let a loss hold numbers, text, tensors and modules only, "
                "and have no __slots__."
            )

    def _once(self, value: Any, where: str) -> Iterator[bytes]:
        """Yield bytes of a class, function or object, or the number that it was given before."""
        if id(value) in self.numbered:
            yield f"again {self.numbered[id(value)][0]}".encode()
            return
        self.numbered[id(value)] = (len(self.numbered), value)
        if isinstance(value, type):
            yield from self._class(value)
        elif isinstance(value, types.FunctionType):
            yield from self._function(value, where)
        else:
            yield from self.parts(type(value), where)
            for name, item in sorted(_attributes(value).items()):
                yield name.encode()
                yield from self.parts(item, f"{where}.{name}")

    def _class(self, cls: type) -> Iterator[bytes]:
        """Yield bytes of a class's name and, at home, of its bases and its body."""
        # of the package's losses the module that exports them
        own = cls.__module__.startswith("vaedis.losses.")
        yield f"class {'vaedis.losses' if own else _module(cls)}.{cls.__qualname__}".encode()
        if _package(cls) not in self.homes - {"vaedis"}:
            return
        yield from self.parts(cls.__bases__, f"a base of {cls.__name__}")
        yield from self.parts(type(cls), f"the class of {cls.__name__}")
        for name, value in sorted(vars(cls).items()):
            value = _bare(value)
            # what Python itself writes into a class does not change what it computes
            is_machinery = name.startswith("__") or name == "_abc_impl"
            is_inherited = value is _bare(getattr(cls.__base__, name, None))
            if isinstance(value, types.FunctionType) and not is_inherited:
                yield name.encode()
                yield from self.parts(value, f"{cls.__name__}.{name}")
            elif not is_machinery and not is_inherited:
                yield name.encode()
                yield from self.parts_if_told(value, f"{cls.__name__}.{name}")

    def _function(self, function: types.FunctionType, where: str) -> Iterator[bytes]:
        """Yield bytes of a function's name and, at home, of its code and of what it uses."""
        yield f"function {_module(function)}.{function.__qualname__}".encode()
        if _package(function) not in self.homes and "<" not in function.__qualname__:
            return
        yield from self.parts((function.__defaults__, function.__kwdefaults__), where)
        for name, item in sorted(vars(function).items()):
            if not name.startswith("_"):  # what decorators note
                yield name.encode()
                yield from self.parts_if_told(item, f"{where}.{name}")
        writer = _as_imported(function.__globals__.get("__name__", "")).partition(".")[0]
        # a function of ours in a decorator of another package has that one's code and our name
        if hasattr(function, "__wrapped__") and writer not in self.homes:
            for item in closed_over(function).values():
                yield from self.parts_if_told(item, where)
            return
        yield from code_parts(function.__code__)
        names = names_read(function.__code__)
        for name, value in sorted(around(function).items()):
            yield name.encode()
            yield from self.parts(value, f"{name} in {where}")
            if isinstance(value, types.ModuleType) and value.__name__ not in _CONSTANT_MODULES:
                yield from self._read_in(value, names)

    def _read_in(self, module: types.ModuleType, names: list[str]) -> Iterator[bytes]:
        """Yield bytes of what can be told of a module's values that have one of `names`."""
        for name in names:
            value = vars(module).get(name)
            yield from self.parts_if_told(value, name)
            inside = f"{module.__name__}."
            if isinstance(value, types.ModuleType) and value.__name__.startswith(inside):
                yield from self._read_in(value, names)


def _homes(thing: Any) -> frozenset[str]:
    """Return the packages whose code counts."""
    if isinstance(thing, functools.partial):
        return _homes(thing.func)
    if isinstance(thing, types.MethodType):
        return _homes(thing.__self__)
    homes = {_package(thing if isinstance(thing, types.FunctionType | type) else type(thing))}
    if isinstance(thing, nn.Module):
        homes |= {_package(type(module)) for module in thing.modules()}
    return frozenset(homes - {"torch"})


def _module(thing: Any) -> str:
    """Return the module of a class or function."""
    return _as_imported(str(thing.__module__ or ""))


def _as_imported(name: str) -> str:
    """Return the name of a module, and of a script that runs the one that it is imported by."""
    if name not in ("__main__", "__mp_main__"):
        return name
    main = sys.modules.get(name)
    if getattr(main, "__spec__", None) is not None:
        return str(main.__spec__.name)  # type: ignore[union-attr]
    file = getattr(main, "__file__", None)
    return Path(file).stem if file else name


def _package(thing: Any) -> str:
    return _module(thing).partition(".")[0]


def _leaf(value: Any) -> list[bytes]:
    """Return the bytes of a value that holds no other; none for any other value."""
    if isinstance(value, Tensor):
        dense = value.detach().cpu().to_dense() if value.layout != torch.strided else value
        flat = dense.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
        content = flat.view(torch.uint8).numpy().tobytes()
        return [f"tensor {value.dtype} {tuple(value.shape)}".encode(), content]
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return [f"array {value.dtype.str} {value.shape}".encode(), value.tobytes()]
    text = ""
    if value is os.environ:
        text = "the environment"
    elif isinstance(value, numbers.Integral | np.bool_):
        text = f"number {int(value)}"
    elif isinstance(value, numbers.Real):
        number = float(value)
        # 1 and 1.0 are the same number
        text = f"number {int(number) if number.is_integer() else number!r}"
    elif isinstance(value, _PLAIN):
        text = f"{type(value).__qualname__} {value!r}"
    elif isinstance(value, _NAMED):
        text = f"named {getattr(value, '__name__', None) or getattr(value, 'name', '')}"
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
        # hooks have numbers that count those of the whole program
        for name, item in attributes.items():
            if "_hooks" in name and isinstance(item, Mapping):
                attributes[name] = list(item.values())
        attributes["the weights of the module"] = dict(value.state_dict())
    return attributes


def _bare(value: Any) -> Any:
    """Return the function in an entry of a class, without torch's wrapper of a step."""
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    elif isinstance(value, property):
        value = value.fget
    elif isinstance(value, functools.cached_property):
        value = value.func
    return value.__wrapped__ if hasattr(value, "hooked") else value
