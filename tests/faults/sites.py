"""Where trees go to and come from in these tests: S3, FTP and a local disk, each with a meter, and a door behind it."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from persistence_fsspec.stores.partial import is_reserved
from tests.servers import rest
from tests.servers.meter import FtpMeter, HttpMeter, Meter
from tests.servers.process import HOST
from tests.servers.s3 import S3Server
from tests.servers.server import FolderServer, Server

Tree = dict[str, bytes]
"""Name -> content."""

PIECE = 1024 * 1024
AT_REST_SECONDS = 3600
"""How long the files of a source have not been touched: whoever resumes inside of one may trust its size and time then."""


class Site(ABC):
    """A place for trees.

    Attributes:
        name: For people.
        prefix: Of a persistence, which goes through the meter where there is one.
        options: Of the persistence.
        meter: Counts what passes; None for the local disk.
    """

    name: str
    prefix: str
    options: dict[str, Any]
    meter: Meter | None

    @abstractmethod
    def address(self, folder: str) -> str:
        """What to call a folder, or a file, of this place in a transfer."""

    @abstractmethod
    def write(self, key: str, data: bytes) -> None:
        """Put a file there by the back door; it looks old where files have times of their own."""

    @abstractmethod
    def read(self, key: str) -> bytes | None:
        """A file by the back door."""

    @abstractmethod
    def keys(self, folder: str) -> list[str]:
        """All names below a folder, those of unfinished writes among them."""

    def sizes(self, folder: str) -> dict[str, int] | None:  # noqa: B027 - a default: not quick
        """Sizes of what stands under final names in and below a folder, looked up quickly; None where that is not quick."""

    def unfinished(self, folder: str) -> list[str]:
        """What unfinished writes left below a folder: files with our names, and uploads that no object was made of."""
        return [key for key in self.keys(folder) if is_reserved(key)]

    def whole_parts(self, key: str) -> int:  # noqa: ARG002 - for those who know
        """Bytes of a file in the making that the store holds for good."""
        return 0

    def settle(self) -> None:
        """Wait until a killed client's connections have come to their end."""
        if self.meter is not None:
            self.meter.settle()

    def tree(self, folder: str) -> Tree:
        """What stands under final names."""
        found = {key[len(folder) + 1 :]: self.read(key) for key in self.keys(folder) if not is_reserved(key)}
        return {name: data for name, data in found.items() if data is not None}

    @abstractmethod
    def remove(self, folder: str) -> None:
        """Leave nothing below a folder: some of what the tests make is large."""

    def fill(self, folder: str, tree: Tree) -> None:
        """Put a tree there."""
        for name, data in tree.items():
            self.write(f"{folder}/{name}", data)


class FolderSite(Site):
    """Files in a folder of this machine, which a server may show under another name."""

    def __init__(self, name: str, files: Path, prefix: str, options: dict[str, Any], meter: Meter | None) -> None:
        self.name, self.files, self.prefix, self.options, self.meter = name, files, prefix, options, meter

    def address(self, folder: str) -> str:
        return f"{self.prefix}/{folder}" if self.prefix else str(self.files / folder)

    def write(self, key: str, data: bytes) -> None:
        path = self.files / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        make_old(path)

    def read(self, key: str) -> bytes | None:
        path = self.files / key
        return path.read_bytes() if path.is_file() else None

    def keys(self, folder: str) -> list[str]:
        return sorted(path.relative_to(self.files).as_posix() for path in self._paths(folder))

    def sizes(self, folder: str) -> dict[str, int]:
        below = self.files / folder
        return {
            path.relative_to(below).as_posix() if path != below else "": size
            for path in self._paths(folder)
            if not is_reserved(path.name) and (size := _size(path)) is not None
        }

    def whole_parts(self, key: str) -> int:
        """Of an upload that is appended to, all that arrived."""
        folder = (self.files / key).parent
        return sum(_size(path) or 0 for path in _files(folder) if is_reserved(path.name))

    def remove(self, folder: str) -> None:
        shutil.rmtree(self.files / folder, ignore_errors=True)

    def _paths(self, folder: str) -> Iterator[Path]:
        place = self.files / folder
        if place.is_file():
            yield place
        yield from _files(place)


