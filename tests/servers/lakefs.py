"""A stand-in for lakeFS, because no server of it can be had here: its REST API as far as lakefs-spec asks for it."""

from __future__ import annotations

import json
import sys
from base64 import b64encode
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from . import rest
from .process import HOST, PROGRAMS, ServerProcess, free_port, python_command
from .server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typing_extensions import Self

REPOSITORY = "lake"
USER, PASSWORD = "AKIAIOSFODNN7EXAMPLE", "secret"


@dataclass(frozen=True, kw_only=True)
class LakeFSServer(Server):
    """A running stand-in, seen through one branch of one repository."""

    endpoint_url: str
    """Where the service is, ``http://host:port``."""

    branch: str = "main"
    """The branch that `url` and the back door mean."""

    def at(self, branch: str) -> Self:
        """Seen through another branch, which need not be there."""
        return replace(self, branch=branch, url=f"lakefs://{REPOSITORY}/{branch}")

    def branches(self) -> list[str]:
        """Those of the repository."""
        return [each["id"] for each in json.loads(self._demand("GET", "branches").body)["results"]]

    def delete_branch(self, name: str) -> None:
        """Take one away, with its objects."""
        self._demand("DELETE", f"branches/{name}")

    def requests(self) -> list[str]:
        """What was asked since the last time, those of the back door included: ``GET /repositories/...``."""
        return list(json.loads(rest.demand("GET", f"{self.endpoint_url}/requests").body))

    def raw_read(self, key: str) -> bytes | None:
        response = self._demand("GET", f"refs/{self.branch}/objects?path={quote(key, safe='')}", missing_ok=True)
        return None if response.status == 404 else response.body

    def raw_write(self, key: str, data: bytes) -> None:
        self._demand("POST", f"branches/{self.branch}/objects?path={quote(key, safe='')}", data=data)

    def raw_keys(self, prefix: str = "") -> list[str]:
        found = self._demand(
            "GET", f"refs/{self.branch}/objects/ls?prefix={quote(prefix, safe='')}"
        )  # a page is enough for tests
        return [each["path"] for each in json.loads(found.body)["results"]]

    def raw_delete(self, key: str) -> None:
        self._demand("DELETE", f"branches/{self.branch}/objects?path={quote(key, safe='')}", missing_ok=True)

    def _demand(self, method: str, path: str, *, data: bytes | None = None, missing_ok: bool = False) -> rest.Response:
        url = f"{self.endpoint_url}/api/v1/repositories/{REPOSITORY}/{path}"
        login = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        headers = {"Authorization": f"Basic {login}", "Content-Type": "application/octet-stream"}
        return rest.demand(method, url, data=data, headers=headers, missing_ok=missing_ok)


@contextmanager
def serve(folder: Path) -> Iterator[LakeFSServer]:
    """Run it for the time of the block, with one repository and its branch ``main``.

    Args:
        folder: Empty folder for its log. Objects live in memory, and end with the process.
    """
    port = free_port()
    options = (f"--port={port}", f"--user={USER}", f"--password={PASSWORD}", f"--repository={REPOSITORY}")
    command = python_command(sys.executable, PROGRAMS / "lakefsd.py", *options)
    with ServerProcess(command, port=port, log=folder / "server.log", ready_path="/requests") as process:
        endpoint_url = f"http://{HOST}:{port}"
        yield LakeFSServer(
            url=f"lakefs://{REPOSITORY}/main",
            storage_options={"host": endpoint_url, "username": USER, "password": PASSWORD},
            process=process,
            endpoint_url=endpoint_url,
        )
