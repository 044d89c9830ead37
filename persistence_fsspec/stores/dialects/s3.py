"""S3 through s3fs, by single calls of its client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache, partial
from importlib import import_module
from inspect import signature
from typing import IO, Any, Final

from fsspec.asyn import sync

from persistence_fsspec.crc32c import crc32c
from persistence_fsspec.errors import (
    ConflictError,
    NotAFolderError,
    ObjectExistsError,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.foreign import classify
from persistence_fsspec.store import Digest, ObjectInfo, Part
from persistence_fsspec.stores.dialects.aio import send_once
from persistence_fsspec.stores.dialects.base import ObjectDialect, exactly, md5_of_etag, plain_etag
from persistence_fsspec.stores.dialects.old_versions import s3_current, s3_delete_version, s3_versions
from persistence_fsspec.stores.dialects.parts import as_base64, callers_own, from_base64
from persistence_fsspec.stores.dialects.s3_conditions import Conditions
from persistence_fsspec.stores.dialects.s3_upload import (
    Checking,
    MultipartSink,
    S3Upload,
    begin,
    described,
    digest_told,
    status_of,
)

_NAMELESS_REGIONS: Final = frozenset({None, "us-east-1", "aws-global"})
_CONNECTIONS: Final = 64
"""As many as there may be requests at once (`Policy.max_requests`); the client by itself makes do with ten."""


class S3Dialect(ObjectDialect):
    """Quirks s3-*."""

    pins_reads = True

    def __init__(self) -> None:
        super().__init__()
        self._checking = Checking()
        self._conditions = Conditions()

    def patience(self, options: dict[str, Any], *, stall_seconds: float) -> dict[str, Any]:
        """Of the client below the driver: one try, its limits, and no second sending by the session below that."""
        config: dict[str, Any] = {
            "connect_timeout": stall_seconds,
            "read_timeout": stall_seconds,
            "retries": {"total_max_attempts": 1},
            "max_pool_connections": _CONNECTIONS,
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
            digest=digest_told(head),
            metadata=callers_own(head.get("Metadata")),
        )

    def _head(self, fs: Any, bucket: str, key: str) -> Mapping[str, Any]:
        try:
            found: Mapping[str, Any] = fs.call_s3("head_object", Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        except OSError as exc:
            if status_of(exc) not in {400, 403}:
                raise
            # Checksums of encrypted objects need more rights than the rest.
            found = self._head_without_checksum(fs, bucket, key)
        return found

    def _head_without_checksum(self, fs: Any, bucket: str, key: str) -> Mapping[str, Any]:
        try:
            found: Mapping[str, Any] = fs.call_s3("head_object", Bucket=bucket, Key=key)
        except OSError as exc:
            # The answer to a HEAD has no body to say why: another request of the same rights may.
            if status_of(exc) in {400, 403}:
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
        if pin is not None and pin.version_id:
            wanted["VersionId"] = pin.version_id
        data: bytes = sync(fs.loop, _get, fs, {"Bucket": bucket, "Key": key, **wanted})
        return data

    def sink(self, fs: Any, path: str, *, size: int | None, metadata: Mapping[str, str] | None) -> MultipartSink:
        """A multipart upload: 10,000 parts at most, so that parts grow with what is to come."""
        part = max(self.object_part_size, -(-(size or 0) // 9000))
        return MultipartSink(fs, path, part, metadata, repeat=self.repeat, checking=self._checking)

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
        """One PUT, which is where every server holds to its conditions; with a checksum that servers compare."""
        self._conditions.require(fs, path, create=create, if_match=if_match)
        bucket, key, _ = fs.split_path(path)
        more = described(fs, key, metadata)
        if create:
            more["IfNoneMatch"] = "*"
        elif if_match:
            more["IfMatch"] = f'"{if_match}"'
        if isinstance(body, bytes) and self._checking.asks(fs):
            more["ChecksumCRC32C"] = as_base64(crc32c(body))
        try:
            answer = fs.call_s3("put_object", Bucket=bucket, Key=key, Body=body, **more)
        except OSError as exc:
            if create and (isinstance(exc, FileExistsError) or classify(exc) is ConflictError):
                raise ObjectExistsError("exists already, and overwrite=False") from exc
            raise
        etag = plain_etag(answer.get("ETag"))
        if etag is None or not isinstance(body, bytes):
            return None
        return ObjectInfo(key=path, size=len(body), version=etag, digest=digest_told(answer))

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
    ) -> S3Upload:
        """A multipart upload, which never is exclusive: some servers overwrite."""
        if create:
            raise UnsupportedPersistenceOp("overwrite=False cannot be kept here for an object in parts")
        if token:
            return S3Upload.taken_up(fs, path, token, size=size, checking=self._checking)
        return S3Upload(begin(fs, path, metadata, self._checking, part_size=part_size), size=size, part_size=part_size)

    def part_digests(self, fs: Any, path: str, pin: ObjectInfo) -> Sequence[Part]:
        """By GetObjectAttributes; servers that know no CRC32C of the whole may take that for a GET of the object."""
        if pin.digest is None or pin.digest[0] != "crc32c":
            return ()
        bucket, key, _ = fs.split_path(path)
        wanted: dict[str, Any] = {"Bucket": bucket, "Key": key, "ObjectAttributes": ["ETag", "ObjectParts"]}
        if pin.version_id:
            wanted["VersionId"] = pin.version_id
        found: list[Part] = []
        while True:
            try:
                answer = fs.call_s3("get_object_attributes", **wanted)
            except OSError as exc:
                if status_of(exc) in {400, 403, 405, 501}:
                    return ()
                raise
            page = answer.get("ObjectParts") or {}
            for raw in page.get("Parts", ()):
                found.append(Part(number=len(found), size=raw["Size"], crc32c=from_base64(raw.get("ChecksumCRC32C"))))
            if plain_etag(answer.get("ETag")) != pin.version or not all(part.crc32c for part in found):
                return ()
            if not page.get("IsTruncated"):
                return found
            wanted["PartNumberMarker"] = page["NextPartNumberMarker"]

    def versions(self, fs: Any, path: str) -> Iterator[ObjectInfo]:
        """Where the bucket has versioning, or had."""
        return s3_versions(fs, path, self.repeat)

    def current_version(self, fs: Any, path: str) -> ObjectInfo | None:
        """Where the bucket has versioning."""
        return s3_current(fs, path)

    def delete_version(self, fs: Any, path: str, version_id: str) -> None:
        """S3 says nothing of one that is not there."""
        s3_delete_version(fs, path, version_id)

    def make_root(self, fs: Any, path: str) -> None:
        """In the region of the client, which must not be named when it is the first of all."""
        region = fs.s3.meta.region_name
        where = {} if region in _NAMELESS_REGIONS else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        try:
            fs.call_s3("create_bucket", Bucket=_bucket(fs, path), **where)
        except OSError as exc:
            if _code(exc) != "BucketAlreadyOwnedByYou":
                raise

    def uploads(self, fs: Any, path: str) -> Iterator[tuple[str, str, datetime | None]]:
        """All pages; of names that only begin alike, too."""
        bucket, key, _ = fs.split_path(path)
        more: dict[str, str] = {}
        while True:
            ask = partial(fs.call_s3, "list_multipart_uploads", Bucket=bucket, **({"Prefix": key} if key else {}), **more)
            page = self.repeat(ask)
            for raw in page.get("Uploads", ()):
                yield f"{bucket}/{raw['Key']}", raw["UploadId"], raw.get("Initiated")
            if not page.get("IsTruncated"):
                return
            markers = {"KeyMarker": page.get("NextKeyMarker"), "UploadIdMarker": page.get("NextUploadIdMarker")}
            more = {name: value for name, value in markers.items() if value}

    def discard_upload(self, fs: Any, path: str, token: str) -> None:
        """Abort it."""
        bucket, key, _ = fs.split_path(path)
        try:
            fs.call_s3("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=token.partition(" ")[0])
        except OSError as exc:
            if _code(exc) != "NoSuchUpload":
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


def _code(exc: BaseException) -> str:
    """What S3 calls an error of the driver."""
    answer = getattr(exc.__cause__ or exc, "response", None) or {}
    return str(answer.get("Error", {}).get("Code", ""))


def _bucket(fs: Any, path: str) -> str:
    return str(fs.split_path(path)[0])


async def _get(fs: Any, wanted: Mapping[str, Any]) -> bytes:
    answer = await fs._call_s3("get_object", **wanted)
    try:
        return exactly(await answer["Body"].read(), answer["ContentLength"])
    finally:
        answer["Body"].close()
