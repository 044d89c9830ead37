"""No driver repeats by itself, waits without end, or cannot be interrupted: that is for the layers above to decide."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from persistence_fsspec.attempt import Attempt, current
from persistence_fsspec.errors import (
    ConnectionFailedError,
    ObjectExistsError,
    OperationTimeoutError,
    PersistenceError,
    ServerFailedError,
    ThrottledError,
    TruncatedError,
)
from persistence_fsspec.foreign import classify
from persistence_fsspec.persistence import FSSpecPersistence
from persistence_fsspec.policy import Policy
from persistence_fsspec.stores.dialects import dialect_for
from persistence_fsspec.stores.dialects.base import ObjectDialect
from persistence_fsspec.stores.quirks import DRIVERS, traits
from persistence_fsspec.stores.repeating import repeating
from tests.quirks.places import instance_of, silent_server
from tests.servers.faults import Fault
from tests.servers.faults_http import HttpFaults

# The clients of Google and Azure hand their bodies to aiohttp as bytes, which it dislikes from 1 MiB on.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning"),
]

MIB = 1024 * 1024
HTTP_DRIVERS = ("s3fs", "gcsfs", "adlfs", "webdav", "http", "webhdfs", "lakefs")
GIVEN_UP = (OperationTimeoutError, ConnectionFailedError)


class Loopback:
    """An HTTP server that counts requests, and answers each in the same way: a status, or by breaking off."""

    def __init__(self, answer: str) -> None:
        self._answer = answer
        self.requests: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
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
            while (line := stream.readline()).strip():
                length = 0
                while (header := stream.readline()).strip():
                    name, _, value = header.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                    if name.lower() == b"expect":
                        client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                stream.read(length)
                self.requests.append(line.decode().rpartition(" ")[0])
                if not self._reply(client):
                    return

    def _reply(self, client: socket.socket) -> bool:
        if self._answer == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif self._answer == "truncated":
            head = "Content-Length: 10\r\nContent-Range: bytes 0-9/10\r\nAccept-Ranges: bytes\r\nx-ms-blob-type: BlockBlob\r\n"
            client.sendall(f"HTTP/1.1 200 OK\r\n{head}\r\nabc".encode())
        elif self._answer.isdecimal():
            client.sendall(f"HTTP/1.1 {self._answer} No\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n".encode())
            return True
        return False


def at(driver: str, port: int, **policy) -> FSSpecPersistence:
    """A persistence over a driver that finds its server on a port of this machine; each operation is tried once."""
    here = f"http://127.0.0.1:{port}"
    account = f"DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5;BlobEndpoint={here}/a"
    login = {"username": "a", "password": "b"}
    url, options = {
        "s3fs": ("s3://bucket", {"key": "a", "secret": "b", "endpoint_url": here}),
        "gcsfs": ("gs://bucket", {"token": "anon", "project": "p", "endpoint_url": here}),
        "adlfs": ("abfs://bucket", {"connection_string": account}),
        "webdav": ("webdav://", {"base_url": here}),
        "http": (here, {}),
        "lakefs": ("lakefs://bucket/main", {"host": here, **login}),
        "webhdfs": (f"webhdfs://127.0.0.1:{port}/x", {}),
        "ftp": (f"ftp://127.0.0.1:{port}/x", login),
        "sshfs": (f"sftp://127.0.0.1:{port}/x", login),
        "smb": (f"smb://127.0.0.1:{port}/share/x", login),
    }[driver]
    return FSSpecPersistence(url, storage_options=options, policy=Policy(attempts=1, **policy))


def read(persistence: FSSpecPersistence, key: str = "k") -> bytes:
    """By one call of the store."""
    store, prefix = persistence.store_and_key()
    return store.read("/".join(part for part in (prefix, key) if part))


def within(act, *, seconds: float = 20.0) -> BaseException | None:
    """Act in a thread of its own; what it raised, or None. Fails when it has not ended by then."""
    raised: list[BaseException | None] = []

    def run() -> None:
        try:
            act()
            raised.append(None)
        except BaseException as exc:
            raised.append(exc)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert raised, "it is still waiting"
    return raised[0]


@contextlib.contextmanager
def frozen(server):
    """The server's process does nothing inside the block; its connections stay."""
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


# --- one request for one operation ---


