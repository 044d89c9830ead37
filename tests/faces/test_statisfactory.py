"""The interface of statisfactory's backends without statisfactory, on real stores; lakeFS on a stand-in."""

from __future__ import annotations

import array
import io
import json
import os
import pickle
import subprocess
import sys
import threading
import uuid
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlparse

import fsspec
import pytest
from fsspec.registry import known_implementations

from persistence_fsspec import (
    FSSpecPersistence,
    InvalidNameError,
    InvalidOptionError,
    IsAFolderError,
    ObjectNotFoundError,
    PermissionDeniedError,
    Policy,
    SecretPicklingError,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.faces.statisfactory import Backend, PrefixTakenError, making, registering, storage, twin
from persistence_fsspec.faces.statisfactory import lakefs as lakefs_names
from persistence_fsspec.faces.statisfactory import settings as settings_of
from persistence_fsspec.faces.statisfactory.fragments import url_of
from persistence_fsspec.faces.statisfactory.settings import options_of
from persistence_fsspec.faces.statisfactory.storage import Registration, SessionPersistence
from persistence_fsspec.location import parse
from tests.quirks.places import in_fork
from tests.servers import lakefs
from tests.servers import s3 as moto
from tests.servers.meter import HttpMeter
from tests.servers.process import HOST, free_port

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "statisfactory"
LONG = "x" * 300
NAMES = ["a #1?b;c%20d [2]*.csv", "deep/er/a.csv", "ü/名.bin", "a?x=s3:b", "&+=,@.csv"]


class Shop:
    """One store: where artifacts lie, the session that leads there, and what is really there."""

    def __init__(self, base, read, session=None):
        self.base, self.raw_read, self.session = base, read, session

    def url(self, name):
        return f"{self.base}/{name}"

    def put(self, name, payload, **context):
        fragment = urlparse(self.url(name))
        Backend.backends()[fragment.scheme](session=self.session).put(payload=payload, fragment=fragment, **context)

    def get(self, name, **context):
        fragment = urlparse(self.url(name))
        return Backend.backends()[fragment.scheme](session=self.session).get(fragment=fragment, **context)


def ask(operation, url, payload=b"", session=None):
    """Put or get, whatever the URL."""
    fragment = urlparse(url)
    backend = Backend.backends()[fragment.scheme](session=session)
    return backend.get(fragment=fragment) if operation == "get" else backend.put(payload=payload, fragment=fragment)


def aws(server, **more):
    """A session whose settings lead to an S3 server."""
    options = server.storage_options
    settings = {"aws_access_key": options["key"], "aws_secret_access_key": options["secret"]}
    return SimpleNamespace(settings={**settings, "aws_s3_endpoint": options["endpoint_url"], **more})


def _file(folder, name):
    path = folder / name
    return path.read_bytes() if path.is_file() else None


@pytest.fixture(
    params=["", "file", "memory", *(pytest.param(name, marks=pytest.mark.server(name)) for name in ("s3", "ftp", "sftp"))]
)
def shop(request, tmp_path, monkeypatch):
    if request.param == "":
        monkeypatch.chdir(tmp_path)
        return Shop("catalog", lambda name: _file(tmp_path / "catalog", name))
    if request.param == "file":
        return Shop(tmp_path.as_uri(), lambda name: _file(tmp_path, name))
    folder = f"st-{uuid.uuid4().hex}"
    if request.param == "memory":
        return Shop(f"memory://{folder}", lambda name: fsspec.filesystem("memory").store[f"/{folder}/{name}"].getvalue())
    server = request.getfixturevalue(f"{request.param}_server")
    if request.param != "s3":
        options = (
            server.sshfs_options if request.param == "sftp" else server.storage_options
        )  # sshfs speaks it where it is installed
        monkeypatch.setitem(fsspec.config.conf, request.param, options)
    session = aws(server) if request.param == "s3" else None
    return Shop(f"{server.url}/{folder}", lambda name: server.raw_read(f"{folder}/{name}"), session)


# --- bytes ---


def test_what_was_put_is_there(shop):
    """The bytes lie under the name in the path, and come back."""
    shop.put("rows.bin", b"\0\xff rows")

    assert shop.raw_read("rows.bin") == b"\0\xff rows"
    assert shop.get("rows.bin") == b"\0\xff rows"


@pytest.mark.parametrize("name", NAMES)
def test_names_are_literal(shop, name):
    """``#``, ``?``, ``;`` and ``%20`` belong to the name, though ``urlparse`` splits there; folders above are made."""
    shop.put(name, b"x")

    assert shop.raw_read(name) == b"x"
    assert shop.get(name) == b"x"


@pytest.mark.parametrize(
    "payload",
    [
        b"rows",
        bytearray(b"rows"),
        memoryview(b"rows"),
        io.BytesIO(b"rows").getbuffer(),
        array.array("H", b"rows"),
        memoryview(b"r.o.w.s.")[::2],
    ],
    ids=["bytes", "bytearray", "memoryview", "getbuffer", "array", "strided"],
)
def test_anything_with_bytes(shop, payload):
    """A payload may be anything with the buffer protocol; a workbook arrives as a memoryview."""
    shop.put("rows", payload)

    assert shop.get("rows") == b"rows"


def test_bytes_are_handed_on_as_they_are(monkeypatch):
    """No copy of them is made on the way; anything else is copied once."""
    handed = []
    monkeypatch.setattr(SessionPersistence, "write_bytes", lambda self, address, data: handed.append(data))
    payload = b"not copied"
    for one in (payload, bytearray(payload)):
        ask("put", "memory://st/a", one)

    assert handed[0] is payload
    assert (type(handed[1]), handed[1]) == (bytes, payload)


def test_nothing_is_a_payload(shop):
    """An empty artifact is one."""
    shop.put("empty", b"")

    assert shop.get("empty") == b""


def test_put_replaces(shop):
    """A shorter artifact leaves nothing of the longer one."""
    shop.put("rows", b"a long first version")
    shop.put("rows", b"short")

    assert shop.raw_read("rows") == b"short"


def test_the_context_changes_nothing(shop):
    """Options and the craft's context are not heard, whatever their names: not ours, and not the driver's."""
    context = {
        "index": False,
        "overwrite": False,
        "storage_options": {"no": 1},
        "data": b"",
        "url": "x",
        "prefix": "y",
        "lake_ref": "z",
    }
    shop.put("rows", b"one", **context)
    shop.put("rows", b"two", **context, if_match="none", session="s")

    assert shop.get("rows", **context, start=1, version="v") == b"two"


def test_what_is_missing(shop):
    """Nothing there is our error, which names it."""
    with pytest.raises(ObjectNotFoundError, match=r"none\.csv: not found"):
        shop.get("none.csv")


def test_a_folder_is_no_artifact(shop):
    """A path that ends in a slash is refused."""
    with pytest.raises(IsAFolderError):
        shop.put("folder/", b"")


# --- files of this machine ---


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The working folder, and backends for paths in it."""
    monkeypatch.chdir(tmp_path)
    return Shop(".", lambda name: _file(tmp_path, name))


def test_dots_are_the_users(here, tmp_path):
    """``..`` in a plain path is what it is for the operating system, behind a link too."""
    (tmp_path / "elsewhere" / "in").mkdir(parents=True)
    (tmp_path / "link").symlink_to("elsewhere/in")
    here.put("link/../a.csv", b"a")
    here.put("none/../b.csv", b"b")

    assert here.raw_read("elsewhere/a.csv") == b"a"
    assert here.get("link/../a.csv") == b"a"
    assert here.raw_read("b.csv") == b"b"


def test_a_tilde_is_a_name(tmp_path, monkeypatch):
    """Nobody's home is meant by a plain path, as before."""
    monkeypatch.chdir(tmp_path)
    fragment = urlparse("~/a.csv")
    Backend.backends()[""](session=None).put(payload=b"a", fragment=fragment)

    assert (tmp_path / "~" / "a.csv").read_bytes() == b"a"


def test_a_path_with_a_url_in_it(here):
    """It is a path all the same."""
    here.put("a?x=s3://b/c", b"a")

    assert here.raw_read("a?x=s3:/b/c") == b"a"


@pytest.mark.parametrize(
    "url", ["file://{}/a b.csv", "file:{}/a b.csv", "file://localhost{}/a b.csv", "/{}/a b.csv", "{}/a b.csv"]
)
def test_absolute_paths(tmp_path, url):
    """All spellings of one file."""
    fragment = urlparse(url.format(tmp_path))
    Backend.backends()[fragment.scheme](session=None).put(payload=b"a", fragment=fragment)

    assert (tmp_path / "a b.csv").read_bytes() == b"a"


@pytest.mark.parametrize(
    "url", ["file:a.csv", "local:a.csv", "file:below/../a.csv", "file://{}/below/../a.csv", "file://{}/./a.csv"]
)
def test_a_file_with_a_protocol_is_a_plain_path(here, tmp_path, url):
    """From the working folder if it is relative; ``..`` is the user's, as without a protocol."""
    fragment = urlparse(url.format(tmp_path))
    backend = Backend.backends()[fragment.scheme](session=None)
    backend.put(payload=b"a", fragment=fragment)

    assert here.raw_read("a.csv") == b"a"
    assert backend.get(fragment=fragment) == b"a"


@pytest.mark.parametrize("url", ["file://otherhost/a", "file://~/a", "file://a/b.csv", "local://a/b.csv"])
@pytest.mark.parametrize("operation", ["put", "get"])
def test_a_file_of_another_machine(here, tmp_path, operation, url):
    """What stands before the path is a host, never a folder here, and no home."""
    with pytest.raises(InvalidNameError, match=r"(?s)another machine.*:///folder/name"):
        ask(operation, url)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["s3:bucket/a.pkl", "memory:a", "sftp:host/x", "data:,x", "lakefs:x", "S3:b/a"])
