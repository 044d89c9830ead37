"""What serializers write big data by: files of a folder, or a filesystem. Both lead to any URL."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

from fsspec import AbstractFileSystem

from persistence_fsspec.errors import ObjectNotFoundError, PersistenceError
from persistence_fsspec.faces.fsspec import PersistFileSystem
from persistence_fsspec.faces.functionfuse import pickles
from persistence_fsspec.faces.functionfuse.pickles import Kept
from persistence_fsspec.faces.functionfuse.places import file_key
from persistence_fsspec.location import local_path, parse
from persistence_fsspec.persistence import FSSpecPersistence

FILE_PROTOCOL: Final = "file_protocol"
"""Name of an object with ``open(filename, mode)`` and ``remove(filename)``."""

S3_PROTOCOL: Final = "s3 protocol"
"""Name of ``{"client": filesystem, "folder": path in it}``; whose filesystem is fsspec's, and any store is behind it."""

BOTH: Final = (FILE_PROTOCOL, S3_PROTOCOL)


class FileProtocol:
    """The files of one folder of big data.

    Serializers get files of this machine. What is opened for writing can be read back and sought in, as HDF5 needs it,
    and appears whole when it is closed. What is opened for reading is fetched first: h5py may wait for ever for a file
    object that works with threads (https://docs.h5py.org/en/stable/high/file.html#python-file-like-objects).

    Args:
        persistence: Where.
        folder: The key of the folder.
        notes: Are told of what is written.

    Attributes:
        path: URL of the folder.
    """

    def __init__(self, persistence: FSSpecPersistence, folder: str, notes: Notes) -> None:
        self.path = persistence.url(folder)
        self._persistence, self._folder, self._notes = persistence, folder, notes

    def open(self, filename: str, mode: str = "rb") -> IO[Any]:
        """Open a file of the folder, as `FSSpecPersistence.open` does."""
        key = file_key(self._folder, filename)
        if mode == "rb":
            location = parse(self.path)
            if location.protocol == "file":
                return LocalFile(io.FileIO(local_path(f"{location.key}/{filename}")))
            return LocalFile.fetched(lambda path: self._persistence.get(key, path))
        if "w" in mode and "b" in mode:
            return Spool(lambda path: self._publish(path, key))
        if "r" not in mode:
            self._notes.begin(key)
        return self._persistence.open(key, mode)

    def read(self, filename: str, start: int, end: int) -> bytes:
        """Read the half-open range ``[start, end)`` of a file, and nothing else of it.

        Raises:
            ObjectNotFoundError: It is not there, also where the range is empty.
        """
        return self._persistence.read_bytes(file_key(self._folder, filename), start=start, end=end)

    def remove(self, filename: str) -> None:
        """Remove a file of the folder.

        Raises:
            ObjectNotFoundError: It is not there.
        """
        key = file_key(self._folder, filename)
        if not self._notes.spares(key):
            self._persistence.delete(key)

    def _publish(self, path: Path, key: str) -> None:
        self._notes.begin(key)
        self._persistence.put(path, key)


