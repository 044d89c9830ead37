"""File objects over a `Store`: reading is pinned to one version, writing publishes only on a clean close."""

from __future__ import annotations

import codecs
import io
import logging
import sys
import warnings
from collections.abc import Iterator
from types import TracebackType
from typing import IO, Any, Final, cast

from persistence_fsspec.errors import InvalidOptionError
from persistence_fsspec.events import emit
from persistence_fsspec.store import ObjectInfo, Store, Writer
from persistence_fsspec.stores.janitor import clean_later, employ

_READ_AHEAD: Final = 4 * 1024 * 1024
_PIECE: Final = 16 * 1024 * 1024


def in_pieces(data: Any) -> Iterator[bytes]:
    """What has the buffer protocol, as bytes; what others may change is copied piece by piece, and not as a whole."""
    if isinstance(data, bytes):
        yield data
        return
    view = memoryview(data).cast("B")
    for start in range(0, max(1, len(view)), _PIECE):
        yield bytes(view[start : start + _PIECE])


class ObjectReader(io.RawIOBase):
    """Random access to one version of an object.

    Args:
        store: Where it lies.
        info: The version; a later one raises `ChangedDuringReadError`.
    """

    def __init__(self, store: Store, info: ObjectInfo) -> None:
        self._store, self._info = store, info
        self._position = 0
        self._size = info.size if info.size is not None else len(store.read(info.key))

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; nothing is read."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if origin + offset < 0:
            raise ValueError(f"negative seek position {origin + offset}")
        self._position = origin + offset
        return self._position

    def tell(self) -> int:
        """Where the next byte comes from."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read one range."""
        view = memoryview(buffer).cast("B")
        end = min(self._position + len(view), self._size)
        if end <= self._position:
            return 0
        data = self._store.read(self._info.key, self._position, end, pin=self._info)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)


class ObjectWriter(io.RawIOBase):
    """Bytes on their way to an object; an exception in the ``with`` block discards them.

    So does closing the file in a ``finally``, as pandas, pyarrow and fsspec do on
    their way out: a file that is closed while an exception is being handled, one
    that came after the file was opened, publishes nothing, and logs that.
    """

    def __init__(self, writer: Writer) -> None:
        employ()
        self._writer: Writer | None = writer
        self._written = 0
        self._known = sys.exc_info()[1]

    def writable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Bytes written so far."""
        return self._written

    def write(self, data: Any) -> int:
        """Take all of it."""
        if self._writer is None:
            raise ValueError("write to a closed file")
        size = 0
        for piece in in_pieces(data):
            self._writer.write(piece)
            size += len(piece)
        self._written += size
        return size

    def close(self) -> None:
        """Publish, unless something has gone wrong."""
        handled = sys.exc_info()[1]
        if self._writer is not None and handled is not None and handled is not self._known:
            why = type(handled).__name__
            emit("write_discarded", f"a file closed while {why} was being handled was not published", level=logging.WARNING)
            self.discard()
            return
        writer, self._writer = self._writer, None
        super().close()
        if writer is not None:
            try:
                writer.commit()
            finally:
                writer.abort()

    def discard(self) -> None:
        """Close without publishing."""
        writer, self._writer = self._writer, None
        super().close()
        if writer is not None:
            writer.abort()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def __del__(self) -> None:
        writer: Writer | None = getattr(self, "_writer", None)
        if writer is not None:
            warnings.warn(
                "a file opened for writing was dropped without close(); nothing was published", ResourceWarning, stacklevel=2
            )
            self._writer = None
            super().close()
            clean_later(writer.abort)


class TextWriter(io.TextIOBase):
    """Text over an `ObjectWriter`.

    Not an `io.TextIOWrapper`: that one publishes what was merely dropped, and
    leaves out the byte order mark where it cannot seek.
    """

    def __init__(self, raw: ObjectWriter, encoding: str) -> None:
        self._raw = raw
        self._encoder = codecs.getincrementalencoder(encoding)()

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, text: str) -> int:
        """Encode and pass on."""
        self._raw.write(self._encoder.encode(text))
        return len(text)

    def close(self) -> None:
        """Publish."""
        if not self.closed:
            self._raw.write(self._encoder.encode("", final=True))
            super().close()
            self._raw.close()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            super().close()
            self._raw.discard()

    def __del__(self) -> None:
        """The `ObjectWriter` says what is to be said of a file that was dropped."""


def check_mode(mode: str, encoding: str | None) -> str:
    """Tell what a mode asks for, as one of ``r``, ``w``, ``x`` and ``a``.

    Raises:
        InvalidOptionError: Not a mode of `FSSpecPersistence.open`, or bytes with an encoding.
    """
    if encoding and "b" in mode:
        raise InvalidOptionError(f"mode {mode!r} means bytes, which have no encoding; leave the b out for text")
    kind = mode.replace("b", "").replace("t", "")
    if kind not in {"r", "w", "x", "a"} or ("b" in mode and "t" in mode):
        raise InvalidOptionError(f"mode {mode!r} is unknown; choose r, w, x or a, with b for bytes")
    return kind


def open_reader(store: Store, key: str, mode: str, encoding: str | None, *, pin: ObjectInfo | None = None) -> IO[Any]:
    """A buffered, seekable file for reading; without a *pin*, of the version that is there now."""
    raw = ObjectReader(store, pin or store.info(key))
    size = max(1, min(_READ_AHEAD, raw._size))
    buffered = io.BufferedReader(raw, buffer_size=size)
    if "b" in mode:
        return buffered
    return io.TextIOWrapper(buffered, encoding=encoding or "utf-8")


def open_writer(writer: Writer, mode: str, encoding: str | None) -> IO[Any]:
    """A file for writing; text goes through without a second buffer."""
    raw = ObjectWriter(writer)
    if "b" in mode:
        return cast("IO[Any]", raw)
    return cast("IO[Any]", TextWriter(raw, encoding or "utf-8"))


class Appender:
    """Collects what is appended until close: a `Writer` over `Store.append`."""

    def __init__(self, store: Store, key: str) -> None:
        self._store, self._key, self._data = store, key, bytearray()

    def write(self, data: bytes) -> None:
        """Collect."""
        self._data += data

    @property
    def restartable(self) -> bool:
        """Not even once: it may have been appended."""
        return False

    def read_back(self) -> None:
        """There is nothing at the store yet."""
        return

    def commit(self) -> ObjectInfo:
        """Append it all."""
        self._store.append(self._key, bytes(self._data))
        return self._store.info(self._key)

    def abort(self) -> None:
        """Forget it all."""
        self._data.clear()
