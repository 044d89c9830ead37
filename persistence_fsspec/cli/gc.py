"""``gc``."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from persistence_fsspec.cli import output
from persistence_fsspec.cli.diagnose import origins_of
from persistence_fsspec.cli.errors import one_screen, wants_json
from persistence_fsspec.cli.options import AsJson, Options, Policies, Profile, Verbose, address, persistence_for
from persistence_fsspec.cli.words import in_commands
from persistence_fsspec.redaction import redact
from persistence_fsspec.transfer.garbage import GcOutcome, GcReport

_INTERRUPTED: Final = "interrupted; what is removed is gone. The same command removes what is left."

GC_EXAMPLES: Final = """\b
Examples:
  persist gc s3://my-bucket/results                    what carries our mark, and was not written to for an hour
  persist gc --dry-run s3://my-bucket                  only say what would go
  persist gc --foreign --older-than 1d s3://my-bucket  unfinished uploads of others, too: they cost money, and nobody sees them
  persist gc --older-than 0s /mnt/results              when nobody else is writing there

What a transfer of this machine can go on with is kept; persist resume --forget ID gives it up. Snapshots are no leftovers, and stay.
An old version that waited for its successor in vain is not removed, but gets its name back."""


def gc(
    url: Annotated[str, typer.Argument(metavar="URL", help="A folder, or an object that was to be.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing, and say what would go.")] = False,
    foreign: Annotated[
        bool, typer.Option("--foreign", help="Unfinished uploads that are not known to be ours, too; needs --older-than.")
    ] = False,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than", metavar="AGE", help="Only what was not written to for that long: 90s, 12h, 1d. [default: 1h]"
        ),
    ] = None,
    profile: Profile = None,
    option: Options = None,
    policy: Policies = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Remove what interrupted transfers left behind, and nothing else."""
    origins = origins_of([url], profile, option)
    with one_screen(as_json=as_json, verbose=verbose, origins=origins, verb="gc", interrupted=_INTERRUPTED):
        place = address(url)
        persistence = persistence_for([place], profile=profile, options=option, policies=policy)
        report = persistence.gc(place, foreign=foreign, older_than=older_than, dry_run=dry_run)
        if wants_json(as_json):
            output.as_json(report.as_dict())
        else:
            _tell(report)
        failed = [one.error for one in report.failed if one.error is not None]
        if len(failed) > 1 and not wants_json(as_json):
            output.tell("\n".join(f"error: {output.printable(redact(str(error)), sys.stderr)}" for error in failed[1:]))
        if failed:
            raise failed[0]


def _tell(report: GcReport) -> None:
    done = "would remove" if report.dry_run else "removed"
    rows = [(done, one) for one in report.removed] + [("kept", one) for one in report.kept]
    width = max((len(word) for word, _ in rows), default=0)
    for word, one in rows:
        reason = f"  ({in_commands(one.reason)})" if one.reason else ""
        output.write(output.printable(f"{word.ljust(width)}  {_size(one):>8}  {_what(one)}{one.url}{reason}"))
    count = f"{len(report.removed):,} leftover{'' if len(report.removed) == 1 else 's'}"
    kept = f", kept {len(report.kept):,}" if report.kept else ""
    if rows or not report.failed:
        output.tell(f"{done} {count}, {output.size(report.bytes)}{kept}" if rows else "nothing is left over")


def _size(one: GcOutcome) -> str:
    return "" if one.leftover is None or one.leftover.size is None else output.size(one.leftover.size)


def _what(one: GcOutcome) -> str:
    return "upload of " if one.leftover is not None and one.leftover.kind == "upload" else ""
