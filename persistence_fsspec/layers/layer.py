"""A layer that changes nothing: what others derive from."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, TypeVar

from persistence_fsspec.capabilities import Capabilities
from persistence_fsspec.store import Leftover, Links, ObjectInfo, OnError, Part, Store, Upload, Writer

_T = TypeVar("_T")
BATCH: Final = 512


class Layer:
    """Forwards every operation to the store it is around.

    Args:
        inner: That store.
    """

    def __init__(self, inner: Store) -> None:
        self.inner = inner

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.inner!r})"

    @property
    def capabilities(self) -> Capabilities:
        """What holds here."""
        return self.inner.capabilities

    def url(self, key: str) -> str:
        """The full URL of a key."""
        return self.inner.url(key)

    def info(self, key: str) -> ObjectInfo:
        """See `Store.info`; so for all that follow."""
        return self.inner.info(key)

    def children(self, key: str) -> Iterator[ObjectInfo]:
        return self.inner.children(key)

    def find(
        self, key: str, *, on_error: OnError | None = None, links: Links = "follow", folders: bool = False
    ) -> Iterator[ObjectInfo]:
        return self.inner.find(key, on_error=on_error, links=links, folders=folders)

    def read(self, key: str, start: int | None = None, end: int | None = None, *, pin: ObjectInfo | None = None) -> bytes:
        return self.inner.read(key, start, end, pin=pin)

    def stream(self, key: str, *, pin: ObjectInfo | None = None) -> Iterator[bytes]:
        return self.inner.stream(key, pin=pin)

    def writer(
        self,
        key: str,
        *,
        size: int | None = None,
        overwrite: bool = True,
        if_match: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Writer:
        return self.inner.writer(key, size=size, overwrite=overwrite, if_match=if_match, metadata=metadata)

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
        return self.inner.upload(key, size=size, part_size=part_size, token=token, overwrite=overwrite, metadata=metadata)

    def make_folder(self, key: str) -> None:
        self.inner.make_folder(key)

    def make_root(self) -> None:
        self.inner.make_root()

    def append(self, key: str, data: bytes) -> None:
        self.inner.append(key, data)

    def copy(self, source: str, target: str) -> None:
        self.inner.copy(source, target)

    def rename(self, source: str, target: str) -> None:
        self.inner.rename(source, target)

    def delete(self, key: str) -> None:
        self.inner.delete(key)

    def delete_folder(self, key: str) -> None:
        self.inner.delete_folder(key)

    def part_digests(self, key: str, *, pin: ObjectInfo) -> Sequence[Part]:
        return self.inner.part_digests(key, pin=pin)

    def versions(self, key: str) -> Iterator[ObjectInfo]:
        return self.inner.versions(key)

    def snapshot(self, key: str) -> ObjectInfo:
        return self.inner.snapshot(key)

    def forget(self, version: ObjectInfo) -> None:
        self.inner.forget(version)

    def leftovers(self, key: str, *, on_error: OnError | None = None) -> Iterator[Leftover]:
        return self.inner.leftovers(key, on_error=on_error)

    def discard(self, leftover: Leftover) -> None:
        self.inner.discard(leftover)

    def sign(self, key: str, seconds: int) -> str:
        return self.inner.sign(key, seconds)


class WriterLayer:
    """Forwards everything to the writer it is around.

    Args:
        inner: That writer.
    """

    def __init__(self, inner: Writer) -> None:
        self.inner = inner

    @property
    def restartable(self) -> bool:
        """See `Writer.restartable`; so for all that follow."""
        return self.inner.restartable

    def write(self, data: bytes) -> None:
        self.inner.write(data)

    def read_back(self) -> Iterator[bytes] | None:
        return self.inner.read_back()

    def commit(self) -> ObjectInfo:
        return self.inner.commit()

    def abort(self) -> None:
        self.inner.abort()


class UploadLayer:
    """Forwards everything to the upload it is around.

    Args:
        inner: That upload.
    """

    def __init__(self, inner: Upload) -> None:
        self.inner = inner

    @property
    def token(self) -> str:
        """See `Upload.token`; so for all that follow."""
        return self.inner.token

    @property
    def part_size(self) -> int:
        return self.inner.part_size

    def parts(self) -> Sequence[Part]:
        return self.inner.parts()

    def send(self, number: int, data: bytes, crc32c: str) -> Part:
        return self.inner.send(number, data, crc32c)

    def read_back(self, part: Part) -> bytes | None:
        return self.inner.read_back(part)

    def commit(self, parts: Sequence[Part], crc32c: str) -> ObjectInfo:
        return self.inner.commit(parts, crc32c)

    def abort(self) -> None:
        self.inner.abort()

    def leave(self) -> None:
        self.inner.leave()


def taken(items: Iterator[_T], take: Callable[[Callable[[], None]], None], *, batch: int = BATCH) -> Iterator[_T]:
    """Take items in growing batches, so that what a layer does for each costs nothing for a million of them.

    Args:
        items: Closed at the end.
        take: Calls what it is given, which takes one batch; what it raises is raised after the items that came before.
        batch: The largest.
    """
    size = 1
    got: list[_T] = []

    def take_one_batch() -> None:
        for item in islice(items, size):
            got.append(item)  # noqa: PERF402 - what came before an error counts

    with contextlib.ExitStack() as stack:
        stack.callback(getattr(items, "close", _nothing))
        while True:
            got.clear()
            try:
                take(take_one_batch)
            except Exception:
                yield from tuple(got)
                raise
            yield from tuple(got)
            if len(got) < size:
                return
            size = min(2 * size, batch)


def _nothing() -> None:
    """Not every iterator can be closed."""
