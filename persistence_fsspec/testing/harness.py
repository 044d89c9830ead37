"""How a test reaches a store: through the code under test, and behind its back."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from typing import Any

import fsspec

from persistence_fsspec.persistence import FSSpecPersistence
from persistence_fsspec.policy import Policy
from persistence_fsspec.store import Store

PART_SIZE = 64 * 1024
"""Of the policy under test: small, so that small objects have several parts."""


class Harness(ABC):
    """One fresh folder of one store.

    Args:
        url: Of a folder that may be made; ``{folder}`` in it becomes a fresh name.
        storage_options: For the driver.
        more: Other arguments of `FSSpecPersistence`.
    """

    unfaithful = ""
    """Regular expression of names that this server, not the driver, cannot hold; with the reason beside it."""

    live = True
    """Changes by the back door show in a store that is already open."""

    def __init__(self, url: str, storage_options: Any = None, **more: Any) -> None:
        self.folder = f"t-{uuid.uuid4().hex[:12]}"
        self.policy = Policy(part_size=PART_SIZE)
        prefix = url.replace("{folder}", self.folder)
        self.persistence = FSSpecPersistence(prefix, storage_options=storage_options, policy=self.policy, **more)

    @property
    def store(self) -> Store:
        """The store under test."""
        return self.persistence.store_and_key()[0]

    def key(self, name: str) -> str:
        """The store's key of a name in this harness's folder."""
        return "/".join(part for part in (self.persistence.store_and_key()[1], name) if part)

    @abstractmethod
    def raw_read(self, name: str) -> bytes | None:
        """What is stored, None for nothing; never through the code under test."""

    @abstractmethod
    def raw_write(self, name: str, data: bytes) -> None:
        """Store it; never through the code under test."""

    @abstractmethod
    def raw_names(self) -> list[str]:
        """All names in the folder, partial ones included, sorted."""

    @abstractmethod
    def raw_delete(self, name: str) -> None:
        """Remove it."""


class FsspecHarness(Harness):
    """A harness for any driver; its back door is another instance of the driver, which is better than none."""

    def __init__(self, url: str, storage_options: Any = None, **more: Any) -> None:
        super().__init__(url, storage_options, **more)
        options = {"skip_instance_cache": True, "use_listings_cache": False, **(storage_options or {})}
        self._fs, self._root = fsspec.core.url_to_fs(url.replace("{folder}", self.folder), **options)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def raw_read(self, name: str) -> bytes | None:
        self._fs.invalidate_cache()
        try:
            data: bytes = self._fs.cat_file(self._path(name))
        except FileNotFoundError:
            return None
        return data

    def raw_write(self, name: str, data: bytes) -> None:
        path = self._path(name)
        self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        self._fs.pipe_file(path, data)

    def raw_names(self) -> list[str]:
        self._fs.invalidate_cache()
        return sorted(path[len(self._root) + 1 :] for path in self._fs.find(self._root))

    def raw_delete(self, name: str) -> None:
        self._fs.rm_file(self._path(name))
