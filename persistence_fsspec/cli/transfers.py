"""``cp``, ``mv`` and ``sync``."""

from __future__ import annotations

import sys
from enum import Enum
from functools import partial
from typing import Annotated, Any, BinaryIO, Final

import typer

from persistence_fsspec.cli import output
from persistence_fsspec.cli.diagnose import origins_of
from persistence_fsspec.cli.errors import one_screen, wants_json
from persistence_fsspec.cli.files import STREAM, Recursive, print_object
from persistence_fsspec.cli.guards import refuse_home, refuse_local_chain, refuse_memory, refuse_root
from persistence_fsspec.cli.options import AsJson, Options, Policies, Profile, Verbose, address, persistence_for, storage_options
from persistence_fsspec.cli.outcome import beginning, carry_out
from persistence_fsspec.errors import InvalidOptionError
from persistence_fsspec.persistence import FSSpecPersistence
from persistence_fsspec.transfer.preserve import NAMES
from persistence_fsspec.transferring import MAX_DELETE

_PIECE: Final = 1024 * 1024
_STORING: Final = (
    "interrupted; nothing half-written stands under a final name. "
    "The same command begins again and copies all of it: a stream cannot be taken up."
)


class Links(str, Enum):
    """What becomes of symbolic links in a tree."""

    follow = "follow"
    skip = "skip"
    error = "error"


class Compare(str, Enum):
    """What makes ``cp`` skip a file."""

    never = "never"
    digest = "digest"
    mtime = "mtime"


class Proof(str, Enum):
    """What makes ``mv`` skip a file, and delete it at its source."""

    never = "never"
    digest = "digest"


class Same(str, Enum):
    """What makes ``sync`` take a file for the same."""

    auto = "auto"
    digest = "digest"
    mtime = "mtime"


Include = Annotated[
    list[str] | None, typer.Option("--include", metavar="PATTERN", help="Of a folder, only these names; may be repeated.")
]
Exclude = Annotated[
    list[str] | None, typer.Option("--exclude", metavar="PATTERN", help="Of a folder, none of these names; may be repeated.")
]
NoOverwrite = Annotated[bool, typer.Option("--no-overwrite", help="A name that is taken is an error; what is there stays.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only print what would be done, file by file.")]
LinksOption = Annotated[
    Links, typer.Option("--links", help="Symbolic links in a folder: copy what they lead to, skip or refuse them.")
]
Preserve = Annotated[
    str,
    typer.Option(
        "--preserve", metavar="mode,mtime", help="Keep the mode, the time of the last change, or both, where they can be."
    ),
]

CP_EXAMPLES: Final = """\b
Examples:
  persist cp report.pdf s3://my-bucket/reports/        into a folder, under its own name
  persist cp -r results s3://my-bucket/results         a tree: its contents go into the target
  persist cp -r s3://my-bucket/results back            and back; twice gives the same tree
  persist cp -r results s3://my-bucket/results --dry-run   what would be copied
  persist cp -r s3://a/x ftp://host/x -o ftp.username=me -o ftp.password@env=FTP_PASSWORD
  persist cp -r logs s3://b/logs --include '*.log' --exclude 'tmp/'   (quote patterns; as in .gitignore)
  pg_dump db | persist cp - s3://b/db.sql              from standard input; a target '-' is standard output

Interrupted, or killed? Nothing stands half-written under a final name, and the same command goes on where it was."""


