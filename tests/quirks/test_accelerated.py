"""Small requests past the connected driver: where they go, what they say, and when they are left to it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import struct
import threading
import time
from dataclasses import dataclass, field

import pytest

from persistence_fsspec import FSSpecPersistence, Policy
from persistence_fsspec.errors import (
    ConnectionFailedError,
    ObjectExistsError,
    OperationTimeoutError,
    PersistenceError,
    ThrottledError,
)
from persistence_fsspec.store import ObjectInfo
from persistence_fsspec.stores import accelerated
from persistence_fsspec.stores.dialects.s3 import S3Dialect
from persistence_fsspec.stores.dialects.s3_fast import FastS3Dialect
from tests.quirks.places import connections_of, in_fork, raw_store

pytest.importorskip("obstore")
pytestmark = pytest.mark.slow

BODY = b"hello"
ETAG = hashlib.md5(BODY).hexdigest()
LOGIN = {"key": "AKIAKEY", "secret": "b"}


@dataclass
class Request:
    """What one request said."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def by_driver(self) -> bool:
        """Botocore numbers its attempts."""
        return "amz-sdk-request" in self.headers


@dataclass
class Recorder:
    """An S3 server that keeps what it hears, and answers every reading with the same object, and every writing with success.

    Attributes:
        answers: What to answer instead, one after the other: a status, ``reset``, ``cut`` or ``silent``.
    """

    requests: list[Request] = field(default_factory=list)
    answers: list[int | str] = field(default_factory=list)
    etag: str = ETAG
    body: bytes = BODY

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as stream, contextlib.suppress(OSError):
            while line := stream.readline().decode().strip():
                headers = {}
                while header := stream.readline().decode().strip():
                    name, _, value = header.partition(":")
                    headers[name.lower()] = value.strip()
                if "expect" in headers:
                    client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                method, path, _ = line.split(" ")
                self.requests.append(Request(method, path, headers, stream.read(int(headers.get("content-length", 0)))))
                if not self._answer(client, method, headers.get("range", "")):
                    return

    def _answer(self, client: socket.socket, method: str, asked: str) -> bool:
        answer = self.answers.pop(0) if self.answers else 200
        if answer == "silent":
            self._over.wait(10)
            return False
        if answer == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        body = self.body if method == "GET" and answer in {200, "cut"} else b""
        length = len(self.body) if method == "HEAD" else len(body)
        status = answer if isinstance(answer, int) else 200
        head = f'ETag: "{self.etag}"\r\nLast-Modified: Wed, 21 Oct 2026 07:28:00 GMT\r\n'
        head += "Retry-After: 7\r\n" if status >= 500 else ""
        if asked and body:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            body = body[int(first) : int(last) + 1 if last else None]
            head += f"Content-Range: bytes {first}-{int(first) + len(body) - 1}/{len(self.body)}\r\n"
            status, length = 206, len(body)
        client.sendall(
            f"HTTP/1.1 {status} X\r\n{head}Content-Length: {length}\r\n\r\n".encode() + body[: 2 if answer == "cut" else None]
        )
        return answer != "cut"


@pytest.fixture
def server():
    with Recorder() as recorder:
        yield recorder


def at(server: Recorder, *, policy: Policy | None = None, **options) -> FSSpecPersistence:
    """A persistence there, whose driver has been answered once, so that it trusts the server."""
    found = FSSpecPersistence(
        f"s3://bucket-{os.urandom(6).hex()}/p",  # stores are kept by their buckets
        storage_options={**LOGIN, "endpoint_url": server.url, **options},
        policy=policy or Policy(attempts=1),
    )
    read(found, "first")
    server.requests.clear()
    return found


def store_of(persistence: FSSpecPersistence):
    return persistence.store_and_key()[0]


def dialect_of(persistence: FSSpecPersistence) -> S3Dialect:
    return raw_store(store_of(persistence))._driver.dialect


def key_of(persistence: FSSpecPersistence, name: str = "k") -> str:
    return f"{persistence.store_and_key()[1]}/{name}"


def read(persistence: FSSpecPersistence, name: str = "k") -> bytes:
    """By one request."""
    return store_of(persistence).read(key_of(persistence, name))


def put(persistence: FSSpecPersistence, body: bytes = BODY, **how) -> ObjectInfo:
    writer = store_of(persistence).writer(key_of(persistence), size=len(body), **how)
    try:
        writer.write(body)
        return writer.commit()
    finally:
        writer.abort()


# --- where they go, and in whose name ---


