"""``p.aio``: the same names, awaited; nothing blocks, everything can be stopped."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import os
import subprocess
import sys
import threading
import time
import uuid

import pytest

from persistence_fsspec import FSSpecPersistence, ObjectNotFoundError, Policy, aio
from persistence_fsspec.aio import AsyncPersistence
from persistence_fsspec.layers.limit import LimitLayer

OPERATIONS = [
    "put",
    "get",
    "copy",
    "move",
    "sync",
    "resume",
    "delete",
    "exists",
    "info",
    "read_bytes",
    "write_bytes",
    "append",
    "sign",
    "make_folder",
    "make_bucket",
]
ITERATED = ["find", "listdir"]


@pytest.fixture
def p():
    return FSSpecPersistence(f"memory://{uuid.uuid4().hex}")


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def until(condition, seconds=20):
    """Wait for something that happens soon."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


# --- the same operations ---


def test_everything_can_be_awaited(p, tmp_path):
    """There and back, with what each call gives outside of a loop, too."""
    (tmp_path / "d").mkdir()
    for name in "ab":
        (tmp_path / "d" / name).write_bytes(name.encode())

    async def main():
        assert (await p.aio.write_bytes("k", b"hello")).size == 5
        await p.aio.append("k", b"!")
        assert await p.aio.read_bytes("k", start=1, end=4) == b"ell"
        assert await p.aio.exists("k")
        assert (await p.aio.info("k")).size == 6
        assert len((await p.aio.put(tmp_path / "d", "t", recursive=True)).copied) == 2
        assert len((await p.aio.copy("t", "u", recursive=True)).copied) == 2
        assert len((await p.aio.move("u", "v", recursive=True)).copied) == 2
        assert len((await p.aio.sync("v", "w")).copied) == 2
        assert len((await p.aio.get("v", tmp_path / "e", recursive=True)).copied) == 2
        assert sorted([name async for name in p.aio.listdir("", recursive=True)]) == [
            "k",
            "t/a",
            "t/b",
            "v/a",
            "v/b",
            "w/a",
            "w/b",
        ]
        assert [info.size async for info in p.aio.find("t", include="a")] == [1]
        assert await p.aio.delete("t", recursive=True) == 2

    asyncio.run(main())
    assert names(tmp_path / "e") == ["a", "b"]


@pytest.mark.parametrize("name", [*OPERATIONS, *ITERATED])
def test_arguments_and_documentation_are_the_same(p, name):
    """Nothing is to be learnt twice."""
    ours, other = getattr(p.aio, name), getattr(p, name)

    assert inspect.signature(ours) == inspect.signature(other)
    assert ours.__doc__ == other.__doc__
    assert inspect.iscoroutinefunction(ours) == (name in OPERATIONS)
    assert getattr(AsyncPersistence, name).__doc__


def test_errors_are_the_same(p):
    """Raised where it is awaited; of a listing, by its first step."""

    async def main():
        with pytest.raises(ObjectNotFoundError):
            await p.aio.read_bytes("none")
        with pytest.raises(ObjectNotFoundError):
            await anext(p.aio.find("none"))

    asyncio.run(main())


def test_a_subclass_is_asked_for_its_own():
    """What it does differently, it does differently here."""

    class Shouting(FSSpecPersistence):
        def read_bytes(self, path, **range_):
            return super().read_bytes(path, **range_).upper()

    p = Shouting(f"memory://{uuid.uuid4().hex}")
    p.write_bytes("k", b"hello")

    assert asyncio.run(p.aio.read_bytes("k")) == b"HELLO"


def test_there_is_no_open(p):
    """And it says what to use."""
    with pytest.raises(AttributeError, match=r"aio\.read_bytes"):
        p.aio.open  # noqa: B018
    with pytest.raises(AttributeError, match="nothing"):
        p.aio.nothing  # noqa: B018
    assert "memory://" in repr(p.aio)


def test_context_variables_are_those_of_the_task():
    """As everywhere in asyncio."""
    variable = contextvars.ContextVar("variable")

    class Asking(FSSpecPersistence):
        def exists(self, path):
            return variable.get() == path

    async def main():
        variable.set("mine")
        return await Asking("memory://x").aio.exists("mine")

    assert asyncio.run(main())


# --- threads ---


class Waiting(FSSpecPersistence):
    """Its `info` takes until it is told to end."""

    def __init__(self):
        super().__init__(f"memory://{uuid.uuid4().hex}")
        self.begun, self.go_on = threading.Semaphore(0), threading.Event()

    def info(self, path):
        self.begun.release()
        self.go_on.wait(60)
        return path


