"""What failed for a passing reason is tried again, and only if it has not happened already.

A reply can get lost after the work was done. So before repeating, those
operations look whose repetition would do harm: an append compares what stands
there (`append`), a rename knows what was at both names before, a deletion takes
"not found" for its own work, and a writer knows its own object
(`Writer.restartable`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, TypeVar

from persistence_fsspec.errors import (
    ChangedDuringReadError,
    ObjectNotFoundError,
    PersistenceError,
)
from persistence_fsspec.foreign import translated
from persistence_fsspec.layers.append import Appending
from persistence_fsspec.layers.layer import Layer, UploadLayer, WriterLayer
from persistence_fsspec.layers.loop import Loop, Renew
from persistence_fsspec.layers.resume import Resumed
from persistence_fsspec.policy import Policy
from persistence_fsspec.store import Leftover, Links, ObjectInfo, OnError, Part, Store, Upload, Writer
from persistence_fsspec.stores import rewriting

_T = TypeVar("_T")


class RetryLayer(Layer):
    """Repeats what failed for a passing reason.

    Args:
        inner: The store.
        policy: `attempts`, `backoff_seconds`, `backoff_max_seconds`, `give_up_seconds`.
        renew: Gets new credentials when the store finds them expired; such an operation is repeated once more than others.
    """

    def __init__(self, inner: Store, policy: Policy, renew: Renew | None = None) -> None:
        super().__init__(inner)
        self._policy, self._renew = policy, renew

    # --- looking and reading: to be repeated at will ---

    def info(self, key: str) -> ObjectInfo:
        return self.repeated("info", key, lambda: self.inner.info(key))

    def read(self, key: str, start: int | None = None, end: int | None = None, *, pin: ObjectInfo | None = None) -> bytes:
        return self.repeated("read", key, lambda: self.inner.read(key, start, end, pin=pin))

    def stream(self, key: str, *, pin: ObjectInfo | None = None) -> Iterator[bytes]:
        if pin is not None and self._is_one_piece(pin):
            data = self.read(key, pin=pin)
            if len(data) == pin.size:
                yield data
                return
        resumed = Resumed(self.inner, key, pin, self._policy.part_size)
        try:
            while (piece := self.repeated("read", key, resumed.next_piece)) is not None:
                yield piece
        finally:
            resumed.close()

    def _is_one_piece(self, pin: ObjectInfo) -> bool:
        """Whether one request reads all of it, and only it: a stream costs several times as much as a small object."""
        small = pin.size is not None and pin.size <= self._policy.part_size
        return small and pin.version is not None and not pin.is_folder and self.capabilities.pin == "version"

    def sign(self, key: str, seconds: int) -> str:
        return self.repeated("sign", key, lambda: self.inner.sign(key, seconds))

    def children(self, key: str) -> Iterator[ObjectInfo]:
        return self._listed(key, lambda: self.inner.children(key))

    def find(
        self, key: str, *, on_error: OnError | None = None, links: Links = "follow", folders: bool = False
    ) -> Iterator[ObjectInfo]:
        """A folder that could not be listed on the way is listed once more at the end."""
        missed: list[str] = []

        def begin() -> Iterator[ObjectInfo]:
            missed.clear()
            return self.inner.find(key, on_error=lambda folder, _: missed.append(folder), links=links, folders=folders)

        yield from self._listed(key, begin)
        for folder in missed:
            try:
                yield from self.find(folder, on_error=on_error, links=links, folders=folders)
            except PersistenceError as exc:
                if on_error is None:
                    raise
                on_error(folder, exc)

    def _listed(self, key: str, begin: Callable[[], Iterator[ObjectInfo]]) -> Iterator[ObjectInfo]:
        """A listing that breaks off goes on behind its last name, where the store gives names in order."""
        entries, last, in_order = begin(), None, self.capabilities.flat
        while True:
            begun = time.monotonic()
            try:
                for entry in entries:
                    in_order = in_order and (last is None or last < entry.key)
                    last = entry.key
                    yield entry
                return
            except PersistenceError as exc:
                if last is not None and not in_order:
                    raise
                failure = exc
            entries = self.again("list", key, failure, lambda: _begun(begin(), last), begun=begun)  # noqa: B023 - called at once

    # --- changing: to be looked at before it is repeated ---

    def copy(self, source: str, target: str) -> None:
        self.repeated("copy", source, lambda: self.inner.copy(source, target))

    def rename(self, source: str, target: str) -> None:
        moving, replaced = self.info(source), self._there(target)

        def done(exc: PersistenceError) -> bool:
            """Gone from there, where it was when we came, and arrived here; not the very version that was here before."""
            now = self._there(target) if isinstance(exc, ObjectNotFoundError) else None
            if now is None or now.size != moving.size:
                return False
            return replaced is None or replaced.version is None or replaced.version != now.version

        self.repeated("rename", source, lambda: self.inner.rename(source, target), done=done)

    def delete(self, key: str) -> None:
        self.repeated("delete", key, lambda: self.inner.delete(key), done=_is_gone)

    def delete_folder(self, key: str) -> None:
        self.repeated("delete", key, lambda: self.inner.delete_folder(key), done=_is_gone)

    def append(self, key: str, data: bytes) -> None:
        """Each step of a rewrite by itself; else look how long the object is, before and after, and append what is missing."""
        if self.capabilities.append == "rewrite":
            with translated("append", self.url(key)):
                rewriting.append(self, key, data)
        else:
            Appending(self, self.inner, key, data).run()

    def _there(self, key: str) -> ObjectInfo | None:
        try:
            return self.info(key)
        except ObjectNotFoundError:
            return None

    def writer(
        self,
        key: str,
        *,
        size: int | None = None,
        overwrite: bool = True,
        if_match: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Writer:
        def begin() -> Writer:
            return self.inner.writer(key, size=size, overwrite=overwrite, if_match=if_match, metadata=metadata)

        return _RetryingWriter(self, key, begin, self._policy.part_size)

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
        options: dict[str, Any] = {"size": size, "part_size": part_size, "token": token}
        options |= {"overwrite": overwrite, "metadata": metadata}
        return _RetryingUpload(self, key, self.repeated("write", key, lambda: self.inner.upload(key, **options)))

    def make_root(self) -> None:
        self.repeated("make bucket", "", self.inner.make_root)

    def make_folder(self, key: str) -> None:
        self.repeated("make folder", key, lambda: self.inner.make_folder(key))

    def part_digests(self, key: str, *, pin: ObjectInfo) -> Sequence[Part]:
        return self.repeated("info", key, lambda: self.inner.part_digests(key, pin=pin))

    def versions(self, key: str) -> Iterator[ObjectInfo]:
        return iter(self.repeated("list", key, lambda: list(self.inner.versions(key))))

    def snapshot(self, key: str) -> ObjectInfo:
        return self.repeated("snapshot", key, lambda: self.inner.snapshot(key), final=())  # of whatever is there by then

    def leftovers(self, key: str, *, on_error: OnError | None = None) -> Iterator[Leftover]:
        """A folder that could not be listed on the way is listed once more at the end."""
        missed: dict[str, PersistenceError] = {}

        def listed() -> list[Leftover]:
            missed.clear()
            return list(self.inner.leftovers(key, on_error=missed.__setitem__))

        yield from self.repeated("list", key, listed)
        for folder, failure in missed.items():
            try:
                if folder == key:  # its uploads, which are asked for last
                    raise failure
                yield from self.leftovers(folder, on_error=on_error)
            except PersistenceError as exc:
                if on_error is None:
                    raise
                on_error(folder, exc)

    def forget(self, version: ObjectInfo) -> None:
        self.repeated("delete", version.key, lambda: self.inner.forget(version), done=_is_gone)

    def discard(self, leftover: Leftover) -> None:
        self.repeated("delete", leftover.key, lambda: self.inner.discard(leftover), done=_is_gone)

    # --- the loop ---

    def repeated(
        self,
        operation: str,
        key: str,
        act: Callable[[], _T],
        *,
        done: Callable[[PersistenceError], bool] | None = None,
        final: type[PersistenceError] | tuple[()] = ChangedDuringReadError,
    ) -> _T:
        """Act, and again if need be.

        Args:
            operation: For messages.
            key: For messages.
            act: One attempt.
            done: Told of what a repetition raised; whether that means that the attempt before had done its work unheard.
            final: What is not tried again. An object that was replaced stays replaced; who asked for that version has to know.
        """
        begun = time.monotonic()
        try:
            return act()
        except PersistenceError as exc:
            failure = exc
        return self.again(operation, key, failure, act, done=done, final=final, begun=begun)

    def again(
        self,
        operation: str,
        key: str,
        failure: PersistenceError,
        act: Callable[[], _T],
        *,
        done: Callable[[PersistenceError], bool] | None = None,
        final: type[PersistenceError] | tuple[()] = ChangedDuringReadError,
        possible: Callable[[], bool] = lambda: True,
        begun: float,
    ) -> _T:
        """What follows a first attempt that failed.

        Args:
            operation: See `repeated`.
            key: See `repeated`.
            failure: Of the first attempt.
            act: See `repeated`.
            done: See `repeated`.
            final: See `repeated`.
            possible: Whether it can be done once more, from here; otherwise the error is left to whoever can.
            begun: When the first attempt began.

        Raises:
            PersistenceError: The failure, if it will not pass; else that of the last attempt, marked as not retryable.
        """
        loop = Loop(self._policy, self._renew, operation, self.url(key), begun, final=final, possible=possible)
        try:
            return loop.run(failure, act, done)
        finally:
            del failure  # or the error and this frame would keep each other alive


class _RetryingWriter(WriterLayer):
    """Begins again from the first byte, as long as it still has them; afterwards only `commit` can be repeated.

    Args:
        layer: Repeats.
        key: The object's name.
        begin: Makes the writer underneath.
        keep: Bytes to keep for beginning again.
    """

    def __init__(self, layer: RetryLayer, key: str, begin: Callable[[], Writer], keep: int) -> None:
        super().__init__(layer.repeated("write", key, begin))
        self._layer, self._key, self._begin, self._keep = layer, key, begin, keep
        self._pieces: list[bytes] | None = []

    def write(self, data: bytes) -> None:
        self._remember(data)
        begun = time.monotonic()
        try:
            self.inner.write(data)
            return
        except PersistenceError as exc:
            failure = exc
        self._layer.again("write", self._key, failure, self._anew, possible=self._can_begin_again, begun=begun)

    def _remember(self, data: bytes) -> None:
        if self._pieces is None:
            return
        self._keep -= len(data)
        if self._keep < 0:
            self._pieces = None
        else:
            self._pieces.append(data)

    def _can_begin_again(self) -> bool:
        return self._pieces is not None

    def _anew(self) -> None:
        self.inner.abort()
        self.inner = self._begin()
        for data in self._pieces or ():
            self.inner.write(data)

    def commit(self) -> ObjectInfo:
        begun = time.monotonic()
        try:
            return self.inner.commit()
        except PersistenceError as exc:
            failure = exc
        again, possible = self._commit_again, self._can_commit_again
        return self._layer.again("write", self._key, failure, again, possible=possible, begun=begun)

    def abort(self) -> None:
        self._pieces = None
        self.inner.abort()

    def _can_commit_again(self) -> bool:
        return self.inner.restartable or self._can_begin_again()

    def _commit_again(self) -> ObjectInfo:
        if not self.inner.restartable:
            self._anew()
        return self.inner.commit()


def _is_gone(exc: PersistenceError) -> bool:
    return isinstance(exc, ObjectNotFoundError)


def _begun(entries: Iterator[ObjectInfo], last: str | None) -> Iterator[ObjectInfo]:
    """What comes behind the last name that was listed; the first of it is taken now, so that errors come now."""
    for entry in entries:
        if last is None or entry.key > last:
            return chain([entry], entries)
    return iter(())


class _RetryingUpload(UploadLayer):
    """A part can be sent again; a commit knows its own object again."""

    def __init__(self, layer: RetryLayer, key: str, inner: Upload) -> None:
        super().__init__(inner)
        self._layer, self._key = layer, key

    def parts(self) -> Sequence[Part]:
        return self._layer.repeated("write", self._key, self.inner.parts)

    def send(self, number: int, data: bytes, crc32c: str) -> Part:
        return self._layer.repeated("write", self._key, lambda: self.inner.send(number, data, crc32c))

    def read_back(self, part: Part) -> bytes | None:
        return self._layer.repeated("read back", self._key, lambda: self.inner.read_back(part))

    def commit(self, parts: Sequence[Part], crc32c: str) -> ObjectInfo:
        return self._layer.repeated("write", self._key, lambda: self.inner.commit(parts, crc32c))
