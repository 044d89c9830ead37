"""SFTP by asyncssh: a password user who is confined to one folder."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .environment import environment
from .process import HOST, PROGRAMS, ServerProcess, free_port, python_command
from .server import FolderServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REQUIREMENTS = ("asyncssh==2.24.1",)
USER, PASSWORD = "user", "secret"


@dataclass(frozen=True, kw_only=True)
class SftpServer(FolderServer):
    """A running SFTP server, which has no shell.

    Two drivers claim the protocol ``sftp``, with options that differ:
    `storage_options` are those of fsspec's own, until sshfs is installed and
    takes its place.
    """

    paramiko_options: dict[str, Any]
    """For ``fsspec.implementations.sftp.SFTPFileSystem``."""

    sshfs_options: dict[str, Any]
    """For ``sshfs.SSHFileSystem``."""


@contextmanager
def serve(folder: Path) -> Iterator[SftpServer]:
    """Run an SFTP server for the time of the block.

    Args:
        folder: Empty folder for its files, host key and log.
    """
    files = folder / "files"
    files.mkdir()
    port = free_port()
    command = python_command(
        environment("sftp", REQUIREMENTS),
        PROGRAMS / "sftpd.py",
        f"--port={port}",
        f"--root={files}",
        f"--host-key={folder / 'host_key'}",
        f"--user={USER}",
        f"--password={PASSWORD}",
    )
    with ServerProcess(command, port=port, log=folder / "server.log") as process:
        yield _describe(process, files)


def _describe(process: ServerProcess, files: Path) -> SftpServer:
    address = {
        "host": HOST,
        "port": process.port,
        "username": USER,
        "password": PASSWORD,
    }
    # The keys of whoever runs the tests are none of the server's business. An
    # unknown host key is accepted by the driver's own default.
    paramiko_options = {**address, "look_for_keys": False, "allow_agent": False}
    return SftpServer(
        url=f"sftp://{HOST}:{process.port}",
        storage_options=paramiko_options,
        process=process,
        files=files,
        paramiko_options=paramiko_options,
        sshfs_options={**address, "known_hosts": None},
    )
