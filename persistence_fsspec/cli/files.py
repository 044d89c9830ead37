"""``cp``, ``mv``, ``rm`` and ``cat``."""

from __future__ import annotations

import contextlib
import itertools
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Annotated, Any, BinaryIO, Final

import typer

from persistence_fsspec.cli import output
from persistence_fsspec.cli.diagnose import origins_of
from persistence_fsspec.cli.errors import as_dict, one_screen, wants_json
from persistence_fsspec.cli.guards import refuse_local_chain, refuse_memory, refuse_root
from persistence_fsspec.cli.options import AsJson, Options, Policies, Profile, Verbose, address, persistence_for, storage_options
from persistence_fsspec.errors import (
    InvalidOptionError,
    NotAFolderError,
    ObjectNotFoundError,
    PersistenceError,
    TransferError,
)
from persistence_fsspec.location import is_url
from persistence_fsspec.persistence import FSSpecPersistence
from persistence_fsspec.redaction import redact
from persistence_fsspec.transfer.progress import Progress, RichProgress
from persistence_fsspec.transfer.remove import entries
from persistence_fsspec.transfer.report import TransferReport

_STREAM: Final = "-"
_PIECE: Final = 1024 * 1024
_COUNTED: Final = 10_000
_SHOWN: Final = 5

_WHOLE: Final = "interrupted; nothing half-written stands under a final name. The same command begins again"
_COPYING: Final = f"{_WHOLE} and copies all of it."
_MOVING: Final = f"{_WHOLE} with what is still at the source."
_DELETING: Final = "interrupted; what is deleted is gone. The same command deletes what is left."

Recursive = Annotated[bool, typer.Option("-r", "--recursive", help="Folders, too, with everything in them.")]
Include = Annotated[
    list[str] | None, typer.Option("--include", metavar="PATTERN", help="Of a folder, only these names; may be repeated.")
]
Exclude = Annotated[
    list[str] | None, typer.Option("--exclude", metavar="PATTERN", help="Of a folder, none of these names; may be repeated.")
]
NoOverwrite = Annotated[bool, typer.Option("--no-overwrite", help="A name that is taken is an error; what is there stays.")]

CP_EXAMPLES: Final = """\b
Examples:
  persist cp report.pdf s3://my-bucket/reports/        into a folder, under its own name
  persist cp -r results s3://my-bucket/results         a tree: its contents go into the target
  persist cp -r s3://my-bucket/results back            and back; twice gives the same tree
  persist cp -r s3://a/x ftp://host/x -o ftp.username=me -o ftp.password@env=FTP_PASSWORD
  persist cp -r logs s3://b/logs --include '*.log' --exclude 'tmp/'   (quote patterns; as in .gitignore)
  pg_dump db | persist cp - s3://b/db.sql              from standard input; a target '-' is standard output

Interrupted? Nothing stands half-written under a final name; the same command begins again and copies all of it."""


