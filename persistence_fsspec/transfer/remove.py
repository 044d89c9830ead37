"""Deleting many objects: what can go goes, and what cannot is told. Links are deleted, never what they lead to."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import replace
from typing import Final

from persistence_fsspec.errors import ConflictError, FolderNotEmptyError, ObjectNotFoundError, PersistenceError
from persistence_fsspec.policy import Policy
from persistence_fsspec.store import ObjectInfo, Store
from persistence_fsspec.stores.partial import KEPT, noticing
from persistence_fsspec.transfer.index import Index
from persistence_fsspec.transfer.pool import in_threads
from persistence_fsspec.transfer.report import FileOutcome, TransferReport

_AT_ONCE: Final = 16


def delete_tree(store: Store, key: str, policy: Policy) -> int:
    """Delete everything below a folder, and the folder.

    Returns:
        How many objects and links are gone.

    Raises:
        TransferError: Some files could not be deleted. The others are.
    """
    gone = 0
    hidden: list[str] = []
    with contextlib.suppress(ObjectNotFoundError), noticing(lambda left: hidden.append(left.key), kept=hidden.append):
        gone = _delete(store, entries(store, key), policy, url=store.url(key))
    _delete_hidden(store, hidden, policy)
    delete_folders(store, key)
    return gone


def _delete_hidden(store: Store, keys: list[str], policy: Policy) -> None:
    """Snapshots, and what unfinished writes left, where folders do not take them along."""
    if store.capabilities.flat:
        _delete(store, (ObjectInfo(key=key) for key in keys), policy, url=store.url(""))
        return
    for folder in keys:
        if folder.endswith(KEPT):
            with contextlib.suppress(ObjectNotFoundError):
                _delete(store, entries(store, folder), policy, url=store.url(folder))
            delete_folders(store, folder)


def delete_copied(
    store: Store,
    info: ObjectInfo,
    moved: Iterable[FileOutcome],
    policy: Policy,
    *,
    links: bool = True,
    stay: Container[str] = (),
) -> None:
    """Delete what was copied elsewhere, unless it has changed since.

    Args:
        store: Where the sources lie.
        info: The file or folder they were copied from.
        moved: What became of each, with what it was then.
        policy: How many at once.
        links: Everything below *info* was copied, so links to folders go, too.
        stay: Keys of links that do not.

    Raises:
        TransferError: Some are no longer what was copied, or could not be deleted. They are still there.
    """
    key, copied = info.key, Index()
    for one in moved:
        if one.info is not None:
            copied.add(one.key, one.info)
    # What a link leads to was copied as well, and is not the source's: only what is found without following goes.
    found: Iterable[ObjectInfo] = entries(store, key) if info.is_folder and not info.link else [info]
    going = (entry for entry in found if entry.key in copied or (links and entry.link and entry.key not in stay))
    wanted = (copied.take(entry.key) or entry for entry in going)
    _delete(store, wanted, policy, url=store.url(key), changed=_refuse_changed)
    if info.is_folder:
        delete_folders(store, key)


def delete_one(store: Store, info: ObjectInfo) -> FileOutcome:
    """Delete one file of a target that its source has not, unless it has changed since it was listed."""
    url = store.url(info.key)
    outcome = FileOutcome(key=info.key, source="", target=url, status="deleted", reason="not at the source", attempts=1)
    try:
        _refuse_changed(store, info)
        store.delete(info.key)
    except ObjectNotFoundError:
        return outcome
    except PersistenceError as exc:
        return replace(outcome, source=url, status="failed", error=exc)
    return outcome


def _refuse_changed(store: Store, before: ObjectInfo) -> None:
    """The last moment to notice that it is not what was looked at."""
    if not before.link and not before.same_content(store.info(before.key)):
        raise ConflictError("has changed since, and stays")


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


def delete_emptied(store: Store, root: str, keys: Iterable[str], *, keep: Container[str]) -> None:
    """Delete the folders that were left empty by the deletion of files.

    Args:
        store: Where.
        root: Stays.
        keys: Of the files that are gone.
        keep: Folders that stay although they are empty.
    """
    if not store.capabilities.folders:
        return
    tried: set[str] = set()
    for folder in sorted({key.rpartition("/")[0] for key in keys}, key=len, reverse=True):
        while folder not in tried and folder not in keep and folder.startswith(f"{root}/" if root else "") and folder:
            tried.add(folder)
            try:
                store.delete_folder(folder)
            except PersistenceError:
                break
            folder = folder.rpartition("/")[0]


def _delete(
    store: Store,
    found: Iterable[ObjectInfo],
    policy: Policy,
    *,
    url: str,
    changed: Callable[[Store, ObjectInfo], None] = lambda _store, _info: None,
) -> int:
    def delete(entry: ObjectInfo) -> FileOutcome | None:
        try:
            changed(store, entry)
            store.delete(entry.key)
        except ObjectNotFoundError:
            return None
        except PersistenceError as exc:
            return FileOutcome(key=entry.key, source=store.url(entry.key), target="", status="failed", error=exc)
        return None

    gone, failed = 0, []
    for outcome in in_threads(delete, found, min(policy.concurrency, _AT_ONCE), threading.Event()):
        if outcome is None:
            gone += 1
        else:
            failed.append(outcome)
    TransferReport(operation="delete", source=url, target=url, files=tuple(failed)).raise_for_failures()
    return gone
