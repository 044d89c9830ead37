"""The front door for Microsoft XT: a storage provider for any URL, named by its dotted path in XT's configuration.

Importing it needs neither xtlib nor python-interface: XT takes whatever has the methods of its ``StoreInterface``,
and `FSSpecStore` has them with exactly its signatures, so that a class may also derive from both.
"""

from __future__ import annotations

from persistence_fsspec.faces.xt.blobs import Blob, BlobProperties
from persistence_fsspec.faces.xt.store import FSSpecStore, UnguardedStore

__all__ = ["Blob", "BlobProperties", "FSSpecStore", "UnguardedStore"]
