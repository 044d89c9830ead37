"""Instances of a driver, handed out so that threads, forks and broken connections do no harm."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from fsspec.asyn import AsyncFileSystem

from persistence_fsspec.attempt import Attempt, current
from persistence_fsspec.capabilities import Capabilities
from persistence_fsspec.errors import (
    ConnectionFailedError,
    CredentialsExpiredError,
    OperationTimeoutError,
    PersistenceError,
    TruncatedError,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.foreign import classify
from persistence_fsspec.stores.abandon import Abandonable, in_own_thread
from persistence_fsspec.stores.cancelling import make_cancellable
from persistence_fsspec.stores.janitor import clean_later, employ

_BROKEN: Final = (ConnectionFailedError, OperationTimeoutError, TruncatedError)

_LOOK_SECONDS: Final = 0.2

_all: weakref.WeakSet[Connections] = weakref.WeakSet()
_used: set[str] = set()
_inherited_use: set[str] = set()
# In a forked child nothing of the parent's may be closed, or even garbage collected: the sockets are shared.
_inherited: list[Any] = []


class Maker(Protocol):
    """Makes instances of a driver."""

    def __call__(self) -> Any:
        """A connected instance."""

    def renew(self) -> bool:
        """Ask for all options again; tell whether they may differ from those before."""


@contextlib.contextmanager
def _in_time(lock: threading.RLock) -> Iterator[None]:
    """Hold a lock, unless the attempt that waits for it is over before."""
    attempt = current()
    while not lock.acquire(timeout=_LOOK_SECONDS):
        if attempt is not None:
            attempt.require_time()
    try:
        yield
    finally:
        lock.release()


class Connections:
    """One driver's instances for one set of options.

    Args:
        make: Makes instances.
        capabilities: `threads` and `fork` decide how instances are shared.
        heals: Whether an instance survives its own broken connection.
        alive: Asked before an instance that rested some seconds is used again.
        close: Ends an instance that nobody else has.
        interrupt: Ends a call that blocks on an instance nobody else has, from another thread.
        abandon: Nothing can end a call that blocks, so each gets a thread that can be left behind.
        ready: An instance the caller made; it is the first one handed out.
    """

    def __init__(
        self,
        make: Maker,
        capabilities: Capabilities,
        *,
        heals: bool,
        alive: Callable[[Any, float], bool],
        close: Callable[[Any], None] = lambda _: None,
        interrupt: Callable[[Any], None] = lambda _: None,
        abandon: bool = False,
        ready: Any = None,
    ) -> None:
        self._make, self._capabilities, self._heals, self._alive, self._close = make, capabilities, heals, alive, close
        self._interrupt, self._abandon = interrupt, abandon
        self._worked, self._renewed = False, 0.0
        employ()
        self._forget()
        if ready is not None:
            self._keep(self._prepared(ready))
            if capabilities.fork == "never":
                _used.add(capabilities.driver)  # perhaps not by us yet, but who knows what else its maker did with it
        _all.add(self)

    def _forget(self) -> None:
        self._lock = threading.RLock()  # held for a few lines only, and never while anything is called
        self._gate, self._connecting, self._renewing = threading.RLock(), threading.RLock(), threading.RLock()
        self._shared: Any = None
        self._idle: list[tuple[Any, float]] = []
        self._watching: dict[int, Attempt] = {}

    def _keep(self, fs: Any) -> None:
        if self._capabilities.threads == "pooled":
            self._idle.append((fs, time.monotonic()))
        else:
            self._shared = fs

    @contextlib.contextmanager
    def lease(self) -> Iterator[Any]:
        """An instance for the length of the block; replaced when the block broke its connection."""
        if self._capabilities.threads == "serial":
            with _in_time(self._gate):
                fs = self._get_shared()
                try:
                    yield fs
                except OperationTimeoutError:
                    self._shared = None  # a call that was abandoned is still inside of it
                    raise
            self._worked = True
            return
        fs = self.acquire()
        try:
            yield fs
        except BaseException as exc:
            self.release(fs, broken=self.is_broken(exc))
            raise
        else:
            self._worked = True
            self.release(fs)

    def acquire(self) -> Any:
        """Take an instance; give it back with `release`."""
        if self._capabilities.threads != "pooled":
            return self._get_shared()
        attempt = current()
        while True:
            if attempt is not None:
                attempt.require_time()
            with self._lock:
                if not self._idle:
                    break
                fs, since = self._idle.pop()
            self._watch(fs)
            if self._alive(fs, time.monotonic() - since):
                return fs
            self.release(fs, broken=True)
            self.close_idle()  # the others rested even longer
        fs = self._connect()
        self._watch(fs)
        return fs

    def _watch(self, fs: Any) -> None:
        attempt = current()
        if attempt is not None:
            self._watching[id(fs)] = attempt
            attempt.watch(id(fs), lambda: self._interrupt(fs))

    def _unwatch(self, fs: Any) -> bool:
        """Whether nobody has interrupted it, nor is about to."""
        attempt = self._watching.pop(id(fs), None)
        return attempt is None or attempt.unwatch(id(fs))

    def release(self, fs: Any, *, broken: bool = False) -> None:
        """Give an instance back.

        Args:
            fs: From `acquire`.
            broken: Its connection is of no more use.
        """
        broken = not self._unwatch(fs) or broken
        with self._lock:
            if self._capabilities.threads != "pooled":
                if broken and not self._heals and self._shared is fs:
                    self._shared = None
                return
            if not broken:
                self._idle.append((fs, time.monotonic()))
                return
        self._interrupt(fs)  # nobody else has it; its socket, and the client's own threads, end now
        with contextlib.suppress(Exception):
            self._close(fs)

    def close_idle(self) -> None:
        """End the pooled instances that rest."""
        with self._lock:
            idle, self._idle = self._idle, []
        for fs, _ in idle:
            with contextlib.suppress(Exception):
                self._close(fs)

    def __del__(self) -> None:
        """A store that nobody asks for any more is forgotten, with its connections."""
        if getattr(self, "_idle", None):
            clean_later(self.close_idle)

    def renew(self, error: PersistenceError, since: float) -> bool:
        """Make new instances from now on, with credentials asked for anew.

        Args:
            error: What the store said of the old ones.
            since: When the attempt began that failed (`time.monotonic`).

        Returns:
            Whether it is worth to try again: not with credentials that never worked, and that nobody can replace.
        """
        with self._renewing:
            if self._renewed > since:  # by another thread
                return True
            if not isinstance(error, CredentialsExpiredError) and not self._worked:
                return False
            changed = self._make.renew()
            if not changed and not isinstance(error, CredentialsExpiredError):
                return False
            self._shared, self._renewed = None, time.monotonic()
        self.close_idle()
        return True

    def is_broken(self, exc: BaseException) -> bool:
        """Whether an instance is of no more use after this."""
        if not isinstance(exc, Exception):
            # Interrupted in the middle of a conversation: a private connection is out of step, a shared one is not.
            return self._capabilities.threads == "pooled" and not isinstance(exc, GeneratorExit)
        kind = classify(exc)
        return not self._heals and kind is not None and issubclass(kind, _BROKEN)

    def _get_shared(self) -> Any:
        shared = self._shared
        if shared is not None:
            return shared
        with _in_time(self._connecting):
            if self._shared is None:
                self._shared = self._connect()
            return self._shared

    def _connect(self) -> Any:
        driver = self._capabilities.driver
        if self._capabilities.fork == "never":
            if driver in _inherited_use:
                raise UnsupportedPersistenceOp(
                    f"the {driver} driver hangs in a forked process once its parent has used it",
                    hint='Start workers by spawn: multiprocessing.get_context("spawn").',
                )
            _used.add(driver)
        # A constructor that connects cannot be interrupted; what it makes too late is thrown away.
        return self._prepared(in_own_thread(self._make, late=self._interrupt))

    def _prepared(self, fs: Any) -> Any:
        """See that a call that blocks on it can be ended."""
        if isinstance(fs, AsyncFileSystem):
            make_cancellable(fs.loop)
        return Abandonable(fs) if self._abandon else fs


def _after_fork_in_child() -> None:
    _inherited_use.update(_used)
    for connections in list(_all):
        _inherited.append((connections._shared, connections._idle, connections._lock, connections._gate))
        connections._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _close_idle() -> None:
    """At exit, say goodbye to servers instead of leaving it to the collapse of the process."""
    for connections in list(_all):
        connections.close_idle()


atexit.register(_close_idle)
