"""Large objects that arrive part after part, at servers that store files: cut off anywhere, and taken up again."""

from __future__ import annotations

import os
import stat

import pytest

from persistence_fsspec import FSSpecPersistence, Policy
from persistence_fsspec.crc32c import crc32c
from persistence_fsspec.errors import (
    ConflictError,
    ObjectNotFoundError,
    PersistenceError,
    StoreError,
    TruncatedError,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.store import Part
from persistence_fsspec.testing.conformance import pattern, write
from tests.quirks.places import instance_of, places, raw_store
from tests.servers.faults import Fault
from tests.servers.faults_ftp import FtpFaults

PART = 200_000
DATA = pattern(3 * PART + 17)
EVERYWHERE = ("ftp", "ftp_list", "paramiko", "sshfs")


def begin(store, key, token="", part_size=PART, **options):
    return store.upload(key, size=len(DATA), part_size=part_size, token=token, **options)


def piece(number):
    return DATA[number * PART : (number + 1) * PART]


def send(upload, *numbers):
    return [upload.send(number, piece(number), crc32c(piece(number))) for number in numbers]


def partial_in(place):
    """What stands under the partial name, and that name."""
    (name,) = [name for name in place.raw_names() if ".~persist-" in name]
    return name, place.raw_read(name)


@places(*EVERYWHERE)
@pytest.mark.quirk("ftp-parts")
@pytest.mark.quirk("ssh-parts")
def test_a_part_that_was_cut_off_is_completed(place, monkeypatch):
    """What arrived of it is compared, and only the rest is sent."""
    upload = begin(place.store, place.key("d/k"))
    send(upload, 0)
    upload.leave()
    name, _ = partial_in(place)
    place.raw_write(name, DATA[: PART + 70_001])
    added = spied(monkeypatch, place)
    again = begin(place.store, place.key("d/k"), upload.token)

    assert [(part.number, part.size) for part in again.parts()] == [(0, PART)]
    parts = [*again.parts(), *send(again, 1, 2, 3)]
    assert added == [(PART + 70_001, PART - 70_001), (2 * PART, PART), (3 * PART, 17)]
    again.commit(parts, crc32c(DATA))
    assert place.raw_read("d/k") == DATA
    assert place.raw_names() == ["d/k"]


def spied(monkeypatch, place):
    """Where each piece is added, and its size."""
    dialect, added = raw_store(place.store)._driver.dialect, []
    real = dialect.extend

    def extend(fs, path, position, data):
        added.append((position, len(data)))
        real(fs, path, position, data)

    monkeypatch.setattr(dialect, "extend", extend, raising=False)
    return added


@places(*EVERYWHERE)
@pytest.mark.quirk("ftp-parts")
@pytest.mark.quirk("ssh-parts")
def test_a_part_that_arrived_unheard_is_not_sent_again(place, monkeypatch):
    """It is compared."""
    upload = begin(place.store, place.key("k"))
    send(upload, 0, 1)
    upload.leave()
    again = begin(place.store, place.key("k"), upload.token)
    added = spied(monkeypatch, place)
    parts = send(again, 1, 2, 3)

    assert added == [(2 * PART, PART), (3 * PART, 17)]
    again.commit([*begin(place.store, place.key("k"), upload.token).parts()[:1], *parts], crc32c(DATA))
    assert place.raw_read("k") == DATA


@places("ftp", "ftp_list")
@pytest.mark.quirk("ftp-parts")
def test_a_stub_that_is_something_else_is_a_conflict(place):
    """It cannot be taken back: the upload has to begin anew; nothing is published, and nothing stays."""
    place.raw_write("k", b"old")
    upload = begin(place.store, place.key("k"))
    send(upload, 0)
    name, there = partial_in(place)
    place.raw_write(name, there + b"something else")
    again = begin(place.store, place.key("k"), upload.token)

    with pytest.raises(ConflictError):
        send(again, 1)
    again.abort()
    assert place.raw_names() == ["k"]
    assert place.raw_read("k") == b"old"


@places("paramiko", "sshfs")
@pytest.mark.quirk("ssh-parts")
def test_a_stub_with_a_hole_is_written_anew(place):
    """Blocks go in parallel; of a part that was cut off, any may be missing."""
    upload = begin(place.store, place.key("k"))
    send(upload, 0)
    name, there = partial_in(place)
    place.raw_write(name, there + DATA[PART : PART + 50_000] + bytes(30_000) + DATA[PART + 80_000 : PART + 90_000])
    again = begin(place.store, place.key("k"), upload.token)
    parts = [*again.parts(), *send(again, 1, 2, 3)]
    again.commit(parts, crc32c(DATA))

    assert place.raw_read("k") == DATA
    assert place.raw_names() == ["k"]


@places(*EVERYWHERE)
@pytest.mark.quirk("ftp-parts")
@pytest.mark.quirk("ssh-parts")
def test_bytes_that_slip_in_are_noticed(place, monkeypatch):
    """Those of an attempt that was given up, for instance: a part is only good if it made the object longer by just its size."""
    upload = begin(place.store, place.key("k"))
    send(upload, 0)
    name, _ = partial_in(place)
    dialect = raw_store(place.store)._driver.dialect
    real = dialect.extend

    def extend(fs, path, position, data):
        real(fs, path, position, data)
        place.raw_write(name, place.raw_read(name) + b"late")

    monkeypatch.setattr(dialect, "extend", extend, raising=False)
    with pytest.raises(ConflictError):
        send(upload, 1)
    upload.abort()
    assert place.raw_names() == []


@places(*EVERYWHERE)
def test_a_part_out_of_order_is_refused(place):
    """Nothing can be added behind what is missing."""
    upload = begin(place.store, place.key("k"))
    send(upload, 0)

    with pytest.raises(ConflictError):
        send(upload, 2)
    with pytest.raises(ConflictError):
        send(begin(place.store, place.key("new")), 1)
    upload.abort()
    assert place.raw_names() == []


@places(*EVERYWHERE)
def test_an_upload_that_somebody_removed_is_not_found(place):
    """Before it is taken up, and in the middle."""
    upload = begin(place.store, place.key("k"))
    send(upload, 0)
    upload.leave()
    again = begin(place.store, place.key("k"), upload.token)
    place.raw_delete(partial_in(place)[0])

    with pytest.raises(ObjectNotFoundError):
        begin(place.store, place.key("k"), upload.token)
    with pytest.raises(ObjectNotFoundError):
        send(again, 1)
    assert place.raw_names() == []


@places(*EVERYWHERE)
def test_an_object_that_is_short_is_not_published(place):
    """Whatever the caller believes to have sent."""
    place.raw_write("k", b"old")
    upload = begin(place.store, place.key("k"))
    parts = send(upload, 0, 1, 2, 3)
    name, there = partial_in(place)
    place.raw_write(name, there[:-1])

    with pytest.raises(TruncatedError, match=f"{len(DATA) - 1} bytes stand"):
        upload.commit(parts, crc32c(DATA))
    assert place.raw_read("k") == b"old"
    upload.abort()
    with pytest.raises(StoreError):
        upload.commit(parts, crc32c(DATA))
    assert place.raw_names() == ["k"]


@places(*EVERYWHERE)
def test_other_parts_may_complete_it(place):
    """The server knows bytes, not parts: a later process may cut the object as it likes."""
    upload = begin(place.store, place.key("k"))
    send(upload, 0, 1)
    upload.leave()
    half = begin(place.store, place.key("k"), upload.token, part_size=PART // 2)

    assert [part.number for part in half.parts()] == [0, 1, 2, 3]
    assert half.read_back(Part(number=3, size=PART // 2)) == DATA[3 * PART // 2 : 2 * PART]
    rest = [half.send(n, DATA[n * PART // 2 : (n + 1) * PART // 2], "") for n in (4, 5, 6)]
    half.commit([*half.parts()[:4], *rest], crc32c(DATA))
    assert place.raw_read("k") == DATA


@places(*EVERYWHERE)
def test_an_empty_object_has_no_parts(place):
    """And is made all the same, its folders too."""
    upload = place.store.upload(place.key("d/e/k"), size=0, part_size=PART)
    info = upload.commit([], crc32c(b""))

    assert info.size == 0
    assert place.raw_read("d/e/k") == b""
    assert place.raw_names() == ["d/e/k"]


@places("paramiko", "sshfs")
def test_a_name_that_was_taken_meanwhile_is_kept(place):
    """With overwrite=False."""
    upload = begin(place.store, place.key("k"), overwrite=False)
    parts = send(upload, 0, 1, 2, 3)
    place.raw_write("k", b"first")

    with pytest.raises(FileExistsError):
        upload.commit(parts, crc32c(DATA))
    upload.abort()
    assert place.raw_names() == ["k"]
    assert place.raw_read("k") == b"first"


@pytest.mark.server("ftp")
@pytest.mark.quirk("ftp-parts")
@pytest.mark.parametrize("kind", ["cut-data", "short-data", "reset", "lost-reply"])
@pytest.mark.parametrize("at", [1, 4, 6, 8, 9, 10, 11, 12])
def test_a_connection_that_breaks_anywhere_does_no_harm(ftp_server, kind, at):
    """Parts that are sent again, or taken up by a second process, make the same object; else there is an honest error."""
    folder = f"parts-{kind}-{at}"
    with FtpFaults(ftp_server.process.port) as proxy:
        options = {**ftp_server.storage_options, "port": proxy.port}
        policy = Policy(
            attempts=4, backoff_seconds=0.01, backoff_max_seconds=0.05, timeout_seconds=2, slowest=1_000_000, part_size=64 * 1024
        )
        url = f"ftp://{options['host']}:{proxy.port}/{folder}"
        store, key = FSSpecPersistence(url, storage_options=options, policy=policy).store_and_key("k")
        upload = begin(store, key)
        proxy.arm(Fault(kind=kind, at=at, amount=60_000))
        try:
            parts = send(upload, 0, 1)
        except ConflictError:  # what was sent by the attempt before came late
            upload.abort()
            upload = begin(store, key)
            parts = send(upload, 0, 1)
        upload.leave()
        upload = begin(store, key, upload.token)
        assert list(upload.parts()) == [Part(number=part.number, size=part.size) for part in parts]
        upload.commit([*parts, *send(upload, 2, 3)], crc32c(DATA))

    assert ftp_server.raw_read(f"{folder}/k") == DATA
    assert ftp_server.raw_keys(f"{folder}/") == [f"{folder}/k"]


@places("webdav", "memory", "http")
def test_elsewhere_parts_are_refused(place):
    """Nothing can be added to an object, or nobody knows."""
    assert raw_store(place.store).capabilities.parts == "none"
    with pytest.raises(PersistenceError):
        begin(place.store, place.key("k"))


# --- what else the files' servers do ---


@places("paramiko")
@pytest.mark.quirk("paramiko-lost-answers")
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a disk that is always full")
@pytest.mark.parametrize("way", ["sink", "extend"])
def test_a_block_that_was_refused_is_an_error(place, sftp_server, way):
    """Also when it is one of the last, whose answers come after the file is closed."""
    place.raw_write("other", b"")
    (sftp_server.files / place.folder / "full").symlink_to("/dev/full")
    store = raw_store(place.store)
    path, dialect = store._driver.path(place.key("full")), store._driver.dialect

    def act(fs):
        if way == "extend":
            dialect.extend(fs, path, 0, bytes(100_000))
            return
        sink = dialect.sink(fs, path, size=None, metadata=None)
        sink.write(bytes(100_000))
        sink.close()

    with pytest.raises(OSError):  # noqa: PT011 - the server says no more than "Failure"
        act(instance_of(place.store))


@places("ftp", "paramiko", "sshfs")
@pytest.mark.quirk("rename-keeps-info")
def test_a_file_is_looked_at_once(place, monkeypatch):
    """Before it gets its name; and what is said of it holds afterwards."""
    driver = raw_store(place.store)._driver
    place.raw_write("other", b"")
    asked, real = [], driver.info
    monkeypatch.setattr(driver, "info", lambda key: asked.append(key) or real(key))
    writer = place.store.writer(place.key("k"))
    writer.write(b"hello")
    info = writer.commit()

    assert len(asked) == 1
    assert info == place.store.info(place.key("k"))
    asked.clear()
    write(place.store, place.key("k"), b"another")
    assert len(asked) == 1


@places("paramiko", "sshfs")
@pytest.mark.quirk("ssh-attributes")
@pytest.mark.parametrize("way", ["writer", "upload"])
def test_mode_and_time_are_given_before_the_name(place, monkeypatch, way):
    """And nothing else is taken as metadata; special permissions are never given."""
    metadata = {"mode": "4751", "mtime": "1500000000.75"}
    driver, found = raw_store(place.store)._driver, place._server.files / place.folder
    seen, real = [], driver.publish

    def publish(source, target, **options):
        seen.append((found / source.rpartition("/")[2]).stat())
        real(source, target, **options)

    monkeypatch.setattr(driver, "publish", publish)
    if way == "writer":
        write(place.store, place.key("k"), DATA, metadata=metadata)
    else:
        upload = begin(place.store, place.key("k"), metadata=metadata)
        upload.commit(send(upload, 0, 1, 2, 3), crc32c(DATA))

    assert [(stat.S_IMODE(there.st_mode), int(there.st_mtime)) for there in seen] == [(0o751, 1500000000)]
    assert place.raw_read("k") == DATA
    assert place.store.info(place.key("k")).metadata == {"mode": "0751", "mtime": "1500000000.000000000"}
    with pytest.raises(UnsupportedPersistenceOp):
        place.store.writer(place.key("k"), metadata={"run": "42"})


@places("sshfs")
@pytest.mark.quirk("ssh-parts")
def test_long_appends_arrive_in_order(place):
    """Block after block, not in parallel."""
    place.store.append(place.key("k"), DATA)
    place.store.append(place.key("k"), DATA)

    assert place.raw_read("k") == DATA + DATA
