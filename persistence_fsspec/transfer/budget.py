"""One budget of memory for all transfers of the process: what they buffer at the same time."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Final

from persistence_fsspec.attempt import require_going_on

_LOOK_SECONDS: Final = 0.5


class Budget:
    """Bytes of buffers in use; whoever needs more than is left waits."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew; in a forked child nobody holds anything."""
        self._used = 0
        self._freed = threading.Condition()

    @contextlib.contextmanager
    def hold(self, size: int, limit: int) -> Iterator[None]:
        """Hold so many bytes.

        Args:
            size: Bytes. What is larger than *limit* waits until nothing else is held, and then goes on: it needs what it needs.
            limit: The most that may be in use, by all transfers together.

        Raises:
            OperationTimeoutError: The transfer was stopped while it waited.
        """
        with self._freed:
            while self._used and self._used + size > limit:
                self._freed.wait(_LOOK_SECONDS)
                require_going_on()
            self._used += size
        try:
            yield
        finally:
            with self._freed:
                self._used -= size
                self._freed.notify_all()


BUDGET: Final = Budget()
"""That of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=BUDGET.forget)
