"""S3 by moto: one server that believes everybody, and one that checks signatures."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_plus, urlencode
from xml.etree import ElementTree

from . import rest
from .environment import environment
from .process import HOST, ServerProcess, free_port, python_command
from .server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typing_extensions import Self

REQUIREMENTS = ("moto[server,s3]==5.2.5",)
BUCKET = "test-bucket"


@dataclass(frozen=True, kw_only=True)
class S3Server(Server):
    """A running S3 server, seen through one of its buckets."""

    endpoint_url: str
    """Where the service is, ``http://host:port``."""

    bucket: str
    """The bucket that `url` and the back door mean."""

    def new_bucket(self, name: str) -> Self:
        """Create the bucket *name*; return this server seen through it."""
        self._demand("PUT", f"/{name}")
        return replace(self, bucket=name, url=f"s3://{name}")

    def raw_read(self, key: str) -> bytes | None:
        response = self._demand("GET", self._path(key), missing_ok=True)
        return None if response.status == 404 else response.body

    def raw_write(self, key: str, data: bytes) -> None:
        self._demand("PUT", self._path(key), data=data)

    def raw_keys(self, prefix: str = "") -> list[str]:
        # Encoded names, because XML cannot hold every character of a key.
        query = {"list-type": "2", "encoding-type": "url", "prefix": prefix}
        keys: list[str] = []
        while True:
            page = _xml(self._demand("GET", f"/{self.bucket}?{urlencode(query)}").body)
            found = page.iterfind("Contents/Key")
            keys += [unquote_plus(element.text or "") for element in found]
            if page.findtext("IsTruncated") != "true":
                return sorted(keys)
            query["continuation-token"] = page.findtext("NextContinuationToken", "")

    def raw_delete(self, key: str) -> None:
        self._demand("DELETE", self._path(key), missing_ok=True)

    def _path(self, key: str) -> str:
        return f"/{self.bucket}/{quote(key)}"

    def _demand(
        self,
        method: str,
        path: str,
        *,
        data: bytes | None = None,
        missing_ok: bool = False,
    ) -> rest.Response:
        url = self.endpoint_url + path
        return rest.demand(method, url, data=data, headers=_headers("s3"), missing_ok=missing_ok)


@dataclass(frozen=True, kw_only=True)
class StrictS3Server(S3Server):
    """An S3 server that refuses wrong credentials with 403.

    The back door suspends the checks while it is in use: not for the moments
    when the code under test is talking to the server in another thread.
    """

    wrong_options: dict[str, Any]
    """As `storage_options`, with a wrong secret: a signature that does not match."""

    unknown_options: dict[str, Any]
    """As `storage_options`, with a key that was never given to anybody."""

    def _demand(
        self,
        method: str,
        path: str,
        *,
        data: bytes | None = None,
        missing_ok: bool = False,
    ) -> rest.Response:
        _check_signatures(self.endpoint_url, on=False)
        try:
            return super()._demand(method, path, data=data, missing_ok=missing_ok)
        finally:
            _check_signatures(self.endpoint_url, on=True)


@contextmanager
def serve(folder: Path) -> Iterator[S3Server]:
    """Run an S3 server that takes any credentials, with one empty bucket.

    Args:
        folder: Empty folder for its temporary files and log. Objects live in
            memory, and end with the process.
    """
    with _moto(folder) as process:
        endpoint_url = f"http://{HOST}:{process.port}"
        yield S3Server(
            url="s3://",
            storage_options={
                "key": "any",
                "secret": "any",
                "endpoint_url": endpoint_url,
            },
            process=process,
            endpoint_url=endpoint_url,
            bucket="",
        ).new_bucket(BUCKET)


@contextmanager
def serve_strict(folder: Path) -> Iterator[StrictS3Server]:
    """Run an S3 server that checks credentials, with one empty bucket.

    Args:
        folder: As for `serve`.
    """
    with _moto(folder) as process:
        endpoint_url = f"http://{HOST}:{process.port}"
        key, secret = _administrator(endpoint_url)
        options = {"key": key, "secret": secret, "endpoint_url": endpoint_url}
        yield StrictS3Server(
            url="s3://",
            storage_options=options,
            wrong_options={**options, "secret": "wrong"},
            unknown_options={**options, "key": "AKIAUNKNOWN"},
            process=process,
            endpoint_url=endpoint_url,
            bucket="",
        ).new_bucket(BUCKET)


@contextmanager
def _moto(folder: Path) -> Iterator[ServerProcess]:
    temporary = folder / "tmp"
    temporary.mkdir()
    port = free_port()
    python = environment("s3", REQUIREMENTS)
    with ServerProcess(
        python_command(python, "-m", "moto.server", f"--host={HOST}", f"--port={port}"),
        port=port,
        log=folder / "server.log",
        ready_path="/moto-api/",
        environment={"TMPDIR": str(temporary)},
    ) as process:
        yield process


def _headers(service: str) -> dict[str, str]:
    # Nobody verifies it, but without any signature moto takes the request for
    # a stranger's, to whom objects are forbidden; it also names the service.
    scope = f"backdoor/20200101/us-east-1/{service}/aws4_request"
    signature = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
    return {"Authorization": signature}


def _check_signatures(endpoint_url: str, *, on: bool) -> None:
    # The body says how many more requests go unchecked.
    unchecked = b"0" if on else b"inf"
    rest.demand("POST", f"{endpoint_url}/moto-api/reset-auth", data=unchecked)


def _administrator(endpoint_url: str) -> tuple[str, str]:
    """Create a user who may do everything; return its key and secret."""
    allow_all = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow_all]})
    user = {"UserName": "administrator"}
    _iam(endpoint_url, {"Action": "CreateUser", **user})
    all_powers = {"PolicyName": "all", "PolicyDocument": policy}
    _iam(endpoint_url, {"Action": "PutUserPolicy", **user, **all_powers})
    answer = _iam(endpoint_url, {"Action": "CreateAccessKey", **user})
    created = "CreateAccessKeyResult/AccessKey"
    return (
        answer.findtext(f"{created}/AccessKeyId", ""),
        answer.findtext(f"{created}/SecretAccessKey", ""),
    )


def _iam(endpoint_url: str, parameters: dict[str, str]) -> ElementTree.Element:
    form = urlencode({**parameters, "Version": "2010-05-08"}).encode()
    headers = {**_headers("iam"), "Content-Type": "application/x-www-form-urlencoded"}
    return _xml(rest.demand("POST", endpoint_url, data=form, headers=headers).body)


def _xml(body: bytes) -> ElementTree.Element:
    """Parse *body*, with the namespaces dropped from the names of elements."""
    root = ElementTree.fromstring(body)  # noqa: S314 - from our own server
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root
