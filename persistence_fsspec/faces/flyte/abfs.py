"""adlfs's class, with files moved by the transfer engine. Imported when somebody asks fsspec for ``abfs``."""

from __future__ import annotations

import adlfs

from persistence_fsspec.faces.flyte.engine import EngineTransfers


class AzureBlobFileSystem(EngineTransfers, adlfs.AzureBlobFileSystem):  # type: ignore[misc]  # it has no types
    """As ``adlfs.AzureBlobFileSystem``; see `EngineTransfers`."""
