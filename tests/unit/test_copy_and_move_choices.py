"""copy() and move() take what put() and get() take: overwrite, include, exclude, progress."""

from __future__ import annotations

import uuid

import pytest

from persistence_fsspec import FSSpecPersistence, ObjectExistsError, TransferError


class Counting:
    """Remembers what it is told."""

    def __init__(self):
        self.files, self.bytes, self.finished, self.closed = 0, 0, [], 0

    def expect(self, files, n_bytes):
        self.files += files

    def advance(self, key, n_bytes):
        self.bytes += n_bytes

    def finish(self, key, status):
        self.finished.append(status)

    def close(self):
        self.closed += 1


@pytest.fixture(params=["memory", "local"])
def persistence(request, tmp_path):
    return FSSpecPersistence(f"memory://{uuid.uuid4().hex}" if request.param == "memory" else tmp_path / "store")


@pytest.fixture
def tree(persistence):
    for name, data in {"d/a.csv": b"aa", "d/b.txt": b"b", "d/sub/c.csv": b"ccc"}.items():
        persistence.write_bytes(name, data)
    return persistence


def test_a_copy_takes_only_what_is_included_and_not_excluded(tree):
    """gitignore patterns, relative to the source."""
    report = tree.copy("d", "e", recursive=True, include="*.csv", exclude=["sub/"])

    assert len(report.copied) == 1
    assert list(tree.listdir("e", recursive=True)) == ["e/a.csv"]


def test_a_copy_replaces_nothing_unless_it_may(tree):
    """Of a tree what can go goes; a single file is one error."""
    tree.write_bytes("e/a.csv", b"kept")
    with pytest.raises(TransferError) as caught:
        tree.copy("d", "e", recursive=True, overwrite=False)

    assert [type(file.error) for file in caught.value.report.failed] == [ObjectExistsError]
    assert tree.read_bytes("e/a.csv") == b"kept"
    assert tree.read_bytes("e/sub/c.csv") == b"ccc"
    with pytest.raises(ObjectExistsError):
        tree.copy("d/a.csv", "e/a.csv", overwrite=False)


def test_a_copy_tells_its_progress(tree):
    """Files, bytes, outcomes, and the end."""
    listener = Counting()
    tree.copy("d", "e", recursive=True, progress=listener)

    assert (listener.files, listener.bytes, listener.finished, listener.closed) == (3, 6, ["copied"] * 3, 1)


def test_a_move_deletes_only_what_it_copied(tree):
    """What the patterns leave out stays where it is."""
    tree.move("d", "e", recursive=True, include="*.csv")

    assert sorted(tree.listdir("d", recursive=True)) == ["d/b.txt"]
    assert sorted(tree.listdir("e", recursive=True)) == ["e/a.csv", "e/sub/c.csv"]


def test_a_move_replaces_nothing_unless_it_may(tree):
    """Also where the store could rename, which replaces; the source stays."""
    tree.write_bytes("x", b"kept")
    with pytest.raises(ObjectExistsError):
        tree.move("d/a.csv", "x", overwrite=False)

    assert tree.read_bytes("x") == b"kept"
    assert tree.read_bytes("d/a.csv") == b"aa"


def test_a_move_that_need_not_replace_moves(tree):
    """overwrite=False is no obstacle to a free name."""
    tree.move("d/a.csv", "free", overwrite=False)

    assert tree.read_bytes("free") == b"aa"
    assert not tree.exists("d/a.csv")


@pytest.mark.parametrize("recursive", [True, False])
def test_a_move_tells_its_progress(tree, recursive):
    """Also when it only renames."""
    listener = Counting()
    tree.move("d" if recursive else "d/a.csv", "e" if recursive else "f", recursive=recursive, progress=listener)

    assert set(listener.finished) == {"copied"}
    assert listener.closed == 1


def test_a_filtered_move_keeps_links_that_it_left_out(tmp_path):
    """A link to a folder is not what was copied."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.csv").write_bytes(b"x")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.txt").write_bytes(b"a")
    (tmp_path / "d" / "link").symlink_to(tmp_path / "elsewhere")
    FSSpecPersistence(tmp_path).move("d", "e", recursive=True, exclude="*.csv")

    assert (tmp_path / "d" / "link" / "x.csv").read_bytes() == b"x"
    assert [path.name for path in (tmp_path / "e").rglob("*")] == ["a.txt"]
