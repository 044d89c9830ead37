"""Drivers that have no server here: the real classes, as far as they go without a network."""

from __future__ import annotations

import contextlib
import io
import json
import uuid
from dataclasses import replace
from types import SimpleNamespace
from urllib.parse import parse_qs, unquote, urlsplit

import fsspec
import pytest
from fsspec.implementations.dirfs import DirFileSystem

from persistence_fsspec import FSSpecPersistence, Policy
from persistence_fsspec.errors import (
    FolderNotEmptyError,
    InvalidNameError,
    IsAFolderError,
    ObjectExistsError,
    ObjectNotFoundError,
    PersistenceError,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.foreign import classify
from persistence_fsspec.stores import connections
from persistence_fsspec.stores.connections import Connections
from persistence_fsspec.stores.dialects import dialect_for
from persistence_fsspec.stores.partial import MARK
from persistence_fsspec.stores.quirks import refusal, traits
from tests.quirks.places import in_fork, instance_of, put, store_of


def refused(driver, name, *, writing):
    """Whether a driver may not see a name."""
    capabilities, habits = traits(driver)
    return refusal(name, habits, capabilities, writing=writing) is not None


@pytest.fixture(autouse=True)
def forget_who_was_used(monkeypatch):
    """What these tests use is not what the rest of the session uses."""
    monkeypatch.setattr(connections, "_used", set())


# --- forks ---


def _connections(driver, **more):
    capabilities = replace(traits(driver)[0], driver=f"{driver}-in-this-test")
    return Connections(object, capabilities, heals=True, alive=lambda fs, seconds: True, **more)


def _refuses(made):
    try:
        made.acquire()
    except UnsupportedPersistenceOp as exc:
        return "spawn" in exc.hint
    return False


@pytest.mark.quirk("fork-hangs")
@pytest.mark.parametrize("driver", ["smb", "hdfs-native", "pyarrow"])
def test_a_driver_used_before_a_fork_is_refused_in_the_child(driver):
    """With the way out in the message; the parent goes on with its instance."""
    made = _connections(driver)
    mine = made.acquire()

    assert in_fork(lambda: _refuses(made)) == "yes"
    assert made.acquire() is mine


@pytest.mark.quirk("fork-hangs")
@pytest.mark.parametrize("driver", ["smb", "hdfs-native", "pyarrow"])
def test_a_fresh_instance_does_not_help_the_child(driver):
    """Nor do other options: what hangs is process-wide."""
    _connections(driver).acquire()

    assert in_fork(lambda: _refuses(_connections(driver))) == "yes"


@pytest.mark.quirk("fork-hangs")
@pytest.mark.parametrize("driver", ["smb", "hdfs-native", "pyarrow"])
def test_an_instance_the_caller_made_counts_as_used(driver):
    """Nobody knows what the parent did with it; its child would make another, and hang."""
    made = _connections(driver, ready=object())

    assert in_fork(lambda: _refuses(made)) == "yes"


@pytest.mark.quirk("fork-hangs")
@pytest.mark.parametrize("driver", ["smb", "hdfs-native", "pyarrow"])
def test_a_driver_first_used_in_the_child_works_there(driver):
    """A worker that is forked before the first use may use it, but not fork again."""
    made = _connections(driver)

    def child():
        return made.acquire() is not None and in_fork(lambda: _refuses(made)) == "yes"

    assert in_fork(child) == "yes"


@pytest.mark.quirk("fork-async")
@pytest.mark.parametrize("driver", ["s3fs", "gcsfs", "adlfs", "sshfs", "http"])
def test_a_child_makes_an_async_instance_of_its_own(driver):
    """The inherited one is neither used nor closed."""
    made = _connections(driver)
    mine = made.acquire()

    assert in_fork(lambda: made.acquire() is not mine) == "yes"
    assert made.acquire() is mine


# --- smb ---


@pytest.fixture
def smb():
    """A real instance that has not connected."""
    smb = pytest.importorskip("fsspec.implementations.smb")
    return smb.SMBFileSystem("host", port=5026, register_session_retries=-1, skip_instance_cache=True)


@pytest.fixture
def smb_calls(monkeypatch):
    """What is asked of smbclient; nothing is sent."""
    smbclient = pytest.importorskip("smbclient")
    calls = []
    for name in ("open_file", "replace", "rename", "remove", "rmdir"):
        monkeypatch.setattr(smbclient, name, lambda *a, _name=name, **k: calls.append((_name, a, k)))
    return calls


@pytest.mark.quirk("smb-sharing")
def test_smb_files_are_opened_shared(smb_calls):
    """For reading and for writing, unless the caller says otherwise."""
    quiet = {"register_session_retries": -1}
    for asked, expected in (({}, "rwd"), ({"share_access": "r"}, "r")):
        store, _ = FSSpecPersistence("smb://host/share", storage_options={**quiet, **asked}).store_and_key()
        fs = instance_of(store)
        fs.open("/share/k", "rb")
        fs.open("/share/k", "wb")
        assert [call[2]["share_access"] for call in smb_calls] == [expected, expected]
        smb_calls.clear()


@pytest.mark.quirk("smb-publish")
def test_smb_replaces_by_its_clients_own_call(smb, smb_calls):
    """With the flag that replaces, on the server's port."""
    dialect_for("smb").replace(smb, "/share/d/part", "/share/d/k")

    assert smb_calls == [("replace", ("\\\\host\\share\\d\\part", "\\\\host\\share\\d\\k"), {"port": 5026})]
    assert traits("smb")[0].publish == "swap"
    assert traits("smb")[0].pin == "weak"


@pytest.mark.quirk("smb-create")
def test_smb_exclusive_creation_is_a_rename_that_refuses(smb, monkeypatch):
    """An existing name is an ObjectExistsError; other failures stay what they are."""
    from smbprotocol.exceptions import SMBOSError

    dialect = dialect_for("smb")
    for status, error in ((0xC0000035, ObjectExistsError), (0xC0000022, SMBOSError)):

        def rename(source, target, _status=status, **more):
            raise SMBOSError(_status, target)

        monkeypatch.setattr("smbclient.rename", rename)
        with pytest.raises(error):
            dialect.rename_new(smb, "/share/part", "/share/k")


@pytest.mark.quirk("smb-errors")
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (0xC0000034, "ObjectNotFoundError"),
        (0xC000003A, "ObjectNotFoundError"),
        (0xC0000035, "ObjectExistsError"),
        (0xC0000022, "PermissionDeniedError"),
        (0xC0000043, "ThrottledError"),
        (0xC0000101, "FolderNotEmptyError"),
    ],
)
def test_smb_errors_are_told_apart_by_their_status(status, expected):
    """A missing file is no FileNotFoundError there, and a sharing violation may be tried again."""
    exceptions = pytest.importorskip("smbprotocol.exceptions")
    foreign = exceptions.SMBOSError(status, "k")
    found = classify(foreign)

    assert not isinstance(foreign, FileNotFoundError)
    assert found is not None
    assert found.__name__ == expected
    assert found.retryable == (status == 0xC0000043)


