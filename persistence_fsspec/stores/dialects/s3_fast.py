"""S3 through s3fs, whose readings and small writings take a shortcut where there is one."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import IO, Any, Final

from fsspec.asyn import sync

from persistence_fsspec.attempt import current
from persistence_fsspec.errors import (
    ConflictError,
    ConnectionFailedError,
    ObjectExistsError,
    OperationTimeoutError,
    PersistenceError,
    TruncatedError,
)
from persistence_fsspec.foreign import classify, http_status_in, was_unreachable
from persistence_fsspec.policy import Policy
from persistence_fsspec.store import ObjectInfo
from persistence_fsspec.stores.accelerated import Shortcut, is_only_heard_by_itself, is_usable_here, shortcut
from persistence_fsspec.stores.dialects.base import content_type, exactly, plain_etag
from persistence_fsspec.stores.dialects.s3 import S3Dialect
from persistence_fsspec.stores.dialects.s3_pages import hand_over, one_page

_CHUNK_BYTES: Final = 256 * 1024
"""Of a reading, taken at once; objects up to that size are written."""

_REST_SECONDS: Final = 5.0
_LONGEST_REST: Final = 600.0

# obstore takes keys apart and puts them together again: others would come out as another name.
_FAITHFUL: Final = re.compile(r"(?!\.{1,2}(/|$))[^/\x00-\x1f\x7f]+(/(?!\.{1,2}(/|$))[^/\x00-\x1f\x7f]+)*")
# It gives some names in metadata a meaning of their own.
_METADATA: Final = re.compile(r"(?!(cache-control|content-\w+|storage.class)$)[a-z0-9_-]+", re.IGNORECASE)

# Nothing was done then, so that the driver may do it, or say what is wrong with it.
_REFUSED: Final = frozenset({400, 401, 403, 404, 405, 411, 413, 414, 416, 501})
_UNHEARD: Final = frozenset({ConnectionFailedError, OperationTimeoutError, TruncatedError})


class _LeftToDriverError(Exception):
    """Nothing came of the shortcut; the driver is to do the same."""


@dataclass
class _Ways:
    """The shortcuts of one connected client.

    Attributes:
        client: That client; another one has ways of its own.
        found: By bucket; None where there is none.
        trusted: Buckets of which the driver itself got an answer; before that, nobody else asks.
        finding: Held while one is looked for.
        hands_over: The pages of listings, as they come.
    """

    client: Any
    found: dict[str, Shortcut | None] = field(default_factory=dict)
    trusted: set[str] = field(default_factory=set)
    finding: threading.Lock = field(default_factory=threading.Lock)
    hands_over: bool = field(init=False)

    def __post_init__(self) -> None:
        self.hands_over = is_only_heard_by_itself(self.client, "ListObjectsV2")
        if self.hands_over:
            hand_over(self.client)


class FastS3Dialect(S3Dialect):
    """Takes the shortcut or leaves it, one request at a time.

    What the shortcut does not know, or does not like, the driver does after it, in the same attempt. After any failure
    the shortcut rests for a while, twice as long each time: what is tried again, the driver answers.

    Args:
        policy: For time limits.
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self._policy = policy
        self._resting_until, self._rest = 0.0, _REST_SECONDS

    # --- finding the way ---

    def _way(self, fs: Any, path: str) -> tuple[Shortcut, str] | None:
        """The shortcut to a path, and the key there."""
        bucket, _, key = path.partition("/")
        if self._resting_until > time.monotonic() or not is_usable_here() or not _FAITHFUL.fullmatch(key):
            return None
        ways = _ways(fs)
        if bucket not in ways.trusted:
            return None
        way = ways.found[bucket] if bucket in ways.found else self._find(fs, ways, bucket)
        return None if way is None else (way, key)

    def _find(self, fs: Any, ways: _Ways, bucket: str) -> Shortcut | None:
        with ways.finding:
            if bucket not in ways.found:
                try:
                    ways.found[bucket] = None if ":" in bucket else shortcut(fs, bucket, self._policy)
                except Exception:  # noqa: BLE001 - whatever it is, the driver does without, and says what is wrong if it is
                    attempt = current()
                    if attempt is not None:
                        attempt.require_time()  # another attempt may find it
                    ways.found[bucket] = None
            return ways.found[bucket]

    def _served(self, fs: Any, path: str, *, after_all: bool) -> None:
        """The driver got its answer: it trusts the other side, and is trusted. After the shortcut had none, that has to rest."""
        _ways(fs).trusted.add(path.partition("/")[0])
        if after_all:
            self._failed()

    def _failed(self) -> None:
        now = time.monotonic()
        if self._resting_until <= now:  # not once for each of the requests in flight
            self._resting_until, self._rest = now + self._rest, min(2 * self._rest, _LONGEST_REST)

    # --- looking ---

    def info(self, fs: Any, path: str) -> ObjectInfo:
        """By the driver, whose answer tells more."""
        found = super().info(fs, path)
        self._served(fs, path, after_all=False)
        return found

    def _pages(self, fs: Any, path: str, delimiter: str) -> Iterator[Mapping[str, Any]]:
        """As ever, but read by ourselves."""
        ways = _ways(fs)
        if not ways.hands_over:
            yield from super()._pages(fs, path, delimiter)
            return
        bucket, key, _ = fs.split_path(path)
        wanted = {"Bucket": bucket, "Prefix": f"{key}/" if key else "", "Delimiter": delimiter}
        while True:
            page = self.repeat(partial(one_page, fs, **wanted))
            ways.trusted.add(bucket)
            yield page
            if not page.get("IsTruncated"):
                return
            wanted["ContinuationToken"] = page["NextContinuationToken"]

    # --- reading ---

    def read(self, fs: Any, path: str, start: int | None, end: int | None, pin: ObjectInfo | None) -> bytes:
        """GET with If-Match."""
        if end is not None and end <= (start or 0):
            return b""
        found = self._way(fs, path) if pin is None or pin.version_id is None else None
        if found is not None:
            with contextlib.suppress(_LeftToDriverError):
                data = self._read(fs, *found, start or 0, end, pin)
                self._rest = _REST_SECONDS
                return data
        data = super().read(fs, path, start, end, pin)
        self._served(fs, path, after_all=found is not None)
        return data

    def _read(self, fs: Any, way: Shortcut, key: str, start: int, end: int | None, pin: ObjectInfo | None) -> bytes:
        version = pin.version if pin is not None else None
        options: dict[str, Any] = {"if_match": f'"{version}"'} if version else {}
        if start or end is not None:
            options["range"] = {"offset": start} if end is None else (start, end)
        try:
            data, etag = _get(fs, way.store, key, options)
        except PersistenceError:  # too short, or the attempt is over
            raise
        except Exception as exc:
            self._explain_reading(exc, early=way.silence_seconds < self._policy.stall_seconds)
            raise _LeftToDriverError from exc
        if version and etag != version:
            raise ConflictError("is another object by now")
        return data

    def _explain_reading(self, exc: Exception, *, early: bool) -> None:
        """Raise what the driver would only say again."""
        kind = classify(exc)
        if kind is ConflictError:
            raise ConflictError(_first_line(exc)) from exc
        if http_status_in(exc) not in _REFUSED:
            self._failed()
        if kind in _UNHEARD and not was_unreachable(exc) and not (early and kind is OperationTimeoutError):
            raise kind(_first_line(exc)) from exc

    # --- writing ---

    def write_object(
        self,
        fs: Any,
        path: str,
        body: bytes | IO[bytes],
        *,
        create: bool = False,
        if_match: str | None = None,
        metadata: Mapping[str, str] | None = None,
        **more: Any,
    ) -> ObjectInfo | None:
        """One PUT."""
        self._conditions.require(fs, path, create=create, if_match=if_match)
        found, tried = None, False
        if isinstance(body, bytes) and len(body) <= _CHUNK_BYTES and not any(more.values()) and _is_plain(metadata or {}):
            found = self._way(fs, path)
        if found is not None and found[0].writes and isinstance(body, bytes):
            tried = True
            with contextlib.suppress(_LeftToDriverError):
                etag = self._write(*found, body, create=create, if_match=if_match, metadata=metadata)
                self._rest = _REST_SECONDS
                return ObjectInfo(key=path, size=len(body), version=etag, digest=("md5", etag)) if etag else None
        said = super().write_object(fs, path, body, create=create, if_match=if_match, metadata=metadata, **more)
        self._served(fs, path, after_all=tried)
        return said

    def _write(
        self, way: Shortcut, key: str, body: bytes, *, create: bool, if_match: str | None, metadata: Mapping[str, str] | None
    ) -> str | None:
        """The ETag, where it proves what was written: keys of the server's own make another one."""
        kind = content_type(key)
        attributes = {**(metadata or {}), **({"Content-Type": kind} if kind else {})}
        options: dict[str, Any] = {"attributes": attributes} if attributes else {}
        if create or if_match:
            options["mode"] = "create" if create else {"e_tag": f'"{if_match}"'}
        try:
            etag = plain_etag(way.store.put(key, body, use_multipart=False, **options)["e_tag"])
        except Exception as exc:
            self._explain_writing(exc, create=create, conditional="mode" in options)
            raise _LeftToDriverError from exc
        return etag if etag == hashlib.md5(body, usedforsecurity=False).hexdigest() else None

    def _explain_writing(self, exc: Exception, *, create: bool, conditional: bool) -> None:
        """Raise what the driver would only say again, or must not be made to do again.

        A write with a condition may have been done unheard, and then would be in its own way: its writer has to know.
        """
        kind, status = classify(exc), http_status_in(exc)
        if conditional and kind in {ConflictError, ObjectExistsError}:
            raise (
                ObjectExistsError("exists already, and overwrite=False") if create else ConflictError(_first_line(exc))
            ) from exc
        if status in _REFUSED:
            return
        self._failed()
        if was_unreachable(exc):
            return
        if conditional:
            said = kind if kind is not None and (kind in _UNHEARD or status is not None) else ConnectionFailedError
            raise said(_first_line(exc)) from exc
        if kind in _UNHEARD and kind is not OperationTimeoutError:
            raise kind(_first_line(exc)) from exc


