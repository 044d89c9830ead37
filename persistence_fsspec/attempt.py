"""One try of one operation: what it is busy with, and how to end it from outside.

The layer `timeout` makes attempts and gives them a deadline; whoever begins
something that can block says how to interrupt it (`Attempt.watch`). At the
deadline, or when the transfer around it is stopped, everything watched is
interrupted and every further call of the same attempt is refused at once. So a
deadline ends the work, instead of leaving it behind in a thread.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextvars import ContextVar
from typing import Final

from persistence_fsspec.errors import OperationTimeoutError

_TICK: Final = 0.1
"""Seconds between two looks at the deadlines; their precision."""

_current: ContextVar[Attempt | None] = ContextVar("persistence_fsspec_attempt", default=None)
_stop: ContextVar[threading.Event | None] = ContextVar("persistence_fsspec_stop", default=None)


class Attempt:
    """One try. Entered for as long as it works; may be entered again, as by each piece of a stream.

    Args:
        heed_stop: End when the transfer around it is stopped; cleaning up goes on regardless.
    """

    def __init__(self, *, heed_stop: bool = True) -> None:
        self._lock = threading.Lock()
        self._interrupts: dict[Hashable, Callable[[], None]] = {}
        self._deadline: float | None = None
        self._seconds: float | None = None
        self._stop = _stop.get() if heed_stop else None
        self.expired = False

    @contextlib.contextmanager
    def working(self, seconds: float | None) -> Iterator[None]:
        """The block is this attempt's work; it may take so many seconds, or any time for None.

        Raises:
            OperationTimeoutError: The attempt expired, whatever the block itself returned or raised.
        """
        self.require_time()
        token = _current.set(self)
        self._seconds = seconds
        self._deadline = None if seconds is None else time.monotonic() + seconds
        _watchdog.add(self)
        try:
            yield
        except Exception as exc:
            if self.expired and not isinstance(exc, OperationTimeoutError):
                raise self._too_late() from exc
            raise
        except BaseException:
            self._interrupt()  # Ctrl-C: nobody waits for the answer any more
            raise
        finally:
            self._deadline = None
            _watchdog.remove(self)
            _current.reset(token)
        self.require_time()

    def require_time(self) -> None:
        """Refuse to go on.

        Raises:
            OperationTimeoutError: The attempt is over.
        """
        if self.expired:
            raise self._too_late()

    def progressed(self) -> None:
        """Something came of it: from now on it may take as long again."""
        if self._deadline is not None and self._seconds is not None:
            self._deadline = time.monotonic() + self._seconds

    def watch(self, what: Hashable, interrupt: Callable[[], None]) -> None:
        """Something began that can block.

        Args:
            what: Names it, for `unwatch`.
            interrupt: Ends it, from another thread, soon and without raising.
        """
        with self._lock:
            self._interrupts[what] = interrupt
            late = self.expired
        if late:
            interrupt()

    def unwatch(self, what: Hashable) -> bool:
        """It has ended; tell whether it was left alone until now, and will be from now on."""
        with self._lock:
            return self._interrupts.pop(what, None) is not None

    def expire_if_due(self, now: float) -> None:
        """Called by the watchdog."""
        stopped = self._stop is not None and self._stop.is_set()
        if not self.expired and (stopped or (self._deadline is not None and now >= self._deadline)):
            self.expired = True
            self._interrupt()

    def _interrupt(self) -> None:
        with self._lock:
            interrupts = list(self._interrupts.values())
            self._interrupts.clear()
        for interrupt in interrupts:
            with contextlib.suppress(Exception):
                interrupt()

    def _too_late(self) -> OperationTimeoutError:
        if self._stop is not None and self._stop.is_set():
            return _stopped()
        within = "in time" if self._seconds is None else f"within {self._seconds:g} s"
        return OperationTimeoutError(f"no answer {within}, and the attempt was ended")


def current() -> Attempt | None:
    """The attempt that this thread works on, if any."""
    return _current.get()


def progressed() -> None:
    """The attempt that this thread works on, if any, has got somewhere: for operations whose length nobody knows beforehand."""
    attempt = _current.get()
    if attempt is not None:
        attempt.progressed()


@contextlib.contextmanager
def cleaning_up(seconds: float = 10.0) -> Iterator[None]:
    """A short attempt of its own for removing what a failed one left; also after that one expired or was stopped."""
    with contextlib.suppress(OperationTimeoutError), Attempt(heed_stop=False).working(seconds):
        yield


@contextlib.contextmanager
def stopped_by(event: threading.Event) -> Iterator[None]:
    """Attempts begun in the block end when the event is set."""
    token = _stop.set(event)
    try:
        yield
    finally:
        _stop.reset(token)


def stop_event() -> threading.Event | None:
    """What ends the transfer that this thread works for, if it is part of one."""
    return _stop.get()


def pause(seconds: float) -> None:
    """Sleep; shorter when the transfer around is stopped."""
    stop = _stop.get()
    if stop is None:
        time.sleep(seconds)
    else:
        stop.wait(seconds)


def require_going_on() -> None:
    """Refuse to go on with a transfer that was stopped.

    Raises:
        OperationTimeoutError: It was; not retryable.
    """
    stop = _stop.get()
    if stop is not None and stop.is_set():
        raise _stopped()


def _stopped() -> OperationTimeoutError:
    error = OperationTimeoutError("was stopped, with the transfer it belongs to")
    error.retryable = False
    return error


class _Watchdog:
    """One thread that looks at the attempts in progress; it sleeps while there are none."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew; in a forked child there is no thread, and nothing in progress."""
        self._busy: set[Attempt] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, attempt: Attempt) -> None:
        with self._lock:
            self._busy.add(attempt)
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="persistence-fsspec-deadlines", daemon=True)
                thread.start()
                self._thread = thread
        if not self._wake.is_set():
            self._wake.set()

    def remove(self, attempt: Attempt) -> None:
        with self._lock:
            self._busy.discard(attempt)

    def _run(self) -> None:
        while True:
            self._wake.wait()
            time.sleep(_TICK)
            with self._lock:
                busy = list(self._busy)
                if not busy:
                    self._wake.clear()
            now = time.monotonic()
            for attempt in busy:
                attempt.expire_if_due(now)


_watchdog: Final = _Watchdog()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_watchdog.forget)
