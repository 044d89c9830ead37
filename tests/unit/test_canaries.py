"""A secret is given to every driver, everything goes wrong, and the secret is looked for in all that comes out."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import json
import logging
import pickle
import traceback
import urllib.parse
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from persistence_fsspec import FSSpecPersistence, PersistenceError, Policy, SecretPicklingError, SecretReference, TransferError
from persistence_fsspec.diagnosis.explain import explain
from persistence_fsspec.sensitive import shown
from tests.servers.process import HOST, free_port

pytestmark = pytest.mark.slow

VARIABLE = "TEST_CANARY"
IMPATIENT = Policy(attempts=2, backoff_seconds=0, timeout_seconds=20)


def paramiko_of(_, **options):
    """sshfs takes the protocol where it is installed."""
    from fsspec.implementations.sftp import SFTPFileSystem

    return SFTPFileSystem(**{"look_for_keys": False, "allow_agent": False, **options}, skip_instance_cache=True)


@dataclass(frozen=True)
class Door:
    """How one driver takes secrets.

    Attributes:
        module: Without it, the driver is not here.
        url: Of a store at a port.
        options: Of a port and a secret, in the ways in which the driver takes one.
    """

    module: str
    url: str
    options: Callable[[int, Any], dict[str, Any]]


def http(port):
    return f"http://{HOST}:{port}"


def connection_string(port, secret):
    return f"AccountName=me;AccountKey={base64.b64encode(secret.encode()).decode()};BlobEndpoint={http(port)}/me"


DOORS = {
    "s3fs": Door("s3fs", "s3://b/x", lambda port, s: {"endpoint_url": http(port), "key": s, "secret": s}),
    "s3fs-token": Door("s3fs", "s3://b/x", lambda port, s: {"endpoint_url": http(port), "key": s, "secret": s, "token": s}),
    "gcsfs": Door("gcsfs", "gs://b/x", lambda port, s: {"endpoint_url": http(port), "token": s}),
    "gcsfs-dict": Door("gcsfs", "gs://b/x", lambda port, s: {"endpoint_url": http(port), "token": {"refresh_token": s}}),
    "adlfs": Door(
        "adlfs", "abfs://c/x", lambda port, s: {"account_name": "me", "account_host": f"{HOST}:{port}", "account_key": s}
    ),
    "adlfs-sas": Door(
        "adlfs", "abfs://c/x", lambda port, s: {"account_name": "me", "account_host": f"{HOST}:{port}", "sas_token": s}
    ),
    "ftp": Door("ftplib", "ftp://host/x", lambda port, s: {"host": HOST, "port": port, "username": "me", "password": s}),
    "sshfs": Door(
        "sshfs", f"ssh://{HOST}/x", lambda port, s: {"port": port, "username": "me", "password": s, "known_hosts": None}
    ),
    "paramiko": Door(
        "paramiko",
        f"sftp://{HOST}/x",
        lambda port, s: {"filesystem_factory": paramiko_of, "host": HOST, "port": port, "username": "me", "password": s},
    ),
    "smb": Door("smbprotocol", f"smb://{HOST}/share/x", lambda port, s: {"port": port, "username": "me", "password": s}),
    "webdav": Door("webdav4", "webdav://x", lambda port, s: {"base_url": http(port), "auth": ("me", s)}),
    "http": Door("aiohttp", "http://{port}/x", lambda _, s: {"client_kwargs": {"headers": {"Authorization": s}}}),
    "webhdfs": Door("requests", "webhdfs://{port}/x", lambda _, s: {"user": "me", "password": s}),
    "webhdfs-token": Door("requests", "webhdfs://{port}/x", lambda _, s: {"token": s}),
    "memory": Door("fsspec", "memory://x", lambda _, s: {"unchecked": {"nobody_knows": s}}),
}
URLS = {
    "ftp": Door("ftplib", "ftp://me:{secret}@{port}/x", lambda _, s: {}),
    "sshfs": Door("sshfs", "ssh://me:{secret}@{port}/x", lambda _, s: {"known_hosts": None}),
    "smb": Door("smbprotocol", "smb://me:{secret}@{port}/share/x", lambda _, s: {}),
    "http-login": Door("aiohttp", "http://me:{secret}@{port}/x", lambda _, s: {}),
    "http-token": Door("aiohttp", "http://{secret}@{port}/x", lambda _, s: {}),
    "http-signed": Door("aiohttp", "http://{port}/x?versionId=1&X-Amz-Signature={secret}", lambda _, s: {}),
    "http-unheard-of": Door("aiohttp", "http://{port}/x?nobody-knows={secret}", lambda _, s: {}),
    "ftp-hosted": Door("ftplib", "ftp://me@corp.example:{secret}@{port}/x", lambda _, s: {}),
    "zip-in-ftp-hosted": Door("ftplib", "zip://a::ftp://me@corp.example:{secret}@{port}/x.zip", lambda _, s: {}),
    "zip-in-ftp": Door("ftplib", "zip://a::ftp://me:{secret}@{port}/x.zip", lambda _, s: {}),
}


@pytest.fixture(scope="module")
def dead_port():
    """Where nobody listens, and nobody will."""
    return free_port()


@pytest.fixture
def canary(monkeypatch):
    """A secret that no other test has, also in a variable; as base64, because some drivers decode it."""
    secret = base64.b64encode(f"canary-{uuid.uuid4().hex}-canary".encode()).decode()
    monkeypatch.setenv(VARIABLE, secret)
    return secret


def spellings(secret):
    """How it may be printed; the core of it is found in any quoting."""
    raw = secret.encode()
    decoded = base64.b64decode(secret).decode()
    inner = base64.b64encode(raw).decode()
    return {
        secret,
        decoded,
        urllib.parse.quote(secret, safe=""),
        inner.rstrip("="),
        base64.b64encode(f"me:{secret}".encode()).decode(),
    }


class Net:
    """Collects all that comes out."""

    def __init__(self, canary):
        self._canary, self._caught, self.errors = canary, [], []

    def take(self, what, *texts):
        self._caught += [(what, text if isinstance(text, bytes) else str(text).encode()) for text in texts]

    def take_error(self, error):
        seen, waiting = set(), [error]
        while waiting:
            link = waiting.pop()
            if link is None or id(link) in seen:
                continue
            seen.add(id(link))
            self.take(
                "error", link, repr(link), repr(link.args), getattr(link, "__notes__", ""), *traceback.format_exception(link)
            )
            if isinstance(link, PersistenceError):
                self.take("attributes", vars(link))
                self.take("pickled error", pickle.dumps(link))
                self.take("pickled error, as text", pickle.loads(pickle.dumps(link)))
            waiting += [link.__cause__, link.__context__]
        if isinstance(error, TransferError):
            self.take_report(error.report)
        self.errors.append(type(error))  # the error would keep its frames, and so the connections in them

    def take_report(self, report):
        self.take(
            "report", report, report.to_json(indent=1), json.dumps(report.as_dict()), report._repr_html_(), repr(report.files)
        )
        self.take("pickled report", pickle.dumps(report))
        for file in report.failed:
            self.take_error(file.error)

    def take_log(self, records):
        for record in records:
            self.take("log", logging.Formatter().format(record), vars(record))

    def check(self):
        found = [
            (what, text.decode(errors="replace")[:2000])
            for what, text in self._caught
            for spelling in spellings(self._canary)
            if spelling.encode() in text
        ]
        assert found == []


@contextlib.contextmanager
def net(canary, caplog):
    """What is logged in the block is caught too."""
    caplog.set_level(logging.DEBUG, logger="persistence_fsspec")
    caught = Net(canary)
    yield caught
    caught.take_log(record for record in caplog.records if record.name.startswith("persistence_fsspec"))
    caught.check()


def exercise(persistence, caught, tmp_path, *, briefly=False):
    """Do everything, or a little where each refusal takes seconds; what fails, and what does not, is caught."""
    (tmp_path / "tree").mkdir(exist_ok=True)
    (tmp_path / "tree" / "a").write_bytes(b"1")
    acts = (
        lambda: caught.take("texts", repr(persistence), str(persistence), repr(persistence.store_and_key("k")[0])),
        lambda: caught.take("explained", explain(persistence), json.dumps(explain(persistence).as_dict())),
        lambda: persistence.read_bytes("no-such"),
        lambda: caught.take_report(persistence.put(tmp_path / "tree", "tree", recursive=True)),
        lambda: persistence.info("no-such"),
        lambda: persistence.exists("no-such"),
        lambda: list(persistence.listdir("no-such")),
        lambda: persistence.write_bytes("k", b"1", overwrite=False),
        lambda: caught.take_report(persistence.copy(persistence.url("no-such"), tmp_path / "there")),
        lambda: persistence.sign("no-such"),
        lambda: persistence.capabilities("no-such"),
    )
    for act in acts[: 4 if briefly else None]:
        try:
            act()
        except Exception as exc:
            caught.take_error(exc)


def installed(door):
    if importlib.util.find_spec(door.module) is None:
        pytest.skip(f"no {door.module} here")
    return door


def url_of(door, port, secret=""):
    return door.url.replace("{port}", f"{HOST}:{port}").replace("{secret}", urllib.parse.quote(secret, safe=""))


@pytest.mark.parametrize("how", ["literal", "reference"])
@pytest.mark.parametrize("name", DOORS)
def test_options_of_a_dead_store(name, how, canary, dead_port, tmp_path, caplog):
    """Nobody answers, and every driver says so in its own way; a reference travels, a literal does not."""
    door = installed(DOORS[name])
    secret = canary if how == "literal" else SecretReference(env=VARIABLE)
    options = door.options(dead_port, secret)
    with net(canary, caplog) as caught:
        persistence = FSSpecPersistence(url_of(door, dead_port), storage_options=options, policy=IMPATIENT)
        exercise(persistence, caught, tmp_path)
        caught.take("shown options", shown(options))
        if how == "reference":
            caught.take("pickled persistence", pickle.dumps(persistence))
        else:
            with pytest.raises(SecretPicklingError) as refused:
                pickle.dumps(persistence)
            caught.take_error(refused.value)

    assert name == "memory" or len(caught.errors) >= 7


@pytest.mark.parametrize("name", URLS)
def test_urls_of_a_dead_store(name, canary, dead_port, tmp_path, caplog):
    """The secret stands in the URL itself, as default prefix and as an address."""
    door = installed(URLS[name])
    url = url_of(door, dead_port, canary)
    with net(canary, caplog) as caught:
        persistence = FSSpecPersistence(url, storage_options=door.options(dead_port, canary), policy=IMPATIENT)
        exercise(persistence, caught, tmp_path)
        with pytest.raises(SecretPicklingError) as refused:
            pickle.dumps(persistence)
        caught.take_error(refused.value)
        for act in (
            persistence.read_bytes,
            persistence.exists,
            lambda u: persistence.copy(u, tmp_path / "x"),
            persistence.delete,
        ):
            with pytest.raises(PersistenceError) as failed:
                act(url)
            caught.take_error(failed.value)

    assert len(caught.errors) >= 10


# --- real servers, which answer ----------------------------------------------------------------


def wrong(server, **changes):
    """The server's options with other credentials."""
    return {**server.storage_options, **changes}


