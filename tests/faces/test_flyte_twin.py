"""What older flytekit asks of a persistence class, asked without flytekit: it runs on no Python that is still looked after."""

from __future__ import annotations

import copy
import os
import pickle
import sys
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import fsspec
import pytest
from fsspec.registry import _registry, known_implementations

from persistence_fsspec import (
    NotAFolderError,
    ObjectNotFoundError,
    PermissionDeniedError,
    Policy,
    SecretPicklingError,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.events import on_event
from persistence_fsspec.faces.flyte import legacy, logins
from persistence_fsspec.faces.flyte.legacy import FlytePersistence
from persistence_fsspec.overrides import VARIABLE
from tests.servers.faults_http import Answer, HttpFaults
from tests.servers.process import HOST


@dataclass
class S3Config:
    """The fields of flytekit's, and what it says by itself."""

    enable_debug: bool = False
    endpoint: str | None = None
    retries: int = 3
    backoff: timedelta = timedelta(seconds=5)
    access_key_id: str | None = None
    secret_access_key: str | None = None


@dataclass
class DataConfig:
    """The same."""

    s3: S3Config = field(default_factory=S3Config)
    found: ClassVar[S3Config] = S3Config()
    asked: ClassVar[int] = 0

    @classmethod
    def auto(cls):
        """What the environment says."""
        cls.asked += 1
        return cls(cls.found)


@pytest.fixture(autouse=True)
def configuration(monkeypatch):
    """``flytekit.configuration``."""
    module = ModuleType("flytekit.configuration")
    module.DataConfig = DataConfig
    monkeypatch.setattr(DataConfig, "asked", 0)
    monkeypatch.setitem(sys.modules, "flytekit", ModuleType("flytekit"))
    monkeypatch.setitem(sys.modules, "flytekit.configuration", module)
    return DataConfig


@pytest.fixture
def tree(tmp_path):
    """Names that are patterns elsewhere, a program, a hidden file, an empty folder."""
    folder = tmp_path / "tree"
    (folder / "sub").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "a[1]*.txt").write_text("a")
    (folder / ".hidden").write_text("h")
    (folder / "sub" / "run.sh").write_text("#!/bin/sh")
    (folder / "sub" / "run.sh").chmod(0o755)
    return folder


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in Path(folder).rglob("*") if path.is_file()}


@pytest.fixture(params=["file", "memory", pytest.param("s3", marks=pytest.mark.server("s3"))])
def raw(request, tmp_path, monkeypatch):
    """A fresh raw output prefix; what leads to it, flytekit finds in its environment."""
    if request.param == "file":
        return str(tmp_path / "raw")
    if request.param == "memory":
        return f"memory://raw-{uuid.uuid4().hex}"
    server = request.getfixturevalue("s3_server")
    monkeypatch.setattr(DataConfig, "found", config_of(server.storage_options).s3)
    return f"{server.url}/raw-{uuid.uuid4().hex}"


def config_of(options):
    return DataConfig(
        S3Config(endpoint=options["endpoint_url"], access_key_id=options["key"], secret_access_key=options["secret"])
    )


# --- making one ---


def test_making_one_opens_nothing(tmp_path, monkeypatch):
    """The three ways in which flytekit makes instances; none touches the disk, loads a driver, or asks for credentials."""
    monkeypatch.chdir(tmp_path)

    FlytePersistence()
    FlytePersistence(data_config=DataConfig())
    FlytePersistence(default_prefix="s3://bucket/raw", data_config=None)

    assert list(tmp_path.iterdir()) == []
    assert DataConfig.asked == 0


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("s3://b/raw", "s3://b/raw/0af3/c.bin"),
        ("s3://b/raw/", "s3://b/raw/0af3/c.bin"),
        ("memory://", "memory://0af3/c.bin"),
        ("/tmp/raw", "/tmp/raw/0af3/c.bin"),
        ("file:///tmp/raw", "/tmp/raw/0af3/c.bin"),
        ("ftp://me:secret@host:21/raw", "ftp://me@host:21/raw/0af3/c.bin"),
        (None, "0af3/c.bin"),
    ],
)
def test_random_names(prefix, expected):
    """Below the prefix, one slash between, protocol once, no password."""
    assert FlytePersistence(default_prefix=prefix).construct_path(False, True, "0af3", "c.bin") == expected


