"""Dask arrays apart from the pickle, each as an HDF5 file, read lazily.

Reading does without h5py: it holds a lock of the whole process while a file object works, and wants it to free anything
of its own. A collection of garbage on the thread that the file object waits for would wait for ever (told in h5py's
documentation, "Python file-like objects"). So where the chunks lie is noted when they are written, and they are read by that.
"""

from __future__ import annotations

import io
import threading
import uuid
from importlib import import_module
from itertools import product
from math import prod
from typing import Any, ClassVar, Final, NamedTuple

from persistence_fsspec.errors import TruncatedError
from persistence_fsspec.faces.functionfuse.arrays import VERSION, DaskArray, Protocols, client_of, name_in, regular, store
from persistence_fsspec.faces.functionfuse.protocols import FILE_PROTOCOL, S3_PROTOCOL, Spool

_DATASET: Final = "array"


class HDF5Serializer:
    """Writes a dask array as one HDF5 file; the chunks of it that are needed later are read then, by ranges.

    It works in every storage, functionfuse's own included. The array is calculated by threads of this process; one that lies
    on a dask cluster (``persist()``) is for `ZarrSerializer`.
    """

    name: ClassVar[str] = "persistence_fsspec.HDF5"
    serializer_class: ClassVar[Any] = DaskArray("h5py")

    @classmethod
    def pickle(cls, obj: Any, protocols: Protocols) -> tuple[str, tuple[Any, ...]]:
        """Write an array.

        Returns:
            The name of this serializer, and what `unpickle` wants to know.

        Raises:
            InvalidOptionError: The shape of the array is not known, it is masked, or it lies on a cluster.
            TypeError: HDF5 has no such type of elements, or none of a fixed size.
        """
        h5py = import_module("h5py")
        array, filename = regular(obj), str(uuid.uuid4())
        descr = _described(array.dtype)
        chunks = array.chunksize if array.size else None  # h5py knows no chunks of nothing
        with _files(protocols).open(filename, "wb") as file, h5py.File(file, "w") as hdf:
            dataset = hdf.create_dataset(_DATASET, array.shape, dtype=array.dtype, chunks=chunks or None)
            store(array, dataset, scheduler="threads")
            hdf.flush()  # before that, chunks may have no place yet
            offsets = _offsets(dataset, array)
        return cls.name, (VERSION, filename, descr, array.chunks, offsets)

    @classmethod
    def unpickle(cls, pid: tuple[Any, ...], protocols: Protocols) -> Any:
        """The array; its elements are read when they are needed.

        Raises:
            pickle.UnpicklingError: It was written by a later version of this serializer.
            FileNotFoundError: The file is not there.
        """
        filename = name_in(pid, cls)
        descr, chunks, offsets = pid[2:]
        dtype = import_module("numpy").lib.format.descr_to_dtype(descr)
        chunk = _Chunk(_source(protocols, filename), dtype, tuple(sizes[0] for sizes in chunks))
        name = f"hdf5-{filename}"
        places = product(*(range(len(sizes)) for sizes in chunks))
        graph = {
            (name, *place): (chunk.read, offset, tuple(sizes[at] for sizes, at in zip(chunks, place, strict=True)))
            for place, offset in zip(places, offsets, strict=True)
        }
        return import_module("dask.array").Array(graph, name, chunks=chunks, dtype=dtype)

    @classmethod
    def remove(cls, pid: tuple[Any, ...], protocols: Protocols) -> None:
        """Remove the file.

        Raises:
            FileNotFoundError: It is not there.
        """
        _files(protocols).remove(name_in(pid, cls))


def _described(dtype: Any) -> Any:
    """A type of elements in plain words.

    Raises:
        TypeError: Its elements are of no fixed size, and so at no known place.
    """
    known = import_module("numpy").lib.format
    if dtype.hasobject or known.descr_to_dtype(descr := known.dtype_to_descr(dtype)) != dtype:
        raise TypeError(f"elements of the type {dtype} have no fixed size in HDF5; convert them, with array.astype(...)")
    return descr


def _offsets(dataset: Any, array: Any) -> tuple[int, ...]:
    """Where each chunk begins in the file, in the order of their places; 0 for what holds nothing."""
    if not array.size:
        return (0,) * int(array.npartitions)
    if dataset.chunks is None:
        return (dataset.id.get_offset(),)
    corners = product(*(range(0, length, chunk) for length, chunk in zip(array.shape, dataset.chunks, strict=True)))
    return tuple(dataset.id.get_chunk_info_by_coord(corner).byte_offset for corner in corners)


class _Chunk(NamedTuple):
    """How a chunk of an array is read.

    Args:
        source: Of the bytes.
        dtype: Of the elements.
        shape: Of a chunk as it lies in the file, also at the edges of the array.
    """

    source: _ByClient | _ByFile
    dtype: Any
    shape: tuple[int, ...]

    def read(self, offset: int, shape: tuple[int, ...]) -> Any:
        """Of a chunk, the part of this shape that belongs to the array.

        Raises:
            TruncatedError: The file ends too early.
        """
        np = import_module("numpy")
        if not prod(shape):
            return np.empty(shape, self.dtype)
        size = prod(self.shape) * self.dtype.itemsize
        data = self.source.read(offset, offset + size)
        if len(data) != size:
            raise TruncatedError("a part of this array is missing", operation="read", url=self.source.name)
        whole = np.frombuffer(data, self.dtype).reshape(self.shape)
        return whole[tuple(slice(length) for length in shape)].copy()


class _ByClient:
    """Bytes of a file of an fsspec filesystem.

    Args:
        client: The filesystem.
        path: In it.

    Raises:
        FileNotFoundError: The file is not there.
    """

    def __init__(self, client: Any, path: str) -> None:
        client.info(path)
        self._client, self.name = client, path

    def read(self, start: int, end: int) -> bytes:
        return bytes(self._client.cat_file(self.name, start=start, end=end))


class _ByFile:
    """Bytes of a file, opened once in each process that reads of it.

    Args:
        files: Opens the file; travels along.
        name: Of the file.

    Raises:
        FileNotFoundError: The file is not there.
    """

    def __init__(self, files: Any, name: str) -> None:
        self._files, self.name, self._lock = files, name, threading.Lock()
        self._file: io.BufferedIOBase | None = files.open(name, "rb")

    def read(self, start: int, end: int) -> bytes:
        with self._lock:
            if self._file is None:
                self._file = self._files.open(self.name, "rb")
            self._file.seek(start)
            return self._file.read(end - start)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None, "_file": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())


def _source(protocols: Protocols, filename: str) -> _ByClient | _ByFile:
    if S3_PROTOCOL in protocols:
        client, folder = client_of(protocols)
        return _ByClient(client, f"{folder}/{filename}")
    return _ByFile(protocols[FILE_PROTOCOL], filename)


class _FilesOfClient:
    """Files of a folder of an fsspec filesystem, where a storage offers that alone."""

    def __init__(self, client: Any, folder: str) -> None:
        self._client, self._folder = client, folder

    def open(self, filename: str, _mode: str) -> Any:
        path = f"{self._folder}/{filename}"
        return Spool(lambda local: self._client.put_file(str(local), path))

    def remove(self, filename: str) -> None:
        self._client.rm_file(f"{self._folder}/{filename}")


def _files(protocols: Protocols) -> Any:
    if FILE_PROTOCOL in protocols:
        return protocols[FILE_PROTOCOL]
    return _FilesOfClient(*client_of(protocols))
