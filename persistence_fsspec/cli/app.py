"""The command put together: what there is, and the help that leads from nothing to one's data in a store."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from persistence_fsspec import __version__
from persistence_fsspec.cli import config, demo, diagnose, files, gc, look, output, overrides, resuming, transfers
from persistence_fsspec.cli.errors import begin, usage_error
from persistence_fsspec.cli.exitcodes import explain as exit_codes
from persistence_fsspec.redaction import redact

_HELP: Final = """Files and trees on any store that fsspec reaches by URL: verified, and whole or not at all.

\b
From nothing to your bucket, and back:
  pip install "persistence-fsspec[s3,cli]"      the extra is what stands before ://
  export AWS_PROFILE=work                       credentials as for every AWS tool: AWS_*, ~/.aws, roles
  persist doctor s3://my-bucket                 does it work? If not: why, and what to do
  persist cp -r results s3://my-bucket/results  a tree; each file whole, or not there
  persist ls -l s3://my-bucket/results
  persist cp -r s3://my-bucket/results back
  persist sync results s3://my-bucket/results   later: only what is new or different
  persist resume                                what was cut off, and how to go on

\b
Other stores the same way: gs:// abfs:// ftp:// sftp:// smb:// webdav:// hdfs:// https:// (persist protocols).
Options of a driver: -o endpoint_url=https://minio.example, or persistence.toml (persist config init).
Secrets stay off the command line: -o password@env=VARIABLE, -o password@file=PATH.
Plain paths are local. Quote URLs and patterns that the shell would read: 'https://host/x?a=1&b=2', --include '*.csv'.

Results go to standard output, everything for people to standard error. With --json the result is one JSON object with a
field "schema", and an error is one line of JSON on standard error: class, operation, url, message, hint, retryable, exit_code.
"""


_NO_COMMANDS: Final = {
    "put": "cp",
    "get": "cp",
    "copy": "cp",
    "rsync": "sync",
    "mirror": "sync --delete",
    "continue": "resume",
    "move": "mv",
    "delete": "rm",
    "del": "rm",
    "list": "ls",
}
_NO_OPTIONS: Final = {
    "--endpoint-url": "-o endpoint_url=https://...",
    "--endpoint": "-o endpoint_url=https://...",
    "--region": "-o client_kwargs.region_name=...",
    "--anon": "-o anon=true",
    "--no-sign-request": "-o anon=true",
    "--user": "-o username=...",
    "--username": "-o username=...",
    "--password": "-o password@env=VARIABLE",
    "--key": "-o key@env=VARIABLE",
    "--secret": "-o secret@env=VARIABLE",
    "--port": "-o port=...",
}


class _Group(TyperGroup):
    """Says in JSON what is wrong with a command line that asks for JSON, and what other tools' words are called here."""

    def make_context(self, *args: Any, **more: Any) -> Any:
        try:
            return super().make_context(*args, **more)
        except Exception as exc:
            _hide(exc)
            raise

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except Exception as exc:
            ours = _NO_COMMANDS.get(args[0]) if args else None
            if ours and isinstance(getattr(exc, "message", None), str):
                exc.message = f"No such command {args[0]!r}. Did you mean: persist {ours}?"  # type: ignore[attr-defined]
            raise

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as exc:
            ours = _NO_OPTIONS.get(str(getattr(exc, "option_name", "")))
            if ours:
                exc.possibilities = None  # type: ignore[attr-defined]
                exc.message = f"{str(exc.message).rstrip('.')}. Did you mean: {ours}?"  # type: ignore[attr-defined]
            _hide(exc)
            raise

    def main(self, *args: Any, **more: Any) -> Any:
        try:
            return self._main(*args, **more)
        except OSError as exc:  # of the help; commands have a screen for theirs
            with contextlib.suppress(OSError):
                sys.stderr.write(f"error: standard output cannot be written: {exc.strerror or exc}\n")
            output.to_nowhere()
            sys.exit(1)

    def _main(self, *args: Any, **more: Any) -> Any:
        words = (args[0] if args else more.get("args")) or sys.argv[1:]
        if "--json" not in words or not more.get("standalone_mode", True):
            return super().main(*args, **more)
        try:
            status = super().main(*args, **{**more, "standalone_mode": False})
        except Exception as exc:
            if not hasattr(exc, "format_message"):
                raise
            usage_error(exc.format_message())
            status = 2
        sys.exit(status if isinstance(status, int) else 0)


def _hide(exc: Exception) -> None:
    """What was typed is quoted in an error about it, and may hold a password."""
    if isinstance(getattr(exc, "message", None), str):
        exc.message = redact(exc.message)  # type: ignore[attr-defined]


app = typer.Typer(
    name="persist",
    cls=_Group,
    help=_HELP,
    epilog=exit_codes(),
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback(help=_HELP)
def _main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As after the command.")] = False,
    verbose: Annotated[int, typer.Option("-v", "--verbose", count=True, show_default=False, help="As after the command.")] = 0,
) -> None:
    del version  # has been answered
    try:
        os.getcwd()
    except FileNotFoundError:
        raise typer.BadParameter("the working folder does not exist any more; cd to another one") from None
    begin(verbose=verbose, as_json=as_json)


app.command(epilog=transfers.CP_EXAMPLES)(transfers.cp)
app.command(epilog=transfers.MV_EXAMPLES)(transfers.mv)
app.command(epilog=transfers.SYNC_EXAMPLES)(transfers.sync)
app.command(epilog=resuming.RESUME_EXAMPLES)(resuming.resume)
app.command(epilog=files.RM_EXAMPLES)(files.rm)
app.command(epilog=files.CAT_EXAMPLES)(files.cat)
app.command(epilog=gc.GC_EXAMPLES)(gc.gc)
app.command(epilog=look.LS_EXAMPLES)(look.ls)
app.command(epilog=look.STAT_EXAMPLES)(look.stat)
app.command(epilog=diagnose.DOCTOR_EXAMPLES)(diagnose.doctor)
app.command(epilog=diagnose.EXPLAIN_EXAMPLES)(diagnose.explain)
app.command(epilog=diagnose.PROTOCOLS_EXAMPLES)(diagnose.protocols)
app.command(epilog=overrides.OVERRIDES_EXAMPLES)(overrides.overrides)
app.command(epilog=demo.DEMO_EXAMPLES)(demo.demo)
app.add_typer(config.app)
