"""What failed for a passing reason is tried again, and only if it has not happened already.

A reply can get lost after the work was done. So before repeating, those
operations look whose repetition would do harm: an append compares what stands
there, a rename and a deletion take "not found" for their own work, and a
writer knows its own object (`Writer.restartable`). tenacity does the waiting.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any, Final, TypeVar

from persistence_fsspec.attempt import stop_event
from persistence_fsspec.errors import (
    AuthenticationError,
    ChangedDuringReadError,
    ConnectionFailedError,
    ObjectNotFoundError,
    OperationTimeoutError,
    PersistenceError,
    ServerFailedError,
    ThrottledError,
    TruncatedError,
)
from persistence_fsspec.events import emit
from persistence_fsspec.layers.append import Appending
from persistence_fsspec.layers.layer import Layer, WriterLayer
from persistence_fsspec.layers.resume import Resumed
from persistence_fsspec.policy import Policy
from persistence_fsspec.store import ObjectInfo, OnError, Store, Writer

_T = TypeVar("_T")

Renew = Callable[[PersistenceError, float], bool]
"""Asked with an error about credentials and the time (`time.monotonic`) when the attempt began: gets new ones, or knows that
they were renewed since, and tells whether to try again."""

_DOUBTFUL: Final = (ConnectionFailedError, OperationTimeoutError, ServerFailedError, ThrottledError, TruncatedError)
"""After these nobody knows whether the store did what it was asked: an operation may be several requests."""


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
        resumed = Resumed(self.inner, key, pin, self._policy.part_size)
        try:
            while (piece := self.repeated("read", key, resumed.next_piece)) is not None:
                yield piece
        finally:
            resumed.close()

    def sign(self, key: str, seconds: int) -> str:
        return self.repeated("sign", key, lambda: self.inner.sign(key, seconds))

    def children(self, key: str) -> Iterator[ObjectInfo]:
        return self._listed(key, lambda: self.inner.children(key))

    def find(self, key: str, *, on_error: OnError | None = None) -> Iterator[ObjectInfo]:
        """A folder that could not be listed on the way is listed once more at the end."""
        missed: list[str] = []

        def begin() -> Iterator[ObjectInfo]:
            missed.clear()
            return self.inner.find(key, on_error=lambda folder, _: missed.append(folder))

        yield from self._listed(key, begin)
        for folder in missed:
            try:
                yield from self.find(folder, on_error=on_error)
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
            """Gone from there, and arrived here: not what was here before."""
            now = self._there(target) if isinstance(exc, ObjectNotFoundError) else None
            return now is not None and now.size == moving.size and (replaced is None or not replaced.same_content(now))

        self.repeated("rename", source, lambda: self.inner.rename(source, target), done=done)

    def delete(self, key: str) -> None:
        self.repeated("delete", key, lambda: self.inner.delete(key), done=_is_gone)

    def delete_folder(self, key: str) -> None:
        self.repeated("delete", key, lambda: self.inner.delete_folder(key), done=_is_gone)

    def append(self, key: str, data: bytes) -> None:
        """Look how long the object is, before and after; append only what is missing."""
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

    # --- the loop ---

    def repeated(
        self, operation: str, key: str, act: Callable[[], _T], *, done: Callable[[PersistenceError], bool] | None = None
    ) -> _T:
        """Act, and again if need be.

        Args:
            operation: For messages.
            key: For messages.
            act: One attempt.
            done: Told of what a repetition raised; whether that means that the attempt before had done its work unheard.
        """
        begun = time.monotonic()
        try:
            return act()
        except PersistenceError as exc:
            failure = exc
        return self.again(operation, key, failure, act, done=done, begun=begun)

    def again(
        self,
        operation: str,
        key: str,
        failure: PersistenceError,
        act: Callable[[], _T],
        *,
        done: Callable[[PersistenceError], bool] | None = None,
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
            possible: Whether it can be done once more, from here; otherwise the error is left to whoever can.
            begun: When the first attempt began.

        Raises:
            PersistenceError: The failure, if it will not pass; else that of the last attempt, marked as not retryable.
        """
        # An object that was replaced meanwhile stays replaced; who asked for that version has to know.
        options: dict[str, Any] = {"final": ChangedDuringReadError, "possible": possible}
        loop = _Loop(self._policy, self._renew, operation, self.url(key), begun, **options)
        try:
            return loop.run(failure, act, done)
        finally:
            del failure  # or the error and this frame would keep each other alive


def retrying(policy: Policy, operation: str, url: str, act: Callable[[], _T]) -> _T:
    """Act, and again if need be, outside of any store: for what its caller knows to be safe to repeat.

    Raises:
        PersistenceError: Of the last attempt, marked as not retryable.
    """
    begun = time.monotonic()
    try:
        return act()
    except PersistenceError as exc:
        failure = exc
    try:
        return _Loop(policy, None, operation, url, begun).run(failure, act)
    finally:
        del failure


