"""FTP, on a server with MLSD and on one with LIST only."""

from __future__ import annotations

import ftplib
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from persistence_fsspec import FSSpecPersistence, Policy
from persistence_fsspec.errors import (
    AuthenticationError,
    ConnectionFailedError,
    InvalidNameError,
    IsAFolderError,
    NotAFolderError,
    ObjectNotFoundError,
    OperationTimeoutError,
    PersistenceError,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.foreign import classify
from persistence_fsspec.stores.dialects import ftp as dialect
from persistence_fsspec.stores.dialects.ftp import FtpSink
from tests.quirks.places import connections_of, places, put, silent_server

pytestmark = pytest.mark.server("ftp")

BOTH = ("ftp", "ftp_list")


def at(server, *, policy=None, **options):
    """A persistence with a store of its own on *server*."""
    return FSSpecPersistence(f"{server.url}/data", storage_options={**server.storage_options, **options}, policy=policy)


@pytest.fixture
def commands(monkeypatch):
    """The transfers that are begun, in order."""
    seen = []
    real = ftplib.FTP.ntransfercmd

    def ntransfercmd(self, cmd, rest=None):
        seen.append(cmd.split()[0])
        return real(self, cmd, rest)

    monkeypatch.setattr(ftplib.FTP, "ntransfercmd", ntransfercmd)
    return seen


@pytest.fixture
def mumbling(monkeypatch):
    """A server that says nothing after 550, as vsftpd nearly does."""
    real = ftplib.FTP.getresp

    def getresp(self):
        try:
            return real(self)
        except ftplib.error_perm as exc:
            if str(exc).startswith("550"):
                raise ftplib.error_perm("550 Operation failed.") from None
            raise

    monkeypatch.setattr(ftplib.FTP, "getresp", getresp)


@places(*BOTH)
@pytest.mark.quirk("ftp-threads")
def test_each_call_in_flight_has_its_own_connection(place):
    """Eight threads at once all succeed; afterwards, the connections they made are waiting for the next call."""
    barrier = Barrier(8)

    def work(i):
        barrier.wait(5)
        for turn in range(5):
            put(place.store, place.key(f"d{i}/k"), bytes([i, turn]) * 500)
            assert place.store.read(place.key(f"d{i}/k")) == bytes([i, turn]) * 500
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    assert place.store.capabilities.threads == "pooled"
    assert len(place.raw_names()) == 8


@pytest.mark.quirk("ftp-threads")
def test_calls_one_after_the_other_share_a_connection(ftp_server, monkeypatch):
    """A connection per call in flight, not per call."""
    made = []
    real = ftplib.FTP.connect
    monkeypatch.setattr(ftplib.FTP, "connect", lambda self, *a, **k: made.append(self) or real(self, *a, **k))
    p = FSSpecPersistence(f"{ftp_server.url}/one-by-one", storage_options={**ftp_server.storage_options, "timeout": 7})

    for i in range(5):
        p.write_bytes(f"k{i}", b"1")
        assert p.read_bytes(f"k{i}") == b"1"
    list(p.find())

    assert len(made) == 1


@places(*BOTH)
@pytest.mark.quirk("ftp-publish")
def test_nothing_shows_under_the_name_before_the_end(place):
    """The old file is read until the new one is whole; what is on its way is not listed."""
    place.raw_write("d/k", b"old")
    writer = place.store.writer(place.key("d/k"))
    writer.write(b"x" * 300_000)

    assert place.raw_read("d/k") == b"old"
    assert place.store.read(place.key("d/k")) == b"old"
    assert [e.key for e in place.store.find(place.key("d"))] == [place.key("d/k")]
    writer.commit()
    assert place.raw_read("d/k") == b"x" * 300_000
    assert place.raw_names() == ["d/k"]


@pytest.mark.quirk("ftp-publish")
def test_a_write_that_breaks_loses_nothing(mortal_ftp):
    """The server dies in the middle: the old file is there, and the next write works and succeeds."""
    mortal_ftp.raw_write("data/k", b"old")
    p = at(mortal_ftp)
    store, key = p.store_and_key("k")
    writer = store.writer(key)
    writer.write(b"x" * 100_000)
    mortal_ftp.process.stop()

    with pytest.raises(ConnectionError):
        for _ in range(100):
            writer.write(b"x" * 100_000)
        writer.commit()
    writer.abort()
    assert mortal_ftp.raw_read("data/k") == b"old"

    mortal_ftp.process.start()
    p.write_bytes("k", b"new")
    assert mortal_ftp.raw_read("data/k") == b"new"


@places(*BOTH)
@pytest.mark.quirk("ftp-create")
def test_exclusive_writing_is_refused(place):
    """By bytes, by `x` and in transfers; whether the name is taken or not, nothing is written."""
    place.raw_write("k", b"old")
    p = place.persistence

    for name in ("k", "new"):
        with pytest.raises(UnsupportedPersistenceOp):
            p.write_bytes(name, b"x", overwrite=False)
        with pytest.raises(UnsupportedPersistenceOp):
            p.open(name, "xb")
    assert place.raw_names() == ["k"]
    assert place.raw_read("k") == b"old"
    assert p.capabilities().create is False


@places(*BOTH)
@pytest.mark.quirk("ftp-append")
def test_append_keeps_what_is_there(place):
    """By bytes and by opening with `a`; a missing file begins, in a missing folder too."""
    place.raw_write("k", b"old")

    place.persistence.append("k", b"+one")
    with place.persistence.open("k", "ab") as file:
        file.write(b"+two")
    place.persistence.append("new/k", b"first")

    assert place.raw_read("k") == b"old+one+two"
    assert place.raw_read("new/k") == b"first"


# --- errors ---


@places(*BOTH)
@pytest.mark.quirk("ftp-errors")
def test_a_missing_file_is_not_found_whatever_the_server_says(place, mumbling):
    """Where the words after 550 decide nothing, the folder above does."""
    place.raw_write("d/other", b"1")
    store, key = place.store, place.key("d/missing")

    for act in (store.info, store.read, store.delete, lambda k: list(store.stream(k)), lambda k: list(store.children(k))):
        with pytest.raises(ObjectNotFoundError):
            act(key)
    assert place.persistence.read_bytes("d/other") == b"1"


@places(*BOTH)
@pytest.mark.quirk("ftp-errors")
def test_a_folder_is_not_a_missing_file(place):
    """Reading one, or deleting one, is an error that says what stands there."""
    place.raw_write("d/k", b"1")

    with pytest.raises(IsAFolderError):
        place.persistence.read_bytes("d")
    with pytest.raises(PersistenceError) as caught:
        place.store.delete(place.key("d"))
    assert not isinstance(caught.value, ObjectNotFoundError)
    assert place.raw_names() == ["d/k"]


@pytest.mark.quirk("ftp-errors")
def test_a_broken_connection_is_not_a_missing_file(mortal_ftp):
    """The driver's own read says FileNotFoundError for any failure."""
    mortal_ftp.raw_write("data/k", b"1")
    p = at(mortal_ftp)
    assert p.read_bytes("k") == b"1"
    store, key = p.store_and_key("k")
    mortal_ftp.process.stop()

    with pytest.raises(ConnectionFailedError):
        store.read(key)
    with pytest.raises(ConnectionFailedError):
        p.exists("k")


@pytest.mark.quirk("ftp-errors")
@pytest.mark.quirk("exists-false-on-error")
def test_a_refused_password_is_an_authentication_error(ftp_server):
    """It says nothing about the file; and the password is not in the message."""
    with pytest.raises(AuthenticationError) as caught:
        at(ftp_server, password="not-this-one").exists("k")  # noqa: S106 - wrong on purpose
    assert "not-this-one" not in str(caught.value)


@pytest.mark.quirk("ftp-errors")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("550 No such file or directory.", "ObjectNotFoundError"),
        ("550 File not found", "ObjectNotFoundError"),
        ("550 The system cannot find the file specified.", "ObjectNotFoundError"),
        ("550 Permission denied.", "PermissionDeniedError"),
        ("553 Not enough privileges.", "PermissionDeniedError"),
        ("550 Failed to open file.", "StoreError"),
        ("530 Login incorrect.", "AuthenticationError"),
        ("552 Quota exceeded.", "StorageFullError"),
        ("502 Command not implemented.", "UnsupportedPersistenceOp"),
    ],
)
def test_the_words_after_the_number_decide(words, expected):
    """As different servers say it."""
    found = classify(ftplib.error_perm(words))

    assert found is not None
    assert found.__name__ == expected