class Spool(io.BufferedRandom):
    """A file of this machine that is handed on when it is closed.

    An exception in its ``with`` block, closing it while one is being handled, and merely dropping it hand on nothing.

    Args:
        publish: Is given the path of the file.
    """

    _path: Path | None = None

    def __init__(self, publish: Callable[[Path], None]) -> None:
        handle, name = tempfile.mkstemp(prefix="persistence-fsspec-")
        super().__init__(io.FileIO(handle, "w+b"))
        self._path, self._publish, self._known = Path(name), publish, sys.exc_info()[1]

    def close(self) -> None:
        """Hand it on, unless something has gone wrong."""
        handled = sys.exc_info()[1]
        self._finish(publish=handled is None or handled is self._known)

    def discard(self) -> None:
        """Close it, and forget what was written."""
        self._finish(publish=False)

    def _finish(self, *, publish: bool) -> None:
        path, self._path = self._path, None
        if path is None:
            return
        try:
            super().close()
            if publish:
                self._publish(path)
        finally:
            path.unlink(missing_ok=True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def __del__(self) -> None:
        self.discard()


class LocalFile(io.BufferedReader):
    """A file of this machine. Who merely drops it has closed it, as with all that is read from a store.

    Args:
        raw: The file.
        clear: What is done when it is closed.
    """

    def __init__(self, raw: io.FileIO, clear: Callable[[], object] = lambda: None) -> None:
        self._clear = clear
        super().__init__(raw)

    @classmethod
    def fetched(cls, fetch: Callable[[Path], object]) -> LocalFile:
        """A file that lies on this machine for as long as it is open.

        Args:
            fetch: Is given the path for it.
        """
        folder = Path(tempfile.mkdtemp(prefix="persistence-fsspec-"))
        clear = partial(shutil.rmtree, folder, ignore_errors=True)
        try:
            fetch(folder / "file")
            file = cls(io.FileIO(folder / "file"), clear)
        except BaseException:
            clear()
            raise
        weakref.finalize(file, clear)  # at the end of the program, too
        return file

    def close(self) -> None:
        """Close it, and remove it when it was fetched."""
        super().close()
        self._clear()

    def __del__(self) -> None:
        self.close()


class Notes:
    """What one operation writes: new things, and things that took the place of others, which an earlier result may need.

    Args:
        persistence: Where.

    Attributes:
        new: Keys that were not there before.
        ending: Whether what was written is being taken back.
    """

    def __init__(self, persistence: FSSpecPersistence) -> None:
        self.new: set[str] = set()
        self.ending = False
        self._persistence, self._folders, self._replaced = persistence, set[str](), set[str]()

    def begin(self, key: str) -> None:
        """Note that a key is going to be written. A store is asked once for all that is written in a new folder."""
        if key in self._replaced:
            return
        folder = key.rpartition("/")[0]
        if folder not in self._folders and not self._persistence.exists(folder):
            self._folders.add(folder)
        if folder in self._folders or key in self.new or not self._persistence.exists(key):
            self.new.add(key)
        else:
            self._replaced.add(key)

    def spares(self, path: str) -> bool:
        """Whether something is not to be removed now, because it was there before, or has such things in it."""
        return self.ending and any(f"{key}/".startswith(f"{path}/") for key in self._replaced)


class LiteralPaths(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A filesystem whose paths are names: fsspec's mappings, by which zarr 2 works, take ``run[0-9]`` for a pattern."""

    def expand_path(self, path: Any, recursive: bool = False, *more: Any, **options: Any) -> Any:  # noqa: FBT001, FBT002 - fsspec's
        if recursive:
            return super().expand_path(path, recursive, *more, **options)
        return [self._strip_protocol(one) for one in ([path] if isinstance(path, str | os.PathLike) else path)]


class NotingFileSystem(LiteralPaths, PersistFileSystem):
    """A filesystem that notes what is written by it.

    Args:
        notes: Are told; without them nothing can be written.
    """

    def __init__(self, notes: Notes | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._notes = notes

    def __reduce__(self) -> Any:
        """In another process, nobody asks for what it notes."""
        return _noting_again, (self.adapter, self._notes is not None)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        self._begin(path)
        super().pipe_file(path, value, mode, **options)

    def put_file(self, lpath: str, rpath: str, mode: str = "overwrite", **options: Any) -> None:
        self._begin(rpath)
        super().put_file(lpath, rpath, mode, **options)

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        if "r" not in mode:
            self._begin(path)
        return super()._open(path, mode, **options)

    def rm_file(self, path: str) -> None:
        if not self._spares(path):
            super().rm_file(path)

    def rm(self, path: Any, recursive: bool = False, **options: Any) -> None:  # noqa: FBT001, FBT002 - fsspec's
        for one in [path] if isinstance(path, str) else path:
            if not self._spares(one):
                super().rm(one, recursive=recursive, **options)

    def _begin(self, path: str) -> None:
        if self._notes is None:  # a serializer that makes what it does not find
            raise ObjectNotFoundError(
                "not found, and nothing is made where something is looked for", operation="read", url=self.adapter.url(path)
            )
        self._notes.begin(self._strip_protocol(path))

    def _spares(self, path: str) -> bool:
        return self._notes is not None and self._notes.spares(self._strip_protocol(path))


def _noting_again(adapter: FSSpecPersistence, writes: bool) -> NotingFileSystem:  # noqa: FBT001 - pickle gives it so
    return NotingFileSystem(adapter=adapter, notes=Notes(adapter) if writes else None)


class BigData:
    """The folder of big data of one workflow, for one operation.

    Args:
        persistence: Where.
        folder: The key of the folder.
        offered: The protocols that serializers may choose from.

    Attributes:
        protocols: What serializers are given.
        attempts: What they are given one after the other, when they look for what was written before: functionfuse's
            storage on S3 and its other one write in different formats, and a pickle does not say which. Nothing can be
            written by these filesystems.
    """

    def __init__(self, persistence: FSSpecPersistence, folder: str, offered: tuple[str, ...] = BOTH) -> None:
        self._persistence = persistence
        self._notes = Notes(persistence)
        files = FileProtocol(persistence, folder, self._notes)

        def known(notes: Notes | None) -> dict[str, Any]:
            client = NotingFileSystem(adapter=persistence, notes=notes)
            return {FILE_PROTOCOL: files, S3_PROTOCOL: {"client": client, "folder": folder}}

        writing, reading = known(self._notes), known(None)
        self.protocols: dict[str, Any] = {name: writing[name] for name in offered}
        first = {name: reading[name] for name in offered}
        self.attempts = (first, {name: value for name, value in reading.items() if name != offered[0]})

    def take_back(self, kept: Iterable[Kept]) -> None:
        """Remove what was written meanwhile, as far as that is possible; what was there before stays.

        Args:
            kept: What serializers said that they have written; what they wrote before an error is known as well.
        """
        self._notes.ending = True
        for one in kept:
            with contextlib.suppress(Exception):  # the error that led here is the one to tell
                pickles.remove([one], (self.protocols,))
        for key in list(self._notes.new):
            with contextlib.suppress(PersistenceError):
                self._persistence.delete(key, missing_ok=True)
