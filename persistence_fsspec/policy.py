"""How carefully and how eagerly to work: one frozen set of decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from persistence_fsspec.errors import InvalidOptionError

Verify = Literal["size", "digest", "readback"]
_VERIFY: Final = ("size", "digest", "readback")
_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a persistence does when there is a choice.

    Raises:
        InvalidOptionError: A value outside its range.

    Examples:
        >>> Policy(verify="readback").verify
        'readback'
    """

    verify: Verify = "digest"
    """How a transfer proves itself. ``size`` compares lengths; ``digest`` also compares digests where the store
    has them; ``readback`` reads what was written once more. Sizes are always compared."""

    allow_direct: bool = False
    """Write under the final name where a store can do no better (`Capabilities.publish` is ``direct``). A reader
    may then see half a file, and an interrupted write destroys the old copy."""

    concurrency: int = 8
    """Files in flight at once in one transfer. From 1 to 256."""

    part_size: int = 8 * _MIB
    """Bytes moved at once; at most two such buffers per file in flight. From 64 KiB."""

    fsync: bool = False
    """Wait for the disk before a local file gets its final name: survives a power cut, and is slower."""

    def __post_init__(self) -> None:
        if self.verify not in _VERIFY:
            raise InvalidOptionError(f"verify={self.verify!r} is unknown; choose one of {', '.join(_VERIFY)}")
        if not 1 <= self.concurrency <= 256:
            raise InvalidOptionError(f"concurrency={self.concurrency} is out of range; choose 1 to 256")
        if self.part_size < 64 * 1024:
            raise InvalidOptionError(f"part_size={self.part_size} is too small; choose 65536 bytes or more")
