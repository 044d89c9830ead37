"""Every attempt has an end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from persistence_fsspec.attempt import Attempt, cleaning_up
from persistence_fsspec.layers.layer import BATCH, Layer, UploadLayer, WriterLayer, taken
from persistence_fsspec.policy import Policy
from persistence_fsspec.store import Leftover, Links, ObjectInfo, OnError, Part, Store, Upload, Writer

_T = TypeVar("_T")

# A listing may come in one piece however long it is, and a store copies at its own pace.
_SLOW: Final = 10


class TimeoutLayer(Layer):
    """Ends an attempt at its deadline: an async call is cancelled, a private connection is closed.

    Args:
        inner: The store.
        policy: `timeout_seconds`, and `slowest` for what moves bytes.
    """

    def __init__(self, inner: Store, policy: Policy) -> None:
        super().__init__(inner)
        self._policy = policy

    def _within(self, act: Callable[[], _T], *, size: int = 0, factor: int = 1, attempt: Attempt | None = None) -> _T:
        with (attempt or Attempt()).working(allowed_seconds(self._policy, size, factor)):
            return act()

    def info(self, key: str) -> ObjectInfo:
        return self._within(lambda: self.inner.info(key))

    def children(self, key: str) -> Iterator[ObjectInfo]:
        return self._each(self.inner.children(key), factor=_SLOW)

    def find(
        self, key: str, *, on_error: OnError | None = None, links: Links = "follow", folders: bool = False
    ) -> Iterator[ObjectInfo]:
        return self._each(self.inner.find(key, on_error=on_error, links=links, folders=folders), factor=_SLOW)

    def read(self, key: str, start: int | None = None, end: int | None = None, *, pin: ObjectInfo | None = None) -> bytes:
        size = (pin.size or 0) if end is None and pin is not None else (end or 0)
        return self._within(lambda: self.inner.read(key, start, end, pin=pin), size=size - (start or 0))

    def stream(self, key: str, *, pin: ObjectInfo | None = None) -> Iterator[bytes]:
        return self._each(self.inner.stream(key, pin=pin), size=self._policy.part_size, batch=1)

    def _each(self, items: Iterator[_T], *, size: int = 0, factor: int = 1, batch: int = BATCH) -> Iterator[_T]:
        """One attempt for all of it, whose time begins anew with each batch; in between the caller takes his own."""
        attempt = Attempt()
        return taken(items, lambda take: self._within(take, size=size, factor=factor, attempt=attempt), batch=batch)

    def writer(
        self,
        key: str,
        *,
        size: int | None = None,
        overwrite: bool = True,
        if_match: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Writer:
        attempt = Attempt()
        options = {"size": size, "overwrite": overwrite, "if_match": if_match, "metadata": metadata}
        inner = self._within(lambda: self.inner.writer(key, **options), attempt=attempt)  # type: ignore[arg-type]
        return _TimedWriter(inner, self._policy, attempt)

    def upload(
        self,
        key: str,
        *,
        size: int,
        part_size: int,
        token: str = "",
        overwrite: bool = True,
        metadata: Mapping[str, str] | None = None,
    ) -> Upload:
        options = {"size": size, "part_size": part_size, "token": token, "overwrite": overwrite, "metadata": metadata}
        return _TimedUpload(self._within(lambda: self.inner.upload(key, **options)), self)  # type: ignore[arg-type]

    def make_root(self) -> None:
        self._within(self.inner.make_root)

    def make_folder(self, key: str) -> None:
        self._within(lambda: self.inner.make_folder(key))

    def append(self, key: str, data: bytes) -> None:
        self._within(lambda: self.inner.append(key, data), size=len(data))

    def copy(self, source: str, target: str) -> None:
        self._within(lambda: self.inner.copy(source, target), factor=_SLOW)

    def rename(self, source: str, target: str) -> None:
        self._within(lambda: self.inner.rename(source, target))

    def delete(self, key: str) -> None:
        self._within(lambda: self.inner.delete(key))

    def delete_folder(self, key: str) -> None:
        self._within(lambda: self.inner.delete_folder(key))

    def part_digests(self, key: str, *, pin: ObjectInfo) -> Sequence[Part]:
        return self._within(lambda: self.inner.part_digests(key, pin=pin))

    def versions(self, key: str) -> Iterator[ObjectInfo]:
        return self._each(self.inner.versions(key), factor=_SLOW)

    def snapshot(self, key: str) -> ObjectInfo:
        return self._within(lambda: self.inner.snapshot(key), factor=_SLOW)

    def leftovers(self, key: str, *, on_error: OnError | None = None) -> Iterator[Leftover]:
        return self._each(self.inner.leftovers(key, on_error=on_error), factor=_SLOW)

    def forget(self, version: ObjectInfo) -> None:
        self._within(lambda: self.inner.forget(version))

    def discard(self, leftover: Leftover) -> None:
        self._within(lambda: self.inner.discard(leftover))

    def sign(self, key: str, seconds: int) -> str:
        return self._within(lambda: self.inner.sign(key, seconds))


def allowed_seconds(policy: Policy, size: int, factor: int = 1) -> float | None:
    """How long an attempt may take that moves so many bytes; None for ever."""
    return None if policy.timeout_seconds is None else policy.timeout_seconds * factor + max(0, size) / policy.slowest


class _TimedWriter(WriterLayer):
    """One attempt from the first byte to the last; what it was busy with stays interruptible in between."""

    def __init__(self, inner: Writer, policy: Policy, attempt: Attempt) -> None:
        super().__init__(inner)
        self._policy, self._attempt, self._written = policy, attempt, 0

    def write(self, data: bytes) -> None:
        self._written += len(data)
        # A part may have been collected from several of them; what is spooled is sent by the commit.
        with self._attempt.working(allowed_seconds(self._policy, len(data) + 2 * self._policy.part_size)):
            self.inner.write(data)

    def read_back(self) -> Iterator[bytes] | None:
        with self._attempt.working(allowed_seconds(self._policy, self._written)):
            pieces = self.inner.read_back()
        return None if pieces is None else taken(pieces, self._working, batch=1)

    def _working(self, act: Callable[[], None]) -> None:
        with self._attempt.working(allowed_seconds(self._policy, self._written)):
            act()

    def commit(self) -> ObjectInfo:
        if self._attempt.expired:
            self._attempt = Attempt()  # the writer says whether it can be tried again
        with self._attempt.working(allowed_seconds(self._policy, self._written)):
            return self.inner.commit()

    def abort(self) -> None:
        with cleaning_up():
            self.inner.abort()


class _TimedUpload(UploadLayer):
    """Each part is an attempt of its own."""

    def __init__(self, inner: Upload, layer: TimeoutLayer) -> None:
        super().__init__(inner)
        self._layer = layer

    def parts(self) -> Sequence[Part]:
        return self._layer._within(self.inner.parts)

    def send(self, number: int, data: bytes, crc32c: str) -> Part:
        return self._layer._within(lambda: self.inner.send(number, data, crc32c), size=len(data))

    def read_back(self, part: Part) -> bytes | None:
        return self._layer._within(lambda: self.inner.read_back(part), size=part.size)

    def commit(self, parts: Sequence[Part], crc32c: str) -> ObjectInfo:
        return self._layer._within(lambda: self.inner.commit(parts, crc32c), factor=_SLOW)

    def abort(self) -> None:
        with cleaning_up():
            self.inner.abort()
