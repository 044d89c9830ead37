"""Findings that concern every driver, or several families of them."""

from __future__ import annotations

import hashlib

import pytest
from fsspec.spec import AbstractFileSystem
from fsspec.transaction import Transaction

from persistence_fsspec import FSSpecPersistence, Policy
from persistence_fsspec.errors import (
    ConnectionFailedError,
    InvalidNameError,
    IsAFolderError,
    ObjectNotFoundError,
    PersistenceError,
)
from tests.quirks.places import FOLDERS, READABLE, WRITABLE, in_fork, instance_of, places


@places(*WRITABLE)
@pytest.mark.quirk("with-commits-on-error")
def test_an_exception_inside_with_publishes_nothing(place):
    """What was written before the exception is gone, and the old object is still there."""
    place.raw_write("k", b"old")

    with pytest.raises(ZeroDivisionError), place.persistence.open("k", "wb") as file:
        file.write(b"half" * 50_000)
        raise ZeroDivisionError

    assert place.raw_read("k") == b"old"
    assert place.raw_names() == ["k"]


@places(*WRITABLE)
@pytest.mark.quirk("transactions")
def test_transactions_are_not_used(place, monkeypatch):
    """Writing works although no driver can begin a transaction, nor defer a commit."""

    def forbidden(*args, **kwargs):
        raise AssertionError("a transaction was begun")

    real_open = AbstractFileSystem.open

    def open_at_once(self, *args, **kwargs):
        assert kwargs.get("autocommit", True)
        return real_open(self, *args, **kwargs)

    monkeypatch.setattr(AbstractFileSystem, "start_transaction", forbidden)
    monkeypatch.setattr(AbstractFileSystem, "open", open_at_once)
    monkeypatch.setattr(Transaction, "start", forbidden)
    with place.persistence.open("d/k", "wb") as file:
        file.write(b"x" * 200_000)
    place.persistence.write_bytes("d/small", b"1")

    assert place.raw_read("d/k") == b"x" * 200_000
    assert place.raw_names() == ["d/k", "d/small"]


# --- exists ---


@pytest.mark.server("s3")
@pytest.mark.quirk("exists-false-on-error")
@pytest.mark.parametrize("credentials", ["wrong_options", "unknown_options"])
def test_exists_raises_on_refused_s3_credentials(strict_s3_server, credentials):
    """A refused key says nothing about the object."""
    strict_s3_server.raw_write("there", b"1")
    refused = FSSpecPersistence(strict_s3_server.url, storage_options=getattr(strict_s3_server, credentials))
    accepted = FSSpecPersistence(strict_s3_server.url, storage_options=strict_s3_server.storage_options)

    for name in ("there", "missing"):
        with pytest.raises(PermissionError):
            refused.exists(name)
    assert accepted.exists("there")
    assert not accepted.exists("missing")


@pytest.mark.server("http")
@pytest.mark.quirk("exists-false-on-error")
@pytest.mark.parametrize("status", [401, 403, 500])
def test_exists_raises_on_an_http_status_that_is_no_answer(http_server, status):
    """Only a proven 'not found' is False; the bare driver takes every failure for one."""
    url = http_server.status_url(status)

    with pytest.raises(PersistenceError):
        FSSpecPersistence(url).exists("k")
    assert not FSSpecPersistence(http_server.status_url(404)).exists("k")


@pytest.mark.quirk("exists-false-on-error")
@pytest.mark.parametrize("protocol", ["ftp", "http", "webdav", "sftp", "webhdfs"])
def test_exists_raises_on_a_dead_server(dead_port, protocol):
    """A server that is gone is a ConnectionError, within seconds."""
    options = {"webdav": {"base_url": f"http://127.0.0.1:{dead_port}"}, "sftp": {"known_hosts": None}}.get(protocol, {})
    url = "webdav://" if protocol == "webdav" else f"{protocol}://127.0.0.1:{dead_port}/data"

    with pytest.raises(ConnectionError):
        FSSpecPersistence(url, storage_options=options, policy=Policy(attempts=1)).exists("k")


# --- names ---


@places(*WRITABLE)
@pytest.mark.quirk("glob-characters")
def test_names_with_glob_characters_hit_one_object(place, tmp_path):
    """Deleting, fetching, copying and storing `a[1].txt` leave `a1.txt` alone."""
    p, (literal, neighbour) = place.persistence, ("a[1].txt", "a1.txt")
    place.raw_write(neighbour, b"neighbour")
    (tmp_path / literal).write_bytes(b"literal")
    (tmp_path / neighbour).write_bytes(b"not this")

    p.put(tmp_path / literal, literal)
    p.copy(literal, "d/copy")
    p.get(literal, tmp_path / "back")
    assert (place.raw_read(literal), place.raw_read(neighbour)) == (b"literal", b"neighbour")
    assert (place.raw_read("d/copy"), (tmp_path / "back").read_bytes()) == (b"literal", b"literal")

    p.delete(literal)
    assert place.raw_names() == [neighbour, "d/copy"]


