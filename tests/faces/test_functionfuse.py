"""Function Fuse's storage on any URL: each promise, and the format on the disk of the others."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import pickle
import subprocess
import sys
import tempfile
import traceback
import types
import uuid
from collections import OrderedDict
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import ClassVar

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from persistence_fsspec import (
    AuthenticationError,
    FSSpecPersistence,
    InvalidNameError,
    InvalidOptionError,
    IsAFolderError,
    MissingDriverError,
    PersistenceError,
    Policy,
    SecretPicklingError,
    SecretReference,
    UnsupportedPersistenceOp,
    on_event,
    overrides,
)
from persistence_fsspec.faces.functionfuse import (
    FILE_PROTOCOL,
    S3_PROTOCOL,
    FSSpecStorage,
    HDF5Serializer,
    InvalidPickle,
    RayStorage,
    ZarrSerializer,
    install,
    storage_factory,
    uninstall,
)
from persistence_fsspec.faces.functionfuse.factory import KINDS
from persistence_fsspec.faces.functionfuse.ray import check_travels

HERE = Path(__file__).parent / "functionfuse"
SOURCE = os.environ.get("PERSISTENCE_FSSPEC_FUNCTIONFUSE_SOURCE", "")
needs_source = pytest.mark.skipif(not SOURCE, reason="PERSISTENCE_FSSPEC_FUNCTIONFUSE_SOURCE names no clone of Function Fuse")


# --- the stores, each with a back door ---


class Base:
    """A fresh path on a store.

    ``read``, ``write`` and ``stored`` go behind the back of what is tested; names are relative to the path.
    """

    def __init__(self, url, options, read, write, stored, *, flat=False):
        self.url, self.options, self.read, self.write, self.stored, self.flat = url, options, read, write, stored, flat

    def storage(self, **more):
        return FSSpecStorage(self.url, self.options, **more)


def _file(folder):
    def keys():
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())

    def write(name, data):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)

    return Base(str(folder), None, lambda name: (folder / name).read_bytes(), write, keys)


def _memory():
    name, fs = f"/functionfuse-{uuid.uuid4().hex}", fsspec.filesystem("memory")

    def keys():
        return sorted(found.removeprefix(f"{name}/") for found in fs.find(name))

    return Base(
        f"memory:/{name}",
        None,
        lambda one: fs.cat_file(f"{name}/{one}"),
        lambda one, data: fs.pipe_file(f"{name}/{one}", data),
        keys,
    )


def _served(server, *, flat):
    name = f"functionfuse-{uuid.uuid4().hex}"

    def keys():
        return [key.removeprefix(f"{name}/") for key in server.raw_keys(f"{name}/")]

    return Base(
        f"{server.url}/{name}",
        server.storage_options,
        lambda one: server.raw_read(f"{name}/{one}"),
        lambda one, data: server.raw_write(f"{name}/{one}", data),
        keys,
        flat=flat,
    )


STORES = ["memory", "file", *(pytest.param(name, marks=pytest.mark.server(name)) for name in ("s3", "sftp", "ftp"))]


@pytest.fixture(params=STORES)
def base(request, tmp_path):
    if request.param == "memory":
        return _memory()
    if request.param == "file":
        return _file(tmp_path / "results")
    return _served(request.getfixturevalue(f"{request.param}_server"), flat=request.param == "s3")


@pytest.fixture
def memory():
    return _memory()


def format_of(obj):
    """What the contract says of a file: a pickle, and the 20 bytes of its SHA-1."""
    data = pickle.dumps(obj)
    return data + hashlib.sha1(data).digest()


# --- results ---


def test_a_result_comes_back(base):
    """A new storage of the same options reads what was saved."""
    base.storage().new_workflow("wf")
    base.storage().save("wf", "node_0000", {"loss": [0.5, 0.25]})

    assert base.storage().read_task("wf", "node_0000") == {"loss": [0.5, 0.25]}


def test_the_format_written(base):
    """One file ``<path>/<workflow>/<node>``: the pickle, and its SHA-1."""
    base.storage().save("wf", "a", [1, 2])

    assert base.stored() == ["wf/a"]
    data = base.read("wf/a")
    assert hashlib.sha1(data[:-20]).digest() == data[-20:]
    assert pickle.loads(data[:-20]) == [1, 2]


def test_the_format_read(base):
    """What others wrote in this format is read."""
    base.write("wf/a", format_of((1, "two")))

    assert base.storage().read_task("wf", "a") == (1, "two")


def test_a_missing_result_is_not_found(base):
    """``read_task`` raises a FileNotFoundError, before and after the workflow is there; workflows catch nothing else."""
    storage = base.storage()
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            storage.read_task("wf", "a")
        storage.new_workflow("wf")


def test_saving_needs_no_new_workflow(base):
    """Folders appear with what lies in them, on every store."""
    base.storage().save("deep/wf", "a", 1)

    assert base.storage().read_task("deep/wf", "a") == 1


def test_a_result_is_replaced(base):
    """Saving again gives the later result."""
    storage = base.storage()
    storage.save("wf", "a", "a long first result")
    storage.save("wf", "a", 2)

    assert storage.read_task("wf", "a") == 2


def test_whether_a_result_is_there(base):
    """``file_exists`` is true of results alone, not of folders."""
    storage = base.storage()
    storage.save("wf/inner", "a", None)

    assert storage.file_exists("wf/inner", "a")
    assert not storage.file_exists("wf/inner", "b")
    assert not storage.file_exists("wf", "inner")
    assert not storage.file_exists("wf/inner/a", "b")
    assert not storage.file_exists("none", "a")


def test_listing(base):
    """Names by a pattern, sorted; files alone, and not the big data."""
    storage = base.storage()
    for name in ("b_0001", "a_0000", "b_0000", "B_0000", "[x]", "bigger"):
        storage.save("wf", name, 0)
    base.write("wf/bigdata/0f", b"big")
    base.write("wf/folder/bigdata/0f", b"big")
    base.write("wf/folder/c", b"c")

    assert storage.list_tasks("wf", "*") == sorted(["b_0001", "a_0000", "b_0000", "B_0000", "[x]", "bigger"])
    assert storage.list_tasks("wf", "b_*") == ["b_0000", "b_0001"]
    assert storage.list_tasks("wf", "[ab]_000?") == ["a_0000", "b_0000", "b_0001"]
    assert storage.list_tasks("wf", "[[]x]") == ["[x]"]
    assert storage.list_tasks("wf", "nothing") == storage.list_tasks("wf", "*/*/*") == []


def test_hidden_names_are_listed_on_demand(base):
    """As in a shell, and in functionfuse: by a pattern that begins with a dot."""
    storage = base.storage()
    for name in ("a", ".b", ".c/d", "e/.f"):
        storage.save("wf", name, name)

    assert storage.list_tasks("wf", "*") == storage.list_tasks("wf", "[.a]*") == ["a"]
    assert storage.list_tasks("wf", ".*") == [".b"]
    assert storage.list_tasks("wf", "*/*") == []
    assert storage.list_tasks("wf", ".*/*") == [".c/d"]
    assert storage.list_tasks("wf", "e/.*") == ["e/.f"]


def test_listing_a_missing_workflow(base):
    """Nothing is in it."""
    assert base.storage().list_tasks("wf", "*") == []


@pytest.mark.parametrize(
    "name", ["_test_storage.<locals>.sum_0000", "a b", "ä", "100%", "#1", "x?y", "[z]", "~me", "d.ot", "a\\b"]
)
def test_names_are_exact(base, name):
    """What nodes are called by default, and what people call them, comes back under that name."""
    storage = base.storage()
    storage.save(name, name, name)

    assert storage.list_tasks(name, "*") == [name]
    assert storage.read_task(name, name) == name
    assert base.stored() == [f"{name}/{name}"]
    storage.remove_task(name, name)
    assert not storage.file_exists(name, name)


def test_names_with_slashes(base):
    """They work on every store, as functionfuse has them on S3; a pattern with as many slashes lists them."""
    storage = base.storage()
    storage.save("wf", "load/data", 1)
    storage.save("wf", "plain", 2)

    assert storage.read_task("wf", "load/data") == 1
    assert storage.list_tasks("wf", "*") == ["plain"]
    assert storage.list_tasks("wf", "*/d*") == ["load/data"]
    storage.remove_task("wf", pattern="load/*")
    assert storage.list_tasks("wf", "*/*") == []


BAD = ["", ".", "..", "../evil", "a/../../evil", "/etc/x", "a/", "a//b", "s3://bucket/x", "nul\0", None, 7]


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("call", ["save", "read_task", "file_exists", "remove_task"])
def test_names_of_nodes_stay_in_their_workflow(memory, call, name):
    """A name that would leave it, or is none, is refused by name, and nothing is written."""
    storage = memory.storage()
    arguments = ("wf", name, 1) if call == "save" else ("wf", name)
    with pytest.raises(InvalidOptionError if (call, name) == ("remove_task", None) else InvalidNameError):
        getattr(storage, call)(*arguments)

    assert memory.stored() == []


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("call", ["save", "new_workflow", "remove_workflow", "list_tasks", "read_task", "get_bigdata_path"])
def test_names_of_workflows_stay_below_the_path(memory, call, name):
    """A name that would leave it, or is none, is refused by name, and nothing is touched."""
    memory.write("other/a", b"stays")
    more = {"save": ("a", 1), "list_tasks": ("*",), "read_task": ("a",)}.get(call, ())
    with pytest.raises(InvalidNameError):
        getattr(memory.storage(), call)(name, *more)

    assert memory.stored() == ["other/a"]


@pytest.mark.parametrize("name", ["bigdata", "bigdata/x", "inner/bigdata/x"])
def test_no_node_lies_among_big_data(memory, name):
    """The folder of serializers is not a node's."""
    with pytest.raises(InvalidNameError, match="bigdata"):
        memory.storage().save("wf", name, 1)


