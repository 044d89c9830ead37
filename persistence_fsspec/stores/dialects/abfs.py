"""Azure Blob Storage, by single calls of the client that adlfs is built on.

adlfs takes every path for a URL and so loses characters of it (``?`` and ``#``
at the end, line breaks, all of ``?versionid=...``). Its client takes the names
of container and blob as they are.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import IO, Any, Final

from fsspec.asyn import sync

from persistence_fsspec.errors import (
    IsAFolderError,
    NotAFolderError,
    ObjectExistsError,
    StoreError,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.store import Digest, ObjectInfo, Part
from persistence_fsspec.stores.dialects.abfs_upload import (
    BLOCKS_MAX,
    AbfsUpload,
    Blocks,
    client_of,
    conditional,
    limits,
    split,
    type_of,
)
from persistence_fsspec.stores.dialects.aio import send_once
from persistence_fsspec.stores.dialects.base import ObjectDialect, exactly, plain_etag
from persistence_fsspec.stores.dialects.old_versions import azure_versions
from persistence_fsspec.stores.dialects.parts import callers_own, kept_digest, parts_kept

_DECOMPRESS_SINCE: Final = (12, 24)


class AbfsDialect(ObjectDialect):
    """Quirks abfs-*."""

    pins_reads = True

    # --- opening ---

    def patience(self, options: dict[str, Any], *, stall_seconds: float) -> dict[str, Any]:
        """Time limits; `limits` passes them on, and switches the retries off call by call."""
        return {"connection_timeout": stall_seconds, "read_timeout": stall_seconds, **options}

    def restrain(self, fs: Any, *, stall_seconds: float, given: bool) -> None:  # noqa: ARG002
        """The client's session is opened now, without any traffic, to be told not to send twice."""
        if not given:
            sync(fs.loop, _open_session, fs)

    # --- looking ---

    def info(self, fs: Any, path: str) -> ObjectInfo:
        """HEAD; where there is no blob, one name below it proves a folder."""
        container, blob = split(path)
        found = sync(fs.loop, _properties, fs, container, blob) if blob else None
        if found is not None:
            return _describe(container, found)
        # Without a blob's name: a container that is missing cannot be listed, an empty one can.
        if not sync(fs.loop, _holds_something, fs, container, f"{blob}/" if blob else "") and blob:
            raise FileNotFoundError(path)
        return ObjectInfo(key=path, kind="folder")

    def children(self, fs: Any, path: str) -> Iterator[ObjectInfo]:
        """Pages of one level."""
        container, blob = split(path)
        empty = True
        folders: set[str] = set()  # one may come twice: by the names below it, and by a blob that marks it
        for page in _pages(fs, container, blob, flat=False):
            for raw in page:
                empty = False
                found = _describe_entry(container, raw)
                if found is None or (found.is_folder and found.key in folders):
                    continue
                if found.is_folder:
                    folders.add(found.key)
                yield found
        if empty and blob and not self.info(fs, path).is_folder:
            raise NotAFolderError("is a file")

    def find(self, fs: Any, path: str) -> Iterator[ObjectInfo] | None:
        """Pages of everything below, one after the other."""
        container, blob = split(path)
        found = (_describe_entry(container, raw) for page in _pages(fs, container, blob, flat=True) for raw in page)
        return (entry for entry in found if entry is not None and not entry.is_folder)

    # --- reading ---

    def read(self, fs: Any, path: str, start: int | None, end: int | None, pin: ObjectInfo | None) -> bytes:
        """On condition of the ETag."""
        if end is not None and end <= (start or 0):
            return b""
        data: bytes = sync(fs.loop, _download, fs, *split(path), start or 0, end, pin)
        return data

    def versions(self, fs: Any, path: str) -> Iterator[ObjectInfo]:
        """Where the account has versioning."""
        container, blob = split(path)
        client = fs.service_client.get_container_client(container)
        for raw in sync(fs.loop, azure_versions, client, blob, limits(fs)):
            yield replace(_describe(container, raw), version_id=raw.version_id)

    def current_version(self, fs: Any, path: str) -> ObjectInfo | None:
        """Where the account has versioning."""
        container, blob = split(path)
        found = sync(fs.loop, _properties, fs, container, blob) if blob else None
        if found is None or not found.version_id or _marks_folder(found.metadata):
            return None
        return replace(_describe(container, found), version_id=found.version_id)

    def delete_version(self, fs: Any, path: str, version_id: str) -> None:
        """The service refuses it for the one that is there now."""
        container, blob = split(path)
        found = sync(fs.loop, _properties, fs, container, blob)
        if found is None or found.version_id != version_id:
            sync(fs.loop, _delete, fs, container, blob, version_id)

    def make_root(self, fs: Any, path: str) -> None:
        """A container."""
        sync(fs.loop, _make_container, fs, split(path)[0])

    # --- writing ---

    def sink(self, fs: Any, path: str, *, size: int | None, metadata: Mapping[str, str] | None) -> Blocks:
        """Blocks; only closing lists them, so an abandoned upload is never seen."""
        # A tenth is spare: the size is what the caller expects, not what comes.
        part = max(self.object_part_size, -(-(size or 0) // (BLOCKS_MAX * 9 // 10)))
        return Blocks(fs, path, part, metadata, repeat=self.repeat)

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
        """One upload; what is too large for one goes by blocks, of which the last call is on condition."""
        if isinstance(body, bytes):
            condition = conditional(create=create, if_match=if_match)
            answer = sync(fs.loop, _upload, fs, *split(path), body, condition, dict(metadata or {}))
            return _as_told(path, len(body), answer)
        blocks = Blocks(fs, path, self.object_part_size, metadata, create=create, if_match=if_match, repeat=self.repeat)
        while data := body.read(self.object_part_size):
            blocks.write(data)
        blocks.close()
        return None

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
    ) -> AbfsUpload:
        """Blocks of one size, which wait for their list for a week."""
        found = AbfsUpload(path, size=size, part_size=part_size, token=token, create=create, metadata=metadata)
        if token:
            found.require_begun(fs)
        return found

    def part_digests(self, fs: Any, path: str, pin: ObjectInfo) -> Sequence[Part]:
        """What our own upload kept with the blob."""
        found = sync(fs.loop, _properties, fs, *split(path))
        if found is None or plain_etag(found.etag) != pin.version:
            return ()
        return parts_kept(found.metadata, pin.size)

    def copy(self, fs: Any, source: str, target: str) -> None:
        """Inside the service."""
        sync(fs.loop, _copy, fs, split(source), split(target))

    def delete(self, fs: Any, path: str) -> None:
        """One blob."""
        sync(fs.loop, _delete, fs, *split(path))

    def delete_markers(self, fs: Any, path: str) -> None:
        """Blobs in the place of folders, those below first: a hierarchical account deletes no folder that holds one."""
        container, blob = split(path)
        marks = {raw.name for page in _pages(fs, container, blob, flat=True) for raw in page if _marks_folder(raw.metadata)}
        itself = sync(fs.loop, _properties, fs, container, blob) if blob else None
        if itself is not None and _marks_folder(itself.metadata):
            marks.add(blob)
        for name in sorted(marks, reverse=True):
            sync(fs.loop, _delete, fs, container, name)

    def sign(self, fs: Any, path: str, seconds: int) -> str:
        """By the account's key; other credentials cannot vouch for somebody else."""
        from azure.storage.blob import BlobSasPermissions, generate_blob_sas  # noqa: PLC0415 - loaded with the driver

        container, blob = split(path)
        account = fs.service_client.credential
        if not hasattr(account, "account_key"):
            raise UnsupportedPersistenceOp("signing a URL needs the account's key, and there is none here")
        token = generate_blob_sas(
            account_name=account.account_name,
            account_key=account.account_key,
            container_name=container,
            blob_name=blob,
            permission=BlobSasPermissions(read=True),
            expiry=datetime.now(tz=timezone.utc) + timedelta(seconds=seconds),
        )
        return f"{client_of(fs, container, blob).url}?{token}"


async def _open_session(fs: Any) -> None:
    with contextlib.suppress(AttributeError):  # another release may keep it elsewhere
        transport = fs.service_client._pipeline._transport
        await transport.open()
        send_once(transport.session)


# --- listings ---


def _pages(fs: Any, container: str, blob: str, *, flat: bool) -> Iterator[list[Any]]:
    client = fs.service_client.get_container_client(container)
    listing = client.list_blobs if flat else client.walk_blobs
    # The metadata tell the folders of hierarchical accounts from files.
    pages = listing(name_starts_with=f"{blob}/" if blob else None, include=["metadata"], **limits(fs)).by_page()
    while (page := sync(fs.loop, _next_page, pages)) is not None:
        yield page


async def _next_page(pages: Any) -> list[Any] | None:
    try:
        page = await pages.__anext__()
    except StopAsyncIteration:
        return None
    return [raw async for raw in page]


async def _holds_something(fs: Any, container: str, prefix: str) -> bool:
    client = fs.service_client.get_container_client(container)
    async for _ in client.list_blobs(name_starts_with=prefix or None, results_per_page=1, **limits(fs)):
        return True
    return False


def _describe_entry(container: str, raw: Any) -> ObjectInfo | None:
    from azure.storage.blob.aio import BlobPrefix  # noqa: PLC0415 - loaded with the driver

    if isinstance(raw, BlobPrefix):
        return ObjectInfo(key=f"{container}/{raw.name[:-1]}", kind="folder")
    # A name that ends in a slash marks a folder, for other tools.
    return None if raw.name.endswith("/") else _describe(container, raw)


def _describe(container: str, raw: Any) -> ObjectInfo:
    key, metadata = f"{container}/{raw.name}", dict(raw.metadata or {})
    if _marks_folder(metadata):
        return ObjectInfo(key=key, kind="folder", modified=raw.last_modified)
    return ObjectInfo(
        key=key,
        size=raw.size,
        modified=raw.last_modified,
        version=plain_etag(raw.etag),
        digest=_digest(raw),
        # adlfs says of each of its files that it is one; that is not the caller's text.
        metadata={name: value for name, value in callers_own(metadata).items() if name != "is_directory"},
    )


def _marks_folder(metadata: Mapping[str, str] | None) -> bool:
    """An empty blob in the place of a folder: hierarchical accounts and Hadoop make them, and adlfs once did."""
    marks = {name.lower(): value for name, value in (metadata or {}).items()}
    return "true" in {marks.get("hdi_isfolder"), marks.get("is_directory")}


def _digest(raw: Any) -> Digest | None:
    """Content-MD5: a bytearray, and missing for blobs written in blocks; of our own, these have a CRC32C in their metadata."""
    value = raw.content_settings.content_md5 if raw.content_settings else None
    crc = kept_digest(raw.metadata, raw.size)
    return ("md5", bytes(value).hex()) if value else ("crc32c", crc) if crc else None


def _as_told(path: str, size: int, answer: Mapping[str, Any]) -> ObjectInfo | None:
    """What the answer to an upload says of the blob."""
    etag, md5 = plain_etag(answer.get("etag")), answer.get("content_md5")
    if etag is None:
        return None
    digest = ("md5", bytes(md5).hex()) if md5 else None
    return ObjectInfo(key=path, size=size, modified=answer.get("last_modified"), version=etag, digest=digest)


# --- one request each, inside the driver's loop ---


async def _properties(fs: Any, container: str, blob: str) -> Any:
    from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415 - loaded with the driver

    try:
        return await client_of(fs, container, blob).get_blob_properties(**limits(fs))
    except ResourceNotFoundError:
        return None


async def _download(fs: Any, container: str, blob: str, start: int, end: int | None, pin: ObjectInfo | None) -> bytes:
    from azure.core import MatchConditions  # noqa: PLC0415 - loaded with the driver

    wanted: dict[str, Any] = {**_as_stored(), **limits(fs)}
    if pin is not None and pin.version:
        wanted.update(etag=f'"{pin.version}"', match_condition=MatchConditions.IfNotModified)
    if pin is not None and pin.version_id:
        wanted["version_id"] = pin.version_id
    # No range from the beginning to the end: an empty blob has none (416).
    if start or end is not None:
        wanted.update(offset=start, length=None if end is None else end - start)
    answer = await client_of(fs, container, blob).download_blob(max_concurrency=fs.max_concurrency or 1, **wanted)
    if _marks_folder(answer.properties.metadata):
        raise IsAFolderError("is a folder")
    data = exactly(await answer.readall(), answer.size)
    if len(data) > answer.size:
        raise UnsupportedPersistenceOp(
            "this azure-storage-blob unpacks blobs that have a Content-Encoding, so their bytes cannot be had",
            hint=f"azure-storage-blob {'.'.join(map(str, _DECOMPRESS_SINCE))} and later can be told not to.",
        )
    return data


def _as_stored() -> dict[str, bool]:
    """Ask for the bytes as they are, where the client understands it; it would unpack what says ``gzip``."""
    from azure.storage.blob import __version__  # noqa: PLC0415 - loaded with the driver

    release = tuple(int(part) for part in __version__.split(".")[:2])
    return {"decompress": False} if release >= _DECOMPRESS_SINCE else {}


async def _upload(
    fs: Any, container: str, blob: str, data: bytes, condition: Mapping[str, Any], metadata: dict[str, str]
) -> Mapping[str, Any]:
    from azure.core.exceptions import ResourceExistsError, ResourceModifiedError  # noqa: PLC0415 - loaded with the driver

    more = {"metadata": metadata or None, **condition, **type_of(blob), **limits(fs)}
    try:
        answer: Mapping[str, Any] = await client_of(fs, container, blob).upload_blob(
            data, length=len(data), overwrite=True, **more
        )
    except (ResourceExistsError, ResourceModifiedError) as exc:
        if condition and "etag" not in condition:
            raise ObjectExistsError("exists already, and overwrite=False") from exc
        raise
    return answer


async def _copy(fs: Any, source: tuple[str, str], target: tuple[str, str]) -> None:
    new = client_of(fs, *target)
    answer = await new.start_copy_from_url(client_of(fs, *source).url, **limits(fs))
    status, pause = answer.get("copy_status"), 0.05
    while status == "pending":  # large blobs, and other accounts
        await asyncio.sleep(pause)
        pause = min(pause * 2, 2.0)
        status = (await new.get_blob_properties(**limits(fs))).copy.status
    if status != "success":
        raise StoreError(f"the copy ended as {status!r}")


async def _delete(fs: Any, container: str, blob: str, version_id: str | None = None) -> None:
    which = {} if version_id is None else {"version_id": version_id}
    await client_of(fs, container, blob).delete_blob(**which, **limits(fs))


async def _make_container(fs: Any, container: str) -> None:
    from azure.core.exceptions import ResourceExistsError  # noqa: PLC0415 - loaded with the driver

    with contextlib.suppress(ResourceExistsError):
        await fs.service_client.create_container(container, **limits(fs))
