"""Objects being written: nothing stands under a name until it is complete."""

from __future__ import annotations

import contextlib
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import IO, Any

from persistence_fsspec.attempt import cleaning_up
from persistence_fsspec.errors import (
    AuthenticationError,
    ConflictError,
    ObjectExistsError,
    PersistenceError,
    StoreError,
    TruncatedError,
)
from persistence_fsspec.foreign import translated
from persistence_fsspec.store import ObjectInfo, Writer
from persistence_fsspec.stores.attributes import NO_ATTRIBUTES, Attributes
from persistence_fsspec.stores.dialects.base import Sink
from persistence_fsspec.stores.driver import WRITTEN_BY, Driver
from persistence_fsspec.stores.janitor import clean_later, employ
from persistence_fsspec.stores.partial import partial_key
from persistence_fsspec.stores.staging import Staged


@contextlib.contextmanager
def _aborting(writer: Writer) -> Iterator[None]:
    """A commit that failed for good leaves nothing; one that may be made again keeps what it has."""
    try:
        yield
    except BaseException as exc:
        passing = isinstance(exc, AuthenticationError) or (isinstance(exc, PersistenceError) and exc.retryable)
        if not passing:
            writer.abort()
        raise


def _drop_spool(writer: ObjectWriter | StagedWriter) -> None:
    """A temporary file of this machine is closed at once."""
    spool: IO[bytes] | None = getattr(writer, "_spool", None)
    if spool is not None:
        spool.close()


def _require_whole(writer: ObjectWriter | StagedWriter) -> None:
    """Bytes that got lost on the way are not to be missed in silence, whatever the caller does next."""
    if writer._failed or writer._aborted:
        raise StoreError(
            "an earlier write failed or was given up, so this object can no longer be written whole",
            operation="write",
            url=writer._driver.url(writer._key),
        )


