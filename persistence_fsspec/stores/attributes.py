"""What a file is besides its bytes, as entries of its metadata: ``mode`` and ``mtime``."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

from persistence_fsspec.errors import UnsupportedPersistenceOp

_SECOND: Final = 1_000_000_000
_MODE: Final = re.compile(r"0?[0-7]{3,4}")


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a file is given besides its bytes.

    Attributes:
        mode: Permissions; never setuid, setgid or sticky. None for the system's own choice.
        mtime: Nanoseconds since 1970. None for the time of writing.
    """

    mode: int | None = None
    mtime: int | None = None


NO_ATTRIBUTES: Final = Attributes()


def attributes_of(metadata: Mapping[str, str] | None) -> Attributes:
    """Read the metadata entries ``mode`` (octal) and ``mtime`` (decimal seconds since 1970).

    Raises:
        UnsupportedPersistenceOp: There are others, or these say nothing that a file could be given.
    """
    if not metadata:
        return NO_ATTRIBUTES
    others = sorted(set(metadata) - {"mode", "mtime"})
    if others:
        raise UnsupportedPersistenceOp(f"nothing but mode and mtime can be kept here, no other metadata ({', '.join(others)})")
    return Attributes(_mode(metadata.get("mode")), _mtime(metadata.get("mtime")))


def _mode(text: str | None) -> int | None:
    if text is None:
        return None
    if not _MODE.fullmatch(text):
        raise UnsupportedPersistenceOp(f"mode={text!r} is not an octal number such as 0644")
    return int(text, 8) & 0o777


def _mtime(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return int(Decimal(text) * _SECOND)
    except (InvalidOperation, ValueError, OverflowError) as exc:
        raise UnsupportedPersistenceOp(f"mtime={text!r} is not a number of seconds") from exc


def as_metadata(mode: int, mtime: int) -> dict[str, str]:
    """The same entries of a file that is there.

    Args:
        mode: As the system says it, type of the file included.
        mtime: Nanoseconds since 1970.
    """
    sign, nanoseconds = ("-", -mtime) if mtime < 0 else ("", mtime)
    seconds, rest = divmod(nanoseconds, _SECOND)
    return {"mode": f"{stat.S_IMODE(mode) & 0o777:04o}", "mtime": f"{sign}{seconds}.{rest:09d}"}
