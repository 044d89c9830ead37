"""What stands in the database of a journal: its tables, and what their rows mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from persistence_fsspec.redaction import redact_places
from persistence_fsspec.store import Digest, Part
from persistence_fsspec.transfer import database as db

if TYPE_CHECKING:
    from sqlite3 import Connection

_APPLICATION: Final = 0x7065726A
"""Marks a database as ours."""

_SCHEMA: Final = 1
"""Of the tables; a database with another is begun anew."""

_TABLES: Final = (
    "CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID",
    "CREATE TABLE done (key BLOB PRIMARY KEY, source BLOB, target BLOB, digest TEXT, verification TEXT) WITHOUT ROWID",
    "CREATE TABLE upload (key BLOB PRIMARY KEY, target_key BLOB, token BLOB, part_size INTEGER, source BLOB) WITHOUT ROWID",
    "CREATE TABLE part (key BLOB, number INTEGER, size INTEGER, crc32c TEXT, receipt BLOB, PRIMARY KEY (key, number)) WITHOUT ROWID",
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {_SCHEMA}",
)
TELL: Final = "INSERT OR REPLACE INTO about VALUES (?, ?)"
DONE: Final = "SELECT source, target, digest, verification FROM done WHERE key = ?"
NEW_DONE: Final = "INSERT OR IGNORE INTO done (source, target, digest, verification, key) VALUES (?, ?, ?, ?, ?)"
OTHER_DONE: Final = "UPDATE done SET source = ?, target = ?, digest = ?, verification = ? WHERE key = ?"
_UPLOADS: Final = "SELECT key, target_key, token, part_size, source FROM upload"
NEW_UPLOAD: Final = "INSERT OR REPLACE INTO upload VALUES (?, ?, ?, ?, ?)"
_PARTS: Final = "SELECT number, size, crc32c, receipt FROM part WHERE key = ?"
NEW_PART: Final = "INSERT OR REPLACE INTO part VALUES (?, ?, ?, ?, ?)"

Row = tuple[bytes, bytes, str | None, str]


@dataclass(frozen=True, slots=True)
class Done:
    """A file that has arrived.

    Attributes:
        source: Fingerprint of what it was when it was read.
        target: Fingerprint of what it became.
        digest: Of its bytes, where it is known.
        verification: What was compared.
    """

    source: str
    target: str
    digest: Digest | None
    verification: str


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An object that has arrived in part.

    Attributes:
        target_key: What it is to become.
        token: Names the upload to the store.
        part_size: Bytes of each part but the last.
        source: Fingerprint of what it is read from.
        parts: Those that have arrived, by number.
    """

    target_key: str
    token: str
    part_size: int
    source: str
    parts: dict[int, Part] = field(default_factory=dict)


def make_tables(connection: Connection) -> None:
    """See that they are there.

    Raises:
        DatabaseDamagedError: There are others.
    """
    (application,), (schema,) = (connection.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version"))
    if (application, schema) == (_APPLICATION, _SCHEMA):
        return
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
        raise db.DatabaseDamagedError(f"it was written by something else, or by another release (schema {schema})")
    with db.transaction(connection):
        for statement in _TABLES:
            connection.execute(statement)


def require_whole(connection: Connection) -> None:
    """After a killed run, look at all of it once: the machine may have gone down with it."""
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise db.DatabaseDamagedError(f"malformed: {found}")


def packed_key(key: str) -> bytes:
    """A name as it is kept: one on the web may be a signed URL."""
    return db.pack(redact_places(key))


def done_row(done: Done) -> Row:
    """As it is kept, without its key."""
    return db.pack(done.source), db.pack(done.target), ":".join(done.digest) if done.digest else None, done.verification


def done_of(row: Row) -> Done:
    """What `done_row` was given."""
    source, target, digest, verification = row
    algorithm, _, value = (digest or "").partition(":")
    return Done(db.unpack(source), db.unpack(target), (algorithm, value) if digest else None, verification)


def part_row(packed: bytes, part: Part) -> tuple[bytes, int, int, str, bytes]:
    """As it is kept, with the key of its file."""
    return packed, part.number, part.size, part.crc32c, db.pack(part.receipt)


def uploads_in(connection: Connection, packed: bytes | None = None) -> list[Unfinished]:
    """All of them, or that of one file."""
    found = connection.execute(_UPLOADS) if packed is None else connection.execute(f"{_UPLOADS} WHERE key = ?", (packed,))
    return [
        Unfinished(db.unpack(target_key), db.unpack(token), part_size, db.unpack(source), _parts(connection, key))
        for key, target_key, token, part_size, source in found.fetchall()
    ]


def _parts(connection: Connection, packed: bytes) -> dict[int, Part]:
    return {
        number: Part(number=number, size=size, crc32c=crc32c, receipt=db.unpack(receipt))
        for number, size, crc32c, receipt in connection.execute(_PARTS, (packed,))
    }