@pytest.mark.quirk("drivers-own-retries")
@pytest.mark.parametrize("driver", HTTP_DRIVERS)
def test_a_refused_operation_is_one_request(driver):
    """The answer is an error of ours that may be tried again, with what the server asks for."""
    with Loopback("503") as server, pytest.raises(ThrottledError) as caught:
        read(at(driver, server.port))

    assert len(server.requests) == 1
    assert caught.value.retryable
    assert caught.value.retry_after_seconds == 7.0


@pytest.mark.quirk("drivers-own-retries")
def test_smb_connects_once():
    """Although the driver would try five times."""
    pytest.importorskip("smbclient")
    connections = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    connections.append(client)
                    client.close()

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        error = within(lambda: read(at("smb", listener.getsockname()[1])))
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)

    assert isinstance(error, PersistenceError)
    assert len(connections) == 1


@pytest.mark.quirk("drivers-own-retries")
def test_an_instance_of_the_caller_keeps_its_retries():
    """He may use it elsewhere."""
    from s3fs import S3FileSystem

    fs = S3FileSystem(key="a", secret="b", endpoint_url="http://127.0.0.1:1", skip_instance_cache=True)
    usual = fs.retries

    assert instance_of(FSSpecPersistence("s3://bucket", filesystem=fs).store_and_key()[0]) is fs
    assert fs.retries == usual > 1


@pytest.mark.quirk("drivers-own-retries")
@pytest.mark.quirk("drivers-own-timeouts")
@pytest.mark.parametrize(
    ("driver", "said"),
    [
        ("s3fs", {"config_kwargs": {"read_timeout": 3, "retries": {"max_attempts": 2}}}),
        ("gcsfs", {"requests_timeout": 3, "session_kwargs": {"raise_for_status": None}}),
        ("adlfs", {"connection_timeout": 3, "read_timeout": 3}),
        ("http", {"client_kwargs": {"timeout": 3}}),
        ("webdav", {"retry": True, "timeout": 3}),
        ("ftp", {"timeout": 3}),
        ("paramiko", {"timeout": 3, "banner_timeout": 4}),
        ("sshfs", {"connect_timeout": 3, "keepalive_interval": 0}),
        ("smb", {"timeout": 3, "register_session_retries": 2}),
        ("hdfs-native", {"dfs.client.socket-timeout": "3"}),
        ("pyarrow", {"extra_conf": {"ipc.client.connect.max.retries": "3"}}),
    ],
)
def test_what_the_caller_says_wins(driver, said):
    """Also inside a nested mapping, where the rest is added."""
    patient = dialect_for(driver).patience({"host": "h", **said}, stall_seconds=9.0)

    assert patient["host"] == "h"
    for name, value in said.items():
        assert patient[name] == value if not isinstance(value, dict) else {**patient[name], **value} == patient[name]


@pytest.mark.quirk("aiohttp-sends-twice")
@pytest.mark.parametrize("driver", ["s3fs", "gcsfs", "adlfs", "http", "lakefs"])
def test_a_broken_connection_is_one_request(driver):
    """Nothing is sent a second time behind our back."""
    with Loopback("reset") as server, pytest.raises(ConnectionFailedError) as caught:
        read(at(driver, server.port))

    assert len(server.requests) == 1
    assert caught.value.retryable


@pytest.mark.quirk("aiohttp-sends-twice")
def test_a_lost_reply_to_an_exclusive_write_is_no_object_of_somebody_else():
    """It is a broken connection, after which the store can be asked."""
    with Loopback("reset") as server:
        fs, dialect = instance_of(at("s3fs", server.port).store_and_key()[0]), dialect_for("s3fs")
        dialect._conditions.kept["If-None-Match"] = True
        error = within(lambda: dialect.write_object(fs, "bucket/k", b"x", create=True))

    assert classify(error) is ConnectionFailedError
    assert server.requests == ["PUT /bucket/k"]


@pytest.mark.quirk("abfs-body")
def test_abfs_asks_three_times_for_a_body_that_breaks_off():
    """Which ends as an error of ours all the same."""
    with Loopback("truncated") as server, pytest.raises(TruncatedError):
        read(at("adlfs", server.port))

    assert server.requests == ["GET /a/bucket/k"] * 3


