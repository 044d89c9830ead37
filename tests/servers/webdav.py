"""WebDAV by WsgiDAV on cheroot, open to everybody."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .environment import environment
from .process import HOST, ServerProcess, free_port, python_command
from .server import FolderServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REQUIREMENTS = ("wsgidav==4.4.0", "cheroot==11.1.2")


@dataclass(frozen=True, kw_only=True)
class WebdavServer(FolderServer):
    """A running WebDAV server."""

    base_url: str
    """The same root by HTTP, ``http://...``."""


@contextmanager
def serve(folder: Path) -> Iterator[WebdavServer]:
    """Run a WebDAV server for the time of the block.

    Args:
        folder: Empty folder for its files and log.
    """
    files = folder / "files"
    files.mkdir()
    port = free_port()
    command = python_command(
        environment("webdav", REQUIREMENTS),
        "-m",
        "wsgidav.server.server_cli",
        "--no-config",
        "--quiet",
        "--auth=anonymous",
        f"--host={HOST}",
        f"--port={port}",
        f"--root={files}",
    )
    log = folder / "server.log"
    with ServerProcess(command, port=port, log=log, ready_path="/") as process:
        base_url = f"http://{HOST}:{port}"
        yield WebdavServer(
            url="webdav://",
            storage_options={"base_url": base_url},
            process=process,
            files=files,
            base_url=base_url,
        )
