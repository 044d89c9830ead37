"""What a tree has besides its files: links, empty folders, modes and times, and names that collide."""

from __future__ import annotations

import os
import stat

import pytest

from persistence_fsspec import FSSpecPersistence, TransferError
from persistence_fsspec.errors import InvalidNameError, InvalidOptionError


@pytest.fixture
def local(tmp_path):
    """A store of files."""
    return FSSpecPersistence(tmp_path / "store")


@pytest.fixture
def memory():
    """A store without modes."""
    return FSSpecPersistence(f"memory://trees-{os.urandom(8).hex()}")


@pytest.fixture
def tree(tmp_path):
    """A file, a link to it, a link to a folder, and an empty folder."""
    folder = tmp_path / "src"
    (folder / "real").mkdir(parents=True)
    (folder / "real" / "a.txt").write_text("a")
    (folder / "link.txt").symlink_to("real/a.txt")
    (folder / "linked").symlink_to("real")
    (folder / "empty").mkdir()
    return folder


def names(persistence):
    return sorted(persistence.listdir("t", recursive=True))


def test_links_are_followed_and_told(local, tree):
    """What they lead to arrives; the report says which were links."""
    report = local.put(tree, "t", recursive=True)

    assert names(local) == ["t/link.txt", "t/linked/a.txt", "t/real/a.txt"]
    assert [one.target.rpartition("/")[2] for one in report.copied if one.reason == "followed a symbolic link"] == ["link.txt"]


def test_links_can_be_skipped(local, tree):
    """Files and folders; each is in the report."""
    report = local.put(tree, "t", recursive=True, links="skip")

    assert names(local) == ["t/real/a.txt"]
    assert sorted(one.target.rpartition("/")[2] for one in report.skipped) == ["link.txt", "linked"]
    assert {one.reason for one in report.skipped} == {"is a symbolic link, links='skip'"}


def test_links_can_be_errors(local, tree):
    """The rest arrives."""
    with pytest.raises(TransferError) as caught:
        local.put(tree, "t", recursive=True, links="error")

    assert names(local) == ["t/real/a.txt"]
    assert sorted(one.source.rpartition("/")[2] for one in caught.value.report.failed) == ["link.txt", "linked"]


def test_a_sync_does_not_delete_what_a_skipped_link_stands_for(local, tree):
    """It is at the source, only not as a file."""
    local.put(tree, "t", recursive=True)
    local.sync(tree, "t", links="skip", delete=True)

    assert "t/link.txt" in names(local)


def test_an_unknown_choice_is_refused_with_what_there_is(local, tree):
    """Before anything is done."""
    with pytest.raises(InvalidOptionError, match="follow, skip, error"):
        local.put(tree, "t", recursive=True, links="ignore")
    with pytest.raises(InvalidOptionError, match="never, digest, mtime, auto"):
        local.put(tree, "t", recursive=True, compare="size")
    with pytest.raises(InvalidOptionError, match="mode and mtime"):
        local.put(tree, "t", recursive=True, preserve=("owner",))
    assert not local.exists("t")


def test_empty_folders_are_kept_where_there_are_folders(local, tree):
    """And count as no file."""
    report = local.put(tree, "t", recursive=True)

    assert local.info("t/empty").is_folder
    assert len(report.copied) == 3


def test_a_tree_of_nothing_is_a_folder(local, tree):
    """There and back; nothing else would tell that it was stored."""
    local.put(tree / "empty", "nothing", recursive=True)
    local.get("nothing", tree / "back", recursive=True)

    assert local.info("nothing").is_folder
    assert list((tree / "back").iterdir()) == []


def test_a_tree_of_nothing_is_told_where_there_are_no_folders(tree, s3_like):
    """It is not there afterwards, and the report says why."""
    report = s3_like.put(tree / "empty", "nothing", recursive=True)

    assert [one.reason for one in report.skipped] == ["an empty folder cannot be kept there"]
    assert not s3_like.exists("nothing")


def test_empty_folders_are_told_where_there_are_none(tmp_path, tree, s3_like):
    """A store of keys cannot keep one; the report says so."""
    report = s3_like.put(tree, "t", recursive=True)

    assert [(one.target.rpartition("/")[2], one.reason) for one in report.skipped] == [
        ("empty", "an empty folder cannot be kept there")
    ]


@pytest.fixture
def s3_like(memory):
    """A store that says it has no folders."""
    from dataclasses import replace

    from persistence_fsspec.layers.layer import Layer

    class Flat(Layer):
        @property
        def capabilities(self):
            return replace(self.inner.capabilities, folders=False)

    class WithoutFolders(FSSpecPersistence):
        def wrap(self, store):
            return Flat(store) if store.capabilities.driver == "memory" else store

    return WithoutFolders(memory.url())


def test_an_excluded_empty_folder_is_not_made(local, tree):
    """Patterns hold for folders, too."""
    local.put(tree, "t", recursive=True, exclude="empty/")

    assert not local.exists("t/empty")


def test_mode_and_time_are_kept_on_request(local, tree):
    """As the file system has them."""
    file = tree / "real" / "a.txt"
    file.chmod(0o750)
    os.utime(file, ns=(1_700_000_000_123_456_789, 1_700_000_000_123_456_789))
    local.put(tree / "real", "t", recursive=True, preserve=("mode", "mtime"))

    found = os.stat(local.url("t/a.txt").removeprefix("file://"))
    assert stat.S_IMODE(found.st_mode) == 0o750
    assert abs(found.st_mtime_ns - 1_700_000_000_123_456_789) < 1000


def test_what_cannot_be_kept_is_told(memory, tree, tmp_path):
    """Where a store has no place for it."""
    report = memory.put(tree / "real", "t", recursive=True, preserve=("mode",))

    assert {one.reason for one in report.copied} == {"mode cannot be kept there"}


def test_colliding_names_are_refused(memory, tmp_path):
    """Where the target takes them for one, the second does not replace the first."""
    from dataclasses import replace

    from persistence_fsspec.layers.layer import Layer

    class Insensitive(Layer):
        @property
        def capabilities(self):
            return replace(self.inner.capabilities, case_sensitive=False)

    class Folding(FSSpecPersistence):
        def wrap(self, store):
            return Insensitive(store) if store.capabilities.driver == "memory" else store

    for name in ("Case", "case", "café", "cafe\u0301"):
        (tmp_path / name).write_text(name)
    with pytest.raises(TransferError) as caught:
        Folding(memory.url()).put(tmp_path, "t", recursive=True)

    assert [type(one.error) for one in caught.value.report.failed] == [InvalidNameError] * 2
    assert len(names(memory)) == 2


@pytest.mark.parametrize("target", ["local", "memory"])
def test_a_link_to_what_contains_it_is_told(request, tmp_path, target):
    """It is not entered, for there would be no end, and not passed over in silence."""
    folder = tmp_path / "loop"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "sub" / "up").symlink_to("..")
    report = request.getfixturevalue(target).put(folder, "t", recursive=True)

    assert [(one.source.rpartition("/")[2], one.reason) for one in report.skipped] == [
        ("up", "is a symbolic link to a folder that contains it")
    ]
    assert names(request.getfixturevalue(target)) == ["t/a.txt"]


def test_a_link_to_nowhere_is_called_so(local, tree):
    """And not only "not found"."""
    (tree / "gone").symlink_to("nowhere")
    with pytest.raises(TransferError, match="gone: not found: it is a symbolic link that leads nowhere"):
        local.put(tree, "t", recursive=True)
