"""What every running server offers to the tests."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from .process import ServerProcess


@dataclass(frozen=True, kw_only=True)
class Server(ABC):
    """A running server and a back door to what it stores.

    The back door never goes through an fsspec driver. Its keys are exact: no
    quoting, no patterns, ``/`` between folders, none at the beginning.
    """

    url: str
    """Where to put data: join a key with one ``/``."""

    storage_options: dict[str, Any]
    """What the fsspec driver needs to reach it."""

    process: ServerProcess
    """To stop the server in mid-test, and to start it again on its port."""

    @abstractmethod
    def raw_read(self, key: str) -> bytes | None:
        """Return what is stored under *key*, None if nothing is."""

    @abstractmethod
    def raw_write(self, key: str, data: bytes) -> None:
        """Store *data* under *key*, replacing what was there."""

    @abstractmethod
    def raw_keys(self, prefix: str = "") -> list[str]:
        """Return the keys that begin with *prefix*, sorted; no folders."""

    @abstractmethod
    def raw_delete(self, key: str) -> None:
        """Remove what is stored under *key*; nothing there is fine."""


@dataclass(frozen=True, kw_only=True)
class FolderServer(Server):
    """A server of the files in a local folder, which is its back door."""

    files: Path
    """The folder that appears as the root of the server."""

    def raw_read(self, key: str) -> bytes | None:
        path = self.files / key
        return path.read_bytes() if path.is_file() else None

    def raw_write(self, key: str, data: bytes) -> None:
        path = self.files / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def raw_keys(self, prefix: str = "") -> list[str]:
        folder = self.files / prefix.rpartition("/")[0]  # not all of it: the files of other tests are many
        files = (path for path in folder.rglob("*") if path.is_file())
        keys = (path.relative_to(self.files).as_posix() for path in files)
        return sorted(key for key in keys if key.startswith(prefix))

    def raw_delete(self, key: str) -> None:
        (self.files / key).unlink(missing_ok=True)