def cp(
    source: Annotated[str, typer.Argument(metavar="SRC", help="A URL, a local path, or - for standard input.")],
    target: Annotated[str, typer.Argument(metavar="DST", help="A URL, a local path, or - for standard output.")],
    recursive: Recursive = False,
    include: Include = None,
    exclude: Exclude = None,
    no_overwrite: NoOverwrite = False,
    compare: Annotated[
        Compare, typer.Option("--compare", help="Skip what is there: proven by digest, by size and time, or nothing.")
    ] = Compare.digest,
    links: LinksOption = Links.follow,
    preserve: Preserve = "",
    dry_run: DryRun = False,
    profile: Profile = None,
    option: Options = None,
    policy: Policies = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Copy a file or a tree from anywhere to anywhere, verified."""
    given = [text for text in (source, target) if text != STREAM]
    origins = origins_of(given, profile, option)
    streams = STREAM in (source, target)
    with (
        beginning() as begun,
        one_screen(as_json=as_json, verbose=verbose, origins=origins, interrupted=_STORING if streams else begun.interrupted),
    ):
        urls = [address(text) for text in given]
        if target != STREAM:
            refuse_memory(urls[-1], source=urls[0] if source != STREAM else "")
        kept = _attributes(preserve)
        persistence = persistence_for(urls, profile=profile, options=option, policies=policy)
        if streams:
            special = recursive or dry_run or bool(include or exclude or kept) or source == target
            _refuse_with_stream(special=special)
            if target == STREAM:
                print_object(persistence, urls[0])
            else:
                _store_input(persistence, urls[0], overwrite=not no_overwrite, as_json=wants_json(as_json))
            return
        run = partial(
            persistence.copy,
            urls[0],
            urls[1],
            recursive,
            overwrite=not no_overwrite,
            include=include,
            exclude=exclude,
            compare=compare.value,
            links=links.value,
            preserve=kept,
        )
        typed = (source, target, include or (), exclude or ())
        carry_out(run, typed, doing="copying", dry_run=dry_run, as_json=wants_json(as_json))


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
    compare: Annotated[
        Proof, typer.Option("--compare", help="Take for copied what is proven to be there by digest, or nothing.")
    ] = Proof.digest,
    links: LinksOption = Links.follow,
    preserve: Preserve = "",
    dry_run: DryRun = False,
    profile: Profile = None,
    option: Options = None,
    policy: Policies = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Move a file or a tree; only what is verified is deleted."""
    origins = origins_of([source, target], profile, option)
    with beginning() as begun, one_screen(as_json=as_json, verbose=verbose, origins=origins, interrupted=begun.interrupted):
        urls = [address(source), address(target)]
        refuse_memory(urls[1])
        if recursive:
            refuse_local_chain(urls[0], storage_options(option or (), urls), operation="move")
        kept = _attributes(preserve)
        persistence = persistence_for(urls, profile=profile, options=option, policies=policy)
        if recursive:
            refuse_root(persistence, urls[0], operation="move")
        run = partial(
            persistence.move,
            urls[0],
            urls[1],
            recursive,
            overwrite=not no_overwrite,
            include=include,
            exclude=exclude,
            compare=compare.value,
            links=links.value,
            preserve=kept,
        )
        typed = (source, target, include or (), exclude or ())
        carry_out(run, typed, doing="moving", dry_run=dry_run, as_json=wants_json(as_json))


SYNC_EXAMPLES: Final = """\b
Examples:
  persist sync results s3://my-bucket/results          what is new or different is copied
  persist sync s3://a/data gs://b/data --delete --dry-run   what would be copied, and deleted
  persist sync s3://a/data gs://b/data --delete --max-delete 5000
  persist sync photos sftp://host/photos --preserve mtime --exclude '.thumbnails/'

A file is the same if its size and its digest are; where no digest is known without reading, if its size is the same and it is
not newer than its copy (--compare). Deleted is only what DST has and SRC has not, at the end, and if everything else went well.
Interrupted, or killed? The same command goes on where it was."""


def sync(
    source: Annotated[str, typer.Argument(metavar="SRC", help="A folder: a URL or a local path.")],
    target: Annotated[str, typer.Argument(metavar="DST", help="The folder that becomes like it.")],
    delete: Annotated[bool, typer.Option("--delete", help="Delete what DST has and SRC has not.")] = False,
    max_delete: Annotated[
        int, typer.Option("--max-delete", metavar="N", min=0, help="If there is more to delete, nothing is.")
    ] = MAX_DELETE,
    compare: Annotated[
        Same, typer.Option("--compare", help="When a file is the same: by digest or else time; proven; by size and time.")
    ] = Same.auto,
    include: Include = None,
    exclude: Exclude = None,
    links: LinksOption = Links.follow,
    preserve: Preserve = "",
    dry_run: DryRun = False,
    profile: Profile = None,
    option: Options = None,
    policy: Policies = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Make one tree like another: copy what is new or different."""
    origins = origins_of([source, target], profile, option)
    with beginning() as begun, one_screen(as_json=as_json, verbose=verbose, origins=origins, interrupted=begun.interrupted):
        urls = [address(source), address(target)]
        refuse_memory(urls[1], source=urls[0])
        if delete:
            refuse_local_chain(urls[1], storage_options(option or (), urls), operation="sync")
        kept = _attributes(preserve)
        persistence = persistence_for(urls, profile=profile, options=option, policies=policy)
        if delete:
            refuse_home(persistence, urls[1], operation="sync")
        run = partial(
            persistence.sync,
            urls[0],
            urls[1],
            delete=delete,
            max_delete=max_delete,
            compare=compare.value,
            include=include,
            exclude=exclude,
            links=links.value,
            preserve=kept,
        )
        typed = (source, target, include or (), exclude or ())
        carry_out(run, typed, doing="syncing", dry_run=dry_run, as_json=wants_json(as_json))


def _attributes(text: str) -> tuple[Any, ...]:
    """``mode,mtime``, in any order.

    Raises:
        InvalidOptionError: There is no such attribute.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise InvalidOptionError(f"--preserve knows {' and '.join(NAMES)}, not {unknown[0]!r}")
    return names


# --- standard input ---


def _refuse_with_stream(*, special: bool) -> None:
    if special:
        raise InvalidOptionError("- stands for one stream: on one side only, without -r, patterns, --preserve and --dry-run")


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
        output.as_json({"operation": "copy", "source": STREAM, "target": where, "bytes": moved})
    else:
        output.tell(f"copied {output.size(moved)} to {output.printable(where, sys.stderr)}")
