"""How a transfer tells what it is doing. The library counts; whoever listens draws."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Protocol, runtime_checkable

from persistence_fsspec.errors import InvalidOptionError


@runtime_checkable
class Progress(Protocol):
    """Called by the workers of a transfer, from several threads, one call at a time."""

    def expect(self, files: int, n_bytes: int) -> None:
        """So many more files and bytes were found to be moved."""

    def advance(self, key: str, n_bytes: int) -> None:
        """So many more bytes of one file have moved."""

    def finish(self, key: str, status: str) -> None:
        """One file has ended as ``copied``, ``skipped`` or ``failed``."""

    def close(self) -> None:
        """The transfer is over."""


class NoProgress:
    """Listens to nothing, so that nobody needs to test for None."""

    def expect(self, files: int, n_bytes: int) -> None:
        """Nothing."""

    def advance(self, key: str, n_bytes: int) -> None:
        """Nothing."""

    def finish(self, key: str, status: str) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


NO_PROGRESS: Final = NoProgress()


class CallbackProgress:
    """Feeds an ``fsspec.Callback`` with bytes (recognised by shape; this layer does not know fsspec)."""

    def __init__(self, callback: Any) -> None:
        self._callback = callback
        self._total = 0

    def expect(self, files: int, n_bytes: int) -> None:  # noqa: ARG002 - the interface's
        """Grow the total."""
        self._total += n_bytes
        self._callback.set_size(self._total)

    def advance(self, key: str, n_bytes: int) -> None:  # noqa: ARG002 - the interface's
        """Count bytes."""
        self._callback.relative_update(n_bytes)

    def finish(self, key: str, status: str) -> None:
        """Nothing: a callback counts one thing."""

    def close(self) -> None:
        """Some callbacks draw, and clear up when closed."""
        close = getattr(self._callback, "close", None)
        if callable(close):
            close()


class LineProgress:
    """A line on standard error every two seconds: what can be had without any drawing library."""

    def __init__(self, write: Callable[[str], Any] | None = None, *, every_seconds: float = 2.0) -> None:
        self._write = write or sys.stderr.write
        self._every = every_seconds
        self._next = time.monotonic() + every_seconds
        self._counts = {"files": 0, "of": 0, "bytes": 0, "failed": 0}

    def expect(self, files: int, n_bytes: int) -> None:  # noqa: ARG002 - the interface's
        """Count what is to come."""
        self._counts["of"] += files

    def advance(self, key: str, n_bytes: int) -> None:  # noqa: ARG002 - the interface's
        """Count bytes, and speak when it is time."""
        self._counts["bytes"] += n_bytes
        if time.monotonic() >= self._next:
            self._say()

    def finish(self, key: str, status: str) -> None:  # noqa: ARG002 - the interface's
        """Count a file."""
        self._counts["files"] += 1
        self._counts["failed"] += status == "failed"

    def close(self) -> None:
        """The last line."""
        self._say()

    def _say(self) -> None:
        self._next = time.monotonic() + self._every
        failed = f", {self._counts['failed']} failed" if self._counts["failed"] else ""
        self._write(f"{self._counts['files']}/{self._counts['of']} files, {self._counts['bytes'] / 1e6:.1f} MB{failed}\n")


class RichProgress:
    """Drawn by rich. One file of known size: a bar, percentage, rate, time left. A tree: a spinner, files, bytes, rate.

    While a tree is listed nobody knows how much there is: a percentage of what was found so far would stand near its end
    from the beginning.
    """

    def __init__(self, **bar: Any) -> None:
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            FileSizeColumn,
            SpinnerColumn,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
        from rich.progress import (
            Progress as Bar,
        )

        what = TextColumn("{task.description}")
        self._of_a_tree = (
            SpinnerColumn(finished_text=" "),
            what,
            TextColumn("{task.fields[files]}"),
            FileSizeColumn(),
            TransferSpeedColumn(),
        )
        self._of_one_file = (
            what,
            BarColumn(),
            TaskProgressColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        self._bar = Bar(*self._of_a_tree, **bar)
        self._files, self._failed, self._expected, self._moved = 0, 0, 0, 0
        self._task = self._bar.add_task("copying", total=None, files="0 files")
        self._bar.start()

    def expect(self, files: int, n_bytes: int) -> None:
        """A bar for the first file; a spinner once there is a second one."""
        self._expected += files
        one = self._expected == 1 and n_bytes > 0
        self._bar.columns = self._of_one_file if one else self._of_a_tree
        # Not by update(): it takes None for "as before", and a new total makes it forget the rate.
        self._bar.tasks[0].total = n_bytes if one else None

    def advance(self, key: str, n_bytes: int) -> None:  # noqa: ARG002 - the interface's
        """Count bytes."""
        self._moved += n_bytes
        self._bar.advance(self._task, n_bytes)

    def finish(self, key: str, status: str) -> None:  # noqa: ARG002 - the interface's
        """Count a file."""
        self._files += 1
        self._failed += status == "failed"
        text = f"copying ([red]{self._failed} failed[/red])" if self._failed else "copying"
        files = f"{self._files:,} file{'' if self._files == 1 else 's'}"
        self._bar.update(self._task, files=files, description=text)

    def close(self) -> None:
        """Leave the last state on the screen, with nothing in it that still turns."""
        if self._expected != 1:
            self._bar.tasks[0].total = self._moved
            self._bar.update(self._task)
        self._bar.stop()


class Serialised:
    """Lets one worker speak at a time, so that listeners need no lock of their own."""

    def __init__(self, listener: Progress) -> None:
        self._listener, self._lock = listener, threading.Lock()

    def expect(self, files: int, n_bytes: int) -> None:
        """Pass on."""
        with self._lock:
            self._listener.expect(files, n_bytes)

    def advance(self, key: str, n_bytes: int) -> None:
        """Pass on."""
        with self._lock:
            self._listener.advance(key, n_bytes)

    def finish(self, key: str, status: str) -> None:
        """Pass on."""
        with self._lock:
            self._listener.finish(key, status)

    def close(self) -> None:
        """Pass on."""
        with self._lock:
            self._listener.close()


def as_progress(wanted: Any) -> Progress:
    """Make a listener of what the caller gave.

    Args:
        wanted: None or False for silence; True for a bar (plain lines where rich is not installed); a `Progress`; an ``fsspec.Callback``.

    Raises:
        InvalidOptionError: None of these.
    """
    if wanted is None or wanted is False:
        return NO_PROGRESS
    if wanted is True:
        try:
            return Serialised(RichProgress(transient=False))
        except ImportError:
            return Serialised(LineProgress())
    # First: an fsspec.Callback answers to every name, and so looks like anything.
    if hasattr(wanted, "relative_update") and hasattr(wanted, "set_size"):
        return Serialised(CallbackProgress(wanted))
    if isinstance(wanted, Progress):
        return Serialised(wanted)
    raise InvalidOptionError(f"progress={wanted!r} is neither True, a Progress, nor an fsspec.Callback")
