"""The commands, and what they all share: one screen per error, exit codes, JSON or tables."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import typer

from persistence_fsspec import __version__
from persistence_fsspec.cli.demo import run_demo
from persistence_fsspec.cli.exitcodes import exit_code, explain
from persistence_fsspec.errors import PersistenceError, TransferError
from persistence_fsspec.persistence import FSSpecPersistence

_FAILURES_SHOWN: Final = 10

app = typer.Typer(
    name="persist",
    help="Files and trees on any store that fsspec reaches by URL: verified, and whole or not at all.",
    epilog=explain(),
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)


@contextmanager
def one_screen() -> Iterator[None]:
    """Show an error of ours as it reads, without a traceback, and end with its code."""
    try:
        yield
    except PersistenceError as exc:
        typer.secho(f"error: {exc}", fg=typer.colors.RED, err=True)
        if isinstance(exc, TransferError) and exc.report is not None:
            for file in exc.report.failed[:_FAILURES_SHOWN]:
                typer.echo(f"  {file.source}: {file.error.message if file.error else ''}", err=True)
        raise typer.Exit(exit_code(exc)) from None
    except KeyboardInterrupt:
        typer.echo("interrupted; nothing half-written was left under a final name", err=True)
        raise typer.Exit(130) from None


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    """Files and trees on any store that fsspec reaches by URL: verified, and whole or not at all."""


@app.command()
def demo(
    url: Annotated[str | None, typer.Argument(help="Where to; without it, a folder .persistence here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Do the main job on real input: Python's standard library goes to a store, comes back, and is compared."""
    with one_screen():
        persistence = FSSpecPersistence(url)
        result = run_demo(persistence, progress=sys.stderr.isatty() and not as_json)
    if as_json:
        typer.echo(json.dumps(result.as_dict(), indent=2))
        return
    rows = (
        ("files", f"{len(result.put.copied)}"),
        ("bytes", f"{result.put.bytes:,}"),
        ("put", f"{result.put.seconds:.2f} s, verified by {result.put.verification}"),
        ("get", f"{result.get.seconds:.2f} s, verified by {result.get.verification}"),
        ("digests compared", f"{result.compared}, all equal"),
        ("where it lies", result.where),
    )
    for name, value in rows:
        typer.echo(f"{name:>16}  {value}")
