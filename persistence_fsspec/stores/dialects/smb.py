"""Windows shares, through ``smbclient`` where the driver's own calls refuse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from persistence_fsspec.errors import NotAFolderError, ObjectExistsError
from persistence_fsspec.store import ObjectInfo
from persistence_fsspec.stores.dialects.base import Dialect


class SmbDialect(Dialect):
    """Quirks smb-*."""

    absolute = True

    def patience(self, options: dict[str, Any], *, stall_seconds: float) -> dict[str, Any]:
        """Of connecting; the client has no limit for the answer to a request."""
        return {"timeout": stall_seconds, "register_session_retries": 0, **options}

    def children(self, fs: Any, path: str) -> Iterator[ObjectInfo]:
        """One folder; the driver lists a file as if it were one."""
        if path.strip("/") and not self.info(fs, path).is_folder:
            raise NotAFolderError("is a file")
        yield from super().children(fs, path)

    def replace(self, fs: Any, source: str, target: str) -> None:
        """Rename with the flag that replaces."""
        import smbclient  # noqa: PLC0415 - the driver's own client, loaded with it

        smbclient.replace(_unc(fs, source), _unc(fs, target), port=fs._port)

    def rename_new(self, fs: Any, source: str, target: str) -> None:
        """Rename, which refuses an existing name."""
        try:
            fs.mv(source, target)
        except OSError as exc:
            if exc.errno == 17:
                raise ObjectExistsError("exists already, and overwrite=False") from exc
            raise


def _unc(fs: Any, path: str) -> str:
    from fsspec.implementations.smb import _as_unc_path  # noqa: PLC0415 - loads smbclient

    return str(_as_unc_path(fs.host, path))
