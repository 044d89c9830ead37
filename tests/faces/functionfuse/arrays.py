"""Store dask arrays apart from the pickle, and read them lazily; prints as JSON what came of it.

Argument: a URL. The options of its driver come as JSON on standard input.
"""

import json
import pickle
import sys
import time
import uuid
from unittest import mock

import dask
import dask.array as da
import h5py
import numpy as np
import zarr

from persistence_fsspec import FSSpecPersistence
from persistence_fsspec.faces.fsspec import PersistFileSystem
from persistence_fsspec.faces.functionfuse import FILE_PROTOCOL, S3_PROTOCOL, FSSpecStorage, HDF5Serializer, ZarrSerializer

PLAIN = np.arange(2400, dtype="<f8").reshape(40, 60)
ARRAYS = {
    "even": da.from_array(PLAIN, chunks=(10, 20)),
    "uneven": da.from_array(PLAIN, chunks=((3, 30, 7), (60,))),
    "small": da.from_array(PLAIN.astype("<i2"), chunks=(40, 60)),
    "number": da.from_array(np.array(7.5)),
    "empty": da.from_array(np.zeros((0, 5))),
    "truth": da.from_array(PLAIN > 7, chunks=(40, 7)),
    "zeros": da.zeros((4, 4), chunks=2),
    "minus zeros": da.from_array(np.full(4, -0.0), chunks=2),
    "calculated": da.from_array(PLAIN, chunks=(8, 60)).T * 2,
    "complex": da.from_array(PLAIN + 2j, chunks=(9, 60)),
    "big endian": da.from_array(PLAIN.astype(">i4"), chunks=(40, 50)),
    "bytes": da.from_array(np.array([b"ab", b"", b"c"]), chunks=2),
}
RECORDS = da.from_array(np.array([(1, 2.5), (3, 4.5), (5, 6.5)], dtype=[("a", "<i2"), ("b", "<f8")]), chunks=2)


class Counted:
    """Bytes that were read by ranges."""

    def __init__(self):
        self.bytes = 0
        before = PersistFileSystem.cat_file

        def cat_file(*arguments, **options):
            got = before(*arguments, **options)
            self.bytes += len(got)
            return got

        PersistFileSystem.cat_file = cat_file


def kind_of(call):
    try:
        return f"no error: {call()}"
    except Exception as exc:
        return f"{type(exc).__name__}: {exc}"


def fails(_block):
    raise RuntimeError("not this block")


def stored(storage):
    return sorted(info.key for info in storage._persistence.find(""))


def looked_at(url, options, serializer, **more):
    storage = FSSpecStorage(f"{url}/{uuid.uuid4().hex}", options, **more)
    storage.register_persistent_serializers(serializer)
    wrong = []
    for name, array in ARRAYS.items():
        storage.save("wf", name, {"array": array})
    for name, array in ARRAYS.items():
        back = storage.read_task("wf", name)["array"]
        same = type(back) is type(array) and back.dtype == array.dtype and back.shape == array.shape
        got, wanted = back.compute(), array.compute()
        if not (
            same
            and np.array_equal(got, wanted)
            and (got.dtype.kind != "f" or np.array_equal(np.signbit(got), np.signbit(wanted)))
        ):
            wrong.append(name)
    added = storage.read_task("wf", "even")["array"] + storage.read_task("wf", "uneven")["array"]
    found = {"wrong": wrong, "added": bool(np.array_equal(added.compute(), PLAIN * 2))}
    found["nodes"] = storage.list_tasks("wf", "*") == sorted(ARRAYS)
    found["elsewhere"] = [key for key in stored(storage) if not key.startswith("wf/")]
    storage.remove_task("wf", pattern="*")
    found["left"] = stored(storage)
    found["failed"] = kind_of(lambda: storage.save("wf", "a", [ARRAYS["even"], ARRAYS["even"].map_blocks(fails, dtype="f8")]))
    unknown = ARRAYS["even"][ARRAYS["even"] > 3]
    found["unknown"] = kind_of(lambda: storage.save("wf", "a", unknown))
    found["masked"] = kind_of(lambda: storage.save("wf", "a", da.ma.masked_greater(ARRAYS["even"], 10)))
    found["late"] = kind_of(lambda: storage.save("wf", "a", da.ones((4, 4), chunks=2).map_blocks(late, dtype="f8")))
    time.sleep(1.5)
    found["left by failures"] = stored(storage)
    return found


def late(block, block_info=None):
    """One block fails while the others are still being calculated."""
    first = block_info[0]["chunk-location"] == (0, 0)
    time.sleep(0.1 if first else 0.5)
    if first:
        raise RuntimeError("not this block")
    return block


def chunk_gone(url, options):
    """Of a Zarr array, one chunk is removed behind its back, while it is held, and before it is read."""
    storage = FSSpecStorage(f"{url}/{uuid.uuid4().hex}", options)
    storage.register_persistent_serializers(ZarrSerializer)
    storage.save("wf", "a", da.zeros((4, 4), chunks=2))
    held = storage.read_task("wf", "a")
    chunks = [key for key in stored(storage) if key[-3:] in {"0.0", "0.1", "1.0", "1.1"}]
    storage._persistence.delete(chunks[1])
    told = {"chunks": len(chunks), "left": float(held[2:].sum().compute())}
    return {**told, "held": kind_of(held.compute), "read": kind_of(storage.read_task("wf", "a").compute)}


