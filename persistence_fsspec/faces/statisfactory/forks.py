"""Registries that are never copied half filled into another process."""

from __future__ import annotations

import os
from typing import Any


def whole_when_forked(lock: Any) -> None:
    """Let a fork wait for whoever holds a lock: the child gets it free, and what it guards as it should be.

    Args:
        lock: A ``threading.RLock`` that is only held for moments, and by nobody who waits for anything.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
