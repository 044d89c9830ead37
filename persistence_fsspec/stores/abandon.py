"""Drivers whose calls nobody can interrupt: each call gets a thread of its own, which is left behind at the deadline.

What is left behind can reach only its own partial name; publishing is a call
of its own, and is looked at before it is repeated (`Writer.restartable`).
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
        return lambda *args, **options: _in_own_thread(lambda: value(*args, **options))

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._original, name, value)

    def __enter__(self) -> Any:
        self._original.__enter__()
        return self

    def __exit__(self, *error: object) -> Any:
        return _in_own_thread(lambda: self._original.__exit__(*error))


def _in_own_thread(act: Callable[[], Any]) -> Any:
    attempt = current()
    if attempt is None:
        return _wrapped(act())
    answer: list[Any] = []
    over = threading.Event()
    context = copy_context()

    def work() -> None:
        try:
            answer.extend((True, context.run(act)))
        except BaseException as exc:  # noqa: BLE001 - it is raised in the caller's thread
            answer.extend((False, exc))
        finally:
            over.set()

    attempt.watch(over, over.set)
    threading.Thread(target=work, name="persistence-fsspec-call", daemon=True).start()
    over.wait()
    attempt.unwatch(over)
    attempt.require_time()
    worked, found = answer
    if not worked:
        raise found
    return _wrapped(found)


def _wrapped(found: Any) -> Any:
    """A file that was opened is read and written in threads, too."""
    return Abandonable(found) if hasattr(found, "read") and hasattr(found, "close") else found
