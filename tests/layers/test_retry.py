"""What failed for a passing reason is tried again, and only if it has not happened already."""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from persistence_fsspec import Policy
from persistence_fsspec.errors import (
    ChangedDuringReadError,
    ConflictError,
    ConnectionFailedError,
    CredentialsExpiredError,
    ObjectNotFoundError,
    OperationTimeoutError,
    PermissionDeniedError,
    StoreError,
    ThrottledError,
)
from persistence_fsspec.events import on_event
from persistence_fsspec.layers.loop import retrying
from persistence_fsspec.layers.retry import RetryLayer
from tests.layers.flaky import PATIENT, Flaky, memory_store

BODY = bytes(range(256)) * 2048  # 512 KiB: several pieces


@pytest.fixture
def flaky(request):
    return Flaky(memory_store(f"retry-{request.node.name}"))


@pytest.fixture
def root(request):
    return f"retry-{request.node.name}"


@pytest.fixture
def store(flaky):
    return RetryLayer(flaky, Policy(attempts=4, backoff_seconds=0.001, backoff_max_seconds=0.002, part_size=64 * 1024))


@pytest.fixture
def events():
    seen = []
    end = on_event(seen.append)
    yield seen
    end()


def write(store, key, data, **options):
    writer = store.writer(key, size=len(data), **options)
    try:
        writer.write(data)
        return writer.commit()
    finally:
        writer.abort()


def test_a_passing_failure_is_repeated(store, flaky, root):
    """As often as it takes, up to the number of attempts."""
    write(flaky.inner, f"{root}/k", b"x")
    flaky.fail("info", times=3)

    assert store.info(f"{root}/k").size == 1
    assert flaky.calls.count("info") == 4


def test_what_cannot_heal_is_raised_at_once(store, flaky):
    """A refusal is not asked for twice."""
    flaky.fail("info", error=PermissionDeniedError("no"))

    with pytest.raises(PermissionDeniedError):
        store.info("k")
    assert flaky.calls.count("info") == 1


def test_giving_up_is_final_and_says_so(store, flaky, events):
    """The error is no longer retryable, so that an outer retry does not multiply."""
    flaky.fail("info", times=9)

    with pytest.raises(ConnectionFailedError, match="given up after 4 attempts") as caught:
        store.info("k")
    assert caught.value.retryable is False
    assert [event.name for event in events] == ["retry", "retry", "retry", "gave_up"]
    assert events[0].fields["operation"] == "info"


def test_one_attempt_means_none_after_it(flaky):
    """Policy(attempts=1) switches repeating off; whoever is outside may still repeat."""
    store = RetryLayer(flaky, Policy(attempts=1))
    flaky.fail("info")

    with pytest.raises(ConnectionFailedError) as caught:
        store.info("k")
    assert caught.value.retryable is True
    assert flaky.calls == ["info"]


def test_the_server_decides_how_long_to_wait(store, flaky, root, events):
    """Retry-After is waited for, although the policy's own waits are shorter."""
    write(flaky.inner, f"{root}/k", b"x")
    busy = ThrottledError("slow down")
    busy.retry_after_seconds = 0.2
    flaky.fail("info", error=busy)

    store.info(f"{root}/k")

    waits = [event.fields["wait_seconds"] for event in events if event.name == "retry"]
    assert 0.2 <= waits[0] <= 0.3  # never sooner, and at random a little later


def test_waits_grow_up_to_the_longest_allowed(flaky, events):
    """Each about twice the one before; chance never makes one longer than the policy says."""
    store = RetryLayer(flaky, Policy(attempts=6, backoff_seconds=0.01, backoff_max_seconds=0.03))
    flaky.fail("info", times=9)

    with pytest.raises(ConnectionFailedError):
        store.info("k")
    waits = [event.fields["wait_seconds"] for event in events if event.name == "retry"]
    assert 0.01 <= waits[0] <= 0.015
    assert 0.02 <= waits[1] <= 0.03
    assert waits[3:] == [0.03, 0.03]


def test_no_new_attempt_begins_after_the_time_is_up(flaky):
    """A server that asks for an hour gets the caller an answer now."""
    store = RetryLayer(flaky, Policy(give_up_seconds=5))
    busy = ThrottledError("slow down")
    busy.retry_after_seconds = 3600
    flaky.fail("info", error=busy)

    with pytest.raises(ThrottledError):
        store.info("k")
    assert flaky.calls.count("info") == 1


