"""HTTP by aiohttp: a read-only file server with some deliberately poor corners."""

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

REQUIREMENTS = ("aiohttp==3.14.5",)
USER, PASSWORD = "user", "secret"


@dataclass(frozen=True, kw_only=True)
class HttpServer(FolderServer):
    """A running HTTP server. In its URLs, keys are quoted."""

    base_url: str
    """Root of everything below, ``http://host:port``."""

    username: str = USER
    """Who may see `secret_url`."""

    password: str = PASSWORD
    """What they say there."""

    @property
    def no_ranges_url(self) -> str:
        """The same files from a server that has never heard of ranges."""
        return f"{self.base_url}/no-ranges"

    @property
    def secret_url(self) -> str:
        """The same files after basic authentication, 401 before it."""
        return f"{self.base_url}/secret"

    @property
    def only_get_url(self) -> str:
        """The same files from a server that refuses HEAD with 403, as it does where URLs are signed for one verb."""
        return f"{self.base_url}/only-get"

    def status_url(self, status: int) -> str:
        """Every path below answers *status*, 200 to 599, to every method."""
        return f"{self.base_url}/status/{status}"


@contextmanager
def serve(folder: Path) -> Iterator[HttpServer]:
    """Run an HTTP server for the time of the block.

    Args:
        folder: Empty folder for its files and log.
    """
    files = folder / "files"
    files.mkdir()
    port = free_port()
    command = python_command(
        environment("http", REQUIREMENTS),
        PROGRAMS / "httpd.py",
        f"--port={port}",
        f"--root={files}",
        f"--user={USER}",
        f"--password={PASSWORD}",
    )
    log = folder / "server.log"
    with ServerProcess(command, port=port, log=log, ready_path="/files/") as process:
        base_url = f"http://{HOST}:{port}"
        yield HttpServer(
            url=f"{base_url}/files",
            storage_options={},
            process=process,
            files=files,
            base_url=base_url,
        )
