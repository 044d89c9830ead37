"""Any fsspec filesystem, behind the narrow waist. The only place that calls drivers, through their dialects."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import IO, Any, Final, TypeVar

from persistence_fsspec.capabilities import Capabilities
from persistence_fsspec.errors import (
    ChangedDuringReadError,
    ConflictError,
    FolderNotEmptyError,
    InvalidNameError,
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
from persistence_fsspec.location import Location
from persistence_fsspec.policy import Policy
from persistence_fsspec.store import ObjectInfo, OnError, Writer
from persistence_fsspec.stores.connections import Connections
from persistence_fsspec.stores.dialects import Dialect
from persistence_fsspec.stores.dialects.base import Sink
from persistence_fsspec.stores.partial import is_reserved, partial_key, refuse_reserved
from persistence_fsspec.stores.quirks import Habits, refusal

_REWRITE_LIMIT: Final = 64 * 1024 * 1024
_T = TypeVar("_T")


class FilesystemStore:
    """One store: a driver, its root, and what is known of the driver.

    Args:
        root: The store's root; its key is empty.
        base: The driver's path of the root.
        connections: Hands out instances of the driver.
        dialect: How to speak to it.
        traits: What the rows of `quirks` add up to.
        policy: Piece size, and whether direct writes are allowed.
    """

    def __init__(
        self,
        root: Location,
        base: str,
        connections: Connections,
        dialect: Dialect,
        traits: tuple[Capabilities, Habits],
        policy: Policy,
    ) -> None:
        self._root, self._base, self._connections, self._dialect = root, base, connections, dialect
        self._capabilities, self._habits = traits
        self._policy = policy

    def __repr__(self) -> str:
        return f"FilesystemStore({self.url('')!r}, driver={self._capabilities.driver!r})"

    @property
    def capabilities(self) -> Capabilities:
        """What holds here."""
        return self._capabilities

    def url(self, key: str) -> str:
        """The URL of a key, without credentials."""
        return str(self._root.with_key(key))

    # --- looking ---

    def info(self, key: str) -> ObjectInfo:
        """Ask the driver for one object."""
        with self._call("info", key) as fs:
            fs.invalidate_cache()
            return replace(self._dialect.info(fs, self._path(key)), key=key)

    def children(self, key: str) -> Iterator[ObjectInfo]:
        """List one folder."""
        found = False
        for entry in self._listed(key, self._dialect.children):
            found = True
            if not is_reserved(entry.key):
                yield entry
        if not found and self._habits.empty_listing_is_doubtful and key and not self.info(key).is_folder:
            raise NotAFolderError("is a file", operation="list", url=self.url(key))

    def find(self, key: str, *, on_error: OnError | None = None) -> Iterator[ObjectInfo]:
        """List by the store's own flat listing, or walk."""
        if not self._capabilities.flat:
            yield from self._walk(key, on_error, outermost=True)
            return
        empty = True
        for entry in self._listed(key, lambda fs, path: self._dialect.find(fs, path) or iter(())):
            if not is_reserved(entry.key):
                empty = False
                yield entry
        if empty and key and not self.info(key).is_folder:
            raise NotAFolderError("is a file", operation="list", url=self.url(key))

    def _walk(self, key: str, on_error: OnError | None, *, outermost: bool = False) -> Iterator[ObjectInfo]:
        folders = []
        try:
            for entry in self.children(key):
                if entry.is_folder:
                    folders.append(entry.key)
                else:
                    yield entry
        except PersistenceError as exc:
            if on_error is None or outermost:
                raise
            on_error(key, exc)
        for folder in folders:
            yield from self._walk(folder, on_error)

    def _listed(self, key: str, listing: Callable[[Any, str], Iterator[ObjectInfo]]) -> Iterator[ObjectInfo]:
        with self._call("list", key) as fs:
            fs.invalidate_cache()
            entries = listing(fs, self._path(key))
            if self._capabilities.threads != "shared":
                entries = iter(list(entries))  # do not keep a connection while the caller works
            elif self._capabilities.flat:
                yield from self._keyed(entries)
                return
            else:
                entries = iter(list(entries))
        yield from self._keyed(entries)

    def _keyed(self, entries: Iterator[ObjectInfo]) -> Iterator[ObjectInfo]:
        for entry in entries:
            key = self._dialect.key(self._base, entry.key)
            if key:
                yield replace(entry, key=key)

    # --- reading ---

    def read(self, key: str, start: int | None = None, end: int | None = None, *, pin: ObjectInfo | None = None) -> bytes:
        """Read a range by one request."""
        if self._habits.check_before_read and pin is None:
            self._refuse_folder(key, "read")
        try:
            with self._reading(key, pin), self._call("read", key) as fs:
                data = self._dialect.read(fs, self._path(key), start, end, pin)
        except StoreError:
            # Many servers refuse a range that begins at or behind the end (HTTP 416, FTP 554); here it is empty.
            if (start is None and end is None) or not self._is_behind(key, start or 0):
                raise
            data = b""
        if pin is not None and not self._pinned(pin):
            self._compare(key, pin)
        return data

    def _is_behind(self, key: str, position: int) -> bool:
        found = self.info(key)
        return not found.is_folder and found.size is not None and position >= found.size

    def stream(self, key: str, *, pin: ObjectInfo | None = None) -> Iterator[bytes]:
        """Read one version to its end."""
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
        ranged = self._pinned(pin) or self._capabilities.threads == "serial"
        if pin.size is None or not ranged:
            with self._call("read", key) as fs, contextlib.closing(self._stream(fs, key, step)) as pieces:
                yield from pieces
        elif pin.size <= step:
            yield self.read(key, pin=pin)
        else:
            for start in range(0, pin.size, step):
                yield self.read(key, start, min(start + step, pin.size), pin=pin)

    def _stream(self, fs: Any, key: str, step: int) -> Any:
        return self._dialect.stream(fs, self._path(key), step)

    def _pinned(self, pin: ObjectInfo) -> bool:
        return self._dialect.pins_reads and pin.version is not None

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
            if pin is None or (isinstance(exc, ObjectNotFoundError) and not self._exists(key)):
                raise
            raise ChangedDuringReadError(
                "the object was replaced while it was being read", operation="read", url=self.url(key)
            ) from exc

    def _exists(self, key: str) -> bool:
        try:
            self.info(key)
        except ObjectNotFoundError:
            return False
        return True

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
            self._refuse(key, writing=True)
            self._require_write(overwrite=overwrite, if_match=if_match, metadata=metadata)
        if self._habits.stage == "object":
            return _ObjectWriter(self, key, size=size, create=not overwrite, if_match=if_match, metadata=metadata)
        if not overwrite and self._exists(key):
            raise ObjectExistsError("exists already, and overwrite=False", operation="write", url=self.url(key))
        return _StagedWriter(self, key, overwrite=overwrite)

    def _require_write(self, *, overwrite: bool, if_match: str | None, metadata: Mapping[str, str] | None) -> None:
        can = self._capabilities
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
        if metadata and not can.metadata:
            raise UnsupportedPersistenceOp("this store keeps no metadata")

    def append(self, key: str, data: bytes) -> None:
        """Append natively, or rewrite on condition."""
        if self._capabilities.append == "none":
            raise UnsupportedPersistenceOp("this store cannot append without losing data", operation="append", url=self.url(key))
        if self._capabilities.append == "rewrite":
            self._append_by_rewriting(key, data)
            return
        with translated("append", self.url(key)):
            self._refuse(key, writing=True)
        self._with_parents(key, lambda: self._do("append", key, lambda fs, path: self._dialect.append(fs, path, data)))

    def _append_by_rewriting(self, key: str, data: bytes) -> None:
        try:
            old: ObjectInfo | None = self.info(key)
        except ObjectNotFoundError:
            old = None
        if old is not None and (old.size or 0) > _REWRITE_LIMIT:
            raise UnsupportedPersistenceOp(
                f"the object has {old.size} bytes, and this store appends by rewriting up to {_REWRITE_LIMIT}",
                operation="append",
                url=self.url(key),
            )
        before = b"".join(self.stream(key, pin=old)) if old else b""
        writer = self.writer(key, overwrite=old is not None, if_match=old.version if old else None)
        try:
            writer.write(before + data)
            writer.commit()
        finally:
            writer.abort()

    def copy(self, source: str, target: str) -> None:
        """Copy inside the store: straight where a write is one commit, else by a partial name."""
        with translated("copy", self.url(source)):
            self._refuse(target, writing=True)
            self._require_write(overwrite=True, if_match=None, metadata=None)
        if self._habits.stage == "object":
            with self._call("copy", source) as fs:
                self._dialect.copy(fs, self._path(source), self._path(target))
            return
        partial = partial_key(target)
        try:
            begin = self._path(source)
            self._with_parents(partial, lambda: self._do("copy", partial, lambda fs, path: self._dialect.copy(fs, begin, path)))
            self._publish(partial, target, overwrite=True)
        finally:
            self._discard(partial)

    def rename(self, source: str, target: str) -> None:
        """Rename one file, replacing."""
        with translated("rename", self.url(source)):
            self._refuse(target, writing=True)
        self._refuse_folder(source, "rename")
        self._with_parents(target, lambda: self._publish(source, target, overwrite=True), renaming=True)

    def delete(self, key: str) -> None:
        """Delete one file."""
        if self._habits.check_before_delete:
            self._refuse_folder(key, "delete")
        with translated("delete", self.url(key)):
            self._require_write(overwrite=True, if_match=None, metadata=None)
        with self._call("delete", key) as fs:
            self._dialect.delete(fs, self._path(key))

    def delete_folder(self, key: str) -> None:
        """Delete one empty folder."""
        if not self._capabilities.folders:
            return
        with self._call("delete", key) as fs:
            fs.invalidate_cache()
            path = self._path(key)
            names = [entry.key.rstrip("/") for entry in self._dialect.children(fs, path)]
            if not all(is_reserved(name) for name in names):
                raise FolderNotEmptyError("is not empty")
            for name in names:
                self._dialect.delete(fs, name)
            self._dialect.delete_folder(fs, path)

    def sign(self, key: str, seconds: int) -> str:
        """Ask the driver for a signed URL."""
        if not self._capabilities.sign:
            raise UnsupportedPersistenceOp("this store cannot sign URLs", operation="sign", url=self.url(key))
        with self._call("sign", key) as fs:
            return self._dialect.sign(fs, self._path(key), seconds)

    # --- shared by the writers ---

    def _publish(self, source: str, target: str, *, overwrite: bool) -> None:
        if self._habits.replace_onto_folder:
            with contextlib.suppress(ObjectNotFoundError):
                self._refuse_folder(target, "write")
        act = self._dialect.replace if overwrite else self._dialect.rename_new
        begin = self._path(source)
        try:
            self._do("write", target, lambda fs, path: act(fs, begin, path))
        except (ObjectExistsError, ObjectNotFoundError):
            raise
        except PersistenceError:
            with contextlib.suppress(ObjectNotFoundError):
                self._refuse_folder(target, "write")
            raise

    def _do(self, operation: str, key: str, act: Callable[[Any, str], _T]) -> _T:
        with self._call(operation, key) as fs:
            return act(fs, self._path(key))

    def _with_parents(self, key: str, act: Callable[[], _T], *, renaming: bool = False) -> _T:
        """Act; if that fails and the folder is missing, make it and act once more. No request per file for folders."""
        try:
            return act()
        except (ObjectNotFoundError, StoreError, InvalidNameError, NotAFolderError, ConflictError):
            if self._habits.makes_parents and not renaming:  # HDFS makes folders for a new file, not for a new name
                raise
            self._make_folder(key.rpartition("/")[0])
        return act()

    def _make_folder(self, key: str) -> None:
        """Make a folder that is missing, or find the file that stands where it should be."""
        try:
            found = self.info(key)
        except ObjectNotFoundError:
            pass
        else:
            if not found.is_folder:
                raise NotAFolderError(f"{self.url(key)} is a file", operation="write", url=self.url(key))
            return
        for attempt in (1, 2, 3):
            try:
                with self._call("make folder", key) as fs:
                    self._dialect.make_folder(fs, self._path(key))
            except PersistenceError:
                # Another thread or process may be making the same folders.
                if self._is_folder(key):
                    return
                self._blame_a_parent(key)
                if attempt == 3:
                    raise
            else:
                return

    def _is_folder(self, key: str) -> bool:
        try:
            return self.info(key).is_folder
        except ObjectNotFoundError:
            return False

    def _blame_a_parent(self, key: str) -> None:
        while key := key.rpartition("/")[0]:
            with contextlib.suppress(PersistenceError):
                if not self.info(key).is_folder:
                    raise NotAFolderError(f"{self.url(key)} is a file", operation="write", url=self.url(key))
                return

    def _discard(self, partial: str) -> None:
        with contextlib.suppress(PersistenceError):
            self._do("delete", partial, self._dialect.delete)

    def _refuse_folder(self, key: str, operation: str) -> None:
        if self.info(key).is_folder:
            raise IsAFolderError("is a folder", operation=operation, url=self.url(key))

    # --- calling the driver ---

    def _path(self, key: str) -> str:
        return self._dialect.join(self._base, key)

    def _refuse(self, key: str, *, writing: bool = False) -> None:
        reason = refusal(key, self._habits, self._capabilities, writing=writing)
        if reason:
            raise InvalidNameError(f"the name {reason}")
        if writing:
            refuse_reserved(key)

    @contextlib.contextmanager
    def _call(self, operation: str, key: str) -> Iterator[Any]:
        """An instance of the driver for one operation, whose errors become ours."""
        with translated(operation, lambda: self.url(key)):
            self._refuse(key)
            with self._connections.lease() as fs:
                yield fs


