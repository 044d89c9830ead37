"""What the command refuses before anything is touched: deleting what a person lives in, and moving data to where it dies."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from persistence_fsspec.errors import InvalidNameError, InvalidOptionError
from persistence_fsspec.location import is_chain, is_url, local_path, parse
from persistence_fsspec.persistence import FSSpecPersistence
from persistence_fsspec.redaction import redact

_LOCAL: Final = frozenset({"file", "local", "arrow_local"})
_MEMORY: Final = "memory"
_KEPT: Final = "the root of a store, the home folder and the working folder are never deleted"


def _last_link(url: str) -> str:
    """The protocol of what lies behind all links of a chain; a plain path is a file."""
    link = url.rpartition("::")[2]
    protocol, colon, _ = link.partition(":")
    return protocol.lower() if colon else "file"


def refuse_local_chain(url: str, options: Mapping[str, Any], *, operation: str) -> None:
    """Refuse to delete by a chain that ends on this machine: what its names mean is up to each link, and may be the home folder.

    Args:
        url: Of a command, from `address`.
        options: By protocol, as given with ``-o``.
        operation: For the error.

    Raises:
        InvalidNameError: It is one.
    """
    protocol = url.partition("::")[0].partition("://")[0].lower()
    given = options.get(protocol, {})
    told = given.get("target_protocol") if isinstance(given, Mapping) else None
    if (is_chain(url) and _last_link(url) in _LOCAL) or told in _LOCAL:
        raise InvalidNameError(
            "folders are not deleted through a chain that ends on this machine",
            operation=operation,
            url=redact(url),
            hint="Name the local path itself, without ::.",
        )


def refuse_root(persistence: FSSpecPersistence, url: str, *, operation: str = "delete") -> None:
    """A slip of the finger must not take everything: `delete` refuses roots, this also what a person lives in.

    Raises:
        InvalidNameError: It is one of these, or the home folder is not known.
    """
    store, key = persistence.store_and_key(url)
    kept = not key
    if store.url("").startswith("file:"):
        place = os.path.realpath(local_path(key))
        kept = any(
            f"{os.path.realpath(own)}{os.sep}".startswith(f"{place.rstrip(os.sep)}{os.sep}") for own in (Path.home(), Path.cwd())
        )
        kept = kept and not local_path(key).is_symlink()
    if kept:
        raise InvalidNameError(_KEPT, operation=operation, url=store.url(key))


def refuse_home(persistence: FSSpecPersistence, url: str, *, operation: str) -> None:
    """Refuse to delete what is not at the source in the home folder, or above it; in the working folder it may be meant.

    Raises:
        InvalidNameError: It is one of these, or the home folder is not known.
    """
    store, key = persistence.store_and_key(url)
    if not store.url("").startswith("file:"):
        return
    place = os.path.realpath(local_path(key))
    if f"{os.path.realpath(Path.home())}{os.sep}".startswith(f"{place.rstrip(os.sep)}{os.sep}"):
        raise InvalidNameError(
            "in the home folder, and above it, nothing is deleted for not being at the source",
            operation=operation,
            url=store.url(key),
            hint="Without --delete it is copied.",
        )


def refuse_memory(target: str, *, source: str = "") -> None:
    """Refuse to put into memory what is gone when the command ends.

    Args:
        target: Where to.
        source: Where from; copying from memory to memory loses nothing.

    Raises:
        InvalidOptionError: The data would be lost.
    """
    if not is_url(target) or _last_link(target) != _MEMORY:
        return
    if is_url(source) and _last_link(source) == _MEMORY:
        return
    raise InvalidOptionError(
        "memory:// ends with this command, and what is put there is lost",
        url=str(parse(target)),
        hint="Name a file or another store.",
    )