@pytest.mark.quirk("webdav-resumes")
@pytest.mark.parametrize("way", ["read", "range", "stream"])
def test_webdav_does_not_go_on_by_another_request(way):
    """What broke off is an error, although the server says that it has ranges."""
    dialect = dialect_for("webdav")
    calls = {
        "read": lambda fs: dialect.read(fs, "k", None, None, None),
        "range": lambda fs: dialect.read(fs, "k", 2, 9, None),
        "stream": lambda fs: list(dialect.stream(fs, "k", MIB)),
    }
    with Loopback("truncated") as server:
        fs = instance_of(at("webdav", server.port).store_and_key()[0])
        error = within(lambda: calls[way](fs))

    assert classify(error) is TruncatedError
    assert server.requests == ["GET /k"]


# --- errors that may be tried again ---


@pytest.mark.quirk("gcs-headers")
@pytest.mark.parametrize(
    ("status", "kind"),
    [("429", ThrottledError), ("500", ServerFailedError), ("502", ServerFailedError), ("503", ThrottledError)],
)
def test_gcs_failures_keep_status_and_headers(status, kind, caplog):
    """Without the driver's own lines in the log, too."""
    caplog.set_level(logging.WARNING, logger="gcsfs")
    with Loopback(status) as server, pytest.raises(kind) as caught:
        read(at("gcsfs", server.port))

    assert caught.value.retry_after_seconds == 7.0
    assert not caplog.records


@pytest.mark.quirk("drivers-own-retries")
@pytest.mark.parametrize("driver", HTTP_DRIVERS)
@pytest.mark.parametrize(
    ("answer", "kind"),
    [("500", ServerFailedError), ("502", ServerFailedError), ("504", OperationTimeoutError), ("reset", ConnectionFailedError), ("close", ConnectionFailedError)],
)  # fmt: skip
def test_failures_that_pass_may_be_tried_again(driver, answer, kind):
    """Of the server, of something between, and of the connection."""
    with Loopback(answer) as server, pytest.raises(kind) as caught:
        read(at(driver, server.port))

    assert caught.value.retryable


# --- a silent server ---


@pytest.mark.quirk("drivers-own-timeouts")
@pytest.mark.parametrize("driver", [*HTTP_DRIVERS, "ftp", "sshfs", "smb"])
def test_a_silent_server_is_given_up(driver):
    """By the client itself, long before the attempt has to be ended."""
    if driver == "smb":
        pytest.importorskip("smbclient")
    with silent_server() as port:
        error = within(lambda: read(at(driver, port, stall_seconds=0.5, timeout_seconds=None)))

    assert isinstance(error, GIVEN_UP)
    assert error.retryable


@pytest.mark.quirk("drivers-own-timeouts")
def test_a_silent_ssh_server_is_given_up_by_paramiko():
    """By the limits of each step of connecting."""
    from fsspec.implementations.sftp import SFTPFileSystem

    with silent_server() as port:
        options = {"host": "127.0.0.1", "port": port, "username": "a", "password": "b", "skip_instance_cache": True}
        error = within(lambda: SFTPFileSystem(**dialect_for("paramiko").patience(options, stall_seconds=0.5)))

    assert classify(error) in GIVEN_UP


@pytest.mark.server("sftp")
@pytest.mark.quirk("drivers-own-timeouts")
@pytest.mark.parametrize("driver", ["paramiko", "sshfs"])
def test_an_ssh_server_that_falls_silent_is_given_up(driver, mortal_sftp):
    """Also by a driver that is connected already."""
    import fsspec
    from fsspec.implementations.sftp import SFTPFileSystem

    cls = SFTPFileSystem if driver == "paramiko" else fsspec.get_filesystem_class("sftp")
    given = mortal_sftp.paramiko_options if driver == "paramiko" else mortal_sftp.sshfs_options
    dialect = dialect_for(driver)
    fs = cls(**dialect.patience({**given, "skip_instance_cache": True}, stall_seconds=1.0))
    dialect.restrain(fs, stall_seconds=1.0, given=False)
    assert dialect.info(fs, "/").is_folder

    with frozen(mortal_sftp):
        error = within(lambda: dialect.info(fs, "/"))

    assert classify(error) in GIVEN_UP


