"""``p.aio``: the same operations to await, from any asyncio loop.

>>> import asyncio
>>> from persistence_fsspec import FSSpecPersistence
>>> p = FSSpecPersistence("memory://aio-docs")
>>> async def main():
...     await asyncio.gather(*(p.aio.write_bytes(f"day/{i}", b"data") for i in range(3)))
...     names = [info.key async for info in p.aio.find("day")]
...     return sorted(names), await p.aio.read_bytes("day/1"), await p.aio.exists("day/9")
>>> asyncio.run(main())
(['day/0', 'day/1', 'day/2'], b'data', False)

Every call runs in a thread of our own, beside the loop and beside the loop's
own threads, so it neither blocks the loop nor waits for what others do there.
There is no second implementation, no second connection, and no event loop to
agree on: the same process may use both faces at once, and several loops.

**Cancelling stops the work.** When the awaiting task is cancelled (a timeout,
Ctrl-C, a task group that ends), the transfer is stopped, cleans up, and only
then the cancellation goes on. Nothing half-written stands under a final name;
what has arrived whole stays, and the same call goes on from there. A single
small operation has either happened or not.

>>> async def in_a_minute():
...     await asyncio.wait_for(p.aio.put("outputs/", "run-1", recursive=True), timeout=60)

**Listings come in pieces**, so that a million names need little memory. One that is left early is closed.

>>> async def first_two():
...     found = []
...     async for name in p.aio.listdir("day"):
...         found.append(name)
...         if len(found) == 2:
...             break
...     return len(found)
>>> asyncio.run(first_two())
2

There is no ``open``: each read and write of a file would be a journey between
two threads, and closing it, which is what publishes it, could be forgotten by a
task that was cancelled. Use ``read_bytes`` (with a range) and ``write_bytes``, or
a function that uses ``p.open`` in ``asyncio.to_thread``.

A listener given as ``progress=`` is called from other threads than the loop's. A
plan (``dry_run=True``) looks at the stores while it is iterated; that, too, belongs
into a thread: ``await asyncio.to_thread(lambda: list(p.put(..., dry_run=True)))``.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import functools
import os
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Concatenate, Final, Generic, ParamSpec, TypeVar

from persistence_fsspec.attempt import stopped_by
from persistence_fsspec.persistence import FSSpecPersistence

_P = ParamSpec("_P")
_R = TypeVar("_R")
_T = TypeVar("_T")

_CALLS: Final = 64
"""Threads for short operations; made when they are needed, as all of them."""

_TRANSFERS: Final = 32
"""Threads for those that may take hours. Each of them has workers of its own, so these only wait."""

_STOPPING_SECONDS: Final = 10.0
"""How long a cancelled task waits for its call to end; what a driver cannot interrupt is left to its deadline."""

_BATCH: Final = 1000
_BATCH_SECONDS: Final = 0.05


class _Executor:
    """Threads, and a way to end what runs in them. Made anew in a forked child, stopped at exit."""

    def __init__(self, kind: str, threads: int) -> None:
        self._kind, self._threads = kind, threads
        self.forget()

    def forget(self) -> None:
        """In a forked child there are no threads, and nothing is under way."""
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._stops: set[threading.Event] = set()

    def submit(self, call: Callable[[], _R], stop: threading.Event) -> Future[_R]:
        """Begin a call that ends soon when *stop* is set."""
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix=f"persistence-fsspec-aio-{self._kind}")
            future = self._pool.submit(call)
            self._stops.add(stop)
        future.add_done_callback(lambda _: self._stops.discard(stop))
        return future

    def close(self) -> None:
        """End what is under way: at exit nobody waits for it any more."""
        with self._lock:
            for stop in list(self._stops):
                stop.set()
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)


_calls: Final = _Executor("calls", _CALLS)
_transfers: Final = _Executor("transfers", _TRANSFERS)


_ended: Final = threading.Event()


def has_ended() -> bool:
    """Whether the interpreter is ending, and nothing is begun here any more."""
    return _ended.is_set()


def _close() -> None:
    _ended.set()
    for executor in (_calls, _transfers):
        executor.close()


def _after_fork_in_child() -> None:
    for executor in (_calls, _transfers):
        executor.forget()


# Before the interpreter waits for the threads of all executors, which is before `atexit` has its turn.
getattr(threading, "_register_atexit", atexit.register)(_close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _stoppable(stop: threading.Event, call: Callable[[], _R]) -> _R:
    with stopped_by(stop):
        return call()


async def _awaited(executor: _Executor, call: Callable[[], _R], stop: threading.Event) -> _R:
    """Wait for a call in another thread; stop it when nobody waits any more, and see it end.

    Raises:
        asyncio.CancelledError: The task was cancelled, and the call has ended.
    """
    future = executor.submit(call, stop)
    waiting = asyncio.wrap_future(future)
    waiting.add_done_callback(_seen)
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError:
        stop.set()
        if not future.cancel():
            await asyncio.wait({waiting}, timeout=_STOPPING_SECONDS)
        raise
    finally:
        waiting.cancel()  # the loop may be gone when it ends at last


def _seen(future: asyncio.Future[Any]) -> None:
    """What a stopped call ends with is nobody's error any more."""
    if not future.cancelled():
        future.exception()


