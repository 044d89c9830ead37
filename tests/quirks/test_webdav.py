"""WebDAV, which publishes by MOVE."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from persistence_fsspec import FSSpecPersistence
from persistence_fsspec.errors import (
    ChangedDuringReadError,
    FolderNotEmptyError,
    InvalidNameError,
    IsAFolderError,
    ObjectExistsError,
    ObjectNotFoundError,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.stores import opening
from persistence_fsspec.stores.janitor import settle
from tests.quirks.places import instance_of, places, put

pytestmark = pytest.mark.server("webdav")


@places("webdav")
@pytest.mark.quirk("webdav-publish")
def test_replacing_works_and_leaves_nothing_else(place):
    """Until commit the old file is read, and nothing lies at the server; afterwards only the new one does."""
    put(place.store, place.key("d/k"), b"old")
    writer = place.store.writer(place.key("d/k"))
    writer.write(b"x" * 300_000)
    assert place.raw_names() == ["d/k"]
    assert place.raw_read("d/k") == b"old"

    writer.commit()
    assert place.raw_names() == ["d/k"]
    assert place.raw_read("d/k") == b"x" * 300_000
    assert place.store.capabilities.publish == "swap"


@pytest.mark.quirk("webdav-publish")
def test_a_write_that_breaks_loses_nothing(mortal_webdav):
    """The server is gone at the end: the old file is there, and the next write succeeds."""
    mortal_webdav.raw_write("data/k", b"old")
    p = FSSpecPersistence("webdav://data", storage_options=mortal_webdav.storage_options)
    store, key = p.store_and_key("k")
    writer = store.writer(key)
    writer.write(b"x" * 100_000)
    mortal_webdav.process.stop()

    with pytest.raises(ConnectionError):
        writer.commit()
    assert mortal_webdav.raw_keys() == ["data/k"]
    assert mortal_webdav.raw_read("data/k") == b"old"

    mortal_webdav.process.start()
    p.write_bytes("k", b"new")
    assert mortal_webdav.raw_read("data/k") == b"new"


@places("webdav")
@pytest.mark.quirk("webdav-create")
def test_exclusive_writing_has_one_winner(place):
    """Six at once: one succeeds, and the bytes are its own."""
    barrier = Barrier(6)

    def attempt(number):
        writer = place.store.writer(place.key("k"), overwrite=False)
        writer.write(bytes([number]) * 10_000)
        barrier.wait(5)
        try:
            writer.commit()
        except ObjectExistsError:
            return None
        return number

    with ThreadPoolExecutor(6) as pool:
        winners = [number for number in pool.map(attempt, range(6)) if number is not None]

    assert len(winners) == 1
    assert place.raw_read("k") == bytes(winners) * 10_000
    assert place.raw_names() == ["k"]


@places("webdav")
@pytest.mark.quirk("webdav-create")
def test_opening_with_x_keeps_what_is_there(place):
    """And writes where nothing is."""
    with place.persistence.open("k", "xb") as file:
        file.write(b"first")
    with pytest.raises(ObjectExistsError), place.persistence.open("k", "xb") as file:
        file.write(b"second")

    assert place.raw_read("k") == b"first"


@places("webdav")
@pytest.mark.quirk("webdav-deletes-trees")
def test_no_call_for_a_file_deletes_a_tree(place):
    """Deleting a folder as if it were a file is refused, by the store and by the persistence."""
    place.raw_write("d/k", b"1")
    place.raw_write("d/e/k", b"1")

    for act in (
        lambda: place.store.delete(place.key("d")),
        lambda: place.persistence.delete("d"),
    ):
        with pytest.raises(IsAFolderError):
            act()
    with pytest.raises(FolderNotEmptyError):
        place.store.delete_folder(place.key("d"))
    assert place.raw_names() == ["d/e/k", "d/k"]


@places("webdav")
@pytest.mark.quirk("webdav-deletes-trees")
def test_nothing_replaces_a_tree(place):
    """Neither a rename, nor a write, nor a copy onto a folder."""
    place.raw_write("k", b"file")
    place.raw_write("d/k", b"1")
    p = place.persistence

    for act in (
        lambda: place.store.rename(place.key("k"), place.key("d")),
        lambda: put(place.store, place.key("d"), b"x"),
        lambda: p.copy("k", "d"),
        lambda: p.write_bytes("d", b"x"),
    ):
        with pytest.raises(IsAFolderError):
            act()
    assert place.raw_names() == ["d/k", "k"]


@places("webdav")
@pytest.mark.quirk("webdav-names")
@pytest.mark.parametrize("name", ["a%20b", "a%2Fb", "a;b", "a#b", "a?b", "a\nb", "a\tb", "a\x7fb"])
def test_names_that_would_be_others_are_refused(place, name):
    """For writing, reading and deleting: their neighbour is still there."""
    for neighbour in ("a", "a b", "ab"):
        place.raw_write(neighbour, b"precious")
    p = place.persistence

    for act in (lambda: p.write_bytes(name, b"x"), lambda: p.read_bytes(name), lambda: p.delete(name), lambda: p.exists(name)):
        with pytest.raises(InvalidNameError):
            act()
    assert place.raw_names() == ["a", "a b", "ab"]
    assert {place.raw_read(n) for n in place.raw_names()} == {b"precious"}


@places("webdav")
@pytest.mark.quirk("webdav-names")
@pytest.mark.parametrize("name", ["a b", "100%", "a&b", "a+b", "ü", "日本語", "a*[b]", "'q'", "a=b"])
def test_other_odd_names_are_kept(place, name):
    """Written, listed, read and deleted as they are."""
    place.persistence.write_bytes(f"d/{name}", b"odd")

    assert place.raw_names() == [f"d/{name}"]
    assert list(place.persistence.listdir("d")) == [f"d/{name}"]
    assert place.persistence.read_bytes(f"d/{name}") == b"odd"
    place.persistence.delete(f"d/{name}")
    assert place.raw_names() == []


@places("webdav")
@pytest.mark.quirk("webdav-etag")
def test_the_etag_is_neither_sent_nor_trusted(place, monkeypatch):
    """No request of a pinned read carries a condition; an overwrite of another size is noticed."""
    place.raw_write("k", b"old")
    http = instance_of(place.store).client.http
    real, conditions = http.send, []

    def send(request, **more):
        conditions.extend(name for name in request.headers if name.lower().startswith("if-"))
        return real(request, **more)

    monkeypatch.setattr(http, "send", send)
    pin = place.store.info(place.key("k"))
    assert place.store.read(place.key("k"), pin=pin) == b"old"
    assert conditions == []
    assert (pin.version, place.store.capabilities.pin) == (None, "weak")

    place.raw_write("k", b"longer")
    with pytest.raises(ChangedDuringReadError):
        place.store.read(place.key("k"), pin=pin)


@places("webdav")
@pytest.mark.quirk("webdav-append")
def test_append_is_refused(place):
    """By bytes, and by opening with `a`; the file stays as it is, and none begins."""
    place.raw_write("k", b"precious")

    for name in ("k", "new"):
        with pytest.raises(UnsupportedPersistenceOp):
            place.persistence.append(name, b"more")
        with pytest.raises((UnsupportedPersistenceOp, ObjectNotFoundError)), place.persistence.open(name, "ab") as file:
            file.write(b"more")
    assert place.raw_names() == ["k"]
    assert place.raw_read("k") == b"precious"


def test_a_store_that_is_forgotten_closes_its_connections(mortal_webdav):
    """The driver leaves that to the garbage collector, which complains of each socket."""
    mortal_webdav.raw_write("data/k", b"x")
    p = FSSpecPersistence("webdav://data", storage_options=mortal_webdav.storage_options)
    assert p.exists("k")
    store, _ = p.store_and_key("k")
    pool = instance_of(store).client.http._transport._pool
    assert len(pool.connections) == 1

    opening._stores.clear()
    del p, store
    gc.collect()
    assert settle()
    assert pool.connections == []
