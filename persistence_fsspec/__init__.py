"""Files and bytes on any store that fsspec reaches by URL, with the same promises everywhere.

What needs other packages is looked up when it is first used: frameworks load
this one unasked, and whatever is wrong with those must not be their trouble.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from persistence_fsspec.capabilities import Capabilities
from persistence_fsspec.errors import (
    AuthenticationError,
    ChangedDuringReadError,
    ChecksumMismatchError,
    ConflictError,
    ConnectionFailedError,
    CredentialsExpiredError,
    FolderNotEmptyError,
    InvalidNameError,
    InvalidOptionError,
    IsAFolderError,
    MissingDriverError,
    NotAFolderError,
    ObjectExistsError,
    ObjectNotFoundError,
    OperationTimeoutError,
    PermissionDeniedError,
    PersistenceError,
    SecretPicklingError,
    ServerFailedError,
    StorageFullError,
    StoreError,
    ThrottledError,
    TransferError,
    TruncatedError,
    UnknownProtocolError,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.events import Event, on_event
from persistence_fsspec.policy import Policy
from persistence_fsspec.secret import SecretReference
from persistence_fsspec.store import Leftover, ObjectInfo, Store, Writer
from persistence_fsspec.transfer.garbage import GcOutcome, GcReport
from persistence_fsspec.transfer.progress import Progress
from persistence_fsspec.transfer.report import FileOutcome, TransferReport

if TYPE_CHECKING:
    from persistence_fsspec.persistence import FSSpecPersistence
    from persistence_fsspec.registry import DataPersistence, DataPersistencePlugins
    from persistence_fsspec.transfer.plan import Plan

__version__ = "0.1.0"

__all__ = [
    "AuthenticationError",
    "Capabilities",
    "ChangedDuringReadError",
    "ChecksumMismatchError",
    "ConflictError",
    "ConnectionFailedError",
    "CredentialsExpiredError",
    "DataPersistence",
    "DataPersistencePlugins",
    "Event",
    "FSSpecPersistence",
    "FileOutcome",
    "FolderNotEmptyError",
    "GcOutcome",
    "GcReport",
    "InvalidNameError",
    "InvalidOptionError",
    "IsAFolderError",
    "Leftover",
    "MissingDriverError",
    "NotAFolderError",
    "ObjectExistsError",
    "ObjectInfo",
    "ObjectNotFoundError",
    "OperationTimeoutError",
    "PermissionDeniedError",
    "PersistenceError",
    "Plan",
    "Policy",
    "Progress",
    "SecretPicklingError",
    "SecretReference",
    "ServerFailedError",
    "StorageFullError",
    "Store",
    "StoreError",
    "ThrottledError",
    "TransferError",
    "TransferReport",
    "TruncatedError",
    "UnknownProtocolError",
    "UnsupportedPersistenceOp",
    "Writer",
    "__version__",
    "on_event",
]

_LATER = {
    "DataPersistence": "registry",
    "DataPersistencePlugins": "registry",
    "FSSpecPersistence": "persistence",
    "Plan": "transfer.plan",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    return found
