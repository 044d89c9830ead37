"""What our classes do differently from the drivers they stand for: files are moved by the transfer engine.

The rest is the driver's: its constructor, listings, `open`, errors, caches. The
four methods below keep fsspec's contract (which paths are patterns, what nests
into an existing folder, the options they accept) and add what the engine gives:
whole files or none, verified, resumed, within bounds of memory and time.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Final

from fsspec.asyn import sync_wrapper
from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.implementations.local import make_path_posix
from fsspec.utils import isfilelike, stringify_path

from persistence_fsspec.aio import AsyncPersistence, has_ended
from persistence_fsspec.errors import (
    IsAFolderError,
    NotAFolderError,
    ObjectExistsError,
    ObjectNotFoundError,
    PermissionDeniedError,
    PersistenceError,
    TransferError,
)
from persistence_fsspec.faces import trees
from persistence_fsspec.faces.flyte.together import TogetherPersistence
from persistence_fsspec.foreign import translated
from persistence_fsspec.layers.layer import Layer
from persistence_fsspec.store import Store, Upload, Writer
from persistence_fsspec.stores.dialects.base import content_type, of_type
from persistence_fsspec.transfer.progress import CallbackProgress
from persistence_fsspec.transfer.report import FileOutcome, TransferReport

_PACE: Final = frozenset({"batch_size", "chunksize", "chunk_size", "concurrency", "max_concurrency", "max_prefetch_size"})
"""What a caller of the driver may say about its pace. The engine finds its own, within the bounds of `Policy`."""

_DOTS: Final = re.compile(r"(^|/)\.{1,2}(/|$)")

_TOLD_AS_THEY_ARE: Final = (ObjectNotFoundError, PermissionDeniedError, ObjectExistsError, IsAFolderError, NotAFolderError)
"""Errors of a `get` that mean the same to every caller."""


class EngineTransfers:
    """Before the class of an async driver among the bases: its files move through `FSSpecPersistence`.

    Options that only the driver understands (``ACL``, ``version_id`` ...) are not dropped: such a call is the driver's own.

    Attributes:
        persistence_fsspec_driver: The class that is stood for. `FSSpecPersistence` works with an instance of that one, so
            that nothing goes round in a circle.
        persistence_fsspec_ignored: Options that its methods pass over as well.
        persistence_fsspec_guesses: It guesses the type of a file that it puts from the local name.
        persistence_fsspec_type: Its option that says the type.
    """

    persistence_fsspec_driver: ClassVar[type]
    persistence_fsspec_ignored: ClassVar[frozenset[str]] = frozenset()
    persistence_fsspec_guesses: ClassVar[bool] = True
    persistence_fsspec_type: ClassVar[str] = ""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if EngineTransfers in cls.__bases__:  # what is derived from one of ours is somebody's own, and its ways are its own
            cls.persistence_fsspec_driver = cls.__mro__[cls.__mro__.index(EngineTransfers) + 1]

    # --- the engine ---

    @cached_property
    def _engine(self) -> AsyncPersistence:
        return AsyncPersistence(TogetherPersistence(filesystem=self))

    def _engine_for(self, metadata: Mapping[str, str] | None) -> AsyncPersistence:
        """One that keeps text with whatever it writes."""
        kept = self._engine_metadata(metadata or {})
        return AsyncPersistence(_Labelling(kept, filesystem=self)) if kept else self._engine

    @staticmethod
    def _engine_metadata(metadata: Mapping[str, str]) -> Mapping[str, str]:
        """What becomes of the option ``metadata``, which flytekit gives with every file of an execution."""
        return metadata

    def _engine_url(self, path: str) -> str:
        return str(self.unstrip_protocol(self._strip_protocol(path)))  # type: ignore[attr-defined]

    def _engine_where(self, path: Any) -> str:
        """For errors; of a list, the first."""
        first = path[0] if isinstance(path, list) and path else path
        return self._engine_url(first) if isinstance(first, str) else str(first)

    def _engine_does(self, path: str, options: Mapping[str, Any]) -> bool:
        """Whether the engine does all that a call asks for.

        The driver's are old versions, access points by their ARN, keys with ``.`` and ``..``, what classes derived from ours do
        in ways of their own, and what comes when the interpreter is ending.
        """
        if has_ended() or "persistence_fsspec_driver" not in vars(type(self)) or _DOTS.search(str(path)):
            return False
        bucket, key, version = self.split_path(path)  # type: ignore[attr-defined]
        named = "/".join(part for part in (bucket, key.rstrip("/")) if part)
        whole = not version and named == self._strip_protocol(path).strip("/")  # type: ignore[attr-defined]
        return whole and ":" not in bucket and options.keys() <= _PACE | self.persistence_fsspec_ignored

    def _engine_forget(self, path: str) -> None:
        """The listings in which something may have changed: those of the path, below it, and above it."""
        path = self._strip_protocol(path).rstrip("/")  # type: ignore[attr-defined]
        for listed in [name for name in self.dircache if str(name).startswith(f"{path}/")]:  # type: ignore[attr-defined]
            self.dircache.pop(listed, None)  # type: ignore[attr-defined]
        while path.strip("/"):
            self.invalidate_cache(path)  # type: ignore[attr-defined]
            path = self._parent(path)  # type: ignore[attr-defined]
        self.invalidate_cache(path)  # type: ignore[attr-defined]

    # --- one file ---

    async def _put_file(self, lpath: Any, rpath: str, *args: Any, **options: Any) -> Any:
        wanted = dict(options)
        callback, mode, metadata = wanted.pop("callback", None), wanted.pop("mode", "overwrite"), wanted.pop("metadata", None)
        kind = wanted.pop(self.persistence_fsspec_type, None)
        if args or not self._engine_does(rpath, wanted) or isfilelike(lpath) or _is_special(lpath):
            return await super()._put_file(lpath, rpath, *args, **options)  # type: ignore[misc]
        # What is there already is not new, were it the same.
        how: dict[str, Any] = {"overwrite": False, "compare": "never"} if mode == "create" else {}
        try:
            with of_type(kind or (content_type(stringify_path(lpath)) if self.persistence_fsspec_guesses else None)):
                await self._engine_for(metadata).put(
                    _literal(lpath), self._engine_url(rpath), progress=_counted(callback, lpath), **how
                )
        finally:
            self._engine_forget(rpath)
        return None

    async def _get_file(self, rpath: str, lpath: Any, *args: Any, **options: Any) -> Any:
        wanted = dict(options)
        callback = wanted.pop("callback", None)
        if args or not self._engine_does(rpath, wanted) or isfilelike(lpath) or _is_special(lpath):
            return await super()._get_file(rpath, lpath, *args, **options)  # type: ignore[misc]
        here = os.path.realpath(lpath) if os.path.islink(lpath) else lpath  # the link stays
        await self._engine.get(self._engine_url(rpath), _literal(here), progress=_counted(callback, lpath))
        return None

    # --- many ---

    async def _put(
        self,
        lpath: Any,
        rpath: Any,
        recursive: bool = False,  # noqa: FBT001, FBT002 - fsspec's signature
        callback: Any = DEFAULT_CALLBACK,
        batch_size: Any = None,
        maxdepth: Any = None,
        **options: Any,
    ) -> Any:
        wanted = dict(options)
        mode, metadata = wanted.pop("mode", "overwrite"), wanted.pop("metadata", None)
        here = make_path_posix(lpath) if isinstance(lpath, str) else ""
        literal = trees.is_pattern(here) and os.path.lexists(here)
        if literal and isinstance(rpath, str) and not os.path.isdir(here):  # in lists, nothing is a pattern
            lpath, rpath = [here], [trees.inside(here, rpath, exists=await self._isdir(rpath))]  # type: ignore[attr-defined]
        whole = trees.is_whole(here, rpath, recursive=recursive, maxdepth=maxdepth, literal=literal)
        ours = mode == "overwrite" and whole
        if not ours or not self._engine_does(rpath, wanted) or not os.path.isdir(here):
            how = {"recursive": recursive, "callback": callback, "batch_size": batch_size, "maxdepth": maxdepth}
            with translated("put", partial(self._engine_where, rpath)):
                return await super()._put(lpath, rpath, **how, **options)  # type: ignore[misc]
        exists = not trees.names_folder(here) and await self._isdir(rpath)  # type: ignore[attr-defined]
        rpath = trees.inside(here, rpath, exists=exists)
        url, progress = self._engine_url(rpath), trees.FilesCounted(callback)
        try:
            with contextlib.suppress(OSError):  # the engine knows better what is wrong
                await self._makedirs(self._strip_protocol(rpath), exist_ok=True)  # type: ignore[attr-defined]  # a bucket, perhaps
            await self._engine_for(metadata).put(Path(here), url, recursive=True, progress=progress)
        finally:
            self._engine_forget(rpath)
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
        """What asking again as nobody cannot heal is no `OSError`: after those flytekit does so, and shows the second error."""
        try:
            with translated("get", where := self._engine_where(rpath)):
                return await self._engine_get(rpath, lpath, recursive, callback, maxdepth, options)
        except _TOLD_AS_THEY_ARE:
            raise
        except PersistenceError as exc:
            if not isinstance(exc, OSError):
                raise
            failed = FileOutcome(source=where, target=str(lpath), status="failed", error=exc)
            report = TransferReport(operation="get", source=where, target=str(lpath), files=(failed,))
            raise TransferError(exc.message, operation=exc.operation, url=exc.url, hint=exc.hint, report=report) from exc

    async def _engine_get(
        self,
        rpath: Any,
        lpath: Any,
        recursive: bool,  # noqa: FBT001 - as above
        callback: Any,
        maxdepth: Any,
        options: dict[str, Any],
    ) -> Any:
        here = stringify_path(lpath)
        literal = trees.is_pattern(rpath) and await self._exists(rpath)
        if literal and not recursive and isinstance(here, str) and not await self._isdir(rpath):  # type: ignore[attr-defined]
            rpath, lpath = [rpath], [trees.inside(rpath, here, exists=os.path.isdir(here))]  # in lists, nothing is a pattern
        ours = trees.is_whole(rpath, here, recursive=recursive, maxdepth=maxdepth, literal=literal)
        if not ours or not self._engine_does(rpath, options):
            return await super()._get(rpath, lpath, recursive=recursive, callback=callback, maxdepth=maxdepth, **options)  # type: ignore[misc]
        here = make_path_posix(here)
        here = trees.inside(rpath, here, exists=os.path.isdir(here))
        try:
            await self._engine.get(self._engine_url(rpath), Path(here), recursive=True, progress=trees.FilesCounted(callback))
        except TransferError as exc:
            if not await self._only_marks(exc.report):
                raise
            for mark in _in_the_way(exc.report):
                mark.unlink()
            await super()._get(f"{rpath.rstrip('/')}/", f"{here.rstrip('/')}/", recursive=True)  # type: ignore[misc]
        return None

    # --- looking ---

    async def _exists(self, path: str, *args: Any, **options: Any) -> bool:
        """The driver's answer; flytekit asks after a `_get` that failed, and shows this error instead of that one."""
        with translated("exists", partial(self._engine_where, path)):
            return bool(await super()._exists(path, *args, **options))  # type: ignore[misc]

    async def _only_marks(self, report: TransferReport) -> bool:
        """Whether all that failed are empty objects that have the name of a folder, and stand for it: fsspec leaves them out."""
        if not _collided(report):
            return False
        objects = [each.source for each in report.failed if isinstance(each.error, IsAFolderError)]
        sizes = [(await self._info(self._strip_protocol(url)))["size"] for url in objects]  # type: ignore[attr-defined]
        return not any([*sizes, *(path.stat().st_size for path in _in_the_way(report))])

    # Those of adlfs are bound to its own two.
    put_file = sync_wrapper(_put_file)
    get_file = sync_wrapper(_get_file)