class _ObjectWriter:
    """For stores that commit whole objects: small ones by one request, large ones by parts."""

    def __init__(
        self,
        store: FilesystemStore,
        key: str,
        *,
        size: int | None,
        create: bool,
        if_match: str | None,
        metadata: Mapping[str, str] | None,
    ) -> None:
        self._store, self._key, self._size = store, key, size
        self._create, self._if_match, self._metadata = create, if_match, metadata
        self._buffer = bytearray()
        self._spool: IO[bytes] | None = None
        self._sink: Sink | None = None

    def write(self, data: bytes) -> None:
        if self._sink is None and self._spool is None:
            self._buffer += data
            if len(self._buffer) > self._store._dialect.object_part_size:
                self._overflow()
        elif self._spool is not None:
            self._spool.write(data)
        else:
            self._send(data)

    def _overflow(self) -> None:
        data, self._buffer = bytes(self._buffer), bytearray()
        if self._create or self._if_match:  # conditions hold for a single request only
            self._spool = tempfile.TemporaryFile()  # noqa: SIM115 - closed by commit or abort
            self._spool.write(data)
            return
        with self._store._call("write", self._key) as fs:
            path = self._store._path(self._key)
            self._sink = self._store._dialect.sink(fs, path, size=self._size, metadata=self._metadata)
        self._send(data)

    def _send(self, data: bytes) -> None:
        if self._sink is not None:
            with translated("write", self._store.url(self._key)):
                self._sink.write(data)

    def read_back(self) -> None:
        return None

    def commit(self) -> ObjectInfo:
        try:
            with self._store._call("write", self._key) as fs:
                if self._sink is not None:
                    self._sink.close()
                    self._sink = None
                else:
                    self._write_at_once(fs)
        finally:
            self.abort()
        return self._store.info(self._key)

    def _write_at_once(self, fs: Any) -> None:
        body: bytes | IO[bytes] = bytes(self._buffer)
        if self._spool is not None:
            self._spool.seek(0)
            body = self._spool
        path = self._store._path(self._key)
        conditions: dict[str, Any] = {"create": self._create, "if_match": self._if_match, "metadata": self._metadata}
        self._store._dialect.write_object(fs, path, body, **conditions)

    def abort(self) -> None:
        self._buffer = bytearray()
        if self._sink is not None:
            self._sink.abort()
            self._sink = None
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def __del__(self) -> None:
        self.abort()