def cp(
    source: Annotated[str, typer.Argument(metavar="SRC", help="A URL, a local path, or - for standard input.")],
    target: Annotated[str, typer.Argument(metavar="DST", help="A URL, a local path, or - for standard output.")],
    recursive: Recursive = False,
    include: Include = None,
    exclude: Exclude = None,
    no_overwrite: NoOverwrite = False,
    profile: Profile = None,
    option: Options = None,
    policy: Policies = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Copy a file or a tree from anywhere to anywhere, verified."""
    given = [text for text in (source, target) if text != _STREAM]
    origins = origins_of(given, profile, option)
    with one_screen(as_json=as_json, verbose=verbose, origins=origins, interrupted=_COPYING):
        urls = [address(text) for text in given]
        if target != _STREAM:
            refuse_memory(urls[-1], source=urls[0] if source != _STREAM else "")
        persistence = persistence_for(urls, profile=profile, options=option, policies=policy)
        if _STREAM in (source, target):
            _refuse_with_stream(recursive=recursive, patterns=bool(include or exclude), both=source == target)
            if target == _STREAM:
                _print_object(persistence, urls[0])
            else:
                _store_input(persistence, urls[0], overwrite=not no_overwrite, as_json=wants_json(as_json))
            return
        run = partial(persistence.copy, urls[0], urls[1], recursive, overwrite=not no_overwrite, include=include, exclude=exclude)
        report = _transfer(run, as_json=wants_json(as_json))
        if not wants_json(as_json):
            _tell(report, source, target, include or (), exclude or ())
        elif not report.files:
            _tell_why_nothing(source, include or (), exclude or ())


MV_EXAMPLES: Final = """\b
Examples:
  persist mv s3://my-bucket/a.txt s3://my-bucket/b.txt
  persist mv -r ftp://host/inbox s3://my-bucket/inbox  copied, verified, and only then deleted"""


def mv(
    source: Annotated[str, typer.Argument(metavar="SRC", help="A URL or a local path.")],
    target: Annotated[str, typer.Argument(metavar="DST", help="A URL or a local path.")],
    recursive: Recursive = False,
    include: Include = None,
    exclude: Exclude = None,
    no_overwrite: NoOverwrite = False,
    profile: Profile = None,
    option: Options = None,
    policy: Policies = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Move a file or a tree; only what is verified is deleted."""
    origins = origins_of([source, target], profile, option)
    with one_screen(as_json=as_json, verbose=verbose, origins=origins, interrupted=_MOVING):
        urls = [address(source), address(target)]
        refuse_memory(urls[1])
        if recursive:
            refuse_local_chain(urls[0], storage_options(option or (), urls), operation="move")
        persistence = persistence_for(urls, profile=profile, options=option, policies=policy)
        if recursive:
            refuse_root(persistence, urls[0], operation="move")
        run = partial(persistence.move, urls[0], urls[1], recursive, overwrite=not no_overwrite, include=include, exclude=exclude)
        report = _transfer(run, as_json=wants_json(as_json))
        if not wants_json(as_json):
            _tell(report, source, target, include or (), exclude or ())


RM_EXAMPLES: Final = """\b
Examples:
  persist rm s3://my-bucket/old.txt
  persist rm -r s3://my-bucket/old                     asks before it deletes more than one object
  persist rm -r --yes s3://my-bucket/old               for scripts

The root of a store, the home folder and the working folder are never deleted. Names are literal: * and ? mean themselves."""


def rm(
    urls: Annotated[list[str], typer.Argument(metavar="URL...", help="URLs or local paths.")],
    recursive: Recursive = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete more than one object without asking.")] = False,
    missing_ok: Annotated[bool, typer.Option("--missing-ok", help="What is not there is no error.")] = False,
    profile: Profile = None,
    option: Options = None,
    policy: Policies = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Delete objects, and with -r trees."""
    origins = origins_of(urls, profile, option)
    with one_screen(as_json=as_json, verbose=verbose, origins=origins, interrupted=_DELETING):
        places = [address(text) for text in urls]
        for place in places if recursive else ():
            refuse_local_chain(place, storage_options(option or (), places), operation="delete")
        persistence = persistence_for(places, profile=profile, options=option, policies=policy)
        for place in places:
            refuse_root(persistence, place)
        if not yes:
            _ask(partial(_doomed, persistence, places, recursive=recursive), as_json=wants_json(as_json))
        deleted, count, failed = _delete(persistence, places, recursive=recursive, missing_ok=missing_ok)
        if wants_json(as_json):
            errors = [as_dict(error) for error in failed]
            output.as_json({"operation": "delete", "deleted": deleted, "count": count, "failed": errors})
        elif recursive or len(places) > 1:
            output.tell(f"deleted {count:,} object{'' if count == 1 else 's'}")
        if len(failed) > 1 and not wants_json(as_json):
            output.tell("\n".join(f"error: {output.printable(redact(str(error)), sys.stderr)}" for error in failed[1:]))
        if failed:
            raise failed[0]


CAT_EXAMPLES: Final = """\b
Examples:
  persist cat s3://my-bucket/data.csv | head
  persist cat 'https://host/a.gz?version=2' | gunzip   (quote what the shell would read)

Standard output is the bytes and nothing else; --json concerns errors only."""


def cat(
    urls: Annotated[list[str], typer.Argument(metavar="URL...", help="URLs or local paths.")],
    profile: Profile = None,
    option: Options = None,
    policy: Policies = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Print objects as they are, one after the other."""
    with one_screen(as_json=as_json, verbose=verbose, origins=origins_of(urls, profile, option), verb="cat"):
        places = [address(text) for text in urls]
        persistence = persistence_for(places, profile=profile, options=option, policies=policy)
        for place in places:
            _print_object(persistence, place)


# --- cp and mv ---


def _transfer(run: Callable[..., TransferReport], *, as_json: bool) -> TransferReport:
    """Run it with progress on a terminal; as JSON, print its report, also that of one that failed in part."""
    try:
        report = run(progress=None if as_json else progress_bar())
    except TransferError as exc:
        if as_json and exc.report is not None:
            output.as_json(exc.report.as_dict())
        raise
    if as_json:
        output.as_json(report.as_dict())
    return report


def progress_bar() -> Progress | None:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        return None
    from rich.console import Console

    return RichProgress(console=Console(stderr=True))


def _tell(report: TransferReport, source: str, target: str, include: Sequence[str], exclude: Sequence[str]) -> None:
    """One line about what was done, or why nothing was."""
    if not report.files:
        _tell_why_nothing(source, include, exclude)
        return
    if not report.copied and report.source == report.target:
        output.tell("nothing to do: source and target are the same")
        return
    done = "moved" if report.operation == "move" else "copied"
    where = output.printable(report.target if is_url(target) else target, sys.stderr)
    verified = f", verified by {report.verification}" if report.verification else ""
    skipped = f", {output.files(len(report.skipped))} had nothing to do" if report.skipped else ""
    moved = f"{done} {output.files(len(report.copied))}, {output.size(report.bytes)} in {report.seconds:.1f} s"
    output.tell(f"{moved} to {where}{verified}{skipped}")


def _tell_why_nothing(source: str, include: Sequence[str], exclude: Sequence[str]) -> None:
    where = output.printable(redact(source), sys.stderr)
    patterns = [*(f"--include {shlex.quote(one)}" for one in include), *(f"--exclude {shlex.quote(one)}" for one in exclude)]
    if patterns:
        output.tell(f"nothing was copied: no file in {where} is left by {' '.join(patterns)}")
    else:
        output.tell(f"nothing was copied: there are no files in {where}")


def _refuse_with_stream(*, recursive: bool, patterns: bool, both: bool) -> None:
    if recursive or patterns or both:
        raise InvalidOptionError("- stands for one stream: without -r, without patterns, and on one side only")


def _store_input(persistence: FSSpecPersistence, url: str, *, overwrite: bool, as_json: bool) -> None:
    """Standard input, under a name that appears when all of it has arrived."""
    if sys.stdin is None:
        raise InvalidOptionError("- stands for standard input, which is closed")
    source: BinaryIO = sys.stdin.buffer
    moved = 0
    with persistence.open(url, "wb" if overwrite else "xb") as sink:
        while piece := source.read(_PIECE):
            sink.write(piece)
            moved += len(piece)
    where = persistence.url(url)
    if as_json:
        output.as_json({"operation": "copy", "source": _STREAM, "target": where, "bytes": moved})
    else:
        output.tell(f"copied {output.size(moved)} to {output.printable(where, sys.stderr)}")


def _print_object(persistence: FSSpecPersistence, url: str) -> None:
    store, key = persistence.store_and_key(url)
    for piece in store.stream(key):
        output.write(piece)


# --- rm ---


def _doomed(persistence: FSSpecPersistence, urls: list[str], *, recursive: bool) -> Iterator[str]:
    """URLs of everything that would be deleted."""
    for url in urls:
        store, key = persistence.store_and_key(url)
        try:
            info = store.info(key)
        except ObjectNotFoundError:  # or a link to nowhere: delete() knows
            continue
        if not info.is_folder or info.link:
            yield store.url(key)
        if recursive and (store.capabilities.flat or (info.is_folder and not info.link)):
            with contextlib.suppress(ObjectNotFoundError, NotAFolderError):
                yield from (store.url(entry.key) for entry in entries(store, key))


def _ask(doomed: Callable[[], Iterator[str]], *, as_json: bool) -> None:
    """Go on with one object, or with a yes to what is there now; refuse where nobody can be asked.

    Args:
        doomed: Lists what would be deleted, each time it is called.
        as_json: Nobody is asked.

    Raises:
        InvalidOptionError: Nobody can be asked.
        typer.Exit: The answer is no.
    """
    found = list(itertools.islice(doomed(), _COUNTED + 1))
    if len(found) < 2:
        return
    if as_json or not (_is_terminal(sys.stdin) and _is_terminal(sys.stderr)):
        count = f"more than {_COUNTED:,}" if len(found) > _COUNTED else f"{len(found):,}"
        raise InvalidOptionError(
            f"{count} objects would be deleted: {', '.join(_first(found))}. Nothing is deleted",
            operation="delete",
            hint="Add --yes to delete them.",
        )
    counted = set(found) if len(found) <= _COUNTED else set(doomed())
    sys.stderr.write("".join(f"  {name}\n" for name in _first(found)))
    while True:
        sys.stderr.write(f"Delete these {len(counted):,} objects? [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            output.tell("nothing is deleted")
            raise typer.Exit(1)
        new = [name for name in doomed() if name not in counted]  # the question may have stood there for a day
        if not new:
            return
        more = f"{len(new):,} more object{'' if len(new) == 1 else 's'}"
        output.tell("\n".join([f"it has {more} now:", *(f"  {name}" for name in _first(new))]))
        counted.update(new)


def _is_terminal(stream: Any) -> bool:
    return stream is not None and bool(stream.isatty())


def _first(names: list[str]) -> list[str]:
    """A few of them, for people."""
    return [*(output.printable(name, sys.stderr) for name in names[:_SHOWN]), *(["..."] if len(names) > _SHOWN else [])]


def _delete(
    persistence: FSSpecPersistence, urls: list[str], *, recursive: bool, missing_ok: bool
) -> tuple[list[str], int, list[PersistenceError]]:
    """URLs that are gone, the number of objects that went with them, and what failed."""
    deleted: list[str] = []
    count = 0
    failed: list[PersistenceError] = []
    for url in urls:
        try:
            count += persistence.delete(url, recursive=recursive, missing_ok=missing_ok)
        except PersistenceError as exc:
            failed.append(exc)
        else:
            deleted.append(persistence.url(url))
    return deleted, count, failed
