"""What XT wants to hear while bytes move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Callback = Callable[[int, int], object]
"""Told the bytes that have moved, and all there are."""


class Progress:
    """Counts for XT's callback."""

    def __init__(self, callback: Callback) -> None:
        self._callback, self._moved, self._total = callback, 0, 0

    def expect(self, files: int, n_bytes: int) -> None:  # noqa: ARG002 - the interface's
        """Grow the total."""
        self._total += n_bytes

    def advance(self, key: str, n_bytes: int) -> None:  # noqa: ARG002 - the interface's
        """Tell XT."""
        self._moved += n_bytes
        self._callback(self._moved, self._total)

    def finish(self, key: str, status: str) -> None:
        """Nothing: XT counts bytes."""

    def close(self) -> None:
        """Nothing."""


class Counted:
    """A file that tells XT's callback of what is written to it."""

    def __init__(self, target: Any, total: int, callback: Callback | None) -> None:
        self._target, self._progress = target, progress(callback)
        if self._progress is not None:
            self._progress.expect(1, total)

    def write(self, data: bytes) -> int:
        """Pass on, and count."""
        self._target.write(data)
        if self._progress is not None:
            self._progress.advance("", len(data))
        return len(data)


def progress(callback: Callback | None) -> Progress | None:
    """A listener for what is stored and fetched; None when nobody listens."""
    return None if callback is None else Progress(callback)