def test_a_request_is_worded_as_by_the_driver(server, monkeypatch):
    """The same place, account, region and tool; only the driver numbers its attempts."""
    token = {"token": "session-token", "client_kwargs": {"region_name": "eu-west-1"}}
    fast = at(server, **token)
    monkeypatch.setenv(accelerated.SWITCH, "0")
    slow = at(server, **token)
    for persistence in (fast, slow):
        read(persistence, "a ä/b+c%20d~=&")

    ours, its = server.requests
    assert (ours.by_driver, its.by_driver) == (False, True)
    assert ours.path.partition("/p/")[2] == its.path.partition("/p/")[2]
    for name in ("host", "user-agent", "x-amz-security-token", "x-amz-content-sha256"):
        assert ours.headers[name] == its.headers[name]
    assert ours.headers["authorization"].split(",")[0] == its.headers["authorization"].split(",")[0]


POISON = {
    "AWS_ACCESS_KEY_ID": "foreign",
    "AWS_SECRET_ACCESS_KEY": "foreign",
    "AWS_SESSION_TOKEN": "foreign",
    "AWS_TOKEN": "foreign",
    "AWS_REGION": "eu-mars-1",
    "AWS_DEFAULT_REGION": "eu-mars-1",
    "AWS_ENDPOINT": "http://127.0.0.1:9",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
    "AWS_BUCKET": "foreign",
    "AWS_SKIP_SIGNATURE": "true",
    "AWS_UNSIGNED_PAYLOAD": "true",
    "AWS_REQUEST_PAYER": "true",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
    "AWS_S3_EXPRESS": "true",
    "AWS_DISABLE_TAGGING": "false",
    "AWS_USER_AGENT": "foreign",
    "AWS_DEFAULT_CONTENT_TYPE": "text/foreign",
    "AWS_PROXY_URL": "http://127.0.0.1:9",
    "AWS_TIMEOUT": "1ms",
    "AWS_ALLOW_HTTP": "false",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/foreign",
    "AWS_ROLE_ARN": "arn:aws:iam::1:role/foreign",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/foreign",
}


def test_the_environment_is_not_asked_a_second_time(server, monkeypatch):
    """What is set in the process after the client was connected changes nothing."""
    persistence = FSSpecPersistence(
        "s3://bucket/p", storage_options={**LOGIN, "endpoint_url": server.url}, policy=Policy(attempts=1)
    )
    fs = connections_of(store_of(persistence))._get_shared()
    fs.s3  # noqa: B018 - connects
    for name, value in POISON.items():
        monkeypatch.setenv(name, value)
    read(persistence, "first")
    server.requests.clear()
    read(persistence)
    put(persistence, metadata={"note": "x"})

    assert [(r.method, r.path, r.by_driver) for r in server.requests] == [
        ("GET", "/bucket/p/k", False),
        ("PUT", "/bucket/p/k", False),
    ]
    assert not any("foreign" in str(request) or "mars" in str(request) for request in server.requests)
    assert all("Credential=AKIAKEY/" in request.headers["authorization"] for request in server.requests)
    assert not any("x-amz-security-token" in r.headers or "x-amz-request-payer" in r.headers for r in server.requests)


@pytest.mark.parametrize(
    "name",
    [
        "AWS_CHECKSUM_ALGORITHM",
        "AWS_SERVER_SIDE_ENCRYPTION",
        "AWS_SSE_KMS_KEY_ID",
        "AWS_SSE_CUSTOMER_KEY_BASE64",
        "http_proxy",
        "HTTPS_PROXY",
        "all_proxy",
    ],
)
def test_an_environment_that_cannot_be_overruled_leaves_everything_to_the_driver(name, server, monkeypatch):
    """obstore has no word for "none" of these."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    read(at(server))

    assert server.requests[0].by_driver


def test_anonymous_requests_are_not_signed(server):
    """As the driver's."""
    persistence = FSSpecPersistence("s3://bucket/p", storage_options={"anon": True, "endpoint_url": server.url})
    read(persistence)
    read(persistence)

    assert [r.by_driver for r in server.requests] == [True, False]
    assert not any("authorization" in r.headers for r in server.requests)


def test_who_asks_pays(server):
    """Of a bucket whose reader pays."""
    read(at(server, requester_pays=True))

    assert not server.requests[0].by_driver
    assert server.requests[0].headers["x-amz-request-payer"] == "requester"


def test_credentials_that_expire_are_asked_of_the_client_again():
    """They renew themselves there; obstore keeps them for a minute."""

    class Refreshing:
        asked = 0

        async def get_frozen_credentials(self):
            self.asked += 1
            from botocore.credentials import ReadOnlyCredentials

            return ReadOnlyCredentials(f"key{self.asked}", "secret", "token")

    import fsspec

    fs = fsspec.filesystem("s3", skip_instance_cache=True)
    ask = accelerated._asking(fs, Refreshing())
    first, second = ask(), ask()

    assert [first["access_key_id"], second["access_key_id"]] == ["key1", "key2"]
    assert 0 < first["expires_at"].timestamp() - time.time() <= 60