class ObjectWriter:
    """For stores that commit whole objects: small ones by one request, large ones by parts.

    Args:
        driver: Of the store.
        key: The object's name.
        size: Bytes to come, when known.
        create: Refuse an existing object.
        if_match: Replace only this version.
        metadata: Text to keep with it.
    """

    def __init__(
        self,
        driver: Driver,
        key: str,
        *,
        size: int | None,
        create: bool,
        if_match: str | None,
        metadata: Mapping[str, str] | None,
    ) -> None:
        employ()
        self._driver, self._key, self._size, self._metadata = driver, key, size, metadata
        self._create, self._if_match = create, if_match
        # A condition that our own lost write has already met fails the second time; this tells whose write it was.
        self._writer_id = uuid.uuid4().hex if (create or if_match) and driver.capabilities.metadata else None
        self._tried = self._sent = self._aborted = self._failed = False
        self._told: ObjectInfo | None = None
        self._committed: ObjectInfo | None = None
        self._buffer: list[bytes] = []
        self._written = 0
        self._spool: IO[bytes] | None = None
        self._sink: Sink | None = None

    def write(self, data: bytes) -> None:
        """Collect up to one request, then send parts, or spool where a condition needs one request."""
        _require_whole(self)
        self._written += len(data)
        try:
            if self._spool is not None:
                self._to_disk(self._spool, data)
            elif self._sink is not None:
                self._send(data)
            else:
                self._buffer.append(data)
                if self._written > self._driver.dialect.object_part_size:
                    self._overflow()
        except BaseException:
            self._failed = True  # nobody knows how much of this arrived, so there is nothing to go on with
            raise

    def _overflow(self) -> None:
        if self._create or self._if_match:  # conditions hold for a single request only
            self._spool = tempfile.TemporaryFile()  # noqa: SIM115 - closed by commit or abort
        else:
            with self._driver.call("write", self._key) as fs:
                path = self._driver.path(self._key)
                self._sink = self._driver.dialect.sink(fs, path, size=self._size, metadata=self._metadata)
        pieces, self._buffer = self._buffer, []
        for data in pieces:
            if self._spool is not None:
                self._to_disk(self._spool, data)
            else:
                self._send(data)

    def _to_disk(self, spool: IO[bytes], data: bytes) -> None:
        with translated("spool to the temporary folder", lambda: self._driver.url(self._key)):
            spool.write(data)

    def _send(self, data: bytes) -> None:
        if self._sink is not None:
            step = self._driver.dialect.object_part_size  # a sink collects what it is given
            with translated("write", lambda: self._driver.url(self._key)):
                for start in range(0, len(data), step):
                    self._sink.write(data[start : start + step])

    def read_back(self) -> None:
        """The store shows nothing before `commit`."""
        return

    @property
    def restartable(self) -> bool:
        """As long as all bytes are still here: one request can be made again, an upload in parts cannot."""
        return self._sent or (self._sink is None and not self._aborted and not self._failed)

    def commit(self) -> ObjectInfo:
        """Complete the upload, or make the one request."""
        if self._committed is not None:  # and nobody heard of it
            return self._committed
        with _aborting(self):
            return self._commit()

    def _commit(self) -> ObjectInfo:
        if not self._sent:
            _require_whole(self)
            self._told = self._complete()
            self._sent = True
        self._committed = self._told or self._looked_at()
        self.abort()
        return self._committed

    def _looked_at(self) -> ObjectInfo:
        """What stands there now; no server gets away with less than it was sent."""
        found = self._driver.info(self._key)
        if found.size is not None and found.size < self._written:
            raise TruncatedError(f"{found.size} bytes stand there of {self._written}, unless somebody has replaced it since")
        return found

    def _complete(self) -> ObjectInfo | None:
        """What the answer says of the object; None when that is too little, and it has to be looked at."""
        if self._sink is not None:
            with self._driver.call("write", self._key):
                self._sink.close()
            self._sink = None
            return None
        tried, self._tried = self._tried, True
        try:
            with self._driver.call("write", self._key) as fs:
                told = self._write_at_once(fs)
        except (ConflictError, ObjectExistsError) as exc:
            if not (tried and self._is_ours()):
                exc.in_doubt = tried
                raise
            return None
        return None if told is None else replace(told, key=self._key)

    def _write_at_once(self, fs: Any) -> ObjectInfo | None:
        body: bytes | IO[bytes] = b"".join(self._buffer)
        if self._spool is not None:
            self._spool.seek(0)
            body = self._spool
        metadata = {**(self._metadata or {}), **({WRITTEN_BY: self._writer_id} if self._writer_id else {})}
        conditions: dict[str, Any] = {"create": self._create, "if_match": self._if_match, "metadata": metadata or None}
        return self._driver.dialect.write_object(fs, self._driver.path(self._key), body, **conditions)

    def _is_ours(self) -> bool:
        """Whether what stands there was written by an earlier try of this writer, whose answer was lost."""
        return self._writer_id is not None and self._driver.writer_id(self._key) == self._writer_id

    def abort(self) -> None:
        """Take an unfinished upload back."""
        self._aborted = True
        self._buffer = []
        sink, self._sink = self._sink, None
        if sink is not None:
            with cleaning_up():
                sink.abort()
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def __del__(self) -> None:
        _drop_spool(self)
        if getattr(self, "_sink", None) is not None:
            clean_later(self.abort)


