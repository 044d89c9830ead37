"""An option that a driver does not know is refused, and nothing is sent; the others reach it."""

from __future__ import annotations

import contextlib
import inspect
import json
import socket
import sys
import threading
import types
import warnings

import fsspec
import pytest
from fsspec.implementations.arrow import HadoopFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry, known_implementations
from fsspec.spec import AbstractFileSystem

from persistence_fsspec import (
    CredentialsExpiredError,
    FSSpecPersistence,
    InvalidOptionError,
    MissingDriverError,
    Policy,
    UnknownProtocolError,
)
from persistence_fsspec.cli.options import storage_options
from persistence_fsspec.config import OptionSource, merged
from persistence_fsspec.diagnosis.explain import explain, protocols
from persistence_fsspec.layers.layer import Layer
from persistence_fsspec.secret import SecretReference
from persistence_fsspec.stores import strict as strict_module
from persistence_fsspec.stores.known import _SINKS
from persistence_fsspec.stores.opening import driver_class
from persistence_fsspec.stores.quirks import driver_name
from persistence_fsspec.stores.strict import option_path, unknown

_dialled: list[object] = []
_watching = threading.Event()


def _note(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.sendto"} and _watching.is_set():
        _dialled.append(arguments[1] if event == "socket.connect" else arguments[:2])


sys.addaudithook(_note)


@pytest.fixture
def listener():
    """A port on loopback that counts who knocks; and nobody may knock anywhere else either."""
    knocks = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        done = threading.Event()

        def count():
            while not done.is_set():
                with contextlib.suppress(TimeoutError):
                    knocks.append(server.accept())

        thread = threading.Thread(target=count)
        thread.start()
        _dialled.clear()
        _watching.set()
        try:
            yield types.SimpleNamespace(port=server.getsockname()[1], knocks=knocks, dialled=_dialled)
        finally:
            _watching.clear()
            done.set()
            thread.join()
            for connection, _ in knocks:
                connection.close()


def served_by(monkeypatch, protocol, cls):
    """Let a class serve a protocol for the time of a test."""
    monkeypatch.setitem(_registry, protocol, cls)


def paramiko(monkeypatch):
    pytest.importorskip("paramiko")
    from fsspec.implementations.sftp import SFTPFileSystem

    served_by(monkeypatch, "sftp", SFTPFileSystem)


def sshfs(monkeypatch):
    served_by(monkeypatch, "sftp", pytest.importorskip("sshfs").SSHFileSystem)


def hdfs_native(monkeypatch):
    served_by(monkeypatch, "hdfs", pytest.importorskip("hdfs_native.fsspec").HdfsFileSystem)


def arrow(monkeypatch):
    served_by(monkeypatch, "hdfs", HadoopFileSystem)


def needs(package):
    return lambda _: pytest.importorskip(package)


def as_registered(_):
    """The class that fsspec names."""


MISSPELT = {
    "s3": (needs("s3fs"), "s3://b", r"for s3 \(s3fs\); did you mean 'endpoint_url'\?"),
    "gs": (needs("gcsfs"), "gs://b", r"for gs \(gcsfs\); did you mean 'endpoint_url'\?"),
    "abfs": (needs("adlfs"), "abfs://b", r"for abfs \(adlfs\); did you mean 'account_host' .*'connection_string'"),
    "ftp": (as_registered, "ftp://127.0.0.1:{port}/d", r"for ftp \(ftp\); the host stands in the URL, as in ftp://host/folder, or in .*'host'"),
    "paramiko": (paramiko, "sftp://127.0.0.1:{port}/d", r"for sftp \(paramiko\); the host stands in the URL, as in sftp://"),
    "sshfs": (sshfs, "sftp://127.0.0.1:{port}/d", r"for sftp \(sshfs\); the host stands in the URL, as in sftp://"),
    "smb": (needs("smbclient"), "smb://127.0.0.1:{port}/share", r"for smb \(smb\); the host stands in the URL, as in smb://host/share"),
    "webdav": (needs("webdav4"), "webdav://127.0.0.1:{port}/d", r"for webdav \(webdav\); did you mean 'base_url'\?"),
    "http": (needs("aiohttp"), "http://127.0.0.1:{port}/d", r"for http \(http\); the URL itself says where"),
    "hdfs-native": (hdfs_native, "hdfs://127.0.0.1:{port}/d", r"for hdfs \(hdfs-native\); the host stands in the URL, as in hdfs://"),
    "pyarrow": (arrow, "hdfs://127.0.0.1:{port}/d", r"for hdfs \(pyarrow\); the host stands in the URL, as in hdfs://"),
    "webhdfs": (needs("requests"), "webhdfs://127.0.0.1:{port}/d", r"for webhdfs \(webhdfs\); the host stands in the URL, as in webhdfs://"),
}  # fmt: skip


@pytest.mark.parametrize("driver", MISSPELT)
def test_a_misspelt_endpoint_is_refused_before_a_packet(driver, listener, monkeypatch):
    """With the word that this driver has for it."""
    prepare, url, expected = MISSPELT[driver]
    prepare(monkeypatch)
    endpoint = f"http://127.0.0.1:{listener.port}"
    persistence = FSSpecPersistence(url.format(port=listener.port), storage_options={"enpoint_url": endpoint})

    with pytest.raises(InvalidOptionError, match=f"unknown option 'enpoint_url' {expected}") as caught:
        persistence.exists("x")
    assert "unchecked={'enpoint_url': ...}" in caught.value.hint
    assert str(listener.port) not in str(caught.value).replace(url.format(port=listener.port), "")
    assert listener.dialled == []
    assert listener.knocks == []


def test_the_listener_hears_those_who_knock(listener):
    """Or the test above could not fail."""
    options = {"timeout": 0.2}
    persistence = FSSpecPersistence(f"ftp://127.0.0.1:{listener.port}/d", storage_options=options, policy=Policy(attempts=1))
    with pytest.raises(OSError, match="timed out"):
        persistence.exists("x")

    assert listener.dialled


MEANT = [
    ("abfs", "key", "'account_name'"),
    ("abfs", "secret", "'account_key'"),
    ("abfs", "blocksze", "'blocksize'"),
    ("s3", "account_key", "'secret'"),
    ("s3", "region_name", "client_kwargs={'region_name': ...}"),
    ("s3", "connect_timeout", "config_kwargs={'connect_timeout'"),
    ("s3", "ANON", "'anon'"),
    ("gs", "secret", "'token'"),
    ("gs", "anon", "'token', with the value 'anon'"),
    ("ftp", "user", "'username'"),
    ("ftp", "key", "'username'"),
    ("sftp", "identity_file", "'client_keys'"),
    ("smb", "user", "'username'"),
    ("webdav", "user", "'username'"),
    ("webdav", "key", "'username'"),
    ("http", "token", "client_kwargs={'headers'"),
    ("webhdfs", "username", "'user'"),
    ("hdfs", "username", "HADOOP_USER_NAME"),
    ("memory", "endpoint_url", "memory has no endpoint"),
    ("file", "endpoint_url", "no endpoint"),
]


@pytest.mark.parametrize(("protocol", "name", "expected"), MEANT)
def test_another_drivers_word_leads_to_the_right_one(protocol, name, expected):
    """Who comes from one store finds the way around the other."""
    cls = installed(protocol)
    wrong = unknown(cls, protocol, merged([OptionSource("storage_options", {name: 1})]))

    assert len(wrong) == 1
    assert expected in wrong[0].message


def installed(protocol):
    try:
        return driver_class(protocol)
    except ImportError as exc:
        pytest.skip(str(exc))


# --- what is known ----------------------------------------------------------------------------------------------------

PROTOCOLS = ("s3", "gs", "abfs", "ftp", "sftp", "smb", "webdav", "hdfs", "webhdfs", "http", "memory", "file", "zip", "tar")
MORE = {
    "s3": {
        "profile": "p",
        "client_kwargs": {"region_name": "r", "verify": False, "endpoint_url": "u", "aws_session_token": "t"},
        "config_kwargs": {"connect_timeout": 1, "retries": {"max_attempts": 1}, "s3": {"addressing_style": "path"}},
        "s3_additional_kwargs": {"ServerSideEncryption": "AES256", "ACL": "private"},
        "use_listings_cache": False,
        "listings_expiry_time": 1,
    },
    "gs": {"session_kwargs": {"trust_env": True}, "use_listings_cache": False},
    "abfs": {"exclude_managed_identity_credential": True, "use_listings_cache": False},
    "sftp": {"port": 1, "username": "u", "password": "p", "key_filename": "f", "client_keys": ["f"], "known_hosts": None},
    "webdav": {"verify": False, "headers": {}, "retry": False, "username": "u", "password": "p", "timeout": 1},
    "http": {"headers": {}, "ssl": False, "client_kwargs": {"trust_env": True, "headers": {}}, "username": "u"},
    "hdfs": {"dfs.replication": 2, "any.other.name": "x"},
    "smb": {"temppath": "t", "use_listings_cache": False},
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_named_parameter_is_accepted(protocol):
    """And what is known of those to whom the driver hands the rest."""
    cls = installed(protocol)
    own = [p.name for p in inspect.signature(cls).parameters.values() if p.kind in {p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY}]
    given = {**dict.fromkeys(own, None), "skip_instance_cache": True, **MORE.get(protocol, {})}

    assert unknown(cls, protocol, merged([OptionSource("storage_options", given)])) == []


@pytest.mark.parametrize("use", [paramiko, arrow])
def test_every_named_parameter_of_a_driver_that_was_replaced(use, monkeypatch):
    """paramiko's and pyarrow's, whichever package took their protocol."""
    use(monkeypatch)
    protocol = "sftp" if use is paramiko else "hdfs"
    cls = driver_class(protocol)
    given = {"host": "h", "port": 1, "temppath": "/t", "host_key_policy": "reject", "look_for_keys": False, "allow_agent": False}
    given |= {"username": "u", "key_filename": "f", "passphrase": "p", "client_keys": ["f"], "known_hosts": None}
    if use is arrow:
        given = dict.fromkeys(("host", "port", "user", "kerb_ticket", "replication", "extra_conf", "use_listings_cache"))

    assert unknown(cls, protocol, merged([OptionSource("storage_options", given)])) == []


NESTED = [
    ("s3", "client_kwargs", "regoin_name", "did you mean 'region_name'?"),
    ("s3", "config_kwargs", "conect_timeout", "did you mean 'connect_timeout'?"),
    ("s3", "s3_additional_kwargs", "ServerSideEncrytion", "did you mean 'ServerSideEncryption'?"),
    ("gs", "session_kwargs", "trust_enf", "did you mean 'trust_env'?"),
    ("http", "client_kwargs", "heders", "did you mean 'headers'?"),
    ("sftp", "sftp_client_kwargs", "path_encodng", "did you mean 'path_encoding'?"),
]


@pytest.mark.parametrize(("protocol", "outer", "inner", "said"), NESTED)
def test_nested_names_are_checked(protocol, outer, inner, said):
    """As far as the client library says which it knows."""
    wrong = unknown(installed(protocol), protocol, merged([OptionSource("storage_options", {outer: {inner: "hunter2"}})]))

    assert len(wrong) == 1
    assert f"{outer}[{inner!r}]" in wrong[0].message
    assert said in wrong[0].message
    assert "hunter2" not in str(wrong[0])


def test_a_session_of_ones_own_takes_what_it_takes():
    """With a function that makes the session, nobody knows its arguments."""
    given = {"get_client": print, "client_kwargs": {"anything": 1}}

    assert unknown(installed("http"), "http", merged([OptionSource("storage_options", given)])) == []


DROPPED = {"sftp": "use_listings_cache", "webdav": "use_listings_cache", "hdfs": "endpoint", "smb": "require_signing"}


@pytest.mark.parametrize("protocol", DROPPED)
def test_what_would_be_dropped_or_would_break_the_client_is_refused(protocol):
    """Also when it is an option everywhere else."""
    given = merged([OptionSource("storage_options", {DROPPED[protocol]: True})])

    assert len(unknown(installed(protocol), protocol, given)) == 1


def test_every_driver_we_have_read_has_its_sinks():
    """A row for each: the strict rule holds for these."""
    for protocol in PROTOCOLS:
        with contextlib.suppress(ImportError):
            assert driver_name(driver_class(protocol)) in _SINKS


def test_a_missing_client_library_makes_options_unknowable_not_wrong(monkeypatch):
    """Nothing breaks; a near miss of a name in the constructor is still found."""

    def init(self, endpoint_url=None, client_kwargs=None, **kwargs):
        """As s3fs', in short."""

    for name in ("aiobotocore.session", "botocore.session"):
        monkeypatch.setitem(sys.modules, name, None)
    cls = type("S3FileSystem", (AbstractFileSystem,), {"__module__": "s3fs.core", "protocol": "s3", "__init__": init})

    def wrong(**options):
        return unknown(cls, "s3", merged([OptionSource("storage_options", options)]))

    with pytest.warns(UserWarning, match="option 'event_hooks' is passed on"):
        assert wrong(event_hooks=1) == []
    assert wrong(client_kwargs={"anything": 1}) == []
    assert "did you mean 'endpoint_url'?" in wrong(enpoint_url="x")[0].message


def test_unchecked_options_reach_the_constructor():
    """Without a look, and below whoever names the same option above."""
    persistence = FSSpecPersistence("memory://b", storage_options={"unchecked": {"odd": 1, "even": {"n": 2}}})

    assert persistence.exists("x") is False
    assert instance(persistence).storage_options == {"odd": 1, "even": {"n": 2}}


def instance(persistence):
    """The driver's instance behind a persistence."""
    store, _ = persistence.store_and_key()
    while isinstance(store, Layer):
        store = store.inner
    with store._driver.connections.lease() as fs:
        return fs


def test_unchecked_must_be_a_mapping():
    """Or nobody knows what is meant."""
    with pytest.raises(InvalidOptionError, match="unchecked in storage_options must be a mapping, not int"):
        FSSpecPersistence("memory://b", storage_options={"unchecked": 1}).exists("x")


@pytest.mark.parametrize(("protocol", "name"), [("memory", "global_stor"), ("file", "auto_mkdr")])
def test_the_simplest_stores_are_checked_too(protocol, name):
    """A typing error is one everywhere."""
    with pytest.raises(InvalidOptionError, match=f"unknown option '{name}' for {protocol}"):
        FSSpecPersistence(f"{protocol}:///nowhere", storage_options={name: True}).exists("x")


def test_links_of_a_chain_are_checked_each_against_its_class(tmp_path):
    """Nested by protocol; flat ones are the first link's."""
    flat = FSSpecPersistence("simplecache::memory://b", storage_options={"cache_storge": str(tmp_path)})
    nested = FSSpecPersistence("simplecache::memory://b", storage_options={"memory": {"global_stor": True}})

    with pytest.raises(InvalidOptionError, match=r"'cache_storge' for simplecache .*; did you mean 'cache_storage'"):
        flat.exists("x")
    with pytest.raises(InvalidOptionError, match="'global_stor' for memory"):
        nested.exists("x")


def test_options_of_links_arrive(tmp_path):
    """Where they are meant to."""
    fsspec.filesystem("memory").pipe_file("/arrive/k", b"hello")
    given = {"cache_storage": str(tmp_path), "memory": {"unchecked": {"odd": 1}}}
    persistence = FSSpecPersistence("simplecache::memory://arrive", storage_options=given)

    assert persistence.read_bytes("simplecache::memory://arrive/k") == b"hello"
    assert list(tmp_path.iterdir())


def test_fsspecs_configuration_is_checked_and_named(monkeypatch):
    """What fsspec would add by itself is an option like any other."""
    monkeypatch.setitem(fsspec.config.conf, "ftp", {"pasive": True})

    with pytest.raises(InvalidOptionError, match=r"'pasive' for ftp \(ftp\)(.|\n)*It comes from fsspec's configuration"):
        FSSpecPersistence("ftp://127.0.0.1:1").exists("x")


# --- drivers nobody has read ------------------------------------------------------------------------------------------


class Swallows(MemoryFileSystem):
    """As many third-party drivers: named options, and the rest goes who knows where."""

    protocol = "swallows"

    def __init__(self, endpoint_url=None, **options):
        super().__init__()
        self.given = {"endpoint_url": endpoint_url, **options}


Swallows.__module__ = "third.party"


class Exact(MemoryFileSystem):
    """Takes what it names."""

    protocol = "exact"

    def __init__(self, depth=1):
        super().__init__()


Exact.__module__ = "third.party"


@pytest.fixture(autouse=True)
def strangers(monkeypatch):
    """Two third-party drivers, of which nobody has been warned."""
    served_by(monkeypatch, "swallows", Swallows)
    served_by(monkeypatch, "exact", Exact)
    monkeypatch.setattr(strict_module, "_warned", set())


def test_a_near_miss_is_an_error_even_if_anything_is_taken():
    """It is far more likely a typing error than another option of nearly the same name."""
    with pytest.raises(
        InvalidOptionError, match=r"'enpoint_url' for swallows \(third\.party\.Swallows\); did you mean 'endpoint_url'"
    ):
        FSSpecPersistence("swallows://b", storage_options={"enpoint_url": "x"}).exists("x")


def test_any_other_name_is_passed_on_with_one_warning():
    """For each class and name, however many stores are opened."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for shade in ("red", "blue"):
            persistence = FSSpecPersistence("swallows://b", storage_options={"colour": shade})
            persistence.exists("x")
            assert instance(persistence).given["colour"] == shade

    assert [str(one.message).partition(",")[0] for one in caught] == ["option 'colour' is passed on to third.party.Swallows"]
    assert caught[0].category is UserWarning


def test_unchecked_warns_nobody():
    """It says that it is meant."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        persistence = FSSpecPersistence("swallows://b", storage_options={"unchecked": {"colour": "red"}})
        assert persistence.exists("x") is False
    assert instance(persistence).given["colour"] == "red"


def test_a_driver_that_names_all_it_takes_is_believed():
    """Another name would be a TypeError, after who knows what."""
    with pytest.raises(InvalidOptionError, match=r"'colour' for exact"):
        FSSpecPersistence("exact://b", storage_options={"colour": "red"}).exists("x")
    assert FSSpecPersistence("exact://b", storage_options={"depth": 2}).exists("x") is False


# --- secrets, factories, renewal --------------------------------------------------------------------------------------


def test_references_are_looked_up_when_a_connection_is_made(monkeypatch):
    """Not before, and each time."""
    given = {"unchecked": {"token": SecretReference(env="LATE_TOKEN"), "deep": {"list": [SecretReference(env="LATE_TOKEN")]}}}
    persistence = FSSpecPersistence("swallows://late", storage_options=given)
    store, _ = persistence.store_and_key()
    while isinstance(store, Layer):
        store = store.inner
    with pytest.raises(InvalidOptionError, match="token: the environment variable LATE_TOKEN is not set"):
        persistence.exists("x")
    monkeypatch.setenv("LATE_TOKEN", "first-secret-value")
    first = store._driver.connections._make()
    monkeypatch.setenv("LATE_TOKEN", "second-secret-value")
    second = store._driver.connections._make()

    assert first.given["token"] == "first-secret-value"
    assert second.given["deep"] == {"list": ["second-secret-value"]}


made = []


def factory(url, **options):
    """The user's own way to a filesystem."""
    made.append((url, options))
    return Swallows(skip_instance_cache=True, **options)


def fails(url, **options):
    raise KeyError("hunter2")


def returns_nothing(url, **options):
    """Forgot its return statement."""


def refused_connection(url, **options):
    raise ConnectionRefusedError(111, "refused")


def test_a_factory_makes_each_connection(monkeypatch):
    """With the URL, and all other options, secrets looked up."""
    made.clear()
    monkeypatch.setenv("FACTORY_TOKEN", "of-the-factory")
    given = {"filesystem_factory": factory, "token": SecretReference(env="FACTORY_TOKEN"), "any_name": 1}
    persistence = FSSpecPersistence("swallows://me:pass-of-url@made", storage_options=given)
    persistence.write_bytes("k", b"1")

    assert made[0][0] == "swallows://me@made"
    assert made[0][1].items() >= {"token": "of-the-factory", "any_name": 1, "password": "pass-of-url"}.items()
    store, _ = persistence.store_and_key()
    while isinstance(store, Layer):
        store = store.inner
    store._driver.connections._forget()
    assert persistence.read_bytes("k") == b"1"
    assert len(made) == 2


def test_a_factory_by_name_serves_a_protocol_that_nobody_knows(monkeypatch, tmp_path):
    """Named in the user's own file, for example."""
    module = types.ModuleType("factory_of_a_test")
    module.inner = types.SimpleNamespace(make=factory)
    monkeypatch.setitem(sys.modules, "factory_of_a_test", module)
    file = tmp_path / "own.toml"
    file.write_text('[stores."swallows://by-name"]\nfilesystem_factory = "factory_of_a_test:inner.make"\n')
    monkeypatch.setenv("PERSISTENCE_FSSPEC_CONFIG", str(file))
    made.clear()

    assert FSSpecPersistence("swallows://by-name/x").exists("k") is False
    assert made == [("swallows://by-name", {})]


WRONG_FACTORIES = {
    "not.dotted.right": "must look like 'package.module:function'",
    "no_such_module_anywhere:f": "'no_such_module_anywhere' cannot be imported",
    "json:no_such_function": "'json' has no 'no_such_function'",
    "json:__doc__": "must be a function or its dotted name, not str",
    7: "must be a function or its dotted name, not int",
    fails: "failed: KeyError",
    returns_nothing: "returned NoneType, which is no fsspec filesystem",
}


@pytest.mark.parametrize("wrong", WRONG_FACTORIES, ids=range(len(WRONG_FACTORIES)))
def test_a_wrong_factory_is_told_clearly(wrong):
    """Which one, and what is wrong with it; not what it was given."""
    given = {"filesystem_factory": wrong, "token": "hunter2"}
    with pytest.raises(InvalidOptionError) as caught:
        FSSpecPersistence("swallows://b", storage_options=given).exists("x")

    assert WRONG_FACTORIES[wrong] in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_factory_that_cannot_connect_is_a_connection_that_failed():
    """And so may be tried again."""
    with pytest.raises(ConnectionError):
        FSSpecPersistence("swallows://b", storage_options={"filesystem_factory": refused_connection}).exists("x")


def connections_of(persistence):
    store, _ = persistence.store_and_key()
    while isinstance(store, Layer):
        store = store.inner
    return store._driver.connections


def test_a_function_is_asked_again_when_credentials_expire():
    """Once, and the next instance has the new ones."""
    asked = []

    def options(url):
        asked.append(url)
        return {"unchecked": {"token": f"token-{len(asked)}"}}

    persistence = FSSpecPersistence("swallows://renewed/x", storage_options=options)
    persistence.exists("x")
    persistence.exists("y")
    connections = connections_of(persistence)
    assert asked == ["swallows://renewed"]
    assert instance(persistence).given["token"] == "token-1"

    assert connections.renew(CredentialsExpiredError("expired"), since=1e12) is True
    with connections.lease() as fs:
        assert fs.given["token"] == "token-2"
    assert instance(persistence).given["token"] == "token-2"
    assert len(asked) == 2


def test_renewing_looks_references_up_again(monkeypatch):
    """A rotated secret is a new credential, though no option has changed."""
    monkeypatch.setenv("ROTATED", "the-old-secret")
    persistence = FSSpecPersistence("swallows://rot", storage_options={"unchecked": {"t": SecretReference(env="ROTATED")}})
    persistence.exists("x")
    maker = connections_of(persistence)._make
    assert maker.renew() is False

    monkeypatch.setenv("ROTATED", "the-new-secret")
    assert maker.renew() is True
    assert maker().given["t"] == "the-new-secret"


def test_nothing_is_renewed_that_nobody_can_renew():
    """Options that were written down, and a filesystem that the caller made."""
    fixed = FSSpecPersistence("swallows://fixed", storage_options={"endpoint_url": "x"})
    fixed.exists("x")
    given = FSSpecPersistence("swallows://given", filesystem=Swallows(skip_instance_cache=True))
    given.exists("x")

    assert connections_of(fixed)._make.renew() is False
    assert connections_of(given)._make.renew() is False


def test_renewed_options_are_checked_too():
    """A function may err the second time."""
    answers = iter([{"endpoint_url": "a"}, {"enpoint_url": "b"}])
    persistence = FSSpecPersistence("swallows://err", storage_options=lambda url: next(answers))
    persistence.exists("x")

    with pytest.raises(InvalidOptionError, match="did you mean 'endpoint_url'"):
        connections_of(persistence)._make.renew()


# --- explaining -------------------------------------------------------------------------------------------------------


def test_explain_tells_origins_and_no_secret(monkeypatch, tmp_path, listener):
    """Of all options, without connecting anywhere, and without looking a secret up."""
    file = tmp_path / "own.toml"
    file.write_text('[stores.ftp]\nacct = { env = "NOT_SET" }\ntimeout = 7\n[profiles.work.ftp]\nport = 1\n')
    monkeypatch.setenv("PERSISTENCE_FSSPEC_CONFIG", str(file))
    monkeypatch.setenv("FSSPEC_HUNTER", "hunter5")
    monkeypatch.delenv("PERSISTENCE_FSSPEC_BACKOFF_SECONDS")  # of all these tests
    monkeypatch.setitem(fsspec.config.conf, "ftp", {"encoding": "latin-1"})
    persistence = FSSpecPersistence(f"ftp://me:hunter2@127.0.0.1:{listener.port}/x", storage_options={"password": "hunter3"})
    found = explain(persistence)
    told = {option.name: (option.value, option.origin.rpartition("/")[2]) for option in found.options}

    assert told == {
        "password": ("***", "storage_options"),
        "host": ("127.0.0.1", "the URL"),
        "port": (listener.port, "the URL"),
        "username": ("me", "the URL"),
        "acct": (SecretReference(env="NOT_SET"), "own.toml [stores.ftp]"),
        "timeout": (7, "own.toml [stores.ftp]"),
        "encoding": ("latin-1", "fsspec's configuration"),
    }
    assert (found.driver, found.registered_by) == ("fsspec.implementations.ftp.FTPFileSystem", "fsspec")
    assert found.package.startswith("fsspec ")
    assert found.environment == ("FSSPEC_HUNTER", "PERSISTENCE_FSSPEC_CONFIG", "PERSISTENCE_FSSPEC_STATE_DIR")
    assert found.capabilities["publish"] == "atomic"
    assert found.accelerator == "none: every request goes through the driver itself"
    assert [(one.found, one.own) for one in found.files] == [(True, True), (False, False)]
    assert "hunter" not in json.dumps(found.as_dict()).replace("FSSPEC_HUNTER", "")
    assert found.as_dict()["schema"] == 1
    assert found.problems == ()
    assert listener.dialled == []
    assert listener.knocks == []


def test_explain_says_why_it_would_not_work():
    """All the rest is told all the same."""
    found = explain(FSSpecPersistence("file:///b", storage_options={"auto_mkdi": 1}), "k")

    assert "did you mean 'auto_mkdir'" in found.problems[0]
    assert found.driver.endswith("LocalFileSystem")
    assert explain(FSSpecPersistence("memory://b"), "s33://b").problems


def test_explain_knows_who_took_a_protocol_over(monkeypatch):
    """A package's entry point, or this very process."""
    served_by(monkeypatch, "memory", Swallows)
    found = explain(FSSpecPersistence("memory://b"))

    assert (found.registered_by, found.replaced) == ("this process", "fsspec.implementations.memory.MemoryFileSystem")
    given = explain(FSSpecPersistence("memory://b", filesystem=MemoryFileSystem()))
    assert "ready filesystem" in given.registered_by


def test_protocols_say_what_is_missing_and_how_to_get_it(monkeypatch):
    """Of every protocol that fsspec has heard of."""
    monkeypatch.setitem(known_implementations, "sftp", {"class": "sshfs.spec:SSHFileSystem", "err": "?"})
    monkeypatch.delitem(_registry, "box", raising=False)
    monkeypatch.setitem(sys.modules, "boxfs", None)
    found = {one.protocol: one for one in protocols()}

    assert found["memory"].installed
    assert found["memory"].install == ""
    assert not found["box"].installed
    assert found["box"].install == f'{sys.executable} -m pip install "persistence-fsspec[box]"'
    if found["sftp"].registered_by.startswith("sshfs "):
        assert found["sftp"].replaced == "fsspec.implementations.sftp.SFTPFileSystem"


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("client_kwargs", "{'region_name': 'x'}", "a mapping"),
        ("config_kwargs", 5, "a mapping"),
        ("anon", "treu", "true or false"),
        ("use_ssl", "no", "true or false"),
    ],
    ids=["mapping-as-text", "mapping-as-number", "misspelt-switch", "switch-as-text"],
)
def test_a_value_of_the_wrong_kind_is_refused(name, value, wanted):
    """Text where the driver wants a table or a switch would do something else than it says."""
    with pytest.raises(InvalidOptionError, match=f"option '{name}' for s3 is {wanted}"):
        FSSpecPersistence("s3://b", storage_options={name: value}).exists("k")


