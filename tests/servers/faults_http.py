"""Faults between an HTTP client and its server, request by request."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPResponse, parse_headers
from typing import BinaryIO

from .faults import Fault, FaultProxy, reset, wait_for_end

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "expect"}


@dataclass(frozen=True)
class Request:
    """One request, read to its end."""

    method: str
    target: str
    headers: HTTPMessage
    body: bytes

    def __str__(self) -> str:
        return f"{self.method} {self.target}"


@dataclass(frozen=True)
class Answer:
    """One answer, as it goes to the client."""

    head: bytes
    body: bytes
    status: int = 200


class HttpFaults(FaultProxy):
    """Events are requests. The server sees the client's Host header, so that signatures and destinations stay right.

    Args:
        port: Of the server.
        refusal: Body of a 503.
    """

    kinds = ("reset", "cut-request", "lost-reply", "stall", "stall-after-send", "unavailable", "truncated")
    """``reset``: RST before the server hears of the request. ``cut-request``: the server gets half of the body, then both
    get RST. ``lost-reply``: the server has answered, the client gets RST. ``stall``, ``stall-after-send``: no answer;
    the server never heard of it, or has done it. ``unavailable``: a 503 by the proxy. ``truncated``: half of the
    answer's body under its full Content-Length, then the end of the connection."""

    def __init__(self, port: int, *, refusal: bytes = b"") -> None:
        super().__init__(port)
        self._refusal = refusal

    def _serve(self, client: socket.socket) -> None:
        with client.makefile("rb") as stream, contextlib.suppress(HTTPException):
            while (request := _read_request(stream, client)) is not None:
                if not self._exchange(request, client):
                    return

    def _exchange(self, request: Request, client: socket.socket) -> bool:
        """One request and its answer; False when the connection is over."""
        number = self.count()
        cut = ("cut-request",) if len(request.body) > 1 else ()
        fault = self.due(number, str(request), "reset", *cut, "lost-reply", "stall", "stall-after-send", "unavailable")
        if fault is not None and fault.kind in {"reset", "cut-request", "stall", "unavailable"}:
            return self._refuse(fault, request, client)
        answer = self._ask(request)
        if fault is not None:
            if fault.kind == "stall-after-send":
                wait_for_end(client)
            reset(client)
            return False
        if len(answer.body) > 1 and self.due(number, str(request), "truncated"):
            client.sendall(answer.head + answer.body[: len(answer.body) // 2])
            return False
        client.sendall(answer.head + answer.body)
        return True

    def _refuse(self, fault: Fault, request: Request, client: socket.socket) -> bool:
        if fault.kind == "unavailable":
            body = b"" if request.method == "HEAD" else self._refusal
            head = f"HTTP/1.1 503 Slow Down\r\nRetry-After: {fault.amount}\r\nContent-Length: {len(self._refusal)}\r\n\r\n"
            client.sendall(head.encode() + body)
            return True
        if fault.kind == "cut-request":
            connection = self._send(request, request.body[: len(request.body) // 2])
            reset(connection.sock)
            connection.close()
        elif fault.kind == "stall":
            wait_for_end(client)
        reset(client)
        return False

    def _send(self, request: Request, body: bytes) -> HTTPConnection:
        """A connection of its own for each request: the server's idle times are none of the client's business."""
        connection = HTTPConnection(*self._server)
        connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers.items():
            if name.lower() not in _HOP_BY_HOP:
                connection.putheader(name, value)
        connection.putheader("Connection", "close")
        if request.body or "content-length" in request.headers:
            connection.putheader("Content-Length", str(len(request.body)))
        connection.endheaders(body)
        return connection

    def _ask(self, request: Request) -> Answer:
        with contextlib.closing(self._send(request, request.body)) as connection, connection.getresponse() as answer:
            return _as_sent(answer, answer.read(), request.method)


def _as_sent(answer: HTTPResponse, body: bytes, method: str) -> Answer:
    lines = [f"HTTP/1.1 {answer.status} {answer.reason}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP]
    length = answer.headers["content-length"] if method == "HEAD" else str(len(body))
    if length is not None and answer.status not in {204, 304}:
        lines.append(f"Content-Length: {length}")
    return Answer("\r\n".join([*lines, "", ""]).encode("latin-1"), body, answer.status)


def _read_request(stream: BinaryIO, client: socket.socket) -> Request | None:
    """The next request; None at the end of the connection."""
    line = stream.readline()
    if not line.strip():
        return None
    method, target, _ = line.decode("latin-1").split(" ", 2)
    headers = parse_headers(stream)
    if "100-continue" in headers.get("expect", ""):
        client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    if "chunked" in headers.get("transfer-encoding", ""):
        body = b"".join(_chunks(stream))
    else:
        body = _exactly(stream, int(headers.get("content-length", 0)))
    return Request(method, target, headers, body)


def _chunks(stream: BinaryIO):
    while size := int(stream.readline().partition(b";")[0], 16):
        yield _exactly(stream, size)
        stream.readline()
    while stream.readline().strip():  # trailers
        pass


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise ConnectionAbortedError("the client hung up in the middle of a request")
    return data