class S3Site(Site):
    """A bucket.

    Args:
        server: It is there.
        port: Of the proxy before the server.
        meter: That proxy, if it counts.
    """

    def __init__(self, server: S3Server, port: int, meter: Meter | None = None) -> None:
        self.name, self.meter, self._server = "s3", meter, server
        self.prefix = server.url
        self.options = {**server.storage_options, "endpoint_url": f"http://{HOST}:{port}"}

    def address(self, folder: str) -> str:
        return f"{self.prefix}/{folder}"

    def write(self, key: str, data: bytes) -> None:
        self._server.raw_write(key, data)

    def read(self, key: str) -> bytes | None:
        return self._server.raw_read(key)

    def keys(self, folder: str) -> list[str]:
        found = self._server.raw_keys(folder)
        return [key for key in found if key == folder or key.startswith(f"{folder}/")]

    def unfinished(self, folder: str) -> list[str]:
        """Uploads without any part do not count.

        When the answer to the beginning of one is lost, nobody knows its name, and S3 has no room for a mark in it. It
        holds nothing, and `persist gc --foreign` finds it.
        """
        held = [f"upload of {key}" for key, upload in self._uploads(folder) if self._parts(key, upload)]
        return [*super().unfinished(folder), *held]

    def whole_parts(self, key: str) -> int:
        return sum(self._parts(name, upload) for name, upload in self._uploads(key))

    def remove(self, folder: str) -> None:
        for key in self.keys(folder):
            self._server.raw_delete(key)

    def _uploads(self, folder: str) -> list[tuple[str, str]]:
        page = self._ask(f"?uploads&prefix={quote(folder)}")
        return [(one.findtext("{*}Key") or "", one.findtext("{*}UploadId") or "") for one in page.iterfind("{*}Upload")]

    def _parts(self, key: str, upload: str) -> int:
        page = self._ask(f"/{quote(key)}?uploadId={quote(upload)}")
        return sum(int(one.findtext("{*}Size") or 0) for one in page.iterfind("{*}Part"))

    def _ask(self, what: str) -> ElementTree.Element:
        url = f"{self._server.endpoint_url}/{self._server.bucket}{what}"
        signature = "AWS4-HMAC-SHA256 Credential=backdoor/20200101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
        return ElementTree.fromstring(rest.demand("GET", url, headers={"Authorization": signature}).body)


@contextmanager
def s3_site(server: S3Server) -> Iterator[S3Site]:
    """With a meter of its own."""
    with HttpMeter(server.process.port) as meter:
        yield S3Site(server, meter.port, meter)


@contextmanager
def ftp_site(server: FolderServer) -> Iterator[FolderSite]:
    """With a meter of its own."""
    with FtpMeter(server.process.port) as meter:
        yield ftp_site_at(server, meter.port, meter)


def ftp_site_at(server: FolderServer, port: int, meter: Meter | None = None) -> FolderSite:
    """Behind a proxy at that port."""
    return FolderSite("ftp", server.files, f"ftp://{HOST}:{port}", {**server.storage_options, "port": port}, meter)


def local_site(folder: Path) -> FolderSite:
    """The disk."""
    folder.mkdir(parents=True, exist_ok=True)
    return FolderSite("local", folder, "", {}, None)


SITES: tuple[str, ...] = ("s3", "ftp", "local")


@contextmanager
def site(name: str, server: Server | None, folder: Path) -> Iterator[Site]:
    """The site of that name.

    Args:
        name: One of `SITES`.
        server: The one it belongs to.
        folder: For the local one.
    """
    if isinstance(server, S3Server):
        with s3_site(server) as found:
            yield found
    elif isinstance(server, FolderServer):
        with ftp_site(server) as found:
            yield found
    else:
        yield local_site(folder)


# --- what lies there ---


def random_tree(rng: random.Random, files: int, largest: int) -> Tree:
    """Small files in a few folders, some of them empty.

    Args:
        rng: Draws.
        files: How many.
        largest: Bytes of the largest possible one.
    """
    sizes = [0 if rng.random() < 0.03 else rng.randint(1, largest) for _ in range(files)]
    return {f"{rng.choice(('', 'a/', 'b/', 'b/c/', 'b/c/d/'))}{i:04}.bin": rng.randbytes(size) for i, size in enumerate(sizes)}


def write_large(path: Path, size: int, seed: str) -> str:
    """Write a file that looks old, of random bytes without any repetition; return its SHA-256."""
    rng, found = random.Random(seed), hashlib.sha256()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        while size:
            piece = rng.randbytes(min(size, PIECE))
            file.write(piece)
            found.update(piece)
            size -= len(piece)
    make_old(path)
    return found.hexdigest()


def make_old(path: Path) -> None:
    """Let a file look as if it had not been touched for a while."""
    then = time.time() - AT_REST_SECONDS
    os.utime(path, (then, then))


def _files(folder: Path) -> Iterator[Path]:
    """All files below; what disappears meanwhile is left out."""
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path))
        else:
            yield Path(entry.path)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
