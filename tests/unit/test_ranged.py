"""Large objects in parts: taken up where they were, mended where they are wrong, begun anew where the source is another."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from persistence_fsspec import FSSpecPersistence, Policy
from persistence_fsspec.crc32c import combined, crc32c
from persistence_fsspec.errors import ChecksumMismatchError, PermissionDeniedError
from persistence_fsspec.layers.layer import Layer
from persistence_fsspec.store import Part
from persistence_fsspec.stores.local_upload import LocalUpload

PART = 64 * 1024
COUNT = 20


class Odd(Layer):
    """A store that does as it is told, and counts."""

    def __init__(self, inner, orders):
        super().__init__(inner)
        self.orders = orders

    def read(self, key, start=None, end=None, *, pin=None):
        self.orders.reads.append(start)
        if start in self.orders.denied:
            raise PermissionDeniedError("this range is not for you")
        data = self.inner.read(key, start, end, pin=self._inner_pin(pin))
        if start in self.orders.flipped:
            if self.orders.flip_once:
                self.orders.flipped.discard(start)
            data = bytes([data[0] ^ 1]) + data[1:]
        return data

    def stream(self, key, *, pin=None):
        self.orders.streams += 1
        return self.inner.stream(key, pin=self._inner_pin(pin))

    def info(self, key):
        return self._weak(replace(self.inner.info(key), digest=self.orders.digest))

    def part_digests(self, key, *, pin):
        return self.orders.part_digests

    @property
    def capabilities(self):
        return replace(self.inner.capabilities, digest="crc32c", at_hand=False)

    def _weak(self, info):
        return replace(info, version=None) if self.orders.weak else info

    def _inner_pin(self, pin):
        return pin


class Orders:
    """What `Odd` is told."""

    def __init__(self):
        self.denied, self.flipped, self.reads, self.streams = set(), set(), [], 0
        self.flip_once, self.weak, self.digest, self.part_digests = True, False, None, ()


class Commanded(FSSpecPersistence):
    """Reads from an odd store, writes to a plain one."""

    def __init__(self, source, orders, **more):
        super().__init__(**more)
        self._source, self._orders = source, orders

    def wrap(self, store):
        return store

    def _place(self, address):
        place = super()._place(address)
        if str(address) == str(self._source):
            return replace(place, store=Odd(place.store, self._orders))
        return place


@pytest.fixture(autouse=True)
def _small(monkeypatch, tmp_path):
    monkeypatch.setattr("persistence_fsspec.transfer.plan.RANGED_FROM", PART)
    monkeypatch.setattr("persistence_fsspec.transfer.request.LOOKED_FOR", PART)
    monkeypatch.setattr("persistence_fsspec.transfer.plan.LOOKED_FOR", PART)
    monkeypatch.setenv("PERSISTENCE_FSSPEC_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def orders():
    return Orders()


@pytest.fixture
def source(tmp_path):
    """A file of many parts, long at rest."""
    file = tmp_path / "source"
    file.write_bytes(os.urandom(PART * COUNT - 100))
    os.utime(file, (1_700_000_000,) * 2)
    return file


@pytest.fixture
def persistence(source, orders):
    """One part at a time, so that what was sent is known."""
    return Commanded(source, orders, policy=Policy(part_size=PART, concurrency=1, attempts=1))


@pytest.fixture
def target(tmp_path):
    return tmp_path / "out" / "target"


def interrupted(persistence, orders, source, target, *, after):
    """A copy that failed at one part; what came before has arrived."""
    orders.denied = {PART * after}
    with pytest.raises(PermissionDeniedError):
        persistence.copy(source, target)
    orders.denied, orders.reads = set(), []


def test_what_arrived_is_not_sent_again(persistence, orders, source, target):
    """The second run begins with the part at which the first one failed."""
    interrupted(persistence, orders, source, target, after=7)
    assert not target.exists()
    report = persistence.copy(source, target)

    assert sorted(orders.reads) == [PART * number for number in range(7, COUNT)]
    assert report.bytes == source.stat().st_size - 7 * PART
    assert target.read_bytes() == source.read_bytes()
    assert os.listdir(target.parent) == ["target"]


def test_a_part_that_went_bad_meanwhile_is_sent_again(persistence, orders, source, target):
    """What lies on the disk is looked at once more before it is believed."""
    interrupted(persistence, orders, source, target, after=7)
    (partial,) = target.parent.iterdir()
    with partial.open("r+b") as file:
        file.seek(3 * PART + 5)
        file.write(b"\x00" * 64)
    persistence.copy(source, target)

    assert sorted(orders.reads) == [PART * number for number in (3, *range(7, COUNT))]
    assert target.read_bytes() == source.read_bytes()


def test_another_source_is_begun_anew(persistence, orders, source, target):
    """Parts of two versions never meet, and the parts of the old one are removed."""
    interrupted(persistence, orders, source, target, after=7)
    source.write_bytes(os.urandom(PART * COUNT - 100))
    persistence.copy(source, target)

    assert len(orders.reads) == COUNT
    assert target.read_bytes() == source.read_bytes()
    assert os.listdir(target.parent) == ["target"]


def test_a_partial_file_that_is_gone_is_begun_anew(persistence, orders, source, target):
    """Somebody cleaned up."""
    interrupted(persistence, orders, source, target, after=7)
    for partial in target.parent.iterdir():
        partial.unlink()
    persistence.copy(source, target)

    assert len(orders.reads) == COUNT
    assert target.read_bytes() == source.read_bytes()


def test_without_a_journal_a_failure_leaves_nothing(persistence, orders, source, target, tmp_path, monkeypatch):
    """Nobody could take it up; the report says that it cannot be resumed."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("PERSISTENCE_FSSPEC_STATE_DIR", str(tmp_path / "file"))
    interrupted(persistence, orders, source, target, after=7)
    assert os.listdir(target.parent) == []
    report = persistence.copy(source, target)

    assert not report.resumable
    assert len(orders.reads) == COUNT
    assert target.read_bytes() == source.read_bytes()


