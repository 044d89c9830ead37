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
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

from persistence_fsspec.errors import ConflictError
from persistence_fsspec.events import emit
from persistence_fsspec.redaction import redact_places
from persistence_fsspec.store import Part
from persistence_fsspec.transfer import database as db
from persistence_fsspec.transfer import journal_rows as rows
from persistence_fsspec.transfer.journal_files import JournalFiles, gate, is_alive, journal_folder
from persistence_fsspec.transfer.journal_rows import Done, Unfinished
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

State = Literal["running", "interrupted", "failed", "complete"]
_GUARDS: Final = frozenset({"max_delete"})
"""What may be asked for in another way when a transfer that was refused is begun again."""


_BATCH: Final = 16
_BATCH_SECONDS: Final = 0.05
"""So much of what was noted may be lost with a killed process, whichever comes first; parts are written at once."""

_NOTES_SECONDS: Final = 5.0
_PATIENCE_SECONDS: Final = 1.0
"""Who only looks into a journal holds it for a moment, and is no other run."""


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
        meaning = {name: value for name, value in self.meaning.items() if name not in _GUARDS}
        said = json.dumps([socket.gethostname(), self.source, self.target, meaning], sort_keys=True)
        return hashlib.sha256(said.encode("ascii")).hexdigest()[:16]

    @property
    def owner(self) -> str:
        """Eight of them, which partial names carry."""
        return self.id[:8]


class Journal:
    """The journal of one transfer, which nobody else can open before it is closed. From any thread.

    Once it is open nothing here raises: what cannot be written is not, `broken` says so, and the transfer goes on. What
    was written before stays, and stays true.

    Attributes:
        was_interrupted: An earlier run was killed.
        was_left: An earlier run did not end with all files; it may have left something at the target.
        broken: From here on nothing is remembered.
    """

    def __init__(self, identity: Identity, files: JournalFiles, connection: Connection) -> None:
        self._identity, self._files = identity, files
        self._connection: Connection | None = connection
        self._lock = threading.RLock()
        self._pending: dict[bytes, rows.Row] = {}
        self._pending_since = self._told_at = time.monotonic()
        self._works = self._damaged = self.broken = False
        about = dict(connection.execute("SELECT name, value FROM about"))
        self._state, self._begun = about.get("state", ""), about.get("begun") or _now()
        self.was_interrupted = self._state == "running"
        self.was_left = self._state in {"running", "failed"}
        if self.was_interrupted:
            rows.require_whole(connection)
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
            rows.make_tables(connection)
            journal = cls(identity, files, connection)
            journal._tell()
            files.begin_tokens(begun.token for begun in rows.uploads_in(connection))
        except BaseException:
            db.end(connection)
            raise
        _live.add(journal)
        return journal

    # --- files that have arrived ---

    def done(self, key: str) -> Done | None:
        """What is known of a file, by its key at the source."""
        packed = rows.packed_key(key)
        with self._lock:
            row = self._pending.get(packed)
            if row is None and self._connection is not None and not self._damaged:
                with self._guarded():
                    row = self._connection.execute(rows.DONE, (packed,)).fetchone()
        return rows.done_of(row) if row is not None else None

    def note_done(self, key: str, done: Done) -> None:
        """Remember a file; it is written soon, together with others."""
        packed, row = rows.packed_key(key), rows.done_row(done)
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
        packed = rows.packed_key(key)

        def write(connection: Connection) -> None:
            self._count -= connection.execute("DELETE FROM done WHERE key = ?", (packed,)).rowcount

        self._write(write)

    def flush(self) -> None:
        """Write what is remembered, now."""
        self._write(lambda _: None)

    # --- objects in parts ---

    def note_upload(self, key: str, begun: Unfinished) -> None:
        """Remember an upload, at once, in place of any other of this file."""
        packed = rows.packed_key(key)
        told = (packed, rows.packed_key(begun.target_key), db.pack(begun.token), begun.part_size, db.pack(begun.source))

        def write(connection: Connection) -> None:
            self._files.add_token(begun.token)
            connection.execute("DELETE FROM part WHERE key = ?", (packed,))
            connection.execute(rows.NEW_UPLOAD, told)
            connection.executemany(rows.NEW_PART, [rows.part_row(packed, part) for part in begun.parts.values()])

        self._write(write)

    def note_part(self, key: str, part: Part) -> None:
        """Remember a part, at once: a killed run sends again what was in flight, and nothing else."""
        row = rows.part_row(rows.packed_key(key), part)
        self._write(lambda connection: connection.execute(rows.NEW_PART, row))

    def upload_of(self, key: str) -> Unfinished | None:
        """What has arrived of a file; None for nothing."""
        return next(iter(self._read_uploads(rows.packed_key(key))), None)

    def uploads(self) -> list[Unfinished]:
        """All that is unfinished."""
        return self._read_uploads()

    def upload_over(self, key: str) -> None:
        """It has become a file, or was given up."""
        packed, begun = rows.packed_key(key), self.upload_of(key)
        if begun is None:
            return

        def write(connection: Connection) -> None:
            connection.execute("DELETE FROM part WHERE key = ?", (packed,))
            connection.execute("DELETE FROM upload WHERE key = ?", (packed,))

        if self._write(write):
            with self._lock, self._guarded():
                self._files.drop_token(begun.token)

    def uploads_over(self) -> None:
        """None of them will be taken up."""
        keys: list[tuple[bytes]] = []
        with self._lock, self._guarded():
            if self._connection is not None and not self._damaged:
                keys = self._connection.execute("SELECT key FROM upload").fetchall()
        for (packed,) in keys:
            self.upload_over(db.unpack(packed))

    def _read_uploads(self, packed: bytes | None = None) -> list[Unfinished]:
        with self._lock, self._guarded():
            if self._connection is not None and not self._damaged:
                return rows.uploads_in(self._connection, packed)
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
        connection.executemany(rows.TELL, about)
        self._tell()

    def discard(self) -> None:
        """Close it, and leave nothing of it."""
        self._end(self._files.remove)

    def close(self) -> None:
        """Let others have it. A run that did not say how it ended was interrupted; one that did nothing leaves nothing."""
        with self._lock:
            if self._connection is None:
                return
            if self._damaged:
                self._end(self._files.put_aside)
            elif self._state in {"", "running"} and not (self._count or self._pending or self.uploads()):
                self.discard()
            else:
                if self._state == "running" and self._works:
                    self.set_state("interrupted")
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
        pending = [(*row, key) for key, row in self._pending.items()]
        added = connection.executemany(rows.NEW_DONE, pending).rowcount
        if added < len(pending):
            connection.executemany(rows.OTHER_DONE, pending)
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


def _now() -> str:
    return datetime.now(tz=timezone.utc).isoformat(timespec="seconds")


def _warn(name: str, message: str, identity: Identity) -> None:
    emit(name, message, level=logging.WARNING, operation=identity.operation, id=identity.id)
