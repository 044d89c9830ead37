"""Azure Blob Storage by azurite, Microsoft's own emulator, a node program."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlencode
from xml.etree import ElementTree

from . import rest
from .environment import node_program
from .process import HOST, ServerProcess, free_port
from .server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typing_extensions import Self

REQUIREMENT = "azurite@3.37.0"
ACCOUNT = "testaccount"
CONTAINER = "test-container"

# From 2021-02-12 on, listings encode the names that XML cannot hold.
API_VERSION = "2021-12-02"


@dataclass(frozen=True, kw_only=True)
class AzureServer(Server):
    """A running Blob service, seen through one of its containers."""

    endpoint_url: str
    """Where the account is, ``http://host:port/account``."""

    sas_token: str
    """Signed permission to do everything, to follow ``?`` in any URL."""

    container: str
    """The container that `url` and the back door mean."""

    def new_container(self, name: str) -> Self:
        """Create the container *name*; return this server seen through it."""
        self._demand("PUT", f"/{name}", {"restype": "container"})
        return replace(self, container=name, url=f"abfs://{name}")

    def raw_read(self, key: str) -> bytes | None:
        response = self._demand("GET", self._path(key), missing_ok=True)
        return None if response.status == 404 else response.body

    def raw_write(self, key: str, data: bytes) -> None:
        headers = {"x-ms-blob-type": "BlockBlob"}
        self._demand("PUT", self._path(key), data=data, headers=headers)

    def raw_keys(self, prefix: str = "") -> list[str]:
        query = {"restype": "container", "comp": "list", "prefix": prefix}
        keys: list[str] = []
        while True:
            answer = self._demand("GET", f"/{self.container}", query)
            page = ElementTree.fromstring(answer.body)  # noqa: S314 - from our own server
            keys += [_name(element) for element in page.iterfind("Blobs/Blob/Name")]
            if not page.findtext("NextMarker"):
                return sorted(keys)
            query["marker"] = page.findtext("NextMarker", "")

    def raw_delete(self, key: str) -> None:
        self._demand("DELETE", self._path(key), missing_ok=True)

    def _path(self, key: str) -> str:
        return f"/{self.container}/{quote(key)}"

    def _demand(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        *,
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
        missing_ok: bool = False,
    ) -> rest.Response:
        wanted = f"{urlencode(query)}&" if query else ""
        return rest.demand(
            method,
            f"{self.endpoint_url}{path}?{wanted}{self.sas_token}",
            data=data,
            headers={"x-ms-version": API_VERSION, **(headers or {})},
            missing_ok=missing_ok,
        )


@contextmanager
def serve(folder: Path) -> Iterator[AzureServer]:
    """Run a Blob service for the time of the block, with one empty container.

    Args:
        folder: Empty folder for its log. Blobs live in memory, and end with
            the process.
    """
    port = free_port()
    program = node_program("azurite", REQUIREMENT, "azurite-blob")
    listen = ("--blobHost", HOST, "--blobPort", str(port))
    manners = ("--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry")
    # Not the key that everybody knows: what works here was signed with ours.
    key = base64.b64encode(os.urandom(64)).decode()
    with ServerProcess(
        [*program, *listen, *manners, "--silent"],
        port=port,
        log=folder / "server.log",
        ready_path="/",
        environment={"AZURITE_ACCOUNTS": f"{ACCOUNT}:{key}"},
    ) as process:
        endpoint_url = f"http://{HOST}:{port}/{ACCOUNT}"
        parts = (
            "DefaultEndpointsProtocol=http",
            f"AccountName={ACCOUNT}",
            f"AccountKey={key}",
            f"BlobEndpoint={endpoint_url}",
        )
        yield AzureServer(
            url="abfs://",
            storage_options={"connection_string": ";".join(parts)},
            process=process,
            endpoint_url=endpoint_url,
            sas_token=_sas_token(key),
            container="",
        ).new_container(CONTAINER)


def _sas_token(key: str) -> str:
    """Sign a permission for the whole account; one serves every request."""
    granted = {
        "sp": "rwdlac",  # read, write, delete, list, add, create
        "ss": "b",
        "srt": "sco",  # service, containers, objects
        "st": "",
        "se": "2099-01-01T00:00:00Z",
        "sip": "",
        "spr": "",
        "sv": API_VERSION,
        "ses": "",
    }
    text = "".join(f"{line}\n" for line in (ACCOUNT, *granted.values()))
    seal = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
    given = {name: value for name, value in granted.items() if value}
    return urlencode({**given, "sig": base64.b64encode(seal).decode()})


def _name(element: ElementTree.Element) -> str:
    text = element.text or ""
    return unquote(text) if element.get("Encoded") == "true" else text
