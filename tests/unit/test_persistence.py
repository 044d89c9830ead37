"""The adapter itself, where no store matters."""

from __future__ import annotations

import copy
import json
import pickle
import threading
import uuid

import fsspec
import pytest

from persistence_fsspec import (
    DataPersistence,
    DataPersistencePlugins,
    FSSpecPersistence,
    InvalidOptionError,
    ObjectNotFoundError,
    PermissionDeniedError,
    Policy,
    TransferError,
    UnsupportedPersistenceOp,
)
from tests.unit.test_unknown_driver import private_memory


@pytest.fixture
def persistence():
    return FSSpecPersistence(f"memory://unit-{uuid.uuid4().hex}")


def test_embedded_default_lies_in_the_working_folder(tmp_path, monkeypatch):
    """It appears at the first write, and git does not see it."""
    monkeypatch.chdir(tmp_path)
    persistence = FSSpecPersistence()
    assert list(persistence.listdir()) == []
    assert not persistence.exists("k")
    assert list(tmp_path.iterdir()) == []

    persistence.write_bytes("k", b"1")
    assert (tmp_path / ".persistence" / ".gitignore").read_text() == "*\n"
    assert list(persistence.listdir()) == ["k"]


def test_the_embedded_default_stays_where_it_was(tmp_path, monkeypatch):
    """Changing the working folder later does not move it."""
    monkeypatch.chdir(tmp_path)
    persistence = FSSpecPersistence()
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    persistence.write_bytes("k", b"1")

    assert list((tmp_path / "other").iterdir()) == []


@pytest.mark.parametrize(
    ("prefix", "add_protocol", "add_prefix", "names", "expected"),
    [
        ("memory://raw", False, True, ("0af", "c.bin"), "memory://raw/0af/c.bin"),
        ("memory://raw/", True, True, ("0af",), "memory://raw/0af"),
        ("s3://b", True, True, ("a", "b"), "s3://b/a/b"),
        ("s3://b/p", True, False, ("c", "d"), "s3://c/d"),
        ("s3://b/p", False, False, ("c", "d"), "c/d"),
        ("/data", False, True, ("k",), "/data/k"),
        ("/data", True, True, ("k",), "file:///data/k"),
        ("file:///data", False, True, ("k",), "file:///data/k"),
        ("memory://", False, True, ("k",), "memory://k"),
    ],
)
def test_construct_path(prefix, add_protocol, add_prefix, names, expected):
    """Names are joined with one slash, and the protocol stands in front once."""
    assert FSSpecPersistence(prefix).construct_path(add_protocol, add_prefix, *names) == expected


def test_the_whole_data_persistence_contract(persistence, tmp_path):
    """A framework that knows only the base class can work with us."""
    assert isinstance(persistence, DataPersistence)
    assert persistence.name == "fsspec"
    assert persistence.default_prefix.startswith("memory://")
    (tmp_path / "f").write_bytes(b"1")
    persistence.put(str(tmp_path / "f"), persistence.construct_path(False, True, "k"), recursive=False)
    assert persistence.exists(persistence.construct_path(False, True, "k"))
    persistence.get(persistence.construct_path(False, True, "k"), str(tmp_path / "g"), recursive=False)
    assert (tmp_path / "g").read_bytes() == b"1"
    assert list(persistence.listdir("", recursive=True)) == ["k"]


def test_the_base_class_refuses_what_it_cannot():
    """By the name that frameworks catch."""
    with pytest.raises(UnsupportedPersistenceOp):
        DataPersistence("plain").listdir("x")


def test_put_onto_itself_is_a_no_op(tmp_path):
    """As with Flyte's disk persistence."""
    (tmp_path / "f").write_bytes(b"1")
    report = FSSpecPersistence(tmp_path).put(tmp_path / "f", str(tmp_path / "f"))

    assert [f.status for f in report.files] == ["skipped"]
    assert (tmp_path / "f").read_bytes() == b"1"


def test_a_tree_into_itself_is_refused(tmp_path):
    """It would never end."""
    (tmp_path / "d").mkdir()
    with pytest.raises(ValueError, match="contain itself"):
        FSSpecPersistence(tmp_path).put(tmp_path / "d", tmp_path / "d" / "e", recursive=True)