@pytest.mark.parametrize("operation", ["put", "get"])
def test_a_protocol_without_slashes(here, tmp_path, operation, url):
    """It is refused, and never a file of this machine; the error shows how to write it."""
    with pytest.raises(InvalidNameError, match=f"Write {urlparse(url).scheme}://"):
        ask(operation, url)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("prefix", ["", "file://{}/"])
def test_a_link_stays(here, tmp_path, prefix):
    """A link to a file is written through, as by any program that opens it."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "f").write_bytes(b"a long old text")
    (tmp_path / "link").symlink_to("real/f")
    ask("put", f"{prefix.format(tmp_path)}link", b"new")

    assert (tmp_path / "link").is_symlink()
    assert here.raw_read("real/f") == b"new"


def test_a_link_to_nothing(here, tmp_path):
    """The file that it leads to is made."""
    (tmp_path / "link").symlink_to("made")
    here.put("link", b"new")

    assert (tmp_path / "link").is_symlink()
    assert here.raw_read("made") == b"new"


def test_a_link_to_a_name_that_is_too_long(here, tmp_path):
    """It is our error, and the link stays."""
    (tmp_path / "link").symlink_to(LONG)
    for operation in ("put", "get"):
        with pytest.raises(InvalidNameError, match="long"):
            ask(operation, "link")

    assert os.readlink(tmp_path / "link") == LONG


def test_a_link_in_a_circle(here, tmp_path):
    """It leads nowhere, and stays what it is."""
    (tmp_path / "link").symlink_to("link")
    with pytest.raises(OSError, match="levels of symbolic links"):
        here.put("link", b"new")

    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize(
    "path", [LONG, f"{{}}/{LONG}", f"file://{{}}/{LONG}", f"{LONG}/a.csv", f"{{}}/../{LONG}", f"file:{LONG}"]
)
@pytest.mark.parametrize("operation", ["put", "get"])
def test_a_name_that_is_too_long(here, tmp_path, operation, path):
    """It is our error, which says so, wherever it stands."""
    with pytest.raises(InvalidNameError, match="long"):
        ask(operation, path.format(tmp_path))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("operation", ["put", "get"])
def test_a_working_folder_that_is_gone(tmp_path, monkeypatch, operation):
    """It is our error; paths that do not begin there are as ever."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here").rmdir()

    with pytest.raises(ObjectNotFoundError, match="working folder"):
        ask(operation, "a.csv")
    ask("put", f"{tmp_path}/a.csv", b"a")
    assert ask("get", f"{tmp_path}/a.csv") == b"a"