@pytest.mark.parametrize("name", ["zip::x", "C:\\x", "~root"])
def test_what_is_an_address_elsewhere_is_a_name(tmp_path, name):
    """Chains, drives and homes lead nowhere."""
    FSSpecStorage(tmp_path).save(name, name, 1)

    assert (tmp_path / name / name).read_bytes() == format_of(1)


# --- removing ---


def test_removing_one(base):
    """Only that one goes; a missing one is an error."""
    storage = base.storage()
    for name in "ab":
        storage.save("wf", name, name)
    storage.remove_task("wf", "a")

    assert storage.list_tasks("wf", "*") == ["b"]
    with pytest.raises(FileNotFoundError):
        storage.remove_task("wf", "a")


def test_removing_by_pattern(base):
    """All that match go, whatever name is given as well; none is no error."""
    storage = base.storage()
    for name in ("a1", "a2", "b1"):
        storage.save("wf", name, name)
    storage.remove_task("wf", "b1", pattern="a*")
    storage.remove_task("wf", pattern="a*")

    assert storage.list_tasks("wf", "*") == ["b1"]


def test_removing_nothing_in_particular(memory):
    """Neither a name nor a pattern is an error that says so."""
    with pytest.raises(InvalidOptionError, match="name of a node, or a pattern"):
        memory.storage().remove_task("wf")


def test_removing_a_folder(base):
    """A folder is no result, and stays."""
    storage = base.storage()
    storage.save("wf/inner", "a", 1)
    with pytest.raises(IsAFolderError):
        storage.remove_task("wf", "inner")

    assert storage.read_task("wf/inner", "a") == 1


def test_removing_a_workflow(base):
    """All of it goes, big data as well, and its neighbours stay; a missing one is fine."""
    storage = base.storage()
    for workflow in ("wf", "wf2"):
        storage.save(workflow, "a", 1)
        base.write(f"{workflow}/bigdata/0f", b"big")
    storage.remove_workflow("wf")
    storage.remove_workflow("wf")

    assert base.stored() == ["wf2/a", "wf2/bigdata/0f"]


def test_a_result_is_no_workflow(base):
    """``remove_workflow`` of the name of a result removes nothing."""
    storage = base.storage()
    storage.save("wf", "a", 1)
    storage.remove_workflow("wf/a")

    assert storage.read_task("wf", "a") == 1


# --- workflows and paths ---


def test_a_finished_workflow_runs_again_where_nothing_can_be_written(tmp_path):
    """``new_workflow`` of what is there is fine; of what is not, it tells so."""
    FSSpecStorage(tmp_path).save("wf", "a", 1)
    storage = FSSpecStorage(tmp_path, policy={"read_only": True})
    storage.new_workflow("wf")
    assert storage.read_task("wf", "a") == 1
    with pytest.raises(UnsupportedPersistenceOp):
        storage.new_workflow("other")


@pytest.mark.server("http")
def test_a_finished_workflow_runs_again_from_a_web_server(http_server):
    """``new_workflow`` of what is there is fine; of what is not, it tells so."""
    name = uuid.uuid4().hex
    http_server.raw_write(f"{name}/wf/a", format_of(1))
    storage = FSSpecStorage(f"{http_server.url}/{name}", http_server.storage_options)
    storage.new_workflow("wf")
    assert storage.read_task("wf", "a") == 1
    with pytest.raises(UnsupportedPersistenceOp):
        storage.new_workflow("other")


def test_a_new_workflow_is_a_folder(base):
    """Where there are folders it is there at once, as functionfuse's own storage wants it; elsewhere nothing is written."""
    storage = base.storage()
    storage.new_workflow("wf")
    storage.new_workflow("wf")

    assert base.stored() == []
    assert FSSpecPersistence(base.url, storage_options=base.options).exists("wf") != base.flat


@pytest.mark.server("s3")
def test_a_missing_bucket_is_told_first(s3_server):
    """Before the first node has run, not after it."""
    storage = FSSpecStorage(f"s3://none-{uuid.uuid4().hex}/x", s3_server.storage_options)
    with pytest.raises(FileNotFoundError):
        storage.new_workflow("wf")
    with pytest.raises(FileNotFoundError):
        storage.list_tasks("wf", "*")


