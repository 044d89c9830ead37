"""What every store promises of folders, and of what belongs to a file besides its bytes; one sentence a test."""

from __future__ import annotations

import pytest

from persistence_fsspec.crc32c import crc32c
from persistence_fsspec.errors import NotAFolderError, UnsupportedPersistenceOp
from persistence_fsspec.store import Store
from persistence_fsspec.testing.gate import Gated, needs
from persistence_fsspec.testing.harness import Harness


class FolderConformance(Gated):
    """A part of `StoreConformance`."""

    @needs("write", "folders")
    def test_a_folder_can_be_made(self, store: Store, harness: Harness) -> None:
        """With those above it; and it is listed, described, and fine to make once more."""
        for _ in range(2):
            store.make_folder(harness.key("d/e/f"))

        assert store.info(harness.key("d/e/f")).is_folder
        assert [(e.key, e.kind) for e in store.children(harness.key("d/e"))] == [(harness.key("d/e/f"), "folder")]
        assert list(store.children(harness.key("d/e/f"))) == []

    @needs("write", "folders")
    def test_no_folder_replaces_a_file(self, store: Store, harness: Harness) -> None:
        """Neither at its name, nor below it."""
        harness.raw_write("k", b"precious")

        for name in ("k", "k/below"):
            with pytest.raises(NotAFolderError):
                store.make_folder(harness.key(name))
        assert harness.raw_read("k") == b"precious"

    @needs("write", "!folders")
    def test_no_folder_is_made_where_there_are_none(self, store: Store, harness: Harness) -> None:
        """Names have slashes in them, and that is all."""
        with pytest.raises(UnsupportedPersistenceOp):
            store.make_folder(harness.key("d"))

        assert harness.raw_names() == []

    @needs("write", "folders")
    def test_empty_folders_are_found_on_request(self, store: Store, harness: Harness) -> None:
        """Besides all files; not those that hold something, nor the one that was asked."""
        harness.raw_write("d/k", b"1")
        harness.raw_write("d/full/k", b"1")
        store.make_folder(harness.key("d/empty"))
        store.make_folder(harness.key("d/deep/er"))
        top = harness.key("d")

        everything = sorted((e.key, e.kind) for e in store.find(top, folders=True))
        assert everything == [
            (harness.key("d/deep/er"), "folder"),
            (harness.key("d/empty"), "folder"),
            (harness.key("d/full/k"), "file"),
            (harness.key("d/k"), "file"),
        ]
        assert sorted(e.key for e in store.find(top)) == [harness.key("d/full/k"), harness.key("d/k")]
        assert list(store.find(harness.key("d/empty"), folders=True)) == []

    @needs("write", "folders")
    def test_a_folder_of_leftovers_is_empty(self, store: Store, harness: Harness) -> None:
        """What a killed writer left behind is nothing."""
        harness.raw_write("d/e/.~persist-0123456789ab-00000000.part", b"half")

        assert [(e.key, e.kind) for e in store.find(harness.key("d"), folders=True)] == [(harness.key("d/e"), "folder")]

    @needs("write", "attributes")
    def test_mode_and_time_are_kept(self, store: Store, harness: Harness) -> None:
        """Those that the store says it keeps, as given with the file."""
        given = {name: text for name, text in _ATTRIBUTES.items() if name in store.capabilities.attributes}
        writer = store.writer(harness.key("k"), metadata=given)
        try:
            writer.write(b"hello")
            writer.commit()
        finally:
            writer.abort()

        assert _attributes(store, harness.key("k")) == {name: float(text) for name, text in given.items()}

    @needs("write", "attributes", "parts")
    def test_mode_and_time_are_kept_of_parts(self, store: Store, harness: Harness) -> None:
        """Of an object that arrived in parts, too."""
        given = {name: text for name, text in _ATTRIBUTES.items() if name in store.capabilities.attributes}
        data, size = b"hello", max(5, store.capabilities.part_size_min)
        upload = store.upload(harness.key("k"), size=len(data), part_size=size, metadata=given)
        upload.commit([upload.send(0, data, crc32c(data))], crc32c(data))

        assert harness.raw_read("k") == data
        assert _attributes(store, harness.key("k")) == {name: float(text) for name, text in given.items()}


_ATTRIBUTES = {"mode": "0640", "mtime": "1500000000"}


def _attributes(store: Store, key: str) -> dict[str, float]:
    return {name: float(text) for name, text in store.info(key).metadata.items() if name in _ATTRIBUTES}
