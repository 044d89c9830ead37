"""WebDAV through webdav4: whole PUTs, and MOVE with or without Overwrite."""

from __future__ import annotations

import contextlib
import copy
import io
import weakref
from collections.abc import Generator, Iterator, Mapping
from typing import IO, Any

from persistence_fsspec.errors import ObjectExistsError
from persistence_fsspec.store import ObjectInfo
from persistence_fsspec.stores.dialects.base import Dialect
from persistence_fsspec.stores.janitor import clean_later


class WebdavDialect(Dialect):
    """Quirks webdav-*."""

    def patience(self, options: dict[str, Any], *, stall_seconds: float) -> dict[str, Any]:
        """Waiting for a connection of the pool is no silence of the server."""
        from httpx import Timeout  # noqa: PLC0415 - loaded with the driver

        return {"retry": False, "timeout": Timeout(stall_seconds, pool=None), **options}

    def options(self, options: dict[str, Any], authority: str) -> dict[str, Any]:
        """``webdav://host/x`` means ``https://host/x`` unless a ``base_url`` says otherwise."""
        options.setdefault("base_url", f"https://{authority.rpartition('@')[2]}")
        user, password = options.pop("username", None), options.pop("password", None)
        if user and "auth" not in options:
            options["auth"] = (user, password or "")
        for name in ("host", "port"):
            options.pop(name, None)
        return options

    def connected(self, fs: Any) -> None:
        """Let the connections of the pool end with the client: left alone, they are complained about instead of closed."""
        client = fs.client.http
        weakref.finalize(client, clean_later, copy.copy(client).close)  # the copy has the same pool

    def root_path(self, cls: Any, root: str, given: Mapping[str, Any]) -> str:
        """With a ``base_url``, what follows ``webdav://`` is the first folder."""
        return super().root_path(cls, root, given) if "base_url" in given else ""

    def children(self, fs: Any, path: str) -> Iterator[ObjectInfo]:
        """PROPFIND through the client: the driver strips white space off the folder's name."""
        from webdav4.fsspec import translate_info  # noqa: PLC0415 - loaded with the driver

        own = path.strip("/")
        for item in fs.client.ls(path, detail=True, allow_listing_resource=False):
            found = self.describe(translate_info(item))
            if found.key.strip("/") != own:
                yield found

    def read(self, fs: Any, path: str, start: int | None, end: int | None, pin: ObjectInfo | None) -> bytes:  # noqa: ARG002
        """One GET; the range is cut out here when the server ignores it."""
        if end is not None and end <= (start or 0):
            return b""
        with _getting(fs, path, start or 0, end) as answer:
            skip = start or 0 if answer.status_code == 200 else 0
            wanted = None if end is None else skip + end - (start or 0)
            body = bytearray()
            for piece in answer.iter_bytes():
                body += piece
                if wanted is not None and len(body) >= wanted:
                    break
            return bytes(body[skip:wanted])

    def stream(self, fs: Any, path: str, piece: int) -> Generator[bytes, None, None]:
        """One GET; the driver's own file goes on by a second one when the first breaks off, whatever is there by then."""
        with _getting(fs, path, 0, None) as answer:
            yield from answer.iter_bytes(piece)

    def write_object(
        self,
        fs: Any,
        path: str,
        body: bytes | IO[bytes],
        *,
        create: bool = False,  # noqa: ARG002 - objects are written under partial names only
        if_match: str | None = None,  # noqa: ARG002 - not among this driver's capabilities
        metadata: Mapping[str, str] | None = None,  # noqa: ARG002 - nor this
    ) -> None:
        """One PUT. Parents are made by the store, and only when they are missing."""
        source = io.BytesIO(body) if isinstance(body, bytes) else body
        fs.client.upload_fileobj(source, path, overwrite=True)

    def replace(self, fs: Any, source: str, target: str) -> None:
        """MOVE, Overwrite: T."""
        fs.client.move(source, target, overwrite=True)

    def rename_new(self, fs: Any, source: str, target: str) -> None:
        """MOVE, Overwrite: F."""
        from webdav4.client import ResourceAlreadyExists  # noqa: PLC0415 - loaded with the driver

        try:
            fs.client.move(source, target, overwrite=False)
        except ResourceAlreadyExists as exc:
            raise ObjectExistsError("exists already, and overwrite=False") from exc

    def copy(self, fs: Any, source: str, target: str) -> None:
        """COPY."""
        fs.client.copy(source, target, overwrite=True)


@contextlib.contextmanager
def _getting(fs: Any, path: str, start: int, end: int | None) -> Iterator[Any]:
    headers = {"Accept-Encoding": "identity"}
    if start or end is not None:
        headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
    client = fs.client
    with client.http.stream("GET", client.join_url(path), headers=headers, follow_redirects=True) as answer:
        answer.raise_for_status()
        yield answer
