"""Cleaning up after what was dropped, in a thread of its own.

Python may collect an object in any thread, in the middle of anything, also
while a lock is held that cleaning up needs, or in the event loop that it would
wait for. So a finalizer only leaves word here.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import threading
from collections.abc import Callable

_SETTLE_SECONDS = 10.0


class _Janitor:
    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew; what a forked child inherited is the parent's to clean up."""
        self.left: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._running = False

    def start(self) -> None:
        """Be there, from now on."""
        if self._running:
            return
        with self._lock:
            if not self._running:
                threading.Thread(target=self._run, args=(self.left,), name="persistence-fsspec-janitor", daemon=True).start()
                self._running = True

    @staticmethod
    def _run(left: queue.SimpleQueue[Callable[[], object]]) -> None:
        while True:
            clean = left.get()
            with contextlib.suppress(Exception):
                clean()
            del clean  # or the last one would be kept until the next one comes

    def settle(self, seconds: float) -> bool:
        if not self._running:
            return True
        done = threading.Event()
        self.left.put(done.set)
        return done.wait(seconds)


_janitor = _Janitor()


def employ() -> None:
    """Called by what may be dropped, when it is made: a finalizer cannot start a thread."""
    _janitor.start()


def clean_later(clean: Callable[[], object]) -> None:
    """Leave word; may be called by finalizers: it neither waits nor takes a lock.

    Args:
        clean: Called soon in the janitor's thread; what it raises is lost.
    """
    _janitor.left.put(clean)


def settle(seconds: float = _SETTLE_SECONDS) -> bool:
    """Wait until everything left so far is cleaned up; tell whether it is."""
    return _janitor.settle(seconds)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_janitor.forget)
atexit.register(settle, 5.0)