class _Awaitable(Generic[_P, _R]):
    """One method of `FSSpecPersistence`, to await; a subclass's own where it has one."""

    def __init__(self, method: Callable[Concatenate[FSSpecPersistence, _P], _R], executor: _Executor = _calls) -> None:
        self._method, self._executor = method, executor
        self.__doc__ = method.__doc__

    def __get__(self, instance: AsyncPersistence, owner: type[Any] | None = None) -> Callable[_P, Coroutine[Any, Any, _R]]:
        if instance is None:  # looked up in the class, by whoever writes documentation
            return self
        method: Callable[_P, _R] = getattr(instance.persistence, self._method.__name__)

        @functools.wraps(method)
        async def awaited(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            stop, context = threading.Event(), contextvars.copy_context()
            call = functools.partial(context.run, _stoppable, stop, functools.partial(method, *args, **kwargs))
            return await _awaited(self._executor, call, stop)

        return awaited


class _Iterated(Generic[_P, _T]):
    """One method of `FSSpecPersistence` that gives an iterator, for ``async for``."""

    def __init__(self, method: Callable[Concatenate[FSSpecPersistence, _P], Iterator[_T]]) -> None:
        self._method = method
        self.__doc__ = method.__doc__

    def __get__(self, instance: AsyncPersistence, owner: type[Any] | None = None) -> Callable[_P, AsyncGenerator[_T, None]]:
        if instance is None:
            return self
        method: Callable[_P, Iterator[_T]] = getattr(instance.persistence, self._method.__name__)

        @functools.wraps(method)
        def iterated(*args: _P.args, **kwargs: _P.kwargs) -> AsyncGenerator[_T, None]:
            return _batches(functools.partial(method, *args, **kwargs))

        return iterated


async def _batches(begin: Callable[[], Iterator[_T]]) -> AsyncGenerator[_T, None]:
    """The entries of an iterator that lives in our threads, fetched some at a time."""
    listing = _Listing(begin)
    try:
        while not listing.ended:
            for entry in await _awaited(_calls, listing.fetch, listing.stop):
                yield entry
    finally:
        if not listing.ended:
            with contextlib.suppress(RuntimeError):  # the interpreter is ending, and takes it along
                _calls.submit(listing.close, threading.Event())


class _Listing(Generic[_T]):
    """A listing under way, in one thread after the other.

    Attributes:
        stop: Ends what is under way.
        ended: There is nothing more, and nothing to close.
    """

    def __init__(self, begin: Callable[[], Iterator[_T]]) -> None:
        self.stop, self.ended = threading.Event(), False
        self._begin, self._lock = begin, threading.Lock()
        self._entries: Iterator[_T] | None = None
        # One for all of it: what a generator that waits has set there, it takes back there.
        self._context = contextvars.copy_context()

    def fetch(self) -> list[_T]:
        """Some more entries. Few when they come slowly, so that the first ones are not kept waiting."""
        with self._lock:
            return self._context.run(_stoppable, self.stop, self._some)

    def close(self) -> None:
        """End it, and give back what it holds; after a fetch that may still be ending."""
        close = getattr(self._entries, "close", None)
        with self._lock:
            self.ended = True
            if close is not None:
                self._context.run(close)

    def _some(self) -> list[_T]:
        if self._entries is None:
            self._entries = iter(self._begin())
        found: list[_T] = []
        until = time.monotonic() + _BATCH_SECONDS
        while len(found) < _BATCH and not (found and time.monotonic() > until):
            try:
                found.append(next(self._entries))
            except StopIteration:
                self.ended = True
                break
        return found


class AsyncPersistence:
    """What `FSSpecPersistence.aio` gives: the same names and arguments, to await. See this module's text.

    Args:
        persistence: Does the work.
    """

    def __init__(self, persistence: FSSpecPersistence) -> None:
        self.persistence = persistence

    def __repr__(self) -> str:
        return f"{self.persistence!r}.aio"

    put = _Awaitable(FSSpecPersistence.put, _transfers)
    get = _Awaitable(FSSpecPersistence.get, _transfers)
    copy = _Awaitable(FSSpecPersistence.copy, _transfers)
    move = _Awaitable(FSSpecPersistence.move, _transfers)
    sync = _Awaitable(FSSpecPersistence.sync, _transfers)
    resume = _Awaitable(FSSpecPersistence.resume, _transfers)
    delete = _Awaitable(FSSpecPersistence.delete, _transfers)

    exists = _Awaitable(FSSpecPersistence.exists)
    info = _Awaitable(FSSpecPersistence.info)
    read_bytes = _Awaitable(FSSpecPersistence.read_bytes)
    write_bytes = _Awaitable(FSSpecPersistence.write_bytes)
    append = _Awaitable(FSSpecPersistence.append)
    sign = _Awaitable(FSSpecPersistence.sign)
    make_folder = _Awaitable(FSSpecPersistence.make_folder)
    make_bucket = _Awaitable(FSSpecPersistence.make_bucket)
    snapshot = _Awaitable(FSSpecPersistence.snapshot, _transfers)
    gc = _Awaitable(FSSpecPersistence.gc, _transfers)

    find = _Iterated(FSSpecPersistence.find)
    listdir = _Iterated(FSSpecPersistence.listdir)
    versions = _Iterated(FSSpecPersistence.versions)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name == "open":
                message = "there is no aio.open: use aio.read_bytes and aio.write_bytes, or p.open in asyncio.to_thread"
                raise AttributeError(message)
            raise AttributeError(f"{type(self).__name__!r} has no {name!r}")
