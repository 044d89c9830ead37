"""The persistence behind Flyte's filesystems."""

from __future__ import annotations

from persistence_fsspec.persistence import FSSpecPersistence


class TogetherPersistence(FSSpecPersistence):
    """Several processes of one task may store or fetch the same at once, and did so before we came."""

    _exclusive = False
