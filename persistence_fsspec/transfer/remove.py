"""Deleting many objects: what can go goes, and what cannot is told."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable

from persistence_fsspec.errors import FolderNotEmptyError, ObjectNotFoundError, PersistenceError
from persistence_fsspec.policy import Policy
from persistence_fsspec.store import Store
from persistence_fsspec.transfer.engine import in_threads
from persistence_fsspec.transfer.report import FileOutcome, TransferReport


def delete_files(store: Store, keys: Iterable[str], policy: Policy, *, url: str) -> None:
    """Delete objects one by one, several at once.

    Args:
        store: Where they lie.
        keys: Of files; one that is already gone counts as deleted.
        policy: How many at once.
        url: For the message.

    Raises:
        TransferError: Some could not be deleted. The others are.
    """

    def delete(key: str) -> FileOutcome | None:
        try:
            store.delete(key)
        except ObjectNotFoundError:
            return None
        except PersistenceError as exc:
            return FileOutcome(key=key, source=store.url(key), target="", status="failed", error=exc)
        return None

    outcomes = in_threads(delete, keys, policy.concurrency, threading.Event())
    failed = tuple(outcome for outcome in outcomes if outcome is not None)
    TransferReport(operation="delete", source=url, target=url, files=failed).raise_for_failures()


def delete_tree(store: Store, key: str, policy: Policy) -> None:
    """Delete everything below a folder, and the folder.

    Raises:
        TransferError: Some files could not be deleted. The others are.
    """
    with contextlib.suppress(ObjectNotFoundError):
        delete_files(store, (entry.key for entry in store.find(key)), policy, url=store.url(key))
    delete_folders(store, key)


def delete_folders(store: Store, key: str) -> None:
    """Delete the empty folders at and below a key; one that somebody has filled meanwhile stays."""
    if not store.capabilities.folders:
        return
    with contextlib.suppress(ObjectNotFoundError, FolderNotEmptyError):
        for entry in list(store.children(key)):
            if entry.is_folder:
                delete_folders(store, entry.key)
        store.delete_folder(key)