@pytest.mark.parametrize(
    ("prefix", "add_prefix", "expected"),
    [
        ("memory://m", True, "memory://m/a/b"),
        ("/tmp/raw", True, "file:///tmp/raw/a/b"),
        ("s3://b", False, "s3://a/b"),
        (None, False, "file://a/b"),
    ],
)
def test_names_with_a_protocol(prefix, add_prefix, expected):
    """The protocol is put in front where there is none."""
    assert FlytePersistence(prefix).construct_path(True, add_prefix, "a", "b") == expected


# --- files and folders ---


def test_a_file_there_and_back(raw, tmp_path):
    """put, exists and get by instances that know nothing of each other, parents made on the way."""
    (tmp_path / "here.txt").write_text("words")
    name = FlytePersistence(default_prefix=raw, data_config=None).construct_path(False, True, "0af3", "c.bin")

    FlytePersistence(data_config=DataConfig.auto()).put(str(tmp_path / "here.txt"), name, recursive=False)

    assert FlytePersistence().exists(name)
    FlytePersistence(data_config=DataConfig.auto()).get(name, str(tmp_path / "new" / "back.txt"), recursive=False)
    assert (tmp_path / "new" / "back.txt").read_text() == "words"


def test_recursive_means_contents(raw, tree, tmp_path):
    """There and back, to folders that exist and to others: no level more, old files replaced, others left."""
    (tmp_path / "back" / "sub").mkdir(parents=True)
    (tmp_path / "back" / "kept").write_text("kept")
    (tmp_path / "back" / "sub" / "run.sh").write_text("old")

    for _ in range(2):
        FlytePersistence().put(str(tree), f"{raw}/t", recursive=True)
    for name in ("back", "fresh"):
        FlytePersistence().get(f"{raw}/t", str(tmp_path / name), recursive=True)

    assert files(tmp_path / "fresh") == files(tree)
    assert files(tmp_path / "back") == {**files(tree), "kept": "kept"}


def test_an_empty_folder(raw, tmp_path):
    """It comes back where there are folders; a store without them says that there is nothing."""
    (tmp_path / "empty").mkdir()
    FlytePersistence().put(str(tmp_path / "empty"), f"{raw}/e", recursive=True)

    if raw.startswith("s3"):
        with pytest.raises(ObjectNotFoundError):
            FlytePersistence().get(f"{raw}/e", str(tmp_path / "back"), recursive=True)
    else:
        FlytePersistence().get(f"{raw}/e", str(tmp_path / "back"), recursive=True)
        assert list((tmp_path / "back").iterdir()) == []


def test_a_file_is_no_folder(raw, tmp_path):
    """A FlyteDirectory that is a file is refused, and nothing is stored."""
    (tmp_path / "file").write_text("x")

    with pytest.raises(NotAFolderError, match="is a file"):
        FlytePersistence().put(str(tmp_path / "file"), f"{raw}/t", recursive=True)

    assert not FlytePersistence().exists(f"{raw}/t")


def test_missing_is_an_error(raw, tmp_path):
    """A name that holds nothing is told, as what it is."""
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt: not found"):
        FlytePersistence().get(f"{raw}/nowhere.txt", str(tmp_path / "x"))

    assert not FlytePersistence().exists(f"{raw}/nowhere.txt")


def test_onto_itself(tree):
    """From and to one place moves nothing and harms nothing, however it is spelled."""
    before = files(tree)

    FlytePersistence().put(str(tree), str(tree), recursive=True)
    FlytePersistence().get(tree.as_uri(), str(tree), recursive=True)
    FlytePersistence().get(str(tree / ".hidden"), (tree / ".hidden").as_uri())

    assert files(tree) == before


def test_plain_names_are_local(tmp_path, monkeypatch):
    """Relative and absolute names mean this machine wherever they stand, whatever the prefix."""
    monkeypatch.chdir(tmp_path)
    p = FlytePersistence(default_prefix="memory://elsewhere")
    Path("a.txt").write_text("words")

    p.put("a.txt", "sub/b.txt")
    p.get("sub/b.txt", "c.txt")

    assert Path("sub/b.txt").read_text() == Path("c.txt").read_text() == "words"
    assert p.exists("sub/b.txt")
    assert p.exists(str(tmp_path / "c.txt"))
    assert list(p.listdir("sub")) == ["b.txt"]


