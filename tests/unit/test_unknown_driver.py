"""A driver nobody has measured: slow and careful, never wrong."""

from __future__ import annotations

import contextlib
import uuid

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractFileSystem

from persistence_fsspec import (
    FSSpecPersistence,
    InvalidNameError,
    ObjectNotFoundError,
    Policy,
    UnsupportedPersistenceOp,
)


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


HEADS = ["dir", "simplecache", "filecache", "blockcache"]


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("behind", ["memory", "file", pytest.param("s3", marks=pytest.mark.server("s3"))])
def test_chains_read(head, behind, request, tmp_path):
    """A wrapper of fsspec in front of a URL shows what lies behind it, and nothing beside that."""
    if (head, behind) == ("blockcache", "memory"):
        pytest.skip("fsspec's own file in memory has no block size")
    name, options = f"chain-{uuid.uuid4().hex}", {}
    if behind == "memory":
        root = f"memory://{name}"
    elif behind == "file":
        root = (tmp_path / name).as_uri()
    else:
        server = request.getfixturevalue("s3_server")
        root, options = f"{server.url}/{name}", {"s3": server.storage_options}
        server.new_bucket(f"beside-{name[6:20]}").raw_write("k", b"not yours")
    FSSpecPersistence(root, storage_options=options.get("s3")).write_bytes("d/k", b"hello")
    persistence = FSSpecPersistence(f"{head}::{root}", storage_options=options)

    assert persistence.read_bytes("d/k") == b"hello"
    assert persistence.read_bytes(f"{head}::{root}/d/k") == b"hello"
    assert list(persistence.listdir()) == ["d"]
    assert list(persistence.listdir(recursive=True)) == ["d/k"]
    assert not persistence.exists(f"beside-{name[6:20]}/k")


@pytest.mark.server("s3")
@pytest.mark.parametrize("head", HEADS)
def test_a_chain_never_leaves_its_bucket(head, s3_server):
    """What has the name of another bucket is a key."""
    name = f"beside-{uuid.uuid4().hex[:12]}"
    beside = s3_server.new_bucket(name)
    beside.raw_write("k", b"not yours")
    persistence = FSSpecPersistence(f"{head}::{s3_server.url}", storage_options={"s3": s3_server.storage_options})

    assert name not in list(persistence.listdir())
    for act in (persistence.read_bytes, persistence.info):
        with pytest.raises(ObjectNotFoundError):
            act(f"{name}/k")
    with contextlib.suppress(ObjectNotFoundError, UnsupportedPersistenceOp):
        persistence.delete(f"{name}/k")
    assert beside.raw_read("k") == b"not yours"


@pytest.mark.server("s3")
@pytest.mark.parametrize("head", HEADS)
def test_a_chain_tells_what_is_missing(head, s3_server):
    """S3 itself says nothing."""
    url, options = f"{head}::{s3_server.url}/{uuid.uuid4().hex}", {"s3": s3_server.storage_options}

    with pytest.raises(ObjectNotFoundError):
        FSSpecPersistence(url, storage_options=options).delete("nothing")


@pytest.mark.parametrize("url", ["simplecache::s3://bucket//k", "dir::s3://bucket/a//b", "zip://a//b::memory://x.zip"])
def test_a_chain_refuses_names_with_empty_parts(url):
    """It would read another object."""
    with pytest.raises(InvalidNameError):
        FSSpecPersistence("/").read_bytes(url)


def test_a_wrapper_that_is_given_reads():
    """It knows its own root."""
    name = f"chain-{uuid.uuid4().hex}"
    fsspec.filesystem("memory").pipe_file(f"/{name}/k", b"hello")
    wrapped = fsspec.filesystem("dir", path=f"/{name}", fs=fsspec.filesystem("memory"))

    assert FSSpecPersistence("dir://", filesystem=wrapped).read_bytes("k") == b"hello"
