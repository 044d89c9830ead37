"""Objects in this process, by value: fsspec's memory files share one position among all readers."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import IO, Any, Final

from persistence_fsspec.errors import ChangedDuringReadError, IsAFolderError, NotAFolderError, ObjectExistsError
from persistence_fsspec.forks import whole_when_forked
from persistence_fsspec.store import ObjectInfo
from persistence_fsspec.stores.dialects.base import Dialect, Sink

# One lock for look-and-write: the store behind all instances is one dictionary.
_WRITING: Final = threading.Lock()
whole_when_forked(_WRITING)


class MemoryDialect(Dialect):
    """Quirks memory-*."""

    absolute = True

    pins_reads = True

    def info(self, fs: Any, path: str) -> ObjectInfo:
        """From the stored file itself, which knows more than its listing."""
        file = fs.store.get(path)
        return super().info(fs, path or "/") if file is None or fs.isdir(path) else _describe(path, file)

    def children(self, fs: Any, path: str) -> Iterator[ObjectInfo]:
        """One folder."""
        for found in super().children(fs, path):
            file = fs.store.get(found.key)
            yield found if file is None or found.is_folder else _describe(found.key, file)

    def read(self, fs: Any, path: str, start: int | None, end: int | None, pin: ObjectInfo | None) -> bytes:
        """A copy of the pinned version."""
        try:
            file = fs.store[path]
            if pin is not None and pin.version != _describe(path, file).version:
                raise ChangedDuringReadError("the object was replaced since it was looked at")
            return bytes(file.getbuffer()[start:end])
        except KeyError:
            if fs.isdir(path):
                raise IsADirectoryError(path) from None
            raise FileNotFoundError(path) from None

    def sink(self, fs: Any, path: str, *, size: int | None, metadata: Mapping[str, str] | None) -> Sink:  # noqa: ARG002
        """Collected, then stored whole."""
        return _MemorySink(self, fs, path)

    def write_object(
        self,
        fs: Any,
        path: str,
        body: bytes | IO[bytes],
        *,
        create: bool = False,
        if_match: str | None = None,  # noqa: ARG002 - not among this driver's capabilities
        metadata: Mapping[str, str] | None = None,  # noqa: ARG002 - nor this
    ) -> None:
        """Store a new file object."""
        data = body if isinstance(body, bytes) else body.read()
        with _WRITING:
            if fs.isdir(path):
                raise IsAFolderError("a folder stands there")
            if create and path in fs.store:
                raise ObjectExistsError("exists already, and overwrite=False")
            _store(fs, path, data)

    def append(self, fs: Any, path: str, data: bytes) -> None:
        """A new object: readers of the old one keep what they read."""
        with _WRITING:
            old = bytes(fs.store[path].getbuffer()) if path in fs.store else b""
            if fs.isdir(path):
                raise IsAFolderError("a folder stands there")
            _store(fs, path, old + data)


def _store(fs: Any, path: str, data: bytes) -> None:
    try:
        fs.pipe_file(path, data)
    except FileExistsError as exc:  # fsspec's word for a file among the parents
        raise NotAFolderError(f"{exc} is a file") from exc


class _MemorySink:
    def __init__(self, dialect: MemoryDialect, fs: Any, path: str) -> None:
        self._dialect, self._fs, self._path, self._pieces = dialect, fs, path, bytearray()

    def write(self, data: bytes) -> None:
        self._pieces += data

    def close(self) -> None:
        self._dialect.write_object(self._fs, self._path, bytes(self._pieces))

    def abort(self) -> None:
        self._pieces.clear()


def _describe(path: str, file: Any) -> ObjectInfo:
    modified: datetime = file.modified
    # Two writes within a microsecond differ by the object itself.
    version = f"{modified.timestamp():.6f}-{file.size}-{id(file):x}"
    return ObjectInfo(key=path, size=file.size, modified=modified, version=version)
