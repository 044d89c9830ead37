"""Names for objects that are not finished yet, and for old versions that are kept.

They lie in the folder of their final name, so that renaming them stays on one
device, have a bounded length whatever the final name is, and are hidden from
every listing. A fixed mark in front makes leftovers of killed runs findable, and
eight digits in the middle tell whose they are:

* ``.~persist-<stem>-<owner><random>.part``: bytes on their way to a name;
* ``.~persist-<stem>-<owner><random>.<number>.piece``: an object that is to become a part of another;
* ``.~persist-<stem>-<name>.old``: the old version during a swap; without the name where that is too long;
* ``.~persist-kept/<hash>/<time>-<random>``: a snapshot (`snapshots`).

The stem is a hash of the last part of the key, so that a folder may be moved, or
be reached below another root, and what lies in it still belongs together.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from datetime import datetime
from typing import Final

from persistence_fsspec.errors import InvalidNameError
from persistence_fsspec.store import Leftover, ObjectInfo

MARK: Final = ".~persist-"
"""What every name of ours begins with."""

KEPT: Final = f"{MARK}kept"
"""The folder of old versions, beside the objects they are versions of."""

NOBODY: Final = "00000000"
"""The owner of what is written outside of a transfer."""

_PARTIAL: Final = ".part"
_PIECE: Final = ".piece"
_ASIDE: Final = ".old"
_NAME_BYTES: Final = 255
_OURS: Final = re.compile(re.escape(MARK) + r"(?P<stem>[0-9a-f]{12})-(?:(?P<owner>[0-9a-f]{8}))?(?P<random>[0-9a-f]{8})\.")
_ASIDE_OF: Final = re.compile(re.escape(MARK) + r"[0-9a-f]{12}-(?P<name>.+)\.old", re.DOTALL)

_owner: ContextVar[str] = ContextVar("owner", default=NOBODY)
_noticed: ContextVar[tuple[Callable[[Leftover], None] | None, Callable[[str], None] | None]] = ContextVar(
    "noticed", default=(None, None)
)

# --- names ---


def stem_of(key: str) -> str:
    """Twelve digits that stand for the last part of a key in the names beside it."""
    return _digest(key)[:12]


def _digest(key: str) -> str:
    return hashlib.sha256(key.rpartition("/")[2].encode("utf-8", "surrogatepass")).hexdigest()


def _beside(key: str, name: str) -> str:
    folder, slash, _ = key.rpartition("/")
    return f"{folder}{slash}{name}"


def fresh_token() -> str:
    """Sixteen digits, the first eight of which name the owner that `owned_by` set."""
    return _owner.get() + secrets.token_hex(4)


def partial_key(key: str) -> str:
    """A fresh name beside *key* for the bytes on their way to it."""
    return _beside(key, f"{MARK}{stem_of(key)}-{fresh_token()}{_PARTIAL}")


def part_key(key: str, token: str, number: int) -> str:
    """The name beside *key* of an object that is to become a part of it.

    Args:
        key: The object to be.
        token: Of the whole upload, by `fresh_token`.
        number: Of the part, from 0.
    """
    return _beside(key, f"{MARK}{stem_of(key)}-{token}.{number:05d}{_PIECE}")


def aside_key(key: str) -> str:
    """The name beside *key* where its old version waits during a swap."""
    name = key.rpartition("/")[2]
    telling = f"{MARK}{stem_of(key)}-{name}{_ASIDE}"
    if len(telling.encode("utf-8", "surrogatepass")) <= _NAME_BYTES:
        return _beside(key, telling)
    return _beside(key, f"{MARK}{stem_of(key)}{_ASIDE}")


def aside_target(key: str) -> str | None:
    """The key whose old version waits under the name *key*; None where its name was too long to be told."""
    found = _ASIDE_OF.fullmatch(key.rpartition("/")[2])
    return _beside(key, found["name"]) if found and aside_key(found["name"]) == key.rpartition("/")[2] else None


def kept_folder(key: str) -> str:
    """The folder that holds the snapshots of one object."""
    return _beside(key, f"{KEPT}/{_digest(key)[:32]}")


# --- whose they are ---


@contextlib.contextmanager
def owned_by(owner: str) -> Iterator[None]:
    """While it is active, names that this thread makes carry this owner.

    Args:
        owner: Eight hexadecimal digits that name a transfer on this machine.
    """
    if not re.fullmatch(r"[0-9a-f]{8}", owner):
        raise ValueError(f"{owner!r} is not eight hexadecimal digits")
    before = _owner.set(owner)
    try:
        yield
    finally:
        _owner.reset(before)


def owner_of(name: str) -> str:
    """The eight digits of the owner in a name of ours, or a key that ends in one; empty where there are none."""
    found = _OURS.match(name.rpartition("/")[2])
    return (found["owner"] or "") if found else ""


def token_of(name: str) -> str:
    """The digits that tell one unfinished write from another; empty where there are none."""
    found = _OURS.match(name.rpartition("/")[2])
    return (found["owner"] or "") + found["random"] if found else ""


# --- telling them from others ---


def is_reserved(key: str) -> bool:
    """Whether the last part of a key is one of our own names."""
    return key.rpartition("/")[2].startswith(MARK)


def reserved_part(key: str, below: str = "") -> str | None:
    """The key up to the first of our own names in it that lies below a folder; None where there is none."""
    if MARK not in key:
        return None
    begin = len(below) + 1 if below else 0
    at = begin if key.startswith(MARK, begin) else key.find(f"/{MARK}", begin) + 1
    if not at and not (begin == 0 and key.startswith(MARK)):
        return None
    end = key.find("/", at)
    return key if end < 0 else key[:end]


def is_leftover(key: str) -> bool:
    """Whether it is an unfinished object, which may go with its folder. An old version set aside may be the only copy."""
    return is_reserved(key) and key.endswith((_PARTIAL, _PIECE))


def as_leftover(key: str, *, size: int | None = None, modified: datetime | None = None) -> Leftover | None:
    """Describe a reserved key; None when it is nothing unfinished.

    Args:
        key: Its name, to the end.
        size: In bytes.
        modified: When it was written.
    """
    if not is_reserved(key):
        return None
    if key.endswith(_PARTIAL):
        return Leftover(kind="partial", key=key, size=size, modified=modified, owner=owner_of(key))
    if key.endswith(_PIECE):
        return Leftover(kind="part", key=key, token=token_of(key), size=size, modified=modified, owner=owner_of(key))
    if key.endswith(_ASIDE):
        return Leftover(kind="aside", key=key, size=size, modified=modified)
    return None


def refuse_reserved(key: str) -> None:
    """Keep callers away from our own names.

    Raises:
        InvalidNameError: Some part of the key begins with `MARK`.
    """
    if reserved_part(key) is not None:
        raise InvalidNameError(f"{key!r}: names beginning with {MARK!r} are reserved for unfinished writes and snapshots")


# --- what listings pass by ---


@contextlib.contextmanager
def noticing(leftover: Callable[[Leftover], None] | None = None, *, kept: Callable[[str], None] | None = None) -> Iterator[None]:
    """While it is active, listings that this thread takes items from tell of the reserved names they hide.

    Args:
        leftover: Told of each unfinished object.
        kept: Told of each snapshot, or, where folders are folders, of each folder that holds some.
    """
    before = _noticed.set((leftover, kept))
    try:
        yield
    finally:
        _noticed.reset(before)


def notice(key: str, describe: Callable[[], ObjectInfo], *, below: str) -> None:
    """Tell of a reserved key that a listing hides, if somebody wants to know.

    Args:
        key: As it was listed.
        describe: Gives its size and time.
        below: The folder that was listed.
    """
    leftover, kept = _noticed.get()
    if leftover is not None and is_reserved(key) and as_leftover(key) is not None:
        entry = describe()
        found = as_leftover(key, size=entry.size, modified=entry.modified)
        if found is not None:
            leftover(found)
    elif kept is not None and (reserved_part(key, below) or "").rpartition("/")[2] == KEPT:
        kept(key)
