"""``config init`` and ``config validate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from persistence_fsspec.cli import output
from persistence_fsspec.cli.errors import one_screen, wants_json
from persistence_fsspec.cli.options import AsJson, Verbose
from persistence_fsspec.configtables import candidates, config_file
from persistence_fsspec.diagnosis.configuration import template
from persistence_fsspec.diagnosis.configuration import validate as wrong_in
from persistence_fsspec.errors import ObjectExistsError, ObjectNotFoundError
from persistence_fsspec.foreign import translated

_WRONG_USE: Final = 2

app = typer.Typer(
    name="config", help="Options in persistence.toml: begin one, check it.", no_args_is_help=True, rich_markup_mode=None
)


@app.command()
def init(as_json: AsJson = False, verbose: Verbose = 0) -> None:
    """Write a first persistence.toml, all of it comments.

    Where this user's own is looked for; an existing one stays.
    """
    with one_screen(as_json=as_json, verbose=verbose):
        path = config_file()
        with translated("write", str(path)):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                # Secrets may come to lie in it: nobody else reads it.
                path.touch(mode=0o600, exist_ok=False)
            except FileExistsError:
                raise ObjectExistsError(
                    "exists already, and is not replaced",
                    operation="write",
                    url=str(path),
                    hint="persist config validate checks it.",
                ) from None
            path.write_text(template(), encoding="utf-8")
        if wants_json(as_json):
            output.as_json({"path": str(path)})
        else:
            output.write(str(path))


@app.command()
def validate(
    path: Annotated[Path | None, typer.Argument(help="One file; without it, all that would be read.")] = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Name what is wrong in persistence.toml.

    Everything at once, each with its way out.
    """
    with one_screen(as_json=as_json, verbose=verbose):
        if path is not None and not path.is_file():
            raise ObjectNotFoundError("there is no such file", operation="validate", url=str(path))
        files = [path] if path is not None else [one for one, _ in candidates() if one.exists()]
        problems = wrong_in(path)
        if wants_json(as_json):
            listed = [{"path": str(one.file), "where": one.where, "message": one.message, "hint": one.hint} for one in problems]
            output.as_json({"files": [str(one) for one in files], "problems": listed})
        else:
            for one in problems:
                output.write(str(one))
                if one.hint:
                    output.write(f"  -> {one.hint}")
            if not problems:
                output.write(f"nothing is wrong in {', '.join(map(str, files))}" if files else "there is no persistence.toml")
        output.flush()
        if problems:
            raise typer.Exit(_WRONG_USE)
