"""A driver nobody has measured: slow and careful, never wrong."""

from __future__ import annotations

import uuid

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractFileSystem

from persistence_fsspec import FSSpecPersistence, Policy, UnsupportedPersistenceOp


def private_memory():
    """A memory of its own, also on an fsspec without ``global_store=False``."""
    return type("PrivateMemory", (MemoryFileSystem,), {"store": {}, "pseudo_dirs": [""]})(skip_instance_cache=True)


class Plain(AbstractFileSystem):
    """Only what every fsspec driver has; moving is the base class's copy and delete."""

    protocol = "plain"
    cachable = False

    def __init__(self, **options):
        super().__init__(**options)
        self.inner = private_memory()

    def ls(self, path, detail=True, **_):
        return self.inner.ls(path, detail=detail)

    def info(self, path, **_):
        return self.inner.info(path)

    def cat_file(self, path, start=None, end=None, **_):
        return self.inner.cat_file(path, start, end)

    def _open(self, path, mode="rb", **_):
        return self.inner._open(path, mode)

    def rm_file(self, path):
        self.inner.rm_file(path)

    def makedirs(self, path, exist_ok=False):
        self.inner.makedirs(path, exist_ok=exist_ok)

    def pipe_file(self, path, value, **_):
        self.inner.pipe_file(path, value)


class Mover(Plain):
    """Moves by itself, and refuses an existing name as several real drivers do."""

    protocol = "mover"

    def mv(self, path1, path2, **_):
        if self.inner.exists(path2):
            raise FileExistsError(path2)
        self.inner.pipe_file(path2, self.inner.cat_file(path1))
        self.inner.rm_file(path1)


def test_without_a_safe_way_writing_is_refused():
    """Readers could see half a file, so the caller must say that this is all right."""
    fs = Plain()
    persistence = FSSpecPersistence("plain://box", filesystem=fs)

    assert persistence.capabilities().publish == "direct"
    with pytest.raises(UnsupportedPersistenceOp, match="allow_direct=True"):
        persistence.write_bytes("k", b"1")
    assert fs.inner.find("") == []


def test_allow_direct_writes_under_the_final_name():
    """And a failed write leaves nothing."""
    persistence = FSSpecPersistence("plain://box", filesystem=Plain(), policy=Policy(allow_direct=True))
    persistence.write_bytes("d/k", b"1")
    with pytest.raises(ZeroDivisionError), persistence.open("half", "wb") as file:
        file.write(b"half")
        raise ZeroDivisionError

    assert persistence.read_bytes("d/k") == b"1"
    assert list(persistence.listdir("", recursive=True)) == ["d/k"]


def test_a_driver_that_moves_is_swapped():
    """The old version waits aside until the new one stands."""
    fs = Mover()
    persistence = FSSpecPersistence("mover://box", filesystem=fs)
    persistence.write_bytes("k", b"old")
    persistence.write_bytes("k", b"new")

    assert persistence.capabilities().publish == "swap"
    assert persistence.read_bytes("k") == b"new"
    assert list(persistence.listdir()) == ["k"]
    assert len(fs.inner.find("")) == 1


def test_a_failed_swap_puts_the_old_version_back():
    """A move that breaks in the middle loses nothing."""
    fs = Mover()
    persistence = FSSpecPersistence("mover://box", filesystem=fs)
    persistence.write_bytes("k", b"old")
    move = fs.mv

    def breaks_in_the_middle(path1, path2, **_):
        if path1.endswith(".part"):
            raise OSError("cut")
        move(path1, path2)

    fs.mv = breaks_in_the_middle
    with pytest.raises(OSError, match="cut"):
        persistence.write_bytes("k", b"new")
    fs.mv = move

    assert persistence.read_bytes("k") == b"old"
    assert list(persistence.listdir()) == ["k"]
    persistence.write_bytes("k", b"newer")
    assert len(fs.inner.find("")) == 1


@pytest.mark.parametrize("head", ["dir", "simplecache"])
def test_chains_read(head, tmp_path):
    """A wrapper of fsspec in front of a URL reads what lies behind it."""
    name = f"chain-{uuid.uuid4().hex}"
    fsspec.filesystem("memory").pipe_file(f"/{name}/k", b"hello")
    persistence = FSSpecPersistence("memory://x")

    if head == "simplecache":
        assert persistence.read_bytes(f"simplecache::memory://{name}/k") == b"hello"
    else:
        wrapped = fsspec.filesystem("dir", path=f"/{name}", fs=fsspec.filesystem("memory"))
        assert FSSpecPersistence("dir://", filesystem=wrapped).read_bytes("k") == b"hello"
