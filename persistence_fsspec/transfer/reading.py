"""Large pieces of local files are read in one thread of their own, whoever needs them.

glibc keeps what a thread frees for threads of the same arena, up to twice the largest piece, and gives it back to nobody: eight
workers that each read 10 MB now and then would hold 160 MB between them.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Final

from persistence_fsspec.store import ObjectInfo, Store

_LARGE: Final = 1024 * 1024

_lock = threading.Lock()
_reader: ThreadPoolExecutor | None = None


def read_piece(source: Store, target: Store, info: ObjectInfo, start: int | None, end: int | None) -> bytes:
    """A range of an object, or all of it.

    Args:
        source: Where it is.
        target: Where it goes. Between two places on this machine the workers read by themselves: there, reading is the work.
        info: The object, and its pin.
        start: Where the range begins; None for the beginning.
        end: Where it ends; None for the end.
    """
    size = (end if end is not None else info.size or 0) - (start or 0)
    if size < _LARGE or not source.capabilities.at_hand or target.capabilities.at_hand:
        return source.read(info.key, start, end, pin=info)
    return _executor().submit(copy_context().run, lambda: source.read(info.key, start, end, pin=info)).result()


def _executor() -> ThreadPoolExecutor:
    global _reader
    with _lock:
        if _reader is None:
            _reader = ThreadPoolExecutor(1, thread_name_prefix="persistence-fsspec-reader")
        return _reader


def _forget() -> None:
    """In a forked child there is no such thread."""
    global _lock, _reader
    _lock, _reader = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
