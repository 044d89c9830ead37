"""Proxies that pass everything on at once and unharmed, and count the bytes of objects that go by.

What is not the content of an object (headers, listings, commands) is counted apart.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.client import HTTPMessage, parse_headers
from io import BytesIO
from typing import BinaryIO, Protocol
from urllib.parse import parse_qs, urlsplit

from .faults import PIECE, Fault, FaultProxy
from .faults_ftp import FtpFaults

_LINE = re.compile(rb"HTTP/1\.[01] (\d+)")


class Traffic:
    """Bytes counted since the last `reset`; used by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Begin at nothing."""
        with self._lock:
            self.up = self.down = self.other = self.requests = 0
            self.by_name: Counter[str] = Counter()

    def count(self, size: int, way: str, name: str = "") -> None:
        """Count bytes.

        Args:
            size: How many.
            way: ``up``, ``down`` (contents of objects) or ``other``.
            name: Of the object.
        """
        with self._lock:
            setattr(self, way, getattr(self, way) + size)
            if name:
                self.by_name[name] += size

    def request(self) -> None:
        """Count one request, or command."""
        with self._lock:
            self.requests += 1

    @property
    def content(self) -> int:
        """Bytes of contents, both ways."""
        with self._lock:
            return self.up + self.down


Alert = Callable[[str], None]
"""Told of every moment: ``before`` or ``after``, and a request. An OSError from it ends the connection, before the request or
the answer is passed on."""


def silent(moment: str) -> None:
    """Nobody wants to know."""


class Meter(Protocol):
    """A running proxy that counts."""

    port: int
    traffic: Traffic
    alert: Alert

    def settle(self) -> None:
        """Wait until nobody is connected any more, and the server has answered what it was asked."""


class _Settling(FaultProxy):
    def settle(self) -> None:
        """Wait until nobody is connected any more, and the server has answered what it was asked."""
        deadline = time.monotonic() + 30.0
        while time.monotonic() < deadline:
            with self._lock:
                busy = bool(self._sockets)
            # One thread waits for connections; the others serve them.
            if not busy and sum(each.is_alive() for each in list(self._threads)) <= 1:
                return
            time.sleep(0.01)
        raise TimeoutError("somebody is still connected to the meter")


class HttpMeter(_Settling):
    """Before an S3 server with path-style addresses. Requests and answers are passed on as they come, piece by piece.

    Args:
        port: Of the server.
        forbidden: Whether a request, by its method and target, is answered with 403, and never gets there.
    """

    kinds = ()

    def __init__(self, port: int, *, forbidden: Callable[[str, str], bool] = lambda method, target: False) -> None:
        super().__init__(port)
        self.traffic = Traffic()
        self.alert: Alert = silent
        self._forbidden = forbidden

    def _serve(self, client: socket.socket) -> None:
        with self.connect() as server, client.makefile("rb") as asked, server.makefile("rb") as answered:
            try:
                while self._exchange(client, asked, server, answered):
                    pass
            finally:
                # Whoever is gone takes the other along, in the middle of a body too.
                for each in (client, server):
                    with contextlib.suppress(OSError):
                        each.shutdown(socket.SHUT_RDWR)

    def _exchange(self, client: socket.socket, asked: BinaryIO, server: socket.socket, answered: BinaryIO) -> bool:
        line = asked.readline()
        if not line.strip():
            return False
        self.traffic.request()
        method, target, _ = line.decode("latin-1").split(" ", 2)
        head = _head(asked)
        name = object_name(method, target)
        if "100-continue" in head.message.get("expect", ""):
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            head = _Head(re.sub(rb"(?im)^expect:.*\r\n", b"", head.raw))
        if self._forbidden(method, target):
            _swallow(asked, head)
            return _forbid(client)
        self.alert(f"before {method} {target}")
        server.sendall(line + head.raw)
        self.traffic.count(len(line) + len(head.raw), "other")
        way = "up" if name and method == "PUT" else "other"
        self._pass(asked, server, head, way, name)
        return self._answer(client, answered, method, target, name)

    def _answer(self, client: socket.socket, answered: BinaryIO, method: str, target: str, name: str) -> bool:
        line = answered.readline()
        found = _LINE.match(line)
        if found is None:
            return False
        head = _head(answered)
        self.alert(f"after {method} {target}")
        client.sendall(line + head.raw)
        self.traffic.count(len(line) + len(head.raw), "other")
        status = int(found[1])
        bodiless = method == "HEAD" or status in {204, 304}
        length = head.message.get("content-length")
        chunked = "chunked" in head.message.get("transfer-encoding", "")
        way = "down" if name and method == "GET" and status in {200, 206} else "other"
        if not bodiless and (length is not None or chunked):
            self._pass(answered, client, head, way, name)
        elif not bodiless:  # to the end of the connection
            while data := answered.read1(PIECE):  # type: ignore[attr-defined]
                self.traffic.count(len(data), way, name)
                client.sendall(data)
            return False
        return "close" not in head.message.get("connection", "").lower()

    def _pass(self, source: BinaryIO, target: socket.socket, head: _Head, way: str, name: str) -> None:
        if "chunked" in head.message.get("transfer-encoding", ""):
            self._pass_chunks(source, target, way, name)
        else:
            self._pass_bytes(source, target, int(head.message.get("content-length", 0)), way, name)

    def _pass_chunks(self, source: BinaryIO, target: socket.socket, way: str, name: str) -> None:
        while True:
            line = source.readline()
            if not line:
                raise ConnectionAbortedError
            target.sendall(line)
            size = int(line.partition(b";")[0], 16)
            if not size:
                break
            self._pass_bytes(source, target, size, way, name)
            target.sendall(source.readline())
        while (line := source.readline()).strip():  # trailers
            target.sendall(line)
        target.sendall(b"\r\n")

    def _pass_bytes(self, source: BinaryIO, target: socket.socket, size: int, way: str, name: str) -> None:
        while size:
            data = source.read1(min(size, PIECE))  # type: ignore[attr-defined]
            if not data:
                raise ConnectionAbortedError
            self.traffic.count(len(data), way, name)
            target.sendall(data)
            size -= len(data)


class FtpMeter(_Settling, FtpFaults):
    """Before an FTP server; the data connections pass through here too.

    Downloads are slowed down a little: else tens of megabytes lie in the buffers of the system, counted, and not received.
    """

    _BYTES_PER_SECOND = 80_000_000

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.traffic = Traffic()
        self.alert: Alert = silent

    def count(self, events: int = 1) -> int:
        self.traffic.request()
        return super().count(events)

    def due(self, number: int, what: str, *kinds: str) -> Fault | None:
        """Every command passes here."""
        if "reset" in kinds:
            self.alert(f"before {what}")
        return super().due(number, what, *kinds)

    def answered(self, command: str) -> None:
        self.alert(f"after {command}")

    def passing(self, data: bytes, command: str, before: int) -> bytes:
        verb, _, name = command.partition(" ")
        way = {"STOR": "up", "APPE": "up", "RETR": "down"}.get(verb.upper(), "other")
        self.traffic.count(len(data), way, name if way != "other" else "")
        if way == "down":
            time.sleep(len(data) / self._BYTES_PER_SECOND)
        return data


class _Head:
    """The header lines of a message, and what they mean."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.message: HTTPMessage = parse_headers(BytesIO(raw))


def _head(stream: BinaryIO) -> _Head:
    lines = []
    while (line := stream.readline()).strip():
        lines.append(line)
    if not line:
        raise ConnectionAbortedError
    return _Head(b"".join([*lines, b"\r\n"]))


def object_name(method: str, target: str) -> str:
    """The object whose content a request is about; empty for listings and whatever else is asked."""
    parts = urlsplit(target)
    key = parts.path.strip("/").partition("/")[2]
    asked = parse_qs(parts.query, keep_blank_values=True).keys()
    if method == "GET" and asked & {"uploadId", "uploads", "list-type", "acl", "tagging", "attributes"}:
        return ""
    return key if method in {"GET", "PUT"} else ""


def _swallow(source: BinaryIO, head: _Head) -> None:
    if "chunked" not in head.message.get("transfer-encoding", ""):
        source.read(int(head.message.get("content-length", 0)))
        return
    while size := int(source.readline().partition(b";")[0], 16):
        source.read(size + 2)
    while source.readline().strip():  # trailers
        pass


def _forbid(client: socket.socket) -> bool:
    body = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
    client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    return True
