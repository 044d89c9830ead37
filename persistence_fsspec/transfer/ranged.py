"""A large object, part by part: several at once where that is possible, and taken up where an earlier run ended."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from persistence_fsspec.crc32c import ALGORITHM, combined, crc32c
from persistence_fsspec.errors import (
    ChangedDuringReadError,
    ChecksumMismatchError,
    ConflictError,
    ObjectNotFoundError,
    PersistenceError,
    StorageFullError,
    TruncatedError,
)
from persistence_fsspec.policy import Policy
from persistence_fsspec.store import Digest, ObjectInfo, Part, Store, Upload
from persistence_fsspec.transfer.arrived import Arrived, Stopped
from persistence_fsspec.transfer.budget import BUDGET
from persistence_fsspec.transfer.compare import fingerprint
from persistence_fsspec.transfer.journal import Journal, Unfinished
from persistence_fsspec.transfer.progress import Progress
from persistence_fsspec.transfer.reading import read_piece
from persistence_fsspec.transfer.verify import can_compute, confirmed, digest_of, named, require_same_again, take_away

Together = Callable[[Callable[[int], Any], Iterable[int]], None]
"""Calls a function with each number, with the help of idle workers."""

_SPARE: Final = 0.9
"""Of the number of parts that a store takes, so many are used."""

_SETTLED_SECONDS: Final = 60.0
"""A file that was last written so long before we came can hardly be replaced without a change of its time."""

_SETTLED: Final = ", at rest"
_USELESS: Final = (ChangedDuringReadError, ChecksumMismatchError, ConflictError, StorageFullError)
"""After these, nothing of what arrived is worth keeping: it is wrong, or takes the room that smaller files need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranged:
    """Copies large objects.

    Attributes:
        source: Where from.
        target: Where to.
        policy: How carefully.
        overwrite: Replace what is there.
        journal: Remembers what arrived, so that another run goes on there; None where nothing is kept.
        progress: Told of bytes.
        together: Works on parts with the help of others.
        stop: Once set, no further part is begun.
    """

    source: Store
    target: Store
    policy: Policy
    overwrite: bool
    journal: Journal | None
    progress: Progress
    together: Together
    stop: threading.Event

    def __call__(self, info: ObjectInfo, key: str, metadata: Mapping[str, str] | None) -> Arrived:
        """Copy one object; begin it, or go on with it."""
        upload, known = self._begin(info, key, metadata)
        work = _Work(self, info, upload, known)
        try:
            work.send()
            verified = work.verify_source()
            verified = work.read_back() or verified
            found = upload.commit(work.in_order(), work.crc32c())
        except BaseException as exc:
            self._end(info, upload, useless=isinstance(exc, _USELESS))
            work.take_back()
            raise
        self._forget(info)
        try:
            verified = self._verify_target(found, work) or verified or "size"
        except PersistenceError as exc:
            work.take_back()
            if isinstance(exc, ChecksumMismatchError):
                take_away(self.target, found)
            exc.retryable = exc.retryable and self.overwrite  # it stands there now, and would be in its own way
            raise
        return Arrived(info=found, moved=work.moved, digest=(ALGORITHM, work.crc32c()), verification=verified)

    # --- beginning and ending ---

    def _begin(self, info: ObjectInfo, key: str, metadata: Mapping[str, str] | None) -> tuple[Upload, dict[int, Part]]:
        old = self.journal.upload_of(info.key) if self.journal is not None else None
        if old is not None:
            taken_up = self._take_up(old, info, key, metadata)
            if taken_up is not None:
                return taken_up
            self._forget(info)
        size = info.size or 0
        options: dict[str, Any] = {"overwrite": self.overwrite, "metadata": metadata}
        upload = self.target.upload(key, size=size, part_size=self._part_size(size), **options)
        if self.journal is not None and upload.token:
            source = _identity(info)
            begun = Unfinished(target_key=key, token=upload.token, part_size=upload.part_size, source=source, parts={})
            self.journal.note_upload(info.key, begun)
        return upload, {}

    def _part_size(self, size: int) -> int:
        can = self.target.capabilities
        least = max(can.part_size_min, -(-size // int(can.parts_max * _SPARE)) if can.parts_max else 1)
        return max(self.policy.part_size, least)

    def _take_up(
        self, old: Unfinished, info: ObjectInfo, key: str, metadata: Mapping[str, str] | None
    ) -> tuple[Upload, dict[int, Part]] | None:
        options: dict[str, Any] = {"overwrite": self.overwrite, "metadata": metadata}
        try:
            upload = self.target.upload(old.target_key, size=info.size or 0, part_size=old.part_size, token=old.token, **options)
        except ObjectNotFoundError:
            return None
        try:
            known = _Known(self.source, self.target, info, old, upload)() if old.target_key == key else None
        except _USELESS:
            known = None
        except BaseException:
            upload.leave()
            raise
        if known is None:
            upload.abort()
            return None
        return upload, known

    def _end(self, info: ObjectInfo, upload: Upload, *, useless: bool) -> None:
        if self.journal is not None and upload.token and not useless:
            upload.leave()
            return
        upload.abort()
        self._forget(info)

    def _forget(self, info: ObjectInfo) -> None:
        if self.journal is not None:
            self.journal.upload_over(info.key)

    # --- afterwards ---

    def _verify_target(self, found: ObjectInfo, work: _Work) -> str:
        size, crc = work.info.size, work.crc32c()
        where: dict[str, str] = {"operation": "write", "url": self.target.url(found.key)}
        if found.size is not None and found.size != size:
            raise TruncatedError(f"{found.size} bytes arrived of {size}", **where)
        if self.policy.verify == "readback" and not work.was_read_back:
            if digest_of(self.target.stream(found.key, pin=found), ALGORITHM) != (ALGORITHM, crc):
                raise ChecksumMismatchError("what the store holds differs from what was sent", **where)
            return "readback"
        if self.policy.verify == "size" or found.digest is None or found.digest[0] != ALGORITHM:
            return ""
        if found.digest[1] != crc:
            raise ChecksumMismatchError(f"crc32c is {found.digest[1]} at the store and {crc} here", **where)
        return "readback" if work.was_read_back else ALGORITHM


class _Known:
    """Which parts of an upload that an earlier run began are there, and right."""

    def __init__(self, source: Store, target: Store, info: ObjectInfo, old: Unfinished, upload: Upload) -> None:
        self._source, self._target, self._info, self._old, self._upload = source, target, info, old, upload

    def __call__(self) -> dict[int, Part] | None:
        """By number; None when the source is not what it was, so that nothing of it is of use."""
        if self._old.source.removesuffix(_SETTLED) != fingerprint(self._info) or not fingerprint(self._info):
            return None
        known = self._at_hand() if self._target.capabilities.at_hand else self._listed()
        return known if known is None or self._is_still_the_same(known) else None

    def _at_hand(self) -> dict[int, Part]:
        """A file does not know which of its parts have arrived; the journal does, and they are looked at once more."""
        return {number: part for number, part in self._old.parts.items() if self._stands(part)}

    def _stands(self, part: Part) -> bool:
        data = self._upload.read_back(part)
        return data is not None and crc32c(data) == part.crc32c

    def _listed(self) -> dict[int, Part] | None:
        known = {}
        for part in self._upload.parts():
            noted = self._old.parts.get(part.number)
            if noted is not None and noted.size == part.size and noted.receipt == part.receipt:
                known[part.number] = noted
            elif self._target.capabilities.parts == "ordered":  # it cannot be sent again, so it has to be right
                data = self._source.read(self._info.key, *self._range(part), pin=self._info)
                if self._upload.read_back(part) != data:
                    return None
                known[part.number] = replace(part, crc32c=crc32c(data))
            elif self._source.capabilities.at_hand:  # it arrived, and only the answer to it did not
                data = self._source.read(self._info.key, *self._range(part), pin=self._info)
                if _is_of(part, data):
                    known[part.number] = replace(part, crc32c=crc32c(data))
        return known

    def _range(self, part: Part) -> tuple[int, int]:
        start = part.number * self._upload.part_size
        return start, start + part.size

    def _is_still_the_same(self, known: Mapping[int, Part]) -> bool:
        """Where the source has no versions: its size and time are the same, and so is the end of what has arrived."""
        if self._info.version is not None or not known:
            return True
        if not self._old.source.endswith(_SETTLED):
            return False
        last = known[max(known)]
        return crc32c(self._source.read(self._info.key, *self._range(last), pin=self._info)) == last.crc32c


class _Work:
    """One object on its way."""

    def __init__(self, how: Ranged, info: ObjectInfo, upload: Upload, known: dict[int, Part]) -> None:
        self._how, self.info, self._upload, self._parts = how, info, upload, known
        self._size = info.size or 0
        self._count = -(-self._size // upload.part_size)
        self._lock = threading.Lock()
        self.moved = 0
        self.was_read_back = False
        self._told, self._there = 0, sum(part.size for part in known.values())
        how.progress.expect(0, -self._there)  # as moved bytes they would be a speed that nobody has

    # --- sending ---

    def send(self) -> None:
        """Send what is missing."""
        missing = [number for number in range(self._count) if number not in self._parts]
        versioned = self.info.version is not None and self._how.source.capabilities.ranges
        if versioned and self._how.target.capabilities.parts == "any":
            self._how.together(self._send_one, missing)
        elif versioned or self._parts:
            for number in missing:
                self._send_one(number)
        else:
            self._send_stream()
        if self._how.source.capabilities.pin != "version" and not self.info.same_content(self._how.source.info(self.info.key)):
            raise ChangedDuringReadError(
                "the object was replaced while it was being read", operation="read", url=self._how.source.url(self.info.key)
            )

    def _send_one(self, number: int) -> None:
        start = number * self._upload.part_size
        end = min(start + self._upload.part_size, self._size)
        with BUDGET.hold(2 * (end - start), self._how.policy.max_memory):
            if self._how.stop.is_set():
                raise Stopped
            self._sent(number, read_piece(self._how.source, self._how.target, self.info, start, end), end - start)

    def _send_stream(self) -> None:
        """One stream, cut into parts."""
        with BUDGET.hold(3 * self._upload.part_size, self._how.policy.max_memory):
            pieces = self._how.source.stream(self.info.key, pin=self.info)
            for number, data in enumerate(_cut(pieces, self._upload.part_size)):
                if self._how.stop.is_set():
                    raise Stopped
                self._sent(number, data, min(self._upload.part_size, self._size - number * self._upload.part_size))

    def _sent(self, number: int, data: bytes, size: int) -> None:
        if len(data) != size:
            raise TruncatedError(
                f"{len(data)} bytes arrived of {size}", operation="read", url=self._how.source.url(self.info.key)
            )
        part = self._upload.send(number, data, crc32c(data))
        if self._how.journal is not None:
            self._how.journal.note_part(self.info.key, part)
        with self._lock:
            self._parts[number] = part
            self.moved += size
            self._told += size
        self._how.progress.advance(self.info.key, size)

    def take_back(self) -> None:
        """What was told to the progress will be told again, or never."""
        told, self._told = self._told, 0
        there, self._there = self._there, 0
        self._how.progress.advance(self.info.key, -told)
        self._how.progress.expect(0, there)

    # --- what was sent ---

    def in_order(self) -> list[Part]:
        return [self._parts[number] for number in range(self._count)]

    def crc32c(self) -> str:
        return combined((part.size, part.crc32c) for part in self.in_order())

    # --- verifying, before it is published ---

    def verify_source(self) -> str:
        """Compare with what the source says of itself; fetch once more the parts that are not what they should be."""
        if self._how.policy.verify == "size":
            return ""
        stored = self._stored()
        if stored is not None and stored[0] == ALGORITHM:
            if stored[1] != self.crc32c():
                self._mend(stored[1])
            return ALGORITHM
        if stored is not None and can_compute(stored[0]) and self._how.target.capabilities.at_hand:
            seen = digest_of(self._back(), stored[0])
            again = self._how.source.stream(self.info.key, pin=self.info)
            if confirmed(seen, stored, again, self._how.source.url(self.info.key)):
                return named(stored[0])
        if self._how.policy.verify == "readback" and not self._how.source.capabilities.at_hand:
            require_same_again(self._how.source, self.info, (ALGORITHM, self.crc32c()))
        return ""

    def _stored(self) -> Digest | None:
        """Listings say less of objects in parts than a request for this very one."""
        if self.info.digest is not None or self._how.source.capabilities.digest is None:
            return self.info.digest
        found = self._how.source.info(self.info.key)
        return found.digest if found.same_content(self.info) else None

    def _mend(self, whole: str) -> None:
        stored = self._how.source.part_digests(self.info.key, pin=self.info)
        if [part.size for part in stored] == [part.size for part in self.in_order()]:
            bad = [part.number for part, mine in zip(stored, self.in_order(), strict=True) if part.crc32c != mine.crc32c]
            if self._how.target.capabilities.parts == "any":
                self._how.together(self._send_one, bad)
        if self.crc32c() != whole:
            raise ChecksumMismatchError(
                f"crc32c is {whole} at the store and {self.crc32c()} here",
                operation="read",
                url=self._how.source.url(self.info.key),
            )

    def read_back(self) -> str:
        """Look at what the target holds, where it can be seen before it is published."""
        if self._how.policy.verify != "readback":
            return ""
        for part in self.in_order():
            with BUDGET.hold(2 * part.size, self._how.policy.max_memory):
                data = self._upload.read_back(part)
                if data is None:
                    return ""
                if crc32c(data) != part.crc32c:
                    raise ChecksumMismatchError("what the store holds differs from what was sent; it was not published")
        self.was_read_back = True
        return "readback"

    def _back(self) -> Iterator[bytes]:
        for part in self.in_order():
            yield self._upload.read_back(part) or b""


def _is_of(part: Part, data: bytes) -> bool:
    """Whether what the store says of a part, its CRC32C or an ETag that is an MD5, proves that it holds these bytes."""
    if part.crc32c:
        return part.crc32c == crc32c(data)
    return hashlib.md5(data, usedforsecurity=False).hexdigest() in part.receipt


def _cut(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in pieces of one size; the last may be shorter."""
    buffer = bytearray()
    for piece in pieces:
        if not buffer and len(piece) == size:
            yield piece
            continue
        buffer += piece
        while len(buffer) >= size:
            yield bytes(memoryview(buffer)[:size])
            del buffer[:size]
    if buffer:
        yield bytes(buffer)


def _identity(info: ObjectInfo) -> str:
    """The fingerprint, and of files without a version whether they have been at rest for a while."""
    rests = info.modified is not None and time.time() - info.modified.timestamp() > _SETTLED_SECONDS
    return f"{fingerprint(info)}{_SETTLED if info.version is None and rests else ''}"
