"""One operation, from its first failure to the end; tenacity does the waiting."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from persistence_fsspec.attempt import stop_event
from persistence_fsspec.errors import (
    AuthenticationError,
    ConnectionFailedError,
    OperationTimeoutError,
    PersistenceError,
    ServerFailedError,
    ThrottledError,
    TruncatedError,
)
from persistence_fsspec.events import emit
from persistence_fsspec.policy import Policy

_T = TypeVar("_T")

Renew = Callable[[PersistenceError, float], bool]
"""Asked with an error about credentials and the time (`time.monotonic`) when the attempt began: gets new ones, or knows that
they were renewed since, and tells whether to try again."""

_DOUBTFUL: Final = (ConnectionFailedError, OperationTimeoutError, ServerFailedError, ThrottledError, TruncatedError)
"""After these nobody knows whether the store did what it was asked: an operation may be several requests."""


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
        return Loop(policy, None, operation, url, begun).run(failure, act)
    finally:
        del failure


class Loop:
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
        return max(min(backoff * spread, most), asked * spread)

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
