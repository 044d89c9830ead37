"""Start a server, wait until it answers, and be sure that it goes away again."""

from __future__ import annotations

import atexit
import fcntl
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from . import rest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self

HOST = "127.0.0.1"
PROGRAMS = Path(__file__).parent / "programs"

# Below the ephemeral ports of Linux and macOS: no outgoing connection sits on one.
PORTS = range(20000, 32000)


class ServerUnavailable(RuntimeError):  # noqa: N818 - states a condition, as a skip reason does
    """A server cannot be had here; the message says why, with the end of its log."""


class NotInstalled(ServerUnavailable):
    """The server's program is not here and cannot be brought: its package manager is missing, or fails."""


class ServerProcess:
    """A server in a process group of its own, which can be stopped and started again.

    Args:
        command: Program and arguments, run in the foreground.
        port: Where it will listen on `HOST`.
        log: File that collects what it prints, over all starts.
        ready_path: Path to ask for by HTTP, any answer below 500 meaning
            ready. None: ready as soon as it accepts a connection.
        environment: Variables added to those of this process.
        timeout_seconds: Longest wait for readiness.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        port: int,
        log: Path,
        ready_path: str | None = None,
        environment: Mapping[str, str] | None = None,
        timeout_seconds: float = 60.0,
    ) -> None:
        self.command = [str(part) for part in command]
        self.port = port
        self.log = log
        self._ready_path = ready_path
        self._environment = dict(environment or {})
        self._timeout_seconds = timeout_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()

    @property
    def pid(self) -> int:
        """Process id, which is also the id of the group.

        Raises:
            RuntimeError: It is not running.
        """
        if self._process is None:
            message = f"not started, or stopped: {self.command[0]}"
            raise RuntimeError(message)
        return self._process.pid

    def start(self) -> None:
        """Start the server and return once it answers.

        Raises:
            ServerUnavailable: It ended, or was not ready in time.
            RuntimeError: It is running already.
        """
        if self._process is not None:
            message = f"already running: {self.command[0]}"
            raise RuntimeError(message)
        self._process = self._spawn()
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self.stop()
            raise

    def stop(self, *, timeout_seconds: float = 5.0) -> None:
        """Ask the whole group to end, and kill what has not done so in time.

        Args:
            timeout_seconds: How long a polite ending may take.
        """
        # A forked child of the test run unwinds the same `with` blocks as its
        # parent; the server belongs to the parent.
        if self._process is None or os.getpid() != self._owner:
            return
        process, self._process = self._process, None
        _signal_group(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout_seconds)
        _signal_group(process.pid, signal.SIGKILL)
        process.wait()
        _reaper.forget(process.pid)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            try:
                process = subprocess.Popen(  # noqa: S603 - our own command, no shell
                    self.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **self._environment},
                    cwd=self.log.parent,
                    start_new_session=True,
                )
            except OSError as exc:
                message = f"cannot run {self.command[0]}: {exc}"
                raise ServerUnavailable(message) from exc
        _reaper.watch(process.pid)
        return process

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self._timeout_seconds
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise self._unavailable(f"ended with status {process.returncode}")
            if self._answers():
                return
            time.sleep(0.02)
        raise self._unavailable(f"was not ready within {self._timeout_seconds:g} s")

    def _answers(self) -> bool:
        if self._ready_path is None:
            return accepts_connections(self.port)
        url = f"http://{HOST}:{self.port}{self._ready_path}"
        try:
            return rest.request("GET", url, timeout_seconds=5.0).status < 500
        except OSError:
            return False

    def _unavailable(self, what: str) -> ServerUnavailable:
        command = " ".join(self.command)
        return ServerUnavailable(f"the server {what}: {command}\n--- end of {self.log} ---\n{tail(self.log)}")


def python_command(python: Path, *arguments: str | Path) -> list[str | Path]:
    """Give the command that runs *python* untouched by the surroundings.

    Isolated from ``PYTHON*`` variables and the working folder, and with UTF-8
    file names whatever the locale is.
    """
    return [python, "-I", "-X", "utf8", *arguments]


def free_port() -> int:
    """Pick a port of `PORTS` nobody listens on, and keep it from other test runs.

    Returns:
        The port. It stays reserved until this process ends.

    Raises:
        ServerUnavailable: Every port tried was taken.
    """
    for port in random.sample(PORTS, 200):
        if _reserve(port):
            return port
    message = f"no free port in {PORTS.start}..{PORTS.stop - 1}"
    raise ServerUnavailable(message)


def accepts_connections(port: int) -> bool:
    """Tell whether somebody listens on *port* of `HOST`."""
    try:
        socket.create_connection((HOST, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def tail(log: Path, size: int = 4000) -> str:
    """Return the last *size* bytes of *log* as text."""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - size))
        return stream.read().decode(errors="replace").strip() or "(empty)"


def _reserve(port: int) -> bool:
    # Between picking a port and a server listening on it lies an import or
    # two: long enough for a parallel test run to pick the same one.
    folder = Path(tempfile.gettempdir(), f"persistence-fsspec-ports-{os.getuid()}")
    folder.mkdir(exist_ok=True)
    lock = os.open(folder / str(port), os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with socket.socket() as probe:
            # As the servers do: a connection in TIME_WAIT is no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
    except OSError:
        os.close(lock)
        return False
    # Left open: closing it, like the end of this process, releases the lock.
    return True


def _signal_group(pid: int, number: signal.Signals) -> None:
    # macOS answers PermissionError for a group of which only a zombie is left.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


class _Reaper:
    """A process that outlives this one and kills the servers left behind.

    A test run that is killed, or that faulthandler ends, runs no ``finally``.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._lock = threading.Lock()

    def watch(self, pid: int) -> None:
        self._tell(f"+{pid}\n")

    def forget(self, pid: int) -> None:
        self._tell(f"-{pid}\n")

    def close(self) -> None:
        if self._process is None or self._owner != os.getpid():
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        with self._lock:
            stream = self._running().stdin
            assert stream is not None
            if stream.closed:  # this process is ending, and the reaper at work
                return
            stream.write(line.encode())
            stream.flush()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._owner != os.getpid():
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-I", "-S", str(PROGRAMS / "reaper.py")],
                stdin=subprocess.PIPE,
                start_new_session=True,
            )
            self._owner = os.getpid()
        return self._process


_reaper = _Reaper()
atexit.register(_reaper.close)
