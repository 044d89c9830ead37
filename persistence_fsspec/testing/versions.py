"""What every store promises of old versions, and of what unfinished writes leave; one sentence a test."""

from __future__ import annotations

import pytest

from persistence_fsspec.errors import IsAFolderError, ObjectNotFoundError
from persistence_fsspec.store import ObjectInfo, Store
from persistence_fsspec.stores.partial import partial_key
from persistence_fsspec.testing.gate import Gated, needs
from persistence_fsspec.testing.harness import Harness


class VersionConformance(Gated):
    """A part of `StoreConformance`."""

    @needs("write", "versions", live=True)
    def test_a_snapshot_keeps_what_was_there(self, store: Store, harness: Harness) -> None:
        """It is found by name, newest first, and read by range, whatever becomes of the object."""
        key = harness.key("d/k")
        harness.raw_write("d/k", b"first")
        first = store.snapshot(key)
        harness.raw_write("d/k", b"second version")
        second = store.snapshot(key)
        store.delete(key)

        assert [info.version_id for info in store.versions(key)] == [second.version_id, first.version_id]
        assert [_content(store, info) for info in store.versions(key)] == [b"second version", b"first"]
        assert store.read(key, 2, 4, pin=first) == b"rs"
        assert {(info.key, info.size) for info in (first, second)} == {(key, 5), (key, 14)}

    @needs("write", "versions", live=True)
    def test_a_snapshot_is_listed_nowhere(self, store: Store, harness: Harness) -> None:
        """Neither in its folder, nor among all files."""
        harness.raw_write("d/k", b"1")
        store.snapshot(harness.key("d/k"))

        assert [info.key for info in store.children(harness.key("d"))] == [harness.key("d/k")]
        assert [info.key for info in store.find(harness.key("d"))] == [harness.key("d/k")]

    @needs("write", "versions")
    def test_what_is_not_there_has_no_versions(self, store: Store, harness: Harness) -> None:
        """That is an error; a folder is another one."""
        harness.raw_write("d/k", b"1")
        for act in (store.snapshot, store.versions):
            with pytest.raises(ObjectNotFoundError):
                act(harness.key("missing"))
            with pytest.raises(IsAFolderError):
                act(harness.key("d"))

    @needs("write", live=True)
    def test_leftovers_are_found_and_discarded(self, store: Store, harness: Harness) -> None:
        """What carries our mark is; what is finished stays."""
        name = partial_key("d/k")
        harness.raw_write("d/other", b"done")
        harness.raw_write(name, b"half")
        (found,) = store.leftovers(harness.key("d"))
        store.discard(found)
        store.discard(found)

        assert (found.kind, found.key, found.ours) == ("partial", harness.key(name), True)
        assert harness.raw_names() == ["d/other"]


def _content(store: Store, info: ObjectInfo) -> bytes:
    return b"".join(store.stream(info.key, pin=info))
