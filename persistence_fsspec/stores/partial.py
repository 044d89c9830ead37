"""Names for objects that are not finished yet.

They lie in the folder of their final name, so that renaming them stays on one
device, have a fixed length whatever the final name is, and are hidden from
every listing. A fixed mark in front makes leftovers of killed runs findable.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from persistence_fsspec.errors import InvalidNameError

MARK: Final = ".~persist-"
"""What every name of ours begins with."""

_PARTIAL: Final = ".part"


def _stem(key: str) -> str:
    return MARK + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _beside(key: str, name: str) -> str:
    folder, slash, _ = key.rpartition("/")
    return f"{folder}{slash}{name}"


def partial_key(key: str) -> str:
    """A fresh name beside *key* for the bytes on their way to it."""
    return _beside(key, f"{_stem(key)}-{secrets.token_hex(4)}{_PARTIAL}")


def aside_key(key: str) -> str:
    """The name beside *key* where its old version waits during a swap."""
    return _beside(key, f"{_stem(key)}.old")


def is_reserved(key: str) -> bool:
    """Whether the last part of a key is one of our own names."""
    return key.rpartition("/")[2].startswith(MARK)


def is_leftover(key: str) -> bool:
    """Whether it is a partial object, which may go with its folder. An old version set aside may be the only copy."""
    return is_reserved(key) and key.endswith(_PARTIAL)


def refuse_reserved(key: str) -> None:
    """Keep callers away from our own names.

    Raises:
        InvalidNameError: Some part of the key begins with `MARK`.
    """
    if MARK in key and any(part.startswith(MARK) for part in key.split("/")):
        raise InvalidNameError(f"{key!r}: names beginning with {MARK!r} are reserved for unfinished writes")