@pytest.mark.parametrize("url", ["memory://st/../a", "s3://bucket/../a", "ftp://host/a/../../b"])
def test_a_url_never_leaves_its_root(url):
    """``..`` in a URL is refused before any traffic."""
    fragment = urlparse(url)
    with pytest.raises(InvalidNameError):
        Backend.backends()[fragment.scheme](session=None).put(payload=b"", fragment=fragment)


@pytest.mark.parametrize(
    "url",
    [
        "s3://b/a;p?q#f",
        "s3://b/?x#y",
        "memory:///a",
        "simplecache::s3://b/x",
        "zip://i/a::s3://b/a.zip",
        "a/b;c?d#e",
        "//a/b",
        "/a",
        "x",
    ],
)
def test_a_fragment_is_put_together_again(url):
    """What ``urlparse`` took apart is the same URL again."""
    assert url_of(urlparse(url)) == url


@pytest.mark.parametrize("url", ["simplecache::memory://st/a", "filecache::memory://st/a", "zip://a::memory://st/a.zip"])
def test_caches_and_archives_are_only_read(url):
    """What is written through them would not be whole or not at all."""
    with pytest.raises(UnsupportedPersistenceOp):
        ask("put", url)


# --- s3 ---


@pytest.fixture
def bucket(s3_server):
    """The name of a bucket that is not there, and the session."""
    name = f"st-{uuid.uuid4().hex}"
    return SimpleNamespace(name=name, session=aws(s3_server), server=s3_server)


def s3(session):
    return Backend.backends()["s3"](session=session)


@pytest.mark.server("s3")
@pytest.mark.parametrize("region", ["", "us-east-1", "eu-west-1"])
def test_a_missing_bucket_is_made(bucket, s3_server, region):
    """By the first write into it, wherever it is to be."""
    s3(aws(s3_server, aws_region=region)).put(payload=b"x", fragment=urlparse(f"s3://{bucket.name}/a/b"))

    assert replace(s3_server, bucket=bucket.name).raw_read("a/b") == b"x"


def writer(endpoint_url):
    """The key of a user who may do everything but make buckets, as settings."""
    user = {"UserName": f"writer-{uuid.uuid4().hex}"}
    allowed = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    denied = {"Effect": "Deny", "Action": "s3:CreateBucket", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed, denied]})
    moto._check_signatures(endpoint_url, on=False)
    try:
        moto._iam(endpoint_url, {"Action": "CreateUser", **user})
        moto._iam(endpoint_url, {"Action": "PutUserPolicy", **user, "PolicyName": "p", "PolicyDocument": policy})
        found = moto._iam(endpoint_url, {"Action": "CreateAccessKey", **user}).find("CreateAccessKeyResult/AccessKey")
    finally:
        moto._check_signatures(endpoint_url, on=True)
    return {"aws_access_key": found.findtext("AccessKeyId"), "aws_secret_access_key": found.findtext("SecretAccessKey")}


@pytest.mark.server("strict_s3")
def test_a_bucket_that_may_not_be_made(strict_s3_server):
    """The error says that the bucket is missing, which is its cause, too, and why it stays so."""
    session = aws(strict_s3_server, **writer(strict_s3_server.endpoint_url))
    with pytest.raises(PermissionDeniedError, match=r"the bucket is not there, and could not be made: .*Denied") as caught:
        ask("put", f"s3://st-{uuid.uuid4().hex}/k", session=session)

    assert isinstance(caught.value.__cause__, ObjectNotFoundError)


