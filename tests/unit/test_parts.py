"""What is kept of the parts of an object, and how an upload is named."""

from __future__ import annotations

import pytest

from persistence_fsspec.crc32c import combined, crc32c
from persistence_fsspec.errors import ObjectNotFoundError
from persistence_fsspec.store import Part
from persistence_fsspec.stores.dialects.parts import (
    KEPT_PARTS,
    callers_own,
    from_base64,
    kept_digest,
    kept_parts,
    parsed_token,
    parts_kept,
    token_of,
)


def parts_of(count, size=10, last=3):
    """So many parts, the last one short."""
    sizes = [size] * (count - 1) + [last]
    return [Part(number=n, size=each, crc32c=crc32c(bytes([n % 256]) * each)) for n, each in enumerate(sizes)]


def whole(parts):
    return combined((part.size, part.crc32c) for part in parts)


@pytest.mark.parametrize("count", [1, 2, 700])
def test_digests_of_parts_are_told_as_they_were(count):
    """Sizes, numbers and CRC32C."""
    parts = parts_of(count)
    size = sum(part.size for part in parts)
    metadata = {"mine": "1", **kept_parts(parts, 10 if count > 1 else 3, whole(parts))}

    assert parts_kept(metadata, size) == parts
    assert kept_digest(metadata, size) == whole(parts)
    assert callers_own(metadata) == {"mine": "1"}


@pytest.mark.parametrize("parts", [parts_of(800), parts_of(2, last=11)], ids=["many", "uneven"])
def test_of_too_many_or_uneven_parts_the_whole_is_told(parts):
    """It always fits into the metadata of any store."""
    size = sum(part.size for part in parts)
    metadata = kept_parts(parts, 10, whole(parts))

    assert len(metadata[KEPT_PARTS]) <= 4096
    assert kept_digest(metadata, size) == whole(parts)
    assert parts_kept(metadata, size) == []


@pytest.mark.parametrize(
    "text", ["", "x", "e3069283", "e3069283.9.x.", "e3069283.9.4.####", "e3069283.9.4.AAAA", "e3069283.9.0.AAAAAA=="]
)
def test_metadata_that_are_not_ours_tell_nothing(text):
    """And are no error."""
    assert parts_kept({KEPT_PARTS: text}, 9) == []
    assert kept_digest({KEPT_PARTS: text}, 8) == ""
    assert kept_digest(None, 9) == ""


def test_digests_are_of_one_size_only():
    """An object that grew under the same metadata is another one."""
    parts = parts_of(3)

    assert kept_digest(kept_parts(parts, 10, whole(parts)), 24) == ""
    assert parts_kept(kept_parts(parts, 10, whole(parts)), 24) == []


def test_a_token_is_read_as_it_was_written():
    """With whatever a store adds."""
    assert parsed_token(token_of("id", 5, "CRC32C", "whole")) == ("id", 5, ["CRC32C", "whole"])


@pytest.mark.parametrize("token", ["", "id", "id x", "id 0", " 5", "id -5"])
def test_a_token_of_something_else_is_not_found(token):
    """It is no error of the caller: another release may have written it."""
    with pytest.raises(ObjectNotFoundError):
        parsed_token(token)


@pytest.mark.parametrize(
    ("value", "expected"), [("4waSgw==", "e3069283"), ("4waSgw==-3", ""), ("", ""), (None, ""), ("AAAA", "")]
)
def test_only_a_crc32c_counts_as_one(value, expected):
    """A checksum of checksums has a number behind it."""
    assert from_base64(value) == expected
