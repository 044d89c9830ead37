"""Locks of the whole process, and what they guard, in a process that is forked off."""

from __future__ import annotations

import os
from typing import Any


def whole_when_forked(lock: Any) -> None:
    """Let a fork wait for whoever holds a lock: the child gets it free, and what it guards as it should be.

    Args:
        lock: One that is only held for moments, and by nobody who waits for anything, or forks.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
