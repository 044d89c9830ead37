"""No more at once, and no faster, than the store and the caller allow."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from persistence_fsspec.attempt import pause, require_going_on
from persistence_fsspec.errors import ThrottledError
from persistence_fsspec.events import emit
from persistence_fsspec.layers.layer import Layer, UploadLayer, WriterLayer, taken
from persistence_fsspec.policy import Policy
from persistence_fsspec.store import Leftover, Links, ObjectInfo, OnError, Part, Store, Upload, Writer

_T = TypeVar("_T")
_LOOK_SECONDS: Final = 0.5


class LimitLayer(Layer):
    """Requests wait for a slot, and for the rates to allow them.

    The number of slots is halved whenever the store asks for fewer requests, and grows by one for as many successes as
    there are slots: additive increase, multiplicative decrease, as TCP does it (RFC 5681).

    Args:
        inner: The store.
        policy: `max_requests`, `requests_per_second`, `bytes_per_second`.
    """

    def __init__(self, inner: Store, policy: Policy) -> None:
        super().__init__(inner)
        self._slots = Slots(policy.max_requests)
        self._requests, self._bytes = Rate(policy.requests_per_second), Rate(policy.bytes_per_second)

    @contextlib.contextmanager
    def request(self, size: int = 0) -> Iterator[None]:
        """One request, which sends so many bytes."""
        self._requests.take(1)
        self._bytes.take(size)
        try:
            with self._slots.one():
                yield
        except ThrottledError:
            left = self._slots.shrink()
            emit("throttled", f"{self.url('')} asks for fewer requests: {left} at once from now on", slots=left)
            raise
        self._slots.grow()

    def _one(self, act: Callable[[], _T]) -> _T:
        with self.request():
            return act()

    def info(self, key: str) -> ObjectInfo:
        return self._one(lambda: self.inner.info(key))

    def children(self, key: str) -> Iterator[ObjectInfo]:
        return taken(self.inner.children(key), self._one)

    def find(
        self, key: str, *, on_error: OnError | None = None, links: Links = "follow", folders: bool = False
    ) -> Iterator[ObjectInfo]:
        return taken(self.inner.find(key, on_error=on_error, links=links, folders=folders), self._one)

    def read(self, key: str, start: int | None = None, end: int | None = None, *, pin: ObjectInfo | None = None) -> bytes:
        data = self._one(lambda: self.inner.read(key, start, end, pin=pin))
        self._bytes.take(len(data))
        return data

    def stream(self, key: str, *, pin: ObjectInfo | None = None) -> Iterator[bytes]:
        for data in taken(self.inner.stream(key, pin=pin), self._one, batch=1):
            self._bytes.take(len(data))
            yield data

    def writer(
        self,
        key: str,
        *,
        size: int | None = None,
        overwrite: bool = True,
        if_match: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Writer:
        with self.request():
            inner = self.inner.writer(key, size=size, overwrite=overwrite, if_match=if_match, metadata=metadata)
        return _LimitedWriter(inner, self)

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
        with self.request():
            inner = self.inner.upload(key, size=size, part_size=part_size, token=token, overwrite=overwrite, metadata=metadata)
        return _LimitedUpload(inner, self)

    def make_root(self) -> None:
        self._one(self.inner.make_root)

    def make_folder(self, key: str) -> None:
        self._one(lambda: self.inner.make_folder(key))

    def append(self, key: str, data: bytes) -> None:
        with self.request(len(data)):
            self.inner.append(key, data)

    def copy(self, source: str, target: str) -> None:
        self._one(lambda: self.inner.copy(source, target))

    def rename(self, source: str, target: str) -> None:
        self._one(lambda: self.inner.rename(source, target))

    def delete(self, key: str) -> None:
        self._one(lambda: self.inner.delete(key))

    def delete_folder(self, key: str) -> None:
        self._one(lambda: self.inner.delete_folder(key))

    def part_digests(self, key: str, *, pin: ObjectInfo) -> Sequence[Part]:
        return self._one(lambda: self.inner.part_digests(key, pin=pin))

    def versions(self, key: str) -> Iterator[ObjectInfo]:
        return taken(self.inner.versions(key), self._one)

    def snapshot(self, key: str) -> ObjectInfo:
        return self._one(lambda: self.inner.snapshot(key))

    def leftovers(self, key: str, *, on_error: OnError | None = None) -> Iterator[Leftover]:
        return taken(self.inner.leftovers(key, on_error=on_error), self._one)

    def forget(self, version: ObjectInfo) -> None:
        self._one(lambda: self.inner.forget(version))

    def discard(self, leftover: Leftover) -> None:
        self._one(lambda: self.inner.discard(leftover))

    def sign(self, key: str, seconds: int) -> str:
        return self._one(lambda: self.inner.sign(key, seconds))


class _LimitedWriter(WriterLayer):
    def __init__(self, inner: Writer, layer: LimitLayer) -> None:
        super().__init__(inner)
        self._layer = layer

    def write(self, data: bytes) -> None:
        with self._layer.request(len(data)):
            self.inner.write(data)

    def commit(self) -> ObjectInfo:
        with self._layer.request():
            return self.inner.commit()


class _LimitedUpload(UploadLayer):
    def __init__(self, inner: Upload, layer: LimitLayer) -> None:
        super().__init__(inner)
        self._layer = layer

    def parts(self) -> Sequence[Part]:
        with self._layer.request():
            return self.inner.parts()

    def send(self, number: int, data: bytes, crc32c: str) -> Part:
        with self._layer.request(len(data)):
            return self.inner.send(number, data, crc32c)

    def read_back(self, part: Part) -> bytes | None:
        with self._layer.request():
            return self.inner.read_back(part)

    def commit(self, parts: Sequence[Part], crc32c: str) -> ObjectInfo:
        with self._layer.request():
            return self.inner.commit(parts, crc32c)


_shared: weakref.WeakSet[Slots | Rate] = weakref.WeakSet()
"""What threads wait for one another at, to be renewed in a forked child."""


class Slots:
    """So many at once; the number adapts.

    Args:
        most: Never more than this.
    """

    def __init__(self, most: int) -> None:
        self._most = self.allowed = most
        self.forget()
        _shared.add(self)

    def forget(self) -> None:
        """Nobody holds one; in a forked child those who did are not there."""
        self._busy = self._successes = 0
        self._free = threading.Condition()

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Hold a slot; wait until there is one."""
        with self._free:
            while self._busy >= self.allowed:
                self._free.wait(_LOOK_SECONDS)
                require_going_on()
            self._busy += 1
        try:
            yield
        finally:
            with self._free:
                self._busy -= 1
                self._free.notify()

    def shrink(self) -> int:
        """Halve the number; return what is left."""
        with self._free:
            self.allowed = max(1, min(self.allowed, self._busy + 1) // 2)  # the one that was told so is out already
            self._successes = 0
            return self.allowed

    def grow(self) -> None:
        """Count a success; as many as there are slots bring one more."""
        if self.allowed == self._most:
            return
        with self._free:
            self._successes += 1
            if self._successes >= self.allowed:
                self._successes = 0
                self.allowed = min(self._most, self.allowed + 1)
                self._free.notify()


class Rate:
    """So many per second, in the long run; up to a second's worth at once.

    Args:
        per_second: None for no limit.
    """

    def __init__(self, per_second: float | None) -> None:
        self._per_second = per_second
        self._earned = 0.0  # when all that was taken so far will have been earned
        self.forget()
        _shared.add(self)

    def forget(self) -> None:
        """Nobody is taking; in a forked child those who were are not there."""
        self._lock = threading.Lock()

    def take(self, amount: float) -> None:
        """Take an amount, and wait until it is earned."""
        if self._per_second is None or not amount:
            return
        with self._lock:
            now = time.monotonic()
            self._earned = max(self._earned, now - 1.0) + amount / self._per_second
            wait = self._earned - now
        if wait > 0:
            pause(wait)
            require_going_on()


def _forget_all() -> None:
    for one in list(_shared):
        one.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