@pytest.mark.server("s3")
def test_get_makes_no_bucket(bucket):
    """Reading from a bucket that is not there says so, again and again."""
    for _ in range(2):
        with pytest.raises(ObjectNotFoundError, match="bucket not found"):
            s3(bucket.session).get(fragment=urlparse(f"s3://{bucket.name}/a"))


@pytest.fixture
def metered(s3_server):
    """The S3 server behind a proxy that counts requests, and a session that leads there."""
    with HttpMeter(urlparse(s3_server.endpoint_url).port) as meter:
        told = []
        meter.alert = lambda moment: told.append(moment) if moment.startswith("before") else None
        session = aws(s3_server, aws_s3_endpoint=f"http://{HOST}:{meter.port}")
        yield SimpleNamespace(session=session, told=told, server=s3_server)


@pytest.mark.server("s3")
def test_a_put_asks_for_nothing_else(metered):
    """Where the bucket is there, nobody asks whether it is: one request writes."""
    fragment = urlparse(f"s3://{metered.server.bucket}/st/{uuid.uuid4().hex}")
    s3(metered.session).put(payload=b"x", fragment=fragment)

    assert [moment.split()[1] for moment in metered.told] == ["PUT"]


@pytest.mark.server("s3")
def test_a_missing_object_costs_one_more(metered):
    """Looking for the key with the slash is one request, made only when the other is missing."""
    fragment = urlparse(f"s3://{metered.server.bucket}/st/{uuid.uuid4().hex}")
    with pytest.raises(ObjectNotFoundError):
        s3(metered.session).get(fragment=fragment)

    asked = [moment for moment in metered.told if f"/{fragment.path}" in moment]
    assert len(asked) == 1


def apart(prefix, registration):
    """A class of backends apart from those that all tests share."""

    class Apart:
        def __init__(self, session):
            self._session = session

        def __init_subclass__(cls, prefix):
            """Registers nothing."""

    return making.made(Apart, prefix, registration)


@pytest.fixture
def slashing(s3_server):
    """Backends of keys with a slash in front."""
    return apart("s3", Registration(leading_slash=True))(session=aws(s3_server))


@pytest.mark.server("s3")
def test_keys_of_their_own_backend(slashing, s3_server):
    """With ``leading_slash`` the key is the path as ``urlparse`` gives it, slash included, both ways."""
    key = f"/st-{uuid.uuid4().hex}/dir/k #1.csv"
    s3_server.raw_write(key, b"theirs")

    assert slashing.get(fragment=urlparse(f"s3://{s3_server.bucket}{key}")) == b"theirs"
    slashing.put(payload=b"ours", fragment=urlparse(f"s3://{s3_server.bucket}{key}"))
    assert s3_server.raw_read(key) == b"ours"
    assert s3_server.raw_read(key[1:]) is None


@pytest.mark.parametrize("url", ["simplecache::s3://b/k", "zip://a::s3://b/a.zip"])
@pytest.mark.parametrize("operation", ["put", "get"])
def test_a_slash_does_not_reach_into_chains(operation, url):
    """A cache would find another key; so chains over s3 are refused with ``leading_slash``."""
    fragment = urlparse(url)
    backend = apart(fragment.scheme, Registration(leading_slash=True))(session=None)
    with pytest.raises(InvalidNameError, match="leading_slash does not reach into a chain"):
        getattr(backend, operation)(fragment=fragment, **({"payload": b""} if operation == "put" else {}))


@pytest.mark.server("s3")
def test_a_key_with_a_slash_is_hinted_at(s3_server):
    """What their own backend wrote is not found, and the error says how to read it."""
    key = f"/st-{uuid.uuid4().hex}/k"
    s3_server.raw_write(key, b"")

    with pytest.raises(ObjectNotFoundError, match=r"register\(leading_slash=True\)"):
        s3(aws(s3_server)).get(fragment=urlparse(f"s3://{s3_server.bucket}{key}"))


@pytest.mark.server("s3")
def test_a_key_without_a_slash_is_hinted_at(slashing, s3_server):
    """The other way round, too."""
    key = f"st-{uuid.uuid4().hex}/k"
    s3_server.raw_write(key, b"x")

    with pytest.raises(ObjectNotFoundError, match=r"register\(leading_slash=False\)"):
        slashing.get(fragment=urlparse(f"s3://{s3_server.bucket}/{key}"))


@pytest.mark.server("s3")
def test_nothing_is_hinted_at_in_vain(bucket):
    """Where there is neither, nothing is said of slashes."""
    with pytest.raises(ObjectNotFoundError) as caught:
        s3(bucket.session).get(fragment=urlparse(f"s3://{bucket.server.bucket}/{bucket.name}"))

    assert "leading_slash" not in str(caught.value)


# --- settings ---


@pytest.fixture
def no_variables(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("AWS_", "FSSPEC_", "LAKE"))]:
        monkeypatch.delenv(name)


def settled(settings, url, **more):
    """The options that hold for a URL."""
    session = SimpleNamespace(settings=settings)
    return SessionPersistence(options_of(session), **more)._addresses.options(parse(url)).values


AWS = {"aws_access_key": "AKIA", "aws_secret_access_key": "hunter2", "aws_region": "eu-west-1", "aws_s3_endpoint": "http://s3"}


def test_settings_of_s3(no_variables):
    """Key, secret, region and endpoint; a key is a whole login."""
    login = {"key": "AKIA", "secret": "hunter2", "token": None, "anon": False}
    wanted = {**login, "client_kwargs": {"region_name": "eu-west-1"}, "endpoint_url": "http://s3"}

    assert settled(AWS, "s3://b/k") == wanted
    assert settled(AWS, "s3a://b/k") == wanted