def refuse(persistence, canary, tmp_path, caplog, kind=PermissionError, **how):
    """Everything is refused, and nothing of what is said shows the secret."""
    with net(canary, caplog) as caught:
        exercise(persistence, caught, tmp_path, **how)
    assert any(issubclass(error, kind) for error in caught.errors), caught.errors


@pytest.mark.server("s3")
@pytest.mark.parametrize("name", ["key", "secret", "token"])
def test_s3_refuses(name, strict_s3_server, canary, tmp_path, caplog):
    """The server quotes the key it does not know."""
    persistence = FSSpecPersistence(
        strict_s3_server.new_bucket("canary").url, storage_options=wrong(strict_s3_server, **{name: canary})
    )

    if name == "token":  # which moto does not look at
        with net(canary, caplog) as caught:
            exercise(persistence, caught, tmp_path)
    else:
        refuse(persistence, canary, tmp_path, caplog)


@pytest.mark.server("ftp")
@pytest.mark.parametrize("how", ["option", "url"])
def test_ftp_refuses(how, ftp_server, canary, tmp_path, caplog):
    """As an option, and in the URL."""
    if how == "option":
        persistence = FSSpecPersistence(ftp_server.url, storage_options=wrong(ftp_server, password=canary))
    else:
        quoted = urllib.parse.quote(canary, safe="")
        persistence = FSSpecPersistence(ftp_server.url.replace("://", f"://user:{quoted}@"))

    refuse(persistence, canary, tmp_path, caplog, briefly=True)


