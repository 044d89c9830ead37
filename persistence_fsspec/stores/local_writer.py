"""Writing a local file: under a partial name beside its own, then renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import Final

from persistence_fsspec.errors import (
    IsAFolderError,
    NotAFolderError,
    ObjectExistsError,
    StoreError,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.store import ObjectInfo
from persistence_fsspec.stores.attributes import NO_ATTRIBUTES, Attributes
from persistence_fsspec.stores.local_files import Translated, info_of, path_of, refuse_special

_FLAGS: Final = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
_NOTHING_THERE: Final = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
"""The last two: something above is a file, which making the folder will tell; a link to itself, which is replaced."""
_NO_LINKS: Final = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


class Staging:
    """A partial file beside its target, and how it takes the target's name.

    Args:
        key: The target.
        partial: The key of the partial file.
        overwrite: Replace what is there.
        fsync: Wait for the disk before and after publishing.
        attributes: What the file is given.

    Raises:
        IsAFolderError: A folder stands there.
        ObjectExistsError: Something stands there, and it is not to be replaced.
        UnsupportedPersistenceOp: What stands there is a pipe, a socket or a device.
    """

    __slots__ = ("_attributes", "_fsync", "_mode", "_overwrite", "key", "partial", "target")

    def __init__(self, key: str, partial: str, *, overwrite: bool, fsync: bool, attributes: Attributes = NO_ATTRIBUTES) -> None:
        self.key, self._overwrite, self._fsync, self._attributes = key, overwrite, fsync, attributes
        self.target, self.partial = path_of(key), path_of(partial)
        self._mode = attributes.mode
        try:
            there = os.stat(self.target)
        except OSError as exc:
            if exc.errno not in _NOTHING_THERE:
                raise
            if not overwrite and os.path.lexists(self.target):
                raise ObjectExistsError("exists already, and overwrite=False") from None
            return
        if stat.S_ISDIR(there.st_mode):
            raise IsAFolderError("a folder stands there")
        if not overwrite:
            raise ObjectExistsError("exists already, and overwrite=False")
        refuse_special(there)
        if self._mode is None:
            self._mode = stat.S_IMODE(there.st_mode) & 0o777  # a replacement keeps its mode

    def create(self) -> int:
        """Make the partial file, and the folders it needs; its descriptor is open for both ways."""
        flags = _FLAGS | os.O_RDWR | os.O_CREAT | os.O_EXCL
        try:
            return os.open(self.partial, flags, 0o666)
        except FileNotFoundError:
            make_parents(self.target)
        except OSError as exc:
            raise self._about_target(exc) from None
        try:
            return os.open(self.partial, flags, 0o666)
        except OSError as exc:
            raise self._about_target(exc) from None

    def take_up(self) -> int:
        """Open the partial file that is there."""
        return os.open(self.partial, _FLAGS | os.O_RDWR)

    def _about_target(self, exc: OSError) -> Exception:
        """With the name the caller knows."""
        if exc.errno == errno.ENOTDIR:
            return NotAFolderError(f"{os.path.dirname(self.target)} is not a folder")
        exc.filename = self.target
        return exc

    def publish(self, descriptor: int) -> ObjectInfo:
        """Close the partial file and give it its name, atomically.

        Args:
            descriptor: Of the partial file; closed in any case.

        Returns:
            The file, whatever others do to the name from now on.
        """
        try:
            if self._fsync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)  # first of all: over a network, closing may still change the time
        return self._rename(self._finished())

    def _finished(self) -> os.stat_result:
        """Mode and time are set before anybody can see the file."""
        found, mtime = os.stat(self.partial), self._attributes.mtime
        if self._mode is not None and stat.S_IMODE(found.st_mode) != self._mode:
            os.chmod(self.partial, self._mode)
        if mtime is None:
            return found
        os.utime(self.partial, ns=(found.st_atime_ns, mtime))
        return os.stat(self.partial)

    def _rename(self, found: os.stat_result) -> ObjectInfo:
        if self._overwrite:
            try:
                os.replace(self.partial, self.target)
            except OSError:
                if os.path.isdir(self.target):
                    raise IsAFolderError("a folder stands there") from None
                raise
        else:
            # link() refuses an existing name atomically and shows a complete file; rename() would replace it.
            _link(self.partial, self.target)
            self.discard()
        if self._fsync:
            _fsync_folder(os.path.dirname(self.target))
        return info_of(self.key, found)

    def discard(self) -> None:
        """Remove the partial file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.partial)


class LocalWriter:
    """A partial file that grows from its beginning.

    Args:
        staging: Where it goes.
        piece: Bytes to read back at once.
    """

    def __init__(self, staging: Staging, piece: int) -> None:
        self._staging, self._piece = staging, piece
        self._descriptor: int | None = None
        self._descriptor = staging.create()
        self._whole = True

    def write(self, data: bytes) -> None:
        """Append to the partial file."""
        complete, self._whole = self._whole, False
        with Translated("write", self._staging.key):
            descriptor = self._open()
            written = os.write(descriptor, data)
            if written < len(data):
                view = memoryview(data)[written:]
                while view:
                    view = view[os.write(descriptor, view) :]
        self._whole = complete

    def _open(self) -> int:
        if self._descriptor is None:
            raise StoreError("was committed or given up")
        return self._descriptor

    @property
    def restartable(self) -> bool:
        """What fails on this machine fails again."""
        return False

    def read_back(self) -> Iterator[bytes]:
        """Read the partial file."""
        with Translated("read back", self._staging.key), open(self._staging.partial, "rb", buffering=0) as file:
            while data := file.read(self._piece):
                yield data

    def commit(self) -> ObjectInfo:
        """Rename onto the target, or link to it where it must not exist."""
        try:
            with Translated("write", self._staging.key):
                if not self._whole:
                    raise StoreError("an earlier write failed, so this file can no longer be written whole")
                descriptor, self._descriptor = self._open(), None
                try:
                    return self._staging.publish(descriptor)
                except BaseException:
                    self._staging.discard()
                    raise
        finally:
            self.abort()

    def abort(self) -> None:
        """Remove the partial file."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
            self._staging.discard()

    def __del__(self) -> None:
        if getattr(self, "_descriptor", None) is not None:
            self.abort()


def make_parents(path: str) -> None:
    """Make the folders above a path.

    Raises:
        NotAFolderError: One of them is a file.
    """
    folder = os.path.dirname(path)
    try:
        os.makedirs(folder, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as exc:
        raise NotAFolderError(f"{folder} is a file, or lies below one") from exc


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError as exc:
        if exc.errno not in _NO_LINKS:
            raise
        raise UnsupportedPersistenceOp("overwrite=False needs hard links, which this file system does not have") from exc


def _fsync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