def test_settings_that_are_not_there(no_variables):
    """Nothing is said of what is not set, so that profiles and roles hold."""
    assert settled({"aws_access_key": None, "aws_region": ""}, "s3://b/k") == {}
    assert dict(SessionPersistence(options_of(None))._addresses.options(parse("s3://b/k")).values) == {}


def test_settings_of_lakefs(no_variables):
    """Key, secret and endpoint."""
    settings = {"lakefs_access_key": "AKIA", "lakefs_secret_access_key": "hunter2", "lakefs_endpoint": "http://lake"}
    wanted = {"username": "AKIA", "password": "hunter2", "host": "http://lake", "create_branch_ok": False}

    session = SimpleNamespace(settings=settings)
    assert SessionPersistence(options_of(session)).options_for("lakefs://r") == wanted


@pytest.mark.parametrize("url", ["ftp://host/k", "gs://b/k", "memory://b/k", "file:///k"])
def test_settings_are_for_their_own_store(no_variables, url):
    """No other store is told the credentials of S3."""
    assert "hunter2" not in repr(dict(settled(AWS, url)))


def test_settings_reach_into_chains(no_variables):
    """What lies in an archive on S3 is read with them."""
    persistence = SessionPersistence(options_of(SimpleNamespace(settings=AWS)))

    assert persistence._addresses.options(parse("zip://a::s3://b/a.zip")).links["s3"].values["secret"] == "hunter2"


def test_registration_comes_before_settings(no_variables):
    """Option by option, what the registration says holds, then the settings."""
    found = settled(AWS, "s3://b/k", storage_options={"s3": {"endpoint_url": "http://mine"}})

    assert (found["endpoint_url"], found["key"]) == ("http://mine", "AKIA")


@pytest.mark.parametrize(
    "login",
    [{"key": "mine", "secret": "too"}, {"profile": "mine"}, {"token": "mine"}, {"anon": True}],
    ids=lambda login: next(iter(login)),
)
@pytest.mark.parametrize("url", ["s3://b/k", "simplecache::s3://b/k"])
def test_a_login_is_of_one_place(no_variables, url, login):
    """Where the registration says who asks, the settings do not; what else they say holds."""
    rest = {"client_kwargs": {"region_name": "eu-west-1"}, "endpoint_url": "http://s3"}
    found = SessionPersistence(options_of(SimpleNamespace(settings=AWS)), storage_options={"s3": login}).options_for(url)

    assert (found if url.startswith("s3") else found["s3"]) == {**login, **rest}


def test_a_login_of_the_settings_is_whole(monkeypatch, no_variables):
    """No token and no anonymity of the environment are added to it."""
    monkeypatch.setitem(fsspec.config.conf, "s3", {"token": "another's", "anon": True, "use_ssl": False})
    found = settled(AWS, "s3://b/k")

    assert (found["key"], found["token"], found["anon"], found["use_ssl"]) == ("AKIA", None, False, False)


def test_arguments_of_the_client_are_those_of_both(no_variables):
    """What the registration says of the client does not drop the region."""
    found = settled(AWS, "s3://b/k", storage_options={"s3": {"client_kwargs": {"verify": False}}})

    assert found["client_kwargs"] == {"verify": False, "region_name": "eu-west-1"}


def test_a_misspelt_setting_is_told_once(monkeypatch, caplog):
    """The log says what was meant, for all operations together."""
    monkeypatch.setattr(settings_of, "_warned", set())
    session = SimpleNamespace(settings={"AWS_S3_ENDPONT": "http://s3", "aws_region": "eu-west-1", "lakefs_bucket": "b"})
    for _ in range(2):
        ask("put", "memory://st/misspelt", session=session)

    (told,) = caplog.records
    assert (told.name, told.levelname) == ("persistence_fsspec", "WARNING")
    assert "'aws_s3_endpont'" in told.getMessage()
    assert "Did you mean 'aws_s3_endpoint'?" in told.getMessage()


def test_variables_of_ones_own_are_no_settings(monkeypatch, caplog):
    """What only begins like a setting is for the catalog, and nobody is bothered with it."""
    monkeypatch.setattr(settings_of, "_warned", set())
    ask(
        "put", "memory://st/own", session=SimpleNamespace(settings={"aws_bucket": "b", "lakefs_team": "t", "aws": 1, "base": "x"})
    )

    assert caplog.records == []


def test_settings_come_before_all_else(tmp_path, monkeypatch, no_variables):
    """persistence.toml fills what they leave open."""
    toml = tmp_path / "persistence.toml"
    toml.write_text('[stores.s3]\nkey = "toml"\nanon = false\n')
    toml.chmod(0o600)
    monkeypatch.setenv("PERSISTENCE_FSSPEC_CONFIG", str(toml))

    found = settled(AWS, "s3://b/k")
    assert (found["key"], found["anon"]) == ("AKIA", False)


@pytest.mark.server("s3")
def test_without_settings_the_environment_holds(s3_server, monkeypatch):
    """Which their own backend could not do."""
    options = s3_server.storage_options
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", options["key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", options["secret"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", options["endpoint_url"])
    key = f"st-{uuid.uuid4().hex}"
    s3(SimpleNamespace(settings={})).put(payload=b"x", fragment=urlparse(f"s3://{s3_server.bucket}/{key}"))

    assert s3_server.raw_read(key) == b"x"