@pytest.mark.server("s3")
def test_refused_credentials_are_told_by_the_first_read(strict_s3_server):
    """Who may not look at the bucket may still be one who reads and writes in it, so that a workflow begins."""
    server = strict_s3_server.new_bucket(f"refused-{uuid.uuid4().hex}")
    storage = FSSpecStorage(f"{server.url}/x", server.wrong_options)
    storage.new_workflow("wf")
    with pytest.raises(PermissionError):
        storage.read_task("wf", "a")


@pytest.mark.server("s3")
def test_missing_credentials_are_told_first(strict_s3_server, monkeypatch):
    """By ``new_workflow``: who has none reads nothing either."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    options = {"endpoint_url": strict_s3_server.storage_options["endpoint_url"]}
    storage = FSSpecStorage(f"{strict_s3_server.url}/{uuid.uuid4().hex}", options, policy={"attempts": 1})
    with pytest.raises(AuthenticationError):
        storage.new_workflow("wf")


def test_the_path_is_tested(base):
    """``_test_path`` passes where a workflow is."""
    storage = base.storage()
    storage.new_workflow("wf")

    storage._test_path()


def test_a_missing_path_is_told(tmp_path):
    """``_test_path`` raises a FileNotFoundError."""
    with pytest.raises(FileNotFoundError):
        FSSpecStorage(tmp_path / "none")._test_path()


def test_constructing_opens_nothing(tmp_path):
    """No folder is made, and a host that is not there is not asked."""
    FSSpecStorage(tmp_path / "results")
    FSSpecStorage("ftp://127.0.0.1:1/results")

    assert list(tmp_path.iterdir()) == []


def test_a_storage_is_true(memory):
    """Also an empty one: workflows ask ``if storage``."""
    assert memory.storage()


def test_always_read_is_a_switch(memory):
    """Off, until somebody turns it on."""
    storage = memory.storage()
    before, storage.always_read = storage.always_read, True

    assert (before, storage.always_read) == (False, True)


# --- checksums ---


WHOLE = format_of(list(range(100)))
SPOILT = {
    "empty": b"",
    "short": WHOLE[:10],
    "cut": WHOLE[:-1],
    "changed": WHOLE[:20] + b"\xff" + WHOLE[21:],
    "longer": WHOLE + b"\0",
}


@pytest.mark.parametrize("how", SPOILT)
def test_what_is_not_whole_is_told(base, how):
    """Empty, cut off, or changed: an InvalidPickle, which is a ValueError, names the file."""
    base.write("wf/a", SPOILT[how])
    with pytest.raises(InvalidPickle, match="wf/a") as told:
        base.storage().read_task("wf", "a")

    assert isinstance(told.value, ValueError)
    assert isinstance(told.value, PersistenceError)
    assert "remove_task" in told.value.hint


def test_what_is_not_whole_can_be_removed(base):
    """So that the next run calculates it again."""
    base.write("wf/a", b"")
    storage = base.storage()
    storage.register_persistent_serializers(BigText)
    storage.remove_task("wf", "a")

    assert base.stored() == []


def test_the_error_travels():
    """Between processes it stays what it is."""
    error = InvalidPickle("why", url="s3://b/x", hint="do")
    twin = pickle.loads(pickle.dumps(error))

    assert (type(twin), str(twin), twin.hint) == (type(error), str(error), "do")


# --- serializing ---


class Unpicklable:
    def __reduce__(self):
        raise TypeError("not this one")


def test_what_cannot_be_pickled_leaves_nothing(base):
    """No file, and an earlier result stays."""
    storage = base.storage()
    storage.save("wf", "a", 1)
    for name in "ab":
        with pytest.raises(TypeError, match="not this one"):
            storage.save("wf", name, [b"x" * 100_000, Unpicklable()])

    assert base.stored() == ["wf/a"]
    assert storage.read_task("wf", "a") == 1


def test_what_cannot_be_pickled_is_named(memory):
    """The error, of whatever type, says which node and workflow it was; pickle alone does not."""
    with pytest.raises(TypeError) as told:
        memory.storage().save("wf", "a_0001", Unpicklable())

    said = "".join(traceback.format_exception(told.value))
    assert "'a_0001'" in said
    assert "'wf'" in said


class Text(str):
    """What `BigText` writes apart from the pickle."""


class BigText:
    """A serializer that writes files."""

    name = "text"
    serializer_class = Text

    @classmethod
    def pickle(cls, obj, protocols):
        filename = uuid.uuid4().hex
        with protocols[FILE_PROTOCOL].open(filename, "wb") as file:
            file.write(b"." * len(obj))
            file.seek(0)  # as HDF5 does
            file.write(obj.encode())
            file.seek(0)
            assert file.read() == obj.encode()
        return cls.name, ("1", filename)

    @classmethod
    def unpickle(cls, pid, protocols):
        return Text(protocols[FILE_PROTOCOL].open(pid[1], "rb").read().decode())

    @classmethod
    def remove(cls, pid, protocols):
        protocols[FILE_PROTOCOL].remove(pid[1])


class TextByClient(BigText):
    """A serializer that writes by a filesystem."""

    @classmethod
    def pickle(cls, obj, protocols):
        filename, by = uuid.uuid4().hex, protocols[S3_PROTOCOL]
        by["client"].get_mapper(f"{by['folder']}/texts")[filename] = obj.encode()
        return cls.name, ("1", filename)

    @classmethod
    def unpickle(cls, pid, protocols):
        by = protocols[S3_PROTOCOL]
        return Text(by["client"].cat_file(f"{by['folder']}/texts/{pid[1]}").decode())

    @classmethod
    def remove(cls, pid, protocols):
        by = protocols[S3_PROTOCOL]
        by["client"].rm(f"{by['folder']}/texts/{pid[1]}", recursive=True)


SERIALIZERS = pytest.mark.parametrize("serializer", [BigText, TextByClient])


def registered(base, *serializers, **more):
    storage = base.storage(**more)
    storage.register_persistent_serializers(*serializers)
    return storage


@SERIALIZERS
def test_big_data_apart(base, serializer):
    """What a serializer is registered for lies below ``<workflow>/bigdata/``, and comes back; its subclasses do not."""

    registered(base, serializer).save("wf", "a", {"text": Text("long"), "n": 1})
    found = [key for key in base.stored() if key != "wf/a"]
    assert len(found) == 1
    assert found[0].startswith("wf/bigdata/")
    assert base.read(found[0]) == b"long"
    assert b"long" not in base.read("wf/a")
    assert registered(base, serializer).read_task("wf", "a") == {"text": "long", "n": 1}
    assert registered(base, serializer).list_tasks("wf", "*") == ["a"]


@SERIALIZERS
def test_big_data_go_with_the_result(base, serializer):
    """``remove_task`` removes them, by name and by pattern; what is gone already is fine."""
    storage = registered(base, serializer)
    for name in "abc":
        storage.save("wf", name, [Text("one"), Text("two")])
    storage.remove_task("wf", "a")
    for key in [key for key in base.stored() if "bigdata" in key][:1]:
        FSSpecPersistence(base.url, storage_options=base.options).delete(key)
    storage.remove_task("wf", pattern="*")

    assert base.stored() == []


@SERIALIZERS
def test_big_data_of_what_cannot_be_pickled(base, serializer):
    """They are removed again: nothing is left of it."""
    storage = registered(base, serializer)
    with pytest.raises(TypeError, match="not this one"):
        storage.save("wf", "a", [Text("one"), Text("two"), Unpicklable()])

    assert base.stored() == []


class Named(BigText):
    """A serializer that names its files itself, after what they hold."""

    @classmethod
    def pickle(cls, obj, protocols):
        with protocols[FILE_PROTOCOL].open(f"file-{obj}", "wb") as file:
            file.write(obj.encode())
        by = protocols[S3_PROTOCOL]
        by["client"].pipe_file(f"{by['folder']}/texts/{obj}", obj.encode())
        return cls.name, ("1", f"file-{obj}")

    @classmethod
    def remove(cls, pid, protocols):
        by = protocols[S3_PROTOCOL]
        by["client"].rm_file(f"{by['folder']}/texts/{pid[1].removeprefix('file-')}")
        protocols[FILE_PROTOCOL].remove(pid[1])


def test_what_was_there_before_is_not_taken_back(base):
    """A result that cannot be saved takes its own big data along, and none of an earlier one, which may have the same names."""
    storage = registered(base, Named)
    storage.save("wf", "a", Text("x"))
    before = base.stored()
    with pytest.raises(TypeError, match="not this one"):
        storage.save("wf", "b", [Text("x"), Text("y"), Unpicklable()])

    assert base.stored() == before
    assert storage.read_task("wf", "a") == "x"


def test_a_store_is_asked_once_for_a_new_folder(memory):
    """What is written in it needs no look whether it was there before."""
    looks = []

    class Many(BigText):
        @classmethod
        def pickle(cls, obj, protocols):
            by = protocols[S3_PROTOCOL]
            before = storage._persistence.exists
            storage._persistence.exists = lambda key: looks.append(key) or before(key)
            for number in range(20):
                by["client"].pipe_file(f"{by['folder']}/array/{number}", b"x")
            return cls.name, ("1", "array")

    storage = registered(memory, Many)
    storage.save("wf", "a", Text("x"))

    assert len(memory.stored()) == 21
    assert looks == ["wf/bigdata/array"]


class Making(TextByClient):
    """Makes what it does not find, as functionfuse's own serializer does on S3."""

    @classmethod
    def unpickle(cls, pid, protocols):
        by = protocols[S3_PROTOCOL]
        if not by["client"].exists(f"{by['folder']}/texts/index"):
            by["client"].pipe_file(f"{by['folder']}/texts/index", b"")
        return super().unpickle(pid, protocols)


