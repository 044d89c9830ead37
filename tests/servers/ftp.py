"""FTP by pyftpdlib, with or without the machine-readable listing commands."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .environment import environment
from .process import HOST, PROGRAMS, ServerProcess, free_port, python_command
from .server import FolderServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REQUIREMENTS = ("pyftpdlib==2.2.0",)
USER, PASSWORD = "user", "secret"


@dataclass(frozen=True, kw_only=True)
class FtpServer(FolderServer):
    """A running FTP server."""

    mlsd: bool
    """The server knows MLSD and MLST; otherwise only LIST, for people to read."""


@contextmanager
def serve(folder: Path, *, mlsd: bool = True) -> Iterator[FtpServer]:
    """Run an FTP server for the time of the block.

    Args:
        folder: Empty folder for its files and log.
        mlsd: Whether it knows MLSD and MLST.
    """
    files = folder / "files"
    files.mkdir()
    port = free_port()
    command = python_command(
        environment("ftp", REQUIREMENTS),
        PROGRAMS / "ftpd.py",
        f"--port={port}",
        f"--root={files}",
        f"--user={USER}",
        f"--password={PASSWORD}",
        *(() if mlsd else ("--no-mlsd",)),
    )
    with ServerProcess(command, port=port, log=folder / "server.log") as process:
        yield FtpServer(
            url=f"ftp://{HOST}:{port}",
            storage_options={
                "host": HOST,
                "port": port,
                "username": USER,
                "password": PASSWORD,
            },
            process=process,
            files=files,
            mlsd=mlsd,
        )
