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
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        except BaseException:
            if alone:
                with contextlib.suppress(OSError):  # a device; and the error that led here is the one to tell
                    os.ftruncate(descriptor, before)
            raise


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