def test_a_child_is_a_persistence_below(persistence):
    """With the same options and promises."""
    child = persistence.child("a/b")
    child.write_bytes("k", b"1")

    assert persistence.read_bytes("a/b/k") == b"1"
    assert child.url("k") == persistence.url("a/b/k")
    assert type(child) is type(persistence)
    with pytest.raises(ValueError, match="leave their root"):
        child.read_bytes("../secret")


def test_it_copies_and_pickles(persistence):
    """Neither holds a connection."""
    persistence.write_bytes("k", b"1")

    assert pickle.loads(pickle.dumps(persistence)).read_bytes("k") == b"1"
    assert copy.deepcopy(persistence).read_bytes("k") == b"1"


def test_a_ready_filesystem_is_wrapped():
    """Every promise holds for an instance the caller made, and it is the one that is used."""
    fs = private_memory()
    persistence = FSSpecPersistence("memory://box", filesystem=fs)
    persistence.write_bytes("k", b"1")

    assert fs.cat_file("/box/k") == b"1"
    assert persistence.read_bytes("memory://box/k") == b"1"
    assert not FSSpecPersistence("memory://box").exists("k")
    assert FSSpecPersistence(filesystem=fs).read_bytes("box/k") == b"1"


def test_a_ready_filesystem_needs_no_configuration_file(tmp_path, monkeypatch):
    """Nor do local paths beside it, so a broken file harms nobody there; who names a profile wants the file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "persistence.toml").write_text("no table [")
    (tmp_path / "f").write_bytes(b"1")
    fs = fsspec.filesystem("memory", skip_instance_cache=True)
    persistence = FSSpecPersistence(filesystem=fs)
    persistence.put(tmp_path / "f", "memory://ready/x")
    persistence.get("memory://ready/x", tmp_path / "g")

    assert (tmp_path / "g").read_bytes() == b"1"
    for reads in (FSSpecPersistence("memory://ready"), FSSpecPersistence(filesystem=fs, profile="p")):
        with pytest.raises(InvalidOptionError, match=r"persistence\.toml"):
            reads.put(tmp_path / "f", "memory://ready/y")


def test_an_asynchronous_filesystem_is_refused():
    """It would wait for a loop that nobody runs."""
    pytest.importorskip("aiohttp")
    fs = fsspec.filesystem("http", asynchronous=True, skip_instance_cache=True)
    with pytest.raises(InvalidOptionError, match="asynchronous"):
        FSSpecPersistence("http://127.0.0.1:1/x", filesystem=fs).exists("k")


def test_ranges_count_from_the_end_too(persistence):
    """As in slices."""
    persistence.write_bytes("k", b"0123456789")

    assert persistence.read_bytes("k", start=-3) == b"789"
    assert persistence.read_bytes("k", start=2, end=-2) == b"234567"
    assert persistence.read_bytes("k", start=5, end=2) == b""
    assert persistence.read_bytes("k", start=0, end=0) == b""


def test_write_bytes_takes_what_is_a_buffer(persistence):
    """And says what to do with text."""
    persistence.write_bytes("k", memoryview(bytearray(b"12")))

    assert persistence.read_bytes("k") == b"12"
    with pytest.raises(TypeError, match="encode"):
        persistence.write_bytes("k", "text")


@pytest.mark.parametrize("name", ["", "d/"])
def test_an_object_needs_a_name(persistence, name):
    """A folder's name is not one."""
    with pytest.raises(IsADirectoryError):
        persistence.write_bytes(name, b"1")


def test_the_root_of_a_store_is_never_deleted():
    """However it is asked for."""
    with pytest.raises(ValueError, match="never deleted"):
        FSSpecPersistence("memory://").delete("", recursive=True)


def test_concurrent_instances_share_connections():
    """Flyte makes an adapter per call; stores are made once."""
    one, two = (FSSpecPersistence("memory://shared", policy=Policy()) for _ in range(2))

    assert one.store_and_key("k")[0] is two.store_and_key("k")[0]


def test_a_report_is_told_in_every_form(persistence, tmp_path):
    """One line, JSON and HTML say the same, and escape what they show."""
    name = "<b>x<b>.txt"
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / name).write_bytes(b"12345")
    report = persistence.put(tmp_path / "src", "t", recursive=True)

    assert "1 copied, 5 bytes" in repr(report)
    assert "\n" not in repr(report)
    told = json.loads(report.to_json())
    assert told["schema"] == 1
    assert (told["copied"], told["bytes"], told["files"][0]["status"]) == (1, 5, "copied")
    assert told["files"][0]["digest"].startswith("crc32c:")
    assert "<b>x" not in report._repr_html_()
    assert pickle.loads(pickle.dumps(report)) == report


