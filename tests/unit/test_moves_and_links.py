"""Deleting and moving: nothing goes that was not meant, whatever the spelling."""

from __future__ import annotations

import contextlib
import os
import tempfile
import uuid
import zipfile

import pytest

from persistence_fsspec import ConflictError, FSSpecPersistence, TransferError


@pytest.fixture(params=["memory", "local"])
def persistence(request, tmp_path):
    return FSSpecPersistence(f"memory://{uuid.uuid4().hex}" if request.param == "memory" else tmp_path / "store")


@pytest.fixture
def linked(tmp_path):
    """A store with a tree in it, and a link in the tree that leads out."""
    (tmp_path / "important" / "sub").mkdir(parents=True)
    (tmp_path / "important" / "sub" / "data").write_bytes(b"precious")
    (tmp_path / "store" / "tree").mkdir(parents=True)
    (tmp_path / "store" / "tree" / "own").write_bytes(b"1")
    (tmp_path / "store" / "tree" / "link").symlink_to(tmp_path / "important")
    return tmp_path


def test_deleting_a_tree_deletes_links_not_what_they_lead_to(linked):
    """As rm does."""
    FSSpecPersistence(linked / "store").delete("tree", recursive=True)

    assert os.listdir(linked / "store") == []
    assert (linked / "important" / "sub" / "data").read_bytes() == b"precious"


def test_deleting_a_link_deletes_the_link(linked):
    """With recursive or without."""
    (linked / "store" / "latest").symlink_to("tree")
    persistence = FSSpecPersistence(linked / "store")
    persistence.delete("latest", recursive=True)

    assert persistence.read_bytes("tree/own") == b"1"
    assert not persistence.exists("latest")


def test_a_dangling_link_can_be_deleted(tmp_path):
    """It is listed, so it can be handed back."""
    (tmp_path / "gone").symlink_to("nowhere")
    persistence = FSSpecPersistence(tmp_path)
    assert list(persistence.listdir()) == ["gone"]
    persistence.delete("gone")

    assert list(persistence.listdir()) == []


def test_moving_a_tree_keeps_what_its_links_lead_to(linked):
    """Their content is copied, the links go, the rest of the world stays."""
    persistence = FSSpecPersistence(linked / "store")
    persistence.move("tree", "moved", recursive=True)

    assert persistence.read_bytes("moved/link/sub/data") == b"precious"
    assert (linked / "important" / "sub" / "data").read_bytes() == b"precious"
    assert not persistence.exists("tree")


def test_links_in_a_circle_end(tmp_path):
    """A link to itself fails by itself, a link to its own folder is not followed, the rest arrives."""
    source = tmp_path / "src"
    source.mkdir()
    (source / "good").write_bytes(b"1")
    (source / "loop").symlink_to("loop")
    (source / "self").symlink_to(".")
    persistence = FSSpecPersistence(f"memory://{uuid.uuid4().hex}")
    with pytest.raises(TransferError) as caught:
        persistence.put(source, "t", recursive=True)

    assert [os.path.basename(f.source) for f in caught.value.report.failed] == ["loop"]
    assert list(persistence.listdir("t")) == ["t/good"]


@pytest.mark.parametrize(("source", "target"), [("a/x", "a/x"), ("a/x", "a/"), ("y", ""), ("y", "y")])
def test_moving_a_file_onto_itself_keeps_it(persistence, source, target):
    """However the target is spelled."""
    persistence.write_bytes(source, b"precious")
    report = persistence.move(source, target)

    assert [f.status for f in report.files] == ["skipped"]
    assert persistence.read_bytes(source) == b"precious"


def test_moving_a_tree_onto_itself_through_a_link_keeps_it(tmp_path):
    """Two paths of one folder."""
    (tmp_path / "real" / "d").mkdir(parents=True)
    (tmp_path / "real" / "d" / "x").write_bytes(b"precious")
    (tmp_path / "link").symlink_to("real")
    FSSpecPersistence(tmp_path).move("real/d", "link/d", recursive=True)

    assert (tmp_path / "real" / "d" / "x").read_bytes() == b"precious"


def test_moving_one_of_two_hard_links_leaves_the_other(tmp_path):
    """The system's own rename would leave both."""
    (tmp_path / "a").write_bytes(b"1")
    os.link(tmp_path / "a", tmp_path / "b")
    FSSpecPersistence(tmp_path).move("a", "b")

    assert os.listdir(tmp_path) == ["b"]


def test_two_addresses_of_one_store_are_noticed(persistence):
    """A subclass that wraps its stores looks like two stores; an alias of the host looks like two servers."""

    class Wrapping(FSSpecPersistence):
        def wrap(self, store):
            return type("Layer", (), {"__getattr__": lambda _, name: getattr(store, name)})()

    wrapping = Wrapping(persistence.url())
    wrapping.write_bytes("y", b"precious")
    wrapping.move("y", "")

    assert wrapping.read_bytes("y") == b"precious"