class _Loop:
    """One operation, from its first failure to the end."""

    def __init__(
        self,
        policy: Policy,
        renew: Renew | None,
        operation: str,
        url: str,
        begun: float,
        *,
        final: type[PersistenceError] | tuple[()] = (),
        possible: Callable[[], bool] = lambda: True,
    ) -> None:
        self._policy, self._renew, self._final, self._possible = policy, renew, final, possible
        self._operation, self._url, self._begun = operation, url, begun
        self._attempt_begun = begun
        self._attempts, self._renewed, self._renewed_now = 0, False, False

    def run(self, failure: PersistenceError, act: Callable[[], _T], done: Callable[[PersistenceError], bool] | None = None) -> _T:
        if not self._worth(failure):
            raise failure
        import tenacity  # noqa: PLC0415 - most operations succeed, and never need it

        pending: PersistenceError | None = failure
        doubtful = False

        def attempt() -> _T:
            nonlocal pending, doubtful
            self._attempts += 1
            if pending is not None:  # the first attempt was made already
                first, pending = pending, None
                doubtful = isinstance(first, _DOUBTFUL)
                raise first
            self._attempt_begun = time.monotonic()
            try:
                return act()
            except PersistenceError as exc:
                if doubtful and done is not None and done(exc):
                    return None  # type: ignore[return-value]  # operations that can be "done" return nothing
                doubtful = doubtful or isinstance(exc, _DOUBTFUL)
                raise

        stop = stop_event()
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(self._worth_again),
            wait=self._wait,
            stop=self._enough,
            sleep=tenacity.sleep_using_event(stop) if stop is not None else time.sleep,
            before_sleep=self._tell,
            reraise=True,
        )
        try:
            return retrying(attempt)
        except PersistenceError as exc:
            if self._attempts > 1 and exc.retryable and self._possible():
                exc.retryable = False
                exc.message = f"{exc.message}; given up after {self._attempts} attempts"
                emit("gave_up", self._text(exc.message), level=logging.WARNING, **self._facts(exc))
            raise

    def _worth(self, exc: BaseException) -> bool:
        """Whether another attempt may help."""
        self._renewed_now = False
        if isinstance(exc, AuthenticationError) and self._renew is not None and not self._renewed:
            self._renewed = self._renewed_now = self._renew(exc, self._attempt_begun)
            if self._renewed_now and not self._possible():
                exc.retryable = True  # not from here; but whoever can begin again now has what it needs
            return self._renewed_now and self._possible()
        passing = isinstance(exc, PersistenceError) and exc.retryable and not isinstance(exc, self._final)
        return passing and self._policy.attempts > 1 and self._possible()

    def _worth_again(self, exc: BaseException) -> bool:
        return (self._renewed_now and self._attempts == 1) or self._worth(exc)

    def _enough(self, state: Any) -> bool:
        if self._renewed_now:
            return False
        stop = stop_event()
        if self._attempts >= self._policy.attempts or (stop is not None and stop.is_set()):
            return True
        limit = self._policy.give_up_seconds
        return limit is not None and time.monotonic() - self._begun + state.upcoming_sleep > limit

    def _wait(self, state: Any) -> float:
        """Exponential, at random; or as the server asks."""
        if self._renewed_now:
            return 0.0
        import tenacity  # noqa: PLC0415 - as above

        policy = self._policy
        first, most = policy.backoff_seconds, policy.backoff_max_seconds
        backoff: float = tenacity.wait_exponential(multiplier=first, max=most)(state)
        asked = getattr(state.outcome.exception(), "retry_after_seconds", None) or 0.0
        # At random, so that those who were refused together do not come back together; never sooner than was asked.
        spread = 1 + random.random() / 2  # noqa: S311 - not for secrets
        return max(backoff, asked) * spread

    def _tell(self, state: Any) -> None:
        exc = state.outcome.exception()
        wait = state.next_action.sleep
        if self._renewed_now:
            emit("credentials_renewed", self._text(f"new credentials, because: {exc.message}"), **self._facts(exc))
            return
        text = self._text(f"attempt {self._attempts} failed, again in {wait:.1f} s: {exc.message}")
        emit("retry", text, wait_seconds=round(wait, 3), **self._facts(exc))

    def _text(self, what: str) -> str:
        return f"{self._operation} {self._url}: {what}"

    def _facts(self, exc: BaseException) -> dict[str, Any]:
        return {"operation": self._operation, "url": self._url, "attempt": self._attempts, "error": type(exc).__name__}


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