@pytest.mark.quirk("smb-errors")
def test_smb_a_refused_connection_is_a_connection_error(dead_port):
    """The client calls it a ValueError."""
    pytest.importorskip("smbprotocol")
    login = {"username": "a", "password": "b"}
    p = FSSpecPersistence(f"smb://127.0.0.1:{dead_port}/share", storage_options=login, policy=Policy(attempts=1))

    with pytest.raises(ConnectionError):
        p.exists("k")


@pytest.mark.quirk("smb-delete-folder")
def test_smb_deleting_a_folder_as_a_file_is_refused(smb, smb_calls, monkeypatch):
    """Also an empty one, which the driver would remove."""
    monkeypatch.setattr("smbclient.stat", lambda path, **more: SimpleNamespace(st_mode=0o40755, st_size=0, st_uid=0, st_gid=0, st_atime=0.0, st_mtime=0.0))  # fmt: skip

    with pytest.raises(IsAFolderError):
        store_of("smb", smb, base="/share").delete("d")
    assert smb_calls == []


@pytest.mark.quirk("smb-names")
@pytest.mark.parametrize("name", ["a?", "a*", "a:b", "a\\b", "a<b", "a>b", "a|b", 'a"b', "a\nb", "a\x01"])
def test_smb_names_the_protocol_cannot_say_are_refused(name):
    """For reading too."""
    assert refused("smb", name, writing=True)
    assert refused("smb", f"{name}/k", writing=False)