def test_reading_writes_nothing(base):
    """Not even by a serializer that makes what it does not find."""
    storage = registered(base, Making)
    storage.save("wf", "a", Text("x"))
    FSSpecPersistence(base.url, storage_options=base.options).delete("wf/bigdata", recursive=True)
    with pytest.raises(FileNotFoundError):
        storage.read_task("wf", "a")

    assert base.stored() == ["wf/a"]


class HalfDone(BigText):
    """Fails after the first of two files, and never says its name."""

    @classmethod
    def pickle(cls, obj, protocols):
        with protocols[FILE_PROTOCOL].open("first", "wb") as file:
            file.write(b"1")
        with protocols[FILE_PROTOCOL].open("text", "w") as file:
            file.write("t")
        protocols[S3_PROTOCOL]["client"].pipe_file(f"{protocols[S3_PROTOCOL]['folder']}/second", b"2")
        file = protocols[FILE_PROTOCOL].open("third", "wb")
        file.write(b"3")
        raise RuntimeError("no more")


def test_big_data_half_done(base):
    """What a serializer wrote before it failed is removed, and what it left open does not appear."""
    with pytest.raises(RuntimeError, match="no more"):
        registered(base, HalfDone).save("wf", "a", Text("x"))

    assert base.stored() == []


def test_big_data_of_a_result_that_is_refused(tmp_path):
    """Where the result cannot be written, its big data do not stay either."""
    base = _file(tmp_path / "results")
    (tmp_path / "results/wf/a").mkdir(parents=True)
    with pytest.raises(IsAFolderError):
        registered(base, BigText).save("wf", "a", Text("x"))

    assert base.stored() == []


@pytest.mark.parametrize("registered_one", [False, True])
def test_a_serializer_that_is_missing(memory, registered_one):
    """Reading says which one to register, with and without others."""
    registered(memory, BigText).save("wf", "a", Text("x"))
    other = type("Other", (BigText,), {"name": "other", "serializer_class": int})
    storage = registered(memory, other) if registered_one else memory.storage()
    with pytest.raises(pickle.UnpicklingError, match="'text'"):
        storage.read_task("wf", "a")


def test_nothing_goes_while_a_serializer_is_missing(memory):
    """``remove_task`` fails before it has removed anything."""
    registered(memory, BigText).save("wf", "a", Text("x"))
    other = type("Other", (BigText,), {"name": "other", "serializer_class": int})
    before = memory.stored()
    with pytest.raises(pickle.UnpicklingError):
        registered(memory, other).remove_task("wf", "a")

    assert memory.stored() == before


class Loud:
    """Says when it is made again."""

    made: ClassVar[list] = []

    def __init__(self, text):
        self.text = text

    def __setstate__(self, state):
        self.made.append(state)
        self.text = state["text"].upper()  # as of what is there when it is read


class LoudList(list):
    """A container that pickle fills item by item."""


def test_removing_runs_nothing(memory):
    """Big data are found without making anything of what is stored."""
    storage = registered(memory, BigText)
    storage.save(
        "wf", "a", [Loud(Text("x")), LoudList([Text("y")]), {Loud: {Text("z")}}, OrderedDict(a=Text("u")), ValueError(1)]
    )
    assert len(memory.stored()) == 5
    storage.remove_task("wf", "a")

    assert memory.stored() == []
    assert Loud.made == []


def test_removing_what_nobody_can_read_any_more(memory, monkeypatch):
    """Classes that are gone are no trouble."""
    module = types.ModuleType("gone")
    module.Gone = type("Gone", (Loud,), {"__module__": "gone"})
    monkeypatch.setitem(sys.modules, "gone", module)
    storage = registered(memory, BigText)
    storage.save("wf", "a", module.Gone(Text("x")))
    monkeypatch.delitem(sys.modules, "gone")
    storage.remove_task("wf", "a")

    assert memory.stored() == []


def test_a_serializer_may_speak_in_objects(memory):
    """What it wants to know to find its files may be more than text."""

    class ByPath(BigText):
        @classmethod
        def pickle(cls, obj, protocols):
            name, (version, filename) = super().pickle(obj, protocols)
            return name, (version, PurePosixPath(filename))

        @classmethod
        def remove(cls, pid, protocols):
            super().remove((pid[0], str(pid[1])), protocols)

    storage = registered(memory, ByPath)
    storage.save("wf", "a", Text("x"))
    storage.remove_task("wf", "a")

    assert memory.stored() == []


