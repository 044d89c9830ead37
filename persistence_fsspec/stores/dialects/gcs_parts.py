"""An object of Google Cloud Storage that arrives in parts: each an object by itself, which the service then composes.

They lie beside the object to be, under reserved names that carry the upload's token, and are deleted when it is there.
https://cloud.google.com/storage/docs/composing-objects
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from fsspec.asyn import sync

from persistence_fsspec.crc32c import combined
from persistence_fsspec.errors import ConflictError, ObjectNotFoundError, StoreError
from persistence_fsspec.store import ObjectInfo, Part
from persistence_fsspec.stores.dialects.base import content_type
from persistence_fsspec.stores.dialects.parts import from_base64, kept_parts, parsed_token, require_same, token_of, whole_ones
from persistence_fsspec.stores.partial import fresh_token, part_key
from persistence_fsspec.stores.uploading import Layout

_SOURCES_MAX: Final = 32
"""Of one compose request."""

_STAGES: Final = 50_000
"""Numbers from here on name what was composed of parts on the way to the object."""

_DELETIONS: Final = 16
"""At once."""


class GcsUpload:
    """See `Arriving`. The part's receipt is its generation, so that no other bytes are composed than those that were checked.

    Args:
        path: Of the object.
        where: Bucket and name of the object.
        size: Of the object, in bytes.
        part_size: Of each part but the last.
        token: Of one that was begun; empty to begin.
        metadata: Text to keep with the object.
    """

    def __init__(
        self, path: str, where: tuple[str, str], *, size: int, part_size: int, token: str, metadata: Mapping[str, str] | None
    ) -> None:
        self._path, (self._bucket, self._name), self._size = path, where, size
        self._metadata = dict(metadata or {})
        self._id, self.part_size = (fresh_token(), part_size) if not token else parsed_token(token)[:2]
        self.token = token_of(self._id, self.part_size)

    def require_begun(self, fs: Any) -> None:
        """Without a single part there is nothing to take up."""
        if not any(True for _ in self._listed(fs)):
            raise ObjectNotFoundError("there is no such upload any more")

    def parts(self, fs: Any) -> list[Part]:
        """By listing them."""
        found = [_as_part(_number(raw["name"]), raw) for raw in self._listed(fs)]
        return whole_ones(found, Layout(self._size, self.part_size))

    def _listed(self, fs: Any) -> Iterator[Mapping[str, Any]]:
        prefix = self._piece(0)[: -len("00000.piece")]
        more: dict[str, str] = {}
        while True:
            page = fs.call("GET", "b/{}/o", self._bucket, prefix=prefix, json_out=True, **more)
            yield from page.get("items", ())
            if not page.get("nextPageToken"):
                return
            more = {"pageToken": page["nextPageToken"]}

    def _piece(self, number: int) -> str:
        return part_key(self._name, self._id, number)

    def send(self, fs: Any, number: int, data: bytes, crc32c: str) -> Part:
        """One object, whose checksum is in the answer."""
        answer = fs.call(
            "POST",
            f"{fs._location}/upload/storage/v1/b/{self._bucket}/o",
            uploadType="media",
            name=self._piece(number),
            headers={"Content-Type": "application/octet-stream"},
            data=data,
            json_out=True,
        )
        part = _as_part(number, answer)
        require_same(part.crc32c, crc32c)
        return part

    def read_back(self, fs: Any, part: Part) -> bytes | None:
        """A part is an object like any other."""
        data: bytes = fs.cat_file(f"{self._bucket}/{self._piece(part.number)}", generation=part.receipt or None)
        return data

    def commit(self, fs: Any, parts: Sequence[Part], crc32c: str) -> ObjectInfo | None:
        """Compose all of them, as many at a time as the service takes; then delete them."""
        stage = [(self._piece(part.number), part) for part in parts]
        made = 0
        while len(stage) > _SOURCES_MAX:
            groups = [stage[begin : begin + _SOURCES_MAX] for begin in range(0, len(stage), _SOURCES_MAX)]
            stage = []
            for group in groups:
                name = self._piece(_STAGES + made)
                made += 1
                stage.append((name, self._composed(fs, group, name, {})))
        digests = kept_parts(parts, self.part_size, crc32c)
        whole = self._composed(fs, stage, self._name, {**self._metadata, **digests})
        require_same(whole.crc32c, crc32c)
        names = [self._piece(part.number) for part in parts] + [self._piece(_STAGES + number) for number in range(made)]
        sync(fs.loop, _delete, fs, self._bucket, names)
        if not whole.receipt:
            return None
        digest = ("crc32c", crc32c) if whole.crc32c else None
        return ObjectInfo(key=self._path, size=whole.size, version=whole.receipt, digest=digest)

    def _composed(self, fs: Any, sources: Sequence[tuple[str, Part]], name: str, metadata: Mapping[str, str]) -> Part:
        listed = [{"name": source, **({"generation": part.receipt} if part.receipt else {})} for source, part in sources]
        target = {
            "contentType": content_type(name) or "application/octet-stream",
            **({"metadata": dict(metadata)} if metadata else {}),
        }
        body = {"sourceObjects": listed, "destination": target}
        try:
            answer = fs.call("POST", "b/{}/o/{}/compose", self._bucket, name, json=body, json_out=True)
        except FileNotFoundError as exc:
            raise ConflictError("a part of the object is gone, or was replaced, since it was sent") from exc
        made = _as_part(sources[0][1].number, answer)
        size = sum(part.size for _, part in sources)
        if made.size != size:
            raise StoreError(f"composing gave {made.size} bytes instead of {size}")
        if all(part.crc32c for _, part in sources):
            require_same(made.crc32c, combined((part.size, part.crc32c) for _, part in sources))
        return made

    def abort(self, fs: Any) -> None:
        """Delete what has arrived."""
        sync(fs.loop, _delete, fs, self._bucket, [raw["name"] for raw in self._listed(fs)])


def _number(name: str) -> int:
    """Of a piece, from its name."""
    number = name[-len("00000.piece") : -len(".piece")]
    return int(number) if number.isdecimal() else _STAGES


def _as_part(number: int, raw: Mapping[str, Any]) -> Part:
    return Part(
        number=number,
        size=int(raw.get("size", 0)),
        crc32c=from_base64(raw.get("crc32c")),
        receipt=str(raw.get("generation") or ""),
    )


async def _delete(fs: Any, bucket: str, names: Sequence[str]) -> None:
    """As far as possible: what stays is hidden, and found again as a leftover."""
    free = asyncio.Semaphore(_DELETIONS)

    async def one(name: str) -> None:
        async with free:
            await fs._call("DELETE", "b/{}/o/{}", bucket, name)

    await asyncio.gather(*(one(name) for name in names), return_exceptions=True)