# --- listings ---


@places(*BOTH)
@pytest.mark.quirk("ftp-list-fallback")
def test_missing_empty_and_file_are_told_apart(place):
    """A missing folder is not found, an empty one is empty, and a file is no folder."""
    place.raw_write("d/k", b"1")
    place.raw_write("empty/k", b"1")
    place.raw_delete("empty/k")
    children = place.store.children

    assert list(children(place.key("empty"))) == []
    assert [e.key for e in children(place.key("d"))] == [place.key("d/k")]
    with pytest.raises(ObjectNotFoundError):
        list(children(place.key("missing")))
    with pytest.raises(NotAFolderError):
        list(children(place.key("d/k")))


@pytest.mark.quirk("ftp-list-fallback")
def test_times_without_a_year_are_not_used(ftp_list):
    """LIST's are left out; the one that is given comes from MDTM, in seconds and in UTC."""
    ftp_list.raw_write("d/k", b"1")
    stamp = (ftp_list._server.files / ftp_list.folder / "d" / "k").stat().st_mtime

    assert [e.modified for e in ftp_list.store.children(ftp_list.key("d"))] == [None]
    modified = ftp_list.store.info(ftp_list.key("d/k")).modified
    assert modified is not None
    assert modified.timestamp() == int(stamp)
    assert ftp_list.store.capabilities.pin == "weak"


# --- names ---


