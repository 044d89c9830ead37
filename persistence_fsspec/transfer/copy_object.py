"""One object from one store to another, as a recipe."""

from __future__ import annotations

import threading
import time
import traceback
from dataclasses import dataclass, replace

from persistence_fsspec.errors import ChecksumMismatchError, PersistenceError, TruncatedError
from persistence_fsspec.layers.loop import retrying
from persistence_fsspec.policy import Policy
from persistence_fsspec.store import Digest, ObjectInfo, Store, Writer
from persistence_fsspec.transfer.plan import Step
from persistence_fsspec.transfer.progress import Progress
from persistence_fsspec.transfer.report import FileOutcome
from persistence_fsspec.transfer.verify import algorithm_for, confirmed, digest_of, new_hash


class Stopped(Exception):  # noqa: N818 - not an error: the caller asked for it
    """The transfer was told to stop; this file was left as it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyObject:
    """Copies single objects between two stores.

    Attributes:
        source: Where from.
        target: Where to.
        policy: How carefully.
        overwrite: Replace what is there.
        progress: Told of bytes.
        stop: Once set, copies in flight give up and leave nothing behind.
    """

    source: Store
    target: Store
    policy: Policy
    overwrite: bool
    progress: Progress
    stop: threading.Event

    def __call__(self, step: Step) -> FileOutcome:
        """Copy one object and tell how it went; only `Stopped` and bugs are raised."""
        begun = time.monotonic()
        tried: list[ObjectInfo] = []

        def attempt() -> tuple[int, Digest | None, str]:
            # What the listing said of an object may be why the first attempt failed.
            tried.append(self.source.info(step.info.key) if tried else step.info)
            return self._copy(tried[-1], step.target_key)

        source, target = self.source.url(step.info.key), self.target.url(step.target_key)
        outcome = FileOutcome(key=step.info.key, source=source, target=target, status="failed")
        try:
            size, digest, verification = retrying(self.policy, "copy", source, attempt)
        except PersistenceError as exc:
            _forget_buffers(exc)
            return replace(outcome, attempts=len(tried), seconds=time.monotonic() - begun, error=exc)
        return replace(
            outcome,
            info=tried[-1],
            status="copied",
            bytes=size,
            digest=digest,
            verification=verification,
            attempts=len(tried),
            seconds=time.monotonic() - begun,
        )

    def _copy(self, info: ObjectInfo, key: str) -> tuple[int, Digest | None, str]:
        if self.source is self.target and self.source.capabilities.copy and self.overwrite:
            return self._copy_inside(info, key)
        writer = self.target.writer(key, size=info.size, overwrite=self.overwrite)
        try:
            size, seen = self._send(info, writer)
            verified_by = self._verify_source(info, seen)
            verified_by = self._verify_staged(writer, seen) or verified_by
            arrived = writer.commit()
        finally:
            writer.abort()
        try:
            return size, seen, self._verify_target(arrived, size, seen) or verified_by or "size"
        except PersistenceError as exc:
            exc.retryable = exc.retryable and self.overwrite  # it stands there now, and would be in its own way
            raise

    def _copy_inside(self, info: ObjectInfo, key: str) -> tuple[int, Digest | None, str]:
        """The store copies by itself."""
        self.source.copy(info.key, key)
        before, arrived = self.source.info(info.key), self.target.info(key)
        if before.size != arrived.size:
            raise ChecksumMismatchError(f"the copy has {arrived.size} bytes, the source {before.size}")
        size = arrived.size or 0
        self.progress.advance(info.key, size)
        if self.policy.verify == "readback":
            seen = digest_of(self.source.stream(info.key, pin=before), "sha256")
            if digest_of(self.target.stream(key, pin=arrived), "sha256") != seen:
                raise ChecksumMismatchError("the copy differs from its source")
            return size, seen, "readback"
        same = arrived.digest is not None and arrived.digest == before.digest and self.policy.verify != "size"
        return size, arrived.digest, arrived.digest[0] if same and arrived.digest else "size"

    def _send(self, info: ObjectInfo, writer: Writer) -> tuple[int, Digest]:
        algorithm = algorithm_for(info, self.target)
        digest, size = new_hash(algorithm), 0
        try:
            for piece in self.source.stream(info.key, pin=info):
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

    def _verify_source(self, info: ObjectInfo, seen: Digest) -> str:
        if self.policy.verify == "size":
            return ""
        again = self.source.stream(info.key, pin=info)
        return seen[0] if confirmed(seen, info.digest, again, self.source.url(info.key)) else ""

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
                raise ChecksumMismatchError("what the store holds differs from what was sent", operation="write", url=url)
            return "readback"
        again = self.target.stream(arrived.key, pin=arrived)
        return seen[0] if confirmed(seen, arrived.digest, again, url) else ""


def _forget_buffers(error: BaseException) -> None:
    """A report keeps its errors; their tracebacks would keep what every frame on the way held, buffers included."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        traceback.clear_frames(link.__traceback__)
        link = link.__cause__ or link.__context__
