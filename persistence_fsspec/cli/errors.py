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
from persistence_fsspec.cli.causes import causes, errors_of, is_bucket_missing, refused_deletion, report_of, sole_cause
from persistence_fsspec.cli.exitcodes import INTERRUPTED, exit_code
from persistence_fsspec.cli.words import in_commands
from persistence_fsspec.diagnosis.endpoints import ELSEWHERE
from persistence_fsspec.errors import (
    AuthenticationError,
    ConnectionFailedError,
    InvalidOptionError,
    IsAFolderError,
    ObjectExistsError,
    ObjectNotFoundError,
    OperationTimeoutError,
    PermissionDeniedError,
    PersistenceError,
    ServerFailedError,
    ThrottledError,
    UnknownProtocolError,
)
from persistence_fsspec.location import is_url, local_path, parse
from persistence_fsspec.redaction import redact

_FILES_SHOWN: Final = 20
_INTERRUPTED: Final = "interrupted"
_REST: Final = {
    "delete": ("The rest is deleted.", "the same command deletes what is left."),
    "move": (
        "The rest has arrived, and nothing was deleted at the source.",
        "the same command again copies what is missing, and then deletes.",
    ),
    "": ("The rest has arrived.", "the same command again copies what is missing."),
}
_AWS: Final = "amazonaws.com"
_WILD: Final = frozenset("*?[")

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
def one_screen(
    *,
    as_json: bool,
    verbose: int,
    origins: Origins | None = None,
    verb: str = "",
    interrupted: str | Callable[[], str] = _INTERRUPTED,
) -> Iterator[None]:
    """Run a command: show its error on one screen without a traceback, and end with the error's code.

    Args:
        as_json: ``--json`` after the command's name.
        verbose: How often ``-v`` stands there.
        origins: Asked when a store refuses who we are.
        verb: What the user typed, in place of the library's word for what went wrong inside.
        interrupted: What is true after Ctrl-C; a function is asked then.

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
            if exc.operation or exc.url:
                exc.operation = verb or exc.operation
            (_show_json if as_json else _show)(exc, origins)
            raise typer.Exit(exit_code(exc)) from None
        except typer.Exit:
            raise
        except RuntimeError as exc:
            if "home directory" not in str(exc).lower():
                raise _bug(exc, as_json, verbose) from None
            _trace(exc, verbose)
            known = InvalidOptionError("the home folder is not known", hint="Set HOME to it, as an absolute path.")
            (_show_json if as_json else _show)(known, None)
            raise typer.Exit(exit_code(known)) from None
        except KeyboardInterrupt:
            said = interrupted if isinstance(interrupted, str) else interrupted()
            told = {"class": "KeyboardInterrupt", "message": said, "retryable": True, "exit_code": INTERRUPTED}
            _say(as_json, told, said)
            raise typer.Exit(INTERRUPTED) from None
        except Exception as exc:
            if type(exc).__module__.partition(".")[0] in {"typer", "click"}:  # wrong use, shown by them
                raise
            raise _bug(exc, as_json, verbose) from None


def _bug(exc: Exception, as_json: bool, verbose: int) -> typer.Exit:
    _trace(exc, verbose)
    name = type(exc).__name__
    text = redact(f"unexpected {name}: {exc}")
    known = {"class": name, "message": redact(str(exc)), "retryable": False, "exit_code": 1}
    _say(as_json, known, f"error: {text}\n  This is a bug, not your mistake; -vv shows where it happened.")
    return typer.Exit(1)


def usage_error(message: str) -> None:
    """Wrong use, as JSON."""
    _say(
        True,
        {"class": "UsageError", "message": redact(message), "hint": "persist --help", "retryable": False, "exit_code": 2},
        "",
    )


def _trace(exc: BaseException, verbose: int) -> None:
    if verbose >= 2:
        told = redact("".join(traceback.format_exception(type(exc), exc, exc.__traceback__))).rstrip()
        output.tell(output.printable_lines(told, sys.stderr))


def _say(as_json: bool, error: dict[str, Any], text: str) -> None:
    if as_json:
        blank = {"class": "", "operation": "", "url": "", "message": "", "hint": "", "retryable": False, "exit_code": 1}
        output.tell(json.dumps({"schema": output.SCHEMA, "error": {**blank, **error}}))
    else:
        _red(text)


def _red(text: str) -> None:
    """The first line in red on a terminal."""
    first, _, rest = output.printable_lines(text, sys.stderr).partition("\n")
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
        "message": _summary(exc),
        "hint": " ".join(advice(exc)),
        "retryable": exc.retryable,
        "exit_code": exit_code(exc),
    }


def _show_json(exc: PersistenceError, origins: Origins | None) -> None:
    error = as_dict(exc)
    found = _origins(exc, origins)
    if found:
        error["credentials"] = found
    listed = causes(exc)
    if listed:
        error["causes"] = [
            {"class": type(one.error).__name__, "message": redact(one.message), "files": one.files, "example": one.example}
            for one in listed
        ]
    _say(True, error, "")


def _show(exc: PersistenceError, origins: Origins | None) -> None:
    where = " ".join(part for part in (exc.operation, exc.url) if part)
    found = _origins(exc, origins)
    told = [in_commands(line) for line in (*_failures(exc), *found)]
    summary = in_commands(_summary(exc))
    lines = [f"error: {where}: {summary}" if where else f"error: {summary}"]
    lines += [f"  {line}" for line in (*told, *advice(exc, origins_known=bool(found)))]
    _red("\n".join(redact(line) for line in lines))


def _summary(exc: PersistenceError) -> str:
    """What happened, in one line; of a transfer, how many files did not arrive."""
    report, sole = report_of(exc), sole_cause(exc)
    if report is None:
        return exc.message
    refusal = refused_deletion(exc)
    if refusal is not None:
        return refusal.message
    if sole is None:
        failed = f"{len(report.failed):,}"
        return f"{failed} of {len(report.files):,} files failed" if report.operation != "delete" else f"{failed} objects stay"
    done, name = "moved" if report.operation == "move" else "copied", output.printable(sole.example, sys.stderr)
    whole = is_bucket_missing(sole.error) or isinstance(sole.error, _OF_THE_STORE)  # not a matter of this or that file
    which = f"{output.files(sole.files)}{'' if whole else f', such as {name}'}" if sole.files > 1 else name
    return f"nothing was {done}: {sole.message} ({which})"


def _failures(exc: PersistenceError) -> list[str]:
    """Every file with its reason, or the first ones, each reason among them."""
    if sole_cause(exc) is not None or refused_deletion(exc) is not None:
        return []
    found = causes(exc)
    shown = [(name, cause) for cause in found for name in cause.examples[:1]][:_FILES_SHOWN]
    others = [(name, cause) for cause in found for name in cause.examples[1:]]
    shown += others[: _FILES_SHOWN - len(shown)]
    lines = [f"{output.printable(name, sys.stderr)}: {cause.message}" for name, cause in shown]
    more = sum(cause.files for cause in found) - len(shown)
    if not more:
        return lines
    reasons = len(found) - len({id(cause) for _, cause in shown})
    why = f", for {reasons:,} other reason{'' if reasons == 1 else 's'} too" if reasons else ", for the same reasons"
    return [*lines, f"... and {more:,} more{why}; --json lists all files"]


def _origins(exc: PersistenceError, origins: Origins | None) -> list[str]:
    """Where the credentials came from, when they are what is wrong; a failure to find out is not another error."""
    refused = next((one for one in errors_of(exc) if isinstance(one, PermissionDeniedError) and is_url(one.url)), None)
    if refused is None or origins is None:
        return []
    try:
        return origins(refused.url)
    except Exception:  # noqa: BLE001 - the error itself must be seen, whatever becomes of its explanation
        return []


# --- what to do next ---


def advice(exc: PersistenceError, *, origins_known: bool = False) -> list[str]:
    """What to do next, as commands where there is one.

    Args:
        exc: The error.
        origins_known: Where the credentials come from is told already.
    """
    report = report_of(exc)
    if report is None:
        return [*_advice(exc, origins_known=origins_known), *_next(exc)]
    sole, found, refusal = sole_cause(exc), causes(exc), refused_deletion(exc)
    if refusal is not None:
        return [*(["All that is new or different has arrived."] if report.copied else []), in_commands(refusal.hint)]
    if sole is not None:
        return [*_advice(sole.error, origins_known=origins_known), *_next(sole.error)]
    lines = _advice(found[0].error, origins_known=origins_known) if len(found) == 1 else []
    rest, again = _REST.get(report.operation, _REST[""])
    told = [rest] if report.copied or report.operation == "delete" else []
    if any(type(one.error).retryable for one in found):  # an error itself is final once it has been repeated
        told.append(f"This may pass: {again}")
    elif not all(isinstance(one.error, ObjectExistsError) for one in found):
        told.append(f"Once that is mended, {again}")
    doctor = next((line for one in found for line in _next_doctor(one.error)), "")
    return [*lines, *([" ".join(told)] if told else []), *([doctor] if doctor else [])]


def _advice(exc: PersistenceError, *, origins_known: bool) -> list[str]:
    hint = in_commands(exc.hint)
    said = isinstance(exc, (IsAFolderError, ThrottledError)) or (origins_known and "come from" in hint)
    found = [hint] if hint and not said else []
    if isinstance(exc, IsAFolderError) and exc.operation not in {"write", "open", "read", "cat"}:
        found.append("Add -r to take the folder with everything in it.")
    elif isinstance(exc, IsAFolderError):
        found.append("Name an object: a URL without a slash at its end.")
    elif isinstance(exc, ObjectExistsError) and not exc.hint:
        found.append("Without --no-overwrite it would be replaced.")
    elif isinstance(exc, ThrottledError):
        found.append("The store asks for fewer requests: try -p max_requests=4.")
    elif isinstance(exc, UnknownProtocolError) and "persist protocols" not in hint:
        found.append("persist protocols lists those there are.")
    elif isinstance(exc, ConnectionFailedError) and _AWS in exc.message:
        found.append(f"If no endpoint_url was given, this is AWS; {ELSEWHERE}")
    elif isinstance(exc, ObjectNotFoundError) and not is_bucket_missing(exc) and _WILD & set(_key(exc.url)):
        found.append("Names are literal, and * ? [ mean themselves; cp -r takes patterns: --include '*.csv'.")
    elif isinstance(exc, InvalidOptionError) and "is not TOML" in exc.message and not hint:
        found.append("Mend that line; persist config validate checks the whole file.")
    elif is_bucket_missing(exc) and not hint:
        found.append("Check the bucket's name, the region, and the endpoint.")
    return found


def _key(url: str) -> str:
    try:
        return parse(url).key if is_url(url) else ""
    except PersistenceError:
        return ""


def _next(exc: PersistenceError) -> list[str]:
    """The command that shows more: the doctor for a store, a listing for a name."""
    return _next_doctor(exc) or _next_listing(exc)


_OF_THE_STORE: Final = (AuthenticationError, ConnectionFailedError, OperationTimeoutError, ServerFailedError)


def _next_doctor(exc: PersistenceError) -> list[str]:
    if not isinstance(exc, (*_OF_THE_STORE, PermissionDeniedError)) and not is_bucket_missing(exc):
        return []
    if not is_url(exc.url):
        return []
    location = parse(exc.url)
    if location.protocol in {"file", "local", "memory"}:
        return []
    return [f"Next: persist doctor {shlex.quote(str(location.with_key('')))}   (with the same -o and --profile)"]


def _next_listing(exc: PersistenceError) -> list[str]:
    key = _key(exc.url).strip("/")
    if not isinstance(exc, ObjectNotFoundError) or exc.hint or not key:
        return []
    parent = parse(exc.url).with_key(key.rpartition("/")[0])
    shown = str(local_path(parent.key)) if parent.protocol == "file" else str(parent)
    return [f"Next: persist ls {shlex.quote(shown)}"]