@pytest.mark.parametrize("size", [0, 256 * 1024, 3_000_000])
@pytest.mark.parametrize("piece", [(None, None), (5, 1_000_000)], ids=str)
def test_every_byte_arrives_however_large_the_object(size, piece, server):
    """In one piece or in several, whole or a range."""
    server.body = os.urandom(size)
    persistence = at(server)
    start, end = piece
    if size <= (start or 0):
        return
    data = store_of(persistence).read(key_of(persistence), start, end)

    assert data == server.body[start:end]
    assert type(data) is bytes
    assert [r.by_driver for r in server.requests] == [False]


# --- what is left to the driver ---


def test_nobody_else_asks_before_the_driver_got_an_answer(server):
    """So that its own trust in the other side, and its own errors, come first."""
    persistence = FSSpecPersistence(
        "s3://bucket/p", storage_options={**LOGIN, "endpoint_url": server.url}, policy=Policy(attempts=1)
    )
    server.answers = [403, 200]
    with pytest.raises(PersistenceError):
        read(persistence)
    read(persistence)
    read(persistence)

    assert [r.by_driver for r in server.requests] == [True, True, False]


@pytest.mark.parametrize("text", ["0", "no", "False", " off "])
def test_a_switch_turns_it_off(text, server, monkeypatch):
    """By a variable of the environment."""
    monkeypatch.setenv(accelerated.SWITCH, text)

    assert type(dialect_of(at(server))) is S3Dialect


def test_an_instance_of_the_callers_is_only_used_itself(server):
    """Whoever made it may have changed anything about it."""
    import fsspec

    fs = fsspec.filesystem("s3", **LOGIN, endpoint_url=server.url, skip_instance_cache=True)

    assert type(dialect_of(FSSpecPersistence("s3://bucket/p", filesystem=fs))) is S3Dialect


@pytest.mark.parametrize(
    "options",
    [
        {"config_kwargs": {"signature_version": "s3"}},
        {"config_kwargs": {"proxies": {"https": "http://127.0.0.1:9"}}},
        {"version_aware": True},
        {"s3_additional_kwargs": {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}},
    ],
    ids=["signature v2", "proxies", "versions", "customer key"],
)
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
def test_a_client_that_is_not_understood_does_everything_itself(options, server):
    """Also where it would make no difference."""
    read(at(server, **options))

    assert server.requests[0].by_driver


@pytest.mark.parametrize(
    "more",
    [{"ServerSideEncryption": "AES256"}, {"ACL": "public-read"}, {"StorageClass": "GLACIER"}, {"ContentType": "text/plain"}],
    ids=["encryption", "acl", "storage class", "content type"],
)
def test_a_client_that_says_more_of_what_it_writes_writes_itself(more, server):
    """And is read past."""
    persistence = at(server, s3_additional_kwargs=more)
    read(persistence)
    put(persistence)

    assert [r.by_driver for r in server.requests if r.method in {"GET", "PUT"}] == [False, True]


@pytest.mark.parametrize("event", ["before-send.s3.GetObject", "before-sign.s3", "after-call.s3.GetObject", "before-call"])
def test_a_client_that_somebody_listens_to_does_everything_itself(event, server):
    """Hooks change requests, answer or count them."""
    persistence = FSSpecPersistence("s3://bucket/p", storage_options={**LOGIN, "endpoint_url": server.url})
    heard = []
    fs = connections_of(store_of(persistence))._get_shared()
    fs.s3.meta.events.register(event, lambda **_: heard.append(1))
    for _ in range(3):
        read(persistence)

    assert all(r.by_driver for r in server.requests)
    assert len(heard) == 3


@pytest.mark.parametrize("name", ["a//b", "a/./b", "a/../b", ".", "..", "a/", "a\x01b", "a\x7fb"], ids=ascii)
def test_names_that_would_change_are_left_to_the_driver(name, server):
    """obstore takes names apart and puts them together again."""
    persistence = at(server)
    dialect, fs = dialect_of(persistence), connections_of(store_of(persistence))._get_shared()

    bucket = raw_store(store_of(persistence))._driver.path("k").partition("/")[0]
    assert dialect._way(fs, f"{bucket}/{name}") is None
    assert dialect._way(fs, f"{bucket}/.a/..b/c.../%2e%2e") is not None


def test_an_old_version_is_read_by_the_driver(server):
    """Which names it."""
    persistence = at(server)
    store_of(persistence).read(key_of(persistence), pin=ObjectInfo(key="k", size=5, version=ETAG, version_id="v1"))

    assert server.requests[0].by_driver
    assert "versionId=v1" in server.requests[0].path


@pytest.mark.parametrize("metadata", [{"note": "ä"}, {"note": " x"}, {"content-type": "x"}, {"cache-control": "no"}])
def test_metadata_with_a_meaning_of_its_own_is_left_to_the_driver(metadata, server):
    """And such as no header holds."""
    persistence = at(server)
    with contextlib.suppress(PersistenceError):
        put(persistence, metadata=metadata)

    assert all(r.by_driver for r in server.requests)


