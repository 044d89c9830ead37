"""One object from one store to another, as a recipe."""

from __future__ import annotations

import contextlib
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from persistence_fsspec.errors import (
    ChecksumMismatchError,
    ObjectNotFoundError,
    PersistenceError,
    TruncatedError,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.layers.loop import retrying
from persistence_fsspec.policy import Policy
from persistence_fsspec.store import Digest, ObjectInfo, Store, Writer
from persistence_fsspec.transfer.arrived import Arrived, Stopped
from persistence_fsspec.transfer.budget import BUDGET
from persistence_fsspec.transfer.compare import JUST_WRITTEN, can_name, fingerprint
from persistence_fsspec.transfer.journal import Done, Journal
from persistence_fsspec.transfer.plan import RANGED_FROM, Plan, Step, method_of
from persistence_fsspec.transfer.preserve import Attributes
from persistence_fsspec.transfer.progress import Progress
from persistence_fsspec.transfer.ranged import Ranged, Together
from persistence_fsspec.transfer.reading import read_piece
from persistence_fsspec.transfer.report import FileOutcome
from persistence_fsspec.transfer.verify import algorithm_for, confirmed, digest_of, named, new_hash, require_same_again, take_away


@dataclass(kw_only=True)
class CopyObject:
    """Copies single objects between the two stores of a plan.

    Attributes:
        plan: Where from, where to.
        policy: How carefully.
        overwrite: Replace what is there.
        attributes: Of a file, what is kept besides its bytes.
        journal: Remembers what arrived; None where nothing is kept.
        progress: Told of bytes.
        together: Works on parts with the help of others.
        stop: Once set, copies in flight give up.
    """

    plan: Plan
    policy: Policy
    overwrite: bool
    attributes: Attributes
    journal: Journal | None
    progress: Progress
    together: Together
    stop: threading.Event
    source: Store = field(init=False)
    target: Store = field(init=False)

    def __post_init__(self) -> None:
        self.source, self.target = self.plan.source, self.plan.target

    def __call__(self, step: Step, source: str, target: str) -> FileOutcome:
        """Copy one object and tell how it went; only `Stopped` and bugs are raised.

        Args:
            step: Which.
            source: Its URL.
            target: The URL it gets.
        """
        begun, looked_at = time.monotonic(), 0.0
        tried: list[ObjectInfo] = []

        def attempt() -> Arrived:
            nonlocal looked_at
            looked_at = time.time()
            # What the listing said of an object may be why the first attempt failed.
            tried.append(self.source.info(step.info.key) if tried else step.info)
            return self._copy(tried[-1], step)

        where: dict[str, Any] = {"key": step.info.key, "source": source, "target": target, "method": step.method}
        try:
            arrived = retrying(self.policy, "copy", source, attempt)
        except PersistenceError as exc:
            _forget_buffers(exc)
            if step.info.link and isinstance(exc, ObjectNotFoundError):
                exc.message = "not found: it is a symbolic link that leads nowhere"
            tries, seconds = len(tried), time.monotonic() - begun
            return FileOutcome(**where, status="failed", attempts=tries, seconds=seconds, error=exc)
        self._remember(tried[-1], arrived, looked_at)
        return FileOutcome(
            **where,
            info=tried[-1],
            status="copied",
            bytes=arrived.moved,
            digest=arrived.digest,
            verification=arrived.verification,
            reason="; ".join(filter(None, ("followed a symbolic link" if step.info.link else "", self.attributes.lost))),
            attempts=len(tried),
            seconds=time.monotonic() - begun,
        )

    def _remember(self, info: ObjectInfo, arrived: Arrived, looked_at: float) -> None:
        here, there = fingerprint(info), fingerprint(arrived.info)
        if self.journal is not None and here and there:
            here += "" if can_name(info, looked_at) else JUST_WRITTEN
            done = Done(source=here, target=there, digest=arrived.digest, verification=arrived.verification)
            self.journal.note_done(info.key, done)

    # --- the three ways ---

    def _copy(self, info: ObjectInfo, step: Step) -> Arrived:
        # A store that copies by itself keeps what it likes besides the bytes.
        if step.method == "server-side" and self.overwrite and not self.attributes.are_kept:
            return self._copy_inside(info, step.target_key)
        metadata = self.attributes.of(info)
        if method_of(self.source, self.target, info) == "ranged":
            try:
                return self._ranged(info, step.target_key, metadata)
            except UnsupportedPersistenceOp:
                if self.overwrite:
                    raise
        return self._stream(info, step.target_key, metadata)

    def _copy_inside(self, info: ObjectInfo, key: str) -> Arrived:
        """The store copies by itself."""
        self.source.copy(info.key, key)
        before, arrived = self.source.info(info.key), self.target.info(key)
        if before.size != arrived.size:
            raise ChecksumMismatchError(f"the copy has {arrived.size} bytes, the source {before.size}")
        size = arrived.size or 0
        if self.policy.verify == "readback":
            seen = digest_of(self.source.stream(info.key, pin=before), "sha256")
            if digest_of(self.target.stream(key, pin=arrived), "sha256") != seen:
                raise ChecksumMismatchError("the copy differs from its source")
            self.progress.advance(info.key, size)
            return Arrived(info=arrived, moved=size, digest=seen, verification="readback")
        self.progress.advance(info.key, size)
        same = arrived.digest is not None and arrived.digest == before.digest and self.policy.verify != "size"
        verified = arrived.digest[0] if same and arrived.digest else "size"
        return Arrived(info=arrived, moved=size, digest=arrived.digest, verification=verified)

    @cached_property
    def _ranged(self) -> Ranged:
        return Ranged(
            source=self.source,
            target=self.target,
            policy=self.policy,
            overwrite=self.overwrite,
            journal=self.journal,
            progress=self.progress,
            together=self.together,
            stop=self.stop,
        )

    def _stream(self, info: ObjectInfo, key: str, metadata: Mapping[str, str] | None) -> Arrived:
        """Piece by piece, digested on the way; a small object in one."""
        sent = 0
        with BUDGET.hold(self._weight(info), self.policy.max_memory), self._taking_back(info, lambda: sent):
            writer = self.target.writer(key, size=info.size, overwrite=self.overwrite, metadata=metadata)
            try:
                size, seen = self._send(info, writer)
                sent = size
                verified_by = self._verify_source(info, seen)
                verified_by = self._verify_staged(writer, seen) or verified_by
                arrived = writer.commit()
            finally:
                writer.abort()
            try:
                verified_by = self._verify_target(arrived, size, seen) or verified_by or "size"
            except PersistenceError as exc:
                exc.retryable = exc.retryable and self.overwrite  # it stands there now, and would be in its own way
                raise
        return Arrived(info=arrived, moved=size, digest=seen, verification=verified_by)

    @contextlib.contextmanager
    def _taking_back(self, info: ObjectInfo, sent: Callable[[], int]) -> Iterator[None]:
        """What was told to the progress of an attempt that fails will be told again, or never."""
        try:
            yield
        except PersistenceError:
            self.progress.advance(info.key, -sent())
            raise

    def _weight(self, info: ObjectInfo) -> int:
        """Bytes of buffers, at most: what is read, what is collected for one request, and the copies that clients make."""
        if info.size is None:
            return self.policy.part_size + 3 * RANGED_FROM
        if self.target.capabilities.at_hand:
            return 2 * min(info.size, RANGED_FROM)
        piece = 0 if info.size <= RANGED_FROM else self.policy.part_size
        return piece + 3 * min(info.size, RANGED_FROM)

    # --- sending ---

    def _pieces(self, info: ObjectInfo) -> Iterator[bytes]:
        """A small object of a known version in one request, and in one buffer; others as they come."""
        can = self.source.capabilities
        if info.size is None or info.size > RANGED_FROM or info.version is None or not (can.pin == "version" or can.at_hand):
            return self.source.stream(info.key, pin=info)
        return iter((self._read(info, info.size),))

    def _read(self, info: ObjectInfo, size: int) -> bytes:
        data = read_piece(self.source, self.target, info, None, None)
        if len(data) != size:
            url = self.source.url(info.key)
            raise TruncatedError(f"{len(data)} bytes arrived of {size}", operation="read", url=url)
        return data

    def _send(self, info: ObjectInfo, writer: Writer) -> tuple[int, Digest]:
        algorithm = algorithm_for(info, self.target)
        digest, size = new_hash(algorithm), 0
        try:
            for piece in self._pieces(info):
                if self.stop.is_set():
                    raise Stopped
                digest.update(piece)
                size += len(piece)
                writer.write(piece)
                self.progress.advance(info.key, len(piece))
        except PersistenceError:
            self.progress.advance(info.key, -size)  # they will be sent once more, or never
            raise
        return size, (algorithm, digest.hexdigest())

    # --- verifying ---

    def _verify_source(self, info: ObjectInfo, seen: Digest) -> str:
        """What the source says of itself; where it says nothing, and all is to be read twice, that is."""
        if self.policy.verify == "size":
            return ""
        if confirmed(seen, info.digest, self.source.stream(info.key, pin=info), self.source.url(info.key)):
            return named(seen[0])
        if self.policy.verify == "readback" and not self.source.capabilities.at_hand:
            require_same_again(self.source, info, seen)
        return ""

    def _verify_staged(self, writer: Writer, seen: Digest) -> str:
        """Read back before publishing, where the store shows unpublished bytes."""
        if self.policy.verify != "readback":
            return ""
        pieces = writer.read_back()
        if pieces is None:
            return ""
        if digest_of(pieces, seen[0]) != seen:
            raise ChecksumMismatchError("what the store holds differs from what was sent; it was not published")
        return "readback"

    def _verify_target(self, arrived: ObjectInfo, size: int, seen: Digest) -> str:
        url = self.target.url(arrived.key)
        if arrived.size is not None and arrived.size != size:
            raise TruncatedError(f"{arrived.size} bytes arrived of {size}", operation="write", url=url)
        if self.policy.verify == "size":
            return ""
        if self.policy.verify == "readback":
            if digest_of(self.target.stream(arrived.key, pin=arrived), seen[0]) != seen:
                take_away(self.target, arrived)
                raise ChecksumMismatchError("what the store holds differs from what was sent", operation="write", url=url)
            return "readback"
        again = self.target.stream(arrived.key, pin=arrived)
        try:
            return named(seen[0]) if confirmed(seen, arrived.digest, again, url) else ""
        except PersistenceError as exc:
            # It says that it is another, and proves it, or cannot be read: what stands there now is not what was sent.
            take_away(self.target, arrived)
            raise ChecksumMismatchError(f"what the store holds differs from what was sent: {exc.message}", url=url) from exc


def _forget_buffers(error: BaseException) -> None:
    """A report keeps its errors; their tracebacks would keep what every frame on the way held, buffers included."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        traceback.clear_frames(link.__traceback__)
        link = link.__cause__ or link.__context__
