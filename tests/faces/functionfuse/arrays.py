"""Store dask arrays apart from the pickle, and read them lazily; prints as JSON what came of it.

Argument: a URL. The options of its driver come as JSON on standard input.
"""

import json
import multiprocessing
import os
import pickle
import sys
import tempfile
import time
import uuid
import warnings
from pathlib import Path
from unittest import mock

import dask
import dask.array as da
import h5py
import numpy as np
import zarr

from persistence_fsspec import FSSpecPersistence
from persistence_fsspec.faces.functionfuse import FILE_PROTOCOL, S3_PROTOCOL, FSSpecStorage, HDF5Serializer, ZarrSerializer, hdf5

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
    "uneven, big endian": da.from_array(PLAIN.astype(">i4"), chunks=((3, 30, 7), (60,))),
    "a sum": da.from_array(PLAIN, chunks=(10, 20)).sum(),
    "not said exactly": da.from_array(PLAIN, chunks=20).map_blocks(lambda block: block.astype("i8"), dtype="i2"),
}
VALUES = [(1, 2.5), (3, 4.5), (5, 6.5)]
SHARED = {"names": ["whole", "half"], "formats": ["<i4", "<i2"], "offsets": [1, 3], "itemsize": 9}
RECORDS = {
    "plain": np.array(VALUES, dtype=[("a", "<i2"), ("b", "<f8")]),
    "with gaps": np.array(VALUES, dtype=np.dtype([("a", "i1"), ("b", ">f8")], align=True)),
    "out of order": np.array(VALUES, dtype=[("a", "<i2"), ("b", "<f8")])[["b", "a"]],
    "overlapping": np.arange(27, dtype="u1").view(SHARED),
    "nested": np.ones(3, dtype=[("a", [("b", "<f4", (2, 3)), ("c", SHARED)], 2), ("d", "?")]),
    "with titles": np.array(VALUES, dtype=[(("first", "a"), "<i2"), (("second", "b"), "<f8")]),
}


class Counted:
    """Bytes that are read by ranges; no file is fetched."""

    def __init__(self):
        self.bytes = 0
        before = FSSpecPersistence.read_bytes

        def read_bytes(*arguments, start=None, **options):
            got = before(*arguments, start=start, **options)
            self.bytes += len(got) if start is not None else 0
            return got

        self._replaced = mock.patch.multiple(FSSpecPersistence, read_bytes=read_bytes, get=None, open=None)

    def __enter__(self):
        self._replaced.start()
        return self

    def __exit__(self, *_):
        self._replaced.stop()


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
        got, wanted = back.compute(), array.compute().astype(array.dtype)
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
    parts = ((HDF5Serializer, ("<f8", ((4,),), ((0, 0),))), (ZarrSerializer, ()))
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
    wrong = []
    for name, records in RECORDS.items():
        storage.save("wf", "a", da.from_array(records, chunks=2))
        back = storage.read_task("wf", "a").compute()
        if back.dtype != records.dtype or str(back.tolist()) != str(records.tolist()):
            wrong.append(name)
    refused = {
        "objects": np.array(["of any length"], dtype=object),
        "datetimes": np.array(["2020-02-29"], dtype="M8[s]"),
        "text": np.array(["five"]),
        "nothing": np.zeros(2, dtype="V0"),
        "dimensions": np.zeros((1,) * 33),
    }
    arrays = {name: da.from_array(one, chunks=one.shape) for name, one in refused.items()}
    told = {name: kind_of(lambda one=one: storage.save("wf", "b", one)) for name, one in arrays.items()}
    by_zarr = FSSpecStorage(storage.path, options)
    by_zarr.register_persistent_serializers(ZarrSerializer)
    for name in ("datetimes", "text", "dimensions"):
        by_zarr.save("zarr", name, arrays[name])
        told[f"{name} by zarr"] = bool((by_zarr.read_task("zarr", name).compute() == refused[name]).all())
    return {"wrong": wrong, **told, "left": [key for key in stored(storage) if key == "wf/b"]}


def remarked(url, options):
    """Types that h5py has remarked on; of an enumeration, values without a name as well, also in records with gaps."""
    enumerated = h5py.enum_dtype({"red": 0, "green": 1}, "i2")
    record = np.dtype({"names": ["e"], "formats": [enumerated], "offsets": [1], "itemsize": 5})
    strings = np.array([b"ab", "\u00e9".encode()], dtype=h5py.string_dtype("utf-8", 5))
    storage = FSSpecStorage(f"{url}/{uuid.uuid4().hex}", options)
    storage.register_persistent_serializers(HDF5Serializer)
    same = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for array in (strings, np.array([0, 1, 7], dtype=enumerated), np.arange(10, dtype="u1").view(record)):
            storage.save("wf", "a", da.from_array(array, chunks=2))
            same.append(storage.read_task("wf", "a").compute().tolist() == array.tolist())
    return same