@places(*WRITABLE)
@pytest.mark.quirk("glob-characters")
def test_deleting_a_pattern_that_is_no_name_deletes_nothing(place):
    """`[ab]` is the name of no object here."""
    place.raw_write("a", b"1")

    with pytest.raises(ObjectNotFoundError):
        place.persistence.delete("[ab]")

    assert place.raw_names() == ["a"]


@places(*FOLDERS)
@pytest.mark.quirk("mv-into-folder")
def test_moving_onto_a_folder_is_refused(place):
    """The file keeps its name, and the folder its content; nothing slips inside."""
    place.raw_write("k", b"file")
    place.raw_write("d/x", b"1")

    with pytest.raises(IsAFolderError):
        place.persistence.move("k", "d")

    assert place.raw_names() == ["d/x", "k"]


@places("local", "ftp", "ftp_list", "webdav", "paramiko", "sshfs")
@pytest.mark.quirk("mv-into-folder")
def test_renaming_onto_an_empty_folder_is_refused(place):
    """Not even a folder with nothing in it is replaced or entered."""
    place.raw_write("k", b"file")
    place.raw_write("d/x", b"1")
    place.raw_delete("d/x")
    folder = place.key("d")

    with pytest.raises(IsAFolderError):
        place.store.rename(place.key("k"), folder)

    assert place.raw_names() == ["k"]
    assert place.store.info(folder).is_folder


@places("s3", "gcs")
@pytest.mark.quirk("mv-into-folder")
def test_moving_takes_exactly_the_name_where_keys_are_opaque(place):
    """Without folders, `d` may stand beside `d/x`, and is what was asked for."""
    place.raw_write("k", b"file")
    place.raw_write("d/x", b"1")

    place.persistence.move("k", "d")

    assert place.raw_names() in (["d", "d/x"], ["d/x"])
    assert place.raw_read("d/x") == b"1"
    assert place.raw_read("d") == b"file"


@places(*WRITABLE)
@pytest.mark.quirk("dot-dot")
@pytest.mark.parametrize("name", ["../escaped", "d/../../escaped", "d/./k", ".."])
def test_dots_are_no_names(place, name):
    """Nothing is written, read or deleted beside the folder."""
    p = place.persistence

    for act in (lambda: p.write_bytes(name, b"x"), lambda: p.read_bytes(name), lambda: p.delete(name), lambda: p.exists(name)):
        with pytest.raises(InvalidNameError):
            act()

    assert place.raw_names() == []


@places("s3", "gcs", "ftp", "ftp_list", "webdav", "paramiko", "sshfs")
@pytest.mark.quirk("surrogates")
@pytest.mark.parametrize("act", ["write_bytes", "read_bytes", "exists"])
def test_a_name_that_is_no_unicode_is_refused(place, act):
    """Before the driver sees it."""
    arguments = {"write_bytes": (b"x",)}.get(act, ())

    with pytest.raises(InvalidNameError):
        getattr(place.persistence, act)("a\udc80b", *arguments)

    assert place.raw_names() == []


@places("local", "memory")
@pytest.mark.quirk("surrogates")
def test_a_name_that_is_no_unicode_is_kept_where_it_can_be(place):
    """A local file with a name in an old encoding is an ordinary file."""
    place.persistence.write_bytes("a\udc80b", b"x")

    assert place.raw_names() == ["a\udc80b"]
    assert list(place.persistence.listdir()) == ["a\udc80b"]
    assert place.persistence.read_bytes("a\udc80b") == b"x"


# --- bytes ---


@places(*READABLE)
@pytest.mark.quirk("bulk-get-leftover")
def test_a_failed_get_leaves_no_file(place, tmp_path):
    """Neither an empty file, nor a partial one."""
    place.raw_write("other", b"1")

    with pytest.raises(ObjectNotFoundError):
        place.persistence.get("missing", tmp_path / "new")

    assert list(tmp_path.iterdir()) == []


@places(*READABLE)
@pytest.mark.quirk("bulk-get-leftover")
def test_a_failed_get_keeps_the_old_file(place, tmp_path):
    """What stood under the local name is still there."""
    place.raw_write("other", b"1")
    (tmp_path / "old").write_bytes(b"good")

    with pytest.raises(ObjectNotFoundError):
        place.persistence.get("missing", tmp_path / "old")

    assert [(f.name, f.read_bytes()) for f in tmp_path.iterdir()] == [("old", b"good")]


@places(*READABLE)
@pytest.mark.quirk("negative-start")
@pytest.mark.parametrize(("start", "end"), [(-3, None), (-5, -2), (2, -3), (None, -4), (-100, 2)])
def test_negative_positions_count_from_the_end(place, start, end):
    """As in a slice, on every driver."""
    place.raw_write("k", b"0123456789")

    assert place.persistence.read_bytes("k", start=start, end=end) == b"0123456789"[start:end]