def test_removing_by_pattern_goes_on(memory):
    """What fails is told at the end, by name; the others are gone."""

    class Stuck(BigText):
        @classmethod
        def remove(cls, pid, protocols):
            raise RuntimeError("stuck")

    class Other(BigText):
        name, serializer_class = "other", bytearray

    registered(memory, type("Gone", (BigText,), {"name": "gone"})).save("wf", "b", Text("x"))
    storage = registered(memory, Stuck, Other)
    storage.save("wf", "a", 1)
    storage.save("wf", "c", Text("x"))
    storage.save("wf", "d", 1)
    with pytest.raises(pickle.UnpicklingError, match="'gone'") as told:
        storage.remove_task("wf", pattern="*")

    assert "'b', 'c'" in "".join(traceback.format_exception(told.value))
    assert storage.list_tasks("wf", "*") == ["b"]


def test_a_serializer_that_lacks_its_packages(memory):
    """It is refused when it is registered, with what installs them, and not when a node has been calculated."""
    if find_spec("dask") is not None:
        pytest.skip("dask is here")
    for serializer, package in ((HDF5Serializer, "h5py"), (ZarrSerializer, "zarr")):
        storage = memory.storage()
        with pytest.raises(MissingDriverError, match=f'-m pip install "dask.array." {package}'):
            storage.register_persistent_serializers(BigText, serializer)
        assert not storage.have_serializers()


def test_reduced_serializers(memory):
    """They say what a pickle takes along of a type."""
    storage = memory.storage()
    reduced = type("Reduced", (), {"serializer_class": Unpicklable, "reduce": staticmethod(lambda obj: (str, ("reduced",)))})
    storage.reduced_serializers = {reduced: reduced}
    storage.save("wf", "a", [Unpicklable()])

    assert storage.have_serializers()
    assert memory.storage().read_task("wf", "a") == ["reduced"]


def test_serializers_by_hand(memory):
    """``pickle``, ``unpickle`` and ``remove_persistent_storage`` work with the protocols of a workflow's big data."""
    storage = registered(memory, BigText)
    assert storage.have_serializers()
    assert not memory.storage().have_serializers()
    protocols = storage.get_protocols(storage.get_bigdata_path("wf"))
    assert set(protocols) == {FILE_PROTOCOL, S3_PROTOCOL} == {"file_protocol", "s3 protocol"}
    data = storage.pickle([Text("x")], protocols)
    assert memory.stored()[0].startswith("wf/bigdata/")
    assert storage.unpickle(data, protocols) == ["x"]
    with pytest.raises(InvalidPickle):
        storage.unpickle(data[:-1], protocols)
    storage.remove_persistent_storage(data, protocols)

    assert memory.stored() == []


def test_protocols_as_they_are_asked_for_on_s3(memory):
    """There, the method takes a client as well."""
    storage = memory.storage()

    assert set(storage.get_protocols(storage.get_bigdata_path("wf"), object())) == {FILE_PROTOCOL, S3_PROTOCOL}


@pytest.mark.parametrize("path", ["memory://elsewhere/wf/bigdata", "wf/bigdata", "s3://b/x"])
def test_protocols_stay_below_the_path(memory, path):
    """Other places are refused."""
    with pytest.raises(InvalidNameError, match="does not lie below"):
        memory.storage().get_protocols(path)


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "a/../../../b", "", "s3://b/x"])
@pytest.mark.parametrize("call", [("open", "rb"), ("open", "wb"), ("read", 0, 1), ("remove",)], ids=str)
def test_files_of_big_data_stay_in_their_folder(memory, name, call):
    """A stored result names the files that it needs, and reaches no others."""
    storage = memory.storage()
    files = storage.get_protocols(storage.get_bigdata_path("wf"))[FILE_PROTOCOL]
    with pytest.raises(InvalidNameError):
        getattr(files, call[0])(name, *call[1:])


@pytest.mark.parametrize(
    ("first", "second"), [((S3_PROTOCOL,), (FILE_PROTOCOL, S3_PROTOCOL)), ((FILE_PROTOCOL,), (S3_PROTOCOL,))]
)
def test_what_was_written_by_another_protocol(memory, first, second):
    """A pickle does not say by which protocol its big data were written; they are found, and removed, all the same."""

    class Either(BigText):
        @classmethod
        def by(cls, protocols):
            return BigText if FILE_PROTOCOL in protocols else TextByClient

        @classmethod
        def pickle(cls, obj, protocols):
            return cls.by(protocols).pickle(obj, protocols)

        @classmethod
        def unpickle(cls, pid, protocols):
            return cls.by(protocols).unpickle(pid, protocols)

        @classmethod
        def remove(cls, pid, protocols):
            cls.by(protocols).remove(pid, protocols)

    registered(memory, Either, protocols=first).save("wf", "a", Text("x"))
    storage = registered(memory, Either, protocols=second)

    assert storage.read_task("wf", "a") == "x"
    storage.remove_task("wf", "a")
    assert memory.stored() == []


def test_big_data_are_files_of_this_machine(base):
    """What h5py reads by itself cannot wait for a thread of ours; what was opened before it was replaced is whole."""
    storage = base.storage()
    files = storage.get_protocols(storage.get_bigdata_path("wf"))[FILE_PROTOCOL]
    base.write("wf/bigdata/x", b"a" * 100)
    with files.open("x", "rb") as file:
        assert file.seekable()
        assert os.fstat(file.fileno()).st_size == 100
        storage._persistence.write_bytes("wf/bigdata/x", b"b" * 99)
        assert file.read() == b"a" * 100


def test_a_part_of_big_data_is_read_for_a_part(memory, monkeypatch):
    """Nothing is fetched for it; what is missing is not found, also where nothing of it is wanted."""
    storage = memory.storage()
    files = storage.get_protocols(storage.get_bigdata_path("wf"))[FILE_PROTOCOL]
    memory.write("wf/bigdata/x", b"abcdef")
    monkeypatch.setattr(FSSpecPersistence, "get", None)

    assert files.read("x", 2, 4) == b"cd"
    assert files.read("x", 5, 9) == b"f"
    with pytest.raises(FileNotFoundError):
        files.read("y", 0, 0)


@pytest.mark.parametrize("name", ["run[0-9]", "a**", "{a}"])
def test_paths_of_the_filesystem_are_names(memory, name):
    """As fsspec's mappings use them: what a workflow's name would match as a pattern is another workflow."""
    storage = memory.storage()
    by = storage.get_protocols(storage.get_bigdata_path(name))[S3_PROTOCOL]
    for one in ("run1", "a1", name):
        memory.write(f"{one}/bigdata/x", one.encode())
    mapping = by["client"].get_mapper(by["folder"])

    assert mapping["x"] == name.encode()
    assert mapping.getitems(["x", "y"], on_error="omit") == {"x": name.encode()}
    with pytest.raises(KeyError):
        mapping["y"]


