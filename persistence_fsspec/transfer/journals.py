"""The journals of this machine, from outside: listed, looked up, forgotten and tidied without disturbing who works on one."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from persistence_fsspec.errors import ConflictError, InvalidOptionError, ObjectNotFoundError
from persistence_fsspec.transfer import database as db
from persistence_fsspec.transfer.journal_files import ASIDE, DATABASE, GIVEN_UP, NOTES, TOKENS, JournalFiles, gate, journal_folder

COUNT_DONE: Final = "SELECT count(*) FROM done"

_ID: Final = re.compile(r"[0-9a-f]{1,16}")
_DAY: Final = 24 * 3600.0
_TIDY_SECONDS: Final = 3600.0

_tidied: dict[Path, float] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One transfer that this machine remembers.

    Attributes:
        id: Sixteen digits.
        operation: ``put``, ``get``, ``copy``, ``move`` or ``sync``.
        source: URL, without credentials.
        target: URL, without credentials.
        meaning: What else it was asked for.
        state: ``running``; ``interrupted`` when its process was killed; ``failed`` when it ended without all files; ``complete``.
        begun: When its first run began; None where that is not known.
        files: That have arrived so far.
        process: Works on it; None when none does.
        host: The machine it runs, or ran, on.
    """

    id: str
    operation: str
    source: str
    target: str
    meaning: Mapping[str, Any]
    state: str
    begun: datetime | None
    files: int
    process: int | None
    host: str


def known() -> list[JournalEntry]:
    """All of them, the oldest first."""
    found = [_entry(files) for files in _all()]
    return sorted((one for one in found if one is not None), key=lambda one: (one.begun is not None, str(one.begun), one.id))


def entry(id: str) -> JournalEntry:
    """One of them.

    Args:
        id: The whole of it, or as much of its beginning as no other has.

    Raises:
        ObjectNotFoundError: There is none.
        InvalidOptionError: There are several that begin so.
    """
    found = _entry(_files(id))
    if found is None:
        raise _unknown(id)
    return found


def forget(id: str) -> None:
    """Remove one of them. What its transfer left unfinished at the target can be collected as garbage from then on.

    Args:
        id: See `entry`.

    Raises:
        ObjectNotFoundError: There is none.
        ConflictError: It is in use.
    """
    files = _files(id)
    try:
        with db.failing():
            given_up = JournalFiles(files.folder, GIVEN_UP)
            for token in files.tokens():
                given_up.add_token(token)
            _remove(files)
    except db.DatabaseLockedError:
        pid = files.read_notes().get("pid")
        raise ConflictError(
            f"transfer {files.id} is running{f', in process {pid}' if pid else ''}",
            operation="forget",
            hint="Wait for its end, or end it.",
        ) from None
    except db.DatabaseError as exc:
        raise ConflictError(f"the journal of transfer {files.id} cannot be removed: {exc}", operation="forget") from exc


def known_tokens() -> set[str]:
    """Of all uploads that some transfer can still take up; also of those that are running now."""
    return {token for files in _all() for token in files.tokens()}


def given_up_tokens() -> set[str]:
    """Of uploads whose transfers were forgotten: they may still lie at their stores, and are ours to remove."""
    with contextlib.suppress(OSError):
        return JournalFiles(journal_folder(), GIVEN_UP).tokens()
    return set()


def tidy(days: float = 30) -> None:
    """Remove the journals of transfers that are complete and were not run again for so long. Never raises."""
    with contextlib.suppress(OSError, db.DatabaseError):
        _tidy(journal_folder(), days)


def tidy_now_and_then(folder: Path) -> None:
    """For who opens a journal."""
    now = time.monotonic()
    if now - _tidied.get(folder, -_TIDY_SECONDS) >= _TIDY_SECONDS:
        _tidied[folder] = now
        tidy()


def _tidy(folder: Path, days: float) -> None:
    before = time.time() - days * _DAY
    for path in list(folder.iterdir()):
        with contextlib.suppress(OSError, db.DatabaseError), db.failing():
            if path.stat().st_mtime >= before:
                continue
            files = JournalFiles(folder, path.name.partition(".")[0])
            if path.suffix in {ASIDE, ".tmp"} or (path.suffix in {NOTES, TOKENS} and not files.database.exists()):
                path.unlink(missing_ok=True)
            elif path.suffix == DATABASE and files.read_notes().get("state", "") in {"", "complete"}:
                _remove(files)


# --- one journal ---


def _all() -> list[JournalFiles]:
    with contextlib.suppress(OSError):
        folder = journal_folder()
        return [JournalFiles(folder, path.stem) for path in folder.iterdir() if path.suffix == DATABASE]
    return []


def _files(id: str) -> JournalFiles:
    found = [files for files in _all() if files.id.startswith(id)] if _ID.fullmatch(id) else []
    if not found:
        raise _unknown(id)
    if len(found) > 1:
        raise InvalidOptionError(f"the ids of {len(found)} transfers begin with {id!r}", hint="Give more of its digits.")
    return found[0]


def _unknown(id: str) -> ObjectNotFoundError:
    return ObjectNotFoundError(
        f"this machine remembers no transfer {id}" if id else "nothing is remembered of that transfer",
        operation="resume",
        hint="A small one that ended well is not remembered, nor one of another machine: begin it again, as it was begun "
        "first, and what has arrived is skipped. `persist resume` lists what is remembered.",
    )


def _entry(files: JournalFiles) -> JournalEntry | None:
    """None of one that has not really begun, or tells nothing."""
    notes, running, count = files.read_notes(), False, None
    try:
        with db.failing():
            state, count = _look(files)
            notes = {**notes, "state": state}
    except db.DatabaseLockedError:
        running = True
    except db.DatabaseError:
        pass  # then what was told last is all there is
    state = str(notes.get("state") or "")
    if not state or not isinstance(notes.get("meaning"), dict):
        return None
    return JournalEntry(
        id=files.id,
        operation=str(notes.get("operation", "")),
        source=str(notes.get("source", "")),
        target=str(notes.get("target", "")),
        meaning=notes["meaning"],
        state="interrupted" if state == "running" and not running else state,
        begun=_moment(notes.get("begun")),
        files=int(notes.get("files") or 0) if count is None else count,
        process=notes.get("pid") if running else None,
        host=str(notes.get("host", "")),
    )


def _look(files: JournalFiles) -> tuple[str, int]:
    """State, and number of files. What a killed run has not written to the end is put right on the way."""
    with gate(files.folder):
        connection = db.connect(files.database)
        try:
            connection.execute("BEGIN")
            found = connection.execute("SELECT value FROM about WHERE name = 'state'").fetchone()
        except BaseException:
            db.end(connection)
            raise
    try:
        return (found[0] if found else ""), int(connection.execute(COUNT_DONE).fetchone()[0])
    finally:
        db.end(connection)


def _remove(files: JournalFiles) -> None:
    """Raises `DatabaseLockedError` while somebody has it."""
    with gate(files.folder):
        connection = db.connect(files.database)
        try:
            with contextlib.suppress(db.DatabaseDamagedError), db.failing():
                connection.execute("BEGIN EXCLUSIVE")
        finally:
            db.end(connection)
        files.remove()


def _moment(text: Any) -> datetime | None:
    with contextlib.suppress(TypeError, ValueError):
        return datetime.fromisoformat(text)
    return None
