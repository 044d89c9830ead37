"""Is it there already? What makes a transfer skip a file, and why that is safe."""

from __future__ import annotations

from typing import Final, Literal

from persistence_fsspec.errors import PersistenceError
from persistence_fsspec.store import Digest, ObjectInfo, Store
from persistence_fsspec.transfer.journal import Journal
from persistence_fsspec.transfer.verify import can_compute, digest_of, named

Compare = Literal["never", "digest", "mtime", "auto"]
"""When a file at the target is taken for the one at the source. The size has to be equal, always, and is never enough.

``never``: all is copied. ``digest``: their digests are equal (a file of this machine is read for it), or the journal knows
that this very version was copied to that very version. ``mtime``: or the source is not newer than the target.
``auto``: as ``digest`` where both ends say one without reading, else as ``mtime``.
"""

Verdict = Literal["same", "differs", "unknown"]

JUST_WRITTEN: Final = ", just written"
"""Behind a fingerprint in a journal: what had another one then is another file, and what had the same may be."""

_BEING_WRITTEN: Final = 0.5
_SECONDS_LAST: Final = 2.0
_MINUTES_LAST: Final = 61.0

JOURNAL: Final = "the journal knows it"
_ITSELF: Final = "it is this very file"


def is_proof(reason: str) -> bool:
    """Whether a file was skipped because it is there, and not because it looks so, or for another reason."""
    return reason == JOURNAL or reason.startswith("same ")


def fingerprint(info: ObjectInfo) -> str:
    """Text that changes with the content, as far as the store tells; empty when it tells nothing."""
    if info.version is not None:
        return f"version {info.version}, {info.size} bytes"
    if info.modified is None or info.size is None:
        return ""
    return f"time {info.modified.timestamp():.6f}, {info.size} bytes"


def can_name(info: ObjectInfo, looked_at: float) -> bool:
    """Whether the fingerprint of an object will tell it from its successors.

    Where it is a time, it does not for as long as that time lasts: whoever writes again in the same second, or minute, leaves no trace.

    Args:
        info: The object.
        looked_at: When it began to be read, or before; seconds since the epoch, by a clock that is not far from the store's.
    """
    if info.modified is None:
        return info.version is not None
    age = looked_at - info.modified.timestamp()
    if info.version is not None:
        # A system may note the time when a long write begins: who reads meanwhile sees the old bytes under the new time.
        return age > _BEING_WRITTEN
    if info.modified.microsecond:
        return True
    return age > (_SECONDS_LAST if info.modified.second else _MINUTES_LAST)


class Comparison:
    """Compares pairs of one transfer.

    Args:
        source: Where from.
        target: Where to.
        compare: By what.
        journal: Of this transfer; None where there is none.
        moving: The source is to be deleted, so a file is no proof of itself, which links may lead to.
    """

    def __init__(self, source: Store, target: Store, compare: Compare, journal: Journal | None, *, moving: bool = False) -> None:
        self._source, self._target, self._compare, self._journal = source, target, compare, journal
        self._moving = moving
        self._local = source.capabilities.driver == target.capabilities.driver == "local"

    def at_once(self, info: ObjectInfo, there: ObjectInfo) -> tuple[Verdict, str]:
        """What can be said without a request and without reading.

        Args:
            info: At the source.
            there: At the target.

        Returns:
            The verdict, and what it rests on.
        """
        if self._compare == "never" or there.is_folder or info.size is None or info.size != there.size:
            return "differs", ""
        if self._local and info.version == there.version:  # through a link, or by another of its names
            return ("differs", "") if self._moving else ("same", _ITSELF)
        journaled = self._journaled(info, there)
        if journaled == "same":
            return "same", JOURNAL
        if info.digest is not None and there.digest is not None and info.digest[0] == there.digest[0]:
            return ("same", f"same {info.digest[0]}") if info.digest == there.digest else ("differs", "")
        if self._same_etag(info, there):
            return "same", "same etag"
        if self._compare in {"mtime", "auto"}:
            if journaled == "differs":  # it may be older all the same
                return "differs", ""
            return ("same", "not newer, and of the same size") if _not_newer(info, there) else ("differs", "")
        return "unknown", ""

    def closely(self, info: ObjectInfo, there: ObjectInfo) -> tuple[Verdict, str]:
        """For what `at_once` could not say: ask the store for a digest, and read the file that is at hand to compare it."""
        try:
            here, at_target = self._known(self._source, info), self._known(self._target, there)
            algorithm = self._common(here, at_target)
            if algorithm is None:
                return "differs", ""
            pair = [self._digest(self._source, info, here, algorithm), self._digest(self._target, there, at_target, algorithm)]
        except PersistenceError:
            return "differs", ""  # copying it will tell what is wrong
        return ("same", f"same {named(algorithm)}") if pair[0] == pair[1] else ("differs", "")

    def _journaled(self, info: ObjectInfo, there: ObjectInfo) -> Verdict:
        """What stands there is what was made of this version of the source, or of another, or nobody knows."""
        done = self._journal.done(info.key) if self._journal is not None else None
        if done is None or not done.source or not done.target or done.target != fingerprint(there):
            return "unknown"
        here = fingerprint(info)
        if done.source == f"{here}{JUST_WRITTEN}":
            return "unknown"
        return "same" if done.source == here else "differs"

    def _same_etag(self, info: ObjectInfo, there: ObjectInfo) -> bool:
        """Equal ETags of the same kind of store, for objects in parts: the digest of the parts' digests, and their number."""
        same_kind = self._source.capabilities.driver == self._target.capabilities.driver
        return same_kind and info.version is not None and info.version == there.version and _is_of_parts(info.version)

    def _known(self, store: Store, info: ObjectInfo) -> Digest | None:
        """Listings may say less than a request for this very object."""
        if info.digest is not None or store.capabilities.digest is None:
            return info.digest
        found = store.info(info.key)
        return found.digest if found.same_content(info) else None

    def _common(self, here: Digest | None, there: Digest | None) -> str | None:
        """The digest to compare by; None where it would take reading over a network."""
        if here is not None and there is not None:
            return here[0] if here[0] == there[0] else None
        known = here or there
        if known is None:
            at_hand = self._source.capabilities.at_hand and self._target.capabilities.at_hand
            return "crc32c" if at_hand else None
        readable = self._target if here is not None else self._source
        return known[0] if readable.capabilities.at_hand and can_compute(known[0]) else None

    def _digest(self, store: Store, info: ObjectInfo, known: Digest | None, algorithm: str) -> Digest:
        return known if known is not None else digest_of(store.stream(info.key, pin=info), algorithm)


def _not_newer(info: ObjectInfo, there: ObjectInfo) -> bool:
    return info.modified is not None and there.modified is not None and info.modified <= there.modified


def _is_of_parts(etag: str) -> bool:
    digest, dash, count = etag.partition("-")
    return bool(dash) and len(digest) == 32 and count.isdecimal()
