"""Google Cloud Storage through gcsfs."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from importlib import import_module
from typing import IO, Any

from persistence_fsspec.errors import ObjectExistsError
from persistence_fsspec.store import Digest, ObjectInfo
from persistence_fsspec.stores.dialects.base import FileSink, ObjectDialect


class GcsDialect(ObjectDialect):
    """Quirks gcs-*."""

    pins_reads = True

    def connected(self, fs: Any) -> None:
        """With an endpoint of one's own, no gRPC probe: an emulator does not answer it, for a minute each time."""
        if hasattr(fs, "_get_bucket_type") and (getattr(fs, "_endpoint", None) or os.environ.get("STORAGE_EMULATOR_HOST")):
            fs._get_bucket_type = _ordinary

    def info(self, fs: Any, path: str) -> ObjectInfo:
        """With the caller's metadata."""
        raw = fs.info(path)
        found = self.describe(raw)
        return found if found.is_folder else _with_metadata(found, raw.get("metadata"))

    def version(self, raw: Mapping[str, Any]) -> str | None:
        """The generation."""
        return raw.get("generation")

    def digest(self, raw: Mapping[str, Any]) -> Digest | None:
        """MD5, missing for composed objects."""
        value = raw.get("md5Hash")
        return ("md5", base64.b64decode(value).hex()) if value else None

    def read(self, fs: Any, path: str, start: int | None, end: int | None, pin: ObjectInfo | None) -> bytes:
        """Of the pinned generation, which is not found once it is replaced."""
        if end is not None and end <= (start or 0):
            return b""
        wanted = {"generation": pin.version} if pin is not None and pin.version else {}
        data: bytes = fs.cat_file(path, start=start or None, end=end, **wanted)
        return data

    def sink(self, fs: Any, path: str, *, size: int | None, metadata: Mapping[str, str] | None) -> FileSink:  # noqa: ARG002
        """A resumable upload."""
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
        """One upload; exclusive by ``ifGenerationMatch=0``."""
        data = body if isinstance(body, bytes) else body.read()
        mode = "create" if create else "overwrite"
        try:
            fs.pipe_file(path, data, mode=mode, metadata=dict(metadata) if metadata else None)
        except FileExistsError as exc:
            raise ObjectExistsError("exists already, and overwrite=False") from exc


def _with_metadata(found: ObjectInfo, metadata: Mapping[str, str] | None) -> ObjectInfo:
    return ObjectInfo(
        key=found.key,
        size=found.size,
        modified=found.modified,
        version=found.version,
        digest=found.digest,
        metadata=dict(metadata or {}),
    )


async def _ordinary(bucket: str) -> Any:  # noqa: ARG001 - of any bucket
    return import_module("gcsfs.extended_gcsfs").BucketType.NON_HIERARCHICAL