def test_programs_stay_programs(tree, tmp_path):
    """Between folders of this machine files keep their modes, as flytekit's own class has it."""
    FlytePersistence().put(str(tree), str(tmp_path / "t"), recursive=True)

    assert os.access(tmp_path / "t" / "sub" / "run.sh", os.X_OK)


def test_listing(raw, tree):
    """Bare names of one folder; full names, that can be asked for again, of all files below."""
    FlytePersistence().put(str(tree), f"{raw}/t", recursive=True)

    assert {*FlytePersistence().listdir(f"{raw}/t")} - {"empty"} == {".hidden", "a[1]*.txt", "sub"}
    assert {*FlytePersistence().listdir(f"{raw}/t", recursive=True)} == {f"{raw}/t/{name}" for name in files(tree)}
    with pytest.raises(ObjectNotFoundError):
        FlytePersistence().listdir(f"{raw}/nowhere")


# --- credentials ---


def test_what_the_configuration_says():
    """Only what it really says, and only for S3."""
    p = FlytePersistence(data_config=DataConfig(S3Config(endpoint="http://h:1", access_key_id="k", secret_access_key="s")))

    assert p.options_for("s3://b") == {"key": "k", "secret": "s", "endpoint_url": "http://h:1"}
    assert p.options_for("s3a://b") == p.options_for("s3://b")
    assert p.options_for("gs://b") == {}
    assert FlytePersistence(data_config=DataConfig()).options_for("s3://b") == {}


def test_options_of_the_constructor_come_first():
    """They are more particular than the configuration."""
    config = DataConfig(S3Config(access_key_id="k", secret_access_key="s"))
    p = FlytePersistence("s3://b", config, storage_options={"key": "mine"})

    assert p.options_for("s3://b") == {"key": "mine", "secret": "s"}


def test_flytekit_is_asked_when_it_matters(configuration, tmp_path):
    """Without a configuration its own one is looked up: for S3, and for nothing else."""
    FlytePersistence().exists(str(tmp_path))
    FlytePersistence().exists("memory://m/x")
    assert configuration.asked == 0

    FlytePersistence().options_for("s3://b")
    assert configuration.asked == 1


def test_without_flytekit(monkeypatch):
    """There is no configuration then, which is no error."""
    monkeypatch.setitem(sys.modules, "flytekit.configuration", None)

    assert FlytePersistence().options_for("s3://b") == {}


def attempts(s3, **more):
    policy = FlytePersistence(data_config=DataConfig(s3), **more)._owner("s3://b")._policy
    return policy.attempts, policy.backoff_seconds


def test_retries(monkeypatch):
    """What flytekit was told holds; what it says by itself leaves our policy, and a policy that was given comes first."""
    monkeypatch.delenv("PERSISTENCE_FSSPEC_BACKOFF_SECONDS")

    assert attempts(S3Config()) == (Policy().attempts, Policy().backoff_seconds)
    assert attempts(S3Config(retries=7)) == (8, Policy().backoff_seconds)
    assert attempts(S3Config(retries="7")) == attempts(S3Config(retries=7))
    assert attempts(S3Config(retries=0, backoff=timedelta(minutes=1))) == (1, 60)
    assert attempts(S3Config(retries=7), policy=Policy(attempts=2)) == (2, Policy().backoff_seconds)
    assert FlytePersistence(data_config=DataConfig(S3Config(retries=7)))._owner("ftp://h")._policy == Policy()


def test_secrets_are_not_pickled():
    """A configuration with a secret in it stays; one without travels."""
    with pytest.raises(SecretPicklingError, match=r"data_config\.s3\.secret"):
        pickle.dumps(FlytePersistence(data_config=DataConfig(S3Config(access_key_id="k", secret_access_key="s"))))

    again = pickle.loads(pickle.dumps(FlytePersistence("memory://m", DataConfig(S3Config(endpoint="http://h:1")))))
    assert again.construct_path(False, True, "x") == "memory://m/x"
    assert again.options_for("s3://b") == {"endpoint_url": "http://h:1"}