@pytest.mark.quirk("smb-names")
@pytest.mark.parametrize("name", ["a ", "a.", "d /k", "d./k", "CON", "con", "nul.txt", "d/COM1", "lpt9.tar.gz", "aux/k"])
def test_smb_names_that_windows_alters_are_refused_in_writes(name):
    """What somebody else managed to store can still be read."""
    assert refused("smb", name, writing=True)
    assert not refused("smb", name, writing=False)


@pytest.mark.quirk("smb-names")
@pytest.mark.parametrize("name", ["a b", ".hidden", "a.b", "console", "com", "nully.txt", "100%", "a#b", "ü", "x" * 255])
def test_smb_other_names_are_allowed(name):
    """And differ in more than case."""
    assert not refused("smb", name, writing=True)
    assert refused("smb", "x" * 256, writing=True)
    assert traits("smb")[0].case_sensitive is False


@pytest.mark.quirk("smb-credentials")
def test_smb_other_credentials_are_another_store():
    """What the driver shares behind our back, we do not share as well."""
    stores = [
        FSSpecPersistence(
            "smb://host/share", storage_options={"username": "me", "password": secret, "register_session_retries": -1}
        ).store_and_key()[0]
        for secret in ("one", "two", "one")
    ]

    assert stores[0] is not stores[1]
    assert instance_of(stores[0]) is not instance_of(stores[1])
    assert stores[0] is stores[2]
    assert "one" not in repr(stores[0])


# --- hdfs-native ---


class Recorder:
    """Stands for a driver's instance: every call is noted and answered by *answers*, or by None."""

    def __init__(self, **answers):
        self.calls, self._answers = [], answers

    def __getattr__(self, name):
        def call(*args, **kwargs):
            answer = self._answers.get(name)
            if name != "invalidate_cache":
                self.calls.append((name, args, kwargs))
            if isinstance(answer, Exception):
                raise answer
            return answer(*args) if callable(answer) else answer

        return call


def hdfs_info(path, **more):
    return {"name": path, "size": 3, "type": "file", "modification_time": 1_700_000_000_123, **more}


@pytest.mark.quirk("hdfs-publish")
def test_hdfs_replaces_in_one_call():
    """On the NameNode."""
    fs = Recorder()
    dialect_for("hdfs-native").replace(fs, "/d/part", "/d/k")

    assert fs.calls == [("mv", ("/d/part", "/d/k"), {"overwrite": True})]


@pytest.mark.quirk("hdfs-publish")
def test_hdfs_version_is_time_and_size():
    """In milliseconds; another time or another size is another version."""
    describe = dialect_for("hdfs-native").describe
    found = describe(hdfs_info("/k"))

    assert found.modified is not None
    assert found.modified.timestamp() == 1_700_000_000.123
    assert found.version == describe(hdfs_info("/k")).version
    assert found.version != describe(hdfs_info("/k", modification_time=1_700_000_000_124)).version
    assert found.version != describe(hdfs_info("/k", size=4)).version
    assert describe(hdfs_info("/d", type="directory")).is_folder


@pytest.mark.quirk("hdfs-publish")
def test_hdfs_a_new_name_in_a_missing_folder_makes_the_folder():
    """Which the NameNode does for a new file only."""
    made = []

    def mv(source, target):
        if not made:
            raise FileNotFoundError("rename destination parent /base/new not found")

    def info(path):
        if path == "/base/new" and not made:
            raise FileNotFoundError(path)
        return hdfs_info(path, type="directory" if path in {"/base", "/base/new"} else "file")

    fs = Recorder(mv=mv, info=info, makedirs=made.append)
    store_of("hdfs-native", fs).rename("k", "new/k")

    assert made == ["/base/new"]
    assert fs.calls[-1] == ("mv", ("/base/k", "/base/new/k"), {"overwrite": True})


