"""lakeFS, against a stand-in that answers as its API says: what the driver does there, and nothing of a real server."""

from __future__ import annotations

import pytest

from persistence_fsspec import FSSpecPersistence
from persistence_fsspec.errors import InvalidNameError, ObjectNotFoundError, TruncatedError
from tests.quirks.places import places


@places("lakefs")
@pytest.mark.quirk("lakefs-prefixes")
def test_deleting_one_object_leaves_those_whose_names_begin_alike(place):
    """And one that is missing is an error."""
    for name in ("a/ab", "a/abc", "a/ab/c", "a/ab-2"):
        place.raw_write(name, b"1")

    place.persistence.delete("a/ab")

    assert place.raw_names() == ["a/ab-2", "a/ab/c", "a/abc"]
    with pytest.raises(ObjectNotFoundError):
        place.persistence.delete("a/a")


@places("lakefs")
@pytest.mark.quirk("lakefs-prefixes")
def test_a_folder_is_listed_by_its_whole_name(place):
    """Not those that begin alike; what others wrote is seen; what is missing is an error."""
    place.raw_write("dd/x", b"1")
    for act in (place.persistence.info, place.persistence.listdir, place.persistence.find):
        with pytest.raises(ObjectNotFoundError):
            act("d")

    place.raw_write("d/y", b"22")
    assert list(place.persistence.listdir()) == ["d", "dd"]
    place.raw_write("d/z/1", b"333")

    assert sorted(place.persistence.listdir("d")) == ["d/y", "d/z"]
    assert {info.key: info.size for info in place.persistence.find("d")} == {"d/y": 2, "d/z/1": 3}
    assert place.persistence.info("d").is_folder


@pytest.mark.server("lakefs")
@pytest.mark.quirk("lakefs-prefixes")
def test_roots_are_listed(lakefs_server):
    """That of a branch, and of a repository, whose folders are its branches; a branch that is missing is an error."""
    pytest.importorskip("lakefs_spec")
    lakefs_server.raw_write("at-the-root", b"1")
    p = FSSpecPersistence("lakefs://lake", storage_options=lakefs_server.storage_options)

    assert "main" in list(p.listdir())
    assert "main/at-the-root" in list(p.listdir("main"))
    assert p.info("main").is_folder
    for act in (p.info, p.listdir):
        with pytest.raises(ObjectNotFoundError):
            act("no-such-branch")
    lakefs_server.raw_delete("at-the-root")


@places("lakefs")
@pytest.mark.quirk("lakefs-names")
def test_a_name_with_a_line_break_is_refused(place):
    """It would be cut off there."""
    with pytest.raises(InvalidNameError):
        place.persistence.write_bytes("line\nfeed", b"1")

    assert place.raw_names() == []


@places("lakefs")
def test_less_than_was_sent_is_an_error(place, monkeypatch):
    """Of servers that say they are done."""
    from lakefs_spec import LakeFSFileSystem

    pipe = LakeFSFileSystem.pipe_file
    monkeypatch.setattr(LakeFSFileSystem, "pipe_file", lambda fs, path, value, **more: pipe(fs, path, value[:2], **more))

    with pytest.raises(TruncatedError, match="2 bytes stand there of 5"):
        place.persistence.write_bytes("k", b"12345")
