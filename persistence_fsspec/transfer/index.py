"""What a tree holds, by name, however much that is."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, Final

from persistence_fsspec.store import ObjectInfo
from persistence_fsspec.transfer import database as db
from persistence_fsspec.transfer.spill import IN_MEMORY, SpillingDict

_Entry = tuple[int, ObjectInfo]

_FIELDS: Final = tuple(one.name for one in fields(ObjectInfo))


class Index:
    """Entries by their names relative to the tree, and which of them were asked for.

    Args:
        in_memory: So many lie in memory, the rest on disk.
    """

    def __init__(self, *, in_memory: int = IN_MEMORY) -> None:
        self._entries: SpillingDict[_Entry] = SpillingDict(_dump, _load, in_memory=in_memory)
        self._taken = bytearray()
        """One bit for each entry, by its number: marks need no disk."""

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def add(self, name: str, info: ObjectInfo) -> None:
        """Keep one; in place of any other of that name."""
        before = self._entries.get(name)
        number = len(self._entries) if before is None else before[0]
        if number >= 8 * len(self._taken):
            self._taken.append(0)
        self._entries[name] = number, info

    def take(self, name: str) -> ObjectInfo | None:
        """The one of that name, which from now on is none of the `rest`; None for none."""
        found = self._entries.get(name)
        if found is None:
            return None
        number, info = found
        self._taken[number // 8] |= 1 << number % 8
        return info

    def rest(self) -> Iterator[tuple[str, ObjectInfo]]:
        """Those that nobody took, by their names in order."""
        for name, (number, info) in self._entries.items():
            if not self._taken[number // 8] & 1 << number % 8:
                yield name, info


class Names:
    """Names that are taken.

    Args:
        in_memory: So many lie in memory, the rest on disk.
    """

    def __init__(self, *, in_memory: int = IN_MEMORY) -> None:
        self._taken: SpillingDict[str] = SpillingDict(db.pack, db.unpack, in_memory=in_memory)

    def claim(self, folded: str, name: str) -> str:
        """Take a name, unless another was there first.

        Args:
            folded: What the place takes it for.
            name: As it is.

        Returns:
            Whose it is: *name* itself, or the one that was there first.
        """
        return self._taken.setdefault(folded, name)


def plain(info: ObjectInfo) -> tuple[Any, ...]:
    """All of an entry, for a file that only this process can read. Pickled as it is, a signed URL would lose its signature."""
    values = {name: getattr(info, name) for name in _FIELDS}
    return tuple({**values, "metadata": dict(info.metadata)}.values())


def from_plain(values: tuple[Any, ...]) -> ObjectInfo:
    """What `plain` was given."""
    return ObjectInfo(**dict(zip(_FIELDS, values, strict=True)))


def _dump(entry: _Entry) -> bytes:
    return pickle.dumps((entry[0], *plain(entry[1])))


def _load(data: bytes) -> _Entry:
    number, *values = pickle.loads(data)  # noqa: S301 - from a file that nobody else could open
    return number, from_plain(tuple(values))
