"""Any fsspec filesystem, behind the narrow waist. The only place that calls drivers, through their dialects."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from persistence_fsspec.capabilities import Capabilities
from persistence_fsspec.errors import (
    ChangedDuringReadError,
    ConflictError,
    FolderNotEmptyError,
    IsAFolderError,
    NotAFolderError,
    ObjectExistsError,
    ObjectNotFoundError,
    PersistenceError,
    StoreError,
    TruncatedError,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.foreign import translated
from persistence_fsspec.policy import Policy
from persistence_fsspec.store import Leftover, Links, ObjectInfo, OnError, Part, Upload, Writer
from persistence_fsspec.stores import leftovers, rewriting, snapshots
from persistence_fsspec.stores.attributes import Attributes, attributes_of
from persistence_fsspec.stores.driver import Driver
from persistence_fsspec.stores.partial import is_leftover, is_reserved, notice, partial_key, reserved_part
from persistence_fsspec.stores.staged_upload import StagedUpload
from persistence_fsspec.stores.uploading import Layout, partial_named
from persistence_fsspec.stores.uploads import ObjectUpload
from persistence_fsspec.stores.walking import Walk
from persistence_fsspec.stores.writers import ObjectWriter, StagedWriter


class FilesystemStore:
    """One store: a driver below its root.

    Args:
        driver: Speaks to the store.
        policy: Piece size, and whether direct writes are allowed.
    """

    def __init__(self, driver: Driver, policy: Policy) -> None:
        self._driver, self._policy = driver, policy

    def __repr__(self) -> str:
        return f"FilesystemStore({self.url('')!r}, driver={self._driver.capabilities.driver!r})"

    @property
    def capabilities(self) -> Capabilities:
        """What holds here."""
        return self._driver.capabilities

    def url(self, key: str) -> str:
        """The URL of a key, without credentials."""
        return self._driver.url(key)

    # --- looking ---

    def info(self, key: str) -> ObjectInfo:
        """Ask the driver for one object."""
        return self._driver.info(key)

    def children(self, key: str) -> Iterator[ObjectInfo]:
        """List one folder."""
        found = False
        for entry in self._listed(key, self._driver.dialect.children):
            found = True
            if is_reserved(entry.key):
                notice(entry.key, lambda: entry, below=key)  # noqa: B023 - called at once
            else:
                yield entry
        if not found and self._driver.habits.empty_listing_is_doubtful and key and not self.info(key).is_folder:
            raise NotAFolderError("is a file", operation="list", url=self.url(key))

    def find(
        self, key: str, *, on_error: OnError | None = None, links: Links = "follow", folders: bool = False
    ) -> Iterator[ObjectInfo]:
        """List by the store's own flat listing, or walk. Where there is a flat listing, there are neither links nor folders."""
        if not self._driver.capabilities.flat:
            walk = Walk(self._driver, self.children, on_error, follow=links == "follow", folders=folders)
            yield from walk.below(key)
            return
        empty = True
        for entry in self._listed(key, lambda fs, path: self._driver.dialect.find(fs, path) or iter(())):
            if reserved_part(entry.key, key) is not None:
                notice(entry.key, lambda: entry, below=key)  # noqa: B023 - called at once
            else:
                empty = False
                yield entry
        if empty and key and not self.info(key).is_folder:
            raise NotAFolderError("is a file", operation="list", url=self.url(key))

    def _listed(self, key: str, listing: Callable[[Any, str], Iterator[ObjectInfo]]) -> Iterator[ObjectInfo]:
        with self._driver.call("list", key) as fs:
            fs.invalidate_cache()
            entries = self._keyed(listing(fs, self._driver.path(key)))
            if self._driver.capabilities.flat and self._driver.capabilities.threads == "shared":
                yield from entries  # page by page
                return
            entries = iter(list(entries))  # do not keep a connection while the caller works
        yield from entries

    def _keyed(self, entries: Iterator[ObjectInfo]) -> Iterator[ObjectInfo]:
        for entry in entries:
            key = self._driver.key(entry.key)
            if key:
                yield replace(entry, key=key)

    # --- reading ---

    def read(self, key: str, start: int | None = None, end: int | None = None, *, pin: ObjectInfo | None = None) -> bytes:
        """Read a range by one request."""
        key, pin = snapshots.addressed(key, pin)
        if self._driver.habits.check_before_read and pin is None:
            self._driver.refuse_folder(key, "read")
        try:
            with self._reading(key, pin), self._driver.call("read", key) as fs:
                data = self._driver.dialect.read(fs, self._driver.path(key), start, end, pin)
        except StoreError:
            # Many servers refuse a range that begins at or behind the end (HTTP 416, FTP 554); here it is empty.
            if (start is None and end is None) or not self._is_behind(key, start or 0, pin):
                raise
            data = b""
        else:
            self._refuse_short(key, data, start or 0, end, pin)
        if pin is not None and not self._pinned(pin):
            self._compare(key, pin)
        return data

    def _refuse_short(self, key: str, data: bytes, start: int, end: int | None, pin: ObjectInfo | None) -> None:
        """Some servers end a transfer that broke off as if all had been sent. Where there are versions, clients count."""
        if self._driver.capabilities.pin == "version" or (end is not None and len(data) >= end - start):
            return
        size = (pin or self.info(key)).size
        if size is not None and len(data) < min(size, end or size) - start:
            raise TruncatedError(f"{len(data)} bytes arrived of {size - start}", operation="read", url=self.url(key))

    def _is_behind(self, key: str, position: int, pin: ObjectInfo | None) -> bool:
        found = pin if pin is not None and pin.version_id else self.info(key)
        return not found.is_folder and found.size is not None and position >= found.size

    def stream(self, key: str, *, pin: ObjectInfo | None = None) -> Iterator[bytes]:
        """Read one version to its end."""
        key, pin = snapshots.addressed(key, pin)
        if pin is None or pin.size is None or (pin.modified is None and not self._pinned(pin)):
            pin = self.info(key)
        if pin.is_folder:
            raise IsAFolderError("is a folder", operation="read", url=self.url(key))
        total = 0
        with self._reading(key, pin):
            for data in self._pieces(key, pin):
                total += len(data)
                yield data
        if pin.size is not None and total < pin.size:
            # Shorter because it was cut off, or because it is another file by now?
            self._compare(key, pin)
            raise TruncatedError(f"{total} bytes arrived of {pin.size}", operation="read", url=self.url(key))
        if not self._pinned(pin) or (pin.size is not None and total > pin.size):
            self._compare(key, pin, total)

    def _pieces(self, key: str, pin: ObjectInfo) -> Iterator[bytes]:
        step = self._policy.part_size
        ranged = self._pinned(pin)
        if pin.size is None or not (ranged or self._driver.capabilities.threads == "serial"):
            path = self._driver.path(key)
            with self._driver.call("read", key) as fs, contextlib.closing(self._driver.dialect.stream(fs, path, step)) as pieces:
                yield from pieces
        elif pin.size <= step:
            yield self.read(key, pin=pin)
        else:
            for start in range(0, pin.size, step):
                if start and ranged and not self._pinned(pin):  # the server turned out to ignore ranges
                    yield from self._rest(key, start)
                    return
                yield self.read(key, start, min(start + step, pin.size), pin=pin)

    def _rest(self, key: str, start: int) -> Iterator[bytes]:
        """What lies behind a position, by one stream from the beginning."""
        for data in self.stream(key):
            skipped = min(start, len(data))
            start -= skipped
            if skipped < len(data):
                yield data[skipped:]

    def _pinned(self, pin: ObjectInfo) -> bool:
        return self._driver.dialect.pins_reads and pin.version is not None

    def _compare(self, key: str, pin: ObjectInfo, total: int | None = None) -> None:
        now = self.info(key)
        grown = total is not None and now.size is not None and total != now.size
        if grown or not pin.same_content(now):
            raise ChangedDuringReadError("the object was replaced while it was being read", operation="read", url=self.url(key))

    @contextlib.contextmanager
    def _reading(self, key: str, pin: ObjectInfo | None) -> Iterator[None]:
        """A failed condition, or a version that is gone, means that the object changed."""
        try:
            yield
        except ChangedDuringReadError:
            raise
        except (ConflictError, ObjectNotFoundError) as exc:
            if pin is None or pin.version_id or (isinstance(exc, ObjectNotFoundError) and not self._driver.exists(key)):
                raise
            raise ChangedDuringReadError(
                "the object was replaced while it was being read", operation="read", url=self.url(key)
            ) from exc

    # --- writing ---

    def writer(
        self,
        key: str,
        *,
        size: int | None = None,
        overwrite: bool = True,
        if_match: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Writer:
        """Begin to write, by the method this driver can do safely."""
        with translated("write", self.url(key)):
            self._driver.refuse(key, writing=True)
            self._require_write(overwrite=overwrite, if_match=if_match, metadata=metadata)
        if self._driver.habits.stage == "object":
            return ObjectWriter(self._driver, key, size=size, create=not overwrite, if_match=if_match, metadata=metadata)
        if not overwrite and self._driver.exists(key):
            raise ObjectExistsError("exists already, and overwrite=False", operation="write", url=self.url(key))
        attributes = self._attributes(key, metadata)
        return StagedWriter(self._driver, key, overwrite=overwrite, piece=self._policy.part_size, attributes=attributes)

    def upload(
        self,
        key: str,
        *,
        size: int,
        part_size: int,
        token: str = "",
        overwrite: bool = True,
        metadata: Mapping[str, str] | None = None,
    ) -> Upload:
        """Begin to write in parts, or take up what was begun, by the method this driver can do safely."""
        with translated("write", self.url(key)):
            if self._driver.capabilities.parts == "none":
                raise UnsupportedPersistenceOp("this store takes no parts")
            self._driver.refuse(key, writing=True)
            self._require_write(overwrite=overwrite, if_match=None, metadata=metadata)
            if self._driver.habits.stage == "object":
                options: dict[str, Any] = {"size": size, "part_size": part_size, "token": token}
                return ObjectUpload(self._driver, key, **options, overwrite=overwrite, metadata=metadata)
            under = partial_named(key, token) if token else partial_key(key)
            if not overwrite and self._driver.exists(key):
                raise ObjectExistsError("exists already, and overwrite=False")
            layout = Layout(size, part_size)
            options = {"overwrite": overwrite, "taken_up": bool(token)}
            return StagedUpload(self._driver, key, under, layout, attributes=self._attributes(key, metadata), **options)

    def _attributes(self, key: str, metadata: Mapping[str, str] | None) -> Attributes:
        """What a file is given besides its bytes; see `_require_write`."""
        with translated("write", self.url(key)):
            return attributes_of(metadata)

    def make_folder(self, key: str) -> None:
        """Make a folder, and those above it."""
        with translated("make folder", self.url(key)):
            if not self._driver.capabilities.folders:
                raise UnsupportedPersistenceOp("this store has no folders, only names with slashes in them")
            self._driver.refuse(key, writing=True)
            self._require_write(overwrite=True, if_match=None, metadata=None)
        self._driver.make_folder(key)

    def make_root(self) -> None:
        """A bucket, or a container of Azure."""
        with translated("make bucket", self.url("")):
            self._require_write(overwrite=True, if_match=None, metadata=None)
        self._driver.do("make bucket", "", self._driver.dialect.make_root)

    def _require_write(self, *, overwrite: bool, if_match: str | None, metadata: Mapping[str, str] | None) -> None:
        can = self._driver.capabilities
        if not can.write:
            raise UnsupportedPersistenceOp("this store is read-only")
        if can.publish == "direct" and not self._policy.allow_direct:
            raise UnsupportedPersistenceOp(
                f"the {can.driver} driver has no safe way to publish: readers could see half a file",
                hint="Policy(allow_direct=True) accepts that.",
            )
        if not overwrite and not can.create:
            raise UnsupportedPersistenceOp(
                "overwrite=False cannot be kept here: this store has no atomic creation",
                hint="Give each writer a name of its own instead.",
            )
        if if_match is not None and not can.if_match:
            raise UnsupportedPersistenceOp("if_match cannot be kept here: this store has no conditional write")
        if metadata and not (can.metadata or set(metadata) <= set(can.attributes)):
            raise UnsupportedPersistenceOp("this store keeps no metadata")

    def append(self, key: str, data: bytes) -> None:
        """Append natively, or rewrite on condition."""
        if self._driver.capabilities.append == "none":
            raise UnsupportedPersistenceOp("this store cannot append without losing data", operation="append", url=self.url(key))
        if self._driver.capabilities.append == "rewrite":
            with translated("append", self.url(key)):
                rewriting.append(self, key, data)
            return
        with translated("append", self.url(key)):
            self._driver.refuse(key, writing=True)
        try:
            self._driver.with_parents(
                key, lambda: self._driver.do("append", key, lambda fs, path: self._driver.dialect.append(fs, path, data))
            )
        except PersistenceError as exc:
            if self._is_folder(key):  # of which servers only say that it failed
                raise IsAFolderError("is a folder", operation="append", url=self.url(key)) from exc
            raise

    def _is_folder(self, key: str) -> bool:
        try:
            return self._driver.info(key).is_folder
        except PersistenceError:
            return False

    def copy(self, source: str, target: str) -> None:
        """Copy inside the store: straight where a write is one commit, else by a partial name."""
        with translated("copy", self.url(source)):
            self._driver.refuse(target, writing=True)
            self._require_write(overwrite=True, if_match=None, metadata=None)
        if self._driver.habits.stage == "object":
            with self._driver.call("copy", source) as fs:
                self._driver.dialect.copy(fs, self._driver.path(source), self._driver.path(target))
            return
        partial = partial_key(target)
        try:
            begin = self._driver.path(source)
            self._driver.with_parents(
                partial, lambda: self._driver.do("copy", partial, lambda fs, path: self._driver.dialect.copy(fs, begin, path))
            )
            self._driver.publish(partial, target, overwrite=True)
        finally:
            self._driver.discard(partial)

    def rename(self, source: str, target: str) -> None:
        """Rename one file, replacing."""
        with translated("rename", self.url(source)):
            self._driver.refuse(target, writing=True)
        self._driver.refuse_folder(source, "rename")
        self._driver.with_parents(target, lambda: self._driver.publish(source, target, overwrite=True), renaming=True)

    def delete(self, key: str) -> None:
        """Delete one file."""
        if self._driver.habits.check_before_delete:
            self._driver.refuse_folder(key, "delete")
        with translated("delete", self.url(key)):
            self._require_write(overwrite=True, if_match=None, metadata=None)
        with self._driver.call("delete", key) as fs:
            self._driver.dialect.delete(fs, self._driver.path(key))

    def delete_folder(self, key: str) -> None:
        """Delete one empty folder."""
        if not self._driver.capabilities.folders:
            self._driver.do("delete", key, self._driver.dialect.delete_markers)
            return
        with self._driver.call("delete", key) as fs:
            fs.invalidate_cache()
            path = self._driver.path(key)
            names = [entry.key.rstrip("/") for entry in self._driver.dialect.children(fs, path)]
            if not all(is_leftover(name) for name in names):
                raise FolderNotEmptyError("is not empty")
            for name in names:
                self._driver.dialect.delete(fs, name)
            self._driver.dialect.delete_folder(fs, path)

    # --- old versions ---

    def versions(self, key: str) -> Iterator[ObjectInfo]:
        """The store's own, and copies."""
        return iter(snapshots.of_driver(self._driver, key, self.children))

    def snapshot(self, key: str) -> ObjectInfo:
        """The version that is there, where the store keeps it; else a copy."""
        with translated("snapshot", self.url(key)):
            self._require_write(overwrite=True, if_match=None, metadata=None)
        return snapshots.take(self._driver, key, lambda pin: self.stream(key, pin=pin), self._policy.part_size)

    def forget(self, version: ObjectInfo) -> None:
        """The copy, or the store's own."""
        with translated("delete", self.url(version.key)):
            self._require_write(overwrite=True, if_match=None, metadata=None)
        snapshots.forget(self._driver, version)

    # --- leftovers ---

    def leftovers(self, key: str, *, on_error: OnError | None = None) -> Iterator[Leftover]:
        """By one flat listing, or a walk; and what the store itself knows of uploads."""
        one_folder = partial(self._listed, listing=self._driver.dialect.children)
        if self._driver.capabilities.flat:
            everything = partial(self._listed, listing=lambda fs, path: self._driver.dialect.find(fs, path) or iter(()))
            yield from leftovers.in_flat_store(key, everything, one_folder)
        else:
            yield from leftovers.in_folders(key, one_folder, on_error)
        try:
            yield from leftovers.uploads(self._driver, key)
        except PersistenceError as exc:  # it takes a right of its own
            if on_error is None:
                raise
            on_error(key, exc)

    def discard(self, leftover: Leftover) -> None:
        """Remove one of them."""
        with translated("delete", self.url(leftover.key)):
            self._require_write(overwrite=True, if_match=None, metadata=None)
        leftovers.discard(self._driver, leftover, partial(self._listed, listing=self._driver.dialect.children))

    def part_digests(self, key: str, *, pin: ObjectInfo) -> Sequence[Part]:
        """Ask the driver, where objects are made of parts."""
        return self._driver.do("info", key, lambda fs, path: self._driver.dialect.part_digests(fs, path, pin))

    def sign(self, key: str, seconds: int) -> str:
        """Ask the driver for a signed URL."""
        if not self._driver.capabilities.sign:
            raise UnsupportedPersistenceOp("this store cannot sign URLs", operation="sign", url=self.url(key))
        with self._driver.call("sign", key) as fs:
            return self._driver.dialect.sign(fs, self._driver.path(key), seconds)
