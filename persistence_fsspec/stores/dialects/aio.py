"""What the drivers over aiohttp have in common: its time limits, and how to keep it from sending a request twice."""

from __future__ import annotations

from typing import Any


def time_limits(stall_seconds: float) -> Any:
    """An ``aiohttp.ClientTimeout`` under which a transfer may take any time, as long as something moves.

    Args:
        stall_seconds: For connecting, and between two pieces of an answer.
    """
    from aiohttp import ClientTimeout  # noqa: PLC0415 - loaded with the driver

    return ClientTimeout(total=None, sock_connect=stall_seconds, sock_read=stall_seconds)


def send_once(session: Any) -> Any:
    """Have a session send each request once.

    When a connection breaks, aiohttp sends GET, HEAD, PUT and DELETE a second time without a word, also when only the
    answer was lost: then "write unless it exists" meets its own object. It has no argument against that.

    Args:
        session: An ``aiohttp.ClientSession``.

    Returns:
        The same session.
    """
    if hasattr(session, "_retry_connection"):
        session._retry_connection = False
    return session
