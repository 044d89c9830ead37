"""s3fs's class, with files moved by the transfer engine. Imported when somebody asks fsspec for ``s3``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import s3fs

from persistence_fsspec.faces.flyte.engine import EngineTransfers
from persistence_fsspec.sensitive import arguments


class S3FileSystem(EngineTransfers, s3fs.S3FileSystem):  # type: ignore[misc]  # it has no types
    """As ``s3fs.S3FileSystem``; see `EngineTransfers`."""

    persistence_fsspec_type = "ContentType"

    def _engine_does(self, path: str, options: Mapping[str, Any]) -> bool:
        """Not for an instance that was changed after it was made: the engine has another one, made as this one was."""
        made = arguments(self)
        payer = {"RequestPayer": "requester"} if made.get("requester_pays") else {}
        as_made = self.s3_additional_kwargs == (made.get("s3_additional_kwargs") or {}) and self.req_kw == payer
        return as_made and super()._engine_does(path, options)

    @staticmethod
    def _engine_metadata(metadata: Mapping[str, str]) -> Mapping[str, str]:  # noqa: ARG004 - the interface's
        """The driver knows ``Metadata``, and passes over this."""
        return {}

    async def _walk(
        self,
        path: str,
        maxdepth: int | None = None,
        topdown: bool = True,  # noqa: FBT001, FBT002 - fsspec's signature
        on_error: Any = "omit",
        **options: Any,
    ) -> AsyncIterator[Any]:
        """All of fsspec's arguments may be given by their place, which the driver does not take."""
        async for found in super()._walk(path, maxdepth=maxdepth, topdown=topdown, on_error=on_error, **options):
            yield found
