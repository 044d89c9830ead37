"""What a transfer has done, so that a run that was cut off, by whatever, can be gone on with by another on this machine.

The stores are the truth for whole files; the journal spares reading them: it knows which version arrived as which, and
which parts of large files have arrived. What it says is believed only together with what the stores say now. So it may
be lost at any moment, and a transfer runs on without it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

from persistence_fsspec.errors import ConflictError
from persistence_fsspec.events import emit
from persistence_fsspec.redaction import redact_places
from persistence_fsspec.store import Digest, Part
from persistence_fsspec.transfer import database as db
from persistence_fsspec.transfer.journal_files import JournalFiles, gate, is_alive, journal_folder
from persistence_fsspec.transfer.journals import (
    COUNT_DONE,
    JournalEntry,
    entry,
    forget,
    known,
    known_tokens,
    tidy,
    tidy_now_and_then,
)

if TYPE_CHECKING:
    from sqlite3 import Connection

__all__ = ["Done", "Identity", "Journal", "JournalEntry", "Unfinished", "entry", "forget", "known", "known_tokens", "tidy"]

State = Literal["running", "failed", "complete"]

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
_TELL: Final = "INSERT OR REPLACE INTO about VALUES (?, ?)"
_DONE: Final = "SELECT source, target, digest, verification FROM done WHERE key = ?"
_NEW_DONE: Final = "INSERT OR IGNORE INTO done (source, target, digest, verification, key) VALUES (?, ?, ?, ?, ?)"
_OTHER_DONE: Final = "UPDATE done SET source = ?, target = ?, digest = ?, verification = ? WHERE key = ?"
_UPLOADS: Final = "SELECT key, target_key, token, part_size, source FROM upload"
_NEW_UPLOAD: Final = "INSERT OR REPLACE INTO upload VALUES (?, ?, ?, ?, ?)"
_PARTS: Final = "SELECT number, size, crc32c, receipt FROM part WHERE key = ?"
_NEW_PART: Final = "INSERT OR REPLACE INTO part VALUES (?, ?, ?, ?, ?)"

_BATCH: Final = 16
_BATCH_SECONDS: Final = 0.05
"""So much of what was noted may be lost with a killed process, whichever comes first; parts are written at once."""

_NOTES_SECONDS: Final = 5.0
_PATIENCE_SECONDS: Final = 1.0
"""Who only looks into a journal holds it for a moment, and is no other run."""

_Row = tuple[bytes, bytes, str | None, str]


@dataclass(frozen=True)
class Identity:
    """What makes two runs the same transfer.

    Attributes:
        operation: ``put``, ``get``, ``copy``, ``move`` or ``sync``; it is told, and makes no difference.
        source: URL; without its credentials from here on, as *target*.
        target: URL.
        meaning: What else tells it from others, and is needed to carry it out again; as for JSON.
    """

    operation: str
    source: str
    target: str
    meaning: Mapping[str, Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", redact_places(self.source))
        object.__setattr__(self, "target", redact_places(self.target))

    @cached_property
    def id(self) -> str:
        """Sixteen digits; others on another machine, where a local path is another file."""
        said = json.dumps([socket.gethostname(), self.source, self.target, dict(self.meaning)], sort_keys=True)
        return hashlib.sha256(said.encode("ascii")).hexdigest()[:16]

    @property
    def owner(self) -> str:
        """Eight of them, which partial names carry."""
        return self.id[:8]


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


class Journal:
    """The journal of one transfer, which nobody else can open before it is closed. From any thread.

    Once it is open nothing here raises: what cannot be written is not, `broken` says so, and the transfer goes on. What
    was written before stays, and stays true.

    Attributes:
        was_interrupted: An earlier run was killed.
        broken: From here on nothing is remembered.
    """

    def __init__(self, identity: Identity, files: JournalFiles, connection: Connection) -> None:
        self._identity, self._files = identity, files
        self._connection: Connection | None = connection
        self._lock = threading.RLock()
        self._pending: dict[bytes, _Row] = {}
        self._pending_since = self._told_at = time.monotonic()
        self._works = self._damaged = self.broken = False
        about = dict(connection.execute("SELECT name, value FROM about"))
        self._state, self._begun = about.get("state", ""), about.get("begun") or _now()
        self.was_interrupted = self._state == "running"
        if self.was_interrupted:
            _require_whole(connection)
        self._count: int = connection.execute(COUNT_DONE).fetchone()[0]

    @property
    def id(self) -> str:
        """Of the transfer."""
        return self._identity.id

    # --- opening ---

    @classmethod
    def open(cls, identity: Identity, *, wanted: bool = True) -> Journal | None:
        """Take the journal of a transfer, or begin it.

        Args:
            identity: Of the transfer.
            wanted: Otherwise there is none.

        Returns:
            None where none can be kept; an event has told why.

        Raises:
            ConflictError: Another run of this transfer has it.
        """
        if not wanted:
            return None
        try:
            with db.failing():
                files = JournalFiles(journal_folder(), identity.id)
                with gate(files.folder):
                    journal = cls._open(identity, files)
                tidy_now_and_then(files.folder)
                return journal
        except db.DatabaseError as exc:
            text = f"this transfer cannot be resumed inside of files, its journal cannot be kept: {exc}"
            _warn("journal_unavailable", text, identity)
            return None

    @classmethod
    def _open(cls, identity: Identity, files: JournalFiles) -> Journal:
        try:
            with db.failing():
                return cls._begin(identity, files)
        except db.DatabaseDamagedError as exc:
            _warn("journal_begun_anew", f"the journal of an earlier run is of no use, and begun anew: {exc}", identity)
            files.put_aside()
            return cls._begin(identity, files)

    @classmethod
    def _begin(cls, identity: Identity, files: JournalFiles) -> Journal:
        files.create()
        connection = db.connect(files.database)
        try:
            _take(connection, identity, files)
            _make_tables(connection)
            journal = cls(identity, files, connection)
            journal._tell()
            files.begin_tokens(begun.token for begun in _uploads(connection))
        except BaseException:
            db.end(connection)
            raise
        _live.add(journal)
        return journal

    # --- files that have arrived ---

    def done(self, key: str) -> Done | None:
        """What is known of a file, by its key at the source."""
        packed = _key(key)
        with self._lock:
            row = self._pending.get(packed)
            if row is None and self._connection is not None and not self._damaged:
                with self._guarded():
                    row = self._connection.execute(_DONE, (packed,)).fetchone()
        return _done(row) if row is not None else None

    def note_done(self, key: str, done: Done) -> None:
        """Remember a file; it is written soon, together with others."""
        packed, row = _key(key), _row(done)
        with self._lock:
            if self._connection is None or self.broken:
                return
            if not self._pending:
                self._pending_since = time.monotonic()
            self._pending[packed] = row
            if len(self._pending) >= _BATCH or time.monotonic() - self._pending_since >= _BATCH_SECONDS:
                self.flush()

    def forget(self, key: str) -> None:
        """As if the file had never arrived."""
        packed = _key(key)

        def write(connection: Connection) -> None:
            self._count -= connection.execute("DELETE FROM done WHERE key = ?", (packed,)).rowcount

        self._write(write)

    def flush(self) -> None:
        """Write what is remembered, now."""
        self._write(lambda _: None)

    # --- objects in parts ---

    def note_upload(self, key: str, begun: Unfinished) -> None:
        """Remember an upload, at once, in place of any other of this file."""
        packed = _key(key)
        told = (packed, _key(begun.target_key), db.pack(begun.token), begun.part_size, db.pack(begun.source))

        def write(connection: Connection) -> None:
            self._files.add_token(begun.token)
            connection.execute("DELETE FROM part WHERE key = ?", (packed,))
            connection.execute(_NEW_UPLOAD, told)
            connection.executemany(_NEW_PART, [_part_row(packed, part) for part in begun.parts.values()])

        self._write(write)

    def note_part(self, key: str, part: Part) -> None:
        """Remember a part, at once: a killed run sends again what was in flight, and nothing else."""
        row = _part_row(_key(key), part)
        self._write(lambda connection: connection.execute(_NEW_PART, row))

    def upload_of(self, key: str) -> Unfinished | None:
        """What has arrived of a file; None for nothing."""
        return next(iter(self._read_uploads(_key(key))), None)

    def uploads(self) -> list[Unfinished]:
        """All that is unfinished."""
        return self._read_uploads()

    def upload_over(self, key: str) -> None:
        """It has become a file, or was given up."""
        packed, begun = _key(key), self.upload_of(key)
        if begun is None:
            return

        def write(connection: Connection) -> None:
            connection.execute("DELETE FROM part WHERE key = ?", (packed,))
            connection.execute("DELETE FROM upload WHERE key = ?", (packed,))

        if self._write(write):
            with self._lock, self._guarded():
                self._files.drop_token(begun.token)

    def _read_uploads(self, packed: bytes | None = None) -> list[Unfinished]:
        with self._lock, self._guarded():
            if self._connection is not None and not self._damaged:
                return _uploads(self._connection, packed)
        return []

    # --- how it stands ---

    def set_state(self, state: State) -> None:
        """Say how the transfer stands.

        Args:
            state: ``running``; ``failed`` when it ended without all files; ``complete``.
        """
        with self._lock:
            self._state, self._works = state, True
            self._write(self._write_state)
            if self.broken and state == "complete":
                self.discard()  # it would say for ever that there is something left to be done

    def _write_state(self, connection: Connection) -> None:
        about = [("state", self._state), ("begun", self._begun)]
        connection.executemany(_TELL, about)
        self._tell()

    def discard(self) -> None:
        """Close it, and leave nothing of it."""
        self._end(self._files.remove)

    def close(self) -> None:
        """Let others have it. A run that did not say how it ended has failed; one that did nothing leaves nothing."""
        with self._lock:
            if self._connection is None:
                return
            if self._damaged:
                self._end(self._files.put_aside)
            elif self._state in {"", "running"} and not (self._count or self._pending or self.uploads()):
                self.discard()
            else:
                if self._state == "running" and self._works:
                    self.set_state("failed")
                self.flush()
                with self._guarded():
                    self._tell(pid=None)
                self._end(None)

    def _end(self, clear: Callable[[], None] | None) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
            self._pending = {}
            if connection is None:
                return
            _live.discard(self)
            if clear is not None:
                with contextlib.suppress(db.DatabaseError), db.failing(), gate(self._files.folder):
                    db.end(connection)
                    clear()
            db.end(connection)

    def _tell(self, *, pid: int | None = -1) -> None:
        """Beside the database, for who cannot open that now."""
        self._told_at = time.monotonic()
        identity = self._identity
        said = {"operation": identity.operation, "source": identity.source, "target": identity.target}
        state = {"state": self._state, "begun": self._begun, "files": self._count + len(self._pending)}
        holder = {"pid": os.getpid() if pid == -1 else pid, "host": socket.gethostname(), "since": _now()}
        self._files.write_notes({**said, "meaning": dict(identity.meaning), **state, **holder})

    # --- writing ---

    def _write(self, act: Callable[[Connection], object]) -> bool:
        """Write what is pending, and what *act* writes: all of it, or nothing.

        Returns:
            Whether it is written.
        """
        with self._lock:
            if self._connection is None or self.broken:
                return False
            with self._guarded():
                with db.transaction(self._connection):
                    added = self._write_pending(self._connection)
                    act(self._connection)
                self._pending, self._count = {}, self._count + added
                if self._works and time.monotonic() - self._told_at >= _NOTES_SECONDS:
                    self._tell()
            return not self.broken

    def _write_pending(self, connection: Connection) -> int:
        """How many of them are new."""
        if not self._pending:
            return 0
        rows = [(*row, key) for key, row in self._pending.items()]
        added = connection.executemany(_NEW_DONE, rows).rowcount
        if added < len(rows):
            connection.executemany(_OTHER_DONE, rows)
        return added

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """What fails inside is told once, and never raised."""
        try:
            with db.failing():
                yield
        except db.DatabaseError as exc:
            self._damaged = self._damaged or isinstance(exc, db.DatabaseDamagedError)
            if not self.broken:
                self.broken = True
                _warn(
                    "journal_unavailable", f"from here on this transfer cannot be resumed inside of files: {exc}", self._identity
                )

    def _inherited(self) -> None:
        """In a forked child it is the parent's: to touch it, if only to close it, would damage it."""
        _parents.append(self._connection)
        with contextlib.suppress(Exception):  # at the end of the interpreter it would be closed after all
            import ctypes  # noqa: PLC0415 - for this only

            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))
        self._lock, self._connection, self._pending, self.broken = threading.RLock(), None, {}, True


