"""The files of a journal, and what stands beside its database for who may not open that: it is locked while in use.

* ``<id>.sqlite``: the database;
* ``<id>.json``: which transfer it is of, how that stands, and who works on it; replaced as a whole;
* ``<id>.tokens``: of unfinished uploads, one line each, so that nobody takes them for garbage; only ever appended to;
* ``gate``: locked by who opens or removes any of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from persistence_fsspec.transfer import database as db

if TYPE_CHECKING:
    from sqlite3 import Connection

STATE_DIR: Final = "PERSISTENCE_FSSPEC_STATE_DIR"
"""Names another folder for the journals."""

DATABASE: Final = ".sqlite"
NOTES: Final = ".json"
TOKENS: Final = ".tokens"
ASIDE: Final = ".aside"
"""A database that could not be used; the last one of each name is kept for a while."""

GIVEN_UP: Final = "given-up"
"""Stands for an id, with the tokens of uploads whose journals are forgotten: still ours, and nobody goes on with them."""

_ENDINGS: Final = (DATABASE, f"{DATABASE}-journal", NOTES, TOKENS)
_GATE: Final = "gate"
_GATE_SECONDS: Final = 5.0


def journal_folder() -> Path:
    """Where the journals of this machine lie.

    Raises:
        OSError: Nobody knows: there is no home folder.
    """
    named = os.environ.get(STATE_DIR)
    if named:
        return Path(os.path.abspath(os.path.expanduser(named)))
    import platformdirs  # noqa: PLC0415 - only who transfers trees pays for it

    found = platformdirs.user_state_path("persistence-fsspec", appauthor=False) / "transfers"
    if not found.is_absolute():
        raise OSError("the home folder is not known")
    return found


@contextlib.contextmanager
def gate(folder: Path) -> Iterator[None]:
    """Nobody else opens or removes a journal of this folder meanwhile.

    Their own locks do not suffice for that: who waits for the lock of a database that is being removed has it in the end,
    and takes the rollback journal of the next one of that name for that of its own.

    Raises:
        DatabaseLockedError: Somebody is in it, for ever, or nothing can be locked here.
    """
    path = folder / _GATE
    _create(path)
    connection, end = db.connect(path), time.monotonic() + _GATE_SECONDS
    try:
        while not _is_in(connection, path):
            if time.monotonic() > end:
                raise db.DatabaseLockedError("somebody is opening another journal, or nothing can be locked there")
            time.sleep(random.random() * _GATE_SECONDS / 1000)  # noqa: S311 - so that all have a chance
        yield
    finally:
        db.end(connection)


def _is_in(connection: Connection, path: Path) -> bool:
    """Try once to lock the gate."""
    try:
        with db.failing():
            connection.execute("PRAGMA synchronous=OFF")
            connection.execute("BEGIN EXCLUSIVE")
            if path.stat().st_size:
                return True
            connection.execute("PRAGMA user_version=1")  # to lock an empty one takes room on the disk, each time
            connection.execute("COMMIT")
    except db.DatabaseLockedError:
        pass
    return False


def _create(path: Path) -> None:
    """An empty file, if there is none; one that is there is not even opened: to close it would end SQLite's locks on it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


@dataclass(frozen=True, slots=True)
class JournalFiles:
    """The files of one journal.

    Attributes:
        folder: Where they lie.
        id: Of the transfer.
    """

    folder: Path
    id: str

    @property
    def database(self) -> Path:
        """The journal itself."""
        return self.folder / f"{self.id}{DATABASE}"

    @property
    def _tokens(self) -> Path:
        return self.folder / f"{self.id}{TOKENS}"

    @property
    def notes(self) -> Path:
        """What is told of it."""
        return self.folder / f"{self.id}{NOTES}"

    # --- all of them, behind the `gate` ---

    def create(self) -> None:
        """See that there is a database, if an empty one."""
        _create(self.database)

    def put_aside(self) -> None:
        """Make room for another database. What is noted of uploads goes: nobody can take them up any more."""
        os.replace(self.database, self.folder / f"{self.id}{ASIDE}")
        self._remove(_ENDINGS[1:])

    def remove(self) -> None:
        """Leave none."""
        self._remove(_ENDINGS)

    def _remove(self, endings: Iterable[str]) -> None:
        for ending in endings:
            (self.folder / f"{self.id}{ending}").unlink(missing_ok=True)

    # --- what is told of it ---

    def read_notes(self) -> dict[str, Any]:
        """As they were last written; empty where there are none that can be read."""
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(self.notes.read_text(encoding="ascii"))
            return found if isinstance(found, dict) else {}
        return {}

    def write_notes(self, notes: Mapping[str, Any]) -> None:
        """Replace them."""
        self._replace(self.notes, json.dumps(notes))

    def _replace(self, path: Path, text: str) -> None:
        fresh = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        with open(os.open(fresh, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w", encoding="ascii") as file:
            file.write(text)
        os.replace(fresh, path)

    # --- tokens ---

    def tokens(self) -> set[str]:
        """Of unfinished uploads. Rather one that is over than one too few."""
        found: set[str] = set()
        with contextlib.suppress(OSError):
            for line in self._tokens.read_text(encoding="ascii", errors="replace").splitlines():
                with contextlib.suppress(ValueError):  # the last line of a run that was killed
                    token = str(json.loads(line[1:]))
                    (found.discard if line[0] == "-" else found.add)(token)
        return found

    def begin_tokens(self, tokens: Iterable[str]) -> None:
        """Begin the list anew."""
        lines = "".join(f"+{json.dumps(token)}\n" for token in tokens)
        if lines or self._tokens.exists():
            self._replace(self._tokens, lines)

    def add_token(self, token: str) -> None:
        """Before the database knows it."""
        self._append(f"+{json.dumps(token)}\n")

    def drop_token(self, token: str) -> None:
        """After the database has forgotten it."""
        self._append(f"-{json.dumps(token)}\n")

    def _append(self, line: str) -> None:
        descriptor = os.open(self._tokens, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        try:
            if os.write(descriptor, line.encode("ascii")) < len(line):
                raise OSError("no room for a line")
        finally:
            os.close(descriptor)


def is_alive(notes: Mapping[str, Any]) -> bool:
    """Whether the process that the notes name may still be at work; one of another machine always may."""
    pid = notes.get("pid")
    if not isinstance(pid, int):
        return False
    if notes.get("host") != socket.gethostname() or os.name == "nt":  # there, a signal 0 is no question
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it is somebody else's
    return True
