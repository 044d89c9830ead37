"""Does what arrived equal what was sent? Digests on the way, compared with what the stores know."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final

from persistence_fsspec.errors import ChecksumMismatchError
from persistence_fsspec.store import Digest, ObjectInfo, Store

_KNOWN: Final = ("md5", "sha1", "sha256", "sha512")
_OTHERWISE: Final = "sha256"


def algorithm_for(info: ObjectInfo, target: Store) -> str:
    """The digest worth computing: one that either end can confirm, else SHA-256 for the report."""
    candidates = (info.digest[0] if info.digest else None, target.capabilities.digest)
    return next((name for name in candidates if name in _KNOWN), _OTHERWISE)


def new_hash(algorithm: str) -> Any:
    """A hash object; not for security, so that MD5 works where policy forbids it for that."""
    return hashlib.new(algorithm, usedforsecurity=False)


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
