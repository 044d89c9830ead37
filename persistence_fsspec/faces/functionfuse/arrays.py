"""What serializers of dask arrays have in common: which arrays they take, and how these are calculated and written."""

from __future__ import annotations

import contextlib
import pickle
import sys
import threading
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Final

from persistence_fsspec.errors import InvalidOptionError, MissingDriverError, TruncatedError
from persistence_fsspec.faces.fsspec import PersistFileSystem
from persistence_fsspec.faces.functionfuse.protocols import S3_PROTOCOL

Protocols = Mapping[str, Any]

VERSION: Final = "1"
_PLAIN: Final = "Of a masked one, return da.ma.filled(a, ...) and da.ma.getmaskarray(a); else array.map_blocks(numpy.asarray)."
_SAY: Final = "Tell dask what its blocks are: shape and dtype in from_delayed(), chunks and dtype in map_blocks()."


class DaskArray:
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


def client_of(protocols: Protocols) -> tuple[Any, str]:
    """The filesystem that a storage offers, and the folder for big data in it.

    Raises:
        InvalidOptionError: It offers none.
    """
    if S3_PROTOCOL not in protocols:
        raise InvalidOptionError("this storage offers no filesystem to serializers", hint="FSSpecStorage does, on any URL.")
    return protocols[S3_PROTOCOL]["client"], protocols[S3_PROTOCOL]["folder"]


def url_of(client: Any, path: str) -> str:
    """The URL of a file of an fsspec filesystem, for errors."""
    if isinstance(client, PersistFileSystem):
        return client.adapter.url(client._address(path))
    return str(client.unstrip_protocol(path))


def missing(url: str) -> TruncatedError:
    """The error for a part of an array that is not there any more."""
    error = TruncatedError(
        "a part of this array is missing",
        operation="read",
        url=url,
        hint="Where the result was removed meanwhile, there is nothing more to read of it.",
    )
    error.retryable = False
    return error


def store(array: Any, target: Any, **options: Any) -> None:
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


def regular(array: Any) -> Any:
    """The array in chunks of equal size, but for the last ones: neither format has others.

    When it is calculated, each block is looked at; one that is not what dask says of it is an `InvalidOptionError` then. That
    comes before anything is cut or joined, and sees the empty blocks, too, which dask does not store.

    Raises:
        InvalidOptionError: Neither format has such an array.
    """
    np, meta = import_module("numpy"), array._meta
    if type(meta) is not np.ndarray and not isinstance(meta, np.generic):
        raise InvalidOptionError(f"an array of {_kind(meta)} would come back as a plain one", hint=_PLAIN)
    if any(length != length for length in array.shape):  # noqa: PLR0124 - nan, dask's word for unknown
        raise InvalidOptionError("an array of unknown shape cannot be stored", hint="array.compute_chunk_sizes() finds it out.")
    return array.map_blocks(_as_said, dtype=array.dtype, meta=meta).rechunk(array.chunksize)


def _as_said(block: Any, block_info: Any = None) -> Any:
    """A block of the shape and the type that dask says it has.

    Args:
        block: Of an array.
        block_info: What dask says.

    Raises:
        InvalidOptionError: It is something else, and what would be stored is not what the array is.
    """
    np = import_module("numpy")
    shape, dtype = block_info[None]["chunk-shape"], block_info[None]["dtype"]
    if isinstance(block, np.ma.MaskedArray) or not (isinstance(block, np.ndarray) or np.isscalar(block)):
        raise InvalidOptionError(f"a block of this array is of {_kind(block)}, and would come back as a plain one", hint=_PLAIN)
    plain = np.asarray(block)
    if plain.shape != shape:
        raise InvalidOptionError(f"a block of this array has the shape {plain.shape}, and is said to have {shape}", hint=_SAY)
    if plain.dtype == dtype:
        return plain
    if not _related(plain.dtype, dtype):
        raise InvalidOptionError(f"a block of this array is of {plain.dtype}, and is said to be of {dtype}", hint=_SAY)
    cast = plain.astype(dtype)
    if dtype.kind in "iuSUmM" and not np.array_equal(cast, plain, equal_nan=dtype.kind in "mM"):
        raise InvalidOptionError(
            f"a block of this array is of {plain.dtype}, with values that {dtype}, which it is said to be of, has not", hint=_SAY
        )
    return cast


def _related(dtype: Any, said: Any) -> bool:
    """Whether values of a type can be taken for those of another, but for a part of their digits."""
    numbers = {dtype.kind, said.kind} <= set("biufc")
    return (numbers or dtype.kind == said.kind) and bool(import_module("numpy").can_cast(dtype, said, "same_kind"))


def _kind(obj: object) -> str:
    return f"{type(obj).__module__}.{type(obj).__name__}"


def name_in(pid: tuple[Any, ...], cls: Any) -> str:
    """The name of what a serializer has written.

    Raises:
        pickle.UnpicklingError: A later version of it has.
    """
    version, filename, *_ = pid
    if version != VERSION:
        raise pickle.UnpicklingError(f"{cls.name} of version {version} wrote it; this one reads version {VERSION}")
    return str(filename)
