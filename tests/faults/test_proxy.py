"""Each fault does what it says, seen by plain clients."""

from __future__ import annotations

import contextlib
import ftplib
import io
import socket
import socketserver
import threading
from http.client import HTTPConnection, IncompleteRead

import pytest

from tests.servers.faults import Fault, SshFaults
from tests.servers.faults_ftp import FtpFaults
from tests.servers.faults_http import HttpFaults
from tests.servers.process import HOST

WAIT = 0.3
BODY = bytes(range(256)) * 40


# --- HTTP -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def web(webdav_server):
    with HttpFaults(webdav_server.process.port, refusal=b"slow down") as proxy:
        yield proxy


@contextlib.contextmanager
def http(proxy):
    with contextlib.closing(HTTPConnection(HOST, proxy.port, timeout=WAIT)) as client:
        yield client


def ask(client, method, target, body=None):
    client.request(method, target, body)
    answer = client.getresponse()
    return answer.status, answer.read()


@pytest.mark.server("webdav")
def test_http_passes_what_is_sound(web, webdav_server):
    """Without faults, requests and answers arrive unharmed over one connection, chunked ones too."""
    web.arm()
    with http(web) as client:
        assert ask(client, "PUT", "/sound", BODY)[0] == 201
        assert ask(client, "PUT", "/chunked", iter([BODY, BODY]))[0] == 201
        assert ask(client, "GET", "/sound") == (200, BODY)
        client.request("HEAD", "/sound")
        assert client.getresponse().headers["content-length"] == str(len(BODY))
    assert webdav_server.raw_read("chunked") == BODY * 2
    assert (web.seen, web.fired) == (4, [])


@pytest.mark.server("webdav")
def test_http_fault_strikes_once_and_in_its_turn(web):
    """The second request fails, its neighbours do not."""
    web.arm(Fault(kind="unavailable", at=2, amount=1))
    with http(web) as client:
        assert ask(client, "OPTIONS", "/")[0] == 200
        client.request("OPTIONS", "/")
        answer = client.getresponse()
        assert (answer.status, answer.headers["retry-after"], answer.read()) == (503, "1", b"slow down")
        assert ask(client, "OPTIONS", "/")[0] == 200
    assert web.fired == ["unavailable at 2: OPTIONS /"]


@pytest.mark.server("webdav")
@pytest.mark.parametrize(
    ("kind", "error", "stored"),
    [
        ("reset", ConnectionResetError, None),
        ("lost-reply", ConnectionResetError, BODY),
        ("stall", TimeoutError, None),
        ("stall-after-send", TimeoutError, BODY),
    ],
)
def test_http_fault_before_and_after_the_server_acted(web, webdav_server, kind, error, stored):
    """A request that fails has, or has not, reached the server, as the fault says."""
    webdav_server.raw_delete("acted")
    web.arm(Fault(kind=kind, at=1))
    with http(web) as client, pytest.raises(error):
        ask(client, "PUT", "/acted", BODY)
    assert webdav_server.raw_read("acted") == stored


@pytest.mark.server("webdav")
def test_http_cut_request(web, webdav_server):
    """The server never gets the end of the body."""
    web.arm(Fault(kind="cut-request", at=1))
    with http(web) as client, pytest.raises(ConnectionResetError):
        ask(client, "PUT", "/cut", BODY)
    assert webdav_server.raw_read("cut") != BODY


