"""Dask arrays apart from the pickle, each as a Zarr array, read lazily."""

from __future__ import annotations

import contextlib
import uuid
from importlib import import_module
from typing import Any, ClassVar

from persistence_fsspec.errors import ObjectNotFoundError
from persistence_fsspec.faces.fsspec import PersistFileSystem
from persistence_fsspec.faces.functionfuse.arrays import VERSION, DaskArray, Protocols, client_of, name_in, regular, store, url_of
from persistence_fsspec.faces.functionfuse.wholearrays import WholeArrays


class ZarrSerializer:
    """Writes a dask array as a Zarr array of format 2, one object for each chunk, which zarr 2 and 3 read.

    Many processes may calculate and write it together, as dask is set up; in ``memory://``, threads of this process do. Every
    chunk is written, so that one that is missing later is an error, and not zeros.
    """

    name: ClassVar[str] = "persistence_fsspec.Zarr"
    serializer_class: ClassVar[Any] = DaskArray("zarr")

    @classmethod
    def pickle(cls, obj: Any, protocols: Protocols) -> tuple[str, tuple[str, str]]:
        """Write an array.

        Returns:
            The name of this serializer, and what `unpickle` wants to know.

        Raises:
            InvalidOptionError: The shape of the array is not known, it is masked or not what dask says of it, or the storage
                offers no filesystem.
        """
        zarr = import_module("zarr")
        array, filename = regular(obj), f"{uuid.uuid4()}.zarr"
        client, folder = client_of(protocols)
        chunks = tuple(max(1, length) for length in array.chunksize)
        form: dict[str, Any] = {"zarr_version": 2, "write_empty_chunks": True}
        if int(zarr.__version__.partition(".")[0]) >= 3:
            form = {"zarr_format": 2, "config": {"write_empty_chunks": True}}
        of_this_process = isinstance(client, PersistFileSystem) and "memory://" in client.adapter.url()
        try:
            target = zarr.open_array(
                client.get_mapper(f"{folder}/{filename}"), mode="w", shape=array.shape, chunks=chunks, dtype=array.dtype, **form
            )
            store(array, target, lock=False, **({"scheduler": "threads"} if of_this_process else {}))
        except BaseException:
            with contextlib.suppress(Exception):  # the error that led here is the one to tell
                client.rm(f"{folder}/{filename}", recursive=True)
            raise
        return cls.name, (VERSION, filename)

    @classmethod
    def unpickle(cls, pid: tuple[str, str], protocols: Protocols) -> Any:
        """The array; its chunks are read when they are needed.

        Raises:
            pickle.UnpicklingError: It was written by a later version of this serializer.
            FileNotFoundError: It is not there.
            TruncatedError: When its elements are read: a chunk is missing.
        """
        da, zarr = import_module("dask.array"), import_module("zarr")
        filename = name_in(pid, cls)
        client, folder = client_of(protocols)
        try:
            array = zarr.open_array(WholeArrays(client).get_mapper(f"{folder}/{filename}"), mode="r")
        except Exception as exc:
            if isinstance(exc, FileNotFoundError) or client.exists(f"{folder}/{filename}"):
                raise
            url = url_of(client, f"{folder}/{filename}")
            raise ObjectNotFoundError("not found", operation="read", url=url) from exc  # zarr 2 says it otherwise
        return da.from_array(array, chunks=array.chunks or -1, name=f"zarr-{filename}")

    @classmethod
    def remove(cls, pid: tuple[str, str], protocols: Protocols) -> None:
        """Remove the array with all its chunks.

        Raises:
            FileNotFoundError: It is not there.
        """
        client, folder = client_of(protocols)
        client.rm(f"{folder}/{name_in(pid, cls)}", recursive=True)