@pytest.mark.server("strict_s3")
def test_refused_settings_show_no_secret(strict_s3_server):
    """Wrong credentials are an error that does not print them."""
    session = aws(strict_s3_server, aws_secret_access_key="wr0ng-secret")
    backend = s3(session)
    with pytest.raises(PermissionDeniedError) as caught:
        backend.get(fragment=urlparse(f"s3://{strict_s3_server.bucket}/k"))

    assert "wr0ng-secret" not in f"{caught.value!r} {caught.value} {caught.value.__cause__!r} {backend!r}"


def test_settings_are_not_pickled():
    """Secrets in them do not leave the process."""
    with pytest.raises(SecretPicklingError, match=r"settings\.secret"):
        pickle.dumps(SessionPersistence(options_of(SimpleNamespace(settings=AWS))))


def test_stores_are_shared():
    """A backend lives for one operation; its store and connections belong to the process."""
    first, second = (Backend.backends()["memory"](session=None)._persistence() for _ in range(2))

    assert first.store_and_key("memory://a/b")[0] is second.store_and_key("memory://a/c")[0]


def test_a_function_of_the_url_is_asked_once():
    """As everywhere, though backends come and go."""
    asked = []

    def said(url):
        asked.append(url)
        return {}

    registration = Registration(storage_options=said)
    for _ in range(2):
        registration.persistence(None).store_and_key("ftp://host/a")

    assert asked == ["ftp://host"]


