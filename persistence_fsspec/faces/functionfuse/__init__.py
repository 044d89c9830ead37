"""The front door for IBM Function Fuse: results of its workflows on any URL.

``from persistence_fsspec.faces.functionfuse import storage_factory`` in the place of functionfuse's own line is all.
Where functionfuse is installed, importing this lets its own ``storage_factory`` make storages of the kind ``fsspec`` as
well; `uninstall` undoes that, and ``PERSISTENCE_FSSPEC_OVERRIDE=0`` prevents it.

* `storage`: what workflows call; `pickles`: the format; `places`: the names; `protocols`: what serializers write by.
* `hdf5` and `zarrs`: dask arrays; `arrays`: what both have in common; `elements`: their types in words; `wholearrays`: how Zarr is read.
* `ray`: on the workers of a cluster, or on one node.
* `factory`: kinds and options; `learning`: what functionfuse learns of them.
"""

from persistence_fsspec.faces.functionfuse.factory import storage_factory
from persistence_fsspec.faces.functionfuse.hdf5 import HDF5Serializer
from persistence_fsspec.faces.functionfuse.learning import install, learn, uninstall
from persistence_fsspec.faces.functionfuse.pickles import InvalidPickle
from persistence_fsspec.faces.functionfuse.protocols import FILE_PROTOCOL, S3_PROTOCOL
from persistence_fsspec.faces.functionfuse.ray import RayStorage
from persistence_fsspec.faces.functionfuse.storage import FSSpecStorage
from persistence_fsspec.faces.functionfuse.zarrs import ZarrSerializer

__all__ = [
    "FILE_PROTOCOL",
    "S3_PROTOCOL",
    "FSSpecStorage",
    "HDF5Serializer",
    "InvalidPickle",
    "RayStorage",
    "ZarrSerializer",
    "install",
    "storage_factory",
    "uninstall",
]

learn()
