"""sync: one tree becomes like another, and nothing goes that should stay."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import pytest

from persistence_fsspec import FSSpecPersistence, TransferError
from persistence_fsspec.errors import ConflictError, NotAFolderError, ObjectNotFoundError, PersistenceError
from persistence_fsspec.layers.layer import Layer
from persistence_fsspec.transfer.plan import Plan


@pytest.fixture(params=["memory", "local"])
def store(request, tmp_path):
    """A place to sync to."""
    return FSSpecPersistence(f"memory://sync-{os.urandom(8).hex()}" if request.param == "memory" else tmp_path / "store")


@pytest.fixture
def tree(tmp_path):
    """Three files."""
    folder = tmp_path / "src"
    for name in ("a.txt", "sub/b.txt", "sub/c.bin"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"this is {name}")
    return folder


def names(store, folder="t"):
    return sorted(store.listdir(folder, recursive=True))


def test_what_is_new_or_different_is_copied(store, tree):
    """The rest is left alone, and the report says why."""
    store.sync(tree, "t")
    (tree / "a.txt").write_text("other and longer")
    (tree / "new.txt").write_text("new")
    report = store.sync(tree, "t")

    assert sorted(one.key.rpartition("/")[2] for one in report.copied) == ["a.txt", "new.txt"]
    assert {one.reason for one in report.skipped} == {"not newer, and of the same size"}
    assert store.read_bytes("t/a.txt") == b"other and longer"


def test_the_same_size_is_not_the_same_file(store, tree):
    """A newer file of the same size is copied."""
    store.sync(tree, "t")
    (tree / "a.txt").write_text("THIS IS A.TXT"[: len("this is a.txt")])
    os.utime(tree / "a.txt", (time.time() + 10,) * 2)
    report = store.sync(tree, "t")

    assert [one.key.rpartition("/")[2] for one in report.copied] == ["a.txt"]
    assert store.read_bytes("t/a.txt") == b"THIS IS A.TXT"


def test_digests_find_an_older_file_that_differs(store, tree):
    """With compare="digest" the time says nothing."""
    store.sync(tree, "t")
    (tree / "a.txt").write_text("THIS IS A.TXT")
    os.utime(tree / "a.txt", (1, 1))

    assert len(store.sync(tree, "t").copied) == 0
    assert len(store.sync(tree, "t", compare="digest").copied) == 1
    assert store.read_bytes("t/a.txt") == b"THIS IS A.TXT"


def test_nothing_is_deleted_unless_asked(store, tree):
    """What only the target has stays."""
    store.write_bytes("t/extra", b"mine")
    store.sync(tree, "t")

    assert store.read_bytes("t/extra") == b"mine"


def test_delete_takes_what_the_source_has_not(store, tree):
    """And says so; the folder it leaves empty goes as well."""
    store.write_bytes("t/old/extra", b"x")
    report = store.sync(tree, "t", delete=True)

    assert [one.status for one in report.deleted] == ["deleted"]
    assert names(store) == ["t/a.txt", "t/sub/b.txt", "t/sub/c.bin"]
    assert not store.exists("t/old")


def test_what_patterns_leave_out_is_not_deleted(store, tree):
    """Neither at the source nor at the target is it looked at."""
    store.write_bytes("t/keep.log", b"x")
    store.sync(tree, "t", delete=True, exclude="*.log")

    assert store.read_bytes("t/keep.log") == b"x"


def test_too_much_to_delete_deletes_nothing(store, tree):
    """All that is new arrives first; then the error says how many there are."""
    for number in range(5):
        store.write_bytes(f"t/extra{number}", b"x")
    with pytest.raises(TransferError, match="5 files are not at the source, and max_delete is 4") as caught:
        store.sync(tree, "t", delete=True, max_delete=4)

    assert isinstance(caught.value.report.failed[0].error, ConflictError)
    assert len(names(store)) == 8


def test_a_failed_file_keeps_everything(store, tree):
    """Who could not copy all deletes nothing."""
    store.write_bytes("t/extra", b"x")
    (tree / "dangling").symlink_to("nowhere")
    with pytest.raises(TransferError):
        store.sync(tree, "t", delete=True)

    assert store.read_bytes("t/extra") == b"x"


def test_a_missing_source_deletes_nothing(store, tmp_path):
    """A misspelt source is an error, and no empty tree."""
    store.write_bytes("t/extra", b"x")
    with pytest.raises(ObjectNotFoundError):
        store.sync(tmp_path / "missing", "t", delete=True)

    assert store.read_bytes("t/extra") == b"x"


def test_a_single_file_is_refused(store, tree):
    """Sync is for trees."""
    with pytest.raises(NotAFolderError, match=r"copy\(\)"):
        store.sync(tree / "a.txt", "t")


def test_a_file_that_changed_since_it_was_listed_is_not_deleted(store, tree, monkeypatch):
    """Somebody else may have just written it."""
    store.write_bytes("t/extra", b"x")
    plan = store.sync(tree, "t", delete=True, dry_run=True)
    doomed = next(step for step in plan if step.action == "delete")
    time.sleep(0.02)
    store.write_bytes("t/extra", b"written meanwhile")
    from persistence_fsspec.transfer.remove import delete_one

    outcome = delete_one(store.store_and_key("t")[0], doomed.info)

    assert isinstance(outcome.error, PersistenceError)
    assert store.read_bytes("t/extra") == b"written meanwhile"


def test_a_dry_run_changes_nothing_and_tells_all(store, tree):
    """Each step with its action, its method and its bytes."""
    store.sync(tree, "t")
    (tree / "a.txt").write_text("longer than before")
    store.write_bytes("t/extra", b"x")
    plan = store.sync(tree, "t", delete=True, dry_run=True)

    assert isinstance(plan, Plan)
    assert plan.summary() == {"copy": 1, "skip": 2, "make folder": 0, "delete": 1, "failed": 0, "bytes": 18}
    assert plan.summary()["copy"] == 1
    assert store.read_bytes("t/extra") == b"x"
    assert store.read_bytes("t/a.txt") == b"this is a.txt"


def test_between_two_stores_nothing_touches_the_disk(tree, tmp_path, monkeypatch):
    """The bytes pass through memory."""
    source = FSSpecPersistence(f"memory://from-{os.urandom(8).hex()}")
    target = FSSpecPersistence(f"memory://to-{os.urandom(8).hex()}")
    source.put(tree, "", recursive=True)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "does not exist"))
    report = source.sync(source.url(), target.url())

    assert len(report.copied) == 3
    assert target.read_bytes("sub/b.txt") == b"this is sub/b.txt"


def test_what_lies_behind_a_link_of_the_target_is_not_deleted(tmp_path, tree):
    """It belongs to another place, which nobody named."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious").write_bytes(b"!")
    (tmp_path / "dst").mkdir()
    (tmp_path / "dst" / "link").symlink_to("../elsewhere")
    report = FSSpecPersistence(tmp_path).sync(tree, tmp_path / "dst", delete=True)

    assert not report.deleted
    assert (tmp_path / "elsewhere" / "precious").read_bytes() == b"!"


