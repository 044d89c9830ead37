"""Objects that arrive in parts, at stores that make one object of them by one last request."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from persistence_fsspec.attempt import cleaning_up
from persistence_fsspec.crc32c import combined
from persistence_fsspec.errors import ChecksumMismatchError, PersistenceError
from persistence_fsspec.store import ObjectInfo, Part
from persistence_fsspec.stores.driver import Driver
from persistence_fsspec.stores.uploading import Layout


class ObjectUpload:
    """One upload. See `Upload`; several threads may send.

    Args:
        driver: Of the store.
        key: The object's name.
        size: Of the object, in bytes.
        part_size: Of each part but the last; of one that is taken up, its own holds.
        token: Of an upload that was begun; empty to begin.
        overwrite: Replace what is there.
        metadata: Text to keep with it.

    Raises:
        ObjectNotFoundError: There is no such upload any more.
        UnsupportedPersistenceOp: This store cannot keep ``overwrite=False`` for an object in parts.
    """

    def __init__(
        self,
        driver: Driver,
        key: str,
        *,
        size: int,
        part_size: int,
        token: str = "",
        overwrite: bool = True,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self._driver, self._key, self._size = driver, key, size
        self._committed: ObjectInfo | None = None
        with driver.call("write", key) as fs:
            self._arriving = driver.dialect.upload(
                fs,
                driver.path(key),
                size=size,
                part_size=part_size,
                token=token,
                create=not overwrite,
                metadata=metadata,
            )

    @property
    def token(self) -> str:
        """Names it, at the store it was begun at."""
        return self._arriving.token

    @property
    def part_size(self) -> int:
        """Bytes of every part but the last."""
        return self._arriving.part_size

    def parts(self) -> Sequence[Part]:
        """Ask the store."""
        with self._driver.call("write", self._key) as fs:
            return self._arriving.parts(fs)

    def send(self, number: int, data: bytes, crc32c: str) -> Part:
        """Send one part by one request; the same number again replaces it."""
        self._layout().require(number, data)
        with self._driver.call("write", self._key) as fs:
            return self._arriving.send(fs, number, data, crc32c)

    def read_back(self, part: Part) -> bytes | None:
        """A part as it arrived; None where the store shows nothing before `commit`."""
        with self._driver.call("read back", self._key) as fs:
            return self._arriving.read_back(fs, part)

    def commit(self, parts: Sequence[Part], crc32c: str) -> ObjectInfo:
        """Have the store make the object, once it is certain that these parts make it."""
        if self._committed is not None:  # and nobody heard of it
            return self._committed
        self._layout().require_all(parts)
        self._require_same(parts, crc32c)
        with self._driver.call("write", self._key) as fs:
            # An empty object has no parts; stores want one.
            told = self._arriving.commit(fs, parts or [self._arriving.send(fs, 0, b"", crc32c)], crc32c)
        # Only a store that said too little is asked once more.
        self._committed = replace(told, key=self._key) if told is not None else self._driver.info(self._key)
        return self._committed

    def _layout(self) -> Layout:
        return Layout(self._size, self.part_size)

    def _require_same(self, parts: Sequence[Part], whole: str) -> None:
        known = [(part.size, part.crc32c) for part in parts if part.crc32c]
        if len(known) == len(parts) and (made := combined(known)) != whole:
            error = ChecksumMismatchError(
                f"CRC32C of all parts together is {made}, and should be {whole}; nothing was published",
                operation="write",
                url=self._driver.url(self._key),
            )
            error.retryable = False  # the same parts would make the same
            raise error

    def abort(self) -> None:
        """Have the store forget the parts, as far as it can."""
        if self._committed is None:
            with cleaning_up(), contextlib.suppress(PersistenceError), self._driver.call("delete", self._key) as fs:
                self._arriving.abort(fs)

    def leave(self) -> None:
        """Nothing of it is held here."""