def test_slow_calls_block_neither_the_loop_nor_each_other(p):
    """Nor the loop's own threads."""
    waiting = Waiting()

    async def main():
        slow = [asyncio.ensure_future(waiting.aio.info(i)) for i in range(40)]
        await asyncio.to_thread(lambda: [waiting.begun.acquire(timeout=20) for _ in slow])
        await p.aio.write_bytes("k", b"1")
        assert await p.aio.read_bytes("k") == b"1"
        assert not any(task.done() for task in slow)
        waiting.go_on.set()
        return await asyncio.gather(*slow)

    assert asyncio.run(main()) == list(range(40))


def test_its_threads_have_a_name():
    """Whoever looks at a process sees whose they are."""

    class Named(FSSpecPersistence):
        def exists(self, path):
            return threading.current_thread().name

    assert asyncio.run(Named("memory://x").aio.exists("k")).startswith("persistence-fsspec-aio-calls")


def test_several_loops_at_once(p):
    """Each in a thread of its own; nothing belongs to one of them."""
    found = []

    async def main(i):
        await p.aio.write_bytes(f"{i}", b"x" * i)
        return len(await p.aio.read_bytes(f"{i}"))

    threads = [threading.Thread(target=lambda i=i: found.append(asyncio.run(main(i)))) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(found) == list(range(8))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_after_a_fork(p, tmp_path):
    """The child has threads of its own."""
    local = FSSpecPersistence(tmp_path)
    asyncio.run(local.aio.write_bytes("k", b"parent"))
    child = os.fork()
    if not child:
        try:
            os._exit(asyncio.run(local.aio.read_bytes("k")) != b"parent")
        finally:
            os._exit(9)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.slow
def test_the_end_of_a_program_waits_for_nobody(tmp_path):
    """What was left behind is stopped: no call that nobody awaits any more keeps the process alive."""
    program = """
import asyncio, pathlib
from persistence_fsspec import FSSpecPersistence, Policy
from persistence_fsspec.layers.limit import LimitLayer
class Slow(FSSpecPersistence):
    def wrap(self, store):
        return LimitLayer(store, Policy(bytes_per_second=2000))
p = Slow("memory://x")
loop = asyncio.new_event_loop()
pathlib.Path("d").mkdir()
for i in range(100):
    pathlib.Path(f"d/{i}").write_bytes(bytes(10_000))
left = loop.create_task(p.aio.put("d", "k", recursive=True))
loop.run_until_complete(asyncio.sleep(0.5))
assert not left.done()
print("end", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)

    assert done.stdout == "end\n", done.stderr
    assert done.returncode == 0


# --- stopping ---


class Slow(FSSpecPersistence):
    """Every store has the speed of an old modem."""

    def wrap(self, store):
        return LimitLayer(store, Policy(bytes_per_second=20_000))


@pytest.fixture
def slow(tmp_path):
    """Twenty files, for which a transfer takes more than a minute."""
    (tmp_path / "from").mkdir()
    for i in range(20):
        (tmp_path / "from" / f"{i}").write_bytes(bytes(100_000))
    return Slow(tmp_path / "to")


def under_way():
    """Calls of ours that have not ended."""
    return [*aio._calls._stops, *aio._transfers._stops]


def test_a_cancelled_transfer_ends(slow, tmp_path):
    """Before the cancellation is through, nothing half-written is left, and the same call goes on from there."""

    async def main():
        task = asyncio.ensure_future(slow.aio.put(tmp_path / "from", "t", recursive=True))
        await asyncio.to_thread(until, lambda: (tmp_path / "to").exists() and any((tmp_path / "to").rglob("*")))
        begun = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - begun

    assert asyncio.run(main()) < 10
    assert under_way() == []
    assert all((tmp_path / "to" / name).stat().st_size == 100_000 for name in names(tmp_path / "to"))
    report = FSSpecPersistence(tmp_path / "to").put(tmp_path / "from", "t", recursive=True)
    assert report.failed == ()
    assert len(names(tmp_path / "to" / "t")) == 20


def test_a_timeout_is_a_timeout(slow, tmp_path):
    """As of anything else that is awaited."""

    async def main():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(slow.aio.put(tmp_path / "from", "t", recursive=True), 0.3)

    asyncio.run(main())
    assert under_way() == []


@pytest.mark.parametrize("size", [15_000_000, 40_000_000])
@pytest.mark.parametrize("kind", [pytest.param(one, marks=pytest.mark.server(one)) for one in ("s3", "ftp")])
def test_a_cancelled_upload_ends(kind, size, request, tmp_path):
    """Over a network, too: in the middle of one file, small or in parts; nothing stands under its name."""
    server = request.getfixturevalue(f"{kind}_server")
    name = uuid.uuid4().hex
    (tmp_path / "f").write_bytes(os.urandom(size))
    policy = Policy(bytes_per_second=50_000, concurrency=2)
    p = FSSpecPersistence(server.url, storage_options=server.storage_options, policy=policy)

    async def main():
        task = asyncio.ensure_future(p.aio.put(tmp_path / "f", name))
        await asyncio.sleep(1.5)
        assert not task.done()
        begun = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - begun

    assert asyncio.run(main()) < aio._STOPPING_SECONDS
    until(lambda: not under_way())
    assert server.raw_read(name) is None


def test_what_has_not_begun_never_begins():
    """A task that is cancelled in the queue."""
    waiting = Waiting()

    async def main():
        tasks = [asyncio.ensure_future(waiting.aio.info(i)) for i in range(aio._CALLS + 5)]
        await asyncio.to_thread(lambda: [waiting.begun.acquire(timeout=20) for _ in range(aio._CALLS)])
        for task in tasks[aio._CALLS :]:
            task.cancel()
        await asyncio.wait(tasks[aio._CALLS :])
        waiting.go_on.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = asyncio.run(main())
    assert found[: aio._CALLS] == list(range(aio._CALLS))
    assert all(isinstance(one, asyncio.CancelledError) for one in found[aio._CALLS :])
    assert not waiting.begun.acquire(blocking=False)


def test_what_cannot_be_stopped_is_left_behind(monkeypatch, recwarn):
    """A task that is cancelled does not wait for ever; what the call ends with disturbs nobody."""
    monkeypatch.setattr(aio, "_STOPPING_SECONDS", 0.1)
    waiting = Waiting()

    async def main():
        task = asyncio.ensure_future(waiting.aio.info("k"))
        await asyncio.to_thread(waiting.begun.acquire)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    waiting.go_on.set()
    until(lambda: not under_way())
    assert list(recwarn) == []


# --- listings ---


class Endless(FSSpecPersistence):
    """Its listing never ends, and knows whether it was closed."""

    def __init__(self, seconds=0.0):
        super().__init__(f"memory://{uuid.uuid4().hex}")
        self.given, self.closed, self.seconds, self.context = 0, threading.Event(), seconds, []

    def listdir(self, path="", recursive=False):
        own = contextvars.ContextVar("own")
        token = own.set(1)
        try:
            while True:
                self.given += 1
                time.sleep(self.seconds)
                yield f"{self.given}"
        finally:
            own.reset(token)  # only possible where it was set
            self.closed.set()


def test_a_listing_that_is_left_is_closed():
    """With break; in the surroundings in which it began."""
    endless = Endless()

    async def main():
        async for name in endless.aio.listdir():
            if name == "2500":
                break
        await asyncio.to_thread(endless.closed.wait, 20)

    asyncio.run(main())
    assert endless.closed.is_set()
    assert endless.given <= 2500 + aio._BATCH


def test_a_listing_that_is_closed_is_closed():
    """By `aclose`, as `contextlib.aclosing` does, and by the end of the loop."""

    async def main(endless, *, close):
        listing = endless.aio.listdir()
        await anext(listing)
        if close:
            await listing.aclose()
        else:
            kept.append(listing)

    kept = []
    for close in (True, False):
        endless = Endless()
        asyncio.run(main(endless, close=close))
        assert endless.closed.wait(20)


def test_slow_listings_give_what_they_have():
    """The first names do not wait for a thousand."""
    endless = Endless(seconds=0.06)

    async def main():
        listing = endless.aio.listdir()
        await anext(listing)
        await listing.aclose()

    asyncio.run(main())
    assert endless.given <= 3


def test_a_listing_that_nobody_began_holds_nothing(p):
    """It is not even asked for."""
    endless = Endless()
    endless.aio.listdir()

    async def main():
        await endless.aio.listdir().aclose()

    asyncio.run(main())
    assert endless.given == 0


def test_a_cancelled_listing_ends():
    """And is closed when the step under way is through."""
    endless = Endless(seconds=0.3)

    async def main():
        task = asyncio.ensure_future(anext(endless.aio.listdir()))
        await asyncio.to_thread(until, lambda: endless.given)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert endless.closed.wait(20)
    until(lambda: not under_way())


@pytest.mark.slow
def test_large_listings_come_whole(p):
    """Over several batches, in order."""
    for i in range(2 * aio._BATCH + 7):
        p.write_bytes(f"{i:05}", b"")

    async def main():
        return [name async for name in p.aio.listdir()]

    assert asyncio.run(main()) == list(p.listdir())
