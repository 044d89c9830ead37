"""``protocols``, ``explain`` and ``doctor``: what there is, what would happen, and why it does not work."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from persistence_fsspec.cli import output
from persistence_fsspec.cli.errors import Origins, one_screen, wants_json
from persistence_fsspec.cli.exitcodes import exit_code
from persistence_fsspec.cli.options import AsJson, Options, Policies, Profile, Verbose, address, persistence_for
from persistence_fsspec.cli.words import in_commands
from persistence_fsspec.diagnosis.checks import Check
from persistence_fsspec.diagnosis.endpoints import AWS_BY_DEFAULT
from persistence_fsspec.stores.registered import ProtocolInfo

if TYPE_CHECKING:
    from persistence_fsspec.diagnosis.explain import Explanation

_MARKS: Final = {"ok": "ok", "warning": "warning", "problem": "PROBLEM", "skipped": "-"}
_COLOURS: Final = {"ok": "green", "warning": "yellow", "problem": "red", "skipped": None}

PROTOCOLS_EXAMPLES: Final = """\b
Examples:
  persist protocols
  persist protocols --json | jq -r '.protocols[] | select(.installed) | .protocol'"""


def protocols(
    installed: Annotated[bool, typer.Option("--installed", help="Only those that can be used now.")] = False,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """List the protocols, their drivers, and what installs them."""
    with one_screen(as_json=as_json, verbose=verbose):
        from persistence_fsspec.diagnosis.explain import protocols as known  # noqa: PLC0415 - loads drivers

        found = [one for one in known() if one.installed or not installed]
        if wants_json(as_json):
            output.as_json({"protocols": [_protocol(one) for one in found]})
            return
        rows = ((f"{one.protocol}://", "yes" if one.installed else "no", one.package or one.driver, _note(one)) for one in found)
        output.table(rows, ("protocol", "installed", "driver", "install, or who took it over"))


def _protocol(one: ProtocolInfo) -> dict[str, Any]:
    names = ("protocol", "driver", "package", "registered_by", "replaced", "installed", "missing", "install")
    return {name: getattr(one, name) for name in names}


def _note(one: ProtocolInfo) -> str:
    if not one.installed:
        return one.install or one.missing.replace("\n", " ")
    return f"taken over by {one.registered_by}, in place of {one.replaced}" if one.replaced else ""


EXPLAIN_EXAMPLES: Final = """\b
Examples:
  persist explain s3://my-bucket
  persist explain --profile work sftp://host/data

Connects to nothing, and shows no secret."""


def explain(
    url: Annotated[str, typer.Argument(metavar="URL", help="A URL or a local path.")],
    profile: Profile = None,
    option: Options = None,
    policy: Policies = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Say what would happen with a URL, and why.

    Which driver, which options and where each comes from, and what the store can do.
    """
    with one_screen(as_json=as_json, verbose=verbose):
        place = address(url)
        from persistence_fsspec.diagnosis.explain import explain as explained  # noqa: PLC0415 - loads a driver

        persistence = persistence_for([place], profile=profile, options=option, policies=policy)
        found = explained(persistence, place).as_dict()
        if wants_json(as_json):
            output.as_json(found)
            return
        output.fields(
            (name.replace("_", " "), str(found[name]))
            for name in (
                "url",
                "protocol",
                "driver",
                "package",
                "registered_by",
                "replaced",
                "persistence",
                "accelerator",
                "profile",
            )
            if found[name]
        )
        _section("options", [in_commands(f"{one['name']} = {one['value']}   from {one['origin']}") for one in found["options"]])
        _section("environment variables that the driver reads", list(found["environment"]))
        _section("files", [f"{one['path']}{'' if one['found'] else '   (not there)'}" for one in found["files"]])
        known = found["capabilities"] or {}
        _section("capabilities", [f"{name} = {value}" for name, value in known.items() if value not in ("", None)])
        _section("problems", list(found["problems"]))


def _section(title: str, lines: list[str]) -> None:
    if lines:
        output.write(f"\n{title}:")
        for line in lines:
            output.write(f"  {output.printable(line)}")


DOCTOR_EXAMPLES: Final = """\b
Examples:
  persist doctor s3://my-bucket
  persist doctor s3://my-bucket/inbox --write          also writes and deletes a small object

Ends within a minute or two whatever the network does. The exit code is 0, or that of the first problem."""


def doctor(
    url: Annotated[str, typer.Argument(metavar="URL", help="A URL or a local path.")],
    write: Annotated[bool, typer.Option("--write", help="Also write and delete a small object beside it.")] = False,
    profile: Profile = None,
    option: Options = None,
    policy: Policies = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Find out why a store does not work, and what to do."""
    with one_screen(as_json=as_json, verbose=verbose):
        place = address(url)
        from persistence_fsspec.diagnosis.doctor import diagnose  # noqa: PLC0415 - only the doctor needs it

        for_people = not wants_json(as_json)
        persistence = persistence_for([place], profile=profile, options=option, policies=policy)
        found = diagnose(persistence, place, write=write, on_check=_show if for_people else None)
        code = 0 if not found.problems else exit_code(found.error) if found.error else 1
        if not for_people:
            output.as_json({**found.as_dict(), "exit_code": code})
        else:
            count = len(found.problems)
            output.write(
                "nothing is wrong" if not count else f"{count} problem{'' if count == 1 else 's'}; mend the first one first"
            )
        output.flush()
        if code:
            raise typer.Exit(code)


def _show(check: Check) -> None:
    mark = (
        typer.style(f"{_MARKS[check.status]:8}", fg=_COLOURS[check.status])
        if sys.stdout is not None and sys.stdout.isatty()
        else f"{_MARKS[check.status]:8}"
    )
    output.write(f"{mark} {check.name:14} {output.printable(in_commands(' '.join(check.found.split())))}")
    if check.way_out and check.status != "skipped":
        output.write(f"{'':23} -> {output.printable(in_commands(' '.join(check.way_out.split())))}")
    output.flush()


def origins_of(urls: Sequence[str], profile: str | None, options: Sequence[str] | None) -> Origins:
    """For the screen of an error: where the credentials of a URL come from.

    Args:
        urls: Of the command, as they were typed.
        profile: Of the command.
        options: Of the command.
    """

    def ask(url: str) -> list[str]:
        from persistence_fsspec.diagnosis.explain import explain as explained  # noqa: PLC0415 - after an error only

        found = explained(persistence_for(list(map(address, urls)), profile=profile, options=options), url)
        told = [f"{one.name} from {one.origin}" for one in found.options]
        lines = [f"Options of {found.protocol}://: {', '.join(told) or 'none given'}."]
        if found.environment:
            lines.append(f"Set in the environment, and read by the driver: {', '.join(found.environment)}.")
        if found.protocol == "s3" and not _names_endpoint(found):
            lines.append(f"{AWS_BY_DEFAULT[:1].upper()}{AWS_BY_DEFAULT[1:]}")
        return [*lines, f"All of it: persist explain {shlex.quote(found.url)}"]

    return ask


def _names_endpoint(found: Explanation) -> bool:
    named = {one.name for one in found.options} | set(found.environment)
    inside = any(one.name == "client_kwargs" and "endpoint_url" in str(one.value) for one in found.options)
    return inside or bool(named & {"endpoint_url", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_CONFIG_FILE"})
