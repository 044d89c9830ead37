"""Azure Blob Storage through adlfs, and its client where adlfs has no word for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import IO, Any

from fsspec.asyn import sync

from persistence_fsspec.errors import ObjectExistsError
from persistence_fsspec.store import Digest, ObjectInfo
from persistence_fsspec.stores.dialects.base import FileSink, ObjectDialect, plain_etag


class AbfsDialect(ObjectDialect):
    """Quirks abfs-*."""

    pins_reads = True

    def info(self, fs: Any, path: str) -> ObjectInfo:
        """With the caller's metadata."""
        raw = fs.info(path)
        found = self.describe(raw)
        return found if found.is_folder else replace(found, metadata=dict(raw.get("metadata") or {}))

    def version(self, raw: Mapping[str, Any]) -> str | None:
        """The ETag."""
        return plain_etag(raw.get("etag"))

    def digest(self, raw: Mapping[str, Any]) -> Digest | None:
        """Content-MD5: a bytearray, and missing for blobs written in blocks."""
        settings = raw.get("content_settings") or {}
        value = settings.get("content_md5") if hasattr(settings, "get") else getattr(settings, "content_md5", None)
        return ("md5", bytes(value).hex()) if value else None

    def read(self, fs: Any, path: str, start: int | None, end: int | None, pin: ObjectInfo | None) -> bytes:
        """On condition of the ETag."""
        if end is not None and end <= (start or 0):
            return b""
        data: bytes = sync(fs.loop, _download, fs, path, start or 0, end, pin.version if pin else None)
        return data

    def sink(self, fs: Any, path: str, *, size: int | None, metadata: Mapping[str, str] | None) -> FileSink:  # noqa: ARG002
        """Blocks; only closing lists them, so an abandoned file is never seen."""
        more = {"metadata": dict(metadata)} if metadata else {}
        return FileSink(fs.open(path, "wb", block_size=self.object_part_size, **more))

    def write_object(
        self,
        fs: Any,
        path: str,
        body: bytes | IO[bytes],
        *,
        create: bool = False,
        if_match: str | None = None,  # noqa: ARG002 - not among this driver's capabilities
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """One upload."""
        data = body if isinstance(body, bytes) else body.read()
        more = {"metadata": dict(metadata)} if metadata else {}
        try:
            fs.pipe_file(path, data, mode="create" if create else "overwrite", **more)
        except FileExistsError as exc:
            raise ObjectExistsError("exists already, and overwrite=False") from exc


async def _download(fs: Any, path: str, start: int, end: int | None, etag: str | None) -> bytes:
    from azure.core import MatchConditions  # noqa: PLC0415 - the driver's own client, loaded with it

    container, blob, _ = fs.split_path(path)
    condition = {"etag": f'"{etag}"', "match_condition": MatchConditions.IfNotModified} if etag else {}
    async with fs.service_client.get_blob_client(container, blob) as client:
        if start == 0 and end is None:
            answer = await client.download_blob(**condition)
        else:
            length = None if end is None else end - start
            answer = await client.download_blob(offset=start, length=length, **condition)
        data: bytes = await answer.readall()
        return data
