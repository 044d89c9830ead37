"""HDFS through any of its three drivers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from persistence_fsspec.errors import ObjectExistsError
from persistence_fsspec.store import ObjectInfo
from persistence_fsspec.stores.dialects.base import Dialect, SwapDialect


class HdfsNativeDialect(Dialect):
    """Quirks hdfs-*."""

    absolute = True

    def patience(self, options: dict[str, Any], *, stall_seconds: float) -> dict[str, Any]:
        """Only of the DataNodes; nothing limits a NameNode that says nothing, and failing over must stay."""
        return {"dfs.client.socket-timeout": _milliseconds(stall_seconds), **options}

    def options(self, options: dict[str, Any], authority: str) -> dict[str, Any]:  # noqa: ARG002
        """Hadoop's settings are strings."""
        return {k: v if k in {"host", "port", "skip_instance_cache"} else str(v) for k, v in options.items()}

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

    def patience(self, options: dict[str, Any], *, stall_seconds: float) -> dict[str, Any]:
        """Hadoop's own settings, of which those for failing over to another NameNode stay."""
        limit = _milliseconds(stall_seconds)
        settings = {
            "dfs.client.socket-timeout": limit,
            "ipc.client.connect.timeout": limit,
            "ipc.client.rpc-timeout.ms": limit,
            "ipc.client.connect.max.retries": "0",
            "ipc.client.connect.max.retries.on.timeouts": "0",
        }
        return {**options, "extra_conf": {**settings, **(options.get("extra_conf") or {})}}


class WebHdfsDialect(Dialect):
    """Quirks webhdfs-*."""

    absolute = True

    def restrain(self, fs: Any, *, stall_seconds: float, given: bool) -> None:  # noqa: ARG002 - no session has a limit
        """The driver's session waits for ever, and no argument reaches it."""
        fs.session.request = partial(fs.session.request, timeout=stall_seconds)

    def connected(self, fs: Any) -> None:
        """The driver drops the name of the Java exception, which says what happened."""
        hooks = fs.session.hooks["response"]
        if _name_the_exception not in hooks:
            hooks.append(_name_the_exception)

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

    def delete_folder(self, fs: Any, path: str) -> None:
        """DELETE without recursion; the driver's own ``rmdir`` does nothing."""
        fs.rm(path)


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))


_NAMED_BY_THE_DRIVER: Final = (
    "AccessControlException",
    "FileNotFoundException",
    "IllegalArgumentException",
    "SecurityException",
    "UnsupportedOperationException",
)


def _name_the_exception(answer: Any, **_: Any) -> None:
    """A hook of ``requests``, which raises what the driver would raise without its name."""
    if answer.status_code < 400:
        return
    try:
        said = answer.json()["RemoteException"]
        name, message = said["exception"], said["message"]
    except (ValueError, KeyError, TypeError):
        return
    if name not in _NAMED_BY_THE_DRIVER:
        raise OSError(f"{name}: {message}")