class StagedWriter:
    """For stores of files: bytes go to a partial name, which is then renamed.

    Args:
        driver: Of the store.
        key: The object's name.
        overwrite: Replace what is there; otherwise renaming refuses it.
        piece: Bytes kept in memory where all of them are sent in one request.
        attributes: What the file is given before it gets its name.
    """

    def __init__(self, driver: Driver, key: str, *, overwrite: bool, piece: int, attributes: Attributes = NO_ATTRIBUTES) -> None:
        employ()
        self._driver, self._key = driver, key
        self._partial = key if driver.capabilities.publish == "direct" else partial_key(key)
        self._object = Staged(driver, key, self._partial, overwrite=overwrite, attributes=attributes)
        self._written = 0
        self._fs: Any = None
        self._sink: Sink | None = None
        self._spool: IO[bytes] | None = None
        self._staged = self._failed = self._aborted = False
        self._committed: ObjectInfo | None = None
        self._to_discard = False
        if driver.habits.stage == "spool" or driver.capabilities.threads == "serial":
            self._spool = tempfile.SpooledTemporaryFile(max_size=piece)  # noqa: SIM115 - closed by commit or abort
        else:
            driver.with_parents(key, self._open_sink)

    def _open_sink(self) -> None:
        """The sink keeps its connection until it is closed."""
        driver = self._driver
        with translated("write", lambda: driver.url(self._key)):
            fs = driver.connections.acquire()
            self._to_discard = True  # also when the answer to opening it is lost
            try:
                self._sink = driver.dialect.sink(fs, driver.path(self._partial), size=None, metadata=None)
            except BaseException as exc:
                driver.connections.release(fs, broken=driver.connections.is_broken(exc))
                raise
        self._fs = fs

    def write(self, data: bytes) -> None:
        """Send, or spool."""
        _require_whole(self)
        self._written += len(data)
        try:
            with translated("write", lambda: self._driver.url(self._key)):
                if self._spool is not None:
                    self._spool.write(data)
                elif self._sink is not None:
                    self._sink.write(data)
        except BaseException:
            self._failed = True
            raise

    def read_back(self) -> Iterator[bytes]:
        """Read the partial object, once all of it is at the store."""
        self._finish()
        with (
            self._driver.call("read back", self._partial) as fs,
            contextlib.closing(self._driver.dialect.stream(fs, self._driver.path(self._partial), 1 << 20)) as pieces,
        ):
            yield from pieces

    def _finish(self) -> None:
        if self._staged:
            return
        if self._spool is not None:
            spool = self._spool
            self._to_discard = True
            self._driver.with_parents(self._partial, lambda: self._send(spool))
            spool.close()
            self._spool = None
        elif self._sink is not None:
            sink, self._sink = self._sink, None
            try:
                with translated("write", lambda: self._driver.url(self._key)):
                    sink.close()
            except BaseException as exc:
                self._failed = True
                self._give_back(broken=self._driver.connections.is_broken(exc))
                raise
            self._give_back(broken=False)
        self._staged = True

    def _send(self, spool: IO[bytes]) -> None:
        spool.seek(0)
        write = self._driver.dialect.write_object
        self._driver.do("write", self._partial, lambda fs, path: write(fs, path, spool))

    @property
    def restartable(self) -> bool:
        """Once all bytes are at the store, or as long as they are still here."""
        return self._committed is not None or (not self._failed and (self._staged or self._spool is not None))

    def commit(self) -> ObjectInfo:
        """See that all bytes are there, then publish."""
        if self._committed is not None:  # and nobody heard of it
            return self._committed
        with _aborting(self):
            return self._commit()

    def _commit(self) -> ObjectInfo:
        _require_whole(self)
        self._finish()
        try:
            self._committed = self._object.publish(self._written)
        finally:
            self._failed = self._failed or self._object.incomplete
        self._to_discard = False
        self.abort()
        return self._committed

    def abort(self) -> None:
        """Give the connection back, and remove the partial object."""
        with cleaning_up():
            self._abort()

    def _abort(self) -> None:
        self._aborted = True
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.abort()
            # A private connection may be out of step after a transfer that was cut off.
            self._give_back(broken=self._driver.capabilities.threads == "pooled")
        if self._spool is not None:
            self._spool.close()
            self._spool = None
        self._staged = False
        if self._to_discard:
            self._to_discard = False
            self._driver.discard(self._partial)

    def _give_back(self, *, broken: bool) -> None:
        fs, self._fs = self._fs, None
        self._driver.connections.release(fs, broken=broken)

    def __del__(self) -> None:
        _drop_spool(self)
        if getattr(self, "_sink", None) is not None or getattr(self, "_to_discard", False):
            clean_later(self.abort)
