"""Appending over a connection that may break: each byte once, or an error that says that nobody knows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from persistence_fsspec.errors import (
    ConflictError,
    ObjectNotFoundError,
    OperationTimeoutError,
    PersistenceError,
    TruncatedError,
)
from persistence_fsspec.store import Store

_STILL_SECONDS: Final = 0.15
_LOOKS: Final = 20


class _Repeats(Protocol):
    def repeated(self, operation: str, key: str, act: Callable[[], Any]) -> Any:
        """See `RetryLayer.repeated`."""


class Appending:
    """One append.

    The size of the object, before and after, tells what arrived. What did not
    is sent again, but only once the server can hardly still be writing: after
    an attempt that had to be ended, some of its bytes may land at any time.

    Args:
        layer: Repeats.
        store: Without repetitions.
        key: The object.
        data: What is appended.
    """

    def __init__(self, layer: _Repeats, store: Store, key: str, data: bytes) -> None:
        self._layer, self._store, self._key, self._data = layer, store, key, data
        self._before: int | None = 0
        self._failure: PersistenceError | None = None
        self._appended = False

    def run(self) -> None:
        """Append, and see that it is there.

        Raises:
            ConflictError: It cannot be known whether the bytes are there.
            PersistenceError: They are not, or not all of them.
        """
        self._before = self._layer.repeated("append", self._key, self._size)
        try:
            self._layer.repeated("append", self._key, self._once)
        finally:
            self._failure = None

    def _once(self) -> None:
        missing = self._data
        if self._failure is not None:
            missing = self._data[self._arrived(self._failure) :]
        if (missing or self._failure is None) and not self._appended:  # of nothing, an object may begin
            try:
                self._store.append(self._key, missing)
            except PersistenceError as exc:
                self._failure = exc
                raise
            self._appended = True
        self._require_all()

    def _require_all(self) -> None:
        """Some servers answer "done" to an upload that broke off."""
        size = self._size()
        if self._before is None or size is None or size >= self._before + len(self._data):
            return
        self._appended = False
        self._failure = TruncatedError(
            f"{size - self._before} bytes arrived of {len(self._data)}", operation="append", url=self._store.url(self._key)
        )
        raise self._failure

    def _arrived(self, failure: PersistenceError) -> int:
        """How many of the bytes stand at the end of the object, now that it has stopped growing."""
        size = self._settled()
        if self._before is not None and size is not None:
            arrived = size - self._before
            late = isinstance(failure, OperationTimeoutError)  # and some bytes may still be on their way
            possible = arrived == len(self._data) or (0 <= arrived < len(self._data) and not late)
            if possible and (arrived == 0 or self._store.read(self._key, self._before, size) == self._data[:arrived]):
                return arrived
        raise ConflictError(
            "the attempt to append failed in the middle, and what stands there does not tell whether our bytes are, or will be, "
            f"in it: {failure.message}",
            operation="append",
            url=self._store.url(self._key),
            hint="Look at the object before appending again.",
        )

    def _settled(self) -> int | None:
        size = self._size()
        for _ in range(_LOOKS):
            time.sleep(_STILL_SECONDS)
            now = self._size()
            if now == size:
                break
            size = now
        return size

    def _size(self) -> int | None:
        """None where the store does not say."""
        try:
            return self._store.info(self._key).size
        except ObjectNotFoundError:
            return 0
