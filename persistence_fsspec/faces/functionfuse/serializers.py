"""Dask arrays apart from the pickle, read lazily: one HDF5 file each, or a Zarr array."""

from __future__ import annotations

import contextlib
import io
import pickle
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, ClassVar, Final

from persistence_fsspec.errors import InvalidOptionError, MissingDriverError, ObjectNotFoundError
from persistence_fsspec.faces.fsspec import PersistFileSystem
from persistence_fsspec.faces.functionfuse.protocols import FILE_PROTOCOL, S3_PROTOCOL, Spool
from persistence_fsspec.faces.functionfuse.wholearrays import WholeArrays

Protocols = Mapping[str, Any]

_VERSION: Final = "1"
_DATASET: Final = "array"
_READ_AHEAD: Final = 256 * 1024


class _DaskArray:
    """The class of dask's arrays, imported when somebody asks for it: who registers a serializer is told what it lacks.

    Args:
        package: What the serializer needs besides.
    """

    def __init__(self, package: str) -> None:
        self._package = package

    def __get__(self, instance: object, owner: type) -> Any:
        try:
            import_module(self._package)
            return import_module("dask.array.core").Array
        except ImportError as exc:
            hint = f'{sys.executable} -m pip install "dask[array]" {self._package}'
            raise MissingDriverError(f"{owner.__name__} needs dask and {self._package}: {exc}", hint=hint) from exc


class HDF5Serializer:
    """Writes a dask array as one HDF5 file; what is read of it later is read by ranges, when it is needed.

    It works in every storage, functionfuse's own included. The array is calculated by threads of this process; one that lies
    on a dask cluster (``persist()``) is for `ZarrSerializer`.
    """

    name: ClassVar[str] = "persistence_fsspec.HDF5"
    serializer_class: ClassVar[Any] = _DaskArray("h5py")

    @classmethod
    def pickle(cls, obj: Any, protocols: Protocols) -> tuple[str, tuple[str, str]]:
        """Write an array.

        Returns:
            The name of this serializer, and what `unpickle` wants to know.

        Raises:
            InvalidOptionError: The shape of the array is not known, it is masked, or it lies on a cluster.
            TypeError: HDF5 has no such type of elements.
        """
        h5py = import_module("h5py")
        array, filename = _regular(obj), str(uuid.uuid4())
        chunks = array.chunksize if array.size else None  # h5py knows no chunks of nothing
        with _files(protocols).open(filename, "wb") as file, h5py.File(file, "w") as hdf:
            dataset = hdf.create_dataset(_DATASET, array.shape, dtype=array.dtype, chunks=chunks or None)
            _store(array, dataset, scheduler="threads")
        return cls.name, (_VERSION, filename)

    @classmethod
    def unpickle(cls, pid: tuple[str, str], protocols: Protocols) -> Any:
        """The array; its elements are read when they are needed.

        Raises:
            pickle.UnpicklingError: It was written by a later version of this serializer.
            FileNotFoundError: The file is not there.
        """
        da = import_module("dask.array")
        filename = _checked(cls, pid)
        dataset = HDF5Dataset(_files(protocols), filename)
        return da.from_array(dataset, chunks=dataset.chunks or -1, name=f"hdf5-{filename}", asarray=False, lock=False)

    @classmethod
    def remove(cls, pid: tuple[str, str], protocols: Protocols) -> None:
        """Remove the file.

        Raises:
            FileNotFoundError: It is not there.
        """
        _files(protocols).remove(_checked(cls, pid))


class HDF5Dataset:
    """The array in a file, opened once in each process that reads of it.

    Args:
        files: Opens the file; travels along.
        filename: Of the file.

    Attributes:
        shape: As of an array.
        dtype: As of an array.
        chunks: How it lies in the file; None for a single piece.
    """

    def __init__(self, files: Any, filename: str) -> None:
        self._files, self._filename = files, filename
        self._lock, self._dataset = threading.Lock(), None
        dataset = self._opened()
        self.shape, self.dtype, self.chunks, self.ndim = dataset.shape, dataset.dtype, dataset.chunks, dataset.ndim

    def __getitem__(self, index: Any) -> Any:
        return self._opened()[index]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None, "_dataset": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def _opened(self) -> Any:
        with self._lock:
            if self._dataset is None:
                file = self._files.open(self._filename, "rb")
                if isinstance(file, io.BufferedReader):  # HDF5 jumps: of what is read ahead for those who read on, it uses little
                    file = io.BufferedReader(file.detach(), _READ_AHEAD)
                self._dataset = import_module("h5py").File(file, "r")[_DATASET]
            return self._dataset


