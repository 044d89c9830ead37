"""Containers and blobs as XT expects them, on one store after the other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest

from persistence_fsspec import FSSpecPersistence
from persistence_fsspec.errors import (
    ChangedDuringReadError,
    InvalidNameError,
    IsAFolderError,
    ObjectExistsError,
    ObjectNotFoundError,
    PermissionDeniedError,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.faces.xt import FSSpecStore, UnguardedStore
from tests.servers.faults_http import HttpFaults

SERVERS = [pytest.param(name, marks=pytest.mark.server(name)) for name in ("s3", "sftp", "ftp")]
STORES = ["file", "memory", *SERVERS]
ODD = ["a [1].txt", "b?c", "50%20.txt", "d#e", "f*g", "sub folder/h;i", "ü/ß.txt", ".hidden"]


def record(name, request, folder):
    """A fresh place on a store, as XT's configuration has it."""
    if name == "file":
        return {"provider": "p", "path": str(folder / "xt"), "key": ""}
    if name == "memory":
        return {"provider": "p", "path": f"memory://xt-{uuid.uuid4().hex}", "key": ""}
    server = request.getfixturevalue(f"{name}_server")
    return {"provider": "p", "path": f"{server.url}/xt-{uuid.uuid4().hex}", "key": json.dumps(server.storage_options)}


@pytest.fixture(params=STORES)
def creds(request, tmp_path):
    return record(request.param, request, tmp_path)


@pytest.fixture
def empty(creds):
    """A store without containers."""
    return FSSpecStore(creds)


@pytest.fixture
def store(empty):
    """A store with an empty container ``ws``."""
    empty.create_container("ws")
    return empty


@pytest.fixture
def s3(request, tmp_path):
    """On a store where folders are nothing but parts of names."""
    there = FSSpecStore(record("s3", request, tmp_path))
    there.create_container("ws")
    return there


# --- containers ---


def test_there_are_no_containers_at_first(empty):
    """A place that nobody has written to is an empty list, and no error."""
    assert empty.list_containers() == []
    assert not empty.does_container_exist("ws")


def test_a_container_is_created(empty):
    """It exists from then on, is listed, and holds no blob."""
    assert empty.create_container("ws") is True
    assert empty.does_container_exist("ws")
    assert empty.list_containers() == ["ws"]
    assert empty.list_blobs("ws") == empty.list_blobs("ws", recursive=False) == []


def test_a_container_that_is_there_is_not_created(store):
    """XT hears False, as from Azure, and what is in it stays."""
    store.create_blob("ws", "a", "text")

    assert store.create_container("ws") is False
    assert store.list_blobs("ws") == ["a"]


@pytest.mark.parametrize("name", SERVERS[:2])
def test_of_many_who_create_a_container(request, tmp_path, name):
    """It is there for each of them, and without folders at most one hears that it was not."""
    creds = record(name, request, tmp_path)

    def create(_):
        there = FSSpecStore(creds)
        return there.create_container("ws"), there.does_container_exist("ws")

    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(create, range(4)))

    assert all(exists for _, exists in told)
    assert name != "s3" or sum(made for made, _ in told) == 1


def test_a_container_stays_when_its_last_blob_goes(store):
    """Also where there are no folders."""
    store.create_blob("ws", "runs/a", "text")
    store.delete_blob("ws", "runs/a")

    assert store.does_container_exist("ws")
    assert store.list_containers() == ["ws"]


@pytest.mark.server("s3")
def test_a_container_that_was_written_into_before_it_was_created(s3):
    """It is there already, and stays when its last blob goes."""
    s3.create_blob("ws9", "a", "text")
    assert s3.create_container("ws9") is False
    s3.delete_blob("ws9", "a")

    assert s3.does_container_exist("ws9")
    assert s3.list_blobs("ws9") == []


@pytest.mark.server("s3")
def test_an_object_beside_a_container_of_its_name_is_no_matter(s3_server):
    """The container is there all the same."""
    prefix = f"xt-{uuid.uuid4().hex}"
    there = FSSpecStore({"path": f"{s3_server.url}/{prefix}", "key": json.dumps(s3_server.storage_options)})
    there.create_blob("ws", "a", "text")
    s3_server.raw_write(f"{prefix}/ws", b"an object")

    assert there.does_container_exist("ws")
    assert there.list_blobs("ws") == ["a"]


def test_a_container_is_deleted_whole(store, tmp_path):
    """True, and nothing of it is left: no blob, no snapshot, not its name."""
    store.create_blob("ws", "a/b/c", "text")
    kept = store.snapshot_blob("ws", "a/b/c").snapshot

    assert store.delete_container("ws") is True
    assert not store.does_container_exist("ws")
    assert store.list_containers() == []
    with pytest.raises(ObjectNotFoundError):
        store.get_blob_to_path("ws", "a/b/c", str(tmp_path / "c"), snapshot=kept)