def _ways(fs: Any) -> _Ways:
    client = fs.s3
    ways: _Ways | None = vars(fs).get("_persistence_fsspec_ways")
    if ways is None or ways.client is not client:  # connected for the first time, or again
        ways = fs._persistence_fsspec_ways = _Ways(client)
    return ways


def _get(fs: Any, store: Any, key: str, options: dict[str, Any]) -> tuple[bytes, str | None]:
    answer = store.get(key, options=options)
    begin, behind = answer.range
    size, etag = behind - begin, plain_etag(answer.meta["e_tag"])
    data = bytes(answer.bytes()) if size <= _CHUNK_BYTES else _collected(answer, sync(fs.loop, _room, size))
    return exactly(data, size), etag


def _collected(answer: Any, room: io.BytesIO) -> bytes:
    """Piece by piece: asked for everything, obstore would hold it twice beside our own copy."""
    attempt = current()
    for piece in answer.stream(min_chunk_size=_CHUNK_BYTES):
        room.write(piece)
        if attempt is not None:
            attempt.require_time()
    room.truncate()
    return room.getvalue()


async def _room(size: int) -> io.BytesIO:
    """An empty buffer that has its size already.

    The C library keeps what each thread has freed for that thread: with buffers of their own, threads would hold on to
    many times what they use. These all come from one thread, the event loop's, as the driver's own do.
    """
    room = io.BytesIO()
    room.seek(size - 1)
    room.write(b"\0")
    room.seek(0)
    return room


def _is_plain(metadata: Mapping[str, str]) -> bool:
    return all(
        _METADATA.fullmatch(name) and text.isascii() and text.isprintable() and text == text.strip()
        for name, text in metadata.items()
    )


def _first_line(exc: Exception) -> str:
    """Without the inner life of obstore, which follows."""
    return str(exc).partition("\n")[0]