@pytest.mark.server("ftp")
@pytest.mark.quirk("drivers-own-timeouts")
@pytest.mark.quirk("ftp-goodbye")
def test_an_ftp_server_that_falls_silent_is_given_up(mortal_ftp):
    """In the middle of an operation, and when it does not even say goodbye."""
    server = {"storage_options": mortal_ftp.storage_options, "policy": Policy(attempts=1, stall_seconds=1.0)}
    store = FSSpecPersistence(f"{mortal_ftp.url}/data", **server).store_and_key()[0]
    dialect, fs = dialect_for("ftp"), instance_of(store)
    patient = instance_of(
        FSSpecPersistence(f"{mortal_ftp.url}/data", storage_options=mortal_ftp.storage_options).store_and_key()[0]
    )
    assert patient.ftp.sock.gettimeout() > 20.0

    with frozen(mortal_ftp):
        error = within(lambda: dialect.info(fs, "/"))
        goodbye = within(lambda: dialect.close(patient))

    assert classify(error) is OperationTimeoutError
    assert classify(goodbye) is OperationTimeoutError


@pytest.mark.quirk("drivers-own-timeouts")
@pytest.mark.parametrize(("driver", "where"), [("http", "client_kwargs"), ("gcsfs", None)])
def test_a_whole_transfer_may_take_any_time(driver, where):
    """As long as something moves."""
    patient = dialect_for(driver).patience({}, stall_seconds=9.0)
    limits = patient[where]["timeout"] if where else patient["requests_timeout"]

    assert limits.total is None
    assert limits.sock_connect == limits.sock_read == 9.0


# --- interrupting ---


@pytest.mark.server("ftp")
@pytest.mark.quirk("interrupted-by-hanging-up")
@pytest.mark.parametrize("act", ["info", "read", "write"])
def test_a_blocked_ftp_call_ends_when_interrupted(act, mortal_ftp):
    """On the control connection, and on either direction of a data connection."""
    mortal_ftp.raw_write("data/k", bytes(32 * MIB))
    root = FSSpecPersistence(f"{mortal_ftp.url}/data", storage_options=mortal_ftp.storage_options)
    dialect, fs = dialect_for("ftp"), instance_of(root.store_and_key()[0])
    path = f"{fs._strip_protocol(mortal_ftp.url).rstrip('/')}/data/k"
    stream = dialect.stream(fs, path, MIB)
    calls = {
        "info": lambda: dialect.info(fs, path),
        "read": lambda: list(stream),
        "write": lambda: [sink.write(bytes(MIB)) for _ in range(64)],
    }
    if act == "read":
        next(stream)
    elif act == "write":
        sink = dialect.sink(fs, f"{path}2", size=None, metadata=None)

    with frozen(mortal_ftp):
        error = interrupted(dialect, fs, calls[act])
    if act == "write":
        sink.abort()

    assert classify(error) in GIVEN_UP


@pytest.mark.server("sftp")
@pytest.mark.quirk("interrupted-by-hanging-up")
def test_a_blocked_paramiko_call_ends_when_interrupted(mortal_sftp):
    """With its transport."""
    from fsspec.implementations.sftp import SFTPFileSystem

    dialect, fs = dialect_for("paramiko"), SFTPFileSystem(**mortal_sftp.paramiko_options, skip_instance_cache=True)
    with frozen(mortal_sftp):
        error = interrupted(dialect, fs, lambda: dialect.info(fs, "/"))

    assert classify(error) in GIVEN_UP
    assert not dialect.alive(fs, 0.0)


def interrupted(dialect, fs, act) -> BaseException | None:
    """Act in a thread that begins before this one interrupts it."""
    begun = threading.Event()

    def begin() -> None:
        begun.set()
        act()

    def interrupt() -> None:
        begun.wait()
        assert dialect.interrupt(fs) is None

    other = threading.Thread(target=interrupt, daemon=True)
    other.start()
    error = within(begin)
    other.join(10)
    return error


@pytest.mark.quirk("interrupted-by-hanging-up")
@pytest.mark.parametrize("driver", sorted({*DRIVERS.values(), "unknown"} - {"local"}))
def test_interrupting_never_raises(driver):
    """Whatever is left of an instance."""
    assert dialect_for(driver).interrupt(_Nothing()) is None


class _Nothing:
    """An instance whose connections are gone."""

    class ftp:  # noqa: N801 - the driver's name
        sock = None

    class client:  # noqa: N801 - the driver's name
        @staticmethod
        def get_transport():
            return None