def test_a_source_without_versions_is_read_as_one_stream(persistence, orders, source, target):
    """Ranges of two versions could meet without anybody noticing."""
    orders.weak = True
    persistence.copy(source, target)

    assert orders.streams == 1
    assert orders.reads == []
    assert target.read_bytes() == source.read_bytes()


def test_a_source_without_versions_goes_on_if_it_was_at_rest(persistence, orders, source, target):
    """Its size and time are the same, and so is the end of what arrived, which is read once more."""
    orders.weak = True
    interrupted_stream(persistence, orders, source, target, after=7)
    persistence.copy(source, target)

    assert orders.reads == [PART * number for number in (6, *range(7, COUNT))]
    assert target.read_bytes() == source.read_bytes()


def interrupted_stream(persistence, orders, source, target, *, after):
    """As `interrupted`, where the source is read as one stream."""
    original = Odd.stream

    def breaking(self, key, *, pin=None):
        for number, piece in enumerate(original(self, key, pin=pin)):
            if number == after:
                raise PermissionDeniedError("this far")
            yield piece

    with pytest.MonkeyPatch.context() as patch, pytest.raises(PermissionDeniedError):
        patch.setattr(Odd, "stream", breaking)
        persistence.copy(source, target)
    orders.streams = 0


def test_a_source_without_versions_that_was_just_written_is_begun_anew(persistence, orders, source, target):
    """Another write within the precision of its time would not show."""
    orders.weak = True
    os.utime(source)
    interrupted_stream(persistence, orders, source, target, after=7)
    persistence.copy(source, target)

    assert orders.streams == 1
    assert orders.reads == []
    assert target.read_bytes() == source.read_bytes()