def by_processes(url):
    """Saved while dask calculates by processes."""
    storage = FSSpecStorage(f"{url}/{uuid.uuid4().hex}")
    storage.register_persistent_serializers(ZarrSerializer)
    with dask.config.set(scheduler="processes"):
        storage.save("wf", "a", ARRAYS["even"])
    return float(storage.read_task("wf", "a").sum().compute(scheduler="threads"))


def elsewhere(storage):
    """What dask says of an array whose blocks lie on a cluster, when threads are to calculate it."""
    from dask._task_spec import Task, TaskRef

    blocks = {("far", 0): Task(("far", 0), np.asarray, TaskRef("on-the-cluster"))}
    storage.register_persistent_serializers(HDF5Serializer)
    return kind_of(lambda: storage.save("wf", "a", da.Array(blocks, "far", chunks=((4,),), dtype="f8")))


def later(storage):
    """What a later version wrote, and what is not there."""
    storage.register_persistent_serializers(HDF5Serializer, ZarrSerializer)
    protocols = storage.get_protocols(storage.get_bigdata_path("wf"))
    ours = (HDF5Serializer, ZarrSerializer)
    parts = ((HDF5Serializer, ("<f8", ((4,),), (0,))), (ZarrSerializer, ()))
    return {
        "later": [kind_of(lambda one=one: one.unpickle(("2", "x"), protocols)) for one in ours],
        "missing": [isinstance(error_of(one.unpickle, ("1", "x", *more), protocols), FileNotFoundError) for one, more in parts],
        "remove missing": [isinstance(error_of(one.remove, ("1", "x"), protocols), FileNotFoundError) for one in ours],
        "no filesystem": kind_of(lambda: ZarrSerializer.pickle(ARRAYS["even"], {FILE_PROTOCOL: None})),
    }


def error_of(call, *arguments):
    try:
        call(*arguments)
    except Exception as exc:
        return exc
    return None


def elements(url, options):
    """What HDF5 has of types that Zarr has not, or has otherwise; and what it has not."""
    storage = FSSpecStorage(f"{url}/{uuid.uuid4().hex}", options)
    storage.register_persistent_serializers(HDF5Serializer)
    storage.save("wf", "a", RECORDS)
    back = storage.read_task("wf", "a").compute()
    objects = da.from_array(np.array(["of any length"], dtype=object), chunks=1)
    return {
        "records": back.dtype == RECORDS.dtype and back.tolist() == RECORDS.compute().tolist(),
        "objects": kind_of(lambda: storage.save("wf", "a", objects)),
    }


def lazily(url, options):
    """How much of 32 MB is read for 1.6 MB; h5py, which could hang meanwhile, is not asked."""
    storage = FSSpecStorage(f"{url}/{uuid.uuid4().hex}", options)
    storage.register_persistent_serializers(HDF5Serializer)
    storage.save("wf", "a", da.zeros((2000, 2000), chunks=(100, 2000)) + 1)
    counted = Counted()
    with mock.patch.object(h5py, "File", None):
        array = storage.read_task("wf", "a")
        opened = counted.bytes
        total = float(array[1500:1600].sum().compute())
    return {"opened": opened, "read": counted.bytes, "total": total}


def travels(url):
    """Other processes read it by themselves."""
    sums = []
    for serializer in (HDF5Serializer, ZarrSerializer):
        storage = FSSpecStorage(f"{url}/{uuid.uuid4().hex}")
        storage.register_persistent_serializers(serializer)
        storage.save("wf", "a", ARRAYS["even"])
        array = storage.read_task("wf", "a")
        sums.append(float(array.sum().compute(scheduler="processes")))
        sums.append(float(pickle.loads(pickle.dumps(array)).sum().compute()))
    return sums


def main() -> None:
    url, options = sys.argv[1], json.load(sys.stdin)
    answers = {"zarr": zarr.__version__}
    for serializer in (HDF5Serializer, ZarrSerializer):
        answers[serializer.__name__] = looked_at(url, options, serializer)
    answers["by the filesystem alone"] = looked_at(url, options, HDF5Serializer, protocols=(S3_PROTOCOL,))
    answers["later"] = later(FSSpecStorage(f"{url}/{uuid.uuid4().hex}", options))
    answers["elements"] = elements(url, options)
    answers["lazily"] = lazily(url, options)
    answers["there"] = FSSpecPersistence(url, storage_options=options).exists("")
    answers["chunk gone"] = chunk_gone(url, options)
    answers["elsewhere"] = elsewhere(FSSpecStorage(f"{url}/{uuid.uuid4().hex}", options))
    if url.startswith(("file:", "memory:")):
        answers["by processes"] = by_processes(url)
    if url.startswith("file:"):
        answers["travels"] = travels(url)
    print(json.dumps(answers))  # noqa: T201


if __name__ == "__main__":
    main()