@pytest.mark.quirk("hdfs-create")
def test_hdfs_exclusive_creation_is_a_move_that_refuses():
    """The first one wins; there is no overwriting."""
    fs = Recorder(mv=FileExistsError("/d/k"))

    with pytest.raises(ObjectExistsError):
        dialect_for("hdfs-native").rename_new(fs, "/d/part", "/d/k")
    assert fs.calls == [("mv", ("/d/part", "/d/k"), {})]


@pytest.mark.quirk("hdfs-names")
@pytest.mark.parametrize("name", ["a#b", "a?b", "a;b", "a:b", "a\nb", "a\tb", "a\rb", "d#/k"])
def test_hdfs_names_that_would_be_cut_are_refused(name):
    """For reading and for writing: the driver would touch another file."""
    assert refused("hdfs-native", name, writing=True)
    assert refused("hdfs-native", name, writing=False)


@pytest.mark.quirk("hdfs-names")
@pytest.mark.parametrize("name", ["a b", " a", "a ", "100%", "%41", "a&b", "a=b", "a[1]", "a*", "ü", "日本語", "a@b", "~"])
def test_hdfs_other_names_reach_the_client_as_they_are(name):
    """By the driver's own treatment of a path."""
    driver = pytest.importorskip("hdfs_native.fsspec").HdfsFileSystem
    dialect = dialect_for("hdfs-native")
    path = dialect.join(dialect.root_path(driver, "hdfs://host:9000", {}), f"d/{name}")

    assert not refused("hdfs-native", name, writing=True)
    assert driver._strip_protocol(path) == f"/d/{name}"


@pytest.mark.quirk("hdfs-options")
def test_hdfs_options_may_be_numbers_and_booleans():
    """The real client takes them all; connecting is for later."""
    pytest.importorskip("hdfs_native")
    options = {"dfs.replication": 2, "dfs.client.use.datanode.hostname": True, "use_listings_cache": False}
    p = FSSpecPersistence("hdfs://127.0.0.1:1/data", storage_options=options)
    fs = instance_of(p.store_and_key()[0])

    assert p.capabilities().driver == "hdfs-native"
    assert (fs.host, fs.port) == ("127.0.0.1", 1)


@pytest.mark.quirk("hdfs-copy")
def test_hdfs_does_not_offer_its_own_copy():
    """Which always fails; transfers inside the store go through us."""
    assert traits("hdfs-native")[0].copy is False


@pytest.mark.quirk("hdfs-errors")
@pytest.mark.parametrize("kind", [RuntimeError, OSError])
@pytest.mark.parametrize(
    ("java", "expected"),
    [
        ("org.apache.hadoop.security.AccessControlException", "PermissionDeniedError"),
        ("org.apache.hadoop.fs.FileAlreadyExistsException", "ObjectExistsError"),
        ("org.apache.hadoop.fs.PathIsNotEmptyDirectoryException", "FolderNotEmptyError"),
        ("org.apache.hadoop.fs.ParentNotDirectoryException", "NotAFolderError"),
        ("org.apache.hadoop.hdfs.protocol.QuotaExceededException", "StorageFullError"),
        ("org.apache.hadoop.hdfs.server.namenode.SafeModeException", "ThrottledError"),
        ("java.io.FileNotFoundException", "ObjectNotFoundError"),
    ],
)
def test_hdfs_errors_are_told_apart_by_the_java_class(kind, java, expected):
    """In whatever Python error it arrives."""
    found = classify(kind(f"RPC error: {java}: something happened"))

    assert found is not None
    assert found.__name__ == expected


@pytest.mark.quirk("s3-delete-missing")
@pytest.mark.parametrize("driver", ["hdfs-native", "webhdfs"])
def test_hdfs_deleting_what_is_missing_is_an_error(driver):
    """The driver says nothing, so the object is looked at first; nothing is deleted."""
    fs = Recorder(info=FileNotFoundError("/base/k"))
    fs.session = SimpleNamespace(hooks={"response": []})

    with pytest.raises(ObjectNotFoundError):
        store_of(driver, fs).delete("k")
    assert [call[0] for call in fs.calls] == ["info"]


