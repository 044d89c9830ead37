"""``rm`` and ``cat``."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, Any, Final

import typer

from persistence_fsspec.cli import output
from persistence_fsspec.cli.diagnose import origins_of
from persistence_fsspec.cli.errors import as_dict, one_screen, wants_json
from persistence_fsspec.cli.guards import refuse_local_chain, refuse_root
from persistence_fsspec.cli.options import AsJson, Options, Policies, Profile, Verbose, address, persistence_for, storage_options
from persistence_fsspec.errors import (
    InvalidOptionError,
    NotAFolderError,
    ObjectNotFoundError,
    PersistenceError,
)
from persistence_fsspec.persistence import FSSpecPersistence
from persistence_fsspec.redaction import redact
from persistence_fsspec.transfer.remove import entries

STREAM: Final = "-"
"""In place of a URL: standard input, or standard output."""

_COUNTED: Final = 10_000
_SHOWN: Final = 5

_DELETING: Final = "interrupted; what is deleted is gone. The same command deletes what is left."

Recursive = Annotated[bool, typer.Option("-r", "--recursive", help="Folders, too, with everything in them.")]

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
            print_object(persistence, place)


# --- cat ---


def print_object(persistence: FSSpecPersistence, url: str) -> None:
    """Its bytes, to standard output."""
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
