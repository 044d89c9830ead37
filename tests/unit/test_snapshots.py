"""Old versions that are kept, on stores that keep none by themselves."""

from __future__ import annotations

import os
import re
import stat
import threading
import time
import uuid
from datetime import datetime, timedelta, timezone

import pytest

from persistence_fsspec import (
    FSSpecPersistence,
    InvalidOptionError,
    IsAFolderError,
    ObjectNotFoundError,
    Policy,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.store import ObjectInfo
from persistence_fsspec.stores.partial import KEPT, kept_folder, noticing, partial_key
from persistence_fsspec.stores.snapshots import addressed, fresh_id, newest_first


@pytest.fixture(params=["memory", "local"])
def persistence(request, tmp_path):
    return FSSpecPersistence(f"memory://{uuid.uuid4().hex}" if request.param == "memory" else tmp_path / "store")


@pytest.fixture
def place(persistence):
    """A store, and how to make a key."""
    store, root = persistence.store_and_key()
    return store, lambda name: f"{root}/{name}"


def content(store, info):
    return b"".join(store.stream(info.key, pin=info))


def test_a_snapshot_keeps_what_was_there(persistence, place):
    """Whatever becomes of the object."""
    store, key = place
    persistence.write_bytes("a/name", b"first")
    first = store.snapshot(key("a/name"))
    persistence.write_bytes("a/name", b"second version")
    second = store.snapshot(key("a/name"))
    persistence.delete("a/name")

    assert [content(store, info) for info in store.versions(key("a/name"))] == [b"second version", b"first"]
    assert [info.version_id for info in store.versions(key("a/name"))] == [second.version_id, first.version_id]
    assert [info.size for info in store.versions(key("a/name"))] == [14, 5]
    assert {info.key for info in store.versions(key("a/name"))} == {key("a/name")} == {first.key}
    assert store.read(key("a/name"), 2, 4, pin=first) == b"rs"
    assert store.read(key("a/name"), pin=second) == b"second version"


def test_two_snapshots_without_a_change_are_two(persistence, place):
    """Each can be relied on by itself."""
    store, key = place
    persistence.write_bytes("name", b"same")
    ids = {store.snapshot(key("name")).version_id for _ in range(3)}

    assert len(ids) == 3
    assert {info.version_id for info in store.versions(key("name"))} == ids


def test_what_never_was_has_neither(place):
    """An error, not an empty history; a folder is another."""
    store, key = place
    for act in (store.snapshot, store.versions):
        with pytest.raises(ObjectNotFoundError):
            act(key("nothing"))


def test_a_folder_has_neither(persistence, place):
    """It has no content."""
    persistence.write_bytes("a/b", b"1")
    store, key = place
    for act in (store.snapshot, store.versions):
        with pytest.raises(IsAFolderError):
            act(key("a"))


def test_an_object_without_snapshots_has_no_versions(persistence, place):
    """It is there, but nothing of it is kept."""
    persistence.write_bytes("a", b"1")
    store, key = place

    assert list(store.versions(key("a"))) == []


def test_snapshots_are_hidden(persistence, place):
    """From listings, flat or not, and from whoever copies the tree."""
    store, key = place
    persistence.write_bytes("a/b", b"1")
    store.snapshot(key("a/b"))

    assert list(persistence.listdir("a")) == ["a/b"]
    assert [info.key for info in persistence.find()] == ["a/b"]
    assert list(store.leftovers(key("a"))) == []
    assert len(persistence.copy("a", "c", recursive=True).copied) == 1
    assert list(store.versions(key("c/b"))) == []


def test_a_snapshot_stays_when_its_object_is_deleted(persistence, place):
    """And goes when the folder is deleted with everything in it."""
    store, key = place
    persistence.write_bytes("a/b/c", b"1")
    persistence.write_bytes("a/d", b"2")
    kept = store.snapshot(key("a/b/c"))
    persistence.delete("a/b/c")
    assert content(store, kept) == b"1"

    assert persistence.delete("a", recursive=True) == 1
    assert not persistence.exists("a")
    with pytest.raises(ObjectNotFoundError):
        store.versions(key("a/b/c"))


def test_a_snapshot_stays_when_its_tree_is_moved(persistence, place):
    """The folder that holds it stays, too: only a deletion is told to take everything."""
    store, key = place
    persistence.write_bytes("a/b", b"1")
    kept = store.snapshot(key("a/b"))
    persistence.move("a", "c", recursive=True)

    assert persistence.read_bytes("c/b") == b"1"
    assert not persistence.exists("a/b")
    assert content(store, kept) == b"1"


def test_names_of_any_length_and_kind_have_versions(persistence, place):
    """The copies have short names of their own."""
    store, key = place
    for name in ("x" * 200, "ü ? *", "a.part"):
        persistence.write_bytes(f"d/{name}", name.encode())
        kept = store.snapshot(key(f"d/{name}"))

        assert content(store, kept) == name.encode()
        assert len(list(store.versions(key(f"d/{name}")))) == 1


def test_an_empty_object_has_versions(persistence, place):
    """None of it is still a version."""
    store, key = place
    persistence.write_bytes("empty", b"")
    kept = store.snapshot(key("empty"))

    assert content(store, kept) == b""


def test_a_large_object_goes_through_in_pieces(tmp_path):
    """And arrives whole."""
    persistence = FSSpecPersistence(tmp_path, policy=Policy(part_size=64 * 1024))
    data = os.urandom(1_000_003)
    persistence.write_bytes("large", data)
    store, key = persistence.store_and_key("large")
    kept = store.snapshot(key)
    persistence.write_bytes("large", b"")

    assert content(store, kept) == data
    assert store.read(key, 500_000, 500_010, pin=kept) == data[500_000:500_010]


def test_a_version_that_is_gone_is_not_found(persistence, place):
    """It is not the object that changed."""
    store, key = place
    persistence.write_bytes("a/b", b"1")
    kept = store.snapshot(key("a/b"))
    store.delete(f"{kept_folder(key('a/b'))}/{kept.version_id}")
    with pytest.raises(ObjectNotFoundError):
        content(store, kept)
    with pytest.raises(ObjectNotFoundError):
        store.read(key("a/b"), pin=kept)


def test_a_copy_is_no_more_readable_than_its_object(tmp_path):
    """And as old."""
    persistence = FSSpecPersistence(tmp_path)
    persistence.write_bytes("private", b"1")
    os.chmod(tmp_path / "private", 0o600)
    os.utime(tmp_path / "private", (1e9, 1e9))
    store, key = persistence.store_and_key("private")
    kept = store.snapshot(key)
    copy = next((tmp_path / KEPT).rglob("2*"))

    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert kept.modified.timestamp() == 1e9


def test_snapshots_are_refused_where_nothing_may_be_written(persistence, place):
    """A policy says so; old versions can be read."""
    store, key = place
    persistence.write_bytes("a", b"1")
    kept = store.snapshot(key("a"))
    reader, _ = FSSpecPersistence(persistence.url(), policy=Policy(read_only=True)).store_and_key()
    with pytest.raises(UnsupportedPersistenceOp, match="read_only"):
        reader.snapshot(key("a"))

    assert content(reader, kept) == b"1"


def test_nobody_writes_among_the_snapshots(persistence):
    """The names are reserved."""
    with pytest.raises(Exception, match="reserved"):
        persistence.write_bytes(f"a/{KEPT}/x", b"1")


def test_an_unfinished_copy_is_a_leftover(persistence, place):
    """Which is found, and leaves no empty folder when it goes."""
    store, key = place
    persistence.write_bytes("a", b"1")
    copy = f"{kept_folder(key('a'))}/{fresh_id()}"
    half = partial_key(copy)
    if store.url("").startswith("memory"):
        import fsspec

        fsspec.filesystem("memory").pipe_file(f"/{half}", b"half")
    else:
        os.makedirs(os.path.dirname(f"/{half}"))
        with open(f"/{half}", "wb") as file:
            file.write(b"half")
    (found,) = store.leftovers(key("a").rpartition("/")[0])
    store.discard(found)

    assert found.key == half
    told = []
    with noticing(kept=told.append):
        assert list(persistence.listdir()) == ["a"]
    assert told == []


def test_ids_sort_by_time():
    """As text."""
    ids = [fresh_id() for _ in range(50)]

    assert [name[:23] for name in ids] == sorted(name[:23] for name in ids)
    assert all(re.fullmatch(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{8}", name) for name in ids)


def test_pins_that_are_no_copies_are_left_alone():
    """A version of the store's own, and no version at all."""
    for pin in (None, ObjectInfo(key="a"), ObjectInfo(key="a", version_id="3/L4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY")):
        assert addressed("a", pin) == ("a", pin)


def test_versions_of_two_kinds_are_one_history():
    """Newest first; each kind keeps its own order where times are equal."""
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    own = [ObjectInfo(key="a", version_id=name, modified=now - timedelta(days=age)) for name, age in (("1", 1), ("2", 3))]
    copies = [ObjectInfo(key="a", version_id=name, modified=now - timedelta(days=age)) for name, age in (("3", 0), ("4", 3))]

    assert [info.version_id for info in newest_first(own, copies)] == ["3", "1", "2", "4"]
    assert newest_first(own, []) == own


# --- by the adapter ---


def test_a_version_is_read_by_its_id_or_by_what_was_returned(persistence):
    """Whole, by ranges that may count from the end, and as a file."""
    persistence.write_bytes("a/b", b"first")
    kept = persistence.snapshot("a/b")
    persistence.write_bytes("a/b", b"second version")

    for version in (kept, kept.version_id):
        assert persistence.read_bytes("a/b", version=version) == b"first"
        assert persistence.read_bytes("a/b", start=1, end=3, version=version) == b"ir"
        assert persistence.read_bytes("a/b", start=-2, version=version) == b"st"
        assert persistence.read_bytes("a/b", start=3, end=3, version=version) == b""
        with persistence.open("a/b", "r", version=version) as file:
            file.seek(2)
            assert file.read() == "rst"
    assert persistence.read_bytes("a/b") == b"second version"


def test_versions_have_the_name_they_were_asked_for_by(persistence):
    """A key for a key, a URL for a URL; newest first."""
    persistence.write_bytes("a/b", b"1")
    ids = [persistence.snapshot("a/b").version_id for _ in range(2)]

    assert [(info.key, info.version_id) for info in persistence.versions("a/b")] == [("a/b", ids[1]), ("a/b", ids[0])]
    url = persistence.url("a/b")
    assert {info.key for info in persistence.versions(url)} == {url} == {persistence.snapshot(url).key}


def test_errors_about_versions_come_at_once(persistence):
    """From the call, and for the right reason."""
    persistence.write_bytes("a", b"1")
    with pytest.raises(ObjectNotFoundError, match="no version 'x'"):
        persistence.read_bytes("a", version="x")
    with pytest.raises(ObjectNotFoundError):
        persistence.versions("missing")
    with pytest.raises(ObjectNotFoundError):
        persistence.snapshot("missing")
    with pytest.raises(IsAFolderError):
        persistence.versions("")
    with pytest.raises(InvalidOptionError, match="only read"):
        persistence.open("a", "wb", version="x")
    assert persistence.read_bytes("a") == b"1"


def test_capabilities_say_how_old_versions_are_kept(persistence):
    """On this machine, as copies."""
    assert persistence.capabilities().versions == "copies"


def test_one_snapshot_is_forgotten(persistence, place):
    """Not the object, nor any other of its snapshots."""
    persistence.write_bytes("name", b"one")
    first, second = persistence.snapshot("name"), persistence.snapshot("name")

    persistence.delete("name", version=first.version_id)

    assert [info.version_id for info in persistence.versions("name")] == [second.version_id]
    assert persistence.read_bytes("name") == b"one"
    for version in (first, first.version_id, "never was"):
        with pytest.raises(ObjectNotFoundError):
            persistence.delete("name", version=version)
        assert persistence.delete("name", version=version, missing_ok=True) == 0


def test_the_last_snapshot_leaves_no_folder(persistence, place):
    """Of the object; another's stays."""
    store, key = place
    persistence.write_bytes("name", b"one")
    persistence.write_bytes("other", b"two")
    kept = persistence.snapshot("other")

    persistence.delete("name", version=persistence.snapshot("name"))

    with pytest.raises(ObjectNotFoundError):
        store.info(kept_folder(key("name")))
    assert persistence.read_bytes("other", version=kept) == b"two"


def test_nothing_is_forgotten_of_a_store_that_is_only_read(tmp_path):
    """A snapshot is content like any other."""
    FSSpecPersistence(tmp_path).write_bytes("name", b"one")
    kept = FSSpecPersistence(tmp_path).snapshot("name")

    with pytest.raises(UnsupportedPersistenceOp):
        FSSpecPersistence(tmp_path, policy=Policy(read_only=True)).delete("name", version=kept)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "seconds"), [("local", 0.2), pytest.param("s3", 0.005, marks=pytest.mark.server("s3"))])
def test_what_grows_can_be_kept(kind, seconds, tmp_path, request):
    """A snapshot of a log that others append to holds whole lines from its beginning."""
    url, options = tmp_path, None
    if kind == "s3":
        server = request.getfixturevalue("s3_server")
        url, options = f"{server.url}/{uuid.uuid4().hex}", server.storage_options
    persistence = FSSpecPersistence(url, storage_options=options, policy=Policy(attempts=20))
    persistence.append("log", b"line\n")
    done = threading.Event()

    def write():
        while not done.wait(seconds):
            persistence.append("log", b"line\n")

    writer = threading.Thread(target=write)
    writer.start()
    kept = []
    try:
        while len(kept) < 5 or len({one.size for one in kept}) < 2:
            kept.append(persistence.snapshot("log"))
            time.sleep(0.05)
    finally:
        done.set()
        writer.join()

    read = [persistence.read_bytes("log", version=one) for one in kept]
    assert [len(one) for one in read] == [one.size for one in kept]
    assert all(one == b"line\n" * (len(one) // 5) for one in read)