@pytest.mark.quirk("only-abandoned")
def test_calls_that_nothing_ends_are_abandoned():
    """Sync drivers whose client has no limit; all others are cancelled, interrupted, or give up by themselves."""
    abandoned = {driver for driver in {*DRIVERS.values(), "unknown"} if traits(driver)[1].abandon}

    assert abandoned == {"hdfs-native", "pyarrow", "smb", "lakefs", "object-store", "archive", "reference", "unknown"}


# --- uploads in parts ---


@pytest.fixture
def small_parts(monkeypatch):
    """Objects beyond 5 MiB, the least that S3 takes, are sent in parts."""
    monkeypatch.setattr(ObjectDialect, "object_part_size", 5 * MIB)


BODY = bytes(range(256)) * (4096 * 12)  # 12 MiB: two whole parts and a rest


@pytest.mark.server("s3")
@pytest.mark.quirk("sinks-repeat-parts")
@pytest.mark.parametrize("kind", ["unavailable", "cut-request", "lost-reply"])
@pytest.mark.parametrize("at_request", [1, 2, 4, 5, 7, 8], ids=["begin", "ask", "begin anew", "part", "last part", "complete"])
def test_s3_parts_are_sent_again(kind, at_request, s3, s3_server, small_parts):
    """Each request of an upload may fail once, also after it was done."""
    port = int(s3_server.endpoint_url.rpartition(":")[2])
    with HttpFaults(port) as proxy:
        options = {**s3_server.storage_options, "endpoint_url": f"http://127.0.0.1:{proxy.port}"}
        fs = instance_of(at_endpoint("s3://", options))
        dialect, path = quick(dialect_for("s3fs")), f"{s3_server.bucket}/{s3.folder}/k"
        proxy.arm(Fault(kind=kind, at=at_request))
        sink = dialect.sink(fs, path, size=None, metadata={"a": "b"})
        for start in range(0, len(BODY), MIB):
            sink.write(BODY[start : start + MIB])
        sink.close()
        fired = proxy.fired

    assert fired
    assert s3.raw_read("k") == BODY


@pytest.mark.server("s3")
@pytest.mark.quirk("sinks-repeat-parts")
def test_a_stream_survives_parts_that_fail(s3, s3_server, small_parts):
    """As the policy says, though nobody has the stream's beginning any more."""
    with HttpFaults(int(s3_server.endpoint_url.rpartition(":")[2])) as proxy:
        options = {**s3_server.storage_options, "endpoint_url": f"http://127.0.0.1:{proxy.port}"}
        patient = Policy(attempts=3, backoff_seconds=0.01)
        p = FSSpecPersistence(f"s3://{s3_server.bucket}/{s3.folder}", storage_options=options, policy=patient)
        proxy.arm(Fault(kind="unavailable", at=3), Fault(kind="lost-reply", at=4), Fault(kind="cut-request", at=6))
        with p.open("k", "wb") as file:
            for start in range(0, len(BODY), MIB):
                file.write(BODY[start : start + MIB])
        fired = proxy.fired

    assert len(fired) == 3
    assert s3.raw_read("k") == BODY


@pytest.mark.quirk("sinks-repeat-parts")
def test_parts_are_not_sent_again_when_the_time_is_over():
    """The attempt around them has one deadline for all."""
    calls = []

    def late():
        calls.append(current())
        current().expired = True
        raise ConnectionResetError("too late")

    with pytest.raises(OperationTimeoutError), Attempt().working(60.0):
        repeating(Policy(attempts=5, backoff_seconds=0.0), "s3://bucket")(late)

    assert len(calls) == 1


@pytest.mark.server("s3")
@pytest.mark.quirk("sinks-repeat-parts")
def test_s3_an_upload_that_somebody_aborted_is_no_success(s3, s3_server, small_parts):
    """Also where an older object stands under the name."""
    fs = instance_of(s3.store)
    path = f"{s3_server.bucket}/{s3.folder}/k"
    s3.raw_write("k", b"old")
    sink = dialect_for("s3fs").sink(fs, path, size=None, metadata=None)
    sink.write(BODY[: 10 * MIB])
    fs.call_s3("abort_multipart_upload", **sink._multipart.upload)

    assert isinstance(within(sink.close), OSError)
    assert s3.raw_read("k") == b"old"