@pytest.mark.quirk("s3-delete-missing")
@pytest.mark.parametrize("driver", ["hdfs-native", "webhdfs"])
def test_hdfs_deleting_a_folder_as_a_file_is_refused(driver):
    """Whatever it holds."""
    fs = Recorder(info=lambda path: hdfs_info(path, type="directory"))
    fs.session = SimpleNamespace(hooks={"response": []})

    with pytest.raises(IsAFolderError):
        store_of(driver, fs).delete("d")
    assert [call[0] for call in fs.calls] == ["info"]


# --- pyarrow ---


@pytest.fixture
def arrow(tmp_path):
    """The real wrapper, over pyarrow's local filesystem in place of libhdfs, which would make missing folders by itself."""
    pytest.importorskip("pyarrow")
    from fsspec.implementations.arrow import ArrowFSWrapper
    from pyarrow.fs import LocalFileSystem

    (tmp_path / "d" / "e").mkdir(parents=True)
    return store_of("pyarrow", ArrowFSWrapper(LocalFileSystem()), base=str(tmp_path))


def tree(folder):
    """Names and contents, partial ones included."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.quirk("arrow-publish")
def test_arrow_replaces_by_a_swap(arrow, tmp_path):
    """The old file is there until commit, the new one afterwards, and nothing is left aside."""
    put(arrow, "d/k", b"old")
    writer = arrow.writer("d/k")
    writer.write(b"x" * 200_000)
    assert (tmp_path / "d" / "k").read_bytes() == b"old"
    writer.commit()

    assert tree(tmp_path) == {"d/k": b"x" * 200_000}
    assert arrow.read("d/k", 3, 7) == b"xxxx"
    assert [e.key for e in arrow.find("")] == ["d/k"]


@pytest.mark.quirk("arrow-publish")
def test_arrow_the_old_file_comes_back_when_the_new_one_cannot_go_in(arrow, tmp_path, monkeypatch):
    """It is never deleted first."""
    put(arrow, "k", b"old")
    fs = instance_of(arrow)
    real = fs.mv

    def mv(source, target, **more):
        if target.endswith("/k") and ".part" in source:
            assert not (tmp_path / "k").exists()
            raise OSError(5, "Input/output error")
        real(source, target, **more)

    monkeypatch.setattr(fs, "mv", mv)
    with pytest.raises(PersistenceError):
        put(arrow, "k", b"new")

    assert tree(tmp_path) == {"k": b"old"}


@pytest.mark.quirk("arrow-publish")
def test_arrow_the_next_write_repairs_a_swap_that_was_cut_off(arrow, tmp_path):
    """A run killed between the two steps leaves the old file aside, hidden; then everything is in order again."""
    put(arrow, "k", b"old")
    fs, dialect = instance_of(arrow), dialect_for("pyarrow")
    moved = []

    class KilledAfterOne:
        def __getattr__(self, name):
            return getattr(fs, name)

        def mv(self, source, target):
            if moved:
                raise KeyboardInterrupt  # the process is gone: nothing is put back
            moved.append(target)
            fs.mv(source, target)

    (tmp_path / f"{MARK}x.part").write_bytes(b"new")
    with pytest.raises(KeyboardInterrupt):
        dialect.replace(KilledAfterOne(), str(tmp_path / f"{MARK}x.part"), str(tmp_path / "k"))
    assert list(arrow.find("")) == []
    assert b"old" in tree(tmp_path).values()
    (tmp_path / f"{MARK}x.part").unlink()

    put(arrow, "k", b"newer")
    assert tree(tmp_path) == {"k": b"newer"}


@pytest.mark.quirk("arrow-create")
def test_arrow_exclusive_writing_is_refused(arrow, tmp_path):
    """Better no promise than a broken one."""
    with pytest.raises(UnsupportedPersistenceOp):
        arrow.writer("k", overwrite=False)
    with pytest.raises(UnsupportedPersistenceOp):
        dialect_for("pyarrow").rename_new(None, "/a", "/b")
    assert tree(tmp_path) == {}


@pytest.mark.quirk("arrow-rmdir")
def test_arrow_a_full_folder_is_not_removed(arrow, tmp_path):
    """The driver would take the tree with it; an empty folder goes."""
    put(arrow, "d/e/k", b"1")
    for folder in ("d", "d/e"):
        with pytest.raises(FolderNotEmptyError):
            arrow.delete_folder(folder)
    assert tree(tmp_path) == {"d/e/k": b"1"}

    arrow.delete("d/e/k")
    arrow.delete_folder("d/e")
    assert not (tmp_path / "d" / "e").exists()


@pytest.mark.quirk("arrow-rmdir")
def test_arrow_deleting_hits_files_that_are_there(arrow, tmp_path):
    """A missing one is not found, a folder is a folder."""
    put(arrow, "d/k", b"1")

    with pytest.raises(ObjectNotFoundError):
        arrow.delete("d/missing")
    with pytest.raises(IsAFolderError):
        arrow.delete("d")
    assert tree(tmp_path) == {"d/k": b"1"}


@pytest.mark.quirk("arrow-names")
@pytest.mark.parametrize("name", ["a:b", "🦆", "d/a🦆b", "hdfs://host/k"])
def test_arrow_names_that_are_altered_are_refused(arrow, tmp_path, name):
    """For reading and for writing."""
    for act in (arrow.writer, arrow.read, arrow.delete, arrow.info):
        with pytest.raises(InvalidNameError):
            act(name)
    assert tree(tmp_path) == {}


@pytest.mark.quirk("arrow-names")
@pytest.mark.parametrize("name", ["a b", " a", "a#b?c", "a;b", "100%", "ü", "日本語", "a*[b]"])
def test_arrow_other_names_are_kept(arrow, tmp_path, name):
    """Written, listed, read and deleted as they are."""
    put(arrow, f"d/{name}", b"odd")

    assert tree(tmp_path) == {f"d/{name}": b"odd"}
    assert [e.key for e in arrow.find("d")] == [f"d/{name}"]
    assert arrow.read(f"d/{name}") == b"odd"
    arrow.delete(f"d/{name}")
    assert tree(tmp_path) == {}


@pytest.mark.quirk("ssh-append")
def test_arrow_append_passes_the_driver(arrow, monkeypatch):
    """pyarrow's local filesystem cannot append, so only the call is looked at."""
    opened = []
    monkeypatch.setattr(instance_of(arrow), "open", lambda path, mode: opened.append((path, mode)) or io.BytesIO())
    arrow.append("k", b"more")

    assert [(path.rpartition("/")[2], mode) for path, mode in opened] == [("k", "ab")]