def test_a_container_that_is_missing_is_not_deleted(store):
    """XT hears False."""
    assert store.delete_container("nope") is False


def test_files_beside_containers_are_none(store, creds):
    """Only folders are listed, exist, and are deleted."""
    persistence = FSSpecPersistence(creds["path"], storage_options=json.loads(creds["key"] or "{}"))
    persistence.write_bytes("README", b"a file")

    assert store.list_containers() == ["ws"]
    assert not store.does_container_exist("README")
    assert store.delete_container("README") is False
    assert persistence.read_bytes("README") == b"a file"


def test_a_container_has_properties(store):
    """An object with its name, and an empty table of metadata."""
    assert store.get_container_properties("ws").name == "ws"
    assert store.get_container_metadata("ws") == {}


@pytest.mark.parametrize("method", ["get_container_properties", "get_container_metadata", "list_blobs"])
def test_a_container_that_is_missing_is_an_error(store, method):
    """Asking for what is in it, or what it is, does not say that it is empty."""
    with pytest.raises(ObjectNotFoundError):
        getattr(store, method)("nope")


@pytest.mark.server("s3")
def test_the_mark_of_an_empty_container_is_an_object(s3, s3_server):
    """Where there are no folders, an object of a reserved name keeps the container; no listing shows it."""
    keys = s3_server.raw_keys(s3.get_service_name().partition(" ")[0].removeprefix(f"{s3_server.url}/"))

    assert [key.rpartition("/")[2] for key in keys] == [".xt-container"]
    assert s3.list_blobs("ws", "*") == s3.list_blobs("ws", ".xt*", recursive=False) == []


# --- writing and reading ---


@pytest.mark.parametrize("text", ["", "plain", "one\ntwo\r\nthree\r", "Zürich — 東京 \U0001f600", "\ufeffmark"])
def test_text_comes_back_as_it_was(store, text):
    """In UTF-8, with its ends of lines; an empty blob is an empty text."""
    store.create_blob("ws", "a.txt", text)

    assert store.get_blob_text("ws", "a.txt") == text


def test_bytes_may_be_stored(store):
    """Though XT only ever stores texts."""
    store.create_blob("ws", "a", "ü".encode())

    assert store.get_blob_text("ws", "a") == "ü"


def test_a_blob_is_replaced(store):
    """Whole, whatever was there."""
    store.create_blob("ws", "a", "a long first text")
    store.create_blob("ws", "a", "short")

    assert store.get_blob_text("ws", "a") == "short"


def test_bytes_are_handed_on_as_they_are(tmp_path, monkeypatch):
    """No copy of them is made on the way."""
    there, data, handed = FSSpecStore({"path": str(tmp_path)}), b"not copied", []
    monkeypatch.setattr(there._persistence, "write_bytes", lambda name, data, **more: handed.append(data))
    monkeypatch.setattr(there._persistence, "append", lambda name, data: handed.append(data))
    there.create_blob("ws", "a", data)
    there.append_blob("ws", "a", data)

    assert [one is data for one in handed] == [True, True]


@pytest.mark.parametrize("name", ODD)
def test_names_are_literal(store, name):
    """Characters that are patterns or escapes elsewhere mean themselves, in every operation."""
    store.create_blob("ws", name, "text")
    store.copy_blob("ws", name, "ws", f"copies/{name}")
    folder = name.rpartition("/")[0]
    told = store.list_blobs("ws", f"{folder}/" if folder else None), store.list_blobs("ws", f"copies/{name}*")
    text, there = store.get_blob_text("ws", name), store.does_blob_exist("ws", name)
    store.delete_blob("ws", name)

    assert told[0] == [name] if folder else name in told[0]
    assert told[1] == [f"copies/{name}"]
    assert (text, there, store.does_blob_exist("ws", name)) == ("text", True, False)


@pytest.mark.parametrize("name", ["/a/b", "./a/b", "a/./b", "/./a/././b"])
def test_some_spellings_mean_one_blob(store, name):
    """A slash in front and parts ``.``, which XT's commands leave in, mean nothing."""
    store.create_blob("ws", name, "text")

    assert store.list_blobs("ws") == store.list_blobs("ws", "./a/.") == store.list_blobs("ws", "./a/b*") == ["a/b"]
    assert store.get_blob_text("ws", "a/b") == store.get_blob_text("ws", name) == "text"


