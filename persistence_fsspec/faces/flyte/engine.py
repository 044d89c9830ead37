"""What our classes do differently from the drivers they stand for: files are moved by the transfer engine.

The rest is the driver's: its constructor, listings, `open`, errors, caches. The
four methods below keep fsspec's contract (which paths are patterns, what nests
into an existing folder, the options they accept) and add what the engine gives:
whole files or none, verified, resumed, within bounds of memory and time.
"""

from __future__ import annotations

import glob
import os
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final

from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.utils import isfilelike, stringify_path

from persistence_fsspec.aio import AsyncPersistence
from persistence_fsspec.persistence import FSSpecPersistence
from persistence_fsspec.transfer.progress import NoProgress

_HINTS: Final = frozenset({"batch_size", "chunksize", "chunk_size", "concurrency", "max_concurrency", "consistency"})
"""What a caller of the driver may say about its pace. The engine finds its own, within the bounds of `Policy`."""


class EngineTransfers:
    """Before the class of an async driver among the bases: its files move through `FSSpecPersistence`.

    Options that only the driver understands (``ContentType``, ``ACL``, ``version_id`` ...) are not dropped: such a call is
    the driver's own.

    Attributes:
        persistence_fsspec_driver: The class that is stood for. `FSSpecPersistence` works with an instance of that one, so
            that nothing goes round in a circle.
    """

    persistence_fsspec_driver: ClassVar[type]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.persistence_fsspec_driver = cls.__mro__[cls.__mro__.index(EngineTransfers) + 1]

    @cached_property
    def _engine(self) -> AsyncPersistence:
        return AsyncPersistence(FSSpecPersistence(filesystem=self))

    def _url(self, path: str) -> str:
        return str(self.unstrip_protocol(self._strip_protocol(path)))  # type: ignore[attr-defined]

    def _forget_listings(self, path: str) -> None:
        path = self._strip_protocol(path)  # type: ignore[attr-defined]
        while path:
            self.invalidate_cache(path)  # type: ignore[attr-defined]
            path = self._parent(path)  # type: ignore[attr-defined]

    def _is_ours(self, path: str, options: Any) -> bool:
        """Whether the engine does all that a call asks for; old versions are the driver's."""
        return options.keys() <= _HINTS and not self.split_path(path)[-1]  # type: ignore[attr-defined]

    # --- one file ---

    async def _put_file(
        self, lpath: Any, rpath: str, *args: Any, callback: Any = None, mode: str = "overwrite", **options: Any
    ) -> Any:
        if args or not self._is_ours(rpath, options) or os.path.isdir(lpath):
            return await super()._put_file(lpath, rpath, *args, callback=callback or DEFAULT_CALLBACK, mode=mode, **options)  # type: ignore[misc]
        try:
            await self._engine.put(Path(lpath), self._url(rpath), overwrite=mode != "create", progress=callback)
        finally:
            self._forget_listings(rpath)
        return None

    async def _get_file(self, rpath: str, lpath: Any, *args: Any, callback: Any = None, **options: Any) -> Any:
        if args or not self._is_ours(rpath, options) or isfilelike(lpath) or os.path.isdir(lpath):
            return await super()._get_file(rpath, lpath, *args, callback=callback or DEFAULT_CALLBACK, **options)  # type: ignore[misc]
        return await self._engine.get(self._url(rpath), Path(lpath), progress=callback)

    # --- many ---

    async def _put(
        self,
        lpath: Any,
        rpath: Any,
        recursive: bool = False,  # noqa: FBT001, FBT002 - fsspec's signature
        callback: Any = DEFAULT_CALLBACK,
        maxdepth: Any = None,
        **options: Any,
    ) -> Any:
        here = stringify_path(lpath)
        whole = recursive and maxdepth is None and isinstance(here, str) and isinstance(rpath, str) and not glob.has_magic(here)
        if not whole or not self._is_ours(rpath, options) or not os.path.isdir(here):
            return await super()._put(lpath, rpath, recursive=recursive, callback=callback, maxdepth=maxdepth, **options)  # type: ignore[misc]
        if not _is_folder_name(here) and (_is_folder_name(rpath) or await self._isdir(rpath)):  # type: ignore[attr-defined]
            rpath = f"{rpath.rstrip('/')}/{os.path.basename(here)}"
        try:
            await self._makedirs(self._strip_protocol(rpath), exist_ok=True)  # type: ignore[attr-defined]  # a bucket, perhaps
            await self._engine.put(Path(here), self._url(rpath), recursive=True, progress=_FilesCounted(callback))
        finally:
            self._forget_listings(rpath)
        return None

    async def _get(
        self,
        rpath: Any,
        lpath: Any,
        recursive: bool = False,  # noqa: FBT001, FBT002 - fsspec's signature
        callback: Any = DEFAULT_CALLBACK,
        maxdepth: Any = None,
        **options: Any,
    ) -> Any:
        here = stringify_path(lpath)
        whole = recursive and maxdepth is None and isinstance(rpath, str) and isinstance(here, str) and not glob.has_magic(rpath)
        if not whole or not self._is_ours(rpath, options):
            return await super()._get(rpath, lpath, recursive=recursive, callback=callback, maxdepth=maxdepth, **options)  # type: ignore[misc]
        if not _is_folder_name(rpath) and (_is_folder_name(here) or os.path.isdir(here)):
            here = os.path.join(here, os.path.basename(self._strip_protocol(rpath)))  # type: ignore[attr-defined]
        return await self._engine.get(self._url(rpath), Path(here), recursive=True, progress=_FilesCounted(callback))


def _is_folder_name(path: str) -> bool:
    return path.endswith(("/", os.sep))


class _FilesCounted(NoProgress):
    """Tells an ``fsspec.Callback`` of a tree what fsspec tells it: files, not bytes."""

    def __init__(self, callback: Any) -> None:
        self._callback, self._files = callback, 0

    def expect(self, files: int, n_bytes: int) -> None:  # noqa: ARG002 - the interface's
        self._files += files
        self._callback.set_size(self._files)

    def finish(self, key: str, status: str) -> None:  # noqa: ARG002 - the interface's
        self._callback.relative_update(1)
