"""Collections that need little memory however large they grow: the beginning lies there, the rest on disk.

The disk is a database in the folder for temporary files, without a name as soon as it is open, so that nothing is left
whatever becomes of the process. Where there is no disk, or no room on it, memory has to do after all; an event says so.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from heapq import merge
from typing import Any, Final, Generic, TypeVar

from persistence_fsspec.errors import StorageFullError
from persistence_fsspec.events import emit
from persistence_fsspec.transfer import database as db

_V = TypeVar("_V")

IN_MEMORY: Final = 50_000
"""Entries of a dictionary that stay in memory."""

LISTED_IN_MEMORY: Final = 10_000
"""Those of a list, which are larger."""

_BATCH: Final = 500
_PAGE: Final = 500


class _Disk:
    """A table in a temporary file.

    Args:
        tables: The statements that make it.
    """

    def __init__(self, *tables: str) -> None:
        descriptor, path = tempfile.mkstemp(prefix="persistence-fsspec-", suffix=".sqlite")
        os.close(descriptor)
        self.connection = db.connect(path, private=True)
        try:
            db.settle(self.connection, journal="MEMORY")
            for table in tables:
                self.connection.execute(table)
        except BaseException:
            db.end(self.connection)
            os.unlink(path)
            raise
        weakref.finalize(self, db.end, self.connection)
        try:
            os.unlink(path)
        except PermissionError:  # where open files cannot be removed
            weakref.finalize(self, _unlink, path)

    def write(self, statement: str, rows: list[Any]) -> None:
        with db.transaction(self.connection):
            self.connection.executemany(statement, rows)

    def read(self, query: str, *values: Any) -> list[Any]:
        return self.connection.execute(query, values).fetchall()


def _unlink(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


@contextlib.contextmanager
def _failing() -> Iterator[None]:
    """What is on disk, and cannot be reached, is nothing that anybody could go on without."""
    try:
        yield
    except db.DatabaseError as exc:
        raise StorageFullError(f"a temporary file in {tempfile.gettempdir()} cannot be used: {exc}") from exc


class _Spilling:
    """What both kinds have in common: a disk that is there when it is needed, or is not."""

    _tables: tuple[str, ...]

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._disk: _Disk | None = None
        self._no_disk = False

    def _spill(self, statement: str, rows: list[Any]) -> bool:
        """Write rows; False where that cannot be done, now and for ever."""
        if self._no_disk:
            return False
        try:
            with db.failing():
                if self._disk is None:
                    self._disk = _Disk(*self._tables)
                self._disk.write(statement, rows)
        except db.DatabaseError as exc:
            self._no_disk = True
            text = f"what does not fit in memory cannot be written to {tempfile.gettempdir()}, and stays in memory: {exc}"
            emit("spilling_failed", text, level=logging.WARNING)
            return False
        return True

    def _rows(self, query: str, *values: Any) -> list[Any]:
        if self._disk is None:
            return []
        try:
            return self._disk.read(query, *values)
        except Exception:
            with _failing(), db.failing():  # costs as much as the reading, so only now
                raise

    def __reduce__(self) -> Any:
        raise TypeError(f"a {type(self).__name__} stays in its process: what holds it travels as plain data")


class SpillingDict(_Spilling, Generic[_V]):
    """A dictionary from text to values, from any thread.

    Args:
        dump: Makes bytes of a value.
        load: Makes it of them again.
        in_memory: So many entries are not on disk.
    """

    _tables = ("CREATE TABLE kept (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID",)

    def __init__(self, dump: Callable[[_V], bytes], load: Callable[[bytes], _V], *, in_memory: int = IN_MEMORY) -> None:
        super().__init__()
        self._dump, self._load, self._most = dump, load, in_memory
        self._first: dict[str, _V] = {}
        self._late: dict[str, _V] = {}
        """On their way to the disk."""
        self._spilled = 0
        self._last = b""
        """The last key on disk, in their order: what comes after it is not there. Listings often come in order."""

    def __len__(self) -> int:
        return len(self._first) + len(self._late) + self._spilled

    def __contains__(self, key: str) -> bool:
        with self._lock:
            return key in self._first or key in self._late or self._row(key) is not None

    def get(self, key: str, default: _V | None = None) -> _V | None:
        """The value; *default* where there is none."""
        with self._lock:
            for part in (self._first, self._late):
                if key in part:
                    return part[key]
            row = self._row(key)
        return default if row is None else self._load(row)

    def __getitem__(self, key: str) -> _V:
        with self._lock:
            if key not in self:
                raise KeyError(key)
            return self.get(key)  # type: ignore[return-value]  # it is there

    def __setitem__(self, key: str, value: _V) -> None:
        with self._lock:
            if key in self._first or (len(self._first) < self._most and not (self._spilled or self._late)):
                self._first[key] = value
            elif key not in self._late and self._row(key) is not None and self._disk is not None:
                with _failing(), db.failing():
                    self._disk.write("UPDATE kept SET value = ? WHERE key = ?", [(self._dump(value), db.pack(key))])
            else:
                self._late[key] = value
                self._make_room()

    def setdefault(self, key: str, value: _V) -> _V:
        """The value that is there; *value* where there was none, and from then on is."""
        with self._lock:
            found = self.get(key)
            if found is None:
                self[key] = value
            return value if found is None else found

    def pop(self, key: str, default: _V | None = None) -> _V | None:
        """Take an entry out; *default* where there is none."""
        with self._lock:
            for part in (self._first, self._late):
                if key in part:
                    return part.pop(key)
            row = self._row(key)
            if row is None or self._disk is None:
                return default
            with _failing(), db.failing():
                self._disk.write("DELETE FROM kept WHERE key = ?", [(db.pack(key),)])
            self._spilled -= 1
            return self._load(row)

    def __iter__(self) -> Iterator[str]:
        return (key for key, _ in self.items())

    def items(self) -> Iterator[tuple[str, _V]]:
        """All entries, by their keys in order; one that comes or goes meanwhile may be among them, or not."""
        with self._lock:
            here = [*self._first, *self._late]
        return merge(self._here(sorted(here)), self._there(), key=lambda entry: entry[0])

    def _here(self, keys: list[str]) -> Iterator[tuple[str, _V]]:
        for key in keys:
            with self._lock:
                part = self._first if key in self._first else self._late
                if key not in part:
                    continue
                value = part[key]
            yield key, value

    def _there(self) -> Iterator[tuple[str, _V]]:
        last = b""
        query = "SELECT key, value FROM kept WHERE key >= ? ORDER BY key LIMIT ?"
        while True:
            with self._lock:
                rows = self._rows(query, last, _PAGE)
            for key, value in rows:
                yield db.unpack(key), self._load(value)
            if len(rows) < _PAGE:
                return
            last = rows[-1][0] + b"\0"

    def _row(self, key: str) -> bytes | None:
        packed = db.pack(key)
        rows = self._rows("SELECT value FROM kept WHERE key = ?", packed) if packed <= self._last else ()
        return rows[0][0] if rows else None

    def _make_room(self) -> None:
        if len(self._late) < _BATCH or self._no_disk:
            return
        rows = [(db.pack(key), self._dump(value)) for key, value in self._late.items()]
        if self._spill("INSERT INTO kept VALUES (?, ?)", rows):
            self._spilled += len(self._late)
            self._last = max(self._last, max(rows)[0])
            self._late = {}


class SpillingList(_Spilling, Generic[_V]):
    """A list that only grows, of values that are of several kinds; from any thread.

    Args:
        dump: Makes bytes of a value.
        load: Makes it of them again.
        kind: Of a value.
        in_memory: So many values are not on disk.
    """

    _tables = (
        "CREATE TABLE kept (number INTEGER PRIMARY KEY, kind TEXT, value BLOB)",
        "CREATE INDEX by_kind ON kept (kind)",  # and by number within, as every index
    )

    def __init__(
        self,
        dump: Callable[[_V], bytes],
        load: Callable[[bytes], _V],
        kind: Callable[[_V], str],
        *,
        in_memory: int = LISTED_IN_MEMORY,
    ) -> None:
        super().__init__()
        self._dump, self._load, self._kind, self._most = dump, load, kind, in_memory
        self._first: list[_V] = []
        self._late: list[_V] = []
        """On their way to the disk."""
        self._spilled = 0
        self._counts: Counter[str] = Counter()
        self._on_disk: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._first) + self._spilled + len(self._late)

    def count(self, kind: str) -> int:
        """How many are of a kind."""
        return self._counts[kind]

    def append(self, value: _V) -> None:
        """Add one at the end."""
        with self._lock:
            self._counts[self._kind(value)] += 1
            if len(self._first) < self._most:
                self._first.append(value)
                return
            self._late.append(value)
            if len(self._late) >= _BATCH and not self._no_disk:
                rows = [(self._spilled + i, self._kind(one), self._dump(one)) for i, one in enumerate(self._late)]
                if self._spill("INSERT INTO kept VALUES (?, ?, ?)", rows):
                    self._spilled += len(self._late)
                    self._on_disk.update(map(self._kind, self._late))
                    self._late = []

    def __getitem__(self, number: int) -> _V:
        """By its number, from 0."""
        with self._lock:
            if not 0 <= number < len(self):
                raise IndexError(number)
            if number < len(self._first):
                return self._first[number]
            number -= len(self._first)
            if number >= self._spilled:
                return self._late[number - self._spilled]
            ((value,),) = self._rows("SELECT value FROM kept WHERE number = ?", number)
        return self._load(value)

    def values(self, kind: str | None = None, start: int = 0) -> Iterator[_V]:
        """Those of one kind, or all, in order; of values that are added meanwhile, any number.

        Args:
            kind: None for all.
            start: So many of them are left out.
        """
        with self._lock:
            first, late, spilled = len(self._first), list(self._late), self._spilled
        here = (self._first[i] for i in range(first))
        for value in here:
            if kind is None or self._kind(value) == kind:
                if start <= 0:
                    yield value
                start -= 1
        there = spilled if kind is None else self._on_disk[kind]
        if start < there:
            yield from self._there(kind, max(0, start), spilled)
        start -= there
        for value in late:
            if kind is None or self._kind(value) == kind:
                if start <= 0:
                    yield value
                start -= 1

    def _there(self, kind: str | None, start: int, end: int) -> Iterator[_V]:
        last = -1
        where = "" if kind is None else "kind = ? AND"
        query = f"SELECT number, value FROM kept WHERE {where} number > ? AND number < ? ORDER BY number LIMIT ? OFFSET ?"  # noqa: S608
        while True:
            with self._lock:
                rows = self._rows(query, *(() if kind is None else (kind,)), last, end, _PAGE, start)
            for _, value in rows:
                yield self._load(value)
            if len(rows) < _PAGE:
                return
            last, start = rows[-1][0], 0