def test_what_was_fetched_is_removed(memory, monkeypatch, tmp_path):
    """When it is closed, when nobody closes it, and when it was not there."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    storage = memory.storage()
    files = storage.get_protocols(storage.get_bigdata_path("wf"))[FILE_PROTOCOL]
    memory.write("wf/bigdata/x", b"x")

    with files.open("x", "rb"):
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []
    files.open("x", "rb").read()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        files.open("y", "rb")
    assert list(tmp_path.iterdir()) == []


def test_a_file_dropped_does_not_appear(base):
    """Neither after an exception, nor when nobody closes it."""
    storage = base.storage()
    files = storage.get_protocols(storage.get_bigdata_path("wf"))[FILE_PROTOCOL]
    with pytest.raises(RuntimeError), files.open("x", "wb") as file:
        file.write(b"x")
        raise RuntimeError
    file = files.open("y", "wb")
    file.write(b"y")
    del file

    assert base.stored() == []


def test_nothing_stays_on_this_machine(memory, tmp_path, monkeypatch):
    """Files for writing are collected in the folder for such, and are gone from it afterwards."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    storage = registered(memory, BigText)
    storage.save("wf", "a", Text("x"))
    with pytest.raises(RuntimeError):
        registered(memory, HalfDone).save("wf", "b", Text("x"))

    assert list(tmp_path.iterdir()) == []


# --- by chance ---


NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=NAMES, value=VALUES)
def test_any_name_and_any_value(name, value):
    """A name either comes back in a listing with its value, or is refused, and then nothing is written."""
    base = _memory()
    storage = base.storage()
    try:
        storage.save("wf", name, value)
    except InvalidNameError:
        assert base.stored() == []
        return
    assert base.stored() == [f"wf/{name}"]
    assert storage.read_task("wf", name) == value
    pattern = "/".join(".*" if part.startswith(".") else "*" for part in name.split("/"))  # as a shell has it
    assert storage.list_tasks("wf", pattern) == [name]


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=200))
def test_any_bytes(data):
    """What no storage wrote is never unpickled."""
    base = _memory()
    base.write("wf/a", data)
    with pytest.raises(InvalidPickle):
        base.storage().read_task("wf", "a")


# --- from process to process ---


def test_a_storage_travels(tmp_path):
    """With its serializers and its switch."""
    storage = FSSpecStorage(tmp_path / "results")
    storage.register_persistent_serializers(BigText)
    storage.always_read = True
    storage.save("wf", "a", Text("x"))
    twin = pickle.loads(pickle.dumps(storage))

    assert twin.read_task("wf", "a") == "x"
    assert twin.always_read


def test_secrets_stay():
    """A storage with a secret in it is not pickled, and never shows it; the error names the way out."""
    storage = FSSpecStorage("s3://bucket/x", {"key": "AKIA", "secret": "hidden-one"})
    with pytest.raises(SecretPicklingError, match="SecretReference") as told:
        pickle.dumps(storage)

    assert "hidden-one" not in f"{storage!r} {storage.path} {told.value}"
    given = FSSpecStorage("ftp://me:hidden-one@host/x")
    assert "hidden-one" not in f"{given!r} {given.path}"
    assert pickle.dumps(FSSpecStorage("s3://bucket/x", {"secret": SecretReference(env="NAME")}))


@pytest.mark.parametrize("cls", [FSSpecStorage, RayStorage])
def test_what_ray_is_given_stays_here(cls, tmp_path):
    """Variables for workers may be secrets; where it is to run is none, and travels."""
    given = {"runtime_env": {"env_vars": {"AWS_SECRET_ACCESS_KEY": "hidden-one"}}, "resources": {"disk": 1}}
    storage = cls(tmp_path, remote_args=given)
    data = pickle.dumps(storage)

    assert b"hidden-one" not in data
    assert pickle.loads(data).remote_args == {"resources": {"disk": 1}}
    assert storage.remote_args == given


def test_serializers_go_to_ray_as_ray_takes_them(tmp_path):
    """Which is more than pickle takes: for example a class that was made in a function."""
    storage = FSSpecStorage(tmp_path)
    storage.register_persistent_serializers(type("Local", (BigText,), {"__module__": "nowhere"}))

    check_travels(storage)


# --- the factory ---


def test_kind_fsspec(memory):
    """Any URL, with options of its driver, a policy and a profile."""
    storage = storage_factory({"kind": "fsspec", "options": {"path": memory.url, "policy": {"attempts": 2}}})
    storage.save("wf", "a", 1)

    assert memory.stored() == ["wf/a"]
    assert storage._persistence._policy == Policy(attempts=2)


def test_kind_file(tmp_path, monkeypatch):
    """A folder of this machine, from the working folder on, wherever one goes later."""
    monkeypatch.chdir(tmp_path)
    storage = storage_factory({"kind": "file", "options": {"path": "results"}})
    monkeypatch.chdir("/")
    storage.save("wf", "a", 1)

    assert (tmp_path / "results/wf/a").read_bytes() == format_of(1)


@pytest.mark.server("s3")
@pytest.mark.parametrize("form", ["/{}/dir", "{}/dir", "s3://{}/dir", "/{}/dir/"])
def test_kind_s3(s3_server, form):
    """``/bucket/folder`` as functionfuse has it, and what people write instead."""
    workflow = uuid.uuid4().hex
    path = form.format(s3_server.bucket)
    storage = storage_factory({"kind": "S3", "options": {"path": path, "s3fs": s3_server.storage_options}})
    storage.save(workflow, "a", 1)

    assert s3_server.raw_read(f"dir/{workflow}/a") == format_of(1)


def test_kind_s3_offers_the_protocol_that_is_known_there():
    """So that functionfuse's own storage reads what serializers write."""
    storage = storage_factory({"kind": "S3", "options": {"path": "/b/x"}})

    assert set(storage.get_protocols(storage.get_bigdata_path("wf"))) == {S3_PROTOCOL}


def test_kind_ray(tmp_path):
    """Made without Ray; the node is asked when the first result is."""
    options = {"path": str(tmp_path), "remoteArgs": {"resources": {"_disk": 0.001}}}
    storage = storage_factory({"kind": "ray", "options": options})

    assert isinstance(storage, RayStorage)
    assert storage.remote_args == {"resources": {"_disk": 0.001}}


@pytest.mark.parametrize("kind", ["fsspec", "ray", "S3"])
def test_secrets_of_configuration_files(kind):
    """``{"env": "NAME"}`` names a variable; such a storage may travel."""
    name = "s3fs" if kind == "S3" else "storage_options"
    path = "/b/x" if kind == "S3" else "s3://b/x"
    storage = storage_factory({"kind": kind, "options": {"path": path, name: {"secret": {"env": "NAME"}}}})

    assert b"NAME" in pickle.dumps(storage)


def test_configuration_files_read_no_others(tmp_path):
    """A file, or a program, that options name is not read, or run."""
    options = {"path": "s3://b/x", "storage_options": {"secret": {"file": "/etc/passwd"}}}
    with pytest.raises(InvalidOptionError, match="not followed here"):
        storage_factory({"kind": "fsspec", "options": options})