# --- a reply that got lost ---


def test_a_deletion_whose_reply_was_lost_is_a_success(store, flaky, root):
    """Not found, the second time, is our own work."""
    write(flaky.inner, f"{root}/k", b"x")
    flaky.fail("delete", "after")

    store.delete(f"{root}/k")

    with pytest.raises(ObjectNotFoundError):
        flaky.inner.info(f"{root}/k")


def test_a_missing_object_is_still_not_found(store):
    """Without a failure before it, not found means not found."""
    with pytest.raises(ObjectNotFoundError):
        store.delete("retry-missing/k")


def test_an_append_whose_reply_was_lost_is_not_repeated(store, flaky, root):
    """The bytes stand there once."""
    write(flaky.inner, f"{root}/k", b"old ")
    flaky.fail("append", "after")

    store.append(f"{root}/k", b"new")

    assert flaky.inner.read(f"{root}/k") == b"old new"


def test_an_append_that_did_not_arrive_is_repeated(store, flaky, root):
    """Also as the first bytes of a new object."""
    flaky.fail("append", "before", times=2)

    store.append(f"{root}/k", b"new")

    assert flaky.inner.read(f"{root}/k") == b"new"


def test_an_append_that_arrived_in_part_is_completed(store, flaky, root):
    """Only what is missing is sent again."""
    write(flaky.inner, f"{root}/k", b"old ")

    def half(key, data, whole=flaky.append):
        flaky.append = whole
        flaky.inner.append(key, data[:2])
        raise ConnectionFailedError("broke in the middle")

    flaky.append = half
    store.append(f"{root}/k", b"new")

    assert flaky.inner.read(f"{root}/k") == b"old new"


def test_an_append_that_others_disturbed_is_an_error(store, flaky, root):
    """Nobody can know whether our bytes are in it, so nobody appends again."""
    write(flaky.inner, f"{root}/k", b"old ")

    def disturbed(key, data, whole=flaky.append):
        flaky.append = whole
        flaky.inner.append(key, b"theirs")
        raise ConnectionFailedError("broke")

    flaky.append = disturbed
    with pytest.raises(ConflictError, match="does not tell whether our bytes"):
        store.append(f"{root}/k", b"our own")

    assert flaky.inner.read(f"{root}/k") == b"old theirs"


def test_an_append_whose_attempt_was_ended_is_not_sent_again(root):
    """Its bytes may still land; a store that appends by itself could then hold them twice."""
    native = Native(memory_store(root))
    write(native.inner, f"{root}/k", b"old ")
    native.fail("append", "before", error=OperationTimeoutError("no answer"))

    with pytest.raises(ConflictError, match="or will be"):
        RetryLayer(native, PATIENT).append(f"{root}/k", b"new")
    assert native.calls.count("append") == 1


def test_an_append_to_an_object_of_unknown_size_is_not_sent_again(root):
    """Nothing tells whether it arrived."""
    sizeless = Sizeless(memory_store(root))
    write(sizeless.inner, f"{root}/k", b"old ")
    store = RetryLayer(sizeless, PATIENT)

    store.append(f"{root}/k", b"once ")
    sizeless.fail("append", "after")
    with pytest.raises(ConflictError):
        store.append(f"{root}/k", b"twice?")

    assert sizeless.inner.read(f"{root}/k") == b"old once twice?"


def test_a_rename_of_something_missing_is_no_success(store, flaky, root):
    """An old target proves nothing."""
    write(flaky.inner, f"{root}/target", b"old")
    flaky.fail("info")

    with pytest.raises(ObjectNotFoundError):
        store.rename(f"{root}/missing", f"{root}/target")


def test_a_rename_whose_reply_was_lost_is_a_success(root):
    """Gone from there, and arrived here."""
    native = Native(memory_store(root))
    write(native.inner, f"{root}/k", b"mine")
    native.fail("rename", "after")

    RetryLayer(native, PATIENT).rename(f"{root}/k", f"{root}/target")

    assert native.inner.read(f"{root}/target") == b"mine"


# --- writing ---


