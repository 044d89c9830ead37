"""Read-only HTTP server over a folder; runs in the environment of aiohttp.

========================  ====================================================
``/files/<path>``         files with ranges, conditions, ETag; folders as HTML
``/no-ranges/<path>``     the same, but always the whole body with status 200
``/secret/<path>``        the same as ``/files/``, for those who log in
``/status/<code>/<path>`` that status, for every method
========================  ====================================================
"""

import argparse
import base64
import hmac
import html
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import quote

from aiohttp import hdrs, web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Stored(web.FileResponse):
    """Exactly the file that was asked for.

    aiohttp would answer ``a`` with the bytes of a neighbour ``a.gz``, and
    reads If-Range as a date, which no ETag is.
    """

    def __init__(self, path: Path, *, ranges: bool) -> None:
        super().__init__(path)
        self._ranges = ranges

    async def prepare(self, request: web.BaseRequest):
        headers = request.headers.copy()
        headers.popall(hdrs.ACCEPT_ENCODING, None)
        if not self._ranges or is_outdated(self._path, request):
            headers.popall(hdrs.RANGE, None)
        return await super().prepare(request.clone(headers=headers))


def is_outdated(path: Path, request: web.BaseRequest) -> bool:
    """Tell whether If-Range names a version by ETag that is not the present one."""
    wanted = request.headers.get(hdrs.IF_RANGE, "")
    if not wanted.endswith('"'):
        return False
    status = path.stat()
    present = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'  # as aiohttp forms it
    return wanted != present


class Site:
    """Handlers for the files below *root*."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    async def files(self, request: web.Request) -> web.StreamResponse:
        return self._answer(request, ranges=True)

    async def no_ranges(self, request: web.Request) -> web.StreamResponse:
        return self._answer(request, ranges=False)

    def _answer(self, request: web.Request, *, ranges: bool) -> web.StreamResponse:
        key = request.match_info["path"]  # "", or with a slash in front
        path = self._locate(key[1:])
        if path.is_dir() and key.endswith("/"):
            return web.Response(text=index(path), content_type="text/html")
        if path.is_dir():
            raise web.HTTPMovedPermanently(request.rel_url.raw_path + "/")
        if key.endswith("/"):
            raise web.HTTPNotFound
        return Stored(path, ranges=ranges)

    def _locate(self, key: str) -> Path:
        try:
            path = (self._root / key).resolve(strict=True)
        except (OSError, ValueError) as exc:  # absent; too long; a NUL inside
            raise web.HTTPNotFound from exc
        if not path.is_relative_to(self._root):
            raise web.HTTPNotFound
        return path


def index(folder: Path) -> str:
    """Return a page of relative links, one per entry; those of folders end in ``/``."""
    names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
    links = [f'<a href="{quote(name)}">{html.escape(name)}</a><br>' for name in names]
    return "\n".join(["<!DOCTYPE html>", *links])


def behind_login(handler: Handler, login: str) -> Handler:
    """Return *handler* for those who send *login*, ``user:password``; or else 401."""
    expected = b"Basic " + base64.b64encode(login.encode())

    async def guarded(request: web.Request) -> web.StreamResponse:
        given = request.headers.get(hdrs.AUTHORIZATION, "")
        if not hmac.compare_digest(given.encode(), expected):
            challenge = {hdrs.WWW_AUTHENTICATE: 'Basic realm="tests"'}
            raise web.HTTPUnauthorized(headers=challenge)
        return await handler(request)

    return guarded


def only_get(handler: Handler) -> Handler:
    """Return *handler* for GET, and 403 for HEAD, as where a URL was signed for one verb."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        if request.method != hdrs.METH_GET:
            raise web.HTTPForbidden
        return await handler(request)

    return guarded


async def status(request: web.Request) -> web.Response:
    code = int(request.match_info["code"])
    return web.Response(status=code, text=f"status {code}, as asked for\n")


async def hide_ranges(request: web.Request, response: web.StreamResponse) -> None:
    if request.path.startswith("/no-ranges/"):
        response.headers.popall(hdrs.ACCEPT_RANGES, None)


def application(root: Path, login: str) -> web.Application:
    below = "{path:(/.*)?}"
    site = Site(root)
    app = web.Application()
    app.router.add_get(f"/files{below}", site.files)
    app.router.add_get(f"/no-ranges{below}", site.no_ranges)
    app.router.add_get(f"/secret{below}", behind_login(site.files, login))
    app.router.add_get(f"/only-get{below}", only_get(site.files))
    app.router.add_route("*", "/status/{code:[2-5][0-9][0-9]}" + below, status)
    app.on_response_prepare.append(hide_ranges)
    return app


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--password", required=True)
    options = parser.parse_args()

    logging.basicConfig(level=logging.INFO)  # one line per request
    web.run_app(
        application(options.root, f"{options.user}:{options.password}"),
        host="127.0.0.1",
        port=options.port,
        shutdown_timeout=0.1,
        print=None,
        access_log_format='"%r" %s %b range=%{Range}i',
    )


if __name__ == "__main__":
    main()