@pytest.mark.server("ftp")
def test_a_password_in_the_prefix_stays_here(ftp_server, tmp_path, monkeypatch):
    """The names that are handed out lack it, and work in this process nevertheless."""
    monkeypatch.setattr(logins, "_known", {})
    (tmp_path / "a").write_text("words")
    login, place = "{username}:{password}".format(**ftp_server.storage_options), ftp_server.url.removeprefix("ftp://")
    name = FlytePersistence(default_prefix=f"ftp://{login}@{place}/raw").construct_path(False, True, uuid.uuid4().hex)

    FlytePersistence(data_config=None).put(str(tmp_path / "a"), name)
    FlytePersistence(data_config=None).get(name, str(tmp_path / "b"))

    assert ftp_server.storage_options["password"] not in name
    assert (tmp_path / "b").read_text() == "words"


# --- what everybody may read ---

_REFUSED = b"<?xml version='1.0'?><Error><Code>InvalidAccessKeyId</Code><Message>There is no such key.</Message></Error>"


class RefusesKeys(HttpFaults):
    """S3 as it meets a key that it does not know: everything signed is refused, also what everybody may read."""

    def _ask(self, request):
        if "authorization" not in request.headers:
            return super()._ask(request)
        body = b"" if request.method == "HEAD" else _REFUSED
        return Answer(f"HTTP/1.1 403 Forbidden\r\nContent-Length: {len(_REFUSED)}\r\n\r\n".encode(), body, 403)


@pytest.fixture
def public(s3_server):
    """A bucket that everybody may read."""
    server = s3_server.new_bucket(f"public-{uuid.uuid4().hex}")
    allow(server, "public-read")
    server.raw_write("open/a.txt", b"words")
    return server


def allow(server, acl):
    fsspec.filesystem("s3", **server.storage_options).call_s3("put_bucket_acl", Bucket=server.bucket, ACL=acl)


@pytest.fixture(params=["refused", "none"])
def stranger(request, public, monkeypatch):
    """With a key that is refused, or without any."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    if request.param == "none":
        yield DataConfig(S3Config(endpoint=public.endpoint_url))
        return
    with RefusesKeys(public.process.port) as proxy:
        yield DataConfig(S3Config(endpoint=f"http://{HOST}:{proxy.port}", access_key_id="gone", secret_access_key="x"))


@pytest.mark.server("s3")
def test_public_data_need_no_credentials(public, stranger, tmp_path, monkeypatch):
    """Refused credentials, or none, do not keep anybody from what all may read."""
    monkeypatch.setattr(DataConfig, "found", stranger.s3)

    assert FlytePersistence().exists(f"{public.url}/open/a.txt")
    assert list(FlytePersistence().listdir(f"{public.url}/open")) == ["a.txt"]
    FlytePersistence(data_config=stranger).get(f"{public.url}/open", str(tmp_path / "back"), recursive=True)
    assert files(tmp_path / "back") == {"a.txt": "words"}


@pytest.mark.server("s3")
def test_the_first_refusal_is_told(public, stranger, tmp_path):
    """If nobody may read it, the error is that of our credentials, and says that it was tried without."""
    private = public.new_bucket(f"private-{uuid.uuid4().hex}")
    private.raw_write("a.txt", b"secret")

    with pytest.raises(PermissionDeniedError) as caught:
        FlytePersistence(data_config=stranger).get(f"{private.url}/a.txt", str(tmp_path / "x"))

    said, _, without = str(caught.value).partition("Without credentials: ")
    assert "redentials" in said or "no such key" in said
    assert without
    assert not (tmp_path / "x").exists()


@pytest.mark.server("s3")
def test_nothing_is_written_as_nobody(public, stranger, tmp_path):
    """A bucket where everybody may write does not get what was meant to carry a name."""
    allow(public, "public-read-write")
    (tmp_path / "a").write_text("x")

    with pytest.raises(PermissionDeniedError):
        FlytePersistence(data_config=stranger).put(str(tmp_path / "a"), f"{public.url}/new.txt")

    assert public.raw_read("new.txt") is None


# --- the registry ---


class Theirs:
    """A class of flytekit's own."""


class Others(Theirs):
    """Another."""


