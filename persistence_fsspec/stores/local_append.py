"""Appending to a local file: all of it, or nothing, and never in the middle of what another of ours appends."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Final

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PATIENCE_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 0.005


def append(path: str, data: bytes) -> None:
    """Append to a file, which is made if need be.

    What cannot be appended whole, as on a full disk, is taken back; not where files cannot be locked, or somebody else keeps
    the lock: then other programs may have appended behind it.

    Raises:
        OSError: The system's.
    """
    with open(path, "ab", buffering=0) as file:
        descriptor = file.fileno()
        alone, before = _lock(descriptor), os.fstat(descriptor).st_size
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        except BaseException:
            if alone:
                with contextlib.suppress(OSError):  # a device; and the error that led here is the one to tell
                    _take_back(descriptor, before, len(data) - len(rest))
            raise


def _take_back(descriptor: int, before: int, written: int) -> None:
    """Only where nothing of a program that knows no locks stands behind it."""
    if os.fstat(descriptor).st_size == before + written:
        os.ftruncate(descriptor, before)


def _lock(descriptor: int) -> bool:
    """Lock a file until it is closed; tells whether that could be done."""
    if fcntl is None:
        return False
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(_PAUSE_SECONDS)
        except OSError:  # a file system without locks
            return False
        else:
            return True