def test_a_source_whose_end_differs_is_begun_anew(persistence, orders, source, target):
    """Same size, same time, other bytes where we stopped."""
    orders.weak = True
    interrupted_stream(persistence, orders, source, target, after=7)
    source.write_bytes(os.urandom(source.stat().st_size))
    os.utime(source, (1_700_000_000,) * 2)
    persistence.copy(source, target)

    assert orders.streams == 1
    assert target.read_bytes() == source.read_bytes()


def digests_of(data):
    parts = [data[start : start + PART] for start in range(0, len(data), PART)]
    return tuple(Part(number=number, size=len(part), crc32c=crc32c(part)) for number, part in enumerate(parts))


def test_only_the_bad_part_is_fetched_again(persistence, orders, source, target):
    """Where the store tells the digests of parts."""
    data = source.read_bytes()
    orders.part_digests = digests_of(data)
    orders.digest = ("crc32c", combined((part.size, part.crc32c) for part in orders.part_digests))
    orders.flipped = {PART * 5}
    report = persistence.copy(source, target)

    assert sorted(orders.reads) == sorted([*(PART * number for number in range(COUNT)), PART * 5])
    assert report.verification == "crc32c"
    assert target.read_bytes() == data


def test_without_digests_of_parts_all_is_fetched_again(source, orders, target):
    """Nobody knows which part is the bad one."""
    persistence = Commanded(source, orders, policy=Policy(part_size=PART, concurrency=1, attempts=2))
    orders.digest = ("crc32c", crc32c(source.read_bytes()))
    orders.flipped = {PART * 5}
    persistence.copy(source, target)

    assert len(orders.reads) == 2 * COUNT
    assert target.read_bytes() == source.read_bytes()


def test_what_stays_wrong_is_never_published(persistence, orders, source, target):
    """The error says so, and the old file stands."""
    target.parent.mkdir()
    target.write_bytes(b"old and good")
    orders.digest, orders.flipped, orders.flip_once = ("crc32c", crc32c(source.read_bytes())), {PART * 5}, False
    with pytest.raises(ChecksumMismatchError, match="crc32c"):
        persistence.copy(source, target)

    assert target.read_bytes() == b"old and good"
    assert os.listdir(target.parent) == ["target"]


def test_a_digest_that_has_no_parts_is_compared_from_the_disk(persistence, orders, source, target):
    """An MD5 needs the bytes in order."""
    import hashlib

    orders.digest = ("md5", hashlib.md5(source.read_bytes()).hexdigest())

    assert persistence.copy(source, target).verification == "md5"


def test_what_turns_out_wrong_once_it_is_published_is_taken_away(source, target, monkeypatch):
    """Where a store shows nothing before, and what it shows then is not what was sent."""
    monkeypatch.setattr(LocalUpload, "read_back", lambda *_: None)
    store = FSSpecPersistence(policy=Policy(part_size=PART, attempts=1, verify="readback"))

    class Bad(Layer):
        def stream(self, key, *, pin=None):
            return (bytes([piece[0] ^ 1]) + piece[1:] for piece in self.inner.stream(key, pin=pin))

    monkeypatch.setattr(store, "wrap", lambda inner: Bad(inner))
    with pytest.raises(ChecksumMismatchError, match="what was sent"):
        store.copy(source, target)

    assert os.listdir(target.parent) == []


def test_a_full_disk_does_not_stay_full(persistence, orders, source, target):
    """What arrived of a large file goes, so that smaller ones have room."""
    from persistence_fsspec.errors import StorageFullError
    from persistence_fsspec.stores.local_upload import LocalUpload

    original = LocalUpload.send

    def full(self, number, data, crc32c):
        if number == 5:
            raise StorageFullError("no room")
        return original(self, number, data, crc32c)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(StorageFullError):
        patch.setattr(LocalUpload, "send", full)
        persistence.copy(source, target)

    assert os.listdir(target.parent) == []


def test_what_needs_no_journal_is_resumable(tmp_path):
    """A small file is copied again in no time."""
    (tmp_path / "small").write_text("x")

    assert FSSpecPersistence(tmp_path / "store").put(tmp_path / "small", "t").resumable
