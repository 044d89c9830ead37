"""What XT is told of blobs and containers: objects with the attributes that it reads, and no others than Azure's have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Final

from persistence_fsspec.store import ObjectInfo

_EPOCH: Final = datetime.fromtimestamp(0, tz=timezone.utc)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobProperties:
    """Size and time.

    Attributes:
        content_length: Bytes; 0 for a folder, and None when the store does not say.
        last_modified: With time zone, in UTC; the beginning of 1970 when the store does not say, because XT reckons with it.
        etag: Names this very content, where the store has such a name.
    """

    content_length: int | None = None
    last_modified: datetime = _EPOCH
    etag: str | None = None

    @property
    def modified_ns(self) -> int:
        """`last_modified` in nanoseconds since 1970; no finer than microseconds."""
        return (self.last_modified - _EPOCH) // timedelta(microseconds=1) * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """One blob, one snapshot of it, or one folder or container.

    Attributes:
        name: Below the container; that of a folder ends in ``/``.
        properties: Size and time.
        snapshot: Names a snapshot, to be handed back; None for the blob itself.
        metadata: Text that is kept with the blob; listings do not tell it.
    """

    name: str
    properties: BlobProperties = field(default_factory=BlobProperties)
    snapshot: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


def blob_of(name: str, info: ObjectInfo) -> Blob:
    """What a store says of an object, as XT wants to hear it.

    Args:
        name: As XT calls it.
        info: As the store calls it.
    """
    modified = _EPOCH if info.modified is None else info.modified.astimezone(timezone.utc)
    size = 0 if info.is_folder else info.size
    properties = BlobProperties(content_length=size, last_modified=modified, etag=info.version)
    return Blob(name=name, properties=properties, snapshot=info.version_id, metadata=dict(info.metadata))