def test_threads_that_begin_at_once_share(monkeypatch):
    """Of two that make a persistence for the same settings, both use the first."""
    registration, both = Registration(), threading.Barrier(2)

    class Slow(SessionPersistence):
        def __init__(self, *arguments, **more):
            both.wait(10)
            super().__init__(*arguments, **more)

    monkeypatch.setattr(storage, "SessionPersistence", Slow)
    found = []
    threads = [threading.Thread(target=lambda: found.append(registration.persistence(None))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert found[0] is found[1]


# --- forks ---


@contextmanager
def elsewhere(act):
    """Another thread is inside of *act*, which is given a function that waits: for a second, at most."""
    inside, over = threading.Event(), threading.Event()

    def wait():
        inside.set()
        over.wait(1.0)

    thread = threading.Thread(target=act, args=(wait,))
    thread.start()
    assert inside.wait(10)
    yield
    over.set()
    thread.join(10)


def test_a_fork_while_a_backend_is_used(monkeypatch):
    """The child of a process whose other thread begins with new settings has its own way."""
    registration, main = Registration(), threading.current_thread()

    def first(wait):
        class Slow(SessionPersistence):
            def __init__(self, *arguments, **more):
                if threading.current_thread() is not main:
                    wait()
                super().__init__(*arguments, **more)

        monkeypatch.setattr(storage, "SessionPersistence", Slow)
        registration.persistence(None)

    with elsewhere(first):
        assert in_fork(lambda: registration.persistence(None) is not None) == "yes"


@pytest.mark.slow
@pytest.mark.parametrize("lock", [twin._filling, registering._lock], ids=["twin", "registering"])
def test_a_fork_while_the_registry_is_changed(registry, monkeypatch, lock):
    """The child has a whole registry, and can change it."""

    def hold(wait):
        with lock:
            wait()

    def child():
        monkeypatch.setitem(known_implementations, "later", {"class": "nowhere.Later"})
        with lock:
            return "later" in registry.backends()

    with elsewhere(hold):
        assert in_fork(child) == "yes"


# --- lakeFS: names ---


@pytest.mark.parametrize("ref", ["main", "v1.0", "main~1", "main^2", "c0ffee", "main@"])
def test_what_lake_ref_may_be(ref):
    """A branch, a tag, a commit, or an expression of them; the rule for git's branches is not for it."""
    session = SimpleNamespace(lakefs_repo={"name": "lake"})

    assert lakefs_names.url_of("lakefs://any//a/b#c", session, ref) == f"lakefs://lake/{ref}/a/b#c"


def test_a_path_without_a_repository():
    """If neither session nor path names one, it is said."""
    with pytest.raises(InvalidNameError, match="repository"):
        lakefs_names.url_of("lakefs:///a/b", None, "main")


@pytest.mark.parametrize("name", ["my_project", "Proj", "ab", "a" * 64, "a.b", "-abc"])
def test_a_repository_that_lakefs_cannot_have(name):
    """It is named, with the rule and where it comes from."""
    session = SimpleNamespace(settings={"project_slug": name})
    with pytest.raises(InvalidNameError, match=rf"(?s)repository '{name}': its name must match.*project_slug"):
        lakefs_names.url_of("lakefs://any/a", session, "main")


@pytest.mark.parametrize("name", ["lake", "a-b", "0ab", "a" * 63])
def test_a_repository_that_lakefs_can_have(name):
    """Lower case, digits and dashes, three of them at least."""
    assert lakefs_names.url_of("lakefs://any/a", SimpleNamespace(lakefs_repo={"name": name}), "b") == f"lakefs://{name}/b/a"


@pytest.mark.parametrize("name", ["-x", "/x", "", "main\n", "feat_y"])
def test_a_branch_that_lakefs_cannot_have(name):
    """Some of them are allowed by statisfactory's rule."""
    session = SimpleNamespace(lakefs_repo={"name": "lake"}, git=SimpleNamespace(head=SimpleNamespace(shorthand=name)))
    with pytest.raises(lakefs_names.BranchNameError, match="its name must match"):
        lakefs_names.url_of("lakefs://any/a", session, None)


def test_making_a_branch_is_tried_again():
    """As often as every other operation."""
    pytest.importorskip("lakefs_spec")
    options = {"host": f"http://{HOST}:{free_port()}", "username": "u", "password": "p"}
    policy = Policy(attempts=2, backoff_seconds=0)
    with pytest.raises(lakefs_names.BranchError, match="given up after 2 attempts"):
        lakefs_names.make_branch("lakefs://lake/new/a", options, policy, FSSpecPersistence("memory://").exists)


# --- lakeFS: its driver, on a stand-in for the server ---


@pytest.fixture(scope="module")
def lakes(lakefs_server):
    """What came of every step of the program, and the server."""
    pytest.importorskip("lakefs_spec")
    command = [sys.executable, PROGRAMS / "lakes.py", lakefs_server.endpoint_url, lakefs.USER, lakefs.PASSWORD]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return SimpleNamespace(told=json.loads(done.stdout.strip().splitlines()[-1]), server=lakefs_server)


@pytest.mark.slow
def test_artifacts_lie_on_the_branch_of_git(lakes):
    """In the repository of the project, whatever the path says; slashes of the branch's name are dashes."""
    assert lakes.server.at("feat-x").raw_read("dir/a #1?b.csv") == b"two"
    assert lakes.server.at("back-slash").raw_read("dir/a #1?b.csv") == b"four"
    assert lakes.told["read"]["found"] == "two"
    assert lakes.told["by slug"]["found"] == "two"


@pytest.mark.slow
def test_a_branch_is_made_by_the_first_write(lakes):
    """And not looked for by the next one."""
    made = "POST /branches"
    assert lakes.told["first"]["asked"].count(made) == 1
    assert made not in lakes.told["second"]["asked"]


@pytest.mark.slow
def test_get_makes_no_branch(lakes):
    """What lies on a branch that is not there is missing."""
    assert lakes.told["no branch"]["error"] == "ObjectNotFoundError"
    assert (
        "There is no branch, tag or commit 'never-made' in 'lake': only a put makes a branch." in lakes.told["no branch"]["text"]
    )
    assert "never-made" not in lakes.server.branches()
    assert not [each for each in lakes.told["no branch"]["asked"] if each.startswith("POST")]


@pytest.mark.slow
def test_a_repository_that_is_not_there(lakes):
    """It is named, for reading and for writing."""
    for step in (lakes.told["no lake"], lakes.told["theirs"]["no repository"]):
        assert "There is no repository 'nowhere', and none is made." in step["text"]


@pytest.mark.slow
def test_a_missing_object_costs_one_more_on_lakefs(lakes):
    """Where the branch is there, nothing is said of it."""
    assert "branch" not in lakes.told["main"]["text"]
    assert len(lakes.told["main"]["asked"]) == 3  # is it there, is it a folder, is there a branch


@pytest.mark.slow
def test_the_driver_keeps_no_login(lakes):
    """Making a branch leaves no instance in the cache of the driver's class."""
    assert lakes.told["kept"] == 0


@pytest.mark.slow
def test_branches_are_apart(lakes):
    """What was written on one is not on another."""
    assert lakes.told["main"]["error"] == "ObjectNotFoundError"


@pytest.mark.slow
def test_lake_ref_names_the_branch(lakes):
    """For reading, and for writing, where it is made as well."""
    assert lakes.told["by lake_ref"]["found"] == "two"
    assert lakes.server.at("other").raw_read("dir/a #1?b.csv") == b"three"


@pytest.mark.slow
@pytest.mark.parametrize("step", ["bad lake_ref", "odd lake_ref"])
def test_a_lake_ref_that_is_none(lakes, step):
    """What the context calls so, and is no reference, is refused before any request."""
    assert lakes.told[step]["error"] == "InvalidNameError"
    assert lakes.told[step]["asked"] == []


@pytest.mark.slow
def test_without_a_session_the_path_names_the_repository(lakes):
    """Nobody else could."""
    assert lakes.told["by host"]["error"] == "ObjectNotFoundError"
    assert "lakefs://lake/main/dir/none" in lakes.told["by host"]["text"]


@pytest.mark.slow
def test_without_git_a_lake_ref_is_needed(lakes):
    """The error says so."""
    assert lakes.told["no git"]["error"] == "InvalidOptionError"
    assert "lake_ref" in lakes.told["no git"]["text"]


@pytest.mark.slow
def test_a_branch_that_is_no_slug(lakes):
    """It is refused before any request, and both ways out are named."""
    assert lakes.told["slug rule"]["error"] == "BranchNameError"
    assert "Rename it, or say which branch with lake_ref" in lakes.told["slug rule"]["text"]
    assert lakes.told["slug rule"]["asked"] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "code", "cause"),
    [
        ("missing", "E0291", "ObjectNotFoundError"),
        ("no repository", "E065", "BranchError"),
        ("refused", "E0290", "AuthenticationError"),
        ("slug rule", "E0293", "BranchNameError"),
        ("dash first", "E0293", "BranchNameError"),
        ("odd repository", "E0290", "InvalidNameError"),
    ],
)
def test_codes_of_lakefs(lakes, step, code, cause):
    """With statisfactory, its codes; ours is the cause, and no secret is shown."""
    told = lakes.told["theirs"][step]

    assert (told["error"], told["cause"]) == (code, cause)
    assert "wr0ng-secret" not in told["text"]


