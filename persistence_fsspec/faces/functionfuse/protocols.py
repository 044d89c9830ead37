"""What serializers write big data by: files of a folder, or a filesystem. Both lead to any URL."""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

from persistence_fsspec.errors import PersistenceError
from persistence_fsspec.faces.fsspec import PersistFileSystem
from persistence_fsspec.faces.functionfuse import pickles
from persistence_fsspec.faces.functionfuse.pickles import Kept
from persistence_fsspec.faces.functionfuse.places import file_key
from persistence_fsspec.persistence import FSSpecPersistence

FILE_PROTOCOL: Final = "file_protocol"
"""Name of an object with ``open(filename, mode)`` and ``remove(filename)``."""

S3_PROTOCOL: Final = "s3 protocol"
"""Name of ``{"client": filesystem, "folder": path in it}``; whose filesystem is fsspec's, and any store is behind it."""

BOTH: Final = (FILE_PROTOCOL, S3_PROTOCOL)


class FileProtocol:
    """The files of one folder of big data.

    What is opened for writing can be read back and sought in, as HDF5 needs it: it is collected in a file of this
    machine, and appears whole when it is closed.

    Args:
        persistence: Where.
        folder: The key of the folder.

    Attributes:
        path: URL of the folder.
        written: Keys of what was written by `open`.
    """

    def __init__(self, persistence: FSSpecPersistence, folder: str) -> None:
        self.path = persistence.url(folder)
        self.written: list[str] = []
        self._persistence, self._folder = persistence, folder

    def open(self, filename: str, mode: str = "rb") -> IO[Any]:
        """Open a file of the folder, as `FSSpecPersistence.open` does; for reading it is seekable, and pinned to its version."""
        key = file_key(self._folder, filename)
        if "w" in mode and "b" in mode:
            return Spool(lambda path: self._publish(path, key))
        file = self._persistence.open(key, mode)
        if "w" in mode or "x" in mode:
            self.written.append(key)
        return file

    def remove(self, filename: str) -> None:
        """Remove a file of the folder.

        Raises:
            ObjectNotFoundError: It is not there.
        """
        self._persistence.delete(file_key(self._folder, filename))

    def _publish(self, path: Path, key: str) -> None:
        self._persistence.put(path, key)
        self.written.append(key)


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


class NotingFileSystem(PersistFileSystem):
    """A filesystem that remembers what was written by it.

    Attributes:
        written: Paths, which are keys of its persistence.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.written: list[str] = []

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        self.written.append(self._strip_protocol(path))
        super().pipe_file(path, value, mode, **options)

    def put_file(self, lpath: str, rpath: str, mode: str = "overwrite", **options: Any) -> None:
        self.written.append(self._strip_protocol(rpath))
        super().put_file(lpath, rpath, mode, **options)

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        if "r" not in mode:
            self.written.append(self._strip_protocol(path))
        return super()._open(path, mode, **options)


class BigData:
    """The folder of big data of one workflow, for one operation.

    Args:
        persistence: Where.
        folder: The key of the folder.
        offered: The protocols that serializers may choose from.

    Attributes:
        protocols: What serializers are given.
        attempts: What they are given one after the other, when they look for what was written before: functionfuse's
            storage on S3 and its other one write in different formats, and a pickle does not say which.
    """

    def __init__(self, persistence: FSSpecPersistence, folder: str, offered: tuple[str, ...] = BOTH) -> None:
        self._persistence = persistence
        self._files = FileProtocol(persistence, folder)
        self._client = NotingFileSystem(adapter=persistence)
        known = {FILE_PROTOCOL: self._files, S3_PROTOCOL: {"client": self._client, "folder": folder}}
        self.protocols: dict[str, Any] = {name: known[name] for name in offered}
        self.attempts = (self.protocols, {name: value for name, value in known.items() if name != offered[0]})

    def take_back(self, kept: Iterable[Kept]) -> None:
        """Remove what was written meanwhile, as far as that is possible.

        Args:
            kept: What serializers said that they have written; what they wrote before an error is known as well.
        """
        for one in kept:
            with contextlib.suppress(Exception):  # the error that led here is the one to tell
                pickles.remove([one], (self.protocols,))
        for key in {*self._files.written, *self._client.written}:
            with contextlib.suppress(PersistenceError):
                self._persistence.delete(key, missing_ok=True)