def test_a_write_that_failed_is_never_missed_in_silence(flaky, root, monkeypatch):
    """Whoever catches the error and closes anyway publishes nothing."""
    writer = RetryLayer(flaky, Policy(attempts=1)).writer(f"{root}/k")
    monkeypatch.setattr(flaky.inner._driver.dialect, "object_part_size", 100)
    monkeypatch.setattr(flaky.inner._driver.dialect, "sink", _broken)
    writer.write(b"x" * 100)
    with pytest.raises(ConnectionFailedError):
        writer.write(b"y" * 100)

    with pytest.raises(StoreError, match="no longer be written whole"):
        writer.commit()
    with pytest.raises(StoreError, match="no longer be written whole"):
        writer.write(b"y" * 100)
    with pytest.raises(ObjectNotFoundError):
        flaky.inner.info(f"{root}/k")


def _broken(*_args, **_options):
    raise ConnectionFailedError("the upload could not be begun")


def test_a_write_begins_again_with_all_its_bytes(store, flaky, root):
    """Whatever broke, what is published is whole."""
    flaky.fail("write", times=2)
    flaky.fail("commit")

    writer = store.writer(f"{root}/k")
    writer.write(b"one ")
    writer.write(b"two")
    writer.commit()

    assert flaky.inner.read(f"{root}/k") == b"one two"


def test_a_created_object_knows_its_own_first_try(store, flaky, root):
    """overwrite=False: the object that our own lost write made is a success, not "exists already"."""
    flaky.fail("commit", "after")

    info = write(store, f"{root}/k", b"mine", overwrite=False)

    assert info.size == 4


@pytest.mark.parametrize("size", [10, 20 * 1024 * 1024])
def test_a_commit_that_succeeded_unheard_is_not_made_again(store, flaky, root, size):
    """Committing once more gives the answer, and never writes an empty object over a good one."""
    flaky.fail("commit", "after")
    body = bytes(size)

    write(store, f"{root}/k", body)

    assert flaky.inner.read(f"{root}/k") == body


