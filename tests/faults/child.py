"""One transfer in a process of its own, to be killed, or measured.

Run as a program, with one argument: a JSON object as `Call.as_json` makes it. It prints ``begin`` when everything is
ready, then one line of JSON: how the transfer went.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Call:
    """What the program shall do.

    Attributes:
        operation: A method of `FSSpecPersistence`: ``put``, ``get``, ``copy``.
        source: Its first argument. A local path begins with a slash.
        target: Its second.
        recursive: Whether a tree is meant.
        prefix: Of the persistence.
        options: Of the persistence.
        policy: Fields of its `Policy`.
        warm_up: A local file to be put, and fetched again, before anything is measured.
    """

    operation: str
    source: str
    target: str
    recursive: bool = False
    prefix: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)
    warm_up: str = ""

    def as_json(self) -> str:
        """For the command line."""
        return json.dumps(vars(self))


@dataclass(frozen=True)
class Done:
    """How a process ended.

    Attributes:
        status: Its exit status; negative is a signal.
        said: What it printed at its end; empty if it did not live to do so.
        errors: Its standard error.
        seconds: From ``begin`` to its end.
        written: Bytes it handed to the system for writing, between ``begin`` and its end; None where nobody knows.
    """

    status: int
    said: dict[str, Any]
    errors: str
    seconds: float
    written: int | None

    @property
    def killed(self) -> bool:
        """Whether it was ended by SIGKILL."""
        return self.status == -signal.SIGKILL


class Child:
    """A running transfer; its transfer has begun when the constructor returns.

    Args:
        call: What it does.
        state: The folder of its journals.
    """

    def __init__(self, call: Call, state: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, call.as_json()],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PERSISTENCE_FSSPEC_STATE_DIR": str(state), "PYTHONPATH": str(_ROOT)},
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._errors: list[str] = []
        self._reader = threading.Thread(target=lambda: self._errors.extend(self._process.stderr or ()), daemon=True)
        self._reader.start()
        line = self._process.stdout.readline()
        self._begun, self._at_first = time.monotonic(), self._written()
        if line != "begin\n":
            self._process.kill()
            self._process.wait()
            self._close()
            raise AssertionError(f"the transfer did not begin: {line!r}\n{''.join(self._errors)}")

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it is still at work."""
        return self._process.poll() is None

    @property
    def seconds(self) -> float:
        """Since ``begin``."""
        return time.monotonic() - self._begun

    @property
    def written(self) -> int:
        """Bytes handed to the system for writing since ``begin``; 0 where nobody knows."""
        now = self._written()
        return 0 if now is None or self._at_first is None else max(0, now - self._at_first)

    def kill(self) -> Done:
        """SIGKILL. It is stopped first, so that what it did can be looked up."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGSTOP)
        written = self.written
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        return self.wait(written)

    def wait(self, written: int | None = None, *, timeout_seconds: float = 600.0) -> Done:
        """Its end."""
        assert self._process.stdout is not None
        try:
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        seconds = self.seconds
        said = self._process.stdout.read()
        self._close()
        report = json.loads(said.splitlines()[-1]) if said.strip() else {}
        return Done(self._process.returncode, report, "".join(self._errors), seconds, report.get("written", written))

    def _close(self) -> None:
        self._reader.join(10.0)
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()

    def _written(self) -> int | None:
        return written_by(str(self.pid))


def run(call: Call, state: Path) -> Done:
    """Do it, and wait for the end."""
    return Child(call, state).wait()


def written_by(process: str = "self") -> int | None:
    """Bytes that a process has handed to the system for writing; None where the system does not count."""
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path(f"/proc/{process}/io").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("wchar:")).split()[1])
    return None


_ROOT = Path(__file__).resolve().parents[2]


def status(name: str) -> int:
    """A size from the status of this process, in bytes; 0 where there is none."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def main() -> None:
    """Transfer as told; how it went goes to standard output."""
    call = Call(**json.loads(sys.argv[1]))
    from persistence_fsspec import FSSpecPersistence, Policy
    from persistence_fsspec.errors import PersistenceError

    options = call.options or None
    persistence = FSSpecPersistence(call.prefix or None, storage_options=options, policy=Policy(**call.policy))
    if call.warm_up:
        persistence.put(call.warm_up, "warm-up/file")
        persistence.get("warm-up/file", f"{call.warm_up}.back")
    idle = status("VmRSS")
    _forget_peak()
    sys.stdout.write("begin\n")
    sys.stdout.flush()
    before = written_by() or 0
    begun = time.monotonic()
    said: dict[str, Any] = {}
    try:
        report = getattr(persistence, call.operation)(call.source, call.target, call.recursive)
        said |= {"bytes": report.bytes, "copied": len(report.copied), "skipped": len(report.skipped), "text": repr(report)}
    except PersistenceError as exc:
        said |= {"error": f"{type(exc).__name__}: {exc}"}
    said |= {"transfer_seconds": time.monotonic() - begun, "written": (written_by() or before) - before}
    sys.stdout.write(json.dumps({**said, "idle": idle, "peak": status("VmHWM")}) + "\n")
    sys.exit(1 if "error" in said else 0)


if __name__ == "__main__":
    main()
