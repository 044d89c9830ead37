"""Old versions that are kept: by the store itself where it was told to keep them, else as copies in a hidden folder.

A copy lies beside its object, at ``.~persist-kept/<hash of its name>/<time>-<random>``, and its last name is its version
id. It is independent of the object: it stays when the object is replaced, renamed or deleted, and goes when a folder around
it is deleted with everything in it. Listings never show it.

A store that keeps versions need not copy anything: the version that is there stays when it is replaced. So two snapshots of
an object that did not change are two copies, but one version.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timezone
from typing import Final

from persistence_fsspec.attempt import progressed
from persistence_fsspec.errors import (
    ChangedDuringReadError,
    IsAFolderError,
    NotAFolderError,
    ObjectNotFoundError,
    PersistenceError,
    TruncatedError,
)
from persistence_fsspec.store import ObjectInfo, Writer
from persistence_fsspec.stores.attributes import attributes_of
from persistence_fsspec.stores.driver import Driver
from persistence_fsspec.stores.partial import kept_folder, partial_key
from persistence_fsspec.stores.writers import ObjectWriter, StagedWriter

_TIME: Final = "%Y%m%dT%H%M%S.%fZ"
_ID: Final = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{6}Z-[0-9a-f]{8}")
_ONE_REQUEST: Final = 256 * 1024 * 1024
"""Bytes that S3 (5 GiB), Google (any) and Azure copy by one request, of one version, whatever is written meanwhile."""
_LONG_AGO: Final = datetime.min.replace(tzinfo=timezone.utc)

Children = Callable[[str], Iterator[ObjectInfo]]
"""Lists one folder."""


def fresh_id() -> str:
    """A version id that sorts by time."""
    return f"{datetime.now(tz=timezone.utc).strftime(_TIME)}-{secrets.token_hex(4)}"


def copy_key(key: str, version_id: str) -> str:
    """Where the copy lies that is a version of an object."""
    return f"{kept_folder(key)}/{version_id}"


def copy_of(version: ObjectInfo) -> str:
    """Where the copy lies that a version is.

    Raises:
        ObjectNotFoundError: It is no copy, and none is kept by that name.
    """
    if version.version_id is None or not _ID.fullmatch(version.version_id):
        raise ObjectNotFoundError("no such version of it is kept")
    return copy_key(version.key, version.version_id)


def addressed(key: str, pin: ObjectInfo | None) -> tuple[str, ObjectInfo | None]:
    """What to read for a pin: of a copy, the copy.

    Args:
        key: The object.
        pin: One of its versions, or any other pin.

    Returns:
        A key, and the pin that holds there.
    """
    if pin is None or pin.version_id is None or not _ID.fullmatch(pin.version_id):
        return key, pin
    copy = copy_key(key, pin.version_id)
    return copy, replace(pin, key=copy, version_id=None)


def copies(key: str, children: Children) -> list[ObjectInfo]:
    """The copies of one object, newest first."""
    found = []
    with contextlib.suppress(ObjectNotFoundError, NotAFolderError):
        for entry in children(kept_folder(key)):
            version_id = entry.key.rpartition("/")[2]
            if not entry.is_folder and _ID.fullmatch(version_id):
                found.append(replace(entry, key=key, version_id=version_id))
    return sorted(found, key=lambda info: info.version_id or "", reverse=True)


def newest_first(*versions: Iterable[ObjectInfo]) -> list[ObjectInfo]:
    """Several lists in one; each is in order already."""
    lists = [list(one) for one in versions]
    if sum(map(bool, lists)) < 2:
        return [info for one in lists for info in one]
    return sorted((info for one in lists for info in one), key=lambda info: info.modified or _LONG_AGO, reverse=True)


def of_driver(driver: Driver, key: str, children: Children) -> list[ObjectInfo]:
    """See `Store.versions`."""
    if not key:
        raise IsAFolderError("is a folder", operation="list", url=driver.url(key))
    own = driver.do("list", key, lambda fs, path: list(driver.dialect.versions(fs, path)))
    found = newest_first((replace(info, key=key) for info in own), copies(key, children))
    if not found:
        driver.refuse_folder(key, "list")  # or it is not there at all
    return found


def take(driver: Driver, key: str, stream: Callable[[ObjectInfo], Iterator[bytes]], piece: int) -> ObjectInfo:
    """See `Store.snapshot`.

    Args:
        driver: Of the store.
        key: The object.
        stream: Reads it, pinned.
        piece: See `StagedWriter`.
    """
    own = driver.do("snapshot", key, driver.dialect.current_version)
    if own is not None:
        return replace(own, key=key)
    before = driver.info(key)
    if before.is_folder:
        raise IsAFolderError("is a folder", operation="snapshot", url=driver.url(key))
    version_id = fresh_id()
    target = copy_key(key, version_id)
    try:
        if not driver.capabilities.copy:
            _stream(driver, target, before, stream(before), piece)
        else:
            _copy(driver, key, target)
            if driver.habits.stage == "object" and before.size is not None and before.size <= _ONE_REQUEST:
                return replace(driver.info(target), key=key, version_id=version_id)
        kept = _verified(driver, key, before, target)
    except BaseException:
        driver.discard(target)
        raise
    return replace(kept, key=key, version_id=version_id, metadata=before.metadata)


def forget(driver: Driver, version: ObjectInfo) -> None:
    """See `Store.forget`."""
    if not version.version_id:
        raise ObjectNotFoundError("no such version of it is kept", operation="delete", url=driver.url(version.key))
    if _ID.fullmatch(version.version_id):
        _delete_copy(driver, version)
    else:
        version_id = version.version_id
        driver.do("delete", version.key, lambda fs, path: driver.dialect.delete_version(fs, path, version_id))


def _delete_copy(driver: Driver, version: ObjectInfo) -> None:
    copy = copy_of(version)
    try:
        driver.info(copy)  # some stores say nothing of one that is not there
        driver.do("delete", copy, driver.dialect.delete)
    except ObjectNotFoundError as exc:
        raise ObjectNotFoundError("no such version of it is kept", operation="delete", url=driver.url(version.key)) from exc
    if driver.capabilities.folders:
        with contextlib.suppress(PersistenceError):  # it holds others
            driver.do("delete", kept_folder(version.key), driver.dialect.delete_folder)


def _copy(driver: Driver, source: str, target: str) -> None:
    begin = driver.path(source)
    if driver.habits.stage == "object":
        driver.do("snapshot", target, lambda fs, path: driver.dialect.copy(fs, begin, path))
        return
    partial = partial_key(target)
    try:
        driver.with_parents(
            partial, lambda: driver.do("snapshot", partial, lambda fs, path: driver.dialect.copy(fs, begin, path))
        )
        driver.publish(partial, target, overwrite=True)
    finally:
        driver.discard(partial)


def _stream(driver: Driver, target: str, before: ObjectInfo, pieces: Iterator[bytes], piece: int) -> None:
    writer: Writer
    if driver.habits.stage == "object":
        metadata = before.metadata if driver.capabilities.metadata else None
        writer = ObjectWriter(driver, target, size=before.size, create=False, if_match=None, metadata=metadata)
    else:
        kept = {name: before.metadata[name] for name in driver.capabilities.attributes if name in before.metadata}
        writer = StagedWriter(driver, target, overwrite=True, piece=piece, attributes=attributes_of(kept))
    try:
        for data in pieces:
            writer.write(data)
            progressed()
        writer.commit()
    finally:
        writer.abort()


def _verified(driver: Driver, key: str, before: ObjectInfo, target: str) -> ObjectInfo:
    kept = driver.info(target)
    if not before.same_content(driver.info(key)):
        raise ChangedDuringReadError(
            "the object was replaced while a snapshot was taken", operation="snapshot", url=driver.url(key)
        )
    if kept.size != before.size and None not in (kept.size, before.size):
        raise TruncatedError(f"the copy has {kept.size} bytes of {before.size}", operation="snapshot", url=driver.url(key))
    return kept
