"""Objects that arrive in parts: what the object stores have in common."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from persistence_fsspec.crc32c import crc32c
from persistence_fsspec.errors import ChecksumMismatchError, ObjectNotFoundError
from persistence_fsspec.store import ObjectInfo, Part
from persistence_fsspec.stores.uploading import Layout

KEPT_PARTS: Final = "persistparts"
"""Metadata that tell the CRC32C of an object and of its parts, where the store itself does not. Nobody else gets to see it."""

KEPT_PART_SIZE: Final = "persistpartsize"
"""Metadata that tell what parts an object was made of: S3 takes none after the beginning, when no digest is known yet, but by
this its ETag, the MD5 of the MD5s of the parts, can be compared."""

_KEPT_MAX: Final = 4096
"""Bytes of metadata for it: the stores take 8 KiB of everything."""


class Arriving(Protocol):
    """One object arriving in parts at one driver; see `Upload`. Raises the driver's own errors."""

    token: str
    """See `Upload.token`; what the store calls it comes first."""

    part_size: int
    """Of each part but the last, in bytes."""

    def parts(self, fs: Any) -> list[Part]:
        """What has arrived whole."""

    def send(self, fs: Any, number: int, data: bytes, crc32c: str) -> Part:
        """One part, from any thread."""

    def read_back(self, fs: Any, part: Part) -> bytes | None:
        """One part that has arrived; None where the store does not show it."""

    def commit(self, fs: Any, parts: Sequence[Part], crc32c: str) -> ObjectInfo | None:
        """Make the object, also for the second time; what the answer says of it, None when that is too little."""

    def abort(self, fs: Any) -> None:
        """Forget what has arrived."""


# --- tokens ---


def token_of(name: str, part_size: int, *more: str) -> str:
    """Everything needed to take an upload up, as one text.

    Args:
        name: What the store calls it; no blanks.
        part_size: In bytes.
        more: No blanks.
    """
    return " ".join((name, str(part_size), *more))


def parsed_token(token: str) -> tuple[str, int, list[str]]:
    """The arguments of `token_of`.

    Raises:
        ObjectNotFoundError: It was not made by it.
    """
    name, *more = token.split(" ")
    if not name or not more or not more[0].isdecimal() or int(more[0]) < 1:
        raise ObjectNotFoundError("that is no token of an upload here")
    return name, int(more[0]), more[1:]


def whole_ones(parts: Iterable[Part], layout: Layout) -> list[Part]:
    """Those that are as long as parts of this object are."""
    return [part for part in parts if 0 <= part.number < layout.count and part.size == layout.length(part.number)]


# --- checksums ---


def as_base64(crc: str) -> str:
    """How stores write a CRC32C.

    Examples:
        >>> as_base64("e3069283")
        '4waSgw=='
    """
    return base64.b64encode(bytes.fromhex(crc)).decode()


def from_base64(value: Any) -> str:
    """Eight hexadecimal digits; empty for anything that is no CRC32C, such as that of a composite."""
    try:
        found = base64.b64decode(value or "", validate=True)
    except (binascii.Error, ValueError):
        return ""
    return found.hex() if len(found) == 4 else ""


def require_same(told: str, crc: str) -> None:
    """Compare what a store computed with what was sent, where it tells.

    Raises:
        ChecksumMismatchError: They differ.
    """
    if told and told != crc:
        raise ChecksumMismatchError(f"CRC32C is {told} at the store and {crc} here")


# --- what is kept with the object ---


def kept_parts(parts: Sequence[Part], part_size: int, crc: str) -> dict[str, str]:
    """Metadata that tell the digests of an object; of the whole only, when those of the parts are too long, or the parts not of one size.

    Args:
        parts: All of them, with their CRC32C.
        part_size: In bytes.
        crc: Of the whole.
    """
    head = f"{crc}.{sum(part.size for part in parts)}.{part_size}."
    listed = base64.urlsafe_b64encode(bytes.fromhex("".join(part.crc32c for part in parts))).decode()
    alike = len(whole_ones(parts, Layout(sum(part.size for part in parts), part_size))) == len(parts)
    known = alike and all(part.crc32c for part in parts) and len(head) + len(listed) <= _KEPT_MAX
    return {KEPT_PARTS: head + (listed if known else "")}


def kept_digest(metadata: Mapping[str, str] | None, size: int | None) -> str:
    """The CRC32C of the whole that the metadata tell; empty when they do not, or of another size."""
    crc, length, _, _ = _told(metadata)
    return crc if length == size else ""


def parts_kept(metadata: Mapping[str, str] | None, size: int | None) -> list[Part]:
    """The parts that the metadata tell; none when they do not, or do not make an object of that size."""
    _, length, part_size, listed = _told(metadata)
    try:
        digests = base64.urlsafe_b64decode(listed)
    except (binascii.Error, ValueError):
        return []
    if length != size or part_size < 1:
        return []
    layout = Layout(length, part_size)
    if len(digests) != 4 * layout.count:
        return []
    return [
        Part(number=number, size=layout.length(number), crc32c=digests[4 * number : 4 * number + 4].hex())
        for number in range(layout.count)
    ]


def _told(metadata: Mapping[str, str] | None) -> tuple[str, int, int, str]:
    crc, _, rest = ((metadata or {}).get(KEPT_PARTS) or "").partition(".")
    length, _, rest = rest.partition(".")
    part_size, _, listed = rest.partition(".")
    if len(crc) != len(crc32c(b"")) or not (length.isdecimal() and part_size.isdecimal()):
        return "", -1, 0, ""
    return crc, int(length), int(part_size), listed


def callers_own(metadata: Mapping[str, str] | None) -> dict[str, str]:
    """Metadata without what we keep there."""
    return {name: text for name, text in (metadata or {}).items() if name not in {KEPT_PARTS, KEPT_PART_SIZE}}
