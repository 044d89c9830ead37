"""The one screen of an error: what failed, where, why, whose credentials, and the next command."""

from __future__ import annotations

import json
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import typer

from persistence_fsspec.cli import logs, output
from persistence_fsspec.cli.exitcodes import INTERRUPTED, exit_code
from persistence_fsspec.cli.words import in_commands
from persistence_fsspec.errors import (
    AuthenticationError,
    ConnectionFailedError,
    IsAFolderError,
    ObjectExistsError,
    OperationTimeoutError,
    PermissionDeniedError,
    PersistenceError,
    ServerFailedError,
    ThrottledError,
    TransferError,
    UnknownProtocolError,
)
from persistence_fsspec.location import is_url, parse
from persistence_fsspec.redaction import redact

_FAILURES_SHOWN: Final = 10
_INTERRUPTED: Final = "interrupted; nothing half-written is left under a final name. To continue, give the same command again: what has arrived is kept."
_AGAIN: Final = {
    "delete": "The rest is deleted. Giving the same command again is safe.",
    "move": "The rest has arrived, and nothing was deleted at the source. Giving the same command again is safe.",
    "": "The rest has arrived. Giving the same command again is safe, and tries once more.",
}

Origins = Callable[[str], list[str]]
"""Told a URL, says line by line where the credentials for it come from."""

_flags: dict[str, int] = {"verbose": 0, "json": 0}


def begin(*, verbose: int, as_json: bool) -> None:
    """Remember what was said before the command's name, for the same options after it."""
    _flags.update(verbose=verbose, json=int(as_json))


def wants_json(after: bool) -> bool:
    """Whether ``--json`` was given, before or after the command's name."""
    return after or bool(_flags["json"])


@contextmanager
def one_screen(*, as_json: bool, verbose: int, origins: Origins | None = None) -> Iterator[None]:
    """Run a command: show its error on one screen without a traceback, and end with the error's code.

    Args:
        as_json: ``--json`` after the command's name.
        verbose: How often ``-v`` stands there.
        origins: Asked when a store refuses who we are.

    Raises:
        typer.Exit: Anything failed.
    """
    as_json, verbose = wants_json(as_json), max(verbose, _flags["verbose"])
    with logs.shown(verbose):
        try:
            yield
            output.flush()
        except PersistenceError as exc:
            _trace(exc, verbose)
            (_show_json if as_json else _show)(exc, origins)
            raise typer.Exit(exit_code(exc)) from None
        except KeyboardInterrupt:
            _say(
                as_json,
                {"class": "KeyboardInterrupt", "message": _INTERRUPTED, "retryable": True, "exit_code": INTERRUPTED},
                _INTERRUPTED,
            )
            raise typer.Exit(INTERRUPTED) from None
        except typer.Exit:
            raise
        except Exception as exc:
            if type(exc).__module__.partition(".")[0] in {"typer", "click"}:  # wrong use, shown by them
                raise
            _trace(exc, verbose)
            name = type(exc).__name__
            text = redact(f"unexpected {name}: {exc}")
            known = {"class": name, "message": redact(str(exc)), "retryable": False, "exit_code": 1}
            _say(as_json, known, f"error: {text}\n  This is a bug, not your mistake; -vv shows where it happened.")
            raise typer.Exit(1) from None


def usage_error(message: str) -> None:
    """Wrong use, as JSON."""
    _say(
        True,
        {"class": "UsageError", "message": redact(message), "hint": "persist --help", "retryable": False, "exit_code": 2},
        "",
    )


def _trace(exc: BaseException, verbose: int) -> None:
    if verbose >= 2:
        output.tell(redact("".join(traceback.format_exception(type(exc), exc, exc.__traceback__))).rstrip())


def _say(as_json: bool, error: dict[str, Any], text: str) -> None:
    if as_json:
        blank = {"class": "", "operation": "", "url": "", "message": "", "hint": "", "retryable": False, "exit_code": 1}
        output.tell(json.dumps({"schema": output.SCHEMA, "error": {**blank, **error}}))
    else:
        _red(text)


