"""One HTTP request by the standard library: no proxy, no redirect, no driver."""

from __future__ import annotations

from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPMessage
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Response:
    """What came back; header names match in any case."""

    status: int
    headers: HTTPMessage
    body: bytes


class BackDoorError(RuntimeError):
    """A server refused a request of the back door: the test set-up is at fault."""


def request(
    method: str,
    url: str,
    *,
    data: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_seconds: float = 30.0,
) -> Response:
    """Send one request over a connection of its own.

    Args:
        method: HTTP method.
        url: ``http://host:port/path?query``, already quoted; sent as it is.
        data: Body.
        headers: Request headers.
        timeout_seconds: Longest wait for any single network operation.

    Raises:
        OSError: Nobody answered, or not in HTTP.
    """
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = HTTPConnection(parts.netloc, timeout=timeout_seconds)
    try:
        connection.request(method, target, body=data, headers=dict(headers or {}))
        answer = connection.getresponse()
        return Response(answer.status, answer.headers, answer.read())
    except HTTPException as exc:
        message = f"{method} {url}: {exc!r}"
        raise OSError(message) from exc
    finally:
        connection.close()


def demand(
    method: str,
    url: str,
    *,
    data: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    missing_ok: bool = False,
) -> Response:
    """Send one request that has to succeed.

    Args:
        method: HTTP method.
        url: As for `request`.
        data: Body.
        headers: Request headers.
        missing_ok: 404 is an answer too.

    Raises:
        BackDoorError: The status is 300 or above.
    """
    response = request(method, url, data=data, headers=headers)
    if response.status >= 300 and not (missing_ok and response.status == 404):
        text = response.body[:1000].decode(errors="replace")
        message = f"{method} {url}: status {response.status}: {text}"
        raise BackDoorError(message)
    return response
