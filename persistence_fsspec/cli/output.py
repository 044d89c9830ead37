"""What goes to standard output: the same answer as a table for people or as JSON for programs.

Results go to standard output; whatever is only for people (progress, questions,
summaries, errors, log lines) goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final, TextIO

import typer

from persistence_fsspec.cli.exitcodes import CLOSED_PIPE
from persistence_fsspec.errors import StoreError
from persistence_fsspec.store import ObjectInfo
from persistence_fsspec.transfer.counts import size

__all__ = [
    "JsonList",
    "as_json",
    "entry_of",
    "fields",
    "files",
    "flush",
    "printable",
    "printable_lines",
    "size",
    "table",
    "tell",
    "to_nowhere",
    "when",
    "write",
]

SCHEMA: Final = 1
"""Of every JSON object that is printed; it changes when a field changes its meaning."""

_CONTROL: Final = {code: repr(chr(code))[1:-1] for code in (*range(32), 127, *range(128, 160))}


def write(data: bytes | str) -> None:
    """Bytes, or a line of text, to standard output.

    Raises:
        typer.Exit: Nobody reads any more; quietly, as other tools do.
        StoreError: It is closed, or what it leads to is full.
    """
    if sys.stdout is None:
        raise StoreError("standard output is closed")
    if isinstance(data, bytes):
        _guarded(lambda: sys.stdout.buffer.write(data))
    else:
        _guarded(lambda: print(data))


def flush() -> None:
    """Send what is still buffered, while a closed pipe can be told from a bug."""
    if sys.stdout is not None:
        _guarded(sys.stdout.flush)


def _guarded(act: Callable[[], Any]) -> None:
    try:
        act()
    except BrokenPipeError:
        to_nowhere()
        raise typer.Exit(CLOSED_PIPE) from None
    except OSError as exc:
        to_nowhere()
        raise StoreError(f"standard output cannot be written: {exc.strerror or exc}") from None


def to_nowhere() -> None:
    """Python flushes once more at exit, and would complain then."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def tell(text: str) -> None:
    """A line for people, to standard error."""
    print(text, file=sys.stderr)


def printable(name: str, stream: TextIO | None = None) -> str:
    """A name as a terminal may show it: nothing in it moves the cursor. Elsewhere it stays as it is.

    Args:
        name: From anywhere.
        stream: Where it goes; None for standard output.
    """
    shown = stream or sys.stdout
    return name.translate(_CONTROL) if shown is not None and shown.isatty() else name


def printable_lines(text: str, stream: TextIO) -> str:
    """As `printable`, of a text whose line ends are its own."""
    return "\n".join(printable(line, stream) for line in text.split("\n"))


def as_json(value: Mapping[str, Any]) -> None:
    """One object, with its schema."""
    write(json.dumps({"schema": SCHEMA, **value}, indent=2, default=str))


class JsonList:
    """One JSON object with a list in it, printed while it is found: one entry per line, and no memory.

    Args:
        head: The fields before the list.
        name: Of the list.
    """

    def __init__(self, head: Mapping[str, Any], name: str) -> None:
        fields = "".join(f"{json.dumps(key)}: {json.dumps(value)}, " for key, value in {"schema": SCHEMA, **head}.items())
        self._open, self._count = f"{{{fields}{json.dumps(name)}: [", 0

    def add(self, entry: Mapping[str, Any]) -> None:
        """One more."""
        write(f",{json.dumps(entry)}" if self._count else f"{self._open}\n {json.dumps(entry)}")
        self._count += 1

    def close(self, *, complete: bool, **more: Any) -> None:
        """The end; *complete* says whether it is all there is, *more* are fields that are known only now."""
        head = "" if self._count else self._open
        last = {"count": self._count, "complete": complete, **more}
        fields = ", ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in last.items())
        write(f"{head}], {fields}}}")


def table(rows: Iterable[Sequence[str]], headers: Sequence[str]) -> None:
    """Columns as wide as they must be; nothing is cut off."""
    lines = [tuple(headers), *(tuple(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headers))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        write(printable("  ".join(cells).rstrip()))


def fields(pairs: Iterable[tuple[str, str]]) -> None:
    """Names and values, one pair per line."""
    found = list(pairs)
    width = max((len(name) for name, _ in found), default=0)
    for name, value in found:
        write(printable(f"{name.rjust(width)}  {value}"))


def entry_of(info: ObjectInfo, name: str) -> dict[str, Any]:
    """An object or folder, for JSON."""
    return {
        "name": name,
        "kind": info.kind,
        "size": info.size,
        "modified": when(info.modified) or None,
        "version": info.version,
        "digest": ":".join(info.digest) if info.digest else None,
        "link": info.link,
    }


def when(moment: datetime | None) -> str:
    """In UTC, to the second."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else ""


def files(count: int) -> str:
    """``1 file``, ``2 files``."""
    return f"{count:,} file{'' if count == 1 else 's'}"