DOTTED = [
    (hdfs_native, "dfs.blocksize", ["dfs.blocksize"]),
    (hdfs_native, "storage_options.x", ["storage_options.x"]),
    (arrow, "extra_conf.dfs.blocksize", ["extra_conf", "dfs.blocksize"]),
    (arrow, "extra_conf", ["extra_conf"]),
]


@pytest.mark.parametrize(("use", "name", "path"), DOTTED)
def test_the_dots_of_hadoops_names_lead_nowhere(use, name, path, monkeypatch):
    """They belong to the name; any other driver's lead into its mappings."""
    use(monkeypatch)

    assert option_path(driver_class("hdfs"), name) == path
    assert option_path(MemoryFileSystem, "client_kwargs.verify") == ["client_kwargs", "verify"]


def test_the_command_line_takes_hadoops_names(monkeypatch):
    """With the protocol in front and without."""
    hdfs_native(monkeypatch)
    said = ["dfs.blocksize=1", "hdfs.dfs.client.x=true", "s3.client_kwargs.verify=false", "https.headers.a=b"]

    assert storage_options(said, ["hdfs://h/x"]) == {
        "hdfs": {"dfs.blocksize": 1, "dfs.client.x": True},
        "s3": {"client_kwargs": {"verify": False}},
        "https": {"headers": {"a": "b"}},
    }


def test_the_command_line_keeps_http_and_https_apart():
    """An option without a protocol must not go to the one that is not encrypted."""
    with pytest.raises(InvalidOptionError, match=r"say http\.headers or https\.headers"):
        storage_options(["headers=x"], ["http://h/a", "https://h/b"])


def test_a_driver_that_has_been_retired_is_told(monkeypatch):
    """Its package is there, and the class it served the protocol with is not."""
    monkeypatch.setitem(known_implementations, "retired", {"class": "json.NoSuchFileSystem", "err": "Use az:// instead."})

    with pytest.raises(MissingDriverError, match=r"retired://.*\nUse az:// instead"):
        FSSpecPersistence("retired://x").exists("y")
    assert not next(one for one in protocols() if one.protocol == "retired").installed


def test_fsspecs_generic_filesystem_is_no_store(tmp_path):
    """It only copies between others, which find their own stores here."""
    with pytest.raises(UnknownProtocolError, match=r"generic:// is no store\nLeave generic::"):
        FSSpecPersistence(f"generic::file://{tmp_path}").exists("x")
