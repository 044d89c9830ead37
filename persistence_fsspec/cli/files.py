"""``cp``, ``mv``, ``rm`` and ``cat``."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer

from persistence_fsspec.cli import output
from persistence_fsspec.cli.diagnose import origins_of
from persistence_fsspec.cli.errors import as_dict, one_screen, wants_json
from persistence_fsspec.cli.options import AsJson, Options, Policies, Profile, Verbose, address, persistence_for
from persistence_fsspec.errors import (
    InvalidNameError,
    InvalidOptionError,
    NotAFolderError,
    ObjectNotFoundError,
    PersistenceError,
    TransferError,
)
from persistence_fsspec.location import local_path
from persistence_fsspec.persistence import FSSpecPersistence
from persistence_fsspec.redaction import redact
from persistence_fsspec.transfer.progress import Progress, RichProgress
from persistence_fsspec.transfer.remove import entries
from persistence_fsspec.transfer.report import TransferReport

_STREAM: Final = "-"
_PIECE: Final = 1024 * 1024
_COUNTED: Final = 10_000
_SHOWN: Final = 5

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

Interrupted? Give the same command again."""


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
    urls = [address(text) for text in (source, target) if text != _STREAM]
    with one_screen(as_json=as_json, verbose=verbose, origins=origins_of(urls, profile, option)):
        persistence = persistence_for(urls, profile=profile, options=option, policies=policy)
        if _STREAM in (source, target):
            _refuse_with_stream(recursive=recursive, patterns=bool(include or exclude), both=source == target)
            if target == _STREAM:
                _print_object(persistence, urls[0])
            else:
                _store_input(persistence, urls[0], overwrite=not no_overwrite, as_json=wants_json(as_json))
            return
        run = partial(persistence.copy, urls[0], urls[1], recursive, overwrite=not no_overwrite, include=include, exclude=exclude)
        _transfer(run, as_json=wants_json(as_json))


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
    urls = [address(text) for text in (source, target)]
    with one_screen(as_json=as_json, verbose=verbose, origins=origins_of(urls, profile, option)):
        persistence = persistence_for(urls, profile=profile, options=option, policies=policy)
        run = partial(persistence.move, urls[0], urls[1], recursive, overwrite=not no_overwrite, include=include, exclude=exclude)
        _transfer(run, as_json=wants_json(as_json))


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
    places = [address(text) for text in urls]
    with one_screen(as_json=as_json, verbose=verbose, origins=origins_of(places, profile, option)):
        persistence = persistence_for(places, profile=profile, options=option, policies=policy)
        for place in places:
            _refuse_root(persistence, place)
        if not yes:
            doomed = _doomed(persistence, places, recursive=recursive)
            _ask(list(itertools.islice(doomed, _COUNTED + 1)), as_json=wants_json(as_json))
        deleted, failed = _delete(persistence, places, recursive=recursive, missing_ok=missing_ok)
        if wants_json(as_json):
            output.as_json({"operation": "delete", "deleted": deleted, "failed": [as_dict(error) for error in failed]})
        elif len(failed) > 1:
            output.tell("\n".join(f"error: {redact(str(error))}" for error in failed[1:]))
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
    places = [address(text) for text in urls]
    with one_screen(as_json=as_json, verbose=verbose, origins=origins_of(places, profile, option)):
        persistence = persistence_for(places, profile=profile, options=option, policies=policy)
        for place in places:
            _print_object(persistence, place)


# --- cp and mv ---


def _transfer(run: Callable[..., TransferReport], *, as_json: bool) -> None:
    """Run it with progress on a terminal, and print its report; also that of one that failed in part."""
    try:
        report = run(progress=None if as_json else progress_bar())
    except TransferError as exc:
        if as_json and exc.report is not None:
            _print_report(exc.report, as_json=True)
        raise
    _print_report(report, as_json=as_json)


def progress_bar() -> Progress | None:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        return None
    from rich.console import Console

    return RichProgress(console=Console(stderr=True))


def _print_report(report: TransferReport, *, as_json: bool) -> None:
    if as_json:
        output.as_json(report.as_dict())
        return
    done = "moved" if report.operation == "move" else "copied"
    skipped = f", {output.files(len(report.skipped))} had nothing to do" if report.skipped else ""
    verified = f", verified by {report.verification}" if report.verification else ""
    output.tell(
        f"{done} {output.files(len(report.copied))}, {output.size(report.bytes)} in {report.seconds:.1f} s{verified}{skipped}"
    )


def _refuse_with_stream(*, recursive: bool, patterns: bool, both: bool) -> None:
    if recursive or patterns or both:
        raise InvalidOptionError("- stands for one stream: without -r, without patterns, and on one side only")


def _store_input(persistence: FSSpecPersistence, url: str, *, overwrite: bool, as_json: bool) -> None:
    """Standard input, under a name that appears when all of it has arrived."""
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
        output.tell(f"copied {output.size(moved)} to {where}")


def _print_object(persistence: FSSpecPersistence, url: str) -> None:
    store, key = persistence.store_and_key(url)
    for piece in store.stream(key):
        output.write(piece)


# --- rm ---


def _refuse_root(persistence: FSSpecPersistence, url: str) -> None:
    """A slip of the finger must not take everything: `delete` refuses roots, this also what a person lives in."""
    store, key = persistence.store_and_key(url)
    kept = not key
    if store.url("").startswith("file:"):
        place = os.path.realpath(local_path(key))
        kept = any(
            f"{os.path.realpath(own)}{os.sep}".startswith(f"{place.rstrip(os.sep)}{os.sep}") for own in (Path.home(), Path.cwd())
        )
        kept = kept and not local_path(key).is_symlink()
    if kept:
        raise InvalidNameError(
            "the root of a store, the home folder and the working folder are never deleted",
            operation="delete",
            url=store.url(key),
        )


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


def _ask(found: list[str], *, as_json: bool) -> None:
    """Go on with one object, or with a yes; refuse where nobody can be asked.

    Raises:
        InvalidOptionError: Nobody can be asked.
        typer.Exit: The answer is no.
    """
    if len(found) < 2:
        return
    count = f"more than {_COUNTED:,}" if len(found) > _COUNTED else f"{len(found):,}"
    shown = [output.printable(name) for name in found[:_SHOWN]]
    if len(found) > len(shown):
        shown.append("...")
    if as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InvalidOptionError(
            f"{count} objects would be deleted: {', '.join(shown)}. Nothing is deleted",
            operation="delete",
            hint="Add --yes to delete them.",
        )
    listed = "".join(f"  {name}\n" for name in shown)
    sys.stderr.write(f"{listed}Delete these {count} objects? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        output.tell("nothing is deleted")
        raise typer.Exit(1)


def _delete(
    persistence: FSSpecPersistence, urls: list[str], *, recursive: bool, missing_ok: bool
) -> tuple[list[str], list[PersistenceError]]:
    deleted: list[str] = []
    failed: list[PersistenceError] = []
    for url in urls:
        try:
            persistence.delete(url, recursive=recursive, missing_ok=missing_ok)
        except PersistenceError as exc:
            failed.append(exc)
        else:
            deleted.append(persistence.url(url))
    return deleted, failed
