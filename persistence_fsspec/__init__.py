"""Files and bytes on any store that fsspec reaches by URL, with the same promises everywhere."""

from __future__ import annotations

from persistence_fsspec.capabilities import Capabilities
from persistence_fsspec.errors import *  # noqa: F403 - the error tree, by its own __all__
from persistence_fsspec.errors import __all__ as _errors
from persistence_fsspec.persistence import FSSpecPersistence
from persistence_fsspec.policy import Policy
from persistence_fsspec.registry import DataPersistence, DataPersistencePlugins
from persistence_fsspec.store import ObjectInfo, Store, Writer
from persistence_fsspec.transfer.progress import Progress
from persistence_fsspec.transfer.report import FileOutcome, TransferReport

__version__ = "0.1.0"

__all__ = [
    "Capabilities",
    "DataPersistence",
    "DataPersistencePlugins",
    "FSSpecPersistence",
    "FileOutcome",
    "ObjectInfo",
    "Policy",
    "Progress",
    "Store",
    "TransferReport",
    "Writer",
    "__version__",
    *_errors,
]