def test_large_objects_are_written_by_the_driver(server):
    """A request that takes its time has to be one that can be interrupted."""
    persistence = at(server)
    put(persistence, b"x" * 300_000)

    assert server.requests[0].by_driver


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_goes_by_its_own_driver(server):
    """obstore's threads stayed with the parent."""
    persistence = at(server)
    read(persistence)
    server.requests.clear()

    assert in_fork(lambda: read(persistence) == BODY, seconds=30.0) == "yes"
    assert server.requests[0].by_driver


# --- what comes of failures ---


def failure(persistence: FSSpecPersistence, act) -> tuple[type | None, bool, float | None]:
    try:
        act(persistence)
    except PersistenceError as exc:
        return type(exc), exc.retryable, exc.retry_after_seconds
    return None, False, None


def patience(answer: int | str) -> Policy:
    """Little for a server that says nothing."""
    return Policy(attempts=1, stall_seconds=0.4 if answer == "silent" else 30.0)


@pytest.mark.parametrize("answer", [400, 403, 404, 412, 416, 500, 503, "reset", "cut", "silent"], ids=str)
@pytest.mark.parametrize("act", [lambda p: read(p), put], ids=["read", "write"])
def test_a_failure_is_the_one_that_the_driver_meets(act, answer, server, monkeypatch):
    """The same error, whether to try again, and when; without it another attempt of ours."""
    fast = at(server, policy=patience(answer))
    monkeypatch.setenv(accelerated.SWITCH, "0")
    slow = at(server, policy=patience(answer))
    found = []
    for persistence in (fast, slow):
        server.answers = [answer] * 3
        found.append(failure(persistence, act))

    assert found[0] == found[1]


@pytest.mark.parametrize("answer", ["reset", "silent", 500, 503], ids=str)
def test_a_conditional_write_is_never_made_twice_in_one_attempt(answer, server):
    """It may have been heard, and be in its own way; the next attempt knows how to look."""
    persistence = at(server, policy=patience(answer))
    dialect_of(persistence)._conditions.kept["If-None-Match"] = True
    server.answers = [answer]
    kind, retryable, _ = failure(persistence, lambda p: put(p, overwrite=False))

    assert kind in {ConnectionFailedError, OperationTimeoutError, ThrottledError} or retryable
    assert [r.method for r in server.requests] == ["PUT"]


def test_a_condition_that_is_not_met_is_definite(server):
    """Nobody is asked again."""
    persistence = at(server)
    dialect_of(persistence)._conditions.kept["If-None-Match"] = True
    server.answers = [412]
    with pytest.raises(ObjectExistsError):
        put(persistence, overwrite=False)

    assert [(r.method, r.headers["if-none-match"], r.by_driver) for r in server.requests] == [("PUT", "*", False)]


def test_after_a_failure_the_driver_answers_for_a_while(server, monkeypatch):
    """Then it is tried again."""
    persistence = at(server)
    server.answers = ["reset"]
    failure(persistence, lambda p: read(p))
    read(persistence)
    dialect = dialect_of(persistence)
    assert isinstance(dialect, FastS3Dialect)
    monkeypatch.setattr(dialect, "_resting_until", 0.0)
    read(persistence)

    assert [r.by_driver for r in server.requests] == [False, True, False]


def test_rests_grow_with_each_failure_and_not_with_each_thread(server):
    """A dozen requests that fail at once are one failure."""
    dialect = FastS3Dialect(Policy())
    for _ in range(12):
        dialect._failed()
    once = dialect._rest
    dialect._resting_until = 0.0
    dialect._failed()

    assert (once, dialect._rest) == (10.0, 20.0)


def test_another_object_in_the_answer_is_not_returned(server):
    """Whatever became of the condition on the way."""
    persistence = at(server)
    with pytest.raises(PersistenceError, match=r"another object|replaced"):
        store_of(persistence).read(key_of(persistence), pin=ObjectInfo(key="k", size=5, version="0" * 32))


def test_an_etag_that_proves_nothing_is_looked_into(server):
    """With keys of the server's own it is no MD5 of the bytes; only a HEAD tells."""
    persistence = at(server)
    server.etag = "0" * 32
    put(persistence)

    assert [(r.method, r.by_driver) for r in server.requests] == [("PUT", False), ("HEAD", True)]


def test_an_etag_that_is_the_md5_of_what_was_written_needs_no_second_request(server):
    """It is the proof already."""
    info = put(at(server))

    assert (info.version, info.digest, info.size) == (ETAG, ("md5", ETAG), 5)
    assert [(r.method, r.by_driver) for r in server.requests] == [("PUT", False)]