@pytest.mark.slow
def test_where_the_login_to_lakefs_is_said(lakes):
    """Who is refused is told which settings of conf/ say who asks."""
    assert "conf/" in lakes.told["theirs"]["refused"]["text"]
    assert "lakefs_access_key, lakefs_secret_access_key, lakefs_endpoint" in lakes.told["theirs"]["refused"]["text"]


# --- the registry ---


@pytest.fixture
def registry(monkeypatch):
    """Afterwards as it was."""
    monkeypatch.setattr(Backend, "_backends", dict(Backend.backends()))
    monkeypatch.setattr(Backend, "_ours", set(Backend._ours))
    return Backend


def subclass(prefix):
    return type("Own", (Backend,), {"put": None, "get": None}, prefix=prefix)


def test_one_class_per_prefix():
    """Every protocol that fsspec knows, and paths without one."""
    backends = Backend.backends()

    assert {"", "file", "s3", "gs", "abfs", "ftp", "sftp", "hdfs", "memory", "zip", "lakefs"} <= set(backends)
    assert all(issubclass(cls, Backend) for cls in backends.values())
    assert len(set(backends.values())) == len(backends)
    assert all(urlparse(f"{prefix}://b/k").scheme == prefix for prefix in backends if prefix)


def test_a_prefix_of_ones_own(registry):
    """A subclass registers itself."""
    own = subclass("mine")

    assert registry.backends()["mine"] is own


def test_a_prefix_that_is_taken(registry):
    """It is a TypeError that names the prefix, and says what to do."""
    with pytest.raises(PrefixTakenError, match=r"(?s)'s3'.*pop\('s3'\)") as caught:
        subclass("s3")

    assert isinstance(caught.value, TypeError)


def test_a_prefix_that_is_taken_beforehand(registry, monkeypatch):
    """Also where nobody has looked at the registry yet."""
    monkeypatch.setattr(registry, "_backends", {})
    monkeypatch.setattr(registry, "_ours", set())
    with pytest.raises(PrefixTakenError, match="'s3'"):
        subclass("s3")


def test_a_prefix_that_was_taken_out(registry):
    """Another class may have it, and it does not come back by itself."""
    registry.backends().pop("s3")

    assert "s3" not in registry.backends()
    own = subclass("s3")
    assert registry.backends()["s3"] is own


def test_a_prefix_is_needed():
    """Without one Python itself refuses the class."""
    with pytest.raises(TypeError, match="prefix"):
        type("Own", (Backend,), {})


@pytest.mark.parametrize(("prefix", "text"), [(None, "a prefix is text"), ("x://", "without ://")])
def test_a_prefix_that_is_none(registry, prefix, text):
    """It is refused, and nothing is registered."""
    before = dict(registry.backends())
    with pytest.raises(InvalidOptionError, match=text):
        subclass(prefix)

    assert registry.backends() == before


def test_both_methods_are_needed(registry):
    """A class without ``get`` makes no backends."""
    with pytest.raises(TypeError, match="get"):
        type("Own", (Backend,), {"put": None}, prefix="half")(session=None)


def test_protocols_that_come_later(registry, monkeypatch):
    """What is registered with fsspec afterwards is served as well."""
    monkeypatch.setitem(known_implementations, "later", {"class": "nowhere.Later"})

    assert "later" in registry.backends()


def test_a_backend_tells_its_logger(caplog):
    """``debug``, ``info`` and ``warn`` are there, as statisfactory's have them."""
    backend = Backend.backends()["memory"](session=None, logger_name="own.name")
    with caplog.at_level("DEBUG", "own.name"):
        for word in ("debug", "info", "warn"):
            getattr(backend, word)(word)

    assert [(record.name, record.levelname) for record in caplog.records] == [
        ("own.name", level) for level in ("DEBUG", "INFO", "WARNING")
    ]


def test_without_statisfactory_it_is_said():
    """The one line in the project raises, in clear words, when there is nothing to register with."""
    program = "import persistence_fsspec.faces.statisfactory_plugin"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)

    assert done.returncode
    assert "MissingDriverError: statisfactory is not installed" in done.stderr


def test_a_broken_statisfactory_is_said(tmp_path):
    """What it lacks itself is named, and not taken for its absence."""
    (tmp_path / "statisfactory").mkdir()
    (tmp_path / "statisfactory" / "__init__.py").write_text("import nowhere_at_all\n")
    program = "import persistence_fsspec.faces.statisfactory_plugin"
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=variables)

    assert done.returncode
    assert "MissingDriverError: statisfactory cannot be imported: No module named 'nowhere_at_all'" in done.stderr


def test_importing_changes_nothing():
    """The package may be imported without statisfactory, and loads no driver."""
    program = (
        "import sys, persistence_fsspec.faces.statisfactory as face\n"
        "face.Backend.backends()['s3'](session=None)\n"
        "print({'s3fs', 'statisfactory', 'pandas', 'paramiko', 'lakefs', 'lakefs_spec'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)

    assert done.stdout.strip() == "set()"
