"""What is known of a transfer under way: counted here, worded here, drawn by `drawing`."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import Final

_WINDOW_SECONDS: Final = 15.0
"""A rate is that of the last seconds: what was once fast and is slow now ends late."""

_SAMPLE_SECONDS: Final = 0.05
_FILE_WORTH: Final = 256 * 1024
"""Bytes that could have moved in the time that the requests for one file take; for the time that is left."""

_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB")


class Counts:
    """Files and bytes of one transfer, and what follows from them.

    Whoever counts does so with one lock held, or in one thread; whoever draws reads at any time.

    Attributes:
        listed: The listing is complete, and totals are final.
        files: Found so far.
        ended: Of these, the ones that are over, however they ended.
        skipped: Of these, the ones with nothing to do.
        failed: Of these, the ones that did not arrive.
        total: Bytes found so far.
        moved: Bytes that are through; those of failed attempts are taken back.
    """

    def __init__(self) -> None:
        self.listed = False
        self.files = self.ended = self.skipped = self.failed = self.total = self.moved = 0
        self._begun = time.monotonic()
        self._samples: deque[tuple[float, int, float]] = deque([(self._begun, 0, 0.0)])

    def expect(self, files: int, n_bytes: int) -> None:
        """See `Progress.expect`."""
        self.files += files
        self.total += n_bytes

    def advance(self, n_bytes: int) -> None:
        """See `Progress.advance`."""
        self.moved += n_bytes

    def finish(self, status: str) -> None:
        """See `Progress.finish`."""
        self.ended += 1
        if status == "failed":
            self.failed += 1
        elif status == "skipped":
            self.skipped += 1

    def close(self) -> None:
        """Nothing more will come: when all that was found has ended, totals are final, whether that was said or not."""
        self.listed = self.listed or self.ended >= self.files

    @property
    def one_file(self) -> bool:
        """A single file; of that, everything is known from the beginning."""
        return self.files == 1 and self.total > 0

    @property
    def final(self) -> bool:
        """The totals are worth to be shown."""
        return self.listed or self.one_file

    @property
    def fraction(self) -> float:
        """How much is through, from 0 to 1: of the bytes; of the files where these are all empty, or have nothing to move."""
        if self.total <= 0:
            return 1.0 if self.ended >= self.files else self.ended / self.files
        return max(0.0, min(1.0, self.moved / self.total))

    def sample(self) -> tuple[float, float | None]:
        """Bytes per second lately, and the seconds that are left; None when nobody can know. For whoever draws, in one thread."""
        now = time.monotonic()
        work = self.moved + self.ended * float(_FILE_WORTH)
        if now - self._samples[-1][0] >= _SAMPLE_SECONDS:
            self._samples.append((now, self.moved, work))
        while len(self._samples) > 2 and now - self._samples[1][0] > _WINDOW_SECONDS:
            self._samples.popleft()
        then, moved, worked = self._samples[0]
        seconds = max(now - then, 1e-9)
        left = self.total - self.moved + (self.files - self.ended) * float(_FILE_WORTH)
        pace = (work - worked) / seconds
        return max(0.0, (self.moved - moved) / seconds), left / pace if pace > 0 and left >= 0 else None

    def average(self) -> float:
        """Bytes per second from the beginning until now."""
        return max(0.0, self.moved / max(time.monotonic() - self._begun, 1e-9))


def percent(counts: Counts) -> str:
    """``45%``; 100 only when every file has ended.

    Examples:
        >>> counts = Counts()
        >>> counts.expect(1, 200)
        >>> counts.advance(199)
        >>> percent(counts)
        '99%'
    """
    most = 100 if counts.ended >= counts.files else 99
    return f"{min(int(counts.fraction * 100), most)}%"


def files_of(counts: Counts) -> str:
    """``12/34 files``; before the listing is complete, ``12 files so far``.

    Examples:
        >>> counts = Counts()
        >>> counts.expect(1000, 0)
        >>> files_of(counts)
        '0 of 1,000 files so far'
        >>> counts.listed = True
        >>> files_of(counts)
        '0/1,000 files'
    """
    one = "file" if counts.files == 1 else "files"
    if counts.final:
        return f"{counts.ended:,}/{counts.files:,} {one}"
    return f"{counts.ended:,} of {counts.files:,} {one} so far"


def bytes_of(counts: Counts) -> str:
    """``1.2/3.4 GB``; before the listing is complete, ``1.2 GB``.

    Examples:
        >>> counts = Counts()
        >>> counts.expect(2, 3_400_000_000)
        >>> counts.advance(1_200_000)
        >>> bytes_of(counts)
        '1.2 MB'
        >>> counts.listed = True
        >>> bytes_of(counts)
        '0.0/3.4 GB'
    """
    moved = max(0, counts.moved)
    if not counts.final:
        return size(moved)
    total = max(counts.total, moved)
    power, unit = _scale(total)
    return f"{moved}/{total} B" if unit == "B" else f"{moved / power:.1f}/{total / power:.1f} {unit}"


def time_of(seconds: float | None) -> str:
    """Time left, ``1:02:03``, ``4:05``; nothing when nobody knows, or it would be days.

    Examples:
        >>> time_of(245), time_of(3723), time_of(None)
        ('4:05 left', '1:02:03 left', '')
    """
    if seconds is None or seconds > 100 * 3600:
        return ""
    whole = math.ceil(seconds)
    minutes, hours = whole // 60 % 60, whole // 3600
    return f"{hours}:{minutes:02}:{whole % 60:02} left" if hours else f"{minutes}:{whole % 60:02} left"


def size(n_bytes: float) -> str:
    """For people: ``3.4 MB``.

    Examples:
        >>> size(999), size(3_400_000)
        ('999 B', '3.4 MB')
    """
    power, unit = _scale(n_bytes)
    return f"{n_bytes:.0f} B" if unit == "B" else f"{n_bytes / power:.1f} {unit}"


def _scale(n_bytes: float) -> tuple[int, str]:
    power = 1
    for unit in _UNITS[:-1]:
        if n_bytes < 1000 * power:
            return power, unit
        power *= 1000
    return power, _UNITS[-1]