def test_a_folder_is_no_blob(store):
    """It does not exist as one, and is neither read, described, deleted nor written as one."""
    store.create_blob("ws", "a/b", "text")

    for name in ("a/", "", "/", ".", "./", "a/."):
        assert not store.does_blob_exist("ws", name)
        for call in (store.get_blob_text, store.get_blob_properties, store.delete_blob, store.snapshot_blob):
            with pytest.raises(IsAFolderError):
                call("ws", name)
        with pytest.raises(IsAFolderError):
            store.create_blob("ws", name, "text")
    assert not store.does_blob_exist("ws", "a")
    assert store.list_blobs("ws") == ["a/b"]


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.get_blob_text("ws", "nope"),
        lambda s: s.get_blob_properties("ws", "nope"),
        lambda s: s.get_blob_metadata("ws", "nope"),
        lambda s: s.delete_blob("ws", "nope"),
        lambda s: s.snapshot_blob("ws", "nope"),
        lambda s: s.copy_blob("ws", "nope", "ws", "b"),
        lambda s: s.get_blob_text("nope", "nope"),
    ],
    ids=["text", "properties", "metadata", "delete", "snapshot", "copy", "container"],
)
def test_a_blob_that_is_missing_is_an_error(store, call):
    """That it is not found, which Python's own error of that name also says."""
    with pytest.raises(ObjectNotFoundError):
        call(store)
    assert not store.does_blob_exist("ws", "nope")


@pytest.mark.server("s3")
def test_a_bucket_that_is_missing_is_an_error(s3_server):
    """A misspelt one is neither an empty place nor made."""
    there = FSSpecStore({"path": "s3://xt-no-such-bucket/xt", "key": json.dumps(s3_server.storage_options)})

    for call in (there.list_containers, lambda: there.create_container("ws"), lambda: there.create_blob("ws", "a", "text")):
        with pytest.raises(ObjectNotFoundError):
            call()


@pytest.mark.server("s3")
def test_that_something_exists_is_not_guessed(request, tmp_path):
    """Where nobody can know, it is an error, not False."""
    creds = record("s3", request, tmp_path)
    options = {**json.loads(creds["key"]), "endpoint_url": "http://127.0.0.1:1"}
    away = FSSpecStore({**creds, "key": json.dumps(options)})

    for call in (lambda: away.does_container_exist("ws"), lambda: away.does_blob_exist("ws", "a"), away.list_containers):
        with pytest.raises(ConnectionError):
            call()


def test_what_is_created_replaces_nothing(request, tmp_path, store, creds):
    """``fail_if_exists`` leaves what is there; where that cannot be known, it is refused."""
    store.create_blob("ws", "a", "first")
    expected = UnsupportedPersistenceOp if creds["path"].startswith("ftp") else ObjectExistsError

    with pytest.raises(expected):
        store.create_blob("ws", "a", "second", fail_if_exists=True)
    assert store.get_blob_text("ws", "a") == "first"


@pytest.mark.parametrize("name", ["file", "memory", *SERVERS[:2]])
def test_of_many_who_create_one_wins(request, tmp_path, name):
    """Exactly one succeeds, and its text stands there; all others are told that it exists."""
    creds = record(name, request, tmp_path)
    FSSpecStore(creds).create_container("ws")

    def create(number):
        try:
            return FSSpecStore(creds).create_blob("ws", "runs/__holder__", str(number), fail_if_exists=True)
        except ObjectExistsError:
            return False

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(create, range(8)))

    assert sorted(won) == [False] * 7 + [True]
    assert FSSpecStore(creds).get_blob_text("ws", "runs/__holder__") == str(won.index(True))


@pytest.mark.server("ftp")
def test_a_store_that_cannot_know_says_what_to_do(request, tmp_path):
    """The refusal names the class that looks first."""
    with pytest.raises(UnsupportedPersistenceOp, match=r"persistence_fsspec\.faces\.xt\.UnguardedStore"):
        FSSpecStore(record("ftp", request, tmp_path)).create_blob("ws", "a", "text", fail_if_exists=True)


@pytest.mark.parametrize("name", ["file", *SERVERS])
def test_the_unguarded_store_looks_first(request, tmp_path, name):
    """It creates what is missing, and leaves what it finds."""
    there = UnguardedStore(record(name, request, tmp_path))
    there.create_blob("ws", "a", "first", fail_if_exists=True)

    with pytest.raises(ObjectExistsError):
        there.create_blob("ws", "a", "second", fail_if_exists=True)
    assert there.get_blob_text("ws", "a") == "first"


class Unconditional(HttpFaults):
    """A server that hears of no condition."""

    def _exchange(self, request, client):
        del request.headers["If-Match"], request.headers["If-None-Match"]
        return super()._exchange(request, client)