class ZarrSerializer:
    """Writes a dask array as a Zarr array of format 2, one object for each chunk, which zarr 2 and 3 read.

    Many processes may calculate and write it together, as dask is set up; in ``memory://``, threads of this process do. Every
    chunk is written, so that one that is missing later is an error, and not zeros.
    """

    name: ClassVar[str] = "persistence_fsspec.Zarr"
    serializer_class: ClassVar[Any] = _DaskArray("zarr")

    @classmethod
    def pickle(cls, obj: Any, protocols: Protocols) -> tuple[str, tuple[str, str]]:
        """Write an array.

        Returns:
            The name of this serializer, and what `unpickle` wants to know.

        Raises:
            InvalidOptionError: The shape of the array is not known, it is masked, or the storage offers no filesystem.
        """
        zarr = import_module("zarr")
        array, filename = _regular(obj), f"{uuid.uuid4()}.zarr"
        client, folder = _client(protocols)
        chunks = tuple(max(1, length) for length in array.chunksize)
        form: dict[str, Any] = {"zarr_version": 2, "write_empty_chunks": True}
        if int(zarr.__version__.partition(".")[0]) >= 3:
            form = {"zarr_format": 2, "config": {"write_empty_chunks": True}}
        of_this_process = isinstance(client, PersistFileSystem) and "memory://" in client.adapter.url()
        try:
            target = zarr.open_array(
                client.get_mapper(f"{folder}/{filename}"), mode="w", shape=array.shape, chunks=chunks, dtype=array.dtype, **form
            )
            _store(array, target, lock=False, **({"scheduler": "threads"} if of_this_process else {}))
        except BaseException:
            with contextlib.suppress(Exception):  # the error that led here is the one to tell
                client.rm(f"{folder}/{filename}", recursive=True)
            raise
        return cls.name, (_VERSION, filename)

    @classmethod
    def unpickle(cls, pid: tuple[str, str], protocols: Protocols) -> Any:
        """The array; its chunks are read when they are needed.

        Raises:
            pickle.UnpicklingError: It was written by a later version of this serializer.
            FileNotFoundError: It is not there.
            TruncatedError: When its elements are read: a chunk is missing.
        """
        da, zarr = import_module("dask.array"), import_module("zarr")
        filename = _checked(cls, pid)
        client, folder = _client(protocols)
        try:
            array = zarr.open_array(WholeArrays(client).get_mapper(f"{folder}/{filename}"), mode="r")
        except Exception as exc:
            if isinstance(exc, FileNotFoundError) or client.exists(f"{folder}/{filename}"):
                raise
            raise ObjectNotFoundError(
                "not found", operation="read", url=f"{folder}/{filename}"
            ) from exc  # zarr 2 says it otherwise
        return da.from_array(array, chunks=array.chunks or -1, name=f"zarr-{filename}")

    @classmethod
    def remove(cls, pid: tuple[str, str], protocols: Protocols) -> None:
        """Remove the array with all its chunks.

        Raises:
            FileNotFoundError: It is not there.
        """
        client, folder = _client(protocols)
        client.rm(f"{folder}/{_checked(cls, pid)}", recursive=True)


class _FilesOfClient:
    """Files of a folder of an fsspec filesystem, where a storage offers that alone."""

    def __init__(self, client: Any, folder: str) -> None:
        self._client, self._folder = client, folder

    def open(self, filename: str, mode: str) -> Any:
        path = f"{self._folder}/{filename}"
        if "r" in mode:
            return self._client.open(path, mode)
        return Spool(lambda local: self._client.put_file(str(local), path))

    def remove(self, filename: str) -> None:
        self._client.rm_file(f"{self._folder}/{filename}")


def _files(protocols: Protocols) -> Any:
    if FILE_PROTOCOL in protocols:
        return protocols[FILE_PROTOCOL]
    return _FilesOfClient(*_client(protocols))


def _client(protocols: Protocols) -> tuple[Any, str]:
    if S3_PROTOCOL not in protocols:
        raise InvalidOptionError("this storage offers no filesystem to serializers", hint="FSSpecStorage does, on any URL.")
    return protocols[S3_PROTOCOL]["client"], protocols[S3_PROTOCOL]["folder"]


def _store(array: Any, target: Any, **options: Any) -> None:
    """Calculate an array and write it. When that fails, no thread of this process is still writing.

    Raises:
        InvalidOptionError: Threads of this process are to calculate it, and it lies on a cluster.
    """
    gate = _Gate(target)
    try:
        import_module("dask.array").store(array, gate, **options)
    except ValueError as exc:
        if "scheduler" in options and "Missing dependency" in str(exc):
            raise InvalidOptionError(
                "this array lies on a cluster, and is to be stored by this process",
                hint="Take ZarrSerializer (not on memory://), or array.compute() first.",
            ) from exc
        raise
    finally:
        gate.close()


class _Gate:
    """What dask's threads write through: dask tells of the first error while others are still at work.

    Args:
        target: The array of a file; in another process, that is all.
    """

    def __init__(self, target: Any) -> None:
        self._target, self._inside, self._closed, self._changed = target, 0, False, threading.Condition()

    def __setitem__(self, index: Any, block: Any) -> None:
        with self._entered():
            self._target[index] = block

    def __getstate__(self) -> dict[str, Any]:
        return {"_target": self._target}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["_target"])  # type: ignore[misc]

    def close(self) -> None:
        """Let nobody in any more, and wait for who is inside."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._inside)

    @contextlib.contextmanager
    def _entered(self) -> Iterator[None]:
        with self._changed:
            if self._closed:
                raise RuntimeError("too late: another part of the array has failed")
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()


def _regular(array: Any) -> Any:
    """The array in chunks of equal size, but for the last ones: neither format has others.

    Raises:
        InvalidOptionError: Neither format has such an array.
    """
    np, meta = import_module("numpy"), array._meta
    if type(meta) is not np.ndarray and not isinstance(meta, np.generic):
        raise InvalidOptionError(
            f"an array of {type(meta).__module__}.{type(meta).__name__} would come back as a plain one",
            hint="Of a masked one, return da.ma.filled(a, ...) and da.ma.getmaskarray(a); else array.map_blocks(numpy.asarray).",
        )
    if any(length != length for length in array.shape):  # noqa: PLR0124 - nan, dask's word for unknown
        raise InvalidOptionError("an array of unknown shape cannot be stored", hint="array.compute_chunk_sizes() finds it out.")
    return array.rechunk(array.chunksize)


def _checked(cls: Any, pid: tuple[str, str]) -> str:
    version, filename = pid
    if version != _VERSION:
        raise pickle.UnpicklingError(f"{cls.name} of version {version} wrote it; this one reads version {_VERSION}")
    return filename
