"""Appending where objects can only be replaced: read, extend, and replace on condition that nobody else wrote meanwhile.

Who comes second is told so by the store, reads again what stands there by then, and extends that: of many writers
at once all texts are kept, each whole.
"""

from __future__ import annotations

import random
import time
from typing import Final

from persistence_fsspec.errors import (
    ChangedDuringReadError,
    ConflictError,
    ObjectExistsError,
    ObjectNotFoundError,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.store import ObjectInfo, Store

_LIMIT: Final = 64 * 1024 * 1024
_ROUNDS: Final = 50
_PAUSE_SECONDS: Final = 0.02
_LONGEST_PAUSE_SECONDS: Final = 0.5


def append(store: Store, key: str, data: bytes) -> None:
    """Add bytes at the end of an object, or begin it. Its metadata stay, but for the time it was modified.

    Raises:
        UnsupportedPersistenceOp: The object is too large to be written again for every line.
        ConflictError: Others kept coming first.
    """
    pause = _PAUSE_SECONDS
    for number in range(1, _ROUNDS + 1):
        try:
            _extend(store, key, data)
        except (ChangedDuringReadError, ConflictError, ObjectExistsError) as exc:
            if number == _ROUNDS:
                raise ConflictError(f"others wrote to the object {number} times in a row") from exc
        else:
            return
        time.sleep(random.uniform(0, pause))  # noqa: S311 - so that those who met do not meet again
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


def _extend(store: Store, key: str, data: bytes) -> None:
    old = _found(store, key)
    before, kept = b"", {}
    if old is not None:
        _require_replaceable(old)
        before = b"".join(store.stream(key, pin=old))
        kept = {name: text for name, text in old.metadata.items() if name != "mtime"}
    writer = store.writer(key, overwrite=old is not None, if_match=old.version if old else None, metadata=kept or None)
    try:
        writer.write(before + data)
        writer.commit()
    finally:
        writer.abort()


def _found(store: Store, key: str) -> ObjectInfo | None:
    """The object; names with slashes may go on below it, which makes no object of it."""
    try:
        found = store.info(key)
    except ObjectNotFoundError:
        return None
    return None if found.is_folder else found


def _require_replaceable(old: ObjectInfo) -> None:
    if (old.size or 0) > _LIMIT:
        raise UnsupportedPersistenceOp(f"the object has {old.size} bytes, and this store appends by rewriting up to {_LIMIT}")
    if old.version is None:
        raise UnsupportedPersistenceOp("the store names no version of the object, so another writer would not be noticed")