def test_a_source_inside_its_target_is_not_deleted(store):
    """Seen from the target it is all superfluous."""
    store.write_bytes("big/new/a", b"1")
    store.write_bytes("big/old", b"2")
    report = store.sync("big/new", "big", delete=True)

    assert names(store, "big") == ["big/a", "big/new/a"]
    assert len(report.deleted) == 1


def test_a_source_inside_its_target_is_found_through_links(tmp_path, tree):
    """A folder may have several names on this machine."""
    (tmp_path / "link").symlink_to("src")
    FSSpecPersistence(tmp_path).sync(tmp_path / "link" / "sub", tree, delete=True)

    assert sorted(os.listdir(tree)) == ["b.txt", "c.bin", "sub"]
    assert sorted(os.listdir(tree / "sub")) == ["b.txt", "c.bin"]


def test_what_was_copied_through_a_link_stays_when_links_are_skipped(store, tree):
    """The link is at the source, and what it leads to was copied as a folder."""
    (tree / "link").symlink_to("sub")
    store.sync(tree, "t")
    report = store.sync(tree, "t", delete=True, links="skip")

    assert not report.deleted
    assert "t/link/b.txt" in names(store)


def test_another_spelling_of_a_name_is_not_deleted(store, tree):
    """Where the target takes them for one, what was just copied stands under the old spelling."""

    class Insensitive(Layer):
        @property
        def capabilities(self):
            return replace(self.inner.capabilities, case_sensitive=False)

    class Folding(FSSpecPersistence):
        def wrap(self, store):
            return Insensitive(store)

    store.write_bytes("t/A.TXT", b"older")
    report = Folding(store.url()).sync(tree, "t", delete=True)

    assert not report.deleted


def test_a_guard_that_is_raised_is_no_other_transfer(store, tree, monkeypatch, tmp_path):
    """What was refused and then allowed is not remembered as a failure."""
    from persistence_fsspec.transfer.journals import known

    monkeypatch.setenv("PERSISTENCE_FSSPEC_STATE_DIR", str(tmp_path / "state"))
    store.write_bytes("t/extra", b"x")
    with pytest.raises(TransferError):
        store.sync(tree, "t", delete=True, max_delete=0)
    assert [one.state for one in known()] == ["failed"]
    store.sync(tree, "t", delete=True)

    assert known() == []