class Silent(Flaky):
    """A store whose connection hides that it broke, so that too little arrives."""

    def append(self, key, data):
        self._do("append", lambda: self.inner.append(key, data[: len(data) // 2 if "append" not in self.calls else None]))


def test_an_append_that_arrived_in_part_unnoticed_is_completed(root):
    """Some servers answer "done" to an upload that broke off."""
    silent = Silent(memory_store(root))
    write(silent.inner, f"{root}/k", b"old ")

    RetryLayer(silent, PATIENT).append(f"{root}/k", b"brand new")

    assert silent.inner.read(f"{root}/k") == b"old brand new"


def test_too_much_to_keep_is_left_to_who_has_it(store, flaky, root):
    """A stream longer than a part cannot be written again from here; the error says that others may."""
    writer = store.writer(f"{root}/k")
    flaky.fail("write")
    with pytest.raises(ConnectionFailedError) as caught:
        writer.write(BODY)
    writer.abort()

    assert caught.value.retryable
    assert flaky.calls.count("write") == 1
    with pytest.raises(ObjectNotFoundError):
        flaky.inner.info(f"{root}/k")


# --- reading on ---


def test_a_stream_goes_on_where_it_broke(store, flaky, root):
    """By ranges of the same version."""
    write(flaky.inner, f"{root}/k", BODY)
    flaky.fail("stream")

    assert b"".join(store.stream(f"{root}/k")) == BODY
    assert flaky.calls.count("read") > 0


def test_a_stream_that_was_replaced_is_an_error(store, flaky, root):
    """Half of one version and half of another is nobody's data."""
    write(flaky.inner, f"{root}/k", BODY)
    flaky.fail("stream")
    pieces = store.stream(f"{root}/k")
    next(pieces)
    write(flaky.inner, f"{root}/k", BODY[::-1])

    with pytest.raises(ChangedDuringReadError):
        list(pieces)


class Native(Flaky):
    """A store of files, which appends and renames by itself."""

    @property
    def capabilities(self):
        return replace(self.inner.capabilities, append="native", rename=True)

    def rename(self, source, target):
        def by_hand():
            write(self.inner, target, self.inner.read(source))
            self.inner.delete(source)

        self._do("rename", by_hand)


class Sizeless(Flaky):
    """A store that does not tell how long an object is."""

    def info(self, key):
        return replace(super().info(key), size=None)


class Weak(Flaky):
    """A store that names no versions."""

    @property
    def capabilities(self):
        return replace(self.inner.capabilities, pin="weak")


def test_without_versions_the_beginning_is_compared(root):
    """A stream taken up again delivers each byte once."""
    weak = Weak(memory_store(root))
    write(weak.inner, f"{root}/k", BODY)
    weak.fail("stream")
    store = RetryLayer(weak, PATIENT)
    store._policy = Policy(attempts=4, backoff_seconds=0.001, part_size=64 * 1024)

    assert b"".join(store.stream(f"{root}/k")) == BODY


# --- listing on ---


class Flat(Flaky):
    """A store that lists its names in order."""

    @property
    def capabilities(self):
        return replace(self.inner.capabilities, flat=True)


def nine_files(flaky, root):
    for number in range(9):
        write(flaky.inner, f"{root}/f{number}", b"")
    return [f"{root}/f{number}" for number in range(9)]


@pytest.mark.parametrize("operation", ["children", "find"])
def test_a_listing_goes_on_behind_its_last_name(root, operation):
    """Each name once."""
    flat = Flat(memory_store(root))
    names = nine_files(flat, root)
    flat.fail(operation)

    assert [entry.key for entry in getattr(RetryLayer(flat, PATIENT), operation)(root)] == names


@pytest.mark.parametrize("operation", ["children", "find"])
def test_a_listing_without_order_is_an_error_where_it_breaks(store, flaky, root, operation):
    """Going on would leave names out, or give them twice."""
    names = nine_files(flaky, root)
    flaky.fail(operation)
    got = []

    with pytest.raises(ConnectionFailedError):
        got.extend(entry.key for entry in getattr(store, operation)(root))
    assert len(set(got)) == len(got) < len(names)


# --- credentials ---


def test_two_writers_refused_together_both_go_on(flaky, root):
    """The second one finds the credentials renewed already, since its own attempt began."""
    renewed = []

    def renew(error, since):
        if renewed and renewed[0] > since:
            return True
        renewed.append(time.monotonic())
        return len(renewed) == 1

    store = RetryLayer(flaky, Policy(attempts=1), renew)
    writers = [store.writer(f"{root}/{name}") for name in "ab"]
    flaky.fail("commit", error=CredentialsExpiredError("expired"), times=2)
    barrier = threading.Barrier(2)
    commit = flaky._do

    def together(operation, act):
        if operation == "commit" and not barrier.broken:
            with contextlib.suppress(threading.BrokenBarrierError):
                barrier.wait(timeout=5)
        return commit(operation, act)

    flaky._do = together
    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(writer.commit) for writer in writers]
        barrier_done = [future.exception(timeout=30) for future in done]
    assert barrier_done == [None, None]


def test_renewed_in_the_middle_of_a_long_stream_is_left_to_who_can_begin_again(flaky, root):
    """The error says that trying again helps now."""
    store = RetryLayer(flaky, Policy(attempts=3, part_size=64 * 1024), lambda error, since: True)
    writer = store.writer(f"{root}/k")
    writer.write(BODY)
    flaky.fail("write", error=CredentialsExpiredError("expired"))

    with pytest.raises(CredentialsExpiredError) as caught:
        writer.write(BODY)
    writer.abort()
    assert caught.value.retryable


def test_expired_credentials_are_renewed_once(flaky, root, events):
    """And the operation is repeated, although nothing else would be."""
    write(flaky.inner, f"{root}/k", b"x")
    asked = []
    store = RetryLayer(flaky, Policy(attempts=1), lambda error, since: asked.append(error) or True)
    flaky.fail("info", error=CredentialsExpiredError("expired"))

    assert store.info(f"{root}/k").size == 1
    assert len(asked) == 1
    assert [event.name for event in events] == ["credentials_renewed"]


def test_credentials_that_stay_expired_are_an_error(flaky):
    """Once is enough."""
    asked = []
    store = RetryLayer(flaky, PATIENT, lambda error, since: asked.append(error) or True)
    flaky.fail("info", error=CredentialsExpiredError("expired"), times=9)

    with pytest.raises(CredentialsExpiredError):
        store.info("k")
    assert len(asked) == 1
    assert flaky.calls.count("info") == 2


def test_anything_can_be_repeated_outside_of_a_store():
    """What its caller knows to be safe."""
    answers = iter([ConnectionFailedError("broke"), 7])

    def act():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert retrying(PATIENT, "send a part", "s3://b/k", act) == 7