# --- webhdfs ---


class NameNode:
    """Answers requests without a network: ``answers[op]`` is a status and a body, or a function of the path."""

    def __init__(self, **answers):
        self.calls, self._answers = [], answers

    def send(self, request, **more):
        import requests

        parts = urlsplit(request.url)
        query = {k: v[0] for k, v in parse_qs(parts.query).items()}
        path = unquote(parts.path).removeprefix("/webhdfs/v1")
        op = query.pop("op")
        query.pop("user.name", None)
        self.calls.append((request.method, op, path, query))
        answer = self._answers[op]
        status, body = answer(path) if callable(answer) else answer
        response = requests.Response()
        response.status_code, response._content, response.request, response.url = (
            status,
            json.dumps(body).encode(),
            request,
            request.url,
        )
        return response

    def close(self):
        pass


def java(name, message="something happened", status=403):
    return status, {"RemoteException": {"exception": name, "javaClassName": f"x.{name}", "message": message}}


MISSING = java("FileNotFoundException", status=404)
YES, NO = (200, {"boolean": True}), (200, {"boolean": False})


def status(kind="FILE", **more):
    return 200, {"FileStatus": {"type": kind, "length": 3, "modificationTime": 1_700_000_000_123, "fileId": 7, **more}}


def webhdfs(**answers):
    """The real driver and a store over it; and the NameNode that both talk to."""
    pytest.importorskip("requests")
    from fsspec.implementations.webhdfs import WebHDFS

    fs, node = WebHDFS("namenode.invalid", port=1, user="me", skip_instance_cache=True), NameNode(**answers)
    fs.session.mount("http://", node)
    return store_of("webhdfs", fs), fs, node


