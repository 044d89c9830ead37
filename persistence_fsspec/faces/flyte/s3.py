"""s3fs's class, with files moved by the transfer engine. Imported when somebody asks fsspec for ``s3``."""

from __future__ import annotations

import s3fs

from persistence_fsspec.faces.flyte.engine import EngineTransfers


class S3FileSystem(EngineTransfers, s3fs.S3FileSystem):  # type: ignore[misc]  # it has no types
    """As ``s3fs.S3FileSystem``; see `EngineTransfers`."""