def lazily(url, options, **more):
    """How much of 32 MB is read for 1.6 MB; h5py, which could hang meanwhile, is not asked."""
    storage = FSSpecStorage(f"{url}/{uuid.uuid4().hex}", options, **more)
    storage.register_persistent_serializers(HDF5Serializer)
    storage.save("wf", "a", da.zeros((2000, 2000), chunks=(100, 2000)) + 1)
    with mock.patch.object(h5py, "File", None), Counted() as counted:
        array = storage.read_task("wf", "a")
        opened = counted.bytes
        total = float(array[1500:1600].sum().compute())
    return {"opened": opened, "read": counted.bytes, "total": total}


def damaged(url, options, **more):
    """Of an HDF5 file, the bytes of a chunk are zeros; then its end is gone."""
    storage = FSSpecStorage(f"{url}/{uuid.uuid4().hex}", options, **more)
    storage.register_persistent_serializers(HDF5Serializer)
    storage.save("wf", "a", ARRAYS["even"])
    array, (key,) = storage.read_task("wf", "a"), (key for key in stored(storage) if "/bigdata/" in key)
    whole, chunk = storage._persistence.read_bytes(key), PLAIN[30:, 40:].tobytes()
    at = whole.index(chunk)
    told = {"url": storage._persistence.url(key)}
    for how, data in {
        "zeros": whole.replace(chunk, bytes(len(chunk))),
        "ends in it": whole[: at + 1],
        "ends before": whole[: at - 1],
    }.items():
        storage._persistence.write_bytes(key, data)
        error = error_of(array[30:, 40:].compute)
        told[how] = [type(error).__name__, getattr(error, "url", ""), getattr(error, "retryable", None), str(error)]
    storage._persistence.write_bytes(key, whole.replace(chunk, bytes(len(chunk))))
    return {**told, "rest": bool(np.array_equal(array[:30].compute(), PLAIN[:30]))}


def lies(url, options, serializer):
    """Arrays whose blocks are not what dask says of them."""
    storage = FSSpecStorage(f"{url}/{uuid.uuid4().hex}", options)
    storage.register_persistent_serializers(serializer)

    def said(block, shape=(4,), dtype="f8"):
        made = da.from_delayed(dask.delayed(lambda: block, pure=False)(), shape=shape, dtype=dtype)
        return da.concatenate([da.ones(4, dtype=dtype), made])

    arrays = {
        "shape": said(np.ones(1)),
        "dimensions": said(np.ones(4)[None]),
        "cut later": said(np.ones(9), (6,)),  # in chunks of six the first four are joined with two of these
        "empty": said(np.ones(0)),
        "dtype": said(np.full(4, 0.25), dtype="i8"),
        "complex": said(np.ones(4) + 1j),
        "text": said(np.array(["a", "b", "c", "d"])),
        "too large": said(np.full(4, 300), dtype="i1"),
        "masked": said(np.ma.masked_array(np.ones(4), [0, 1, 0, 0])),
        "foreign": said(Foreign()),
        "list": said([1.0] * 4),
    }
    told = {name: kind_of(lambda one=one: storage.save("wf", "a", one)) for name, one in arrays.items()}
    storage.save("wf", "number", da.from_delayed(dask.delayed(7), shape=(), dtype="f8"))
    number = storage.read_task("wf", "number").compute()
    storage.remove_task("wf", "number")
    return {"told": told, "left": stored(storage), "number": [float(number), str(number.dtype)]}


class Foreign:
    """An array of a package that stores what is not zero."""

    shape, size, ndim, dtype = (4,), 4, 1, np.dtype("f8")

    def __array__(self, dtype=None, copy=None):
        return np.ones(4)

    def __getitem__(self, index):
        return self


class TheirFiles:
    """What another storage offers for files: it opens and removes."""

    def __init__(self, folder):
        self._folder = Path(folder)

    def open(self, filename, mode):
        return (self._folder / filename).open(mode)

    def remove(self, filename):
        (self._folder / filename).unlink()


def by_their_files():
    """An array of each shape and type, in the files of another storage; and one that is not there any more."""
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        protocols = {FILE_PROTOCOL: TheirFiles(folder)}
        for name, array in ARRAYS.items():
            _, pid = HDF5Serializer.pickle(array, protocols)
            back = HDF5Serializer.unpickle(pid, protocols).compute()
            if not np.array_equal(back, array.compute()):
                wrong.append(name)
        HDF5Serializer.remove(pid, protocols)
        missing = error_of(HDF5Serializer.unpickle, pid, protocols)
    return {"wrong": wrong, "missing": isinstance(missing, FileNotFoundError)}


