"""One class for each prefix, made when it is registered."""

from __future__ import annotations

import re
from types import new_class
from typing import Any, Final

from persistence_fsspec.config import known_protocols
from persistence_fsspec.faces.statisfactory.storage import NAME, Registration, Storage

_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.\-]*")


def protocols() -> list[str]:
    """Every protocol that fsspec knows and ``urlparse`` takes for one, and ``""``, the files of this machine. None is imported."""
    return ["", *(name for name in known_protocols() if _SCHEME.fullmatch(name))]


def made(base: Any, prefix: str, registration: Registration, errors: Any = None) -> Any:
    """Make a backend, which registers itself with *base*.

    Args:
        base: The ``Backend`` of statisfactory, or ours.
        prefix: A protocol without ``://``, or ``""``.
        registration: What all of them share.
        errors: statisfactory's ``Errors``, if it is that.
    """
    members = {
        "registration": registration,
        "prefix": prefix,
        "errors": errors,
        "__module__": Storage.__module__,
        "__doc__": f"Artifacts whose path begins with {prefix}://." if prefix else "Artifacts in files of this machine.",
    }
    return new_class(NAME, (Storage, base), {"prefix": prefix}, lambda namespace: namespace.update(members))