@pytest.mark.server("s3")
def test_a_server_that_keeps_no_condition(request, tmp_path, s3_server):
    """Containers are made all the same; what is to be exclusive is refused, or looked for first by who asks for that."""
    with Unconditional(int(s3_server.endpoint_url.rpartition(":")[2])) as proxy:
        creds = record("s3", request, tmp_path)
        creds["key"] = json.dumps({**json.loads(creds["key"]), "endpoint_url": f"http://127.0.0.1:{proxy.port}"})
        there, unguarded = FSSpecStore(creds), UnguardedStore(creds)
        made = there.create_container("ws")
        with pytest.raises(UnsupportedPersistenceOp, match=r"persistence_fsspec\.faces\.xt\.UnguardedStore"):
            there.create_blob("ws", "a", "text", fail_if_exists=True)
        unguarded.create_blob("ws", "a", "first", fail_if_exists=True)
        with pytest.raises(ObjectExistsError):
            unguarded.create_blob("ws", "a", "second", fail_if_exists=True)

        assert made
        assert there.get_blob_text("ws", "a") == "first"


def test_a_refusal_to_write_at_all_has_another_hint(tmp_path, monkeypatch):
    """Where nothing may be written, looking first is no way out."""
    monkeypatch.setenv("PERSISTENCE_FSSPEC_READ_ONLY", "yes")
    for cls in (FSSpecStore, UnguardedStore):
        with pytest.raises(UnsupportedPersistenceOp, match=r"(?s)read_only=True.*Leave read_only out"):
            cls({"path": str(tmp_path)}).create_blob("ws", "a", "text", fail_if_exists=True)


# --- files ---


@pytest.mark.parametrize("content", [b"", bytes(range(256)) * 999, b"a\r\nb\n"], ids=["empty", "binary", "lines"])
def test_files_come_back_byte_for_byte(store, tmp_path, content):
    """Whatever they hold."""
    (tmp_path / "source").write_bytes(content)
    stored = store.create_blob_from_path("ws", "data/model.bin", str(tmp_path / "source"))
    store.get_blob_to_path("ws", "data/model.bin", str(tmp_path / "target"))

    assert stored
    assert (tmp_path / "target").read_bytes() == content


def test_a_blob_is_not_held_in_memory_for_its_reader(store, tmp_path):
    """What was fetched into a file is not returned as well."""
    store.create_blob("ws", "a", "text")

    assert store.get_blob_to_path("ws", "a", str(tmp_path / "a")) is None


@pytest.mark.parametrize("name", ["file", SERVERS[0]])
def test_a_file_that_grows_while_it_is_uploaded(request, tmp_path, monkeypatch, name):
    """It is an error after all attempts, and the blob is what it was."""
    monkeypatch.setenv("PERSISTENCE_FSSPEC_ATTEMPTS", "2")
    monkeypatch.setenv("PERSISTENCE_FSSPEC_BACKOFF_SECONDS", "0")
    there, log = FSSpecStore(record(name, request, tmp_path)), tmp_path / "log"
    there.create_blob("ws", "log", "before")
    log.touch()
    os.truncate(log, 17 << 20)  # in several parts, so that it can be written to between two of them

    def grow(moved, total):
        with log.open("ab") as file:
            file.write(b"line\n")

    with pytest.raises(ChangedDuringReadError, match="given up after 2 attempts"):
        there.create_blob_from_path("ws", "log", str(log), progress_callback=grow)
    assert there.get_blob_text("ws", "log") == "before"
    assert there.list_blobs("ws") == ["log"]


def test_progress_counts_to_the_end(store, tmp_path):
    """Both ways, and of a snapshot, in bytes: how many so far, and how many in all."""
    (tmp_path / "source").write_bytes(bytes(300_000))
    told = {"up": [], "down": [], "snapshot": []}
    store.create_blob_from_path("ws", "a", str(tmp_path / "source"), progress_callback=lambda *now: told["up"].append(now))
    kept = store.snapshot_blob("ws", "a").snapshot
    store.get_blob_to_path("ws", "a", str(tmp_path / "b"), progress_callback=lambda *now: told["down"].append(now))
    store.get_blob_to_path(
        "ws", "a", str(tmp_path / "c"), snapshot=kept, progress_callback=lambda *now: told["snapshot"].append(now)
    )

    assert {name: seen[-1] for name, seen in told.items()} == dict.fromkeys(told, (300_000, 300_000))
    assert all(seen == sorted(seen) for seen in told.values())


