"""Faults between an FTP client and its server, command by command, and on data connections."""

from __future__ import annotations

import contextlib
import re
import select
import socket
from collections import deque
from dataclasses import dataclass

from .faults import PIECE, Fault, FaultProxy, reset, wait_for_end
from .process import HOST

_TRANSFERS = {"RETR", "STOR", "APPE", "LIST", "NLST", "MLSD"}
_PASSIVE = re.compile(rb"^227 .*?\d+,\d+,\d+,\d+,(\d+),(\d+)", re.DOTALL)
_EXTENDED_PASSIVE = re.compile(rb"^229 .*?\(\|\|\|(\d+)\|\)", re.DOTALL)
_ON_COMMAND = ("reset", "lost-reply", "stall", "stall-after-send", "unavailable")
_ON_DATA = ("cut-data", "short-data", "stall-data")


class FtpFaults(FaultProxy):
    """Events are commands; the data connections that a server offers pass through here too."""

    kinds = (*_ON_COMMAND, *_ON_DATA)
    """``reset``: the control connection, before the command is passed on. ``lost-reply``: the server has done it and
    answered, the client gets RST. ``stall``, ``stall-after-send``: no answer to the command, which the server never
    got, or has done. ``unavailable``: a 421 by the proxy, and the end of the connection. On the data connection of the
    next transfer, after `Fault.amount` bytes: ``cut-data``: both sides get RST. ``short-data``: the receiver sees an
    orderly end, and the rest is swallowed. ``stall-data``: nothing passes any more."""

    def _serve(self, client: socket.socket) -> None:
        with self.connect() as server:
            _Conversation(self, client, server).run()

    def passing(self, data: bytes, command: str, before: int) -> bytes:  # noqa: ARG002 - for others to look at
        """What to pass on instead of *data*, which a transfer's data connection carries.

        Args:
            data: A piece of it.
            command: That asked for the transfer, with its arguments.
            before: Bytes of the transfer that have passed already.
        """
        return data

    def answered(self, command: str) -> None:
        """The server has done what a command asked for, or refused it, and the client does not know yet."""


@dataclass
class _Sent:
    """A command that waits for its answer."""

    number: int
    text: str
    fault: Fault | None


class _Conversation:
    """One control connection and its data connections."""

    def __init__(self, proxy: FtpFaults, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._commands, self._replies = b"", b""
        self._waiting: deque[_Sent] = deque()
        self._data: _DataConnection | None = None

    def run(self) -> None:
        """Pass commands and replies until one side ends, or a fault ends both."""
        going = True
        try:
            while going:
                ready, _, _ = select.select([self._client, self._server], [], [])
                if self._client in ready:
                    going = self._read_commands()
                if going and self._server in ready:
                    going = self._read_replies()
        finally:
            if self._data is not None:
                self._data.expect_nobody()

    def _read_commands(self) -> bool:
        data = self._client.recv(PIECE)
        self._commands += data
        while b"\n" in self._commands:
            line, _, self._commands = self._commands.partition(b"\n")
            if not self._command(line + b"\n"):
                return False
        return bool(data)

    def _command(self, line: bytes) -> bool:
        text = line.decode(errors="replace").strip()
        number = self._proxy.count()
        fault = self._proxy.due(number, text, *_ON_COMMAND)
        if fault is not None and fault.kind in {"reset", "stall", "unavailable"}:
            self._end(fault)
            return False
        if text.partition(" ")[0].upper() in _TRANSFERS and self._data is not None:
            self._data.command = text
            self._data.fault = self._proxy.due(number, text, *_ON_DATA)
        self._waiting.append(_Sent(number, text, fault))
        self._server.sendall(line)
        return True

    def _end(self, fault: Fault) -> None:
        if fault.kind == "unavailable":
            self._client.sendall(b"421 Too many users, come back later.\r\n")
            self._client.shutdown(socket.SHUT_WR)
            wait_for_end(self._client)
            return
        if fault.kind in {"stall", "stall-after-send"}:
            wait_for_end(self._client)
        reset(self._client)

    def _read_replies(self) -> bool:
        data = self._server.recv(PIECE)
        self._replies += data
        while reply := _first_reply(self._replies):
            self._replies = self._replies[len(reply) :]
            if not self._reply(reply):
                return False
        return bool(data)

    def _reply(self, reply: bytes) -> bool:
        final = not reply.startswith(b"1")
        sent = self._waiting.popleft() if final and self._waiting else None
        if sent is not None and sent.fault is not None:
            self._end(sent.fault)
            return False
        if sent is not None:
            self._proxy.answered(sent.text)
        self._client.sendall(self._redirected(reply))
        return True

    def _redirected(self, reply: bytes) -> bytes:
        """Have data connections come to us."""
        if found := _PASSIVE.match(reply):
            self._data = _DataConnection(self._proxy, int(found[1]) * 256 + int(found[2]))
            return b"227 Entering passive mode (127,0,0,1,%d,%d).\r\n" % divmod(self._data.port, 256)
        if found := _EXTENDED_PASSIVE.match(reply):
            self._data = _DataConnection(self._proxy, int(found[1]))
            return b"229 Entering extended passive mode (|||%d|).\r\n" % self._data.port
        return reply


class _DataConnection:
    """One data connection; what it carries goes one way, known by who speaks first."""

    def __init__(self, proxy: FtpFaults, port: int) -> None:
        self._proxy, self._target = proxy, port
        self.fault: Fault | None = None
        self.command = ""
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        proxy.spawn(self._run)

    def expect_nobody(self) -> None:
        """Whoever has not come by now is gone."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the one who waits

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            with self._listener:
                self._listener.settimeout(10.0)
                client, _ = self._listener.accept()
            with client, self._proxy.connect(self._target) as server:
                self._relay(client, server)

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        passed = 0
        while True:
            ready, _, _ = select.select([client, server], [], [])
            source, target = (client, server) if client in ready else (server, client)
            data = source.recv(PIECE)
            if self.fault is not None and (passed + len(data) > self.fault.amount or not data):
                target.sendall(data[: self.fault.amount - passed])
                self._break(self.fault.kind, client, server, source, target)
                return
            if not data:
                return
            target.sendall(self._proxy.passing(data, self.command, passed))
            passed += len(data)

    def _break(
        self, kind: str, client: socket.socket, server: socket.socket, source: socket.socket, target: socket.socket
    ) -> None:
        if kind == "short-data":
            target.shutdown(socket.SHUT_WR)
            wait_for_end(source)
            return
        if kind == "stall-data":
            wait_for_end(client)
        reset(client)
        reset(server)


def _first_reply(text: bytes) -> bytes:
    """The first complete reply, of one line or several (RFC 959, 4.2); empty when none is complete."""
    length = 0
    for line in text.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            return b""
        length += len(line)
        if line[:3] == text[:3] and line[3:4] != b"-":
            return text[:length]
    return b""
