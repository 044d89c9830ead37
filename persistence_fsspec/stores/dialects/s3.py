"""S3 through s3fs, by single calls of its client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, partial
from importlib import import_module
from inspect import signature
from typing import IO, Any

from fsspec.asyn import sync

from persistence_fsspec.errors import (
    ConflictError,
    NotAFolderError,
    ObjectExistsError,
)
from persistence_fsspec.foreign import classify
from persistence_fsspec.store import Digest, ObjectInfo
from persistence_fsspec.stores.dialects.aio import send_once
from persistence_fsspec.stores.dialects.base import ObjectDialect, exactly, md5_of_etag, plain_etag
from persistence_fsspec.stores.dialects.s3_upload import MultipartSink


class S3Dialect(ObjectDialect):
    """Quirks s3-*."""

    pins_reads = True

    def patience(self, options: dict[str, Any], *, stall_seconds: float) -> dict[str, Any]:
        """Of the client below the driver: one try, its limits, and no second sending by the session below that."""
        config: dict[str, Any] = {
            "connect_timeout": stall_seconds,
            "read_timeout": stall_seconds,
            "retries": {"total_max_attempts": 1},
            **_session_class(),
        }
        return {**options, "config_kwargs": {**config, **(options.get("config_kwargs") or {})}}

    def restrain(self, fs: Any, *, stall_seconds: float, given: bool) -> None:  # noqa: ARG002
        """One try by the driver."""
        if not given:
            fs.retries = 1

    def info(self, fs: Any, path: str) -> ObjectInfo:
        """HEAD; where there is no object, one key below it proves a folder."""
        bucket, key, _ = fs.split_path(path)
        if not key:
            return ObjectInfo(key=fs.info(path)["name"], kind="folder")
        try:
            head = self._head(fs, bucket, key)
        except FileNotFoundError:
            page = fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=f"{key}/", MaxKeys=1)
            if not page.get("Contents"):
                raise
            return ObjectInfo(key=path, kind="folder")
        return ObjectInfo(
            key=path,
            size=head["ContentLength"],
            modified=head.get("LastModified"),
            version=plain_etag(head.get("ETag")),
            digest=_digest(head),
            metadata=dict(head.get("Metadata") or {}),
        )

    def _head(self, fs: Any, bucket: str, key: str) -> Mapping[str, Any]:
        try:
            found: Mapping[str, Any] = fs.call_s3("head_object", Bucket=bucket, Key=key)
        except OSError as exc:
            # The answer to a HEAD has no body to say why: another request of the same rights may.
            if _status(exc) in {400, 403}:
                fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=key, MaxKeys=1)
            raise
        return found

    def version(self, raw: Mapping[str, Any]) -> str | None:
        """The ETag changes with the content."""
        return plain_etag(raw.get("ETag"))

    def digest(self, raw: Mapping[str, Any]) -> Digest | None:
        """Of a listing, which does not tell how the object is encrypted."""
        return md5_of_etag(plain_etag(raw.get("ETag")))

    def children(self, fs: Any, path: str) -> Iterator[ObjectInfo]:
        """Pages of one level."""
        empty = True
        for page in self._pages(fs, path, "/"):
            for folder in page.get("CommonPrefixes", ()):
                empty = False
                yield ObjectInfo(key=f"{_bucket(fs, path)}/{folder['Prefix'][:-1]}", kind="folder")
            for found in self._objects(fs, path, page):
                empty = False
                yield found
            empty = empty and not page.get("Contents")
        if empty:
            self._refuse_missing(fs, path)

    def find(self, fs: Any, path: str) -> Iterator[ObjectInfo] | None:
        """Pages of everything below, one after the other."""
        return (found for page in self._pages(fs, path, "") for found in self._objects(fs, path, page))

    def _pages(self, fs: Any, path: str, delimiter: str) -> Iterator[Mapping[str, Any]]:
        bucket, key, _ = fs.split_path(path)
        more: dict[str, str] = {}
        while True:
            prefix = f"{key}/" if key else ""
            # Each page by itself: what was listed before it has gone to the caller already.
            ask = partial(fs.call_s3, "list_objects_v2", Bucket=bucket, Prefix=prefix, Delimiter=delimiter, **more)
            page = self.repeat(ask)
            yield page
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _objects(self, fs: Any, path: str, page: Mapping[str, Any]) -> Iterator[ObjectInfo]:
        bucket = _bucket(fs, path)
        for raw in page.get("Contents", ()):
            if raw["Key"].endswith("/") and raw["Size"] == 0:  # a folder marker, made by other tools
                continue
            etag = plain_etag(raw.get("ETag"))
            yield ObjectInfo(
                key=f"{bucket}/{raw['Key']}",
                size=raw["Size"],
                modified=raw["LastModified"],
                version=etag,
                digest=md5_of_etag(etag),
            )

    def _refuse_missing(self, fs: Any, path: str) -> None:
        _, key, _ = fs.split_path(path)
        if key:
            if not self.info(fs, path).is_folder:
                raise NotAFolderError("is a file")
            raise FileNotFoundError(path)

    def read(self, fs: Any, path: str, start: int | None, end: int | None, pin: ObjectInfo | None) -> bytes:
        """GET with If-Match, and no range from the beginning to the end: an empty object has none (416)."""
        bucket, key, _ = fs.split_path(path)
        if end is not None and end <= (start or 0):
            return b""
        wanted: dict[str, Any] = {}
        if start or end is not None:
            wanted["Range"] = f"bytes={start or 0}-{'' if end is None else end - 1}"
        if pin is not None and pin.version:
            wanted["IfMatch"] = f'"{pin.version}"'
        data: bytes = sync(fs.loop, _get, fs, {"Bucket": bucket, "Key": key, **wanted})
        return data

    def sink(self, fs: Any, path: str, *, size: int | None, metadata: Mapping[str, str] | None) -> MultipartSink:
        """A multipart upload: 10,000 parts at most, so that parts grow with what is to come."""
        part = max(self.object_part_size, -(-(size or 0) // 9000))
        return MultipartSink(fs, path, part, metadata, repeat=self.repeat)

    def write_object(
        self,
        fs: Any,
        path: str,
        body: bytes | IO[bytes],
        *,
        create: bool = False,
        if_match: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """One PUT, which is where every server holds to its conditions."""
        bucket, key, _ = fs.split_path(path)
        more: dict[str, Any] = {"Metadata": dict(metadata)} if metadata else {}
        if create:
            more["IfNoneMatch"] = "*"
        elif if_match:
            more["IfMatch"] = f'"{if_match}"'
        try:
            fs.call_s3("put_object", Bucket=bucket, Key=key, Body=body, **more)
        except OSError as exc:
            if create and (isinstance(exc, FileExistsError) or classify(exc) is ConflictError):
                raise ObjectExistsError("exists already, and overwrite=False") from exc
            raise

    def delete_markers(self, fs: Any, path: str) -> None:
        """All empty objects whose names end in a slash."""
        bucket = _bucket(fs, path)
        for page in self._pages(fs, path, ""):
            for raw in page.get("Contents", ()):
                if raw["Key"].endswith("/") and raw["Size"] == 0:
                    fs.call_s3("delete_object", Bucket=bucket, Key=raw["Key"])

    def copy(self, fs: Any, source: str, target: str) -> None:
        """Inside the service."""
        fs.cp_file(source, target)


@cache
def _session_class() -> dict[str, type]:
    """The client's session, which sends once; older releases take no other than their own."""
    session = import_module("aiobotocore.httpsession").AIOHTTPSession
    if "http_session_cls" not in signature(import_module("aiobotocore.config").AioConfig).parameters:
        return {}

    async def get_session(self: Any, *args: Any, **kwargs: Any) -> Any:
        return send_once(await session._get_session(self, *args, **kwargs))

    return {"http_session_cls": type("SendOnceSession", (session,), {"_get_session": get_session})}


def _status(exc: BaseException) -> int | None:
    """The HTTP status behind an error of the driver."""
    answer = getattr(exc.__cause__ or exc, "response", None) or {}
    status: int | None = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status


def _bucket(fs: Any, path: str) -> str:
    return str(fs.split_path(path)[0])


def _digest(head: Mapping[str, Any]) -> Digest | None:
    # With KMS or customer keys the ETag looks like an MD5, and is none.
    if head.get("ServerSideEncryption") not in (None, "AES256") or head.get("SSECustomerAlgorithm"):
        return None
    return md5_of_etag(plain_etag(head.get("ETag")))


async def _get(fs: Any, wanted: Mapping[str, Any]) -> bytes:
    answer = await fs._call_s3("get_object", **wanted)
    try:
        return exactly(await answer["Body"].read(), answer["ContentLength"])
    finally:
        answer["Body"].close()
