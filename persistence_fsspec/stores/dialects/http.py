"""HTTP servers, by requests of our own in the driver's session: its calls hide the status."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncIterator, Generator, Iterator, Mapping
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser
from typing import Any, Final
from urllib.parse import quote, unquote, urljoin

from fsspec.asyn import sync

from persistence_fsspec.errors import TruncatedError
from persistence_fsspec.store import ObjectInfo
from persistence_fsspec.stores.dialects.aio import send_once, time_limits
from persistence_fsspec.stores.dialects.base import Dialect, plain_etag

_SAFE: Final = "/~!$&'()*+,;=:@-._"
_MIB: Final = 1024 * 1024


class HttpDialect(Dialect):
    """Quirks http-*. Paths are URLs; a query of the root goes along with every request."""

    pins_reads = True

    def patience(self, options: dict[str, Any], *, stall_seconds: float) -> dict[str, Any]:
        """Limits of the session; the caller's own way to make one is left alone."""
        if "get_client" in options:
            return options
        client = {"timeout": time_limits(stall_seconds), **(options.get("client_kwargs") or {})}
        return {**options, "client_kwargs": client, "get_client": _client}

    def options(self, options: dict[str, Any], authority: str) -> dict[str, Any]:  # noqa: ARG002
        """A login in the URL is basic authentication."""
        user, password = options.pop("username", None), options.pop("password", None)
        if user:
            login = base64.b64encode(f"{user}:{password or ''}".encode()).decode("ascii")
            client = dict(options.get("client_kwargs") or {})
            if "auth" not in client:
                client["headers"] = {"Authorization": f"Basic {login}", **(client.get("headers") or {})}
            options["client_kwargs"] = client
        for name in ("host", "port"):
            options.pop(name, None)
        return {**options, "encoded": True}

    def root_path(self, cls: Any, root: str, given: Mapping[str, Any]) -> str:
        """Without the login, which the client would send once more, and without its password."""
        protocol, mark, authority = super().root_path(cls, root, given).partition("://")
        return f"{protocol}{mark}{authority.rpartition('@')[2]}"

    def join(self, base: str, key: str) -> str:
        """Quote the key."""
        query = f"?{self.query}" if self.query else ""
        return f"{base.rstrip('/')}/{quote(key, safe=_SAFE)}{query}"

    def key(self, base: str, path: str) -> str | None:
        """Unquote what lies below the root; nothing else is ours."""
        prefix = f"{base.rstrip('/')}/"
        address = path.partition("?")[0].partition("#")[0]
        return unquote(address[len(prefix) :]).strip("/") if address.startswith(prefix) else None

    def info(self, fs: Any, path: str) -> ObjectInfo:
        """HEAD; GET without a body where HEAD is not allowed."""
        found: ObjectInfo = sync(fs.loop, _info, fs, path)
        return found

    def children(self, fs: Any, path: str) -> Iterator[ObjectInfo]:
        """The links of an index page that lead one level down."""
        address, mark, query = path.partition("?")
        folder = address.rstrip("/") + "/"
        seen = set()
        for href in sync(fs.loop, _links, fs, folder + mark + query):
            name = urljoin(folder, href).partition("?")[0].partition("#")[0]
            below = name[len(folder) :] if name.startswith(folder) else ""
            if not below.strip("/") or "/" in below.rstrip("/") or below in seen or unquote(below).strip("/") in {".", ".."}:
                continue
            seen.add(below)
            yield ObjectInfo(key=name, kind="folder" if name.endswith("/") else "file")

    def read(self, fs: Any, path: str, start: int | None, end: int | None, pin: ObjectInfo | None) -> bytes:
        """A range, cut out here when the server ignores it."""
        if end is not None and end <= (start or 0):
            return b""
        data, ignored = sync(fs.loop, _read, fs, path, start or 0, end, pin)
        if ignored:
            self.pins_reads = False  # from here on one stream per object, or each part would cost the whole
        return bytes(data)

    def stream(self, fs: Any, path: str, piece: int) -> Generator[bytes, None, None]:
        """One request, read as it arrives."""
        context = _request(fs, "GET", path, {})
        answer = sync(fs.loop, context.__aenter__)
        try:
            while data := sync(fs.loop, answer.content.read, piece):
                yield data
        finally:
            sync(fs.loop, context.__aexit__, None, None, None)


async def _client(**kwargs: Any) -> Any:
    from fsspec.implementations.http import get_client  # noqa: PLC0415 - loads the driver

    return send_once(await get_client(**kwargs))


@contextlib.asynccontextmanager
async def _request(fs: Any, method: str, url: str, headers: Mapping[str, str]) -> AsyncIterator[Any]:
    session = await fs.set_session()
    options = dict(fs.kwargs)
    options["headers"] = {"Accept-Encoding": "identity", **options.get("headers", {}), **headers}
    async with session.request(method, fs.encode_url(url), allow_redirects=True, **options) as answer:
        answer.raise_for_status()
        yield answer


class _Anchors(HTMLParser):
    """Collects what the anchors of a page lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the address of a link."""
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


async def _links(fs: Any, url: str) -> list[str]:
    async with _request(fs, "GET", url, {}) as answer:
        if answer.content_type != "text/html":
            return []
        page = _Anchors()
        page.feed(await answer.text(errors="replace"))
        return page.found


_ONLY_GET: Final = frozenset({403, 405, 501})
"""How servers refuse HEAD; a signed URL was signed for one verb."""


async def _info(fs: Any, url: str) -> ObjectInfo:
    import aiohttp  # noqa: PLC0415 - the driver's own client

    try:
        async with _request(fs, "HEAD", url, {}) as answer:
            return _describe(url, answer)
    except aiohttp.ClientResponseError as exc:
        if exc.status not in _ONLY_GET:
            raise
    async with _request(fs, "GET", url, {}) as answer:
        return _describe(url, answer)


def _describe(url: str, answer: Any) -> ObjectInfo:
    headers = answer.headers
    stamp = headers.get("Last-Modified")
    modified = None
    if stamp:
        with contextlib.suppress(TypeError, ValueError):
            modified = parsedate_to_datetime(stamp)
    # A server shows a folder by redirecting to the name with a slash, or as a page under that name.
    if answer.url.raw_path.endswith("/"):
        return ObjectInfo(key=url, kind="folder", modified=modified)
    size = headers.get("Content-Length")
    return ObjectInfo(
        key=url,
        size=int(size) if size is not None and "Content-Encoding" not in headers else None,
        modified=modified,
        version=plain_etag(headers.get("ETag")),
    )


async def _read(fs: Any, url: str, start: int, end: int | None, pin: ObjectInfo | None) -> tuple[bytearray, bool]:
    """The bytes of a range, and whether the server had ignored that it was one."""
    headers = {}
    if start or end is not None:
        headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
    if pin is not None and pin.version:
        headers["If-Match"] = f'"{pin.version}"'
    async with _request(fs, "GET", url, headers) as answer:
        ignored = "Range" in headers and answer.status == 200
        skip = start if ignored else 0
        wanted = None if end is None else end - start
        body = bytearray()
        async for piece in answer.content.iter_chunked(_MIB):
            drop = min(skip, len(piece))
            skip -= drop
            body += piece[drop:]
            if wanted is not None and len(body) >= wanted:
                return body[:wanted], ignored
        promised = answer.headers.get("Content-Length")
        if promised is not None and answer.status == 206 and len(body) < int(promised):
            raise TruncatedError(f"{len(body)} bytes arrived of {promised}")
        return body, ignored
