"""``resume``: transfers that did not end well, and how to go on with one of them."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from persistence_fsspec.cli import output
from persistence_fsspec.cli.diagnose import origins_of
from persistence_fsspec.cli.errors import one_screen, wants_json
from persistence_fsspec.cli.guards import refuse_home, refuse_local_chain, refuse_root
from persistence_fsspec.cli.options import AsJson, Options, Policies, Profile, Verbose, persistence_for, storage_options
from persistence_fsspec.cli.outcome import beginning, progress_bar, reported, tell
from persistence_fsspec.persistence import FSSpecPersistence
from persistence_fsspec.transfer.journals import JournalEntry, entry, forget, known

_COMPLETE: Final = "complete"
_DOING: Final = {"move": "moving", "sync": "syncing"}

RESUME_EXAMPLES: Final = """\b
Examples:
  persist resume                                       transfers of this machine that did not end well
  persist resume 3f2a9c1e                              goes on with one; what has arrived is not copied again
  persist resume 3f2a9c1e -o secret@env=SECRET         journals hold no options: give those of the first time
  persist resume --forget 3f2a9c1e                     it is done, or given up

The command that began a transfer goes on with it just as well, and also on another machine."""


def resume(
    transfer: Annotated[str | None, typer.Argument(metavar="[ID]", help="As listed; without it, list them.")] = None,
    forgotten: Annotated[str | None, typer.Option("--forget", metavar="ID", help="Do not list it any more.")] = None,
    profile: Profile = None,
    option: Options = None,
    policy: Policies = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Go on with a transfer that was cut off, or list them."""
    if transfer is not None and forgotten is not None:
        raise typer.BadParameter("--forget stands alone")
    with beginning() as begun:
        interrupted = "interrupted" if transfer is None else begun.interrupted
        with one_screen(as_json=as_json, verbose=verbose, origins=_origins(transfer, profile, option), interrupted=interrupted):
            if forgotten is not None:
                _forget(forgotten, as_json=wants_json(as_json))
            elif transfer is None:
                _print_known(as_json=wants_json(as_json))
            else:
                found = entry(transfer)
                urls = [found.source, found.target]
                persistence = persistence_for(urls, profile=profile, options=option, policies=policy)
                _refuse(persistence, found, storage_options(option or (), urls))
                _go_on(persistence, found, as_json=wants_json(as_json))


def _origins(transfer: str | None, profile: str | None, option: list[str] | None) -> Any:
    """Where credentials come from is found out when it is asked for, and the transfer is known by then."""

    def asked(url: str) -> list[str]:
        found = entry(transfer or "")
        return origins_of([found.source, found.target], profile, option)(url)

    return asked


def _refuse(persistence: FSSpecPersistence, found: JournalEntry, options: dict[str, dict[str, Any]]) -> None:
    """What the first command refused is refused here: who resumes may be somewhere else."""
    if found.operation == "move" and found.meaning.get("recursive"):
        refuse_local_chain(found.source, options, operation="move")
        refuse_root(persistence, found.source, operation="move")
    if found.meaning.get("delete"):
        refuse_local_chain(found.target, options, operation=found.operation)
        refuse_home(persistence, found.target, operation=found.operation)


def _go_on(persistence: FSSpecPersistence, found: JournalEntry, *, as_json: bool) -> None:
    listener = None if as_json else progress_bar(_DOING.get(found.operation, "copying"))
    report = reported(lambda: persistence.resume(found.id, progress=listener), as_json=as_json)
    if not as_json:
        patterns = (found.meaning.get("include") or (), found.meaning.get("exclude") or ())
        tell(report, (found.source, found.target, *patterns))


def _forget(transfer: str, *, as_json: bool) -> None:
    found = entry(transfer).id
    forget(found)
    if as_json:
        output.as_json({"forgotten": found})
    else:
        output.tell(f"forgotten: {found}")


def _print_known(*, as_json: bool) -> None:
    unfinished = [one for one in known() if one.state != _COMPLETE]
    if as_json:
        listing = output.JsonList({}, "transfers")
        for one in unfinished:
            listing.add(_as_dict(one))
        listing.close(complete=True)
    elif not unfinished:
        output.tell("nothing to resume: every transfer that this machine remembers ended well")
    else:
        rows = (
            (one.id, one.operation, one.source, one.target, one.state, output.when(one.begun), f"{one.files:,}")
            for one in unfinished
        )
        output.table(rows, ("id", "operation", "source", "target", "state", "begun", "files done"))


def _as_dict(one: JournalEntry) -> dict[str, Any]:
    return {
        "id": one.id,
        "operation": one.operation,
        "source": one.source,
        "target": one.target,
        "state": one.state,
        "process": one.process,
        "begun": output.when(one.begun) or None,
        "files_done": one.files,
    }