def test_a_failed_transfer_pickles_with_its_report(persistence, tmp_path):
    """It may be raised in a worker and caught elsewhere."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "bad").symlink_to("nowhere")
    with pytest.raises(TransferError) as caught:
        persistence.put(tmp_path / "src", "t", recursive=True)
    again = pickle.loads(pickle.dumps(caught.value))

    assert [f.status for f in again.report.files] == ["failed"]
    assert isinstance(again.report.failed[0].error, ObjectNotFoundError)


class Recorder:
    def __init__(self):
        self.files = self.bytes = self.moved = self.done = 0
        self.closed = False
        self.threads = set()

    def expect(self, files, n_bytes):
        self.files += files
        self.bytes += n_bytes

    def advance(self, key, n_bytes):
        self.moved += n_bytes
        self.threads.add(threading.get_ident())

    def finish(self, key, status):
        self.done += 1

    def close(self):
        self.closed = True


def test_progress_adds_up(persistence, tmp_path):
    """What was expected has moved, and the listener is closed."""
    for i in range(20):
        (tmp_path / f"f{i}").write_bytes(b"x" * i)
    progress = Recorder()
    persistence.put(tmp_path, "t", recursive=True, progress=progress)

    assert (progress.files, progress.done) == (20, 20)
    assert progress.bytes == progress.moved == sum(range(20))
    assert progress.closed


def test_an_fsspec_callback_is_progress(persistence, tmp_path):
    """It counts bytes, not files."""
    (tmp_path / "f").write_bytes(b"x" * 1000)
    callback = fsspec.Callback()
    persistence.put(tmp_path / "f", "k", progress=callback)

    assert (callback.size, callback.value) == (1000, 1000)


def test_true_draws_something(persistence, tmp_path, capsys):
    """With rich a bar, without it plain lines; the call succeeds either way."""
    (tmp_path / "f").write_bytes(b"x" * 1000)

    assert persistence.put(tmp_path / "f", "k", progress=True).copied


def test_an_odd_progress_is_refused_before_any_damage(persistence, tmp_path):
    """By name."""
    (tmp_path / "f").write_bytes(b"x")
    with pytest.raises(InvalidOptionError, match="progress=42"):
        persistence.put(tmp_path / "f", "k", progress=42)
    assert not persistence.exists("k")


@pytest.mark.parametrize(("field", "value"), [("verify", "maybe"), ("concurrency", 0), ("part_size", 1)])
def test_a_policy_refuses_what_makes_no_sense(field, value):
    """And names the field."""
    with pytest.raises(InvalidOptionError, match=field):
        Policy(**{field: value})


def test_a_policy_is_a_policy():
    """Not something that looks like one until it is used."""
    with pytest.raises(InvalidOptionError, match="must be a Policy"):
        FSSpecPersistence("memory://x", policy={"verify": "size"})


@pytest.mark.parametrize("mode", ["wb", "w"])
def test_closing_in_finally_publishes_nothing_after_an_exception(persistence, mode):
    """Many libraries close their files that way."""
    persistence.write_bytes("k", b"old")
    with pytest.raises(ZeroDivisionError):
        file = persistence.open("k", mode)
        try:
            file.write("half" if mode == "w" else b"half")
            raise ZeroDivisionError
        finally:
            file.close()

    assert persistence.read_bytes("k") == b"old"


def test_errors_name_what_was_asked_for(persistence, tmp_path):
    """The caller's operation, not the first request it takes."""
    asked = {
        "read": lambda: persistence.read_bytes("nope"),
        "open": lambda: persistence.open("nope"),
        "get": lambda: persistence.get("nope", tmp_path / "x"),
        "move": lambda: persistence.move("nope", "other"),
        "copy": lambda: persistence.copy("nope", "other"),
        "put": lambda: persistence.put(tmp_path / "nope", "k"),
        "delete": lambda: persistence.delete("nope"),
        "list": lambda: persistence.listdir("nope"),
    }
    for operation, act in asked.items():
        with pytest.raises(ObjectNotFoundError) as caught:
            act()
        assert caught.value.operation == operation


