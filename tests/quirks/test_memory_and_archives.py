"""fsspec's memory, archives and references."""

from __future__ import annotations

import io
import tarfile
import zipfile

import pytest

from persistence_fsspec import FSSpecPersistence
from persistence_fsspec.errors import (
    ChangedDuringReadError,
    InvalidNameError,
    IsAFolderError,
    NotAFolderError,
    ObjectExistsError,
    ObjectNotFoundError,
)
from persistence_fsspec.stores.quirks import traits
from tests.quirks.places import in_fork, put


@pytest.mark.quirk("memory-publish")
def test_memory_readers_have_positions_of_their_own(memory):
    """Two open files of one object, read in turns."""
    memory.raw_write("k", b"0123456789")
    with memory.persistence.open("k") as one, memory.persistence.open("k") as two:
        assert (one.read(3), two.read(5), one.read(3), two.read(5)) == (b"012", b"01234", b"345", b"56789")


@pytest.mark.quirk("memory-publish")
def test_memory_objects_are_replaced_whole(memory):
    """The old object is there until commit, and a pinned reader never gets the new one."""
    put(memory.store, memory.key("k"), b"old")
    pin = memory.store.info(memory.key("k"))
    writer = memory.store.writer(memory.key("k"))
    writer.write(b"x" * 300_000)
    assert memory.raw_read("k") == b"old"
    assert memory.raw_names() == ["k"]
    assert memory.store.read(memory.key("k"), pin=pin) == b"old"

    writer.commit()
    assert memory.raw_read("k") == b"x" * 300_000
    with pytest.raises(ChangedDuringReadError):
        memory.store.read(memory.key("k"), pin=pin)


@pytest.mark.quirk("memory-publish")
def test_memory_an_equal_rewrite_is_another_version(memory):
    """Even of equal size, within a microsecond."""
    put(memory.store, memory.key("k"), b"one")
    versions = {memory.store.info(memory.key("k")).version}
    for _ in range(20):
        before = memory.store.info(memory.key("k")).version
        put(memory.store, memory.key("k"), b"two")
        after = memory.store.info(memory.key("k")).version
        assert before != after
        versions.add(after)

    assert None not in versions


@pytest.mark.quirk("memory-publish")
def test_memory_creates_exclusively(memory):
    """What is there stays."""
    put(memory.store, memory.key("k"), b"one", overwrite=False)

    with pytest.raises(ObjectExistsError):
        put(memory.store, memory.key("k"), b"two", overwrite=False)
    assert memory.raw_read("k") == b"one"


@pytest.mark.quirk("memory-shadow")
def test_memory_a_file_never_hides_behind_a_folder(memory):
    """By writing, appending, copying or moving."""
    memory.raw_write("d/k", b"1")
    memory.raw_write("k", b"file")
    p = memory.persistence

    for act in (
        lambda: p.write_bytes("d", b"x"),
        lambda: p.append("d", b"x"),
        lambda: p.copy("k", "d"),
        lambda: p.move("k", "d"),
        lambda: p.write_bytes("d", b"x", overwrite=False),
    ):
        with pytest.raises((IsAFolderError, ObjectExistsError)):
            act()
    assert memory.raw_names() == ["d/k", "k"]


@pytest.mark.quirk("memory-shadow")
def test_memory_a_folder_never_begins_at_a_file(memory):
    """By writing or appending below it."""
    memory.raw_write("k", b"file")

    for act in (lambda: memory.persistence.write_bytes("k/below", b"x"), lambda: memory.persistence.append("k/below", b"x")):
        with pytest.raises(NotAFolderError):
            act()
    assert memory.raw_names() == ["k"]


@pytest.mark.quirk("memory-fork")
def test_memory_of_a_forked_child_is_its_own(memory):
    """It begins as a copy, and what is written there is not seen here."""
    p = memory.persistence
    p.write_bytes("k", b"before")

    def child():
        same = p.read_bytes("k") == b"before"
        p.write_bytes("k", b"child")
        p.write_bytes("new", b"child")
        return same and p.read_bytes("k") == b"child"

    assert in_fork(child) == "yes"
    assert p.read_bytes("k") == b"before"
    assert memory.raw_names() == ["k"]


@pytest.mark.quirk("memory-urls")
@pytest.mark.parametrize("name", ["a::b", "a://b", "memory://elsewhere/k"])
def test_memory_names_that_are_other_paths_are_refused(memory, name):
    """For writing and for reading."""
    store, key = memory.store, f"{memory.key('')}/{name}"

    for act in (store.writer, store.read, store.delete, store.info):
        with pytest.raises(InvalidNameError):
            act(key)
    assert memory.raw_names() == []


# --- archives ---

TREE = {"top": b"0", "d/a": b"1", "d/e/b": b"22", "d/e/f/c": b"333"}


def _zip(path, *, folders):
    with zipfile.ZipFile(path, "w") as archive:
        if folders:
            for name in ("d/", "d/e/", "d/e/f/", "empty/"):
                archive.writestr(name, b"")
        for name, data in TREE.items():
            archive.writestr(name, data)
    return f"zip://::{path.as_uri()}"


def _tar(path, *, folders):
    with tarfile.open(path, "w") as archive:
        if folders:
            for name in ("d", "d/e", "d/e/f", "empty"):
                entry = tarfile.TarInfo(name)
                entry.type = tarfile.DIRTYPE
                archive.addfile(entry)
        for name, data in TREE.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return f"tar://::{path.as_uri()}"


@pytest.mark.quirk("archive-listing")
@pytest.mark.parametrize("folders", [True, False], ids=["with-entries-for-folders", "without"])
@pytest.mark.parametrize("make", [_zip, _tar], ids=["zip", "tar"])
def test_folders_of_an_archive_are_folders(tmp_path, make, folders):
    """Whether or not it has entries for them; and every file is listed once and can be read."""
    p = FSSpecPersistence(make(tmp_path / "archive", folders=folders))

    assert sorted(p.listdir("d")) == ["d/a", "d/e"]
    assert p.info("d").is_folder
    assert p.info("d/e/f").is_folder
    assert {name: p.read_bytes(name) for name in p.listdir(recursive=True)} == TREE
    with pytest.raises(ObjectNotFoundError):
        list(p.listdir("missing"))
    with pytest.raises((NotAFolderError, ObjectNotFoundError)):
        list(p.listdir("top"))


@pytest.mark.quirk("archive-listing")
def test_an_empty_archive_is_an_empty_folder(tmp_path):
    """Its root exists, and holds nothing."""
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    p = FSSpecPersistence(f"zip://::{(tmp_path / 'empty.zip').as_uri()}")

    assert list(p.listdir()) == []
    assert p.info("").is_folder
    assert not p.exists("k")


@pytest.mark.quirk("archive-listing")
def test_references_are_listed_and_read():
    """A file of pieces looks like any other."""
    refs = {"version": 1, "refs": {"d/a": "inline", "d/e/b": "more"}}
    p = FSSpecPersistence("reference://", storage_options={"fo": refs})

    assert sorted(p.listdir("d")) == ["d/a", "d/e"]
    assert sorted(p.listdir("d", recursive=True)) == ["d/a", "d/e/b"]
    assert p.read_bytes("d/a") == b"inline"
    assert not p.exists("d/missing")
    with pytest.raises(ObjectNotFoundError):
        list(p.listdir("missing"))


@pytest.mark.quirk("archive-listing")
@pytest.mark.parametrize("driver", ["archive", "reference"])
def test_nothing_is_pinned_where_nothing_changes(driver):
    """An archive is read as it was when it was opened; no version is claimed."""
    assert traits(driver)[0].pin == "none"