class Sender:
    """Of signed URLs."""

    sent: ClassVar = []

    def __init__(self, **kwargs):
        assert set(kwargs) == {"data_config"}

    def put(self, *arguments):
        self.sent.append(arguments)


class Handler:
    """Of structured datasets: for one protocol, or for all."""

    def __init__(self, protocol=None):
        self.protocol = protocol


@pytest.fixture
def flytekit(monkeypatch):
    """flytekit's registries, before anybody comes."""

    class Plugins:
        _PLUGINS: ClassVar = {"file://": Theirs, "/": Theirs, "s3://": Others}

        @classmethod
        def register_plugin(cls, protocol, plugin, force=False):
            if protocol in cls._PLUGINS and not force:
                raise TypeError(protocol)
            cls._PLUGINS[protocol] = plugin

    general, own = Handler(), Handler("gs")

    class Engine:
        ENCODERS: ClassVar = {"frame": {"file": {"parquet": general}, "s3": {"parquet": general}, "gs": {"parquet": own}}}
        DECODERS: ClassVar = {"other": {"gs": {"": own}}}

    for name, content in {
        "core": {},
        "core.data_persistence": {"DataPersistencePlugins": Plugins},
        "types.structured.structured_dataset": {"StructuredDatasetTransformerEngine": Engine},
    }.items():
        module = ModuleType(f"flytekit.{name}")
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    Plugins.engine, Plugins.general, Plugins.own = Engine, general, own
    return Plugins


def now(flytekit):
    """The registries as they are: classes in their order, and handlers by type, protocol and format."""
    tables = (flytekit.engine.ENCODERS, flytekit.engine.DECODERS)
    return list(flytekit._PLUGINS.items()), copy.deepcopy(tables, {id(one): one for one in (flytekit.general, flytekit.own)})


def undo(overrides):
    for one in reversed(overrides):
        one.restore()


def test_every_protocol_is_ours(flytekit):
    """What flytekit knew, and what fsspec knows; the order of the registry, in which it is searched, is kept."""
    found = list(legacy.override("flytekit 1.4.2"))

    assert set(flytekit._PLUGINS.values()) == {FlytePersistence}
    assert list(flytekit._PLUGINS)[:3] == ["file://", "/", "s3://"]
    assert {f"{name}://" for name in fsspec.available_protocols()} <= {*flytekit._PLUGINS}
    assert len({one.protocol for one in found}) == len(found)
    undo(found)


def test_everything_goes_back(flytekit):
    """Class by class and in order; what was not there is gone."""
    before = now(flytekit)
    found = list(legacy.override("flytekit 1.4.2"))
    s3 = next(one for one in found if one.protocol == "s3")

    assert (s3.before.rpartition(".")[2], s3.now) == ("Others", s3.ours)
    undo(found)
    assert now(flytekit) == before


def test_twice_is_once(flytekit):
    """A second time finds nothing to do, so that undoing the first puts back flytekit's own."""
    before = now(flytekit)
    found = list(legacy.override("flytekit 1.4.2"))

    assert list(legacy.override("flytekit 1.4.2")) == []
    undo(found)
    assert now(flytekit) == before


@pytest.mark.parametrize(
    ("said", "ours"),
    [("0", set()), ("s3", {"s3://", "s3a://"}), ("file", {"file://", "/", "local://"})],
)
def test_the_environment_chooses(flytekit, monkeypatch, said, ours):
    """Protocols by name, ``/`` with ``file``; handlers only for these."""
    monkeypatch.setenv(VARIABLE, said)
    found = list(legacy.override("flytekit 1.4.2"))

    assert {key for key, cls in flytekit._PLUGINS.items() if cls is FlytePersistence} == ours
    protocols = {key.removesuffix("://") for key in ours} - {"/"}
    assert {*flytekit.engine.ENCODERS["frame"]} == {"file", "s3", "gs", *protocols}
    undo(found)


def test_handlers_for_all_serve_all(flytekit):
    """A handler that names no protocol gets those that nobody serves; one that names its own stays what it is."""
    found = list(legacy.override("flytekit 1.4.2"))

    frame, other = flytekit.engine.ENCODERS["frame"], flytekit.engine.DECODERS["other"]
    assert frame["memory"] == frame["ftp"] == {"parquet": flytekit.general}
    assert frame["gs"] == {"parquet": flytekit.own}
    assert other == {"gs": {"": flytekit.own}}
    undo(found)


