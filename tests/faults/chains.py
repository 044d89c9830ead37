"""A transfer that is killed again and again, and then left in peace."""

from __future__ import annotations

import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.child import Call, Child, Done
from tests.faults.sites import Site
from tests.servers.meter import silent

_LOOK_SECONDS = 0.001
_WATCH_SECONDS = 0.02
_DEAD_SECONDS = 0.05


@dataclass
class Chain:
    """Runs of one transfer, one after the other.

    Args:
        call: What each run does.
        state: Folder of the journals.
        metered: The site whose meter counts; one without a meter means this machine's disk.
        total: Bytes that have to move.
    """

    call: Call
    state: Path
    metered: Site
    total: int
    moved: list[int] = field(default_factory=list)
    """Bytes that each run moved, by the meter."""
    back: list[int] = field(default_factory=list)
    """Bytes that went the other way, to look at what had arrived."""
    story: list[str] = field(default_factory=list)
    """What happened, for messages."""
    kills: int = 0
    """How many runs were killed before they were through."""
    _rate: float = 0.0

    def kill_by_bytes(self, fraction: float) -> Done:
        """Run, and kill when this share of what is left has moved."""
        wanted = int(fraction * self._left)
        return self._killed(lambda child: self._moved(child) >= wanted, f"after {wanted} bytes")

    def kill_by_time(self, fraction: float) -> Done:
        """Run, and kill after this share of the time that the rest should take, as fast as the runs before were."""
        wanted = fraction * self._left / self._rate if self._rate else fraction
        return self._killed(lambda child: child.seconds >= wanted, f"after {wanted:.3f} s")

    def kill_at(self, rng: random.Random) -> Done:
        """Run, and kill at a random instant: of the bytes, or of the time once it is known how long things take."""
        by_time = self._rate > 0 and rng.random() < 0.5
        return (self.kill_by_time if by_time else self.kill_by_bytes)(rng.random())

    def kill_at_moment(self, moment: str, turn: int = 1) -> Done:
        """Run, and kill at a moment: the request does not reach the server, or its answer does not reach us.

        Args:
            moment: A regular expression for what the meter tells: ``before POST .*uploads``.
            turn: The how manieth such moment.
        """
        alarm = _Alarm(moment, turn)
        assert self.metered.meter is not None
        self.metered.meter.alert = alarm
        self._reset()
        try:
            child = Child(self.call, self.state)
            alarm.whom(child)
            done = child.wait()
        finally:
            self.metered.meter.alert = silent
        self.metered.settle()
        self.kills += done.killed
        self._note(done, self._moved(child, done), f"killed {moment}")
        return done

    def finish(self) -> Done:
        """Run to the end."""
        self._reset()
        child = Child(self.call, self.state)
        done = child.wait()
        self.metered.settle()
        self._note(done, self._moved(child, done), "to the end")
        return done

    @property
    def _left(self) -> int:
        return max(0, self.total - sum(self.moved))

    def _killed(self, due: Callable[[Child], bool], when: str) -> Done:
        self._reset()
        child = Child(self.call, self.state)
        while child.alive and not due(child):
            time.sleep(_LOOK_SECONDS)
        done = child.kill()
        moved = self._moved(child, done)
        self.metered.settle()
        self.kills += done.killed
        if moved >= self.total // 20 and done.seconds:  # sooner, it says more of the beginning than of the rest
            self._rate = max(self._rate, moved / done.seconds)
        self._note(done, self._moved(child, done), f"killed {when}")
        return done

    def _reset(self) -> None:
        if self.metered.meter is not None:
            self.metered.meter.traffic.reset()

    def _moved(self, child: Child, done: Done | None = None) -> int:
        if self.metered.meter is not None:
            traffic = self.metered.meter.traffic
            return traffic.down if self.call.operation == "get" else traffic.up
        return child.written if done is None else done.written or 0

    def _note(self, done: Done, moved: int, what: str) -> None:
        self.moved.append(moved)
        self.back.append(0 if self.metered.meter is None else self.metered.meter.traffic.content - moved)
        ended = "killed" if done.killed else f"status {done.status}"
        told = f": {done.said.get('text') or done.said.get('error')}" if done.said else ""
        self.story.append(f"{what}: {ended} after {done.seconds:.3f} s and {moved} bytes{told}{done.errors}")


class _Alarm:
    """Kills at a moment."""

    def __init__(self, moment: str, turn: int) -> None:
        self._moment, self._left, self._lock = re.compile(moment), turn, threading.Lock()
        self._child: Child | None = None
        self._ready = threading.Event()

    def whom(self, child: Child) -> None:
        """Whom to kill; until that is known, every moment waits."""
        self._child = child
        self._ready.set()

    def __call__(self, moment: str) -> None:
        if self._moment.search(moment) is None:
            return
        with self._lock:
            self._left -= 1
            due = self._left == 0
        if due and self._ready.wait(10.0) and self._child is not None:
            os.kill(self._child.pid, signal.SIGKILL)
            time.sleep(_DEAD_SECONDS)
            raise ConnectionAbortedError


@contextmanager
def watched(place: Site, folder: str, allowed: Callable[[str, int], bool]) -> Iterator[list[str]]:
    """Look at the final names all the time; what has a size that no complete file has is noted.

    Args:
        place: Where.
        folder: What to look at.
        allowed: Whether a name may have a size.
    """
    wrong: list[str] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(_WATCH_SECONDS):
            found = place.sizes(folder)
            if found is None:
                return
            wrong.extend(f"{name} with {size} bytes" for name, size in found.items() if not allowed(name, size))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield wrong
    finally:
        over.set()
        thread.join()