def test_modes_are_checked(persistence):
    """Before anything is opened."""
    with pytest.raises(InvalidOptionError, match="rw"):
        persistence.open("k", "rw")
    with pytest.raises(InvalidOptionError, match="no encoding"):
        persistence.open("k", "rb", encoding="utf-8")


def test_a_dropped_file_warns_and_publishes_nothing(persistence):
    """Forgetting close() is said, not hidden."""
    file = persistence.open("k", "wb")
    file.write(b"half")
    with pytest.warns(ResourceWarning, match="nothing was published"):
        del file
    assert not persistence.exists("k")


# --- the registry -----------------------------------------------------------------


class Custom(DataPersistence):
    """Knows only Flyte's five operations."""

    calls: list = []

    def exists(self, path):
        self.calls.append(("exists", path))
        return True

    def put(self, from_path, to_path, recursive=False):
        self.calls.append(("put", from_path, to_path, recursive))

    def get(self, from_path, to_path, recursive=False):
        self.calls.append(("get", from_path, to_path, recursive))


class Tenant(FSSpecPersistence):
    """Overrides both points that a subclass may."""

    seen: list = []

    def options_for(self, url):
        self.seen.append(url)
        return {}

    def wrap(self, store):
        self.seen.append("wrap")
        return store


@pytest.fixture
def registered():
    names = []

    def register(protocol, cls, **more):
        DataPersistencePlugins.register_plugin(protocol, cls, **more)
        names.append(protocol)

    yield register
    for name in names:
        DataPersistencePlugins.unregister_plugin(name)


def test_a_registered_class_serves_its_protocol(registered, persistence, tmp_path):
    """A URL of a protocol with another class goes through that class."""
    registered("cf://", Custom)
    Custom.calls.clear()
    assert persistence.exists("cf://x")
    persistence.put(tmp_path, "cf://x", recursive=True)
    persistence.get("cf://x", tmp_path)

    assert [call[0] for call in Custom.calls] == ["exists", "put", "get"]
    assert DataPersistencePlugins.find_plugin("cf://x") is Custom
    with pytest.raises(UnsupportedPersistenceOp, match="five operations"):
        persistence.read_bytes("cf://x")


def test_registering_twice(registered):
    """The same class is a no-op, another needs force."""
    registered("cf", Custom)
    registered("cf://", Custom)
    with pytest.raises(TypeError, match="force=True"):
        DataPersistencePlugins.register_plugin("cf", Tenant)
    registered("cf", Tenant, force=True)

    assert DataPersistencePlugins.find_plugin("cf://x") is Tenant


def test_a_subclass_speaks_for_its_protocol(registered, persistence):
    """With its own options and layers."""
    registered("memory", Tenant)
    Tenant.seen.clear()
    name = persistence.url("k")
    persistence.write_bytes(name, b"1")

    assert persistence.read_bytes(name) == b"1"
    assert "wrap" in Tenant.seen
    assert any(str(url).startswith("memory://") for url in Tenant.seen)


def test_a_dotted_name_is_loaded_when_needed(registered):
    """So that registering loads nothing."""
    registered("cf", "persistence_fsspec.persistence.FSSpecPersistence")

    assert DataPersistencePlugins.find_plugin("cf://x") is FSSpecPersistence


def test_every_protocol_of_fsspec_is_supported():
    """With and without the slashes."""
    for protocol in fsspec.available_protocols():
        assert DataPersistencePlugins.is_supported_protocol(protocol)
        assert DataPersistencePlugins.is_supported_protocol(f"{protocol}://")
        assert DataPersistencePlugins.find_plugin(f"{protocol}://x") is FSSpecPersistence
    assert not DataPersistencePlugins.is_supported_protocol("nope://")


def test_the_embedded_default_follows_no_link(tmp_path, monkeypatch):
    """A repository that was cloned does not decide where data goes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "victim").mkdir()
    (tmp_path / ".persistence").mkdir()
    (tmp_path / ".persistence" / "data").symlink_to(tmp_path / "victim")

    with pytest.raises(PermissionDeniedError, match="is a link"):
        FSSpecPersistence().write_bytes("authorized_keys", b"x")
    assert list((tmp_path / "victim").iterdir()) == []


def test_a_working_folder_that_is_gone_matters_only_where_it_is_used(tmp_path, monkeypatch):
    """A URL needs none."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    assert FSSpecPersistence("memory://x").url("k") == "memory://x/k"
