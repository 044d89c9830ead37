"""Zarr arrays of which a missing chunk is an error: zarr itself takes it for one that was never written, and reads zeros."""

from __future__ import annotations

from typing import Any, Final

from persistence_fsspec.faces.functionfuse.arrays import missing, url_of
from persistence_fsspec.faces.functionfuse.protocols import LiteralPaths

_NO_CHUNKS: Final = (".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json")


class WholeArrays(LiteralPaths):
    """A filesystem to read arrays by, all chunks of which were written.

    Args:
        client: The filesystem that is read.
    """

    protocol: Any = "whole-arrays"
    root_marker = ""
    cachable = False

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(**options)
        self._client = client

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path.rstrip("/")

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> Any:
        """Read of a file.

        Raises:
            FileNotFoundError: It is missing, and may be.
            TruncatedError: It is missing, and is a chunk.
        """
        try:
            return self._client.cat_file(path, start=start, end=end, **options)
        except FileNotFoundError as exc:
            if path.endswith(_NO_CHUNKS):
                raise
            raise missing(url_of(self._client, path)) from exc

    def info(self, path: str, **options: Any) -> Any:
        return self._client.info(path, **options)

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:  # noqa: FBT001, FBT002 - fsspec's signature
        return self._client.ls(path, detail=detail, **options)
