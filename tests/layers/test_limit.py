"""No more at once, and no faster, than the store and the caller allow."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from persistence_fsspec import Policy
from persistence_fsspec.errors import ThrottledError
from persistence_fsspec.layers.layer import Layer
from persistence_fsspec.layers.limit import LimitLayer, Rate, Slots
from tests.layers.flaky import Flaky, memory_store


class Crowd(Layer):
    """Notes how many are inside at once; nobody leaves before a second one had every chance to come."""

    def __init__(self, inner):
        super().__init__(inner)
        self.inside = self.most = 0
        self._lock = threading.Lock()
        self.together = threading.Barrier(3)

    def info(self, key):
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        self.together.wait(timeout=20)
        with self._lock:
            self.inside -= 1


def test_no_more_at_once_than_allowed():
    """Twelve callers, three slots: three inside, always."""
    crowd = Crowd(memory_store("limit"))
    store = LimitLayer(crowd, Policy(max_requests=3))

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(store.info, ["k"] * 12))

    assert crowd.most == 3


def test_a_throttled_store_gets_fewer_and_then_more():
    """Halved when the store asks for it, one more for as many successes as there are slots."""
    flaky = Flaky(memory_store("limit"))
    store = LimitLayer(flaky, Policy(max_requests=8))
    flaky.fail("info", error=ThrottledError("slow down"))

    with pytest.raises(ThrottledError):
        store.info("")
    after_throttling = store._slots.allowed
    for _ in range(3):
        store.info("")

    assert after_throttling == 1  # one was in flight
    assert store._slots.allowed == 3


def test_slots_never_run_out():
    """At least one is left, and never more than allowed come back."""
    slots = Slots(4)
    for _ in range(10):
        slots.shrink()
    least = slots.allowed
    for _ in range(100):
        slots.grow()

    assert (least, slots.allowed) == (1, 4)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_has_all_slots():
    """Those that the parent's threads held are nobody's there."""
    slots = Slots(1)
    with slots.one():
        child = os.fork()
        if child == 0:
            with slots.one():
                os._exit(0)
        _, status = os.waitpid(child, 0)

    assert status == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_does_not_wait_for_who_took_in_the_parent():
    """A rate that a thread of the parent was just taking from is free there."""
    rate = Rate(10)
    with rate._lock:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(10)
            rate.take(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)

    assert status == 0


def test_a_rate_holds_in_the_long_run():
    """Ten a second: twenty-five take the first second's worth at once, and wait for the others."""
    rate = Rate(10)
    begun = time.monotonic()
    for _ in range(16):
        rate.take(1)

    assert time.monotonic() - begun >= 0.5


def test_one_large_amount_waits_for_itself():
    """All but the first second's worth of it, though nothing was taken before."""
    rate = Rate(10)
    begun = time.monotonic()
    rate.take(16)

    assert 0.5 <= time.monotonic() - begun < 5


@pytest.mark.slow
def test_bytes_count_in_both_directions():
    """What is read and what is written wait for the same allowance."""
    store = LimitLayer(memory_store("limit-bytes"), Policy(bytes_per_second=100_000))
    begun = time.monotonic()
    writer = store.writer("limit-bytes/k")
    writer.write(bytes(100_000))
    writer.commit()
    store.read("limit-bytes/k")
    store.read("limit-bytes/k")

    assert time.monotonic() - begun >= 0.9
