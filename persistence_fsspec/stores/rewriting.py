"""Appending where objects can only be replaced: read, extend, and replace on condition that nobody else wrote meanwhile.

Who comes second is told so by the store, reads again what stands there by then, and extends that: of many writers
at once all texts are kept, each whole. The writer itself knows its own write again when an answer was lost.
"""

from __future__ import annotations

import random
import time
from typing import Final

from persistence_fsspec.errors import (
    ChangedDuringReadError,
    ConflictError,
    IsAFolderError,
    ObjectExistsError,
    ObjectNotFoundError,
    PersistenceError,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.store import ObjectInfo, Store

_LIMIT: Final = 64 * 1024 * 1024
"""Largest object, in bytes, that is rewritten to append to it."""

_ROUNDS: Final = 50
_PAUSE_SECONDS: Final = 0.02
_LONGEST_PAUSE_SECONDS: Final = 0.5


def append(store: Store, key: str, data: bytes) -> None:
    """Add bytes at the end of an object, or begin it. Its metadata stay, but for the time it was modified.

    Raises:
        UnsupportedPersistenceOp: The object is too large to be written again for every line.
        ConflictError: Others kept coming first; or it cannot be known whether the bytes are there.
    """
    pause = _PAUSE_SECONDS
    for _ in range(_ROUNDS):
        if _extended(store, key, data):
            return
        time.sleep(random.uniform(0, pause))  # noqa: S311 - so that those who met do not meet again
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
    raise ConflictError(f"others wrote to the object {_ROUNDS} times in a row")


def _extended(store: Store, key: str, data: bytes) -> bool:
    """One round; False when somebody else was first."""
    found = _found(store, key)
    folder = found is not None and found.is_folder
    old = None if folder else found  # a name may be both, where names only go on below it
    try:
        before = b"".join(store.stream(key, pin=old)) if old else b""
    except (ChangedDuringReadError, ObjectNotFoundError):
        return False
    kept = {name: text for name, text in old.metadata.items() if name != "mtime"} if old else {}
    writer = store.writer(key, overwrite=old is not None, if_match=old.version if old else None, metadata=kept or None)
    try:
        writer.write(before + data)
        writer.commit()
    except (ConflictError, ObjectExistsError, ObjectNotFoundError) as exc:
        if isinstance(exc, ObjectNotFoundError) and old is None:
            raise  # there is no such bucket
        if folder and isinstance(exc, ObjectExistsError):
            raise IsAFolderError("is a folder, which the store keeps an object for") from exc
        _require_absent(store, key, len(before), data, exc)
        return False
    finally:
        writer.abort()
    return True


def _found(store: Store, key: str) -> ObjectInfo | None:
    try:
        old = store.info(key)
    except ObjectNotFoundError:
        return None
    if old.is_folder:
        return old
    if (old.size or 0) > _LIMIT:
        raise UnsupportedPersistenceOp(f"the object has {old.size} bytes, and this store appends by rewriting up to {_LIMIT}")
    if old.version is None:
        raise UnsupportedPersistenceOp("the store names no version of the object, so another writer would not be noticed")
    return old


def _require_absent(store: Store, key: str, start: int, data: bytes, failure: PersistenceError) -> None:
    """Refuse to go on when an earlier attempt of ours may have been done, and somebody else have written behind it."""
    if not failure.in_doubt:
        return
    try:
        now = store.info(key)
        there = b"" if (now.size or 0) < start + len(data) else store.read(key, start, start + len(data), pin=now)
    except ObjectNotFoundError:
        return
    if there == data:
        raise ConflictError(
            "an attempt to append got no answer, and others have written since: it cannot be known whether the same bytes that "
            "stand there are ours",
            hint="Look at the object before appending again.",
        ) from failure
