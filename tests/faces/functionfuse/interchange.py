"""Functionfuse's own storages and ours over the same files, with dask arrays; prints as JSON which pairs agree.

On standard input comes ``{"file": path, "S3": {"path": ..., "s3fs": {...}}}``.
"""

import json
import sys
import uuid

import dask.array as da
import numpy as np
from functionfuse.serializers.daskarray import DaskArraySerializer
from functionfuse.storage.filestorage import FileStorage
from functionfuse.storage.s3storage import S3FileStorage

from persistence_fsspec.faces.functionfuse import FSSpecStorage, HDF5Serializer, ZarrSerializer, storage_factory

PLAIN = np.arange(600).reshape(20, 30)
ARRAY = da.from_array(PLAIN, chunks=(6, 30))


def agrees(writer, reader, serializer):
    workflow = uuid.uuid4().hex  # theirs believes for a while what it has listed once
    for storage in (writer, reader):
        storage.register_persistent_serializers(serializer)
    writer.new_workflow(workflow)
    writer.save(workflow, "a", [ARRAY, 1])
    back = reader.read_task(workflow, "a")
    same = bool(np.array_equal(back[0].compute(), PLAIN)) and back[1] == 1
    reader.remove_task(workflow, "a")
    return same and reader.list_tasks(workflow, "*") == []


def main() -> None:
    given = json.load(sys.stdin)
    s3 = given["S3"]
    url = f"s3:/{s3['path']}"
    theirs = {"file": lambda: FileStorage(given["file"]), "S3": lambda: S3FileStorage(s3["path"], s3["s3fs"])}
    ours = {
        "file": lambda: storage_factory({"kind": "file", "options": {"path": given["file"]}}),
        "S3": lambda: storage_factory({"kind": "S3", "options": s3}),
    }
    told = {}
    for kind in ("file", "S3"):
        for serializer in (DaskArraySerializer, HDF5Serializer, *((ZarrSerializer,) if kind == "S3" else ())):
            name = f"{kind} {serializer.__name__}"
            told[f"{name}, ours reads"] = agrees(theirs[kind](), ours[kind](), serializer)
            told[f"{name}, theirs reads"] = agrees(ours[kind](), theirs[kind](), serializer)
    told["S3 DaskArraySerializer, kind fsspec reads"] = agrees(
        theirs["S3"](), FSSpecStorage(url, s3["s3fs"]), DaskArraySerializer
    )
    print(json.dumps(told))  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
