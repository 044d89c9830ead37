"""What uploads in parts have in common: where each part lies, and whether all are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from persistence_fsspec.crc32c import combined
from persistence_fsspec.errors import ChecksumMismatchError, ObjectNotFoundError
from persistence_fsspec.store import Part
from persistence_fsspec.stores.partial import MARK, is_leftover, stem_of


@dataclass(frozen=True, slots=True)
class Layout:
    """An object cut into parts.

    Attributes:
        size: Of the object, in bytes.
        part_size: Of each part but the last, in bytes.
    """

    size: int
    part_size: int

    def __post_init__(self) -> None:
        if self.size < 0 or self.part_size < 1:
            raise ValueError(f"no object of {self.size} bytes is made of parts of {self.part_size}")

    @property
    def count(self) -> int:
        """How many parts there are; none of an empty object."""
        return -(-self.size // self.part_size)

    def begin(self, number: int) -> int:
        """Where a part begins, in bytes."""
        return number * self.part_size

    def length(self, number: int) -> int:
        """How long a part is, in bytes."""
        return min(self.part_size, self.size - self.begin(number))

    def require(self, number: int, data: bytes) -> int:
        """See that bytes are one of the parts; return where it begins.

        Raises:
            ValueError: They are not.
        """
        if not 0 <= number < self.count or len(data) != self.length(number):
            raise ValueError(f"{len(data)} bytes are not part {number} of an object of {self.size} bytes in {self.part_size}s")
        return self.begin(number)

    def require_all(self, parts: Sequence[Part], whole: str = "") -> None:
        """See that these are all the parts, in order, and make the whole.

        Args:
            parts: What should be all of them.
            whole: CRC32C of the object; compared where that of every part is known.

        Raises:
            ValueError: They are not.
            ChecksumMismatchError: Together they have another CRC32C.
        """
        if [(part.number, part.size) for part in parts] != [(n, self.length(n)) for n in range(self.count)]:
            raise ValueError(f"these are not the {self.count} parts of an object of {self.size} bytes in {self.part_size}s")
        if whole and all(part.crc32c for part in parts):
            made = combined((part.size, part.crc32c) for part in parts)
            if made != whole:
                error = ChecksumMismatchError(f"CRC32C of all parts together is {made}, and should be {whole}")
                error.retryable = False  # the same parts would make the same
                raise error


def partial_named(key: str, token: str) -> str:
    """The key of the partial object by whose last name an upload of *key* goes.

    Raises:
        ObjectNotFoundError: It is no such name.
    """
    if "/" in token or not token.startswith(f"{MARK}{stem_of(key)}-") or not is_leftover(token):
        raise ObjectNotFoundError(f"no upload of this object goes by the name {token!r}")
    folder, slash, _ = key.rpartition("/")
    return f"{folder}{slash}{token}"