def test_a_file_never_goes_into_a_folder_by_mistake(store, tmp_path):
    """Where a folder has the name of the blob, nothing is stored under another one."""
    (tmp_path / "source").write_text("text")
    store.create_blob("ws", "b/c", "text")
    calls = [
        lambda: store.create_blob("ws", "b", "text"),
        lambda: store.create_blob_from_path("ws", "b", str(tmp_path / "source")),
        lambda: store.copy_blob("ws", "b/c", "ws", "b"),
    ]
    for call in calls:
        try:
            call()
        except IsAFolderError:
            assert store.list_blobs("ws") == ["b/c"]
        else:  # an object and a folder may share a name
            assert store.list_blobs("ws") == ["b", "b/c"]
            store.delete_blob("ws", "b")


def test_a_download_never_goes_into_a_folder_by_mistake(store, tmp_path):
    """Of this machine; it stays as it is."""
    store.create_blob("ws", "a", "text")
    with pytest.raises(IsAFolderError):
        store.get_blob_to_path("ws", "a", str(tmp_path))

    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("of_snapshot", [False, True])
@pytest.mark.parametrize("target", ["there", "missing"])
def test_a_download_goes_through_a_link(tmp_path, of_snapshot, target):
    """The link stays, and what it leads to is written, there or not, as by any program that opens it."""
    there = FSSpecStore({"path": str(tmp_path / "xt")})
    there.create_blob("ws", "a", "new")
    kept = there.snapshot_blob("ws", "a").snapshot if of_snapshot else None
    (tmp_path / "there").write_text("a long old text")
    (tmp_path / "link").symlink_to(target)
    there.get_blob_to_path("ws", "a", str(tmp_path / "link"), snapshot=kept)

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / target).read_text() == "new"


def test_a_download_never_replaces_a_link(tmp_path):
    """One to a folder is one, and one in a circle leads nowhere."""
    there = FSSpecStore({"path": str(tmp_path / "xt")})
    there.create_blob("ws", "a", "text")
    (tmp_path / "folder").symlink_to("xt")
    (tmp_path / "circle").symlink_to("circle")

    with pytest.raises(IsAFolderError):
        there.get_blob_to_path("ws", "a", str(tmp_path / "folder"))
    with pytest.raises(OSError, match="levels of symbolic links"):
        there.get_blob_to_path("ws", "a", str(tmp_path / "circle"))
    assert (tmp_path / "folder").is_symlink()
    assert (tmp_path / "circle").is_symlink()


def test_a_local_name_that_is_too_long(tmp_path):
    """It is our error, for a blob and for a snapshot."""
    there = FSSpecStore({"path": str(tmp_path / "xt")})
    there.create_blob("ws", "a", "text")

    for kept in (None, there.snapshot_blob("ws", "a").snapshot):
        with pytest.raises(InvalidNameError):
            there.get_blob_to_path("ws", "a", str(tmp_path / ("x" * 300)), snapshot=kept)


def test_a_listed_folder_is_fetched_as_a_folder(store, tmp_path):
    """XT hands the name of a folder over as if it were a blob's."""
    store.create_blob("ws", "dir/sub/a", "text")
    store.get_blob_to_path("ws", "dir/sub/", f"{tmp_path}/here/sub/")

    assert os.listdir(tmp_path / "here") == ["sub"]
    with pytest.raises(ObjectNotFoundError):
        store.get_blob_to_path("ws", "dir/nope/", f"{tmp_path}/here/nope/")


def test_what_fails_leaves_the_local_file(store, tmp_path):
    """A blob or a snapshot that is missing replaces nothing on this machine."""
    (tmp_path / "a").write_text("mine")
    store.create_blob("ws", "there", "text")

    for arguments in ({"blob_path": "nope"}, {"blob_path": "there", "snapshot": "20200101T000000.000000Z-00000000"}):
        with pytest.raises(ObjectNotFoundError):
            store.get_blob_to_path("ws", dest_fn=str(tmp_path / "a"), **arguments)
    assert (tmp_path / "a").read_text() == "mine"


# --- appending ---


@pytest.mark.parametrize("rewrite", [False, True])
def test_appending_begins_and_goes_on(store, rewrite):
    """A blob that is missing begins with the first text; how XT wants it appended changes nothing."""
    store.append_blob("ws", "runs/run.log", "one\n", append_with_rewrite=rewrite)
    store.append_blob("ws", "runs/run.log", "zwö\r\n", append_with_rewrite=rewrite)

    assert store.get_blob_text("ws", "runs/run.log") == "one\nzwö\r\n"


def test_appending_goes_on_where_writing_began(store):
    """One kind of blob for both."""
    store.create_blob("ws", "a", "one\n")
    store.append_blob("ws", "a", "two\n")

    assert store.get_blob_text("ws", "a") == "one\ntwo\n"


