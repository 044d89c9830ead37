"""A blob that arrives in blocks: of one size, which many may send, and of a stream of unknown length.

Only the last request lists them; until then nothing is seen of the blob. Blocks that are never listed disappear
after a week; nothing lists or removes them before.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fsspec.asyn import sync

from persistence_fsspec.crc32c import combined, crc32c
from persistence_fsspec.errors import ConflictError, InvalidNameError, ObjectExistsError, ObjectNotFoundError
from persistence_fsspec.store import ObjectInfo, Part
from persistence_fsspec.stores.dialects.base import Repeat, content_type, plain_etag
from persistence_fsspec.stores.dialects.parts import kept_parts, parsed_token, token_of, whole_ones
from persistence_fsspec.stores.partial import fresh_token
from persistence_fsspec.stores.uploading import Layout

BLOCKS_MAX: Final = 50_000
"""Of one blob."""

_ID: Final = 16
"""Digits that tell one upload from another, at the beginning of the names of its blocks."""


class AbfsUpload:
    """See `Arriving`. The names of blocks say all that is to be known of them: upload, number and CRC32C.

    All blocks of a blob need names of one length, also those of somebody else's upload: 32 digits are what we use.

    Args:
        path: Of the blob.
        size: Of the blob, in bytes.
        part_size: Of each part but the last.
        token: Of one that was begun; empty to begin.
        create: Refuse an existing blob.
        metadata: Text to keep with it.
    """

    def __init__(
        self, path: str, *, size: int, part_size: int, token: str, create: bool, metadata: Mapping[str, str] | None
    ) -> None:
        self._path, self._where, self._size = path, split(path), size
        self._create, self._metadata = create, dict(metadata or {})
        self._id, self.part_size = (fresh_token(), part_size) if not token else parsed_token(token)[:2]
        self.token = token_of(self._id, self.part_size)

    def require_begun(self, fs: Any) -> None:
        """Without a single block there is nothing to take up."""
        if not self._waiting(fs):
            raise ObjectNotFoundError("there is no such upload any more")

    def parts(self, fs: Any) -> list[Part]:
        """The blocks that wait; none of those that were sent twice with other bytes."""
        found: dict[int, list[Part]] = {}
        for part in self._waiting(fs):
            found.setdefault(part.number, []).append(part)
        return [parts[0] for _, parts in sorted(found.items()) if len(parts) == 1]

    def _waiting(self, fs: Any) -> list[Part]:
        blocks = sync(fs.loop, _uncommitted, fs, *self._where)
        parts = [_as_part(name, size) for name, size in blocks if name.startswith(self._id) and len(name) == 2 * _ID]
        return whole_ones(parts, Layout(self._size, self.part_size))

    def send(self, fs: Any, number: int, data: bytes, crc32c: str) -> Part:
        """One block; the service compares its MD5. An empty one is not needed, and not allowed."""
        part = _as_part(f"{self._id}{number:08d}{crc32c}", len(data))
        if data:
            _stage(fs, self._where, part.receipt, data)
        return part

    def read_back(self, fs: Any, part: Part) -> None:  # noqa: ARG002 - blocks cannot be read before they are listed
        return

    def commit(self, fs: Any, parts: Sequence[Part], crc32c: str) -> ObjectInfo | None:
        """List all blocks, and keep their digests. For the second time that gives the same blob."""
        metadata = {**self._metadata, **kept_parts(parts, self.part_size, crc32c)}
        ids = [part.receipt for part in parts if part.size]
        answer = commit_blocks(fs, self._where, ids, create=self._create, metadata=metadata)
        etag = plain_etag((answer or {}).get("etag"))
        if answer is None or etag is None:
            return None
        digest = ("crc32c", crc32c)
        return ObjectInfo(key=self._path, size=self._size, modified=answer.get("last_modified"), version=etag, digest=digest)

    def abort(self, fs: Any) -> None:
        """The service forgets them in time."""


def _as_part(name: str, size: int) -> Part:
    number = name[_ID:-8]
    return Part(number=int(number) if number.isdecimal() else -1, size=size, crc32c=name[-8:], receipt=name)


class Blocks:
    """A stream of unknown length, in blocks with names of its own, so that two writers of one blob never mix.

    adlfs' own file is not used: it commits what it holds when it is garbage collected.
    """

    def __init__(
        self,
        fs: Any,
        path: str,
        part: int,
        metadata: Mapping[str, str] | None,
        *,
        repeat: Repeat,
        create: bool = False,
        if_match: str | None = None,
    ) -> None:
        self._fs, self._where, self._part, self._repeat = fs, split(path), part, repeat
        self._metadata, self._create, self._if_match = dict(metadata or {}), create, if_match
        self._buffer = bytearray()
        self._parts: list[Part] = []

    def write(self, data: bytes) -> None:
        """Collect, and send whole blocks."""
        self._buffer += data
        while len(self._buffer) >= self._part:
            self._send(self._part)

    def close(self) -> None:
        """Send the rest, and make the blob of all blocks."""
        if self._buffer:
            self._send(len(self._buffer))
        whole = combined((part.size, part.crc32c) for part in self._parts)
        metadata = {**self._metadata, **kept_parts(self._parts, self._part, whole)}
        ids = [part.receipt for part in self._parts]
        conditions: dict[str, Any] = {"create": self._create, "if_match": self._if_match}
        self._repeat(lambda: commit_blocks(self._fs, self._where, ids, metadata=metadata, **conditions))

    def abort(self) -> None:
        """Forget the blocks."""
        self._buffer, self._parts = bytearray(), []

    def _send(self, size: int) -> None:
        name, data = secrets.token_hex(_ID), bytes(memoryview(self._buffer)[:size])
        self._repeat(lambda: _stage(self._fs, self._where, name, data))
        self._parts.append(Part(number=len(self._parts), size=size, crc32c=crc32c(data), receipt=name))
        del self._buffer[:size]
        # A blob has 50,000 blocks at most; growing ones make room for 5 TB of unknown length.
        if len(self._parts) % (BLOCKS_MAX // 5) == 0:
            self._part *= 2


# --- names, and the client ---


def split(path: str) -> tuple[str, str]:
    """The container, and the name of the blob, which keeps every character."""
    container, _, blob = path.lstrip("/").partition("/")
    if not container:
        raise InvalidNameError("the URL names no container: abfs://container/name")
    return container, blob


def client_of(fs: Any, container: str, blob: str) -> Any:
    """The client of one blob."""
    return fs.service_client.get_blob_client(container, blob)


def type_of(blob: str) -> dict[str, Any]:
    """For the client, what the name of a blob says of its content."""
    from azure.storage.blob import ContentSettings  # noqa: PLC0415 - loaded with the driver

    kind = content_type(blob)
    return {"content_settings": ContentSettings(content_type=kind)} if kind else {}


def conditional(*, create: bool, if_match: str | None) -> dict[str, Any]:
    """For the client: write only where there is nothing, or over this version alone; empty without a condition."""
    from azure.core import MatchConditions  # noqa: PLC0415 - loaded with the driver

    if create:
        return {"match_condition": MatchConditions.IfMissing}
    return {"etag": f'"{if_match}"', "match_condition": MatchConditions.IfNotModified} if if_match else {}


def limits(fs: Any) -> dict[str, Any]:
    """The time limits the driver was given; and no retries, which multiply with those of our own."""
    return {"retry_total": 0, **getattr(fs, "_timeout_kwargs", {})}


# --- one request each ---


def _stage(fs: Any, where: tuple[str, str], block: str, data: bytes) -> None:
    # Here, and not by the client in the event loop, which all transfers share.
    md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    sync(fs.loop, _stage_block, fs, *where, block, data, md5)


async def _stage_block(fs: Any, container: str, blob: str, block: str, data: bytes, md5: str) -> None:
    headers = {"Content-MD5": md5}
    await client_of(fs, container, blob).stage_block(block, data, length=len(data), headers=headers, **limits(fs))


def commit_blocks(
    fs: Any, where: tuple[str, str], ids: list[str], *, create: bool, metadata: dict[str, str], if_match: str | None = None
) -> Mapping[str, Any] | None:
    """Make the blob of its blocks.

    Returns:
        What the service says; None where it was made before, and nobody heard of it.

    Raises:
        ObjectExistsError: *create*, and there is another.
        ConflictError: What stands there is not the version *if_match*, or somebody else writes at the same time.
    """
    condition = conditional(create=create, if_match=if_match)
    try:
        answer: Mapping[str, Any] = sync(fs.loop, _commit, fs, *where, ids, condition, metadata)
    except (ObjectExistsError, ConflictError):
        # The answer to an earlier try may have been lost; nobody else has blocks of these names.
        if not ids or sync(fs.loop, _committed, fs, *where) != ids:
            raise
        return None
    return answer


async def _commit(
    fs: Any, container: str, blob: str, ids: list[str], condition: Mapping[str, Any], metadata: dict[str, str]
) -> Any:
    from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceModifiedError  # noqa: PLC0415
    from azure.storage.blob import BlobBlock  # noqa: PLC0415

    create = bool(condition) and "etag" not in condition
    blocks = [BlobBlock(block_id=name) for name in ids]
    try:
        return await client_of(fs, container, blob).commit_block_list(
            blocks, metadata=metadata or None, **type_of(blob), **condition, **limits(fs)
        )
    except HttpResponseError as exc:
        # Whoever commits first throws away the waiting blocks of all others.
        lost = exc.error_code == "InvalidBlockList"
        if create and (isinstance(exc, (ResourceExistsError, ResourceModifiedError)) or lost):
            raise ObjectExistsError("exists already, and overwrite=False") from exc
        if lost:
            raise ConflictError("somebody else wrote this blob at the same time; theirs is what is stored") from exc
        if isinstance(exc, ResourceModifiedError):
            raise ConflictError("what stands there is not the version that was to be replaced") from exc
        raise


async def _committed(fs: Any, container: str, blob: str) -> list[str]:
    """The names of the blocks that a blob was made of."""
    blocks, _ = await client_of(fs, container, blob).get_block_list("committed", **limits(fs))
    return [block.id for block in blocks]


async def _uncommitted(fs: Any, container: str, blob: str) -> list[tuple[str, int]]:
    """The names and sizes of the blocks that wait."""
    from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415 - loaded with the driver

    try:
        _, blocks = await client_of(fs, container, blob).get_block_list("uncommitted", **limits(fs))
    except ResourceNotFoundError:
        return []
    return [(block.id, block.size) for block in blocks]