@places(*BOTH)
@pytest.mark.quirk("ftp-names")
@pytest.mark.parametrize("name", ["a\nDELE victim", "a\r\nDELE victim", "a\rb", "ftp://elsewhere/a", "a://b"])
def test_names_that_would_be_commands_or_urls_are_refused(place, name):
    """For writing, reading and deleting; the file they might hit is still there."""
    place.raw_write("victim", b"precious")
    store, key = place.store, f"{place.key('')}/{name}"

    for act in (store.writer, store.read, store.delete, store.info):
        with pytest.raises(InvalidNameError):
            act(key)
    assert place.raw_names() == ["victim"]


@places(*BOTH)
@pytest.mark.quirk("ftp-names")
def test_leading_white_space_is_refused_for_new_names_only(place):
    """It would be lost in a listing; a file that has it can still be read and deleted."""
    for name in (" lead", "d/\tlead"):
        with pytest.raises(InvalidNameError):
            place.persistence.write_bytes(name, b"x")
    place.raw_write(" theirs", b"1")

    assert place.persistence.read_bytes(" theirs") == b"1"
    place.persistence.delete(" theirs")
    assert place.raw_names() == []


@places(*BOTH)
@pytest.mark.quirk("ftp-names")
@pytest.mark.parametrize("name", ["a b", "trailing ", "a;b", "-l", "ü", "日本語", "%41", "a*b", "..dots", '"q"'])
def test_other_odd_names_are_kept(place, name):
    """Written, listed, read and deleted as they are."""
    place.persistence.write_bytes(f"d/{name}", b"odd")

    assert place.raw_names() == [f"d/{name}"]
    assert list(place.persistence.listdir("d")) == [f"d/{name}"]
    assert place.persistence.read_bytes(f"d/{name}") == b"odd"
    place.persistence.delete(f"d/{name}")
    assert place.raw_names() == []


# --- connections ---


@places(*BOTH)
@pytest.mark.quirk("ftp-upload-blocks")
def test_a_file_is_one_upload(place, commands):
    """However large it is, and one download brings it back."""
    place.raw_write("other", b"1")  # so that there is a folder, and the first attempt succeeds
    data = bytes(range(256)) * 4096
    place.persistence.write_bytes("k", data)
    assert [c for c in commands if c in {"STOR", "APPE"}] == ["STOR"]

    assert place.persistence.read_bytes("k") == data
    assert [c for c in commands if c == "RETR"] == ["RETR"]
    assert place.raw_read("k") == data


@pytest.mark.quirk("ftp-heal")
def test_a_broken_connection_is_replaced(mortal_ftp):
    """The call that finds it broken says so, and may be tried again; the next one works. With retries nobody notices."""
    mortal_ftp.raw_write("data/k", b"1")
    p = at(mortal_ftp, policy=Policy(attempts=1))
    assert p.read_bytes("k") == b"1"
    mortal_ftp.process.stop()
    mortal_ftp.process.start()

    with pytest.raises(ConnectionFailedError) as caught:
        p.read_bytes("k")
    assert caught.value.retryable
    assert p.read_bytes("k") == b"1"
    p.write_bytes("k", b"2")
    assert mortal_ftp.raw_read("data/k") == b"2"


@pytest.mark.server("ftp")
@pytest.mark.quirk("ftp-heal")
def test_a_connection_that_is_of_no_more_use_is_closed(ftp_server):
    """Both of its sockets, at once: the garbage collector would complain of each."""
    store, _ = at(ftp_server).store_and_key()
    connections = connections_of(store)
    fs = connections.acquire()
    sink = FtpSink(fs, "STOR /of-no-more-use")
    sockets = [fs.ftp.sock, fs.ftp.persistence_data]
    connections.release(fs, broken=True)

    assert [each.fileno() for each in sockets] == [-1, -1]
    del sink


@pytest.mark.quirk("ftp-heal")
def test_an_idle_connection_is_asked_before_use(mortal_ftp, monkeypatch):
    """After a rest, during which the server hung up, nobody notices."""
    monkeypatch.setattr(dialect, "_TRUST_SECONDS", 0.0)
    mortal_ftp.raw_write("data/k", b"1")
    p = at(mortal_ftp)
    assert p.read_bytes("k") == b"1"
    mortal_ftp.process.stop()
    mortal_ftp.process.start()

    assert p.read_bytes("k") == b"1"


@places(*BOTH)
@pytest.mark.quirk("ftp-heal")
def test_an_abandoned_read_disturbs_nobody(place):
    """Ranges, and streams left in the middle, do not put the connection out of step."""
    data = bytes(range(256)) * 8192
    place.raw_write("k", data)
    key = place.key("k")

    for start in (0, 5, 100_000):
        assert place.store.read(key, start, start + 10) == data[start : start + 10]
        pieces = place.store.stream(key)
        assert data.startswith(next(pieces))
        pieces.close()
    assert place.store.read(key) == data
    assert place.store.info(key).size == len(data)


@pytest.mark.quirk("ftp-heal")
def test_a_silent_server_is_given_up():
    """After the caller's own time limit."""
    with silent_server() as port:
        options = {"username": "a", "password": "b", "timeout": 0.3}
        p = FSSpecPersistence(f"ftp://127.0.0.1:{port}/data", storage_options=options)

        assert p.capabilities().own_timeout
        with pytest.raises(OperationTimeoutError):
            p.exists("k")