def test_of_many_who_append_nothing_is_lost(creds):
    """All texts are there, each whole, in the order of each writer."""
    FSSpecStore(creds).create_container("ws")

    def append(writer):
        there = FSSpecStore(creds)
        for line in range(5):
            there.append_blob("ws", "run_names.txt", f"run{writer}.{line}\n", append_with_rewrite=True)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(append, range(4)))
    lines = FSSpecStore(creds).get_blob_text("ws", "run_names.txt").splitlines()

    assert len(lines) == 20
    for writer in range(4):
        assert [line for line in lines if line.startswith(f"run{writer}.")] == [f"run{writer}.{n}" for n in range(5)]


def test_of_many_who_append_long_texts_nothing_is_lost(creds):
    """Each is whole where it arrives in one piece, or the blob is rewritten; elsewhere every byte is there."""
    FSSpecStore(creds).append_blob("ws", "log", "")

    def append(writer):
        for _ in range(2):
            FSSpecStore(creds).append_blob("ws", "log", writer * 200_000 + "\n")

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(append, "abc"))
    text = FSSpecStore(creds).get_blob_text("ws", "log")

    assert {one: text.count(one) for one in "abc\n"} == {"a": 400_000, "b": 400_000, "c": 400_000, "\n": 6}
    if not creds["path"].startswith(("sftp", "ftp")):
        assert sorted(text.splitlines()) == sorted(one * 200_000 for one in "aabbcc")


@pytest.mark.server("webdav")
def test_appending_that_could_lose_is_refused(request, tmp_path):
    """A server that can only replace, and on no condition, says so, and nothing is written."""
    there = FSSpecStore(record("webdav", request, tmp_path))
    there.create_container("ws")

    with pytest.raises(UnsupportedPersistenceOp, match="cannot append without losing data"):
        there.append_blob("ws", "run.log", "line")
    assert there.list_blobs("ws") == []


