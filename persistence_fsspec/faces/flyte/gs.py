"""gcsfs's class, with files moved by the transfer engine. Imported when somebody asks fsspec for ``gs``."""

from __future__ import annotations

import gcsfs

from persistence_fsspec.faces.flyte.engine import EngineTransfers


class GCSFileSystem(EngineTransfers, gcsfs.GCSFileSystem):  # type: ignore[misc]  # it has no types
    """As ``gcsfs.GCSFileSystem``; see `EngineTransfers`."""

    persistence_fsspec_type = "content_type"
    persistence_fsspec_ignored = frozenset({"consistency"})  # the engine verifies
