"""Reading an object to its end, although the connection breaks on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

from persistence_fsspec.errors import ChangedDuringReadError, PersistenceError
from persistence_fsspec.store import ObjectInfo, Store

_ALGORITHM: Final = "blake2b"
_RESTARTS: Final = 3


class Resumed:
    """One stream, taken up again where it broke off.

    Where the store names versions, the rest is asked for by ranges of that version. Elsewhere it is read from the
    beginning once more, and what was delivered already is compared, because an object that was replaced may show
    neither in its size nor in its time.

    Args:
        store: Where from.
        key: The object.
        pin: The version to read; None for the one that is there now.
        piece: Bytes to ask for at once.
    """

    def __init__(self, store: Store, key: str, pin: ObjectInfo | None, piece: int) -> None:
        self._store, self._key, self._pin, self._piece = store, key, pin, piece
        self._given = pin is not None
        self._source: Iterator[bytes] | None = None
        self._delivered = self._restarts = 0
        self._seen = hashlib.new(_ALGORITHM, usedforsecurity=False)

    def next_piece(self) -> bytes | None:
        """The next bytes; None at the end. May be called again after an error, and then goes on."""
        try:
            if self._source is None:
                self._source = self._begin()
            piece = next(self._source, None)
        except ChangedDuringReadError:
            self.close()
            if self._given or self._delivered or self._restarts >= _RESTARTS:
                raise
            self._restarts += 1
            self._pin = None  # nothing was delivered yet: a clean beginning with the version that is there now
            return self.next_piece()
        except PersistenceError:
            self.close()
            raise
        if piece is not None:
            self._delivered += len(piece)
            if not self._strong:
                self._seen.update(piece)
        return piece

    def close(self) -> None:
        """Give the connection back."""
        source, self._source = self._source, None
        close = getattr(source, "close", None)
        if close is not None:
            close()

    @property
    def _strong(self) -> bool:
        return self._store.capabilities.pin == "version" and self._pin is not None and self._pin.version is not None

    def _begin(self) -> Iterator[bytes]:
        if self._pin is None:
            self._pin = self._store.info(self._key)
        if not self._delivered:
            return self._store.stream(self._key, pin=self._pin)
        if self._strong and self._pin.size is not None and self._store.capabilities.ranges:
            return self._ranges(self._pin, self._pin.size)
        return self._compared()

    def _ranges(self, pin: ObjectInfo, size: int) -> Iterator[bytes]:
        for start in range(self._delivered, size, self._piece):
            yield self._store.read(self._key, start, min(start + self._piece, size), pin=pin)

    def _compared(self) -> Iterator[bytes]:
        """From the beginning; what was delivered already has to be the same."""
        again = hashlib.new(_ALGORITHM, usedforsecurity=False)
        known = self._delivered
        for piece in self._store.stream(self._key, pin=self._pin):
            old, new = piece[:known], piece[known:]
            again.update(old)
            known -= len(old)
            if not known and old and again.digest() != self._seen.digest():
                raise ChangedDuringReadError(
                    "the object was replaced while it was being read", operation="read", url=self._store.url(self._key)
                )
            if new:
                yield new
        if known:
            raise ChangedDuringReadError(
                "the object became shorter while it was being read", operation="read", url=self._store.url(self._key)
            )
