"""adlfs's class, with files moved by the transfer engine. Imported when somebody asks fsspec for ``abfs``."""

from __future__ import annotations

from collections.abc import Mapping

import adlfs

from persistence_fsspec.faces.flyte.engine import EngineTransfers


class AzureBlobFileSystem(EngineTransfers, adlfs.AzureBlobFileSystem):  # type: ignore[misc]  # it has no types
    """As ``adlfs.AzureBlobFileSystem``; see `EngineTransfers`."""

    persistence_fsspec_guesses = False

    @staticmethod
    def _engine_metadata(metadata: Mapping[str, str]) -> Mapping[str, str]:
        """The driver takes none, not even flytekit's; the service takes names without a minus."""
        return {name.replace("-", "_"): text for name, text in metadata.items()}
