"""One server, the proxy before it, a persistence that goes through the proxy, and a back door that does not."""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from persistence_fsspec.persistence import FSSpecPersistence
from persistence_fsspec.policy import Policy
from persistence_fsspec.stores.partial import is_reserved
from tests.faults.operations import State
from tests.servers.faults import Fault, FaultProxy, SshFaults
from tests.servers.faults_ftp import FtpFaults
from tests.servers.faults_http import HttpFaults
from tests.servers.process import HOST
from tests.servers.server import Server

SLOW_DOWN = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"

POLICY = Policy(
    attempts=5,
    backoff_seconds=0.01,
    backoff_max_seconds=0.1,
    timeout_seconds=1.5,
    stall_seconds=0.6,
    slowest=1024 * 1024,
    part_size=64 * 1024,
)
"""Patient enough for the faults of a scenario, and quick about it."""

_AMOUNTS = (0, 1, 1000, 60_000, 150_000)
_STORM = 40


@dataclass
class Tally:
    """How the scenarios of one protocol went."""

    outcomes: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    leftovers: int = 0

    def __str__(self) -> str:
        done = self.outcomes
        text = f"{done.total()} scenarios, {done['healed'] + done['error']} with faults that struck: "
        text += f"{done['healed']} healed, {done['error']} ended in an honest error"
        errors = ", ".join(f"{count} {name}" for name, count in self.errors.most_common())
        return f"{text} ({errors}); {self.leftovers} unfinished objects left behind" if errors else text


@dataclass
class Rig:
    """Where scenarios of one protocol happen.

    Attributes:
        name: Of the protocol.
        server: Its back door judges.
        proxy: Its faults strike.
        persistences: Through the proxy; one per driver of the protocol.
    """

    name: str
    server: Server
    proxy: FaultProxy
    persistences: list[FSSpecPersistence]
    tally: Tally = field(default_factory=Tally)
    final: dict[str, State] = field(default_factory=dict)
    """Folder -> what it held when it was judged."""

    def fill(self, folder: str, state: State) -> None:
        """Put files there, by the back door."""
        for name, data in state.items():
            self.server.raw_write(f"data/{folder}/{name}", data)

    def state(self, folder: str) -> State:
        """What is there, by the back door, without unfinished objects."""
        return {name: data for name, data in self._all(folder) if not is_reserved(name)}

    def changed(self) -> list[str]:
        """Folders that no longer hold what they held when they were judged."""
        now: dict[str, State] = {folder: {} for folder in self.final}
        for name, data in self._all(""):
            folder, _, below = name.partition("/")
            if folder in now and not is_reserved(below):
                now[folder][below] = data
        return sorted(folder for folder, state in self.final.items() if state != now[folder])

    def leftovers(self, folder: str) -> int:
        """Unfinished objects."""
        return sum(is_reserved(name) for name, _ in self._all(folder))

    def _all(self, folder: str) -> Iterator[tuple[str, bytes]]:
        prefix = f"data/{folder}/" if folder else "data/"
        for key in self.server.raw_keys(prefix):
            data = self.server.raw_read(key)
            if data is not None:
                yield key[len(prefix) :], data

    def settle(self) -> None:
        """After an error, let the server finish what it had been told before the connection broke."""
        if self.name == "sftp":  # elsewhere the proxy has waited for the answer
            time.sleep(0.1)

    def faults(self, rng: random.Random, events: int) -> list[Fault]:
        """Draw what goes wrong in one scenario.

        Args:
            rng: Draws.
            events: How many the operation causes when nothing goes wrong.
        """
        number = rng.choices((1, 2, 3, _STORM), (60, 20, 12, 8))[0]
        if number == _STORM:
            return self._storm(rng, events)
        return [self._fault(rng, self._position(rng, events * (1 if i == 0 else 2))) for i in range(number)]

    def _position(self, rng: random.Random, events: int) -> int:
        if self.name == "sftp" and rng.random() < 0.5:  # the last bytes are where things get their names
            return max(1, events - rng.randint(0, 600))
        return rng.randint(1, max(1, events))

    def _fault(self, rng: random.Random, at: int) -> Fault:
        kinds = self.proxy.kinds
        kind = rng.choices(kinds, [3 if kind == "lost-reply" else 1 for kind in kinds])[0]
        return Fault(kind=kind, at=at, amount=int(rng.random() < 0.1) if kind == "unavailable" else rng.choice(_AMOUNTS))

    def _storm(self, rng: random.Random, events: int) -> list[Fault]:
        """Whatever is tried fails, from some moment on."""
        begin = self._position(rng, events)
        kinds = [kind for kind in self.proxy.kinds if kind in {"reset", "lost-reply", "unavailable"}]
        return [Fault(kind=rng.choice(kinds), at=begin + i) for i in range(_STORM)]


@contextlib.contextmanager
def rig(name: str, server: Server) -> Iterator[Rig]:
    """A rig for the time of the block."""
    make: Callable[..., Any]
    proxy, make = _MAKERS[name]
    with proxy(server.process.port) as running:
        yield Rig(name, server, running, make(server, running.port))


def _s3(server: Any, port: int) -> list[FSSpecPersistence]:
    """That the server keeps conditions is known: asking for it would be among the events of whichever scenario comes first."""
    options = {**server.storage_options, "endpoint_url": f"http://{HOST}:{port}"}
    persistence = FSSpecPersistence(f"{server.url}/data", storage_options=options, policy=POLICY)
    for _ in range(2):
        persistence.append("asked", b"for both conditions")
    return [persistence]


def _ftp(server: Any, port: int) -> list[FSSpecPersistence]:
    options = {**server.storage_options, "port": port}
    return [FSSpecPersistence(f"ftp://{HOST}:{port}/data", storage_options=options, policy=POLICY)]


def _webdav(server: Any, port: int) -> list[FSSpecPersistence]:
    return [FSSpecPersistence("webdav://data", storage_options={"base_url": f"http://{HOST}:{port}"}, policy=POLICY)]


def _sftp(server: Any, port: int) -> list[FSSpecPersistence]:
    """By both drivers; sshfs takes over the protocol where it is installed, so the other is given as an instance."""
    from fsspec.implementations.sftp import SFTPFileSystem

    url = f"sftp://{HOST}:{port}/data"
    given = SFTPFileSystem(**{**server.paramiko_options, "port": port}, skip_instance_cache=True)
    return [
        FSSpecPersistence(url, storage_options={**server.sshfs_options, "port": port}, policy=POLICY),
        FSSpecPersistence(url, filesystem=given, policy=POLICY),
    ]


_MAKERS: dict[str, tuple[Callable[[int], FaultProxy], Callable[..., list[FSSpecPersistence]]]] = {
    "s3": (lambda port: HttpFaults(port, refusal=SLOW_DOWN), _s3),
    "ftp": (FtpFaults, _ftp),
    "sftp": (SshFaults, _sftp),
    "webdav": (HttpFaults, _webdav),
}

PART_OF_AN_UPLOAD = 5 * 1024 * 1024
"""The smallest that S3 takes; set in `S3Dialect.object_part_size`, so that moderate objects are sent by parts."""