@pytest.mark.server("sftp")
@pytest.mark.parametrize("driver", ["paramiko", "sshfs"])
def test_sftp_refuses(driver, sftp_server, canary, tmp_path, caplog):
    """Both drivers."""
    pytest.importorskip(driver)
    options = {**getattr(sftp_server, f"{driver}_options"), "password": canary}
    factory = {"filesystem_factory": paramiko_of} if driver == "paramiko" else {}

    refuse(FSSpecPersistence(sftp_server.url, storage_options={**options, **factory}), canary, tmp_path, caplog)


@pytest.mark.server("http")
def test_http_refuses(http_server, canary, tmp_path, caplog):
    """With a header, and at an address that is signed."""
    header = {"client_kwargs": {"headers": {"Authorization": f"Bearer {canary}"}}}

    refuse(FSSpecPersistence(http_server.secret_url, storage_options=header), canary, tmp_path, caplog)
    signed = f"{http_server.status_url(403)}/k?X-Amz-Signature={urllib.parse.quote(canary, safe='')}"
    refuse(FSSpecPersistence(signed), canary, tmp_path, caplog)


@pytest.mark.server("webdav")
def test_webdav_answers(webdav_server, canary, tmp_path, caplog):
    """It lets everybody in; what is missing is said without the login that asked for it."""
    persistence = FSSpecPersistence(webdav_server.url, storage_options=wrong(webdav_server, auth=("me", canary)))

    refuse(persistence, canary, tmp_path, caplog, FileNotFoundError)


