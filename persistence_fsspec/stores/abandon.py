"""What nobody can interrupt gets a thread of its own, which is left behind at the deadline.

That is the making of connections, which happens inside the drivers'
constructors, and every call of drivers whose code is not Python's. What is left
behind can reach only its own partial name; publishing is a call of its own, and
is looked at before it is repeated (`Writer.restartable`).
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from persistence_fsspec.attempt import current


class Abandonable:
    """A driver's instance, or a file it opened, whose methods end with the attempt.

    It passes for what it stands for: ``isinstance`` sees the class of the original.

    Args:
        original: The driver's own object.
    """

    def __init__(self, original: Any) -> None:
        object.__setattr__(self, "_original", original)

    @property
    def __class__(self) -> Any:
        return type(self._original)

    @__class__.setter
    def __class__(self, _: Any) -> None:
        raise TypeError("the class of an instance in use does not change")

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._original, name)
        if not inspect.ismethod(value):
            return value
        return lambda *args, **options: _wrapped(in_own_thread(lambda: value(*args, **options)))

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._original, name, value)

    def __enter__(self) -> Any:
        self._original.__enter__()
        return self

    def __exit__(self, *error: object) -> Any:
        return in_own_thread(lambda: self._original.__exit__(*error))


def _wrapped(found: Any) -> Any:
    """A file that was opened is read and written in threads, too."""
    return Abandonable(found) if hasattr(found, "read") and hasattr(found, "close") else found


def in_own_thread(act: Callable[[], Any], *, late: Callable[[Any], None] = lambda _: None) -> Any:
    """Call something that the deadline of the attempt cannot reach in any other way.

    Args:
        act: Called in the thread.
        late: Given what it returns after all, when nobody waits for it any more.

    Raises:
        OperationTimeoutError: The attempt is over.
    """
    attempt = current()
    if attempt is None:
        return act()
    call = _Call(act, late)
    attempt.watch(call, call.abandon)
    threading.Thread(target=copy_context().run, args=(call.run,), name="persistence-fsspec-call", daemon=True).start()
    try:
        call.over.wait()
    except BaseException:  # Ctrl-C
        call.abandon()
        raise
    finally:
        attempt.unwatch(call)
    attempt.require_time()
    return call.answer()


class _Call:
    """One call in a thread of its own."""

    def __init__(self, act: Callable[[], Any], late: Callable[[Any], None]) -> None:
        self._act, self._late = act, late
        self._lock = threading.Lock()
        self._abandoned = False
        self._answer: Any = None
        self._error: BaseException | None = None
        self.over = threading.Event()

    def run(self) -> None:
        """The thread's work."""
        try:
            answer = self._act()
        except BaseException as exc:  # noqa: BLE001 - it is raised in the caller's thread
            self._error = exc
        else:
            with self._lock:
                self._answer = answer
                abandoned = self._abandoned
                self.over.set()
            if abandoned:
                self._late(answer)
        finally:
            self.over.set()

    def abandon(self) -> None:
        """Nobody waits any more."""
        with self._lock:
            self._abandoned = not self.over.is_set()
        self.over.set()

    def answer(self) -> Any:
        """What came of it."""
        error, self._error = self._error, None
        try:
            if error is not None:
                raise error
        finally:
            del error  # or it would keep this frame, and the frame it
        return self._answer
