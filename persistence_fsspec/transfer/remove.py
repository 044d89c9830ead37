"""Deleting many objects: what can go goes, and what cannot is told. Links are deleted, never what they lead to."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Mapping

from persistence_fsspec.errors import ConflictError, FolderNotEmptyError, ObjectNotFoundError, PersistenceError
from persistence_fsspec.policy import Policy
from persistence_fsspec.store import ObjectInfo, Store
from persistence_fsspec.transfer.engine import in_threads
from persistence_fsspec.transfer.report import FileOutcome, TransferReport


def delete_tree(store: Store, key: str, policy: Policy) -> int:
    """Delete everything below a folder, and the folder.

    Returns:
        How many objects and links are gone.

    Raises:
        TransferError: Some files could not be deleted. The others are.
    """
    gone = 0
    with contextlib.suppress(ObjectNotFoundError):
        gone = _delete(store, entries(store, key), policy, url=store.url(key))
    delete_folders(store, key)
    return gone


def delete_copied(store: Store, key: str, copied: Mapping[str, ObjectInfo], policy: Policy, *, links: bool = True) -> None:
    """Delete what was copied elsewhere, unless it has changed since.

    Args:
        store: Where the sources lie.
        key: The file or folder they were copied from.
        copied: What each was when it was copied, by key.
        policy: How many at once.
        links: Everything below *key* was copied, so links to folders go, too.

    Raises:
        TransferError: Some are no longer what was copied, or could not be deleted. They are still there.
    """
    info = store.info(key)
    found: Iterable[ObjectInfo] = entries(store, key) if info.is_folder and not info.link else [info]
    wanted = (entry for entry in found if entry.key in copied or (links and entry.link))
    _delete(store, wanted, policy, url=store.url(key), copied=copied)
    if info.is_folder:
        delete_folders(store, key)


def entries(store: Store, key: str) -> Iterator[ObjectInfo]:
    """All files and links below a folder; unlike `Store.find`, links are not followed."""
    if store.capabilities.flat:
        yield from store.find(key)
        return
    for entry in list(store.children(key)):
        if entry.is_folder and not entry.link:
            yield from entries(store, entry.key)
        else:
            yield entry


def delete_folders(store: Store, key: str) -> None:
    """Delete the empty folders at and below a key; one that somebody has filled meanwhile stays."""
    with contextlib.suppress(ObjectNotFoundError, FolderNotEmptyError):
        if store.capabilities.folders:
            for entry in list(store.children(key)):
                if entry.is_folder and not entry.link:
                    delete_folders(store, entry.key)
        store.delete_folder(key)


def _delete(
    store: Store,
    found: Iterable[ObjectInfo],
    policy: Policy,
    *,
    url: str,
    copied: Mapping[str, ObjectInfo] | None = None,
) -> int:
    def delete(entry: ObjectInfo) -> FileOutcome | None:
        try:
            before = copied.get(entry.key) if copied is not None else None
            if before is not None and not before.same_content(store.info(entry.key)):
                raise ConflictError("has changed since it was copied, and stays")
            store.delete(entry.key)
        except ObjectNotFoundError:
            return None
        except PersistenceError as exc:
            return FileOutcome(key=entry.key, source=store.url(entry.key), target="", status="failed", error=exc)
        return None

    gone, failed = 0, []
    for outcome in in_threads(delete, found, policy.concurrency, threading.Event()):
        if outcome is None:
            gone += 1
        else:
            failed.append(outcome)
    TransferReport(operation="delete", source=url, target=url, files=tuple(failed)).raise_for_failures()
    return gone
