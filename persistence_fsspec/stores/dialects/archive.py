"""Members of an archive: their paths have no slash in front, and a missing folder lists as empty."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from persistence_fsspec.errors import NotAFolderError
from persistence_fsspec.store import ObjectInfo
from persistence_fsspec.stores.dialects.base import Dialect


class ArchiveDialect(Dialect):
    """Quirks archive-*."""

    def join(self, base: str, key: str) -> str:  # noqa: ARG002 - an archive has no base
        """The member's name."""
        return key

    def info(self, fs: Any, path: str) -> ObjectInfo:
        """One member; the root is a folder even of an empty archive."""
        return super().info(fs, path) if path else ObjectInfo(key="", kind="folder")

    def children(self, fs: Any, path: str) -> Iterator[ObjectInfo]:
        """One folder, once it is known to be one."""
        if not self.info(fs, path).is_folder:
            raise NotAFolderError("is a file")
        yield from super().children(fs, path)
