"""``ls`` and ``stat``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Annotated, Final

import typer

from persistence_fsspec.cli import output
from persistence_fsspec.cli.diagnose import origins_of
from persistence_fsspec.cli.errors import one_screen, wants_json
from persistence_fsspec.cli.options import AsJson, Options, Policies, Profile, Verbose, address, persistence_for
from persistence_fsspec.errors import NotAFolderError, ObjectNotFoundError
from persistence_fsspec.location import is_url
from persistence_fsspec.persistence import FSSpecPersistence
from persistence_fsspec.store import ObjectInfo, Store

LS_EXAMPLES: Final = """\b
Examples:
  persist ls s3://my-bucket/results
  persist ls -rl s3://my-bucket/results                every file below, with size in bytes and time in UTC
  persist ls -r --json s3://my-bucket | jq '.entries[].size'

Names can be handed back to persist: URLs for a URL, paths for a path; folders end in a slash. --json is one object, printed
while it is found with one entry per line, so the largest listing needs little memory here; its field "complete" is true at the end."""


def ls(
    url: Annotated[str, typer.Argument(metavar="[URL]", help="A URL or a local path.")] = ".",
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="All files below.")] = False,
    long: Annotated[bool, typer.Option("-l", "--long", help="Size in bytes and time of the last change in UTC.")] = False,
    profile: Profile = None,
    option: Options = None,
    policy: Policies = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """List a folder."""
    with one_screen(as_json=as_json, verbose=verbose, origins=origins_of([url], profile, option), verb="ls"):
        place = address(url)
        persistence = persistence_for([place], profile=profile, options=option, policies=policy)
        store, key = persistence.store_and_key(place)
        found = ((_name(url, store, key, info), info) for info in _listed(persistence, place, recursive=recursive))
        if wants_json(as_json):
            _print_json(store.url(key), found)
            return
        for name, info in found:
            bytes_and_time = f"{'' if info.size is None else info.size:>15}  {output.when(info.modified):20}  " if long else ""
            output.write(bytes_and_time + output.printable(name))


def _print_json(url: str, found: Iterator[tuple[str, ObjectInfo]]) -> None:
    first = next(found, None)  # what cannot be listed at all is an error, and no list
    listing = output.JsonList({"url": url}, "entries")
    complete = False
    try:
        if first is not None:
            listing.add(output.entry_of(first[1], first[0]))
        for name, info in found:
            listing.add(output.entry_of(info, name))
        complete = True
    finally:
        listing.close(complete=complete)


def _listed(persistence: FSSpecPersistence, url: str, *, recursive: bool) -> Iterator[ObjectInfo]:
    """What is below; of a file, the file itself."""
    store, key = persistence.store_and_key(url)
    try:
        entries = store.find(key) if recursive else store.children(key)
        first = next(entries, None)
    except (NotAFolderError, ObjectNotFoundError):
        info = store.info(key)
        if info.is_folder:
            return
        yield info
        return
    if first is not None:
        yield first
        yield from entries


def _name(typed: str, store: Store, key: str, info: ObjectInfo) -> str:
    """Names that can be handed back: URLs for a URL, paths for a path."""
    slash = "/" if info.is_folder else ""
    if is_url(typed):
        return store.url(info.key) + slash
    below = info.key[len(key) :].lstrip("/")
    if not below:
        return typed
    return (below if typed == "." else os.path.join(os.path.expanduser(typed), below)) + slash


STAT_EXAMPLES: Final = """\b
Examples:
  persist stat s3://my-bucket/data.csv
  persist stat --json s3://my-bucket/data.csv | jq .digest"""


def stat(
    url: Annotated[str, typer.Argument(metavar="URL", help="A URL or a local path.")],
    profile: Profile = None,
    option: Options = None,
    policy: Policies = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Say what the store knows of one object or folder."""
    with one_screen(as_json=as_json, verbose=verbose, origins=origins_of([url], profile, option), verb="stat"):
        place = address(url)
        persistence = persistence_for([place], profile=profile, options=option, policies=policy)
        info, where = persistence.info(place), persistence.url(place)
        found = {"url": where, **output.entry_of(info, where), "metadata": dict(info.metadata)}
        del found["name"]
        if wants_json(as_json):
            output.as_json(found)
            return
        known = {name: value for name, value in found.items() if value not in (None, "", {}, False)}
        output.fields((name, f"{value:,}" if name == "size" else str(value)) for name, value in known.items())
