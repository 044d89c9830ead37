"""S3 through s3fs, by single calls of its client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import IO, Any

from fsspec.asyn import sync

from persistence_fsspec.errors import (
    ConflictError,
    NotAFolderError,
    ObjectExistsError,
)
from persistence_fsspec.foreign import classify
from persistence_fsspec.store import Digest, ObjectInfo
from persistence_fsspec.stores.dialects.base import FileSink, ObjectDialect, exactly, md5_of_etag, plain_etag

_MIB = 1024 * 1024


class S3Dialect(ObjectDialect):
    """Quirks s3-*."""

    pins_reads = True

    def info(self, fs: Any, path: str) -> ObjectInfo:
        """HEAD; where there is no object, one key below it proves a folder."""
        bucket, key, _ = fs.split_path(path)
        if not key:
            return ObjectInfo(key=fs.info(path)["name"], kind="folder")
        try:
            head = fs.call_s3("head_object", Bucket=bucket, Key=key)
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
            page = fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, Delimiter=delimiter, **more)
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

    def sink(self, fs: Any, path: str, *, size: int | None, metadata: Mapping[str, str] | None) -> FileSink:
        """A multipart upload: 10,000 parts at most, so that parts grow with what is to come."""
        part = max(self.object_part_size, -(-(size or 0) // 9000))
        more = {"Metadata": dict(metadata)} if metadata else {}
        return _GrowingSink(fs.open(path, "wb", block_size=part, **more))

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


class _GrowingSink(FileSink):
    """Doubles its parts now and then, so that a stream of unknown length never meets the limit of 10,000."""

    def write(self, data: bytes) -> None:
        """Write, with an eye on the number of parts."""
        super().write(data)
        file: Any = self._file
        parts = len(file.parts or ())
        if parts >= 1000 and file.blocksize < 16 * _MIB * 2 ** (parts // 1000):
            file.blocksize *= 2


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