WRONG = [
    ({"kind": "s3", "options": {"path": "/b"}}, "Did you mean 'S3'"),
    ({"kind": "fspec", "options": {"path": "/b"}}, "Did you mean 'fsspec'"),
    ({"kind": "redis", "options": {"path": "/b"}}, "Kinds: fsspec, file, S3, ray"),
    ({"options": {"path": "/b"}}, "its kind"),
    ("fsspec", "its kind"),
    ({"kind": ["file"], "options": {"path": "/b"}}, "its kind"),
    ({"kind": "fsspec"}, "lacks its options"),
    ({"kind": "fsspec", "options": "s3://b"}, "lacks its options"),
    ({"kind": "fsspec", "options": {}}, "lacks the option 'path'"),
    ({"kind": "file", "options": {"path": ""}}, "lacks the option 'path'"),
    ({"kind": "fsspec", "options": {"path": "s3://b", "storage_option": {}}}, "Did you mean 'storage_options'"),
    ({"kind": "ray", "options": {"path": "/b", "remote_args": {}}}, "Did you mean 'remoteArgs'"),
    ({"kind": "S3", "options": {"path": "/b", "s3f": {}}}, "Did you mean 's3fs'"),
    ({"kind": "S3", "options": {"path": "/"}}, "/bucket/folder"),
    ({"kind": "S3", "options": {"path": "gs://b/x"}}, "'fsspec' takes any URL"),
    ({"kind": "file", "options": {"path": "s3://b/x"}}, "'fsspec' takes any URL"),
    ({"kind": "fsspec", "options": {"path": "s3://b", "policy": {"attempt": 1}}}, "did you mean 'attempts'"),
    ({"kind": "ray", "options": {"path": "memory://x"}}, "memory of one process"),
    ({"kind": "ray", "options": {"path": "/x", "remoteArgs": "disk"}}, "remoteArgs are arguments by name"),
    ({"kind": "ray", "options": {"path": "/x", "rayInitArgs": 3}}, "rayInitArgs are arguments by name"),
    ({"kind": "fsspec", "options": {"path": "s3://b", "policy": "fast"}}, "policy must be a Policy"),
    ({"kind": "fsspec", "options": {"path": "s3://b", "storage_options": "anon"}}, "storage_options"),
    ({"kind": "S3", "options": {"path": "/b", "s3fs": "anon"}}, "storage_options"),
    *(({"kind": kind, "options": {"path": path}}, "path is a") for kind in KINDS for path in (5, ["a"], b"memory://x")),
    ({"kind": "fsspec", "options": {"path": "s3://b", "profile": 5}}, "profile is a name"),
    ({"kind": "fsspec", "options": {"path": "s3://b", "policy": {1: 2}}}, "no field '1'"),
]


@pytest.mark.parametrize(("opt", "words"), WRONG)
def test_wrong_options_are_told(opt, words):
    """By name, with what was probably meant."""
    with pytest.raises(InvalidOptionError, match=words):
        storage_factory(opt)


# --- functionfuse's own factory ---


@pytest.fixture(params=[pytest.param("twin"), pytest.param("source", marks=needs_source)])
def theirs(request, monkeypatch):
    """functionfuse, freshly imported: a stand-in, and the real one where there is a clone."""
    assert not any(name.partition(".")[0] == "functionfuse" for name in sys.modules)
    monkeypatch.syspath_prepend(str(HERE / "twin") if request.param == "twin" else SOURCE)
    yield importlib.import_module("functionfuse.storage")
    uninstall()
    for name in [name for name in sys.modules if name.partition(".")[0] == "functionfuse"]:
        del sys.modules[name]
    from persistence_fsspec.faces.functionfuse import learning

    learning._before.clear()
    learning._covered.clear()


def test_it_learns_our_kind(theirs, memory):
    """Under both names of the function."""
    install()
    for factory in (theirs.storage_factory, sys.modules["functionfuse.storage.storage_factory"].storage_factory):
        assert isinstance(factory({"kind": "fsspec", "options": {"path": memory.url}}), FSSpecStorage)


def test_its_own_kinds_stay(theirs, tmp_path):
    """What it made before it makes now."""
    install()
    made = theirs.storage_factory({"kind": "file", "options": {"path": str(tmp_path)}})

    assert type(made).__module__ == "functionfuse.storage.filestorage"


def test_its_own_kinds_are_ours_on_demand(theirs, tmp_path):
    """``override=True`` makes ours of them, and each is told, with what it takes the place of."""
    told = install(override=True)
    made = theirs.storage_factory({"kind": "file", "options": {"path": str(tmp_path)}})

    assert isinstance(made, FSSpecStorage)
    assert isinstance(theirs.storage_factory({"kind": "S3", "options": {"path": "/b/x", "s3fs": {}}}), FSSpecStorage)
    assert isinstance(theirs.storage_factory({"kind": "ray", "options": {"path": "/x", "remoteArgs": {}}}), RayStorage)
    assert [one.protocol for one in told] == ["", "", "file", "s3", "file"]
    assert all(one.now == one.ours for one in told)
    assert all(one.framework == "functionfuse" for one in told)


def test_the_environment_limits_it(theirs, tmp_path, monkeypatch):
    """``PERSISTENCE_FSSPEC_OVERRIDE=s3`` leaves the kind ``file`` alone, ``0`` everything."""
    monkeypatch.setenv(overrides.VARIABLE, "0")
    assert install(override=True) == ()
    monkeypatch.setenv(overrides.VARIABLE, "s3")
    install(override=True)

    assert not isinstance(theirs.storage_factory({"kind": "file", "options": {"path": str(tmp_path)}}), FSSpecStorage)
    assert isinstance(theirs.storage_factory({"kind": "S3", "options": {"path": "/b/x", "s3fs": {}}}), FSSpecStorage)


def test_kinds_that_are_not_there_are_told(theirs):
    """Where it gave None, there is an error that says what was probably meant."""
    install()
    with pytest.raises(InvalidOptionError, match="Did you mean 'S3'"):
        theirs.storage_factory({"kind": "s3", "options": {}})


@pytest.mark.parametrize("opt", [None, {}, {"kind": ["file"]}])
def test_what_names_no_kind_is_told(theirs, opt):
    """Where it raised a KeyError, or worse."""
    install()
    with pytest.raises(InvalidOptionError, match="its kind"):
        theirs.storage_factory(opt)


def test_installing_twice_is_once(theirs):
    """Nothing is noted, or wrapped, a second time."""
    assert install() == install()


def test_uninstalling_leaves_no_trace(theirs, tmp_path):
    """The functions are what they were, and whoever has ours at hand gets what they made."""
    before = theirs.storage_factory
    install(override=True)
    at_hand = theirs.storage_factory
    uninstall()

    assert theirs.storage_factory is before
    assert sys.modules["functionfuse.storage.storage_factory"].storage_factory is before
    assert not any(one.framework.startswith("functionfuse") for one in overrides.active())
    assert at_hand({"kind": "fsspec", "options": {"path": "memory://x"}}) is None
    assert not isinstance(at_hand({"kind": "file", "options": {"path": str(tmp_path)}}), FSSpecStorage)


def test_what_came_on_top_stays(theirs, memory):
    """Uninstalling leaves what somebody has put in our place, and installing again ends in no circle."""
    install()
    ours = theirs.storage_factory
    theirs.storage_factory = on_top = lambda opt: ours(opt)
    uninstall()
    assert theirs.storage_factory is on_top
    install()

    assert theirs.storage_factory({"kind": "fsspec", "options": {"path": memory.url}})
    with pytest.raises(InvalidOptionError):
        theirs.storage_factory({"kind": "none", "options": {}})


