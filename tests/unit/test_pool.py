"""Workers and memory: as many as pay off, as much as is allowed."""

from __future__ import annotations

import threading
import time

import pytest

from persistence_fsspec.attempt import stopped_by
from persistence_fsspec.errors import OperationTimeoutError
from persistence_fsspec.transfer.budget import Budget
from persistence_fsspec.transfer.pool import Pool, Tuner, in_threads


def test_results_come_as_they_are_ready():
    """All of them, whatever their order."""
    assert sorted(in_threads(lambda n: n * n, range(100), 8, threading.Event())) == [n * n for n in range(100)]


def test_few_items_are_taken_ahead_of_the_work():
    """An endless listing needs little memory."""
    taken = 0

    def items():
        nonlocal taken
        while True:
            taken += 1
            yield taken

    results = in_threads(lambda n: n, items(), 4, threading.Event())
    for _ in range(10):
        next(results)
    results.close()

    assert taken <= 10 + 2 * 4


def test_an_error_ends_the_others():
    """It is raised, the stop event is set, and no thread is left."""
    stop, before = threading.Event(), threading.active_count()

    def act(number):
        if number == 3:
            raise ValueError(number)
        stop.wait(30)

    with pytest.raises(ValueError, match="3"):
        list(in_threads(act, range(8), 8, stop))

    assert stop.is_set()
    assert threading.active_count() == before


def test_idle_workers_help_with_one_large_item():
    """All parts are done, by several threads, and the item's own worker is one of them."""
    threads, barrier = set(), threading.Barrier(4, timeout=10)

    def part(_number):
        threads.add(threading.get_ident())
        barrier.wait()

    def act(_item):
        pool.together(part, range(8))
        return threading.get_ident()

    pool = Pool(act, Tuner(4, 4), threading.Event())
    (own,) = pool.run(["large"])

    assert len(threads) == 4
    assert own in threads


def test_many_large_items_at_once_do_not_wait_for_each_other():
    """Every worker has an item of its own, and nobody is idle: each does its parts alone."""
    done = []
    pool = Pool(lambda item: pool.together(lambda part: done.append((item, part)), range(20)), Tuner(4, 4), threading.Event())
    list(pool.run(range(40)))

    assert sorted(done) == [(item, part) for item in range(40) for part in range(20)]


def test_a_part_that_fails_ends_its_item():
    """The error is raised where the item is worked on; no further part is begun."""
    begun = []

    def part(number):
        begun.append(number)
        if number == 2:
            raise ValueError("bad part")

    pool = Pool(lambda _: pool.together(part, range(10_000)), Tuner(4, 4), threading.Event())
    with pytest.raises(ValueError, match="bad part"):
        list(pool.run(["large"]))

    assert len(begun) < 10_000


@pytest.mark.slow
def test_waiting_work_gets_more_workers():
    """As long as each doubling gets more done."""
    tuner = Tuner(2, 64)
    list(Pool(lambda _: (time.sleep(0.01), tuner.note(0, files=1)), tuner, threading.Event()).run(range(1500)))

    assert tuner.allowed >= 16


@pytest.mark.slow
def test_busy_work_does_not():
    """When the processors are what is short, more threads only get in each other's way."""
    tuner = Tuner(2, 64)

    def act(_):
        end = time.thread_time() + 0.002
        while time.thread_time() < end:
            pass
        tuner.note(0, files=1)

    list(Pool(act, tuner, threading.Event()).run(range(300)))

    assert tuner.allowed <= 8


def test_the_budget_is_never_exceeded():
    """By many at once."""
    budget, lock = Budget(), threading.Lock()
    held = most = 0

    def act(size):
        nonlocal held, most
        with budget.hold(size, 100):
            with lock:
                held += size
                most = max(most, held)
            time.sleep(0.001)
            with lock:
                held -= size

    list(in_threads(act, [10, 30, 55, 7] * 30, 16, threading.Event()))

    assert 50 < most <= 100


def test_what_is_larger_than_the_budget_goes_alone():
    """It needs what it needs, and waits for nothing else to be held."""
    budget = Budget()
    with budget.hold(1000, 100):
        pass
    with budget.hold(10, 100), stopped_by(stop := threading.Event()):
        stop.set()
        with pytest.raises(OperationTimeoutError), budget.hold(1000, 100):
            pass


def test_where_there_are_no_more_threads_those_that_are_there_do_the_work(monkeypatch):
    """A container may count them."""
    start, started = threading.Thread.start, []

    def few(thread):
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", few)
        found = list(in_threads(lambda n: n, range(50), 8, threading.Event()))

    assert sorted(found) == list(range(50))
    assert not any(thread.is_alive() for thread in started)