@pytest.mark.server("azure")
def test_azure_refuses(azure_server, canary, tmp_path, caplog):
    """The key stands in the middle of a text."""
    text = azure_server.storage_options["connection_string"]
    head, _, rest = text.partition("AccountKey=")
    string = f"{head}AccountKey={canary};{rest.partition(';')[2]}"

    refuse(FSSpecPersistence(f"{azure_server.url}/k", storage_options={"connection_string": string}), canary, tmp_path, caplog)


@pytest.mark.server("s3")
def test_a_signed_url_is_given_and_not_told(s3_server, tmp_path, caplog):
    """It is the caller's alone: no log has it, and no error of reading it, wherever it goes wrong."""
    persistence = FSSpecPersistence(s3_server.new_bucket("signed").url, storage_options=s3_server.storage_options)
    persistence.write_bytes("k", b"hello")
    caplog.set_level(logging.DEBUG, logger="persistence_fsspec")
    url = persistence.sign("k", 60)
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
    secret = query.get("X-Amz-Signature") or query["Signature"]
    assert FSSpecPersistence().read_bytes(url) == b"hello"
    for broken in (url.replace("/k?", "/missing?"), url.replace(str(urllib.parse.urlsplit(url).port), str(free_port()))):
        caught = Net(base64.b64encode(secret.encode()).decode())
        with pytest.raises(PersistenceError) as failed:
            FSSpecPersistence(policy=IMPATIENT).read_bytes(broken)
        caught.take_error(failed.value)
        caught.take_log(record for record in caplog.records if record.name.startswith("persistence_fsspec"))
        caught.check()
