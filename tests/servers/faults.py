"""Proxies that break connections on purpose: between a client under test and a real server, on loopback, without root.

A fault is tied to an event that the proxy counts from `FaultProxy.arm` on: the
n-th HTTP request, FTP command, or byte of an SSH connection. It strikes at the
first opportunity from that event on, once.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from .process import HOST

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

PIECE = 64 * 1024
QUIET_SECONDS = 0.15
"""A server that says nothing for so long has done what it was asked."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        kind: One of the proxy's `FaultProxy.kinds`.
        at: Not before this event, counted from 1.
        amount: Bytes that still pass, where a stream is cut; seconds of Retry-After, where a request is refused.
    """

    kind: str
    at: int
    amount: int = 0


class FaultProxy(ABC):
    """Listens on a port of its own and passes connections on to a server, until a fault is due.

    Args:
        port: Of the server, on loopback.
    """

    kinds: ClassVar[tuple[str, ...]]
    """What can go wrong."""

    def __init__(self, port: int) -> None:
        self._server = (HOST, port)
        self._lock = threading.Lock()
        self._pending: list[Fault] = []
        self._threads: list[threading.Thread] = []
        self._sockets: set[socket.socket] = set()
        self._closed = False
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        """Where it listens."""
        self.fired: list[str] = []
        """What went wrong since `arm`: the fault, and what it hit."""
        self.seen = 0
        """Events since `arm`."""

    def __enter__(self) -> Self:
        self.spawn(self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._closed = True
        socket.create_connection((HOST, self.port)).close()  # wakes the one who waits for a connection
        self.drop()
        for thread in list(self._threads):
            thread.join(10.0)
        self._listener.close()

    # --- for tests ---

    def arm(self, *faults: Fault) -> None:
        """Forget earlier faults and counts, and have these strike from now on."""
        unknown = {fault.kind for fault in faults} - set(self.kinds)
        if unknown:
            raise ValueError(f"{type(self).__name__} cannot do {sorted(unknown)}")
        with self._lock:
            self._pending = sorted(faults, key=lambda fault: fault.at)
            self.fired, self.seen = [], 0

    def drop(self) -> int:
        """Hang up on everybody, as a server does with idle connections; return how many there were."""
        with self._lock:
            sockets = list(self._sockets)
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        return len(sockets)

    # --- for proxies ---

    @abstractmethod
    def _serve(self, client: socket.socket) -> None:
        """Serve one connection to its end; an OSError ends it too."""

    def count(self, events: int = 1) -> int:
        """Count events; return the number of the last one."""
        with self._lock:
            self.seen += events
            return self.seen

    def due(self, number: int, what: str, *kinds: str) -> Fault | None:
        """The first fault of these kinds whose time has come with an event; it is used up."""
        with self._lock:
            for fault in self._pending:
                if fault.at <= number and fault.kind in kinds:
                    self._pending.remove(fault)
                    self.fired.append(f"{fault.kind} at {number}: {what}")
                    return fault
        return None

    def connect(self, port: int | None = None) -> socket.socket:
        server = socket.create_connection((self._server[0], port or self._server[1]))
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return server

    def spawn(self, act: object, *args: object) -> None:
        thread = threading.Thread(target=act, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads = [each for each in self._threads if each.is_alive()] + [thread]
        thread.start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            if self._closed:
                client.close()
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.spawn(self._handle, client)

    def _handle(self, client: socket.socket) -> None:
        with self._lock:
            self._sockets.add(client)
        try:
            with client, contextlib.suppress(OSError):
                self._serve(client)
        finally:
            with self._lock:
                self._sockets.discard(client)


def reset(connection: socket.socket) -> None:
    """Close with RST: the other side gets ECONNRESET, and what it had not read is gone."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def wait_for_end(connection: socket.socket) -> None:
    """Say nothing until the other side gives up."""
    with contextlib.suppress(OSError):
        while connection.recv(PIECE):
            pass


class SshFaults(FaultProxy):
    """Between an SSH client and its server, whose words nobody else understands: events are bytes, of both directions."""

    kinds = ("reset", "stall", "lost-reply")
    """``reset``: both sides get RST. ``stall``: nothing passes any more. ``lost-reply``: the server gets everything and
    acts, its words are lost, and the client gets RST."""

    def _serve(self, client: socket.socket) -> None:
        with self.connect() as server:
            while True:
                ready, _, _ = select.select([client, server], [], [])
                for source, target in ((client, server), (server, client)):
                    if source in ready and not self._pass(source, target, client, server):
                        return

    def _pass(self, source: socket.socket, target: socket.socket, client: socket.socket, server: socket.socket) -> bool:
        """Pass what has come; False at the end of the connection."""
        data = source.recv(PIECE)
        if not data:
            return False
        fault = self.due(self.count(len(data)), "client" if source is client else "server", *self.kinds)
        if fault is None:
            target.sendall(data)
            return True
        if fault.kind == "stall":
            wait_for_end(client)
        elif fault.kind == "lost-reply":
            self._lose_replies(data if source is client else b"", client, server)
        reset(client)
        reset(server)
        return False

    def _lose_replies(self, data: bytes, client: socket.socket, server: socket.socket) -> None:
        server.sendall(data)
        while True:
            ready, _, _ = select.select([client, server], [], [], QUIET_SECONDS)
            if client in ready:
                data = client.recv(PIECE)
                server.sendall(data)
            elif server in ready:
                data = server.recv(PIECE)
            if not (ready and data):
                return
