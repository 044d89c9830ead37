"""Google Cloud Storage through gcsfs."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import IO, Any

from fsspec.asyn import sync

from persistence_fsspec.errors import ConflictError, ObjectExistsError, UnsupportedPersistenceOp
from persistence_fsspec.foreign import classify
from persistence_fsspec.store import Digest, ObjectInfo, Part
from persistence_fsspec.stores.dialects.aio import send_once, time_limits
from persistence_fsspec.stores.dialects.base import FileSink, ObjectDialect, content_type
from persistence_fsspec.stores.dialects.gcs_condition import replace_generation
from persistence_fsspec.stores.dialects.gcs_parts import GcsUpload
from persistence_fsspec.stores.dialects.gcs_upload import repeat_chunks
from persistence_fsspec.stores.dialects.old_versions import gcs_current, gcs_delete_version, gcs_versions
from persistence_fsspec.stores.dialects.parts import callers_own, from_base64, parts_kept


class GcsDialect(ObjectDialect):
    """Quirks gcs-*."""

    pins_reads = True

    def patience(self, options: dict[str, Any], *, stall_seconds: float) -> dict[str, Any]:
        """Limits of each request, one try of each gRPC call, and errors that keep the headers."""
        session = {"raise_for_status": _raise_with_headers, **(options.get("session_kwargs") or {})}
        limits = {"requests_timeout": time_limits(stall_seconds), "retry_timeout": 0.0}
        return {**limits, **options, "session_kwargs": session}

    def restrain(self, fs: Any, *, stall_seconds: float, given: bool) -> None:  # noqa: ARG002
        """Requests go out by the function that the driver's own retries are wrapped around."""
        once = getattr(type(fs)._request, "__wrapped__", None)
        if once is not None and not given:
            fs._request = partial(_request_once, once, fs)

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
        """MD5; CRC32C of composed objects, which lack it."""
        value, crc = raw.get("md5Hash"), from_base64(raw.get("crc32c"))
        return ("md5", base64.b64decode(value).hex()) if value else ("crc32c", crc) if crc else None

    def read(self, fs: Any, path: str, start: int | None, end: int | None, pin: ObjectInfo | None) -> bytes:
        """Of the pinned generation, which is not found once it is replaced."""
        if end is not None and end <= (start or 0):
            return b""
        wanted = {"generation": pin.version} if pin is not None and pin.version else {}
        data: bytes = fs.cat_file(path, start=start or None, end=end, **wanted)
        return data

    def versions(self, fs: Any, path: str) -> Iterator[ObjectInfo]:
        """Generations, where the bucket has object versioning, or had."""
        return gcs_versions(self, fs, path)

    def current_version(self, fs: Any, path: str) -> ObjectInfo | None:
        """Where the bucket has object versioning."""
        return gcs_current(self, fs, path)

    def delete_version(self, fs: Any, path: str, version_id: str) -> None:
        """By its generation."""
        gcs_delete_version(fs, path, version_id)

    def make_root(self, fs: Any, path: str) -> None:
        """All buckets of the world share their names: one that is there is fine when it may be looked at."""
        try:
            fs.mkdir(path)
        except Exception as exc:
            if classify(exc) not in {ConflictError, ObjectExistsError}:
                raise
            fs.call("GET", "b/{}", fs.split_path(path)[0], json_out=True, fields="name")

    def sink(self, fs: Any, path: str, *, size: int | None, metadata: Mapping[str, str] | None) -> FileSink:  # noqa: ARG002
        """A resumable upload."""
        more = {"metadata": dict(metadata)} if metadata else {}
        file = fs.open(path, "wb", block_size=self.object_part_size, **more)
        return FileSink(repeat_chunks(file, self.repeat))

    def write_object(
        self,
        fs: Any,
        path: str,
        body: bytes | IO[bytes],
        *,
        create: bool = False,
        if_match: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo | None:
        """One upload, on condition of a generation; 0 is that of what does not exist. The answer tells of the object."""
        data = body if isinstance(body, bytes) else body.read()
        bucket, name, _ = fs.split_path(path)
        mode = "create" if create else "overwrite"
        answer: Any
        try:
            if if_match:
                _refuse_zonal(fs, bucket, "keeps no condition on a version")
                answer = replace_generation(fs, (bucket, name), if_match, data, metadata)
            else:
                answer = fs.pipe_file(path, data, mode=mode, metadata=dict(metadata) if metadata else None, **_type_of(fs, path))
        except FileExistsError as exc:  # which is what the driver makes of every 412
            if if_match:
                raise ConflictError("what stands there is not the version that was to be replaced") from exc
            raise ObjectExistsError("exists already, and overwrite=False") from exc
        if not isinstance(answer, Mapping) or not {"name", "size", "generation"} <= set(answer):
            return None
        return self.describe(fs._process_object(bucket, answer))

    def upload(
        self,
        fs: Any,
        path: str,
        *,
        size: int,
        part_size: int,
        token: str = "",
        create: bool = False,
        metadata: Mapping[str, str] | None = None,
    ) -> GcsUpload:
        """Objects that are composed, which rapid storage cannot do."""
        bucket, name, _ = fs.split_path(path)
        if create:
            raise UnsupportedPersistenceOp("overwrite=False cannot be kept here for an object in parts")
        _refuse_zonal(fs, bucket, "composes no objects, so they cannot be sent in parts")
        found = GcsUpload(path, (bucket, name), size=size, part_size=part_size, token=token, metadata=metadata)
        if token:
            found.require_begun(fs)
        return found

    def part_digests(self, fs: Any, path: str, pin: ObjectInfo) -> Sequence[Part]:
        """What our own upload kept with the object."""
        raw = fs.info(path)
        return parts_kept(raw.get("metadata"), pin.size) if self.version(raw) == pin.version else ()


def _is_zonal(fs: Any, bucket: str) -> bool:
    return hasattr(fs, "_is_zonal_bucket") and bool(sync(fs.loop, fs._is_zonal_bucket, bucket))


def _refuse_zonal(fs: Any, bucket: str, why: str) -> None:
    if _is_zonal(fs, bucket):
        raise UnsupportedPersistenceOp(f"a zonal bucket {why}")


def _type_of(fs: Any, path: str) -> dict[str, str]:
    """For the driver, which warns of types where they are not kept."""
    kind = content_type(path)
    return {"content_type": kind} if kind and not _is_zonal(fs, path.partition("/")[0]) else {}


def _with_metadata(found: ObjectInfo, metadata: Mapping[str, str] | None) -> ObjectInfo:
    return ObjectInfo(
        key=found.key,
        size=found.size,
        modified=found.modified,
        version=found.version,
        digest=found.digest,
        metadata=callers_own(metadata),
    )


async def _request_once(once: Callable[..., Any], fs: Any, *args: Any, **kwargs: Any) -> Any:
    send_once(await fs._set_session() or fs.session)
    return await once(fs, *args, **kwargs)


async def _raise_with_headers(answer: Any) -> None:
    """The driver's own errors say nothing of Retry-After, and of 502 and some 503 not even the status."""
    if answer.status in {408, 429} or answer.status >= 500:
        from aiohttp import ClientResponseError  # noqa: PLC0415 - the driver's own client

        raise ClientResponseError(
            answer.request_info, answer.history, status=answer.status, message=answer.reason or "", headers=answer.headers
        )


async def _ordinary(bucket: str) -> Any:  # noqa: ARG001 - of any bucket
    return import_module("gcsfs.extended_gcsfs").BucketType.NON_HIERARCHICAL
