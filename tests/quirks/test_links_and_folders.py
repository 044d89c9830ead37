"""Walks over servers of files: links and empty folders."""

from __future__ import annotations

import pytest

from persistence_fsspec.errors import PermissionDeniedError
from tests.quirks.places import places, raw_store


@pytest.fixture
def linked(place):
    """A folder with every kind of link in it, made behind the server's back."""
    top = place._server.files / place.folder / "top"
    (top / "inside").mkdir(parents=True)
    (top / "k").write_bytes(b"1")
    (top.parent / "elsewhere" / "empty").mkdir(parents=True)
    (top.parent / "elsewhere" / "k").write_bytes(b"12345")
    (top / "inside" / "up").symlink_to("..")
    (top / "file").symlink_to("k")
    (top / "folder").symlink_to("../elsewhere")
    (top / "gone").symlink_to("nowhere")
    return top


def found(place, **options):
    cut = len(place.key("top")) + 1
    return {e.key[cut:]: (e.kind, e.link, e.size) for e in place.store.find(place.key("top"), **options)}


@places("paramiko", "sshfs")
def test_links_are_listed_as_what_they_are(place, linked):
    """Each once, none entered; said of it is what it leads to."""
    listed = found(place, links="list")

    assert {name: what[:2] for name, what in listed.items()} == {
        "k": ("file", False),
        "file": ("file", True),
        "folder": ("folder", True),
        "gone": ("file", True),
        "inside/up": ("folder", True),
    }
    assert (listed["file"][2], listed["gone"][2]) == (1, None)


@places("paramiko", "sshfs")
def test_links_are_followed_otherwise(place, linked):
    """But not into the folder around them; those that lead nowhere are listed, as somebody may miss them."""
    assert {name: what[2] for name, what in found(place).items()} == {"k": 1, "file": 1, "folder/k": 5, "gone": None}
    assert "folder/empty" in found(place, folders=True)
    assert "folder/empty" not in found(place, folders=True, links="list")


@places("memory", "ftp", "ftp_list", "webdav", "paramiko", "sshfs")
def test_a_folder_that_cannot_be_listed_is_not_empty(place, monkeypatch):
    """Nobody knows what is in it; who asked is told."""
    place.raw_write("top/k", b"1")
    place.store.make_folder(place.key("top/locked"))
    store = raw_store(place.store)
    real = store._driver.dialect.children

    def children(fs, path):
        if path.endswith("locked"):
            raise PermissionDeniedError("no")
        return real(fs, path)

    monkeypatch.setattr(store._driver.dialect, "children", children, raising=False)
    missed = []

    assert [e.key for e in store.find(place.key("top"), folders=True, on_error=lambda key, _: missed.append(key))] == [
        place.key("top/k")
    ]
    assert missed == [place.key("top/locked")]