@pytest.mark.quirk("webhdfs-publish")
def test_webhdfs_replaces_with_overwrite():
    """In one request, whose failure arrives."""
    store, _, node = webhdfs(RENAME=(200, {}), GETFILESTATUS=status())
    store.rename("part", "k")

    assert node.calls[-1] == ("PUT", "RENAME", "/base/part", {"destination": "/base/k", "renameoptions": "OVERWRITE"})
    broken, _, _ = webhdfs(RENAME=java("SafeModeException"), GETFILESTATUS=status())
    with pytest.raises(PersistenceError):
        broken.rename("part", "k")


@pytest.mark.quirk("webhdfs-publish")
def test_webhdfs_version_is_the_file_itself():
    """Each creation has an id of its own, so an equal rewrite is another version."""
    versions = {
        webhdfs(GETFILESTATUS=status(**more))[0].info("k").version for more in ({}, {"fileId": 8}, {"modificationTime": 1})
    }

    assert len(versions) == 3
    assert None not in versions


@pytest.mark.quirk("webhdfs-create")
def test_webhdfs_exclusive_creation_looks_at_the_answer():
    """False means that the name is taken; and nothing is overwritten."""
    dialect = dialect_for("webhdfs")
    _, fs, node = webhdfs(RENAME=YES)
    dialect.rename_new(fs, "/base/part", "/base/k")
    assert node.calls == [("PUT", "RENAME", "/base/part", {"destination": "/base/k"})]

    _, fs, _ = webhdfs(RENAME=NO)
    with pytest.raises(ObjectExistsError):
        dialect.rename_new(fs, "/base/part", "/base/k")


@pytest.mark.quirk("webhdfs-append")
def test_webhdfs_append_is_refused():
    """Nothing is asked of the server."""
    store, _, node = webhdfs()

    with pytest.raises(UnsupportedPersistenceOp):
        store.append("k", b"more")
    assert node.calls == []


@pytest.mark.quirk("webhdfs-rmdir")
def test_webhdfs_an_empty_folder_is_really_removed():
    """Without recursion, so that nothing goes with it."""
    store, _, node = webhdfs(
        LISTSTATUS=(200, {"FileStatuses": {"FileStatus": []}}), GETFILESTATUS=status("DIRECTORY"), DELETE=YES
    )
    store.delete_folder("d")

    assert node.calls[-1] == ("DELETE", "DELETE", "/base/d", {"recursive": "false"})


@pytest.mark.quirk("webhdfs-rmdir")
def test_webhdfs_a_full_folder_is_refused():
    """By us who look, and by the server when somebody was quicker."""
    full = (200, {"FileStatuses": {"FileStatus": [{"type": "FILE", "length": 1, "pathSuffix": "k"}]}})
    store, _, node = webhdfs(LISTSTATUS=full, DELETE=YES)
    with pytest.raises(FolderNotEmptyError):
        store.delete_folder("d")
    assert "DELETE" not in [call[1] for call in node.calls]

    empty = (200, {"FileStatuses": {"FileStatus": []}})
    store, _, _ = webhdfs(LISTSTATUS=empty, GETFILESTATUS=status("DIRECTORY"), DELETE=java("PathIsNotEmptyDirectoryException"))
    with pytest.raises(FolderNotEmptyError):
        store.delete_folder("d")


@pytest.mark.quirk("webhdfs-errors")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("FileNotFoundException", "ObjectNotFoundError"),
        ("AccessControlException", "PermissionDeniedError"),
        ("FileAlreadyExistsException", "ObjectExistsError"),
        ("ParentNotDirectoryException", "NotAFolderError"),
        ("QuotaExceededException", "StorageFullError"),
        ("SafeModeException", "ThrottledError"),
        ("StandbyException", "ConnectionFailedError"),
        ("NobodyKnowsThisException", "StoreError"),
    ],
)
def test_webhdfs_the_java_exception_decides(name, expected):
    """Which the driver drops; a given instance served by two stores is looked at once."""
    store, fs, _ = webhdfs(GETFILESTATUS=java(name))
    again = store_of("webhdfs", fs)

    for each in (store, again):
        with pytest.raises(PersistenceError) as caught:
            each.info("k")
        assert type(caught.value).__name__ == expected
    assert len(fs.session.hooks["response"]) == 1