@pytest.mark.server("webdav")
def test_http_truncated_answer(web, webdav_server):
    """Half of the body arrives under the whole length."""
    webdav_server.raw_write("long", BODY)
    web.arm(Fault(kind="truncated", at=1))
    with http(web) as client, pytest.raises(IncompleteRead) as caught:
        ask(client, "GET", "/long")
    assert caught.value.partial == BODY[: len(BODY) // 2]


@pytest.mark.server("webdav")
def test_drop_hangs_up_on_idle_connections(web):
    """The next request on a connection finds it closed."""
    web.arm()
    with http(web) as client:
        ask(client, "OPTIONS", "/")
        assert web.drop() == 1
        assert client.sock.recv(1) == b""


def test_unknown_fault_is_refused():
    """A fault that a proxy cannot do is a mistake of the test."""
    with HttpFaults(1) as proxy, pytest.raises(ValueError, match="cut-data"):
        proxy.arm(Fault(kind="cut-data", at=1))


# --- FTP --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def files(ftp_server):
    with FtpFaults(ftp_server.process.port) as proxy:
        yield proxy


@contextlib.contextmanager
def ftp(proxy, server):
    client = ftplib.FTP()
    client.connect(HOST, proxy.port, timeout=WAIT)
    client.login(server.storage_options["username"], server.storage_options["password"])
    client.voidcmd("TYPE I")
    try:
        yield client
    finally:
        client.close()


def fetched(client, name):
    into = io.BytesIO()
    client.retrbinary(f"RETR {name}", into.write)
    return into.getvalue()


@pytest.mark.server("ftp")
@pytest.mark.parametrize("af", [socket.AF_INET, socket.AF_INET6])
def test_ftp_passes_what_is_sound(files, ftp_server, af):
    """Without faults, both data connections and both ways to open them work."""
    files.arm()
    with ftp(files, ftp_server) as client:
        client.af = af  # ftplib chooses PASV or EPSV by it
        client.storbinary("STOR sound", io.BytesIO(BODY))
        assert fetched(client, "sound") == BODY
        assert "sound" in client.nlst()
    assert ftp_server.raw_read("sound") == BODY


@pytest.mark.server("ftp")
@pytest.mark.parametrize(
    ("kind", "error", "there"),
    [
        ("reset", (OSError, EOFError), True),
        ("unavailable", ftplib.error_temp, True),
        ("stall", TimeoutError, True),
        ("lost-reply", (OSError, EOFError), False),
        ("stall-after-send", TimeoutError, False),
    ],
)
def test_ftp_fault_before_and_after_the_server_acted(files, ftp_server, kind, error, there):
    """A command that fails has, or has not, been carried out, as the fault says."""
    ftp_server.raw_write("victim", BODY)
    with ftp(files, ftp_server) as client:
        files.arm(Fault(kind=kind, at=1))
        with pytest.raises(error):
            client.delete("victim")
    assert (ftp_server.raw_read("victim") is not None) == there
    assert files.fired == [f"{kind} at 1: DELE victim"]


@pytest.mark.server("ftp")
def test_ftp_lost_reply_of_an_upload(files, ftp_server):
    """The file is whole at the server; the client never hears so."""
    with ftp(files, ftp_server) as client:
        files.arm(Fault(kind="lost-reply", at=3))  # TYPE, PASV, STOR
        with pytest.raises((OSError, EOFError)):
            client.storbinary("STOR uploaded", io.BytesIO(BODY))
    assert ftp_server.raw_read("uploaded") == BODY


@pytest.mark.server("ftp")
def test_ftp_data_cut_in_a_download(files, ftp_server):
    """Some bytes arrive, then the connection breaks."""
    ftp_server.raw_write("source", BODY)
    into = io.BytesIO()
    with ftp(files, ftp_server) as client:
        files.arm(Fault(kind="cut-data", at=1, amount=100))
        with pytest.raises(ConnectionResetError):
            client.retrbinary("RETR source", into.write)
    assert into.getvalue() in (b"", BODY[:100])  # RST overtakes what was not read yet


@pytest.mark.server("ftp")
def test_ftp_data_short_in_both_directions(files, ftp_server):
    """The receiver takes the orderly end for the end of the file."""
    ftp_server.raw_write("source", BODY)
    with ftp(files, ftp_server) as client:
        files.arm(Fault(kind="short-data", at=1, amount=100))
        assert fetched(client, "source") == BODY[:100]
        files.arm(Fault(kind="short-data", at=1, amount=99))
        client.storbinary("STOR target", io.BytesIO(BODY))
    assert ftp_server.raw_read("target") == BODY[:99]


@pytest.mark.server("ftp")
def test_ftp_data_stall(files, ftp_server):
    """Nothing more comes until the client gives up."""
    ftp_server.raw_write("source", BODY)
    with ftp(files, ftp_server) as client:
        files.arm(Fault(kind="stall-data", at=1, amount=100))
        with pytest.raises(TimeoutError):
            fetched(client, "source")


# --- bytes ------------------------------------------------------------------------------------------------------------


class _Echo(socketserver.BaseRequestHandler):
    def handle(self):
        with contextlib.suppress(OSError):
            while data := self.request.recv(4096):
                self.server.heard.append(data)
                self.request.sendall(data)


@pytest.fixture
def echo():
    """A server that repeats what it hears, and remembers it, behind a proxy."""
    with socketserver.ThreadingTCPServer((HOST, 0), _Echo) as server:
        server.heard = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        with SshFaults(server.server_address[1]) as proxy:
            proxy.heard = server.heard
            yield proxy
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("kind", "at", "error", "heard"),
    [
        ("reset", 1, ConnectionResetError, []),
        ("reset", 6, ConnectionResetError, [b"hello"]),
        ("stall", 1, TimeoutError, []),
        ("stall", 6, TimeoutError, [b"hello"]),
        ("lost-reply", 1, ConnectionResetError, [b"hello"]),
        ("lost-reply", 6, ConnectionResetError, [b"hello"]),
    ],
)
def test_bytes_fault(echo, kind, at, error, heard):
    """Counted over both directions: the first five bytes are the question, the next ones the answer."""
    echo.arm(Fault(kind=kind, at=at))
    with socket.create_connection((HOST, echo.port), timeout=WAIT if kind == "stall" else 5.0) as client:
        client.sendall(b"hello")
        with pytest.raises(error):
            client.recv(10)
    assert echo.heard == heard
    assert len(echo.fired) == 1


def test_bytes_pass_unharmed(echo):
    """Without faults the echo comes back."""
    echo.arm()
    with socket.create_connection((HOST, echo.port)) as client:
        client.sendall(b"hello")
        assert client.recv(10) == b"hello"
    assert echo.seen == 10
