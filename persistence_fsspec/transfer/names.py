"""Names of a tree: which are one at the target, and where they really lie."""

from __future__ import annotations

import os
import unicodedata

from persistence_fsspec.errors import InvalidNameError
from persistence_fsspec.store import Store
from persistence_fsspec.stores.local_files import path_of
from persistence_fsspec.transfer.index import Names


class TreeNames:
    """The names that a tree takes at its target; none may take another's.

    Args:
        target: Where to.
    """

    def __init__(self, target: Store) -> None:
        self._flat, self._sensitive = target.capabilities.flat, target.capabilities.case_sensitive
        self._taken = Names()

    def claim(self, name: str) -> None:
        """Take a name.

        Raises:
            InvalidNameError: It cannot stand there, or is that of another file.
        """
        parts = name.split("/")
        if not self._flat and "" in parts:
            raise InvalidNameError(f"{name!r} has an empty part, which a folder cannot hold")
        if {".", ".."} & set(parts):
            raise InvalidNameError(f"{name!r} has a part that would leave its folder")
        if self._sensitive:
            return
        other = self._taken.claim(_folded(name), name)
        if other != name:
            raise InvalidNameError(f"{name!r} and {other!r} are the same name at the target")


def folded(store: Store, name: str) -> str:
    """What a store takes a name for: the same for all spellings that are one file there."""
    return name if store.capabilities.case_sensitive else _folded(name)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def real_url(store: Store, key: str) -> str:
    """URL of a key, without a slash at the end; on this machine through all links, which may lead from one tree into the other."""
    if store.capabilities.driver == "local":
        key = os.path.realpath(path_of(key)).lstrip("/") if os.name != "nt" else key
    return store.url(key).rstrip("/")