@pytest.mark.server("azure")
@pytest.mark.quirk("sinks-repeat-parts")
@pytest.mark.parametrize("kind", ["unavailable", "cut-request", "lost-reply"])
@pytest.mark.parametrize("at_request", [1, 3, 4], ids=["block", "last block", "commit"])
def test_abfs_blocks_are_sent_again(kind, at_request, azure, azure_server, small_parts):
    """The commit of an exclusive upload knows its own blocks."""
    port = int(azure_server.endpoint_url.rpartition("/")[0].rpartition(":")[2])
    given = azure_server.storage_options["connection_string"]
    with HttpFaults(port) as proxy:
        options = {"connection_string": given.replace(f":{port}/", f":{proxy.port}/")}
        fs = instance_of(at_endpoint("abfs://", options))
        proxy.arm(Fault(kind=kind, at=at_request))
        quick(dialect := dialect_for("adlfs"))
        dialect.write_object(fs, f"{azure_server.container}/{azure.folder}/k", io.BytesIO(BODY), create=True)
        fired = proxy.fired
        with pytest.raises(ObjectExistsError):
            dialect.write_object(fs, f"{azure_server.container}/{azure.folder}/k", io.BytesIO(BODY), create=True)

    assert fired
    assert azure.raw_read("k") == BODY


@pytest.mark.quirk("sinks-repeat-parts")
@pytest.mark.parametrize("lost", [1, 2, 4], ids=["begin", "chunk", "last chunk"])
@pytest.mark.parametrize("arrived", [0, 256 * 1024, None], ids=["nothing", "some", "all"])
def test_gcs_chunks_are_sent_again(lost, arrived, small_parts, monkeypatch):
    """From where the service says that the last one ended."""
    with Resumable(lost, arrived) as service:
        fs = instance_of(at("gcsfs", service.server_port).store_and_key()[0])
        monkeypatch.setattr(type(fs), "on_google", True)
        sink = quick(dialect_for("gcsfs")).sink(fs, "bucket/k", size=None, metadata=None)
        for start in range(0, len(BODY), MIB):
            sink.write(BODY[start : start + MIB])
        sink.close()

    assert service.requests > lost
    assert bytes(service.content) == BODY
    assert service.finished


class Resumable(ThreadingHTTPServer):
    """Resumable uploads as Google documents them, of which one reply is lost; the emulator cannot say what has arrived."""

    def __init__(self, lost: int, arrived: int | None) -> None:
        super().__init__(("127.0.0.1", 0), _Resume)
        self.lost, self.arrived = lost, arrived
        self.requests, self.content, self.finished = 0, bytearray(), False

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return super().__enter__()

    def __exit__(self, *error) -> None:
        self.shutdown()
        super().__exit__(*error)


class _Resume(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Resumable

    def log_message(self, *_: object) -> None:
        """Not on the terminal."""

    def do_POST(self) -> None:
        """Begin, continue, or say how it stands: https://cloud.google.com/storage/docs/performing-resumable-uploads"""
        service, body = self.server, self.rfile.read(int(self.headers.get("Content-Length", 0)))
        service.requests += 1
        lost = service.requests == service.lost
        span, _, total = self.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        if lost and service.arrived is not None:
            body = body[: service.arrived]
        if "-" in span:
            start = int(span.partition("-")[0])
            assert start <= len(service.content), "a hole"
            service.content[start:] = body
        service.finished = service.finished or total == str(len(service.content))
        if lost:
            self.close_connection = True
            return
        self.send_response(200 if service.finished or not span else 308)
        if not span:
            self.send_header("Location", f"http://127.0.0.1:{service.server_port}/session")
        elif not service.finished and service.content:
            self.send_header("Range", f"bytes=0-{len(service.content) - 1}")
        answer = b'{"generation": "1"}' if service.finished else b""
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


def at_endpoint(url: str, options):
    """A store of its own at the root of a service."""
    return FSSpecPersistence(f"{url}x", storage_options=options, policy=Policy(attempts=1)).store_and_key()[0]


def quick(dialect):
    """Have a dialect repeat what fails once, at once."""

    def repeat(act):
        try:
            return act()
        except Exception as exc:
            if not classify(exc).retryable:
                raise
            return act()

    dialect.repeat = repeat
    return dialect
