"""What runs that ended badly left at a store: found by our mark, removed one by one.

Three kinds of stores keep three kinds of them. Folders hold files under partial names, and, where a new version takes
its name by a swap, an old version in waiting. Flat stores hold objects that were to become pieces of others. And S3 holds uploads
in parts, which have no room for a mark: they are told, as not ours. Blocks that Azure was sent and no blob was made of,
and sessions of Google's resumable uploads, cannot be listed; both services drop them after a week.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from persistence_fsspec.attempt import progressed
from persistence_fsspec.errors import (
    ConflictError,
    FolderNotEmptyError,
    InvalidNameError,
    NotAFolderError,
    ObjectNotFoundError,
    PersistenceError,
)
from persistence_fsspec.store import Leftover, ObjectInfo, OnError
from persistence_fsspec.stores.driver import Driver
from persistence_fsspec.stores.partial import (
    KEPT,
    MARK,
    as_leftover,
    aside_target,
    is_reserved,
    reserved_part,
    stem_of,
)

_MANY: Final = 1000

Listing: TypeAlias = Callable[[str], Iterator[ObjectInfo]]
"""Everything in one folder, reserved names included; of a flat store, everything below it."""


def in_folders(key: str, listing: Listing, on_error: OnError | None) -> Iterator[Leftover]:
    """Walk through folders, but not through links to others.

    Args:
        key: Where to begin.
        listing: Of one folder.
        on_error: See `Store.leftovers`.
    """
    try:
        entries = list(listing(key))
    except (ObjectNotFoundError, NotAFolderError):
        entries = []
    if not entries:
        yield from _beside(key, listing)
        return
    yield from _of(entries)
    folders = [entry.key for entry in entries if entry.is_folder and not entry.link]
    while folders:
        progressed()
        folder = folders.pop()
        try:
            entries = list(listing(folder))
        except ObjectNotFoundError:
            continue  # gone meanwhile
        except PersistenceError as exc:
            if on_error is None:
                raise
            on_error(folder, exc)
            continue
        yield from _of(entries)
        folders += [entry.key for entry in entries if entry.is_folder and not entry.link]


def in_flat_store(key: str, listing: Listing, folder_listing: Listing) -> Iterator[Leftover]:
    """One flat listing.

    Args:
        key: Where to begin.
        listing: Of everything below.
        folder_listing: Of one folder, for the pieces of the object *key*.
    """
    empty = True
    for number, entry in enumerate(listing(key)):
        empty = False
        if not number % _MANY:
            progressed()
        if reserved_part(entry.key, key) is not None:
            yield from _of([entry])
    if empty:
        yield from _beside(key, folder_listing)


def _of(entries: list[ObjectInfo]) -> Iterator[Leftover]:
    for entry in entries:
        if is_reserved(entry.key) and not entry.is_folder and not entry.link:
            found = as_leftover(entry.key, size=entry.size, modified=entry.modified)
            if found is not None:
                yield found


def _beside(key: str, listing: Listing) -> Iterator[Leftover]:
    """Of one object: what lies in its folder and was to become it."""
    folder, _, name = key.rpartition("/")
    if not name:
        return
    try:
        entries = list(listing(folder))
    except (ObjectNotFoundError, NotAFolderError):
        return
    mine = f"{MARK}{stem_of(key)}"
    yield from _of([entry for entry in entries if entry.key.rpartition("/")[2].startswith(mine)])


# --- of a driver ---


def uploads(driver: Driver, key: str) -> Iterator[Leftover]:
    """Uploads in parts that the store still holds; of all writers."""
    with driver.call("list", key) as fs:
        found = list(driver.dialect.uploads(fs, driver.path(key)))
    for path, token, begun in found:
        name = driver.key(path)
        if name is not None and (not key or name == key or name.startswith(f"{key}/")):
            yield Leftover(kind="upload", key=name, token=token, modified=begun, ours=False)


def discard(driver: Driver, leftover: Leftover, listing: Listing) -> None:
    """See `Store.discard`.

    Args:
        driver: Of the store.
        leftover: What to remove.
        listing: Of one folder.
    """
    if leftover.kind == "upload":
        driver.do("delete", leftover.key, lambda fs, path: driver.dialect.discard_upload(fs, path, leftover.token))
        return
    require_ours(leftover)
    if leftover.kind == "aside":
        _settle(driver, leftover.key, listing)
        return
    with contextlib.suppress(ObjectNotFoundError):
        driver.do("delete", leftover.key, driver.dialect.delete)
    _tidy(driver, leftover.key)


def require_ours(leftover: Leftover) -> None:
    """Only what carries our mark is ever removed.

    Raises:
        InvalidNameError: It does not.
    """
    found = as_leftover(leftover.key)
    if found is None or found.kind != leftover.kind:
        raise InvalidNameError(f"{leftover.key!r} is not the name of something unfinished of ours")


def aside_is_needed(key: str, listing: Listing) -> tuple[bool, str | None]:
    """Whether an old version in waiting may be the only copy, and the key that is missing.

    Args:
        key: Where it waits.
        listing: Of one folder.

    Returns:
        False, and the key that is there; or True, and the key that is missing, None where the name is too long to be told.
    """
    target = aside_target(key)
    names = {entry.key for entry in listing(key.rpartition("/")[0])}
    if target is not None:
        return target not in names, target
    stem = key.rpartition("/")[2][: len(MARK) + 12]
    there = [name for name in names if not is_reserved(name) and f"{MARK}{stem_of(name)}" == stem]
    return not there, there[0] if there else None


def only_copy(key: str) -> ConflictError:
    """What is said of an old version whose name nobody knows."""
    return ConflictError(
        f"{key} may be the only copy of a file whose name it does not tell: rename or delete it by hand",
        operation="delete",
    )


def _settle(driver: Driver, key: str, listing: Listing) -> None:
    needed, target = aside_is_needed(key, listing)
    if needed and target is None:
        raise only_copy(key)
    with contextlib.suppress(ObjectNotFoundError):
        if needed and target is not None:
            end = driver.path(target)
            driver.do("rename", key, lambda fs, path: driver.dialect.put_back(fs, path, end))
        else:
            driver.do("delete", key, driver.dialect.delete)


def _tidy(driver: Driver, key: str) -> None:
    """The folders of a snapshot that was never finished hold nothing else, perhaps."""
    if not driver.capabilities.folders:
        return
    for folder in kept_folders(key):
        with contextlib.suppress(PersistenceError), driver.call("delete", folder) as fs:
            fs.invalidate_cache()
            path = driver.path(folder)
            if next(iter(driver.dialect.children(fs, path)), None) is not None:
                raise FolderNotEmptyError("is not empty")
            driver.dialect.delete_folder(fs, path)


def kept_folders(key: str) -> list[str]:
    """The folders of snapshots that a key lies in, innermost first; none for most keys."""
    folder, _, _ = key.rpartition("/")
    above, _, _ = folder.rpartition("/")
    return [folder, above] if above.rpartition("/")[2] == KEPT else []
