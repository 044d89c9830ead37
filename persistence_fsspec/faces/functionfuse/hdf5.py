"""Dask arrays apart from the pickle, each as an HDF5 file, read lazily.

Reading does without h5py: it holds a lock of the whole process while a file object works, and wants it to free anything
of its own. A collection of garbage on the thread that the file object waits for would wait for ever (told in h5py's
documentation, "Python file-like objects"). So where the chunks lie is noted when they are written, and they are read by that.
Their checksums are noted beside it: of bytes in the middle of a file, nobody else could say that they are damaged.
"""

from __future__ import annotations

import uuid
import zlib
from importlib import import_module
from itertools import product
from math import prod
from typing import Any, ClassVar, Final, NamedTuple

from persistence_fsspec.errors import ChecksumMismatchError
from persistence_fsspec.faces.functionfuse.arrays import (
    VERSION,
    DaskArray,
    Protocols,
    client_of,
    missing,
    name_in,
    regular,
    store,
    url_of,
)
from persistence_fsspec.faces.functionfuse.elements import built, described
from persistence_fsspec.faces.functionfuse.protocols import FILE_PROTOCOL, S3_PROTOCOL, FileProtocol, Spool

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
            InvalidOptionError: The shape of the array is not known, it is masked, it lies on a cluster, or it is not what dask
                says of it.
            TypeError: HDF5 has no such type of elements, or none of a fixed size, or no such shape.
        """
        h5py = import_module("h5py")
        array, filename = regular(obj), str(uuid.uuid4())
        words = described(array.dtype)
        with _files(protocols).open(filename, "wb") as file, h5py.File(file, "w") as hdf:
            dtype = built(words)
            summed = _Summed(_dataset(hdf, array, dtype), dtype)
            store(array, summed, scheduler="threads")
            hdf.flush()  # before that, chunks may have no place yet
            places = _places(summed, array)
        return cls.name, (VERSION, filename, words, array.chunks, places)

    @classmethod
    def unpickle(cls, pid: tuple[Any, ...], protocols: Protocols) -> Any:
        """The array; its elements are read when they are needed.

        Raises:
            pickle.UnpicklingError: It was written by a later version of this serializer.
            FileNotFoundError: The file is not there.
            TruncatedError: When its elements are read: a part of the file is missing.
            ChecksumMismatchError: When its elements are read: the file is damaged.
        """
        filename = name_in(pid, cls)
        words, chunks, places = pid[2:]
        dtype = built(words)
        chunk = _Chunk(_source(protocols, filename), dtype, tuple(sizes[0] for sizes in chunks))
        name = f"hdf5-{filename}"
        numbers = product(*(range(len(sizes)) for sizes in chunks))
        graph = {
            (name, *number): (chunk.read, *place, tuple(sizes[at] for sizes, at in zip(chunks, number, strict=True)))
            for number, place in zip(numbers, places, strict=True)
        }
        return import_module("dask.array").Array(graph, name, chunks=chunks, dtype=dtype)

    @classmethod
    def remove(cls, pid: tuple[Any, ...], protocols: Protocols) -> None:
        """Remove the file.

        Raises:
            FileNotFoundError: It is not there.
        """
        _files(protocols).remove(name_in(pid, cls))


def _dataset(hdf: Any, array: Any, dtype: Any) -> Any:
    """The place for an array in a file.

    Raises:
        TypeError: HDF5 has none for such an array.
    """
    chunks = array.chunksize if array.size else None  # h5py knows no chunks of nothing
    try:
        return hdf.create_dataset(_DATASET, array.shape, dtype=dtype, chunks=chunks or None)
    except (TypeError, ValueError) as exc:
        raise TypeError(
            f"HDF5 has no place for an array of {dtype} in chunks of {array.chunksize}: {exc}. ZarrSerializer takes datetimes, "
            'text and more dimensions; array.view("i8") makes numbers of datetimes, array.rechunk(...) smaller chunks'
        ) from exc


class _Summed:
    """A dataset of HDF5, and the CRC-32 of each block that is written into it.

    Its type is built of plain words, and blocks are given that very type. Between different types HDF5 converts, and what lies
    between the fields of records, or is no value of an enumeration, would not be in the file as it was summed.

    Args:
        dataset: Of h5py.
        dtype: Of its elements.

    Attributes:
        dataset: The same.
        sums: By the corner of the block, where it begins in the array.
    """

    def __init__(self, dataset: Any, dtype: Any) -> None:
        self.dataset, self._dtype = dataset, dtype
        self.sums: dict[tuple[int, ...], int] = {}

    def __setitem__(self, index: tuple[slice, ...], block: Any) -> None:
        np = import_module("numpy")
        raw = np.asarray(_raw(np.asarray(block, self._dtype)), order="C")  # dask joins blocks in the machine's byte order
        self.dataset[index] = raw.view(self._dtype)
        self.sums[tuple(part.start for part in index)] = _sum(raw)


def _raw(block: Any) -> Any:
    """The elements as bytes: what copies records field by field may leave out what lies between."""
    return block.view(f"V{block.dtype.itemsize}")


def _sum(raw: Any) -> int:
    """CRC-32 of the bytes of an array, in the order of C."""
    return zlib.crc32(raw.reshape(-1).view("u1"))


def _places(summed: _Summed, array: Any) -> tuple[tuple[int, int], ...]:
    """Where each chunk begins in the file, and its CRC-32, in the order of their numbers; zeros for what holds nothing."""
    dataset = summed.dataset
    if not array.size:
        return ((0, 0),) * int(array.npartitions)
    if dataset.chunks is None:
        return ((dataset.id.get_offset(), summed.sums[()]),)
    corners = list(product(*(range(0, length, chunk) for length, chunk in zip(array.shape, dataset.chunks, strict=True))))
    offsets = _offsets(dataset.id, corners)
    return tuple((offsets[corner], summed.sums[corner]) for corner in corners)


def _offsets(dataset: Any, corners: list[tuple[int, ...]]) -> dict[tuple[int, ...], int]:
    """Where each chunk begins in the file, by its corner.

    Args:
        dataset: As h5py's low-level interface has it.
        corners: Of all chunks.
    """
    found: dict[tuple[int, ...], int] = {}
    if hasattr(dataset, "chunk_iter"):  # one pass; the other way goes through them all for each of them
        dataset.chunk_iter(lambda chunk: found.update({chunk.chunk_offset: chunk.byte_offset}))
    if found.keys() == set(corners):  # some versions of HDF5 give other numbers than corners
        return found
    return {corner: dataset.get_chunk_info_by_coord(corner).byte_offset for corner in corners}


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

    def read(self, offset: int, crc32: int, shape: tuple[int, ...]) -> Any:
        """Of a chunk, the part that belongs to the array.

        Args:
            offset: Where the chunk begins in the file, in bytes.
            crc32: Of that part.
            shape: Of that part.

        Raises:
            TruncatedError: The file ends too early.
            ChecksumMismatchError: The bytes are not those that were written.
        """
        np = import_module("numpy")
        if not prod(shape):
            return np.empty(shape, self.dtype)
        size = prod(self.shape) * self.dtype.itemsize
        data = self.source.read(offset, offset + size)
        if len(data) != size:
            raise missing(self.source.url)
        whole = np.frombuffer(data, f"V{self.dtype.itemsize}").reshape(self.shape)
        raw = whole[tuple(slice(length) for length in shape)].copy()
        if _sum(raw) != crc32:
            raise _damaged(self.source.url)
        return raw.view(self.dtype)


def _damaged(url: str) -> ChecksumMismatchError:
    error = ChecksumMismatchError(
        "a part of this array is damaged: its checksum differs",
        operation="read",
        url=url,
        hint="remove_task() removes it, and the next run of the workflow calculates it again.",
    )
    error.retryable = False
    return error


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
        self._client, self._path = client, path

    @property
    def url(self) -> str:
        return url_of(self._client, self._path)

    def read(self, start: int, end: int) -> bytes:
        return bytes(self._client.cat_file(self._path, start=start, end=end))


class _ByFile:
    """Bytes of a file of a folder. Nothing stays open: forked processes would share the place in the file.

    Args:
        files: Opens the file; travels along.
        name: Of the file.

    Raises:
        FileNotFoundError: The file is not there.
    """

    def __init__(self, files: Any, name: str) -> None:
        self._files, self._name = files, name
        self.read(0, 0)

    @property
    def url(self) -> str:
        return f"{self._files.path}/{self._name}" if hasattr(self._files, "path") else self._name

    def read(self, start: int, end: int) -> bytes:
        if isinstance(self._files, FileProtocol):  # which fetches the whole file when it is opened
            return self._files.read(self._name, start, end)
        with self._files.open(self._name, "rb") as file:
            file.seek(start)
            return bytes(file.read(end - start))


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