class _StagedWriter:
    """For stores of files: bytes go to a partial name, which is then renamed."""

    def __init__(self, store: FilesystemStore, key: str, *, overwrite: bool) -> None:
        self._store, self._key, self._overwrite = store, key, overwrite
        self._direct = store._capabilities.publish == "direct"
        self._partial = key if self._direct else partial_key(key)
        self._written = 0
        self._fs: Any = None
        self._sink: Sink | None = None
        self._spool: IO[bytes] | None = None
        self._staged = False
        self._published = False
        self._open()

    def _open(self) -> None:
        store = self._store
        if store._habits.stage == "spool" or store._capabilities.threads == "serial":
            self._spool = tempfile.SpooledTemporaryFile(max_size=store._policy.part_size)  # noqa: SIM115
        else:
            store._with_parents(self._key, self._open_sink)

    def _open_sink(self) -> None:
        """The sink keeps its connection until it is closed."""
        store = self._store
        with translated("write", store.url(self._key)):
            fs = store._connections.acquire()
            try:
                self._sink = store._dialect.sink(fs, store._path(self._partial), size=None, metadata=None)
            except BaseException as exc:
                store._connections.release(fs, broken=store._connections.is_broken(exc))
                raise
        self._fs = fs

    def write(self, data: bytes) -> None:
        self._written += len(data)
        with translated("write", self._store.url(self._key)):
            if self._spool is not None:
                self._spool.write(data)
            elif self._sink is not None:
                self._sink.write(data)

    def read_back(self) -> Iterator[bytes]:
        self._finish()
        return self._store.stream(self._partial)

    def _finish(self) -> None:
        if self._staged:
            return
        if self._spool is not None:
            spool, self._spool = self._spool, None
            with spool:
                self._store._with_parents(self._partial, lambda: self._send(spool))
        elif self._sink is not None:
            sink, self._sink = self._sink, None
            closed = False
            try:
                with translated("write", self._store.url(self._key)):
                    sink.close()
                closed = True
            finally:
                self._give_back(broken=not closed)
        self._staged = True

    def commit(self) -> ObjectInfo:
        store = self._store
        try:
            self._finish()
            arrived = store.info(self._partial).size
            if arrived is not None and arrived != self._written:
                raise TruncatedError(
                    f"{arrived} bytes stand at the store of {self._written} written", operation="write", url=store.url(self._key)
                )
            if not self._direct:
                store._publish(self._partial, self._key, overwrite=self._overwrite)
            self._published = True
        finally:
            self.abort()
        return store.info(self._key)

    def abort(self) -> None:
        if self._published:
            return
        self._published = True  # nothing left to undo, from here on
        touched = self._staged or self._sink is not None
        if self._sink is not None:
            sink, self._sink = self._sink, None
            sink.abort()
            self._give_back(broken=True)
        if self._spool is not None:
            self._spool.close()
            self._spool = None
        if touched:
            self._store._discard(self._partial)

    def _send(self, spool: IO[bytes]) -> None:
        spool.seek(0)
        write = self._store._dialect.write_object
        self._store._do("write", self._partial, lambda fs, path: write(fs, path, spool))

    def _give_back(self, *, broken: bool) -> None:
        fs, self._fs = self._fs, None
        self._store._connections.release(fs, broken=broken)

    def __del__(self) -> None:
        if hasattr(self, "_published"):
            self.abort()
