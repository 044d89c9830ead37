"""Async drivers: a call that blocks is cancelled in fsspec's event loop, instead of being left to run on.

fsspec's `sync` runs each call of an async driver as one task, ``_runner``, and
waits for it in the caller's thread. Nothing tells the caller which task that
is; but the event loop makes it in the caller's context, where the attempt is.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final

from fsspec import asyn

from persistence_fsspec.attempt import current
from persistence_fsspec.forks import whole_when_forked

_Coro = Coroutine[Any, Any, Any] | Generator[Any, None, Any]

_RUNNER: Final = asyn._runner.__code__
_prepared: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
_lock = threading.Lock()
whole_when_forked(_lock)


def make_cancellable(loop: asyncio.AbstractEventLoop) -> None:
    """Let attempts know the tasks that are begun for them in this loop.

    Args:
        loop: Of an async driver; a task factory that is set already goes on making the tasks.
    """
    with _lock:
        if loop in _prepared:
            return
        _prepared.add(loop)
        loop.set_task_factory(_factory(loop.get_task_factory()))


def _factory(before: Callable[..., Any] | None) -> Callable[..., asyncio.Future[Any]]:
    def make_task(loop: asyncio.AbstractEventLoop, coro: _Coro, **more: Any) -> asyncio.Future[Any]:
        task: asyncio.Future[Any] = before(loop, coro, **more) if before is not None else asyncio.Task(coro, loop=loop, **more)
        attempt = current()
        # Only the outermost one: what it awaits is cancelled with it, and what a client leaves behind for later calls,
        # such as the reader of a shared connection, has to live on.
        if attempt is not None and getattr(coro, "cr_code", None) is _RUNNER:
            attempt.watch(task, lambda: _cancel(loop, task))
            task.add_done_callback(attempt.unwatch)
        return task

    return make_task


def _cancel(loop: asyncio.AbstractEventLoop, task: asyncio.Future[Any]) -> None:
    loop.call_soon_threadsafe(task.cancel)