_live: Final[weakref.WeakSet[Journal]] = weakref.WeakSet()
_parents: Final[list[Any]] = []


def _after_fork_in_child() -> None:
    for journal in list(_live):
        journal._inherited()
    _live.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


# --- beginning and ending ---


def _take(connection: Connection, identity: Identity, files: JournalFiles) -> None:
    """Have it alone, from now until it is closed.

    Raises:
        ConflictError: Another run has it.
    """
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    end = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            with db.failing():
                db.settle(connection)
                connection.execute("BEGIN EXCLUSIVE")
                connection.execute("COMMIT")
                return
        except db.DatabaseLockedError as exc:
            notes, over = files.read_notes(), time.monotonic() > end
            if is_alive(notes) or (over and notes.get("pid")):
                raise _conflict(identity, notes) from exc
            if over:  # file systems that cannot lock say this, too
                raise
        time.sleep(_PATIENCE_SECONDS / 50)


def _conflict(identity: Identity, notes: Mapping[str, Any]) -> ConflictError:
    who = f" (process {notes['pid']} on {notes['host']}, since {notes['since']})" if notes.get("pid") else ""
    return ConflictError(
        f"another run of this transfer is going on{who}",
        operation=identity.operation,
        url=identity.target,
        hint="Wait for its end, or end it: what has arrived until then is not moved again.",
    )


