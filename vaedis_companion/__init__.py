"""The study of the paper, and its book; a client of `vaedis`, which does not know it.

``import vaedis_companion as vc`` loads each module when it is first used.
"""

from __future__ import annotations

import importlib
from types import ModuleType

__all__ = [
    "analysis",
    "book",
    "claims",
    "figures",
    "grids",
    "project",
    "published",
    "store",
    "sweep",
]


def __getattr__(name: str) -> ModuleType:
    if name not in __all__:
        raise AttributeError(f"module 'vaedis_companion' has no attribute {name!r}")
    return importlib.import_module(f"vaedis_companion.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
