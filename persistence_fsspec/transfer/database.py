"""SQLite, for who needs a table on disk and not to know whose: opened one way, failing in three."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from persistence_fsspec.errors import PersistenceError

if TYPE_CHECKING:
    from sqlite3 import Connection

_PAGES: Final = "cache_size=-4096"
"""Memory for one database, in KiB, negative: whatever its size on disk."""

_NOT_OURS: Final = ("malformed", "not a database", "no such table", "no such column", "has no column", "unsupported file format")


class DatabaseError(Exception):
    """It cannot be used: no room, no permission, a file system without locks, a Python without SQLite."""


class DatabaseLockedError(DatabaseError):
    """Somebody else has it."""


class DatabaseDamagedError(DatabaseError):
    """What is in it cannot be read, or was written by something else."""


@contextlib.contextmanager
def failing() -> Iterator[None]:
    """Whatever SQLite and the system raise inside becomes a `DatabaseError`."""
    try:
        import sqlite3  # noqa: PLC0415 - only who transfers trees pays for it, and some Pythons are built without
    except ImportError as exc:
        raise DatabaseError(f"this Python has no SQLite: {exc}") from exc
    try:
        yield
    except sqlite3.Error as exc:
        text = str(exc)
        if "is locked" in text:
            raise DatabaseLockedError(text) from exc
        raise (DatabaseDamagedError if any(sign in text for sign in _NOT_OURS) else DatabaseError)(text) from exc
    except OSError as exc:
        if isinstance(exc, PersistenceError):  # some of ours are Python's, too
            raise
        raise DatabaseError(exc.strerror or str(exc)) from exc


def connect(path: str | os.PathLike[str], *, private: bool = False) -> Connection:
    """Open a database that exists, for any thread; transactions are begun and ended by hand.

    Nothing is read yet, so it may be locked, or damaged, all the same.

    Args:
        path: The file; an empty one is an empty database.
        private: Nobody else ever opens it, so there are no locks.
    """
    import sqlite3  # noqa: PLC0415 - see above

    uri = f"{Path(path).absolute().as_uri()}?mode=rw{'&nolock=1' if private else ''}"
    return sqlite3.connect(uri, uri=True, timeout=0.0, isolation_level=None, check_same_thread=False)


def settle(connection: Connection, *, journal: Literal["DELETE", "MEMORY"] = "DELETE") -> None:
    """Say how it is to be written.

    It keeps to the rollback journal: the write-ahead log needs memory shared by all who open it, which network file
    systems (NFS, Lustre) do not have. Nothing is ever synced: what was written survives the death of the process, and
    that is what it is for. After a power cut it may be damaged; that shows, and it is begun anew.
    """
    for pragma in (_PAGES, "synchronous=OFF", f"journal_mode={journal}"):
        connection.execute(f"PRAGMA {pragma}")


def end(connection: Connection) -> None:
    """Close it; what was not committed is not in it. Never raises."""
    with contextlib.suppress(DatabaseError), failing():
        connection.close()


@contextlib.contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """All that is written inside, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(DatabaseError), failing():
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        raise


def pack(text: str) -> bytes:
    """Text as it goes into a table: names may hold what is no UTF-8 (`os.fsdecode`), which SQLite's own text cannot."""
    return text.encode("utf-8", "surrogatepass")


def unpack(packed: bytes) -> str:
    """What `pack` made."""
    return packed.decode("utf-8", "surrogatepass")
