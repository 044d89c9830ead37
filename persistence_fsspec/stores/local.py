"""``file://`` by the operating system's own calls: no driver is as fast, or as careful."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

from persistence_fsspec.capabilities import Capabilities
from persistence_fsspec.errors import (
    ChangedDuringReadError,
    InvalidNameError,
    IsAFolderError,
    NotAFolderError,
    ObjectExistsError,
    PermissionDeniedError,
    PersistenceError,
    StoreError,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.foreign import translated
from persistence_fsspec.location import Location, local_path
from persistence_fsspec.policy import Policy
from persistence_fsspec.store import ObjectInfo, OnError
from persistence_fsspec.stores.partial import is_leftover, is_reserved, partial_key, refuse_reserved

_CASE_SENSITIVE: Final = sys.platform not in {"darwin", "win32"}

_CAPABILITIES: Final = Capabilities(
    driver="local",
    publish="atomic",
    create=True,
    append="native",
    rename=True,  # but no copy: its bytes would pass through us as well, only unverified
    pin="weak",
    case_sensitive=_CASE_SENSITIVE,
    max_name_bytes=255,
    threads="shared",
    own_timeout=True,
)


class LocalStore:
    """Files of this machine. Keys are absolute paths without the leading slash.

    Args:
        policy: Part size and fsync.
        lazy_folder: A folder made, with a ``.gitignore`` of ``*``, just before the first write: the embedded default.
    """

    def __init__(self, policy: Policy, *, lazy_folder: Path | None = None) -> None:
        self._policy = policy
        self._lazy_folder = lazy_folder

    @property
    def capabilities(self) -> Capabilities:
        """What holds for local files."""
        return _CAPABILITIES

    def url(self, key: str) -> str:
        """``file:///…``."""
        return str(Location("file", "file://", key))

    def info(self, key: str) -> ObjectInfo:
        """Follow symbolic links; a dangling one is not found."""
        with self._translated("info", key):
            path = local_path(key)
            return replace(_info(key, os.stat(path)), link=path.is_symlink())

    def children(self, key: str) -> Iterator[ObjectInfo]:
        """List one folder, sorted by name."""
        with self._translated("list", key):
            entries = sorted(os.scandir(local_path(key)), key=lambda entry: entry.name)
        for entry in entries:
            if is_reserved(entry.name):
                continue
            child = f"{key}/{entry.name}" if key else entry.name
            link = entry.is_symlink()
            try:
                yield replace(_info(child, entry.stat()), link=link)
            except OSError:
                if link:  # dangling, or in a circle: it is there, and whoever needs its content must hear of it
                    yield ObjectInfo(key=child, link=True)

    def find(self, key: str, *, on_error: OnError | None = None) -> Iterator[ObjectInfo]:
        """Walk depth first. Links to folders are followed, except into a folder that contains them."""
        return self._walk(key, on_error, ancestors=())

    def _walk(self, key: str, on_error: OnError | None, ancestors: tuple[tuple[int, int], ...]) -> Iterator[ObjectInfo]:
        try:
            with self._translated("list", key):
                folder = os.stat(local_path(key))
                entries = list(self.children(key))
        except PersistenceError as exc:
            if on_error is None or not ancestors:
                raise
            on_error(key, exc)
            return
        identity = (folder.st_dev, folder.st_ino)
        if identity in ancestors:
            return
        for entry in entries:
            if entry.is_folder:
                yield from self._walk(entry.key, on_error, (*ancestors, identity))
            else:
                yield entry

    def read(self, key: str, start: int | None = None, end: int | None = None, *, pin: ObjectInfo | None = None) -> bytes:
        """Read a range."""
        with self._translated("read", key), _open_regular(key) as file:
            self._check_pin(key, pin, os.fstat(file.fileno()))
            size = os.fstat(file.fileno()).st_size
            first, last, _ = slice(start, end).indices(size)
            file.seek(first)
            return file.read(max(0, last - first))

    def stream(self, key: str, *, pin: ObjectInfo | None = None) -> Iterator[bytes]:
        """Read one open file to its end; it must be the same at the end as at the beginning."""
        with self._translated("read", key), _open_regular(key) as file:
            before = os.fstat(file.fileno())
            self._check_pin(key, pin, before)
            while data := file.read(self._policy.part_size):
                yield data
            after = os.fstat(file.fileno())
            if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
                raise ChangedDuringReadError("the file was written to while it was being read")

    def writer(
        self,
        key: str,
        *,
        size: int | None = None,  # noqa: ARG002 - a hint; a local file needs none
        overwrite: bool = True,
        if_match: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> LocalWriter:
        """Write beside the target, then rename."""
        if if_match is not None or metadata:
            raise UnsupportedPersistenceOp(
                "local files have neither conditional replacement nor metadata", operation="write", url=self.url(key)
            )
        with self._translated("write", key):
            refuse_reserved(key)
            self._make_ready()
            return LocalWriter(self, key, overwrite=overwrite, fsync=self._policy.fsync, piece=self._policy.part_size)

    def append(self, key: str, data: bytes) -> None:
        """One appending write."""
        with self._translated("append", key):
            refuse_reserved(key)
            self._make_ready()
            path = local_path(key)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.write(data)

    def copy(self, source: str, target: str) -> None:
        """Only for `rename` across devices."""
        writer = self.writer(target)
        try:
            for piece in self.stream(source):
                writer.write(piece)
            writer.commit()
        finally:
            writer.abort()

    def rename(self, source: str, target: str) -> None:
        """Atomic on one device; across devices a copy, then the deletion."""
        with self._translated("rename", source):
            refuse_reserved(target)
            path = local_path(target)
            _refuse_folder(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and os.path.samefile(local_path(source), path):
                # Two names of one file: the system would leave both. One name is no second one to give up.
                if (
                    os.path.realpath(local_path(source).parent) != os.path.realpath(path.parent)
                    or path.name != local_path(source).name
                ):
                    local_path(source).unlink()
                return
            try:
                os.replace(local_path(source), path)
            except OSError as exc:
                if exc.errno != errno.EXDEV:
                    raise
                self.copy(source, target)
                self.delete(source)

    def delete(self, key: str) -> None:
        """Delete a file or a link, never what a link leads to."""
        with self._translated("delete", key):
            path = local_path(key)
            if path.is_dir() and not path.is_symlink():
                raise IsAFolderError("is a folder")
            path.unlink()

    def delete_folder(self, key: str) -> None:
        """Delete an empty folder, and what unfinished writes left in it."""
        with self._translated("delete", key):
            folder = local_path(key)
            names = os.listdir(folder)
            if all(is_leftover(name) for name in names):
                for name in names:
                    (folder / name).unlink(missing_ok=True)
            folder.rmdir()

    def sign(self, key: str, seconds: int) -> str:  # noqa: ARG002 - the interface's
        """Local files have no such URL."""
        raise UnsupportedPersistenceOp("local files cannot be signed", operation="sign", url=self.url(key))

    def _make_ready(self) -> None:
        if self._lazy_folder is None:
            return
        for folder in (self._lazy_folder, self._lazy_folder / "data"):
            if folder.is_symlink():  # perhaps somebody else's, in a repository that was cloned
                raise PermissionDeniedError(
                    f"{folder} is a link, and what is stored in it would go elsewhere",
                    hint="Give that place as default_prefix if you mean it.",
                )
        self._lazy_folder.mkdir(parents=True, exist_ok=True)
        ignore = self._lazy_folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="ascii")

    @contextlib.contextmanager
    def _translated(self, operation: str, key: str) -> Iterator[None]:
        with translated(operation, lambda: self.url(key)):
            try:
                yield
            except ValueError as exc:
                if "null" in str(exc):
                    raise InvalidNameError("a name cannot contain NUL") from exc
                raise

    def _check_pin(self, key: str, pin: ObjectInfo | None, found: os.stat_result) -> None:
        if pin is not None and not pin.same_content(_info(key, found)):
            raise ChangedDuringReadError("the file was replaced since it was looked at")


def _version(found: os.stat_result) -> str:
    return f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"


def _info(key: str, found: os.stat_result) -> ObjectInfo:
    modified = datetime.fromtimestamp(found.st_mtime, tz=timezone.utc)
    if stat.S_ISDIR(found.st_mode):
        return ObjectInfo(key=key, kind="folder", modified=modified)
    size = found.st_size if stat.S_ISREG(found.st_mode) else None
    return ObjectInfo(key=key, size=size, modified=modified, version=_version(found))


def _open_regular(key: str) -> io.FileIO:
    path = local_path(key)
    # Opening a pipe or a device could wait for ever.
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise IsAFolderError("is a folder")
    if not stat.S_ISREG(mode):
        raise StoreError("is not a regular file (a pipe, socket or device)")
    return io.FileIO(path)


def _refuse_folder(path: Path) -> None:
    if path.is_dir():
        raise IsAFolderError("a folder stands there")


class LocalWriter:
    """A partial file beside its target."""

    def __init__(self, store: LocalStore, key: str, *, overwrite: bool, fsync: bool, piece: int) -> None:
        self._store, self._key, self._overwrite, self._fsync, self._piece = store, key, overwrite, fsync, piece
        self._target = local_path(key)
        _refuse_folder(self._target)
        if not overwrite and os.path.lexists(self._target):
            raise ObjectExistsError("exists already, and overwrite=False")
        try:
            self._target.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError as exc:
            raise NotAFolderError(f"{self._target.parent} is a file") from exc
        partial = local_path(partial_key(key))
        try:
            self.raw = io.FileIO(os.fspath(partial), "xb")
        except OSError as exc:
            exc.filename = str(self._target)  # the name the caller knows
            raise
        self._partial: Path | None = partial
        self._whole = True

    def write(self, data: bytes) -> None:
        """Append to the partial file."""
        view = memoryview(data)
        complete, self._whole = self._whole, False
        with self._store._translated("write", self._key):
            while view:
                view = view[self.raw.write(view) :]
        self._whole = complete

    @property
    def restartable(self) -> bool:
        """What fails on this machine fails again."""
        return False

    def read_back(self) -> Iterator[bytes]:
        """Read the partial file."""
        with self._store._translated("read back", self._key), io.FileIO(os.fspath(self.raw.name)) as file:
            while data := file.read(self._piece):
                yield data

    def commit(self) -> ObjectInfo:
        """Rename onto the target, or link to it where it must not exist."""
        try:
            with self._store._translated("write", self._key):
                if not self._whole:
                    raise StoreError("an earlier write failed, so this file can no longer be written whole")
                self._finish()
                return _info(self._key, os.stat(self._target))
        finally:
            self.abort()

    def _finish(self) -> None:
        partial = self.raw.name
        with contextlib.suppress(FileNotFoundError):
            os.chmod(partial, stat.S_IMODE(os.stat(self._target).st_mode))  # a replacement keeps its mode
        if self._fsync:
            os.fsync(self.raw.fileno())
        self.raw.close()
        if self._overwrite:
            _refuse_folder(self._target)
            os.replace(partial, self._target)
            self._partial = None
        else:
            # link() refuses an existing name atomically and shows a complete file; rename() would replace it.
            _link(partial, self._target)
        if self._fsync:
            _fsync_folder(self._target.parent)

    def abort(self) -> None:
        """Remove the partial file."""
        self.raw.close()
        partial, self._partial = self._partial, None
        if partial is not None:
            partial.unlink(missing_ok=True)

    def __del__(self) -> None:
        if hasattr(self, "raw"):
            self.abort()


def _link(source: os.PathLike[str] | str, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as exc:
        if exc.errno not in {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}:
            raise
        raise UnsupportedPersistenceOp("overwrite=False needs hard links, which this file system does not have") from exc


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