def test_what_was_put_there_meanwhile_is_asked(theirs):
    """After uninstalling, the function may become another one; installing again asks that one."""
    install()
    uninstall()
    theirs.storage_factory = lambda opt: "third" if opt["kind"] == "third" else None
    install()

    assert theirs.storage_factory({"kind": "third"}) == "third"


def test_what_is_on_top_is_never_asked_by_ours(theirs, tmp_path):
    """However often it is installed: it would ask ours in its turn, for ever."""
    install()
    ours = theirs.storage_factory
    theirs.storage_factory = lambda opt: ours(opt)
    for _ in range(3):
        uninstall()
        install()

    assert theirs.storage_factory({"kind": "file", "options": {"path": str(tmp_path)}})


@pytest.mark.parametrize("override", [False, True])
def test_installing_after_their_module_was_loaded_anew(theirs, memory, tmp_path, override):
    """It knows our kind again, and as many of its own kinds are ours as before."""
    install(override=override)
    importlib.reload(sys.modules["functionfuse.storage.storage_factory"])
    importlib.reload(theirs)
    told = install()

    assert isinstance(theirs.storage_factory({"kind": "fsspec", "options": {"path": memory.url}}), FSSpecStorage)
    made = theirs.storage_factory({"kind": "file", "options": {"path": str(tmp_path)}})
    assert isinstance(made, FSSpecStorage) == override
    assert len(told) == (5 if override else 2)
    assert all(one.now == one.ours for one in told)


def test_their_errors_catch_ours(theirs, memory):
    """``except InvalidPickle`` of functionfuse catches what we raise, also after a trip between processes."""
    memory.write("wf/a", b"not whole")
    base = importlib.import_module("functionfuse.storage.base")
    with pytest.raises(base.InvalidPickle) as told:
        memory.storage().read_task("wf", "a")
    assert isinstance(told.value, InvalidPickle)
    with pytest.raises(base.InvalidPickle):
        raise pickle.loads(pickle.dumps(told.value))


def test_their_other_error_catches_ours(theirs, memory):
    """Where both of its errors of that name are loaded, each catches ours."""
    names = ["functionfuse.storage.base", "functionfuse.storage.rayfilestorage"]
    try:
        classes = [importlib.import_module(name).InvalidPickle for name in names]
    except ImportError as exc:
        pytest.skip(f"functionfuse's own storage for Ray needs it: {exc}")
    memory.write("wf/a", b"not whole")
    for cls in classes:
        with pytest.raises(cls):
            memory.storage().read_task("wf", "a")


def test_either_reads_what_the_other_wrote(theirs, tmp_path):
    """Its own storage for files and ours, both ways, in the folder that ours made."""
    ours = FSSpecStorage(tmp_path)
    its = importlib.import_module("functionfuse.storage.filestorage").FileStorage(str(tmp_path))
    ours.new_workflow("wf")
    its.save("wf", "a", {"from": "theirs"})
    ours.save("wf", "b", {"from": "ours"})

    assert ours.read_task("wf", "a") == {"from": "theirs"}
    assert its.read_task("wf", "b") == {"from": "ours"}


@needs_source
@pytest.mark.server("s3")
def test_either_reads_what_the_other_wrote_on_s3(s3_server, monkeypatch):
    """Its own storage for S3 and ours, both ways."""
    monkeypatch.syspath_prepend(SOURCE)
    path, options = f"/{s3_server.bucket}/{uuid.uuid4().hex}", s3_server.storage_options
    try:
        its = importlib.import_module("functionfuse.storage.s3storage").S3FileStorage(path, options)
        ours = storage_factory({"kind": "S3", "options": {"path": path, "s3fs": options}})
        its.save("wf", "a", {"from": "theirs"})
        ours.save("wf", "b", {"from": "ours"})

        assert ours.list_tasks("wf", "*") == its.list_tasks("wf", "*") == ["a", "b"]
        assert ours.read_task("wf", "a") == {"from": "theirs"}
        assert its.read_task("wf", "b") == {"from": "ours"}
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "functionfuse"]:
            del sys.modules[name]


# --- importing ---

LOOK = """
import json, sys
from persistence_fsspec.faces.functionfuse import storage_factory
import persistence_fsspec.overrides as o
loaded = sorted({name.partition(".")[0] for name in sys.modules})
theirs = sys.modules.get("functionfuse.storage")
kind = None if theirs is None else type(theirs.storage_factory({"kind": "fsspec", "options": {"path": "memory://x"}})).__name__
print(json.dumps({"loaded": loaded, "kind": kind, "told": [one.as_dict() for one in o.active()]}))
"""


def look(tmp_path, *paths, **variables):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *map(str, paths)]), **variables}
    command = [sys.executable, "-c", LOOK]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_importing_needs_nothing_else(tmp_path):
    """Where there is no functionfuse; and what serializers and Ray need is not looked for."""
    found, _ = look(tmp_path)

    assert {"functionfuse", "ray", "dask", "h5py", "zarr", "numpy"}.isdisjoint(found["loaded"])
    assert found["told"] == []


def test_importing_teaches(tmp_path):
    """Where functionfuse is, its factory knows our kind from then on, and that is told."""
    found, _ = look(tmp_path, HERE / "twin")

    assert found["kind"] == "FSSpecStorage"
    assert {one["switch_off"] for one in found["told"]} == {"PERSISTENCE_FSSPEC_OVERRIDE=0"}
    assert all(one["active"] for one in found["told"])
    assert {"ray", "dask", "h5py", "zarr", "numpy"}.isdisjoint(found["loaded"])


def test_importing_teaches_nothing_when_switched_off(tmp_path):
    """``PERSISTENCE_FSSPEC_OVERRIDE=0`` leaves its factory alone."""
    found, _ = look(tmp_path, HERE / "twin", PERSISTENCE_FSSPEC_OVERRIDE="0")

    assert found["kind"] == "NoneType"
    assert found["told"] == []


def test_a_broken_functionfuse_is_no_trouble(tmp_path, monkeypatch):
    """One line is logged, and our storage works."""
    (tmp_path / "functionfuse").mkdir()
    (tmp_path / "functionfuse/__init__.py").write_text("raise RuntimeError('broken')")
    monkeypatch.syspath_prepend(str(tmp_path))
    from persistence_fsspec.faces.functionfuse import learning

    seen = []
    end = on_event(seen.append)
    learning.learn()
    end()

    assert [event.name for event in seen] == ["override_skipped"]
    assert "RuntimeError: broken" in seen[0].message


def test_the_example_runs_beside_a_broken_functionfuse(tmp_path):
    """As without one."""
    (tmp_path / "functionfuse").mkdir()
    (tmp_path / "functionfuse/__init__.py").write_text("raise ImportError('libsomething.so is missing')")
    paths = os.pathsep.join([str(Path(__file__).parents[2]), str(tmp_path)])
    command = [sys.executable, str(Path(__file__).parents[2] / "examples" / "functionfuse_workflow.py")]
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)

    assert done.returncode == 0, done.stderr
    assert "skipped: load, mean" in done.stdout