def test_its_own_handlers_serve_all(flytekit):
    """Before 1.2 flytekit's own ones named a protocol each, and did not care."""
    own = type("ItsOwn", (Handler,), {"__module__": "flytekit.types.structured.basic_dfs"})("s3")
    flytekit.engine.ENCODERS["frame"] = {"s3": {"parquet": own}}
    found = list(legacy.override("flytekit 1.0.0"))

    assert flytekit.engine.ENCODERS["frame"]["memory"] == {"parquet": own}
    undo(found)
    assert flytekit.engine.ENCODERS["frame"] == {"s3": {"parquet": own}}


def test_without_a_driver_flytekit_goes_on(flytekit, monkeypatch):
    """What worked before goes on working where we lack the package; where nothing worked, ours tells what is missing."""
    for protocol in ("s3", "oss"):
        monkeypatch.setitem(known_implementations, protocol, {"class": "no_such_package.FileSystem"})
        monkeypatch.delitem(_registry, protocol, raising=False)
    said = []
    end = on_event(lambda event: said.append((event.name, event.fields["protocol"])))
    found = list(legacy.override("flytekit 1.4.2"))
    end()

    assert flytekit._PLUGINS["s3://"] is Others
    assert flytekit._PLUGINS["oss://"] is flytekit._PLUGINS["file://"] is FlytePersistence
    assert said == [("override_skipped", "s3")]
    undo(found)


def test_signed_urls_are_sent_by_flytekit(flytekit, tmp_path, monkeypatch):
    """Only its own class knows the one request that they take; all else of the web is ours, and this once more when undone."""
    monkeypatch.setattr(Sender, "sent", [])
    flytekit._PLUGINS["https://"] = Sender
    (tmp_path / "a").write_text("x")
    found = list(legacy.override("flytekit 1.4.2"))

    flytekit._PLUGINS["https://"](data_config=None).put(str(tmp_path / "a"), "https://host/code?Signature=x", recursive=False)
    undo(found)

    assert Sender.sent == [(str(tmp_path / "a"), "https://host/code?Signature=x", False)]
    with pytest.raises(UnsupportedPersistenceOp):
        FlytePersistence().put(str(tmp_path / "a"), "https://host/code?Signature=x")


def test_classes_that_came_later_stay(flytekit):
    """Undoing leaves what somebody registered in our place, and puts back the rest of that protocol."""
    found = list(legacy.override("flytekit 1.4.2"))
    flytekit.register_plugin("/", Others, force=True)
    undo(found)

    assert list(flytekit._PLUGINS.items()) == [("file://", Theirs), ("/", Others), ("s3://", Others)]


def test_handlers_that_came_later_stay(flytekit):
    """Undoing takes out ours and leaves theirs."""
    found = list(legacy.override("flytekit 1.4.2"))
    later = Handler("ftp")
    flytekit.engine.ENCODERS["frame"]["ftp"]["csv"] = later
    flytekit.engine.ENCODERS["frame"]["sftp"]["parquet"] = later
    undo(found)

    assert flytekit.engine.ENCODERS["frame"]["ftp"] == {"csv": later}
    assert flytekit.engine.ENCODERS["frame"]["sftp"] == {"parquet": later}


# --- what the fsspec plugin of flytekit had ---


def test_its_helpers(tmp_path):
    """Who inherited from its class finds the methods that it had."""
    p = FlytePersistence(data_config=DataConfig(S3Config(access_key_id="k", secret_access_key="s", endpoint="http://h:1")))

    assert [p.get_protocol(path) for path in ("s3://a", "/a", "file://a", None)] == ["s3", "file", "file", "file"]
    assert p.recursive_paths("/a", "/b") == p.recursive_paths("/a/", "/b/") == ("/a/*", "/b/")
    assert p.get_filesystem(str(tmp_path)).protocol == ("file", "local")
    assert p.get_filesystem("s3://b").storage_options == {"key": "k", "secret": "s", "endpoint_url": "http://h:1"}
    assert p.get_anonymous_filesystem("s3://b").storage_options == {"endpoint_url": "http://h:1", "anon": True}
    assert p.get_anonymous_filesystem("/a") is None