def _red(text: str) -> None:
    """The first line in red on a terminal."""
    first, _, rest = text.partition("\n")
    typer.secho(first, fg=typer.colors.RED, err=True, color=sys.stderr.isatty())
    if rest:
        output.tell(rest)


# --- ours ---


def as_dict(exc: PersistenceError) -> dict[str, Any]:
    """An error, for JSON."""
    return {
        "class": type(exc).__name__,
        "operation": exc.operation,
        "url": exc.url,
        "message": exc.message,
        "hint": " ".join(advice(exc)),
        "retryable": exc.retryable,
        "exit_code": exit_code(exc),
    }


def _show_json(exc: PersistenceError, origins: Origins | None) -> None:
    error = as_dict(exc)
    found = _origins(exc, origins)
    if found:
        error["credentials"] = found
    _say(True, error, "")


def _show(exc: PersistenceError, origins: Origins | None) -> None:
    where = " ".join(part for part in (exc.operation, exc.url) if part)
    found = _origins(exc, origins)
    told = [in_commands(line) for line in (*_failures(exc), *found)]
    lines = [in_commands(f"error: {where}: {exc.message}" if where else f"error: {exc.message}")]
    lines += [f"  {line}" for line in (*told, *advice(exc, origins_known=bool(found)))]
    _red("\n".join(redact(line) for line in lines))


def _failures(exc: PersistenceError) -> list[str]:
    if not isinstance(exc, TransferError) or exc.report is None:
        return []
    failed = exc.report.failed
    shown = [f"{output.printable(file.source)}: {file.error.message if file.error else ''}" for file in failed[:_FAILURES_SHOWN]]
    more = len(failed) - len(shown)
    return [*shown, *([f"... and {more:,} more; --json lists all"] if more else [])]


def _origins(exc: PersistenceError, origins: Origins | None) -> list[str]:
    """Where the credentials came from, when they are what is wrong; a failure to find out is not another error."""
    cause = _cause(exc)
    if not isinstance(cause, PermissionDeniedError) or origins is None or not is_url(cause.url):
        return []
    try:
        return origins(cause.url)
    except Exception:  # noqa: BLE001 - the error itself must be seen, whatever becomes of its explanation
        return []


def advice(exc: PersistenceError, *, origins_known: bool = False) -> list[str]:
    """What to do next, as commands where there is one.

    Args:
        exc: The error.
        origins_known: Where the credentials come from is told already.
    """
    hint = in_commands(exc.hint)
    said = isinstance(exc, (IsAFolderError, ThrottledError)) or (origins_known and "come from" in hint)
    found = [hint] if hint and not said else []
    if isinstance(exc, IsAFolderError) and exc.operation not in {"write", "open", "read"}:
        found.append("Add -r to take the folder with everything in it.")
    elif isinstance(exc, IsAFolderError):
        found.append("Name an object: a URL without a slash at its end.")
    elif isinstance(exc, ObjectExistsError) and not exc.hint:
        found.append("Without --no-overwrite it would be replaced.")
    elif isinstance(exc, ThrottledError):
        found.append("The store asks for fewer requests: try -p max_requests=4.")
    elif isinstance(exc, TransferError):
        found.append(_AGAIN.get(exc.operation, _AGAIN[""]))
    elif isinstance(exc, UnknownProtocolError) and "persist protocols" not in hint:
        found.append("persist protocols lists those there are.")
    return [*found, *_doctor(exc)]


def _cause(exc: PersistenceError) -> BaseException | None:
    """Of a transfer, why its first file failed."""
    return exc.__cause__ if isinstance(exc, TransferError) else exc


_DOCTORS: Final = (AuthenticationError, PermissionDeniedError, ConnectionFailedError, OperationTimeoutError, ServerFailedError)


def _doctor(exc: PersistenceError) -> list[str]:
    cause = _cause(exc)
    if not isinstance(cause, _DOCTORS) or not is_url(cause.url):
        return []
    location = parse(cause.url)
    if location.protocol in {"file", "local", "memory"}:
        return []
    return [f"Next: persist doctor {shlex.quote(str(location.with_key('')))}   (with the same -o and --profile)"]