def _make_tables(connection: Connection) -> None:
    (application,), (schema,) = (connection.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version"))
    if (application, schema) == (_APPLICATION, _SCHEMA):
        return
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
        raise db.DatabaseDamagedError(f"it was written by something else, or by another release (schema {schema})")
    with db.transaction(connection):
        for statement in _TABLES:
            connection.execute(statement)


def _require_whole(connection: Connection) -> None:
    """After a killed run, look at all of it once: the machine may have gone down with it."""
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise db.DatabaseDamagedError(f"malformed: {found}")


# --- rows ---


def _key(key: str) -> bytes:
    """A name as it is kept: one on the web may be a signed URL."""
    return db.pack(redact_places(key))


def _row(done: Done) -> _Row:
    return db.pack(done.source), db.pack(done.target), ":".join(done.digest) if done.digest else None, done.verification


def _done(row: _Row) -> Done:
    source, target, digest, verification = row
    algorithm, _, value = (digest or "").partition(":")
    return Done(db.unpack(source), db.unpack(target), (algorithm, value) if digest else None, verification)


def _part_row(packed: bytes, part: Part) -> tuple[bytes, int, int, str, bytes]:
    return packed, part.number, part.size, part.crc32c, db.pack(part.receipt)


def _uploads(connection: Connection, packed: bytes | None = None) -> list[Unfinished]:
    """All of them, or that of one file."""
    rows = connection.execute(_UPLOADS) if packed is None else connection.execute(f"{_UPLOADS} WHERE key = ?", (packed,))
    return [
        Unfinished(db.unpack(target_key), db.unpack(token), part_size, db.unpack(source), _parts(connection, key))
        for key, target_key, token, part_size, source in rows.fetchall()
    ]


def _parts(connection: Connection, packed: bytes) -> dict[int, Part]:
    return {
        number: Part(number=number, size=size, crc32c=crc32c, receipt=db.unpack(receipt))
        for number, size, crc32c, receipt in connection.execute(_PARTS, (packed,))
    }


def _now() -> str:
    return datetime.now(tz=timezone.utc).isoformat(timespec="seconds")


def _warn(name: str, message: str, identity: Identity) -> None:
    emit(name, message, level=logging.WARNING, operation=identity.operation, id=identity.id)