_PROCESS = """
import json, sys
from persistence_fsspec.faces.xt import FSSpecStore
from persistence_fsspec.errors import ObjectExistsError
store, number = FSSpecStore(json.loads(sys.argv[1])), sys.argv[2]
store.list_containers()
print("ready", flush=True)
sys.stdin.readline()
try:
    store.create_blob("ws", "mine", number, fail_if_exists=True)
    print("won")
except ObjectExistsError:
    print("lost")
for line in range(20):
    store.append_blob("ws", "log", f"{number}.{line}\\n")
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["file", *SERVERS[:2]])
def test_processes_do_not_lose_what_others_write(request, tmp_path, name):
    """Of four processes one creates the blob, and all that they append at the same time is there."""
    creds = record(name, request, tmp_path)
    there = FSSpecStore(creds)
    there.create_container("ws")
    command = [sys.executable, "-c", _PROCESS, json.dumps(creds)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    running = [subprocess.Popen([*command, str(number)], **pipes) for number in range(4)]
    for one in running:
        assert one.stdout.readline() == "ready\n"
    for one in running:
        one.stdin.write("go\n")
        one.stdin.flush()
    answers = [one.communicate(timeout=120)[0].strip() for one in running]

    assert sorted(answers) == ["lost"] * 3 + ["won"]
    assert there.get_blob_text("ws", "mine") == str(answers.index("won"))
    assert sorted(there.get_blob_text("ws", "log").split()) == sorted(f"{n}.{line}" for n in range(4) for line in range(20))


# --- listing ---

TREE = ["a.txt", "foo/blob1", "foo/blob2", "foo/bar/ski/blob1", "foobar/x", "runs/run1/run.log", "runs/run12/a", "runs/other/b"]


@pytest.fixture(scope="module", params=STORES)
def tree(request, tmp_path_factory):
    """A store with some blobs, which no test changes."""
    there = FSSpecStore(record(request.param, request, tmp_path_factory.mktemp("tree")))
    there.create_container("ws")
    for name in TREE:
        there.create_blob("ws", name, name)
    return there


@pytest.mark.parametrize(
    ("path", "names"),
    [
        (None, sorted(TREE)),
        ("", sorted(TREE)),
        ("/", sorted(TREE)),
        ("*", sorted(TREE)),
        ("foo", ["foo/bar/ski/blob1", "foo/blob1", "foo/blob2"]),
        ("foo/", ["foo/bar/ski/blob1", "foo/blob1", "foo/blob2"]),
        ("/foo", ["foo/bar/ski/blob1", "foo/blob1", "foo/blob2"]),
        ("foo*", ["foo/bar/ski/blob1", "foo/blob1", "foo/blob2", "foobar/x"]),
        ("foo/b*", ["foo/bar/ski/blob1", "foo/blob1", "foo/blob2"]),
        ("foo/bl*", ["foo/blob1", "foo/blob2"]),
        ("runs/run1*", ["runs/run1/run.log", "runs/run12/a"]),
        ("runs/run1/*", ["runs/run1/run.log"]),
        ("nope", []),
        ("nope/*", []),
        ("foo/nope*", []),
        ("a.txt", []),
        ("a.txt/x*", []),
        ("fo?/", []),
        ("foo/b[l]*", []),
    ],
)
def test_all_blobs_below(tree, path, names):
    """Names below the container, of blobs alone; ``*`` at the end takes all that begins so, whatever follows."""
    assert tree.list_blobs("ws", path) == names


@pytest.mark.parametrize(
    ("path", "names"),
    [
        (None, ["a.txt", "foo/", "foobar/", "runs/"]),
        ("*", ["a.txt", "foo/", "foobar/", "runs/"]),
        ("foo", ["foo/bar/", "foo/blob1", "foo/blob2"]),
        ("/foo/", ["foo/bar/", "foo/blob1", "foo/blob2"]),
        ("foo*", ["foo/", "foobar/"]),
        ("runs/run*", ["runs/run1/", "runs/run12/"]),
        ("runs/run1*", ["runs/run1/", "runs/run12/"]),
        ("foo/b*", ["foo/bar/", "foo/blob1", "foo/blob2"]),
        ("foo/bar*", ["foo/bar/"]),
        ("nope", []),
        ("nope/*", []),
        ("a.txt/", []),
    ],
)
def test_one_level(tree, path, names):
    """Blobs and folders of one level, each folder once and with a slash at its end."""
    assert tree.list_blobs("ws", path, recursive=False) == names


@pytest.mark.parametrize("recursive", [True, False])
def test_objects_have_the_same_names(tree, recursive):
    """Names and objects are two views of one listing."""
    for path in (None, "foo", "runs/run*"):
        names = tree.list_blobs("ws", path, recursive=recursive)
        assert [one.name for one in tree.list_blobs("ws", path, return_names=False, recursive=recursive)] == names


def test_objects_have_sizes_and_times(tree):
    """Bytes, a time in UTC that one can reckon with, and the same in nanoseconds."""
    now = datetime.now(tz=timezone.utc)
    for one in tree.list_blobs("ws", return_names=False):
        assert one.properties.content_length == len(one.name)
        assert one.properties.last_modified.utcoffset() == timedelta(0)
        assert abs(now - one.properties.last_modified) < timedelta(hours=1)
        assert one.properties.modified_ns // 1000 == round(one.properties.last_modified.timestamp() * 1e6)


def test_folders_among_objects_do_no_harm(tree):
    """They have a name, no bytes, and a time."""
    (folder,) = [one for one in tree.list_blobs("ws", "foo", return_names=False, recursive=False) if one.name.endswith("/")]

    assert (folder.name, folder.properties.content_length) == ("foo/bar/", 0)
    assert folder.properties.last_modified.timestamp() >= 0


def test_a_blob_is_described_as_in_listings(tree):
    """The same name, size and, where listings are as exact, time."""
    one = tree.get_blob_properties("ws", "foo/blob1")

    assert (one.name, one.properties.content_length) == ("foo/blob1", 9)
    assert abs(datetime.now(tz=timezone.utc) - one.properties.last_modified) < timedelta(hours=1)
    assert isinstance(tree.get_blob_metadata("ws", "foo/blob1"), dict)


def test_a_folder_goes_with_its_last_blob(store):
    """XT deletes a run blob by blob; its folder is not listed any more, though the file system may still have it."""
    for name in ("runs/run1/a", "runs/run1/deep/b", "runs/run2/a"):
        store.create_blob("ws", name, "text")
    for name in store.list_blobs("ws", "runs/run1/"):
        store.delete_blob("ws", name)

    assert store.list_blobs("ws", "runs/run*", recursive=False) == ["runs/run2/"]


@pytest.mark.parametrize("name", ["file", *SERVERS])
def test_a_folder_without_blobs_keeps_its_name(request, tmp_path, name):
    """Where folders are more than parts of names, no blob takes the place of one, by whatever method, and others go on in it."""
    store = FSSpecStore(record(name, request, tmp_path))
    (tmp_path / "source").write_text("text")
    store.create_blob("ws", "a/b", "text")
    store.create_blob("ws", "b", "text")
    store.delete_blob("ws", "a/b")
    calls = [
        lambda: store.create_blob("ws", "a", "text"),
        lambda: store.append_blob("ws", "a", "text"),
        lambda: store.create_blob_from_path("ws", "a", str(tmp_path / "source")),
        lambda: store.copy_blob("ws", "b", "ws", "a"),
    ]
    for call in calls:
        if name != "s3":
            with pytest.raises(IsAFolderError):
                call()
        else:
            call()
            store.delete_blob("ws", "a")
    store.create_blob("ws", "a/c", "text")

    assert store.list_blobs("ws") == ["a/c", "b"]


def test_a_refusal_is_no_empty_listing(tmp_path):
    """What may not be listed is an error."""
    if os.geteuid() == 0:
        pytest.skip("root may list everything")
    there = FSSpecStore({"path": str(tmp_path)})
    there.create_blob("ws", "a/b", "text")
    os.chmod(tmp_path / "ws" / "a", 0)
    try:
        with pytest.raises(PermissionDeniedError):
            there.list_blobs("ws")
    finally:
        os.chmod(tmp_path / "ws" / "a", 0o700)


# --- copies and snapshots ---


def test_a_blob_is_copied(store):
    """Within a container and to another one, into folders that are made."""
    store.create_blob("ws", "a", "text")
    store.create_container("other")

    assert store.copy_blob("ws", "a", "ws", "deep/er/b")
    assert store.copy_blob("ws", "a", "other", "a")
    assert store.get_blob_text("ws", "deep/er/b") == store.get_blob_text("other", "a") == store.get_blob_text("ws", "a") == "text"


def test_a_snapshot_keeps_what_was(store, tmp_path):
    """It is fetched as it was when it was taken, however often the blob has been replaced since."""
    store.create_blob("ws", "d/a", "one")
    kept = store.snapshot_blob("ws", "d/a")
    store.create_blob("ws", "d/a", "two")
    store.get_blob_to_path("ws", "d/a", str(tmp_path / "a"), snapshot=kept.snapshot)

    assert kept.name == "d/a"
    assert ((tmp_path / "a").read_text(), store.get_blob_text("ws", "d/a")) == ("one", "two")


def test_snapshots_are_not_listed(store):
    """By no kind of listing."""
    store.create_blob("ws", "d/a", "one")
    store.snapshot_blob("ws", "d/a")

    for recursive in (True, False):
        for path in (None, "*", "d", "d/*"):
            names = store.list_blobs("ws", path, recursive=recursive)
            assert names == (["d/"] if not recursive and path in (None, "*") else ["d/a"])


def test_a_snapshot_is_deleted_alone(store, tmp_path):
    """The blob stays, and so do its other snapshots."""
    store.create_blob("ws", "a", "one")
    first = store.snapshot_blob("ws", "a").snapshot
    store.create_blob("ws", "a", "two")
    second = store.snapshot_blob("ws", "a").snapshot
    store.delete_blob("ws", "a", snapshot=first)
    store.get_blob_to_path("ws", "a", str(tmp_path / "a"), snapshot=second)

    assert first != second
    assert store.get_blob_text("ws", "a") == (tmp_path / "a").read_text() == "two"
    with pytest.raises(ObjectNotFoundError):
        store.get_blob_to_path("ws", "a", str(tmp_path / "a"), snapshot=first)


def test_a_snapshot_outlives_its_blob(store, tmp_path):
    """It was taken to be kept."""
    store.create_blob("ws", "a", "one")
    kept = store.snapshot_blob("ws", "a").snapshot
    store.delete_blob("ws", "a")
    store.get_blob_to_path("ws", "a", str(tmp_path / "a"), snapshot=kept)

    assert (tmp_path / "a").read_text() == "one"
    assert not store.does_blob_exist("ws", "a")


@pytest.mark.server("s3")
def test_where_the_store_keeps_versions_itself(s3_server, tmp_path):
    """Deleting a snapshot that still is the blob leaves the blob; one that is not goes alone."""
    bucket = s3_server.new_bucket(f"xt-versions-{uuid.uuid4().hex[:8]}")
    versioning = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    s3_server._demand("PUT", f"/{bucket.url.partition('://')[2]}?versioning", data=versioning)
    there = FSSpecStore({"path": bucket.url, "key": json.dumps(bucket.storage_options)})
    there.create_container("ws")
    there.create_blob("ws", "a", "one")
    there.delete_blob("ws", "a", snapshot=there.snapshot_blob("ws", "a").snapshot)
    text = there.get_blob_text("ws", "a")
    kept = there.snapshot_blob("ws", "a").snapshot
    there.create_blob("ws", "a", "two")
    there.get_blob_to_path("ws", "a", str(tmp_path / "a"), snapshot=kept)
    there.delete_blob("ws", "a", snapshot=kept)

    assert (text, (tmp_path / "a").read_text(), there.get_blob_text("ws", "a")) == ("one", "one", "two")
    with pytest.raises(ObjectNotFoundError):
        there.get_blob_to_path("ws", "a", str(tmp_path / "a"), snapshot=kept)
