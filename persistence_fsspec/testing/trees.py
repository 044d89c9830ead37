"""What `put`, `get` and their kin promise, on any store."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest
from hypothesis import given

from persistence_fsspec.errors import IsAFolderError, ObjectNotFoundError, PersistenceError, TransferError
from persistence_fsspec.persistence import FSSpecPersistence
from persistence_fsspec.testing.gate import Gated, needs
from persistence_fsspec.testing.harness import PART_SIZE, Harness
from persistence_fsspec.testing.strategies import TREES, counted

TREE = {"a.txt": b"a", "sub/b.bin": b"b" * (2 * PART_SIZE + 3), "sub/deep/c": b"c", "empty": b"", "one file.txt": b"1"}


def plant(folder: Path, tree: dict[str, bytes]) -> Path:
    """Make a local tree."""
    for name, data in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def harvest(folder: Path) -> dict[str, bytes]:
    """Read a local tree, partial names included."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class TreeConformance(Gated):
    """Judges `FSSpecPersistence` on one store."""

    @pytest.fixture
    def persistence(self, harness: Harness) -> FSSpecPersistence:
        """The persistence under test."""
        return harness.persistence

    @needs("write")
    def test_put_tree_twice_is_the_same_tree(self, persistence, harness, tmp_path):
        """The contents go into the destination, whether or not it exists; slashes mean nothing."""
        source = plant(tmp_path / "src", TREE)
        first, *others = [persistence.put(f"{source}/", target, recursive=True) for target in ("t", "t/", "t")]

        assert {n: harness.raw_read(n) for n in harness.raw_names()} == {f"t/{n}": d for n, d in TREE.items()}
        assert (len(first.copied), first.bytes) == (len(TREE), sum(map(len, TREE.values())))
        assert all(len(report.copied) + len(report.skipped) == len(TREE) for report in others)

    def test_get_tree_twice_is_the_same_tree(self, persistence, harness, tmp_path):
        """The same rule on the way back; no partial name is left."""
        for name, data in TREE.items():
            harness.raw_write(f"t/{name}", data)
        for target in ("out", "out/"):
            persistence.get("t", f"{tmp_path}/{target}", recursive=True)

        assert harvest(tmp_path / "out") == TREE

    @needs("write")
    @counted(sample=4, full=100)
    @given(tree=TREES)
    def test_every_tree_comes_back(self, harness, tmp_path, tree):
        """There and back again is the same tree."""
        name = f"h-{os.urandom(6).hex()}"
        harness.persistence.put(plant(tmp_path / name / "src", tree), name, recursive=True)
        harness.persistence.get(name, tmp_path / name / "back", recursive=True)

        assert harvest(tmp_path / name / "back") == tree

    @needs("write")
    def test_one_file_goes_into_a_folder(self, persistence, harness, tmp_path):
        """A target that ends in a slash receives the file under its own name."""
        source = plant(tmp_path, {"m.txt": b"m"}) / "m.txt"
        persistence.put(source, "runs/")
        persistence.put(source, "exact")

        assert harness.raw_names() == ["exact", "runs/m.txt"]

    def test_one_file_comes_into_a_folder(self, persistence, harness, tmp_path):
        """An existing local folder, or a slash, receives it under its own name; any other target is the exact name."""
        harness.raw_write("d/m.txt", b"m")
        (tmp_path / "there").mkdir()
        for target in ("there", "new/", "exact"):
            persistence.get("d/m.txt", f"{tmp_path}/{target}")

        assert set(harvest(tmp_path)) == {"there/m.txt", "new/m.txt", "exact"}

    @needs("write")
    def test_a_folder_needs_recursive(self, persistence, harness, tmp_path):
        """Without it, nothing is copied and nothing is silent."""
        source = plant(tmp_path / "src", TREE)

        with pytest.raises(IsADirectoryError):
            persistence.put(source, "t")
        assert harness.raw_names() == []

    def test_get_folder_needs_recursive(self, persistence, harness, tmp_path):
        """The same on the way back."""
        harness.raw_write("t/a", b"a")

        with pytest.raises(IsADirectoryError):
            persistence.get("t", tmp_path / "out")
        assert harvest(tmp_path) == {}

    @needs("write")
    def test_missing_source_is_not_found(self, persistence, tmp_path):
        """By the call, under the builtin's name too."""
        for recursive in (False, True):
            with pytest.raises(FileNotFoundError):
                persistence.put(tmp_path / "nothing", "t", recursive=recursive)

    def test_get_missing_is_not_found(self, persistence, harness, tmp_path):
        """And makes no local file."""
        harness.raw_write("other", b"")
        for recursive in (False, True):
            with pytest.raises(ObjectNotFoundError):
                persistence.get("nothing", tmp_path / "out", recursive=recursive)
        assert harvest(tmp_path) == {}

    @needs("write")
    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
    def test_the_rest_arrives_and_the_error_names_the_lost(self, persistence, harness, tmp_path):
        """What cannot be read is reported, everything else is at its target, and the call raises."""
        source = plant(tmp_path / "src", TREE)
        os.mkfifo(source / "pipe")
        (source / "dangling").symlink_to("nowhere")

        with pytest.raises(TransferError) as caught:
            persistence.put(source, "t", recursive=True)

        report = caught.value.report
        assert {Path(f.source).name for f in report.failed} == {"pipe", "dangling"}
        assert all(f.error is not None for f in report.failed)
        assert harness.raw_names() == sorted(f"t/{n}" for n in TREE)
        assert not isinstance(caught.value, OSError)

    @needs("write")
    def test_put_cut_by_an_exception_leaves_nothing(self, persistence, harness, tmp_path):
        """A progress listener that raises in the middle of a file: neither the file nor a part of it is there."""
        source = plant(tmp_path, {"big": b"x" * (4 * PART_SIZE)}) / "big"

        class Bomb:
            def expect(self, files, n_bytes): ...
            def advance(self, key, n_bytes):
                raise ZeroDivisionError

            def finish(self, key, status): ...
            def close(self): ...

        with pytest.raises(ZeroDivisionError):
            persistence.put(source, "big", progress=Bomb())
        assert harness.raw_names() == []

    def test_failed_get_keeps_the_local_file(self, persistence, harness, tmp_path):
        """A good local copy survives a failed download, and nothing lies beside it."""
        harness.raw_write("k", b"new")
        target = plant(tmp_path, {"k": b"good"}) / "k"

        class Bomb:
            def expect(self, files, n_bytes): ...
            def advance(self, key, n_bytes):
                raise ZeroDivisionError

            def finish(self, key, status): ...
            def close(self): ...

        with pytest.raises(ZeroDivisionError):
            persistence.get("k", target, progress=Bomb())
        assert harvest(tmp_path) == {"k": b"good"}

    @needs("write")
    def test_include_and_exclude_are_patterns(self, persistence, harness, tmp_path):
        """Only what is included, and nothing that is excluded."""
        source = plant(tmp_path / "src", {"a.txt": b"1", "b.log": b"2", "sub/c.txt": b"3", "sub/d.txt": b"4"})
        persistence.put(source, "t", recursive=True, include="*.txt", exclude=["sub/d.*"])

        assert harness.raw_names() == ["t/a.txt", "t/sub/c.txt"]

    @needs("write")
    def test_exists_is_true_false_or_an_error(self, persistence, harness):
        """Files and folders exist; what is absent does not; a name that cannot be is an error."""
        harness.raw_write("d/k", b"1")

        assert persistence.exists("d/k")
        assert persistence.exists("d")
        assert persistence.exists("d/missing") is False
        assert persistence.exists("missing/below") is False
        with pytest.raises(ValueError, match="leave their root"):
            persistence.exists("../outside")

    @needs("write")
    def test_an_exception_in_the_with_block_publishes_nothing(self, persistence, harness):
        """Neither bytes nor text."""
        for mode, data in (("wb", b"half"), ("w", "half")):
            with pytest.raises(ZeroDivisionError), persistence.open("k", mode) as file:  # noqa: PT012 - the block is the point
                file.write(data)
                raise ZeroDivisionError
        assert harness.raw_names() == []

    @needs("write")
    def test_a_file_object_writes_and_reads(self, persistence, harness):
        """Bytes and text, seeking included."""
        with persistence.open("t", "w", encoding="utf-16") as file:
            file.write("Grüße\n")
        with persistence.open("t", "r", encoding="utf-16") as file:
            assert file.read() == "Grüße\n"
        with persistence.open("b", "wb") as file:
            file.write(b"0123456789")
        with persistence.open("b") as file:
            file.seek(-3, os.SEEK_END)
            assert (file.tell(), file.read(2), file.read()) == (7, b"78", b"9")

    def test_listed_names_can_be_handed_back(self, persistence, harness):
        """Keys for a key, URLs for a URL."""
        for name in ("d/a b.txt", "d/e/c.txt"):
            harness.raw_write(name, b"1")

        for folder in ("d", persistence.url("d"), ""):
            for recursive in (False, True):
                names = list(persistence.listdir(folder, recursive))
                assert names
                assert all(persistence.exists(name) for name in names)
            assert all(persistence.read_bytes(info.key) == b"1" for info in persistence.find(folder))

    def test_listing_a_missing_folder_raises_at_the_call(self, persistence, harness):
        """Not at the first item, which nobody may ask for."""
        harness.raw_write("other", b"")
        with pytest.raises(ObjectNotFoundError):
            persistence.listdir("missing")
        with pytest.raises(ObjectNotFoundError):
            persistence.find("missing")

    @needs("write")
    def test_delete_needs_recursive_for_a_folder(self, persistence, harness):
        """And then takes the folder, and nothing beside it."""
        for name in ("d/a", "d/e/b", "dd/c"):
            harness.raw_write(name, b"1")

        with pytest.raises(IsAFolderError):
            persistence.delete("d")
        persistence.delete("d", recursive=True)

        assert harness.raw_names() == ["dd/c"]
        assert not persistence.exists("d")
        with pytest.raises(ObjectNotFoundError):
            persistence.delete("d")
        persistence.delete("d", missing_ok=True)

    @needs("write")
    def test_move_leaves_only_the_new_name(self, persistence, harness):
        """A file and a tree."""
        for name in ("k", "d/a", "d/e/b"):
            harness.raw_write(name, b"1")
        persistence.move("k", "moved/")
        persistence.move("d", "tree", recursive=True)

        assert harness.raw_names() == ["moved/k", "tree/a", "tree/e/b"]

    @needs("write")
    def test_copy_keeps_the_source(self, persistence, harness):
        """A file, a tree, and from one store to another."""
        for name in ("k", "d/a"):
            harness.raw_write(name, b"1")
        persistence.copy("k", "copy")
        persistence.copy("d", "tree", recursive=True)
        persistence.copy("k", f"memory://{harness.folder}/k")

        assert harness.raw_names() == ["copy", "d/a", "k", "tree/a"]
        assert persistence.read_bytes(f"memory://{harness.folder}/k") == b"1"

    @needs("write")
    def test_overwrite_false_keeps_what_is_there(self, persistence, harness, tmp_path):
        """Where the store can promise it; elsewhere the call is refused."""
        source = plant(tmp_path / "src", {"a": b"new", "b": b"new"})
        harness.raw_write("t/a", b"old")

        with pytest.raises(TransferError):
            persistence.put(source, "t", recursive=True, overwrite=False)
        assert harness.raw_read("t/a") == b"old"

    @needs("write")
    def test_readback_is_said_and_done(self, harness, tmp_path):
        """Policy(verify="readback") reads what was written, and the report says so."""
        from dataclasses import replace  # noqa: PLC0415 - only here

        persistence = harness.persistence.child("rb")
        persistence._policy = replace(harness.policy, verify="readback")
        report = persistence.put(plant(tmp_path / "src", TREE), "t", recursive=True)

        assert report.verification == "readback"

    @pytest.mark.skipif(
        sys.platform == "win32" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything"
    )
    @needs("write")
    def test_unreadable_folder_is_reported(self, persistence, tmp_path):
        """A folder that cannot be listed fails by name; the rest arrives."""
        source = plant(tmp_path / "src", {"a": b"1", "closed/b": b"2"})
        (source / "closed").chmod(0)
        try:
            with pytest.raises(TransferError) as caught:
                persistence.put(source, "t", recursive=True)
        finally:
            (source / "closed").chmod(stat.S_IRWXU)

        assert [Path(f.source).name for f in caught.value.report.failed] == ["closed"]

    def test_errors_pickle(self, persistence, harness):
        """They travel between processes, with operation and URL."""
        import pickle  # noqa: PLC0415 - only here

        harness.raw_write("other", b"")
        with pytest.raises(PersistenceError) as caught:
            persistence.read_bytes("missing")
        again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - from this very test

        assert type(again) is type(caught.value)
        assert (str(again), again.operation, again.url) == (str(caught.value), caught.value.operation, caught.value.url)
