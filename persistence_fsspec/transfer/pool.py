"""Workers, as many as pay off: more while the work mostly waits and more of them get more done, fewer when it does not help.

How many requests one store gets at once is not decided here but by its limit
layer, which halves its slots when the store asks for fewer; workers then wait there.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextvars import Context, copy_context
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, TypeVar

from persistence_fsspec.attempt import require_going_on, stopped_by

_T = TypeVar("_T")
_R = TypeVar("_R")
_S = TypeVar("_S")

_FILE: Final = 64 * 1024
"""What finishing one file counts for, in bytes: a tree of small files is measured by files, a large file by bytes."""


class Tuner:
    """Decides how many workers there are: doubles them while that pays, and then looks again from time to time.

    Args:
        first: To begin with.
        most: Never more.
    """

    _WINDOW: Final = 0.05
    _HOLD: Final = 1.0
    _PAYS: Final = 1.15
    _BUSY: Final = 0.75

    def __init__(self, first: int, most: int) -> None:
        self.allowed, self._most = min(first, most), most
        self._lock = threading.Lock()
        self._best, self._before = 0.0, self.allowed
        self._hold_until = 0.0
        self._begin_window(time.monotonic())

    def note(self, n_bytes: int, files: int = 0) -> None:
        """So much was done; now and then that changes `allowed`."""
        with self._lock:
            self._done += n_bytes + files * _FILE
            self._count += 1
            now = time.monotonic()
            if now - self._since >= self._WINDOW and self._count >= self.allowed:
                self._decide(now)

    def _decide(self, now: float) -> None:
        rate = self._done / (now - self._since)
        cpu = (time.process_time() - self._cpu) / (now - self._since)
        if now < self._hold_until:
            self._best = max(self._best, rate)
        elif self.allowed > self._before and rate < self._best * self._PAYS:
            self.allowed, self._hold_until = self._before, now + self._HOLD  # more of them did not get more done
        elif self.allowed < self._most and cpu < self._BUSY:
            self._best, self._before = rate, self.allowed
            self.allowed = min(self._most, 2 * self.allowed)
        else:
            self._best, self._before = rate, self.allowed
        self._begin_window(now)

    def _begin_window(self, now: float) -> None:
        self._since, self._cpu = now, time.process_time()
        self._done = self._count = 0


class Pool(Generic[_T, _R]):
    """Threads of one transfer.

    Args:
        act: What is done with each item.
        tuner: How many at once.
        stop: Set when the caller gives up, or anything raises: what is in flight is ended, and nothing is repeated.
    """

    def __init__(self, act: Callable[[_T], _R], tuner: Tuner, stop: threading.Event) -> None:
        self._act, self._tuner, self._stop = act, tuner, stop
        self._context = copy_context()
        self._wake = threading.Condition()
        self._items: deque[_T] = deque()
        self._calls: deque[Callable[[], None]] = deque()
        self._threads: list[threading.Thread] = []
        self._busy, self._over = 0, False
        self._results: SimpleQueue[tuple[_R | None, BaseException | None]] = SimpleQueue()

    def run(self, items: Iterable[_T]) -> Iterator[_R]:
        """Results in the order they come. Items are taken in the caller's thread, few ahead of the work."""
        pending = 0
        try:
            for item in items:
                require_going_on()
                self._put(item)
                pending += 1
                while pending >= 2 * self._tuner.allowed or (pending and not self._results.empty()):
                    yield self._result()
                    pending -= 1
            while pending:
                yield self._result()
                pending -= 1
            require_going_on()  # results that are missing because all was stopped are not the end
        except BaseException:
            self._stop.set()
            raise
        finally:
            self._end()

    def together(self, act: Callable[[_S], Any], items: Iterable[_S]) -> None:
        """Called by a worker: act on all items, with the help of whoever is idle.

        Raises:
            BaseException: The first that *act* raised; no further item was begun, and none is still in the works.
        """
        shared = _Shared(act, items)
        with self._wake:
            helpers = max(0, self._tuner.allowed - 1)
            self._calls.extend([shared.work] * helpers)
            self._hire()
            self._wake.notify_all()
        try:
            shared.work()
        finally:
            with self._wake:
                self._calls = deque(call for call in self._calls if call != shared.work)
            shared.wait()
        if shared.error is not None:
            raise shared.error

    # --- the threads ---

    def _put(self, item: _T) -> None:
        with self._wake:
            self._items.append(item)
            self._hire()
            self._wake.notify()

    def _result(self) -> _R:
        result, error = self._results.get()
        if error is not None:
            raise error
        return result  # type: ignore[return-value]  # None is one, where the act returns it

    def _hire(self) -> None:
        """One thread more where there is work for it. Called with the lock."""
        wanted = min(self._tuner.allowed, self._busy + len(self._items) + len(self._calls))
        while len(self._threads) < wanted and not self._over:
            thread = threading.Thread(target=self._work, args=(self._context.copy(),), name="persistence-fsspec", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the system has no more of them; those that are there do the work
                if not self._threads:
                    raise
                return
            self._threads.append(thread)

    def _work(self, context: Context) -> None:
        context.run(self._work_in_context)

    def _work_in_context(self) -> None:
        with stopped_by(self._stop):
            while (task := self._next()) is not None:
                try:
                    task()
                finally:
                    with self._wake:
                        self._busy -= 1
                        self._hire()  # there may be room for more than there was
                        self._wake.notify()
                    del task

    def _next(self) -> Callable[[], None] | None:
        with self._wake:
            while True:
                if self._over:
                    return None
                if self._busy < self._tuner.allowed and (self._calls or self._items):
                    self._busy += 1
                    if self._calls:
                        return self._calls.popleft()
                    item = self._items.popleft()
                    return lambda: self._one(item)
                self._wake.wait()

    def _one(self, item: _T) -> None:
        try:
            result = self._act(item)
        except BaseException as exc:  # noqa: BLE001 - it is raised in the caller's thread
            self._results.put((None, exc))
        else:
            self._results.put((result, None))

    def _end(self) -> None:
        with self._wake:
            self._over = True
            self._items.clear()
            self._calls.clear()
            self._wake.notify_all()
        for thread in self._threads:
            thread.join()
        while True:  # errors kept in results would keep their frames
            try:
                self._results.get_nowait()
            except Empty:
                return


class _Shared(Generic[_T]):
    """Items that several threads work through."""

    def __init__(self, act: Callable[[_T], Any], items: Iterable[_T]) -> None:
        self._act, self._items = act, iter(items)
        self._changed = threading.Condition()
        self._working = 0
        self.error: BaseException | None = None

    def work(self) -> None:
        """Take items until there are none left, or one failed."""
        with self._changed:
            self._working += 1
        try:
            while True:
                with self._changed:
                    if self.error is not None:
                        return
                    try:
                        item = next(self._items)
                    except StopIteration:
                        return
                self._act(item)
        except BaseException as exc:  # noqa: BLE001 - it is raised in the thread that waits
            with self._changed:
                self.error = self.error or exc
        finally:
            with self._changed:
                self._working -= 1
                self._changed.notify_all()

    def wait(self) -> None:
        """Until nobody works any more."""
        with self._changed:
            while self._working:
                self._changed.wait()


def in_threads(act: Callable[[_T], _R], items: Iterable[_T], workers: int, stop: threading.Event) -> Iterator[_R]:
    """The results of *act*, in the order they come, from so many workers.

    Args:
        act: Called in the workers.
        items: Taken in the caller's thread, as workers become free: endless listings need little memory.
        workers: At once.
        stop: Set when the caller gives up or anything raises.
    """
    return Pool(act, Tuner(workers, workers), stop).run(items)
