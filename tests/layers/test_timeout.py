"""A deadline ends the attempt; nothing of it runs on."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from fsspec.asyn import AsyncFileSystem

from persistence_fsspec import FSSpecPersistence, Policy
from persistence_fsspec.attempt import Attempt, cleaning_up, current, stopped_by
from persistence_fsspec.errors import ConnectionFailedError, OperationTimeoutError
from persistence_fsspec.layers.layer import Layer
from persistence_fsspec.layers.timeout import TimeoutLayer, allowed_seconds
from persistence_fsspec.stores.abandon import Abandonable
from tests.layers.flaky import memory_store

HASTY = Policy(timeout_seconds=0.3, attempts=1)


class Blocked(Layer):
    """Blocks until it is interrupted, as a driver does whose server stays silent."""

    def __init__(self, inner):
        super().__init__(inner)
        self.interrupted = threading.Event()

    def info(self, key):
        current().watch("socket", self.interrupted.set)
        assert self.interrupted.wait(20)
        raise ConnectionFailedError("the socket was closed")


def test_a_deadline_interrupts_what_blocks():
    """And the error says that time was up, not how the interruption looked."""
    blocked = Blocked(memory_store("timeout"))

    with pytest.raises(OperationTimeoutError, match=r"no answer within 0\.3 s"):
        TimeoutLayer(blocked, HASTY).info("k")
    assert blocked.interrupted.is_set()


def test_an_expired_attempt_can_do_no_more():
    """What the driver does after a deadline is refused."""
    attempt = Attempt()
    attempt.expired = True

    with pytest.raises(OperationTimeoutError), attempt.working(1):
        pytest.fail("the block must not begin")


def test_what_begins_too_late_is_interrupted_at_once():
    """No call slips in between the deadline and its end."""
    attempt, interrupted = Attempt(), threading.Event()
    attempt.expired = True

    attempt.watch("late", interrupted.set)

    assert interrupted.is_set()


def test_cleaning_up_has_time_of_its_own():
    """Also inside of an attempt that is over."""
    attempt, cleaned = Attempt(), []
    with pytest.raises(OperationTimeoutError), attempt.working(60):
        attempt.expired = True
        with cleaning_up():
            current().require_time()
            cleaned.append(True)

    assert cleaned == [True]


def test_stopping_a_transfer_ends_its_attempts():
    """Nobody waits for a silent server after Ctrl-C."""
    stop, interrupted = threading.Event(), threading.Event()
    with stopped_by(stop):
        attempt = Attempt()
    with pytest.raises(OperationTimeoutError, match="stopped") as caught, attempt.working(None):
        attempt.watch("socket", interrupted.set)
        stop.set()
        assert interrupted.wait(20)

    assert caught.value.retryable is False


def test_ctrl_c_interrupts_what_blocks():
    """The call does not run on in the background."""
    interrupted = threading.Event()
    with pytest.raises(KeyboardInterrupt), Attempt().working(60):
        current().watch("socket", interrupted.set)
        raise KeyboardInterrupt

    assert interrupted.is_set()


def test_bytes_need_time():
    """An attempt that moves bytes gets a second more for each `slowest` of them."""
    policy = Policy(timeout_seconds=10, slowest=1000)

    assert allowed_seconds(policy, 5000) == 15
    assert allowed_seconds(policy, 0, factor=10) == 100
    assert allowed_seconds(Policy(timeout_seconds=None), 5000) is None


class SilentFileSystem(AsyncFileSystem):
    """An async driver whose server never answers."""

    protocol = "silent"
    cancelled = None

    async def _info(self, path, **kwargs):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            type(self).cancelled.set()
            raise


def test_an_async_call_is_cancelled_in_its_loop():
    """The coroutine ends; it is not left behind."""
    SilentFileSystem.cancelled = threading.Event()
    persistence = FSSpecPersistence("silent://x", filesystem=SilentFileSystem(skip_instance_cache=True), policy=HASTY)

    with pytest.raises(OperationTimeoutError):
        persistence.exists("k")
    assert SilentFileSystem.cancelled.wait(20)


class StubbornFile:
    """A file whose read nobody can interrupt."""

    def __init__(self, release):
        self._release = release

    def read(self, size=-1):
        self._release.wait(30)
        return b"late"

    def close(self):
        """Nothing to do."""


class StubbornFileSystem:
    """A driver whose calls nobody can interrupt."""

    def __init__(self):
        self.release = threading.Event()

    def info(self, path):
        self.release.wait(30)
        return {"name": path}

    def open(self, path):
        return StubbornFile(self.release)


@pytest.mark.parametrize("block", [lambda fs: fs.info("k"), lambda fs: fs.open("k").read()], ids=["call", "file"])
def test_what_cannot_be_interrupted_is_abandoned(block):
    """The caller gets his answer in time; the thread is left behind."""
    stubborn = StubbornFileSystem()
    fs = Abandonable(stubborn)
    begun = time.monotonic()

    with pytest.raises(OperationTimeoutError), Attempt().working(0.3):
        block(fs)
    stubborn.release.set()
    assert time.monotonic() - begun < 20


def test_what_is_abandonable_passes_for_the_original():
    """Drivers are told apart by their class."""
    fs = Abandonable(SilentFileSystem(skip_instance_cache=True))

    assert isinstance(fs, SilentFileSystem)
    assert fs.protocol == "silent"
