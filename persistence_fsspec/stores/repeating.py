"""Requests that are tried again one by one: parts of an upload, whose stream has gone by, and pages of a listing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from persistence_fsspec.attempt import current
from persistence_fsspec.errors import PersistenceError
from persistence_fsspec.foreign import translated
from persistence_fsspec.layers.loop import retrying
from persistence_fsspec.policy import Policy
from persistence_fsspec.stores.dialects.base import Repeat


def repeating(policy: Policy, url: str) -> Repeat:
    """What a dialect's sinks make their requests through.

    Args:
        policy: How often, and how long to wait.
        url: Of the store, for messages.

    Returns:
        See `Dialect.repeat`. It ends with the attempt around it, which has one deadline for all.
    """

    def repeat(act: Callable[[], Any]) -> Any:
        return retrying(policy, "request", url, lambda: _once(act))

    return repeat


def _once(act: Callable[[], Any]) -> Any:
    attempt = current()
    try:
        with translated("", ""):  # whoever is around knows the operation and the key
            answer = act()
    except PersistenceError as exc:
        if attempt is not None and attempt.expired:
            raise TimeoutError("the time for all parts is over") from exc  # not one of ours: nothing repeats it
        raise
    if attempt is not None:
        attempt.require_time()  # a call that was cancelled returns as if nothing had been
    return answer
