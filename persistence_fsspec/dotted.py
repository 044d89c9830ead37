"""Classes and functions by their dotted names."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def dotted(thing: Any) -> str:
    """The name under which a class or function is found; a string is one already."""
    return thing if isinstance(thing, str) else f"{thing.__module__}.{thing.__qualname__}"


def load(thing: Any) -> Any:
    """What has this dotted name, imported now; anything but a string is itself."""
    if not isinstance(thing, str):
        return thing
    module, _, name = thing.rpartition(".")
    return getattr(import_module(module), name)