@places(*READABLE, "azure")
@pytest.mark.quirk("range-behind-the-end")
@pytest.mark.quirk("s3-empty-range")
@pytest.mark.parametrize("size", [0, 10])
@pytest.mark.parametrize(("start", "end"), [(10, None), (10, 20), (15, 20), (15, None), (0, 10)])
def test_a_range_behind_the_end_is_empty(place, size, start, end):
    """As in a slice, also of an empty object, and with a pin."""
    data = b"0123456789"[:size]
    place.raw_write("k", data)
    key = place.key("k")

    assert place.store.read(key, start, end) == data[start:end]
    assert place.store.read(key, start, end, pin=place.store.info(key)) == data[start:end]


@places(*READABLE, "azure")
@pytest.mark.quirk("range-behind-the-end")
def test_a_range_of_a_missing_object_is_not_empty(place):
    """What is not there has no end to be behind."""
    place.raw_write("other", b"1")

    with pytest.raises(ObjectNotFoundError):
        place.store.read(place.key("missing"), 10, 20)


@places(*WRITABLE, "http")
@pytest.mark.quirk("checksum-is-a-guess")
def test_a_digest_is_of_the_content_or_absent(place):
    """After a rewrite of equal size within the same second, no digest is that of the old bytes."""
    place.raw_write("k", b"old!")
    place.store.info(place.key("k"))
    place.raw_write("k", b"new!")
    info = place.store.info(place.key("k"))

    assert info.digest in (None, ("md5", hashlib.md5(b"new!").hexdigest()))
    assert (info.digest is not None) == (place.store.capabilities.digest is not None)


@places("ftp", "paramiko", "sshfs", "webdav", "http")
@pytest.mark.quirk("checksum-is-a-guess")
def test_a_transfer_does_not_claim_what_it_cannot_know(place, tmp_path):
    """Without a digest at the store, a transfer is verified by size, or by reading back, and says which."""
    place.raw_write("k", b"content")
    report = place.persistence.get("k", tmp_path / "k")

    assert report.copied[0].verification == "size"


# --- listings that fail ---


@pytest.mark.server("ftp")
@pytest.mark.quirk("find-swallows-errors")
def test_find_raises_on_a_dead_ftp_connection(mortal_ftp):
    """A tree on a server that is gone is no empty tree."""
    mortal_ftp.raw_write("d/k", b"1")
    p = FSSpecPersistence(mortal_ftp.url, storage_options=mortal_ftp.storage_options)
    assert [info.key for info in p.find("d")] == ["d/k"]
    mortal_ftp.process.stop()

    with pytest.raises(ConnectionError):
        list(p.find("d"))


@pytest.mark.server("sftp")
@pytest.mark.quirk("find-swallows-errors")
def test_find_raises_on_a_dead_sftp_connection(mortal_sftp, paramiko_at):
    """Nor over SSH."""
    mortal_sftp.raw_write("data/d/k", b"1")
    p = paramiko_at(mortal_sftp)
    assert [info.key for info in p.find("d")] == ["d/k"]
    mortal_sftp.process.stop()

    with pytest.raises(PersistenceError) as caught:
        list(p.find("d"))
    assert not isinstance(caught.value, ObjectNotFoundError)


@pytest.mark.server("http")
@pytest.mark.quirk("find-swallows-errors")
@pytest.mark.parametrize("status", [403, 500])
def test_find_raises_on_a_forbidden_folder(http_server, status):
    """Nor where an index page is refused."""
    with pytest.raises(PersistenceError) as caught:
        list(FSSpecPersistence(http_server.status_url(status)).find())
    assert not isinstance(caught.value, ObjectNotFoundError)


@pytest.mark.quirk("find-swallows-errors")
@pytest.mark.parametrize("protocol", ["webhdfs", "http"])
def test_find_raises_on_a_dead_server(dead_port, protocol):
    """Nor where nobody answers at all."""
    with pytest.raises(ConnectionFailedError):
        list(FSSpecPersistence(f"{protocol}://127.0.0.1:{dead_port}/data", policy=Policy(attempts=1)).find())


# --- forks ---


@places("s3", "gcs", "sshfs", "http")
@pytest.mark.quirk("fork-async")
def test_a_forked_child_has_an_instance_of_its_own(place):
    """After the parent has used the store, the child reads from it, and then the parent goes on."""
    place.raw_write("k", b"hello")
    read = place.persistence.read_bytes
    assert read("k") == b"hello"
    mine = instance_of(place.store)

    assert in_fork(lambda: read("k") == b"hello" and instance_of(place.store) is not mine) == "yes"
    assert instance_of(place.store) is mine
    assert read("k") == b"hello"
