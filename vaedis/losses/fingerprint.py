"""Fingerprints of objects: losses of one's own are the same only if all that they hold is."""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import inspect
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
_TEXT = (str, bytes, complex, type(None), range, slice, enum.Enum, Path, types.EllipsisType)
_PLAIN = (*_TEXT, torch.dtype, torch.device)
# modules whose numbers nobody changes
_CONSTANT_MODULES = ("math", "numpy", "sys", "torch", "torch.nn.functional")
# how many attributes of one another are followed from a module
_DEPTH = 5
_BUILT_IN = (types.BuiltinFunctionType, types.BuiltinMethodType, np.ufunc)
# what Python makes of a class with __slots__ or written in C
_DESCRIPTORS = (
    *(types.GetSetDescriptorType, types.MemberDescriptorType, types.WrapperDescriptorType),
    *(types.MethodDescriptorType, types.ClassMethodDescriptorType),
)


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
        elif isinstance(value, set | frozenset):  # of what its text does not tell
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
        for name, value in sorted(_body(cls).items()):
            if isinstance(value, staticmethod | classmethod):
                value = value.__func__
            elif isinstance(value, property):
                value = value.fget
            elif isinstance(value, functools.cached_property):
                value = value.func
            # what Python itself writes into a class does not change what it computes
            is_machinery = name.startswith("__") or name == "_abc_impl"
            if isinstance(value, types.FunctionType) or not is_machinery:
                yield name.encode()
                path = f"{cls.__name__}.{name}"
                # of other packages' descriptors what can be told
                is_other = hasattr(value, "__get__") and _package(type(value)) not in self.homes
                if is_other and not isinstance(value, types.FunctionType):
                    yield from self.parts_if_told(value, path)
                else:
                    yield from self.parts(value, path)

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
            yield f"decorated by {writer}.{function.__code__.co_qualname}".encode()
            yield from self.parts(closed_over(function), where)
            return
        yield from code_parts(function.__code__)
        names = names_read(function.__code__)
        used = around(function)
        for name, value in sorted(used.items()):
            yield name.encode()
            yield from self.parts(_of_environment(value, names), f"{name} in {where}")
        # of a class whose code counts all counts already
        others = {*self.homes, "builtins", "numpy", "torch", "vaedis"}
        visited: dict[int, Any] = {}
        for name, root in used.items():
            is_other_class = isinstance(root, type) and _package(root) not in others
            if isinstance(root, types.ModuleType) or is_other_class:
                yield from self._reads(root, (name,), names, visited)

    def _reads(
        self, value: Any, path: tuple[str, ...], names: list[str], visited: dict[int, Any]
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
        if value is os:
            yield from self.parts(_of_environment(os.environ, names), "os.environ")
            return
        for name in names:
            try:
                item = getattr(value, name)
            except Exception:  # it has none, or a property fails
                continue
            yield ".".join((*path, name)).encode()
            # of what cannot be told, only what is read counts
            yield from self.parts_if_told(item, name)
            yield from self._reads(item, (*path, name), names, visited)


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
    if isinstance(value, numbers.Integral | np.bool_):
        text = f"number {int(value)}"
    elif isinstance(value, numbers.Real):
        number = float(value)
        # 1 and 1.0 are the same number
        text = f"number {int(number) if number.is_integer() else number!r}"
    elif isinstance(value, _PLAIN):
        text = f"{type(value).__qualname__} {value!r}"
    elif isinstance(value, set | frozenset) and all(map(_is_its_text, value)):
        text = f"set {sorted(map(repr, value))}"
    elif isinstance(value, types.ModuleType):
        text = f"module {value.__name__}"
    elif isinstance(value, _BUILT_IN):
        text = f"function {value.__name__}"
    elif isinstance(value, _DESCRIPTORS):
        text = f"descriptor {value.__name__}"
    elif isinstance(value, logging.Logger):
        text = f"logger {value.name}"
    return [text.encode()] if text else []


def _is_its_text(value: Any) -> bool:
    """Whether the text of a member of a set, which is no tensor or object, is all its state."""
    holds_others = (Tensor, tuple, frozenset, type, types.FunctionType, nn.Module)
    cls: Any = type(value)
    return not isinstance(value, holds_others) and cls.__repr__ is not object.__repr__


def _is_its_attributes(value: Any, homes: frozenset[str]) -> bool:
    """Whether an object's attributes are all its state."""
    cls = type(value)
    if not hasattr(value, "__dict__") or any(vars(base).get("__slots__") for base in cls.__mro__):
        return False
    known = isinstance(value, nn.Module) or dataclasses.is_dataclass(value)
    return known or _is_mode(value) or _package(cls) in homes or hasattr(cls, "fingerprint")


def _is_mode(value: Any) -> bool:
    """Whether it is one of torch's contexts that also decorate functions, such as no_grad()."""
    return _package(type(value)) == "torch" and hasattr(value, "__enter__")


def _attributes(value: Any) -> dict[str, Any]:
    attributes = dict(vars(value))
    if isinstance(value, nn.Module):
        # hooks have numbers that count those of the whole program
        for name, item in attributes.items():
            if "_hooks" in name and isinstance(item, Mapping):
                attributes[name] = list(item.values())
        attributes["the weights of the module"] = dict(value.state_dict())
    if _is_mode(value):  # but what they will restore, which follows from where they are entered
        attributes = {
            name: item
            for name, item in attributes.items()
            if _leaf(item) and not name.startswith("prev")
        }
    return attributes


def _body(cls: type) -> dict[str, Any]:
    """Return what a class's body defines, without torch's wrappers of an optimizer's step."""
    body = dict(vars(cls))
    step = body.get("step")
    if step is not None and hasattr(step, "hooked"):
        body["step"] = inspect.unwrap(step, stop=lambda one: not hasattr(one, "hooked"))
        inherited = getattr(cls.__base__, "step", None)
        if inherited is not None and inspect.unwrap(step) is inspect.unwrap(inherited):
            del body["step"]
    return body


def _of_environment(value: Any, names: list[str]) -> Any:
    """Return a value, and of the environment the variables that are named only."""
    if value is os.environ:
        return {name: value[name] for name in names if name in value}
    return value