def test_a_move_up_into_its_own_parents_loses_nothing(persistence):
    """A name that would overwrite a part of the source is reported, and everything is still there."""
    persistence.write_bytes("a/b/x", b"outer")
    persistence.write_bytes("a/b/b/x", b"inner")
    with pytest.raises(TransferError, match="part of the source"):
        persistence.move("a/b", "a", recursive=True)

    assert persistence.read_bytes("a/b/x") == b"outer"
    assert persistence.read_bytes("a/b/b/x") == b"inner"


def test_a_source_that_changed_after_it_was_copied_stays():
    """What somebody else wrote meanwhile was never copied."""
    persistence = FSSpecPersistence(f"memory://{uuid.uuid4().hex}")
    persistence.write_bytes("d/a", b"v1")

    class Meddler:
        def expect(self, files, n_bytes): ...
        def listed(self): ...
        def advance(self, key, n_bytes): ...
        def finish(self, key, status):
            persistence.write_bytes("d/a", b"v2 by somebody else")

        def close(self): ...

    with pytest.MonkeyPatch.context() as patch, pytest.raises(TransferError) as caught:
        patch.setattr("persistence_fsspec.transferring.as_progress", lambda _: Meddler())
        persistence.move("d", "e", recursive=True)

    assert isinstance(caught.value.report.failed[0].error, ConflictError)
    assert persistence.read_bytes("d/a") == b"v2 by somebody else"
    assert persistence.read_bytes("e/a") == b"v1"


def test_an_archive_is_never_stale(tmp_path):
    """A new version of the file is what is read, and nothing stays open."""
    archive = tmp_path / "a.zip"
    persistence = FSSpecPersistence(f"zip://::{archive.as_uri()}")
    for content in (b"old", b"newer"):
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("k", content)
        assert persistence.read_bytes("k") == content
    assert not persistence.exists("other")


def test_a_password_is_in_no_name_we_hand_out():
    """Frameworks log prefixes and paths."""
    persistence = FSSpecPersistence("ftp://me:hunter2@host/x")

    for text in (persistence.default_prefix, persistence.construct_path(False, True, "k"), repr(persistence)):
        assert "hunter2" not in text
        assert "me@host/x" in text


def test_nothing_of_a_missing_object_is_an_error(persistence):
    """An empty range is not an excuse."""
    with pytest.raises(FileNotFoundError):
        persistence.read_bytes("missing", start=0, end=0)


@pytest.mark.parametrize(("link", "to"), [("b/x", "../a/x"), ("b/d", "../a/d")])
def test_a_target_that_links_to_the_source_is_no_proof_of_a_copy(tmp_path, link, to):
    """The same file under two names is equal to itself, and would be gone under both."""
    for name in ("a/x", "a/d/y", "b/other"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / link).symlink_to(to)
    with contextlib.suppress(TransferError):  # the second: what was copied onto itself has changed, and stays
        FSSpecPersistence(tmp_path).move(tmp_path / "a", tmp_path / "b", recursive=True)

    assert (tmp_path / "b" / "x").read_bytes() == b"a/x"
    assert (tmp_path / "b" / "d" / "y").read_bytes() == b"a/d/y"


def test_a_file_that_moves_to_another_device_keeps_its_mode_and_time(tmp_path):
    """As it does where renaming is all there is to do."""
    elsewhere = "/dev/shm"
    if not os.path.isdir(elsewhere) or os.stat(elsewhere).st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("there is no other device")
    (tmp_path / "run").write_bytes(b"#!")
    os.chmod(tmp_path / "run", 0o750)
    os.utime(tmp_path / "run", (1_000_000_000,) * 2)
    with tempfile.TemporaryDirectory(dir=elsewhere) as folder:
        FSSpecPersistence(tmp_path).move(tmp_path / "run", f"{folder}/run")
        found = os.stat(f"{folder}/run")

    assert (found.st_mode & 0o777, found.st_mtime) == (0o750, 1_000_000_000)


@pytest.mark.server("s3")
def test_of_a_folder_that_shares_its_name_with_an_object_the_contents_move(s3_server):
    """They go from where they were, and the object stays."""
    store = FSSpecPersistence(f"{s3_server.url}/{uuid.uuid4().hex}", storage_options=s3_server.storage_options)
    for name in ("a", "a/b"):
        store.write_bytes(name, name.encode())
    store.move("a", "to", recursive=True)

    assert sorted(store.listdir(recursive=True)) == ["a", "to/b"]


def test_a_move_leaves_a_link_that_leads_in_a_circle(tmp_path):
    """It was not copied, so it is not deleted, and the report tells of it."""
    source = tmp_path / "src"
    (source / "sub").mkdir(parents=True)
    (source / "a").write_text("a")
    (source / "sub" / "up").symlink_to("..")
    report = FSSpecPersistence(tmp_path / "store").move(source, "t", recursive=True)

    assert (source / "sub" / "up").is_symlink()
    assert not (source / "a").exists()
    assert [one.reason for one in report.skipped] == ["is a symbolic link to a folder that contains it"]
