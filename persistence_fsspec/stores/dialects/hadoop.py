"""HDFS through any of its three drivers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from persistence_fsspec.errors import ObjectExistsError
from persistence_fsspec.store import ObjectInfo
from persistence_fsspec.stores.dialects.base import Dialect, SwapDialect


class HdfsNativeDialect(Dialect):
    """Quirks hdfs-*."""

    absolute = True

    def options(self, options: dict[str, Any], authority: str) -> dict[str, Any]:  # noqa: ARG002
        """Hadoop's settings are strings."""
        return {k: v if k in {"host", "port", "use_listings_cache"} else str(v) for k, v in options.items()}

    def describe(self, raw: Mapping[str, Any]) -> ObjectInfo:
        """Times are milliseconds since 1970."""
        return super().describe({**raw, "mtime": raw.get("modification_time", 0) / 1000})

    def version(self, raw: Mapping[str, Any]) -> str | None:
        """Time and size."""
        return f"{raw.get('modification_time')}-{raw.get('size')}"

    def replace(self, fs: Any, source: str, target: str) -> None:
        """Atomic on the NameNode."""
        fs.mv(source, target, overwrite=True)

    def rename_new(self, fs: Any, source: str, target: str) -> None:
        """Refuses an existing name."""
        try:
            fs.mv(source, target)
        except FileExistsError as exc:
            raise ObjectExistsError("exists already, and overwrite=False") from exc


class ArrowDialect(SwapDialect):
    """Quirks arrow-*."""

    absolute = True


class WebHdfsDialect(Dialect):
    """Quirks webhdfs-*."""

    absolute = True

    def describe(self, raw: Mapping[str, Any]) -> ObjectInfo:
        """Times are milliseconds since 1970."""
        return super().describe({**raw, "name": raw["name"].rstrip("/"), "mtime": raw.get("modificationTime", 0) / 1000})

    def version(self, raw: Mapping[str, Any]) -> str | None:
        """Each create has a new file id."""
        return f"{raw.get('fileId')}-{raw.get('modificationTime')}"

    def replace(self, fs: Any, source: str, target: str) -> None:
        """RENAME with OVERWRITE."""
        fs._call("RENAME", method="put", path=source, destination=target, renameoptions="OVERWRITE")

    def rename_new(self, fs: Any, source: str, target: str) -> None:
        """RENAME, whose answer is false when the target exists."""
        answer = fs._call("RENAME", method="put", path=source, destination=target).json()
        if not answer.get("boolean"):
            raise ObjectExistsError("exists already, and overwrite=False")
