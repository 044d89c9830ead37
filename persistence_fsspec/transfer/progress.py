"""How a transfer tells what it is doing. The library counts; whoever listens draws."""

from __future__ import annotations

import threading
from typing import Any, Final, Protocol, runtime_checkable

from persistence_fsspec.errors import InvalidOptionError


@runtime_checkable
class Progress(Protocol):
    """Called by the workers of a transfer, from several threads, one call at a time.

    A listener that also has a method ``listed()`` is told when the listing is complete, and nothing more is expected.
    """

    def expect(self, files: int, n_bytes: int) -> None:
        """So many more files and bytes were found to be moved; a file with nothing to do is expected with no bytes.

        Fewer than none take back bytes that will not come after all: of a file that failed, or turned out to be there.
        """

    def advance(self, key: str, n_bytes: int) -> None:
        """So many more bytes of one file have moved; fewer than none take back those of an attempt that failed."""

    def finish(self, key: str, status: str) -> None:
        """One file has ended as ``copied``, ``skipped``, ``failed`` or ``deleted``."""

    def close(self) -> None:
        """The transfer is over."""


class NoProgress:
    """Listens to nothing, so that nobody needs to test for None."""

    def expect(self, files: int, n_bytes: int) -> None:
        """Nothing."""

    def listed(self) -> None:
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

    def listed(self) -> None:
        """Nothing: it has heard of the last total."""

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


class Serialised:
    """Lets one worker speak at a time, so that listeners need no lock of their own."""

    def __init__(self, listener: Progress) -> None:
        self._listener, self._lock, self._closed = listener, threading.Lock(), False

    def expect(self, files: int, n_bytes: int) -> None:
        """Pass on."""
        with self._lock:
            self._listener.expect(files, n_bytes)

    def listed(self) -> None:
        """Pass on to who wants to hear it."""
        told = getattr(self._listener, "listed", None)
        if callable(told):
            with self._lock:
                told()

    def advance(self, key: str, n_bytes: int) -> None:
        """Pass on."""
        with self._lock:
            self._listener.advance(key, n_bytes)

    def finish(self, key: str, status: str) -> None:
        """Pass on."""
        with self._lock:
            self._listener.finish(key, status)

    def close(self) -> None:
        """Pass on, once."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._listener.close()


Listener = Serialised | NoProgress
"""What a transfer speaks to: it knows all of `Progress`, and ``listed``."""


def as_progress(wanted: Any) -> Listener:
    """Make a listener of what the caller gave.

    Args:
        wanted: None or False for silence; True for a bar where one can be drawn (a terminal with rich, a notebook) and
            plain lines elsewhere; a `Progress`; an ``fsspec.Callback``.

    Raises:
        InvalidOptionError: None of these.
    """
    if wanted is None or wanted is False:
        return NO_PROGRESS
    if wanted is True:
        from persistence_fsspec.transfer.drawing import picture  # noqa: PLC0415 - for who wants to see something

        return Serialised(picture())
    # First: an fsspec.Callback answers to every name, and so looks like anything.
    if hasattr(wanted, "relative_update") and hasattr(wanted, "set_size"):
        return Serialised(CallbackProgress(wanted))
    if isinstance(wanted, Serialised):
        return wanted
    if isinstance(wanted, Progress):
        return Serialised(wanted)
    raise InvalidOptionError(f"progress={wanted!r} is neither True, a Progress, nor an fsspec.Callback")
