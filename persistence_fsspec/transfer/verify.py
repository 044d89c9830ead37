"""Does what arrived equal what was sent? Digests on the way, compared with what the stores know."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from typing import Any, Final

from persistence_fsspec.crc32c import ALGORITHM as CRC32C
from persistence_fsspec.crc32c import crc32c
from persistence_fsspec.errors import ChecksumMismatchError, PersistenceError
from persistence_fsspec.store import MD5_OF_PARTS, Digest, ObjectInfo, Store

_HASHLIB: Final = ("md5", "sha1", "sha256", "sha512")


def can_compute(algorithm: str) -> bool:
    """Whether `new_hash` knows it."""
    return algorithm == CRC32C or algorithm in _HASHLIB or algorithm.startswith(MD5_OF_PARTS)


def named(algorithm: str) -> str:
    """How an algorithm is told as a verification: without the size of the parts."""
    return MD5_OF_PARTS.rstrip("-") if algorithm.startswith(MD5_OF_PARTS) else algorithm


def algorithm_for(info: ObjectInfo, target: Store) -> str:
    """The digest worth computing: one that either end can confirm, else the fastest, for the report."""
    candidates = (info.digest[0] if info.digest else None, target.capabilities.digest)
    return next((name for name in candidates if name is not None and can_compute(name)), CRC32C)


class _Md5OfParts:
    """The MD5 of the MD5s of parts, and their number: what S3 makes an ETag of."""

    def __init__(self, part_size: int) -> None:
        self._part_size, self._left = part_size, part_size
        self._part, self._done = new_hash("md5"), b""

    def update(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if not self._left:
                self._done += self._part.digest()
                self._part, self._left = new_hash("md5"), self._part_size
            self._part.update(view[: self._left])
            taken = min(len(view), self._left)
            self._left -= taken
            view = view[taken:]

    def hexdigest(self) -> str:
        digests = self._done + self._part.digest()
        whole = new_hash("md5")
        whole.update(digests)
        return f"{whole.hexdigest()}-{len(digests) // 16}"


class _Crc32c:
    """CRC32C, as hashlib would have it."""

    def __init__(self) -> None:
        self._found = crc32c(b"")

    def update(self, data: bytes) -> None:
        self._found = crc32c(bytes(data), self._found)

    def hexdigest(self) -> str:
        return self._found


def new_hash(algorithm: str) -> Any:
    """A hash object; not for security, so that MD5 works where policy forbids it for that."""
    if algorithm.startswith(MD5_OF_PARTS):
        return _Md5OfParts(int(algorithm.removeprefix(MD5_OF_PARTS)))
    return _Crc32c() if algorithm == CRC32C else hashlib.new(algorithm, usedforsecurity=False)


def digest_of(pieces: Iterable[bytes], algorithm: str) -> Digest:
    """Read everything and digest it."""
    found = new_hash(algorithm)
    for piece in pieces:
        found.update(piece)
    return (algorithm, found.hexdigest())


def confirmed(seen: Digest, stored: Digest | None, again: Iterable[bytes], where: str) -> bool:
    """Compare a digest with what a store claims.

    A store's claim is not always what it looks like: with some encryptions an
    ETag has the form of an MD5 and is none. So a difference is settled by
    reading once more.

    Args:
        seen: Of the bytes as they passed through.
        stored: The store's claim, None for none.
        again: Reads the object once more; only used in doubt.
        where: For the message.

    Returns:
        Whether the store's claim confirms the bytes. False when there is no claim, or it is no digest of them.

    Raises:
        ChecksumMismatchError: The second reading differs from the first.
    """
    if stored is None or stored[0] != seen[0]:
        return False
    if stored == seen:
        return True
    if digest_of(again, seen[0]) != seen:
        raise ChecksumMismatchError(f"{where}: {seen[0]} is {stored[1]} at the store and {seen[1]} here")
    return False


def require_same_again(store: Store, info: ObjectInfo, seen: Digest) -> None:
    """Read an object once more, where nothing else tells whether it came through the network as it is.

    Raises:
        ChecksumMismatchError: It is not what came the first time.
    """
    if digest_of(store.stream(info.key, pin=info), seen[0]) != seen:
        raise ChecksumMismatchError("two readings of it differ", operation="read", url=store.url(info.key))


def take_away(target: Store, arrived: ObjectInfo) -> None:
    """Remove what arrived wrong, unless somebody has replaced it."""
    with contextlib.suppress(PersistenceError):
        if arrived.version is not None and target.info(arrived.key).version == arrived.version:
            target.delete(arrived.key)