@pytest.mark.quirk("webhdfs-read-folder")
@pytest.mark.parametrize("span", [(None, None), (0, 5)])
def test_webhdfs_reading_a_folder_is_refused(span):
    """The server's empty answer is not taken for an empty file."""
    store, _, node = webhdfs(GETFILESTATUS=status("DIRECTORY"))

    with pytest.raises(IsAFolderError):
        store.read("d", *span)
    assert {call[1] for call in node.calls} == {"GETFILESTATUS"}


@pytest.mark.quirk("webhdfs-names")
@pytest.mark.parametrize("name", ["a:b", "a%20b", "%2F", "100%", "e\u0301", "d/a\u0308/k"])
def test_webhdfs_names_the_server_alters_are_refused(name):
    """For reading and for writing; nothing is asked of the server."""
    store, _, node = webhdfs()

    for act in (store.writer, store.read, store.delete, store.info):
        with pytest.raises(InvalidNameError):
            act(name)
    assert node.calls == []


@pytest.mark.quirk("webhdfs-names")
@pytest.mark.parametrize("name", ["a b", "a#b", "a?b", "a;b", "a+b", "a&b", "é", "日本語", "a[1]*", "a=b", "a\\b"])
def test_webhdfs_other_names_reach_the_server_as_they_are(name):
    """By the driver's own quoting."""
    store, _, node = webhdfs(GETFILESTATUS=status())
    store.info(f"d/{name}")

    assert [call[2] for call in node.calls] == [f"/base/d/{name}"]


# --- others ---


@pytest.mark.quirk("lakefs-publish")
def test_lakefs_conditions_and_append_are_refused():
    """A check on the client is no condition; nothing is asked of the driver."""
    fs = Recorder()
    store = store_of("lakefs", fs, base="repository/main")

    for act in (
        lambda: store.writer("k", overwrite=False),
        lambda: store.writer("k", if_match="etag"),
        lambda: store.append("k", b"more"),
    ):
        with pytest.raises(UnsupportedPersistenceOp):
            act()
    assert fs.calls == []
    assert traits("lakefs")[0].threads == "shared"


@pytest.mark.quirk("listing-cache")
@pytest.mark.parametrize(
    ("module", "url", "options"),
    [
        ("s3fs", "s3://bucket", {"key": "a", "secret": "b"}),
        ("gcsfs", "gs://bucket", {"token": "anon"}),
        ("adlfs", "abfs://container", {"account_name": "account", "account_key": "a2V5"}),
    ],
)
def test_the_listing_cache_is_off_unless_it_is_asked_for(module, url, options):
    """In the instances we make."""
    pytest.importorskip(module)
    plain = instance_of(FSSpecPersistence(url, storage_options=options).store_and_key()[0])
    asked = instance_of(FSSpecPersistence(url, storage_options={**options, "use_listings_cache": True}).store_and_key()[0])

    assert (plain.dircache.use_listings_cache, asked.dircache.use_listings_cache) == (False, True)


class Sweeper(DirFileSystem):
    """Deletes whatever it is told to, and never complains."""

    def rm_file(self, path):
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm(self._join(path), recursive=True)


@pytest.mark.quirk("unmeasured-delete")
def test_what_an_unmeasured_driver_deletes_is_looked_at():
    """What is missing is an error, and a folder stays."""
    folder = Sweeper(path=f"/{uuid.uuid4().hex}", fs=fsspec.filesystem("memory"))
    persistence = FSSpecPersistence("dir://", filesystem=folder)
    persistence.write_bytes("d/k", b"1")

    with pytest.raises(ObjectNotFoundError):
        persistence.delete("nothing")
    with pytest.raises(IsAFolderError):
        persistence.delete("d")
    assert persistence.read_bytes("d/k") == b"1"
    persistence.delete("d/k")
    assert not persistence.exists("d/k")