def places():
    """Where chunks lie, by either way of h5py, and how often it is asked by the first."""
    with h5py.File("places", "w", driver="core", backing_store=False) as hdf:
        dataset = hdf.create_dataset("a", data=PLAIN, chunks=(16, 16)).id
        corners = [(row, column) for row in range(0, 40, 16) for column in range(0, 60, 16)]
        one_by_one = mock.Mock(wraps=dataset, spec=["get_chunk_info_by_coord"])
        at_once = mock.Mock(wraps=dataset)
        same = hdf5._offsets(at_once, corners) == hdf5._offsets(one_by_one, corners)
        in_chunks = mock.Mock(wraps=dataset)  # a version of HDF5 that counts otherwise
        in_chunks.chunk_iter = lambda call: [call(mock.Mock(chunk_offset=(n, 0), byte_offset=n)) for n in range(12)]
        same = same and hdf5._offsets(in_chunks, corners) == hdf5._offsets(at_once, corners)
    return {"same": same, "asked": len(at_once.get_chunk_info_by_coord.mock_calls), "one by one": len(corners)}


def patterns(url, options):
    """Workflows whose names are patterns, beside others that these match."""
    storage = FSSpecStorage(f"{url}/{uuid.uuid4().hex}", options)
    storage.register_persistent_serializers(ZarrSerializer)
    sums = []
    for number, name in enumerate(["run1", "run[0-9]", "a1", "a[1]", "a**", "a?", "{a}"]):
        storage.save(name, "n", da.full((4, 4), number, chunks=2))
        sums.append(int(storage.read_task(name, "n").sum().compute()) // 16)
    storage.remove_task("a**", "n")
    return {"sums": sums, "left": [key for key in stored(storage) if key.startswith("a**")]}


def forked(url):
    """Two children of this process read rows by turns, of an array that it has at hand: those that came out wrong."""
    storage = FSSpecStorage(f"{url}/{uuid.uuid4().hex}", protocols=(FILE_PROTOCOL,))
    storage.register_persistent_serializers(HDF5Serializer)
    with dask.config.set(num_workers=1):  # one row behind the other in the file, or before it
        storage.save("wf", "a", da.from_array(np.repeat(np.arange(10), 1000).reshape(10, 1000), chunks=(1, 1000)))
    array = storage.read_task("wf", "a")
    global is_wrong  # a child finds it by its name

    def is_wrong(row):
        return bool((array[row].compute(scheduler="sync") != row).any())

    forking = multiprocessing.get_context("fork")
    with forking.Pool(1) as one, forking.Pool(1) as other:
        forth, back = range(5), range(4, -1, -1)
        turns = [(child, first + row) for row in (*forth, *back) for child, first in ((one, 0), (other, 5))]
        return [row for child, row in turns if child.apply_async(is_wrong, (row,)).get(60)]


def open_files(url):
    """How many more files are open while many arrays are held."""
    storage = FSSpecStorage(f"{url}/{uuid.uuid4().hex}", protocols=(FILE_PROTOCOL,))
    storage.register_persistent_serializers(HDF5Serializer)
    storage.save("wf", "a", [da.ones(2) + number for number in range(20)])
    before = len(os.listdir("/dev/fd"))
    held = storage.read_task("wf", "a")
    return len(os.listdir("/dev/fd")) - before if held else None


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
    answers["remarked"] = remarked(url, options)
    answers["lazily"] = [lazily(url, options), lazily(url, options, protocols=(FILE_PROTOCOL,))]
    answers["damaged"] = [damaged(url, options), damaged(url, options, protocols=(FILE_PROTOCOL,))]
    answers["lies"] = {one.__name__: lies(url, options, one) for one in (HDF5Serializer, ZarrSerializer)}
    answers["by their files"] = by_their_files()
    answers["places"] = places()
    answers["patterns"] = patterns(url, options)
    answers["there"] = FSSpecPersistence(url, storage_options=options).exists("")
    answers["chunk gone"] = chunk_gone(url, options)
    answers["elsewhere"] = elsewhere(FSSpecStorage(f"{url}/{uuid.uuid4().hex}", options))
    if url.startswith(("file:", "memory:")):
        answers["by processes"] = by_processes(url)
    if url.startswith("file:"):
        answers["travels"] = travels(url)
        answers["forked"] = forked(url)
        answers["open files"] = open_files(url)
    print(json.dumps(answers))  # noqa: T201


if __name__ == "__main__":
    main()
