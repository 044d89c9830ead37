"""What object stores themselves keep of an object that was replaced, where a bucket was told to: versions, generations.

A version counts as kept when a later write leaves it alone. That is proven by an id of its own on S3 (``null`` is the one
that a bucket without versioning, or whose versioning is suspended, writes over), by standing behind another generation on Google's
store, by the answer of the service on Azure. Where it cannot be proven, because a right is missing, it does not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from persistence_fsspec.errors import PermissionDeniedError
from persistence_fsspec.foreign import classify
from persistence_fsspec.store import ObjectInfo
from persistence_fsspec.stores.dialects.base import Dialect, Repeat, plain_etag

_NULL: Final = "null"
"""What S3 calls the version that is written over."""


# --- S3 ---


def s3_current(fs: Any, path: str) -> ObjectInfo | None:
    """The version that is there, if its id is its own."""
    bucket, key, _ = fs.split_path(path)
    try:
        head = fs.call_s3("head_object", Bucket=bucket, Key=key)
    except FileNotFoundError:
        return None  # perhaps a folder: whoever asks for more finds out
    if head.get("VersionId") in (None, _NULL):
        return None
    return ObjectInfo(
        key=path,
        size=head["ContentLength"],
        modified=head.get("LastModified"),
        version=plain_etag(head.get("ETag")),
        version_id=head["VersionId"],
    )


def s3_versions(fs: Any, path: str, repeat: Repeat) -> Iterator[ObjectInfo]:
    """All pages of one key, which comes before the keys that it is the beginning of."""
    bucket, key, _ = fs.split_path(path)
    more: dict[str, str] = {}
    while True:
        try:
            # Called at once.
            page = repeat(lambda: fs.call_s3("list_object_versions", Bucket=bucket, Prefix=key, **more))  # noqa: B023
        except OSError as exc:
            if _may_not_ask(exc) and s3_current(fs, path) is None:
                return  # none to list; or none that anybody without that right could read
            raise
        entries = page.get("Versions", ())
        for raw in entries:
            if raw["Key"] == key and not (raw["VersionId"] == _NULL and raw["IsLatest"]):
                yield _s3_version(bucket, raw)
        if not page.get("IsTruncated") or any(raw["Key"] > key for raw in entries):
            return
        markers = {"KeyMarker": page.get("NextKeyMarker"), "VersionIdMarker": page.get("NextVersionIdMarker")}
        more = {name: value for name, value in markers.items() if value}


def s3_delete_version(fs: Any, path: str, version_id: str) -> None:
    """Delete one, unless it is the one that is there."""
    bucket, key, _ = fs.split_path(path)
    which = {"Bucket": bucket, "Key": key, "VersionId": version_id}
    current = s3_current(fs, path)
    if version_id == _NULL and current is None:
        raise FileNotFoundError(path)  # the version that is written over, which no snapshot is
    if current is None or current.version_id != version_id:
        fs.call_s3("head_object", **which)  # deleting says nothing of one that is not there
        fs.call_s3("delete_object", **which)


def _may_not_ask(exc: BaseException) -> bool:
    """Listing versions needs a right of its own; servers that have none may not know the question either."""
    answer = getattr(exc.__cause__ or exc, "response", None) or {}
    return answer.get("ResponseMetadata", {}).get("HTTPStatusCode") in {403, 405, 501}


def _s3_version(bucket: str, raw: Mapping[str, Any]) -> ObjectInfo:
    return ObjectInfo(
        key=f"{bucket}/{raw['Key']}",
        size=raw["Size"],
        modified=raw["LastModified"],
        version=plain_etag(raw.get("ETag")),
        version_id=raw["VersionId"],
    )


# --- Google ---


def gcs_current(dialect: Dialect, fs: Any, path: str) -> ObjectInfo | None:
    """The generation that is there, if the bucket keeps those that are replaced."""
    bucket, key, _ = fs.split_path(path)
    if not key or not _gcs_keeps(fs, bucket):
        return None
    found = dialect.info(fs, path)
    return None if found.is_folder else replace(found, version_id=found.version)


def gcs_versions(dialect: Dialect, fs: Any, path: str) -> Iterator[ObjectInfo]:
    """Generations; the one that is there, where the bucket keeps it."""
    bucket, key, _ = fs.split_path(path)
    keeps = _gcs_keeps(fs, bucket)
    found: list[Mapping[str, Any]] = []
    more: dict[str, str] = {}
    while True:
        page = fs.call("GET", "b/{}/o", bucket, json_out=True, prefix=key, versions="true", **more)
        entries = page.get("items", ())
        found += [raw for raw in entries if raw["name"] == key and (keeps or raw.get("timeDeleted"))]
        if not page.get("nextPageToken") or any(raw["name"] > key for raw in entries):
            break
        more = {"pageToken": page["nextPageToken"]}
    for raw in sorted(found, key=lambda raw: int(raw["generation"]), reverse=True):
        info = dialect.describe(fs._process_object(bucket, raw))
        yield replace(info, version_id=info.version)


def gcs_delete_version(fs: Any, path: str, generation: str) -> None:
    """Delete one, unless it is the one that is there."""
    bucket, key, _ = fs.split_path(path)
    try:
        current = fs.call("GET", "b/{}/o/{}", bucket, key, json_out=True, fields="generation").get("generation")
    except FileNotFoundError:
        current = None
    if current != generation:
        fs.call("DELETE", "b/{}/o/{}", bucket, key, generation=generation)


def _gcs_keeps(fs: Any, bucket: str) -> bool:
    """Whether the bucket has object versioning; no, where that may not be asked."""
    try:
        answer = fs.call("GET", "b/{}", bucket, json_out=True, fields="versioning")
    except Exception as exc:
        if classify(exc) is PermissionDeniedError:
            return False
        raise
    return bool((answer.get("versioning") or {}).get("enabled"))


# --- Azure ---


async def azure_versions(client: Any, blob: str, limits: Mapping[str, Any]) -> list[Any]:
    """What the service lists of one blob, newest first; its version ids are times.

    Args:
        client: Of the container.
        blob: The name of the blob.
        limits: Of each request.
    """
    found = []
    async for raw in client.list_blobs(name_starts_with=blob, include=["versions"], **limits):
        if raw.name > blob:
            break
        if raw.name == blob and raw.version_id:
            found.append(raw)
    return sorted(found, key=lambda raw: str(raw.version_id), reverse=True)