def _literal(path: Any) -> Path:
    """A name of this machine as it stands; ``~`` is somebody's home only to those above."""
    return Path(os.path.abspath(path))


def _is_special(path: Any) -> bool:
    """Whether something is there, and is no file: a folder, a device, a pipe, a link to nowhere. Nothing is moved in its place."""
    return os.path.lexists(path) and not os.path.isfile(path)


# --- an object and a folder of one name ---


def _collided(report: TransferReport) -> bool:
    """Whether nothing else is wrong with a tree that was fetched."""
    return all(isinstance(each.error, (IsAFolderError, NotAFolderError)) for each in report.failed)


def _in_the_way(report: TransferReport) -> set[Path]:
    """The files that arrived where folders are to be."""
    arrived = {each.target for outcomes in (report.copied, report.skipped) for each in outcomes}
    found = {above for each in report.failed for above in _above(each.target) if above in arrived}
    return {Path(target.removeprefix("file://")) for target in found}


def _above(url: str) -> Iterator[str]:
    while "/" in url:
        url = url.rpartition("/")[0]
        yield url


# --- what goes along ---


class _Labelling(TogetherPersistence):
    """Keeps text with each object it writes."""

    def __init__(self, metadata: Mapping[str, str], **options: Any) -> None:
        super().__init__(**options)
        self._metadata = metadata

    def wrap(self, store: Store) -> Store:
        """Around stores that can."""
        return _Labels(store, self._metadata) if store.capabilities.metadata else store


class _Labels(Layer):
    def __init__(self, inner: Store, metadata: Mapping[str, str]) -> None:
        super().__init__(inner)
        self._metadata = metadata

    def writer(self, key: str, *, metadata: Mapping[str, str] | None = None, **options: Any) -> Writer:
        return self.inner.writer(key, metadata={**self._metadata, **(metadata or {})}, **options)

    def upload(self, key: str, *, metadata: Mapping[str, str] | None = None, **options: Any) -> Upload:
        return self.inner.upload(key, metadata={**self._metadata, **(metadata or {})}, **options)


# --- progress ---


class _BytesCounted(CallbackProgress):
    """Tells an ``fsspec.Callback`` of one file its bytes, were they there already."""

    def __init__(self, callback: Any, here: Any) -> None:
        super().__init__(callback)
        self._here = here

    def finish(self, key: str, status: str) -> None:
        """Who asked for a file wants to see it arrive."""
        if status == "skipped":
            size = os.path.getsize(self._here)
            self.expect(0, size)
            self.advance(key, size)

    def close(self) -> None:
        """Nothing: who made the callback closes it, and may be counting other files."""


def _counted(callback: Any, here: Any) -> _BytesCounted | None:
    return None if callback is None else _BytesCounted(callback, here)
